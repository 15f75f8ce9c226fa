"""
What a transport saw of who calls, before anybody has judged it.

A transport takes the pieces apart (``rest/evidence.py``, ``rpc/evidence.py``) and never decides; deciding is
``credentials.Authority.identify``, once for both protocols.  Evidence holds no secrets of ours and no behaviour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from rs3gw.errors import S3Error

UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"


class Scope(NamedTuple):
    """The credential scope of a signature: ``20261123/us-east-1/s3/aws4_request``."""

    date: str
    region: str
    service: str

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@dataclass(frozen=True, slots=True)
class Anonymous:
    """The caller showed nothing."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """``authorization: Bearer …``: a token that ``rs3gw token`` derived from an access key (gRPC only)."""

    token: str


@dataclass(slots=True, kw_only=True)  # not frozen: one a request, and a frozen one takes three times as long to make
class Signature:
    """
    A SigV4 signature and the request that it speaks of, as the client sent it.

    ``path`` is the raw path, still percent-encoded: S3 signs the bytes on the wire and never normalises them.
    ``query`` holds the raw pairs, still encoded, without X-Amz-Signature; ``headers`` holds lower-case names,
    each with its values joined by a comma in the order received.  ``expires_seconds`` is set for a presigned
    URL alone.
    """

    access_key: str
    scope: Scope
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    payload_hash: str
    expires_seconds: int | None = None
    session_token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignedV2:
    """
    A URL presigned with Signature Version 2, as boto3 makes it by default.

    ``path`` and ``query`` are raw, as in Signature; ``expires`` is the second after which it is void, as text;
    ``host_bucket`` is the bucket where the host named it.
    """

    access_key: str
    signature: str
    expires: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    host_bucket: str | None = None


@dataclass(frozen=True, slots=True)
class Foreign:
    """A mechanism that is not ours: ``fault`` is the answer, unless an authenticator of the operator's knows it."""

    fault: S3Error


Proof = Anonymous | Bearer | Signature | PresignedV2 | Foreign


@dataclass(slots=True, kw_only=True)
class Evidence:
    """
    Everything about a call that access is decided on, besides the call itself.

    ``source_ip`` is the peer's address in text (None where there is none, as in process);
    ``secure`` tells whether TLS carried the call (aws:SecureTransport); ``headers`` are those of HTTP, or the metadata
    of gRPC, by names in lower case.
    """

    proof: Proof
    protocol: str = "rest"
    source_ip: str | None = None
    secure: bool = False
    user_agent: str | None = None
    referer: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

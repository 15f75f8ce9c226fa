"""
What a driver is: S3's verbs in, an Answer out, the protocol nowhere to be seen.

Operations and fields have S3's names: ``perform("PutObject", bucket=…, key=…, body=b"…", if_none_match="*")``.
Fields are botocore's members in snake_case (``etag`` for ETag), with four rules that make both protocols look alike:

- A structure that S3 sends as its payload is not a level of its own: ``objects`` and ``quiet`` of DeleteObjects,
  ``parts`` of CompleteMultipartUpload, ``tag_set``, ``location_constraint``; ``etag`` of CopyObjectResult.
- The checksums of anything are one field, ``checksums={"crc32": "…"}``, in base64 by algorithm in lower case.
- Lists are lists of dicts (``[{"key": "a", "value": "1"}]``), and those of an answer are there when empty; times are
  aware datetimes; ``body`` is a Content.
- Listings hold the keys as they are: a driver undoes what its protocol does to carry them.

A driver never raises for what a server answers.  It raises Unsupported for what its protocol cannot ask, and Broken
for an answer that is none: that is the error of an engine, not the failure of a promise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from conformance.drivers.bodies import Content, Measure

IDENTITIES = ("owner", "stranger", "anonymous", "impostor", "unknown")
"""
Who may be asked for by name: the owner of everything; a ``stranger`` with a key of its own that only policies let in
(its name is "stranger" too); nobody at all; the owner's access key with a wrong secret; an access key that nobody has.
"""

Status = int | str
"""How a protocol says that it refuses: 404 on REST, "NOT_FOUND" on gRPC, "404 not_found" on Connect."""


class Unsupported(Exception):
    """The protocol, the driver or the target cannot do this: neither a pass nor a failure."""


class Broken(Exception):
    """The target gave no answer that the protocol knows: a connection lost, XML that is none."""


class Absent(AssertionError, LookupError):
    """A step counted on something that the answer does not have: a failure of the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """
    Why a server did not do what was asked, as the protocol showed it.

    ``code`` is S3's, or None where the protocol shows none (the answer to a HEAD has no body, nor has a 304).
    ``fields`` are what it said besides, by S3's element names: ``{"UploadId": "…"}``.
    """

    code: str | None
    message: str
    status: Status
    fields: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code or '(no code)'} ({self.status}): {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    What came of an operation: a refusal, or fields and bytes.

    ``answer["etag"]`` raises Absent with what there is; ``answer.get("etag")`` does not.
    """

    operation: str
    refusal: Refusal | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    body: bytes = b""
    """The bytes of an object, unless a ``sink`` took them."""
    measure: Measure = field(default_factory=Measure)
    """Size, MD5 and SHA-256 of those bytes, also where a sink took them."""
    request_id: str = ""
    seen: Mapping[str, Any] = field(default_factory=dict)
    """What the protocol showed, raw, for a reader of a failure: status and headers, or metadata."""

    @property
    def is_refused(self) -> bool:
        return self.refusal is not None

    def __getitem__(self, name: str) -> Any:
        try:
            return self.fields[name]
        except KeyError:
            refused = f"; it was refused with {self.refusal}" if self.refusal else ""
            raise Absent(f"{self.operation} answered no {name}, only {sorted(self.fields)}{refused}") from None

    def get(self, name: str, default: Any = None) -> Any:
        """The field, or the default where the answer has none."""
        return self.fields.get(name, default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A request that was signed ahead of its time, for anybody to follow."""

    operation: str
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


Body = Content | bytes | Iterable[bytes]
Sink = Callable[[bytes], object]


class Driver(Protocol):
    """
    One protocol, one target, one identity.  Safe to use from many threads at once.

    ``name`` is the driver's ("rest", "boto3", "grpc", "connect", "grpcweb"), ``protocol`` what it speaks (boto3 speaks
    "rest"), which is what the tables of codes go by.
    """

    @property
    def name(self) -> str: ...
    @property
    def protocol(self) -> str: ...
    @property
    def identity(self) -> str: ...

    def perform(self, operation: str, *, sink: Sink | None = None, **fields: Any) -> Answer:
        """
        Ask for an operation and wait for the whole answer.

        ``body`` is bytes, a Pattern (big and reproducible, never held whole), or an iterable of bytes.  A ``sink`` is
        given the bytes of an object as they come.  Raises Unsupported, Broken.
        """

    def as_(self, identity: str, *, bearer: bool = False) -> Driver:
        """
        The same driver with other credentials, one of IDENTITIES; ``bearer`` shows a token instead of a signature.

        Raises Unsupported where the target has no such identity, or the protocol no tokens.
        """

    def supports(self, capability: str) -> bool:
        """Whether the protocol and this driver can do what a capability of conformance/capabilities.py says."""

    def expected_status(self, code: str, operation: str) -> Status:
        """
        What this driver must be shown when S3 refuses an operation with a code (conformance/codes.py).

        The operation makes a difference to a driver that does not ask for all of them in the same way.
        """

    def cancel_upload(self, operation: str = "PutObject", *, after_bytes: int, **fields: Any) -> None:
        """
        Begin an upload (PutObject, UploadPart) and break it off when ``after_bytes`` of its body are on their way.

        On HTTP the connection is cut, on gRPC the call is cancelled.  Returns when the target cannot expect more.
        """

    def presign(self, operation: str, *, lifetime_seconds: int, at: datetime | None = None, **fields: Any) -> Link:
        """A link to an operation, signed as of ``at`` (now).  Raises Unsupported where a protocol has none."""

    def follow(self, link: Link, *, body: Body = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Use a link as somebody who has nothing but it."""

    def close(self) -> None:
        """Let go of connections."""


__all__ = [
    "IDENTITIES",
    "Absent",
    "Answer",
    "Body",
    "Broken",
    "Driver",
    "Link",
    "Measure",
    "Refusal",
    "Sink",
    "Status",
    "Unsupported",
]

"""
What a call of gRPC shows of its sender, in its metadata: taken apart here, judged in auth/credentials.py.

``authorization: Bearer <token>``, with a token that ``rs3gw token`` prints; or SigV4 of the request
``POST /s3.ObjectService/PutObject`` with an empty query, the signed metadata as headers (x-amz-date and
x-amz-content-sha256 at least; a servicer cannot see the host) and UNSIGNED-PAYLOAD: messages stream, and what
their bytes must be is said by the checksums in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from rs3gw.auth.evidence import UNSIGNED_PAYLOAD, Anonymous, Bearer, Evidence, Foreign, Proof, Scope, Signature
from rs3gw.errors import (
    AuthorizationHeaderMalformed,
    InvalidArgument,
    InvalidToken,
    MissingSecurityHeader,
    NotImplementedHere,
)

ALGORITHM = "AWS4-HMAC-SHA256"
REQUIRED = ("x-amz-content-sha256", "x-amz-date")

Metadata = Sequence[tuple[str, str | bytes]]

KNOWN = frozenset((*REQUIRED, "x-amz-security-token", "x-amz-user-agent"))
"""The metadata of S3's names that means something here, or may be ignored; what S3 has in headers is in fields here."""

_NOBODY = Anonymous()


def gather(path: str, metadata: Metadata, peer: str, *, secure: bool) -> Evidence:
    """
    The evidence of a call to the method at ``path``.

    Raises AuthorizationHeaderMalformed, InvalidArgument, InvalidToken, MissingSecurityHeader, and NotImplementedHere
    for metadata that would mean something as a header of S3's.
    """
    headers: dict[str, str] = {}
    for name, value in metadata:
        if name.startswith("x-amz-") and name not in KNOWN:
            raise NotImplementedHere(
                message=f"The metadata {name} implies functionality that is not implemented; "
                "what S3 has in headers is in the fields of a message.",
                header=name,
            )
        text = value if isinstance(value, str) else value.decode("latin-1")
        headers[name] = f"{headers[name]},{text}" if name in headers else text
    return Evidence(
        proof=_proof(path, headers),
        protocol="grpc",
        source_ip=address_of(peer),
        secure=secure,
        user_agent=headers.get("user-agent"),
        referer=headers.get("referer"),
        headers=headers,
    )


def address_of(peer: str) -> str | None:
    """The address in ``ipv4:127.0.0.1:5000`` or ``ipv6:%5B::1%5D:5000``; None where there is none."""
    family, _, rest = peer.partition(":")
    if family not in ("ipv4", "ipv6"):
        return None
    return unquote(rest).rpartition(":")[0].removeprefix("[").removesuffix("]") or None


def _proof(path: str, headers: Mapping[str, str]) -> Proof:
    authorization = headers.get("authorization")
    if authorization is None:
        return _NOBODY
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        if not rest.strip():
            raise InvalidToken()
        return Bearer(rest.strip())
    if scheme != ALGORITHM:
        return Foreign(
            InvalidArgument(
                message=f"Unsupported Authorization Type: it is Bearer or {ALGORITHM}.", argument_name="authorization"
            )
        )
    return _signature(path, rest, headers)


def _signature(path: str, said: str, headers: Mapping[str, str]) -> Signature:
    pieces = (piece.strip().partition("=") for piece in said.split(","))
    fields = {name: value for name, _, value in pieces}
    if fields.keys() != {"Credential", "SignedHeaders", "Signature"}:
        raise AuthorizationHeaderMalformed(
            message="The authorization is malformed; it has one Credential, SignedHeaders and Signature each."
        )
    credential = fields["Credential"].rsplit("/", 4)
    if len(credential) != 5 or credential[4] != "aws4_request" or not all(credential):
        raise AuthorizationHeaderMalformed(
            message='The Credential is malformed; expecting "<access-key>/YYYYMMDD/REGION/SERVICE/aws4_request".'
        )
    signed = tuple(fields["SignedHeaders"].split(";"))
    for name in REQUIRED:
        if name not in headers or name not in signed:
            raise MissingSecurityHeader(
                message=f"The signature must cover {name}, and the metadata must hold it.", missing_header_name=name
            )
    if headers["x-amz-content-sha256"] != UNSIGNED_PAYLOAD:
        raise InvalidArgument(
            message="The messages of a call are not signed: x-amz-content-sha256 is UNSIGNED-PAYLOAD.",
            argument_name="x-amz-content-sha256",
            argument_value=headers["x-amz-content-sha256"],
        )
    access_key, date, region, service, _ = credential
    return Signature(
        access_key=access_key,
        scope=Scope(date=date, region=region, service=service),
        signed_headers=signed,
        signature=fields["Signature"],
        timestamp=headers["x-amz-date"],
        method="POST",
        path=path,
        query=(),
        headers=headers,
        payload_hash=UNSIGNED_PAYLOAD,
        session_token=headers.get("x-amz-security-token"),
    )

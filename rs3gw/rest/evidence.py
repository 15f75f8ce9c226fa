"""
What a request of HTTP shows of its sender: taken apart here, judged in auth/credentials.py.

Three forms: an Authorization header, a presigned URL (of either version), nothing.  More than one is refused.
What does not parse is refused as S3 refuses it; nothing here knows whether a signature is right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache

from rs3gw.auth.evidence import UNSIGNED_PAYLOAD, Anonymous, Evidence, Foreign, PresignedV2, Proof, Scope, Signature
from rs3gw.auth.sigv4 import SIGNED_CHUNKS
from rs3gw.errors import (
    AccessDenied,
    AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError,
    InvalidArgument,
    InvalidRequest,
    NotImplementedHere,
)
from rs3gw.rest.messages import Pairs, Request, decode

ALGORITHM = "AWS4-HMAC-SHA256"

CHUNKED_SIGNED = SIGNED_CHUNKS
CHUNKED_SIGNED_TRAILER = f"{SIGNED_CHUNKS}-TRAILER"
CHUNKED_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
CHUNKED = frozenset((CHUNKED_SIGNED, CHUNKED_SIGNED_TRAILER, CHUNKED_UNSIGNED_TRAILER))

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

_NOBODY = Anonymous()


def gather(request: Request, parameters: Mapping[str, str], *, host_bucket: str | None = None) -> Evidence:
    """
    The evidence of a request; ``host_bucket`` is the bucket that its host names, which Signature Version 2 signs.

    Raises AuthorizationHeaderMalformed, AuthorizationQueryParametersError, InvalidRequest, InvalidArgument,
    AccessDenied without a date, NotImplementedHere for algorithms that rs3gw has not (SigV4A).
    """
    headers = request.headers
    judge_payload_hash(payload_hash(request, parameters))
    return Evidence(
        proof=_proof(request, parameters, host_bucket),
        protocol="rest",
        source_ip=request.peer,
        secure=request.secure,
        user_agent=headers.get("user-agent"),
        referer=headers.get("referer"),
        headers=headers,
    )


def _proof(request: Request, parameters: Mapping[str, str], host_bucket: str | None) -> Proof:
    authorization = request.headers.get("authorization")
    is_presigned = "X-Amz-Algorithm" in parameters or "X-Amz-Signature" in parameters
    if authorization is not None:
        if is_presigned:
            raise InvalidArgument(
                message="Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query "
                "string parameter or the Authorization header should be specified",
                argument_name="Authorization",
            )
        return _header(request, authorization)
    if is_presigned:
        return _presigned(request, parameters)
    if "AWSAccessKeyId" in parameters or "Signature" in parameters:
        return _presigned_v2(request, parameters, host_bucket)
    return _NOBODY


def _presigned_v2(request: Request, parameters: Mapping[str, str], host_bucket: str | None) -> PresignedV2:
    missing = [name for name in ("AWSAccessKeyId", "Signature", "Expires") if not parameters.get(name)]
    expires = parameters.get("Expires", "")
    if missing or not expires.isdecimal() or len(expires) > 12:
        raise AccessDenied(
            message="Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
        )
    return PresignedV2(
        access_key=parameters["AWSAccessKeyId"],
        signature=parameters["Signature"],
        expires=expires,
        method=request.method,
        path=request.path,
        query=request.pairs,
        headers=request.headers,
        host_bucket=host_bucket,
    )


def _old() -> InvalidRequest:
    return InvalidRequest(
        message=f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM}."
    )


def _header(request: Request, authorization: str) -> Signature | Foreign:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        if algorithm.startswith("AWS4-ECDSA"):
            raise NotImplementedHere(message="SigV4A is not implemented.", header="Authorization")
        if algorithm == "AWS" or algorithm.startswith("AWS4"):
            raise _old()
        return Foreign(InvalidArgument(message="Unsupported Authorization Type", argument_name="Authorization"))
    before, _, signature = rest.rpartition("Signature=")
    if "," in signature:
        # It need not stand at the end, where every SDK puts it.
        credential, names, signature = _fields(rest)
        access_key, scope = _credential(credential, AuthorizationHeaderMalformed)
        signed_headers = _names(names)
    else:
        access_key, scope, signed_headers = _signer(before)
        signature = signature.rstrip()
    headers = request.headers
    claimed = headers.get("x-amz-content-sha256")
    if claimed is None:
        raise InvalidRequest(message="Missing required header for this request: x-amz-content-sha256")
    return Signature(
        access_key=access_key,
        scope=scope,
        signed_headers=signed_headers,
        signature=signature,
        timestamp=_timestamp(headers),
        method=request.method,
        path=request.path,
        query=request.pairs,
        headers=headers,
        payload_hash=claimed,
        session_token=headers.get("x-amz-security-token"),
    )


def _malformed() -> AuthorizationHeaderMalformed:
    return AuthorizationHeaderMalformed(
        message="The authorization header is malformed; it has one Credential, SignedHeaders and Signature each."
    )


def _fields(said: str) -> tuple[str, str, str]:
    """
    Credential, SignedHeaders and Signature, in any order.

    Raises AuthorizationHeaderMalformed unless there is one of each.
    """
    pieces = [piece.strip().partition("=") for piece in said.split(",")]
    fields = {name: value for name, _, value in pieces}
    if len(pieces) != 3 or fields.keys() != {"Credential", "SignedHeaders", "Signature"}:
        raise _malformed()
    return fields["Credential"], fields["SignedHeaders"], fields["Signature"]


def _timestamp(headers: Mapping[str, str]) -> str:
    timestamp = headers.get("x-amz-date")
    if timestamp is None:
        try:
            # Who signs Date in place of x-amz-date signs the same moment in HTTP's spelling.
            timestamp = parsedate_to_datetime(headers["date"]).strftime("%Y%m%dT%H%M%SZ")
        except (KeyError, ValueError, TypeError, OverflowError) as fault:
            raise AccessDenied(message="AWS authentication requires a valid Date or x-amz-date header") from fault
    return timestamp


def payload_hash(request: Request, parameters: Mapping[str, str]) -> str:
    """What the sender says of the payload: a SHA-256, a form of aws-chunked, or that it is unsigned."""
    said = request.headers.get("x-amz-content-sha256")
    if parameters:
        # A presigned URL may say it, and what it says was signed.
        said = parameters.get("X-Amz-Content-Sha256", said)
    return UNSIGNED_PAYLOAD if said is None else said


def judge_payload_hash(said: str) -> None:
    """
    Refuse what is none, from whomever: chunks that nobody takes off would be stored inside the object.

    Raises InvalidArgument, NotImplementedHere.
    """
    if said == UNSIGNED_PAYLOAD or _SHA256.match(said) or said in CHUNKED:
        return
    if said.startswith("STREAMING-AWS4-ECDSA"):
        raise NotImplementedHere(message="SigV4A is not implemented.", header="x-amz-content-sha256")
    raise InvalidArgument(
        message="x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
        argument_name="x-amz-content-sha256",
        argument_value=said.encode("utf-8", "replace").decode(),
    )


Malformed = type[AuthorizationHeaderMalformed] | type[AuthorizationQueryParametersError]


# A client says the same credential, and names the same headers, with every request of a day.


@lru_cache(maxsize=1024)
def _credential(said: str, malformed: Malformed) -> tuple[str, Scope]:
    # An access key has no slash, a scope has four pieces: what comes first is the key.
    pieces = said.rsplit("/", 4)
    if len(pieces) != 5 or pieces[4] != "aws4_request" or not all(pieces):
        raise malformed(
            message='The Credential is malformed; expecting "<access-key>/YYYYMMDD/REGION/SERVICE/aws4_request".'
        )
    access_key, date, region, service, _ = pieces
    if len(date) != 8 or not date.isdecimal():
        raise malformed(message=f'The Credential is malformed; incorrect date format "{date}".')
    return access_key, Scope(date=date, region=region, service=service)


@lru_cache(maxsize=1024)
def _signer(before: str) -> tuple[str, Scope, tuple[str, ...]]:
    """(access key, scope, signed headers) of what stands before a signature."""
    credential, names, more = _fields(f"{before}Signature=")
    if more:
        raise _malformed()
    return *_credential(credential, AuthorizationHeaderMalformed), _names(names)


@lru_cache(maxsize=1024)
def _names(said: str) -> tuple[str, ...]:
    return tuple(said.split(";"))


_REQUIRED = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
)


def _presigned(request: Request, parameters: Mapping[str, str]) -> Signature:
    if parameters.get("X-Amz-Algorithm", ALGORITHM).startswith("AWS4-ECDSA"):
        raise NotImplementedHere(message="SigV4A is not implemented.", query="X-Amz-Algorithm")
    missing = [name for name in _REQUIRED if not parameters.get(name)]
    if missing:
        raise AuthorizationQueryParametersError(
            message="Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
            "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        )
    if parameters["X-Amz-Algorithm"] != ALGORITHM:
        raise AuthorizationQueryParametersError(message=f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    access_key, scope = _credential(parameters["X-Amz-Credential"], AuthorizationQueryParametersError)
    expires = parameters["X-Amz-Expires"]
    if not expires.removeprefix("-").isdecimal() or len(expires) > 10:
        raise AuthorizationQueryParametersError(message="X-Amz-Expires should be a number")
    return Signature(
        access_key=access_key,
        scope=scope,
        signed_headers=_names(parameters["X-Amz-SignedHeaders"].lower()),
        signature=parameters["X-Amz-Signature"],
        timestamp=parameters["X-Amz-Date"],
        method=request.method,
        path=request.path,
        query=_without_signature(request.pairs),
        headers=request.headers,
        payload_hash=payload_hash(request, parameters),
        expires_seconds=int(expires),
        session_token=parameters.get("X-Amz-Security-Token"),
    )


def _without_signature(pairs: Pairs) -> Pairs:
    return tuple((name, value) for name, value in pairs if decode(name) != "X-Amz-Signature")

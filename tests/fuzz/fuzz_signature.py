"""
SigV4, signed by botocore: a request of HTTP, of which the first byte says how it is to be signed and bent.

A request that botocore signs is its signer's, in a header and in a URL, whatever stands in its path, query and
headers; the same request with one thing changed is nobody's.
"""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch
from urllib.parse import quote, unquote_to_bytes

from botocore import auth as botocore_auth
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from rs3gw.auth import sigv4
from rs3gw.auth.evidence import UNSIGNED_PAYLOAD, Signature
from rs3gw.errors import S3Error
from rs3gw.rest import evidence, messages
from rs3gw.rest.messages import Request
from tests.fuzz.fuzz_evidence import OWNER
from tests.fuzz.parts import HEADER_BYTES, NOW, request_of, same

MOST_BYTES = HEADER_BYTES

HOST = "127.0.0.1:9000"
CREDENTIALS = Credentials(OWNER.access_key, OWNER.secret_key)


def target(data: bytes) -> None:
    how, found = data[:1], request_of(data[1:])
    if found is None or not how:
        return
    request = clean(found[0])
    for shown in (in_header(request), in_query(request)):
        if shown is None:
            continue
        assert sigv4.verify(shown, OWNER.secret_key) is not None, shown
        assert sigv4.verify(shown, "another-secret") is None
        for bent in (
            replace(shown, method=shown.method + "X"),
            replace(shown, path=shown.path + "x"),
            replace(shown, query=(*shown.query, ("x", "y"))),
            replace(shown, payload_hash="0" * 64),
            replace(shown, timestamp="20261123T000001Z"),
            replace(shown, headers={**shown.headers, "host": "elsewhere"}),
            replace(shown, signature=shown.signature[:-1] + "g"),
        ):
            assert sigv4.verify(bent, OWNER.secret_key) is None, bent


def clean(request: Request) -> Request:
    """The request as a client encodes one; what signs it is left out."""
    path = quote(unquote_to_bytes(request.path.encode("latin-1")), safe="/-._~")
    pairs = tuple(
        (quote(unquote_to_bytes(name), safe="-._~"), quote(unquote_to_bytes(value), safe="-._~"))
        for name, value in request.pairs
        if name and not unquote_to_bytes(name).lower().startswith(b"x-amz-")
    )
    headers = {
        name: " ".join(value.split())
        for name, value in request.headers.items()
        if name.startswith("x-amz-meta-") and value.isascii() and value.isprintable()
    }
    return replace(request, path="/" + path.lstrip("/"), pairs=pairs, headers={"host": HOST, **headers})


def unsigned(request: Request) -> AWSRequest:
    query = "&".join(f"{name}={value}" for name, value in request.pairs)
    url = f"http://{HOST}{request.path}" + (f"?{query}" if query else "")
    return AWSRequest(method=request.method, url=url, headers=dict(request.headers))


def in_header(request: Request) -> Signature | None:
    asked = unsigned(request)
    with at_now():
        Payload(CREDENTIALS, "s3", "us-east-1").add_auth(asked)
    headers = {name.lower(): value for name, value in asked.headers.items()}
    headers.setdefault("x-amz-content-sha256", UNSIGNED_PAYLOAD)
    return shown_by(replace(request, headers=headers))


def in_query(request: Request) -> Signature | None:
    asked = unsigned(request)
    with at_now():
        S3SigV4QueryAuth(CREDENTIALS, "s3", "us-east-1", expires=60).add_auth(asked)
    query = asked.url.partition("?")[2]
    return shown_by(replace(request, pairs=messages.pairs(query)))


class Payload(S3SigV4Auth):
    """botocore's signer, of a payload that is not signed."""

    def payload(self, request: AWSRequest) -> str:
        return UNSIGNED_PAYLOAD


def at_now() -> object:
    return patch.object(botocore_auth, "get_current_datetime", lambda: NOW.replace(tzinfo=None))


def shown_by(request: Request) -> Signature | None:
    try:
        parameters = request.parameters()
    except S3Error:
        # No UTF-8: nothing asks for it, but what is signed is signed.
        return None
    proof = evidence.gather(request, parameters).proof
    assert isinstance(proof, Signature)
    same(OWNER.access_key, proof.access_key, request)
    return proof

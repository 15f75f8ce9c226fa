"""
What the metadata of a call shows of its sender.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rs3gw.auth.credentials import Authority, Credential, token_of
from rs3gw.auth.evidence import Anonymous, Bearer, Signature
from rs3gw.errors import (
    AccessDenied,
    AuthorizationHeaderMalformed,
    InvalidArgument,
    InvalidToken,
    MissingSecurityHeader,
    NotImplementedHere,
    S3Error,
    SignatureDoesNotMatch,
)
from rs3gw.rpc import evidence

PATH = "/s3.ObjectService/PutObject"
OWNER = Credential(access_key="AKOWNER", secret_key="owner-secret", name="owner")
SCOPE = "20260101/us-east-1/s3/aws4_request"
SIGNED = "AWS4-HMAC-SHA256 Credential=AKOWNER/{scope}, SignedHeaders={headers}, Signature={signature}"

# Made by botocore's S3SigV4Auth of POST http://grpc/s3.ObjectService/PutObject, as the conformance driver signs.
SIGNATURE = "891ee67ea17233141d8c5c7000a7c4e1e5c6ef4b3756e70866653ef3fb18467f"


class Noon:
    """It is noon of the first of January 2026."""

    def now(self):
        return datetime(2026, 1, 1, 12, tzinfo=UTC)


def signed(*, headers="x-amz-content-sha256;x-amz-date", signature=SIGNATURE, scope=SCOPE, **metadata):
    said = {"x-amz-date": "20260101T120000Z", "x-amz-content-sha256": "UNSIGNED-PAYLOAD"} | metadata
    authorization = SIGNED.format(headers=headers, signature=signature, scope=scope)
    return [("authorization", authorization), *((name.replace("_", "-"), value) for name, value in said.items())]


def gather(metadata, *, path=PATH, peer="ipv4:10.0.0.7:5000", secure=False):
    return evidence.gather(path, metadata, peer, secure=secure)


def identify(metadata, *, path=PATH):
    return Authority([OWNER], region="us-east-1", clock=Noon()).identify(gather(metadata, path=path))


def test_nothing_shows_nobody():
    assert gather([("user-agent", "grpc")]).proof == Anonymous()


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_a_token_shows_who_has_it(scheme):
    metadata = [("authorization", f"{scheme} {token_of(OWNER)}")]

    assert gather(metadata).proof == Bearer(token_of(OWNER))
    assert identify(metadata).name == "owner"


def test_a_signature_speaks_of_the_method_and_the_signed_metadata():
    proof = gather(signed()).proof

    assert isinstance(proof, Signature)
    assert (proof.method, proof.path, proof.query, proof.payload_hash) == ("POST", PATH, (), "UNSIGNED-PAYLOAD")
    assert identify(signed()).name == "owner"


def test_a_signature_is_good_for_its_method_alone():
    with pytest.raises(SignatureDoesNotMatch):
        identify(signed(), path="/s3.ObjectService/DeleteObject")


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        (signed(signature="0" * 64), SignatureDoesNotMatch),
        (signed(headers="x-amz-date"), MissingSecurityHeader),
        (signed(headers="x-amz-content-sha256"), MissingSecurityHeader),
        (signed(x_amz_content_sha256="0" * 64), InvalidArgument),
        (signed(scope="20260101/us-east-1/aws4_request"), AuthorizationHeaderMalformed),
        (signed(scope="20260101/eu-west-1/s3/aws4_request"), AuthorizationHeaderMalformed),
        (signed(x_amz_user_agent="forged"), AccessDenied),
        (signed(x_amz_security_token="token"), InvalidToken),
        (signed(x_amz_server_side_encryption="AES256"), NotImplementedHere),
        ([("authorization", "AWS4-HMAC-SHA256 Signature=0")], AuthorizationHeaderMalformed),
        ([("authorization", "Basic b3duZXI6")], InvalidArgument),
        ([("authorization", "Bearer ")], InvalidToken),
        ([("authorization", "Bearer AKOWNER.0")], InvalidToken),
        ([("authorization", f"Bearer {token_of(OWNER)}")] * 2, InvalidToken),
    ],
)
def test_what_is_wrong_is_refused(metadata, error):
    with pytest.raises(S3Error) as caught:
        identify(metadata)

    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.7:5000", "10.0.0.7"),
        ("ipv6:%5B::1%5D:5000", "::1"),
        ("ipv6:[2001:db8::7]:5000", "2001:db8::7"),
        ("unix:", None),
        ("", None),
    ],
)
def test_the_peer_has_the_address_that_policies_speak_of(peer, address):
    assert gather([], peer=peer).source_ip == address


def test_what_carried_the_call_is_told():
    shown = gather([("user-agent", "a"), ("referer", "b")], secure=True)

    assert (shown.protocol, shown.secure, shown.user_agent, shown.referer) == ("grpc", True, "a", "b")

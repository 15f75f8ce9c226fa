"""
What a request shows of its sender; that it is taken apart rightly is what every signed test of this folder shows.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rs3gw.auth.evidence import UNSIGNED_PAYLOAD, Anonymous, Foreign, Signature
from rs3gw.errors import S3Error
from rs3gw.rest import evidence, messages

SIGNED = (
    "AWS4-HMAC-SHA256 Credential=AK/20261123/us-east-1/s3/aws4_request,"
    "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=" + "a" * 64
)
HEADERS = {"x-amz-date": "20261123T000000Z", "x-amz-content-sha256": UNSIGNED_PAYLOAD}
PRESIGNED = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AK%2F20261123%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20261123T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=" + "a" * 64
)


def shown(query="", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = messages.read(
        {
            "method": "GET",
            "raw_path": b"/b/k",
            "query_string": query.encode("utf-8", "surrogateescape"),
            "headers": [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in named.items()],
            "scheme": "http",
            "client": ("192.0.2.1", 1),
        }
    )
    return evidence.gather(request, request.parameters())


def refusal(query="", **headers):
    with pytest.raises(S3Error) as raised:
        shown(query, **headers)
    return raised.value.code


def test_who_shows_nothing_is_anonymous():
    found = shown(user_agent="curl", referer="http://example.com/")

    assert isinstance(found.proof, Anonymous)
    assert (found.source_ip, found.user_agent, found.referer) == ("192.0.2.1", "curl", "http://example.com/")


def test_an_authorization_header_is_taken_apart():
    proof = shown(authorization=SIGNED, **HEADERS).proof

    assert isinstance(proof, Signature)
    assert (proof.access_key, str(proof.scope)) == ("AK", "20261123/us-east-1/s3/aws4_request")
    assert proof.signed_headers == ("host", "x-amz-content-sha256", "x-amz-date")
    assert proof.signature == "a" * 64


def test_a_date_may_stand_for_x_amz_date():
    proof = shown(
        authorization=SIGNED, date="Mon, 23 Nov 2026 00:00:00 GMT", **{"x-amz-content-sha256": "0" * 64}
    ).proof

    assert isinstance(proof, Signature)
    assert proof.timestamp == "20261123T000000Z"


def test_a_presigned_url_is_taken_apart_and_its_signature_is_not_of_itself():
    proof = shown(PRESIGNED).proof

    assert isinstance(proof, Signature)
    assert (proof.access_key, proof.expires_seconds, proof.payload_hash) == ("AK", 60, UNSIGNED_PAYLOAD)
    assert "X-Amz-Signature" not in dict(proof.query)


@pytest.mark.parametrize(
    ("query", "headers", "code"),
    [
        ("", {"authorization": "AWS AK:c2lnbmF0dXJl"}, "InvalidRequest"),
        ("AWSAccessKeyId=AK&Signature=s", {}, "AccessDenied"),
        ("", {"authorization": "AWS4-ECDSA-P256-SHA256 Credential=AK"}, "NotImplemented"),
        ("", {"authorization": SIGNED, **HEADERS, "x-amz-content-sha256": "nonsense"}, "InvalidArgument"),
        (
            "",
            {"authorization": SIGNED, **HEADERS, "x-amz-content-sha256": "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"},
            "NotImplemented",
        ),
        ("", {"x-amz-content-sha256": "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"}, "NotImplemented"),
        ("", {"authorization": SIGNED, "x-amz-date": "20261123T000000Z"}, "InvalidRequest"),
        ("", {"authorization": SIGNED, "x-amz-content-sha256": "0" * 64}, "AccessDenied"),
        ("", {"authorization": SIGNED.replace("/s3", ""), **HEADERS}, "AuthorizationHeaderMalformed"),
        ("", {"authorization": SIGNED + ",Signature=b", **HEADERS}, "AuthorizationHeaderMalformed"),
        (PRESIGNED, {"authorization": SIGNED, **HEADERS}, "InvalidArgument"),
        (PRESIGNED.replace("X-Amz-Expires=60&", ""), {}, "AuthorizationQueryParametersError"),
        (PRESIGNED.replace("=60", "=soon"), {}, "AuthorizationQueryParametersError"),
        (PRESIGNED.replace("HMAC-SHA256", "HMAC-SHA1"), {}, "AuthorizationQueryParametersError"),
    ],
)
def test_what_looks_like_a_signature_and_is_none_never_becomes_anonymous(query, headers, code):
    assert refusal(query, **headers) == code


def test_a_mechanism_that_is_not_ours_has_its_refusal_with_it():
    """An authenticator of the operator's may know it; the access keys do not."""
    proof = shown(authorization="Basic dXNlcjpwYXNz").proof

    assert isinstance(proof, Foreign)
    assert proof.fault.code == "InvalidArgument"


FIELDS = ("Credential=AK/20261123/us-east-1/s3/aws4_request", "SignedHeaders=host", f"Signature={'a' * 64}")


@pytest.mark.parametrize("between", [", ", ",", " , "])
@pytest.mark.parametrize("order", list(itertools.permutations(FIELDS)))
def test_the_fields_of_an_authorization_stand_in_any_order(order, between):
    proof = shown(authorization=f"AWS4-HMAC-SHA256 {between.join(order)} ", **HEADERS).proof

    assert (proof.access_key, proof.scope.region, proof.signed_headers) == ("AK", "us-east-1", ("host",))
    assert proof.signature == "a" * 64


@pytest.mark.parametrize(
    "said",
    ["Signature=", "XSignature=", "Signature=Signature=", "Signature=b, Signature=", "Signature=b,", ",Signature="],
)
def test_one_signature_and_no_other_is_shown(said):
    fields = f"{FIELDS[0]}, {FIELDS[1]}, {said}"

    if said == "Signature=":
        assert shown(authorization=f"AWS4-HMAC-SHA256 {fields}{'a' * 64}", **HEADERS).proof.signature == "a" * 64
    else:
        assert (
            refusal(authorization=f"AWS4-HMAC-SHA256 {fields}{'a' * 64}", **HEADERS) == "AuthorizationHeaderMalformed"
        )


PIECES = st.lists(
    st.sampled_from(["AWS4-HMAC-SHA256", " ", "Credential=", "AK/20261123/us-east-1/s3/aws4_request", ",", "=", "/",
                     "SignedHeaders=host", "Signature=", "a" * 64, "²", "\udcff"])
    | st.text(st.characters(max_codepoint=255), max_size=8),
    max_size=14,
)  # fmt: skip


@given(pieces=PIECES)
def test_any_authorization_is_evidence_or_a_refusal(pieces):
    try:
        found = shown(authorization="".join(pieces), **HEADERS)
    except S3Error:
        return

    assert isinstance(found.proof, Signature | Foreign)

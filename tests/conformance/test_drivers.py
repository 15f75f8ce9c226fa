"""What drivers are made of: names, bytes and signatures."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from conformance.drivers import Absent, Answer, model, rest
from conformance.drivers.bodies import Measure, Pattern, chunks_of
from conformance.targets import Keys
from conformance.wire import Head, chunked, sign
from rs3gw.operations import OPERATIONS

KEYS = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


@given(size=st.integers(0, 300_000), offset=st.integers(0, 300_000), length=st.integers(0, 100_000))
def test_a_slice_of_a_pattern_is_a_slice_of_its_bytes(size, offset, length):
    pattern = Pattern(size, seed=7)

    assert b"".join(pattern.slice(offset, length)) == pattern.read()[offset : offset + length]
    assert len(pattern.read()) == size


def test_the_same_seed_makes_the_same_bytes_and_another_seed_others():
    assert Pattern(100_000, 1).read() == Pattern(100_000, 1).read()
    assert Pattern(100_000, 1).read() != Pattern(100_000, 2).read()


def test_blocks_of_a_pattern_differ_so_that_a_misplaced_part_is_seen():
    data = Pattern(3 * 65536).read()

    assert len({data[start : start + 65536] for start in (0, 65536, 131072)}) == 3


def test_a_measure_of_chunks_is_the_measure_of_the_whole():
    data = Pattern(200_000).read()

    assert Measure.of(chunks_of(data, 999)) == Measure.of(data)
    assert Measure.of(data).md5 == hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_field_of_an_operation_is_a_field_that_drivers_know(name):
    """A field that is spelled otherwise here and there would be one that no scenario can reach."""
    model.check_fields(name, [field.name for field in OPERATIONS[name].input.spelled()])


def test_a_field_that_an_operation_does_not_have_is_a_mistake_of_the_step():
    with pytest.raises(TypeError, match="colour"):
        rest.spell("PutObject", {"bucket": "b", "key": "k", "colour": "blue"})


@pytest.mark.parametrize("key", ["a/../b", "a//b", "/a", ".", "a b+c", "%2F", "é", "~-_."])
def test_a_key_goes_out_percent_encoded_once_and_is_made_no_nicer(key):
    from urllib.parse import unquote

    path = rest.spell("GetObject", {"bucket": "b", "key": key}).path

    assert unquote(path) == f"/b/{key}"
    assert path.isascii()
    assert " " not in path


def test_an_answer_without_a_field_says_what_it_has():
    with pytest.raises(Absent, match="etag"):
        Answer(operation="HeadObject", fields={"etag": "x"})["version_id"]


def test_the_wire_runner_signs_as_botocore_does():
    """Two signers that share no code agree; a server that agrees with neither is wrong."""
    target = "/b/a%20b?list-type=2&prefix=x%2Fy&acl="
    head = Head.parse(f"GET {target} HTTP/1.1\nHost: example.com\nX-Amz-Meta-Note:  two   spaces \n")
    scope = sign(head, {}, KEYS, b"", region="us-east-1")

    request = AWSRequest("GET", f"http://example.com{target}", headers={"X-Amz-Meta-Note": "two   spaces"})
    signer = S3SigV4Auth(Credentials(KEYS.access_key, KEYS.secret_key), "s3", "us-east-1")
    request.context["timestamp"] = scope.stamp
    request.headers["X-Amz-Date"] = scope.stamp
    request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(b"").hexdigest()
    text = signer.string_to_sign(request, signer.canonical_request(request))

    assert scope.signature == signer.signature(text, request)


def test_chunks_are_framed_and_signed_as_the_reference_shows():
    """The example of S3's reference: 65,536 and 1,024 bytes of "a", on 24 May 2013."""
    from conformance.wire import Scope, _hmac

    key = b"AWS4" + KEYS.secret_key.encode()
    for step in ("20130524", "us-east-1", "s3", "aws4_request"):
        key = _hmac(key, step)
    scope = Scope(
        key=key,
        scope="20130524/us-east-1/s3/aws4_request",
        stamp="20130524T000000Z",
        signature="4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    )
    framed = chunked({"data": ["a" * 65536, "a" * 1024]}, scope).decode()

    assert framed.startswith(
        "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n"
    )
    assert "\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" in framed
    assert framed.endswith("0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n")
    assert len(framed) == 66824


def test_a_link_is_signed_as_of_the_time_that_is_given():
    import httpx

    from conformance.targets import Place

    place = Place(url="http://example.com", identities={"owner": KEYS})
    driver = rest.Rest(place, httpx.Client(), "owner", KEYS)
    link = driver.presign("GetObject", lifetime_seconds=60, at=datetime(2013, 5, 24, tzinfo=UTC), bucket="b", key="k")

    assert "X-Amz-Date=20130524T000000Z" in link.url
    assert "X-Amz-Expires=60" in link.url

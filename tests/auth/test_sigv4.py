"""
SigV4 against what Amazon publishes, and against botocore as a witness.

The vectors are those of https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html,
…/sigv4-query-string-auth.html, …/sigv4-streaming.html and …/sigv4-streaming-trailers.html.
"""

from __future__ import annotations

import hashlib
import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from unittest.mock import patch
from urllib.parse import quote, quote_plus, urlsplit

import boto3
import pytest
from botocore import auth as botocore_auth
from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from rs3gw.auth import sigv4
from rs3gw.auth.credentials import Authority, Credential
from rs3gw.auth.evidence import Evidence, Scope, Signature
from rs3gw.errors import S3Error
from rs3gw.rest import evidence, messages, routing

EXAMPLE = Credential(
    access_key="AKIAIOSFODNN7EXAMPLE", secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", name="example"
)
MAY_2013 = datetime(2013, 5, 24, tzinfo=UTC)
SCOPE = Scope(date="20130524", region="us-east-1", service="s3")
EMPTY = hashlib.sha256(b"").hexdigest()


class StoppedClock:
    """It is always the midnight of the examples."""

    def now(self) -> datetime:
        return MAY_2013


AUTHORITY = Authority([EXAMPLE], region="us-east-1", clock=StoppedClock())


def example(method, path, signature, payload_hash=EMPTY, query=(), **headers):
    """A request as an example has it; every header is signed."""
    said = {"host": "examplebucket.s3.amazonaws.com", "x-amz-content-sha256": payload_hash,
            "x-amz-date": "20130524T000000Z"}  # fmt: skip
    said |= {name.replace("_", "-"): value for name, value in headers.items()}
    return Signature(
        access_key=EXAMPLE.access_key,
        scope=SCOPE,
        signed_headers=tuple(sorted(said)),
        signature=signature,
        timestamp="20130524T000000Z",
        method=method,
        path=path,
        query=query,
        headers=said,
        payload_hash=payload_hash,
    )


def identify(proof):
    return AUTHORITY.identify(Evidence(proof=proof))


@pytest.mark.parametrize(
    "shown",
    [
        example(
            "GET",
            "/test.txt",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            range="bytes=0-9",
        ),
        example(
            "PUT",
            "/test$file.text",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            hashlib.sha256(b"Welcome to Amazon S3.").hexdigest(),
            date="Fri, 24 May 2013 00:00:00 GMT",
            x_amz_storage_class="REDUCED_REDUNDANCY",
        ),
        example(
            "GET",
            "/",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            query=(("lifecycle", ""),),
        ),
        example(
            "GET",
            "/",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            query=(("max-keys", "2"), ("prefix", "J")),
        ),
    ],
    ids=["GetObject", "PutObject", "GetBucketLifecycle", "ListObjects"],
)
def test_the_examples_of_the_header_verify(shown):
    assert identify(shown).name == "example"


def test_the_example_of_a_link_verifies():
    shown = replace(
        example("GET", "/test.txt", "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"),
        headers={"host": "examplebucket.s3.amazonaws.com"},
        signed_headers=("host",),
        payload_hash="UNSIGNED-PAYLOAD",
        expires_seconds=86400,
        query=(
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"),
            ("X-Amz-Date", "20130524T000000Z"),
            ("X-Amz-Expires", "86400"),
            ("X-Amz-SignedHeaders", "host"),
        ),
    )

    assert identify(shown).name == "example"


CHUNKED = {
    "host": "s3.amazonaws.com",
    "content_encoding": "aws-chunked",
    "content_length": "66824",
    "x_amz_decoded_content_length": "66560",
    "x_amz_storage_class": "REDUCED_REDUNDANCY",
}
CHUNKS = [hashlib.sha256(b"a" * size).hexdigest() for size in (65536, 1024, 0)]


def test_the_example_of_a_body_in_chunks_verifies_link_by_link():
    shown = example(
        "PUT",
        "/examplebucket/chunkObject.txt",
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        **CHUNKED,
    )

    signer = identify(shown).signer

    assert [signer.chunk(digest) for digest in CHUNKS] == [
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ]


def test_the_example_of_a_trailer_verifies():
    chunked = {name: value for name, value in CHUNKED.items() if name != "content_length"}
    shown = example(
        "PUT",
        "/examplebucket/chunkObject.txt",
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        x_amz_trailer="x-amz-checksum-crc32c",
        **chunked,
    )

    signer = identify(shown).signer

    assert [signer.chunk(digest) for digest in CHUNKS] == [
        "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    ]
    assert signer.trailer(hashlib.sha256(b"x-amz-checksum-crc32c:sOO8/Q==\n").hexdigest()) == (
        "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
    )


def test_chunks_in_another_order_have_other_signatures():
    first, second = (
        sigv4.ChunkSigner(key=b"key", seed="seed", scope=SCOPE, timestamp="20130524T000000Z") for _ in range(2)
    )

    assert {first.chunk(CHUNKS[0]), first.chunk(CHUNKS[1])}.isdisjoint(
        (second.chunk(CHUNKS[1]), second.chunk(CHUNKS[0]))
    )


@pytest.mark.parametrize(("sent", "agrees"), [("ab", True), ("aB", False), ("", False), ("\udcff", False)])
def test_signatures_agree_only_if_they_are_the_same(sent, agrees):
    assert sigv4.ChunkSigner.agree("ab", sent) is agrees


# The canonical form ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("/", "/"),
        ("/a//b/../c/.", "/a//b/../c/."),
        ("/a%2fb", "/a/b"),
        ("/a%2Bb+c", "/a%2Bb%2Bc"),
        ("/a b", "/a%20b"),
        ("/%7Ea~", "/~a~"),
        ("/%e2%82%ac", "/%E2%82%AC"),
        ("/\u20ac".encode().decode("latin-1"), "/%E2%82%AC"),
        ("/%FF", "/%FF"),
        ("/a%250", "/a%250"),
        ("/(a)'!*", "/%28a%29%27%21%2A"),
        ("/a\n", "/a%0A"),
    ],
)
def test_a_path_is_encoded_once_and_never_normalised(raw, canonical):
    assert sigv4.canonical_path(raw) == canonical


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("", ""),
        ("acl", "acl="),
        ("b=2&a=1", "a=1&b=2"),
        ("a=2&a=1&A=3", "A=3&a=1&a=2"),
        ("prefix=a+b%2Bc%20d", "prefix=a%20b%2Bc%20d"),
        ("prefix=a/b~", "prefix=a%2Fb~"),
        ("prefix=%e2%82%ac", "prefix=%E2%82%AC"),
        ("prefix=" + "\u20ac".encode().decode("latin-1"), "prefix=%E2%82%AC"),
        ("prefix=%FF", "prefix=%FF"),
        ("a=b=c", "a=b%3Dc"),
        ("a-=1&a=1", "a=1&a-=1"),
    ],
)
def test_a_query_is_sorted_and_encoded_anew(raw, canonical):
    assert sigv4.canonical_query(messages.pairs(raw)) == canonical


def test_a_header_is_trimmed_and_its_spaces_are_folded():
    headers = {"a": "  x \t y  ", "b": "1,2", "c": "", "d": "x\u00a0 \u00a0y"}

    assert sigv4.canonical_headers(headers, ["a", "b", "c", "d"]) == "a:x y\nb:1,2\nc:\nd:x\u00a0 \u00a0y\n"


def test_a_signing_key_is_derived_once():
    sigv4.signing_key.cache_clear()
    for _ in range(3):
        sigv4.signing_key("secret", "20130524", "us-east-1", "s3")

    assert sigv4.signing_key.cache_info().misses == 1
    assert sigv4.signing_key.cache_info().maxsize


# botocore as a witness ---------------------------------------------------------------------------------------


KEY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
HEADER_VALUE = st.text(string.ascii_letters + string.digits + " ,;=/\t", max_size=12)
QUERY = st.dictionaries(st.sampled_from(["prefix", "delimiter", "marker", "uploads", "max-keys"]), KEY, max_size=3)
METADATA = st.dictionaries(st.sampled_from(["x-amz-meta-a", "x-amz-meta-b", "range", "x-amz-acl"]), HEADER_VALUE)
METHOD = st.sampled_from(["GET", "PUT", "HEAD", "DELETE", "POST"])

WITNESS = Credentials(EXAMPLE.access_key, EXAMPLE.secret_key)


def url_of(key, query):
    encoded = "&".join(f"{quote(name, safe='')}={quote(value, safe='-._~')}" for name, value in query.items())
    return f"https://127.0.0.1:9000/bucket/{quote(key, safe='/-._~')}" + (f"?{encoded}" if encoded else "")


def now():
    """The time of day that botocore signs with."""
    return datetime.now(UTC)


class Now:
    """The time of day: botocore has no other."""

    def now(self) -> datetime:
        return now()


def judged(method, url, headers):
    """What the server makes of a request, by the way that a request takes."""
    split = urlsplit(url)
    request = messages.read(
        {
            "method": method,
            "raw_path": split.path.encode(),
            "query_string": split.query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "scheme": "https",
            "client": ("192.0.2.1", 1),
        }
    )
    authority = Authority([EXAMPLE], region="us-east-1", clock=Now())
    try:
        host_bucket = routing.locate(request, ("localhost",)).host_bucket
        return authority.identify(evidence.gather(request, request.parameters(), host_bucket=host_bucket)).name
    except S3Error as fault:
        return fault.code


def by_header(method, url, headers):
    request = AWSRequest(method=method, url=url, headers={"host": "127.0.0.1:9000", **headers}, data=b"")
    S3SigV4Auth(WITNESS, "s3", "us-east-1").add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@settings(max_examples=150, deadline=None)
@given(method=METHOD, key=KEY, query=QUERY, headers=METADATA)
def test_what_botocore_signs_verifies(method, key, query, headers):
    url = url_of(key, query)

    assert judged(method, url, by_header(method, url, headers)) == "example"


@settings(max_examples=100, deadline=None)
@given(method=METHOD, key=KEY, query=QUERY, seconds=st.integers(1, 604_800))
def test_a_link_that_botocore_presigns_verifies(method, key, query, seconds):
    request = AWSRequest(method=method, url=url_of(key, query), headers={})
    S3SigV4QueryAuth(WITNESS, "s3", "us-east-1", expires=seconds).add_auth(request)

    assert judged(method, request.url, {"host": "127.0.0.1:9000"}) == "example"
    assert judged(method, request.url, {"host": "127.0.0.1:9001"}) == "SignatureDoesNotMatch"


@settings(max_examples=150, deadline=None)
@given(data=st.data(), key=KEY, query=QUERY, headers=METADATA)
def test_one_changed_character_is_found(data, key, query, headers):
    url = url_of(key, query)
    signed = by_header("PUT", url, headers)
    what = data.draw(st.sampled_from(["method", "url", "signature", *[name for name in signed if name in headers]]))
    method = "PUT"
    if what == "method":
        method = "POST"
    elif what == "url":
        # A letter is never part of the escape before it, nor folded away.
        url += "x"
    elif what == "signature":
        place = data.draw(st.integers(-64, -1))
        value = signed["authorization"]
        other = "0" if value[place] != "0" else "1"
        signed["authorization"] = value[:place] + other + (value[place + 1 :] if place != -1 else "")
    else:
        signed[what] += "x"

    assert judged(method, url, signed) == "SignatureDoesNotMatch"


@settings(max_examples=100, deadline=None)
@given(key=KEY, prefix=st.text(string.ascii_letters + " +&=~*", max_size=8))
def test_a_plus_for_a_space_in_a_query_is_signed_as_a_space(key, prefix):
    """Some SDKs write a query as a form does and sign it with %20 in its place."""
    url = url_of(key, {"prefix": prefix})
    signed = by_header("GET", url, {})

    assert judged("GET", url.partition("?")[0] + f"?prefix={quote_plus(prefix)}", signed) == "example"


@settings(max_examples=50, deadline=None)
@given(key=KEY)
def test_a_path_sent_less_encoded_than_it_was_signed_verifies(key):
    """An HTTP client may leave in a path what a signer encodes."""
    url = url_of(key, {})
    signed = by_header("GET", url, {})
    lenient = f"https://127.0.0.1:9000/bucket/{quote(key, safe='/-._~!$&()*+,:;=@')}"

    assert judged("GET", lenient, signed) == "example"


@settings(max_examples=50, deadline=None)
@given(key=KEY, seconds=st.integers(60, 604_800))
def test_a_link_of_version_2_that_botocore_presigns_verifies(key, seconds):
    request = AWSRequest(method="GET", url=url_of(key, {}), headers={})
    HmacV1QueryAuth(WITNESS, expires=seconds).add_auth(request)

    assert judged("GET", request.url, {"host": "127.0.0.1:9000"}) == "example"
    assert judged("PUT", request.url, {"host": "127.0.0.1:9000"}) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        ("list_objects_v2", {}),
        ("list_objects_v2", {"Prefix": "a b", "Delimiter": "/"}),
        ("head_bucket", {}),
        ("get_bucket_location", {}),
        ("get_object", {"Key": "a/b c", "ResponseContentType": "text/plain"}),
        ("upload_part", {"Key": "key", "UploadId": "upload", "PartNumber": 2}),
    ],
)
def test_a_link_that_boto3_makes_by_default_verifies(operation, fields, style):
    """Its default is version 2, and it signs a bucket as /bucket/ whichever way it sends it."""
    client = boto3.client(
        "s3",
        endpoint_url="http://localhost:9000",
        aws_access_key_id=EXAMPLE.access_key,
        aws_secret_access_key=EXAMPLE.secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": style}),
    )
    method = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation]).http["method"]
    link = client.generate_presigned_url(operation, {"Bucket": "bucket", **fields})

    assert "AWSAccessKeyId=" in link
    assert judged(method, link, {"host": urlsplit(link).netloc}) == "example"


def test_botocore_of_a_quarter_of_an_hour_ago_is_too_late():
    past = now() - timedelta(minutes=16)
    url = url_of("key", {})
    with patch.object(botocore_auth, "get_current_datetime", lambda *_: past.replace(tzinfo=None)):
        signed = by_header("GET", url, {})

    assert judged("GET", url, signed) == "RequestTimeTooSkewed"

"""
Which operation a request is, and what is refused before it could be taken for another.
"""

from __future__ import annotations

import contextlib
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rs3gw.errors import AccessForbidden, InvalidURI, MethodNotAllowed, NotImplementedHere, S3Error
from rs3gw.rest import messages, routing

DOMAINS = ("s3.localhost", "localhost")


def request(method, target, **headers):
    path, _, query = target.partition("?")
    pairs = [
        (name.replace("_", "-").encode(), value.encode()) for name, value in {"host": "127.0.0.1", **headers}.items()
    ]
    return messages.read(
        {
            "method": method,
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "headers": pairs,
            "scheme": "http",
            "client": None,
        }
    )


def route(method, target, **headers):
    asked = request(method, target, **headers)
    return routing.route(asked, routing.locate(asked, DOMAINS), asked.parameters())


@pytest.mark.parametrize(
    ("method", "target", "headers", "name"),
    [
        ("GET", "/", {}, "ListBuckets"),
        ("PUT", "/b", {}, "CreateBucket"),
        ("PUT", "/b/", {}, "CreateBucket"),
        ("GET", "/b", {}, "ListObjects"),
        ("GET", "/b?list-type=2&prefix=a", {}, "ListObjectsV2"),
        ("GET", "/b?uploads&prefix=a", {}, "ListMultipartUploads"),
        ("GET", "/b?location=", {}, "GetBucketLocation"),
        ("PUT", "/b/k", {}, "PutObject"),
        ("PUT", "/b/k?x-id=PutObject", {}, "PutObject"),
        ("PUT", "/b/k", {"x_amz_copy_source": "b/a"}, "CopyObject"),
        ("PUT", "/b/k?partNumber=1&uploadId=u", {}, "UploadPart"),
        ("PUT", "/b/k?uploadId=u&partNumber=1", {"x_amz_copy_source": "b/a"}, "UploadPartCopy"),
        ("POST", "/b/k?uploadId=u", {}, "CompleteMultipartUpload"),
        ("GET", "/b/k?versionId=null", {}, "GetObject"),
        ("GET", "/b/k?utm_source=somewhere", {}, "GetObject"),
        ("GET", "/k", {"host": "b.localhost:9000"}, "GetObject"),
        ("GET", "/", {"host": "b.localhost"}, "ListObjects"),
    ],
)
def test_a_request_is_the_operation_that_it_asks_for(method, target, headers, name):
    assert route(method, target, **headers).name == name


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "/b?cors"),
        ("PUT", "/b?encryption="),
        ("GET", "/b/k?acl"),
        ("PUT", "/b/k?retention&versionId=null"),
        ("GET", "/b?somethingNewerThanThisServer"),
        ("POST", "/b/k?select&select-type=2"),
        ("GET", "/b?list-type=2&versions"),
        ("GET", "/?x-id=ListSomethingElse"),
    ],
)
def test_what_s3_has_and_we_have_not_is_said_by_name(method, target):
    with pytest.raises(NotImplementedHere) as refusal:
        route(method, target)
    assert refusal.value.query is not None


def test_a_form_upload_is_not_a_bucket_s():
    with pytest.raises(NotImplementedHere):
        route("POST", "/b", content_type="multipart/form-data; boundary=x")


@pytest.mark.parametrize(
    ("method", "target", "kind"), [("PATCH", "/b/k", "OBJECT"), ("POST", "/b", "BUCKET"), ("DELETE", "/", "SERVICE")]
)
def test_a_method_that_does_not_go_with_a_resource_is_told_which(method, target, kind):
    with pytest.raises(MethodNotAllowed) as refusal:
        route(method, target)
    assert kind == refusal.value.resource_type


def test_a_preflight_is_told_that_there_is_no_cors():
    with pytest.raises(AccessForbidden):
        route("OPTIONS", "/b/k")


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("localhost:9000", None),
        ("127.0.0.1:9000", None),
        ("[::1]:9000", None),
        ("a.localhost", "a"),
        ("A.LocalHost:9000", "a"),
        ("a.b.localhost", "a.b"),
        ("a.s3.localhost", "a"),
        ("notlocalhost", None),
        ("proxy.example.com", None),
        ("", None),
    ],
)
def test_a_host_names_a_bucket_under_a_domain_of_ours(host, bucket):
    assert routing.bucket_of_host(host, DOMAINS) == bucket


@given(key=st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
def test_a_key_is_decoded_once_and_nothing_of_it_is_lost(key):
    asked = request("GET", "/bucket/" + quote(key, safe="/"))

    assert routing.locate(asked, ()).labels == {"bucket": "bucket", "key": key}


@pytest.mark.parametrize("key", ["%252F", "a//b", "/a", "..", "a+b", "a%2Fb", "%C3%A9"])
def test_what_looks_like_a_path_is_a_key(key):
    assert routing.locate(request("GET", "/b/" + key), ()).labels["key"] == unquote(key)


@pytest.mark.parametrize("key", ["%", "%4", "%zz", "a%", "%ff", "%c3", "%ed%a0%80", "\xff"])
def test_a_path_that_says_no_utf_8_is_refused(key):
    with pytest.raises(InvalidURI):
        routing.locate(request("GET", "/b/" + key), ())


@given(
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD"]),
    path=st.text(st.characters(max_codepoint=255), max_size=20),
    query=st.text(st.characters(max_codepoint=255), max_size=40),
)
def test_any_target_is_an_operation_or_a_refusal(method, path, query):
    with contextlib.suppress(S3Error):
        assert route(method, f"/{path}?{query}").method == method

"""
The drivers of Connect and gRPC-Web: what they send, and that they take no answer that their protocol does not have.

A server that answers anything at all is a function here; the real one is asked in test_inprocess.py.
"""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from urllib.parse import parse_qsl

import httpx
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from conformance import plan
from conformance.drivers import Broken, Unsupported
from conformance.steps.answers import refused_with
from conformance.targets import Keys, Off, Place

JSON, STREAM, WEB = "application/json", "application/connect+json", "application/grpc-web+proto"
INFO = ErrorInfo(reason="NoSuchKey", domain="rs3gw", metadata={"Key": "k"})
DETAIL = {"type": "google.rpc.ErrorInfo", "value": base64.b64encode(INFO.SerializeToString()).decode().rstrip("=")}
MISSING = {"code": "not_found", "message": "No such key.", "details": [DETAIL]}


def envelope(data: bytes, flags: int = 0) -> bytes:
    return bytes((flags,)) + len(data).to_bytes(4, "big") + data


def end(said: object) -> bytes:
    return envelope(json.dumps(said).encode(), 2)


def trailers(status: int, *, message: str = "", details: str | None = None) -> bytes:
    lines = [f"grpc-status: {status}", f"grpc-message: {message}"]
    return envelope(
        "".join(f"{line}\r\n" for line in lines + ([f"{BIN}: {details}"] if details else [])).encode(), 0x80
    )


BIN = "grpc-status-details-bin"


def packed() -> str:
    status = Status(code=5, message="No such key.")
    status.details.add().Pack(INFO)
    return base64.b64encode(status.SerializeToString()).decode().rstrip("=")


def driver(name: str, status: int, kind: str, body: bytes, asked: list[httpx.Request] | None = None):
    """The owner's driver onto a server that answers this to everything."""

    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        if asked is not None:
            asked.append(request)
        pieces = (body[start : start + 3] for start in range(0, len(body), 3))
        return httpx.Response(status, headers={"content-type": kind}, content=pieces)

    place = Place(
        url="http://x",
        grpc="x:1",
        identities={"owner": Keys("key", "secret")},
        transport=lambda: httpx.MockTransport(answer),
    )
    return plan.make_driver(name, place)


def parameters(request: httpx.Request) -> dict[str, str]:
    """The query as it goes out."""
    return dict(parse_qsl(request.extensions["target"].decode().partition("?")[2]))


def heads(name: str, status: int, kind: str, body: bytes):
    return driver(name, status, kind, body).perform("HeadObject", bucket="b", key="k")


def gets(name: str, status: int, kind: str, body: bytes):
    return driver(name, status, kind, body).perform("GetObject", bucket="b", key="k")


# What is sent --------------------------------------------------------------------------------------------------


def test_connect_asks_in_json_and_signs_the_method():
    asked: list[httpx.Request] = []
    driver("connect", 200, JSON, b"{}", asked).perform("ListObjectsV2", bucket="b", max_keys=2)
    (request,) = asked

    assert (request.method, request.url.path) == ("POST", "/s3.ObjectService/ListObjects")
    assert request.headers["content-type"] == JSON
    assert json.loads(request.content) == {"bucket": "b", "maxKeys": 2}
    assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=key/")


def test_a_stream_is_asked_for_in_an_envelope():
    asked: list[httpx.Request] = []
    driver("connect", 200, STREAM, envelope(b"{}") + end({}), asked).perform("GetObject", bucket="b", key="k")

    assert asked[0].headers["content-type"] == STREAM
    assert asked[0].content == envelope(b'{"bucket": "b", "key": "k"}')


@pytest.mark.parametrize("name", ["connect", "grpcweb"])
@pytest.mark.parametrize(
    ("operation", "fields"), [("PutObject", {}), ("UploadPart", {"upload_id": "u", "part_number": 1})]
)
def test_an_upload_goes_to_a_url_that_was_signed_ahead_of_its_time(name, operation, fields):
    asked: list[httpx.Request] = []
    given = driver(name, 200, "", b"", asked).perform(operation, bucket="b", key="k", body=b"hello", **fields)
    (request,) = asked

    assert given.refusal is None
    assert (request.method, request.url.path, request.content) == ("PUT", "/b/k", b"hello")
    assert {"X-Amz-Signature", "X-Amz-Expires"} <= set(parameters(request))
    assert "authorization" not in request.headers


def test_nobody_stores_without_a_signature():
    asked: list[httpx.Request] = []
    driver("connect", 200, "", b"", asked).as_("anonymous").perform("PutObject", bucket="b", key="k", body=b"")

    assert not parameters(asked[0])
    assert "authorization" not in asked[0].headers


def test_what_a_client_says_of_an_upload_is_signed_with_its_url():
    asked: list[httpx.Request] = []
    driver("connect", 200, "", b"", asked).perform(
        "PutObject", bucket="b", key="k", body=b"", content_md5="x", if_none_match="*", metadata={"a": "1"}
    )

    assert parameters(asked[0])["X-Amz-SignedHeaders"] == "content-md5;host;if-none-match;x-amz-meta-a"
    assert [asked[0].headers[name] for name in ("content-md5", "if-none-match", "x-amz-meta-a")] == ["x", "*", "1"]


@pytest.mark.parametrize("name", ["connect", "grpcweb"])
def test_a_token_signs_no_url_and_makes_no_links(name):
    owner = driver(name, 200, JSON, b"{}")

    with pytest.raises(Unsupported, match="no bearer tokens"):
        owner.as_("owner", bearer=True).perform("PutObject", bucket="b", key="k", body=b"")
    with pytest.raises(Unsupported, match="are REST's"):
        owner.presign("GetObject", lifetime_seconds=1, bucket="b", key="k")


def test_where_there_is_no_grpc_there_are_no_rpcs_over_http():
    place = Place(url="http://x", identities={"owner": Keys("key", "secret")})

    with pytest.raises(Off, match="does not speak gRPC"):
        plan.make_driver("connect", place)


# What is taken -------------------------------------------------------------------------------------------------


def test_a_refusal_shows_its_code_with_the_status_of_http():
    found = heads("connect", 404, JSON, json.dumps(MISSING).encode()).refusal

    assert (found.code, found.status, found.message) == ("NoSuchKey", "404 not_found", "No such key.")
    assert found.fields == {"Key": "k"}


def test_a_stream_that_is_refused_has_begun_well():
    found = gets("connect", 200, STREAM, end({"error": MISSING})).refusal

    assert (found.code, found.status) == ("NoSuchKey", "200 not_found")


def test_a_refusal_of_grpc_web_stands_in_its_trailers():
    found = gets("grpcweb", 200, WEB, trailers(5, message="No%20such key.", details=packed())).refusal

    assert (found.code, found.status, found.message) == ("NoSuchKey", "NOT_FOUND", "No such key.")


@pytest.mark.parametrize("status", [204, 400, 403, 410, 500])
def test_the_right_code_with_the_wrong_status_is_a_failure(status):
    world = SimpleNamespace(driver=driver("connect", 404, JSON, b"{}"))
    refused_with(world, heads("connect", 404, JSON, json.dumps(MISSING).encode()), "NoSuchKey")

    with pytest.raises(AssertionError, match="the status for NoSuchKey is 404 not_found"):
        refused_with(world, heads("connect", status, JSON, json.dumps(MISSING).encode()), "NoSuchKey")


def test_an_upload_that_is_refused_is_refused_as_rest_refuses():
    body = b"<Error><Code>PreconditionFailed</Code><Message>No.</Message></Error>"
    owner = driver("connect", 412, "application/xml", body)
    answer = owner.perform("PutObject", bucket="b", key="k", body=b"", if_none_match="*")

    refused_with(SimpleNamespace(driver=owner), answer, "PreconditionFailed")
    assert owner.expected_status("PreconditionFailed", "DeleteObject") == "400 failed_precondition"


def test_a_refusal_without_details_has_no_code_of_s3():
    bare = json.dumps({"code": "not_found"}).encode()

    assert heads("connect", 404, JSON, bare).refusal.code == "(no ErrorInfo)"
    assert heads("grpcweb", 200, WEB, trailers(5)).refusal.code == "(no ErrorInfo)"


def test_bytes_come_back_whole_however_they_are_cut():
    body = envelope(b'{"contentLength": "5", "data": "aGVs"}') + envelope(b'{"data": "bG8="}') + end({})
    answer = gets("connect", 200, STREAM, body)

    assert (answer.body, answer["content_length"]) == (b"hello", 5)


@pytest.mark.parametrize(
    ("name", "status", "kind", "body"),
    [
        pytest.param("connect", 200, "text/html", b"{}", id="another content type"),
        pytest.param("connect", 200, JSON, b"<html>", id="no JSON"),
        pytest.param("connect", 200, JSON, b"[]", id="no object"),
        pytest.param("connect", 200, JSON, b'{"colour": "blue"}', id="a field that the message has not"),
        pytest.param("connect", 404, JSON, b'{"code": "NoSuchKey"}', id="a code that Connect has not"),
        pytest.param("connect", 404, JSON, b'{"code": "not_found", "details": [{}]}', id="details that are none"),
        pytest.param("connect", 503, JSON, b'{"code": "unavailable"}', id="the word of a proxy"),
        pytest.param("grpcweb", 404, WEB, trailers(5, details=packed()), id="a status of HTTP"),
        pytest.param("grpcweb", 200, JSON, trailers(0), id="another content type of gRPC-Web"),
        pytest.param("grpcweb", 200, WEB, envelope(b""), id="no trailers"),
        pytest.param("grpcweb", 200, WEB, trailers(0), id="success without a message"),
        pytest.param("grpcweb", 200, WEB, trailers(99), id="a status that gRPC has not"),
        pytest.param("grpcweb", 200, WEB, envelope(b"", 0x80), id="trailers without a status"),
        pytest.param("grpcweb", 200, WEB, trailers(5, details="%"), id="details that are no base64"),
        pytest.param("grpcweb", 200, WEB, trailers(14), id="the word of a proxy of gRPC"),
    ],
)
def test_an_answer_that_the_protocol_does_not_have_is_broken(name, status, kind, body):
    with pytest.raises(Broken):
        heads(name, status, kind, body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (envelope(b"{}"), "without its end"),
        (envelope(b"{}") + end({})[:-1], "never came whole"),
        (envelope(b"{}") + end({}) + b"more", "after the end"),
        (envelope(b"{}", 1) + end({}), "flags"),
        (envelope(b'{"contentLength": "6", "data": "aGVs"}') + end({}), "6 bytes were promised and 3 came"),
        (envelope(b'{"etag": "x"}') + envelope(b'{"etag": "x"}') + end({}), "again"),
        (end({}), "without a message"),
    ],
)
def test_a_stream_that_is_not_whole_is_broken(body, said):
    with pytest.raises(Broken, match=said):
        gets("connect", 200, STREAM, body)

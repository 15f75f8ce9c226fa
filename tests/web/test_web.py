"""
What a browser and curl can ask of the rpcs, on the port of REST, as their protocols have it on the wire.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest
import s3_pb2
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from loadtests.stubs import bearer
from proof.gateway import Gateway

ORIGIN = "https://page.example"
DATA = bytes(range(256)) * 1000
MOST_BYTES = 1024**2


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    settings = {"RS3GW_CORS_ORIGINS": ORIGIN, "RS3GW_GRPC_MAX_MESSAGE_SIZE": str(MOST_BYTES)}
    with Gateway(tmp_path_factory.mktemp("web") / "root", settings=settings) as started:
        client = s3(started)
        client.create_bucket(Bucket="bucket")
        client.put_object(Bucket="bucket", Key="key", Body=DATA, ContentType="text/plain", Metadata={"colour": "blue"})
        yield started


def s3(gateway: Gateway) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=gateway.url,
        aws_access_key_id=gateway.access_key,
        aws_secret_access_key=gateway.secret_key,
        region_name=gateway.region,
    )


def ask(
    gateway: Gateway, method: str, kind: str, body: bytes | str, *, anonymous: bool = False, **headers: str
) -> httpx.Response:
    service = "BucketService" if "Bucket" in method else "ObjectService"
    shown = {} if anonymous else {"authorization": bearer(gateway.access_key, gateway.secret_key)}
    said = {"content-type": kind, **shown, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return httpx.post(f"{gateway.url}/s3.{service}/{method}", headers=said, content=body, trust_env=False)


def enveloped(message: bytes, flags: int = 0) -> bytes:
    return bytes((flags,)) + len(message).to_bytes(4, "big") + message


def opened(body: bytes) -> list[tuple[int, bytes]]:
    """The envelopes of an answer: (flags, what is in it)."""
    found = []
    while body:
        size = int.from_bytes(body[1:5], "big")
        found.append((body[0], body[5 : 5 + size]))
        body = body[5 + size :]
    return found


# Connect -------------------------------------------------------------------------------------------------------


def test_curl_asks_in_json_and_is_answered_in_json(gateway: Gateway) -> None:
    answer = ask(gateway, "HeadObject", "application/json", '{"bucket": "bucket", "key": "key"}')
    said = answer.json()

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert (said["contentLength"], said["contentType"], said["metadata"]) == (
        str(len(DATA)),
        "text/plain",
        {"colour": "blue"},
    )
    assert answer.headers["x-amz-request-id"]


def test_messages_of_protobuf_are_taken_as_well(gateway: Gateway) -> None:
    asked = s3_pb2.ListObjectsRequest(bucket="bucket").SerializeToString()
    answer = ask(gateway, "ListObjects", "application/proto", asked)

    assert answer.headers["content-type"] == "application/proto"
    assert [each.key for each in s3_pb2.ListObjectsResponse.FromString(answer.content).contents] == ["key"]


def test_a_refusal_has_its_code_its_sentence_and_its_details(gateway: Gateway) -> None:
    answer = ask(gateway, "HeadObject", "application/json", '{"bucket": "bucket", "key": "none"}')
    said = answer.json()
    (detail,) = said["details"]
    info = ErrorInfo.FromString(base64.b64decode(detail["value"] + "=="))

    assert (answer.status_code, said["code"], detail["type"]) == (404, "not_found", "google.rpc.ErrorInfo")
    assert (info.reason, dict(info.metadata)) == ("NoSuchKey", {"Key": "none"})


@pytest.mark.parametrize("kind", ["json", "proto"])
def test_a_download_is_a_stream_of_envelopes_and_its_end_is_one_too(gateway: Gateway, kind: str) -> None:
    asked = s3_pb2.GetObjectRequest(bucket="bucket", key="key")
    body = b'{"bucket": "bucket", "key": "key"}' if kind == "json" else asked.SerializeToString()
    *messages, (end, said) = opened(ask(gateway, "GetObject", f"application/connect+{kind}", enveloped(body)).content)

    if kind == "json":
        data = b"".join(base64.b64decode(json.loads(message).get("data", "")) for _, message in messages)
    else:
        data = b"".join(s3_pb2.GetObjectResponse.FromString(message).data for _, message in messages)
    assert data == DATA
    assert {flags for flags, _ in messages} == {0}
    assert (end, json.loads(said)) == (2, {})


def test_a_stream_that_is_refused_says_so_in_its_end(gateway: Gateway) -> None:
    body = enveloped(b'{"bucket": "bucket", "key": "none"}')
    answer = ask(gateway, "GetObject", "application/connect+json", body)
    ((flags, said),) = opened(answer.content)

    assert (answer.status_code, flags) == (200, 2)
    assert json.loads(said)["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"{", "invalid_argument", "in JSON"),
        (b'{"buckett": "bucket"}', "invalid_argument", "buckett"),
        (b"\xff", "invalid_argument", "in JSON"),
        (b'{"bucket": "' + b"b" * (MOST_BYTES + 100) + b'"}', "invalid_argument", "exceeds"),
    ],
)
def test_what_is_no_message_is_refused_with_a_sentence(gateway: Gateway, body: bytes, code: str, words: str) -> None:
    said = ask(gateway, "HeadBucket", "application/json", body).json()

    assert said["code"] == code
    assert words in said["message"]


def test_an_upload_is_told_where_it_can_go(gateway: Gateway) -> None:
    answer = ask(gateway, "PutObject", "application/connect+json", enveloped(b"{}"))
    ((_, said),) = opened(answer.content)

    assert json.loads(said)["error"]["code"] == "unimplemented"
    assert "presigned URL" in json.loads(said)["error"]["message"]


def test_who_shows_nothing_may_nothing(gateway: Gateway) -> None:
    answer = ask(gateway, "HeadBucket", "application/json", '{"bucket": "bucket"}', anonymous=True)

    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


def test_a_call_has_the_time_that_it_is_given(gateway: Gateway) -> None:
    answer = ask(gateway, "HeadBucket", "application/json", '{"bucket": "bucket"}', connect_timeout_ms="0")

    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")


def test_a_form_that_is_none_is_told_which_there_are(gateway: Gateway) -> None:
    wrong = ask(gateway, "HeadBucket", "text/xml", "<a/>")
    unary = ask(gateway, "HeadBucket", "application/connect+json", enveloped(b"{}"))
    fetched = httpx.get(f"{gateway.url}/s3.BucketService/HeadBucket", trust_env=False)

    assert (wrong.status_code, unary.status_code, fetched.status_code) == (415, 415, 405)
    assert "application/json" in unary.headers["accept-post"]
    assert "connect+json" not in unary.headers["accept-post"]


# gRPC-Web ------------------------------------------------------------------------------------------------------


def trailers_of(frame: tuple[int, bytes]) -> dict[str, str]:
    assert frame[0] == 0x80
    return dict(line.split(": ", 1) for line in frame[1].decode().strip().split("\r\n"))


@pytest.mark.parametrize("kind", ["application/grpc-web+proto", "application/grpc-web", "application/grpc-web-text"])
def test_grpc_web_reads_an_object_and_its_trailers(gateway: Gateway, kind: str) -> None:
    body = enveloped(s3_pb2.GetObjectRequest(bucket="bucket", key="key").SerializeToString())
    is_text = "text" in kind
    answer = ask(gateway, "GetObject", kind, base64.b64encode(body) if is_text else body)
    content = answer.content
    if is_text:
        # Each frame is base64 by itself, with its padding.
        content, rest = b"", answer.content
        while rest:
            size = int.from_bytes(base64.b64decode(rest[:8])[1:5], "big") + 5
            length = -(-size // 3) * 4
            content, rest = content + base64.b64decode(rest[:length]), rest[length:]
    *messages, end = opened(content)

    assert answer.headers["content-type"] == kind
    assert b"".join(s3_pb2.GetObjectResponse.FromString(message).data for _, message in messages) == DATA
    assert trailers_of(end) == {"grpc-status": "0"}


def test_grpc_web_hears_of_a_refusal_in_the_trailers(gateway: Gateway) -> None:
    body = enveloped(s3_pb2.HeadObjectRequest(bucket="bucket", key="none").SerializeToString())
    (end,) = opened(ask(gateway, "HeadObject", "application/grpc-web+proto", body).content)
    trailers = trailers_of(end)
    status = Status.FromString(base64.b64decode(trailers["grpc-status-details-bin"] + "=="))
    info = ErrorInfo()

    assert (trailers["grpc-status"], trailers["grpc-message"]) == ("5", "The specified key does not exist.")
    assert status.details[0].Unpack(info)
    assert info.reason == "NoSuchKey"


@pytest.mark.parametrize(
    "body", [b"", b"\0\0\0\0", enveloped(b"12345")[:-1], enveloped(b"", flags=1), enveloped(b"\xff\xff")]
)
def test_an_envelope_that_is_none_is_refused(gateway: Gateway, body: bytes) -> None:
    (end,) = opened(ask(gateway, "HeadBucket", "application/grpc-web+proto", body).content)

    assert trailers_of(end)["grpc-status"] == "3"


# Pages ---------------------------------------------------------------------------------------------------------


def preflight(gateway: Gateway, path: str, method: str, origin: str) -> httpx.Response:
    asked = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization, content-type, x-amz-date",
    }
    return httpx.options(f"{gateway.url}{path}", headers=asked, trust_env=False)


@pytest.mark.parametrize(("path", "method"), [("/s3.ObjectService/GetObject", "POST"), ("/bucket/upload", "PUT")])
def test_a_page_that_is_allowed_may_ask_for_rpcs_and_for_s3(gateway: Gateway, path: str, method: str) -> None:
    allowed, other = preflight(gateway, path, method, ORIGIN), preflight(gateway, path, method, "https://other.example")

    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, ORIGIN)
    assert method in allowed.headers["access-control-allow-methods"]
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in other.headers
    assert other.status_code in (403, 405)


def test_a_page_stores_by_a_presigned_url_and_sees_the_etag(gateway: Gateway) -> None:
    link = s3(gateway).generate_presigned_url("put_object", {"Bucket": "bucket", "Key": "page"}, ExpiresIn=60)
    answer = httpx.put(link, content=b"hello", headers={"origin": ORIGIN}, trust_env=False)

    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert "ETag" in answer.headers["access-control-expose-headers"]
    assert answer.headers["vary"] == "Origin"


def test_a_refusal_is_seen_by_the_page_as_well(gateway: Gateway) -> None:
    answer = ask(gateway, "HeadObject", "application/json", '{"bucket": "none", "key": "key"}', origin=ORIGIN)

    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (404, ORIGIN)


def test_nothing_of_s3_is_taken_away(gateway: Gateway) -> None:
    client = s3(gateway)
    client.put_object(Bucket="bucket", Key="s3.ObjectService/GetObject", Body=b"a key like any other")

    assert (
        client.get_object(Bucket="bucket", Key="s3.ObjectService/GetObject")["Body"].read() == b"a key like any other"
    )

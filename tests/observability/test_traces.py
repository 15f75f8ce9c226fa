"""
What a collector gets of calls over each protocol: whose trace they belong to, their steps, how they ended, and when.
"""

from __future__ import annotations

import json
import socket
import time

import grpc
import httpx
import pytest
import s3_pb2
from botocore.exceptions import ClientError
from s3_pb2_grpc import BucketServiceStub, ObjectServiceStub

from loadtests.gateway import SECRET_KEY
from loadtests.wire import request, upload_head

from .conftest import BEARER, PARENT, SAMPLED, TRACE, UNSAMPLED, client

MIB = 1024**2
PAUSE_SECONDS = 0.4
STEPS = ["identify", "read", "handle"]


def names(spans):
    return [span.name for span in spans]


def test_a_put_over_rest_is_a_span_of_the_clients_trace_with_its_steps(gateway, collector):
    answer = client(gateway, headers=[("traceparent", SAMPLED), ("tracestate", "vendor=1")]).put_object(
        Bucket="bucket", Key="rest", Body=b"x" * 10
    )
    top, below = collector.call("S3.PutObject", **{"aws.s3.key": "rest"})

    assert (TRACE, PARENT, "vendor=1") == (top.trace_id, top.parent_id, top.state)
    assert [*STEPS, "commit"] == names(below)
    assert below[3].parent_id == below[2].span_id
    assert all(top.began <= span.began <= span.ended <= top.ended for span in below)
    assert not top.is_error
    assert answer["ResponseMetadata"]["RequestId"] == top.attributes["aws.request_id"]
    expected = {
        "http.request.method": "PUT",
        "http.response.status_code": 200,
        "http.request.body.size": 10,
        "http.route": "/{Bucket}/{Key+}",
        "url.scheme": "http",
        "client.address": "127.0.0.1",
        "rpc.system.name": "aws-api",
        "rpc.method": "S3/PutObject",
        "aws.s3.bucket": "bucket",
        "aws.s3.key": "rest",
    }
    assert expected == {name: top.attributes.get(name) for name in expected}


def test_a_put_over_grpc_is_a_span_of_the_clients_trace_with_its_steps(gateway, collector, channel):
    sent = s3_pb2.PutObjectRequest(bucket="bucket", key="grpc", data=b"x" * 10)
    _, call = ObjectServiceStub(channel).PutObject.with_call(
        iter([sent]), metadata=(BEARER, ("traceparent", SAMPLED), ("tracestate", "vendor=1"))
    )
    top, below = collector.call("s3.ObjectService/PutObject", **{"aws.s3.key": "grpc"})

    assert (TRACE, PARENT, "vendor=1") == (top.trace_id, top.parent_id, top.state)
    assert [*STEPS, "commit"] == names(below)
    assert below[3].parent_id == below[2].span_id
    assert not top.is_error
    assert dict(call.initial_metadata())["x-amz-request-id"] == top.attributes["aws.request_id"]
    expected = {
        "rpc.system.name": "grpc",
        "rpc.method": "s3.ObjectService/PutObject",
        "rpc.response.status_code": "OK",
        "client.address": "127.0.0.1",
        "aws.s3.bucket": "bucket",
        "aws.s3.key": "grpc",
    }
    assert expected == {name: top.attributes.get(name) for name in expected}


@pytest.mark.parametrize(
    ("kind", "system", "code"),
    [("application/json", "connectrpc", "ok"), ("application/grpc-web+proto", "grpc", "OK")],
)
def test_a_call_of_a_browser_is_a_span_of_its_trace(gateway, collector, kind, system, code):
    asked = json.dumps({"bucket": "bucket"}).encode() if "json" in kind else b"\0\0\0\0\x08\n\x06bucket"
    answer = httpx.post(
        f"{gateway.url}/s3.BucketService/HeadBucket",
        content=asked,
        headers=[("content-type", kind), BEARER, ("traceparent", SAMPLED)],
        trust_env=False,
    )
    top, below = collector.call("s3.BucketService/HeadBucket", **{"rpc.system.name": system})

    assert 200 == answer.status_code
    assert (TRACE, PARENT) == (top.trace_id, top.parent_id)
    assert (code, 200) == (top.attributes["rpc.response.status_code"], top.attributes["http.response.status_code"])
    assert STEPS == names(below)


def test_a_client_without_a_trace_begins_one(gateway, collector):
    client(gateway).head_bucket(Bucket="bucket")
    top, below = collector.call("S3.HeadBucket")

    assert "" == top.parent_id
    assert TRACE != top.trace_id
    assert STEPS == names(below)


def test_who_exports_is_said_by_the_standard_variables(gateway, collector):
    client(gateway).list_buckets()
    top, _ = collector.call("S3.ListBuckets")

    assert "store" == top.resource["service.name"]
    assert gateway.pid == top.resource["process.pid"]


def test_a_refusal_over_rest_has_s3s_code_and_is_no_error_of_the_servers(gateway, collector):
    with pytest.raises(ClientError):
        client(gateway).get_object(Bucket="bucket", Key="nothing")
    top, below = collector.call("S3.GetObject", **{"aws.s3.key": "nothing"})

    assert ("NoSuchKey", 404) == (top.attributes["error.type"], top.attributes["http.response.status_code"])
    assert not top.is_error
    assert [None, None, "NoSuchKey"] == [span.attributes.get("error.type") for span in below]


def test_a_refusal_over_grpc_has_s3s_code(gateway, collector, channel):
    with pytest.raises(grpc.RpcError):
        BucketServiceStub(channel).HeadBucket(s3_pb2.HeadBucketRequest(bucket="nowhere"), metadata=(BEARER,))
    top, _ = collector.call("s3.BucketService/HeadBucket", **{"aws.s3.bucket": "nowhere"})

    assert ("NoSuchBucket", "NOT_FOUND") == (top.attributes["error.type"], top.attributes["rpc.response.status_code"])
    assert not top.is_error


def test_what_is_refused_before_it_is_an_operation_is_a_span_too(gateway, collector):
    httpx.put(f"{gateway.url}/bucket?acl", headers={"traceparent": SAMPLED}, trust_env=False)
    top, below = collector.call("PUT", **{"error.type": "NotImplemented"})

    assert TRACE == top.trace_id
    assert 501 == top.attributes["http.response.status_code"]
    assert top.is_error
    assert [] == below


def test_a_caller_who_is_not_let_in_fails_at_its_step(gateway, collector):
    httpx.get(f"{gateway.url}/bucket/key", headers={"authorization": "Bearer not-a-secret"}, trust_env=False)
    top, below = collector.call("S3.GetObject", **{"http.response.status_code": 400})

    assert ["identify"] == names(below)
    assert top.attributes["error.type"] == below[0].attributes["error.type"]


def test_an_upload_over_rest_lasts_as_long_as_its_client_takes(gateway, collector):
    with socket.create_connection(("127.0.0.1", gateway.rest_port)) as connection:
        connection.sendall(upload_head(gateway.rest_port, "/bucket/slow", 2 * MIB) + bytes(MIB))
        time.sleep(PAUSE_SECONDS)
        connection.sendall(bytes(MIB))
        answer = connection.recv(1000)
    top, below = collector.call("S3.PutObject", **{"aws.s3.key": "slow"})

    assert answer.startswith(b"HTTP/1.1 200")
    assert 2 * MIB == top.attributes["http.request.body.size"]
    assert top.seconds >= PAUSE_SECONDS
    assert below[2].seconds >= PAUSE_SECONDS


def test_a_download_over_rest_lasts_to_its_last_byte(gateway, collector):
    size = 32 * MIB  # more than the buffers of a socket take
    client(gateway).put_object(Bucket="bucket", Key="large", Body=bytes(size))
    with socket.create_connection(("127.0.0.1", gateway.rest_port)) as connection:
        connection.sendall(request("GET", gateway.rest_port, "/bucket/large"))
        left = size - len(connection.recv(1))
        time.sleep(PAUSE_SECONDS)
        while left > 0 and (more := connection.recv(MIB)):
            left -= len(more)
        top, below = collector.call("S3.GetObject", **{"aws.s3.key": "large"})

    assert size == top.attributes["http.response.body.size"]
    assert top.seconds >= PAUSE_SECONDS
    # What is meant was done long before the last byte went.
    assert below[2].ended < top.ended - PAUSE_SECONDS * 1e9 / 2


def test_a_download_whose_client_goes_away_ends_as_cancelled(gateway, collector):
    client(gateway).put_object(Bucket="bucket", Key="left", Body=bytes(32 * MIB))
    with socket.create_connection(("127.0.0.1", gateway.rest_port)) as connection:
        connection.sendall(request("GET", gateway.rest_port, "/bucket/left"))
        connection.recv(1000)
    top, _ = collector.call("S3.GetObject", **{"aws.s3.key": "left"})

    assert "Cancelled" == top.attributes["error.type"]
    assert top.attributes["http.response.body.size"] < 32 * MIB
    assert not top.is_error


def test_streams_over_grpc_last_as_long_as_their_clients_take(gateway, collector, channel):
    objects = ObjectServiceStub(channel)

    def slowly():
        yield s3_pb2.PutObjectRequest(bucket="bucket", key="stream", data=bytes(MIB))
        time.sleep(PAUSE_SECONDS)
        for _ in range(31):
            yield s3_pb2.PutObjectRequest(data=bytes(MIB))

    objects.PutObject(slowly(), metadata=(BEARER,))
    up, _ = collector.call("s3.ObjectService/PutObject", **{"aws.s3.key": "stream"})
    got = objects.GetObject(s3_pb2.GetObjectRequest(bucket="bucket", key="stream"), metadata=(BEARER,))
    size = len(next(got).data)
    time.sleep(PAUSE_SECONDS)
    size += sum(len(message.data) for message in got)
    down, below = collector.call("s3.ObjectService/GetObject", **{"aws.s3.key": "stream"})

    assert 32 * MIB == size
    assert up.seconds >= PAUSE_SECONDS
    assert down.seconds >= PAUSE_SECONDS
    assert below[2].ended < down.ended


def test_a_call_over_grpc_whose_client_goes_away_ends_as_cancelled(gateway, collector, channel):
    objects = ObjectServiceStub(channel)
    sent = [s3_pb2.PutObjectRequest(bucket="bucket", key="gone", data=bytes(MIB))]
    sent += [s3_pb2.PutObjectRequest(data=bytes(MIB)) for _ in range(31)]
    objects.PutObject(iter(sent), metadata=(BEARER,))
    got = objects.GetObject(s3_pb2.GetObjectRequest(bucket="bucket", key="gone"), metadata=(BEARER,))
    next(got)
    got.cancel()
    top, _ = collector.call("s3.ObjectService/GetObject", **{"aws.s3.key": "gone"})

    assert ("Cancelled", "CANCELLED") == (top.attributes["error.type"], top.attributes["rpc.response.status_code"])


def test_a_parent_that_is_not_sampled_is_respected_on_both_protocols(gateway, collector, channel):
    client(gateway, headers=[("traceparent", UNSAMPLED)]).put_object(Bucket="bucket", Key="unsampled", Body=b"")
    asked = s3_pb2.HeadObjectRequest(bucket="bucket", key="unsampled")
    ObjectServiceStub(channel).HeadObject(asked, metadata=(BEARER, ("traceparent", UNSAMPLED)))
    client(gateway).put_object(Bucket="bucket", Key="afterwards", Body=b"")
    collector.call("S3.PutObject", **{"aws.s3.key": "afterwards"})

    assert [] == [span for span in collector.spans() if span.attributes.get("aws.s3.key") == "unsampled"]


def test_calls_on_one_connection_do_not_take_each_others_spans(gateway, collector):
    """An answer may be given outside of any task, where what a call set would be there for the next one."""
    count = 20
    with httpx.Client(base_url=gateway.url, trust_env=False) as connection:
        for _ in range(count):
            assert 403 == connection.get("/bucket?list-type=2&prefix=mine").status_code
    tops = collector.wait(lambda span: span.name == "S3.ListObjectsV2" and span.kind == 2, count=count)

    assert count == len({span.trace_id for span in tops})
    assert all(names(collector.below(top)) == STEPS for top in tops)


def test_no_secret_leaves_by_a_span(gateway, collector, channel):
    client(gateway).put_object(Bucket="bucket", Key="linked", Body=b"")
    link = client(gateway).generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "linked"})
    assert 200 == httpx.get(link, trust_env=False).status_code
    client(gateway).put_object(Bucket="bucket", Key="secrets", Body=b"content-of-it", Metadata={"m": "metadata-of-it"})
    BucketServiceStub(channel).ListBuckets(s3_pb2.ListBucketsRequest(), metadata=(BEARER,))
    collector.call("S3.PutObject", **{"aws.s3.key": "secrets"})
    collector.call("s3.BucketService/ListBuckets")
    said = b"".join(collector.wires)

    for secret in (
        SECRET_KEY,
        BEARER[1].partition(" ")[2],
        "not-a-secret",
        "content-of-it",
        "metadata-of-it",
        "Signature",
    ):
        assert secret.encode() not in said

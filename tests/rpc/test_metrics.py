"""
What Prometheus is told of gRPC, by the names that dashboards have (go-grpc-prometheus), after calls of every kind.
"""

from __future__ import annotations

import grpc
import pytest
import s3_pb2
from s3_pb2_grpc import BucketServiceStub, ObjectServiceStub

from rs3gw.rpc.server import Server
from rs3gw.telemetry import Telemetry

from .conftest import BEARER, gateway, listening


async def test_calls_messages_and_bytes_are_counted_by_method_and_code():
    telemetry = Telemetry()
    server = Server(gateway(), watch=telemetry.watch)
    await server.start(listening())
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            buckets, objects = BucketServiceStub(channel), ObjectServiceStub(channel)
            await buckets.CreateBucket(s3_pb2.CreateBucketRequest(bucket="bucket"), metadata=BEARER)
            sent = [s3_pb2.PutObjectRequest(bucket="bucket", key="key"), s3_pb2.PutObjectRequest(data=bytes(200_000))]
            await objects.PutObject(iter(sent), metadata=BEARER)
            asked = s3_pb2.GetObjectRequest(bucket="bucket", key="key")
            got = [message async for message in objects.GetObject(asked, metadata=BEARER)]
            with pytest.raises(grpc.aio.AioRpcError):
                await objects.HeadObject(s3_pb2.HeadObjectRequest(bucket="bucket", key="none"), metadata=BEARER)
            with pytest.raises(grpc.aio.AioRpcError):
                await buckets.ListBuckets(s3_pb2.ListBucketsRequest())
            left = objects.GetObject(asked, metadata=BEARER)
            await left.read()
            left.cancel()
    finally:
        await server.stop(1)

    def value(name, method, *, service="ObjectService", kind="unary", **labels):
        labels |= {"grpc_type": kind, "grpc_service": f"s3.{service}", "grpc_method": method}
        return telemetry.registry.get_sample_value(f"grpc_server_{name}", labels)

    put, get = {"kind": "client_stream"}, {"kind": "server_stream"}
    assert value("started_total", "PutObject", **put) == 1
    assert value("handled_total", "PutObject", grpc_code="OK", **put) == 1
    assert value("msg_received_total", "PutObject", **put) == 2
    assert value("msg_received_bytes_total", "PutObject", **put) == sum(each.ByteSize() for each in sent)
    assert value("msg_sent_total", "PutObject", **put) == 1
    assert value("handling_seconds_count", "PutObject", **put) == 1
    assert value("started_total", "GetObject", **get) == 2
    assert (
        value("handled_total", "GetObject", grpc_code="OK", **get)
        + (value("handled_total", "GetObject", grpc_code="Canceled", **get) or 0)
        == 2
    )
    assert value("msg_sent_bytes_total", "GetObject", **get) >= sum(each.ByteSize() for each in got)
    assert value("handled_total", "HeadObject", grpc_code="NotFound") == 1
    assert value("handled_total", "ListBuckets", service="BucketService", grpc_code="PermissionDenied") == 1
    assert value("started_total", "DeleteObject") == 0

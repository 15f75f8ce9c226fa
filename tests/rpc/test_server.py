"""
The server that starts, asked through a socket by the stubs that are published.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import subprocess
import sys

import grpc
import pytest
import s3_pb2
import trustme
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from s3_pb2_grpc import BucketServiceStub

from rs3gw.rpc.server import CLIENT_MESSAGE_BYTES, ENVELOPE_BYTES, Server, fitting
from rs3gw.rpc.servicers import SERVICES
from rs3gw.server import tls_context

from .conftest import BEARER, Asking, etag, gateway, info_of, listening

HEAD = s3_pb2.HeadBucketRequest(bucket="bucket")
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def encrypted(issued: trustme.LeafCert, directory, *, clients: trustme.CA | None = None):
    """TLS as the settings of a server make it."""
    issued.cert_chain_pems[0].write_to_path(directory / "chain.pem")
    issued.private_key_pem.write_to_path(directory / "key.pem")
    authority = None
    if clients is not None:
        authority = directory / "clients.pem"
        clients.cert_pem.write_to_path(authority)
    return tls_context("RS3GW_GRPC_TLS", directory / "chain.pem", directory / "key.pem", authority, speaks="h2")


async def code_of(call) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code().name


async def test_an_object_comes_back_as_it_went(ask):
    put = await ask.put_object("key", b"hello", content_type="text/plain", metadata={"colour": "blue"})
    (got,) = await ask.get("key")

    assert (got.data, got.content_type, got.content_length) == (b"hello", "text/plain", 5)
    assert dict(got.metadata) == {"colour": "blue"}
    assert got.etag == put.etag == etag(b"hello")
    assert got.last_modified.seconds > 1_700_000_000


async def test_what_is_known_is_in_the_first_message_and_bytes_are_in_all(ask):
    data = bytes(range(256)) * 10
    await ask.put(
        s3_pb2.PutObjectRequest(bucket="bucket", key="key"),
        *(s3_pb2.PutObjectRequest(data=data[at : at + 100]) for at in range(0, len(data), 100)),
    )
    first, *others = await ask.get("key")

    assert [len(message.data) for message in (first, *others)] == [1024, 1024, 512]
    assert first.data + b"".join(message.data for message in others) == data
    assert first.content_length == len(data)
    assert all(message == s3_pb2.GetObjectResponse(data=message.data) for message in others)


async def test_an_empty_object_is_one_message(ask):
    await ask.put_object("empty")
    (only,) = await ask.get("empty")

    assert (only.data, only.content_length) == (b"", 0)
    assert only.HasField("content_length")


async def test_a_range_is_a_part_of_the_stream(ask):
    await ask.put_object("key", b"0123456789")
    (got,) = await ask.get("key", range="bytes=2-4")

    assert (got.data, got.content_range) == (b"234", "bytes 2-4/10")


async def test_a_wrong_checksum_leaves_nothing(ask):
    wrong = s3_pb2.Checksums(sha256=base64.b64encode(hashlib.sha256(b"other").digest()).decode())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask.put_object("key", b"hello", checksums=wrong)

    assert info_of(caught.value).reason == "BadDigest"
    assert await ask.keys() == []


async def test_a_refusal_has_a_code_a_reason_fields_and_a_request_id(ask):
    call = ask.objects.HeadObject(s3_pb2.HeadObjectRequest(bucket="bucket", key="none"), metadata=BEARER)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info = info_of(caught.value)

    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert (info.reason, info.domain, info.metadata["Key"]) == ("NoSuchKey", "rs3gw", "none")
    assert len(dict(await call.initial_metadata())["x-amz-request-id"]) == 16


@pytest.mark.parametrize("shape", ["unary", "upload", "download"])
async def test_every_call_tells_its_request_id(ask, shape):
    await ask.put_object("key")
    call = {
        "unary": lambda: ask.buckets.HeadBucket(HEAD, metadata=BEARER),
        "upload": lambda: ask.objects.PutObject(
            iter([s3_pb2.PutObjectRequest(bucket="bucket", key="key")]), metadata=BEARER
        ),
        "download": lambda: ask.objects.GetObject(s3_pb2.GetObjectRequest(bucket="bucket", key="key"), metadata=BEARER),
    }[shape]()

    assert len(dict(await call.initial_metadata())["x-amz-request-id"]) == 16
    if shape == "download":
        await call.read()
        assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_nobody_may_anything(ask):
    """The server that starts, not an interceptor in isolation: without credentials every method is shut."""
    for method in (method for service in SERVICES for method in service.methods):
        if method.name == "DeleteObjects":
            continue  # each object is judged by itself: the next test
        path = f"/{method.containing_service.full_name}/{method.name}"
        wire = b"\x0a\x06bucket" if "bucket" in method.input_type.fields_by_name else b""
        if method.client_streaming:
            call = ask.channel.stream_unary(path)(iter([wire]))
        elif method.server_streaming:
            call = ask.channel.unary_stream(path)(wire)
        else:
            call = ask.channel.unary_unary(path)(wire)

        assert await call.code() is grpc.StatusCode.PERMISSION_DENIED, path


async def test_nobody_may_remove_any_of_many(ask):
    await ask.put_object("key")
    asked = s3_pb2.DeleteObjectsRequest(bucket="bucket", objects=[s3_pb2.ObjectIdentifier(key="key")])

    answer = await ask.objects.DeleteObjects(asked)

    assert [failure.code for failure in answer.errors] == ["AccessDenied"]
    assert await ask.keys() == ["key"]


async def test_a_wrong_token_is_no_token(ask):
    call = ask.buckets.HeadBucket(HEAD, metadata=(("authorization", "Bearer AKOWNER.0"),))

    assert await code_of(call) == "UNAUTHENTICATED"


@pytest.mark.parametrize("pause", [0, 0.001, 0.005, 0.02])
async def test_an_upload_that_is_broken_off_leaves_nothing(ask, pause):
    """A reset ends the stream of messages as a half-close does; taking one for the other keeps half an object."""

    async def endless(number):
        yield s3_pb2.PutObjectRequest(bucket="bucket", key=f"cut-{number}", data=b"x" * 100)
        yield s3_pb2.PutObjectRequest(data=b"y" * 100_000)
        await asyncio.sleep(60)

    async def cut(number):
        call = ask.objects.PutObject(endless(number), metadata=BEARER)
        await asyncio.sleep(pause)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    await asyncio.gather(*map(cut, range(16)))
    await ask.put_object("whole")
    await asyncio.sleep(0.05)

    assert await ask.keys() == ["whole"]


async def test_an_upload_whose_deadline_passes_leaves_nothing(ask):
    async def endless():
        yield s3_pb2.PutObjectRequest(bucket="bucket", key="late", data=b"x")
        await asyncio.sleep(60)

    call = ask.objects.PutObject(endless(), metadata=BEARER, timeout=0.05)

    assert await code_of(call) == "DEADLINE_EXCEEDED"
    assert await ask.keys() == []


async def test_a_client_that_goes_silent_is_told(ask):
    async def silent():
        yield s3_pb2.PutObjectRequest(bucket="bucket", key="silent", data=b"x")
        await asyncio.sleep(60)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask.objects.PutObject(silent(), metadata=BEARER)

    assert info_of(caught.value).reason == "RequestTimeout"
    assert await ask.keys() == []


async def test_a_refused_upload_is_not_read_to_its_end(ask):
    async def endless():
        yield s3_pb2.PutObjectRequest(bucket="nowhere", key="key", data=b"x")
        await asyncio.sleep(60)

    async with asyncio.timeout(5):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask.objects.PutObject(endless(), metadata=BEARER)

    assert info_of(caught.value).reason == "NoSuchBucket"


async def test_a_message_over_the_limit_is_refused_by_its_size(ask):
    assert await code_of(ask.put_object("big", bytes(256 * 1024))) == "RESOURCE_EXHAUSTED"
    assert await ask.keys() == []


async def test_a_method_that_nobody_declared_is_unimplemented(ask):
    for method in ("/s3.BucketService/PutBucketCors", "/s3.NoService/NoMethod"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask.raw(method, b"")

        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert info_of(caught.value).reason == "NotImplemented"


async def test_a_field_that_nobody_declared_is_refused(ask):
    call = ask.raw("/s3.BucketService/HeadBucket", HEAD.SerializeToString() + b"\xf8\x3f\x01")

    assert await code_of(call) == "UNIMPLEMENTED"


async def test_bytes_that_are_no_message_are_not_our_fault(ask):
    assert await code_of(ask.raw("/s3.BucketService/HeadBucket", b"\xff")) == "INVALID_ARGUMENT"


async def test_a_copy_without_a_source_is_not_our_fault(ask):
    call = ask.objects.CopyObject(s3_pb2.CopyObjectRequest(bucket="bucket", key="key"), metadata=BEARER)

    assert await code_of(call) == "INVALID_ARGUMENT"


async def test_a_slow_reader_gets_everything(ask):
    data = bytes(200_000)
    await ask.put_object("key", data)
    size = 0
    async for message in ask.objects.GetObject(s3_pb2.GetObjectRequest(bucket="bucket", key="key"), metadata=BEARER):
        size += len(message.data)
        if size < 10_000:
            await asyncio.sleep(0.01)

    assert size == len(data)


async def test_parts_become_an_object(ask):
    address = {"bucket": "bucket", "key": "key"}
    begun = await ask.uploads.CreateMultipartUpload(s3_pb2.CreateMultipartUploadRequest(**address), metadata=BEARER)
    address["upload_id"] = begun.upload_id
    part = await ask.uploads.UploadPart(
        iter([s3_pb2.UploadPartRequest(**address, part_number=1), s3_pb2.UploadPartRequest(data=b"hello")]),
        metadata=BEARER,
    )
    parts = [s3_pb2.CompletedPart(part_number=1, etag=part.etag)]
    await ask.uploads.CompleteMultipartUpload(
        s3_pb2.CompleteMultipartUploadRequest(**address, parts=parts), metadata=BEARER
    )
    (got,) = await ask.get("key")

    assert got.data == b"hello"
    assert got.etag.endswith('-1"')


# The server itself -------------------------------------------------------------------------------------------


async def test_a_server_that_leaves_says_so_of_every_service_and_serves_on(ask):
    health = health_pb2_grpc.HealthStub(ask.channel)
    names = ["", *(service.full_name for service in SERVICES)]
    watches = [health.Watch(health_pb2.HealthCheckRequest(service=name)) for name in names]
    before = [(await watch.read()).status for watch in watches]
    before += [(await health.Check(health_pb2.HealthCheckRequest(service=name))).status for name in names]

    ask.server.leave()
    after = [(await watch.read()).status for watch in watches]
    after += [(await health.Check(health_pb2.HealthCheckRequest(service=name))).status for name in names]
    stored = await ask.put_object("late", b"served")

    assert before == [SERVING] * 8
    assert after == [NOT_SERVING] * 8
    assert stored.etag == etag(b"served")


async def test_who_watches_keeps_no_server_from_stopping(ask):
    """A watch has no end of its own; it would take all of the time that calls are given to finish."""
    watch = health_pb2_grpc.HealthStub(ask.channel).Watch(health_pb2.HealthCheckRequest())
    await watch.read()

    await asyncio.wait_for(ask.server.stop(60), 5)
    last = await watch.read()

    assert last.status == NOT_SERVING
    assert await watch.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_watcher_that_takes_nothing_keeps_the_news_from_nobody(ask):
    """With a window of no bytes: grpc's own servicer waited for it, and so did every other watcher, and the stop."""

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    fields = {
        ":method": "POST", ":scheme": "http", ":path": "/grpc.health.v1.Health/Watch", ":authority": "here",
        "te": "trailers", "content-type": "application/grpc",
    }  # fmt: skip
    block = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )
    _, writer = await asyncio.open_connection("127.0.0.1", ask.server.port)
    initial_window_size = 4
    no_window = frame(4, 0, 0, initial_window_size.to_bytes(2, "big") + bytes(4))
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + no_window + frame(1, 4, 1, block) + frame(0, 1, 1, bytes(5)))
    await asyncio.sleep(0.1)
    watch = health_pb2_grpc.HealthStub(ask.channel).Watch(health_pb2.HealthCheckRequest())

    before = (await asyncio.wait_for(watch.read(), 5)).status
    ask.server.leave()
    after = (await asyncio.wait_for(watch.read(), 5)).status
    await asyncio.wait_for(ask.server.stop(0.1), 5)
    writer.close()

    assert (SERVING, NOT_SERVING) == (before, after)


async def test_the_health_of_a_service_that_is_not_here_is_unknown(ask):
    health = health_pb2_grpc.HealthStub(ask.channel)
    elsewhere = health_pb2.HealthCheckRequest(service="s3.Elsewhere")

    assert await code_of(health.Check(elsewhere)) == "NOT_FOUND"
    assert (await health.Watch(elsewhere).read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


async def test_a_call_under_way_is_finished_before_the_server_is_gone(ask):
    async def slow():
        yield s3_pb2.PutObjectRequest(bucket="bucket", key="key", data=b"a")
        await asyncio.sleep(0.1)
        yield s3_pb2.PutObjectRequest(data=b"b")

    call = ask.objects.PutObject(slow(), metadata=BEARER)
    await asyncio.sleep(0.03)
    await ask.server.stop(5)

    assert (await call).etag == etag(b"ab")


async def test_a_call_that_does_not_end_is_cancelled_after_the_grace(ask):
    async def endless():
        yield s3_pb2.PutObjectRequest(bucket="bucket", key="key", data=b"a")
        await asyncio.sleep(60)

    call = ask.objects.PutObject(endless(), metadata=BEARER)
    await asyncio.sleep(0.03)
    await ask.server.stop(0.05)

    assert await call.code() is not grpc.StatusCode.OK


async def test_reflection_tells_every_method(ask):
    address = f"127.0.0.1:{ask.server.port}"

    def reflected():
        with grpc.insecure_channel(address) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            pool = DescriptorPool(database)
            found = {name: pool.FindServiceByName(name) for name in database.get_services() if name.startswith("s3.")}
            return {name: [method.name for method in service.methods] for name, service in found.items()}

    assert await asyncio.to_thread(reflected) == {
        service.full_name: [method.name for method in service.methods] for service in SERVICES
    }


@pytest.mark.parametrize(
    ("chunk_bytes", "max_message_bytes", "fits"),
    [
        (64 * 1024, 64 * 1024**2, 64 * 1024),
        (4 * 1024**2, 64 * 1024**2, CLIENT_MESSAGE_BYTES - ENVELOPE_BYTES),
        (1024**2, 1024**2, 1024**2 - ENVELOPE_BYTES),
        (64 * 1024, 64 * 1024, 32 * 1024),
    ],
    ids=["the defaults", "more than a client takes", "as much as a message may be", "the smallest message"],
)
def test_a_chunk_is_no_larger_than_its_message_may_be(chunk_bytes, max_message_bytes, fits):
    assert fitting(chunk_bytes, max_message_bytes) == fits


async def test_a_client_that_was_told_nothing_takes_the_largest_chunks():
    server = Server(gateway(), chunk_bytes=4 * 1024**2)
    await server.start(listening())
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            ask = Asking(server, channel)
            await ask.buckets.CreateBucket(s3_pb2.CreateBucketRequest(bucket="bucket"), metadata=BEARER)
            half = bytes(3 * 1024**2)
            await ask.put(
                s3_pb2.PutObjectRequest(bucket="bucket", key="key", data=half, metadata={"a": "x" * 2000}),
                s3_pb2.PutObjectRequest(data=half),
            )
            assert sum(len(message.data) for message in await ask.get("key")) == 2 * len(half)
    finally:
        await server.stop(0)


async def test_who_has_no_certificate_of_the_authority_is_not_heard(tmp_path):
    """mTLS: a certificate of another authority is as good as none, and one of ours is no access key."""
    authority, stranger = trustme.CA(), trustme.CA()
    issued = authority.issue_cert("localhost")
    server = Server(gateway(), tls=encrypted(issued, tmp_path, clients=authority))
    await server.start(listening())

    def showing(signer: trustme.CA | None) -> grpc.ChannelCredentials:
        if signer is None:
            return grpc.ssl_channel_credentials(authority.cert_pem.bytes())
        shown = signer.issue_cert("client@example.com")
        return grpc.ssl_channel_credentials(
            authority.cert_pem.bytes(), shown.private_key_pem.bytes(), shown.cert_chain_pems[0].bytes()
        )

    async def asked(signer: trustme.CA | None, **evidence) -> str:
        async with grpc.aio.secure_channel(f"localhost:{server.port}", showing(signer)) as channel:
            call = BucketServiceStub(channel).ListBuckets(s3_pb2.ListBucketsRequest(), **evidence)
            return (await call.code()).name

    try:
        assert await asked(authority, metadata=BEARER) == "OK"
        assert await asked(authority) == "PERMISSION_DENIED"
        assert await asked(stranger, metadata=BEARER) == "UNAVAILABLE"
        assert await asked(None, metadata=BEARER) == "UNAVAILABLE"
    finally:
        await server.stop(0)


async def test_tls_carries_the_calls_where_there_is_a_certificate(tmp_path):
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    server = Server(gateway(), tls=encrypted(issued, tmp_path))
    await server.start(listening())
    trusted = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    try:
        async with grpc.aio.secure_channel(f"localhost:{server.port}", trusted) as channel:
            answer = await BucketServiceStub(channel).ListBuckets(s3_pb2.ListBucketsRequest(), metadata=BEARER)
        assert not answer.buckets
        async with grpc.aio.insecure_channel(f"localhost:{server.port}") as channel:
            call = BucketServiceStub(channel).ListBuckets(s3_pb2.ListBucketsRequest(), metadata=BEARER)
            assert await code_of(call) == "UNAVAILABLE"
    finally:
        await server.stop(0)


def test_a_server_is_loaded_without_grpc():
    """It is a third of a start, and only clients need it."""
    asked = "import rs3gw.cli, rs3gw.server, rs3gw.rpc.server, rs3gw.rpc.web, sys; print('grpc' in sys.modules)"

    assert subprocess.check_output([sys.executable, "-c", asked], text=True).strip() == "False"

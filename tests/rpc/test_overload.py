"""
Callers who say nothing, take nothing or are too many: each has a bound, and nobody with a key waits for them.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import grpc
import pytest
import s3_pb2

from rs3gw.rpc.calls import Call
from rs3gw.rpc.http2 import Bounds
from rs3gw.rpc.server import Server
from rs3gw.rpc.servicers import ANONYMOUS_ARRIVALS

from .conftest import BEARER, gateway, info_of, listening

LIST, HEAD, GET = "/s3.BucketService/ListBuckets", "/s3.BucketService/HeadBucket", "/s3.ObjectService/GetObject"
IDLE_SECONDS = 0.3  # of the fixture


def mute(ask, path, metadata=()):
    """A call that has begun and sends no message."""
    return ask.channel.stream_stream(path)(metadata=tuple(metadata))


async def refusal_of(call) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return info_of(caught.value).reason


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", [LIST, GET])
async def test_a_call_waits_only_so_long_for_its_message(ask, path):
    began = asyncio.get_running_loop().time()

    assert await refusal_of(mute(ask, path, BEARER).read()) == "RequestTimeout"
    assert asyncio.get_running_loop().time() - began < 10 * IDLE_SECONDS


@pytest.mark.parametrize("path", [LIST, GET])
async def test_a_call_that_ends_without_a_message_asks_for_nothing(ask, path):
    call = mute(ask, path, BEARER)
    await call.done_writing()

    assert await refusal_of(call.read()) == "InvalidRequest"


async def test_who_shows_a_wrong_key_is_refused_before_anything_is_received(ask):
    assert await refusal_of(mute(ask, LIST, [("authorization", "Bearer nobody")]).read()) == "InvalidToken"


async def test_strangers_who_send_no_message_keep_nobody_with_a_key_waiting(ask):
    """Strangers wait for one another, because what they send may be large; nobody waits for a stranger."""
    idle = [mute(ask, LIST) for _ in range(ANONYMOUS_ARRIVALS)]
    wire = s3_pb2.HeadBucketRequest(bucket="bucket").SerializeToString()
    behind = asyncio.ensure_future(ask.raw(HEAD, wire, metadata=()))
    held = ask.server._servicer.gateway
    await until(lambda: held.under_way == ANONYMOUS_ARRIVALS + 1)
    await ask.raw(HEAD, wire)

    assert not behind.done()
    assert {await refusal_of(call.read()) for call in idle} == {"RequestTimeout"}
    assert await refusal_of(behind) in ("AccessDenied", "RequestTimeout")


async def test_who_takes_nothing_of_a_download_gives_up_his_place(ask):
    await ask.put(
        s3_pb2.PutObjectRequest(bucket="bucket", key="large"),
        *(s3_pb2.PutObjectRequest(data=bytes(128 * 1024)) for _ in range(64)),
    )
    call = ask.objects.GetObject(s3_pb2.GetObjectRequest(bucket="bucket", key="large"), metadata=BEARER)
    await call.read()
    held = ask.server._servicer.gateway

    assert held.under_way == 1
    await until(lambda: held.under_way == 0)
    assert await ask.keys() == ["large"]
    call.cancel()


async def test_one_call_too_many_is_told_to_slow_down(ask):
    held = ask.server._servicer.gateway
    held.max_requests = 1
    first = mute(ask, LIST, BEARER)
    await until(lambda: held.under_way == 1)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask.keys()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert info_of(caught.value).reason == "SlowDown"
    first.cancel()
    await until(lambda: held.under_way == 0)
    assert await ask.keys() == []


async def test_one_connection_too_many_is_closed():
    server = Server(gateway(), bounds=Bounds(connections=1))
    await server.start(listening())
    first = await asyncio.open_connection("127.0.0.1", server.port)
    await first[0].readexactly(9)  # the beginning of its settings: it is in
    second = await asyncio.open_connection("127.0.0.1", server.port)

    async with asyncio.timeout(10):
        assert await second[0].read() == b""
    for _, writer in (first, second):
        writer.close()
    await server.stop(0)


async def test_a_connection_that_says_nothing_is_closed():
    server = Server(gateway(), bounds=Bounds(header_seconds=0.3))
    await server.start(listening())
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

    async with asyncio.timeout(10):
        await reader.read()
    writer.close()
    await server.stop(0)


async def test_a_call_that_is_cancelled_holds_nothing_until_the_collector_comes(ask):
    """A cancelled task has the frames that it was in, a chunk of the object in one of them: 600 MiB in a minute."""
    await ask.put(
        s3_pb2.PutObjectRequest(bucket="bucket", key="large"),
        *(s3_pb2.PutObjectRequest(data=bytes(128 * 1024)) for _ in range(256)),
    )
    gc.collect()
    gc.disable()
    try:
        for _ in range(8):
            call = ask.objects.GetObject(s3_pb2.GetObjectRequest(bucket="bucket", key="large"), metadata=BEARER)
            await call.read()
            call.cancel()
        await until(lambda: not ask.server.calls)
        await until(lambda: not [each for each in gc.get_objects() if isinstance(each, Call)])
    finally:
        gc.enable()

"""The generator of load for gRPC: against an empty server, a gateway, and peers that do what servers seldom do."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager

import grpc
import pytest
from hpack import Encoder

from loadtests import floor, h2wire, stubs
from loadtests.gateway import ACCESS_KEY, SECRET_KEY, Running, running
from loadtests.stubs import s3_pb2
from loadtests.wire import Load

BUCKET = "load"
KIB, MIB = 1024, 1024**2


@pytest.fixture(scope="module")
def empty() -> Iterator[floor.Ports]:
    with floor.running() as ports:
        yield ports


@pytest.fixture(scope="module")
def gateway(tmp_path_factory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("load") / "root", durability="relaxed") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def client(gateway) -> Iterator[stubs.Client]:
    """Python's own, which says what the generator left behind."""
    with grpc.insecure_channel(gateway.target, options=[("grpc.max_receive_message_length", 64 * MIB)]) as channel:
        client = stubs.Client(channel, ACCESS_KEY, SECRET_KEY)
        client.create_bucket(BUCKET)
        yield client


async def send(port: int, calls: Iterable[h2wire.Call], *, connections: int, seconds: float | None = None) -> Load:
    """A generator that waits for what it never gets must not wait for ever."""
    async with asyncio.timeout(30):
        return await h2wire.send(port, calls, connections=connections, seconds=seconds)


# A server that does nothing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("connections", [1, 3, 32])
async def test_every_call_is_answered_whoever_takes_it(empty, connections):
    load = await send(empty.grpc, [h2wire.get(BUCKET, str(KIB), KIB)] * 100, connections=connections)

    assert len(load.times) == 100
    assert 0 < min(load.times) <= load.percentile(0.5) <= max(load.times) <= load.seconds


@pytest.mark.parametrize(
    ("key", "messages"), [(f"{MIB}", [64 * KIB] * 16), (f"{MIB}/{MIB}", [MIB]), ("70000", [64 * KIB, 4464])]
)
async def test_an_answer_is_counted_to_the_byte(empty, key, messages):
    whole = sum(5 + s3_pb2.GetObjectResponse(data=bytes(size)).ByteSize() for size in messages)
    load = await send(empty.grpc, [h2wire.get(BUCKET, key, whole)] * 5, connections=1)

    assert len(load.times) == 5
    with pytest.raises(RuntimeError, match=f"/s3.ObjectService/GetObject: {whole:,} bytes came of {whole + 1:,}"):
        await send(empty.grpc, [h2wire.get(BUCKET, key, whole + 1)], connections=1)


async def test_a_connection_is_given_room_again_when_it_has_taken_much(empty, monkeypatch):
    monkeypatch.setattr(h2wire, "OPENING", h2wire.opening(4 * MIB))
    monkeypatch.setattr(h2wire, "CREDIT_BYTES", 2 * MIB)
    load = await send(empty.grpc, [h2wire.get(BUCKET, str(3 * MIB), 3 * MIB)] * 10, connections=1)

    assert len(load.times) == 10


async def test_none_is_begun_after_the_time(empty):
    calls = itertools.repeat(h2wire.head(BUCKET, "key"))
    load = await send(empty.grpc, calls, connections=2, seconds=0.1)

    assert load.times
    assert 0.1 <= load.seconds < 5


async def test_a_server_that_is_killed_is_an_error():
    with floor.running() as ports:
        sending = asyncio.ensure_future(
            send(ports.grpc, itertools.repeat(h2wire.head(BUCKET, "key")), connections=4, seconds=20)
        )
        await asyncio.sleep(0.3)
        os.kill(ports.pid, signal.SIGKILL)

        with pytest.raises(ConnectionError):
            await sending


# A gateway ---------------------------------------------------------------------------------------------------


async def test_what_is_put_is_what_was_meant(gateway, client):
    """Sizes that end within a frame, at its end, and beyond every window that a server opens at first."""
    bodies = {f"put-{size}": os.urandom(size) for size in (0, 1, 16_000, 16_384, 65_535, 70_000, MIB, 20 * MIB)}
    load = await send(gateway.grpc_port, [h2wire.put(BUCKET, *item) for item in bodies.items()], connections=2)

    assert len(load.times) == len(bodies)
    assert bodies == {key: client.get(BUCKET, key) for key in bodies}


async def test_every_verb_is_understood(gateway, client):
    client.put(BUCKET, "verbs/one", bytes(100 * KIB))
    calls = [
        h2wire.head(BUCKET, "verbs/one"),
        h2wire.get(BUCKET, "verbs/one", 100 * KIB),
        h2wire.get(BUCKET, "verbs/one", 5000, first=1000),
        h2wire.listing(BUCKET, "verbs/"),
        h2wire.delete(BUCKET, "verbs/one"),
    ]
    load = await send(gateway.grpc_port, calls, connections=1)

    assert len(load.times) == len(calls)
    assert not client.list(BUCKET, "verbs/").contents


async def test_a_range_is_no_more_than_was_asked_for(gateway, client):
    client.put(BUCKET, "range", bytes(100 * KIB))
    asked = h2wire.get(BUCKET, "range", 5000, first=1000)
    greedy = h2wire.Call(asked.path, asked.head, asked.messages, 6000)

    with pytest.raises(RuntimeError, match="bytes came of 6,000"):
        await send(gateway.grpc_port, [greedy], connections=1)


async def test_a_refusal_is_raised_with_what_was_said(gateway, client):
    calls = [h2wire.listing(BUCKET, ""), h2wire.get(BUCKET, "nowhere", 0)]

    with pytest.raises(RuntimeError, match="GetObject: grpc-status 5: The specified key does not exist"):
        await send(gateway.grpc_port, calls, connections=1)


async def test_a_token_that_is_false_is_refused(gateway, client):
    asked = s3_pb2.HeadObjectRequest(bucket=BUCKET, key="key")
    call = h2wire.call("/s3.ObjectService/HeadObject", asked, token=stubs.bearer(ACCESS_KEY, "another"))

    with pytest.raises(RuntimeError, match=r"grpc-status (7|16): "):
        await send(gateway.grpc_port, [call], connections=1)


async def test_a_gateway_that_stops_is_an_error(tmp_path):
    """It drains: it says GOAWAY, or is gone when the next connection would be used."""
    with running(tmp_path / "root", durability="relaxed") as stopping:
        asked = h2wire.call("/s3.BucketService/ListBuckets", s3_pb2.ListBucketsRequest())
        sending = asyncio.ensure_future(send(stopping.grpc_port, itertools.repeat(asked), connections=4, seconds=20))
        await asyncio.sleep(0.3)
        os.kill(stopping.pid, signal.SIGTERM)

        with pytest.raises((RuntimeError, ConnectionError), match=r"goes away|grpc-status|closed|reset"):
            await sending


# Peers that do what servers seldom do ------------------------------------------------------------------------

STATUS, MESSAGE = ("grpc-status", "0"), ("grpc-message", "it%20went%20well")
SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)) + bytes((0, 0, 0, 4, 1, 0, 0, 0, 0))


def frame(kind: int, flags: int, payload: bytes, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def block(*headers: tuple[str, str], huffman: bool = True) -> bytes:
    return Encoder().encode([(*header, True) for header in headers], huffman=huffman)


HEAD = frame(1, 0x4, block((":status", "200"), ("content-type", "application/grpc")))
BODY = frame(0, 0, b"\0\0\0\0\1x")


@asynccontextmanager
async def peer(*answer: bytes) -> AsyncIterator[int]:
    """A server that settles, waits for the end of a call and then writes this, piece by piece."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(h2wire.PREFACE))
        writer.write(SETTINGS)
        while True:
            head = await reader.readexactly(9)
            await reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] == 0 and head[4] & 1:
                break
        for piece in answer:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.001)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def ask(*answer: bytes) -> int:
    async with peer(*answer) as port:
        load = await send(port, [h2wire.get(BUCKET, "key", 6)], connections=1)
        return len(load.times)


def padded(payload: bytes) -> bytes:
    """With three bytes of padding, and a priority, as RFC 9113 draws them in section 6.2."""
    return b"\3" + bytes(5) + payload + bytes(3)


@pytest.mark.parametrize(
    "trailers",
    [
        [frame(1, 0x5, block(STATUS))],
        [frame(1, 0x5, block(STATUS, MESSAGE, huffman=False))],
        [frame(1, 0x5, b"\x20" + block(STATUS))],
        [frame(1, 0x2D, padded(block(STATUS, MESSAGE)))],
        [frame(1, 0x1, block(STATUS)[:3]), frame(9, 0, block(STATUS)[3:5]), frame(9, 0x4, block(STATUS)[5:])],
    ],
    ids=["huffman", "plain", "after a size of the table", "padded", "continued"],
)
async def test_trailers_are_read_however_they_are_written(trailers):
    assert await ask(HEAD, BODY, *trailers) == 1


async def test_frames_are_read_however_they_are_cut():
    answer = (
        HEAD + frame(6, 0, b"pingpong", 0) + BODY + frame(8, 0, bytes((0, 0, 0, 9)), 0) + frame(1, 5, block(STATUS))
    )

    assert await ask(*(answer[at : at + 1] for at in range(len(answer)))) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([HEAD, frame(3, 0, bytes((0, 0, 0, 8)))], "GetObject: the server reset it .*error 8"),
        ([frame(7, 0, bytes((0, 0, 0, 1, 0, 0, 0, 11)) + b"too_many_pings", 0)], "error 11.*too_many_pings"),
        ([frame(1, 5, block((":status", "200"), ("grpc-status", "14"), MESSAGE))], "grpc-status 14: it went well"),
        ([HEAD, BODY, frame(1, 5, block(MESSAGE))], "no grpc-status"),
        ([HEAD, BODY, frame(0, 1, b"")], "ended without trailers"),
        ([HEAD, frame(1, 5, block(STATUS))], "0 bytes came of 6"),
        ([HEAD, BODY, frame(1, 5, b"\xbe")], "not HPACK without a table"),
    ],
    ids=["reset", "goaway", "status", "no status", "no trailers", "too little", "a table"],
)
async def test_what_is_no_answer_is_an_error(answer: Sequence[bytes], said: str):
    with pytest.raises(RuntimeError, match=said):
        await ask(*answer)


async def test_the_clock_starts_when_the_connections_stand():
    """A server that takes its time to settle has not been asked anything yet."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(h2wire.PREFACE))
        await asyncio.sleep(0.3)
        writer.write(SETTINGS)
        await reader.readuntil(b"GetObject")
        writer.write(HEAD + BODY + frame(1, 5, block(STATUS)))
        await reader.read()
        writer.close()

    began = time.perf_counter()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        load = await send(port, [h2wire.get(BUCKET, "key", 6)], connections=1)
        whole = time.perf_counter() - began

    assert len(load.times) == 1
    assert load.seconds < whole - 0.25

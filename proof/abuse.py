"""
Ways of asking too much of a gateway, each of which goes on until it is cancelled.

They speak to sockets and to grpc themselves, because no client would do what they do, and count what they are told:
an abuse that nobody notices shows nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from loadtests import stubs, wire
from proof.gateway import Gateway

s3_pb2: Any = stubs.s3_pb2
ObjectServiceStub: Any = stubs.ObjectServiceStub

BUCKET: Final = "overload"
SMALL: Final = b"x" * 1024
PARTIAL_BYTES: Final = 2 * 1024**2
"""How much of an upload has arrived when it is cut off: enough that it is on the disk."""

AHEAD: Final = 20
"""How many requests of the flood are sent at once, before the first of their answers."""
RESET_EVERY: Final = 50
"""After how many such batches a connection is reset before the answers have come."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class Scene:
    """A gateway, its bounds, and what those who abuse it were told."""

    gateway: Gateway
    idle_seconds: float
    places: int
    """How many calls it takes at once."""
    connections: int
    """How many connections the abuse has: more than there may be."""
    told: Counter[str] = field(default_factory=Counter)

    def get(self, key: str) -> bytes:
        return wire.request("GET", self.gateway.rest_port, f"/{BUCKET}/{key}")

    def head(self, key: str, size: int) -> bytes:
        """The head of an upload whose bytes follow, or do not."""
        return wire.upload_head(self.gateway.rest_port, f"/{BUCKET}/{key}", size)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", stubs.bearer(self.gateway.access_key, self.gateway.secret_key)),)

    async def connect(self) -> Streams:
        return await asyncio.open_connection("127.0.0.1", self.gateway.rest_port)

    async def hear(self, reader: asyncio.StreamReader) -> None:
        """Count what is said before the connection ends: a status, or nothing."""
        said = b""
        with contextlib.suppress(ConnectionError):
            said = await reader.read()
        self.told[said[9:12].decode() or "nothing"] += 1


Abuse = Callable[[Scene], Coroutine[Any, Any, None]]


def reason(fault: grpc.aio.AioRpcError) -> str:
    """S3's code, or that of gRPC where it was not the gateway that refused."""
    trailing: Any = fault.trailing_metadata() or ()
    for name, value in trailing:
        if name == "grpc-status-details-bin":
            info = ErrorInfo()
            Status.FromString(value).details[0].Unpack(info)
            return str(info.reason)
    return str(fault.code().name)


async def again_and_again(
    one: Callable[[int], Awaitable[None]], many: int, *, ends: asyncio.Event | None = None
) -> None:
    """So many at once, each of whom does it again when it is over; nobody begins again once it ``ends``."""

    async def forever(number: int) -> None:
        while ends is None or not ends.is_set():
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await one(number)
            await asyncio.sleep(0.01)

    await asyncio.gather(*(forever(number) for number in range(many)))


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a process that is killed does."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def say_nothing(scene: Scene) -> None:
    """More connections than there may be, none of which asks for anything."""

    async def one(number: int) -> None:
        reader, writer = await scene.connect()
        try:
            await scene.hear(reader)
        finally:
            writer.close()

    await again_and_again(one, scene.connections)


async def flood_headers(scene: Scene) -> None:
    """Headers that are too many, too large, or never end."""
    kinds = (
        b"".join(b"x-%d: y\r\n" % number for number in range(500)) + b"\r\n",
        b"x: " + b"y" * 100_000 + b"\r\n\r\n",
        b"x: y",
    )

    async def one(number: int) -> None:
        reader, writer = await scene.connect()
        try:
            writer.write(b"GET / HTTP/1.1\r\n" + kinds[number % len(kinds)])
            await scene.hear(reader)
        finally:
            writer.close()

    await again_and_again(one, min(scene.connections // 4, 60))


async def stop_in_a_body(scene: Scene) -> None:
    """Bodies that come at a byte a second, stop, or end before their end: in half of the places."""

    async def one(number: int) -> None:
        reader, writer = await scene.connect()
        try:
            writer.write(scene.head(f"slow{number}", 10_000) + b"x")
            if number % 3 == 0:
                writer.write_eof()
            while number % 3 == 1:
                await asyncio.sleep(min(1, scene.idle_seconds / 2))
                writer.write(b"x")
            await scene.hear(reader)
        finally:
            writer.close()

    await again_and_again(one, scene.places // 2)


async def take_no_answer(scene: Scene) -> None:
    """Answers of which a kilobyte a second is taken, or nothing: in half of the places."""

    async def one(number: int) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as taking:
            taking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            taking.setblocking(False)
            await loop.sock_connect(taking, ("127.0.0.1", scene.gateway.rest_port))
            await loop.sock_sendall(taking, scene.get("large"))
            while number % 2:
                await loop.sock_recv(taking, 1024)
                await asyncio.sleep(1)
            await asyncio.sleep(2 * scene.idle_seconds)
            taken = 0
            with contextlib.suppress(ConnectionError):
                while more := await loop.sock_recv(taking, 65536):
                    taken += len(more)
            scene.told["a part" if taken < LARGE_BYTES else "all of it"] += 1

    await again_and_again(one, scene.places // 2)


LARGE_BYTES: Final = 64 * 1024**2
"""The size of the object called large: more than all buffers between it and a client hold."""


async def break_off(scene: Scene) -> None:
    """Uploads that are cut in their middle and downloads that are dropped in theirs."""

    async def one(number: int) -> None:
        reader, writer = await scene.connect()
        try:
            if number % 2:
                writer.write(scene.head(f"cut{number}", 2 * PARTIAL_BYTES) + bytes(PARTIAL_BYTES))
                await writer.drain()
            else:
                writer.write(scene.get("large"))
                scene.told[(await reader.readexactly(12))[9:].decode()] += 1
        finally:
            _reset(writer)

    await again_and_again(one, 8)


async def crowd(scene: Scene) -> None:
    """More clients than there are places, each of which uploads one object after the other."""
    half = SMALL * 100
    head = scene.head("crowd", 2 * len(half))

    async def one(number: int) -> None:
        reader, writer = await scene.connect()
        try:
            while True:
                writer.write(head + half)
                await asyncio.sleep(0.01)
                writer.write(half)
                said = await reader.readuntil(b"\r\n\r\n")
                scene.told[said[9:12].decode()] += 1
                if not said.startswith(b"HTTP/1.1 200"):
                    return
        finally:
            writer.close()

    await again_and_again(one, 2 * scene.places)


@contextlib.asynccontextmanager
async def objects(scene: Scene) -> AsyncIterator[Any]:
    """The stub of ObjectService on a connection of its own."""
    async with grpc.aio.insecure_channel(scene.gateway.target) as channel:
        yield ObjectServiceStub(channel)


async def call_and_say_nothing(scene: Scene) -> None:
    """Calls over gRPC that send no message, of callers without a key and with a wrong one."""
    async with grpc.aio.insecure_channel(scene.gateway.target) as channel:
        say_nothing: Any = channel.stream_stream("/s3.BucketService/ListBuckets", None, None)

        async def one(number: int) -> None:
            shown = (("authorization", "Bearer nobody.nothing"),) if number % 2 else ()
            try:
                await say_nothing(metadata=shown).read()
            except grpc.aio.AioRpcError as fault:
                scene.told[reason(fault)] += 1

        await again_and_again(one, 2 * scene.places)


async def abandon_streams(scene: Scene) -> None:
    """Uploads and downloads over gRPC that are cancelled in their middle."""
    async with objects(scene) as stub:

        async def one(number: int) -> None:
            upload = stub.PutObject(metadata=scene.metadata())
            await upload.write(s3_pb2.PutObjectRequest(bucket=BUCKET, key=f"left{number}", data=bytes(PARTIAL_BYTES)))
            upload.cancel()
            download = stub.GetObject(s3_pb2.GetObjectRequest(bucket=BUCKET, key="large"), metadata=scene.metadata())
            message = await download.read()
            scene.told["bytes" if message.data else "nothing"] += 1
            download.cancel()

        await again_and_again(one, 8)


async def leave_streams(scene: Scene) -> None:
    """Downloads over gRPC that nobody takes: in half of the places, then in as many again."""
    left = []
    async with objects(scene) as stub:
        while True:
            for _ in range(scene.places // 2):
                asked = s3_pb2.GetObjectRequest(bucket=BUCKET, key="large")
                left.append(stub.GetObject(asked, metadata=scene.metadata()))
                scene.told["bytes" if (await left[-1].read()).data else "nothing"] += 1
            await asyncio.sleep(1.5 * scene.idle_seconds)


ABUSES: Final[dict[str, tuple[Abuse, frozenset[str]]]] = {
    "more connections than there may be, that say nothing": (say_nothing, frozenset({"503"})),
    "headers that are too many, too large, or never end": (flood_headers, frozenset({"431", "400"})),
    "bodies that trickle, stop, or end early": (stop_in_a_body, frozenset({"400"})),
    "answers that are taken slowly, or not at all": (take_no_answer, frozenset({"a part"})),
    "uploads and downloads that are cut off": (break_off, frozenset({"200"})),
    "more clients than there are places": (crowd, frozenset({"200", "503"})),
    "gRPC calls that say nothing": (call_and_say_nothing, frozenset({"InvalidToken", "RequestTimeout", "SlowDown"})),
    "gRPC streams that are cancelled": (abandon_streams, frozenset({"bytes"})),
    "gRPC downloads that nobody takes": (leave_streams, frozenset({"bytes"})),
}
"""Each by its name, with what its clients are told at least, when it has gone on for long enough."""


async def stop_an_upload(scene: Scene) -> None:
    """One upload of which nothing more comes, until its connection is ended."""
    reader, writer = await scene.connect()
    try:
        writer.write(scene.head("waiting", 1000) + b"x")
        await scene.hear(reader)
    finally:
        writer.close()


async def leave_a_download(scene: Scene) -> None:
    """One download over gRPC of which nothing is taken, until its stream is ended."""
    async with objects(scene) as stub:
        await stub.GetObject(s3_pb2.GetObjectRequest(bucket=BUCKET, key="large"), metadata=scene.metadata()).code()


HOLDS: Final[dict[str, Abuse]] = {
    "uploads that stop": stop_an_upload,
    "downloads that nobody takes": leave_a_download,
}
"""Ways to hold one place for nothing, until it is taken away."""


async def flood(scene: Scene, count: int) -> None:
    """
    So many small requests, sent ahead on eight connections, some of which are reset before their answers have come.

    Raises AssertionError where one is answered otherwise than the first was.
    """
    asked = scene.get("small")
    reader, writer = await scene.connect()
    writer.write(asked)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    writer.close()
    answer_bytes, status, batch = len(head) + len(SMALL), head[: head.index(b"\r\n")], asked * AHEAD
    left = iter(range(count // AHEAD))

    async def one() -> None:
        reader, writer = await scene.connect()
        try:
            for number in left:
                writer.write(batch)
                if number % RESET_EVERY == RESET_EVERY - 1:
                    _reset(writer)
                    reader, writer = await scene.connect()
                    continue
                said = await reader.readexactly(AHEAD * answer_bytes)
                assert said.count(status) == AHEAD, said[:200]
                scene.told["200"] += AHEAD
        finally:
            writer.close()

    await asyncio.gather(*(one() for _ in range(8)))

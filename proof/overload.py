"""
Nobody can take the server away from everybody else.

Connections that say nothing, headers that never end, bodies that trickle, answers that nobody takes, uploads cut off
and streams abandoned, more calls than it may have, and a flood of tiny requests: beside each of them a client that
behaves asks for a small object, one after the other, and its times are measured.  Memory stays bounded, what is too
much is told to slow down (503 on REST, RESOURCE_EXHAUSTED on gRPC), and afterwards everything is as it was: the
descriptors are given back, nothing of what was cut off is on the disk, and the rate is what it was before.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import grpc

from loadtests import stubs, wire
from proof.gateway import Gateway
from proof.run import Run

BUCKET = "overload"
SMALL, LARGE_BYTES = b"x" * 1024, 64 * 1024**2
PARTIAL_BYTES = 2 * 1024**2
"""How much of an upload has arrived when it is cut off: enough that it is on the disk."""

IDLE_SECONDS, MAX_REQUESTS, MAX_CONNECTIONS = 2, 64, 2000
MOST_BYTES = 400 * 1024**2
"""What the process may hold at most, whatever is done to it."""

Abuse = Callable[[Gateway, int], Coroutine[Any, Any, None]]


def get(gateway: Gateway, key: str) -> bytes:
    return wire.request("GET", gateway.rest_port, f"/{BUCKET}/{key}")


def put_head(gateway: Gateway, key: str, size: int) -> bytes:
    """The head of an upload whose bytes follow, or do not."""
    return wire.upload_head(gateway.rest_port, f"/{BUCKET}/{key}", size)


async def connect(gateway: Gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", gateway.rest_port)


async def polite(gateway: Gateway, seconds: float) -> list[float]:
    """Somebody who asks for a small object, one request after the other; the milliseconds of each."""
    reader, writer = await connect(gateway)
    asked = get(gateway, "small")
    times: list[float] = []
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            began = time.perf_counter()
            writer.write(asked)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            assert head.startswith(b"HTTP/1.1 200"), head
            await reader.readexactly(len(SMALL))
            times.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.002)
    finally:
        writer.close()
    return times


# What is done to it ------------------------------------------------------------------------------------------


async def say_nothing(gateway: Gateway, many: int) -> None:
    opened = [await connect(gateway) for _ in range(many)]
    try:
        await asyncio.sleep(3600)
    finally:
        for _, writer in opened:
            writer.close()


async def never_end_a_header(gateway: Gateway, many: int) -> None:
    async def one() -> None:
        while True:
            _, writer = await connect(gateway)
            with contextlib.suppress(OSError):
                writer.write(b"GET / HTTP/1.1\r\nx: ")
                while not writer.is_closing():
                    writer.write(b"y" * 512)
                    await writer.drain()
                    await asyncio.sleep(0.01)

    await asyncio.gather(*(one() for _ in range(many)))


async def trickle_a_body(gateway: Gateway, many: int) -> None:
    async def one(number: int) -> None:
        while True:
            _, writer = await connect(gateway)
            with contextlib.suppress(OSError):
                writer.write(put_head(gateway, f"slow{number}", 10_000))
                for _ in range(100):
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.1)
            writer.close()

    # Fewer than there may be calls: those who behave are still let in.
    await asyncio.gather(*(one(number) for number in range(min(many, MAX_REQUESTS // 2))))


async def take_no_answer(gateway: Gateway, many: int) -> None:
    async def one() -> None:
        while True:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            with contextlib.suppress(OSError):
                await loop.sock_connect(sock, ("127.0.0.1", gateway.rest_port))
                await loop.sock_sendall(sock, get(gateway, "large"))
                await asyncio.sleep(2 * IDLE_SECONDS)
            sock.close()

    await asyncio.gather(*(one() for _ in range(min(many, MAX_REQUESTS // 2))))


async def cut_uploads_off(gateway: Gateway, many: int) -> None:
    async def one(number: int) -> None:
        while True:
            _, writer = await connect(gateway)
            with contextlib.suppress(OSError):
                writer.write(put_head(gateway, f"cut{number}", 2 * PARTIAL_BYTES) + b"x" * PARTIAL_BYTES)
                await writer.drain()
                sock = writer.get_extra_info("socket")
                # Closed with a reset, as by a process that is killed.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            await asyncio.sleep(0.02)

    await asyncio.gather(*(one(number) for number in range(min(many, 8))))


async def abandon_streams(gateway: Gateway, many: int) -> None:
    token = stubs.bearer(gateway.access_key, gateway.secret_key)
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        from s3_pb2 import GetObjectRequest, PutObjectRequest
        from s3_pb2_grpc import ObjectServiceStub

        objects = ObjectServiceStub(channel)
        metadata = (("authorization", token),)

        async def one(number: int) -> None:
            while True:
                try:
                    upload = objects.PutObject(metadata=metadata)
                    await upload.write(PutObjectRequest(bucket=BUCKET, key=f"left{number}", data=b"x" * PARTIAL_BYTES))
                    upload.cancel()
                    download = objects.GetObject(GetObjectRequest(bucket=BUCKET, key="large"), metadata=metadata)
                    await download.read()
                    download.cancel()
                except grpc.aio.AioRpcError as fault:
                    # A stream that was cancelled may say so; any other refusal would make this no abuse at all.
                    if fault.code() is not grpc.StatusCode.CANCELLED:
                        raise
                except asyncio.InvalidStateError:
                    pass
                await asyncio.sleep(0.02)

        await asyncio.gather(*(one(number) for number in range(min(many, 8))))


async def flood(gateway: Gateway, many: int) -> None:
    asked = get(gateway, "small")

    async def one() -> None:
        while True:
            reader, writer = await connect(gateway)
            with contextlib.suppress(OSError):
                for _ in range(100):
                    writer.write(asked * 5)
                    for _ in range(5):
                        await reader.readuntil(b"\r\n\r\n")
                        await reader.readexactly(len(SMALL))
            writer.close()

    await asyncio.gather(*(one() for _ in range(min(many, 8))))


ABUSES: dict[str, Abuse] = {
    "connections that say nothing": say_nothing,
    "headers that never end": never_end_a_header,
    "bodies that trickle": trickle_a_body,
    "answers that nobody takes": take_no_answer,
    "uploads that are cut off": cut_uploads_off,
    "streams that are abandoned": abandon_streams,
    "a flood of small requests": flood,
}


# What is looked at -------------------------------------------------------------------------------------------


def peak_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def blob_bytes(root: Path) -> int:
    return sum(path.stat().st_size for path in (root / "blobs").glob("*/*"))


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


async def rate(gateway: Gateway, count: int) -> float:
    """Small reads a second on 8 connections."""
    asked = [get(gateway, "small")] * count
    return (await wire.send(gateway.rest_port, asked, connections=8)).per_second


async def until(holds: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:  # noqa: ASYNC110 - what is waited for is another process's
        await asyncio.sleep(0.05)
    return holds()


async def slows_down(gateway: Gateway) -> tuple[int, str]:
    """Fill every place with uploads that wait, and ask once more on both protocols; what is said."""
    waiting = []
    for number in range(MAX_REQUESTS):
        reader, writer = await connect(gateway)
        writer.write(put_head(gateway, f"waiting{number}", 1000) + b"x")
        waiting.append((reader, writer))
    await asyncio.sleep(0.3)
    reader, writer = await connect(gateway)
    writer.write(get(gateway, "small"))
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    token = stubs.bearer(gateway.access_key, gateway.secret_key)
    code = "OK"
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        from s3_pb2 import ListBucketsRequest
        from s3_pb2_grpc import BucketServiceStub

        try:
            await BucketServiceStub(channel).ListBuckets(ListBucketsRequest(), metadata=(("authorization", token),))
        except grpc.aio.AioRpcError as fault:
            code = fault.code().name
    for _, each in (*waiting, (reader, writer)):
        each.close()
    return int(head.split(b" ")[1]), code


@contextlib.contextmanager
def prepared(run: Run) -> Iterator[Gateway]:
    settings = {
        "RS3GW_BODY_IDLE_SECONDS": str(IDLE_SECONDS),
        "RS3GW_HEADER_SECONDS": str(IDLE_SECONDS),
        "RS3GW_MAX_REQUESTS": str(MAX_REQUESTS),
        "RS3GW_MAX_CONNECTIONS": str(MAX_CONNECTIONS),
    }
    with run.directory() as place, Gateway(place / "root", settings=settings) as gateway:
        for asked in (
            wire.request("PUT", gateway.rest_port, f"/{BUCKET}"),
            wire.request("PUT", gateway.rest_port, f"/{BUCKET}/small", SMALL),
            wire.request("PUT", gateway.rest_port, f"/{BUCKET}/large", bytes(LARGE_BYTES)),
        ):
            asyncio.run(wire.send(gateway.rest_port, [asked], connections=1))
        yield gateway


def prove(run: Run) -> None:
    with prepared(run) as gateway:
        asyncio.run(_prove(run, gateway))


async def _prove(run: Run, gateway: Gateway) -> None:
    seconds, many, count = run.pick(1, 12), run.pick(100, 1500), run.pick(2_000, 30_000)
    before = await rate(gateway, count)
    held = descriptors(gateway.pid)
    alone = await polite(gateway, seconds)
    run.figure("a small read beside nothing, p50 and p99", _said(alone), "ms")
    for number, (name, abuse) in enumerate(ABUSES.items()):
        doing = asyncio.ensure_future(abuse(gateway, many))
        await asyncio.sleep(0.3)
        times = await polite(gateway, seconds)
        run.must(not doing.done(), f"beside {name} the abuse ended by itself: {doing.done() and doing.exception()}")
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)
        run.figure(f"beside {name}", _said(times), "ms")
        run.progress(number + 1, len(ABUSES), "ways of asking too much")
        run.must(
            await until(lambda: descriptors(gateway.pid) <= held + 20, 4 * IDLE_SECONDS), f"{name}: descriptors stay"
        )
    status, code = await slows_down(gateway)
    run.figure("one call too many on REST and gRPC", f"{status}, {code}")
    run.must((status, code) == (503, "RESOURCE_EXHAUSTED"), "one call too many was not told to slow down")
    run.must(await until(lambda: descriptors(gateway.pid) <= held + 20, 4 * IDLE_SECONDS), "descriptors stay")
    run.must(
        await until(lambda: blob_bytes(gateway.root) == LARGE_BYTES, 4 * IDLE_SECONDS),
        f"{blob_bytes(gateway.root) - LARGE_BYTES} bytes of uploads that were cut off are on the disk",
    )
    # The best of a few: what else the machine does is no fault of the server's.
    after = max([await rate(gateway, count) for _ in range(run.pick(1, 5))])
    peak = peak_bytes(gateway.pid)
    run.figure("the most memory it held", round(peak / 1024**2), "MiB")
    run.must(peak < MOST_BYTES, f"it held {peak / 1024**2:.0f} MiB")
    run.figure("small reads a second, before and after", f"{before:,.0f} and {after:,.0f}")
    run.must(run.is_quick or after > before / 2, "it has not come back to its rate")


def _said(times: list[float]) -> str:
    return f"{percentile(times, 0.5):.2f} and {percentile(times, 0.99):.2f}"

"""
Nobody can take the server away from everybody else.

Connections that say nothing, headers that flood, bodies that trickle, answers that nobody takes, streams broken off
and left behind, more clients than there are places, a million tiny requests: beside each of them a client that
behaves asks for a small object on REST and for its head on gRPC, one after the other, and is timed.  Each abuse is
told what it has to be told, and goes on at least until it is.  Memory stays bounded, one call too many is told to
slow down (503 on REST, RESOURCE_EXHAUSTED on gRPC, SlowDown on both), places that are held for nothing come back by
themselves, and afterwards everything is as it was: the descriptors are given back, nothing of what was cut off is on
the disk, and small reads are as fast as before.

The one who behaves and those who do not share a process and its time, so what is said of it is an upper bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

import grpc

from loadtests import wire
from proof.abuse import (
    ABUSES,
    BUCKET,
    HOLDS,
    LARGE_BYTES,
    SMALL,
    Abuse,
    Scene,
    Streams,
    again_and_again,
    flood,
    objects,
    reason,
    s3_pb2,
)
from proof.gateway import Gateway
from proof.run import Run

MOST_BYTES: Final = 400 * 1024**2
"""What the process may hold at most, whatever is done to it."""

PLACES: Final = 64
IDLE_BYTES: Final = 8 * 1024**2
"""Who takes less of an answer while it is waited for, takes nothing: a library that reads ahead for a program that does
not, and has little of a busy machine's time, takes a little of each answer for long."""
MOST_SECONDS: Final = 1.0
"""What 99 in 100 requests of who behaves stay under, whatever else goes on."""
NEW_CONNECTION_EVERY: Final = 10
"""So often who behaves comes back on a new connection, as somebody else would."""
DESCRIPTORS: Final = 20
"""How many more may be open afterwards: connections that still idle, files of the index."""
LATE_SECONDS: Final = 30
"""After which what should happen will not."""


class Polite:
    """A client that behaves, on both protocols."""

    def __init__(self, scene: Scene, stub: Any) -> None:
        self._scene = scene
        self._stub = stub

    async def ask(self, seconds: float, goes_on: Callable[[], bool]) -> tuple[list[float], list[float], int]:
        """The seconds of each request on REST and on gRPC, and how many were told to slow down."""
        until = time.monotonic() + seconds
        rest: list[float] = []
        rpc: list[float] = []
        slowed = 0
        while time.monotonic() < until or goes_on():
            async with self._connected() as streams:
                for _ in range(NEW_CONNECTION_EVERY):
                    slowed += await _timed(self._get(streams), rest) + await _timed(self._head(), rpc)
                    await asyncio.sleep(0.002)
        return rest, rpc, slowed

    async def once(self) -> int:
        """Ask once on each protocol; on how many of them that was told to slow down."""
        async with self._connected() as streams:
            return await _timed(self._get(streams), []) + await _timed(self._head(), [])

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Streams]:
        reader, writer = await self._scene.connect()
        try:
            yield reader, writer
        finally:
            writer.close()

    async def _get(self, streams: Streams) -> bool:
        reader, writer = streams
        writer.write(self._scene.get("small"))
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        body = await reader.readexactly(int(length))
        if body == SMALL:
            return False
        assert head.startswith(b"HTTP/1.1 503 "), head + body
        assert b"<Code>SlowDown</Code>" in body, head + body
        return True

    async def _head(self) -> bool:
        asked = s3_pb2.HeadObjectRequest(bucket=BUCKET, key="small")
        try:
            await self._stub.HeadObject(asked, metadata=self._scene.metadata())
        except grpc.aio.AioRpcError as fault:
            if fault.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and reason(fault) == "SlowDown":
                return True
            raise
        return False


async def _timed(asking: Coroutine[Any, Any, bool], times: list[float]) -> bool:
    began = time.perf_counter()
    async with asyncio.timeout(LATE_SECONDS):
        is_slowed = await asking
    times.append(time.perf_counter() - began)
    return is_slowed


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


def said(times: list[float]) -> str:
    return f"{1000 * percentile(times, 0.5):.1f} and {1000 * percentile(times, 0.99):.1f}"


async def rate(scene: Scene, count: int) -> float:
    """Small reads a second on 8 connections."""
    asked = [scene.get("small")] * count
    return (await wire.send(scene.gateway.rest_port, asked, connections=8)).per_second


async def until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + LATE_SECONDS
    while not holds() and time.monotonic() < deadline:  # noqa: ASYNC110 - what is waited for is another process's
        await asyncio.sleep(0.05)
    return holds()


# What is shown -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def prepared(run: Run) -> Iterator[Scene]:
    """A gateway with small bounds, and two objects in it."""
    connections, idle_seconds = run.pick(150, 2000), run.pick(1, 2)
    settings = {
        "RS3GW_BODY_IDLE_SECONDS": str(idle_seconds),
        "RS3GW_BODY_IDLE_BYTES": str(IDLE_BYTES),
        "RS3GW_HEADER_SECONDS": str(idle_seconds),
        "RS3GW_MAX_REQUESTS": str(PLACES),
        "RS3GW_MAX_CONNECTIONS": str(connections),
    }
    with run.directory() as place, Gateway(place / "root", settings=settings) as gateway:
        for asked in (
            wire.request("PUT", gateway.rest_port, f"/{BUCKET}"),
            wire.request("PUT", gateway.rest_port, f"/{BUCKET}/small", SMALL),
            wire.request("PUT", gateway.rest_port, f"/{BUCKET}/large", bytes(LARGE_BYTES)),
        ):
            asyncio.run(wire.send(gateway.rest_port, [asked], connections=1))
        yield Scene(gateway, idle_seconds, PLACES, connections + connections // 4)


def prove(run: Run) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with prepared(run) as scene:
        asyncio.run(_prove(run, scene))


async def _prove(run: Run, scene: Scene) -> None:
    pid, count = scene.gateway.pid, run.pick(2_000, 30_000)
    before = await rate(scene, count)
    async with objects(scene) as stub:
        polite = Polite(scene, stub)
        rest, rpc, _ = await polite.ask(run.pick(1, 10), lambda: False)
        held = descriptors(pid) + DESCRIPTORS
        run.figure("beside nothing", f"{said(rest)}; {said(rpc)}", "ms", "p50 and p99 of a read on REST; on gRPC")
        for number, name in enumerate(ABUSES):
            await _beside(run, scene, polite, name)
            run.progress(number + 1, len(ABUSES), "ways of asking too much")
            run.must(await until(lambda: descriptors(pid) <= held), f"descriptors stay open after {name}")
        await _flood(run, scene, polite)
    await _fill(run, scene)
    await _is_as_before(run, scene, held)
    # What else the machine does is no fault of the server's: one good round shows that it can.
    after, rounds = await rate(scene, count), 1
    while after < 0.9 * before and rounds < 10:
        after, rounds = max(after, await rate(scene, count)), rounds + 1
    run.figure("small reads a second, before and after", f"{before:,.0f} and {after:,.0f}")
    run.must(after > before / 2, "it has not come back to its rate")


async def _beside(run: Run, scene: Scene, polite: Polite, name: str) -> None:
    """Somebody who behaves, beside an abuse that goes on until it was told everything that it has to be."""
    abuse, expected = ABUSES[name]
    scene.told.clear()
    doing = asyncio.ensure_future(abuse(scene))
    late = time.monotonic() + LATE_SECONDS
    try:
        await asyncio.sleep(0.2)
        rest, rpc, slowed = await polite.ask(
            run.pick(1, 10) / 2, lambda: not expected <= set(scene.told) and time.monotonic() < late
        )
        run.must(not doing.done(), f"{name}: ended by itself: {doing.done() and doing.exception()!r}")
    finally:
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)
    answers = ", ".join(f"{what} {times:,} times" for what, times in sorted(scene.told.items()))
    slow = f"; {slowed} of {len(rest) + len(rpc)} told to slow down" if slowed else ""
    run.figure(f"beside {name}", f"{said(rest)}; {said(rpc)}", "ms", f"they were told {answers}{slow}")
    run.must(expected <= set(scene.told), f"{name}: nobody was told {', '.join(sorted(expected - set(scene.told)))}")
    worst = max(percentile(rest, 0.99), percentile(rpc, 0.99))
    run.must(worst < MOST_SECONDS, f"beside {name} a small request took {worst:.2f} s")


async def _flood(run: Run, scene: Scene, polite: Polite) -> None:
    count = run.pick(20_000, 1_000_000)
    scene.told.clear()
    began = time.monotonic()
    flooding = asyncio.ensure_future(flood(scene, count))
    try:
        rest, rpc, _ = await polite.ask(0, lambda: not flooding.done())
    finally:
        flooding.cancel()
    await flooding
    answered = scene.told["200"]
    run.figure(
        f"beside a flood of {count:,} small requests",
        f"{said(rest)}; {said(rpc)}",
        "ms",
        f"{answered / (time.monotonic() - began):,.0f} a second; {count - answered:,} were reset before their answer",
    )


@contextlib.asynccontextmanager
async def _held(scene: Scene, hold: Abuse) -> AsyncIterator[asyncio.Event]:
    """Every place held for nothing, and taken again by whoever loses his, until the event that it gives is set."""
    is_seen = asyncio.Event()
    holding = asyncio.ensure_future(again_and_again(lambda _: hold(scene), PLACES, ends=is_seen))
    try:
        yield is_seen
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


async def _fill(run: Run, scene: Scene) -> None:
    """Let every place be taken by somebody who then does nothing."""
    for how, hold in HOLDS.items():
        async with _held(scene, hold) as is_seen, objects(scene) as stub:
            polite = Polite(scene, stub)
            run.must(await _becomes(polite, 2), f"one call beside {PLACES} {how} is not told to slow down")
            is_seen.set()
            began = time.monotonic()
            run.must(await _becomes(polite, 0), f"{how} keep their places")
            run.figure(f"places taken by {how} came back after", time.monotonic() - began, "s")


async def _becomes(polite: Polite, slowed: int) -> bool:
    """Whether on so many protocols a call is told to slow down, before it is late."""
    deadline = time.monotonic() + LATE_SECONDS / 3
    while (found := await polite.once()) != slowed and time.monotonic() < deadline:  # noqa: ASYNC110 - as until
        await asyncio.sleep(0.05)
    return found == slowed


async def _is_as_before(run: Run, scene: Scene, held: int) -> None:
    port, pid, root = scene.gateway.rest_port, scene.gateway.pid, scene.gateway.root
    run.must(await until(lambda: descriptors(pid) <= held), "descriptors stay open")
    await wire.send(port, [wire.request("DELETE", port, f"/{BUCKET}/crowd")], connections=1)
    run.must(
        await until(lambda: blob_bytes(root) == LARGE_BYTES),
        f"{blob_bytes(root) - LARGE_BYTES} bytes of uploads that were cut off are on the disk",
    )
    run.figure("left on the disk of what was cut off", blob_bytes(root) - LARGE_BYTES, "bytes")
    run.figure("descriptors more than before", descriptors(pid) - held + DESCRIPTORS)
    peak = peak_bytes(pid)
    run.figure("the most memory it held", round(peak / 1024**2), "MiB")
    run.must(peak < MOST_BYTES, f"it held {peak / 1024**2:.0f} MiB")

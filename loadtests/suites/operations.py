"""
What each operation takes, by size, by protocol and by how many clients ask at once.

REST is asked with bytes that were signed before the clock started (loadtests.wire), gRPC with bytes that were framed
before it (loadtests.h2wire), and some works with Python's own client of gRPC too, because that is what people have.
Beside each figure stands what the same client reaches in the same run against a server that does nothing
(loadtests.floor).  A cell ends by the clock or when its requests are used up, whichever comes first.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import grpc
import uvloop

from loadtests import floor, h2wire, stubs
from loadtests.gateway import ACCESS_KEY, SECRET_KEY, Running, cpu_seconds
from loadtests.page import Page, Section, Table
from loadtests.plots import Plot
from loadtests.seed import fill
from loadtests.setting import Setting
from loadtests.wire import Load, request, send

KIB, MIB = 1024, 1024**2
BUCKET = "operations"
SIZES = {KIB: "1 KiB", 64 * KIB: "64 KiB", MIB: "1 MiB", 16 * MIB: "16 MiB"}
CLIENTS = (1, 8, 32)
RANGE_BYTES = 64 * KIB
LISTED = 1000
LARGE_MESSAGES = [("grpc.max_receive_message_length", 64 * MIB), ("grpc.max_send_message_length", 64 * MIB)]

DISTINCT = {KIB: 12_000, 64 * KIB: 1000, MIB: 64, 16 * MIB: 8}
"""So many keys are put; after them the first is put again.  All of their bytes are held at once, signed or framed."""


@dataclass(frozen=True, slots=True)
class Work:
    """An operation, and the bytes of content that one of it moves."""

    operation: str
    size: int
    moves: int
    writes: bool = False

    @property
    def name(self) -> str:
        return f"{self.operation} {SIZES[self.size]}" if self.size in SIZES else self.operation


WORKS = (
    *(Work("PUT", size, size, writes=True) for size in SIZES),
    *(Work("GET", size, size) for size in SIZES),
    Work("GET of 64 KiB in 16 MiB", 0, RANGE_BYTES),
    Work("HEAD", 0, 0),
    Work("LIST of 1,000", 0, 0),
    Work("DELETE", 0, 0, writes=True),
)


PYTHON_WORKS = tuple(
    work for work in WORKS if work.name in ("PUT 1 KiB", "PUT 1 MiB", "GET 1 KiB", "GET 1 MiB", "LIST of 1,000")
)
PYTHON_CLIENTS = (1, 32)
"""What Python's client is asked for: enough to see what it adds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What a work took with so many clients."""

    work: Work
    clients: int
    load: Load
    cpu_seconds: float
    client_cpu_seconds: float
    peak_bytes: int
    ceiling: Load
    """The same requests to a server that does nothing, and what they cost that."""
    ceiling_cpu_seconds: float

    @property
    def per_second(self) -> float:
        return self.load.per_second

    @property
    def cpu_ms(self) -> float:
        return self.cpu_seconds / len(self.load.times) * 1000

    @property
    def client_cpu_ms(self) -> float:
        return self.client_cpu_seconds / len(self.load.times) * 1000

    @property
    def ceiling_cpu_ms(self) -> float:
        return self.ceiling_cpu_seconds / len(self.ceiling.times) * 1000

    @property
    def cpu_seconds_per_gb(self) -> float | None:
        return self.cpu_seconds / (len(self.load.times) * self.work.moves) * 1e9 if self.work.moves else None

    @property
    def mib_per_second(self) -> float | None:
        return self.per_second * self.work.moves / MIB if self.work.moves else None


def measure(setting: Setting) -> Page:
    seconds = setting.pick(0.1, 1.5)
    with setting.directory() as directory:
        root = directory / "root"
        asyncio.run(fill(root, {BUCKET: LISTED}, prefix="list/"))
        with setting.gateway(root) as gateway, floor.running() as empty:
            _store(gateway)
            rest = list(_cells(setting, gateway, _Rest(gateway, setting), empty, seconds))
            rpc = list(_cells(setting, gateway, _Rpc(gateway, setting), empty, seconds))
            python = list(_cells(setting, gateway, _Python(gateway), empty, seconds, PYTHON_WORKS, PYTHON_CLIENTS))
    return Page(
        title="Each operation, by size, protocol and clients",
        text=f"A client asks again as soon as it is answered; a row lasts {seconds:g} s or as long as its requests"
        " suffice.\n"
        "Times are from the first byte sent to the last byte received.\n"
        "CPU is the gateway's alone, of all its processes; peak is the most memory that it held during the row.\n"
        "Ceiling is what the same client reaches, with requests of the same size, against a server that does nothing"
        " (`loadtests/floor.py`); the CPU of that server, too, stands beside the gateway's.",
        sections=[
            Section(
                heading="REST",
                text="The generator (`loadtests/wire.py`) is one thread that sends bytes signed beforehand: "
                f"{_share(rest)}\n"
                "Its ceiling's server only looks for the end of a request: where a figure comes near the ceiling, the"
                " generator is what was measured.\n"
                "The gateway verifies every signature, and the SHA-256 of what is put.",
                table=_table(rest, setting),
                plots=_plots("rest", "REST", rest),
            ),
            Section(
                heading="gRPC",
                text="The generator (`loadtests/h2wire.py`) is one thread that sends bytes framed beforehand: "
                f"{_share(rpc)}\n"
                "**The ceiling here is that of grpc.aio, not the generator's**: its server is an empty servicer that"
                " does not even read what it is sent, and what it reaches is what Python's grpc costs before anything"
                " is read or stored.  A share above 100% is a gateway that is faster than that.\n"
                "The gateway verifies the token of every call.",
                table=_table(rpc, setting),
                plots=_plots("grpc", "gRPC", rpc),
            ),
            Section(
                heading="gRPC, by Python's client",
                text="The same, asked by the client that Python has, each of the clients a thread with a connection of"
                f" its own; the threads share one interpreter: {_share(python)}\n"
                "Where the empty server is not much faster, the client is what takes the time.",
                table=_short_table(python, setting),
            ),
        ],
    )


def _store(gateway: Running) -> None:
    """What is read later: an object of every size."""
    port = gateway.rest_port
    wires = [request("PUT", port, f"/{BUCKET}/{size}", os.urandom(size)) for size in SIZES]
    uvloop.run(send(port, wires, connections=1))


class _Asks(Protocol):
    """A client of one protocol."""

    name: str

    def prepare(self, work: Work, clients: int, seconds: float) -> Callable[[], Load]:
        """Make all requests and put what is to be deleted; what is returned asks."""

    def floor(self, empty: floor.Ports, work: Work, clients: int, seconds: float) -> Load:
        """Ask the same of a server that answers as many bytes and does nothing."""


class _Rest:
    """Requests over HTTP/1.1."""

    name = "REST"

    def __init__(self, gateway: Running, setting: Setting) -> None:
        self._port = gateway.rest_port
        self._turns = itertools.count()
        self._share = setting.pick(20, 1)
        listing = request("GET", self._port, f"/{BUCKET}", query="list-type=2&prefix=list%2F")
        self._listing = listing
        self._listing_bytes = asyncio.run(_answer_bytes(self._port, listing))

    def prepare(self, work: Work, clients: int, seconds: float) -> Callable[[], Load]:
        wires = self._wires(work, clients)
        return lambda: uvloop.run(send(self._port, wires, connections=clients, seconds=seconds))

    def floor(self, empty: floor.Ports, work: Work, clients: int, seconds: float) -> Load:
        body = bytes(work.size) if work.operation == "PUT" else b""
        answers = self._listing_bytes if work.operation.startswith("LIST") else 0 if body else work.moves
        wires = itertools.repeat(request("GET", empty.rest, f"/{answers}", body))
        return uvloop.run(send(empty.rest, wires, connections=clients, seconds=seconds))

    def _wires(self, work: Work, clients: int) -> Iterable[bytes]:
        sign, turn = partial(request, port=self._port), next(self._turns)
        match work.operation:
            case "PUT":
                body, count = os.urandom(work.size), _distinct(work.size, clients, self._share)
                paths = [f"/{BUCKET}/put/{turn}/{number:06}" for number in range(count)]
                return itertools.cycle([sign("PUT", path=path, body=body) for path in paths])
            case "DELETE":
                keys = _doomed(self._port, f"delete/{turn}", clients, self._share)
                return [sign("DELETE", path=f"/{BUCKET}/{key}") for key in keys]
            case "LIST of 1,000":
                return itertools.repeat(self._listing)
            case "HEAD":
                return itertools.repeat(sign("HEAD", path=f"/{BUCKET}/{KIB}"))
            case "GET":
                return itertools.repeat(sign("GET", path=f"/{BUCKET}/{work.size}"))
            case _:
                # A header that is not signed may be added: the gateway reads it all the same.
                head = sign("GET", path=f"/{BUCKET}/{16 * MIB}")
                at = 8 * MIB
                return itertools.repeat(
                    head.replace(b"\r\n", b"\r\nRange: bytes=%d-%d\r\n" % (at, at + RANGE_BYTES - 1), 1)
                )


def _distinct(size: int, clients: int, share: int) -> int:
    """How many keys are put by so many clients."""
    return max(DISTINCT[size] // share // (1 if clients > 1 or size > KIB else 4), 4)


def _doomed(port: int, prefix: str, clients: int, share: int) -> list[str]:
    """Keys that are there to be deleted."""
    keys = [f"{prefix}/{number:06}" for number in range(_distinct(KIB, clients, share) // 3)]
    puts = [request("PUT", port, f"/{BUCKET}/{key}", b"gone soon") for key in keys]
    uvloop.run(send(port, puts, connections=32))
    return keys


async def _answer_bytes(port: int, wire: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(wire)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    writer.close()
    return int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])


class _Rpc:
    """Calls over HTTP/2."""

    name = "gRPC"

    def __init__(self, gateway: Running, setting: Setting) -> None:
        self._port = gateway.grpc_port
        self._rest_port = gateway.rest_port
        self._turns = itertools.count()
        self._share = setting.pick(20, 1)

    def prepare(self, work: Work, clients: int, seconds: float) -> Callable[[], Load]:
        calls = self._calls(work, clients)
        return lambda: uvloop.run(h2wire.send(self._port, calls, connections=clients, seconds=seconds))

    def floor(self, empty: floor.Ports, work: Work, clients: int, seconds: float) -> Load:
        match work.operation:
            case "PUT":
                call = h2wire.put(BUCKET, "put", bytes(work.size))
            case "LIST of 1,000":
                call = h2wire.listing(BUCKET, "list/")
            case "HEAD":
                call = h2wire.head(BUCKET, str(KIB))
            case "DELETE":
                call = h2wire.delete(BUCKET, "delete")
            case _:
                call = h2wire.get(BUCKET, str(work.moves), work.moves)
        calls = itertools.repeat(call)
        return uvloop.run(h2wire.send(empty.grpc, calls, connections=clients, seconds=seconds))

    def _calls(self, work: Work, clients: int) -> Iterable[h2wire.Call]:
        turn = next(self._turns)
        match work.operation:
            case "PUT":
                body, count = os.urandom(work.size), _distinct(work.size, clients, self._share)
                keys = [f"put-rpc/{turn}/{number:06}" for number in range(count)]
                return itertools.cycle([h2wire.put(BUCKET, key, body) for key in keys])
            case "DELETE":
                keys = _doomed(self._rest_port, f"delete-rpc/{turn}", clients, self._share)
                return [h2wire.delete(BUCKET, key) for key in keys]
            case "LIST of 1,000":
                return itertools.repeat(h2wire.listing(BUCKET, "list/"))
            case "HEAD":
                return itertools.repeat(h2wire.head(BUCKET, str(KIB)))
            case "GET":
                return itertools.repeat(h2wire.get(BUCKET, str(work.size), work.size))
            case _:
                return itertools.repeat(h2wire.get(BUCKET, str(16 * MIB), RANGE_BYTES, first=8 * MIB))


class _Python:
    """Calls of Python's gRPC client, each of the clients a thread with a connection of its own."""

    name = "gRPC by Python's client"

    def __init__(self, gateway: Running) -> None:
        self._target = gateway.target
        self._turns = itertools.count()

    def prepare(self, work: Work, clients: int, seconds: float) -> Callable[[], Load]:
        ask = _asking(work, f"put-python/{next(self._turns)}")
        return lambda: _threads(self._target, ask, clients, seconds)

    def floor(self, empty: floor.Ports, work: Work, clients: int, seconds: float) -> Load:
        return _threads(f"127.0.0.1:{empty.grpc}", _asking(work, "put"), clients, seconds)


Ask = Callable[[stubs.Client, int], object]


def _asking(work: Work, prefix: str) -> Ask:
    """What a client of Python's does as its n-th call."""
    match work.operation:
        case "PUT":
            body, distinct = os.urandom(work.size), DISTINCT[work.size]
            return lambda client, number: client.put(BUCKET, f"{prefix}/{number % distinct:06}", body)
        case "GET":
            return lambda client, number: client.get_size(BUCKET, str(work.size))
        case _:
            return lambda client, number: client.list(BUCKET, "list/")


def _threads(target: str, ask: Ask, clients: int, seconds: float) -> Load:
    numbers = itertools.count()
    times: list[float] = []
    ready = threading.Barrier(clients + 1)

    def client() -> None:
        options = [*LARGE_MESSAGES, ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(target, options=options) as channel:
            grpc.channel_ready_future(channel).result(timeout=20)
            asks = stubs.Client(channel, ACCESS_KEY, SECRET_KEY)
            asks.head(BUCKET, str(KIB))  # the first call of a channel takes longer than any other
            ready.wait()
            deadline = time.perf_counter() + seconds
            for number in numbers:
                began = time.perf_counter()
                if began >= deadline:
                    return
                ask(asks, number)
                times.append(time.perf_counter() - began)

    with ThreadPoolExecutor(clients) as pool:
        waiting = [pool.submit(client) for _ in range(clients)]
        ready.wait()
        began = time.perf_counter()
        for each in waiting:
            each.result()
    return Load(seconds=time.perf_counter() - began, times=times)


def _cells(
    setting: Setting,
    gateway: Running,
    asks: _Asks,
    empty: floor.Ports,
    seconds: float,
    works: Sequence[Work] = WORKS,
    numbers: Sequence[int] = CLIENTS,
) -> Iterator[Cell]:
    for work in works:
        for clients in numbers:
            before = cpu_seconds(empty.pid)
            ceiling = asks.floor(empty, work, clients, seconds / 2)
            ceiling_cpu = cpu_seconds(empty.pid) - before
            ask = asks.prepare(work, clients, seconds)
            gateway.forget_peak()
            before, own = gateway.cpu_seconds(), time.process_time()
            load = ask()
            cpu, own = gateway.cpu_seconds() - before, time.process_time() - own
            cell = Cell(
                work=work,
                clients=clients,
                load=load,
                cpu_seconds=cpu,
                client_cpu_seconds=own,
                peak_bytes=gateway.peak_bytes(),
                ceiling=ceiling,
                ceiling_cpu_seconds=ceiling_cpu,
            )
            setting.say(
                f"  {asks.name} {work.name}, {clients} clients: {load.per_second:,.0f}/s of {ceiling.per_second:,.0f}/s"
            )
            yield cell


def _share(cells: Sequence[Cell]) -> str:
    """How far from its ceiling the row is in which the client has most to do, and what it does there."""
    cell = next(each for each in cells if (each.work.name, each.clients) == ("GET 1 KiB", max(CLIENTS)))
    share, ceiling = cell.per_second / cell.ceiling.per_second, cell.ceiling.per_second
    return (
        f"GET of 1 KiB with {cell.clients} clients is at {share:.0%} of its {ceiling:,.0f} per second;"
        f" each takes {cell.client_cpu_ms * 1000:,.0f} µs of the client's CPU and {cell.cpu_ms * 1000:,.0f} µs of the"
        " gateway's."
    )


# What is shown -----------------------------------------------------------------------------------------------


MEASURED = ("operation", "durability", "clients", "p50, ms", "p99, ms", "per second")
"""What every table begins with."""


def _measured(cell: Cell, setting: Setting) -> tuple[str, str, int, float, float, float]:
    return (
        cell.work.name,
        setting.durability if cell.work.writes else "—",
        cell.clients,
        cell.load.percentile(0.5) * 1000,
        cell.load.percentile(0.99) * 1000,
        cell.per_second,
    )


def _table(cells: Sequence[Cell], setting: Setting) -> Table:
    head = (
        *MEASURED,
        *("MiB/s", "ceiling, per second", "share of the ceiling", "CPU, ms each", "of an empty server"),
        *("CPU, s per GB", "peak, MiB"),
    )
    rows = [
        (
            *_measured(cell, setting),
            cell.mib_per_second,
            cell.ceiling.per_second,
            f"{cell.per_second / cell.ceiling.per_second:.0%}",
            cell.cpu_ms,
            cell.ceiling_cpu_ms,
            cell.cpu_seconds_per_gb,
            cell.peak_bytes / MIB,
        )
        for cell in cells
    ]
    return Table(head, rows)


def _short_table(cells: Sequence[Cell], setting: Setting) -> Table:
    """Python's client on the gateway and on the empty server."""
    head = (
        *MEASURED,
        *("p50 of an empty server, ms", "its ceiling, per second", "share of the ceiling"),
    )
    rows = [
        (
            *_measured(cell, setting),
            cell.ceiling.percentile(0.5) * 1000,
            cell.ceiling.per_second,
            f"{cell.per_second / cell.ceiling.per_second:.0%}",
        )
        for cell in cells
    ]
    return Table(head, rows)


def _plots(name: str, protocol: str, cells: Sequence[Cell]) -> list[Plot]:
    def series(figure: Callable[[Cell], float]) -> dict[str, list[float | None]]:
        return {
            f"{clients} client{'s' * (clients > 1)}": [figure(cell) for cell in cells if cell.clients == clients]
            for clients in CLIENTS
        }

    groups = [work.name for work in WORKS]
    return [
        Plot(
            name=f"{name}-rates",
            title=f"{protocol}: operations per second",
            unit="per second, logarithmic",
            groups=groups,
            series=series(lambda cell: cell.per_second),
            is_log=True,
        ),
        Plot(
            name=f"{name}-times",
            title=f"{protocol}: the time that half of the operations stay under",
            unit="p50, ms, logarithmic",
            groups=groups,
            series=series(lambda cell: cell.load.percentile(0.5) * 1000),
            is_log=True,
        ),
    ]

"""
Every operation on objects, by size and by the number of clients, over REST and gRPC: times, rates and what they cost.

REST is asked by loadtests.wire, which is no bottleneck.  gRPC is asked by grpc.aio in this one Python process, which
is: its rates are those of the client, and the server's CPU time an operation is the figure to look at.

    python -m loadtests.operations
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import uvloop

from loadtests import stubs
from loadtests.gateway import ACCESS_KEY, SECRET_KEY, Running, running
from loadtests.wire import Load, request, send

BUCKET = "operations"
KIB, MIB = 1024, 1024**2
SIZES = {"1 KiB": KIB, "64 KiB": 64 * KIB, "1 MiB": MIB}
CLIENTS = (1, 8, 32)
BUDGET_BYTES, MOST, LEAST = 48 * MIB, 1500, 24
"""How much is moved for a row, and how many operations at most and at least: a row takes about a second."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one combination came to."""

    protocol: str
    operation: str
    size: str
    clients: int
    load: Load
    cpu_seconds: float

    def cells(self) -> list[str]:
        count = len(self.load.times)
        return [
            self.protocol,
            self.operation,
            self.size,
            str(self.clients),
            f"{self.load.percentile(0.5) * 1000:.2f}",
            f"{self.load.percentile(0.99) * 1000:.2f}",
            f"{self.load.per_second:,.0f}",
            f"{self.cpu_seconds / count * 1e6:,.0f}",
        ]


def count_of(size: int) -> int:
    return max(LEAST, min(MOST, BUDGET_BYTES // size))


def rest_requests(port: int, operation: str, size: int, count: int) -> Sequence[bytes]:
    """Signed requests of an operation; each PUT and DELETE has a key of its own."""
    body = bytes(size)
    if operation == "PUT":
        return [request("PUT", port, f"/{BUCKET}/put/{size}/{number}", body) for number in range(count)]
    if operation == "DELETE":
        return [request("DELETE", port, f"/{BUCKET}/put/{size}/{number}") for number in range(count)]
    if operation == "LIST 1000":
        return [request("GET", port, f"/{BUCKET}", query="list-type=2&prefix=list%2F")] * count
    return [request("GET" if operation == "GET" else "HEAD", port, f"/{BUCKET}/one/{size}")] * count


def rest_rows(gateway: Running) -> Iterator[Row]:
    for (size_name, size), clients in itertools.product(SIZES.items(), CLIENTS):
        for operation in ("PUT", "GET", "HEAD", "DELETE"):
            asked = rest_requests(gateway.rest_port, operation, size, count_of(size))
            yield _measured(gateway, "REST", operation, size_name, clients, send, asked)
    for clients in CLIENTS:
        asked = rest_requests(gateway.rest_port, "LIST 1000", KIB, 60)
        yield _measured(gateway, "REST", "LIST 1000", "", clients, send, asked)


def _measured(
    gateway: Running, protocol: str, operation: str, size: str, clients: int, how: Callable[..., Awaitable[Load]],
    asked: Sequence[bytes],
) -> Row:  # fmt: skip
    async def work() -> Load:
        return await how(gateway.rest_port, asked, connections=clients)

    before = gateway.cpu_seconds()
    load = uvloop.run(work())
    return Row(protocol, operation, size, clients, load, gateway.cpu_seconds() - before)


async def _grpc_load(target: str, operation: str, size: int, clients: int, count: int) -> Load:
    from s3_pb2 import GetObjectRequest, HeadObjectRequest, ListObjectsRequest, PutObjectRequest
    from s3_pb2_grpc import ObjectServiceStub

    metadata = (("authorization", stubs.bearer(ACCESS_KEY, SECRET_KEY)),)
    options = [("grpc.max_receive_message_length", 64 * MIB)]
    body, numbers, times = bytes(size), iter(range(count)), list[float]()
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        objects = ObjectServiceStub(channel)

        async def one(number: int) -> None:
            if operation == "PUT":
                whole = PutObjectRequest(bucket=BUCKET, key=f"put/{size}/{number}", data=body, is_last_chunk=True)
                await objects.PutObject(iter([whole]), metadata=metadata)
            elif operation == "GET":
                asked = GetObjectRequest(bucket=BUCKET, key=f"one/{size}")
                async for _ in objects.GetObject(asked, metadata=metadata):
                    pass
            elif operation == "HEAD":
                await objects.HeadObject(HeadObjectRequest(bucket=BUCKET, key=f"one/{size}"), metadata=metadata)
            else:
                await objects.ListObjects(ListObjectsRequest(bucket=BUCKET, prefix="list/"), metadata=metadata)

        async def client() -> None:
            for number in numbers:
                began = time.perf_counter()
                await one(number)
                times.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        return Load(seconds=time.perf_counter() - began, times=times)


def grpc_rows(gateway: Running) -> Iterator[Row]:
    cases = [*itertools.product(("PUT", "GET", "HEAD"), SIZES.items()), ("LIST 1000", ("", KIB))]
    for (operation, (size_name, size)), clients in itertools.product(cases, CLIENTS):
        count = 60 if operation == "LIST 1000" else count_of(size) // 3
        before = gateway.cpu_seconds()
        load = uvloop.run(_grpc_load(gateway.target, operation, size, clients, count))
        yield Row("gRPC", operation, size_name, clients, load, gateway.cpu_seconds() - before)


def table(rows: Sequence[Row], peak_bytes: int) -> str:
    """The rows as Markdown."""
    head = ["protocol", "operation", "size", "clients", "p50 ms", "p99 ms", "per second", "server CPU µs"]
    lines = [f"| {' | '.join(head)} |", "| --- | --- | --- |" + " ---: |" * 5]
    lines += [f"| {' | '.join(row.cells())} |" for row in rows]
    return "\n".join([*lines, "", f"The server held {peak_bytes / MIB:.0f} MiB at most."])


def measure(*, durability: str = "strict") -> str:
    """All of it, as Markdown."""
    with (
        tempfile.TemporaryDirectory(prefix="rs3gw-operations-") as place,
        running(Path(place) / "root", durability=durability) as gateway,
    ):
        port = gateway.rest_port
        prepare = [request("PUT", port, f"/{BUCKET}/one/{size}", bytes(size)) for size in SIZES.values()]
        prepare += [request("PUT", port, f"/{BUCKET}/list/{number:04}", b"x") for number in range(1000)]
        uvloop.run(send(port, [request("PUT", port, f"/{BUCKET}")], connections=1))
        uvloop.run(send(port, prepare, connections=8))
        rows = []
        for row in itertools.chain(rest_rows(gateway), grpc_rows(gateway)):
            print(" ".join(row.cells()), file=sys.stderr, flush=True)
            rows.append(row)
        return table(rows, gateway.peak_bytes())


if __name__ == "__main__":
    print(measure())

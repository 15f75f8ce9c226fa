"""
Whether a bucket of a million keys is as quick as one of a thousand.

Both lie in one root, so that the small one pays for the large one's index too if anything is paid for it.  Keys spread
over a hundred common prefixes; each figure is of one client, one request at a time.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop

from loadtests.gateway import Running
from loadtests.page import Page, Section, Table
from loadtests.plots import Plot
from loadtests.seed import fill
from loadtests.setting import Setting
from loadtests.wire import Load, request, send

MIB = 1024**2
SMALL = 1000
PREFIXES = 100

Wires = Callable[[int, str, int], Sequence[bytes]]


def _key(number: int) -> str:
    return f"{number % PREFIXES:03}/{number:08}"


def _spread(keys: int, times: int) -> list[str]:
    """Keys from all over the bucket, in no order that a cache would like."""
    return [_key(number * 7919 % keys) for number in range(times)]


def _works(keys: dict[str, int], times: int) -> dict[str, Wires]:
    """What is asked of a port and a bucket, by its name."""

    def listing(query: str) -> Wires:
        return lambda port, bucket, count: [request("GET", port, f"/{bucket}", query=query)] * (count // 4)

    def each(method: str, body: bytes = b"") -> Wires:
        return lambda port, bucket, count: [
            request(method, port, f"/{bucket}/{key}", body) for key in _spread(keys[bucket], count)
        ]

    return {
        "HEAD": each("HEAD"),
        "GET 4 bytes": each("GET"),
        "LIST of 1,000, from the start": listing("list-type=2"),
        "LIST of 1,000, after the middle": listing("list-type=2&start-after=050%2F"),
        "LIST of 100 common prefixes": listing("delimiter=%2F&list-type=2&max-keys=100"),
        "LIST of one prefix, 10 keys": listing("list-type=2&max-keys=10&prefix=042%2F"),
        "PUT 1 KiB, a new key": lambda port, bucket, count: [
            request("PUT", port, f"/{bucket}/new/{number:06}", os.urandom(1024)) for number in range(count)
        ],
        "PUT 1 KiB, over another": each("PUT", os.urandom(1024)),
        "DELETE": lambda port, bucket, count: [
            request("DELETE", port, f"/{bucket}/new/{number:06}") for number in range(count)
        ],
    }


def measure(setting: Setting) -> Page:
    keys = {"large": setting.pick(20_000, 1_000_000), "small": SMALL}
    times = setting.pick(20, 400)
    with setting.directory() as directory:
        root = directory / "root"
        setting.say(f"  filling a bucket with {keys['large']:,} keys")
        began = time.perf_counter()
        asyncio.run(fill(root, keys, prefixes=PREFIXES, progress=setting.say))
        filled = time.perf_counter() - began
        index = _index_bytes(root)
        with setting.gateway(root) as gateway:
            ready = gateway.ready_seconds
            loads = {
                name: {bucket: _load(gateway, wires, bucket, times) for bucket in keys}
                for name, wires in _works(keys, times).items()
            }
            held = gateway.held_bytes()
            pages, walked = _walk(gateway, "large")
    return Page(
        title="A million keys beside a thousand" if not setting.is_quick else "A large bucket beside a small one",
        text=f"One root holds both: {keys['large']:,} keys and {SMALL:,}.",
        sections=[
            Section(
                heading="Operations",
                table=_table(keys, loads, setting),
                plots=[
                    Plot(
                        name="times",
                        title="Median times in both buckets",
                        unit="p50, ms",
                        groups=list(loads),
                        series={
                            f"{count:,} keys": [load[bucket].percentile(0.5) * 1000 for load in loads.values()]
                            for bucket, count in keys.items()
                        },
                    )
                ],
            ),
            Section(
                heading="The root as a whole",
                table=Table(
                    ("figure", "value", "unit"),
                    [
                        ("filling the root, without a server, relaxed", filled, "s"),
                        ("index on the disk", index / MIB, "MiB"),
                        ("index, each key", index / sum(keys.values()), "bytes"),
                        ("start to the first answer", ready * 1000, "ms"),
                        ("memory held after all of the above", held / MIB, "MiB"),
                        (f"listing all keys, {pages:,} pages of 1,000", walked, "s"),
                    ],
                ),
            ),
        ],
    )


def _load(gateway: Running, wires: Wires, bucket: str, times: int) -> Load:
    port = gateway.rest_port
    return uvloop.run(send(port, wires(port, bucket, times), connections=1))


def _walk(gateway: Running, bucket: str) -> tuple[int, float]:
    """The pages of a bucket and the seconds that they take one after the other."""
    pages, after = 0, ""
    began = time.perf_counter()

    async def walk() -> None:
        nonlocal pages, after
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.rest_port)
        while True:
            query = f"list-type=2&start-after={after.replace('/', '%2F')}" if after else "list-type=2"
            writer.write(request("GET", gateway.rest_port, f"/{bucket}", query=query))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            page = await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            pages += 1
            after = page.rpartition(b"<Key>")[2].partition(b"</Key>")[0].decode()
            if b"<IsTruncated>true" not in page:
                writer.close()
                return

    asyncio.run(walk())
    return pages, time.perf_counter() - began


def _index_bytes(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("index*") if path.is_file())


def _table(keys: dict[str, int], loads: dict[str, dict[str, Load]], setting: Setting) -> Table:
    head = (
        *("operation", "durability", f"p50 of {keys['large']:,}, ms", f"p50 of {keys['small']:,}, ms", "ratio"),
        *(f"p99 of {keys['large']:,}, ms", f"p99 of {keys['small']:,}, ms"),
    )
    rows = []
    for name, load in loads.items():
        large, small = load["large"], load["small"]
        rows.append(
            (
                name,
                setting.durability if name.startswith(("PUT", "DELETE")) else "—",
                large.percentile(0.5) * 1000,
                small.percentile(0.5) * 1000,
                large.percentile(0.5) / small.percentile(0.5),
                large.percentile(0.99) * 1000,
                small.percentile(0.99) * 1000,
            )
        )
    return Table(head, rows)

"""
What users see: unmodified boto3 with its default settings, and Python's gRPC client, one call at a time.

The client's own work is in these times (botocore signs, digests and parses in Python), which is why they are longer
than the operations' on the wire.  Writes are measured with both durabilities, on a gateway each.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import grpc

from loadtests import stubs
from loadtests.gateway import ACCESS_KEY, SECRET_KEY, Running
from loadtests.page import Page, Section, Table
from loadtests.plots import Plot
from loadtests.seed import fill
from loadtests.setting import Setting
from loadtests.suites.operations import LARGE_MESSAGES
from loadtests.suites.reach import boto3_client
from loadtests.wire import Load

MIB = 1024**2
BUCKET = "end-to-end"
PART_BYTES, PARTS = 10 * MIB, 10
DURABILITIES = ("strict", "relaxed")


@dataclass(frozen=True, slots=True)
class Task:
    """What a user does, by the client that does it."""

    name: str
    client: str
    do: Callable[[], object]
    is_long: bool = False
    moves: int | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    task: Task
    durability: str
    load: Load


def measure(setting: Setting) -> Page:
    times, long_times = setting.pick((5, 1), (150, 8))
    found: list[Taken] = []
    for durability in DURABILITIES:
        with setting.directory() as directory:
            asyncio.run(fill(directory / "root", {BUCKET: 1000}, prefix="list/"))
            with (
                setting.gateway(directory / "root", durability=durability) as gateway,
                _tasks(gateway) as tasks,
            ):
                for task in tasks:
                    taken = Taken(task, durability, _load(task, long_times if task.is_long else times))
                    found.append(taken)
                    setting.say(
                        f"  {durability}, {task.client} {task.name}: {taken.load.percentile(0.5) * 1000:.2f} ms"
                    )
    return Page(
        title="End to end, through unmodified clients",
        text="One call at a time, the client's own work included.\n"
        f"Short tasks are done {times} times, uploads in parts {long_times}: p99 of so few is the slowest.",
        sections=[
            Section(
                heading="Tasks",
                table=_table(found),
                plots=[
                    _plot("short", "Short tasks, median", [each for each in found if not each.task.is_long]),
                    _plot("long", "100 MiB in parts, median", [each for each in found if each.task.is_long]),
                ],
            )
        ],
    )


@contextmanager
def _tasks(gateway: Running) -> Iterator[list[Task]]:
    from boto3.s3.transfer import TransferConfig

    boto3 = boto3_client(gateway)
    body, part = os.urandom(MIB), os.urandom(PART_BYTES)
    whole = part * PARTS
    transfer = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4)
    with grpc.insecure_channel(gateway.target, options=LARGE_MESSAGES) as channel:
        rpc = stubs.Client(channel, ACCESS_KEY, SECRET_KEY)
        yield [
            Task("PUT 1 MiB", "boto3", lambda: boto3.put_object(Bucket=BUCKET, Key="one", Body=body), moves=MIB),
            Task("GET 1 MiB", "boto3", lambda: boto3.get_object(Bucket=BUCKET, Key="one")["Body"].read(), moves=MIB),
            Task("LIST of 1,000", "boto3", lambda: boto3.list_objects_v2(Bucket=BUCKET, Prefix="list/")),
            Task(
                "multipart 100 MiB",
                "boto3",
                lambda: boto3.upload_fileobj(BytesIO(whole), BUCKET, "parts", Config=transfer),
                is_long=True,
                moves=len(whole),
            ),
            Task("PUT 1 MiB", "gRPC", lambda: rpc.put(BUCKET, "one", body), moves=MIB),
            Task("GET 1 MiB", "gRPC", lambda: rpc.get(BUCKET, "one"), moves=MIB),
            Task("LIST of 1,000", "gRPC", lambda: rpc.list(BUCKET, "list/")),
            Task(
                "multipart 100 MiB",
                "gRPC",
                lambda: rpc.multipart(BUCKET, "parts", part, PARTS),
                is_long=True,
                moves=len(whole),
            ),
        ]


def _load(task: Task, times: int) -> Load:
    task.do()
    began = last = time.perf_counter()
    taken = []
    for _ in range(times):
        task.do()
        now = time.perf_counter()
        taken.append(now - last)
        last = now
    return Load(seconds=last - began, times=taken)


def _table(found: list[Taken]) -> Table:
    rows = [
        (
            each.task.name,
            each.task.client,
            each.durability,
            each.load.percentile(0.5) * 1000,
            each.load.percentile(0.9) * 1000,
            each.load.percentile(0.99) * 1000,
            each.load.per_second,
            None if each.task.moves is None else each.load.per_second * each.task.moves / MIB,
        )
        for each in sorted(found, key=lambda each: (each.task.is_long, each.task.name, each.task.client))
    ]
    return Table(
        ("task", "client", "durability", "p50, ms", "p90, ms", "p99, ms", "per second", "MiB/s"),
        rows,
    )


def _plot(name: str, title: str, found: list[Taken]) -> Plot:
    def median(task: str, client: str, durability: str) -> float | None:
        of = (
            each for each in found if (each.task.name, each.task.client, each.durability) == (task, client, durability)
        )
        return next((each.load.percentile(0.5) * 1000 for each in of), None)

    tasks = list(dict.fromkeys(each.task.name for each in found))
    return Plot(
        name=name,
        title=title,
        unit="ms",
        groups=tasks,
        series={
            f"{client}, {durability}": [median(task, client, durability) for task in tasks]
            for client in ("boto3", "gRPC")
            for durability in DURABILITIES
        },
    )

"""
What rs3gw has to reach, in one table, beside what others publish.

Times are medians of single requests, one at a time; rates are of 32 connections.  Both are taken in three turns, and
the best of them counts, with the worst beside it: a virtual machine is not equally fast from one minute to the next.
Requests are bytes that were made before the clock started (loadtests.wire, loadtests.h2wire), so that it is the server
that is measured; what Python's own client of gRPC makes of the same stands in a table of its own, without a verdict.
The published claims stand beside ours as their authors published them: nobody says on which machine, or how durable.
What is missed is said to be missed.  A rate of small reads has to be reached by one process, which is one core, and one
of small writes by the machine: by as many processes as it has cores.  Each is measured of the other as well.  Small
objects are asked of the least that keeps the same promises, too, in turns with the gateway (loadtests.least): that is
how far Python goes on this machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import grpc
import uvloop

from loadtests import floor, h2wire, least, stubs
from loadtests.gateway import ACCESS_KEY, REGION, SECRET_KEY, Running
from loadtests.large import Zeros, drain
from loadtests.page import Page, Section, Table, shown
from loadtests.seed import fill
from loadtests.setting import Setting
from loadtests.surroundings import processes
from loadtests.wire import request, send

MIB = 1024**2
CONNECTIONS = 32
TURNS = 3
BUCKET = "bench"
CORES = os.cpu_count() or 1
SMALL_PUTS, SMALL_GETS = 8000, 12000
"""What has to be reached a second: by the machine, and by one core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table."""

    work: str
    measured: float
    unit: str
    reach: float | None = None
    """None where nothing has to be."""
    claim: float | None = None
    more_is_better: bool = False
    worst: float | None = None
    """What the worst turn came to, where there were several."""

    @property
    def bound(self) -> str:
        """What has to be reached, as it is written."""
        return "" if self.reach is None else f"{'≥' if self.more_is_better else '≤'} {self.reach:,g} {self.unit}"

    @property
    def verdict(self) -> str:
        if self.reach is None:
            return ""
        is_reached = self.measured >= self.reach if self.more_is_better else self.measured <= self.reach
        return "reached" if is_reached else "MISSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What Python's client makes of a work: on the gateway, and on a server that does nothing."""

    work: str
    gateway_ms: float
    empty_ms: float


def measure(setting: Setting) -> Page:
    times = setting.pick(10, 200)
    rows: list[Row] = []
    seen: list[list[Seen]] = []
    least_turns: list[list[Row]] = []
    with setting.directory() as directory:
        root = directory / "root"
        asyncio.run(fill(root, {BUCKET: 1000}, prefix="list/"))
        with (
            setting.gateway(root) as gateway,
            setting.gateway(directory / "machine", RS3GW_WORKERS=str(CORES)) as machine,
            least.running(directory) as least_port,
        ):
            uvloop.run(send(machine.rest_port, [request("PUT", machine.rest_port, f"/{BUCKET}", b"")], connections=1))
            turns = []
            count = setting.pick(1000, 20_000)
            for turn in range(setting.pick(1, TURNS)):
                setting.say(f"turn {turn + 1}")
                turns.append(
                    [
                        *rest_times(setting, gateway, times=times),
                        *grpc_times(setting, gateway, times=times),
                        *grpc_large_messages(setting, times=times),
                        *rest_rates(setting, gateway.rest_port, turn=turn, count=count),
                        *rest_rates(setting, machine.rest_port, turn=turn, count=count, cores=CORES),
                    ]
                )
                least_turns.append(list(rest_rates(setting, least_port, turn=turn, count=count)))
                seen.append(list(python_times(setting, gateway, times=times)))
            rows += map(best, zip(*turns, strict=True))
            leasts = {row.work: row for row in map(best, zip(*least_turns, strict=True))}
            rows += memory(setting, gateway, size=setting.pick(256 * MIB, 5 * 1024 * MIB))
    rows += scale(setting, keys=setting.pick(20_000, 1_000_000))
    rows += start(setting, times=setting.pick(2, 5))
    return Page(
        title="What has to be reached",
        text="The claims are those that others publish for a gateway of the same kind;"
        f" nobody says on which machine, or how durable. Times and rates are of the best of {TURNS} turns, with the"
        " worst beside it: a virtual machine is not equally fast from one minute to the next. Small reads a second have"
        " to be reached by one process, which is one core, and small writes by the machine, with as many processes as"
        " it has cores (`RS3GW_WORKERS`); each is measured of the other, too. They are of requests"
        " whose bytes were made before the clock started, over REST and over gRPC alike; a multipart upload by gRPC and"
        " the objects that memory is measured with are sent by unmodified clients.",
        sections=[
            Section(heading="Reach", table=table(rows, setting.durability)),
            Section(
                heading="How far Python goes",
                text="The rates of small objects beside those of the least that keeps the same promises of signature,"
                " digests and disk, with the same libraries in one class (`loadtests/least.py`), asked in turns with"
                " the gateway.  What lies between is what everything else costs: the layers, S3's meaning, limits,"
                " metrics.",
                table=least_table(rows, leasts),
            ),
            Section(
                heading="As Python's client sees it",
                text="The same works, asked one at a time with Python's grpc; beside each what that client takes with a"
                " servicer of grpc.aio that reads nothing and stores nothing (`loadtests/floor.py`), which is the cost"
                f" of Python's grpc on both sides.  Medians of {TURNS} turns; nothing has to be reached here.",
                table=python_table(seen, setting.durability),
            ),
        ],
    )


def best(turns: Sequence[Row]) -> Row:
    """The best of what the turns came to, with the worst."""
    ordered = sorted(turns, key=lambda row: row.measured, reverse=turns[0].more_is_better)
    return replace(ordered[0], worst=ordered[-1].measured)


def table(rows: list[Row], durability: str) -> Table:
    lines = [
        (
            row.work,
            durability,
            f"{shown(row.measured)} {row.unit}",
            "" if row.worst is None else f"{shown(row.worst)} {row.unit}",
            row.bound,
            "" if row.claim is None else f"{row.claim:g} {row.unit}",
            row.verdict,
        )
        for row in rows
    ]
    return Table(("work", "durability", "measured", "worst turn", "reach", "published claim", ""), lines)


def least_table(rows: Sequence[Row], leasts: Mapping[str, Row]) -> Table:
    lines = [
        (row.work, row.measured, beside.measured, f"{row.measured / beside.measured:.0%}")
        for row in rows
        if (beside := leasts.get(row.work)) is not None
    ]
    return Table(("work", "gateway, /s", "the least, /s", "share"), lines)


def python_table(turns: Sequence[Sequence[Seen]], durability: str) -> Table:
    rows = [
        (
            each[0].work,
            durability,
            f"{shown(statistics.median(turn.gateway_ms for turn in each))} ms",
            f"{shown(statistics.median(turn.empty_ms for turn in each))} ms",
        )
        for each in zip(*turns, strict=True)
    ]
    return Table(("work", "durability", "measured", "with an empty server"), rows)


def median_ms(work: Callable[[], object], *, times: int, warm: int = 3) -> float:
    """The median time of one call in milliseconds, after a warm-up."""
    for _ in range(warm):
        work()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


# REST --------------------------------------------------------------------------------------------------------


def rest_times(setting: Setting, gateway: Running, *, times: int) -> Iterator[Row]:
    """One client, one request at a time, as the published claims are."""
    port = gateway.rest_port
    body = os.urandom(MIB)

    async def each(wires: list[bytes]) -> float:
        load = await send(port, wires, connections=1)
        return load.percentile(0.5) * 1000

    setting.say("REST, one client")
    puts = [request("PUT", port, f"/{BUCKET}/one-{number % 8}", body) for number in range(times)]
    yield Row(work="REST PUT 1 MiB", measured=uvloop.run(each(puts)), unit="ms", reach=5, claim=15.2)
    gets = [request("GET", port, f"/{BUCKET}/one-0")] * times
    yield Row(work="REST GET 1 MiB", measured=uvloop.run(each(gets)), unit="ms", reach=1, claim=12.8)
    listing = [request("GET", port, f"/{BUCKET}", query="list-type=2&prefix=list%2F")] * times
    yield Row(work="REST LIST 1000", measured=uvloop.run(each(listing)), unit="ms", reach=3, claim=45.6)
    setting.say("REST, multipart")
    client = boto3_client(gateway)
    taken = [rest_multipart(gateway, client, body * 10, count=10) for _ in range(4)]
    yield Row(
        work="REST multipart 100 MiB",
        measured=statistics.median(taken[1:]) * 1000,
        unit="ms",
        reach=300,
        claim=1250,
    )


def boto3_client(gateway: Running):  # type: ignore[no-untyped-def]
    """The unmodified SDK, its checksums included."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=gateway.url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(max_pool_connections=CONNECTIONS),
    )


def rest_multipart(gateway: Running, client, part: bytes, *, count: int) -> float:  # type: ignore[no-untyped-def]
    """
    Seconds to begin an upload, send one part so many times over four connections, and complete it.

    The parts are signed between the clock's two runs: an SDK takes longer to digest and to cut them than the gateway
    does to store them, and would be what is measured.
    """
    key, etag = "multipart", hashlib.md5(part, usedforsecurity=False).hexdigest()
    began = time.perf_counter()
    upload = client.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    seconds = time.perf_counter() - began
    wires = [
        request("PUT", gateway.rest_port, f"/{BUCKET}/{key}", part, query=f"partNumber={number}&uploadId={upload}")
        for number in range(1, count + 1)
    ]
    seconds += uvloop.run(send(gateway.rest_port, wires, connections=4)).seconds
    parts = [{"PartNumber": number, "ETag": f'"{etag}"'} for number in range(1, count + 1)]
    began = time.perf_counter()
    client.complete_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
    return seconds + time.perf_counter() - began


def rest_rates(setting: Setting, port: int, *, turn: int, count: int, cores: int | None = None) -> Iterator[Row]:
    """Small objects over 32 connections: of one process, or of one a core."""
    served = "" if cores is None else f", {processes(cores)}"
    setting.say(f"REST, {CONNECTIONS} connections{served}")
    body = os.urandom(1024)
    puts = [request("PUT", port, f"/{BUCKET}/small/{turn}/{number:06}", body) for number in range(count)]
    load = uvloop.run(send(port, puts, connections=CONNECTIONS))
    yield Row(
        work=f"PUT 1 KiB, 32 connections{served}",
        measured=load.per_second,
        unit="/s",
        reach=None if cores is None else SMALL_PUTS,
        more_is_better=True,
    )
    gets = [request("GET", port, f"/{BUCKET}/small/{turn}/{number:06}") for number in range(count)]
    uvloop.run(send(port, gets[: count // 10], connections=CONNECTIONS))
    load = uvloop.run(send(port, gets, connections=CONNECTIONS))
    yield Row(
        work=f"GET 1 KiB, 32 connections{served}",
        measured=load.per_second,
        unit="/s",
        reach=SMALL_GETS if cores is None else None,
        more_is_better=True,
    )


# gRPC --------------------------------------------------------------------------------------------------------


@contextmanager
def channel(target: str) -> Iterator[stubs.Client]:
    """A channel with a bearer token, as clients/python opens one."""
    options = [("grpc.max_receive_message_length", 64 * MIB), ("grpc.max_send_message_length", 64 * MIB)]
    with grpc.insecure_channel(target, options=options) as opened:
        yield stubs.Client(opened, ACCESS_KEY, SECRET_KEY)


def rpc_median_ms(port: int, calls: Sequence[h2wire.Call]) -> float:
    return uvloop.run(h2wire.send(port, calls, connections=1)).percentile(0.5) * 1000


def grpc_times(setting: Setting, gateway: Running, *, times: int) -> Iterator[Row]:
    """One client, one call at a time."""
    port, body = gateway.grpc_port, os.urandom(MIB)
    setting.say("gRPC, one client")
    puts = [h2wire.put(BUCKET, f"rpc-{number}", body) for number in range(8)]
    yield Row(
        work="gRPC PUT 1 MiB",
        measured=rpc_median_ms(port, [puts[number % 8] for number in range(times)]),
        unit="ms",
        reach=5,
        claim=8.7,
    )
    yield Row(
        work="gRPC GET 1 MiB, in messages of 64 KiB",
        measured=rpc_median_ms(port, [h2wire.get(BUCKET, "rpc-0", MIB)] * times),
        unit="ms",
        reach=1.5,
        claim=7.3,
    )
    yield Row(
        work="gRPC LIST 1000",
        measured=rpc_median_ms(port, [h2wire.listing(BUCKET, "list/")] * times),
        unit="ms",
        reach=4,
        claim=28.2,
    )
    setting.say("gRPC, multipart")
    with channel(gateway.target) as client:
        yield Row(
            work="gRPC multipart 100 MiB",
            measured=median_ms(lambda: client.multipart(BUCKET, "rpc-multipart", body * 10, 10), times=3, warm=1),
            unit="ms",
            reach=400,
            claim=780,
        )


@contextmanager
def large_messages(setting: Setting) -> Iterator[Running]:
    """A gateway of its own whose RS3GW_GRPC_CHUNK_SIZE is 1 MiB, with an object of that size."""
    with (
        setting.directory() as directory,
        setting.gateway(directory / "root", RS3GW_GRPC_CHUNK_SIZE=str(MIB)) as gateway,
    ):
        with channel(gateway.target) as client:
            client.create_bucket(BUCKET)
            client.put(BUCKET, "rpc", os.urandom(MIB))
        yield gateway


def grpc_large_messages(setting: Setting, *, times: int) -> Iterator[Row]:
    """What a chunk size of 1 MiB makes of a read."""
    with large_messages(setting) as gateway:
        yield Row(
            work="gRPC GET 1 MiB, in one message",
            measured=rpc_median_ms(gateway.grpc_port, [h2wire.get(BUCKET, "rpc", MIB)] * times),
            unit="ms",
            reach=1.5,
            claim=7.3,
        )


def python_times(setting: Setting, gateway: Running, *, times: int) -> Iterator[Seen]:
    """The same works by Python's client, on the gateway and on an empty server after it."""
    body, size = os.urandom(MIB), str(MIB)
    setting.say("gRPC, Python's client")

    def seen(work: str, ask: Callable[[], object], ask_empty: Callable[[], object]) -> Seen:
        return Seen(work=work, gateway_ms=median_ms(ask, times=times), empty_ms=median_ms(ask_empty, times=times))

    with floor.running() as nothing, channel(f"127.0.0.1:{nothing.grpc}") as empty, channel(gateway.target) as client:
        yield seen(
            "gRPC PUT 1 MiB", lambda: client.put(BUCKET, "python", body), lambda: empty.put(BUCKET, "python", body)
        )
        yield seen(
            "gRPC GET 1 MiB, in messages of 64 KiB",
            lambda: client.get(BUCKET, "python"),
            lambda: empty.get(BUCKET, size),
        )
        yield seen("gRPC LIST 1000", lambda: client.list(BUCKET, "list/"), lambda: empty.list(BUCKET, "list/"))
        with large_messages(setting) as other, channel(other.target) as large:
            yield seen(
                "gRPC GET 1 MiB, in one message",
                lambda: large.get(BUCKET, "rpc"),
                lambda: empty.get(BUCKET, f"{size}/{size}"),
            )


# Memory, scale, start ----------------------------------------------------------------------------------------


def memory(setting: Setting, gateway: Running, *, size: int) -> Iterator[Row]:
    """The server's peak while one large object passes each way on each protocol."""
    label = f"{size / 1024**3:g} GiB"
    setting.say(f"memory, {label} each way on each protocol")
    client = boto3_client(gateway)
    for protocol in ("REST", "gRPC"):
        for way in ("up", "down"):
            gateway.forget_peak()
            began = time.perf_counter()
            if protocol == "REST" and way == "up":
                from boto3.s3.transfer import TransferConfig

                transfer = TransferConfig(multipart_chunksize=64 * MIB, max_concurrency=4)
                client.upload_fileobj(Zeros(size), BUCKET, "large-rest", Config=transfer)
            elif protocol == "REST":
                drain(client.get_object(Bucket=BUCKET, Key="large-rest")["Body"], size)
            else:
                with channel(gateway.target) as rpc:
                    if way == "up":
                        rpc.put_stream(BUCKET, "large-grpc", size, chunk_bytes=MIB)
                    else:
                        assert rpc.get_size(BUCKET, "large-grpc") == size
            seconds = time.perf_counter() - began
            setting.say(f"  {protocol} {way}: {size / seconds / MIB:.0f} MiB/s")
            yield Row(
                work=f"peak memory, {label} {way} by {protocol}",
                measured=gateway.peak_bytes() / MIB,
                unit="MiB",
                reach=150,
            )
    for key in ("large-rest", "large-grpc"):
        client.delete_object(Bucket=BUCKET, Key=key)


def scale(setting: Setting, *, keys: int) -> Iterator[Row]:
    """A page of 100 common prefixes in a large bucket and in a small one."""
    with setting.directory() as directory:
        root = directory / "root"
        setting.say(f"scale: filling a bucket with {keys:,} keys")
        asyncio.run(fill(root, {"large": keys, "small": 1000}, progress=setting.say))
        with setting.gateway(root) as gateway:
            port = gateway.rest_port
            for bucket, held in (("large", keys), ("small", 1000)):
                wire = request("GET", port, f"/{bucket}", query="delimiter=%2F&list-type=2&max-keys=100")
                load = uvloop.run(send(port, [wire] * 50, connections=1))
                yield Row(
                    work=f"LIST 100 prefixes of {held:,} keys",
                    measured=load.percentile(0.5) * 1000,
                    unit="ms",
                    reach=20,
                )


def start(setting: Setting, *, times: int) -> Iterator[Row]:
    """From the start of the process to the first answered request, both protocols on."""
    setting.say("start")
    taken = []
    for _ in range(times):
        with setting.directory() as directory, setting.gateway(directory / "root") as up:
            taken.append(up.ready_seconds)
    yield Row(work="start to first answered request", measured=statistics.median(taken) * 1000, unit="ms", reach=400)

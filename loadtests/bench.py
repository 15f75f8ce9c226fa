"""
What rs3gw has to reach, measured in one run: ``python -m loadtests.bench``.

Every figure is of a gateway in a process of its own, over loopback, with the durability that its row names; the
client runs on the same machine and takes its share of the cores, which is said beside the figures.  Times are
medians of single requests, one at a time; rates are of 32 connections.  The published claims stand beside ours as
their authors published them: nobody says on which machine, or how durable.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import uvloop

from loadtests import stubs
from loadtests.gateway import ACCESS_KEY, SECRET_KEY, Running, running
from loadtests.seed import fill
from loadtests.wire import request, send
from rs3gw import __version__

MIB = 1024**2
CONNECTIONS = 32
BUCKET = "bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table."""

    work: str
    measured: float
    unit: str
    reach: float
    claim: float | None = None
    more_is_better: bool = False

    @property
    def is_reached(self) -> bool:
        return self.measured >= self.reach if self.more_is_better else self.measured <= self.reach


def say(text: str) -> None:
    """Progress, on standard error: the table alone is the output."""
    print(text, file=sys.stderr, flush=True)


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


def rest_times(gateway: Running, *, times: int) -> Iterator[Row]:
    """One client, one request at a time, as the published claims are."""
    port = gateway.rest_port
    body = os.urandom(MIB)

    async def each(wires: list[bytes]) -> float:
        load = await send(port, wires, connections=1)
        return load.percentile(0.5) * 1000

    say("REST, one client")
    puts = [request("PUT", port, f"/{BUCKET}/one-{number % 8}", body) for number in range(times)]
    yield Row(work="REST PUT 1 MiB", measured=uvloop.run(each(puts)), unit="ms", reach=5, claim=15.2)
    gets = [request("GET", port, f"/{BUCKET}/one-0")] * times
    yield Row(work="REST GET 1 MiB", measured=uvloop.run(each(gets)), unit="ms", reach=1, claim=12.8)
    listing = [request("GET", port, f"/{BUCKET}", query="list-type=2&prefix=list%2F")] * times
    yield Row(work="REST LIST 1000", measured=uvloop.run(each(listing)), unit="ms", reach=3, claim=45.6)
    say("REST, multipart")
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
        region_name="us-east-1",
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


def rest_rates(gateway: Running, *, count: int) -> Iterator[Row]:
    """Small objects over 32 connections."""
    port, body = gateway.rest_port, os.urandom(1024)
    say(f"REST, {CONNECTIONS} connections")
    puts = [request("PUT", port, f"/{BUCKET}/small/{number:06}", body) for number in range(count)]
    load = uvloop.run(send(port, puts, connections=CONNECTIONS))
    yield Row(
        work="PUT 1 KiB, 32 connections",
        measured=load.per_second,
        unit="/s",
        reach=8000,
        more_is_better=True,
    )
    gets = [request("GET", port, f"/{BUCKET}/small/{number % count:06}") for number in range(count)]
    uvloop.run(send(port, gets[: count // 10], connections=CONNECTIONS))
    load = uvloop.run(send(port, gets, connections=CONNECTIONS))
    yield Row(work="GET 1 KiB, 32 connections", measured=load.per_second, unit="/s", reach=12000, more_is_better=True)


# gRPC --------------------------------------------------------------------------------------------------------


@contextmanager
def channel(gateway: Running) -> Iterator[stubs.Client]:
    """A channel with a bearer token, as clients/python opens one."""
    options = [("grpc.max_receive_message_length", 64 * MIB), ("grpc.max_send_message_length", 64 * MIB)]
    with grpc.insecure_channel(gateway.target, options=options) as opened:
        yield stubs.Client(opened, ACCESS_KEY, SECRET_KEY)


def grpc_times(gateway: Running, *, times: int) -> Iterator[Row]:
    """One client, one call at a time."""
    body = os.urandom(MIB)
    say("gRPC, one client")
    with channel(gateway) as client:
        yield Row(
            work="gRPC PUT 1 MiB",
            measured=median_ms(lambda: client.put(BUCKET, "rpc", body), times=times),
            unit="ms",
            reach=5,
            claim=8.7,
        )
        yield Row(
            work="gRPC GET 1 MiB, in messages of 64 KiB",
            measured=median_ms(lambda: client.get(BUCKET, "rpc"), times=times),
            unit="ms",
            reach=1.5,
            claim=7.3,
        )
        yield Row(
            work="gRPC LIST 1000",
            measured=median_ms(lambda: client.list(BUCKET, "list/"), times=times),
            unit="ms",
            reach=4,
            claim=28.2,
        )
        yield Row(
            work="gRPC multipart 100 MiB",
            measured=median_ms(lambda: client.multipart(BUCKET, "rpc-multipart", body * 10, 10), times=3, warm=1),
            unit="ms",
            reach=400,
            claim=780,
        )


def grpc_large_messages(*, times: int) -> Iterator[Row]:
    """What RS3GW_GRPC_CHUNK_SIZE of 1 MiB makes of a read: a gateway of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="rs3gw-bench-") as directory,
        running(Path(directory) / "root", settings={"RS3GW_GRPC_CHUNK_SIZE": str(MIB)}) as gateway,
        channel(gateway) as client,
    ):
        client.create_bucket(BUCKET)
        client.put(BUCKET, "rpc", os.urandom(MIB))
        yield Row(
            work="gRPC GET 1 MiB, in one message",
            measured=median_ms(lambda: client.get(BUCKET, "rpc"), times=times),
            unit="ms",
            reach=1.5,
            claim=7.3,
        )


# Memory, scale, start ----------------------------------------------------------------------------------------


def memory(gateway: Running, *, size: int) -> Iterator[Row]:
    """The server's peak while one large object passes each way on each protocol."""
    from loadtests.large import Zeros, drain

    label = f"{size / 1024**3:g} GiB"
    say(f"memory, {label} each way on each protocol")
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
                with channel(gateway) as rpc:
                    if way == "up":
                        rpc.put_stream(BUCKET, "large-grpc", size, chunk_bytes=MIB)
                    else:
                        assert rpc.get_size(BUCKET, "large-grpc") == size
            seconds = time.perf_counter() - began
            say(f"  {protocol} {way}: {size / seconds / MIB:.0f} MiB/s")
            yield Row(
                work=f"peak memory, {label} {way} by {protocol}",
                measured=gateway.peak_bytes() / MIB,
                unit="MiB",
                reach=150,
            )
    for key in ("large-rest", "large-grpc"):
        client.delete_object(Bucket=BUCKET, Key=key)


def scale(*, keys: int) -> Iterator[Row]:
    """A page of 100 common prefixes in a large bucket and in a small one."""
    with tempfile.TemporaryDirectory(prefix="rs3gw-bench-") as directory:
        root = Path(directory) / "root"
        say(f"scale: filling a bucket with {keys:,} keys")
        asyncio.run(fill(root, {"large": keys, "small": 1000}, progress=say))
        with running(root, grpc=False) as gateway:
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


def start(*, times: int) -> Iterator[Row]:
    """From the start of the process to the first answered request, both protocols on."""
    say("start")
    taken = []
    for _ in range(times):
        with tempfile.TemporaryDirectory(prefix="rs3gw-bench-") as directory, running(Path(directory) / "root") as up:
            taken.append(up.ready_seconds)
    yield Row(work="start to first answered request", measured=statistics.median(taken) * 1000, unit="ms", reach=400)


# The machine -------------------------------------------------------------------------------------------------


def limits(directory: Path, *, times: int = 20) -> str:
    """What this machine needs for the work below a put of 1 MiB, whoever does it: its digests and its fsync."""
    body = os.urandom(MIB)
    names = (str(directory / f"limit-{number}") for number in range(times + 3))

    def keep() -> None:
        file = os.open(next(names), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(file, body)
        os.fsync(file)
        os.close(file)

    md5 = median_ms(lambda: hashlib.md5(body, usedforsecurity=False), times=times)
    sha256 = median_ms(lambda: hashlib.sha256(body), times=times)
    return f"MD5 {md5:.2f} ms, SHA-256 {sha256:.2f} ms, write and fsync {median_ms(keep, times=times):.2f} ms"


def busy() -> str:
    """How many others wanted a core while this began: figures of a busy machine are figures of its others too."""
    return f"{os.getloadavg()[0]:.1f}"


# The table ---------------------------------------------------------------------------------------------------


def table(rows: list[Row]) -> str:
    """The rows for a terminal and for Markdown alike."""
    lines = ["| work | measured | reach | published claim | |", "| --- | ---: | ---: | ---: | --- |"]
    for row in rows:
        sign = "≥" if row.more_is_better else "≤"
        digits = 0 if row.measured >= 100 else 2
        claim = f"{row.claim:g} {row.unit}" if row.claim is not None else ""
        lines.append(
            f"| {row.work} | {row.measured:,.{digits}f} {row.unit} | {sign} {row.reach:,g} {row.unit} | {claim} |"
            f" {'reached' if row.is_reached else 'MISSED'} |"
        )
    return "\n".join(lines)


def machine() -> str:
    """What the figures were measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}"


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything: to see that it runs")
    parser.add_argument("--durability", choices=("strict", "relaxed"), default="strict")
    parser.add_argument("--large", type=float, default=5.0, help="GiB that pass in the rows of memory")
    parser.add_argument("--keys", type=int, default=1_000_000, help="keys in the large bucket")
    parser.add_argument("--output", type=Path, help="also write the table to this file, as Markdown")
    asked = parser.parse_args()
    share = 10 if asked.quick else 1
    size = int((asked.large if not asked.quick else min(asked.large, 0.5)) * 1024**3)

    rows: list[Row] = []
    load = busy()
    with tempfile.TemporaryDirectory(prefix="rs3gw-bench-") as directory:
        root = Path(directory) / "root"
        floor = limits(Path(directory))
        asyncio.run(fill(root, {BUCKET: 1000}, prefix="list/"))
        with running(root, durability=asked.durability) as gateway:
            rows += rest_times(gateway, times=200 // share)
            rows += grpc_times(gateway, times=200 // share)
            rows += grpc_large_messages(times=200 // share)
            rows += rest_rates(gateway, count=30_000 // share)
            rows += memory(gateway, size=size)
    rows += scale(keys=asked.keys // share)
    rows += start(times=5)

    text = (
        f"rs3gw {__version__}, durability {asked.durability}, client on the same machine.\n"
        f"Measured on {machine()}; load average at the beginning {load}.\n"
        f"1 MiB costs this machine, before any gateway: {floor}.\n\n{table(rows)}\n"
    )
    print(text)
    if asked.output:
        asked.output.parent.mkdir(parents=True, exist_ok=True)
        asked.output.write_text(f"<!-- Written by python -m loadtests.bench. -->\n\n# Figures\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""
Where the gateway's time goes: ``python -m loadtests.profile`` samples it under load and adds the samples up by layer.

py-spy looks into the process from outside, 500 times a second, and pauses it for that: the shares are right, the rates
of a sampled gateway are not and stand on no page.  A sample belongs to the innermost function that a layer knows, so
what the standard library, SQLite or the kernel do for a layer is that layer's.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import uvloop

from loadtests import h2wire
from loadtests.gateway import Running
from loadtests.page import Page, Section, Table
from loadtests.plots import Plot
from loadtests.seed import fill
from loadtests.setting import Setting
from loadtests.surroundings import Watch
from loadtests.wire import request, send

KIB, MIB = 1024, 1024**2
BUCKET = "profile"
CONNECTIONS = 8
SAMPLES_PER_SECOND = 500
MARGIN_SECONDS = 2.0
"""The load begins half of it before the sampling, and ends as much after."""

LEAST_PERCENT = 0.5
"""A layer that never has so much is left out."""

FUNCTIONS = 8
COMMAND = "python -m loadtests.profile"

LAYERS: Final = (
    ("commit", ("rs3gw/engine/commit", "rs3gw/engine/group")),
    ("index", ("rs3gw/engine/index",)),
    ("digests", ("rs3gw/engine/seals", "rs3gw/gateway/digests")),
    ("files", ("rs3gw/engine/blobs", "rs3gw/engine/world", "rs3gw/gateway/intake")),
    ("engine, the rest", ("rs3gw/engine/",)),
    ("identify", ("rs3gw/auth/", "rs3gw/rest/evidence", "rs3gw/rpc/evidence", "rs3gw/gateway/access")),
    ("send", ("Connection.write (", "Connection.write_content (", "Connection._flush (")),
    (
        "listen and parse HTTP",
        ("rs3gw/rest/listener", "rs3gw/rest/asgi", "rs3gw/rpc/http2", "rs3gw/rpc/frames", "rs3gw/rpc/calls"),
    ),
    ("read and write messages", ("rs3gw/rest/", "rs3gw/rpc/", "rs3gw/operations/")),
    ("handle", ("rs3gw/gateway/",)),
    ("measure and log", ("rs3gw/telemetry", "rs3gw/spans", "rs3gw/tracing")),
    ("event loop and sockets", ("rs3gw/", "asyncio/", "uvloop", "<frozen runpy>", "threading.py")),
)
"""Parts of a function's name and path, the first that fits."""

OTHER = "other"

WAITING: Final = ("_worker (", "Committer._next (", "Thread.run (", "wait (")
"""Innermost functions of a thread that has nothing to do: py-spy takes a wait for a lock for work."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """The samples of one work, by layer and by function."""

    work: str
    layers: Counter[str]
    functions: Counter[str]


Load = Callable[[float], object]
"""What keeps the gateway at one work for so many seconds."""


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default="out/benchmarks", show_default=True)
@click.option("--seconds", type=float, default=6.0, show_default=True, help="For each work.")
@click.option("--durability", type=click.Choice(["strict", "relaxed"]), default="strict", show_default=True)
def main(out: Path, seconds: float, durability: str) -> None:
    """Sample each work under eight connections, and write the page."""
    out.mkdir(parents=True, exist_ok=True)
    setting, watch = Setting(durability=durability), Watch()
    with setting.directory() as directory:
        asyncio.run(fill(directory / "root", {BUCKET: 1000}, prefix="list/"))
        with setting.gateway(directory / "root") as gateway:
            found = []
            for work, load in loads(gateway, seconds).items():
                setting.say(work)
                stacks = sample(gateway.pid, load, seconds, directory / "stacks")
                found.append(divide(work, stacks))
    page(found, seconds).write(out / "profile.md", command=COMMAND, surroundings=watch.head(durability, 1))
    click.echo((out / "profile.md").read_text())


# What is sampled ---------------------------------------------------------------------------------------------


def loads(gateway: Running, seconds: float) -> dict[str, Load]:
    """Each work by its name."""
    port = gateway.rest_port
    small, large = os.urandom(KIB), os.urandom(MIB)
    held = [request("PUT", port, f"/{BUCKET}/{len(body)}", body) for body in (small, large)]
    uvloop.run(send(port, held, connections=1))
    puts = [request("PUT", port, f"/{BUCKET}/put/{number:05}", small) for number in range(int(2500 * seconds))]
    listing = request("GET", port, f"/{BUCKET}", query="list-type=2&prefix=list%2F")

    def rest(wires: Iterable[bytes]) -> Load:
        return lambda seconds: uvloop.run(send(port, wires, connections=CONNECTIONS, seconds=seconds))

    def rpc(call: h2wire.Call) -> Load:
        calls = itertools.repeat(call)
        return lambda seconds: uvloop.run(
            h2wire.send(gateway.grpc_port, calls, connections=CONNECTIONS, seconds=seconds)
        )

    return {
        "REST GET 1 KiB": rest(itertools.repeat(request("GET", port, f"/{BUCKET}/{KIB}"))),
        "REST PUT 1 KiB": rest(itertools.cycle(puts)),
        "REST GET 1 MiB": rest(itertools.repeat(request("GET", port, f"/{BUCKET}/{MIB}"))),
        "REST LIST of 1,000": rest(itertools.repeat(listing)),
        "gRPC GET 1 KiB": rpc(h2wire.get(BUCKET, str(KIB), KIB)),
        "gRPC PUT 1 KiB": rpc(h2wire.put(BUCKET, "rpc", small)),
        "gRPC GET 1 MiB": rpc(h2wire.get(BUCKET, str(MIB), MIB)),
        "gRPC LIST of 1,000": rpc(h2wire.listing(BUCKET, "list/")),
    }


# How it is sampled -------------------------------------------------------------------------------------------


def sample(pid: int, load: Load, seconds: float, stacks: Path) -> Counter[tuple[str, ...]]:
    """How often each stack that did something was seen while the load went on, outermost function first."""
    spy = Path(sys.executable).with_name("py-spy")
    asked = ["record", "--pid", str(pid), "--format", "raw", "--output", str(stacks), "--full-filenames", "--function"]
    bounds = ["--rate", str(SAMPLES_PER_SECOND), "--duration", str(max(int(seconds), 1))]
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load, seconds + MARGIN_SECONDS)
        time.sleep(MARGIN_SECONDS / 2)
        done = subprocess.run([spy, *asked, *bounds], capture_output=True, text=True, check=False)
        loading.result()
    if done.returncode:
        raise RuntimeError(f"py-spy: {done.stderr.strip()}")
    found: Counter[tuple[str, ...]] = Counter()
    for line in stacks.read_text().splitlines():
        joined, _, count = line.rpartition(" ")
        stack = tuple(joined.split(";"))
        if not stack[-1].startswith(WAITING):
            found[stack] += int(count)
    return found


def divide(work: str, stacks: Mapping[tuple[str, ...], int]) -> Sampled:
    """Give each sample to a layer, and to the innermost function of ours."""
    layers: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for stack, count in stacks.items():
        layers[layer_of(stack)] += count
        ours = next((frame for frame in reversed(stack) if "/rs3gw/" in frame), None)
        if ours is not None:
            name, _, place = ours.partition(" (")
            functions[f"`{name}` in {place.rpartition('/rs3gw/')[2].partition(':')[0].rstrip(')')}"] += count
    return Sampled(work, layers, functions)


def layer_of(stack: Sequence[str]) -> str:
    """The layer of the innermost frame that any layer knows."""
    for frame in reversed(stack):
        for layer, parts in LAYERS:
            if any(part in frame for part in parts):
                return layer
    return OTHER


# What is shown -----------------------------------------------------------------------------------------------


def page(found: Sequence[Sampled], seconds: float) -> Page:
    names = [layer for layer, _ in LAYERS] + [OTHER]
    shares = {name: [each.layers[name] / max(each.layers.total(), 1) * 100 for each in found] for name in names}
    shown = {name: figures for name, figures in shares.items() if max(figures) >= LEAST_PERCENT}
    return Page(
        title="Where the time goes",
        text=f"py-spy looked at a gateway of one process {SAMPLES_PER_SECOND} times a second for {seconds:g} s of each"
        f" work, with {CONNECTIONS} connections.\n"
        "A sample belongs to the innermost function that a layer knows: what the standard library, SQLite or the kernel"
        " do for a layer is that layer's, and so is waiting for the disk.\n"
        "Threads that wait for work are left out.\n"
        "Samples of several threads that ran at once add up, and shares are of all samples.",
        sections=[
            Section(
                heading="By layer, per cent",
                table=Table(
                    ("layer", *(each.work for each in found)),
                    [(name, *figures) for name, figures in shown.items()],
                ),
                plots=[
                    Plot(
                        name="layers",
                        title="Where the time goes",
                        unit="% of samples",
                        groups=[each.work for each in found],
                        series=shown,
                        is_stacked=True,
                    )
                ],
            ),
            *(
                Section(
                    heading=each.work,
                    text=f"{each.layers.total():,} samples; the functions of ours that were innermost most often.",
                    table=Table(
                        ("function", "per cent"),
                        [
                            (name, count / each.layers.total() * 100)
                            for name, count in each.functions.most_common(FUNCTIONS)
                        ],
                    ),
                )
                for each in found
            ),
        ],
    )


if __name__ == "__main__":
    main()

"""
From nothing to the first answer, and what is held before anything is asked.

A start ends when GET /-/ready is answered with 200 on the REST port, which is asked every two milliseconds.  What an
empty Python takes stands beside: it is in every start.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from loadtests.page import Page, Section, Table
from loadtests.plots import Plot
from loadtests.seed import fill
from loadtests.setting import Setting

MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Way:
    """How a gateway is started."""

    name: str
    settings: dict[str, str]
    keys: int = 0


@dataclass(frozen=True, slots=True)
class Started:
    way: str
    seconds: list[float]
    cpu_seconds: float | None = None
    held_bytes: int | None = None

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.seconds) * 1000


def ways(keys: int) -> list[Way]:
    return [
        Way("REST alone, an empty root", {"RS3GW_GRPC_ENABLED": "false"}),
        Way("both protocols, an empty root", {}),
        Way("two processes, both protocols", {"RS3GW_WORKERS": "2"}),
        Way(f"both protocols, {keys:,} keys", {}, keys),
    ]


def measure(setting: Setting) -> Page:
    times = setting.pick(2, 15)
    found = [
        _empty("an empty Python", "pass", times),
        _empty("Python that imports grpc", "import grpc.aio", times),
        *_gateways(setting, times),
    ]
    return Page(
        title="Start",
        text=f"Each is started {times} times over the same root; its byte code is compiled.\n"
        "CPU and memory are those of all of its processes at the first answer; what they share is counted in each.",
        sections=[
            Section(
                heading="From the start of the process to the first answered request",
                table=Table(
                    ("start", "least, ms", "p50, ms", "most, ms", "CPU, ms", "memory, MiB"),
                    [
                        (
                            each.way,
                            min(each.seconds) * 1000,
                            each.p50_ms,
                            max(each.seconds) * 1000,
                            None if each.cpu_seconds is None else each.cpu_seconds * 1000,
                            None if each.held_bytes is None else each.held_bytes / MIB,
                        )
                        for each in found
                    ],
                ),
                plots=[
                    Plot(
                        name="times",
                        title="Median time to the first answer",
                        unit="ms",
                        groups=[each.way for each in found],
                        series={"p50": [each.p50_ms for each in found]},
                    )
                ],
            )
        ],
    )


def _empty(name: str, source: str, times: int) -> Started:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", source], check=True)
        taken.append(time.perf_counter() - began)
    return Started(name, taken)


def _gateways(setting: Setting, times: int) -> Iterator[Started]:
    for way in ways(setting.pick(1000, 100_000)):
        with setting.directory() as directory:
            root: Path = directory / "root"
            if way.keys:
                asyncio.run(fill(root, {"start": way.keys}))
            seconds, cpu, held = [], 0.0, 0
            for _ in range(times):
                with setting.gateway(root, **way.settings) as gateway:
                    seconds.append(gateway.ready_seconds)
                    cpu, held = gateway.cpu_seconds(), gateway.held_bytes()
            setting.say(f"  {way.name}: {statistics.median(seconds) * 1000:.0f} ms")
            yield Started(way.name, seconds, cpu, held)

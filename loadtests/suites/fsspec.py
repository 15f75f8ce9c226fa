"""
``rs3gw://`` beside ``s3://`` of s3fs: what programs do with files, on the same gateway, in one process and in turns.

Both are asked through fsspec as pandas and its like ask, with their own defaults where nothing else is said.  They live
in an environment of their own (loadtests.environments), which reads and writes there (loadtests.files).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Mapping, Sequence

from loadtests import environments
from loadtests.gateway import ACCESS_KEY, REGION, SECRET_KEY, Running
from loadtests.page import Cell, Page, Section, Table
from loadtests.plots import Plot
from loadtests.setting import Setting

MIB = 1024**2
OURS, THEIRS = "rs3gw", "s3"
SAME = 0.05
"""How far a ratio may be from 1 and count as the same."""

Taken = Mapping[str, Mapping[str, Sequence[float]]]
"""Seconds of each turn, by the work's name and the file system's."""


def measure(setting: Setting) -> Page:
    turns, large = setting.pick(1, 7), setting.pick(32, 256) * MIB
    python = environments.data()
    with setting.directory() as directory, setting.gateway(directory / "root") as gateway:
        asked = {
            "options": options(gateway),
            "turns": turns,
            "large_bytes": large,
            "share": setting.pick(10, 1),
        }
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RS3GW_"))}
        done = subprocess.run(
            [python, "-m", "loadtests.files"],
            input=json.dumps(asked),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=environments.ROOT,
            env=clean,
        )
    said = json.loads(done.stdout)
    versions = ", ".join(f"{name} {version}" for name, version in said["versions"].items())
    return Page(
        title="rs3gw:// beside s3://",
        text=f"One gateway, two file systems of fsspec, in turns; each figure is the median of {turns} turns.\n"
        "The time is of one call or one file, the client's work in Python included; what was read is compared with what"
        f" was written.\nA large file has {large // MIB} MiB, the Parquet file {said['table_bytes'] / MIB:.0f} MiB:"
        " eight columns of a million numbers, in eight groups of rows.\n"
        "A ratio above 1 is that of `rs3gw://` to the good, one below 1 that of s3fs.\n\n"
        f"{versions}.\n\n"
        "- `rs3gw://` reads ahead by 8 MiB, s3fs by 50 MiB, unless a row says that both do by 8 MiB.\n"
        "- s3fs remembers listings, and is told to ask again; `rs3gw://` remembers none.\n"
        "- `rs3gw://` shows a bearer token, s3fs signs each request; neither is encrypted.",
        sections=[section(said["taken"])],
    )


def options(gateway: Running) -> dict[str, dict[str, object]]:
    """What each is told of where the gateway is."""
    keys: dict[str, object] = {"key": ACCESS_KEY, "secret": SECRET_KEY}
    return {
        OURS: {"target": gateway.target, **keys},
        THEIRS: {"endpoint_url": gateway.url, "client_kwargs": {"region_name": REGION}, **keys},
    }


def section(taken: Taken) -> Section:
    def median(work: str, name: str) -> float:
        return statistics.median(taken[work][name]) * 1000

    def ratio(work: str) -> float:
        return median(work, THEIRS) / median(work, OURS)

    rows: list[tuple[Cell, ...]] = [
        (work, median(work, OURS), median(work, THEIRS), ratio(work), verdict(ratio(work))) for work in taken
    ]
    return Section(
        heading="Times",
        table=Table(("work", "rs3gw://, ms", "s3://, ms", "ratio", "rs3gw:// against it"), rows),
        plots=[
            Plot(
                name="ratios",
                title="How many times as fast as s3fs (1 is the same)",
                unit="ratio, logarithmic",
                groups=list(taken),
                series={"rs3gw://": [ratio(work) for work in taken]},
                is_log=True,
                begin=1.0,
            )
        ],
    )


def verdict(ratio: float) -> str:
    """The same, faster or SLOWER."""
    if abs(ratio - 1) < SAME:
        return "the same"
    return "faster" if ratio > 1 else "SLOWER"

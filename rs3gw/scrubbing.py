"""
Who asks for a scrub: the command, which prints what it finds, and the server, which counts it.

What a scrub is stands in ``engine.scrub``; here it is given a disk, a rate and an ear.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import threading
import time
from pathlib import Path
from typing import Final

import click

from rs3gw.engine import scrub
from rs3gw.engine.ports import EngineError
from rs3gw.engine.world import Medium, SystemClock
from rs3gw.telemetry import Telemetry, logger

CLEAN, DAMAGED, UNABLE = 0, 1, 2
"""The exit codes of ``rs3gw scrub``."""

PROGRESS_SECONDS: Final = 2.0
"""Between two lines of progress."""

PASS_SECONDS: Final = 24 * 3600.0
"""From the beginning of one pass of a server to that of the next: a small root is not read all day."""


def report(root: Path, *, bytes_per_second: int, as_json: bool) -> int:
    """Scrub a root once, with progress on standard error and the report on standard output; the exit code."""
    try:
        progress = _Progress(scrub.stored_bytes(root) if (root / "index.db").exists() else 0)
        found = scrub.scrub(
            root,
            disk=Medium(root),
            clock=SystemClock(),
            bytes_per_second=bytes_per_second or None,
            seen=progress.seen,
        )
    except (EngineError, OSError) as fault:
        click.echo(f"rs3gw scrub: {fault}", err=True)
        return UNABLE
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=2, ensure_ascii=False))
    else:
        for damage in found.damaged:
            click.echo(_line(damage))
        click.echo(
            f"{found.objects:,} objects, {found.parts:,} parts of uploads, {found.blobs:,} blobs, {found.bytes:,} bytes"
            f" in {found.seconds:.1f} s: {len(found.damaged):,} damaged"
        )
    return DAMAGED if found.damaged else CLEAN


def _line(damage: scrub.Damage) -> str:
    if damage.bucket is None:
        return damage.what
    part = "" if damage.upload_id is None else f" (upload {damage.upload_id}, part {damage.part_number})"
    return f"{damage.bucket}/{damage.key}{part}: {damage.what}"


class _Progress:
    """How far a scrub is, said every few seconds."""

    def __init__(self, of: int) -> None:
        self._of, self._seen, self._spoke = of, 0, time.monotonic()

    def seen(self, size: int) -> None:
        self._seen += size
        now = time.monotonic()
        if now - self._spoke >= PROGRESS_SECONDS:
            self._spoke = now
            print(f"{self._seen / 1024**2:,.0f} of {self._of / 1024**2:,.0f} MiB", file=sys.stderr, flush=True)


class Scrubber:
    """Scrubs the root of a server in a thread, once a day or as often as the rate allows, until it is stopped."""

    def __init__(self, root: Path, *, bytes_per_second: int, telemetry: Telemetry) -> None:
        self._root, self._rate, self._telemetry = root, bytes_per_second, telemetry
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rs3gw-scrub", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        clock = SystemClock()
        while not self._stopping.is_set():
            began = clock.monotonic()
            try:
                self._heed(
                    scrub.scrub(
                        self._root,
                        disk=Medium(self._root),
                        clock=clock,
                        bytes_per_second=self._rate,
                        seen=self._telemetry.scrubbed_bytes.inc,
                        stopping=self._stopping,
                    )
                )
            except scrub.Stopped:
                return
            except EngineError as fault:
                logger("scrub").error("a scrub could not look", fault=str(fault))
            self._stopping.wait(max(0.0, PASS_SECONDS - (clock.monotonic() - began)))

    def _heed(self, found: scrub.Report) -> None:
        for damage in found.damaged:
            logger("scrub").error(
                "damaged", **{name: said for name, said in dataclasses.asdict(damage).items() if said}
            )
        self._telemetry.scrub_damaged.set(len(found.damaged))
        self._telemetry.scrub_finished.set_to_current_time()
        logger("scrub").info("scrubbed", objects=found.objects, bytes=found.bytes, damaged=len(found.damaged))

    async def stop(self) -> None:
        """End the pass where it is."""
        self._stopping.set()
        await asyncio.to_thread(self._thread.join)


__all__ = ["Scrubber", "report"]

"""
A gateway that is killed at any moment has everything that it acknowledged, and nothing else.

Round after round a gateway is started over the same root, six clients write to it over both protocols, and then every
one of its processes gets SIGKILL: while it serves, while it starts, or while it stops.  It is started again, and each
key is read and each upload listed over both protocols.  What was acknowledged, or shown to a reader, is there; a write
that was cut off is there as a whole or not at all, a completion together with the end of its upload; and what was not
there once does not come back.  Some rounds have one process, others three.

At the end the gateway is stopped in order, and its files are counted: there is nothing that no record names, no record
without its file, and not a byte more than the objects have.

The seed decides what is asked and when it is killed, and not how the two meet.
"""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from proof.clients import Rest
from proof.gateway import Gateway
from proof.run import Run
from proof.traffic import BUCKET, KEYS, Traffic, audit

ROUNDS_QUICK, SECONDS_FULL, ROUNDS_FULL = 3, 330.0, 400
LEAST_SECONDS, MOST_SECONDS = 0.02, 0.6
"""Of load before a kill."""

Moment = Literal["serving", "starting", "stopping"]
MOMENTS: Final[tuple[Moment, ...]] = ("serving", "serving", "serving", "starting", "serving", "serving", "stopping")


@dataclass(slots=True)
class Tally:
    """What the rounds gave."""

    kills: Counter[Moment] = field(default_factory=Counter)
    in_flight: int = 0
    restart_seconds: list[float] = field(default_factory=list)

    def restart(self, share: float) -> float:
        """The time that this share of the restarts stayed under."""
        ordered = sorted(self.restart_seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def prove(run: Run) -> None:
    traffic, tally = Traffic(), Tally()
    rounds, began, done = run.pick(ROUNDS_QUICK, ROUNDS_FULL), time.monotonic(), 0
    with run.directory() as place:
        root = place / "root"
        gateways = [Gateway(root, settings={"RS3GW_WORKERS": str(workers)}, log=place / "log") for workers in (1, 1, 3)]
        with gateways[0] as gateway:
            Rest(gateway, BUCKET).create_bucket()
        while done < rounds and time.monotonic() - began < SECONDS_FULL:
            moment = MOMENTS[done % len(MOMENTS)]
            _round(run, gateways[done % len(gateways)], moment, traffic, tally, run.random(done))
            done += 1
            run.progress(done, rounds, "rounds")
        with gateways[0] as gateway:
            findings = audit(gateway, traffic.ledger)
            run.must(not findings, findings.worst if findings else "")
        left = leftovers(root)
    run.must(not left.faults, "; ".join(left.faults[:3]))
    killed = ", ".join(f"{count} killed while {moment}" for moment, count in tally.kills.items())
    run.figure("rounds", done, note=killed)
    leave_figures(run, traffic, tally, left)


def leave_figures(run: Run, traffic: Traffic, tally: Tally, left: Leftovers) -> None:
    """What became of the writes, and what a restart costs; nothing was found amiss."""
    acknowledged = traffic.acknowledged
    by_protocol = ", ".join(f"{count:,} over {protocol}" for protocol, count in sorted(acknowledged.items()))
    run.figure("writes acknowledged", acknowledged.total(), note=by_protocol)
    survived = f"{traffic.ledger.survived} keys had one of them afterwards"
    run.figure("writes in flight at the end of a round", tally.in_flight, note=survived)
    run.figure("lost", 0)
    run.figure("wrong", 0)
    run.figure("restart, p50", tally.restart(0.5), "s", note="from the start of the process to its first answer")
    run.figure("restart, p99", tally.restart(0.99), "s")
    run.figure("bytes left over", left.unnamed_bytes, note=f"{left.files} files of {left.file_bytes:,} bytes are named")


def _round(run: Run, gateway: Gateway, moment: Moment, traffic: Traffic, tally: Tally, numbers: random.Random) -> None:
    """Start over what the last kill left, audit, load, kill."""
    if moment == "starting":
        _kill_while_starting(gateway, numbers.uniform(0.05, 0.6))
    try:
        tally.restart_seconds.append(gateway.start())
        findings = audit(gateway, traffic.ledger)
        run.must(not findings, findings.worst if findings else "")
        traffic.begin(gateway, numbers)
        time.sleep(numbers.uniform(LEAST_SECONDS, MOST_SECONDS))
        traffic.wane()
        if moment == "stopping":
            interrupt = threading.Timer(numbers.uniform(0, 0.05), gateway.kill)
            interrupt.start()
            gateway.stop()
            interrupt.join()
    finally:
        gateway.kill()
        traffic.end()
    tally.kills[moment] += 1
    tally.in_flight += traffic.ledger.in_flight
    run.must(not traffic.faults, traffic.faults[0] if traffic.faults else "")


def _kill_while_starting(gateway: Gateway, after_seconds: float) -> None:
    interrupt = threading.Timer(after_seconds, gateway.kill)
    interrupt.start()
    try:
        gateway.start()
    except RuntimeError:
        pass  # it was not ready yet
    interrupt.join()
    gateway.kill()


# What is left ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Leftovers:
    """The files of a root that nobody serves, held against its records."""

    files: int = 0
    file_bytes: int = 0
    unnamed_bytes: int = 0
    """Of files that no record names."""
    faults: list[str] = field(default_factory=list)


def leftovers(root: Path) -> Leftovers:
    """Count what a stopped root holds, by a reader of the index that is not the engine's."""
    files = {file.name: file.stat().st_size for file in root.glob("blobs/*/*")}
    left = Leftovers(files=len(files), file_bytes=sum(files.values()))
    connection = sqlite3.connect(f"file:{root / 'index.db'}?mode=ro", uri=True)
    try:
        _compare(connection, files, left)
    finally:
        connection.close()
    return left


def _compare(connection: sqlite3.Connection, files: dict[str, int], left: Leftovers) -> None:
    (health,) = connection.execute("PRAGMA integrity_check").fetchone()
    if health != "ok":
        left.faults.append(f"the index is damaged: {health}")
    named: Counter[str] = Counter()
    for table in ("objects", "parts"):
        for (extents,) in connection.execute(f"SELECT extents FROM {table} WHERE extents IS NOT NULL"):
            named.update(blob for blob, _, _ in json.loads(extents))
    counted = dict(connection.execute("SELECT id, named FROM blobs"))
    if counted != named:
        left.faults.append(f"blobs are counted {_difference(counted, named)}")
    sizes = dict(connection.execute("SELECT id, size FROM blobs"))
    left.unnamed_bytes = sum(size for name, size in files.items() if name not in sizes)
    if sizes != files:
        left.faults.append(f"files and records differ: {_difference(sizes, files)}")
    used = {inline: 1 for (inline,) in connection.execute("SELECT inline FROM objects WHERE inline IS NOT NULL")}
    kept = {inline: 1 for (inline,) in connection.execute("SELECT id FROM inlines")}
    if used != kept:
        left.faults.append(f"the index holds content that nothing names, or lacks some: {_difference(used, kept)}")
    strangers = {key for (key,) in connection.execute("SELECT key FROM objects")} - set(KEYS)
    if strangers:
        left.faults.append(f"keys that nobody wrote: {sorted(strangers)[:3]}")


def _difference(left: Mapping[Any, int], right: Mapping[Any, int]) -> str:
    return f"{sorted(set(left.items()) ^ set(right.items()))[:3]}"

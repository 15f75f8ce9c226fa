"""
A gateway whose machine loses power has everything that it acknowledged.

The load and the audit are those of the proof ``kill``, over a file system that forgets what was not synced (see
``volatile`` and ``fuse``).  The power is cut at any moment, between two calls of the file system: in every other round
whatever was not synced is gone, in the rest any part of it is there, blocks torn at a sector and names in any order.
Some cuts come while a gateway starts, the first of them while it makes its root.  Then the gateway is killed, what is
left is mounted, and a gateway is started over it.  Real processes, real SQLite, one process and three.

That the proof can fail is shown too: under RS3GW_DURABILITY=relaxed, which promises less, it must find lost writes.

It needs Linux, /dev/fuse and root, and says so where they are missing.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import Final

from proof.clients import Rest
from proof.fuse import Mounted, why_not
from proof.gateway import Gateway
from proof.kill import Tally, leave_figures, leftovers
from proof.run import Run
from proof.traffic import BROKEN, BUCKET, Findings, Traffic, audit
from proof.volatile import Loss

ROUNDS_QUICK, ROUNDS_FULL, SECONDS_FULL = 3, 200, 240.0
RELAXED_ROUNDS: Final = 8
LEAST_SECONDS, MOST_SECONDS = 0.05, 0.8
"""Of load before the power goes."""


def prove(run: Run) -> None:
    reason = why_not()
    if reason is not None:
        run.say(f"is off: {reason}")
        run.figure("off", reason)
        return
    _show_that_it_can_fail(run)
    rounds, began = run.pick(ROUNDS_QUICK, ROUNDS_FULL), time.monotonic()
    with _Scene(run, "strict") as scene:
        for number in range(rounds):
            if time.monotonic() - began > SECONDS_FULL:
                break
            numbers = run.random("strict", number)
            if number % 6 == 0:
                scene.cut_while_starting(numbers)
            _hold(run, scene.play(numbers, workers=3 if number % 3 == 2 else 1), scene.traffic)
            run.progress(number + 1, rounds, "rounds")
        _hold(run, scene.play_last(), scene.traffic)
        left = leftovers(scene.root)
    run.must(not left.faults, "; ".join(left.faults[:3]))
    run.figure("power cuts", scene.cuts.total(), note=", ".join(f"{count} {how}" for how, count in scene.cuts.items()))
    run.figure("not synced at a cut", scene.loss.bytes, "bytes", note=f"and {scene.loss.names:,} names")
    leave_figures(run, scene.traffic, scene.tally, left)


def _hold(run: Run, findings: Findings, traffic: Traffic) -> None:
    """Raises Disproved for anything that was lost, or is wrong."""
    run.must(not findings, findings.worst if findings else "")
    run.must(not traffic.faults, traffic.faults[0] if traffic.faults else "")


def _show_that_it_can_fail(run: Run) -> None:
    """Raises Disproved where nothing is lost though nothing was synced: then this proof sees nothing."""
    lost = written = cuts = 0
    while cuts < RELAXED_ROUNDS and (not lost or not run.is_quick):
        with _Scene(run, "relaxed") as scene:
            scene.play(run.random("relaxed", cuts), workers=1)
            findings = scene.play_last()
        lost, written, cuts = lost + len(findings.lost), written + scene.traffic.acknowledged.total(), cuts + 1
    run.must(lost > 0, f"{cuts} cuts of power lost nothing of what was never synced")
    run.figure("lost with relaxed", lost, note=f"of {written:,} writes, in {cuts} cuts: the proof can fail")


class _Scene:
    """A root on a volatile disk, what was written to it, and how often its power was cut."""

    def __init__(self, run: Run, durability: str) -> None:
        self._run, self._durability = run, durability
        self._held = ExitStack()
        self._has_bucket = False
        self.traffic, self.tally = Traffic(excused=BROKEN), Tally()
        self.cuts: Counter[str] = Counter()
        self.loss = Loss()

    def __enter__(self) -> _Scene:
        place = self._held.enter_context(self._run.directory())
        mount = place / "disk"
        mount.mkdir()
        self._disk = self._held.enter_context(Mounted(mount))
        self.root = mount / "root"
        self._gateways = {
            workers: Gateway(
                self.root,
                settings={"RS3GW_WORKERS": str(workers), "RS3GW_DURABILITY": self._durability},
                log=place / "log",
            )
            for workers in (1, 3)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for gateway in self._gateways.values():
            gateway.kill()
        self._held.close()

    def play(self, numbers: random.Random, *, workers: int) -> Findings:
        """Start over what is left, audit, load, cut the power."""
        gateway = self._gateways[workers]
        findings = self._start(gateway)
        try:
            self.traffic.begin(gateway, numbers)
            time.sleep(numbers.uniform(LEAST_SECONDS, MOST_SECONDS))
            self._cut(numbers)
        finally:
            self.traffic.wane()
            gateway.kill()
            self.traffic.end()
        self.tally.kills["serving"] += 1
        self.tally.in_flight += self.traffic.ledger.in_flight
        self._disk.restore()
        return findings

    def play_last(self) -> Findings:
        """Start over what is left, audit, and stop in order."""
        gateway = self._gateways[1]
        findings = self._start(gateway)
        gateway.stop()
        return findings

    def cut_while_starting(self, numbers: random.Random) -> None:
        """Cut the power before, or just after, a gateway is ready."""
        gateway = self._gateways[1]
        cut = threading.Timer(numbers.uniform(0.1, 0.6), lambda: self._cut(numbers))
        cut.start()
        try:
            gateway.start()
        except RuntimeError:
            pass  # its disk was gone
        cut.join()
        gateway.kill()
        self.tally.kills["starting"] += 1
        self._disk.restore()

    def _start(self, gateway: Gateway) -> Findings:
        self.tally.restart_seconds.append(gateway.start())
        if not self._has_bucket:
            Rest(gateway, BUCKET).create_bucket()
            self._has_bucket = True
        return audit(gateway, self.traffic.ledger)

    def _cut(self, numbers: random.Random) -> None:
        keeps_part = numbers.random() < 0.5
        loss = self._disk.cut(numbers.randrange(2**32) if keeps_part else None)
        self.loss = Loss(self.loss.bytes + loss.bytes, self.loss.names + loss.names)
        self.cuts["with a part of it kept" if keeps_part else "with all of it gone"] += 1

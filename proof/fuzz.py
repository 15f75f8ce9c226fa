"""
Nothing that a client sends breaks what reads it.

Every byte of a client's goes through a few readers before it means anything: the connection, the path and the query,
the evidence of who sends it, the framing of a body, XML, policies, ranges and conditions, messages of protobuf.  Each
has a target (tests/fuzz) that says what holds of it whatever comes: it refuses with an error of S3's table that both
protocols can tell, or what it read is what another reading of the same bytes finds.  Here each is fuzzed for a while,
guided by the coverage of rs3gw, from the inputs that are kept; the claim is that nothing is found that breaks one.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import time

from proof.run import Run
from tests.fuzz import targets

QUICK_SECONDS, FULL_SECONDS = 1, 30
QUICK_TARGETS = 4
"""How many of the targets a quick run has time for; the seed chooses."""
START_SECONDS = 60
"""For everything but the fuzzing itself: a target is imported with every line instrumented."""

_EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_COVERED = re.compile(r"cov: (\d+) ft: (\d+)")


def prove(run: Run) -> None:
    if importlib.util.find_spec("atheris") is None:
        run.say("atheris is not installed (the group fuzz of pyproject.toml): the inputs that are kept are replayed")
        replayed = sum(_replayed(run, name) for name in targets.names())
        run.figure("inputs replayed", replayed, note="nothing was fuzzed: atheris is not installed")
        return
    seconds, names = run.pick(QUICK_SECONDS, FULL_SECONDS), targets.names()
    if run.is_quick:
        names = sorted(run.random("targets").sample(names, QUICK_TARGETS))
    executed = edges = features = 0
    for done, name in enumerate(names):
        run.progress(done, len(names), "targets")
        ran, covered, distinct = _fuzzed(run, name, seconds)
        executed, edges, features = executed + ran, edges + covered, features + distinct
        run.figure(f"{name}: executions", ran, note=f"{covered:,} edges of rs3gw, {distinct:,} features")
    run.figure("targets", len(names))
    run.figure("executions", executed, note=f"{seconds} s each")
    run.figure("edges covered", edges, note=f"{features:,} features")
    run.figure("crashes", 0)


def _replayed(run: Run, name: str) -> int:
    target, kept = targets.target_of(name), targets.inputs(name)
    for data in kept:
        try:
            target(data)
        except Exception as fault:
            run.must(False, f"{name}: {data!r} breaks it: {fault!r}")
    return len(kept)


def _fuzzed(run: Run, name: str, seconds: int) -> tuple[int, int, int]:
    """Executions, edges and features of one target.  Raises Disproved with what it printed, where it broke."""
    seed = run.random(name).randrange(1, 2**31)
    driver = [sys.executable, "-m", "tests.fuzz.drive", name, "--seconds", str(seconds), "--seed", str(seed)]
    began = time.monotonic()
    ended = subprocess.run(driver, capture_output=True, text=True, timeout=seconds + START_SECONDS, check=False)
    tail = "\n".join(ended.stderr.splitlines()[-20:])
    run.must(ended.returncode == 0, f"{name}: broken after {time.monotonic() - began:.0f} s:\n{tail}\n")
    executions, covered = _EXECUTED.search(ended.stderr), _COVERED.findall(ended.stderr)
    run.must(executions is not None and bool(covered), f"{name}: did not run:\n{tail}\n")
    assert executions is not None
    return int(executions[1]), int(covered[-1][0]), int(covered[-1][1])

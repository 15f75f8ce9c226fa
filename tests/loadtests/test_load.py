"""Loads: shapes and bounds by themselves, and every mix against a live gateway over both protocols."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadtests.shapes import SHAPES
from loadtests.thresholds import Threshold, judge, load

ROOT = Path(__file__).parents[2]
BOUNDS = ROOT / "loadtests" / "thresholds.toml"
MIXES = ("small-objects", "big-objects", "training-read", "backup-write", "listing")
QUICK_MIXES = ("small-objects", "backup-write", "listing")
"""Those of few bytes; with NIGHTLY set, all are run."""


@dataclass
class Entry:
    """As much of locust's entry as a bound asks for."""

    num_requests: int = 10
    fail_ratio: float = 0.0
    total_rps: float = 5.0
    milliseconds: int = 20

    def get_response_time_percentile(self, percent: float) -> int:
        return self.milliseconds if percent < 0.99 else 2 * self.milliseconds


def bound(kind: str, value: float) -> Threshold:
    return Threshold(protocol="REST", operation="GetObject", kind=kind, bound=value)


@pytest.mark.parametrize(
    ("kind", "kept", "missed"),
    [("p50_ms", 20, 19), ("p99_ms", 40, 39), ("failure_ratio", 0, -1), ("least_per_second", 5, 6)],
)
def test_a_bound_is_kept_up_to_itself(kind, kept, missed):
    entries = {("GetObject", "REST"): Entry()}
    verdicts = list(judge((bound(kind, kept), bound(kind, missed)), entries))

    assert [verdict.is_kept for verdict in verdicts] == [True, False]


def test_what_was_not_asked_has_shown_nothing():
    for entries in ({}, {("GetObject", "REST"): Entry(num_requests=0)}):
        (verdict,) = judge((bound("failure_ratio", 1),), entries)

        assert not verdict.is_kept


def test_a_bound_that_is_none_is_refused(tmp_path):
    path = tmp_path / "bounds.toml"
    path.write_text("[listing.REST]\nListObjectsV2 = { p98_ms = 1 }\n")

    with pytest.raises(ValueError, match=r"listing\.REST\.ListObjectsV2\.p98_ms"):
        load(path, "listing")


@pytest.mark.parametrize("mix", MIXES)
def test_every_mix_has_bounds_on_both_protocols(mix):
    assert {threshold.protocol for threshold in load(BOUNDS, mix)} == {"REST", "gRPC"}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_shape_stays_between_nobody_and_its_peak(shape):
    users = [shape(now / 10, 60.0, 50) for now in range(600)]

    assert min(users) >= 1
    assert max(users) == 50


def run(mix: str, *more: str, thresholds: Path = BOUNDS) -> subprocess.CompletedProcess[str]:
    """A short load of a gateway of its own."""
    command = [sys.executable, "-m", "loadtests.own", sys.executable, "-m", "locust"]
    command += ["-f", "loadtests/locustfile.py", "--headless", "--only-summary", "--shape", "soak", "--peak", "4"]
    # So much of each protocol, however long a busy machine takes for it.
    command += ["--seconds", "80", "--least", "10", "--thresholds", str(thresholds), *more]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | {"LOAD_MIX": mix}, capture_output=True, text=True, timeout=90, check=False
    )


@pytest.mark.parametrize("mix", MIXES if "NIGHTLY" in os.environ else QUICK_MIXES)
def test_a_mix_runs_over_both_protocols_without_a_failure(mix, tmp_path):
    """The bounds of speed are for a quiet machine; that nothing fails is for any."""
    wide = tmp_path / "wide.toml"
    kept = [threshold for threshold in load(BOUNDS, mix) if threshold.kind == "failure_ratio"]
    wide.write_text(
        "".join(f"[{mix}.{each.protocol}.{each.operation}]\nfailure_ratio = {each.bound}\n" for each in kept)
    )
    done = run(mix, thresholds=wide)

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count("kept") == len(kept)


def test_a_bound_that_is_missed_is_an_exit_code(tmp_path):
    strict = tmp_path / "strict.toml"
    strict.write_text("[small-objects.REST.GetObject]\np50_ms = 0\n")
    done = run("small-objects", thresholds=strict)

    assert done.returncode == 1
    assert "MISSED REST GetObject p50_ms" in done.stdout

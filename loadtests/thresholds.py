"""
What a load must stay within, and whether it did: a file of bounds against locust's statistics.

A bound is for an operation on a protocol, as locust names its entries.  What was not asked at all misses its bounds:
a run that did nothing has shown nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

KINDS = ("p50_ms", "p95_ms", "p99_ms", "failure_ratio", "least_per_second")


class Entry(Protocol):
    """An entry of locust's statistics."""

    num_requests: int

    @property
    def fail_ratio(self) -> float: ...

    @property
    def total_rps(self) -> float: ...

    def get_response_time_percentile(self, percent: float) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One bound: ``kind`` of an operation on a protocol is at most (of a rate: at least) ``bound``."""

    protocol: str
    operation: str
    kind: str
    bound: float

    def measure(self, entry: Entry) -> float:
        """The figure that the bound is for."""
        if self.kind == "failure_ratio":
            return entry.fail_ratio
        if self.kind == "least_per_second":
            return entry.total_rps
        return float(entry.get_response_time_percentile(int(self.kind[1:3]) / 100))

    def is_kept(self, figure: float) -> bool:
        return figure >= self.bound if self.kind == "least_per_second" else figure <= self.bound


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bound and the figure; None where there was nothing to measure."""

    threshold: Threshold
    figure: float | None

    @property
    def is_kept(self) -> bool:
        return self.figure is not None and self.threshold.is_kept(self.figure)

    def __str__(self) -> str:
        asked = self.threshold
        said = "not asked once" if self.figure is None else f"{self.figure:.4g}"
        word = "kept" if self.is_kept else "MISSED"
        return f"{word:6} {asked.protocol} {asked.operation} {asked.kind} {said} (bound {asked.bound:g})"


def load(path: Path, mix: str) -> tuple[Threshold, ...]:
    """
    The bounds of a mix: ``[small-objects.REST.GetObject]`` with ``p99_ms = 50`` and the like.

    Raises ValueError for a bound that is none.
    """
    said: Mapping[str, Any] = tomllib.loads(path.read_text()).get(mix, {})
    found = []
    for protocol, operations in said.items():
        for operation, bounds in operations.items():
            for kind, bound in bounds.items():
                if kind not in KINDS or not isinstance(bound, int | float):
                    raise ValueError(f"{path}: {mix}.{protocol}.{operation}.{kind}: the bounds are {', '.join(KINDS)}")
                found.append(Threshold(protocol=protocol, operation=operation, kind=kind, bound=bound))
    return tuple(found)


def judge(thresholds: tuple[Threshold, ...], entries: Mapping[tuple[str, str], Entry]) -> Iterator[Verdict]:
    """What became of each bound; ``entries`` are locust's, by (name, type)."""
    for threshold in thresholds:
        entry = entries.get((threshold.operation, threshold.protocol))
        if entry is None or not entry.num_requests:
            yield Verdict(threshold, None)
        else:
            yield Verdict(threshold, threshold.measure(entry))

"""
What a run has to say: one Result a scenario, one Outcome a cell, and how statuses add up.

Statuses are ordered, and whatever holds others has the worst of theirs.  A known failure is neither a pass nor a
failure; one that passes is *fixed* and fails the run until its line is deleted, so that a profile can only shrink
honestly.  An *error* is the suite's or the connection's, never a broken promise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any


class Status(IntEnum):
    """From the best news to the worst."""

    OFF = 0
    UNSUPPORTED = 1
    PASS = 2
    KNOWN = 3
    FIXED = 4
    FAIL = 5
    ERROR = 6

    def __str__(self) -> str:
        return self.name.lower()


MEANINGS = {
    Status.OFF: "The cell could not be started, or was not asked for.",
    Status.UNSUPPORTED: "It needs something that the target or the protocol does not offer.",
    Status.PASS: "The promise holds.",
    Status.KNOWN: "It does not hold; the profile says why, and since when that is known.",
    Status.FIXED: "It was known not to hold and holds: the profile's line must go.",
    Status.FAIL: "It does not hold.",
    Status.ERROR: "The suite itself, or the connection, broke.",
}

BAD = (Status.FIXED, Status.FAIL, Status.ERROR)


def worst(statuses: Iterable[Status]) -> Status:
    """The status of what holds these; OFF where it holds nothing."""
    return max(statuses, default=Status.OFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one scenario, or one wire row, in one cell."""

    feature: str
    rule: str
    name: str
    where: str
    """file:line of the scenario; of the step that failed, where one did."""
    status: Status
    reason: str = ""
    tags: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def full_name(self) -> str:
        """``Feature › Rule › Scenario``: what a profile's patterns are matched with."""
        return " › ".join(part for part in (self.feature, self.rule, self.name) if part)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of one cell."""

    driver: str
    target: str
    results: list[Result] = field(default_factory=list)
    reason: str = ""
    """Why the cell is off."""
    version: str = ""
    seconds: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.driver} × {self.target}"

    @property
    def status(self) -> Status:
        return worst(result.status for result in self.results)

    def count(self, status: Status) -> int:
        """How many results have this status."""
        return sum(1 for result in self.results if result.status is status)


@dataclass(slots=True, kw_only=True)
class Run:
    """Everything that one start of the suite found out."""

    product: str
    profile: str
    date: str
    outcomes: list[Outcome] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    """Patterns of the profile that no scenario has: the promise was reworded, or never made."""

    @property
    def status(self) -> Status:
        return worst(outcome.status for outcome in self.outcomes)

    def failed(self, promised: Iterable[str] = ()) -> bool:
        """
        Whether the run must not pass: a failure, an error, a fixed line, a stale one, or a promised target that is off.

        A run without a single pass has shown nothing, and fails too.
        """
        off = any(outcome.target in promised for outcome in self.outcomes if outcome.status is Status.OFF)
        shown = any(outcome.count(Status.PASS) for outcome in self.outcomes)
        return off or not shown or bool(self.stale) or self.status in BAD

    def as_dict(self) -> dict[str, Any]:
        """For results.json."""
        plain = asdict(self)
        for outcome, said in zip(self.outcomes, plain["outcomes"], strict=True):
            said["status"] = str(outcome.status)
            for result, row in zip(outcome.results, said["results"], strict=True):
                row["status"] = str(result.status)
        return {"status": str(self.status), **plain}

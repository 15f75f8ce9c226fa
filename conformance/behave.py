"""
Running the features in one cell: behave, in this interpreter, silent, with our hooks and our verdicts.

behave reads Gherkin and matches steps; what a scenario comes to is decided here.  A need that is not met, or a step
that says Unsupported, makes a scenario *unsupported*; an assertion that does not hold, a failure; anything else that
is raised is an error of the suite.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from behave.configuration import Configuration
from behave.runner import Runner

from conformance import capabilities
from conformance.drivers import Driver, Unsupported
from conformance.profiles import EMPTY, Profile
from conformance.results import Result, Status
from conformance.world import World

ROOT = Path(__file__).parents[1]
FEATURES = ROOT / "features"

NEEDS = "needs."
SKIPPED_TAG = "wip"

__all__ = ["after_scenario", "before_all", "before_scenario"]


@dataclass(slots=True, kw_only=True)
class Cell:
    """A driver onto a place, as the features are put to it."""

    driver: Driver
    other: Driver | None = None
    region: str = "us-east-1"
    profile: Profile = EMPTY
    results: list[Result] = field(default_factory=list)
    started: float = 0.0

    def lacking(self, tags: Iterable[str]) -> str | None:
        """Why a scenario with these tags is unsupported here; None where it is not."""
        needs = [tag.removeprefix(NEEDS) for tag in tags if tag.startswith(NEEDS)]
        capabilities.check(set(needs), "a tag")
        for need in needs:
            if need in self.profile.lacks:
                return self.profile.lacks[need]
            if not self.driver.supports(need):
                return f"{self.driver.name} onto this target: no {need}"
        return None


def run(
    cell: Cell,
    *,
    names: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
    shows: bool = False,
    folder: Path = FEATURES,
) -> list[Result]:
    """
    Put every feature to a cell; one Result a scenario that is selected, in the order of the files.

    ``names`` are regular expressions, ``tags`` tag expressions, as behave has them.
    """
    arguments = ["--no-summary", "--no-capture", "--no-capture-stderr", "--no-capture-log", "--no-skipped"]
    arguments += ["--format", "pretty" if shows else "null"]
    arguments += [argument for name in names for argument in ("--name", name)]
    arguments += [argument for tag in (*tags, f"not @{SKIPPED_TAG}") for argument in ("--tags", tag)]
    configuration = Configuration([*arguments, str(folder)], load_config=False)
    configuration.reporters = []
    configuration.userdata["cell"] = cell
    Runner(configuration).run()
    return cell.results


# Hooks -------------------------------------------------------------------------------------------------------


def before_all(context: Any) -> None:
    """Find the cell; ``behave`` started by hand gets one in process (``-D driver=grpc`` for the other protocol)."""
    for chatty in ("botocore", "httpcore", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if "cell" not in context.config.userdata:
        from conformance.plan import by_hand

        cell, stop = by_hand(context.config.userdata.get("driver", "rest"))
        context.config.userdata["cell"] = cell
        context.add_cleanup(stop)
    context.cell = context.config.userdata["cell"]


def before_scenario(context: Any, scenario: Any) -> None:
    """Give a scenario its world, or tell why it has no place here."""
    cell: Cell = context.cell
    cell.started = time.perf_counter()
    context.world = World(cell.driver, cell.other, region=cell.region)
    lacking = cell.lacking(scenario.effective_tags)
    if lacking:
        cell.results.append(_result(cell, scenario, Status.UNSUPPORTED, lacking))
        scenario.skip(lacking)


def after_scenario(context: Any, scenario: Any) -> None:
    """Sweep, and record what it came to."""
    cell: Cell = context.cell
    world: World = context.world
    if cell.results and scenario.should_skip and cell.results[-1].where == _where(scenario):
        return
    status, reason, where = _verdict(scenario)
    result = _result(cell, scenario, status, reason, where)
    world.clean()
    cell.results.append(cell.profile.judge(cell.driver.name, result))


def _verdict(scenario: Any) -> tuple[Status, str, str]:
    for step in scenario.all_steps:
        where = f"{step.filename}:{step.line}"
        said = f"{step.keyword} {step.name}"
        if step.status.name in ("undefined", "pending"):
            return Status.ERROR, f"{said}: no such step", where
        if step.status.name in ("failed", "error"):
            fault = step.exception
            if isinstance(fault, Unsupported):
                return Status.UNSUPPORTED, str(fault), where
            status = Status.FAIL if isinstance(fault, AssertionError) else Status.ERROR
            kind = "" if status is Status.FAIL else f"{type(fault).__name__}: "
            return status, f"{said}: {kind}{fault}", where
    if scenario.hook_failed:
        return Status.ERROR, str(getattr(scenario, "error_message", "") or "a hook failed"), _where(scenario)
    return Status.PASS, "", _where(scenario)


def _result(cell: Cell, scenario: Any, status: Status, reason: str, where: str | None = None) -> Result:
    parents = list(_parents(scenario))
    return Result(
        feature=parents[-1].name,
        rule=next((parent.name for parent in parents if parent.type == "rule"), ""),
        name=scenario.name.strip().removesuffix("--").strip(),
        where=where or _where(scenario),
        status=status,
        reason=reason,
        tags=tuple(str(tag) for tag in scenario.effective_tags),
        seconds=round(time.perf_counter() - cell.started, 4),
    )


def _parents(scenario: Any) -> Iterator[Any]:
    node = scenario.feature if scenario.parent is None else scenario.parent
    while node is not None:
        yield node
        node = getattr(node, "parent", None)


def _where(scenario: Any) -> str:
    path = Path(scenario.filename)
    if path.is_absolute() and path.is_relative_to(ROOT):
        path = path.relative_to(ROOT)
    return f"{path}:{scenario.line}"

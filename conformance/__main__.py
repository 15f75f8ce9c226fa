"""
python -m conformance: play the cells that are asked for, say what came of them, write the report.

The exit code is 0 where every promise held or is known not to, 1 where one did not, 2 where the question was wrong.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from conformance import plan, profiles, report
from conformance.capabilities import CAPABILITIES
from conformance.results import BAD, Outcome, Run, Status

SHOWN = 60
"""How many failures of a cell are printed; a server that is down has as many as there are promises."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite; the exit code."""
    asked = parser().parse_args(arguments)
    if asked.capabilities:
        width = max(map(len, CAPABILITIES))
        print("\n".join(f"{name:{width}}  {meaning}" for name, meaning in CAPABILITIES.items()))
        return 0
    for chatty in ("behave", "grpc", "grpc_testing", "urllib3"):
        # They log what is done on purpose: a scenario that is left out, a call that is broken off, many at once.
        logging.getLogger(chatty).addHandler(logging.NullHandler())
        logging.getLogger(chatty).propagate = False
    try:
        profile = profiles.load(asked.profile)
        choice = plan.Choice(
            drivers=_known(asked.driver, plan.DRIVERS),
            targets=_known(asked.target, plan.TARGETS),
            names=tuple(asked.name),
            tags=tuple(asked.tags),
            profile=profile,
            endpoint=asked.endpoint,
            grpc=asked.grpc,
            image=asked.image,
            version=asked.version,
            shows=asked.show,
        )
    except ValueError as fault:
        print(f"conformance: {fault}", file=sys.stderr)
        return 2
    run = Run(product=profile.product, profile=profile.name, date=datetime.now(UTC).date().isoformat())
    for outcome in plan.play(choice):
        run.outcomes.append(outcome)
        say(outcome)
    if choice.is_whole and any(outcome.results for outcome in run.outcomes):
        run.stale = profile.stale((o.driver, result) for o in run.outcomes for result in o.results)
    for pattern in run.stale:
        print(f"  stale     {pattern!r} in the profile is nobody's name: the promise was reworded or never made")
    if asked.report:
        for path in report.write(run, Path(asked.report)):
            print(f"  report    {path}")
    return 1 if run.failed(_known(asked.promise, plan.TARGETS) if asked.promise else ()) else 0


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    made = argparse.ArgumentParser(prog="python -m conformance", description=(__doc__ or "").strip().partition("\n")[0])
    add = made.add_argument
    add("--driver", default="rest,grpc", help=f"of {', '.join(plan.DRIVERS)}; default rest,grpc")
    add("--target", default="inprocess", help=f"of {', '.join(plan.TARGETS)}; default inprocess")
    add("--name", action="append", default=[], help="only scenarios and rows whose name matches; may be repeated")
    add("--tags", action="append", default=[], help="only scenarios with these tags, as behave has them ('not @slow')")
    add("--profile", default="rs3gw", help="a file of conformance/profiles, or the path of another")
    add("--report", default="", help="a directory for results.json, matrix.md, junit.xml and index.html")
    add("--promise", default="", help="targets that must not be off")
    add("--endpoint", default="", help="the URL of the target endpoint; its keys are AWS_ACCESS_KEY_ID and its secret")
    add("--grpc", default="", help="host:port where that endpoint speaks gRPC")
    add("--image", default="", help="the image of the target container")
    add("--version", default="", help="what the report calls the endpoint's version")
    add("--show", action="store_true", help="print every step as it is played")
    add("--capabilities", action="store_true", help="print what a profile can turn off")
    return made


def _known(text: str, names: Sequence[str]) -> tuple[str, ...]:
    asked = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in asked if name not in names]
    if unknown or not asked:
        raise ValueError(f"{', '.join(unknown) or 'nothing'}: choose of {', '.join(names)}")
    return asked


def say(outcome: Outcome) -> None:
    """One line for a cell, and one for everything in it that is not well."""
    if outcome.status is Status.OFF and not outcome.results:
        print(f"{outcome.name:20} off: {outcome.reason or 'nothing was selected'}", flush=True)
        return
    counts = ", ".join(f"{outcome.count(status)} {status}" for status in reversed(Status) if outcome.count(status))
    print(f"{outcome.name:20} {counts}  ({outcome.seconds:.1f} s)", flush=True)
    bad = [result for result in outcome.results if result.status in BAD]
    for result in bad[:SHOWN]:
        print(f"  {result.status!s:9} {result.where}  {result.full_name}\n            {result.reason}", flush=True)
    if len(bad) > SHOWN:
        print(f"  … and {len(bad) - SHOWN} more; --report has them all", flush=True)


if __name__ == "__main__":
    sys.exit(main())

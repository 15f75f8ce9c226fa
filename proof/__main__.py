"""``python -m proof``: run the proofs and write their figures."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import time
import traceback
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

import proof
from proof.page import commit, write_page
from proof.run import Disproved, Run, Scale

PLUMBING = {
    "__main__",
    "run",
    "page",
    "gateway",
    "linearizable",
    "clients",
    "ledger",
    "traffic",
    "volatile",
    "fuse",
    "simulated",
    "programs",
    "abuse",
}
"""Modules of the package that prove nothing themselves."""


def names() -> list[str]:
    """The proofs that there are: every module with a ``prove``."""
    found = [module.name for module in pkgutil.iter_modules(proof.__path__) if module.name not in PLUMBING]
    return sorted(name for name in found if hasattr(importlib.import_module(f"proof.{name}"), "prove"))


@click.command()
@click.argument("which", nargs=-1)
@click.option("--scale", type=click.Choice(["quick", "full"]), default="full", show_default=True)
@click.option("--seed", type=int, help="Decides everything random; by default the time of day.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/proof"), show_default=True)
@click.option("--page", type=click.Path(path_type=Path), help="Write the page of figures here as well.")
def main(which: tuple[str, ...], scale: Scale, seed: int | None, out: Path, page: Path | None) -> None:
    """Run the proofs named (all by default); exit 1 where a claim does not hold."""
    known = names()
    if unknown := sorted(set(which) - set(known)):
        raise click.UsageError(f"no proof is called {', '.join(unknown)}; there are {', '.join(known)}")
    seed = int(time.time()) if seed is None else seed
    out.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in which or known:
        run = Run(name=name, scale=scale, seed=seed)
        began = time.monotonic()
        run.say(f"begins, seed {seed}, {scale}")
        outcome = "held"
        try:
            importlib.import_module(f"proof.{name}").prove(run)
        except Disproved as fault:
            outcome = str(fault)
        except Exception:
            traceback.print_exc()
            outcome = f"broke off (seed {seed})"
        if outcome != "held":
            failed.append(name)
        seconds = round(time.monotonic() - began, 1)
        run.say(f"{outcome}, {seconds} s")
        said = {"name": name, "outcome": outcome, "scale": scale, "seed": seed, "seconds": seconds}
        said |= {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit()}
        said["figures"] = [asdict(figure) for figure in run.figures]
        (out / f"{name}.json").write_text(json.dumps(said, indent=2) + "\n")
    if page is not None:
        write_page(out, page)
    if failed:
        sys.exit(f"not held: {', '.join(failed)}")


if __name__ == "__main__":
    main()

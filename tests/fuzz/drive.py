"""
``python -m tests.fuzz.drive NAME --seconds N``: a target under atheris, guided by the coverage of rs3gw.

It begins with the corpus of the target and with what earlier runs left under out/fuzz; ``--keep`` merges into the
corpus, which is reviewed and committed, whatever reaches something new.  What breaks a target is left as
out/fuzz/NAME/crash-…, and ends the run with a status that is not 0; ``--show FILE`` runs one input alone.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click

from tests.fuzz import targets

OUT = Path("out/fuzz")
INPUT_SECONDS = 10
"""For one input of at most MAX_BYTES; how time grows with size is looked at by test_corpus.py."""
MAX_BYTES = 4096
KEPT_BYTES = 1024
"""What is kept is read by people, and run with every test."""


@click.command()
@click.argument("name", type=click.Choice(targets.names()))
@click.option("--seconds", type=int, default=60, show_default=True)
@click.option("--seed", type=int, default=0, help="Decides the mutations; 0 is the time of day.")
@click.option("--keep", is_flag=True, help="Merge what was found into the corpus.")
@click.option("--show", type=click.Path(exists=True, path_type=Path), help="Run this input alone.")
def main(name: str, seconds: int, seed: int, keep: bool, show: Path | None) -> None:
    """Fuzz one target."""
    if show is not None:
        targets.target_of(name)(show.read_bytes())
        return
    found = OUT / name / "found"
    found.mkdir(parents=True, exist_ok=True)
    targets.place(name).mkdir(parents=True, exist_ok=True)
    common = [f"-artifact_prefix={OUT / name}/", f"-timeout={INPUT_SECONDS}", "-rss_limit_mb=4096"]
    run = [f"-max_total_time={seconds}", f"-max_len={MAX_BYTES}", f"-seed={seed}", "-print_final_stats=1"]
    status = _apart(name, [*common, *run, str(found), str(targets.place(name))])
    if keep and status == 0:
        merge = ["-set_cover_merge=1", "-use_counters=0", f"-max_len={KEPT_BYTES}"]
        status = _apart(name, [*common, *merge, str(targets.place(name)), str(found)])
    sys.exit(status)


def _apart(name: str, options: list[str]) -> int:
    # libFuzzer ends the process that it runs in.
    return subprocess.run([sys.executable, "-m", __spec__.name, "--inside", name, *options], check=False).returncode


def _inside(name: str, options: list[str]) -> None:
    import atheris

    # What a text begins or ends with is guessed at as well.
    atheris.enabled_hooks.add("str")
    # What is imported already is not instrumented: no target is, before this.
    with atheris.instrument_imports(include=["rs3gw", "email"]):
        target: Callable[[bytes], None] = importlib.import_module(f"tests.fuzz.fuzz_{name}").target
    atheris.Setup([str(_itself(name)), *options], target)
    atheris.Fuzz()


def _itself(name: str) -> Path:
    """What libFuzzer runs to run itself again, as it does to merge: it knows programs, not modules."""
    program = (OUT / name / "again").absolute()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {__spec__.name} --inside {name} "$@"\n')
    program.chmod(0o755)
    return program


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        _inside(sys.argv[2], sys.argv[3:])
    else:
        main()

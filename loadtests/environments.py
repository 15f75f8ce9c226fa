"""
Virtual environments beside .venv, for what will not share one: made where they are missing or older than their lock.

Packages come from requirements/, with their hashes, by uv: an environment of half a gigabyte is there in seconds.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UV = Path(sys.executable).with_name("uv")


def data() -> Path:
    """The Python of .state/data: dask, xarray, datasets, s3fs, and rs3gw-client as it stands in the tree."""
    home, lock = ROOT / ".state" / "data", ROOT / "requirements" / "data.txt"
    python, stamp = home / "bin" / "python", home / ".installed"
    if stamp.exists() and stamp.stat().st_mtime >= lock.stat().st_mtime:
        return python
    print("installing requirements/data.txt into .state/data", file=sys.stderr, flush=True)
    _run("venv", "--quiet", "--clear", "--python", sys.executable, home)
    _run("pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", lock)
    client = ROOT / "clients" / "python"
    _run("pip", "install", "--quiet", "--python", python, "--no-deps", "--no-build-isolation", "--editable", client)
    stamp.touch()
    return python


def _run(*words: str | Path) -> None:
    subprocess.run([UV, *words], check=True)

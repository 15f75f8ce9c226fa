"""
What figures were measured on, and what else went on there meanwhile.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rs3gw import __version__

ROOT: Final = Path(__file__).parents[1]


def machine() -> str:
    """The cores and the software below."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}"


def commit() -> str:
    """The commit that was measured, or "no commit" outside of a clone; it says so where the source was changed."""
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=10", "--exclude=*"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    if found.returncode:
        return "no commit"
    changed = subprocess.run(["git", "-C", str(ROOT), "diff", "--quiet", "HEAD", "--", "rs3gw"], check=False)
    return found.stdout.strip() + (" with changes" if changed.returncode else "")


def processes(count: int) -> str:
    """So many, in words."""
    return f"{count} {'process' if count == 1 else 'processes'}"


class Watch:
    """Sees, from its making on, how busy the machine is with what is not ours."""

    def __init__(self) -> None:
        self._commit = commit()
        self._load = os.getloadavg()[0]
        self._began = time.monotonic()
        self._busy = _busy_seconds()
        self._own = _own_seconds()

    def others(self) -> float:
        """The share of all cores that others have had; processes of ours count as ours once they have ended."""
        whole = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        return max(0.0, _busy_seconds() - self._busy - (_own_seconds() - self._own)) / whole

    def head(self, durability: str, workers: int) -> str:
        """What stands above every page."""
        return (
            f"rs3gw {__version__} at {self._commit}, durability **{durability}**, "
            f"{processes(workers)}, on {datetime.now(UTC):%Y-%m-%d}.\n"
            f"{machine()}; clients on the same machine, over loopback.\n"
            f"Load average {self._load:.1f} at the beginning and {os.getloadavg()[0]:.1f} at the end; "
            f"others had {self.others():.0%} of the cores meanwhile."
        )


def _busy_seconds() -> float:
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)

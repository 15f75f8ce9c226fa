"""
What a suite is given: how durable, how long, over how many processes, and where to make its roots.

``pick`` is the only way to be short: a quick run takes every path of a long one, with less of everything.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from loadtests import gateway

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    durability: str = "strict"
    workers: int = 1
    is_quick: bool = False

    def pick(self, quick: Value, full: Value) -> Value:
        return quick if self.is_quick else full

    def say(self, text: str) -> None:
        """Progress, on standard error."""
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def directory(self) -> Iterator[Path]:
        """A place for roots, gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="rs3gw-bench-") as place:
            yield Path(place)

    @contextmanager
    def gateway(self, root: Path, *, durability: str | None = None, **settings: str) -> Iterator[gateway.Running]:
        """A gateway over the root, with settings (RS3GW_…) besides."""
        settings = {"RS3GW_WORKERS": str(self.workers), **settings}
        with gateway.running(root, durability=durability or self.durability, settings=settings) as running:
            yield running

"""
One run of one proof: what it was asked to do, what it found, and how far it is.

A proof is a module of this package with one function, ``prove(run)``.  It says what it does as it goes, leaves
figures behind, and fails with a sentence that names the seed: running it again with that seed shows the same.
Nothing here decides what is proven.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

Scale = Literal["quick", "full"]
"""How much of it: ``quick`` takes seconds and is part of the tests, ``full`` takes minutes and writes the figures."""

PROGRESS_SECONDS: Final = 2.0
"""Between two lines of progress, where the output is no terminal."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value, as the page shows it."""

    name: str
    value: float | int | str
    unit: str = ""
    note: str = ""


class Disproved(Exception):
    """A claim does not hold; the sentence says which, and with what seed it is seen again."""


@dataclass(slots=True)
class Run:
    """What a proof is given, and where it leaves what it found."""

    name: str
    scale: Scale
    seed: int
    figures: list[Figure] = field(default_factory=list)
    _spoke: float = 0.0

    @property
    def is_quick(self) -> bool:
        return self.scale == "quick"

    def pick(self, quick: int, full: int) -> int:
        """The size of something at this run's scale."""
        return quick if self.is_quick else full

    def random(self, *salt: object) -> random.Random:
        """A source of numbers that the seed (and the salt) decides."""
        return random.Random(f"{self.seed}/{'/'.join(map(str, salt))}")

    def say(self, sentence: str) -> None:
        """A line that stays."""
        print(f"{self.name}: {sentence}", file=sys.stderr, flush=True)

    def progress(self, done: int, of: int, what: str) -> None:
        """How far it is; shown every few seconds."""
        now = time.monotonic()
        if done >= of or now - self._spoke >= PROGRESS_SECONDS:
            self._spoke = now
            print(f"{self.name}: {done:,} of {of:,} {what}", file=sys.stderr, flush=True)

    def figure(self, name: str, value: float | int | str, unit: str = "", note: str = "") -> None:
        """Leave a figure for the page."""
        self.figures.append(Figure(name, value, unit, note))
        shown = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}" if isinstance(value, float) else value
        print(f"{self.name}: {name}: {shown} {unit}".rstrip(), file=sys.stderr, flush=True)

    def must(self, holds: bool, sentence: str) -> None:
        """Raises Disproved, with the seed, where the claim does not hold."""
        if not holds:
            raise Disproved(f"{sentence} (seed {self.seed})")

    @contextmanager
    def directory(self) -> Iterator[Path]:
        """A place for a storage root, removed afterwards."""
        with TemporaryDirectory(prefix=f"rs3gw-{self.name}-") as place:
            yield Path(place)

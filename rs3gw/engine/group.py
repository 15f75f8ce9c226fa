"""
The processes that serve one root together, and what each must know of the others.

What is stored they learn from the index, which all of them read and write.  Three things are not written there:
which files a sibling is still writing (a blob's name carries the session of its writer, and a sweep passes by those
of the living), since when a sibling has been reading (a blob that was freed stays until every reading that may
have seen it named has ended), and whose turn it is to write.

The first two stand in memory that the processes share, two numbers a process, each written by its owner alone; the
supervisor clears those of a process that has died.  The turn is a lock of the kernel's, which death gives back.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

SESSION_BYTES = 4
"""Enough that a sweep hardly ever takes a file that a crash left for one of a living process."""

_NOBODY, _NEVER = 0, 0


class Group(Protocol):
    """What the engine asks of the processes beside its own."""

    def sessions(self) -> set[str]:
        """The sessions of the living processes, the own one not among them."""

    def glance(self) -> None:
        """What is read from the index until the loop's next turn may be read from the disk afterwards."""

    def begin_reading(self) -> int:
        """From here on, blobs that are named now stay.  The number is for ``end_reading``."""

    def end_reading(self, reading: int) -> None: ...

    def is_past(self, moment: int) -> bool:
        """Whether every reading in any process began after this moment (``time.monotonic_ns``)."""

    def turn(self) -> AbstractContextManager[None]:
        """The right to write the index, one process at a time."""

    def close(self) -> None: ...


class Alone:
    """One process has the root to itself: there is nobody to ask."""

    def sessions(self) -> set[str]:
        return set()

    def glance(self) -> None: ...

    def begin_reading(self) -> int:
        return 0

    def end_reading(self, reading: int) -> None: ...

    def is_past(self, moment: int) -> bool:
        return True

    def turn(self) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None: ...


class Board:
    """The memory that the processes share; made by the supervisor before it forks."""

    def __init__(self, members: int) -> None:
        self._cells = memoryview(mmap.mmap(-1, 16 * members)).cast("q")

    def enter(self, place: int, session: str) -> None:
        """A process begins to live at its place."""
        self._cells[2 * place + 1] = _NEVER
        self._cells[2 * place] = int(session, 16)

    def is_entered(self, place: int) -> bool:
        """Whether a process lives at this place, or has died there without leaving it."""
        return bool(self._cells[2 * place] != _NOBODY)

    def clear(self, place: int) -> None:
        """The process at this place has died: it writes and reads nothing any more."""
        self._cells[2 * place] = _NOBODY
        self._cells[2 * place + 1] = _NEVER

    def sessions(self) -> set[str]:
        """Those of the living."""
        return {f"{session:0{2 * SESSION_BYTES}x}" for session in self._cells[::2].tolist() if session != _NOBODY}

    def reads_since(self, place: int, moment: int | None) -> None:
        """The oldest reading of the process at this place began then; None: it reads nothing."""
        self._cells[2 * place + 1] = _NEVER if moment is None else moment

    def oldest(self) -> int | None:
        """When the oldest reading of all began; None where nobody reads."""
        return min((moment for moment in self._cells[1::2].tolist() if moment != _NEVER), default=None)


class Member:
    """This process at its place of a board, made after the fork, used on its loop (but ``sessions``, ``turn``)."""

    def __init__(self, board: Board, place: int, session: str, root: Path) -> None:
        self._board, self._place, self._session = board, place, session
        # In the order in which they began, so that the first one is the oldest.
        self._readings: dict[int, int] = {}
        self._numbers = itertools.count(1)
        self._glanced: int | None = None
        self._writer = os.open(root / "writer", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        board.enter(place, session)

    def sessions(self) -> set[str]:
        return self._board.sessions() - {self._session}

    def glance(self) -> None:
        if self._glanced is None:
            self._glanced = time.monotonic_ns()
            if not self._readings:
                self._board.reads_since(self._place, self._glanced)
            asyncio.get_running_loop().call_soon(self._look_away)

    def _look_away(self) -> None:
        self._glanced = None
        self._say()

    def begin_reading(self) -> int:
        number = next(self._numbers)
        self._readings[number] = time.monotonic_ns() if self._glanced is None else self._glanced
        self._say()
        return number

    def end_reading(self, reading: int) -> None:
        del self._readings[reading]
        self._say()

    def _say(self) -> None:
        self._board.reads_since(self._place, next(iter(self._readings.values()), self._glanced))

    def is_past(self, moment: int) -> bool:
        oldest = self._board.oldest()
        return oldest is None or oldest > moment

    @contextmanager
    def turn(self) -> Iterator[None]:
        fcntl.flock(self._writer, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._writer, fcntl.LOCK_UN)

    def close(self) -> None:
        self._board.clear(self._place)
        os.close(self._writer)

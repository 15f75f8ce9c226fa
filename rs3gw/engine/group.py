"""
The processes that serve one root together, and what each must know of the others.

What is stored they learn from the index, which all of them read and write.  Four things are not written there:
which files a sibling is still writing (a blob's name carries the session of its writer, and a sweep passes by those
of the living), since when a sibling has been reading (a blob that was freed stays until every reading that may
have seen it named has ended), whether what is remembered of buckets is still so, and whose turn it is to write.

The first three stand in memory that the processes share, three numbers a process, each written by its owner alone; the
supervisor clears those of a process that has died.  The turn is a lock of the kernel's, which death gives back.

What is remembered of buckets is as good as read now: who changes one says so before the commit and after it, and in
between everybody reads the index.  So nobody answers what was before a change once anybody has answered what is after.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import mmap
import os
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

SESSION_BYTES = 4
"""Enough that a sweep hardly ever takes a file that a crash left for one of a living process."""

_NOBODY, _NEVER = 0, 0

_CELL_BYTES = 8


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

    def changing(self) -> None:
        """A bucket is about to be changed; said again, it is the same change."""

    def changed(self) -> None:
        """Whatever was about to be changed has been, or has not, for everybody who reads."""

    def mark(self) -> int | None:
        """As long as this is the same, no bucket has been changed; None while one may be changing."""

    def turn(self) -> AbstractContextManager[None]:
        """The right to write the index, one process at a time."""

    def close(self) -> None: ...


class Alone:
    """One process has the root to itself: there is nobody to ask."""

    def __init__(self) -> None:
        self._changes = 0
        """Odd while a bucket changes."""

    def changing(self) -> None:
        self._changes |= 1

    def changed(self) -> None:
        self._changes += self._changes & 1

    def mark(self) -> int | None:
        changes = self._changes
        return None if changes & 1 else changes

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
        cells = memoryview(mmap.mmap(-1, 3 * _CELL_BYTES * members)).cast("q")
        self._sessions, self._readings = cells[:members], cells[members : 2 * members]
        self._changes = cells[2 * members :]
        """How often each process has begun to change a bucket, or has ended: odd while it does."""
        self._odd = int.from_bytes(memoryview(array("q", [1] * members)), sys.byteorder)

    def enter(self, place: int, session: str) -> None:
        """A process begins to live at its place."""
        self._readings[place] = _NEVER
        self._sessions[place] = int(session, 16)

    def is_entered(self, place: int) -> bool:
        """Whether a process lives at this place, or has died there without leaving it."""
        return bool(self._sessions[place] != _NOBODY)

    def clear(self, place: int) -> None:
        """The process at this place has died: it writes and reads nothing any more."""
        self._sessions[place] = _NOBODY
        self._readings[place] = _NEVER
        self.changed(place)

    def sessions(self) -> set[str]:
        """Those of the living."""
        return {f"{session:0{2 * SESSION_BYTES}x}" for session in self._sessions.tolist() if session != _NOBODY}

    def reads_since(self, place: int, moment: int | None) -> None:
        """The oldest reading of the process at this place began then; None: it reads nothing."""
        self._readings[place] = _NEVER if moment is None else moment

    def oldest(self) -> int | None:
        """When the oldest reading of all began; None where nobody reads."""
        return min((moment for moment in self._readings.tolist() if moment != _NEVER), default=None)

    def changing(self, place: int) -> None:
        """The process at this place is about to change a bucket."""
        self._changes[place] |= 1

    def changed(self, place: int) -> None:
        """It has done so, or will not."""
        self._changes[place] += self._changes[place] & 1

    def mark(self) -> int | None:
        """All changes so far, or None while one is under way."""
        changes = int.from_bytes(self._changes, sys.byteorder)
        return None if changes & self._odd else changes


class Member:
    """
    This process at its place of a board, made after the fork, used on its loop.

    ``sessions`` is for any thread, and ``turn``, ``changing`` and ``changed`` are the committer's.
    """

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

    def changing(self) -> None:
        self._board.changing(self._place)

    def changed(self) -> None:
        self._board.changed(self._place)

    def mark(self) -> int | None:
        return self._board.mark()

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

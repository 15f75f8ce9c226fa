"""
Many writers, one fsync: the committer.

Mutations are queued and applied by one thread, as many as are waiting in one transaction; then one COMMIT makes all
of them durable and all of their writers are woken together.  Those of one kind can be made in one go (``join``): a
statement lets go of the interpreter and has to wait for it again, which beside a busy loop takes longer than SQLite
does, so what counts is how many statements there are.  A mutation that refuses (a condition does not hold)
undoes itself alone, and nobody hears of success before the disk has it.

A COMMIT that fails fails everybody in it, and tells them so with DiskFull or DiskFault: what reached the disk is
then unknown until the next start, so nobody may remove the content that those mutations named.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import apsw

from rs3gw.engine.index import give_back
from rs3gw.engine.ports import DiskFault, DiskFull, EngineError
from rs3gw.stepping import Pause, go_on

log = logging.getLogger("rs3gw.engine")

MAX_BATCH = 512
"""The most mutations in one transaction: beyond this, waiting longer saves less than it costs."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Mutation = Callable[[apsw.Connection], Result]

Joint = Callable[[apsw.Connection, Sequence[Item]], Sequence[Result | EngineError]]
"""Many mutations of one kind, made in one go: a result for each, or why it was refused and has changed nothing."""

Ended = Callable[[Any, BaseException | None], None]
"""(result, fault) of a mutation, told on its loop even where its caller has gone away."""

Seen = Callable[[int, float], None]
"""(mutations, seconds) of a transaction that has ended, told by the committer's thread."""


@dataclass(slots=True)
class _Waiting:
    joint: Joint[Any, Any]
    item: Any
    pause: Pause[Any]
    ended: Ended | None
    result: Any = None
    fault: BaseException | None = None


class Committer:
    """One thread, one connection, one transaction at a time; each in its ``turn`` among the processes."""

    def __init__(
        self,
        connect: Callable[[], apsw.Connection],
        committed: Callable[[], None],
        turn: Callable[[], AbstractContextManager[None]] = nullcontext,
        seen: Seen = lambda mutations, seconds: None,
    ) -> None:
        self._turn = turn
        self._seen = seen
        self._connect = connect
        self._committed = committed
        # In C, because a writer that wakes a thread from Python waits for it: None is the end.
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        # What came in this turn of a loop.  The thread that is woken for the first of them would take it alone.
        self._gathered: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="rs3gw-committer", daemon=True)
        self._thread.start()

    def submit(self, mutation: Mutation[Result], ended: Ended | None = None) -> Pause[Result]:
        """
        Queue a mutation; the pause ends when it is durable, or has failed and changed nothing.

        Who cancels the pause does not take back what is queued: ``ended`` hears of the outcome all the same.
        """
        return self.join(_alone, mutation, ended)

    def join(self, joint: Joint[Item, Result], item: Item, ended: Ended | None = None) -> Pause[Result]:
        """As ``submit``, for a mutation that is made together with those of its kind that wait beside it."""
        pause: Pause[Result] = Pause()
        if self._closing:
            raise DiskFault("the engine is closed")
        loop = pause.loop
        gathered = self._gathered.get(loop)
        if gathered is None:
            gathered = self._gathered[loop] = []
            loop.call_soon(self._hand_over, loop)
        gathered.append(_Waiting(joint, item, pause, ended))
        return pause

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        for waiting in self._gathered.pop(loop, ()):
            self._queue.put(waiting)

    def close(self) -> None:
        """Commit what is queued and end the thread."""
        self._closing = True
        for loop in tuple(self._gathered):
            self._hand_over(loop)
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection: apsw.Connection | None = None
        try:
            while (first := self._next()) is not None:
                try:
                    # Asked for again as long as it is refused: a disk that was full may have room by now.
                    connection = connection or self._connect()
                except apsw.Error as fault:
                    batch = self._take(first)
                    for waiting in batch:
                        waiting.fault = explain(fault)
                else:
                    with self._turn():
                        # What came while another process had its turn goes with it.
                        batch = self._take(first)
                        began = time.perf_counter()
                        apply(connection, batch)
                        seconds = time.perf_counter() - began
                    self._committed()
                    self._seen(len(batch), seconds)
                self._deliver(batch)
        finally:
            if connection is not None:
                let_go(connection)

    def _next(self) -> _Waiting | None:
        """Wait for a mutation; None at the end."""
        return self._queue.get()

    def _take(self, first: _Waiting) -> list[_Waiting]:
        """A mutation, and those that are queued behind it."""
        batch = [first]
        try:
            while len(batch) < MAX_BATCH:
                waiting = self._queue.get_nowait()
                if waiting is None:
                    # The end came with the last ones: it is said again once they are committed.
                    self._queue.put(None)
                    break
                batch.append(waiting)
        except Empty:
            pass
        return batch

    def _deliver(self, batch: list[_Waiting]) -> None:
        loops: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
        for waiting in batch:
            loops.setdefault(waiting.pause.loop, []).append(waiting)
        for loop, theirs in loops.items():
            try:
                loop.call_soon_threadsafe(_settle, theirs)
            except RuntimeError:
                # The loop ended before its writers heard; what was committed stays committed.
                continue


# What is never made together with another.
def _alone(connection: apsw.Connection, mutations: Sequence[Mutation[Result]]) -> list[Result]:
    (mutation,) = mutations
    return [mutation(connection)]


class _Unclean(Exception):
    """A mutation refused after it had changed something: what it changed must be taken back."""


def apply(connection: apsw.Connection, batch: list[_Waiting]) -> None:
    """
    Run a batch in one transaction and commit it; outcomes are left in the batch.

    A mutation that refuses does so before it changes anything, as good as always, so none has a savepoint: each is a
    third of its cost.  Where one refuses later the batch is begun again, with savepoints.
    """
    try:
        try:
            _transact(connection, batch, _bare)
        except _Unclean:
            connection.execute("ROLLBACK")
            _transact(connection, batch, _in_savepoint)
    except apsw.Error as fault:
        said = explain(fault)
        for waiting in batch:
            # Whoever refused itself keeps its own reason: it changed nothing either way.
            waiting.fault = waiting.fault or said
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except apsw.Error:
            pass


_Run = Callable[[apsw.Connection, Sequence[_Waiting]], Sequence[Any]]


def _transact(connection: apsw.Connection, batch: list[_Waiting], run: _Run) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for together in _parted(batch):
        try:
            outcomes = run(connection, together)
        except (apsw.Error, _Unclean):
            raise
        except Exception as fault:  # whatever a condition raises is its writer's to hear
            outcomes = [fault] * len(together)
        for waiting, outcome in zip(together, outcomes, strict=True):
            if isinstance(outcome, Exception):
                waiting.result, waiting.fault = None, outcome
            else:
                waiting.result, waiting.fault = outcome, None
    give_back(connection)
    connection.execute("COMMIT")


def _parted(batch: list[_Waiting]) -> Iterator[list[_Waiting]]:
    """What is made in one go, in the order of the queue."""
    for joint, run in groupby(batch, attrgetter("joint")):
        if joint is _alone:
            for waiting in run:
                yield [waiting]
        else:
            yield list(run)


def _make(connection: apsw.Connection, together: Sequence[_Waiting]) -> Sequence[Any]:
    return together[0].joint(connection, [waiting.item for waiting in together])


def _bare(connection: apsw.Connection, together: Sequence[_Waiting]) -> Sequence[Any]:
    before = connection.total_changes()
    try:
        return _make(connection, together)
    except apsw.Error:
        raise
    except Exception as fault:
        if connection.total_changes() != before:
            raise _Unclean from fault
        raise


def _in_savepoint(connection: apsw.Connection, together: Sequence[_Waiting]) -> Sequence[Any]:
    connection.execute("SAVEPOINT mutation")
    try:
        outcomes = _make(connection, together)
    except apsw.Error:
        raise
    except Exception:
        connection.execute("ROLLBACK TO mutation")
        connection.execute("RELEASE mutation")
        raise
    connection.execute("RELEASE mutation")
    return outcomes


def _settle(batch: list[_Waiting]) -> None:
    for waiting in batch:
        if waiting.ended is not None:
            waiting.ended(waiting.result, waiting.fault)
        waiting.pause.end(waiting.result, waiting.fault)
    go_on([waiting.pause for waiting in batch])


def let_go(connection: apsw.Connection) -> None:
    """
    Close a connection.  The last one folds the log into the index; where the disk refuses that, the log stays for the
    next start, and nothing is lost.
    """
    try:
        connection.close()
    except apsw.Error as fault:
        log.warning("the index was closed with its log beside it: %s", fault)


def explain(fault: apsw.Error) -> EngineError:
    """What SQLite said, in the engine's words."""
    # Where there is no room for the index of its log SQLite speaks of an I/O error; nothing else ends like this one.
    is_full = isinstance(fault, apsw.FullError) or getattr(fault, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE
    said = DiskFull("the disk is full") if is_full else DiskFault(f"the index: {fault}")
    said.__cause__ = fault
    return said

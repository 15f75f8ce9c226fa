"""
Many writers, one fsync: the committer.

Mutations are queued and applied by one thread, as many as are waiting in one transaction, each in a savepoint of
its own; then one COMMIT makes all of them durable and all of their writers are woken together.  So a mutation that
refuses (a condition does not hold) undoes itself alone, and nobody hears of success before the disk has it.

A COMMIT that fails fails everybody in it, and tells them so with DiskFull or DiskFault: what reached the disk is
then unknown until the next start, so nobody may remove the content that those mutations named.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from rs3gw.engine.ports import DiskFault, DiskFull, EngineError

MAX_BATCH = 512
"""The most mutations in one transaction: beyond this, waiting longer saves less than it costs."""

Result = TypeVar("Result")
Mutation = Callable[[sqlite3.Connection], Result]


@dataclass(slots=True)
class _Waiting:
    mutation: Mutation[Any]
    future: asyncio.Future[Any]
    result: Any = None
    fault: BaseException | None = None


class Committer:
    """One thread, one connection, one transaction at a time."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], committed: Callable[[], None]) -> None:
        self._connect = connect
        self._committed = committed
        self._queue: deque[_Waiting] = deque()
        self._wake = threading.Semaphore(0)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="rs3gw-committer", daemon=True)
        self._thread.start()

    def submit(self, mutation: Mutation[Result]) -> asyncio.Future[Result]:
        """Queue a mutation; the future is done when it is durable, or has failed and changed nothing."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        if self._closing:
            raise DiskFault("the engine is closed")
        self._queue.append(_Waiting(mutation, future))
        self._wake.release()
        return future

    def close(self) -> None:
        """Commit what is queued and end the thread."""
        self._closing = True
        self._wake.release()
        self._thread.join()

    def _run(self) -> None:
        connection = self._connect()
        try:
            while True:
                self._wake.acquire()
                batch: list[_Waiting] = []
                while self._queue and len(batch) < MAX_BATCH:
                    batch.append(self._queue.popleft())
                # One permit was taken above; those of the others in the batch go with them.
                for _ in batch[1:]:
                    self._wake.acquire(blocking=False)
                if batch:
                    apply(connection, batch)
                    self._committed()
                    self._deliver(batch)
                elif self._closing:
                    return
        finally:
            connection.close()

    def _deliver(self, batch: list[_Waiting]) -> None:
        loops: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
        for waiting in batch:
            loops.setdefault(waiting.future.get_loop(), []).append(waiting)
        for loop, theirs in loops.items():
            try:
                loop.call_soon_threadsafe(_settle, theirs)
            except RuntimeError:
                # The loop ended before its writers heard; what was committed stays committed.
                continue


def apply(connection: sqlite3.Connection, batch: list[_Waiting]) -> None:
    """Run a batch in one transaction and commit it; outcomes are left in the batch."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for waiting in batch:
            connection.execute("SAVEPOINT mutation")
            try:
                waiting.result = waiting.mutation(connection)
            except sqlite3.Error:
                raise
            except Exception as fault:  # whatever a condition raises is its writer's to hear
                waiting.fault = fault
                connection.execute("ROLLBACK TO mutation")
            connection.execute("RELEASE mutation")
        connection.execute("COMMIT")
    except sqlite3.Error as fault:
        said = explain(fault)
        for waiting in batch:
            # Whoever refused itself keeps its own reason: it changed nothing either way.
            waiting.fault = waiting.fault or said
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass


def _settle(batch: list[_Waiting]) -> None:
    for waiting in batch:
        if waiting.future.done():
            continue
        if waiting.fault is not None:
            waiting.future.set_exception(waiting.fault)
        else:
            waiting.future.set_result(waiting.result)


def explain(fault: sqlite3.Error) -> EngineError:
    """What SQLite said, in the engine's words."""
    code = getattr(fault, "sqlite_errorcode", None)
    said = DiskFull(str(fault)) if code == sqlite3.SQLITE_FULL else DiskFault(f"the index: {fault}")
    said.__cause__ = fault
    return said

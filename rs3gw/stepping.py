"""
Answers that come together are made together: all of them take a step before any takes the next.

A step that was just taken is taken faster.  A small read is a hundred thousand instructions of some hundred functions,
and by its end the processor has forgotten how it began; thirty-two reads, each of which goes all of its way by itself,
take half as long again as the same thirty-two abreast.  So answers begin in cohorts: those that came in the same turn
of the loop, up to ``MOST``, run to the next ``abreast()`` one after the other.  An answer that is alone loses two turns
of the loop by it, and one that never waits for anything else is made without a task.
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections import deque
from collections.abc import Coroutine, Generator
from typing import Any, Final, Protocol

MOST: Final = 32
"""How many answers keep step: with as many more a step gets no faster, and the first of them waits for the last."""

STEPS: Final = 8
"""How many steps they take: more than an answer has that waits for nothing else."""

log = logging.getLogger("rs3gw.stepping")


class Asker(Protocol):
    """Whose answer it is."""

    def waits(self, task: asyncio.Task[None]) -> None:
        """It is not made yet, and goes on as this task."""

    def done(self, fault: BaseException | None) -> None:
        """It was made, or failed so, without a task."""


Answer = tuple[Coroutine[Any, Any, None], Asker]


@types.coroutine
def abreast() -> Generator[None, None, None]:
    """Let those who began together come to here before any of them goes on; in a task, one turn of the loop."""
    yield


class Cohorts:
    """The answers of one loop that have not begun; at most ``most`` of them keep step."""

    __slots__ = ("_most", "coming")

    def __init__(self, most: int = MOST) -> None:
        self._most = max(1, min(MOST, most))
        self.coming: deque[Answer] = deque()
        """In the order in which they came."""

    def begin(self, answering: Coroutine[Any, Any, None], asker: Asker) -> None:
        """
        Run a coroutine together with those that come in this turn of the running loop and in its next, after that.

        Those who were answered together come again together, but for the last, and one that goes alone takes as long
        as two that do not.

        Until it first waits it has no task of its own: no context variable that it sets is its alone, and
        asyncio.timeout is none of its tools.
        """
        if not self.coming:
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self.run)
        self.coming.append((answering, asker))

    def run(self) -> None:
        """Take all steps of those that came, as many as keep step, and come back for the others."""
        coming = self.coming
        cohort = [coming.popleft() for _ in range(min(self._most, len(coming)))]
        if coming:
            asyncio.get_running_loop().call_soon(self.run)
        for left in reversed(range(STEPS)):
            cohort = [answer for answer in cohort if _keeps_step(answer, is_last=not left)]


def _keeps_step(answer: Answer, *, is_last: bool) -> bool:
    """Take the next step of an answer; whether it is one of its cohort after that."""
    answering, asker = answer
    try:
        try:
            waits_for = answering.send(None)
        except StopIteration:
            asker.done(None)
        except (Exception, asyncio.CancelledError) as fault:
            asker.done(fault)
        else:
            if waits_for is None and not is_last:
                return True
            asker.waits(_task(answering, waits_for))
    except Exception:
        log.exception("an answer came to no end")  # it is its own fault, and not that of those beside it
    return False


def _task(answering: Coroutine[Any, Any, None], waits_for: Any) -> asyncio.Task[None]:
    """The task that goes on with a coroutine that waits."""
    resumed = _resumed(answering, waits_for)
    # To where the task takes over: a coroutine that has not begun would not hear that its task was cancelled before.
    resumed.send(None)
    return asyncio.get_running_loop().create_task(resumed)


async def _resumed(answering: Coroutine[Any, Any, None], waits_for: Any) -> None:
    # A coroutine around the steps, because from Python 3.12 on a task takes nothing else.
    await _steps(answering, waits_for)


@types.coroutine
def _steps(answering: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    try:
        yield
    except asyncio.CancelledError as fault:
        # A task cancels what it waits for, and hears of it from that.
        if waits_for is None or not waits_for.cancel():
            try:
                waits_for = answering.throw(fault)
            except StopIteration:
                return
    while True:
        try:
            sent = yield waits_for
        except BaseException as fault:
            try:
                waits_for = answering.throw(fault)
            except StopIteration:
                return
        else:
            try:
                waits_for = answering.send(sent)
            except StopIteration:
                return

"""
Answers that come together are made together: all of them take a step before any takes the next.

A step that was just taken is taken faster.  A small read is a hundred thousand instructions of some hundred functions,
and by its end the processor has forgotten how it began; thirty-two reads, each of which goes all of its way by itself,
take half as long again as the same thirty-two abreast.  So answers begin in cohorts: those that came in the same turn
of the loop, up to ``MOST``, run to the next ``abreast()`` one after the other.  Those who pause (they wait for one
commit, say) go on in a cohort as well.  An answer that is alone loses two turns of the loop by it, and one that waits
for nothing but pauses is made without a task.
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections import deque
from collections.abc import Coroutine, Generator, Sequence
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

MOST: Final = 32
"""How many answers keep step: with as many more a step gets no faster, and the first of them waits for the last."""

STEPS: Final = 8
"""How many steps they take: more than an answer has that waits for nothing else."""

Result = TypeVar("Result")

log = logging.getLogger("rs3gw.stepping")


class Waiting(Protocol):
    """An answer that waits: the task that goes on with it, or the pause that it makes."""

    def cancel(self) -> object:
        """Let it wait no longer: it hears of it as a task does, by CancelledError where it stands."""


class Asker(Protocol):
    """Whose answer it is."""

    def waits(self, waiting: Waiting) -> None:
        """It is not made yet, and whoever gives it up cancels this; told again where it waits for something else."""

    def done(self, fault: BaseException | None) -> None:
        """It was made, or failed so; told once."""


Answer = tuple[Coroutine[Any, Any, None], Asker]

_STEPPING: Final[set[asyncio.AbstractEventLoop]] = set()
"""The loops on which a cohort is taking its steps at this moment."""


@types.coroutine
def abreast() -> Generator[None, None, None]:
    """Let those who began together come to here before any of them goes on; in a task, one turn of the loop."""
    yield


class Pause(Generic[Result]):
    """
    A wait for one outcome, as a future of the running loop is, without a task for whoever keeps step.

    Awaited once, by whoever began it: it gives the result, or raises the fault.  Who ends several at a time has those
    who wait for them ``go_on`` together.
    """

    __slots__ = ("_answer", "_fault", "_future", "_is_over", "_result", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        """Where it is waited for; all but this is for this loop's thread alone."""
        self._is_over = False
        self._result: Any = None
        self._fault: BaseException | None = None
        self._answer: Answer | None = None
        self._future: asyncio.Future[None] | None = None

    def __await__(self) -> Generator[Any, None, Result]:
        if not self._is_over:
            if self.loop in _STEPPING:
                yield self
            else:
                self._future = self.loop.create_future()
                yield from self._future
        if self._fault is not None:
            raise self._fault
        result: Result = self._result
        return result

    def taken_by(self, answer: Answer) -> None:
        """It is an answer that keeps step that waits here."""
        self._answer = answer

    def end(self, result: Result | None, fault: BaseException | None) -> None:
        """This is the outcome; whoever waits for it hears of it from ``go_on``.  One that was cancelled has its own."""
        if not self._is_over:
            self._is_over, self._result, self._fault = True, result, fault

    def cancel(self) -> None:
        if not self._is_over:
            self.end(None, asyncio.CancelledError())
            self.loop.call_soon(go_on, (self,))

    def _freed(self) -> Answer | None:
        """The answer that goes on now; a task is told by its future."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)
        answer, self._answer = self._answer, None
        return answer


def go_on(pauses: Sequence[Pause[Any]]) -> None:
    """Let all who waited for these, which have ended, go on: those who keep step in cohorts."""
    for at in range(0, len(pauses), MOST):
        _keep_step([answer for pause in pauses[at : at + MOST] if (answer := pause._freed()) is not None])


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

        Until it first waits for anything but a pause it has no task of its own: no context variable that it sets is
        its alone, and asyncio.timeout is none of its tools.
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
        _keep_step(cohort)


def _keep_step(cohort: list[Answer]) -> None:
    """Take the steps that are left, each together."""
    loop = asyncio.get_running_loop()
    _STEPPING.add(loop)
    try:
        for left in reversed(range(STEPS)):
            cohort = [answer for answer in cohort if _keeps_step(answer, is_last=not left)]
    finally:
        _STEPPING.remove(loop)


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
            if isinstance(waits_for, Pause):
                waits_for.taken_by(answer)
                asker.waits(waits_for)
            else:
                task = _task(answering, waits_for)
                follow(task, asker)
                asker.waits(task)
    except Exception:
        log.exception("an answer came to no end")  # it is its own fault, and not that of those beside it
    return False


def follow(task: asyncio.Task[None], asker: Asker) -> None:
    """Tell the asker when the task that makes its answer has ended."""
    task.add_done_callback(partial(_ended, asker))


def _ended(asker: Asker, task: asyncio.Task[None]) -> None:
    asker.done(asyncio.CancelledError() if task.cancelled() else task.exception())


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

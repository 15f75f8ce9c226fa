"""
Answers that never wait are made here and now; the others go on as tasks from where they first wait.

A task for each of them costs a small read a tenth of its time, and most have nothing to wait for.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any


def begin(answering: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None] | None:
    """
    Run a coroutine to its first wait, and give the task that goes on with it; None where it came to its end.

    Until then it has no task of its own: no context variable that it sets is its alone, and asyncio.timeout is none
    of its tools.  Raises what it raises.
    """
    try:
        waits_for = answering.send(None)
    except StopIteration:
        return None
    resumed = _resumed(answering, waits_for)
    # To where the task takes over: a coroutine that has not begun would not hear that its task was cancelled before.
    resumed.send(None)
    return loop.create_task(resumed)


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

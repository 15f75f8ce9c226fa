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
    return loop.create_task(_resumed(answering, waits_for))


async def _resumed(answering: Coroutine[Any, Any, None], waits_for: Any) -> None:
    # A coroutine around the steps, because from Python 3.12 on a task takes nothing else.
    await _steps(answering, waits_for)


@types.coroutine
def _steps(answering: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
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

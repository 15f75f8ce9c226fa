"""
An answer that is begun without a task and goes on with one is cancelled like any other.
"""

from __future__ import annotations

import asyncio

import pytest

from rs3gw import stepping


async def test_an_answer_that_never_waits_needs_no_task():
    heard = []

    async def answer():
        heard.append("answered")

    assert stepping.begin(answer(), asyncio.get_running_loop()) is None
    assert heard == ["answered"]


@pytest.mark.parametrize("turns", [0, 1, 2])
@pytest.mark.parametrize("waits_for", ["a future", "a turn of the loop", "a task"])
async def test_a_cancelled_answer_hears_of_it(turns, waits_for):
    """Cancelled before its task has taken its first step, it was dropped where it stood."""
    loop, heard = asyncio.get_running_loop(), []
    future = loop.create_future()

    async def endless():
        await future

    async def answer():
        try:
            if waits_for == "a turn of the loop":
                while True:  # noqa: ASYNC110 - it is what is tried
                    await asyncio.sleep(0)
            await (future if waits_for == "a future" else loop.create_task(endless()))
        except asyncio.CancelledError:
            heard.append("answer")
            await asyncio.sleep(0)
            heard.append("end")
            raise

    task = stepping.begin(answer(), loop)
    assert task is not None
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert heard == ["answer", "end"]
    assert task.cancelled()
    assert future.cancelled() or waits_for != "a future"

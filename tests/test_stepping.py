"""
Answers that come together keep step, need no task unless they wait, and are cancelled like any other once they do.
"""

from __future__ import annotations

import asyncio

import pytest

from rs3gw import stepping


class Asker:
    """Who remembers how an answer came to its end, or which task goes on with it."""

    def __init__(self):
        self.ends, self.task = [], None

    def done(self, fault):
        self.ends.append(fault)

    def waits(self, task):
        self.task = task


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_an_answer_that_never_waits_needs_no_task():
    heard, asker = [], Asker()

    async def answer():
        heard.append(asyncio.current_task())

    stepping.Cohorts().begin(answer(), asker)
    assert heard == []
    await turns(2)

    assert heard == [None]
    assert (asker.ends, asker.task) == ([None], None)


async def test_those_that_come_together_keep_step():
    heard, cohorts, askers = [], stepping.Cohorts(), [Asker() for _ in range(3)]

    async def answer(number, steps):
        for step in range(steps):
            heard.append((step, number))
            await stepping.abreast()

    for number, asker in enumerate(askers):
        cohorts.begin(answer(number, 3 - number), asker)
    await turns(2)

    assert heard == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)]
    assert [asker.ends for asker in askers] == [[None]] * 3


@pytest.mark.parametrize(("asked", "most"), [(stepping.MOST, stepping.MOST), (10_000, stepping.MOST), (3, 3), (0, 1)])
async def test_more_than_keep_step_come_in_the_next_turn(asked, most):
    heard, cohorts = [], stepping.Cohorts(asked)

    async def answer(number):
        await stepping.abreast()
        heard.append(number)

    for number in range(most + 1):
        cohorts.begin(answer(number), Asker())
    await turns(2)
    assert heard == list(range(most))

    await turns(1)
    assert heard == list(range(most + 1))


async def test_a_fault_of_one_is_nothing_to_those_beside_it(caplog):
    fault, cohorts = ValueError("its own"), stepping.Cohorts()

    class Broken(Asker):
        def done(self, fault):
            raise RuntimeError("cannot be told")

    async def fails():
        await stepping.abreast()
        raise fault

    async def is_gone():
        raise asyncio.CancelledError

    async def answer():
        await stepping.abreast()

    askers = [Asker(), Asker(), Broken(), Asker()]
    for coroutine, asker in zip((fails(), is_gone(), answer(), answer()), askers, strict=True):
        cohorts.begin(coroutine, asker)
    await turns(2)

    assert askers[0].ends == [fault]
    assert isinstance(askers[1].ends[0], asyncio.CancelledError)
    assert askers[3].ends == [None]
    assert [record.message for record in caplog.records] == ["an answer came to no end"]


async def test_what_waits_goes_on_as_a_task_and_holds_nobody_up():
    heard, cohorts, first, second = [], stepping.Cohorts(), Asker(), Asker()
    future = asyncio.get_running_loop().create_future()

    async def waits():
        await stepping.abreast()
        heard.append(await future)
        await stepping.abreast()
        heard.append(asyncio.current_task() is first.task)

    async def answer():
        for _ in range(3):
            await stepping.abreast()

    cohorts.begin(waits(), first)
    cohorts.begin(answer(), second)
    await turns(2)
    assert (first.ends, second.ends) == ([], [None])

    future.set_result("come")
    await first.task
    assert heard == ["come", True]


async def test_what_goes_on_stepping_holds_nobody_up():
    asker, cohorts, ends = Asker(), stepping.Cohorts(), asyncio.Event()

    async def endless():
        while not ends.is_set():
            await stepping.abreast()

    cohorts.begin(endless(), asker)
    await turns(2)

    assert asker.task is not None
    ends.set()
    await asker.task


@pytest.mark.parametrize("later", [0, 1, 2])
@pytest.mark.parametrize("waits_for", ["a future", "a turn of the loop", "a task"])
async def test_a_cancelled_answer_hears_of_it(later, waits_for):
    """Cancelled before its task has taken its first step, it was dropped where it stood."""
    loop, heard, asker = asyncio.get_running_loop(), [], Asker()
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

    stepping.Cohorts().begin(answer(), asker)
    await turns(2 + later)
    asker.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asker.task

    assert heard == ["answer", "end"]
    assert asker.task.cancelled()
    assert future.cancelled() or waits_for != "a future"

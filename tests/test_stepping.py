"""
Answers that come together keep step, need no task unless they wait for more than a pause, and are cancelled like any
other once they do.
"""

from __future__ import annotations

import asyncio

import pytest

from rs3gw import stepping


class Asker:
    """Who remembers how an answer came to its end, and what it waited for last."""

    def __init__(self):
        self.ends, self.waiting = [], None

    def done(self, fault):
        self.ends.append(fault)

    def waits(self, waiting):
        self.waiting = waiting


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
    assert (asker.ends, asker.waiting) == ([None], None)


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
        heard.append(asyncio.current_task() is first.waiting)

    async def answer():
        for _ in range(3):
            await stepping.abreast()

    cohorts.begin(waits(), first)
    cohorts.begin(answer(), second)
    await turns(2)
    assert (first.ends, second.ends) == ([], [None])

    future.set_result("come")
    await first.waiting
    assert heard == ["come", True]


async def test_what_goes_on_stepping_holds_nobody_up():
    asker, cohorts, ends = Asker(), stepping.Cohorts(), asyncio.Event()

    async def endless():
        while not ends.is_set():
            await stepping.abreast()

    cohorts.begin(endless(), asker)
    await turns(2)

    assert asker.waiting is not None
    ends.set()
    await asker.waiting


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
    asker.waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asker.waiting

    assert heard == ["answer", "end"]
    assert asker.waiting.cancelled()
    assert future.cancelled() or waits_for != "a future"
    assert [type(end) for end in asker.ends] == [asyncio.CancelledError]


# Pauses ------------------------------------------------------------------------------------------------------


def begun(cohorts, coroutines):
    askers = [Asker() for _ in coroutines]
    for coroutine, asker in zip(coroutines, askers, strict=True):
        cohorts.begin(coroutine, asker)
    return askers


@pytest.mark.parametrize("count", [1, 3, stepping.MOST + 1])
async def test_those_whose_pauses_end_together_go_on_together_and_without_a_task(count):
    heard, cohorts = [], stepping.Cohorts()
    pauses = [stepping.Pause() for _ in range(count)]

    async def answer(number):
        heard.append(("came", await pauses[number]))
        await stepping.abreast()
        heard.append(("went", number))

    askers = begun(cohorts, [answer(number) for number in range(count)])
    await turns(3)
    for number, pause in enumerate(pauses):
        pause.end(number, None)
    assert heard == []
    stepping.go_on(pauses)

    runs = [range(at, min(at + stepping.MOST, count)) for at in range(0, count, stepping.MOST)]
    assert heard == [(step, number) for run in runs for step in ("came", "went") for number in run]
    assert [asker.ends for asker in askers] == [[None]] * count
    assert [asker.waiting for asker in askers] == pauses


@pytest.mark.parametrize("keeps_step", [True, False])
async def test_a_pause_raises_its_fault_where_it_is_waited_for(keeps_step):
    heard, pause = [], stepping.Pause()

    async def answer():
        try:
            await pause
        except LookupError as fault:
            heard.append(fault)

    if keeps_step:
        begun(stepping.Cohorts(), [answer()])
    else:
        task = asyncio.ensure_future(answer())
    await turns(2)
    fault = LookupError("its own")
    pause.end(None, fault)
    stepping.go_on([pause])
    if not keeps_step:
        await task

    assert heard == [fault]


async def test_a_pause_that_has_ended_before_it_is_waited_for_is_none():
    heard, pause = [], stepping.Pause()

    async def answer():
        heard.append(await pause)

    pause.end("come", None)
    stepping.go_on([pause])
    (asker,) = begun(stepping.Cohorts(), [answer()])
    await turns(2)
    assert (heard, asker.ends, asker.waiting) == (["come"], [None], None)

    await answer()
    assert heard == ["come", "come"]


@pytest.mark.parametrize("keeps_step", [True, False])
@pytest.mark.parametrize("order", ["cancelled, then ended", "ended, then cancelled"])
async def test_a_pause_comes_to_one_end(keeps_step, order):
    heard, pause = [], stepping.Pause()

    async def answer():
        try:
            heard.append(await pause)
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    if keeps_step:
        (asker,) = begun(stepping.Cohorts(), [answer()])
        await turns(2)
        cancel = asker.waiting.cancel
    else:
        task = asyncio.ensure_future(answer())
        await turns(1)
        cancel = task.cancel
    if order == "ended, then cancelled":
        pause.end("come", None)
        stepping.go_on([pause])
        if not keeps_step:
            await turns(1)
        cancel()
        expected = ["come"]
    else:
        cancel()
        pause.end("come", None)
        stepping.go_on([pause])
        expected = ["cancelled"]
    await turns(2)

    assert heard == expected
    if keeps_step:
        assert len(asker.ends) == 1
    else:
        assert task.done()


async def test_what_waits_for_more_than_a_pause_goes_on_as_a_task():
    heard, pause = [], stepping.Pause()
    future = asyncio.get_running_loop().create_future()

    async def answer():
        await pause
        heard.append(await future)

    (asker,) = begun(stepping.Cohorts(), [answer()])
    await turns(2)
    pause.end(None, None)
    stepping.go_on([pause])
    assert isinstance(asker.waiting, asyncio.Task)
    future.set_result("come")
    await asker.waiting
    await turns(1)

    assert (heard, asker.ends) == (["come"], [None])

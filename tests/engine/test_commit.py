"""
What a batch of mutations leaves behind, when some of them refuse.
"""

from __future__ import annotations

import asyncio
import threading

import apsw
import pytest

from rs3gw.engine.commit import Committer


@pytest.fixture
def path(tmp_path):
    path = str(tmp_path / "numbers.db")
    apsw.Connection(path).execute("CREATE TABLE numbers (number INTEGER)")
    return path


def numbers(path) -> list[int]:
    return [number for (number,) in apsw.Connection(path).execute("SELECT number FROM numbers ORDER BY number")]


def adding(number: int):
    def mutation(connection: apsw.Connection) -> int:
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        return connection.changes()

    return mutation


def refusing(number: int | None = None):
    """A mutation that refuses, after it has added a number where one is given."""

    def mutation(connection: apsw.Connection) -> None:
        if number is not None:
            adding(number)(connection)
        raise LookupError(number)

    return mutation


@pytest.mark.parametrize("refusal", [refusing(), refusing(13)], ids=["before a change", "after a change"])
async def test_who_refuses_undoes_itself_alone(path, refusal):
    """All of them are queued before the committer's thread can look: one transaction holds them."""
    committer = Committer(lambda: apsw.Connection(path), lambda: None)

    outcomes = await asyncio.gather(
        *(committer.submit(each) for each in (adding(1), refusal, adding(2), adding(3))), return_exceptions=True
    )
    committer.close()

    assert [type(outcome) for outcome in outcomes] == [int, LookupError, int, int]
    assert numbers(path) == [1, 2, 3]


async def test_what_is_queued_at_the_end_is_committed(path):
    committer = Committer(lambda: apsw.Connection(path), lambda: None)

    waiting = [committer.submit(adding(number)) for number in range(700)]
    committer.close()

    assert await asyncio.gather(*waiting) == [1] * 700
    assert numbers(path) == list(range(700))


async def test_what_comes_while_another_process_has_its_turn_goes_together(path):
    others, sizes = threading.Lock(), []
    committer = Committer(
        lambda: apsw.Connection(path), lambda: None, lambda: others, lambda mutations, seconds: sizes.append(mutations)
    )

    with others:
        waiting = []
        for number in range(3):
            waiting.append(committer.submit(adding(number)))
            await asyncio.sleep(0.05)  # the committer has taken the first of them long before the last one comes
        assert sizes == []
    await asyncio.gather(*waiting)
    committer.close()

    assert sizes == [3]
    assert numbers(path) == [0, 1, 2]

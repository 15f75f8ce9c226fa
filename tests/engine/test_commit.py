"""
What a batch of mutations leaves behind, when some of them refuse.
"""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from rs3gw.engine.commit import Committer


@pytest.fixture
def path(tmp_path):
    with sqlite3.connect(tmp_path / "numbers.db", isolation_level=None) as connection:
        connection.execute("CREATE TABLE numbers (number INTEGER)")
    return tmp_path / "numbers.db"


def numbers(path) -> list[int]:
    with sqlite3.connect(path) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM numbers ORDER BY number")]


def adding(number: int):
    return lambda connection: connection.execute("INSERT INTO numbers VALUES (?)", (number,)).rowcount


def refusing(number: int | None = None):
    """A mutation that refuses, after it has added a number where one is given."""

    def mutation(connection: sqlite3.Connection) -> None:
        if number is not None:
            adding(number)(connection)
        raise LookupError(number)

    return mutation


@pytest.mark.parametrize("refusal", [refusing(), refusing(13)], ids=["before a change", "after a change"])
async def test_who_refuses_undoes_itself_alone(path, refusal):
    """All of them are queued before the committer's thread can look: one transaction holds them."""
    committer = Committer(lambda: sqlite3.connect(path, isolation_level=None, check_same_thread=False), lambda: None)

    outcomes = await asyncio.gather(
        *(committer.submit(each) for each in (adding(1), refusal, adding(2), adding(3))), return_exceptions=True
    )
    committer.close()

    assert [type(outcome) for outcome in outcomes] == [int, LookupError, int, int]
    assert numbers(path) == [1, 2, 3]


async def test_what_is_queued_at_the_end_is_committed(path):
    committer = Committer(lambda: sqlite3.connect(path, isolation_level=None, check_same_thread=False), lambda: None)

    waiting = [committer.submit(adding(number)) for number in range(700)]
    committer.close()

    assert await asyncio.gather(*waiting) == [1] * 700
    assert numbers(path) == list(range(700))

"""What processes over one root must know of each other: two stores at two places of one board, in this process."""

from __future__ import annotations

import asyncio
import json

import apsw
import pytest

from rs3gw.engine.ports import ObjectMissing
from rs3gw.engine.store import Board, Store, claim
from rs3gw.engine.world import SystemClock, SystemEntropy
from tests.engine.conftest import bucket, get, on_disk, put, staged

LARGE = bytes(range(256)) * 12_000


@pytest.fixture
async def siblings(tmp_path):
    root = tmp_path / "root"
    claim(root)
    board = Board(2)
    made = [Store(root, clock=SystemClock(), entropy=SystemEntropy(), board=board, place=place) for place in range(2)]
    await made[0].create_bucket(bucket())
    yield made
    for store in made:
        await store.close()


async def settled(root, size: int) -> int:
    """The bytes of all blobs, once they are as many, or after a second."""
    for _ in range(100):
        if on_disk(root) == size:
            break
        await asyncio.sleep(0.01)
    return on_disk(root)


async def test_what_one_has_acknowledged_the_other_answers(siblings):
    first, second = siblings
    await put(first, "key", LARGE)
    await second.set_document("bucket", "policy", "{}")

    assert await get(second, "key") == LARGE
    assert first.bucket("bucket").documents == {"policy": "{}"}


async def test_what_one_reads_the_other_does_not_remove(siblings, tmp_path):
    first, second = siblings
    made = await put(first, "key", LARGE)
    found = second.object("bucket", "key")
    reading = second.read(found.content, offset=0, size=found.size)
    await first.delete_object("bucket", "key")
    await asyncio.sleep(0.4)

    assert on_disk(tmp_path / "root") == made.size
    assert LARGE == b"".join([bytes(chunk) async for chunk in reading])
    assert await settled(tmp_path / "root", 0) == 0


async def test_what_nobody_reads_is_removed_at_once(siblings, tmp_path):
    first, second = siblings
    await put(first, "key", LARGE)
    await second.delete_object("bucket", "key")

    assert await settled(tmp_path / "root", 0) == 0


async def test_a_sweep_passes_by_what_a_sibling_is_writing(siblings):
    first, second = siblings
    content = await staged(first, LARGE)
    await second.sweep()
    await first.put_object("bucket", "key", content, (await put(first, "other", b"")).facts)

    assert await get(second, "key") == LARGE


async def test_a_sweep_takes_what_the_dead_have_left(siblings, tmp_path):
    first, second = siblings
    await staged(first, LARGE)
    first._group.close = lambda: None  # it closes once, below
    first._group._board.clear(0)

    assert await second.sweep() == len(LARGE)
    assert on_disk(tmp_path / "root") == 0


async def test_of_writers_in_two_processes_who_insist_on_being_first_one_is(siblings):
    class Taken(Exception):
        """Somebody was first."""

    def is_first(found):
        if found is not None:
            raise Taken

    async def write(number):
        try:
            await put(siblings[number % 2], "contested", b"%d" % number, condition=is_first)
        except Taken:
            return 0
        return 1

    assert sum(await asyncio.gather(*(write(number) for number in range(32)))) == 1


async def test_a_copy_of_what_a_sibling_removed_is_refused(siblings):
    first, second = siblings
    made = await put(first, "key", LARGE)
    await second.delete_object("bucket", "key")

    with pytest.raises(ObjectMissing):
        await first.put_object("bucket", "copy", made.content, made.facts)


def changed_behind_them(root, policy: str) -> None:
    """The bucket's policy, as another process would have committed it."""
    connection = apsw.Connection(str(root / "index.db"))
    connection.execute("UPDATE buckets SET documents = ?", (json.dumps({"policy": policy}),))
    connection.close()


async def test_what_is_remembered_of_a_bucket_is_not_asked_again(siblings):
    first, second = siblings

    assert second.bucket("bucket") is second.bucket("bucket")
    await first.create_bucket(bucket("other"))
    assert second.bucket("bucket") is second.bucket("bucket")
    assert second.bucket("other") == first.bucket("other")


async def test_while_a_bucket_changes_nobody_answers_from_memory(siblings, tmp_path):
    """Between the commit and the word of it, one would answer what is after the change and one what was before."""
    first, second = siblings
    assert second.bucket("bucket").documents == {}
    board = first._group._board

    board.changing(0)
    assert second.bucket("bucket").documents == {}
    changed_behind_them(tmp_path / "root", "1")
    assert second.bucket("bucket").documents == {"policy": "1"}
    board.changing(0)
    changed_behind_them(tmp_path / "root", "2")
    assert second.bucket("bucket").documents == {"policy": "2"}
    board.changed(0)
    assert second.bucket("bucket") is second.bucket("bucket")


async def test_who_dies_in_the_middle_of_a_change_leaves_nobody_without_memory(siblings, tmp_path):
    first, second = siblings
    assert second.bucket("bucket").documents == {}
    board = first._group._board

    board.changing(0)
    changed_behind_them(tmp_path / "root", "1")
    board.clear(0)
    assert second.bucket("bucket").documents == {"policy": "1"}
    assert second.bucket("bucket") is second.bucket("bucket")


def test_a_board_says_whether_anybody_changes_a_bucket():
    board = Board(3)
    marks = [board.mark()]
    for place in range(3):
        board.changing(place)
        assert board.mark() is None
        board.changing((place + 1) % 3)
        board.changed(place)
        assert board.mark() is None
        board.changed((place + 1) % 3)
        board.changed(place)
        marks.append(board.mark())

    assert None not in marks
    assert len(set(marks)) == len(marks)

"""A disk that forgets forgets what was not synced, and nothing else; a proof on a kinder one would prove less."""

from __future__ import annotations

import random

import pytest

from proof.volatile import BLOCK_BYTES, SECTOR_BYTES, Directory, File, Loss

OLD, NEW = b"o" * BLOCK_BYTES * 2, b"n" * BLOCK_BYTES * 2


def synced(content: bytes) -> File:
    file = File()
    file.write(0, content)
    file.sync()
    return file


def content_of(file: File | Directory) -> bytes:
    assert isinstance(file, File)
    return file.read(0, file.size)


def test_what_was_not_synced_is_gone():
    file = synced(OLD)
    file.write(0, NEW)

    assert NEW == content_of(file)
    assert OLD == content_of(file.after_loss(None))


def test_what_was_synced_stays():
    file = synced(OLD)
    file.write(BLOCK_BYTES, b"n")
    file.sync()

    assert content_of(file) == content_of(file.after_loss(None))


def test_what_was_cut_off_does_not_come_back_when_the_file_grows():
    file = synced(OLD)
    file.truncate(10)
    file.truncate(100)
    file.sync()

    assert b"o" * 10 + bytes(90) == content_of(file.after_loss(None))


def test_a_write_beyond_the_end_leaves_zeros_between():
    file = synced(b"a")
    file.write(5, b"b")
    file.sync()

    assert b"a\0\0\0\0b" == content_of(file.after_loss(None))


def test_a_loss_may_tear_a_block_at_a_sector_and_nowhere_else():
    file = synced(OLD)
    file.write(0, NEW)
    left = {content_of(file.after_loss(random.Random(seed))) for seed in range(300)}
    sectors = {each[at : at + SECTOR_BYTES] for each in left for at in range(0, len(each), SECTOR_BYTES)}

    assert {OLD[:SECTOR_BYTES], NEW[:SECTOR_BYTES]} == sectors
    assert {OLD, NEW} < left
    assert any(len(set(each[:BLOCK_BYTES])) == 2 for each in left), "a torn block"
    assert any(each[0] != each[BLOCK_BYTES] for each in left), "one block and not the other"


def test_a_loss_may_keep_a_length_without_its_bytes():
    file = File()
    file.write(0, NEW)
    left = {content_of(file.after_loss(random.Random(seed))) for seed in range(100)}

    assert {b"", bytes(len(NEW)), NEW} <= left


def test_a_file_without_its_name_is_gone_though_it_was_synced():
    directory = Directory()
    directory.change({"name": synced(NEW)})

    assert {} == directory.after_loss(None).names


def test_a_name_is_kept_by_the_sync_of_its_directory_and_says_nothing_of_the_bytes():
    directory, file = Directory(), File()
    directory.change({"name": file})
    file.write(0, NEW)
    directory.sync()

    assert b"" == content_of(directory.after_loss(None).names["name"])


def test_a_removal_that_was_not_synced_is_undone():
    directory = Directory({"name": synced(OLD)})
    directory.change({"name": None})

    assert OLD == content_of(directory.after_loss(None).names["name"])


@pytest.mark.parametrize("seed", range(20))
def test_a_rename_happens_as_a_whole(seed):
    directory = Directory({"old": synced(OLD)})
    directory.change({"new": directory.names["old"], "old": None})

    assert set(directory.after_loss(random.Random(seed)).names) in ({"old"}, {"new"})


def test_what_is_left_has_nothing_more_to_lose():
    directory = Directory({"inner": Directory({"name": synced(OLD)})})
    directory.change({"other": synced(NEW)})
    left = directory.after_loss(random.Random(1))

    assert Loss() == Loss.of(left)


def test_a_loss_counts_blocks_and_names():
    file = synced(OLD)
    directory = Directory({"name": file})
    file.write(0, b"n")
    directory.change({"other": File()})

    assert Loss(bytes=BLOCK_BYTES, names=1) == Loss.of(directory)

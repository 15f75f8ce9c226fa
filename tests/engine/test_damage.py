"""What a disk did to stored bytes behind the engine's back: nobody is given a wrong one as a right one."""

from __future__ import annotations

import os
from pathlib import Path

import apsw
import pytest

from rs3gw.engine.ports import Content, DiskFault, Extent
from rs3gw.engine.store import Store
from tests.engine.conftest import FACTS, bucket, get, open_store, put

MIB = 1024**2


@pytest.fixture
async def store(tmp_path):
    made = open_store(tmp_path / "root")
    await made.create_bucket(bucket())
    yield made
    await made.close()


def file_of(root: Path, extent: Extent) -> Path:
    return root / "blobs" / extent.blob[:2] / extent.blob


def flip(path: Path, offset: int) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


def spoil_index(root: Path) -> None:
    connection = apsw.Connection(str(root / "index.db"))
    connection.execute("UPDATE inlines SET content = CAST('wrong' AS BLOB)")
    connection.close()


async def taken(store: Store, content: Content, *, offset: int = 0, size: int | None = None) -> tuple[int, bool]:
    """How many bytes were handed out, and whether a fault ended it."""
    count = 0
    try:
        async for chunk in store.read(content, offset=offset, size=content.size if size is None else size):
            count += len(chunk)
    except DiskFault:
        return count, True
    return count, False


@pytest.mark.parametrize(("size", "offset", "handed_out"), [(MIB, 0, 0), (MIB, MIB - 1, 0), (3 * MIB + 5, 7, 3 * MIB)])
async def test_a_flipped_bit_ends_a_read_before_its_last_byte(tmp_path, store, size, offset, handed_out):
    made = await put(store, "key", os.urandom(size))
    flip(file_of(tmp_path / "root", made.content.extents[0]), offset)

    assert (handed_out, True) == await taken(store, made.content)


async def test_the_first_blob_of_an_object_is_compared_before_the_second_is_read(tmp_path, store):
    first, second = [await put(store, key, os.urandom(2 * MIB)) for key in ("first", "second")]
    joined = Content(extents=first.content.extents + second.content.extents)
    flip(file_of(tmp_path / "root", first.content.extents[0]), 0)

    assert (MIB, True) == await taken(store, joined)


@pytest.mark.parametrize("keep", [None, 0, 3 * MIB - 1])
async def test_a_missing_or_short_file_is_known_before_the_first_byte(tmp_path, store, keep):
    whole, made = [await put(store, key, os.urandom(3 * MIB)) for key in ("whole", "key")]
    path = file_of(tmp_path / "root", made.content.extents[0])
    os.unlink(path) if keep is None else os.truncate(path, keep)

    assert (0, True) == await taken(store, made.content)
    assert (0, True) == await taken(store, Content(extents=whole.content.extents + made.content.extents))


async def test_bytes_that_are_whole_are_read_from_beside_the_damage(tmp_path, store):
    """A range that does not cover its blob cannot be compared: it is served, as it is."""
    made = await put(store, "key", os.urandom(3 * MIB))
    flip(file_of(tmp_path / "root", made.content.extents[0]), 0)

    assert (MIB, False) == await taken(store, made.content, offset=2 * MIB, size=MIB)


async def test_content_in_the_index_is_compared_also_for_a_range(tmp_path, store):
    await put(store, "key", b"right")
    spoil_index(tmp_path / "root")

    assert (0, True) == await taken(store, store.object("bucket", "key").content, offset=1, size=2)


async def test_a_copy_of_damaged_content_is_damaged_too(tmp_path, store):
    """What is copied is compared with what was stored first, so that no digest is made of wrong bytes."""
    await put(store, "key", b"right")
    spoil_index(tmp_path / "root")
    await store.put_object("bucket", "copy", store.object("bucket", "key").content, FACTS)

    with pytest.raises(DiskFault):
        await get(store, "copy")


async def test_what_is_damaged_can_be_removed_and_put_again(tmp_path, store):
    made = await put(store, "key", os.urandom(MIB))
    os.unlink(file_of(tmp_path / "root", made.content.extents[0]))
    await put(store, "key", b"again")

    assert await get(store, "key") == b"again"

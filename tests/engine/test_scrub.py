"""What a scrub says: of every damage, and of nothing else."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest

from rs3gw.engine.ports import Extent
from rs3gw.engine.scrub import Report, RootMissing, Stopped, scrub
from rs3gw.engine.store import Store
from rs3gw.engine.world import Medium, SystemClock
from tests.engine.conftest import FACTS, bucket, open_store, put, staged
from tests.engine.test_damage import file_of, flip
from tests.engine.test_promise import part, upload

LARGE = bytes(range(256)) * 1000


@pytest.fixture
async def store(tmp_path):
    made = open_store(tmp_path)
    await made.create_bucket(bucket())
    yield made
    await made.close()


def scrubbed(root: Path, **options: object) -> Report:
    return scrub(root, disk=Medium(root), clock=SystemClock(), **options)  # type: ignore[arg-type]


def damaged(root: Path) -> list[str]:
    """The keys that a scrub names, each with the number of its part where it is one of an upload."""
    return [f"{each.key}#{each.part_number}" if each.upload_id else str(each.key) for each in scrubbed(root).damaged]


def execute(root: Path, statement: str) -> None:
    connection = apsw.Connection(str(root / "index.db"))
    connection.execute(statement)
    connection.close()


async def filled(store: Store) -> list[Extent]:
    """A root of everything: the extents of ``large`` (which ``copy`` shares), ``other`` and of a part of an upload."""
    await put(store, "small", b"x")
    large, other = await put(store, "large", LARGE), await put(store, "other", LARGE)
    await store.put_object("bucket", "copy", large.content, FACTS)
    await store.create_upload(upload())
    stored = await store.put_part(upload(), part(3, await staged(store, LARGE, inline=False)))
    return [each.content.extents[0] for each in (large, other, stored)]


async def test_a_sound_root_is_called_sound_beside_its_server(tmp_path, store):
    await filled(store)
    found = scrubbed(tmp_path)

    assert Report(objects=4, parts=1, blobs=3, bytes=3 * len(LARGE) + 1, seconds=0, damaged=()) == dataclasses.replace(
        found, seconds=0
    )


async def test_every_record_that_shares_a_damaged_blob_is_named(tmp_path, store):
    large, *_ = await filled(store)
    flip(file_of(tmp_path, large), 77)

    assert damaged(tmp_path) == ["copy", "large"]


@pytest.mark.parametrize(
    "damage",
    [os.unlink, lambda path: os.truncate(path, len(LARGE) - 1), lambda path: os.truncate(path, len(LARGE) + 1)],
    ids=["missing", "short", "long"],
)
async def test_a_file_that_is_not_as_long_as_it_was_is_damage(tmp_path, store, damage):
    _, other, _ = await filled(store)
    damage(file_of(tmp_path, other))

    assert damaged(tmp_path) == ["other"]


async def test_a_part_of_an_upload_is_looked_at_too(tmp_path, store):
    *_, of_part = await filled(store)
    flip(file_of(tmp_path, of_part), 0)

    assert damaged(tmp_path) == ["key#3"]


@pytest.mark.parametrize(
    ("statement", "keys"),
    [
        ("UPDATE inlines SET content = CAST('y' AS BLOB)", ["small"]),
        ("UPDATE objects SET size = 5 WHERE key = 'other'", ["other"]),
        ("UPDATE objects SET inline = NULL WHERE key = 'small'", ["small"]),
        (
            "UPDATE objects SET extents = replace(extents, '256000', '256001'), size = size + 1",
            ["copy", "large", "other"],
        ),
        ("DELETE FROM blobs WHERE named = 2", ["copy", "large"]),
    ],
)
async def test_an_index_that_contradicts_itself_is_damage(tmp_path, store, statement, keys):
    await filled(store)
    execute(tmp_path, statement)

    assert keys == damaged(tmp_path)


async def test_an_index_whose_pages_are_broken_is_damage(tmp_path):
    store = open_store(tmp_path)
    await store.create_bucket(bucket())
    for number in range(300):
        await put(store, f"{number}", b"x" * 300)
    await store.close()
    written = (tmp_path / "index.db").read_bytes()
    middle = len(written) // 8192 * 4096
    (tmp_path / "index.db").write_bytes(written[:middle] + b"\xff" * 64 + written[middle + 64 :])

    assert any(each.what.startswith("the index: ") for each in scrubbed(tmp_path).damaged)


async def test_what_is_removed_while_it_is_looked_at_is_no_damage(tmp_path, store, monkeypatch):
    """Files go after their records, and a scrub may stand between the two reads."""
    _, other, _ = await filled(store)

    class Late(Medium):
        def open(self, name: str):
            if name.endswith(other.blob):
                execute(tmp_path, f"DELETE FROM blobs WHERE id = '{other.blob}'")
                os.unlink(file_of(tmp_path, other))
            return super().open(name)

    assert scrub(tmp_path, disk=Late(tmp_path), clock=SystemClock()).damaged == ()


async def test_the_rate_is_kept(tmp_path, store):
    await filled(store)

    assert scrubbed(tmp_path, bytes_per_second=3_000_000).seconds >= 3 * len(LARGE) / 3_000_000


async def test_a_scrub_that_is_told_to_end_ends(tmp_path, store):
    await filled(store)
    stopping = threading.Event()
    stopping.set()

    with pytest.raises(Stopped):
        scrubbed(tmp_path, stopping=stopping)


def test_where_there_is_no_root_nothing_is_made(tmp_path):
    with pytest.raises(RootMissing):
        scrubbed(tmp_path / "root")
    assert os.listdir(tmp_path) == []


def command(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rs3gw", "scrub", "--storage-root", str(root), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


async def test_the_exit_code_tells_clean_damaged_and_unable_apart(tmp_path, reopened):
    store = reopened()
    await store.create_bucket(bucket())
    _, other, _ = await filled(store)
    await store.close()
    root = tmp_path / "root"
    clean = command(root, "--rate", "1GiB")
    flip(file_of(root, other), 1)
    found = command(root, "--rate", "0", "--json")

    assert (0, True) == (clean.returncode, "4 objects" in clean.stdout)
    assert (1, ["other"]) == (found.returncode, [each["key"] for each in json.loads(found.stdout)["damaged"]])
    assert 2 == command(tmp_path / "nowhere").returncode

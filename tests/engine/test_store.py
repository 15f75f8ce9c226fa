"""What the store alone can show: reopening, space, refusals of a root, a full disk, sudden death."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import apsw
import pytest

from rs3gw.engine.index import FREE_PAGES
from rs3gw.engine.ports import DiskFull, LayoutRefused, ObjectMissing, RootBusy
from rs3gw.engine.store import RESERVE_BYTES
from rs3gw.engine.world import PosixDisk
from tests.engine.conftest import FACTS, bucket, get, on_disk, open_store, put, staged
from tests.engine.test_promise import upload

LARGE = bytes(range(256)) * 1000


async def test_what_was_acknowledged_is_there_after_reopening(tmp_path, reopened):
    store = reopened()
    await store.create_bucket(bucket())
    await put(store, "small", b"x")
    await put(store, "large", LARGE)
    await store.close()

    store = reopened()

    assert await get(store, "small") == b"x"
    assert await get(store, "large") == LARGE
    await store.close()


async def test_space_returns_after_overwriting_deleting_and_copying(tmp_path, reopened):
    store = reopened()
    await store.create_bucket(bucket())
    for _ in range(3):
        await put(store, "key", LARGE)
    source = store.object("bucket", "key")
    await store.put_object("bucket", "copy", source.content, FACTS)
    await store.delete_object("bucket", "key")
    await store.close()
    assert len(LARGE) == on_disk(tmp_path / "root")

    store = reopened()
    await store.delete_object("bucket", "copy")
    await store.close()

    assert on_disk(tmp_path / "root") == 0


async def test_small_puts_at_once_leave_nothing_of_what_they_replace(tmp_path, reopened):
    store = reopened()
    await store.create_bucket(bucket())
    await put(store, "0", LARGE)
    for _ in range(2):
        await asyncio.gather(*(put(store, str(number % 40), b"x") for number in range(60)))
    await store.close()

    kept = apsw.Connection(str(tmp_path / "root" / "index.db")).execute("SELECT count(*) FROM inlines").get

    assert (40, 0) == (kept, on_disk(tmp_path / "root"))


async def test_deletes_at_once_leave_nothing_of_what_they_remove(tmp_path, reopened):
    store = reopened()
    await store.create_bucket(bucket())
    for key in ("0", "1"):
        await put(store, key, LARGE)
    await store.put_object("bucket", "copy", store.object("bucket", "0").content, FACTS)
    await asyncio.gather(*(put(store, str(number), b"x") for number in range(2, 80)))
    await asyncio.gather(*(store.delete_object("bucket", str(number % 79)) for number in range(120)))
    await store.delete_objects("bucket", [("copy", None), ("79", None), ("copy", None)])
    await store.close()

    kept = apsw.Connection(str(tmp_path / "root" / "index.db"))
    counts = [kept.execute(f"SELECT count(*) FROM {table}").get for table in ("objects", "inlines", "blobs")]

    assert (counts, on_disk(tmp_path / "root")) == ([0, 0, 0], 0)


async def test_who_goes_away_does_not_take_back_what_is_queued(tmp_path, reopened):
    """The outcome is attended to all the same: what the put replaced goes, and what it brought stays."""
    store = reopened()
    await store.create_bucket(bucket())
    await put(store, "key", LARGE)
    content = await staged(store, LARGE[1:])
    putting = asyncio.ensure_future(store.put_object("bucket", "key", content, FACTS))
    await asyncio.sleep(0)
    putting.cancel()
    await asyncio.gather(putting, return_exceptions=True)
    await put(store, "later", b"x")
    await store.sweep()

    assert putting.cancelled()
    assert LARGE[1:] == await get(store, "key")
    await store.close()
    assert len(LARGE) - 1 == on_disk(tmp_path / "root")


async def test_the_index_shrinks_as_its_objects_go(tmp_path, reopened):
    store = reopened()
    await store.create_bucket(bucket())
    keys = [str(number) for number in range(1500)]
    await asyncio.gather(*(put(store, key, b"x" * 20_000) for key in keys))
    await store.close()
    full = (tmp_path / "root" / "index.db").stat().st_size

    store = reopened()
    for at in range(0, len(keys), 30):
        await store.delete_objects("bucket", [(key, None) for key in keys[at : at + 30]])
    await store.close()

    assert full > 30_000_000
    assert (tmp_path / "root" / "index.db").stat().st_size < 3 * FREE_PAGES * 4096


async def test_a_staging_that_nobody_published_is_swept_at_the_next_start(tmp_path, reopened):
    store = reopened()
    await staged(store, LARGE)
    await store.close()
    assert len(LARGE) == on_disk(tmp_path / "root")

    store = reopened()
    await store.sweep()
    await store.close()

    assert on_disk(tmp_path / "root") == 0


async def test_a_sweep_goes_on_where_a_file_is_gone_before_it_is_removed(tmp_path, reopened):
    class Vanishing(PosixDisk):
        def size(self, name: str) -> int:
            os.unlink(f"{self._root}/{name}")
            return super().size(name)

    store = reopened()
    await staged(store, LARGE)
    await staged(store, LARGE)
    await store.close()

    store = open_store(tmp_path / "root", disk=Vanishing(tmp_path / "root"))
    await store.sweep()
    await store.close()

    assert on_disk(tmp_path / "root") == 0


async def test_a_sweep_beside_a_writer_leaves_the_writer_alone(reopened):
    store = reopened()
    await store.create_bucket(bucket())
    content = await staged(store, LARGE)
    await store.sweep()
    await store.put_object("bucket", "key", content, FACTS)

    assert await get(store, "key") == LARGE
    await store.close()


async def test_a_reader_keeps_what_was_deleted_under_it(reopened):
    store = reopened()
    await store.create_bucket(bucket())
    data = os.urandom(3 * 1024**2)
    made = await put(store, "key", data)
    chunks = store.read(made.content, offset=0, size=made.size)
    first = bytes(await anext(chunks))
    await store.delete_object("bucket", "key")
    await asyncio.sleep(0.05)

    assert data == first + b"".join([bytes(chunk) async for chunk in chunks])
    await store.close()


async def test_content_that_was_removed_meanwhile_cannot_be_shared(reopened):
    store = reopened()
    await store.create_bucket(bucket())
    source = await put(store, "source", LARGE)
    await store.delete_object("bucket", "source")

    with pytest.raises(ObjectMissing):
        await store.put_object("bucket", "copy", source.content, FACTS)
    await store.close()


async def test_a_second_owner_of_a_root_is_told_who_has_it(tmp_path, reopened):
    store = reopened()

    with pytest.raises(RootBusy, match=str(os.getpid())):
        reopened()
    await store.close()


@pytest.mark.parametrize(
    ("layout", "sentence"),
    [
        ({"layout": 2, "written_by": "rs3gw 9"}, "a newer rs3gw"),
        ({"layout": 0}, "another rs3gw"),
        ([], "cannot be read"),
    ],
)
def test_a_root_of_another_layout_is_refused_untouched(tmp_path, layout, sentence):
    root = tmp_path / "root"
    root.mkdir()
    (root / "layout.json").write_text(json.dumps(layout))

    with pytest.raises(LayoutRefused, match=sentence):
        open_store(root)
    assert os.listdir(root) == ["layout.json"]


def test_a_directory_of_somebody_else_is_refused_untouched(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")

    with pytest.raises(LayoutRefused, match=r"thesis\.tex"):
        open_store(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]


async def test_nobody_else_can_look_into_a_root(tmp_path, reopened):
    store = reopened()

    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700
    await store.close()


class FullDisk(PosixDisk):
    """A disk on which nothing has room."""

    def free_bytes(self) -> int:
        return 0


async def test_a_full_disk_refuses_writes_and_serves_reads(tmp_path, reopened):
    store = reopened()
    await store.create_bucket(bucket())
    await put(store, "key", LARGE)
    await store.close()

    store = open_store(tmp_path / "root", disk=FullDisk(tmp_path / "root"))
    with pytest.raises(DiskFull):
        store.stage(1)
    with pytest.raises(DiskFull):
        store.ready()

    assert await get(store, "key") == LARGE
    await store.delete_object("bucket", "key")
    assert store.scan("bucket", start="", inclusive=True, end=None, limit=1) == []
    await store.close()


class SmallDisk(PosixDisk):
    """A disk with 1 MiB more room than is kept back."""

    def free_bytes(self) -> int:
        return RESERVE_BYTES + 1024**2 - on_disk(Path(self._root))


async def test_what_comes_without_a_size_does_not_take_what_is_kept_back(tmp_path):
    store = open_store(tmp_path / "root", disk=SmallDisk(tmp_path / "root"))
    await store.create_bucket(bucket())
    stagings = [store.stage(None) for _ in range(5)]

    def fill() -> None:
        for staging in stagings * 10:
            staging.write(LARGE)

    with pytest.raises(DiskFull):
        fill()
    assert on_disk(tmp_path / "root") <= 1024**2
    for staging in stagings:
        await staging.discard()
    await store.close()


async def test_a_full_disk_refuses_what_would_make_the_index_grow(tmp_path, reopened):
    store = reopened()
    await store.create_bucket(bucket())
    made = await put(store, "key", LARGE)
    await store.close()

    store = open_store(tmp_path / "root", disk=FullDisk(tmp_path / "root"))
    with pytest.raises(DiskFull):
        await store.put_object("bucket", "copy", made.content, FACTS)
    with pytest.raises(DiskFull):
        await store.create_upload(upload())
    await store.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from tests.engine.conftest import bucket, open_store, put

async def main(root):
    store = open_store(root)
    await store.create_bucket(bucket())
    async def write(writer):
        for number in range(10_000):
            size = 40_000 if number % 3 == 0 else 100
            await put(store, f"{writer}/{number}", bytes([number % 256]) * size)
            print(f"{writer}/{number} {number % 256} {size}", flush=True)
    await asyncio.gather(*(write(writer) for writer in range(8)))

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_what_was_acknowledged_survives_sudden_death(tmp_path):
    """The process is killed in the middle of eight writers; every write that it had told of is there, whole."""
    root = tmp_path / "root"
    tree = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(root)],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(300)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.read().splitlines(keepends=True)
    process.wait()
    acknowledged = [line.split() for line in lines if line.endswith("\n")]

    store = open_store(root)
    await store.sweep()

    assert len(acknowledged) >= 300
    for key, value, size in acknowledged:
        assert bytes([int(value)]) * int(size) == await get(store, key)
    named = sum(
        entry.size
        for entry in store.scan("bucket", start="", inclusive=True, end=None, limit=100_000)
        if entry.size > 32_768
    )
    assert named == on_disk(root)
    await store.close()

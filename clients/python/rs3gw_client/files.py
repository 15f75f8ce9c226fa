"""
Files up and down: by parts and ranges, several at once, and continued where the last attempt ended.

Up, the server has the parts that arrived, and a part of the file that is not what the server has is sent again; which
upload is ours is noted under the user's cache, so that nobody goes on with somebody else's.  Down, bytes go to
``NAME.part``, and what is there of them is noted in ``NAME.part.ranges`` after it is on the disk; ``NAME`` itself
appears when all of it is there, or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rs3gw_client.core import Core, Progress
from rs3gw_client.errors import Error, NoSuchUpload
from rs3gw_client.objects import ObjectInfo, Stored
from rs3gw_client.wire import Work


class FileChanged(Error):
    """The file that was being uploaded is shorter than it was."""


class Meter:
    """Adds up what several threads have done."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total = progress, total
        self._done, self._lock = 0, threading.Lock()

    def add(self, size: int) -> None:
        with self._lock:
            self._done += size
            self._progress(self._done, self._total)


async def upload(
    core: Core, path: Path, bucket: str, key: str, *, facts: Mapping[str, Any], progress: Progress, resume: bool
) -> Stored:
    """Store a file; ``resume``: go on with an upload of this key that was begun before, and leave one that fails."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        part_bytes = core.part_bytes(size)
        if size <= part_bytes:
            return await core.put_whole(bucket, key, await core.wire.block(file.read), facts, progress)

        async def parts() -> AsyncGenerator[tuple[int, bytes], None]:
            for number, at in enumerate(range(0, size, part_bytes), 1):
                wanted = min(part_bytes, size - at)
                data = await core.wire.block(partial(os.pread, file.fileno(), wanted, at))
                if len(data) != wanted:
                    raise FileChanged(f"{path} ended at byte {at + len(data)} of {size}")
                yield number, data

        if not resume:
            return await core.put_parts(bucket, key, parts(), size=size, facts=facts, progress=progress)
        note = Note(path, bucket, key)
        upload_id, there = note.read(), {}
        if upload_id is not None:
            try:
                there = await core.parts(bucket, key, upload_id)
            except NoSuchUpload:
                upload_id = None
        if upload_id is None:
            upload_id = await core.begin(bucket, key, facts)
            note.write(upload_id)
        stored = await core.put_parts(
            bucket, key, parts(), size=size, facts=facts, progress=progress, upload_id=upload_id, there=there
        )
        note.remove()
        return stored


async def download(core: Core, bucket: str, key: str, path: Path, *, progress: Progress, resume: bool) -> ObjectInfo:
    """Fetch an object into a file; ``resume``: go on with what is there of it, and leave what is where it fails."""
    info = await core.head(bucket, key)
    partial_path = path.with_name(f"{path.name}.part")
    journal = Journal(path.with_name(f"{path.name}.part.ranges"), info, core.ways.part_bytes)
    done = journal.open(resume=resume and partial_path.exists())
    meter = Meter(progress, info.size)
    file = os.open(partial_path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        os.ftruncate(file, info.size)

        async def works() -> AsyncGenerator[Work, None]:
            for start in range(0, info.size, core.ways.part_bytes):
                end = min(start + core.ways.part_bytes, info.size)
                if start in done:
                    meter.add(end - start)
                    continue

                async def work(start: int = start, end: int = end) -> None:
                    at = start
                    _, chunks = await core.get(bucket, key, start=start, end=end, if_match=info.etag)
                    async for chunk in chunks:
                        await core.wire.block(partial(write_all, file, chunk, at))
                        at += len(chunk)
                        meter.add(len(chunk))
                    await core.wire.block(partial(os.fdatasync, file))
                    journal.note(start)

                yield work

        await core.wire.each(works(), limit=core.ways.parallel)
        await core.wire.block(partial(os.fsync, file))
    except BaseException:
        if not resume:
            journal.remove()
            partial_path.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)
        journal.close()
    os.replace(partial_path, path)
    journal.remove()
    return info


def write_all(file: int, data: bytes, at: int) -> None:
    """Write all of it, however little the system takes at once."""
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, at)
        view, at = view[written:], at + written


class Note:
    """Which upload of a file was begun from here."""

    def __init__(self, path: Path, bucket: str, key: str) -> None:
        what = hashlib.sha256("\0".join((str(path.resolve()), bucket, key)).encode()).hexdigest()
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        self._path = Path(cache) / "rs3gw-client" / "uploads" / what

    def read(self) -> str | None:
        try:
            return self._path.read_text()
        except OSError:
            return None

    def write(self, upload_id: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(upload_id)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


class Journal:
    """Which ranges of a file that is being fetched are on the disk, for one version of one object."""

    def __init__(self, path: Path, info: ObjectInfo, part_bytes: int) -> None:
        self._path = path
        self._head = json.dumps({"etag": info.etag, "size": info.size, "part_bytes": part_bytes})
        self._file = -1

    def open(self, *, resume: bool) -> set[int]:
        """The beginnings of the ranges that are there."""
        done: set[int] = set()
        if resume and self._path.exists():
            head, *starts = self._path.read_text().split("\n")
            if head == self._head:
                # The last line is empty, or was cut off by what ended the attempt.
                done = {int(start) for start in starts[:-1]}
        # Written anew, since what is noted next would go on with a line that was cut off.
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o666)
        os.write(self._file, "".join(f"{line}\n" for line in (self._head, *sorted(done))).encode())
        return done

    def note(self, start: int) -> None:
        os.write(self._file, f"{start}\n".encode())

    def close(self) -> None:
        os.close(self._file)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

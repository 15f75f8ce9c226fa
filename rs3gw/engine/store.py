"""
The engine that people store data in: an index in SQLite and blobs in files, under one root.

    <root>/layout.json   the version of everything below; a root of another version is refused untouched
    <root>/lock          held by the one process group that owns the root
    <root>/writer        held by the process of the group whose turn it is to write the index
    <root>/index.db      SQLite in WAL mode: every record, and small content
    <root>/blobs/3f/…    large content

A mutation is acknowledged when the committer's COMMIT has returned; in strict durability that is after the fsync
of its content, of the directory that names it and of the index's log.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw

from rs3gw import __version__, spans
from rs3gw.engine import index
from rs3gw.engine.blobs import Blobs, BlobStaging, make_directories
from rs3gw.engine.commit import Committer, Item, Joint, Seen, explain, let_go
from rs3gw.engine.group import SESSION_BYTES, Alone, Board, Group, Member
from rs3gw.engine.ports import (
    NULL_VERSION,
    Bucket,
    Buffer,
    Clock,
    Condition,
    Content,
    Disk,
    DiskFault,
    DiskFull,
    Entropy,
    Entry,
    Extent,
    Facts,
    LayoutRefused,
    Object,
    ObjectMissing,
    ObjectPart,
    Part,
    RootBusy,
    Upload,
    to_milliseconds,
)
from rs3gw.engine.seals import Seal, unsealed
from rs3gw.engine.world import PosixDisk

LAYOUT = 1
"""The version of the layout that this program reads and writes."""

THREADS = 8
"""Threads for file reads, writes and fsyncs: enough to keep a disk's queue busy, few enough not to fight."""

RESERVE_BYTES = 32 * 1024**2
"""Room that content may not take, so that deletes and the index's log can always be written."""

FREE_SECONDS, SURELY_FREE_BYTES = 0.1, 8 * 1024**3
"""How long the disk is taken to have the room that it had, where that was so much; a small put asks otherwise as long
as it writes."""

BUSY_MILLISECONDS = 10_000
"""How long a connection waits for another's lock before it gives up."""

STATEMENTS = 256
"""How many statements a connection keeps prepared: more than there are."""

WAL_PAGES = 4000
"""Pages of the log before it is folded into the index: 16 MiB, a few milliseconds of writing."""

Result = TypeVar("Result")


class Durability(Enum):
    """What an acknowledged write survives."""

    STRICT = "strict"
    """The loss of power: content, directory and index are fsynced before the answer."""
    RELAXED = "relaxed"
    """The death of the process.  A loss of power may lose the last seconds, and content before its record."""


class Store:
    """Buckets, objects and uploads on a disk; open it with ``Store.open``."""

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock,
        entropy: Entropy,
        disk: Disk | None = None,
        durability: Durability = Durability.STRICT,
        vfs: str | None = None,
        board: Board | None = None,
        place: int = 0,
        lock: int | None = None,
        committed: Seen = lambda mutations, seconds: None,
    ) -> None:
        """
        A store over a root that this process, or the one that forked it, has claimed.

        ``board`` and ``place`` are where this process stands among those that serve the root together, if there are
        others.  ``lock`` is the claim's, to be let go of at the end; ``vfs`` and ``committed`` as for ``open``.
        """
        self._root = root
        self._clock = clock
        self._disk = disk or PosixDisk(root)
        self._durability = durability
        self._vfs = vfs
        self._lock = lock
        session = entropy.token(SESSION_BYTES).hex()
        self._group: Group = Alone() if board is None else Member(board, place, session, root)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="rs3gw-disk")
        self._blobs = Blobs(
            self._disk,
            entropy,
            self._pool,
            self._group,
            session,
            self._find_seal,
            self._require_room,
            is_strict=durability is Durability.STRICT,
        )
        self._local = threading.local()
        self._readers: list[apsw.Connection] = []
        self._remembered: tuple[int, dict[str, Bucket]] = (-1, {})
        """A mark, and the buckets as they are under it."""
        self._closing = threading.Event()
        self._free = (0.0, 0)
        self._committer = Committer(self._connect_to_write, self._group.changed, self._group.turn, committed)
        # What a crash left behind is removed beside the first requests, not before them.
        self._pool.submit(self._sweep)

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        clock: Clock,
        entropy: Entropy,
        disk: Disk | None = None,
        durability: Durability = Durability.STRICT,
        vfs: str | None = None,
        committed: Seen = lambda mutations, seconds: None,
    ) -> Store:
        """
        Open a storage root, making it where there is none, and own it until ``close``.

        ``vfs`` names what SQLite's own files go through (a simulation's; the system's by default); ``committed`` is
        told of every transaction.
        Raises LayoutRefused, RootBusy, DiskFault, DiskFull; whatever is raised, nothing was touched.
        """
        lock = claim(root, disk=disk, vfs=vfs)
        try:
            return cls(
                root,
                clock=clock,
                entropy=entropy,
                disk=disk,
                durability=durability,
                vfs=vfs,
                lock=lock,
                committed=committed,
            )
        except BaseException:
            os.close(lock)
            raise

    def _connect(self) -> apsw.Connection:
        return connect(self._root, durability=self._durability, vfs=self._vfs)

    def _connect_to_write(self) -> apsw.Connection:
        connection = self._connect()
        try:
            connection.execute(index.PUTS)
        except BaseException:
            let_go(connection)
            raise
        return connection

    @property
    def _reader(self) -> apsw.Connection:
        """This thread's connection for reading."""
        found: apsw.Connection | None = getattr(self._local, "reader", None)
        if found is None:
            try:
                found = self._connect()
                found.execute("PRAGMA query_only = ON")
            except apsw.Error as fault:
                raise explain(fault) from fault
            self._local.reader = found
            self._readers.append(found)
        return found

    def _find_seal(self, blob: str) -> Seal | None:
        return index.find_seal(self._reader, blob)

    def _now(self) -> datetime:
        return to_milliseconds(self._clock.now())

    async def _commit(self, mutation: Callable[[apsw.Connection], Result]) -> Result:
        with spans.within("commit"):
            return await self._committer.submit(mutation)

    async def _publish(
        self, mutation: Callable[[apsw.Connection], tuple[Result, index.Freed]], extents: Sequence[Extent] = ()
    ) -> Result:
        """Commit a mutation that names extents and frees blobs."""
        with spans.within("commit"):
            result, _ = await self._committer.submit(mutation, partial(self._attend, extents))
        return result

    async def _publish_together(self, joint: Joint[Item, tuple[object, index.Freed]], item: Item) -> None:
        """Commit one of many mutations that are made in one go, name no extents and free blobs."""
        with spans.within("commit"):
            await self._committer.join(joint, item, partial(self._attend, ()))

    def _attend(
        self, extents: Sequence[Extent], outcome: tuple[object, index.Freed] | None, fault: BaseException | None
    ) -> None:
        """
        A mutation has ended, and its caller may have gone away meanwhile.

        Nobody knows after a fault of the disk whether the extents are named: they are not to be removed.
        """
        if fault is None or isinstance(fault, (DiskFull, DiskFault)):
            self._blobs.published(extents)
        if fault is None and outcome is not None and outcome[1]:
            self._blobs.free(outcome[1])

    # Buckets

    def bucket(self, name: str) -> Bucket:
        mark = self._group.mark()
        if mark is None:
            return index.find_bucket(self._reader, name)
        known, buckets = self._remembered
        if mark != known:
            buckets = {}
            self._remembered = mark, buckets
        found = buckets.get(name)
        if found is None:
            # The mark was taken before this is read: what is read too early is forgotten with it.
            found = buckets[name] = index.find_bucket(self._reader, name)
        return found

    def buckets(self, *, prefix: str = "", after: str = "", limit: int) -> Sequence[Bucket]:
        return index.find_buckets(self._reader, prefix, after, limit)

    async def create_bucket(self, bucket: Bucket) -> None:
        await self._change_bucket(lambda connection: index.create_bucket(connection, bucket))

    async def delete_bucket(self, name: str) -> None:
        await self._change_bucket(lambda connection: index.delete_bucket(connection, name))

    async def set_document(self, bucket: str, kind: str, text: str | None) -> None:
        await self._change_bucket(lambda connection: index.set_document(connection, bucket, kind, text))

    async def _change_bucket(self, mutation: Callable[[apsw.Connection], None]) -> None:
        def change(connection: apsw.Connection) -> None:
            self._group.changing()
            mutation(connection)

        await self._commit(change)

    # Objects

    def object(self, bucket: str, key: str, version_id: str | None = None) -> Object:
        self._group.glance()
        found = index.find_object(self._reader, bucket, key, version_id)
        if found is None:
            self.bucket(bucket)
            raise ObjectMissing(key)
        return found

    def scan(self, bucket: str, *, start: str, inclusive: bool, end: str | None, limit: int) -> Sequence[Entry]:
        self.bucket(bucket)
        return index.scan_objects(self._reader, bucket, start, inclusive, end, limit)

    def stage(self, size: int | None, *, inline: bool = True) -> BlobStaging:
        if size:
            self._require_room(size)
        return self._blobs.stage(inline=inline)

    def _require_room(self, size: int) -> None:
        """
        Raises DiskFull where so many bytes would take what is kept back.

        It is asked before every write of content, because others write too and a size may not be known before; and
        before whatever makes the index grow, as a copy does that brings no content.
        """
        if self._free_bytes() < size + RESERVE_BYTES:
            raise DiskFull(f"{size} bytes")

    def _free_bytes(self) -> int:
        """The room on the disk, asked a few times a second where there is much of it."""
        now = self._clock.monotonic()
        asked, free = self._free
        if free < SURELY_FREE_BYTES or not 0 <= now - asked < FREE_SECONDS:
            free = self._disk.free_bytes()
            self._free = (now, free)
        return free

    async def put_object(
        self,
        bucket: str,
        key: str,
        content: Content,
        facts: Facts,
        *,
        parts: tuple[ObjectPart, ...] = (),
        condition: Condition | None = None,
    ) -> Object:
        self._require_room(0)
        made = Object(bucket, key, NULL_VERSION, content.size, self._now(), facts, content, parts)
        if content.inline is not None and condition is None:
            await self._publish_together(index.put_objects, made)
        else:
            await self._publish(
                lambda connection: (None, index.put_object(connection, made, condition, self._blobs.staged)),
                content.extents,
            )
        return made

    async def delete_object(
        self, bucket: str, key: str, *, version_id: str | None = None, condition: Condition | None = None
    ) -> None:
        if condition is None:
            await self._publish_together(index.remove_objects, (bucket, key, version_id or NULL_VERSION))
        else:
            await self._publish(lambda connection: index.delete_object(connection, bucket, key, version_id, condition))

    async def delete_objects(
        self, bucket: str, keys: Sequence[tuple[str, Condition | None]]
    ) -> Sequence[Exception | None]:
        return await self._publish(lambda connection: index.delete_objects(connection, bucket, keys))

    async def change_object(
        self, bucket: str, key: str, version_id: str | None, change: Callable[[Facts], Facts]
    ) -> Object:
        return await self._commit(lambda connection: index.change_object(connection, bucket, key, version_id, change))

    def read(self, content: Content, *, offset: int, size: int) -> AsyncIterator[Buffer]:
        if content.inline is not None:
            return _inline(content, offset, size)
        return self._blobs.read(content.extents, offset, size)

    # Uploads

    async def create_upload(self, upload: Upload) -> None:
        self._require_room(0)
        await self._commit(lambda connection: index.create_upload(connection, upload))

    def upload(self, bucket: str, key: str, upload_id: str) -> Upload:
        self.bucket(bucket)
        return index.find_upload(self._reader, bucket, key, upload_id)

    def uploads(
        self, bucket: str, *, start: tuple[str, str], inclusive: bool, end: str | None, limit: int
    ) -> Sequence[Upload]:
        self.bucket(bucket)
        return index.scan_uploads(self._reader, bucket, start, inclusive, end, limit)

    async def put_part(self, upload: Upload, part: Part) -> Part:
        self._require_room(0)

        def put(connection: apsw.Connection) -> tuple[Part, index.Freed]:
            stored = Part(
                number=part.number,
                size=part.size,
                etag=part.etag,
                modified=self._now(),
                content=part.content,
                checksums=part.checksums,
            )
            return stored, index.put_part(connection, upload, stored, self._blobs.staged)

        return await self._publish(put, part.content.extents)

    def parts(self, upload: Upload, *, after: int = 0, limit: int) -> Sequence[Part]:
        index.find_upload(self._reader, upload.bucket, upload.key, upload.upload_id)
        return index.find_parts(self._reader, upload.upload_id, after, limit)

    async def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        await self._publish(lambda connection: (None, index.abort_upload(connection, bucket, key, upload_id)))

    async def complete_upload(
        self,
        upload: Upload,
        numbers: Sequence[int],
        assemble: Callable[[Sequence[Part]], tuple[Facts, tuple[ObjectPart, ...]]],
        *,
        condition: Condition | None = None,
    ) -> Object:
        return await self._publish(
            lambda connection: index.complete_upload(connection, upload, numbers, assemble, condition, self._now())
        )

    # Care

    async def sweep(self) -> int:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._sweep)

    def _sweep(self) -> int:
        return self._blobs.sweep(lambda blob: self._closing.is_set() or index.is_blob(self._reader, blob))

    def ready(self) -> None:
        try:
            self._reader.execute("SELECT 1 FROM buckets LIMIT 1").fetchone()
        except apsw.Error as fault:
            raise explain(fault) from fault
        if self._disk.free_bytes() < RESERVE_BYTES:
            raise DiskFull("less than the reserve is free")

    def free_bytes(self) -> int:
        """Room on the file system of the root, that of the reserve with it.  Raises DiskFault."""
        return self._disk.free_bytes()

    async def close(self) -> None:
        self._closing.set()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._committer.close)
        await loop.run_in_executor(None, self._pool.shutdown)
        for reader in self._readers:
            let_go(reader)
        self._group.close()
        if self._lock is not None:
            os.close(self._lock)


async def _inline(content: Content, offset: int, size: int) -> AsyncIterator[Buffer]:
    data = unsealed(content)
    if size:
        yield data if size == len(data) else data[offset : offset + size]


# The root ----------------------------------------------------------------------------------------------------

_OURS = {"lock", "writer", "blobs", "index.db", "index.db-wal", "index.db-shm", "layout.json.new"}


def claim(root: Path, *, disk: Disk | None = None, vfs: str | None = None) -> int:
    """
    Own a storage root, making it where there is none, for this process and those that it forks; the lock to close.

    Raises LayoutRefused, RootBusy, DiskFault, DiskFull; whatever is raised, nothing was touched.
    """
    is_new = inspect(root)
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = own(root)
    except OSError as fault:
        raise DiskFault(f"{root}: {fault.strerror}") from fault
    try:
        if is_new:
            make_directories(disk or PosixDisk(root))
        make_index(root, vfs=vfs)
        if is_new:
            # The layout is said last: a root that a crash left half made has no layout, only our own names.
            write_layout(root)
    except BaseException:
        os.close(lock)
        raise
    return lock


def connect(root: Path, *, durability: Durability, vfs: str | None) -> apsw.Connection:
    """A connection to the index of a root."""
    connection = apsw.Connection(str(root / "index.db"), vfs=vfs, statementcachesize=STATEMENTS)
    try:
        _set_up(connection, durability)
    except BaseException:
        let_go(connection)
        raise
    return connection


def _set_up(connection: apsw.Connection, durability: Durability) -> None:
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    synchronous = "FULL" if durability is Durability.STRICT else "NORMAL"
    for pragma in (
        # Of effect on a new file alone: pages that are free can be given back (index.give_back).
        "auto_vacuum = INCREMENTAL",
        "journal_mode = WAL",
        f"synchronous = {synchronous}",
        f"wal_autocheckpoint = {WAL_PAGES}",
        "cache_size = -8192",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")


def make_index(root: Path, *, vfs: str | None) -> None:
    """The tables of the index, where there are none yet.  Raises DiskFault, DiskFull."""
    try:
        connection = connect(root, durability=Durability.STRICT, vfs=vfs)
        try:
            if connection.execute("SELECT count(*) FROM sqlite_master").get == 0:
                connection.execute(f"BEGIN IMMEDIATE; {index.SCHEMA} PRAGMA user_version = {LAYOUT}; COMMIT;")
        finally:
            let_go(connection)
    except apsw.Error as fault:
        raise explain(fault) from fault


def inspect(root: Path) -> bool:
    """
    Whether the root is still to be made.  Touches nothing.

    Raises LayoutRefused for a root of another layout, and for a directory that holds what is not ours.
    """
    try:
        said = json.loads((root / "layout.json").read_text())
        found = said["layout"]
    except FileNotFoundError:
        strangers = sorted(set(os.listdir(root)) - _OURS) if root.is_dir() else []
        if strangers:
            raise LayoutRefused(
                f"{root} is no storage root and is not empty (it holds {strangers[0]}): "
                "set RS3GW_STORAGE_ROOT to an empty or a new directory."
            ) from None
        return True
    except NotADirectoryError as fault:
        raise LayoutRefused(f"{root} is not a directory.") from fault
    except (ValueError, KeyError, TypeError, OSError) as fault:
        raise LayoutRefused(f"{root}/layout.json cannot be read ({fault}): the root was left as it is.") from fault
    if found != LAYOUT:
        age = "a newer" if isinstance(found, int) and found > LAYOUT else "another"
        raise LayoutRefused(
            f"{root} has layout {found}, written by {age} rs3gw ({said.get('written_by', 'unknown')}); this one reads "
            f"layout {LAYOUT}. Nothing was touched: start the rs3gw that wrote it."
        )
    return False


def own(root: Path) -> int:
    """Lock the root for this process and those that it forks; the lock's descriptor.  Raises RootBusy."""
    lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        owner = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise RootBusy(
            f"{root} is in use by process {owner}: stop it, or set RS3GW_STORAGE_ROOT to another directory."
        ) from fault
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def write_layout(root: Path) -> None:
    """Say durably what the root is; from then on it is one."""
    draft = root / "layout.json.new"
    with open(draft, "w") as file:
        json.dump({"layout": LAYOUT, "written_by": f"rs3gw {__version__}"}, file)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, root / "layout.json")
    for directory in (root, root.parent):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


__all__ = ["Board", "Durability", "Store", "claim"]

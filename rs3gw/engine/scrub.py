"""
Everything that is stored, read again and compared with what it was when it was stored.

A scrub reads and never writes, claims no root and holds no transaction open: it walks the index a page at a time on a
connection of its own, beside a server or without one.  Every blob is read once, however many objects share it, and
at a bounded rate.  What it finds is looked up again before it is called damage, because an object that was replaced
or removed meanwhile is none; then the records that name a damaged blob are found by one more walk.

It sees what the seals speak of: blobs, content in the index, and that every record names blobs that exist and reach
far enough.  SQLite looks after the form of its own pages.  A letter of a key or of a header that changed inside a page
without breaking its form is not seen by either.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from rs3gw.engine import index
from rs3gw.engine.blobs import READ_BYTES, path_of
from rs3gw.engine.ports import Clock, Disk, DiskFault, EngineError, Extent
from rs3gw.engine.seals import Seal, Sealing, digest_of
from rs3gw.engine.store import BUSY_MILLISECONDS, inspect

PAGE = 100
"""Rows read at once: with content of 32 KiB each they are 3 MiB."""

MAX_COMPLAINTS = 20
"""How much SQLite says about an index before it stops looking."""


class Stopped(Exception):
    """The scrub was told to end before it was through."""


class RootMissing(EngineError):
    """There is no storage root here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """
    An object, or a part of an upload under way, that is not what was stored.

    The index itself has neither bucket nor key.
    """

    what: str
    bucket: str | None = None
    key: str | None = None
    upload_id: str | None = None
    part_number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one scrub saw.  ``parts`` are those of uploads under way."""

    objects: int
    parts: int
    blobs: int
    bytes: int
    seconds: float
    damaged: tuple[Damage, ...]


@dataclass(frozen=True, slots=True)
class _Record:
    """A row that has content: an object, or a part (``upload_id`` and ``part_number``)."""

    bucket: str
    key: str
    version_id: str
    upload_id: str | None
    part_number: int | None
    size: int
    extents: tuple[Extent, ...]
    inline: bytes | None
    digest: bytes | None

    def damage(self, what: str) -> Damage:
        return Damage(
            what=what, bucket=self.bucket, key=self.key, upload_id=self.upload_id, part_number=self.part_number
        )


def scrub(
    root: Path,
    *,
    disk: Disk,
    clock: Clock,
    bytes_per_second: int | None = None,
    seen: Callable[[int], None] = lambda size: None,
    stopping: threading.Event | None = None,
) -> Report:
    """
    Read everything under a storage root once.  To be called in a thread: it takes as long as the rate allows.

    ``seen`` is told of bytes as they are read.  Raises Stopped once ``stopping`` is set; RootMissing, LayoutRefused and
    DiskFault where there is nothing that could be read.
    """
    if inspect(root):
        raise RootMissing(f"{root} is no storage root.")
    try:
        connection = connect(root)
    except apsw.Error as fault:
        raise DiskFault(f"{root}/index.db: {fault}") from fault
    try:
        return _Scrub(connection, disk, clock, bytes_per_second, seen, stopping or threading.Event()).run()
    finally:
        connection.close()


def connect(root: Path) -> apsw.Connection:
    """A connection to the index that cannot write it."""
    connection = apsw.Connection(str(root / "index.db"), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    return connection


def stored_bytes(root: Path) -> int:
    """How many bytes a scrub will read.  Raises DiskFault."""
    try:
        connection = connect(root)
        try:
            found: int = connection.execute(
                "SELECT (SELECT coalesce(sum(size), 0) FROM blobs)"
                " + (SELECT coalesce(sum(size), 0) FROM objects WHERE inline IS NOT NULL)"
            ).get
            return found
        finally:
            connection.close()
    except apsw.Error as fault:
        raise DiskFault(f"{root}/index.db: {fault}") from fault


class _Scrub:
    def __init__(
        self,
        connection: apsw.Connection,
        disk: Disk,
        clock: Clock,
        bytes_per_second: int | None,
        seen: Callable[[int], None],
        stopping: threading.Event,
    ) -> None:
        self._connection, self._disk, self._clock = connection, disk, clock
        self._rate, self._seen, self._stopping = bytes_per_second, seen, stopping
        self._began = clock.monotonic()
        self._objects = self._parts = self._blobs = self._bytes = 0

    def run(self) -> Report:
        damaged: list[Damage] = []
        try:
            damaged += [Damage(what=f"the index: {said}") for said in complaints(self._connection)]
            damaged += self._judge_records()
            damaged += self._attribute(self._judge_blobs())
        except apsw.Error as fault:
            damaged.append(Damage(what=f"the index: {fault}"))
        return Report(
            objects=self._objects,
            parts=self._parts,
            blobs=self._blobs,
            bytes=self._bytes,
            seconds=self._clock.monotonic() - self._began,
            damaged=tuple(damaged),
        )

    def _judge_records(self) -> Iterator[Damage]:
        for record in records(self._connection):
            if record.upload_id is None:
                self._objects += 1
            else:
                self._parts += 1
            if (what := self._judge_until_it_stays(record)) is not None:
                yield record.damage(what)
            self._pass(len(record.inline or b""))

    def _judge_until_it_stays(self, record: _Record) -> str | None:
        """What is wrong with a record, which may have been replaced since it was read."""
        now: _Record | None = record
        while now is not None and (what := self._judge_record(now)) is not None:
            before, now = now, look_up(self._connection, now)
            if now == before:
                return what
        return None

    def _judge_record(self, record: _Record) -> str | None:
        """What is wrong with it, as far as the index can tell."""
        if record.inline is not None:
            return None if digest_of(record.inline) == record.digest else "the content in the index changed"
        if record.size != sum(extent.size for extent in record.extents):
            return "the index has less or more content than the object's size"
        for extent in record.extents:
            seal = index.find_seal(self._connection, extent.blob)
            if seal is None:
                return f"blob {extent.blob} is unknown to the index"
            if extent.offset + extent.size > seal.size:
                return f"blob {extent.blob} is shorter than the object's share of it"
        return None

    def _judge_blobs(self) -> dict[str, str]:
        """What is wrong with blobs, by their names."""
        found = {}
        for blob, seal in seals(self._connection):
            what = self._judge_blob(blob, seal)
            # A blob is removed after its row: what is gone with its row was let go of meanwhile.
            if what is not None and index.find_seal(self._connection, blob) == seal:
                found[blob] = what
            self._blobs += 1
        return found

    def _judge_blob(self, blob: str, seal: Seal) -> str | None:
        sealing = Sealing()
        try:
            reader = self._disk.open(path_of(blob))
            try:
                while chunk := reader.read(sealing.size, READ_BYTES):
                    sealing.update(chunk)
                    self._pass(len(chunk))
            finally:
                reader.close()
        except FileNotFoundError:
            return f"blob {blob} is missing"
        except DiskFault as fault:
            return f"blob {blob} cannot be read: {fault}"
        if sealing.size != seal.size:
            return f"blob {blob} has {sealing.size} bytes in place of {seal.size}"
        return None if sealing.seal == seal else f"blob {blob} changed"

    def _attribute(self, blobs: dict[str, str]) -> Iterator[Damage]:
        """The records that name damaged blobs."""
        if not blobs:
            return
        missed = set(blobs)
        for record in records(self._connection):
            named = {extent.blob for extent in record.extents} & blobs.keys()
            missed -= named
            if named:
                yield record.damage("; ".join(blobs[blob] for blob in sorted(named)))
        for blob in sorted(missed):
            if index.find_seal(self._connection, blob) is not None:
                yield Damage(what=f"{blobs[blob]}; no record names it")

    def _pass(self, size: int) -> None:
        """Count bytes, and wait until so many may have been read.  Raises Stopped."""
        self._bytes += size
        self._seen(size)
        early = 0.0
        if self._rate is not None:
            early = self._bytes / self._rate - (self._clock.monotonic() - self._began)
        if self._stopping.wait(early) if early > 0 else self._stopping.is_set():
            raise Stopped


def complaints(connection: apsw.Connection) -> list[str]:
    """What SQLite finds wrong with the form of the index; nothing where it is well."""
    said = [str(row[0]) for row in connection.execute(f"PRAGMA quick_check({MAX_COMPLAINTS})")]
    return [] if said == ["ok"] else said


def _page(connection: apsw.Connection, query: str, values: tuple[Any, ...]) -> list[Any]:
    return connection.execute(f"{query} LIMIT {PAGE}", values).fetchall()


def seals(connection: apsw.Connection) -> Iterator[tuple[str, Seal]]:
    """Every blob that records name, a page at a time."""
    after = ""
    while rows := _page(connection, "SELECT id, size, digest FROM blobs WHERE id > ? ORDER BY id", (after,)):
        for blob, size, digest in rows:
            yield blob, Seal(size, digest)
        after = rows[-1][0]


_OBJECT = (
    "SELECT bucket, key, version_id, NULL, NULL, size, extents,"
    " (SELECT content FROM inlines WHERE id = objects.inline), (SELECT digest FROM inlines WHERE id = objects.inline)"
    " FROM objects WHERE (bucket, key, version_id)"
)
_PART = (
    "SELECT bucket, key, '', upload_id, number, size, extents, NULL, NULL"
    " FROM parts JOIN uploads USING (upload_id) WHERE (upload_id, number)"
)


def records(connection: apsw.Connection) -> Iterator[_Record]:
    """Every object in the order of its key, then every part of an upload, a page at a time."""
    place: tuple[Any, ...] = ("", "", "")
    while rows := _page(connection, f"{_OBJECT} > (?, ?, ?) ORDER BY bucket, key, version_id", place):
        yield from map(_record, rows)
        place = rows[-1][:3]
    place = ("", 0)
    while rows := _page(connection, f"{_PART} > (?, ?) ORDER BY upload_id, number", place):
        yield from map(_record, rows)
        place = rows[-1][3:5]


def look_up(connection: apsw.Connection, record: _Record) -> _Record | None:
    """What stands in the place of a record now."""
    if record.upload_id is None:
        place: tuple[Any, ...] = (record.bucket, record.key, record.version_id)
        row = connection.execute(f"{_OBJECT} = (?, ?, ?)", place).fetchone()
    else:
        row = connection.execute(f"{_PART} = (?, ?)", (record.upload_id, record.part_number)).fetchone()
    return None if row is None else _record(row)


def _record(row: Any) -> _Record:
    bucket, key, version_id, upload_id, number, size, extents, inline, digest = row
    return _Record(bucket, key, version_id, upload_id, number, size, index.unpack_extents(extents), inline, digest)


__all__ = ["Damage", "Report", "RootMissing", "Stopped", "scrub", "stored_bytes"]

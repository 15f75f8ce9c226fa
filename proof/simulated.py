"""
A disk that loses power: what it was told, in order, and what may be left of it at any moment.

Every call of the engine's Disk and of SQLite's files goes into one journal and to real files.  From the journal a
storage root is made as a loss of power after any call would leave it: what was fsynced stands, a name only once its
directory was fsynced; of everything else each sector and each name may be there or not, in any order.

The rules are harder than those of any one file system: fsync of a file says nothing of its name, and a sector that
was written later may be there where an earlier one is not.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import apsw

from rs3gw.engine.ports import Buffer, DiskFault, DiskFull, File, Reader
from rs3gw.engine.world import PosixDisk

SECTOR_BYTES: Final = 512
"""What a disk writes whole or not at all."""

Fault = Literal["full", "broken", "short"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call: what was done to which file (or directory), with its bytes where there are any."""

    what: Literal["create", "write", "truncate", "sync", "sync directory", "remove"]
    name: str
    offset: int = 0
    data: bytes = b""

    @property
    def makes_durable(self) -> bool:
        return self.what in ("sync", "sync directory")


@dataclass(slots=True)
class Journal:
    """
    The calls in their order, and what the clients had been told by then.

    ``fault`` is what happens to the calls from ``first`` to ``last``; ``lies`` are calls that are said to be done and
    are not, for tests that show that the simulation can fail.
    """

    calls: list[Call] = field(default_factory=list)
    told: list[tuple[int, int]] = field(default_factory=list)
    """(number of calls, number of the operation): acknowledged after so many calls."""
    fault: Fault = "broken"
    first: int = -1
    last: int = -1
    lies: Callable[[Call], bool] = lambda call: False
    hits: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, call: Call) -> Fault | None:
        """Write a call down; the fault that befalls it, in which case it has not happened."""
        with self._lock:
            number = len(self.calls)
            if self.first <= number <= self.last:
                self.hits += 1
                # It takes its place, so that the calls after it are counted as they would have been.
                self.calls.append(Call("sync", ""))
                return self.fault
            if not self.lies(call):
                self.calls.append(call)
            return None

    def tell(self, operation: int) -> None:
        """An operation has been acknowledged."""
        with self._lock:
            self.told.append((len(self.calls), operation))


def _fail(fault: Fault, name: str) -> None:
    raise DiskFull(name) if fault == "full" else DiskFault(f"{name}: simulated")


class RecordedFile:
    """A file of the engine's, written through the journal."""

    def __init__(self, file: File, journal: Journal, name: str) -> None:
        self._file, self._journal, self._name = file, journal, name
        self._size = 0

    def write(self, data: Buffer) -> None:
        call = Call("write", self._name, self._size, bytes(data))
        fault = self._journal.note(call)
        if fault == "short":
            half = call.data[: len(call.data) // 2]
            self._file.write(half)
            self._journal.note(Call("write", self._name, self._size, half))
        if fault is not None:
            _fail(fault, self._name)
        self._file.write(data)
        self._size += len(data)

    def sync(self) -> None:
        fault = self._journal.note(Call("sync", self._name))
        if fault is not None:
            _fail(fault, self._name)

    def close(self) -> None:
        self._file.close()


class RecordedDisk:
    """The engine's Disk over real files, with every change in the journal."""

    def __init__(self, root: Path, journal: Journal) -> None:
        self._disk, self._journal = PosixDisk(root), journal

    def _note(self, call: Call) -> None:
        fault = self._journal.note(call)
        if fault is not None:
            _fail(fault, call.name)

    def create(self, name: str) -> File:
        self._note(Call("create", name))
        return RecordedFile(self._disk.create(name), self._journal, name)

    def open(self, name: str) -> Reader:
        return self._disk.open(name)

    def size(self, name: str) -> int:
        return self._disk.size(name)

    def list(self, directory: str) -> Sequence[str]:
        return self._disk.list(directory)

    def make_directory(self, name: str) -> None:
        self._disk.make_directory(name)

    def sync_directory(self, name: str) -> None:
        self._note(Call("sync directory", name))

    def remove(self, name: str) -> None:
        self._note(Call("remove", name))
        self._disk.remove(name)

    def free_bytes(self) -> int:
        return self._disk.free_bytes()


class _IndexFile(apsw.VFSFile):
    """A file of SQLite's, written through the journal."""

    def __init__(self, vfs: IndexFiles, filename: Any, flags: list[int]) -> None:
        path = filename if isinstance(filename, str) else filename.filename() if filename is not None else None
        self._name = os.path.basename(path) if path is not None else ""
        self._journal = vfs.journal
        is_new = path is not None and not os.path.exists(path)
        if is_new:
            self._note(Call("create", self._name))
        # SQLite makes the name of a new log durable with the first sync of the log.
        self._is_nameless = is_new and bool(flags[0] & (apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL))
        super().__init__("", filename, flags)

    def _note(self, call: Call) -> None:
        if not self._name:
            return
        fault = self._journal.note(call)
        if fault == "short":
            half = call.data[: len(call.data) // 2]
            super().xWrite(half, call.offset)
            self._journal.note(Call("write", self._name, call.offset, half))
        if fault is not None:
            raise apsw.FullError("simulated") if fault == "full" else apsw.IOError("simulated")

    def xWrite(self, data: bytes, offset: int) -> None:
        self._note(Call("write", self._name, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._note(Call("truncate", self._name, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        self._note(Call("sync", self._name))
        if self._is_nameless:
            self._is_nameless = False
            self._note(Call("sync directory", ""))


class IndexFiles(apsw.VFS):
    """SQLite's files, under a name that ``Store`` is given."""

    _count = 0

    def __init__(self, journal: Journal) -> None:
        IndexFiles._count += 1
        self.name = f"simulated-{os.getpid()}-{IndexFiles._count}"
        self.journal = journal
        super().__init__(self.name, "")

    def xOpen(self, name: Any, flags: list[int]) -> _IndexFile:
        return _IndexFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        if self.journal.note(Call("remove", os.path.basename(filename))) is not None:
            raise apsw.IOError("simulated")
        super().xDelete(filename, syncdir)
        if syncdir:
            self.journal.note(Call("sync directory", ""))


class LeftDisk(PosixDisk):
    """The disk of a wreck, which knows where nothing is: to look into 256 empty directories takes most of an audit."""

    def __init__(self, root: Path, left: set[str]) -> None:
        super().__init__(root)
        self._directories = {os.path.dirname(name) for name in left}

    def list(self, directory: str) -> Sequence[str]:
        return super().list(directory) if directory in self._directories else ()


@contextmanager
def index_files(journal: Journal) -> Iterator[str]:
    """SQLite's files through a journal; the name for ``Store``."""
    vfs = IndexFiles(journal)
    try:
        yield vfs.name
    finally:
        vfs.unregister()


# What is left ------------------------------------------------------------------------------------------------

_OF_AN_OPEN_ROOT: Final = ("index.db", "index.db-wal", "index.db-shm", "index.db-journal")

Variant = Literal["nothing", "everything", "some"]


@dataclass(slots=True)
class _Inode:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Call] = field(default_factory=list)


class Wreck:
    """
    A storage root before a run of calls, and what may be left of it after any number of them.

    ``base`` is the root as it stood, all of it durable, when the journal began.
    """

    def __init__(self, base: Path) -> None:
        self._inodes: dict[str, _Inode] = {}
        """By what the running process sees."""
        self._durable: dict[str, _Inode] = {}
        """The names that a loss of power leaves."""
        self._names: dict[str, list[tuple[str, _Inode | None]]] = {}
        """By directory: names made (with their file) and removed since it was fsynced, in order."""
        self.left: set[str] = set()
        """The names that are there since the last wreck."""
        for path in base.rglob("*"):
            if path.is_file() and not path.name.endswith("-shm"):
                inode = _Inode(bytearray(path.read_bytes()))
                name = str(path.relative_to(base))
                self._inodes[name] = self._durable[name] = inode

    def apply(self, call: Call) -> None:
        """One more call."""
        name = call.name
        if call.what == "create":
            self._inodes[name] = inode = _Inode()
            self._names.setdefault(os.path.dirname(name), []).append((name, inode))
        elif call.what == "remove":
            self._inodes.pop(name, None)
            self._names.setdefault(os.path.dirname(name), []).append((name, None))
        elif call.what in ("write", "truncate"):
            if name in self._inodes:
                self._inodes[name].pending.append(call)
        elif call.what == "sync":
            synced = self._inodes.get(name, _Inode())
            for each in synced.pending:
                _write(synced.durable, each)
            synced.pending.clear()
        else:
            for made, file in self._names.pop(name, []):
                _rename(self._durable, made, file)

    def leave(self, root: Path, variant: Variant, dice: random.Random) -> None:
        """Put what is left into a directory, in place of what it held."""
        names = dict(self._durable)
        for changes in self._names.values():
            for name, file in changes:
                if variant == "everything" or (variant == "some" and dice.random() < 0.5):
                    _rename(names, name, file)
        for name in {*self.left, *_OF_AN_OPEN_ROOT}:
            (root / name).unlink(missing_ok=True)
        self.left = set(names)
        for name, inode in names.items():
            content = inode.durable
            if inode.pending and variant != "nothing":
                content = bytearray(content)
                for call in inode.pending:
                    for piece in [call] if variant == "everything" else torn(call, dice):
                        _write(content, piece)
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _rename(names: dict[str, _Inode], name: str, inode: _Inode | None) -> None:
    if inode is None:
        names.pop(name, None)
    else:
        names[name] = inode


def _write(content: bytearray, call: Call) -> None:
    if call.what == "truncate":
        del content[call.offset :]
        return
    end = call.offset + len(call.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[call.offset : end] = call.data


def torn(call: Call, dice: random.Random) -> Iterator[Call]:
    """What of a call may be left: all of it, nothing, or some of its sectors."""
    fate = dice.random()
    if fate < 0.4:
        yield call
    elif fate < 0.7 and call.what == "write":
        start = call.offset
        end = call.offset + len(call.data)
        while start < end:
            stop = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
            if dice.random() < 0.5:
                yield Call("write", call.name, start, call.data[start - call.offset : stop - call.offset])
            start = stop

"""
A volatile file system, mounted: the kernel's own protocol of FUSE, and the switch that cuts the power.

A process of its own answers the kernel, so that whoever is killed above it leaves it whole.  When the power is cut, it
takes the tree that a loss leaves and answers every further call with EIO, until it is mounted again over that tree: the
kernel's cache went with the old mount.

Only what a storage root and SQLite ask for is answered.  Locks and shared memory (SQLite's -shm) are the kernel's, in
its page cache; what of them reaches this process is as volatile as everything else.  It needs Linux, /dev/fuse and
root, and no library: the messages are those of linux/fuse.h, version 7.38.
"""

from __future__ import annotations

import ctypes
import errno
import multiprocessing
import os
import random
import select
import stat
import struct
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from proof.volatile import Directory, File, Loss

DEVICE: Final = Path("/dev/fuse")
ROOT_NODE: Final = 1
MAX_WRITE_BYTES: Final = 1024**2
FOREVER_SECONDS: Final = 10**6
"""How long the kernel may remember names and attributes: nobody changes them but through it."""

ROOM_BLOCKS: Final = 16 * 1024**2
"""What the disk says to have, of 4 KiB."""

UNMOUNT_SECONDS: Final = 10.0

_SETATTR_SIZE, _KEEP_CACHE = 1 << 3, 1 << 1
_BIG_WRITES, _MAX_PAGES = 1 << 5, 1 << 22

_HEADER, _REPLY = struct.Struct("<IIQQ16x"), struct.Struct("<IiQ")
_ENTRY, _VALID, _ATTRIBUTES = struct.Struct("<4Q8x"), struct.Struct("<Q8x"), struct.Struct("<3Q24x12x6I4x")
_INIT_REPLY, _OPENED, _WRITTEN = struct.Struct("<4I2H2I2H32x"), struct.Struct("<QI4x"), struct.Struct("<I4x")
_STATFS, _NAME = struct.Struct("<5Q3I28x"), struct.Struct("<QQII")
_RUN, _SETATTR, _PLACE = struct.Struct("<8xQI"), struct.Struct("<I4x8xQ"), struct.Struct("<Q")

_WRITE_BYTES, _CREATE_BYTES, _MKDIR_BYTES, _RENAME_BYTES, _RENAME2_BYTES = 40, 16, 8, 8, 16
"""How long what comes before the bytes, or the names, of a message is."""


class Mounted:
    """A volatile file system at ``place`` (an empty directory), until the block ends."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._is_mounted = False
        processes = multiprocessing.get_context("spawn")
        self._control, theirs = processes.Pipe()
        self._server = processes.Process(target=_serve, args=(str(place), theirs), daemon=True)

    def __enter__(self) -> Mounted:
        self._server.start()
        self.restore()
        return self

    def __exit__(self, *_: object) -> None:
        self._unmount()
        self._control.send(("end", None))
        self._server.join()

    def cut(self, seed: int | None) -> Loss:
        """
        Cut the power, and say what had not been synced.

        It is all gone, or, with a seed, any part of it.  Whoever still has something open is told EIO from here on.
        """
        return self._ask("cut", seed)

    def restore(self) -> None:
        """Mount what is left; nobody may have anything of it open.  Raises OSError."""
        self._unmount()
        self._ask("mount", None)
        self._is_mounted = True

    def _ask(self, what: str, seed: int | None) -> Loss:
        self._control.send((what, seed))
        answer = self._control.recv()
        if isinstance(answer, OSError):
            raise answer
        assert isinstance(answer, Loss)
        return answer

    def _unmount(self) -> None:
        until = time.monotonic() + UNMOUNT_SECONDS
        while self._is_mounted and _libc().umount2(os.fsencode(self._place), 0):
            # A process that was killed lets go of its files a moment later.
            if ctypes.get_errno() != errno.EBUSY or time.monotonic() > until:
                raise OSError(ctypes.get_errno(), f"unmounting {self._place}")
            time.sleep(0.005)
        self._is_mounted = False


def why_not() -> str | None:
    """Why nothing can be mounted here; None where it can."""
    if not DEVICE.exists():
        return f"there is no {DEVICE}"
    if os.geteuid() != 0:
        return "mounting needs root"
    return None


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


# The process that answers ------------------------------------------------------------------------------------


def _serve(place: str, control: Connection) -> None:
    """Answer the kernel, and whoever cuts the power, one after the other: a cut falls between two calls."""
    server = _Server(place)
    while True:
        ready = select.select([control.fileno(), *server.kernel], [], [])[0]
        if control.fileno() not in ready:
            server.answer()
            continue
        what, seed = control.recv()
        if what == "end":
            return
        try:
            control.send(server.cut(seed) if what == "cut" else server.mount())
        except OSError as fault:
            control.send(fault)


class _Server:
    """The tree, and the mount that shows it."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._tree = Directory()
        self._nodes: dict[int, File | Directory] = {}
        self._has_power = False
        self._message = bytearray(MAX_WRITE_BYTES + 4096)
        self.kernel: list[int] = []
        """The descriptor that the kernel asks through, where it is mounted."""
        self._deeds: dict[int, Callable[[int, memoryview], bytes]] = {
            1: self._lookup,
            3: self._getattr,
            4: self._setattr,
            9: self._mkdir,
            10: self._remove,
            11: self._remove,
            12: lambda node, body: self._rename(node, body, _RENAME_BYTES),
            14: self._open,
            15: self._read,
            16: self._write,
            17: self._statfs,
            18: lambda node, body: b"",
            20: self._sync,
            26: self._init,
            27: self._open,
            28: self._readdir,
            29: lambda node, body: b"",
            30: self._sync,
            35: self._create,
            45: lambda node, body: self._rename(node, body, _RENAME2_BYTES),
        }

    def cut(self, seed: int | None) -> Loss:
        """Nothing that is not on the disk is there any more."""
        loss = Loss.of(self._tree)
        self._tree = self._tree.after_loss(None if seed is None else random.Random(seed))
        self._has_power = False
        return loss

    def mount(self) -> Loss:
        """Show the tree; nothing is lost by that.  Raises OSError."""
        self._hang_up()
        descriptor = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={descriptor},rootmode={stat.S_IFDIR:o},user_id=0,group_id=0"
        if _libc().mount(b"volatile", os.fsencode(self._place), b"fuse", 0, options.encode()):
            os.close(descriptor)
            raise OSError(ctypes.get_errno(), f"mounting at {self._place}")
        self._nodes = {ROOT_NODE: self._tree}
        self._has_power = True
        self.kernel = [descriptor]
        return Loss()

    def _hang_up(self) -> None:
        for descriptor in self.kernel:
            os.close(descriptor)
        self.kernel = []

    def answer(self) -> None:
        """Take one message from the kernel and answer it."""
        try:
            os.readv(self.kernel[0], [self._message])
        except OSError as fault:
            if fault.errno == errno.ENODEV:  # it was unmounted
                self._hang_up()
                return
            if fault.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):  # the asker was killed meanwhile
                return
            raise
        length, opcode, unique, node = _HEADER.unpack_from(self._message)
        if opcode in _WITHOUT_ANSWER:
            return
        answer, error = b"", 0
        try:
            if not self._has_power and opcode != _DESTROY:
                raise OSError(errno.EIO, "no power")
            if opcode != _DESTROY:
                deed = self._deeds.get(opcode)
                if deed is None:
                    raise OSError(errno.ENOSYS, "not answered here")
                answer = deed(node, memoryview(self._message)[_HEADER.size : length])
        except OSError as fault:
            error = -(fault.errno or errno.EIO)
        try:
            os.writev(self.kernel[0], [_REPLY.pack(_REPLY.size + len(answer), error, unique), answer])
        except FileNotFoundError:
            pass  # the asker was killed meanwhile

    # What the kernel asks ------------------------------------------------------------------------------------

    def _init(self, node: int, body: memoryview) -> bytes:
        flags, pages = _BIG_WRITES | _MAX_PAGES, MAX_WRITE_BYTES // 4096
        return _INIT_REPLY.pack(7, 38, MAX_WRITE_BYTES, flags, 0, 0, MAX_WRITE_BYTES, 1, pages, 0)

    def _lookup(self, node: int, body: memoryview) -> bytes:
        found = self._directory(node).names.get(_names(body)[0])
        if found is None:
            raise OSError(errno.ENOENT, "no such name")
        return self._entry(found)

    def _getattr(self, node: int, body: memoryview) -> bytes:
        return _VALID.pack(FOREVER_SECONDS) + self._attributes(self._nodes[node])

    def _setattr(self, node: int, body: memoryview) -> bytes:
        valid, size = _SETATTR.unpack_from(body)
        if valid & _SETATTR_SIZE:
            self._file(node).truncate(size)
        return self._getattr(node, body)

    def _mkdir(self, node: int, body: memoryview) -> bytes:
        return self._entry(self._added(node, _names(body[_MKDIR_BYTES:])[0], Directory()))

    def _create(self, node: int, body: memoryview) -> bytes:
        made = self._added(node, _names(body[_CREATE_BYTES:])[0], File())
        return self._entry(made) + self._open(node, body)

    def _added(self, node: int, name: str, made: File | Directory) -> File | Directory:
        directory = self._directory(node)
        if name in directory.names:
            raise OSError(errno.EEXIST, name)
        directory.change({name: made})
        return made

    def _remove(self, node: int, body: memoryview) -> bytes:
        directory, (name, *_) = self._directory(node), _names(body)
        found = directory.names.get(name)
        if isinstance(found, Directory) and found.names:
            raise OSError(errno.ENOTEMPTY, name)
        directory.change({name: None})
        return b""

    def _rename(self, node: int, body: memoryview, names_at: int) -> bytes:
        (target,) = _PLACE.unpack_from(body)
        name, new_name, *_ = _names(body[names_at:])
        if target != node:
            raise OSError(errno.EXDEV, "only within a directory")
        directory = self._directory(node)
        directory.change({new_name: directory.names[name], name: None})
        return b""

    def _open(self, node: int, body: memoryview) -> bytes:
        # Without KEEP_CACHE each open would drop the pages that other processes share memory through.
        return _OPENED.pack(0, _KEEP_CACHE)

    def _read(self, node: int, body: memoryview) -> bytes:
        offset, size = _RUN.unpack_from(body)
        return self._file(node).read(offset, size)

    def _write(self, node: int, body: memoryview) -> bytes:
        offset, size = _RUN.unpack_from(body)
        self._file(node).write(offset, body[_WRITE_BYTES : _WRITE_BYTES + size])
        return _WRITTEN.pack(size)

    def _sync(self, node: int, body: memoryview) -> bytes:
        self._nodes[node].sync()
        return b""

    def _readdir(self, node: int, body: memoryview) -> bytes:
        offset, size = _RUN.unpack_from(body)
        answer = b""
        for number, (name, found) in enumerate(list(self._directory(node).names.items())[offset:], offset + 1):
            encoded = name.encode()
            kind = stat.S_IFMT(_mode(found)) >> 12
            entry = _NAME.pack(found.number, number, len(encoded), kind) + encoded
            entry += bytes(-len(entry) % 8)
            if len(answer) + len(entry) > size:
                break
            answer += entry
        return answer

    def _statfs(self, node: int, body: memoryview) -> bytes:
        return _STATFS.pack(ROOM_BLOCKS, ROOM_BLOCKS, ROOM_BLOCKS, ROOM_BLOCKS, ROOM_BLOCKS, 4096, 255, 4096)

    # How it is answered --------------------------------------------------------------------------------------

    def _file(self, node: int) -> File:
        found = self._nodes[node]
        if isinstance(found, Directory):
            raise OSError(errno.EISDIR, "a directory")
        return found

    def _directory(self, node: int) -> Directory:
        found = self._nodes[node]
        if isinstance(found, File):
            raise OSError(errno.ENOTDIR, "a file")
        return found

    def _entry(self, node: File | Directory) -> bytes:
        self._nodes[node.number] = node
        return _ENTRY.pack(node.number, 0, FOREVER_SECONDS, FOREVER_SECONDS) + self._attributes(node)

    def _attributes(self, node: File | Directory) -> bytes:
        size = node.size if isinstance(node, File) else 0
        return _ATTRIBUTES.pack(node.number, size, -(-size // 512), _mode(node), 1, 0, 0, 0, 4096)


_DESTROY: Final = 38
_WITHOUT_ANSWER: Final = frozenset({2, 36, 42})
"""FORGET, INTERRUPT, BATCH_FORGET: what is no longer named is dropped with the mount."""


def _mode(node: File | Directory) -> int:
    return stat.S_IFREG | 0o600 if isinstance(node, File) else stat.S_IFDIR | 0o700


def _names(body: memoryview) -> list[str]:
    """The names of a message, each ended by a zero."""
    return bytes(body).decode().split("\0")

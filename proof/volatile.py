"""
A file system that forgets what was not synced.

Files and directories live in memory twice: as their writers see them, and as a disk has them.  fsync of a file
carries its bytes over, fsync of a directory its names, and nothing else does: a file that was synced under a name that
was not is gone.  ``after_loss`` is the tree that a loss of power leaves.  The strictest disk forgets everything else;
a real one may have written any of it on its own, in any order: each name or none, each block, a block torn at a sector,
the length without the bytes.

That is less than any file system of Linux promises, so that what survives here survives on all of them.  Nothing here
knows how it is mounted.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

BLOCK_BYTES, SECTOR_BYTES = 4096, 512
"""What the kernel writes at once, and what a disk writes whole or not at all."""

_numbers: Final = itertools.count(2)  # 1 is the root's, wherever it is mounted


class File:
    """The bytes of a file, as they are and as they are on the disk."""

    def __init__(self, content: bytes = b"") -> None:
        self.number = next(_numbers)
        self._content = bytearray(content)
        self._durable = bytearray(content)
        self._dirty: set[int] = set()

    @property
    def size(self) -> int:
        return len(self._content)

    @property
    def unsynced_bytes(self) -> int:
        """How much of it a loss of power may take, in whole blocks."""
        return len(self._dirty) * BLOCK_BYTES

    def read(self, offset: int, size: int) -> bytes:
        return bytes(memoryview(self._content)[offset : offset + size])

    def write(self, offset: int, data: bytes | memoryview) -> None:
        end = offset + len(data)
        if offset > self.size:
            self.truncate(offset)
        self._content[offset:end] = data
        self._soil(offset, end)

    def truncate(self, size: int) -> None:
        """Cut it off, or fill it up with zeros."""
        before = self.size
        if size < before:
            del self._content[size:]
        else:
            self._content.extend(bytes(size - before))
        # What was cut off is not to come back when the file grows again.
        self._soil(min(size, before), max(size, before))

    def _soil(self, start: int, end: int) -> None:
        self._dirty.update(range(start // BLOCK_BYTES, -(-end // BLOCK_BYTES)))

    def sync(self) -> None:
        """The disk has it."""
        self._durable = self._resized(self.size)
        for block in self._dirty:
            at = block * BLOCK_BYTES
            self._durable[at : at + BLOCK_BYTES] = self._content[at : at + BLOCK_BYTES]
        self._dirty.clear()

    def after_loss(self, numbers: random.Random | None) -> File:
        """What is left of it; with ``numbers`` any part of what was not synced is."""
        if numbers is None:
            return File(bytes(self._durable))
        left = self._resized(numbers.choice([len(self._durable), self.size]))
        for block in sorted(self._dirty):
            at = block * BLOCK_BYTES
            written = self._content[at : at + BLOCK_BYTES]
            kept = min(self._kept_bytes(numbers), len(written), max(len(left) - at, 0))
            left[at : at + kept] = written[:kept]
        return File(bytes(left))

    @staticmethod
    def _kept_bytes(numbers: random.Random) -> int:
        """Of a block: nothing, all, or some sectors."""
        return numbers.choice([0, BLOCK_BYTES, numbers.randrange(0, BLOCK_BYTES, SECTOR_BYTES)])

    def _resized(self, size: int) -> bytearray:
        found = self._durable[:size]
        found.extend(bytes(size - len(found)))
        return found


class Directory:
    """The names in a directory, as they are and as they are on the disk."""

    def __init__(self, names: Mapping[str, File | Directory] | None = None) -> None:
        self.number = next(_numbers)
        self.names: dict[str, File | Directory] = dict(names or {})
        self._durable: dict[str, File | Directory] = dict(self.names)
        self._changes: list[dict[str, File | Directory | None]] = []

    @property
    def unsynced_names(self) -> int:
        """How many changes of names a loss of power may take."""
        return len(self._changes)

    def change(self, changes: Mapping[str, File | Directory | None]) -> None:
        """Set names, or remove them (None): all of these at once, as a rename does."""
        for name, node in changes.items():
            if node is None:
                self.names.pop(name, None)
            else:
                self.names[name] = node
        self._changes.append(dict(changes))

    def sync(self) -> None:
        """The disk has the names; what they name is another matter."""
        self._durable = dict(self.names)
        self._changes.clear()

    def after_loss(self, numbers: random.Random | None) -> Directory:
        """What is left of it and of everything in it."""
        left = Directory(self._durable)
        for changes in self._changes:
            if numbers is not None and numbers.random() < 0.5:
                left.change(changes)
        return Directory({name: node.after_loss(numbers) for name, node in left.names.items()})


@dataclass(slots=True)
class Loss:
    """How much was not synced when the power went."""

    bytes: int = 0
    names: int = 0

    @classmethod
    def of(cls, tree: Directory) -> Loss:
        """Count it in a tree."""
        loss = cls()
        loss._count(tree)
        return loss

    def _count(self, directory: Directory) -> None:
        self.names += directory.unsynced_names
        for node in directory.names.values():
            if isinstance(node, Directory):
                self._count(node)
            else:
                self.bytes += node.unsynced_bytes

"""
Blobs: immutable files under unique names, which exist for readers only once a record names them.

A blob is written in place under its final name, fsynced, and its directory fsynced, before the index may name it;
publishing is the index's commit, never a rename over something.  Its life has one owner at a time:

    staged    this process writes it; nobody else knows the name
    named     the index counts who names it; the transaction that takes the last name away frees it
    freed     removed after that commit, and after the last reader, in any process, that was in the middle of it

What a crash leaves between the stages is a file that no record names, which the sweep removes.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from rs3gw.engine.group import SESSION_BYTES, Group
from rs3gw.engine.ports import Buffer, Content, Disk, DiskFault, Entropy, Extent, File, Reader

# Content up to this size stands in the index and costs no file, no directory entry and no fsync of its own: the
# group commit carries it.  Measured on ext4: a durable put of 1 KiB is ×6 and one of 32 KiB ×2.5 faster inline, at
# 64 KiB the index's log is written as often as the file would be and the gain is gone.
INLINE_BYTES = 32 * 1024

READ_BYTES = 1024 * 1024
"""The largest chunk that a reader yields."""

RELEASE_SECONDS = 0.25
"""How often it is asked whether what was freed is still read in another process."""

FANOUT = tuple(f"{number:02x}" for number in range(256))


def name_of(random: bytes, session: str) -> str:
    """
    A new blob's name: of 16 random bytes, those after the first give way to the session of its writer.

    The first byte spreads the files over the directories.
    """
    drawn = random.hex()
    return drawn[:2] + session + drawn[2 + len(session) :]


def session_of(blob: str) -> str:
    """Who wrote it."""
    return blob[2 : 2 + 2 * SESSION_BYTES]


def path_of(blob: str) -> str:
    """The file of a blob."""
    return f"blobs/{blob[:2]}/{blob}"


def directory_of(blob: str) -> str:
    """Its directory."""
    return f"blobs/{blob[:2]}"


class Blobs:
    """The files of a storage root's blobs."""

    def __init__(
        self,
        disk: Disk,
        entropy: Entropy,
        pool: ThreadPoolExecutor,
        group: Group,
        session: str,
        *,
        is_strict: bool,
    ) -> None:
        self._disk = disk
        self._entropy = entropy
        self._pool = pool
        self._group = group
        self._session = session
        self._is_strict = is_strict
        self._released: deque[tuple[int, str]] = deque()
        self._is_tending = False
        self._staged: set[str] = set()
        self._pins: Counter[str] = Counter()
        self._freed: set[str] = set()

    # Staged

    def stage(self, *, inline: bool) -> BlobStaging:
        """A new staging, with no file until it needs one."""
        return BlobStaging(self, INLINE_BYTES if inline else -1)

    def create(self) -> tuple[str, File]:
        """A new blob's name and its file."""
        blob = name_of(self._entropy.token(16), self._session)
        self._staged.add(blob)
        try:
            return blob, self._disk.create(path_of(blob))
        except BaseException:
            self._staged.discard(blob)
            raise

    async def settle(self, blob: str, file: File) -> None:
        """Make a written blob durable and close its file."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._settle, blob, file)

    def _settle(self, blob: str, file: File) -> None:
        try:
            if self._is_strict:
                file.sync()
        finally:
            file.close()
        if self._is_strict:
            self._disk.sync_directory(directory_of(blob))

    def is_staged(self, blob: str) -> bool:
        """Whether this process wrote it and no record names it yet."""
        return blob in self._staged

    def published(self, extents: Iterable[Extent]) -> None:
        """The index has it from here on (or may have it, where a commit failed): a staging may not remove it."""
        self._staged.difference_update(extent.blob for extent in extents)

    async def drop(self, blob: str) -> None:
        """Remove a staged blob that will not be published."""
        if blob in self._staged:
            self._staged.discard(blob)
            await asyncio.get_running_loop().run_in_executor(self._pool, self._remove, blob)

    # Named

    def read(self, extents: Sequence[Extent], offset: int, size: int) -> Reading:
        """``size`` bytes from ``offset``, which from now on stay until the reading is closed."""
        return Reading(self, extents, offset, size)

    def fetch(self, reader: Reader, offset: int, size: int) -> asyncio.Future[bytes]:
        """Read in a thread."""
        return asyncio.get_running_loop().run_in_executor(self._pool, _read, reader, offset, size)

    def open(self, blob: str) -> Reader:
        """Raises DiskFault for a blob that is missing."""
        try:
            return self._disk.open(path_of(blob))
        except FileNotFoundError as fault:
            raise DiskFault(f"{blob} is missing") from fault

    def pin(self, blobs: Iterable[str]) -> int:
        """Keep blobs until they are unpinned, whatever is freed meanwhile; the number is for that."""
        self._pins.update(blobs)
        return self._group.begin_reading()

    def unpin(self, blobs: Iterable[str], reading: int) -> None:
        """Let go of what was pinned; what was freed meanwhile is removed."""
        self._group.end_reading(reading)
        freed = []
        for blob in blobs:
            self._pins[blob] -= 1
            if self._pins[blob] <= 0:
                del self._pins[blob]
                if blob in self._freed:
                    self._freed.discard(blob)
                    freed.append(blob)
        if freed:
            self._release(freed)

    # Freed

    def free(self, blobs: Iterable[str]) -> None:
        """Remove blobs that nothing names any more, each after its last reader."""
        now = []
        for blob in blobs:
            if blob in self._pins:
                self._freed.add(blob)
            else:
                now.append(blob)
        if now:
            self._release(now)

    def _release(self, blobs: Sequence[str]) -> None:
        """Remove blobs that nobody reads in this process, once nobody does in another."""
        moment = time.monotonic_ns()
        if self._group.is_past(moment):
            self._pool.submit(self._remove_all, blobs)
            return
        self._released.extend((moment, blob) for blob in blobs)
        if not self._is_tending:
            self._is_tending = True
            asyncio.get_running_loop().call_later(RELEASE_SECONDS, self._tend)

    def _tend(self) -> None:
        past = []
        while self._released and self._group.is_past(self._released[0][0]):
            past.append(self._released.popleft()[1])
        if past:
            self._pool.submit(self._remove_all, past)
        self._is_tending = bool(self._released)
        if self._is_tending:
            asyncio.get_running_loop().call_later(RELEASE_SECONDS, self._tend)

    def _remove_all(self, blobs: Iterable[str]) -> None:
        for blob in blobs:
            self._remove(blob)

    def _remove(self, blob: str) -> None:
        try:
            self._disk.remove(path_of(blob))
        except (FileNotFoundError, DiskFault):
            # What cannot be removed now is found by the next sweep.
            return

    def sweep(self, is_named: Callable[[str], bool]) -> int:
        """
        Remove every file that no record names and nobody is writing or reading; the bytes freed.

        The order makes it safe beside writers: a name is listed first, then found not to be staged, here or by a
        sibling, then looked up; a blob leaves the stage only after its record can be seen.  While any process reads
        something old enough to have been named when the reading began, what is found stays for the next sweep.
        """
        freed = 0
        for name in FANOUT:
            listed = self._disk.list(f"blobs/{name}")
            siblings = self._group.sessions() if listed else ()
            for blob in listed:
                if blob in self._staged or blob in self._freed or blob in self._pins or session_of(blob) in siblings:
                    continue
                if is_named(blob) or not self._group.is_past(time.monotonic_ns()):
                    continue
                size = self._disk.size(path_of(blob))
                self._remove(blob)
                freed += size
        return freed


def make_directories(disk: Disk) -> None:
    """The fan-out, made once for a new root, so that no write ever has to make a directory durable."""
    for name in FANOUT:
        disk.make_directory(f"blobs/{name}")
    disk.sync_directory("blobs")


class Reading:
    """
    Bytes on their way out of blobs: an iterator of chunks, one of them read ahead.

    The blobs are pinned from the moment it is made, not from the first chunk: between the two the caller sends the
    headers of an answer, and the object may be replaced.  Raises DiskFault for missing bytes.
    """

    __slots__ = ("_ahead", "_blobs", "_closed", "_pieces", "_pinned", "_reader", "_reading", "_strides")

    def __init__(self, blobs: Blobs, extents: Sequence[Extent], offset: int, size: int) -> None:
        self._blobs = blobs
        self._pieces = pieces(extents, offset, size)
        self._strides: Iterator[tuple[int, int]] = iter(())
        self._reader: Reader | None = None
        self._ahead: tuple[int, int, asyncio.Future[bytes]] | None = None
        self._closed = False
        self._pinned = {extent.blob for extent in extents}
        self._reading = blobs.pin(self._pinned)

    def __aiter__(self) -> Reading:
        return self

    async def __anext__(self) -> Buffer:
        if self._closed:
            raise StopAsyncIteration
        try:
            return await self._next()
        except BaseException:
            await self.aclose()
            raise

    async def _next(self) -> bytes:
        if self._ahead is not None:
            offset, size, ahead = self._ahead
            chunk = await ahead
            self._ahead = None
        else:
            offset, size = self._stride()
            assert self._reader is not None
            found = self._reader.read(offset, size, wait=False)
            chunk = found if found is not None else await self._blobs.fetch(self._reader, offset, size)
        if len(chunk) != size:
            raise DiskFault(f"a blob ends before {offset + size}")
        following = next(self._strides, None)
        if following is not None:
            assert self._reader is not None
            self._ahead = (*following, self._blobs.fetch(self._reader, *following))
        return chunk

    def _stride(self) -> tuple[int, int]:
        """The next run to read, of the next blob where this one has no more.  Raises StopAsyncIteration."""
        stride = next(self._strides, None)
        while stride is None:
            self._let_go()
            piece = next(self._pieces, None)
            if piece is None:
                raise StopAsyncIteration
            extent, start, wanted = piece
            self._reader = self._blobs.open(extent.blob)
            self._strides = strides(start, wanted)
            stride = next(self._strides, None)
        return stride

    def _let_go(self) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.close()

    async def aclose(self) -> None:
        """Let go of the blobs; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        if self._ahead is not None:
            # The thread may still be reading: the descriptor must outlive it.
            ahead, self._ahead = self._ahead[2], None
            await asyncio.wait([ahead])
            if not ahead.cancelled():
                ahead.exception()
        self._let_go()
        self._blobs.unpin(self._pinned, self._reading)


def _read(reader: Reader, offset: int, size: int) -> bytes:
    return reader.read(offset, size) or b""


def pieces(extents: Sequence[Extent], offset: int, size: int) -> Iterator[tuple[Extent, int, int]]:
    """The runs of blobs that hold ``size`` bytes from ``offset``: (extent, offset in its blob, bytes)."""
    for extent in extents:
        if size <= 0:
            return
        if offset >= extent.size:
            offset -= extent.size
            continue
        wanted = min(size, extent.size - offset)
        yield extent, extent.offset + offset, wanted
        size -= wanted
        offset = 0
    if size > 0:
        raise DiskFault("the extents are shorter than the object")


def strides(start: int, size: int) -> Iterator[tuple[int, int]]:
    """A run cut into chunks of at most READ_BYTES: (offset, bytes)."""
    for at in range(start, start + size, READ_BYTES):
        yield at, min(READ_BYTES, start + size - at)


class BlobStaging:
    """Bytes being received: in memory up to a bound, in a blob beyond it."""

    __slots__ = ("_blob", "_blobs", "_file", "_held", "_inline_bytes", "_size")

    def __init__(self, blobs: Blobs, inline_bytes: int) -> None:
        self._blobs = blobs
        self._inline_bytes = inline_bytes
        self._held: list[bytes] = []
        self._size = 0
        self._blob: str | None = None
        self._file: File | None = None

    @property
    def size(self) -> int:
        return self._size

    @property
    def in_memory(self) -> bool:
        return self._file is None and self._blob is None

    def write(self, chunk: Buffer) -> None:
        self._size += len(chunk)
        if self._file is None and self._size <= self._inline_bytes:
            self._held.append(bytes(chunk))
            return
        if self._file is None:
            self._blob, self._file = self._blobs.create()
            for held in self._held:
                self._file.write(held)
            self._held.clear()
        self._file.write(chunk)

    async def seal(self) -> Content:
        if self._file is None:
            if self._inline_bytes >= 0:
                return Content(inline=b"".join(self._held))
            # Nothing came, and the index may not hold it: no bytes are no extents.
            return Content()
        assert self._blob is not None
        file, self._file = self._file, None
        await self._blobs.settle(self._blob, file)
        return Content(extents=(Extent(self._blob, 0, self._size),))

    async def discard(self) -> None:
        self._held.clear()
        if self._file is not None:
            file, self._file = self._file, None
            file.close()
        if self._blob is not None:
            await self._blobs.drop(self._blob)

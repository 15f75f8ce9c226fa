"""
Blobs: immutable files under unique names, which exist for readers only once a record names them.

A blob is written in place under its final name, fsynced, and its directory fsynced, before the index may name it;
publishing is the index's commit, never a rename over something.  Its life has one owner at a time:

    staged    this process writes it; nobody else knows the name
    named     the index counts who names it; the transaction that takes the last name away frees it
    freed     removed after that commit, and after the last reader, in any process, that was in the middle of it

What a crash leaves between the stages is a file that no record names, which the sweep removes.

The index has the seal of every blob that it names.  A blob that is read from its beginning to its end is compared
with it, and its last chunk is not handed out where it is wrong.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from rs3gw.engine.group import SESSION_BYTES, Group
from rs3gw.engine.ports import Buffer, Content, Disk, DiskFault, Entropy, Extent, File, Reader
from rs3gw.engine.seals import Seal, Sealing, digest_of

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
        find_seal: Callable[[str], Seal | None],
        require_room: Callable[[int], None],
        *,
        is_strict: bool,
    ) -> None:
        self._disk = disk
        self._entropy = entropy
        self._pool = pool
        self._group = group
        self._session = session
        self.find_seal = find_seal
        self.require_room = require_room
        self._is_strict = is_strict
        self._released: deque[tuple[int, str]] = deque()
        self._is_tending = False
        self._staged: dict[str, Seal | None] = {}
        self._pins: Counter[str] = Counter()
        self._freed: set[str] = set()

    # Staged

    def stage(self, *, inline: bool) -> BlobStaging:
        """A new staging, with no file until it needs one."""
        return BlobStaging(self, INLINE_BYTES if inline else -1)

    def create(self) -> tuple[str, File]:
        """A new blob's name and its file."""
        blob = name_of(self._entropy.token(16), self._session)
        self._staged[blob] = None
        try:
            return blob, self._disk.create(path_of(blob))
        except BaseException:
            del self._staged[blob]
            raise

    async def settle(self, blob: str, file: File, seal: Seal) -> None:
        """Make a written blob durable and close its file."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._settle, blob, file)
        self._staged[blob] = seal

    def _settle(self, blob: str, file: File) -> None:
        try:
            if self._is_strict:
                file.sync()
        finally:
            file.close()
        if self._is_strict:
            self._disk.sync_directory(directory_of(blob))

    def staged(self, blob: str) -> Seal | None:
        """The seal of a blob that this process wrote and no record names yet; None for any other."""
        return self._staged.get(blob)

    def published(self, extents: Iterable[Extent]) -> None:
        """The index has it from here on (or may have it, where a commit failed): a staging may not remove it."""
        for extent in extents:
            self._staged.pop(extent.blob, None)

    async def drop(self, blob: str) -> None:
        """Remove a staged blob that will not be published."""
        if blob in self._staged:
            del self._staged[blob]
            await asyncio.get_running_loop().run_in_executor(self._pool, self._remove, blob)

    # Named

    def read(self, extents: Sequence[Extent], offset: int, size: int) -> Reading:
        """``size`` bytes from ``offset``, which from now on stay until the reading is closed."""
        return Reading(self, extents, offset, size)

    def fetch(self, reader: Reader, offset: int, size: int, sealing: Sealing | None) -> asyncio.Future[Buffer]:
        """Read, and look at what was read, in a thread."""
        return asyncio.get_running_loop().run_in_executor(self._pool, _read, reader, offset, size, sealing)

    async def require(self, runs: Sequence[tuple[Extent, int, int]]) -> None:
        """Raises DiskFault where one of these runs, (extent, offset, bytes), is missing or short."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._require, runs)

    def _require(self, runs: Sequence[tuple[Extent, int, int]]) -> None:
        for extent, offset, size in runs:
            try:
                found = self._disk.size(path_of(extent.blob))
            except FileNotFoundError as fault:
                raise DiskFault(f"{extent.blob} is missing") from fault
            if found < offset + size:
                raise DiskFault(f"{extent.blob} ends at {found}, before {offset + size}")

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
                try:
                    size = self._disk.size(path_of(blob))
                except FileNotFoundError:
                    # It was freed between the list and now, and its owner was faster.
                    continue
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
    headers of an answer, and the object may be replaced.  Raises DiskFault for missing bytes before the first one, and
    for wrong ones before the last of their blob.
    """

    __slots__ = (
        "_ahead",
        "_blobs",
        "_closed",
        "_is_required",
        "_pieces",
        "_pinned",
        "_reader",
        "_reading",
        "_seal",
        "_sealing",
        "_strides",
    )

    def __init__(self, blobs: Blobs, extents: Sequence[Extent], offset: int, size: int) -> None:
        self._blobs = blobs
        self._pieces = deque(pieces(extents, offset, size))
        # What is one chunk is found missing or short by reading it.
        self._is_required = len(self._pieces) == 1 and size <= READ_BYTES
        self._sealing: Sealing | None = None
        self._seal: Seal | None = None
        self._strides: Iterator[tuple[int, int]] = iter(())
        self._reader: Reader | None = None
        self._ahead: tuple[int, int, asyncio.Future[Buffer]] | None = None
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

    async def _next(self) -> Buffer:
        if not self._is_required:
            await self._blobs.require(self._pieces)
            self._is_required = True
        if self._ahead is not None:
            offset, size, ahead = self._ahead
            chunk = await ahead
            self._ahead = None
        else:
            offset, size = self._stride()
            assert self._reader is not None
            found = self._reader.read(offset, size, wait=False)
            if found is None:
                chunk = await self._blobs.fetch(self._reader, offset, size, self._sealing)
            else:
                chunk = found
                if self._sealing is not None:
                    self._sealing.update(chunk)
        if len(chunk) != size:
            raise DiskFault(f"a blob ends before {offset + size}")
        following = next(self._strides, None)
        if following is not None:
            assert self._reader is not None
            self._ahead = (*following, self._blobs.fetch(self._reader, *following, self._sealing))
        elif self._sealing is not None and self._sealing.seal != self._seal:
            raise DiskFault("a blob is not what was stored")
        return chunk

    def _stride(self) -> tuple[int, int]:
        """The next run to read, of the next blob where this one has no more.  Raises StopAsyncIteration."""
        stride = next(self._strides, None)
        while stride is None:
            self._let_go()
            if not self._pieces:
                raise StopAsyncIteration
            extent, start, wanted = self._pieces.popleft()
            self._reader = self._blobs.open(extent.blob)
            # One that was freed meanwhile has lost its seal with its record, and is read as it is.
            seal = self._blobs.find_seal(extent.blob)
            is_whole = seal is not None and (start, wanted) == (0, seal.size)
            self._seal, self._sealing = seal, Sealing() if is_whole else None
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


def _read(reader: Reader, offset: int, size: int, sealing: Sealing | None) -> Buffer:
    chunk = reader.read(offset, size) or b""
    if sealing is not None:
        sealing.update(chunk)
    return chunk


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

    __slots__ = ("_blob", "_blobs", "_file", "_held", "_inline_bytes", "_sealing", "_size")

    def __init__(self, blobs: Blobs, inline_bytes: int) -> None:
        self._blobs = blobs
        self._inline_bytes = inline_bytes
        self._held: list[bytes] = []
        self._size = 0
        self._sealing = Sealing()
        self._blob: str | None = None
        self._file: File | None = None

    @property
    def size(self) -> int:
        return self._size

    @property
    def in_memory(self) -> bool:
        return self._file is None and self._blob is None

    def write(self, chunk: Buffer) -> None:
        self._blobs.require_room(len(chunk))
        self._size += len(chunk)
        if self._file is None and self._size <= self._inline_bytes:
            self._held.append(bytes(chunk))
            return
        if self._file is None:
            self._blob, self._file = self._blobs.create()
            for held in self._held:
                self._put(self._file, held)
            self._held.clear()
        self._put(self._file, chunk)

    def _put(self, file: File, chunk: Buffer) -> None:
        file.write(chunk)
        self._sealing.update(chunk)

    async def seal(self) -> Content:
        if self._file is None:
            if self._inline_bytes >= 0:
                inline = b"".join(self._held)
                return Content(inline=inline, digest=digest_of(inline))
            # Nothing came, and the index may not hold it: no bytes are no extents.
            return Content()
        assert self._blob is not None
        file, self._file = self._file, None
        await self._blobs.settle(self._blob, file, self._sealing.seal)
        return Content(extents=(Extent(self._blob, 0, self._size),))

    async def discard(self) -> None:
        self._held.clear()
        if self._file is not None:
            file, self._file = self._file, None
            file.close()
        if self._blob is not None:
            await self._blobs.drop(self._blob)

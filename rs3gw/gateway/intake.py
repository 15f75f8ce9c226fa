"""
A body on its way in: staged, digested while it passes, verified, and only then anybody's to publish.

Whatever ends the way early (a wrong digest, a broken connection, a full disk, a cancelled call) leaves nothing.
Memory is bounded by two strides however large the body is: one being received, one in worker threads, where it
is digested and written at once.  A small body never leaves the loop: a hop to a thread costs more than its digests.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from rs3gw.engine.ports import Content, Engine, Staging
from rs3gw.engine.seals import unsealed
from rs3gw.errors import EntityTooLarge, IncompleteBody
from rs3gw.gateway.digests import Claims, Tally
from rs3gw.operations.body import Body, Buffer, Whole

STRIDE_BYTES: Final = 1024**2
"""What a worker takes at once: long enough that the hop (40 µs) does not count beside the MD5 (1.5 ms)."""

FIRST_STRIDE_BYTES: Final = 256 * 1024
"""The first stride; each is twice the last one.  Work on a body of 1 MiB begins before the half of it has come."""

LOOP_BYTES: Final = 64 * 1024
"""Up to here a body is digested on the loop, in at most a tenth of a millisecond."""


@dataclass(slots=True)  # not frozen: one a write
class Received:
    """Bytes that are whole, verified and durable, and that no record names yet."""

    content: Content
    size: int
    tally: Tally
    staging: Staging


async def receive(
    engine: Engine, body: Body, claims: Claims, *, most: int, also: tuple[str, ...] = (), inline: bool = True
) -> Received:
    """
    Take a body whole and verify what was claimed of it; ``also`` names checksums wanted besides.

    ``inline`` is as in ``Engine.stage``: a part of an upload may not stand in the index.

    What is returned is published, or given up with ``discard``.  Raises EntityTooLarge over ``most`` bytes,
    IncompleteBody, and what ``Claims.verify`` raises.
    """
    announced = body.size
    if announced is not None and announced > most:
        raise EntityTooLarge(proposed_size=announced, max_size_allowed=most)
    tally = claims.tally(*also)
    staging = engine.stage(announced, inline=inline)
    worker = _Worker(staging, tally)
    try:
        if isinstance(body, Whole) and body.size <= LOOP_BYTES:
            worker.small(body.data)
            size = body.size
        else:
            size = await _drain(body, worker, most)
        if announced is not None and size != announced:
            raise IncompleteBody(number_bytes_expected=announced, number_bytes_provided=size)
        if worker.is_done:
            claims.verify(tally, body.trailers)
            return Received(await staging.seal(), size, tally, staging)
        # The last stride is still being digested: meanwhile the disk can be made to keep what it has.
        content = await worker.seal()
        claims.verify(tally, body.trailers)
        return Received(content, size, tally, staging)
    except BaseException:
        # The clean-up is a task of its own, so that a second cancellation cannot interrupt it half-way.
        await asyncio.shield(asyncio.ensure_future(worker.abandon()))
        raise


async def discard(received: Received, fault: BaseException) -> None:
    """
    Give up what was received, because it could not be published.

    Where the call was cancelled while the engine was committing, the commit may still win: then the bytes are the
    engine's to keep or to sweep.
    """
    if isinstance(fault, Exception):
        await received.staging.discard()


async def _drain(body: Body, worker: _Worker, most: int) -> int:
    size = 0
    small: list[Buffer] = []
    stride: _Stride | None = None
    async for chunk in body:
        size += len(chunk)
        if size > most:
            raise EntityTooLarge(proposed_size=size, max_size_allowed=most)
        if stride is None:
            # A chunk is the sender's until the next one: what is only a view is copied.
            small.append(chunk if isinstance(chunk, bytes) else bytes(chunk))
            if size <= LOOP_BYTES:
                continue
            stride = _Stride()
            for each in small:
                await stride.fill(each, worker)
            small.clear()
        else:
            await stride.fill(chunk, worker)
    if stride is not None:
        await stride.flush(worker)
    elif small:
        worker.small(small[0] if len(small) == 1 else b"".join(small))
    return size


class _Stride:
    """Two buffers of a stride each: one is filled while the other is worked on."""

    __slots__ = ("_buffer", "_filled", "_spare")

    def __init__(self) -> None:
        self._buffer, self._spare = bytearray(FIRST_STRIDE_BYTES), bytearray()
        self._filled = 0

    async def fill(self, chunk: Buffer, worker: _Worker) -> None:
        view = memoryview(chunk)
        if not self._filled and len(view) >= STRIDE_BYTES and isinstance(view.obj, bytes):
            # Large enough by itself, and nobody can change it: no copy.
            await worker.take(chunk)
            return
        while view:
            piece = view[: len(self._buffer) - self._filled]
            self._buffer[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == len(self._buffer):
                await self.flush(worker)

    async def flush(self, worker: _Worker) -> None:
        if not self._filled:
            return
        full = self._buffer
        await worker.take(full if self._filled == len(full) else memoryview(full)[: self._filled])
        # The worker has let go of the other one by now: it takes a stride only when it is done with the last.
        size = min(2 * len(full), STRIDE_BYTES)
        self._buffer, self._spare = (self._spare if len(self._spare) == size else bytearray(size)), full
        self._filled = 0


class _Worker:
    """Digests and writes, in order and one stride at a time: a large one in two threads at once."""

    __slots__ = ("_digesting", "_staging", "_tally", "_writing")

    def __init__(self, staging: Staging, tally: Tally) -> None:
        self._staging, self._tally = staging, tally
        self._digesting: asyncio.Future[None] | None = None
        self._writing: asyncio.Future[None] | None = None

    @property
    def is_done(self) -> bool:
        return self._digesting is None and self._writing is None

    def small(self, data: Buffer) -> None:
        self._tally.update(data)
        self._staging.write(data)

    async def take(self, data: Buffer) -> None:
        """Begin to work on the next bytes as soon as the last ones are done.  Raises what the work raised."""
        await self._settle()
        loop = asyncio.get_running_loop()
        self._digesting = loop.run_in_executor(None, self._tally.update_md5, data)
        self._writing = loop.run_in_executor(None, self._write, data)

    def _write(self, data: Buffer) -> None:
        # The disk comes first: it goes on by itself while the bytes are digested.
        self._staging.write(data)
        self._tally.update_others(data)

    async def seal(self) -> Content:
        """The content, durable, once all of it is written and digested.  Raises what the work raised."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
            self._writing.result()
        content = await self._staging.seal()
        await self._settle()
        return content

    async def _settle(self) -> None:
        under_way = [work for work in (self._digesting, self._writing) if work is not None]
        if under_way:
            # Unlike awaiting them, this leaves them be when the call is cancelled: the threads go on with the buffer.
            await asyncio.wait(under_way)
            self._digesting = self._writing = None
            for work in under_way:
                work.result()

    async def abandon(self) -> None:
        """Wait for the threads, whatever they say, and forget the bytes."""
        with suppress(Exception):
            await self._settle()
        await self._staging.discard()


async def examine(
    engine: Engine, content: Content, algorithms: tuple[str, ...], *, offset: int = 0, size: int | None = None
) -> Tally:
    """Digest bytes that are stored already, as a copy needs it; in worker threads, one stride at a time."""
    tally = Tally(algorithms)
    wanted = content.size - offset if size is None else size
    if content.inline is not None and wanted <= LOOP_BYTES:
        tally.update(memoryview(unsealed(content))[offset : offset + wanted])
        return tally
    chunks = engine.read(content, offset=offset, size=wanted)
    loop = asyncio.get_running_loop()
    try:
        async for chunk in chunks:
            # Shielded: the chunk belongs to the reader again only when the thread is done with it.
            await asyncio.shield(loop.run_in_executor(None, tally.update, chunk))
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
    return tally

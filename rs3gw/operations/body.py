"""
Bytes on their way in or out, once.

A Body is never held whole unless it was made whole: whoever reads it takes chunk after chunk, and whoever sends
it waits while the reader is slow.  It ends exactly at ``size`` bytes where a size is known; a transport that
sees fewer or more raises before the end of the iteration, so a reader that reached the end has all of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

Buffer = bytes | bytearray | memoryview
"""What a chunk is: anything that hashlib, a file and a socket take without a copy."""

NO_TRAILERS: Mapping[str, str] = {}


class Body:
    """
    A stream of bytes with what the sender said of it.

    ``size`` is the announced length in bytes, None where only the end will tell.
    ``sha256`` is the hex digest that the sender signed, None where the payload is unsigned.
    ``promised`` names the trailing headers that were announced (lower case); ``trailers`` holds those that came,
    and is complete once the iteration has ended.
    """

    size: int | None = None
    sha256: str | None = None
    promised: tuple[str, ...] = ()

    @property
    def trailers(self) -> Mapping[str, str]:
        return NO_TRAILERS

    def __aiter__(self) -> AsyncIterator[Buffer]:
        raise NotImplementedError

    async def aclose(self) -> None:
        """Let go of what the body holds (a file, a pin); safe to call twice and before the end."""


class Whole(Body):
    """A body that was small enough to be at hand: an inline object, a document, a test's bytes."""

    def __init__(self, data: Buffer, *, sha256: str | None = None) -> None:
        self.data = data
        self.size: int = len(data)
        self.sha256 = sha256

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        if self.size:
            yield self.data


class Stream(Body):
    """A body made of any asynchronous iterator of chunks."""

    def __init__(self, chunks: AsyncIterator[Buffer], *, size: int | None = None) -> None:
        self._chunks = chunks
        self._first: Buffer | None = None
        self.size = size

    async def begin(self) -> None:
        """Take the first chunk before anybody asks, so that what is wrong already is raised before an answer begins."""
        self._first = await anext(self._chunks, None)

    def __aiter__(self) -> AsyncIterator[Buffer]:
        return self._chunks if self._first is None else self

    async def __anext__(self) -> Buffer:
        first, self._first = self._first, None
        return first if first is not None else await anext(self._chunks)

    async def aclose(self) -> None:
        if hasattr(self._chunks, "aclose"):
            await self._chunks.aclose()


EMPTY = Whole(b"")

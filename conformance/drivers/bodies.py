"""
The bytes of objects, as drivers send and measure them.

A Pattern is as long as one likes and costs no memory: every driver, and every later reader, makes the same bytes from
the same seed.  A Measure remembers of bytes that pass what a comparison needs, and forgets the bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

BLOCK_BYTES = 64 * 1024


class Content(Protocol):
    """Bytes whose number is known and that can be read more than once."""

    @property
    def size(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Pattern:
    """
    ``size`` reproducible bytes; another seed, or another place in the same pattern, gives other bytes.

    Blocks of 64 KiB differ from each other, so that a part stored in the wrong place is seen.
    """

    size: int
    seed: int = 0

    def __iter__(self) -> Iterator[bytes]:
        return self.slice(0, self.size)

    def slice(self, offset: int, size: int) -> Iterator[bytes]:
        """``size`` of the bytes, from ``offset``."""
        base = hashlib.shake_128(b"rs3gw conformance %d" % self.seed).digest(BLOCK_BYTES)
        end = min(offset + size, self.size)
        while offset < end:
            number, skip = divmod(offset, BLOCK_BYTES)
            block = number.to_bytes(8, "big") + base[8:]
            piece = block[skip : skip + end - offset]
            yield piece
            offset += len(piece)

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        """The bytes themselves, or ``size`` of them from ``offset``."""
        return b"".join(self.slice(offset, self.size if size is None else size))

    def measure(self) -> Measure:
        """What a Measure says after all of it has passed."""
        return Measure.of(self)


class Measure:
    """Size and digests of bytes that have passed."""

    __slots__ = ("_md5", "_sha256", "size")

    def __init__(self) -> None:
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    @classmethod
    def of(cls, chunks: Iterable[bytes]) -> Measure:
        """The measure of bytes, or of chunks of them."""
        measure = cls()
        for chunk in (bytes(chunks),) if isinstance(chunks, (bytes, bytearray, memoryview)) else chunks:
            measure.take(chunk)
        return measure

    def take(self, chunk: bytes) -> None:
        """Let more bytes pass."""
        self.size += len(chunk)
        self._md5.update(chunk)
        self._sha256.update(chunk)

    @property
    def md5(self) -> str:
        """In hex."""
        return self._md5.hexdigest()

    @property
    def sha256(self) -> str:
        """In hex."""
        return self._sha256.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Measure) and (self.size, self.sha256) == (other.size, other.sha256)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Measure(size={self.size}, sha256={self.sha256[:12]}…)"


def size_of(body: Content | bytes | Iterable[bytes]) -> int | None:
    """How many bytes a body has, where that is known before it is read."""
    if isinstance(body, (bytes, bytearray, memoryview)):
        return len(body)
    return getattr(body, "size", None)


def chunks_of(body: Content | bytes | Iterable[bytes], chunk_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """A body in pieces: bytes are cut, anything else comes as it comes."""
    if isinstance(body, (bytes, bytearray, memoryview)):
        for offset in range(0, len(body), chunk_bytes):
            yield bytes(body[offset : offset + chunk_bytes])
    else:
        yield from body

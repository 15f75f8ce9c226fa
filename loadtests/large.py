"""
Large bodies that cost their maker nothing: made while they are read, dropped while they are written.
"""

from __future__ import annotations

import io
from typing import Protocol

CHUNK_BYTES = 1024**2


class _Readable(Protocol):
    def read(self, size: int) -> bytes: ...


class Zeros(io.RawIOBase):
    """A readable, seekable file of so many zero bytes, as upload_fileobj takes one."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        wanted = self._size - self._at if size < 0 else min(size, self._size - self._at)
        self._at += wanted
        return bytes(wanted)


def drain(body: _Readable, size: int) -> None:
    """Read to the end and see that it was all."""
    seen = 0
    while chunk := body.read(CHUNK_BYTES):
        seen += len(chunk)
    if seen != size:
        raise RuntimeError(f"{seen} bytes came of {size}")

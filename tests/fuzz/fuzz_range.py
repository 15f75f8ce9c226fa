"""
Range and x-amz-copy-source-range: two lines, the size of the object and the header.

A slice lies within the object, and is the one that a reading of RFC 9110 (section 14.1.2) word by word finds.
"""

from __future__ import annotations

from rs3gw.gateway import ranges
from rs3gw.gateway.ranges import Slice
from tests.fuzz.parts import HEADER_BYTES, lines, refusable, same

MOST_BYTES = HEADER_BYTES

SPACE = " \t\r\n\f\v"
REFUSED = "refused"


def target(data: bytes) -> None:
    said, asked = lines(data, 2)
    size = number(said[:12]) or 0
    found: Slice | str | None = REFUSED
    with refusable():
        found = ranges.select(size, asked)
    same(naive(size, asked), found, (size, asked))
    with refusable():
        copied = ranges.select_copy(size, asked)
        assert 0 <= copied.offset < copied.offset + copied.size <= size
        same(naive(size, asked), copied, (size, asked))


def number(digits: str) -> int | None:
    if not (digits.isascii() and digits.isdigit()):
        return None
    digits = digits.lstrip("0")
    # What has twenty digits is beyond the end of everything, and as far as anything else beyond it.
    return int(digits or "0") if len(digits) < 20 else 10**19


def naive(size: int, asked: str) -> Slice | str | None:
    """None is the whole object."""
    unit, _, spec = asked.partition("=")
    first, dash, last = (piece.strip(SPACE) for piece in spec.partition("-"))
    if unit.strip(SPACE).lower() != "bytes" or not dash:
        return None
    begin, end = number(first), number(last)
    if (first and begin is None) or (last and end is None) or (begin is None and end is None):
        return None
    if begin is None:
        assert end is not None
        return Slice(size - min(end, size), min(end, size)) if end and size else REFUSED
    if end is not None and end < begin:
        return None
    if begin >= size:
        return REFUSED
    stop = size if end is None else min(end + 1, size)
    return Slice(begin, stop - begin)

"""
Which bytes of an object a request means.

Bytes are counted from 0, both ends included, as RFC 9110 (section 14) has it; a Slice counts an offset and a size.
Pure arithmetic: the size of the object comes in, a Slice or a refusal goes out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rs3gw.errors import InvalidArgument, InvalidRange


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of an object's bytes."""

    offset: int
    size: int

    def content_range(self, entity_bytes: int) -> str:
        """As the Content-Range header says it."""
        return f"bytes {self.offset}-{self.offset + self.size - 1}/{entity_bytes}"


# Possessive, so that a run of spaces is looked at once and not once from each of them.
_RANGE = re.compile(r"\s*+bytes\s*+=\s*+(\d*+)\s*+-\s*+(\d*+)\s*+\Z", re.IGNORECASE | re.ASCII)
_COPY_RANGE = re.compile(r"bytes=(\d+)-(\d+)\Z", re.ASCII)

# No object is as large, and int() itself refuses digits by the thousand: what is beyond is as far as this.
_DIGITS = 19
_BEYOND = 10**_DIGITS


def select(entity_bytes: int, asked: str) -> Slice | None:
    """
    Turn a Range header into a slice, or None where S3 serves the whole object.

    S3 ignores a range that it cannot parse, and several ranges at once, but refuses one that it can parse and
    cannot satisfy.

    Raises InvalidRange, with the size, for a range beyond the end.
    """
    found = _RANGE.match(asked)
    if found is None or found.group(1) == found.group(2) == "":
        return None
    first, last = found.groups()
    if not first:
        size = min(_number(last), entity_bytes)
        if not size:
            raise _unsatisfiable(entity_bytes, asked)
        return Slice(entity_bytes - size, size)
    begin = _number(first)
    if last and _number(last) < begin:
        return None
    if begin >= entity_bytes:
        raise _unsatisfiable(entity_bytes, asked)
    end = min(_number(last), entity_bytes - 1) if last else entity_bytes - 1
    return Slice(begin, end - begin + 1)


def select_copy(entity_bytes: int, asked: str) -> Slice:
    """
    Turn x-amz-copy-source-range into a slice; unlike Range it names both ends, and both are there.

    Raises InvalidArgument, and InvalidRange where it begins beyond the end.
    """
    found = _COPY_RANGE.match(asked)
    begin, end = (0, -1) if found is None else map(_number, found.groups())
    if begin > end:
        raise InvalidArgument(
            message="The x-amz-copy-source-range value must be of the form bytes=first-last where first and last "
            "are the zero-based offsets of the first and last bytes to copy",
            argument_name="x-amz-copy-source-range",
            argument_value=asked,
        )
    if begin >= entity_bytes:
        raise _unsatisfiable(entity_bytes, asked)
    if end >= entity_bytes:
        raise InvalidArgument(
            message=f"Range specified is not valid for source object of size: {entity_bytes}",
            argument_name="x-amz-copy-source-range",
            argument_value=asked,
        )
    return Slice(begin, end - begin + 1)


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _DIGITS else _BEYOND


def _unsatisfiable(entity_bytes: int, asked: str) -> InvalidRange:
    return InvalidRange(range_requested=asked, actual_object_size=entity_bytes)

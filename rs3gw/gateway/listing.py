"""
Where a listing stops, and where the next one starts.

A page is a function of the sorted keys and the request: nothing here knows an engine, only a cursor that takes
the next entries and jumps.  Both ListObjects forms and ListMultipartUploads are this one walk, which is why
delimiter rules are fixed here and nowhere else:

- What a page shows is in the order of keys, a common prefix standing where the first key under it would.
- A page begins with the first item that is greater than its marker.  A common prefix that the marker is, or lies
  under, is not: so a prefix is never shown twice and a walk never loops.
- A common prefix is jumped over, not read through: the cost of a page is that of the items it shows.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar

from rs3gw.errors import InvalidArgument
from rs3gw.operations.checks import MAX_PAGE

_LAST = "\U0010ffff"
_FIRST_READ: Final = 8
"""How much is read after a jump: enough for a page of few keys, little where prefix follows prefix."""


class Keyed(Protocol):
    """What stands under a key."""

    @property
    def key(self) -> str: ...


EntryT = TypeVar("EntryT", bound=Keyed, covariant=True)
E = TypeVar("E", bound=Keyed)


class Cursor(Protocol[EntryT]):
    """A place in a sorted index, bounded by the end of the listing's prefix."""

    def take(self, limit: int) -> Sequence[EntryT]:
        """The next entries, in order; fewer than ``limit`` only at the end."""

    def jump(self, key: str) -> None:
        """Go on with the first entry whose key is not less than this one."""


class KeyCursor(Generic[E]):
    """A cursor over entries that their keys tell apart."""

    def __init__(
        self, scan: Callable[[str, bool, str | None, int], Sequence[E]], *, prefix: str, after: str | None
    ) -> None:
        self._scan, self._end = scan, successor(prefix)
        self._start, self._inclusive = (after, False) if after is not None and after >= prefix else (prefix, True)

    def take(self, limit: int) -> Sequence[E]:
        found = self._scan(self._start, self._inclusive, self._end, limit)
        if found:
            self._start, self._inclusive = found[-1].key, False
        return found

    def jump(self, key: str) -> None:
        self._start, self._inclusive = key, True


@dataclass(frozen=True, slots=True)
class Page(Generic[E]):
    """A page of a listing.  ``last`` is the last entry or common prefix on it, where there is anything on it."""

    entries: Sequence[E]
    prefixes: Sequence[str]
    last: E | str | None
    is_truncated: bool

    @property
    def marker(self) -> str | None:
        """What the next page comes after, where there is one."""
        if not self.is_truncated or self.last is None:
            return None
        return self.last if isinstance(self.last, str) else self.last.key


def page(cursor: Cursor[E], *, prefix: str, delimiter: str, after: str | None, limit: int) -> Page[E]:
    """The next ``limit`` items after the marker ``after``, entries and common prefixes counted alike."""
    if limit <= 0:
        # S3 says of an empty page that it is the last one, or a client would ask for it for ever.
        return Page((), (), None, False)
    if not delimiter:
        found = cursor.take(limit + 1)
        entries = found[:limit]
        return Page(entries, (), entries[-1] if entries else None, len(found) > limit)
    walk = _walk(cursor, prefix, delimiter, after)
    items = list(islice(walk, limit))
    return Page(
        [item for item in items if not isinstance(item, str)],
        [item for item in items if isinstance(item, str)],
        items[-1] if items else None,
        len(items) == limit and next(walk, None) is not None,
    )


def _walk(cursor: Cursor[E], prefix: str, delimiter: str, after: str | None) -> Iterator[E | str]:
    passed = None if after is None else rolled(after, prefix, delimiter)
    if passed is not None and not _jump(cursor, passed):
        return
    size = _FIRST_READ
    while batch := cursor.take(size):
        short = len(batch) < size
        shown: str | None = None
        for entry in batch:
            if shown is not None and entry.key.startswith(shown):
                continue
            shown = rolled(entry.key, prefix, delimiter)
            yield entry if shown is None else shown
        if short:
            return
        if shown is None:
            size = min(2 * size, MAX_PAGE)
        else:
            size = _FIRST_READ
            if not _jump(cursor, shown):
                return


def _jump(cursor: Cursor[E], over: str) -> bool:
    beyond = successor(over)
    if beyond is None:
        return False
    cursor.jump(beyond)
    return True


def rolled(key: str, prefix: str, delimiter: str) -> str | None:
    """The common prefix that a key is shown as: up to and including the first delimiter after the prefix."""
    if not key.startswith(prefix):
        return None
    found = key.find(delimiter, len(prefix))
    return None if found < 0 else key[: found + len(delimiter)]


def successor(prefix: str) -> str | None:
    """
    The least string that is greater than everything that begins with this prefix; None where nothing is.

    Strings of Python order by code point, which is the order of their UTF-8.
    """
    kept = prefix.rstrip(_LAST)
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    # The surrogates have no UTF-8: what follows U+D7FF is U+E000.
    return kept[:-1] + chr(0xE000 if following == 0xD800 else following)


def limited(asked: int | None) -> int:
    """How many items a page has: what was asked, up to 1,000."""
    return MAX_PAGE if asked is None else min(asked, MAX_PAGE)


# A token is opaque to its client and holds the last item of a page.  The check digits catch what was cut off or
# made up; there is nothing to protect, since whoever may list may begin to list anywhere.
_DIGITS = 4


def token(last: str) -> str:
    """A continuation token for what comes after this key or common prefix."""
    said = last.encode()
    return base64.urlsafe_b64encode(zlib.crc32(said).to_bytes(_DIGITS, "big") + said).decode()


def untoken(given: str) -> str:
    """What a continuation token holds.  Raises InvalidArgument for one that is not ours."""
    try:
        raw = base64.b64decode(given.encode("ascii"), altchars=b"-_", validate=True)
        said = raw[_DIGITS:].decode()
        if said and token(said) == given:
            return said
    except ValueError:
        pass
    raise InvalidArgument(
        message="The continuation token provided is incorrect",
        argument_name="continuation-token",
        argument_value=given,
    )

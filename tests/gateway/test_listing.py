"""
The one walk of every listing, against a model that reads everything.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rs3gw.errors import InvalidArgument
from rs3gw.gateway import listing

ALPHABET = "ab/ \U0010ffff\ud7ff"
KEYS = st.sets(st.text(ALPHABET, min_size=1, max_size=6), max_size=40).map(sorted)
SHORT = st.text(ALPHABET, max_size=3)


@dataclass(frozen=True)
class Entry:
    key: str


class Index:
    """Sorted keys that count how much of them is read."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = sorted(keys)
        self.read = 0

    def scan(self, start: str, inclusive: bool, end: str | None, limit: int) -> Sequence[Entry]:
        first = (bisect_left if inclusive else bisect_right)(self.keys, start)
        last = len(self.keys) if end is None else bisect_left(self.keys, end)
        found = [Entry(key) for key in self.keys[first:last][:limit]]
        self.read += len(found)
        return found


def page(index: Index, *, prefix: str = "", delimiter: str = "", after: str | None = None, limit: int = 1000):
    cursor = listing.KeyCursor(index.scan, prefix=prefix, after=after)
    return listing.page(cursor, prefix=prefix, delimiter=delimiter, after=after, limit=limit)


def model(keys: Sequence[str], prefix: str, delimiter: str, after: str | None) -> list[str]:
    """Everything that a listing shows, by reading everything."""
    shown = []
    for key in keys:
        if not key.startswith(prefix):
            continue
        head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
        item = prefix + head + found if found else key
        passed = after is not None and (item <= after or bool(found and after.startswith(item)))
        if not passed and item not in shown:
            shown.append(item)
    return shown


def items(found: listing.Page[Entry]) -> list[str]:
    return sorted([*(entry.key for entry in found.entries), *found.prefixes])


@given(KEYS, SHORT, SHORT, st.none() | SHORT, st.integers(1, 8))
def test_a_page_shows_what_reading_everything_would(keys, prefix, delimiter, after, limit):
    expected = model(keys, prefix, delimiter, after)

    found = page(Index(keys), prefix=prefix, delimiter=delimiter, after=after, limit=limit)

    assert expected[:limit] == items(found)
    assert found.is_truncated == (len(expected) > limit)


@given(KEYS, SHORT, SHORT, st.integers(1, 4))
def test_pages_put_together_are_the_whole_and_repeat_nothing(keys, prefix, delimiter, limit):
    shown: list[str] = []
    after: str | None = None
    for _ in range(len(keys) + 1):
        found = page(Index(keys), prefix=prefix, delimiter=delimiter, after=after, limit=limit)
        shown += items(found)
        after = found.marker
        if after is None:
            break

    assert model(keys, prefix, delimiter, None) == shown


def test_a_common_prefix_costs_no_more_when_a_thousand_keys_stand_under_it():
    index = Index([f"{folder:03}/{name:04}" for folder in range(100) for name in range(1000)])

    found = page(index, delimiter="/", limit=50)

    assert len(found.prefixes) == 50
    assert index.read < 1000


def test_an_empty_page_is_the_last_one():
    assert not page(Index(["a"]), limit=0).is_truncated


@given(st.text(ALPHABET, max_size=5), st.text(max_size=5))
def test_the_successor_of_a_prefix_bounds_exactly_what_begins_with_it(prefix, other):
    end = listing.successor(prefix)

    begins = other.startswith(prefix)
    assert begins == (other >= prefix and (end is None or other < end))


@pytest.mark.parametrize(("asked", "expected"), [(None, 1000), (0, 0), (7, 7), (1000, 1000), (5000, 1000)])
def test_a_page_has_at_most_a_thousand_items(asked, expected):
    assert expected == listing.limited(asked)


@given(st.text(min_size=1))
def test_a_token_comes_back_as_what_it_stands_for(last):
    assert last == listing.untoken(listing.token(last))


@pytest.mark.parametrize("made_up", ["", "a", "bWFkZSB1cA==", "möglich", "%%%", listing.token("a")[:-2]])
def test_a_token_that_is_not_ours_is_refused(made_up):
    with pytest.raises(InvalidArgument, match="The continuation token provided is incorrect"):
        listing.untoken(made_up)

"""
Ranges against slicing, which Python has done well for a long time.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rs3gw.errors import InvalidArgument, InvalidRange
from rs3gw.gateway.ranges import Slice, select, select_copy

SIZES = st.integers(0, 30)
NUMBERS = st.integers(0, 40)


@given(SIZES, NUMBERS, NUMBERS)
def test_a_range_with_both_ends_is_the_slice_between_them(size, first, last):
    data = bytes(range(size))
    if last < first:
        assert select(size, f"bytes={first}-{last}") is None
    elif first >= size:
        with pytest.raises(InvalidRange):
            select(size, f"bytes={first}-{last}")
    else:
        found = select(size, f"bytes={first}-{last}")

        assert data[first : last + 1] == data[found.offset : found.offset + found.size]


@given(SIZES, NUMBERS)
def test_an_open_range_goes_to_the_end(size, first):
    if first >= size:
        with pytest.raises(InvalidRange):
            select(size, f"bytes={first}-")
    else:
        assert Slice(first, size - first) == select(size, f"bytes={first}-")


@given(SIZES, NUMBERS)
def test_a_suffix_is_the_last_bytes_or_all_of_them(size, last):
    if not size or not last:
        with pytest.raises(InvalidRange):
            select(size, f"bytes=-{last}")
    else:
        wanted = min(size, last)
        assert Slice(size - wanted, wanted) == select(size, f"bytes=-{last}")


@pytest.mark.parametrize(
    "unclear", ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=0-1,3-4", "items=0-1", "bytes=1--2", "bytes=+1-2"]
)
def test_a_range_that_cannot_be_read_is_ignored_as_s3_ignores_it(unclear):
    assert select(10, unclear) is None


@pytest.mark.parametrize("digits", [20, 5000])
def test_numbers_beyond_any_object_are_only_large(digits):
    """int() refuses more than 4,300 digits, and a header may hold them."""
    assert Slice(2, 8) == select(10, "bytes=2-" + "9" * digits)
    with pytest.raises(InvalidRange) as refused:
        select(10, "bytes=" + "9" * digits + "-")
    assert refused.value.actual_object_size == 10


def test_a_slice_says_where_it_stands():
    assert Slice(2, 3).content_range(10) == "bytes 2-4/10"


@given(st.integers(1, 30), NUMBERS, NUMBERS)
def test_a_range_of_a_copy_has_both_ends_inside_the_source(size, first, last):
    asked = f"bytes={first}-{last}"
    if first <= last < size:
        assert Slice(first, last - first + 1) == select_copy(size, asked)
    else:
        with pytest.raises((InvalidArgument, InvalidRange)):
            select_copy(size, asked)


@pytest.mark.parametrize("loose", ["bytes=0-", "bytes=-1", "bytes 0-1", "0-1", "bytes=0-1,2-3", "bytes=0-1 "])
def test_a_range_of_a_copy_is_written_in_one_way_only(loose):
    with pytest.raises(InvalidArgument, match="must be of the form bytes=first-last"):
        select_copy(10, loose)

"""
Listings through the whole gateway, walked to their end page by page, against a model that reads everything.

The model knows the sorted keys and S3's reference and nothing of ``listing.py``: it builds the whole listing at once.
Each engine in turn, with the keys that have hurt somebody: characters beyond the plane of 16 bits, escapes and what
looks like them, control characters, keys that are the beginning of other keys.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rs3gw.engine.memory import Memory
from rs3gw.engine.store import Durability, Store
from rs3gw.engine.world import SystemEntropy
from rs3gw.operations.bucket import CreateBucket
from rs3gw.operations.multipart import CreateMultipartUpload, ListMultipartUploads
from rs3gw.operations.object import DeleteObject, ListObjects, ListObjectsV2
from tests.gateway.conftest import Asking

PIECES = st.sampled_from(
    ["a", "b", "/", "//", "%", "%2F", "+", " ", "é", "e\u0301", "\x01", "\x7f", "\ud7ff", "\ue000", "\uffff",
     "\U00010000", "\U0010ffff", "&<", ".."]
)  # fmt: skip
NAMES = st.lists(PIECES, min_size=1, max_size=4).map("".join)
PREFIXES = st.lists(PIECES, max_size=2).map("".join)
DELIMITERS = st.sampled_from(["", "/", "//", "%", "a", "\U0010ffff", "\x01", "é"])
MARKERS = st.none() | st.lists(PIECES, min_size=1, max_size=3).map("".join)


@dataclass(frozen=True, slots=True)
class Asked:
    """A listing, and the keys that it is of."""

    keys: Sequence[str]
    prefix: str
    delimiter: str
    after: str | None
    size: int


@st.composite
def listings(draw: Any) -> Asked:
    keys = draw(st.lists(NAMES, max_size=14, unique=True))
    if keys:
        # Keys that begin with another key, and prefixes and markers that are one, are where a walk goes wrong.
        keys += [f"{draw(st.sampled_from(keys))}{draw(PIECES)}" for _ in range(draw(st.integers(0, 4)))]
        some = st.sampled_from(keys)
        cut = st.builds(lambda key, size: key[:size], some, st.integers(0, 4))
        prefix, after = draw(PREFIXES | cut), draw(MARKERS | some | cut.filter(bool))
    else:
        prefix, after = draw(PREFIXES), draw(MARKERS)
    return Asked(sorted(set(keys)), prefix, draw(DELIMITERS), after, draw(st.integers(1, 5)))


Item = tuple[str, bool]
"""A key, or a common prefix, and whether it is one."""


def model(asked: Asked) -> list[Item]:
    """Everything that the listing shows, in order."""
    shown: dict[Item, None] = {}
    for key in asked.keys:
        if key.startswith(asked.prefix):
            head, found, _ = key[len(asked.prefix) :].partition(asked.delimiter) if asked.delimiter else ("", "", "")
            item = (asked.prefix + head + found, True) if found else (key, False)
            if asked.after is None or (item[0] > asked.after and not (item[1] and asked.after.startswith(item[0]))):
                shown[item] = None
    return list(shown)


def items(keys: Iterable[Any], prefixes: Iterable[Any]) -> list[Item]:
    """What a page shows; keys and common prefixes are each in order, and are put into one."""
    found = [[(each.key, False) for each in keys], [(each.prefix, True) for each in prefixes]]
    assert all(sorted(each) == each for each in found)
    return sorted([*found[0], *found[1]])


Ask = Callable[..., Any]
Engines = pytest.mark.parametrize("engine", ["memory", "store"])
EXAMPLES = {"memory": 40, "store": 12}


@asynccontextmanager
async def holding(engine: str, keys: Sequence[str]) -> AsyncIterator[Asking]:
    """A gateway whose bucket holds these keys."""
    with tempfile.TemporaryDirectory() as place:
        asking = Asking(
            lambda clock: (
                Memory(clock=clock)
                if engine == "memory"
                else Store.open(
                    Path(place) / "root", clock=clock, entropy=SystemEntropy(), durability=Durability.RELAXED
                )
            ),
            region="eu-central-1",
        )
        try:
            await asking(CreateBucket, bucket="bucket")
            for key in keys:
                await asking.put(key, b"x")
            yield asking
        finally:
            await asking.engine.close()


async def walked_v1(ask: Asking, asked: Asked, forget: Callable[[Item], Any]) -> list[Item]:
    shown: list[Item] = []
    marker = asked.after
    while True:
        page = await ask(
            ListObjects,
            bucket="bucket",
            prefix=asked.prefix,
            delimiter=asked.delimiter,
            marker=marker,
            max_keys=asked.size,
        )
        found = items(page.contents, page.common_prefixes)
        judge(found, page.is_truncated, asked.size)
        shown += found
        if not page.is_truncated:
            assert page.next_marker is None
            return shown
        # Without a delimiter S3 leaves it to the client to take the last key.
        marker = page.next_marker if asked.delimiter else page.contents[-1].key
        assert marker == found[-1][0]
        await forget(found[-1])


async def walked_v2(ask: Asking, asked: Asked, forget: Callable[[Item], Any]) -> list[Item]:
    shown: list[Item] = []
    token: str | None = None
    while True:
        said = {"start_after": asked.after} if token is None else {"continuation_token": token}
        page = await ask(
            ListObjectsV2,
            bucket="bucket",
            prefix=asked.prefix,
            delimiter=asked.delimiter,
            max_keys=asked.size,
            **said,
        )
        found = items(page.contents, page.common_prefixes)
        judge(found, page.is_truncated, asked.size)
        assert page.key_count == len(found)
        shown += found
        token = page.next_continuation_token
        assert page.is_truncated == (token is not None)
        if token is None:
            return shown
        # A token goes into a query as it is, and says no key in clear.
        assert token.isascii()
        assert not set(token) & set("%+/& ")
        await forget(found[-1])


def judge(found: Sequence[Item | tuple[str, str]], is_truncated: bool, size: int) -> None:
    assert len(found) <= size
    # A page that is not the last is full: nobody asks for more pages than there need be.
    assert len(found) == size or not is_truncated


WALKS = pytest.mark.parametrize("walked", [walked_v1, walked_v2], ids=["v1", "v2"])
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@Engines
@WALKS
def test_pages_walked_to_their_end_are_the_whole_listing_once(engine, walked, run_alone):
    @given(listings())
    @settings(max_examples=EXAMPLES[engine], deadline=None, suppress_health_check=QUIET)
    def check(asked: Asked) -> None:
        async def walk() -> list[Item]:
            async with holding(engine, asked.keys) as ask:
                return await walked(ask, asked, lambda item: nothing())

        assert model(asked) == run_alone(walk())

    check()


@Engines
@WALKS
def test_a_walk_goes_on_from_what_has_been_deleted_meanwhile(engine, walked, run_alone):
    """Its marker names a key, or a common prefix, that is no longer there: it is a place, not a thing."""

    @given(listings())
    @settings(max_examples=EXAMPLES[engine], deadline=None, suppress_health_check=QUIET)
    def check(asked: Asked) -> None:
        async def walk() -> list[Item]:
            async with holding(engine, asked.keys) as ask:

                async def forget(item: Item) -> None:
                    name, is_prefix = item
                    for key in asked.keys:
                        if key == name or (is_prefix and key.startswith(name)):
                            await ask(DeleteObject, bucket="bucket", key=key)

                return await walked(ask, asked, forget)

        assert model(asked) == run_alone(walk())

    check()


@Engines
@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=QUIET)
def test_uploads_walked_to_their_end_are_all_of_them_once(engine, data, run_alone):
    asked = data.draw(listings())
    times = data.draw(st.lists(st.integers(1, 3), min_size=len(asked.keys), max_size=len(asked.keys)))

    async def walk() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        async with holding(engine, []) as ask:
            made: dict[str, list[str]] = {}
            for turn in range(3):
                for key, number in zip(asked.keys, times, strict=True):
                    if turn < number:
                        begun = await ask(CreateMultipartUpload, bucket="bucket", key=key)
                        made.setdefault(key, []).append(begun.upload_id)
            # Of one key the uploads stand in the order in which they began.
            expected = [
                (name, upload_id)
                for name, is_prefix in model(asked)
                for upload_id in ([""] if is_prefix else made[name])
            ]
            return expected, await uploads(ask, asked)

    expected, found = run_alone(walk())

    assert expected == found


async def uploads(ask: Asking, asked: Asked) -> list[tuple[str, str]]:
    shown: list[tuple[str, str]] = []
    key_marker, id_marker = asked.after, None
    while True:
        page = await ask(
            ListMultipartUploads,
            bucket="bucket",
            prefix=asked.prefix,
            delimiter=asked.delimiter,
            key_marker=key_marker,
            upload_id_marker=id_marker,
            max_uploads=asked.size,
        )
        listed = [(each.key, each.upload_id) for each in page.uploads]
        assert [key for key, _ in listed] == sorted(key for key, _ in listed)
        found = sorted([*listed, *((each.prefix, "") for each in page.common_prefixes)], key=lambda item: item[0])
        judge(found, page.is_truncated, asked.size)
        shown += found
        if not page.is_truncated:
            return shown
        key_marker, id_marker = page.next_key_marker, page.next_upload_id_marker
        assert (key_marker, id_marker) == found[-1]


async def nothing() -> None:
    """What is done with an item that stays."""


@pytest.fixture
def run_alone() -> Iterable[Any]:
    """Runs a coroutine to its end, in a loop of the test's own."""
    with asyncio.Runner() as runner:
        yield runner.run

"""What every engine promises (engine/ports.py), on the specification and on the store alike."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from rs3gw.engine.ports import (
    BucketExists,
    BucketMissing,
    BucketOccupied,
    Content,
    Facts,
    Object,
    ObjectMissing,
    Part,
    PartMissing,
    Upload,
    UploadMissing,
)
from tests.engine.conftest import FACTS, bucket, get, put, staged

LARGE = bytes(range(256)) * 10_000


class Refused(Exception):
    """What a condition raises here."""


def refuse(found: object) -> None:
    raise Refused


def upload(upload_id: str = "upload-1", key: str = "key") -> Upload:
    return Upload(
        bucket="bucket", key=key, upload_id=upload_id, initiated=datetime(2026, 1, 1, tzinfo=UTC), facts=FACTS
    )


def part(number: int, content: Content) -> Part:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Part(number=number, size=content.size, etag=f"{number:032}", modified=moment, content=content)


def assemble(parts):
    return FACTS._replace(etag=f"{len(parts)} parts"), ()


async def test_a_bucket_is_made_once(engine):
    with pytest.raises(BucketExists):
        await engine.create_bucket(bucket())


async def test_a_bucket_that_holds_something_stays(engine):
    await put(engine, "key", b"x")

    with pytest.raises(BucketOccupied):
        await engine.delete_bucket("bucket")


async def test_a_bucket_with_an_upload_stays(engine):
    await engine.create_upload(upload())

    with pytest.raises(BucketOccupied):
        await engine.delete_bucket("bucket")


async def test_a_bucket_that_was_removed_is_missing(engine):
    await engine.delete_bucket("bucket")

    with pytest.raises(BucketMissing):
        engine.bucket("bucket")
    with pytest.raises(BucketMissing):
        engine.object("bucket", "key")


async def test_documents_are_kept_by_kind_and_can_be_removed(engine):
    await engine.set_document("bucket", "policy", "{}")
    await engine.set_document("bucket", "tagging", "[]")
    await engine.set_document("bucket", "policy", None)

    assert dict(engine.bucket("bucket").documents) == {"tagging": "[]"}


@pytest.mark.parametrize("data", [b"", b"x", b"y" * 32_768, b"z" * 32_769, LARGE], ids=len)
async def test_an_object_comes_back_as_it_was_put(engine, data):
    made = await put(engine, "key", data)

    assert data == await get(engine, "key")
    assert made == engine.object("bucket", "key")


async def test_puts_at_once_are_each_what_one_alone_is(engine):
    """More than one statement of the index takes, over what was there and over each other."""
    await put(engine, "0", LARGE)
    await put(engine, "1", b"old")
    keys = [str(number % 70) for number in range(100)]

    made = await asyncio.gather(*(put(engine, key, b"%d" % number) for number, key in enumerate(keys)))

    last = {key: number for number, key in enumerate(keys)}
    assert {key: b"%d" % number for key, number in last.items()} == {key: await get(engine, key) for key in last}
    assert [made[number] for number in last.values()] == [engine.object("bucket", key) for key in last]


async def test_of_puts_at_once_only_those_into_a_missing_bucket_are_refused(engine):
    content = await staged(engine, b"x")
    names = ("bucket", "missing", "bucket", "missing")

    outcomes = await asyncio.gather(
        *(engine.put_object(name, str(number), content, FACTS) for number, name in enumerate(names)),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes] == [Object, BucketMissing, Object, BucketMissing]
    assert (await get(engine, "0"), await get(engine, "2")) == (b"x", b"x")


async def test_a_range_of_a_large_object_crosses_its_chunks(engine):
    made = await put(engine, "key", LARGE)
    pieces = [bytes(chunk) async for chunk in engine.read(made.content, offset=1_048_570, size=1_000_000)]

    assert LARGE[1_048_570:2_048_570] == b"".join(pieces)


async def test_what_is_asked_for_stays_though_it_is_deleted_before_the_first_chunk(engine):
    """Between the record and the first byte the headers of an answer are sent, which takes as long as it takes."""
    made = await put(engine, "key", LARGE)
    reading = engine.read(made.content, offset=0, size=made.size)
    await engine.delete_object("bucket", "key")
    await asyncio.sleep(0.05)

    assert LARGE == b"".join([bytes(chunk) async for chunk in reading])


async def test_a_condition_sees_what_it_would_replace_and_can_refuse(engine):
    seen = []
    await put(engine, "key", b"first", condition=seen.append)
    await put(engine, "key", b"second", condition=seen.append)
    with pytest.raises(Refused):
        await put(engine, "key", b"third", condition=refuse)

    assert [found and found.size for found in seen] == [None, 5]
    assert await get(engine, "key") == b"second"


async def test_of_many_writers_who_insist_on_being_first_one_is(engine):
    def is_first(found):
        if found is not None:
            raise Refused

    async def write(number):
        try:
            await put(engine, "contested", b"%d" % number, condition=is_first)
        except Refused:
            return 0
        return 1

    assert sum(await asyncio.gather(*(write(number) for number in range(32)))) == 1


async def test_a_refused_mutation_takes_none_of_its_neighbours_along(engine):
    outcomes = await asyncio.gather(
        *(put(engine, f"key{number}", b"x", condition=refuse if number % 2 else None) for number in range(20)),
        return_exceptions=True,
    )

    assert sum(isinstance(outcome, Refused) for outcome in outcomes) == 10
    assert len(engine.scan("bucket", start="", inclusive=True, end=None, limit=100)) == 10


async def test_deleting_what_is_not_there_is_no_fault(engine):
    await engine.delete_object("bucket", "nothing")


async def test_deletes_at_once_take_what_they_name_and_nothing_else(engine):
    """More than one statement of the index takes, the same key twice, and content that another key shares."""
    await put(engine, "0", LARGE)
    await engine.put_object("bucket", "copy", engine.object("bucket", "0").content, FACTS)
    for number in range(1, 80):
        await put(engine, str(number), b"x")

    names = [("bucket", str(number % 70)) for number in range(100)] + [("missing", "0"), ("bucket", "nothing")]
    outcomes = await asyncio.gather(*(engine.delete_object(*name) for name in names), return_exceptions=True)

    refused = [name for name, outcome in zip(names, outcomes, strict=True) if outcome is not None]
    assert refused == [("missing", "0")]
    kept = sorted([*(str(number) for number in range(70, 80)), "copy"])
    assert [entry.key for entry in engine.scan("bucket", start="", inclusive=True, end=None, limit=100)] == kept
    assert await get(engine, "copy") == LARGE


async def test_puts_and_deletes_at_once_happen_in_their_order(engine):
    content = await staged(engine, b"x")
    work = []
    for number in range(40):
        work += [engine.put_object("bucket", str(number), content, FACTS), engine.delete_object("bucket", str(number))]
        if number % 2:
            work.append(engine.put_object("bucket", str(number), content, FACTS))
    await asyncio.gather(*work)

    odd = sorted(str(number) for number in range(1, 40, 2))
    assert [entry.key for entry in engine.scan("bucket", start="", inclusive=True, end=None, limit=100)] == odd


async def test_many_deletes_are_judged_one_by_one(engine):
    for key in "abc":
        await put(engine, key, b"x")

    outcomes = await engine.delete_objects(
        "bucket", [("a", None), ("a", refuse), ("b", refuse), ("a", None), ("nothing", None)]
    )

    assert [outcome and type(outcome) for outcome in outcomes] == [None, Refused, Refused, None, None]
    assert [entry.key for entry in engine.scan("bucket", start="", inclusive=True, end=None, limit=9)] == ["b", "c"]


async def test_changing_facts_leaves_time_and_bytes(engine):
    made = await put(engine, "key", b"x")
    changed = await engine.change_object("bucket", "key", None, lambda facts: facts._replace(tags={"a": "b"}))

    assert made._replace(facts=made.facts._replace(tags={"a": "b"})) == changed
    with pytest.raises(ObjectMissing):
        await engine.change_object("bucket", "nothing", None, lambda facts: facts)


async def test_keys_are_scanned_in_the_order_of_their_bytes(engine):
    keys = ["b", "a", "Z", "ä", "a/b", "a\0", "日", "😀", "\uffff"]
    for key in keys:
        await put(engine, key, b"")
    found = [entry.key for entry in engine.scan("bucket", start="", inclusive=True, end=None, limit=100)]

    assert sorted(keys, key=str.encode) == found


async def test_a_scan_has_bounds(engine):
    for key in "abcde":
        await put(engine, key, b"")

    def scan(**bounds):
        return "".join(entry.key for entry in engine.scan("bucket", **bounds))

    assert scan(start="b", inclusive=True, end="e", limit=9) == "bcd"
    assert scan(start="b", inclusive=False, end="e", limit=9) == "cd"
    assert scan(start="", inclusive=True, end=None, limit=2) == "ab"


async def test_a_copy_shares_and_outlives_its_source(engine):
    source = await put(engine, "source", LARGE)
    await engine.put_object("bucket", "copy", source.content, FACTS)
    await engine.delete_object("bucket", "source")

    assert await get(engine, "copy") == LARGE


async def test_an_upload_becomes_an_object_all_at_once(engine):
    await engine.create_upload(upload())
    for number, data in ((2, b"two"), (1, LARGE), (3, b"left out")):
        await engine.put_part(upload(), part(number, await staged(engine, data, inline=False)))
    with pytest.raises(ObjectMissing):
        engine.object("bucket", "key")

    await engine.complete_upload(upload(), [1, 2], assemble)

    assert await get(engine, "key") == LARGE + b"two"
    with pytest.raises(UploadMissing) as ended:
        engine.upload("bucket", "key", "upload-1")
    assert ((1, f"{1:032}"), (2, f"{2:032}")) == ended.value.completed.parts


async def test_a_part_uploaded_twice_counts_once(engine):
    await engine.create_upload(upload())
    await engine.put_part(upload(), part(1, await staged(engine, b"old", inline=False)))
    second = await engine.put_part(upload(), part(1, await staged(engine, b"newer", inline=False)))

    assert [second] == list(engine.parts(upload(), limit=9))


async def test_completing_with_a_part_that_is_missing_changes_nothing(engine):
    await engine.create_upload(upload())
    await engine.put_part(upload(), part(1, await staged(engine, b"x", inline=False)))

    with pytest.raises(PartMissing):
        await engine.complete_upload(upload(), [1, 2], assemble)
    with pytest.raises(Refused):
        await engine.complete_upload(upload(), [1], assemble, condition=refuse)

    assert len(engine.parts(upload(), limit=9)) == 1


async def test_an_upload_that_was_given_up_is_over(engine):
    await engine.create_upload(upload())
    await engine.abort_upload("bucket", "key", "upload-1")

    with pytest.raises(UploadMissing):
        await engine.put_part(upload(), part(1, await staged(engine, b"x", inline=False)))


async def test_uploads_are_scanned_by_key_and_then_by_id(engine):
    for upload_id, key in (("2", "b"), ("1", "b"), ("3", "a")):
        await engine.create_upload(upload(upload_id, key))

    def scan(start, inclusive):
        found = engine.uploads("bucket", start=start, inclusive=inclusive, end=None, limit=9)
        return [(each.key, each.upload_id) for each in found]

    assert scan(("", ""), True) == [("a", "3"), ("b", "1"), ("b", "2")]
    assert scan(("b", "1"), False) == [("b", "2")]


async def test_facts_come_back_whole(engine):
    facts = Facts(
        etag="e" * 32,
        headers={"content_type": "a/b", "expires": "never"},
        metadata={"größe": "日本"},
        tags={"a": ""},
        checksums={"sha256": "x"},
        checksum_type="COMPOSITE",
    )
    await engine.put_object("bucket", "key", await staged(engine, b""), facts)

    assert facts == engine.object("bucket", "key").facts

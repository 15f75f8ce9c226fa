"""
Uploads in parts: what a completion judges, what it answers twice, and what listings of unfinished ones show.

Parts are small here: the least size of a part is a limit of S3's that has its own test, not a law of nature.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from rs3gw.engine.ports import Content, Extent
from rs3gw.errors import (
    AccessDenied,
    BadDigest,
    EntityTooLarge,
    EntityTooSmall,
    InvalidArgument,
    InvalidPart,
    InvalidPartOrder,
    InvalidRange,
    InvalidRequest,
    MalformedXML,
    NoSuchKey,
    NoSuchUpload,
    NotImplementedHere,
    PreconditionFailed,
)
from rs3gw.gateway import digests
from rs3gw.gateway.copying import sliced
from rs3gw.operations import checks
from rs3gw.operations.body import Whole
from rs3gw.operations.multipart import (
    AbortMultipartUpload,
    CompletedPart,
    CompleteMultipartUpload,
    CreateMultipartUpload,
    ListMultipartUploads,
    ListParts,
    UploadPart,
    UploadPartCopy,
)
from rs3gw.operations.object import CopyObject, GetObject, GetObjectAttributes, HeadObject
from rs3gw.operations.shapes import Checksums

md5 = partial(hashlib.md5, usedforsecurity=False)

ONE, TWO = b"one " * 8, b"two"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(checks, "MIN_PART_BYTES", len(ONE))


def checksum(name: str, data: bytes) -> str:
    tally = digests.Tally([name])
    tally.update(data)
    return tally.checksums[name]


@dataclass
class Upload:
    """An upload under way, and the parts of it that a client knows of."""

    ask: Any
    key: str
    upload_id: str
    parts: dict[int, CompletedPart]

    async def part(self, number: int, data: bytes, **values: Any) -> Any:
        answer = await self.ask(
            UploadPart,
            bucket="bucket",
            key=self.key,
            upload_id=self.upload_id,
            part_number=number,
            body=Whole(data),
            **values,
        )
        self.parts[number] = CompletedPart(part_number=number, etag=answer.etag, checksums=answer.checksums)
        return answer

    async def copy(self, number: int, source: str, **values: Any) -> Any:
        answer = await self.ask(
            UploadPartCopy,
            bucket="bucket",
            key=self.key,
            upload_id=self.upload_id,
            part_number=number,
            copy_source=source,
            **values,
        )
        self.parts[number] = CompletedPart(part_number=number, etag=answer.etag)
        return answer

    async def complete(self, *, parts: Any = None, **values: Any) -> Any:
        return await self.ask(
            CompleteMultipartUpload,
            bucket="bucket",
            key=self.key,
            upload_id=self.upload_id,
            parts=tuple(self.parts[number] for number in sorted(self.parts)) if parts is None else parts,
            **values,
        )

    async def list(self, **values: Any) -> Any:
        return await self.ask(ListParts, bucket="bucket", key=self.key, upload_id=self.upload_id, **values)


@pytest.fixture
def begin(ask):
    async def begin(key: str = "key", **values: Any) -> Upload:
        answer = await ask(CreateMultipartUpload, bucket="bucket", key=key, **values)
        return Upload(ask, key, answer.upload_id, {})

    return begin


@pytest.fixture
async def two(begin):
    """An upload that has two parts."""
    upload = await begin()
    await upload.part(1, ONE)
    await upload.part(2, TWO)
    return upload


async def test_parts_become_one_object_with_what_was_said_at_the_beginning(ask, begin):
    upload = await begin(content_type="text/plain", metadata={"a": "1"}, tagging="t=1")
    await upload.part(7, TWO)
    await upload.part(3, ONE)

    done = await upload.complete()

    found = await ask(GetObject, bucket="bucket", key="key", checksum_mode="ENABLED")
    expected = md5(md5(ONE).digest() + md5(TWO).digest()).hexdigest()
    assert (ONE + TWO, f'"{expected}-2"', found.etag) == (found.data, found.etag, done.etag)
    assert (found.content_type, found.metadata, found.tag_count) == ("text/plain", {"a": "1"}, 1)
    assert (checksum("crc64nvme", ONE + TWO), "FULL_OBJECT") == (found.checksums.crc64nvme, found.checksum_type)
    assert (await ask(ListMultipartUploads, bucket="bucket")).uploads == ()


async def test_a_part_is_read_by_its_number(ask, two):
    await two.complete()

    found = await ask(GetObject, bucket="bucket", key="key", part_number=2, checksum_mode="ENABLED")

    assert (TWO, 2, f"bytes {len(ONE)}-{len(ONE + TWO) - 1}/{len(ONE + TWO)}") == (
        found.data,
        found.parts_count,
        found.content_range,
    )
    assert found.checksums.crc64nvme == checksum("crc64nvme", TWO)
    assert (await ask(HeadObject, bucket="bucket", key="key")).parts_count is None


async def test_of_a_part_that_is_sent_twice_the_last_counts(ask, two):
    old = two.parts[2]
    await two.part(2, b"new")

    with pytest.raises(InvalidPart):
        await two.complete(parts=(two.parts[1], old))
    await two.complete()
    assert await ask.get("key") == ONE + b"new"


async def test_parts_that_are_not_named_are_left_out(ask, two):
    await two.part(3, b"three")

    await two.complete(parts=(two.parts[1], two.parts[3]))

    assert await ask.get("key") == ONE + b"three"


@pytest.mark.parametrize("etag", ['"{}"', "{}"], ids=["quoted", "bare"])
async def test_an_etag_is_taken_with_and_without_its_quotes(two, etag):
    parts = [
        CompletedPart(part_number=number, etag=etag.format(md5(data).hexdigest()))
        for number, data in ((1, ONE), (2, TWO))
    ]

    await two.complete(parts=tuple(parts))


async def test_a_completion_is_refused_for_parts_that_are_not_as_they_are_named(ask, two):
    one, second = two.parts[1], two.parts[2]
    with pytest.raises(InvalidPartOrder):
        await two.complete(parts=(second, one))
    with pytest.raises(InvalidPartOrder):
        await two.complete(parts=(one, one))
    with pytest.raises(InvalidPart) as missing:
        await two.complete(parts=(one, CompletedPart(part_number=9, etag='"abc"')))
    assert (9, "abc", two.upload_id) == (missing.value.part_number, missing.value.etag, missing.value.upload_id)
    with pytest.raises(InvalidPart):
        await two.complete(parts=(CompletedPart(part_number=1, etag=second.etag), second))
    wrong = Checksums(crc64nvme=checksum("crc64nvme", b"other"))
    with pytest.raises(InvalidPart):
        await two.complete(parts=(CompletedPart(part_number=1, etag=one.etag, checksums=wrong), second))
    with pytest.raises(MalformedXML):
        await two.complete(parts=())
    with pytest.raises(MalformedXML):
        await two.complete(parts=(CompletedPart(part_number=1),))
    with pytest.raises(NoSuchKey):
        await ask.get("key")


async def test_only_the_last_part_may_be_small(begin):
    upload = await begin()
    await upload.part(1, ONE[1:])
    await upload.part(2, TWO)

    with pytest.raises(EntityTooSmall) as refused:
        await upload.complete()

    assert (1, len(ONE) - 1, len(ONE)) == (
        refused.value.part_number,
        refused.value.proposed_size,
        refused.value.min_size_allowed,
    )


async def test_the_size_that_the_client_counted_is_compared(two):
    with pytest.raises(InvalidRequest, match="x-amz-mp-object-size"):
        await two.complete(mpu_object_size=1)
    await two.complete(mpu_object_size=len(ONE + TWO))


async def test_a_completion_that_is_repeated_is_answered_the_same(ask, two):
    first = await two.complete()

    assert first == await two.complete()
    await ask.put("key", b"replaced since")
    assert first.etag == (await two.complete()).etag
    assert await ask.get("key") == b"replaced since"
    with pytest.raises(NoSuchUpload):
        await two.complete(parts=(two.parts[1],))


async def test_many_who_complete_at_once_are_all_told_the_same(two):
    answers = await asyncio.gather(*(two.complete() for _ in range(8)))

    assert len({answer.etag for answer in answers}) == 1


async def test_a_condition_is_judged_when_the_object_is_made(ask, two):
    await ask.put("key", b"first")
    with pytest.raises(PreconditionFailed):
        await two.complete(if_none_match="*")
    with pytest.raises(NotImplementedHere):
        await two.complete(if_none_match='"etag"')

    await two.complete(if_match=f'"{md5(b"first").hexdigest()}"')
    assert await ask.get("key") == ONE + TWO


async def test_an_upload_belongs_to_its_key(ask, two):
    two.key = "another"

    for attempt in (two.part(1, ONE), two.complete(), two.list()):
        with pytest.raises(NoSuchUpload) as refused:
            await attempt
        assert refused.value.upload_id == two.upload_id


async def test_an_upload_that_was_given_up_is_gone(ask, two):
    await ask(AbortMultipartUpload, bucket="bucket", key="key", upload_id=two.upload_id)

    for attempt in (
        two.part(1, ONE),
        two.complete(),
        two.list(),
        ask(AbortMultipartUpload, bucket="bucket", key="key", upload_id=two.upload_id),
    ):
        with pytest.raises(NoSuchUpload):
            await attempt


@pytest.mark.parametrize("number", [0, -1, 10_001])
async def test_a_part_has_a_number_up_to_ten_thousand(begin, number):
    upload = await begin()

    with pytest.raises(InvalidArgument, match="between 1 and 10000"):
        await upload.part(number, ONE)


async def test_a_part_is_at_most_5_gib(ask, begin, streamed):
    upload = await begin()

    with pytest.raises(EntityTooLarge) as refused:
        await ask(
            UploadPart,
            bucket="bucket",
            key="key",
            upload_id=upload.upload_id,
            part_number=1,
            body=streamed(size=checks.MAX_PART_BYTES + 1),
        )

    assert refused.value.max_size_allowed == checks.MAX_PART_BYTES


async def test_a_part_without_a_number_is_no_part(ask, begin):
    """A message of gRPC can leave out what the path of a request cannot."""
    upload = await begin()

    with pytest.raises(InvalidArgument):
        await ask(UploadPart, bucket="bucket", key="key", upload_id=upload.upload_id, body=Whole(ONE))


# Checksums


@pytest.mark.parametrize("name", ["CRC32", "CRC32C", "SHA1", "SHA256"])
async def test_a_composite_checksum_is_made_of_those_of_the_parts(ask, begin, name):
    upload, field = await begin(checksum_algorithm=name), name.lower()
    for number, data in ((1, ONE), (2, TWO)):
        await upload.part(number, data, checksums=Checksums(**{field: checksum(field, data)}))
    joined = b"".join(base64.b64decode(checksum(field, data)) for data in (ONE, TWO))

    done = await upload.complete()

    assert f"{checksum(field, joined)}-2" == getattr(done.checksums, field)
    assert done.checksum_type == "COMPOSITE"


@pytest.mark.parametrize("name", ["CRC32", "CRC32C", "CRC64NVME"])
async def test_the_checksum_of_the_whole_can_be_had_of_parts(ask, begin, name):
    upload, field = await begin(checksum_algorithm=name, checksum_type="FULL_OBJECT"), name.lower()
    await upload.part(1, ONE, checksums=Checksums(**{field: checksum(field, ONE)}))
    await upload.part(2, TWO)

    with pytest.raises(BadDigest):
        await upload.complete(checksums=Checksums(**{field: checksum(field, b"other")}))
    done = await upload.complete(checksums=Checksums(**{field: checksum(field, ONE + TWO)}))

    assert checksum(field, ONE + TWO) == getattr(done.checksums, field)


@pytest.mark.parametrize(
    ("algorithm", "kind"), [("SHA1", "FULL_OBJECT"), ("SHA256", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE")]
)
async def test_a_checksum_that_cannot_be_made_is_refused_at_the_beginning(begin, algorithm, kind):
    with pytest.raises(InvalidRequest, match=f"The {kind} checksum type cannot be used"):
        await begin(checksum_algorithm=algorithm, checksum_type=kind)
    with pytest.raises(InvalidRequest, match="can only be used with"):
        await begin(checksum_type=kind)


async def test_parts_come_with_the_checksum_that_was_agreed_on(begin):
    upload = await begin(checksum_algorithm="SHA256")

    with pytest.raises(InvalidRequest, match="expected checksum Type: sha256, actual checksum Type: null"):
        await upload.part(1, ONE)
    with pytest.raises(InvalidRequest, match="expected checksum Type: sha256, actual checksum Type: crc32"):
        await upload.part(1, ONE, checksums=Checksums(crc32=checksum("crc32", ONE)))


async def test_a_composite_object_is_completed_with_the_checksum_of_every_part(begin):
    upload = await begin(checksum_algorithm="CRC32")
    answer = await upload.part(1, ONE, checksums=Checksums(crc32=checksum("crc32", ONE)))

    with pytest.raises(InvalidRequest, match="It was missing for part 1"):
        await upload.complete(parts=(CompletedPart(part_number=1, etag=answer.etag),))
    with pytest.raises(InvalidRequest, match="must use the same checksum mode"):
        await upload.complete(checksum_type="FULL_OBJECT")
    with pytest.raises(InvalidRequest, match="Checksum Type mismatch"):
        await upload.complete(checksums=Checksums(sha1=checksum("sha1", ONE)))
    await upload.complete()


async def test_a_part_that_is_not_what_its_checksum_says_is_not_there(begin):
    upload = await begin()

    with pytest.raises(BadDigest):
        await upload.part(1, ONE, checksums=Checksums(crc32=checksum("crc32", b"other")))

    assert (await upload.list()).parts == ()


# Copies


async def test_a_part_is_made_of_a_range_of_an_object(ask, begin):
    await ask.put("source", ONE + TWO)
    upload = await begin()

    whole = await upload.copy(1, "bucket/source")
    some = await upload.copy(2, "bucket/source", copy_source_range="bytes=2-5")
    await upload.complete()

    assert (f'"{md5(ONE + TWO).hexdigest()}"', f'"{md5(ONE[2:6]).hexdigest()}"') == (whole.etag, some.etag)
    assert await ask.get("key") == ONE + TWO + ONE[2:6]


async def test_a_range_outside_of_the_source_is_refused(ask, begin):
    await ask.put("source", TWO)
    upload = await begin()

    with pytest.raises(InvalidArgument):
        await upload.copy(1, "bucket/source", copy_source_range="bytes=0-3")
    with pytest.raises(InvalidRange):
        await upload.copy(1, "bucket/source", copy_source_range="bytes=3-4")
    with pytest.raises(NoSuchKey):
        await upload.copy(1, "bucket/nothing")
    with pytest.raises(PreconditionFailed):
        await upload.copy(1, "bucket/source", copy_source_if_match='"other"')


async def test_a_copy_of_an_object_in_parts_is_a_whole(ask, two):
    await two.complete()

    copied = await ask(CopyObject, bucket="bucket", key="copy", copy_source="bucket/key")

    assert copied.etag == f'"{md5(ONE + TWO).hexdigest()}"'
    assert copied.checksums.crc64nvme == checksum("crc64nvme", ONE + TWO)
    attributes = await ask(GetObjectAttributes, bucket="bucket", key="copy", object_attributes=("ObjectParts",))
    assert attributes.object_parts is None


@pytest.mark.parametrize("offset", range(0, 12))
@pytest.mark.parametrize("size", range(1, 13))
def test_a_slice_of_content_names_the_bytes_that_a_slice_of_bytes_holds(offset, size):
    size = min(size, 12 - offset)
    blobs = {"a": b"..0123..", "b": b"4567", "c": b".89AB"}
    content = Content(extents=(Extent("a", 2, 4), Extent("b", 0, 4), Extent("c", 1, 4)))

    found = sliced(content, offset=offset, size=size)

    data = b"".join(blobs[extent.blob][extent.offset : extent.offset + extent.size] for extent in found.extents)
    assert b"0123456789AB"[offset : offset + size] == data


# Listings


async def test_parts_are_listed_a_page_at_a_time_with_their_gaps(begin):
    upload = await begin()
    for number in (2, 3, 10_000):
        await upload.part(number, TWO)

    first = await upload.list(max_parts=2)
    second = await upload.list(max_parts=2, part_number_marker=first.next_part_number_marker)

    assert ([part.part_number for part in first.parts], first.is_truncated, "3") == ([2, 3], True, "3")
    assert (
        [part.part_number for part in second.parts],
        second.is_truncated,
        second.part_number_marker,
    ) == ([10_000], False, "3")
    assert (await upload.list(part_number_marker="2147483647")).parts == ()
    for wrong in ("-1", "a", "9" * 30, "२"):
        with pytest.raises(InvalidArgument):
            await upload.list(part_number_marker=wrong)


async def test_uploads_are_listed_by_key_and_then_by_age(ask, begin):
    begun = [await begin(key) for key in ("b", "a", "b", "c/1", "c/2")]
    expected = [begun[place].upload_id for place in (1, 0, 2, 3, 4)]

    shown: list[str] = []
    markers: dict[str, str] = {}
    while True:
        page = await ask(ListMultipartUploads, bucket="bucket", max_uploads=1, **markers)
        shown += [upload.upload_id for upload in page.uploads]
        if not page.is_truncated:
            break
        markers = {"key_marker": page.next_key_marker, "upload_id_marker": page.next_upload_id_marker}

    assert expected == shown


async def test_a_key_alone_as_a_marker_passes_all_of_its_uploads(ask, begin):
    for key in ("a", "a", "a\0", "b"):
        await begin(key)

    page = await ask(ListMultipartUploads, bucket="bucket", key_marker="a")

    assert [upload.key for upload in page.uploads] == ["a\0", "b"]


async def test_uploads_roll_up_like_objects(ask, begin):
    for key in ("p/a/1", "p/a/2", "p/b", "q"):
        await begin(key)

    first = await ask(ListMultipartUploads, bucket="bucket", prefix="p/", delimiter="/", max_uploads=1)
    rest = await ask(
        ListMultipartUploads, bucket="bucket", prefix="p/", delimiter="/", key_marker=first.next_key_marker
    )

    assert (
        [each.prefix for each in first.common_prefixes],
        first.next_key_marker,
        first.next_upload_id_marker,
    ) == (["p/a/"], "p/a/", "")
    assert ([upload.key for upload in rest.uploads], rest.common_prefixes) == (["p/b"], ())


async def test_the_parts_of_an_object_are_told_a_page_at_a_time(ask, two):
    await two.complete()

    def attributes(**values):
        return ask(
            GetObjectAttributes, bucket="bucket", key="key", object_attributes=("ObjectParts", "Checksum"), **values
        )

    first = (await attributes(max_parts=1)).object_parts
    second = (await attributes(part_number_marker=first.next_part_number_marker)).object_parts

    assert (
        first.total_parts_count,
        [part.part_number for part in first.parts],
        first.is_truncated,
    ) == (2, [1], True)
    assert ([(2, len(TWO))], False) == ([(part.part_number, part.size) for part in second.parts], second.is_truncated)


async def test_a_stranger_may_not_finish_what_somebody_else_began(ask, two):
    with pytest.raises(AccessDenied):
        await ask(
            CompleteMultipartUpload,
            by=ask.anybody,
            bucket="bucket",
            key="key",
            upload_id=two.upload_id,
            parts=tuple(two.parts.values()),
        )

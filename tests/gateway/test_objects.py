"""
Objects, where a feature cannot reach: what is shared, what is told to whom, what is decided at the commit.
"""

from __future__ import annotations

import asyncio
import hashlib
from functools import partial

import pytest

from rs3gw.errors import (
    AccessDenied,
    EntityTooLarge,
    InvalidArgument,
    InvalidPartNumber,
    InvalidRange,
    InvalidRequest,
    InvalidTag,
    MalformedXML,
    NoSuchBucket,
    NoSuchKey,
    NoSuchVersion,
    OperationAborted,
    PreconditionFailed,
)
from rs3gw.gateway.copying import MAX_COPY_ATTEMPTS, judge_size
from rs3gw.operations import checks
from rs3gw.operations.body import Stream
from rs3gw.operations.bucket import CreateBucket, DeleteBucket
from rs3gw.operations.object import (
    CopyObject,
    DeleteObject,
    DeleteObjects,
    DeleteObjectTagging,
    GetObject,
    GetObjectAttributes,
    GetObjectTagging,
    HeadObject,
    ListObjects,
    ListObjectsV2,
    ObjectIdentifier,
    PutObject,
    PutObjectTagging,
)
from rs3gw.operations.shapes import Tag

md5 = partial(hashlib.md5, usedforsecurity=False)

HELLO = '"5d41402abc4b2a76b9719d911017c592"'


async def head(ask, key, **values):
    return await ask(HeadObject, bucket="bucket", key=key, **values)


async def copy(ask, source, key, **values):
    return await ask(CopyObject, bucket="bucket", key=key, copy_source=source, **values)


async def test_what_was_put_comes_back_with_everything_that_was_said_of_it(ask):
    put = await ask.put(
        "key",
        b"hello",
        content_type="text/plain",
        cache_control="no-store",
        metadata={"colour": "blue"},
        tagging="a=1&b=%C3%A4",
    )

    found = await ask(GetObject, bucket="bucket", key="key", checksum_mode="ENABLED")
    assert (found.etag, found.data, found.content_length) == (HELLO, b"hello", 5)
    assert (found.content_type, found.cache_control) == ("text/plain", "no-store")
    assert (found.metadata, found.tag_count) == ({"colour": "blue"}, 2)
    assert (put.checksums, "FULL_OBJECT") == (found.checksums, found.checksum_type)
    assert put.etag == HELLO


async def test_the_names_of_metadata_know_no_case(ask):
    await ask.put("key", metadata={"Colour": "Blue"})

    assert (await head(ask, "key")).metadata == {"colour": "Blue"}
    with pytest.raises(InvalidRequest):
        await ask.put("key", metadata={"Colour": "Blue", "colour": "red"})


async def test_content_of_which_nothing_was_said_is_a_stream_of_octets(ask):
    await ask.put("key", b"hello")

    assert (await head(ask, "key")).content_type == "binary/octet-stream"


async def test_a_checksum_is_told_only_to_who_asks_and_only_of_the_whole(ask):
    await ask.put("key", b"hello")

    assert (await head(ask, "key")).checksum_type is None
    assert (await head(ask, "key", checksum_mode="ENABLED", range="bytes=0-1")).checksum_type is None
    assert (await head(ask, "key", checksum_mode="ENABLED", part_number=1)).checksum_type == "FULL_OBJECT"


@pytest.mark.parametrize(
    ("asked", "data", "content_range"),
    [("bytes=1-2", b"el", "bytes 1-2/5"), ("bytes=-2", b"lo", "bytes 3-4/5"), ("bytes=3-99", b"lo", "bytes 3-4/5")],
)
async def test_a_range_is_served_with_its_place(ask, asked, data, content_range):
    await ask.put("key", b"hello")

    found = await ask(GetObject, bucket="bucket", key="key", range=asked)

    assert (data, content_range, len(data)) == (found.data, found.content_range, found.content_length)


async def test_an_empty_object_has_no_range(ask):
    await ask.put("key", b"")

    with pytest.raises(InvalidRange):
        await ask.get("key", range="bytes=0-")


async def test_an_object_that_was_put_whole_is_its_own_only_part(ask):
    await ask.put("key", b"hello")

    found = await ask(GetObject, bucket="bucket", key="key", part_number=1)

    assert (found.data, found.content_range, found.parts_count) == (b"hello", "bytes 0-4/5", None)
    with pytest.raises(InvalidPartNumber):
        await ask.get("key", part_number=2)
    with pytest.raises(InvalidRequest):
        await ask.get("key", part_number=1, range="bytes=0-1")


async def test_the_null_version_is_the_object_and_no_other_version_exists(ask):
    await ask.put("key", b"hello")

    assert await ask.get("key", version_id="null") == b"hello"
    with pytest.raises(NoSuchVersion):
        await ask.get("key", version_id="3HL4kqtJvjVBH40Nrjfkd_nSxrMtl0Yq")
    with pytest.raises(InvalidArgument, match="Invalid version id"):
        await ask.get("key", version_id="../../etc/passwd")


async def test_of_many_who_insist_on_being_first_one_is(ask):
    outcomes = await asyncio.gather(
        *(ask.put("key", str(number).encode(), if_none_match="*") for number in range(32)), return_exceptions=True
    )

    assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, PreconditionFailed) for outcome in outcomes) == 31


async def test_a_write_that_would_fail_anyway_is_refused_before_its_body_is_read(ask):
    """A client that waits for 100 Continue has sent nothing by then."""
    await ask.put("key", b"first")

    async def never():
        raise AssertionError("the body was read")
        yield b""

    with pytest.raises(PreconditionFailed):
        await ask(PutObject, bucket="bucket", key="key", body=Stream(never(), size=9), if_none_match="*")
    with pytest.raises(EntityTooLarge):
        await ask(PutObject, bucket="bucket", key="key", body=Stream(never(), size=checks.MAX_OBJECT_PUT_BYTES + 1))
    with pytest.raises(NoSuchBucket):
        await ask(PutObject, bucket="another", key="key", body=Stream(never(), size=9))


async def test_a_bucket_that_goes_while_the_body_comes_is_missing(ask):
    async def slowly():
        await ask(DeleteBucket, bucket="bucket")
        yield b"too late"

    with pytest.raises(NoSuchBucket) as refused:
        await ask(PutObject, bucket="bucket", key="key", body=Stream(slowly(), size=8))
    assert refused.value.bucket_name == "bucket"


async def test_a_bucket_that_comes_while_the_body_comes_is_nobodys_to_write(ask):
    """Nothing was authorised for a bucket that was not there."""

    async def slowly():
        await ask(CreateBucket, bucket="later")
        yield b"too early"

    with pytest.raises(NoSuchBucket):
        await ask(PutObject, by=ask.anybody, bucket="later", key="key", body=Stream(slowly(), size=9))


# Tags


@pytest.mark.parametrize("header", ["a=1&a=2", "a=%FF", "=1", "&".join(f"k{n}=v" for n in range(11)), f"{'k' * 129}=v"])
async def test_tags_that_break_the_rules_are_refused_before_anything_is_stored(ask, header):
    with pytest.raises((InvalidArgument, InvalidTag)):
        await ask.put("key", b"hello", tagging=header)
    with pytest.raises(NoSuchKey):
        await ask.get("key")


async def test_tags_are_replaced_and_taken_off_without_touching_the_object(ask):
    await ask.put("key", b"hello", tagging="old=1")
    before = (await head(ask, "key")).last_modified

    await ask(PutObjectTagging, bucket="bucket", key="key", tag_set=(Tag(key="new", value="2"),))
    assert (await ask(GetObjectTagging, bucket="bucket", key="key")).tag_set == (Tag(key="new", value="2"),)
    await ask(DeleteObjectTagging, bucket="bucket", key="key")
    assert (await ask(GetObjectTagging, bucket="bucket", key="key")).tag_set == ()
    assert before == (await head(ask, "key")).last_modified


# Copies


async def test_a_copy_takes_everything_along_but_what_it_is_told_to_replace(ask):
    await ask.put("key", b"hello", content_type="text/plain", metadata={"a": "1"}, tagging="t=1")

    await copy(ask, "bucket/key", "same")
    same = await head(ask, "same")
    assert (same.content_type, same.metadata, same.tag_count) == ("text/plain", {"a": "1"}, 1)

    await copy(
        ask, "/bucket/key", "new", metadata_directive="REPLACE", metadata={"b": "2"}, tagging_directive="REPLACE"
    )
    new = await head(ask, "new")
    assert (new.content_type, new.metadata, new.tag_count) == ("binary/octet-stream", {"b": "2"}, None)
    assert new.etag == HELLO


async def test_the_name_of_a_source_is_decoded_once(ask):
    await ask.put("a%2Fb c+ä?versionId=x", b"odd")

    await copy(ask, "bucket/a%252Fb%20c%2B%C3%A4%3FversionId=x?versionId=null", "copy")

    assert await ask.get("copy") == b"odd"


@pytest.mark.parametrize(
    "source", ["", "/", "bucket", "bucket/", "/bucket/", "no/../way", "bucket/%FF", "arn:aws:s3:::b/k"]
)
async def test_a_source_that_names_no_object_is_refused(ask, source):
    with pytest.raises(InvalidArgument):
        await copy(ask, source, "copy")


async def test_a_source_that_is_missing_is_missing(ask):
    with pytest.raises(NoSuchKey):
        await copy(ask, "bucket/nothing", "copy")
    with pytest.raises(NoSuchBucket) as refused:
        await copy(ask, "nowhere/key", "copy")
    assert refused.value.bucket_name == "nowhere"


async def test_a_copy_onto_itself_changes_something_or_is_refused(ask):
    await ask.put("key", b"hello", metadata={"a": "1"})

    with pytest.raises(InvalidRequest, match="without changing the object's metadata"):
        await copy(ask, "bucket/key", "key")
    await copy(ask, "bucket/key", "key", metadata_directive="REPLACE", metadata={"b": "2"})
    assert (await head(ask, "key")).metadata == {"b": "2"}
    assert await ask.get("key") == b"hello"


async def test_a_copy_with_another_checksum_is_digested_anew(ask):
    await ask.put("key", b"hello")

    copied = await copy(ask, "bucket/key", "copy", checksum_algorithm="SHA1")

    assert copied.checksums.sha1 == "qvTGHdzF6KLavt4PO0gs2a6pQ00="
    assert (copied.checksums.crc64nvme, copied.checksum_type) == (None, "FULL_OBJECT")


def test_one_request_copies_at_most_5_gib():
    judge_size(checks.MAX_COPY_BYTES)
    with pytest.raises(InvalidRequest, match="larger than the maximum allowable size for a copy source"):
        judge_size(checks.MAX_COPY_BYTES + 1)


async def test_a_copy_gives_up_on_a_source_that_never_stands_still(ask_restless):
    await ask_restless.put("key", b"hello")

    with pytest.raises(OperationAborted):
        await copy(ask_restless, "bucket/key", "copy")
    assert ask_restless.engine.attempts == MAX_COPY_ATTEMPTS


async def test_the_conditions_of_a_copy_are_about_its_source(ask):
    await ask.put("key", b"hello")

    await copy(ask, "bucket/key", "copy", copy_source_if_match=HELLO)
    with pytest.raises(PreconditionFailed):
        await copy(ask, "bucket/key", "copy", copy_source_if_none_match=HELLO)


# Deletes


async def test_a_missing_key_is_as_good_as_deleted_unless_the_client_insists(ask):
    assert (await ask(DeleteObject, bucket="bucket", key="nothing")).version_id is None
    with pytest.raises(NoSuchKey):
        await ask(DeleteObject, bucket="bucket", key="nothing", if_match="*")


async def test_many_deletes_are_judged_one_by_one(ask):
    for key in "abc":
        await ask.put(key, b"hello")
    wanted = (
        ObjectIdentifier(key="a"),
        ObjectIdentifier(key="b", etag='"other"'),
        ObjectIdentifier(key="c", version_id="null"),
        ObjectIdentifier(key="k" * 1025),
        ObjectIdentifier(key="missing"),
    )

    answer = await ask(DeleteObjects, bucket="bucket", objects=wanted)

    assert [each.key for each in answer.deleted] == ["a", "c", "missing"]
    assert [(each.key, each.code) for each in answer.errors] == [
        ("b", "PreconditionFailed"),
        ("k" * 1025, "KeyTooLongError"),
    ]
    assert [entry.key for entry in (await ask(ListObjects, bucket="bucket")).contents] == ["b"]


async def test_a_quiet_delete_tells_only_what_went_wrong(ask):
    await ask.put("a")

    answer = await ask(
        DeleteObjects,
        bucket="bucket",
        quiet=True,
        objects=(ObjectIdentifier(key="a"), ObjectIdentifier(key="b", etag="x")),
    )

    assert (answer.deleted, [each.code for each in answer.errors]) == ((), ["NoSuchKey"])


async def test_an_object_to_delete_has_a_name(ask):
    with pytest.raises(MalformedXML):
        await ask(DeleteObjects, bucket="bucket", objects=(ObjectIdentifier(),))


# Attributes


async def test_attributes_are_those_that_were_asked_for_and_no_others(ask):
    await ask.put("key", b"hello")

    found = await ask(GetObjectAttributes, bucket="bucket", key="key", object_attributes=("ETag", "ObjectSize"))

    assert (HELLO.strip('"'), 5, None, None) == (found.etag, found.object_size, found.checksum, found.storage_class)
    for wrong in ((), ("Etag",)):
        with pytest.raises(InvalidArgument):
            await ask(GetObjectAttributes, bucket="bucket", key="key", object_attributes=wrong)


# Listings


async def test_the_first_form_names_its_next_marker_only_with_a_delimiter(ask):
    for key in ("a", "b/1", "b/2", "c"):
        await ask.put(key)

    plain = await ask(ListObjects, bucket="bucket", max_keys=2)
    rolled = await ask(ListObjects, bucket="bucket", max_keys=2, delimiter="/")
    rest = await ask(ListObjects, bucket="bucket", delimiter="/", marker=rolled.next_marker)

    assert (plain.is_truncated, plain.next_marker) == (True, None)
    assert (rolled.is_truncated, rolled.next_marker) == (True, "b/")
    assert ([entry.key for entry in rest.contents], rest.common_prefixes) == (["c"], ())


async def test_a_token_wins_over_where_the_listing_was_to_start(ask):
    for key in "abcd":
        await ask.put(key)
    first = await ask(ListObjectsV2, bucket="bucket", start_after="a", max_keys=1)

    second = await ask(
        ListObjectsV2, bucket="bucket", start_after="c", continuation_token=first.next_continuation_token
    )

    assert [entry.key for entry in second.contents] == ["c", "d"]
    assert (second.key_count, second.is_truncated, second.start_after) == (2, False, "c")


async def test_owners_are_listed_by_the_first_form_and_on_demand_by_the_second(ask):
    await ask.put("a")

    assert (await ask(ListObjects, bucket="bucket")).contents[0].owner is not None
    assert (await ask(ListObjectsV2, bucket="bucket")).contents[0].owner is None
    assert (await ask(ListObjectsV2, bucket="bucket", fetch_owner=True)).contents[0].owner is not None


async def test_more_than_a_thousand_keys_are_never_on_a_page(ask):
    found = await ask(ListObjectsV2, bucket="bucket", max_keys=5000)

    assert found.max_keys == 1000


# Who may

PUBLIC = """{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*",
    "Action": %s, "Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"]%s}]}"""


async def test_without_a_policy_only_the_owner_may(ask):
    await ask.put("key", b"hello")

    for stranger in (ask.anybody, ask.guest):
        with pytest.raises(AccessDenied):
            await ask.get("key", by=stranger)


async def test_who_may_not_list_does_not_learn_which_keys_are_missing(ask):
    await ask.allow(PUBLIC % ('"s3:GetObject"', ""))
    with pytest.raises(AccessDenied):
        await ask.get("nothing", by=ask.anybody)
    with pytest.raises(AccessDenied):
        await ask.get("nothing", by=ask.anybody, version_id="3HL4kqtJvjVBH40Nrjfkd_nSxrMtl0Yq")

    await ask.allow(PUBLIC % ('["s3:GetObject", "s3:ListBucket"]', ""))
    with pytest.raises(NoSuchKey):
        await ask.get("nothing", by=ask.anybody)


async def test_a_link_to_a_public_object_cannot_pretend_to_be_something_else(ask):
    await ask.put("key", b"hello")
    await ask.allow(PUBLIC % ('"s3:GetObject"', ""))

    assert (await head(ask, "key", response_content_type="text/html")).content_type == "text/html"
    with pytest.raises(InvalidRequest, match="anonymous"):
        await head(ask, "key", by=ask.anybody, response_content_type="text/html")


async def test_to_compare_an_etag_is_to_read_it(ask):
    await ask.put("key", b"hello")
    await ask.allow(PUBLIC % ('"s3:PutObject"', ""))

    await ask.put("key", b"mine", by=ask.guest)
    with pytest.raises(AccessDenied):
        await ask.put("key", b"mine", by=ask.guest, if_match=HELLO)


async def test_a_tag_on_the_object_may_open_it(ask):
    await ask.put("open", b"hello", tagging="public=yes")
    await ask.put("closed", b"hello")
    await ask.allow(
        PUBLIC % ('"s3:GetObject"', ', "Condition": {"StringEquals": {"s3:ExistingObjectTag/public": "yes"}}')
    )

    assert await ask.get("open", by=ask.anybody) == b"hello"
    with pytest.raises(AccessDenied):
        await ask.get("closed", by=ask.anybody)


async def test_a_prefix_of_a_listing_may_be_all_that_is_allowed(ask):
    await ask.allow(PUBLIC % ('"s3:ListBucket"', ', "Condition": {"StringEquals": {"s3:prefix": "home/"}}'))

    await ask(ListObjectsV2, by=ask.guest, bucket="bucket", prefix="home/")
    with pytest.raises(AccessDenied):
        await ask(ListObjectsV2, by=ask.guest, bucket="bucket")


async def test_to_copy_is_to_read_the_source(ask):
    await ask(CreateBucket, bucket="private")
    await ask(PutObject, bucket="private", key="key", body=Stream(_bytes(b"secret"), size=6))
    await ask.allow(PUBLIC % ('"s3:*"', ""))

    with pytest.raises(AccessDenied):
        await copy(ask, "private/key", "stolen", by=ask.guest)


async def test_to_copy_tags_is_to_read_them(ask):
    await ask.put("key", b"hello", tagging="t=1")
    await ask.allow(PUBLIC % ('["s3:GetObject", "s3:PutObject", "s3:PutObjectTagging"]', ""))

    with pytest.raises(AccessDenied):
        await copy(ask, "bucket/key", "copy", by=ask.guest)
    await copy(ask, "bucket/key", "copy", by=ask.guest, tagging_directive="REPLACE", tagging="t=2")


async def _bytes(data):
    yield data


async def test_every_key_to_delete_needs_its_own_permission(ask):
    await ask.put("mine/a")
    await ask.put("theirs/a")
    await ask.allow((PUBLIC % ('"s3:DeleteObject"', "")).replace("bucket/*", "bucket/mine/*"))

    answer = await ask(
        DeleteObjects,
        by=ask.guest,
        bucket="bucket",
        objects=(ObjectIdentifier(key="mine/a"), ObjectIdentifier(key="theirs/a")),
    )

    assert [each.key for each in answer.deleted] == ["mine/a"]
    assert [(each.key, each.code) for each in answer.errors] == [("theirs/a", "AccessDenied")]


async def test_a_large_body_has_the_digests_of_its_bytes(ask, streamed):
    data = hashlib.sha256(b"seed").digest() * 100_000

    put = await ask(
        PutObject,
        bucket="bucket",
        key="key",
        body=streamed(*(data[at : at + 65536] for at in range(0, len(data), 65536))),
    )

    assert put.etag == f'"{md5(data).hexdigest()}"'
    assert await ask.get("key", range="bytes=100000-2000000") == data[100000:2000001]

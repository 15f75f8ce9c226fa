"""
What can be done to objects, meant.

A write is staged, verified and then published in one commit, in which its condition is judged; a read is judged
against the record that it serves.  Whoever may not list a bucket does not learn which keys it lacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rs3gw.engine.ports import (
    Condition,
    Content,
    DiskFault,
    DiskFull,
    Entry,
    Facts,
    Object,
    ObjectMissing,
)
from rs3gw.engine.seals import unsealed
from rs3gw.errors import (
    AccessDenied,
    DamagedObject,
    InsufficientStorage,
    InvalidArgument,
    InvalidPartNumber,
    InvalidRequest,
    MalformedXML,
    NoSuchKey,
    NoSuchVersion,
    OperationAborted,
    S3Error,
)
from rs3gw.gateway import conditions, digests, intake, listing, ranges, tagging
from rs3gw.gateway.answers import STANDARD, checksums_of, common_prefixes, number_marker, object_entries
from rs3gw.gateway.call import Call, handles
from rs3gw.gateway.conditions import quoted
from rs3gw.gateway.copying import MAX_COPY_ATTEMPTS, judge_size, locate_source, may_copy_tags, parse_source
from rs3gw.gateway.ranges import Slice
from rs3gw.gateway.versions import is_null, judge_version
from rs3gw.operations import checks
from rs3gw.operations.body import Stream, Whole
from rs3gw.operations.multipart import CompleteMultipartUpload
from rs3gw.operations.object import (
    CopyObject,
    DeletedObject,
    DeleteFailure,
    DeleteObject,
    DeleteObjects,
    DeleteObjectTagging,
    Described,
    GetObject,
    GetObjectAttributes,
    GetObjectTagging,
    HeadObject,
    ListObjects,
    ListObjectsV2,
    ObjectChecksum,
    ObjectIdentifier,
    ObjectPart,
    ObjectParts,
    PutObject,
    PutObjectTagging,
    Read,
    Versioned,
)

DEFAULT_CONTENT_TYPE: Final = "binary/octet-stream"
"""What S3 says of content of which nobody said anything."""

_HEADERS: Final = frozenset(field.name for field in Described.spelled()) - {"metadata"}
_OVERRIDES: Final = {
    f"response_{name}": name
    for name in (
        "cache_control",
        "content_disposition",
        "content_encoding",
        "content_language",
        "content_type",
        "expires",
    )
}


# Writing -----------------------------------------------------------------------------------------------------


def described(asked: Described) -> dict[str, str]:
    """The system headers that were sent, by field name."""
    return {name: value for name, value in asked.__dict__.items() if name in _HEADERS and value is not None}


def written_tags(call: Call, key: str, header: str | None) -> Mapping[str, str]:
    """The tags that go with a new object, which need a permission of their own.  Raises AccessDenied, InvalidTag."""
    if not header:
        return tagging.NO_TAGS
    call.may("s3:PutObjectTagging", key)
    return tagging.parse(header)


def user_metadata(asked: Described) -> Mapping[str, str]:
    """
    The user metadata that was sent, by names in lower case: on REST they are headers, which know no case.

    Raises InvalidRequest where two names are one but for their case.
    """
    given = asked.metadata
    metadata = {name.lower(): value for name, value in given.items()}
    if len(metadata) < len(given):
        raise InvalidRequest(message="The names of user metadata differ in more than their case.")
    return metadata


def write_condition(
    call: Call, asked: PutObject.Input | CopyObject.Input | CompleteMultipartUpload.Input
) -> Condition | None:
    """
    The condition of a write, judged by the engine in its commit; None where there is none.

    To compare ETags is to read one, so If-Match needs the permission for it.
    Raises NotImplementedHere, AccessDenied.
    """
    condition = conditions.writing(key=asked.key, if_match=asked.if_match, if_none_match=asked.if_none_match)
    if asked.if_match is not None:
        call.may("s3:GetObject", asked.key)
    return condition


def judge_early(call: Call, bucket: str, key: str, condition: Condition | None) -> None:
    """
    Refuse a conditional write before its body is read, where it would fail already.

    Only the commit decides; this spares a client who waits for 100 Continue from sending for nothing.
    """
    if condition is None:
        return
    try:
        condition(call.engine.object(bucket, key))
    except ObjectMissing:
        condition(None)


@handles(PutObject)
async def put_object(call: Call, asked: PutObject.Input) -> PutObject.Output:
    condition = write_condition(call, asked)
    claims = digests.claims(
        content_md5=asked.content_md5, checksums=asked.checksums, asked=asked.checksum_algorithm, body=asked.body
    )
    headers, tags = described(asked), written_tags(call, asked.key, asked.tagging)
    judge_early(call, asked.bucket, asked.key, condition)
    received = await intake.receive(call.engine, asked.body, claims, most=checks.MAX_OBJECT_PUT_BYTES)
    etag, checksums = received.tally.etag, received.tally.checksums
    facts = Facts(
        etag=etag,
        headers=headers,
        metadata=user_metadata(asked),
        tags=tags,
        checksums=checksums,
        checksum_type=digests.FULL_OBJECT,
    )
    try:
        await call.engine.put_object(asked.bucket, asked.key, received.content, facts, condition=condition)
    except BaseException as fault:
        await intake.discard(received, fault)
        raise
    return PutObject.Output.of(
        {"etag": quoted(etag), "checksums": checksums_of(checksums), "checksum_type": digests.FULL_OBJECT}
    )


@handles(CopyObject)
async def copy_object(call: Call, asked: CopyObject.Input) -> CopyObject.Output:
    condition = write_condition(call, asked)
    named = parse_source(asked.copy_source)
    _judge_change(asked, is_itself=(named.bucket, named.key) == (asked.bucket, asked.key))
    replaced_tags = written_tags(call, asked.key, asked.tagging) if asked.tagging_directive == "REPLACE" else None
    for _ in range(MAX_COPY_ATTEMPTS):
        source = locate_source(call, asked, named)
        judge_size(source.size)
        if replaced_tags is None and source.facts.tags:
            may_copy_tags(call, named, asked.key)
        judge_early(call, asked.bucket, asked.key, condition)
        facts = await _copied(call, asked, source, replaced_tags)
        try:
            stored = await call.engine.put_object(asked.bucket, asked.key, source.content, facts, condition=condition)
        except ObjectMissing:
            # The source was replaced or removed while it was digested: look at what is there now.
            continue
        return CopyObject.Output(
            etag=quoted(facts.etag),
            last_modified=stored.modified,
            checksums=checksums_of(facts.checksums),
            checksum_type=facts.checksum_type,
        )
    raise OperationAborted()


def _judge_change(asked: CopyObject.Input, *, is_itself: bool) -> None:
    changes = asked.metadata_directive == "REPLACE" or asked.storage_class or asked.website_redirect_location
    if is_itself and not changes:
        raise InvalidRequest(
            message="This copy request is illegal because it is trying to copy an object to itself without changing "
            "the object's metadata, storage class, website redirect location or encryption attributes."
        )


async def _copied(
    call: Call, asked: CopyObject.Input, source: Object, replaced_tags: Mapping[str, str] | None
) -> Facts:
    old = source.facts
    if asked.metadata_directive == "REPLACE":
        headers, metadata = described(asked), user_metadata(asked)
    else:
        # S3 copies every system header but the redirection, which belongs to a key and not to content.
        headers = {name: value for name, value in old.headers.items() if name != "website_redirect_location"}
        if asked.website_redirect_location is not None:
            headers["website_redirect_location"] = asked.website_redirect_location
        metadata = old.metadata
    etag, checksums = await _digests_of_copy(call, asked, source)
    return Facts(
        etag=etag,
        headers=headers,
        metadata=metadata,
        tags=old.tags if replaced_tags is None else replaced_tags,
        checksums=checksums,
        checksum_type=digests.FULL_OBJECT,
    )


async def _digests_of_copy(call: Call, asked: CopyObject.Input, source: Object) -> tuple[str, Mapping[str, str]]:
    """
    A copy is one whole, whatever its source was made of: its ETag is an MD5 and its checksum that of all its bytes.

    They are known already unless the source was uploaded in parts, or another checksum is asked for.
    """
    old = source.facts
    if asked.checksum_algorithm is not None:
        algorithm = asked.checksum_algorithm.lower()
    else:
        algorithm = next(iter(old.checksums), digests.DEFAULT)
    has_parts = "-" in old.etag
    if not has_parts and algorithm in old.checksums and old.checksum_type == digests.FULL_OBJECT:
        return old.etag, {algorithm: old.checksums[algorithm]}
    tally = await intake.examine(call.engine, source.content, (algorithm,))
    return tally.etag, tally.checksums


# Reading -----------------------------------------------------------------------------------------------------


def located(call: Call, asked: Versioned) -> Object:
    """
    The object that a request means.

    Raises NoSuchKey, NoSuchVersion; AccessDenied in their place where the caller may not list the bucket.
    """
    try:
        if asked.version_id is not None:
            judge_version(asked.key, asked.version_id)
        return call.engine.object(asked.bucket, asked.key)
    except (ObjectMissing, NoSuchVersion) as fault:
        if not call.allows("s3:ListBucket"):
            raise AccessDenied() from fault
        if asked.version_id is not None:
            raise NoSuchVersion(key=asked.key, version_id=asked.version_id) from fault
        raise NoSuchKey(key=asked.key) from fault


@handles(GetObject)
async def get_object(call: Call, asked: GetObject.Input) -> GetObject.Output:
    found = located(call, asked)
    values, part = _served(call, asked, found)
    content = found.content
    if content.inline is None:
        values["body"] = await _stream(call, content, Slice(0, found.size) if part is None else part)
    else:
        whole = unsealed(content)
        values["body"] = Whole(whole if part is None else memoryview(whole)[part.offset : part.offset + part.size])
    return GetObject.Output.of(values)


@handles(HeadObject)
async def head_object(call: Call, asked: HeadObject.Input) -> HeadObject.Output:
    values, _ = _served(call, asked, located(call, asked))
    return HeadObject.Output.of(values)


async def _stream(call: Call, content: Content, part: Slice) -> Stream:
    stream = Stream(call.engine.read(content, offset=part.offset, size=part.size), size=part.size)
    try:
        await stream.begin()
    except BaseException:
        await stream.aclose()
        raise
    return stream


_JUDGED: Final = frozenset({"if_match", "if_none_match", "if_modified_since", "if_unmodified_since"})


def _served(call: Call, asked: Read, found: Object) -> tuple[dict[str, Any], Slice | None]:
    """What GetObject and HeadObject answer alike, and which bytes where they are not all."""
    given, facts = asked.__dict__, found.facts
    if not _JUDGED.isdisjoint(given):
        conditions.Reading(
            if_match=asked.if_match,
            if_none_match=asked.if_none_match,
            if_modified_since=asked.if_modified_since,
            if_unmodified_since=asked.if_unmodified_since,
        ).judge(facts.etag, found.modified)
    values: dict[str, Any] = {"content_type": DEFAULT_CONTENT_TYPE, **facts.headers}
    if facts.metadata:
        values["metadata"] = facts.metadata
    if facts.tags:
        values["tag_count"] = len(facts.tags)
    values["accept_ranges"] = "bytes"
    values["etag"] = quoted(facts.etag)
    values["last_modified"] = found.modified
    values["content_length"] = found.size
    if given.keys() & _OVERRIDES.keys():
        _override(call, given, values)
    part = None
    checksums: Mapping[str, str] | None = facts.checksums
    if asked.part_number is not None:
        if asked.range is not None:
            raise InvalidRequest(message="Cannot specify both Range header and partNumber query parameter")
        part, checksums = _part(found, asked.part_number)
        if found.parts:
            values["parts_count"] = len(found.parts)
    elif asked.range is not None:
        part = ranges.select(found.size, asked.range)
        if part is not None:
            checksums = None
    if part is not None:
        values["content_length"] = part.size
        values["content_range"] = part.content_range(found.size)
    if checksums and (asked.checksum_mode or "").upper() == "ENABLED":
        values["checksums"] = checksums_of(checksums)
        values["checksum_type"] = facts.checksum_type
    return values, part


def _override(call: Call, given: Mapping[str, Any], values: dict[str, Any]) -> None:
    if call.identity.is_anonymous:
        # Or anybody could hand out a link to a public object that pretends to be a page of this server.
        raise InvalidRequest(message="Request specific response headers cannot be used for anonymous GET requests.")
    for override, name in _OVERRIDES.items():
        if given.get(override) is not None:
            values[name] = given[override]


def _part(found: Object, number: int) -> tuple[Slice | None, Mapping[str, str]]:
    """The bytes and the checksums of a part; an object that was put whole is its own and only part."""
    if not found.parts:
        if number != 1:
            raise InvalidPartNumber(part_number_requested=number, actual_part_count=1)
        return (Slice(0, found.size) if found.size else None), found.facts.checksums
    offset = 0
    for part in found.parts:
        if part.number == number:
            # The part of an object of one empty part has no range to speak of.
            return (Slice(offset, part.size) if part.size else None), part.checksums
        offset += part.size
    raise InvalidPartNumber(part_number_requested=number, actual_part_count=len(found.parts))


_ATTRIBUTES: Final = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")


@handles(GetObjectAttributes)
async def get_object_attributes(call: Call, asked: GetObjectAttributes.Input) -> GetObjectAttributes.Output:
    call.may("s3:GetObject", asked.key)
    wanted = asked.object_attributes
    if not wanted:
        raise InvalidArgument(
            message="The x-amz-object-attributes header specifying the attributes to be retrieved is either missing "
            "or empty",
            argument_name="x-amz-object-attributes",
        )
    for name in wanted:
        if name not in _ATTRIBUTES:
            raise InvalidArgument(
                message="Invalid attribute name specified.",
                argument_name="x-amz-object-attributes",
                argument_value=name,
            )
    found = located(call, asked)
    facts = found.facts
    values: dict[str, Any] = {"last_modified": found.modified}
    if "ETag" in wanted:
        # Alone among S3's answers this one gives the ETag without its quotes.
        values["etag"] = facts.etag
    if "Checksum" in wanted and facts.checksums:
        values["checksum"] = ObjectChecksum(checksum_type=facts.checksum_type, **facts.checksums)
    if "ObjectParts" in wanted and found.parts:
        values["object_parts"] = _page_of_parts(asked, found)
    if "StorageClass" in wanted:
        values["storage_class"] = STANDARD
    if "ObjectSize" in wanted:
        values["object_size"] = found.size
    return GetObjectAttributes.Output.of(values)


def _page_of_parts(asked: GetObjectAttributes.Input, found: Object) -> ObjectParts:
    after = number_marker(asked.part_number_marker, "x-amz-part-number-marker")
    limit = listing.limited(asked.max_parts)
    later = [part for part in found.parts if part.number > after]
    shown = later[:limit]
    return ObjectParts(
        total_parts_count=len(found.parts),
        part_number_marker=str(after),
        next_part_number_marker=str(shown[-1].number if shown else after),
        max_parts=limit,
        is_truncated=bool(shown) and len(later) > len(shown),
        parts=tuple(
            ObjectPart(part_number=part.number, size=part.size, checksums=checksums_of(part.checksums))
            for part in shown
        ),
    )


# Removing ----------------------------------------------------------------------------------------------------


@handles(DeleteObject)
async def delete_object(call: Call, asked: DeleteObject.Input) -> DeleteObject.Output:
    condition = conditions.deleting(key=asked.key, if_match=asked.if_match)
    if condition is not None:
        call.may("s3:GetObject", asked.key)
    version_id = asked.version_id
    if version_id is None or is_null(version_id):
        await call.engine.delete_object(asked.bucket, asked.key, condition=condition)
    # A version that is not there is as good as removed, like a key that is not there.
    return DeleteObject.Output() if version_id is None else DeleteObject.Output(version_id=version_id)


@handles(DeleteObjects)
async def delete_objects(call: Call, asked: DeleteObjects.Input) -> DeleteObjects.Output:
    outcomes: list[Exception | None] = [_objection(call, each) for each in asked.objects]
    removed = [
        place
        for place, each in enumerate(asked.objects)
        if outcomes[place] is None and (each.version_id is None or is_null(each.version_id))
    ]
    targets = [
        (each.key, conditions.deleting(key=each.key, if_match=each.etag))
        for each in (asked.objects[place] for place in removed)
    ]
    for place, outcome in zip(removed, await call.engine.delete_objects(asked.bucket, targets), strict=True):
        outcomes[place] = outcome
    pairs = list(zip(asked.objects, outcomes, strict=True))
    return DeleteObjects.Output(
        deleted=() if asked.quiet else tuple(_deleted(each) for each, outcome in pairs if outcome is None),
        errors=tuple(_failure(each, outcome) for each, outcome in pairs if outcome is not None),
    )


def _objection(call: Call, each: ObjectIdentifier) -> S3Error | None:
    """Why this object is not to be removed, where it is not."""
    if not each.key:
        raise MalformedXML()
    try:
        checks.key(each.key)
        if each.version_id is not None:
            is_null(each.version_id)
        call.may("s3:DeleteObject", each.key)
        if each.etag is not None:
            call.may("s3:GetObject", each.key)
    except S3Error as refusal:
        return refusal
    return None


def _deleted(each: ObjectIdentifier) -> DeletedObject:
    values = {"key": each.key}
    if each.version_id is not None:
        values["version_id"] = each.version_id
    return DeletedObject.of(values)


def _failure(each: ObjectIdentifier, outcome: Exception) -> DeleteFailure:
    if isinstance(outcome, DiskFull):
        outcome = InsufficientStorage()
    elif isinstance(outcome, DiskFault):
        outcome = DamagedObject()
    if not isinstance(outcome, S3Error):
        raise outcome
    values = {"key": each.key, "code": outcome.code, "message": outcome.message}
    if each.version_id is not None:
        values["version_id"] = each.version_id
    return DeleteFailure.of(values)


# Tags --------------------------------------------------------------------------------------------------------


@handles(GetObjectTagging)
async def get_object_tagging(call: Call, asked: GetObjectTagging.Input) -> GetObjectTagging.Output:
    return GetObjectTagging.Output(tag_set=tagging.to_set(located(call, asked).facts.tags))


@handles(PutObjectTagging)
async def put_object_tagging(call: Call, asked: PutObjectTagging.Input) -> PutObjectTagging.Output:
    await _retag(call, asked, tagging.of_set(asked.tag_set))
    return PutObjectTagging.Output()


@handles(DeleteObjectTagging)
async def delete_object_tagging(call: Call, asked: DeleteObjectTagging.Input) -> DeleteObjectTagging.Output:
    await _retag(call, asked, {})
    return DeleteObjectTagging.Output()


async def _retag(call: Call, asked: Versioned, tags: Mapping[str, str]) -> None:
    located(call, asked)
    try:
        await call.engine.change_object(asked.bucket, asked.key, None, lambda facts: facts._replace(tags=tags))
    except ObjectMissing as fault:
        raise NoSuchKey(key=asked.key) from fault


# Listing -----------------------------------------------------------------------------------------------------


def _page(call: Call, bucket: str, prefix: str, delimiter: str, after: str | None, limit: int) -> listing.Page[Entry]:
    def scan(start: str, inclusive: bool, end: str | None, limit: int) -> Sequence[Entry]:
        return call.engine.scan(bucket, start=start, inclusive=inclusive, end=end, limit=limit)

    cursor = listing.KeyCursor(scan, prefix=prefix, after=after)
    return listing.page(cursor, prefix=prefix, delimiter=delimiter, after=after, limit=limit)


@handles(ListObjects)
async def list_objects(call: Call, asked: ListObjects.Input) -> ListObjects.Output:
    prefix, marker, limit = asked.prefix or "", asked.marker or "", listing.limited(asked.max_keys)
    page = _page(call, asked.bucket, prefix, asked.delimiter or "", marker or None, limit)
    values: dict[str, Any] = {
        "name": asked.bucket,
        "prefix": prefix,
        "marker": marker,
        "max_keys": limit,
        "is_truncated": page.is_truncated,
        "contents": object_entries(page.entries, with_owner=True),
        "common_prefixes": common_prefixes(page.prefixes),
    }
    if asked.delimiter:
        values["delimiter"] = asked.delimiter
        # Without a delimiter the last key is the marker, and S3 leaves it to the client to see that.
        if page.marker is not None:
            values["next_marker"] = page.marker
    if asked.encoding_type is not None:
        values["encoding_type"] = asked.encoding_type
    return ListObjects.Output.of(values)


@handles(ListObjectsV2)
async def list_objects_v2(call: Call, asked: ListObjectsV2.Input) -> ListObjectsV2.Output:
    prefix, limit = asked.prefix or "", listing.limited(asked.max_keys)
    if asked.continuation_token is not None:
        after: str | None = listing.untoken(asked.continuation_token)
    else:
        after = asked.start_after or None
    page = _page(call, asked.bucket, prefix, asked.delimiter or "", after, limit)
    values: dict[str, Any] = {
        "name": asked.bucket,
        "prefix": prefix,
        "max_keys": limit,
        "key_count": len(page.entries) + len(page.prefixes),
        "is_truncated": page.is_truncated,
        "contents": object_entries(page.entries, with_owner=bool(asked.fetch_owner)),
        "common_prefixes": common_prefixes(page.prefixes),
    }
    if asked.delimiter:
        values["delimiter"] = asked.delimiter
    if asked.start_after:
        values["start_after"] = asked.start_after
    if asked.continuation_token is not None:
        values["continuation_token"] = asked.continuation_token
    if page.marker is not None:
        values["next_continuation_token"] = listing.token(page.marker)
    if asked.encoding_type is not None:
        values["encoding_type"] = asked.encoding_type
    return ListObjectsV2.Output.of(values)

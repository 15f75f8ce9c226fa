"""
The source of a copy: how it is named, whether it may be read, and which of its bytes are meant.

CopyObject and UploadPartCopy differ in what they make; what they make it of is decided here, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from rs3gw.engine.ports import Content, Extent, Object, ObjectMissing
from rs3gw.engine.seals import unsealed
from rs3gw.errors import AccessDenied, InvalidArgument, InvalidRequest, NoSuchBucket, NoSuchKey, NoSuchVersion
from rs3gw.gateway.call import Call, find
from rs3gw.gateway.conditions import Reading
from rs3gw.gateway.versions import judge_version
from rs3gw.operations import checks
from rs3gw.operations.multipart import UploadPartCopy
from rs3gw.operations.object import CopyObject

MAX_COPY_ATTEMPTS: Final = 8
"""How often a copy begins again because its source was replaced while it was being digested."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a copy is made of, by name."""

    bucket: str
    key: str
    version_id: str | None


def parse_source(value: str) -> Source:
    """
    Read x-amz-copy-source: ``bucket/key?versionId=…``, percent-encoded, with or without a slash before it.

    Raises InvalidArgument.
    """
    path, _, version_id = value.partition("?versionId=")
    try:
        bucket, slash, key = unquote(path, errors="strict").removeprefix("/").partition("/")
    except UnicodeDecodeError as fault:
        raise _unreadable(value) from fault
    if not slash or not key or not checks.is_bucket_name(bucket):
        raise _unreadable(value)
    checks.key(key)
    return Source(bucket, key, version_id or None)


def _unreadable(value: str) -> InvalidArgument:
    return InvalidArgument(
        message="Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
        argument_name="x-amz-copy-source",
        argument_value=value,
    )


def locate_source(call: Call, asked: CopyObject.Input | UploadPartCopy.Input, source: Source) -> Object:
    """
    Find the object that a copy is made of.

    Raises AccessDenied, NoSuchBucket, NoSuchKey, NoSuchVersion, PreconditionFailed.
    """
    bucket = find(call.engine, source.bucket)
    if bucket is None:
        raise NoSuchBucket(bucket_name=source.bucket)
    call.may("s3:GetObject", source.key, bucket=bucket)
    judge_version(source.key, source.version_id)
    try:
        found = call.engine.object(source.bucket, source.key, source.version_id)
    except ObjectMissing as fault:
        if not call.allows("s3:ListBucket", bucket=bucket):
            raise AccessDenied() from fault
        if source.version_id is not None:
            raise NoSuchVersion(key=source.key, version_id=source.version_id) from fault
        raise NoSuchKey(key=source.key) from fault
    Reading(
        if_match=asked.copy_source_if_match,
        if_none_match=asked.copy_source_if_none_match,
        if_modified_since=asked.copy_source_if_modified_since,
        if_unmodified_since=asked.copy_source_if_unmodified_since,
    ).judge_source(found.facts.etag, found.modified)
    return found


def may_copy_tags(call: Call, source: Source, key: str) -> None:
    """To take tags along is to read them there and to write them here.  Raises AccessDenied."""
    bucket = find(call.engine, source.bucket)
    if bucket is not None:
        call.may("s3:GetObjectTagging", source.key, bucket=bucket)
    call.may("s3:PutObjectTagging", key)


def judge_size(size: int) -> None:
    """One request copies at most 5 GiB.  Raises InvalidRequest, as S3 does."""
    if size > checks.MAX_COPY_BYTES:
        raise InvalidRequest(
            message="The specified copy source is larger than the maximum allowable size for a copy source: "
            f"{checks.MAX_COPY_BYTES}"
        )


def sliced(content: Content, *, offset: int, size: int) -> Content:
    """The content of some of the bytes; extents are shared, not copied.  Raises DiskFault."""
    if offset == 0 and size == content.size:
        return content
    if content.inline is not None:
        return Content(inline=unsealed(content)[offset : offset + size])
    return Content(extents=tuple(_cut(content.extents, offset, offset + size)))


def _cut(extents: tuple[Extent, ...], begin: int, end: int) -> Iterator[Extent]:
    position = 0
    for extent in extents:
        first, last = max(begin - position, 0), min(end - position, extent.size)
        if first < last:
            yield Extent(extent.blob, extent.offset + first, last - first)
        position += extent.size

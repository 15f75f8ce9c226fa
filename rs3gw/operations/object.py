"""
What can be asked of the objects of a bucket, declared.

Nothing here acts: ``gateway/object.py`` says what each of these means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from rs3gw.operations import checks
from rs3gw.operations.body import Body
from rs3gw.operations.declare import Message, element, elements, header, headers, operation, payload, query
from rs3gw.operations.shapes import (
    ALGORITHMS,
    BucketAddress,
    Checksums,
    CommonPrefix,
    ObjectAddress,
    Owner,
    Tag,
    checksum_elements,
    checksum_headers,
)

_CHECKSUM_ALGORITHM = checks.among("x-amz-checksum-algorithm", *ALGORITHMS)
_ENCODING = checks.among("encoding-type", "url")


class Versioned(ObjectAddress):
    """A key in a bucket, and which of its versions: "null" is the only one that an unversioned object has."""

    version_id: str | None = query("versionId")


class Described(Message):
    """What a client says of an object's content and S3 gives back unchanged with it."""

    cache_control: str | None = header("Cache-Control", check=checks.one_line)
    content_disposition: str | None = header("Content-Disposition", check=checks.one_line)
    content_encoding: str | None = header("Content-Encoding", check=checks.one_line)
    content_language: str | None = header("Content-Language", check=checks.one_line)
    content_type: str | None = header("Content-Type", check=checks.one_line)
    expires: str | None = header("Expires", check=checks.one_line)
    website_redirect_location: str | None = header("x-amz-website-redirect-location", check=checks.one_line)
    metadata: Mapping[str, str] = headers("x-amz-meta-", check=checks.metadata)


class Written(Described):
    """What goes with every way of making an object."""

    tagging: str | None = header("x-amz-tagging")
    storage_class: str | None = header("x-amz-storage-class", check=checks.storage_class)
    acl: str | None = header("x-amz-acl", check=checks.acl)


@operation("PUT /{Bucket}/{Key+}")
class PutObject:
    """Store an object whole, replacing what the key held."""

    class Input(ObjectAddress, Written):
        content_md5: str | None = header("Content-MD5")
        checksum_algorithm: str | None = header("x-amz-sdk-checksum-algorithm", check=_CHECKSUM_ALGORITHM)
        checksums: Checksums = checksum_headers()
        if_match: str | None = header("If-Match")
        if_none_match: str | None = header("If-None-Match")
        body: Body = payload()

    class Output(Message):
        etag: str | None = header("ETag")
        checksums: Checksums = checksum_headers()
        checksum_type: str | None = header("x-amz-checksum-type")
        version_id: str | None = header("x-amz-version-id")
        size: int | None = header("x-amz-object-size")


class Read(Versioned):
    """What GetObject and HeadObject ask alike."""

    if_match: str | None = header("If-Match")
    if_none_match: str | None = header("If-None-Match")
    if_modified_since: datetime | None = header("If-Modified-Since")
    if_unmodified_since: datetime | None = header("If-Unmodified-Since")
    range: str | None = header("Range")
    part_number: int | None = query("partNumber", check=checks.part_number)
    checksum_mode: str | None = header("x-amz-checksum-mode", check=checks.checksum_mode)
    response_cache_control: str | None = query("response-cache-control", check=checks.one_line)
    response_content_disposition: str | None = query("response-content-disposition", check=checks.one_line)
    response_content_encoding: str | None = query("response-content-encoding", check=checks.one_line)
    response_content_language: str | None = query("response-content-language", check=checks.one_line)
    response_content_type: str | None = query("response-content-type", check=checks.one_line)
    response_expires: str | None = query("response-expires", check=checks.one_line)


class Served(Described):
    """What GetObject and HeadObject answer alike."""

    accept_ranges: str | None = header("Accept-Ranges")
    content_length: int | None = header("Content-Length")
    content_range: str | None = header("Content-Range", status=206)
    etag: str | None = header("ETag")
    last_modified: datetime | None = header("Last-Modified")
    checksums: Checksums = checksum_headers()
    checksum_type: str | None = header("x-amz-checksum-type")
    version_id: str | None = header("x-amz-version-id")
    storage_class: str | None = header("x-amz-storage-class")
    parts_count: int | None = header("x-amz-mp-parts-count")
    tag_count: int | None = header("x-amz-tagging-count")


@operation("GET /{Bucket}/{Key+}")
class GetObject:
    """The bytes of an object, or a range of them, with everything that is known of it."""

    class Input(Read): ...

    class Output(Served):
        body: Body = payload()


@operation("HEAD /{Bucket}/{Key+}", action="s3:GetObject")
class HeadObject:
    """Everything that is known of an object, without its bytes."""

    class Input(Read): ...

    class Output(Served): ...


@operation("DELETE /{Bucket}/{Key+}", status=204)
class DeleteObject:
    """Remove an object; one that is not there is as good as removed."""

    class Input(Versioned):
        if_match: str | None = header("If-Match")

    class Output(Message):
        delete_marker: bool | None = header("x-amz-delete-marker")
        version_id: str | None = header("x-amz-version-id")


class ObjectIdentifier(Message):
    """An object to delete, and the ETag that it must have to be deleted."""

    key: str = element("Key", default="")
    version_id: str | None = element("VersionId")
    etag: str | None = element("ETag")


class DeletedObject(Message):
    """An object that is gone."""

    key: str | None = element("Key")
    version_id: str | None = element("VersionId")
    delete_marker: bool | None = element("DeleteMarker")
    delete_marker_version_id: str | None = element("DeleteMarkerVersionId")


class DeleteFailure(Message):
    """An object that is still there, and why."""

    key: str | None = element("Key")
    version_id: str | None = element("VersionId")
    code: str | None = element("Code")
    message: str | None = element("Message")


@operation("POST /{Bucket}?delete", action="")
class DeleteObjects:
    """Remove up to 1,000 objects in one request; each is judged by itself."""

    class Input(BucketAddress, root="Delete"):
        objects: tuple[ObjectIdentifier, ...] = elements("Object", check=checks.delete_list)
        quiet: bool | None = element("Quiet")

    class Output(Message, root="DeleteResult"):
        deleted: tuple[DeletedObject, ...] = elements("Deleted")
        errors: tuple[DeleteFailure, ...] = elements("Error")


class Copied(ObjectAddress):
    """What every way of copying says of its source, and what the source must be for it."""

    copy_source: str = header("x-amz-copy-source")
    copy_source_if_match: str | None = header("x-amz-copy-source-if-match")
    copy_source_if_none_match: str | None = header("x-amz-copy-source-if-none-match")
    copy_source_if_modified_since: datetime | None = header("x-amz-copy-source-if-modified-since")
    copy_source_if_unmodified_since: datetime | None = header("x-amz-copy-source-if-unmodified-since")
    expected_source_bucket_owner: str | None = header(
        "x-amz-source-expected-bucket-owner", check=checks.expected_bucket_owner
    )


@operation("PUT /{Bucket}/{Key+}", when="x-amz-copy-source", action="s3:PutObject")
class CopyObject:
    """Make an object of another one, without its bytes passing through the client."""

    class Input(Copied, Written):
        metadata_directive: str | None = header(
            "x-amz-metadata-directive", check=checks.among("x-amz-metadata-directive", "COPY", "REPLACE")
        )
        tagging_directive: str | None = header(
            "x-amz-tagging-directive", check=checks.among("x-amz-tagging-directive", "COPY", "REPLACE")
        )
        checksum_algorithm: str | None = header("x-amz-checksum-algorithm", check=_CHECKSUM_ALGORITHM)
        if_match: str | None = header("If-Match")
        if_none_match: str | None = header("If-None-Match")

    class Output(Message, root="CopyObjectResult"):
        etag: str | None = element("ETag")
        last_modified: datetime | None = element("LastModified")
        checksum_type: str | None = element("ChecksumType")
        checksums: Checksums = checksum_elements()
        copy_source_version_id: str | None = header("x-amz-copy-source-version-id")
        version_id: str | None = header("x-amz-version-id")


class ObjectPart(Message):
    """A part of an object that was uploaded in parts."""

    part_number: int | None = element("PartNumber")
    size: int | None = element("Size")
    checksums: Checksums = checksum_elements()


class ObjectParts(Message):
    """A page of an object's parts."""

    total_parts_count: int | None = element("PartsCount")
    part_number_marker: str | None = element("PartNumberMarker")
    next_part_number_marker: str | None = element("NextPartNumberMarker")
    max_parts: int | None = element("MaxParts")
    is_truncated: bool | None = element("IsTruncated")
    parts: tuple[ObjectPart, ...] = elements("Part")


class ObjectChecksum(Checksums):
    """The checksums of an object and what they were made of."""

    checksum_type: str | None = element("ChecksumType")


@operation("GET /{Bucket}/{Key+}?attributes")
class GetObjectAttributes:
    """Those attributes of an object that are asked for, its parts a page at a time."""

    class Input(Versioned):
        object_attributes: tuple[str, ...] = header("x-amz-object-attributes", default=())
        max_parts: int | None = header("x-amz-max-parts", check=checks.count("x-amz-max-parts"))
        part_number_marker: str | None = header("x-amz-part-number-marker")

    class Output(Message, root="GetObjectAttributesResponse"):
        etag: str | None = element("ETag")
        checksum: ObjectChecksum | None = element("Checksum")
        object_parts: ObjectParts | None = element("ObjectParts")
        storage_class: str | None = element("StorageClass")
        object_size: int | None = element("ObjectSize")
        last_modified: datetime | None = header("Last-Modified")
        version_id: str | None = header("x-amz-version-id")


@operation("GET /{Bucket}/{Key+}?tagging")
class GetObjectTagging:
    """The tags of an object; an object without tags has an empty set."""

    class Input(Versioned): ...

    class Output(Message, root="Tagging"):
        version_id: str | None = header("x-amz-version-id")
        tag_set: tuple[Tag, ...] = elements("Tag", within="TagSet")


@operation("PUT /{Bucket}/{Key+}?tagging")
class PutObjectTagging:
    """Give an object these tags in place of those that it had."""

    class Input(Versioned, root="Tagging"):
        tag_set: tuple[Tag, ...] = elements("Tag", within="TagSet", check=checks.tags(checks.MAX_OBJECT_TAGS))

    class Output(Message):
        version_id: str | None = header("x-amz-version-id")


@operation("DELETE /{Bucket}/{Key+}?tagging", status=204)
class DeleteObjectTagging:
    """Take all tags off an object."""

    class Input(Versioned): ...

    class Output(Message):
        version_id: str | None = header("x-amz-version-id")


class ObjectEntry(Message):
    """An object in a listing."""

    key: str | None = element("Key", urlencoded=True)
    last_modified: datetime | None = element("LastModified")
    etag: str | None = element("ETag")
    checksum_algorithm: tuple[str, ...] = elements("ChecksumAlgorithm")
    checksum_type: str | None = element("ChecksumType")
    size: int | None = element("Size")
    storage_class: str | None = element("StorageClass")
    owner: Owner | None = element("Owner")


class Listed(BucketAddress):
    """What every listing of objects asks alike."""

    prefix: str | None = query("prefix")
    delimiter: str | None = query("delimiter")
    max_keys: int | None = query("max-keys", check=checks.count("max-keys"))
    encoding_type: str | None = query("encoding-type", check=_ENCODING, rest_only=True)


@operation("GET /{Bucket}", action="s3:ListBucket", rpc=None)
class ListObjects:
    """The objects of a bucket in the order of their keys, in the first form of the listing."""

    class Input(Listed):
        marker: str | None = query("marker")

    class Output(Message, root="ListBucketResult"):
        name: str | None = element("Name")
        prefix: str | None = element("Prefix", urlencoded=True)
        marker: str | None = element("Marker", urlencoded=True)
        next_marker: str | None = element("NextMarker", urlencoded=True)
        max_keys: int | None = element("MaxKeys")
        delimiter: str | None = element("Delimiter", urlencoded=True)
        is_truncated: bool = element("IsTruncated", default=False)
        encoding_type: str | None = element("EncodingType", rest_only=True)
        contents: Sequence[ObjectEntry] = elements("Contents")
        common_prefixes: tuple[CommonPrefix, ...] = elements("CommonPrefixes")


@operation("GET /{Bucket}?list-type=2", action="s3:ListBucket", rpc="ListObjects")
class ListObjectsV2:
    """The objects of a bucket in the order of their keys, a page at a time."""

    class Input(Listed):
        continuation_token: str | None = query("continuation-token")
        start_after: str | None = query("start-after")
        fetch_owner: bool | None = query("fetch-owner")

    class Output(Message, root="ListBucketResult"):
        name: str | None = element("Name")
        prefix: str | None = element("Prefix", urlencoded=True)
        start_after: str | None = element("StartAfter", urlencoded=True)
        continuation_token: str | None = element("ContinuationToken")
        next_continuation_token: str | None = element("NextContinuationToken")
        key_count: int = element("KeyCount", default=0)
        max_keys: int | None = element("MaxKeys")
        delimiter: str | None = element("Delimiter", urlencoded=True)
        is_truncated: bool = element("IsTruncated", default=False)
        encoding_type: str | None = element("EncodingType", rest_only=True)
        contents: Sequence[ObjectEntry] = elements("Contents")
        common_prefixes: tuple[CommonPrefix, ...] = elements("CommonPrefixes")

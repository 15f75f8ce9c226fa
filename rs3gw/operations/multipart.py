"""
What can be asked of an upload in parts, declared.

Nothing here acts: ``gateway/multipart.py`` says what each of these means.
"""

from __future__ import annotations

from datetime import datetime

from rs3gw.operations import checks
from rs3gw.operations.body import Body
from rs3gw.operations.declare import Message, element, elements, header, operation, payload, query
from rs3gw.operations.object import Copied, Written
from rs3gw.operations.shapes import (
    ALGORITHMS,
    CHECKSUM_TYPES,
    BucketAddress,
    Checksums,
    CommonPrefix,
    Empty,
    ObjectAddress,
    Owner,
    checksum_elements,
    checksum_headers,
)

_CHECKSUM_ALGORITHM = checks.among("x-amz-checksum-algorithm", *ALGORITHMS)
_CHECKSUM_TYPE = checks.among("x-amz-checksum-type", *CHECKSUM_TYPES)


class UploadAddress(ObjectAddress):
    """An upload, by its key and its id."""

    upload_id: str = query("uploadId", default="")


@operation("POST /{Bucket}/{Key+}?uploads", action="s3:PutObject")
class CreateMultipartUpload:
    """Begin an upload in parts; what is said here goes with the object that it becomes."""

    class Input(ObjectAddress, Written):
        checksum_algorithm: str | None = header("x-amz-checksum-algorithm", check=_CHECKSUM_ALGORITHM)
        checksum_type: str | None = header("x-amz-checksum-type", check=_CHECKSUM_TYPE)

    class Output(Message, root="InitiateMultipartUploadResult"):
        bucket: str | None = element("Bucket")
        key: str | None = element("Key")
        upload_id: str | None = element("UploadId")
        checksum_algorithm: str | None = header("x-amz-checksum-algorithm")
        checksum_type: str | None = header("x-amz-checksum-type")


class PartAddress(UploadAddress):
    """A part of an upload, by its number."""

    part_number: int = query("partNumber", default=0, check=checks.part_number)


@operation("PUT /{Bucket}/{Key+}?partNumber&uploadId", action="s3:PutObject")
class UploadPart:
    """Store one part of an upload; the last one sent under a number counts."""

    class Input(PartAddress):
        content_md5: str | None = header("Content-MD5")
        checksum_algorithm: str | None = header("x-amz-sdk-checksum-algorithm", check=_CHECKSUM_ALGORITHM)
        checksums: Checksums = checksum_headers()
        body: Body = payload()

    class Output(Message):
        etag: str | None = header("ETag")
        checksums: Checksums = checksum_headers()


@operation("PUT /{Bucket}/{Key+}?partNumber&uploadId", when="x-amz-copy-source", action="s3:PutObject")
class UploadPartCopy:
    """Make one part of an upload from an object, or from a range of it."""

    class Input(Copied, PartAddress):
        copy_source_range: str | None = header("x-amz-copy-source-range")

    class Output(Message, root="CopyPartResult"):
        etag: str | None = element("ETag")
        last_modified: datetime | None = element("LastModified")
        checksums: Checksums = checksum_elements()
        copy_source_version_id: str | None = header("x-amz-copy-source-version-id")


class CompletedPart(Message):
    """A part as the client believes it was stored."""

    part_number: int | None = element("PartNumber")
    etag: str | None = element("ETag")
    checksums: Checksums = checksum_elements()


@operation("POST /{Bucket}/{Key+}?uploadId", action="s3:PutObject")
class CompleteMultipartUpload:
    """Make the object of these parts, all at once; repeated, it answers the same again."""

    class Input(UploadAddress, root="CompleteMultipartUpload"):
        parts: tuple[CompletedPart, ...] = elements("Part", check=checks.completed_parts)
        checksums: Checksums = checksum_headers()
        checksum_type: str | None = header("x-amz-checksum-type", check=_CHECKSUM_TYPE)
        mpu_object_size: int | None = header("x-amz-mp-object-size")
        if_match: str | None = header("If-Match")
        if_none_match: str | None = header("If-None-Match")

    class Output(Message, root="CompleteMultipartUploadResult"):
        location: str | None = element("Location")
        bucket: str | None = element("Bucket")
        key: str | None = element("Key")
        etag: str | None = element("ETag")
        checksums: Checksums = checksum_elements()
        checksum_type: str | None = element("ChecksumType")
        version_id: str | None = header("x-amz-version-id")


@operation("DELETE /{Bucket}/{Key+}?uploadId", status=204)
class AbortMultipartUpload:
    """Give an upload up and free what its parts took."""

    class Input(UploadAddress): ...

    class Output(Empty): ...


class Part(Message):
    """A part in a listing."""

    part_number: int | None = element("PartNumber")
    last_modified: datetime | None = element("LastModified")
    etag: str | None = element("ETag")
    size: int | None = element("Size")
    checksums: Checksums = checksum_elements()


@operation("GET /{Bucket}/{Key+}?uploadId", action="s3:ListMultipartUploadParts")
class ListParts:
    """The parts of an upload that are there so far, in the order of their numbers."""

    class Input(UploadAddress):
        max_parts: int | None = query("max-parts", check=checks.count("max-parts"))
        part_number_marker: str | None = query("part-number-marker")

    class Output(Message, root="ListPartsResult"):
        bucket: str | None = element("Bucket")
        key: str | None = element("Key")
        upload_id: str | None = element("UploadId")
        part_number_marker: str | None = element("PartNumberMarker")
        next_part_number_marker: str | None = element("NextPartNumberMarker")
        max_parts: int | None = element("MaxParts")
        is_truncated: bool = element("IsTruncated", default=False)
        parts: tuple[Part, ...] = elements("Part")
        initiator: Owner | None = element("Initiator")
        owner: Owner | None = element("Owner")
        storage_class: str | None = element("StorageClass")
        checksum_algorithm: str | None = element("ChecksumAlgorithm")
        checksum_type: str | None = element("ChecksumType")


class MultipartUpload(Message):
    """An upload in a listing."""

    upload_id: str | None = element("UploadId")
    key: str | None = element("Key", urlencoded=True)
    initiated: datetime | None = element("Initiated")
    storage_class: str | None = element("StorageClass")
    owner: Owner | None = element("Owner")
    initiator: Owner | None = element("Initiator")
    checksum_algorithm: str | None = element("ChecksumAlgorithm")
    checksum_type: str | None = element("ChecksumType")


@operation("GET /{Bucket}?uploads", action="s3:ListBucketMultipartUploads")
class ListMultipartUploads:
    """The uploads of a bucket that are neither completed nor aborted, by key and then by age."""

    class Input(BucketAddress):
        prefix: str | None = query("prefix")
        delimiter: str | None = query("delimiter")
        key_marker: str | None = query("key-marker")
        upload_id_marker: str | None = query("upload-id-marker")
        max_uploads: int | None = query("max-uploads", check=checks.count("max-uploads"))
        encoding_type: str | None = query("encoding-type", check=checks.among("encoding-type", "url"), rest_only=True)

    class Output(Message, root="ListMultipartUploadsResult"):
        bucket: str | None = element("Bucket")
        key_marker: str | None = element("KeyMarker", urlencoded=True)
        upload_id_marker: str | None = element("UploadIdMarker")
        next_key_marker: str | None = element("NextKeyMarker", urlencoded=True)
        next_upload_id_marker: str | None = element("NextUploadIdMarker")
        prefix: str | None = element("Prefix", urlencoded=True)
        delimiter: str | None = element("Delimiter", urlencoded=True)
        max_uploads: int | None = element("MaxUploads")
        is_truncated: bool = element("IsTruncated", default=False)
        encoding_type: str | None = element("EncodingType", rest_only=True)
        uploads: tuple[MultipartUpload, ...] = elements("Upload")
        common_prefixes: tuple[CommonPrefix, ...] = elements("CommonPrefixes")

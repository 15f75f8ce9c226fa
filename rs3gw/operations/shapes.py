"""
The messages that several operations share: addresses, checksums, tags, owners.
"""

from __future__ import annotations

from rs3gw.operations import checks
from rs3gw.operations.declare import Location, Message, either, element, group, header, label


class Empty(Message):
    """An answer that says only that it is done, or a request that says only what."""


class BucketAddress(Message):
    """A bucket, and whose the caller expects it to be."""

    bucket: str = label("Bucket", check=checks.bucket_name)
    expected_bucket_owner: str | None = header("x-amz-expected-bucket-owner", check=checks.expected_bucket_owner)


class ObjectAddress(BucketAddress):
    """A key in a bucket."""

    key: str = label("Key", check=checks.key)


class Checksums(Message):
    """Base64 digests of an object or part, by algorithm; on REST one header or one element each."""

    crc32: str | None = either(header="x-amz-checksum-crc32", element="ChecksumCRC32")
    crc32c: str | None = either(header="x-amz-checksum-crc32c", element="ChecksumCRC32C")
    crc64nvme: str | None = either(header="x-amz-checksum-crc64nvme", element="ChecksumCRC64NVME")
    sha1: str | None = either(header="x-amz-checksum-sha1", element="ChecksumSHA1")
    sha256: str | None = either(header="x-amz-checksum-sha256", element="ChecksumSHA256")


NO_CHECKSUMS = Checksums()

ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
CHECKSUM_TYPES = ("FULL_OBJECT", "COMPOSITE")


def checksum_headers() -> Checksums:
    """The five checksums, standing as headers."""
    found: Checksums = group(Checksums, stands=Location.HEADER)
    return found


def checksum_elements() -> Checksums:
    """The five checksums, standing as XML elements."""
    found: Checksums = group(Checksums, stands=Location.ELEMENT)
    return found


class Owner(Message):
    """Who owns a bucket, object or upload: a canonical id of 64 hex digits, and a name."""

    display_name: str | None = element("DisplayName")
    id: str | None = element("ID")


class Tag(Message):
    """A key and a value."""

    key: str = element("Key", default="")
    value: str = element("Value", default="")


class CommonPrefix(Message):
    """What a listing rolls up: everything up to and including the first delimiter after the prefix."""

    prefix: str = element("Prefix", urlencoded=True)

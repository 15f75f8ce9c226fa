"""
What a single value may be, whatever the operation and whoever asks.

A check takes one value and returns nothing, or raises the S3 error that says what is wrong with it.  Checks know
no state: that a bucket exists, or that a range fits, is for the handlers.  Every limit stands here with its name.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Protocol

from rs3gw.errors import (
    AccessDenied,
    InvalidArgument,
    InvalidBucketName,
    InvalidLocationConstraint,
    InvalidRequest,
    InvalidStorageClass,
    InvalidTag,
    KeyTooLongError,
    MalformedXML,
    MetadataTooLarge,
    NotImplementedHere,
)

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
MIN_BUCKET_NAME, MAX_BUCKET_NAME = 3, 63
MAX_KEY_BYTES = 1024
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
MAX_METADATA_BYTES = 2048
MAX_OBJECT_TAGS, MAX_BUCKET_TAGS = 10, 50
MAX_TAG_KEY, MAX_TAG_VALUE = 128, 256
MIN_PART_NUMBER, MAX_PART_NUMBER = 1, 10_000
MIN_PART_BYTES = 5 * 1024**2
MAX_PART_BYTES = 5 * 1024**3
MAX_OBJECT_PUT_BYTES = 5 * 1024**3
MAX_COPY_BYTES = 5 * 1024**3
MAX_DELETE_OBJECTS = 1000
MAX_PAGE = 1000
MAX_INT32 = 2**31 - 1

ACCOUNT = "000000000000"
"""The one account that owns everything: rs3gw has access keys, not tenants."""

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*[a-z0-9]\Z")
_RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def bucket_name(name: str) -> None:
    """S3's naming rules for general purpose buckets.  Raises InvalidBucketName."""
    if not is_bucket_name(name):
        raise InvalidBucketName(bucket_name=name)


@lru_cache(maxsize=1024)
def is_bucket_name(name: str) -> bool:
    """Whether a bucket could have this name."""
    return (
        MIN_BUCKET_NAME <= len(name) <= MAX_BUCKET_NAME
        and _BUCKET_NAME.match(name) is not None
        and ".." not in name
        and not name.startswith(_RESERVED_PREFIXES)
        and not name.endswith(_RESERVED_SUFFIXES)
        and not _is_address(name)
    )


def _is_address(name: str) -> bool:
    if name.count(".") != 3:
        return False
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


def key(name: str) -> None:
    """
    Any UTF-8 of 1 to 1,024 bytes.

    ``.`` and ``..`` are names like any other: keys never become paths.  Raises KeyTooLongError, InvalidArgument.
    """
    size = len(name.encode())
    if size > MAX_KEY_BYTES:
        raise KeyTooLongError(size=size, max_size_allowed=MAX_KEY_BYTES)
    if not size:
        raise InvalidArgument(message="An object key has at least one byte.", argument_name="Key", argument_value="")


def metadata(values: Mapping[str, str]) -> None:
    """User metadata of at most 2 KiB, names and values counted in UTF-8.  Raises MetadataTooLarge, InvalidArgument."""
    size = sum(len(name.encode()) + len(value.encode()) for name, value in values.items())
    if size > MAX_METADATA_BYTES:
        raise MetadataTooLarge(size=size, max_size_allowed=MAX_METADATA_BYTES)
    for name, value in values.items():
        if not _TOKEN.match(name):
            raise InvalidArgument(
                message="The name of user metadata must be a token of HTTP: letters, digits and -_.!#$%&'*+^`|~.",
                argument_name=f"x-amz-meta-{name}",
                argument_value=value,
            )
        if any(character in value for character in "\r\n\0"):
            raise InvalidArgument(
                message="User metadata cannot hold a line break or a null.",
                argument_name=f"x-amz-meta-{name}",
            )


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


def one_line(value: str) -> None:
    """A header value: no control characters but the tab.  gRPC could carry one, and REST could not give it back."""
    if _CONTROL.search(value):
        raise InvalidArgument(message="A header value cannot hold a control character.")


_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class _Tag(Protocol):
    @property
    def key(self) -> str: ...
    @property
    def value(self) -> str: ...


# https://docs.aws.amazon.com/AmazonS3/latest/API/API_Tag.html: letters, digits, white space and _ . : / = + - @
_TAG = re.compile(r"[\w\s.:/=+\-@]*\Z")


def tags(most: int) -> Callable[[Sequence[_Tag]], None]:
    """A tag set of at most ``most`` tags with distinct keys.  Raises InvalidTag."""

    def check(tag_set: Sequence[_Tag]) -> None:
        if len(tag_set) > most:
            raise InvalidTag(message=f"There are more than {most} tags.")
        seen: set[str] = set()
        for tag in tag_set:
            if not 0 < len(tag.key) <= MAX_TAG_KEY or not _TAG.match(tag.key) or tag.key.startswith("aws:"):
                raise InvalidTag(message="The TagKey you have provided is invalid", tag_key=tag.key)
            if len(tag.value) > MAX_TAG_VALUE or not _TAG.match(tag.value):
                raise InvalidTag(message="The TagValue you have provided is invalid", tag_key=tag.key)
            if tag.key in seen:
                raise InvalidTag(message="Cannot provide multiple Tags with the same key", tag_key=tag.key)
            seen.add(tag.key)

    return check


def part_number(number: int) -> None:
    """1 to 10,000.  Raises InvalidArgument."""
    if not MIN_PART_NUMBER <= number <= MAX_PART_NUMBER:
        raise InvalidArgument(
            message=f"Part number must be an integer between {MIN_PART_NUMBER} and {MAX_PART_NUMBER}, inclusive",
            argument_name="partNumber",
            argument_value=str(number),
        )


def count(name: str) -> Callable[[int], None]:
    """
    A number of entries or a marker that is a number: 0 to 2^31-1.

    A page holds at most 1,000 whatever is asked (listing.py).  Raises InvalidArgument.
    """

    def check(number: int) -> None:
        if not 0 <= number <= MAX_INT32:
            raise InvalidArgument(
                message=f"Argument {name} must be an integer between 0 and {MAX_INT32}",
                argument_name=name,
                argument_value=str(number),
            )

    return check


def delete_list(objects: Sequence[object]) -> None:
    """1 to 1,000 objects to delete.  Raises MalformedXML, as S3 does."""
    if not 0 < len(objects) <= MAX_DELETE_OBJECTS:
        raise MalformedXML(message=f"A request to delete names between 1 and {MAX_DELETE_OBJECTS} objects.")


def completed_parts(parts: Sequence[object]) -> None:
    """1 to 10,000 parts.  Raises MalformedXML, as S3 does."""
    if not 0 < len(parts) <= MAX_PART_NUMBER:
        raise MalformedXML(message=f"An upload is completed with between 1 and {MAX_PART_NUMBER} parts.")


def among(name: str, *allowed: str) -> Callable[[str], None]:
    """One of a few words.  Raises InvalidArgument with the argument's name."""

    def check(value: str) -> None:
        if value not in allowed:
            raise InvalidArgument(
                message=f"{name} is one of {', '.join(allowed)}.", argument_name=name, argument_value=value
            )

    return check


def checksum_mode(value: str) -> None:
    """ENABLED, in whatever case: the C++ SDK sends it in lower case.  Raises InvalidArgument."""
    among("x-amz-checksum-mode", "ENABLED", "DISABLED")(value.upper())


def storage_class(name: str) -> None:
    """There is one class of storage here.  Raises InvalidStorageClass for every other."""
    if name != "STANDARD":
        raise InvalidStorageClass(storage_class_requested=name)


def acl(name: str) -> None:
    """
    The canned ACLs that say what is true here anyway: the owner of the bucket owns its objects.

    Raises NotImplementedHere for a grant to anybody else, which only a bucket policy can make.
    """
    if name not in ("private", "bucket-owner-full-control", "bucket-owner-read"):
        raise NotImplementedHere(
            message="Grants are made by bucket policies; of the canned ACLs only private is implemented.",
            header="x-amz-acl",
        )


def object_ownership(name: str) -> None:
    """Without ACLs every object belongs to the owner of its bucket.  Raises NotImplementedHere for anything else."""
    if name != "BucketOwnerEnforced":
        raise NotImplementedHere(message="Only BucketOwnerEnforced is implemented.", header="x-amz-object-ownership")


def expected_bucket_owner(account: str) -> None:
    """Raises AccessDenied where the caller expects another owner than the one account there is."""
    if account != ACCOUNT:
        raise AccessDenied(message="The bucket belongs to another account than the one that was expected.")


def location_constraint(region: str) -> None:
    """The shape of a region's name; whether it is served is for the handler.  Raises InvalidLocationConstraint."""
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", region):
        raise InvalidLocationConstraint(location_constraint=region)


def document(value: str) -> None:
    """A JSON document that is not empty.  What it says is judged by who evaluates it."""
    if not value.strip():
        raise InvalidRequest(message="The document is empty.")
    try:
        json.dumps(value).encode()
    except UnicodeEncodeError as fault:
        raise InvalidRequest(message="The document is not UTF-8.") from fault

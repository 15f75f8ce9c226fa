"""
What a server tells of buckets and objects, as values that need no message of protobuf to be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of a listing."""

    name: str
    created: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """An object of a listing.  ``etag`` has S3's quotes, as conditions take it."""

    key: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class Prefix:
    """What the keys have in common that a delimiter rolled up."""

    prefix: str


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """
    What is known of an object.  ``size`` is that of all of it, whatever part of it was asked for.

    ``facts`` has the system headers that were stored with it, by their names in the contract: cache_control,
    content_disposition, content_encoding, content_language, expires.
    """

    bucket: str
    key: str
    size: int
    etag: str
    modified: datetime
    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, bucket: str, key: str, answer: Any) -> ObjectInfo:
        """From the answer to HeadObject, or the first message of GetObject."""
        size = answer.content_length
        if answer.content_range:
            size = int(answer.content_range.rpartition("/")[2])
        return cls(
            bucket=bucket,
            key=key,
            size=size,
            etag=answer.etag,
            modified=answer.last_modified.ToDatetime(UTC),
            content_type=answer.content_type,
            metadata=dict(answer.metadata),
            facts={name: getattr(answer, name) for name in FACTS if answer.HasField(name)},
        )


FACTS = ("cache_control", "content_disposition", "content_encoding", "content_language", "expires")


@dataclass(frozen=True, slots=True)
class Stored:
    """What was stored: the ETag, with S3's quotes, and the bytes."""

    etag: str
    size: int


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an upload as the server has it."""

    number: int
    etag: str
    size: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A key that was not deleted, and why."""

    key: str
    code: str
    message: str

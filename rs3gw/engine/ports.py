"""
What the engine promises, and what it needs of the world.

``Engine`` is the promise: buckets, objects and uploads as records, bytes as content.  It knows no protocol, no
identity and no S3 message, and raises its own errors, which a handler turns into S3's.  Two things implement it:
``memory.Memory``, the executable specification, and ``store.Store``, SQLite and files; the same tests run on both.

``Clock``, ``Entropy`` and ``Disk`` are the world.  Nothing else in rs3gw reads the time, draws a random number or
touches a file of the storage root, so that a simulation can replay a run and pull the plug at any call.

The rules that every implementation keeps:

- A mutation that has returned is durable (as its durability mode says), visible to every reader, and whole.
- A mutation that raised has changed nothing.
- A condition is called inside the transaction that would publish, with the record that it would replace.
- Content named by a record cannot be removed; content named by none is gone after a sweep.
- Keys are ordered by their UTF-8 bytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

Buffer = bytes | bytearray | memoryview

NULL_VERSION: Final = "null"
"""The version of an object in a bucket that was never versioned."""

EMPTY: Final[Mapping[str, str]] = {}


# The world ---------------------------------------------------------------------------------------------------


class Clock(Protocol):
    """The time of day and the time that passes."""

    def now(self) -> datetime:
        """The time of day, in UTC."""

    def monotonic(self) -> float:
        """Seconds that only grow, for durations."""


class Entropy(Protocol):
    """Numbers that nobody can guess."""

    def token(self, size_bytes: int) -> bytes: ...


class File(Protocol):
    """A file open for writing, from its beginning to its end."""

    def write(self, data: Buffer) -> None:
        """Append all of it.  Raises DiskFull, DiskFault."""

    def sync(self) -> None:
        """Return when the content would survive a loss of power."""

    def close(self) -> None: ...


class Reader(Protocol):
    """A file open for reading."""

    def read(self, offset: int, size: int, *, wait: bool = True) -> Buffer | None:
        """
        Up to size bytes, fewer only at the end of the file.

        Without ``wait``: None where the bytes are not at hand and the disk would have to be asked.
        """

    def close(self) -> None: ...


class Disk(Protocol):
    """
    The files of a storage root, by names relative to it: what a simulation replaces.

    Raises DiskFull where there is no room, FileNotFoundError for a missing file, DiskFault for anything else.
    """

    def create(self, name: str) -> File:
        """A new file; FileExistsError where there is one."""

    def open(self, name: str) -> Reader: ...

    def size(self, name: str) -> int: ...

    def list(self, directory: str) -> Sequence[str]:
        """The names in a directory, in any order."""

    def make_directory(self, name: str) -> None: ...

    def sync_directory(self, name: str) -> None:
        """Return when the names created and removed in it would survive a loss of power."""

    def remove(self, name: str) -> None: ...

    def free_bytes(self) -> int: ...


# Records -----------------------------------------------------------------------------------------------------


def stamp(moment: datetime) -> int:
    """Milliseconds since 1970, which is what S3 shows of a time."""
    return round(moment.timestamp() * 1000)


def to_milliseconds(moment: datetime) -> datetime:
    """A time in the whole milliseconds that are stored of it: what is answered now is what is read later."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def moment(milliseconds: int) -> datetime:
    """The time that a stamp stands for."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket, with its documents by kind ("tagging", "policy"): text that the engine does not read."""

    name: str
    region: str
    created: datetime
    documents: Mapping[str, str] = field(default_factory=dict)


# An extent, content, facts and an object are tuples and not dataclasses: every read makes them, and a frozen dataclass
# takes three times as long to make.


class Extent(NamedTuple):
    """A run of bytes in a blob."""

    blob: str
    offset: int
    size: int


class Content(NamedTuple):
    """
    Where an object's bytes are: in the index itself (``inline``), or in extents, in order.

    Many records may name the same blob; the engine counts them.  ``digest`` is what the engine knows of ``inline``,
    None where it keeps nothing that could change; whoever hands the bytes on compares (``seals.unsealed``).
    """

    inline: bytes | None = None
    extents: tuple[Extent, ...] = ()
    digest: bytes | None = None

    @property
    def size(self) -> int:
        return len(self.inline) if self.inline is not None else sum(extent.size for extent in self.extents)


class Facts(NamedTuple):
    """
    What is known of an object besides its name, its time and its bytes.  The engine stores it and reads none of it.

    ``headers`` holds the system headers by field name (content_type, cache_control, …); ``checksums`` base64
    digests by algorithm in lower case (crc32, crc32c, crc64nvme, sha1, sha256); ``etag`` is without its quotes.
    """

    etag: str
    headers: Mapping[str, str] = EMPTY
    metadata: Mapping[str, str] = EMPTY
    tags: Mapping[str, str] = EMPTY
    checksums: Mapping[str, str] = EMPTY
    checksum_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPart:
    """A part of an object that was uploaded in parts, as GetObjectAttributes and partNumber need it."""

    number: int
    size: int
    checksums: Mapping[str, str] = field(default_factory=dict)


class Object(NamedTuple):
    """A stored object.  ``parts`` is empty unless it was uploaded in parts."""

    bucket: str
    key: str
    version_id: str
    size: int
    modified: datetime
    facts: Facts
    content: Content
    parts: tuple[ObjectPart, ...] = ()


class Entry(NamedTuple):
    """
    An object as a listing shows it: no content, no metadata.

    It is a row as the index has it, because a page has a thousand of them and the next one mostly the same:
    ``modified_ms`` counts from 1970, ``checksum_algorithms`` are names in upper case with spaces between them.
    """

    key: str
    version_id: str
    size: int
    modified_ms: int
    etag: str
    checksum_algorithms: str = ""
    checksum_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """
    An upload in parts that is under way.

    ``facts`` are those that the object will have; its etag is empty until then.  ``initiator`` is a principal's
    id and name, which the engine does not read.
    """

    bucket: str
    key: str
    upload_id: str
    initiated: datetime
    facts: Facts
    checksum_algorithm: str | None = None
    initiator: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of an upload."""

    number: int
    size: int
    etag: str
    modified: datetime
    content: Content
    checksums: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What became of a completed upload, kept so that completing it again can be answered the same."""

    bucket: str
    key: str
    upload_id: str
    etag: str
    parts: tuple[tuple[int, str], ...]
    """(number, etag) of each part it was completed with."""


# Errors ------------------------------------------------------------------------------------------------------


class EngineError(Exception):
    """What the engine has to say; a handler says what it means to S3."""


class BucketMissing(EngineError):
    """There is no such bucket."""


class BucketExists(EngineError):
    """There is one already."""


class BucketOccupied(EngineError):
    """It still holds objects or uploads."""


class ObjectMissing(EngineError):
    """There is no object under this key (or not in this version)."""


class UploadMissing(EngineError):
    """No such upload is under way; ``completed`` tells what became of it, where that is known."""

    def __init__(self, completed: Completed | None = None) -> None:
        super().__init__()
        self.completed = completed


class PartMissing(EngineError):
    """The upload has no part of this number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class DiskFull(EngineError):
    """There is no room; nothing of the request was kept."""


class DiskFault(EngineError):
    """The disk failed, or stored bytes are missing or short."""


class LayoutRefused(EngineError):
    """The storage root was written by another version of the layout, and was not touched."""


class RootBusy(EngineError):
    """Another process group owns the storage root."""


# The promise -------------------------------------------------------------------------------------------------

Condition = Callable[[Object | None], None]
"""
Judges the record that a mutation would replace; whatever it raises undoes the mutation and reaches the caller.

It only judges: where a transaction has to be begun again it is called again.
"""


class Staging(Protocol):
    """
    Bytes being received, named by nobody yet.

    ``write`` may be called from any thread, one call at a time; it keeps small content in memory and lets large
    content reach the disk as it comes.  A staging that is neither published nor discarded is swept.
    """

    @property
    def size(self) -> int: ...

    @property
    def in_memory(self) -> bool:
        """Whether nothing has reached the disk yet, so that a write costs a copy and no more."""

    def write(self, chunk: Buffer) -> None:
        """Append.  Raises DiskFull, DiskFault."""

    async def seal(self) -> Content:
        """Make the bytes durable, so that a record may name them.  Raises DiskFull, DiskFault."""

    async def discard(self) -> None:
        """Forget the bytes; safe at any time, also after seal and after publication has failed."""


class Engine(Protocol):
    """
    Buckets, objects and uploads, durable before acknowledged.

    Reads of single records and short scans are plain calls: they take tens of microseconds and run on the loop.
    Mutations are awaited until they are durable.
    """

    # Buckets

    def bucket(self, name: str) -> Bucket:
        """Raises BucketMissing."""

    def buckets(self, *, prefix: str = "", after: str = "", limit: int) -> Sequence[Bucket]:
        """In the order of their names."""

    async def create_bucket(self, bucket: Bucket) -> None:
        """Raises BucketExists."""

    async def delete_bucket(self, name: str) -> None:
        """Raises BucketMissing, BucketOccupied."""

    async def set_document(self, bucket: str, kind: str, text: str | None) -> None:
        """Put one of the bucket's documents in place of the last; None removes it.  Raises BucketMissing."""

    # Objects

    def object(self, bucket: str, key: str, version_id: str | None = None) -> Object:
        """The current object, or this version of it.  Raises BucketMissing, ObjectMissing."""

    def scan(self, bucket: str, *, start: str, inclusive: bool, end: str | None, limit: int) -> Sequence[Entry]:
        """
        Up to ``limit`` objects in the order of their keys: from ``start`` (or after it) up to, not including, ``end``.

        The cost depends on ``limit`` alone, not on the size of the bucket.  Raises BucketMissing.
        """

    def stage(self, size: int | None, *, inline: bool = True) -> Staging:
        """
        Room for content of this many bytes (None: unknown).  Raises DiskFull where it can tell at once.

        ``inline`` lets small content stand in the index; the parts of an upload may not, because an object made of
        them is extents.
        """

    async def put_object(
        self,
        bucket: str,
        key: str,
        content: Content,
        facts: Facts,
        *,
        parts: tuple[ObjectPart, ...] = (),
        condition: Condition | None = None,
    ) -> Object:
        """
        Publish content under a key in place of what it held, stamped with the time of the commit.

        The content is a sealed staging's, or that of another record, which it then shares (``condition`` of a copy
        may not rely on the source staying: sharing content that was removed meanwhile raises ObjectMissing).
        Raises BucketMissing, DiskFull, and what the condition raises.
        """

    async def delete_object(
        self, bucket: str, key: str, *, version_id: str | None = None, condition: Condition | None = None
    ) -> None:
        """Remove the object, if there is one.  Raises BucketMissing, and what the condition raises."""

    async def delete_objects(
        self, bucket: str, keys: Sequence[tuple[str, Condition | None]]
    ) -> Sequence[Exception | None]:
        """Remove many in one transaction; one outcome a key, in order.  Raises BucketMissing."""

    async def change_object(
        self, bucket: str, key: str, version_id: str | None, change: Callable[[Facts], Facts]
    ) -> Object:
        """Replace an object's facts; its time and content stay.  Raises BucketMissing, ObjectMissing."""

    def read(self, content: Content, *, offset: int, size: int) -> AsyncIterator[Buffer]:
        """
        ``size`` bytes from ``offset``, in chunks of up to 1 MiB; a chunk is valid until the next one is asked for.

        The content stays readable from this call until the iterator is closed, even when the object is replaced or
        deleted meanwhile; between the call that gave its record and this one nothing may be awaited.
        Raises DiskFault: before the first byte where bytes are missing, and before the last byte of a blob that is
        read whole and is not what was stored.
        """

    # Uploads

    async def create_upload(self, upload: Upload) -> None:
        """Raises BucketMissing, DiskFull."""

    def upload(self, bucket: str, key: str, upload_id: str) -> Upload:
        """Raises BucketMissing, UploadMissing (also where the id belongs to another key)."""

    def uploads(
        self, bucket: str, *, start: tuple[str, str], inclusive: bool, end: str | None, limit: int
    ) -> Sequence[Upload]:
        """
        Up to ``limit`` uploads ordered by key, then by the time they were begun, then by id; ``start`` is
        (key, upload_id), where an empty id stands before all of the key's uploads.  Ids are made to sort by time.
        Raises BucketMissing.
        """

    async def put_part(self, upload: Upload, part: Part) -> Part:
        """
        Store a part under its number in place of what was there, stamped with the time of the commit.

        Raises UploadMissing where the upload ended meanwhile, ObjectMissing as put_object does, DiskFull.
        """

    def parts(self, upload: Upload, *, after: int = 0, limit: int) -> Sequence[Part]:
        """In the order of their numbers.  Raises UploadMissing."""

    async def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """Forget the upload and its parts.  Raises BucketMissing, UploadMissing."""

    async def complete_upload(
        self,
        upload: Upload,
        numbers: Sequence[int],
        assemble: Callable[[Sequence[Part]], tuple[Facts, tuple[ObjectPart, ...]]],
        *,
        condition: Condition | None = None,
    ) -> Object:
        """
        Publish the object made of the parts with these numbers, in this order, and end the upload; no byte is copied.

        ``assemble`` is called inside the transaction with those parts and gives the object's facts; what it raises
        undoes everything.  Parts that are not named are freed.  Raises UploadMissing, PartMissing, BucketMissing.
        """

    # Care

    async def sweep(self) -> int:
        """Remove content that no record names; the bytes freed."""

    def ready(self) -> None:
        """Return when the engine can read and write.  Raises EngineError where it cannot."""

    async def close(self) -> None:
        """Finish what was begun and let go of the storage root."""

"""
The client, in two faces of the same words: ``Client`` for threads, ``AsyncClient`` for a loop.

A face is names, types and documentation: what a word does is in rs3gw_client.core and rs3gw_client.files.

    with Client("localhost:50051", credentials=Bearer(access_key, secret_key)) as client:
        client.put("bucket", "key", b"hello")
        for entry in client.list("bucket"):
            print(entry.key, entry.size)
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from rs3gw_auth import Credentials

from rs3gw_client import files
from rs3gw_client.channel import TARGET, TLS, from_environment, open_aio_channel, open_channel
from rs3gw_client.core import Core, Progress, Ways, chunks_of, facts_of, given_of, nobody
from rs3gw_client.objects import Bucket, Entry, Failure, ObjectInfo, Part, Prefix, Stored
from rs3gw_client.wire import Loop, Threads, run, walk

Data = bytes | bytearray | memoryview | BinaryIO | Iterable[bytes]
AsyncData = Data | AsyncIterable[bytes]

PAGE_KEYS = 1000
"""How many keys one call of a listing asks for; S3 has no more on a page."""


def _size(data: Any) -> int | None:
    return len(data) if isinstance(data, (bytes, bytearray)) else None


class Download(Iterator[bytes]):
    """
    The bytes of an object as they come, and what is known of it.

    It goes on where its stream breaks; it raises ObjectReplaced rather than mix two objects.  Close it, or use it in a
    ``with``, where it may be left before its end.
    """

    def __init__(self, info: ObjectInfo, chunks: AsyncGenerator[bytes, None]) -> None:
        self.info = info
        self._chunks = walk(chunks)
        self._rest = b""

    def __next__(self) -> bytes:
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        return next(self._chunks)

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or fewer at the end; all that is left where no size is given."""
        if size < 0:
            return b"".join(self)
        if size == 0:
            return b""
        held, have = [], 0
        while have < size and (chunk := next(self, b"")):
            held.append(chunk)
            have += len(chunk)
        found = b"".join(held)
        self._rest = found[size:]
        return found[:size]

    def close(self) -> None:
        """Stop the stream."""
        self._chunks.close()  # type: ignore[attr-defined]  # a generator

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Client:
    """
    A client of one gateway, or of several behind one name, for any number of threads.

    ``target`` is gRPC's: ``host:port``, ``dns:///host:port`` for all addresses of a name, ``ipv4:a:1,b:2`` for a list.
    Calls are spread over the addresses, and ``checks_health`` leaves out those that say that they do not serve.
    Everything raises rs3gw_client.errors: S3Error and its classes for what the gateway refuses, Unreachable and
    TimedOut for what did not get there.
    """

    def __init__(
        self,
        target: str = TARGET,
        *,
        credentials: Credentials | None = None,
        tls: TLS | None = None,
        ways: Ways | None = None,
        checks_health: bool = True,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        opening = partial(open_channel, target, tls, checks_health=checks_health, more=options or {})
        self._core = Core(Threads(opening, credentials), ways or Ways())

    @classmethod
    def from_environment(cls, **more: Any) -> Self:
        """A client as the environment has it: rs3gw_client.channel.from_environment."""
        return cls(**{**from_environment(), **more})

    def close(self) -> None:
        """Close the channel; calls that are under way end."""
        run(self._core.wire.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, name: str, /, **fields: Any) -> Any:
        """Any method that has one message each way, by name: ``call("GetObjectTagging", bucket="b", key="k")``."""
        return run(self._core.call(name, **fields))

    # Buckets

    def buckets(self) -> Sequence[Bucket]:
        """All buckets, in the order of their names."""
        return run(self._core.buckets())

    def create_bucket(self, bucket: str) -> None:
        """Make a bucket.  Raises BucketAlreadyExists, InvalidBucketName."""
        self.call("CreateBucket", bucket=bucket)

    def delete_bucket(self, bucket: str) -> None:
        """Remove an empty bucket.  Raises NoSuchBucket, BucketNotEmpty."""
        self.call("DeleteBucket", bucket=bucket)

    def list(
        self,
        bucket: str,
        prefix: str = "",
        *,
        delimiter: str = "",
        start_after: str = "",
        page_keys: int = PAGE_KEYS,
    ) -> Iterator[Entry | Prefix]:
        """The objects of a bucket in the order of their keys, and common prefixes among them with a delimiter."""
        return walk(self._core.list(bucket, prefix, delimiter, start_after, page_keys))

    # Objects

    def head(self, bucket: str, key: str) -> ObjectInfo:
        """What is known of an object.  Raises NoSuchKey, NoSuchBucket."""
        return run(self._core.head(bucket, key))

    def get(
        self, bucket: str, key: str, *, start: int = 0, end: int | None = None, if_match: str | None = None
    ) -> Download:
        """
        An object, from byte ``start`` and up to byte ``end``, which is not of it, where they are given.

        Raises NoSuchKey, InvalidRange for a start beyond its end, PreconditionFailed.
        """
        return Download(*run(self._core.get(bucket, key, start=start, end=end, if_match=if_match)))

    def read(self, bucket: str, key: str, *, start: int = 0, end: int | None = None) -> bytes:
        """The bytes of ``get`` at once."""
        with self.get(bucket, key, start=start, end=end) as download:
            return download.read()

    def put(
        self,
        bucket: str,
        key: str,
        data: Data,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
        progress: Progress = nobody,
        **facts: str,
    ) -> Stored:
        """
        Store bytes, a file, or whatever yields bytes; nobody sees the object before all of it is durable.

        What is more than a part goes by parts, several at once.  ``if_none_match="*"`` insists that there is no such
        object, ``if_match`` on an ETag: PreconditionFailed.  ``facts`` are further fields of PutObject: cache_control,
        content_encoding, tagging, …
        """
        given = facts_of(
            content_type=content_type, metadata=metadata, if_match=if_match, if_none_match=if_none_match, **facts
        )
        source = chunks_of(data)
        return run(self._core.put(bucket, key, source, size=_size(data), facts=given, progress=progress))

    def upload(
        self,
        path: Path | str,
        bucket: str,
        key: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        progress: Progress = nobody,
        resume: bool = False,
        **facts: str,
    ) -> Stored:
        """Store a file; ``resume``: send only what the server has not yet of an upload that was begun before."""
        given = facts_of(content_type=content_type, metadata=metadata, **facts)
        return run(files.upload(self._core, Path(path), bucket, key, facts=given, progress=progress, resume=resume))

    def download(
        self, bucket: str, key: str, path: Path | str, *, progress: Progress = nobody, resume: bool = False
    ) -> ObjectInfo:
        """Fetch an object into a file, several ranges at once; the file appears when all of it is there."""
        return run(files.download(self._core, bucket, key, Path(path), progress=progress, resume=resume))

    def copy(
        self,
        source: tuple[str, str],
        bucket: str,
        key: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Stored:
        """Copy ``source``, (bucket, key), without its bytes coming here; what is given replaces all of its metadata."""
        given = facts_of(content_type=content_type, metadata=metadata)
        return run(self._core.copy(source, bucket, key, given))

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        self.call("DeleteObject", bucket=bucket, key=key)

    def delete_many(self, bucket: str, keys: Iterable[str]) -> Sequence[Failure]:
        """Remove objects, a thousand in a call; those that could not be."""
        return run(self._core.delete_many(bucket, keys))

    # Uploads in parts

    def create_upload(self, bucket: str, key: str, **facts: Any) -> str:
        """Begin an upload; its id."""
        return run(self._core.begin(bucket, key, facts))

    def upload_part(self, bucket: str, key: str, upload_id: str, number: int, data: bytes) -> Part:
        """Store a part; a number that was stored before is replaced.  Raises NoSuchUpload."""
        return run(self._core.upload_part(bucket, key, upload_id, number, data))

    def parts(self, bucket: str, key: str, upload_id: str) -> dict[int, Part]:
        """The parts that are stored, by number."""
        return run(self._core.parts(bucket, key, upload_id))

    def complete_upload(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        parts: Iterable[Part],
        *,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> str:
        """
        Make the object of these parts; its ETag.  ``if_none_match`` and ``if_match`` insist as those of ``put``.

        Raises InvalidPart, EntityTooSmall, NoSuchUpload, PreconditionFailed.
        """
        conditions = given_of(if_match=if_match, if_none_match=if_none_match)
        return run(self._core.complete(bucket, key, upload_id, parts, conditions))

    def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """Give an upload up, and the room of its parts back.  Raises NoSuchUpload."""
        self.call("AbortMultipartUpload", bucket=bucket, key=key, upload_id=upload_id)


class AsyncDownload(AsyncIterator[bytes]):
    """Download, for a loop."""

    def __init__(self, info: ObjectInfo, chunks: AsyncGenerator[bytes, None]) -> None:
        self.info = info
        self._chunks = chunks
        self._rest = b""

    async def __anext__(self) -> bytes:
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        return await anext(self._chunks)

    async def read(self, size: int = -1) -> bytes:
        """So many bytes, or fewer at the end; all that is left where no size is given."""
        if size < 0:
            return b"".join([chunk async for chunk in self])
        if size == 0:
            return b""
        held, have = [], 0
        while have < size and (chunk := await anext(self, b"")):
            held.append(chunk)
            have += len(chunk)
        found = b"".join(held)
        self._rest = found[size:]
        return found[:size]

    async def close(self) -> None:
        """Stop the stream."""
        await self._chunks.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncClient:
    """``Client``, for a loop: every word means the same and is awaited."""

    def __init__(
        self,
        target: str = TARGET,
        *,
        credentials: Credentials | None = None,
        tls: TLS | None = None,
        ways: Ways | None = None,
        checks_health: bool = True,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        chosen: dict[str, Any] = {"checks_health": checks_health, "more": options or {}}
        uploads = Threads(partial(open_channel, target, tls, **chosen), credentials)
        wire = Loop(partial(open_aio_channel, target, tls, **chosen), uploads, credentials)
        self._core = Core(wire, ways or Ways())

    @classmethod
    def from_environment(cls, **more: Any) -> Self:
        """A client as the environment has it: rs3gw_client.channel.from_environment."""
        return cls(**{**from_environment(), **more})

    async def close(self) -> None:
        """Close the channel; calls that are under way end."""
        await self._core.wire.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def call(self, name: str, /, **fields: Any) -> Any:
        """Any method that has one message each way, by name."""
        return await self._core.call(name, **fields)

    async def buckets(self) -> Sequence[Bucket]:
        """All buckets, in the order of their names."""
        return await self._core.buckets()

    async def create_bucket(self, bucket: str) -> None:
        """Make a bucket.  Raises BucketAlreadyExists, InvalidBucketName."""
        await self.call("CreateBucket", bucket=bucket)

    async def delete_bucket(self, bucket: str) -> None:
        """Remove an empty bucket.  Raises NoSuchBucket, BucketNotEmpty."""
        await self.call("DeleteBucket", bucket=bucket)

    def list(
        self,
        bucket: str,
        prefix: str = "",
        *,
        delimiter: str = "",
        start_after: str = "",
        page_keys: int = PAGE_KEYS,
    ) -> AsyncGenerator[Entry | Prefix, None]:
        """The objects of a bucket in the order of their keys, and common prefixes among them with a delimiter."""
        return self._core.list(bucket, prefix, delimiter, start_after, page_keys)

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        """What is known of an object.  Raises NoSuchKey, NoSuchBucket."""
        return await self._core.head(bucket, key)

    async def get(
        self, bucket: str, key: str, *, start: int = 0, end: int | None = None, if_match: str | None = None
    ) -> AsyncDownload:
        """An object, from byte ``start`` and up to byte ``end``, which is not of it; as ``Client.get``."""
        return AsyncDownload(*await self._core.get(bucket, key, start=start, end=end, if_match=if_match))

    async def read(self, bucket: str, key: str, *, start: int = 0, end: int | None = None) -> bytes:
        """The bytes of ``get`` at once."""
        async with await self.get(bucket, key, start=start, end=end) as download:
            return await download.read()

    async def put(
        self,
        bucket: str,
        key: str,
        data: AsyncData,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
        progress: Progress = nobody,
        **facts: str,
    ) -> Stored:
        """Store bytes, a file, or whatever yields bytes, asynchronously or not; as ``Client.put``."""
        given = facts_of(
            content_type=content_type, metadata=metadata, if_match=if_match, if_none_match=if_none_match, **facts
        )
        source = chunks_of(data)
        return await self._core.put(bucket, key, source, size=_size(data), facts=given, progress=progress)

    async def upload(
        self,
        path: Path | str,
        bucket: str,
        key: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        progress: Progress = nobody,
        resume: bool = False,
        **facts: str,
    ) -> Stored:
        """Store a file; as ``Client.upload``."""
        given = facts_of(content_type=content_type, metadata=metadata, **facts)
        return await files.upload(self._core, Path(path), bucket, key, facts=given, progress=progress, resume=resume)

    async def download(
        self, bucket: str, key: str, path: Path | str, *, progress: Progress = nobody, resume: bool = False
    ) -> ObjectInfo:
        """Fetch an object into a file; as ``Client.download``."""
        return await files.download(self._core, bucket, key, Path(path), progress=progress, resume=resume)

    async def copy(
        self,
        source: tuple[str, str],
        bucket: str,
        key: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Stored:
        """Copy ``source``, (bucket, key); as ``Client.copy``."""
        return await self._core.copy(source, bucket, key, facts_of(content_type=content_type, metadata=metadata))

    async def delete(self, bucket: str, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        await self.call("DeleteObject", bucket=bucket, key=key)

    async def delete_many(self, bucket: str, keys: Iterable[str]) -> Sequence[Failure]:
        """Remove objects, a thousand in a call; those that could not be."""
        return await self._core.delete_many(bucket, keys)

    # Uploads in parts

    async def create_upload(self, bucket: str, key: str, **facts: Any) -> str:
        """Begin an upload; its id."""
        return await self._core.begin(bucket, key, facts)

    async def upload_part(self, bucket: str, key: str, upload_id: str, number: int, data: bytes) -> Part:
        """Store a part; a number that was stored before is replaced.  Raises NoSuchUpload."""
        return await self._core.upload_part(bucket, key, upload_id, number, data)

    async def parts(self, bucket: str, key: str, upload_id: str) -> dict[int, Part]:
        """The parts that are stored, by number."""
        return await self._core.parts(bucket, key, upload_id)

    async def complete_upload(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        parts: Iterable[Part],
        *,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> str:
        """
        Make the object of these parts; its ETag.  ``if_none_match`` and ``if_match`` insist as those of ``put``.

        Raises InvalidPart, EntityTooSmall, NoSuchUpload, PreconditionFailed.
        """
        conditions = given_of(if_match=if_match, if_none_match=if_none_match)
        return await self._core.complete(bucket, key, upload_id, parts, conditions)

    async def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """Give an upload up, and the room of its parts back.  Raises NoSuchUpload."""
        await self.call("AbortMultipartUpload", bucket=bucket, key=key, upload_id=upload_id)

"""
What a client can do, written once for threads and for a loop (rs3gw_client.wire).

    a read      goes on at the byte where its stream broke, and only if the object is still the one that it began with
    an upload   of more than a part goes by parts, and a part that broke is sent again; nobody sees half of an object
    a call      is asked again where that is safe (rs3gw_client.retry)
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from random import Random
from typing import Any, Final, TypeVar
from urllib.parse import quote

from rs3gw_client.errors import Error, InvalidRange, NoSuchUpload, ObjectReplaced, PreconditionFailed, Unreachable
from rs3gw_client.objects import Bucket, Entry, Failure, ObjectInfo, Part, Prefix, Stored
from rs3gw_client.retry import Retry
from rs3gw_client.wire import METHODS, Wire, Work

T = TypeVar("T")

MIB: Final = 1024**2
MESSAGE_BYTES: Final = MIB
"""How much of an object one message of an upload carries: the fastest, and far from every server's limit."""
MOST_DELETED: Final = 1000
"""How many keys S3 deletes in one call."""
MOST_PARTS: Final = 10_000
COMPLETION_SECONDS: Final = 60.0
"""The least that the completion of an upload may take: it makes durable what is left to be."""
CONDITIONS: Final = frozenset(("if_match", "if_none_match"))
"""What a write may insist on; an upload in parts insists when it is completed."""

LEAST_PART_BYTES: Final = 5 * MIB

SAFE: Final = frozenset(
    (
        *("ListBuckets", "HeadBucket", "CreateBucket", "GetBucketLocation", "GetBucketVersioning"),
        *("GetBucketTagging", "PutBucketTagging", "DeleteBucketTagging"),
        *("GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"),
        *("ListObjects", "HeadObject", "GetObjectAttributes", "DeleteObject", "DeleteObjects"),
        *("GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging"),
        *("ListParts", "ListMultipartUploads", "CreateMultipartUpload", "UploadPartCopy"),
    )
)
"""Methods of one message that may be done twice.  What an upload leaves that was begun twice is in its listing."""

Source = AsyncIterator[bytes]
Progress = Callable[[int, int | None], None]
"""Told how many bytes are done, and of how many where that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How a client goes about it: sizes in bytes, times in seconds."""

    retry: Retry = field(default_factory=Retry)
    call_seconds: float = 30.0
    """For a call of one message each way."""
    stall_seconds: float = 30.0
    """How long nothing may move on a stream."""
    part_bytes: int = 16 * MIB
    """What is larger goes by parts of this size, or larger ones where there would be more than 10,000."""
    parallel: int = 4
    """How many parts or ranges are under way at once."""

    def __post_init__(self) -> None:
        if self.part_bytes < LEAST_PART_BYTES:
            raise ValueError(f"part_bytes is at least {LEAST_PART_BYTES}: S3 has no smaller parts")
        if self.parallel < 1:
            raise ValueError("parallel is at least 1")


class Core:
    """The client over a wire."""

    def __init__(self, wire: Wire, ways: Ways, random: Random | None = None) -> None:
        self.wire, self.ways = wire, ways
        self._random = random or Random()  # noqa: S311  # jitter, no secret

    # Calls

    async def call(self, name: str, /, **fields: Any) -> Any:
        """
        Any method of the contract that has one message each way, by its name and the fields of its request.

        Fields that are None are left away.
        """
        method = METHODS[name]
        request = method.request(**given_of(**fields))
        ask = partial(self.wire.ask, method, request, seconds=self.ways.call_seconds)
        # Where one of them broke the channel has asked again already (rs3gw_client.channel).
        return await self.again(ask, is_safe=False)

    async def again(self, attempt: Callable[[], Coroutine[Any, Any, T]], *, is_safe: bool) -> T:
        """The result of an attempt, made again as the ways of this client have it."""
        waits = self.ways.retry.waits(self._random)
        while True:
            try:
                return await attempt()
            except Error as fault:
                if not Retry.covers(fault, is_safe=is_safe):
                    raise
                await self._wait(waits, fault)

    async def _wait(self, waits: Any, fault: Error) -> None:
        """Wait before the next attempt; raises the fault where there is none left."""
        seconds = next(waits, None)
        if seconds is None:
            raise fault
        # A server that says how long is believed.
        await self.wire.sleep(max(seconds, getattr(fault, "retry_after_seconds", None) or 0))

    # Buckets

    async def buckets(self) -> list[Bucket]:
        found: list[Bucket] = []
        token = None
        while True:
            page = await self.call("ListBuckets", continuation_token=token)
            found += [Bucket(each.name, each.creation_date.ToDatetime(UTC)) for each in page.buckets]
            token = page.continuation_token or None
            if token is None:
                return found

    async def list(
        self, bucket: str, prefix: str, delimiter: str, start_after: str, page_keys: int
    ) -> AsyncGenerator[Entry | Prefix, None]:
        token = None
        while True:
            page = await self.call(
                "ListObjects",
                bucket=bucket,
                prefix=prefix or None,
                delimiter=delimiter or None,
                start_after=start_after or None,
                max_keys=page_keys,
                continuation_token=token,
            )
            entries = [
                Entry(each.key, each.size, each.etag, each.last_modified.ToDatetime(UTC)) for each in page.contents
            ]
            prefixes = [Prefix(each.prefix) for each in page.common_prefixes]
            for item in merged(entries, prefixes):
                yield item
            token = page.next_continuation_token
            if not page.is_truncated:
                return

    # Reading

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        return ObjectInfo.of(bucket, key, await self.call("HeadObject", bucket=bucket, key=key))

    async def get(
        self, bucket: str, key: str, *, start: int = 0, end: int | None = None, if_match: str | None = None
    ) -> tuple[ObjectInfo, AsyncGenerator[bytes, None]]:
        """An object and its bytes from ``start`` up to ``end``, the first of them already asked for."""
        chunks = self._chunks(bucket, key, start, end, if_match)
        info = await chunks.__anext__()
        assert isinstance(info, ObjectInfo)
        return info, chunks  # type: ignore[return-value]  # the rest is bytes

    async def _chunks(
        self, bucket: str, key: str, start: int, end: int | None, if_match: str | None
    ) -> AsyncGenerator[ObjectInfo | bytes, None]:
        """What is known of an object, then its bytes; the stream is asked for anew where it breaks."""
        method, at, info = METHODS["GetObject"], start, None
        waits = self.ways.retry.waits(self._random)
        while True:
            request = method.request(bucket=bucket, key=key)
            if at or end is not None:
                request.range = f"bytes={at}-" if end is None else f"bytes={at}-{end - 1}"
            if if_match is not None:
                request.if_match = if_match
            messages = self.wire.read(method, request, stall_seconds=self.ways.stall_seconds)
            try:
                async for message in messages:
                    if info is None:
                        info = ObjectInfo.of(bucket, key, message)
                        end = info.size if end is None else min(end, info.size)
                        # What follows is of this object or of none.
                        if_match = info.etag
                        yield info
                    if message.data:
                        at += len(message.data)
                        waits = self.ways.retry.waits(self._random)
                        yield message.data
                if info is not None and end is not None and at >= end:
                    return
                raise Unreachable(f"the stream ended at byte {at}")
            except InvalidRange:
                # Nothing of an empty object can be asked for as a range; S3 says so, and a reader means nothing by it.
                if info is not None or start or not (end is None or end > 0):
                    raise
                info = await self.head(bucket, key)
                if info.size:
                    raise
                yield info
                return
            except PreconditionFailed as fault:
                if info is None:
                    raise
                raise ObjectReplaced(f"{bucket}/{key} was replaced while it was read, at byte {at}") from fault
            except Error as fault:
                if info is not None and end is not None and at >= end:
                    return  # everything came, and only the end of the stream did not
                if not Retry.covers(fault, is_safe=True):
                    raise
                await self._wait(waits, fault)
            finally:
                await messages.aclose()

    # Writing

    async def put(
        self, bucket: str, key: str, source: Source, *, size: int | None, facts: Mapping[str, Any], progress: Progress
    ) -> Stored:
        """Store what a source yields: whole if it is no more than a part, by parts otherwise."""
        part_bytes = self.part_bytes(size)
        pieces = regrouped(source, part_bytes)
        first = await anext(pieces, b"")
        second = await anext(pieces, None)
        if second is None:
            return await self.put_whole(bucket, key, first, facts, progress)

        async def parts() -> AsyncGenerator[tuple[int, bytes], None]:
            yield 1, first
            yield 2, second
            number = 2
            async for piece in pieces:
                number += 1
                yield number, piece

        return await self.put_parts(bucket, key, parts(), size=size, facts=facts, progress=progress)

    def part_bytes(self, size: int | None) -> int:
        """The size of the parts of so many bytes."""
        if size is None or size <= self.ways.part_bytes * MOST_PARTS:
            return self.ways.part_bytes
        return -(-size // (MOST_PARTS * MIB)) * MIB

    async def put_whole(
        self, bucket: str, key: str, data: bytes, facts: Mapping[str, Any], progress: Progress
    ) -> Stored:
        """Store bytes in one call."""
        method = METHODS["PutObject"]
        claimed = await self.wire.block(partial(md5_of, data))
        opening = method.request(bucket=bucket, key=key, **{"content_md5": claimed, **facts})
        # A write that insists on a state would find its own first attempt: it is asked again only if it was refused.
        is_safe = not CONDITIONS & facts.keys()

        async def attempt() -> Any:
            return await self.wire.send(
                method, messages_of(method.request, opening, data), stall_seconds=self.ways.stall_seconds
            )

        answer = await self.again(attempt, is_safe=is_safe)
        progress(len(data), len(data))
        return Stored(answer.etag, len(data))

    async def put_parts(
        self,
        bucket: str,
        key: str,
        parts: AsyncGenerator[tuple[int, bytes], None],
        *,
        size: int | None,
        facts: Mapping[str, Any],
        progress: Progress,
        upload_id: str | None = None,
        there: Mapping[int, Part] | None = None,
    ) -> Stored:
        """
        Upload parts, several at once, and complete.

        ``upload_id`` and ``there`` continue an upload: parts that the server has already are not sent again.  An upload
        that was begun here is aborted where it fails; one that was continued is left to be continued.
        """
        conditions = {name: value for name, value in facts.items() if name in CONDITIONS}
        begun = upload_id is None
        if upload_id is None:
            upload_id = await self.begin(bucket, key, facts)
        known = dict(there or {})
        done: dict[int, Part] = {}
        counting = threading.Lock()

        def finished(part: Part) -> None:
            with counting:
                done[part.number] = part
                progress(sum(each.size for each in done.values()), size)

        async def works() -> AsyncGenerator[Work, None]:
            async for number, data in parts:
                has = known.get(number)
                if has is not None and has.size == len(data) and has.etag == etag_of(data):
                    finished(has)
                    continue

                async def work(number: int = number, data: bytes = data) -> None:
                    finished(await self.upload_part(bucket, key, upload_id, number, data))

                yield work

        try:
            await self.wire.each(works(), limit=self.ways.parallel)
            etag = await self.complete(bucket, key, upload_id, [part for _, part in sorted(done.items())], conditions)
        except BaseException:
            if begun:
                await self._forget(bucket, key, upload_id)
            raise
        return Stored(etag, sum(part.size for part in done.values()))

    async def begin(self, bucket: str, key: str, facts: Mapping[str, Any]) -> str:
        """Begin an upload; its id."""
        kept = {name: value for name, value in facts.items() if name not in CONDITIONS}
        upload_id: str = (await self.call("CreateMultipartUpload", bucket=bucket, key=key, **kept)).upload_id
        return upload_id

    async def complete(
        self, bucket: str, key: str, upload_id: str, parts: Iterable[Part], conditions: Mapping[str, str] | None = None
    ) -> str:
        """Make the object of parts; its ETag.  Done twice it says what the first time said, unless it insists."""
        method = METHODS["CompleteMultipartUpload"]
        listed = [{"part_number": part.number, "etag": part.etag} for part in parts]
        request = method.request(bucket=bucket, key=key, upload_id=upload_id, parts=listed, **(conditions or {}))
        complete = partial(self.wire.ask, method, request, seconds=max(self.ways.call_seconds, COMPLETION_SECONDS))
        etag: str = (await self.again(complete, is_safe=not conditions)).etag
        return etag

    async def _forget(self, bucket: str, key: str, upload_id: str) -> None:
        try:
            await self.call("AbortMultipartUpload", bucket=bucket, key=key, upload_id=upload_id)
        except (NoSuchUpload, Error):
            pass  # what made us give up is what the caller has to hear

    async def upload_part(self, bucket: str, key: str, upload_id: str, number: int, data: bytes) -> Part:
        method = METHODS["UploadPart"]
        claimed = await self.wire.block(partial(md5_of, data))
        opening = method.request(bucket=bucket, key=key, upload_id=upload_id, part_number=number, content_md5=claimed)

        async def attempt() -> Any:
            return await self.wire.send(
                method, messages_of(method.request, opening, data), stall_seconds=self.ways.stall_seconds
            )

        answer = await self.again(attempt, is_safe=True)
        return Part(number, answer.etag, len(data))

    async def parts(self, bucket: str, key: str, upload_id: str) -> dict[int, Part]:
        """The parts of an upload that the server has."""
        found: dict[int, Part] = {}
        marker = None
        while True:
            page = await self.call("ListParts", bucket=bucket, key=key, upload_id=upload_id, part_number_marker=marker)
            found |= {each.part_number: Part(each.part_number, each.etag, each.size) for each in page.parts}
            if not page.is_truncated:
                return found
            marker = page.next_part_number_marker

    # The rest

    async def copy(self, source: tuple[str, str], bucket: str, key: str, facts: Mapping[str, Any]) -> Stored:
        if facts:
            facts = {**facts, "metadata_directive": "REPLACE"}
        named = f"{source[0]}/{quote(source[1], safe='/-._~')}"
        answer = await self.call("CopyObject", bucket=bucket, key=key, copy_source=named, **facts)
        return Stored(answer.etag, 0)

    async def delete_many(self, bucket: str, keys: Iterable[str]) -> Sequence[Failure]:
        failed: list[Failure] = []
        batch: list[str] = []

        async def flush() -> None:
            if batch:
                answer = await self.call(
                    "DeleteObjects", bucket=bucket, objects=[{"key": key} for key in batch], quiet=True
                )
                failed.extend(Failure(each.key, each.code, each.message) for each in answer.errors)
                batch.clear()

        for key in keys:
            batch.append(key)
            if len(batch) == MOST_DELETED:
                await flush()
        await flush()
        return failed


def merged(entries: Sequence[Entry], prefixes: Sequence[Prefix]) -> Iterable[Entry | Prefix]:
    """What a page shows, in the order of keys."""
    if not prefixes:
        return entries
    items: list[Entry | Prefix] = [*entries, *prefixes]
    return sorted(items, key=lambda item: item.key if isinstance(item, Entry) else item.prefix)


def md5_of(data: bytes) -> str:
    """
    What an upload claims of its bytes in its first message, so that nothing else can be stored.

    The ETag is this digest, so it costs the server nothing; a stream of which only the beginning came, or came twice,
    is refused as BadDigest.
    """
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def etag_of(data: bytes) -> str:
    """The ETag of an object or part that is stored whole."""
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


async def messages_of(kind: Any, opening: Any, data: bytes) -> AsyncGenerator[Any, None]:
    """The messages of an upload: the first speaks for the whole."""
    view = memoryview(data)
    yield opening
    for at in range(0, len(view), MESSAGE_BYTES):
        yield kind(data=bytes(view[at : at + MESSAGE_BYTES]))


async def regrouped(source: Source, size: int) -> AsyncGenerator[bytes, None]:
    """The same bytes in pieces of this size, the last one excepted."""
    held: list[bytes] = []
    have = 0
    async for chunk in source:
        view = memoryview(chunk)
        while view:
            piece = view[: size - have]
            held.append(bytes(piece))
            have += len(piece)
            view = view[len(piece) :]
            if have == size:
                yield held[0] if len(held) == 1 else b"".join(held)
                held, have = [], 0
    if held:
        yield b"".join(held)


def facts_of(*, content_type: str | None, metadata: Mapping[str, str] | None, **more: Any) -> dict[str, Any]:
    """The fields of a request that stores something, those that are not given left away."""
    return given_of(content_type=content_type, metadata=metadata, **more)


def given_of(**fields: Any) -> dict[str, Any]:
    """Those fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def nobody(done: int, size: int | None) -> None:
    """Nobody wants to know."""


async def chunks_of(data: Any) -> Source:
    """The bytes of what may be bytes, a file or other reader, an iterable or an asynchronous iterable of bytes."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        yield bytes(data)
    elif hasattr(data, "read"):
        while chunk := data.read(MESSAGE_BYTES):
            yield chunk
    elif isinstance(data, AsyncIterable):
        async for chunk in data:
            yield chunk
    else:
        for chunk in data:
            yield chunk

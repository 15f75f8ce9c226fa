"""
The engine as an executable specification: what every engine does, in dictionaries.

Nothing here is fast, durable or clever; everything here is right, and short enough to be seen to be.  The real
engine is compared with this one step by step (tests/engine, tests/simulation).
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime

from rs3gw.engine.ports import (
    NULL_VERSION,
    Bucket,
    BucketExists,
    BucketMissing,
    BucketOccupied,
    Buffer,
    Clock,
    Completed,
    Condition,
    Content,
    Entry,
    Facts,
    Object,
    ObjectMissing,
    ObjectPart,
    Part,
    PartMissing,
    Upload,
    UploadMissing,
    stamp,
    to_milliseconds,
)


class MemoryStaging:
    """Bytes being received, in memory."""

    in_memory = True

    def __init__(self) -> None:
        self._data = bytearray()

    @property
    def size(self) -> int:
        return len(self._data)

    def write(self, chunk: Buffer) -> None:
        self._data += chunk

    async def seal(self) -> Content:
        return Content(inline=bytes(self._data))

    async def discard(self) -> None:
        self._data.clear()


def join(contents: Sequence[Content]) -> Content:
    """The content that holds these, one after the other."""
    return Content(inline=b"".join(content.inline or b"" for content in contents))


class Memory:
    """Buckets, objects and uploads for as long as the process lives."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self._objects: dict[str, dict[str, Object]] = {}
        self._uploads: dict[str, dict[tuple[str, str], Upload]] = {}
        self._parts: dict[str, dict[int, Part]] = {}
        self._completed: dict[str, Completed] = {}

    def _now(self) -> datetime:
        return to_milliseconds(self._clock.now())

    # Buckets

    def bucket(self, name: str) -> Bucket:
        if name not in self._buckets:
            raise BucketMissing(name)
        return self._buckets[name]

    def buckets(self, *, prefix: str = "", after: str = "", limit: int) -> Sequence[Bucket]:
        names = sorted(name for name in self._buckets if name.startswith(prefix) and name > after)
        return [self._buckets[name] for name in names[:limit]]

    async def create_bucket(self, bucket: Bucket) -> None:
        if bucket.name in self._buckets:
            raise BucketExists(bucket.name)
        self._buckets[bucket.name] = bucket
        self._objects[bucket.name] = {}
        self._uploads[bucket.name] = {}

    async def delete_bucket(self, name: str) -> None:
        self.bucket(name)
        if self._objects[name] or self._uploads[name]:
            raise BucketOccupied(name)
        del self._buckets[name], self._objects[name], self._uploads[name]

    async def set_document(self, bucket: str, kind: str, text: str | None) -> None:
        found = self.bucket(bucket)
        documents = {name: value for name, value in found.documents.items() if name != kind}
        if text is not None:
            documents[kind] = text
        self._buckets[bucket] = dataclasses.replace(found, documents=documents)

    # Objects

    def object(self, bucket: str, key: str, version_id: str | None = None) -> Object:
        self.bucket(bucket)
        found = self._objects[bucket].get(key)
        if found is None or (version_id is not None and version_id != found.version_id):
            raise ObjectMissing(key)
        return found

    def scan(self, bucket: str, *, start: str, inclusive: bool, end: str | None, limit: int) -> Sequence[Entry]:
        self.bucket(bucket)
        keys = sorted(
            key
            for key in self._objects[bucket]
            if (key >= start if inclusive else key > start) and (end is None or key < end)
        )
        return [entry(self._objects[bucket][key]) for key in keys[:limit]]

    def stage(self, size: int | None, *, inline: bool = True) -> MemoryStaging:
        return MemoryStaging()

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
        self.bucket(bucket)
        if condition is not None:
            condition(self._objects[bucket].get(key))
        made = Object(
            bucket=bucket,
            key=key,
            version_id=NULL_VERSION,
            size=content.size,
            modified=self._now(),
            facts=facts,
            content=content,
            parts=parts,
        )
        self._objects[bucket][key] = made
        return made

    async def delete_object(
        self, bucket: str, key: str, *, version_id: str | None = None, condition: Condition | None = None
    ) -> None:
        self.bucket(bucket)
        found = self._objects[bucket].get(key)
        if condition is not None:
            condition(found)
        if found is not None and version_id in (None, found.version_id):
            del self._objects[bucket][key]

    async def delete_objects(
        self, bucket: str, keys: Sequence[tuple[str, Condition | None]]
    ) -> Sequence[Exception | None]:
        self.bucket(bucket)
        outcomes: list[Exception | None] = []
        for key, condition in keys:
            try:
                await self.delete_object(bucket, key, condition=condition)
                outcomes.append(None)
            except Exception as fault:  # a condition raises what it likes, and each key is judged by itself
                outcomes.append(fault)
        return outcomes

    async def change_object(
        self, bucket: str, key: str, version_id: str | None, change: Callable[[Facts], Facts]
    ) -> Object:
        found = self.object(bucket, key, version_id)
        changed = found._replace(facts=change(found.facts))
        self._objects[bucket][key] = changed
        return changed

    async def read(self, content: Content, *, offset: int, size: int) -> AsyncIterator[Buffer]:
        if size:
            yield (content.inline or b"")[offset : offset + size]

    # Uploads

    async def create_upload(self, upload: Upload) -> None:
        self.bucket(upload.bucket)
        self._uploads[upload.bucket][upload.key, upload.upload_id] = upload
        self._parts[upload.upload_id] = {}

    def upload(self, bucket: str, key: str, upload_id: str) -> Upload:
        self.bucket(bucket)
        found = self._uploads[bucket].get((key, upload_id))
        if found is None:
            ended = self._completed.get(upload_id)
            raise UploadMissing(ended if ended is not None and (ended.bucket, ended.key) == (bucket, key) else None)
        return found

    def uploads(
        self, bucket: str, *, start: tuple[str, str], inclusive: bool, end: str | None, limit: int
    ) -> Sequence[Upload]:
        self.bucket(bucket)
        places = sorted(
            place
            for place in self._uploads[bucket]
            if (place >= start if inclusive else place > start) and (end is None or place[0] < end)
        )
        return [self._uploads[bucket][place] for place in places[:limit]]

    async def put_part(self, upload: Upload, part: Part) -> Part:
        self.upload(upload.bucket, upload.key, upload.upload_id)
        stored = dataclasses.replace(part, modified=self._now())
        self._parts[upload.upload_id][part.number] = stored
        return stored

    def parts(self, upload: Upload, *, after: int = 0, limit: int) -> Sequence[Part]:
        self.upload(upload.bucket, upload.key, upload.upload_id)
        found = self._parts[upload.upload_id]
        return [found[number] for number in sorted(found) if number > after][:limit]

    async def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        self.upload(bucket, key, upload_id)
        self._forget(bucket, key, upload_id)

    def _forget(self, bucket: str, key: str, upload_id: str) -> None:
        del self._uploads[bucket][key, upload_id], self._parts[upload_id]

    async def complete_upload(
        self,
        upload: Upload,
        numbers: Sequence[int],
        assemble: Callable[[Sequence[Part]], tuple[Facts, tuple[ObjectPart, ...]]],
        *,
        condition: Condition | None = None,
    ) -> Object:
        found = self.upload(upload.bucket, upload.key, upload.upload_id)
        stored = self._parts[found.upload_id]
        for number in numbers:
            if number not in stored:
                raise PartMissing(number)
        parts = [stored[number] for number in numbers]
        facts, described = assemble(parts)
        made = await self.put_object(
            found.bucket,
            found.key,
            join([part.content for part in parts]),
            facts,
            parts=described,
            condition=condition,
        )
        self._forget(found.bucket, found.key, found.upload_id)
        self._completed[found.upload_id] = completed(found, facts, parts)
        return made

    # Care

    async def sweep(self) -> int:
        return 0

    def ready(self) -> None:
        """Memory is always ready."""

    async def close(self) -> None:
        self._buckets.clear()


def entry(found: Object) -> Entry:
    """An object as a listing shows it."""
    return Entry(
        key=found.key,
        version_id=found.version_id,
        size=found.size,
        modified_ms=stamp(found.modified),
        etag=found.facts.etag,
        checksum_algorithms=algorithms(found.facts.checksums),
        checksum_type=found.facts.checksum_type,
    )


def algorithms(checksums: Mapping[str, str]) -> str:
    """The names of the algorithms as listings spell them."""
    return " ".join(checksums).upper()


def completed(upload: Upload, facts: Facts, parts: Sequence[Part]) -> Completed:
    """What is kept of an upload that was completed."""
    return Completed(
        bucket=upload.bucket,
        key=upload.key,
        upload_id=upload.upload_id,
        etag=facts.etag,
        parts=tuple((part.number, part.etag) for part in parts),
    )

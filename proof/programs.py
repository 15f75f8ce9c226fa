"""
Random programs for an engine, and what an engine holds, so that two engines can be compared.

A program is steps; the operations of a step run at once and touch different things, so that what each does is
decided though their order is not.  Every value that is written is new: an object's bytes, ETag and metadata name the
operation that wrote them, and a mixture of two is seen.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from rs3gw.engine.blobs import INLINE_BYTES
from rs3gw.engine.ports import (
    Bucket,
    BucketExists,
    BucketMissing,
    BucketOccupied,
    Content,
    DiskFault,
    DiskFull,
    Engine,
    Facts,
    Object,
    ObjectMissing,
    Part,
    PartMissing,
    Upload,
    UploadMissing,
)

BUCKET: Final = "bucket"
KEYS: Final = tuple(f"key{number}" for number in range(6))
SIZES: Final = (0, 1, 700, INLINE_BYTES, INLINE_BYTES + 1, 50_000, 200_000)
CREATED: Final = datetime(2026, 1, 1, tzinfo=UTC)

Thing = tuple[str, ...]
"""What an engine holds one of: ("object", bucket, key), ("upload", id), ("bucket", name)."""
State = Mapping[Thing, Any]


class Refused(Exception):
    """A condition did not hold."""


EXPECTED = (
    Refused, BucketExists, BucketMissing, BucketOccupied, ObjectMissing, PartMissing, UploadMissing,
)  # fmt: skip
"""What an engine may answer besides success."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation: its number, what it does, and to what."""

    number: int
    what: str
    key: str
    source: str = ""
    size: int = 0

    def touches(self) -> set[str]:
        return {self.key, self.source} - {""}


def program(dice: random.Random, steps: int) -> list[list[Step]]:
    """So many steps of one to four operations."""
    made: list[list[Step]] = []
    number = 0
    for _ in range(steps):
        step: list[Step] = []
        taken: set[str] = set()
        for _ in range(dice.choice((1, 1, 2, 3, 4))):
            number += 1
            one = _operation(dice, number)
            if not one.touches() & taken:
                taken |= one.touches()
                step.append(one)
        made.append(step)
    return made


_KINDS: Final = (
    *(["put"] * 6), "put if absent", "put if present", "copy", "copy", "delete", "delete if present", "delete many",
    "change", "document", "make bucket", "remove bucket", "begin", "begin", *(["part"] * 4), "complete", "complete",
    "abort",
)  # fmt: skip


def _operation(dice: random.Random, number: int) -> Step:
    what = dice.choice(_KINDS)
    key = dice.choice(KEYS)
    source = dice.choice(KEYS) if what in ("copy", "delete many") else ""
    if what in ("begin", "part", "complete", "abort"):
        # An upload belongs to its key: who touches one touches the other.
        key = dice.choice(KEYS[:2])
    elif what in ("make bucket", "remove bucket"):
        key = "other"
    elif what == "document":
        key = "tagging"
    return Step(number, what, key, source, dice.choice(SIZES))


def content_of(number: int, size: int) -> bytes:
    """The bytes that an operation writes: nobody else's."""
    return hashlib.shake_128(f"content {number}".encode()).digest(min(size, 64)).ljust(size, b"%d" % (number % 10))


def facts_of(number: int) -> Facts:
    """What is known of what an operation writes."""
    return Facts(etag=f"{number:032x}", metadata={"written-by": str(number)}, headers={"content_type": "text/plain"})


async def perform(engine: Engine, step: Step) -> str:
    """Run an operation; what came of it, the same for every engine that is right.  Raises DiskFull, DiskFault."""
    try:
        await _perform(engine, step)
    except EXPECTED as fault:
        return type(fault).__name__
    return "done"


def _absent(found: Object | None) -> None:
    if found is not None:
        raise Refused


def _present(found: Object | None) -> None:
    if found is None:
        raise Refused


async def _staged(engine: Engine, step: Step, *, inline: bool = True) -> tuple[Any, Content]:
    staging = engine.stage(step.size, inline=inline)
    data = content_of(step.number, step.size)
    try:
        for at in range(0, len(data), 40_000):
            staging.write(data[at : at + 40_000])
        return staging, await staging.seal()
    except BaseException:
        await staging.discard()
        raise


async def _perform(engine: Engine, step: Step) -> None:
    what, key = step.what, step.key
    if what.startswith("put"):
        staging, content = await _staged(engine, step)
        condition = {"put if absent": _absent, "put if present": _present}.get(what)
        try:
            await engine.put_object(BUCKET, key, content, facts_of(step.number), condition=condition)
        except Exception:
            await staging.discard()
            raise
    elif what == "copy":
        found = engine.object(BUCKET, step.source)
        await engine.put_object(BUCKET, key, found.content, facts_of(step.number))
    elif what == "delete":
        await engine.delete_object(BUCKET, key)
    elif what == "delete if present":
        await engine.delete_object(BUCKET, key, condition=_present)
    elif what == "delete many":
        await engine.delete_objects(BUCKET, [(key, None), (step.source, None)])
    elif what == "change":
        await engine.change_object(BUCKET, key, None, lambda facts: facts_of(step.number))
    elif what == "document":
        await engine.set_document(BUCKET, key, str(step.number) if step.number % 3 else None)
    elif what == "make bucket":
        await engine.create_bucket(Bucket(name=key, region="us-east-1", created=CREATED))
    elif what == "remove bucket":
        await engine.delete_bucket(key)
    else:
        await _upload(engine, step)


def _upload_of(key: str) -> Upload:
    return Upload(bucket=BUCKET, key=key, upload_id=f"upload-of-{key}", initiated=CREATED, facts=facts_of(0))


async def _upload(engine: Engine, step: Step) -> None:
    upload = _upload_of(step.key)
    if step.what == "begin":
        try:
            engine.upload(BUCKET, step.key, upload.upload_id)
        except UploadMissing:
            await engine.create_upload(upload)
    elif step.what == "part":
        engine.upload(BUCKET, step.key, upload.upload_id)
        staging, content = await _staged(engine, step, inline=False)
        etag = facts_of(step.number).etag
        part = Part(number=1 + step.number % 3, size=step.size, etag=etag, modified=CREATED, content=content)
        try:
            await engine.put_part(upload, part)
        except Exception:
            await staging.discard()
            raise
    elif step.what == "complete":
        parts = engine.parts(upload, limit=10)
        numbers = [part.number for part in parts] or [9]
        await engine.complete_upload(upload, numbers, lambda parts: (facts_of(step.number), ()))
    else:
        await engine.abort_upload(BUCKET, step.key, upload.upload_id)


# What an engine holds ----------------------------------------------------------------------------------------


async def state_of(engine: Engine) -> dict[Thing, Any]:
    """Everything that an engine would answer, every byte read."""
    found: dict[Thing, Any] = {}
    for bucket in engine.buckets(limit=100):
        found["bucket", bucket.name] = tuple(sorted(bucket.documents.items()))
        for entry in engine.scan(bucket.name, start="", inclusive=True, end=None, limit=1000):
            made = engine.object(bucket.name, entry.key)
            found["object", bucket.name, entry.key] = (
                made.facts.etag, dict(made.facts.metadata), made.size, await _digest(engine, made.content)
            )  # fmt: skip
        for upload in engine.uploads(bucket.name, start=("", ""), inclusive=True, end=None, limit=1000):
            parts = [
                (part.number, part.etag, part.size, await _digest(engine, part.content))
                for part in engine.parts(upload, limit=1000)
            ]
            found["upload", upload.upload_id] = tuple(parts)
    return found


async def _digest(engine: Engine, content: Content) -> str:
    digest = hashlib.sha256()
    async for chunk in engine.read(content, offset=0, size=content.size):
        digest.update(chunk)
    return digest.hexdigest()


def changes(before: State, after: State) -> dict[Thing, Any]:
    """What is other than before; None for what is gone."""
    return {thing: after.get(thing) for thing in before.keys() | after.keys() if before.get(thing) != after.get(thing)}


def changed(state: State, delta: State) -> dict[Thing, Any]:
    """A state with changes made to it."""
    made = {**state, **delta}
    return {thing: value for thing, value in made.items() if value is not None}


def difference(expected: State, actual: State) -> str:
    """The first few things that are not as expected, for a message."""
    wrong: Sequence[Thing] = sorted(changes(expected, actual))
    return "; ".join(f"{'/'.join(one)} is {actual.get(one)}, not {expected.get(one)}" for one in wrong[:3])


DISK = (DiskFull, DiskFault)

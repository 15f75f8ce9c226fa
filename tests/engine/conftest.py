"""Both engines, so that every test of this folder runs on the specification and on the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rs3gw.engine.memory import Memory
from rs3gw.engine.ports import Bucket, Clock, Content, Engine, Facts, Object
from rs3gw.engine.store import Store
from rs3gw.engine.world import SystemClock, SystemEntropy

FACTS = Facts(etag="0" * 32, headers={"content_type": "text/plain"}, checksums={"crc32": "AAAAAA=="})


def bucket(name: str = "bucket") -> Bucket:
    """A bucket to make."""
    return Bucket(name=name, region="us-east-1", created=datetime(2026, 1, 1, tzinfo=UTC))


def open_store(root: Path, **options: object) -> Store:
    """The store over a root."""
    return Store.open(root, clock=SystemClock(), entropy=SystemEntropy(), **options)  # type: ignore[arg-type]


async def staged(engine: Engine, data: bytes, *, inline: bool = True) -> Content:
    """Bytes that are durable and that nobody names."""
    staging = engine.stage(len(data), inline=inline)
    staging.write(data)
    return await staging.seal()


async def put(engine: Engine, key: str, data: bytes, **options: object) -> Object:
    """An object in the bucket."""
    facts = FACTS._replace(metadata={"size": str(len(data))})
    return await engine.put_object("bucket", key, await staged(engine, data), facts, **options)  # type: ignore[arg-type]


async def get(engine: Engine, key: str) -> bytes:
    """The bytes of an object in the bucket."""
    found = engine.object("bucket", key)
    return b"".join([bytes(chunk) async for chunk in engine.read(found.content, offset=0, size=found.size)])


def on_disk(root: Path) -> int:
    """The bytes of all blobs under a root."""
    return sum(path.stat().st_size for path in (root / "blobs").rglob("*") if path.is_file())


@pytest.fixture
def clock() -> Clock:
    return SystemClock()


@pytest.fixture(params=["memory", "store"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Engine]:
    made: Engine = Memory(clock=clock) if request.param == "memory" else open_store(tmp_path / "root")
    await made.create_bucket(bucket())
    yield made
    await made.close()


@pytest.fixture
def reopened(tmp_path: Path) -> Callable[[], Store]:
    """Opens the root of the test, which nobody may have open."""
    return lambda: open_store(tmp_path / "root")

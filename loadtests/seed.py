"""
A storage root with many small objects in it, made without a server: a million keys in half a minute.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from rs3gw.engine.ports import Bucket, Facts
from rs3gw.engine.store import Durability, Store
from rs3gw.engine.world import SystemClock, SystemEntropy

WRITERS = 256


async def fill(
    root: Path,
    buckets: Mapping[str, int],
    *,
    prefix: str = "",
    prefixes: int = 100,
    progress: Callable[[str], None] = lambda text: None,
) -> None:
    """Make the buckets, each with so many objects of a few bytes, spread evenly over ``prefixes`` common prefixes."""
    clock = SystemClock()
    store = Store.open(root, clock=clock, entropy=SystemEntropy(), durability=Durability.RELAXED)
    facts = Facts(etag=hashlib.md5(b"seed", usedforsecurity=False).hexdigest(), headers={"content_type": "text/plain"})
    staging = store.stage(4)
    staging.write(b"seed")
    content = await staging.seal()
    try:
        for bucket, count in buckets.items():
            await store.create_bucket(Bucket(name=bucket, region="us-east-1", created=clock.now()))
            for first in range(0, count, WRITERS):
                numbers = range(first, min(first + WRITERS, count))
                names = (f"{prefix}{number % prefixes:03}/{number:08}" for number in numbers)
                await asyncio.gather(*(store.put_object(bucket, name, content, facts) for name in names))
                if first and first % (WRITERS * 1000) == 0:
                    progress(f"  {first:,} of {count:,}")
    finally:
        await store.close()

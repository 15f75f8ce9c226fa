"""
A gateway over each engine, and the shortest way to ask it for something.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rs3gw.auth.credentials import Authority, Credential, token_of
from rs3gw.auth.evidence import Anonymous, Bearer, Evidence
from rs3gw.engine.memory import Memory
from rs3gw.engine.ports import Buffer, Clock, Content, Engine, Facts, Object, ObjectMissing
from rs3gw.engine.store import Durability, Store
from rs3gw.engine.world import SystemEntropy
from rs3gw.gateway import Gateway
from rs3gw.operations import Message, of
from rs3gw.operations.body import Body, Stream, Whole
from rs3gw.operations.bucket import CreateBucket, PutBucketPolicy
from rs3gw.operations.object import GetObject, PutObject

OWNER = Credential(access_key="AKOWNER", secret_key="owner-secret", name="owner")
GUEST = Credential(access_key="AKGUEST", secret_key="guest-secret", name="guest", grants="policies")


class TestClock:
    """A clock that goes on by a second whenever somebody looks."""

    __test__ = False

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time

    def monotonic(self) -> float:
        return self.now().timestamp()


class TestEntropy:
    """Dice that count."""

    __test__ = False

    def __init__(self) -> None:
        self.drawn = 0

    def token(self, size_bytes: int) -> bytes:
        self.drawn += 1
        return self.drawn.to_bytes(size_bytes, "big")


MakeEngine = Callable[[Clock], Engine]


class Asking:
    """One gateway, and whoever asks it."""

    def __init__(self, make: MakeEngine, *, region: str) -> None:
        clock = TestClock()
        self.engine = make(clock)
        self.gateway = Gateway(
            self.engine,
            Authority([OWNER, GUEST], region=region, clock=clock),
            clock=clock,
            entropy=TestEntropy(),
            region=region,
        )
        self.owner = Evidence(proof=Bearer(token_of(OWNER)), protocol="grpc", source_ip="10.0.0.7")
        self.guest = Evidence(proof=Bearer(token_of(GUEST)), protocol="grpc", source_ip="10.0.0.8")
        self.anybody = Evidence(proof=Anonymous(), source_ip="192.0.2.1")

    async def __call__(self, declared: type, *, by: Evidence | None = None, **values: Any) -> Any:
        """The Output of an operation, its body (if any) already read into ``.data``."""

        async def read(identity: object) -> Message:
            return operation.input(**values)

        operation = of(declared)
        async with self.gateway.perform(operation, by or self.owner, read) as output:
            body = output.__dict__.get("body")
            if body is not None:
                output.__dict__["data"] = b"".join([bytes(chunk) async for chunk in body])
            return output

    async def put(self, key: str, data: bytes = b"", **values: Any) -> Any:
        return await self(PutObject, bucket="bucket", key=key, body=Whole(data), **values)

    async def get(self, key: str, **values: Any) -> bytes:
        data: bytes = (await self(GetObject, bucket="bucket", key=key, **values)).data
        return data

    async def allow(self, policy: str) -> None:
        await self(PutBucketPolicy, bucket="bucket", policy=policy)


@pytest.fixture(params=["memory", "store"])
def make_engine(request: pytest.FixtureRequest, tmp_path: Path) -> MakeEngine:
    """Each engine in turn: what a handler may rely on is what both of them do."""
    if request.param == "memory":
        return lambda clock: Memory(clock=clock)
    return lambda clock: Store.open(
        tmp_path / "root", clock=clock, entropy=SystemEntropy(), durability=Durability.RELAXED
    )


@pytest.fixture
async def ask(make_engine: MakeEngine) -> AsyncIterator[Asking]:
    """A gateway that holds one empty bucket, named ``bucket``."""
    asking = Asking(make_engine, region="eu-central-1")
    await asking(CreateBucket, bucket="bucket")
    yield asking
    await asking.engine.close()


@pytest.fixture
async def ask_classic() -> Asking:
    """The same, in memory, in the region where S3 began, which keeps some manners of its own."""
    asking = Asking(lambda clock: Memory(clock=clock), region="us-east-1")
    await asking(CreateBucket, bucket="bucket")
    return asking


class Restless(Memory):
    """An engine in which the source of every copy has gone by the time that the copy is published."""

    attempts = 0

    async def put_object(self, bucket: str, key: str, content: Content, facts: Facts, **values: Any) -> Object:
        if key == "copy":
            self.attempts += 1
            raise ObjectMissing
        return await super().put_object(bucket, key, content, facts, **values)


@pytest.fixture
async def ask_restless() -> Asking:
    """A gateway over an engine in which no source stands still."""
    asking = Asking(lambda clock: Restless(clock=clock), region="eu-central-1")
    await asking(CreateBucket, bucket="bucket")
    return asking


@pytest.fixture
def streamed() -> Any:
    """A body of chunks that ends, or breaks, as it is told."""

    def make(
        *chunks: Buffer, size: int | None = None, sha256: str | None = None, breaks: Exception | None = None
    ) -> Body:
        async def sent() -> AsyncIterator[Buffer]:
            for chunk in chunks:
                yield chunk
            if breaks is not None:
                raise breaks

        body = Stream(sent(), size=sum(map(len, chunks)) if size is None else size)
        body.sha256 = sha256
        return body

    return make

"""
The way of a call: identify, read, authorise, check, handle.

The order is the meaning.  Nobody's request is read before the caller is known; nothing is looked at before the
caller may; nothing is written before every value was checked.  Each step raises S3's error and ends the call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from rs3gw.auth.credentials import Authority, Identity
from rs3gw.auth.evidence import Evidence
from rs3gw.engine.ports import Bucket, BucketMissing, Clock, DiskFault, DiskFull, Engine, Entropy
from rs3gw.errors import DamagedObject, InsufficientStorage, NoSuchBucket
from rs3gw.gateway import access
from rs3gw.operations import Message, Operation, of
from rs3gw.operations.body import Body

Handler = Callable[["Call", Any], Awaitable[Message]]

HANDLERS: dict[str, Handler] = {}
"""What each operation means, by its name: one handler an operation, tests/test_tidy.py sees to it."""

_Written = TypeVar("_Written", bound=Callable[..., Awaitable[Message]])


def handles(declared: type) -> Callable[[_Written], _Written]:
    """Say that a coroutine function is what an operation means: ``@handles(PutObject)``."""

    def register(handler: _Written) -> _Written:
        name = of(declared).name
        if name in HANDLERS:
            raise TypeError(f"{name} has two handlers")
        HANDLERS[name] = handler
        return handler

    return register


class Observation(Protocol):
    """What telemetry wants to be told while a call goes on."""

    def identified(self, name: str) -> None: ...


Observe = Callable[[str, str, str], AbstractContextManager[Observation | None]]
"""(operation, protocol, request id) → a context that lasts as long as the call, its streams included."""


def unobserved(operation: str, protocol: str, request_id: str) -> AbstractContextManager[None]:
    """Nobody watches."""
    return nullcontext()


@dataclass(slots=True, kw_only=True)
class Call:
    """One call under way, as its handler sees it."""

    operation: Operation
    identity: Identity
    evidence: Evidence
    engine: Engine
    clock: Clock
    entropy: Entropy
    region: str
    found: Bucket | None
    """The bucket that the request names, None where there is none."""

    @property
    def bucket(self) -> Bucket:
        """The bucket that the request names.  Raises NoSuchBucket."""
        if self.found is None:
            raise NoSuchBucket()
        return self.found

    def may(
        self, action: str, bucket: str, key: str | None = None, context: Mapping[str, object] | None = None
    ) -> None:
        """
        Require one more permission than the operation's own: of a copy's source, of each key to delete.

        Raises AccessDenied.
        """
        found = self.found if self.found is not None and self.found.name == bucket else find(self.engine, bucket)
        access.authorise(self.identity, self.evidence, action, found, bucket, key, self.clock, context or {})


def find(engine: Engine, name: str) -> Bucket | None:
    """A bucket, or None."""
    try:
        return engine.bucket(name)
    except BucketMissing:
        return None


class Gateway:
    """Every operation over one engine, for callers of one authority."""

    def __init__(
        self,
        engine: Engine,
        authority: Authority,
        *,
        clock: Clock,
        entropy: Entropy,
        region: str,
        observe: Observe = unobserved,
    ) -> None:
        self.engine = engine
        self.authority = authority
        self.clock = clock
        self.entropy = entropy
        self.region = region
        self.observe = observe

    @asynccontextmanager
    async def perform(
        self,
        operation: Operation,
        evidence: Evidence,
        read: Callable[[Identity], Awaitable[Message]],
        *,
        request_id: str = "",
    ) -> AsyncIterator[Message]:
        """
        Perform an operation and lend its Output for as long as the transport takes to send it.

        ``read`` is the transport's codec: called once the caller is known, it gives the operation's Input.  A body
        in the answer is let go of when the context ends, however it ends.  Raises S3Error.
        """
        with self.observe(operation.name, evidence.protocol, request_id) as observation:
            identity = self.authority.identify(evidence)
            if observation is not None:
                observation.identified(identity.name)
            asked = await read(identity)
            try:
                output = await self._handle(operation, identity, evidence, asked)
                try:
                    yield output
                finally:
                    body = output.__dict__.get("body")
                    if body is not None:
                        await body.aclose()
            except DiskFull as fault:
                raise InsufficientStorage() from fault
            except DiskFault as fault:
                raise DamagedObject() from fault
            finally:
                body = asked.__dict__.get("body")
                if isinstance(body, Body):
                    await body.aclose()

    async def _handle(self, operation: Operation, identity: Identity, evidence: Evidence, asked: Message) -> Message:
        values = asked.__dict__
        name, key = values.get("bucket"), values.get("key")
        found = None if name is None else find(self.engine, name)
        if operation.action:
            access.authorise(
                identity, evidence, operation.action, found, name, key, self.clock, access.asked(operation, asked)
            )
        operation.check(asked)
        call = Call(
            operation=operation,
            identity=identity,
            evidence=evidence,
            engine=self.engine,
            clock=self.clock,
            entropy=self.entropy,
            region=self.region,
            found=found,
        )
        return await HANDLERS[operation.name](call, asked)


__all__ = ["HANDLERS", "Call", "Gateway", "Observation", "Observe", "handles"]

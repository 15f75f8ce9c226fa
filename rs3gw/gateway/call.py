"""
The way of a call: identify, read, authorise, check, handle.

The order is the meaning.  Nobody's request is read before the caller is known; nothing is looked at before the
caller may; nothing is written before every value was checked.  Each step raises S3's error and ends the call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from rs3gw.auth.credentials import Authority, Identity
from rs3gw.auth.evidence import Evidence
from rs3gw.engine.ports import Bucket, BucketMissing, Clock, DiskFault, DiskFull, Engine, Entropy
from rs3gw.errors import AccessDenied, DamagedObject, InsufficientStorage, NoSuchBucket
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
    asked: Message
    found: Bucket | None
    """The bucket that the request names, None where it names none or one that is not there yet."""

    @property
    def bucket(self) -> Bucket:
        """The bucket that the request names.  Raises NoSuchBucket."""
        if self.found is None:
            raise NoSuchBucket()
        return self.found

    def may(self, action: str, key: str | None = None, *, bucket: Bucket | None = None) -> None:
        """
        Require one more permission than the operation's own: of a copy's source, of each key to delete.

        ``bucket`` is the one of the request unless another is given.  Raises AccessDenied.
        """
        where = self.bucket if bucket is None else bucket
        access.authorise(
            self.identity, self.evidence, action, where, where.name, key, self.asked, self.engine, self.clock
        )

    def allows(self, action: str, key: str | None = None, *, bucket: Bucket | None = None) -> bool:
        """Whether ``may`` would let this pass."""
        try:
            self.may(action, key, bucket=bucket)
        except AccessDenied:
            return False
        return True


_MAKES_BUCKETS = frozenset({"CreateBucket"})


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
            access.authorise(identity, evidence, operation.action, found, name, key, asked, self.engine, self.clock)
        operation.check(asked)
        if found is None and name is not None and operation.name not in _MAKES_BUCKETS:
            # Said here and not in the handlers, because nobody was authorised for a bucket that is made meanwhile.
            raise NoSuchBucket(bucket_name=name)
        call = Call(
            operation=operation,
            identity=identity,
            evidence=evidence,
            engine=self.engine,
            clock=self.clock,
            entropy=self.entropy,
            region=self.region,
            asked=asked,
            found=found,
        )
        try:
            return await HANDLERS[operation.name](call, asked)
        except BucketMissing as fault:
            raise NoSuchBucket(bucket_name=name) from fault


__all__ = ["HANDLERS", "Call", "Gateway", "Observation", "Observe", "handles"]

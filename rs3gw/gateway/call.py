"""
The way of a call: identify, read, authorise, check, handle.

The order is the meaning.  Nobody's request is read before the caller is known; nothing is looked at before the
caller may; nothing is written before every value was checked.  Each step raises S3's error and ends the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass
from errno import EMFILE, ENFILE
from types import TracebackType
from typing import Any, Protocol, TypeVar

from rs3gw import spans
from rs3gw.auth.credentials import Authority, Identity
from rs3gw.auth.evidence import Evidence
from rs3gw.engine.ports import Bucket, BucketMissing, Clock, DiskFault, DiskFull, Engine, Entropy
from rs3gw.errors import AccessDenied, DamagedObject, InsufficientStorage, NoSuchBucket, SlowDown
from rs3gw.gateway import access
from rs3gw.operations import Message, Operation, of
from rs3gw.operations.body import Body, Stream, Whole
from rs3gw.stepping import abreast

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


Tell = Callable[[Operation, Identity, str, Message, Message], None]
"""(operation, identity, request id, input, output), after a call has done what it was to do; it never raises."""


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
    judges: Sequence[access.Judge] = ()

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
            self.identity,
            self.evidence,
            action,
            where,
            where.name,
            key,
            self.asked,
            self.engine,
            self.clock,
            self.judges,
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


MAX_REQUESTS = 512
"""Calls at once, on both protocols together: an upload holds some 2 MiB while it is received, so this bounds memory."""


class Gateway:
    """
    Every operation over one engine, for callers of one authority; at most ``max_requests`` at once.

    One more is refused with SlowDown, on either protocol.  Callers without credentials have half of them and no more:
    nobody can keep the owner out without a key.
    """

    def __init__(
        self,
        engine: Engine,
        authority: Authority,
        *,
        clock: Clock,
        entropy: Entropy,
        region: str,
        observe: Observe = unobserved,
        max_requests: int = MAX_REQUESTS,
        judges: Sequence[access.Judge] = (),
        tell: Tell | None = None,
    ) -> None:
        self.judges = judges
        self.tell = tell
        self.engine = engine
        self.max_requests = max_requests
        self.under_way = 0
        """Calls that have begun and whose last byte has not been sent."""
        self.strangers = 0
        """Those among them whose callers have no credentials."""
        self.authority = authority
        self.clock = clock
        self.entropy = entropy
        self.region = region
        self.observe = observe

    def perform(
        self,
        operation: Operation,
        evidence: Evidence,
        read: Callable[[Identity], Awaitable[Message]],
        *,
        request_id: str = "",
    ) -> AbstractAsyncContextManager[Message]:
        """
        Perform an operation and lend its Output for as long as the transport takes to send it.

        ``read`` is the transport's codec: called once the caller is known, it gives the operation's Input.  A body
        in the answer is let go of when the context ends, however it ends.  Raises S3Error.
        """
        return _Performance(self, operation, evidence, read, request_id)

    async def _handle(self, operation: Operation, identity: Identity, evidence: Evidence, asked: Message) -> Message:
        values = asked.__dict__
        name, key = values.get("bucket"), values.get("key")
        found = None if name is None else find(self.engine, name)
        if operation.action:
            access.authorise(
                identity, evidence, operation.action, found, name, key, asked, self.engine, self.clock, self.judges
            )
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
            judges=self.judges,
        )
        try:
            return await HANDLERS[operation.name](call, asked)
        except BucketMissing as fault:
            raise NoSuchBucket(bucket_name=name) from fault


class _Performance:
    """
    One call, from its evidence to its last byte.

    A class and not an asynchronous generator, which on its loop costs as much as a small read does (15 µs).
    """

    __slots__ = (
        "_asked", "_evidence", "_gateway", "_is_strange", "_operation", "_output", "_read", "_request_id", "_seen",
    )  # fmt: skip

    def __init__(
        self,
        gateway: Gateway,
        operation: Operation,
        evidence: Evidence,
        read: Callable[[Identity], Awaitable[Message]],
        request_id: str,
    ) -> None:
        self._gateway, self._operation, self._evidence, self._read = gateway, operation, evidence, read
        self._seen = gateway.observe(operation.name, evidence.protocol, request_id)
        self._request_id = request_id
        self._is_strange = False
        self._asked: Message | None = None
        self._output: Message | None = None

    async def __aenter__(self) -> Message:
        observation = self._seen.__enter__()
        gateway, span = self._gateway, spans.CURRENT.get()
        gateway.under_way += 1
        try:
            if gateway.under_way > gateway.max_requests:
                # Said before anything is verified or read: that is what there is too much of.
                raise SlowDown()
            if span is not None:
                span.step("identify")
            identity = gateway.authority.identify(self._evidence)
            if identity.access_key is None:
                self._is_strange = True
                gateway.strangers += 1
                if 2 * gateway.strangers > gateway.max_requests + 1:
                    raise SlowDown()
            if observation is not None:
                observation.identified(identity.name)
            await abreast()
            if span is not None:
                span.step("read")
            self._asked = asked = await self._read(identity)
            await abreast()
            if span is not None:
                _note(span, asked)
                span.step("handle")
            self._output = output = await self._gateway._handle(self._operation, identity, self._evidence, asked)
            if gateway.tell is not None:
                gateway.tell(self._operation, identity, self._request_id, asked, output)
            await abreast()
            if span is not None:
                span.step(None)
        except BaseException as fault:
            if span is not None:
                span.step(None, _said(fault))
            await self.__aexit__(type(fault), fault, fault.__traceback__)
            raise
        return output

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._gateway.under_way -= 1
        self._gateway.strangers -= self._is_strange
        try:
            try:
                if (body := _body_of(self._output)) is not None:
                    await _let_go(body)
            finally:
                if (body := _body_of(self._asked)) is not None:
                    await _let_go(body)
        except BaseException as later:
            self._seen.__exit__(type(later), later, later.__traceback__)
            raise
        if fault is None:
            self._seen.__exit__(None, None, None)
            return
        said = _said(fault)
        self._seen.__exit__(type(said), said, said.__traceback__)
        if said is not fault:
            raise said from fault


_NOTED = ("bucket", "key", "upload_id", "part_number", "copy_source")
"""What OpenTelemetry's conventions for S3 have of an Input: https://opentelemetry.io/docs/specs/semconv/object-stores/s3/"""


def _note(span: spans.Span, asked: Message) -> None:
    for name in _NOTED:
        value = asked.__dict__.get(name)
        if isinstance(value, (str, int)):
            span.note(f"aws.s3.{name}", value)


def _body_of(message: Message | None) -> Body | None:
    """The body of a message that has to be let go of: what is whole holds nothing, and a document is a str."""
    body = None if message is None else message.__dict__.get("body")
    return body if isinstance(body, Body) and not isinstance(body, Whole) else None


async def _let_go(body: Body) -> None:
    if isinstance(body, Stream):
        # A task of its own, for a call whose client is gone is ended by what it sends, and then cancelled: that must
        # not come between, or a file stays open for ever.
        await asyncio.shield(asyncio.ensure_future(body.aclose()))
    else:
        await body.aclose()


def _said(fault: BaseException) -> BaseException:
    """What a fault of the disk is called by S3; any other is called what it is."""
    if isinstance(fault, DiskFull):
        return InsufficientStorage()
    if isinstance(fault, DiskFault):
        if isinstance(fault.__cause__, OSError) and fault.__cause__.errno in (EMFILE, ENFILE):
            # Nothing is wrong with what is stored: this process, or the system, has too much open.
            return SlowDown()
        return DamagedObject()
    return fault


__all__ = ["HANDLERS", "Call", "Gateway", "Observation", "Observe", "handles"]

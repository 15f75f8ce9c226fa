"""
The servicers of all three services, built from their descriptors: no method is written twice, or once.

An rpc is an operation of the same name (``Operation.rpc``).  One coroutine serves the unary ones, one the uploads,
one the downloads; each is ``gateway.perform`` between two translations.  They speak to an Exchange, of which there
are two: a call of grpc.aio, and the synchronous one of ``inprocess``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, Protocol, TypeVar

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message as Proto
from google.protobuf.message_factory import GetMessageClass

from rs3gw import spans
from rs3gw.auth.credentials import Identity
from rs3gw.errors import InvalidRequest, RequestTimeout, S3Error
from rs3gw.gateway import Gateway
from rs3gw.operations import OPERATIONS, Message, Operation
from rs3gw.operations.body import Body, Buffer
from rs3gw.pb import bucket_pb2, multipart_pb2, object_pb2
from rs3gw.rpc import codec, evidence, faults

log = logging.getLogger("rs3gw.rpc")

SERVICES: tuple[ServiceDescriptor, ...] = (
    bucket_pb2.DESCRIPTOR.services_by_name["BucketService"],
    object_pb2.DESCRIPTOR.services_by_name["ObjectService"],
    multipart_pb2.DESCRIPTOR.services_by_name["MultipartService"],
)

REQUEST_ID = "x-amz-request-id"

ANONYMOUS_ARRIVALS: Final = 4
"""How many first messages of callers without credentials are received at once; the others wait for their turn."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc:
    """A method, with everything about it that does not change from call to call."""

    operation: Operation
    descriptor: MethodDescriptor
    path: str
    request: type[Proto]
    response: type[Proto]


def _rpcs() -> Mapping[str, Rpc]:
    by_name = {operation.rpc: operation for operation in OPERATIONS.values() if operation.rpc}
    return {
        method.name: Rpc(
            operation=by_name[method.name],
            descriptor=method,
            path=f"/{service.full_name}/{method.name}",
            request=GetMessageClass(method.input_type),
            response=GetMessageClass(method.output_type),
        )
        for service in SERVICES
        for method in service.methods
    }


RPCS = _rpcs()
"""Every rpc by its name."""


class Exchange(Protocol):
    """One call, as the transport has it."""

    def metadata(self) -> Sequence[tuple[str, str | bytes]]: ...

    def peer(self) -> str: ...

    async def begin(self, metadata: Sequence[tuple[str, str]]) -> None:
        """Send the initial metadata.  Raises CancelledError where the client is gone."""

    async def read(self) -> bytes | None:
        """The one message of a call whose client sends one, or None where the client sent none."""

    async def write(self, wire: bytes) -> None:
        """
        Send one message of a stream, by its bytes, waiting while the client is slow.

        Raises CancelledError where the client is gone, or takes nothing for too long.
        """

    async def refuse(self, fault: S3Error) -> NoReturn:
        """End the call with a status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servicer:
    """What serves calls of one gateway."""

    gateway: Gateway
    chunk_bytes: int = 64 * 1024
    idle_seconds: float = 60.0
    is_secure: bool = False
    strangers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ANONYMOUS_ARRIVALS))

    async def unary(self, rpc: Rpc, exchange: Exchange) -> bytes:
        """A message in, a message out; both in bytes."""
        request_id = await self._begin(exchange)
        try:
            shown = evidence.gather(rpc.path, exchange.metadata(), exchange.peer(), secure=self.is_secure)

            async def read(identity: Identity) -> Message:
                wire = await self._arrival(identity, exchange.read)
                if wire is None:
                    raise InvalidRequest(message="A call has a message: the one that says what is asked for.")
                return rpc.operation.input.of(codec.read(rpc.operation.input, codec.parse(rpc.request, wire)))

            async with self.gateway.perform(rpc.operation, shown, read, request_id=request_id) as output:
                return codec.write(output, rpc.response.DESCRIPTOR)
        except Exception as fault:  # whatever it is, a client hears of it what it may
            await self._refuse(fault, exchange, request_id)

    async def upload(self, rpc: Rpc, wires: AsyncIterator[bytes], exchange: Exchange) -> bytes:
        """
        A stream of messages in, a message out.

        The initial metadata waits for the end of the stream, because sending it tells whether anybody is there.
        """
        request_id = self._request_id()
        opening = Opening(exchange, request_id)
        try:
            shown = evidence.gather(rpc.path, exchange.metadata(), exchange.peer(), secure=self.is_secure)

            async def read(identity: Identity) -> Message:
                body = Upload(rpc.request, wires, opening, self.idle_seconds)
                values = codec.read(rpc.operation.input, await self._arrival(identity, body.first))
                values["body"] = body
                return rpc.operation.input.of(values)

            async with self.gateway.perform(rpc.operation, shown, read, request_id=request_id) as output:
                return codec.write(output, rpc.response.DESCRIPTOR)
        except Exception as fault:  # whatever it is, a client hears of it what it may
            await opening.begin()
            await self._refuse(fault, exchange, request_id)

    async def download(self, rpc: Rpc, exchange: Exchange) -> None:
        """A message in, a stream of messages out: what is known in the first, bytes in all of them."""
        request_id = await self._begin(exchange)
        try:
            shown = evidence.gather(rpc.path, exchange.metadata(), exchange.peer(), secure=self.is_secure)

            async def read(identity: Identity) -> Message:
                wire = await self._arrival(identity, exchange.read)
                if wire is None:
                    raise InvalidRequest(message="A call has a message: the one that says what is asked for.")
                return rpc.operation.input.of(codec.read(rpc.operation.input, codec.parse(rpc.request, wire)))

            async with self.gateway.perform(rpc.operation, shown, read, request_id=request_id) as output:
                known = codec.write(output, rpc.response.DESCRIPTOR)
                is_begun = False
                async for chunk in output.__dict__["body"]:
                    view = memoryview(chunk)
                    for at in range(0, len(view), self.chunk_bytes):
                        piece = view[at : at + self.chunk_bytes]
                        await exchange.write(
                            b"".join((known, codec.prefix(rpc.response.DESCRIPTOR, len(piece)), piece))
                        )
                        known, is_begun = b"", True
                if not is_begun:
                    await exchange.write(known)
        except Exception as fault:  # whatever it is, a client hears of it what it may
            await self._refuse(fault, exchange, request_id)

    async def _arrival(self, identity: Identity, first: Callable[[], Awaitable[T]]) -> T:
        """
        The first message of a caller who is known, in the time that there is for it.

        grpc holds a message until it is whole, and a stranger's may be as large as anybody's: few of them arrive at
        once.  Raises RequestTimeout.
        """
        try:
            async with asyncio.timeout(self.idle_seconds):
                if not identity.is_anonymous:
                    return await first()
                async with self.strangers:
                    return await first()
        except TimeoutError as fault:
            raise RequestTimeout() from fault

    def _request_id(self) -> str:
        request_id = self.gateway.entropy.token(8).hex().upper()
        spans.answer(request_id)
        return request_id

    async def _begin(self, exchange: Exchange) -> str:
        request_id = self._request_id()
        await exchange.begin(((REQUEST_ID, request_id),))
        return request_id

    async def _refuse(self, fault: Exception, exchange: Exchange, request_id: str) -> NoReturn:
        known = faults.known(fault)
        if known is not fault:
            log.exception("a call failed", extra={"request_id": request_id}, exc_info=fault)
        await exchange.refuse(known)


class Opening:
    """The initial metadata of a call, sent once, whoever asks for it first."""

    __slots__ = ("_exchange", "_is_sent", "_request_id")

    def __init__(self, exchange: Exchange, request_id: str) -> None:
        self._exchange, self._request_id, self._is_sent = exchange, request_id, False

    async def begin(self) -> None:
        """Send it, if it is not sent.  Raises CancelledError where nobody is there to take it."""
        if not self._is_sent:
            self._is_sent = True
            await self._exchange.begin(((REQUEST_ID, self._request_id),))


class Upload(Body):
    """
    The bytes of an upload, message after message.

    The first message speaks for the whole.  What a later one repeats must agree; chunk_index, where it is sent,
    counts up by one; nothing follows is_last_chunk.  A stream that is closed without it is whole.
    """

    def __init__(self, kind: type[Proto], wires: AsyncIterator[bytes], opening: Opening, idle_seconds: float) -> None:
        self._kind = kind
        self._wires = aiter(wires)
        self._opening = opening
        self._idle_seconds = idle_seconds
        self._first: Any = None
        self._index: int | None = None
        self._is_last = False

    async def first(self) -> Proto:
        """The message that speaks for the whole.  Raises InvalidRequest for a stream without one."""
        wire = await self._next()
        if wire is None:
            raise InvalidRequest(message="An upload has at least one message: the one that says what it is.")
        self._first = codec.parse(self._kind, wire)
        self._note(self._first)
        found: Proto = self._first
        return found

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        if self._first.data:
            yield self._first.data
            self._first.ClearField("data")
        while (wire := await self._next()) is not None:
            if self._is_last:
                raise InvalidRequest(message="A message follows the one with is_last_chunk.")
            message, data = codec.parse_chunk(self._kind, wire)
            self._agree(message)
            self._note(message)
            if data:
                yield data
        # A stream that was closed and one that was reset end alike, and the news of a reset may come at any time
        # later.  But on a stream that was reset nothing can be sent: that tells them apart.
        await self._opening.begin()

    async def _next(self) -> bytes | None:
        try:
            async with asyncio.timeout(self._idle_seconds):
                return await anext(self._wires, None)
        except TimeoutError as fault:
            raise RequestTimeout() from fault

    def _note(self, message: Any) -> None:
        self._is_last = message.is_last_chunk
        if message.HasField("chunk_index"):
            if self._index is not None and message.chunk_index != self._index + 1:
                raise InvalidRequest(
                    message=f"chunk_index {message.chunk_index} follows {self._index}: a message is missing or doubled."
                )
            self._index = message.chunk_index
        elif self._index is not None:
            self._index += 1

    def _agree(self, message: Any) -> None:
        for descriptor, value in message.ListFields():
            name = descriptor.name
            if name not in codec.STREAM_FIELDS and value != getattr(self._first, name):
                raise InvalidRequest(message=f"{name} differs from what the first message of the stream said.")

"""
The servicers of all three services, built from their descriptors: no method is written twice, or once.

An rpc is an operation of the same name (``Operation.rpc``).  One coroutine serves the unary ones, one the uploads,
one the downloads; each is ``gateway.perform`` between two translations.  They speak to an Exchange, of which there
are three: a call of gRPC (``calls``), one of Connect or gRPC-Web (``web``), and the synchronous one of ``inprocess``.
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
        """Say the initial metadata, which goes out before anything else.  Raises CancelledError: the client is gone."""

    async def read(self) -> Buffer | None:
        """
        The next message of the client, or None after its last.

        Raises RequestTimeout where it is not there, whole, after ``idle_seconds``; CancelledError where the client is
        gone; S3Error where it is no message.
        """

    async def write(self, head: bytes, data: Buffer = b"") -> None:
        """
        Send one message, which is ``head`` and then ``data``, waiting while the client is slow.

        Raises CancelledError where the client is gone, or takes too little for too long.
        """

    async def refuse(self, fault: S3Error) -> NoReturn:
        """End the call with a status."""


Take = Callable[[Rpc, Identity, Exchange], Awaitable[Message]]
Give = Callable[[Rpc, Exchange, Message], Awaitable[None]]
"""How an Input is read, and how an Output is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servicer:
    """What serves calls of one gateway."""

    gateway: Gateway
    chunk_bytes: int = 64 * 1024
    idle_seconds: float = 60.0
    is_secure: bool = False
    strangers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ANONYMOUS_ARRIVALS))

    async def unary(self, rpc: Rpc, exchange: Exchange) -> None:
        """A message in, a message out."""
        await self._serve(rpc, exchange, self._asked, self._send)

    async def upload(self, rpc: Rpc, exchange: Exchange) -> None:
        """A stream of messages in, a message out."""
        await self._serve(rpc, exchange, self._uploaded, self._send)

    async def download(self, rpc: Rpc, exchange: Exchange) -> None:
        """A message in, a stream of messages out: what is known in the first, bytes in all of them."""
        await self._serve(rpc, exchange, self._asked, self._send_body)

    async def _serve(self, rpc: Rpc, exchange: Exchange, take: Take, give: Give) -> None:
        request_id = self._request_id()
        await exchange.begin(((REQUEST_ID, request_id),))
        try:
            shown = evidence.gather(rpc.path, exchange.metadata(), exchange.peer(), secure=self.is_secure)

            async def read(identity: Identity) -> Message:
                return await take(rpc, identity, exchange)

            async with self.gateway.perform(rpc.operation, shown, read, request_id=request_id) as output:
                await give(rpc, exchange, output)
        except Exception as fault:  # whatever it is, a client hears of it what it may
            await self._refuse(fault, exchange, request_id)

    async def _send(self, rpc: Rpc, exchange: Exchange, output: Message) -> None:
        await exchange.write(codec.write(output, rpc.response.DESCRIPTOR))

    async def _send_body(self, rpc: Rpc, exchange: Exchange, output: Message) -> None:
        known = codec.write(output, rpc.response.DESCRIPTOR)
        is_begun = False
        async for chunk in output.__dict__["body"]:
            view = memoryview(chunk)
            for at in range(0, len(view), self.chunk_bytes):
                piece = view[at : at + self.chunk_bytes]
                await exchange.write(known + codec.prefix(rpc.response.DESCRIPTOR, len(piece)), piece)
                known, is_begun = b"", True
        if not is_begun:
            await exchange.write(known)

    async def _uploaded(self, rpc: Rpc, identity: Identity, exchange: Exchange) -> Message:
        """The Input of an upload, its body in the messages that are still to come."""
        body = Upload(rpc.request, exchange)
        values = codec.read(rpc.operation.input, await self._arrival(identity, body.first))
        values["body"] = body
        return rpc.operation.input.of(values)

    async def _asked(self, rpc: Rpc, identity: Identity, exchange: Exchange) -> Message:
        """The Input of a call of one message."""
        wire = await self._arrival(identity, exchange.read)
        if wire is None:
            raise InvalidRequest(message="A call has a message: the one that says what is asked for.")
        return rpc.operation.input.of(codec.read(rpc.operation.input, codec.parse(rpc.request, wire)))

    async def _arrival(self, identity: Identity, first: Callable[[], Awaitable[T]]) -> T:
        """
        The first message of a call.

        A message is held until it is whole, and a stranger's may be as large as anybody's: few of them arrive at once,
        and the others wait as long as for a message.  Raises RequestTimeout.
        """
        if not identity.is_anonymous:
            return await first()
        # A task of its own, for there may be none, and only a task can be given a time.
        return await asyncio.ensure_future(self._arrival_of_stranger(first))

    async def _arrival_of_stranger(self, first: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self.idle_seconds), self.strangers:
                return await first()
        except TimeoutError as fault:
            raise RequestTimeout() from fault

    def _request_id(self) -> str:
        request_id = self.gateway.entropy.token(8).hex().upper()
        spans.answer(request_id)
        return request_id

    async def _refuse(self, fault: Exception, exchange: Exchange, request_id: str) -> NoReturn:
        known = faults.known(fault)
        if known is not fault:
            log.exception("a call failed", extra={"request_id": request_id}, exc_info=fault)
        await exchange.refuse(known)


class Upload(Body):
    """
    The bytes of an upload, message after message.

    The first message speaks for the whole.  What a later one repeats must agree; chunk_index, where it is sent,
    counts up by one; nothing follows is_last_chunk.  A stream that is closed without it is whole; one that is reset
    ends the call that reads it.
    """

    def __init__(self, kind: type[Proto], exchange: Exchange) -> None:
        self._kind = kind
        self._exchange = exchange
        self._first: Any = None
        self._data: Buffer = b""
        """What came with the first message."""
        self._index: int | None = None
        self._is_last = False

    async def first(self) -> Proto:
        """The message that speaks for the whole.  Raises InvalidRequest for a stream without one."""
        wire = await self._exchange.read()
        if wire is None:
            raise InvalidRequest(message="An upload has at least one message: the one that says what it is.")
        self._first, self._data = codec.parse_chunk(self._kind, wire)
        self._note(self._first)
        found: Proto = self._first
        return found

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        if self._data:
            data, self._data = self._data, b""
            yield data
        while (wire := await self._exchange.read()) is not None:
            if self._is_last:
                raise InvalidRequest(message="A message follows the one with is_last_chunk.")
            message, data = codec.parse_chunk(self._kind, wire)
            self._agree(message)
            self._note(message)
            if data:
                yield data

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

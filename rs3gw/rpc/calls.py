"""
A call of gRPC on a stream of HTTP/2: messages in their envelopes, metadata, a deadline, and one status at the end.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

A call ends exactly once, with a status or because nobody is there to hear one, and whoever counts is told of either.
A message is received only when somebody asks for it: what comes before that stays within the window of its stream.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import time
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Protocol

from rs3gw import spans
from rs3gw.errors import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    INTERNAL,
    OK,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    Grpc,
    IncompleteBody,
    InvalidRequest,
    MaxMessageLengthExceeded,
    NotImplementedHere,
    RequestTimeout,
    S3Error,
)
from rs3gw.operations.body import Buffer
from rs3gw.rpc import faults, http2
from rs3gw.rpc.evidence import address_of
from rs3gw.rpc.frames import Request, literal
from rs3gw.stepping import Asker, Cohorts, Waiting, follow

log = logging.getLogger("rs3gw.rpc")

MAX_METADATA_BYTES: Final = 16 * 1024
"""The most that the metadata of a call comes to."""
HEAD_BYTES: Final = 5
"""Of a message: whether it is compressed, and its size."""
COPIED_BYTES: Final = 4096
"""What comes in smaller pieces is copied, so that it does not hold on to all that it came with."""
MESSAGES_AHEAD: Final = 64
"""How many messages are told apart before somebody reads them: an empty one costs forty times what it came with."""

Handler = Callable[["Call"], Awaitable[None]]


class Watch(Protocol):
    """Who counts the calls of one method."""

    def begin(self) -> None:
        """A call begins."""

    def end(self, code: str, seconds: float, received: tuple[int, int], sent: tuple[int, int]) -> None:
        """It has ended with a code, spelled as Go does, after (messages, bytes) each way."""


class Unwatched:
    """Nobody counts."""

    def begin(self) -> None:
        return

    def end(self, code: str, seconds: float, received: tuple[int, int], sent: tuple[int, int]) -> None:
        return


UNWATCHED: Final = Unwatched()


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """What answers the calls to one path."""

    handler: Handler
    watch: Watch = UNWATCHED
    is_traced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the head of a request says of a call."""

    refusal: tuple[bytes, bytes] | None
    """What to answer to what is no call: a head, and a sentence."""
    metadata: tuple[tuple[str, str | bytes], ...]
    encoding: str
    """What its messages are compressed with, where one says that it is."""
    seconds: float | None
    """How long it may take."""


class Ended(Exception):
    """A call is to end with a status, and details of it."""

    def __init__(self, status: Grpc, message: str, trailing: faults.Trailing = ()) -> None:
        super().__init__(message)
        self.status, self.message, self.trailing = status, message, trailing


class Host(http2.Host, Protocol):
    """Who serves the calls: rpc/server.Server."""

    cohorts: Cohorts
    waiting: dict[Asker, Waiting]
    calls: int
    """How many there are."""
    max_calls: int
    max_message_bytes: int
    trace: spans.Begin | None

    def method(self, path: str) -> Method:
        """What answers at a path."""


class Call(http2.Stream):
    """One call; an Exchange of the servicers."""

    __slots__ = (
        "_began", "_deadline", "_due_at", "_held", "_held_bytes", "_holds", "_initial", "_is_late", "_messages",
        "_reader", "_received", "_received_bytes", "_refusal", "_sent", "_sent_bytes", "_status", "_uncredited",
        "_wanted", "host",
    )  # fmt: skip

    def __init__(self, host: Host, connection: http2.Connection, number: int, request: Request) -> None:
        super().__init__(connection, number, request)
        self.host = host
        host.calls += 1
        self._began = time.perf_counter()
        self._deadline: asyncio.TimerHandle | None = None
        self._is_late = False
        self._status = CANCELLED
        """How it ends, unless it comes to another end."""
        self._initial: bytes | None = _BEGINNING
        """The head of the answer, until it is sent."""
        self._holds = False
        """Whether what is sent waits for the end of the answer."""
        self._messages: deque[tuple[int, Buffer]] = deque()
        """With their flags: what is compressed is expanded for who reads it, and not before."""
        self._held: list[Buffer] = []
        self._held_bytes, self._wanted = 0, HEAD_BYTES
        """Of the message that is arriving, its envelope included: how much is there, and how much there has to be."""
        self._refusal: S3Error | None = None
        """Why no further message can be read."""
        self._uncredited = 0
        """How much has come before anybody asked for it."""
        self._reader: asyncio.Future[None] | None = None
        self._due_at: float | None = None
        """When the client will be late with a message that is waited for."""
        self._received = self._received_bytes = self._sent = self._sent_bytes = 0

    # It begins

    def started(self) -> None:
        request = self.request
        if request.known is None:
            request.known = read_head(request)
        head: Head = request.known
        if head.refusal is not None:
            self._begin(self._refuse_http(*head.refusal))
            return
        if request.size > MAX_METADATA_BYTES:
            self._close(
                Ended(RESOURCE_EXHAUSTED, f"The metadata of a call comes to at most {MAX_METADATA_BYTES} bytes.")
            )
            return
        if self.host.calls > self.host.max_calls:
            self._close(Ended(RESOURCE_EXHAUSTED, "Too many calls are under way."))
            return
        method = self.host.method(request.path)
        if method.is_traced and self.host.trace is not None:
            # A task, so that the span is the call's alone.
            task = self.connection.loop.create_task(self._traced(self.host.trace, method))
            follow(task, self)
            self.host.waiting[self] = task
        else:
            self._begin(self._answer(method))

    def _begin(self, answering: Coroutine[Any, Any, None]) -> None:
        self.host.cohorts.begin(answering, self)

    def done(self, fault: BaseException | None) -> None:
        self._let_out()
        self.host.waiting.pop(self, None)
        if not (fault is None or isinstance(fault, asyncio.CancelledError)):
            log.error("a call failed", exc_info=fault)

    def waits(self, waiting: Waiting) -> None:
        self._let_out()
        self.host.waiting[self] = waiting
        if self._deadline is None:
            self._give_time()
        if self.is_lost:
            waiting.cancel()  # its client went while it did not wait

    def _let_out(self) -> None:
        """Send what was written without a wait, in one piece."""
        if self._holds:
            self._holds = False
            self.connection.release()

    def _give_time(self) -> None:
        """Let it be late from now on, if it has a deadline: it has begun, for what has not can say of nothing."""
        head: Head = self.request.known
        if head.seconds is not None:
            self._deadline = self.connection.loop.call_later(head.seconds, self._expire)

    async def _refuse_http(self, head: bytes, sentence: bytes) -> None:
        """Answer what is no call of gRPC as HTTP does."""
        self.send_head(head)
        await self.send(b"", memoryview(sentence))
        self.send_end(b"")

    async def _traced(self, trace: spans.Begin, method: Method) -> None:
        self._give_time()
        headers = {name: value for name, value in self.metadata() if isinstance(value, str)}
        known: dict[str, spans.Value] = {"rpc.system.name": "grpc", "rpc.method": self.request.path[1:]}
        peer = address_of(self.peer())
        if peer is not None:
            known["client.address"] = peer
        span = trace(self.request.path[1:], headers, known)
        spans.CURRENT.set(span)
        try:
            await self._answer(method)
        except asyncio.CancelledError as fault:
            spans.fail(fault)
            raise
        finally:
            span.note("rpc.response.status_code", self._status.name)
            span.end()

    async def _answer(self, method: Method) -> None:
        if self.is_lost:
            raise asyncio.CancelledError
        method.watch.begin()
        try:
            await method.handler(self)
            self._close(None)
        except Ended as ended:
            self._close(ended)
        except S3Error as fault:
            self._close(ended_by(fault))
        except asyncio.CancelledError:
            if self._is_late:
                self._close(Ended(DEADLINE_EXCEEDED, "Deadline Exceeded"))
            elif self.host.is_stopping:
                self._close(Ended(UNAVAILABLE, "The server stops."))
            raise
        except Exception:
            log.exception("a call failed")
            self._close(Ended(INTERNAL, "Something failed here."))
        finally:
            if self._deadline is not None:
                self._deadline.cancel()
            seconds = time.perf_counter() - self._began
            received, sent = (self._received, self._received_bytes), (self._sent, self._sent_bytes)
            method.watch.end(self._status.spelled, seconds, received, sent)

    # It ends

    def _close(self, ended: Ended | None) -> None:
        """Say how it ended, if anybody is there to hear it."""
        if self.is_over:
            return
        if ended is None:
            self._status, trailers = OK, _WELL
        else:
            self._status, trailers = ended.status, _trailers(ended)
        if self._initial is None:
            self.send_end(trailers)
        elif self._initial is _BEGINNING:
            self.send_end(_BEGINNING + trailers)
        else:
            self.send_head(self._initial)
            self.send_end(trailers)

    def _expire(self) -> None:
        self._is_late = True
        self._cancel()

    def lost(self) -> None:
        self._cancel()

    def _cancel(self) -> None:
        if (waiting := self.host.waiting.get(self)) is not None:
            waiting.cancel()

    def released(self) -> None:
        self.host.calls -= 1
        self._messages.clear()
        self._held.clear()
        self.connection.take(self._uncredited)
        self._uncredited = 0

    # What it is sent

    def received(self, data: memoryview) -> None:
        if self._reader is not None:
            self.take(len(data))
        else:
            self._uncredited += len(data)
        if self._refusal is not None:
            return
        if len(data) >= COPIED_BYTES:
            self._held.append(data)
        elif self._held and isinstance(self._held[-1], bytearray):
            self._held[-1] += data  # a piece of a few bytes would cost more than it holds
        else:
            self._held.append(bytearray(data))
        self._held_bytes += len(data)
        if self._held_bytes >= self._wanted:
            self._gather()

    def _gather(self) -> None:
        """Take messages that are whole out of what has come, if not all that there may be."""
        if len(self._messages) >= MESSAGES_AHEAD:
            return
        # A view, because a slice of bytes is a copy, and a message may be large.
        held = memoryview(self._held[0] if len(self._held) == 1 else b"".join(self._held))
        at, left = 0, len(held)
        while True:
            wanted = HEAD_BYTES
            if left < wanted or len(self._messages) >= MESSAGES_AHEAD:
                break
            size = int.from_bytes(held[at + 1 : at + HEAD_BYTES], "big")
            wanted += size
            if size > self.host.max_message_bytes:
                self._break(_too_large(f"This one has {size}", self.host.max_message_bytes))
                return
            if left < wanted:
                break
            self._messages.append((held[at], held[at + HEAD_BYTES : at + wanted]))
            at += wanted
            left -= wanted
            self._wake()
        self._held = [held[at:]] if left else []
        self._held_bytes, self._wanted = left, wanted

    def _expanded(self, flags: int, message: Buffer) -> bytes:
        """A message that is compressed.  Raises S3Error."""
        encoding = self.request.known.encoding
        if flags != 1 or encoding == "identity":
            raise InvalidRequest(message="A message says that it is compressed, and grpc-encoding does not say how.")
        if encoding not in _WINDOW_BITS:
            raise NotImplementedHere(
                message=f"A message is compressed with {encoding}; gzip and deflate are known here."
            )
        most = self.host.max_message_bytes
        expanding = zlib.decompressobj(_WINDOW_BITS[encoding])
        try:
            # One more than there may be, so that a message of just as much is seen to have come to its end.
            whole = expanding.decompress(message, most + 1)
        except zlib.error as fault:
            raise InvalidRequest(message=f"A message is not compressed with {encoding}.") from fault
        if len(whole) > most:
            raise _too_large("This one, once expanded, has more", most)
        if not expanding.eof or expanding.unused_data:
            raise InvalidRequest(message=f"A message is not one whole of {encoding}.")
        return whole

    def _break(self, fault: S3Error) -> None:
        """Nothing that comes can be understood any more; what came before can."""
        self._refusal = fault
        self._held, self._held_bytes = [], 0
        self._wake()

    def ended(self) -> None:
        self._wake()

    def _cut_short(self) -> IncompleteBody:
        return IncompleteBody(
            message="The stream ends within a message.",
            number_bytes_expected=max(0, self._wanted - HEAD_BYTES),
            number_bytes_provided=max(0, self._held_bytes - HEAD_BYTES),
        )

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def look(self, now: float) -> None:
        super().look(now)
        if self._due_at is not None and now >= self._due_at and self._reader is not None and not self._reader.done():
            self._reader.set_exception(RequestTimeout())

    # What the servicers see

    def metadata(self) -> Sequence[tuple[str, str | bytes]]:
        head: Head = self.request.known
        return head.metadata

    def peer(self) -> str:
        return self.connection.peer

    async def begin(self, metadata: Sequence[tuple[str, str]]) -> None:
        if self.is_lost:
            raise asyncio.CancelledError
        # It goes out with what follows it.
        self._initial = _BEGINNING + b"".join(literal(name.encode(), value.encode()) for name, value in metadata)

    async def read(self) -> Buffer | None:
        while self.is_lost or not (self._messages or self._refusal or self.has_ended):
            if self.is_lost:
                raise asyncio.CancelledError
            self._reader = self.connection.loop.create_future()
            if self._due_at is None:
                self._due_at = self.connection.loop.time() + self.connection.host.bounds.idle_seconds
            self.widen()
            self._credit()
            try:
                await self._reader
            finally:
                self._reader = None
        self._due_at = None
        self._credit()
        if not self._messages:
            if self._held_bytes and self._refusal is None:
                self._break(self._cut_short())
            if self._refusal is not None:
                raise self._refusal
            return None
        flags, message = self._messages.popleft()
        if not self._messages and self._held_bytes >= self._wanted:
            self._gather()
        if flags:
            try:
                message = self._expanded(flags, message)
            except S3Error as fault:
                self._messages.clear()
                self._break(fault)
                raise
        self._received += 1
        self._received_bytes += len(message)
        return message

    def _credit(self) -> None:
        if self._uncredited:
            size, self._uncredited = self._uncredited, 0
            self.take(size)

    async def write(self, head: bytes, data: Buffer = b"") -> None:
        if self._initial is not None:
            if not isinstance(self.host.waiting.get(self), asyncio.Task):
                self._holds = True
                self.connection.hold()
            self.send_head(self._initial)
            self._initial = None
        size = len(head) + len(data)
        self._sent += 1
        self._sent_bytes += size
        await self.send(b"\0" + size.to_bytes(4, "big") + head, memoryview(data))

    async def refuse(self, fault: S3Error) -> NoReturn:
        spans.fail(fault)
        raise ended_by(fault)


def ended_by(fault: S3Error) -> Ended:
    """The end of a call that is refused."""
    return Ended(fault.grpc, faults.sentence(fault), faults.trailing(fault))


def _too_large(this: str, most: int) -> S3Error:
    return MaxMessageLengthExceeded(
        message=f"A message has at most {most} bytes. {this}: send an object in several, or set"
        " RS3GW_GRPC_MAX_MESSAGE_SIZE.",
        max_message_length_bytes=most,
    )


_WINDOW_BITS: Final[Mapping[str, int]] = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}

_ACCEPTED = literal(b"grpc-accept-encoding", b"identity, deflate, gzip")
_OK_200: Final = b"\x88"
"""``:status: 200``, of the table that never changes (RFC 7541, appendix A)."""
_BEGINNING: Final = _OK_200 + literal(b"content-type", b"application/grpc") + _ACCEPTED
_WELL: Final = literal(b"grpc-status", b"0")


def _no_call(request: Request) -> tuple[bytes, bytes] | None:
    """What to answer to a request that is no call of gRPC, its head and a sentence; None for one that is."""
    kind = next((value for name, value in request.fields if name == "content-type"), "")
    if kind == "application/grpc" or kind.startswith(("application/grpc+", "application/grpc;")):
        return None if request.method == "POST" else _refusal(405, b"A call of gRPC is a POST.\n", (b"allow", b"POST"))
    return _refusal(415, b"This port speaks gRPC: the content type is application/grpc.\n")


def _refusal(status: int, sentence: bytes, *fields: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    fields = ((b":status", b"%d" % status), (b"content-type", b"text/plain; charset=utf-8"), *fields)
    return b"".join(literal(name, value) for name, value in fields), sentence


def read_head(request: Request) -> Head:
    """What the head of a request says of a call, or why it is none."""
    fields = dict(request.fields)
    return Head(
        refusal=_no_call(request),
        metadata=tuple(_metadata(request.fields)),
        encoding=fields.get("grpc-encoding", "identity"),
        seconds=seconds_of(fields.get("grpc-timeout", "")),
    )


def _metadata(fields: tuple[tuple[str, str], ...]) -> Generator[tuple[str, str | bytes], None, None]:
    for name, value in fields:
        if name in _OF_PROTOCOL or name.startswith("grpc-"):
            continue
        if not name.endswith("-bin"):
            yield name, value
            continue
        for each in value.split(","):
            try:
                yield name, base64.b64decode(each.strip() + "=" * (-len(each.strip()) % 4), validate=True)
            except (binascii.Error, ValueError):
                continue  # of what means nothing here, what is no base64 means nothing either


_OF_PROTOCOL = frozenset(("te", "content-type", "content-length"))


def _trailers(ended: Ended) -> bytes:
    fields = [(b"grpc-status", b"%d" % ended.status)]
    if ended.message:
        fields.append((b"grpc-message", faults.message(ended.message).encode()))
    fields += [(name.encode(), faults.binary(value)) for name, value in ended.trailing]
    return b"".join(literal(name, value) for name, value in fields)


UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
LONGEST_SECONDS: Final = 365 * 86400.0
"""Who gives a call longer gives it for ever."""


def seconds_of(timeout: str) -> float | None:
    """How long a call may take, as grpc-timeout says it; None where it says no time."""
    if timeout[:-1].isdecimal() and len(timeout) <= 9 and timeout[-1:] in UNITS:
        seconds = int(timeout[:-1]) * UNITS[timeout[-1]]
        return seconds if seconds < LONGEST_SECONDS else None
    return None

"""
The listener: HTTP/1.1 on a socket, with every way of holding it open for nothing bounded.

A connection has one request under way at a time; what a client sends ahead waits unread in the kernel.  httptools
parses, uvloop carries; between them stands what is needed and no more, because for a small read this is where the
time goes.  What is refused here (no HTTP, too many headers, too late) never becomes a request, and is answered in
S3's XML like everything else.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final, Protocol

import httptools

from rs3gw.errors import InvalidRequest, InvalidURI, RequestHeaderSectionTooLarge, RequestTimeout, S3Error, SlowDown
from rs3gw.listening import Listening
from rs3gw.rest import faults
from rs3gw.rest.messages import Event, Receive, Request, Send, pairs
from rs3gw.stepping import Cohorts, Waiting, follow

AHEAD_BYTES: Final = 256 * 1024
"""How much of a body is taken off the socket before anybody asks for it."""

JOINED_BYTES: Final = 64 * 1024
"""An answer up to this size goes out in one piece with its head: copying it is cheaper than a second write."""

log = logging.getLogger("rs3gw.rest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a connection may take, and how long."""

    connections: int = 4096
    headers: int = 200
    header_bytes: int = 32 * 1024
    header_seconds: float = 20.0
    keep_alive_seconds: float = 75.0
    """How long a connection may idle between two requests."""
    idle_seconds: float = 60.0
    """How long a client may send nothing of a body that is waited for, or take too little of an answer."""
    idle_bytes: int = 64 * 1024
    """How much it has to take in that time of what waits for it."""


class Responder(Protocol):
    """What answers requests: rest/asgi.Application."""

    def respond(self, request: Request, receive: Receive, send: Send) -> Coroutine[Any, Any, None]: ...

    def request_id(self) -> str: ...

    def now(self) -> float:
        """Seconds since 1970, for the Date of an answer."""


class Listener(Listening["Connection"]):
    """
    A listener of HTTP/1.1 for one responder, started and stopped once.

    ``cohorts`` are those of its loop, where it is not the only one that answers there.
    """

    def __init__(
        self,
        responder: Responder,
        bounds: Bounds,
        *,
        tls: ssl.SSLContext | None = None,
        cohorts: Cohorts | None = None,
    ) -> None:
        super().__init__(tls, cohorts)
        self.responder = responder
        self.bounds = bounds
        self.silent: dict[Connection, None] = {}
        """Those that have not asked for anything yet, the oldest first."""
        self.is_leaving = False
        """Whether every answer is the last one on its connection."""
        self.date = b""
        """The Date that answers of this second have."""

    async def start(self, sock: socket.socket) -> None:
        """Listen on a socket that is bound already."""
        bounds = self.bounds
        await self._listen(
            sock,
            lambda: Connection(self),
            header_seconds=bounds.header_seconds,
            shortest_seconds=min(bounds.header_seconds, bounds.keep_alive_seconds, bounds.idle_seconds),
        )

    def _tick(self) -> None:
        self.date = formatdate(self.responder.now(), usegmt=True).encode()
        super()._tick()

    def make_room(self) -> bool:
        """
        Tell the oldest of those who have not asked for anything to slow down; whether there was one.

        Whoever only holds connections open keeps nobody out by it.
        """
        oldest = next(iter(self.silent), None)
        if oldest is not None:
            oldest.slow_down()
        return oldest is not None

    def leave(self) -> None:
        """
        Serve on, and tell each client with its answer to come back by another connection.

        None is closed under a client that was not told: its next request may be on the way.
        """
        self.is_leaving = True

    async def stop(self, drain_seconds: float) -> None:
        """Let nobody new in, let requests finish for so long, then cancel them."""
        self.is_leaving = self.is_stopping = True
        self._server.close()
        for connection in list(self.connections):
            connection.end()
        await self._emptied(drain_seconds)
        await self._cancelled()
        self._abandon()


class Connection(asyncio.Protocol):
    """One client's connection, from its first byte to its last."""

    __slots__ = (
        "_bounds",
        "_current",
        "_deadline",
        "_drained",
        "_ends",
        "_headers",
        "_in_headers",
        "_lines",
        "_loop",
        "_parser",
        "_peer",
        "_receiving",
        "_refusal",
        "_secure",
        "_shared",
        "_size",
        "_stalled",
        "_starts",
        "_taken",
        "_transport",
        "_unsent",
        "_url",
        "_waiting",
        "is_reading",
        "listener",
    )

    _transport: asyncio.Transport

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self._bounds = listener.bounds
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._peer: str | None = None
        self._secure = False
        self._url = b""
        self._headers: dict[str, str] = {}
        # Of the request that is arriving: whether its headers still do, and how many bytes they have taken.
        # ``_taken`` counts packets without an end of the headers; ``_size`` and ``_lines`` headers that are whole.
        self._in_headers, self._shared = True, False
        self._taken = self._size = self._lines = 0
        self._refusal: S3Error | None = None
        self._current: Exchange | None = None
        """The request that is being answered."""
        self._receiving: Exchange | None = None
        """The request whose body is arriving."""
        self._starts: Exchange | None = None
        """The request whose headers were complete in this packet."""
        self._waiting: deque[Exchange] = deque()
        """What came ahead in the same packet."""
        self._deadline: float | None = None
        """When the client will be late with what it has to send."""
        self._stalled: float | None = None
        """When it will be late with taking what waits for it, of which it has left ``_unsent`` bytes."""
        self._unsent = 0
        self._drained: asyncio.Future[None] | None = None
        self._ends = False
        self.is_reading = True

    # What the transport says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else None
        self._secure = transport.get_extra_info("sslcontext") is not None
        self.listener.connections.add(self)
        if self.listener.is_stopping:
            transport.close()
        elif len(self.listener.connections) > self._bounds.connections and not self.listener.make_room():
            self._refuse(SlowDown())
        else:
            self.listener.silent[self] = None
            self._deadline = self._loop.time() + self._bounds.header_seconds

    def connection_lost(self, exc: Exception | None) -> None:
        self.listener.connections.discard(self)
        self.listener.silent.pop(self, None)
        for exchange in (self._current, *self._waiting):
            if exchange is not None:
                exchange.lose()
        self._release()

    def eof_received(self) -> bool:
        """The client sends no more; over plain TCP it may still read."""
        if self._receiving is not None:
            self._receiving.truncate()
        if self._current is None or self._secure:
            return False
        self._current.keeps_alive = False
        return True

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()
        self._watch_stall()

    def resume_writing(self) -> None:
        self._stalled = None
        self._release()

    def _watch_stall(self) -> None:
        self._unsent = self._transport.get_write_buffer_size()
        self._stalled = self._loop.time() + self._bounds.idle_seconds

    def _release(self) -> None:
        if self._drained is not None:
            drained, self._drained = self._drained, None
            drained.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._ends:
            return
        self._shared = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Nothing is upgraded to: the request is answered as it is, and nothing can follow it.
            self._ends = True
            if self._current is not None:
                self._current.keeps_alive = False
        except httptools.HttpParserError:
            # Whatever the parser refuses, our own refusals in the callbacks included.
            self._refuse(self._refusal or InvalidRequest(message="This is not a request of HTTP/1.1."))
        if self._starts is not None:
            exchange, self._starts = self._starts, None
            self._begin(exchange)
        elif self._in_headers and not self._ends:
            self._count(len(data))

    def _count(self, size: int) -> None:
        # Still no end of the headers: what has come so far is all theirs, complete lines or not.  Only in what the
        # end of the last body shares with them nobody can tell whose is how much, and it is not counted.
        if self._current is None and not self._taken:
            self._deadline = self._loop.time() + self._bounds.header_seconds
        self._taken += 1 if self._shared else size
        if self._taken > self._bounds.header_bytes:
            self._refuse(RequestHeaderSectionTooLarge(max_size_allowed=self._bounds.header_bytes))

    # What the parser says

    def on_message_begin(self) -> None:
        self._in_headers = True
        self._taken = self._size = self._lines = 0
        self._url, self._headers = b"", {}

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_headers:
            # A trailer of the transfer coding.  Its request has begun, and is what it was when it was judged: nothing
            # that comes after its body can be one of its headers (RFC 9110, section 6.5.1).
            return
        headers, known = self._headers, _name(name)
        said = value.decode("utf-8", "surrogateescape")
        headers[known] = f"{headers[known]},{said}" if known in headers else said
        self._size += len(name) + len(value) + 4
        self._lines += 1
        if self._lines > self._bounds.headers:
            self._refusal = RequestHeaderSectionTooLarge(
                message=f"A request has at most {self._bounds.headers} headers.",
                max_size_allowed=self._bounds.header_bytes,
            )
            raise ValueError("too many headers")

    def on_headers_complete(self) -> None:
        self._in_headers = False
        url, headers, parser = self._url, self._headers, self._parser
        if self._size + len(url) > self._bounds.header_bytes:
            self._refusal = RequestHeaderSectionTooLarge(max_size_allowed=self._bounds.header_bytes)
            raise ValueError("headers too large")
        if not url.isascii():
            self._refusal = InvalidURI(message="A path is percent-encoded: bytes above 127 cannot stand in it.")
            raise ValueError("raw bytes in the path")
        path, query = _target(url)
        request = Request(
            method=parser.get_method().decode("ascii"),
            path=path,
            pairs=pairs(query) if query else (),
            headers=headers,
            peer=self._peer,
            secure=self._secure,
        )
        self.listener.silent.pop(self, None)
        exchange = Exchange(self, request, parser.should_keep_alive(), parser.get_http_version())
        self._receiving = exchange
        if self._current is None:
            self._current = self._starts = exchange
            self._deadline = None
        else:
            self._waiting.append(exchange)
            self.stop_reading()

    def on_body(self, body: bytes) -> None:
        if self._receiving is not None:
            self._receiving.feed(body)

    def on_message_complete(self) -> None:
        self._shared = True
        exchange, self._receiving = self._receiving, None
        if exchange is not None:
            exchange.complete()
            if exchange.is_over and self._current is None:
                self._idle()

    # What an exchange needs

    def write(self, *pieces: bytes) -> None:
        """Send; the transport keeps what does not go at once."""
        if len(pieces) == 1:
            self._transport.write(pieces[0])
        else:
            self._transport.writelines(pieces)

    async def drain(self) -> None:
        """Wait while the client is slow."""
        if self._drained is not None:
            await asyncio.shield(self._drained)

    def await_body(self) -> None:
        """Somebody waits for the next of the body."""
        self._deadline = self._loop.time() + self._bounds.idle_seconds

    def stop_reading(self) -> None:
        if self.is_reading:
            self.is_reading = False
            self._transport.pause_reading()

    def read_on(self) -> None:
        # While somebody waits for the answer before it, nothing more is taken from that client.
        if not self.is_reading and not self._ends and not self._waiting:
            self.is_reading = True
            self._transport.resume_reading()

    def over(self, exchange: Exchange) -> None:
        """The answer has been sent: go on to the next request, or end."""
        if self._current is not exchange:
            return
        self._current = None
        if not exchange.keeps_alive or self.listener.is_stopping:
            self.close()
        elif self._waiting:
            self._current = self._waiting.popleft()
            self._begin(self._current)
            self.read_on()
        else:
            self.read_on()
            self._idle()

    def _idle(self) -> None:
        # What is left of a body that nobody wanted has as long to arrive as headers have.
        is_late_already = self._receiving is not None or (self._in_headers and self._taken)
        seconds = self._bounds.header_seconds if is_late_already else self._bounds.keep_alive_seconds
        self._deadline = self._loop.time() + seconds

    def _begin(self, exchange: Exchange) -> None:
        if self._transport.is_closing():
            return
        exchange.request.whole = exchange.take()
        listener = self.listener
        answering = listener.responder.respond(exchange.request, exchange.receive, exchange.send)
        if exchange.is_complete:
            listener.cohorts.begin(answering, exchange)
        else:
            task = self._loop.create_task(answering)
            follow(task, exchange)
            exchange.waits(task)

    # Ends

    def look(self, now: float) -> None:
        """End the connection if its client is late."""
        if self._stalled is not None and now >= self._stalled:
            taken = self._unsent - self._transport.get_write_buffer_size()
            if taken >= max(1, min(self._bounds.idle_bytes, self._unsent)):
                self._watch_stall()
            else:
                log.info("a client took %d bytes of its answer in %g s", taken, self._bounds.idle_seconds)
                self.abort()
        elif self._deadline is not None and now >= self._deadline:
            if self._current is not None:
                self._deadline = None
                self._current.give_up()
            elif self._in_headers and self._taken:
                self._refuse(RequestTimeout())
            else:
                self.close()

    def end(self) -> None:
        """Close as soon as the request that is under way has been answered."""
        if self._current is None:
            self.close()
        else:
            self._current.keeps_alive = False

    def abort(self) -> None:
        self._ends = True
        self._transport.abort()

    def slow_down(self) -> None:
        """Close a connection that has not asked for anything, because somebody else may."""
        self.listener.silent.pop(self, None)
        self._refuse(SlowDown())

    def close(self) -> None:
        """End the connection once what was written has gone out."""
        self._ends = True
        self._deadline = None
        if self._transport.get_write_buffer_size():
            self._watch_stall()
        self._transport.close()

    def _refuse(self, refusal: S3Error) -> None:
        if self._transport.is_closing():
            return
        if self._current is None:
            self._transport.write(faults.raw(refusal, self.listener.responder.request_id()))
            self.close()
        else:
            # What came before is still being answered; nothing can follow it.
            self._ends = True
            self._waiting.clear()
            self._current.keeps_alive = False
            if self._receiving is self._current:
                self._current.truncate()


class Exchange:
    """One request and its answer: the ``receive`` and ``send`` of ASGI's HTTP, on a connection."""

    __slots__ = (
        "_chunks",
        "_connection",
        "_expects",
        "_head",
        "_held",
        "_is_chunked",
        "_is_gone",
        "_is_told",
        "_left",
        "_version",
        "_waiter",
        "is_complete",
        "is_over",
        "keeps_alive",
        "request",
    )

    def __init__(self, connection: Connection, request: Request, keeps_alive: bool, version: str) -> None:
        self._connection = connection
        self.request = request
        self.keeps_alive = keeps_alive
        self._version = version
        self._expects = request.headers.get("expect", "").lower() == "100-continue"
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self.is_complete = False
        """Whether the request has arrived whole."""
        self.is_over = False
        """Whether the answer was sent whole, or never will be."""
        self._is_gone = False
        self._is_told = False
        self._waiter: asyncio.Future[None] | None = None
        self._head: bytes | None = None
        self._is_chunked = False
        self._left: int | None = None

    # The request arrives

    def feed(self, body: bytes) -> None:
        if self.is_over:
            return
        self._chunks.append(body)
        self._held += len(body)
        if self._held > AHEAD_BYTES:
            self._connection.stop_reading()
        self._wake()

    def take(self) -> bytes | None:
        """The body, where all of it is here in one piece: ``receive`` then tells only that the client is gone."""
        if not self.is_complete or len(self._chunks) != 1:
            return None
        self._held, self._is_told = 0, True
        return self._chunks.pop()

    def complete(self) -> None:
        self.is_complete = True
        self._wake()

    def truncate(self) -> None:
        """The request ends before its end: who counts its bytes will say so, and who cannot takes it for gone."""
        self.keeps_alive = False
        if "content-length" in self.request.headers:
            self.complete()
        else:
            self.lose()

    def lose(self) -> None:
        """The client is gone."""
        self._is_gone = True
        self._wake()

    def give_up(self) -> None:
        """The client has been silent for too long."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(TimeoutError("the client is silent"))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def receive(self) -> Event:
        """
        The next of the body; after its end, that the client is gone, when it is.

        Raises TimeoutError where the client has been silent for too long in the middle of it.
        """
        if self._expects:
            self._expects = False
            if self._head is None and not self._chunks and not self.is_complete:
                self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self._chunks or self._is_gone or (self.is_complete and not self._is_told)):
            self._waiter = asyncio.get_running_loop().create_future()
            if not self.is_complete:
                self._connection.await_body()
            await self._waiter
        if self._chunks:
            body = self._chunks.popleft()
            self._held -= len(body)
            if self._held <= AHEAD_BYTES:
                self._connection.read_on()
        elif self._is_gone:
            return {"type": "http.disconnect"}
        else:
            body = b""
        self._is_told = self.is_complete and not self._chunks
        return {"type": "http.request", "body": body, "more_body": not self._is_told}

    # The answer is made, and goes out

    def waits(self, waiting: Waiting) -> None:
        self._connection.listener.waiting[self] = waiting

    def done(self, fault: BaseException | None) -> None:
        self._connection.listener.waiting.pop(self, None)
        if not (fault is None or isinstance(fault, (ConnectionError, asyncio.CancelledError))):
            log.error("an answer failed", exc_info=fault)
        if not self.is_over:
            # Only a broken connection tells that an answer is not whole.
            self.is_over = True
            self._connection.close()

    async def send(self, event: Event) -> None:
        """Send the head, with the first of the body; then the body.  Waits while the client is slow."""
        if self._is_gone or self.is_over:
            return
        if event["type"] == "http.response.start":
            self._head = self._head_of(event["status"], event["headers"])
            return
        body, more = event.get("body", b""), event.get("more_body", False)
        if self._left is not None:
            if self.request.method == "HEAD":
                body = b""
            else:
                self._left -= len(body)
        if self._is_chunked and (body or not more):
            framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = framed if more else framed + b"0\r\n\r\n"
        head, self._head = self._head, b""
        if not head:
            if body:
                self._connection.write(body)
        elif len(body) <= JOINED_BYTES:
            self._connection.write(head + body)
        else:
            self._connection.write(head, body)
        if more:
            await self._connection.drain()
        else:
            self.is_over = True
            if self._left and self.request.method != "HEAD":
                # Fewer bytes than were announced: that the connection ends tells the client.
                self.keeps_alive = False
            self._connection.over(self)

    def _head_of(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        listener = self._connection.listener
        pieces = [_status_line(status), b"date: ", listener.date]
        says_close = False
        for name, value in headers:
            pieces += (b"\r\n", name, b": ", value)
            if name == b"content-length":
                self._left = int(value)
            elif name == b"connection":
                says_close = value.lower() == b"close"
        if status == 304:
            self._left = None
        elif self._left is None and status != 204 and self.request.method != "HEAD":
            if self._version == "1.1":
                self._is_chunked = True
                pieces.append(b"\r\ntransfer-encoding: chunked")
            else:
                self.keeps_alive = False
        if says_close or listener.is_leaving:
            self.keeps_alive = False
        if not (self.keeps_alive or says_close):
            pieces.append(b"\r\nconnection: close")
        pieces.append(b"\r\n\r\n")
        return b"".join(pieces)


@lru_cache(maxsize=1024)
def _name(raw: bytes) -> str:
    """A header's name in lower case: there are few of them, said again and again."""
    return raw.lower().decode("latin-1")


@lru_cache(maxsize=64)
def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()


def _target(url: bytes) -> tuple[str, str]:
    """The path and the query of a request's target, both as they stand in it."""
    if not url.startswith(b"/") and b"://" in url:
        # The absolute form (RFC 9112, section 3.2.2), as a proxy sends it.
        url = b"/" + url.partition(b"://")[2].partition(b"/")[2]
    path, _, query = url.decode("ascii").partition("#")[0].partition("?")
    return path, query

"""
S3 over HTTP as an ASGI application: a request in, ``gateway.perform``, an answer out.

Nothing here depends on what an operation means, and nothing an operation means is here.  What is answered is
whole or visibly broken: a stream that fails in its middle ends the connection, never the message.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from functools import partial
from typing import Any, Protocol

from rs3gw import spans
from rs3gw.errors import RequestTimeout, S3Error
from rs3gw.gateway import Gateway
from rs3gw.operations import Operation
from rs3gw.operations.body import Body, Whole
from rs3gw.rest import codec, cors, evidence, faults, messages, routing
from rs3gw.rest.messages import Answer, Receive, Request, Scope, Send

Page = Callable[[], tuple[int, str, bytes]]
"""What answers under /-/: (status, content type, body)."""

LEFTOVER_BYTES = 256 * 1024
"""How much of a refused body is read and forgotten, so that the connection can be used again."""
LEFTOVER_SECONDS = 2.0
LINGER_BYTES = 64 * 1024**2
"""How much more is read after a refusal that ends the connection: who closes at once resets it, and the client, still
sending, may lose the answer."""
LINGER_SECONDS = 2.0

METHODS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"))
OTHER = "_OTHER"
"""What a metric or a span calls a method, and what it calls one that is none of these: a client may say anything."""

log = logging.getLogger("rs3gw.rest")


class Neighbour(Protocol):
    """What else answers on this port, at paths that can be no bucket's."""

    @property
    def paths(self) -> Collection[str]: ...

    async def respond(self, request: Request, receive: Receive, send: Send) -> None:
        """Answer a request to one of them."""


class Watch(Protocol):
    """Who counts what was answered."""

    def __call__(
        self,
        asked: Operation | str,
        method: str,
        is_secure: bool,
        status: int,
        seconds: float,
        received: int,
        sent: int,
        /,
    ) -> None:
        """
        A request has had its answer: one for an operation, for a neighbour's path, or for nothing that exists ("").

        ``status`` is 0 where the client went before there was one; ``received`` and ``sent`` are bytes of bodies.
        """


class Application:
    """
    The REST face of a gateway.

    ``domains`` are the host names under which ``bucket.<domain>`` addresses a bucket; ``internal`` are the pages
    under ``/-/``, which need no credentials.  ``neighbour`` answers at its own paths; ``origins`` are those of the
    pages that a browser lets speak to either (rs3gw.rest.cors).  ``watch`` counts what is answered, but not the
    internal pages; ``trace`` begins the spans of S3's requests (a neighbour has its own).
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        domains: Collection[str] = ("localhost",),
        internal: Mapping[str, Page] | None = None,
        neighbour: Neighbour | None = None,
        origins: Collection[str] = (),
        watch: Watch | None = None,
        trace: spans.Begin | None = None,
    ) -> None:
        self._watch, self._trace = watch, trace
        self._neighbour, self._origins = neighbour, frozenset(origins)
        self._gateway = gateway
        # The longest first: with localhost and s3.localhost, a.s3.localhost is the bucket "a".
        self._domains = tuple(sorted((domain.lower() for domain in domains), key=len, reverse=True))
        self._internal = dict(internal or {})

    def request_id(self) -> str:
        """A new one: 16 characters, as S3's are."""
        return self._gateway.entropy.token(8).hex().upper()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._gateway.clock.now().timestamp()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application as ASGI has it."""
        if scope["type"] != "http":
            raise NotImplementedError(f"rs3gw speaks HTTP, not {scope['type']}")
        await self.respond(messages.read(scope), receive, send)

    async def respond(self, request: Request, receive: Receive, send: Send) -> None:
        """Answer a request, its body and its answer as ASGI's HTTP has them."""
        if self._origins and (origin := cors.allowed(request, self._origins)) is not None:
            send = cors.opened(send, origin)
            if cors.is_preflight(request):
                await _Outbox(send, request, None).put(cors.preflight(request))
                return
        if self._neighbour is not None and request.path in self._neighbour.paths and not self._is_of_bucket(request):
            await self._ask_neighbour(self._neighbour, request, receive, send)
            return
        if request.path.startswith("/-/") and not self._is_of_bucket(request):
            await self._page(request, send)
            return
        began = time.perf_counter()
        request_id = self.request_id()
        inbox = _Inbox(receive, request.whole)
        outbox = _Outbox(send, request, request_id)
        try:
            if self._trace is None:
                await self._answer(request, request_id, inbox, outbox)
            else:
                # A task, for a listener may begin an answer outside of one, and the span has to be the call's alone.
                traced = self._traced(self._trace, request, request_id, inbox, outbox)
                await asyncio.ensure_future(traced)
        finally:
            self._count(outbox.operation or "", request, began, inbox, outbox)

    async def _ask_neighbour(self, neighbour: Neighbour, request: Request, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        inbox, outbox = _Inbox(receive, request.whole), _Counted(send)
        try:
            await neighbour.respond(request, inbox.receive, outbox.send)
        finally:
            self._count(request.path, request, began, inbox, outbox)

    def _count(
        self, asked: Operation | str, request: Request, began: float, inbox: _Inbox, outbox: _Outbox | _Counted
    ) -> None:
        if self._watch is not None:
            seconds = time.perf_counter() - began
            method = request.method if request.method in METHODS else OTHER
            self._watch(asked, method, request.secure, outbox.status, seconds, inbox.received, outbox.sent)

    async def _traced(
        self, begin: spans.Begin, request: Request, request_id: str, inbox: _Inbox, outbox: _Outbox
    ) -> None:
        method = request.method if request.method in METHODS else OTHER
        # The path and the query stay out of it: one names a key that may be anything, the other may hold a signature.
        known: dict[str, spans.Value] = {
            "http.request.method": method,
            "url.scheme": "https" if request.secure else "http",
            "aws.request_id": request_id,
        }
        if request.peer:
            known["client.address"] = request.peer
        if "user-agent" in request.headers:
            known["user_agent.original"] = request.headers["user-agent"]
        span = begin(method, request.headers, known)
        spans.CURRENT.set(span)
        try:
            await self._answer(request, request_id, inbox, outbox)
        except BaseException as fault:
            span.fail(fault)
            raise
        finally:
            if outbox.operation is not None:
                span.rename(f"S3.{outbox.operation.name}")
                span.note("rpc.system.name", "aws-api")
                span.note("rpc.method", f"S3/{outbox.operation.name}")
                span.note("http.route", outbox.operation.route)
            if outbox.status:
                span.note("http.response.status_code", outbox.status)
            span.note("http.request.body.size", inbox.received)
            span.note("http.response.body.size", outbox.sent)
            span.end()

    async def _answer(self, request: Request, request_id: str, inbox: _Inbox, outbox: _Outbox) -> None:
        try:
            target = routing.locate(request, self._domains)
            parameters = request.parameters() if request.pairs else {}
            shown = evidence.gather(request, parameters, host_bucket=target.host_bucket)
            outbox.operation = operation = routing.route(request, target, parameters)
            read = partial(codec.decode, operation, request, target.labels, parameters, inbox.receive)
            async with self._gateway.perform(operation, shown, read, request_id=request_id) as output:
                await outbox.put(codec.encode(operation, output), gone=inbox.gone)
        except codec.ClientGone as gone:
            spans.fail(gone)
        except Exception as fault:
            await self._refuse(fault, request, request_id, inbox, outbox)

    async def _refuse(
        self, fault: Exception, request: Request, request_id: str, inbox: _Inbox, outbox: _Outbox
    ) -> None:
        known = faults.known(fault)
        spans.fail(known)
        if outbox.has_begun:
            # The status is gone already: only a broken connection tells the truth.
            if isinstance(fault, S3Error):
                log.error("an answer broke off: %s", fault, extra={"request_id": request_id})
                raise ConnectionAbortedError(str(fault)) from None
            raise fault
        if known is not fault:
            log.exception("a request failed", extra={"request_id": request_id}, exc_info=fault)
        answer = faults.answer(known, resource=request.path, request_id=request_id)
        is_silent = isinstance(known, RequestTimeout)
        if is_silent or not await inbox.drain(request):
            answer.headers.append((b"connection", b"close"))
            await outbox.put(answer, before_end=None if is_silent else inbox.linger)
        else:
            await outbox.put(answer)

    def _is_of_bucket(self, request: Request) -> bool:
        """Whether the host names a bucket, so that the path is a key however it begins."""
        return routing.bucket_of_host(request.headers.get("host", ""), self._domains) is not None

    async def _page(self, request: Request, send: Send) -> None:
        page = self._internal.get(request.path)
        status, kind, body = page() if page is not None else (404, "text/plain; charset=utf-8", b"no such page\n")
        if request.method not in ("GET", "HEAD"):
            status, kind, body = 405, "text/plain; charset=utf-8", b"GET it\n"
        outbox = _Outbox(send, request, None)
        await outbox.put(Answer(status, [(b"content-type", kind.encode())], body))


class _Inbox:
    """The server's receive, with a memory of how far it was read; what came ``whole`` it has read already."""

    __slots__ = ("_receive", "_whole", "is_done", "is_touched", "received")

    def __init__(self, receive: Receive, whole: bytes | None) -> None:
        self._receive, self._whole = receive, whole
        self.received = 0 if whole is None else len(whole)
        """Bytes of the body, so far."""
        self.is_touched = self.is_done = whole is not None

    async def receive(self) -> messages.Event:
        if self._whole is not None:
            whole, self._whole = self._whole, None
            return {"type": "http.request", "body": whole, "more_body": False}
        self.is_touched = True
        event = await self._receive()
        self.is_done = event["type"] != "http.request" or not event.get("more_body", False)
        self.received += len(event.get("body", b""))
        return event

    async def drain(self, request: Request) -> bool:
        """
        Read what is left of a refused request, if that is little; whether the connection can be used again.

        A client that waits for 100 Continue is not told to go on: it has sent nothing, and nothing may follow.
        """
        headers = request.headers
        if "transfer-encoding" not in headers and headers.get("content-length", "0") == "0":
            return True
        if self.is_done:
            return True
        if "expect" in headers and not self.is_touched:
            return False
        await _within(LEFTOVER_SECONDS, self._read(LEFTOVER_BYTES))
        return self.is_done

    async def _read(self, most: int) -> None:
        seen = 0
        while seen <= most and not self.is_done:
            seen += len((await self.receive()).get("body", b""))

    async def linger(self) -> None:
        """Read on for a little while, for nothing but that the client may come to read its answer."""
        if not self.is_touched:
            return
        await _within(LINGER_SECONDS, self._read(LINGER_BYTES))

    async def gone(self) -> None:
        """Return when the client has gone away.  To be awaited only once an answer has begun."""
        while not self.is_done:
            await self.receive()
        event = await self._receive()
        if event["type"] != "http.disconnect":
            # After the end of a request a server has only this to tell; one that tells anything else knows nothing.
            await asyncio.get_running_loop().create_future()


async def _within(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    """Give something so much time and no more; whether it ended, and how, is not told."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.cancel() and not task.cancelled():
            task.exception()


class _Outbox:
    """The server's send, with the headers that every answer has."""

    __slots__ = ("_is_head", "_request_id", "_send", "has_begun", "operation", "sent", "status")

    def __init__(self, send: Send, request: Request, request_id: str | None) -> None:
        self.operation: Operation | None = None
        """What it answers, once that is known."""
        self.status = self.sent = 0
        """What was said, and bytes of the body, so far."""
        self._send = send
        self._is_head = request.method == "HEAD"
        self._request_id = request_id
        self.has_begun = False

    async def put(
        self,
        answer: Answer,
        *,
        gone: Callable[[], Awaitable[None]] | None = None,
        before_end: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """
        Send an answer whole, waiting while the client is slow.

        ``gone`` returns when the client has gone away; ``before_end`` is awaited between the last byte and the end.
        """
        headers, body, status = answer.headers, answer.body, answer.status
        headers.append(_SERVER)
        if self._request_id is not None:
            headers += ((b"x-amz-request-id", self._request_id.encode()), _HOST)
        if isinstance(body, Whole):
            body = bytes(body.data)
        if isinstance(body, bytes) and status not in (204, 304) and not _has_length(headers):
            headers.append((b"content-length", b"%d" % len(body)))
        self.has_begun, self.status = True, status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        if self._is_head or status in (204, 304):
            body = b""
        if not isinstance(body, bytes):
            await self._stream(body, gone)
            return
        self.sent = len(body)
        if before_end is not None:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
            await before_end()
            body = b""
        await self._send({"type": "http.response.body", "body": body})

    async def _stream(self, body: Body, gone: Callable[[], Awaitable[None]] | None) -> None:
        # A server need not say on sending that nobody is there any more (ours does not), and nobody wants the
        # rest of a large object read for nobody.
        watching = asyncio.ensure_future(gone()) if gone is not None else None
        try:
            async for chunk in body:
                if watching is not None and watching.done():
                    raise codec.ClientGone("the client closed the connection in the middle of its answer")
                # A chunk is the body's again on the next turn, when it may still wait to be sent: a view is copied.
                await self._send({"type": "http.response.body", "body": bytes(chunk), "more_body": True})
                self.sent += len(chunk)
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            if watching is not None:
                watching.cancel()


class _Counted:
    """The server's send, with what went through it, for who has an outbox of its own."""

    __slots__ = ("_send", "sent", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = self.sent = 0

    async def send(self, event: messages.Event) -> None:
        if event["type"] == "http.response.start":
            self.status = event["status"]
        self.sent += len(event.get("body", b""))
        await self._send(event)


_SERVER, _HOST = (b"server", b"rs3gw"), (b"x-amz-id-2", faults.HOST_ID.encode())


def _has_length(headers: list[tuple[bytes, bytes]]) -> bool:
    for name, _ in headers:  # noqa: SIM110 - any() takes three times as long
        if name == b"content-length":
            return True
    return False

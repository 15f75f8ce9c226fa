"""
gRPC-Web and Connect on the port of REST: the rpcs of one message each way, and of a stream of answers.

A browser has no gRPC, and curl has none either.  What they can send becomes a call of the same servicers here: the same
evidence, the same meaning, the same errors, in another envelope.  No path of an rpc is a bucket's, for a bucket's name
has no capitals; so nothing of S3 is taken away.

    Connect    application/json, application/proto; for streams application/connect+json, …+proto
               https://connectrpc.com/docs/protocol
    gRPC-Web   application/grpc-web, …-text, each also with +proto
               https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md

An upload is a stream of requests, which neither can send from a browser: it goes by REST, with a presigned URL.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Protocol
from urllib.parse import quote

from google.protobuf import json_format
from google.protobuf.message import Message as Proto
from google.rpc.status_pb2 import Status

from rs3gw import spans
from rs3gw.errors import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    UNIMPLEMENTED,
    EntityTooLarge,
    Grpc,
    IncompleteBody,
    InvalidRequest,
    RequestTimeout,
    S3Error,
)
from rs3gw.operations.body import Buffer
from rs3gw.rpc import calls, faults
from rs3gw.rpc.calls import HEAD_BYTES
from rs3gw.rpc.servicers import RPCS, Rpc, Servicer

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

PATHS: Final = {rpc.path: rpc for rpc in RPCS.values()}

COMPRESSED, CONNECT_END, GRPC_TRAILERS = 0x01, 0x02, 0x80

HTTP_OF: Final = {
    "canceled": 499,
    "unknown": 500,
    "invalid_argument": 400,
    "deadline_exceeded": 504,
    "not_found": 404,
    "already_exists": 409,
    "permission_denied": 403,
    "resource_exhausted": 429,
    "failed_precondition": 400,
    "aborted": 409,
    "out_of_range": 400,
    "unimplemented": 501,
    "internal": 500,
    "unavailable": 503,
    "data_loss": 500,
    "unauthenticated": 401,
}
"""The status of an error of Connect, as its protocol has them."""


class Asked(Protocol):
    """A request of HTTP as this needs it."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def peer(self) -> str | None: ...
    @property
    def secure(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Form:
    """What a content type says of an exchange."""

    name: str
    is_json: bool = False
    is_text: bool = False
    """Whether all of it is in base64."""
    is_enveloped: bool = True
    is_connect: bool = True


FORMS: Final = {
    form.name: form
    for form in (
        Form("application/json", is_json=True, is_enveloped=False),
        Form("application/proto", is_enveloped=False),
        Form("application/connect+json", is_json=True),
        Form("application/connect+proto"),
        Form("application/grpc-web", is_connect=False),
        Form("application/grpc-web+proto", is_connect=False),
        Form("application/grpc-web-text", is_connect=False, is_text=True),
        Form("application/grpc-web-text+proto", is_connect=False, is_text=True),
    )
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended that did not end well."""

    code: Grpc
    message: str
    details: bytes = b""
    """A google.rpc.Status, in bytes."""

    @property
    def connect_code(self) -> str:
        return "canceled" if self.code is CANCELLED else self.code.name.lower()

    def as_json(self) -> dict[str, Any]:
        """As Connect writes it."""
        said: dict[str, Any] = {"code": self.connect_code, "message": self.message}
        if self.details:
            said["details"] = [
                {
                    "type": each.type_url.rpartition("/")[2],
                    "value": faults.binary(each.value).decode(),
                }
                for each in Status.FromString(self.details).details
            ]
        return said


class Refused(Exception):
    """A call ended with an outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


def outcome_of(fault: S3Error) -> Outcome:
    return Outcome(fault.grpc, faults.sentence(fault), dict(faults.trailing(fault)).get(faults.DETAILS, b""))


class Web:
    """The rpcs of a gateway, for who cannot speak gRPC; ``paths`` are those that it answers."""

    paths = frozenset(PATHS)

    def __init__(self, servicer: Servicer, *, max_message_bytes: int, trace: spans.Begin | None = None) -> None:
        self._servicer, self._trace = servicer, trace
        self._most = max_message_bytes

    async def respond(self, request: Asked, receive: Receive, send: Send) -> None:
        """Answer a request to one of the paths, its body and its answer as ASGI's HTTP has them."""
        rpc = PATHS[request.path]
        form = FORMS.get(request.headers.get("content-type", "").partition(";")[0].strip().lower())
        if request.method != "POST":
            await _plain(send, 405, [(b"allow", b"POST, OPTIONS")], b"An rpc is asked for with POST.\n")
            return
        if form is None or (form.is_connect and form.is_enveloped != _streams(rpc)):
            accepted = ", ".join(
                name for name, each in FORMS.items() if not each.is_connect or each.is_enveloped == _streams(rpc)
            )
            await _plain(send, 415, [(b"accept-post", accepted.encode())], f"It is one of {accepted}.\n".encode())
            return
        # A task, for a listener may begin an answer outside of one, and only a task can be given a time.
        exchange = Exchange(request, rpc, form, receive, send, self._most, self._servicer.idle_seconds)
        if self._trace is None:
            await asyncio.ensure_future(self._answer(rpc, exchange, request))
        else:
            await asyncio.ensure_future(self._traced(self._trace, rpc, exchange, request))

    async def _traced(self, begin: spans.Begin, rpc: Rpc, exchange: Exchange, request: Asked) -> None:
        known: dict[str, spans.Value] = {
            "rpc.system.name": "connectrpc" if exchange.is_connect else "grpc",
            "rpc.method": rpc.path[1:],
            "http.request.method": request.method,
            "url.scheme": "https" if request.secure else "http",
        }
        if request.peer:
            known["client.address"] = request.peer
        span = begin(rpc.path[1:], request.headers, known)
        spans.CURRENT.set(span)
        try:
            await self._answer(rpc, exchange, request)
        except BaseException as fault:
            span.fail(fault)
            raise
        finally:
            if exchange.status:
                span.note("http.response.status_code", exchange.status)
            span.note("rpc.response.status_code", exchange.code)
            span.end()

    async def _answer(self, rpc: Rpc, exchange: Exchange, request: Asked) -> None:
        seconds = seconds_of(request.headers)
        try:
            if seconds == 0:
                raise TimeoutError
            async with asyncio.timeout(seconds):
                await self._call(rpc, exchange)
        except TimeoutError:
            await exchange.end(Outcome(DEADLINE_EXCEEDED, "Deadline Exceeded"))
        except Refused as refused:
            await exchange.end(refused.outcome)
        except S3Error as fault:
            spans.fail(fault)
            await exchange.end(outcome_of(fault))
        finally:
            exchange.close()

    async def _call(self, rpc: Rpc, exchange: Exchange) -> None:
        described = rpc.descriptor
        if described.client_streaming:
            sentence = f"{described.name} is a stream of requests: store with PUT and a presigned URL, or over gRPC."
            raise Refused(Outcome(UNIMPLEMENTED, sentence))
        if described.server_streaming:
            await self._servicer.download(rpc, exchange)
        else:
            await self._servicer.unary(rpc, exchange)
        await exchange.end(None)


class Exchange:
    """One call as the servicers see it, in the envelope of its form."""

    def __init__(
        self, request: Asked, rpc: Rpc, form: Form, receive: Receive, send: Send, most: int, idle_seconds: float
    ) -> None:
        self._request, self._rpc, self._form = request, rpc, form
        self._receive, self._send, self._most, self._idle_seconds = receive, send, most, idle_seconds
        self._initial: Sequence[tuple[str, str]] = ()
        self._has_begun = False
        self.status = 0
        """Of HTTP, once it was said."""
        self._ended: Outcome | None = Outcome(CANCELLED, "")
        """How it ends, unless it comes to another end; None: well."""
        self._leaving: asyncio.Future[Event] | None = None
        """Done when the client has gone: a server need not say so on sending."""

    @property
    def is_connect(self) -> bool:
        return self._form.is_connect

    @property
    def code(self) -> str:
        """How it ended, as its protocol spells codes."""
        if self._ended is None:
            return "OK" if not self.is_connect else "ok"
        return self._ended.connect_code if self.is_connect else self._ended.code.name

    def metadata(self) -> Sequence[tuple[str, str | bytes]]:
        return tuple(self._request.headers.items())

    def peer(self) -> str:
        peer = self._request.peer
        if peer is None:
            return "unknown"
        return f"ipv6:{quote(f'[{peer}]', safe='')}:0" if ":" in peer else f"ipv4:{peer}:0"

    async def begin(self, metadata: Sequence[tuple[str, str]]) -> None:
        # It goes with the headers, which wait for the status: a refusal has another one.
        self._initial = metadata

    async def read(self) -> bytes | None:
        try:
            async with asyncio.timeout(self._idle_seconds):
                body = await self._body()
        except TimeoutError as fault:
            raise RequestTimeout() from fault
        if self._form.is_text:
            try:
                body = base64.b64decode(body, validate=True)
            except binascii.Error as fault:
                raise InvalidRequest(message="The body is not base64.") from fault
        if self._form.is_enveloped:
            body = _opened(body)
        if not self._form.is_json:
            return body
        try:
            text = body.decode()
            return json_format.Parse(text or "{}", self._rpc.request()).SerializeToString()
        except (json_format.ParseError, UnicodeDecodeError) as fault:
            raise InvalidRequest(
                message=f"The body is no {self._rpc.request.DESCRIPTOR.name} in JSON: {fault}"
            ) from fault

    async def _body(self) -> bytes:
        most = self._most + HEAD_BYTES
        if self._form.is_text:
            most = most * 4 // 3 + 4
        held, size, more = [], 0, True
        while more:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                raise asyncio.CancelledError
            chunk = bytes(event.get("body", b""))
            size += len(chunk)
            if size > most:
                raise EntityTooLarge(proposed_size=size, max_size_allowed=self._most)
            held.append(chunk)
            more = event.get("more_body", False)
        return b"".join(held)

    async def write(self, head: bytes, data: Buffer = b"") -> None:
        data = self._spelled(head + data)
        if not self._form.is_enveloped:
            await self._start(200, length=len(data))
            await self._send({"type": "http.response.body", "body": data})
            return
        if not self._has_begun:
            await self._start(200)
            self._leaving = asyncio.ensure_future(self._wait())
        if self._leaving is not None and self._leaving.done():
            raise asyncio.CancelledError
        await self._put(0, data)

    async def _wait(self) -> Event:
        return await self._receive()

    def close(self) -> None:
        """Wait for nobody any more."""
        if self._leaving is not None:
            self._leaving.cancel()

    def _spelled(self, wire: bytes) -> bytes:
        if not self._form.is_json:
            return wire
        message: Proto = self._rpc.response.FromString(wire)
        return json_format.MessageToJson(message, indent=None).encode()

    async def refuse(self, fault: S3Error) -> NoReturn:
        spans.fail(fault)
        raise Refused(outcome_of(fault))

    async def end(self, outcome: Outcome | None) -> None:
        """Say how it ended: well, or with an outcome."""
        self._ended = outcome
        if not self._form.is_enveloped:
            if outcome is None:
                return  # the message was all
            said = json.dumps(outcome.as_json()).encode()
            await self._start(HTTP_OF[outcome.connect_code], kind="application/json", length=len(said))
            await self._send({"type": "http.response.body", "body": said})
            return
        if not self._has_begun:
            await self._start(200)
        if self._form.is_connect:
            ending = json.dumps({} if outcome is None else {"error": outcome.as_json()}).encode()
            await self._put(CONNECT_END, ending)
        else:
            await self._put(GRPC_TRAILERS, _trailers(outcome))
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _start(self, status: int, *, kind: str | None = None, length: int | None = None) -> None:
        self._has_begun, self.status = True, status
        headers = [(b"content-type", (kind or self._form.name).encode()), (b"server", b"rs3gw")]
        headers += [(name.encode(), value.encode()) for name, value in self._initial]
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _put(self, flags: int, data: bytes) -> None:
        framed = bytes((flags,)) + len(data).to_bytes(4, "big") + data
        # Base64 of each frame by itself, with its padding: clients read one after another.
        body = base64.b64encode(framed) if self._form.is_text else framed
        await self._send({"type": "http.response.body", "body": body, "more_body": True})


def _streams(rpc: Rpc) -> bool:
    return rpc.descriptor.server_streaming or rpc.descriptor.client_streaming


def _opened(body: bytes) -> bytes:
    """The one message in an envelope.  Raises InvalidRequest, IncompleteBody."""
    if len(body) < HEAD_BYTES:
        raise InvalidRequest(message="The request has one message in an envelope of five bytes and itself.")
    flags, size = body[0], int.from_bytes(body[1:HEAD_BYTES], "big")
    if flags & COMPRESSED:
        raise InvalidRequest(message="The message is compressed: rs3gw takes identity alone.")
    if len(body) < HEAD_BYTES + size:
        raise IncompleteBody(number_bytes_expected=size, number_bytes_provided=len(body) - HEAD_BYTES)
    return body[HEAD_BYTES : HEAD_BYTES + size]


def _trailers(outcome: Outcome | None) -> bytes:
    if outcome is None:
        return b"grpc-status: 0\r\n"
    lines = [f"grpc-status: {int(outcome.code)}", f"grpc-message: {faults.message(outcome.message)}"]
    if outcome.details:
        lines.append(f"{faults.DETAILS}: {faults.binary(outcome.details).decode()}")
    return "".join(f"{line}\r\n" for line in lines).encode()


def seconds_of(headers: Mapping[str, str]) -> float | None:
    """How long a call may take, as Connect or gRPC says it; None where neither does, or what it says is no time."""
    milliseconds = headers.get("connect-timeout-ms", "")
    if milliseconds.isdecimal() and len(milliseconds) <= 10:
        return int(milliseconds) / 1000
    return calls.seconds_of(headers.get("grpc-timeout", ""))


async def _plain(send: Send, status: int, headers: list[tuple[bytes, bytes]], said: bytes) -> None:
    headers += [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(said))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": said})

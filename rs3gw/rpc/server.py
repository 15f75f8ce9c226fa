"""
The gRPC listener: the three services, health and reflection on grpc.aio, with bounds, TLS and an orderly end.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

import grpc

from rs3gw import spans
from rs3gw.errors import NotImplementedHere, S3Error
from rs3gw.gateway import Gateway
from rs3gw.rpc import faults
from rs3gw.rpc.evidence import address_of
from rs3gw.rpc.servicers import RPCS, SERVICES, Rpc, Servicer

log = logging.getLogger("rs3gw.rpc")

MAX_CALLS = 4096
"""Calls at once, with those whose answer nobody takes; one more is answered RESOURCE_EXHAUSTED by grpc itself."""
MAX_CONNECTION_CALLS = 1024
"""Calls at once on one connection; a client that has more keeps them until others have ended, as HTTP/2 has it."""
MAX_CALL_METADATA_BYTES = 16 * 1024
KEEPALIVE_MILLISECONDS = 60_000
IDLE_CONNECTION_MILLISECONDS = 300_000
"""How long a connection without a call is kept; who comes back later makes a new one."""
MIN_PING_MILLISECONDS = 10_000
"""A client may ping this often; more often is a flood."""


CLIENT_MESSAGE_BYTES = 4 * 1024**2
"""The largest message that a client takes unless it was told otherwise; it drops a call for a larger one."""
ENVELOPE_BYTES = 64 * 1024
"""Room in a message for what it holds besides a chunk: all that is known of an object, in the first."""


def fitting(chunk_bytes: int, max_message_bytes: int) -> int:
    """The chunk that was asked for, or the largest whose message our limit and every client's lets pass."""
    largest = min(max_message_bytes, CLIENT_MESSAGE_BYTES)
    return min(chunk_bytes, largest - min(ENVELOPE_BYTES, largest // 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSFiles:
    """A certificate chain and its key, PEM, and who must have signed the certificates of clients, if they need any."""

    certificate: Path
    key: Path
    client_authority: Path | None = None


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


def spelled(code: grpc.StatusCode) -> str:
    """A code as Go spells it, which is what dashboards match: NotFound, Canceled, OK."""
    if code is grpc.StatusCode.OK:
        return "OK"
    if code is grpc.StatusCode.CANCELLED:
        return "Canceled"
    return "".join(word.capitalize() for word in code.name.split("_"))


class Call:
    """A call of grpc.aio as the servicers see it, and what went through it."""

    __slots__ = (
        "_began", "_code", "_context", "_idle_bytes", "_idle_seconds", "_received", "_received_bytes", "_sent",
        "_sent_bytes", "_taken", "_waited",
    )  # fmt: skip

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any], idle_seconds: float, idle_bytes: int = 0) -> None:
        self._context = context
        self._idle_seconds = idle_seconds
        self._idle_bytes = idle_bytes
        self._waited, self._taken = 0.0, 0
        """How long its client has been waited for, and what it took meanwhile, since it was last judged by that."""
        self._began = time.perf_counter()
        self._code = grpc.StatusCode.CANCELLED
        """How it ends, unless it comes to another end."""
        self._received = self._received_bytes = self._sent = self._sent_bytes = 0

    @contextmanager
    def watched(self, watch: Watch, rpc: Rpc, trace: spans.Begin | None) -> Iterator[None]:
        """Count it, and trace it where that is asked for, from here to its end, whichever that is."""
        watch.begin()
        span = None if trace is None else self._begin_span(rpc, trace)
        try:
            yield
            self._code = grpc.StatusCode.OK
        except asyncio.CancelledError as fault:
            spans.fail(fault)
            raise
        finally:
            seconds = time.perf_counter() - self._began
            received, sent = (self._received, self._received_bytes), (self._sent, self._sent_bytes)
            watch.end(spelled(self._code), seconds, received, sent)
            if span is not None:
                span.note("rpc.response.status_code", self._code.name)
                span.end()

    def _begin_span(self, rpc: Rpc, trace: spans.Begin) -> spans.Span:
        # A call of grpc.aio has a task of its own, so what is set here is set for it alone.
        headers = {name: value for name, value in self.metadata() if isinstance(value, str)}
        known: dict[str, spans.Value] = {"rpc.system.name": "grpc", "rpc.method": rpc.path[1:]}
        peer = address_of(self.peer())
        if peer is not None:
            known["client.address"] = peer
        span = trace(rpc.path[1:], headers, known)
        spans.CURRENT.set(span)
        return span

    def received(self, wire: bytes) -> bytes:
        """Count a message that came."""
        self._received += 1
        self._received_bytes += len(wire)
        return wire

    def sent(self, wire: bytes) -> bytes:
        """Count a message that goes."""
        self._sent += 1
        self._sent_bytes += len(wire)
        return wire

    def metadata(self) -> Sequence[tuple[str, str | bytes]]:
        return tuple(self._context.invocation_metadata() or ())

    def peer(self) -> str:
        return self._context.peer()

    async def begin(self, metadata: Sequence[tuple[str, str]]) -> None:
        try:
            await self._context.send_initial_metadata(tuple(metadata))
        except Exception as fault:  # grpc names no class for it: the batch failed, because the stream is reset
            raise asyncio.CancelledError from fault

    async def read(self) -> bytes | None:
        wire = await self._context.read()
        return self.received(wire) if isinstance(wire, bytes) else None  # else grpc's mark of the end

    async def write(self, wire: bytes) -> None:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._idle_seconds):
                await self._context.write(self.sent(wire))
        except TimeoutError as fault:
            # Nothing more can be said on a stream that is stuck, and grpc.aio has no way to reset one: the message
            # that waits in it goes when the client does.  What the call held of ours is given up now.
            self._give_up(fault)
        except Exception as fault:  # as above: the stream is reset, because the connection broke
            raise asyncio.CancelledError from fault
        self._waited += time.perf_counter() - began
        self._taken += len(wire)
        if self._waited >= self._idle_seconds:
            if self._taken < self._idle_bytes:
                self._give_up(None)
            self._waited, self._taken = 0.0, 0

    def _give_up(self, fault: TimeoutError | None) -> NoReturn:
        log.info("a client took %d bytes of its answer in %g s", self._taken, self._idle_seconds)
        raise asyncio.CancelledError from fault

    async def refuse(self, fault: S3Error) -> NoReturn:
        self._code = faults.code(fault)
        spans.fail(fault)
        await self._context.abort(self._code, faults.sentence(fault), faults.trailing(fault))


class _Elsewhere(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """What no service of ours has, refused in our words: grpc's own refusal has no ErrorInfo."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        if not details.method.startswith("/s3."):
            return None

        async def refuse(wires: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
            await Call(context, 0).refuse(NotImplementedHere(message=f"There is no {details.method} here."))

        return grpc.stream_stream_rpc_method_handler(refuse)


class Server:
    """
    A gRPC server over a gateway, started and stopped once.

    ``chunk_bytes`` is the most of an object that one message of a download carries; it is less where messages are
    limited to less.  ``idle_seconds`` is how long a client that is sending may be silent, or take less than
    ``idle_bytes`` of what it is sent; ``header_seconds`` how long a new connection has to say that it speaks HTTP/2.
    ``shares_port``: other processes listen on the same port.  ``watch`` gives who counts, for a method: its kind, its
    service, its name.  ``trace`` begins the spans of calls.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        address: str,
        tls: TLSFiles | None = None,
        max_message_bytes: int = 64 * 1024**2,
        chunk_bytes: int = 64 * 1024,
        idle_seconds: float = 60.0,
        idle_bytes: int = 64 * 1024,
        header_seconds: float = 20.0,
        max_connections: int = 4096,
        shares_port: bool = False,
        watch: Callable[[str, str, str], Watch] = lambda kind, service, method: Unwatched(),
        trace: spans.Begin | None = None,
    ) -> None:
        self._watch, self._trace = watch, trace
        self._idle_bytes = idle_bytes
        self._address = address
        self._tls = tls
        self._servicer = Servicer(
            gateway=gateway,
            chunk_bytes=fitting(chunk_bytes, max_message_bytes),
            idle_seconds=idle_seconds,
            is_secure=tls is not None,
        )
        self._options = (
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_metadata_size", MAX_CALL_METADATA_BYTES),
            ("grpc.max_concurrent_streams", MAX_CONNECTION_CALLS),
            ("grpc.max_allowed_incoming_connections", max_connections),
            ("grpc.server_handshake_timeout_ms", round(header_seconds * 1000)),
            ("grpc.max_connection_idle_ms", IDLE_CONNECTION_MILLISECONDS),
            ("grpc.keepalive_time_ms", KEEPALIVE_MILLISECONDS),
            ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_MILLISECONDS),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.so_reuseport", int(shares_port)),
        )
        self.port = 0

    async def start(self) -> None:
        """Listen.  Raises RuntimeError or OSError where the port cannot be had or the certificate not be read."""
        from grpc_health.v1 import health_pb2, health_pb2_grpc
        from grpc_reflection.v1alpha import reflection

        from rs3gw.rpc.health import Health

        self._server = grpc.aio.server(options=self._options, maximum_concurrent_rpcs=MAX_CALLS)
        for service in SERVICES:
            handlers = {method.name: self._handler(RPCS[method.name]) for method in service.methods}
            generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
            self._server.add_generic_rpc_handlers((generic,))
        self._server.add_generic_rpc_handlers((_Elsewhere(),))
        names = [service.full_name for service in SERVICES]
        self._health = Health(names)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME), self._server
        )
        if self._tls is None:
            self.port = self._server.add_insecure_port(self._address)
        else:
            pair = (self._tls.key.read_bytes(), self._tls.certificate.read_bytes())
            authority = self._tls.client_authority
            credentials = grpc.ssl_server_credentials(
                [pair],
                root_certificates=None if authority is None else authority.read_bytes(),
                require_client_auth=authority is not None,
            )
            self.port = self._server.add_secure_port(self._address, credentials)
        if not self.port:
            raise RuntimeError(f"{self._address} cannot be listened on")
        await self._server.start()

    def leave(self) -> None:
        """Say to who asks of our health, or watches it, that nobody is served any more; and serve on."""
        self._health.leave()

    async def stop(self, drain_seconds: float) -> None:
        """
        Say that nobody is served any more, let calls finish for so long, then cancel them.

        grpc tells clients by GOAWAY to come back by another connection.  A call that comes in before they have heard
        it is begun by nobody and ends with CANCELLED: grpc has no other answer there, so who can be told before
        is told by ``leave``.
        """
        self._health.end()
        await self._server.stop(drain_seconds)

    def _handler(self, rpc: Rpc) -> grpc.RpcMethodHandler[Any, Any]:
        servicer, idle_seconds, idle_bytes = self._servicer, self._servicer.idle_seconds, self._idle_bytes
        described = rpc.descriptor
        kind = (
            "client_stream"
            if described.client_streaming
            else "server_stream"
            if described.server_streaming
            else "unary"
        )
        watch = self._watch(kind, described.containing_service.full_name, described.name)
        trace = self._trace

        # Requests come as bytes and are parsed in the servicer: what is no message is the client's fault, and grpc
        # would call it INTERNAL.  Every method takes a stream, for grpc receives a single message by itself, however
        # large and however slow, before anybody is asked whose it is.
        if rpc.descriptor.client_streaming:

            async def upload(wires: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
                call = Call(context, idle_seconds)
                with call.watched(watch, rpc, trace):
                    return call.sent(await servicer.upload(rpc, _counted(wires, call), call))

            return grpc.stream_unary_rpc_method_handler(upload)
        if rpc.descriptor.server_streaming:

            async def download(wires: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
                call = Call(context, idle_seconds, idle_bytes)
                with call.watched(watch, rpc, trace):
                    await servicer.download(rpc, call)

            return grpc.stream_stream_rpc_method_handler(download)

        async def unary(wires: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
            call = Call(context, idle_seconds)
            with call.watched(watch, rpc, trace):
                return call.sent(await servicer.unary(rpc, call))

        return grpc.stream_unary_rpc_method_handler(unary)


async def _counted(wires: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
    async for wire in wires:
        yield call.received(wire)

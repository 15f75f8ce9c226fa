"""
The gRPC listener: the three services, health and reflection, with bounds, TLS and an orderly end.

HTTP/2 is in ``http2``, a call in ``calls``; here is who answers which path, and how connections begin and end.
"""

from __future__ import annotations

import functools
import socket
import ssl
from collections.abc import Callable
from typing import Final

from rs3gw import spans
from rs3gw.errors import NotImplementedHere
from rs3gw.gateway import Gateway
from rs3gw.listening import LAST_WORDS_SECONDS, Listening
from rs3gw.rpc import health
from rs3gw.rpc.calls import UNWATCHED, Call, Method, Watch, ended_by
from rs3gw.rpc.frames import Request
from rs3gw.rpc.health import Health
from rs3gw.rpc.http2 import Bounds, Connection
from rs3gw.rpc.reflection import Reflection
from rs3gw.rpc.servicers import RPCS, SERVICES, Rpc, Servicer
from rs3gw.stepping import Cohorts

BOUNDS: Final = Bounds()
MAX_CALLS: Final = 4096
"""Calls at once, with those whose answer nobody takes; one more is answered RESOURCE_EXHAUSTED."""

CLIENT_MESSAGE_BYTES: Final = 4 * 1024**2
"""The largest message that a client takes unless it was told otherwise; it drops a call for a larger one."""
ENVELOPE_BYTES: Final = 64 * 1024
"""Room in a message for what it holds besides a chunk: all that is known of an object, in the first."""


def fitting(chunk_bytes: int, max_message_bytes: int) -> int:
    """The chunk that was asked for, or the largest whose message our limit and every client's lets pass."""
    largest = min(max_message_bytes, CLIENT_MESSAGE_BYTES)
    return min(chunk_bytes, largest - min(ENVELOPE_BYTES, largest // 2))


class Server(Listening[Connection]):
    """
    A gRPC server over a gateway, started and stopped once.

    ``chunk_bytes`` is the most of an object that one message of a download carries; it is less where messages are
    limited to less.  ``watch`` gives who counts, for a method: its kind, its service, its name.  ``trace`` begins the
    spans of calls.  ``cohorts`` are those of its loop, where it is not the only one that answers there.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        bounds: Bounds = BOUNDS,
        tls: ssl.SSLContext | None = None,
        max_message_bytes: int = 64 * 1024**2,
        chunk_bytes: int = 64 * 1024,
        watch: Callable[[str, str, str], Watch] = lambda kind, service, method: UNWATCHED,
        trace: spans.Begin | None = None,
        cohorts: Cohorts | None = None,
    ) -> None:
        super().__init__(tls, cohorts)
        self.bounds, self.max_message_bytes, self.trace = bounds, max_message_bytes, trace
        self.max_calls = MAX_CALLS
        self.calls = 0
        self.port = 0
        """Where it listens, once it does."""
        self._watch = watch
        self._servicer = Servicer(
            gateway=gateway,
            chunk_bytes=fitting(chunk_bytes, max_message_bytes),
            idle_seconds=bounds.idle_seconds,
            is_secure=tls is not None,
        )
        names = [service.full_name for service in SERVICES]
        self._health = Health(names)
        self._methods = {rpc.path: self._method(rpc) for rpc in RPCS.values()}
        for path, handler in (self._health.methods | Reflection((*names, health.SERVICE)).methods).items():
            self._methods[path] = Method(handler=handler)

    def _method(self, rpc: Rpc) -> Method:
        described = rpc.descriptor
        if described.client_streaming:
            kind, serve = "client_stream", self._servicer.upload
        elif described.server_streaming:
            kind, serve = "server_stream", self._servicer.download
        else:
            kind, serve = "unary", self._servicer.unary
        return Method(
            handler=functools.partial(serve, rpc),
            watch=self._watch(kind, described.containing_service.full_name, described.name),
            is_traced=True,
        )

    # What connections ask

    def stream(self, connection: Connection, number: int, request: Request) -> Call:
        """A call that has just been opened."""
        return Call(self, connection, number, request)

    def method(self, path: str) -> Method:
        """What answers at a path; what nobody declared is refused in our words."""
        return self._methods.get(path, NOWHERE)

    # Its life

    async def start(self, sock: socket.socket) -> None:
        """Listen on a socket that is bound already."""
        bounds = self.bounds
        await self._listen(
            sock,
            lambda: Connection(self),
            header_seconds=bounds.header_seconds,
            shortest_seconds=min(bounds.header_seconds, bounds.idle_seconds),
        )
        self.port = sock.getsockname()[1]

    def leave(self) -> None:
        """Say to who asks of our health, or watches it, that nobody is served any more; and serve on."""
        self._health.leave()

    async def stop(self, drain_seconds: float) -> None:
        """
        Let nobody new in, let calls finish for so long, then cancel them.

        Clients are told to come back by another connection, and what they ask before they have heard it is served.
        """
        self._health.end()
        self.is_stopping = True
        self._server.close()
        for connection in list(self.connections):
            connection.leave()
        await self._emptied(drain_seconds)
        await self._cancelled()
        for connection in list(self.connections):
            connection.end()
        await self._emptied(LAST_WORDS_SECONDS)
        self._abandon()


async def _nowhere(call: Call) -> None:
    raise ended_by(NotImplementedHere(message=f"There is no {call.request.path} here."))


NOWHERE: Final = Method(handler=_nowhere)

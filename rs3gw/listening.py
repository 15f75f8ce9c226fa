"""
A socket that listens, the connections that came in by it, and one timer that looks who of them is late.

What is spoken on a connection is its protocol's own business, REST's or gRPC's; how connections begin, are looked after
and end is the same for both.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from rs3gw.stepping import Asker, Cohorts, Waiting

BACKLOG: Final = 2048
"""Connections that the kernel keeps for us while we are busy."""

TICK_SECONDS: Final = 1.0
"""How often it is looked who is late; sooner where a bound is that short."""

STOPPING_SECONDS: Final = 0.01
"""How often who stops looks whether the last connection has ended."""

LAST_WORDS_SECONDS: Final = 1.0
"""How long what is cancelled at the end has to say so, and what was said to go out."""


class Looked(Protocol):
    """A connection, as far as it is looked after."""

    def look(self, now: float) -> None:
        """End what is late."""

    def abort(self) -> None:
        """End now."""


ConnectionT = TypeVar("ConnectionT", bound=Looked)


class Listening(Generic[ConnectionT]):
    """What has connections, and answers on them; started and stopped once."""

    def __init__(self, tls: ssl.SSLContext | None, cohorts: Cohorts | None) -> None:
        self.connections: set[ConnectionT] = set()
        self.cohorts = Cohorts() if cohorts is None else cohorts
        self.waiting: dict[Asker, Waiting] = {}
        """The answers that are not made yet and wait for something."""
        self.is_stopping = False
        self._tls = tls

    async def _listen(
        self, sock: socket.socket, connect: Callable[[], Any], *, header_seconds: float, shortest_seconds: float
    ) -> None:
        """
        Listen on a socket that is bound already, with a new protocol of asyncio's for each who comes.

        ``shortest_seconds`` is the least of the bounds that connections are looked at for.
        """
        self._loop = asyncio.get_running_loop()
        self._server = await self._loop.create_server(
            connect,
            sock=sock,
            ssl=self._tls,
            backlog=BACKLOG,
            ssl_handshake_timeout=header_seconds if self._tls else None,
        )
        self._tick_seconds = min(TICK_SECONDS, shortest_seconds / 4)
        self._tick()

    def _tick(self) -> None:
        """Look who is late.  One timer for all of them: a timer a request costs more than the request's parsing."""
        now = self._loop.time()
        for connection in list(self.connections):
            connection.look(now)
        self._ticking = self._loop.call_later(self._tick_seconds, self._tick)

    async def _emptied(self, seconds: float) -> None:
        """Wait until the last connection has ended, for so long at most."""
        until = self._loop.time() + seconds
        while self.connections and self._loop.time() < until:  # noqa: ASYNC110 - it ends with the last connection
            await asyncio.sleep(STOPPING_SECONDS)

    async def _cancelled(self) -> None:
        """Cancel what is still being answered, and let it say so."""
        for waiting in list(self.waiting.values()):
            waiting.cancel()
        until = self._loop.time() + LAST_WORDS_SECONDS
        while self.waiting and self._loop.time() < until:  # noqa: ASYNC110 - it ends with the last answer
            await asyncio.sleep(STOPPING_SECONDS)

    def _abandon(self) -> None:
        """End every connection that there still is, and look at none any more."""
        for connection in list(self.connections):
            connection.abort()
        self._ticking.cancel()

"""
A connection of HTTP/1.1, with every way of holding it open for nothing bounded.

uvicorn's protocol over httptools bounds neither the headers of a request nor the time that they take, and answers
what it refuses in plain text.  This one counts both, answers in S3's XML, and leaves everything else alone: what
is refused here never becomes a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rs3gw.errors import InvalidRequest, InvalidURI, RequestHeaderSectionTooLarge, RequestTimeout, S3Error, SlowDown
from rs3gw.rest import faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a connection may take before it has become a request."""

    connections: int = 4096
    headers: int = 200
    header_bytes: int = 32 * 1024
    header_seconds: float = 20.0


def connection_class(bounds: Bounds, request_id: Callable[[], str]) -> type[HttpToolsProtocol]:
    """The protocol class of a listener with these bounds."""

    class Connection(HttpToolsProtocol):
        _taken = 0
        _in_headers = True
        _shared = False
        _refusal: S3Error | None = None
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > bounds.connections:
                self._refuse(SlowDown())
            else:
                self._timer = self.loop.call_later(bounds.header_seconds, self._late)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self.transport.is_closing():
                return
            self._shared = False
            super().data_received(data)
            if not self._in_headers:
                return
            # Still no end of the headers: what has come so far is all theirs, complete lines or not.  Only in what
            # the end of the last body shares with them nobody can tell whose is how much, and it is not counted.
            if not self._shared:
                self._taken += len(data)
            if self._taken > bounds.header_bytes:
                self._refuse(RequestHeaderSectionTooLarge(max_size_allowed=bounds.header_bytes))
            elif self._timer is None and not self.transport.is_closing():
                self._timer = self.loop.call_later(bounds.header_seconds, self._late)

        def on_message_begin(self) -> None:
            self._in_headers, self._taken = True, 0
            super().on_message_begin()

        def on_header(self, name: bytes, value: bytes) -> None:
            super().on_header(name, value)
            if len(self.headers) > bounds.headers:
                self._refusal = RequestHeaderSectionTooLarge(
                    message=f"A request has at most {bounds.headers} headers.", max_size_allowed=bounds.header_bytes
                )
                raise ValueError("too many headers")

        def on_headers_complete(self) -> None:
            self._in_headers = False
            self._stop_timer()
            taken = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if taken > bounds.header_bytes:
                self._refusal = RequestHeaderSectionTooLarge(max_size_allowed=bounds.header_bytes)
                raise ValueError("headers too large")
            if not self.url.isascii():
                self._refusal = InvalidURI(message="A path is percent-encoded: bytes above 127 cannot stand in it.")
                raise ValueError("raw bytes in the path")
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            super().on_message_complete()
            self._shared = True

        def send_400_response(self, msg: str) -> None:
            """uvicorn calls this for whatever its parser refuses, our own refusals in the callbacks included."""
            self._refuse(self._refusal or InvalidRequest(message="This is not a request of HTTP/1.1."))

        def _late(self) -> None:
            self._timer = None
            if self._in_headers and self._taken:
                self._refuse(RequestTimeout())
            else:
                self.transport.close()

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _refuse(self, refusal: S3Error) -> None:
            self._stop_timer()
            if self.transport.is_closing():
                return
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(faults.raw(refusal, request_id()))
            self.transport.close()

    return Connection

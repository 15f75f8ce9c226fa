"""
A load generator that is not the bottleneck: requests signed beforehand, sent as bytes, answers counted as bytes.

SigV4 lets the same signed bytes be sent again for fifteen minutes, so everything that costs time is done before
the clock starts.  What is left for a request is one write and one look at the length of the answer, on uvloop; the
suite of operations measures it against a server that does nothing (``loadtests.floor``), beside the gateway.  botocore
signs: the generator shares no code with what it measures.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, cast
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from loadtests.gateway import ACCESS_KEY, REGION, SECRET_KEY


@dataclass(frozen=True, slots=True)
class Keys:
    """Whose requests they are: those of loadtests.gateway, unless told otherwise."""

    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY


@cache
def _signer(keys: Keys) -> S3SigV4Auth:
    return S3SigV4Auth(Credentials(keys.access_key, keys.secret_key), "s3", REGION)


def request(method: str, port: int, path: str, body: bytes = b"", *, query: str = "", keys: Keys = Keys()) -> bytes:
    """A signed request of HTTP/1.1 as it goes over the wire, its payload signed too."""
    target = quote(path, safe="/-_.~") + (f"?{query}" if query else "")
    prepared = AWSRequest(method=method, url=f"http://127.0.0.1:{port}{target}", data=body)
    prepared.headers["x-amz-content-sha256"] = hashlib.sha256(body).hexdigest()
    prepared.headers["Host"] = f"127.0.0.1:{port}"
    prepared.context["payload_signing_enabled"] = True
    _signer(keys).add_auth(prepared)
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in prepared.headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class _UnsignedPayload(S3SigV4Auth):  # type: ignore[misc]
    def payload(self, request: AWSRequest) -> str:
        return "UNSIGNED-PAYLOAD"


def upload_head(port: int, path: str, size: int) -> bytes:
    """The signed head of an upload of so many bytes, which are not signed and can be sent in any way."""
    prepared = AWSRequest(method="PUT", url=f"http://127.0.0.1:{port}{path}")
    prepared.headers["Host"] = f"127.0.0.1:{port}"
    _UnsignedPayload(Credentials(ACCESS_KEY, SECRET_KEY), "s3", REGION).add_auth(prepared)
    lines = [f"PUT {path} HTTP/1.1", *(f"{name}: {value}" for name, value in prepared.headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {size}"]).encode() + b"\r\n\r\n"


class _Connection(asyncio.Protocol):
    """One keep-alive connection that sends its share, one request after the other."""

    def __init__(self, port: int, share: Iterator[bytes], times: list[float], done: asyncio.Future[None]) -> None:
        self._port, self._share, self._times, self._done = port, share, times, done
        self._buffer = b""
        self._left = 0
        self._began = 0.0
        self._is_chunked = self._closes = self._is_head = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def _next(self) -> None:
        if self._closes:
            # There are servers that close after every answer: that they do is part of what they cost.
            self._transport.close()
            again = asyncio.get_running_loop().create_connection(
                lambda: _Connection(self._port, self._share, self._times, self._done), "127.0.0.1", self._port
            )
            connecting = asyncio.ensure_future(again)
            connecting.add_done_callback(self._connected)
            self._done.add_done_callback(lambda done: connecting.cancel())
            return
        wire = next(self._share, None)
        if wire is None:
            self._transport.close()
            self._finish(None)
            return
        self._is_head = wire.startswith(b"HEAD ")
        self._began = time.perf_counter()
        self._transport.write(wire)

    def _connected(self, connecting: asyncio.Future[Any]) -> None:
        fault = None if connecting.cancelled() else connecting.exception()
        if isinstance(fault, Exception):
            self._finish(fault)

    def _finish(self, fault: Exception | None) -> None:
        if self._done.done():
            return
        if fault is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(fault)

    def data_received(self, data: bytes) -> None:
        if self._is_chunked:
            self._buffer = (self._buffer + data)[-5:]
            self._left = 0 if self._buffer == b"0\r\n\r\n" else 1
        elif self._left:
            self._left -= len(data)
        else:
            self._buffer += data
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            if not head.startswith((b"http/1.1 200", b"http/1.1 204", b"http/1.1 206")):
                self._finish(RuntimeError(self._buffer[:400].decode(errors="replace")))
                self._transport.close()
                return
            at = head.find(b"content-length: ")
            length = int(head[at + 16 :].partition(b"\r\n")[0]) if at >= 0 and not self._is_head else 0
            self._left = length - (len(self._buffer) - end - 4)
            self._closes = b"\r\nconnection: close" in head
            self._is_chunked = b"\r\ntransfer-encoding: chunked" in head
            if self._is_chunked:
                self._left = 0 if self._buffer.endswith(b"\r\n0\r\n\r\n") else 1
            self._buffer = b""
        if self._left <= 0:
            self._left, self._buffer, self._is_chunked = 0, b"", False
            self._times.append(time.perf_counter() - self._began)
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closes:
            self._finish(exc or ConnectionError("the server closed the connection"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a run of requests gave."""

    seconds: float
    times: Sequence[float]

    @property
    def per_second(self) -> float:
        return len(self.times) / self.seconds

    def percentile(self, share: float) -> float:
        """The time in seconds that this share of the requests stayed under."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


Request = TypeVar("Request")


def until(deadline: float, requests: Iterable[Request]) -> Iterator[Request]:
    """The requests that are taken before a moment of ``time.perf_counter``."""
    for each in requests:
        if time.perf_counter() >= deadline:
            return
        yield each


async def send(port: int, requests: Iterable[bytes], *, connections: int, seconds: float | None = None) -> Load:
    """
    Send all of them over so many connections, each connection waiting for every answer; begin none after ``seconds``.

    Raises RuntimeError with the answer, for one that is no success.
    """
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    shared = iter(requests if seconds is None else until(began + seconds, requests))
    times: list[float] = []
    waiting = []
    for _ in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        waiting.append(done)
        await loop.create_connection(lambda done=done: _Connection(port, shared, times, done), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*waiting)
    return Load(seconds=time.perf_counter() - began, times=times)

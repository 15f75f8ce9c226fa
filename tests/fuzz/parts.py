"""
What the targets share: how bytes become a request, and what of an outcome is never a fault.

A refusal of S3's table is an answer like any other, if it can be told: it is written for both protocols here, and
must be well-formed in each.  Every other exception leaves the target, and that is the fault that is looked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, TypeVar

import httptools
from defusedxml import ElementTree

from rs3gw.errors import S3Error
from rs3gw.rest import faults as rest_faults
from rs3gw.rest import messages
from rs3gw.rest.listener import Bounds
from rs3gw.rest.messages import Request
from rs3gw.rpc import faults as rpc_faults

HEADER_BYTES = Bounds().header_bytes
"""The most that a header may be, and all of them together: what is longer reaches nobody."""

NOW = datetime(2026, 11, 23, tzinfo=UTC)

T = TypeVar("T")


class StoppedClock:
    """It is always midnight."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class Counter:
    """Entropy that counts, so that what is drawn can stand in a corpus."""

    def __init__(self) -> None:
        self.drawn = 0

    def token(self, size_bytes: int) -> bytes:
        self.drawn += 1
        return self.drawn.to_bytes(size_bytes, "big")


@contextmanager
def refusable() -> Iterator[None]:
    """What is done here may be refused, with an error that both protocols can tell."""
    try:
        yield
    except S3Error as fault:
        tell(fault)


def tell(fault: S3Error) -> None:
    """Write a refusal for both protocols."""
    answer = rest_faults.answer(fault, resource="/", request_id="0" * 16)
    for _, value in answer.headers:
        assert b"\r" not in value
        assert b"\n" not in value
    if answer.body:
        assert isinstance(answer.body, bytes)
        assert ElementTree.fromstring(answer.body).findtext("Code") == fault.code
    rpc_faults.trailing(fault)
    rpc_faults.sentence(fault).encode()


class _Faults(logging.Handler):
    """What was logged with an exception."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.seen.append(record.exc_info[1])


@contextmanager
def unlogged(name: str = "rs3gw.rest") -> Iterator[None]:
    """What rest/, or another, would only log here is raised at the end."""
    log, faults = logging.getLogger(name), _Faults()
    log.addHandler(faults)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(faults)
        log.propagate = True
        if faults.seen:
            raise faults.seen[0]


_LOOP = asyncio.new_event_loop()


def run(work: Awaitable[T]) -> T:
    """Await something, in the one loop of the process."""
    return _LOOP.run_until_complete(work)


def lines(data: bytes, number: int) -> list[str]:
    """So many lines as headers hold them; the last is the rest, and what is not there is empty."""
    said = [piece.decode("utf-8", "surrogateescape") for piece in data.split(b"\n", number - 1)]
    return said + [""] * (number - len(said))


class _Heard:
    """What httptools tells of one request."""

    def __init__(self) -> None:
        self.url, self.body = b"", b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_headed = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.is_headed = True

    def on_body(self, body: bytes) -> None:
        self.body += body


def scope_of(data: bytes) -> tuple[dict[str, Any], bytes] | None:
    """
    The scope and the body that the listener makes of bytes; None where it refuses them.

    A line may end with a line feed alone, which spares a corpus half of its escapes.
    """
    head, blank, body = data.partition(b"\n\n")
    wire = head.replace(b"\r", b"").replace(b"\n", b"\r\n") + b"\r\n\r\n" + body if blank else data
    heard = _Heard()
    parser = httptools.HttpRequestParser(heard)
    try:
        parser.feed_data(wire)
        url = httptools.parse_url(heard.url)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    if not heard.is_headed or not heard.url.isascii() or url.path is None:
        return None
    scope = {
        "type": "http",
        "method": parser.get_method().decode(),
        "raw_path": url.path,
        "query_string": url.query or b"",
        "headers": heard.headers,
        "client": ("192.0.2.1", 1),
        "scheme": "http",
    }
    return scope, heard.body


def request_of(data: bytes) -> tuple[Request, bytes] | None:
    """The request, and its body, that bytes are; None where they never become one."""
    found = scope_of(data)
    return None if found is None else (messages.read(found[0]), found[1])


class Sending:
    """ASGI's receive, with a body that comes in two pieces."""

    def __init__(self, body: bytes) -> None:
        cut = len(body) // 2
        self._events: list[dict[str, Any]] = [
            {"type": "http.request", "body": body[:cut], "more_body": True},
            {"type": "http.request", "body": body[cut:], "more_body": False},
        ]

    async def receive(self) -> dict[str, Any]:
        return self._events.pop(0) if self._events else {"type": "http.disconnect"}


def same(expected: object, found: object, said: object) -> None:
    """Two ways to read the same that must agree."""
    if expected != found:
        raise AssertionError(f"of {said!r}: expected {expected!r}, found {found!r}")


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Data in pieces, cut at these places."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]

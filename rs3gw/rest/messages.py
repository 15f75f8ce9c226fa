"""
A request and an answer of HTTP, as the rest of rest/ reads and writes them.

Everything is kept as it stood on the wire, because SigV4 signs the wire: the path and the query still encoded,
header values as bytes in disguise (surrogateescape).  Decoding happens once, in routing.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from rs3gw.errors import InvalidURI
from rs3gw.operations.body import Body

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

Pairs = tuple[tuple[str, str], ...]

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(slots=True)
class Request:
    """A request whose body has not been read, unless it came whole."""

    method: str
    path: str
    """Raw, percent-encoded."""
    pairs: Pairs
    """The query's raw pairs, in order."""
    headers: Mapping[str, str]
    """By lower-case name; what came several times is joined by commas."""
    peer: str | None
    secure: bool
    whole: bytes | None = None
    """The body, where all that there will be of it came in one piece with the head."""

    def parameters(self) -> dict[str, str]:
        """The query, decoded; of what is given twice the first counts.  Raises InvalidURI."""
        found: dict[str, str] = {}
        for name, value in self.pairs:
            found.setdefault(decode(name.replace("+", " ")), decode(value.replace("+", " ")))
        return found


@dataclass(slots=True)
class Answer:
    """An answer: whole, or with a Body to be streamed."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes | Body = b""


def read(scope: Scope) -> Request:
    """The request of an ASGI scope (https://asgi.readthedocs.io/en/latest/specs/www.html)."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("utf-8", "surrogateescape")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    query = scope["query_string"]
    peer = scope.get("client")
    return Request(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        pairs=pairs(query.decode("latin-1")) if query else (),
        headers=headers,
        peer=peer[0] if peer else None,
        secure=scope["scheme"] == "https",
    )


def pairs(query: str) -> Pairs:
    """A query taken apart and not decoded."""
    found = (piece.partition("=") for piece in query.split("&") if piece)
    return tuple((name, value) for name, _, value in found)


def decode(raw: str) -> str:
    """Percent-decode once, as UTF-8.  Raises InvalidURI, also for a percent sign that escapes nothing."""
    if "%" not in raw and raw.isascii():
        return raw
    try:
        if _BROKEN_ESCAPE.search(raw):
            raise InvalidURI(uri=raw.encode("utf-8", "replace").decode())
        return unquote_to_bytes(raw.encode("latin-1")).decode()
    except UnicodeError as fault:
        raise InvalidURI(uri=raw.encode("utf-8", "replace").decode()) from fault

"""
What goes over a connection of HTTP/2: frames, the heads of requests, and how either can be wrong (RFC 9113, RFC 7541).

Nothing here remembers anything.  What we send of header blocks is literal, without a table: it is short, and never
depends on what was sent before.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Any, Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES: Final = 9
"""Of a frame: its length, its kind, its flags, its stream."""

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20

ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 2, 3, 4, 5, 6

NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR = 0, 1, 3, 5, 6
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 7, 8, 9, 11

LARGEST_WINDOW: Final = 2**31 - 1
LARGEST_STREAM: Final = 2**31 - 1
DEFAULT_WINDOW: Final = 65_535
"""What each window is until it is said to be another."""
FRAME_BYTES: Final = 16_384
"""The largest payload that a frame to us has, and one from us: the least that everybody takes."""


frame_head = struct.Struct(">IBI").pack
"""The head of a frame: its length and its kind in four bytes, its flags, its stream."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame, as it goes over the wire."""
    return frame_head(len(payload) << 8 | kind, flags, stream) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A field of a header block, without any table (RFC 7541, section 6.2.2)."""
    return b"\0" + _string(name) + _string(value)


def _string(value: bytes) -> bytes:
    size = len(value)
    if size < 0x7F:
        return bytes((size,)) + value
    head, size = bytearray((0x7F,)), size - 0x7F
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + value


class ConnectionFault(Exception):
    """The connection cannot go on: an error code, and why."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class StreamFault(Exception):
    """A stream cannot go on: an error code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Request:
    """
    The head of a request.

    Those that are alike to the byte are one object for as long as the connection lasts, and ``known`` is for whoever
    answers to keep what follows from a head alone.
    """

    __slots__ = ("content_length", "fields", "known", "method", "path", "size")

    def __init__(self, method: str, path: str, fields: tuple[tuple[str, str], ...], size: int) -> None:
        self.method, self.path, self.fields, self.size = method, path, fields, size
        self.content_length = next((int(value) for name, value in fields if name == "content-length"), None)
        self.known: Any = None


def read_request(fields: Sequence[tuple[bytes, bytes]]) -> Request:
    """A request from its decoded fields.  Raises StreamFault for what is none (RFC 9113, sections 8.2 and 8.3)."""
    pseudo: dict[bytes, bytes] = {}
    found: list[tuple[str, str]] = []
    size = 0
    for name, value in fields:
        size += len(name) + len(value) + 32
        if _NO_VALUE.search(value):
            raise StreamFault(PROTOCOL_ERROR)
        if name.startswith(b":"):
            if found or name in pseudo or name not in (b":method", b":scheme", b":path", b":authority"):
                raise StreamFault(PROTOCOL_ERROR)
            pseudo[name] = value
        elif (
            not _NAME.fullmatch(name)
            or name in _OF_CONNECTIONS
            or (name == b"te" and value != b"trailers")
            or (name == b"content-length" and not _LENGTH.fullmatch(value))
        ):
            raise StreamFault(PROTOCOL_ERROR)
        else:
            found.append((name.decode("latin-1"), value.decode("utf-8", "surrogateescape")))
    if not (pseudo.get(b":method") and pseudo.get(b":scheme") and pseudo.get(b":path")):
        raise StreamFault(PROTOCOL_ERROR)
    path = pseudo[b":path"].decode("utf-8", "surrogateescape")
    return Request(pseudo[b":method"].decode("latin-1"), path, tuple(found), size)


_OF_CONNECTIONS = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))
"""Fields of a connection of HTTP/1.1, which HTTP/2 has no place for."""
_NAME = re.compile(rb"[!-9;-@\[-~]+")
_NO_VALUE = re.compile(rb"[\0\r\n]|\A[ \t]|[ \t]\Z")
_LENGTH = re.compile(rb"[0-9]{1,19}")
"""Of content: more digits are no length, and a number of thousands of them is none to Python."""

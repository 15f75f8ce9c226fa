"""
What loadtests.wire is for REST, for gRPC: calls framed beforehand, sent as bytes, answers counted as bytes.

Nothing that is sent or received depends on what went before it on a connection, which is what lets this be so simple.
The heads of our calls are literals that no table keeps, so the same bytes begin a call on every stream.  The server is
told to keep no table either (SETTINGS_HEADER_TABLE_SIZE of 0; RFC 7541, section 4.2), so the same bytes are always the
same trailers, and those are decoded once.  A connection has one call at a time and opens windows that no answer fills.
What is left is to read the heads of frames, and to skip what they announce.

The messages are made by the published stubs and framed here; no line of the gateway's is used.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final, cast
from urllib.parse import unquote

from google.protobuf.message import Message
from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError

from loadtests import stubs
from loadtests.gateway import ACCESS_KEY, SECRET_KEY
from loadtests.stubs import s3_pb2
from loadtests.wire import Load, until

# RFC 9113, section 6: the frames, their flags and their settings.
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 2, 4, 5
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

FRAME_HEAD: Final = struct.Struct(">BHBBL")
"""A length of three bytes (hence two fields), the frame's kind, its flags and its stream."""

FIRST_WINDOW, FIRST_FRAME = 65_535, 16_384
"""What may be sent before the server has said anything else."""

WINDOW_BYTES = 2**31 - 1
"""The largest that there is, for each call and for all of a connection: an answer of more would stop."""

CREDIT_BYTES = 2**28
"""So much is received before the window of a connection is opened again."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it goes over the wire, but for the number of its stream: for any port, any number of times."""

    path: str
    head: bytes
    messages: bytes
    answer_bytes: int
    """An answer of fewer bytes than this, frames of messages included, is none."""


TOKEN: Final = stubs.bearer(ACCESS_KEY, SECRET_KEY)
"""That of loadtests.gateway."""


def call(path: str, first: Message, *more: Message, answer_bytes: int = 0, token: str = TOKEN) -> Call:
    """A call of a method ("/s3.ObjectService/GetObject") with its messages, by whoever has the token."""
    wires = [message.SerializeToString() for message in (first, *more)]
    framed = [b"\0" + len(wire).to_bytes(4, "big") + wire for wire in wires]
    return Call(path, _head(path, token), b"".join(framed), answer_bytes)


@cache
def _head(path: str, token: str) -> bytes:
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
        "authorization": token,
    }
    # Sensitive is what HPACK calls a literal that nobody may put into a table.
    return Encoder().encode([(name, value, True) for name, value in headers.items()], huffman=False)


# The verbs of stubs.Client -----------------------------------------------------------------------------------


def put(bucket: str, key: str, body: bytes) -> Call:
    return call("/s3.ObjectService/PutObject", *stubs.put_messages(bucket, key, body))


def get(bucket: str, key: str, size: int, *, first: int | None = None) -> Call:
    """Read an object of so many bytes; or so many of its bytes, from the ``first`` on."""
    asked = s3_pb2.GetObjectRequest(bucket=bucket, key=key)
    if first is not None:
        asked.range = f"bytes={first}-{first + size - 1}"
    return call("/s3.ObjectService/GetObject", asked, answer_bytes=size)


def head(bucket: str, key: str) -> Call:
    return call("/s3.ObjectService/HeadObject", s3_pb2.HeadObjectRequest(bucket=bucket, key=key))


def delete(bucket: str, key: str) -> Call:
    return call("/s3.ObjectService/DeleteObject", s3_pb2.DeleteObjectRequest(bucket=bucket, key=key))


def listing(bucket: str, prefix: str) -> Call:
    """A page of a thousand keys."""
    asked = s3_pb2.ListObjectsRequest(bucket=bucket, prefix=prefix, max_keys=1000)
    return call("/s3.ObjectService/ListObjects", asked)


# Frames ------------------------------------------------------------------------------------------------------


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return FRAME_HEAD.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


def _window_update(opened: int) -> bytes:
    return _frame(WINDOW_UPDATE, 0, 0, opened.to_bytes(4, "big"))


def opening(window_bytes: int) -> bytes:
    """What a connection begins with: nothing to remember, nothing unasked, and room for so many bytes."""
    # Larger frames from the server are fewer heads to read: 16,777,215 is the largest (section 6.5.2).
    values = {HEADER_TABLE_SIZE: 0, ENABLE_PUSH: 0, INITIAL_WINDOW_SIZE: window_bytes, MAX_FRAME_SIZE: 2**24 - 1}
    settings = b"".join(struct.pack(">HL", name, value) for name, value in values.items())
    return PREFACE + _frame(SETTINGS, 0, 0, settings) + _window_update(window_bytes - FIRST_WINDOW)


OPENING: Final = opening(WINDOW_BYTES)


@lru_cache(maxsize=1024)
def _fault(trailers: bytes) -> str | None:
    """What a block of trailers says went wrong; None where nothing did."""
    decoder = Decoder()
    decoder.header_table_size = decoder.max_allowed_table_size = 0
    try:
        said = {bytes(name): bytes(value) for name, value in decoder.decode(trailers, raw=True)}
    except HPACKError as fault:
        return f"trailers that are not HPACK without a table: {fault}"
    status, message = said.get(b"grpc-status"), unquote(said.get(b"grpc-message", b"").decode())
    if status == b"0":
        return None
    if status is None:
        return f"no grpc-status in {said}"
    return f"grpc-status {status.decode()}: {message}"


class _Connection(asyncio.Protocol):
    """One connection that takes calls, one after the other."""

    def __init__(self, times: list[float]) -> None:
        self._times = times
        self._calls: Iterator[Call] = iter(())
        self._waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._failed: Exception | None = None
        self._is_told = self._is_heard = False

        self._part = b""
        self._skip = 0
        self._credit = 0
        self._headers = b""
        self._are_trailers = False

        self._stream = -1
        self._call: Call | None = None
        self._unsent = memoryview(b"")
        self._window = self._stream_window = self._first_window = FIRST_WINDOW
        self._frame_bytes = FIRST_FRAME
        self._received = 0
        self._began = 0.0

    @property
    def settled(self) -> asyncio.Future[None]:
        """Done when each side has said how it wants to be spoken to, and ours has been agreed to."""
        return self._waiting

    def begin(self, calls: Iterator[Call]) -> asyncio.Future[None]:
        """Ask until there are no more calls; what is returned is done then."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._calls = calls
        if self._failed is None:
            self._next()
        else:
            self._waiting.set_exception(self._failed)
        return self._waiting

    def close(self) -> None:
        self._transport.close()

    def _fail(self, fault: Exception) -> None:
        self._failed = fault
        if not self._waiting.done():
            self._waiting.set_exception(fault)
        self._transport.close()

    # What is sent

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(OPENING)

    def _next(self) -> None:
        call = self._call = next(self._calls, None)
        if call is None:
            self._waiting.set_result(None)
            return
        self._stream += 2
        self._stream_window = self._first_window
        self._received = 0
        self._unsent = memoryview(call.messages)
        self._began = time.perf_counter()
        self._send(_frame(HEADERS, END_HEADERS, self._stream, call.head))

    def _send(self, before: bytes = b"") -> None:
        """Send as much of the messages as the server has room for."""
        pieces: list[bytes | memoryview] = [before] if before else []
        while self._unsent:
            size = min(len(self._unsent), self._frame_bytes, self._stream_window, self._window)
            if size <= 0:
                break
            flags = END_STREAM if size == len(self._unsent) else 0
            pieces += (FRAME_HEAD.pack(size >> 16, size & 0xFFFF, DATA, flags, self._stream), self._unsent[:size])
            self._unsent = self._unsent[size:]
            self._stream_window -= size
            self._window -= size
        self._transport.writelines(pieces)

    # What is received

    def data_received(self, data: bytes) -> None:
        if self._part:
            data, self._part = self._part + data, b""
        at, end = self._skip, len(data)
        while at + FRAME_HEAD.size <= end:
            high, low, kind, flags, stream = FRAME_HEAD.unpack_from(data, at)
            size = high << 16 | low
            begin = at + FRAME_HEAD.size
            if kind == DATA:
                # It is counted when it is announced: the trailers come when all of it has come.
                self._received += size
                self._credit += size
                if flags & END_STREAM:
                    self._fail(RuntimeError(f"{self._path}: it ended without trailers"))
            elif begin + size > end:
                break
            else:
                self._take(kind, flags, stream, data[begin : begin + size])
            if self._failed is not None:
                return
            at = begin + size
        self._skip = max(at - end, 0)
        self._part = data[at:]
        if self._credit >= CREDIT_BYTES:
            self._transport.write(_window_update(self._credit))
            self._credit = 0

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == HEADERS:
            self._are_trailers = bool(flags & END_STREAM)
            self._headers = _unpadded(flags, payload)
        elif kind == CONTINUATION:
            self._headers += payload
        elif kind == SETTINGS:
            self._agree(flags, payload)
        elif kind == WINDOW_UPDATE:
            opened = int.from_bytes(payload, "big")
            if stream == 0:
                self._window += opened
            elif stream == self._stream:
                self._stream_window += opened
            if self._unsent:
                self._send()
        elif kind == PING and not flags & ACK:
            self._transport.write(_frame(PING, ACK, 0, payload))
        elif kind == RST_STREAM and stream == self._stream:
            # One for a call that was answered is allowed, and says nothing (section 8.1).
            code = int.from_bytes(payload, "big")
            self._fail(RuntimeError(f"{self._path}: the server reset it (RST_STREAM, error {code})"))
        elif kind == GOAWAY:
            code, said = int.from_bytes(payload[4:8], "big"), payload[8:].decode(errors="replace")
            self._fail(RuntimeError(f"the server goes away (GOAWAY, error {code}): {said}"))
        if kind in (HEADERS, CONTINUATION) and flags & END_HEADERS and self._are_trailers:
            self._end()

    def _agree(self, flags: int, payload: bytes) -> None:
        if flags & ACK:
            self._is_heard = True
        else:
            for name, value in struct.iter_unpack(">HL", payload):
                if name == INITIAL_WINDOW_SIZE:
                    self._stream_window += value - self._first_window
                    self._first_window = value
                elif name == MAX_FRAME_SIZE:
                    self._frame_bytes = value
            self._is_told = True
            self._transport.write(_frame(SETTINGS, ACK, 0))
            if self._unsent:
                self._send()
        if self._is_told and self._is_heard and not self._waiting.done() and self._stream < 0:
            self._waiting.set_result(None)

    def _end(self) -> None:
        assert self._call is not None
        fault = _fault(self._headers)
        if fault is None and self._unsent:
            fault = f"it was answered with {len(self._unsent):,} bytes still to send"
        if fault is None and self._received < self._call.answer_bytes:
            fault = f"{self._received:,} bytes came of {self._call.answer_bytes:,}"
        if fault is not None:
            self._fail(RuntimeError(f"{self._path}: {fault}"))
            return
        self._times.append(time.perf_counter() - self._began)
        self._next()

    @property
    def _path(self) -> str:
        return "no call" if self._call is None else self._call.path

    def connection_lost(self, exc: Exception | None) -> None:
        if self._failed is None:
            self._fail(exc or ConnectionError("the server closed the connection"))


def _unpadded(flags: int, payload: bytes) -> bytes:
    """The block in a frame of HEADERS (section 6.2)."""
    begin, end = 0, len(payload)
    if flags & PADDED:
        begin, end = 1, end - payload[0]
    return payload[begin + 5 * bool(flags & PRIORITY) : end]


async def send(port: int, calls: Iterable[Call], *, connections: int, seconds: float | None = None) -> Load:
    """
    Send all of them over so many connections, each connection waiting for every answer; begin none after ``seconds``.

    The clock starts when all connections stand and have exchanged their settings.

    Raises RuntimeError with what was said, for a call that ends otherwise than with grpc-status 0 and for a server that
    goes away; ConnectionError for one that is gone.
    """
    loop = asyncio.get_running_loop()
    times: list[float] = []
    opened: list[_Connection] = []
    try:
        for _ in range(connections):
            _, connection = await loop.create_connection(lambda: _Connection(times), "127.0.0.1", port)
            opened.append(connection)
        await asyncio.gather(*(connection.settled for connection in opened))
        began = time.perf_counter()
        shared = iter(calls if seconds is None else until(began + seconds, calls))
        await asyncio.gather(*(connection.begin(shared) for connection in opened))
        return Load(seconds=time.perf_counter() - began, times=times)
    finally:
        for connection in opened:
            connection.close()

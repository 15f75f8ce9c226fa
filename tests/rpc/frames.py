"""
A client that says what bytes it likes, to a Connection without a socket.

What is written to it it reads as RFC 9113 has it, and a frame that no server may send fails the test that it is in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import hpack

from rs3gw.rpc.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    literal,
)
from rs3gw.rpc.http2 import Connection
from rs3gw.rpc.server import Server

TURNS = 8
"""How often the loop goes round after something is sent: an answer takes two or three."""

FIELDS = {
    ":method": "POST", ":scheme": "http", ":path": "/", ":authority": "here", "te": "trailers",
    "content-type": "application/grpc",
}  # fmt: skip


class Wire(asyncio.Transport):
    """A transport whose other end takes what is written at once, or holds it until it is told to take it."""

    def __init__(self, *, holds: bool = False) -> None:
        super().__init__()
        self.written, self.waiting = bytearray(), bytearray()
        self.is_closed = self.is_aborted = self.is_paused = self.is_deaf = False
        self.holds, self.high = holds, 2**62
        self.protocol: Connection

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self.high = high

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_closed
        (self.waiting if self.holds else self.written).extend(data)
        if len(self.waiting) > self.high and not self.is_paused:
            self.is_paused = True
            self.protocol.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def let_through(self, size: int) -> None:
        """The other end takes so many bytes."""
        self.written += self.waiting[:size]
        del self.waiting[:size]
        if self.is_paused and len(self.waiting) <= self.high // 4:
            self.is_paused = False
            self.protocol.resume_writing()

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = self.is_aborted = True

    def pause_reading(self) -> None:
        self.is_deaf = True

    def resume_reading(self) -> None:
        self.is_deaf = False

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that came back."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frames_of(wire: bytes | bytearray) -> Iterator[Frame]:
    """The frames of an answer, which ends with the last of them."""
    at = 0
    while at < len(wire):
        size = int.from_bytes(wire[at : at + 3], "big")
        assert size <= FRAME_BYTES
        assert at + 9 + size <= len(wire)
        number = int.from_bytes(wire[at + 5 : at + 9], "big")
        yield Frame(wire[at + 3], wire[at + 4], number, bytes(wire[at + 9 : at + 9 + size]))
        at += 9 + size


@dataclass(slots=True)
class Answer:
    """What came back on a stream."""

    heads: list[dict[str, str]]
    data: bytes = b""
    is_whole: bool = False
    reset: int | None = None

    @property
    def status(self) -> int | None:
        """grpc-status, once it is there."""
        said = self.heads[-1].get("grpc-status") if self.heads else None
        return None if said is None else int(said)

    @property
    def message(self) -> str:
        return self.heads[-1].get("grpc-message", "")

    @property
    def messages(self) -> list[bytes]:
        found, at = [], 0
        while at < len(self.data):
            size = int.from_bytes(self.data[at + 1 : at + 5], "big")
            found.append(self.data[at + 5 : at + 5 + size])
            at += 5 + size
        return found


def message(data: bytes, flags: int = 0) -> bytes:
    """A message of gRPC."""
    return bytes((flags,)) + len(data).to_bytes(4, "big") + data


def headers(number: int, block: bytes, flags: int = 0) -> bytes:
    """A header block, in as many frames as it needs."""
    first, *others = [block[at : at + FRAME_BYTES] for at in range(0, max(1, len(block)), FRAME_BYTES)]
    kinds = [(HEADERS, flags, first), *((CONTINUATION, 0, piece) for piece in others)]
    kind, said, last = kinds.pop()
    return b"".join(
        frame(kind, said, number, piece) for kind, said, piece in [*kinds, (kind, said | END_HEADERS, last)]
    )


def setting(name: int, value: int) -> bytes:
    return name.to_bytes(2, "big") + value.to_bytes(4, "big")


class Client:
    """The other end of a connection."""

    def __init__(self, server: Server, *, settings: bytes = b"", is_prefaced: bool = True, holds: bool = False) -> None:
        self.server = server
        self.wire = Wire(holds=holds)
        self.connection = self.wire.protocol = Connection(server)
        self.encoder = hpack.Encoder()
        self._last = -1
        self.connection.connection_made(self.wire)
        if is_prefaced:
            self.send(PREFACE, frame(SETTINGS, 0, 0, settings))

    def send(self, *wires: bytes) -> None:
        """Send them in one piece, and let what they ask for begin."""
        self.arrive(*wires)
        while self.server.cohorts.coming:
            self.server.cohorts.run()

    def arrive(self, *wires: bytes) -> None:
        """Send them in one piece; what they ask for begins in the next turn of the loop."""
        self.connection.data_received(b"".join(wires))

    def block(self, path: str, fields: Mapping[str, str] | None = None) -> bytes:
        """The header block of a request, in literals."""
        said = FIELDS | {":path": path} | dict(fields or {})
        return b"".join(literal(name.encode(), value.encode()) for name, value in said.items())

    def next(self) -> int:
        """The number of a new stream."""
        self._last += 2
        return self._last

    def open(self, path: str, fields: Mapping[str, str] | None = None, flags: int = 0) -> int:
        """Begin a call, and say which stream it is."""
        number = self.next()
        self.send(headers(number, self.block(path, fields), flags))
        return number

    def call(self, path: str, *messages: bytes, fields: Mapping[str, str] | None = None) -> int:
        """Begin a call that ends with these messages."""
        number = self.next()
        self.send(
            headers(number, self.block(path, fields)),
            *self.content(number, b"".join(map(message, messages))),
        )
        return number

    @staticmethod
    def content(number: int, data: bytes, *, ends: bool = True) -> Iterator[bytes]:
        """DATA, in frames."""
        for at in range(0, len(data), FRAME_BYTES):
            is_last = at + FRAME_BYTES >= len(data)
            yield frame(DATA, END_STREAM if is_last and ends else 0, number, data[at : at + FRAME_BYTES])
        if not data:
            yield frame(DATA, END_STREAM if ends else 0, number)

    def look(self, seconds: float) -> None:
        """Let the server look who is late, as if so many seconds had gone by."""
        self.connection.look(self.connection.loop.time() + seconds)

    async def turn(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)

    def lose(self) -> None:
        """Be gone."""
        self.wire.is_closed = True
        self.connection.connection_lost(None)

    # What came back

    @property
    def frames(self) -> list[Frame]:
        return list(frames_of(self.wire.written))

    def of(self, kind: int) -> list[Frame]:
        return [each for each in self.frames if each.kind == kind]

    @property
    def goaway(self) -> tuple[int, str] | None:
        """The code and the words of the last GOAWAY; None where there is none."""
        found = self.of(GOAWAY)
        return (int.from_bytes(found[-1].payload[4:8], "big"), found[-1].payload[8:].decode()) if found else None

    @property
    def answers(self) -> dict[int, Answer]:
        """What came back on each stream, in the order that RFC 9113 has, or the test fails."""
        decoder, answers = hpack.Decoder(), dict[int, Answer]()
        for each in self.frames:
            if not each.stream or each.kind == WINDOW_UPDATE:
                continue
            answer = answers.setdefault(each.stream, Answer([]))
            if each.kind == RST_STREAM:
                answer.reset = int.from_bytes(each.payload, "big")
                continue
            assert answer.reset is None
            assert not answer.is_whole
            if each.kind == HEADERS:
                answer.heads.append(dict(decoder.decode(each.payload)))
            else:
                assert each.kind == DATA
                assert not each.flags & PADDED
                answer.data += each.payload
            answer.is_whole = bool(each.flags & END_STREAM)
        return answers

    def pongs(self) -> list[bytes]:
        return [each.payload for each in self.of(PING) if each.flags & ACK]

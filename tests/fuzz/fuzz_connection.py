"""
A connection of HTTP/1.1: eight bytes that choose where packets end, and what a client sends.

The requests that are heard do not depend on the packets: of two ways to cut the same bytes one hears what the other
does, or stops before.  What a request said when its answer began it still says when its body has ended.  What goes
out are answers of HTTP, whatever came in, and nothing is raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httptools

from rs3gw.rest.listener import Bounds, Connection, Listener
from rs3gw.rest.messages import Receive, Request, Send
from tests.fuzz.parts import cut, run, unlogged

MOST_BYTES = 1024**2

TURNS = 8
"""How often the loop goes round after a packet: an answer takes two or three."""

Heard = tuple[str, str, tuple[tuple[str, str], ...], tuple[tuple[str, str], ...], bytes]


def target(data: bytes) -> None:
    places, sent = data[:8], data[8:]
    with unlogged():
        whole = run(heard([sent]))
        pieces = run(heard(cut(sent, [place * len(sent) // 255 for place in places])))
    common = min(len(whole), len(pieces))
    assert whole[:common] == pieces[:common], (whole, pieces)


class Recorder:
    """A responder that hears a request to its end, and answers with nothing."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []

    def request_id(self) -> str:
        return "0" * 16

    def now(self) -> float:
        return 0.0

    async def respond(self, request: Request, receive: Receive, send: Send) -> None:
        said = request.method, request.path, request.pairs, tuple(request.headers.items())
        body = b""
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                return
            body += event["body"]
            if not event["more_body"]:
                break
        assert said == (request.method, request.path, request.pairs, tuple(request.headers.items())), request
        announced = request.headers.get("content-length")
        if announced is None or len(body) == int(announced):
            self.heard.append((*said, body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


class Wire(asyncio.Transport):
    """A transport whose other end takes everything at once."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_closed
        self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


async def heard(packets: Sequence[bytes]) -> list[Heard]:
    loop, faults = asyncio.get_running_loop(), list[dict[str, Any]]()
    loop.set_exception_handler(lambda loop, context: faults.append(context))
    recorder, wire = Recorder(), Wire()
    listener = Listener(recorder, Bounds())
    connection = Connection(listener)
    connection.connection_made(wire)
    for packet in packets:
        if not wire.is_closed and packet:
            connection.data_received(packet)
        await turn()
    if not wire.is_closed:
        connection.eof_received()
        await turn()
    connection.connection_lost(None)
    await turn()
    assert not faults, faults
    assert not listener.waiting
    check(wire.written, len(recorder.heard))
    return recorder.heard


async def turn() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Answers:
    """What a client's parser finds in what went out."""

    def __init__(self) -> None:
        self.number = 0

    def on_message_complete(self) -> None:
        self.number += 1


def check(written: bytes, least: int) -> None:
    answers = Answers()
    if written:
        httptools.HttpResponseParser(answers).feed_data(written)
    assert answers.number >= least

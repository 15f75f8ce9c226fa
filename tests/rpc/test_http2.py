"""
Clients that misbehave: each is told what is wrong, in the code that RFC 9113 has for it, and nobody beside it is.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import random
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import hpack
import pytest
import s3_pb2
from grpc_health.v1 import health_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rs3gw.errors import (
    DEADLINE_EXCEEDED,
    INVALID_ARGUMENT,
    OK,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    UNIMPLEMENTED,
)
from rs3gw.rpc import calls, http2
from rs3gw.rpc.frames import (
    ACK,
    CANCEL,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_BYTES,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LARGEST_STREAM,
    MAX_FRAME_SIZE,
    NO_ERROR,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    Request,
    frame,
    literal,
)
from rs3gw.rpc.http2 import Bounds, Connection
from rs3gw.rpc.server import Server
from rs3gw.rpc.servicers import ANONYMOUS_ARRIVALS
from rs3gw.stepping import MOST, Cohorts, Pause, abreast, follow, go_on

from .conftest import BEARER, gateway, listening
from .frames import Client, headers, message, setting

CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
CREATE, HEAD, LIST = "/s3.BucketService/CreateBucket", "/s3.BucketService/HeadBucket", "/s3.BucketService/ListBuckets"
PUT, GET = "/s3.ObjectService/PutObject", "/s3.ObjectService/GetObject"
SERVING = b"\x08\x01"
OWNED = dict(BEARER)
BUCKET = s3_pb2.HeadBucketRequest(bucket="bucket").SerializeToString()
MAX_MESSAGE_BYTES = 256 * 1024


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """One that never listens; what connections it has are given to it here."""
    server = Server(gateway(), max_message_bytes=MAX_MESSAGE_BYTES)
    yield server
    for connection in list(server.connections):
        connection.connection_lost(None)
    await settled(server)
    assert server.calls == 0


async def settled(server: Server) -> None:
    async with asyncio.timeout(10):
        while server.waiting:  # noqa: ASYNC110 - it ends with the last of them
            await asyncio.sleep(0)


async def with_object(server: Server, data: bytes) -> None:
    """A bucket with an object, ``key``."""
    client = Client(server)
    put = s3_pb2.PutObjectRequest(bucket="bucket", key="key").SerializeToString()
    pieces = [data[at : at + 65_536] for at in range(0, len(data), 65_536)]
    created = client.call(CREATE, s3_pb2.CreateBucketRequest(bucket="bucket").SerializeToString(), fields=OWNED)
    stored = client.open(PUT, OWNED)
    for wire in [put, *(s3_pb2.PutObjectRequest(data=piece).SerializeToString() for piece in pieces)]:
        client.send(*client.content(stored, message(wire), ends=False))
        await client.turn()
    client.send(frame(DATA, END_STREAM, stored))
    await settled(server)
    assert client.answers[created].status == client.answers[stored].status == OK.value
    client.lose()


def asks(client: Client) -> int:
    """A download of that object."""
    return client.call(GET, s3_pb2.GetObjectRequest(bucket="bucket", key="key").SerializeToString(), fields=OWNED)


@asynccontextmanager
async def undisturbed(server: Server) -> AsyncIterator[None]:
    """A connection beside that has a call under way, and gets its answer."""
    beside = Client(server)
    watch, upload = beside.call(WATCH, b""), beside.open(PUT, OWNED)
    first = s3_pb2.PutObjectRequest(bucket="beside", key="key").SerializeToString()
    yield
    check = beside.call(CHECK, b"")
    beside.send(*beside.content(upload, message(first)))
    await settled_but(server, 1)
    assert beside.goaway is None
    assert beside.answers[watch].messages == beside.answers[check].messages == [SERVING]
    assert beside.answers[check].status == OK.value
    assert beside.answers[upload].status is not None
    beside.lose()


async def settled_but(server: Server, number: int) -> None:
    async with asyncio.timeout(10):
        while len(server.waiting) > number:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)


def repeated(client: Client, wire: Callable[[int], bytes], times: int) -> int:
    """Send it so often, or until the connection ends, and say how often it was taken."""
    for number in range(times):
        client.send(wire(number))
        if client.connection.is_closing:
            return number
    return times


# What nobody asks for ----------------------------------------------------------------------------------------


def dependent(number: int, on: int = 0) -> bytes:
    return on.to_bytes(4, "big") + b"\x10"


NUISANCES: dict[str, Callable[[Client, int], bytes]] = {
    "settings": lambda client, number: frame(SETTINGS, 0, 0),
    "acknowledged settings": lambda client, number: frame(SETTINGS, ACK, 0),
    "answers to no ping": lambda client, number: frame(PING, ACK, 0, bytes(8)),
    "priorities": lambda client, number: frame(PRIORITY, 0, 2 * number + 1, dependent(number)),
    "frames of no kind": lambda client, number: frame(0xBE, 0, 0, b"x"),
    "goodbyes": lambda client, number: frame(GOAWAY, 0, 0, bytes(8)),
    "empty content": lambda client, number: frame(DATA, 0, 1),
    "padding": lambda client, number: frame(DATA, PADDED, 1, b"\x07" + bytes(7)),
    "resets": lambda client, number: (
        frame(HEADERS, END_HEADERS, 2 * number + 3, client.block(WATCH))
        + frame(RST_STREAM, 0, 2 * number + 3, CANCEL.to_bytes(4, "big"))
    ),
    "resets by us, for a window that opens by nothing": lambda client, number: (
        frame(HEADERS, END_HEADERS, 2 * number + 3, client.block(WATCH))
        + frame(WINDOW_UPDATE, 0, 2 * number + 3, bytes(4))
    ),
    "resets by us, for a window that is too large": lambda client, number: (
        frame(HEADERS, END_HEADERS, 2 * number + 3, client.block(WATCH))
        + frame(WINDOW_UPDATE, 0, 2 * number + 3, b"\x7f\xff\xff\xff")
    ),
    "resets by us, for content after the end": lambda client, number: (
        frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 3, client.block(WATCH))
        + frame(DATA, 0, 2 * number + 3, b"x")
    ),
    "resets by us, for trailers that do not end": lambda client, number: (
        frame(HEADERS, END_HEADERS, 2 * number + 3, client.block(WATCH))
        + frame(HEADERS, END_HEADERS, 2 * number + 3, literal(b"a", b"b"))
    ),
    "resets by us, for what depends on itself": lambda client, number: (
        frame(HEADERS, END_HEADERS, 2 * number + 3, client.block(WATCH))
        + frame(PRIORITY, 0, 2 * number + 3, dependent(number, 2 * number + 3))
    ),
    "resets by us, for a length that is not kept": lambda client, number: frame(
        HEADERS, END_HEADERS | END_STREAM, 2 * number + 3, client.block(WATCH, {"content-length": "1"})
    ),
    "no requests": lambda client, number: frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 3, literal(b"A", b"b")),
}


@pytest.mark.parametrize("what", NUISANCES)
async def test_too_much_of_what_nobody_asks_for_ends_a_connection(server, what):
    """CVE-2023-44487, CVE-2025-8671, CVE-2019-9512, 9513, 9515, 9518 and their like."""
    async with undisturbed(server):
        client = Client(server)
        client.open(WATCH)
        sent = repeated(client, lambda number: NUISANCES[what](client, number), 2 * http2.NUISANCES)
        await client.turn()

        assert (ENHANCE_YOUR_CALM, "Too many frames ask for nothing.") == client.goaway
        assert sent == pytest.approx(http2.NUISANCES, abs=1)
        assert len(client.connection._cut) <= server.bounds.streams
        assert not client.connection.streams


@pytest.mark.parametrize("what", NUISANCES)
async def test_some_of_it_each_second_is_borne(server, what):
    client = Client(server)
    client.open(WATCH)
    for number in range(4 * http2.NUISANCES):
        client.send(NUISANCES[what](client, number))
        if number % (http2.NUISANCES // 3) == 0:
            client.look(0)

    assert client.goaway is None
    assert len(client.connection._cut) <= server.bounds.streams


async def test_pings_are_answered_until_they_are_too_many(server):
    async with undisturbed(server):
        client = Client(server)
        taken = repeated(client, lambda number: frame(PING, 0, 0, number.to_bytes(8, "big")), 10)

        # The first is none too many; it is what the others come too soon after.
        assert taken == http2.IDLE_PINGS + 1
        assert [number.to_bytes(8, "big") for number in range(taken)] == client.pongs()
        assert client.goaway == (ENHANCE_YOUR_CALM, "too_many_pings")


async def test_who_is_sent_content_may_ping_as_often(server):
    """As clients do that measure how much is on its way."""
    client, many = Client(server), 2 * http2.NUISANCES
    for number in range(many):
        client.call(CHECK, b"")
        client.send(frame(PING, 0, 0, number.to_bytes(8, "big")))

    assert {answer.status for answer in client.answers.values()} == {OK.value}
    assert len(client.pongs()) == many
    assert client.goaway is None


async def test_a_window_that_opens_a_byte_at_a_time_wakes_one_and_not_all(server, monkeypatch):
    """Each byte woke every call that waited: a thousand of them kept the loop for milliseconds (CVE-2019-9511)."""
    await with_object(server, bytes(100_000))
    client = Client(server)
    for _ in range(300):
        asks(client)
    await client.turn()
    assert len(client.connection.waiting) == 300
    woken = []
    woke = http2.Stream.there_is_room
    monkeypatch.setattr(http2.Stream, "there_is_room", lambda stream: (woken.append(stream), woke(stream)))

    for _ in range(10):
        client.send(frame(WINDOW_UPDATE, 0, 0, (1).to_bytes(4, "big")))
        await client.turn()

    assert len(woken) == 10
    monkeypatch.undo()


async def test_a_frame_of_windows_changes_them_once(server):
    """There is room in it for 2730, and each was done for each of a thousand streams."""
    client = Client(server)
    for _ in range(1000):
        client.open(WATCH)
    began = time.process_time()
    for _ in range(10):
        client.send(frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW_SIZE, 0) + setting(INITIAL_WINDOW_SIZE, 9) * 2700))

    assert time.process_time() - began < 0.5
    assert {stream.sendable for stream in client.connection.streams.values()} == {9}


# Header blocks -----------------------------------------------------------------------------------------------


async def test_a_block_of_too_many_bytes_ends_a_connection(server):
    """CVE-2024-27316: before its end it is not even counted as a request."""
    async with undisturbed(server):
        client = Client(server)
        client.send(frame(HEADERS, 0, 1, bytes(FRAME_BYTES)), frame(CONTINUATION, 0, 1, bytes(FRAME_BYTES)))
        assert client.goaway is None
        client.send(frame(CONTINUATION, 0, 1, b"x"))

        assert client.goaway == (ENHANCE_YOUR_CALM, "A header block has at most 32768 bytes.")


async def test_a_block_of_too_many_frames_ends_a_connection(server):
    client = Client(server)
    client.send(frame(HEADERS, 0, 1), *[frame(CONTINUATION, 0, 1)] * (http2.BLOCK_FRAMES - 1))
    assert client.goaway is None
    client.send(frame(CONTINUATION, 0, 1))

    assert client.goaway == (ENHANCE_YOUR_CALM, "A header block has at most 32768 bytes.")


async def test_a_block_in_many_frames_is_a_request(server):
    client = Client(server)
    block = client.block(CHECK, {"padding": "x" * 15_000})
    pieces = [block[at : at + 2000] for at in range(0, len(block), 2000)]
    client.send(frame(HEADERS, 0, 1, pieces[0]), *(frame(CONTINUATION, 0, 1, piece) for piece in pieces[1:-1]))
    client.send(frame(CONTINUATION, END_HEADERS, 1, pieces[-1]), *client.content(1, message(b"")))

    assert client.answers[1].messages == [SERVING]


async def test_a_block_that_says_more_than_it_is_ends_a_connection(server):
    """A field of 4000 bytes in the table, and one byte for each time that it is said: CVE-2016-6581."""
    client = Client(server)
    large = b"\x40\x01a\x7f" + bytes((4000 - 0x7F & 0x7F | 0x80, 4000 - 0x7F >> 7)) + b"x" * 4000
    client.send(frame(HEADERS, END_HEADERS, 1, client.block(WATCH) + large + b"\xbe" * 7))
    assert client.goaway is None
    client.send(frame(HEADERS, END_HEADERS, 3, client.block(WATCH) + b"\xbe" * 9))

    assert client.goaway == (ENHANCE_YOUR_CALM, "Headers come to at most 32768 bytes.")


async def test_what_is_remembered_of_requests_is_little(server):
    client = Client(server)
    large = b"\x40\x01a\x7f" + bytes((3900 - 0x7F & 0x7F | 0x80, 3900 - 0x7F >> 7)) + b"x" * 3900
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, client.next(), client.block(CHECK) + large))
    for number in range(200):
        number = 2 * number + 3
        client.send(
            frame(HEADERS, END_HEADERS | END_STREAM, number, client.block(CHECK, {"n": str(number)})),
            frame(
                HEADERS, END_HEADERS | END_STREAM, number + 1000, client.block(CHECK, {"m": str(number)}) + b"\xbe" * 3
            ),
        )
        assert len(client.connection._known) <= http2.KNOWN_BLOCKS
        assert all(request.size <= http2.KNOWN_REQUEST_BYTES for request in client.connection._known.values())

    assert client.connection._known


async def test_metadata_has_a_bound(server):
    client = Client(server)
    large = {f"name-{number}": "x" * 3000 for number in range(6)}
    refused, served = client.call(CHECK, b"", fields=large), client.call(CHECK, b"", fields={"name": "x" * 15_000})

    assert client.answers[refused].status == RESOURCE_EXHAUSTED.value
    assert client.answers[refused].message == "The metadata of a call comes to at most 16384 bytes."
    assert client.answers[served].status == OK.value


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (b"\x80", "A header block cannot be read"),
        (b"\xff\xff\xff\xff\xff\xff\xff", "A header block cannot be read"),
        (b"\x00\x7f", "A header block cannot be read"),
        (b"\x3f\xe2\x1f", "A header block cannot be read"),
        (b"\x82\x20", "A header block cannot be read"),
        (b"\x00\x81\x00\x00", "A header block cannot be read"),
    ],
    ids=[
        "the entry 0",
        "an endless number",
        "a name without an end",
        "a table too large",
        "a table that changes late",
        "bad Huffman",
    ],
)
async def test_a_block_that_cannot_be_read_ends_a_connection(server, block, words):
    """Whoever loses count of the table reads the next one wrong."""
    client = Client(server)
    client.send(frame(HEADERS, END_HEADERS, 1, block))

    code, said = client.goaway
    assert code == COMPRESSION_ERROR
    assert said.startswith(words)


NO_REQUESTS = {
    "without a path": {":path": ""},
    "without a method": {":method": ""},
    "without a scheme": {":scheme": ""},
    "with an upper-case name": {"Name": "x"},
    "with a name with a space": {"a b": "x"},
    "with a name with a colon": {"a:b": "x"},
    "with a name of nothing": {"": "x"},
    "with a name in Latin": {"é": "x"},
    "with a line feed": {"name": "a\nb"},
    "with a carriage return": {"name": "a\rb"},
    "with a zero": {"name": "a\0b"},
    "with a space before": {"name": " b"},
    "with a tab behind": {"name": "b\t"},
    "with a connection": {"connection": "close"},
    "with an upgrade": {"upgrade": "h2c"},
    "with an encoding of transfer": {"transfer-encoding": "chunked"},
    "with te for more": {"te": "trailers, deflate"},
    "with a length in words": {"content-length": "one"},
    "with a negative length": {"content-length": "-1"},
    "with a length of thousands of digits": {"content-length": "1" * 5000},
    "with a pseudo-field of answers": {":status": "200"},
    "with a pseudo-field of nobody's": {":color": "red"},
}


@pytest.mark.parametrize("what", NO_REQUESTS)
async def test_a_malformed_request_is_reset_alone(server, what):
    """RFC 9113, section 8.1.1: of the stream, and of nothing else."""
    client = Client(server)
    block = client.block(CHECK, {name: value for name, value in NO_REQUESTS[what].items() if name.startswith(":")})
    block += b"".join(
        literal(name.encode(), value.encode()) for name, value in NO_REQUESTS[what].items() if not name.startswith(":")
    )
    client.send(frame(HEADERS, END_HEADERS, client.next(), block), *client.content(1, message(b"")))
    after = client.call(CHECK, b"")

    assert client.answers[1].reset == PROTOCOL_ERROR
    assert client.answers[after].status == OK.value
    assert client.goaway is None


@pytest.mark.parametrize("said", [b"/\xff", b"/\xed\xa0\x80", b"/%s" % (b"\xf0\x9f\x90\x8d" * 3000)])
async def test_a_path_of_any_bytes_is_answered(server, said):
    """What is no character cannot be told back, and what is long does not fit in a frame."""
    client = Client(server)
    block = b"".join(
        literal(name, value)
        for name, value in ((b":method", b"POST"), (b":scheme", b"http"), (b":path", said),
                            (b"content-type", b"application/grpc"))
    )  # fmt: skip
    client.send(headers(client.next(), block, END_STREAM))
    after = client.call(CHECK, b"")

    assert client.answers[1].status == UNIMPLEMENTED.value
    assert len(client.answers[1].message) < 4096
    assert client.answers[after].status == OK.value


@pytest.mark.parametrize(
    "name", ["authorization", "user-agent", "grpc-timeout", "grpc-encoding", "traceparent", "x-bin"]
)
async def test_metadata_of_any_bytes_is_answered(server, name):
    client = Client(server)
    for value in (b"Bearer \xff", b"\xff", b"\xed\xa0\x80", b"9" * 5000 + b"S", "٣S".encode(), b"", b"=,==,a"):
        block = client.block(HEAD) + literal(name.encode(), value)
        number = client.next()
        client.send(frame(HEADERS, END_HEADERS, number, block), *client.content(number, message(BUCKET)))
        await client.turn()
        assert client.answers[number].status not in (None, OK.value, 2, 13)


async def test_words_of_a_client_are_not_told_back_at_any_length(server):
    """A header block that is longer than a frame may be ends the connection of whoever gets it."""
    client = Client(server)
    asked = health_pb2.HealthCheckRequest(service="\u2603" * 13_000)
    call = client.call(CHECK, asked.SerializeToString())
    await client.turn()

    assert client.answers[call].status == 5
    assert len(client.answers[call].message) < 4096


async def test_what_a_client_gets_wrong_of_health_is_not_our_fault(server, caplog):
    client = Client(server)
    nothing, broken = client.call(CHECK), client.call(CHECK, b"\xff")

    assert [client.answers[call].status for call in (nothing, broken)] == [INVALID_ARGUMENT.value] * 2
    assert not caplog.records


# The heads that are remembered -------------------------------------------------------------------------------


@st.composite
def conversations(draw: st.DrawFn) -> list[tuple[int | None, list[tuple[str, str, int]]]]:
    """Requests as a client encodes them: some to a table of another size, some fields indexed and some not."""
    names = st.sampled_from(["authorization", "name", "other", "x-amz-date"])
    values = st.one_of(st.sampled_from(["", "a", "b"]), st.integers(1, 300).map(lambda size: "v" * size))
    field = st.tuples(names, values, st.integers(0, 2))
    one = st.tuples(st.one_of(st.none(), st.sampled_from([0, 40, 80, 200, 1000, 4096])), st.lists(field, max_size=5))
    asked = draw(st.lists(one, min_size=1, max_size=6))
    return draw(st.lists(st.sampled_from(asked), min_size=1, max_size=40))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(conversations())
def test_a_head_that_is_remembered_says_what_a_fresh_reading_says(said):
    """The same bytes mean the same only for as long as the table is the same."""
    heard: list[tuple[tuple[str, str], ...]] = []

    class Hearing:
        bounds, is_stopping = Bounds(streams=2**20), False

        def __init__(self) -> None:
            self.cohorts = Cohorts()
            self.connections: set[Connection] = set()

        def stream(self, connection: Connection, number: int, request: Request) -> Any:
            heard.append(request.fields)
            return Unheard(connection, number, request)

    async def converse() -> list[tuple[tuple[str, str], ...]]:
        client, fresh = Client(Hearing()), hpack.Decoder(max_header_list_size=http2.BLOCK_BYTES)  # type: ignore[arg-type]
        expected = []
        for size, fields in said:
            if size is not None:
                client.encoder.header_table_size = size
            block = bytearray()
            for name, value in {":method": "POST", ":scheme": "http", ":path": "/"}.items():
                block += client.encoder.encode([(name, value)])
            for name, value, indexing in fields:
                if indexing == 2:
                    block += literal(name.encode(), value.encode())
                else:
                    block += client.encoder.encode([(name, value, indexing == 1)])
            client.send(frame(HEADERS, END_HEADERS | END_STREAM, client.next(), bytes(block)))
            assert client.goaway is None
            read = fresh.decode(bytes(block), raw=True)
            expected.append(tuple((n.decode(), v.decode()) for n, v in read if not n.startswith(b":")))
        return expected

    assert asyncio.run(converse()) == heard


class Unheard(http2.Stream):
    """A request that is not answered."""

    __slots__ = ()

    def started(self) -> None: ...

    def received(self, data: memoryview) -> None: ...

    def ended(self) -> None: ...

    def lost(self) -> None: ...

    def released(self) -> None: ...


# Windows -----------------------------------------------------------------------------------------------------


def receivable(client: Client, number: int) -> int:
    return client.connection.streams[number].receivable


async def test_a_client_that_sends_more_than_its_stream_may_is_reset(server):
    async with undisturbed(server):
        client = Client(server)
        call = client.call(WATCH, b"")
        client.send(frame(RST_STREAM, 0, call, CANCEL.to_bytes(4, "big")))
        call = client.open(WATCH)
        # Nobody reads on after the first message.
        client.send(*client.content(call, message(b""), ends=False))
        await client.turn()
        left = receivable(client, call)
        client.send(*client.content(call, bytes(left), ends=False))
        assert client.answers.get(call) is None or client.answers[call].reset is None
        client.send(frame(DATA, 0, call, b"x"))

        assert client.answers[call].reset == FLOW_CONTROL_ERROR
        assert client.connection._receivable + client.connection._due == http2.CONNECTION_WINDOW_BYTES
        assert client.goaway is None


async def test_a_client_that_sends_more_than_its_connection_may_is_ended(server):
    client = Client(server)
    frames = http2.CONNECTION_WINDOW_BYTES // FRAME_BYTES
    streams = [client.open(WATCH) for _ in range(frames // 3 + 1)]
    await client.turn()
    for stream in streams:
        client.connection.streams[stream]._reader = None  # a servicer that does not read
    for number in range(frames):
        client.send(frame(DATA, 0, streams[number // 3], bytes(FRAME_BYTES)))
    assert client.goaway is None
    assert client.connection._receivable == 0
    client.send(frame(DATA, 0, streams[-1], b"x"))

    assert client.goaway == (FLOW_CONTROL_ERROR, "More was sent than the window of the connection has.")
    assert client.connection._receivable + client.connection._due == http2.CONNECTION_WINDOW_BYTES


async def test_what_comes_of_a_stream_that_was_answered_is_given_back(server):
    client = Client(server)
    call = client.open("/s3.BucketService/Nothing")
    for _ in range(20):
        client.send(frame(DATA, PADDED, call, b"\xff" + bytes(10_000) + bytes(255)), frame(DATA, 0, call, bytes(3)))
    client.send(frame(DATA, 0, call, bytes(16_000))[:100])

    assert client.answers[call].status == UNIMPLEMENTED.value
    assert client.answers[call].reset == NO_ERROR
    # All but what is on its way.
    assert client.connection._receivable + client.connection._due == http2.CONNECTION_WINDOW_BYTES - 16_000 + 91


async def test_padding_is_no_content(server):
    client = Client(server)
    call = client.open(CHECK)
    wire = message(b"")
    client.send(
        frame(DATA, PADDED, call, b"\x05" + wire[:2] + b"\x01" * 5),
        frame(DATA, PADDED, call, b"\x00" + wire[2:4]),
        frame(DATA, PADDED | END_STREAM, call, b"\xff" + wire[4:] + bytes(255)),
    )
    await client.turn()

    assert client.answers[call].messages == [SERVING]
    assert client.connection._receivable + client.connection._due == http2.CONNECTION_WINDOW_BYTES


@pytest.mark.parametrize(
    "wire",
    [
        frame(DATA, PADDED, 1, b"\x02x"),
        frame(DATA, PADDED, 1, b"\x01"),
        frame(DATA, PADDED, 1) + b"\x00",
        frame(HEADERS, PADDED | END_HEADERS, 3, b"\x05abc"),
        frame(HEADERS, PADDED | END_HEADERS, 3),
        frame(HEADERS, PADDED | HAS_PRIORITY | END_HEADERS, 3, b"\x00abc"),
    ],
)
async def test_more_padding_than_there_is_of_a_frame_ends_a_connection(server, wire):
    client = Client(server)
    client.open(WATCH)
    client.send(wire)

    assert client.goaway == (PROTOCOL_ERROR, "There is more padding than there is of the frame.")


@pytest.mark.parametrize("window", [0, 1, 7, 100])
async def test_an_answer_fits_in_the_window_that_there_is(server, window):
    await with_object(server, bytes(300))
    client = Client(server, settings=setting(INITIAL_WINDOW_SIZE, window))
    call = asks(client)
    await client.turn()
    got = len(client.answers[call].data) if call in client.answers else 0
    assert got == window
    while not client.answers[call].is_whole:
        client.send(frame(WINDOW_UPDATE, 0, call, max(window, 1).to_bytes(4, "big")))
        await client.turn()
        more = len(client.answers[call].data) - got
        assert more <= max(window, 1)
        got += more

    assert client.answers[call].status == OK.value
    assert sum(map(len, client.answers[call].messages)) > 300


async def test_a_window_may_become_negative(server):
    """RFC 9113, section 6.9.2: and it opens only by what it is below zero and more."""
    await with_object(server, bytes(200_000))
    client = Client(server)
    call = asks(client)
    await client.turn()
    assert len(client.answers[call].data) == DEFAULT_WINDOW
    client.send(frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW_SIZE, 0)), frame(WINDOW_UPDATE, 0, 0, b"\0\x10\0\0"))
    assert client.connection.streams[call].sendable == -DEFAULT_WINDOW
    client.send(frame(WINDOW_UPDATE, 0, call, DEFAULT_WINDOW.to_bytes(4, "big")))
    await client.turn()
    assert len(client.answers[call].data) == DEFAULT_WINDOW
    client.send(frame(WINDOW_UPDATE, 0, call, (5).to_bytes(4, "big")))
    await client.turn()

    assert len(client.answers[call].data) == DEFAULT_WINDOW + 5


async def test_the_window_of_a_connection_is_shared_in_turns(server):
    await with_object(server, bytes(200_000))
    client = Client(server, settings=setting(INITIAL_WINDOW_SIZE, 2**20))
    asked = [asks(client) for _ in range(4)]
    await client.turn()
    for _ in range(100):
        client.send(frame(WINDOW_UPDATE, 0, 0, (10_000).to_bytes(4, "big")))
        await client.turn()

    answers = client.answers
    assert [answers[call].status for call in asked] == [OK.value] * 4


@pytest.mark.parametrize("ends", ["reset", "deadline"])
async def test_room_that_somebody_no_longer_needs_is_somebody_elses(server, ends):
    """Woken for it, and gone before it was used: nobody else was told."""
    await with_object(server, bytes(100_000))
    client = Client(server, settings=setting(INITIAL_WINDOW_SIZE, 2**20))
    first, second = asks(client), asks(client)
    await client.turn()
    assert len(client.connection.waiting) == 2
    waits = next(iter(client.connection.waiting)).number
    if ends == "reset":
        client.send(
            frame(WINDOW_UPDATE, 0, 0, (100_000 - 1).to_bytes(4, "big")),
            frame(RST_STREAM, 0, waits, CANCEL.to_bytes(4, "big")),
        )
    else:
        client.send(frame(WINDOW_UPDATE, 0, 0, (70_000).to_bytes(4, "big")))
        client.connection.streams[waits]._expire()
    await client.turn()
    (other,) = {first, second} - {waits}

    sent = client.answers
    assert (
        sum(len(answer.data) for answer in sent.values())
        == DEFAULT_WINDOW + (100_000 - 1 if ends == "reset" else 70_000)
        or sent[other].status == OK.value
    )


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (frame(WINDOW_UPDATE, 0, 0, bytes(4)), PROTOCOL_ERROR),
        (frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), FLOW_CONTROL_ERROR),
        (frame(WINDOW_UPDATE, 0, 0, bytes(3)), FRAME_SIZE_ERROR),
        (frame(WINDOW_UPDATE, 0, 99, b"\0\0\0\x01"), PROTOCOL_ERROR),
        (frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW_SIZE, 2**31)), FLOW_CONTROL_ERROR),
        (frame(SETTINGS, 0, 0, b"x"), FRAME_SIZE_ERROR),
        (frame(SETTINGS, ACK, 0, setting(INITIAL_WINDOW_SIZE, 1)), FRAME_SIZE_ERROR),
        (frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
        (frame(SETTINGS, 0, 0, setting(ENABLE_PUSH, 2)), PROTOCOL_ERROR),
        (frame(SETTINGS, 0, 0, setting(MAX_FRAME_SIZE, 1)), PROTOCOL_ERROR),
        (frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        (frame(DATA, 0, 99, b"x"), PROTOCOL_ERROR),
        (frame(HEADERS, END_HEADERS, 0, b"\x82"), PROTOCOL_ERROR),
        (frame(HEADERS, END_HEADERS, 2, b"\x82"), PROTOCOL_ERROR),
        (frame(CONTINUATION, END_HEADERS, 1), PROTOCOL_ERROR),
        (frame(HEADERS, 0, 3) + frame(PING, 0, 0, bytes(8)), PROTOCOL_ERROR),
        (frame(HEADERS, 0, 3) + frame(CONTINUATION, 0, 5), PROTOCOL_ERROR),
        (frame(RST_STREAM, 0, 0, bytes(4)), PROTOCOL_ERROR),
        (frame(RST_STREAM, 0, 99, bytes(4)), PROTOCOL_ERROR),
        (frame(RST_STREAM, 0, 1, bytes(5)), FRAME_SIZE_ERROR),
        (frame(PING, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
        (frame(PING, 0, 1, bytes(8)), PROTOCOL_ERROR),
        (frame(PRIORITY, 0, 0, bytes(5)), PROTOCOL_ERROR),
        (frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL_ERROR),
        (frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4)), PROTOCOL_ERROR),
        (frame(PING, 0, 0, bytes(FRAME_BYTES + 1)), FRAME_SIZE_ERROR),
        (frame(DATA, 0, 1, bytes(FRAME_BYTES + 1)), FRAME_SIZE_ERROR),
    ],
)
async def test_a_frame_that_may_not_be_ends_a_connection(server, wire, code):
    async with undisturbed(server):
        client = Client(server)
        client.open(WATCH)
        client.send(wire)
        await client.turn()

        assert client.goaway[0] == code
        assert client.wire.is_closed
        assert not client.connection.streams


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (frame(WINDOW_UPDATE, 0, 1, bytes(4)), PROTOCOL_ERROR),
        (frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff"), FLOW_CONTROL_ERROR),
        (frame(PRIORITY, 0, 1, dependent(0, 1)), PROTOCOL_ERROR),
        (frame(PRIORITY, 0, 1, bytes(4)), FRAME_SIZE_ERROR),
        (frame(DATA, END_STREAM, 1) + frame(DATA, 0, 1, b"x"), STREAM_CLOSED),
        (frame(DATA, END_STREAM, 1) + frame(HEADERS, END_HEADERS | END_STREAM, 1), STREAM_CLOSED),
        (frame(HEADERS, END_HEADERS, 1), PROTOCOL_ERROR),
        (frame(HEADERS, END_HEADERS | END_STREAM, 1, literal(b":path", b"/")), PROTOCOL_ERROR),
    ],
)
async def test_a_frame_that_may_not_be_of_its_stream_resets_that(server, wire, code):
    client = Client(server)
    client.open(WATCH)
    beside = client.call(WATCH, b"")
    client.send(wire)
    after = client.call(CHECK, b"")

    assert client.answers[1].reset == code
    assert client.answers[beside].messages == client.answers[after].messages == [SERVING]
    assert client.goaway is None


async def test_a_stream_is_opened_once(server):
    client = Client(server)
    client.call(CHECK, b"")
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, client.block(CHECK)))

    assert client.goaway == (STREAM_CLOSED, "A stream is opened once.")


async def test_content_of_a_stream_that_has_ended_is_refused_once(server):
    client = Client(server)
    call = client.call(CHECK, b"")
    client.send(*[frame(DATA, 0, call, bytes(10_000))] * 3)

    assert [each.stream for each in client.of(RST_STREAM)] == [call]
    assert client.connection._receivable + client.connection._due == http2.CONNECTION_WINDOW_BYTES


async def test_a_stream_too_many_may_come_again(server):
    client = Client(server)
    client.send(
        *(frame(HEADERS, END_HEADERS, client.next(), client.block(WATCH)) for _ in range(server.bounds.streams)),
    )
    refused = client.call(CHECK, b"")
    client.send(frame(RST_STREAM, 0, 1, CANCEL.to_bytes(4, "big")))
    served = client.call(CHECK, b"")

    assert client.answers[refused].reset == REFUSED_STREAM
    assert client.answers[served].status == OK.value


async def test_a_call_too_many_is_told_so(server):
    server.max_calls = 2
    client, other = Client(server), Client(server)
    client.open(WATCH)
    other.open(WATCH)
    refused = client.call(CHECK, b"")
    client.send(frame(RST_STREAM, 0, 1, CANCEL.to_bytes(4, "big")))
    served = other.call(CHECK, b"")

    assert client.answers[refused].status == RESOURCE_EXHAUSTED.value
    assert other.answers[served].status == OK.value


# Messages ----------------------------------------------------------------------------------------------------


async def test_a_message_too_large_is_refused_before_it_has_come(server):
    client = Client(server)
    call = client.open(HEAD, OWNED)
    client.send(frame(DATA, 0, call, b"\0" + (MAX_MESSAGE_BYTES + 1).to_bytes(4, "big")))
    await client.turn()

    assert client.answers[call].status == RESOURCE_EXHAUSTED.value
    assert client.answers[call].reset == NO_ERROR


COMPRESSORS = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("encoding", COMPRESSORS)
@pytest.mark.parametrize("size", [0, 1, 5000, MAX_MESSAGE_BYTES - 32, MAX_MESSAGE_BYTES])
async def test_a_message_may_be_compressed(server, encoding, size):
    await with_object(server, b"")
    client = Client(server)
    data = s3_pb2.PutObjectRequest(bucket="bucket", key="key").SerializeToString()
    data += s3_pb2.PutObjectRequest(data=bytes(max(0, size - len(data) - 5))).SerializeToString()
    call = client.next()
    # In one piece with its head, which nobody has looked at by then.
    head = headers(call, client.block(PUT, OWNED | {"grpc-encoding": encoding}))
    client.send(head, *client.content(call, message(COMPRESSORS[encoding](data), 1)))
    await settled(server)

    assert client.answers[call].status == OK.value


@pytest.mark.parametrize(
    ("encoding", "flags", "data", "status"),
    [
        ("gzip", 1, gzip.compress(bytes(MAX_MESSAGE_BYTES + 1)), RESOURCE_EXHAUSTED),
        ("gzip", 1, gzip.compress(bytes(64 * 1024**2)), RESOURCE_EXHAUSTED),
        ("gzip", 1, gzip.compress(b"\x0a\x01b")[:-1], INVALID_ARGUMENT),
        ("gzip", 1, gzip.compress(b"\x0a\x01b") + b"x", INVALID_ARGUMENT),
        ("gzip", 1, gzip.compress(b"\x0a\x01b") * 2, INVALID_ARGUMENT),
        ("gzip", 1, b"", INVALID_ARGUMENT),
        ("gzip", 1, b"no gzip", INVALID_ARGUMENT),
        ("deflate", 1, gzip.compress(b""), INVALID_ARGUMENT),
        ("gzip", 2, gzip.compress(b""), INVALID_ARGUMENT),
        ("identity", 1, b"", INVALID_ARGUMENT),
        ("snappy", 1, b"", UNIMPLEMENTED),
    ],
    ids=[
        "a byte too large", "a bomb", "cut short", "more behind it", "two of them", "nothing", "no gzip",
        "another one", "an unknown flag", "no encoding", "an encoding that is not here",
    ],
)  # fmt: skip
async def test_what_is_not_compressed_as_it_says_is_refused(server, encoding, flags, data, status):
    client = Client(server)
    call = client.open(HEAD, OWNED | {"grpc-encoding": encoding})
    client.send(*client.content(call, message(data, flags)))
    await settled(server)

    assert client.answers[call].status == status.value


async def test_what_nobody_reads_is_not_expanded(server):
    """A window of bombs was a thousand times what it came in, for whoever had no key."""
    client = Client(server)
    bomb = message(gzip.compress(bytes(MAX_MESSAGE_BYTES)), 1)
    for _ in range(ANONYMOUS_ARRIVALS):
        client.open(LIST)  # the others wait for these
    for _ in range(50):
        call = client.open(LIST, {"grpc-encoding": "gzip"})
        client.send(*client.content(call, bomb * 40, ends=False))
    await client.turn()

    gc.collect()
    held = sum(len(each) for each in gc.get_objects() if isinstance(each, bytes))
    streams = [stream for stream in client.connection.streams.values() if isinstance(stream, calls.Call)]
    assert len(streams) == ANONYMOUS_ARRIVALS + 50
    assert sum(len(data) for stream in streams for _, data in stream._messages) < 50 * 40 * len(bomb)
    assert held < 20 * MAX_MESSAGE_BYTES


async def test_what_nobody_reads_is_not_many_messages(server):
    client = Client(server)
    call = client.open(WATCH)
    client.send(*client.content(call, bytes(5) * 10_000, ends=False))
    await client.turn()

    assert len(client.connection.streams[call]._messages) <= 64


async def test_messages_that_come_together_are_read_one_by_one(server):
    await with_object(server, b"")
    client = Client(server)
    first = s3_pb2.PutObjectRequest(bucket="bucket", key="key").SerializeToString()
    said = [first, *(s3_pb2.PutObjectRequest(data=str(n).encode()).SerializeToString() for n in range(2000))]
    stored, got = client.call(PUT, *said, fields=OWNED), client.next()
    await settled(server)
    assert client.answers[stored].status == OK.value
    client._last -= 2
    got = asks(client)
    await settled(server)

    (whole,) = (s3_pb2.GetObjectResponse.FromString(each) for each in client.answers[got].messages)
    assert whole.data == "".join(map(str, range(2000))).encode()


async def test_a_message_in_pieces_of_a_byte_is_no_more_than_a_message(server):
    client = Client(server)
    call = client.open(LIST)
    wire = b"\0" + (60_000).to_bytes(4, "big") + bytes(50_000)
    client.send(*(frame(DATA, 0, call, wire[at : at + 2]) for at in range(0, len(wire), 2)))

    assert len(client.connection.streams[call]._held) <= 2
    assert client.connection.streams[call]._held_bytes == len(wire)


@pytest.mark.parametrize("size", [1, 4, 5, 6, 20])
async def test_half_a_message_is_none(server, size):
    client = Client(server)
    call = client.open(HEAD, OWNED)
    client.send(*client.content(call, message(BUCKET * 5)[:size]))
    await client.turn()

    assert client.answers[call].status == INVALID_ARGUMENT.value


async def test_whole_messages_before_half_of_one_are_read(server):
    client = Client(server)
    call = client.open(CHECK)
    client.send(*client.content(call, message(b"") + b"\0\0"))
    await client.turn()

    assert client.answers[call].messages == [SERVING]


async def test_trailers_end_a_request(server):
    client = Client(server)
    call = client.open(CHECK)
    client.send(*client.content(call, message(b""), ends=False))
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, call, literal(b"x-checksum", b"0")))
    await client.turn()

    assert client.answers[call].messages == [SERVING]
    assert client.answers[call].reset is None


async def test_trailers_change_the_table_as_heads_do(server):
    client = Client(server)
    call = client.open(CHECK)
    client.send(*client.content(call, message(b""), ends=False))
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, call, b"\x40\x05:path\x01/"))
    indexed = client.next()
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, indexed, b"\x83\x86\xbe"))
    await client.turn()

    assert client.answers[indexed].heads[0][":status"] == "415"


@pytest.mark.parametrize("length", ["0", "4", "6", "9999999999999999999"])
async def test_a_length_that_is_not_kept_resets_a_call(server, length):
    client = Client(server)
    call = client.call(CHECK, b"", fields={"content-length": length})
    kept = client.call(CHECK, b"", fields={"content-length": "5"})

    assert client.answers[call].reset == PROTOCOL_ERROR or client.answers[call].is_whole
    assert client.answers[kept].messages == [SERVING]


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"content-type": "text/plain"}, "415"), ({"content-type": ""}, "415"), ({":method": "GET"}, "405")],
)
async def test_what_is_no_call_is_answered_as_http_does(server, fields, status):
    client = Client(server)
    call = client.call(CHECK, b"", fields=fields)
    await client.turn()

    assert client.answers[call].heads[0][":status"] == status
    assert client.answers[call].is_whole


# Time --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [
        ("0n", 0.0), ("1n", 1e-9), ("1u", 1e-6), ("250m", 0.25), ("3S", 3.0), ("2M", 120.0), ("1H", 3600.0),
        ("99999999H", None), ("999999999S", None), ("", None), ("S", None), ("1", None), ("-1S", None), ("1.5S", None),
        ("1s", None), ("1 S", None), ("0x1S", None), ("1SS", None),
    ],
)  # fmt: skip
def test_a_deadline_is_so_long_or_none(timeout, seconds):
    assert calls.seconds_of(timeout) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("timeout", ["0n", "0S", "1n", "1m", "50m"])
@pytest.mark.parametrize("is_traced", [False, True])
def test_a_deadline_that_passes_ends_a_call(loop, timeout, is_traced):
    """Under uvloop a timer of nothing goes off before a task has begun, and the call was never answered."""
    import uvloop

    begun: list[str] = []
    ended: list[str] = []

    class Watching:
        def begin(self) -> None:
            begun.append("")

        def end(self, code: str, seconds: float, received: tuple[int, int], sent: tuple[int, int]) -> None:
            ended.append(code)

    async def ask() -> tuple[int | None, int]:
        server = Server(gateway(), watch=lambda kind, service, method: Watching(), trace=span if is_traced else None)
        client = Client(server)
        call = client.open(LIST, OWNED | {"grpc-timeout": timeout})
        async with asyncio.timeout(5):
            while call not in client.answers or not client.answers[call].is_whole:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.001)
        await settled(server)
        return client.answers[call].status, server.calls

    run = uvloop.run if loop == "uvloop" else asyncio.run
    assert run(ask()) == (DEADLINE_EXCEEDED.value, 0)
    assert (begun, ended) == ([""], ["DeadlineExceeded"])


class Span:
    """One that nobody looks at."""

    trace_id = "0" * 32

    def rename(self, name: str) -> None: ...

    def note(self, name: str, value: object) -> None: ...

    def step(self, name: str | None, fault: BaseException | None = None) -> None: ...

    def within(self, name: str) -> Any:
        from contextlib import nullcontext

        return nullcontext()

    def fail(self, fault: BaseException) -> None: ...

    def end(self) -> None: ...


def span(name: str, headers: object, known: object) -> Span:
    return Span()


async def test_a_deadline_of_a_call_that_cannot_send_passes_too(server):
    await with_object(server, bytes(100))
    client = Client(server, settings=setting(INITIAL_WINDOW_SIZE, 0))
    wire = s3_pb2.GetObjectRequest(bucket="bucket", key="key").SerializeToString()
    call = client.call(GET, wire, fields=OWNED | {"grpc-timeout": "20m"})
    await asyncio.sleep(0.1)

    assert client.answers[call].status == DEADLINE_EXCEEDED.value
    assert not client.connection.waiting


async def test_a_client_that_says_nothing_is_late(server):
    for said in (b"", PREFACE[:10], PREFACE, PREFACE + frame(SETTINGS, 0, 0)[:5], PREFACE + frame(SETTINGS, ACK, 0)):
        client = Client(server, is_prefaced=False)
        client.send(said)
        client.look(server.bounds.header_seconds - 1)
        assert client.goaway is None
        client.look(server.bounds.header_seconds)

        assert client.goaway == (PROTOCOL_ERROR, "The client is late.")
        assert client.wire.is_closed


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n", b"PRI * HTTP/1", b"\x16\x03\x01"])
async def test_what_is_not_http2_is_told_so(server, said):
    client = Client(server, is_prefaced=False)
    client.send(said)

    assert client.goaway == (PROTOCOL_ERROR, "This is not HTTP/2.")


async def test_the_first_frame_is_settings(server):
    client = Client(server, is_prefaced=False)
    client.send(PREFACE, frame(PING, 0, 0, bytes(8)))

    assert client.goaway == (PROTOCOL_ERROR, "The first frame is SETTINGS.")


async def test_a_header_block_that_does_not_end_is_late(server):
    client = Client(server)
    client.send(frame(HEADERS, 0, 1))
    client.look(server.bounds.header_seconds / 2)
    client.send(frame(CONTINUATION, 0, 1))
    client.look(server.bounds.header_seconds)

    assert client.goaway == (PROTOCOL_ERROR, "The client is late.")


async def test_a_header_block_that_ends_is_not(server):
    client = Client(server)
    client.send(frame(HEADERS, 0, 1, client.block(WATCH)), frame(CONTINUATION, END_HEADERS, 1))
    client.look(server.bounds.header_seconds)

    assert client.goaway is None


async def test_a_client_that_does_not_answer_is_not_there(server):
    client, there = Client(server), Client(server)
    for each in (client, there):
        each.open(WATCH)
        each.look(server.bounds.ping_seconds - 1)
        assert not each.of(PING)
        each.look(server.bounds.ping_seconds)
        assert [each.payload for each in each.of(PING)] == [http2.PRESENCE_PING]
    there.connection._asked_at = there.connection.loop.time()  # as if it were then
    there.send(frame(PING, ACK, 0, http2.PRESENCE_PING))
    for each in (client, there):
        each.look(server.bounds.ping_seconds + server.bounds.answer_seconds)

    assert client.wire.is_aborted
    assert not there.wire.is_aborted


async def test_a_connection_that_is_not_used_is_left(server):
    client, used = Client(server), Client(server)
    used.open(WATCH)
    for each in (client, used):
        each.look(server.bounds.unused_seconds)

    assert client.goaway == (NO_ERROR, "")
    assert used.goaway is None
    client.look(server.bounds.unused_seconds)
    client.look(server.bounds.unused_seconds)
    assert client.wire.is_closed


@pytest.mark.parametrize("message_there", [b"", b"\0\0\0\0\x05ab"])
async def test_a_message_that_does_not_come_is_late(server, message_there):
    client = Client(server)
    call = client.open(HEAD, OWNED)
    client.send(frame(DATA, 0, call, message_there))
    await client.turn()
    client.look(server.bounds.idle_seconds - 1)
    await client.turn()
    assert call not in client.answers
    client.look(server.bounds.idle_seconds)
    await client.turn()

    assert client.answers[call].status not in (None, OK.value)
    assert client.goaway is None


async def test_who_opens_no_window_is_let_go(server):
    await with_object(server, bytes(100_000))
    client = Client(server)
    call = asks(client)
    await client.turn()
    client.look(server.bounds.idle_seconds - 1)
    assert client.answers[call].reset is None
    client.look(server.bounds.idle_seconds)
    await settled(server)

    assert client.answers[call].reset == CANCEL
    assert client.goaway is None


async def test_who_opens_a_window_by_a_byte_now_and_then_is_let_go_and_what_cleans_up_is_let(monkeypatch):
    """A task that ended itself was cancelled once more, in the middle of its cleaning up."""
    server = Server(gateway(), bounds=Bounds(idle_seconds=0.05))
    cleaned: list[str] = []

    async def answer(call: calls.Call) -> None:
        try:
            while True:
                await call.write(bytes(1000))
        finally:
            await asyncio.sleep(0)
            cleaned.append("up")

    server._methods["/slow"] = calls.Method(handler=answer)
    client = Client(server, settings=setting(INITIAL_WINDOW_SIZE, 0))
    call = client.open("/slow")
    async with asyncio.timeout(5):
        while server.waiting:
            client.send(frame(WINDOW_UPDATE, 0, call, (1).to_bytes(4, "big")))
            await asyncio.sleep(0.02)

    assert client.answers[call].reset == CANCEL
    assert len(client.answers[call].data) < 10
    assert cleaned == ["up"]
    assert server.calls == 0


async def stalled(server: Server) -> Client:
    """A client whose windows are wide, and whose socket takes nothing."""
    await with_object(server, bytes(1_000_000))
    client = Client(server, holds=True, settings=setting(INITIAL_WINDOW_SIZE, 2**24))
    client.send(frame(WINDOW_UPDATE, 0, 0, (2**24).to_bytes(4, "big")))
    asks(client)
    await client.turn()
    assert client.connection.is_paused
    assert client.wire.is_deaf
    assert len(client.wire.waiting) < http2.BUFFERED_BYTES + 2 * 65_536
    return client


async def test_who_takes_nothing_from_a_socket_is_let_go(server):
    client = await stalled(server)
    client.look(server.bounds.idle_seconds - 1)
    assert not client.wire.is_aborted
    client.look(server.bounds.idle_seconds + 1)

    assert client.wire.is_aborted


async def test_who_takes_something_from_a_socket_is_not(server):
    """Nor is he asked whether he is there, while nobody would hear what he says."""
    server.bounds = Bounds(ping_seconds=10, answer_seconds=10)
    client = await stalled(server)
    for seconds in (11, 30, server.bounds.idle_seconds + 1):
        client.wire.let_through(server.bounds.idle_bytes)
        client.look(seconds)
        assert client.connection.is_paused
        assert not client.wire.is_aborted
        assert client.connection._asked_at is None

    client.wire.holds = False
    client.wire.let_through(2**30)
    await settled(server)
    assert client.answers[1].status == OK.value


async def test_who_is_told_to_go_and_takes_half_of_it_is_not_kept(server):
    """Once enough had gone for the transport to write on, nobody looked at the rest."""
    client = await stalled(server)
    client.connection._end(PROTOCOL_ERROR, "The test ends it.")
    client.wire.let_through(len(client.wire.waiting) - 1000)
    assert client.connection.is_closing
    client.look(server.bounds.idle_seconds + 1)

    assert client.wire.is_aborted


@pytest.mark.parametrize("how", ["lost", "eof"])
async def test_who_is_gone_while_he_is_written_to_leaves_nothing(server, how):
    client = await stalled(server)
    if how == "eof":
        assert not client.connection.eof_received()
        client.wire.close()
        await client.turn()
    client.lose()
    await settled(server)

    assert not client.connection.streams
    assert not client.connection.waiting
    assert client.connection not in server.connections
    assert server.calls == 0


async def test_a_call_that_is_reset_while_it_is_written_ends(server):
    client = await stalled(server)
    client.connection.streams[1].reset(CANCEL)
    await settled(server)

    assert server.calls == 0
    assert not client.connection.waiting


async def test_a_call_whose_message_is_waited_for_ends_with_its_client(server):
    client = Client(server)
    call = client.open(PUT, OWNED)
    client.send(frame(DATA, 0, call, b"\0\0\0\xff\xff" + bytes(10_000)))
    await client.turn()
    assert server.waiting
    client.send(frame(RST_STREAM, 0, call, CANCEL.to_bytes(4, "big")))
    await settled(server)

    assert server.calls == 0
    assert client.connection._receivable + client.connection._due == http2.CONNECTION_WINDOW_BYTES


# Keeping step ------------------------------------------------------------------------------------------------


async def test_a_call_that_is_given_up_before_it_has_begun_does_nothing(server):
    client = Client(server)
    number = client.next()
    client.arrive(
        headers(number, client.block(CREATE, OWNED)),
        *client.content(number, message(s3_pb2.CreateBucketRequest(bucket="bucket").SerializeToString())),
    )
    client.send(frame(RST_STREAM, 0, number, CANCEL.to_bytes(4, "big")))
    asked = client.call(HEAD, BUCKET, fields=OWNED)

    assert number not in client.answers
    assert client.answers[asked].message == "The specified bucket does not exist."


@pytest.mark.parametrize("step", range(3))
async def test_an_upload_whose_client_is_lost_while_it_keeps_step_stores_nothing(server, step):
    """What had come of it was forgotten with its client, and what was left looked like the end."""
    await with_object(server, b"before")
    client = Client(server)
    pieces = [s3_pb2.PutObjectRequest(bucket="bucket", key="key", data=b"a"), s3_pb2.PutObjectRequest(data=b"b")]
    number = client.next()

    async def disturb() -> None:
        for _ in range(step):
            await abreast()
        client.lose()

    server.cohorts.begin(disturb(), Deaf())
    client.arrive(
        headers(number, client.block(PUT, OWNED)),
        *client.content(number, b"".join(message(piece.SerializeToString()) for piece in pieces)),
    )
    server.cohorts.run()
    await settled(server)

    later = Client(server)
    asked = asks(later)
    stored = [s3_pb2.GetObjectResponse.FromString(each).data for each in later.answers[asked].messages]
    assert b"".join(stored) == b"before"


class Deaf:
    """Who does not care how it ends."""

    def done(self, fault: BaseException | None) -> None:
        assert fault is None

    def waits(self, task: asyncio.Task[None]) -> None:
        raise AssertionError


async def test_a_call_whose_client_is_lost_before_it_waits_is_cancelled(server):
    client, number = Client(server), 1
    client.arrive(headers(client.next(), client.block(WATCH)), *client.content(number, message(b"")))
    stream = client.connection.streams[number]
    ((answering, asker),) = server.cohorts.coming
    server.cohorts.coming.clear()
    answering.close()
    task = asyncio.ensure_future(asyncio.Event().wait())
    client.lose()
    assert asker is stream
    follow(task, asker)
    asker.waits(task)
    await client.turn()

    assert task.cancelled()


@pytest.mark.parametrize("end", ["its client goes", "its time is over", "its outcome comes"])
async def test_a_call_that_pauses_is_cancelled_like_any_other(server, end, monkeypatch):
    """A slow disk holds nobody beyond the deadline that they set, and nothing waits for a client that is gone."""
    heard, pause = [], Pause()

    async def handler(exchange):
        try:
            await pause
            await exchange.write(b"", b"done")
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    monkeypatch.setattr(server, "method", lambda path: calls.Method(handler=handler))
    client = Client(server)
    number = client.call(CHECK, b"", fields={"grpc-timeout": "20m"} if end == "its time is over" else None)
    await client.turn()
    assert list(server.waiting.values()) == [pause]

    if end == "its client goes":
        client.lose()
    elif end == "its outcome comes":
        pause.end(None, None)
        go_on([pause])
    await settled(server)

    if end == "its outcome comes":
        assert (client.answers[number].messages, client.answers[number].status) == ([b"done"], OK.value)
        assert heard == []
    else:
        assert heard == ["cancelled"]
    if end == "its time is over":
        assert client.answers[number].status == DEADLINE_EXCEEDED.value


async def test_calls_of_several_clients_that_come_together_are_all_answered(server):
    await with_object(server, b"data")
    clients = [Client(server) for _ in range(2 * MOST + 1)]
    for client in clients:
        number = client.next()
        wire = s3_pb2.GetObjectRequest(bucket="bucket", key="key").SerializeToString()
        client.arrive(headers(number, client.block(GET, OWNED)), *client.content(number, message(wire)))
    await clients[0].turn()

    assert {client.answers[1].status for client in clients} == {OK.value}


# Leaving -----------------------------------------------------------------------------------------------------


def last_streams(client: Client) -> list[int]:
    return [int.from_bytes(each.payload[:4], "big") for each in client.of(GOAWAY)]


@pytest.mark.parametrize("heard", ["by its answer to the ping", "after a while"])
async def test_a_client_is_left_in_two_steps(server, heard):
    """What it opens before it has heard of the first is served; after the last word it goes elsewhere."""
    client = Client(server)
    watch = client.call(WATCH, b"")
    client.connection.leave()
    crossing = client.call(CHECK, b"")
    assert last_streams(client) == [LARGEST_STREAM]
    if heard == "after a while":
        client.look(http2.LINGER_SECONDS)
    else:
        client.send(frame(PING, ACK, 0, http2.LAST_PING))
    late = client.call(CHECK, b"")

    assert last_streams(client) == [LARGEST_STREAM, crossing]
    assert client.answers[crossing].messages == [SERVING]
    assert client.answers[late].reset == REFUSED_STREAM
    assert not client.wire.is_closed
    client.send(frame(RST_STREAM, 0, watch, CANCEL.to_bytes(4, "big")))
    assert client.wire.is_closed


async def test_nobody_hastens_his_leave(server):
    client = Client(server)
    client.send(frame(PING, ACK, 0, http2.LAST_PING))

    after = client.call(CHECK, b"")

    assert client.goaway is None
    assert client.answers[after].status == OK.value


async def test_who_is_under_way_at_the_end_hears_that_the_server_stops():
    server = Server(gateway())
    await server.start(listening())
    client = Client(server)
    call = client.open(HEAD, OWNED)
    await client.turn()
    await server.stop(0)

    assert client.answers[call].status == UNAVAILABLE.value
    assert client.wire.is_closed
    client.lose()
    assert server.calls == 0


async def test_nobody_new_comes_to_a_server_that_stops(server):
    server.is_stopping = True

    assert Client(server, is_prefaced=False).wire.is_closed


# Pieces ------------------------------------------------------------------------------------------------------


def recorded() -> bytes:
    """What a client says in several calls, some of them at once."""
    encoder, dice = hpack.Encoder(), random.Random(5)

    def head(number: int, path: str, flags: int = 0, **more: str) -> bytes:
        fields = {":method": "POST", ":scheme": "http", ":path": path, "te": "trailers"}
        block = encoder.encode([*fields.items(), ("content-type", "application/grpc"), *OWNED.items(), *more.items()])
        cut = len(block) // 2
        return frame(HEADERS, flags, number, block[:cut]) + frame(CONTINUATION, END_HEADERS, number, block[cut:])

    def said(number: int, data: bytes, *, ends: bool = True, padding: int = 0) -> bytes:
        around = bytes((padding,)) + data + bytes(padding)
        return frame(DATA, PADDED | ends, number, around)

    put = s3_pb2.PutObjectRequest(bucket="bucket", key="key", data=dice.randbytes(300)).SerializeToString()
    more = s3_pb2.PutObjectRequest(data=dice.randbytes(9000)).SerializeToString()
    get = s3_pb2.GetObjectRequest(bucket="bucket", key="none").SerializeToString()
    upload = message(put) + message(more) + message(b"")
    return b"".join(
        (
            PREFACE, frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW_SIZE, 2**20)),
            head(1, CHECK), said(1, message(b"")),
            head(3, PUT), said(3, upload[:100], ends=False, padding=3), frame(PING, 0, 0, b"are you?"),
            head(5, HEAD), said(3, upload[100:6000], ends=False), said(5, message(BUCKET), padding=255),
            frame(WINDOW_UPDATE, 0, 0, b"\0\x01\0\0"), said(3, upload[6000:]),
            head(7, HEAD), frame(DATA, 0, 7, message(BUCKET)), frame(HEADERS, 5, 7, b"\0\x01a\x01b"),
            head(9, GET), said(9, message(get)), head(11, "/nowhere", END_STREAM),
            head(13, HEAD, END_STREAM), head(15, LIST, more="x" * 900), said(15, b"\0\0\0"),
            head(17, PUT, **{"grpc-encoding": "gzip"}), said(17, message(gzip.compress(put), 1)),
            head(19, HEAD), frame(RST_STREAM, 0, 19, bytes(4)),
        )
    )  # fmt: skip


def answered(pieces: list[bytes]) -> dict[int, tuple[Any, ...]]:
    """
    What comes back, but for what no two answers have in common.

    Where the last of a request comes after its answer, that is said with NO_ERROR (RFC 9113, section 8.1).
    """

    async def converse() -> dict[int, tuple[Any, ...]]:
        server = Server(gateway())
        await with_object(server, b"")
        client = Client(server, is_prefaced=False)
        for piece in pieces:
            client.send(piece)
        await settled(server)
        assert client.goaway is None
        assert not client.connection.streams
        assert server.calls == 0
        assert client.connection._receivable + client.connection._due == http2.CONNECTION_WINDOW_BYTES
        told = {
            number: (answer.status, answer.message, answer.data, answer.is_whole, answer.reset or None)
            for number, answer in client.answers.items()
        }
        client.lose()
        return told

    return asyncio.run(converse())


CONVERSATION = recorded()
WHOLE = {1: OK, 3: OK, 5: OK, 7: OK, 9: 5, 11: UNIMPLEMENTED, 13: INVALID_ARGUMENT, 15: INVALID_ARGUMENT, 17: OK}


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, len(CONVERSATION)), max_size=40).map(sorted))
def test_the_same_bytes_get_the_same_answer_however_they_are_cut(places):
    edges = [0, *places, len(CONVERSATION)]
    pieces = [CONVERSATION[start:end] for start, end in pairwise(edges)]

    told = answered(pieces)
    assert told == answered([CONVERSATION])
    assert {number: told[number][0] for number in WHOLE} == {
        number: code if isinstance(code, int) else code.value for number, code in WHOLE.items()
    }


def test_a_byte_at_a_time_is_as_good_as_any_other_way():
    assert answered([CONVERSATION[at : at + 1] for at in range(len(CONVERSATION))]) == answered([CONVERSATION])

"""
The listener over real sockets: what a connection may take, and what a parser in front of an application does to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from rs3gw.rest.listener import Bounds, Listener

from .conftest import serving, sign

BOUNDS = Bounds(
    connections=4, headers=20, header_bytes=4096, header_seconds=0.3, keep_alive_seconds=0.8, idle_seconds=0.3
)


class Connection:
    """A client's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(first.split(" ")[1]), headers, body

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), 5)

    async def put(self, data: bytes, *, key: str = "a", **headers: str) -> None:
        """Send an upload; keyword headers have underscores for hyphens."""
        self.writer.write(head("PUT", f"/bucket/{key}", data, **headers) + data)
        await self.writer.drain()


def head(method: str, target: str, data: bytes = b"", **headers: str) -> bytes:
    said = {
        "host": "127.0.0.1",
        "content-length": str(len(data)),
        "x-amz-content-sha256": hashlib.sha256(data).hexdigest(),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in sign(method, target, said).items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode()


@asynccontextmanager
async def listening(*, kept_bytes=None, **bounds):
    """
    A function that connects to a server with the bounds above, but for those that are given.

    ``kept_bytes`` is what the system keeps of an answer for a client that does not read; by itself it keeps megabytes.
    """
    async with serving() as client:
        listener = Listener(client.application, replace(BOUNDS, **bounds))
        sock = socket.create_server(("127.0.0.1", 0))
        if kept_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, kept_bytes)
        port = sock.getsockname()[1]
        await listener.start(sock)
        opened = []

        async def connect() -> Connection:
            opened.append(Connection(*await asyncio.open_connection("127.0.0.1", port)))
            return opened[-1]

        connect.listener, connect.port = listener, port
        try:
            yield connect
        finally:
            for connection in opened:
                connection.writer.close()
            await listener.stop(1.0)


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 300_000])
async def test_bodies_of_any_size_follow_one_another_on_a_connection(size):
    """A body's end is not a beginning of headers, however it is cut into packets."""
    data = b"x" * size
    async with listening() as connect:
        connection = await connect()
        for key in ("a", "b", "c"):
            await connection.put(data, key=key)
            assert (await connection.answer())[0] == 200
        connection.writer.write(head("GET", "/bucket/c"))
        assert (await connection.answer())[2] == data


@pytest.mark.parametrize("size", [10, 100_000])
async def test_a_refusal_in_the_middle_of_a_body_is_read_by_who_is_still_sending(size):
    async with listening() as connect:
        connection = await connect()
        connection.writer.write(head("PUT", "/nowhere/a", b"x" * size) + b"x" * size)

        assert b"NoSuchBucket" in (await connection.answer())[2]
        await connection.put(b"the connection lives")
        assert (await connection.answer())[0] == 200


async def test_a_large_upload_that_is_refused_reads_its_answer():
    data = b"x" * 8_000_000
    async with listening() as connect:
        connection = await connect()
        connection.writer.write(head("PUT", "/nowhere/a", data) + data)
        await connection.writer.drain()

        assert b"NoSuchBucket" in (await connection.answer())[2]
        assert await connection.rest() == b""


async def test_100_continue_is_said_when_the_body_is_wanted_and_only_then():
    async with listening() as connect:
        connection = await connect()
        connection.writer.write(head("PUT", "/bucket/a", b"hello", expect="100-continue"))
        assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.writer.write(b"hello")
        assert (await connection.answer())[0] == 200

        connection.writer.write(head("PUT", "/nowhere/a", b"hello", expect="100-continue"))
        status, headers, _ = await connection.answer()
        assert (status, headers["connection"]) == (404, "close")
        assert await connection.rest() == b""


FLOODS = {
    "many headers": b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 22,
    "a long header": b"GET / HTTP/1.1\r\nx: " + b"y" * 5000,
    "a long path": b"GET /" + b"y" * 5000,
    "headers that are whole": b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 4096 + b"\r\n\r\n",
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_headers_have_a_bound(flood):
    async with listening() as connect:
        connection = await connect()
        connection.writer.write(flood)
        status, headers, body = await connection.answer()

        assert (status, headers["connection"]) == (431, "close")
        assert b"<Code>RequestHeaderSectionTooLarge</Code>" in body
        assert await connection.rest() == b""


async def test_headers_have_a_time():
    async with listening() as connect:
        connection = await connect()
        connection.writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n")

        assert b"RequestTimeout" in (await connection.answer())[2]


@pytest.mark.parametrize("line", [b"nonsense\r\n\r\n", b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n"])
async def test_what_is_no_request_is_refused_in_s3_s_words(line):
    async with listening() as connect:
        connection = await connect()
        connection.writer.write(line)
        status, _, body = await connection.answer()

        assert status == 400
        assert b"<Error><Code>Invalid" in body


async def test_a_body_has_a_time_from_packet_to_packet():
    async with listening() as connect:
        connection = await connect()
        connection.writer.write(head("PUT", "/bucket/a", b"x" * 10))
        for _ in range(4):
            await asyncio.sleep(0.15)
            connection.writer.write(b"x")
        status, headers, body = await connection.answer()

        assert (status, headers["connection"]) == (400, "close")
        assert b"RequestTimeout" in body


async def test_who_stops_sending_in_a_body_and_still_listens_is_told():
    async with listening() as connect:
        connection = await connect()
        connection.writer.write(head("PUT", "/bucket/a", b"x" * 10) + b"xxx")
        connection.writer.write_eof()

        assert b"IncompleteBody" in (await connection.answer())[2]
        assert await connection.rest() == b""


async def test_who_takes_nothing_of_an_answer_is_let_go():
    data = b"x" * 16_000_000
    async with listening() as connect:
        writer = await connect()
        await writer.put(data)
        await writer.answer()
        reader = await connect()
        reader.reader._limit = 1  # the client's own buffer takes nothing either
        reader.writer.write(head("GET", "/bucket/a"))
        await asyncio.sleep(1.2)
        taken = 0
        with contextlib.suppress(ConnectionResetError):
            while some := await reader.reader.read(1 << 20):
                taken += len(some)

        assert taken < len(data)


async def test_who_takes_an_answer_slowly_gets_all_of_it():
    data = b"x" * 4_000_000
    async with listening() as connect:
        connection = await connect()
        await connection.put(data)
        await connection.answer()
        connection.writer.write(head("GET", "/bucket/a"))
        taken = 0
        await connection.reader.readuntil(b"\r\n\r\n")
        while taken < len(data):
            taken += len(await connection.reader.read(200_000))
            await asyncio.sleep(0.05)

        assert taken == len(data)


@pytest.mark.parametrize(("idle_bytes", "is_let_go"), [(1, False), (1024**2, True)])
async def test_who_takes_less_of_an_answer_than_he_has_to_is_let_go(idle_bytes, is_let_go):
    """No more than 400 KiB a second, where 1 MiB has to be taken in a third of one."""
    loop = asyncio.get_running_loop()
    data = b"x" * 16_000_000
    async with listening(kept_bytes=16 * 1024, idle_bytes=idle_bytes) as connect:
        writer = await connect()
        await writer.put(data)
        await writer.answer()
        with socket.socket() as taking:
            taking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            taking.setblocking(False)
            await loop.sock_connect(taking, ("127.0.0.1", connect.port))
            await loop.sock_sendall(taking, head("GET", "/bucket/a"))
            taken, was_let_go, until = 0, False, loop.time() + 2
            while loop.time() < until and not was_let_go:
                some = b""
                with contextlib.suppress(ConnectionResetError):
                    some = await loop.sock_recv(taking, 4096)
                taken, was_let_go = taken + len(some), not some
                await asyncio.sleep(0.01)

    assert 0 < taken < len(data)
    assert is_let_go is was_let_go


async def test_requests_that_are_sent_ahead_are_answered_in_their_order():
    async with listening() as connect:
        connection = await connect()
        sent = [head("PUT", f"/bucket/{key}", key.encode()) + key.encode() for key in ("a", "b", "c")]
        connection.writer.write(b"".join(sent) + head("GET", "/bucket/b") + head("GET", "/bucket/none"))
        answers = [await connection.answer() for _ in range(5)]

        assert [status for status, _, _ in answers] == [200, 200, 200, 200, 404]
        assert answers[3][2] == b"b"


async def test_a_connection_that_idles_is_closed():
    async with listening() as connect:
        connection = await connect()
        connection.writer.write(head("GET", "/bucket/none"))
        await connection.answer()

        assert await connection.rest() == b""


async def test_a_client_of_http_1_0_gets_its_answer_and_the_end():
    async with listening() as connect:
        connection = await connect()
        await connection.put(b"hello")
        await connection.answer()
        old = await connect()
        old.writer.write(head("GET", "/bucket/a").replace(b"HTTP/1.1", b"HTTP/1.0"))
        status, headers, body = await old.answer()

        assert (status, headers["connection"], body) == (200, "close", b"hello")
        assert await old.rest() == b""


async def test_nothing_is_upgraded_to():
    async with listening() as connect:
        connection = await connect()
        connection.writer.write(head("GET", "/bucket/none", connection="upgrade", upgrade="websocket"))

        assert (await connection.answer())[0] == 404
        assert await connection.rest() == b""


async def test_a_listener_that_stops_answers_what_is_under_way():
    async with listening() as connect:
        idle, busy = await connect(), await connect()
        busy.writer.write(head("PUT", "/bucket/a", b"hello"))
        await asyncio.sleep(0.05)
        stopping = asyncio.create_task(connect.listener.stop(1.0))
        assert await idle.rest() == b""
        busy.writer.write(b"hello")
        status, headers, _ = await busy.answer()
        await stopping

        assert (status, headers["connection"]) == (200, "close")


async def test_a_listener_that_leaves_serves_on_and_every_answer_is_the_last_on_its_connection():
    async with listening() as connect:
        kept = await connect()
        await kept.put(b"hello")
        before = await kept.answer()
        connect.listener.leave()
        new = await connect()
        for connection in (kept, new):
            await connection.put(b"again")
        after = [await connection.answer() for connection in (kept, new)]

        assert (before[0], before[1].get("connection")) == (200, None)
        assert [(200, "close"), (200, "close")] == [(status, headers["connection"]) for status, headers, _ in after]
        assert [await connection.rest() for connection in (kept, new)] == [b"", b""]


async def test_who_was_told_before_the_listener_leaves_that_a_connection_is_kept_may_ask_on_it_again():
    """Its next request may be on the way, and a connection that is closed under it is a failure."""
    data = bytes(8 * 1024**2)
    async with listening() as connect:
        connection = await connect()
        await connection.put(data)
        await connection.answer()
        connection.writer.write(head("GET", "/bucket/a"))
        began = await connection.reader.readuntil(b"\r\n\r\n")
        connect.listener.leave()
        received = await connection.reader.readexactly(len(data))
        connection.writer.write(head("HEAD", "/bucket/a"))
        last = await connection.reader.readuntil(b"\r\n\r\n")

        assert b"connection: close" not in began
        assert received == data
        assert last.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in last
        assert await connection.rest() == b""

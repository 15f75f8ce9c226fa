"""
Servers that do nothing, to measure what measures: ``python -m loadtests.floor`` prints its two ports and serves.

Each answers with as many bytes as it is asked for and keeps none.  What loadtests.wire reaches against the one of HTTP
is the generator's own ceiling, and a figure of the gateway that is close to it says nothing of the gateway.  The one of
gRPC is an empty servicer of grpc.aio with bytes for messages: it answers about a tenth of what loadtests.h2wire can
ask, and says what Python's grpc costs before anything is read or stored.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import grpc
import uvloop

from loadtests import stubs
from loadtests.gateway import announced

CHUNK_BYTES = 64 * 1024
"""What the gateway puts into one message by default."""


@dataclass(frozen=True, slots=True)
class Ports:
    rest: int
    grpc: int
    pid: int


@contextlib.contextmanager
def running() -> Iterator[Ports]:
    """Start both in a process of their own, and end it."""
    with announced("loadtests.floor") as (said, pid):
        rest, rpc = map(int, said.split())
        yield Ports(rest, rpc, pid)


# HTTP --------------------------------------------------------------------------------------------------------


@cache
def _answer(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)


class _Empty(asyncio.Protocol):
    """Reads to the end of a request whose path is the size of the answer, and answers so many zeros."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._buffer = b""
        self._left = 0
        self._size = 0

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._left -= len(data)
        else:
            self._buffer += data
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end]
            self._size = int(head.split(b" ", 2)[1][1:])
            at = head.find(b"Content-Length: ")
            self._left = int(head[at + 16 :].partition(b"\r\n")[0]) - (len(self._buffer) - end - 4)
            self._buffer = b""
        if not self._left:
            self._transport.write(_answer(self._size))


# gRPC --------------------------------------------------------------------------------------------------------


def _handlers() -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
    """
    Methods that take everything, unread, and answer an object of as many bytes as its key says.

    A key of two numbers ("1048576/1048576") says how many of them go into one message, too.
    """
    pb = stubs.s3_pb2
    entries = [pb.ObjectEntry(key=f"{number:08}", size=4, etag=f'"{"0" * 32}"') for number in range(1000)]
    listing = pb.ListObjectsResponse(contents=entries, key_count=len(entries)).SerializeToString()
    chunk = cache(lambda size: pb.GetObjectResponse(data=bytes(size)).SerializeToString())
    stored = pb.PutObjectResponse(etag=f'"{"0" * 32}"').SerializeToString()

    async def put(wires: AsyncIterator[bytes], context: Any) -> bytes:
        async for _ in wires:
            pass
        return bytes(stored)

    async def get(wire: bytes, context: Any) -> AsyncIterator[bytes]:
        size, _, chunk_bytes = pb.GetObjectRequest.FromString(wire).key.partition("/")
        step = int(chunk_bytes or CHUNK_BYTES)
        for left in range(int(size), 0, -step):
            yield chunk(min(left, step))

    def answering(answer: bytes) -> Any:
        async def respond(wire: bytes, context: Any) -> bytes:
            return answer

        return grpc.unary_unary_rpc_method_handler(respond)

    return {
        "PutObject": grpc.stream_unary_rpc_method_handler(cast(Any, put)),
        "GetObject": grpc.unary_stream_rpc_method_handler(cast(Any, get)),
        "HeadObject": answering(b""),
        "DeleteObject": answering(b""),
        "ListObjects": answering(listing),
    }


async def serve() -> None:
    """Listen on two free loopback ports, say which, and serve until the process ends."""
    listener = await asyncio.get_running_loop().create_server(_Empty, "127.0.0.1", 0)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 * 1024**2)])
    name = stubs.s3_pb2.DESCRIPTOR.package + ".ObjectService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, _handlers()),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(listener.sockets[0].getsockname()[1], port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve())

"""
A connection of HTTP/2: eight bytes that choose where packets end, and what a client sends after a good preface.

Anybody may do anything of a bucket there.  Whatever comes, nothing is raised, and what goes out are frames that RFC
9113 lets a server send.  What is kept of what came is bounded, no window opens for what nobody took, and when the
connection is gone nothing of its calls is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from rs3gw.auth.credentials import Authority
from rs3gw.engine.memory import Memory
from rs3gw.engine.ports import Bucket
from rs3gw.gateway import Gateway
from rs3gw.rpc import calls, frames, http2
from rs3gw.rpc.server import Server
from tests.fuzz.fuzz_calls import POLICY
from tests.fuzz.fuzz_evidence import OWNER
from tests.fuzz.parts import Counter, StoppedClock, cut, run, unlogged
from tests.rpc.frames import Client

MOST_BYTES = 256 * 1024

LATE_SECONDS = (21.0, 61.0, 82.0, 301.0, 303.0)
"""When it is looked who is late, after the last byte: once behind each of the bounds."""


def target(data: bytes) -> None:
    places, sent = data[:8], data[8:]
    with unlogged("rs3gw.rpc"):
        run(converse(cut(sent, [place * len(sent) // 255 for place in places])))


async def converse(packets: Sequence[bytes]) -> None:
    loop, faults = asyncio.get_running_loop(), list[dict[str, Any]]()
    loop.set_exception_handler(lambda loop, context: faults.append(context))
    clock = StoppedClock()
    engine = Memory(clock=clock)
    await engine.create_bucket(
        Bucket(name="bucket", region="us-east-1", created=clock.now(), documents={"policy": POLICY})
    )
    authority = Authority([OWNER], region="us-east-1", clock=clock)
    server = Server(
        Gateway(engine, authority, clock=clock, entropy=Counter(), region="us-east-1"), max_message_bytes=64 * 1024
    )
    client = Client(server)
    for packet in packets:
        client.send(packet)
        judge(client)
        await client.turn()
        judge(client)
        assert client.connection.waiting.keys() <= set(client.connection.streams.values())
    for seconds in LATE_SECONDS:
        client.look(seconds)
        await client.turn()
    judge(client)
    client.lose()
    async with asyncio.timeout(10):
        while server.waiting:  # noqa: ASYNC110 - it ends with the last of them
            await asyncio.sleep(0)
    connection = client.connection
    assert not faults, faults
    assert not connection.streams
    assert not connection.waiting
    assert not server.connections
    assert server.calls == 0
    if client.goaway is None or client.goaway[0] == frames.NO_ERROR:
        # All that came was given back, or is on its way.
        given = connection._receivable + connection._due + connection._data_left
        assert given == http2.CONNECTION_WINDOW_BYTES
    for answer in client.answers.values():
        assert answer.status not in (2, 13), answer
    await engine.close()


def judge(client: Client) -> None:
    """What holds at any time."""
    connection = client.connection
    assert connection._receivable >= 0
    assert len(connection._rest) < frames.FRAME_BYTES + frames.HEAD_BYTES
    assert len(connection._block) <= http2.BLOCK_BYTES
    assert len(connection._cut) <= connection.host.bounds.streams
    assert len(connection._known) <= http2.KNOWN_BLOCKS
    assert not connection._fresh
    for stream in connection.streams.values():
        assert isinstance(stream, calls.Call)
        assert stream.receivable >= 0
        assert stream._uncredited <= http2.STREAM_WINDOW_BYTES
        assert stream._held_bytes == sum(map(len, stream._held))
        assert len(stream._messages) <= calls.MESSAGES_AHEAD

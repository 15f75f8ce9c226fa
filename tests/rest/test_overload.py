"""
More connections than there may be: who only holds them open makes room for who asks.
"""

from __future__ import annotations

import asyncio

from .test_listener import BOUNDS, head, listening


async def test_one_connection_too_many_is_told_to_slow_down():
    """Everybody inside has asked for something and may again: nobody is put out for who comes."""
    async with listening() as connect:
        for _ in range(BOUNDS.connections):
            asking = await connect()
            asking.writer.write(head("GET", "/bucket"))
            await asking.answer()
        status, headers, _ = await (await connect()).answer()

        assert (status, headers["retry-after"]) == (503, "1")


async def test_who_has_asked_for_nothing_makes_room_and_the_oldest_first():
    async with listening() as connect:
        silent = [await connect() for _ in range(BOUNDS.connections)]
        await asyncio.sleep(0.05)
        asking = await connect()
        asking.writer.write(head("GET", "/bucket"))
        status, _, _ = await asking.answer()
        refused, headers, _ = await silent[0].answer()

        assert status == 200
        assert (refused, headers["connection"]) == (503, "close")
        assert len(connect.listener.silent) == BOUNDS.connections - 1


async def test_headers_that_have_begun_are_no_request_yet():
    async with listening() as connect:
        for _ in range(BOUNDS.connections):
            (await connect()).writer.write(b"GET /bucket HTTP/1.1\r\nx: ")
        await asyncio.sleep(0.05)
        asking = await connect()
        asking.writer.write(head("GET", "/bucket"))

        assert (await asking.answer())[0] == 200


async def test_many_who_come_at_once_are_still_bounded():
    async with listening() as connect:
        await asyncio.gather(*(connect() for _ in range(10 * BOUNDS.connections)))
        await asyncio.sleep(0.1)

        assert len(connect.listener.connections) <= BOUNDS.connections
        assert len(connect.listener.silent) <= BOUNDS.connections


async def test_whoever_has_gone_is_not_silent():
    async with listening() as connect:
        (await connect()).writer.close()
        await asyncio.sleep(0.05)

        assert not connect.listener.silent
        assert not connect.listener.connections

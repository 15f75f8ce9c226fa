"""
What happens to a body on its way in, and what is left when it does not arrive.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs3gw.errors import BadDigest, EntityTooLarge, IncompleteBody
from rs3gw.gateway import digests, intake
from rs3gw.gateway.digests import Claims
from rs3gw.gateway.intake import FIRST_STRIDE_BYTES, LOOP_BYTES, STRIDE_BYTES
from rs3gw.operations.body import Stream, Whole

md5 = partial(hashlib.md5, usedforsecurity=False)

MOST = 8 * STRIDE_BYTES


class Watched:
    """A staging that tells what became of it, and how large the pieces were that it was given."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.pieces: list[int] = []
        self.discarded = False
        self.hold = threading.Event()
        self.hold.set()

    @property
    def in_memory(self) -> bool:
        return True

    @property
    def size(self) -> int:
        return len(self.data)

    def write(self, chunk) -> None:
        self.hold.wait(5)
        assert not self.discarded
        self.pieces.append(len(chunk))
        self.data += chunk

    async def seal(self):
        return None

    async def discard(self) -> None:
        self.discarded = True


class Room:
    """As much of an engine as an intake looks at."""

    def __init__(self) -> None:
        self.staging = Watched()

    def stage(self, size: int | None, *, inline: bool = True) -> Watched:
        return self.staging


@given(
    cuts=st.lists(st.integers(0, 3 * LOOP_BYTES), max_size=12),
    kinds=st.sampled_from([bytes, bytearray, memoryview]),
)
@settings(max_examples=30, deadline=None)
def test_every_byte_arrives_once_and_in_order_however_it_was_cut(cuts, kinds, streamed_once):
    whole = (hashlib.sha256(str(cuts).encode()).digest() * (sum(cuts) // 32 + 1))[: sum(cuts)]
    chunks, position = [], 0
    for cut in cuts:
        chunks.append(kinds(whole[position : position + cut]))
        position += cut
    room = Room()

    received = asyncio.run(intake.receive(room, streamed_once(*chunks), Claims(), most=MOST))

    assert whole == bytes(room.staging.data)
    assert (len(whole), md5(whole).hexdigest()) == (received.size, received.tally.etag)
    assert not room.staging.discarded


@pytest.fixture(scope="module")
def streamed_once():
    def make(*chunks):
        async def sent():
            for chunk in chunks:
                yield chunk

        return Stream(sent(), size=sum(map(len, chunks)))

    return make


async def test_a_sender_may_use_its_buffer_again_for_the_next_chunk(streamed):
    """A transport that reads into one buffer must not find its last chunk in the place of its first."""

    async def sent():
        buffer = bytearray(1000)
        for number in range(200):
            buffer[:] = bytes([number]) * 1000
            yield memoryview(buffer)

    room = Room()
    await intake.receive(room, Stream(sent(), size=200_000), Claims(), most=MOST)

    assert b"".join(bytes([number]) * 1000 for number in range(200)) == bytes(room.staging.data)


async def test_small_chunks_of_a_large_body_are_written_by_strides_that_grow(streamed):
    """Work begins early, and long bodies cost few hops to a thread."""
    room = Room()
    body = streamed(*[b"x" * 10_000] * 300)

    await intake.receive(room, body, Claims(), most=MOST)

    strides = [FIRST_STRIDE_BYTES, 2 * FIRST_STRIDE_BYTES, STRIDE_BYTES, STRIDE_BYTES]
    assert room.staging.pieces == [*strides, 3_000_000 - sum(strides)]


async def test_a_body_over_the_limit_is_refused_when_it_is_announced_and_when_it_is_not(streamed):
    with pytest.raises(EntityTooLarge) as announced:
        await intake.receive(Room(), streamed(b"", size=MOST + 1), Claims(), most=MOST)
    assert announced.value.proposed_size == MOST + 1

    room = Room()
    body = streamed(*[b"x" * STRIDE_BYTES] * 9)
    body.size = None
    with pytest.raises(EntityTooLarge):
        await intake.receive(room, body, Claims(), most=MOST)
    assert room.staging.discarded


@pytest.mark.parametrize("size", [10, 3 * STRIDE_BYTES])
async def test_a_body_that_is_not_the_one_that_was_claimed_leaves_nothing(size, streamed):
    room = Room()

    with pytest.raises(BadDigest):
        await intake.receive(room, streamed(b"x" * size), Claims(md5=b"0" * 16), most=MOST)

    assert room.staging.discarded


@pytest.mark.parametrize("size", [10, 3 * STRIDE_BYTES])
async def test_a_body_that_breaks_off_leaves_nothing(size, streamed):
    room = Room()

    with pytest.raises(ConnectionResetError):
        await intake.receive(
            room, streamed(b"x" * size, size=size + 1, breaks=ConnectionResetError()), Claims(), most=MOST
        )

    assert room.staging.discarded


@pytest.mark.parametrize("sent", [9, 11])
async def test_a_body_of_another_length_than_announced_leaves_nothing(sent, streamed):
    room = Room()

    with pytest.raises(IncompleteBody) as refused:
        await intake.receive(room, streamed(b"x" * sent, size=10), Claims(), most=MOST)

    assert (10, sent) == (refused.value.number_bytes_expected, refused.value.number_bytes_provided)
    assert room.staging.discarded


async def test_a_cancelled_upload_is_discarded_only_when_its_worker_is_done(streamed):
    room = Room()
    room.staging.hold.clear()
    upload = asyncio.create_task(intake.receive(room, streamed(*[b"x" * STRIDE_BYTES] * 4), Claims(), most=MOST))
    await asyncio.sleep(0.05)

    upload.cancel()
    await asyncio.sleep(0.05)
    before = room.staging.discarded
    room.staging.hold.set()
    with pytest.raises(asyncio.CancelledError):
        await upload

    assert not before
    assert room.staging.discarded


@pytest.mark.parametrize("size", [0, 100, 2 * LOOP_BYTES])
@pytest.mark.parametrize("part", [(0, None), (10, 50)])
async def test_stored_bytes_are_examined_as_received_ones_are(size, part, ask):
    data = bytes(range(256)) * (size // 256 + 1)
    data, (offset, wanted) = data[:size], part
    staging = ask.engine.stage(None)
    staging.write(data)
    content = await staging.seal()
    expected = data[offset:] if wanted is None else data[offset : offset + wanted]

    found = await intake.examine(ask.engine, content, (digests.DEFAULT,), offset=min(offset, size), size=len(expected))

    assert md5(expected).hexdigest() == found.etag


async def test_a_whole_body_needs_no_stream():
    room = Room()

    received = await intake.receive(room, Whole(b"small"), Claims(), most=MOST)

    assert (bytes(room.staging.data), received.size) == (b"small", 5)

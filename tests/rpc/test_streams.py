"""
What a stream of messages may be: the first speaks for the whole, and nothing contradicts it.
"""

from __future__ import annotations

import asyncio

import pytest

from rs3gw.errors import InvalidRequest, NotImplementedHere, RequestTimeout
from rs3gw.pb.s3_pb2 import PutObjectRequest as Message
from rs3gw.rpc.servicers import Opening, Upload

FIRST = {"bucket": "bucket", "key": "key"}


class Client:
    """The other end, as far as an upload sees it."""

    def __init__(self, *, is_gone: bool = False) -> None:
        self.is_gone = is_gone
        self.told: list[tuple[str, str]] = []

    async def begin(self, metadata):
        if self.is_gone:
            raise asyncio.CancelledError
        self.told += metadata


async def received(*wires, client=None, pause=0.0):
    """The bytes of an upload of these messages."""

    async def stream():
        for wire in wires:
            yield wire if isinstance(wire, bytes) else Message(**wire).SerializeToString()
            await asyncio.sleep(pause)

    upload = Upload(Message, stream(), Opening(client or Client(), "ID"), 0.05)
    await upload.first()
    return b"".join([bytes(chunk) async for chunk in upload])


@pytest.mark.parametrize(
    ("messages", "whole"),
    [
        ([FIRST], b""),
        ([FIRST | {"is_last_chunk": True}], b""),
        ([FIRST | {"data": b"ab"}], b"ab"),
        ([FIRST, {"data": b"ab"}, {"data": b"cd", "is_last_chunk": True}], b"abcd"),
        ([FIRST | {"data": b"ab"}, {"data": b"cd"}, {"is_last_chunk": True}], b"abcd"),
        ([FIRST | {"data": b"ab"}, FIRST | {"data": b"cd"}], b"abcd"),
        ([FIRST | {"data": b"a", "chunk_index": 0}, {"data": b"b", "chunk_index": 1}], b"ab"),
        ([FIRST | {"data": b"a", "chunk_index": 1}, {"data": b"b", "chunk_index": 2}], b"ab"),
        ([FIRST, {"data": b"a", "chunk_index": 0}, {"data": b"b"}, {"data": b"c", "chunk_index": 2}], b"abc"),
        ([FIRST, {}, {"data": b"a"}], b"a"),
    ],
    ids=[
        "empty",
        "empty and said to be",
        "closed without a word",
        "ended by the last chunk",
        "ended by a message without data",
        "a field repeated",
        "counted from 0",
        "counted from 1",
        "counted now and then",
        "a message without anything",
    ],
)
async def test_a_stream_is_whole(messages, whole):
    assert await received(*messages) == whole


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([], InvalidRequest),
        ([FIRST | {"is_last_chunk": True}, {"data": b"a"}], InvalidRequest),
        ([FIRST, {"data": b"a", "is_last_chunk": True}, {"data": b"b", "is_last_chunk": True}], InvalidRequest),
        ([FIRST, {"key": "other"}], InvalidRequest),
        ([FIRST, {"data": b"a", "content_type": "text/plain"}], InvalidRequest),
        ([FIRST | {"metadata": {"a": "1"}}, {"metadata": {"a": "2"}}], InvalidRequest),
        ([FIRST | {"chunk_index": 0}, {"chunk_index": 2}], InvalidRequest),
        ([FIRST | {"chunk_index": 0}, {"chunk_index": 0}], InvalidRequest),
        ([FIRST | {"chunk_index": 0}, {}, {"chunk_index": 1}], InvalidRequest),
        ([FIRST, b"\xff"], InvalidRequest),
        ([FIRST, b"\x2a\x01a\xf8\x3f\x01"], NotImplementedHere),
    ],
    ids=[
        "nothing at all",
        "more after the last",
        "two last ones",
        "another key",
        "a type that comes late",
        "other metadata",
        "a chunk is missing",
        "a chunk is doubled",
        "a chunk was not counted",
        "no message",
        "an unknown field",
    ],
)
async def test_a_stream_that_contradicts_itself_is_refused(messages, error):
    with pytest.raises(error):
        await received(*messages)


async def test_a_client_that_goes_silent_is_not_waited_for():
    with pytest.raises(RequestTimeout):
        await received(FIRST, {"data": b"a"}, pause=1)


async def test_a_stream_that_was_reset_is_not_one_that_was_closed():
    """Both end alike; only that nothing can be sent any more tells them apart."""
    with pytest.raises(asyncio.CancelledError):
        await received(FIRST, {"data": b"a"}, client=Client(is_gone=True))


async def test_the_request_id_is_told_once():
    client = Client()
    opening = Opening(client, "ID")

    await opening.begin()
    await opening.begin()

    assert client.told == [("x-amz-request-id", "ID")]

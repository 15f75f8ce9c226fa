"""
What a stream of messages may be: the first speaks for the whole, and nothing contradicts it.
"""

from __future__ import annotations

import pytest

from rs3gw.errors import InvalidRequest, NotImplementedHere
from rs3gw.pb.s3_pb2 import PutObjectRequest as Message
from rs3gw.rpc.servicers import Upload

FIRST = {"bucket": "bucket", "key": "key"}


class Client:
    """The other end, as far as an upload sees it."""

    def __init__(self, *wires) -> None:
        self._wires = iter(wires)

    async def read(self):
        wire = next(self._wires, None)
        if isinstance(wire, dict):
            return Message(**wire).SerializeToString()
        return wire


async def received(*wires):
    """The bytes of an upload of these messages."""
    upload = Upload(Message, Client(*wires))
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

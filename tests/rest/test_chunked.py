"""
aws-chunked, taken off however it arrives: the framing is written here a second time, from the reference.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rs3gw.auth.evidence import Scope
from rs3gw.auth.sigv4 import ChunkSigner, signing_key
from rs3gw.errors import (
    IncompleteBody,
    InvalidChunkSizeError,
    MalformedTrailerError,
    S3Error,
    SignatureDoesNotMatch,
)
from rs3gw.operations.body import Stream
from rs3gw.rest import chunked
from rs3gw.rest.chunked import ChunkedBody, Decoder

SCOPE = Scope(date="20261123", region="us-east-1", service="s3")
STAMP = "20261123T000000Z"
KEY = signing_key("secret", SCOPE.date, SCOPE.region, SCOPE.service)
SEED = "0" * 64
EMPTY = hashlib.sha256(b"").hexdigest()


def signer():
    return ChunkSigner(key=KEY, seed=SEED, scope=SCOPE, timestamp=STAMP)


def framed(chunks, *, signed=False, trailers=None, newline=b"\r\n"):
    """The chunks on the wire."""
    last, out = SEED, b""

    def link(kind, hashes):
        text = f"AWS4-HMAC-SHA256-{kind}\n{STAMP}\n{SCOPE}\n{last}\n{hashes}"
        return hmac.new(KEY, text.encode(), "sha256").hexdigest()

    for chunk in [*chunks, b""]:
        out += f"{len(chunk):x}".encode()
        if signed:
            last = link("PAYLOAD", f"{EMPTY}\n{hashlib.sha256(chunk).hexdigest()}")
            out += f";chunk-signature={last}".encode()
        out += b"\r\n" + chunk + (b"\r\n" if chunk else b"")
    for name, value in (trailers or {}).items():
        out += f"{name}:{value}".encode() + newline
    if signed and trailers is not None:
        canonical = "".join(f"{name}:{value}\n" for name, value in trailers.items())
        proof = link("TRAILER", hashlib.sha256(canonical.encode()).hexdigest())
        out += f"x-amz-trailer-signature:{proof}\r\n".encode()
    return out + b"\r\n"


def decode(pieces, *, signed=False, trailers=False):
    decoder = Decoder(signer=signer() if signed else None, expects_trailer=trailers)
    content = b"".join(bytes(view) for piece in pieces for view in decoder.feed(piece))
    decoder.finish()
    return content, decoder.trailers


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


CHUNKS = [b"a" * chunked.MIN_CHUNK_BYTES, b"b" * chunked.MIN_CHUNK_BYTES, b"last"]
TRAILERS = {"x-amz-checksum-crc32": "AAAAAA=="}
FORMS = [(False, TRAILERS), (True, None), (True, TRAILERS), (False, {})]


@pytest.mark.parametrize(("signed", "trailers"), FORMS)
@given(places=st.lists(st.integers(min_value=0, max_value=20_000), max_size=12))
def test_it_does_not_matter_where_the_bytes_are_cut(signed, trailers, places):
    data = framed(CHUNKS, signed=signed, trailers=trailers)

    assert decode(cut(data, places), signed=signed, trailers=trailers is not None) == (
        b"".join(CHUNKS),
        trailers or {},
    )


@pytest.mark.parametrize(("signed", "trailers"), FORMS)
def test_nor_that_every_byte_comes_alone(signed, trailers):
    data = framed([b"hello"], signed=signed, trailers=trailers)

    assert decode([bytes([byte]) for byte in data], signed=signed, trailers=trailers is not None)[0] == b"hello"


@given(place=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=7))
def test_no_bit_of_a_signed_body_can_be_changed(place, bit):
    """But for the case of a hexadecimal size, and of a trailer's name, nothing means the same when it is changed."""
    data = bytearray(framed([b"hello"], signed=True, trailers=TRAILERS))
    data[place % len(data)] ^= 1 << bit
    try:
        content, trailers = decode([bytes(data)], signed=True, trailers=True)
    except S3Error:
        return

    assert (content, trailers) == (b"hello", TRAILERS)


@given(length=st.integers(min_value=0))
def test_a_signed_body_cut_short_is_never_whole(length):
    data = framed([b"hello"], signed=True, trailers=TRAILERS)
    # The blank line that ends it says nothing, and some clients leave it out.
    short = data[: length % (len(data) - len(b"\r\n\r\n"))]

    with pytest.raises(S3Error):
        decode([short], signed=True, trailers=True)


@given(data=st.binary(max_size=300))
def test_whatever_comes_is_content_or_a_refusal(data):
    for signed in (False, True):
        with contextlib.suppress(S3Error):
            decode([data], signed=signed, trailers=True)


def test_the_second_blank_line_of_minio_go_is_no_content():
    data = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\n\r\n\r\n"

    assert decode(cut(data, [3, 11, 40, 47]), trailers=True) == (b"hello", TRAILERS)


def test_but_anything_else_after_the_end_is_refused():
    for rest in (b"\r\n\r\n", b"\n", b"5\r\nhello"):
        with pytest.raises(IncompleteBody):
            decode([framed([b"hello"], trailers=TRAILERS), rest], trailers=True)


@pytest.mark.parametrize("signed", [False, True])
def test_only_the_last_chunk_may_be_small(signed):
    data = framed([b"small", b"last"], signed=signed, trailers=TRAILERS)

    with pytest.raises(InvalidChunkSizeError) as refusal:
        decode([data], signed=signed, trailers=True)
    assert (refusal.value.chunk, refusal.value.bad_chunk_size) == (2, 5)


@pytest.mark.parametrize(
    "line",
    [b"", b"x", b"-5", b"+5", b"0x5", b"5 ", b"1_0", b"5;something=else", b"f" * 17, b"ffffffffff", b"5" * 300],
)
def test_a_size_that_is_none_is_refused(line):
    with pytest.raises(IncompleteBody):
        decode([line + b"\r\nhello\r\n0\r\n\r\n"], trailers=True)


def test_a_trailer_has_a_bound():
    data = b"0\r\n" + b"".join(b"x-%d:%s\r\n" % (number, b"v" * 1000) for number in range(20))

    with pytest.raises(MalformedTrailerError):
        decode([data], trailers=True)


def test_a_chunk_with_another_s_signature_is_refused():
    data = bytearray(framed(CHUNKS[:1], signed=True))
    place = data.index(b"=") + 1
    data[place : place + 1] = b"1" if data[place : place + 1] == b"0" else b"0"

    with pytest.raises(SignatureDoesNotMatch):
        decode([bytes(data)], signed=True)


def body(data, *, size, promised=()):
    async def pieces():
        yield data

    return ChunkedBody(Stream(pieces()), size=size, signer=None, promised=promised, expects_trailer=True)


async def read(chunked_body):
    return b"".join([bytes(piece) async for piece in chunked_body])


async def test_trailers_are_there_when_the_body_has_ended():
    whole = body(framed([b"hello"], trailers=TRAILERS), size=5, promised=tuple(TRAILERS))

    assert await read(whole) == b"hello"
    assert whole.trailers == TRAILERS


@pytest.mark.parametrize("size", [4, 6])
async def test_the_announced_length_is_the_length(size):
    with pytest.raises(IncompleteBody):
        await read(body(framed([b"hello"], trailers={}), size=size))


async def test_a_trailer_that_nobody_announced_is_not_believed():
    """Nobody would compare it, and its sender would think that it was."""
    with pytest.raises(MalformedTrailerError):
        await read(body(framed([b"hello"], trailers=TRAILERS), size=5))

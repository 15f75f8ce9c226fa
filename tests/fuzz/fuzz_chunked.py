"""
aws-chunked: a byte that chooses signed or not and trailer or not, eight that choose where to cut, and the framing.

What is decoded, and what is refused, does not depend on how the bytes arrive.  Content that is framed here by the
letter of S3's reference comes out as it went in; and no content comes out that does not stand in the framing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from rs3gw.auth.evidence import Scope
from rs3gw.auth.sigv4 import ChunkSigner, signing_key
from rs3gw.errors import S3Error
from rs3gw.rest.chunked import MIN_CHUNK_BYTES, Decoder
from tests.fuzz.parts import cut, same, tell

MOST_BYTES = 1024**2

SCOPE = Scope(date="20261123", region="us-east-1", service="s3")
KEY = signing_key("secret", SCOPE.date, SCOPE.region, SCOPE.service)

Outcome = tuple[bytes, dict[str, str], str]


def target(data: bytes) -> None:
    how, places, framing = data[:1], data[1:9], data[9:]
    is_signed, has_trailer = bool(how and how[0] & 1), bool(how and how[0] & 2)
    whole = decode([framing], is_signed, has_trailer)
    pieces = cut(framing, [place * len(framing) // 255 for place in places])
    same(whole, decode(pieces, is_signed, has_trailer), pieces)
    if len(framing) <= 4096:
        same(whole, decode([framing[at : at + 1] for at in range(len(framing))], is_signed, has_trailer), framing)
    assert len(whole[0]) <= len(framing)
    # The same bytes as content: framed, they come out again, and of what is signed nothing may be another's.
    chunk = max(MIN_CHUNK_BYTES, len(framing) // 2)
    wire = framed([framing[at : at + chunk] for at in range(0, len(framing), chunk)], is_signed, has_trailer)
    same((framing, {"x-amz-a": "b"} if has_trailer else {}, ""), decode([wire], is_signed, has_trailer), framing)
    if is_signed and places:
        at = int.from_bytes(places, "big") % len(wire)
        bent = wire[:at] + bytes([wire[at] ^ 1 << how[0] % 8]) + wire[at + 1 :]
        content, _, refusal = decode([bent], is_signed, has_trailer)
        assert refusal or content == framing


def signer() -> ChunkSigner:
    return ChunkSigner(key=KEY, seed="0" * 64, scope=SCOPE, timestamp="20261123T000000Z")


def decode(pieces: Iterable[bytes], is_signed: bool, has_trailer: bool) -> Outcome:
    decoder = Decoder(signer=signer() if is_signed else None, expects_trailer=has_trailer)
    content = bytearray()
    try:
        for piece in pieces:
            for view in decoder.feed(piece):
                content += view
        decoder.finish()
    except S3Error as fault:
        tell(fault)
        return bytes(content), {}, fault.code
    assert decoder.decoded_bytes == len(content)
    return bytes(content), decoder.trailers, ""


def framed(chunks: Iterable[bytes], is_signed: bool, has_trailer: bool) -> bytes:
    chain, out = signer(), bytearray()
    for chunk in [*chunks, b""]:
        proof = f";chunk-signature={chain.chunk(hashlib.sha256(chunk).hexdigest())}" if is_signed else ""
        out += f"{len(chunk):x}{proof}\r\n".encode() + chunk + (b"\r\n" if chunk else b"")
    if has_trailer:
        out += b"x-amz-a:b\r\n"
        if is_signed:
            proof = chain.trailer(hashlib.sha256(b"x-amz-a:b\n").hexdigest())
            out += f"x-amz-trailer-signature:{proof}\r\n".encode()
    return bytes(out + b"\r\n")

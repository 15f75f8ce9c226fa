"""
Paths and queries: two lines, a path and a query as they stand on the wire.

What is decoded is what urllib decodes; what urllib would guess at is refused.  A continuation token is one of ours,
or it is refused.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from rs3gw.errors import S3Error
from rs3gw.gateway import listing
from rs3gw.rest import messages, routing
from rs3gw.rest.messages import Request
from tests.fuzz.parts import HEADER_BYTES, lines, refusable, same, tell

MOST_BYTES = HEADER_BYTES


def target(data: bytes) -> None:
    path, query, host = (line.encode("utf-8", "surrogateescape").decode("latin-1") for line in lines(data, 3))
    request = Request("GET", "/" + path, messages.pairs(query), {"host": host}, None, False)
    by_host = routing.bucket_of_host(host, ("localhost",))
    try:
        found = routing.locate(request, ("localhost",))
    except S3Error as fault:
        tell(fault)
        assert not is_clean(path)
    else:
        assert is_clean(path)
        bucket, key = by_host, path
        if bucket is None:
            bucket, _, key = path.partition("/")
            bucket = text(bucket)
        # Who forgets the bucket does not ask for all of them.
        expected = {"bucket": bucket} if bucket or key or by_host is not None else {}
        same(expected | ({"key": text(key)} if expected and key else {}), found.labels, path)
    try:
        parameters = request.parameters()
    except S3Error as fault:
        tell(fault)
        assert not is_clean(query)
    else:
        read: dict[str, str] = {}
        for piece in query.split("&"):
            name, _, value = piece.partition("=")
            if piece:
                read.setdefault(text(name.replace("+", " ")), text(value.replace("+", " ")))
        same(read, parameters, query)
    with refusable():
        last = listing.untoken(query)
        same(query, listing.token(last), query)


def text(raw: str) -> str:
    return unquote_to_bytes(raw.encode("latin-1")).decode()


def is_clean(raw_text: str) -> bool:
    """Whether every percent sign escapes something, and what they escape is UTF-8."""
    raw = bytearray()
    at, wire = 0, raw_text.encode("latin-1")
    while at < len(wire):
        if wire[at] != ord("%"):
            raw.append(wire[at])
            at += 1
            continue
        digits = wire[at + 1 : at + 3]
        if len(digits) < 2 or not all(digit in b"0123456789abcdefABCDEF" for digit in digits):
            return False
        raw.append(int(digits, 16))
        at += 3
    try:
        bytes(raw).decode()
    except UnicodeDecodeError:
        return False
    return True

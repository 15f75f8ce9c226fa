"""
User metadata: the value of a header.

It becomes text that UTF-8 can hold, whatever encoded words stand in it; and what is written back is read as itself.
"""

from __future__ import annotations

from rs3gw.operations import checks
from rs3gw.rest import codec
from tests.fuzz.parts import HEADER_BYTES, lines, refusable, same

MOST_BYTES = HEADER_BYTES


def target(data: bytes) -> None:
    (said,) = lines(data, 1)
    value = codec.metadata_of(said.strip(" \t"))
    value.encode()
    with refusable():
        checks.metadata({"name": value})
        again = codec.metadata_as(value).decode("ascii")
        assert again.isprintable()
        # What is ASCII and no text for a header came as a header all the same: it stays the word that it was sent as.
        if not value.isascii() or again == value:
            same(value, codec.metadata_of(again), said)

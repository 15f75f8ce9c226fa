"""
What the two protocols' answers cost to write and to read, and how large they are: XML, JSON and protobuf.

The same answers are written by the codecs that the server uses, and read as a client reads them.  JSON is there as a
yardstick: nobody is answered in it.  An object's answer over REST is its headers; its bytes are the same on both.

    python -m loadtests.serialisation
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from defusedxml import ElementTree

from rs3gw.engine.ports import Entry
from rs3gw.gateway.answers import object_entries
from rs3gw.operations.object import ListObjectsV2
from rs3gw.rest import xml
from rs3gw.rpc import codec
from rs3gw.rpc.servicers import RPCS

TIMES = 30


def best_us(work: Callable[[], object]) -> float:
    """The least time of one call in microseconds."""
    best = float("inf")
    for _ in range(TIMES):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best * 1e6


def page(keys: int) -> ListObjectsV2.Output:
    """A page of a listing with so many keys."""
    entries = [
        Entry(f"photos/2026/{n:06}.jpeg", "null", 1024 * n, datetime(2026, 1, 1, tzinfo=UTC), f"{n:032x}", ("crc32",))
        for n in range(keys)
    ]
    return ListObjectsV2.Output(
        name="bucket",
        prefix="photos/",
        max_keys=1000,
        key_count=keys,
        is_truncated=False,
        contents=object_entries(entries, with_owner=False),
    )


def _plain(answer: ListObjectsV2.Output) -> dict[str, Any]:
    return answer.__dict__ | {"contents": [{**each.__dict__} for each in answer.contents]}


def listing_rows(keys: int) -> Iterator[tuple[str, float, float, int]]:
    """(form, microseconds to write, to read, bytes) of a page."""
    answer = page(keys)
    document = xml.document(answer)
    yield "XML", best_us(lambda: xml.document(answer)), best_us(lambda: ElementTree.fromstring(document)), len(document)
    text = json.dumps(_plain(answer), default=str).encode()
    yield "JSON", best_us(lambda: json.dumps(_plain(answer), default=str)), best_us(lambda: json.loads(text)), len(text)
    rpc = RPCS["ListObjects"]
    write = codec.writer(rpc.operation.output, rpc.response.DESCRIPTOR)
    wire = write(answer.__dict__).SerializeToString()
    made = best_us(lambda: write(answer.__dict__).SerializeToString())
    yield "protobuf", made, best_us(lambda: rpc.response.FromString(wire)), len(wire)


def object_rows(size: int) -> Iterator[tuple[str, float, float, int]]:
    """The same of an object's bytes in a message, and as base64 in JSON; over REST a length alone frames them."""
    data = bytes(range(256)) * (size // 256)
    rpc = RPCS["GetObject"]
    wire = rpc.response(data=data).SerializeToString()
    yield "HTTP body", 0.0, 0.0, len(data)
    text = json.dumps({"data": base64.b64encode(data).decode()})
    yield (
        "JSON",
        best_us(lambda: json.dumps({"data": base64.b64encode(data).decode()})),
        best_us(lambda: base64.b64decode(json.loads(text)["data"])),
        len(text),
    )
    yield (
        "protobuf",
        best_us(lambda: rpc.response(data=data).SerializeToString()),
        best_us(lambda: rpc.response.FromString(wire)),
        len(wire),
    )


def table() -> str:
    """All of it, as Markdown."""
    lines = ["| answer | form | write | read | bytes |", "| --- | --- | ---: | ---: | ---: |"]
    rows = [
        *(("an object of 1 KiB", *row) for row in object_rows(1024)),
        *(("an object of 10 KiB", *row) for row in object_rows(10 * 1024)),
        *(("a page of 1,000 keys", *row) for row in listing_rows(1000)),
    ]
    lines += [
        f"| {what} | {form} | {made:,.1f} µs | {read:,.1f} µs | {size:,} |" for what, form, made, read, size in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())

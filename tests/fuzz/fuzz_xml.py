"""
XML in: a byte that chooses the operation, and the document.

A document is refused or read into the fields of its Input; what was read, written by our own writer, is read again
as the same.  The same document read by the standard library's parser has the same root.
"""

from __future__ import annotations

from xml.etree import ElementTree

from rs3gw.errors import S3Error
from rs3gw.operations import OPERATIONS, Location
from rs3gw.rest import xml
from tests.fuzz.parts import refusable, same

MOST_BYTES = 1024**2

KINDS = [
    operation.input
    for operation in OPERATIONS.values()
    if any(
        field.spec.location in (Location.ELEMENT, Location.GROUP) and field.spec.stands is not Location.HEADER
        for field in operation.input.spelled()
    )
]


def target(data: bytes) -> None:
    kind = KINDS[data[0] % len(KINDS)] if data else KINDS[0]
    document = data[1:]
    with refusable():
        root = xml.parse(document)
        # What our parser has let through is harmless to the other.
        same(ElementTree.fromstring(document).tag, root.tag, document)  # noqa: S314
        if xml.local(root.tag) != kind.root:
            return
        values = xml.fill(kind, root)
        try:
            same(values, xml.fill(kind, xml.parse(xml.document(kind.of(dict(values))))), document)
        except S3Error as fault:
            raise AssertionError(f"what was read cannot be read again: {values!r}") from fault

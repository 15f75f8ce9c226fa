"""
Messages of gRPC: a byte that chooses the rpc, and the message on the wire.

A message is refused, or it is the Input that protobuf's own parser reads; written again it is read as the same, and
an upload's data is the same as a view and as a copy.
"""

from __future__ import annotations

from typing import Any

from rs3gw.errors import S3Error
from rs3gw.operations.body import EMPTY, Body
from rs3gw.rpc import codec
from rs3gw.rpc.servicers import RPCS
from tests.fuzz.parts import refusable, same, tell

MOST_BYTES = 256 * 1024
"""A message is parsed four times here, and each of its unknown fields becomes an object of Python's."""

NAMED = [RPCS[name] for name in sorted(RPCS)]


def target(data: bytes) -> None:
    rpc = NAMED[data[0] % len(NAMED)] if data else NAMED[0]
    wire = data[1:]
    kind: Any = rpc.operation.input
    if "data" in rpc.request.DESCRIPTOR.fields_by_name:
        same(outcome(whole, rpc.request, wire), outcome(by_view, rpc.request, wire), wire)
    with refusable():
        message = codec.parse(rpc.request, wire)
        values = codec.read(kind, message)
        said = codec.write(kind.of(dict(values)), rpc.request.DESCRIPTOR)
        same(values, codec.read(kind, codec.parse(rpc.request, said)), wire)
        bodies = {field.name: EMPTY for field in kind.spelled() if field.type is Body}
        rpc.operation.check(kind.of(values | bodies))


def whole(kind: Any, wire: bytes) -> tuple[Any, bytes]:
    message: Any = codec.parse(kind, wire)
    data = message.data
    message.ClearField("data")
    return message, data


def by_view(kind: Any, wire: bytes) -> tuple[Any, bytes]:
    message, data = codec.parse_chunk(kind, wire)
    message.ClearField("data")
    return message, bytes(data)


def outcome(read: Any, kind: Any, wire: bytes) -> Any:
    try:
        return read(kind, wire)
    except S3Error as fault:
        tell(fault)
        return fault.code

"""
Requests: one of HTTP as it stands on the wire, by whomever.

It is refused, or it is the Input of one declared operation whose every value its checks have passed; and a body, its
framing taken off, has the size that was announced or is refused.
"""

from __future__ import annotations

from urllib.parse import unquote

from rs3gw.auth.credentials import Identity
from rs3gw.operations import Message, Operation
from rs3gw.operations.body import Body
from rs3gw.rest import codec, evidence, routing
from rs3gw.rest.messages import Request
from tests.fuzz.fuzz_chunked import signer
from tests.fuzz.parts import HEADER_BYTES, Sending, refusable, request_of, run, same

MOST_BYTES = HEADER_BYTES


def target(data: bytes) -> None:
    found = request_of(data)
    if found is None:
        return
    request, body = found
    with refusable():
        run(ask(request, body))


async def ask(request: Request, body: bytes) -> None:
    located = routing.locate(request, ("localhost",))
    parameters = request.parameters()
    evidence.judge_payload_hash(evidence.payload_hash(request, parameters))
    operation = routing.route(request, located, parameters)
    assert operation.method == request.method
    assert operation.resource == located.resource
    if located.host_bucket is None and "key" in located.labels:
        same(unquote(request.path.split("/", 2)[2]), located.labels["key"], request.path)
    asked = await read(operation, request, located.labels, parameters, body)
    if asked is not None:
        operation.check(asked)
        for value in asked.__dict__.values():
            if isinstance(value, Body):
                size = sum([len(piece) async for piece in value])
                assert value.size is None or size == value.size


async def read(
    operation: Operation, request: Request, labels: dict[str, str], parameters: dict[str, str], body: bytes
) -> Message | None:
    identity = Identity(name="owner", access_key="AKOWNER", grants="all", signer=signer())
    try:
        return await codec.decode(operation, request, labels, parameters, Sending(body).receive, identity)
    except codec.ClientGone:
        return None

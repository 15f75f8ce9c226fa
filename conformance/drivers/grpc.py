"""
S3 over gRPC: the published contract (contract.py) spells requests and reads answers; here they travel.

An upload is a stream of messages, and it can be cancelled in its middle.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import methodcaller
from pathlib import Path
from typing import Any, Protocol

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2

from conformance import codes
from conformance.capabilities import ENCRYPTION
from conformance.drivers import Answer, Body, Link, Refusal, Sink, Status, Unsupported, contract
from conformance.drivers.bodies import chunks_of
from conformance.targets import Keys, Off, Place, keys_of

TIMEOUT_SECONDS = 60.0
CHUNK_BYTES = 256 * 1024
MESSAGE_BYTES = 64 * 1024 * 1024

ARRIVAL_SECONDS = 0.05
"""How long a server is given to see the last chunk of an upload before it is broken off."""


class Cut(Exception):
    """Raised inside a stream of requests to cancel the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a call ended: the code's name, the sentence, and the metadata of both ends."""

    code: str
    details: str = ""
    initial: Sequence[tuple[str, str | bytes]] = ()
    trailing: Sequence[tuple[str, str | bytes]] = ()


class Wire(Protocol):
    """What carries a call: a channel, or a short cut into a server in this process."""

    def call(
        self,
        method: MethodDescriptor,
        metadata: Sequence[tuple[str, str]],
        requests: Iterable[Message],
        receive: Callable[[Any], None],
    ) -> Ended:
        """
        Send the requests, hand each answer to ``receive``, and tell how it ended.

        A Cut raised by ``requests`` cancels the call.
        """

    def close(self) -> None: ...


class Channel:
    """A Wire over a socket, encrypted where an authority is given."""

    def __init__(self, address: str, authority: Path | None = None) -> None:
        limits = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.max_send_message_length", MESSAGE_BYTES)]
        if authority is None:
            self._channel = grpc.insecure_channel(address, options=limits)
        else:
            self._channel = grpc.secure_channel(
                address, grpc.ssl_channel_credentials(authority.read_bytes()), options=limits
            )

    def call(
        self,
        method: MethodDescriptor,
        metadata: Sequence[tuple[str, str]],
        requests: Iterable[Message],
        receive: Callable[[Any], None],
    ) -> Ended:
        kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
        stub = getattr(self._channel, kind)(
            contract.path_of(method),
            request_serializer=methodcaller("SerializeToString"),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        asked = iter(requests) if method.client_streaming else next(iter(requests))
        try:
            if method.server_streaming:
                call = stub(asked, metadata=metadata, timeout=TIMEOUT_SECONDS)
                for answer in call:
                    receive(answer)
            else:
                answer, call = stub.with_call(asked, metadata=metadata, timeout=TIMEOUT_SECONDS)
                receive(answer)
        except grpc.RpcError as error:
            call = error
        return Ended(
            code=call.code().name,
            details=call.details() or "",
            initial=tuple(call.initial_metadata() or ()),
            trailing=tuple(call.trailing_metadata() or ()),
        )

    def close(self) -> None:
        self._channel.close()


# The driver --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Grpc:
    """The driver ``grpc``."""

    place: Place
    wire: Wire
    identity: str = "owner"
    keys: Keys | None = None
    bearer: bool = False
    name: str = field(default="grpc", init=False)
    protocol: str = field(default="grpc", init=False)

    def as_(self, identity: str, *, bearer: bool = False) -> Grpc:
        try:
            return Grpc(self.place, self.wire, identity, keys_of(self.place, identity), bearer)
        except LookupError:
            raise Unsupported(f"the target knows no {identity}") from None

    def supports(self, capability: str) -> bool:
        if capability == "second-identity":
            return "stranger" in self.place.identities
        if capability == "other-protocol":
            return bool(self.place.url)
        if capability in ENCRYPTION:
            return self.place.is_encrypted is ENCRYPTION[capability]
        return capability not in contract.LACKS

    def expected_status(self, code: str, operation: str) -> Status:
        return codes.expected_status(self.protocol, code)

    def perform(self, operation: str, *, sink: Sink | None = None, **fields: Any) -> Answer:
        method = contract.method_of(operation)
        arrival = contract.Arrival(operation, method, sink)
        ended = self.wire.call(method, self._metadata(method), _requests(operation, method, fields), arrival.take)
        seen = {"code": ended.code, "details": ended.details, "initial": ended.initial, "trailing": ended.trailing}
        request_id = next((str(value) for key, value in ended.initial if key == "x-amz-request-id"), "")
        refusal = None if ended.code == "OK" else _refusal(ended)
        return arrival.answer(refusal, request_id=request_id, seen=seen)

    def cancel_upload(self, operation: str = "PutObject", *, after_bytes: int, **fields: Any) -> None:
        method = contract.method_of(operation)
        fields["body"] = _cut(chunks_of(fields["body"]), after_bytes)
        ended = self.wire.call(
            method, self._metadata(method), _requests(operation, method, fields), lambda answer: None
        )
        if ended.code == "OK":
            raise AssertionError("an upload that was broken off was answered")

    def presign(self, operation: str, *, lifetime_seconds: int, at: datetime | None = None, **fields: Any) -> Link:
        raise Unsupported("gRPC has no links")

    def follow(self, link: Link, *, body: Body = b"", headers: Mapping[str, str] | None = None) -> Answer:
        raise Unsupported("gRPC has no links")

    def close(self) -> None:
        self.wire.close()

    def _metadata(self, method: MethodDescriptor) -> list[tuple[str, str]]:
        return contract.credentials(self.keys, self.place.region, method, bearer=self.bearer)


def _requests(operation: str, method: MethodDescriptor, fields: Mapping[str, Any]) -> Iterator[Message]:
    first = contract.request_of(operation, method, fields)
    if not method.client_streaming:
        return iter((first,))
    body = fields.get("body")
    return _stream(first, GetMessageClass(method.input_type), chunks_of(b"" if body is None else body, CHUNK_BYTES))


def _stream(first: Any, message_class: Callable[..., Any], chunks: Iterator[bytes]) -> Iterator[Message]:
    """An upload as messages: the first one speaks for the whole, each tells its place, the last one says so."""
    message, index = first, 0
    message.data = next(chunks, b"")
    for chunk in chunks:
        message.chunk_index, message.is_last_chunk = index, False
        yield message
        message, index = message_class(data=chunk), index + 1
    message.chunk_index, message.is_last_chunk = index, True
    yield message


def _cut(chunks: Iterator[bytes], after_bytes: int) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk[:after_bytes]
        after_bytes -= len(chunk)
        if after_bytes <= 0:
            break
    yield b""  # _stream looks one chunk ahead: this one lets go of the last
    time.sleep(ARRIVAL_SECONDS)
    raise Cut


def _refusal(ended: Ended) -> Refusal:
    for name, value in ended.trailing:
        if name == "grpc-status-details-bin" and isinstance(value, bytes):
            found = contract.refusal_of(status_pb2.Status.FromString(value), ended.code)
            if found is not None:
                return found
    return contract.bare(ended.code, ended.details, ended.code)


def make(place: Place) -> Grpc:
    """The owner's driver onto a place.  Raises Off."""
    contract.methods()
    if place.wire is not None:
        return Grpc(place, place.wire(), "owner", place.identities["owner"])
    if not place.grpc:
        raise Off("the target does not speak gRPC")
    return Grpc(place, Channel(place.grpc, place.authority), "owner", place.identities["owner"])

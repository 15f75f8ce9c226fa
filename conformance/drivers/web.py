"""
S3's rpcs as browsers speak them, on the port of REST: Connect in JSON (``connect``), gRPC-Web in binary (``grpcweb``).

Both spell messages by the published contract (contract.py) and differ in their envelope alone.  Neither can send a
stream of requests: PutObject and UploadPart go where a page sends them, to a URL of REST that is signed ahead of its
time, and are answered and refused as REST does.  Everything else is an rpc, also what prepares and checks an upload.

    Connect    https://connectrpc.com/docs/protocol
    gRPC-Web   https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from urllib.parse import unquote

import grpc
import httpx
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2

from conformance import codes
from conformance.capabilities import ENCRYPTION
from conformance.drivers import Answer, Body, Broken, Link, Refusal, Sink, Status, Unsupported, contract
from conformance.drivers.rest import TIMEOUT_SECONDS, Rest
from conformance.drivers.rest import make as make_rest
from conformance.targets import Keys, Off, Place, keys_of

LINK_SECONDS = 60
HEAD_BYTES: Final = 5
"""Of an envelope: a byte of flags, and the size of what follows in four more."""
END_OF_CONNECT, END_OF_GRPC_WEB = 0x02, 0x80

CODES: Final = {code.value[0]: code.name for code in grpc.StatusCode}


class Envelope(Protocol):
    """How a protocol carries messages over HTTP."""

    protocol: str

    def spell(self, method: MethodDescriptor, message: Message) -> tuple[dict[str, str], bytes]:
        """The headers and the body of a request."""

    def read(
        self, method: MethodDescriptor, response: httpx.Response, take: Callable[[Any], None]
    ) -> tuple[Refusal | None, Mapping[str, Any]]:
        """
        Hand each message to ``take``; why the call was refused, if it was, and what of its end a reader may want.

        Raises Broken for an answer that is none of the protocol's.
        """


class Connect:
    """Connect in JSON: a message by itself for one, envelopes for a stream, whose last says how it ended."""

    protocol = "connect"

    def spell(self, method: MethodDescriptor, message: Message) -> tuple[dict[str, str], bytes]:
        said = json_format.MessageToJson(message, indent=None).encode()
        if not method.server_streaming:
            return {"content-type": "application/json", "connect-protocol-version": "1"}, said
        return {"content-type": "application/connect+json", "connect-protocol-version": "1"}, _enveloped(said)

    def read(
        self, method: MethodDescriptor, response: httpx.Response, take: Callable[[Any], None]
    ) -> tuple[Refusal | None, Mapping[str, Any]]:
        kind = response.headers.get("content-type", "")
        if not method.server_streaming:
            said = _json(response.read(), response)
            if kind != "application/json":
                raise Broken(f"an answer of Connect in {kind or 'no content type'}")
            if response.status_code == 200:
                take(_message(method, said))
                return None, {}
            return _connect_refusal(response.status_code, said), {"said": said}
        if (response.status_code, kind) != (200, "application/connect+json"):
            raise Broken(f"a stream of Connect began with {response.status_code}, {kind}: {response.read()[:200]!r}")
        for flags, data in _envelopes(response.iter_raw(), END_OF_CONNECT):
            said = _json(data, response)
            if flags == END_OF_CONNECT:
                return (_connect_refusal(200, said["error"]) if "error" in said else None), {"end": said}
            if flags:
                raise Broken(f"an envelope with the flags {flags:#x}")
            take(_message(method, said))
        raise Broken("a stream of Connect ended without its end")


class GrpcWeb:
    """gRPC-Web in binary: envelopes for one message and for many, the last with the trailers that HTTP/1 has not."""

    protocol = "grpcweb"

    def spell(self, method: MethodDescriptor, message: Message) -> tuple[dict[str, str], bytes]:
        return {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}, _enveloped(
            message.SerializeToString()
        )

    def read(
        self, method: MethodDescriptor, response: httpx.Response, take: Callable[[Any], None]
    ) -> tuple[Refusal | None, Mapping[str, Any]]:
        kind = response.headers.get("content-type", "")
        if (response.status_code, kind) != (200, "application/grpc-web+proto"):
            raise Broken(f"an answer of gRPC-Web began with {response.status_code}, {kind}: {response.read()[:200]!r}")
        message_class = GetMessageClass(method.output_type)
        for flags, data in _envelopes(response.iter_raw(), END_OF_GRPC_WEB):
            if flags == END_OF_GRPC_WEB:
                trailers = _trailers(data)
                return _grpc_refusal(trailers), {"trailers": trailers}
            if flags:
                raise Broken(f"an envelope with the flags {flags:#x}")
            try:
                take(message_class.FromString(data))
            except DecodeError as fault:
                raise Broken(f"no {method.output_type.name}: {fault}") from fault
        raise Broken("an answer of gRPC-Web ended without trailers")


# What is in the envelopes ------------------------------------------------------------------------------------


def _enveloped(data: bytes) -> bytes:
    return b"\0" + len(data).to_bytes(4, "big") + data


def _envelopes(chunks: Iterator[bytes], end: int) -> Iterator[tuple[int, bytes]]:
    """The envelopes of a body, each as soon as it is there.  Raises Broken where one is cut off, or follows the end."""
    held = bytearray()
    has_ended = False
    for chunk in chunks:
        held += chunk
        while len(held) >= HEAD_BYTES:
            size = int.from_bytes(held[1:HEAD_BYTES], "big")
            if len(held) < HEAD_BYTES + size:
                break
            if has_ended:
                break
            flags, data = held[0], bytes(held[HEAD_BYTES : HEAD_BYTES + size])
            del held[: HEAD_BYTES + size]
            has_ended = flags == end
            if not has_ended:
                yield flags, data
                continue
            last = flags, data
    if held:
        raise Broken(f"{len(held)} bytes {'after the end' if has_ended else 'of an envelope that never came whole'}")
    if has_ended:
        yield last


def _json(data: bytes, response: httpx.Response) -> Any:
    try:
        said = json.loads(data)
    except ValueError as fault:
        raise Broken(f"status {response.status_code} with a body that is no JSON: {data[:200]!r}") from fault
    if not isinstance(said, dict):
        raise Broken(f"status {response.status_code} with a body that is no object of JSON: {data[:200]!r}")
    return said


def _message(method: MethodDescriptor, said: Any) -> Message:
    try:
        made: Message = json_format.ParseDict(said, GetMessageClass(method.output_type)())
    except json_format.ParseError as fault:
        raise Broken(f"no {method.output_type.name} in JSON: {fault}") from fault
    return made


def _connect_refusal(status: int, said: Mapping[str, Any]) -> Refusal:
    """The refusal in an error of Connect; its status is the code, and that of HTTP before it."""
    code, sentence = said.get("code"), said.get("message", "")
    if code not in codes.CONNECT:
        raise Broken(f"status {status} with a code that Connect has not: {said}")
    details = status_pb2.Status(message=sentence)
    try:
        for detail in said.get("details", ()):
            value = _unpadded(detail["value"])
            details.details.append(Packed(type_url=f"type.googleapis.com/{detail['type']}", value=value))
    except (KeyError, TypeError, binascii.Error) as fault:
        raise Broken(f"details that are none of Connect's: {said}") from fault
    shown = f"{status} {code}"
    return contract.refusal_of(details, shown) or contract.bare(code.upper(), sentence, shown)


def _unpadded(text: str) -> bytes:
    """The bytes of base64, whose padding both protocols let a server leave out.  Raises binascii.Error."""
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _trailers(data: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in data.decode("latin-1").split("\r\n") if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _grpc_refusal(trailers: Mapping[str, str]) -> Refusal | None:
    """The refusal in the trailers; its status is the code of gRPC."""
    said = trailers.get("grpc-status", "")
    if not said.isdecimal() or int(said) not in CODES:
        raise Broken(f"trailers without a status of gRPC: {dict(trailers)}")
    code, sentence = CODES[int(said)], unquote(trailers.get("grpc-message", ""))
    if code == "OK":
        return None
    try:
        details = _unpadded(trailers.get("grpc-status-details-bin", ""))
        found = contract.refusal_of(status_pb2.Status.FromString(details), code)
    except (binascii.Error, DecodeError) as fault:
        raise Broken(f"details that are none of gRPC's: {dict(trailers)}") from fault
    return found or contract.bare(code, sentence, code)


# The drivers -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Web:
    """The drivers ``connect`` and ``grpcweb``; ``rest`` sends what a page stores."""

    place: Place
    envelope: Envelope
    rest: Rest
    identity: str = "owner"
    keys: Keys | None = None
    bearer: bool = False

    @property
    def name(self) -> str:
        return self.envelope.protocol

    @property
    def protocol(self) -> str:
        return self.envelope.protocol

    def as_(self, identity: str, *, bearer: bool = False) -> Web:
        try:
            keys = keys_of(self.place, identity)
        except LookupError:
            raise Unsupported(f"the target knows no {identity}") from None
        return Web(self.place, self.envelope, self.rest.as_(identity), identity, keys, bearer)

    def supports(self, capability: str) -> bool:
        if capability == "second-identity":
            return "stranger" in self.place.identities
        if capability == "other-protocol":
            return bool(self.place.grpc or self.place.wire)
        if capability in ENCRYPTION:
            return self.place.is_encrypted is ENCRYPTION[capability]
        return capability not in contract.LACKS

    def expected_status(self, code: str, operation: str) -> Status:
        method = contract.method_of(operation)
        if method.client_streaming:
            return self.rest.expected_status(code, operation)
        return codes.expected_status(self.protocol, code, streams=method.server_streaming)

    def perform(self, operation: str, *, sink: Sink | None = None, **fields: Any) -> Answer:
        method = contract.method_of(operation)
        if method.client_streaming:
            return self._store(operation, fields)
        headers, body = self.envelope.spell(method, contract.request_of(operation, method, fields))
        headers |= contract.credentials(self.keys, self.place.region, method, bearer=self.bearer)
        arrival = contract.Arrival(operation, method, sink)
        request = self.rest.client.build_request(
            "POST",
            self.place.url + contract.path_of(method),
            headers=headers,
            content=body,
            extensions={"timeout": httpx.Timeout(TIMEOUT_SECONDS).as_dict()},
        )
        try:
            response = self.rest.client.send(request, stream=True)
            try:
                refusal, ending = self.envelope.read(method, response, arrival.take)
            finally:
                response.close()
        except httpx.HTTPError as fault:
            raise Broken(f"{operation}: {type(fault).__name__}: {fault}") from fault
        seen = {"status": response.status_code, "headers": dict(response.headers.items()), **ending}
        return arrival.answer(refusal, request_id=response.headers.get("x-amz-request-id", ""), seen=seen)

    def cancel_upload(self, operation: str = "PutObject", *, after_bytes: int, **fields: Any) -> None:
        self.rest.cut_link(self._link(operation, fields), body=fields["body"], after_bytes=after_bytes)

    def presign(self, operation: str, *, lifetime_seconds: int, at: datetime | None = None, **fields: Any) -> Link:
        raise Unsupported(f"the links of {self.name} are REST's")

    def follow(self, link: Link, *, body: Body = b"", headers: Mapping[str, str] | None = None) -> Answer:
        raise Unsupported(f"the links of {self.name} are REST's")

    def close(self) -> None:
        self.rest.close()

    def _store(self, operation: str, fields: Mapping[str, Any]) -> Answer:
        """An upload as a page sends it: to a URL that is signed ahead of its time, or by nobody without a signature."""
        if self.keys is None and not self.bearer:
            return self.rest.perform(operation, **fields)
        body = fields.get("body")
        return self.rest.follow(self._link(operation, fields), body=b"" if body is None else body)

    def _link(self, operation: str, fields: Mapping[str, Any]) -> Link:
        if self.bearer:
            raise Unsupported("an upload goes by REST, which has no bearer tokens")
        return self.rest.presign(operation, lifetime_seconds=LINK_SECONDS, **fields)


def make(place: Place, envelope: Envelope) -> Web:
    """The owner's driver onto a place.  Raises Off."""
    contract.methods()
    if not place.grpc and place.wire is None:
        raise Off("the target does not speak gRPC, and so none of its rpcs over HTTP")
    return Web(place, envelope, make_rest(place), "owner", place.identities["owner"])

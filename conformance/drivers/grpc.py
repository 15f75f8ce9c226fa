"""
S3 over gRPC: the published stubs' descriptors spell requests and read answers, field by field of the same name.

Nothing here knows an operation: what there is comes from the service descriptors, and what a message holds from its
own.  Requests are signed with SigV4 in their metadata, or show a bearer token.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from operator import methodcaller
from pathlib import Path
from typing import Any, Protocol

import grpc
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2

from conformance import codes
from conformance.capabilities import ENCRYPTION
from conformance.drivers import Answer, Broken, Link, Measure, Refusal, Sink, Status, Unsupported, model
from conformance.drivers.bodies import chunks_of
from conformance.targets import Keys, Off, Place, keys_of

STUBS = Path(__file__).parents[2] / "clients" / "python"
SERVICES = {"bucket_pb2": "BucketService", "object_pb2": "ObjectService", "multipart_pb2": "MultipartService"}

TIMEOUT_SECONDS = 60.0
CHUNK_BYTES = 256 * 1024
MESSAGE_BYTES = 64 * 1024 * 1024

ARRIVAL_SECONDS = 0.05
"""How long a server is given to see the last chunk of an upload before it is broken off."""

RENAMED = {"ListObjectsV2": "ListObjects"}
"""gRPC has the second form of the listing only, under the name of the first."""

LACKS = {"old-listing", "presigned", "wire", "unknown-requests"}
"""What gRPC has no words for: links to follow, requests written by hand, operations without an rpc."""

TOKEN_PURPOSE = b"rs3gw bearer token v1"


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
            path_of(method),
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


def path_of(method: MethodDescriptor) -> str:
    """``/s3.ObjectService/PutObject``."""
    return f"/{method.containing_service.full_name}/{method.name}"


@cache
def methods() -> Mapping[str, MethodDescriptor]:
    """Every rpc of the published stubs, by name.  Raises Off where there are no stubs."""
    if not STUBS.is_dir():
        raise Off(f"no stubs in {STUBS.name}/")
    if str(STUBS) not in sys.path:
        sys.path.insert(0, str(STUBS))
    found: dict[str, MethodDescriptor] = {}
    for module, service in SERVICES.items():
        try:
            loaded = importlib.import_module(module)
        except ImportError as fault:
            raise Off(f"the stubs cannot be imported: {fault}") from fault
        found |= loaded.DESCRIPTOR.services_by_name[service].methods_by_name
    return found


# Fields ------------------------------------------------------------------------------------------------------


def fill(message: Message, fields: Mapping[str, Any]) -> None:
    """Give a message these fields.  Raises Unsupported for one that the contract does not have."""
    for name, value in fields.items():
        if value is None:
            continue
        declared = message.DESCRIPTOR.fields_by_name.get(name)
        if declared is None:
            raise Unsupported(f"gRPC's {message.DESCRIPTOR.name} has no {name}")
        try:
            _set(message, declared, value)
        except (TypeError, ValueError) as fault:
            raise Unsupported(f"gRPC cannot say {name}={value!r}: {fault}") from fault


def _set(message: Message, declared: Any, value: Any) -> None:
    held = getattr(message, declared.name)
    if _is_map(declared):
        held.update(value)
    elif declared.is_repeated:
        for item in value:
            if declared.message_type:
                fill(held.add(), item)
            else:
                held.append(item)
    elif declared.message_type and declared.message_type.full_name == "google.protobuf.Timestamp":
        held.FromDatetime(value)
    elif declared.message_type:
        held.SetInParent()
        fill(held, value)
    elif declared.type == FieldDescriptor.TYPE_STRING:
        setattr(message, declared.name, str(value))
    else:
        setattr(message, declared.name, value)


def _is_map(declared: Any) -> bool:
    return bool(declared.message_type and declared.message_type.GetOptions().map_entry)


def read(message: Message) -> dict[str, Any]:
    """The fields that a message holds; what was not sent is not there."""
    fields: dict[str, Any] = {}
    for declared in message.DESCRIPTOR.fields:
        value = getattr(message, declared.name)
        if _is_map(declared):
            fields[declared.name] = dict(value)
        elif declared.is_repeated:
            if value:
                fields[declared.name] = [read(item) if declared.message_type else item for item in value]
        elif declared.has_presence and not message.HasField(declared.name):
            continue
        elif declared.message_type and declared.message_type.full_name == "google.protobuf.Timestamp":
            fields[declared.name] = value.ToDatetime(tzinfo=UTC)
        elif declared.message_type:
            inside = read(value)
            if inside:
                fields[declared.name] = inside
        elif declared.name in model.INTEGERS:
            fields[declared.name] = int(value)
        else:
            fields[declared.name] = value
    return fields


# Credentials -------------------------------------------------------------------------------------------------


class _Signer(S3SigV4Auth):  # type: ignore[misc]
    """botocore's signer, of metadata instead of headers: there is no host, and a stream has no digest."""

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        signed = HTTPHeaders()
        for name, value in request.headers.items():
            if name.lower() != "authorization":
                signed[name.lower()] = value
        return signed

    def payload(self, request: AWSRequest) -> str:
        return "UNSIGNED-PAYLOAD"


def signed(keys: Keys, region: str, path: str) -> list[tuple[str, str]]:
    """The metadata that proves, by SigV4, who calls a method."""
    request = AWSRequest(method="POST", url=f"http://grpc{path}")
    _Signer(Credentials(keys.access_key, keys.secret_key), "s3", region).add_auth(request)
    return [(name.lower(), value) for name, value in request.headers.items()]


def token(keys: Keys) -> str:
    """The bearer token of an access key."""
    digest = hmac.new(keys.secret_key.encode(), TOKEN_PURPOSE, hashlib.sha256).hexdigest()
    return f"{keys.access_key}.{digest}"


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
        return capability not in LACKS

    def expected_status(self, code: str) -> Status:
        return codes.expected_status(self.protocol, code)

    def perform(self, operation: str, *, sink: Sink | None = None, **fields: Any) -> Answer:
        method = self._method(operation)
        found: dict[str, Any] = {}
        measure, count = Measure(), 0
        kept: list[bytes] = []

        def receive(answer: Any) -> None:
            nonlocal count
            count += 1
            if not method.server_streaming:
                found.update(read(answer))
                return
            measure.take(answer.data)
            (sink or kept.append)(answer.data)
            given = read(answer)
            del given["data"]
            if count == 1:
                found.update(given)
            elif any(given.values()):
                raise Broken(f"{operation}: message {count} of a stream says {sorted(given)} again")

        ended = self.wire.call(method, self._metadata(method), self._requests(operation, method, fields), receive)
        seen = {"code": ended.code, "details": ended.details, "initial": ended.initial, "trailing": ended.trailing}
        request_id = next((str(value) for key, value in ended.initial if key == "x-amz-request-id"), "")
        if ended.code != "OK":
            return Answer(operation=operation, refusal=_refusal(ended), request_id=request_id, seen=seen)
        if method.server_streaming and not count:
            raise Broken(f"{operation}: a stream ended well without a message")
        if found.get("content_length", measure.size) != measure.size and method.server_streaming:
            raise Broken(f"{operation}: {found['content_length']} bytes were promised and {measure.size} came")
        return Answer(
            operation=operation,
            fields=model.with_lists(operation, found),
            body=b"".join(kept),
            measure=measure,
            request_id=request_id,
            seen=seen,
        )

    def cancel_upload(self, operation: str = "PutObject", *, after_bytes: int, **fields: Any) -> None:
        method = self._method(operation)
        fields["body"] = _cut(chunks_of(fields["body"]), after_bytes)
        ended = self.wire.call(
            method, self._metadata(method), self._requests(operation, method, fields), lambda answer: None
        )
        if ended.code == "OK":
            raise AssertionError("an upload that was broken off was answered")

    def presign(self, operation: str, *, lifetime_seconds: int, at: datetime | None = None, **fields: Any) -> Link:
        raise Unsupported("gRPC has no links")

    def follow(self, link: Link, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        raise Unsupported("gRPC has no links")

    def close(self) -> None:
        self.wire.close()

    def _method(self, operation: str) -> MethodDescriptor:
        name = RENAMED.get(operation, operation)
        found = methods().get(name)
        if found is None or operation in RENAMED.values():
            raise Unsupported(f"gRPC has no {operation}")
        return found

    def _metadata(self, method: MethodDescriptor) -> list[tuple[str, str]]:
        if self.keys is None:
            return []
        if self.bearer:
            return [("authorization", f"Bearer {token(self.keys)}")]
        return signed(self.keys, self.place.region, path_of(method))

    def _requests(self, operation: str, method: MethodDescriptor, fields: dict[str, Any]) -> Iterator[Message]:
        model.check_fields(operation, [name for name, value in fields.items() if value is not None])
        body = fields.pop("body", None)
        message_class = GetMessageClass(method.input_type)
        first = message_class()
        fill(first, fields)
        if not method.client_streaming:
            return iter((first,))
        return _stream(first, message_class, chunks_of(body if body is not None else b"", CHUNK_BYTES))


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
    """Read the error as AIP-193 has it: S3's code is the reason of an ErrorInfo in the details."""
    for name, value in ended.trailing:
        if name == "grpc-status-details-bin" and isinstance(value, bytes):
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                info = error_details_pb2.ErrorInfo()
                if detail.Is(info.DESCRIPTOR) and detail.Unpack(info):
                    return Refusal(
                        code=info.reason, message=status.message, status=ended.code, fields=dict(info.metadata)
                    )
    if ended.code in ("UNAVAILABLE", "CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED"):
        raise Broken(f"{ended.code}: {ended.details}")
    return Refusal(code="(no ErrorInfo)", message=ended.details, status=ended.code)


def make(place: Place) -> Grpc:
    """The owner's driver onto a place.  Raises Off."""
    methods()
    if place.wire is not None:
        return Grpc(place, place.wire(), "owner", place.identities["owner"])
    if not place.grpc:
        raise Off("the target does not speak gRPC")
    return Grpc(place, Channel(place.grpc, place.authority), "owner", place.identities["owner"])

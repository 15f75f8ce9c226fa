"""
The published contract of the rpcs, for every driver that speaks them: gRPC, gRPC-Web, Connect.

Nothing here knows an operation, nor how a message travels: what there is comes from the service descriptors of the
published stubs, and what a message holds from its own, field by field of the same name.  Who calls is said in headers,
which gRPC calls metadata: SigV4 of the method, or a bearer token.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from functools import cache
from pathlib import Path
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2

from conformance.drivers import Answer, Broken, Measure, Refusal, Sink, Status, Unsupported, model
from conformance.targets import Keys, Off

STUBS = Path(__file__).parents[2] / "clients" / "python"
SERVICES = {"bucket_pb2": "BucketService", "object_pb2": "ObjectService", "multipart_pb2": "MultipartService"}

RENAMED = {"ListObjectsV2": "ListObjects"}
"""The rpcs have the second form of the listing only, under the name of the first."""

LACKS = {"old-listing", "presigned", "wire", "unknown-requests"}
"""What the rpcs have no words for: links to follow, requests written by hand, operations without an rpc."""

TOKEN_PURPOSE = b"rs3gw bearer token v1"


def method_of(operation: str) -> MethodDescriptor:
    """The rpc of an operation.  Raises Unsupported where there is none."""
    name = RENAMED.get(operation, operation)
    found = methods().get(name)
    if found is None or operation in RENAMED.values():
        raise Unsupported(f"gRPC has no {operation}")
    return found


def request_of(operation: str, method: MethodDescriptor, fields: Mapping[str, Any]) -> Message:
    """
    The message that asks for an operation, without its body.

    Raises TypeError for a field that S3 does not have, Unsupported for one that the contract has not.
    """
    model.check_fields(operation, [name for name, value in fields.items() if value is not None])
    message: Message = GetMessageClass(method.input_type)()
    fill(message, {name: value for name, value in fields.items() if name != "body"})
    return message


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


# Answers -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Arrival:
    """What comes of a call, message by message: fields, and the bytes of a download."""

    operation: str
    method: MethodDescriptor
    sink: Sink | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    measure: Measure = field(default_factory=Measure)
    kept: list[bytes] = field(default_factory=list)
    count: int = 0

    def take(self, message: Any) -> None:
        """One more message.  Raises Broken where it says again what the first one said."""
        self.count += 1
        given = read(message)
        if self.method.server_streaming:
            self.measure.take(message.data)
            (self.sink or self.kept.append)(message.data)
            del given["data"]
        if self.count == 1:
            self.fields |= given
        elif any(given.values()):
            raise Broken(f"{self.operation}: message {self.count} of a stream says {sorted(given)} again")

    def answer(self, refusal: Refusal | None, *, request_id: str, seen: Mapping[str, Any]) -> Answer:
        """All of it, once the call has ended.  Raises Broken for an end that does not fit what came."""
        if refusal is not None:
            return Answer(operation=self.operation, refusal=refusal, request_id=request_id, seen=seen)
        if not self.count:
            raise Broken(f"{self.operation}: a call ended well without a message")
        promised = self.fields.get("content_length", self.measure.size)
        if self.method.server_streaming and promised != self.measure.size:
            raise Broken(f"{self.operation}: {promised} bytes were promised and {self.measure.size} came")
        return Answer(
            operation=self.operation,
            fields=model.with_lists(self.operation, self.fields),
            body=b"".join(self.kept),
            measure=self.measure,
            request_id=request_id,
            seen=seen,
        )


def refusal_of(said: status_pb2.Status, status: Status) -> Refusal | None:
    """Read an error as AIP-193 has it: S3's code is the reason of an ErrorInfo in the details.  None without one."""
    for detail in said.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info):
            return Refusal(code=info.reason, message=said.message, status=status, fields=dict(info.metadata))
    return None


NO_WORD = {"UNAVAILABLE", "CANCELLED", "CANCELED", "UNKNOWN", "DEADLINE_EXCEEDED"}
"""Codes that a client gives itself, or a proxy: without an ErrorInfo they are no server's answer."""


def bare(code: str, sentence: str, status: Status) -> Refusal:
    """The refusal of an error without an ErrorInfo.  Raises Broken for one that is no server's."""
    if code in NO_WORD:
        raise Broken(f"{code}: {sentence}")
    return Refusal(code="(no ErrorInfo)", message=sentence, status=status)


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


def credentials(keys: Keys | None, region: str, method: MethodDescriptor, *, bearer: bool) -> list[tuple[str, str]]:
    """The metadata that says who calls; none for nobody."""
    if keys is None:
        return []
    if bearer:
        return [("authorization", f"Bearer {token(keys)}")]
    return signed(keys, region, path_of(method))

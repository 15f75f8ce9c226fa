"""
What a server refuses, as exceptions: one class for each code of S3 that a program may want to tell apart.

A refusal travels as google.rpc.Status with an ErrorInfo, and nobody parses prose.  A status without one did not come
from the gateway: the connection broke, nobody answered, or a proxy spoke.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, duration_pb2, message_factory

DOMAIN = "rs3gw"
DETAILS = "grpc-status-details-bin"
REQUEST_ID = "x-amz-request-id"


class Error(Exception):
    """Anything that a call can end with."""


class Unreachable(Error, ConnectionError):
    """Nobody answered, or the connection broke; what was asked may have been done all the same."""


class TimedOut(Error, TimeoutError):
    """Nothing moved for longer than the call allows; what was asked may have been done all the same."""


class ObjectReplaced(Error):
    """The object that was being read is another one by now: what was read so far is of the old one."""


class S3Error(Error):
    """
    A refusal of the gateway.  Its class is that of its code, S3Error itself for a code that has none here.

    ``code`` is S3's, ``fields`` what the error says besides (a key, a limit), ``status`` the gRPC code, and
    ``request_id`` what the server's log knows the call by.
    """

    classes: ClassVar[dict[str, type[S3Error]]] = {}

    def __init__(
        self,
        code: str,
        message: str,
        fields: Mapping[str, str],
        *,
        status: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.fields = code, message, dict(fields)
        self.status, self.request_id, self.retry_after_seconds = status, request_id, retry_after_seconds

    def __init_subclass__(cls) -> None:
        S3Error.classes[cls.__name__] = cls


class AccessDenied(S3Error):
    """The key may not do this, or nobody said who asks."""


class AuthorizationHeaderMalformed(S3Error):
    """The signature is for another region or service."""


class BadDigest(S3Error):
    """What arrived is not what was claimed of it; nothing of it is kept."""


class BucketAlreadyExists(S3Error):
    """Somebody else has a bucket of this name."""


class BucketAlreadyOwnedByYou(S3Error):
    """There is this bucket, and it is yours."""


class BucketNotEmpty(S3Error):
    """A bucket with objects or unfinished uploads is not deleted."""


class DamagedObject(S3Error):
    """The disk of the server has not kept what was stored."""


class EntityTooLarge(S3Error):
    """The object or part is larger than S3 has them."""


class EntityTooSmall(S3Error):
    """A part that is not the last is under 5 MiB."""


class InsufficientStorage(S3Error):
    """The server's disk is full."""


class InternalError(S3Error):
    """A fault of the gateway itself; its log has the request id."""


class InvalidAccessKeyId(S3Error):
    """The server knows no such access key."""


class InvalidArgument(S3Error):
    """A value is none that the operation takes."""


class InvalidBucketName(S3Error):
    """No bucket can be called so."""


class InvalidPart(S3Error):
    """A part that was named was not uploaded, or is another one."""


class InvalidRange(S3Error):
    """The object has no such bytes."""


class InvalidToken(S3Error):
    """The bearer token is none, or of another secret."""


class NoSuchBucket(S3Error):
    """There is no such bucket."""


class NoSuchKey(S3Error):
    """There is no such object."""


class NoSuchUpload(S3Error):
    """The upload never was, or is over."""


class PreconditionFailed(S3Error):
    """What was insisted on is not so: another was first, or the object is another one."""


class RequestTimeTooSkewed(S3Error):
    """A clock is off."""


class SignatureDoesNotMatch(S3Error):
    """The secret is another one."""


class SlowDown(S3Error):
    """The server has as many calls as it takes; nothing was done."""


def _details() -> tuple[Any, Any, Any]:
    """
    google.rpc's Status, ErrorInfo and RetryInfo, in a pool of their own.

    googleapis-common-protos has them too; a client that needs three messages does not ask everybody to install it.
    """
    kinds = descriptor_pb2.FieldDescriptorProto
    text, repeated = kinds.TYPE_STRING, kinds.LABEL_REPEATED
    file = descriptor_pb2.FileDescriptorProto(
        name="rs3gw_client/status.proto",
        package="rs3gw_client",
        syntax="proto3",
        dependency=["google/protobuf/any.proto", "google/protobuf/duration.proto"],
    )
    status, info, retry = (file.message_type.add(name=name) for name in ("Status", "ErrorInfo", "RetryInfo"))
    status.field.add(name="code", number=1, type=kinds.TYPE_INT32)
    status.field.add(name="message", number=2, type=text)
    any_name = ".google.protobuf.Any"
    status.field.add(name="details", number=3, type=kinds.TYPE_MESSAGE, label=repeated, type_name=any_name)
    info.field.add(name="reason", number=1, type=text)
    info.field.add(name="domain", number=2, type=text)
    entry = info.nested_type.add(name="MetadataEntry", options=descriptor_pb2.MessageOptions(map_entry=True))
    entry.field.add(name="key", number=1, type=text)
    entry.field.add(name="value", number=2, type=text)
    entry_name = ".rs3gw_client.ErrorInfo.MetadataEntry"
    info.field.add(name="metadata", number=3, type=kinds.TYPE_MESSAGE, label=repeated, type_name=entry_name)
    duration = ".google.protobuf.Duration"
    retry.field.add(name="retry_delay", number=1, type=kinds.TYPE_MESSAGE, type_name=duration)
    pool = descriptor_pool.DescriptorPool()
    for known in (any_pb2.DESCRIPTOR, duration_pb2.DESCRIPTOR):
        pool.AddSerializedFile(known.serialized_pb)
    pool.Add(file)
    found = (pool.FindMessageTypeByName(f"rs3gw_client.{name}") for name in ("Status", "ErrorInfo", "RetryInfo"))
    status_class, info_class, retry_class = (message_factory.GetMessageClass(each) for each in found)
    return status_class, info_class, retry_class


_Status, _ErrorInfo, _RetryInfo = _details()

_BROKEN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
)
"""
With these a connection, or what stands in it, says that it is over: the gateway's own have an ErrorInfo.

A call that the caller did not cancel was cancelled by a server that is stopping.
"""


def understood(fault: Any) -> Error:
    """The exception for what a call of gRPC ended with."""
    status, message = fault.code(), fault.details() or ""
    trailing = _pairs(fault.trailing_metadata())
    for reason, domain, fields, delay in _refusals(trailing.get(DETAILS)):
        if domain == DOMAIN:
            initial = _pairs(fault.initial_metadata())
            request_id = initial.get(REQUEST_ID) or trailing.get(REQUEST_ID)
            return S3Error.classes.get(reason, S3Error)(
                reason,
                message,
                fields,
                status=status,
                request_id=request_id if isinstance(request_id, str) else None,
                retry_after_seconds=delay,
            )
    if status is grpc.StatusCode.DEADLINE_EXCEEDED:
        return TimedOut(message)
    if status in _BROKEN:
        return Unreachable(message)
    return S3Error(status.name, message, {}, status=status)


def _pairs(metadata: Any) -> dict[str, str | bytes]:
    return dict(metadata or ())


def _refusals(details: Any) -> list[tuple[str, str, Mapping[str, str], float | None]]:
    if not isinstance(details, bytes):
        return []
    packed = {each.type_url.rpartition("/")[2]: each.value for each in _Status.FromString(details).details}
    if "google.rpc.ErrorInfo" not in packed:
        return []
    info, delay = _ErrorInfo.FromString(packed["google.rpc.ErrorInfo"]), None
    if "google.rpc.RetryInfo" in packed:
        delay = _RetryInfo.FromString(packed["google.rpc.RetryInfo"]).retry_delay.ToTimedelta().total_seconds()
    return [(info.reason, info.domain, dict(info.metadata), delay)]

"""
The table of errors: what rs3gw refuses, and how each refusal looks on both protocols.

One class is one S3 error.  It holds everything that both protocols need to answer it: S3's code, the HTTP
status, the canonical gRPC code, the sentence, and typed fields.  ``raise NoSuchUpload(upload_id=…)`` is all
that an author writes; ``rest/faults.py`` and ``rpc/faults.py`` are the only places that turn one into bytes.
Whatever is raised that is not an S3Error becomes InternalError there: logged whole, told to nobody.

A field appears as an XML element (``upload_id`` → ``<UploadId>``) on REST and as a metadata entry of
``google.rpc.ErrorInfo`` on gRPC (AIP-193).  Codes, statuses and sentences follow Amazon S3's "Error responses"
reference; where a code has no row there (a gRPC stream that contradicts itself), S3's nearest code is used.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, ClassVar, dataclass_transform


class Grpc(IntEnum):
    """Canonical gRPC status codes, by number, so that nobody needs grpc to name one."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16

    @property
    def spelled(self) -> str:
        """As Go spells it, which is what dashboards match: NotFound, Canceled, OK."""
        if self in (Grpc.OK, Grpc.CANCELLED):
            return "OK" if self is Grpc.OK else "Canceled"
        return "".join(word.capitalize() for word in self.name.split("_"))


OK = Grpc.OK
CANCELLED = Grpc.CANCELLED
INVALID_ARGUMENT = Grpc.INVALID_ARGUMENT
DEADLINE_EXCEEDED = Grpc.DEADLINE_EXCEEDED
NOT_FOUND = Grpc.NOT_FOUND
ALREADY_EXISTS = Grpc.ALREADY_EXISTS
PERMISSION_DENIED = Grpc.PERMISSION_DENIED
RESOURCE_EXHAUSTED = Grpc.RESOURCE_EXHAUSTED
FAILED_PRECONDITION = Grpc.FAILED_PRECONDITION
ABORTED = Grpc.ABORTED
OUT_OF_RANGE = Grpc.OUT_OF_RANGE
UNIMPLEMENTED = Grpc.UNIMPLEMENTED
INTERNAL = Grpc.INTERNAL
UNAVAILABLE = Grpc.UNAVAILABLE
DATA_LOSS = Grpc.DATA_LOSS
UNAUTHENTICATED = Grpc.UNAUTHENTICATED

TABLE: dict[str, type[S3Error]] = {}
"""Every error by its code, in the order of this file."""


@dataclass_transform(kw_only_default=True, eq_default=False)
class _Fielded(Exception):
    """Makes type checkers read the annotated attributes of an error as the keywords of its constructor."""


class S3Error(_Fielded):
    """
    A refusal that a client sees.

    ``message`` may be given where a sentence about this very case helps more than S3's standing one.
    A field that is None is left out of the answer.
    """

    code: ClassVar[str]
    http: ClassVar[int]
    grpc: ClassVar[Grpc]
    retry_after_seconds: ClassVar[int | None] = None
    names: ClassVar[tuple[str, ...]] = ()

    message: str = ""

    def __init_subclass__(cls) -> None:
        own = tuple(name for name in inspect.get_annotations(cls) if name != "message")
        cls.names = (*cls.names, *own)
        if "code" in cls.__dict__:
            if cls.code in TABLE:
                raise TypeError(f"{cls.code} stands in the table of errors twice")
            TABLE[cls.code] = cls

    def __init__(self, **fields: Any) -> None:
        if "message" in fields:
            self.message = fields.pop("message")
        for name in self.names:
            if name in fields:
                setattr(self, name, fields.pop(name))
            elif not hasattr(type(self), name):
                raise TypeError(f"{self.code} needs {name}")
        if fields:
            raise TypeError(f"{self.code} has no field {', '.join(sorted(fields))}")
        super().__init__(self.code, self.message)

    def fields(self) -> Mapping[str, str]:
        """What there is to know besides the sentence: S3's element name → text."""
        values = ((name, getattr(self, name)) for name in self.names)
        return {element_name(name): str(value) for name, value in values if value is not None}

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


SPELLED = {
    "etag": "ETag",
    "aws_access_key_id": "AWSAccessKeyId",
    "host_id": "HostId",
    "client_computed_content_sha256": "ClientComputedContentSHA256",
    "s3_computed_content_sha256": "S3ComputedContentSHA256",
}


def element_name(field: str) -> str:
    """The name of an error's field on the wire: ``upload_id`` → ``UploadId``."""
    return SPELLED.get(field) or "".join(word.capitalize() for word in field.split("_"))


# Who calls, and may they -------------------------------------------------------------------------------------


class AccessDenied(S3Error):
    """The caller is known (or anonymous) and is not allowed to do this."""

    code, http, grpc = "AccessDenied", 403, PERMISSION_DENIED
    message = "Access Denied"
    headers_not_signed: str | None = None


class AccessForbidden(S3Error):
    """A browser's preflight to a bucket that has no CORS rules."""

    code, http, grpc = "AccessForbidden", 403, PERMISSION_DENIED
    message = "CORSResponse: CORS is not enabled for this bucket."


class InvalidAccessKeyId(S3Error):
    """Nobody has this access key."""

    code, http, grpc = "InvalidAccessKeyId", 403, UNAUTHENTICATED
    message = "The AWS Access Key Id you provided does not exist in our records."
    aws_access_key_id: str | None = None


class SignatureDoesNotMatch(S3Error):
    """The signature was made with another secret, or of another request."""

    code, http, grpc = "SignatureDoesNotMatch", 403, UNAUTHENTICATED
    message = (
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method."
    )
    aws_access_key_id: str | None = None
    string_to_sign: str | None = None
    canonical_request: str | None = None


class InvalidToken(S3Error):
    """A bearer token that no key of ours made, or a session token, which rs3gw does not issue."""

    code, http, grpc = "InvalidToken", 400, UNAUTHENTICATED
    message = "The provided token is malformed or otherwise invalid."


class RequestExpired(AccessDenied):
    """A presigned URL is used after it expired."""

    message = "Request has expired"
    expires: str
    server_time: str
    x_amz_expires: str | None = None


class RequestTimeTooSkewed(S3Error):
    """The request is signed for a time that is more than 15 minutes from ours."""

    code, http, grpc = "RequestTimeTooSkewed", 403, UNAUTHENTICATED
    message = "The difference between the request time and the server's time is too large."
    request_time: str | None = None
    server_time: str | None = None
    max_allowed_skew_milliseconds: int | None = None


class AuthorizationHeaderMalformed(S3Error):
    """The Authorization header does not parse, or names another region or service."""

    code, http, grpc = "AuthorizationHeaderMalformed", 400, UNAUTHENTICATED
    message = "The authorization header that you provided is not valid."
    region: str | None = None


class AuthorizationQueryParametersError(S3Error):
    """The X-Amz-* parameters of a presigned URL are incomplete or wrong."""

    code, http, grpc = "AuthorizationQueryParametersError", 400, UNAUTHENTICATED
    message = "The authorization query parameters that you provided are not valid."
    region: str | None = None


class MissingAuthenticationToken(S3Error):
    """The request needs a signature and has none."""

    code, http, grpc = "MissingAuthenticationToken", 403, UNAUTHENTICATED
    message = "The request was not signed."


class MissingSecurityHeader(S3Error):
    """A header that a signature needs is missing."""

    code, http, grpc = "MissingSecurityHeader", 400, INVALID_ARGUMENT
    message = "Your request is missing a required header."
    missing_header_name: str | None = None


# Buckets -----------------------------------------------------------------------------------------------------


class NoSuchBucket(S3Error):
    """There is no bucket of this name."""

    code, http, grpc = "NoSuchBucket", 404, NOT_FOUND
    message = "The specified bucket does not exist."
    bucket_name: str | None = None


class BucketAlreadyExists(S3Error):
    """The name belongs to somebody else."""

    code, http, grpc = "BucketAlreadyExists", 409, ALREADY_EXISTS
    message = (
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
        "Select a different name and try again."
    )
    bucket_name: str | None = None


class BucketAlreadyOwnedByYou(S3Error):
    """The caller has this bucket already."""

    code, http, grpc = "BucketAlreadyOwnedByYou", 409, ALREADY_EXISTS
    message = "Your previous request to create the named bucket succeeded and you already own it."
    bucket_name: str | None = None


class BucketNotEmpty(S3Error):
    """A bucket that still holds objects or unfinished uploads cannot be deleted."""

    code, http, grpc = "BucketNotEmpty", 409, FAILED_PRECONDITION
    message = "The bucket you tried to delete is not empty."
    bucket_name: str | None = None


class InvalidBucketName(S3Error):
    """The name breaks S3's naming rules."""

    code, http, grpc = "InvalidBucketName", 400, INVALID_ARGUMENT
    message = "The specified bucket is not valid."
    bucket_name: str | None = None


class TooManyBuckets(S3Error):
    """The account has as many buckets as it may."""

    code, http, grpc = "TooManyBuckets", 400, RESOURCE_EXHAUSTED
    message = "You have attempted to create more buckets than allowed."


class InvalidLocationConstraint(S3Error):
    """The region asked for is not one that this server serves."""

    code, http, grpc = "InvalidLocationConstraint", 400, INVALID_ARGUMENT
    message = "The specified location constraint is not valid."
    location_constraint: str | None = None


class IllegalLocationConstraintException(S3Error):
    """The region asked for is another than the endpoint's."""

    code, http, grpc = "IllegalLocationConstraintException", 400, INVALID_ARGUMENT
    message = "The location constraint is incompatible for the region specific endpoint this request was sent to."


class NoSuchTagSet(S3Error):
    """The bucket was never tagged."""

    code, http, grpc = "NoSuchTagSet", 404, NOT_FOUND
    message = "The TagSet does not exist"
    bucket_name: str | None = None


class NoSuchBucketPolicy(S3Error):
    """The bucket has no policy."""

    code, http, grpc = "NoSuchBucketPolicy", 404, NOT_FOUND
    message = "The bucket policy does not exist"
    bucket_name: str | None = None


class MalformedPolicy(S3Error):
    """The policy is not JSON, or not a policy.  The message names the element."""

    code, http, grpc = "MalformedPolicy", 400, INVALID_ARGUMENT
    message = "Policies must be valid JSON and the first byte must be '{'"


# Objects -----------------------------------------------------------------------------------------------------


class NoSuchKey(S3Error):
    """There is no object under this key."""

    code, http, grpc = "NoSuchKey", 404, NOT_FOUND
    message = "The specified key does not exist."
    key: str | None = None


class NoSuchVersion(S3Error):
    """The key has no such version."""

    code, http, grpc = "NoSuchVersion", 404, NOT_FOUND
    message = "The specified version does not exist."
    key: str | None = None
    version_id: str | None = None


class KeyTooLongError(S3Error):
    """A key is at most 1,024 bytes of UTF-8."""

    code, http, grpc = "KeyTooLongError", 400, INVALID_ARGUMENT
    message = "Your key is too long"
    size: int | None = None
    max_size_allowed: int | None = None


class EntityTooLarge(S3Error):
    """The body is larger than the most that one request may store."""

    code, http, grpc = "EntityTooLarge", 400, INVALID_ARGUMENT
    message = "Your proposed upload exceeds the maximum allowed size"
    proposed_size: int | None = None
    max_size_allowed: int | None = None


class EntityTooSmall(S3Error):
    """A part that is not the last is under 5 MiB."""

    code, http, grpc = "EntityTooSmall", 400, INVALID_ARGUMENT
    message = "Your proposed upload is smaller than the minimum allowed size"
    proposed_size: int | None = None
    min_size_allowed: int | None = None
    part_number: int | None = None
    etag: str | None = None


class MetadataTooLarge(S3Error):
    """User metadata is over 2 KiB."""

    code, http, grpc = "MetadataTooLarge", 400, INVALID_ARGUMENT
    message = "Your metadata headers exceed the maximum allowed metadata size"
    size: int | None = None
    max_size_allowed: int | None = None


class InvalidTag(S3Error):
    """A tag breaks the rules: too many, too long, twice the same key, a reserved prefix."""

    code, http, grpc = "InvalidTag", 400, INVALID_ARGUMENT
    message = "The tag provided was not a valid tag. This error can occur if the tag did not pass input validation."
    tag_key: str | None = None


class InvalidStorageClass(S3Error):
    """The storage class is not one that rs3gw has."""

    code, http, grpc = "InvalidStorageClass", 400, INVALID_ARGUMENT
    message = "The storage class you specified is not valid"
    storage_class_requested: str | None = None


class InvalidObjectState(S3Error):
    """The object cannot be read in its present state."""

    code, http, grpc = "InvalidObjectState", 403, FAILED_PRECONDITION
    message = "The operation is not valid for the object's access tier"


class InvalidRange(S3Error):
    """The range begins beyond the end of the object."""

    code, http, grpc = "InvalidRange", 416, OUT_OF_RANGE
    message = "The requested range is not satisfiable"
    range_requested: str | None = None
    actual_object_size: int | None = None


class InvalidPartNumber(S3Error):
    """The object has fewer parts than the one asked for."""

    code, http, grpc = "InvalidPartNumber", 416, OUT_OF_RANGE
    message = "The requested partnumber is not satisfiable"
    part_number_requested: int | None = None
    actual_part_count: int | None = None


class PreconditionFailed(S3Error):
    """A condition of the request does not hold."""

    code, http, grpc = "PreconditionFailed", 412, FAILED_PRECONDITION
    message = "At least one of the pre-conditions you specified did not hold"
    condition: str | None = None


class NotModified(S3Error):
    """The reader has the current object already.  REST answers 304 without a body."""

    code, http, grpc = "NotModified", 304, FAILED_PRECONDITION
    message = "Not Modified"
    etag: str | None = None
    last_modified: str | None = None


class ConditionalRequestConflict(S3Error):
    """A concurrent write won while a conditional one was under way; the client tries again."""

    code, http, grpc = "ConditionalRequestConflict", 409, ABORTED
    message = "The conditional request cannot succeed due to a conflicting operation against this resource."
    condition: str | None = None
    key: str | None = None


class OperationAborted(S3Error):
    """A conflicting operation on the same resource is under way."""

    code, http, grpc = "OperationAborted", 409, ABORTED
    message = "A conflicting conditional operation is currently in progress against this resource. Try again."


class MethodNotAllowed(S3Error):
    """The method does not go with this resource."""

    code, http, grpc = "MethodNotAllowed", 405, FAILED_PRECONDITION
    message = "The specified method is not allowed against this resource."
    method: str | None = None
    resource_type: str | None = None


# Digests -----------------------------------------------------------------------------------------------------


class BadDigest(S3Error):
    """The bytes that came are not the bytes that the digest was made of."""

    code, http, grpc = "BadDigest", 400, INVALID_ARGUMENT
    message = "The Content-MD5 or checksum value that you specified did not match what the server received."
    expected_digest: str | None = None
    calculated_digest: str | None = None


class InvalidDigest(S3Error):
    """The digest is not one: wrong length, not base64."""

    code, http, grpc = "InvalidDigest", 400, INVALID_ARGUMENT
    message = "The Content-MD5 or checksum value that you specified is not valid."


class XAmzContentSHA256Mismatch(S3Error):
    """The body is not the one that was signed."""

    code, http, grpc = "XAmzContentSHA256Mismatch", 400, INVALID_ARGUMENT
    message = "The provided 'x-amz-content-sha256' header does not match what was computed."
    client_computed_content_sha256: str | None = None
    s3_computed_content_sha256: str | None = None


# Multipart ---------------------------------------------------------------------------------------------------


class NoSuchUpload(S3Error):
    """The upload never existed, or was completed or aborted."""

    code, http, grpc = "NoSuchUpload", 404, NOT_FOUND
    message = (
        "The specified upload does not exist. "
        "The upload ID may be invalid, or the upload may have been aborted or completed."
    )
    upload_id: str | None = None


class InvalidPart(S3Error):
    """A part named at completion was never uploaded, or has another ETag."""

    code, http, grpc = "InvalidPart", 400, INVALID_ARGUMENT
    message = (
        "One or more of the specified parts could not be found. "
        "The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
    )
    upload_id: str | None = None
    part_number: int | None = None
    etag: str | None = None


class InvalidPartOrder(S3Error):
    """The parts named at completion do not ascend."""

    code, http, grpc = "InvalidPartOrder", 400, INVALID_ARGUMENT
    message = "The list of parts was not in ascending order. Parts must be ordered by part number."
    upload_id: str | None = None


# Requests ----------------------------------------------------------------------------------------------------


class InvalidArgument(S3Error):
    """A value that the operation cannot take."""

    code, http, grpc = "InvalidArgument", 400, INVALID_ARGUMENT
    message = "Invalid Argument"
    argument_name: str | None = None
    argument_value: str | None = None


class InvalidRequest(S3Error):
    """A request whose pieces do not go together.  The message says which."""

    code, http, grpc = "InvalidRequest", 400, INVALID_ARGUMENT
    message = "Invalid Request"


class InvalidURI(S3Error):
    """The path cannot be decoded."""

    code, http, grpc = "InvalidURI", 400, INVALID_ARGUMENT
    message = "Couldn't parse the specified URI."
    uri: str | None = None


class MalformedXML(S3Error):
    """The XML does not parse, or is not what the operation takes."""

    code, http, grpc = "MalformedXML", 400, INVALID_ARGUMENT
    message = "The XML you provided was not well-formed or did not validate against our published schema"


class MaxMessageLengthExceeded(S3Error):
    """A request that is not an object's body is larger than it may be."""

    code, http, grpc = "MaxMessageLengthExceeded", 400, RESOURCE_EXHAUSTED
    message = "Your request was too big."
    max_message_length_bytes: int | None = None


class MissingContentLength(S3Error):
    """An upload has to say how long it is."""

    code, http, grpc = "MissingContentLength", 411, INVALID_ARGUMENT
    message = "You must provide the Content-Length HTTP header."


class IncompleteBody(S3Error):
    """Fewer bytes came than were announced, or the framing of the chunks is broken."""

    code, http, grpc = "IncompleteBody", 400, INVALID_ARGUMENT
    message = "You did not provide the number of bytes specified by the Content-Length HTTP header"
    number_bytes_expected: int | None = None
    number_bytes_provided: int | None = None


class InvalidChunkSizeError(S3Error):
    """A chunk of aws-chunked is too small, too large, or not followed as it must be."""

    code, http, grpc = "InvalidChunkSizeError", 403, INVALID_ARGUMENT
    message = "Only the last chunk is allowed to have a size less than 8192 bytes"
    chunk: int | None = None
    bad_chunk_size: int | None = None


class MalformedTrailerError(S3Error):
    """The trailer of an aws-chunked body is not the one that was announced."""

    code, http, grpc = "MalformedTrailerError", 400, INVALID_ARGUMENT
    message = "The request contained trailing data that was not well-formed or did not conform to our published schema."


class MissingRequestBodyError(S3Error):
    """The operation needs a body and has none."""

    code, http, grpc = "MissingRequestBodyError", 400, INVALID_ARGUMENT
    message = "Request body is empty."


class RequestHeaderSectionTooLarge(S3Error):
    """The headers are more, or longer, than they may be."""

    code, http, grpc = "RequestHeaderSectionTooLarge", 431, RESOURCE_EXHAUSTED
    message = "Your request header section exceeds the maximum allowed size."
    max_size_allowed: int | None = None


class RequestTimeout(S3Error):
    """The client went silent while it was sending."""

    code, http, grpc = "RequestTimeout", 400, DEADLINE_EXCEEDED
    message = (
        "Your socket connection to the server was not read from or written to within the timeout period. "
        "Idle connections will be closed."
    )


class UnsupportedArgument(S3Error):
    """A value that S3 takes and rs3gw does not have."""

    code, http, grpc = "UnsupportedArgument", 400, UNIMPLEMENTED
    message = "The request contained an unsupported argument."
    argument_name: str | None = None


class NotImplementedHere(S3Error):
    """An operation, sub-resource or header that rs3gw does not have: never a pretended success."""

    code, http, grpc = "NotImplemented", 501, UNIMPLEMENTED
    message = "A header or query you provided implies functionality that is not implemented."
    header: str | None = None
    query: str | None = None
    additional_message: str | None = None


# The server --------------------------------------------------------------------------------------------------


class InternalError(S3Error):
    """Our fault.  The log has the traceback under the request id."""

    code, http, grpc = "InternalError", 500, INTERNAL
    message = "We encountered an internal error. Please try again."


class ServiceUnavailable(S3Error):
    """The server is starting or stopping."""

    code, http, grpc = "ServiceUnavailable", 503, UNAVAILABLE
    message = "Service is unable to handle request."
    retry_after_seconds = 1


class SlowDown(S3Error):
    """The server has as much to do as it can hold."""

    code, http, grpc = "SlowDown", 503, RESOURCE_EXHAUSTED
    message = "Please reduce your request rate."
    retry_after_seconds = 1


class InsufficientStorage(S3Error):
    """The disk is full.  Reads and deletes go on."""

    code, http, grpc = "InsufficientStorage", 507, RESOURCE_EXHAUSTED
    message = "There is not enough space left to store this. Nothing of the request was kept."


class DamagedObject(S3Error):
    """The stored bytes are missing or are not those that were acknowledged."""

    code, http, grpc = "DamagedObject", 500, DATA_LOSS
    message = "The stored object is damaged and cannot be returned whole."
    key: str | None = None

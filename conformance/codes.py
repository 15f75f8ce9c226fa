"""
How each S3 error must look on each protocol: the suite's own table, typed by hand.

It is a second opinion.  A server that keeps a table of its own is compared with this one, refusal by refusal; the two
have no source in common but S3's "Error responses" reference, the meaning of gRPC's canonical codes (AIP-193), and the
statuses that Connect gives these.  ``tests/conformance`` compares rs3gw's tables with them as a whole.
"""

from __future__ import annotations

CODES: dict[str, tuple[int, str]] = {
    # Who calls, and may they
    "AccessDenied": (403, "PERMISSION_DENIED"),
    "AccessForbidden": (403, "PERMISSION_DENIED"),
    "AuthorizationHeaderMalformed": (400, "UNAUTHENTICATED"),
    "AuthorizationQueryParametersError": (400, "UNAUTHENTICATED"),
    "InvalidAccessKeyId": (403, "UNAUTHENTICATED"),
    "InvalidToken": (400, "UNAUTHENTICATED"),
    "MissingAuthenticationToken": (403, "UNAUTHENTICATED"),
    "MissingSecurityHeader": (400, "INVALID_ARGUMENT"),
    "RequestTimeTooSkewed": (403, "UNAUTHENTICATED"),
    "SignatureDoesNotMatch": (403, "UNAUTHENTICATED"),
    # Buckets
    "BucketAlreadyExists": (409, "ALREADY_EXISTS"),
    "BucketAlreadyOwnedByYou": (409, "ALREADY_EXISTS"),
    "BucketNotEmpty": (409, "FAILED_PRECONDITION"),
    "IllegalLocationConstraintException": (400, "INVALID_ARGUMENT"),
    "InvalidBucketName": (400, "INVALID_ARGUMENT"),
    "InvalidLocationConstraint": (400, "INVALID_ARGUMENT"),
    "MalformedPolicy": (400, "INVALID_ARGUMENT"),
    "NoSuchBucket": (404, "NOT_FOUND"),
    "NoSuchBucketPolicy": (404, "NOT_FOUND"),
    "NoSuchTagSet": (404, "NOT_FOUND"),
    "TooManyBuckets": (400, "RESOURCE_EXHAUSTED"),
    # Objects
    "ConditionalRequestConflict": (409, "ABORTED"),
    "EntityTooLarge": (400, "INVALID_ARGUMENT"),
    "EntityTooSmall": (400, "INVALID_ARGUMENT"),
    "InvalidObjectState": (403, "FAILED_PRECONDITION"),
    "InvalidPartNumber": (416, "OUT_OF_RANGE"),
    "InvalidRange": (416, "OUT_OF_RANGE"),
    "InvalidStorageClass": (400, "INVALID_ARGUMENT"),
    "InvalidTag": (400, "INVALID_ARGUMENT"),
    "KeyTooLongError": (400, "INVALID_ARGUMENT"),
    "MetadataTooLarge": (400, "INVALID_ARGUMENT"),
    "MethodNotAllowed": (405, "FAILED_PRECONDITION"),
    "NoSuchKey": (404, "NOT_FOUND"),
    "NoSuchVersion": (404, "NOT_FOUND"),
    "NotModified": (304, "FAILED_PRECONDITION"),
    "OperationAborted": (409, "ABORTED"),
    "PreconditionFailed": (412, "FAILED_PRECONDITION"),
    # Digests
    "BadDigest": (400, "INVALID_ARGUMENT"),
    "InvalidDigest": (400, "INVALID_ARGUMENT"),
    "XAmzContentSHA256Mismatch": (400, "INVALID_ARGUMENT"),
    # Uploads in parts
    "InvalidPart": (400, "INVALID_ARGUMENT"),
    "InvalidPartOrder": (400, "INVALID_ARGUMENT"),
    "NoSuchUpload": (404, "NOT_FOUND"),
    # Requests
    "IncompleteBody": (400, "INVALID_ARGUMENT"),
    "InvalidArgument": (400, "INVALID_ARGUMENT"),
    "InvalidChunkSizeError": (403, "INVALID_ARGUMENT"),
    "InvalidRequest": (400, "INVALID_ARGUMENT"),
    "InvalidURI": (400, "INVALID_ARGUMENT"),
    "MalformedTrailerError": (400, "INVALID_ARGUMENT"),
    "MalformedXML": (400, "INVALID_ARGUMENT"),
    "MaxMessageLengthExceeded": (400, "RESOURCE_EXHAUSTED"),
    "MissingContentLength": (411, "INVALID_ARGUMENT"),
    "MissingRequestBodyError": (400, "INVALID_ARGUMENT"),
    "NotImplemented": (501, "UNIMPLEMENTED"),
    "RequestHeaderSectionTooLarge": (431, "RESOURCE_EXHAUSTED"),
    "RequestTimeout": (400, "DEADLINE_EXCEEDED"),
    "UnsupportedArgument": (400, "UNIMPLEMENTED"),
    # The server itself
    "DamagedObject": (500, "DATA_LOSS"),
    "InsufficientStorage": (507, "RESOURCE_EXHAUSTED"),
    "InternalError": (500, "INTERNAL"),
    "ServiceUnavailable": (503, "UNAVAILABLE"),
    "SlowDown": (503, "RESOURCE_EXHAUSTED"),
}

OTHERS: dict[str, tuple[int, str]] = {
    "BadRequest": (400, "INVALID_ARGUMENT"),
}
"""What S3 answers beside the codes of its reference, and rs3gw never does: BadRequest is its eleventh tag."""

CONNECT: dict[str, int] = {
    "canceled": 499,
    "unknown": 500,
    "invalid_argument": 400,
    "deadline_exceeded": 504,
    "not_found": 404,
    "already_exists": 409,
    "permission_denied": 403,
    "resource_exhausted": 429,
    "failed_precondition": 400,
    "aborted": 409,
    "out_of_range": 400,
    "unimplemented": 501,
    "internal": 500,
    "unavailable": 503,
    "data_loss": 500,
    "unauthenticated": 401,
}
"""The canonical codes as Connect spells them, and the status of HTTP of each (connectrpc.com/docs/protocol)."""

PROTOCOLS = ("rest", "grpc", "grpcweb", "connect")


def expected_status(protocol: str, code: str, *, streams: bool = False) -> int | str:
    """
    What a protocol must show for a code: 404, "NOT_FOUND", and on Connect "404 not_found".

    A stream of answers (``streams``) has begun with 200 on Connect, and its end tells the rest: "200 not_found".
    Raises KeyError for a code that the table does not have: a scenario must not invent one.
    """
    http, grpc = (CODES | OTHERS)[code]
    if protocol == "rest":
        return http
    if protocol == "connect":
        name = grpc.lower()
        return f"{200 if streams else CONNECT[name]} {name}"
    if protocol in PROTOCOLS:
        return grpc
    raise ValueError(f"{protocol}: no such protocol; there are {', '.join(PROTOCOLS)}")

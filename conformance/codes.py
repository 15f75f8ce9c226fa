"""
How each S3 error must look on each protocol: the suite's own table, typed by hand.

It is a second opinion.  A server that keeps a table of its own is compared with this one, refusal by refusal; the two
have no source in common but S3's "Error responses" reference and, for gRPC, the meaning of the canonical codes
(AIP-193).  ``tests/conformance`` compares rs3gw's table with it as a whole.
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

PROTOCOLS = ("rest", "grpc")


def expected_status(protocol: str, code: str) -> int | str:
    """
    What a protocol must show for a code.

    Raises KeyError for a code that the table does not have: a scenario must not invent one.
    """
    return (CODES | OTHERS)[code][PROTOCOLS.index(protocol)]

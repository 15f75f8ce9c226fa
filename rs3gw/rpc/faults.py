"""
An S3Error as gRPC shows it: a status code, the sentence, and ErrorInfo with the S3 code and its fields.

The details travel as AIP-193 has it: a google.rpc.Status in the trailing metadata, so that nobody parses prose.
INTERNAL is kept for our own faults; what a client sent wrong is never one.
"""

from __future__ import annotations

import base64
from typing import Final
from urllib.parse import quote

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from rs3gw.errors import InternalError, S3Error

DOMAIN = "rs3gw"
DETAILS = "grpc-status-details-bin"

MAX_FIELD_BYTES, MAX_SENTENCE_BYTES = 1024, 512
"""The most of a field, and of the sentence: clients take 8 KiB of trailing metadata, and drop a call for more."""

Trailing = tuple[tuple[str, bytes], ...]


def known(fault: Exception) -> S3Error:
    """What a client may hear of a fault: an S3Error as it is, of anything else that it was ours."""
    return fault if isinstance(fault, S3Error) else InternalError()


def sentence(fault: S3Error) -> str:
    """Its sentence."""
    return cut(fault.message)


def trailing(fault: S3Error) -> Trailing:
    """Its details, as trailing metadata."""
    details = [_pack(ErrorInfo(reason=fault.code, domain=DOMAIN, metadata=_short(fault)))]
    if fault.retry_after_seconds is not None:
        details.append(_pack(RetryInfo(retry_delay=Duration(seconds=fault.retry_after_seconds))))
    status = Status(code=int(fault.grpc), message=sentence(fault), details=details)
    return ((DETAILS, status.SerializeToString()),)


def _short(fault: S3Error) -> dict[str, str]:
    return {name: cut(value, MAX_FIELD_BYTES) for name, value in fault.fields().items()}


def cut(text: str, most_bytes: int = MAX_SENTENCE_BYTES) -> str:
    """What of a text a client may be sent."""
    return text.encode(errors="replace")[:most_bytes].decode(errors="ignore")


def message(sentence: str) -> str:
    """
    A sentence as a grpc-message: all but printable ASCII percent-encoded, UTF-8, and no longer than clients take it.

    https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, Responses.
    """
    return quote(cut(sentence), safe=_PRINTABLE)


_PRINTABLE: Final = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


def binary(value: bytes) -> bytes:
    """What stands in metadata whose name ends with -bin."""
    return base64.b64encode(value).rstrip(b"=")


def _pack(detail: ErrorInfo | RetryInfo) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed

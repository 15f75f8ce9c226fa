"""
An S3Error as REST shows it: a status and an ``<Error>``, or on a HEAD and a 304 the status alone.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

from http import HTTPStatus

from rs3gw.errors import InternalError, InvalidRange, MethodNotAllowed, S3Error
from rs3gw.rest import routing
from rs3gw.rest.messages import Answer
from rs3gw.rest.xml import escape

XML = (b"content-type", b"application/xml")
HOST_ID = "rs3gw"

# A listing has to give a key back and writes what XML cannot say as S3 does; an error only has to be read.
_UNSPEAKABLE = {code: "\ufffd" for code in (*range(32), 0xFFFE, 0xFFFF) if chr(code) not in "\t\n\r"}


def answer(fault: S3Error, *, resource: str, request_id: str) -> Answer:
    """The answer that a refusal is."""
    headers: list[tuple[bytes, bytes]] = []
    if fault.retry_after_seconds is not None:
        headers.append((b"retry-after", str(fault.retry_after_seconds).encode()))
    if fault.http == HTTPStatus.NOT_MODIFIED:
        # A 304 repeats what a cache keys on and has no body (RFC 9110, section 15.4.5).
        fields = fault.fields()
        for name, header in (("ETag", b"etag"), ("LastModified", b"last-modified")):
            if name in fields:
                headers.append((header, fields[name].encode()))
        return Answer(fault.http, headers)
    if isinstance(fault, InvalidRange) and fault.actual_object_size is not None:
        headers.append((b"content-range", b"bytes */%d" % fault.actual_object_size))
    if isinstance(fault, MethodNotAllowed) and fault.resource_type is not None:
        headers.append((b"allow", routing.METHODS[fault.resource_type.lower()].encode()))
    if "Region" in fault.fields():
        headers.append((b"x-amz-bucket-region", fault.fields()["Region"].encode()))
    return Answer(fault.http, [XML, *headers], document(fault, resource=resource, request_id=request_id))


def document(fault: S3Error, *, resource: str, request_id: str) -> bytes:
    """The ``<Error>`` document; it has no namespace."""
    said = {"Code": fault.code, "Message": fault.message, **fault.fields()}
    said |= {"Resource": resource, "RequestId": request_id, "HostId": HOST_ID}
    inner = "".join(f"<{name}>{escape(value.translate(_UNSPEAKABLE))}</{name}>" for name, value in said.items())
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'
    return text.encode("utf-8", "replace")


def raw(fault: S3Error, request_id: str) -> bytes:
    """The whole answer in bytes, for what is refused before it has become a request; the connection ends with it."""
    body = document(fault, resource="", request_id=request_id)
    lines = [
        f"HTTP/1.1 {fault.http} {HTTPStatus(fault.http).phrase}",
        "content-type: application/xml",
        f"content-length: {len(body)}",
        f"x-amz-request-id: {request_id}",
        "server: rs3gw",
        "connection: close",
    ]
    if fault.retry_after_seconds is not None:
        lines.append(f"retry-after: {fault.retry_after_seconds}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def known(fault: Exception) -> S3Error:
    """What a client may hear of a fault: an S3Error as it is, of anything else that it was ours."""
    return fault if isinstance(fault, S3Error) else InternalError()

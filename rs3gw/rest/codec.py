"""
From a request to an operation's Input, and from its Output to an answer: read off the declarations.

For each operation the places of its fields are looked up once and kept.  Decoding walks the headers that came, not
the ones that might have, so an operation costs what was said; the same walk refuses what nobody declared.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header
from email.utils import format_datetime, parsedate_to_datetime
from functools import cache, lru_cache
from typing import Any

from rs3gw.auth.credentials import Identity
from rs3gw.auth.evidence import UNSIGNED_PAYLOAD
from rs3gw.auth.sigv4 import EMPTY_SHA256, ChunkSigner
from rs3gw.errors import (
    IncompleteBody,
    InvalidArgument,
    InvalidRequest,
    MalformedXML,
    MaxMessageLengthExceeded,
    MissingContentLength,
    MissingRequestBodyError,
    NotImplementedHere,
    RequestTimeout,
)
from rs3gw.gateway.digests import verify_document
from rs3gw.operations import OPERATIONS, Field, Location, Message, Operation
from rs3gw.operations.body import Body, Buffer, Whole
from rs3gw.operations.shapes import NO_CHECKSUMS, Checksums
from rs3gw.rest import xml
from rs3gw.rest.chunked import ChunkedBody
from rs3gw.rest.evidence import CHUNKED, CHUNKED_SIGNED, CHUNKED_UNSIGNED_TRAILER, payload_hash
from rs3gw.rest.messages import Answer, Receive, Request

# x-amz-* headers that belong to the request itself, whatever the operation: each is acted on where it says, or asks
# for nothing (a requester who agrees to pay is never charged here).
HARMLESS = frozenset(
    (
        "x-amz-content-sha256",  # evidence.py, and verified with the body
        "x-amz-date",  # evidence.py
        "x-amz-security-token",  # evidence.py
        "x-amz-decoded-content-length",  # chunked.py
        "x-amz-trailer",  # chunked.py
        "x-amz-user-agent",
        "x-amz-api-version",  # the C++ SDK says 2006-03-01, which is the only one there is
        "x-amz-request-payer",
    )
)

# Conditions and ranges that a write does not declare would be ignored, and a write that should not have been made
# would be.  A read may ignore them: what it answers is right all the same.
_BINDING = frozenset(("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "content-range"))

# What S3 does not take without a Content-MD5 or a checksum.
_NEEDS_DIGEST = frozenset(("DeleteObjects",))

# Digests of a document are verified where it is read; no operation has to declare them.
_DOCUMENT_DIGESTS = frozenset(("x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm"))

LARGE_DOCUMENT_BYTES = 64 * 1024
"""From here on a document is parsed in a thread, so that others are served meanwhile."""


class ClientGone(ConnectionError):
    """The client closed the connection before its request had ended; there is nobody to answer."""


# Values ------------------------------------------------------------------------------------------------------

Read = Callable[[str], Any]


def _integer(wire: str) -> Read:
    def read(said: str) -> int:
        if not re.fullmatch(r"-?\d{1,19}", said.strip()):
            raise InvalidArgument(
                message=f"Provided {wire} not an integer or within integer range",
                argument_name=wire,
                argument_value=said,
            )
        return int(said)

    return read


def _boolean(wire: str) -> Read:
    def read(said: str) -> bool:
        if said.lower() not in ("true", "false"):
            raise InvalidArgument(message=f"{wire} is true or false", argument_name=wire, argument_value=said)
        return said.lower() == "true"

    return read


def _moment(said: str) -> datetime | None:
    """A date of HTTP; one that cannot be read is ignored (RFC 9110, section 13.1.3)."""
    try:
        found = parsedate_to_datetime(said)
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _words(said: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in said.split(",") if word.strip())


def text_of(said: str) -> str:
    """A header's text: UTF-8 where it is that, Latin-1 where it is not."""
    if said.isascii():
        return said
    try:
        said.encode()
    except UnicodeEncodeError:
        return said.encode("utf-8", "surrogateescape").decode("latin-1")
    return said


def _reader(field: Field) -> Read:
    if field.many:
        return _words
    if field.type is int:
        return _integer(field.spec.wire)
    if field.type is bool:
        return _boolean(field.spec.wire)
    return _moment if field.type is datetime else text_of


_CHARSETS = frozenset(("utf-8", "us-ascii", "iso-8859-1"))


def metadata_of(said: str) -> str:
    """
    The value of user metadata; RFC 2047 is how S3's clients send what is not ASCII.

    An encoded word that need not have been one is left as it is: it comes back as it was sent.  So is one in a
    character set that no client of S3's sends: Python knows many that are none.
    """
    if "=?" not in said:
        return text_of(said)
    try:
        pieces = decode_header(said)
        if not all(charset is None or charset.lower() in _CHARSETS for _, charset in pieces):
            return text_of(said)
        found = "".join(
            piece.decode(charset or "ascii") if isinstance(piece, bytes) else piece for piece, charset in pieces
        )
        found.encode()  # bytes in disguise may stand beside an encoded word
    except (HeaderParseError, UnicodeError, LookupError, ValueError):
        return text_of(said)
    return text_of(said) if found.isascii() else found


def metadata_as(value: str) -> bytes:
    """The header that user metadata is: as it is where a header can hold it, else an encoded word of RFC 2047."""
    if value.isascii() and value.isprintable() and value == value.strip():
        return value.encode()
    return b"=?UTF-8?B?" + base64.b64encode(value.encode()) + b"?="


# Decoding ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything of an operation's Input stands."""

    operation: Operation
    headers: Mapping[str, tuple[str, Read, str | None]]
    """Header → (field, reader, the group that it is in)."""
    queries: Mapping[str, tuple[str, Read]]
    metadata: tuple[str, str] | None
    """(prefix, field)."""
    required: frozenset[str]
    stream: str | None
    document: str | None
    has_elements: bool


@cache
def plan_of(operation: str) -> Plan:
    """The plan of an operation, by its name."""
    found = OPERATIONS[operation]
    headers: dict[str, tuple[str, Read, str | None]] = {}
    queries: dict[str, tuple[str, Read]] = {}
    metadata: tuple[str, str] | None = None
    stream = document = None
    has_elements = False
    required: set[str] = set()
    for field in found.input.spelled():
        spec, location = field.spec, field.spec.location
        if location is Location.HEADER:
            headers[spec.wire.lower()] = (field.name, _reader(field), None)
        elif location is Location.QUERY:
            queries[spec.wire] = (field.name, _reader(field))
        elif location is Location.METADATA:
            metadata = (spec.wire.lower(), field.name)
        elif location is Location.GROUP and spec.stands is Location.HEADER:
            for member in field.type.spelled():
                headers[member.spec.wire.lower()] = (member.name, _reader(member), field.name)
        elif location is Location.PAYLOAD:
            if field.type is Body:
                stream = field.name
            else:
                document = field.name
        elif location in (Location.ELEMENT, Location.GROUP):
            has_elements = True
        if field.required and location in (Location.HEADER, Location.QUERY):
            required.add(field.name)
    return Plan(found, headers, queries, metadata, frozenset(required), stream, document, has_elements)


async def decode(
    operation: Operation,
    request: Request,
    labels: Mapping[str, str],
    parameters: Mapping[str, str],
    receive: Receive,
    identity: Identity,
) -> Message:
    """
    The Input of a request; a document is read whole, an object's bytes are left to whoever handles them.

    Raises what is wrong with a value, NotImplementedHere for a header that nobody declared.
    """
    plan = plan_of(operation.name)
    values: dict[str, Any] = dict(labels)
    _headers(plan, request.headers, values)
    if parameters:
        _queries(plan, parameters, values)
    for name in plan.required:
        if name not in values:
            raise InvalidRequest(message=f"Missing required header for this request: {name.replace('_', '-')}")
    if plan.stream is not None:
        values[plan.stream] = _stream(request, receive, identity)
        encoding = values.get("content_encoding")
        if encoding is not None and "aws-chunked" in encoding:
            # What is left is the content's own encoding; the framing was the transport's.
            kept = ",".join(word for word in _words(encoding) if word != "aws-chunked")
            if kept:
                values["content_encoding"] = kept
            else:
                del values["content_encoding"]
    elif plan.document is not None or plan.has_elements:
        data = await _whole(request, receive, identity, needs_digest=operation.name in _NEEDS_DIGEST)
        if plan.document is not None:
            if not data:
                raise MissingRequestBodyError()
            try:
                values[plan.document] = data.decode()
            except UnicodeDecodeError as fault:
                raise InvalidRequest(message="The document is not UTF-8.") from fault
        else:
            await _elements(plan, data, values)
    elif _length(request) or "transfer-encoding" in request.headers:
        # A body where none belongs is read only to verify what was signed of it, and then forgotten.
        await _whole(request, receive, identity)
    else:
        _verify_nothing(request, identity)
    return operation.input.of(values)


def _headers(plan: Plan, headers: Mapping[str, str], values: dict[str, Any]) -> None:
    declared, metadata = plan.headers, plan.metadata
    binding = _BINDING if plan.operation.method not in ("GET", "HEAD") else frozenset()
    for name, said in headers.items():
        place = declared.get(name)
        if place is not None:
            field, read, group = place
            value = read(said)
            if value is None:
                continue
            if group is None:
                values[field] = value
            else:
                values.setdefault(group, {})[field] = value
        elif name.startswith("x-amz-") and name not in HARMLESS:
            if metadata is not None and name.startswith(metadata[0]):
                values.setdefault(metadata[1], {})[name[len(metadata[0]) :]] = metadata_of(said)
            elif not _belongs_to_document(plan, name):
                raise _not_here(name)
        elif name in binding:
            raise _not_here(name)
    sums = values.get("checksums")
    if type(sums) is dict:
        values["checksums"] = Checksums.of(sums)


def _not_here(header: str) -> NotImplementedHere:
    return NotImplementedHere(
        message=f"The header {header} implies functionality that is not implemented.", header=header
    )


def _belongs_to_document(plan: Plan, name: str) -> bool:
    if plan.document is None and not plan.has_elements:
        return False
    return name in _DOCUMENT_DIGESTS or name in _CHECKSUM_FIELDS


_CHECKSUM_FIELDS = {field.spec.wire.lower(): field.name for field in Checksums.spelled()}


def _queries(plan: Plan, parameters: Mapping[str, str], values: dict[str, Any]) -> None:
    for name, said in parameters.items():
        place = plan.queries.get(name)
        if place is not None:
            field, read = place
            values[field] = read(said)
        elif name.startswith("x-amz-") and name not in HARMLESS:
            # Some SDKs hoist headers into the query of a presigned URL: they mean the same there.
            _headers(plan, {name.lower(): said}, values)


async def _elements(plan: Plan, data: bytes, values: dict[str, Any]) -> None:
    kind = plan.operation.input
    if not data.strip():
        if plan.operation.name == "CreateBucket":
            return
        raise MissingRequestBodyError()
    root = await asyncio.to_thread(xml.parse, data) if len(data) > LARGE_DOCUMENT_BYTES else xml.parse(data)
    if xml.local(root.tag) != kind.root:
        raise MalformedXML()
    values.update(xml.fill(kind, root))


# Bodies ------------------------------------------------------------------------------------------------------


def _length(request: Request) -> int | None:
    said = request.headers.get("content-length")
    if said is None:
        return None
    if not said.isdecimal() or len(said) > 19:
        raise InvalidArgument(argument_name="Content-Length", argument_value=said)
    return int(said)


class Incoming(Body):
    """The bytes of a request as the server gives them; a TimeoutError of its ``receive`` is the client's silence."""

    def __init__(self, receive: Receive, *, size: int | None, sha256: str | None) -> None:
        self._receive = receive
        self.size = size
        self.sha256 = sha256

        self._left = size
        self._has_more = True

    # An iterator and not a generator, which its loop would have to know of: that costs as much as a small body.
    def __aiter__(self) -> AsyncIterator[Buffer]:
        return self

    async def __anext__(self) -> Buffer:
        while self._has_more:
            try:
                event = await self._receive()
            except TimeoutError as fault:
                raise RequestTimeout() from fault
            if event["type"] == "http.disconnect":
                raise ClientGone("the client closed the connection in the middle of its request")
            data: bytes = event.get("body", b"")
            self._has_more = event.get("more_body", False)
            if self._left is not None:
                self._left -= len(data)
                if self._left < 0:
                    break
            if data:
                return data
        if self._left:
            raise IncompleteBody(number_bytes_expected=self.size, number_bytes_provided=(self.size or 0) - self._left)
        raise StopAsyncIteration


def _incoming(request: Request, receive: Receive, identity: Identity) -> Body:
    """The request's body with its framing taken off.  Raises for claims that do not go together."""
    headers = request.headers
    claimed = payload_hash(request, request.parameters() if request.pairs else {})
    length = _length(request)
    if length is None and "transfer-encoding" not in headers:
        # No length and no framing: by HTTP there is no body.
        length = 0
    if claimed not in CHUNKED:
        signed = None if claimed == UNSIGNED_PAYLOAD or identity.is_anonymous else claimed
        if request.whole is not None and len(request.whole) == length:
            return Whole(request.whole, sha256=signed)
        return Incoming(receive, size=length, sha256=signed)
    decoded = headers.get("x-amz-decoded-content-length")
    if decoded is None or not decoded.isdecimal() or len(decoded) > 19:
        raise MissingContentLength(message="You must provide the x-amz-decoded-content-length header.")
    inner = Incoming(receive, size=length, sha256=None)
    expects_trailer = claimed != CHUNKED_SIGNED
    promised = _words(headers.get("x-amz-trailer", "").lower())
    if promised and not expects_trailer:
        raise InvalidRequest(message="x-amz-trailer needs an x-amz-content-sha256 that ends with TRAILER.")
    return ChunkedBody(
        inner,
        size=int(decoded),
        signer=None if claimed == CHUNKED_UNSIGNED_TRAILER else _signer(identity),
        promised=promised,
        expects_trailer=expects_trailer,
    )


def _signer(identity: Identity) -> ChunkSigner:
    if identity.signer is None:
        raise InvalidRequest(message="Signed chunks need a signed request.")
    return identity.signer


def _stream(request: Request, receive: Receive, identity: Identity) -> Body:
    headers = request.headers
    if "content-length" not in headers and (
        "x-amz-decoded-content-length" not in headers or "transfer-encoding" not in headers
    ):
        raise MissingContentLength()
    return _incoming(request, receive, identity)


async def _whole(request: Request, receive: Receive, identity: Identity, *, needs_digest: bool = False) -> bytes:
    """A document, read whole and verified against every digest that came with it."""
    body = _incoming(request, receive, identity)
    if body.size is not None and body.size > xml.MAX_DOCUMENT_BYTES:
        raise MaxMessageLengthExceeded(max_message_length_bytes=xml.MAX_DOCUMENT_BYTES)
    data = bytes(body.data) if isinstance(body, Whole) else await _read(body)
    headers = request.headers
    sums = {
        _CHECKSUM_FIELDS[name]: said
        for name, said in (*headers.items(), *body.trailers.items())
        if name in _CHECKSUM_FIELDS
    }
    if _speaks_of_object(request):
        sums = {}
    for named in _DOCUMENT_DIGESTS & headers.keys():
        if headers[named].lower() not in sums:
            raise InvalidRequest(message=f"{named} specified, but no corresponding x-amz-checksum-* header was found.")
    if needs_digest and not sums and "content-md5" not in headers:
        raise InvalidRequest(message="Missing required header for this request: Content-MD5")
    verify_document(
        data,
        content_md5=headers.get("content-md5"),
        checksums=Checksums.of(sums) if sums else NO_CHECKSUMS,
        sha256=body.sha256,
    )
    return data


async def _read(body: Body) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in body:
        size += len(piece)
        if size > xml.MAX_DOCUMENT_BYTES:
            raise MaxMessageLengthExceeded(max_message_length_bytes=xml.MAX_DOCUMENT_BYTES)
        pieces.append(bytes(piece))
    return b"".join(pieces)


def _speaks_of_object(request: Request) -> bool:
    """Whether checksum headers are the object's and not the document's: CompleteMultipartUpload's are."""
    return request.method == "POST" and any(name == "uploadId" for name, _ in request.pairs)


def _verify_nothing(request: Request, identity: Identity) -> None:
    """Where no body came, one must not have been signed.  Raises XAmzContentSHA256Mismatch."""
    claimed = request.headers.get("x-amz-content-sha256", UNSIGNED_PAYLOAD)
    if claimed != UNSIGNED_PAYLOAD and claimed not in CHUNKED and claimed != EMPTY_SHA256 and not identity.is_anonymous:
        verify_document(b"", sha256=claimed)


# Encoding ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def http_date(second: int) -> bytes:
    """A date of HTTP, in whole seconds."""
    return format_datetime(datetime.fromtimestamp(second, UTC), usegmt=True).encode()


Show = Callable[[Any], bytes]


def _show(field: Field) -> Show:
    if field.type is datetime:
        return lambda value: http_date(int(value.timestamp()))
    if field.type is bool:
        return lambda value: b"true" if value else b"false"
    if field.type is int:
        return lambda value: b"%d" % value
    return lambda value: value.encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything of an operation's Output goes."""

    headers: Mapping[str, tuple[bytes, Show, int | None]]
    groups: Mapping[str, Mapping[str, bytes]]
    metadata: tuple[str, bytes] | None
    payload: str | None


@cache
def layout_of(operation: str) -> Layout:
    """The layout of an operation's answer, by its name."""
    headers: dict[str, tuple[bytes, Show, int | None]] = {}
    groups: dict[str, Mapping[str, bytes]] = {}
    metadata: tuple[str, bytes] | None = None
    payload = None
    for field in OPERATIONS[operation].output.spelled():
        spec, location = field.spec, field.spec.location
        if location is Location.HEADER:
            headers[field.name] = (spec.wire.lower().encode(), _show(field), spec.status)
        elif location is Location.GROUP and spec.stands is Location.HEADER:
            groups[field.name] = {member.name: member.spec.wire.lower().encode() for member in field.type.spelled()}
        elif location is Location.METADATA:
            metadata = (field.name, spec.wire.lower().encode())
        elif location is Location.PAYLOAD:
            payload = field.name
    return Layout(headers, groups, metadata, payload)


_TYPE_XML = (b"content-type", b"application/xml")
_TYPE_JSON = (b"content-type", b"application/json")


def encode(operation: Operation, output: Message) -> Answer:
    """The answer that an Output is."""
    layout = layout_of(operation.name)
    status = operation.status
    headers: list[tuple[bytes, bytes]] = []
    add = headers.append
    places, groups, metadata = layout.headers, layout.groups, layout.metadata
    for name, value in output.__dict__.items():
        if value is None:
            continue
        place = places.get(name)
        if place is not None:
            wire, show, makes = place
            add((wire, show(value)))
            if makes is not None:
                status = makes
        elif name in groups:
            names = groups[name]
            for member, said in value.__dict__.items():
                if said is not None:
                    add((names[member], said.encode()))
        elif metadata is not None and name == metadata[0]:
            for key, said in value.items():
                add((metadata[1] + key.encode("utf-8", "replace"), metadata_as(said)))
    if layout.payload is not None:
        body = output.__dict__[layout.payload]
        if isinstance(body, str):
            return Answer(status, [_TYPE_JSON, *headers], body.encode())
        return Answer(status, headers, body)
    if output.root is not None:
        # A listing says of itself how its keys are written, as it was asked to.
        is_encoded = output.__dict__.get("encoding_type") == "url"
        return Answer(status, [_TYPE_XML, *headers], xml.document(output, is_encoded=is_encoded))
    return Answer(status, headers)

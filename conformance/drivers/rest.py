"""
S3 over HTTP, spoken by hand: botocore's model spells requests and reads answers, its signer signs, httpx sends.

Nothing of an SDK's kindness is between: no retry, no redirect, no checksum that nobody asked for, no key that is made
nicer.  What a scenario says is what is sent.  The path goes out as it was signed (httpx would resolve ``..``).
"""

from __future__ import annotations

import base64
import email.header
import hashlib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote, unquote_plus, urlsplit

import httpx
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest, HeadersDict
from botocore.credentials import Credentials
from botocore.parsers import ResponseParserError, create_parser
from botocore.serialize import create_serializer

from conformance import codes
from conformance.capabilities import ENCRYPTION
from conformance.drivers import Answer, Body, Broken, Link, Measure, Refusal, Sink, Status, Unsupported, model
from conformance.drivers.bodies import chunks_of, size_of
from conformance.targets import Keys, Off, Place, keys_of, trust

TIMEOUT_SECONDS = 60.0

LACKS = {"bearer"}
"""What S3 over HTTP has no words for."""

ENCODED = {
    "ListObjects": {"prefix", "marker", "next_marker", "delimiter"},
    "ListObjectsV2": {"prefix", "start_after", "delimiter"},
    "ListMultipartUploads": {"prefix", "key_marker", "next_key_marker", "delimiter"},
}
"""What is percent-encoded in a listing that was asked for with encoding-type=url, besides keys and prefixes."""

LATE_ERROR = re.compile(rb"\s*(<\?xml[^>]*>)?\s*<Error[\s>]")
"""A copy or a completion that fails after its 200 was sent: the answer's root is the error."""

_serializer = create_serializer("rest-xml", include_validation=False)
_parser = create_parser("rest-xml")


class Cut(Exception):
    """Raised inside a request's body to break the connection off."""


@dataclass(slots=True)
class Call:
    """A request that is spelled and not yet signed."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: Any = b""

    @property
    def target(self) -> str:
        """Path and query, as they go out."""
        pairs = "&".join(f"{_encode(name)}={_encode(value)}" for name, value in self.query)
        return f"{self.path}?{pairs}" if pairs else self.path


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")


def spell(operation: str, fields: Mapping[str, Any]) -> Call:
    """
    Write an operation down as HTTP.

    Raises TypeError for a field that it does not have.
    """
    declared = model.operation(operation)
    fields = dict(fields)
    expires = fields.pop("expires", None)
    body = fields.pop("body", None)
    if fields.get("metadata"):
        fields["metadata"] = {name: _header_text(value) for name, value in fields["metadata"].items()}
    parameters = model.to_members(declared.input_shape, fields)
    serialized = _serializer.serialize_to_request(parameters, declared)
    path, _, fixed = serialized["url_path"].partition("?")
    query = [(name, value) for name, _, value in (pair.partition("=") for pair in fixed.split("&") if pair)]
    for name, value in serialized["query_string"].items():
        query += [(name, str(each)) for each in (value if isinstance(value, list) else [value])]
    headers = {name: str(value) for name, value in serialized["headers"].items()}
    if expires is not None:
        headers["Expires"] = expires
    payload = serialized["body"] if body is None else body
    if declared.http_checksum.get("requestChecksumRequired") and "Content-MD5" not in headers:
        digest = hashlib.md5(payload, usedforsecurity=False).digest()
        headers["Content-MD5"] = base64.b64encode(digest).decode()
    return Call(serialized["method"], path, query, headers, payload)


def _header_text(value: str) -> str:
    """Metadata that HTTP's headers cannot carry goes as RFC 2047 has it, which is what S3 gives back too."""
    return value if value.isascii() else email.header.Header(value, "utf-8", maxlinelen=10_000).encode()


def _plain_text(value: str) -> str:
    if "=?" not in value:
        return value
    return str(email.header.make_header(email.header.decode_header(value)))


class _Signer(S3SigV4Auth):  # type: ignore[misc]
    """botocore's signer, told the digest of a body that it need not read."""

    def payload(self, request: AWSRequest) -> str:
        digest: str = request.context["payload_sha256"]
        return digest


class _LinkSigner(S3SigV4QueryAuth):  # type: ignore[misc]
    """botocore's signer of links, at a time of the caller's choosing."""

    def sign(self, request: AWSRequest, at: datetime) -> None:
        request.context["timestamp"] = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        self._modify_request_before_signing(request)
        text = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(text, request))


@dataclass(slots=True)
class Rest:
    """The driver ``rest``."""

    place: Place
    client: httpx.Client
    identity: str = "owner"
    keys: Keys | None = None
    name: str = field(default="rest", init=False)
    protocol: str = field(default="rest", init=False)

    def as_(self, identity: str, *, bearer: bool = False) -> Rest:
        if bearer:
            raise Unsupported("S3 over HTTP has no bearer tokens")
        try:
            return Rest(self.place, self.client, identity, keys_of(self.place, identity))
        except LookupError:
            raise Unsupported(f"the target knows no {identity}") from None

    def supports(self, capability: str) -> bool:
        if capability == "second-identity":
            return "stranger" in self.place.identities
        if capability == "other-protocol":
            return bool(self.place.grpc or self.place.wire)
        if capability in ENCRYPTION:
            return self.place.is_encrypted is ENCRYPTION[capability]
        return capability not in LACKS

    def expected_status(self, code: str, operation: str) -> Status:
        return codes.expected_status(self.protocol, code)

    def perform(self, operation: str, *, sink: Sink | None = None, **fields: Any) -> Answer:
        decodes = operation in ENCODED and fields.setdefault("encoding_type", "url") == "url"
        answer = self._send(operation, self._sign(spell(operation, fields)), sink)
        if decodes and not answer.is_refused and answer.get("encoding_type") == "url":
            _decode_listing(answer.fields, ENCODED[operation])  # type: ignore[arg-type]
        return answer

    def cancel_upload(self, operation: str = "PutObject", *, after_bytes: int, **fields: Any) -> None:
        self._break_off(operation, self._sign(spell(operation, fields)), after_bytes)

    def presign(self, operation: str, *, lifetime_seconds: int, at: datetime | None = None, **fields: Any) -> Link:
        if self.keys is None:
            raise Unsupported("nobody cannot sign")
        call = spell(operation, {name: value for name, value in fields.items() if name != "body"})
        if "content_md5" not in fields:
            # What spell() adds is of a body that is not there yet.
            call.headers.pop("Content-MD5", None)
        request = AWSRequest(method=call.method, url=self.place.url + call.target, headers=dict(call.headers))
        signer = _LinkSigner(_credentials(self.keys), "s3", self.place.region, expires=lifetime_seconds)
        signer.sign(request, at or datetime.now(UTC))
        return Link(operation=operation, method=call.method, url=request.url, headers=dict(call.headers))

    def follow(self, link: Link, *, body: Body = b"", headers: Mapping[str, str] | None = None) -> Answer:
        return self._send(link.operation, self._of_link(link, body, headers or {}), None)

    def cut_link(self, link: Link, *, body: Body, after_bytes: int) -> None:
        """Begin an upload to a link and break it off, as cancel_upload has it."""
        self._break_off(link.operation, self._of_link(link, body, {}), after_bytes)

    def close(self) -> None:
        self.client.close()

    def _break_off(self, operation: str, call: Call, after_bytes: int) -> None:
        call.headers["Content-Length"] = str(size_of(call.body))
        call.body = _cut(chunks_of(call.body), after_bytes)
        try:
            answer = self._send(operation, call, None)
        except (Cut, Broken):
            return
        raise AssertionError(f"an upload that was broken off was answered: {answer.refusal or answer.fields}")

    def _of_link(self, link: Link, body: Body, headers: Mapping[str, str]) -> Call:
        path, _, query = link.url.removeprefix(self.place.url).partition("?")
        pairs = [
            (unquote(name), unquote(value)) for name, _, value in (pair.partition("=") for pair in query.split("&"))
        ]
        return Call(link.method, path, pairs, {**link.headers, **headers}, _sized(body))

    def _sign(self, call: Call) -> Call:
        call.body = _sized(call.body)
        if self.keys is None:
            return call
        request = AWSRequest(method=call.method, url=self.place.url + call.target, headers=dict(call.headers))
        request.context["payload_sha256"] = Measure.of(call.body).sha256
        _Signer(_credentials(self.keys), "s3", self.place.region).add_auth(request)
        call.headers = dict(request.headers.items())
        return call

    def _send(self, operation: str, call: Call, sink: Sink | None) -> Answer:
        headers = {name.encode(): value.encode() for name, value in call.headers.items()}
        if not isinstance(call.body, bytes) and b"Content-Length" not in headers:
            headers[b"Content-Length"] = str(size_of(call.body)).encode()
        content = call.body if isinstance(call.body, bytes) else iter(call.body)
        request = self.client.build_request(
            call.method,
            self.place.url + call.path,
            headers=headers,
            content=content,
            extensions={"target": call.target.encode(), "timeout": httpx.Timeout(TIMEOUT_SECONDS).as_dict()},
        )
        try:
            response = self.client.send(request, stream=True)
            try:
                return _read(operation, call.method, response, sink)
            finally:
                response.close()
        except httpx.HTTPError as fault:
            raise Broken(f"{operation}: {type(fault).__name__}: {fault}") from fault


def _sized(body: Body) -> Body:
    """A body whose size is known before it is sent."""
    return body if size_of(body) is not None else b"".join(chunks_of(body))


def _credentials(keys: Keys) -> Credentials:
    return Credentials(keys.access_key, keys.secret_key)


def _cut(chunks: Iterator[bytes], after_bytes: int) -> Iterator[bytes]:
    for chunk in chunks:
        if len(chunk) >= after_bytes:
            yield chunk[:after_bytes]
            break
        after_bytes -= len(chunk)
        yield chunk
    raise Cut


def _read(operation: str, method: str, response: httpx.Response, sink: Sink | None) -> Answer:
    """Turn what came back into an Answer.  Raises Broken."""
    status = response.status_code
    headers = HeadersDict(dict(response.headers.items()))
    request_id = response.headers.get("x-amz-request-id", "")
    seen = {"status": status, "headers": dict(response.headers.items())}
    streams = operation == "GetObject" and status < 300
    measure, kept = Measure(), []
    for chunk in response.iter_raw():
        if streams:
            measure.take(chunk)
        if streams and sink is not None:
            sink(chunk)
        else:
            kept.append(chunk)
    body = b"".join(kept)
    if not streams:
        seen["body"] = body
    promised = response.headers.get("content-length")
    if streams and promised is not None and int(promised) != measure.size:
        raise Broken(f"{operation}: {promised} bytes were promised and {measure.size} came")
    if status >= 300 or (not streams and LATE_ERROR.match(body)):
        return Answer(operation=operation, refusal=_refusal(status, body), request_id=request_id, seen=seen)
    fields = _fields(operation, status, headers, b"" if streams or method == "HEAD" else body)
    return Answer(
        operation=operation,
        fields=fields,
        body=body if streams else b"",
        measure=measure,
        request_id=request_id,
        seen=seen,
    )


def _refusal(status: int, body: bytes) -> Refusal:
    if not body:
        return Refusal(code=None, message="", status=status)
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - the suite trusts the server that it was pointed at
    except ElementTree.ParseError as fault:
        raise Broken(f"status {status} with a body that is no XML ({fault}): {body[:200]!r}") from fault
    said = {child.tag.rpartition("}")[2]: child.text or "" for child in root}
    if root.tag.rpartition("}")[2] != "Error" or "Code" not in said:
        raise Broken(f"status {status} with a body that is no <Error>: {body[:200]!r}")
    code, message = said.pop("Code"), said.pop("Message", "")
    return Refusal(code=code, message=message, status=status, fields=said)


def _fields(operation: str, status: int, headers: HeadersDict, body: bytes) -> dict[str, Any]:
    shape = model.operation(operation).output_shape
    expires = headers.pop("expires", None) if "expires" in headers else None
    try:
        parsed = _parser.parse({"status_code": status, "headers": headers, "body": body, "context": {}}, shape)
    except (ResponseParserError, ValueError) as fault:
        raise Broken(f"{operation}: {fault}") from fault
    parsed.pop("Body", None)
    fields = model.to_fields(parsed)
    if operation == "GetBucketLocation":
        # The one answer whose value is the root itself; every SDK reads it by hand.
        fields = {"location_constraint": ElementTree.fromstring(body).text}  # noqa: S314 - as above
    if expires is not None:
        fields["expires"] = expires
    if "metadata" in fields:
        fields["metadata"] = {name: _plain_text(value) for name, value in fields["metadata"].items()}
    return model.with_lists(operation, {name: value for name, value in fields.items() if value is not None})


def _decode_listing(fields: dict[str, Any], names: set[str]) -> None:
    fields.pop("encoding_type")
    for name in names & fields.keys():
        fields[name] = unquote_plus(fields[name])
    for items, name in (("contents", "key"), ("uploads", "key"), ("common_prefixes", "prefix")):
        for item in fields.get(items, ()):
            if name in item:
                item[name] = unquote_plus(item[name])


def make(place: Place) -> Rest:
    """The owner's driver onto a place.  Raises Off."""
    if not place.url:
        raise Off("no URL for REST")
    if urlsplit(place.url).path not in ("", "/"):
        raise Off(f"{place.url}: an S3 endpoint has no path")
    if place.transport:
        transport = place.transport()
    else:
        limits = httpx.Limits(max_connections=64)
        transport = httpx.HTTPTransport(limits=limits, verify=trust(place.authority))
    client = httpx.Client(
        transport=transport, headers={"Accept-Encoding": "identity", "User-Agent": "conformance"}, trust_env=False
    )
    return Rest(place, client, "owner", place.identities["owner"])

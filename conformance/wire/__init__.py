"""
Raw request → raw answer: the promises that Gherkin would say badly.

A row says what is sent, byte by byte, and what must come back.  The files beside this one hold them, a concern each.

    feature = "Signatures"                   # once a file; what reports call it
    needs = ["authentication"]               # capabilities that every row of the file needs

    [[row]]
    name = "A signature with one digit changed is refused"
    needs = ["policies"]                     # further ones of this row
    objects = { greeting = "hello" }         # what the row's own fresh bucket, {bucket}, holds; bucket = false for none
    policy = '…'                             # its policy
    request = '''
    PUT /{bucket}/greeting?x=y HTTP/1.1
    Host: {host}
    Content-Type: text/plain
    '''
    body = "hello"                           # or body_hex = "00ff", or body_of = { text = "a", times = 9000000 }
    sign = { flip = true }                   # see below; a row without it is not signed
    change = [["x=y", "x=z"]]                # [regular expression, replacement], on the head once it is signed
    answer = { status = 403, code = "SignatureDoesNotMatch" }
    holds = { greeting = "hello" }           # what the bucket must hold afterwards …
    absent = ["other"]                       # … and what it must not

``sign``: ``as`` (an identity; "owner"), ``form`` ("header", or "query" for a presigned URL), ``payload`` (the digest of
the body, or this text), ``at`` (seconds from now: -960 is 16 minutes ago), ``expires`` (seconds; of a query),
``region``, ``service``, ``date`` (of the scope, YYYYMMDD), ``unsigned`` (headers to leave out), ``path`` (sign this
path instead), ``flip`` (change one digit of the signature).  X-Amz-Date and X-Amz-Content-SHA256 are added where the
request has none.

``chunks`` instead of a body makes aws-chunked framing: ``data`` (a text, or ``{ text = "a", times = 8192 }``, for each
chunk), ``signed`` (true), ``trailers`` (name → value), ``final`` (true: the empty chunk that ends it), ``flip`` (the
number of the chunk whose signature is changed, from 0; -1 is the trailer's).

``answer``: ``status`` (a number, or a list of them; 0 is a connection that closes without an answer), ``code`` (a
name, or a list of them), ``headers`` (name → regular expression; "" for not there), ``body`` (the whole text),
``contains`` (a piece of it), ``continued`` (whether 100 Continue must come before the body is sent, or must not),
``closes`` (the connection is closed after it).

How it is sent: a body gets a Content-Length unless the request has one, or ``framing = false``; ``send_bytes`` sends
only so much of the body and then nothing more; ``flood = { name = "X-Filler", value = "a", times = 900 }`` adds headers
(``{n}`` in the name is their number).  What only a socket can show says ``socket = true``; ``send_bytes``,
``continued`` and ``closes`` say it by themselves.

In the request, the body and the policy stand for themselves: {bucket} {host} {length} {decoded} {md5} {sha1} {sha256}
{crc32} {crc32c} {crc64nvme} {access_key} {date} {now}; the digests are base64, of the content without framing, and
{sha256hex} is hex.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import socket
import ssl
import time
import tomllib
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_plus, urlsplit

import httpx

from conformance.behave import ROOT, Cell
from conformance.drivers import Unsupported
from conformance.drivers.rest import Rest
from conformance.results import Result, Status
from conformance.targets import Keys, Place, keys_of
from conformance.world import World

HERE = Path(__file__).parent
ANSWER_SECONDS = 20.0

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()

_ROW = {
    "name", "needs", "objects", "bucket", "policy", "request", "body", "body_hex", "body_of", "chunks", "sign",
    "change", "answer", "holds", "absent", "framing", "send_bytes", "flood", "socket",
}  # fmt: skip
_SIGN = {"as", "form", "payload", "at", "expires", "region", "service", "date", "unsigned", "path", "flip"}
_CHUNKS = {"data", "signed", "trailers", "final", "flip"}
_ANSWER = {"status", "code", "headers", "body", "contains", "continued", "closes"}


class RowError(ValueError):
    """A row says something that the runner does not know: nothing is accepted and ignored here either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a file, with everything that it says."""

    feature: str
    where: str
    needs: tuple[str, ...]
    said: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.said["name"])

    @property
    def wants_socket(self) -> bool:
        """Whether only a socket can show it."""
        return bool(
            self.said.get("socket") or "send_bytes" in self.said or self.said["answer"].keys() & {"continued", "closes"}
        )


def rows(folder: Path = HERE) -> Iterator[Row]:
    """Every row of every file, in order.  Raises RowError."""
    for path in sorted(folder.glob("*.toml")):
        text = path.read_text()
        try:
            said = tomllib.loads(text)
        except tomllib.TOMLDecodeError as fault:
            raise RowError(f"{path.name}: {fault}") from fault
        lines = [number for number, line in enumerate(text.splitlines(), 1) if line.strip() == "[[row]]"]
        for row, line in zip(said.get("row", ()), lines, strict=True):
            where = f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name}:{line}"
            for table, known in ((row, _ROW), (row.get("sign", {}), _SIGN), (row.get("chunks", {}), _CHUNKS),
                                 (row.get("answer", {}), _ANSWER)):  # fmt: skip
                if table.keys() - known:
                    raise RowError(f"{where}: {', '.join(sorted(table.keys() - known))}: no such thing in a row")
            if not {"name", "request", "answer"} <= row.keys():
                raise RowError(f"{where}: a row has a name, a request and an answer")
            yield Row(
                feature=said["feature"], where=where, needs=(*said.get("needs", ()), *row.get("needs", ())), said=row
            )


# Writing a request -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Head:
    """The head of a request while it is written."""

    method: str
    target: str
    version: str
    headers: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read the request of a row."""
        first, *rest = [line for line in text.strip("\n").splitlines() if line.strip()]
        method, target, version = first.strip().split(" ") if first.count(" ") == 2 else _spaced(first.strip())
        pairs = (line.strip().partition(":") for line in rest)
        return cls(method, target, version, [(name, value.strip()) for name, _, value in pairs])

    def get(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return ",".join(found) if found else None

    def default(self, name: str, value: str) -> None:
        """Add a header unless there is one."""
        if self.get(name) is None:
            self.headers.append((name, value))

    def text(self) -> str:
        return "".join(
            [f"{self.method} {self.target} {self.version}\r\n", *(f"{k}: {v}\r\n" for k, v in self.headers), "\r\n"]
        )


def _spaced(line: str) -> tuple[str, str, str]:
    """A request line whose target has spaces in it."""
    method, _, rest = line.partition(" ")
    target, _, version = rest.rpartition(" ")
    return method, target, version


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a signature was made with, as the chunks that follow it need it."""

    key: bytes
    scope: str
    stamp: str
    signature: str


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _flipped(signature: str) -> str:
    return ("1" if signature[0] == "0" else "0") + signature[1:]


def sign(head: Head, how: Mapping[str, Any], keys: Keys, body: bytes, *, region: str) -> Scope:
    """Sign a head in place, by SigV4 written out once more: a witness that shares no code with any server."""
    at = datetime.now(UTC) + timedelta(seconds=how.get("at", 0))
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    date = how.get("date", stamp[:8])
    region, service = how.get("region", region), how.get("service", "s3")
    scope = f"{date}/{region}/{service}/aws4_request"
    path, _, query = head.target.partition("?")
    left_out = {name.lower() for name in how.get("unsigned", ())}
    if how.get("form") == "query":
        payload = how.get("payload", "UNSIGNED-PAYLOAD")
        names = sorted({name.lower() for name, _ in head.headers} - left_out)
        asked = {
            "X-Amz-Algorithm": ALGORITHM,
            "X-Amz-Credential": f"{keys.access_key}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(how.get("expires", 60)),
            "X-Amz-SignedHeaders": ";".join(names),
        }
        query = "&".join(
            [query] * bool(query) + [f"{name}={quote(value, safe='-_.~')}" for name, value in asked.items()]
        )
        head.target = f"{path}?{query}"
    else:
        payload = how.get("payload", _sha256(body))
        head.default("x-amz-date", stamp)
        head.default("x-amz-content-sha256", payload)
        skipped = left_out | {"connection", "expect", "transfer-encoding", "user-agent"}
        names = sorted({name.lower() for name, _ in head.headers} - skipped)
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    canonical_query = "&".join(
        sorted(f"{quote(unquote_plus(k), safe='-_.~')}={quote(unquote_plus(v), safe='-_.~')}" for k, _, v in pairs)
    )
    canonical_headers = "".join(f"{name}:{' '.join((head.get(name) or '').split())}\n" for name in names)
    canonical = "\n".join(
        [head.method, how.get("path", path), canonical_query, canonical_headers, ";".join(names), payload]
    )
    key = b"AWS4" + keys.secret_key.encode()
    for step in (date, region, service, "aws4_request"):
        key = _hmac(key, step)
    signature = _hmac(key, "\n".join([ALGORITHM, stamp, scope, _sha256(canonical.encode())])).hex()
    shown = _flipped(signature) if how.get("flip") else signature
    if how.get("form") == "query":
        head.target += f"&X-Amz-Signature={shown}"
    else:
        credential = f"{keys.access_key}/{scope}"
        head.default(
            "Authorization", f"{ALGORITHM} Credential={credential}, SignedHeaders={';'.join(names)}, Signature={shown}"
        )
    return Scope(key=key, scope=scope, stamp=stamp, signature=shown)


def chunked(how: Mapping[str, Any], scope: Scope | None) -> bytes:
    """The aws-chunked framing of a row's chunks; signatures are of nothing where the head is not signed yet."""
    pieces, previous = [], scope.signature if scope else "0" * 64
    chunks = [*_content_chunks(how), *([b""] if how.get("final", True) else [])]
    signs, flip = how.get("signed", True), how.get("flip")

    def signature(kind: str, *digests: str) -> str:
        if scope is None:
            return "0" * 64
        return _hmac(scope.key, "\n".join([f"{ALGORITHM}-{kind}", scope.stamp, scope.scope, previous, *digests])).hex()

    for number, data in enumerate(chunks):
        extension = ""
        if signs:
            previous = signature("PAYLOAD", EMPTY_SHA256, _sha256(data))
            extension = f";chunk-signature={_flipped(previous) if flip == number else previous}"
        end = b"" if not data and "trailers" in how else b"\r\n"
        pieces.append(f"{len(data):x}{extension}\r\n".encode() + data + end)
    if "trailers" in how and how.get("final", True):
        trailers = how["trailers"]
        pieces += [f"{name}:{value}\r\n".encode() for name, value in trailers.items()]
        if signs:
            canonical = "".join(f"{name.lower()}:{value}\n" for name, value in sorted(trailers.items()))
            proof = signature("TRAILER", _sha256(canonical.encode()))
            pieces.append(f"x-amz-trailer-signature:{_flipped(proof) if flip == -1 else proof}\r\n".encode())
        pieces.append(b"\r\n")
    return b"".join(pieces)


def _content_chunks(how: Mapping[str, Any]) -> list[bytes]:
    return [_times(text) if isinstance(text, dict) else text.encode() for text in how["data"]]


def _times(how: Mapping[str, Any]) -> bytes:
    text: str = how["text"]
    return text.encode() * int(how["times"])


def content(said: Mapping[str, Any]) -> bytes:
    """What a row's body holds, without framing."""
    if "chunks" in said:
        return b"".join(_content_chunks(said["chunks"]))
    if "body_hex" in said:
        return bytes.fromhex(said["body_hex"])
    if "body_of" in said:
        return _times(said["body_of"])
    return str(said.get("body", "")).encode()


@dataclass(frozen=True, slots=True)
class Written:
    """A request as it goes out."""

    head: bytes
    body: bytes
    method: str


def write(row: Row, rest: Rest, bucket: str) -> Written:
    """Write a row's request."""
    said, place = row.said, rest.place
    held = content(said)
    now = datetime.now(UTC)
    words = {
        "bucket": bucket,
        "host": urlsplit(place.url).netloc,
        "decoded": str(len(held)),
        "sha256hex": _sha256(held),
        "access_key": place.identities["owner"].access_key,
        "date": now.strftime("%Y%m%d"),
        "now": now.strftime("%Y%m%dT%H%M%SZ"),
    } | {name: base64.b64encode(digest).decode() for name, digest in _digests(held)}

    def put(text: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda found: words.get(found[1], found[0]), text)

    framing = dict(said["chunks"]) if "chunks" in said else None
    if framing and "trailers" in framing:
        framing["trailers"] = {name: put(value) for name, value in framing["trailers"].items()}
    # The length of the framing is signed before its signatures are known; they are all of one length.
    body = chunked(framing, None) if framing else put(str(said["body"])).encode() if "body" in said else held
    words["length"] = str(len(body))
    head = Head.parse(put(said["request"]))
    if (body or head.method in ("PUT", "POST")) and said.get("framing", True) and not head.get("transfer-encoding"):
        head.default("Content-Length", str(len(body)))
    flood = said.get("flood")
    if flood:
        head.headers += [(flood["name"].replace("{n}", str(n)), flood["value"]) for n in range(flood["times"])]
    if "sign" in said:
        keys = keys_of(place, said["sign"].get("as", "owner"))
        if keys is None:
            raise RowError(f"{row.where}: nobody cannot sign")
        scope = sign(head, {**said["sign"]}, keys, body, region=place.region)
        if framing:
            body = chunked(framing, scope)
    text = head.text()
    for pattern, replacement in said.get("change", ()):
        text, count = re.subn(pattern, put(replacement), text, count=1)
        if not count:
            raise RowError(f"{row.where}: there is no {pattern} to change")
    return Written(text.encode(), body, head.method)


def _digests(data: bytes) -> Iterator[tuple[str, bytes]]:
    from awscrt import checksums

    yield "md5", hashlib.md5(data, usedforsecurity=False).digest()
    yield "sha1", hashlib.sha1(data, usedforsecurity=False).digest()
    yield "sha256", hashlib.sha256(data).digest()
    yield "crc32", zlib.crc32(data).to_bytes(4, "big")
    yield "crc32c", checksums.crc32c(data).to_bytes(4, "big")
    yield "crc64nvme", checksums.crc64nvme(data).to_bytes(8, "big")


# Sending it --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    continued: bool = False
    closed: bool = False


def over_transport(transport: httpx.BaseTransport, url: str, written: Written) -> Raw:
    """Send it where there is no socket: what a server's HTTP parser would do is left out, and such rows with it."""
    head = Head.parse(written.head.decode())
    request = httpx.Request(
        head.method,
        url,
        headers=[(name.encode(), value.encode()) for name, value in head.headers],
        content=written.body,
        extensions={"target": head.target.encode()},
    )
    wanted = {name.lower() for name, _ in head.headers}
    request.headers = httpx.Headers([pair for pair in request.headers.raw if pair[0].decode().lower() in wanted])
    response = transport.handle_request(request)
    try:
        return Raw(status=response.status_code, headers=dict(response.headers), body=response.read())
    finally:
        response.close()


@contextmanager
def connected(place: Place) -> Iterator[socket.socket]:
    """A connection to a place, encrypted where the place is."""
    where = urlsplit(place.url)
    port = where.port or (443 if place.is_encrypted else 80)
    with socket.create_connection((where.hostname, port), timeout=ANSWER_SECONDS) as plain:
        if not place.is_encrypted:
            yield plain
            return
        trusting = ssl.create_default_context(cafile=str(place.authority) if place.authority else None)
        with trusting.wrap_socket(plain, server_hostname=where.hostname) as encrypted:
            yield encrypted


def over_socket(place: Place, written: Written, *, send_bytes: int | None, waits: bool, watches: bool = True) -> Raw:
    """
    Send it byte for byte, and read what comes until the answer is whole or the connection closed.

    ``watches``: also wait a moment to see whether the connection is closed after the answer.
    """
    with connected(place) as connection:
        reader = _Reader(connection, watches=watches)
        connection.sendall(written.head)
        continued = False
        if waits:
            status, headers = reader.head()
            continued = status == 100
            if not continued:
                return reader.answer(status, headers, written.method, continued=False)
        try:
            connection.sendall(written.body if send_bytes is None else written.body[:send_bytes])
            if send_bytes is not None:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # A server may refuse and close before it has read everything; its answer is what counts.
        try:
            status, headers = reader.head()
        except NoAnswer:
            return Raw(status=0, headers={}, body=b"", continued=continued, closed=True)
        while status == 100:
            continued = True
            status, headers = reader.head()
        return reader.answer(status, headers, written.method, continued=continued)


class NoAnswer(ConnectionError):
    """The connection closed before a byte of an answer came."""


class _Reader:
    """Reads an answer off a socket, no more of HTTP/1.1 than answers need."""

    def __init__(self, connection: socket.socket, *, watches: bool = True) -> None:
        self._connection = connection
        self._watches = watches
        self._held = b""

    def head(self) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self._held:
            if not self._more():
                if not self._held:
                    raise NoAnswer
                raise ConnectionError(f"the connection closed within the head of an answer: {self._held[:200]!r}")
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return int(first.split(" ")[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}

    def answer(self, status: int, headers: dict[str, str], method: str, *, continued: bool) -> Raw:
        if method == "HEAD" or status in (204, 304):
            body = b""
        elif headers.get("transfer-encoding", "").lower() == "chunked":
            body = self._chunks()
        elif "content-length" in headers:
            body = self._take(int(headers["content-length"]))
        else:
            while self._more():
                pass
            body = self._held
        return Raw(status=status, headers=headers, body=body, continued=continued, closed=self._closes(headers))

    def _closes(self, headers: dict[str, str]) -> bool:
        if headers.get("connection", "").lower() == "close":
            return True
        if not self._watches:
            return False
        self._connection.settimeout(0.5)
        try:
            return not self._more()
        except OSError:
            return False

    def _more(self) -> bool:
        try:
            data = self._connection.recv(65536)
        except ConnectionResetError:
            return False
        self._held += data
        return bool(data)

    def _take(self, size: int) -> bytes:
        while len(self._held) < size:
            if not self._more():
                raise ConnectionError(f"{size} bytes were promised and {len(self._held)} came")
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    def _chunks(self) -> bytes:
        found = b""
        while True:
            while b"\r\n" not in self._held:
                if not self._more():
                    raise ConnectionError("the connection closed within a chunk")
            line, _, self._held = self._held.partition(b"\r\n")
            size = int(line.partition(b";")[0], 16)
            found += self._take(size)
            self._take(2)
            if not size:
                return found


# Judging it --------------------------------------------------------------------------------------------------


def judge(expected: Mapping[str, Any], raw: Raw) -> None:
    """Raises AssertionError for the first thing that is not as the row says."""
    shown = f"{raw.status} {raw.body[:300].decode(errors='replace')!r}"
    statuses = expected.get("status", 200)
    assert raw.status in (statuses if isinstance(statuses, list) else [statuses]), f"expected {statuses}, got {shown}"
    if "code" in expected:
        codes = expected["code"]
        fits = codes if isinstance(codes, list) else [codes]
        assert _code(raw.body) in fits, f"expected {' or '.join(fits)}, got {shown}"
    for name, pattern in expected.get("headers", {}).items():
        value = raw.headers.get(name.lower())
        if pattern == "":
            assert value is None, f"{name} must not be there, and is {value!r}"
        else:
            assert value is not None, f"no {name} in {sorted(raw.headers)}"
            assert re.fullmatch(pattern, value), f"{name} is {value!r}, not {pattern}"
    if "body" in expected:
        assert raw.body == str(expected["body"]).encode(), f"another body: {shown}"
    if "contains" in expected:
        assert str(expected["contains"]).encode() in raw.body, f"no {expected['contains']!r} in {shown}"
    if "continued" in expected:
        assert raw.continued is expected["continued"], f"100 Continue {'came' if raw.continued else 'did not come'}"
    if "closes" in expected:
        assert raw.closed is expected["closes"], f"the connection {'closed' if raw.closed else 'stayed open'}"


def _code(body: bytes) -> str | None:
    try:
        return ElementTree.fromstring(body).findtext("Code")  # noqa: S314 - the suite trusts what it was pointed at
    except ElementTree.ParseError:
        return None


def perform(row: Row, cell: Cell) -> None:
    """Play one row.  Raises AssertionError where it is not answered as it says, Unsupported where it cannot be."""
    rest = cell.driver
    if not isinstance(rest, Rest):
        raise Unsupported("rows are played by the driver rest")
    if row.wants_socket and not rest.place.has_socket:
        raise Unsupported("only a socket can show it")
    if "send_bytes" in row.said and rest.place.is_encrypted:
        raise Unsupported("Python's TLS sockets cannot be half closed")
    said, world = row.said, World(rest)
    try:
        bucket = world.make_bucket() if said.get("bucket", True) else world.name()
        for key, text in said.get("objects", {}).items():
            world.must("PutObject", bucket=bucket, key=key, body=text.encode())
        if "policy" in said:
            world.must("PutBucketPolicy", bucket=bucket, policy=said["policy"].replace("{bucket}", bucket))
        written = write(row, rest, bucket)
        if rest.place.has_socket:
            send_bytes, waits = said.get("send_bytes"), "continued" in said["answer"]
            watches = "closes" in said["answer"]
            raw = over_socket(rest.place, written, send_bytes=send_bytes, waits=waits, watches=watches)
        else:
            assert rest.place.transport is not None
            raw = over_transport(rest.place.transport(), rest.place.url, written)
        judge(said["answer"], raw)
        for key, text in said.get("holds", {}).items():
            answer = world.must("GetObject", bucket=bucket, key=key)
            assert answer.body == text.encode(), f"{key} holds {answer.body[:100]!r} afterwards"
        for key in said.get("absent", ()):
            assert rest.perform("GetObject", bucket=bucket, key=key).is_refused, f"{key} is there afterwards"
    finally:
        world.clean()


def run(cell: Cell, *, names: tuple[str, ...] = ()) -> list[Result]:
    """Play every row in a cell; one Result each."""
    found = []
    for row in rows():
        if names and not any(re.search(name, row.name) for name in names):
            continue
        started = time.perf_counter()
        lacking = cell.lacking([f"needs.{need}" for need in ("wire", *row.needs)])
        status, reason = (Status.UNSUPPORTED, lacking) if lacking else _status(row, cell)
        result = Result(
            feature=row.feature,
            rule="",
            name=row.name,
            where=row.where,
            status=status,
            reason=reason,
            tags=tuple(f"needs.{need}" for need in row.needs),
            seconds=round(time.perf_counter() - started, 4),
        )
        found.append(result if lacking else cell.profile.judge(cell.driver.name, result))
    return found


def _status(row: Row, cell: Cell) -> tuple[Status, str]:
    try:
        perform(row, cell)
    except Unsupported as fault:
        return Status.UNSUPPORTED, str(fault)
    except AssertionError as fault:
        return Status.FAIL, str(fault)
    except Exception as fault:
        return Status.ERROR, f"{type(fault).__name__}: {fault}"
    return Status.PASS, ""

"""
Protobuf beside XML and JSON: what the same answer weighs, and what it takes to write and to read it.

Answers are written by the gateway's own code where it has some: its XML and its heads are what REST answers, its
protobuf what gRPC does.  JSON is neither's, and XML and JSON hold content only in base64: they stand here because
claims about protobuf are made against them.  No network and no storage is in these figures.
"""

from __future__ import annotations

import base64
import json
import os
import statistics
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httptools

from loadtests.page import Page, Section, Table
from loadtests.plots import Plot
from loadtests.setting import Setting
from loadtests.stubs import s3_pb2
from rs3gw.operations import OPERATIONS
from rs3gw.operations.object import ObjectEntry
from rs3gw.rest import codec as rest
from rs3gw.rest import xml
from rs3gw.rpc import codec as rpc

KIB = 1024
KEYS = 1000
ETAG = '"d41d8cd98f00b204e9800998ecf8427e"'
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
GET, LIST = OPERATIONS["GetObject"], OPERATIONS["ListObjectsV2"]


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write an answer and to read it; reading touches every value, as a client that uses them does."""

    name: str
    write: Callable[[], bytes]
    read: Callable[[bytes], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    form: str
    bytes: int
    write_us: float
    read_us: float


def measure(setting: Setting) -> Page:
    seconds = setting.pick(0.02, 1.0)
    answers: dict[str, list[Form]] = {
        "an object of 1 KiB": list(_object(1 * KIB)),
        "an object of 10 KiB": list(_object(10 * KIB)),
        f"a listing of {KEYS:,} keys": list(_listing()),
    }
    found = {answer: [_figure(form, seconds) for form in forms] for answer, forms in answers.items()}
    return Page(
        title="Protobuf, XML and JSON",
        text="Written and read in one thread, the median of runs; Python's protobuf is the one in C (upb), JSON and XML"
        " are read by the standard library (in C, too).\n"
        "REST answers an object's content as it is, behind a head of HTTP: that it were in XML is said nowhere but in"
        " comparisons, and stands here for them.\n"
        "The ratio is to protobuf: above 1, protobuf is smaller or faster.",
        sections=[
            Section(
                heading=answer[0].upper() + answer[1:],
                table=_table(figures),
                plots=[_plot(number, answer, figures)],
            )
            for number, (answer, figures) in enumerate(found.items())
        ],
    )


def _figure(form: Form, seconds: float) -> Figure:
    wire = form.write()
    return Figure(
        form=form.name,
        bytes=len(wire),
        write_us=_median_us(form.write, seconds),
        read_us=_median_us(lambda: form.read(wire), seconds),
    )


def _median_us(work: Callable[[], object], seconds: float) -> float:
    """The median over groups of ten calls, so that the clock is not what is measured."""
    taken: list[float] = []
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or len(taken) < 3:
        began = time.perf_counter()
        for _ in range(10):
            work()
        taken.append((time.perf_counter() - began) / 10 * 1e6)
    return statistics.median(taken)


# An object ---------------------------------------------------------------------------------------------------


class _Head:
    """What httptools tells of an answer."""

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name] = value

    def on_body(self, body: bytes) -> None:
        self.body += body


def _object(size: int) -> Iterator[Form]:
    content = os.urandom(size)
    output: Any = GET.output(
        body=content,
        content_type="application/octet-stream",
        content_length=size,
        etag=ETAG,
        last_modified=NOON,
        accept_ranges="bytes",
        metadata={"origin": "benchmark"},
    )
    plain = {
        "ContentType": "application/octet-stream",
        "ContentLength": size,
        "ETag": ETAG,
        "LastModified": "2026-11-23T12:00:00.000Z",
        "AcceptRanges": "bytes",
        "Metadata": {"origin": "benchmark"},
    }

    answer = s3_pb2.GetObjectResponse.DESCRIPTOR

    def write_protobuf() -> bytes:
        return b"".join((rpc.write(output, answer), rpc.prefix(answer, size), content))

    def read_protobuf(wire: bytes) -> object:
        answer = s3_pb2.GetObjectResponse.FromString(wire)
        return answer.data, answer.etag, answer.content_type, answer.content_length, dict(answer.metadata)

    yield Form("protobuf", write_protobuf, read_protobuf)

    def write_http() -> bytes:
        answer = rest.encode(GET, output)
        pieces = [b"HTTP/1.1 200 OK"]
        for name, value in answer.headers:
            pieces += (b"\r\n", name, b": ", value)
        return b"".join((*pieces, b"\r\n\r\n", content))

    def read_http(wire: bytes) -> object:
        head = _Head()
        httptools.HttpResponseParser(head).feed_data(wire)
        return head.body, head.headers[b"etag"]

    yield Form("HTTP head and bytes (REST)", write_http, read_http)

    def write_xml() -> bytes:
        fields = "".join(f"<{name}>{xml.escape(str(value))}</{name}>" for name, value in plain.items())
        return f"{xml.DECLARATION}<Object>{fields}<Body>{base64.b64encode(content).decode()}</Body></Object>".encode()

    def read_xml(wire: bytes) -> object:
        values = {child.tag: child.text for child in ElementTree.fromstring(wire)}  # noqa: S314 - our own
        return values["ETag"], base64.b64decode(values["Body"] or "")

    yield Form("XML, content in base64", write_xml, read_xml)

    def write_json() -> bytes:
        return json.dumps(plain | {"Body": base64.b64encode(content).decode()}).encode()

    def read_json(wire: bytes) -> object:
        return base64.b64decode(json.loads(wire)["Body"])

    yield Form("JSON, content in base64", write_json, read_json)


# A listing ---------------------------------------------------------------------------------------------------


def _listing() -> Iterator[Form]:
    moments = [NOON + timedelta(seconds=number) for number in range(KEYS)]
    output: Any = LIST.output(
        name="bucket",
        prefix="logs/",
        key_count=KEYS,
        max_keys=KEYS,
        is_truncated=False,
        contents=tuple(
            ObjectEntry(
                key=f"logs/2026/11/23/{number:08}.json",
                last_modified=moment,
                etag=ETAG,
                size=4096 + number,
                storage_class="STANDARD",
            )
            for number, moment in enumerate(moments)
        ),
    )
    answer = s3_pb2.ListObjectsResponse.DESCRIPTOR

    def write_protobuf() -> bytes:
        return rpc.write(output, answer)

    def read_protobuf(wire: bytes) -> object:
        listing = s3_pb2.ListObjectsResponse.FromString(wire)
        return [(each.key, each.etag, each.size, each.last_modified.seconds) for each in listing.contents]

    yield Form("protobuf (gRPC)", write_protobuf, read_protobuf)

    def read_xml(wire: bytes) -> object:
        space = f"{{{xml.NAMESPACE}}}"
        root = ElementTree.fromstring(wire)  # noqa: S314 - our own
        names = [f"{space}{name}" for name in ("Key", "ETag", "Size", "LastModified")]
        return [tuple(each.findtext(name) for name in names) for each in root.iter(f"{space}Contents")]

    yield Form("XML (REST)", lambda: xml.document(output), read_xml)

    def write_json() -> bytes:
        contents = [
            {
                "Key": each.key,
                "LastModified": xml.iso(each.last_modified),
                "ETag": each.etag,
                "Size": each.size,
                "StorageClass": each.storage_class,
            }
            for each in output.contents
        ]
        return json.dumps({"Name": "bucket", "Prefix": "logs/", "KeyCount": KEYS, "Contents": contents}).encode()

    def read_json(wire: bytes) -> object:
        contents = json.loads(wire)["Contents"]
        return [(each["Key"], each["ETag"], each["Size"], each["LastModified"]) for each in contents]

    yield Form("JSON", write_json, read_json)


# What is shown -----------------------------------------------------------------------------------------------


def _table(figures: list[Figure]) -> Table:
    first = figures[0]
    head = ("form", "bytes", "ratio", "write, µs", "ratio", "read, µs", "ratio")
    rows = [
        (
            each.form,
            each.bytes,
            each.bytes / first.bytes,
            each.write_us,
            each.write_us / first.write_us,
            each.read_us,
            each.read_us / first.read_us,
        )
        for each in figures
    ]
    return Table(head, rows)


def _plot(number: int, answer: str, figures: list[Figure]) -> Plot:
    return Plot(
        name=str(number + 1),
        title=f"To write and to read {answer}",
        unit="µs",
        groups=[each.form for each in figures],
        series={"write": [each.write_us for each in figures], "read": [each.read_us for each in figures]},
        is_stacked=True,
    )

"""
A collector that takes what gateways export by OTLP over HTTP, and gateways that do: real processes, real bytes.
"""

from __future__ import annotations

import contextlib
import gzip
import http.server
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import grpc
import pytest
from botocore.config import Config
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from loadtests.gateway import ACCESS_KEY, REGION, SECRET_KEY, Running, running
from rs3gw.auth.credentials import Credential, token_of

sys.path.insert(0, str(Path(__file__).parents[2] / "clients" / "python"))

BEARER = ("authorization", f"Bearer {token_of(Credential(access_key=ACCESS_KEY, secret_key=SECRET_KEY, name='owner'))}")
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A span as it arrived."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    attributes: dict[str, Any]
    is_error: bool
    began: int
    ended: int
    state: str
    resource: dict[str, Any]

    @property
    def seconds(self) -> float:
        return (self.ended - self.began) / 1e9


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def spans_of(wire: bytes) -> list[Seen]:
    """The spans of one export."""
    return [
        Seen(
            name=span.name,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            kind=span.kind,
            attributes=_plain(span.attributes),
            is_error=span.status.code == span.status.STATUS_CODE_ERROR,
            began=span.start_time_unix_nano,
            ended=span.end_time_unix_nano,
            state=span.trace_state,
            resource=_plain(group.resource.attributes),
        )
        for group in ExportTraceServiceRequest.FromString(wire).resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


class Collector:
    """What a gateway exports to; ``wires`` are the exports as they came."""

    def __init__(self) -> None:
        self.wires: list[bytes] = []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.path == "/v1/traces"
                collector.wires.append(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def spans(self) -> list[Seen]:
        """All that have arrived so far."""
        return [span for wire in list(self.wires) for span in spans_of(wire)]

    def wait(self, found: Callable[[Seen], bool], *, count: int = 1) -> list[Seen]:
        """The spans that are wanted, once there are so many; they arrive a moment after the answer."""
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            wanted = [span for span in self.spans() if found(span)]
            if len(wanted) >= count:
                return wanted
            time.sleep(0.02)
        raise AssertionError(f"no such spans among {[(span.name, span.attributes) for span in self.spans()]}")

    def call(self, name: str, **attributes: Any) -> tuple[Seen, list[Seen]]:
        """The last span of a call with this name, and those below it in their order."""
        top = self.wait(
            lambda span: span.kind == 2 and span.name == name and attributes.items() <= span.attributes.items()
        )[-1]
        return top, self.below(top)

    def below(self, top: Seen) -> list[Seen]:
        """The steps of a call and what is below them, in their order."""
        spans = [span for span in self.spans() if span.trace_id == top.trace_id]
        steps = [span for span in spans if span.parent_id == top.span_id]
        inner = [span for span in spans if span.parent_id in {step.span_id for step in steps}]
        return sorted([*steps, *inner], key=lambda span: (span.began, -span.ended))


def exporting(url: str, **more: str) -> dict[str, str]:
    """The settings of a gateway that traces and exports at once."""
    return {
        "RS3GW_TRACING": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        **more,
    }


@contextlib.contextmanager
def traced(root: Path, url: str, **more: str) -> Iterator[Running]:
    """A gateway that exports there."""
    with running(root, settings=exporting(url, **more)) as gateway:
        yield gateway


def client(gateway: Running, *, headers: Sequence[tuple[str, str]] = ()) -> Any:
    """boto3, which sends these headers besides, unsigned as a proxy would."""
    made = boto3.client(
        "s3",
        endpoint_url=gateway.url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name=REGION,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )

    def add(request: Any, **_: object) -> None:
        for name, value in headers:
            request.headers[name] = value

    made.meta.events.register("before-send.s3", add)
    return made


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One that exports to the collector, over a root that has the bucket ``bucket``."""
    with traced(tmp_path_factory.mktemp("traces") / "root", collector.url, OTEL_SERVICE_NAME="store") as started:
        client(started).create_bucket(Bucket="bucket")
        yield started


@pytest.fixture
def channel(gateway: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(gateway.target) as opened:
        yield opened

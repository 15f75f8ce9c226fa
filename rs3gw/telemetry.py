"""
What is seen of a call, in one place: its metrics and its log line, the same for both protocols.

``Telemetry.observe`` spans a call from its evidence to its last byte.  The labels are few and bounded: an
operation's name, a protocol, an S3 code; never a bucket, a key or an access key.  A log line about a call
always has its request id, which the client has too.

What every call does is counted in plain numbers, for calls are all on one loop, and poured into Prometheus's metrics
when somebody reads them.  Each metric of prometheus-client has a lock, and to take a dozen of them cost a small read
more than its signature.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from functools import cache, cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, multiprocess, values
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from rs3gw import __version__, spans
from rs3gw.errors import S3Error

if TYPE_CHECKING:
    import structlog

    from rs3gw.operations import Operation

# From a small read out of the cache to a part of 5 GiB on a slow line.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

# What a small object, a part and a large object are.
BYTES = (1024, 64 * 1024, 1024**2, 16 * 1024**2, 256 * 1024**2, 4 * 1024**3)

POUR_SECONDS = 0.2
"""How old the figures of a process may be that another one renders."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Telemetry:
    """
    The metrics of one server, and its log of calls.

    ``is_shared``: it is one of several processes, and each renders the figures of all (settings.share_metrics).
    """

    def __init__(self, *, log_requests: str = "failures", is_shared: bool = False) -> None:
        self.registry = self._rendered = CollectorRegistry()
        if is_shared:
            values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
            self._rendered = CollectorRegistry()
            self._rendered.register(_Pouring(self))
            multiprocess.MultiProcessCollector(self._rendered)  # type: ignore[no-untyped-call]
            self._rendered.register(_Processes())
        else:
            ProcessCollector(registry=self.registry)
        # The first of its registry, so that what is read after it is complete.
        self.registry.register(_Pouring(self))
        labels = ("operation", "protocol")
        self.requests = Counter(
            "rs3gw_requests", "Calls answered, by S3 code (OK where none).", (*labels, "code"), registry=self.registry
        )
        self.seconds = Histogram(
            "rs3gw_request_seconds",
            "From the evidence to the last byte of the answer.",
            labels,
            buckets=SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "rs3gw_requests_in_flight",
            "Calls under way.",
            ("protocol",),
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.connections = Gauge(
            "rs3gw_connections_open",
            "Connections of clients, by protocol.",
            ("protocol",),
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.commit_seconds = Histogram(
            "rs3gw_commit_seconds",
            "From the turn to write the index to the end of the transaction, which is durable by then.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.committed_mutations = Counter(
            "rs3gw_committed_mutations",
            "Mutations in those transactions: as many as wait are written together.",
            registry=self.registry,
        )
        self.ready = self._gauge("rs3gw_ready", "Whether /-/ready answers 200, asked for each of these pages.")
        self.free_bytes = self._gauge("rs3gw_storage_free_bytes", "Room on the file system of the root.")
        build = Gauge(
            "rs3gw_build_info",
            "The version that runs.",
            ("version",),
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        build.labels(__version__).set(1)
        self.scrubbed_bytes = Counter(
            "rs3gw_scrubbed_bytes", "Stored bytes compared with what was stored.", registry=self.registry
        )
        self.scrub_damaged = Gauge(
            "rs3gw_scrub_damaged",
            "What the last full pass found damaged.",
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self.scrub_finished = Gauge(
            "rs3gw_scrub_last_pass_timestamp_seconds",
            "When the last full pass ended; 0 where none has.",
            registry=self.registry,
            # Of several processes the most recent would be none until one has ended a pass.
            multiprocess_mode="max",
        )
        self.events_dropped = Counter(
            "rs3gw_events_dropped", "Events that a sink was too slow for.", registry=self.registry
        )
        # What dashboards for gRPC expect, by the names of go-grpc-prometheus, and the bytes besides.
        method = ("grpc_type", "grpc_service", "grpc_method")
        self.rpcs_started = self._rpc_counter("started", "Calls begun.", method)
        self.rpcs_handled = self._rpc_counter("handled", "Calls ended, by code.", (*method, "grpc_code"))
        self.rpc_received = self._rpc_counter("msg_received", "Messages received.", method)
        self.rpc_sent = self._rpc_counter("msg_sent", "Messages sent.", method)
        self.rpc_received_bytes = self._rpc_counter("msg_received_bytes", "Bytes of messages received.", method)
        self.rpc_sent_bytes = self._rpc_counter("msg_sent_bytes", "Bytes of messages sent.", method)
        self.rpc_seconds = Histogram(
            "grpc_server_handling_seconds",
            "From the beginning of a call to its status.",
            method,
            buckets=SECONDS,
            registry=self.registry,
        )
        # What dashboards for HTTP expect, by the names of OpenTelemetry's conventions as Prometheus spells them.
        answer = (
            "http_request_method",
            "http_route",
            "http_response_status_code",
            "url_scheme",
            "operation",
        )
        self.http_seconds = Histogram(
            "http_server_request_duration_seconds",
            "From the end of a request's headers to the last byte of its answer.",
            answer,
            buckets=SECONDS,
            registry=self.registry,
        )
        self.http_received = Histogram(
            "http_server_request_body_size_bytes",
            "Bytes of a request's body, where it had one.",
            answer,
            buckets=BYTES,
            registry=self.registry,
        )
        self.http_sent = Histogram(
            "http_server_response_body_size_bytes",
            "Bytes of an answer's body, where it had one.",
            answer,
            buckets=BYTES,
            registry=self.registry,
        )
        self.log_all = log_requests == "all"
        self.log_failures = log_requests != "none"
        self._connections: list[tuple[Gauge, Callable[[], int]]] = []
        self._levels: dict[str, _Level] = {}
        self._series: dict[tuple[str, str], _Series] = {}
        self._answers: dict[tuple[str, str, int, bool], _Answers] = {}

    def observe(self, operation: str, protocol: str, request_id: str) -> Seen:
        """A context that lasts as long as the call."""
        series = self._series.get((operation, protocol))
        if series is None:
            series = self._series[operation, protocol] = _Series(self, operation, protocol)
        return Seen(self, series, request_id)

    def level(self, protocol: str) -> _Level:
        """How many calls a protocol has under way."""
        return self._levels.setdefault(protocol, _Level(self.in_flight.labels(protocol)))

    def committed(self, mutations: int, seconds: float) -> None:
        """A transaction has ended; said by the thread that made it."""
        self.commit_seconds.observe(seconds)
        self.committed_mutations.inc(mutations)

    def watch_connections(self, protocol: str, count: Callable[[], int]) -> None:
        """Ask this for how many connections a protocol has."""
        self._connections.append((self.connections.labels(protocol), count))

    def pour_often(self) -> None:
        """Let the other processes see what happens in this one; called on its loop, once."""
        self.pour()
        asyncio.get_running_loop().call_later(POUR_SECONDS, self.pour_often)

    def pour(self) -> None:
        """Bring what Prometheus is told up to date."""
        for gauge, count in self._connections:
            gauge.set(count())
        waiting: list[_Level | _Series | _Answers] = []
        waiting += self._levels.values()
        waiting += self._series.values()
        waiting += self._answers.values()
        for each in waiting:
            each.pour()

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(name, meaning, registry=self.registry, multiprocess_mode="mostrecent")

    def _rpc_counter(self, name: str, meaning: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"grpc_server_{name}", meaning, labels, registry=self.registry)

    def watch(self, kind: str, service: str, method: str) -> RpcSeries:
        """The metrics of one method of gRPC; ``kind`` is unary, client_stream or server_stream."""
        return RpcSeries(self, (kind, service, method))

    def answered(
        self,
        asked: Operation | str,
        method: str,
        is_secure: bool,
        status: int,
        seconds: float,
        received: int,
        sent: int,
    ) -> None:
        """A request of HTTP has had its answer; what rs3gw.rest.asgi.Watch wants of it."""
        key = (asked if isinstance(asked, str) else asked.name, method, status, is_secure)
        series = self._answers.get(key)
        if series is None:
            series = self._answers[key] = _Answers(self, asked, method, is_secure, status)
        series.seconds.add(seconds)
        if received:
            series.received.add(received)
        if sent:
            series.sent.add(sent)

    def render(self) -> bytes:
        """The metrics in Prometheus's text format."""
        return generate_latest(self._rendered)


class RpcSeries:
    """The children of gRPC's metrics for one method, looked up once; what rs3gw.rpc.server.Watch wants of it."""

    def __init__(self, telemetry: Telemetry, labels: tuple[str, str, str]) -> None:
        self._handled = {"OK": telemetry.rpcs_handled.labels(*labels, "OK")}
        self._telemetry, self._labels = telemetry, labels
        self._started = telemetry.rpcs_started.labels(*labels)
        self._seconds = telemetry.rpc_seconds.labels(*labels)
        self._received = telemetry.rpc_received.labels(*labels)
        self._received_bytes = telemetry.rpc_received_bytes.labels(*labels)
        self._sent = telemetry.rpc_sent.labels(*labels)
        self._sent_bytes = telemetry.rpc_sent_bytes.labels(*labels)

    def begin(self) -> None:
        """A call begins."""
        self._started.inc()

    def end(self, code: str, seconds: float, received: tuple[int, int], sent: tuple[int, int]) -> None:
        """It has ended with a code, after (messages, bytes) each way."""
        handled = self._handled.get(code)
        if handled is None:
            handled = self._handled[code] = self._telemetry.rpcs_handled.labels(*self._labels, code)
        handled.inc()
        self._seconds.observe(seconds)
        for (messages, size), counter, sizes in (
            (received, self._received, self._received_bytes),
            (sent, self._sent, self._sent_bytes),
        ):
            if messages:
                counter.inc(messages)
                sizes.inc(size)


class _Pouring(Collector):
    """What has a registry complete before the metrics after it are read; it has none of its own."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def collect(self) -> Iterable[Metric]:
        self._telemetry.pour()
        return ()


class _Processes(Collector):
    """What each of several processes takes; process_… as of one process, with its pid."""

    def collect(self) -> Iterable[Metric]:
        found: dict[str, Metric] = {}
        for pid in _siblings():
            for family in ProcessCollector(registry=None, pid=lambda pid=pid: pid).collect():  # type: ignore[misc]
                known = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    known.add_sample(sample.name, {"pid": str(pid)}, sample.value)
        return found.values()


def _siblings() -> list[int]:
    """The processes that their supervisor has, this one among them."""
    parent = os.getppid()
    try:
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    except OSError:
        return [os.getpid()]


class _Tally:
    """A histogram's child, in plain numbers until it is poured; without one it is no series that Prometheus stores."""

    __slots__ = ("_bounds", "_child", "_counts", "_histogram", "_labels", "_sum")

    def __init__(self, histogram: Histogram, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._histogram, self._labels, self._bounds = histogram, labels, bounds
        self._child: Histogram | None = None
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def pour(self) -> None:
        if not any(self._counts):
            return
        counts, total = self._counts, self._sum
        self._counts, self._sum = [0] * len(counts), 0.0
        # ``observe`` takes one value at a time; these are what it adds to.
        child = self._child
        if child is None:
            child = self._child = self._histogram.labels(*self._labels)
        for bucket, count in zip(child._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
        child._sum.inc(total)


class _Level:
    """A gauge's child that goes up and down with every call."""

    __slots__ = ("_child", "now")

    def __init__(self, child: Gauge) -> None:
        self._child, self.now = child, 0

    def pour(self) -> None:
        self._child.set(self.now)


class _Answers:
    """The children of HTTP's metrics for one operation and status, looked up once."""

    __slots__ = ("received", "seconds", "sent")

    def __init__(self, telemetry: Telemetry, asked: Operation | str, method: str, is_secure: bool, status: int) -> None:
        if isinstance(asked, str):
            route, operation = asked, asked.rpartition("/")[2]
        else:
            route, operation = asked.route, asked.name
        # Prometheus takes an empty label for none, which is what the conventions have for what is not known.
        labels = (method, route, str(status or ""), "https" if is_secure else "http", operation)
        self.seconds = _Tally(telemetry.http_seconds, labels, SECONDS)
        self.received = _Tally(telemetry.http_received, labels, BYTES)
        self.sent = _Tally(telemetry.http_sent, labels, BYTES)

    def pour(self) -> None:
        self.seconds.pour()
        self.received.pour()
        self.sent.pour()


def forget_worker(pid: int) -> None:
    """What a process had under way is under way no more: it has died."""
    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


class _Series:
    """The children of the metrics for one operation on one protocol, looked up once."""

    __slots__ = ("_ok", "level", "ok", "operation", "protocol", "seconds")

    def __init__(self, telemetry: Telemetry, operation: str, protocol: str) -> None:
        self.operation, self.protocol = operation, protocol
        self.level = telemetry.level(protocol)
        self.seconds = _Tally(telemetry.seconds, (operation, protocol), SECONDS)
        self._ok = telemetry.requests.labels(operation, protocol, "OK")
        self.ok = 0

    def pour(self) -> None:
        self.seconds.pour()
        if self.ok:
            ok, self.ok = self.ok, 0
            self._ok.inc(ok)


class Seen:
    """One call, while it is watched."""

    __slots__ = ("_began", "_caller", "_request_id", "_series", "_telemetry")

    def __init__(self, telemetry: Telemetry, series: _Series, request_id: str) -> None:
        self._telemetry, self._series, self._request_id = telemetry, series, request_id
        self._caller = ""

    def identified(self, name: str) -> None:
        """Who calls, for the log alone."""
        self._caller = name

    def __enter__(self) -> Seen:
        self._began = time.perf_counter()
        self._series.level.now += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None
    ) -> None:
        series, telemetry = self._series, self._telemetry
        seconds = time.perf_counter() - self._began
        series.level.now -= 1
        series.seconds.add(seconds)
        if fault is None:
            series.ok += 1
            if not telemetry.log_all:
                return
            code = "OK"
        else:
            code = code_of(fault)
            telemetry.requests.labels(series.operation, series.protocol, code).inc()
            ours = code in ("InternalError", "DamagedObject", "InsufficientStorage")
            if not (telemetry.log_all or (ours and telemetry.log_failures)):
                return
        log = logger("call").error if code == "InternalError" else logger("call").info
        span = spans.CURRENT.get()
        log(
            "call",
            operation=series.operation,
            protocol=series.protocol,
            code=code,
            milliseconds=round(seconds * 1000, 3),
            caller=self._caller,
            request_id=self._request_id,
            **({} if span is None else {"trace_id": span.trace_id}),
        )


def code_of(fault: BaseException) -> str:
    """The label of a call that ended with this: an S3 code, or Cancelled where the client went away."""
    if isinstance(fault, S3Error):
        return fault.code
    if isinstance(fault, Exception) and not isinstance(fault, ConnectionError):
        return "InternalError"
    return "Cancelled"


@cache
def logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a part of rs3gw."""
    bound: structlog.stdlib.BoundLogger = _structlog().get_logger(f"rs3gw.{name}")
    return bound


@cache
def _structlog() -> Any:
    """
    structlog, configured.  It is imported by the first line that is logged: a start need not wait for it (0.1 s, and
    0.3 s where rich is installed).
    """
    import structlog

    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(structlog),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return structlog


def _shared(structlog: Any) -> list[Any]:
    """What every line says, ours and the libraries'."""
    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]


class _Formatter(logging.Formatter):
    """The form of a line, made when the first one is written."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        return self._made.format(record)

    @cached_property
    def _made(self) -> logging.Formatter:
        structlog = _structlog()
        if self._form == "json":
            renderer = structlog.processors.JSONRenderer()
        else:
            renderer = structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        made: logging.Formatter = structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(structlog),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
        return made


def configure_logging(*, level: str, form: str) -> None:
    """Send every log line, ours and the libraries', to standard error in one form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(form))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel(max(logging.WARNING, root.level))

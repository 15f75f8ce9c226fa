"""
Traces for OpenTelemetry: spans made, and exported by OTLP as the standard variables say.

This is the only module that knows the library, and it is imported where tracing is asked for and nowhere else: a
server without it neither loads nor runs any of this.  A process makes its own exporter, after the fork.  What cannot
be exported is dropped: spans wait in a queue of bounded length for a thread of their own, and neither a call nor the
end of the process waits for a collector.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from rs3gw import __version__
from rs3gw.errors import S3Error
from rs3gw.spans import Value
from rs3gw.telemetry import code_of

FLUSH_SECONDS = 3.0
"""How long the end of the process waits for the last spans to be taken."""


class Tracing:
    """The tracer of one process, from its start to its end."""

    def __init__(self, exporter: SpanExporter) -> None:
        # What the variables say of the resource wins over what we say.
        resource = Resource({SERVICE_VERSION: __version__, "process.pid": os.getpid()}).merge(Resource.create())
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "rs3gw"}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("rs3gw", __version__)

    def begin(self, name: str, headers: Mapping[str, str], attributes: Mapping[str, Value]) -> CallSpan:
        """The span of a call whose client may have sent the context of a trace of its own."""
        parent = propagate.extract(headers)
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, dict(attributes))
        return CallSpan(self._tracer, span)

    def close(self) -> None:
        """Export what waits, for so long and no longer."""
        # A thread that nobody waits for: a collector that hangs must not keep the process.
        closing = threading.Thread(target=self._provider.shutdown, name="rs3gw-tracing-end", daemon=True)
        closing.start()
        closing.join(FLUSH_SECONDS)


class CallSpan:
    """A span of a server and the steps below it, as rs3gw.spans.Span has it."""

    __slots__ = ("_context", "_has_failed", "_is_recorded", "_span", "_step", "_tracer")

    def __init__(self, tracer: Tracer, span: trace.Span) -> None:
        self._tracer, self._span = tracer, span
        # Of a trace that is not sampled nothing is kept, and its steps need not be made.
        self._is_recorded = span.is_recording()
        self._context: Context = trace.set_span_in_context(span, Context())
        self._step: trace.Span | None = None
        self._has_failed = False

    @property
    def trace_id(self) -> str:
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, name: str, value: Value) -> None:
        self._span.set_attribute(name, value)

    def step(self, name: str | None, fault: BaseException | None = None) -> None:
        if not self._is_recorded:
            return
        if self._step is not None:
            if fault is not None:
                _blame(self._step, fault)
            self._step.end()
        self._step = None if name is None else self._tracer.start_span(name, self._context)

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        if not self._is_recorded:
            yield
            return
        above = self._context if self._step is None else trace.set_span_in_context(self._step, self._context)
        inner = self._tracer.start_span(name, above)
        try:
            yield
        except BaseException as fault:
            _blame(inner, fault)
            raise
        finally:
            inner.end()

    def fail(self, fault: BaseException) -> None:
        # The first fault is the reason of those that follow from it.
        if self._is_recorded and not self._has_failed:
            self._has_failed = True
            _blame(self._span, fault)

    def end(self) -> None:
        self.step(None)
        self._span.end()


def _blame(span: trace.Span, fault: BaseException) -> None:
    """
    Say how it failed, by S3's code and nothing more: a sentence may name what is nobody's business.

    Of a server's spans those alone are errors where the fault was the server's: that a key is not there is an answer.
    https://opentelemetry.io/docs/specs/semconv/http/http-spans/#status
    """
    code = code_of(fault)
    span.set_attribute("error.type", code)
    is_ours = fault.http >= 500 if isinstance(fault, S3Error) else code == "InternalError"
    if is_ours:
        span.set_status(Status(StatusCode.ERROR, code))


def exporter(protocol: str) -> SpanExporter:
    """What speaks OTLP by this protocol: grpc or http/protobuf.  Where to, and how, the variables of OTLP say."""
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

    return Http()

"""
The trace of a call, as all but the tracer know it: where the call is, told to whoever watches it.

A transport begins a span with what its client sent and ends it after the last byte; the gateway and the engine say
in between which step it has come to.  They find it in ``CURRENT``, which belongs to the task of the call.  Where
nobody traces, that is one look at a variable, and nothing here or above it has heard of OpenTelemetry
(rs3gw.tracing has).  Names are those of its semantic conventions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Protocol

Value = str | int | bool


class Span(Protocol):
    """One call, while it is traced."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits; a log line about the call has them too."""

    def rename(self, name: str) -> None:
        """What is done is known by now."""

    def note(self, name: str, value: Value) -> None:
        """An attribute.  Never a secret, nor what may hold one: a query, a header."""

    def step(self, name: str | None, fault: BaseException | None = None) -> None:
        """The step before it is over, by a fault if it was, and this one begins; None: none does."""

    def within(self, name: str) -> AbstractContextManager[None]:
        """A step of the step that the call is at."""

    def fail(self, fault: BaseException) -> None:
        """The call has failed, and this is what its client hears of it."""

    def end(self) -> None:
        """The last byte has gone."""


Begin = Callable[[str, Mapping[str, str], Mapping[str, Value]], Span]
"""(name, headers or metadata by lower-case name, attributes) → a span that has begun."""

CURRENT: ContextVar[Span | None] = ContextVar("rs3gw_span", default=None)
"""The span of the call whose task this is."""

_NOTHING = nullcontext()


def within(name: str) -> AbstractContextManager[None]:
    """A step of the current call, where it is traced."""
    span = CURRENT.get()
    return _NOTHING if span is None else span.within(name)


def fail(fault: BaseException) -> None:
    """The current call has failed, where it is traced."""
    span = CURRENT.get()
    if span is not None:
        span.fail(fault)


def answer(request_id: str) -> None:
    """The current call is answered under this id, where it is traced."""
    span = CURRENT.get()
    if span is not None:
        span.note("aws.request_id", request_id)

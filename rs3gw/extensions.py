"""
What an operator adds without touching rs3gw: who calls, who may, and who is told.

An extension is a class that a package of the operator's names as an entry point, in one of three groups.  It is loaded
where RS3GW_EXTENSIONS names it, made once without arguments, and asked for both protocols at once: it does not know
which one a call came by unless it looks.  What it raises, and is no error of S3's, ends the call as a fault of ours
(InternalError, with a traceback in the log), and never as a permission.

    [project.entry-points."rs3gw.authenticators"]
    tokens = "example.tokens:Tokens"
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import entry_points
from typing import Any, Final, Protocol

from rs3gw.auth.credentials import Identity
from rs3gw.auth.evidence import Evidence
from rs3gw.operations import Message, Operation

log = logging.getLogger("rs3gw.extensions")

GROUPS: Final = ("rs3gw.authenticators", "rs3gw.authorisers", "rs3gw.events")
MOST_WAITING: Final = 10_000
"""How many events wait for a sink that is slow; further ones are dropped, counted and logged."""
STOP_SECONDS: Final = 5.0
"""How long a stopping server lets a sink take what waits."""


class Authenticator(Protocol):
    """Who calls, by something that is no access key of ours."""

    def identify(self, evidence: Evidence) -> Identity | None:
        """
        Who shows this (``evidence.headers`` has HTTP's headers or gRPC's metadata), or None to ask the next one.

        An Identity has an ``access_key``, any text that is not None: one without is anonymous.  Raises an S3Error of
        rs3gw.errors, InvalidToken say, to refuse the caller.  It is called on the loop, so it may not wait.
        """


class Authoriser(Protocol):
    """Who may, besides what policies say."""

    def judge(self, identity: Identity, action: str, resource: str, evidence: Evidence) -> bool | None:
        """
        Whether this identity may do ``s3:PutObject``, say, to ``arn:aws:s3:::bucket/key``; None for no opinion.

        False denies, whatever else is said.  True allows what no bucket policy denies.  It is called on the loop, for
        each permission that a call needs, so it may not wait.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that was done, durable before it is told.  ``key`` is None for what was done to a bucket."""

    operation: str
    """By S3's name: PutObject, CompleteMultipartUpload, DeleteObjects."""
    bucket: str | None
    key: str | None
    etag: str | None
    size: int | None
    caller: str
    request_id: str
    moment: datetime


class EventSink(Protocol):
    """Who is told what was done."""

    def tell(self, event: Event) -> None:
        """Take an event; in a thread of its own, one after another, so it may wait.  What it raises is logged."""


class ExtensionError(Exception):
    """An extension that the server does not start with; the sentence says why."""


@dataclass(slots=True)
class Extensions:
    """Those of a server."""

    authenticators: list[Callable[[Evidence], Identity | None]] = field(default_factory=list)
    judges: list[Callable[[Identity, str, str, Evidence], bool | None]] = field(default_factory=list)
    sinks: list[EventSink] = field(default_factory=list)


def load(names: Sequence[str]) -> Extensions:
    """The extensions of these names.  Raises ExtensionError for one that is not installed, or cannot be made."""
    found = Extensions()
    known = {(group, point.name): point for group in GROUPS for point in entry_points(group=group)}
    for name in names:
        points = {group: known[group, name] for group in GROUPS if (group, name) in known}
        if not points:
            others = ", ".join(sorted({other for _, other in known})) or "none is installed"
            raise ExtensionError(f"RS3GW_EXTENSIONS: there is no extension {name!r} (there are: {others}).")
        for group, point in points.items():
            try:
                made = point.load()()
            except Exception as fault:  # whatever it is, the operator has to hear of it
                raise ExtensionError(f"RS3GW_EXTENSIONS: {name} ({point.value}) cannot be made: {fault!r}.") from fault
            if group == "rs3gw.authenticators":
                found.authenticators.append(made.identify)
            elif group == "rs3gw.authorisers":
                found.judges.append(made.judge)
            else:
                found.sinks.append(made)
    return found


READING: Final = ("GET", "HEAD")


class Outbox:
    """Tells sinks what was done, each in a thread of its own, and never keeps a call waiting."""

    def __init__(
        self, sinks: Sequence[EventSink], *, now: Callable[[], datetime], dropped: Callable[[], None] = lambda: None
    ) -> None:
        self._now, self._dropped = now, dropped
        self._is_dropping = False
        self._queues: list[queue.Queue[Event | None]] = [queue.Queue(MOST_WAITING) for _ in sinks]
        self._threads = [
            threading.Thread(target=_deliver, args=(sink, waiting), name="rs3gw-events", daemon=True)
            for sink, waiting in zip(sinks, self._queues, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def tell(self, operation: Operation, identity: Identity, request_id: str, asked: Message, output: Message) -> None:
        """Tell of a call that has done what it was to do, where it changed something."""
        if operation.method in READING:
            return
        given, answered = asked.__dict__, output.__dict__
        for key in _keys(given, answered):
            event = Event(
                operation=operation.name,
                bucket=given.get("bucket"),
                key=key,
                etag=answered.get("etag"),
                size=answered.get("size"),
                caller=identity.name,
                request_id=request_id,
                moment=self._now(),
            )
            for waiting in self._queues:
                self._put(waiting, event)

    def _put(self, waiting: queue.Queue[Event | None], event: Event) -> None:
        try:
            waiting.put_nowait(event)
            self._is_dropping = False
        except queue.Full:
            self._dropped()
            if not self._is_dropping:
                self._is_dropping = True
                log.warning("a sink of events is slow: events are dropped from here on")

    def close(self) -> None:
        """Let the sinks take what waits, for a bounded time."""
        for waiting in self._queues:
            try:
                waiting.put(None, timeout=STOP_SECONDS)
            except queue.Full:
                continue
        for thread in self._threads:
            thread.join(STOP_SECONDS)


def _keys(given: Mapping[str, Any], answered: Mapping[str, Any]) -> Sequence[str | None]:
    """The keys that a call was about: those that were deleted, of a call that deletes several."""
    if "objects" in given:
        failed = {each.key for each in answered.get("errors") or ()}
        return [each.key for each in given["objects"] if each.key not in failed]
    return [given.get("key")]


def _deliver(sink: EventSink, waiting: queue.Queue[Event | None]) -> None:
    while (event := waiting.get()) is not None:
        try:
            sink.tell(event)
        except Exception:
            log.exception("a sink of events failed: %r", sink)

"""
Every key is one register, however many clients, protocols and processes ask for it.

Clients put, copy, complete, delete, read and list a few keys at once, over REST and gRPC, with and without conditions,
and note when they called and what they were told.  Of each key there must be one order of all that was done to it that
agrees with every answer and with the times: an operation that was answered before another was called comes first.
That forbids stale reads, lost updates, two writers who were both first, refusals that nothing justifies, and objects
that come back.  The tags of their bucket are one register more, for what a process remembers of it.

Some rounds kill every process, or one of several, with calls under way; a call without an answer may have happened or
not, but after a restart it cannot happen any more.  Each object's bytes, ETag and metadata name the operation that
wrote it, so that a reader is never shown parts of two.

The seed decides what each client asks, and not how their calls meet: run it again, and the histories are others.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from proof.clients import ANSWER_SECONDS, Client, Grpc, Refused, Rest, Seen, Unanswered, Unasked
from proof.gateway import Gateway
from proof.linearizable import ABSENT, ANYTHING, PRESENT, Guard, Operation, Version, check
from proof.run import Run

BUCKET, PREFIX = "histories", "history/"
KEYS: Final = tuple(f"{PREFIX}{number}" for number in range(5))
TAGS: Final = f"{PREFIX}tags"
"""The bucket's tags, among the keys."""
CLIENTS: Final = 6

SMALL_BYTES, LARGE_BYTES, PART_BYTES = 1000, 300 * 1024, 5 * 1024**2
"""Kept in the index; kept in a file, and sent in several messages; the least that S3 takes of a part but the last."""

RECONNECTS: Final = 0.05
"""How often a client takes a new connection, which with several processes may be another's."""

FAILURES: Final = Path("out/proof")

Kill = Literal["none", "all", "one"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One history: how many processes serve it, for how long, and what is killed every few seconds."""

    workers: int
    seconds: float
    kill: Kill = "none"

    @property
    def name(self) -> str:
        processes = "1 process" if self.workers == 1 else f"{self.workers} processes"
        return processes + {"none": "", "all": ", all killed", "one": ", one killed"}[self.kill]


QUICK: Final = (Round(workers=1, seconds=1.5), Round(workers=3, seconds=1.5))
FULL: Final = (
    Round(workers=1, seconds=30),
    Round(workers=3, seconds=30),
    Round(workers=1, seconds=35, kill="all"),
    Round(workers=3, seconds=35, kill="all"),
    Round(workers=3, seconds=35, kill="one"),
)
KILL_EVERY_SECONDS: Final = 3.0


def prove(run: Run) -> None:
    told: Counter[tuple[str, str]] = Counter()
    notes = _Totals()
    rounds = QUICK if run.is_quick else FULL
    for number, each in enumerate(rounds):
        run.say(f"{each.name}, {each.seconds:g} s")
        scene = _play(run, number, each)
        began = time.monotonic()
        run.must(not scene.faults, f"{each.name}: {scene.faults[0] if scene.faults else ''}")
        if each.kill == "none":
            run.must(scene.unanswered == 0, f"{each.name}: {scene.unanswered} calls were never answered")
        _judge(run, each, scene.operations)
        notes.add(scene)
        told += scene.told
        run.say(f"{len(scene.operations):,} operations judged in {time.monotonic() - began:.1f} s")
    run.figure("operations", sum(told.values()), note=_by_protocol(told, {kind for kind, _ in told}))
    for kind in sorted({kind for kind, _ in told}):
        run.figure(kind, sum(told[kind, protocol] for protocol in PROTOCOLS), note=_by_protocol(told, {kind}))
        for protocol in PROTOCOLS:
            run.must(run.is_quick or told[kind, protocol] > 0, f"no {kind} was ever asked over {protocol}")
    run.figure("of them refused by a condition", notes.refused)
    run.figure("of them without an answer", notes.unanswered, note=f"{notes.kills} kills")
    run.figure("clients", CLIENTS, note=f"{len(KEYS)} keys and the tags of their bucket")
    run.figure("most calls at once", notes.most_at_once, note="answered ones, on one key")
    run.figure("histories judged", len(rounds) * (len(KEYS) + 1), note="; ".join(each.name for each in rounds))
    run.figure("violations", 0)


PROTOCOLS: Final = (Rest.protocol, Grpc.protocol)


def _by_protocol(told: Counter[tuple[str, str]], kinds: Iterable[str]) -> str:
    counts = {protocol: sum(told[kind, protocol] for kind in kinds) for protocol in PROTOCOLS}
    return ", ".join(f"{count:,} over {protocol}" for protocol, count in counts.items())


@dataclass(slots=True)
class _Totals:
    refused: int = 0
    unanswered: int = 0
    kills: int = 0
    most_at_once: int = 0

    def add(self, scene: _Scene) -> None:
        self.refused += scene.refused
        self.unanswered += scene.unanswered
        self.kills += len(scene.deaths)
        for key in KEYS:
            mine = [each for each in scene.operations if each.key == key and each.is_certain]
            self.most_at_once = max(self.most_at_once, _most_at_once(mine))


def _most_at_once(operations: Iterable[Operation]) -> int:
    """The most operations that were under way at one time."""
    edges = sorted(edge for each in operations for edge in ((each.invoked, 1), (each.returned, -1)))
    most = now = 0
    for _, change in edges:
        now += change
        most = max(most, now)
    return most


def _judge(run: Run, each: Round, operations: Sequence[Operation]) -> None:
    violations = check(operations)
    if not violations:
        return
    FAILURES.mkdir(parents=True, exist_ok=True)
    for violation in violations:
        key = violation.operations[0].key
        place = FAILURES / f"histories-{run.seed}-{key.removeprefix(PREFIX)}.txt"
        whole = sorted((mine for mine in operations if mine.key == key), key=lambda mine: mine.invoked)
        place.write_text("\n".join([violation.describe(), "", "All of this key:", *map(repr, whole)]) + "\n")
    shown = "\n".join(violation.describe() for violation in violations)
    run.must(False, f"{each.name}: no order explains what was seen (all of it is in {FAILURES}):\n{shown}\n")


def _play(run: Run, number: int, each: Round) -> _Scene:
    """Let the clients loose on a gateway of their own, for one round."""
    settings = {"RS3GW_WORKERS": str(each.workers), "RS3GW_DURABILITY": "strict"}
    with run.directory() as place, Gateway(place / "root", settings=settings, log=place / "log") as gateway:
        Rest(gateway, BUCKET).create_bucket()
        scene = _Scene()
        clients = [_Client(f"c{name}", scene, gateway, run.random(number, name)) for name in range(CLIENTS)]
        threads = [threading.Thread(target=client.work, name=client.name) for client in clients]
        for thread in threads:
            thread.start()
        try:
            _pass_time(run, each, scene, gateway, run.random(number, "kills"))
        finally:
            scene.is_over = True
            scene.up.set()
            for thread in threads:
                thread.join()
        scene.finish()
        return scene


def _pass_time(run: Run, each: Round, scene: _Scene, gateway: Gateway, numbers: random.Random) -> None:
    began = time.monotonic()
    next_kill = began + KILL_EVERY_SECONDS
    while (passed := time.monotonic() - began) < each.seconds and not scene.faults:
        run.progress(int(passed), math.ceil(each.seconds), "seconds")
        time.sleep(0.05)
        if each.kill == "none" or time.monotonic() < next_kill:
            continue
        time.sleep(numbers.random() * 0.2)
        if each.kill == "all":
            gateway.kill()
            scene.up.clear()
            gateway.start()
            scene.up.set()
        else:
            killed = numbers.choice(_workers(gateway.pid))
            os.kill(killed, signal.SIGKILL)
            while killed in _workers(gateway.pid):
                time.sleep(0.01)
        scene.deaths.append(time.monotonic())
        next_kill = time.monotonic() + KILL_EVERY_SECONDS


def _workers(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@dataclass(slots=True)
class _Upload:
    """A completion, however often it is asked for: one write, between the first call and the first answer."""

    key: str
    upload_id: str
    parts: Sequence[str]
    version: Version
    client: str
    calls: list[_Call] = field(default_factory=list)

    def operation(self) -> tuple[Operation, float]:
        answered = [call.returned for call in self.calls if call.is_answered]
        operation = Operation(
            key=self.key,
            kind="complete",
            client=self.client,
            invoked=min(call.invoked for call in self.calls),
            returned=min(answered, default=math.inf),
            writes=True,
            after=self.version,
            is_certain=bool(answered),
        )
        return operation, max(call.returned for call in self.calls)


@dataclass(frozen=True, slots=True)
class _Call:
    """A call as its client saw it."""

    invoked: float
    returned: float
    answer: Any = None
    refusal: str | None = None
    is_answered: bool = True


@dataclass(slots=True)
class _Scene:
    """What the clients of a round share: what they write, what they saw last, and what they found."""

    up: threading.Event = field(default_factory=threading.Event)
    is_over: bool = False
    faults: list[str] = field(default_factory=list)
    deaths: list[float] = field(default_factory=list)
    """When what was killed was surely gone."""
    operations: list[Operation] = field(default_factory=list)
    lost: list[tuple[Operation, float]] = field(default_factory=list)
    """Writes without an answer, and when their client gave up on it."""
    uploads: list[_Upload] = field(default_factory=list)
    recent: deque[_Upload] = field(default_factory=lambda: deque(maxlen=8))
    told: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: int = 0
    unanswered: int = 0
    versions: dict[str, Version] = field(default_factory=dict)
    bodies: dict[str, str] = field(default_factory=dict)
    """The MD5 of what a writer wrote, by its name; known before anybody can read it."""
    sources: dict[str, str] = field(default_factory=dict)
    """The MD5 of the bytes behind an ETag."""
    latest: dict[str, str] = field(default_factory=dict)
    """The ETag that somebody saw last, by key: a good guess for a condition."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.up.set()

    def expect(self, writer: str, etag: str, md5: str) -> Version:
        """Make it known that ``writer`` is about to write these bytes."""
        version = Version(writer, etag)
        self.versions[writer], self.bodies[writer], self.sources[etag] = version, md5, md5
        return version

    def finish(self) -> None:
        """
        Add what had no answer, as far as it can still have happened.

        A call that was cut off ended with its process; one that was waited for until the client's patience ended may
        happen at any time.
        """
        for upload in self.uploads:
            if not upload.calls:
                continue
            operation, given_up = upload.operation()
            if operation.is_certain:
                self.operations.append(operation)
            else:
                self.lost.append((operation, given_up))
        for operation, given_up in self.lost:
            was_cut_off = given_up - operation.invoked < ANSWER_SECONDS
            bound = (
                min((each for each in self.deaths if each > given_up), default=math.inf) if was_cut_off else math.inf
            )
            self.operations.append(replace(operation, returned=bound))


HARMLESS: Final = {"SlowDown", "OperationAborted"}
"""Refusals that say that nothing was done, and nothing of the key."""


class _Client:
    """One client with a connection of each protocol, doing one thing after the other."""

    def __init__(self, name: str, scene: _Scene, gateway: Gateway, numbers: random.Random) -> None:
        self.name = name
        self._scene = scene
        self._numbers = numbers
        self._speakers: tuple[Client, ...] = (Rest(gateway, BUCKET), Grpc(gateway, BUCKET))
        self._writes = 0
        self._deeds: list[tuple[Callable[[Client, str], None], int]] = [
            (self._get, 24),
            (self._head, 8),
            (self._list, 6),
            (self._put, 16),
            (self._put_if_absent, 10),
            (self._put_if_match, 12),
            (self._delete, 8),
            (self._delete_if_match, 6),
            (self._delete_many, 2),
            (self._copy, 6),
            (self._complete, 4),
            (self._complete_if_absent, 1),
            (self._complete_again, 4),
            (self._tags, 8),
            (self._tag, 3),
            (self._untag, 1),
        ]

    def work(self) -> None:
        deeds, weights = [deed for deed, _ in self._deeds], [weight for _, weight in self._deeds]
        try:
            while not self._scene.is_over and not self._scene.faults:
                self._scene.up.wait()
                speaker = self._numbers.choice(self._speakers)
                if self._numbers.random() < RECONNECTS:
                    speaker.reconnect()
                self._numbers.choices(deeds, weights)[0](speaker, self._numbers.choice(KEYS))
        except Exception as fault:
            self._scene.faults.append(f"{self.name}: {fault!r}")

    # What a client does --------------------------------------------------------------------------------------

    def _get(self, speaker: Client, key: str) -> None:
        self._read("get", speaker, key, partial(speaker.get, key))

    def _head(self, speaker: Client, key: str) -> None:
        self._read("head", speaker, key, partial(speaker.head, key))

    def _list(self, speaker: Client, key: str) -> None:
        call = self._call("list", speaker, lambda: speaker.list(PREFIX))
        if not call.is_answered or self._is_strange(call, "list", speaker, {}):
            return
        if foreign := set(call.answer) - set(KEYS):
            self._scene.faults.append(f"a listing shows {foreign}, which nobody wrote")
        for each in KEYS:
            etag = call.answer.get(each)
            self._note("list", speaker, each, call, guard=ABSENT if etag is None else Guard(etag=etag))

    def _put(self, speaker: Client, key: str) -> None:
        body, version = self._something()
        self._write("put", speaker, key, version, lambda: speaker.put(key, body, version.writer))

    def _put_if_absent(self, speaker: Client, key: str) -> None:
        body, version = self._something()
        self._write(
            "put if absent",
            speaker,
            key,
            version,
            lambda: speaker.put(key, body, version.writer, if_none_match="*"),
            guard=ABSENT,
            refusals={"PreconditionFailed": PRESENT},
        )

    def _put_if_match(self, speaker: Client, key: str) -> None:
        etag = self._guess(key)
        body, version = self._something()
        self._write(
            "put if match",
            speaker,
            key,
            version,
            lambda: speaker.put(key, body, version.writer, if_match=etag),
            guard=Guard(etag=etag),
            refusals=_unmatched(etag),
        )

    def _delete(self, speaker: Client, key: str) -> None:
        self._write("delete", speaker, key, None, lambda: speaker.delete(key))

    def _delete_if_match(self, speaker: Client, key: str) -> None:
        etag = self._guess(key)
        self._write(
            "delete if match",
            speaker,
            key,
            None,
            lambda: speaker.delete(key, if_match=etag),
            guard=Guard(etag=etag),
            refusals=_unmatched(etag),
        )

    def _delete_many(self, speaker: Client, key: str) -> None:
        keys = self._numbers.sample(KEYS, 2)
        call = self._call("delete many", speaker, lambda: speaker.delete_many(keys))
        if self._is_strange(call, "delete many", speaker, {}):
            return
        for each in keys:
            self._note("delete many", speaker, each, call, writes=True)

    def _copy(self, speaker: Client, key: str) -> None:
        """A read of one key and then a write of another; only of the read is it known when it was in vain."""
        source = self._numbers.choice([each for each in KEYS if each != key])
        etag = self._guess(source)
        md5 = self._scene.sources.get(etag)
        if md5 is None:
            return
        version = self._scene.expect(self._name(), md5, md5)
        refusals = _unmatched(etag)
        call = self._call("copy", speaker, lambda: speaker.copy(source, key, version.writer, source_if_match=etag))
        if self._is_strange(call, "copy", speaker, refusals):
            return
        if call.refusal is not None:
            self._note("copy from", speaker, source, call, guard=refusals[call.refusal])
            return
        if call.is_answered:
            self._agree("copy", call.answer, version)
            self._note("copy from", speaker, source, call, guard=Guard(etag=etag))
        self._note("copy", speaker, key, call, writes=True, after=version)

    def _complete(self, speaker: Client, key: str) -> None:
        if upload := self._uploaded(speaker, key):
            self._scene.uploads.append(upload)
            self._scene.recent.append(upload)
            self._ask_to_complete("complete", speaker, upload)

    def _complete_again(self, speaker: Client, key: str) -> None:
        """Of an upload that somebody completed or is completing; it is answered the same, and done once."""
        if self._scene.recent:
            self._ask_to_complete("complete again", speaker, self._numbers.choice(list(self._scene.recent)))

    def _complete_if_absent(self, speaker: Client, key: str) -> None:
        if upload := self._uploaded(speaker, key):
            self._write(
                "complete if absent",
                speaker,
                key,
                upload.version,
                lambda: speaker.complete(key, upload.upload_id, upload.parts, if_none_match="*"),
                guard=ABSENT,
                refusals={"PreconditionFailed": PRESENT},
            )

    def _tags(self, speaker: Client, key: str) -> None:
        call = self._call("tags of the bucket", speaker, speaker.tagged_by)
        if not call.is_answered or self._is_strange(call, "tags of the bucket", speaker, {"NoSuchTagSet": ABSENT}):
            return
        guard = ABSENT if call.refusal is not None else Guard(writer=call.answer)
        self._note("tags of the bucket", speaker, TAGS, call, guard=guard)

    def _tag(self, speaker: Client, key: str) -> None:
        writer = self._name()
        self._write_tags("tag the bucket", speaker, Version(writer, ""), lambda: speaker.tag_bucket(writer))

    def _untag(self, speaker: Client, key: str) -> None:
        self._write_tags("untag the bucket", speaker, None, speaker.untag_bucket)

    def _write_tags(self, kind: str, speaker: Client, version: Version | None, ask: Callable[[], None]) -> None:
        call = self._call(kind, speaker, ask)
        if not self._is_strange(call, kind, speaker, {}):
            self._note(kind, speaker, TAGS, call, writes=True, after=version)

    # How it is asked and noted -------------------------------------------------------------------------------

    def _read(self, kind: str, speaker: Client, key: str, ask: Callable[[], Seen]) -> None:
        call = self._call(kind, speaker, ask)
        if not call.is_answered or self._is_strange(call, kind, speaker, {"NoSuchKey": ABSENT}):
            return
        if call.refusal is not None:
            self._note(kind, speaker, key, call, guard=ABSENT)
            return
        seen: Seen = call.answer
        self._inspect(kind, speaker, key, seen)
        self._scene.latest[key] = seen.etag
        self._note(kind, speaker, key, call, guard=Guard(writer=seen.writer, etag=seen.etag))

    def _inspect(self, kind: str, speaker: Client, key: str, seen: Seen) -> None:
        """Bytes, ETag and metadata must be one writer's."""
        version = self._scene.versions.get(seen.writer)
        if version is None or version.etag != seen.etag:
            self._scene.faults.append(f"{kind} of {key} over {speaker.protocol} shows {seen.etag} of {seen.writer!r}")
        elif seen.body is not None and _md5(seen.body) != self._scene.bodies[seen.writer]:
            parts = sorted(set(seen.body.split()))[:5]
            self._scene.faults.append(
                f"get of {key} over {speaker.protocol} shows {len(seen.body):,} bytes that are not those of"
                f" {seen.writer!r}: they are of {parts}"
            )

    def _write(
        self,
        kind: str,
        speaker: Client,
        key: str,
        version: Version | None,
        ask: Callable[[], str | None],
        *,
        guard: Guard = ANYTHING,
        refusals: Mapping[str, Guard] | None = None,
    ) -> None:
        refusals = refusals or {}
        call = self._call(kind, speaker, ask)
        if self._is_strange(call, kind, speaker, refusals):
            return
        if call.refusal is not None:
            self._note(kind, speaker, key, call, guard=refusals[call.refusal])
            return
        if call.is_answered and version is not None:
            self._agree(kind, call.answer, version)
            self._scene.latest[key] = version.etag
        self._note(kind, speaker, key, call, guard=guard, writes=True, after=version)

    def _ask_to_complete(self, kind: str, speaker: Client, upload: _Upload) -> None:
        call = self._call(kind, speaker, lambda: speaker.complete(upload.key, upload.upload_id, upload.parts))
        if self._is_strange(call, kind, speaker, {}):
            return
        if call.is_answered:
            self._agree(kind, call.answer, upload.version)
        upload.calls.append(call)

    def _call(self, kind: str, speaker: Client, ask: Callable[[], Any]) -> _Call:
        invoked = time.monotonic()
        try:
            answer = ask()
            call = _Call(invoked, time.monotonic(), answer)
        except Refused as fault:
            call = _Call(invoked, time.monotonic(), refusal=fault.code)
        except Unanswered:
            call = _Call(invoked, time.monotonic(), is_answered=False)
        except Unasked:
            return _Call(invoked, time.monotonic(), refusal="Unasked")
        with self._scene.lock:
            self._scene.told[kind, speaker.protocol] += 1
            self._scene.refused += call.refusal is not None
            self._scene.unanswered += not call.is_answered
        return call

    def _is_strange(self, call: _Call, kind: str, speaker: Client, refusals: Mapping[str, Guard]) -> bool:
        """Whether a call says nothing of a key; a refusal that it does not go with is a fault."""
        if call.refusal is None or call.refusal in refusals:
            return False
        if call.refusal == "Unasked":
            time.sleep(0.01)  # it is being started again
        elif call.refusal not in HARMLESS:
            self._scene.faults.append(f"{kind} over {speaker.protocol} is refused with {call.refusal}")
        return True

    def _agree(self, kind: str, etag: str, version: Version) -> None:
        if etag != version.etag:
            self._scene.faults.append(f"{kind} answers the ETag {etag} for {version}")

    def _note(
        self,
        kind: str,
        speaker: Client,
        key: str,
        call: _Call,
        *,
        guard: Guard = ANYTHING,
        writes: bool = False,
        after: Version | None = None,
    ) -> None:
        operation = Operation(
            key=key,
            kind=kind,
            invoked=call.invoked,
            returned=call.returned if call.is_answered else math.inf,
            guard=guard,
            writes=writes,
            after=after,
            is_certain=call.is_answered,
            client=f"{self.name} {speaker.protocol}",
        )
        if call.is_answered:
            self._scene.operations.append(operation)
        elif writes:
            self._scene.lost.append((operation, call.returned))

    # What it asks with ---------------------------------------------------------------------------------------

    def _name(self) -> str:
        self._writes += 1
        return f"{self.name}-{self._writes}"

    def _something(self) -> tuple[bytes, Version]:
        """A body that says on every line whose it is."""
        size = LARGE_BYTES if self._numbers.random() < 0.15 else self._numbers.randrange(20, SMALL_BYTES)
        writer = self._name()
        body = _body(writer, size)
        return body, self._scene.expect(writer, _md5(body), _md5(body))

    def _guess(self, key: str) -> str:
        """An ETag that the key may have: mostly the last that was seen there, sometimes any."""
        if self._numbers.random() < 0.1 and self._scene.latest:
            return self._numbers.choice(list(self._scene.latest.values()))
        return self._scene.latest.get(key, _md5(b""))

    def _uploaded(self, speaker: Client, key: str) -> _Upload | None:
        """An upload that only waits for its completion; None where it could not be made."""
        writer = self._name()
        sizes = [PART_BYTES, SMALL_BYTES] if self._numbers.random() < 0.05 else [LARGE_BYTES]
        bodies = [_body(writer, size) for size in sizes]
        digests = b"".join(bytes.fromhex(_md5(body)) for body in bodies)
        version = self._scene.expect(writer, f"{_md5(digests)}-{len(bodies)}", _md5(b"".join(bodies)))
        try:
            upload_id = speaker.create_upload(key, writer)
            parts = [speaker.upload_part(key, upload_id, number, body) for number, body in enumerate(bodies, 1)]
        except (Unanswered, Unasked):
            return None
        return _Upload(key, upload_id, parts, version, f"{self.name} {speaker.protocol}")


def _unmatched(etag: str) -> dict[str, Guard]:
    """What it means that an If-Match of this ETag was refused."""
    return {"PreconditionFailed": Guard(other_than=etag), "NoSuchKey": ABSENT}


def _body(writer: str, size: int) -> bytes:
    line = f"{writer}\n".encode()
    return (line * (size // len(line) + 1))[:size]


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()

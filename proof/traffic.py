"""
What several clients do to one bucket until the gateway dies under them, and the audit of what is there afterwards.

Both protocols are spoken by every client, and everything that changes something is asked: puts of nothing and of
megabytes, conditional ones, copies, deletes of one key and of several, uploads with their parts, completions and
aborts.  All of it is entered in a ledger; the audit asks the gateway for every key and upload, over both protocols, and
holds the answers against the ledger.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from proof.clients import Client, Grpc, Refused, Rest, Seen, Unanswered, Unasked
from proof.gateway import Gateway
from proof.ledger import Fault, Ledger, Register, Stored, Upload, Write

BUCKET, PREFIX = "survivors", "kept/"
KEYS: Final = tuple(f"{PREFIX}{number:02}" for number in range(32))
CLIENTS: Final = 6

SIZES: Final = ((0, 0, 6), (1, 2_000, 50), (30_000, 36_000, 20), (70_000, 400_000, 20), (1_000_000, 3 * 1024**2, 4))
"""(least bytes, most bytes, how often): among them what stands in the index, what only just does, and files."""

PART_BYTES: Final = 5 * 1024**2
"""The least that S3 takes of a part that is not the last."""

OPEN_UPLOADS: Final = 3
"""Of one client, after which it ends one before it begins another."""

HARMLESS: Final = frozenset({"SlowDown", "OperationAborted"})
"""Refusals that may always come, and say that nothing was done."""

BROKEN: Final = frozenset({"InternalError", "ServiceUnavailable"})
"""Refusals that leave open what was done; only a disk that fails excuses them."""

_Answer = TypeVar("_Answer")
_Change = tuple[Register[Any], Write[Any]]


def body_of(writer: str, size: int) -> bytes:
    """Bytes that say on every line whose they are."""
    line = f"{writer}\n".encode()
    return (line * (size // len(line) + 1))[:size]


def md5_of(body: bytes) -> str:
    """The digest that is the ETag of what is put in one piece."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


@dataclass(slots=True)
class Traffic:
    """What lasts over the rounds: the ledger, what was asked, and what cannot be."""

    ledger: Ledger = field(default_factory=Ledger)
    faults: list[str] = field(default_factory=list)
    """Answers that cannot be, as sentences."""
    acknowledged: Counter[str] = field(default_factory=Counter)
    """Writes that were answered with success, by protocol."""
    recipes: dict[str, tuple[str, int]] = field(default_factory=dict)
    """How to make the body again that has this MD5: (writer, bytes)."""
    excused: Collection[str] = frozenset()
    """Refusals that count as no answer."""
    _rounds: int = 0
    _is_over: bool = False
    _threads: list[threading.Thread] = field(default_factory=list)

    def begin(self, gateway: Gateway, numbers: random.Random) -> None:
        """Let the clients loose on a gateway that answers."""
        self._rounds += 1
        self._is_over = False
        owned = list(self.ledger.uploads.values())
        clients = [
            _Client(self, f"r{self._rounds}c{number}", gateway, random.Random(numbers.random()), owned[number::CLIENTS])
            for number in range(CLIENTS)
        ]
        self._threads = [threading.Thread(target=client.work, name=client.name) for client in clients]
        for thread in self._threads:
            thread.start()

    def wane(self) -> None:
        """Nobody begins anything new; what is under way is the killer's."""
        self._is_over = True

    def end(self) -> None:
        """Wait until every client has given up."""
        self.wane()
        for thread in self._threads:
            thread.join()

    @property
    def is_over(self) -> bool:
        return self._is_over or bool(self.faults)


class _Client:
    """One client with a connection of each protocol, doing one thing after the other."""

    def __init__(
        self, traffic: Traffic, name: str, gateway: Gateway, numbers: random.Random, uploads: list[Upload]
    ) -> None:
        self.name = name
        self._traffic, self._ledger = traffic, traffic.ledger
        self._numbers = numbers
        self._speakers: tuple[Client, ...] = (Rest(gateway, BUCKET), Grpc(gateway, BUCKET))
        self._uploads = uploads
        self._writes = 0

    def work(self) -> None:
        deeds: dict[Callable[[Client, str], None], int] = {
            self._get: 12,
            self._put: 34,
            self._put_if_absent: 6,
            self._put_if_match: 8,
            self._delete: 8,
            self._delete_many: 3,
            self._copy: 9,
            self._upload: 8,
            self._upload_part: 5,
            self._complete: 6,
            self._abort: 2,
        }
        try:
            while not self._traffic.is_over:
                deed = self._numbers.choices(list(deeds), list(deeds.values()))[0]
                deed(self._numbers.choice(self._speakers), self._numbers.choice(KEYS))
        except Unasked:
            return
        except Fault as fault:
            self._traffic.faults.append(str(fault))
        except Exception as fault:
            self._traffic.faults.append(f"{self.name} broke off: {fault!r}")
        finally:
            for speaker in self._speakers:
                speaker.reconnect()

    # What a client does --------------------------------------------------------------------------------------

    def _get(self, speaker: Client, key: str) -> None:
        seen = self._ask(speaker, lambda: speaker.get(key), expected={"NoSuchKey"})
        if seen is not None:
            self._ledger.was_read(key, stored_of(seen))

    def _put(self, speaker: Client, key: str) -> None:
        body, made = self._something()
        self._change(speaker, lambda: speaker.put(key, body, made.writer), {key: made})

    def _put_if_absent(self, speaker: Client, key: str) -> None:
        body, made = self._something()
        ask = lambda: speaker.put(key, body, made.writer, if_none_match="*")  # noqa: E731
        self._change(speaker, ask, {key: made}, expected={"PreconditionFailed"})

    def _put_if_match(self, speaker: Client, key: str) -> None:
        etag = self._etag_of(key)
        body, made = self._something()
        ask = lambda: speaker.put(key, body, made.writer, if_match=etag)  # noqa: E731
        self._change(speaker, ask, {key: made}, expected={"PreconditionFailed", "NoSuchKey"})

    def _delete(self, speaker: Client, key: str) -> None:
        self._change(speaker, lambda: speaker.delete(key), {key: None})

    def _delete_many(self, speaker: Client, key: str) -> None:
        keys = self._numbers.sample(KEYS, 3)
        self._change(speaker, lambda: speaker.delete_many(keys), dict.fromkeys(keys))

    def _copy(self, speaker: Client, key: str) -> None:
        source = self._numbers.choice(KEYS)
        original = self._ledger.register(source).value
        if original is None or source == key:
            return
        made = Stored(self._name(), original.md5, original.md5, original.size)
        ask = lambda: speaker.copy(source, key, made.writer, source_if_match=original.etag)  # noqa: E731
        self._change(speaker, ask, {key: made}, expected={"PreconditionFailed", "NoSuchKey"})

    def _upload(self, speaker: Client, key: str) -> None:
        if len(self._uploads) >= OPEN_UPLOADS:
            return
        writer = self._name()
        self._ledger.begin_upload(writer)
        upload_id = self._ask(speaker, lambda: speaker.create_upload(key, writer))
        if upload_id is not None:
            self._traffic.acknowledged[speaker.protocol] += 1
            upload = self._ledger.create_upload(key, upload_id, writer)
            self._uploads.append(upload)
            self._put_part(speaker, upload, 1)

    def _upload_part(self, speaker: Client, key: str) -> None:
        if self._uploads:
            upload = self._numbers.choice(self._uploads)
            self._put_part(speaker, upload, self._numbers.choice([1, 2]))

    def _put_part(self, speaker: Client, upload: Upload, number: int) -> None:
        writer = self._name()
        is_followed = number == 1 and (2 in upload.parts or self._numbers.random() < 0.05)
        body = body_of(writer, PART_BYTES if is_followed else self._size())
        etag = md5_of(body)
        first = upload.part(1).value
        if number == 2 and (first is None or self._traffic.recipes[first][1] < PART_BYTES):
            return
        self._traffic.recipes[etag] = (writer, len(body))
        register = upload.part(number)
        change = (register, register.begin(etag))
        ask = lambda: speaker.upload_part(upload.key, upload.upload_id, number, body)  # noqa: E731
        self._settle(speaker, ask, [change], answer=etag)

    def _complete(self, speaker: Client, key: str) -> None:
        if not self._uploads:
            return
        upload = self._uploads.pop(self._numbers.randrange(len(self._uploads)))
        parts = [etag for _, each in sorted(upload.parts.items()) if (etag := each.value) is not None]
        if not parts or any(each.unanswered() for each in upload.parts.values()):
            return
        body = b"".join(body_of(*self._traffic.recipes[etag]) for etag in parts)
        etag = f"{md5_of(bytes.fromhex(''.join(parts)))}-{len(parts)}"
        gone, made = self._ledger.begin_completion(upload, Stored(upload.writer, etag, md5_of(body), len(body)))
        ask = lambda: speaker.complete(upload.key, upload.upload_id, parts)  # noqa: E731
        changes: list[_Change] = [(self._ledger.register(upload.key), made), (upload.presence, gone)]
        self._settle(speaker, ask, changes, answer=etag)

    def _abort(self, speaker: Client, key: str) -> None:
        if not self._uploads:
            return
        upload = self._uploads.pop(self._numbers.randrange(len(self._uploads)))
        change = (upload.presence, upload.presence.begin(None))
        self._settle(speaker, lambda: speaker.abort(upload.key, upload.upload_id), [change])

    # How it is asked and entered -----------------------------------------------------------------------------

    def _change(
        self,
        speaker: Client,
        ask: Callable[[], str | None],
        values: dict[str, Stored | None],
        *,
        expected: Collection[str] = (),
    ) -> None:
        """Write keys; an answer, where there is one, is the ETag of what was written."""
        changes = [(self._ledger.register(key), self._ledger.begin(key, value)) for key, value in values.items()]
        made = next(iter(values.values()))
        self._settle(speaker, ask, changes, expected=expected, answer=None if made is None else made.etag)

    def _settle(
        self,
        speaker: Client,
        ask: Callable[[], str | None],
        changes: Sequence[_Change],
        *,
        expected: Collection[str] = (),
        answer: str | None = None,
    ) -> None:
        try:
            found = ask()
        except Unanswered:
            return
        except (Unasked, Refused) as fault:
            if isinstance(fault, Refused) and fault.code in self._traffic.excused:
                return
            for register, write in changes:
                register.withdraw(write)
            self._excuse(speaker, fault, expected)
            return
        for register, write in changes:
            register.acknowledge(write)
        self._traffic.acknowledged[speaker.protocol] += len(changes)
        if found != answer:
            raise Fault("wrong", f"{changes[0][0].name}: over {speaker.protocol} {found} was answered for {answer}")

    def _ask(self, speaker: Client, ask: Callable[[], _Answer], *, expected: Collection[str] = ()) -> _Answer | None:
        """An answer, or None where there is none, or one that was to be expected."""
        try:
            return ask()
        except Unanswered:
            return None
        except (Unasked, Refused) as fault:
            self._excuse(speaker, fault, expected)
            return None

    def _excuse(self, speaker: Client, fault: Unasked | Refused, expected: Collection[str]) -> None:
        """Raises Unasked where nobody listens any more, and Fault for a refusal that nothing justifies."""
        if isinstance(fault, Unasked):
            raise fault
        if fault.code not in HARMLESS and fault.code not in expected and fault.code not in self._traffic.excused:
            raise Fault("wrong", f"{self.name}: refused over {speaker.protocol} with {fault.code}")

    # What it asks with ---------------------------------------------------------------------------------------

    def _name(self) -> str:
        self._writes += 1
        return f"{self.name}-{self._writes}"

    def _size(self) -> int:
        least, most, _ = self._numbers.choices(SIZES, [often for _, _, often in SIZES])[0]
        return self._numbers.randint(least, most)

    def _something(self) -> tuple[bytes, Stored]:
        writer = self._name()
        body = body_of(writer, self._size())
        digest = md5_of(body)
        return body, Stored(writer, digest, digest, len(body))

    def _etag_of(self, key: str) -> str:
        found = self._ledger.register(key).value
        return md5_of(b"") if found is None else found.etag


def stored_of(seen: Seen) -> Stored:
    """An object as a read showed it."""
    assert seen.body is not None
    return Stored(seen.writer, seen.etag, md5_of(seen.body), len(seen.body))


# The audit -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Findings:
    """What an audit found: writes that are lost, and things that were never written."""

    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def note(self, fault: Fault) -> None:
        (self.lost if fault.kind == "lost" else self.wrong).append(str(fault))

    def hold(self, settle: Callable[[], None]) -> None:
        """Settle something, and note the fault where it may not be so."""
        try:
            settle()
        except Fault as fault:
            self.note(fault)

    @property
    def worst(self) -> str:
        return (self.lost + self.wrong)[0]

    def __bool__(self) -> bool:
        return bool(self.lost or self.wrong)


def audit(gateway: Gateway, ledger: Ledger) -> Findings:
    """Hold everything that is there, over both protocols, against the ledger, and settle the ledger."""
    speakers: tuple[Client, ...] = (Rest(gateway, BUCKET), Grpc(gateway, BUCKET))
    findings = Findings()
    try:
        # Uploads come first: where one is gone that was being completed, its object must be there.
        _audit_uploads(speakers, ledger, findings)
        for key in KEYS:
            try:
                found = _agreed(key, [_object_at(speaker, key) for speaker in speakers])
            except Fault as fault:
                findings.note(fault)
                found = None
            findings.hold(lambda key=key, found=found: ledger.settle(key, found))  # type: ignore[misc]
        for speaker in speakers:
            listed = dict(speaker.list(PREFIX))
            findings.hold(lambda listed=listed: ledger.settle_keys(listed))  # type: ignore[misc]
    except (Refused, Unanswered, Unasked) as fault:
        if not (isinstance(fault, Refused) and fault.code == "NoSuchBucket"):
            findings.note(Fault("wrong", f"an audit was not answered: {fault!r}"))
            return findings
        findings.note(Fault("lost", "the bucket is gone"))
        for key in KEYS:
            findings.hold(lambda key=key: ledger.settle(key, None))  # type: ignore[misc]
    finally:
        for speaker in speakers:
            speaker.reconnect()
    return findings


def _audit_uploads(speakers: Sequence[Client], ledger: Ledger, findings: Findings) -> None:
    try:
        listed = _agreed("the uploads", [dict(speaker.list_uploads()) for speaker in speakers])
    except Fault as fault:
        findings.note(fault)
        return
    for upload in list(ledger.uploads.values()):
        parts: dict[int, str] | None = None
        if upload.upload_id in listed:
            each = [dict(speaker.list_parts(upload.key, upload.upload_id)) for speaker in speakers]
            parts = _agreed(upload.upload_id, each)
        findings.hold(lambda upload=upload, parts=parts: ledger.settle_upload(upload, parts))  # type: ignore[misc]
    strangers = {upload_id: key for upload_id, key in listed.items() if upload_id not in ledger.uploads}
    findings.hold(lambda: ledger.settle_strangers(len(strangers)))
    for upload_id, key in strangers.items():
        speakers[0].abort(key, upload_id)


def _object_at(speaker: Client, key: str) -> Stored | None:
    """Raises Fault for an object that is there and cannot be read."""
    try:
        return stored_of(speaker.get(key))
    except Refused as fault:
        if fault.code == "NoSuchKey":
            return None
        raise Fault("lost", f"{key}: it cannot be read over {speaker.protocol}: {fault.code}") from fault
    except Unanswered as fault:
        raise Fault("lost", f"{key}: it cannot be read over {speaker.protocol}: {fault}") from fault


def _agreed(name: str, found: Sequence[_Answer]) -> _Answer:
    """Raises Fault where the protocols do not show the same."""
    if found[0] != found[1]:
        raise Fault("wrong", f"{name}: REST shows {found[0]} and gRPC {found[1]}")
    return found[0]

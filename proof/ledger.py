"""
What clients know of what they wrote, and what may therefore be found after a crash.

Every key is a register, and so is every part of an upload and whether the upload is there.  A write of a register
begins, and then it is acknowledged, taken back (it was refused and did nothing) or left without an answer.  What may be
found once nobody writes any more is each write that no other certainly came after: one that was acknowledged, or seen
by a reader, and that did not end before another certain one began; or one that nobody answered.  What is found is
from then on the only truth: a write that a crash swallowed may not come back later.

Nothing here asks a gateway anything; times are steps of one counter.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

Value = TypeVar("Value", bound=Hashable)

_moments: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it was written, or as it was found: who wrote it, and which bytes under which ETag."""

    writer: str
    etag: str
    md5: str
    size: int


@dataclass(slots=True, eq=False)
class Write(Generic[Value]):
    """A change of a register on its way; ``value`` is None for what removes."""

    value: Value | None
    began: int
    ended: float = math.inf
    """When it had certainly happened; infinite while that is not known."""
    is_withdrawn: bool = False
    """Whether it was refused."""

    @property
    def is_certain(self) -> bool:
        return self.ended < math.inf


class Fault(Exception):
    """Something was found that cannot be; ``kind`` says how bad: ``lost`` is too old, ``wrong`` was never written."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


class Register(Generic[Value]):
    """One thing that is written again and again, by several clients at once."""

    def __init__(self, name: str, value: Value | None = None) -> None:
        self.name = name
        self._writes: list[Write[Value]] = [Write(value, 0, 0)]
        self._past: set[Value] = set()

    def begin(self, value: Value | None) -> Write[Value]:
        """A client is about to ask for this."""
        write = Write(value, next(_moments))
        self._writes.append(write)
        return write

    def acknowledge(self, write: Write[Value]) -> None:
        """It was answered, or a reader saw it: it has happened by now."""
        write.ended = min(write.ended, next(_moments))

    def withdraw(self, write: Write[Value]) -> None:
        """It was refused: it did nothing and never will."""
        self._writes.remove(write)
        write.is_withdrawn = True

    def was_read(self, value: Value) -> None:
        """A reader was shown this before the crash, so that it may not be taken back."""
        for write in tuple(self._writes):
            if write.value == value:
                self.acknowledge(write)

    def allowed(self) -> list[Value | None]:
        """What may stand here once nobody writes any more."""
        writes = tuple(self._writes)  # other clients may be adding to it
        latest = max(write.began for write in writes if write.is_certain)
        return [write.value for write in writes if write.ended >= latest]

    def unanswered(self) -> list[Value | None]:
        """What the writes that nobody has answered would leave here."""
        return [write.value for write in tuple(self._writes) if not write.is_certain]

    @property
    def value(self) -> Value | None:
        """What stands here, as far as one client can know."""
        return self.allowed()[-1]

    def settle(self, found: Value | None) -> None:
        """
        Take what was found for the truth from here on.

        Raises Fault where it may not be: ``lost`` where it is older than what was acknowledged or is nothing at all,
        ``wrong`` where nobody ever wrote it here.
        """
        allowed = self.allowed()
        older = self._past | {write.value for write in self._writes if write.value is not None}
        self._past = older
        self._writes = [Write(found, 0, 0)]
        if found in allowed:
            return
        kind = "lost" if found is None or found in older else "wrong"
        raise Fault(kind, f"{self.name}: found {found}, where it must be one of {allowed}")


@dataclass(slots=True)
class Upload:
    """A multipart upload: whether it is there, which parts it has, and how its client means to end it."""

    key: str
    upload_id: str
    writer: str
    presence: Register[str]
    parts: dict[int, Register[str]] = field(default_factory=dict)
    """The ETag of each part."""
    completion: Write[Stored] | None = None
    """What a completion that was asked for writes."""

    def part(self, number: int) -> Register[str]:
        """The register of a part."""
        return self.parts.setdefault(number, Register(f"part {number} of {self.upload_id} for {self.key}"))


PRESENT: Final = "present"


class Ledger:
    """Everything that the clients of a bucket wrote."""

    def __init__(self) -> None:
        self.objects: dict[str, Register[Stored]] = {}
        self.uploads: dict[str, Upload] = {}
        self.survived = 0
        """How many writes without an answer were found afterwards."""
        self._writers: dict[str, Stored] = {}
        self._unanswered_uploads: set[str] = set()

    def register(self, key: str) -> Register[Stored]:
        """The register of a key."""
        return self.objects.setdefault(key, Register(key))

    def begin(self, key: str, value: Stored | None) -> Write[Stored]:
        """A client is about to put, copy, complete or delete."""
        if value is not None:
            self._writers[value.writer] = value
        return self.register(key).begin(value)

    def was_read(self, key: str, found: Stored) -> None:
        """A client was shown an object.  Raises Fault where nobody wrote such a one."""
        written = self._writers.get(found.writer)
        if written != found:
            raise Fault("wrong", f"{key}: a reader was shown {found}, and {written} was written")
        self.register(key).was_read(found)

    # Uploads

    def begin_upload(self, writer: str) -> None:
        """A client is about to create an upload, whose name it learns from the answer."""
        self._unanswered_uploads.add(writer)

    def create_upload(self, key: str, upload_id: str, writer: str) -> Upload:
        """An upload was created."""
        self._unanswered_uploads.discard(writer)
        upload = Upload(key, upload_id, writer, Register(f"upload {upload_id} for {key}", PRESENT))
        self.uploads[upload_id] = upload
        return upload

    def begin_completion(self, upload: Upload, value: Stored) -> tuple[Write[str], Write[Stored]]:
        """A client is about to complete: the upload goes, and the object comes, both or neither."""
        upload.completion = self.begin(upload.key, value)
        return upload.presence.begin(None), upload.completion

    def settle_upload(self, upload: Upload, found: dict[int, str] | None) -> None:
        """
        An upload was found with these parts, or not found; to be said before its key is settled.

        Raises Fault where that may not be, or where a completion did one half of what it does.
        """
        upload.presence.settle(None if found is None else PRESENT)
        if upload.completion is not None and upload.completion.is_withdrawn:
            upload.completion = None
        if upload.completion is not None:
            if found is None:
                self.register(upload.key).acknowledge(upload.completion)
            elif upload.completion.is_certain:
                raise Fault("wrong", f"{upload.presence.name}: it is there, and so was the object that it became")
            else:
                self.register(upload.key).withdraw(upload.completion)
                upload.completion = None
        if found is None:
            del self.uploads[upload.upload_id]
            return
        for number, etag in found.items():
            upload.part(number).settle(etag)
        for number in sorted(set(upload.parts) - set(found)):
            upload.parts[number].settle(None)

    def settle_strangers(self, found: int) -> None:
        """So many uploads were found that no client knows the name of.  Raises Fault where nobody asked for them."""
        asked = len(self._unanswered_uploads)
        self._unanswered_uploads.clear()
        if found > asked:
            raise Fault("wrong", f"{found} uploads are there that no client knows, where {asked} may be")

    # The whole

    @property
    def in_flight(self) -> int:
        """How many writes nobody has answered."""
        registers: Iterator[Register[Stored] | Register[str]] = itertools.chain(
            self.objects.values(),
            (upload.presence for upload in self.uploads.values() if upload.completion is None),
            (part for upload in self.uploads.values() for part in upload.parts.values()),
        )
        return sum(len(register.unanswered()) for register in registers) + len(self._unanswered_uploads)

    def settle(self, key: str, found: Stored | None) -> None:
        """An object was found, or none.  Raises Fault where that may not be."""
        register = self.register(key)
        self.survived += found in register.unanswered()
        register.settle(found)

    def settle_keys(self, listed: dict[str, str]) -> None:
        """
        A listing, of (key: ETag); to be said after every key is settled.

        Raises Fault where it does not show what the keys themselves show.
        """
        expected = {key: found.etag for key, each in self.objects.items() if (found := each.value) is not None}
        if listed != expected:
            differing = sorted(set(listed.items()) ^ set(expected.items()))[:3]
            raise Fault("wrong", f"a listing differs from what its keys hold: {differing}")

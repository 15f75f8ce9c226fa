"""
Whether what clients saw of one key can be told as one story: each operation at one instant between call and answer.

An operation is a guard (what held of the key at that instant) and perhaps a write (what holds afterwards), so that a
read, a refusal and a conditional write differ in nothing but which of the two they have.  An operation whose answer
never came may have happened or not.  Keys are judged one by one: a history is linearizable exactly when its part of
each key is (Herlihy and Wing, 1990, theorem 1).

The search goes through the history once and keeps every state that the key can be in, with the operations under way
that have not happened in it; a pending write is only tried when an answer cannot be explained without it (Lowe,
"Testing for linearizability", 2017, just-in-time linearization).  An operation that writes nothing happens as soon as
its guard holds: that takes no possibility away.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Version:
    """One object that a key held: who wrote it, and its ETag (which a copy may share with its source)."""

    writer: str
    etag: str


State = Version | None
"""What a key holds; None for no object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What held of the key when an operation happened; what is not said may have been anything."""

    is_present: bool | None = None
    writer: str | None = None
    etag: str | None = None
    other_than: str | None = None
    """There was an object, and this was not its ETag."""

    def holds(self, state: State) -> bool:
        if state is None:
            return not self.is_present and self.writer is None and self.etag is None and self.other_than is None
        return (
            self.is_present is not False
            and self.writer in (None, state.writer)
            and self.etag in (None, state.etag)
            and self.other_than != state.etag
        )


ANYTHING: Final = Guard()
ABSENT: Final = Guard(is_present=False)
PRESENT: Final = Guard(is_present=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """
    What a client did to one key and was told, with the times of a clock that all clients share.

    ``returned`` is infinite where nothing bounds when it happens.
    """

    key: str
    kind: str
    invoked: float
    returned: float
    guard: Guard = ANYTHING
    writes: bool = False
    after: State = None
    """What the key holds afterwards, of an operation that writes; a delete writes None."""
    is_certain: bool = True
    """Whether it happened for sure; without an answer it may as well never have."""
    client: str = ""


@dataclass(frozen=True, slots=True)
class Violation:
    """A history of one key that no order explains, as few operations of it as were found to say so."""

    operations: tuple[Operation, ...]
    initial: frozenset[State] = field(default=frozenset({None}))
    """What the key may hold before the first of them."""

    def describe(self) -> str:
        """One line for each operation, in the order of their calls, times in milliseconds from the first."""
        began = min(each.invoked for each in self.operations)
        held = ", ".join(sorted(_shown(state) for state in self.initial))
        lines = [
            f"{self.operations[0].key!r} held {held if len(self.initial) < 5 else 'anything written before'}; then"
        ]
        for each in sorted(self.operations, key=lambda each: each.invoked):
            times = f"{(each.invoked - began) * 1e3:9.2f} …{(each.returned - began) * 1e3:9.2f}"
            lines.append(f"{times}  {each.client:<12} {each.kind:<22} {_told(each)}")
        return "\n".join(lines)


def check(operations: Iterable[Operation]) -> list[Violation]:
    """Judge a history of several keys that began with none of them held; the violations, shrunk, one a key at most."""
    by_key: dict[str, list[Operation]] = {}
    for each in operations:
        by_key.setdefault(each.key, []).append(each)
    found = [(mine, unexplained(mine)) for mine in by_key.values()]
    return [shrink(mine, at) for mine, at in found if at is not None]


def unexplained(operations: Sequence[Operation], *, initial: Collection[State] = (None,)) -> float | None:
    """The time of the first answer that nothing explains, in a history of one key; None where all are explained."""
    if any(each.key != operations[0].key for each in operations):
        raise ValueError("a history is judged one key at a time")
    possible: set[_Possibility] = {(state, frozenset()) for state in initial}
    for time, is_answer, place in _events(operations):
        each = operations[place]
        if not is_answer:
            possible = {_begin(possibility, place, each) for possibility in possible}
        elif each.is_certain:
            possible = {one for one in _reach(operations, possible, until=place) if place not in one[1]}
        else:
            # It happened by now or never will; either way nobody waits for it any longer.
            reached = _reach(operations, possible, until=None)
            possible = {(state, pending - {place}) for state, pending in reached}
        if not possible:
            return time
    return None


def shrink(operations: Sequence[Operation], at: float) -> Violation:
    """
    As few operations as still contradict each other, of a history of one key with an unexplained answer at a time.

    Every step takes knowledge away and invents none: what comes later, what came before some time (the key may then
    hold anything written until there), then one operation after the other that writes nothing.
    """
    kept = [each for each in operations if each.invoked <= at and (each.writes or each.returned <= at)]
    initial: frozenset[State] = frozenset({None})
    # The later the cut, the less is known: between a cut that still fails and one that does not, halve.
    cuts = sorted({each.returned for each in kept if each.returned <= at})
    low, high = -1, len(cuts) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if _fails(*_since(kept, cuts[middle])):
            low = middle
        else:
            high = middle
    if low >= 0:
        kept, initial = _since(kept, cuts[low])
    for each in [each for each in kept if not each.writes]:
        fewer = [other for other in kept if other is not each]
        if _fails(fewer, initial):
            kept = fewer
    return Violation(tuple(kept), initial)


_Possibility = tuple[State, frozenset[int]]
"""A state of the key, and which operations under way have not happened in it."""


def _events(operations: Sequence[Operation]) -> list[tuple[float, bool, int]]:
    """Calls and answers in order of time; at one instant calls come first, which makes them concurrent."""
    events = [(each.invoked, False, place) for place, each in enumerate(operations)]
    events += [(each.returned, True, place) for place, each in enumerate(operations) if each.returned < math.inf]
    return sorted(events)


def _begin(possibility: _Possibility, place: int, each: Operation) -> _Possibility:
    state, pending = possibility
    if not each.writes and each.guard.holds(state):
        return possibility
    return state, pending | {place}


def _reach(operations: Sequence[Operation], possible: set[_Possibility], *, until: int | None) -> set[_Possibility]:
    """All that pending writes can make of what is possible, each line followed until ``until`` has happened in it."""
    reached, left = set(possible), list(possible)
    while left:
        state, pending = left.pop()
        if until is not None and until not in pending:
            continue
        for place in pending:
            each = operations[place]
            if not each.writes or not each.guard.holds(state):
                continue
            rest = frozenset(
                other
                for other in pending
                if other != place and (operations[other].writes or not operations[other].guard.holds(each.after))
            )
            found = (each.after, rest)
            if found not in reached:
                reached.add(found)
                left.append(found)
    return reached


def _since(operations: Sequence[Operation], cut: float) -> tuple[list[Operation], frozenset[State]]:
    """
    The history from a time on, and what the key may hold there.

    What is under way at the cut may have happened before it: of such only the writes are kept, as uncertain ones.
    """
    before = [each for each in operations if each.writes and each.invoked <= cut]
    initial = frozenset({None, *(each.after for each in before)})
    kept = [each for each in operations if each.invoked > cut]
    kept += [replace(each, is_certain=False) for each in before if each.returned > cut]
    return kept, initial


def _fails(operations: Sequence[Operation], initial: frozenset[State]) -> bool:
    return unexplained(operations, initial=initial) is not None


def _shown(state: State) -> str:
    return "nothing" if state is None else f"{state.writer} ({state.etag[:8]})"


def _told(each: Operation) -> str:
    told = []
    guard = each.guard
    if guard.is_present is not None:
        told.append("found an object" if guard.is_present else "found nothing")
    if guard.writer is not None or guard.etag is not None:
        told.append(f"found {guard.writer or 'an object'} ({(guard.etag or '?')[:8]})")
    if guard.other_than is not None:
        told.append(f"found an object other than ({guard.other_than[:8]})")
    if each.writes:
        told.append("removed it" if each.after is None else f"wrote {_shown(each.after)}")
    return ", ".join(told) + ("" if each.is_certain else ", if it happened at all")

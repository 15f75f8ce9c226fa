"""
The judge of the histories, judged: what an atomic register does it accepts, and what none could do it rejects.

Histories are drawn as they would be seen (each operation happens at an instant, its call before and its answer after)
and compared with the plain definition: some order of the operations that agrees with their times explains them all.
"""

from __future__ import annotations

import itertools
import math
import random
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proof.linearizable import ABSENT, ANYTHING, PRESENT, Guard, Operation, Version, check, unexplained

A, B, C = (Version(name, f"etag-of-{name}") for name in "abc")


def op(invoked, returned, *, guard=ANYTHING, kind="op", key="key", **fields):
    return Operation(key=key, kind=kind, invoked=invoked, returned=returned, guard=guard, **fields)


def put(invoked, returned, version, **fields):
    return op(invoked, returned, writes=True, after=version, **fields)


def delete(invoked, returned, **fields):
    return op(invoked, returned, writes=True, after=None, **fields)


def got(invoked, returned, version):
    return op(invoked, returned, guard=ABSENT if version is None else Guard(writer=version.writer, etag=version.etag))


def lost(invoked, version, **fields):
    """A put whose answer never came."""
    return put(invoked, math.inf, version, is_certain=False, **fields)


ACCEPTED = {
    "nothing at all": [],
    "a read of nothing": [got(0, 1, None)],
    "a read of what was put": [put(0, 1, A), got(2, 3, A)],
    "a read during a put sees the old": [put(0, 9, A), got(1, 2, None)],
    "a read during a put sees the new": [put(0, 9, A), got(1, 2, A)],
    "two reads during a put see first the old": [put(0, 9, A), got(1, 2, None), got(3, 4, A)],
    "of two puts at once the first answered is the last": [put(0, 4, A), put(1, 3, B), got(5, 6, A)],
    "a put whose answer never came happens late": [lost(0, A), got(1, 2, None), got(8, 9, A)],
    "a put whose answer never came never happens": [lost(0, A), got(1, 2, None), got(8, 9, None)],
    "a put over a restart happened before it": [put(0, 5, A, is_certain=False), got(6, 7, A)],
    "a put over a restart never happened": [put(0, 5, A, is_certain=False), got(6, 7, None)],
    "one of two who insist on being first": [
        put(0, 4, A, guard=ABSENT),
        op(1, 3, guard=PRESENT),
        got(5, 6, A),
    ],
    "a refusal that came before its winner's answer": [op(1, 2, guard=PRESENT), put(0, 4, A, guard=ABSENT)],
    "a write on an ETag that a copy brought back": [
        put(0, 1, A),
        put(2, 3, Version("copy", A.etag)),
        put(4, 5, B, guard=Guard(etag=A.etag)),
    ],
    "only the ETag of a listing": [put(0, 1, A), op(2, 3, guard=Guard(etag=A.etag))],
    "a call at the instant of another's answer is concurrent": [put(0, 1, A), got(1, 2, None)],
}

REJECTED = {
    "a read of what nobody wrote": [put(0, 1, A), got(2, 3, B)],
    "a read before the put was asked for": [got(0, 1, A), put(2, 3, A)],
    "a stale read": [put(0, 1, A), put(2, 3, B), got(4, 5, A)],
    "a lost put": [put(0, 1, A), got(2, 3, None)],
    "a lost update": [
        put(0, 1, A),
        put(2, 5, B, guard=Guard(etag=A.etag)),
        put(3, 6, C, guard=Guard(etag=A.etag)),
    ],
    "two who were first": [put(0, 4, A, guard=ABSENT), put(1, 3, B, guard=ABSENT)],
    "a key that is back after its delete": [put(0, 1, A), delete(2, 3), got(4, 5, A)],
    "a delete that leaves the object": [put(0, 1, A), delete(2, 3), got(4, 5, None), got(6, 7, A)],
    "reads that go back during a put": [put(0, 9, A), got(1, 2, A), got(3, 4, None)],
    "two readers who disagree on the order of two puts": [
        put(0, 9, A),
        put(0, 9, B),
        got(10, 11, A),
        got(12, 13, B),
    ],
    "a conditional put on another ETag": [put(0, 1, A), put(2, 3, C, guard=Guard(etag=B.etag))],
    "a conditional put on nothing": [put(0, 1, B, guard=Guard(etag=A.etag))],
    "a conditional delete on another ETag": [put(0, 1, A), delete(2, 3, guard=Guard(etag=B.etag))],
    "a refusal that nothing justifies": [put(0, 1, A), op(2, 3, guard=Guard(other_than=A.etag))],
    "a refusal by an object that is gone": [put(0, 1, A), delete(2, 3), op(4, 5, guard=PRESENT)],
    "a put over a restart that happened after it": [
        put(0, 5, A, is_certain=False),
        got(6, 7, None),
        got(8, 9, A),
    ],
    "a put without an answer that happens twice": [
        lost(0, A),
        got(1, 2, A),
        put(3, 4, B),
        got(5, 6, B),
        got(7, 8, A),
    ],
    "the ETag of one and the writer of another": [
        put(0, 1, A),
        put(0, 1, B),
        op(2, 3, guard=Guard(writer=A.writer, etag=B.etag)),
    ],
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_an_atomic_key_can_do_is_accepted(name):
    assert check(ACCEPTED[name]) == []


@pytest.mark.parametrize("name", REJECTED)
def test_what_no_atomic_key_can_do_is_rejected(name):
    assert len(check(REJECTED[name])) == 1


@pytest.mark.parametrize("name", REJECTED)
def test_what_is_shown_of_a_violation_is_one_too(name):
    (violation,) = check(REJECTED[name])

    assert unexplained(violation.operations, initial=violation.initial) is not None
    assert violation.describe()


def test_keys_do_not_answer_for_each_other():
    assert check([put(0, 1, A), got(2, 3, None)]) != []
    assert check([put(0, 1, A), replace(got(2, 3, None), key="other")]) == []


def by_definition(operations) -> bool:
    """Whether some order explains a history: every choice of what happened, in every order."""
    certain = [each for each in operations if each.is_certain]
    perhaps = [each for each in operations if not each.is_certain]
    for count in range(len(perhaps) + 1):
        for happened in itertools.combinations(perhaps, count):
            if any(explains(order) for order in itertools.permutations([*certain, *happened])):
                return True
    return False


def explains(order) -> bool:
    state = None
    for place, each in enumerate(order):
        if any(later.returned < each.invoked for later in order[place + 1 :]) or not each.guard.holds(state):
            return False
        state = each.after if each.writes else state
    return True


GUARDS = st.one_of(
    st.sampled_from([ANYTHING, ABSENT, PRESENT]),
    st.builds(lambda version: Guard(etag=version.etag, writer=version.writer), st.sampled_from([A, B, C])),
    st.builds(lambda version: Guard(etag=version.etag), st.sampled_from([A, B])),
    st.builds(lambda version: Guard(other_than=version.etag), st.sampled_from([A, B])),
)


@st.composite
def arbitrary(draw):
    """Any history of few operations, mostly ones that nothing could do."""
    operations = []
    for _ in range(draw(st.integers(0, 5))):
        invoked = draw(st.integers(0, 6))
        writes, is_certain = draw(st.booleans()), True
        if writes:
            is_certain = draw(st.integers(0, 3)) > 0
        length = draw(st.sampled_from([0, 1, 2, 5] if is_certain else [1, 5, math.inf]))
        after = draw(st.sampled_from([None, A, B, C])) if writes else None
        guard = draw(GUARDS)
        operations.append(op(invoked, invoked + length, guard=guard, writes=writes, after=after, is_certain=is_certain))
    return operations


@given(arbitrary())
@settings(max_examples=600, deadline=None)
def test_it_judges_as_the_definition_does(operations):
    assert (check(operations) == []) is by_definition(operations)


def simulate(numbers: random.Random, count: int, *, clients: int, key: str = "key", lost_share: float = 0.0):
    """A history of an atomic key: every client calls, its operation happens at an instant, it is answered."""
    free = [0.0] * clients
    plans = []
    for number in range(count):
        client = min(range(clients), key=free.__getitem__)
        invoked = free[client] + numbers.random()
        happens = invoked + numbers.random()
        free[client] = returned = happens + numbers.random()
        plans.append((happens, invoked, returned, number))
    state, operations = None, []
    for _, invoked, returned, number in sorted(plans):
        version = Version(f"{key}-{number}", f"etag-{key}-{number}")
        what = numbers.random()
        if what < 0.4:
            guard = ABSENT if state is None else Guard(writer=state.writer, etag=state.etag)
            operations.append(op(invoked, returned, guard=guard, key=key, kind="get"))
            continue
        if what < 0.6:
            operations.append(put(invoked, returned, version, key=key, kind="put"))
        elif what < 0.75:
            guard = ABSENT if state is None else Guard(etag=state.etag)
            operations.append(put(invoked, returned, version, guard=guard, key=key, kind="conditional put"))
        elif what < 0.9:
            operations.append(op(invoked, returned, guard=Guard(is_present=state is not None), key=key, kind="refusal"))
            continue
        else:
            version = None
            operations.append(delete(invoked, returned, key=key, kind="delete"))
        if numbers.random() < lost_share:
            operations[-1] = replace(operations[-1], is_certain=False, returned=math.inf)
            if numbers.random() < 0.5:  # it never happens
                continue
        state = version
    return operations


@given(st.randoms(use_true_random=True), st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_what_an_atomic_key_did_is_accepted_however_calls_overlap(numbers, clients):
    assert check(simulate(numbers, 60, clients=clients, lost_share=0.03)) == []


def with_an_old_read(operations, numbers):
    """One client, so that every read has one right answer; one read gets the answer of an earlier state instead."""
    states = [None]
    broken = list(operations)
    wrong = []
    for place, each in enumerate(operations):
        if each.kind == "get":
            older = [state for state in states[:-1] if state != states[-1]]
            wrong += [(place, state) for state in older]
        if each.writes:
            states.append(each.after)
    if not wrong:
        return None
    place, state = numbers.choice(wrong)
    each = operations[place]
    broken[place] = replace(got(each.invoked, each.returned, state), kind="get")
    return broken


@given(st.randoms(use_true_random=True))
@settings(max_examples=200, deadline=None)
def test_a_single_stale_read_among_many_operations_is_found(numbers):
    broken = with_an_old_read(simulate(numbers, 40, clients=1), numbers)
    if broken is None:
        return

    (violation,) = check(broken)

    assert unexplained(violation.operations, initial=violation.initial) is not None
    assert len(violation.operations) < len(broken)


@given(
    st.randoms(use_true_random=True),
    st.integers(2, 6),
    st.sampled_from(["never written", "before its put", "twice first"]),
)
@settings(max_examples=200, deadline=None)
def test_a_single_impossible_answer_among_overlapping_calls_is_found(numbers, clients, what):
    operations = simulate(numbers, 60, clients=clients)
    place = numbers.randrange(len(operations))
    each = operations[place]
    if what == "never written":
        operations[place] = got(each.invoked, each.returned, Version("nobody", each.guard.etag or "none"))
    elif what == "before its put":
        late = Version("late", "etag-late")
        end = max(other.returned for other in operations)
        operations[place] = got(each.invoked, each.returned, late)
        operations.append(put(end + 1, end + 2, late))
    else:
        end = max(other.returned for other in operations)
        operations += [put(end + 1, end + 3, version, guard=ABSENT) for version in (A, B)]

    assert len(check(operations)) == 1


def test_five_thousand_operations_take_seconds():
    numbers = random.Random(5)
    history = [
        each for key in range(5) for each in simulate(numbers, 1000, clients=6, key=f"key-{key}", lost_share=0.003)
    ]
    began = time.perf_counter()
    found = check(history)
    seconds = time.perf_counter() - began

    assert found == []
    assert seconds < 10

"""What came of it: success, refusal, the fields and the bytes of the last answer."""

from __future__ import annotations

from typing import Any

from behave import given, then

from conformance.drivers import Answer
from conformance.drivers.bodies import Pattern
from conformance.steps.words import known, look_up, measure, of_tags, rows, same, unescape
from conformance.world import World


def last(world: World) -> Answer:
    """The answer of the last When step, which was a success."""
    assert world.answer is not None, "nothing was asked yet"
    assert world.answer.refusal is None, f"{world.answer.operation} was refused with {world.answer.refusal}"
    return world.answer


def refused_with(world: World, answer: Answer, code: str) -> None:
    """Require a refusal: its code, and the status that the protocol must show for it."""
    assert answer.refusal is not None, f"{answer.operation} was not refused: {dict(answer.fields)}"
    expected = world.driver.expected_status(code, answer.operation)
    assert answer.refusal.status == expected, f"{answer.refusal}, and the status for {code} is {expected}"
    # The answer to a HEAD has no body: there the status is all that tells.
    assert answer.refusal.code in (code, None), str(answer.refusal)


@then("it succeeds")
def succeeds(context: Any) -> None:
    last(context.world)


@then("it is refused with {code:w}")
def is_refused(context: Any, code: str) -> None:
    assert context.world.answer is not None, "nothing was asked yet"
    refused_with(context.world, context.world.answer, code)


@then("it is refused with {code:w} or {other:w}")
def is_refused_either_way(context: Any, code: str, other: str) -> None:
    """For what S3's reference leaves open, or answers in more than one way."""
    driver, answer = context.world.driver, context.world.answer
    assert answer is not None, "nothing was asked yet"
    refusal = answer.refusal
    assert refusal is not None, f"{answer.operation} was not refused: {dict(answer.fields)}"
    # The answer to a HEAD has no body: there the status is all that tells.
    assert any(
        refusal.code in (each, None) and refusal.status == driver.expected_status(each, answer.operation)
        for each in (code, other)
    ), str(refusal)


@then("the refusal names {name:w} {value:Q}")
def refusal_names(context: Any, name: str, value: str) -> None:
    refusal = context.world.answer.refusal
    assert refusal is not None, "it was not refused"
    if refusal.code is None:
        return
    found = refusal.fields.get(name)
    assert found == str(known(context.world, value)), f"{name} is {found!r} in {dict(refusal.fields)}"


@then("its {name:Field} is {value:Q}")
def field_is(context: Any, name: str, value: str) -> None:
    found = look_up(last(context.world), name)
    expected = known(context.world, value)
    assert same(found, expected), f"{name} is {found!r}"


@then("its {name:Field} is not {value:Q}")
def field_is_not(context: Any, name: str, value: str) -> None:
    found = look_up(last(context.world), name)
    assert not same(found, known(context.world, value)), f"{name} is {found!r}"


@then("it tells its {name:Field}")
def has_field(context: Any, name: str) -> None:
    answer = last(context.world)
    assert look_up(answer, name) not in (None, "", 0, []), f"there is no {name}, only {sorted(answer.fields)}"


@then("it tells no {name:Field}")
def has_no_field(context: Any, name: str) -> None:
    found = look_up(last(context.world), name)
    assert found in (None, "", 0, [], {}, False), f"{name} is {found!r}"


@then("its metadata is exactly")
def metadata_is(context: Any) -> None:
    expected = {unescape(row[0]): unescape(row[1]) for row in rows(context.table)}
    found = last(context.world).get("metadata") or {}
    assert found == expected, f"it is {found}"


@then("its tags are")
def tags_are(context: Any) -> None:
    expected = {unescape(row[0]): unescape(row[1]) for row in rows(context.table)}
    found = of_tags(last(context.world).get("tag_set") or ())
    assert found == expected, f"they are {found}"


@then("there are no tags")
def no_tags(context: Any) -> None:
    found = last(context.world).get("tag_set") or []
    assert not found, f"they are {found}"


@then("I get {content:Content}")
def i_get(context: Any, content: bytes | Pattern) -> None:
    answer = last(context.world)
    assert answer.measure == measure(content), f"{answer.measure} came: {answer.body[:80]!r}"


@then("I get bytes {first:d} to {end:d} of {content:Content}")
def i_get_range(context: Any, first: int, end: int, content: bytes | Pattern) -> None:
    whole = content.read() if isinstance(content, Pattern) else content
    answer = last(context.world)
    assert answer.measure == measure(whole[first : end + 1]), f"{answer.measure} came: {answer.body[:80]!r}"


@given("I note its {name:Field} as {note:w}")
@then("I note its {name:Field} as {note:w}")
def note_field(context: Any, name: str, note: str) -> None:
    found = look_up(last(context.world), name)
    assert found is not None, f"there is no {name}"
    context.world.notes[note] = found


@then("exactly {count:d} of them succeed")
def exactly_succeed(context: Any, count: int) -> None:
    answers = context.world.notes["answers"]
    won = [answer for answer in answers if answer.refusal is None]
    assert len(won) == count, f"{len(won)} of {len(answers)} succeeded"


@then("the others are refused with {code:w}")
def others_refused(context: Any, code: str) -> None:
    for answer in context.world.notes["answers"]:
        if answer.refusal is not None:
            refused_with(context.world, answer, code)

"""Objects: put, read, looked at, copied, tagged, deleted."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

from behave import given, then, when

from conformance.drivers import Answer
from conformance.drivers.bodies import Pattern
from conformance.steps.access import actor
from conformance.steps.answers import last
from conformance.steps.words import as_tags, known, measure, of_tags, options, rows, unescape
from conformance.world import World


@given("{key:Key} holds {content:Content}")
@given("{key:Key} holds {content:Content} with")
def holds(context: Any, key: str, content: bytes | Pattern) -> None:
    world = context.world
    world.must("PutObject", bucket=world.bucket, key=key, body=content, **options(world, context.table))


@given("{key:Key} in {alias:Q} holds {content:Content}")
def holds_elsewhere(context: Any, key: str, alias: str, content: bytes | Pattern) -> None:
    context.world.must("PutObject", bucket=context.world.name(alias), key=key, body=content)


@given("{key:Key} holds {content:Content}, put over the other protocol")
def holds_other(context: Any, key: str, content: bytes | Pattern) -> None:
    context.world.must(
        "PutObject",
        driver=context.world.other,
        bucket=context.world.bucket,
        key=key,
        body=content,
        metadata={"by": "other"},
    )


@given("I note the {name:Field} of {key:Key} as {note:w}")
def note(context: Any, name: str, key: str, note: str) -> None:
    answer = context.world.must("HeadObject", bucket=context.world.bucket, key=key)
    context.world.notes[note] = answer[name.replace(" ", "_")]


@when("I put {key:Key} holding {content:Content}")
@when("I put {key:Key} holding {content:Content} with")
def put(context: Any, key: str, content: bytes | Pattern) -> None:
    world = context.world
    world.ask(
        "PutObject", driver=actor(world), bucket=world.bucket, key=key, body=content, **options(world, context.table)
    )


@when("I put {key:Key} holding {content:Content} unless it exists")
def put_unless(context: Any, key: str, content: bytes | Pattern) -> None:
    world = context.world
    world.ask("PutObject", driver=actor(world), bucket=world.bucket, key=key, body=content, if_none_match="*")


@when("I put {key:Key} holding {content:Content} in place of {etag:Q}")
def put_over(context: Any, key: str, content: bytes | Pattern, etag: str) -> None:
    world = context.world
    world.ask(
        "PutObject",
        driver=actor(world),
        bucket=world.bucket,
        key=key,
        body=content,
        if_match=str(known(world, etag)),
    )


@when("I put {key:Key} with metadata of {count:d} bytes")
def put_metadata(context: Any, key: str, count: int) -> None:
    world = context.world
    world.ask(
        "PutObject", driver=actor(world), bucket=world.bucket, key=key, body=b"", metadata={"a": "x" * (count - 1)}
    )


@when("I put {key:Key} with {count:d} tags")
def put_tags(context: Any, key: str, count: int) -> None:
    world = context.world
    tagging = "&".join(f"key{number}=v" for number in range(count))
    world.ask("PutObject", driver=actor(world), bucket=world.bucket, key=key, body=b"", tagging=tagging)


@when("I begin to put {key:Key} with {size:d} MiB and break off halfway")
def put_broken(context: Any, key: str, size: int) -> None:
    body = Pattern(size * 1024**2)
    context.world.driver.cancel_upload(
        "PutObject", after_bytes=body.size // 2, bucket=context.world.bucket, key=key, body=body
    )


@when("I read {key:Key}")
@when("I read {key:Key} with")
def read(context: Any, key: str) -> None:
    world = context.world
    world.ask("GetObject", driver=actor(world), bucket=world.bucket, key=key, **options(world, context.table))


@when("I read {key:Key} over the other protocol")
def read_other(context: Any, key: str) -> None:
    context.world.ask("GetObject", driver=context.world.other, bucket=context.world.bucket, key=key)


@when("I look at {key:Key}")
@when("I look at {key:Key} with")
def look(context: Any, key: str) -> None:
    world = context.world
    world.ask("HeadObject", driver=actor(world), bucket=world.bucket, key=key, **options(world, context.table))


@when("I delete {key:Key}")
@when("I delete {key:Key} with")
def delete(context: Any, key: str) -> None:
    world = context.world
    world.ask("DeleteObject", driver=actor(world), bucket=world.bucket, key=key, **options(world, context.table))


@when("I delete {key:Key} over the other protocol")
def delete_other(context: Any, key: str) -> None:
    context.world.ask("DeleteObject", driver=context.world.other, bucket=context.world.bucket, key=key)


@when("I delete these objects")
def delete_these(context: Any) -> None:
    world = context.world
    objects = [{"key": unescape(row[0])} for row in rows(context.table)]
    world.ask("DeleteObjects", driver=actor(world), bucket=world.bucket, objects=objects)


@when("I delete these objects quietly")
def delete_quietly(context: Any) -> None:
    world = context.world
    objects = [{"key": unescape(row[0])} for row in rows(context.table)]
    world.ask("DeleteObjects", driver=actor(world), bucket=world.bucket, objects=objects, quiet=True)


@when("I delete {count:d} objects at once")
def delete_many(context: Any, count: int) -> None:
    world = context.world
    objects = [{"key": f"key{number}"} for number in range(count)]
    world.ask("DeleteObjects", driver=actor(world), bucket=world.bucket, objects=objects)


@then("these are deleted")
def deleted(context: Any) -> None:
    found = sorted(each["key"] for each in last(context.world).get("deleted") or ())
    expected = sorted(unescape(row[0]) for row in rows(context.table))
    assert found == expected, f"{found}"


@then("none is said to be deleted")
def none_deleted(context: Any) -> None:
    found = last(context.world).get("deleted") or []
    assert not found, f"{found}"


@then("{key:Key} is not deleted because of {code:w}")
def not_deleted(context: Any, key: str, code: str) -> None:
    found = {each["key"]: each["code"] for each in last(context.world).get("errors") or ()}
    assert found.get(key) == code, f"{found}"


# Copies ------------------------------------------------------------------------------------------------------


def source_of(world: World, key: str, alias: str | None = None) -> str:
    """A copy's source as every protocol spells it."""
    return f"{world.name(alias) if alias else world.bucket}/{quote(key, safe='/-._~')}"


@when("I copy {source:Key} to {target:Key}")
@when("I copy {source:Key} to {target:Key} with")
def copy(context: Any, source: str, target: str) -> None:
    world = context.world
    world.ask(
        "CopyObject",
        driver=actor(world),
        bucket=world.bucket,
        key=target,
        copy_source=source_of(world, source),
        **options(world, context.table),
    )


@when("I copy {source:Key} of {alias:Q} to {target:Key}")
def copy_elsewhere(context: Any, source: str, alias: str, target: str) -> None:
    world = context.world
    world.ask(
        "CopyObject",
        driver=actor(world),
        bucket=world.bucket,
        key=target,
        copy_source=source_of(world, source, alias),
    )


@when("I copy the source {source:Q} to {target:Key}")
def copy_raw(context: Any, source: str, target: str) -> None:
    world = context.world
    source = source.replace("$bucket", world.bucket)
    world.ask("CopyObject", driver=actor(world), bucket=world.bucket, key=target, copy_source=source)


# What is there -----------------------------------------------------------------------------------------------


@then("{key:Key} holds {content:Content}")
def still_holds(context: Any, key: str, content: bytes | Pattern) -> None:
    answer = context.world.driver.perform("GetObject", bucket=context.world.bucket, key=key)
    assert answer.refusal is None, f"reading it is refused with {answer.refusal}"
    assert answer.measure == measure(content), f"it holds {answer.measure}: {answer.body[:80]!r}"


@then("{key:Key} does not exist")
def does_not_exist(context: Any, key: str) -> None:
    driver = context.world.driver
    answer = driver.perform("HeadObject", bucket=context.world.bucket, key=key)
    assert answer.refusal is not None, f"it does: {dict(answer.fields)}"
    assert answer.refusal.status == driver.expected_status("NoSuchKey", answer.operation), str(answer.refusal)


# Tags --------------------------------------------------------------------------------------------------------


@when("I tag {key:Key}")
def tag(context: Any, key: str) -> None:
    world = context.world
    world.ask("PutObjectTagging", driver=actor(world), bucket=world.bucket, key=key, tag_set=as_tags(context.table))


@when("I tag {key:Key} with {count:d} tags")
def tag_many(context: Any, key: str, count: int) -> None:
    world = context.world
    tags = [{"key": f"key{number}", "value": "v"} for number in range(count)]
    world.ask("PutObjectTagging", driver=actor(world), bucket=world.bucket, key=key, tag_set=tags)


@when("I read the tags of {key:Key}")
def read_tags(context: Any, key: str) -> None:
    context.world.ask("GetObjectTagging", driver=actor(context.world), bucket=context.world.bucket, key=key)


@when("I remove the tags of {key:Key}")
def remove_tags(context: Any, key: str) -> None:
    context.world.ask("DeleteObjectTagging", driver=actor(context.world), bucket=context.world.bucket, key=key)


@then("the tags of {key:Key} are")
def tags_are(context: Any, key: str) -> None:
    answer = context.world.must("GetObjectTagging", bucket=context.world.bucket, key=key)
    found = of_tags(answer.get("tag_set") or ())
    assert found == dict(rows(context.table)), f"they are {found}"


@when("I ask for the attributes of {key:Key}")
def attributes(context: Any, key: str) -> None:
    world = context.world
    world.ask("GetObjectAttributes", driver=actor(world), bucket=world.bucket, key=key, **options(world, context.table))


@then("the attributes name {count:d} parts, {shown:d} of them shown")
def attribute_parts(context: Any, count: int, shown: int) -> None:
    parts = last(context.world)["object_parts"]
    assert parts.get("total_parts_count") == count, parts
    assert len(parts.get("parts") or ()) == shown, parts


# What is not offered -----------------------------------------------------------------------------------------


@when("I ask for {operation:w}")
def ask_for(context: Any, operation: str) -> None:
    world = context.world
    fields = {"bucket": world.bucket}
    if operation.startswith("GetObject") and operation != "GetObjectLockConfiguration":
        fields["key"] = "thing"
    world.ask(operation, **fields)


# Many at once ------------------------------------------------------------------------------------------------


def at_once(world: World, count: int, act: Callable[[int], Answer]) -> None:
    """Let so many clients act at the same time, and keep what each was answered."""
    with ThreadPoolExecutor(count) as pool:
        world.notes["answers"] = list(pool.map(act, range(count)))


@when("{count:d} writers at once put {key:Key} unless it exists")
def race(context: Any, count: int, key: str) -> None:
    world = context.world
    at_once(
        world,
        count,
        lambda number: world.driver.perform(
            "PutObject", bucket=world.bucket, key=key, body=Pattern(200_000, number).read(), if_none_match="*"
        ),
    )


@when("{count:d} writers at once put {key:Key} in place of {etag:Q}")
def race_over(context: Any, count: int, key: str, etag: str) -> None:
    world = context.world
    expected = str(known(world, etag))
    at_once(
        world,
        count,
        lambda number: world.driver.perform(
            "PutObject", bucket=world.bucket, key=key, body=Pattern(200_000, number).read(), if_match=expected
        ),
    )


@when("{count:d} writers at once put {key:Key}")
def race_freely(context: Any, count: int, key: str) -> None:
    world = context.world
    at_once(
        world,
        count,
        lambda number: world.driver.perform(
            "PutObject", bucket=world.bucket, key=key, body=Pattern(200_000, number).read()
        ),
    )


@then("{key:Key} holds what one of them put")
def holds_one(context: Any, key: str) -> None:
    world = context.world
    answer = world.must("GetObject", bucket=world.bucket, key=key)
    put = [Pattern(200_000, number).measure() for number in range(len(world.notes["answers"]))]
    assert answer.measure in put, f"{answer.measure}"

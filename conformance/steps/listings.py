"""Listings: of objects in both forms, whole or page by page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from behave import given, then, when

from conformance.steps.access import actor
from conformance.steps.answers import last
from conformance.steps.words import options, rows, unescape
from conformance.world import World

MAX_PAGES = 200
"""A listing of a scenario that has more pages than this goes in circles."""


@given("these objects")
def these_objects(context: Any) -> None:
    for row in rows(context.table):
        key = unescape(row[0].strip('"'))
        context.world.must("PutObject", bucket=context.world.bucket, key=key, body=key.encode())


@given("{count:d} objects")
def many_objects(context: Any, count: int) -> None:
    for number in range(count):
        context.world.must("PutObject", bucket=context.world.bucket, key=f"key{number:04}", body=b"")


@when("I list the objects")
@when("I list the objects with")
def list_objects(context: Any) -> None:
    world = context.world
    world.ask("ListObjectsV2", driver=actor(world), bucket=world.bucket, **options(world, context.table))


@when("I list the objects in the old way")
@when("I list the objects in the old way with")
def list_old(context: Any) -> None:
    world = context.world
    world.ask("ListObjects", driver=actor(world), bucket=world.bucket, **options(world, context.table))


@when("I list the objects page by page with")
def list_pages(context: Any) -> None:
    collect(context.world, "ListObjectsV2", options(context.world, context.table))


@when("I list the objects in the old way page by page with")
def list_old_pages(context: Any) -> None:
    collect(context.world, "ListObjects", options(context.world, context.table))


def collect(world: World, operation: str, asked: dict[str, Any]) -> None:
    """Follow a listing to its end, noting each page."""
    pages: list[list[str]] = []
    while True:
        answer = world.ask(operation, bucket=world.bucket, **asked)
        assert answer.refusal is None, f"page {len(pages) + 1} is refused with {answer.refusal}"
        pages.append(entries(answer.fields))
        assert len(pages) < MAX_PAGES, f"the listing does not end: {pages[-3:]}"
        if not answer.get("is_truncated"):
            break
        if operation == "ListObjectsV2":
            asked["continuation_token"] = answer["next_continuation_token"]
        else:
            # Without a delimiter S3 gives no next marker: the last key is it.
            asked["marker"] = answer.get("next_marker") or answer["contents"][-1]["key"]
    world.notes["pages"] = pages


def entries(fields: Mapping[str, Any]) -> list[str]:
    """The keys and common prefixes of a page, in one order."""
    keys = [entry["key"] for entry in fields.get("contents") or ()]
    return sorted([*keys, *prefixes(fields)])


def prefixes(fields: Mapping[str, Any]) -> list[str]:
    """The common prefixes of a page."""
    return [each["prefix"] for each in fields.get("common_prefixes") or ()]


def spelled(text: str) -> list[str]:
    """``a, b/, "c d"`` as a list; an empty text is an empty list."""
    return [unescape(piece.strip().strip("'")) for piece in text.split(",") if piece.strip()]


@then("the keys are {text:Q}")
def keys_are(context: Any, text: str) -> None:
    found = [entry["key"] for entry in last(context.world).get("contents") or ()]
    assert found == spelled(text), f"they are {found}"


@then("the keys are these, in this order")
def keys_are_these(context: Any) -> None:
    expected = [unescape(row[0].strip('"')) for row in rows(context.table)]
    found = [entry["key"] for entry in last(context.world).get("contents") or ()]
    assert found == expected, f"they are {found}"


@then("the common prefixes are {text:Q}")
def prefixes_are(context: Any, text: str) -> None:
    found = prefixes(last(context.world).fields)
    assert found == spelled(text), f"they are {found}"


@then("the listing goes on")
def goes_on(context: Any) -> None:
    assert last(context.world).get("is_truncated"), "it ends"


@then("the listing ends")
def ends(context: Any) -> None:
    assert not last(context.world).get("is_truncated"), "it goes on"


@then("the pages are")
def pages_are(context: Any) -> None:
    expected = [spelled(row[0]) for row in rows(context.table)]
    found = context.world.notes["pages"]
    assert found == expected, f"they are {found}"


@then("all pages together are {text:Q}")
def pages_together(context: Any, text: str) -> None:
    found = flat(context.world.notes["pages"])
    assert found == spelled(text), f"they are {found}"


@then("all pages together have {count:d} entries, none of them twice")
def pages_count(context: Any, count: int) -> None:
    found = flat(context.world.notes["pages"])
    assert len(found) == len(set(found)) == count, f"{len(found)} entries, {len(set(found))} different ones"


def flat(pages: Iterable[list[str]]) -> list[str]:
    return [entry for page in pages for entry in page]


@then("every listed object has a size, a time and an ETag")
def complete_entries(context: Any) -> None:
    for entry in last(context.world)["contents"]:
        assert entry.get("last_modified"), entry
        assert entry.get("etag"), entry
        assert entry.get("size") == len(entry["key"].encode()), entry


@then("every listed object names its owner")
def entries_with_owner(context: Any) -> None:
    for entry in last(context.world)["contents"]:
        assert (entry.get("owner") or {}).get("id"), entry


@then("no listed object names its owner")
def entries_without_owner(context: Any) -> None:
    for entry in last(context.world)["contents"]:
        assert not entry.get("owner"), entry

"""Uploads in parts: begun, filled, listed, completed, given up."""

from __future__ import annotations

import base64
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from behave import given, then, when

from conformance.drivers.bodies import Measure, Pattern
from conformance.steps.access import actor
from conformance.steps.answers import last
from conformance.steps.objects import source_of
from conformance.steps.words import known, options, rows
from conformance.world import World

MIB = 1024**2


def address(world: World) -> dict[str, str]:
    """The upload that the scenario speaks of: the last one that was begun."""
    return {"bucket": world.bucket, "key": world.notes["upload key"], "upload_id": world.notes["upload"]}


@given("an upload of {key:Key}")
@given("an upload of {key:Key} with")
def an_upload(context: Any, key: str) -> None:
    world = context.world
    answer = world.must("CreateMultipartUpload", bucket=world.bucket, key=key, **options(world, context.table))
    world.notes["upload"], world.notes["upload key"] = answer["upload_id"], key
    world.notes["parts"] = {}


@given("part {number:d} is {content:Content}")
@given("part {number:d} is {content:Content} with")
def a_part(context: Any, number: int, content: bytes | Pattern) -> None:
    world = context.world
    answer = world.must(
        "UploadPart", **address(world), part_number=number, body=content, **options(world, context.table)
    )
    world.notes["parts"][number] = {"part_number": number, "etag": answer["etag"]}


@given("part {number:d} is {content:Content}, sent with its CRC32")
def a_part_with_checksum(context: Any, number: int, content: bytes | Pattern) -> None:
    world = context.world
    checksums = {"crc32": crc32_of(content)}
    answer = world.must("UploadPart", **address(world), part_number=number, body=content, checksums=checksums)
    world.notes["parts"][number] = {"part_number": number, "etag": answer["etag"], "checksums": checksums}


def crc32_of(content: bytes | Pattern) -> str:
    """The CRC32 of a content, in base64."""
    value = 0
    for chunk in content if isinstance(content, Pattern) else [content]:
        value = zlib.crc32(chunk, value)
    return base64.b64encode(value.to_bytes(4, "big")).decode()


@when("I begin an upload of {key:Key}")
@when("I begin an upload of {key:Key} with")
def begin(context: Any, key: str) -> None:
    world = context.world
    answer = world.ask(
        "CreateMultipartUpload", driver=actor(world), bucket=world.bucket, key=key, **options(world, context.table)
    )
    if answer.refusal is None:
        world.notes["upload"], world.notes["upload key"], world.notes["parts"] = answer["upload_id"], key, {}


@when("I send part {number:d} holding {content:Content}")
@when("I send part {number:d} holding {content:Content} with")
def send(context: Any, number: int, content: bytes | Pattern) -> None:
    world = context.world
    answer = world.ask(
        "UploadPart",
        driver=actor(world),
        **address(world),
        part_number=number,
        body=content,
        **options(world, context.table),
    )
    if answer.refusal is None:
        world.notes["parts"][number] = {"part_number": number, "etag": answer["etag"]}


@when("I send {count:d} parts of {size:d} MiB at once")
def send_many(context: Any, count: int, size: int) -> None:
    world = context.world

    def one(number: int) -> dict[str, Any]:
        body = Pattern(size * MIB, number)
        answer = world.must("UploadPart", **address(world), part_number=number, body=body)
        return {"part_number": number, "etag": answer["etag"]}

    with ThreadPoolExecutor(count) as pool:
        world.notes["parts"] = {part["part_number"]: part for part in pool.map(one, range(1, count + 1))}


@when("I begin to send part {number:d} of {size:d} MiB and break off halfway")
def send_broken(context: Any, number: int, size: int) -> None:
    body = Pattern(size * MIB)
    context.world.driver.cancel_upload(
        "UploadPart", after_bytes=body.size // 2, **address(context.world), part_number=number, body=body
    )


@when("I copy {source:Key} into part {number:d}")
@when("I copy {source:Key} into part {number:d} with")
def copy_part(context: Any, source: str, number: int) -> None:
    world = context.world
    answer = world.ask(
        "UploadPartCopy",
        driver=actor(world),
        **address(world),
        part_number=number,
        copy_source=source_of(world, source),
        **options(world, context.table),
    )
    if answer.refusal is None:
        world.notes["parts"][number] = {"part_number": number, "etag": answer["etag"]}


@given("the upload is completed")
def is_completed(context: Any) -> None:
    world = context.world
    parts = [world.notes["parts"][number] for number in sorted(world.notes["parts"])]
    world.must("CompleteMultipartUpload", **address(world), parts=parts)


@when("I complete the upload")
@when("I complete the upload with")
def complete(context: Any) -> None:
    world = context.world
    parts = [world.notes["parts"][number] for number in sorted(world.notes["parts"])]
    world.ask(
        "CompleteMultipartUpload",
        driver=actor(world),
        **address(world),
        parts=parts,
        **options(world, context.table),
    )


@when("I complete the upload naming parts {numbers:Q}")
def complete_naming(context: Any, numbers: str) -> None:
    world = context.world
    stored = world.notes["parts"]
    missing = {"etag": '"00000000000000000000000000000000"'}
    parts = [
        {"part_number": int(number)} | (stored.get(int(number)) or missing)
        for number in numbers.split(",")
        if number.strip()
    ]
    world.ask("CompleteMultipartUpload", driver=actor(world), **address(world), parts=parts)


@when("I complete the upload with a wrong ETag for part {number:d}")
def complete_wrong(context: Any, number: int) -> None:
    world = context.world
    parts = [dict(world.notes["parts"][each]) for each in sorted(world.notes["parts"])]
    for part in parts:
        if part["part_number"] == number:
            part["etag"] = '"ffffffffffffffffffffffffffffffff"'
    world.ask("CompleteMultipartUpload", driver=actor(world), **address(world), parts=parts)


@when("I complete the upload under the key {key:Key}")
def complete_elsewhere(context: Any, key: str) -> None:
    world = context.world
    parts = [world.notes["parts"][number] for number in sorted(world.notes["parts"])]
    world.ask("CompleteMultipartUpload", driver=actor(world), **(address(world) | {"key": key}), parts=parts)


@when("I give the upload up")
def abort(context: Any) -> None:
    context.world.ask("AbortMultipartUpload", driver=actor(context.world), **address(context.world))


@given("the upload is given up")
def is_aborted(context: Any) -> None:
    context.world.must("AbortMultipartUpload", **address(context.world))


@given("an upload id that was made up: {text:Q}")
def made_up(context: Any, text: str) -> None:
    world = context.world
    world.notes.update({"upload": text, "upload key": "made-up", "parts": {1: {"part_number": 1, "etag": '"0"'}}})


@when("I list the parts")
@when("I list the parts with")
def list_parts(context: Any) -> None:
    world = context.world
    world.ask("ListParts", driver=actor(world), **address(world), **options(world, context.table))


@then("the parts are")
def parts_are(context: Any) -> None:
    found = [[str(part["part_number"]), str(part["size"])] for part in last(context.world).get("parts") or ()]
    expected = [[number, str(known(context.world, size))] for number, size in rows(context.table)]
    assert found == expected, f"they are {found}"


@then("there are no parts")
def no_parts(context: Any) -> None:
    found = last(context.world).get("parts") or []
    assert not found, f"they are {found}"


@when("I list the uploads")
@when("I list the uploads with")
def list_uploads(context: Any) -> None:
    world = context.world
    world.ask("ListMultipartUploads", driver=actor(world), bucket=world.bucket, **options(world, context.table))


@when("I list the uploads page by page with")
def list_uploads_pages(context: Any) -> None:
    world = context.world
    asked, pages = options(world, context.table), []
    while True:
        answer = world.ask("ListMultipartUploads", bucket=world.bucket, **asked)
        assert answer.refusal is None, str(answer.refusal)
        pages.append([upload["key"] for upload in answer.get("uploads") or ()])
        assert len(pages) < 50, f"the listing does not end: {pages[-3:]}"
        if not answer.get("is_truncated"):
            break
        asked |= {"key_marker": answer["next_key_marker"], "upload_id_marker": answer["next_upload_id_marker"]}
    world.notes["pages"] = pages


@then("the uploads are of {text:Q}")
def uploads_are(context: Any, text: str) -> None:
    found = [upload["key"] for upload in last(context.world).get("uploads") or ()]
    expected = [piece.strip() for piece in text.split(",") if piece.strip()]
    assert found == expected, f"they are of {found}"


@then("all uploads together are of {text:Q}")
def uploads_together(context: Any, text: str) -> None:
    found = [key for page in context.world.notes["pages"] for key in page]
    expected = [piece.strip() for piece in text.split(",")]
    assert found == expected, f"they are of {found}"


@then("{key:Key} holds the parts of {size:d} MiB in the order {numbers:Q}")
def holds_parts(context: Any, key: str, size: int, numbers: str) -> None:
    world = context.world
    expected = Measure()
    for number in numbers.split(","):
        for chunk in Pattern(size * MIB, int(number)):
            expected.take(chunk)
    answer = world.must("GetObject", sink=lambda chunk: None, bucket=world.bucket, key=key)
    assert answer.measure == expected, f"it holds {answer.measure}"

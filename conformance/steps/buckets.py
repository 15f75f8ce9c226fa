"""Buckets: made, found, listed, tagged, removed."""

from __future__ import annotations

from typing import Any

from behave import given, then, when

from conformance.steps.access import actor
from conformance.steps.answers import last
from conformance.steps.words import as_tags, of_tags, options, rows


@given("a bucket")
def a_bucket(context: Any) -> None:
    context.world.make_bucket()


@given("a bucket {alias:Q}")
def a_named_bucket(context: Any, alias: str) -> None:
    context.world.make_bucket(alias)


@given("there is no bucket")
def no_bucket(context: Any) -> None:
    context.world.name()


@given("the bucket is tagged")
def is_tagged(context: Any) -> None:
    context.world.must("PutBucketTagging", bucket=context.world.bucket, tag_set=as_tags(context.table))


@when("I create the bucket")
@when("I create the bucket again")
@when("I create the bucket with")
def create(context: Any) -> None:
    world = context.world
    world.ask("CreateBucket", driver=actor(world), bucket=world.bucket, **options(world, context.table))


@when("I create a bucket named {name:Q}")
def create_named(context: Any, name: str) -> None:
    world = context.world
    world.ask("CreateBucket", driver=actor(world), bucket=name)
    if world.answer.refusal is None:
        world.call("named", name)


@when("I create a bucket whose name has {count:d} characters")
def create_long(context: Any, count: int) -> None:
    world = context.world
    name = (world.name() + "x" * count)[:count].rstrip("-").ljust(count, "x")
    world.call("named", name)
    world.ask("CreateBucket", driver=actor(world), bucket=name)


@when("I delete the bucket")
@when("I delete the bucket with")
def delete(context: Any) -> None:
    world = context.world
    world.ask("DeleteBucket", driver=actor(world), bucket=world.bucket, **options(world, context.table))


@when("I look for the bucket")
@when("I look for the bucket with")
def look(context: Any) -> None:
    world = context.world
    world.ask("HeadBucket", driver=actor(world), bucket=world.bucket, **options(world, context.table))


@when("I look for a bucket named {name:Q}")
def look_named(context: Any, name: str) -> None:
    context.world.ask("HeadBucket", driver=actor(context.world), bucket=name)


@when("I ask where the bucket is")
def where(context: Any) -> None:
    context.world.ask("GetBucketLocation", driver=actor(context.world), bucket=context.world.bucket)


@when("I ask whether the bucket keeps versions")
def versioning(context: Any) -> None:
    context.world.ask("GetBucketVersioning", driver=actor(context.world), bucket=context.world.bucket)


@when("I list my buckets")
@when("I list my buckets with")
def list_buckets(context: Any) -> None:
    world = context.world
    world.ask("ListBuckets", driver=actor(world), **options(world, context.table))


@then("the list of buckets has {alias:Q}")
def has_bucket(context: Any, alias: str) -> None:
    names = [bucket["name"] for bucket in last(context.world)["buckets"]]
    assert context.world.name(alias) in names, names


@then("the list of buckets is in order")
def in_order(context: Any) -> None:
    names = [bucket["name"] for bucket in last(context.world)["buckets"]]
    assert names == sorted(names), names


@then("the list of buckets has {count:d} entries")
def has_entries(context: Any, count: int) -> None:
    names = [bucket["name"] for bucket in last(context.world).get("buckets") or ()]
    assert len(names) == count, names


@then("the bucket exists")
def exists(context: Any) -> None:
    context.world.must("HeadBucket", bucket=context.world.bucket)


@then("the bucket does not exist")
def is_gone(context: Any) -> None:
    answer = context.world.driver.perform("HeadBucket", bucket=context.world.bucket)
    assert answer.is_refused, "it does"


@when("I tag the bucket")
def tag(context: Any) -> None:
    context.world.ask(
        "PutBucketTagging",
        driver=actor(context.world),
        bucket=context.world.bucket,
        tag_set=as_tags(context.table),
    )


@when("I tag the bucket with {count:d} tags")
def tag_many(context: Any, count: int) -> None:
    tags = [{"key": f"key{number}", "value": "v"} for number in range(count)]
    context.world.ask("PutBucketTagging", driver=actor(context.world), bucket=context.world.bucket, tag_set=tags)


@when("I read the bucket's tags")
def read_tags(context: Any) -> None:
    context.world.ask("GetBucketTagging", driver=actor(context.world), bucket=context.world.bucket)


@when("I remove the bucket's tags")
def remove_tags(context: Any) -> None:
    context.world.ask("DeleteBucketTagging", driver=actor(context.world), bucket=context.world.bucket)


@then("the bucket's tags are")
def tags_are(context: Any) -> None:
    found = of_tags(context.world.must("GetBucketTagging", bucket=context.world.bucket)["tag_set"])
    expected = dict(rows(context.table))
    assert found == expected, f"they are {found}"

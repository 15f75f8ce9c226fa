"""Who acts: the identities of a scenario, policies, links signed ahead of their time."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from behave import given, then, when

from conformance.drivers import Driver
from conformance.steps.words import known
from conformance.world import World


def actor(world: World) -> Driver:
    """The driver of whoever acts in the scenario's When steps."""
    found: Driver = world.notes.get("actor", world.driver)
    return found


@given("I am {who:w}")
@given("I am the {who:w}")
def i_am(context: Any, who: str) -> None:
    context.world.notes["actor"] = context.world.as_(who)


@given("I am the {who:w} with a bearer token")
def i_bear(context: Any, who: str) -> None:
    context.world.notes["actor"] = context.world.as_(who, bearer=True)


def policy_of(context: Any) -> str:
    """The policy in a step's text, with the bucket's name on the target in it."""
    return str(context.text).replace("$bucket", context.world.bucket)


@given("the bucket has the policy")
def has_policy(context: Any) -> None:
    context.world.must("PutBucketPolicy", bucket=context.world.bucket, policy=policy_of(context))


def allow(context: Any, effect: str, who: str, action: str, resource: str, condition: str = "{}") -> None:
    """Put a policy of one statement."""
    names = {"everybody": "*", "the stranger": {"AWS": "arn:aws:iam::000000000000:user/stranger"}}
    bucket = f"arn:aws:s3:::{context.world.bucket}"
    statement: dict[str, Any] = {
        "Effect": effect,
        "Principal": names[who],
        "Action": action.split(", "),
        "Resource": resource.replace("the bucket", bucket).split(", "),
    }
    if condition != "{}":
        statement["Condition"] = json.loads(condition)
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    context.world.must("PutBucketPolicy", bucket=context.world.bucket, policy=policy)


@given("a policy lets {who} do {action:Q} on {resource:Q}")
def lets(context: Any, who: str, action: str, resource: str) -> None:
    allow(context, "Allow", who, action, resource)


@given("a policy lets {who} do {action:Q} on {resource:Q} where")
def lets_where(context: Any, who: str, action: str, resource: str) -> None:
    allow(context, "Allow", who, action, resource, context.text)


@given("a policy forbids {who} to do {action:Q} on {resource:Q}")
def forbids(context: Any, who: str, action: str, resource: str) -> None:
    allow(context, "Deny", who, action, resource)


@given("a policy forbids {who} to do {action:Q} on {resource:Q} where")
def forbids_where(context: Any, who: str, action: str, resource: str) -> None:
    allow(context, "Deny", who, action, resource, context.text)


@when("I give the bucket the policy")
def give_policy(context: Any) -> None:
    context.world.ask(
        "PutBucketPolicy", driver=actor(context.world), bucket=context.world.bucket, policy=policy_of(context)
    )


@when("I read the bucket's policy")
def read_policy(context: Any) -> None:
    context.world.ask("GetBucketPolicy", driver=actor(context.world), bucket=context.world.bucket)


@when("I remove the bucket's policy")
def remove_policy(context: Any) -> None:
    context.world.ask("DeleteBucketPolicy", driver=actor(context.world), bucket=context.world.bucket)


@then("the bucket's policy is")
def policy_is(context: Any) -> None:
    found = context.world.must("GetBucketPolicy", bucket=context.world.bucket)["policy"]
    # S3 answers the policy that it keeps, and promises nothing about the spaces between its words.
    assert json.loads(found) == json.loads(policy_of(context)), found


# Links -------------------------------------------------------------------------------------------------------


def sign(context: Any, operation: str, key: str, lifetime: int, at: datetime | None = None, **fields: Any) -> None:
    """Sign a link ahead of its time and keep it."""
    world: World = context.world
    world.notes["link"] = actor(world).presign(
        operation, lifetime_seconds=lifetime, at=at, bucket=world.bucket, key=key, **fields
    )


@given("a link to read {key:Key} that lives {seconds:d} seconds")
def link_to_read(context: Any, key: str, seconds: int) -> None:
    sign(context, "GetObject", key, seconds)


@given("a link to read {key:Key} that lives {seconds:d} seconds, made {ago:Q}")
def link_made(context: Any, key: str, seconds: int, ago: str) -> None:
    sign(context, "GetObject", key, seconds, known(context.world, ago))


@given("a link to put {key:Key}")
def link_to_put(context: Any, key: str) -> None:
    sign(context, "PutObject", key, 60)


@when("I follow the link")
def follow(context: Any) -> None:
    context.world.answer = context.world.driver.follow(context.world.notes["link"])


@when("I follow the link to put {text:Q}")
def follow_to_put(context: Any, text: str) -> None:
    context.world.answer = context.world.driver.follow(context.world.notes["link"], body=text.encode())


@when("I follow the link with one letter of its key changed")
def follow_changed(context: Any) -> None:
    import dataclasses

    link = context.world.notes["link"]
    head, question, tail = link.url.partition("?")
    changed = dataclasses.replace(link, url=f"{head[:-1]}{'a' if head[-1] != 'a' else 'b'}{question}{tail}")
    context.world.answer = context.world.driver.follow(changed)

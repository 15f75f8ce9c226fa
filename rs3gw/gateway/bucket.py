"""
What can be done to the service and to a bucket, meant.

A bucket's tags and policy are documents of its record; each operation here is one read or one mutation of that
record, and what is missing is said with S3's own error, never with an empty answer.
"""

from __future__ import annotations

import json
from typing import Any, Final

from rs3gw.auth import policy
from rs3gw.engine.ports import Bucket, BucketExists, BucketOccupied
from rs3gw.errors import (
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    BucketNotEmpty,
    IllegalLocationConstraintException,
    InvalidArgument,
    InvalidLocationConstraint,
    NoSuchBucketPolicy,
    NoSuchTagSet,
)
from rs3gw.gateway import tagging
from rs3gw.gateway.access import POLICY, resource
from rs3gw.gateway.answers import OWNER
from rs3gw.gateway.call import Call, handles
from rs3gw.gateway.listing import token, untoken
from rs3gw.operations.bucket import Bucket as ListedBucket
from rs3gw.operations.bucket import (
    CreateBucket,
    DeleteBucket,
    DeleteBucketPolicy,
    DeleteBucketTagging,
    GetBucketLocation,
    GetBucketPolicy,
    GetBucketTagging,
    GetBucketVersioning,
    HeadBucket,
    ListBuckets,
    PutBucketPolicy,
    PutBucketTagging,
)

TAGGING: Final = "tagging"
"""The document of a bucket that holds its tags, as a JSON object."""

CLASSIC_REGION: Final = "us-east-1"
"""S3's first region, whose name a location constraint never has."""

MAX_BUCKETS_PAGE: Final = 10_000


@handles(ListBuckets)
async def list_buckets(call: Call, asked: ListBuckets.Input) -> ListBuckets.Output:
    limit = MAX_BUCKETS_PAGE if asked.max_buckets is None else asked.max_buckets
    if not 0 < limit <= MAX_BUCKETS_PAGE:
        raise InvalidArgument(
            message=f"Argument max-buckets must be an integer between 1 and {MAX_BUCKETS_PAGE}",
            argument_name="max-buckets",
            argument_value=str(limit),
        )
    prefix, region = asked.prefix or "", asked.bucket_region
    after = "" if asked.continuation_token is None else untoken(asked.continuation_token)
    found: list[Bucket] = []
    while len(found) <= limit:
        batch = call.engine.buckets(prefix=prefix, after=after, limit=limit + 1)
        found += [bucket for bucket in batch if region is None or bucket.region == region]
        if len(batch) <= limit:
            break
        after = batch[-1].name
    # S3 tells the regions only to those who show that they know of pages.
    paged = asked.__dict__.keys() & {"max_buckets", "continuation_token", "prefix", "bucket_region"}
    values: dict[str, Any] = {"owner": OWNER, "buckets": tuple(_listed(each, bool(paged)) for each in found[:limit])}
    if len(found) > limit:
        values["continuation_token"] = token(found[limit - 1].name)
    if asked.prefix:
        values["prefix"] = asked.prefix
    return ListBuckets.Output.of(values)


def _listed(bucket: Bucket, with_region: bool) -> ListedBucket:
    values: dict[str, Any] = {
        "name": bucket.name,
        "creation_date": bucket.created,
        "bucket_arn": resource(bucket.name, None),
    }
    if with_region:
        values["bucket_region"] = bucket.region
    return ListedBucket.of(values)


@handles(CreateBucket)
async def create_bucket(call: Call, asked: CreateBucket.Input) -> CreateBucket.Output:
    _judge_location(asked.location_constraint, call.region)
    bucket = Bucket(name=asked.bucket, region=call.region, created=call.clock.now())
    try:
        await call.engine.create_bucket(bucket)
    except BucketExists as fault:
        if call.identity.grants != "all":
            raise BucketAlreadyExists(bucket_name=asked.bucket) from fault
        # In its first region S3 has always said that creating one's own bucket again went well.
        if call.region != CLASSIC_REGION:
            raise BucketAlreadyOwnedByYou(bucket_name=asked.bucket) from fault
    return CreateBucket.Output(location=f"/{asked.bucket}", bucket_arn=resource(asked.bucket, None))


def _judge_location(constraint: str | None, region: str) -> None:
    if constraint is None or (constraint == region and region != CLASSIC_REGION):
        return
    if constraint == CLASSIC_REGION:
        raise InvalidLocationConstraint(location_constraint=constraint)
    raise IllegalLocationConstraintException(
        message=f"The {constraint} location constraint is incompatible for the region specific endpoint "
        "this request was sent to."
    )


@handles(DeleteBucket)
async def delete_bucket(call: Call, asked: DeleteBucket.Input) -> DeleteBucket.Output:
    try:
        await call.engine.delete_bucket(asked.bucket)
    except BucketOccupied as fault:
        raise BucketNotEmpty(bucket_name=asked.bucket) from fault
    return DeleteBucket.Output()


@handles(HeadBucket)
async def head_bucket(call: Call, asked: HeadBucket.Input) -> HeadBucket.Output:
    return HeadBucket.Output(bucket_region=call.bucket.region, bucket_arn=resource(asked.bucket, None))


@handles(GetBucketLocation)
async def get_bucket_location(call: Call, asked: GetBucketLocation.Input) -> GetBucketLocation.Output:
    region = call.bucket.region
    return GetBucketLocation.Output(location_constraint=None if region == CLASSIC_REGION else region)


@handles(GetBucketVersioning)
async def get_bucket_versioning(call: Call, asked: GetBucketVersioning.Input) -> GetBucketVersioning.Output:
    # S3 answers an empty configuration for a bucket that never had versions, which is true of every bucket here.
    return GetBucketVersioning.Output()


@handles(GetBucketTagging)
async def get_bucket_tagging(call: Call, asked: GetBucketTagging.Input) -> GetBucketTagging.Output:
    stored = call.bucket.documents.get(TAGGING)
    if stored is None:
        raise NoSuchTagSet(bucket_name=asked.bucket)
    return GetBucketTagging.Output(tag_set=tagging.to_set(json.loads(stored)))


@handles(PutBucketTagging)
async def put_bucket_tagging(call: Call, asked: PutBucketTagging.Input) -> PutBucketTagging.Output:
    tags = tagging.of_set(asked.tag_set)
    # A set without tags is no set: what was never tagged and what is tagged with nothing answer alike.
    await call.engine.set_document(asked.bucket, TAGGING, json.dumps(tags, ensure_ascii=False) if tags else None)
    return PutBucketTagging.Output()


@handles(DeleteBucketTagging)
async def delete_bucket_tagging(call: Call, asked: DeleteBucketTagging.Input) -> DeleteBucketTagging.Output:
    await call.engine.set_document(asked.bucket, TAGGING, None)
    return DeleteBucketTagging.Output()


@handles(GetBucketPolicy)
async def get_bucket_policy(call: Call, asked: GetBucketPolicy.Input) -> GetBucketPolicy.Output:
    stored = call.bucket.documents.get(POLICY)
    if stored is None:
        raise NoSuchBucketPolicy(bucket_name=asked.bucket)
    return GetBucketPolicy.Output(policy=stored)


@handles(PutBucketPolicy)
async def put_bucket_policy(call: Call, asked: PutBucketPolicy.Input) -> PutBucketPolicy.Output:
    """
    Judge the policy before it is stored: what could not be evaluated later is refused now.

    ``confirm_remove_self_bucket_access`` has nothing to confirm here: no policy can take the owner's right to
    replace it.
    """
    policy.parse(asked.policy, bucket=asked.bucket)
    await call.engine.set_document(asked.bucket, POLICY, asked.policy)
    return PutBucketPolicy.Output()


@handles(DeleteBucketPolicy)
async def delete_bucket_policy(call: Call, asked: DeleteBucketPolicy.Input) -> DeleteBucketPolicy.Output:
    await call.engine.set_document(asked.bucket, POLICY, None)
    return DeleteBucketPolicy.Output()

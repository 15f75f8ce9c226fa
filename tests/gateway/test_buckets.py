"""
Buckets: regions, the manners of the first one, and documents that were never put.
"""

from __future__ import annotations

import pytest

from rs3gw.errors import (
    AccessDenied,
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    BucketNotEmpty,
    IllegalLocationConstraintException,
    InvalidArgument,
    InvalidBucketName,
    InvalidLocationConstraint,
    MalformedPolicy,
    NoSuchBucket,
    NoSuchBucketPolicy,
    NoSuchTagSet,
)
from rs3gw.operations.bucket import (
    CreateBucket,
    DeleteBucket,
    DeleteBucketPolicy,
    DeleteBucketTagging,
    GetBucketLocation,
    GetBucketPolicy,
    GetBucketTagging,
    HeadBucket,
    ListBuckets,
    PutBucketPolicy,
    PutBucketTagging,
)
from rs3gw.operations.multipart import CreateMultipartUpload
from rs3gw.operations.shapes import Tag


async def test_to_make_ones_own_bucket_again_goes_well_only_where_s3_began(ask, ask_classic):
    await ask_classic.put("kept", b"hello")
    await ask_classic(CreateBucket, bucket="bucket")

    assert await ask_classic.get("kept") == b"hello"
    with pytest.raises(BucketAlreadyOwnedByYou):
        await ask(CreateBucket, bucket="bucket")


async def test_a_bucket_is_where_its_server_is(ask, ask_classic):
    await ask(CreateBucket, bucket="explicit", location_constraint="eu-central-1")

    assert (await ask(GetBucketLocation, bucket="explicit")).location_constraint == "eu-central-1"
    assert (await ask(HeadBucket, bucket="bucket")).bucket_region == "eu-central-1"
    assert (await ask_classic(GetBucketLocation, bucket="bucket")).location_constraint is None


async def test_a_bucket_elsewhere_is_refused(ask, ask_classic):
    with pytest.raises(IllegalLocationConstraintException, match="sa-east-1"):
        await ask(CreateBucket, bucket="elsewhere", location_constraint="sa-east-1")
    with pytest.raises(InvalidLocationConstraint):
        await ask_classic(CreateBucket, bucket="elsewhere", location_constraint="us-east-1")


async def test_a_bucket_that_holds_anything_stays(ask):
    await ask(CreateBucket, bucket="busy")
    await ask(CreateMultipartUpload, bucket="busy", key="key")
    await ask.put("key")

    for bucket in ("bucket", "busy"):
        with pytest.raises(BucketNotEmpty):
            await ask(DeleteBucket, bucket=bucket)


async def test_a_missing_bucket_is_missing_to_everybody(ask):
    for caller in (ask.owner, ask.guest, ask.anybody):
        with pytest.raises(NoSuchBucket) as refused:
            await ask(HeadBucket, by=caller, bucket="missing")
        assert refused.value.bucket_name == "missing"
    with pytest.raises(InvalidBucketName):
        await ask(HeadBucket, bucket="../etc")


async def test_only_owners_make_and_list_buckets(ask):
    for stranger in (ask.guest, ask.anybody):
        with pytest.raises(AccessDenied):
            await ask(CreateBucket, by=stranger, bucket="mine")
        with pytest.raises(AccessDenied):
            await ask(ListBuckets, by=stranger)


async def test_buckets_are_listed_a_page_at_a_time(ask):
    for name in ("alpha", "beta-1", "beta-2", "gamma"):
        await ask(CreateBucket, bucket=name)

    first = await ask(ListBuckets, prefix="beta", max_buckets=1)
    second = await ask(ListBuckets, prefix="beta", max_buckets=1, continuation_token=first.continuation_token)

    assert [bucket.name for bucket in first.buckets] == ["beta-1"]
    assert ([bucket.name for bucket in second.buckets], second.continuation_token) == (["beta-2"], None)
    assert second.buckets[0].bucket_region == "eu-central-1"
    assert (await ask(ListBuckets, bucket_region="sa-east-1")).buckets == ()
    for wrong in (0, 10_001):
        with pytest.raises(InvalidArgument):
            await ask(ListBuckets, max_buckets=wrong)


async def test_tags_that_were_never_put_are_missing_and_not_empty(ask):
    with pytest.raises(NoSuchTagSet):
        await ask(GetBucketTagging, bucket="bucket")

    tags = (Tag(key="ä", value="ö"), Tag(key="a", value=""))
    await ask(PutBucketTagging, bucket="bucket", tag_set=tags)
    assert tags == (await ask(GetBucketTagging, bucket="bucket")).tag_set
    await ask(DeleteBucketTagging, bucket="bucket")
    with pytest.raises(NoSuchTagSet):
        await ask(GetBucketTagging, bucket="bucket")


async def test_a_name_that_somebody_else_has_is_taken(ask_classic):
    """Whatever a policy lets a guest do to the bucket: to make it again would say that it is the guest's."""
    await ask_classic.allow(POLICY.replace("Deny", "Allow"))

    with pytest.raises(BucketAlreadyExists):
        await ask_classic(CreateBucket, by=ask_classic.guest, bucket="bucket")


POLICY = """{ "Version": "2012-10-17",
  "Statement": { "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::bucket" } }"""


async def test_a_policy_comes_back_to_the_letter(ask):
    with pytest.raises(NoSuchBucketPolicy):
        await ask(GetBucketPolicy, bucket="bucket")

    await ask(PutBucketPolicy, bucket="bucket", policy=POLICY)

    assert (await ask(GetBucketPolicy, bucket="bucket")).policy == POLICY


async def test_a_policy_cannot_take_the_owners_right_to_mend_it(ask):
    await ask(PutBucketPolicy, bucket="bucket", policy=POLICY)

    with pytest.raises(AccessDenied):
        await ask(HeadBucket, bucket="bucket")
    await ask(DeleteBucketPolicy, bucket="bucket")
    await ask(HeadBucket, bucket="bucket")


@pytest.mark.parametrize("policy", ["{}", "[]", "nonsense", POLICY.replace("bucket", "another")])
async def test_a_policy_that_could_not_be_judged_later_is_refused_now(ask, policy):
    with pytest.raises(MalformedPolicy):
        await ask(PutBucketPolicy, bucket="bucket", policy=policy)
    with pytest.raises(NoSuchBucketPolicy):
        await ask(GetBucketPolicy, bucket="bucket")

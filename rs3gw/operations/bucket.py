"""
What can be asked of the service and of a bucket, declared.

Nothing here acts: ``gateway/bucket.py`` says what each of these means.
"""

from __future__ import annotations

from datetime import datetime

from rs3gw.operations import checks
from rs3gw.operations.declare import Message, element, elements, header, label, operation, payload, query, text
from rs3gw.operations.shapes import BucketAddress, Empty, Owner, Tag


class Bucket(Message):
    """A bucket in a list of buckets."""

    name: str | None = element("Name")
    creation_date: datetime | None = element("CreationDate")
    bucket_region: str | None = element("BucketRegion")
    bucket_arn: str | None = element("BucketArn")


@operation("GET /", action="s3:ListAllMyBuckets")
class ListBuckets:
    """The buckets of the caller, in the order of their names."""

    class Input(Message):
        max_buckets: int | None = query("max-buckets", check=checks.count("max-buckets"))
        continuation_token: str | None = query("continuation-token")
        prefix: str | None = query("prefix")
        bucket_region: str | None = query("bucket-region")

    class Output(Message, root="ListAllMyBucketsResult"):
        owner: Owner | None = element("Owner")
        buckets: tuple[Bucket, ...] = elements("Bucket", within="Buckets")
        continuation_token: str | None = element("ContinuationToken")
        prefix: str | None = element("Prefix")


@operation("PUT /{Bucket}")
class CreateBucket:
    """Make a bucket."""

    class Input(Message, root="CreateBucketConfiguration"):
        bucket: str = label("Bucket", check=checks.bucket_name)
        location_constraint: str | None = element("LocationConstraint", check=checks.location_constraint)
        acl: str | None = header("x-amz-acl", check=checks.acl)
        object_ownership: str | None = header("x-amz-object-ownership", check=checks.object_ownership)

    class Output(Message):
        location: str | None = header("Location")
        bucket_arn: str | None = header("x-amz-bucket-arn")


@operation("DELETE /{Bucket}", status=204)
class DeleteBucket:
    """Remove a bucket that holds nothing."""

    class Input(BucketAddress): ...

    class Output(Empty): ...


@operation("HEAD /{Bucket}", action="s3:ListBucket")
class HeadBucket:
    """Whether a bucket exists and may be listed, and its region."""

    class Input(BucketAddress): ...

    class Output(Message):
        bucket_arn: str | None = header("x-amz-bucket-arn")
        bucket_region: str | None = header("x-amz-bucket-region")


@operation("GET /{Bucket}?location")
class GetBucketLocation:
    """The region of a bucket; nothing for us-east-1, as S3 has it."""

    class Input(BucketAddress): ...

    class Output(Message, root="LocationConstraint"):
        location_constraint: str | None = text()


@operation("GET /{Bucket}?versioning")
class GetBucketVersioning:
    """Whether a bucket keeps versions: the answer is empty for one that never did, and none does yet."""

    class Input(BucketAddress): ...

    class Output(Message, root="VersioningConfiguration"):
        status: str | None = element("Status")
        mfa_delete: str | None = element("MfaDelete")


@operation("GET /{Bucket}?tagging")
class GetBucketTagging:
    """The tags of a bucket."""

    class Input(BucketAddress): ...

    class Output(Message, root="Tagging"):
        tag_set: tuple[Tag, ...] = elements("Tag", within="TagSet")


@operation("PUT /{Bucket}?tagging", status=204)
class PutBucketTagging:
    """Give a bucket these tags in place of those that it had."""

    class Input(BucketAddress, root="Tagging"):
        tag_set: tuple[Tag, ...] = elements("Tag", within="TagSet", check=checks.tags(checks.MAX_BUCKET_TAGS))

    class Output(Empty): ...


@operation("DELETE /{Bucket}?tagging", status=204, action="s3:PutBucketTagging")
class DeleteBucketTagging:
    """Take all tags off a bucket."""

    class Input(BucketAddress): ...

    class Output(Empty): ...


@operation("GET /{Bucket}?policy")
class GetBucketPolicy:
    """The policy of a bucket, as it was put."""

    class Input(BucketAddress): ...

    class Output(Message):
        policy: str = payload()


@operation("PUT /{Bucket}?policy", status=204)
class PutBucketPolicy:
    """Give a bucket a policy, which is judged from the next request on."""

    class Input(BucketAddress):
        policy: str = payload(check=checks.document)
        confirm_remove_self_bucket_access: bool | None = header("x-amz-confirm-remove-self-bucket-access")

    class Output(Empty): ...


@operation("DELETE /{Bucket}?policy", status=204)
class DeleteBucketPolicy:
    """Take the policy off a bucket."""

    class Input(BucketAddress): ...

    class Output(Empty): ...

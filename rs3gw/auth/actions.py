"""
The actions that a bucket policy may name, and whether each is about objects or about the bucket.

They are S3's, not only ours: a policy that also speaks of what rs3gw has not is as good here as there.  What is no
action at all is a slip of the pen, and a Deny with one would protect nothing.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from rs3gw.auth.patterns import Wild, matches, take_apart


def _names(*groups: str) -> frozenset[str]:
    return frozenset(f"s3:{name}".lower() for group in groups for name in group.split())


OF_OBJECTS = _names(
    "AbortMultipartUpload BypassGovernanceRetention ListMultipartUploadParts RestoreObject",
    "DeleteObject DeleteObjectTagging DeleteObjectVersion DeleteObjectVersionTagging",
    "GetObject GetObjectAcl GetObjectAttributes GetObjectLegalHold GetObjectRetention GetObjectTagging",
    "GetObjectTorrent GetObjectVersion GetObjectVersionAcl GetObjectVersionAttributes GetObjectVersionTagging",
    "GetObjectVersionForReplication GetObjectVersionTorrent",
    "PutObject PutObjectAcl PutObjectLegalHold PutObjectRetention PutObjectTagging PutObjectVersionAcl",
    "PutObjectVersionTagging UpdateObjectEncryption",
    "InitiateReplication ObjectOwnerOverrideToBucketOwner ReplicateDelete ReplicateObject ReplicateTags",
)
OF_BUCKETS = _names(
    "CreateBucket CreateBucketMetadataTableConfiguration",
    "DeleteBucket DeleteBucketMetadataTableConfiguration DeleteBucketPolicy DeleteBucketWebsite",
    "GetAccelerateConfiguration GetAnalyticsConfiguration GetBucketAbac GetBucketAcl GetBucketCORS GetBucketLocation",
    "GetBucketLogging GetBucketMetadataTableConfiguration GetBucketNotification GetBucketObjectLockConfiguration",
    "GetBucketOwnershipControls GetBucketPolicy GetBucketPolicyStatus GetBucketPublicAccessBlock",
    "GetBucketRequestPayment GetBucketTagging GetBucketVersioning GetBucketWebsite GetEncryptionConfiguration",
    "GetIntelligentTieringConfiguration GetInventoryConfiguration GetLifecycleConfiguration GetMetricsConfiguration",
    "GetReplicationConfiguration",
    "ListBucket ListBucketMultipartUploads ListBucketVersions ListTagsForResource PauseReplication",
    "PutAccelerateConfiguration PutAnalyticsConfiguration PutBucketAbac PutBucketAcl PutBucketCORS PutBucketLogging",
    "PutBucketNotification PutBucketObjectLockConfiguration PutBucketOwnershipControls PutBucketPolicy",
    "PutBucketPublicAccessBlock PutBucketRequestPayment PutBucketTagging PutBucketVersioning PutBucketWebsite",
    "PutEncryptionConfiguration PutIntelligentTieringConfiguration PutInventoryConfiguration PutLifecycleConfiguration",
    "PutMetricsConfiguration PutReplicationConfiguration TagResource UntagResource",
    "UpdateBucketMetadataInventoryTableConfiguration UpdateBucketMetadataJournalTableConfiguration",
)

OBJECT, BUCKET = "object", "bucket"


@lru_cache(maxsize=1024)
def kinds_of_action(action: str) -> frozenset[str]:
    """What an action, in any case and with wildcards, is about: objects, buckets, both; nothing if it is none."""
    known = ((OBJECT, OF_OBJECTS), (BUCKET, OF_BUCKETS))
    return frozenset(kind for kind, names in known if _is_one_of(action.lower(), names))


def _is_one_of(action: str, names: Iterable[str]) -> bool:
    pattern = take_apart(action).filled
    if pattern is None or not any(isinstance(piece, Wild) for piece in pattern):
        return action in names
    return any(matches(pattern, name) for name in names)


def kinds_of_resource(name: str) -> frozenset[str]:
    """What a resource, without the ``arn:aws:s3:::`` before it, may be: keys have a slash, a star may stand for one."""
    if "/" in name:
        return frozenset((OBJECT,))
    return frozenset((OBJECT, BUCKET)) if "*" in name else frozenset((BUCKET,))

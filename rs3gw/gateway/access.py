"""
Whether a caller may: the question that auth/policy.py answers, put in its words.

A policy is the text that the bucket holds; without one only an owner may anything, and nothing needs to be
gathered to say so.  What a policy's conditions speak of is gathered only where there is a policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from rs3gw.auth import policy
from rs3gw.auth.credentials import Identity
from rs3gw.auth.evidence import Evidence, PresignedV2, Signature
from rs3gw.engine.ports import Bucket, BucketMissing, Clock, Engine, ObjectMissing
from rs3gw.errors import AccessDenied
from rs3gw.gateway import tagging
from rs3gw.operations import Message

Judge = Callable[[Identity, str, str, Evidence], bool | None]
"""(identity, action, resource, evidence) → whether it may, or None for no opinion."""

Known = policy.Value | Callable[[], policy.Value]

POLICY: Final = "policy"
"""The document of a bucket that holds its policy."""


def authorise(
    identity: Identity,
    evidence: Evidence,
    action: str,
    found: Bucket | None,
    bucket: str | None,
    key: str | None,
    asked: Message,
    engine: Engine,
    clock: Clock,
    judges: Sequence[Judge] = (),
) -> None:
    """
    Require that the caller may do this to the bucket, or to the key in it.

    ``judges`` are the operator's own (rs3gw.extensions): what one denies is denied, and what one allows is allowed
    unless a policy denies it.

    Of a bucket that is missing nothing is required but to make it: that it is missing is the answer, which S3
    gives to anybody.  Raises AccessDenied.
    """
    for judge in judges:
        verdict = judge(identity, action, resource(bucket, key), evidence)
        if verdict is False:
            raise AccessDenied()
        if verdict:
            identity = replace(identity, grants="all")
    text = None if found is None else found.documents.get(POLICY)
    if text is None:
        if identity.grants == "all":
            return
        if found is None and bucket is not None and action != "s3:CreateBucket":
            return
        policy.may(identity, action, resource(bucket, key), None, {})
        return
    context = _caller(evidence, clock) | _request(asked)
    if found is not None and key is not None:
        name = found.name
        # The object is looked up only where a condition asks for its tags.
        context["s3:ExistingObjectTag"] = lambda: _tags_of(engine, name, key)
    policy.may(identity, action, resource(bucket, key), policy.parse(text), context)


def resource(bucket: str | None, key: str | None) -> str:
    """The ARN of a bucket or an object; of everything where there is no bucket."""
    if bucket is None:
        return "arn:aws:s3:::*"
    return f"arn:aws:s3:::{bucket}" if key is None else f"arn:aws:s3:::{bucket}/{key}"


def _caller(evidence: Evidence, clock: Clock) -> dict[str, Known]:
    """What conditions may say of where a call comes from, and when; who calls is known already."""
    now = clock.now()
    values: dict[str, Known] = {
        "aws:CurrentTime": now.isoformat(),
        "aws:EpochTime": int(now.timestamp()),
        "aws:SecureTransport": evidence.secure,
        "aws:SourceIp": evidence.source_ip,
        "aws:UserAgent": evidence.user_agent,
        "aws:Referer": evidence.referer,
    }
    if isinstance(evidence.proof, Signature):
        is_presigned = evidence.proof.expires_seconds is not None
        values["s3:authType"] = "REST-QUERY-STRING" if is_presigned else "REST-HEADER"
        values["s3:signatureversion"] = "AWS4-HMAC-SHA256"
    elif isinstance(evidence.proof, PresignedV2):
        values["s3:authType"] = "REST-QUERY-STRING"
        values["s3:signatureversion"] = "AWS"
    return values


_ASKED: Final = {
    "prefix": "s3:prefix",
    "delimiter": "s3:delimiter",
    "max_keys": "s3:max-keys",
    "acl": "s3:x-amz-acl",
    "copy_source": "s3:x-amz-copy-source",
    "metadata_directive": "s3:x-amz-metadata-directive",
    "storage_class": "s3:x-amz-storage-class",
    "location_constraint": "s3:LocationConstraint",
    "if_match": "s3:if-match",
    "if_none_match": "s3:if-none-match",
}


def _request(asked: Message) -> dict[str, Known]:
    """What conditions may say of the request itself."""
    given = asked.__dict__
    values: dict[str, Known] = {key: given[name] for name, key in _ASKED.items() if given.get(name) is not None}
    tags: Mapping[str, str] = tagging.NO_TAGS
    if given.get("tagging"):
        tags = tagging.parse(given["tagging"])
    elif given.get("tag_set"):
        tags = tagging.of_set(given["tag_set"])
    if tags:
        values["s3:RequestObjectTag"] = tags
        values["s3:RequestObjectTagKeys"] = list(tags)
    return values


def _tags_of(engine: Engine, bucket: str, key: str) -> Mapping[str, str]:
    try:
        return engine.object(bucket, key).facts.tags
    except (BucketMissing, ObjectMissing):
        return tagging.NO_TAGS

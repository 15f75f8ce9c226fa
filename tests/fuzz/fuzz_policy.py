"""
Bucket policies: the document.

It is refused with what is wrong, or it is a policy that decides of any request: the same for the document as it was
written and as any writer of JSON writes it again; and an owner can always take it off.
"""

from __future__ import annotations

import json

from rs3gw.auth import policy
from rs3gw.auth.credentials import ANONYMOUS, Identity
from rs3gw.auth.policy import Context, Decision
from rs3gw.errors import S3Error
from tests.fuzz.parts import NOW, refusable, same, tell

MOST_BYTES = 1024**2

OWNER = Identity(name="owner", access_key="AKOWNER", grants="all")
GUEST = Identity(name="guest", access_key="AKGUEST", grants="policies")

CONTEXTS: tuple[Context, ...] = (
    {},
    {
        "aws:CurrentTime": NOW.isoformat(),
        "aws:EpochTime": int(NOW.timestamp()),
        "aws:SecureTransport": False,
        "aws:SourceIp": "192.0.2.1",
        "aws:UserAgent": "agent/*?${x}",
        "aws:Referer": "\udcff",
        "s3:prefix": "",
        "s3:max-keys": 1000,
        "s3:ExistingObjectTag": {"team": "blue"},
        "s3:RequestObjectTagKeys": ("team", "colour"),
    },
    {"aws:SourceIp": "::ffff:192.0.2.1", "aws:CurrentTime": "never", "s3:max-keys": "many", "s3:prefix": "a" * 1024},
)
ASKED = (
    ("s3:GetObject", "arn:aws:s3:::bucket/a:b/c*"),
    ("s3:ListBucket", "arn:aws:s3:::bucket"),
    ("s3:PutBucketPolicy", "arn:aws:s3:::bucket"),
)


def target(data: bytes) -> None:
    # A policy is a document of UTF-8 before it is anything else.
    text = data.decode("utf-8", "ignore")
    with refusable():
        read = policy.parse(text)
        assert len(text.encode()) <= policy.MAX_POLICY_BYTES
        decided = decisions(read)
        assert all(isinstance(decision, Decision) for decision in decided)
        again = json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "surrogatepass")
        if len(again) <= policy.MAX_POLICY_BYTES:
            same(decided, decisions(policy.parse(again.decode("utf-8", "surrogatepass"))), text)
        policy.may(OWNER, "s3:DeleteBucketPolicy", "arn:aws:s3:::bucket", read, {})
    try:
        policy.parse(text, bucket="bucket")
    except S3Error as fault:
        tell(fault)
    else:
        for action in ("s3:GetObject", "s3:PutObject"):
            # What speaks of one bucket alone allows nothing in another, but by what it does not name.
            if "Not" not in text and "\\" not in text:
                elsewhere = policy.evaluate(read, GUEST, action, "arn:aws:s3:::other/key", {})
                same(Decision.SILENT, elsewhere, text)


def decisions(read: policy.Policy) -> list[Decision]:
    return [
        policy.evaluate(read, identity, action, resource, context)
        for identity in (OWNER, GUEST, ANONYMOUS)
        for action, resource in ASKED
        for context in CONTEXTS
    ]

"""
All protocols answer alike: the same program of operations, put to one gateway over each, is answered the same.

Features say what must be answered; this says that a protocol makes no difference to it, refusals and all.  What
differs is what HTTP cannot carry: a HEAD and a 304 show a status and no code.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from conformance import plan
from conformance.codes import CODES
from conformance.drivers import Answer
from conformance.drivers.bodies import Pattern
from conformance.targets.inprocess import InProcess
from conformance.world import World

PART_BYTES = 5 * 1024 * 1024
HELLO = '"5d41402abc4b2a76b9719d911017c592"'
POLICY = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",'
    '"Action":"s3:GetObject","Resource":"arn:aws:s3:::BUCKET/*"}]}'
)

BUCKETS: list[tuple[str, dict[str, Any]]] = [
    ("HeadBucket", {}),
    ("CreateBucket", {}),
    ("CreateBucket", {"bucket": "Bad_Name"}),
    ("GetBucketTagging", {}),
    ("PutBucketTagging", {"tag_set": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}),
    ("PutBucketTagging", {"tag_set": [{"key": "é", "value": "ü"}]}),
    ("GetBucketTagging", {}),
    ("GetBucketPolicy", {}),
    ("PutBucketPolicy", {"policy": "{"}),
    ("PutBucketPolicy", {"policy": POLICY}),
    ("GetBucketPolicy", {}),
    ("GetBucketLocation", {}),
    ("ListBuckets", {"prefix": "BUCKET", "bucket": None}),
    ("GetObject", {"bucket": "no-such-bucket-here", "key": "k"}),
    ("HeadBucket", {"bucket": "no-such-bucket-here"}),
]

DESCRIBED = {
    "cache_control": "no-cache",
    "content_disposition": 'attachment; filename="x"',
    "content_encoding": "gzip",
    "content_language": "de",
    "content_type": "text/plain",
    "expires": "Wed, 21 Oct 2026 07:28:00 GMT",
    "metadata": {"A": "1", "b": "ü x"},
    "tagging": "t=1&u=%20",
}

OBJECTS: list[tuple[str, dict[str, Any]]] = [
    ("PutObject", {"key": "k", "body": b"hello", **DESCRIBED}),
    *(
        ("GetObject", {"key": "k", **asked})
        for asked in (
            {},
            {"checksum_mode": "ENABLED"},
            {"range": "bytes=1-2"},
            {"range": "bytes=9-"},
            {"range": "lines=1"},
            {"part_number": 1},
            {"part_number": 2},
            {"if_none_match": HELLO},
            {"if_match": '"x"'},
            {"if_modified_since": datetime(2036, 1, 1, tzinfo=UTC)},
            {"if_unmodified_since": datetime(2016, 1, 1, tzinfo=UTC)},
            {"version_id": "null"},
            {"version_id": "x"},
            {"response_content_type": "a/b"},
            {"expected_bucket_owner": "111111111111"},
        )
    ),
    *(
        ("PutObject", {"key": "bad", "body": b"hello", **asked})
        for asked in (
            {"checksums": {"crc32": "AAAAAA=="}},
            {"checksums": {"sha256": "AAAAAA=="}},
            {"content_md5": "x"},
            {"content_md5": "AAAAAAAAAAAAAAAAAAAAAA=="},
            {"checksum_algorithm": "SHA256"},
            {"metadata": {"x": "y" * 2100}},
            {"storage_class": "NOPE"},
            {"tagging": "a" * 200 + "=1"},
            {"if_match": '"x"'},
        )
    ),
    ("GetObject", {"key": "bad"}),
    ("PutObject", {"key": "k", "body": b"2", "if_none_match": "*"}),
    ("PutObject", {"key": "x" * 1025, "body": b""}),
    ("PutObject", {"key": "empty", "body": b""}),
    ("GetObject", {"key": "empty"}),
    ("GetObject", {"key": "empty", "range": "bytes=0-0"}),
    *(("PutObject", {"key": key, "body": key.encode()}) for key in ("a//b", "/a", "a/../b", ".", "%2F", "a+b c", "😀")),
    *(
        ("ListObjectsV2", asked)
        for asked in (
            {},
            {"delimiter": "/"},
            {"prefix": "a", "delimiter": "/"},
            {"max_keys": 2},
            {"max_keys": 0},
            {"max_keys": -1},
            {"start_after": "a/"},
            {"prefix": "zzz"},
            {"fetch_owner": True, "max_keys": 1},
            {"continuation_token": "garbage"},
        )
    ),
    ("GetObjectTagging", {"key": "k"}),
    ("PutObjectTagging", {"key": "k", "tag_set": [{"key": str(n), "value": ""} for n in range(11)]}),
    ("DeleteObjectTagging", {"key": "k"}),
    ("GetObjectTagging", {"key": "k"}),
    ("GetObjectTagging", {"key": "none"}),
    ("CopyObject", {"key": "copy", "copy_source": "BUCKET/k"}),
    ("CopyObject", {"key": "k", "copy_source": "BUCKET/k"}),
    ("CopyObject", {"key": "copy", "copy_source": "BUCKET/none"}),
    ("CopyObject", {"key": "copy", "copy_source": "garbage"}),
    ("CopyObject", {"key": "copy", "copy_source": "BUCKET/k", "copy_source_if_match": '"no"'}),
    ("HeadObject", {"key": "copy"}),
    ("GetObjectAttributes", {"key": "k", "object_attributes": ["ETag", "Checksum", "ObjectSize", "StorageClass"]}),
    ("GetObjectAttributes", {"key": "k", "object_attributes": ["Nope"]}),
    ("DeleteObject", {"key": "copy", "if_match": '"no"'}),
    ("DeleteObject", {"key": "copy"}),
    ("DeleteObject", {"key": "copy"}),
    ("DeleteObjects", {"objects": [{"key": "a//b"}, {"key": "never"}, {"key": "k", "etag": '"no"'}]}),
    ("DeleteObjects", {"objects": []}),
    ("DeleteObjects", {"objects": [{"key": "empty"}], "quiet": True}),
    ("DeleteBucket", {}),
]

PARTS = [{"part_number": 1, "etag": "FIRST"}, {"part_number": 3, "etag": "LAST"}]

UPLOADS: list[tuple[str, dict[str, Any]]] = [
    *(("UploadPart", {"part_number": number, "body": b"tail"}) for number in (0, 10_001)),
    ("UploadPart", {"part_number": 1, "body": b"tail", "upload_id": "nope"}),
    ("UploadPart", {"part_number": 1, "body": b"tail", "key": "other"}),
    ("ListParts", {}),
    ("ListParts", {"max_parts": 1}),
    ("ListParts", {"part_number_marker": 1}),
    ("ListMultipartUploads", {"key": None, "upload_id": None}),
    ("ListMultipartUploads", {"key": None, "upload_id": None, "prefix": "m", "delimiter": "p", "max_uploads": 1}),
    ("UploadPartCopy", {"part_number": 2, "copy_source": "BUCKET/none"}),
    ("CompleteMultipartUpload", {"parts": PARTS[::-1]}),
    ("CompleteMultipartUpload", {"parts": [{"part_number": 7, "etag": '"x"'}]}),
    ("CompleteMultipartUpload", {"parts": []}),
    ("CompleteMultipartUpload", {"parts": PARTS, "mpu_object_size": 3}),
    ("CompleteMultipartUpload", {"parts": PARTS, "if_match": '"x"'}),
    ("CompleteMultipartUpload", {"parts": PARTS}),
    ("CompleteMultipartUpload", {"parts": PARTS}),
    ("HeadObject", {"upload_id": None, "part_number": 2, "checksum_mode": "ENABLED"}),
    ("GetObject", {"upload_id": None, "part_number": 2}),
    ("GetObject", {"upload_id": None, "part_number": 3}),
    ("GetObjectAttributes", {"upload_id": None, "object_attributes": ["ObjectParts"], "max_parts": 1}),
    ("AbortMultipartUpload", {}),
]


@pytest.fixture(scope="module")
def place():
    target = InProcess()
    yield target.start()
    target.stop()


def said(value: Any, names: dict[str, str], *, time: str | None = None) -> Any:
    """A value with names put in place of others, and every time by this text where one is given."""
    if isinstance(value, datetime):
        return time or value
    if isinstance(value, dict):
        return {key: said(item, names, time=time) for key, item in value.items()}
    if isinstance(value, list):
        return [said(item, names, time=time) for item in value]
    for name, word in names.items():
        value = value.replace(name, word) if isinstance(value, str) else value
    return value


def told(answer: Answer, names: dict[str, str]) -> Any:
    """An answer as it is compared: the status of a refusal as the table has it, its fields where there is a code."""
    refusal = answer.refusal
    if refusal is None:
        return said(dict(answer.fields), names, time="a time"), answer.body
    statuses = {code for code, row in CODES.items() if refusal.status in row}
    return {refusal.code} if refusal.code else statuses


def play(driver, program, *, upload: bool) -> list[tuple[str, Any]]:
    world = World(driver)
    words = {"BUCKET": world.make_bucket()}
    fixed = {"bucket": words["BUCKET"]}
    if upload:
        words["UPLOAD"] = world.must("CreateMultipartUpload", **fixed, key="mp")["upload_id"]
        fixed |= {"key": "mp", "upload_id": words["UPLOAD"]}
        for word, number, body in (("FIRST", 1, Pattern(PART_BYTES)), ("LAST", 3, b"tail")):
            words[word] = world.must("UploadPart", **fixed, part_number=number, body=body)["etag"]
    names = {value: word for word, value in words.items()}
    found = [
        (operation, told(driver.perform(operation, **{**fixed, **said(fields, words)}), names))
        for operation, fields in program
    ]
    world.clean()
    return found


@pytest.mark.parametrize("protocol", ["grpc", "connect", "grpcweb"])
@pytest.mark.parametrize(
    ("program", "upload"),
    [(BUCKETS, False), (OBJECTS, False), (UPLOADS, True)],
    ids=["buckets", "objects", "uploads"],
)
def test_a_protocol_makes_no_difference_to_an_answer(place, program, upload, protocol):
    rest = play(plan.make_driver("rest", place), program, upload=upload)
    another = play(plan.make_driver(protocol, place), program, upload=upload)

    for (operation, one), (_, other) in zip(rest, another, strict=True):
        if isinstance(one, set) and isinstance(other, set):
            assert one & other, operation
        else:
            assert one == other, operation

"""
Who loads a server: users over the drivers of the conformance suite, so that what is timed is what is promised.

A user speaks one protocol and does one mix.  Every operation is an entry of locust's statistics, under S3's name
and the protocol's; a refusal is a failure with S3's code.  Nothing here knows rs3gw: any S3 endpoint can be loaded,
and its gRPC twin where there is one.
"""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from locust import User, constant_throughput, events

from conformance.drivers import Answer, Broken, Driver
from conformance.drivers.bodies import Pattern
from conformance.plan import make_driver
from conformance.targets import REGION, Keys, Place

KIB, MIB = 1024, 1024**2

SMALL_BYTES, BIG_BYTES, PART_BYTES = 4 * KIB, 8 * MIB, 5 * MIB
SMALL_KEYS, BIG_KEYS, LISTED_KEYS = 500, 8, 2_000
READ_BYTES = MIB
"""How much of a big object a training read takes at a time, one range after the other."""

RATE_PER_USER = 100.0
"""The most operations a second that one user asks for: with the number of users this bounds a run."""

Mix = Mapping[Callable[["S3User"], None], int]


class Refused(Exception):
    """S3's code, so that locust's table of failures reads like S3's errors."""


class S3User(User):
    """A user of one protocol; ``driver`` and ``mix`` say which and what."""

    abstract = True
    driver: ClassVar[str]
    mix: ClassVar[Mix]
    wait_time = constant_throughput(RATE_PER_USER)
    _numbers = itertools.count(1)

    def on_start(self) -> None:
        options: Any = self.environment.parsed_options
        place = Place(
            url=self.host or "",
            grpc=options.grpc,
            identities={"owner": Keys(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])},
            region=os.environ.get("AWS_REGION", REGION),
        )
        self.s3: Driver = make_driver(self.driver, place)
        self.bucket: str = options.bucket
        self.number = next(self._numbers)
        self.dice = random.Random(self.number)

    def on_stop(self) -> None:
        self.s3.close()

    def ask(self, operation: str, **fields: Any) -> Answer | None:
        """Ask for an operation of the bucket and report it; None where it was refused."""
        began = time.perf_counter()
        fault: Exception | None = None
        answer = None
        try:
            answer = self.s3.perform(operation, bucket=self.bucket, **fields)
            if answer.refusal is not None:
                fault = Refused(str(answer.refusal.code or answer.refusal.status))
        except Broken as broken:
            fault = broken
        events.request.fire(  # type: ignore[no-untyped-call]
            request_type="REST" if self.s3.protocol == "rest" else "gRPC",
            name=operation,
            response_time=(time.perf_counter() - began) * 1000,
            response_length=answer.measure.size if answer is not None else 0,
            exception=fault,
            context={},
        )
        return None if fault is not None else answer


def prepare(s3: Driver, bucket: str, mix: str) -> None:
    """Make the bucket and put into it what a mix reads.  Raises Refused."""

    def must(operation: str, **fields: Any) -> None:
        answer = s3.perform(operation, bucket=bucket, **fields)
        if answer.refusal is not None and answer.refusal.code != "BucketAlreadyOwnedByYou":
            raise Refused(str(answer.refusal))

    must("CreateBucket")
    if mix == "small-objects":
        for number in range(SMALL_KEYS):
            must("PutObject", key=f"small/{number}", body=Pattern(SMALL_BYTES, number).read())
    elif mix in ("big-objects", "training-read"):
        for number in range(BIG_KEYS):
            must("PutObject", key=f"big/{number}", body=Pattern(BIG_BYTES, number).read())
    elif mix == "listing":
        for number in range(LISTED_KEYS):
            must("PutObject", key=f"deep/{number % 20:02d}/{number % 7}/{number}", body=b"x")


# What users do -----------------------------------------------------------------------------------------------


def read_small(user: S3User) -> None:
    user.ask("GetObject", key=f"small/{user.dice.randrange(SMALL_KEYS)}")


def look_at_small(user: S3User) -> None:
    user.ask("HeadObject", key=f"small/{user.dice.randrange(SMALL_KEYS)}")


def write_small(user: S3User) -> None:
    number = user.dice.randrange(SMALL_KEYS)
    user.ask("PutObject", key=f"small/{number}", body=Pattern(SMALL_BYTES, number).read())


def come_and_go(user: S3User) -> None:
    """A key of the user's own, written and removed."""
    key = f"passing/{user.number}"
    if user.ask("PutObject", key=key, body=b"x"):
        user.ask("DeleteObject", key=key)


def read_big(user: S3User) -> None:
    user.ask("GetObject", key=f"big/{user.dice.randrange(BIG_KEYS)}", sink=lambda chunk: None)


def write_big(user: S3User) -> None:
    user.ask("PutObject", key=f"big/{user.dice.randrange(BIG_KEYS)}", body=Pattern(BIG_BYTES, user.number).read())


def read_in_ranges(user: S3User) -> None:
    """All of a big object, as a reader of training data takes it: one large range after the other."""
    key = f"big/{user.dice.randrange(BIG_KEYS)}"
    for offset in range(0, BIG_BYTES, READ_BYTES):
        user.ask("GetObject", key=key, range=f"bytes={offset}-{offset + READ_BYTES - 1}", sink=lambda chunk: None)


def back_up(user: S3User) -> None:
    """An upload in parts, as a backup writes."""
    key = f"backup/{user.number}"
    begun = user.ask("CreateMultipartUpload", key=key)
    if begun is None:
        return
    upload = begun["upload_id"]
    parts = []
    for number in (1, 2):
        body = Pattern(PART_BYTES, number).read()
        stored = user.ask("UploadPart", key=key, upload_id=upload, part_number=number, body=body)
        if stored is None:
            user.ask("AbortMultipartUpload", key=key, upload_id=upload)
            return
        parts.append({"part_number": number, "etag": stored["etag"]})
    user.ask("CompleteMultipartUpload", key=key, upload_id=upload, parts=parts)


def list_prefixes(user: S3User) -> None:
    user.ask("ListObjectsV2", prefix="deep/", delimiter="/")


def walk_pages(user: S3User) -> None:
    """A prefix to its end, 50 keys a page."""
    token = None
    prefix = f"deep/{user.dice.randrange(20):02d}/"
    while True:
        more: dict[str, Any] = {} if token is None else {"continuation_token": token}
        page = user.ask("ListObjectsV2", prefix=prefix, max_keys=50, **more)
        token = page.get("next_continuation_token") if page is not None else None
        if not token:
            return


MIXES: Mapping[str, Mix] = {
    "small-objects": {read_small: 7, look_at_small: 1, write_small: 2, come_and_go: 1},
    "big-objects": {read_big: 3, write_big: 1},
    "training-read": {read_in_ranges: 1},
    "backup-write": {back_up: 1},
    "listing": {list_prefixes: 1, walk_pages: 2},
}
"""What a user does, by weight."""


def user_class(protocol: str, mix: str) -> type[S3User]:
    """A class of users of a protocol who do one mix."""
    name = f"{'Rest' if protocol == 'rest' else 'Grpc'}User"
    return type(name, (S3User,), {"driver": protocol, "mix": MIXES[mix], "tasks": dict(MIXES[mix]), "abstract": False})


__all__ = ["MIXES", "RATE_PER_USER", "S3User", "prepare", "user_class"]

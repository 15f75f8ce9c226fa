"""
What one scenario works in: fresh buckets, the last answer, and a broom.

Nothing of a scenario outlives it and nothing of another is seen in it, so that scenarios run in any order, side by
side on somebody's real endpoint too.  Buckets are named by the scenario ("a bucket", "backup") and called something
unique on the target; what was made under a name is removed at the end, whoever made it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from conformance.drivers import Answer, Driver, Unsupported

PREFIX = "rs3gw-conformance-"
DEFAULT = "bucket"
"""What "the bucket" of a scenario with only one is called in it."""

DELETE_AT_ONCE = 1000


class World:
    """The drivers, the buckets and the last answer of a scenario."""

    def __init__(self, driver: Driver, other: Driver | None = None, *, region: str = "us-east-1") -> None:
        self.driver = driver
        """The owner's driver of this cell."""
        self._other = other
        self.region = region
        self.answer: Answer | None = None
        """What the last operation came to; the "it" of "it is refused"."""
        self.notes: dict[str, Any] = {}
        """What a scenario has to remember from one step to another: upload ids, ETags, by its own names."""
        self._names: dict[str, str] = {}

    # Who

    def as_(self, identity: str, *, bearer: bool = False) -> Driver:
        """The driver of somebody else.  Raises Unsupported where there is no such person."""
        return self.driver if identity == "owner" and not bearer else self.driver.as_(identity, bearer=bearer)

    @property
    def other(self) -> Driver:
        """The owner's driver of the other protocol onto the same target.  Raises Unsupported where there is none."""
        if self._other is None:
            raise Unsupported("the target speaks one protocol only")
        return self._other

    # What

    def ask(self, operation: str, *, driver: Driver | None = None, **fields: Any) -> Answer:
        """Perform an operation and remember its answer as the last one."""
        self.answer = (driver or self.driver).perform(operation, **fields)
        return self.answer

    def must(self, operation: str, *, driver: Driver | None = None, **fields: Any) -> Answer:
        """
        Perform what a scenario takes for granted; it is not the last answer.

        Raises AssertionError where it is refused.
        """
        answer = (driver or self.driver).perform(operation, **fields)
        assert answer.refusal is None, f"{operation} was refused with {answer.refusal}"
        return answer

    # Where

    def name(self, alias: str = DEFAULT) -> str:
        """The name on the target of what the scenario calls ``alias``; a new and unique one the first time."""
        if alias not in self._names:
            self._names[alias] = PREFIX + secrets.token_hex(8)
        return self._names[alias]

    def call(self, alias: str, name: str) -> str:
        """Use this very name for an alias, so that what is made under it is removed at the end."""
        self._names[alias] = name
        return name

    def alias(self, name: str) -> str | None:
        """What the scenario calls a bucket of the target; None for one that is not the scenario's."""
        return next((alias for alias, given in self._names.items() if given == name), None)

    @property
    def bucket(self) -> str:
        """The name of the scenario's only, or first, bucket."""
        return self.name()

    def make_bucket(self, alias: str = DEFAULT, **fields: Any) -> str:
        """Create a bucket and return its name on the target."""
        name = self.name(alias)
        self.must("CreateBucket", bucket=name, **fields)
        return name

    # The broom

    def clean(self) -> None:
        """Remove everything that was made; what cannot be removed is left rather than reported as a failure."""
        for name in self._names.values():
            try:
                remove_bucket(self.driver, name)
            except Exception as fault:  # The scenario has its verdict already; a broom must not change it.
                self.notes.setdefault("left", []).append(f"{name}: {fault}")
        self._names.clear()


def remove_bucket(driver: Driver, name: str) -> None:
    """Delete a bucket with its policy, its uploads and its objects.  One that is not there is as good as deleted."""
    first = driver.perform("DeleteBucket", bucket=name)
    if first.refusal is None or first.refusal.code in ("NoSuchBucket", "InvalidBucketName"):
        return
    driver.perform("DeleteBucketPolicy", bucket=name)
    for upload in pages(driver, "ListMultipartUploads", "uploads", bucket=name):
        driver.perform("AbortMultipartUpload", bucket=name, key=upload["key"], upload_id=upload["upload_id"])
    keys = [entry["key"] for entry in pages(driver, "ListObjectsV2", "contents", bucket=name)]
    # XML has no way to say some control characters: keys with one are deleted by their path.
    plain = [{"key": key} for key in keys if min(key) >= " "]
    for start in range(0, len(plain), DELETE_AT_ONCE):
        driver.perform("DeleteObjects", bucket=name, objects=plain[start : start + DELETE_AT_ONCE], quiet=True)
    for key in keys:
        if min(key) < " ":
            driver.perform("DeleteObject", bucket=name, key=key)
    driver.perform("DeleteBucket", bucket=name)


_MARKERS = {
    "ListObjectsV2": {"continuation_token": "next_continuation_token"},
    "ListMultipartUploads": {"key_marker": "next_key_marker", "upload_id_marker": "next_upload_id_marker"},
}


def pages(driver: Driver, operation: str, items: str, **fields: Any) -> Iterator[Mapping[str, Any]]:
    """Everything in a listing, page after page; ends where the operation is refused."""
    while True:
        answer = driver.perform(operation, **fields)
        yield from answer.get(items, ())
        if not answer.get("is_truncated"):
            return
        following = {ask: answer.get(told) for ask, told in _MARKERS[operation].items()}
        if not all(following.values()) or following.items() <= fields.items():
            return
        fields |= following

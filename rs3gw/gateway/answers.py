"""
The pieces that several answers are made of: the owner, the storage class, checksums and listings of keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from rs3gw.engine.ports import Entry
from rs3gw.errors import InvalidArgument
from rs3gw.operations import Columns
from rs3gw.operations.checks import ACCOUNT, MAX_INT32
from rs3gw.operations.object import ObjectEntry
from rs3gw.operations.shapes import NO_CHECKSUMS, Checksums, CommonPrefix, Owner

STANDARD: Final = "STANDARD"

OWNER: Final = Owner(display_name=ACCOUNT, id=hashlib.sha256(f"arn:aws:iam::{ACCOUNT}:root".encode()).hexdigest())
"""Everything belongs to the one account, whichever of its keys asks."""


def checksums_of(stored: Mapping[str, str]) -> Checksums:
    """The engine's checksums as a message."""
    return Checksums.of(dict(stored)) if stored else NO_CHECKSUMS


def object_entries(entries: Sequence[Entry], *, with_owner: bool) -> Sequence[ObjectEntry]:
    """Objects as a listing shows them."""
    same: dict[str, Any] = {"storage_class": STANDARD}
    if with_owner:
        same["owner"] = OWNER
    if not entries:
        return ()
    keys, _, sizes, times, etags, algorithms, types = zip(*entries, strict=True)
    columns = {
        "key": keys,
        "last_modified": times,
        "etag": [f'"{etag}"' for etag in etags],
        "checksum_algorithm": list(map(_split, algorithms)),
        "checksum_type": types,
        "size": sizes,
    }
    return Columns(ObjectEntry, len(entries), columns, same)


@lru_cache(maxsize=256)
def _split(algorithms: str) -> tuple[str, ...]:
    # There are a handful of combinations, and a thousand entries on a page.
    return tuple(algorithms.split())


def common_prefixes(prefixes: Sequence[str]) -> tuple[CommonPrefix, ...]:
    """Common prefixes as a listing shows them."""
    return tuple(CommonPrefix.of({"prefix": prefix}) for prefix in prefixes)


def number_marker(value: str | None, name: str) -> int:
    """A part-number-marker as a number, 0 where there is none.  Raises InvalidArgument."""
    if not value:
        return 0
    if value.isascii() and value.isdigit() and len(value) <= len(str(MAX_INT32)) and int(value) <= MAX_INT32:
        return int(value)
    raise InvalidArgument(
        message=f"Argument {name} must be an integer between 0 and {MAX_INT32}",
        argument_name=name,
        argument_value=value,
    )

"""
Tags, as they travel: a query string in a header, a list of Tag elsewhere, a mapping in the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl

from rs3gw.errors import InvalidArgument
from rs3gw.operations import checks
from rs3gw.operations.shapes import Tag

NO_TAGS: Final[Mapping[str, str]] = {}

_judge = checks.tags(checks.MAX_OBJECT_TAGS)


def parse(header: str | None) -> Mapping[str, str]:
    """
    Read x-amz-tagging: ``color=blue&size=2``, percent-encoded.

    Raises InvalidArgument for what is no such string or names a tag twice, InvalidTag for a tag that breaks the rules.
    """
    if not header:
        return NO_TAGS
    try:
        pairs = parse_qsl(header, keep_blank_values=True, errors="strict", max_num_fields=checks.MAX_OBJECT_TAGS + 1)
    except ValueError as fault:
        raise _unreadable(header) from fault
    tags = dict(pairs)
    if len(tags) < len(pairs):
        raise _unreadable(header)
    _judge([Tag(key=key, value=value) for key, value in pairs])
    return tags


def _unreadable(header: str) -> InvalidArgument:
    return InvalidArgument(
        message="The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters "
        "without tag name duplicates.",
        argument_name="x-amz-tagging",
        argument_value=header,
    )


def of_set(tag_set: Iterable[Tag]) -> dict[str, str]:
    """A mapping of a tag set whose keys are known to differ."""
    return {tag.key: tag.value for tag in tag_set}


def to_set(tags: Mapping[str, str]) -> tuple[Tag, ...]:
    """A tag set, in the order in which the tags were given."""
    return tuple(Tag.of({"key": key, "value": value}) for key, value in tags.items())

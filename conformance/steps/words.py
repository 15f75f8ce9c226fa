"""
How a feature spells a value, and how a step reads it.

    "a key"                   text between quotes; \\u0001 stands for a character that a file should not hold
    a key of 1024 bytes       text of that many bytes
    "hello" | nothing | 5 bytes | 5 MiB | 5 MiB of seed 2        content
    $name                     what "I note …" put aside; $bucket is the bucket's name on the target

A table of two columns gives the options of a request: the name of a field of S3's with spaces, and its value.
``metadata colour``, ``tag team`` and ``checksum sha256`` reach into a group; numbers and true or false are what they
look like.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import parse
from behave import register_type

from conformance.drivers import Answer
from conformance.drivers.bodies import Measure, Pattern
from conformance.world import World

MIB = 1024**2


def unescape(text: str) -> str:
    """Text with its \\uXXXX taken for what they stand for."""
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)


@parse.with_pattern(r'"[^"]*"')
def quoted(text: str) -> str:
    """Text between quotes."""
    return unescape(text[1:-1])


@parse.with_pattern(r'"[^"]*"|a key of \d+ bytes')
def key(text: str) -> str:
    """A key."""
    if text.startswith('"'):
        return quoted(text)
    return "k" * int(text.split()[3])


@parse.with_pattern(r'"[^"]*"|nothing|\d+ bytes|\d+ MiB(?: of seed \d+)?')
def content(text: str) -> bytes | Pattern:
    """The bytes of an object."""
    if text.startswith('"'):
        return quoted(text).encode()
    if text == "nothing":
        return b""
    number, unit, *seed = text.split()
    if unit == "bytes":
        return Pattern(int(number)).read()
    return Pattern(int(number) * MIB, int(seed[-1]) if seed else 0)


@parse.with_pattern(r"[a-z][a-z0-9 ]*[a-z0-9]")
def field(text: str) -> str:
    """The name of a field of an answer, or of a value in one of its groups."""
    return text


register_type(Q=quoted, Key=key, Content=content, Field=field)


def known(world: World, text: str) -> Any:
    """A value with what was noted put in its place, as text, a number, a truth, a time or a list."""
    if text.startswith("$") and text[1:] in world.notes:
        return world.notes[text[1:]]
    for name, value in world.notes.items():
        text = text.replace(f"${name}", str(value))
    text = re.sub(r"\$bucket", world.bucket, text)
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    if text in ("true", "false"):
        return text == "true"
    moment = re.fullmatch(r"(\d+) (minutes|hours|days) (ago|from now)", text)
    if moment:
        span = timedelta(**{moment[2]: int(moment[1])})
        return datetime.now(UTC) + (-span if moment[3] == "ago" else span)
    return unescape(text)


TEXTS = {"if_match", "if_none_match", "continuation_token", "content_md5", "part_number_marker", "prefix", "delimiter"}
"""Fields whose values stay text even where they look like a number."""

GROUPS = {"metadata": "metadata", "checksum": "checksums"}
PLAIN = {"metadata directive", "checksum algorithm", "checksum type", "checksum mode"}
"""Fields whose names begin as a group's members do."""


def options(world: World, table: Any) -> dict[str, Any]:
    """The options of a request from a step's table; none where it has no table."""
    found: dict[str, Any] = {}
    tags: list[tuple[str, str]] = []
    if table is None:
        return found
    for row in [table.headings, *(list(row) for row in table)]:
        # Quotes in a table keep a number text.
        is_quoted = len(row[1]) > 1 and row[1][0] == row[1][-1] == '"'
        name, value = row[0], unescape(row[1][1:-1]) if is_quoted else known(world, row[1])
        group, _, member = name.partition(" ")
        if group in GROUPS and member and name not in PLAIN:
            found.setdefault(GROUPS[group], {})[member] = str(value)
        elif group == "tag" and member:
            tags.append((member, str(value)))
        elif name == "object attributes":
            found["object_attributes"] = [word.strip() for word in str(value).split(",")]
        else:
            spelled = name.replace(" ", "_")
            found[spelled] = str(value) if spelled in TEXTS and not isinstance(value, datetime) else value
    if tags:
        found["tagging"] = urllib.parse.urlencode(tags)
    return found


def rows(table: Any) -> list[list[str]]:
    """A table of values without a heading."""
    return [list(table.headings), *(list(row) for row in table)]


def look_up(answer: Answer, name: str) -> Any:
    """A field of an answer by its spaced name; None where the answer has none."""
    group, _, member = name.partition(" ")
    if group in GROUPS and member and name not in PLAIN:
        return (answer.get(GROUPS[group]) or {}).get(member)
    return answer.get(name.replace(" ", "_"))


def same(found: Any, expected: Any) -> bool:
    """Whether a field has the value that a feature spells."""
    if isinstance(found, str) or isinstance(expected, str):
        return str(found) == str(expected)
    return bool(found == expected)


def measure(body: bytes | Pattern | Iterable[bytes]) -> Measure:
    """What a body must measure when it comes back."""
    return body.measure() if isinstance(body, Pattern) else Measure.of([body] if isinstance(body, bytes) else body)


def as_tags(table: Any) -> list[dict[str, str]]:
    """A tag set from a table of keys and values."""
    return [{"key": unescape(row[0]), "value": unescape(row[1])} for row in rows(table)]


def of_tags(tag_set: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """A tag set as a mapping, for comparison: its order means nothing."""
    return {tag["key"]: tag["value"] for tag in tag_set}

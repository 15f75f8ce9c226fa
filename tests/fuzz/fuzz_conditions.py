"""
If-Match, If-None-Match and the two dates: a line each, after the ETag and the second of the object.

A list of ETags means what a reading character by character finds in it, a date what its own instant says, and of the
four together a read is judged as RFC 9110 (section 13.2.2) orders them.
"""

from __future__ import annotations

from datetime import UTC, datetime

from rs3gw.errors import NotModified, PreconditionFailed
from rs3gw.gateway import conditions
from rs3gw.gateway.conditions import Reading
from rs3gw.rest import codec
from tests.fuzz.parts import HEADER_BYTES, lines, refusable, same

MOST_BYTES = HEADER_BYTES

READ_DATE = codec.plan_of("GetObject").headers["if-modified-since"][1]
MODIFIED = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)


def target(data: bytes) -> None:
    etag, if_match, if_none_match, since, until = lines(data, 5)
    for asked in (if_match, if_none_match):
        for weakly in (False, True):
            same(naive(etag, asked, weakly), conditions.matches(etag, asked, weakly=weakly), (etag, asked))
        with refusable():
            conditions.writing(key="k", if_match=asked, if_none_match=None)
        with refusable():
            conditions.writing(key="k", if_match=None, if_none_match=asked)
    moments = READ_DATE(since), READ_DATE(until)
    assert all(moment is None or moment.tzinfo is not None for moment in moments)
    reading = Reading(
        if_match=if_match or None,
        if_none_match=if_none_match or None,
        if_modified_since=moments[0],
        if_unmodified_since=moments[1],
    )
    same(ordered(etag, reading), outcome(etag, reading), data)


def outcome(etag: str, reading: Reading) -> int:
    try:
        reading.judge(etag, MODIFIED)
    except NotModified:
        return 304
    except PreconditionFailed:
        return 412
    return 200


def ordered(etag: str, reading: Reading) -> int:
    second = MODIFIED.replace(microsecond=0)
    if reading.if_match is not None:
        if not naive(etag, reading.if_match, weakly=False):
            return 412
    elif reading.if_unmodified_since is not None and second > reading.if_unmodified_since:
        return 412
    if reading.if_none_match is not None:
        if naive(etag, reading.if_none_match, weakly=True):
            return 304
    elif reading.if_modified_since is not None and second <= reading.if_modified_since:
        return 304
    return 200


def naive(etag: str, asked: str, weakly: bool) -> bool:
    if asked.strip() == "*":
        return True
    return any(found == etag and (weakly or not is_weak) for found, is_weak in members(asked))


def members(asked: str) -> list[tuple[str, bool]]:
    """The ETags of a list, each with whether it is weak: in quotes, or a run of anything but what parts a list."""
    found, at = [], 0
    while at < len(asked):
        is_weak = asked.startswith("W/", at)
        begin = at + 2 if is_weak else at
        closing = asked.find('"', begin + 1) if asked.startswith('"', begin) else -1
        end = begin
        while end < len(asked) and not asked[end].isspace() and asked[end] not in ',"':
            end += 1
        if closing >= 0:
            found.append((asked[begin + 1 : closing], is_weak))
            at = closing + 1
        elif end > begin:
            found.append((asked[begin:end], is_weak))
            at = end
        elif is_weak:
            found.append(("W/", False))
            at = begin
        else:
            at += 1
    return found

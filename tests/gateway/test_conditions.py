"""
Conditions against the table of RFC 9110, and against what S3 makes of them for writes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rs3gw.engine.ports import Content, Facts, Object
from rs3gw.errors import NoSuchKey, NotImplementedHere, NotModified, PreconditionFailed
from rs3gw.gateway import conditions
from rs3gw.gateway.conditions import Reading

MODIFIED = datetime(2026, 5, 5, 12, 0, 0, 250_000, tzinfo=UTC)
EARLIER, SAME, LATER = (MODIFIED.replace(microsecond=0) + timedelta(seconds=by) for by in (-1, 0, 1))
ETAG = "0cc175b9c0f1b6a831c399e269772661"

ETAGS = st.sampled_from([None, f'"{ETAG}"', ETAG, '"other"', "*", f'"other", "{ETAG}"'])
TIMES = st.sampled_from([None, EARLIER, SAME, LATER])


def outcome(reading: Reading) -> str:
    try:
        reading.judge(ETAG, MODIFIED)
    except PreconditionFailed:
        return "412"
    except NotModified:
        return "304"
    return "200"


@given(ETAGS, ETAGS, TIMES, TIMES)
def test_a_read_is_judged_in_the_order_of_the_rfc(if_match, if_none_match, modified_since, unmodified_since):
    """RFC 9110, section 13.2.2, written down as it is told there."""

    def is_it(asked: str) -> bool:
        return asked == "*" or ETAG in asked

    expected = "200"
    if if_match is not None:
        if not is_it(if_match):
            expected = "412"
    elif unmodified_since is not None and unmodified_since < SAME:
        expected = "412"
    if expected == "200":
        if if_none_match is not None:
            if is_it(if_none_match):
                expected = "304"
        elif modified_since is not None and modified_since >= SAME:
            expected = "304"

    found = outcome(
        Reading(
            if_match=if_match,
            if_none_match=if_none_match,
            if_modified_since=modified_since,
            if_unmodified_since=unmodified_since,
        )
    )

    assert expected == found


def test_what_was_modified_within_the_second_of_the_header_was_not_modified_since():
    assert outcome(Reading(if_modified_since=SAME)) == "304"
    assert outcome(Reading(if_unmodified_since=SAME)) == "200"


def test_a_weak_etag_says_that_nothing_changed_but_not_that_it_is_the_same():
    assert outcome(Reading(if_none_match=f'W/"{ETAG}"')) == "304"
    assert outcome(Reading(if_match=f'W/"{ETAG}"')) == "412"


def test_a_reader_who_has_it_already_is_told_what_it_has():
    with pytest.raises(NotModified) as answer:
        Reading(if_none_match="*").judge(ETAG, MODIFIED)

    assert answer.value.etag == f'"{ETAG}"'
    assert answer.value.last_modified == "Tue, 05 May 2026 12:00:00 GMT"


def test_the_source_of_a_copy_is_never_not_modified():
    with pytest.raises(PreconditionFailed) as refused:
        Reading(if_none_match=ETAG).judge_source(ETAG, MODIFIED)

    assert refused.value.condition == "x-amz-copy-source-If-None-Match"


def stored(etag: str) -> Object:
    return Object(
        bucket="bucket",
        key="key",
        version_id="null",
        size=0,
        modified=MODIFIED,
        facts=Facts(etag=etag),
        content=Content(inline=b""),
    )


def test_a_write_without_conditions_has_none():
    assert conditions.writing(key="key", if_match=None, if_none_match=None) is None


def test_a_writer_who_insists_on_being_first_is_refused_after_anybody():
    condition = conditions.writing(key="key", if_match=None, if_none_match="*")

    condition(None)
    with pytest.raises(PreconditionFailed):
        condition(stored(ETAG))


@pytest.mark.parametrize("asked", [ETAG, f'"{ETAG}"', f'"other","{ETAG}"'])
def test_a_writer_who_knows_the_etag_may_replace(asked):
    condition = conditions.writing(key="key", if_match=asked, if_none_match=None)

    condition(stored(ETAG))
    with pytest.raises(PreconditionFailed):
        condition(stored("f" * 32))
    with pytest.raises(NoSuchKey):
        condition(None)


@pytest.mark.parametrize(
    ("if_match", "if_none_match"), [(None, ETAG), ("*", None), (ETAG, "*")], ids=["etag", "any", "both"]
)
def test_a_condition_that_s3_does_not_take_of_writers_is_refused_and_not_ignored(if_match, if_none_match):
    with pytest.raises(NotImplementedHere):
        conditions.writing(key="key", if_match=if_match, if_none_match=if_none_match)


def test_a_delete_may_insist_that_there_is_something_to_delete():
    condition = conditions.deleting(key="key", if_match="*")

    condition(stored(ETAG))
    with pytest.raises(NoSuchKey):
        condition(None)

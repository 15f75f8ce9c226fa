"""
Wildcards and variables of policies, against a model that is too simple to be wrong and too slow to be used.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rs3gw.auth.patterns import matches, matches_arn, take_apart


def naively(pattern: str, text: str) -> bool:
    """The definition: a star is nothing or one character and a star."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return naively(pattern[1:], text) or (bool(text) and naively(pattern, text[1:]))
    return bool(text) and pattern[0] in ("?", text[0]) and naively(pattern[1:], text[1:])


def like(pattern: str, text: str, **values: str) -> bool:
    filled = take_apart(pattern, has_variables=True).fill(values.get)
    return filled is not None and matches(filled, text)


@given(pattern=st.text("ab*?", max_size=8), text=st.text("ab\n", max_size=8))
def test_a_pattern_matches_what_the_definition_says(pattern, text):
    assert matches(take_apart(pattern).filled, text) == naively(pattern, text)


@given(text=st.text(max_size=20))
def test_an_escaped_text_matches_itself_and_nothing_longer(text):
    escaped = text.replace("$", "${$}").replace("*", "${*}").replace("?", "${?}")

    assert like(escaped, text)
    assert not like(escaped, text + "x")


def test_a_pattern_cannot_stop_the_server():
    """As a regular expression with a hole for each star, six stars and 200 letters take minutes."""
    started = time.process_time()

    assert not matches(take_apart("*a" * 5000 + "b").filled, "a" * 1024)
    assert not matches(take_apart("*a?" * 3000 + "b").filled, "a" * 1024)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("sent", ["*", "?", "a*", "${*}", "${name}"])
def test_what_a_client_sends_is_never_a_wildcard_or_a_variable(sent):
    assert like("home/${name}/x", f"home/{sent}/x", name=sent)
    assert not like("home/${name}/x", "home/another/x", name=sent)


def test_a_variable_without_a_value_matches_nothing_not_even_nothing():
    assert not like("${name}", "")
    assert not like("*${name}*", "anything")


def test_a_default_stands_in_for_a_value():
    assert like("home/${name, 'nobody'}", "home/nobody")
    assert like("home/${name, 'nobody'}", "home/alice", name="alice")


def test_an_escaped_wildcard_is_that_character():
    assert like("${*}${?}${$}", "*?$")
    assert not like("${*}", "anything")


def test_where_there_are_no_variables_a_variable_is_text():
    pattern = take_apart("a/${name}/*", has_variables=False)

    assert matches(pattern.filled, "a/${name}/b")
    assert not matches(pattern.filled, "a/alice/b")


@pytest.mark.parametrize("text", ["${name", "a${", "${name, nobody}", "${name,}", "${name, '}"])
def test_a_variable_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="variable"):
        take_apart(text, has_variables=True)


@pytest.mark.parametrize(
    ("pattern", "arn", "expected"),
    [
        ("arn:aws:iam::*:user/*", "arn:aws:iam::000000000000:user/alice", True),
        ("arn:*:*:*:*:*", "arn:aws:iam::000000000000:user/a:b", True),
        ("arn:aws:*:user/alice", "arn:aws:iam::000000000000:user/alice", False),
        ("*", "arn:aws:iam::000000000000:user/alice", False),
        ("arn:aws:iam::000000000000:user/al?ce", "arn:aws:iam::000000000000:user/alice", True),
        ("arn:aws:iam::000000000000:user/a:*", "arn:aws:iam::000000000000:user/a:b:c", True),
        ("arn:aws:iam::000000000000:user/alice", "alice", False),
    ],
)
def test_a_wildcard_stays_within_its_part_of_an_arn(pattern, arn, expected):
    assert matches_arn(take_apart(pattern).filled, arn) is expected

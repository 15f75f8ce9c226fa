"""The suite's table of codes and rs3gw's are two witnesses of the same thing."""

from __future__ import annotations

import pytest

from conformance import codes
from rs3gw.errors import TABLE


@pytest.mark.parametrize("code", sorted(TABLE))
def test_an_error_looks_as_the_other_table_says(code):
    error = TABLE[code]

    assert codes.CODES[code] == (error.http, error.grpc.name)


def test_the_suite_knows_no_code_that_nobody_answers():
    assert set(codes.CODES) == set(TABLE)
    assert not codes.OTHERS.keys() & TABLE.keys()


def test_a_code_that_nobody_knows_is_no_expectation():
    with pytest.raises(KeyError):
        codes.expected_status("rest", "NoSuchThing")

"""The suite's table of codes and rs3gw's are two witnesses of the same thing."""

from __future__ import annotations

import pytest

from conformance import codes
from rs3gw.errors import TABLE
from rs3gw.rpc.web import HTTP_OF


@pytest.mark.parametrize("code", sorted(TABLE))
def test_an_error_looks_as_the_other_table_says(code):
    error = TABLE[code]

    assert codes.CODES[code] == (error.http, error.grpc.name)


def test_the_suite_knows_no_code_that_nobody_answers():
    assert set(codes.CODES) == set(TABLE)
    assert not codes.OTHERS.keys() & TABLE.keys()


def test_connect_gives_the_statuses_that_the_other_table_has():
    assert codes.CONNECT == HTTP_OF


@pytest.mark.parametrize("code", sorted(codes.CODES))
def test_every_code_can_be_expected_of_every_protocol(code):
    http, grpc = codes.CODES[code]
    found = [codes.expected_status(protocol, code) for protocol in ("rest", "grpc", "grpcweb")]

    assert found == [http, grpc, grpc]
    assert codes.expected_status("connect", code) == f"{codes.CONNECT[grpc.lower()]} {grpc.lower()}"


def test_a_stream_of_connect_begins_well_whatever_its_end_tells():
    assert codes.expected_status("connect", "NoSuchKey") == "404 not_found"
    assert codes.expected_status("connect", "NoSuchKey", streams=True) == "200 not_found"


def test_a_protocol_that_nobody_speaks_has_no_statuses():
    with pytest.raises(ValueError, match="no such protocol"):
        codes.expected_status("soap", "NoSuchKey")


def test_a_code_that_nobody_knows_is_no_expectation():
    with pytest.raises(KeyError):
        codes.expected_status("rest", "NoSuchThing")

"""
Every error of the table, as a gRPC client sees it.
"""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from rs3gw.errors import INTERNAL, TABLE, InternalError, NoSuchKey, SignatureDoesNotMatch, SlowDown
from rs3gw.rpc import faults

CLIENT_METADATA_BYTES = 8 * 1024
"""What a client takes of metadata unless it was told otherwise; the binary part of it in base64."""


def made(kind):
    """An error of a kind, its required fields filled."""
    return kind(**{name: "x" for name in kind.names if not hasattr(kind, name)})


def details_of(fault):
    status = status_pb2.Status.FromString(dict(faults.trailing(fault))["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return status, info


@pytest.mark.parametrize("kind", TABLE.values(), ids=TABLE)
def test_an_error_has_its_code_and_tells_its_reason(kind):
    fault = made(kind)
    status, info = details_of(fault)

    assert status.code == kind.grpc
    assert status.message == faults.sentence(fault)
    assert (info.reason, info.domain, dict(info.metadata)) == (kind.code, "rs3gw", dict(fault.fields()))


def test_only_our_own_fault_is_internal():
    assert [kind.code for kind in TABLE.values() if kind.grpc is INTERNAL] == [InternalError.code]


def test_who_shall_come_again_is_told_when():
    status, _ = details_of(SlowDown())
    retry = error_details_pb2.RetryInfo()

    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.seconds == 1


def test_what_nobody_foresaw_is_told_to_nobody():
    assert faults.known(ZeroDivisionError("secret")).message == InternalError.message


@pytest.mark.parametrize(
    "fault",
    [
        NoSuchKey(key="€" * 341),
        SignatureDoesNotMatch(aws_access_key_id="A" * 9000, string_to_sign="€" * 9000, canonical_request="C" * 9000),
        NoSuchKey(key="k", message="€" * 9000),
        NoSuchKey(key="\udcff", message="\udcff"),
    ],
    ids=["a long key", "a long request", "a long sentence", "no UTF-8"],
)
def test_details_fit_into_what_a_client_takes(fault):
    """A call whose metadata is over the client's limit fails there without its code."""
    binary = sum(len(name) + len(value) for name, value in faults.trailing(fault))
    sentence = "".join(f"%{byte:02X}" for byte in faults.sentence(fault).encode())

    assert binary * 4 / 3 + len(sentence) < CLIENT_METADATA_BYTES


@given(sentence=st.text() | st.text(st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF)))
def test_a_sentence_is_a_header_and_comes_back(sentence):
    said = faults.message(sentence)

    assert all(" " <= character <= "~" for character in said)
    assert unquote(said) == faults.cut(sentence)

"""
What a message of protobuf says an Input holds, and what an Output holds a message of protobuf says.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from rs3gw.errors import InvalidRequest, NotImplementedHere
from rs3gw.operations import Columns, Message
from rs3gw.operations.body import EMPTY, Body
from rs3gw.operations.object import ListObjectsV2, ObjectEntry
from rs3gw.operations.shapes import Owner
from rs3gw.pb import s3_pb2
from rs3gw.rpc import codec
from rs3gw.rpc.servicers import RPCS

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
MOMENT = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001


def messages(kind: Any) -> st.SearchStrategy[Any]:
    """Messages of a kind, of the fields that gRPC has, some given and some not."""
    required, optional = {}, {}
    for field in kind.spelled():
        if field.spec.rest_only:
            continue
        if field.type is Body:
            required[field.name] = st.just(EMPTY)
            continue
        one: st.SearchStrategy[Any]
        if field.mapping:
            one = st.dictionaries(st.text("abc", max_size=4), TEXT, min_size=1, max_size=3)
        elif isinstance(field.type, type) and issubclass(field.type, Message):
            one = messages(field.type)
        else:
            one = {str: TEXT, int: st.integers(-(2**31), 2**31 - 1), bool: st.booleans(), datetime: MOMENT}[field.type]
        if field.many:
            one = st.lists(one, min_size=1, max_size=3).map(tuple)
        (required if field.required or field.name == "copy_source" else optional)[field.name] = one
    return st.fixed_dictionaries(required, optional=optional).map(kind.of)


def bodies(message: Message) -> dict[str, Any]:
    """The body of a message, which does not go through the codec."""
    return {name: value for name, value in message.__dict__.items() if name == "body"}


@pytest.mark.parametrize("rpc", RPCS.values(), ids=RPCS)
def test_an_input_survives_the_wire(rpc):
    @given(messages(rpc.operation.input))
    @settings(max_examples=15, deadline=None)
    def check(asked):
        wire = codec.write(asked, rpc.request.DESCRIPTOR)
        values = codec.read(rpc.operation.input, codec.parse(rpc.request, wire)) | bodies(asked)

        assert rpc.operation.input.of(values) == asked

    check()


@pytest.mark.parametrize("rpc", RPCS.values(), ids=RPCS)
def test_an_output_survives_the_wire(rpc):
    @given(messages(rpc.operation.output))
    @settings(max_examples=15, deadline=None)
    def check(answered):
        wire = codec.write(answered, rpc.response.DESCRIPTOR)
        values = codec.read(rpc.operation.output, codec.parse(rpc.response, wire)) | bodies(answered)

        assert rpc.operation.output.of(values) == answered

    check()


def test_what_has_no_presence_is_judged_even_where_it_is_empty():
    """A part number of 0 is not on the wire at all; it must be refused, not taken for none."""
    values = codec.read(RPCS["UploadPart"].operation.input, s3_pb2.UploadPartRequest())

    assert values == {"bucket": "", "key": "", "upload_id": "", "part_number": 0}


def test_names_of_metadata_have_no_case():
    asked = s3_pb2.PutObjectRequest(metadata={"Colour": "blue"})

    assert codec.read(RPCS["PutObject"].operation.input, asked)["metadata"] == {"colour": "blue"}


def test_names_that_differ_in_their_case_alone_are_refused():
    asked = s3_pb2.PutObjectRequest(metadata={"Colour": "blue", "colour": "red"})

    with pytest.raises(InvalidRequest):
        codec.read(RPCS["PutObject"].operation.input, asked)


UNKNOWN = b"\xf8\x3f\x01"  # field 1023, a varint


@pytest.mark.parametrize(
    "wire",
    [
        UNKNOWN,
        s3_pb2.DeleteObjectsRequest(bucket="bucket").SerializeToString() + UNKNOWN,
        b"\x12" + bytes((len(UNKNOWN),)) + UNKNOWN,
    ],
    ids=["alone", "beside others", "inside an object"],
)
def test_a_field_that_nobody_declared_is_refused(wire):
    with pytest.raises(NotImplementedHere):
        codec.parse(s3_pb2.DeleteObjectsRequest, wire)


@pytest.mark.parametrize("wire", [b"\xff", b"\x0a\x02\xff\xfe", b"\x0a\x7f"], ids=["tag", "UTF-8", "length"])
def test_bytes_that_are_no_message_are_the_fault_of_the_client(wire):
    with pytest.raises(InvalidRequest):
        codec.parse(s3_pb2.HeadBucketRequest, wire)


@pytest.mark.parametrize("moment", [Timestamp(seconds=1 << 60), Timestamp(nanos=-1)], ids=["far", "negative"])
def test_a_time_that_is_none_is_refused(moment):
    asked = s3_pb2.HeadObjectRequest(bucket="bucket", key="key", if_modified_since=moment)

    with pytest.raises(InvalidRequest):
        codec.read(RPCS["HeadObject"].operation.input, asked)


@given(st.binary(max_size=400), st.none() | st.integers(0, 2**40), st.booleans(), TEXT)
def test_a_chunk_is_what_protobuf_reads_in_it(data, index, is_last, key):
    said = s3_pb2.PutObjectRequest(data=data, chunk_index=index, is_last_chunk=is_last, key=key)

    message, seen = codec.parse_chunk(s3_pb2.PutObjectRequest, said.SerializeToString())

    message.data = bytes(seen)
    assert message == said


@given(st.binary(max_size=40))
def test_whatever_comes_a_chunk_is_read_as_protobuf_reads_it_or_refused(noise):
    wire = b"\x2a" + noise
    try:
        expected = codec.parse(s3_pb2.PutObjectRequest, wire)
    except (InvalidRequest, NotImplementedHere) as fault:
        with pytest.raises(type(fault)):
            codec.parse_chunk(s3_pb2.PutObjectRequest, wire)
        return

    message, seen = codec.parse_chunk(s3_pb2.PutObjectRequest, wire)

    message.data = bytes(seen)
    assert message == expected


@given(st.binary(min_size=1, max_size=40_000))
def test_a_framed_piece_is_a_message(data):
    wire = codec.prefix(s3_pb2.GetObjectResponse.DESCRIPTOR, len(data)) + data

    assert s3_pb2.GetObjectResponse.FromString(wire) == s3_pb2.GetObjectResponse(data=data)


@given(
    rows=st.lists(
        st.tuples(st.text(st.characters(exclude_categories=("Cs",))), st.integers(0, 4_000_000_000_000)), min_size=1
    )
)
def test_a_page_by_columns_is_what_its_messages_are(rows):
    keys, times = zip(*rows, strict=True)
    types = [None if len(key) % 2 else "COMPOSITE" for key in keys]
    columns = {"key": keys, "last_modified": times, "checksum_type": types}
    page = Columns(ObjectEntry, len(rows), columns, {"owner": Owner(id="a", display_name="b")})
    descriptor = RPCS["ListObjects"].response.DESCRIPTOR

    assert codec.write(ListObjectsV2.Output(contents=tuple(page)), descriptor) == codec.write(
        ListObjectsV2.Output(contents=page), descriptor
    )

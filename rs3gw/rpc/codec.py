"""
Between messages of protobuf and an operation's Input and Output: fields of equal names, and nothing else.

That equality is the codec; tests/rpc holds the protos to the declarations.  What a message of protobuf does not say
an Input does not hold.  A field that this server does not know is refused: a newer client must not believe that it
was heard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Proto
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from rs3gw.errors import InvalidRequest, NotImplementedHere
from rs3gw.operations import Message
from rs3gw.operations.body import Body

STREAM_FIELDS = frozenset(("data", "chunk_index", "is_last_chunk"))
"""What a message of an upload holds besides the fields of its operation."""


def parse(kind: type[Proto], wire: bytes) -> Proto:
    """
    A message from its bytes.

    Raises InvalidRequest for bytes that are no such message, NotImplementedHere for fields that nobody declared.
    """
    message = kind()
    try:
        message.ParseFromString(wire)
    except DecodeError as fault:
        raise InvalidRequest(message=f"The bytes of the request are no {kind.DESCRIPTOR.name}.") from fault
    refuse_unknown(message)
    return message


def refuse_unknown(message: Proto) -> None:
    """Raises NotImplementedHere for a field, at any depth, that this server's protos do not have."""
    if len(UnknownFieldSet(message)):
        raise NotImplementedHere(
            message=f"The request has a field that this server's {message.DESCRIPTOR.name} does not have: "
            "it was made with a newer proto."
        )
    for name in _nested(message.DESCRIPTOR):
        value = getattr(message, name)
        if isinstance(value, Proto):
            if message.HasField(name):
                refuse_unknown(value)
        else:
            for each in value:
                refuse_unknown(each)


@cache
def _nested(descriptor: Any) -> tuple[str, ...]:
    return tuple(
        field.name
        for field in descriptor.fields
        if field.message_type is not None
        and field.message_type.full_name != Timestamp.DESCRIPTOR.full_name
        and not field.message_type.GetOptions().map_entry
    )


# In ----------------------------------------------------------------------------------------------------------

Convert = Callable[[Any], Any]


def _moment(value: Timestamp) -> datetime:
    try:
        return value.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as fault:
        raise InvalidRequest(message="A timestamp is out of range.") from fault


def _one(kind: Any) -> Convert:
    values, make = reader(kind), kind.of
    return lambda value: make(values(value))


def _each(kind: Any) -> Convert:
    values, make = reader(kind), kind.of
    return lambda value: tuple([make(values(each)) for each in value])


@cache
def reader(kind: Any) -> Callable[[Proto], dict[str, Any]]:
    """What reads a message of protobuf into the values of a kind of Message, by the names of its fields."""
    converts: dict[str, Convert | None] = {}
    for field in kind.spelled():
        if field.type is Body:
            continue
        if isinstance(field.type, type) and issubclass(field.type, Message):
            converts[field.name] = _each(field.type) if field.many else _one(field.type)
        elif field.type is datetime:
            converts[field.name] = _moment
        elif field.mapping:
            converts[field.name] = dict
        else:
            converts[field.name] = tuple if field.many else None

    def values(message: Proto) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for descriptor, value in message.ListFields():
            name = descriptor.name
            if name in STREAM_FIELDS:
                continue
            convert = converts[name]
            found[name] = value if convert is None else convert(value)
        return found

    return values


def read(kind: type[Message], message: Proto) -> dict[str, Any]:
    """The values of an Input; what addresses a resource is there even where it is empty."""
    found: dict[str, Any] = reader(kind)(message)  # type: ignore[arg-type]
    for field in kind.spelled():
        if field.required and field.name not in found and field.type is not Body:
            found[field.name] = ""
    if "metadata" in found:
        # Names of user metadata have no case (RFC 9110, section 5.1), on either protocol.
        found["metadata"] = {name.lower(): value for name, value in found["metadata"].items()}
    return found


# Out ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Out:
    """How a field of a Message is set in a message of protobuf."""

    nested: Callable[[Mapping[str, Any]], Proto] | None
    many: bool
    is_moment: bool
    is_map: bool


_WRITERS: dict[tuple[Any, str], Callable[[Mapping[str, Any]], Proto]] = {}


def writer(kind: Any, descriptor: Any) -> Callable[[Mapping[str, Any]], Proto]:
    """What makes a message of protobuf, by its descriptor, of the values of a kind of Message."""
    place = (kind, descriptor.full_name)
    if place not in _WRITERS:
        _WRITERS[place] = _writer(kind, descriptor)
    return _WRITERS[place]


def _writer(kind: Any, descriptor: Any) -> Callable[[Mapping[str, Any]], Proto]:
    make = GetMessageClass(descriptor)
    wire: Mapping[str, FieldDescriptor] = descriptor.fields_by_name
    plan: dict[str, _Out] = {}
    for field in kind.spelled():
        if field.type is Body or field.spec.rest_only:
            continue
        nested = None
        if isinstance(field.type, type) and issubclass(field.type, Message):
            nested = writer(field.type, wire[field.name].message_type)
        plan[field.name] = _Out(nested, field.many, field.type is datetime, field.mapping)

    def write(values: Mapping[str, Any]) -> Proto:
        said: dict[str, Any] = {}
        for field_name, value in values.items():
            if value is None:
                continue
            out = plan.get(field_name)
            if out is None:
                continue
            if out.nested is not None:
                nested = out.nested
                said[field_name] = [nested(each.__dict__) for each in value] if out.many else nested(value.__dict__)
            elif out.is_moment:
                said[field_name] = stamp(value)
            else:
                said[field_name] = value
        return make(**said)

    return write


def stamp(moment: datetime) -> Timestamp:
    """A time as protobuf has it."""
    seconds = int(moment.timestamp() // 1)
    return Timestamp(seconds=seconds, nanos=moment.microsecond * 1000)

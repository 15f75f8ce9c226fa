"""
Between messages of protobuf and an operation's Input and Output: fields of equal names, and nothing else.

That equality is the codec; tests/rpc holds the protos to the declarations.  What a message of protobuf does not say
an Input does not hold.  A field that this server does not know is refused: a newer client must not believe that it
was heard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from itertools import repeat
from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Proto
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from rs3gw.errors import InvalidRequest, NotImplementedHere
from rs3gw.operations import Columns, Message
from rs3gw.operations.body import Body, Buffer

STREAM_FIELDS = frozenset(("data", "chunk_index", "is_last_chunk"))
"""What a message of an upload holds besides the fields of its operation."""


def parse(kind: type[Proto], wire: Buffer) -> Proto:
    """
    A message from its bytes.

    Raises InvalidRequest for bytes that are no such message, NotImplementedHere for fields that nobody declared.
    """
    message = kind()
    try:
        message.ParseFromString(wire)  # type: ignore[arg-type]  # it takes views too
    except DecodeError as fault:
        raise InvalidRequest(message=f"The bytes of the request are no {kind.DESCRIPTOR.name}.") from fault
    refuse_unknown(message)
    return message


def parse_chunk(kind: type[Proto], wire: Buffer) -> tuple[Any, Buffer]:
    """
    A message of an upload without its data, and the data, as a view of the bytes that came.

    Protobuf would copy the data twice.  Raises what ``parse`` raises.
    """
    found = _data_of(kind.DESCRIPTOR, wire)
    if found is not None:
        start, begin, end = found
        message: Any = parse(kind, bytes(wire[:start]) + bytes(wire[end:]))
        if not message.data:
            return message, memoryview(wire)[begin:end]
    message = parse(kind, wire)
    return message, message.data


def _data_of(descriptor: Any, wire: Buffer) -> tuple[int, int, int] | None:
    """Where the first ``data`` stands: its tag, its beginning, its end; None where that is not easily said."""
    tag, at = _tag(descriptor)[0], 0
    try:
        while at < len(wire):
            start, kind = at, wire[at]
            if kind > 0x7F or kind & 7 not in (_VARINT, _LENGTH):
                return None  # nothing that stands before it in its message is of another kind
            size, at = _varint(wire, at + 1)
            if kind == tag:
                return (start, at, at + size) if at + size <= len(wire) else None
            if kind & 7 == _LENGTH:
                at += size
    except IndexError:
        pass  # it ends in the middle, which is for the parser to say
    return None


_VARINT, _LENGTH = 0, 2
"""How a field stands on the wire (https://protobuf.dev/programming-guides/encoding/)."""


def _varint(wire: Buffer, at: int) -> tuple[int, int]:
    """A number, and where it ends.  Raises IndexError where it does not, or not where one has to."""
    number = 0
    for shift in range(0, 70, 7):
        number |= (wire[at] & 0x7F) << shift
        at += 1
        if wire[at - 1] < 0x80:
            return number, at
    raise IndexError(at)


@cache
def _tag(descriptor: Any) -> bytes:
    """What stands before the length of ``data`` on the wire (https://protobuf.dev/programming-guides/encoding/)."""
    number = descriptor.fields_by_name["data"].number
    assert number < 16  # one byte of tag
    return bytes((number << 3 | 2,))


@lru_cache(maxsize=1024)
def prefix(descriptor: Any, size: int) -> bytes:
    """What makes so many bytes that follow it the ``data`` of a message: its tag and their length."""
    length = bytearray(_tag(descriptor))
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return bytes(length)


def refuse_unknown(message: Proto) -> None:
    """
    Raises NotImplementedHere for a field, at any depth, that this server's protos do not have.

    They are dropped and the size compared: to look at each would take a fifth of a second for a megabyte of them.
    """
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != size:
        raise NotImplementedHere(
            message=f"The request has a field that this server's {message.DESCRIPTOR.name} does not have: "
            "it was made with a newer proto."
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
    """
    The values of an Input; what has no presence on the wire is there even where it is empty, so that it is judged.

    Raises InvalidRequest for names of user metadata that differ in their case alone: one of them would be lost.
    """
    found: dict[str, Any] = reader(kind)(message)  # type: ignore[arg-type]
    for name in _bare(message.DESCRIPTOR):
        if name not in found:
            found[name] = getattr(message, name)
    if "metadata" in found:
        # Names of user metadata have no case (RFC 9110, section 5.1), on either protocol.
        said = found["metadata"]
        found["metadata"] = {name.lower(): value for name, value in said.items()}
        if len(found["metadata"]) < len(said):
            raise InvalidRequest(message="Two names of user metadata differ in their case alone, which means nothing.")
    return found


@cache
def _bare(descriptor: Any) -> tuple[str, ...]:
    return tuple(
        field.name
        for field in descriptor.fields
        if not (field.has_presence or field.is_repeated or field.name in STREAM_FIELDS)
    )


# Out ---------------------------------------------------------------------------------------------------------

Values = Mapping[str, Any]


def write(message: Message, descriptor: Any) -> bytes:
    """An Output as the message of protobuf that a descriptor describes."""
    return _writer(type(message), descriptor)(message.__dict__)  # type: ignore[arg-type]


@cache
def _writer(kind: Any, descriptor: Any) -> Callable[[Values], bytes]:
    """
    What makes the bytes of a message of protobuf of the values of a kind of Message.

    Whatever is nested goes in as plain dicts: made by one call, a page of 1,000 keys costs a quarter of what its
    messages cost one by one.
    """
    make, plain = GetMessageClass(descriptor), _plain(kind)
    pages = tuple(field.name for field in kind.spelled() if field.many)

    def written(values: Values) -> bytes:
        message = make(**plain(values))
        for name in pages:
            page = values.get(name)
            if isinstance(page, Columns):
                _fill(getattr(message, name), page)
        return message.SerializeToString()

    return written


@cache
def _plain(kind: Any) -> Callable[[Values], dict[str, Any]]:
    converts: list[tuple[str, Convert]] = []
    dropped: list[str] = []
    for field in kind.spelled():
        if field.type is Body or field.spec.rest_only:
            dropped.append(field.name)
        elif isinstance(field.type, type) and issubclass(field.type, Message):
            converts.append((field.name, _many_out(field.type) if field.many else _one_out(field.type)))
        elif field.type is datetime:
            converts.append((field.name, stamp))

    def plain(values: Values) -> dict[str, Any]:
        said = dict(values)
        for name, convert in converts:
            value = said.get(name)
            if value is not None:
                said[name] = convert(value)
        for name in dropped:
            said.pop(name, None)
        return said

    return plain


def _one_out(kind: Any) -> Convert:
    plain = _plain(kind)
    return lambda value: plain(value.__dict__)


def _many_out(kind: Any) -> Convert:
    plain = _plain(kind)
    # Columns are filled in afterwards: a row as a dict takes longer than to make it and to write it.
    return lambda value: () if isinstance(value, Columns) else [plain(each.__dict__) for each in value]


def _fill(rows: Any, page: Columns[Message]) -> None:
    """A message for each row of a page that has any: what all of them say alike at once, the rest by columns."""
    fields = {field.name: field for field in page.kind.spelled()}
    said, differing = dict(page.same), {}
    for name, column in page.columns.items():
        if fields[name].type is datetime or column.count(column[0]) < len(column):
            differing[name] = column
        elif column[0] is not None:
            said[name] = column[0]
    rows.extend(repeat(rows.add(**_plain(page.kind)(said)), len(page) - 1))  # type: ignore[arg-type]
    made = list(rows)
    for name, column in differing.items():
        if fields[name].type is datetime:
            for row, milliseconds in zip(made, column, strict=True):
                moment = getattr(row, name)
                moment.seconds, moment.nanos = milliseconds // 1000, milliseconds % 1000 * 1_000_000
        elif fields[name].many:
            for row, values in zip(made, column, strict=True):
                if values:
                    getattr(row, name).extend(values)
        else:
            for row, value in zip(made, column, strict=True):
                if value is not None:
                    setattr(row, name, value)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def stamp(moment: datetime) -> dict[str, int]:
    """A time as a Timestamp has it."""
    since = moment - _EPOCH
    return {"seconds": since.days * 86400 + since.seconds, "nanos": since.microseconds * 1000}

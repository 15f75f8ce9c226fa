"""
How an operation is declared: once, and everything else is read off the declaration.

An operation is a class with an Input and an Output.  Each field says with its default where it stands on
REST's wire; on gRPC it is the proto field of the same name.  From these classes come the routes, the codecs of
both protocols, the policy action, the metric label and the row in docs/operations.md.

    @operation("GET /{Bucket}/{Key+}?tagging")
    class GetObjectTagging:
        '''The tags of an object.'''

        class Input(ObjectAddress): ...
        class Output(Message, root="Tagging"):
            tag_set: tuple[Tag, ...] = elements("Tag", within="TagSet")

Field names are S3's in snake_case.  A structure that S3 sends as its payload (CopyObjectResult, Delete,
MultipartUpload) is not a level of its own here: its members are fields of the message, and ``root`` names the
XML element around them.  botocore's model is the witness of all of it (tests/witnesses).
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum, auto
from functools import cached_property
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

from rs3gw.operations.body import Body


class Location(Enum):
    """Where a field stands on REST's wire."""

    LABEL = auto()
    """In the path: Bucket, Key."""
    HEADER = auto()
    QUERY = auto()
    METADATA = auto()
    """All headers with a prefix, as a mapping."""
    ELEMENT = auto()
    """In the XML body, under the message's root."""
    TEXT = auto()
    """The text of the XML root itself."""
    PAYLOAD = auto()
    """The body: a Body, or a document as str."""
    GROUP = auto()
    """A message whose members stand beside the other fields on REST, and is a message of its own on gRPC."""
    EITHER = auto()
    """A member of a group: a header or an element, as the group stands."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a field's default says of its place on the wire."""

    location: Location
    wire: str = ""
    element: str = ""
    within: str | None = None
    check: Callable[[Any], None] | None = None
    status: int | None = None
    stands: Location | None = None
    urlencoded: bool = False
    rest_only: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a message, as codecs need it: its Python type taken apart and its place on the wire."""

    name: str
    type: Any
    """str, int, bool, datetime, Body, or the Message that it, or each of its items, is."""
    many: bool
    mapping: bool
    required: bool
    default: Any
    spec: Spec


Check = Callable[[Any], None]
REQUIRED: Any = dataclasses.MISSING


def _field(default: Any, spec: Spec) -> Any:
    if isinstance(default, Mapping):
        return dataclasses.field(default_factory=dict, metadata={"spec": spec})
    return dataclasses.field(default=default, metadata={"spec": spec})


def label(wire: str, *, check: Check | None = None) -> Any:
    """A piece of the path."""
    return _field(REQUIRED, Spec(location=Location.LABEL, wire=wire, check=check))


def header(
    wire: str,
    *,
    default: Any = None,
    check: Check | None = None,
    status: int | None = None,
    rest_only: bool = False,
) -> Any:
    """A header.  ``status`` is the HTTP status of an answer in which this field is present (206 for Content-Range)."""
    spec = Spec(location=Location.HEADER, wire=wire, check=check, status=status, rest_only=rest_only)
    return _field(default, spec)


def headers(prefix: str, *, check: Check | None = None) -> Any:
    """All headers that begin with the prefix, as a mapping of what follows it (lower case) to the value."""
    return _field({}, Spec(location=Location.METADATA, wire=prefix, check=check))


def query(wire: str, *, default: Any = None, check: Check | None = None, rest_only: bool = False) -> Any:
    """A parameter of the query string."""
    return _field(default, Spec(location=Location.QUERY, wire=wire, check=check, rest_only=rest_only))


def element(
    wire: str,
    *,
    default: Any = None,
    check: Check | None = None,
    urlencoded: bool = False,
    rest_only: bool = False,
) -> Any:
    """
    An XML element with one value, or one structure.

    ``urlencoded`` marks what S3 percent-encodes in a listing when encoding-type=url was asked for.
    """
    spec = Spec(location=Location.ELEMENT, wire=wire, check=check, urlencoded=urlencoded, rest_only=rest_only)
    return _field(default, spec)


def elements(wire: str, *, within: str | None = None, check: Check | None = None) -> Any:
    """A repeated XML element, directly in its parent (flattened) or ``within`` one of its own."""
    return _field((), Spec(location=Location.ELEMENT, wire=wire, within=within, check=check))


def text(*, default: Any = None) -> Any:
    """The text of the XML root itself."""
    return _field(default, Spec(location=Location.TEXT))


def payload(*, default: Any = REQUIRED, check: Check | None = None) -> Any:
    """The body of the request or answer: bytes on their way (Body), or a document (str)."""
    return _field(default, Spec(location=Location.PAYLOAD, check=check))


def group(message: type[Message], *, stands: Location) -> Any:
    """A message whose members stand among the other fields on REST: as headers or as elements."""
    return dataclasses.field(default_factory=message, metadata={"spec": Spec(location=Location.GROUP, stands=stands)})


def either(*, header: str, element: str, check: Check | None = None) -> Any:
    """A member of a group: its name as a header and as an element."""
    return _field(None, Spec(location=Location.EITHER, wire=header, element=element, check=check))


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Message:
    """
    A frozen, keyword-only dataclass whose fields know their place on the wire.

    An instance holds what was given; a field that was not is the class's default.

    ``root`` names the XML element that holds the message's elements, ``namespace`` tells whether it carries S3's.
    """

    root: ClassVar[str | None] = None
    namespace: ClassVar[bool] = True
    _required: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, *, root: str | None = None, namespace: bool | None = None) -> None:
        if root is not None:
            cls.root = root
        if namespace is not None:
            cls.namespace = namespace
        # dataclasses reads the fields; the methods are ours, because compiling five of its own for each of the
        # eighty messages would take most of the time that a start may take (0.09 s of 0.4).
        dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=True)(cls)
        cls._required = frozenset(
            each.name
            for each in dataclasses.fields(cls)  # type: ignore[arg-type]
            if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
        )
        for each in dataclasses.fields(cls):  # type: ignore[arg-type]
            if each.default_factory is not dataclasses.MISSING:
                # A default at the class lets an instance hold only what was sent.
                value = each.default_factory()
                setattr(cls, each.name, types.MappingProxyType(value) if isinstance(value, dict) else value)

    def __init__(self, **values: Any) -> None:
        unknown = values.keys() - self.__dataclass_fields__.keys()  # type: ignore[attr-defined]
        missing = self._required - values.keys()
        if unknown or missing:
            raise TypeError(f"{type(self).__qualname__}: unknown {sorted(unknown)}, missing {sorted(missing)}")
        object.__setattr__(self, "__dict__", values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__qualname__} is frozen")

    def _all(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}  # type: ignore[attr-defined]

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Message) and self._all() == other._all()

    def __hash__(self) -> int:
        return hash(tuple(self._all().values()))

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__qualname__}({said})"

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """
        The message with these values, the defaults for the rest: what codecs call, several times faster than the class.

        The caller has seen to it that every required field is there; the dict belongs to the message from now on.
        """
        message = object.__new__(cls)
        object.__setattr__(message, "__dict__", values)
        return message

    @classmethod
    def spelled(cls) -> tuple[Field, ...]:
        """The fields with their types and places, in the order of declaration."""
        found: tuple[Field, ...] | None = cls.__dict__.get("_spelled")
        if found is None:
            found = tuple(_spell(cls))
            cls._spelled = found  # type: ignore[attr-defined]
        return found


MessageT = TypeVar("MessageT", bound=Message, covariant=True)


class Columns(Sequence[MessageT]):
    """
    Many messages of one kind, by columns: a page of a thousand is written without a message being made.

    ``columns`` are values by field, a row each (None where it has none); ``same`` is what all rows say alike.
    A time is in milliseconds since 1970.  Who asks for a message gets one.
    """

    __slots__ = ("_size", "columns", "kind", "same")

    def __init__(
        self, kind: type[MessageT], size: int, columns: Mapping[str, Sequence[Any]], same: Mapping[str, Any]
    ) -> None:
        self.kind, self._size, self.columns, self.same = kind, size, columns, same

    def __len__(self) -> int:
        return self._size

    @typing.overload
    def __getitem__(self, at: int) -> MessageT: ...
    @typing.overload
    def __getitem__(self, at: slice) -> Sequence[MessageT]: ...
    def __getitem__(self, at: int | slice) -> MessageT | Sequence[MessageT]:
        if isinstance(at, slice):
            return tuple(self[each] for each in range(*at.indices(self._size)))
        if not -self._size <= at < self._size:
            raise IndexError(at)
        values = {name: column[at] for name, column in self.columns.items() if column[at] is not None}
        for field in self.kind.spelled():
            if field.type is datetime and field.name in values:
                values[field.name] = datetime.fromtimestamp(values[field.name] / 1000, UTC)
        return self.kind.of({**values, **self.same})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))


def _spell(cls: type[Message]) -> Iterator[Field]:
    hints = typing.get_type_hints(cls)
    for each in dataclasses.fields(cls):  # type: ignore[arg-type]
        hint, many, mapping = hints[each.name], False, False
        options = [option for option in typing.get_args(hint) if option is not types.NoneType]
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            (hint,) = options
        if typing.get_origin(hint) in (tuple, Sequence):
            hint, many = typing.get_args(hint)[0], True
        elif typing.get_origin(hint) is Mapping:
            hint, mapping = str, True
        missing = each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
        default = None if missing else getattr(cls, each.name)
        yield Field(
            name=each.name,
            type=hint,
            many=many,
            mapping=mapping,
            required=missing,
            default=default,
            spec=each.metadata["spec"],
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Operation:
    """A declared operation, as routers, codecs, the policy and the tables read it."""

    name: str
    summary: str
    method: str
    resource: str
    """"service", "bucket" or "object": what the path names."""
    queries: Mapping[str, str | None]
    """The query parameters that make a request this operation: name → value, None for any."""
    when: str | None
    """A header that makes a request this operation and not its plainer twin (x-amz-copy-source)."""
    status: int
    action: str
    """The policy action that performing it needs; empty where its handler judges item by item."""
    rpc: str | None
    """The name of its rpc; None for what gRPC has under another name."""
    declared: type
    input: type[Message]
    output: type[Message]

    @cached_property
    def route(self) -> str:
        """Its target on REST: ``/{Bucket}/{Key+}?tagging``."""
        path = {"service": "/", "bucket": "/{Bucket}", "object": "/{Bucket}/{Key+}"}[self.resource]
        queries = "&".join(name if value is None else f"{name}={value}" for name, value in self.queries.items())
        return path + (f"?{queries}" if queries else "")

    @cached_property
    def streams_in(self) -> bool:
        """Whether the request carries an object's bytes."""
        return any(field.type is Body for field in self.input.spelled())

    @cached_property
    def streams_out(self) -> bool:
        """Whether the answer carries an object's bytes."""
        return any(field.type is Body for field in self.output.spelled())

    def check(self, asked: Message) -> None:
        """
        Judge every value by the check beside its declaration, in the order of declaration.

        A value that was not sent is judged too where it has a default: an empty list is still a list.

        Raises what the checks raise: InvalidBucketName, KeyTooLongError, InvalidArgument, …
        """
        present, checks = asked.__dict__, self._checks
        # Of some thirty fields that could be there a request has three.  Which of several faults comes first matters
        # only once there is one.
        try:
            for name, value in present.items():
                if name in checks and value is not None:
                    checks[name][0](value)
            for name in self._owed:
                if name not in present:
                    checks[name][0](checks[name][1])
        except Exception:
            for name, (check, default) in checks.items():
                if (value := present.get(name, default)) is not None:
                    check(value)
            raise

    @cached_property
    def _checks(self) -> Mapping[str, tuple[Check, Any]]:
        """Field → (check, default), in the order of declaration."""
        fields = self.input.spelled()
        return {field.name: (field.spec.check, field.default) for field in fields if field.spec.check is not None}

    @cached_property
    def _owed(self) -> tuple[str, ...]:
        """The fields that may not be left out, because their default is refused: no list is no empty list."""
        return tuple(name for name, (check, default) in self._checks.items() if _is_refused(check, default))


def _is_refused(check: Check, default: Any) -> bool:
    if default is None:
        return False
    try:
        check(default)
    except Exception:  # whatever a check raises
        return True
    return False


OPERATIONS: dict[str, Operation] = {}
"""Every operation that exists, by name, in the order of declaration."""

_SAME: Any = object()


_Declared = TypeVar("_Declared", bound=type)


def operation(
    route: str,
    *,
    when: str | None = None,
    status: int = 200,
    action: str | None = None,
    rpc: str | None = _SAME,
) -> Callable[[_Declared], _Declared]:
    """
    Declare an operation: ``@operation("PUT /{Bucket}/{Key+}?tagging")``.

    ``when`` is a header that tells it from its twin on the same route; ``status`` what REST answers on success;
    ``action`` the policy action where it is not ``s3:<name>``, empty where the handler judges each item by itself;
    ``rpc`` the name on gRPC where it is another, or None where gRPC says the same with another operation.
    """

    def declare(declared: _Declared) -> _Declared:
        method, _, target = route.partition(" ")
        path, _, queries = target.partition("?")
        pairs = (pair.partition("=") for pair in queries.split("&") if pair)
        name = declared.__name__
        OPERATIONS[name] = Operation(
            name=name,
            summary=(declared.__doc__ or "").strip().partition("\n")[0],
            method=method,
            resource={"/": "service", "/{Bucket}": "bucket", "/{Bucket}/{Key+}": "object"}[path],
            queries={key: value if equals else None for key, equals, value in pairs},
            when=when,
            status=status,
            action=f"s3:{name}" if action is None else action,
            rpc=name if rpc is _SAME else rpc,
            declared=declared,
            input=declared.Input,  # type: ignore[attr-defined]
            output=declared.Output,  # type: ignore[attr-defined]
        )
        return declared

    return declare


def of(declared: type) -> Operation:
    """The operation that a declaring class stands for."""
    return OPERATIONS[declared.__name__]

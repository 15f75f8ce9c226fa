"""
XML out and in.

Out, strings are joined and escaped: 1,000 entries of a listing are about a millisecond, where a tree would be ten.
What a document looks like is read off the declarations, once for each kind of message.  In, a parser without
DTDs, entities or network reads at most MAX_DOCUMENT_BYTES into at most MAX_ELEMENTS elements.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from rs3gw.errors import MalformedXML, NotImplementedHere
from rs3gw.operations import Columns, Field, Location, Message

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

MAX_DOCUMENT_BYTES = 8 * 1024**2
"""The largest document that a request may be: 1,000 keys of 1,024 bytes, every byte an entity, fit."""
MAX_ELEMENTS = 100_000
MAX_DEPTH = 16


# Out ---------------------------------------------------------------------------------------------------------

# XML 1.0 has no way to write these; S3 writes references to them all the same, and encoding-type=url is the way out.
_CONTROLS = {chr(code): f"&#x{code:x};" for code in range(32) if chr(code) not in "\t\n\r"}
_CONTROLS |= {"\r": "&#13;", "\ufffe": "&#xfffe;", "\uffff": "&#xffff;"}
_TABLE = str.maketrans(_CONTROLS)


def escape(text: str) -> str:
    """Text for an element."""
    # Most texts have none of these, and looking for four is several times faster than one translation.
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    if ">" in text:
        text = text.replace(">", "&gt;")
    if '"' in text:
        text = text.replace('"', "&quot;")
    return text if text.isprintable() else text.translate(_TABLE)


def iso(moment: datetime) -> str:
    """A time with milliseconds, as S3 has it in XML."""
    return f"{moment.isoformat(timespec='milliseconds')[:23]}Z"


def _isos(stamps: Sequence[int]) -> list[str]:
    """The same of milliseconds since 1970, for a column."""
    # Names at hand and no call for each: a column of a thousand takes 0.26 ms in place of 0.67.
    minute, second, millisecond = _minute, _SECOND, _MILLISECOND
    return [f"{minute(at // 60_000)}{second[at // 1000 % 60]}{millisecond[at % 1000]}" for at in stamps]


_SECOND = tuple(f"{number:02d}." for number in range(60))
_MILLISECOND = tuple(f"{number:03d}Z" for number in range(1000))


@lru_cache(maxsize=4096)
def _minute(minutes: int) -> str:
    return f"{datetime.fromtimestamp(minutes * 60, UTC).isoformat(timespec='minutes')[:16]}:"


def urlencoded(text: str) -> str:
    """A name as S3 encodes it in a listing that was asked for with encoding-type=url."""
    # S3 writes a space as a plus, which not every client reads as one; %20 is read by all.
    return quote(text, safe="/-._~*")


Render = Callable[[Any], str]
Writer = Callable[[Mapping[str, Any], list[str], bool], None]


def _render(field: Field) -> Render:
    if field.type is datetime:
        return iso
    if field.type is bool:
        return lambda value: "true" if value else "false"
    if field.type is int:
        return str
    return escape


def is_message(kind: Any) -> bool:
    """Whether the type of a field is a message, and not a single value."""
    return isinstance(kind, type) and issubclass(kind, Message)


@cache
def writer(kind: Any) -> Writer:
    """What appends the elements of a kind of message to a list of strings."""
    steps = tuple(step for field in kind.spelled() if (step := _step(field)) is not None)

    def write(values: Mapping[str, Any], out: list[str], is_encoded: bool) -> None:
        get, add = values.get, out.append
        for name, default, opening, closing, render, special, is_plain in steps:
            value = get(name, default)
            if value is None:
                continue
            if special is None or (is_plain and not is_encoded):
                add(f"{opening}{render(value)}{closing}")
            else:
                special(value, out, is_encoded)

    return write


_Step = tuple[str, Any, str, str, Render, Callable[[Any, list[str], bool], None] | None, bool]


def _step(field: Field) -> _Step | None:
    """
    How a field is written: its name, its default, and the element around it or what writes it in its own way, and
    whether it has a way of its own only where names are encoded.
    """
    spec = field.spec
    if spec.location is Location.GROUP and spec.stands is Location.ELEMENT:
        members = writer(field.type)
        return field.name, None, "", "", str, lambda value, out, encoded: members(value.__dict__, out, encoded), False
    if spec.location not in (Location.ELEMENT, Location.EITHER):
        return None
    wire = spec.element or spec.wire
    opening, closing, render = f"<{wire}>", f"</{wire}>", _render(field)
    nested = writer(field.type) if is_message(field.type) else None

    def one(value: Any, out: list[str], is_encoded: bool) -> None:
        if nested is None:
            text = escape(urlencoded(value)) if is_encoded and spec.urlencoded else render(value)
            out.append(f"{opening}{text}{closing}")
        else:
            out.append(opening)
            nested(value.__dict__, out, is_encoded)
            out.append(closing)

    def many(values: Any, out: list[str], is_encoded: bool) -> None:
        if spec.within:
            out.append(f"<{spec.within}>")
        if isinstance(values, Columns):
            out += _by_columns(values, opening, closing, is_encoded)
        else:
            for value in values:
                one(value, out, is_encoded)
        if spec.within:
            out.append(f"</{spec.within}>")

    if field.many:
        # The element around a list is there when the list is empty.
        return field.name, () if spec.within else None, "", "", render, many, False
    special = one if nested or spec.urlencoded else None
    return field.name, field.default, opening, closing, render, special, nested is None


def _by_columns(values: Columns[Message], opening: str, closing: str, is_encoded: bool) -> Iterator[str]:
    """
    Each row as an element: what all rows say alike is in the form of it, which is filled with a cell of each column.

    A column is escaped at once, for as a rule there is nothing in a thousand keys that has to be.
    """
    form, cells = [opening], list[Sequence[Any]]()
    for field in values.kind.spelled():
        step, column = _step(field), values.columns.get(field.name)
        if step is None:
            continue
        if column is None:
            form.append(_element(step, values.same.get(field.name), is_encoded).replace("%", "%%"))
        elif field.many or None in column or field.type not in (str, int, datetime):
            # An element that is not in every row is a cell whole; there are few different ones.
            known = {value: _element(step, value, is_encoded) for value in set(column)}
            form.append("%s")
            cells.append([known[value] for value in column])
        else:
            form.append(f"<{field.spec.wire}>%s</{field.spec.wire}>")
            cells.append(_cells(field, column, is_encoded))
    form.append(closing)
    return map("".join(form).__mod__, zip(*cells, strict=True))


def _cells(field: Field, column: Sequence[Any], is_encoded: bool) -> Sequence[Any]:
    if field.type is datetime:
        return _isos(column)
    if field.type is int:
        return column
    if is_encoded and field.spec.urlencoded:
        return column if _NEEDS_NO_CODE("".join(column)) else list(map(urlencoded, column))
    # Parted by what is nobody's name: where it is, each is escaped by itself.
    joined = _PARTING.join(column)
    parts = escape(joined).split(_PARTING)
    return parts if len(parts) == len(column) else list(map(escape, column))


_PARTING = "\u00a6"
_NEEDS_NO_CODE = re.compile(r"[A-Za-z0-9/\-._~*]*\Z").match


def _element(step: _Step, value: Any, is_encoded: bool) -> str:
    """An element by itself; nothing where there is no value."""
    _, default, opening, closing, render, special, is_plain = step
    if value is None:
        value = default
    if value is None:
        return ""
    if special is None or (is_plain and not is_encoded):
        return f"{opening}{render(value)}{closing}"
    out: list[str] = []
    special(value, out, is_encoded)
    return "".join(out)


def document(message: Message, *, is_encoded: bool = False) -> bytes:
    """A message as the XML document that S3 answers."""
    kind: Any = type(message)
    root = message.root
    space = f' xmlns="{NAMESPACE}"' if kind.namespace else ""
    out = [DECLARATION, f"<{root}{space}>"]
    texts = (getattr(message, field.name) for field in kind.spelled() if field.spec.location is Location.TEXT)
    out.extend(escape(text) for text in texts if text)
    writer(kind)(message.__dict__, out, is_encoded)
    out.append(f"</{root}>")
    return "".join(out).encode("utf-8", "replace")


# In ----------------------------------------------------------------------------------------------------------


class _Bounded(TreeBuilder):
    """A tree that stops growing."""

    def __init__(self) -> None:
        super().__init__()
        self._elements = 0
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str]) -> Element:
        self._elements += 1
        self._depth += 1
        if self._elements > MAX_ELEMENTS or self._depth > MAX_DEPTH:
            raise MalformedXML(
                message=f"The XML has more than {MAX_ELEMENTS} elements, or is nested deeper than {MAX_DEPTH}."
            )
        return super().start(tag, attrs)

    def end(self, tag: str) -> Element:
        self._depth -= 1
        return super().end(tag)


def parse(data: bytes) -> Element:
    """The root of a document.  Raises MalformedXML."""
    parser = DefusedXMLParser(target=_Bounded(), forbid_dtd=True, forbid_entities=True, forbid_external=True)
    try:
        parser.feed(data)
        root = parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError) as fault:
        raise MalformedXML() from fault
    if not isinstance(root, Element):
        raise MalformedXML()
    return root


# Elements that S3 knows in these documents and rs3gw does not act on.
ELSEWHERE = frozenset(("LastModifiedTime", "Size", "Location", "Bucket", "Tags"))


def local(tag: str) -> str:
    """An element's name without S3's namespace.  Raises MalformedXML for another namespace."""
    if not tag.startswith("{"):
        return tag
    namespace, _, name = tag[1:].partition("}")
    if namespace != NAMESPACE:
        raise MalformedXML()
    return name


def fill(kind: type[Message], parent: Element) -> dict[str, Any]:
    """
    The fields of a message from the elements under its root, as values by name.

    Raises MalformedXML for an element that the message does not have, or has once and was given twice.
    """
    places = _places(kind)  # type: ignore[arg-type]
    found: dict[str, Any] = {}
    many: dict[str, list[Any]] = {}
    if (parent.text or "").strip():
        raise MalformedXML()
    for child in parent:
        name = local(child.tag)
        place = places.get(name)
        if place is None:
            if name in ELSEWHERE:
                raise NotImplementedHere(message=f"The element {name} is not implemented.", additional_message=name)
            raise MalformedXML()
        field, owner = place
        if field.spec.within == name:
            if field.name in many:
                raise MalformedXML()
            many[field.name] = [_value(field, each) for each in child if _named(each, field.spec.wire)]
        elif field.many:
            many.setdefault(field.name, []).append(_value(field, child))
        else:
            values = found if owner is None else found.setdefault(owner, {})
            if field.name in values:
                raise MalformedXML()
            values[field.name] = _value(field, child)
    found.update((name, tuple(values)) for name, values in many.items())
    for field in kind.spelled():
        if field.spec.location is Location.GROUP and field.name in found:
            found[field.name] = field.type.of(found[field.name])
        elif field.name not in found and field.spec.location is Location.ELEMENT and _is_needed(field):
            raise MalformedXML()
    return found


def _is_needed(field: Field) -> bool:
    """Whether S3's schema has the element once exactly: its value may be empty, it may not be missing."""
    return field.required or field.default == "" or field.spec.within is not None


def _named(child: Element, wire: str) -> bool:
    if local(child.tag) != wire:
        raise MalformedXML()
    return True


@cache
def _places(kind: Any) -> Mapping[str, tuple[Field, str | None]]:
    """Where an element of this name goes: its field, and the group that the field is in."""
    found: dict[str, tuple[Field, str | None]] = {}
    for field in kind.spelled():
        spec = field.spec
        if spec.location is Location.GROUP and spec.stands is Location.ELEMENT:
            members: Sequence[Field] = field.type.spelled()
            found.update((member.spec.element, (member, field.name)) for member in members)
        elif spec.location is Location.ELEMENT:
            found[spec.within or spec.wire] = (field, None)
    return found


def _value(field: Field, child: Element) -> Any:
    if is_message(field.type):
        return field.type.of(fill(field.type, child))
    if len(child):
        raise MalformedXML()
    text = child.text or ""
    if field.type is str:
        return text
    text = text.strip()
    if field.type is bool:
        if text not in ("true", "false"):
            raise MalformedXML()
        return text == "true"
    try:
        return int(text) if text.removeprefix("-").isdecimal() and len(text) < 20 else _refuse()
    except ValueError as fault:
        raise MalformedXML() from fault


def _refuse() -> int:
    raise MalformedXML()

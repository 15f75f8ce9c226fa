"""
XML out and in.

Out, strings are joined and escaped: 1,000 entries of a listing are about a millisecond, where a tree would be ten.
What a document looks like is read off the declarations, once for each kind of message.  In, a parser without
DTDs, entities or network reads at most MAX_DOCUMENT_BYTES into at most MAX_ELEMENTS elements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from rs3gw.errors import MalformedXML, NotImplementedHere
from rs3gw.operations import Field, Location, Message

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
    # A third of what isoformat costs, a thousand times in a listing.
    minute = _minute(moment.year, moment.month, moment.day, moment.hour, moment.minute)
    return f"{minute}{_SECOND[moment.second]}{_MILLISECOND[moment.microsecond // 1000]}"


_SECOND = tuple(f"{number:02d}." for number in range(60))
_MILLISECOND = tuple(f"{number:03d}Z" for number in range(1000))


@lru_cache(maxsize=4096)
def _minute(year: int, month: int, day: int, hour: int, minute: int) -> str:
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:"


def urlencoded(text: str) -> str:
    """A name as S3 encodes it in a listing that was asked for with encoding-type=url."""
    # S3 writes a space as a plus, which not every client reads as one; %20 is read by all.
    return quote(text, safe="/-._~*")


Render = Callable[[Any], str]
Writer = Callable[[Mapping[str, Any]], str]


def is_message(kind: Any) -> bool:
    """Whether the type of a field is a message, and not a single value."""
    return isinstance(kind, type) and issubclass(kind, Message)


@cache
def writer(kind: Any, *, is_encoded: bool = False) -> Writer:
    """
    What writes the elements of a kind of message; ``is_encoded`` percent-encodes the names in it.

    The entries of a listing hold the same fields, a thousand times: for each set of fields there is one function,
    made when it is first met.
    """
    writers: dict[tuple[str, ...], Writer] = {}

    def write(values: Mapping[str, Any]) -> str:
        names = tuple(values)
        found = writers.get(names)
        if found is None:
            found = writers[names] = _compiled(kind, names, is_encoded)
        return found(values)

    return write


def _compiled(kind: Any, names: tuple[str, ...], is_encoded: bool) -> Writer:
    """
    What writes those messages of a kind that hold just these fields: one f-string.

    It is compiled, as dataclasses compile their methods: joining the same pieces in a loop takes half as long again.
    Nothing of a request is in the source, which is made of declared names alone.
    """
    pieces: list[str] = []
    shows: dict[str, Render] = {}
    for field in kind.spelled():
        if not _is_element(field):
            continue
        around, show = _written(field, is_encoded)
        if field.name in names:
            shows[f"show_{field.name}"] = show
            pieces.append(around % f'{{show_{field.name}(values["{field.name}"])}}')
        elif (default := _default(field)) is not None:
            pieces.append((around % show(default)).replace("{", "{{").replace("}", "}}"))
    compiled: Writer = eval(f"lambda values: f'{''.join(pieces)}'", shows)  # noqa: S307
    return compiled


def _is_element(field: Field) -> bool:
    spec = field.spec
    if spec.location is Location.GROUP:
        return spec.stands is Location.ELEMENT
    return spec.location in (Location.ELEMENT, Location.EITHER)


def _default(field: Field) -> Any:
    """What is written of a field that was not set: the element around a list is there when the list is empty."""
    if field.many:
        return () if field.spec.within else None
    return None if field.spec.location is Location.GROUP else field.default


def _written(field: Field, is_encoded: bool) -> tuple[str, Render]:
    """How a field is written: what stands around it, and what writes its value."""
    spec = field.spec
    if spec.location is Location.GROUP:
        return "%s", _show(field, is_encoded)
    wire, show = spec.element or spec.wire, _show(field, is_encoded)
    opening, closing = f"<{wire}>", f"</{wire}>"
    if not field.many:
        return f"{opening}%s{closing}", show
    around, between = f"<{spec.within}>%s</{spec.within}>" if spec.within else "%s", closing + opening
    if is_message(field.type):
        nested = writer(field.type, is_encoded=is_encoded)
        return (
            around,
            lambda values: (
                f"{opening}{between.join([nested(value.__dict__) for value in values])}{closing}" if values else ""
            ),
        )
    return (
        around,
        lambda values: f"{opening}{between.join([show(value) for value in values])}{closing}" if values else "",
    )


def _show(field: Field, is_encoded: bool) -> Render:
    """What writes a value alone."""
    if is_message(field.type):
        nested = writer(field.type, is_encoded=is_encoded)
        return lambda value: nested(value.__dict__)
    if is_encoded and field.spec.urlencoded:
        return lambda value: escape(urlencoded(value))
    if field.type is datetime:
        return iso
    if field.type is bool:
        return lambda value: "true" if value else "false"
    return str if field.type is int else escape


def document(message: Message, *, is_encoded: bool = False) -> bytes:
    """A message as the XML document that S3 answers."""
    kind: Any = type(message)
    root = message.root
    space = f' xmlns="{NAMESPACE}"' if kind.namespace else ""
    texts = (getattr(message, field.name) for field in kind.spelled() if field.spec.location is Location.TEXT)
    text = "".join([escape(each) for each in texts if each])
    inner = writer(kind, is_encoded=is_encoded)(message.__dict__)
    return f"{DECLARATION}<{root}{space}>{text}{inner}</{root}>".encode("utf-8", "replace")


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

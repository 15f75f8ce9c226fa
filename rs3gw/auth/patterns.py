"""
Texts of a policy that have wildcards and variables: taken apart once, filled and matched for each request.

Matching never goes back: a piece between two wildcards is taken at the first place where it fits, because what
follows may start anywhere after it.  So the time is bounded by the length of the pattern times that of the text, and
whoever may write a policy cannot stop the server with one.  What a request puts into a variable is text: a star in it
is a star.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache


class Wild(Enum):
    """A wildcard."""

    ANY = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class Variable:
    """``${aws:username, 'nobody'}``: the value of a condition key, or a default."""

    key: str
    default: str | None


Filled = tuple[str | Wild, ...]
"""A pattern whose variables have values."""

ARN_COLONS = 5
"""An ARN has six parts; the sixth is the rest, colons included."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """
    A text of a policy, taken apart.

    ``text`` is how it was written; ``filled`` is what it means for every request, None where it has variables.
    """

    text: str
    pieces: tuple[str | Wild | Variable, ...]
    filled: Filled | None

    def fill(self, value: Callable[[str], str | None]) -> Filled | None:
        """The pattern with the values of its variables; None where one has neither a value nor a default."""
        if self.filled is not None:
            return self.filled
        pieces: list[str | Wild] = []
        for piece in self.pieces:
            if not isinstance(piece, Variable):
                pieces.append(piece)
                continue
            known = value(piece.key)
            known = piece.default if known is None else known
            if known is None:
                return None
            pieces.append(known)
        return tuple(pieces)


_TOKENS = {
    # (has wildcards, has variables) → what is no text
    (False, False): re.compile(r"(?!)"),
    (False, True): re.compile(r"\$\{([^}]*)\}"),
    (True, False): re.compile(r"[*?]"),
    (True, True): re.compile(r"\$\{([^}]*)\}|[*?]"),
}
_ESCAPED = frozenset("*?$")


def take_apart(text: str, *, has_wildcards: bool = True, has_variables: bool = False) -> Pattern:
    """
    Read a pattern; ``${*}``, ``${?}`` and ``${$}`` are these characters themselves.

    Raises ValueError, with what is wrong, for a variable that is none.
    """
    pieces: list[str | Wild | Variable] = []
    end = 0
    for found in _TOKENS[has_wildcards, has_variables].finditer(text):
        pieces.append(_literal(text[end : found.start()], has_variables))
        pieces.append(_variable(found[1]) if found[0].startswith("$") else Wild(found[0]))
        end = found.end()
    pieces.append(_literal(text[end:], has_variables))
    kept = tuple(piece for piece in pieces if piece != "")
    fixed = tuple(piece for piece in kept if not isinstance(piece, Variable))
    return Pattern(text, kept, fixed if len(fixed) == len(kept) else None)


def _literal(text: str, has_variables: bool) -> str:
    if has_variables and "${" in text:
        raise ValueError(f"a variable does not end: {text}")
    return text


def _variable(said: str) -> str | Variable:
    if said in _ESCAPED:
        return said
    key, comma, default = said.partition(",")
    default = default.strip()
    if comma and not (len(default) >= 2 and default[0] == default[-1] == "'"):
        raise ValueError(f"the default of a variable stands in single quotes: ${{{said}}}")
    return Variable(key.strip().lower(), default[1:-1] if comma else None)


def text_of(filled: Filled) -> str:
    """A pattern without wildcards, as text."""
    return "".join([piece for piece in filled if isinstance(piece, str)])


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What stands between two ``*``: literals at their places, with any one character in between."""

    length: int
    literals: tuple[tuple[int, str], ...]

    def is_at(self, text: str, place: int) -> bool:
        return all(text.startswith(literal, place + offset) for offset, literal in self.literals)

    def find(self, text: str, start: int, end: int) -> int:
        if len(self.literals) == 1:
            offset, literal = self.literals[0]
            place = text.find(literal, start + offset, end - (self.length - offset - len(literal)))
            return place if place < 0 else place - offset
        places = range(start, end - self.length + 1)
        return next((place for place in places if self.is_at(text, place)), -1)


@lru_cache(maxsize=1024)
def _stretches(filled: Filled) -> tuple[_Stretch, ...]:
    found: list[_Stretch] = []
    length, literals = 0, list[tuple[int, str]]()
    for piece in (*filled, Wild.ANY):
        if piece is Wild.ANY:
            found.append(_Stretch(length, tuple(literals)))
            length, literals = 0, []
        elif isinstance(piece, str):
            literals.append((length, piece))
            length += len(piece)
        else:
            length += 1
    return tuple(found)


def matches(filled: Filled, text: str) -> bool:
    """Whether a text is what the pattern says, all of it."""
    first, *middle = _stretches(filled)
    if not middle:
        return len(text) == first.length and first.is_at(text, 0)
    last = middle.pop()
    place, end = first.length, len(text) - last.length
    if place > end or not first.is_at(text, 0) or not last.is_at(text, end):
        return False
    for stretch in middle:
        place = stretch.find(text, place, end)
        if place < 0:
            return False
        place += stretch.length
    return True


def matches_arn(filled: Filled, arn: str) -> bool:
    """Whether an ARN is what the pattern says, part by part: a wildcard does not reach over a colon."""
    wanted, found = _arn_parts(filled), arn.split(":", ARN_COLONS)
    return len(wanted) == len(found) and all(map(matches, wanted, found))


def _arn_parts(filled: Filled) -> list[Filled]:
    parts: list[list[str | Wild]] = [[]]
    for piece in filled:
        if isinstance(piece, Wild):
            parts[-1].append(piece)
            continue
        first, *rest = piece.split(":", ARN_COLONS + 1 - len(parts))
        parts[-1].append(first)
        parts.extend([each] for each in rest)
    return [tuple(part) for part in parts]

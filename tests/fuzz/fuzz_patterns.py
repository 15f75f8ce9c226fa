"""
Wildcards of policies: two lines, a pattern and a text.

It matches where a reading with a table of all places says so (a star is any characters, a question mark is one), part
by part where both are ARNs.
"""

from __future__ import annotations

from rs3gw.auth import patterns
from rs3gw.auth.patterns import Variable, Wild
from tests.fuzz.parts import lines, same

MOST_BYTES = 20 * 1024
NAIVE = 400
"""The table grows with the product of both: beyond this only the time is looked at."""


def target(data: bytes) -> None:
    pattern, text = lines(data, 2)
    for has_variables in (False, True):
        try:
            taken = patterns.take_apart(pattern, has_variables=has_variables)
        except ValueError:
            assert has_variables
            continue
        filled = taken.fill(lambda key: f"*{key}?")
        if filled is None:
            assert any(isinstance(piece, Variable) for piece in taken.pieces)
            continue
        found = patterns.matches(filled, text)
        by_part = patterns.matches_arn(filled, text)
        if len(pattern) + len(text) <= NAIVE:
            tokens = [token for piece in filled for token in ([piece] if isinstance(piece, Wild) else piece)]
            same(naive(tokens, text), found, (pattern, text))
            same(by_parts(tokens, text), by_part, (pattern, text))


Tokens = list[str | Wild]


def naive(tokens: Tokens, text: str) -> bool:
    # places[n]: whether the tokens so far can be the first n characters.
    places = [True] + [False] * len(text)
    for token in tokens:
        if token is Wild.ANY:
            first = places.index(True) if True in places else len(places)
            places = [at >= first for at in range(len(places))]
        else:
            places = [False] + [places[at] and (token is Wild.ONE or token == text[at]) for at in range(len(text))]
    return places[-1]


def by_parts(tokens: Tokens, text: str) -> bool:
    parts: list[Tokens] = [[]]
    for token in tokens:
        if token == ":" and len(parts) < 6:
            parts.append([])
        else:
            parts[-1].append(token)
    found = text.split(":", 5)
    return len(parts) == len(found) and all(map(naive, parts, found))

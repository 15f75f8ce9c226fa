"""
The targets by name, and the inputs that are kept for each: what once reached something new, or broke it.

A target is ``tests/fuzz/fuzz_<name>.py`` with ``target(data)``, which raises where a claim of its docstring does not
hold, and ``MOST_BYTES``, the most that can reach what it tries.  Nothing here imports a target before it is asked.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path

Target = Callable[[bytes], None]

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"


def names() -> list[str]:
    """The targets that there are."""
    return sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py"))


def target_of(name: str) -> Target:
    """A target by its name."""
    found: Target = importlib.import_module(f"tests.fuzz.fuzz_{name}").target
    return found


def most_bytes(name: str) -> int:
    """The most that can reach what a target tries."""
    found: int = importlib.import_module(f"tests.fuzz.fuzz_{name}").MOST_BYTES
    return found


def place(name: str) -> Path:
    """Where the inputs of a target are kept."""
    return CORPUS / name


def inputs(name: str) -> list[bytes]:
    """The inputs that are kept for a target, the empty one first."""
    return [b"", *(path.read_bytes() for path in sorted(place(name).iterdir()))]


def mutated(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    """An input that is almost this one: bytes changed, dropped, repeated, or taken from another."""
    for _ in range(dice.randint(1, 4)):
        start = dice.randrange(len(data) + 1)
        end = min(len(data), start + dice.randrange(1, 16))
        other = dice.choice(others)
        begin = dice.randrange(len(other) + 1)
        middle = dice.choice(
            (
                dice.randbytes(dice.randrange(1, 4)),
                b"",
                data[start:end] * dice.randrange(2, 5),
                other[begin : begin + dice.randrange(1, 64)],
            )
        )
        data = data[:start] + middle + data[end:]
    return data


def stretched(data: bytes, most_bytes: int, dice: random.Random) -> bytes:
    """An input as long as one may be, by repeating a few bytes of this one in their place."""
    start = dice.randrange(len(data) + 1)
    piece = data[start : start + dice.choice((1, 1, 2, 3, 8, 32))]
    if not piece:
        return data
    return data[:start] + piece * ((most_bytes - len(data)) // len(piece)) + data[start + len(piece) :]

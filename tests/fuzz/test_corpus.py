"""
Every input that is kept, a few that are almost one of them, and some of them grown as long as they may be.

Mutation is seeded: what fails here fails again.  Finding more is the business of drive.py, for minutes and not for
moments.
"""

from __future__ import annotations

import random
import time

import pytest

from tests.fuzz import targets

MUTATED_SECONDS = 0.15
STRETCHED = 12
INPUT_SECONDS = 1.0
"""The most that an input may take, whatever its size: three times what the slowest takes, a tenth of what a square of
its length would."""


@pytest.mark.parametrize("name", targets.names())
def test_what_was_found_once_holds(name):
    target = targets.target_of(name)
    for data in targets.inputs(name):
        target(data)


@pytest.mark.parametrize("name", targets.names())
def test_what_is_almost_like_it_holds_as_well(name):
    target, kept, dice = targets.target_of(name), targets.inputs(name), random.Random(name)
    end = time.process_time() + MUTATED_SECONDS
    while time.process_time() < end:
        target(targets.mutated(dice.choice(kept), kept, dice))


@pytest.mark.parametrize("name", targets.names())
def test_no_input_takes_time_by_the_square_of_its_length(name):
    target, kept, dice = targets.target_of(name), targets.inputs(name), random.Random(name)
    for data in dice.sample(kept, min(STRETCHED, len(kept))):
        long = targets.stretched(data, targets.most_bytes(name), dice)
        began = time.process_time()
        target(long)
        assert time.process_time() - began < INPUT_SECONDS, f"{len(long)} bytes, {long[:60]!r}…"


def test_the_corpus_is_small():
    files = [path for path in targets.CORPUS.rglob("*") if path.is_file()]

    assert len(files) < 320
    assert sum(path.stat().st_size for path in files) < 300_000

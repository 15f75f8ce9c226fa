"""What the profile knows of the source by name: a function that was renamed would count as another layer's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rs3gw
from loadtests.profile import LAYERS, WAITING

SOURCE = Path(rs3gw.__file__).parents[1]
"""Of what is installed, which need not be this tree."""
NAMED = [part for _, parts in (*LAYERS, ("waiting", WAITING)) for part in parts]
METHODS = [part for part in NAMED if re.fullmatch(r"\w+\.\w+ \(", part) and not part.startswith("Thread.")]
PATHS = [part for part in NAMED if part.startswith("rs3gw/")]


@pytest.mark.parametrize("named", METHODS)
def test_a_method_that_it_tells_apart_is_there(named):
    owner, method = named.removesuffix(" (").split(".")
    sources = [path.read_text() for path in SOURCE.glob("rs3gw/**/*.py")]
    classes = [each for source in sources for each in re.split(r"^class ", source, flags=re.MULTILINE)]

    assert any(re.match(rf"{owner}\b", each) and f" def {method}(" in each for each in classes)


@pytest.mark.parametrize("named", PATHS)
def test_a_file_that_it_tells_apart_is_there(named):
    assert (SOURCE / named).is_dir() or (SOURCE / f"{named}.py").is_file()

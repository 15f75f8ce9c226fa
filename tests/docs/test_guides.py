"""
What is pasted out of a guide runs as it stands, but for the address and the keys: all of a page, in its order.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proof.gateway import Gateway

DOCS = Path(__file__).parents[2] / "docs"
SECONDS = 60.0

SAID = {
    "clients/python.md": ["b'meow'", "PreconditionFailed", "b'woof'", "41943040", "cat"],
    "clients/fsspec.md": ["7", "[{'year': 2026, 'cats': 4}]"],
    "testing.md": ["True"],
}
"""What a reader of each page sees, among other things."""

BROKE_OFF = "terminate called without an active exception"
"""
What an interpreter may say in its last moment, once in some sixty times and with all its work done: a thread of a
library in C++ asks for it when it is ending already.  That once is forgiven, and no second time.
"""

ELSEWHERE = "<!-- scripts/data runs what follows"
"""What needs libraries that are not here is run by clients/python/data/test_guide.py, with all that is before it."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("guides") / "root") as started:
        yield started


@pytest.mark.parametrize("page", SAID)
def test_what_a_guide_shows_runs(page: str, gateway: Gateway, tmp_path: Path) -> None:
    if page == "clients/fsspec.md":
        for needed in ("fsspec", "pandas", "pyarrow"):
            pytest.importorskip(needed)
    text = (DOCS / page).read_text().partition(ELSEWHERE)[0]
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    for shown, here in {
        "localhost:50051": gateway.target,
        "rs3gwdevelopment": gateway.access_key,
        "rs3gw-development-secret": gateway.secret_key,
    }.items():
        code = code.replace(shown, here)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RS3GW_", "AWS_"))}
    for attempt in range(2):
        where = tmp_path / str(attempt)
        where.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", code], env=clean, cwd=where, capture_output=True, text=True, timeout=SECONDS
        )
        if done.returncode != -signal.SIGABRT or done.stderr.strip() != BROKE_OFF:
            break

    assert done.returncode == 0, done.stderr
    assert [line for line in SAID[page] if line not in done.stdout] == []

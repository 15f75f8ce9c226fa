"""A storage root as an earlier version wrote it is opened by this one, whole.  ``scripts/keep-root`` keeps them."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from proof import programs
from rs3gw.engine.blobs import FANOUT
from tests.engine.conftest import get, open_store, put

KEPT = sorted((Path(__file__).parent / "roots").glob("*.tar.gz"))


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.name.removesuffix(".tar.gz"))
async def test_a_root_of_an_earlier_version_is_opened_whole(kept, tmp_path):
    root = tmp_path / "root"
    for name in FANOUT:
        (root / "blobs" / name).mkdir(parents=True)
    with tarfile.open(kept) as tar:
        tar.extractall(root, filter="data")
    said = json.loads(kept.with_name(kept.name.replace(".tar.gz", ".json")).read_text())
    store = open_store(root)
    held = await programs.state_of(store)

    assert said == json.loads(json.dumps(sorted([list(thing), value] for thing, value in held.items())))
    assert await store.sweep() == 0
    await put(store, "new", b"x" * 100_000)
    assert await get(store, "new") == b"x" * 100_000
    await store.close()


def test_there_is_a_root_to_open():
    assert KEPT

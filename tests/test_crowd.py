"""A crowd that comes at once to a server with few places: a real server, both protocols."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests import h2wire, wire
from proof.gateway import Gateway

PLACES = 4


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path / "root", settings={"RS3GW_MAX_REQUESTS": str(PLACES)}) as running:
        for path, body in (("/bucket", b""), ("/bucket/key", b"kept")):
            asked = wire.request("PUT", running.rest_port, path, body)
            asyncio.run(wire.send(running.rest_port, [asked], connections=1))
        yield running


def test_small_reads_by_rest_find_their_places_one_after_the_other(gateway):
    """Who keeps step with more than there are places for would be told to slow down for it."""
    asked = [wire.request("GET", gateway.rest_port, "/bucket/key")] * 20 * PLACES

    # It raises where one of them is refused.
    load = asyncio.run(wire.send(gateway.rest_port, asked, connections=8 * PLACES))

    assert len(load.times) == len(asked)


def test_small_reads_by_grpc_find_theirs(gateway):
    asked = [h2wire.head("bucket", "key")] * 20 * PLACES

    load = asyncio.run(h2wire.send(gateway.grpc_port, asked, connections=8 * PLACES))

    assert len(load.times) == len(asked)

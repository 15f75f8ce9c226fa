"""
A fixed set of programs, each losing power at every call of its disk, and each suffering faults.

A failure names its seed, the call and what was left.  To see it again:
``python -c "from proof.simulation import simulate; simulate(SEED)"``; more seeds: ``python -m proof simulation``.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from proof.simulated import Call, Fault, Journal, torn
from proof.simulation import Lost, crash, fail, memory_directory, record, simulate
from rs3gw.engine.blobs import Blobs

SEEDS = range(12)
FAULTS: tuple[Fault, ...] = ("full", "broken", "short")


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_acknowledged_survives_a_loss_of_power_at_any_call(seed):
    made, points = simulate(seed, steps=6)

    assert points > len(made.journal.calls) > 20


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("seed", range(4))
def test_a_disk_that_fails_once_loses_nothing_and_is_told(seed, fault):
    hits = [fail(seed, fault, call, call) for call in range(4, 60, 8)]

    assert any(hits)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("seed", range(4))
def test_a_disk_that_fails_from_one_call_on_loses_nothing(seed, fault):
    hits = [fail(seed, fault, call, 10**9) for call in range(4, 60, 16)]

    assert all(hits[:2])


LIES = {
    "content is not fsynced": lambda call: call.what == "sync" and call.name.startswith("blobs/"),
    "the names of content are not fsynced": lambda call: (
        call.what == "sync directory" and call.name.startswith("blobs/")
    ),
    "the log of the index is not fsynced": lambda call: call.what == "sync" and call.name == "index.db-wal",
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_the_simulation_sees_what_is_left_out(lie):
    """A simulation that cannot fail shows nothing: each of these stores loses what it has acknowledged."""

    async def work() -> None:
        for seed in range(20):
            with memory_directory() as place:
                await crash(await record(seed, place, journal=Journal(lies=lie)), place)

    with pytest.raises(Lost):
        asyncio.run(work())


def test_the_simulation_sees_content_that_is_published_too_early(monkeypatch):
    """Named by the index before it is on the disk: the fault that rename-into-place stores have had most."""

    async def settle(self, blob, file, seal):
        file.close()
        self._staged[blob] = seal

    monkeypatch.setattr(Blobs, "settle", settle)

    def simulate_all() -> None:
        for seed in range(20):
            simulate(seed)

    with pytest.raises(Lost):
        simulate_all()


def test_a_torn_write_is_some_of_its_sectors():
    call = Call("write", "file", 100, bytes(range(256)) * 10)
    pieces = [piece for number in range(50) for piece in torn(call, random.Random(number))]

    assert any(0 < len(piece.data) < len(call.data) for piece in pieces)
    assert all(call.data[piece.offset - 100 :].startswith(piece.data) for piece in pieces)

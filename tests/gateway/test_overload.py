"""A gateway that has as much to do as it can hold."""

from __future__ import annotations

import asyncio
import errno

import pytest

from rs3gw.auth.credentials import Authority, Credential, token_of
from rs3gw.auth.evidence import Anonymous, Bearer, Evidence
from rs3gw.engine.memory import Memory
from rs3gw.engine.ports import DiskFault
from rs3gw.engine.world import SystemClock, SystemEntropy
from rs3gw.errors import InvalidToken, SlowDown
from rs3gw.gateway import Gateway
from rs3gw.gateway.call import _let_go
from rs3gw.operations import OPERATIONS, Message
from rs3gw.operations.body import Stream

LIST = OPERATIONS["ListBuckets"]
KEY = Credential(access_key="key", secret_key="secret-secret", name="owner")
EVIDENCE = Evidence(proof=Bearer(token="nobody's"), protocol="grpc")
OWNER = Evidence(proof=Bearer(token=token_of(KEY)), protocol="grpc")


async def unread(identity: object) -> Message:
    raise AssertionError("nothing is read of what is refused")


@pytest.fixture
def gateway():
    clock = SystemClock()
    authority = Authority([KEY], region="us-east-1", clock=clock)
    return Gateway(
        Memory(clock=clock), authority, clock=clock, entropy=SystemEntropy(), region="us-east-1", max_requests=2
    )


async def test_one_call_too_many_is_told_to_slow_down_before_it_is_looked_at(gateway):
    gateway.under_way = 2
    with pytest.raises(SlowDown):
        async with gateway.perform(LIST, EVIDENCE, unread):
            pass

    assert gateway.under_way == 2


async def test_calls_are_counted_until_they_have_ended_however_they_end(gateway):
    for _ in range(5):
        with pytest.raises(InvalidToken):
            async with gateway.perform(LIST, EVIDENCE, unread):
                pass
    waiting = asyncio.Event()

    async def stuck(identity: object) -> Message:
        await waiting.wait()
        raise AssertionError

    async def call() -> None:
        async with gateway.perform(LIST, OWNER, stuck):
            pass

    calls = [asyncio.ensure_future(call()) for _ in range(2)]
    await asyncio.sleep(0)
    assert gateway.under_way == 2
    for each in calls:
        each.cancel()
    await asyncio.gather(*calls, return_exceptions=True)

    assert gateway.under_way == 0


async def test_strangers_have_half_of_the_places(gateway):
    """Whoever has no key cannot keep out those who have one."""
    gateway.max_requests = 4
    anonymous = Evidence(proof=Anonymous(), protocol="grpc")

    async def stuck(identity: object) -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def call(evidence: Evidence) -> None:
        async with gateway.perform(LIST, evidence, stuck):
            pass

    calls = [asyncio.ensure_future(call(anonymous)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(SlowDown):
        await call(anonymous)
    calls.append(asyncio.ensure_future(call(OWNER)))
    await asyncio.sleep(0)

    assert not any(each.done() for each in calls)
    assert (gateway.under_way, gateway.strangers) == (3, 2)
    for each in calls:
        each.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert (gateway.under_way, gateway.strangers) == (0, 0)


async def test_no_descriptor_left_is_no_damage(gateway):
    """A client that is told of damage restores a backup; one that is told to slow down comes back."""

    async def read(identity: object) -> Message:
        raise DiskFault("a blob") from OSError(errno.EMFILE, "Too many open files")

    with pytest.raises(SlowDown):
        async with gateway.perform(LIST, OWNER, read):
            pass


class Slow:
    """Chunks that take a moment to let go of what they hold, as a thread that still reads does."""

    is_closed = False

    async def aclose(self) -> None:
        await asyncio.sleep(0.01)
        self.is_closed = True


async def test_what_an_answer_holds_is_let_go_of_although_the_call_is_cancelled_meanwhile():
    """gRPC ends a call twice when its client goes: what is sent fails, and then the call is cancelled."""
    chunks = Slow()
    ending = asyncio.ensure_future(_let_go(Stream(chunks)))
    await asyncio.sleep(0)
    ending.cancel()
    await asyncio.wait([ending])
    await asyncio.sleep(0.05)

    assert chunks.is_closed

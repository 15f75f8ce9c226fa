"""
What a transfer is when the network is bad: every byte once, or an error that says what happened.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rs3gw_client import AsyncClient, Bearer, Client, Retry, errors

from proof.gateway import Gateway

from .conftest import BUCKET, MIB, QUICK, connect
from .proxy import Weather, between

DATA = random.Random(1).randbytes(12 * MIB)  # noqa: S311  # the same in every run


@pytest.fixture(scope="module")
def key(gateway: Gateway) -> str:
    with connect(gateway) as client:
        client.put(BUCKET, "large", DATA)
    return "large"


def test_a_read_that_breaks_eight_times_has_every_byte_once(gateway: Gateway, key: str) -> None:
    with (
        between(gateway.target, Weather(cut_down_after=MIB + MIB // 3)) as proxy,
        connect(gateway, proxy.target) as client,
    ):
        pieces = list(client.get(BUCKET, key))

    assert b"".join(pieces) == DATA
    assert proxy.cut >= 8


def test_a_read_on_a_loop_goes_on_where_it_broke(gateway: Gateway, key: str) -> None:
    async def read(target: str) -> bytes:
        credentials = Bearer(gateway.access_key, gateway.secret_key)
        async with AsyncClient(target, credentials=credentials, ways=QUICK, checks_health=False) as client:
            return await client.read(BUCKET, key)

    with between(gateway.target, Weather(cut_down_after=2 * MIB)) as proxy:
        found = asyncio.run(read(proxy.target))

    assert found == DATA
    assert proxy.cut >= 5


def test_a_download_is_read_in_pieces_of_any_size_in_threads_and_on_a_loop(gateway: Gateway, key: str) -> None:
    sizes = [1, MIB // 3, 0, 4 * MIB, 5]

    async def on_a_loop() -> list[bytes]:
        credentials = Bearer(gateway.access_key, gateway.secret_key)
        async with (
            AsyncClient(gateway.target, credentials=credentials) as client,
            await client.get(BUCKET, key) as download,
        ):
            return [await download.read(size) for size in sizes] + [await download.read(), await download.read(1)]

    with connect(gateway) as client, client.get(BUCKET, key) as download:
        in_threads = [download.read(size) for size in sizes] + [download.read(), download.read(1)]

    assert [*sizes, len(DATA) - sum(sizes), 0] == [len(piece) for piece in in_threads]
    assert b"".join(in_threads) == DATA
    assert asyncio.run(on_a_loop()) == in_threads


def test_a_read_whose_object_is_replaced_meanwhile_is_an_error_and_no_mixture(gateway: Gateway) -> None:
    with between(gateway.target, Weather(cut_down_after=MIB)) as proxy, connect(gateway, proxy.target) as client:
        with connect(gateway) as other:
            other.put(BUCKET, "replaced", DATA[: 4 * MIB])
            download = client.get(BUCKET, "replaced")
            first = next(download)
            other.put(BUCKET, "replaced", DATA[4 * MIB : 8 * MIB])

        with pytest.raises(errors.ObjectReplaced):
            download.read()
    assert DATA.startswith(first)


def test_a_connection_that_falls_silent_is_left_and_the_read_goes_on(gateway: Gateway, key: str) -> None:
    impatient = replace(QUICK, stall_seconds=0.5)
    with (
        between(gateway.target, Weather(stall_down_after=3 * MIB)) as proxy,
        connect(gateway, proxy.target, impatient) as client,
    ):
        assert client.read(BUCKET, key) == DATA

    assert proxy.connections >= 2


def test_a_call_without_an_answer_is_over_in_its_time_and_the_next_one_has_a_connection_of_its_own(
    gateway: Gateway, key: str
) -> None:
    impatient = replace(QUICK, call_seconds=0.5)
    with (
        between(gateway.target, Weather(stall_down_after=0)) as proxy,
        connect(gateway, proxy.target, impatient) as client,
    ):
        with pytest.raises(errors.TimedOut):
            client.head(BUCKET, key)

        assert client.head(BUCKET, key).size == len(DATA)
    assert proxy.connections == 2


def test_streams_one_after_another_are_watched_by_one_thread(client: Client) -> None:
    """A thread for each, or one that is never told that it may go, would fill a process that only ever reads."""
    client.put(BUCKET, "tiny", b"tiny")
    most = 0
    for _ in range(50):
        client.read(BUCKET, "tiny")
        most = max(most, sum(thread.name == "rs3gw-watch" for thread in threading.enumerate()))

    assert most == 1


@pytest.mark.parametrize("size", [1, 5 * MIB])
def test_a_refusal_that_overtakes_the_upload_is_heard_on_a_loop_too(gateway: Gateway, size: int) -> None:
    async def put() -> None:
        credentials = Bearer(gateway.access_key, gateway.secret_key)
        async with AsyncClient(gateway.target, credentials=credentials, ways=QUICK) as client:
            for _ in range(10):
                with pytest.raises(errors.NoSuchBucket):
                    await client.put("nowhere", "key", DATA[:size])

    asyncio.run(put())


def test_nobody_who_answers_is_an_error_in_the_time_that_retries_take(gateway: Gateway) -> None:
    began = time.monotonic()
    with connect(gateway, "127.0.0.1:1") as client, pytest.raises(errors.Unreachable):
        client.read(BUCKET, "any")

    assert time.monotonic() - began < 5


def test_an_upload_sends_again_the_parts_that_broke(gateway: Gateway) -> None:
    # More than a part goes up before a connection ends, so each takes something with it.
    weather = Weather(cut_up_after=7 * MIB, cuts=3)
    with (
        between(gateway.target, weather) as proxy,
        connect(gateway, proxy.target, replace(QUICK, parallel=2)) as client,
    ):
        stored = client.put(BUCKET, "uploaded", DATA * 3)

    with connect(gateway) as direct:
        assert direct.read(BUCKET, "uploaded") == DATA * 3
        assert not direct.call("ListMultipartUploads", bucket=BUCKET, prefix="uploaded").uploads
    assert stored.size == 3 * len(DATA)
    assert proxy.cut == 3


def test_a_small_write_that_broke_is_made_again(gateway: Gateway) -> None:
    with between(gateway.target, Weather(cut_up_after=MIB, cuts=2)) as proxy, connect(gateway, proxy.target) as client:
        client.put(BUCKET, "small", DATA[: 3 * MIB])

        assert client.read(BUCKET, "small") == DATA[: 3 * MIB]
    assert proxy.cut == 2


def test_a_write_that_insists_is_not_made_again_when_it_broke(gateway: Gateway) -> None:
    """It may have been done, and the second attempt would be refused because of the first."""
    with (
        between(gateway.target, Weather(cut_up_after=MIB, cuts=1)) as proxy,
        connect(gateway, proxy.target) as client,
        pytest.raises(errors.Unreachable),
    ):
        client.put(BUCKET, "insisting", DATA[: 3 * MIB], if_none_match="*")


def test_connections_that_overtake_each_other_change_nothing(gateway: Gateway, key: str, tmp_path: Path) -> None:
    weather = Weather(hold_seconds=(0.4, 0.0, 0.2), cut_down_after=3 * MIB)
    with between(gateway.target, weather) as proxy, connect(gateway, proxy.target) as client:
        client.download(BUCKET, key, tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == DATA


def test_a_download_goes_on_from_what_is_there(gateway: Gateway, key: str, tmp_path: Path) -> None:
    path, impatient = tmp_path / "file", replace(QUICK, retry=Retry(attempts=1), parallel=1)
    with (
        between(gateway.target, Weather(cut_down_after=6 * MIB)) as proxy,
        connect(gateway, proxy.target, impatient) as client,
        pytest.raises(errors.Unreachable),
    ):
        client.download(BUCKET, key, path, resume=True)
    with between(gateway.target, Weather()) as proxy, connect(gateway, proxy.target) as client:
        assert not path.exists()
        client.download(BUCKET, key, path, resume=True)

    assert path.read_bytes() == DATA
    assert proxy.down_bytes < 8 * MIB
    assert list(tmp_path.iterdir()) == [path]


def test_a_note_that_was_cut_off_is_not_read_as_one_and_not_gone_on_with(
    gateway: Gateway, key: str, tmp_path: Path
) -> None:
    """A zero behind a number that lost the end of its line is another number, and that range would be missing."""
    notes, impatient = tmp_path / "file.part.ranges", replace(QUICK, retry=Retry(attempts=1), parallel=1)

    def attempt() -> None:
        with (
            between(gateway.target, Weather(cut_down_after=6 * MIB)) as proxy,
            connect(gateway, proxy.target, impatient) as client,
            pytest.raises(errors.Unreachable),
        ):
            client.download(BUCKET, key, tmp_path / "file", resume=True)

    attempt()
    head, *_ = notes.read_text().split("\n")
    notes.write_text(f"{head}\n0\n5242880")
    attempt()

    assert [head, "0", "5242880", ""] == notes.read_text().split("\n")


def test_an_upload_goes_on_from_what_the_server_has(gateway: Gateway, tmp_path: Path) -> None:
    path, impatient = tmp_path / "file", replace(QUICK, retry=Retry(attempts=1), parallel=1)
    path.write_bytes(DATA)
    with (
        between(gateway.target, Weather(cut_up_after=6 * MIB)) as proxy,
        connect(gateway, proxy.target, impatient) as client,
        pytest.raises(errors.Unreachable),
    ):
        client.upload(path, BUCKET, "continued", resume=True)
    with between(gateway.target, Weather()) as proxy, connect(gateway, proxy.target) as client:
        client.upload(path, BUCKET, "continued", resume=True)

        assert client.read(BUCKET, "continued") == DATA
        assert not client.call("ListMultipartUploads", bucket=BUCKET, prefix="continued").uploads
    assert proxy.up_bytes < 8 * MIB


def test_a_file_that_changed_since_is_sent_as_it_is_now(gateway: Gateway, client: Client, tmp_path: Path) -> None:
    path, impatient = tmp_path / "file", replace(QUICK, retry=Retry(attempts=1), parallel=1)
    path.write_bytes(DATA)
    with (
        between(gateway.target, Weather(cut_up_after=6 * MIB)) as proxy,
        connect(gateway, proxy.target, impatient) as far,
        pytest.raises(errors.Unreachable),
    ):
        far.upload(path, BUCKET, "changed", resume=True)
    path.write_bytes(DATA[::-1])
    client.upload(path, BUCKET, "changed", resume=True)

    assert client.read(BUCKET, "changed") == DATA[::-1]


def test_what_does_not_arrive_leaves_no_file(gateway: Gateway, key: str, tmp_path: Path) -> None:
    impatient = replace(QUICK, retry=Retry(attempts=1))
    with (
        between(gateway.target, Weather(cut_down_after=6 * MIB)) as proxy,
        connect(gateway, proxy.target, impatient) as client,
        pytest.raises(errors.Unreachable),
    ):
        client.download(BUCKET, key, tmp_path / "file")

    assert list(tmp_path.iterdir()) == []

"""
What the machine itself needs for the work that no gateway can leave out: ``python -m loadtests.limits``.

A PUT of 1 MiB cannot be faster than its MD5, and a durable one not faster than an fsync; an answer is never nearer than
a round trip over loopback.  These stand beside the figures, so that a reader can tell a slow gateway from a slow
machine.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import statistics
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.page import Page, Section, Table

MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Limit:
    """A piece of work: its median time, and the time that one in a hundred takes longer than."""

    work: str
    p50_ms: float
    p99_ms: float
    bytes: int | None

    @property
    def mib_per_second(self) -> float | None:
        return None if self.bytes is None else self.bytes / MIB / (self.p50_ms / 1000)


def measure(directory: Path, *, times: int) -> list[Limit]:
    """All limits; ``directory`` is on the disk that a storage root would be on."""
    body = os.urandom(MIB)
    found = [
        _limit("MD5 of 1 MiB", lambda: hashlib.md5(body, usedforsecurity=False), times, MIB),
        _limit("SHA-256 of 1 MiB", lambda: hashlib.sha256(body), times, MIB),
        _limit("HMAC-SHA-256 of 200 bytes", lambda: hmac.digest(b"key", body[:200], "sha256"), times),
        _limit("CRC-32 of 1 MiB", lambda: zlib.crc32(body), times, MIB),
        _limit("copy of 1 MiB in memory", lambda: bytearray(body), times, MIB),
        _limit("write of 1 MiB into the page cache", _kept(directory, body, syncs=False), times, MIB),
        _limit("write and fsync of 1 MiB, a new file", _kept(directory, body, syncs=True), times, MIB),
    ]
    with _appended(directory) as append:
        found.append(_limit("append and fdatasync of 4 KiB, one file", append, times, 4096))
    found.append(_limit("10,000 turns of a loop in Python", _turns, times))
    with _echo() as trip:
        found.append(_limit("round trip of 1 byte over loopback", lambda: trip(b"x"), times))
        found.append(_limit("round trip of 1 MiB over loopback, there and back", lambda: trip(body), times, 2 * MIB))
    return found


def page(limits: list[Limit], *, times: int, beside: Sequence[str] = ()) -> Page:
    """The page of limits; ``beside`` names what is measured after them in the same run."""
    rows = [(each.work, each.p50_ms * 1000, each.p99_ms * 1000, each.mib_per_second) for each in limits]
    return Page(
        title="What the machine itself needs",
        text="Measured in one thread, without any gateway"
        + (f", at the beginning of the run of {', '.join(beside)}.\n" if beside else ".\n")
        + f"Each is done {times} times.",
        sections=[Section(heading="Limits", table=Table(("work", "p50, µs", "p99, µs", "MiB/s"), rows))],
    )


def _limit(work: str, do: Callable[[], object], times: int, size: int | None = None) -> Limit:
    for _ in range(3):
        do()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        do()
        taken.append((time.perf_counter() - began) * 1000)
    return Limit(work, statistics.median(taken), sorted(taken)[int(times * 0.99)], size)


def _turns() -> int:
    """What an interpreter does: how it was built counts for a third of it, whatever its version."""
    sum_of_turns = 0
    for turn in range(10_000):
        sum_of_turns += turn
    return sum_of_turns


def _kept(directory: Path, body: bytes, *, syncs: bool) -> Callable[[], None]:
    def keep() -> None:
        path = directory / "limit"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(file, body)
        if syncs:
            os.fsync(file)
        os.close(file)
        path.unlink()

    return keep


@contextmanager
def _appended(directory: Path) -> Iterator[Callable[[], None]]:
    with open(directory / "log", "ab", buffering=0) as file:

        def append() -> None:
            file.write(bytes(4096))
            os.fdatasync(file.fileno())

        yield append


@contextmanager
def _echo() -> Iterator[Callable[[bytes], None]]:
    """A peer that sends everything back, in a thread that waits in the kernel."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    for each in (ours, theirs):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def answer() -> None:
        while data := theirs.recv(MIB):
            theirs.sendall(data)

    def trip(body: bytes) -> None:
        # In pieces, so that neither side waits for the other's buffer to empty.
        for at in range(0, len(body), 64 * 1024):
            piece = body[at : at + 64 * 1024]
            ours.sendall(piece)
            left = len(piece)
            while left:
                left -= len(ours.recv(left))

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield trip
    finally:
        ours.shutdown(socket.SHUT_WR)
        thread.join()
        ours.close()
        theirs.close()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="rs3gw-limits-") as directory:
        found = page(measure(Path(directory), times=200), times=200)
    assert found.sections[0].table is not None
    print(found.sections[0].table.markdown())


if __name__ == "__main__":
    main()

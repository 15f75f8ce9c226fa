"""
A disk that is full refuses, and loses nothing.

A root on a small file system of its own is filled over both protocols by several writers at once until each of them is
refused.  Every refusal is InsufficientStorage and nothing else, and leaves nothing; meanwhile what was acknowledged is
read, listed, copied and deleted.  Then a foreign file takes what is left to the last byte, the room that is kept for
the index too, so that SQLite itself has none: what is asked then is carried out or refused with the same error, and
reads go on.  The server is killed and started again like that.  When the foreign file is gone, everything that was
acknowledged is there and nothing else is; what is deleted gives its room back at once, and writing goes on.  A scrub
finds nothing at any of these points.

It mounts a tmpfs, for which it has to be root on Linux; where it is not, it says so and shows nothing.
"""

from __future__ import annotations

import http.client
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from proof.clients import Client, Grpc, Refused, Rest
from proof.gateway import Gateway
from proof.run import Run

BUCKET: Final = "full"
FULL: Final = "InsufficientStorage"
MIB: Final = 1024**2
QUICK_MIB, FULL_MIB = 56, 96
"""The size of the file system; the server keeps back 32 MiB of it (engine.store.RESERVE_BYTES)."""

WRITERS: Final = 4
PREFIXES: Final = (*(f"{writer}/{digit}" for writer in range(WRITERS) for digit in range(10)), "copy/", "change/")
PAGE_KEYS: Final = 1000
ENOUGH_REFUSALS: Final = 12
"""In a row, of every size: a writer has filled what it can."""

PART_BYTES: Final = 5 * MIB
FREED_SECONDS: Final = 10.0
"""Within which the room of what was deleted is back: files go just after the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one round came to: bytes, and calls."""

    stored: int
    carried_out: int
    refused: int
    started: bool
    free: int
    again: int


@dataclass(slots=True)
class Known:
    """What was acknowledged: the bodies by key, and what calls came to."""

    run: Run
    bodies: dict[str, bytes] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)

    def ask(self, call: Callable[[], object]) -> bool:
        """Whether a call was carried out; the only refusal there may be is that of a full disk."""
        try:
            call()
        except Refused as refusal:
            self.run.must(refusal.code == FULL, f"a full disk is called {refusal.code}")
            self.outcomes["refused"] += 1
            return False
        self.outcomes["carried out"] += 1
        return True

    def put(self, client: Client, key: str, body: bytes) -> bool:
        done = self.ask(lambda: client.put(key, body, "w"))
        if done:
            self.bodies[key] = body
        return done

    def join(self, client: Client, key: str, body: bytes) -> bool:
        """Put an object in two parts; an upload that cannot be ended is aborted."""
        upload_id = ""
        etags: list[str] = []

        def create() -> None:
            nonlocal upload_id
            upload_id = client.create_upload(key, "w")

        def send(number: int, part: bytes) -> None:
            etags.append(client.upload_part(key, upload_id, number, part))

        if not self.ask(create):
            return False
        done = (
            self.ask(lambda: send(1, body[:PART_BYTES]))
            and self.ask(lambda: send(2, body[PART_BYTES:]))
            and self.ask(lambda: client.complete(key, upload_id, etags))
        )
        if done:
            self.bodies[key] = body
        else:
            self.run.must(self.ask(lambda: client.abort(key, upload_id)), "an upload cannot be aborted on a full disk")
        return done

    def copy(self, client: Client, source: str, key: str) -> None:
        etag = client.head(source).etag
        if self.ask(lambda: client.copy(source, key, "w", source_if_match=etag)):
            self.bodies[key] = self.bodies[source]

    def delete(self, client: Client, key: str) -> bool:
        done = self.ask(lambda: client.delete(key))
        if done:
            del self.bodies[key]
        return done


def prove(run: Run) -> None:
    with run.directory() as directory:
        place = directory / "disk"
        place.mkdir()
        size = run.pick(QUICK_MIB, FULL_MIB)
        if os.geteuid() != 0 or subprocess.run(_mount(place, size), capture_output=True, check=False).returncode:
            run.say("off: it takes root to mount a file system")
            run.figure("off", "it takes root to mount a file system")
            return
        try:
            rounds = run.pick(1, 8)
            seen = []
            for number in range(rounds):
                run.progress(number, rounds, "rounds")
                seen.append(_once(run, place, number))
        finally:
            subprocess.run(["umount", "--lazy", str(place)], check=False)
    of = f"of {size} MiB, the least of {rounds} rounds"
    run.figure("stored when writes are refused", min(each.stored for each in seen) / MIB, "MiB", of)
    run.figure("calls without a byte left: carried out", sum(each.carried_out for each in seen))
    run.figure("calls without a byte left: refused", sum(each.refused for each in seen), note=f"all with {FULL}")
    run.figure("starts without a byte left", sum(each.started for each in seen), note="the others say that it is full")
    run.figure("free after deleting everything", min(each.free for each in seen) / MIB, "MiB", of)
    run.figure("stored when it is full again", min(each.again for each in seen) / MIB, "MiB", of)
    run.figure("acknowledged objects lost or changed", 0, note="every one is read over both protocols at six points")


def _mount(place: Path, size_mib: int) -> list[str]:
    return ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(place)]


def _once(run: Run, place: Path, number: int) -> Seen:
    root, log = place / "root", place.parent / "log"
    numbers = run.random("once", number)
    workers = numbers.choice(("1", "2"))
    known = Known(run)
    with Gateway(root, settings={"RS3GW_WORKERS": workers}, log=log) as gateway:
        Rest(gateway, BUCKET).create_bucket()
        _fill(gateway, known, number)
        stored = sum(map(len, known.bodies.values()))
        run.must(_readiness(gateway) == 503, "a server without room says that it is ready")
        _audit(gateway, known, "when it is full")
        for _ in range(len(known.bodies) // 4):
            run.must(_delete_one(gateway, known, numbers), "a delete is refused though room is kept for it")
        _change(gateway, known, numbers, run.pick(20, 60))
        _audit(gateway, known, "after copies and deletes on a full disk")

        with _taken(place / "foreign"):
            known.outcomes.clear()
            _change(gateway, known, numbers, run.pick(100, 400))
            outcomes = Counter(known.outcomes)
            _audit(gateway, known, "without a byte left")
            gateway.kill()
            log.write_text("")
            started = _starts(gateway)
            run.must(started or "the disk is full" in log.read_text(), f"a start is refused with {log.read_text()!r}")
            if started:
                _audit(gateway, known, "started without a byte left")
        if not started:
            gateway.start()
        _audit(gateway, known, "when there is room again")
        run.must(_readiness(gateway) == 200, "a server that has room again is not ready")
        run.must(_is_sound(root), "a scrub finds damage after the disk was full")
        free = _empty(run, gateway, known, place)
        _fill(gateway, known, number)
        _audit(gateway, known, "when it is full again")
        again = sum(map(len, known.bodies.values()))
        run.must(again > 0.8 * stored, "less can be stored than before")
    shutil.rmtree(root)
    return Seen(
        stored=stored,
        carried_out=outcomes["carried out"],
        refused=outcomes["refused"],
        started=started,
        free=free,
        again=again,
    )


def _fill(gateway: Gateway, known: Known, number: int) -> None:
    """Write with several writers until each of them is refused."""

    def write(writer: int) -> Known:
        numbers = known.run.random("fill", number, writer, len(known.bodies))
        client: Client = Rest(gateway, BUCKET) if writer % 2 else Grpc(gateway, BUCKET)
        mine = Known(known.run)
        refusals = 0
        while refusals < ENOUGH_REFUSALS:
            key, kind = f"{writer}/{numbers.randrange(10**9)}", numbers.random()
            if kind < 0.1:
                done = mine.join(client, key, numbers.randbytes(PART_BYTES + 100_000))
            else:
                done = mine.put(client, key, numbers.randbytes(numbers.randrange(20_000 if kind < 0.6 else MIB)))
            refusals = 0 if done else refusals + 1
        return mine

    with ThreadPoolExecutor(WRITERS) as pool:
        for mine in pool.map(write, range(WRITERS)):
            known.bodies |= mine.bodies
            known.outcomes += mine.outcomes


def _clients(gateway: Gateway) -> tuple[Client, Client]:
    return Rest(gateway, BUCKET), Grpc(gateway, BUCKET)


def _delete_one(gateway: Gateway, known: Known, numbers: random.Random) -> bool:
    key = numbers.choice(sorted(known.bodies))
    return known.delete(numbers.choice(_clients(gateway)), key)


def _change(gateway: Gateway, known: Known, numbers: random.Random, calls: int) -> None:
    """Ask for deletes, copies and small and large puts, over both protocols."""
    clients = _clients(gateway)
    for number in range(calls):
        client, key = numbers.choice(clients), numbers.choice(sorted(known.bodies))
        kind = numbers.randrange(4)
        if kind == 0:
            known.delete(client, key)
        elif kind == 1:
            known.copy(client, key, f"copy/{number}/{key}")
        else:
            known.put(client, f"change/{number}", numbers.randbytes(numbers.choice((0, 10, 9_000, 200_000))))


def _audit(gateway: Gateway, known: Known, when: str) -> None:
    """Everything that was acknowledged is listed and read, over both protocols, and nothing else is."""
    for client in _clients(gateway):
        listed = _listed(client)
        known.run.must(listed == known.bodies.keys(), f"{when} the list has {len(listed)}, not {len(known.bodies)}")
        for key, body in known.bodies.items():
            known.run.must(client.get(key).body == body, f"{when} {key} is read otherwise over {client.protocol}")


def _listed(client: Client) -> set[str]:
    """Every key; a page would not hold all of them, so they are asked for by their first letters."""
    found: set[str] = set()
    for prefix in PREFIXES:
        page = client.list(prefix)
        assert len(page) < PAGE_KEYS, prefix
        found |= page.keys()
    return found


@contextmanager
def _taken(foreign: Path) -> Iterator[None]:
    """All that is left of the file system, taken by somebody else."""
    file = os.open(foreign, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for size in (MIB, 4096, 1):
            with suppress(OSError):
                while os.write(file, b"x" * size):
                    pass
        yield
    finally:
        os.close(file)
        foreign.unlink()


def _starts(gateway: Gateway) -> bool:
    """Whether it serves; a start that is refused ends by itself."""
    try:
        gateway.start()
    except RuntimeError:
        return False
    return True


def _readiness(gateway: Gateway) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.rest_port)
    connection.request("GET", "/-/ready")
    status = connection.getresponse().status
    connection.close()
    return status


def _is_sound(root: Path) -> bool:
    command = [sys.executable, "-m", "rs3gw", "scrub", "--storage-root", str(root), "--rate", "0"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _empty(run: Run, gateway: Gateway, known: Known, place: Path) -> int:
    """Delete everything; the room that is back."""
    client = Rest(gateway, BUCKET)
    for key in sorted(known.bodies):
        run.must(known.delete(client, key), "a delete is refused though there is room")
    blobs = place / "root" / "blobs"
    deadline = time.monotonic() + FREED_SECONDS
    while left := sum(path.stat().st_size for path in blobs.rglob("*") if path.is_file()):
        run.must(time.monotonic() < deadline, f"{left} bytes of deleted blobs are still there")
        time.sleep(0.05)
    return shutil.disk_usage(place).free

"""
What a disk does to stored bytes is found, and nobody is given a wrong object for a right one.

Objects of every kind are written over both protocols: small ones that stand in the index, larger ones in blobs, objects
of several parts, copies that share blobs, parts of uploads that go on.  Then, behind the server's back, single bits of
blob files are flipped, files are cut short and removed, and single bits of content are flipped in the pages of the
index.  Shown is that a scrub names every object that was hit, through the blobs that it shares too, and no other, with
and without a server beside it and from inside the server; that reading a damaged object whole is refused or broken off
over both protocols and never answered with other bytes; that all other objects are read as they were; and that after
damaged objects are put again and damaged uploads aborted, a scrub finds nothing.

Reads of ranges that do not cover a blob are not compared with anything, and not part of the claim.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw

from proof.clients import Client, Grpc, Refused, Rest, Unanswered
from proof.gateway import Gateway
from proof.run import Run

BUCKET: Final = "rot"
PART_BYTES: Final = 5 * 1024**2
"""The least that a part may have that is not the last."""

INLINE_BYTES: Final = 32 * 1024
SCRUB_SECONDS: Final = 120.0
"""After which a scrub inside the server counts as not done."""

PROBE_BYTES: Final = 24
"""Of content are looked for in the pages of the index: nothing else has them."""


_METRIC = re.compile(r"^rs3gw_scrub_(\w+) (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Victim:
    """A place to damage: a blob's file, or content in the index, of the object that holds it."""

    key: str
    blob: str | None


def prove(run: Run) -> None:
    with run.directory() as directory:
        root = directory / "root"
        bodies, uploads = _write(run, root)
        victims = _victims(run, root)
        damages, hit = _damage(run, root, victims, bodies)
        run.figure("objects", len(bodies), note=f"and {len(uploads)} uploads under way")
        run.figure("damages made", damages.total(), note=", ".join(f"{count} {how}" for how, count in damages.items()))
        run.figure("objects and parts hit", len(hit), note="a damaged blob hits all that share it")

        report = _scrub(run, root, hit, "without a server")
        run.figure("found by scrub", len(report["damaged"]))
        run.figure("scrub rate", report["bytes"] / 1e6 / max(report["seconds"], 1e-3), "MB/s", "one process, unbounded")
        workers = run.random("workers").choice(("1", "2"))
        with Gateway(root, settings={"RS3GW_SCRUB_RATE": "8GiB", "RS3GW_WORKERS": workers}) as gateway:
            _scrub(run, root, hit, "beside a server")
            _counted(run, gateway, len(hit))
            _read(run, gateway, bodies, hit)
            _mend(gateway, bodies, uploads, hit)
            _scrub(run, root, set(), "after all was put again")


def _write(run: Run, root: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """Objects and uploads: the bodies by key, and the upload ids by key."""
    numbers = run.random("bodies")
    bodies: dict[str, bytes] = {}
    uploads: dict[str, str] = {}
    with Gateway(root) as gateway:
        clients: list[Client] = [Rest(gateway, BUCKET), Grpc(gateway, BUCKET)]
        clients[0].create_bucket()
        small, large, joined, open_ = (run.pick(*sizes) for sizes in ((30, 1000), (20, 500), (1, 12), (2, 20)))
        for number in range(small):
            key = f"small/{number}"
            bodies[key] = numbers.randbytes(numbers.randrange(64, INLINE_BYTES + 1))
            numbers.choice(clients).put(key, bodies[key], "w")
        for number in range(large):
            key = f"large/{number}"
            most = numbers.choice((64 * 1024, 1024**2, 5 * 1024**2))
            bodies[key] = numbers.randbytes(numbers.randrange(INLINE_BYTES + 1, most))
            numbers.choice(clients).put(key, bodies[key], "w")
        for number in range(joined):
            key, client = f"joined/{number}", numbers.choice(clients)
            parts = [numbers.randbytes(PART_BYTES), numbers.randbytes(PART_BYTES + number), numbers.randbytes(70_000)]
            upload_id = client.create_upload(key, "w")
            etags = [client.upload_part(key, upload_id, place, part) for place, part in enumerate(parts, 1)]
            client.complete(key, upload_id, etags)
            bodies[key] = b"".join(parts)
        for source in numbers.sample(sorted(bodies), len(bodies) // 5):
            key, client = f"copy/{source}", numbers.choice(clients)
            client.copy(source, key, "w", source_if_match=client.head(source).etag)
            bodies[key] = bodies[source]
        for number in range(open_):
            key, client = f"open/{number}", numbers.choice(clients)
            uploads[key] = client.create_upload(key, "w")
            client.upload_part(key, uploads[key], 1, numbers.randbytes(100_000))
    return bodies, uploads


def _index(root: Path) -> apsw.Connection:
    return apsw.Connection(str(root / "index.db"))


def _sharers(root: Path) -> dict[str, set[str]]:
    """The keys of the objects and uploads that name a blob, by blob; asked of the index without the engine."""
    found: dict[str, set[str]] = {}
    connection = _index(root)
    rows = connection.execute(
        "SELECT key, extents FROM objects WHERE extents IS NOT NULL"
        " UNION ALL SELECT key, extents FROM parts JOIN uploads USING (upload_id)"
    )
    for key, extents in rows:
        for blob, _, _ in json.loads(str(extents)):
            found.setdefault(blob, set()).add(str(key))
    connection.close()
    return found


def _victims(run: Run, root: Path) -> list[Victim]:
    """A fifth of everything that holds bytes, of every kind at least two."""
    numbers = run.random("victims")
    sharers = _sharers(root)
    blobs = [Victim(min(keys), blob) for blob, keys in sorted(sharers.items())]
    connection = _index(root)
    keys = [str(key) for (key,) in connection.execute("SELECT key FROM objects WHERE inline NOT NULL ORDER BY key")]
    connection.close()
    # A copy of content in the index has the same bytes at another place: neither is damaged alone.
    inline = [Victim(key, None) for key in keys if not key.startswith("copy/") and f"copy/{key}" not in keys]
    return [victim for kind in (blobs, inline) for victim in numbers.sample(kind, max(2, len(kind) // 5))]


def _damage(run: Run, root: Path, victims: list[Victim], bodies: dict[str, bytes]) -> tuple[Counter[str], set[str]]:
    """What was done, and whom it hit."""
    numbers = run.random("damage")
    sharers = _sharers(root)
    done: Counter[str] = Counter()
    hit: set[str] = set()
    for victim in victims:
        if victim.blob is None:
            _flip_in_index(root, bodies[victim.key], numbers)
            done["bits flipped in the index"] += 1
            hit.add(victim.key)
            continue
        path = root / "blobs" / victim.blob[:2] / victim.blob
        how = numbers.choice(("bits flipped in blobs", "bits flipped in blobs", "blobs cut short", "blobs removed"))
        if how == "blobs removed":
            path.unlink()
        elif how == "blobs cut short":
            os.truncate(path, numbers.randrange(path.stat().st_size))
        else:
            _flip(path, numbers.randrange(path.stat().st_size), numbers.randrange(8))
        done[how] += 1
        hit |= sharers[victim.blob]
    return done, hit


def _flip(path: Path, offset: int, bit: int) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))


def _flip_in_index(root: Path, body: bytes, numbers: random.Random) -> None:
    """
    Flip a bit of content where it stands in the file of the index, and wherever else a split page left it behind.

    A run that crosses the end of a page is not found, and another is tried.
    """
    path = root / "index.db"
    pages = path.read_bytes()
    places: list[int] = []
    while not places:
        at = numbers.randrange(len(body) - PROBE_BYTES)
        places = [found.start() for found in re.finditer(re.escape(body[at : at + PROBE_BYTES]), pages)]
    byte, bit = numbers.randrange(PROBE_BYTES), numbers.randrange(8)
    for place in places:
        _flip(path, place + byte, bit)


def _scrub(run: Run, root: Path, hit: set[str], when: str) -> dict[str, Any]:
    """Scrub, and compare what it names with what was hit; its report."""
    command = [sys.executable, "-m", "rs3gw", "scrub", "--storage-root", str(root), "--rate", "0", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    run.must(ended.returncode == (1 if hit else 0), f"{when} a scrub ended with {ended.returncode}: {ended.stderr}")
    report: dict[str, Any] = json.loads(ended.stdout)
    named = {str(damage["key"]) for damage in report["damaged"]}
    run.must(not hit - named, f"{when} a scrub passes over {sorted(hit - named)[:3]}")
    run.must(not named - hit, f"{when} a scrub calls {sorted(named - hit)[:3]} damaged, which nobody touched")
    return report


def _counted(run: Run, gateway: Gateway, count: int) -> None:
    """The server's own scrub, as its metrics tell it."""
    deadline = time.monotonic() + SCRUB_SECONDS
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.rest_port)
        connection.request("GET", "/-/metrics")
        said = dict(_METRIC.findall(connection.getresponse().read().decode()))
        connection.close()
        if float(said["last_pass_timestamp_seconds"]):
            break
        run.must(time.monotonic() < deadline, f"the server did not end a scrub within {SCRUB_SECONDS:.0f} s")
        time.sleep(0.1)
    run.must(float(said["damaged"]) == count, f"the server counts {said['damaged']} damaged, not {count}")


def _read(run: Run, gateway: Gateway, bodies: Mapping[str, bytes], hit: set[str]) -> None:
    """Read everything over both protocols."""
    clients: list[Client] = [Rest(gateway, BUCKET), Grpc(gateway, BUCKET)]
    outcomes: Counter[str] = Counter()
    for done, (key, body) in enumerate(sorted(bodies.items())):
        run.progress(done, len(bodies), "objects read")
        for client in clients:
            outcome = _outcome(client, key, body)
            outcomes[outcome] += 1
            expected = ("refused", "broken off") if key in hit else ("right",)
            run.must(outcome in expected, f"{client.protocol} answered {key} with {outcome}, not {expected[0]}")
    run.figure("reads of damaged objects refused", outcomes["refused"], note="DamagedObject, over both protocols")
    run.figure("reads of damaged objects broken off", outcomes["broken off"], note="before the last byte of a blob")
    run.figure("reads of other objects", outcomes["right"], note="all as they were")
    run.figure("wrong objects served", outcomes["other bytes"])


def _outcome(client: Client, key: str, body: bytes) -> str:
    try:
        return "right" if client.get(key).body == body else "other bytes"
    except Refused as refusal:
        return "refused" if refusal.code == "DamagedObject" else refusal.code
    except Unanswered:
        return "broken off"


def _mend(gateway: Gateway, bodies: Mapping[str, bytes], uploads: Mapping[str, str], hit: set[str]) -> None:
    """Put again what was damaged, over what is there and after deleting it."""
    rest, rpc = Rest(gateway, BUCKET), Grpc(gateway, BUCKET)
    for number, key in enumerate(sorted(hit)):
        if key in uploads:
            rest.abort(key, uploads[key])
            continue
        if number % 2:
            rest.delete(key)
        rpc.put(key, bodies[key], "w")

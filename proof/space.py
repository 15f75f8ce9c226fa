"""
What is stored takes the room that it needs, and what is not takes none.

Clients on both protocols overwrite, delete, copy, upload in parts, replace parts, abort and complete, for a long time,
and every round of it ends with SIGKILL in the middle.  After each start the sweep has the rest of the round away: the
files of blobs are then exactly those that records name, byte for byte, and each is counted by the index as often as
records name it.  The index follows what it holds: it keeps room for a quarter more, and the rest goes back to the file
system.  At the end everything is deleted: no byte of a blob is left.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from proof.clients import Client, Grpc, Refused, Rest, Unanswered, Unasked
from proof.gateway import Gateway
from proof.run import Run

BUCKET: Final = "space"
MIB: Final = 1024**2
PART_BYTES: Final = 5 * MIB
WRITERS: Final = 4
KEYS: Final = 40
"""A writer has so many, so that most of what it writes takes the place of something."""

SWEPT_SECONDS: Final = 30.0
"""After a start, within which what the crash left behind is gone."""

SAMPLE_SECONDS: Final = 0.25
INDEX_SLACK_BYTES: Final = 8 * MIB
"""What the index may keep besides a third more than it uses: the least that it keeps free, and one commit's worth."""

DELETED_AT_ONCE: Final = 100

PLOT: Final = Path("docs/benchmarks/space.svg")


@dataclass(frozen=True, slots=True)
class Sample:
    """The room that a root needs and takes at a moment, in bytes."""

    seconds: float
    live: int
    blobs: int
    index: int
    log: int


def prove(run: Run) -> None:
    samples: list[Sample] = []
    asked: Counter[str] = Counter()
    with run.directory() as directory:
        root = directory / "root"
        gateway = Gateway(root, settings={"RS3GW_WORKERS": run.random("workers").choice(("1", "2"))})
        rounds = run.pick(2, 12)
        left, swept = 0, 0.0
        gateway.start()
        Rest(gateway, BUCKET).create_bucket()
        began = time.monotonic()
        with _sampled(root, samples, began):
            for number in range(rounds):
                run.progress(number, rounds, "rounds")
                asked += _write(run, gateway, number)
                left += sum(_files(root).values()) - _live(root)
                gateway.start()
                swept = max(swept, _await_sweep(run, root))
                _judge_counts(run, root)
        gateway.stop()
        used, index = _index_pages(root)
        run.figure("live bytes", _live(root) / MIB, "MiB", "in blobs, after the last round")
        run.figure("bytes of blobs on the disk", sum(_files(root).values()) / MIB, "MiB")
        run.figure("index in use", used / MIB, "MiB")
        run.figure("index on the disk", index / MIB, "MiB", "after its log is folded into it")
        run.must(index <= used * 4 / 3 + INDEX_SLACK_BYTES, f"the index takes {index} bytes for {used}")

        gateway.start()
        with _sampled(root, samples, began):
            _swell(run, gateway)
            _empty(gateway)
            _await_sweep(run, root)
            run.must(not _files(root), "blobs are left where every object is deleted")
        gateway.stop()
        used, index = _index_pages(root)
        run.figure("index when all is deleted", index / MIB, "MiB")
        run.must(index <= used * 4 / 3 + INDEX_SLACK_BYTES, f"the empty index takes {index} bytes")
        run.figure("calls", asked.total(), note=", ".join(f"{count:,} {what}" for what, count in sorted(asked.items())))
        run.figure("kills", rounds)
        run.figure("bytes that kills left behind", left / MIB, "MiB", "not named by any record; none after the sweep")
        run.figure("longest sweep after a start", swept, "s")
        run.figure("most bytes on the disk", max(each.blobs + each.index + each.log for each in samples) / MIB, "MiB")
    if not run.is_quick:
        PLOT.write_text(plot(samples))


# What is asked -----------------------------------------------------------------------------------------------


def _write(run: Run, gateway: Gateway, number: int) -> Counter[str]:
    """One round of all writers, ended by SIGKILL; what was carried out."""
    seconds = run.random("round", number).uniform(*((0.6, 1.0) if run.is_quick else (8, 20)))
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(_writer, run, gateway, number, writer) for writer in range(WRITERS)]
        time.sleep(seconds)
        gateway.kill()
        done: Counter[str] = Counter()
        for each in writers:
            done += each.result()
    return done


def _writer(run: Run, gateway: Gateway, number: int, writer: int) -> Counter[str]:
    """Ask until nobody answers."""
    numbers = run.random("writer", number, writer)
    client: Client = Rest(gateway, BUCKET) if writer % 2 else Grpc(gateway, BUCKET)
    done: Counter[str] = Counter()
    try:
        while True:
            key, what = f"{writer}/{numbers.randrange(KEYS)}", numbers.choices(*zip(*_MIX, strict=True))[0]
            try:
                _ask(client, what, key, numbers)
                done[what] += 1
            except Refused as refusal:
                # What is to be copied may not be there.
                run.must(refusal.code == "NoSuchKey", f"{what} of {key} is refused with {refusal.code}")
    except (Unanswered, Unasked):
        return done


_MIX: Final = (("small puts", 40), ("large puts", 25), ("deletes", 20), ("copies", 15), ("uploads", 4), ("aborts", 4))


def _ask(client: Client, what: str, key: str, numbers: random.Random) -> None:
    if what == "small puts":
        client.put(key, numbers.randbytes(numbers.randrange(32 * 1024)), "w")
    elif what == "large puts":
        client.put(key, numbers.randbytes(numbers.randrange(32 * 1024, 2 * MIB)), "w")
    elif what == "deletes":
        client.delete(key)
    elif what == "copies":
        source = f"{key.split('/')[0]}/{numbers.randrange(KEYS)}"
        if source != key:
            client.copy(source, key, "w", source_if_match=client.head(source).etag)
    else:
        upload_id = client.create_upload(key, "w")
        parts = [numbers.randbytes(PART_BYTES), numbers.randbytes(50_000)]
        etags = [client.upload_part(key, upload_id, place, part) for place, part in enumerate(parts, 1)]
        etags[1] = client.upload_part(key, upload_id, 2, numbers.randbytes(60_000))
        if what == "aborts":
            client.abort(key, upload_id)
        else:
            client.complete(key, upload_id, etags)


def _swell(run: Run, gateway: Gateway) -> None:
    """Let the index grow by many small objects, and delete them."""
    count = run.pick(500, 20_000)
    keys = [f"swell/{number}" for number in range(count)]

    def put(writer: int) -> None:
        numbers = run.random("swell", writer)
        client: Client = Rest(gateway, BUCKET) if writer % 2 else Grpc(gateway, BUCKET)
        for key in keys[writer::WRITERS]:
            client.put(key, numbers.randbytes(16_000), "w")

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(put, range(WRITERS)))
    full = _index_bytes(gateway.root)
    clients: tuple[Client, Client] = (Rest(gateway, BUCKET), Grpc(gateway, BUCKET))
    for place, at in enumerate(range(0, count, DELETED_AT_ONCE)):
        clients[place % 2].delete_many(keys[at : at + DELETED_AT_ONCE])
    run.figure(f"index and its log with {count:,} small objects more", full / MIB, "MiB")
    run.figure("index and its log when they are deleted", _index_bytes(gateway.root) / MIB, "MiB", "the server runs on")


def _empty(gateway: Gateway) -> None:
    client = Rest(gateway, BUCKET)
    for writer in range(WRITERS):
        for number in range(KEYS):
            client.delete(f"{writer}/{number}")
    # Uploads that a kill cut off go on for whoever knows them, and can be found.
    for upload_id, key in client.list_uploads().items():
        client.abort(key, upload_id)


# What is there -----------------------------------------------------------------------------------------------


def _files(root: Path) -> dict[str, int]:
    """The bytes of every blob's file, by name."""
    found = {}
    for path in (root / "blobs").glob("*/*"):
        try:
            found[path.name] = path.stat().st_size
        except FileNotFoundError:
            continue
    return found


def _ask_index(root: Path, query: str) -> list[tuple[apsw.SQLiteValue, ...]]:
    connection = apsw.Connection(str(root / "index.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.set_busy_timeout(10_000)
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def _named(root: Path) -> Counter[str]:
    """How many extents name each blob, counted from the records."""
    rows = _ask_index(root, "SELECT extents FROM objects WHERE extents IS NOT NULL UNION ALL SELECT extents FROM parts")
    return Counter(blob for (extents,) in rows for blob, _, _ in json.loads(str(extents)))


def _live(root: Path) -> int:
    """The bytes of all blobs that records name."""
    return int(str(_ask_index(root, "SELECT coalesce(sum(size), 0) FROM blobs")[0][0]))


def _await_sweep(run: Run, root: Path) -> float:
    """Wait until the files are those that records name; the seconds that it took."""
    began = time.monotonic()
    while True:
        needed = {str(blob): size for blob, size in _ask_index(root, "SELECT id, size FROM blobs")}
        found = _files(root)
        if found == needed:
            return time.monotonic() - began
        run.must(not needed.keys() - found.keys(), "a blob that a record names has no file")
        run.must(time.monotonic() - began < SWEPT_SECONDS, f"{len(found) - len(needed)} files that nobody names stay")
        time.sleep(0.05)


def _judge_counts(run: Run, root: Path) -> None:
    counted = {str(blob): named for blob, named in _ask_index(root, "SELECT id, named FROM blobs")}
    run.must(counted == dict(_named(root)), "the index counts a blob's names otherwise than its records have them")


def _index_bytes(root: Path) -> int:
    return sum(path.stat().st_size for path in root.glob("index.db*"))


def _index_pages(root: Path) -> tuple[int, int]:
    """The bytes of a stopped root's index that are in use, and those of its file."""
    # Of two processes that stop at once neither may be the last, which folds the log into the file.
    connection = apsw.Connection(str(root / "index.db"))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    ((pages,),), ((free,),) = _ask_index(root, "PRAGMA page_count"), _ask_index(root, "PRAGMA freelist_count")
    return (int(str(pages)) - int(str(free))) * 4096, (root / "index.db").stat().st_size


# Over time ---------------------------------------------------------------------------------------------------


@contextmanager
def _sampled(root: Path, samples: list[Sample], began: float) -> Iterator[None]:
    """Look at the root a few times a second meanwhile."""
    ended = threading.Event()

    def size(name: str) -> int:
        path = root / name
        return path.stat().st_size if path.exists() else 0

    def look() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            blobs = sum(_files(root).values())
            samples.append(Sample(time.monotonic() - began, _live(root), blobs, size("index.db"), size("index.db-wal")))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


WIDTH, HEIGHT, MARGIN = 720, 260, 48


def plot(samples: Sequence[Sample]) -> str:
    """What is live and what is on the disk over time, as SVG."""
    # More than one point a pixel shows nothing more.
    samples = samples[:: max(1, len(samples) // (WIDTH - 2 * MARGIN))]
    seconds = max(each.seconds for each in samples)
    most = max(each.blobs + each.index + each.log for each in samples)

    def line(values: Sequence[int], colour: str, name: str, place: int) -> str:
        points = " ".join(
            f"{MARGIN + each.seconds / seconds * (WIDTH - 2 * MARGIN):.1f},"
            f"{HEIGHT - MARGIN - value / most * (HEIGHT - 2 * MARGIN):.1f}"
            for each, value in zip(samples, values, strict=True)
        )
        return (
            f'<polyline fill="none" stroke="{colour}" stroke-width="1.2" points="{points}"/>'
            f'<text x="{MARGIN + place}" y="{MARGIN - 24}" fill="{colour}">{name}</text>'
        )

    lines = [
        line([each.blobs + each.index + each.log for each in samples], "#b04a3a", "on the disk", 0),
        line([each.blobs for each in samples], "#c79a2e", "blobs on the disk", 110),
        line([each.live for each in samples], "#2f6f9f", "live, in blobs", 250),
    ]
    axis = (
        f'<path d="M{MARGIN},{MARGIN} V{HEIGHT - MARGIN} H{WIDTH - MARGIN}" fill="none" stroke="#888"/>'
        f'<text x="{MARGIN - 6}" y="{MARGIN + 4}" text-anchor="end">{most / MIB:.0f} MiB</text>'
        f'<text x="{MARGIN - 6}" y="{HEIGHT - MARGIN}" text-anchor="end">0</text>'
        f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - MARGIN + 18}" text-anchor="end">{seconds:.0f} s</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-16 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="#555">\n{axis}\n' + "\n".join(lines) + "\n</svg>\n"
    )

"""
What a program does with files, by two file systems of fsspec in turns: run by ``loadtests.suites.fsspec``.

It runs in .state/data, where both of them are and .venv is not: nothing is imported but them.  A first turn, which does
not count, compares what each has read with what was written; after it the sizes are compared.  Which of the two goes
first changes with every turn.

    python -m loadtests.files < {"options": {"rs3gw": {…}, "s3": {…}}, "turns": 7, "large_bytes": …, "share": 1}
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

KIB, MIB = 1024, 1024**2
BUCKET = "files"
KEYS = 1000
ROWS, COLUMNS = 1_000_000, 8
BLOCK_BYTES = 8 * MIB
"""What both are told to read ahead where they are told alike."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is timed, done so often in a turn, and what it must come to."""

    name: str
    times: int
    do: Callable[[str, Any], object]
    expected: object = None
    prove: Callable[[Any], bool] | None = None
    """Whether a file system gives the very bytes, where ``do`` gives their number only."""


def main() -> None:
    asked = json.load(sys.stdin)
    import fsspec

    systems = {name: fsspec.filesystem(name, **options) for name, options in asked["options"].items()}
    table_bytes = fill(systems["rs3gw"], asked["large_bytes"])
    taken: dict[str, dict[str, list[float]]] = {}
    todo = works(asked["options"], asked["large_bytes"], asked["share"])
    for turn in range(asked["turns"] + 1):
        order = list(systems) if turn % 2 else list(reversed(systems))
        for work in todo:
            for name in order:
                seconds = timed(work, name, systems[name])
                if not turn and work.prove is not None and not work.prove(systems[name]):
                    raise ValueError(f"{work.name}, {name}: other bytes than were written")
                if turn:
                    taken.setdefault(work.name, {}).setdefault(name, []).append(seconds)
        print(f"  turn {turn} of {asked['turns']}", file=sys.stderr, flush=True)
    names = ("fsspec", "s3fs", "aiobotocore", "pandas", "pyarrow", "grpcio")
    versions = {name: importlib.metadata.version(name) for name in names}
    json.dump({"taken": taken, "versions": versions, "table_bytes": table_bytes}, sys.stdout)


def timed(work: Work, name: str, files: Any) -> float:
    """Seconds for one of them.  Raises ValueError where it came to something else than it must."""
    began = time.perf_counter()
    for _ in range(work.times):
        found = work.do(name, files)
    seconds = (time.perf_counter() - began) / work.times
    if work.expected is not None and found != work.expected:
        raise ValueError(f"{work.name}, {name}: another result than what was written")
    return seconds


def fill(files: Any, large_bytes: int) -> int:
    """Write what is read, the same for both; the size of the table."""
    import numpy
    import pyarrow
    import pyarrow.parquet

    files.mkdir(BUCKET)
    files.pipe({f"{BUCKET}/many/{number:04}": content(number) for number in range(KEYS)})
    files.pipe_file(f"{BUCKET}/one", bytes_of(MIB))
    with files.open(f"{BUCKET}/large", "wb") as target:
        for at in range(0, large_bytes, MIB):
            target.write(bytes_of(MIB, at))
    noise = numpy.random.default_rng(1)
    table = pyarrow.table({f"c{number}": noise.normal(size=ROWS) for number in range(COLUMNS)})
    with files.open(f"{BUCKET}/table.parquet", "wb") as target:
        pyarrow.parquet.write_table(table, target, row_group_size=ROWS // 8)
    return int(files.size(f"{BUCKET}/table.parquet"))


def content(number: int) -> bytes:
    return number.to_bytes(4, "big") * (KIB // 4)


def bytes_of(size: int, seed: int = 0) -> bytes:
    """Bytes that are the same every time and that nothing can make smaller."""
    return random.Random(seed).randbytes(size)


def works(options: dict[str, Any], large_bytes: int, share: int) -> list[Work]:
    """All of them; with a larger share, fewer times."""
    large, one = f"{BUCKET}/large", f"{BUCKET}/one"
    whole = b"".join(bytes_of(MIB, at) for at in range(0, large_bytes, MIB))
    places = random.Random(2)
    starts = [places.randrange(large_bytes - 64 * KIB) for _ in range(100 // share)]
    body, part = bytes_of(MIB), bytes_of(MIB, 3)
    some = {f"{BUCKET}/many/{number:04}": content(number) for number in range(100)}

    def sequential(name: str, **how: Any) -> Work:
        def read(_: str, files: Any) -> int:
            with files.open(large, "rb", **how) as source:
                return sum(len(piece) for piece in iter(lambda: source.read(MIB), b""))

        def prove(files: Any) -> bool:
            with files.open(large, "rb", **how) as source:
                return b"".join(iter(lambda: source.read(MIB), b"")) == whole

        return Work(name, 1, read, large_bytes, prove)

    def write(name: str, files: Any) -> None:
        with files.open(f"{BUCKET}/written-{name}", "wb") as target:
            for _ in range(64):
                target.write(part)

    def seek(name: str, files: Any) -> list[bytes]:
        found = []
        with files.open(large, "rb") as source:
            for start in starts:
                source.seek(start)
                found.append(source.read(64 * KIB))
        return found

    pieces = [whole[start : start + 64 * KIB] for start in starts]

    def column(name: str, files: Any) -> int:
        import pandas

        path = f"{name}://{BUCKET}/table.parquet"
        return len(pandas.read_parquet(path, columns=["c3"], storage_options=options[name]))

    def filtered(name: str, files: Any) -> int:
        import pyarrow.parquet

        found = pyarrow.parquet.read_table(
            f"{BUCKET}/table.parquet", columns=["c1", "c5"], filesystem=files, pre_buffer=True
        )
        return int(found.num_rows)

    return [
        Work("read 1 KiB", 200 // share, lambda _, files: files.cat_file(f"{BUCKET}/many/0007"), content(7)),
        Work("read 1 KiB of 100 keys at once", 10 // min(share, 10), lambda _, files: files.cat(list(some)), some),
        Work("read 1 MiB", 40 // min(share, 40), lambda _, files: files.cat_file(one), body),
        Work("read a large file at once", 1, lambda _, files: files.cat_file(large), whole),
        sequential("read a large file in sequence"),
        sequential("the same, ahead by 8 MiB", block_size=BLOCK_BYTES),
        Work(f"seek and read 64 KiB, {len(starts)} times", 1, seek, pieces),
        Work(
            f"64 KiB of {len(starts)} places at once",
            2,
            lambda _, files: files.cat_ranges([large] * len(starts), starts, [start + 64 * KIB for start in starts]),
            pieces,
        ),
        Work("list 1,000", 10 // min(share, 10), lambda _, files: len(files.ls(f"{BUCKET}/many", refresh=True)), KEYS),
        Work(
            "ask for the size of a file",
            100 // share,
            lambda _, files: files.info(f"{BUCKET}/one", refresh=True)["size"],
            MIB,
        ),
        Work("write 1 KiB", 50 // share, lambda name, files: files.pipe_file(f"{BUCKET}/small-{name}", content(1))),
        Work("write 1 MiB", 20 // share, lambda name, files: files.pipe_file(f"{BUCKET}/one-{name}", body)),
        Work("write 64 MiB, 1 MiB at a time", 1, write),
        Work("a column of 8 of Parquet, by pandas", 1, column, ROWS),
        Work("two columns of 8 of Parquet, by pyarrow", 1, filtered, ROWS),
    ]


if __name__ == "__main__":
    os.environ.setdefault("AWS_CONFIG_FILE", os.devnull)
    main()

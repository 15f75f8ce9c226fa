"""
``rs3gw cp | ls | cat | rm | sync``: files and objects from a shell, over gRPC.

An object is written ``rs3gw://bucket/key`` (``s3://`` means the same), a file as anywhere, standard input or output as
``-``.  Where the gateway is and with which keys is read from the environment (rs3gw_client.channel.from_environment).
What was begun and broke off is continued by the same command.

The exit code is 0 when all was done, 1 when something was not (each is said on standard error, the rest is done), 2
when the command makes no sense, 130 when it was interrupted, and 141 when nobody reads what it prints any more.
"""

from __future__ import annotations

import argparse
import json
import mimetypes
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

from rs3gw_client.client import Client
from rs3gw_client.core import MIB, Ways
from rs3gw_client.errors import Error
from rs3gw_client.objects import Entry, Prefix

SCHEMES: Final = ("rs3gw://", "s3://")
STANDARD: Final = "-"
DONE, FAILED, INTERRUPTED, PIPE_CLOSED = 0, 1, 130, 141
AT_ONCE: Final = 8
"""How many files are under way at once; one that is large has several parts under way besides."""


class Usage(Exception):
    """The command makes no sense, and the sentence says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket and a key, or the beginning of keys."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"rs3gw://{self.bucket}/{self.key}"


def place_of(text: str) -> Place | None:
    """What an address names; None for a file.  Raises Usage for an address without a bucket."""
    for scheme in SCHEMES:
        if text.startswith(scheme):
            bucket, _, key = text.removeprefix(scheme).partition("/")
            if not bucket:
                raise Usage(f"{text} names no bucket")
            return Place(bucket, key)
    return None


@dataclass(frozen=True, slots=True)
class Move:
    """One file or object to be copied, one of the two ends at least an object."""

    source: Path | Place
    target: Path | Place
    size: int
    modified: float


# What is done --------------------------------------------------------------------------------------------------


class Work:
    """What the commands do, with a client, and what became of it."""

    def __init__(self, client: Client, arguments: argparse.Namespace, bar: Bar) -> None:
        self.client, self.arguments, self.bar = client, arguments, bar
        self.failures = 0
        self._lock = threading.Lock()

    def say(self, sentence: str) -> None:
        """A line of what was done."""
        if not self.arguments.quiet:
            with self._lock:
                self.bar.clear()
                print(sentence, flush=True)

    def attempt(self, what: str, act: Callable[[], object]) -> None:
        """Do it, and note where it failed."""
        try:
            act()
        except BrokenPipeError:
            raise  # nobody reads what is printed any more
        except (Error, OSError) as fault:
            with self._lock:
                self.failures += 1
                self.bar.clear()
                print(f"rs3gw: {what}: {fault}", file=sys.stderr, flush=True)

    def all_of(self, moves: Iterable[Move]) -> None:
        """Do all of them, several at once."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for move in moves:
                pool.submit(self.attempt, str(move.source), lambda move=move: self.move(move))  # type: ignore[misc]

    def move(self, move: Move) -> None:
        source, target = move.source, move.target
        self.bar.expect(move.size)
        counted = self.bar.counter()
        if isinstance(source, Path) and isinstance(target, Place):
            kind = self.arguments.content_type or mimetypes.guess_type(source.name)[0]
            metadata = dict(self.arguments.metadata) or None
            self.client.upload(
                source,
                target.bucket,
                target.key,
                content_type=kind,
                metadata=metadata,
                progress=counted,
                resume=True,
            )
        elif isinstance(source, Place) and isinstance(target, Path):
            target.parent.mkdir(parents=True, exist_ok=True)
            info = self.client.download(source.bucket, source.key, target, progress=counted, resume=True)
            # So that a later sync sees that nothing is newer.
            os.utime(target, (info.modified.timestamp(),) * 2)
        elif isinstance(source, Place) and isinstance(target, Place):
            self.client.copy((source.bucket, source.key), target.bucket, target.key)
            counted(move.size, move.size)
        self.say(f"{source} -> {target}")


def copy(work: Work) -> None:
    arguments = work.arguments
    source, target = ends(arguments)
    if source is None:
        assert isinstance(target, Place)
        if not target.key:
            raise Usage("what comes from standard input needs a key")
        counted = work.bar.counter()
        work.attempt(
            str(target),
            lambda: work.client.put(
                target.bucket,
                target.key,
                sys.stdin.buffer,
                content_type=arguments.content_type,
                metadata=dict(arguments.metadata) or None,
                progress=counted,
            ),
        )
    elif target is None:
        assert isinstance(source, Place)
        work.attempt(str(source), lambda: write_out(work.client, source, None))
    elif arguments.recursive:
        work.all_of(moves(work.client, source, target))
    else:
        work.all_of([single(work.client, source, target)])


def ends(arguments: argparse.Namespace) -> tuple[Path | Place | None, Path | Place | None]:
    """Where from and where to; None is standard input or output.  Raises Usage."""
    found = [
        None if text == STANDARD else place_of(text) or Path(text) for text in (arguments.source, arguments.target)
    ]
    if not any(isinstance(each, Place) for each in found):
        raise Usage("one of the two has to be an object: rs3gw://bucket/key")
    if arguments.recursive and None in found:
        raise Usage("standard input and output are one object: -r makes no sense with them")
    return found[0], found[1]


def single(client: Client, source: Path | Place, target: Path | Place) -> Move:
    """One file or object, into a directory or under a prefix where the target ends with a slash or is a directory."""
    if isinstance(source, Path):
        if source.is_dir():
            raise Usage(f"{source} is a directory: -r copies what is in it")
        name, size, modified = source.name, source.stat().st_size, source.stat().st_mtime
    else:
        info = client.head(source.bucket, source.key)
        name, size, modified = PurePosixPath(source.key).name, info.size, info.modified.timestamp()
    if isinstance(target, Path):
        if target.is_dir():
            target = within(target, name)
    elif not target.key or target.key.endswith("/"):
        target = Place(target.bucket, target.key + name)
    return Move(source, target, size, modified)


def moves(client: Client, source: Path | Place, target: Path | Place) -> Iterator[Move]:
    """All that is under a directory or a prefix, each to its own place under the target."""
    for relative, size, modified in inside(client, source):
        yield Move(at(source, relative), at(target, relative), size, modified)


def inside(client: Client, root: Path | Place) -> Iterator[tuple[str, int, float]]:
    """What is under a directory or a prefix: its name from there, its bytes, and when it was changed."""
    if isinstance(root, Path):
        if not root.is_dir():
            raise Usage(f"{root} is no directory")
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.name.endswith((".part", ".part.ranges")):
                yield path.relative_to(root).as_posix(), path.stat().st_size, path.stat().st_mtime
    else:
        prefix = root.key if not root.key or root.key.endswith("/") else f"{root.key}/"
        for entry in client.list(root.bucket, prefix):
            if isinstance(entry, Entry) and not entry.key.endswith("/"):
                yield entry.key.removeprefix(prefix), entry.size, entry.modified.timestamp()


def at(root: Path | Place, relative: str) -> Path | Place:
    """A name from a root."""
    if isinstance(root, Path):
        return within(root, relative)
    return Place(root.bucket, f"{root.key.rstrip('/')}/{relative}" if root.key else relative)


def within(root: Path, relative: str) -> Path:
    """A path under a directory.  Raises Usage for a key that would leave it."""
    path = Path(os.path.normpath(root / relative))
    if path != Path(os.path.normpath(root)) and Path(os.path.normpath(root)) in path.parents:
        return path
    raise Usage(f"the key {relative!r} would be written outside of {root}")


def sync(work: Work) -> None:
    source, target = ends(work.arguments)
    if source is None or target is None:
        raise Usage("sync goes from a directory or a prefix to another")
    if isinstance(target, Path):
        target.mkdir(parents=True, exist_ok=True)
    there = {relative: (size, modified) for relative, size, modified in inside(work.client, target)}
    wanted: list[Move] = []
    kept = set()
    for relative, size, modified in inside(work.client, source):
        kept.add(relative)
        has = there.get(relative)
        # A copy is younger than what it was made of, or, where a file was fetched, as old.
        if has is None or has[0] != size or modified > has[1] + 0.001:
            wanted.append(Move(at(source, relative), at(target, relative), size, modified))
    gone = [at(target, relative) for relative in sorted(there.keys() - kept)] if work.arguments.delete else []
    if work.arguments.dry_run:
        for move in wanted:
            work.say(f"would copy {move.source} -> {move.target}")
        for each in gone:
            work.say(f"would delete {each}")
        return
    work.all_of(wanted)
    remove_all(work, gone)


def remove_all(work: Work, places: Sequence[Path | Place]) -> None:
    for path in (each for each in places if isinstance(each, Path)):
        work.attempt(str(path), path.unlink)
        work.say(f"deleted {path}")
    buckets: dict[str, list[str]] = {}
    for place in (each for each in places if isinstance(each, Place)):
        buckets.setdefault(place.bucket, []).append(place.key)
    for bucket, keys in buckets.items():
        work.attempt(f"rs3gw://{bucket}", lambda bucket=bucket, keys=keys: _delete(work, bucket, keys))  # type: ignore[misc]


def _delete(work: Work, bucket: str, keys: Sequence[str]) -> None:
    failed = {failure.key: failure for failure in work.client.delete_many(bucket, keys)}
    for key in keys:
        if key in failed:
            work.failures += 1
            print(f"rs3gw: {Place(bucket, key)}: {failed[key].code}: {failed[key].message}", file=sys.stderr)
        else:
            work.say(f"deleted {Place(bucket, key)}")


def remove(work: Work) -> None:
    for text in work.arguments.objects:
        place = place_of(text)
        if place is None:
            raise Usage(f"{text} is a file: rm removes objects")
        if work.arguments.recursive:
            batch: list[Path | Place] = []
            for entry in work.client.list(place.bucket, place.key):
                assert isinstance(entry, Entry)
                batch.append(Place(place.bucket, entry.key))
            remove_all(work, batch)
        elif not place.key:
            raise Usage(f"{text} is a bucket: rm -r empties it")
        else:
            # S3 deletes what is not there without a word; a person would like to know.
            work.attempt(str(place), lambda place=place: _remove_one(work, place))  # type: ignore[misc]


def _remove_one(work: Work, place: Place) -> None:
    work.client.head(place.bucket, place.key)
    work.client.delete(place.bucket, place.key)
    work.say(f"deleted {place}")


def show(work: Work) -> None:
    start, end = work.arguments.range or (0, None)
    for text in work.arguments.objects:
        place = place_of(text)
        if place is None:
            raise Usage(f"{text} is a file: cat is for objects")
        work.attempt(str(place), lambda place=place: write_out(work.client, place, (start, end)))  # type: ignore[misc]


def write_out(client: Client, place: Place, bounds: tuple[int, int | None] | None) -> None:
    start, end = bounds or (0, None)
    with client.get(place.bucket, place.key, start=start, end=end) as download:
        for chunk in download:
            sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def listing(work: Work) -> None:
    arguments = work.arguments
    place = place_of(arguments.place) if arguments.place else None
    if place is None and arguments.place:
        raise Usage(f"{arguments.place} is a file: ls lists buckets and objects")
    if place is None:
        for bucket in work.client.buckets():
            row = {"bucket": bucket.name, "created": bucket.created.isoformat()}
            print(
                json.dumps(row) if arguments.json else f"{_moment(bucket.created)}             rs3gw://{bucket.name}/"
            )
        return
    for entry in work.client.list(place.bucket, place.key, delimiter="" if arguments.recursive else "/"):
        if isinstance(entry, Prefix):
            print(
                json.dumps({"prefix": entry.prefix})
                if arguments.json
                else f"{'':19}             {Place(place.bucket, entry.prefix)}"
            )
        elif arguments.json:
            known = {"key": entry.key, "size": entry.size, "etag": entry.etag, "modified": entry.modified.isoformat()}
            print(json.dumps(known))
        else:
            print(f"{_moment(entry.modified)} {entry.size:>12} {Place(place.bucket, entry.key)}")


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


# How it is shown -----------------------------------------------------------------------------------------------


class Bar:
    """How far it is, on one line of a terminal; nothing where there is none."""

    WIDTH = 30
    EVERY_SECONDS = 0.1

    def __init__(self, *, is_shown: bool) -> None:
        self._is_shown = is_shown
        self._lock = threading.Lock()
        self._done = self._expected = 0
        self._began, self._drawn = time.monotonic(), 0.0
        self._length = 0

    def expect(self, size: int) -> None:
        """So many bytes more are to be moved."""
        with self._lock:
            self._expected += size

    def counter(self) -> Callable[[int, int | None], None]:
        """What a transfer tells how far it is."""
        before = 0

        def count(done: int, size: int | None) -> None:
            nonlocal before
            with self._lock:
                self._done += done - before
                before = done
                self._draw()

        return count

    def _draw(self) -> None:
        now = time.monotonic()
        if not self._is_shown or now - self._drawn < self.EVERY_SECONDS:
            return
        self._drawn = now
        share = self._done / self._expected if self._expected else 0.0
        rate = self._done / MIB / max(now - self._began, 0.001)
        filled = round(min(share, 1.0) * self.WIDTH)
        line = f"[{'#' * filled}{'.' * (self.WIDTH - filled)}] {self._done / MIB:.1f} MiB, {rate:.0f} MiB/s"
        self._length = max(self._length, len(line))
        sys.stderr.write(f"\r{line:<{self._length}}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away, for another one."""
        with self._lock:
            if self._length:
                sys.stderr.write(f"\r{'':<{self._length}}\r")
                sys.stderr.flush()
                self._length = 0


# The command line ----------------------------------------------------------------------------------------------


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not name=value")
    return name, value


def _range(text: str) -> tuple[int, int | None]:
    first, dash, last = text.partition("-")
    if not dash or not first.isdecimal() or not (last.isdecimal() or not last):
        raise argparse.ArgumentTypeError(f"{text!r} is not FIRST-LAST in bytes, both included")
    return int(first), int(last) + 1 if last else None


def _mebibytes(text: str) -> int:
    if not text.isdecimal() or not 5 <= int(text) <= 5120:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of MiB from 5 to 5120")
    return int(text) * MIB


def parser(program: str) -> argparse.ArgumentParser:
    """What the arguments are."""
    made = argparse.ArgumentParser(
        prog=program,
        description="Files and objects, over gRPC.  An object is written rs3gw://bucket/key.",
        epilog="The gateway: RS3GW_CLIENT_TARGET (localhost:50051), RS3GW_ACCESS_KEY and RS3GW_SECRET_KEY or AWS's.",
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, act: Callable[[Work], None], meaning: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=meaning, description=meaning)
        added.set_defaults(act=act)
        added.add_argument("--quiet", action="store_true", help="say only what failed")
        added.add_argument("--parallel", type=int, default=4, metavar="N", help="parts of a file at once (4)")
        added.add_argument("--part-size", type=_mebibytes, default=16 * MIB, metavar="MIB", help="of a large file (16)")
        return added

    def storing(added: argparse.ArgumentParser) -> None:
        added.add_argument("--content-type", metavar="TYPE", help="by the file's name if it is not said")
        added.add_argument("--metadata", type=_pair, action="append", default=[], metavar="NAME=VALUE")

    added = command("cp", copy, "Copy a file or an object; what broke off is continued.")
    added.add_argument("source", help="a file, an object, or - for standard input")
    added.add_argument("target", help="a file, a directory, an object, a prefix ending in /, or - for standard output")
    added.add_argument("-r", "--recursive", action="store_true", help="all that is under it")
    storing(added)
    added = command("ls", listing, "List buckets, or what a bucket has under a prefix.")
    added.add_argument("place", nargs="?", help="rs3gw://bucket/prefix; all buckets without it")
    added.add_argument("-r", "--recursive", action="store_true", help="every key, not one level")
    added.add_argument("--json", action="store_true", help="one JSON object a line")
    added = command("cat", show, "Write objects to standard output.")
    added.add_argument("objects", nargs="+", metavar="OBJECT")
    added.add_argument("--range", type=_range, metavar="FIRST-LAST", help="these bytes, both included")
    added = command("rm", remove, "Remove objects.")
    added.add_argument("objects", nargs="+", metavar="OBJECT")
    added.add_argument("-r", "--recursive", action="store_true", help="every key that begins so")
    added = command("sync", sync, "Make a directory or a prefix have what another has.")
    added.add_argument("source")
    added.add_argument("target")
    added.add_argument("--delete", action="store_true", help="remove what the source has not")
    added.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    added.set_defaults(recursive=True)
    storing(added)
    return made


def main(arguments: Sequence[str] | None = None, program: str = "rs3gw-client") -> int:
    """Run a command; the exit code."""
    given = parser(program).parse_args(arguments)
    bar = Bar(is_shown=sys.stderr.isatty() and not given.quiet)
    options: dict[str, Any] = {"ways": Ways(part_bytes=given.part_size, parallel=max(1, given.parallel))}
    try:
        with Client.from_environment(**options) as client:
            work = Work(client, given, bar)
            given.act(work)
            return FAILED if work.failures else DONE
    except Usage as fault:
        print(f"{program}: {fault}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # As every command ends in front of `head`: without a word.  What is still in a buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except (Error, OSError) as fault:
        print(f"{program}: {fault}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"{program}: interrupted; the same command continues what it had begun", file=sys.stderr)
        return INTERRUPTED
    finally:
        bar.clear()


if __name__ == "__main__":
    sys.exit(main())

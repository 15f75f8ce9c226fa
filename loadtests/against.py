"""
Other S3 servers beside this one, in one run and in turns, so that what else the machine does falls on all of them.

    python -m loadtests.against seaweedfs=http://127.0.0.1:8333 --output docs/benchmarks/compare.md

The requests are the same bytes but for the port, signed with the keys of loadtests.gateway, which the others must know
(``scripts/compare`` starts two that do).  Every row is shown, ours lost or won.  Loads go to loopback only.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click
import uvloop

from loadtests.bench import busy, machine
from loadtests.gateway import running
from loadtests.wire import Load, request, send

BUCKET = "compared"
KIB, MIB = 1024, 1024**2
TURNS = 5
OURS = "rs3gw"


@dataclass(frozen=True, slots=True)
class Work:
    """What is compared: requests for a port, over so many connections, and whether a rate or a time is the figure."""

    name: str
    requests: Callable[[int], Sequence[bytes]]
    connections: int
    is_rate: bool

    def figure(self, load: Load) -> float:
        return load.per_second if self.is_rate else load.percentile(0.5) * 1000


def _same(method: str, path: str, count: int, body: bytes = b"", query: str = "") -> Callable[[int], Sequence[bytes]]:
    return lambda port: [request(method, port, path, body, query=query)] * count


def _many(method: str, count: int, body: bytes = b"") -> Callable[[int], Sequence[bytes]]:
    return lambda port: [request(method, port, f"/{BUCKET}/many/{number:04}", body) for number in range(count)]


WORKS = (
    Work("PUT 1 MiB", _same("PUT", f"/{BUCKET}/one", 20, bytes(MIB)), 1, is_rate=False),
    Work("GET 1 MiB", _same("GET", f"/{BUCKET}/one", 40), 1, is_rate=False),
    Work("PUT 1 KiB, 32 connections", _many("PUT", 1000, bytes(KIB)), 32, is_rate=True),
    Work("GET 1 KiB, 32 connections", _many("GET", 1000), 32, is_rate=True),
    Work("LIST 1000", _same("GET", f"/{BUCKET}", 10, query="list-type=2&prefix=many%2F"), 1, is_rate=False),
    Work("PUT 16 MiB, 4 connections", _same("PUT", f"/{BUCKET}/big", 8, bytes(16 * MIB)), 4, is_rate=True),
    Work("GET 16 MiB, 4 connections", _same("GET", f"/{BUCKET}/big", 8), 4, is_rate=True),
)


def measure(ports: dict[str, int]) -> dict[str, dict[str, float]]:
    """The median figure of each server at each work, by the work's name and the server's; none where it fails."""
    for name, port in ports.items():
        uvloop.run(send(port, [request("PUT", port, f"/{BUCKET}")], connections=1))
        print(f"{name}: the bucket is made", file=sys.stderr, flush=True)
    found: dict[str, dict[str, float]] = {}
    for work in WORKS:
        taken: dict[str, list[float]] = {name: [] for name in ports}
        for _ in range(TURNS):
            for name, port in ports.items():
                try:
                    load = uvloop.run(send(port, work.requests(port), connections=work.connections))
                except RuntimeError as refused:
                    print(f"{name}, {work.name}: {str(refused)[:80]!r}", file=sys.stderr, flush=True)
                else:
                    taken[name].append(work.figure(load))
        found[work.name] = {name: statistics.median(figures) for name, figures in taken.items() if figures}
        print(
            work.name,
            {name: round(figure, 2) for name, figure in found[work.name].items()},
            file=sys.stderr,
            flush=True,
        )
    return found


def table(found: dict[str, dict[str, float]]) -> str:
    """The figures, with how many times better (or worse) we are than each."""
    others = [name for name in next(iter(found.values())) if name != OURS]
    head = ["work", OURS, *[column for name in others for column in (name, f"{OURS} is")]]
    lines = [f"| {' | '.join(head)} |", f"| --- | ---: |{' ---: | --- |' * len(others)}"]
    for work in WORKS:
        figures = found[work.name]
        unit = "/s" if work.is_rate else "ms"
        cells = [work.name, f"{figures[OURS]:,.2f} {unit}"]
        for name in others:
            if name not in figures:
                cells += ["fails", ""]
                continue
            ratio = figures[OURS] / figures[name] if work.is_rate else figures[name] / figures[OURS]
            verdict = f"{ratio:.1f} times faster" if ratio >= 1 else f"{1 / ratio:.1f} times SLOWER"
            cells += [f"{figures[name]:,.2f} {unit}", verdict]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


@click.command()
@click.argument("others", nargs=-1, required=True, metavar="NAME=URL…")
@click.option("--durability", type=click.Choice(["strict", "relaxed"]), default="strict", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="Also write the page here.")
@click.option("--note", multiple=True, help="A sentence for the page; may be repeated.")
def main(others: tuple[str, ...], durability: str, output: Path | None, note: tuple[str, ...]) -> None:
    """Measure rs3gw and other S3 endpoints on loopback, in turns."""
    ports = {}
    for each in others:
        found = re.fullmatch(r"([\w.-]+)=(http://.+)", each)
        where = urlsplit(found.group(2)) if found else None
        if found is None or where is None or where.hostname not in ("127.0.0.1", "localhost") or not where.port:
            raise click.UsageError(f"{each}: say NAME=http://127.0.0.1:PORT; loads go to loopback only")
        ports[found.group(1)] = where.port
    with (
        tempfile.TemporaryDirectory(prefix="rs3gw-against-") as place,
        running(Path(place) / "root", durability=durability) as gateway,
    ):
        text = table(measure({OURS: gateway.rest_port, **ports}))
    page = (
        "<!-- Written by scripts/compare. -->\n\n# Beside others\n\n"
        f"rs3gw with durability {durability}, everything on one machine, in turns, the median of {TURNS} turns.\n"
        f"Measured on {machine()}; load average at the end {busy()}.\n\n{text}\n"
        + "".join(f"\n- {sentence}" for sentence in note)
        + ("\n" if note else "")
    )
    print(page)
    if output is not None:
        output.write_text(page)


if __name__ == "__main__":
    main()

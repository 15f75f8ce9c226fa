"""
Other S3 servers beside this one, in one run and in turns, so that what else the machine does falls on all of them.

The requests are the same bytes but for the port, signed with the keys of loadtests.gateway or with those of the
environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), which the others must know: ``scripts/compare`` starts two that
do.  This one stands twice, once with each durability, because others do not wait for the disk.  Every row is shown,
lost or won.  Loads go to loopback only.
"""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

import uvloop

from loadtests.page import Cell, Page, Section, Table, shown
from loadtests.plots import Plot
from loadtests.setting import Setting
from loadtests.wire import Keys, Load, request, send

BUCKET = "compared"
KIB, MIB = 1024, 1024**2
Found = Mapping[str, Mapping[str, float | None]]
"""The median figure by the work's name and the server's; None where a request was refused or not answered."""

STRICT, RELAXED = "rs3gw, strict", "rs3gw, relaxed"


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    keys: Keys


@dataclass(frozen=True, slots=True)
class Work:
    """What is compared: requests to a server, over so many connections, and whether a rate or a time is the figure."""

    name: str
    requests: Callable[[Server], Sequence[bytes]]
    connections: int
    is_rate: bool

    @property
    def unit(self) -> str:
        return "/s" if self.is_rate else "ms"

    def figure(self, load: Load) -> float:
        return load.per_second if self.is_rate else load.percentile(0.5) * 1000


def _same(
    method: str, path: str, count: int, body: bytes = b"", query: str = ""
) -> Callable[[Server], Sequence[bytes]]:
    return lambda server: [request(method, server.port, path, body, query=query, keys=server.keys)] * count


def _many(method: str, count: int, body: bytes = b"", prefix: str = "many") -> Callable[[Server], Sequence[bytes]]:
    return lambda server: [
        request(method, server.port, f"/{BUCKET}/{prefix}/{number:04}", body, keys=server.keys)
        for number in range(count)
    ]


def works(share: int) -> tuple[Work, ...]:
    """All of them, with a share of their requests; those that read come after those that write what is read."""
    return (
        Work("PUT 1 MiB", _same("PUT", f"/{BUCKET}/one", 20 // share, os.urandom(MIB)), 1, is_rate=False),
        Work("GET 1 MiB", _same("GET", f"/{BUCKET}/one", 40 // share), 1, is_rate=False),
        Work("PUT 1 KiB", _many("PUT", 100 // share, bytes(KIB)), 1, is_rate=False),
        Work("GET 1 KiB", _many("GET", 100 // share), 1, is_rate=False),
        Work("PUT 1 KiB, 32 connections", _many("PUT", 1000, bytes(KIB)), 32, is_rate=True),
        Work("GET 1 KiB, 32 connections", _many("GET", 1000), 32, is_rate=True),
        Work("HEAD, 32 connections", _many("HEAD", 1000), 32, is_rate=True),
        Work("LIST of 1,000", _same("GET", f"/{BUCKET}", 10 // share, query="list-type=2&prefix=many%2F"), 1, False),
        Work("PUT 16 MiB, 4 connections", _many("PUT", 8, os.urandom(16 * MIB), "big"), 4, is_rate=True),
        Work("GET 16 MiB, 4 connections", _many("GET", 8, prefix="big"), 4, is_rate=True),
        Work("DELETE, 32 connections", _many("DELETE", 1000), 32, is_rate=True),
    )


def address(said: str) -> tuple[str, int]:
    """The name and the port of NAME=URL.  Raises ValueError for what is not on loopback."""
    found = re.fullmatch(r"([\w.-]+)=(http://.+)", said)
    where = urlsplit(found.group(2)) if found else None
    if found is None or where is None or where.hostname not in ("127.0.0.1", "localhost") or not where.port:
        raise ValueError(f"{said}: say NAME=http://127.0.0.1:PORT; loads go to loopback only")
    return found.group(1), where.port


def measure(setting: Setting, ports: Mapping[str, int], notes: Sequence[str]) -> Page:
    """All works on all servers; ``ports`` are those of the others."""
    asked, turns = works(setting.pick(5, 1)), setting.pick(1, 7)
    theirs = Keys(
        os.environ.get("AWS_ACCESS_KEY_ID", Keys().access_key),
        os.environ.get("AWS_SECRET_ACCESS_KEY", Keys().secret_key),
    )
    with ExitStack() as stack:
        servers = {}
        for name, durability in ((STRICT, "strict"), (RELAXED, "relaxed")):
            root = stack.enter_context(setting.directory()) / "root"
            servers[name] = Server(stack.enter_context(setting.gateway(root, durability=durability)).rest_port, Keys())
        servers |= {name: Server(port, theirs) for name, port in ports.items()}
        found = _turns(setting, servers, asked, turns)
    return Page(
        title="Beside others",
        text=f"The same signed requests to all, on one machine, in turns; each figure is the median of {turns} turns.\n"
        "A ratio above 1 is ours to the good, one below 1 theirs."
        "  What was refused or not answered in any turn *fails*.\n"
        + "".join(f"\n- {note}" for note in (*notes, "rs3gw verifies every signature and every digest that is sent.")),
        sections=[_section(name, asked, found) for name in ports],
    )


def _turns(setting: Setting, servers: Mapping[str, Server], asked: Sequence[Work], turns: int) -> Found:
    for server in servers.values():
        _send(server, [request("PUT", server.port, f"/{BUCKET}", keys=server.keys)], 1)
    taken: dict[str, dict[str, list[float | None]]] = {work.name: {name: [] for name in servers} for work in asked}
    for turn in range(turns):
        # DELETE ends a turn, so that each turn puts new keys.
        for work in asked:
            for name, server in servers.items():
                try:
                    figure = work.figure(_send(server, work.requests(server), work.connections))
                except (RuntimeError, ConnectionError) as fault:
                    setting.say(f"  {work.name}, {name}: {str(fault).splitlines()[0]}")
                    figure = None
                taken[work.name][name].append(figure)
        setting.say(f"  turn {turn + 1} of {turns}")
    return {work: {name: _median(figures) for name, figures in each.items()} for work, each in taken.items()}


def _median(figures: Sequence[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return statistics.median(known) if len(known) == len(figures) else None


def _send(server: Server, wires: Sequence[bytes], connections: int) -> Load:
    return uvloop.run(send(server.port, wires, connections=connections))


def _section(other: str, asked: Sequence[Work], found: Found) -> Section:
    def ratio(work: Work, ours: str) -> float | None:
        mine, theirs = found[work.name][ours], found[work.name][other]
        if mine is None or theirs is None:
            return None
        return mine / theirs if work.is_rate else theirs / mine

    rows: list[tuple[Cell, ...]] = [
        (
            work.name,
            *(_figure(work, found[work.name][name]) for name in (STRICT, RELAXED, other)),
            ratio(work, STRICT),
            ratio(work, RELAXED),
            _verdict(ratio(work, STRICT)),
        )
        for work in asked
    ]
    return Section(
        heading=other,
        table=Table(("work", STRICT, RELAXED, other, "ratio, strict", "ratio, relaxed", "strict against it"), rows),
        plots=[
            Plot(
                name=re.sub(r"\W", "-", other),
                title=f"How many times as fast as {other} (1 is the same)",
                unit="ratio, logarithmic",
                groups=[work.name for work in asked],
                series={name: [ratio(work, name) for work in asked] for name in (STRICT, RELAXED)},
                is_log=True,
                begin=1.0,
            )
        ],
    )


def _figure(work: Work, figure: float | None) -> str:
    return "fails" if figure is None else f"{shown(figure)} {work.unit}"


def _verdict(ratio: float | None) -> str:
    if ratio is None:
        return ""
    if 0.95 < ratio < 1.05:
        return "the same"
    return "faster" if ratio > 1 else "SLOWER"

"""
How fast, at what cost, and against what limits: ``python -m loadtests.bench [SUITE …]``.

Every figure is of a gateway in processes of its own, over loopback, with the durability that stands beside it; the
clients run on the same machine and take their share of the cores.  What the machine itself needs (loadtests.limits) is
measured in the same run, and every page says what else the machine did meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import click

from loadtests import limits
from loadtests.page import Page
from loadtests.setting import Setting
from loadtests.suites import compare, end_to_end, fsspec, operations, reach, scale, serialisation, start
from loadtests.surroundings import Watch

SUITES: dict[str, Callable[[Setting], Page]] = {
    "reach": reach.measure,
    "operations": operations.measure,
    "serialisation": serialisation.measure,
    "end-to-end": end_to_end.measure,
    "fsspec": fsspec.measure,
    "scale": scale.measure,
    "start": start.measure,
}

COMMAND = "python -m loadtests.bench"
BOTH = frozenset(("end-to-end", "compare"))
"""They measure both durabilities, whichever is asked for."""


@click.command()
@click.argument("suites", nargs=-1, type=click.Choice(list(SUITES)), metavar="[SUITE]…")
@click.option("--out", type=click.Path(path_type=Path), default="out/benchmarks", show_default=True)
@click.option("--quick", is_flag=True, help="Less of everything: to see that it runs.")
@click.option("--durability", type=click.Choice(["strict", "relaxed"]), default="strict", show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="RS3GW_WORKERS.")
@click.option(
    "--against",
    multiple=True,
    metavar="NAME=URL",
    help="Another S3 server on loopback, to be measured in turns with this one. Alone, it is all that is measured.",
)
@click.option("--note", multiple=True, help="A sentence for the comparison's page.")
@click.option("--readme", type=click.Path(path_type=Path, exists=True), help="Put the table of reach in here, too.")
def main(
    suites: tuple[str, ...],
    out: Path,
    quick: bool,
    durability: str,
    workers: int,
    against: tuple[str, ...],
    note: tuple[str, ...],
    readme: Path | None,
) -> None:
    """
    Measure, and write a page for each SUITE, all of them if none is named.

    \b
    reach          what has to be reached, in one table
    operations     every operation by size, protocol and clients
    serialisation  protobuf, XML and JSON
    end-to-end     through unmodified clients
    fsspec         rs3gw:// beside s3fs, in an environment of their own
    scale          a million keys beside a thousand
    start          from nothing to the first answer
    """
    try:
        others = dict(compare.address(each) for each in against)
    except ValueError as fault:
        raise click.UsageError(str(fault)) from fault
    setting = Setting(durability=durability, workers=workers, is_quick=quick)
    out.mkdir(parents=True, exist_ok=True)
    times = setting.pick(20, 300)

    def found_limits(setting: Setting) -> Page:
        with setting.directory() as directory:
            return limits.page(limits.measure(directory, times=times), times=times, beside=list(asked))

    asked = {name: SUITES[name] for name in suites or (() if others else SUITES)}
    if others:
        asked["compare"] = lambda setting: compare.measure(setting, others, note)
    measures: dict[str, Callable[[Setting], Page]] = {"limits": found_limits, **asked}
    for name, measure in measures.items():
        setting.say(name)
        watch = Watch()
        page = measure(setting)
        head = watch.head("strict and relaxed" if name in BOTH else durability, workers)
        page.write(out / f"{name}.md", command=COMMAND, surroundings=head)
        click.echo((out / f"{name}.md").read_text())
        if name == "reach" and readme is not None:
            put_into(readme, head, page)
    write_index(out)


def put_into(readme: Path, head: str, page: Page) -> None:
    """Replace what stands between the marks of the figures."""
    table = page.sections[0].table
    assert table is not None
    text = f"{head}\n\n{table.markdown()}\n\n{page.text}"
    marked = re.sub(
        r"(<!-- figures -->\n\n).*?(\n\n<!-- /figures -->)",
        lambda found: found.group(1) + text + found.group(2),
        readme.read_text(),
        flags=re.DOTALL,
    )
    readme.write_text(marked)


PAGES = {
    "limits": "what the machine itself needs, whoever stores: digests, a sync of the disk, a round trip",
    "reach": "what the design has to reach, and whether it does",
    "operations": "each operation by size, protocol and clients: times, rates, CPU, memory, and an empty server beside",
    "serialisation": "protobuf beside XML and JSON: time and bytes",
    "end-to-end": "what users of unmodified clients see: boto3 and Python's gRPC",
    "fsspec": "files: `rs3gw://` beside s3fs, through fsspec, on one gateway and in turns",
    "scale": "a bucket of a million keys beside one of a thousand",
    "start": "from nothing to the first answer, and what is held at rest",
    "profile": "where the gateway's time goes, by layer (`python -m loadtests.profile`)",
    "compare": "other servers beside this one, in turns (`scripts/compare`)",
}


def write_index(out: Path) -> None:
    """The page that says what is in the others, and how each is made again."""
    held = {name: out / f"{name}.md" for name in PAGES}
    lines = [f"- [{name}]({path.name}): {PAGES[name]}." for name, path in held.items() if path.exists()]
    drawn = "\n- [space.svg](space.svg): the room that a root needs and takes over time, drawn by `make proof`."
    (out / "README.md").write_text(
        f"<!-- Written by {COMMAND}. -->\n\n# Benchmarks\n\n"
        + "\n".join(lines)
        + (drawn if (out / "space.svg").exists() else "")
        + f"""

## Again

```sh
make bench                           # every suite, the profile, these pages and the README's table: about 20 minutes
.venv/bin/{COMMAND} operations start # some suites, into out/benchmarks
.venv/bin/{COMMAND} --quick          # less of everything, to see that it runs
.venv/bin/python -m loadtests.profile         # where the time goes
scripts/compare                               # beside SeaweedFS and moto
```

Nothing leaves loopback, nothing stays behind: roots are temporary, every row ends by count or by time.
`--durability relaxed` answers writes before the disk has them; `--workers N` serves with N processes.

## How to read them

The head of each page says which commit was measured, on what, and how much of the cores others had meanwhile: a figure
of a busy machine is a lower bound.
Clients and gateway share the cores, so a rate is of both together; the gateway's own cost is in the columns of CPU.
Who asks is as cheap as we can make it: one thread that sends bytes made before the clock started (`loadtests/wire.py`,
`loadtests/h2wire.py`). Where an unmodified client asks instead, the page says so.
Durability stands beside the figures of writes: *strict* answers once the disk has the bytes and the record.
A ceiling beside a figure is what the client reaches against a server that does nothing; that of gRPC is grpc.aio.
"""
    )


if __name__ == "__main__":
    main()

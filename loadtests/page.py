"""
A page of figures: what a suite gives, and how it is written down.

Numbers keep three digits that mean something and no more, so that a page does not claim to be more exact than a machine
that does other things beside is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.plots import Plot, draw

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head; a column of numbers stands to the right."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def markdown(self) -> str:
        columns = zip(*self.rows, strict=True)
        marks = ("---" if any(isinstance(cell, str) for cell in column) else "---:" for column in columns)
        return "\n".join(
            (_line(self.head), _line(marks), *(_line(shown(cell) for cell in row) for row in self.rows)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading, what has to be said, a table and plots; whatever of it there is."""

    heading: str
    text: str = ""
    table: Table | None = None
    plots: Sequence[Plot] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a suite found."""

    title: str
    text: str
    sections: Sequence[Section]

    def write(self, path: Path, *, command: str, surroundings: str) -> None:
        """Write it and its plots, which are named after it."""
        parts = [f"<!-- Written by {command}. -->", f"# {self.title}", surroundings, self.text]
        for section in self.sections:
            parts += [f"## {section.heading}", section.text, section.table.markdown() if section.table else ""]
            for plot in section.plots:
                drawn = path.with_name(f"{path.stem}-{plot.name}.svg")
                draw(plot, drawn)
                parts.append(f"![{plot.title}]({drawn.name})")
        path.write_text("\n\n".join(part for part in parts if part) + "\n")


def shown(cell: Cell) -> str:
    """A cell as it is read: 0.0123, 1.23, 12.3, 123, 12,300."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int):
        return f"{cell:,}"
    if cell and abs(cell) < 0.0995:
        return f"{cell:.2g}" if abs(cell) >= 0.0001 else f"{cell:.1e}"
    digits = 2 if abs(cell) < 9.95 else 1 if abs(cell) < 99.5 else 0
    return f"{cell:,.{digits}f}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"

"""
Plots as SVG, to be read on a dark page and on a light one: no background, greys and colours that both bear.

Drawn anew from the same figures, a plot is the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INK = "#7d8590"
COLOURS = (
    "#2f81f7",
    "#db6d28",
    "#3fb950",
    "#a371f7",
    "#e5534b",
    "#39c5cf",
    "#d4a72c",
    "#768390",
    "#e275ad",
    "#8cc265",
    "#9e6a03",
    "#1b7c83",
)
ROW_INCHES, WIDTH_INCHES = 0.16, 7.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """
    Bars that lie side by side, one of each series in each group; ``is_stacked`` puts them end to end.

    A figure that is None is left out.  ``is_log`` is for figures that differ by more than a bar can show;
    ``begin`` is where bars begin, to either side: 1, for ratios.
    """

    name: str
    title: str
    unit: str
    groups: Sequence[str]
    series: Mapping[str, Sequence[float | None]]
    is_stacked: bool = False
    is_log: bool = False
    begin: float = 0.0


def draw(plot: Plot, path: Path) -> None:
    """Write it as an SVG file."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    styled: Any = {
        "svg.hashsalt": plot.name,
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
    }
    thick = 1 if plot.is_stacked else len(plot.series)
    with pyplot.rc_context(styled):
        height = 1.1 + ROW_INCHES * len(plot.groups) * (thick + 1)
        figure, axes = pyplot.subplots(figsize=(WIDTH_INCHES, height), layout="constrained")
        lefts = [0.0] * len(plot.groups)
        for number, (name, figures) in enumerate(plot.series.items()):
            widths = [0.0 if figure is None else figure - plot.begin for figure in figures]
            shift = 0.0 if plot.is_stacked else number - (thick - 1) / 2
            axes.barh(
                [row * (thick + 1) + shift for row in range(len(plot.groups))],
                widths,
                height=0.9,
                left=lefts if plot.is_stacked else plot.begin,
                color=COLOURS[number % len(COLOURS)],
                label=name,
            )
            lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
        axes.set_yticks([row * (thick + 1) for row in range(len(plot.groups))], plot.groups)
        axes.invert_yaxis()
        axes.set_xlabel(plot.unit)
        axes.set_title(plot.title, loc="left")
        if plot.is_log:
            axes.set_xscale("log")
        axes.grid(axis="x", color=INK, alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
        if len(plot.series) > 1:
            figure.legend(
                loc="outside lower center", ncols=min(len(plot.series), 4 if len(plot.series) < 9 else 3), frameon=False
            )
        figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)

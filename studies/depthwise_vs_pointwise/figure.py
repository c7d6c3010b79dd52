"""The figure of the study's first page: depthwise - pointwise differences of every network, with their intervals.

    write_differences(pd.read_csv("differences.csv"), pd.read_csv("width.csv"), HERE / "differences")

From the tables alone: no image is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports import figure_style, write_figure
from reports.style import GRID, PAGE_WIDTH, new_figure

FULL, HALF, CONTROL = "#004488", "#88AACC", "#777777"
OFFSET = 0.16
PLACES = ("first layer", "second layer", "third layer", "added up")


def write_differences(differences: pd.DataFrame, width: pd.DataFrame, stem: Path) -> None:
    """STEM.png. differences, width: of one label set."""
    with figure_style():
        write_figure(difference_figure(differences, width), stem)
    stem.with_suffix(".svg").unlink()


def difference_figure(differences: pd.DataFrame, width: pd.DataFrame) -> Figure:
    """A panel for each place of a layer and one for their sum; a row for each network; right of zero depthwise is ahead."""
    networks = list(dict.fromkeys(differences["network"]))
    figure = new_figure(PAGE_WIDTH, 0.9 + 0.19 * len(networks))
    figure.set_layout_engine("constrained")
    axes: Sequence[Axes] = figure.subplots(1, len(PLACES), sharey=True)
    for place, (axis, title) in enumerate(zip(axes, PLACES, strict=True)):
        for row, network in enumerate(networks):
            narrow = width[width["network"] == network]
            colour = CONTROL if "untrained" in network or "rotated" in network else FULL
            if len(narrow):
                _interval(axis, narrow.iloc[place], "half", row + OFFSET, HALF, "s")
            mine = differences[differences["network"] == network].iloc[place]
            _interval(axis, mine, "difference", row - (OFFSET if len(narrow) else 0), colour, "o")
        axis.axvline(0, color="black", linewidth=0.6)
        axis.set_title(title)
        axis.grid(axis="x", color=GRID, linewidth=0.5)
        axis.set_ylim(len(networks) - 0.4, -0.6)
        axis.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(networks)), networks)
    figure.supxlabel("unique detectors at equal numbers of units: depthwise − pointwise", fontsize=7.5)
    names = {"paper's width, or as it comes": (FULL, "o"), "half width": (HALF, "s"), "control": (CONTROL, "o")}
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=3, linewidth=1, label=name)
        for name, (colour, marker) in names.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _interval(axis: Axes, row: pd.Series, name: str, y: float, colour: str, marker: str) -> None:
    axis.plot([row[f"{name}_low"], row[f"{name}_high"]], [y, y], color=colour, linewidth=1.0)
    axis.plot(row[name], y, color=colour, marker=marker, markersize=3)

"""The figures of a comparison. Each function draws into an axis and returns it.

    with figure_style():
        figures = comparison_figures(comparison)          # name to figure

Points are counts on all images, the lines through them their 95 % intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.compare_concept_figures import concept_flows, concept_matrix
from reports.compare_members import ALL, Part
from reports.style import GRID, INK, MUTED, PAGE_WIDTH, fit_text, panel_grid

if TYPE_CHECKING:
    from reports.comparison import Comparison

MEMBER_COLOURS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#777777")
"""Paul Tol's bright scheme; further networks take the colours again with another mark."""
_MARKS = ("o", "s", "D", "^", "v", "P", "X")
STATUS_COLOURS = {"kept": "#228833", "changed": "#CCBB44", "lost": "#BB5566", "gained": "#4477AA"}


STEMS = ("counts", "differences", "concepts", "flows", "units")
"""Of all figures that a comparison may have."""


@dataclass(frozen=True)
class ComparisonFigure:
    """A figure with what stands under it. stem: its files are STEM.png and STEM.svg."""

    stem: str
    caption: str
    alt: str
    figure: Figure


def comparison_figures(comparison: Comparison) -> list[ComparisonFigure]:
    """All figures that the comparison has data for; `figures/STEM` beside its page."""
    first = comparison.titles[0]
    reference = f" minus {first}" if len(comparison.titles) > 2 else f": {comparison.titles[1]} minus {first}"
    found = [
        ComparisonFigure(
            "counts",
            "Unique detectors of each network by layer and operator, with 95 % intervals.",
            "Unique detectors by layer and operator; the same numbers are in the table of counts",
            _count_figure(comparison),
        ),
        ComparisonFigure(
            "differences",
            f"Differences of unique detectors{reference}, with 95 % intervals; hollow: at equal numbers of units, where these "
            "differ. An interval that meets the line at 0 settles nothing.",
            "Differences of unique detectors; the same numbers are in the table of differences",
            _difference_figure(comparison),
        ),
    ]
    if len(comparison.matrix):
        found.append(
            ComparisonFigure(
                "concepts",
                "Detectors of each concept in each network, all layers together.",
                "Detectors of each concept; the same numbers are in the list of concepts",
                concept_matrix(comparison),
            )
        )
        if len(comparison.moves):
            found.append(
                ComparisonFigure(
                    "flows",
                    "How the detectors of the most frequent concepts grow, shrink, come and go from layer to layer.",
                    "Detectors of concepts through the layers; the same numbers are in the list of concepts",
                    concept_flows(comparison),
                )
            )
    if len(comparison.unit_counts):
        found.append(
            ComparisonFigure(
                "units",
                f"Unit beside unit: what became of the units of {first} that are detectors there or in the other network. The "
                "black mark: how many units would keep their concept if the units of each layer were shuffled.",
                "Units that kept, changed, lost or gained a concept; the same numbers are in the table of units",
                _unit_figure(comparison),
            )
        )
    return found


def member_styles(titles: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour and a mark for each network, in their order."""
    n = len(MEMBER_COLOURS)
    return {title: (MEMBER_COLOURS[k % n], _MARKS[k // n % len(_MARKS)]) for k, title in enumerate(titles)}


def count_points(
    axis: Axes, counts: pd.DataFrame, layers: Sequence[str], *, measure: str, styles: Mapping[str, tuple[str, str]]
) -> Axes:
    """A point with its interval for each network and layer. Returns the axis.

    counts: rows of `Comparison.counts`, one for each network and layer. styles: of `member_styles`.
    """
    step = min(0.8 / len(styles), 0.18)
    for k, (title, (colour, mark)) in enumerate(styles.items()):
        mine = counts[counts["network"] == title].set_index("layer")
        here = [layer for layer in layers if layer in mine.index]
        if not here:
            continue
        x = np.array([layers.index(layer) for layer in here]) + (k - (len(styles) - 1) / 2) * step
        values, low, high = (mine.loc[here, f"{measure}{end}"].to_numpy(float) for end in ("", "_low", "_high"))
        with_interval = np.isfinite(low)
        axis.vlines(x[with_interval], low[with_interval], high[with_interval], color=colour, linewidth=1)
        axis.plot(x, values, mark, color=colour, markersize=3.5, label=fit_text(title, 1.8, 7))
    axis.set_xticks(range(len(layers)), [fit_text(layer, 1.2, 7) for layer in layers])
    if max(map(len, layers)) > 6:
        axis.tick_params(axis="x", rotation=90)
    axis.set_xlim(-0.6, len(layers) - 0.4)
    axis.tick_params(axis="x", length=0)
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.grid(axis="y", color=GRID, linewidth=0.5)
    return axis


def difference_points(
    axis: Axes, rows: pd.DataFrame, names: Sequence[str], *, filled: bool = True, shift: float = 0
) -> Axes:
    """A point with its interval for each row of `Comparison.differences`, from top to bottom. Returns the axis."""
    y = np.arange(len(rows)) + shift
    colour = np.where(rows["apart"], INK, MUTED)
    low, high = (rows[end].to_numpy(float) for end in ("low", "high"))
    there = np.isfinite(low)
    axis.axvline(0, color=MUTED, linewidth=0.7)
    axis.hlines(y[there], low[there], high[there], color=colour[there], linewidth=1)
    axis.scatter(
        rows["difference"], y, s=14, facecolor=colour if filled else "white", edgecolor=colour, linewidth=0.8, zorder=3
    )
    axis.set_yticks(range(len(names)), [fit_text(name, 1.9, 7) for name in names])
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=GRID, linewidth=0.5)
    return axis


def unit_bars(axis: Axes, rows: pd.DataFrame, names: Sequence[str]) -> Axes:
    """Kept, changed, lost and gained units of each row of `Comparison.unit_counts`, and kept by chance. Returns the axis."""
    left = np.zeros(len(rows))
    y = np.arange(len(rows))
    for status, colour in STATUS_COLOURS.items():
        values = rows[f"n_{status}"].to_numpy(float)
        axis.barh(y, values, 0.7, left=left, color=colour, label=status)
        for k in np.flatnonzero(values > max(0.04 * rows_width(rows), 1)):
            axis.text(
                left[k] + values[k] / 2, y[k], f"{values[k]:.0f}", ha="center", va="center", size=6, color="white"
            )
        left += values
    axis.vlines(rows["n_kept_by_chance"], y - 0.42, y + 0.42, color="black", linewidth=1.2)
    axis.set_yticks(y, [fit_text(name, 2.4, 7) for name in names])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("units")
    return axis


def rows_width(rows: pd.DataFrame) -> float:
    """The longest bar of `unit_bars`."""
    return float(rows[[f"n_{status}" for status in STATUS_COLOURS]].sum(axis=1).max())


def _count_figure(comparison: Comparison) -> Figure:
    counts = comparison.counts[(comparison.counts["category"] == ALL) & (comparison.counts["layer"] != ALL)]
    operators = list(dict.fromkeys(counts["operator"]))
    styles = member_styles(comparison.titles)
    layers = {operator: list(dict.fromkeys(counts["layer"][counts["operator"] == operator])) for operator in operators}
    longest = max(len(layer) for each in layers.values() for layer in each)
    columns = 1 if max(map(len, layers.values())) * len(styles) > 36 else 2
    rows = -(-len(operators) // columns)
    names = 0 if longest <= 6 else min(1.2, 0.07 * longest)
    legend_rows = -(-len(styles) // 3)
    width = PAGE_WIDTH if len(operators) > 1 else PAGE_WIDTH * 0.6
    height = 0.2 + 0.17 * legend_rows + rows * (2.0 + names)
    figure, axes = panel_grid(len(operators), columns=min(columns, len(operators)), width=width, height=height)
    for axis, operator in zip(axes, operators, strict=True):
        count_points(axis, counts[counts["operator"] == operator], layers[operator], measure="unique", styles=styles)
        axis.set_title(fit_text(operator, 2.5, 8, "bold"))
        axis.set_xlabel("layer")
    top = max(axis.get_ylim()[1] for axis in axes)
    for axis in axes:
        axis.set_ylim(0, top)
    axes[0].set_ylabel("unique detectors")
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper center", ncols=min(len(handles), 3), handlelength=1
    )
    return figure


def _difference_figure(comparison: Comparison) -> Figure:
    first, *others = comparison.titles
    table = comparison.differences
    table = table[(table["category"] == ALL) & (table["a"] == first) & (table["measure"] != "detectors")]
    if len(others) == 1:
        parts = [
            part
            for part in comparison.parts
            if ((table["layer"] == part.layer) & (table["operator"] == part.operator)).any()
        ]
        panels = {"": table}
        names = [part.title for part in parts]
    else:
        wide = [part for part in comparison.parts if part.layer == ALL]
        panels = {_panel(part): table[(table["layer"] == ALL) & (table["operator"] == part.operator)] for part in wide}
        panels = {title: rows for title, rows in panels.items() if len(rows)}
        names = others
    width, height = PAGE_WIDTH if len(panels) > 1 else PAGE_WIDTH * 0.75, 0.75 + 0.27 * len(names)
    figure, axes = panel_grid(len(panels), columns=len(panels), width=width, height=height)
    for k, (axis, (title, rows)) in enumerate(zip(axes, panels.items(), strict=True)):
        here = names if len(others) == 1 else list(dict.fromkeys(rows["b"]))
        whole, equal = (rows[rows["measure"] == measure] for measure in ("unique", "unique_equal"))
        shift = 0.0 if np.allclose(whole["difference"], equal["difference"]) else 0.16
        difference_points(axis, whole, here, shift=-shift)
        if shift:
            difference_points(axis, equal, here, filled=False, shift=shift)
        axis.set_title(title)
        axis.set_xlabel("difference of unique detectors")
        if k and len(here) == len(names):
            axis.set_yticklabels([])
    return figure


def _panel(part: Part) -> str:
    return "all units" if part.operator == ALL else part.operator


def _unit_figure(comparison: Comparison) -> Figure:
    first = comparison.titles[0]
    rows = comparison.unit_counts
    rows = rows[rows["a"] == first] if (rows["a"] == first).any() else rows
    if rows["b"].nunique() > 1:
        sums = ["n_kept", "n_changed", "n_lost", "n_gained", "n_kept_by_chance"]
        rows = rows.groupby(["a", "b", "operator"], sort=False)[sums].sum().reset_index()
        names = [f"{b}, {operator}" for b, operator in zip(rows["b"], rows["operator"], strict=True)]
    else:
        names = [Part(layer, op).title for layer, op in zip(rows["layer"], rows["operator"], strict=True)]
    figure, (axis,) = panel_grid(1, columns=1, width=PAGE_WIDTH * 0.9, height=0.85 + 0.24 * len(rows))
    unit_bars(axis, rows, names)
    figure.legend(loc="outside upper center", ncols=4, handlelength=1)
    return figure

"""Bars: attributes by layer (Figure 6), with 95 % intervals.

    with figure_style():
        axis = attribute_bars(axis, populations, intervals=intervals)    # draws into any axis and returns it
        figure = figure6({"imagenet12": populations}, intervals=intervals)    # one panel for each network

`intervals = intervals_of(run, populations)`. Source: Guo et al. 2019, Figure 6.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from data_prep.common.errors import UserError
from dissect.run_store import Run
from reports.claims import count_intervals
from reports.intervals import Interval
from reports.style import (
    GRID,
    INK,
    MUTED,
    PAGE_WIDTH,
    axis_inches,
    fit_text,
    operator_colours,
    panel_grid,
    text_inches,
)
from reports.summary import Population

Measure = Literal["attributes", "share"]
AXIS_LABEL: dict[Measure, str] = {"attributes": "unique detectors", "share": "detectors, % of units"}
Intervals = Mapping[Population, tuple[Interval, Interval]]
"""Of each population: the intervals of the number of detectors and of unique detectors."""

NAME_INCHES = 1.5
"""Room for the name of a layer under an axis."""


def measure_of(population: Population, measure: Measure) -> float:
    """The height of a population's bar: its number of attributes, or its detectors in percent of its units."""
    return len(population.attributes) if measure == "attributes" else 100 * population.detector_share


def intervals_of(run: Run, pops: Iterable[Population]) -> Intervals:
    """The intervals that figures draw, of populations of this run; none for a run without folds."""
    pops = list(pops)
    found = count_intervals(run, pops)
    return {p: found[p.network, p.layer, p.operator] for p in pops if found}


def bounds_of(population: Population, measure: Measure, intervals: Intervals | None) -> tuple[float, float] | None:
    """Where the interval of `measure_of` ends, never below zero nor above all units; None where there is none."""
    found = (intervals or {}).get(population)
    if found is None:
        return None
    detectors, unique = found
    interval, scale = (unique, 1.0) if measure == "attributes" else (detectors, 100 / max(population.n_units, 1))
    low, high = (scale * min(max(bound, 0), population.n_units) for bound in (interval.low, interval.high))
    return low, high


def highest(pops: Iterable[Population], measure: Measure, intervals: Intervals | None) -> float:
    """The highest value or end of an interval of the populations."""
    return max(max(measure_of(p, measure), (bounds_of(p, measure, intervals) or (0, 0))[1]) for p in pops)


def attribute_bars(
    axis: Axes,
    pops: Sequence[Population],
    measure: Measure = "attributes",
    *,
    colours: Mapping[str, str] | None = None,
    intervals: Intervals | None = None,
) -> Axes:
    """One bar for each population, grouped by layer, coloured by operator, its interval and its value on top.

    measure: what the bars count. colours: a colour for each operator. Returns the axis.
    """
    colours = colours or operator_colours(p.operator for p in pops)
    layers = list(dict.fromkeys(p.layer for p in pops))
    widest = max(sum(p.layer == layer for p in pops) for layer in layers)
    width = 0.76 / max(widest, 2)
    room = width / (len(layers) + 0.2) * axis_inches(axis)[0]
    size, turned = value_type([_value_text(p, measure) for p in pops], room)
    members = [p for layer in layers for p in pops if p.layer == layer]
    places = [
        x + (k - (n - 1) / 2) * width
        for x, n in enumerate(sum(p.layer == layer for p in pops) for layer in layers)
        for k in range(n)
    ]
    heights = [measure_of(p, measure) for p in members]
    axis.bar(places, heights, width * 0.94, color=[colours[p.operator] for p in members], zorder=2)
    ends = [bounds_of(p, measure, intervals) for p in members]
    known = [(x, height, *end) for x, height, end in zip(places, heights, ends, strict=True) if end]
    if known:
        reach = [
            [max(0.0, height - low) for _, height, low, _ in known],
            [max(0.0, high - height) for _, height, _, high in known],
        ]
        axis.errorbar(
            [x for x, *_ in known], [height for _, height, *_ in known], reach,
            fmt="none", ecolor=INK, elinewidth=0.7, capsize=min(2.0, 72 * 0.2 * room), capthick=0.7, zorder=3,
        )  # fmt: skip
    tops = [end[1] if end else height for end, height in zip(ends, heights, strict=True)]
    values = zip(places, tops, (_value_text(p, measure) for p in members), strict=True)
    write_values(axis, values, points=1.5, size=size, rotation=turned)
    name_layers(axis, layers)
    return value_axis(axis, highest(pops, measure, intervals))


def write_values(
    axis: Axes, values: Iterable[tuple[float, float, str]], *, points: float, size: float, rotation: int = 0
) -> None:
    """A text over each bar, given as (x, height, text), so many points above it."""
    above = axis.transData + ScaledTranslation(0, points / 72, axis.figure.dpi_scale_trans)
    for x, height, text in values:
        axis.text(x, height, text, transform=above, ha="center", va="bottom", size=size, rotation=rotation)


def _value_text(population: Population, measure: Measure) -> str:
    value = measure_of(population, measure)
    return f"{value:.0f}" if measure == "attributes" or value == 0 or value >= 10 else f"{value:.1f}"


def value_type(texts: Sequence[str], room: float) -> tuple[float, int]:
    """Size in points and rotation in which every text stands above a bar of `room` inches."""
    for size in (6.5, 5.5):
        if max(text_inches(text, size) for text in texts) + 0.02 <= room:
            return size, 0
    return 5.5, 90


def name_layers(axis: Axes, layers: Sequence[str]) -> None:
    """Layer names under the axis: level, slanted, or upright as their length asks. Names cut to the same get a number."""
    names = [fit_text(layer, NAME_INCHES, 7) for layer in layers]
    if len(set(names)) < len(names):
        names = [f"{k}: {fit_text(layer, NAME_INCHES - 0.2, 7)}" for k, layer in enumerate(layers, 1)]
    axis.set_xticks(range(len(layers)), names)
    axis.set_xlim(-0.6, len(layers) - 0.4)
    longest = max(map(len, names))
    if longest > 12:
        axis.tick_params(axis="x", rotation=90)
    elif longest > 6:
        axis.tick_params(axis="x", rotation=40)
        for label in axis.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    if all(layer.isdigit() for layer in layers):
        axis.set_xlabel("layer")


def value_axis(axis: Axes, top: float, n_ticks: int = 5, room: float = 0.16) -> Axes:
    """Ticks at whole numbers, room for the value above the highest bar, and a scale even where every bar is 0."""
    axis.set_ylim(0, top * (1 + room) if top else 1)
    axis.yaxis.set_major_locator(MaxNLocator(n_ticks, integer=True))
    axis.grid(axis="y", color=GRID, linewidth=0.5)
    axis.tick_params(axis="x", length=0)
    return axis


def figure6(
    panels: Mapping[str, Sequence[Population]], measure: Measure = "attributes", intervals: Intervals | None = None
) -> Figure:
    """Figure 6: one panel for each network, all with one scale.

    panels: title to populations. measure: what the bars count. intervals: drawn as error bars. Raises `UserError` where there
    is no panel.
    """
    if not panels:
        raise UserError("`panels` is empty; give at least one network with its populations.")
    n_bars = max(len(pops) for pops in panels.values())
    columns = 1 if n_bars > 16 else min(len(panels), 3 if n_bars <= 6 and len(panels) > 2 else 2)
    rows = -(-len(panels) // columns)
    operators = list(dict.fromkeys(p.operator for pops in panels.values() for p in pops))
    legend = sum(min(text_inches(name, 7.5), 1.2) + 0.5 for name in operators[:5])
    width = min(PAGE_WIDTH, max(legend, columns * max(2.4, 0.55 + 0.28 * n_bars)))
    names = max(text_inches(p.layer, 7) for pops in panels.values() for p in pops)
    height = 0.4 + rows * (1.95 + min(names, NAME_INCHES))
    figure, axes = panel_grid(len(panels), columns=columns, width=width, height=height)
    colours = operator_colours(p.operator for pops in panels.values() for p in pops)
    top = highest((p for pops in panels.values() for p in pops), measure, intervals)
    for k, (axis, (title, pops)) in enumerate(zip(axes, panels.items(), strict=True)):
        attribute_bars(axis, pops, measure, colours=colours, intervals=intervals)
        value_axis(axis, top).set_title(fit_text(title, width / columns - 0.5, 8, "bold"), y=1)
        if k % columns == 0:
            axis.set_ylabel(AXIS_LABEL[measure])
        if top == 0:
            axis.set_yticks([0, 1])
            axis.text(0.5, 0.5, "no detector in any layer", transform=axis.transAxes, ha="center", color=MUTED)
    handles = [Patch(color=colour, label=fit_text(name, 1.2, 7.5)) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 5), handlelength=1.2)
    return figure

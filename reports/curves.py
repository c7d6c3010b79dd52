"""Curves over all layers, from the first to the last: one line for each operator, one panel for each network.

    with figure_style():
        figure = layer_curves({"ImageNet": populations}, "share", intervals_of(run, populations))

Bands are 95 % intervals (`reports.bars.intervals_of`), where the run has folds. Where Figure 6 has bars for three layers,
this has lines for all; layers must be numbered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from data_prep.common.errors import UserError
from reports.bars import AXIS_LABEL, Intervals, Measure, bounds_of, highest, measure_of
from reports.style import GRID, PAGE_WIDTH, fit_text, operator_colours, panel_grid
from reports.summary import Population

MARKERS = {"depthwise": "o", "pointwise": "s"}


def curve(
    axis: Axes,
    pops: Sequence[Population],
    measure: Measure,
    colours: Mapping[str, str],
    *,
    intervals: Intervals | None = None,
) -> Axes:
    """One line for each operator over the numbers of its layers, in the band of its intervals. Returns the axis."""
    for operator, colour in colours.items():
        members = sorted((p for p in pops if p.operator == operator), key=lambda p: int(p.layer))
        numbers, values = [int(p.layer) for p in members], [measure_of(p, measure) for p in members]
        ends = [bounds_of(p, measure, intervals) for p in members]
        known = [(number, *end) for number, end in zip(numbers, ends, strict=True) if end]
        if known:
            where, low, high = zip(*known, strict=True)
            axis.fill_between(where, low, high, color=colour, alpha=0.2, linewidth=0)
        axis.plot(numbers, values, color=colour, marker=MARKERS.get(operator, "^"), markersize=3, linewidth=1.1)
    numbers = sorted({int(p.layer) for p in pops})
    axis.set_xticks(range(numbers[0], numbers[-1] + 1, max(1, round(len(numbers) / 9))))
    axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.grid(color=GRID, linewidth=0.5)
    return axis


def layer_curves(
    panels: Mapping[str, Sequence[Population]], measure: Measure = "attributes", intervals: Intervals | None = None
) -> Figure:
    """Panels of one scale, two in each row. panels: title to populations, whose layers are numbers. measure: what is drawn.

    intervals: drawn as bands. Raises `UserError` where there is no panel, or a layer that is no number.
    """
    unnumbered = [p.layer for pops in panels.values() for p in pops if not p.layer.isdigit()]
    if unnumbered or not panels:
        found = f"has the layer {unnumbered[0]!r}" if unnumbered else "is empty"
        raise UserError(f"`panels` {found}; a curve needs numbered layers of at least one network.")
    height = 0.35 + 1.75 * -(-len(panels) // 2)
    figure, axes = panel_grid(len(panels), columns=2, width=PAGE_WIDTH, height=height, share_axes=True)
    colours = operator_colours(p.operator for pops in panels.values() for p in pops)
    top = highest((p for pops in panels.values() for p in pops), measure, intervals)
    for k, (axis, (title, pops)) in enumerate(zip(axes, panels.items(), strict=True)):
        curve(axis, pops, measure, colours, intervals=intervals)
        axis.set_title(fit_text(title, PAGE_WIDTH / 2 - 0.5, 8, "bold"))
        axis.set_ylim(0, top * 1.08 if top else 1)
        if k % 2 == 0:
            axis.set_ylabel(AXIS_LABEL[measure])
        if k >= len(panels) - 2:
            axis.set_xlabel("layer")
            axis.tick_params(labelbottom=True)
    handles = [
        Line2D([], [], color=colour, marker=MARKERS.get(name, "^"), markersize=3, linewidth=1.1, label=name)
        for name, colour in colours.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure

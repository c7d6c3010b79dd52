"""A number of every layer, from the first to the last: one line an operator, one panel a network.

    with figure_style():
        figure = layer_curves({"ImageNet": populations(run)}, "attributes")

Where Figure 6 has bars for three layers, this has lines for all; layers must be numbered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports.figures import AXIS_LABEL, Measure, measure_of
from reports.style import GRID, PAGE_WIDTH, fit_text, new_figure, operator_colours
from reports.summary import Population

MARKERS = {"depthwise": "o", "pointwise": "s"}


def curve(axis: Axes, pops: Sequence[Population], measure: Measure, colours: Mapping[str, str]) -> Axes:
    """One line an operator over the numbers of its layers. Returns the axis."""
    for operator, colour in colours.items():
        members = sorted((p for p in pops if p.operator == operator), key=lambda p: int(p.layer))
        numbers, values = [int(p.layer) for p in members], [measure_of(p, measure) for p in members]
        axis.plot(numbers, values, color=colour, marker=MARKERS.get(operator, "^"), markersize=3, linewidth=1.1)
    numbers = sorted({int(p.layer) for p in pops})
    axis.set_xticks(range(numbers[0], numbers[-1] + 1, max(1, round(len(numbers) / 9))))
    axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.grid(color=GRID, linewidth=0.5)
    return axis


def layer_curves(panels: Mapping[str, Sequence[Population]], measure: Measure = "attributes") -> Figure:
    """Panels of one scale (title to populations), two a row; `measure` says what is drawn."""
    rows = -(-len(panels) // 2)
    figure = new_figure(PAGE_WIDTH, 0.35 + 1.75 * rows)
    figure.set_layout_engine("constrained", h_pad=0.06, w_pad=0.06)
    colours = operator_colours(p.operator for pops in panels.values() for p in pops)
    axes = figure.subplots(rows, 2, squeeze=False, sharex=True, sharey=True).ravel()
    top = max(measure_of(p, measure) for pops in panels.values() for p in pops)
    for k, (axis, (title, pops)) in enumerate(zip(axes, panels.items(), strict=False)):
        curve(axis, pops, measure, colours).set_title(fit_text(title, PAGE_WIDTH / 2 - 0.5, 8, "bold"))
        axis.set_ylim(0, top * 1.08 if top else 1)
        if k % 2 == 0:
            axis.set_ylabel(AXIS_LABEL[measure])
        if k >= len(panels) - 2:
            axis.set_xlabel("layer")
            axis.tick_params(labelbottom=True)
    for axis in axes[len(panels) :]:
        axis.remove()
    handles = [
        Line2D([], [], color=colour, marker=MARKERS.get(name, "^"), markersize=3, linewidth=1.1, label=name)
        for name, colour in colours.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure

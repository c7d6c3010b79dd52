"""The frame of a figure with panels laid out in inches: a heading, a legend of colours, and boxes for the panels.

figure = framed("imagenet12", width=7.2, height=5, legend={"object": "#4477AA"})
axis = panel(figure, left=0.4, top=0.5, width=3, height=1)
"""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from reports.style import MUTED, fit_text, new_figure, text_inches

HEADING = 0.24
"""Inches from the top of the figure to its legend."""
_ENTRY, _LINE, _MARGIN = 0.34, 0.16, 0.05


def legend_lines(legend: Mapping[str, str], width: float) -> int:
    """How many lines the legend takes in a figure of that width."""
    return -(-len(legend) // _columns(legend, width)) if legend else 0


def top_of_panels(legend: Mapping[str, str], width: float) -> float:
    """Inches that the heading and the legend take."""
    return HEADING + legend_lines(legend, width) * _LINE + 0.04


def framed(title: str, *, width: float, height: float, legend: Mapping[str, str]) -> Figure:
    """A figure with its heading and, below it, what each colour means."""
    figure = new_figure(width, height)
    heading = fit_text(title, width - 2 * _MARGIN, 8.5, "bold")
    figure.text(_MARGIN / width, 1 - _MARGIN / height, heading, size=8.5, weight="bold", va="top")
    if legend:
        figure.legend(
            handles=[Patch(color=colour, label=_name(name)) for name, colour in legend.items()],
            ncols=_columns(legend, width), handlelength=1, handletextpad=0.5, columnspacing=1.1, labelspacing=0.3,
            loc="upper left", bbox_to_anchor=(_MARGIN / width, 1 - HEADING / height), borderaxespad=0, borderpad=0,
        )  # fmt: skip
    return figure


def panel(figure: Figure, *, left: float, top: float, width: float, height: float) -> Axes:
    """An axis at a place given in inches from the left and upper edge of the figure."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def foot(figure: Figure, text: str) -> None:
    """One line at the foot of the figure, cut to its width."""
    width, height = figure.get_size_inches()
    line = fit_text(text, width - 2 * _MARGIN, 7)
    figure.text(_MARGIN / width, 0.07 / height, line, size=7, color=MUTED)


def _name(name: str) -> str:
    return fit_text(name, 1.3, 7.5)


def _columns(legend: Mapping[str, str], width: float) -> int:
    widest = max(text_inches(_name(name), 7.5) for name in legend) + _ENTRY
    return max(1, min(len(legend), int((width - 2 * _MARGIN) / widest)))

"""Concepts x layers: how many detectors each concept has, as a heat map, for any number of networks and operators.

    with figure_style():
        pages = concept_heatmaps({"imagenet12": populations}, category_colours(categories))    # a list of figures
        axis = heatmap(axis, concept_table(populations, concepts), colours)                    # into any axis

All panels have the same concepts in the same order and one scale. Seaborn draws the cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from data_prep.common.errors import UserError
from reports.concept_bars import LABEL_SIZE, Concept, label_room, not_drawn, top_concepts
from reports.frames import foot, framed, panel, top_of_panels
from reports.style import FAINT, INK, MUTED, PAGE_WIDTH, axis_inches, fit_text, operator_colours, text_inches
from reports.summary import Population

_ROW, _FOOT, _GAP, _STRIP = 0.127, 0.5, 0.1, 0.055  # inches
_WIDEST_CELL, _NARROWEST_CELL, _NAME_INCHES = 0.32, 0.1, 0.9
_SWATCH = 0.1


def concept_table(pops: Sequence[Population], concepts: Sequence[Concept]) -> pd.DataFrame:
    """Detectors of each concept in each population: rows are concepts, columns are (network, operator, layer)."""
    columns = pd.MultiIndex.from_tuples([(p.network, p.operator, p.layer) for p in pops])
    counts = [[p.detectors_per_concept[c] for p in pops] for c in concepts]
    return pd.DataFrame(counts, index=pd.MultiIndex.from_tuples(concepts), columns=columns)


def heatmap(
    axis: Axes,
    table: pd.DataFrame,
    colours: Mapping[str, str],
    *,
    top: int | None = None,
    label_inches: float = 1.1,
    numbers: bool | None = None,
) -> Axes:
    """A count in each cell, by colour and, where there is room, in digits; a blank cell is a zero. Returns the axis.

    table: integers; its rows are (category, label), its columns may be anything. colours: a colour for each category.
    top: the highest count of the scale, where panels are to share one. label_inches: room for the labels on the left; 0 writes
    none. numbers: whether digits are written; by default where they fit.
    """
    top = max(int(table.to_numpy().max(initial=1)), 1) if top is None else max(top, 1)
    cell = axis_inches(axis)[0] / max(table.shape[1], 1)
    if numbers is None:
        numbers = bool(cell > text_inches(str(top), 5.5) + 0.02)
    axis.set_facecolor(FAINT)
    plain = table.set_axis(range(table.shape[1]), axis=1).set_axis(range(len(table)), axis=0)
    sns.heatmap(
        plain, mask=plain == 0, norm=_scale(top), cmap=_palette(), cbar=False, linewidths=0.4, linecolor="white",
        xticklabels=False, yticklabels=False, ax=axis,
    )  # fmt: skip
    axis.set(xlabel="", ylabel="")
    if numbers:
        _write_numbers(axis, table, top)
    if label_inches:
        swatch = _SWATCH * table.shape[1] / axis_inches(axis)[0]
        for row, (category, label) in enumerate(table.index):
            mark = Rectangle((-swatch, row + 0.14), 0.6 * swatch, 0.72, color=colours[category], clip_on=False, lw=0)
            axis.add_patch(mark)
            name = fit_text(label, label_inches, LABEL_SIZE)
            axis.text(-1.35 * swatch, row + 0.5, name, ha="right", va="center", size=LABEL_SIZE)
    return axis


def _write_numbers(axis: Axes, table: pd.DataFrame, top: int) -> None:
    """The digits, dark on light cells and light on dark ones, whichever has the higher contrast (WCAG 2)."""
    palette, scale = _palette(), _scale(top)
    for (row, column), n in np.ndenumerate(table.to_numpy()):
        if n:
            shade = np.array(palette(scale(n))[:3])
            linear = np.where(shade <= 0.04045, shade / 12.92, ((shade + 0.055) / 1.055) ** 2.4)
            ink = INK if linear @ (0.2126, 0.7152, 0.0722) > 0.18 else "white"
            axis.text(column + 0.5, row + 0.5, str(n), size=5.5, ha="center", va="center_baseline", color=ink)


def concept_heatmaps(networks: Mapping[str, Sequence[Population]], colours: Mapping[str, str]) -> list[Figure]:
    """Every network's detectors by concept, layer and operator, on as few pages as hold the columns.

    networks: title to populations. colours: a colour for each category, in the order drawn. Columns are layers, those of one
    operator together. Raises `UserError` where there is no network.
    """
    if not networks:
        raise UserError("`networks` is empty; give at least one network with its populations.")
    pops = [p for members in networks.values() for p in members]
    concepts, n_more = top_concepts(pops, list(colours))
    top = max((n for p in pops for n in p.detectors_per_concept.values()), default=1)
    labels = label_room(concepts) + _SWATCH + 0.12
    panels = [(title, chunk) for title, members in networks.items() for chunk in _chunks(members, labels)]
    figures: list[Figure] = []
    page: list[tuple[str, Sequence[Population]]] = []
    room = 0.0
    for title, members in panels:
        needed = len(members) * _NARROWEST_CELL + _GAP
        if page and room + needed > PAGE_WIDTH - labels:
            figures.append(_page(page, concepts, colours, top=top, labels=labels))
            page, room = [], 0.0
        page.append((title, members))
        room += needed
    figures.append(_page(page, concepts, colours, top=top, labels=labels))
    if n_more:
        foot(figures[-1], not_drawn(pops, concepts, n_more))
    return figures


def _chunks(pops: Sequence[Population], labels: float) -> list[list[Population]]:
    """The populations of one network operator by operator, in as many panels as a page's width asks for."""
    operators = list(operator_colours(p.operator for p in pops))
    in_order = sorted(pops, key=lambda p: operators.index(p.operator))
    n = int((PAGE_WIDTH - labels - _GAP) / _NARROWEST_CELL)
    return [in_order[k : k + n] for k in range(0, len(in_order), n)]


def _page(
    panels: Sequence[tuple[str, Sequence[Population]]],
    concepts: Sequence[Concept],
    colours: Mapping[str, str],
    *,
    top: int,
    labels: float,
) -> Figure:
    pops = [p for _, members in panels for p in members]
    operators = operator_colours(p.operator for p in pops)
    legend = {c: colour for c, colour in colours.items() if any(c == category for category, _ in concepts)} | operators
    n = len(pops)
    cell = min(_WIDEST_CELL, (PAGE_WIDTH - labels - (len(panels) + 1) * _GAP) / n)
    width = min(PAGE_WIDTH, max(3.4, labels + n * cell + (len(panels) + 1) * _GAP))
    turned = any(text_inches(p.layer, 6) > cell for p in pops)
    names = max(min(_NAME_INCHES, text_inches(p.layer, 6)) for p in pops) if turned else 0.1
    first = top_of_panels(legend, width) + 0.2 + names + 2 * _STRIP
    tall = max(len(concepts), 3) * _ROW
    figure = framed(
        "Detectors by concept and layer",
        width=width,
        height=first + tall + _FOOT,
        legend=legend,
    )
    axes, left = [], labels
    for _, members in panels:
        axes.append(panel(figure, left=left, top=first, width=len(members) * cell, height=tall))
        left += len(members) * cell + _GAP
    for axis, (_, members) in reversed(
        list(zip(axes, panels, strict=True))
    ):  # seaborn draws all that is there: labels last
        if concepts:
            labels_here = labels - 0.2 if axis is axes[0] else 0
            heatmap(axis, concept_table(members, concepts), colours, top=top, label_inches=labels_here)
        else:
            axis.set(xlim=(0, len(members)), ylim=(1, 0), xticks=[], yticks=[], facecolor=FAINT)
    for axis, (title, members) in zip(axes, panels, strict=True):
        _name_columns(axis, title, members, operators, turned=turned, names=names)
    if concepts:
        _scale_bar(figure, top, labels)
    else:
        foot(figure, "No unit is a detector.")
    return figure


def _name_columns(
    axis: Axes,
    title: str,
    pops: Sequence[Population],
    operators: Mapping[str, str],
    *,
    turned: bool,
    names: float,
) -> None:
    """Above a panel: the network, the layers, and a strip in the colour of each operator; a white line between operators."""
    width, height = axis_inches(axis)
    cell = width / len(pops)
    n_rows = axis.get_ylim()[0]
    inch = n_rows / height
    for x, p in enumerate(pops):
        name = fit_text(p.layer, names + 0.02 if turned else cell, 6)
        y = -(2 * _STRIP) * inch
        axis.text(x + 0.5, y, name, rotation=90 if turned else 0, ha="center", va="bottom", size=6, color=INK)
    start = 0
    for operator, members in groupby(pops, key=lambda p: p.operator):
        n = len(list(members))
        box = ((start + 0.04), -1.5 * _STRIP * inch)
        axis.add_patch(Rectangle(box, n - 0.08, _STRIP * inch, color=operators[operator], clip_on=False, lw=0))
        if start:
            axis.axvline(start, color="white", linewidth=2.5)
        start += n
    y = -(2 * _STRIP + names + 0.05) * inch
    axis.text(0, y, fit_text(title, width + _GAP - 0.06, 7, "bold"), size=7, weight="bold", va="bottom")


def _scale_bar(figure: Figure, top: int, left: float) -> None:
    """What the colours of the cells mean, at the foot."""
    width, height = figure.get_size_inches()
    long = min(1.6, width - left - 1.2)
    axis = figure.add_axes((left / width, 0.33 / height, long / width, 0.07 / height))
    ticks = [n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if n <= top]
    bar = figure.colorbar(ScalarMappable(_scale(top), _palette()), cax=axis, orientation="horizontal")
    bar.set_ticks(ticks, labels=[str(n) for n in ticks])
    bar.minorticks_off()
    bar.outline.set_visible(False)
    axis.tick_params(labelsize=6, length=1.5, pad=1)
    figure.text((left + long + 0.1) / width, 0.365 / height, "detectors", size=6.5, color=MUTED, va="center")


def _scale(top: int) -> LogNorm:
    """From one detector to the highest count: differences among small counts stay visible."""
    return LogNorm(1, max(top, 2))


def _palette() -> Colormap:
    """Light to dark, readable without colour vision and in grey."""
    return sns.color_palette("ch:start=2.6,rot=-0.25,light=0.93,dark=0.2,hue=1", as_cmap=True)

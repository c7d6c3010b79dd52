"""The best units, Figure 5: for each network, operator and layer the unit with the highest IoU, and where it fires.

    with figure_style():
        pages = figure5(networks, pictures.strip, colours)    # a list of figures; one unless there are many rows
        pages = figure5_by_category(networks, pictures.strip, colours)    # the best unit of each category

Rows are network x (depthwise, pointwise), columns are layers, at most three; by category, rows are network x operator x
layer, columns are categories, at most six. A cell holds the unit's strongest images with its mask (outside darkened), its
label, category, IoU and number; a cell none of whose units is a detector says so. Source: Guo et al. 2019, Figure 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from data_prep.common.errors import UserError
from reports.overlay import TILE_GAP
from reports.style import (
    FAINT,
    INK,
    MUTED,
    OPERATOR_COLOURS,
    PAGE_WIDTH,
    axis_inches,
    fit_text,
    new_figure,
    text_inches,
)
from reports.summary import Population, lanes, layer_title

StripOf = Callable[[Population, int, int], "np.ndarray | None"]
"""`strip_of(population, position, n)`: the unit's n strongest images with masks, side by side; None where it has none."""

NOTHING, NONE_OF_CATEGORY = "no concept detected", "none"
_COLUMNS, _CATEGORY_COLUMNS = 3, 6
_IMAGES_A_CELL = {1: 6, 2: 4, 3: 3}
_LEFT, _GAP, _HEADER, _CAPTION, _ROW_GAP, _RIGHT = 0.62, 0.14, 0.24, 0.31, 0.1, 0.04  # inches
_TOP, _PAGE_HEIGHT, _LARGEST_IMAGE = 0.04, 9.6, 1.1


@dataclass(frozen=True)
class _Row:
    """One row of the figure: its network, what stands beside it, the operator that colours it, and a cell for each heading.

    cells: a population and the position of its unit, None where it has none to show; None where there is no such layer.
    layer: that of the row, where columns are something else.
    """

    network: str
    layer: str
    operator: str
    headings: tuple[str, ...]
    cells: tuple[tuple[Population, int | None] | None, ...]


@dataclass(frozen=True)
class _Sheet:
    """Where things stand, in inches: as many columns as there are layers, images as large as the page's width allows."""

    n_columns: int
    n_strongest: int

    @property
    def n_images(self) -> int:
        return max(1, min(_IMAGES_A_CELL.get(self.n_columns, 1), self.n_strongest))

    @property
    def _images_across(self) -> float:
        return self.n_images + (self.n_images - 1) * TILE_GAP

    @property
    def cell(self) -> float:
        room = (PAGE_WIDTH - _LEFT - _RIGHT - (self.n_columns - 1) * _GAP) / self.n_columns
        return min(room, max(2.2 if self.n_columns <= _COLUMNS else 1.1, _LARGEST_IMAGE * self._images_across))

    @property
    def picture(self) -> float:
        return min(self.cell / self._images_across, _LARGEST_IMAGE)

    @property
    def width(self) -> float:
        return self.left(self.n_columns) - _GAP + _RIGHT

    def left(self, column: int) -> float:
        return _LEFT + column * (self.cell + _GAP)

    def height(self, rows: Sequence[_Row]) -> float:
        headers = sum(k == 0 or row.headings != rows[k - 1].headings for k, row in enumerate(rows))
        return _TOP + headers * _HEADER + len(rows) * (self.picture + _CAPTION + _ROW_GAP)


def unit_cell(
    axis: Axes,
    population: Population,
    strip: np.ndarray | None,
    colours: Mapping[str, str],
    *,
    position: int | None = None,
) -> Axes:
    """A unit of a population: its images, and under them its label, category, IoU and number. Returns the axis.

    The axis is laid out in inches (its own size); strip: (side, n * side, 3) uint8 or None. position: of the unit in
    `population.units`; by default that of the highest IoU.
    """
    width, height = axis_inches(axis)
    picture = height - _CAPTION
    unit = population.units.iloc[population.best if position is None else position]
    facts = f"IoU {unit['iou']:.3f} · unit {unit['unit']}"
    if unit["detector"]:
        if strip is not None:
            shown = min(width, picture * strip.shape[1] / strip.shape[0])
            axis.imshow(strip, extent=(0, shown, _CAPTION, height), aspect="auto", interpolation="antialiased")
        axis.add_patch(Rectangle((0.0, _CAPTION - 0.135), 0.085, 0.085, color=colours[unit["category"]], linewidth=0))
        label = fit_text(unit["label"], width - 0.15, 7.5, "bold")
        axis.text(0.13, _CAPTION - 0.03, label, size=7.5, weight="bold", va="top")
        room = width - text_inches(f" · {facts}", 6.8)
        facts = f"{fit_text(unit['category'], room, 6.8)} · {facts}" if room > 0.2 else facts
    else:
        _empty_cell(axis, NOTHING)
        best = fit_text(
            f"best: {unit['label']} ({unit['category']})" if unit["label"] else "no unit overlaps any concept",
            width,
            6.8,
        )
        axis.text(0, _CAPTION - 0.03, best, size=6.8, color=MUTED, va="top")
        facts = f"IoU {unit['iou']:.4f} · unit {unit['unit']}" if unit["label"] else ""
    axis.text(0, 0.02, facts, size=6.8, color=MUTED, va="bottom")
    return _in_inches(axis)


def _empty_cell(axis: Axes, text: str) -> None:
    """A grey field that says why no image is there."""
    width, height = axis_inches(axis)
    axis.add_patch(Rectangle((0, _CAPTION), width, height - _CAPTION, color=FAINT, linewidth=0))
    axis.text(width / 2, (height + _CAPTION) / 2, text, color=MUTED, ha="center", va="center", style="italic")
    _in_inches(axis)


def _in_inches(axis: Axes) -> Axes:
    width, height = axis_inches(axis)
    axis.set(xlim=(0, width), ylim=(0, height))
    axis.set_axis_off()
    return axis


def figure5(
    networks: Mapping[str, Sequence[Population]], strip_of: StripOf, colours: Mapping[str, str], n_strongest: int = 8
) -> list[Figure]:
    """Figure 5, in as many pages as it needs.

    networks: title to populations. strip_of: draws a unit's images, as `Pictures.strip` does. colours: a colour for each
    category. n_strongest: how many images the run kept of each unit. Raises `UserError` where there is no network.
    """
    if not networks:
        raise UserError("`networks` is empty; give at least one network with its populations.")
    return _pages(_rows(networks), strip_of, colours, n_strongest)


def figure5_by_category(
    networks: Mapping[str, Sequence[Population]], strip_of: StripOf, colours: Mapping[str, str], n_strongest: int = 8
) -> list[Figure]:
    """The unit with the highest IoU among the detectors of each category, in as many pages as it needs, at least one.

    Where one kind of concept wins everywhere in Figure 5, this shows the others. Parameters and errors: as `figure5` has them.
    """
    if not networks:
        raise UserError("`networks` is empty; give at least one network with its populations.")
    return _pages(_rows_by_category(networks, list(colours)), strip_of, colours, n_strongest)


def best_of_category(population: Population, category: str) -> int | None:
    """Position in `population.units` of the detector with the highest IoU whose label is of the category; None without one."""
    units = population.units
    mine = (units["detector"] & (units["category"] == category)).to_numpy()
    return int(np.where(mine, units["iou"].to_numpy(), -1.0).argmax()) if mine.any() else None


def _pages(rows: Sequence[_Row], strip_of: StripOf, colours: Mapping[str, str], n_strongest: int) -> list[Figure]:
    sheet = _Sheet(max(len(row.headings) for row in rows), n_strongest)
    pages: list[list[_Row]] = [[]]
    for _, group in groupby(rows, key=lambda row: (row.network, row.layer, row.headings)):
        # operators stay on one page
        together = list(group)
        if pages[-1] and sheet.height([*pages[-1], *together]) > _PAGE_HEIGHT:
            pages.append([])
        pages[-1] += together
    return [_page(page, sheet, strip_of, colours) for page in pages]


def _rows(networks: Mapping[str, Sequence[Population]]) -> list[_Row]:
    """Networks with the same layers share columns; more than three layers continue in further rows."""
    blocks: dict[tuple[str, ...], list[str]] = {}
    for title, pops in networks.items():
        blocks.setdefault(tuple(dict.fromkeys(p.layer for p in pops)), []).append(title)
    rows = []
    for layers, titles in blocks.items():
        for start in range(0, len(layers), _COLUMNS):
            chunk = layers[start : start + _COLUMNS]
            for title in titles:
                for operator, members in lanes(list(networks[title])).items():
                    by_layer = {p.layer: (p, p.best) for p in members}
                    cells = tuple(by_layer.get(layer) for layer in chunk)
                    if any(cells):
                        rows.append(_Row(title, "", operator, tuple(map(layer_title, chunk)), cells))
    return rows


def _rows_by_category(networks: Mapping[str, Sequence[Population]], categories: Sequence[str]) -> list[_Row]:
    """Only the categories of which some unit is a detector; more than six continue in further rows."""
    pops = [p for members in networks.values() for p in members]
    found = [c for c in categories if any(p.n_attributes(c) for p in pops)] or list(categories[:1])
    rows = []
    for start in range(0, len(found), _CATEGORY_COLUMNS):
        chunk = tuple(found[start : start + _CATEGORY_COLUMNS])
        for title, members in networks.items():
            for p in members:
                cells = tuple((p, best_of_category(p, category)) for category in chunk)
                rows.append(_Row(title, layer_title(p.layer), p.operator, chunk, cells))
    return rows


def _page(rows: Sequence[_Row], sheet: _Sheet, strip_of: StripOf, colours: Mapping[str, str]) -> Figure:
    width, height = sheet.width, sheet.height(rows)
    figure = new_figure(width, height)
    top, before = _TOP, None
    spans: list[list] = []  # network, top and bottom in inches from the page's top
    for row in rows:
        if row.headings != before:
            for k, heading in enumerate(row.headings):
                name = fit_text(heading, sheet.cell, 8, "bold")
                figure.text(sheet.left(k) / width, 1 - (top + 0.05) / height, name, size=8, weight="bold", va="top")
            top, before = top + _HEADER, row.headings
            spans.append([row.network, top, top])
        if spans[-1][0] != row.network:
            spans.append([row.network, top, top])
        for k, cell in enumerate(row.cells):
            if cell is not None:
                p, position = cell
                bottom = height - top - sheet.picture - _CAPTION
                box = (sheet.left(k) / width, bottom / height, sheet.cell / width, (sheet.picture + _CAPTION) / height)
                axis = figure.add_axes(box, xticks=[], yticks=[], frame_on=False)
                if position is None:
                    _empty_cell(axis, NONE_OF_CATEGORY)
                else:
                    strip = strip_of(p, position, sheet.n_images) if p.n_detectors else None
                    unit_cell(axis, p, strip, colours, position=position)
        _row_label(figure, row, top, sheet.picture)
        top += sheet.picture + _CAPTION + _ROW_GAP
        spans[-1][2] = top - _ROW_GAP
    for network, start, end in spans:
        _network_label(figure, network, start, end)
    return figure


def _row_label(figure: Figure, row: _Row, top: float, picture: float) -> None:
    """The operator, with its layer where that is the row's own, and a bar in the operator's colour."""
    width, height = figure.get_size_inches()
    colour = OPERATOR_COLOURS.get(row.operator, "#777777")
    bar = (0.53 / width, 1 - (top + picture) / height)
    figure.add_artist(Rectangle(bar, 0.035 / width, picture / height, color=colour, linewidth=0))
    lines = [*([row.layer] if row.layer else []), *row.operator.split("\n")]
    text = "\n".join(fit_text(line, picture + 0.3, 7) for line in lines)
    y = 1 - (top + picture / 2) / height
    figure.text(0.4 / width, y, text, size=7, rotation=90, ha="center", va="center", color=INK)


def _network_label(figure: Figure, network: str, start: float, end: float) -> None:
    """The network's title beside its rows, its domain on a second line where one does not hold both."""
    width, height = figure.get_size_inches()
    room = end - start
    lines = [network] if fit_text(network, room, 8, "bold") == network else network.split(", ", 1)
    text = "\n".join(fit_text(line, room, 8, "bold") for line in lines)
    y = 1 - (start + room / 2) / height
    figure.text(0.13 / width, y, text, size=8, weight="bold", rotation=90, ha="center", va="center")

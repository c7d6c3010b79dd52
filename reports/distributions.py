"""How high IoU is: its distribution over the units of each layer and operator, beside that of held-out IoU.

    with figure_style():
        pages = iou_figures({"imagenet12": populations}, iou_cut=0.04, held_out=held_out)    # a list of figures
        axis = iou_boxes(axis, populations, iou_cut=0.04, held_out=held_out)                 # into any axis

`held_out = held_out_ious(run.trust, populations)`. A unit's IoU is the best of hundreds of concepts, and so a little too high;
held out, the label is chosen on some images and measured on others. Seaborn draws the boxes: quartiles, and whiskers from the
5th to the 95th percentile, of the units that fire at all.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator

from data_prep.common.errors import UserError
from reports.bars import NAME_INCHES, name_layers
from reports.frames import framed, panel, top_of_panels
from reports.style import (
    COLUMN_WIDTH,
    GRID,
    INK,
    MUTED,
    PAGE_WIDTH,
    fit_text,
    operator_colours,
    text_inches,
)
from reports.summary import Population

HELD_OUT = "held out"
HeldOut = Mapping[Population, np.ndarray]
"""Of each population: the held-out IoU of its units, in their order."""

_PANEL, _LEFT, _FOOT, _TITLE, _PAGE_HEIGHT = 1.25, 0.58, 0.05, 0.22, 9.6  # inches
_BOX = 0.07
_MEDIAN: Any = {"color": "white", "linewidth": 0.9, "path_effects": [Stroke(linewidth=2, foreground=INK), Normal()]}
"""A white line with a dark edge, seen on every colour."""


def held_out_ious(trust: pd.DataFrame | None, pops: Sequence[Population]) -> HeldOut:
    """The held-out IoU of every unit of populations of one run. trust: `run.trust`; None, as without folds, gives none."""
    if trust is None:
        return {}
    values = trust["held_out_iou"].to_numpy(dtype=float)  # a row for each unit, in the order of units.csv
    return {p: values[p.units.index] for p in pops}


def iou_table(pops: Sequence[Population], held_out: HeldOut) -> pd.DataFrame:
    """A row for each unit that fires and each of its measures: layer, operator, measure ("IoU" or "held out"), value."""
    tables = []
    for p in pops:
        measures = {"IoU": p.units["iou"].to_numpy(dtype=float)} | ({HELD_OUT: held_out[p]} if p in held_out else {})
        for measure, values in measures.items():
            columns = {"layer": p.layer, "operator": p.operator, "measure": measure}
            tables.append(pd.DataFrame(columns | {"value": values[~p.units["dead"].to_numpy()]}).dropna())
    return pd.concat(tables, ignore_index=True)


def iou_boxes(
    axis: Axes,
    pops: Sequence[Population],
    *,
    iou_cut: float | None = None,
    held_out: HeldOut | None = None,
    colours: Mapping[str, str] | None = None,
) -> Axes:
    """A box for each operator in each layer, with a lighter one for held-out IoU, and a line at `iou_cut`. Returns the axis.

    iou_cut: above it a unit is a detector. held_out: as `held_out_ious` gives it. colours: a colour for each operator.
    """
    colours = colours or operator_colours(p.operator for p in pops)
    held_out = held_out or {}
    table = iou_table(pops, held_out)
    layers = list(dict.fromkeys(p.layer for p in pops))
    shades = _shades(colours, held_out)
    alone = len({(p.layer, p.operator) for p in pops}) == len(
        layers
    )  # one operator in each layer: its boxes in the middle
    keys = [("", m) if alone else (o, m) for o, m in zip(table["operator"], table["measure"], strict=True)]
    places = list(dict.fromkeys(("", m) if alone else (o, m) for o, m in shades))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="vert: bool", category=DeprecationWarning)  # between two libraries
        sns.boxplot(
            x=table["layer"], y=table["value"], hue=[f"{places.index(key)}" for key in keys], order=layers,
            hue_order=[f"{k}" for k in range(len(places))], palette=["white"] * len(places), saturation=1,
            whis=(5, 95),  # codespell:ignore whis
            showfliers=False, width=0.8, gap=0.12, linewidth=0.6, linecolor=INK, legend=False, medianprops=_MEDIAN, ax=axis,
        )  # fmt: skip
    drawn = set(zip(keys, table["layer"], strict=True))
    operator_of = {p.layer: p.operator for p in pops}
    boxes = [(place, layer) for place in places for layer in layers if (place, layer) in drawn]
    for patch, ((operator, measure), layer) in zip(axis.patches, boxes, strict=True):
        patch.set_facecolor(shades[operator or operator_of[layer], measure])
    if iou_cut is not None:
        axis.axhline(iou_cut, color=MUTED, linewidth=0.7, linestyle=(0, (4, 2)), zorder=3)
    axis.set(xlabel="", ylabel="")
    name_layers(axis, layers)
    axis.set_ylim(0, max(axis.get_ylim()[1], 1.5 * (iou_cut or 0)))
    axis.yaxis.set_major_locator(MaxNLocator(4))
    axis.grid(axis="y", color=GRID, linewidth=0.5)
    axis.tick_params(axis="x", length=0)
    return axis


def iou_figures(
    networks: Mapping[str, Sequence[Population]], *, iou_cut: float | None = None, held_out: HeldOut | None = None
) -> list[Figure]:
    """A panel for each network, all with one scale, on as many pages as needed.

    networks: title to populations. Other parameters: as `iou_boxes` takes them. Raises `UserError` where there is no network.
    """
    if not networks:
        raise UserError("`networks` is empty; give at least one network with its populations.")
    colours = operator_colours(p.operator for pops in networks.values() for p in pops)
    shades = _shades(colours, held_out or {})
    widest = max(len({p.layer for p in pops}) for pops in networks.values())
    columns = 1 if widest * len(shades) * _BOX > COLUMN_WIDTH - _LEFT or len(networks) == 1 else 2
    across = PAGE_WIDTH if columns == 2 or widest * len(shades) * _BOX > COLUMN_WIDTH - _LEFT else COLUMN_WIDTH
    width = across / columns
    legend = {f"{o}, {m}" if held_out else o: colour for (o, m), colour in shades.items()}
    layers = {p.layer for pops in networks.values() for p in pops}
    below = 0.36 if all(map(str.isdigit, layers)) else 0.16 + min(NAME_INCHES, max(text_inches(n, 7) for n in layers))
    first, pitch = top_of_panels(legend, across), _TITLE + _PANEL + below
    rows = -(-len(networks) // columns)
    a_page = max(1, int((_PAGE_HEIGHT - first - _FOOT) / pitch))
    titles, figures = list(networks), []
    heading = "IoU of units" + (" (dashed: the cut for detectors)" if iou_cut is not None else "")
    for start in range(0, rows, a_page):
        page = titles[start * columns : (start + a_page) * columns]
        height = first + -(-len(page) // columns) * pitch + _FOOT
        figure = framed(heading, width=across, height=height, legend=legend)
        for k, title in enumerate(page):
            axis = panel(
                figure, left=_LEFT + k % columns * width, top=first + k // columns * pitch + _TITLE,
                width=width - _LEFT - 0.05, height=_PANEL,
            )  # fmt: skip
            iou_boxes(axis, networks[title], iou_cut=iou_cut, held_out=held_out, colours=colours)
            axis.set_ylabel("IoU" if k % columns == 0 else "")
            axis.set_title(fit_text(title, width - _LEFT - 0.1, 8, "bold"), y=1, pad=3)
        figures.append(figure)
    axes = [axis for figure in figures for axis in figure.axes]
    top = max(axis.get_ylim()[1] for axis in axes)
    for axis in axes:
        axis.set_ylim(0, top)
        axis.set_yticks([tick for tick in MaxNLocator(4).tick_values(0, top) if 0 <= tick <= top])
    return figures


def lighter(colour: str) -> str:
    """The colour mixed with white, half and half."""
    return to_hex(tuple(0.45 * part + 0.55 for part in to_rgb(colour)))  # type: ignore[arg-type]


def _shades(colours: Mapping[str, str], held_out: HeldOut) -> dict[tuple[str, str], str]:
    """A colour for each operator and measure."""
    plain = {(o, "IoU"): colour for o, colour in colours.items()}
    if not held_out:
        return plain
    light = {(o, HELD_OUT): lighter(colour) for o, colour in colours.items()}
    return {(o, measure): (plain | light)[o, measure] for o in colours for measure in ("IoU", HELD_OUT)}

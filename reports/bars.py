"""Bars: attributes by layer (Figure 6) and detectors by concept.

    with figure_style():
        axis = attribute_bars(axis, populations)              # draws into any axis and returns it
        figure = figure6({"imagenet12": populations(run)})    # one panel for each network

Sources: Guo et al. 2019, Figure 6; Bau et al. 2017, Figure 4 (detectors by concept).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from data_prep.common.errors import UserError
from reports.style import (
    GRID,
    MUTED,
    PAGE_WIDTH,
    axis_inches,
    fit_text,
    new_figure,
    one_line,
    operator_colours,
    panel_grid,
    text_inches,
)
from reports.summary import Population, layer_title

Measure = Literal["attributes", "share"]
AXIS_LABEL: dict[Measure, str] = {"attributes": "unique detectors", "share": "detectors, % of units"}

MAX_CONCEPTS = 48
"""Concepts that one panel of `detector_figures` shows; the rest is counted in words."""
_LABEL_SIZE, _LABEL_INCHES, _NAME_INCHES = 6.5, 1.1, 1.5
_BARS, _TOP, _PAGE_HEIGHT = 1.05, 0.44, 9.6  # inches: a panel with its title; heading and legend; a page


def measure_of(population: Population, measure: Measure) -> float:
    """The height of a population's bar: its number of attributes, or its detectors in percent of its units."""
    return len(population.attributes) if measure == "attributes" else 100 * population.detector_share


def attribute_bars(
    axis: Axes, pops: Sequence[Population], measure: Measure = "attributes", colours: Mapping[str, str] | None = None
) -> Axes:
    """One bar for each population, grouped by layer, coloured by operator, its value on top. Returns the axis."""
    colours = colours or operator_colours(p.operator for p in pops)
    layers = list(dict.fromkeys(p.layer for p in pops))
    widest = max(sum(p.layer == layer for p in pops) for layer in layers)
    width = 0.76 / max(widest, 2)
    size, turned = _value_type(
        [_value_text(p, measure) for p in pops], width / (len(layers) + 0.2) * axis_inches(axis)[0]
    )
    members = [p for layer in layers for p in pops if p.layer == layer]
    places = [
        x + (k - (n - 1) / 2) * width
        for x, n in enumerate(sum(p.layer == layer for p in pops) for layer in layers)
        for k in range(n)
    ]
    heights = [measure_of(p, measure) for p in members]
    axis.bar(places, heights, width * 0.94, color=[colours[p.operator] for p in members], zorder=2)
    values = zip(places, heights, (_value_text(p, measure) for p in members), strict=True)
    _write_values(axis, values, points=1.5, size=size, rotation=turned)
    _name_layers(axis, layers)
    return _value_axis(axis, max(measure_of(p, measure) for p in pops))


def _write_values(
    axis: Axes, values: Iterable[tuple[float, float, str]], *, points: float, size: float, rotation: int = 0
) -> None:
    """A text over each bar, given as (x, height, text), so many points above it."""
    above = axis.transData + ScaledTranslation(0, points / 72, axis.figure.dpi_scale_trans)
    for x, height, text in values:
        axis.text(x, height, text, transform=above, ha="center", va="bottom", size=size, rotation=rotation)


def _value_text(population: Population, measure: Measure) -> str:
    value = measure_of(population, measure)
    return f"{value:.0f}" if measure == "attributes" or value == 0 or value >= 10 else f"{value:.1f}"


def _value_type(texts: Sequence[str], room: float) -> tuple[float, int]:
    """Size in points and rotation in which every text stands above a bar of `room` inches."""
    for size in (6.5, 5.5):
        if max(text_inches(text, size) for text in texts) + 0.02 <= room:
            return size, 0
    return 5.5, 90


def _name_layers(axis: Axes, layers: Sequence[str]) -> None:
    """Layer names under the axis: level, slanted, or upright as their length asks. Names cut to the same get a number."""
    names = [fit_text(layer, _NAME_INCHES, 7) for layer in layers]
    if len(set(names)) < len(names):
        names = [f"{k}: {fit_text(layer, _NAME_INCHES - 0.2, 7)}" for k, layer in enumerate(layers, 1)]
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


def _value_axis(axis: Axes, top: float) -> Axes:
    """Ticks at whole numbers, room for the value above the highest bar, and a scale even where every bar is 0."""
    axis.set_ylim(0, top * 1.16 if top else 1)
    axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.grid(axis="y", color=GRID, linewidth=0.5)
    axis.tick_params(axis="x", length=0)
    return axis


def figure6(panels: Mapping[str, Sequence[Population]], measure: Measure = "attributes") -> Figure:
    """Figure 6: one panel for each network, all with one scale.

    panels: title to populations. measure: what the bars count. Raises `UserError` where there is no panel.
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
    height = 0.4 + rows * (1.95 + min(names, _NAME_INCHES))
    figure, axes = panel_grid(len(panels), columns=columns, width=width, height=height)
    colours = operator_colours(p.operator for pops in panels.values() for p in pops)
    top = max(measure_of(p, measure) for pops in panels.values() for p in pops)
    for k, (axis, (title, pops)) in enumerate(zip(axes, panels.items(), strict=True)):
        attribute_bars(axis, pops, measure, colours)
        _value_axis(axis, top).set_title(fit_text(title, width / columns - 0.5, 8, "bold"), y=1)
        if k % columns == 0:
            axis.set_ylabel(AXIS_LABEL[measure])
        if top == 0:
            axis.set_yticks([0, 1])
            axis.text(0.5, 0.5, "no detector in any layer", transform=axis.transAxes, ha="center", color=MUTED)
    handles = [Patch(color=colour, label=fit_text(name, 1.2, 7.5)) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 5), handlelength=1.2)
    return figure


def top_concepts(population: Population, categories: Sequence[str]) -> tuple[list[tuple[str, str, int]], int]:
    """The concepts with most detectors as (category, label, count), in the order drawn, and how many more there are.

    The `MAX_CONCEPTS` with the highest counts are drawn; where the cut falls among equal counts, every category keeps
    the same share of them. They are sorted by category, in the order given, then from the highest count to the lowest.
    """
    counts = population.detectors_per_concept
    in_order = sorted(counts, key=lambda c: (categories.index(c[0]), -counts[c], c[1]))
    equals = Counter((counts[c], c[0]) for c in in_order)
    passed: Counter[tuple[int, str]] = Counter()
    place = {}
    for c in in_order:
        passed[counts[c], c[0]] += 1
        place[c] = (-counts[c], passed[counts[c], c[0]] / equals[counts[c], c[0]])
    kept = set(sorted(in_order, key=place.__getitem__)[:MAX_CONCEPTS])
    return [(*c, counts[c]) for c in in_order if c in kept], len(in_order) - len(kept)


def detector_bars(
    axis: Axes,
    population: Population,
    colours: Mapping[str, str],
    *,
    slots: int = MAX_CONCEPTS,
    label_inches: float = 1.0,
) -> Axes:
    """How many detectors each concept has, coloured and grouped by category. Returns the axis.

    colours: a colour for each category, in the order drawn. slots: bars that the axis has room for. label_inches: room for
    the labels under it.
    """
    bars, n_more = top_concepts(population, list(colours))
    heights = [count for *_, count in bars]
    axis.bar(range(len(bars)), heights, 0.78, color=[colours[category] for category, *_ in bars], zorder=2)
    _write_values(axis, zip(range(len(bars)), heights, map(str, heights), strict=True), points=1, size=5.5)
    axis.set_xticks([])  # a text is drawn much faster than a tick with its label
    below = axis.get_xaxis_text1_transform(1.5)[0]
    for x, (_, label, _) in enumerate(bars):
        name = fit_text(label, label_inches, _LABEL_SIZE)
        axis.text(x, 0, name, transform=below, rotation=90, ha="center", va="top", size=_LABEL_SIZE)
    axis.set_xlim(-0.7, slots - 0.3)
    _value_axis(axis, max((count for *_, count in bars), default=0))
    axis.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    found = f"{population.n_detectors:,} of {population.n_units:,} units detect {len(population.attributes)} concepts"
    if n_more:
        shown = {(c, label) for c, label, _ in bars}
        most = max(n for c, n in population.detectors_per_concept.items() if c not in shown)
        found += f"; not drawn: {n_more} with {'1 detector' if most == 1 else f'at most {most} detectors'} each"
    if not bars:
        found = f"0 of {population.n_units:,} units"
        axis.set_yticks([])
        axis.text(0.5, 0.5, "no detectors", transform=axis.transAxes, ha="center", color=MUTED, style="italic")
    room = axis_inches(axis)[0] - text_inches(found, 6.5) - 0.15
    operator = f" · {fit_text(population.operator, 0.8, 7.5, 'bold')}"
    layer = fit_text(layer_title(population.layer), room - text_inches(operator, 7.5, "bold"), 7.5, "bold")
    axis.set_title(layer + operator, fontsize=7.5, y=1, pad=5)
    axis.set_title(found, loc="right", fontsize=6.5, fontweight="normal", color=MUTED, y=1, pad=5)
    return axis


def detector_figures(title: str, pops: Sequence[Population], colours: Mapping[str, str]) -> list[Figure]:
    """One network's detectors by concept, a panel for each population, on as many pages as needed, at least one.

    title: of the network. colours: a colour for each category, in the order drawn. A row has two panels where concepts
    are few; a row without a detector is left out and named at the end.
    """
    slots = min(MAX_CONCEPTS, max([12, *(len(p.attributes) for p in pops)]))
    columns = 2 if slots <= MAX_CONCEPTS * 0.45 and len(pops) > 1 else 1
    slots = max(slots, MAX_CONCEPTS // (2 * columns))
    rows = [pops[k : k + columns] for k in range(0, len(pops), columns)]
    drawn = [row for row in rows if any(p.n_detectors for p in row)]
    empty = [p.title for row in rows if row not in drawn for p in row]
    colours_used = {c: colour for c, colour in colours.items() if any(p.n_attributes(c) for p in pops)}
    labels = {label for p in pops for _, label, _ in top_concepts(p, list(colours))[0]}
    below = 0.08 + max((min(_LABEL_INCHES, text_inches(one_line(label), _LABEL_SIZE)) for label in labels), default=0)
    a_page = max(1, int((_PAGE_HEIGHT - _TOP) / (_BARS + below)))
    pages = [drawn[k : k + a_page] for k in range(0, len(drawn), a_page)] or [[]]
    figures = [
        _detector_page(
            title,
            page,
            colours=colours,
            legend=colours_used,
            slots=slots,
            columns=columns,
            below=below,
        )
        for page in pages
    ]
    if empty:
        names = ", ".join(empty[:6]) + (f" and {len(empty) - 6} more" if len(empty) > 6 else "")
        text = fit_text(f"No detectors: {names}.", PAGE_WIDTH - 0.1, 7)
        figures[-1].text(0.05 / PAGE_WIDTH, 0.08 / figures[-1].get_figheight(), text, size=7, color=MUTED)
    return figures


def _detector_page(
    title: str,
    rows: Sequence[Sequence[Population]],
    *,
    colours: Mapping[str, str],
    legend: Mapping[str, str],
    slots: int,
    columns: int,
    below: float,
) -> Figure:
    """Panels of one size, `below` inches under each for its turned labels."""
    left, foot = 0.42, 0.26
    height = (_TOP if rows else 0.32) + len(rows) * (_BARS + below) + foot
    figure = new_figure(PAGE_WIDTH, height)
    heading = fit_text(title, PAGE_WIDTH - 0.1, 8.5, "bold")
    figure.text(0.05 / PAGE_WIDTH, 1 - 0.05 / height, heading, size=8.5, weight="bold", va="top")
    if rows:
        handles = [Patch(color=c, label=fit_text(name, 0.9, 7.5)) for name, c in legend.items()]
        figure.legend(
            handles=handles,
            ncols=6,
            handlelength=1,
            columnspacing=1.4,
            loc="upper left",
            bbox_to_anchor=(0.0, 1 - 0.19 / height),
            borderaxespad=0.1,
        )
    width = (PAGE_WIDTH - 0.05) / columns
    for r, row in enumerate(rows):
        bottom = height - _TOP - r * (_BARS + below) - _BARS
        for k, p in enumerate(row):
            box = (
                (left + k * width) / PAGE_WIDTH,
                bottom / height,
                (width - left) / PAGE_WIDTH,
                (_BARS - 0.3) / height,
            )
            axis = detector_bars(figure.add_axes(box), p, colours, slots=slots, label_inches=below - 0.06)
            if k == 0:
                axis.set_ylabel("detectors", size=6.5)
    return figure

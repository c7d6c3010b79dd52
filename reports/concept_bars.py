"""Detectors by concept: a panel of bars for each layer and operator, all with the same concepts and one scale.

    with figure_style():
        pages = detector_figures("imagenet12", populations, category_colours(categories))    # a list of figures

    concepts, n_more = top_concepts(populations, categories)    # those with most detectors, in the order drawn

Source: Bau et al. 2017, Figure 4. Many networks are better told by `reports.heatmap`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.bars import value_axis, value_type, write_values
from reports.frames import foot, framed, panel, top_of_panels
from reports.style import MUTED, PAGE_WIDTH, axis_inches, fit_text, one_line, text_inches
from reports.summary import Population, layer_title

Concept = tuple[str, str]
"""A category and a label."""

MAX_CONCEPTS = 60
"""Concepts that one figure shows; the rest is counted in words."""
LABEL_SIZE, LABEL_INCHES = 6.5, 1.1
_PANEL, _TITLE, _LEFT, _FOOT, _PAGE_HEIGHT = 0.86, 0.25, 0.42, 0.26, 9.6  # inches


def top_concepts(
    pops: Iterable[Population], categories: Sequence[str], limit: int = MAX_CONCEPTS
) -> tuple[list[Concept], int]:
    """The concepts with most detectors in all populations together, in the order drawn, and how many more there are.

    Where the cut falls among equal counts, every category keeps the same share of them. They are sorted by category, in the
    order given, then from the highest count to the lowest.
    """
    counts: Counter[Concept] = Counter()
    for p in pops:
        counts.update(p.detectors_per_concept)
    in_order = sorted(counts, key=lambda c: (categories.index(c[0]), -counts[c], c[1]))
    equals = Counter((counts[c], c[0]) for c in in_order)
    passed: Counter[tuple[int, str]] = Counter()
    place = {}
    for c in in_order:
        passed[counts[c], c[0]] += 1
        place[c] = (-counts[c], passed[counts[c], c[0]] / equals[counts[c], c[0]])
    kept = set(sorted(in_order, key=place.__getitem__)[:limit])
    return [c for c in in_order if c in kept], len(in_order) - len(kept)


def detector_bars(
    axis: Axes,
    population: Population,
    concepts: Sequence[Concept],
    colours: Mapping[str, str],
    *,
    top: int | None = None,
    label_inches: float = LABEL_INCHES,
) -> Axes:
    """How many detectors each of the concepts has, coloured by category. Returns the axis.

    concepts: in the order drawn, as `top_concepts` gives them. colours: a colour for each category. top: the highest count of
    the scale, where panels are to share one. label_inches: room for the labels under the axis; 0 writes none.
    """
    counts = population.detectors_per_concept
    bars = [(x, counts[c], colours[c[0]]) for x, c in enumerate(concepts) if counts[c]]
    top = max((n for _, n, _ in bars), default=0) if top is None else top
    axis.bar([x for x, *_ in bars], [n for _, n, _ in bars], 0.78, color=[colour for *_, colour in bars], zorder=2)
    _, turned = value_type([str(top)], axis_inches(axis)[0] / max(len(concepts), 1))
    for rotation in {0, turned}:  # a single digit always stands upright
        texts = [(x, n, str(n)) for x, n, _ in bars if (turned if n > 9 else 0) == rotation]
        write_values(axis, texts, points=1, size=5.5, rotation=rotation)
    axis.set_xlim(-0.7, max(len(concepts), 12) - 0.3)
    value_axis(axis, top, n_ticks=3, room=0.4 if turned else 0.24)
    axis.set_xticks([])  # a text is drawn much faster than a tick with its label
    if label_inches:
        below = axis.get_xaxis_text1_transform(1.5)[0]
        for x, (_, label) in enumerate(concepts):
            name = fit_text(label, label_inches, LABEL_SIZE)
            axis.text(x, 0, name, transform=below, rotation=90, ha="center", va="top", size=LABEL_SIZE)
    return _entitle(axis, population, concepts)


def _entitle(axis: Axes, population: Population, concepts: Sequence[Concept]) -> Axes:
    """The layer and operator on the left, the numbers on the right, as far as there is room."""
    n_units, n_concepts = population.n_units, len(population.attributes)
    found = f"{population.n_detectors:,} of {n_units:,} units detect {n_concepts} concept{'s' * (n_concepts != 1)}"
    if n_more := n_concepts - sum(c in population.attributes for c in concepts):
        found += f", {n_more} not drawn"
    if not n_concepts:
        found = f"none of {n_units:,} units is a detector"
    room = axis_inches(axis)[0] - text_inches(found, 6.5) - 0.15
    operator = f" · {fit_text(population.operator, 0.8, 7.5, 'bold')}"
    layer = fit_text(layer_title(population.layer), room - text_inches(operator, 7.5, "bold"), 7.5, "bold")
    axis.set_title(layer + operator, fontsize=7.5, y=1, pad=3)
    axis.set_title(found, loc="right", fontsize=6.5, fontweight="normal", color=MUTED, y=1, pad=3)
    return axis


def detector_figures(title: str, pops: Sequence[Population], colours: Mapping[str, str]) -> list[Figure]:
    """One network's detectors by concept, a panel for each population, on as many pages as needed, at least one.

    title: of the network. colours: a colour for each category, in the order drawn. Every panel has the same concepts in the
    same order, named at the foot, and the same scale; a population without a detector is named at the end instead.
    """
    concepts, n_more = top_concepts(pops, list(colours))
    drawn = [p for p in pops if p.n_detectors]
    top = max((max(p.detectors_per_concept.values()) for p in drawn), default=0)
    legend = {c: colour for c, colour in colours.items() if any(c == category for category, _ in concepts)}
    first = top_of_panels(legend, PAGE_WIDTH)
    columns = 2 if len(concepts) <= MAX_CONCEPTS // 3 and len(drawn) > 1 else 1
    below = 0.1 + label_room(concepts)
    rows = [drawn[k : k + columns] for k in range(0, len(drawn), columns)]
    a_page = int((_PAGE_HEIGHT - first - below - _FOOT) / _PANEL)
    width = (PAGE_WIDTH - 0.05) / columns
    figures = []
    for start in range(0, max(len(rows), 1), a_page):
        page = rows[start : start + a_page]
        height = first + len(page) * _PANEL + below * bool(page) + _FOOT
        figure = framed(title, width=PAGE_WIDTH, height=height, legend=legend)
        for r, row in enumerate(page):
            for k, p in enumerate(row):
                last = r == len(page) - 1 or k >= len(page[r + 1])
                detector_bars(
                    panel(
                        figure, left=_LEFT + k * width, top=first + r * _PANEL + _TITLE, width=width - _LEFT,
                        height=_PANEL - _TITLE,
                    ),
                    p, concepts, colours, top=top, label_inches=below - 0.08 if last else 0,
                )  # fmt: skip
        for axis in figure.axes[::columns]:
            axis.set_ylabel("detectors", size=6.5)
        figures.append(figure)
    if empty := [p.title for p in pops if not p.n_detectors]:
        names = ", ".join(empty[:6]) + (f" and {len(empty) - 6} more" if len(empty) > 6 else "")
        foot(figures[-1], f"No detectors: {names}.")
    elif n_more:
        foot(figures[-1], not_drawn(pops, concepts, n_more))
    return figures


def label_room(concepts: Iterable[Concept]) -> float:
    """Inches that the longest label takes, `LABEL_INCHES` at most."""
    return min(LABEL_INCHES, max((text_inches(one_line(label), LABEL_SIZE) for _, label in concepts), default=0))


def not_drawn(pops: Iterable[Population], concepts: Sequence[Concept], n_more: int) -> str:
    """What a figure of these concepts leaves out, in words; empty where it is nothing."""
    counts: Counter[Concept] = Counter()
    for p in pops:
        counts.update(p.detectors_per_concept)
    most = max((n for c, n in counts.items() if c not in set(concepts)), default=0)
    return (
        f"Not drawn: {n_more} concepts with {'1 detector' if most == 1 else f'at most {most} detectors'} each in all."
        if n_more
        else ""
    )

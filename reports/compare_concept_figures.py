"""Concepts in several networks as figures: a matrix of concepts x networks, and flows through the layers.

with figure_style():
    write_figure(concept_matrix(comparison), folder / "concepts")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from reports.compare_members import ALL, Part
from reports.concept_bars import Concept, label_room
from reports.flows import flows
from reports.frames import foot, framed, panel, top_of_panels
from reports.heatmap import heatmap
from reports.style import MUTED, PAGE_WIDTH, category_colours, fit_text, text_inches

if TYPE_CHECKING:
    from reports.comparison import Comparison

MATRIX_CONCEPTS, FLOW_CONCEPTS = 60, 20
"""Concepts that a figure shows; those with most detectors. The page's list has them all."""

_ROW, _NAME, _GAP, _FOOT = 0.15, 6.5, 0.22, 0.28


def concept_matrix(comparison: Comparison) -> Figure:
    """Detectors of each concept in each network, the concepts in two columns where they are many."""
    matrix, n_more = _with_most(comparison.matrix, MATRIX_CONCEPTS)
    colours = _colours(comparison)
    concepts: list[Concept] = list(matrix.index)
    half = -(-len(matrix) // 2) if len(matrix) > 24 else len(matrix)
    blocks = [matrix.iloc[k : k + half] for k in range(0, len(matrix), half)]
    labels = label_room(concepts) + 0.25
    names = max(text_inches(fit_text(title, 1.3, _NAME), _NAME) for title in matrix.columns)
    room = (PAGE_WIDTH - 0.1) / len(blocks) - labels - _GAP
    cell = min(0.42, room / matrix.shape[1])
    across = labels + cell * matrix.shape[1] + _GAP
    legend = {c: colour for c, colour in colours.items() if any(c == category for category, _ in concepts)}
    width = max(3.4, len(blocks) * across + 0.1)
    top = top_of_panels(legend, width) + 0.75 * names + 0.15
    figure = framed("Detectors of each concept", width=width, height=top + half * _ROW + _FOOT, legend=legend)
    for k, block in enumerate(blocks):
        axis = panel(figure, left=labels + k * across, top=top, width=cell * matrix.shape[1], height=len(block) * _ROW)
        heatmap(axis, block, colours, top=int(matrix.to_numpy().max()), label_inches=labels - 0.25)
        for column, title in enumerate(matrix.columns):
            name = fit_text(title, 1.3, _NAME)
            axis.text(
                column + 0.4, -0.25, name, size=_NAME, rotation=45, ha="left", va="bottom", rotation_mode="anchor"
            )
    if n_more:
        foot(figure, f"Not drawn: {n_more} concepts with fewer detectors.")
    return figure


def concept_flows(comparison: Comparison) -> Figure:
    """The most frequent concepts through the layers of each network, operators one below the other, all with one scale."""
    matrix, n_more = _with_most(comparison.matrix, FLOW_CONCEPTS)
    concepts: list[Concept] = list(matrix.index)
    colours = _colours(comparison)
    table = comparison.concepts
    operators = [o for o in dict.fromkeys(part.operator for part in comparison.parts) if o != ALL]
    groups = {o: [(m.title, [p for p in m.parts if p.operator == o]) for m in comparison.networks] for o in operators}
    groups = {o: [(title, parts) for title, parts in members if parts] for o, members in groups.items()}
    counts = {
        (title, part): _counts(table, title, part)
        for members in groups.values()
        for title, parts in members
        for part in parts
    }
    tops = {c: max(each.get(c, 0) for each in counts.values()) for c in concepts}
    labels = label_room(concepts) + 0.2
    widest = max(sum(len(parts) for _, parts in members) for members in groups.values())
    n_gaps = max(len(members) for members in groups.values())
    pitch = min(0.5, (PAGE_WIDTH - labels - n_gaps * _GAP) / widest)
    legend = {c: colour for c, colour in colours.items() if any(c == category for category, _ in concepts)}
    first, tall = top_of_panels(legend, PAGE_WIDTH) + 0.42, len(concepts) * _ROW + 1.6
    page = min(PAGE_WIDTH, max(3.4, labels + widest * pitch + n_gaps * _GAP))
    height = first + len(groups) * (tall + 0.62) - 0.2 + _FOOT
    figure = framed("Detectors from layer to layer", width=page, height=height, legend=legend)
    top = first
    for operator, members in groups.items():
        left = labels
        for k, (title, parts) in enumerate(members):
            width = len(parts) * pitch
            axis = panel(figure, left=left, top=top, width=width, height=tall)
            columns = {part.layer: counts[title, part] for part in parts}
            flows(axis, columns, concepts, colours, tops=tops, label_inches=labels - 0.18 if k == 0 else 0)
            name = fit_text(title, width + _GAP - 0.05, 6.5, "bold")
            axis.text(0, -0.18, name, size=6.5, weight="bold", va="bottom", color=MUTED)
            left += width + _GAP
        down = 1 - (top - 0.34) / height
        figure.text(0.05 / page, down, fit_text(operator, page - 0.1, 7.5, "bold"), size=7.5, weight="bold")
        top += tall + 0.62
    if n_more:
        foot(figure, f"Not drawn: {n_more} concepts with fewer detectors.")
    return figure


def _with_most(matrix: pd.DataFrame, limit: int) -> tuple[pd.DataFrame, int]:
    """The concepts with most detectors, those of one category together, and how many are left out."""
    some = matrix.head(limit)
    categories = list(dict.fromkeys(category for category, _ in some.index))
    order: Sequence[int] = sorted(range(len(some)), key=lambda k: categories.index(some.index[k][0]))
    return some.iloc[list(order)], len(matrix) - len(some)


def _counts(table: pd.DataFrame, title: str, part: Part) -> Mapping[Concept, int]:
    rows = table[(table["network"] == title) & (table["layer"] == part.layer) & (table["operator"] == part.operator)]
    pairs = zip(rows["category"], rows["label"], strict=True)
    return dict(zip(pairs, rows["detectors"], strict=True))


def _colours(comparison: Comparison) -> dict[str, str]:
    return category_colours(dict.fromkeys(category for category, _ in comparison.all_concepts))

"""Flows: how a concept's detectors grow, shrink, come and go from layer to layer, side by side for each operator.

    with figure_style():
        pages = flow_figures("imagenet12", populations, category_colours(categories))    # a list of figures
        axis = flows(axis, {"18": {("object", "car"): 3}, "20": {("object", "car"): 9}}, concepts, colours)

Each concept has a lane of its own, in which a band is as thick as it has detectors: nothing crosses and nothing overlaps. The
columns of `flows` are layers here, and may be networks or domains elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from reports.concept_bars import LABEL_SIZE, Concept, label_room, not_drawn, top_concepts
from reports.frames import foot, framed, panel, top_of_panels
from reports.style import GRID, INK, MUTED, PAGE_WIDTH, axis_inches, fit_text, operator_colours, text_inches
from reports.summary import Population

MAX_LANES = 30
"""Concepts that one figure follows; the rest is counted in words."""
_LANE, _ROOM, _NODE, _FOOT, _GAP = 0.15, 2.6, 0.2, 0.28, 0.16  # inches; room: what thickness adds to all lanes together


def flows(
    axis: Axes,
    columns: Mapping[str, Mapping[Concept, int]],
    concepts: Sequence[Concept],
    colours: Mapping[str, str],
    *,
    tops: Mapping[Concept, int] | None = None,
    label_inches: float = 1.1,
) -> Axes:
    """A lane for each concept, in it a bar at each column as high as its count, and bands between them. Returns the axis.

    columns: title to the counts of concepts. concepts: the lanes from top to bottom. colours: a colour for each category.
    tops: the highest count of each concept, where axes are to share lanes. label_inches: room for the labels on the left; 0
    writes none.
    """
    width, height = axis_inches(axis)
    tops = tops or {c: max((counts.get(c, 0) for counts in columns.values()), default=0) for c in concepts}
    unit = max(height - _LANE * len(concepts), 0.0) / max(sum(tops[c] for c in concepts), 1)  # inches for one detector
    pitch = width / max(len(columns), 1)
    node = min(_NODE, 0.5 * pitch)
    middle = 0.0
    for c in concepts:
        lane = _LANE + unit * tops[c]
        middle += lane / 2
        axis.axhline(middle, color=GRID, linewidth=0.4, zorder=0)
        if label_inches:
            name = fit_text(c[1], label_inches, LABEL_SIZE)
            axis.text(-0.05, middle, name, ha="right", va="center", size=LABEL_SIZE)
        counts = [counts.get(c, 0) for counts in columns.values()]
        _lane(axis, counts, middle, colours[c[0]], unit=unit, pitch=pitch, node=node)
        middle += lane / 2
    axis.set(xlim=(0, width), ylim=(max(height, middle), 0), xticks=[], yticks=[])
    for k, title in enumerate(columns):
        axis.text((k + 0.5) * pitch, -0.04, fit_text(title, pitch, 6.5), ha="center", va="bottom", size=6.5)
    for spine in axis.spines.values():
        spine.set_visible(False)
    return axis


def _lane(
    axis: Axes, counts: Sequence[int], middle: float, colour: str, *, unit: float, pitch: float, node: float
) -> None:
    """Bars of one concept with their numbers, and the bands between neighbours; to or from a zero a band tapers off."""
    half = [(_LANE * 0.3 + unit * n) / 2 if n else 0.0 for n in counts]
    for k, (n, h) in enumerate(zip(counts, half, strict=True)):
        x = (k + 0.5) * pitch
        if k and (h or half[k - 1]):
            axis.add_patch(_band(x - pitch + node / 2, x - node / 2, middle, half[k - 1], h, colour))
        if n:
            axis.add_patch(Rectangle((x - node / 2, middle - h), node, 2 * h, color=colour, linewidth=0, zorder=2))
            inside = 2 * h > 0.1 and text_inches(str(n), 5.5) < node
            axis.text(
                x if inside else x + node / 2 + 0.02, middle, str(n), size=5.5, va="center_baseline", zorder=3,
                ha="center" if inside else "left", color=_ink_on(colour) if inside else INK,
            )  # fmt: skip


def _band(left: float, right: float, middle: float, before: float, after: float, colour: str) -> PathPatch:
    bend = (left + right) / 2
    points = [
        (left, middle - before), (bend, middle - before), (bend, middle - after), (right, middle - after),
        (right, middle + after), (bend, middle + after), (bend, middle + before), (left, middle + before), (left, middle),
    ]  # fmt: skip
    codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
    return PathPatch(Path(points, codes), facecolor=colour, alpha=0.35, linewidth=0, zorder=1)


def flow_figures(title: str, pops: Sequence[Population], colours: Mapping[str, str]) -> list[Figure]:
    """One network's concepts through its layers, an axis for each operator, with the same lanes and one scale.

    title: of the network. colours: a colour for each category, in the order drawn. More operators or layers than a page is
    wide for continue on further pages. At least one figure.
    """
    concepts, n_more = top_concepts(pops, list(colours), MAX_LANES)
    tops = {c: max(p.detectors_per_concept[c] for p in pops) for c in concepts}
    legend = {c: colour for c, colour in colours.items() if any(c == category for category, _ in concepts)}
    labels = label_room(concepts) + 0.2
    operators = operator_colours(p.operator for p in pops)
    most = int((PAGE_WIDTH - labels - 2 * _GAP) / 0.36)
    groups = [(o, [p for p in pops if p.operator == o]) for o in operators]
    chunks = [(o, members[k : k + most]) for o, members in groups for k in range(0, len(members), most)]
    pages: list[list[tuple[str, list[Population]]]] = [[]]
    for chunk in chunks:
        if pages[-1] and sum(len(members) for _, members in [*pages[-1], chunk]) > most:
            pages.append([])
        pages[-1].append(chunk)
    figures = [_page(title, page, concepts, colours, tops=tops, legend=legend, labels=labels) for page in pages]
    if not concepts:
        foot(figures[-1], "No unit is a detector.")
    elif n_more:
        foot(figures[-1], not_drawn(pops, concepts, n_more))
    return figures


def _page(
    title: str,
    panels: Sequence[tuple[str, Sequence[Population]]],
    concepts: Sequence[Concept],
    colours: Mapping[str, str],
    *,
    tops: Mapping[Concept, int],
    legend: Mapping[str, str],
    labels: float,
) -> Figure:
    n = sum(len(members) for _, members in panels)
    pitch = min(0.62, (PAGE_WIDTH - labels - len(panels) * _GAP) / n)
    width = min(PAGE_WIDTH, max(3.4, labels + n * pitch + len(panels) * _GAP))
    first = top_of_panels(legend, width) + 0.36
    tall = len(concepts) * _LANE + min(_ROOM, 0.1 * sum(tops.values()))
    figure = framed(title, width=width, height=first + tall + _FOOT, legend=legend)
    left = labels
    for k, (operator, members) in enumerate(panels if concepts else []):
        axis = panel(figure, left=left, top=first, width=len(members) * pitch, height=tall)
        columns = {p.layer: p.detectors_per_concept for p in members}
        flows(axis, columns, concepts, colours, tops=tops, label_inches=labels - 0.18 if k == 0 else 0)
        heading = fit_text(operator, len(members) * pitch, 7, "bold")
        axis.text(0, -0.18, heading, size=7, weight="bold", va="bottom", color=MUTED)
        left += len(members) * pitch + _GAP
    return figure


def _ink_on(colour: str) -> str:
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else "white"

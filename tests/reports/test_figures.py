"""The bars are as high as the numbers, the cells say what the tables say, and no text leaves its figure."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from data_prep.common.errors import UserError
from dissect.run_store import open_run
from reports.bars import MAX_CONCEPTS, attribute_bars, detector_bars, detector_figures, figure6, top_concepts
from reports.best_units import NOTHING, figure5
from reports.style import OPERATOR_COLOURS, category_colours, figure_style, fit_text, new_figure, render
from reports.summary import Population, categories_of, populations

GREY_STRIP = np.full((40, 124, 3), 90, np.uint8)
Rows = Callable[..., list[dict[str, str]]]


def read(folder: Path) -> tuple[list[Population], dict[str, str]]:
    run = open_run(folder)
    pops = populations(run)
    return pops, category_colours(categories_of(run, pops))


def by_network(pops: list[Population]) -> dict[str, list[Population]]:
    return {name: [p for p in pops if p.network == name] for name in dict.fromkeys(p.network for p in pops)}


def texts(figure: Figure) -> list[str]:
    return [t.get_text() for t in figure.findobj(Text) if t.get_text() and t.get_visible()]


def bars(axis: Axes) -> list[tuple[float, str]]:
    """Height and colour of each bar, from left to right."""
    found = sorted(axis.patches, key=lambda bar: bar.get_x())
    return [(bar.get_height(), to_hex(bar.get_facecolor()).upper()) for bar in found]


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts whose boxes overlap by more than a hair; turned texts by their true boxes."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    boxes = []
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible() and text.get_rotation() % 90 == 0:
            box = text.get_window_extent(renderer)
            boxes.append((text.get_text(), box.x0 + 1, box.y0 + 1, box.x1 - 1, box.y1 - 1))
    return [
        (a[0], b[0])
        for k, a in enumerate(boxes)
        for b in boxes[:k]
        if a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]
    ]


def outside(figure: Figure) -> list[str]:
    """Texts that stick out of the figure."""
    figure.draw_without_rendering()
    renderer, box = figure.canvas.get_renderer(), figure.bbox
    found = []
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible():
            t = text.get_window_extent(renderer)
            if t.x0 < box.x0 - 1 or t.y0 < box.y0 - 1 or t.x1 > box.x1 + 1 or t.y1 > box.y1 + 1:
                found.append(text.get_text())
    return found


def test_bars_are_the_numbers_of_unique_detectors(reported: Path, rows: Rows) -> None:
    pops, _ = read(reported)
    concepts: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for r in rows(reported):
        if r["network"] == "cifar100" and float(r["iou"]) > 0.04:
            concepts.setdefault((r["layer"], r["operator"]), set()).add((r["category"], r["label"]))
    axis = new_figure(3, 2).subplots()
    assert attribute_bars(axis, by_network(pops)["cifar100"]) is axis
    keys = [(layer, operator) for layer in ("18", "20", "22") for operator in ("depthwise", "pointwise")]
    assert bars(axis) == [(len(concepts.get(key, ())), OPERATOR_COLOURS[key[1]]) for key in keys]
    assert [t.get_text() for t in axis.texts] == [str(len(concepts.get(key, ()))) for key in keys]
    assert [t.get_text() for t in axis.get_xticklabels()] == ["18", "20", "22"]


def test_share_is_of_the_units_of_its_own_operator(reported: Path, rows: Rows) -> None:
    pops, _ = read(reported)
    units = [r for r in rows(reported) if (r["network"], r["layer"]) == ("imagenet12", "20")]
    axis = attribute_bars(new_figure(3, 2).subplots(), by_network(pops)["imagenet12"], "share")
    for k, operator in enumerate(("depthwise", "pointwise")):
        mine = [float(r["iou"]) > 0.04 for r in units if r["operator"] == operator]
        assert bars(axis)[2 + k][0] == pytest.approx(100 * sum(mine) / len(mine))


def test_figure6_has_a_panel_a_network_and_one_scale(reported: Path) -> None:
    pops, _ = read(reported)
    with figure_style():
        figure = figure6(by_network(pops))
        assert [axis.get_title(loc="left") for axis in figure.axes] == ["imagenet12", "cifar100"]
        assert len({axis.get_ylim() for axis in figure.axes}) == 1
        assert overlaps(figure) == outside(figure) == []


def test_figure6_without_detectors_shows_zeros(run_folder: Callable[..., Path]) -> None:
    pops, _ = read(run_folder(detector_share=0))
    figure = figure6(by_network(pops))
    assert [height for height, _ in bars(figure.axes[0])] == [0] * 6
    assert texts(figure).count("0") >= 6 and "no detector in any layer" in texts(figure)


def test_detector_bars_count_units_of_each_concept(reported: Path, rows: Rows) -> None:
    pops, colours = read(reported)
    population = next(p for p in pops if (p.network, p.layer, p.operator) == ("cifar100", "22", "pointwise"))
    counts = Counter(
        (r["category"], r["label"])
        for r in rows(reported)
        if (r["network"], r["layer"], r["operator"]) == ("cifar100", "22", "pointwise") and float(r["iou"]) > 0.04
    )
    axis = new_figure(7, 2).subplots()
    assert detector_bars(axis, population, colours) is axis
    drawn = zip([t.get_text() for t in axis.texts if t.get_rotation() == 90], bars(axis), strict=True)
    assert Counter({(label, *bar): 1 for label, bar in drawn}) == Counter(
        {(label, n, colours[category].upper()): 1 for (category, label), n in counts.items()}
    )


def test_too_many_concepts_are_counted_in_words(run_folder: Callable[..., Path]) -> None:
    concepts = [("object" if k % 3 else "scene", f"thing {k}") for k in range(90)]
    pops, colours = read(run_folder(detector_share=1, networks={"n": [("1", "conv", 400)]}, concepts=concepts))
    kept, n_more = top_concepts(pops[0], list(colours))
    counts = pops[0].detectors_per_concept
    assert len(kept) == MAX_CONCEPTS and n_more == len(counts) - MAX_CONCEPTS
    left_out = set(counts) - {(c, label) for c, label, _ in kept}
    least = min(n for *_, n in kept)
    assert max(counts[c] for c in left_out) <= least
    assert {c for c, _, n in kept if n == least} == {"object", "scene"}  # a tie is not cut by the alphabet
    axis = detector_bars(new_figure(7, 2).subplots(), pops[0], colours)
    assert re.search(
        rf"; not drawn: {n_more} with at most {max(counts[c] for c in left_out)} detectors each",
        axis.get_title("right"),
    )


def test_detector_figures_name_what_they_leave_out(run_folder: Callable[..., Path]) -> None:
    pops, colours = read(run_folder(detector_share=0))
    figures = detector_figures("net", pops, colours)
    assert len(figures) == 1 and not figures[0].axes
    assert any(
        t.startswith("No detectors: layer 18 · depthwise, layer 18 · pointwise, layer 20") for t in texts(figures[0])
    )


def test_figure5_cells_hold_the_best_unit(reported: Path, rows: Rows) -> None:
    pops, colours = read(reported)
    asked: list[tuple[str, str, str, int]] = []

    def strip_of(p: Population, position: int, n: int) -> np.ndarray:
        asked.append((p.network, p.layer, p.operator, int(p.units["unit"].iloc[position])))
        return GREY_STRIP

    with figure_style():
        (figure,) = figure5(by_network(pops), strip_of, colours)
        best = {}
        for r in rows(reported):
            key = (r["network"], r["layer"], r["operator"])
            if float(r["iou"]) > float(best.get(key, {"iou": -1})["iou"]):
                best[key] = r
        assert sorted(asked) == sorted((*key, int(r["unit"])) for key, r in best.items())
        for r in best.values():
            assert r["label"] in texts(figure)
            assert f"{r['category']} · IoU {float(r['iou']):.3f} · unit {r['unit']}" in texts(figure)
        assert NOTHING not in texts(figure)
        assert overlaps(figure) == outside(figure) == []


def test_no_network_is_refused() -> None:
    with pytest.raises(UserError, match="`panels` is empty"):
        figure6({})
    with pytest.raises(UserError, match="`networks` is empty"):
        figure5({}, lambda *_: None, {})


def test_figure5_says_where_nothing_is_detected(run_folder: Callable[..., Path]) -> None:
    pops, colours = read(run_folder(detector_share=0))

    def no_strip(*_: object) -> None:
        raise AssertionError("a cell without a detector shows no image")

    (figure,) = figure5(by_network(pops), no_strip, colours)
    assert texts(figure).count(NOTHING) == 6
    unit = pops[0].units.iloc[pops[0].best]
    assert f"best: {unit['label']} ({unit['category']})" in texts(figure)
    assert f"IoU {unit['iou']:.4f} · unit {unit['unit']}" in texts(figure)


def test_figure5_continues_on_further_pages(run_folder: Callable[..., Path]) -> None:
    layers = [(str(n), o, 2) for n in range(1, 26) for o in ("depthwise", "pointwise")]
    pops, colours = read(run_folder(networks={"n": layers}, detector_share=1))
    with figure_style():
        pages = figure5(by_network(pops), lambda *_: GREY_STRIP, colours)
    assert len(pages) > 1
    assert sorted(t for page in pages for t in texts(page) if t.startswith("layer ")) == sorted(
        f"layer {n}" for n in range(1, 26)
    )


WEIRD = [
    ("object", "</script><img src=x onerror=alert(1)>"), ("object", "$x^{"), ("part", "日本語"), ("material", "W" * 90),
    ("color", "NA"), ("a very long name of a category", "two\nlines & \x07 bell"),
]  # fmt: skip
LONG = [
    (f"features.{a}.block.{b}.squeeze_excitation.activation", op, 6)
    for a in (0, 3)
    for b, op in ((0, "relu"), (1, "conv2d"))
]


@pytest.mark.parametrize("layers", [LONG, [("25", "conv", 30)], [(str(n), "conv", 9) for n in range(10)]])
def test_no_text_overlaps_or_leaves_its_figure(
    run_folder: Callable[..., Path], layers: list[tuple[str, str, int]]
) -> None:
    networks = {"a network with a name too long for its place in a figure": layers, "b": layers[:1]}
    pops, colours = read(run_folder(networks=networks, concepts=WEIRD))
    panels = by_network(pops)
    with figure_style():
        figures = [
            *figure5(panels, lambda *_: GREY_STRIP, colours),
            figure6(panels),
            figure6(panels, "share"),
            *detector_figures("a network", pops, colours)[:2],
        ]
        for figure in figures:
            assert overlaps(figure) == outside(figure) == []


def test_svg_is_the_same_on_every_day_and_well_formed(run_folder: Callable[..., Path]) -> None:
    pops, colours = read(run_folder(concepts=WEIRD))

    def drawn() -> list[bytes]:
        with figure_style():
            figures = [
                *figure5(by_network(pops), lambda *_: GREY_STRIP, colours),
                *detector_figures("n", pops, colours),
            ]
            return [render(figure, ["svg"])["svg"] for figure in figures]

    first = drawn()
    assert first == drawn()
    for svg in first:
        ET.fromstring(svg)
        assert b"<dc:date>" not in svg and b"http://www.w3.org/2000/svg" in svg


def test_text_is_cut_to_its_room() -> None:
    assert fit_text("short", 2, 7) == "short"
    cut = fit_text("W" * 60, 1, 7)
    assert 4 < len(cut) < 30 and "…" in cut
    assert fit_text("two\nlines\ttab \ud800", 5, 7) == "two lines tab \ufffd"

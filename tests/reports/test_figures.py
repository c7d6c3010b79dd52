"""The bars are as high as the numbers, the cells say what the tables say, and no text leaves its figure."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from run_writer import THREE_LAYERS, make_run

from data_prep.common.errors import UserError
from dissect.run_store import open_run
from reports.bars import Intervals, attribute_bars, figure6
from reports.best_units import NONE_OF_CATEGORY, NOTHING, figure5, figure5_by_category
from reports.concept_bars import MAX_CONCEPTS, detector_bars, detector_figures, top_concepts
from reports.distributions import iou_boxes, iou_figures
from reports.flows import MAX_LANES, flow_figures, flows
from reports.heatmap import concept_heatmaps, concept_table, heatmap
from reports.intervals import Interval
from reports.style import (
    OPERATOR_COLOURS,
    axis_inches,
    category_colours,
    figure_style,
    fit_text,
    new_figure,
    render,
    write_figure,
)
from reports.summary import Population, categories_of, populations

GREY_STRIP = np.full((40, 124, 3), 90, np.uint8)
Rows = Callable[..., list[dict[str, str]]]


@pytest.fixture(scope="module")
def two_networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that tests only read."""
    return make_run(tmp_path_factory.mktemp("figures") / "run", {"imagenet12": THREE_LAYERS, "cifar100": THREE_LAYERS})


def read(folder: Path) -> tuple[list[Population], dict[str, str]]:
    run = open_run(folder)
    pops = populations(run)
    return pops, category_colours(categories_of(run, pops))


def made_up(pops: list[Population]) -> tuple[Intervals, dict[Population, np.ndarray]]:
    """Intervals and held-out IoU that have no more to do with the units than their number."""
    intervals = {
        p: (
            Interval(p.n_detectors, p.n_detectors - 3, p.n_detectors + 4),
            Interval(len(p.attributes), len(p.attributes) - 2, len(p.attributes) + 3),
        )
        for p in pops
    }
    return intervals, {p: p.units["iou"].to_numpy() * 0.8 for p in pops}


def counted(rows: list[dict[str, str]], **chosen: str) -> Counter[tuple[str, str]]:
    """Detectors of each (category, label) among the rows of `units.csv` that have these values."""
    mine = [r for r in rows if all(r[key] == value for key, value in chosen.items()) and float(r["iou"]) > 0.04]
    return Counter((r["category"], r["label"]) for r in mine)


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
    """Texts that stick out of the figure, which `overlaps` has laid out before."""
    renderer, box = figure.canvas.get_renderer(), figure.bbox
    found = []
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible():
            t = text.get_window_extent(renderer)
            if t.x0 < box.x0 - 1 or t.y0 < box.y0 - 1 or t.x1 > box.x1 + 1 or t.y1 > box.y1 + 1:
                found.append(text.get_text())
    return found


def test_bars_are_the_numbers_of_unique_detectors(two_networks: Path, rows: Rows) -> None:
    pops, _ = read(two_networks)
    concepts: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for r in rows(two_networks):
        if r["network"] == "cifar100" and float(r["iou"]) > 0.04:
            concepts.setdefault((r["layer"], r["operator"]), set()).add((r["category"], r["label"]))
    axis = new_figure(3, 2).subplots()
    assert attribute_bars(axis, by_network(pops)["cifar100"]) is axis
    keys = [(layer, operator) for layer in ("18", "20", "22") for operator in ("depthwise", "pointwise")]
    assert bars(axis) == [(len(concepts.get(key, ())), OPERATOR_COLOURS[key[1]]) for key in keys]
    assert [t.get_text() for t in axis.texts] == [str(len(concepts.get(key, ()))) for key in keys]
    assert [t.get_text() for t in axis.get_xticklabels()] == ["18", "20", "22"]


def test_share_is_of_the_units_of_its_own_operator(two_networks: Path, rows: Rows) -> None:
    pops, _ = read(two_networks)
    units = [r for r in rows(two_networks) if (r["network"], r["layer"]) == ("imagenet12", "20")]
    axis = attribute_bars(new_figure(3, 2).subplots(), by_network(pops)["imagenet12"], "share")
    for k, operator in enumerate(("depthwise", "pointwise")):
        mine = [float(r["iou"]) > 0.04 for r in units if r["operator"] == operator]
        assert bars(axis)[2 + k][0] == pytest.approx(100 * sum(mine) / len(mine))


def test_figure6_has_a_panel_a_network_and_one_scale(two_networks: Path) -> None:
    pops, _ = read(two_networks)
    with figure_style():
        figure = figure6(by_network(pops))
        assert [axis.get_title(loc="left") for axis in figure.axes] == ["imagenet12", "cifar100"]
        assert len({axis.get_ylim() for axis in figure.axes}) == 1
        assert overlaps(figure) == outside(figure) == []


def test_error_bars_end_where_the_intervals_do(two_networks: Path) -> None:
    """Never below zero nor above all units; the number stands above them, and the scale holds them."""
    pops = by_network(read(two_networks)[0])["cifar100"]
    intervals, _ = made_up(pops)
    axis = attribute_bars(new_figure(3, 2).subplots(), pops, intervals=intervals)
    (lines,) = axis.containers[1].lines[2]
    ends = [(low, high) for (_, low), (_, high) in lines.get_segments()]
    n = [len(p.attributes) for p in pops]
    units = [p.n_units for p in pops]
    assert ends == [(max(k - 2, 0), min(k + 3, u)) for k, u in zip(n, units, strict=True)]
    assert [text.get_position()[1] for text in axis.texts] == [high for _, high in ends]
    assert axis.get_ylim()[1] > max(high for _, high in ends)

    shares = attribute_bars(new_figure(3, 2).subplots(), pops, "share", intervals=intervals)
    (lines,) = shares.containers[1].lines[2]
    low, high = lines.get_segments()[0][:, 1]
    p = pops[0]
    assert low == pytest.approx(100 * (p.n_detectors - 3) / p.n_units)
    assert high == pytest.approx(100 * (p.n_detectors + 4) / p.n_units)


def test_figure6_without_detectors_shows_zeros(run_folder: Callable[..., Path]) -> None:
    pops, _ = read(run_folder(detector_share=0))
    figure = figure6(by_network(pops))
    assert [height for height, _ in bars(figure.axes[0])] == [0] * 6
    assert texts(figure).count("0") >= 6 and "no detector in any layer" in texts(figure)


def test_detector_bars_count_units_of_each_concept(two_networks: Path, rows: Rows) -> None:
    pops, colours = read(two_networks)
    population = next(p for p in pops if (p.network, p.layer, p.operator) == ("cifar100", "22", "pointwise"))
    counts = counted(rows(two_networks), network="cifar100", layer="22", operator="pointwise")
    concepts, n_more = top_concepts(pops, list(colours))
    axis = new_figure(7, 2).subplots()
    assert detector_bars(axis, population, concepts, colours) is axis
    assert n_more == 0 and set(counts) < set(concepts)  # those of the other panels keep their places
    assert [t.get_text() for t in axis.texts if t.get_rotation() == 90] == [label for _, label in concepts]
    found = {round(bar.get_x() + bar.get_width() / 2): bar for bar in axis.patches}
    assert {concepts[x]: (bar.get_height(), to_hex(bar.get_facecolor()).upper()) for x, bar in found.items()} == {
        c: (n, colours[c[0]].upper()) for c, n in counts.items()
    }


def test_detector_panels_share_concepts_and_scale(two_networks: Path) -> None:
    pops, colours = read(two_networks)
    with figure_style():
        (figure,) = detector_figures("n", by_network(pops)["cifar100"], colours)
    assert len({axis.get_ylim() for axis in figure.axes}) == len({axis.get_xlim() for axis in figure.axes}) == 1


def test_too_many_concepts_are_counted_in_words(run_folder: Callable[..., Path]) -> None:
    concepts = [("object" if k % 3 else "scene", f"thing {k}") for k in range(90)]
    pops, colours = read(run_folder(detector_share=1, networks={"n": [("1", "conv", 400)]}, concepts=concepts))
    kept, n_more = top_concepts(pops, list(colours))
    counts = pops[0].detectors_per_concept
    assert len(kept) == MAX_CONCEPTS and n_more == len(counts) - MAX_CONCEPTS
    left_out = set(counts) - set(kept)
    least, most = min(counts[c] for c in kept), max(counts[c] for c in left_out)
    assert most <= least
    assert {c for c, _ in kept if counts[(c, _)] == least} == {"object", "scene"}  # a tie is not cut by the alphabet
    for figures in (detector_figures("n", pops, colours), concept_heatmaps({"n": pops}, colours)):
        assert f"Not drawn: {n_more} concepts with at most {most} detectors each in all." in texts(figures[-1])
    assert f"{len(counts) - MAX_LANES} concepts" in " ".join(texts(flow_figures("n", pops, colours)[-1]))


def test_heatmap_holds_the_counts(two_networks: Path, rows: Rows) -> None:
    """By digits and by colour: a cell of each number, blank where it is zero, every panel with one scale."""
    pops, colours = read(two_networks)
    concepts, _ = top_concepts(pops, list(colours))
    table = concept_table(pops, concepts)
    for (network, operator, layer), column in table.items():
        counts = counted(rows(two_networks), network=network, operator=operator, layer=layer)
        assert {c: n for c, n in column.items() if n} == dict(counts)
    axis = new_figure(5, 3).subplots()
    assert heatmap(axis, table, colours) is axis
    cells = {(round(t.get_position()[1] - 0.5), round(t.get_position()[0] - 0.5)): t.get_text() for t in axis.texts}
    digits = {place: int(text) for place, text in cells.items() if place[1] >= 0}
    drawn = table.to_numpy()
    assert digits == {(r, c): drawn[r, c] for r, c in np.argwhere(drawn)}
    (mesh,) = axis.collections
    assert (np.ma.getmaskarray(mesh.get_array()).reshape(drawn.shape) == (drawn == 0)).all()
    shades = mesh.to_rgba(mesh.get_array())[..., :3].sum(-1).reshape(drawn.shape)
    assert shades[drawn == drawn.max()].max() < shades[drawn == 1].min()  # the more, the darker

    with figure_style():
        (figure,) = concept_heatmaps(by_network(pops), colours)
    assert len({axis.collections[0].norm.vmax for axis in figure.axes[:2]}) == 1
    assert overlaps(figure) == outside(figure) == []


def test_seven_networks_make_one_page(run_folder: Callable[..., Path]) -> None:
    layers = [(str(n), o, 2) for n in (18, 20, 22) for o in ("depthwise", "pointwise")]
    pops, colours = read(run_folder(networks={f"network {k}": layers for k in range(7)}, concepts=WEIRD))
    with figure_style():
        (figure,) = concept_heatmaps(by_network(pops), colours)
        assert figure.get_figwidth() <= 7.2 and len(figure.axes) == 8
        assert overlaps(figure) == outside(figure) == []


def test_flows_are_as_thick_as_the_counts(two_networks: Path) -> None:
    _, colours = read(two_networks)
    car, tree = ("object", "car"), ("object", "tree")
    axis = new_figure(3, 2).subplots()
    assert flows(axis, {"18": {car: 1}, "20": {car: 4, tree: 2}, "22": {tree: 3}}, [car, tree], colours) is axis
    bars = [patch for patch in axis.patches if isinstance(patch, Rectangle)]
    heights = sorted((round(b.get_x(), 3), round(b.get_y(), 3), b.get_height()) for b in bars)
    thickness = [h for *_, h in heights]  # from left to right, car above tree
    one = thickness[1] - thickness[0]
    assert thickness[2] - thickness[0] == pytest.approx(one / 3)  # 2 against 1
    assert thickness[1] - thickness[3] == pytest.approx(one / 3)  # 4 against 3
    bands = [patch for patch in axis.patches if not isinstance(patch, Rectangle)]
    assert len(bands) == 4  # of the car, and none between two zeros
    assert [t.get_text() for t in axis.texts] == ["car", "1", "4", "tree", "2", "3", "18", "20", "22"]
    width, height = axis_inches(axis)
    assert axis.get_xlim() == (0, width) and axis.get_ylim() == (pytest.approx(height), 0)


def test_boxes_are_the_quantiles_of_units_that_fire(two_networks: Path, rows: Rows) -> None:
    pops = by_network(read(two_networks)[0])["cifar100"]
    _, held_out = made_up(pops)
    axis = new_figure(4, 2).subplots()
    assert iou_boxes(axis, pops, iou_cut=0.04, held_out=held_out) is axis
    boxes = sorted((patch.get_path().get_extents() for patch in axis.patches), key=lambda box: box.x0)
    assert len(boxes) == 12
    for k, (layer, operator) in enumerate((la, o) for la in ("18", "20", "22") for o in ("depthwise", "pointwise")):
        mine = [
            float(r["iou"])
            for r in rows(two_networks)
            if (r["network"], r["layer"], r["operator"], r["dead"]) == ("cifar100", layer, operator, "False")
        ]
        for box, values in ((boxes[2 * k], np.array(mine)), (boxes[2 * k + 1], 0.8 * np.array(mine))):
            assert (box.y0, box.y1) == pytest.approx(np.quantile(values, (0.25, 0.75)))
    assert any(list(line.get_ydata()) == [0.04, 0.04] for line in axis.get_lines())


def test_detector_figures_name_what_they_leave_out(run_folder: Callable[..., Path]) -> None:
    pops, colours = read(run_folder(detector_share=0))
    figures = detector_figures("net", pops, colours)
    assert len(figures) == 1 and not figures[0].axes
    assert any(
        t.startswith("No detectors: layer 18 · depthwise, layer 18 · pointwise, layer 20") for t in texts(figures[0])
    )


def test_figure5_cells_hold_the_best_unit(two_networks: Path, rows: Rows) -> None:
    pops, colours = read(two_networks)
    asked: list[tuple[str, str, str, int]] = []

    def strip_of(p: Population, position: int, n: int) -> np.ndarray:
        asked.append((p.network, p.layer, p.operator, int(p.units["unit"].iloc[position])))
        return GREY_STRIP

    with figure_style():
        (figure,) = figure5(by_network(pops), strip_of, colours)
        best = {}
        for r in rows(two_networks):
            key = (r["network"], r["layer"], r["operator"])
            if float(r["iou"]) > float(best.get(key, {"iou": -1})["iou"]):
                best[key] = r
        assert sorted(asked) == sorted((*key, int(r["unit"])) for key, r in best.items())
        for r in best.values():
            assert r["label"] in texts(figure)
            assert f"{r['category']} · IoU {float(r['iou']):.3f} · unit {r['unit']}" in texts(figure)
        assert NOTHING not in texts(figure)
        assert overlaps(figure) == outside(figure) == []


def test_figure5_by_category_holds_the_best_of_each(two_networks: Path, rows: Rows) -> None:
    pops, colours = read(two_networks)
    asked: list[tuple[str, str, str, int]] = []

    def strip_of(p: Population, position: int, n: int) -> np.ndarray:
        asked.append((p.network, p.layer, p.operator, int(p.units["unit"].iloc[position])))
        return GREY_STRIP

    best: dict[tuple[str, ...], dict[str, str]] = {}
    for r in rows(two_networks):
        key = (r["network"], r["layer"], r["operator"], r["category"])
        if r["network"] == "cifar100" and float(r["iou"]) > max(0.04, float(best.get(key, {"iou": 0})["iou"])):
            best[key] = r
    with figure_style():
        pages = figure5_by_category({"cifar100": by_network(pops)["cifar100"]}, strip_of, colours)
        assert sorted(asked) == sorted((*key[:3], int(r["unit"])) for key, r in best.items())
        shown = [t for page in pages for t in texts(page)]
        n_cells = 6 * len({key[3] for key in best})
        assert shown.count(NONE_OF_CATEGORY) == n_cells - len(best)
        for r in best.values():
            assert f"IoU {float(r['iou']):.3f} · unit {r['unit']}" in shown
        for page in pages:
            assert overlaps(page) == outside(page) == []


def test_no_network_is_refused() -> None:
    for figures in (figure5_by_category, lambda networks, *_: iou_figures(networks, iou_cut=0.04)):
        with pytest.raises(UserError, match="`networks` is empty"):
            figures({}, lambda *_: None, {})
    with pytest.raises(UserError, match="`networks` is empty"):
        concept_heatmaps({}, {})
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
    ("color", "NA"), ("a very long name of a category", "two\nlines & \x07 bell"), ("own 1", "चित्र"), ("own 2", "مصباح"),
]  # fmt: skip
LONG = [
    (f"features.{a}.block.{b}.squeeze_excitation.activation", op, 6)
    for a in (0, 3)
    for b, op in ((0, "relu"), (1, "conv2d"))
]


@pytest.mark.parametrize(
    "layers",
    [
        LONG,
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in ([("25", "conv", 30)], [(str(n), "conv", 9) for n in range(10)])
        ),
    ],
)
def test_no_text_overlaps_or_leaves_its_figure(
    run_folder: Callable[..., Path], layers: list[tuple[str, str, int]]
) -> None:
    networks = {"a network with a name too long for its place in a figure": layers, "b": layers[:1]}
    pops, colours = read(run_folder(networks=networks, concepts=WEIRD))
    panels = by_network(pops)
    intervals, held_out = made_up(pops)
    with figure_style():
        figures = [
            *figure5(panels, lambda *_: GREY_STRIP, colours),
            *figure5_by_category(panels, lambda *_: GREY_STRIP, colours)[:1],
            figure6(panels, "attributes", intervals),
            figure6(panels, "share"),
            *detector_figures("a network", pops, colours)[:1],
            *concept_heatmaps(panels, colours),
            *flow_figures("a network", by_network(pops)["b"], colours),
            *iou_figures(panels, iou_cut=0.04, held_out=held_out),
        ]
        for figure in figures:
            assert (overlaps(figure), outside(figure)) == ([], []), texts(figure)


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


def test_a_figure_is_written_in_every_format(tmp_path: Path) -> None:
    figure = new_figure(1, 1)
    figure.text(0.1, 0.5, "a")
    with figure_style():
        first = write_figure(figure, tmp_path / "a", ("png", "svg", "pdf"), dpi=100)
        assert first == write_figure(figure, tmp_path / "a", ("png", "svg", "pdf"), dpi=100)
        assert first["pdf"].startswith(b"%PDF") and (tmp_path / "a.pdf").read_bytes() == first["pdf"]
        with pytest.raises(UserError, match=r"`formats` has 'gif'; it takes png, jpg, svg and pdf"):
            write_figure(figure, tmp_path / "a", ("gif",))


def test_text_is_cut_to_its_room() -> None:
    assert fit_text("short", 2, 7) == "short"
    cut = fit_text("W" * 60, 1, 7)
    assert 4 < len(cut) < 30 and "…" in cut
    assert fit_text("two\nlines\ttab \ud800", 5, 7) == "two lines tab \ufffd"

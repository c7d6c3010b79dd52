"""What a notebook shows of a run, a unit, a layer; and the notebook of docs/ runs."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from run_writer import make_run

from dissect.run_store import Run, open_run
from reports.notebook import unit_card
from reports.summary import populations

TOUR = Path(__file__).parents[2] / "docs" / "tour.ipynb"
EVIL = "<img src=x onerror=alert(1)>"


def html_of(thing: object) -> str:
    """What the notebook shows; only tags that the toolkit writes."""
    text = thing._repr_html_()
    tags = set(re.findall(r"</?([a-z]+)", text))
    assert tags <= {"div", "strong", "p", "table", "tr", "th", "td", "img"}, tags
    assert EVIL not in text
    return text


def test_a_run_shows_its_layers_and_notes(tmp_path: Path) -> None:
    run = open_run(make_run(tmp_path / "run <b>", {"net": [("18", "depthwise", 12), ("18", EVIL, 3)]}, notes=[EVIL]))
    text = html_of(run)
    assert "Run run &lt;b&gt;" in text and text.count("<tr>") == 3 and "1 network on mini-broden: 12 images" in text
    detectors = int(run.units["detector"][:12].sum())
    assert f'>12</td><td style="text-align:right">{detectors}</td>' in text


def test_a_layer_shows_its_concepts_by_number_of_detectors(tmp_path: Path) -> None:
    run = open_run(
        make_run(tmp_path / "run", {"net": [("18", "conv", 60)]}, concepts=[("object", EVIL), ("color", "red")])
    )
    (layer,) = populations(run)
    text = html_of(layer)
    assert f"60 units, {layer.n_detectors} detectors" in text
    (_, first), (_, second) = layer.detectors_per_concept.most_common()
    assert re.findall(r'right">(\d+)<', text) == [str(first), str(second)]


def test_a_unit_shows_its_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(make_run(tmp_path / "run", {"net": [("18", "conv", 20)]}))
    sizes = {
        "intersection_area": (20, 12),
        "mask_area": (20, 6),
        "concept_area": 12,
        "n_images": 12,
        "annotated_area": 6,
    }
    counts = {name: np.zeros(size, np.int64) for name, size in sizes.items()}  # the written run has none
    monkeypatch.setattr(Run, "counts", lambda _run, _network: counts)
    live = int((~run.units["dead"]).to_numpy().argmax())
    card = unit_card(run, "net", 18, live, n_images=3)
    assert len(card.images) == 3 and card.missing == 0
    assert html_of(card).count('<img src="data:image/jpeg;base64,') == 3
    for (name, jpeg), image in zip(card.images, run.strongest_masks("net").image[live], strict=False):
        assert name == run.images["name"][image] and jpeg.startswith(b"\xff\xd8") and len(jpeg) < 20_000
    (run.image_root / card.images[0][0]).unlink()
    again = unit_card(run, "net", 18, live, n_images=3)
    assert [name for name, _ in again.images] == [name for name, _ in card.images[1:]] and again.missing == 1


def test_the_notebook_of_the_docs_holds_no_outputs_of_a_machine() -> None:
    cells = nbformat.read(TOUR, as_version=4).cells
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)
    assert not re.search(r"/(tmp|home|root|work)\b", TOUR.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_notebook_of_the_docs_runs(tmp_path: Path) -> None:
    from nbclient import NotebookClient

    notebook = nbformat.read(TOUR, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [
        output["data"]["text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "data" in output and "text/html" in output["data"]
    ]
    assert [
        bool(re.search(word, text))
        for word, text in zip(("Run tour", "layer 22", "<img", "held_out_iou", "<"), shown, strict=True)
    ] == [True] * 5
    assert not any(output["output_type"] == "error" for cell in notebook.cells for output in cell.get("outputs", []))

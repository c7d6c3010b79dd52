"""How many detectors, of how many concepts: counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from dissect.run_store import UNIT_COLUMNS, Run
from dissect.summary import summary

ROWS = [
    # network, layer, operator, category, label, detector, dead
    ("b", "18", "depthwise", "object", "cat", True, False),
    ("b", "18", "depthwise", "object", "cat", True, False),
    ("b", "18", "depthwise", "part", "hair", True, False),
    ("b", "18", "depthwise", "material", "hair", True, False),  # one label of two categories is two concepts
    ("b", "18", "depthwise", "object", "dog", False, False),
    ("b", "18", "depthwise", "", "", False, True),
    ("b", "18", "pointwise", "object", "NA", True, False),
    ("b", "18", "pointwise", "object", "null", True, False),
    ("a", "2", "conv", "", "", False, True),
    ("a", "2", "conv", "", "", False, True),
]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    lines = [",".join(UNIT_COLUMNS)]
    for n, (network, layer, operator, category, label, detector, dead) in enumerate(ROWS):
        lines.append(f"{network},,{layer},{operator},m,{n},0.5,{category},{label},0.1,{detector},{dead},1,10,1.0")
    (tmp_path / "units.csv").write_text("\n".join(lines) + "\n")
    return Run(tmp_path, {"data": {"categories": ["object", "part", "material", "scene"]}})


def test_counts_by_hand(run: Run) -> None:
    table = summary(run)
    assert list(table) == [
        "network", "layer", "operator", "n_units", "n_detectors", "detector_share", "n_unique", "n_dead",
        "n_unique_object", "n_unique_part", "n_unique_material", "n_unique_scene",
    ]  # fmt: skip
    assert table.to_numpy().tolist() == [
        ["b", "18", "depthwise", 6, 4, 4 / 6, 3, 1, 1, 1, 1, 0],
        ["b", "18", "pointwise", 2, 2, 1.0, 2, 0, 2, 0, 0, 0],
        ["a", "2", "conv", 2, 0, 0.0, 0, 2, 0, 0, 0, 0],
    ]


def test_unique_by_category_adds_up(run: Run) -> None:
    table = summary(run)
    by_category = table[[column for column in table if column.startswith("n_unique_")]].sum(axis=1)
    assert (by_category == table["n_unique"]).all()

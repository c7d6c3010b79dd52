"""Curves over the layers draw the numbers of the populations."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_writer import make_run

from data_prep.common.errors import UserError
from dissect.run_store import open_run
from reports.curves import layer_curves
from reports.style import figure_style, render
from reports.summary import populations


def test_layers_without_numbers_and_nothing_at_all_are_refused(tmp_path: Path) -> None:
    run = open_run(make_run(tmp_path / "run", {"one": [("features.3", "conv", 4)]}))
    with pytest.raises(UserError, match=r"`panels` has the layer 'features.3'; a curve needs numbered layers"):
        layer_curves({"one": populations(run)})
    with pytest.raises(UserError, match="`panels` is empty"):
        layer_curves({})


def test_lines_are_the_numbers_of_unique_detectors(tmp_path: Path) -> None:
    layers = [(str(n), operator, 9) for n in (9, 10, 11) for operator in ("depthwise", "pointwise")]
    run = open_run(make_run(tmp_path / "run", {"one": layers, "two": layers, "three": layers}))
    panels = {name: [p for p in populations(run) if p.network == name] for name in ("one", "two", "three")}
    with figure_style():
        figure = layer_curves(panels)
        assert render(figure, ["png"])["png"][:4] == b"\x89PNG"
    assert [axis.get_title(loc="left") for axis in figure.axes] == list(panels)
    for axis, pops in zip(figure.axes, panels.values(), strict=True):
        for line, operator in zip(axis.get_lines(), ("depthwise", "pointwise"), strict=True):
            assert line.get_xdata().tolist() == [9, 10, 11]  # by number, not by name
            assert line.get_ydata().tolist() == [len(p.attributes) for p in pops if p.operator == operator]

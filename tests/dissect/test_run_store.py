"""A finished run in a notebook: IoU of all units, one unit, refusals, and what the folder is said to hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from brute_force import UNION_RULES, brute_force, read_broden
from comparing import collected

from data_prep.broden import open_broden
from data_prep.common.errors import UserError
from dissect import run_store
from dissect.layers import list_layers, select_layers
from dissect.models import load_network
from dissect.run_store import FOLD, Run, open_run
from dissect.scores import Counts

UNIT = ["network", "layer", "operator", "unit"]


@pytest.fixture
def finished(run, sixty: Path, out: Path) -> Run:
    run("--layers", 1, 2, "--quantile", 0.9, data=sixty)
    return open_run(out)


@pytest.mark.parametrize("union", UNION_RULES)
def test_iou_equals_brute_force(run, nets: str, sixty: Path, out: Path, union: str) -> None:
    run("--layers", 1, 2, "--quantile", 0.9, "--batch-size", 8, "--device", "cpu", "--union", union, data=sixty)
    network, data = load_network(f"{nets}:small"), open_broden(sixty)
    layers = select_layers(list_layers(network.model, network.input_size), ["1", "2"])
    reference = brute_force(collected(network, layers, data, 8), read_broden(sixty), 0.9)
    iou = open_run(out).iou()
    assert iou.to_numpy().tobytes() == reference.iou(union).tobytes()
    assert iou.columns.to_list() == [(concept.category, concept.name) for concept in data.concepts]


def test_the_best_of_iou_is_the_table_of_units(finished: Run) -> None:
    iou, units = finished.iou(), finished.units
    assert iou.index.names == UNIT and iou.columns.names == ["category", "label"]
    assert iou.index.to_list() == list(units[UNIT].itertuples(index=False, name=None))
    assert iou.max(axis=1).to_numpy().tobytes() == units["iou"].to_numpy().tobytes()
    for best, unit in zip(iou.idxmax(axis=1), units.itertuples(), strict=True):
        assert (unit.category, unit.label) == (best if unit.iou else ("", ""))
    assert (units["iou"] > 0).sum() > 10


def test_iou_of_one_network(run, nets: str, sixty: Path, out: Path, dissect) -> None:
    said = dissect(
        "run", f"{nets}:small", f"{nets}:small", "--names", "a", "b", "--data", sixty, "--out", out, "--layers", 1
    )
    assert said.status == 0, said
    finished = open_run(out)
    both, b = finished.iou(), finished.iou("b")
    assert len(both) == 2 * len(b) and set(b.index.get_level_values("network")) == {"b"}
    assert both.to_numpy()[len(b) :].tobytes() == b.to_numpy().tobytes()


def test_one_unit(finished: Run) -> None:
    units = finished.units
    row = units.index[(units["layer"] == "2") & (units["iou"] > 0)][0]
    wanted = units.loc[row]
    unit = finished.unit("small", 2, wanted["unit"], wanted["operator"])
    assert unit.facts.to_dict() == wanted.to_dict()
    (same,) = finished.iou().xs(tuple(wanted[UNIT]), drop_level=False).to_numpy()[None]
    assert unit.concepts["iou"].tolist() == sorted(same[same > 0], reverse=True)
    first = unit.concepts.iloc[0]
    for name in ("category", "label", "iou", "intersection_area", "union_area"):
        assert first[name] == wanted[name], name
    assert (unit.concepts["intersection_area"] / unit.concepts["union_area"] == unit.concepts["iou"]).all()
    assert unit.by_category["category"].tolist() == ["object", "scene"]
    for best in unit.by_category.itertuples():
        assert best.iou == unit.concepts["iou"][unit.concepts["category"] == best.category].max()


def test_a_unit_by_the_name_of_its_module(finished: Run) -> None:
    units = finished.units
    last = units.iloc[-1]
    assert finished.unit("small", last["module"], last["unit"]).facts.to_dict() == last.to_dict()


def test_a_dead_unit_responds_to_nothing(run, out: Path, tiny_broden: Path) -> None:
    run("--layers", 1)
    finished = open_run(out)
    dead = finished.units[finished.units["iou"] == 0]
    assert len(dead)
    unit = finished.unit("small", dead.iloc[0]["layer"], dead.iloc[0]["unit"], dead.iloc[0]["operator"])
    assert unit.concepts.empty and list(unit.concepts)[:3] == ["category", "label", "iou"]


def test_refusals(finished: Run) -> None:
    units = finished.units
    several = units.groupby("layer")["operator"].nunique()
    layer = several.index[several > 1][0]
    n_units = len(units[(units["layer"] == "1")])
    for call, says in (
        (lambda: finished.iou("smal"), r"^Unknown network 'smal'; known: small; nearest: small\.$"),
        (lambda: finished.counts("big"), r"^Unknown network 'big'; known: small\.$"),
        (lambda: finished.strongest_masks("big"), r"^Unknown network 'big'; known: small\.$"),
        (lambda: finished.unit("smal", 1, 0), r"^Unknown network 'smal'"),
        (
            lambda: finished.unit("small", "pointwize", 0),
            r"^Unknown layer 'pointwize'; known: 1, .*; nearest: pointwise",
        ),
        (
            lambda: finished.unit("small", layer, 0, "conv"),
            rf"^Unknown operator of layer {layer} 'conv'; known: depthwise",
        ),
        (
            lambda: finished.unit("small", layer, 0),
            rf"^Layer {layer} of small has several operators: set `operator` to depthwise or pointwise\.$",
        ),
        (
            lambda: finished.unit("small", 1, n_units),
            rf"^Layer 1 of small has no unit {n_units}; its units are 0 to {n_units - 1}\.$",
        ),
    ):
        with pytest.raises(UserError, match=says):
            call()


def test_the_arrays_of_counts_are_those_that_are_documented(run, finished: Run, sixty: Path, tmp_path: Path) -> None:
    run("--layers", 1, 2, "--folds", 1, data=sixty, out=tmp_path / "plain")
    run("--layers", 1, "--folds", 3, "--null", 4, data=sixty, out=tmp_path / "folds")
    n_folds, n_concepts = 3, len(finished.concepts)
    said = dict(re.findall(r"^    (\w+) +\(([\w, ]+)\) \w+", run_store.__doc__ or "", re.MULTILINE))
    plain, folds = open_run(tmp_path / "plain").counts("small"), open_run(tmp_path / "folds").counts("small")
    assert {name for name in said if not name.startswith(FOLD)} == {*plain, "null_score"}
    assert set(said) == set(folds)
    assert {name for name in said if name.startswith(FOLD)} == {FOLD + name for name in Counts._fields}
    sizes = {"U": len(folds["threshold"]), "C": n_concepts, "K": 2, "F": n_folds, "R": 4, "n": 60, "2": 2}
    for name, shape in said.items():
        wanted = [sizes[letter] for letter in re.findall(r"\w", shape)]
        if name != "skipped":
            assert list(folds[name].shape) == wanted, name
    assert folds["skipped"].shape == (0, 2)


def test_columns_are_those_that_are_documented(finished: Run) -> None:
    for table, columns in (
        ("units", run_store.UNIT_COLUMNS),
        ("unit_category", run_store.UNIT_CATEGORY_COLUMNS),
        ("concepts", run_store.CONCEPT_COLUMNS),
        ("images", run_store.IMAGE_COLUMNS),
        ("replicates", run_store.REPLICATE_COLUMNS),
        ("trust", run_store.TRUST_COLUMNS),
        ("labels", run_store.LABEL_COLUMNS),
    ):
        assert tuple(getattr(finished, table)) == columns

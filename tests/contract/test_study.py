"""The study's pages say what their tables say, its script can make every part, and its statistics are what they claim."""

from __future__ import annotations

import doctest
import importlib
import itertools
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from real_data import real_data

from dissect.run_store import FOLD
from dissect.scores import Counts
from mdl.scoring.score import wilson

STUDY = Path(__file__).parents[2] / "studies" / "depthwise_vs_pointwise"
MODULES = ("figure", "networks", "pages", "questions", "sharing", "tables", "trust")


@pytest.fixture(scope="module")
def study() -> Iterator[ModuleType]:
    sys.path.insert(0, str(STUDY))
    yield importlib.import_module("study")
    sys.path.remove(str(STUDY))


def module(name: str) -> ModuleType:
    """A module of the study, by the name under which the fixture imported it."""
    return importlib.import_module(name)


def test_the_pages_are_what_the_tables_make_of_them(study: ModuleType) -> None:
    pages = module("pages")
    for name in pages.PAGES:
        text = (STUDY / name).read_text(encoding="utf-8")
        assert "<!-- table: " in text and "| '" not in text  # the apostrophe of a spreadsheet
        assert pages.filled(text, pages.blocks((STUDY / name).parent)) == text, name


def test_examples_of_the_modules(study: ModuleType) -> None:
    results = [doctest.testmod(module(name)) for name in MODULES]
    assert sum(result.attempted for result in results) > 5 and sum(result.failed for result in results) == 0


def test_every_figure_and_link_is_there(study: ModuleType) -> None:
    n_figures = {}
    for name in module("pages").PAGES:
        page = STUDY / name
        targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
        n_figures[name] = len([target for target in targets if target.endswith(".png")])
        assert [target for target in targets if not (page.parent / target).exists()] == [], name
    assert n_figures == {"README.md": 1, "NUMBERS.md": 4, "half_width/README.md": 0, "all_concepts/README.md": 0}


def test_every_part_that_the_script_makes_is_in_the_tables(study: ModuleType) -> None:
    runs = pd.read_csv(STUDY / "runs.csv")
    assert runs["data"].nunique() == 2
    for data, group in runs.groupby("data"):
        wanted = {part.name for part in study.PARTS if not (part.photographs and data == "embedded")}
        assert set(group["part"]) == wanted and group["part"].is_unique, data
    assert set(study.tables.PARTS) == {part.name for part in study.PARTS}


def test_a_study_of_one_label_set_leaves_the_other(study: ModuleType) -> None:
    claims = pd.read_csv(STUDY / "claims.csv", keep_default_na=False)
    embedded = claims[claims["data"] == "embedded"]
    pd.testing.assert_frame_equal(study.tables.updated(claims, embedded).reset_index(drop=True), claims)
    photographs = claims[claims["data"] != "embedded"].assign(data="others", verdict="holds")
    found = study.tables.updated(claims, photographs)
    assert found["data"].tolist() == ["embedded"] * len(embedded) + ["others"] * len(photographs)


def test_a_part_that_is_made_again_leaves_the_others(study: ModuleType) -> None:
    runs = pd.DataFrame({"data": ["embedded", "photographs"] * 2, "part": ["a", "a", "b", "b"], "seconds": range(4)})
    again = pd.DataFrame({"data": ["photographs"], "part": ["b"], "seconds": [9]})
    found = study.tables.updated(runs, again, ("part",)).sort_values(["part", "data"])
    assert found["seconds"].tolist() == [0, 1, 2, 9]


@pytest.mark.parametrize("name", ["imagenet12", "cifar100-individual", "omniglot", "untrained"])
def test_networks_of_the_study(study: ModuleType, name: str) -> None:
    network = study.network(name)
    assert network.trained == (name != "untrained")
    with torch.inference_mode():
        logits = network.model(network.prepare(torch.zeros(1, *network.input_size, 3, dtype=torch.uint8)))
    assert torch.isfinite(logits).all()


def test_networks_that_do_not_come_along_are_asked_for(study: ModuleType) -> None:
    networks = module("networks")
    assert not networks.Sources().has("dtd-half") and networks.Sources().has("dtd")
    assert networks.Sources(checkpoints=STUDY).has("epoch-3")
    with pytest.raises(networks.UserError, match="give --half-width"):
        study.network("dtd-half")


def test_results_of_several_seeds_are_one_row_with_two_intervals(study: ModuleType) -> None:
    runs = real_data("trained_wide/runs")
    found = study.tables.methods_table([runs, runs, runs])
    assert len(found) == 3 * len(study.tables.methods_table([runs]))
    mine = found[(found["system"] == "pointwise-sharing") & found["domain"].isin(("imagenet12", "dtd"))].copy()
    mine["seed"] = mine.groupby("domain").cumcount()
    mine.loc[mine["domain"] == "dtd", "accuracy"] = [60.0, 62.0, 64.0]
    mine["seconds"], mine["device"] = 60, mine["seed"].map({0: "a GPU", 1: "a GPU", 2: "cpu, 1 thread"})
    mine.loc[mine["seed"] == 2, "seconds"] = 6000
    (row,) = module("pages")._method_rows(mine)
    low, high = (100 * share for share in wilson(round(0.62 * 388), 388))
    reach = 4.302653 * 2 / 3**0.5  # Student's t with two degrees of freedom
    assert row["seeds"] == 3 and row["dtd"] == f"62.0 ({low:.1f} to {high:.1f}) ± {reach:.1f}"
    assert row["minutes"] == "1.0"


# The statistics of the questions

N_UNITS, N_FOLDS = 4, 10
CONCEPTS = pd.DataFrame({"category": ["object", "object", "part"], "label": ["a", "b", "c"], "eligible": True})


def units_table(network: str, labels: str, layer: str = "18", operator: str = "pointwise") -> pd.DataFrame:
    """A unit for each letter: the label that it detects, or a dot for a unit that detects nothing."""
    n = len(labels)
    return pd.DataFrame(
        {
            "network": [network] * n, "layer": [layer] * n, "operator": [operator] * n, "unit": range(n),
            "category": "object", "label": list(labels.replace(".", "a")), "detector": [c != "." for c in labels],
            "dead": [False] * n,
        }
    )  # fmt: skip


@pytest.mark.parametrize(("first", "second"), [("aab.", "ab.a"), ("abca", "...."), ("aaaa", "aaaa"), ("....", "abca")])
def test_the_share_to_expect_by_chance_is_the_mean_over_all_numberings(
    study: ModuleType, first: str, second: str
) -> None:
    sharing = module("sharing")
    base = units_table("base", first)
    shares = [sharing.kept_share(base, units_table("other", "".join(p))) for p in itertools.permutations(second)]
    assert sharing.chance_share(base, units_table("other", second)) == pytest.approx(np.mean(shares))
    kept = sum(a == b != "." for a, b in zip(first, second, strict=True))
    n_detectors = max(sum(a != "." for a in first), 1)
    assert sharing.kept_share(base, units_table("other", second)) == kept / n_detectors


def a_run(networks: dict[str, int]) -> SimpleNamespace:
    """Networks with random counts in two layers of both operators; equal seeds give equal networks."""
    tables, arrays = [], {}
    for network, seed in networks.items():
        parts = [
            units_table(network, "abca", layer, operator)
            for layer in ("18", "20")
            for operator in ("depthwise", "pointwise")
        ]
        tables += parts
        random, n = np.random.default_rng(seed), 4 * N_UNITS
        shapes = {"intersection_area": (n, 3), "mask_area": (n, 2), "concept_area": (3,), "n_images": (3,)}
        shapes["annotated_area"] = (2,)
        arrays[network] = {
            FOLD + name: random.integers(1, 50, (N_FOLDS, *shapes[name])) + (60 if "mask" in name else 0)
            for name in Counts._fields
        }
    units = pd.concat(tables, ignore_index=True)
    replicates = pd.concat([units.assign(left_out=fold) for fold in range(N_FOLDS)])
    info = {"data": {"name": "made up", "categories": ["object", "part"]}, "settings": {"iou_cut": 0.04}}
    return SimpleNamespace(units=units, replicates=replicates, concepts=CONCEPTS, info=info, counts=arrays.__getitem__)


def test_what_can_be_kept_is_kept_by_an_equal_network_and_not_by_another(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharing = module("sharing")
    monkeypatch.setattr(sharing, "N_SPLITS", 1)
    found = sharing.repeat_table([a_run({"base": 0, "same": 0, "other": 1})], "base", ("same",), "other", cut=0.04)
    by_row = found.set_index(["network", "layer", "operator"])
    for operator in ("depthwise", "pointwise"):
        same, other = (by_row.loc[network, "all", operator] for network in ("same", "other"))
        assert same["of_possible"] == 1 and same["kept"] == by_row.loc["same network", "all", operator]["kept"]
        assert 0 < other["kept"] != same["kept"]
    difference = by_row.loc["other", "all", "pointwise - depthwise"]["kept"]
    assert difference == pytest.approx(
        by_row.loc["other", "all", "pointwise"]["kept"] - by_row.loc["other", "all", "depthwise"]["kept"]
    )


def test_the_change_with_the_width_is_full_minus_half(study: ModuleType) -> None:
    layers = ("18", "20")
    half, full = (
        pd.concat(
            [units_table(name, labels, layer, operator) for layer in layers for operator, labels in found.items()]
        )
        for name, found in (
            ("net-half", {"depthwise": "ab", "pointwise": "aa"}),
            ("net", {"depthwise": "abcd", "pointwise": "aaaa"}),
        )
    )
    runs = [
        SimpleNamespace(
            units=units,
            replicates=pd.concat([units.assign(left_out=fold) for fold in range(N_FOLDS)]),
            info={"data": {"name": "made up"}},
        )
        for units in (full, half)
    ]
    found = module("questions").width_table(runs[:1], runs[1]).set_index(["network", "layer"])
    assert found.loc["net", "18"][["half", "full", "change", "drawn", "drawn_change"]].tolist() == [1, 3, 2, 1, 0]
    assert found.loc["net", "all"][["half", "full", "change"]].tolist() == [2, 6, 4]
    assert found.loc["mean of the trained", "all"]["change_low"] == 4  # no fold changes anything


def unsteady(networks: dict[str, dict[str, str]]) -> SimpleNamespace:
    """One layer, a letter for each unit of each network and operator; without the last fold the last unit detects nothing."""
    units = pd.concat([units_table(n, labels, "18", o) for n, found in networks.items() for o, labels in found.items()])
    folds = [units.assign(left_out=fold) for fold in range(N_FOLDS)]
    last = folds[-1].groupby(["network", "operator"]).cumcount(ascending=False) == 0
    folds[-1]["detector"] &= ~last
    return SimpleNamespace(units=units, replicates=pd.concat(folds), info={"data": {"name": "made up"}})


def test_a_network_and_its_control_are_compared_on_the_same_folds(study: ModuleType) -> None:
    made = {"net": {"depthwise": "abcd", "pointwise": "aaaa"}, "twin": {"depthwise": "abcd", "pointwise": "aaaa"}}
    made["untrained"] = {"depthwise": "aa..", "pointwise": "a..."}
    found = module("questions").control_table([unsteady(made)], {"untrained": ("net", "twin"), "twin": ("net",)})
    assert found["network"].tolist() == ["net", "twin", "mean of the trained", "net"]
    assert found["above_control"].tolist() == [3, 3, 3, 0]
    assert found["above_control_low"].tolist()[-1] == 0  # both lose the same in the same fold
    assert (found["above_control_low"][:3] < 3).all()


def test_training_tells_what_each_operator_gained(study: ModuleType) -> None:
    first, second = {"depthwise": "abc.", "pointwise": "abcd"}, {"depthwise": "abcd", "pointwise": "aa.."}
    start = unsteady({"start": {"depthwise": "a...", "pointwise": "a..."}})
    found = module("questions").training_table(unsteady({"one": first, "two": second}), start, "start", {"one": 0.5})
    last = found.set_index(["network", "layer"]).loc["two", "all"]
    assert last[["depthwise_change", "pointwise_change", "change"]].tolist() == [1, -3, 4]
    assert last["depthwise_change_low"] < 1 and last["val_accuracy"] == ""


def test_what_one_half_of_the_images_says_is_measured_on_the_other(study: ModuleType) -> None:
    run = a_run({"net": 3})
    counted, units = module("sharing").Counted.of(run, "net"), run.units
    mine = np.flatnonzero((units["layer"] == "18") & (units["operator"] == "depthwise"))
    found = module("trust")._on_halves(list(module("trust")._halved(counted, 0.1)), mine, 0.1, 3)
    chosen, other = [], []
    for first in range(5):
        half = [(first + k) % N_FOLDS for k in range(5)]
        for here, there in ((half, set(range(N_FOLDS)) - set(half)), (set(range(N_FOLDS)) - set(half), half)):
            on = [
                np.array([[iou_of(run, unit, concept, folds) for concept in range(3)] for unit in mine])
                for folds in (here, there)
            ]
            for a, b in zip(*on, strict=True):
                if a.max() > 0.1:
                    chosen.append(a.max())
                    other.append(b[a.argmax()])
    assert 10 < len(chosen) <= 40
    assert found["half_iou"] == pytest.approx(np.mean(chosen)) and found["half_other_iou"] == pytest.approx(
        np.mean(other)
    )
    assert found["half_above"] == np.mean(np.array(other) > 0.1) and 1 <= found["half_unique_equal"] <= 3


def iou_of(run: SimpleNamespace, unit: int, concept: int, folds: Iterable[int]) -> float:
    counts = {name: run.counts("net")[FOLD + name][list(folds)].sum(0) for name in Counts._fields}
    both, category = counts["intersection_area"][unit, concept], [0, 0, 1][concept]
    return both / (counts["mask_area"][unit, category] + counts["concept_area"][concept] - both)


def test_differences_of_sure_detectors_stand_beside_those_of_all(study: ModuleType) -> None:
    counts = ["unique_equal", "unique_sure_equal", "half_unique_equal"]
    values = {"depthwise": np.array([4, 3, 6]), "pointwise": np.array([1, 1, 1])}
    rows = [
        {"network": network, "layer": layer, "operator": operator} | dict(zip(counts, scale * value, strict=True))
        for network, scale in (("net", 1), ("other", 3), ("net-untrained", 7))
        for layer in (18, 20, 22)
        for operator, value in values.items()
    ]
    found = module("pages")._sure_differences(pd.DataFrame(rows))
    assert [row["network"] for row in found] == ["net", "other", "net-untrained", "mean of the seven"]
    assert list(found[0].values())[1:] == ["+3.0 → +2.0"] * 3 + ["+9.0 → +6.0", "+15.0"]
    assert found[-1]["first layer"] == "+6.0 → +4.0"  # of net and other

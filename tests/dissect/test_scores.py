"""Scores by name: against pixels, at their edges, and as what a run labels its units by."""

from __future__ import annotations

from math import log
from pathlib import Path

import numpy as np
import pytest

import dissect
from data_prep.broden import open_broden
from data_prep.common.errors import UserError
from dissect import scores
from dissect.run_store import open_run
from dissect.scores import SCORES, Counts, best_concepts, best_per_category, needs_universe, scored
from dissect.settings import Settings


def of_pixels(mask: np.ndarray, concept: np.ndarray) -> dict[str, float]:
    """Each score of two sets of pixels by a formula of its own."""
    both, hit = np.mean(mask & concept), mask[concept].mean()
    true_positive, false_positive = (mask & concept).sum(), (mask & ~concept).sum()
    return {
        "iou": both / np.mean(mask | concept),
        "f1": 2 / (1 / (true_positive / (true_positive + false_positive)) + 1 / hit),
        "precision": concept[mask].mean(),
        "recall": hit,
        "matthews": np.corrcoef(mask, concept)[0, 1],
        "npmi": -1 + (log(mask.mean()) + log(concept.mean())) / log(both),
    }


def test_scores_equal_those_of_pixels() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(30, 3000))
        concept = rng.random(n) < rng.uniform(0.1, 0.9)
        mask = np.where(rng.random(n) < 0.5, concept, rng.random(n) < rng.uniform(0.1, 0.9))
        areas = [np.array(area) for area in ((mask & concept).sum(), mask.sum(), concept.sum(), n)]
        for name, value in of_pixels(mask, concept).items():
            found = SCORES[name](*areas[: 4 if needs_universe(name) else 3])
            assert np.isclose(found, value, rtol=1e-12, atol=1e-12), name
    assert set(of_pixels(mask, concept)) == set(SCORES)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("areas", "values"),
    [
        ((0, 0, 0, 9), {"npmi": -1}),
        ((0, 0, 5, 9), {"npmi": -1}),
        ((0, 5, 0, 9), {"npmi": -1}),
        ((0, 4, 5, 9), {"npmi": -1, "matthews": -1}),
        ((5, 5, 5, 9), {"iou": 1, "f1": 1, "precision": 1, "recall": 1, "matthews": 1, "npmi": 1}),
        ((5, 9, 5, 9), {"iou": 5 / 9, "f1": 10 / 14, "precision": 5 / 9, "recall": 1, "matthews": 0, "npmi": 0}),
        ((27, 528, 27, 528), {"iou": 27 / 528, "f1": 54 / 555, "precision": 27 / 528, "recall": 1}),
        ((9, 9, 9, 9), {"iou": 1, "f1": 1, "precision": 1, "recall": 1, "matthews": 0, "npmi": 0}),
        ((2, 4, 5, 10), {"matthews": 0, "npmi": 0, "iou": 2 / 7, "f1": 4 / 9, "precision": 0.5, "recall": 0.4}),
    ],
)
def test_edges(areas: tuple[int, ...], values: dict[str, float]) -> None:
    arrays = [np.array([area]) for area in areas]
    for name in SCORES:
        found = SCORES[name](*arrays[: 4 if needs_universe(name) else 3]).item()
        assert np.isclose(found, values.get(name, 0), atol=1e-15) and (found == 0) == (values.get(name, 0) == 0), name


def test_large_areas_keep_their_bits() -> None:
    areas = [np.array([area], np.int64) for area in (3 * 10**11, 5 * 10**11, 6 * 10**11, 10**13)]
    expected = (3 * 10**24 - 30 * 10**22) / (5e11 * 9.5e12 * 6e11 * 9.4e12) ** 0.5
    assert np.isclose(SCORES["matthews"](*areas).item(), expected, rtol=1e-12)


def test_by_fold_and_by_category() -> None:
    rng = np.random.default_rng(1)
    folds = Counts(
        rng.integers(0, 50, (3, 4, 5)), rng.integers(60, 90, (3, 4, 2)), rng.integers(50, 80, (3, 5)),
        rng.integers(0, 9, (3, 5)), rng.integers(1000, 2000, (3, 2)),
    )  # fmt: skip
    category = np.array([0, 1, 1, 0, 1])
    for name in SCORES:
        together = scored(name, folds, category)
        each = [scored(name, Counts(*fold), category) for fold in zip(*folds, strict=True)]
        np.testing.assert_array_equal(together, np.stack(each))
    value, eligible = each[0], np.array([True, False, True, True, False])
    assert best_concepts(value, eligible).tolist() == [
        max((row[c], -c, c) for c in (0, 2, 3))[2] for row in value.tolist()
    ]
    assert best_per_category(value, category, 2, eligible)[:, 1].tolist() == [2] * 4
    assert (best_concepts(value, np.zeros(5, bool)) == -1).all()


@pytest.mark.parametrize("name", ["f1", "precision", "matthews", "npmi"])
def test_a_run_is_labelled_by_a_score(run, sixty: Path, out: Path, name: str) -> None:
    run("--layers", 1, "--quantile", 0.9, "--score", name, "--min-images", 5, data=sixty)
    finished = open_run(out)
    value, eligible = finished.scores(name), finished.concepts["eligible"].to_numpy()
    assert finished.score == name and eligible.tolist() == (finished.concepts["n_images"] >= 5).tolist()
    best = value.to_numpy()[:, eligible].max(1)
    units = finished.units
    labelled = units["label"] != ""
    assert (
        labelled.sum() > 2
        and (units["score"][labelled] == best[labelled]).all()
        and (units["score"][~labelled] == 0).all()
    )
    for row, unit in enumerate(units.itertuples()):
        if unit.label:
            assert value.iloc[row][unit.category, unit.label] == unit.score
            assert finished.iou().iloc[row][unit.category, unit.label] == unit.iou
            listed = finished.unit("small", 1, unit.unit).concepts
            assert (listed["score"] > 0).all()
            first = listed.iloc[0]
            assert (first["category"], first["label"], first["score"]) == (unit.category, unit.label, unit.score)
    assert finished.labels is not None and (finished.labels["in_set"] | (finished.labels["score"] > 0)).all()


def test_rare_concepts_are_never_labels(run, sixty: Path, out: Path) -> None:
    run("--layers", 1, "--quantile", 0.9, "--min-images", 40, data=sixty)
    finished = open_run(out)
    rare = finished.concepts[finished.concepts["n_images"] < 40]
    assert 0 < len(rare) < len(finished.concepts) and not rare["eligible"].any()
    tables = [finished.units, finished.unit_category, finished.labels, finished.replicates]
    assert not any(set(table["label"]) & set(rare["label"]) for table in tables if table is not None)
    assert (finished.units["n_images"][finished.units["label"] != ""] >= 40).all()
    run("--layers", 1, "--min-images", 1000, data=sixty, out=out.parent / "none")
    none = open_run(out.parent / "none")
    assert not none.units["detector"].any() and none.labels is not None and none.labels.empty
    assert any("fewer than 1000 of the 60 images" in note for note in none.info["notes"])


def test_a_score_of_ones_own(run, tiny_broden: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCORES, "mine", lambda intersection, mask, concept: scores.iou(intersection, mask, concept) / 2)
    run("--layers", 1, "--score", "mine")
    finished = open_run(out)
    assert (finished.units["score"] == finished.units["iou"] / 2).all() and finished.units["score"].any()


@pytest.mark.usefixtures("one_thread")
def test_a_score_of_ones_own_without_overlap(
    nets: str, tiny_broden: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCORES, "agreement", lambda i, a, g, n: (n - a - g + 2 * i) / np.maximum(n, 1))
    network = dissect.load_network(f"{nets}:small")
    network.model.stem[0].weight.data[0] = 0  # a dead unit
    settings = Settings(score="agreement", quantile=0.999, min_images=1)
    finished, met = dissect.run(network, open_broden(tiny_broden), layers="1", settings=settings, out=out), set()
    assert finished.units["dead"].tolist() == [True, False, False, False]
    for unit in finished.units.itertuples():
        listed = finished.unit("small", 1, unit.unit)
        met |= {*listed.concepts["intersection_area"]}
        assert [*listed.concepts["label"][:1]] == ([] if unit.dead else [unit.label])
        assert unit.dead != listed.by_category["label"].any()
    assert 0 in met
    monkeypatch.delitem(SCORES, "agreement")
    with pytest.raises(
        UserError, match=r"^There is no score 'agreement'; known: iou, .*`dissect\.scores\.SCORES` first"
    ):
        dissect.open_run(out).unit("small", 1, 1)


def test_refusals(run, tiny_broden: Path, out: Path) -> None:
    with pytest.raises(UserError, match=r"Unknown score 'dice'; known: iou, f1, precision, recall, matthews, npmi"):
        Settings(score="dice")
    for name in ("matthews", "npmi"):
        with pytest.raises(UserError, match=rf"`score` is '{name}'.*`union` 'touched'.*set `union` to 'category'"):
            Settings(score=name, union="touched")
    for wrong in ({"min_images": 0}, {"null": -1}):
        (field,) = wrong
        with pytest.raises(UserError, match=f"`{field}` is"):
            Settings(**wrong)
    run("--layers", 1, "--union", "touched")
    with pytest.raises(UserError, match=r"score npmi needs the pixels .* touched"):
        open_run(out).scores("npmi")

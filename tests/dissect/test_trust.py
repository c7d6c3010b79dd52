"""How sure a label is: against plain loops over folds, resamples and rounds, and as a run writes it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t

from dissect import trust as module
from dissect.run_store import Run, open_run
from dissect.scores import SCORES, Counts, needs_universe
from dissect.trust import false_discovery_rates, p_values, resamples, trust_of

CATEGORY = np.array([0, 1, 1, 0, 1, 0, 1, 1])
ELIGIBLE = np.array([True, True, True, False, True, True, True, True])
ALIVE = np.array([True] * 6 + [False])


def made_folds(n_folds: int = 4, seed: int = 0) -> Counts:
    """Seven units and eight concepts, some of them in few folds, two of them the same."""
    rng = np.random.default_rng(seed)
    concept = rng.integers(50, 90, (n_folds, 8)) * (rng.random((n_folds, 8)) < 0.7)
    intersection = np.minimum(rng.integers(0, 40, (n_folds, 7, 8)), concept[:, None])
    intersection[..., 2], concept[:, 2] = intersection[..., 1], concept[:, 1]
    intersection[:, 5] = 0  # meets nothing
    return Counts(
        intersection, rng.integers(100, 130, (n_folds, 7, 2)), concept, concept > 0, np.full((n_folds, 2), 900)
    )


def plain(name: str, folds: Counts, weights: np.ndarray, unit: int, concept: int) -> float:
    """The score of a unit with a concept, each fold taken so many times."""
    k = CATEGORY[concept]
    areas = [
        sum(int(w) * int(a) for w, a in zip(weights, areas, strict=True))
        for areas in (
            folds.intersection_area[:, unit, concept], folds.mask_area[:, unit, k], folds.concept_area[:, concept],
            folds.annotated_area[:, k],
        )
    ]  # fmt: skip
    return float(SCORES[name](*(np.array(area) for area in areas[: 4 if needs_universe(name) else 3])))


def plain_label(name: str, folds: Counts, weights: np.ndarray, unit: int) -> int:
    """The concept with the highest score, the first of equals; -1 for none above 0 and for a dead unit."""
    values = [plain(name, folds, weights, unit, c) if ELIGIBLE[c] else -math.inf for c in range(8)]
    return values.index(max(values)) if max(values) > 0 and ALIVE[unit] else -1


@pytest.mark.parametrize("name", [*SCORES, "agreement"])
def test_everything_equals_plain_loops(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """agreement: a score of one's own that is above 0 where mask and concept do not meet."""
    monkeypatch.setitem(SCORES, "agreement", lambda i, a, g, n: (n - a - g + 2 * i) / np.maximum(n, 1))
    monkeypatch.setattr(module, "BLOCK", 8 * 4 * 2)  # two units at a time
    monkeypatch.setattr(module, "N_RESAMPLES", 60)
    resamples.cache_clear()
    folds, every = made_folds(), np.ones(4)
    found = trust_of(folds, CATEGORY, score=name, eligible=ELIGIBLE, alive=ALIVE)
    listed = found.listed
    for unit in range(7):
        label = plain_label(name, folds, every, unit)
        kept = [plain_label(name, folds, every - np.eye(4)[f], unit) for f in range(4)]
        assert found.replicate[:, unit].tolist() == kept
        parts = [(folds.intersection_area[f, unit, c], folds.mask_area[f, unit, CATEGORY[c]], folds.concept_area[f, c])
                 for f, c in enumerate(kept) if c >= 0]  # fmt: skip
        below = sum(a + g - i for i, a, g in parts)
        assert found.held_out_iou[unit] == (sum(i for i, *_ in parts) / below if below else 0)
        chosen = [plain_label(name, folds, weights, unit) for weights in resamples(4)] if label >= 0 else []
        share = {c: chosen.count(c) / 60 for c in range(8)}
        assert found.kept_folds[unit] == (kept.count(label) if label >= 0 else 0)
        assert np.isclose(found.kept_share[unit], share.get(label, 0))
        mine = listed.unit == unit
        if label < 0:
            assert not mine.any() and found.iou_high[unit] == found.n_set[unit] == 0
            continue
        in_set, covered = [label], share[label]
        for c in sorted(set(range(8)) - {label}, key=lambda c: (-share[c], c)):
            if covered < 0.9 * sum(share.values()) - 1e-9 and share[c] > 0:
                in_set, covered = [*in_set, c], covered + share[c]
        assert set(listed.concept[mine & listed.in_set]) == set(in_set) and found.n_set[unit] == len(in_set)
        order = sorted(np.flatnonzero(ELIGIBLE), key=lambda c: (-plain(name, folds, every, unit, c), c))
        shown = [c for n, c in enumerate(order) if (n < 5 and plain(name, folds, every, unit, c) > 0) or c in in_set]
        assert listed.concept[mine].tolist() == shown
        assert listed.rank[mine].tolist() == [order.index(c) for c in shown]
        for row in np.flatnonzero(mine):
            c = int(listed.concept[row])
            assert np.isclose(listed.chosen_share[row], share[c])
            assert listed.score[row] == plain(name, folds, every, unit, c)
            assert listed.iou[row] == plain("iou", folds, every, unit, c)
            low, high = plain_interval(
                [plain("iou", folds, every - np.eye(4)[f], unit, c) for f in range(4)], listed.iou[row]
            )
            assert np.isclose(listed.iou_low[row], low, atol=1e-12) and np.isclose(listed.iou_high[row], high)
        assert (found.iou_low[unit], found.iou_high[unit]) == (listed.iou_low[mine][0], listed.iou_high[mine][0])
    assert (found.n_set > 1).any() and (found.kept_folds < 4).any() and listed.chosen_share.max() > 0.5
    resamples.cache_clear()


def plain_interval(replicates: list[float], value: float) -> tuple[float, float]:
    angles = [math.asin(math.sqrt(replicate)) for replicate in replicates]
    n = len(angles)
    error = math.sqrt((n - 1) / n * sum((angle - sum(angles) / n) ** 2 for angle in angles))
    reach, middle = t.ppf(0.975, n - 1) * error, math.asin(math.sqrt(value))
    return math.sin(max(middle - reach, 0)) ** 2, math.sin(min(middle + reach, math.pi / 2)) ** 2


def test_resamples_vary_as_the_sum_over_the_images_does() -> None:
    for n_folds in (2, 5, 10):
        weights = resamples(n_folds)
        assert weights.shape == (1000, n_folds) and (weights.sum(1) == n_folds - 1).all()
        values = np.random.default_rng(n_folds).normal(size=n_folds)
        means = weights @ values / (n_folds - 1)
        assert abs(means.var() / (values.var(ddof=1) / n_folds) - 1) < 0.2


def test_p_values_equal_plain_counting() -> None:
    rng = np.random.default_rng(3)
    null, score, alive = rng.gamma(1, 1, (5, 6)), rng.gamma(3, 1, 6), np.array([True] * 5 + [False])
    null[:, 2] = 0  # a unit that never meets anything by chance
    null[0, 3], score[4] = 0, 0
    found = p_values(score, null, alive)
    everyone = []
    for unit in range(5):
        for one in range(5):
            others = [null[r, unit] for r in range(5) if r != one]
            everyone.append(null[one, unit] / np.mean(others) if np.mean(others) else 0.0)
    for unit in range(5):
        mine = score[unit] / null[:, unit].mean() if null[:, unit].any() else math.inf
        assert found[unit] == (1 + sum(other >= mine for other in everyone)) / (1 + len(everyone))
    assert found[2] == 1 / 26 and found[4] == 1 and found[5] == 1
    single = p_values(score, null[:1], alive)
    assert single[0] == (1 + sum(null[0, :5] >= score[0])) / 6


@pytest.mark.parametrize("n_rounds", [1, 2, 3, 5, 10, 20])
def test_a_null_that_always_gives_the_own_score_says_nothing(n_rounds: int) -> None:
    """Each score is its own mean: rounding of sums decides nothing."""
    score = np.random.default_rng(n_rounds).random(200) * 0.1
    if n_rounds == 1:
        score[:] = score[0]
    assert (p_values(score, np.tile(score, (n_rounds, 1)), np.ones(200, bool)) == 1).all()


def test_false_discovery_rates_are_those_of_benjamini_and_hochberg() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.5, 0.001])
    alive = np.array([True, True, True, True, False])
    ordered = sorted(p[:4])
    expected = {
        value: min(1, *(ordered[k] * 4 / (k + 1) for k in range(4) if ordered[k] >= value)) for value in ordered
    }
    assert np.allclose(false_discovery_rates(p, alive), [*(expected[value] for value in p[:4]), 1])
    assert false_discovery_rates(p, ~alive)[:4].tolist() == [1] * 4


def read(folder: Path) -> tuple[Run, Counts, np.ndarray]:
    run = open_run(folder)
    counts = run.counts("small")
    folds = Counts(*(counts["fold_" + name] for name in Counts._fields))
    category = np.array([run.info["data"]["categories"].index(name) for name in run.concepts["category"]])
    return run, folds, category


def test_tables_of_a_run(run, sixty: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dissect.trust_tables.IN_MEMORY", 100)  # through a file
    run("--layers", 1, 2, "--quantile", 0.9, "--folds", 4, "--null", 3, data=sixty)
    finished, folds, category = read(out)
    units, trust, labels = finished.units, finished.trust, finished.labels
    assert trust is not None and labels is not None
    eligible, dead = finished.concepts["eligible"].to_numpy(), units["dead"].to_numpy()
    found = trust_of(folds, category, score="iou", eligible=eligible, alive=~dead)
    for name in ("held_out_iou", "iou_low", "iou_high", "kept_folds", "kept_share", "n_set"):
        assert trust[name].tolist() == getattr(found, name).tolist(), name
    null, place = finished.null_score("small"), units[["layer", "operator"]].apply(tuple, axis=1)
    for one in place.unique():
        mine = (place == one).to_numpy()
        p = p_values(units["score"].to_numpy()[mine], null[:, mine], ~dead[mine])
        assert trust["p"][mine].tolist() == p.tolist()
        assert trust["q"][mine].tolist() == false_discovery_rates(p, ~dead[mine]).tolist()
    held_out = units["detector"].to_numpy() & (trust["held_out_iou"] > 0.04)
    assert trust["sure"].tolist() == (held_out & (trust["q"] < 0.05)).tolist()
    assert len(labels) == len(found.listed.unit) and labels["in_set"].sum() == found.n_set.sum()
    first = labels[labels["rank"] == 0].merge(
        units, on=["network", "layer", "operator", "unit"], suffixes=("", "_unit")
    )
    assert len(first) == (units["label"] != "").sum() and (first["label"] == first["label_unit"]).all()
    assert (first["iou"] == first["iou_unit"]).all()
    assert not [path for path in out.iterdir() if path.name.startswith(".counts")]


def test_without_a_null_nothing_is_said_of_chance(run, sixty: Path, out: Path) -> None:
    run("--layers", 1, "--quantile", 0.9, data=sixty)
    trust = open_run(out).trust
    assert trust is not None and trust[["p", "q", "sure"]].isna().all(axis=None)
    assert (trust["held_out_iou"] > 0).any() and open_run(out).info["settings"]["folds"] == 10


def test_a_set_with_fewer_images_than_ten_has_as_many_folds(run, tiny_broden: Path, out: Path) -> None:
    run("--layers", 1)
    finished = open_run(out)
    n_images = finished.info["data"]["n_images"]
    assert n_images < 10 and finished.info["settings"]["folds"] == n_images
    assert finished.counts("small")["fold_n_images"].shape[0] == n_images

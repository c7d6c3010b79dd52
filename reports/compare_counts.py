"""Counts of detectors with intervals, and intervals of their differences, for parts of several networks.

    values = statistic("unique", member.detected[:, rows])      # (1 + F,): on all images, then without each fold
    low, high = interval(values)
    low, high = interval_of_difference(values_b, values_a, paired=True)

The intervals are those of `reports.intervals`: a jackknife over the folds of the images. Where two networks were shown the same
images in the same folds, a fold is left out of both at once, so that what a fold does to both cancels (paired). Else the
two standard errors are combined, with the degrees of freedom of Welch and Satterthwaite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from reports.compare_members import ALL, NOTHING, Concepts, Member, Part, parts_of, same_folds
from reports.intervals import expected_attributes
from reports.trust import held_out_detectors, sure_detectors

MEASURES = {
    "detectors": "detectors",
    "unique": "unique detectors",
    "unique_equal": "unique detectors at equal numbers of units",
}
"""What is counted, and its name in words. `unique_equal`: unique detectors to expect among as many units, drawn at random, as
the smallest of the compared networks has in the same part (`reports.expected_attributes`)."""

LEVEL = 0.95


def statistic(measure: str, detected: np.ndarray, n_drawn: int | None = None) -> np.ndarray:
    """One of `MEASURES` of the units whose concepts these are: (R, n) to (R,) float64. n_drawn: for `unique_equal`.

    >>> statistic("unique", np.array([[3, 3, 5, -1], [3, 3, -1, -1]])).tolist()
    [2.0, 1.0]
    """
    if measure == "detectors":
        return (detected != NOTHING).sum(1).astype(float)
    n_units = detected.shape[1]
    n_drawn = n_units if measure == "unique" or n_drawn is None else n_drawn
    return np.array([_among(row[row != NOTHING], n_units, n_drawn) for row in detected])


def _among(concepts: np.ndarray, n_units: int, n_drawn: int) -> float:
    per_concept = np.unique(concepts, return_counts=True)[1]
    if n_drawn == n_units:
        return float(len(per_concept))
    return math.fsum(_is_found(int(d), n_units, n_drawn) for d in per_concept)


@lru_cache(maxsize=100_000)
def _is_found(n_detectors: int, n_units: int, n_drawn: int) -> float:
    return expected_attributes([n_detectors], n_units, n_drawn)


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval about values[0], from the replicates values[1:]; nan without folds.

    >>> low, high = interval(np.array([2, 2, 2, 1]))  # as in `reports.jackknife`
    >>> f"{low:.2f} to {high:.2f}"
    '-0.87 to 4.87'
    """
    return _about(values[0], _variance(values), len(values) - 2)


def interval_of_difference(b: np.ndarray, a: np.ndarray, *, paired: bool) -> tuple[float, float]:
    """The 95 % interval about b[0] - a[0]. paired: the replicates of both leave out the same images."""
    if paired:
        return interval(b - a)
    variances, degrees = (_variance(a), _variance(b)), (len(a) - 2, len(b) - 2)
    total = sum(variances)
    if not total > 0:  # no folds, or nothing changes in any
        return _about(b[0] - a[0], total, min(degrees))
    return _about(b[0] - a[0], total, total**2 / sum(v**2 / n for v, n in zip(variances, degrees, strict=True)))


def _variance(values: np.ndarray) -> float:
    n = len(values) - 1
    return (n - 1) / n * float(((values[1:] - values[1:].mean()) ** 2).sum()) if n > 1 else math.nan


def _about(value: float, variance: float, degrees: float) -> tuple[float, float]:
    if math.isnan(variance):
        return math.nan, math.nan
    reach = _t(degrees) * math.sqrt(variance)
    return value - reach, value + reach


@lru_cache(maxsize=10_000)
def _t(degrees: float) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + LEVEL) / 2, degrees))


class Counted:
    """Every measure of every part, category and member, by fold: computed once, looked up by the tables."""

    def __init__(self, members: Sequence[Member], concepts: Concepts) -> None:
        self.members, self.parts = members, parts_of(members)
        of_category = np.array([category for category, _ in concepts] + [""], object)  # the last is that of NOTHING
        self.categories = [ALL, *dict.fromkeys(category for category, _ in concepts)]
        self.n_equal = {
            part: min(n for n in (int(member.rows(part).sum()) for member in members) if n) for part in self.parts
        }
        self._values: dict[tuple[int, Part, str, str], np.ndarray] = {}
        for m, member in enumerate(members):
            for part in self.parts:
                detected = member.detected[:, member.rows(part)]
                if not detected.shape[1]:
                    continue
                for category in self.categories:
                    within = category == ALL or of_category[detected] == category
                    some = np.where(within, detected, NOTHING)
                    for measure in MEASURES:
                        self._values[m, part, category, measure] = statistic(measure, some, self.n_equal[part])

    def values(self, member: int, part: Part, category: str, measure: str) -> np.ndarray | None:
        """(1 + F,): on all images, then without each fold; None where the network has no such layer."""
        return self._values.get((member, part, category, measure))


def count_rows(counted: Counted) -> pd.DataFrame:
    """One row for each member, part and category: units, dead units, the measures with their intervals, what share of the
    units are detectors, and how many detectors remain held out and sure (docs/trust.md)."""
    rows = []
    for m, member in enumerate(counted.members):
        dead = member.units["dead"].to_numpy()
        for part in counted.parts:
            of_part = member.rows(part)
            if not of_part.any():
                continue
            for category in counted.categories:
                row: dict[str, object] = {
                    "network": member.title, "domain": str(member.network.get("domain") or ""), "layer": part.layer,
                    "operator": part.operator, "category": category, "units": int(of_part.sum()),
                    "dead": int(dead[of_part].sum()), "n_equal": counted.n_equal[part],
                }  # fmt: skip
                for measure in MEASURES:
                    values = counted.values(m, part, category, measure)
                    assert values is not None
                    low, high = interval(values)
                    whole = measure != "unique_equal"
                    row |= {measure: int(values[0]) if whole else values[0]}
                    row |= {f"{measure}_low": max(low, 0.0) if low == low else low, f"{measure}_high": high}
                row["detector_share"] = row["detectors"] / row["units"]  # type: ignore[operator]
                row |= _trusted(member, of_part, category)
                rows.append(row)
    return pd.DataFrame(rows).astype({"held_out_detectors": "Int64", "sure_detectors": "Int64"})


def _trusted(member: Member, of_part: np.ndarray, category: str) -> dict[str, object]:
    """Detectors whose IoU on images that had no say in their label is above the cut too, and sure ones; None where unknown."""
    if member.trust is None:
        return {"held_out_detectors": None, "sure_detectors": None}
    chosen = of_part & ((category == ALL) | (member.units["category"] == category).to_numpy())
    units = member.trust.assign(detector=member.units["detector"].to_numpy())[chosen]
    cut = member.run.info["settings"]["iou_cut"]
    return {"held_out_detectors": held_out_detectors(units, cut), "sure_detectors": sure_detectors(units)}


def difference_rows(counted: Counted) -> pd.DataFrame:
    """One row for each pair of members, part, category and measure: the second minus the first with its interval.

    paired: whether a fold was left out of both at once. apart: whether the interval excludes 0.
    """
    rows = []
    for x, y in pairs(len(counted.members)):
        a, b = counted.members[x], counted.members[y]
        paired = same_folds(a, b)
        for part in counted.parts:
            for category in counted.categories:
                for measure in MEASURES:
                    of_a, of_b = (counted.values(m, part, category, measure) for m in (x, y))
                    if of_a is None or of_b is None:
                        continue
                    low, high = interval_of_difference(of_b, of_a, paired=paired)
                    rows.append(
                        (a.title, b.title, *part, category, measure, of_a[0], of_b[0], of_b[0] - of_a[0], low, high,
                         paired, low > 0 or high < 0)
                    )  # fmt: skip
    columns = (
        "a", "b", "layer", "operator", "category", "measure", "value_a", "value_b", "difference", "low", "high", "paired",
        "apart",
    )  # fmt: skip
    return pd.DataFrame(rows, columns=list(columns))


def operator_rows(counted: Counted) -> pd.DataFrame:
    """One row for each member, layer, category, measure and two operators of that layer: the first minus the second.

    Unique detectors at equal numbers of units are counted at as many units as the smaller operator of the layer has.
    """
    rows = []
    for member in counted.members:
        layers = list(dict.fromkeys(part.layer for part in member.parts))
        for layer in [*layers, ALL]:
            operators = list(dict.fromkeys(p.operator for p in member.parts if layer in (p.layer, ALL)))
            for x, y in pairs(len(operators)):
                one, other = (member.detected[:, member.rows(Part(layer, operators[k]))] for k in (x, y))
                n_drawn = min(one.shape[1], other.shape[1])
                for measure in MEASURES:
                    first, second = (statistic(measure, each, n_drawn) for each in (one, other))
                    low, high = interval(first - second)
                    rows.append(
                        (member.title, layer, operators[x], operators[y], measure, first[0], second[0], first[0] - second[0],
                         low, high, low > 0 or high < 0)
                    )  # fmt: skip
    columns = (
        "network", "layer", "operator_a", "operator_b", "measure", "value_a", "value_b", "difference", "low", "high", "apart",
    )  # fmt: skip
    return pd.DataFrame(rows, columns=list(columns))


def pairs(n: int) -> list[tuple[int, int]]:
    """Each two of n, in order.

    >>> pairs(3)
    [(0, 1), (0, 2), (1, 2)]
    """
    return [(x, y) for x in range(n) for y in range(x + 1, n)]

"""Do units keep their concept from domain to domain? From finished runs to two tables.

    sharing_table(runs, "imagenet12", others, "cifar100-individual")     # the same images
    repeat_table(runs, "imagenet12", others, "cifar100-individual")      # other images: what a label's own steadiness allows

The paper shares pointwise filters because "cross-channel correlations" are to be the same in all domains, and gives each domain
depthwise filters of its own. A shared pointwise filter is the same tensor in every domain, but what it filters is not: so it is
measured here, unit by unit, whether a pointwise unit that detects a concept in the base network detects the same one in the
networks of other domains, beside depthwise units of the same layer, which began as the base's and were trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from questions import Row, layers_of, units_of, with_interval

from dissect.run_store import FOLD, Run
from dissect.scores import Counts, best_concepts, category_numbers, intersection_over_union
from reports.intervals import Statistic

OPERATORS = ("depthwise", "pointwise", "pointwise - depthwise")
SHARING, SAME = "mean of those that share", "same network"
N_SPLITS = 5


def sharing_table(runs: Sequence[Run], base: str, others: Sequence[str], trained_whole: str) -> pd.DataFrame:
    """How many detectors of the base network detect the same concept in another domain's network, by layer and operator.

    others: networks that share the base's pointwise filters; their mean is a row, each alone another. trained_whole: one that
    began as the base and shares nothing. Columns, with intervals:

    kept     share of the base's detectors whose unit detects the same concept in the other network
    chance   the same to expect if the other network's units were numbered at random within the layer
    above    kept - chance
    """
    units, replicates = units_of(runs, [base, *others, trained_whole])
    pairs = {name: [name] for name in (*others, trained_whole)} | {SHARING: list(others)}

    def statistics(members: Sequence[str]) -> Mapping[str, Statistic]:
        shares = {"kept": kept_share, "chance": chance_share, "above": _above_chance}
        return {name: partial(_mean_over, base=base, members=members, share=share) for name, share in shares.items()}

    return _table(runs[0], units, replicates, pairs, statistics=statistics)


def _table(
    run: Run,
    full: pd.DataFrame,
    replicates: pd.DataFrame,
    pairs: Mapping[str, Sequence[str]],
    *,
    statistics: Callable[[Sequence[str]], Mapping[str, Statistic]],
) -> pd.DataFrame:
    """A row for each of `pairs`, name to networks, layer and operator: what `statistics` are of the networks, with intervals."""
    rows: list[Row] = []
    for network, members in pairs.items():
        for layer in layers_of(full):
            for operator in OPERATORS:
                row: Row = {"data": run.info["data"]["name"], "network": network, "layer": layer, "operator": operator}
                for name, statistic in statistics(members).items():
                    row |= with_interval(full, replicates, layer, name, _by_operator(operator, statistic))
                rows.append(row)
    return pd.DataFrame(rows)


Share = Callable[[pd.DataFrame, pd.DataFrame], float]


def _by_operator(operator: str, statistic: Statistic) -> Statistic:
    """`statistic` of the operator's units, or the difference of the two operators named `A - B`."""

    def value(units: pd.DataFrame) -> float:
        first, *second = (statistic(units[units["operator"] == name]) for name in operator.split(" - "))
        return first - sum(second)

    return value


def _mean_over(units: pd.DataFrame, base: str, members: Sequence[str], share: Share) -> float:
    of_base = units[units["network"] == base]
    return float(np.mean([share(of_base, units[units["network"] == member]) for member in members]))


def kept_share(base: pd.DataFrame, other: pd.DataFrame) -> float:
    """Of the base's detectors, those whose unit detects the same concept in the other network; 0 where there are none.

    >>> rows = {"layer": ["18"] * 3, "unit": [0, 1, 2], "category": ["object"] * 3, "detector": [True, True, False]}
    >>> kept_share(pd.DataFrame(rows | {"label": ["a", "b", "c"]}), pd.DataFrame(rows | {"label": ["a", "c", "c"]}))
    0.5
    """
    both = _detectors(base).merge(_detectors(other), on=["layer", "unit", "concept"])
    return len(both) / max(int(base["detector"].sum()), 1)


def chance_share(base: pd.DataFrame, other: pd.DataFrame) -> float:
    """`kept_share` to expect if the other network's units were numbered at random within each layer: exact.

    A detector of concept c is met by one of the other's n_c detectors of c among its U units with probability n_c / U.

    >>> rows = {"layer": ["18"] * 3, "unit": [0, 1, 2], "category": ["object"] * 3, "detector": [True, True, False]}
    >>> chance_share(pd.DataFrame(rows | {"label": ["a", "b", "c"]}), pd.DataFrame(rows | {"label": ["a", "a", "c"]}))
    0.3333333333333333
    """
    n_units = other.groupby("layer").size()
    of_concept = _detectors(other).groupby(["layer", "concept"]).size()
    met = (of_concept / n_units.reindex(of_concept.index, level="layer")).to_dict()
    found = zip(_detectors(base)["layer"], _detectors(base)["concept"], strict=True)
    return float(sum(met.get(key, 0.0) for key in found)) / max(int(base["detector"].sum()), 1)


def _above_chance(base: pd.DataFrame, other: pd.DataFrame) -> float:
    return kept_share(base, other) - chance_share(base, other)


def _detectors(units: pd.DataFrame) -> pd.DataFrame:
    found = units[units["detector"]]
    return pd.DataFrame(
        {"layer": found["layer"], "unit": found["unit"], "concept": found["category"] + "/" + found["label"]}
    )


# On other images


def repeat_table(runs: Sequence[Run], base: str, others: Sequence[str], trained_whole: str, cut: float) -> pd.DataFrame:
    """`kept` where the base is labelled on half of the images and the other network on the other half.

    The row `same network` is the base against itself: no label can be steadier from domain to domain than it is from one half of
    the images to the other in one network, so `of_possible`, the share divided by that of the same network, says how much of
    what can be kept is kept. The folds are halved in five ways and the counts pooled. Thresholds are those of all images.
    """
    networks = (base, *others, trained_whole)
    counted = {
        name: Counted.of(next(run for run in runs if name in set(run.units["network"])), name) for name in networks
    }
    cells = [_repeats(counted, base, without, cut).assign(left_out=without) for without in (None, *range(10))]
    full, replicates = cells[0], pd.concat(cells[1:])
    members = {SAME: [base], **{name: [name] for name in networks[1:]}, SHARING: list(others)}

    def statistics(chosen: Sequence[str]) -> Mapping[str, Statistic]:
        return {
            "kept": partial(_pooled, members=chosen, against=None),
            "of_possible": partial(_pooled, members=chosen, against=base),
        }

    return _table(runs[0], full, replicates, members, statistics=statistics)


def _pooled(counts: pd.DataFrame, members: Sequence[str], against: str | None) -> float:
    """Of the base's detectors, the share that the members kept; divided by the share that `against` kept, if one is given."""

    def share(names: Sequence[str]) -> float:
        mine = counts[counts["network"].isin(names)]
        return float(mine["kept"].sum()) / max(float(mine["detectors"].sum()), 1.0)

    return share(members) / (share([against]) or 1.0 if against else 1.0)


@dataclass(frozen=True)
class Counted:
    """A network's units and its counts by fold. category: (C,) that of each concept."""

    units: pd.DataFrame
    folds: Counts
    concepts: pd.DataFrame
    category: np.ndarray

    @staticmethod
    def of(run: Run, network: str) -> Counted:
        arrays, names = run.counts(network), [str(name) for name in run.info["data"]["categories"]]
        return Counted(
            run.units[run.units["network"] == network].reset_index(drop=True),
            Counts(*(arrays[FOLD + name] for name in Counts._fields)),
            run.concepts,
            category_numbers(run.concepts["category"].tolist(), names),
        )

    def iou(self, folds: Sequence[int]) -> np.ndarray:
        """(U, C) on the images of these folds; 0 for concepts that are never a label."""
        counts = Counts(*(by_fold[list(folds)].sum(0) for by_fold in self.folds))
        return intersection_over_union(counts, self.category) * self.concepts["eligible"].to_numpy(bool)

    def labelled(self, iou: np.ndarray, cut: float) -> pd.DataFrame:
        """The units with the concepts that these IoU give them."""
        best = np.where(self.units["dead"], -1, best_concepts(iou))
        concept = self.concepts.iloc[np.maximum(best, 0)].reset_index(drop=True)
        detector = (best >= 0) & (iou.max(1) > cut)
        return self.units.assign(category=concept["category"], label=concept["label"], detector=detector)


def halves(folds: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    """The folds in two, in `N_SPLITS` ways: five of them, and the rest."""
    for first in range(N_SPLITS):
        half = [folds[(first + k) % len(folds)] for k in range(5)]
        yield half, [fold for fold in folds if fold not in half]


def _repeats(counted: Mapping[str, Counted], base: str, left_out: int | None, cut: float) -> pd.DataFrame:
    """(network, layer, operator): detectors of the base on one half of the folds, and kept by the network on the other."""
    folds = [fold for fold in range(10) if fold != left_out]
    rows: list[Row] = []
    for half, rest in halves(folds):
        of_base = counted[base].labelled(counted[base].iou(half), cut)
        for network, found in ((name, one.labelled(one.iou(rest), cut)) for name, one in counted.items()):
            for (layer, operator), units in of_base.groupby(["layer", "operator"], sort=False):
                other = found[(found["layer"] == layer) & (found["operator"] == operator)]
                n_detectors = int(units["detector"].sum())
                rows.append(
                    {
                        "network": network, "layer": layer, "operator": operator, "detectors": n_detectors,
                        "kept": round(kept_share(units, other) * max(n_detectors, 1)),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows).groupby(["network", "layer", "operator"], sort=False).sum().reset_index()

"""What Guo et al. 2019 say of depthwise and pointwise units, held against a run.

    for finding in verdicts(run):
        print(finding.network, CLAIMS[finding.claim], finding.verdict, finding.measured)
    table = count_table(run)       # a pandas table: one row for each network, layer and operator

The paper reads three things off its Figures 5 and 6 (layers 18, 20 and 22 of networks trained on ImageNet and CIFAR-100).
Each becomes a number here, with one rule for all:

    holds              the 95 % interval lies wholly on the claim's side, in every layer that the claim is about
    contradicted       the interval lies wholly on the other side in one of those layers
    not settled        anything else, and what the label set cannot show: without parts nobody knows that none are detected

A run needs folds (`Settings(folds=10)`) for its intervals; see `reports.intervals` for what they cover.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import pandas as pd

from dissect.run_store import Run, RunFolderError
from reports.intervals import Interval, Statistic, expected_attributes, interval_from, jackknife
from reports.summary import SEPARABLE, Population, populations

Verdict = Literal["holds", "contradicted", "not settled"]

CLAIMS = {
    "more": "Depthwise units detect more attributes than pointwise units, in every layer.",
    "more-equal": "The same, counted at equal numbers of units.",
    "more-together": "The same at equal numbers of units, the layers added up.",
    "parts": "Depthwise units detect parts and objects.",
    "textures": "Pointwise units detect textures only.",
    "none": "Pointwise units of the first of the layers detect nothing.",
}
"""The paper's claims in its order, and two fairer forms of the first: the paper's pointwise layer 18 has twice as many units
as the depthwise one, and the sum over layers is known better than any of its terms."""

PARTS = ("object", "part")
TOLD = (*PARTS, "texture")
"""The categories that the claims speak of: nothing else is found only where they could be."""


@dataclass(frozen=True)
class Finding:
    """One claim held against one network of a run.

    claim: a key of `CLAIMS`. measured: the numbers with their intervals, layer by layer, as text for the reader.
    """

    network: str
    claim: str
    verdict: Verdict
    measured: str


def verdicts(run: Run) -> list[Finding]:
    """Every claim for every network of the run that has depthwise and pointwise units.

    Raises `RunFolderError` for a run without folds, as there are no intervals then.
    """
    found = []
    replicates = _replicates(run)
    known = {str(category) for category in run.concepts.loc[run.concepts["eligible"], "category"]}
    for network in dict.fromkeys(p.network for p in populations(run)):
        pops = [p for p in populations(run) if p.network == network]
        layers = [layer for layer in dict.fromkeys(p.layer for p in pops) if len(_pair(pops, layer)) == 2]
        if layers:
            judge = _Judge(pops, replicates[replicates["network"] == network], layers, known)
            found += [Finding(network, claim, *judge(claim)) for claim in CLAIMS]
    return found


def count_table(run: Run) -> pd.DataFrame:
    """Units, detectors and unique detectors of every population, with 95 % intervals where the run has folds.

    `unique_equal` counts unique detectors among as many units as the smaller of the layer's two operators has.
    """
    pops = populations(run)
    replicates = None if run.replicates is None else _replicates(run)
    categories = [str(c) for c in run.info["data"]["categories"]]
    rows = []
    for p in pops:
        n_equal = min(q.n_units for q in _pair(pops, p.layer, p.network) or [p])
        row: dict[str, object] = {
            "data": run.info["data"]["name"], "network": p.network, "layer": p.layer, "operator": p.operator,
            "units": p.n_units, "dead": p.n_dead, "n_equal": n_equal,
        }  # fmt: skip
        statistics: dict[str, Statistic] = {
            "detectors": n_detectors,
            "unique": n_attributes,
            "unique_equal": partial(attributes_among, n_drawn=n_equal),
        }
        for name, statistic in statistics.items():
            row[name] = statistic(p.units)
            if replicates is not None:
                interval = jackknife(p.units, _of(p, replicates), statistic)
                row |= {f"{name}_low": max(interval.low, 0.0), f"{name}_high": interval.high}
        row |= {f"unique_{category}": p.n_attributes(category) for category in categories}
        rows.append(row)
    return pd.DataFrame(rows)


def count_intervals(run: Run, pops: Iterable[Population]) -> dict[tuple[str, str, str], tuple[Interval, Interval]]:
    """Intervals of detectors and of unique detectors by (network, layer, operator); none for a run without folds."""
    if run.replicates is None:
        return {}
    intervals = {}
    for p in pops:
        replicates = _of(p, run.replicates)
        detectors, unique = (jackknife(p.units, replicates, count) for count in (n_detectors, n_attributes))
        intervals[p.network, p.layer, p.operator] = (detectors, unique)
    return intervals


def category_intervals(run: Run, pops: Iterable[Population]) -> dict[tuple[str, str, str, str], Interval]:
    """Intervals of the unique detectors of each category by (network, layer, operator, category), of the categories that some
    unit there has in some replicate; none for a run without folds."""
    if run.replicates is None:
        return {}
    place = ["network", "layer", "operator", "category"]
    found = run.replicates[run.replicates["detector"]].drop_duplicates([*place, "label", "left_out"])
    counts = found.groupby([*place, "left_out"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=sorted(run.replicates["left_out"].unique()), fill_value=0)
    units = {(p.network, p.layer, p.operator): p for p in pops}
    return {
        (network, layer, operator, category): interval_from(
            units[network, layer, operator].n_attributes(category), row.tolist()
        )
        for (network, layer, operator, category), row in zip(counts.index, counts.to_numpy(), strict=True)
        if (network, layer, operator) in units
    }


def n_detectors(units: pd.DataFrame) -> int:
    """How many of the units detect a concept."""
    return int(units["detector"].sum())


def n_attributes(units: pd.DataFrame) -> int:
    """Unique detectors: distinct concepts among detectors."""
    return len(_detectors_per_concept(units))


def attributes_among(units: pd.DataFrame, n_drawn: int) -> float:
    """Unique detectors to expect among `n_drawn` of the units."""
    return expected_attributes(_detectors_per_concept(units).values(), len(units), n_drawn)


def attributes_in(units: pd.DataFrame, categories: Iterable[str]) -> int:
    """Unique detectors whose concept is of one of the categories."""
    categories = set(categories)
    return sum(category in categories for category, _ in _detectors_per_concept(units))


def _detectors_per_concept(units: pd.DataFrame) -> Counter[tuple[str, str]]:
    detectors = units[units["detector"]]
    return Counter(zip(detectors["category"], detectors["label"], strict=True))


class _Judge:
    """The claims about the units of one network, a method each.

    layers: with both operators, in order of execution. known: the categories of which a unit can have a label.
    """

    def __init__(self, pops: list[Population], replicates: pd.DataFrame, layers: list[str], known: set[str]) -> None:
        self.pops, self.replicates, self.layers, self.known = pops, replicates, layers, known

    def __call__(self, claim: str) -> tuple[Verdict, str]:
        return {
            "more": lambda: self._more(self.layers, lambda units, n_drawn: n_attributes(units)),
            "more-equal": lambda: self._more(self.layers, attributes_among),
            "more-together": self._more_together,
            "parts": self._parts,
            "textures": self._textures,
            "none": self._none,
        }[claim]()

    def _more(self, layers: list[str], count: Callable[[pd.DataFrame, int], float]) -> tuple[Verdict, str]:
        intervals = []
        for layer in layers:
            pair = _pair(self.pops, layer)
            n = min(p.n_units for p in pair)
            intervals.append(self._interval(pair, partial(_more_by, n=n, count=count)))
        measured = (f"{layer}: {_signed(interval)}" for layer, interval in zip(layers, intervals, strict=True))
        return _side(intervals), "; ".join(measured)

    def _more_together(self) -> tuple[Verdict, str]:
        pops = self._all("depthwise") + self._all("pointwise")
        fewest = {layer: min(p.n_units for p in _pair(self.pops, layer)) for layer in self.layers}

        def total(units: pd.DataFrame) -> float:
            return sum(_more_by(units[units["layer"] == layer], n, attributes_among) for layer, n in fewest.items())

        interval = self._interval(pops, total)
        return _side([interval]), _signed(interval)

    def _parts(self) -> tuple[Verdict, str]:
        interval = self._interval(self._all("depthwise"), lambda units: attributes_in(units, PARTS))
        # At least one, whatever images are left out: a count cannot lie below nothing.
        measured = f"{_plain(interval)} unique part and object detectors in all {len(self.layers)} layers"
        if interval.low > 0:
            return "holds", measured
        return ("not settled", measured) if interval.high > 0 else self._where_known("contradicted", measured, PARTS)

    def _textures(self) -> tuple[Verdict, str]:
        pops = self._all("pointwise")
        categories = sorted({c for p in pops for c, _ in p.attributes} - {"texture"})
        others = {c for c in self.replicates["category"] if c} | set(categories)
        interval = self._interval(pops, lambda units: attributes_in(units, others - {"texture"}))
        named = f" ({', '.join(categories)})" if categories else ""
        measured = f"{_plain(interval)} unique detectors of other categories{named}"
        if interval.low > 0:  # of other categories because there are no textures?
            return self._where_known("contradicted", measured, ("texture",))
        if interval.high > 0:
            return "not settled", measured
        textures = self._interval(pops, lambda units: attributes_in(units, ("texture",)))
        if textures.low > 0 or "texture" not in self.known:
            return self._where_known("holds", measured, TOLD)
        # Who detects nothing does not detect textures only.
        return "not settled", f"{measured}, and {_plain(textures)} of textures"

    def _none(self) -> tuple[Verdict, str]:
        pointwise = next(p for p in _pair(self.pops, self.layers[0]) if p.operator == "pointwise")
        interval = self._interval([pointwise], n_detectors)
        measured = f"{_plain(interval)} detectors of {pointwise.n_units} units in layer {pointwise.layer}"
        if interval.low > 0:
            return "contradicted", measured
        return ("not settled", measured) if interval.high > 0 else self._where_known("holds", measured, TOLD)

    def _where_known(self, verdict: Verdict, measured: str, needed: Iterable[str]) -> tuple[Verdict, str]:
        """The verdict, unless no unit could have a label of a category that it needs."""
        missing = [category for category in needed if category not in self.known]
        if not missing:
            return verdict, measured
        return "not settled", f"{measured}; no unit could have a label of the category {' or '.join(missing)}"

    def _all(self, operator: str) -> list[Population]:
        return [p for p in self.pops if p.operator == operator and p.layer in self.layers]

    def _interval(self, pops: list[Population], statistic: Callable[[pd.DataFrame], float]) -> Interval:
        units = pd.concat([p.units for p in pops], ignore_index=True)
        replicates = pd.concat([_of(p, self.replicates) for p in pops], ignore_index=True)
        return jackknife(units, replicates, statistic)


def _more_by(units: pd.DataFrame, n: int, count: Callable[[pd.DataFrame, int], float]) -> float:
    """By how much the count of a layer's depthwise units is above that of its pointwise units."""
    depthwise, pointwise = (units[units["operator"] == operator] for operator in SEPARABLE)
    return count(depthwise, n) - count(pointwise, n)


def _side(intervals: list[Interval]) -> Verdict:
    if all(interval.low > 0 for interval in intervals):
        return "holds"
    return "contradicted" if any(interval.high < 0 for interval in intervals) else "not settled"


def _pair(pops: Iterable[Population], layer: str, network: str | None = None) -> list[Population]:
    """The depthwise and the pointwise population of a layer."""
    return [p for p in pops if p.layer == layer and p.operator in SEPARABLE and network in (None, p.network)]


def _of(population: Population, replicates: pd.DataFrame) -> pd.DataFrame:
    keys = ("network", "layer", "operator")
    mine = [replicates[key] == getattr(population, key) for key in keys]
    return replicates[mine[0] & mine[1] & mine[2]]


def _replicates(run: Run) -> pd.DataFrame:
    if run.replicates is None:
        raise RunFolderError(f"{run.path} has no folds, so no intervals: dissect again with `folds` 10.")
    return run.replicates


def _plain(interval: Interval) -> str:
    return f"{interval.value:.0f} ({max(interval.low, 0):.1f} to {interval.high:.1f})"


def _signed(interval: Interval) -> str:
    return f"{interval.value:+.1f} ({interval.low:+.1f} to {interval.high:+.1f})"

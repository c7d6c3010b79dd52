"""The answer of a report, in sentences: how many units detect what, where most do, and how sure that is.

    for sentence in answer(member.run, member.pops, member.titles):
        print(sentence)

Plain text; whoever puts it into a page escapes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from dissect.run_store import Run
from reports.claims import n_attributes, n_detectors
from reports.intervals import Interval, jackknife
from reports.page_words import n_of
from reports.style import one_line
from reports.summary import Population


def answer(
    run: Run, pops: Sequence[Population], titles: Mapping[str, str], chance: pd.DataFrame | None = None
) -> list[str]:
    """Sentences for the top of the page. titles: of the networks, by name. chance: as `trust.chance_detectors` has it."""
    n_units = sum(p.n_units for p in pops)
    found = sum((p.detectors_per_concept for p in pops), Counter[tuple[str, str]]())
    if not found:
        return [f"None of the {n_of(n_units, 'unit')} detects a concept: none has an IoU above {_cut(run)}."]
    return [
        *_counts(run, pops, n_units, found),
        *_where(pops, titles),
        *_what(found),
        *_how_sure(run, chance),
    ]


def interval_of(interval: Interval) -> str:
    """` (95 % interval 40 to 71)`, never below nothing."""
    return f" (95 % interval {max(interval.low, 0):,.0f} to {max(interval.high, 0):,.0f})"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _cut(run: Run) -> str:
    return str(run.info.get("settings", {}).get("iou_cut", "the cut"))


def _counts(run: Run, pops: Sequence[Population], n_units: int, found: Counter[tuple[str, str]]) -> list[str]:
    n_found = sum(found.values())
    detectors = unique = ""
    if run.replicates is not None:
        units = pd.concat([p.units for p in pops], ignore_index=True)
        detectors, unique = (
            interval_of(jackknife(units, run.replicates, count)) for count in (n_detectors, n_attributes)
        )
    detect, reach = ("detects", "it reaches") if n_found == 1 else ("detect", "they reach")
    return [
        f"{n_found:,}{detectors} of {n_of(n_units, 'unit')}, {_percent(n_found / n_units)}, {detect} a concept: {reach} an IoU "
        f"above {_cut(run)}.",
        f"Together they detect {len(found):,}{unique} different concept{'s' * (len(found) != 1)}.",
    ]


def _where(pops: Sequence[Population], titles: Mapping[str, str]) -> list[str]:
    if len(pops) < 2:
        return []
    most = max(pops, key=lambda p: len(p.attributes))
    of = f" of {titles[most.network]}" if len({p.network for p in pops}) > 1 else ""
    return [
        f"Most different concepts are in {most.title}{of}: {len(most.attributes):,} in {n_of(most.n_units, 'unit')}."
    ]


def _what(found: Counter[tuple[str, str]]) -> list[str]:
    by_category = Counter(category for category, _ in found.elements())
    category, n = by_category.most_common(1)[0]
    names = [f"{one_line(label)} ({n_units:,})" for (_, label), n_units in found.most_common(3)]
    return [
        f"{_percent(n / by_category.total())} of the detectors are for concepts of the category {one_line(category)}; "
        f"the concepts with most detectors are {', '.join(names)}."
    ]


def _how_sure(run: Run, chance: pd.DataFrame | None) -> list[str]:
    if run.source:
        return ["The run was imported, and tells neither intervals nor held-out values."]
    if run.trust is None:
        return ["Intervals and held-out values are missing, because the images were not divided into folds."]
    detectors = run.trust[run.units["detector"].to_numpy()]
    iou = run.units.loc[run.units["detector"], "iou"]
    sentences = [
        f"On images that had no say in the choice of the label, the mean IoU of the detectors is "
        f"{detectors['held_out_iou'].mean():.3f} instead of {iou.mean():.3f}."
    ]
    if run.info.get("settings", {}).get("null"):
        n_sure = int((run.trust["sure"].astype(str) == "True").sum())
        is_sure = "is a sure detector: its" if n_sure == 1 else "are sure detectors: their"
        return [
            *sentences,
            f"{n_sure:,} of the units {is_sure} held-out IoU is above {_cut(run)} too, and hardly by chance (q < 0.05).",
            *(
                []
                if chance is None
                else [f"With the labels of other images {chance['chance'].sum():,.0f} would be detectors."]
            ),
        ]
    return [
        *sentences,
        "How many detectors chance gives was not measured: dissect with --null 20 to know which are sure.",
    ]

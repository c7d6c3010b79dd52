"""The runs of a page, and how their networks are named on it.

    members = gather([open_run("runs/a"), open_run("runs/b")])
    members[0].titles["imagenet12"]           # "a: imagenet12"; without the run's name where there is only one run

Every figure and table of a page is made from these, so that one run and several take the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from dissect.run_store import Run
from reports.bars import intervals_of
from reports.claims import category_intervals
from reports.distributions import held_out_ious
from reports.figures import Subject
from reports.intervals import Interval
from reports.pictures import Pictures
from reports.style import one_line
from reports.summary import Population, categories_of, network_title, populations
from reports.trust import chance_detectors


@dataclass(frozen=True, eq=False)
class Member:
    """One run of a page: its name there (no two alike), its populations, its pictures, its networks' titles by name."""

    run: Run
    name: str
    pops: list[Population]
    pictures: Pictures
    titles: dict[str, str]

    @cached_property
    def intervals(self) -> Mapping[Population, tuple[Interval, Interval]]:
        """Those of the numbers of detectors and of unique detectors; none for a run without folds."""
        return intervals_of(self.run, self.pops)

    @cached_property
    def category_intervals(self) -> Mapping[tuple[str, str, str, str], Interval]:
        """Those of the unique detectors of a category, as `claims.category_intervals` has them."""
        return category_intervals(self.run, self.pops)

    @cached_property
    def chance(self) -> pd.DataFrame | None:
        """How many detectors chance gives, as `trust.chance_detectors` has it."""
        return chance_detectors(self.run)


def gather(runs: Sequence[Run]) -> list[Member]:
    """Each run with what the page needs of it."""
    names = _names(runs)
    return [
        Member(run, name, populations(run), Pictures(run), _titles(run, f"{name}: " if len(runs) > 1 else ""))
        for run, name in zip(runs, names, strict=True)
    ]


def subject_of(members: Sequence[Member], colours: Mapping[str, str]) -> Subject:
    """What the figures of the page are drawn from."""
    networks: dict[str, list[Population]] = {}
    intervals: dict[Population, tuple[Interval, Interval]] = {}
    held_out: dict[Population, np.ndarray] = {}
    for member in members:
        for p in member.pops:
            networks.setdefault(member.titles[p.network], []).append(p)
        intervals |= member.intervals
        held_out |= held_out_ious(member.run.trust, member.pops)
    return Subject(
        networks=networks,
        colours=colours,
        pictures=Album({p: member.pictures for member in members for p in member.pops}),
        iou_cut=members[0].run.info["settings"]["iou_cut"],
        intervals=intervals,
        held_out=held_out,
    )


def all_categories(members: Sequence[Member]) -> list[str]:
    """The categories of all runs, each once, in the order of the first that has it."""
    return list(dict.fromkeys(c for member in members for c in categories_of(member.run, member.pops)))


class Album:
    """The pictures of several runs for figures, which ask for them by population, as `Pictures` answers for one run."""

    def __init__(self, pictures_of: Mapping[Population, Pictures]) -> None:
        self._of = pictures_of
        self.n_strongest = max((pictures.n_strongest for pictures in pictures_of.values()), default=0)

    def strip(self, population: Population, position: int, n_images: int) -> np.ndarray | None:
        """The unit's strongest images with its mask; see `Pictures.strip`."""
        return self._of[population].strip(population, position, n_images)


def _names(runs: Sequence[Run]) -> list[str]:
    """What run.json calls each; the folder's name where two are called the same, and a number where that is no help."""
    names = [one_line(run.info.get("name") or run.path.name) for run in runs]
    if len(set(names)) < len(names):
        names = [one_line(run.path.resolve().name) for run in runs]
    seen: Counter[str] = Counter()
    for k, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[k] = f"{name} ({seen[name]})"
    return names


def _titles(run: Run, prefix: str) -> dict[str, str]:
    return {str(network["name"]): prefix + network_title(network) for network in run.networks}

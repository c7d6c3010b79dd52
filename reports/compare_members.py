"""The networks of a comparison: their names, what each unit of them detects with and without each fold, and what differs.

    runs = [open_run("runs/a"), open_run("runs/b")]
    members = members_of(runs, concepts_of(runs))
    members[0].title, members[0].control          # "imagenet12, rotated", "rotated"
    different(runs)                               # what they do not have in common, a sentence for each

A member is one network of one run. Everything that is counted about it comes from `Member.detected`: row 0 says which concept
each unit detects on all images, row 1 + f which without the images of fold f (`replicates.csv`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from data_prep.common.errors import UserError, choose
from dissect.run_store import Run
from reports.style import one_line
from reports.summary import layers_of, network_title

ALL = "all"
"""In the place of a layer, an operator or a category: all of them together."""

NOTHING = -1
"""In the place of a concept: the unit is no detector."""

SAME_SETTINGS = {
    "quantile": "the level of the threshold",
    "iou_cut": "the IoU that makes a detector",
    "tap": "where convolutions are tapped",
    "upsample": "how maps are enlarged",
    "union": "the images in which a mask counts",
    "split": "the split of the images",
    "categories": "the categories of labels",
    "min_images": "the images that a concept must have",
    "score": "the score that chooses a label",
}
"""Settings that two runs must share for their counts to mean the same, and what each is in words."""

Concepts = Mapping[tuple[str, str], int]
"""A number for each (category, label)."""


class Part(NamedTuple):
    """Units of a network: those of one layer and operator, or of all (`ALL`)."""

    layer: str
    operator: str

    @property
    def title(self) -> str:
        """
        >>> Part("18", "depthwise").title, Part(ALL, "depthwise").title, Part(ALL, ALL).title
        ('layer 18, depthwise', 'all layers, depthwise', 'all layers')
        """
        where = f"layer {self.layer}" if self.layer.isdigit() else one_line(self.layer)
        where = "all layers" if self.layer == ALL else where
        return where if self.operator == ALL else f"{where}, {one_line(self.operator)}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Member:
    """One network of one run.

    title: its name in the comparison, no two alike. network: its entry in `run.json`. units: its rows of `units.csv`.
    detected: (1 + F, U) int32, the concept that each unit detects, `NOTHING` where it detects none: on all images, then
    without each of F folds; F is 0 for a run without folds. trust: its rows of `trust.csv`, None without folds.
    control: "rotated", "untrained", or "" for neither.
    """

    title: str
    run: Run
    network: Mapping[str, Any]
    units: pd.DataFrame
    detected: np.ndarray
    trust: pd.DataFrame | None
    control: str

    @property
    def n_folds(self) -> int:
        """F, 0 for a run without folds."""
        return len(self.detected) - 1

    @property
    def parts(self) -> list[Part]:
        """Each layer and operator, in order of execution."""
        return list(self.shape)

    @property
    def shape(self) -> dict[Part, int]:
        """How many units each layer and operator has."""
        return {Part(str(e["layer"]), str(e["operator"])): int(e["n_units"]) for e in layers_of(self.network)}

    def rows(self, part: Part) -> np.ndarray:
        """(U,) bool: the units of a part."""
        chosen = np.ones(len(self.units), bool)
        if part.layer != ALL:
            chosen &= self.units["layer"].to_numpy() == part.layer
        if part.operator != ALL:
            chosen &= self.units["operator"].to_numpy() == part.operator
        return chosen


def concepts_of(runs: Sequence[Run]) -> dict[tuple[str, str], int]:
    """A number for each concept of the runs: by category in the order of the first run that has it, then by label."""
    categories = list(dict.fromkeys(str(c) for run in runs for c in run.info["data"]["categories"]))
    pairs = {pair for run in runs for pair in zip(run.concepts["category"], run.concepts["label"], strict=True)}
    found = sorted(pairs, key=lambda pair: (categories.index(pair[0]), pair[1]))
    return {pair: k for k, pair in enumerate(found)}


def members_of(runs: Sequence[Run], concepts: Concepts, networks: Sequence[str] = ()) -> list[Member]:
    """Every network of every run, or those of the names given. Raises `UserError` for fewer than two, and for unknown names.

    concepts: the number of each concept, of all the runs.
    """
    known = list(dict.fromkeys(str(entry["name"]) for run in runs for entry in run.networks))
    for name in networks:
        choose("network", name, known)
    chosen = [(run, entry) for run in runs for entry in run.networks if not networks or entry["name"] in networks]
    if len(chosen) < 2:
        there = ", ".join(f"{entry['name']} of {run.path}" for run, entry in chosen) or "none"
        raise UserError(
            f"There is nothing to compare: the chosen networks are {there}; give another run, or a run of several networks."
        )
    titles = _titles(chosen)
    return [_member(run, entry, title, concepts=concepts) for (run, entry), title in zip(chosen, titles, strict=True)]


def _member(run: Run, entry: Mapping[str, Any], title: str, *, concepts: Concepts) -> Member:
    units = run.units[run.units["network"] == entry["name"]].reset_index(drop=True)
    detected = [_detected(units, concepts)]
    if run.replicates is not None:
        replicates = run.replicates[run.replicates["network"] == entry["name"]]
        detected.append(_detected(replicates, concepts).reshape(-1, len(units)))
    trust = None if run.trust is None else run.trust[run.trust["network"] == entry["name"]].reset_index(drop=True)
    rotated = run.info["settings"].get("rotate") is not None
    control = "rotated" if rotated else "untrained" if entry.get("trained") is False else ""
    return Member(
        title=title, run=run, network=entry, units=units, detected=np.vstack(detected), trust=trust, control=control,
    )  # fmt: skip


def _detected(table: pd.DataFrame, concepts: Concepts) -> np.ndarray:
    rows = zip(table["category"], table["label"], table["detector"], strict=True)
    return np.array([concepts[category, label] if is_one else NOTHING for category, label, is_one in rows], np.int32)


def _titles(chosen: Sequence[tuple[Run, Mapping[str, Any]]]) -> list[str]:
    """Network, domain and control; with the run's name before it where two were alike, and a number where that is no help."""
    titles = []
    for run, entry in chosen:
        rotate = run.info["settings"].get("rotate")
        titles.append(network_title(dict(entry)) + (f", rotated ({rotate})" if rotate is not None else ""))
    twice = {title for title, n in Counter(titles).items() if n > 1}
    names = [one_line(run.path.resolve().name) for run, _ in chosen]
    titles = [f"{name}: {title}" if title in twice else title for name, title in zip(names, titles, strict=True)]
    seen: Counter[str] = Counter()
    for k, title in enumerate(titles):
        seen[title] += 1
        titles[k] = f"{title} ({seen[title]})" if seen[title] > 1 else title
    return titles


def different(runs: Iterable[Run]) -> list[str]:
    """What the runs do not have in common though their counts depend on it: "`quantile` (the level ...): 0.995 in a, ..."."""
    runs = list({id(run): run for run in runs}.values())
    found = []
    prints = {run.info["data"]["fingerprint"] for run in runs}
    if len(prints) > 1:
        found.append(_listed("the data", runs, lambda run: f"{run.info['data']['name'] or 'unnamed'} {_print(run)}"))
    for name, words in SAME_SETTINGS.items():
        values = [_value(name, run) for run in runs]
        if len(set(values)) > 1:
            found.append(_listed(f"`{name}` ({words})", runs, partial(_value, name)))
    return found


def _listed(what: str, runs: Sequence[Run], value: Callable[[Run], str]) -> str:
    each = [f"{value(run)} in {one_line(run.path.name)}" for run in runs[:6]]
    return f"{what}: {', '.join(each)}{f' and {len(runs) - 6} more' if len(runs) > 6 else ''}"


def _print(run: Run) -> str:
    return str(run.info["data"]["fingerprint"])[:12] or "(images not known)"


def _value(name: str, run: Run) -> str:
    value = run.info["settings"].get(name)
    if isinstance(value, list):
        return " ".join(map(str, value))
    if value is None:
        return "all" if name in ("split", "categories") else "not known"
    return str(value)


def same_folds(a: Member, b: Member) -> bool:
    """Whether leaving out a fold leaves out the same images in both: then a difference is known better than its two terms.

    Folds go by the names of the images, so the same images in as many folds are in the same folds.
    """
    if a.run is b.run:
        return a.n_folds > 1
    same_data = a.run.info["data"]["fingerprint"] == b.run.info["data"]["fingerprint"]
    return a.n_folds == b.n_folds > 1 and same_data and a.run.images["name"].equals(b.run.images["name"])


def original_of(control: Member, members: Sequence[Member]) -> Member | None:
    """What a control stands beside: of a rotated network the same weights unrotated, of an untrained one a trained network with
    the same layers; None where the comparison has none. The first, where there are several."""
    for other in members:
        if control.control == "rotated" and other.control != "rotated":
            if other.network["weights_hash"] == control.network["weights_hash"]:
                return other
        elif control.control == "untrained" and not other.control and other.shape == control.shape:
            return other
    return None


def parts_of(members: Sequence[Member]) -> list[Part]:
    """All layers, all layers of each operator, and each layer and operator, each that some member has."""
    single = list(dict.fromkeys(part for member in members for part in member.parts))
    operators = list(dict.fromkeys(part.operator for part in single))
    together = [Part(ALL, operator) for operator in operators] if len(operators) > 1 else []
    return [Part(ALL, ALL), *together, *single]

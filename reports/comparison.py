"""Networks beside each other: of several runs, or of one run.

    comparison = reports.compare(["runs/a", "runs/b"])
    comparison.differences            # a pandas table: counts of the second minus the first, with 95 % intervals
    reports.write_comparison(comparison, "runs/a-and-b")

`write_comparison` leaves one page, its figures and every table as CSV. What the intervals cover stands in `reports.intervals`,
how to read them in docs/comparing.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from data_prep.common.errors import UserError
from data_prep.common.files import slug
from dissect.run_store import Run, open_run
from reports import compare_concepts, compare_counts, compare_units
from reports.compare_counts import Counted, pairs
from reports.compare_members import (
    ALL,
    Concepts,
    Member,
    Part,
    concepts_of,
    different,
    members_of,
    original_of,
    parts_of,
    same_folds,
)

TABLES = {
    "members": "the networks that are compared",
    "counts": "detectors and unique detectors by network, layer, operator and category, with intervals",
    "differences": "the same counts of every two networks, the second minus the first, with intervals",
    "operators": "two operators of one layer, the first minus the second, with intervals",
    "controls": "rotated and untrained networks beside their originals",
    "concepts": "detectors of every concept by network, layer and operator",
    "changes": "concepts kept, gained and lost between every two networks",
    "exchanges": "how many were kept, gained and lost",
    "moves": "concepts kept, gained and lost from one layer to the next",
    "units": "unit beside unit: who kept its concept, who changed, who took it over",
    "unit_counts": "how many units kept their concept, and how many would by chance",
}
"""The tables of a comparison, each `Comparison.NAME` and NAME.csv, and what each holds."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Networks beside each other, as tables (see `TABLES`), each made when it is first asked for.

    networks: one entry for each network, in the order of the runs. warnings: what a reader must know first.
    """

    networks: list[Member]
    all_concepts: Concepts
    warnings: list[str]

    @property
    def titles(self) -> list[str]:
        """The names of the networks, no two alike."""
        return [member.title for member in self.networks]

    @property
    def file_name(self) -> str:
        """`compare-a-and-b`, of the names of the runs."""
        names = list(dict.fromkeys(slug(member.run.path.resolve().name) for member in self.networks))
        shown = "-and-".join(names[:3]) + (f"-and-{len(names) - 3}-more" if len(names) > 3 else "")
        return f"compare-{shown}"[:120]

    @property
    def parts(self) -> list[Part]:
        """All layers, all layers of each operator, each layer and operator."""
        return parts_of(self.networks)

    @cached_property
    def members(self) -> pd.DataFrame:
        """`network`, `run`, `domain`, `model`, `trained`, `control`, `original` (of a control), `units`, `folds`, `data`."""
        rows = []
        for member in self.networks:
            original = original_of(member, self.networks) if member.control else None
            rows.append(
                {
                    "network": member.title,
                    "run": str(member.run.path),
                    "domain": str(member.network.get("domain") or ""),
                    "model": str(member.network.get("model") or ""),
                    "weights_hash": str(member.network["weights_hash"]),
                    "control": member.control,
                    "original": original.title if original else "",
                    "units": len(member.units),
                    "folds": max(member.n_folds, 1),
                    "images": len(member.run.images),
                    "data": str(member.run.info["data"]["name"]),
                }
            )
        return pd.DataFrame(rows)

    @cached_property
    def counted(self) -> Counted:
        """Every count by fold, from which the tables are made."""
        return Counted(self.networks, self.all_concepts)

    @cached_property
    def counts(self) -> pd.DataFrame:
        """Detectors and unique detectors of every network, part and category: see `compare_counts.count_rows`."""
        return compare_counts.count_rows(self.counted)

    @cached_property
    def differences(self) -> pd.DataFrame:
        """Every two networks, the second minus the first: see `compare_counts.difference_rows`."""
        return compare_counts.difference_rows(self.counted)

    @cached_property
    def operators(self) -> pd.DataFrame:
        """Two operators of one layer, as depthwise - pointwise: see `compare_counts.operator_rows`."""
        return compare_counts.operator_rows(self.counted)

    @cached_property
    def controls(self) -> pd.DataFrame:
        """The rows of `differences` between a control and its original: the control minus the original."""
        rows = []
        for member in self.networks:
            original = original_of(member, self.networks) if member.control else None
            if original:
                pair = self.between(original.title, member.title)
                pair = pair[pair["category"] == ALL].drop(columns=["paired", "category"])
                pair = pair.rename(columns={"a": "original", "b": "control"})
                rows.append(pair.rename(columns={"value_a": "value_original", "value_b": "value_control"}))
        columns = [
            "original",
            "control",
            "layer",
            "operator",
            "measure",
            "value_original",
            "value_control",
            "difference",
        ]
        columns += ["low", "high", "apart"]
        return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)

    @cached_property
    def concepts(self) -> pd.DataFrame:
        """Detectors of every concept by network, layer and operator: see `compare_concepts.concept_rows`."""
        return compare_concepts.concept_rows(self.networks, self.all_concepts)

    @cached_property
    def matrix(self) -> pd.DataFrame:
        """Concepts x networks: how many detectors in all layers together."""
        return compare_concepts.concepts_by_member(self.networks, self.all_concepts)

    @cached_property
    def changes(self) -> pd.DataFrame:
        """Concepts kept, gained and lost between every two networks: see `compare_concepts.change_rows`."""
        return compare_concepts.change_rows(self.networks, self.all_concepts)

    @cached_property
    def exchanges(self) -> pd.DataFrame:
        """How many concepts were kept, gained and lost: see `compare_concepts.exchange_rows`."""
        return compare_concepts.exchange_rows(self.networks, self.all_concepts)

    @cached_property
    def moves(self) -> pd.DataFrame:
        """Concepts kept, gained and lost from one layer to the next: see `compare_concepts.move_rows`."""
        return compare_concepts.move_rows(self.networks, self.all_concepts)

    @cached_property
    def units(self) -> pd.DataFrame:
        """Unit beside unit, for every two networks with the same layers: see `compare_units.unit_rows`."""
        members = self.networks
        rows = [compare_units.unit_rows(members[x], members[y], self.all_concepts) for x, y in pairs(len(members))]
        return pd.concat(rows, ignore_index=True)

    @cached_property
    def unit_counts(self) -> pd.DataFrame:
        """How many units kept their concept, and how many would by chance: see `compare_units.unit_count_rows`."""
        return compare_units.unit_count_rows(self.networks)

    def between(self, a: str, b: str) -> pd.DataFrame:
        """The rows of `differences` of two networks, b minus a, in whichever order the comparison has them."""
        table = self.differences
        found = table[(table["a"] == a) & (table["b"] == b)]
        if len(found):
            return found.reset_index(drop=True)
        turned = table[(table["a"] == b) & (table["b"] == a)]
        swapped = turned.rename(columns={"a": "b", "b": "a", "value_a": "value_b", "value_b": "value_a"})
        swapped = swapped.assign(difference=-turned["difference"], low=-turned["high"], high=-turned["low"])
        return swapped[list(table.columns)].reset_index(drop=True)

    def _repr_html_(self) -> str:
        from reports.compare_page import notebook_html

        return notebook_html(self)


def compare(
    runs: Sequence[str | Path | Run], *, networks: Sequence[str] = (), allow_different: bool = False
) -> Comparison:
    """Compare the networks of finished runs; two at least, of one run or of several.

    networks: only those of these names. allow_different: compare runs of other data, levels or rules all the same; the page
    then says which differ. Raises `UserError` where they differ, and `RunFolderError` for a folder that is no finished run.
    """
    opened = [run if isinstance(run, Run) else open_run(run) for run in runs]
    concepts = concepts_of(opened)
    members = members_of(opened, concepts, networks)
    faults = different(member.run for member in members)
    if faults and not allow_different:
        raise UserError(
            f"The runs differ in {'; '.join(faults)}. Their counts do not mean the same: dissect again with the same choices, or "
            f"set `allow_different`."
        )
    return Comparison(members, concepts, [*_warn_different(faults), *_warn_layers(members), *_warn_folds(members)])


def short_rows(comparison: Comparison) -> pd.DataFrame:
    """One row for each network and operator, all layers together: `counts` with, as `difference`, `difference_low` and
    `difference_high`, the unique detectors minus those of the first network."""
    counts = comparison.counts[(comparison.counts["category"] == ALL) & (comparison.counts["layer"] == ALL)]
    table = comparison.differences
    chosen = (table["a"] == comparison.titles[0]) & (table["layer"] == ALL) & (table["category"] == ALL)
    against = table[chosen & (table["measure"] == "unique")].rename(
        columns={"b": "network", "low": "difference_low", "high": "difference_high"}
    )
    columns = ["network", "operator", "difference", "difference_low", "difference_high"]
    return counts.merge(against[columns], on=["network", "operator"], how="left")


def _warn_different(faults: Sequence[str]) -> list[str]:
    lead = "These runs were not made in the same way, and their counts do not mean the same: "
    return [lead + "; ".join(faults).replace("`", "") + "."] if faults else []


def _warn_layers(members: Sequence[Member]) -> list[str]:
    if all(member.shape == members[0].shape for member in members):
        return []
    return [
        "The networks do not have the same layers: “all layers” is all that was dissected of each, more units in one than in "
        "another; compare at equal numbers of units."
    ]


def _warn_folds(members: Sequence[Member]) -> list[str]:
    unknown = [member.title for member in members if not member.run.info["data"]["fingerprint"]]
    if unknown:
        return [
            f"Not known which images were shown to {', '.join(unknown)}, nor with which settings, as another tool made their "
            f"runs: compare only what you know to be alike. They have no intervals."
        ]
    without = [member.title for member in members if member.n_folds < 2]
    if without:
        return [f"No intervals for {', '.join(without)}: dissected without folds of the images."]
    unpaired = [(members[x], members[y]) for x, y in pairs(len(members)) if not same_folds(members[x], members[y])]
    if not unpaired:
        return []
    a, b = unpaired[0]
    more = f" and {len(unpaired) - 1} more pairs" if len(unpaired) > 1 else ""
    return [
        f"Not the same images in the same folds: {a.title} and {b.title}{more}. The intervals of their differences combine the "
        f"standard errors of both and are wider than they would be on the same images."
    ]

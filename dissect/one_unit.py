"""One unit of a run: what it is labelled with, its runners-up, and its best concept of each category. No torch.

run.unit("imagenet12", 18, 5, "depthwise").concepts     # best first
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from data_prep.common.errors import UserError, choose
from dissect.notebook import unit_html
from dissect.scores import Counts, intersection_over_union, scored, union_area

if TYPE_CHECKING:
    from dissect.run_store import Run


@dataclass(frozen=True)
class Unit:
    """One unit of a run.

    facts: its row of units.csv, such as facts["label"] and facts["threshold"].
    concepts: one row for each concept that may be its label, those whose score is above 0, highest first: `category`, `label`,
    `iou`, `score`, `intersection_area`, `union_area`. The first is what the unit is labelled with, the others are the runners-up.
    by_category: its rows of unit_category.csv, the best concept of each category.
    """

    facts: pd.Series
    concepts: pd.DataFrame
    by_category: pd.DataFrame

    def _repr_html_(self) -> str:
        return unit_html(self)


def unit_of(run: Run, row: int, facts: pd.Series, category: np.ndarray | None) -> Unit:
    """The unit with this number and row, as `facts_of` gives them. category: (C,) of each concept; None for an imported run."""
    by_category = _categories_of(run, facts)
    concepts = _best_of(by_category) if category is None else _concepts_of(run, row, facts, category)
    return Unit(facts, concepts, by_category)


def facts_of(run: Run, network: str, *, layer: str | int, unit: int, operator: str | None) -> tuple[int, pd.Series]:
    """A unit's number among the units of the network, and its row of units.csv. Raises `UserError` where there is no such one."""
    choose("network", network, [each["name"] for each in run.networks])
    table = run.units[run.units["network"] == network].reset_index(drop=True)
    named = table[table["layer"] == str(layer)]
    named = named if len(named) else table[table["module"] == str(layer)]
    if named.empty:
        choose("layer", str(layer), dict.fromkeys([*table["layer"], *table["module"]]))
    operators = list(dict.fromkeys(named["operator"]))
    if operator is not None:
        choose(f"operator of layer {layer}", operator, operators)
        named = named[named["operator"] == operator]
    elif len(operators) > 1:
        raise UserError(
            f"Layer {layer} of {network} has several operators: set `operator` to {' or '.join(operators)}."
        )
    found = named[named["unit"] == unit]
    if found.empty:
        raise UserError(f"Layer {layer} of {network} has no unit {unit!r}; its units are 0 to {named['unit'].max()}.")
    return int(found.index[0]), found.iloc[0]


def _concepts_of(run: Run, row: int, facts: pd.Series, category: np.ndarray) -> pd.DataFrame:
    counts = Counts.of_arrays(run.counts(facts["network"]))
    one = counts._replace(
        intersection_area=counts.intersection_area[row : row + 1], mask_area=counts.mask_area[row : row + 1]
    )
    table = run.concepts[["category", "label"]].assign(
        iou=intersection_over_union(one, category)[0],
        score=scored(run.score, one, category)[0],
        intersection_area=one.intersection_area[0],
        union_area=union_area(one, category)[0],
    )
    # Equals stay in the order of the concepts, as the label of a unit is chosen.
    table = table[run.concepts["eligible"] & (table["score"] > 0) & (not facts["dead"])]
    return table.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def _categories_of(run: Run, facts: pd.Series) -> pd.DataFrame:
    table = run.unit_category
    same = [table[name] == facts[name] for name in ("network", "layer", "operator", "unit")]
    return table[np.logical_and.reduce(same)].iloc[:, table.columns.get_loc("category") :].reset_index(drop=True)


def _best_of(by_category: pd.DataFrame) -> pd.DataFrame:
    """What `Unit.concepts` of an imported run can be: the best concept of each category, best first."""
    table = by_category[by_category["iou"] > 0]
    union = table["mask_area"] + table["concept_area"] - table["intersection_area"]
    table = table.assign(score=table["iou"], union_area=union)
    columns = ["category", "label", "iou", "score", "intersection_area", "union_area"]
    return table[columns].sort_values("iou", ascending=False, kind="stable", ignore_index=True)

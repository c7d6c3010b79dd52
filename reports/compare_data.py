"""What the script of a comparison's page needs, as numbers and names: small, and without what the page shows by itself.

    data = page_data(comparison)          # for json.dumps

Networks, parts, concepts and categories are numbered in the order of their lists; a value that is not known is null.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reports.compare_concepts import n_detectors
from reports.compare_counts import MEASURES
from reports.compare_members import ALL, NOTHING, Part
from reports.compare_units import comparable
from reports.style import category_colours, one_line

if TYPE_CHECKING:
    from reports.comparison import Comparison

MOST_UNITS = 200_000
"""Of all networks together: where there are more, their units stand in units.csv alone."""

_EXCHANGE = tuple(f"n_{name}{end}" for name in ("kept", "gained", "lost") for end in ("", "_low", "_high"))
_UNIT_COUNTS = (
    "units", "n_kept", "n_kept_low", "n_kept_high", "n_kept_by_chance", "n_changed", "n_gained", "n_lost",
)  # fmt: skip

Rows = Iterable[tuple[str, str, list[Any]]]
"""The titles of a pair, and a row of numbers of it."""


def page_data(comparison: Comparison) -> dict[str, Any]:
    """titles, parts, concepts, colours; counts[network][part] as [concept, detectors, ...] with `unsure`, the concepts that
    some fold decides; units[network][part] as concepts and IoU; the rows of differences, exchanges and unit counts by pair."""
    members, parts = comparison.networks, comparison.parts
    categories = list(dict.fromkeys(category for category, _ in comparison.all_concepts))
    counts, unsure = [], []
    for member in members:
        of_member, unsure_of = [], []
        for part in parts:
            table = n_detectors(member, part, len(comparison.all_concepts)) if member.rows(part).any() else None
            of_member.append(None if table is None else _sparse(table[0]))
            unsure_of.append([] if table is None else np.flatnonzero(((table > 0) != (table[0] > 0)).any(0)).tolist())
        counts.append(of_member)
        unsure.append(unsure_of)
    return {
        "titles": [one_line(title) for title in comparison.titles],
        "layers": [part.layer for part in parts],
        "operators": [part.operator for part in parts],
        "parts": [part.title for part in parts],
        "categories": [one_line(category) for category in categories],
        "colours": list(category_colours(categories).values()),
        "concepts": [[categories.index(category), one_line(label)] for category, label in comparison.all_concepts],
        "measures": list(MEASURES.values()),
        "counts": counts,
        "unsure": unsure,
        "differences": _by_pair(comparison, _differences(comparison, categories)),
        "exchanges": _by_pair(comparison, _of_parts(comparison, comparison.exchanges, _EXCHANGE)),
        "unitCounts": _by_pair(comparison, _of_parts(comparison, comparison.unit_counts, _UNIT_COUNTS)),
        "units": _units(comparison),
    }


def _sparse(counts: np.ndarray) -> list[int]:
    found = np.flatnonzero(counts)
    return np.stack([found, counts[found]], 1).ravel().tolist()


def _by_pair(comparison: Comparison, rows: Rows) -> dict[str, list[list[Any]]]:
    """The rows of each pair, by the numbers of its networks as in "0,1"."""
    number = {title: k for k, title in enumerate(comparison.titles)}
    by_pair: dict[str, list[list[Any]]] = {}
    for a, b, row in rows:
        by_pair.setdefault(f"{number[a]},{number[b]}", []).append([_number(value) for value in row])
    return by_pair


def _differences(comparison: Comparison, categories: Sequence[str]) -> Rows:
    """part, category (-1 for all), measure, value of a, of b, low, high. By category only for all layers together."""
    measures = {name: k for k, name in enumerate(MEASURES)}
    part_number = {part: k for k, part in enumerate(comparison.parts)}
    for row in comparison.differences.to_dict("records"):
        part, of_all = Part(row["layer"], row["operator"]), row["category"] == ALL
        if of_all or row["layer"] == ALL:
            category = -1 if of_all else categories.index(row["category"])
            values = [row[name] for name in ("value_a", "value_b", "low", "high")]
            yield row["a"], row["b"], [part_number[part], category, measures[row["measure"]], *values]


def _of_parts(comparison: Comparison, table: pd.DataFrame, columns: Sequence[str]) -> Rows:
    """part, then the columns."""
    part_number = {part: k for k, part in enumerate(comparison.parts)}
    for row in table.to_dict("records"):
        yield row["a"], row["b"], [part_number[Part(row["layer"], row["operator"])], *(row[name] for name in columns)]


def _units(comparison: Comparison) -> list[list[Any]]:
    """For each network and part the concept of each unit, -1 for none, and its IoU in thousandths, with the ends of its interval
    where the run has folds; null where no other network has units to stand beside them."""
    members = comparison.networks
    if sum(len(member.units) for member in members) > MOST_UNITS:
        return []
    found: list[list[Any]] = []
    for member in members:
        beside = {part for other in members if other is not member for part in comparable(member, other)}
        of_member: list[Any] = []
        for part in comparison.parts:
            rows = member.rows(part)
            detected = member.detected[0, rows]
            known = (
                [member.units["iou"]]
                if member.trust is None
                else [member.units["iou"], member.trust["iou_low"], member.trust["iou_high"]]
            )
            ious = (
                np.where(detected == NOTHING, 0, np.round(iou.to_numpy()[rows] * 1000)).astype(int) for iou in known
            )
            of_member.append([detected.tolist(), *(iou.tolist() for iou in ious)] if part in beside else None)
        found.append(of_member)
    return found


def _number(value: Any) -> int | float | None:
    if isinstance(value, int | np.integer):
        return int(value)
    return None if math.isnan(value) else round(float(value), 2)

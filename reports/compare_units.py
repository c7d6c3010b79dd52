"""Unit beside unit, where two networks have the same layers: which units kept their concept, and who took it over.

    a, b = members
    if comparable(a, b):
        table = unit_rows(a, b, concepts)          # one row for each unit that detects something in a or b

It says something where one network was made from the other, as domains that share pointwise filters are. Two networks that were
trained apart number their units at random, and so does a rotated one: beside the units that kept their concept stands how
many would by chance, if the units of a layer were shuffled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from reports.compare_concepts import named
from reports.compare_counts import interval, pairs
from reports.compare_members import NOTHING, Concepts, Member, Part, same_folds

UNIT_STATUS = {
    "kept": "detects the same concept in both",
    "changed": "detects another concept in the second",
    "gained": "is a detector only in the second",
    "lost": "is a detector only in the first",
}


def comparable(a: Member, b: Member) -> list[Part]:
    """The layers in which unit k of a stands beside unit k of b: both have them with as many units, and neither is rotated."""
    if "rotated" in (a.control, b.control):
        return []
    return [part for part, n_units in a.shape.items() if b.shape.get(part) == n_units]


def status_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The status of units whose concepts are these, "" where neither detects one.

    >>> status_of(np.array([1, 1, -1, 2, -1]), np.array([1, 2, 3, -1, -1])).tolist()
    ['kept', 'changed', 'gained', 'lost', '']
    """
    return np.select(
        [(a == NOTHING) & (b == NOTHING), a == NOTHING, b == NOTHING, a == b], ["", "gained", "lost", "kept"], "changed"
    )


def by_chance(a: np.ndarray, b: np.ndarray) -> float:
    """How many units would keep their concept if those of b were shuffled: the sum over concepts of n_a n_b / n.

    >>> by_chance(np.array([1, 1, -1, -1]), np.array([1, -1, -1, -1]))
    0.5
    """
    if not len(a):
        return 0.0
    concepts, n_a = np.unique(a[a != NOTHING], return_counts=True)
    return float(sum(n * (b == concept).sum() for concept, n in zip(concepts, n_a, strict=True)) / len(a))


def unit_count_rows(members: Sequence[Member]) -> pd.DataFrame:
    """One row for each pair of members and comparable layer: units kept, changed, gained and lost, and kept by chance.

    kept_share: kept units among the detectors of a.
    """
    columns = ["a", "b", "layer", "operator", "units", "n_kept", "n_kept_low", "n_kept_high", "n_kept_by_chance"]
    columns += ["n_changed", "n_gained", "n_lost", "kept_share"]
    rows = []
    for x, y in pairs(len(members)):
        a, b = members[x], members[y]
        paired = same_folds(a, b)
        for part in comparable(a, b):
            of_a, of_b = (member.detected[:, member.rows(part)] for member in (a, b))
            n = min(len(of_a), len(of_b)) if paired else 1
            kept = ((of_a[:n] == of_b[:n]) & (of_a[:n] != NOTHING)).sum(1).astype(float)
            status = status_of(of_a[0], of_b[0])
            low, high = interval(kept)
            n_of_a = int((of_a[0] != NOTHING).sum())
            rows.append(
                (a.title, b.title, *part, len(status), int(kept[0]), np.maximum(low, 0), high, by_chance(of_a[0], of_b[0]),
                 *(int((status == name).sum()) for name in ("changed", "gained", "lost")), kept[0] / max(n_of_a, 1))
            )  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def unit_rows(a: Member, b: Member, concepts: Concepts) -> pd.DataFrame:
    """One row for each unit of a comparable layer that is a detector in a or b.

    category_a, label_a, iou_a and the same of b: empty where the unit is no detector there. taken_over_by: where the unit of a
    lost its concept, the units of the layer that detect it in b and did not in a, best first; n_still: how many detect it in
    both.
    """
    parts = []
    for part in comparable(a, b):
        of_a, of_b = (member.detected[0, member.rows(part)] for member in (a, b))
        iou_a, iou_b = (member.units["iou"].to_numpy()[member.rows(part)] for member in (a, b))
        status = status_of(of_a, of_b)
        shown = np.flatnonzero(status != "")
        heirs, n_still = _heirs(of_a, of_b, iou_b)
        gone = np.isin(status, ["changed", "lost"])
        parts.append(
            pd.DataFrame(
                {
                    "a": a.title,
                    "b": b.title,
                    "layer": part.layer,
                    "operator": part.operator,
                    "unit": shown,
                    "status": status[shown],
                    **named(of_a[shown], concepts, "_a"),
                    "iou_a": np.where(of_a[shown] == NOTHING, np.nan, iou_a[shown]),
                    **named(of_b[shown], concepts, "_b"),
                    "iou_b": np.where(of_b[shown] == NOTHING, np.nan, iou_b[shown]),
                    "taken_over_by": [" ".join(map(str, heirs[of_a[k]])) if gone[k] else "" for k in shown],
                    "n_still": [n_still[of_a[k]] if gone[k] else 0 for k in shown],
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _heirs(a: np.ndarray, b: np.ndarray, iou_b: np.ndarray) -> tuple[dict[int, list[int]], dict[int, int]]:
    """For each concept of a: the units that detect it in b only, best first, and how many detect it in both."""
    heirs, n_still = {}, {}
    for concept in map(int, np.unique(a[a != NOTHING])):
        new = np.flatnonzero((b == concept) & (a != concept))
        heirs[concept] = [int(unit) for unit in new[np.argsort(-iou_b[new], kind="stable")]]
        n_still[concept] = int(((a == concept) & (b == concept)).sum())
    return heirs, n_still

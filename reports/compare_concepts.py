"""Concepts gained, lost and kept between two networks, and from one layer to the next.

    table = change_rows(members, concepts)        # a row for each pair, part and concept that one of the two detects
    table = exchange_rows(members, concepts)      # how many were kept, gained and lost, with intervals

From a to b a concept is kept where both have a detector of it, gained where only b has one, and lost where only a has one. A
single unit just above the cut makes the difference, so every row says whether it is steady: whether it comes out the same
without each fold of the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from reports.compare_counts import interval, pairs
from reports.compare_members import ALL, NOTHING, Concepts, Member, Part, parts_of, same_folds

STATUS = ("kept", "gained", "lost")


def n_detectors(member: Member, part: Part, n_concepts: int) -> np.ndarray:
    """(1 + F, C) int64: how many units of the part detect each concept, on all images and without each fold."""
    detected = member.detected[:, member.rows(part)]
    return np.stack([np.bincount(row[row != NOTHING], minlength=n_concepts) for row in detected])


def named(numbers: Sequence[int] | np.ndarray, concepts: Concepts, end: str = "") -> dict[str, pd.Series]:
    """The columns `category` and `label` of concepts by their numbers, "" for `NOTHING`; end: of the columns' names.

    >>> {name: list(column) for name, column in named([1, -1], {("object", "car"): 0, ("part", "leg"): 1}).items()}
    {'category': ['part', ''], 'label': ['leg', '']}
    """
    pairs_of = [*concepts, ("", "")]  # an index of -1 is the last
    return {
        f"{name}{end}": pd.Series([pairs_of[c][n] for c in numbers], dtype="str")
        for n, name in enumerate(("category", "label"))
    }


def concept_rows(members: Sequence[Member], concepts: Concepts) -> pd.DataFrame:
    """One row for each member, layer, operator and concept with a detector: how many, from how many to how many without each
    fold, and the best of them."""
    parts = []
    for member in members:
        for part in member.parts:
            counts = n_detectors(member, part, len(concepts))
            found = np.flatnonzero(counts[0])
            units = member.units[member.rows(part)]
            iou = np.where(member.detected[0, member.rows(part)] == NOTHING, -1, units["iou"])
            best = {c: int(np.where(member.detected[0, member.rows(part)] == c, iou, -1).argmax()) for c in found}
            parts.append(
                pd.DataFrame(
                    {
                        "network": member.title,
                        "layer": part.layer,
                        "operator": part.operator,
                        **named(found, concepts),
                        "detectors": counts[0, found],
                        "fewest": counts[:, found].min(0),
                        "most": counts[:, found].max(0),
                        "best_unit": [int(units["unit"].iloc[best[c]]) for c in found],
                        "best_iou": [float(iou[best[c]]) for c in found],
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def change_rows(members: Sequence[Member], concepts: Concepts) -> pd.DataFrame:
    """One row for each pair of members, part that both have, and concept that one of them detects there.

    n_a, n_b: detectors. status: kept, gained or lost. steady: the same without each fold; empty where a run has no folds, and
    where folds of the two leave out other images.
    """
    counts = {
        (m, part): n_detectors(a, part, len(concepts)) for m, a in enumerate(members) for part in _shared(a, members)
    }
    rows: list[pd.DataFrame] = []
    for x, y in pairs(len(members)):
        a, b = members[x], members[y]
        for part in parts_of(members):
            if (x, part) not in counts or (y, part) not in counts:
                continue
            of_a, of_b = counts[x, part], counts[y, part]
            found = np.flatnonzero(of_a[0] + of_b[0])
            before, after = of_a[:, found] > 0, of_b[:, found] > 0
            rows.append(
                pd.DataFrame(
                    {
                        "a": a.title,
                        "b": b.title,
                        "layer": part.layer,
                        "operator": part.operator,
                        **named(found, concepts),
                        "n_a": of_a[0, found],
                        "n_b": of_b[0, found],
                        "status": np.where(before[0] & after[0], "kept", np.where(after[0], "gained", "lost")),
                        "steady": _steady(before, after) if same_folds(a, b) else None,
                    }
                )
            )
    return pd.concat(rows, ignore_index=True)


def _steady(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return ((before == before[0]) & (after == after[0])).all(0)


def _shared(member: Member, members: Sequence[Member]) -> list[Part]:
    return [part for part in parts_of(members) if member.rows(part).any()]


def exchange_rows(members: Sequence[Member], concepts: Concepts) -> pd.DataFrame:
    """One row for each pair of members and part that both have: concepts kept, gained and lost from a to b.

    kept_share: kept ones among those that at least one of the two detects. With intervals where folds leave out the same images
    of both.
    """
    rows = []
    for x, y in pairs(len(members)):
        a, b = members[x], members[y]
        for part in parts_of(members):
            if a.rows(part).any() and b.rows(part).any():
                steps = (n_detectors(member, part, len(concepts)) > 0 for member in (a, b))
                rows.append(
                    {"a": a.title, "b": b.title, **part._asdict(), **_exchange(*steps, paired=same_folds(a, b))}
                )
    return pd.DataFrame(rows)


def move_rows(members: Sequence[Member], concepts: Concepts) -> pd.DataFrame:
    """One row for each member, operator and two layers of it that follow each other: concepts kept, gained and lost."""
    columns = ["network", "operator", "from_layer", "to_layer"]
    rows = []
    for member in members:
        for operator in dict.fromkeys(part.operator for part in member.parts):
            mine = [part for part in member.parts if part.operator == operator]
            for before, after in pairwise(mine):
                steps = (n_detectors(member, part, len(concepts)) > 0 for part in (before, after))
                names = dict(zip(columns, (member.title, operator, before.layer, after.layer), strict=True))
                rows.append({**names, **_exchange(*steps, paired=member.n_folds > 1)})
    empty = _exchange(np.zeros((1, 0), bool), np.zeros((1, 0), bool), paired=False)
    return pd.DataFrame(rows, columns=[*columns, *empty])


def _exchange(before: np.ndarray, after: np.ndarray, *, paired: bool) -> dict[str, float]:
    """(1 + F, C) bool, whether there is a detector, in a and in b. Numbers of concepts with their intervals."""
    if not paired:
        before, after = before[:1], after[:1]
    either = np.maximum((before | after).sum(1), 1)
    values = {
        "n_kept": (before & after).sum(1),
        "n_gained": (~before & after).sum(1),
        "n_lost": (before & ~after).sum(1),
        "kept_share": (before & after).sum(1) / either,
    }
    row: dict[str, float] = {}
    for name, each in values.items():
        low, high = interval(each.astype(float))
        row[name] = float(each[0]) if name == "kept_share" else int(each[0])
        row |= {
            f"{name}_low": np.maximum(low, 0),
            f"{name}_high": np.minimum(high, 1) if name == "kept_share" else high,
        }
    return row


def concepts_by_member(members: Sequence[Member], concepts: Concepts) -> pd.DataFrame:
    """The matrix of concepts x networks: detectors in all layers, concepts with most detectors first, none without any."""
    counts = np.stack([n_detectors(member, Part(ALL, ALL), len(concepts))[0] for member in members], 1)
    index = pd.MultiIndex.from_tuples(list(concepts), names=["category", "label"])
    table = pd.DataFrame(counts, index=index, columns=[member.title for member in members])
    table = table[table.sum(axis=1) > 0]
    return table.iloc[np.argsort(-table.to_numpy().sum(1), kind="stable")]

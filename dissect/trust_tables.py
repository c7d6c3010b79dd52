"""The tables that say how sure each unit's label is, from the stored counts by fold: replicates, trust and labels.

tables = trust_tables(found, scratch=out)           # name -> table; found: of a run with at least two folds
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from dissect.found import Found
from dissect.room import Room
from dissect.run_schema import FOLD
from dissect.run_store import LABEL_COLUMNS, REPLICATE_COLUMNS, TRUST_COLUMNS
from dissect.scores import Counts
from dissect.trust import Trust, false_discovery_rates, p_values, trust_of

IN_MEMORY = 2**28
"""Bytes of counts by fold that are held in memory; more of them lie in a file while the tables are made."""

SURE = 0.05
"""The false-discovery rate below which a unit may be a sure detector."""


def trust_tables(found: Found, scratch: Path) -> dict[str, pd.DataFrame]:
    """replicates.csv, trust.csv and labels.csv of one network. scratch: a folder that has room for the counts by fold."""
    room = Room(scratch, IN_MEMORY)
    stored = (found.stored[FOLD + name] for name in Counts._fields)
    folds = Counts(*(_stacked(slices, found.settings.n_folds, room) for slices in stored))
    trust = trust_of(folds, found.category, score=found.settings.score, eligible=found.eligible, alive=~found.dead)
    return {
        "replicates": replicate_table(found, trust),
        "trust": trust_table(found, trust),
        "labels": label_table(found, trust),
    }


def replicate_table(found: Found, trust: Trust) -> pd.DataFrame:
    """One row for each (fold, unit): what the unit detects without the images of that fold, at the same threshold."""
    n_folds = len(trust.replicate)
    iou = trust.replicate_iou.ravel()
    values = {
        **{name: np.tile(column, n_folds) for name, column in found.unit_columns().items()},
        **found.name_columns(trust.replicate.ravel()),
        "left_out": np.repeat(np.arange(n_folds), trust.replicate.shape[1]),
        "iou": iou,
        "detector": iou > found.settings.iou_cut,
    }
    return pd.DataFrame(values)[list(REPLICATE_COLUMNS)]


def trust_table(found: Found, trust: Trust) -> pd.DataFrame:
    """One row for each unit: the label on images that did not choose it, its interval, its stability, and chance."""
    p, q, sure = (np.full(len(found.dead), np.nan) for _ in range(3))
    if "null_score" in found.stored:
        null_score, layer = found.stored["null_score"], found.layer_number
        for number in range(len(found.layers)):
            mine = layer == number
            p[mine] = p_values(found.label.score[mine], null_score[:, mine], ~found.dead[mine])
            q[mine] = false_discovery_rates(p[mine], ~found.dead[mine])
        cut = found.settings.iou_cut
        sure = (found.label.iou > cut) & (trust.held_out_iou > cut) & (q < SURE)
    values = {
        **found.unit_columns(),
        "held_out_iou": trust.held_out_iou,
        "iou_low": trust.iou_low,
        "iou_high": trust.iou_high,
        "kept_folds": trust.kept_folds,
        "kept_share": trust.kept_share,
        "n_set": trust.n_set,
        "p": p,
        "q": q,
        "sure": pd.array(
            [None if np.isnan(rate) else bool(is_sure) for rate, is_sure in zip(q, sure, strict=True)], dtype="boolean"
        ),
    }
    return pd.DataFrame(values)[list(TRUST_COLUMNS)]


def label_table(found: Found, trust: Trust) -> pd.DataFrame:
    """The best concepts of each unit, and all that its label may be, best first."""
    listed = trust.listed
    values = {
        **{name: column[listed.unit] for name, column in found.unit_columns().items()},
        **found.name_columns(listed.concept),
        **{name: getattr(listed, name) for name in LABEL_COLUMNS if name in listed._fields and name != "unit"},
    }
    return pd.DataFrame(values)[list(LABEL_COLUMNS)]


def _stacked(slices: Iterable[np.ndarray], n_folds: int, room: Room) -> np.ndarray:
    """Counts by fold, which come fold by fold, as one array: (F, ...)."""
    first = next(iter(slices))
    stacked = room.zeros((n_folds, *first.shape), first.dtype, "The counts by fold")
    for fold, array in enumerate(slices):
        stacked[fold] = array
    return stacked

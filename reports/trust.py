"""What the trust of a run comes to: detectors that hold on other images, and what chance would give.

    held_out_detectors(units_and_trust)       # how many are detectors on images that had no say in their label
    optimism(units_and_trust)                 # by how much the IoU of the best concept flatters, on average
    chance_detectors(run)                     # by network, layer and operator: detectors with the labels of other images

What each means, and when it fails, stands in docs/trust.md.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from dissect.run_store import Run

PLACE = ["network", "layer", "operator"]


TRUST = ("held_out_iou", "iou_low", "iou_high", "kept_folds", "kept_share", "n_set", "p", "q", "sure")


def units_with_trust(run: Run) -> pd.DataFrame:
    """`run.units` with the columns of `run.trust`: what the run does not tell is NaN, and `sure` is 1 or 0."""
    if run.trust is None:
        return run.units.assign(**dict.fromkeys(TRUST, np.nan))
    columns = {name: run.trust[name].to_numpy(float, na_value=np.nan) for name in TRUST}
    return run.units.assign(**columns)


def optimism(table: pd.DataFrame) -> float:
    """The mean of IoU - held-out IoU over the units that have a label: the best of many concepts is also the luckiest.

    >>> optimism(pd.DataFrame({"label": ["cat", "dog", ""], "iou": [0.3, 0.1, 0], "held_out_iou": [0.2, 0.1, 0]}))
    0.05
    """
    labelled = table[table["label"] != ""]
    return round(float((labelled["iou"] - labelled["held_out_iou"]).mean()), 12) if len(labelled) else 0.0


def held_out_detectors(table: pd.DataFrame, iou_cut: float) -> int | None:
    """How many detectors have a held-out IoU above the cut too; None where the run has no folds."""
    if table["held_out_iou"].isna().any():
        return None
    return int((table["detector"] & (table["held_out_iou"] > iou_cut)).sum())


def sure_detectors(table: pd.DataFrame) -> int | None:
    """How many detectors are sure; None where no null was counted.

    >>> sure_detectors(pd.DataFrame({"sure": [1.0, 0.0]}))
    1
    """
    return None if table["sure"].isna().any() else int(table["sure"].sum())


def short_columns(run: Run) -> dict[tuple[str, str, str], tuple[str, str, str]]:
    """By network, layer and operator what the short table says: detectors on held-out images, sure ones, and those of chance;
    empty where the run does not tell."""
    table, chance, cut = units_with_trust(run), chance_detectors(run), run.info["settings"]["iou_cut"]
    mean = {} if chance is None else {(r.network, r.layer, r.operator): f"{r.chance:.1f}" for r in chance.itertuples()}
    columns = {}
    for key, group in table.groupby(PLACE, sort=False):
        network, layer, operator = (str(name) for name in key)
        held_out, sure = held_out_detectors(group, cut), sure_detectors(group)
        place = network, layer, operator
        columns[place] = (_text(held_out), _text(sure), mean.get(place, ""))
    return columns


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


def chance_detectors(run: Run) -> pd.DataFrame | None:
    """One row for each network, layer and operator: `chance`, how many of its units are detectors with the labels of other
    images, the mean over the rounds, and `chance_low` and `chance_high`, the fewest and the most.

    None for a run without a null, and for one whose score says nothing of IoU: the null keeps the best score alone, and only IoU
    and F1, which is 2 IoU / (1 + IoU), tell whether an IoU is above the cut.
    """
    if run.score not in ("iou", "f1") or not run.info["settings"].get("null", 0):
        return None
    cut = run.info["settings"]["iou_cut"]
    least = cut if run.score == "iou" else 2 * cut / (1 + cut)
    rows = []
    for name in run.units["network"].unique():
        null = run.null_score(name)
        if null is None:
            return None
        mine = run.units[run.units["network"] == name].reset_index(drop=True)
        passed = (null > least) & ~mine["dead"].to_numpy()
        for place, group in mine.groupby(PLACE, sort=False):
            counts = passed[:, group.index.to_numpy()].sum(1)
            rows.append((*place, float(np.mean(counts)), int(counts.min()), int(counts.max())))
    return pd.DataFrame(rows, columns=[*PLACE, "chance", "chance_low", "chance_high"])

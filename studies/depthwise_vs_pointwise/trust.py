"""How sure the detectors of the study are: from finished runs with a null to one table.

    trust_table(runs)                       # one row for each network, layer and operator

Detectors, units whose IoU on held-out images is above the cut, sure ones (that, and a false-discovery rate below 5 %), how far
the IoU falls from the images that chose the label to those that did not; how many detectors the labels of other images give; and
what remains of detectors that half of the images chose on the other half.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from questions import Row
from sharing import Counted, halves

from dissect.run_store import Run
from reports import populations
from reports.claims import attributes_among, n_attributes
from reports.trust import PLACE, chance_detectors, held_out_detectors, sure_detectors, units_with_trust


def trust_table(runs: Iterable[Run]) -> pd.DataFrame:
    """The runs must have folds and a null.

    chance: detectors with the labels of other images, the mean of the rounds; chance_most: in the round with most.
    unique_equal, unique_sure_equal: unique ones to expect among as many units as the smaller of the layer's operators has.
    iou, held_out_iou, kept_share, n_set: means over the detectors. half_...: see `_on_halves`.
    """
    rows: list[Row] = []
    for run in runs:
        cut, table, chance = run.info["settings"]["iou_cut"], units_with_trust(run), chance_detectors(run)
        assert chance is not None
        by_chance, of_network, halved = chance.set_index(PLACE), pd.Index([]), []
        n_equal = table.groupby(PLACE).size().groupby(["network", "layer"]).min()
        for population in populations(run):
            units = table.loc[population.units.index]
            found = units[units["detector"]]
            is_sure = units.assign(detector=units["sure"] == 1)
            n = int(n_equal[(population.network, population.layer)])
            if units.index[0] not in of_network:
                of_network = table.index[table["network"] == population.network]
                halved = list(_halved(Counted.of(run, population.network), cut))
            rounds = by_chance.loc[(population.network, population.layer, population.operator)]
            rows.append(
                {
                    "data": run.info["data"]["name"], "network": population.network, "layer": population.layer,
                    "operator": population.operator, "units": len(units), "detectors": len(found),
                    "held_out": held_out_detectors(units, cut), "sure": sure_detectors(units),
                    "unique": n_attributes(units), "unique_sure": n_attributes(is_sure),
                    "unique_equal": attributes_among(units, n), "unique_sure_equal": attributes_among(is_sure, n),
                    "chance": rounds["chance"], "chance_most": int(rounds["chance_high"]),
                    **{name: found[name].mean() for name in ("iou", "held_out_iou", "kept_share", "n_set")},
                    **_on_halves(halved, of_network.get_indexer(units.index), cut, n),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


Halved = tuple[pd.DataFrame, np.ndarray, np.ndarray]


def _halved(counted: Counted, cut: float) -> Iterator[Halved]:
    """(units as labelled by one half of the images, (U, C) IoU there, on the other half), for `halves`, both ways."""
    for both in halves(range(len(counted.folds.intersection_area))):
        iou = [counted.iou(half) for half in both]
        for here, there in (iou, iou[::-1]):
            yield counted.labelled(here, cut), here, there


def _on_halves(halved: Iterable[Halved], mine: np.ndarray, cut: float, n_equal: int) -> Row:
    """What half of the images say of some units, and what remains of it on the other half; all of `halved` pooled.

    mine: rows of the units among those of the network. half_iou, half_other_iou: mean IoU of the detectors that one half chose,
    units and labels alike, there and on the other half. half_above: the share that is a detector on the other half, too.
    half_unique_equal: unique detectors on one half among `n_equal` of the units.
    """
    chosen, other, unique = [], [], []
    for units, here, there in halved:
        found = mine[units["detector"].to_numpy(bool)[mine]]
        chosen.append(here[found].max(1))
        other.append(there[found, here[found].argmax(1)])
        unique.append(attributes_among(units.iloc[mine], n_equal))
    here, there = np.concatenate(chosen), np.concatenate(other)
    return {
        "half_iou": here.mean(), "half_other_iou": there.mean(), "half_above": (there > cut).mean(),
        "half_unique_equal": np.mean(unique),
    }  # fmt: skip

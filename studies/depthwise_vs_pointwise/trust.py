"""How sure the detectors of the study are: from finished runs with a null to one table.

    trust_table(runs)                       # one row for each network, layer and operator

Detectors, units whose IoU on held-out images is above the cut, sure ones (that, and a false-discovery rate below 5 %), how far
the IoU falls from the images that chose the label to those that did not; and how many detectors the labels of other images give.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from questions import Row

from dissect.run_store import Run
from reports import populations
from reports.claims import n_attributes
from reports.trust import PLACE, chance_detectors, held_out_detectors, sure_detectors, units_with_trust


def trust_table(runs: Iterable[Run]) -> pd.DataFrame:
    """The runs must have folds and a null.

    chance: detectors with the labels of other images, the mean of the rounds; chance_most: in the round with most.
    iou, held_out_iou, kept_share, n_set: means over the detectors.
    """
    rows: list[Row] = []
    for run in runs:
        cut, table, chance = run.info["settings"]["iou_cut"], units_with_trust(run), chance_detectors(run)
        assert chance is not None
        by_chance = chance.set_index(PLACE)
        for population in populations(run):
            units = table.loc[population.units.index]
            found = units[units["detector"]]
            rounds = by_chance.loc[(population.network, population.layer, population.operator)]
            rows.append(
                {
                    "data": run.info["data"]["name"], "network": population.network, "layer": population.layer,
                    "operator": population.operator, "units": len(units), "detectors": len(found),
                    "held_out": held_out_detectors(units, cut), "sure": sure_detectors(units),
                    "unique": n_attributes(units), "unique_sure": n_attributes(units.assign(detector=units["sure"] == 1)),
                    "chance": rounds["chance"], "chance_most": int(rounds["chance_high"]),
                    **{name: found[name].mean() for name in ("iou", "held_out_iou", "kept_share", "n_set")},
                }
            )  # fmt: skip
    return pd.DataFrame(rows)

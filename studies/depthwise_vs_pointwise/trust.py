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
from reports import Population, populations
from reports.claims import n_attributes


def trust_table(runs: Iterable[Run]) -> pd.DataFrame:
    """The runs must have folds and a null.

    chance: detectors with the labels of other images, the mean of the rounds; chance_most: in the round with most.
    iou, held_out_iou, kept_share, n_set: means over the detectors.
    """
    rows: list[Row] = []
    for run in runs:
        assert run.trust is not None
        cut = run.info["settings"]["iou_cut"]
        for population in populations(run):
            trust = _of(population, run.trust)
            units = population.units.assign(
                sure=trust["sure"].to_numpy(bool), held_out=trust["held_out_iou"].to_numpy()
            )
            null = run.null_score(population.network)
            assert null is not None
            chance = (null[:, population.rows] > cut).sum(1)
            found = units["detector"].to_numpy(bool)
            rows.append(
                {
                    "data": run.info["data"]["name"], "network": population.network, "layer": population.layer,
                    "operator": population.operator, "units": len(units), "detectors": int(found.sum()),
                    "held_out": int((units["held_out"] > cut).sum()), "sure": int(units["sure"].sum()),
                    "unique": len(population.attributes),
                    "unique_sure": n_attributes(units.assign(detector=units["sure"])),
                    "chance": chance.mean(), "chance_most": int(chance.max()),
                    "iou": units["iou"][found].mean(), "held_out_iou": units["held_out"][found].mean(),
                    "kept_share": trust["kept_share"].to_numpy()[found].mean(), "n_set": trust["n_set"].to_numpy()[found].mean(),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _of(population: Population, trust: pd.DataFrame) -> pd.DataFrame:
    """The rows of the population's units, in their order."""
    mine = trust[trust["network"] == population.network]
    return mine.iloc[population.rows]

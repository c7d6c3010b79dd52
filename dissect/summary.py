"""How many units are detectors, and of how many concepts: the short table of a run.

summary(open_run("runs/mine"))            # one row a network, layer and operator
"""

from __future__ import annotations

import pandas as pd

from dissect.run_store import Run


def summary(run: Run) -> pd.DataFrame:
    """Columns network, layer, operator, n_units, n_detectors, detector_share, n_unique, n_dead, then `n_unique_CATEGORY`;
    unique detectors are distinct concepts among the detectors (the paper's "attributes")."""
    rows = []
    for (network, layer, operator), units in run.units.groupby(["network", "layer", "operator"], sort=False):
        detectors = units[units["detector"]]
        concepts = detectors[["category", "label"]].drop_duplicates()
        by_category = concepts["category"].value_counts()
        rows.append(
            {
                "network": network,
                "layer": layer,
                "operator": operator,
                "n_units": len(units),
                "n_detectors": len(detectors),
                "detector_share": len(detectors) / len(units),
                "n_unique": len(concepts),
                "n_dead": int(units["dead"].sum()),
                **{f"n_unique_{name}": int(by_category.get(name, 0)) for name in run.info["data"]["categories"]},
            }
        )
    return pd.DataFrame(rows)

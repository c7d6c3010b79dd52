"""NetDissect's `tally.csv`, written and read, so that results can be set beside published ones.

    export_tally(open_run("runs/mine"), Path("exported"))    # for each layer exported/NETWORK/LAYER-OPERATOR/tally.csv
    table = read_tally("tally.csv")                          # one row for each unit; `unit` counts from 0 as everywhere here

Columns (Bau et al. 2017): `unit` from 1, `category`, `label`, `score`, then for each category K `K-label`, `K-truth`
(pixels of the concept), `K-activation` (of the mask), `K-intersect`, `K-iou`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from data_prep.common.files import slug, unescape_cell
from dissect.run_store import Run, RunFolderError, write_table


def export_tally(run: Run, out: Path) -> list[Path]:
    """Write one tally.csv for each layer of each network; returns their paths.

    A layer's folder is called after it, with `_` for what is neither letter, digit, `.` nor `_`, so that it lies in `out`
    whatever the module is called; where two would be called the same, the later one gets a number.
    """
    paths: list[Path] = []
    keys = ["network", "layer", "operator"]
    by_category = dict(list(run.unit_category.groupby(keys, sort=False)))
    for _, units in run.units.groupby(keys, sort=False):
        network, layer, operator = units[keys].iloc[0]
        folder = f"{slug(layer)}-{slug(operator)}"
        path = out / network / folder / "tally.csv"
        while path in paths:
            folder = f"{folder}-{len(paths)}"
            path = out / network / folder / "tally.csv"
        write_table(path, tally_table(units, by_category[network, layer, operator]))
        paths.append(path)
    return paths


def tally_table(units: pd.DataFrame, unit_category: pd.DataFrame) -> pd.DataFrame:
    """One layer's rows of units.csv and unit_category.csv in NetDissect's columns."""
    table = pd.DataFrame(
        {"unit": units["unit"] + 1, "category": units["category"], "label": units["label"], "score": units["iou"]}
    )
    table = table.reset_index(drop=True)
    for category, rows in unit_category.groupby("category", sort=False):
        columns = rows[["label", "concept_area", "mask_area", "intersection_area", "iou"]].reset_index(drop=True)
        columns.columns = [f"{category}-{name}" for name in ("label", "truth", "activation", "intersect", "iou")]
        table = pd.concat([table, columns], axis=1)
    return table


def read_tally(path: str | Path) -> pd.DataFrame:
    """Columns unit (0-based), category, label, iou. Raises `RunFolderError` where the file is no tally."""
    try:
        table = pd.read_csv(path, keep_default_na=False, dtype={"category": str, "label": str})
        table = table.rename(columns={"score": "iou"})[["unit", "category", "label", "iou"]]
        texts = {name: table[name].map(unescape_cell) for name in ("category", "label")}
        return table.astype({"iou": float}).assign(unit=table["unit"].astype(int) - 1, **texts)
    except (OSError, ValueError, KeyError) as error:
        raise RunFolderError(
            f"{path} is no NetDissect tally ({error}): it must be a CSV with the columns unit, category, label and score."
        ) from error

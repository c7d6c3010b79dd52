"""NetDissect's `tally.csv`, written and read, so that results can be set beside published ones.

    export_tally(open_run("runs/mine"), Path("exported"))    # for each layer exported/NETWORK/LAYER-OPERATOR/tally.csv
    table = read_tally("tally.csv")                          # one row for each unit; `unit` counts from 0 as everywhere here

Columns (Bau et al. 2017): `unit` from 1, `category`, `label`, `score`, then for each category K `K-label`, `K-truth`
(pixels of the concept), `K-activation` (of the mask), `K-intersect`, `K-iou`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from data_prep.common.files import slug, unescape_cell, write_json
from dissect.run_store import Run, RunFolderError, write_table

KINDS = ("label", "truth", "activation", "intersect", "iou")
"""What stands behind a category's name in its columns."""

PLACE_FILE = "place.json"
"""Beside an exported tally.csv: which network, layer and operator it is of."""


def export_tally(run: Run, out: Path) -> list[Path]:
    """Write one tally.csv for each layer of each network; returns their paths.

    A layer's folder is called after it, with `_` for what is neither letter, digit, `.` nor `_`, so that it lies in `out`
    whatever the module is called; where two would be called the same, the later one gets a number. `place.json` beside the tally
    has the names as they are, for `import_tallies`.
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
        write_json(path.with_name(PLACE_FILE), {"network": network, "layer": layer, "operator": operator})
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
        columns.columns = [f"{category}-{kind}" for kind in KINDS]
        table = pd.concat([table, columns], axis=1)
    return table


def read_tally(path: str | Path) -> pd.DataFrame:
    """Columns unit (from 0, ascending), category, label, iou and, for each category K that the file tells of, K-label, K-truth,
    K-activation, K-intersect (empty where the file is) and K-iou; `attrs["categories"]` names these categories.

    A unit may have no label. Raises `RunFolderError` where the file is no tally of the units 1 to n.
    """
    path = Path(path)
    if not path.is_file():
        raise RunFolderError(f"{path} is no file: give a tally.csv, one for each layer.")
    try:
        table = pd.read_csv(path, keep_default_na=False, dtype=str).map(unescape_cell).rename(columns=unescape_cell)
        bare = table[(table["label"] != "") & (table["score"] == "")]
        if len(bare):
            raise ValueError(f"row {bare.index[0] + 2} has a label and no score")
        astray = table[(table["label"] != "") & (table["category"] == "")]
        if len(astray):
            raise ValueError(f"row {astray.index[0] + 2} has a label and no category")
        found = table.rename(columns={"score": "iou"})[["unit", "category", "label"]].assign(
            unit=table["unit"].astype(int) - 1, iou=_shares(table["score"])
        )
        parts = [name.removesuffix("-label") for name in table.columns if name.endswith("-label")]
        for category in parts:
            for kind in KINDS:
                column = table[f"{category}-{kind}"]
                read = {"label": lambda cells: cells, "iou": _shares}.get(kind, _areas)
                found[f"{category}-{kind}"] = read(column)
            _, truth, activation, intersect, _ = (found[f"{category}-{kind}"] for kind in KINDS)
            larger = found[((intersect > truth) | (intersect > activation)).fillna(False)]
            if len(larger):
                raise ValueError(
                    f"row {larger.index[0] + 2} has a value of {category}-intersect above its truth or activation"
                )
    except (OSError, ValueError, KeyError) as error:
        what = f"it has no column {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise RunFolderError(
            f"{path} is no NetDissect tally ({what}): it must be a CSV with the columns unit, category, label and score."
        ) from error
    found = found.sort_values("unit", ignore_index=True)
    missing = sorted(set(range(max(len(found), 1))) - set(found["unit"]))
    if missing:
        raise RunFolderError(
            f"{path} has {len(found)} rows, and none of unit {missing[0] + 1}: its units must be 1 to n, each once."
        )
    found.attrs["categories"] = parts
    return found


def categories_of(tally: pd.DataFrame) -> list[str]:
    """The categories of a tally in the order of its columns, then any other that a unit is labelled with."""
    return list(dict.fromkeys([*tally.attrs["categories"], *(name for name in tally["category"] if name)]))


def _shares(cells: pd.Series) -> pd.Series:
    """Numbers in 0..1; an empty cell, or NaN, is 0."""
    values = cells.replace("", "0").astype(float).fillna(0.0)
    if not values.between(0, 1).all():
        raise ValueError(f"{cells.name} is {cells[~values.between(0, 1)].iloc[0]}, not in 0..1")
    return values


def _areas(cells: pd.Series) -> pd.Series:
    """Whole numbers, also where they are written as 12.0; an empty cell stays empty."""
    values = cells.where(cells != "", None).astype(float)
    wrong = values[values.notna() & ~((values >= 0) & (values < 2**63) & (values % 1 == 0))]
    if len(wrong):
        raise ValueError(f"{cells.name} is {cells[wrong.index[0]]}, no whole number of pixels")
    return values.astype("Int64")

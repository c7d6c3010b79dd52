"""A finished run as tidy tables, for spreadsheets, data frames and other programs.

    export_csv(run, Path("tables"), least_iou=0.01)       # units.csv, units_concepts.csv, concepts.csv
    export_json(run, Path("tables"))                      # export.json: what the run is, its units, the concepts of each
    for table in concept_rows(run, least_iou=0.04):       # the same rows as data frames, some units at a time
        ...

units_concepts.csv has a row for each unit and concept: `iou` and every other score that the run's counts allow, the integer
areas behind them, and the interval of the IoU where the run has one (`labels.csv`). A network of 2,816 units on 1,197 concepts
has 3.4 million rows, written some units at a time; `least_iou` leaves out those whose IoU is below it.

An imported run has no such counts: it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_prep.common.errors import check_range
from data_prep.common.files import atomic_write, escape_cell
from dissect.run_files import read_arrays, write_rows
from dissect.run_store import FOLD, Run, write_table
from dissect.scores import SCORES, Counts, category_numbers, in_blocks, needs_universe, scored, union_area

PLACE = ["network", "layer", "operator", "unit"]
"""The columns that say which unit a row is of."""

CONCEPT = ["category", "label"]
"""Those that say which concept it is of."""


def unit_rows(run: Run) -> pd.DataFrame:
    """units.csv, and beside it the columns of trust.csv where the run has folds."""
    if run.trust is None:
        return run.units
    return pd.concat([run.units, run.trust.drop(columns=PLACE)], axis=1)


def score_names(run: Run) -> list[str]:
    """The scores that the run's counts allow, IoU first."""
    touched = run.info["settings"].get("union") == "touched"
    return [name for name in SCORES if not (touched and needs_universe(name))]


def concept_rows(run: Run, least_iou: float = 0.0) -> Iterator[pd.DataFrame]:
    """A row for each unit and concept with an IoU of at least `least_iou`, some units at a time, in the order of units.csv.

    Columns: network, layer, operator, unit, category, label, each of `score_names`, intersection_area, union_area, mask_area,
    concept_area, iou_low, iou_high (NaN where the run has no interval). Raises `UserError` for a `least_iou` outside 0..1.
    """
    yield from _rows(run, least_iou, run.units[PLACE], run.concepts[CONCEPT])


def _rows(run: Run, least_iou: float, places: pd.DataFrame, concepts: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The same with these names of units and concepts."""
    check_range("`least_iou`", least_iou, 0, 1)
    category = category_numbers(list(run.concepts["category"]), run.info["data"]["categories"])
    intervals = _intervals(run)
    start = 0
    for network in run.networks:
        # The counts by fold, which take most of the file, are not read.
        arrays = read_arrays(run.path / "counts" / f"{network['name']}.npz", by_slices=FOLD)
        for block in in_blocks(Counts.of_arrays(arrays)):
            scores = {name: scored(name, block, category) for name in score_names(run)}
            row, concept = np.nonzero(scores["iou"] >= least_iou)
            areas = {
                "intersection_area": block.intersection_area[row, concept],
                "union_area": union_area(block, category)[row, concept],
                "mask_area": block.mask_area[row, category[concept]],
                "concept_area": block.concept_area[concept],
            }
            parts = [places.iloc[start + row], concepts.iloc[concept]]
            table = pd.concat([part.reset_index(drop=True) for part in parts], axis=1)
            table = table.assign(**{name: values[row, concept] for name, values in scores.items()}, **areas)
            known = intervals.reindex((start + row) * len(run.concepts) + concept).reset_index(drop=True)
            yield pd.concat([table, known], axis=1)
            start += len(block.intersection_area)


def _intervals(run: Run) -> pd.DataFrame:
    """iou_low and iou_high of the concepts of labels.csv, by row of units.csv times the number of concepts, plus the concept."""
    columns = ["iou_low", "iou_high"]
    labels = run.labels
    if labels is None:
        return pd.DataFrame(columns=columns, index=np.zeros(0, np.int64), dtype=float)
    rows = pd.MultiIndex.from_frame(run.units[PLACE]).get_indexer(pd.MultiIndex.from_frame(labels[PLACE]))
    concepts = pd.MultiIndex.from_frame(run.concepts[CONCEPT]).get_indexer(pd.MultiIndex.from_frame(labels[CONCEPT]))
    return labels[columns].set_index(rows.astype(np.int64) * len(run.concepts) + concepts)


def export_csv(run: Run, out: str | Path, *, least_iou: float = 0.0) -> list[Path]:
    """Write units.csv, units_concepts.csv and concepts.csv into the folder `out`; returns their paths.

    Texts that a spreadsheet would run as a formula have an apostrophe before them, as in the run folder. Raises `UserError`.
    """
    run.refuse_imported("counts of every unit with every concept")
    out = Path(out)
    paths = [out / name for name in ("units.csv", "units_concepts.csv", "concepts.csv")]
    write_table(paths[0], unit_rows(run))
    with atomic_write(paths[1], "w") as file:
        for n, table in enumerate(_rows(run, least_iou, _escaped(run.units[PLACE]), _escaped(run.concepts[CONCEPT]))):
            write_rows(file, table, header=n == 0)
    write_table(paths[2], run.concepts)
    return paths


def _escaped(table: pd.DataFrame) -> pd.DataFrame:
    return table.map(lambda cell: escape_cell(cell) if isinstance(cell, str) else cell)


def export_json(run: Run, out: str | Path, *, least_iou: float = 0.0) -> list[Path]:
    """Write export.json into the folder `out`; returns its path in a list.

    It is an object: `run`, what run.json says of settings, data, networks, notes and versions; `concepts`, rows of concepts.csv;
    `units`, a list of objects, the columns of units.csv (and trust.csv) each, with `concepts`, the rows of `concept_rows` of that
    unit. What is not known is null. Raises `UserError`.
    """
    run.refuse_imported("counts of every unit with every concept")
    path = Path(out) / "export.json"
    units = unit_rows(run)
    objects = iter(_objects(units))
    with atomic_write(path, "w") as file:
        file.write(f'{{"run": {_json(about(run))},\n"concepts": {_json(_objects(run.concepts))},\n"units": [')
        for n, (unit, concepts) in enumerate(zip(objects, _by_unit(run, least_iou), strict=True)):
            file.write(f"{',' if n else ''}\n{_json(unit | {'concepts': concepts})}")
        file.write("\n]}\n")
    return [path]


def about(run: Run) -> dict[str, Any]:
    """What run.json says of the run but for its files and timings."""
    return {key: value for key, value in run.info.items() if key not in ("files", "timings", "execution")}


def _by_unit(run: Run, least_iou: float) -> Iterator[list[dict[str, Any]]]:
    """The rows of `concept_rows` of each unit in turn, none for one without any."""
    order = iter(run.units[PLACE].itertuples(index=False, name=None))
    for table in concept_rows(run, least_iou):
        for place, rows in table.groupby(PLACE, sort=False):
            for unit in order:
                if unit == place:
                    yield _objects(rows.drop(columns=PLACE))
                    break
                yield []
    for _ in order:
        yield []


def _objects(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): _plain(value) for key, value in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    """As JSON has it: plain numbers, null for what is missing."""
    if value is None or value is pd.NA or (isinstance(value, float) and not np.isfinite(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)

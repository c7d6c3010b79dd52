"""What the tables and arrays of a run folder must hold, checked where they are read. No torch.

    units = checked_table(path / "units.csv", UNITS)    # a pandas table of these columns and kinds
    check_strongest(path, arrays, n_units=3, n_images=60)

`run_info` does the same for run.json. Every fault is a `RunFolderError` that says file, row and field; `run_store` documents
what the columns and arrays mean.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from data_prep.common.errors import short
from dissect.run_files import REMEDY, RunFolderError, read_rows

FOLD = "fold_"
"""Before the name of an array of counts whose first axis is the fold."""


def is_below(name: object) -> bool:
    """Whether a file of this name lies below the folder that it is relative to.

    >>> [is_below(name) for name in ("a/b.jpg", "../b.jpg", "/etc/passwd", "")]
    [True, False, False, False]
    """
    if not isinstance(name, str) or not name or "\0" in name:
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


# Tables


class Kind(NamedTuple):
    """read: a cell to its value; raises ValueError or gives None where it must not be so. says: what it must be."""

    read: Callable[[str], Any]
    dtype: Any
    says: str


def _within(low: float, high: float) -> Callable[[str], float | None]:
    def read(cell: str) -> float | None:
        value = float(cell)
        return value if math.isfinite(value) and low <= value <= high else None

    return read


def _whole(cell: str) -> int | None:
    value = int(cell) if re.fullmatch(r"[0-9]{1,19}", cell) else -1
    return value if 0 <= value < 2**63 else None


TEXT = Kind(lambda cell: cell, "str", "text")
NAME = Kind(lambda cell: cell or None, "str", "a name")
FILE = Kind(lambda cell: cell if is_below(cell) else None, "str", "the path of a file below the folder of images")
COUNT = Kind(_whole, np.int64, "a whole number, 0 or more")
NUMBER = Kind(_within(-math.inf, math.inf), np.float64, "a finite number")
SHARE = Kind(_within(0, 1), np.float64, "a number in 0..1")
FLAG = Kind({"True": True, "False": False}.get, np.bool_, "True or False")
SHARE_OR_EMPTY = Kind(lambda cell: SHARE.read(cell) if cell else math.nan, np.float64, "a number in 0..1, or empty")
FLAG_OR_EMPTY = Kind(lambda cell: FLAG.read(cell) if cell else pd.NA, "boolean", "True, False, or empty")
COUNT_OR_EMPTY = Kind(lambda cell: COUNT.read(cell) if cell else pd.NA, "Int64", "a whole number, 0 or more, or empty")
NUMBER_OR_EMPTY = Kind(lambda cell: NUMBER.read(cell) if cell else math.nan, np.float64, "a finite number, or empty")

Columns = Mapping[str, Kind]

_NOT_TOLD = {
    "threshold": NUMBER_OR_EMPTY, "max_activation": NUMBER_OR_EMPTY,
    **dict.fromkeys(("number", "n_images", "concept_area", "mask_area", "intersection_area", "union_area"), COUNT_OR_EMPTY),
}  # fmt: skip


def imported(columns: Columns) -> Columns:
    """The same table of a run that `dissect import` made: what the other tool does not tell is empty.

    >>> imported({"unit": COUNT, "n_images": COUNT})["n_images"].says
    'a whole number, 0 or more, or empty'
    """
    return {name: _NOT_TOLD.get(name, kind) for name, kind in columns.items()}


_UNIT: Columns = {"network": NAME, "domain": TEXT, "layer": NAME, "operator": NAME}
_CONCEPT: Columns = {"category": TEXT, "label": TEXT}

UNITS: Columns = {
    **_UNIT, "module": TEXT, "unit": COUNT, "threshold": NUMBER, **_CONCEPT, "iou": SHARE, "score": NUMBER,
    "n_images": COUNT, "detector": FLAG, "dead": FLAG, "intersection_area": COUNT, "union_area": COUNT, "max_activation": NUMBER,
}  # fmt: skip
CONCEPTS: Columns = {
    "concept": COUNT,
    "number": COUNT,
    **_CONCEPT,
    "n_images": COUNT,
    "concept_area": COUNT,
    "eligible": FLAG,
}
IMAGES: Columns = {"image": COUNT, "name": FILE, "split": TEXT}
_PLACE: Columns = {"network": NAME, "layer": NAME, "operator": NAME, "unit": COUNT}
TRUST: Columns = {
    **_PLACE, "held_out_iou": SHARE, "iou_low": SHARE, "iou_high": SHARE, "kept_folds": COUNT, "kept_share": SHARE,
    "n_set": COUNT, "p": SHARE_OR_EMPTY, "q": SHARE_OR_EMPTY, "sure": FLAG_OR_EMPTY,
}  # fmt: skip
LABELS: Columns = {
    **_PLACE, "rank": COUNT, **_CONCEPT, "iou": SHARE, "iou_low": SHARE, "iou_high": SHARE, "score": NUMBER,
    "chosen_share": SHARE, "in_set": FLAG,
}  # fmt: skip
REPLICATES: Columns = {
    **_PLACE, "left_out": COUNT, **_CONCEPT, "iou": SHARE,
    "detector": FLAG,
}  # fmt: skip
UNIT_CATEGORY: Columns = {
    **_UNIT, "unit": COUNT, **_CONCEPT, "iou": SHARE, "intersection_area": COUNT, "mask_area": COUNT, "concept_area": COUNT,
}  # fmt: skip


def checked_table(path: Path, columns: Columns) -> pd.DataFrame:
    """The table of a CSV file with exactly these columns, each of its kind. Raises `RunFolderError`."""
    rows = read_rows(path, columns)
    found: dict[str, pd.Series] = {}
    for k, (name, kind) in enumerate(columns.items()):
        values = []
        for n, row in enumerate(rows, 2):
            try:
                value = kind.read(row[k])
            except (ValueError, OverflowError):
                value = None
            if value is None:
                raise RunFolderError(f"{path}, row {n}: {name} is {short(row[k])}; it must be {kind.says}: {REMEDY}.")
            values.append(value)
        found[name] = pd.Series(values, dtype=kind.dtype)
    return pd.DataFrame(found)


def check_numbered(path: Path, table: pd.DataFrame, column: str) -> None:
    """Raises `RunFolderError` unless the column counts the rows from 0."""
    wrong = np.flatnonzero(table[column].to_numpy() != np.arange(len(table)))
    if len(wrong):
        n = int(wrong[0])
        raise RunFolderError(f"{path}, row {n + 2}: {column} is {table[column][n]}, not {n}: {REMEDY}.")


def check_among(path: Path, table: pd.DataFrame, column: str, allowed: Sequence[str]) -> None:
    """Raises `RunFolderError` unless the column has only the allowed values."""
    wrong = np.flatnonzero(~table[column].isin(allowed))
    if len(wrong):
        n = int(wrong[0])
        raise RunFolderError(
            f"{path}, row {n + 2}: {column} is {short(table[column][n])}; run.json knows {', '.join(allowed)}: {REMEDY}."
        )


def check_units(
    path: Path,
    table: pd.DataFrame,
    networks: Sequence[Mapping[str, Any]],
    inner: Mapping[str, Sequence[Any]] | None = None,
) -> None:
    """Raises `RunFolderError` unless the rows name each unit of the layers that run.json lists, in their order.

    inner: a column that has each of these values for every unit: one after the other for each unit, or, where it is
    `left_out`, all units of the network for each value.
    """
    column, values = next(iter((inner or {"unit": [None]}).items()))
    n_units = [sum(layer["n_units"] for layer in network["layers"]) for network in networks]
    if len(table) != sum(n_units) * len(values):
        raise RunFolderError(
            f"{path} has {len(table)} rows; by run.json it must have {sum(n_units) * len(values)}: {REMEDY}."
        )
    wanted = []
    for network in networks:
        units = [
            (network["name"], layer["layer"], layer["operator"], unit)
            for layer in network["layers"]
            for unit in range(layer["n_units"])
        ]
        wanted += (
            [(unit, value) for value in values for unit in units]
            if column == "left_out"
            else [(unit, value) for unit in units for value in values]
        )
    found = zip(*(table[name] for name in ("network", "layer", "operator", "unit", column)), strict=True)
    for n, ((*here, value), (there, wanted_value)) in enumerate(zip(found, wanted, strict=True), 2):
        if tuple(here) != there:
            raise RunFolderError(f"{path}, row {n} is {_unit(here)}; by run.json it must be {_unit(there)}: {REMEDY}.")
        if wanted_value is not None and value != wanted_value:
            raise RunFolderError(f"{path}, row {n}: {column} is {short(value)}, not {short(wanted_value)}: {REMEDY}.")


def check_ranked(path: Path, table: pd.DataFrame, units: pd.DataFrame) -> None:
    """Raises `RunFolderError` unless the rows name units of `units` in its order, each unit's by rising rank."""
    names = ["network", "layer", "operator", "unit"]
    order = {key: n for n, key in enumerate(units[names].itertuples(index=False, name=None))}
    before = (-1, -1)
    for n, (*key, rank) in enumerate(table[[*names, "rank"]].itertuples(index=False, name=None), 2):
        if tuple(key) not in order:
            raise RunFolderError(f"{path}, row {n} is {_unit(key)}, which is no row of units.csv: {REMEDY}.")
        here = (order[tuple(key)], rank)
        if here <= before or (here[0] > before[0] and rank != 0):
            raise RunFolderError(f"{path}, row {n}: {_unit(key)} with rank {rank} is out of order: {REMEDY}.")
        before = here


def check_concepts(path: Path, table: pd.DataFrame, concepts: pd.DataFrame) -> None:
    """Raises `RunFolderError` where a row is labelled with what is no row of concepts.csv."""
    known = {*concepts[["category", "label"]].itertuples(index=False, name=None)}
    for n, pair in enumerate(table[["category", "label"]].itertuples(index=False, name=None), 2):
        if pair[1] and pair not in known:
            raise RunFolderError(
                f"{path}, row {n}: {short(pair[1])} of category {short(pair[0])} is no row of concepts.csv: {REMEDY}."
            )


def _unit(key: Sequence[Any]) -> str:
    return f"unit {key[3]} of layer {short(key[1])} {key[2]} of {short(key[0])}"


# Arrays


def check_arrays(
    path: Path, arrays: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[str, tuple[int, ...]]]
) -> None:
    """Raises `RunFolderError` unless the arrays are those wanted: by name its kind of numbers (numpy's letter and size, as
    "i8") and its shape, -1 where any length will do."""
    for name in wanted:
        if name not in arrays:
            raise RunFolderError(f"{path} has no array {name!r}: {REMEDY}.")
    for name, array in arrays.items():
        if name not in wanted:
            raise RunFolderError(f"{path} has an array {name!r} that no run wrote: {REMEDY}.")
        kind, shape = wanted[name]
        if array.dtype.kind != kind[0] or (kind[1:] and array.dtype.itemsize != int(kind[1:])):
            raise RunFolderError(f"{path}: {name} holds {array.dtype}, not {np.dtype(kind)}: {REMEDY}.")
        fits = array.ndim == len(shape) and all(n in (-1, m) for m, n in zip(array.shape, shape, strict=True))
        if not fits:
            raise RunFolderError(f"{path}: {name} has shape {array.shape}, not {shape}: {REMEDY}.")


def check_counts(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    *,
    n_units: int,
    n_concepts: int,
    n_categories: int,
    n_folds: int,
    n_rounds: int,
) -> None:
    """Raises `RunFolderError` unless these are the arrays of counts/NETWORK.npz."""
    counts = {
        "intersection_area": (n_units, n_concepts),
        "mask_area": (n_units, n_categories),
        "concept_area": (n_concepts,),
        "n_images": (n_concepts,),
        "annotated_area": (n_categories,),
    }
    wanted: dict[str, tuple[str, tuple[int, ...]]] = {name: ("i8", shape) for name, shape in counts.items()}
    if n_folds > 1:
        wanted |= {FOLD + name: ("i8", (n_folds, *shape)) for name, shape in counts.items()}
    wanted |= {
        "threshold": ("f4", (n_units,)), "max_activation": ("f4", (n_units,)), "images": ("i8", (-1,)),
        "skipped": ("U", (-1, 2)),
    }  # fmt: skip
    wanted |= {"null_score": ("f8", (n_rounds, n_units))} if n_rounds else {}
    check_arrays(path, arrays, wanted)
    if n_rounds and not np.isfinite(arrays["null_score"]).all():
        raise RunFolderError(f"{path}: null_score has a value that is no finite number: {REMEDY}.")
    for name, (kind, _) in wanted.items():
        if kind == "i8" and arrays[name].size and arrays[name].min() < 0:
            raise RunFolderError(f"{path}: {name} has {arrays[name].min()}; no count is below 0: {REMEDY}.")


def check_strongest(path: Path, arrays: Mapping[str, np.ndarray], *, n_units: int, n_images: int) -> None:
    """Raises `RunFolderError` unless these are the fields of `run_store.StrongestMasks`, and every mask lies in them."""
    n = -1 if "image" not in arrays or arrays["image"].ndim != 2 else arrays["image"].shape[1]
    check_arrays(
        path,
        arrays,
        {
            "image": ("i4", (n_units, n)), "peak": ("f4", (n_units, n)), "mask_shape": ("i4", (n_units, n, 2)),
            "mask_offset": ("i8", (n_units, n)), "mask_bits": ("u1", (-1,)),
        },
    )  # fmt: skip
    image = arrays["image"]
    if image.size and not -1 <= image.min() <= image.max() < n_images:
        wrong = image.min() if image.min() < -1 else image.max()
        raise RunFolderError(f"{path}: image has {wrong}; images.csv has rows 0 to {n_images - 1}: {REMEDY}.")
    there = image >= 0
    shape, start = arrays["mask_shape"][there].astype(np.int64), arrays["mask_offset"][there]
    ends = start + (shape.prod(-1) + 7) // 8
    if len(start) and (
        shape.min() < 1 or shape.max() >= 2**16 or start.min() < 0 or ends.max() > len(arrays["mask_bits"])
    ):
        raise RunFolderError(f"{path}: a mask lies outside mask_bits, or has no size: {REMEDY}.")

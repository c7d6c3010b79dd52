"""The run folder: what `dissect` leaves behind and `reports` reads. No torch.

    run = open_run("runs/embedded")           # refuses a folder that is not finished
    run.units                                 # pandas table, one row a unit
    run.strongest("separable").mask(unit_row, 0)   # (H, W) bool: the unit's mask on its strongest image

A finished folder holds

    run.json             settings as resolved, versions, hashes, seed, timings, notes for the reader
    units.csv            one row a unit: UNIT_COLUMNS; `unit` is 0-based
    concepts.csv         one row a concept: CONCEPT_COLUMNS
    unit_category.csv    one row a (unit, category): the best concept of each category, with its integer counts
    images.csv           one row an image used: `image` (its row here), `name`, `split`
    replicates.csv       with folds only: one row a (fold, unit), what it detects without that fold: REPLICATE_COLUMNS
    counts/NETWORK.npz   intersection_area (U, C), mask_area (U, K), concept_area (C,), n_images (C,): int64; with folds
                         also fold_intersection_area (F, U, C) and so on
    strongest/NETWORK.npz  the strongest images of every unit with their masks: see `StrongestMasks`
    DONE                 written last; a folder without it is not a result

`U` counts the units of one network in the order of its rows in `units.csv`.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_prep.common.errors import UserError
from data_prep.common.files import atomic_write

FORMAT_VERSION = 1

UNIT_COLUMNS = (
    "network", "domain", "layer", "operator", "module", "unit",
    "threshold", "category", "label", "iou", "detector",
    "dead", "intersection_area", "union_area", "max_activation",
)  # fmt: skip
CONCEPT_COLUMNS = ("concept", "number", "category", "label", "n_images", "concept_area")
REPLICATE_COLUMNS = ("network", "layer", "operator", "unit", "left_out", "category", "label", "iou", "detector")
UNIT_CATEGORY_COLUMNS = (
    "network", "domain", "layer", "operator", "unit", "category", "label", "iou",
    "intersection_area", "mask_area", "concept_area",
)  # fmt: skip


class RunFolderError(UserError):
    """The folder is not what the caller takes it for: unfinished, damaged, or made with other settings."""


@dataclass(frozen=True)
class StrongestMasks:
    """The images on which each unit fires most, strongest first, and the unit's mask on each.

    image: (U, N) int32, position in `images.csv`; -1 where a unit has fewer than N images above its threshold.
    peak: (U, N) float32, the unit's largest activation on that image.
    Masks are those that were counted: the map upsampled to the image's label map, strictly above the threshold.
    """

    image: np.ndarray
    peak: np.ndarray
    mask_shape: np.ndarray  # (U, N, 2) int32: H, W
    mask_offset: np.ndarray  # (U, N) int64: first byte of the mask in mask_bits
    mask_bits: np.ndarray  # uint8, every mask's rows packed as one string of bits

    def mask(self, unit_row: int, rank: int) -> np.ndarray:
        """(H, W) bool mask of the unit in row `unit_row` on its strongest image number `rank` (0 = strongest)."""
        height, width = (int(n) for n in self.mask_shape[unit_row, rank])
        start = int(self.mask_offset[unit_row, rank])
        packed = self.mask_bits[start : start + (height * width + 7) // 8]
        return np.unpackbits(packed, count=height * width).reshape(height, width).astype(bool)


@dataclass(frozen=True)
class Run:
    """A finished run folder, read lazily."""

    path: Path
    info: dict[str, Any]

    @cached_property
    def units(self) -> pd.DataFrame:
        return _read_table(self.path / "units.csv", {"layer": str, "category": str, "label": str})

    @cached_property
    def concepts(self) -> pd.DataFrame:
        return _read_table(self.path / "concepts.csv", {"category": str, "label": str})

    @cached_property
    def unit_category(self) -> pd.DataFrame:
        return _read_table(self.path / "unit_category.csv", {"layer": str, "category": str, "label": str})

    @cached_property
    def replicates(self) -> pd.DataFrame | None:
        """What each unit detects without each fold (`left_out`); None for a run without folds."""
        path = self.path / "replicates.csv"
        dtype = {"network": str, "layer": str, "operator": str, "category": str, "label": str}
        return _read_table(path, dtype) if path.exists() else None

    @cached_property
    def images(self) -> pd.DataFrame:
        return _read_table(self.path / "images.csv", {"name": str, "split": str})

    @property
    def networks(self) -> list[dict[str, Any]]:
        """What `run.json` says of each network, in the order dissected: `name`, `domain`, `trained`, `layers`, ..."""
        return self.info["networks"]

    @property
    def image_root(self) -> Path:
        """The folder that the image names of `images.csv` are relative to."""
        return Path(self.info["data"]["images"])

    def counts(self, network: str) -> dict[str, np.ndarray]:
        return read_arrays(self.path / "counts" / f"{network}.npz")

    def strongest(self, network: str) -> StrongestMasks:
        return StrongestMasks(**read_arrays(self.path / "strongest" / f"{network}.npz"))


def open_run(path: str | Path) -> Run:
    """Open a finished run folder. Raises `RunFolderError` where there is none, or where it was never finished."""
    path = Path(path)
    if not (path / "run.json").is_file():
        raise RunFolderError(
            f"{path} is no run folder: it has no run.json. Give the folder that `dissect run` printed."
        )
    if not (path / "DONE").is_file():
        raise RunFolderError(
            f"{path} is not finished: it has no DONE file. Run the command that made it again to finish it."
        )
    info = read_info(path)
    if info.get("format") != FORMAT_VERSION:
        raise RunFolderError(
            f"{path} has run-folder format {info.get('format')!r}; this version reads {FORMAT_VERSION}: run it again."
        )
    return Run(path, info)


def read_info(path: Path) -> dict[str, Any]:
    """`run.json` of a folder, finished or not."""
    try:
        info = json.loads((path / "run.json").read_text(encoding="utf-8"))
        if not isinstance(info, dict):
            raise ValueError(f"it holds a {type(info).__name__}")
        return info
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"{path / 'run.json'} cannot be read ({error}): delete the folder and run again."
        ) from error


def _read_table(path: Path, dtype: dict[str, type]) -> pd.DataFrame:
    """A label may be called `NA` or `null`: only an empty field means that there is none."""
    numbers = ("threshold", "iou", "max_activation")
    try:
        return pd.read_csv(path, dtype=dtype, keep_default_na=False, na_values={column: [""] for column in numbers})
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} cannot be read ({error}): delete its folder and run again.") from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an NPZ file of a run folder. Raises `RunFolderError` where it is damaged or missing."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RunFolderError(f"{path} cannot be read ({error}): delete its folder and run again.") from error


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Compressed NPZ; same arrays, same bytes."""
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """CSV that pandas reads back to the same floats (shortest exact form) and a spreadsheet opens."""
    with atomic_write(path, "w") as file:
        table.to_csv(file, index=False, lineterminator="\n")

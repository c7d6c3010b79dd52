"""The run folder: what `dissect` leaves behind and `reports` reads. No torch.

    run = open_run("runs/embedded")           # refuses a folder that is not finished
    run.units                                 # pandas table, one row for each unit
    run.iou()                                 # pandas table, units x concepts
    run.unit("imagenet12", 18, 5, "depthwise").concepts     # what one unit responds to, best first
    run.strongest_masks("imagenet12").mask(unit_row, 0)     # (H, W) bool: the unit's mask on its strongest image

A finished folder holds

    run.json             settings as resolved, versions, hashes, seed, timings, notes for the reader
    units.csv            one row for each unit: UNIT_COLUMNS; `unit` counts from 0
    concepts.csv         one row for each concept: CONCEPT_COLUMNS
    unit_category.csv    one row for each (unit, category): the best concept of that category, with its integer counts
    images.csv           one row for each image used: `image` (its row here), `name`, `split`
    replicates.csv       with folds only: one row for each (fold, unit), what it detects without that fold: REPLICATE_COLUMNS
    counts/NETWORK.npz   the counts of one network and what else the tables are made of: see below
    strongest/NETWORK.npz  the strongest images of every unit with their masks: see `StrongestMasks`
    DONE                 written last; a folder without it is not a result

`U` counts the units of one network in the order of its rows in `units.csv`, `C` the rows of `concepts.csv`, `K` the categories
in the order of run.json, `F` folds. The arrays of counts/NETWORK.npz, areas in label pixels over all images used:

    intersection_area    (U, C) int64, pixels in both the unit's mask and the concept
    mask_area            (U, K) int64, pixels of the mask in the images that the union rule counts for the category
    concept_area         (C,) int64, pixels of the concept
    n_images             (C,) int64, images that show the concept
    threshold            (U,) float32, the unit's threshold
    max_activation       (U,) float32, its largest activation
    images               (n,) int64, numbers of the images used in the data set; row i of images.csv is images[i]
    skipped              (n, 2) text, name of each image that could not be used, and why

and with folds, for the images of each fold alone:

    fold_intersection_area  (F, U, C) int64
    fold_mask_area       (F, U, K) int64
    fold_concept_area    (F, C) int64
    fold_n_images        (F, C) int64
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_prep.common.errors import UserError, choose
from data_prep.common.files import atomic_write
from dissect.scores import Counts, category_numbers, intersection_over_union, union_area

FORMAT_VERSION = 1

FOLD = "fold_"
"""Before the name of an array of counts whose first axis is the fold."""

UNIT_COLUMNS = (
    "network", "domain", "layer", "operator", "module", "unit",
    "threshold", "category", "label", "iou", "detector",
    "dead", "intersection_area", "union_area", "max_activation",
)  # fmt: skip
CONCEPT_COLUMNS = ("concept", "number", "category", "label", "n_images", "concept_area")
IMAGE_COLUMNS = ("image", "name", "split")
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
class Unit:
    """One unit of a run.

    facts: its row of units.csv, such as facts["label"] and facts["threshold"].
    concepts: one row for each concept that its mask meets, highest IoU first: `category`, `label`, `iou`,
    `intersection_area`, `union_area`. The first is what the unit is labelled with, the others are the runners-up.
    by_category: its rows of unit_category.csv, the best concept of each category.
    """

    facts: pd.Series
    concepts: pd.DataFrame
    by_category: pd.DataFrame


@dataclass(frozen=True)
class Run:
    """A finished run folder, read when something is first asked for."""

    path: Path
    info: dict[str, Any]

    @cached_property
    def units(self) -> pd.DataFrame:
        """One row for each unit of every network: UNIT_COLUMNS."""
        return _read_table(self.path / "units.csv", {"layer": str, "category": str, "label": str})

    @cached_property
    def concepts(self) -> pd.DataFrame:
        """One row for each concept: CONCEPT_COLUMNS."""
        return _read_table(self.path / "concepts.csv", {"category": str, "label": str})

    @cached_property
    def unit_category(self) -> pd.DataFrame:
        """One row for each (unit, category), the best concept of that category: UNIT_CATEGORY_COLUMNS."""
        return _read_table(self.path / "unit_category.csv", {"layer": str, "category": str, "label": str})

    @cached_property
    def replicates(self) -> pd.DataFrame | None:
        """What each unit detects without each fold (`left_out`); None for a run without folds."""
        path = self.path / "replicates.csv"
        dtype = {"network": str, "layer": str, "operator": str, "category": str, "label": str}
        return _read_table(path, dtype) if path.exists() else None

    @cached_property
    def images(self) -> pd.DataFrame:
        """One row for each image used: IMAGE_COLUMNS."""
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
        """The arrays of counts/NETWORK.npz, as the module describes them. Raises `UserError` for an unknown network."""
        return read_arrays(self.path / "counts" / f"{self._known(network)}.npz")

    def strongest_masks(self, network: str) -> StrongestMasks:
        """The strongest images of every unit of one network, with their masks. Raises `UserError` for an unknown network."""
        return StrongestMasks(**read_arrays(self.path / "strongest" / f"{self._known(network)}.npz"))

    def iou(self, network: str | None = None) -> pd.DataFrame:
        """IoU of every unit with every concept: `run.iou().loc[("imagenet12", "18", "depthwise", 5), ("object", "cat")]`.

        Rows are (network, layer, operator, unit) in the order of `units`, of one network or of all; columns are (category,
        label) in the order of `concepts`. Computed from the stored integer counts, with the union rule of the run, so that
        the largest value of a row is the `iou` of that unit to the bit. Raises `UserError` for an unknown network.
        """
        names = self._network_names if network is None else [self._known(network)]
        values = [
            intersection_over_union(Counts.of_arrays(self.counts(name)), self._concept_category) for name in names
        ]
        units = pd.concat([self.units[self.units["network"] == name] for name in names])
        return pd.DataFrame(
            np.concatenate(values),
            index=pd.MultiIndex.from_frame(units[["network", "layer", "operator", "unit"]]),
            columns=pd.MultiIndex.from_frame(self.concepts[["category", "label"]]),
        )

    def unit(self, network: str, layer: str | int, unit: int, operator: str | None = None) -> Unit:
        """One unit: what it is labelled with, its runners-up, and its best concept of each category.

        layer: as `units` names it, or the tapped module's name. unit: counts from 0. operator: needed only where the layer
        has several. Raises `UserError`, offering the nearest names, where the run has no such unit.
        """
        table = self.units[self.units["network"] == self._known(network)].reset_index(drop=True)
        named = table[table["layer"] == str(layer)]
        named = named if len(named) else table[table["module"] == str(layer)]
        if named.empty:
            choose("layer", str(layer), dict.fromkeys([*table["layer"], *table["module"]]))
        operators = list(dict.fromkeys(named["operator"]))
        if operator is not None:
            choose(f"operator of layer {layer}", operator, operators)
            named = named[named["operator"] == operator]
        elif len(operators) > 1:
            raise UserError(
                f"Layer {layer} of {network} has several operators: set `operator` to {' or '.join(operators)}."
            )
        found = named[named["unit"] == unit]
        if found.empty:
            raise UserError(
                f"Layer {layer} of {network} has no unit {unit!r}; its units are 0 to {named['unit'].max()}."
            )
        facts = found.iloc[0]
        return Unit(facts, self._concepts_of(network, int(found.index[0])), self._categories_of(facts))

    @property
    def _network_names(self) -> list[str]:
        return [network["name"] for network in self.networks]

    @cached_property
    def _concept_category(self) -> np.ndarray:
        """(C,) the category of each concept, by its place in run.json."""
        return category_numbers(list(self.concepts["category"]), self.info["data"]["categories"])

    def _known(self, network: str) -> str:
        choose("network", network, self._network_names)
        return network

    def _concepts_of(self, network: str, row: int) -> pd.DataFrame:
        counts = Counts.of_arrays(self.counts(network))
        one = counts._replace(
            intersection_area=counts.intersection_area[row : row + 1], mask_area=counts.mask_area[row : row + 1]
        )
        table = self.concepts[["category", "label"]].assign(
            iou=intersection_over_union(one, self._concept_category)[0],
            intersection_area=one.intersection_area[0],
            union_area=union_area(one, self._concept_category)[0],
        )
        # Equals stay in the order of the concepts, as the label of a unit is chosen.
        return table[table["iou"] > 0].sort_values("iou", ascending=False, kind="stable", ignore_index=True)

    def _categories_of(self, facts: pd.Series) -> pd.DataFrame:
        table = self.unit_category
        same = [table[name] == facts[name] for name in ("network", "layer", "operator", "unit")]
        return table[np.logical_and.reduce(same)].iloc[:, table.columns.get_loc("category") :].reset_index(drop=True)


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


def _read_table(path: Path, dtype: Mapping[str, type]) -> pd.DataFrame:
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


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Compressed NPZ; same arrays, same bytes."""
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """CSV that pandas reads back to the same floats (shortest exact form) and a spreadsheet opens."""
    with atomic_write(path, "w") as file:
        table.to_csv(file, index=False, lineterminator="\n")

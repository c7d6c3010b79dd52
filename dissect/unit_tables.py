"""The tables of a run folder, computed from the stored counts alone.

    write_tables(out, networks=networks, layers=layers, stored=stored, data=data, settings=settings)

`stored` is what `counts/NETWORK.npz` holds: the tables of a finished network can be written again without running it. Which
columns a table has, and in which order, stands in `run_store`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_prep.formats import NO_CONCEPT, LabelledImages
from dissect.engine import Dissection
from dissect.layers import Layer
from dissect.models import Network
from dissect.run_store import (
    CONCEPT_COLUMNS,
    FOLD,
    IMAGE_COLUMNS,
    REPLICATE_COLUMNS,
    UNIT_CATEGORY_COLUMNS,
    UNIT_COLUMNS,
    write_table,
)
from dissect.scores import (
    Counts,
    best_concepts,
    best_per_category,
    category_numbers,
    in_blocks,
    intersection_over_union,
    union_area,
    without,
)
from dissect.settings import Settings

Stored = Mapping[str, Any]
"""The arrays of `counts/NETWORK.npz`; those by fold only have to be looped over, fold by fold."""


def counts_arrays(result: Dissection, skipped: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """The arrays of `counts/NETWORK.npz`: all that the tables need of a dissection. skipped: (name, reason) of each image."""
    n_folds = len(result.folds.n_images)
    return {
        **result.counts._asdict(),
        **{FOLD + name: array for name, array in result.folds._asdict().items() if n_folds > 1},
        "threshold": result.threshold,
        "max_activation": result.max_activation,
        "images": result.images,
        "skipped": np.array(skipped, dtype=np.str_).reshape(-1, 2),
    }


@dataclass(frozen=True, kw_only=True)
class Found:
    """One network's stored counts, with the names of its units and of the concepts."""

    network: Network
    layers: Sequence[Layer]
    stored: Stored
    data: LabelledImages

    @cached_property
    def counts(self) -> Counts:
        return Counts.of_arrays(self.stored)

    @cached_property
    def category(self) -> np.ndarray:
        """(C,) the category of each concept, by number."""
        return category_numbers([concept.category for concept in self.data.concepts], self.data.categories)

    @property
    def dead(self) -> np.ndarray:
        """(U,) bool: units that exceed their threshold nowhere."""
        return self.stored["max_activation"] <= self.stored["threshold"]

    def without_each_fold(self) -> Iterator[Counts]:
        """The counts of all images but those of one fold, in the order of the folds."""
        for fold in zip(*(self.stored[FOLD + name] for name in Counts._fields), strict=True):
            yield without(self.counts, Counts(*fold))

    def labelled(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        """The concept of each unit by these counts (U,), `NO_CONCEPT` for a dead one, and its IoU (U,), which is 0 then."""
        best, iou = [], []
        for block in in_blocks(counts):
            each = intersection_over_union(block, self.category)
            best.append(best_concepts(each))
            iou.append(_at(each, best[-1]))
        return np.where(self.dead, NO_CONCEPT, np.concatenate(best)), np.where(self.dead, 0, np.concatenate(iou))

    def unit_columns(self) -> dict[str, np.ndarray]:
        """The columns that say which unit a row is of, each (U,)."""
        n_units = [layer.n_units for layer in self.layers]
        of_layer = {"layer": "label", "operator": "operator", "module": "module"}
        return {
            "network": np.repeat(np.array([self.network.name], object), sum(n_units)),
            "domain": np.repeat(np.array([self.network.domain], object), sum(n_units)),
            **{
                column: np.repeat(np.array([getattr(layer, field) for layer in self.layers], object), n_units)
                for column, field in of_layer.items()
            },
            "unit": np.concatenate([np.arange(n) for n in n_units]),
        }

    def name_columns(self, concepts: np.ndarray) -> dict[str, np.ndarray]:
        """Category and label of each of the concepts (n,); empty for `NO_CONCEPT`, which as an index is the last."""
        return {
            "category": np.array([*(concept.category for concept in self.data.concepts), ""], object)[concepts],
            "label": np.array([*(concept.name for concept in self.data.concepts), ""], object)[concepts],
        }


def write_tables(
    out: Path,
    *,
    networks: Sequence[Network],
    layers: Sequence[Sequence[Layer]],
    stored: Sequence[Stored],
    data: LabelledImages,
    settings: Settings,
) -> None:
    """units.csv, unit_category.csv, concepts.csv and images.csv, and with folds replicates.csv, as `run_store` has them.

    networks, layers, stored: one entry for each network.
    """
    each = [
        Found(network=network, layers=its_layers, stored=arrays, data=data)
        for network, its_layers, arrays in zip(networks, layers, stored, strict=True)
    ]
    tables = {
        "units": [unit_table(found, settings.iou_cut) for found in each],
        "unit_category": [unit_category_table(found) for found in each],
        "concepts": [concept_table(each[0])],
        "images": [image_table(each[0])],
    }
    if settings.folds > 1:
        tables["replicates"] = [replicate_table(found, settings.iou_cut) for found in each]
    for name, parts in tables.items():
        write_table(out / f"{name}.csv", pd.concat(parts, ignore_index=True))


def unit_table(found: Found, iou_cut: float) -> pd.DataFrame:
    """One row for each unit: its threshold, the concept with the highest IoU, and whether that makes it a detector."""
    best, iou = found.labelled(found.counts)
    values = {
        **found.unit_columns(),
        **found.name_columns(best),
        "threshold": _shortest(found.stored["threshold"]),
        "iou": iou,
        "detector": iou > iou_cut,
        "dead": found.dead,
        "intersection_area": _at(found.counts.intersection_area, best),
        "union_area": _at(union_area(found.counts, found.category), best),
        "max_activation": _shortest(found.stored["max_activation"]),
    }
    return pd.DataFrame(values)[list(UNIT_COLUMNS)]


def replicate_table(found: Found, iou_cut: float) -> pd.DataFrame:
    """One row for each (fold, unit): what the unit detects without the images of that fold, at the same threshold."""
    folds = []
    for left_out, counts in enumerate(found.without_each_fold()):
        best, iou = found.labelled(counts)
        values = {
            **found.unit_columns(),
            **found.name_columns(best),
            "left_out": left_out,
            "iou": iou,
            "detector": iou > iou_cut,
        }
        folds.append(pd.DataFrame(values)[list(REPLICATE_COLUMNS)])
    return pd.concat(folds, ignore_index=True)


def unit_category_table(found: Found) -> pd.DataFrame:
    """One row for each (unit, category): the best concept of that category with the counts behind its IoU."""
    counts, categories = found.counts, found.data.categories
    parts = []
    for block in in_blocks(counts):
        each = intersection_over_union(block, found.category)
        of_category = best_per_category(each, found.category, len(categories))
        parts.append((of_category, _at(each, of_category)))
    best, iou = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    values = {
        **{name: np.repeat(column, len(categories)) for name, column in found.unit_columns().items()},
        "category": np.tile(np.array(categories, object), len(best)),
        "label": found.name_columns(best.ravel())["label"],
        "iou": iou.ravel(),
        "intersection_area": _at(counts.intersection_area, best).ravel(),
        "mask_area": counts.mask_area.ravel(),
        "concept_area": _at(np.broadcast_to(counts.concept_area, counts.intersection_area.shape), best).ravel(),
    }
    return pd.DataFrame(values)[list(UNIT_CATEGORY_COLUMNS)]


def concept_table(found: Found) -> pd.DataFrame:
    """One row for each concept: how many of the images used show it, and on how many label pixels."""
    concepts = found.data.concepts
    values = {
        "concept": np.arange(len(concepts)),
        "number": [concept.number for concept in concepts],
        "category": [concept.category for concept in concepts],
        "label": [concept.name for concept in concepts],
        "n_images": found.counts.n_images,
        "concept_area": found.counts.concept_area,
    }
    return pd.DataFrame(values)[list(CONCEPT_COLUMNS)]


def image_table(found: Found) -> pd.DataFrame:
    """One row for each image used."""
    used = [found.data.images[number] for number in found.stored["images"]]
    values = {
        "image": np.arange(len(used)),
        "name": [image.name for image in used],
        "split": [image.split for image in used],
    }
    return pd.DataFrame(values)[list(IMAGE_COLUMNS)]


def _at(values: np.ndarray, concepts: np.ndarray) -> np.ndarray:
    """What (U, C) `values` hold at the concepts of each unit, (U,) or (U, K); 0 for `NO_CONCEPT`.

    >>> _at(np.array([[5, 6], [7, 8]]), np.array([1, NO_CONCEPT])).tolist()
    [6, 0]
    """
    chosen = np.zeros(concepts.shape, values.dtype)
    there = np.nonzero(concepts != NO_CONCEPT)
    chosen[there] = values[there[0], concepts[there]]
    return chosen


def _shortest(values: np.ndarray) -> list[float]:
    """The float64 values that print as briefly as these float32 values do and convert back to them.

    >>> _shortest(np.array([0.1], np.float32))
    [0.1]
    """
    return [float(str(value)) for value in values]

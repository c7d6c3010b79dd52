"""The tables of a run folder, computed from the stored counts alone.

    write_tables(out, networks, layers, stored, data, settings)

`stored` is what `counts/NETWORK.npz` holds: a finished network need not be run again to make the tables anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from data_prep.formats import NO_CONCEPT, LabelledImages
from dissect.engine import Dissection
from dissect.layers import Layer
from dissect.models import Network
from dissect.parallel_tally import category_numbers
from dissect.run_store import (
    CONCEPT_COLUMNS,
    REPLICATE_COLUMNS,
    UNIT_CATEGORY_COLUMNS,
    UNIT_COLUMNS,
    read_arrays,
    write_table,
)
from dissect.scores import Counts, best_concepts, best_per_category, intersection_over_union, union_area, without
from dissect.settings import Settings

Stored = Mapping[str, np.ndarray]

FOLD = "fold_"
"""Before the name of an array of counts whose first axis is the fold."""


def counts_arrays(result: Dissection, skipped: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """All that the tables need of a dissection: its counts, thresholds, largest activations and images."""
    return {
        **result.counts._asdict(),
        **({FOLD + name: np.stack(arrays) for name, arrays in _by_name(result.folds)} if len(result.folds) > 1 else {}),
        "threshold": result.threshold,
        "max_activation": result.max_activation,
        "images": result.images,
        "skipped": np.array(skipped, dtype=np.str_).reshape(-1, 2),
    }


def _by_name(folds: Sequence[Counts]) -> Iterator[tuple[str, tuple[np.ndarray, ...]]]:
    return zip(Counts._fields, zip(*folds, strict=True), strict=True)


def is_stored(out: Path, network: str) -> bool:
    return (out / "counts" / f"{network}.npz").exists()


def read_stored(out: Path, network: str) -> Stored:
    return read_arrays(out / "counts" / f"{network}.npz")


def write_tables(
    out: Path,
    networks: Sequence[Network],
    layers: Sequence[Sequence[Layer]],
    stored: Sequence[Stored],
    data: LabelledImages,
    settings: Settings,
) -> None:
    """units.csv, unit_category.csv, concepts.csv and images.csv, and with folds replicates.csv, as `run_store` has them."""
    category = category_numbers(data)
    parts = list(zip(networks, layers, stored, strict=True))
    units = [unit_table(*part, data, category, settings.iou_cut) for part in parts]
    write_table(out / "units.csv", pd.concat(units, ignore_index=True))
    unit_category = [unit_category_table(*part, data, category) for part in parts]
    write_table(out / "unit_category.csv", pd.concat(unit_category, ignore_index=True))
    if settings.folds > 1:
        replicates = [replicate_table(*part, data, category, settings.iou_cut) for part in parts]
        write_table(out / "replicates.csv", pd.concat(replicates, ignore_index=True))
    write_table(out / "concepts.csv", concept_table(stored[0], data))
    used = [data.images[number] for number in stored[0]["images"]]
    images = [(row, record.name, record.split) for row, record in enumerate(used)]
    write_table(out / "images.csv", pd.DataFrame(images, columns=["image", "name", "split"]))


def unit_table(
    network: Network,
    layers: Sequence[Layer],
    stored: Stored,
    data: LabelledImages,
    category: np.ndarray,
    iou_cut: float,
) -> pd.DataFrame:
    """One row a unit: its threshold, the concept with the highest IoU, and whether that makes it a detector."""
    counts = Counts(*(stored[name] for name in Counts._fields))
    union = union_area(counts, category)
    dead = _dead(stored)
    iou, best = _labelled(counts, dead, category)
    rows = []
    for row, (layer, unit) in enumerate(_units(layers)):
        concept = best[row]
        found = concept != NO_CONCEPT
        rows.append(
            (
                network.name, network.domain, layer.label, layer.operator, layer.module, unit,
                _shortest(stored["threshold"][row]),
                data.concepts[concept].category if found else "",
                data.concepts[concept].name if found else "",
                iou[row, concept] if found else 0.0,
                bool(found and iou[row, concept] > iou_cut),
                bool(dead[row]),
                counts.intersection_area[row, concept] if found else 0,
                union[row, concept] if found else 0,
                _shortest(stored["max_activation"][row]),
            )
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(UNIT_COLUMNS))


def replicate_table(
    network: Network,
    layers: Sequence[Layer],
    stored: Stored,
    data: LabelledImages,
    category: np.ndarray,
    iou_cut: float,
) -> pd.DataFrame:
    """One row a (fold, unit): what the unit detects where the images of that fold are left out, at the same threshold."""
    total = Counts(*(stored[name] for name in Counts._fields))
    rows = []
    for left_out in range(len(stored[FOLD + "mask_area"])):
        fold = Counts(*(stored[FOLD + name][left_out] for name in Counts._fields))
        iou, best = _labelled(without(total, fold), _dead(stored), category)
        for row, (layer, unit) in enumerate(_units(layers)):
            found = best[row] != NO_CONCEPT
            concept = data.concepts[best[row]] if found else None
            value = iou[row, best[row]] if found else 0.0
            rows.append(
                (
                    network.name, layer.label, layer.operator, unit, left_out, concept.category if concept else "",
                    concept.name if concept else "", value, bool(value > iou_cut),
                )
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(REPLICATE_COLUMNS))


def _dead(stored: Stored) -> np.ndarray:
    return stored["max_activation"] <= stored["threshold"]


def _labelled(counts: Counts, dead: np.ndarray, category: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """IoU (U, C), and the concept of each unit: (U,), none for a dead one."""
    iou = intersection_over_union(counts, category)
    return iou, np.where(dead, NO_CONCEPT, best_concepts(iou))


def unit_category_table(
    network: Network, layers: Sequence[Layer], stored: Stored, data: LabelledImages, category: np.ndarray
) -> pd.DataFrame:
    """One row a (unit, category): the best concept of that category with the counts behind its IoU."""
    counts = Counts(*(stored[name] for name in Counts._fields))
    iou = intersection_over_union(counts, category)
    best = best_per_category(iou, category, len(data.categories))
    rows = []
    for row, (layer, unit) in enumerate(_units(layers)):
        for k, name in enumerate(data.categories):
            concept = best[row, k]
            found = concept != NO_CONCEPT
            rows.append(
                (
                    network.name, network.domain, layer.label, layer.operator, unit, name,
                    data.concepts[concept].name if found else "",
                    iou[row, concept] if found else 0.0,
                    counts.intersection_area[row, concept] if found else 0,
                    counts.mask_area[row, k],
                    counts.concept_area[concept] if found else 0,
                )
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(UNIT_CATEGORY_COLUMNS))


def concept_table(stored: Stored, data: LabelledImages) -> pd.DataFrame:
    """One row a concept: how many of the images used show it, and on how many label pixels."""
    rows = [
        (c, concept.number, concept.category, concept.name, stored["n_images"][c], stored["concept_area"][c])
        for c, concept in enumerate(data.concepts)
    ]
    return pd.DataFrame(rows, columns=list(CONCEPT_COLUMNS))


def _units(layers: Sequence[Layer]) -> Iterator[tuple[Layer, int]]:
    return ((layer, unit) for layer in layers for unit in range(layer.n_units))


def _shortest(value: np.float32) -> float:
    """The float64 that prints as briefly as the float32 does and converts back to it."""
    return float(str(value))

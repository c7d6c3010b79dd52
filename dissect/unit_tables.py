"""The tables of a run folder, computed from the stored counts alone.

    write_tables(out, networks=networks, layers=layers, stored=stored, data=data, settings=settings)

`stored` is what `counts/NETWORK.npz` holds: the tables of a finished network can be written again without running it. Which
columns a table has, and in which order, stands in `run_store`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from data_prep.formats import NO_CONCEPT, LabelledImages
from dissect.engine import Dissection
from dissect.found import Found, Stored, shortest
from dissect.layers import Layer
from dissect.models import Network
from dissect.run_store import (
    CONCEPT_COLUMNS,
    FOLD,
    IMAGE_COLUMNS,
    UNIT_CATEGORY_COLUMNS,
    UNIT_COLUMNS,
    write_table,
)
from dissect.scores import (
    best_per_category,
    in_blocks,
    intersection_over_union,
    scored,
    union_area,
    values_at,
)
from dissect.settings import Settings
from dissect.trust_tables import trust_tables


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
        **({} if result.null_score is None else {"null_score": result.null_score}),
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
    """units.csv, unit_category.csv, concepts.csv and images.csv, and with folds replicates.csv, trust.csv and labels.csv, as
    `run_store` has them.

    networks, layers, stored: one entry for each network.
    """
    each = [
        Found(network=network, layers=its_layers, stored=arrays, data=data, settings=settings)
        for network, its_layers, arrays in zip(networks, layers, stored, strict=True)
    ]
    tables = {
        "units": [unit_table(found) for found in each],
        "unit_category": [unit_category_table(found) for found in each],
        "concepts": [concept_table(each[0])],
        "images": [image_table(each[0])],
    }
    for found in each if settings.n_folds > 1 else ():
        for name, table in trust_tables(found, out).items():
            tables.setdefault(name, []).append(table)
    for name, parts in tables.items():
        write_table(out / f"{name}.csv", pd.concat(parts, ignore_index=True))


def unit_table(found: Found) -> pd.DataFrame:
    """One row for each unit: its threshold, the concept with the highest score, and whether that makes it a detector."""
    best, score, iou = found.label
    values = {
        **found.unit_columns(),
        **found.name_columns(best),
        "threshold": shortest(found.stored["threshold"]),
        "iou": iou,
        "score": score,
        "n_images": np.append(found.counts.n_images, 0)[best],
        "detector": iou > found.settings.iou_cut,
        "dead": found.dead,
        "intersection_area": values_at(found.counts.intersection_area, best),
        "union_area": values_at(union_area(found.counts, found.category), best),
        "max_activation": shortest(found.stored["max_activation"]),
    }
    return pd.DataFrame(values)[list(UNIT_COLUMNS)]


def unit_category_table(found: Found) -> pd.DataFrame:
    """One row for each (unit, category): the best concept of that category with the counts behind its IoU."""
    counts, categories = found.counts, found.data.categories
    parts = []
    for block in in_blocks(counts):
        value = scored(found.settings.score, block, found.category)
        of_category = best_per_category(value, found.category, len(categories), found.eligible)
        parts.append((of_category, values_at(intersection_over_union(block, found.category), of_category)))
    best, iou = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    best = np.where(found.dead[:, None], NO_CONCEPT, best)
    values = {
        **{name: np.repeat(column, len(categories)) for name, column in found.unit_columns().items()},
        "category": np.tile(np.array(categories, object), len(best)),
        "label": found.name_columns(best.ravel())["label"],
        "iou": iou.ravel(),
        "intersection_area": values_at(counts.intersection_area, best).ravel(),
        "mask_area": counts.mask_area.ravel(),
        "concept_area": values_at(np.broadcast_to(counts.concept_area, counts.intersection_area.shape), best).ravel(),
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
        "eligible": found.eligible,
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

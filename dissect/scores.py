"""From counts to IoU, labels and detectors.

    iou = intersection_over_union(counts, concept_category)          # (U, C) float64
    best = best_concepts(iou)                                        # (U,) concept of each unit

Two units and two concepts of one category; the first unit's mask has 8 pixels, 6 of them on the first concept:

>>> counts = Counts(
...     intersection_area=np.array([[6, 0], [0, 0]]), mask_area=np.array([[8], [5]]),
...     concept_area=np.array([10, 4]), n_images=np.array([2, 1]), annotated_area=np.array([40]),
... )
>>> intersection_over_union(counts, np.array([0, 0])).tolist()      # 6 / (8 + 10 - 6)
[[0.5, 0.0], [0.0, 0.0]]

One division, at the very end (method, part A.1, rows 5 to 8). No torch: `run_store` computes IoU with this module too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from data_prep.formats import NO_CONCEPT

BLOCK = 2**20
"""Values of IoU to compute at a time."""


def category_numbers(concept_categories: Sequence[str], categories: Sequence[str]) -> np.ndarray:
    """(C,) int32: the category of each concept, by its place in `categories`.

    >>> category_numbers(["object", "color", "object"], ["color", "object"]).tolist()
    [1, 0, 1]
    """
    number = {name: k for k, name in enumerate(categories)}
    return np.array([number[name] for name in concept_categories], np.int32)


class Counts(NamedTuple):
    """Pooled over the data set, int64: intersection_area (U, C), mask_area (U, K), concept_area (C,), n_images (C,),
    annotated_area (K,), the label pixels of the images in which a category is annotated; under the rule all-images, of all.
    Counts by fold have an axis for folds before these."""

    intersection_area: np.ndarray
    mask_area: np.ndarray
    concept_area: np.ndarray
    n_images: np.ndarray
    annotated_area: np.ndarray

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Counts:
        """Those of a network as `counts/NETWORK.npz` holds them."""
        return cls(**{name: arrays[name] for name in cls._fields})


def in_blocks(counts: Counts) -> Iterator[Counts]:
    """The counts of a few units at a time, whose IoU takes little memory beside the counts."""
    n_units, n_concepts = counts.intersection_area.shape
    n = max(BLOCK // max(n_concepts, 1), 1)
    for start in range(0, n_units, n):
        some = slice(start, start + n)
        yield counts._replace(intersection_area=counts.intersection_area[some], mask_area=counts.mask_area[some])


def without(counts: Counts, left_out: Counts) -> Counts:
    """What is left of the counts without those of some of the images."""
    return Counts(*(total - part for total, part in zip(counts, left_out, strict=True)))


def union_area(counts: Counts, concept_category: np.ndarray) -> np.ndarray:
    """A + G - I: (U, C) int64. concept_category: (C,) the category of each concept."""
    return counts.mask_area[:, concept_category] + counts.concept_area - counts.intersection_area


def intersection_over_union(counts: Counts, concept_category: np.ndarray) -> np.ndarray:
    """I / (A + G - I): (U, C) float64; 0 where the mask and the concept are both empty."""
    union = union_area(counts, concept_category)
    return counts.intersection_area / np.maximum(union, 1)


def best_concepts(iou: np.ndarray) -> np.ndarray:
    """The concept with the highest IoU of each unit: (U,); ties go to the lower concept, `NO_CONCEPT` where all are 0.

    >>> best_concepts(np.array([[0.1, 0.3, 0.3], [0, 0, 0]])).tolist()
    [1, -1]
    """
    if iou.shape[1] == 0:
        return np.full(len(iou), NO_CONCEPT)
    best = iou.argmax(1)
    return np.where(iou[np.arange(len(iou)), best] > 0, best, NO_CONCEPT)


def best_per_category(iou: np.ndarray, concept_category: np.ndarray, n_categories: int) -> np.ndarray:
    """(U, K): the best concept of each unit in each category, as `best_concepts` picks it.

    >>> best_per_category(np.array([[0.1, 0.3, 0.2]]), np.array([0, 0, 2]), 3).tolist()
    [[1, -1, 2]]
    """
    best = np.full((len(iou), n_categories), NO_CONCEPT)
    for category in range(n_categories):
        members = np.flatnonzero(concept_category == category)
        if len(members):
            winner = best_concepts(iou[:, members])
            best[:, category] = np.where(winner == NO_CONCEPT, NO_CONCEPT, members[winner])
    return best

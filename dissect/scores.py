"""From counts to IoU, labels and detectors.

    iou = intersection_over_union(counts, concept_category)          # (U, C) float64
    best = best_concepts(iou)                                        # (U,) concept of each unit

One division, at the very end (method, part A.1, rows 5 to 8).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data_prep.formats import NO_CONCEPT
from dissect.tally import Tally


class Counts(NamedTuple):
    """Pooled over the data set, int64: intersection_area (U, C), mask_area (U, K), concept_area (C,), n_images (C,)."""

    intersection_area: np.ndarray
    mask_area: np.ndarray
    concept_area: np.ndarray
    n_images: np.ndarray


def counts_of(tally: Tally) -> Counts:
    return Counts(tally.intersection_area, tally.mask_area, tally.concept_area, tally.n_images)


def without(counts: Counts, left_out: Counts) -> Counts:
    """What is left of the counts without those of some of the images."""
    return Counts(*(total - part for total, part in zip(counts, left_out, strict=True)))


def union_area(counts: Counts, concept_category: np.ndarray) -> np.ndarray:
    """A + G - I: (U, C) int64."""
    return counts.mask_area[:, concept_category] + counts.concept_area - counts.intersection_area


def intersection_over_union(counts: Counts, concept_category: np.ndarray) -> np.ndarray:
    """I / (A + G - I): (U, C) float64; 0 where the mask and the concept are both empty."""
    union = union_area(counts, concept_category)
    return counts.intersection_area / np.maximum(union, 1)


def best_concepts(iou: np.ndarray) -> np.ndarray:
    """The concept with the highest IoU of each unit: (U,); ties go to the lower concept, `NO_CONCEPT` where all are 0."""
    if iou.shape[1] == 0:
        return np.full(len(iou), NO_CONCEPT)
    best = iou.argmax(1)
    return np.where(iou[np.arange(len(iou)), best] > 0, best, NO_CONCEPT)


def best_per_category(iou: np.ndarray, concept_category: np.ndarray, n_categories: int) -> np.ndarray:
    """(U, K): the best concept of each unit in each category, as `best_concepts` picks it."""
    best = np.full((len(iou), n_categories), NO_CONCEPT)
    for category in range(n_categories):
        members = np.flatnonzero(concept_category == category)
        if len(members):
            winner = best_concepts(iou[:, members])
            best[:, category] = np.where(winner == NO_CONCEPT, NO_CONCEPT, members[winner])
    return best

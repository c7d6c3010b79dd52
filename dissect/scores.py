"""From counts to scores, labels and detectors.

    iou = intersection_over_union(counts, concept_category)          # (U, C) float64
    value = scored("matthews", counts, concept_category)             # the same by another of the `SCORES`
    best = best_concepts(value, counts.n_images >= 10)               # (U,) concept of each unit

Two units and two concepts of one category; the first unit's mask has 8 pixels, 6 of them on the first concept:

>>> counts = Counts(
...     intersection_area=np.array([[6, 0], [0, 0]]), mask_area=np.array([[8], [5]]),
...     concept_area=np.array([10, 4]), n_images=np.array([2, 1]), annotated_area=np.array([40]),
... )
>>> intersection_over_union(counts, np.array([0, 0])).tolist()      # 6 / (8 + 10 - 6)
[[0.5, 0.0], [0.0, 0.0]]
>>> scored("precision", counts, np.array([0, 0])).tolist()          # 6 / 8
[[0.75, 0.0], [0.0, 0.0]]

A score is a function of integer areas that broadcast against each other: the intersection I, the mask A, the concept G and,
where it asks for a fourth argument, N, the label pixels of the images in which the concept's category is annotated. Another one
is that function and its name: `SCORES["mine"] = mine`, and then `Settings(score="mine")`; higher must be better, and a unit whose
best value is not above 0 has no label. One division, at the very end (method, part A.1, rows 5 to 8). No torch: `run_store`
computes scores with this module too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from data_prep.common.errors import UserError
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


def iou(intersection: np.ndarray, mask: np.ndarray, concept: np.ndarray) -> np.ndarray:
    """I / (A + G - I), the intersection over the union, in [0, 1]; 0 where both are empty. Bau et al. 2017."""
    return intersection / np.maximum(mask + concept - intersection, 1)


def f1(intersection: np.ndarray, mask: np.ndarray, concept: np.ndarray) -> np.ndarray:
    """2 I / (A + G), the harmonic mean of precision and recall, in [0, 1]; 0 where both are empty. Dice 1945.

    It is 2 IoU / (1 + IoU), so it orders the concepts of a unit as IoU does."""
    return 2 * intersection / np.maximum(mask + concept, 1)


def precision(intersection: np.ndarray, mask: np.ndarray, concept: np.ndarray) -> np.ndarray:
    """I / A, the share of the mask that lies on the concept, in [0, 1]; 0 for an empty mask. It favours large concepts."""
    return intersection / np.maximum(mask, 1)


def recall(intersection: np.ndarray, mask: np.ndarray, concept: np.ndarray) -> np.ndarray:
    """I / G, the share of the concept that the mask covers, in [0, 1]; 0 for an empty concept. It favours small concepts."""
    return intersection / np.maximum(concept, 1)


def matthews(intersection: np.ndarray, mask: np.ndarray, concept: np.ndarray, universe: np.ndarray) -> np.ndarray:
    """(N I - A G) / sqrt(A G (N - A) (N - G)), the correlation of mask and concept over the pixels, in [-1, 1].

    0 where mask or concept is empty or covers everything, and where they are independent. Matthews 1975."""
    i, a, g, n = (np.asarray(area, np.float64) for area in (intersection, mask, concept, universe))
    scale = np.sqrt(a * (n - a)) * np.sqrt(g * (n - g))
    return np.where(scale > 0, (n * i - a * g) / np.where(scale > 0, scale, 1), 0.0)


def npmi(intersection: np.ndarray, mask: np.ndarray, concept: np.ndarray, universe: np.ndarray) -> np.ndarray:
    """log(N I / (A G)) / -log(I / N), the normalised pointwise mutual information of a pixel in both, in [-1, 1].

    -1 where they never meet, 0 where they are independent or both cover everything, 1 where they are the same. Bouma 2009."""
    i, a, g, n = (np.asarray(area, np.float64) for area in (intersection, mask, concept, universe))
    meet, part = i > 0, (i > 0) & (i < n)
    # Two products and one division: equal products are equal to the bit, so where they are independent there is exactly 0.
    information = np.log(np.where(meet, n * i, 1) / np.where(meet, a * g, 1))
    surprise = -np.log(np.where(part, i, 1) / np.where(part, n, 2))
    return np.where(part, information / surprise, np.where(meet, 0.0, -1.0))


SCORES: dict[str, Callable[..., np.ndarray]] = {
    "iou": iou, "f1": f1, "precision": precision, "recall": recall, "matthews": matthews, "npmi": npmi,
}  # fmt: skip
"""By name, what a unit can be labelled by."""

NEED_OVERLAP = frozenset(SCORES)
"""Scores that are above 0 only where mask and concept meet: those above, not those that are added."""


def score_function(score: str) -> Callable[..., np.ndarray]:
    """The score of this name. Raises `UserError` where there is none."""
    if score not in SCORES:
        raise UserError(
            f"There is no score {score!r}; known: {', '.join(SCORES)}. If it is one of your own, put its function into "
            f"`dissect.scores.SCORES` first."
        )
    return SCORES[score]


def needs_universe(score: str) -> bool:
    """Whether the score of this name takes N, which the union rule `touched` does not have.

    >>> needs_universe("iou"), needs_universe("npmi")
    (False, True)
    """
    return len(inspect.signature(score_function(score)).parameters) == 4


def scored(score: str, counts: Counts, concept_category: np.ndarray) -> np.ndarray:
    """(U, C) float64: the score of this name of every unit with every concept. concept_category: (C,) the category of each."""
    areas = [counts.intersection_area, counts.mask_area[..., concept_category], counts.concept_area[..., None, :]]
    if needs_universe(score):
        areas.append(counts.annotated_area[..., None, concept_category])
    return score_function(score)(*areas)


def union_area(counts: Counts, concept_category: np.ndarray) -> np.ndarray:
    """A + G - I: (U, C) int64. concept_category: (C,) the category of each concept."""
    return counts.mask_area[:, concept_category] + counts.concept_area - counts.intersection_area


def intersection_over_union(counts: Counts, concept_category: np.ndarray) -> np.ndarray:
    """I / (A + G - I): (U, C) float64; 0 where the mask and the concept are both empty."""
    return scored("iou", counts, concept_category)


def best_concepts(score: np.ndarray, eligible: np.ndarray | None = None) -> np.ndarray:
    """The concept with the highest score of each unit: (U,); ties go to the lower concept, `NO_CONCEPT` where none is above 0.

    eligible: (C,) bool, the concepts that may be a label; all if not given.

    >>> best_concepts(np.array([[0.1, 0.3, 0.3], [0, 0, 0]])).tolist()
    [1, -1]
    >>> best_concepts(np.array([[0.1, 0.3, 0.3]]), np.array([True, False, True])).tolist()
    [2]
    """
    if score.shape[1] == 0:
        return np.full(len(score), NO_CONCEPT)
    allowed = score if eligible is None or eligible.all() else np.where(eligible, score, -np.inf)
    best = allowed.argmax(1)
    return np.where(allowed[np.arange(len(score)), best] > 0, best, NO_CONCEPT)


class Labelled(NamedTuple):
    """The label of each unit (U,), `NO_CONCEPT` for none, and its score and IoU (U,), 0 without a label."""

    concept: np.ndarray
    score: np.ndarray
    iou: np.ndarray


def label_units(score: str, counts: Counts, concept_category: np.ndarray, eligible: np.ndarray) -> Labelled:
    """The concept of each unit with the highest score of this name, among the `eligible` (C,); a few units at a time."""
    parts = []
    for block in in_blocks(counts):
        value = scored(score, block, concept_category)
        best = best_concepts(value, eligible)
        same = value if score == "iou" else intersection_over_union(block, concept_category)
        parts.append((best, values_at(value, best), values_at(same, best)))
    return Labelled(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def values_at(values: np.ndarray, concepts: np.ndarray) -> np.ndarray:
    """What (U, C) `values` hold at the concepts of each unit, (U,) or (U, K); 0 for `NO_CONCEPT`.

    >>> values_at(np.array([[5, 6], [7, 8]]), np.array([1, NO_CONCEPT])).tolist()
    [6, 0]
    """
    chosen = np.zeros(concepts.shape, values.dtype)
    there = np.nonzero(concepts != NO_CONCEPT)
    chosen[there] = values[there[0], concepts[there]]
    return chosen


def best_per_category(
    score: np.ndarray, concept_category: np.ndarray, n_categories: int, eligible: np.ndarray | None = None
) -> np.ndarray:
    """(U, K): the best concept of each unit in each category, as `best_concepts` picks it.

    >>> best_per_category(np.array([[0.1, 0.3, 0.2]]), np.array([0, 0, 2]), 3).tolist()
    [[1, -1, 2]]
    """
    best = np.full((len(score), n_categories), NO_CONCEPT)
    for category in range(n_categories):
        members = np.flatnonzero((concept_category == category) & (True if eligible is None else eligible))
        if len(members):
            winner = best_concepts(score[:, members])
            best[:, category] = np.where(winner == NO_CONCEPT, NO_CONCEPT, members[winner])
    return best

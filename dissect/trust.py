"""How sure is a unit's label? From counts by fold of the images, without another pass over them.

    trust = trust_of(folds, category, score="iou", eligible=eligible, alive=~dead)      # folds: Counts by fold
    trust.held_out_iou                        # (U,) what the labels chosen on the other folds are worth on each fold
    p = p_values(score, null_score, alive)    # (U,) chance of as high a best score with the labels of other images
    q = false_discovery_rates(p, alive)       # (U,)

Letters: `F` folds, `R` rounds of the null. What each number means, when it fails and who proposed it stands in docs/trust.md.
Everything follows from integer counts by fold, so it does not depend on the order of the images, or on how they were counted; the
thresholds of the units, which use no labels, stay those of all images. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from data_prep.formats import NO_CONCEPT
from dissect.scores import (
    BLOCK,
    NEED_OVERLAP,
    Counts,
    best_concepts,
    iou,
    needs_universe,
    score_function,
    scored,
    values_at,
    without,
)

N_RESAMPLES = 1000
"""Resamples of the folds, from which shares are known to 0.016 or better."""

N_LISTED = 5
"""Concepts that are listed for each unit at least, if so many score above 0."""

COVERED = 0.9
"""Share of the resamples whose labels the label set holds."""

LEVEL = 0.95
"""Of the intervals."""

ROUNDING = 1e-9
"""Relative difference below which two scores in parts of means are equal: more than rounding leaves, less than a pixel does."""

RATIOS = frozenset({"iou", "f1", "precision", "recall"})
"""Scores that are one sum of areas divided by another: of pooled folds they never exceed the best fold's."""


class Listed(NamedTuple):
    """The best concepts of all units, unit after unit, best first: arrays of one length.

    unit: (n,) row of the unit. rank: by score among all eligible concepts. chosen_share: of the resamples.
    in_set: whether the label set holds it.
    """

    unit: np.ndarray
    rank: np.ndarray
    concept: np.ndarray
    iou: np.ndarray
    iou_low: np.ndarray
    iou_high: np.ndarray
    score: np.ndarray
    chosen_share: np.ndarray
    in_set: np.ndarray


class Trust(NamedTuple):
    """replicate, replicate_iou: (F, U) the label without each fold and its IoU there. The others, (U,), are the columns of
    trust.csv; all are 0 for a unit without a label. listed: what labels.csv has."""

    replicate: np.ndarray
    replicate_iou: np.ndarray
    held_out_iou: np.ndarray
    iou_low: np.ndarray
    iou_high: np.ndarray
    kept_folds: np.ndarray
    kept_share: np.ndarray
    n_set: np.ndarray
    listed: Listed


def trust_of(
    folds: Counts, concept_category: np.ndarray, *, score: str, eligible: np.ndarray, alive: np.ndarray
) -> Trust:
    """All there is to say of the label of each unit, by the score of this name.

    folds: counts by fold, at least two, along a first axis; arrays mapped from a file will do, as a few units are looked at a
    time. concept_category, eligible: (C,). alive: (U,) bool; a dead unit has no label.
    """
    parts = [
        _of_block(block, concept_category, score=score, eligible=eligible, alive=alive[some], first=some.start)
        for some, block in _blocks(folds)
    ]
    listed = Listed(*(np.concatenate(arrays) for arrays in zip(*(part.listed for part in parts), strict=True)))
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=-1)
        for name in Trust._fields
        if name != "listed"
    }
    return parts[0]._replace(**joined, listed=listed)


def _blocks(folds: Counts) -> Iterator[tuple[slice, Counts]]:
    n_folds, n_units, n_concepts = folds.intersection_area.shape
    n = max(BLOCK // max(n_concepts * n_folds, 1), 1)
    for start in range(0, n_units, n):
        some = slice(start, min(start + n, n_units))
        areas = {name: np.asarray(getattr(folds, name)[:, some]) for name in ("intersection_area", "mask_area")}
        yield some, folds._replace(**areas)


def _of_block(
    folds: Counts, category: np.ndarray, *, score: str, eligible: np.ndarray, alive: np.ndarray, first: int
) -> Trust:
    total = Counts(*(area.sum(0) for area in folds))
    value = np.where(eligible, scored(score, total, category), -np.inf)
    label = np.where(alive, best_concepts(value), NO_CONCEPT)
    replicate, replicate_iou = [], []
    for fold in zip(*folds, strict=True):
        fewer = without(total, Counts(*fold))
        best = best_concepts(scored(score, fewer, category), eligible)
        replicate.append(np.where(alive, best, NO_CONCEPT))
        replicate_iou.append(values_at(scored("iou", fewer, category), replicate[-1]))
    kept = np.stack(replicate)
    share = _chosen_shares(folds, category, score=score, eligible=eligible, label=label)
    rank = np.empty(value.shape, np.int64)
    np.put_along_axis(rank, np.argsort(-value, axis=1, kind="stable"), np.arange(value.shape[1])[None], axis=1)
    in_set = label_sets(share, label)
    listed = _listed(folds, category, value=value, rank=rank, share=share, in_set=in_set)
    low, high = np.zeros(len(label)), np.zeros(len(label))
    best_rows = listed.rank == 0
    low[listed.unit[best_rows]], high[listed.unit[best_rows]] = listed.iou_low[best_rows], listed.iou_high[best_rows]
    return Trust(
        replicate=kept,
        replicate_iou=np.stack(replicate_iou),
        held_out_iou=held_out_iou(folds, category, kept),
        iou_low=low,
        iou_high=high,
        kept_folds=((kept == label) & (label != NO_CONCEPT)).sum(0),
        kept_share=values_at(share, label),
        n_set=in_set.sum(1),
        listed=listed._replace(unit=first + listed.unit),
    )


def held_out_iou(folds: Counts, concept_category: np.ndarray, replicate: np.ndarray) -> np.ndarray:
    """(U,) the IoU of labels on images that had no say in choosing them, pooled: sum of I / sum of (A + G - I) over the folds.

    replicate: (F, U) the label that is best without each fold; a fold for which there is none adds nothing.
    """
    fold, unit = np.nonzero(replicate != NO_CONCEPT)
    i, a, g, _ = _areas(folds, concept_category, unit, replicate[fold, unit], fold)
    areas = np.zeros((2, replicate.shape[1]), np.int64)
    np.add.at(areas[0], unit, i)
    np.add.at(areas[1], unit, a + g - i)
    return areas[0] / np.maximum(areas[1], 1)


def label_sets(share: np.ndarray, label: np.ndarray) -> np.ndarray:
    """(U, C) bool: the label, then the concepts that most resamples chose, until `COVERED` of those that chose one are covered.

    share: (U, C) of the resamples. label: (U,). A unit without a label has an empty set.

    >>> label_sets(np.array([[0.6, 0.35, 0.05], [0.95, 0.05, 0]]), np.array([0, 0])).tolist()
    [[True, True, False], [True, False, False]]
    """
    first = np.arange(share.shape[1]) == label[:, None]
    order = np.argsort(-(share + 2 * first), axis=1, kind="stable")
    ordered = np.take_along_axis(share, order, axis=1)
    before = np.cumsum(ordered, axis=1) - ordered
    wanted = (before < COVERED * share.sum(1, keepdims=True) - 1e-9) & (ordered > 0)
    member = np.zeros(share.shape, np.bool_)
    np.put_along_axis(member, order, wanted, axis=1)
    return (member | first) & (label != NO_CONCEPT)[:, None]


def jackknife_bounds(value: np.ndarray, replicates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the 95 % intervals of shares (n,), from their values without each fold (F, n).

    Delete-a-group jackknife with Student's t of F - 1 degrees of freedom, on the scale of asin(sqrt(share)), on which a share's
    spread hardly depends on its size and from which an interval comes back inside [0, 1].

    >>> low, high = jackknife_bounds(np.array([0.25]), np.array([[0.24], [0.25], [0.26]]))
    >>> f"{low[0]:.3f} to {high[0]:.3f}"
    '0.202 to 0.301'
    """
    from scipy.stats import t

    n_folds = len(replicates)
    turned = np.arcsin(np.sqrt(replicates))
    error = np.sqrt((n_folds - 1) / n_folds * ((turned - turned.mean(0)) ** 2).sum(0))
    reach, middle = t.ppf((1 + LEVEL) / 2, n_folds - 1) * error, np.arcsin(np.sqrt(value))
    return np.sin(np.maximum(middle - reach, 0)) ** 2, np.sin(np.minimum(middle + reach, np.pi / 2)) ** 2


def _listed(
    folds: Counts, category: np.ndarray, *, value: np.ndarray, rank: np.ndarray, share: np.ndarray, in_set: np.ndarray
) -> Listed:
    labelled = in_set.any(1, keepdims=True)
    unit, concept = np.nonzero(labelled & (((rank < N_LISTED) & (value > 0)) | in_set))
    order = np.lexsort((rank[unit, concept], unit))
    unit, concept = unit[order], concept[order]
    i, a, g, _ = _areas(folds, category, unit, concept)
    shown = iou(i.sum(0), a.sum(0), g.sum(0))
    fewer = (area.sum(0) - area for area in (i, a, g))
    low, high = jackknife_bounds(shown, iou(*fewer))
    at = unit, concept
    return Listed(unit, rank[at], concept, shown, low, high, value[at], share[at], in_set[at])


def _areas(
    folds: Counts, category: np.ndarray, unit: np.ndarray, concept: np.ndarray, fold: np.ndarray | slice = slice(None)
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """I, A, G and N of pairs of a unit and a concept, (F, n), or each of one fold, (n,)."""
    of_category = category[concept]
    return (
        folds.intersection_area[fold, unit, concept], folds.mask_area[fold, unit, of_category],
        folds.concept_area[fold, concept], folds.annotated_area[fold, of_category],
    )  # fmt: skip


@cache
def resamples(n_folds: int) -> np.ndarray:
    """(`N_RESAMPLES`, F) float64: how often each fold is drawn, F - 1 of them with replacement, always the same.

    F - 1 draws and not F, as then sums vary as the sum over the images does (McCarthy and Snowden 1985); F would make them vary
    too little by the share 1 / F.
    """
    drawn = np.random.default_rng(0).multinomial(n_folds - 1, np.full(n_folds, 1 / n_folds), N_RESAMPLES)
    return drawn.astype(np.float64)


def _chosen_shares(
    folds: Counts, category: np.ndarray, *, score: str, eligible: np.ndarray, label: np.ndarray
) -> np.ndarray:
    """(U, C) in what share of the resamples each concept is a unit's label; all 0 for a unit without one."""
    weights = resamples(len(folds.n_images))
    share = np.zeros(folds.intersection_area.shape[1:])
    possible = np.broadcast_to(eligible, share.shape)
    if score in NEED_OVERLAP:
        possible = possible & (folds.intersection_area > 0).any(0)
    best_fold = np.full(share.shape, np.inf)
    if score in RATIOS:
        best_fold = np.max([scored(score, Counts(*fold), category) for fold in zip(*folds, strict=True)], axis=0)
    for row in np.flatnonzero(label != NO_CONCEPT):

        def value_of(concepts: np.ndarray, row: np.intp = row) -> np.ndarray:
            areas = _areas(folds, category, np.full(len(concepts), row), concepts)
            return score_function(score)(*(weights @ area for area in areas[: 4 if needs_universe(score) else 3]))

        # A concept that scores less on every fold than the label does on any resample is nowhere the best.
        least = value_of(label[row : row + 1]).min()
        concepts = np.flatnonzero(possible[row] & (best_fold[row] >= least))
        value = value_of(concepts)
        best = value.argmax(1)
        best = best[value[np.arange(len(value)), best] > 0]
        share[row, concepts] = np.bincount(best, minlength=len(concepts)) / len(weights)
    return share


def p_values(score: np.ndarray, null_score: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """(U,) the chance of as high a best score as a unit has, were its masks those of other images; 1 for a dead unit.

    score: (U,) the units of one layer. null_score: (R, U) their best scores with the labels of other images. A unit with large
    masks, or with masks on few images, scores high by chance too: so each score is taken in parts of the mean of the unit's own
    null, each score of the null in parts of the mean of the unit's other rounds, and then a unit is compared with the null of all
    living units: (1 + how many reach it) / (1 + how many there are). With a single round scores are taken as they are. Equals up
    to `ROUNDING` reach each other.

    >>> p_values(np.array([0.3, 0.1]), np.array([[0.1, 0.2], [0.05, 0.1]]), np.array([True, True])).tolist()
    [0.2, 0.6]
    """
    n = len(null_score)
    mean, mean_of_others = np.ones(len(score)), np.ones(null_score.shape)
    if n > 1:
        # The sum of the other rounds from both ends: total minus own would leave rounding where the others are small.
        none = np.zeros((1, len(score)))
        before = np.concatenate([none, np.cumsum(null_score, 0)])
        after = np.concatenate([np.cumsum(null_score[::-1], 0)[::-1], none])
        mean, mean_of_others = before[-1] / n, (before[:-1] + after[1:]) / (n - 1)
    null = np.sort(_in_parts_of(null_score, mean_of_others)[:, alive], axis=None)
    least = _in_parts_of(score, mean) * (1 - ROUNDING)
    reached = len(null) - np.searchsorted(null, least, side="left")
    return np.where(alive, (1 + reached) / (1 + len(null)), 1.0)


def _in_parts_of(score: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """score / mean; 0 for a score of 0 and infinite for another one where the mean is 0."""
    return np.where(mean > 0, score / np.where(mean > 0, mean, 1), np.where(score > 0, np.inf, 0.0))


def false_discovery_rates(p: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """(U,) Benjamini and Hochberg's q over the living units of a layer: reject q < 0.05, and 5 % of those rejected are
    false, on average. 1 for a dead unit."""
    from scipy.stats import false_discovery_control

    q = np.ones(len(p))
    if alive.any():
        q[alive] = false_discovery_control(p[alive])
    return q

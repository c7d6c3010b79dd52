"""Does a score notice when the labels are wrong? The two sanity checks of Oikarinen, Yan and Weng (ICML 2025) on a finished run.

    for check in sanity(open_run("runs/mine")):
        print(check.score, check.missing.fell_share, check.extra.fell_share, check.passes)

Each detector of the run keeps its mask, and the labels of its concept are spoilt: half of the label pixels are taken away at
random (missing labels), or as many as there are are added at random elsewhere (extra labels). A score that says how well mask and
concept agree falls both times. Recall does not notice missing labels, as the concept and what is covered of it lose alike, and
precision gains by extra ones: who names units by such a score names them by the size of a concept. What is left of an overlap
after a random choice of pixels follows from its counts (a hypergeometric number), so nothing is dissected again.

Source: Evaluating Neuron Explanations: A Unified Framework with Sanity Checks, arXiv 2506.05774. They spoil the labels of whole
inputs; here it is those of pixels, which the counts are of.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data_prep.common.errors import UserError
from dissect.run_store import Run
from dissect.scores import SCORES, Counts, category_numbers, needs_universe

PASSES = 0.9
"""Share of the units whose score must fall in both checks."""

MOST_EXACT = 10**9
"""Pixels up to which numpy draws hypergeometric numbers; of more, the part that is drawn is all but independent (binomial)."""


class Spoilt(NamedTuple):
    """What became of a score: the share of the units whose score fell, and the median of score after / score before."""

    fell_share: float
    median_ratio: float


class Check(NamedTuple):
    """Of one score: n_units looked at, both checks, and whether it falls for at least `PASSES` of the units in both."""

    score: str
    n_units: int
    missing: Spoilt
    extra: Spoilt

    @property
    def passes(self) -> bool:
        """Whether the score can be trusted to notice wrong labels."""
        return min(self.missing.fell_share, self.extra.fell_share) >= PASSES


class Areas(NamedTuple):
    """Of pairs of a unit and its concept, each (n,): I, A, G and N."""

    intersection: np.ndarray
    mask: np.ndarray
    concept: np.ndarray
    universe: np.ndarray


def sanity(run: Run, seed: int = 0) -> list[Check]:
    """One check for each of `SCORES`, on the detectors of the run and their labels.

    seed: of the pixels that are chosen. Raises `UserError` for a run without detectors, and for one with the union rule
    `touched`, under which there is no number of pixels to add labels on.
    """
    if run.info["settings"].get("union") == "touched":
        raise UserError(
            "The sanity checks add labels on pixels that have none, and with `union` 'touched' each unit counts in images of "
            "its own: dissect again with `union` 'category'."
        )
    before = areas_of_labels(run)
    if not len(before.mask):
        raise UserError(
            f"No unit of {run.path} is a detector, so there is no label to check: dissect more layers, or with a lower `iou_cut`."
        )
    return check_scores(before, seed)


def check_scores(before: Areas, seed: int = 0) -> list[Check]:
    """One check for each of `SCORES`, on these pairs of a unit and its concept."""
    random = np.random.default_rng(seed)
    spoilt = missing_labels(before, random), extra_labels(before, random)
    return [Check(score, len(before.mask), *(_change(score, before, after) for after in spoilt)) for score in SCORES]


def areas_of_labels(run: Run) -> Areas:
    """The counts of each detector of the run with its label."""
    known = {pair: n for n, pair in enumerate(run.concepts[["category", "label"]].itertuples(index=False, name=None))}
    category = category_numbers(list(run.concepts["category"]), run.info["data"]["categories"])
    parts = []
    for network in run.networks:
        counts = Counts.of_arrays(run.counts(network["name"]))
        table = run.units[run.units["network"] == network["name"]].reset_index(drop=True)
        table = table[table["detector"]]
        unit = table.index.to_numpy()
        concept = np.array(
            [known[pair] for pair in table[["category", "label"]].itertuples(index=False, name=None)], int
        )
        of_category = category[concept]
        parts.append(
            (
                counts.intersection_area[unit, concept], counts.mask_area[unit, of_category],
                counts.concept_area[concept], counts.annotated_area[of_category],
            )
        )  # fmt: skip
    return Areas(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def missing_labels(areas: Areas, random: np.random.Generator) -> Areas:
    """Half of each concept's pixels, at random, have lost their label."""
    left = areas.concept // 2
    outside = areas.concept - areas.intersection
    return areas._replace(intersection=_drawn(random, areas.intersection, outside, left), concept=left)


def extra_labels(areas: Areas, random: np.random.Generator) -> Areas:
    """As many pixels as a concept has, at random among those without it, carry its label too; all where they are fewer."""
    only_mask = areas.mask - areas.intersection
    neither = areas.universe - areas.concept - only_mask
    added = np.minimum(areas.concept, only_mask + neither)
    more = _drawn(random, only_mask, neither, added)
    return areas._replace(intersection=areas.intersection + more, concept=areas.concept + added)


def _drawn(random: np.random.Generator, wanted: np.ndarray, others: np.ndarray, n_drawn: np.ndarray) -> np.ndarray:
    """How many of the wanted pixels are among `n_drawn` of the wanted and the others, drawn without replacement."""
    everything = wanted + others
    exact = everything < MOST_EXACT
    found = np.empty(len(wanted), np.int64)
    found[exact] = random.hypergeometric(wanted[exact], others[exact], n_drawn[exact])
    # A binomial number of so many pixels is as good, and each wanted one has the same chance.
    found[~exact] = random.binomial(wanted[~exact], n_drawn[~exact] / everything[~exact])
    return found


def _change(score: str, before: Areas, after: Areas) -> Spoilt:
    n = 4 if needs_universe(score) else 3
    old, new = SCORES[score](*before[:n]), SCORES[score](*after[:n])
    ratio = new[old > 0] / old[old > 0]
    return Spoilt(float((new < old).mean()), float(np.median(ratio)) if len(ratio) else 0.0)

"""Trust on units whose truth is known: slow; docs/trust.md repeats the numbers.

Every test says how often it repeats, and leaves room for three standard errors of that many repetitions.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from simulated_units import PIXELS, true_iou, trust_each, world

from dissect.scores import Counts, label_units
from dissect.trust import false_discovery_rates, p_values

pytestmark = pytest.mark.slow
N = 500
"""Units in each simulation, each with images of its own."""


def room(rate: float) -> float:
    return 3 * math.sqrt(rate * (1 - rate) / N)


CLEAR = world(20, 0.25)
NEAR = world(20, 0.02)


def test_intervals_of_a_concept_cover_its_iou() -> None:
    """500 units, 300 and 1,000 images: 95 % intervals of the first concept, whether or not it is the label."""
    truth = true_iou(CLEAR)[0]
    for n_images, rate in ((300, 0.93), (1000, 0.93)):
        covered = [
            trust.listed.iou_low[row] <= truth <= trust.listed.iou_high[row]
            for trust in trust_each(world(3, 0.25), N, n_images, seed=1)
            for row in np.flatnonzero(trust.listed.concept == 0)
        ]
        assert len(covered) > 0.99 * N
        print(f"intervals, {n_images} images: {np.mean(covered):.3f}")
        assert np.mean(covered) > rate - room(rate)


def test_intervals_of_labels_cover_a_little_less() -> None:
    """500 units, 1,000 images; the label was chosen for its high IoU."""
    for made in (CLEAR, NEAR):
        truth = true_iou(made)
        found = trust_each(made, N, 1000, seed=2)
        covered = [t.iou_low[0] <= truth[t.listed.concept[0]] <= t.iou_high[0] for t in found]
        print(f"intervals of labels: {np.mean(covered):.3f}")
        assert np.mean(covered) > 0.9 - room(0.9)


def test_held_out_iou_is_unbiased_and_iou_is_not() -> None:
    """500 units, 300 and 1,000 images: against the true IoU of the labels chosen without each fold."""
    for made in (CLEAR, NEAR, world(20, 0.1)):
        truth = true_iou(made)
        for n_images in (300, 1000):
            found = trust_each(made, N, n_images, seed=3)
            held_out = np.array([t.held_out_iou[0] for t in found])
            chosen = np.array([truth[t.replicate[:, 0]].mean() for t in found])
            naive = np.array([t.listed.iou[0] for t in found])
            error = (held_out - chosen).std() / math.sqrt(N)
            print(
                f"{n_images}: IoU {naive.mean():.4f}, held out {held_out.mean():.4f}, true {chosen.mean():.4f} +- {error:.4f}"
            )
            # A ratio of sums is biased by about 1 / n, which is 2 % of it here.
            assert abs((held_out - chosen).mean()) < 3 * error + 0.02 * chosen.mean()
            assert (naive - chosen).mean() > 5 * error if n_images == 300 else True


def test_held_out_iou_does_not_correct_the_choice_of_detectors() -> None:
    """500 units, 1,000 images, true IoU 3 % below the cut: those above it by luck are so on held-out images, too."""
    cut = 1.03 * true_iou(CLEAR).max()
    found = trust_each(CLEAR, N, 1000, seed=3)
    iou, held_out = np.array([(t.listed.iou[0], t.held_out_iou[0]) for t in found]).T
    lucky = iou > cut
    print(f"{lucky.mean():.2f} are detectors, {(held_out[lucky] > cut).mean():.3f} of them held out")
    assert 0.2 < lucky.mean() < 0.5
    assert (held_out[lucky] > cut).mean() > 0.9


def test_label_sets_hold_the_best_concept() -> None:
    """500 units: at 1,000 images nine in ten sets or more hold the concept that is best in truth; where there is little to tell
    the concepts apart (100 images), they do not, and the shares that the label keeps say so."""
    for made, n_images, least, most in (
        (CLEAR, 1000, 0.9, 1),
        (NEAR, 1000, 0.9, 1),
        (CLEAR, 300, 0.9, 1),
        (CLEAR, 100, 0.6, 0.85),
    ):
        best = int(true_iou(made).argmax())
        found = trust_each(made, N, n_images, seed=4)
        held = np.mean([best in t.listed.concept[t.listed.in_set] for t in found])
        kept = np.mean([t.kept_share[0] for t in found])
        print(f"{n_images}: held {held:.3f}, size {np.mean([t.n_set[0] for t in found]):.2f}, kept {kept:.2f}")
        assert least - room(least) < held <= most
        assert kept > 0.6 if n_images == 1000 else kept < 0.6


@pytest.mark.parametrize("share_true", [0, 0.3])
def test_the_null_keeps_its_false_discovery_rate(share_true: float) -> None:
    """300 networks of 100 units and 20 concepts on 300 images, 20 rounds: units differ in how many images hold their masks."""
    rng, shape, n_units = np.random.default_rng(5), (300, 20), 100
    is_true, alive = np.arange(n_units) < share_true * n_units, np.ones(n_units, np.bool_)
    rates, found = [], []
    for _ in range(300):
        concept = np.where(rng.random(shape) < rng.uniform(0.02, 0.4, 20), rng.lognormal(6, 1, shape), 0)
        concept = np.minimum(concept, PIXELS / 2)
        spread = rng.uniform(0.2, 1, n_units)
        mask = np.minimum(rng.gamma(spread, 100 / spread, (300, n_units)), PIXELS / 2)
        own = rng.integers(0, 20, n_units)[is_true]
        mask[:, is_true] *= np.where(
            concept[:, own] > 0, 10, 0.5
        )  # on other images than its own concept, hardly anything
        null = np.stack(
            [best_by_chance(rng, mask, np.roll(concept, shift, axis=0)) for shift in rng.permutation(299)[:20] + 1]
        )
        q = false_discovery_rates(p_values(best_by_chance(rng, mask, concept), null, alive), alive)
        called = q < 0.05
        rates.append((called & ~is_true).sum() / max(called.sum(), 1))
        found.append(called[is_true].mean() if is_true.any() else 0)
    error = np.std(rates) / math.sqrt(len(rates))
    print(
        f"true units {share_true:.0%}: false-discovery rate {np.mean(rates):.3f} +- {error:.3f}, found {np.mean(found):.2f}"
    )
    assert np.mean(rates) < 0.05 + 3 * error
    assert not share_true or np.mean(found) > 0.2


def best_by_chance(rng: np.random.Generator, mask: np.ndarray, concept: np.ndarray) -> np.ndarray:
    """(U,) the best IoU of masks (n, U) and concepts (n, C) whose pixels lie independently in each image."""
    both = np.minimum(rng.poisson(mask.T @ concept / PIXELS), concept.sum(0).astype(np.int64))
    areas = mask.sum(0).astype(np.int64)[:, None], concept.sum(0).astype(np.int64)
    counts = Counts(both, *areas, np.full(concept.shape[1], 99), np.array([len(mask) * PIXELS]))
    return label_units("iou", counts, np.zeros(len(areas[1]), np.int64), np.ones(len(areas[1]), np.bool_)).score

"""Units whose true overlap is known: images at random, each with a mask and concepts on it.

    truth = true_iou(world)                       # (C,) of infinitely many images, nearly
    images = draw(world, rng, n_units, n_images)  # areas by image, for `by_fold`
    folds = by_fold(images)                       # one `Counts` by ten folds for each unit

Masks are large on some images and small on others (gamma), concepts are on some images only, with sizes over two orders of
magnitude (log-normal), and overlap differs from image to image (beta): as on photographs, a few images decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from dissect.scores import Counts
from dissect.trust import Trust, trust_of

N_FOLDS = 10
PIXELS = 10_000


class World(NamedTuple):
    """overlap: (C,) mean share of min(A, G) that is in both, on an image that shows the concept. shown: the share of images that
    do. spread: of the masks over the images; the smaller, the fewer images hold most of the mask."""

    overlap: np.ndarray
    shown: float = 0.25
    spread: float = 0.3


class Images(NamedTuple):
    """I, G (n_units, n_images, C) and A (n_units, n_images, 1), int64."""

    intersection: np.ndarray
    concept: np.ndarray
    mask: np.ndarray


def world(n_concepts: int, lead: float, **more: float) -> World:
    """The first concept overlaps by 0.6, the second by `lead` less, the others by 0.35."""
    return World(np.array([0.6, 0.6 - lead, *[0.35] * (n_concepts - 2)]), **more)


def draw(world: World, rng: np.random.Generator, n_units: int, n_images: int) -> Images:
    shape = (n_units, n_images, len(world.overlap))
    concept = np.where(rng.random(shape) < world.shown, rng.lognormal(6, 1, shape), 0)
    mask = rng.gamma(world.spread, 400 / world.spread, (n_units, n_images, 1))
    both = np.minimum(mask, concept) * rng.beta(2 * world.overlap, 2 * (1 - world.overlap), shape)
    return Images(*(np.rint(np.minimum(area, PIXELS)).astype(np.int64) for area in (both, concept, mask)))


def true_iou(world: World) -> np.ndarray:
    """(C,) from a million images, which know it to about 0.5 %."""
    rng, n = np.random.default_rng(99), 50_000
    areas = [[area.sum((0, 1)) for area in draw(world, rng, 1, n)] for _ in range(20)]
    i, g, a = (sum(part) for part in zip(*areas, strict=True))
    return i / (a + g - i)


def by_fold(images: Images) -> Iterator[Counts]:
    """One for each unit, as each has images of its own."""
    n = images.intersection.shape[1] // N_FOLDS * N_FOLDS
    i, g, a = (area[:, :n].reshape(len(area), N_FOLDS, n // N_FOLDS, -1).sum(2) for area in images)
    for unit in range(len(i)):
        yield Counts(
            i[unit][:, None], a[unit][:, None], g[unit], np.full(g[unit].shape, 99), np.full((N_FOLDS, 1), PIXELS * n)
        )


def trust_each(world: World, n_units: int, n_images: int, seed: int) -> list[Trust]:
    """What is said of each of `n_units` units of this world on images of its own."""
    images = draw(world, np.random.default_rng(seed), n_units, n_images)
    n, every = len(world.overlap), np.ones(1, np.bool_)
    category, eligible = np.zeros(n, np.int64), np.ones(n, np.bool_)
    return [trust_of(folds, category, score="iou", eligible=eligible, alive=every) for folds in by_fold(images)]

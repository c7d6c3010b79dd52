"""State merges: split the data any way, add and pool the parts in any order, and get the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from brute_force import quantile

from data_prep.common.errors import UserError
from data_prep.formats import NO_CONCEPT, ImageLabels
from dissect.strongest import StrongestImages
from dissect.tally import Tally, flatten
from dissect.thresholds import UpperTail
from dissect.upsample import half_pixel_axis

N_IMAGES, N_UNITS, SIDE = 50, 6, 5
LEVELS = [0.3, 0.9, 0.995]


def activations(seed: int) -> np.ndarray:
    """(N_IMAGES, N_UNITS, SIDE, SIDE) float32: continuous, tied, saturated, mostly zero, constant, negative."""
    normal = np.random.default_rng(seed).standard_normal((N_UNITS, N_IMAGES, SIDE, SIDE)).astype(np.float32)
    kinds = [normal[0], np.rint(normal[1]), np.minimum(normal[2], 0.5), np.maximum(normal[3] - 2, 0)]
    return np.stack([*kinds, np.full_like(normal[4], 3), -np.exp(normal[5])], 1).astype(np.float32)


def parts(seed: int) -> list[np.ndarray]:
    """The image numbers in random order, cut at random places; some parts are empty."""
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.integers(0, N_IMAGES + 1, rng.integers(1, 9)))
    return np.split(rng.permutation(N_IMAGES), cuts)


def pooled(states: list, seed: int):
    """Merge in random pairs until one is left."""
    rng = np.random.default_rng(seed)
    while len(states) > 1:
        a, b = (states.pop(rng.integers(len(states))) for _ in range(2))
        a.merge(b)
        states.append(a)
    return states[0]


def tail_of(maps: np.ndarray, images: np.ndarray, level: float) -> UpperTail:
    tail = UpperTail(N_UNITS, N_IMAGES * SIDE * SIDE, level)
    for i in images:
        tail.add(maps[i], np.arange(N_UNITS))
    return tail


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", range(6))
def test_upper_tails(seed, level):
    maps = activations(seed)
    expected = np.array([quantile(maps[:, u].ravel(), level) for u in range(N_UNITS)], np.float32) + np.float32(0)
    tail = pooled([tail_of(maps, images, level) for images in parts(seed)], seed)
    assert tail.quantile(N_IMAGES * SIDE * SIDE).tobytes() == expected.tobytes()


@pytest.mark.parametrize("level", LEVELS)
def test_a_tail_that_drops_what_lies_below_its_bound(level):
    """The engine leaves out maps below the bound; pooling tails whose bounds rose apart must still be exact."""
    maps = activations(9)
    tails = []
    for images in parts(3):
        tail = UpperTail(N_UNITS, N_IMAGES * SIDE * SIDE, level)
        for i in images:
            units = np.flatnonzero(maps[i].max(axis=(1, 2)) > tail.bound)
            tail.add(maps[i][units], units)
        tails.append(tail)
    expected = np.array([quantile(maps[:, u].ravel(), level) for u in range(N_UNITS)], np.float32) + np.float32(0)
    assert pooled(tails, 1).quantile(N_IMAGES * SIDE * SIDE).tobytes() == expected.tobytes()


@pytest.mark.parametrize("n_images", [1, 2, 17, 49])
@pytest.mark.parametrize("level", LEVELS)
def test_a_tail_made_for_more_images_than_came(level, n_images):
    """Bad images are skipped, so fewer values may come than the tail was made for."""
    maps = activations(4)[:n_images]
    expected = np.array([quantile(maps[:, u].ravel(), level) for u in range(N_UNITS)], np.float32) + np.float32(0)
    assert tail_of(maps, np.arange(n_images), level).quantile(n_images * SIDE * SIDE).tobytes() == expected.tobytes()


def test_a_tail_refuses_to_guess():
    maps = activations(5)
    tail = tail_of(maps, np.arange(N_IMAGES), 0.5)
    with pytest.raises(UserError, match="made for fewer"):
        tail.quantile(2 * N_IMAGES * SIDE * SIDE)
    with pytest.raises(ValueError, match="cannot be pooled"):
        tail.merge(UpperTail(N_UNITS, 10, 0.5))
    with pytest.raises(UserError, match="not all were added"):
        tail_of(maps, np.arange(2), 0.5).quantile(N_IMAGES * SIDE * SIDE)


def test_numpy_agrees_with_the_reference_quantile():
    values = activations(6)[:, 0].ravel()
    assert quantile(values, 0.995) == pytest.approx(float(np.quantile(values.astype(np.float64), 0.995)), rel=1e-6)
    assert quantile(np.array([1, 3], np.float32), 0.25) == 1.5


@pytest.mark.parametrize("n_kept", [1, 4, N_IMAGES + 3])
@pytest.mark.parametrize("seed", range(4))
def test_strongest_images(seed, n_kept):
    peaks = np.rint(4 * activations(seed).max(axis=(2, 3)))  # many ties
    states = []
    for images in parts(seed):
        state = StrongestImages(N_UNITS, n_kept)
        for batch in np.array_split(images, 3):
            state.add(peaks[batch], batch)
        states.append(state)
    state = pooled(states, seed)
    for unit in range(N_UNITS):
        order = sorted(range(N_IMAGES), key=lambda i: (-peaks[i, unit], i))[:n_kept]
        assert state.image[unit].tolist() == order + [-1] * (n_kept - len(order))
        assert state.peak[unit, : len(order)].tolist() == peaks[order, unit].tolist()


def labels_of(i: int) -> ImageLabels:
    """Concepts 0 to 5 in two planes of category 0 and one of category 1; concepts 6 and 7 for whole images."""
    rng = np.random.default_rng(i)
    planes = rng.integers(NO_CONCEPT, 3, (3, 8, 8)).astype(np.int32)
    planes[2][planes[2] >= 0] += 3
    return ImageLabels(planes[: i % 4], np.array([0, 0, 1], np.int32)[: i % 4], np.arange(6, 6 + i % 3, dtype=np.int32))


@pytest.mark.parametrize("union", ["category", "all-images", "touched"])
@pytest.mark.parametrize("seed", range(3))
def test_tallies(seed, union):
    maps, category = activations(seed), np.array([0, 0, 0, 1, 1, 1, 2, 2], np.int32)
    axis, thresholds = half_pixel_axis(SIDE, 8), np.full(N_UNITS, 0.25, np.float32)

    def tally_of(images: np.ndarray) -> Tally:
        tally = Tally(N_UNITS, 8, 3, union)
        for i in images:
            seen = flatten(labels_of(i), category, 3)
            tally.add_labels(seen)
            for units in np.array_split(np.random.default_rng(i).permutation(N_UNITS), 2):  # a layer at a time
                tally.add_masks(
                    seen, maps[i][units], unit_rows=units, thresholds=thresholds[units], rows=axis, columns=axis
                )
        return tally

    whole, split = tally_of(np.arange(N_IMAGES)), pooled([tally_of(images) for images in parts(seed)], seed)
    assert whole.intersection_area.any(axis=0).all() and whole.mask_area.any(axis=0).all()
    for name in ("intersection_area", "mask_area", "concept_area", "n_images"):
        np.testing.assert_array_equal(getattr(split, name), getattr(whole, name))
        assert getattr(split, name).dtype == np.int64

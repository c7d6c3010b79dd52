"""What must hold for any maps, labels and splits of the images: formats, thresholds, masks and counts."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from data_prep.common.errors import UserError
from data_prep.formats import NO_CONCEPT, ImageLabels, decode_label_map, encode_label_map
from dissect.strongest import StrongestImages
from dissect.tally import Tally, flatten, positions_above
from dissect.thresholds import UpperTail
from dissect.upsample import half_pixel_axis

shapes = arrays.array_shapes(min_dims=2, max_dims=2, max_side=12)
floats = st.floats(-(2.0**60), 2.0**60, width=32)
sizes = st.integers(1, 9)


@given(arrays.arrays(np.int64, shapes, elements=st.integers(0, 0xFFFF)))
def test_label_maps_come_back(numbers: np.ndarray) -> None:
    encoded = encode_label_map(numbers)
    assert encoded.dtype == np.uint8 and encoded.shape == (*numbers.shape, 3)
    np.testing.assert_array_equal(decode_label_map(encoded), numbers)
    np.testing.assert_array_equal(encoded[..., 0] + 256 * encoded[..., 1].astype(int), numbers)


@given(
    arrays.arrays(np.int64, shapes, elements=st.integers(0, 0xFFFF)), st.sampled_from([-1, 0x10000, -(2**40), 2**40])
)
def test_label_numbers_that_do_not_fit_are_refused(numbers: np.ndarray, wrong: int) -> None:
    numbers[-1, -1] = wrong
    with pytest.raises(UserError, match=r"must lie in 0\.\.65535"):
        encode_label_map(numbers)


@st.composite
def split_maps(draw: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    """(N, U, h, w) float32 activations, ties among them, and the numbers of the images in any order, cut anywhere."""
    n_images = draw(st.integers(1, 12))
    shape = n_images, draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    few = st.sampled_from(draw(st.lists(floats, min_size=1, max_size=4)))
    maps = draw(arrays.arrays(np.float32, shape, elements=draw(st.sampled_from([floats, few]))))
    order = np.array(draw(st.permutations(range(n_images))))
    return maps, np.split(order, sorted(draw(st.lists(st.integers(0, n_images), max_size=4))))


@given(split_maps(), st.floats(0.001, 0.9999))
def test_thresholds_are_numpys_quantiles(made: tuple[np.ndarray, list[np.ndarray]], level: float) -> None:
    """However the images are split and in whatever order the parts are pooled."""
    maps, parts = made
    n_images, n_units, h, w = maps.shape
    tails = []
    for part in parts:
        tail = UpperTail(n_units, n_images * h * w, level)
        for image in part:
            tail.add(maps[image], np.arange(n_units))
        tails.append(tail)
    while len(tails) > 1:
        tails[0].merge(tails.pop())
    expected = np.quantile(maps.transpose(1, 0, 2, 3).reshape(n_units, -1), level, axis=1).astype(np.float32)
    np.testing.assert_array_equal(tails[0].quantile(n_images * h * w), expected)


@given(split_maps())
def test_the_strongest_images_do_not_depend_on_the_split(made: tuple[np.ndarray, list[np.ndarray]]) -> None:
    maps, parts = made
    peaks = maps.max((2, 3))
    kept = []
    for part in parts:
        state = StrongestImages(maps.shape[1], 3)
        if len(part):
            state.add(peaks[part], part)
        kept.append(state)
    while len(kept) > 1:
        kept[0].merge(kept.pop())
    for unit in range(maps.shape[1]):
        by_peak = sorted(range(len(maps)), key=lambda image, unit=unit: (-peaks[image, unit], image))[:3]
        assert kept[0].image[unit][: len(by_peak)].tolist() == by_peak


@given(sizes, st.integers(1, 30))
def test_pixels_lie_where_half_pixel_centres_say(n_cells: int, n_pixels: int) -> None:
    """Each pixel in one interval, its weight that of (y + 1/2) n / N - 1/2, clamped, in whole numbers of `whole`."""
    axis = half_pixel_axis(n_cells, n_pixels)
    assert axis.start[0] == 0 and axis.start[-1] == n_pixels == axis.n_pixels and (np.diff(axis.start) >= 0).all()
    cell = np.repeat(np.arange(n_cells), np.diff(axis.start))
    for pixel in range(n_pixels):
        place = Fraction(2 * pixel + 1, 2) * n_cells / n_pixels - Fraction(1, 2)
        place = min(max(place, Fraction(0)), Fraction(n_cells - 1))
        assert Fraction(axis.weight[pixel]) / Fraction(axis.whole) == place - int(cell[pixel])
    assert ((axis.weight >= 0) & (axis.weight < axis.whole)).all() and (axis.weight == np.rint(axis.weight)).all()


@given(floats, sizes, sizes, st.integers(1, 20), st.integers(1, 20))
def test_a_constant_map_stays_constant(value: float, h: int, w: int, height: int, width: int) -> None:
    """Strictly above: at its own value as threshold it has no mask, at the next smaller one the whole image."""
    unit_map = np.full((h, w), value, np.float32)
    rows, columns = half_pixel_axis(h, height), half_pixel_axis(w, width)
    positions = np.empty(height * width, np.int32)
    at, below = np.float32(value), np.nextafter(np.float32(value), np.float32(-np.inf))
    assert positions_above(unit_map, float(at), rows, columns, positions) == 0
    assert positions_above(unit_map, float(below), rows, columns, positions) == height * width
    np.testing.assert_array_equal(np.sort(positions), np.arange(height * width))


@st.composite
def labelled(draw: Any) -> tuple[list[ImageLabels], np.ndarray, np.ndarray]:
    """Images with two planes of category 0 and one of category 1, maps of whole numbers, and thresholds of halves."""
    n_images, h, w = draw(st.integers(1, 6)), draw(sizes), draw(sizes)
    height, width = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    images = []
    for _ in range(n_images):
        planes = draw(arrays.arrays(np.int32, (3, height, width), elements=st.sampled_from([NO_CONCEPT, 0, 1])))
        planes[2][planes[2] >= 0] += 2
        whole = np.array(sorted(draw(st.sets(st.sampled_from([3, 4])))), np.int32)
        images.append(ImageLabels(planes, np.array([0, 0, 1], np.int32), whole))
    maps = draw(arrays.arrays(np.int8, (n_images, 2, h, w), elements=st.integers(-4, 4))).astype(np.float32)
    return images, maps, np.array(draw(st.tuples(*[st.integers(-8, 8)] * 2)), np.float32) / 2


CATEGORY = np.array([0, 0, 1, 1, 2])
"""Of each concept."""


def _masks(unit_map: np.ndarray, threshold: float, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool, every pixel in rational arithmetic."""

    def along(values: list, n_pixels: int) -> list:
        n, out = len(values), []
        for pixel in range(n_pixels):
            place = min(max(Fraction(2 * pixel + 1, 2) * n / n_pixels - Fraction(1, 2), Fraction(0)), Fraction(n - 1))
            low = int(place)
            share = place - low
            above = values[min(low + 1, n - 1)]
            out.append([(1 - share) * a + share * b for a, b in zip(values[low], above, strict=True)])
        return out

    exact = [[Fraction(float(v)) for v in row] for row in unit_map]
    columns = along([list(c) for c in zip(*along(exact, shape[0]), strict=True)], shape[1])
    return np.array([[value > Fraction(float(threshold)) for value in row] for row in zip(*columns, strict=True)])


@given(labelled(), st.integers(0, 5), st.sampled_from(["category", "all-images", "touched"]))
def test_counts_are_those_of_dense_masks_in_any_split(made: Any, cut: int, union: Any) -> None:
    images, maps, thresholds = made
    parts = [Tally(2, 5, 3, union), Tally(2, 5, 3, union)]
    intersection, mask_area = np.zeros((2, 5), int), np.zeros((2, 3), int)
    concept_area, n_images = np.zeros(5, int), np.zeros(5, int)
    members = [k == CATEGORY for k in range(3)]
    for number, labels in enumerate(images):
        shape = labels.planes.shape[1:]
        rows, columns = half_pixel_axis(maps.shape[2], shape[0]), half_pixel_axis(maps.shape[3], shape[1])
        seen = flatten(labels, CATEGORY, 3)
        tally = parts[number > cut]
        tally.add_labels(seen)
        tally.add_masks(
            seen, maps[number], unit_rows=np.arange(2), thresholds=thresholds, rows=rows, columns=columns
        )  # fmt: skip
        where = np.stack([(labels.planes == c).any(0) | (c in labels.whole_image) for c in range(5)])
        annotated = np.array([where[members[k]].any() for k in range(3)])
        concept_area += where.sum((1, 2))
        n_images += where.any((1, 2))
        for unit in range(2):
            mask = _masks(maps[number, unit], thresholds[unit], shape)
            intersection[unit] += (where & mask).sum((1, 2))
            met = np.array([(where[members[k]] & mask).any() for k in range(3)])
            counts_in = {"category": annotated, "all-images": np.ones(3, bool), "touched": met}[union]
            mask_area[unit] += mask.sum() * counts_in
    parts[0].merge(parts[1])
    np.testing.assert_array_equal(parts[0].intersection_area, intersection)
    np.testing.assert_array_equal(parts[0].mask_area, mask_area)
    np.testing.assert_array_equal(parts[0].concept_area, concept_area)
    np.testing.assert_array_equal(parts[0].n_images, n_images)
    assert (parts[0].intersection_area <= parts[0].concept_area).all()

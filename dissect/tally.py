"""Count, in integers, where the masks of units and the labels of images meet.

    tally = Tally(n_units, n_concepts, n_categories, union="category")
    seen = flatten(labels, concept_category, n_categories)
    tally.add_labels(seen)
    tally.add_masks(seen, maps, unit_rows=unit_rows, thresholds=thresholds, rows=rows, columns=columns)
    tally.intersection_area[k, c]             # I: pixels in both the mask of unit k and concept c, over all images

Counts pool over images and add up over any split of them: two tallies merge by addition (method, part A.1, row 5).

A map is interpolated bilinearly with whole-number weights, and compared with the threshold times the sum of the weights:
products and sums of float32 values with such weights are exact in float64 (unless the four neighbours differ by more than
a factor of a thousand or so), so no order of operations can move a pixel across a threshold that it equals. Between four
neighbours none of which is above the threshold no pixel is: whole cells, and whole maps, can be passed over without
changing a single count.

Two units of 1 x 2 cells on an image of 1 x 4 label pixels, the left half of which is concept 0; both exceed 0.5 on two pixels:

>>> from dissect.upsample import half_pixel_axis
>>> labels = ImageLabels(np.array([[[0, 0, -1, -1]]], np.int32), np.array([0], np.int32), np.zeros(0, np.int32))
>>> seen = flatten(labels, concept_category=np.array([0]), n_categories=1)
>>> tally = Tally(n_units=2, n_concepts=1, n_categories=1, union="category")
>>> tally.add_labels(seen)
>>> maps, thresholds = np.array([[[1, 0]], [[0, 1]]], np.float32), np.array([0.5, 0.5], np.float32)
>>> rows, columns = half_pixel_axis(1, 1), half_pixel_axis(2, 4)
>>> tally.add_masks(seen, maps, unit_rows=np.array([0, 1]), thresholds=thresholds, rows=rows, columns=columns)
>>> tally.intersection_area.tolist(), tally.mask_area.tolist(), tally.concept_area.tolist()
([[2], [0]], [[2], [2]], [2])
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data_prep.formats import NO_CONCEPT, ImageLabels
from dissect.compiled import compiled
from dissect.settings import UnionRule
from dissect.upsample import Axis


class FlatLabels(NamedTuple):
    """The labels of one image, ready to be counted.

    planes: (P, H * W) int32 concept indices; a concept that a pixel carries twice, or the whole image carries, is in one
    place only.
    plane_category: (P,) int32. whole_image, whole_category: (n,) int32. annotated: (K,) bool.
    """

    planes: np.ndarray
    plane_category: np.ndarray
    whole_image: np.ndarray
    whole_category: np.ndarray
    annotated: np.ndarray


def flatten(labels: ImageLabels, concept_category: np.ndarray, n_categories: int) -> FlatLabels:
    """concept_category: (C,) the category of each concept. A category counts as annotated in the image where some pixel,
    or the whole image, carries one of its labels."""
    planes = labels.planes.reshape(len(labels.planes), labels.shape[0] * labels.shape[1]).copy()
    planes[np.isin(planes, labels.whole_image)] = NO_CONCEPT  # the whole image carries these already
    for p, category in enumerate(labels.plane_category):
        for q in np.flatnonzero(labels.plane_category[:p] == category):
            planes[p][planes[p] == planes[q]] = NO_CONCEPT
    whole_category = concept_category[labels.whole_image].astype(np.int32)
    annotated = np.zeros(n_categories, np.bool_)
    annotated[whole_category] = True
    for plane, category in zip(planes, labels.plane_category, strict=True):
        annotated[category] |= bool((plane != NO_CONCEPT).any())
    return FlatLabels(planes, labels.plane_category, labels.whole_image, whole_category, annotated)


class Tally:
    """intersection_area (U, C), mask_area (U, K), concept_area (C,), n_images (C,): int64.

    union: which images a unit's mask area counts in for a concept of category K: `category` those in which some label of K is
    annotated (Bau et al. 2017), `all-images` every image, `touched` those in which the mask meets some label of K.
    """

    def __init__(self, n_units: int, n_concepts: int, n_categories: int, union: UnionRule) -> None:
        self.union: UnionRule = union
        self.intersection_area = np.zeros((n_units, n_concepts), np.int64)
        self.mask_area = np.zeros((n_units, n_categories), np.int64)
        self.concept_area = np.zeros(n_concepts, np.int64)
        self.n_images = np.zeros(n_concepts, np.int64)

    def add_labels(self, seen: FlatLabels) -> None:
        """Count the concepts of one image; to be called once for each image."""
        area = np.zeros_like(self.concept_area)
        for plane in seen.planes:
            area += np.bincount(plane[plane != NO_CONCEPT], minlength=len(area))
        area[seen.whole_image] += seen.planes.shape[1]
        self.concept_area += area
        self.n_images += area > 0

    def add_masks(
        self,
        seen: FlatLabels,
        maps: np.ndarray,
        *,
        unit_rows: np.ndarray,
        thresholds: np.ndarray,
        rows: Axis,
        columns: Axis,
    ) -> None:
        """Count the masks of some units on one image. maps: (n, h, w) float32; unit_rows: (n,) rows of this tally;
        thresholds: (n,) float32; rows, columns: where the label map's pixels lie on the maps."""
        counts_in = np.ones_like(seen.annotated) if self.union == "all-images" else seen.annotated
        _count(
            maps, unit_rows, thresholds, rows, columns, seen, counts_in, self.union == "touched",
            self.intersection_area, self.mask_area,
        )  # fmt: skip

    def merge(self, other: Tally) -> None:
        """Add the counts of other images."""
        for name in ("intersection_area", "mask_area", "concept_area", "n_images"):
            getattr(self, name)[...] += getattr(other, name)


# Both compiled functions stay in this file: numba keys its cache of a function by that function's file alone. What is
# compiled takes its arguments by position.
@compiled
def positions_above(  # pragma: no cover - compiled
    unit_map: np.ndarray, threshold: float, rows: Axis, columns: Axis, positions: np.ndarray
) -> int:
    """Fill `positions` with the flat indices (row-major, H x W) of the pixels strictly above `threshold`; their number.

    unit_map: (h, w) float32. Only cells with a corner above the threshold are interpolated.
    """
    h, w = unit_map.shape
    width = columns.weight.size
    row_limit = threshold * rows.whole
    limit = row_limit * columns.whole
    n = 0
    for i in range(h):
        below = min(i + 1, h - 1)
        for j in range(w):
            right = min(j + 1, w - 1)
            a, b = np.float64(unit_map[i, j]), np.float64(unit_map[i, right])
            c, d = np.float64(unit_map[below, j]), np.float64(unit_map[below, right])
            if not (a > threshold or b > threshold or c > threshold or d > threshold):
                continue
            for y in range(rows.start[i], rows.start[i + 1]):
                lower = rows.weight[y]
                upper = rows.whole - lower
                left_value, right_value = upper * a + lower * c, upper * b + lower * d
                if not (left_value > row_limit or right_value > row_limit):
                    continue
                for x in range(columns.start[j], columns.start[j + 1]):
                    weight = columns.weight[x]
                    if (columns.whole - weight) * left_value + weight * right_value > limit:
                        positions[n] = y * width + x
                        n += 1
    return n


@compiled
def _count(  # pragma: no cover - compiled
    maps: np.ndarray,
    unit_rows: np.ndarray,
    thresholds: np.ndarray,
    rows: Axis,
    columns: Axis,
    seen: FlatLabels,
    counts_in: np.ndarray,
    only_touched: bool,
    intersection_area: np.ndarray,
    mask_area: np.ndarray,
) -> None:
    mask = np.empty(rows.weight.size * columns.weight.size, np.int32)
    counted = counts_in.copy()
    for m in range(len(maps)):
        unit = unit_rows[m]
        area = positions_above(maps[m], np.float64(thresholds[m]), rows, columns, mask)
        if area == 0:
            continue
        if only_touched:
            counted[:] = False
            counted[seen.whole_category] = True
        for p in range(len(seen.planes)):
            plane = seen.planes[p]
            hits = 0
            for n in range(area):
                concept = plane[mask[n]]
                if concept >= 0:
                    intersection_area[unit, concept] += 1
                    hits += 1
            if only_touched and hits > 0:
                counted[seen.plane_category[p]] = True
        for concept in seen.whole_image:
            intersection_area[unit, concept] += area
        for category in range(len(counted)):
            if counted[category]:
                mask_area[unit, category] += area

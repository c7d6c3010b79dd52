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

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data_prep.formats import ImageLabels
from dissect.compiled import compiled
from dissect.settings import UnionRule
from dissect.upsample import Axis


class FlatLabels(NamedTuple):
    """The labels of one image, ready to be counted.

    planes: (P, H * W) int32 concept indices; a concept that a pixel carries twice, or the whole image carries, is in one
    place only.
    plane_category: (P,) int32. whole_image, whole_category: (n,) int32. annotated: (K,) bool. concept_area: (C,) int64.
    """

    planes: np.ndarray
    plane_category: np.ndarray
    whole_image: np.ndarray
    whole_category: np.ndarray
    annotated: np.ndarray
    concept_area: np.ndarray


def flatten(labels: ImageLabels, concept_category: np.ndarray, n_categories: int) -> FlatLabels:
    """concept_category: (C,) the category of each concept. A category counts as annotated in the image where some pixel,
    or the whole image, carries one of its labels. Raises `ValueError` for a concept that there is not."""
    planes = np.array(labels.planes.reshape(len(labels.planes), labels.shape[0] * labels.shape[1]), np.int32)
    plane_category, whole_image = (np.array(a, np.int32) for a in (labels.plane_category, labels.whole_image))
    whole_category = concept_category[whole_image].astype(np.int32)
    concept_area, annotated = np.zeros(len(concept_category), np.int64), np.zeros(n_categories, np.bool_)
    in_use, is_whole = np.zeros(len(planes), np.bool_), np.zeros(len(concept_category), np.bool_)
    is_whole[whole_image] = True
    largest = _flatten(planes, plane_category, is_whole, concept_area, in_use)
    if largest >= len(concept_category):
        raise ValueError(
            f"A label map holds concept {largest}, but the set has {len(concept_category)}, counted from 0."
        )
    concept_area[whole_image] = planes.shape[1]
    annotated[whole_category] = annotated[plane_category[in_use]] = True
    return FlatLabels(planes, plane_category, whole_image, whole_category, annotated, concept_area)


class LabelStack(NamedTuple):
    """The labels of some images whose label maps have one size, one image behind the other.

    planes, plane_category, whole_image, whole_category: those of all the images. first_plane, first_whole: (B + 1,) where each
    image's begin. counts_in: (B, K) bool, the categories in which a mask on the image counts, whatever it meets. fold: (B,).
    """

    planes: np.ndarray
    plane_category: np.ndarray
    first_plane: np.ndarray
    whole_image: np.ndarray
    whole_category: np.ndarray
    first_whole: np.ndarray
    counts_in: np.ndarray
    fold: np.ndarray


def stack(seen: Sequence[FlatLabels], fold: np.ndarray, union: UnionRule) -> LabelStack:
    """fold: (B,) of each of the images."""
    annotated = np.stack([labels.annotated for labels in seen])
    return LabelStack(
        planes=np.concatenate([labels.planes for labels in seen]),
        plane_category=np.concatenate([labels.plane_category for labels in seen]),
        first_plane=np.cumsum([0, *(len(labels.planes) for labels in seen)]),
        whole_image=np.concatenate([labels.whole_image for labels in seen]),
        whole_category=np.concatenate([labels.whole_category for labels in seen]),
        first_whole=np.cumsum([0, *(len(labels.whole_image) for labels in seen)]),
        counts_in={"category": annotated, "all-images": np.ones_like(annotated), "touched": np.zeros_like(annotated)}[
            union
        ],
        fold=fold,
    )


class Masks(NamedTuple):
    """Maps of a layer whose masks are to be counted against a `LabelStack`.

    maps: (n, h, w) float32. first, end: (n,) int64, each mask is counted against the labels of the stack's images from `first` to
    before `end`; equal for a map that has nothing to do with them. unit_rows: (n,) int64, rows of the tables of counts.
    thresholds: (n,) float32. bits_row: (n,) int64, where its bits are wanted; -1 where they are not. area: (n,) int64, takes the
    pixels of each mask.
    """

    maps: np.ndarray
    first: np.ndarray
    end: np.ndarray
    unit_rows: np.ndarray
    thresholds: np.ndarray
    bits_row: np.ndarray
    area: np.ndarray


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
        self.concept_area += seen.concept_area
        self.n_images += seen.concept_area > 0

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
        zero = np.zeros(len(maps), np.int64)
        rows_of = unit_rows.astype(np.int64)
        masks = Masks(np.ascontiguousarray(maps), zero, zero + 1, rows_of, thresholds, zero - 1, zero.copy())
        count_masks(
            masks, 0, len(self.mask_area), rows, columns, stack([seen], np.zeros(1, np.int64), self.union),
            self.union == "touched", np.zeros((0, 0), np.uint8), self.intersection_area[None], self.mask_area[None],
        )  # fmt: skip

    def merge(self, other: Tally) -> None:
        """Add the counts of other images."""
        for name in ("intersection_area", "mask_area", "concept_area", "n_images"):
            getattr(self, name)[...] += getattr(other, name)


# All compiled functions stay in this file: numba keys its cache of a function by that function's file alone. What is
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
def count_masks(  # pragma: no cover - compiled
    masks: Masks,
    first_row: int,
    end_row: int,
    rows: Axis,
    columns: Axis,
    labels: LabelStack,
    only_touched: bool,
    bits: np.ndarray,
    intersection_area: np.ndarray,
    mask_area: np.ndarray,
) -> None:
    """Count the masks of units in the rows from `first_row` to before `end_row` in tables (F, U, C) and (F, U, K): threads that
    take other rows do not meet. bits: (m, bytes) uint8, 0; takes the bits of the masks that are wanted."""
    mask = np.empty(rows.weight.size * columns.weight.size, np.int32)
    for m in range(len(masks.maps)):
        unit = masks.unit_rows[m]
        if masks.first[m] == masks.end[m] or unit < first_row or unit >= end_row:
            continue
        area = positions_above(masks.maps[m], np.float64(masks.thresholds[m]), rows, columns, mask)
        masks.area[m] = area
        if area == 0:
            continue
        for b in range(masks.first[m], masks.end[m]):
            fold = labels.fold[b]
            areas, counted = intersection_area[fold, unit], labels.counts_in[b].copy()
            for p in range(labels.first_plane[b], labels.first_plane[b + 1]):
                plane = labels.planes[p]
                hits = 0
                for n in range(area):
                    concept = plane[mask[n]]
                    if concept >= 0:
                        areas[concept] += 1
                        hits += 1
                if only_touched and hits > 0:
                    counted[labels.plane_category[p]] = True
            for w in range(labels.first_whole[b], labels.first_whole[b + 1]):
                areas[labels.whole_image[w]] += area
                if only_touched:
                    counted[labels.whole_category[w]] = True
            for category in range(len(counted)):
                if counted[category]:
                    mask_area[fold, unit, category] += area
        if masks.bits_row[m] >= 0:
            packed = bits[masks.bits_row[m]]
            for n in range(area):
                packed[mask[n] >> 3] |= np.uint8(128 >> (mask[n] & 7))


@compiled
def _flatten(  # pragma: no cover - compiled
    planes: np.ndarray, plane_category: np.ndarray, is_whole: np.ndarray, concept_area: np.ndarray, in_use: np.ndarray
) -> int:
    """Leave each concept of a pixel in one place, count its pixels, and mark the planes that hold any. The largest concept."""
    largest = -1
    for p in range(len(planes)):
        for n in range(planes.shape[1]):
            concept = planes[p, n]
            if concept < 0:
                continue
            if concept >= len(concept_area):
                largest = max(largest, concept)
                continue
            again = is_whole[concept]
            for q in range(p):
                again |= plane_category[q] == plane_category[p] and planes[q, n] == concept
            if again:
                planes[p, n] = -1
            else:
                concept_area[concept] += 1
                in_use[p] = True
    return largest

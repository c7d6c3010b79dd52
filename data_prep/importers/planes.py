"""Annotations as label maps: cropped, sampled, and packed into planes of which each has one label at a pixel.

    planes = label_planes(annotation, placing, Sampling((480, 640), "square", 112), min_area=3)

Where regions of two labels of a category overlap, they go to two planes, so nothing is covered: in the set each label has exactly
the pixels that were annotated, as they are at the centres of the label map's pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from data_prep.broden_writer import Plane
from data_prep.importers.options import Concept, Crop, Size
from data_prep.importers.source import Annotation, IndexMap, SourceLabel

Placing = Callable[[SourceLabel], Concept | None]


def crop_box(shape: tuple[int, int], crop: Crop) -> tuple[int, int, int, int]:
    """Top, left, height, width of what is kept of an image (H, W): all, the middle square, or the middle of 4:3 or 3:4 at most.

    >>> crop_box((100, 200), "square"), crop_box((100, 200), "4:3"), crop_box((100, 120), "4:3")
    ((0, 50, 100, 100), (0, 33, 100, 133), (0, 0, 100, 120))
    """
    height, width = shape
    if crop == "square":
        high = wide = min(shape)
    elif crop == "4:3":
        high, wide = min(height, width * 4 // 3), min(width, height * 4 // 3)
    else:
        high, wide = shape
    return (height - high) // 2, (width - wide) // 2, max(high, 1), max(wide, 1)


def resized(shape: tuple[int, int], size: Size) -> tuple[int, int]:
    """(H, W) after resizing to a square of a side, or as it is."""
    return shape if size == "source" else (size, size)


@dataclass(frozen=True)
class Sampling:
    """What becomes of annotations (H, W): where a smaller copy of them was annotated, the same part of it is kept."""

    shape: tuple[int, int]
    crop: Crop
    size: Size

    @cached_property
    def label_shape(self) -> tuple[int, int]:
        """(H, W) of the label maps."""
        return resized(crop_box(self.shape, self.crop)[2:], self.size)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The values at the pixel centres of a label map: floor((i + 0.5) * height / H), in whole numbers."""
        top, left, high, wide = crop_box((values.shape[0], values.shape[1]), self.crop)
        n_rows, n_columns = self.label_shape
        rows = top + (2 * np.arange(n_rows) + 1) * high // (2 * n_rows)
        columns = left + (2 * np.arange(n_columns) + 1) * wide // (2 * n_columns)
        return values[rows[:, None], columns[None, :]]


def label_planes(annotation: Annotation, placing: Placing, sampling: Sampling, min_area: int) -> list[Plane]:
    """The label maps of an annotation: one of each category for each index map, then as many as the regions need."""
    planes: list[Plane] = []
    regions: dict[Concept, np.ndarray] = {}
    for layer in annotation.layers:
        if isinstance(layer, IndexMap):
            planes += _index_planes(layer, placing, sampling, min_area)
        elif concept := placing(layer.label):
            mask = sampling(layer.mask())
            regions[concept] = regions[concept] | mask if concept in regions else mask
    for category in dict.fromkeys(category for category, _ in regions):
        found = {name: mask for (of, name), mask in regions.items() if of == category and mask.sum() >= min_area}
        planes += [Plane(category, codes, names) for codes, names in _packed(found)]
    return planes


def _index_planes(layer: IndexMap, placing: Placing, sampling: Sampling, min_area: int) -> list[Plane]:
    present, codes = np.unique(sampling(layer.codes), return_inverse=True)
    codes = codes.reshape(sampling.label_shape)
    areas = np.bincount(codes.ravel(), minlength=len(present))
    concepts = [placing(layer.labels[n]) if n in layer.labels else None for n in present.tolist()]
    concepts = [c if area >= min_area else None for c, area in zip(concepts, _together(concepts, areas), strict=True)]
    categories = dict.fromkeys(concept[0] for concept in concepts if concept)
    return [
        Plane(category, codes, [concept[1] if concept and concept[0] == category else "" for concept in concepts])
        for category in categories
    ]


def _together(concepts: Sequence[Concept | None], areas: np.ndarray) -> list[int]:
    """The area of each number's concept, which several numbers may share."""
    totals: dict[Concept | None, int] = {}
    for concept, area in zip(concepts, areas.tolist(), strict=True):
        totals[concept] = totals.get(concept, 0) + area
    return [totals[concept] for concept in concepts]


def _packed(masks: dict[str, np.ndarray]) -> list[tuple[np.ndarray, list[str]]]:
    """Each mask in the first plane in which its pixels are free; a plane's names begin with no label."""
    packed: list[tuple[np.ndarray, list[str]]] = []
    for name, mask in masks.items():
        free = (plane for plane in packed if not plane[0][mask].any())
        plane = next(free, None)
        if plane is None:
            plane = np.zeros(mask.shape, np.uint16), [""]
            packed.append(plane)
        plane[0][mask] = len(plane[1])
        plane[1].append(name)
    return packed

"""Which images each unit's mask and each concept are in, and how large they are there, noted while the masks are counted.

    areas = ImageAreas(n_images=400, n_rows=400, n_units=2816, room=Room(folder, 2**28))
    areas.add_image(17, concept_area)                 # of each image once, (C,) the pixels of its concepts
    areas.add_masks(images, rows, mask_area)          # (n,) of each: the mask of unit `rows[i]` on image `images[i]`
    in_units, in_concepts = pooled_areas(areas, n_concepts, group)      # `Lists`: see `distributed`

A mask's area is that of the whole mask on the image's label map, whichever images the union rule counts. Any order, same result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from data_prep.common.errors import UserError
from dissect.room import Room

UNITS_TOGETHER = 512
"""Units whose column of the table is turned into lists at a time."""


class Lists(NamedTuple):
    """Of each of n units or concepts the images that it is in, ascending: those of the k-th from `start[k]` to before
    `start[k + 1]`.

    start: (n + 1,) int64. image: (m,) int32, the place of each among the images used. area: (m,) int64 label pixels, above 0.
    """

    start: np.ndarray
    image: np.ndarray
    area: np.ndarray


class ImageAreas:
    """mask_area: (n_rows, U) uint32, a row for each image in the order in which they came; `images` are their numbers."""

    def __init__(self, *, n_images: int, n_rows: int, n_units: int, room: Room) -> None:
        """n_images: of the data set. n_rows: how many of them come here. room: for the table."""
        self.images: list[int] = []
        self.mask_area = room.zeros(
            (n_rows, n_units), np.dtype(np.uint32), f"The areas of the masks of {n_units} units on {n_rows} images"
        )
        self._row = np.full(n_images, -1, np.int64)
        self._concepts: list[np.ndarray] = []

    def add_image(self, image: int, concept_area: np.ndarray) -> None:
        """Begin with an image. concept_area: (C,) pixels of each concept on it. Raises `UserError` where it was there before."""
        if self._row[image] >= 0:
            raise UserError(
                f"Image {image} came back twice, so the files of the run were changed while it was at work: delete its folder, "
                f"and run again."
            )
        self._row[image] = len(self.images)
        self.images.append(image)
        (there,) = np.nonzero(concept_area)
        self._concepts.append(np.stack([np.full_like(there, image), there, concept_area[there]], 1))

    def add_masks(self, images: np.ndarray, rows: np.ndarray, mask_area: np.ndarray) -> None:
        """Masks (n,) of units, by their row in the tables of counts, on images that were begun; empty ones change nothing."""
        self.mask_area[self._row[images], rows] = mask_area

    @property
    def concept_area(self) -> np.ndarray:
        """(m, 3) int64: number of the image, concept, and its pixels there."""
        return np.concatenate([np.zeros((0, 3), np.int64), *self._concepts])

    def state(self) -> dict[str, np.ndarray]:
        """All there is to save beside `images`: a view of the table, no copy."""
        return {"image_mask_area": self.mask_area, "image_concept_area": self.concept_area}

    def check(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Raises `ValueError` or `KeyError` where these are not what `state` gave, and `images`."""
        images, table, concepts = (arrays[name] for name in ("images", "image_mask_area", "image_concept_area"))
        if (table.shape, table.dtype) != (self.mask_area.shape, self.mask_area.dtype) or len(images) > len(table):
            raise ValueError("image_mask_area has another shape")
        if concepts.ndim != 2 or concepts.shape[1] != 3 or concepts.dtype != np.int64:
            raise ValueError("image_concept_area has another shape")
        if not np.isin(concepts[:, 0], images).all():
            raise ValueError("image_concept_area is of other images")

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from what was checked."""
        images = arrays["images"]
        self.images = images.tolist()
        self._row[:] = -1
        self._row[images] = np.arange(len(images))
        self.mask_area[...] = arrays["image_mask_area"]
        self._concepts = [arrays["image_concept_area"]]


def lists_of_units(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Lists:
    """parts: numbers (n,) of some images, and the rows (n, U) of `ImageAreas.mask_area` for them.

    >>> lists_of_units([(np.array([7, 3]), np.array([[0, 5], [2, 4]])), (np.array([5]), np.array([[0, 6]]))])
    Lists(start=array([0, 1, 4]), image=array([0, 0, 1, 2], dtype=int32), area=array([2, 4, 6, 5]))
    """
    order = np.concatenate([numbers for numbers, _ in parts]).argsort()
    n_units = parts[0][1].shape[1]
    n_each, image, area = [np.zeros(1, np.int64)], [], []
    for first in range(0, n_units, UNITS_TOGETHER):
        some = np.concatenate([table[:, first : first + UNITS_TOGETHER] for _, table in parts])[order].T
        which = np.nonzero(some)
        n_each.append(np.count_nonzero(some, axis=1))
        image.append(which[1].astype(np.int32))
        area.append(some[which].astype(np.int64))
    return Lists(np.cumsum(np.concatenate(n_each)), np.concatenate(image), np.concatenate(area))


def lists_of_concepts(concept_area: np.ndarray, images: np.ndarray, n_concepts: int) -> Lists:
    """concept_area: (m, 3), as `ImageAreas` has it, of all `images`, whose numbers ascend.

    >>> lists_of_concepts(np.array([[7, 1, 20], [3, 1, 30]]), np.array([3, 7]), n_concepts=2)
    Lists(start=array([0, 0, 2]), image=array([0, 1], dtype=int32), area=array([30, 20]))
    """
    number, concept, area = concept_area[np.lexsort(concept_area.T[:2])].T
    start = np.searchsorted(concept, np.arange(n_concepts + 1))
    return Lists(start, np.searchsorted(images, number).astype(np.int32), area.copy())

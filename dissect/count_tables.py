"""The counts of all units by fold of the images, in whole numbers as narrow as they may be, in memory or in a file.

    tables = CountTables(n_folds=10, n_units=26560, n_concepts=1197, n_categories=6, room=Room(folder, 2**28))
    tables.add_labels(fold, n_pixels, concept_area, annotated)      # of an image, before its masks are counted
    tables.intersection_area                              # (F, U, C), for `tally.count_masks` to add to
    tables.folds()                                        # `Counts` with an axis for folds

The table of intersections is by far the largest: ten folds of 26,560 units and 1,197 concepts are 1.3 GB of 32-bit numbers.
No number in it can exceed the label pixels of the fold's images, so it begins with 32 bits, and is widened to 64 before these
could be too few. Where it does not fit into memory it lies in a file (`room.Room`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from dissect.room import Room
from dissect.scores import Counts

NARROW = np.dtype(np.uint32)
WIDE = np.dtype(np.int64)
MOST_PIXELS = np.iinfo(NARROW).max
"""Label pixels of a fold up to which narrow numbers do."""


class CountTables:
    """intersection_area (F, U, C) uint32 or int64; mask_area (F, U, K), concept_area (F, C), n_images (F, C), annotated_area
    (F, K), n_pixels (F,): int64. n_pixels: of the label maps of a fold's images so far."""

    def __init__(self, *, n_folds: int, n_units: int, n_concepts: int, n_categories: int, room: Room) -> None:
        self._room = room
        self._what = f"The counts of {n_units} units, {n_concepts} concepts and {n_folds} folds"
        self.intersection_area = room.zeros((n_folds, n_units, n_concepts), NARROW, self._what)
        self.mask_area = np.zeros((n_folds, n_units, n_categories), np.int64)
        self.concept_area = np.zeros((n_folds, n_concepts), np.int64)
        self.n_images = np.zeros((n_folds, n_concepts), np.int64)
        self.annotated_area = np.zeros((n_folds, n_categories), np.int64)
        self.n_pixels = np.zeros(n_folds, np.int64)

    def add_labels(self, fold: int, n_pixels: int, concept_area: np.ndarray, annotated: np.ndarray) -> None:
        """Count the concepts of one image, (C,), and see that its masks will not be too many for the table. annotated: (K,) bool,
        the categories for which its pixels count."""
        self.concept_area[fold] += concept_area
        self.n_images[fold] += concept_area > 0
        self.annotated_area[fold] += n_pixels * annotated
        self.n_pixels[fold] += n_pixels
        if self.n_pixels[fold] > MOST_PIXELS:
            self._widen()

    def total(self) -> Counts:
        """The counts of all images. With one fold its arrays are those of `folds`."""
        if len(self.n_pixels) == 1:
            return Counts(*(array[0] for array in self.folds()))
        return Counts(*(array.sum(0, dtype=np.int64) for array in self._counts()))

    def folds(self) -> Counts:
        """The counts of each fold, along the first axis: the tables themselves, no copies."""
        self._widen()
        return self._counts()

    def each_fold(self) -> Iterator[Counts]:
        """The counts of one fold after the other, copied, so that the table stays as narrow as it is."""
        for fold in zip(*self._counts(), strict=True):
            yield Counts(*(array.astype(np.int64) for array in fold))

    def state(self) -> dict[str, np.ndarray]:
        """All there is to save: views, not copies."""
        return {**self._counts()._asdict(), "n_pixels": self.n_pixels}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from what `state` gave. Raises `ValueError` or `KeyError`, and changes nothing, where it cannot be used."""
        for name, mine in self.state().items():
            allowed = (NARROW, WIDE) if name == "intersection_area" else (WIDE,)
            if arrays[name].shape != mine.shape or arrays[name].dtype not in allowed:
                raise ValueError(f"{name} has another shape")
        if arrays["intersection_area"].dtype == WIDE:
            self._widen()
        for name, mine in self.state().items():
            mine[...] = arrays[name]

    def _counts(self) -> Counts:
        return Counts.of_arrays(vars(self))

    def _widen(self) -> None:
        if self.intersection_area.dtype != WIDE:
            self.intersection_area = self._room.widened(self.intersection_area, WIDE, self._what)

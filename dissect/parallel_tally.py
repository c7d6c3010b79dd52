"""Masks against labels, a few images at a time, on several threads.

with ParallelTally(
    layers, data, union="category", geometry=geometry, thresholds=thresholds, masks=masks, labels=labels, workers=2,
    fold_of=fold_of,
) as tally:
    tally.add(images, batch)              # {layer: Maps} of these images
tally.total()                             # pooled counts of all images
tally.folds()                             # the same by fold of the images
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from data_prep.formats import LabelledImages
from dissect.candidates import Maps
from dissect.images import LabelCache
from dissect.layers import Layer
from dissect.mask_recorder import MaskRecorder
from dissect.scores import category_numbers
from dissect.settings import UnionRule
from dissect.tally import Tally, flatten
from dissect.upsample import Geometry


class ParallelTally:
    """Counts of all layers' units, in one table: rows of layer k begin at `first_row[k]`. A thread counts its own images;
    integer counts add up to the same whoever counted."""

    def __init__(
        self,
        layers: Sequence[Layer],
        data: LabelledImages,
        *,
        union: UnionRule,
        geometry: Geometry,
        thresholds: Sequence[np.ndarray],
        masks: MaskRecorder,
        labels: LabelCache,
        workers: int,
        fold_of: np.ndarray,
    ) -> None:
        """geometry, thresholds: of each layer's maps and units, in the order of `layers`. masks: is given the masks to keep.
        fold_of: (n,) fold of each image of the data set (`folds.image_folds`)."""
        self.geometry, self.thresholds, self.masks, self.labels = geometry, thresholds, masks, labels
        self.fold_of, self.n_folds = fold_of, int(fold_of.max(initial=0)) + 1
        self.first_row = np.cumsum([0, *(layer.n_units for layer in layers)])
        self.concept_category = category_numbers([concept.category for concept in data.concepts], data.categories)
        self.n_categories = len(data.categories)
        self.images: list[int] = []
        self._empty = lambda: Tally(int(self.first_row[-1]), len(data.concepts), self.n_categories, union)
        # Lane n counts images of fold n % n_folds; each fold has as many lanes as keep every thread at work.
        self._lanes = [self._empty() for _ in range(self.n_folds * -(-max(workers, 1) // self.n_folds))]
        self._threads = ThreadPoolExecutor(max(workers, 1), thread_name_prefix="tally")

    def __enter__(self) -> ParallelTally:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def add(self, images: np.ndarray, batch: dict[int, Maps]) -> None:
        """images: (B,) numbers of the images; batch: layer -> those of their maps that pass the thresholds."""
        lanes = self.fold_of[images] + self.n_folds * (np.arange(len(images)) % (len(self._lanes) // self.n_folds))
        shares = [images[lanes == n] for n in range(len(self._lanes))]
        list(self._threads.map(self._count, shares, [batch] * len(shares), self._lanes))  # raise what a thread raised
        self.images.extend(images.tolist())

    def total(self) -> Tally:
        """The counts of all images so far."""
        total = self._empty()
        for fold in self.folds():
            total.merge(fold)
        return total

    def folds(self) -> list[Tally]:
        """The counts of each fold of the images so far."""
        while len(self._lanes) > self.n_folds:
            extra = self._lanes.pop()
            self._lanes[len(self._lanes) % self.n_folds].merge(extra)
        return self._lanes

    def _count(self, images: np.ndarray, batch: dict[int, Maps], tally: Tally) -> None:
        for image in images:
            labels = self.labels[image]
            seen = flatten(labels, self.concept_category, self.n_categories)
            tally.add_labels(seen)
            for k, maps in batch.items():
                here = maps.of_image(image)
                rows, columns = self.geometry.axes(k, labels.shape)
                thresholds, unit_rows = self.thresholds[k][here.units], here.units + self.first_row[k]
                tally.add_masks(seen, here.maps, unit_rows=unit_rows, thresholds=thresholds, rows=rows, columns=columns)
                self.masks.draw(k, image, here, thresholds=thresholds, rows=rows, columns=columns)

"""Masks against labels, a few images at a time, on several threads.

comparison = Comparison(geometry, layers, data, union, thresholds, masks, labels, workers=2)
comparison.add(images, batch)             # {layer: Maps} of these images
comparison.tally()                        # pooled counts so far
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from data_prep.formats import LabelledImages
from dissect.candidates import Maps
from dissect.images import LabelCache
from dissect.layers import Layer
from dissect.masks import StrongestMasks
from dissect.tally import Tally, UnionRule, flatten
from dissect.upsample import Geometry


class Comparison:
    """Counts of all layers' units, in one table: rows of layer k begin at `first_row[k]`. A thread counts its own images;
    integer counts add up to the same whoever counted."""

    def __init__(
        self,
        geometry: Geometry,
        layers: Sequence[Layer],
        data: LabelledImages,
        union: UnionRule,
        thresholds: Sequence[np.ndarray],
        masks: StrongestMasks,
        labels: LabelCache,
        workers: int,
    ) -> None:
        self.geometry, self.thresholds, self.masks, self.labels = geometry, thresholds, masks, labels
        self.first_row = np.cumsum([0, *(layer.n_units for layer in layers)])
        self.concept_category = category_numbers(data)
        self.n_categories = len(data.categories)
        self.images: list[int] = []
        self._tallies = [
            Tally(int(self.first_row[-1]), len(data.concepts), self.n_categories, union) for _ in range(max(workers, 1))
        ]
        self._threads = ThreadPoolExecutor(len(self._tallies), thread_name_prefix="tally")

    def __enter__(self) -> Comparison:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def add(self, images: np.ndarray, batch: dict[int, Maps]) -> None:
        """images: (B,) numbers of the images; batch: layer -> those of their maps that pass the thresholds."""
        n = len(self._tallies)
        shares = [images[w::n] for w in range(n)]
        list(self._threads.map(self._count, shares, [batch] * n, self._tallies))  # list(): raise what a thread raised
        self.images.extend(images.tolist())

    def tally(self) -> Tally:
        total, *others = self._tallies
        while others:
            total.merge(others.pop())
        self._tallies = [total]
        return total

    def _count(self, images: np.ndarray, batch: dict[int, Maps], tally: Tally) -> None:
        for image in images:
            labels = self.labels[image]
            seen = flatten(labels, self.concept_category, self.n_categories)
            tally.add_labels(seen)
            for k, maps in batch.items():
                here = maps.of_image(image)
                rows, columns = self.geometry.axes(k, labels.shape)
                thresholds = self.thresholds[k][here.units]
                tally.add_masks(seen, here.maps, here.units + self.first_row[k], thresholds, rows, columns)
                self.masks.draw(k, image, here, thresholds, rows, columns)


def category_numbers(data: LabelledImages) -> np.ndarray:
    """(C,) int32: the category of each concept, by its place in `data.categories`."""
    number = {name: k for k, name in enumerate(data.categories)}
    return np.array([number[concept.category] for concept in data.concepts], np.int32)

"""Masks against labels, a few images at a time, on several threads.

with ParallelTally(
    layers, data, union="category", geometry=geometry, thresholds=thresholds, masks=masks, labels=labels, workers=2,
    fold_of=fold_of, folder=folder, memory_bytes=2**28,
) as tally:
    tally.add(images, batch)              # {layer: Maps} of these images
tally.total()                             # pooled counts of all images
tally.folds()                             # the same by fold of the images, along a first axis

The threads share one table of counts: each takes units of its own. What is counted so far can be saved, and restored (`state`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_prep.formats import LabelledImages
from dissect.candidates import Maps
from dissect.count_tables import CountTables
from dissect.images import LabelCache
from dissect.layers import Layer
from dissect.mask_recorder import MaskRecorder
from dissect.scores import Counts, category_numbers
from dissect.settings import UnionRule
from dissect.tally import FlatLabels, LabelStack, Masks, count_masks, flatten, stack
from dissect.upsample import Geometry

LEAST_MAPS = 256
"""Maps that are worth a thread's while: fewer take less time than to hand them over."""


class _Seen(NamedTuple):
    """The labels of an image, and (H, W) of its label map."""

    shape: tuple[int, int]
    labels: FlatLabels


class Alike(NamedTuple):
    """Images whose label maps have one shape: their numbers, ascending, and their labels in that order."""

    numbers: np.ndarray
    shape: tuple[int, int]
    labels: LabelStack


class _Piece(NamedTuple):
    """Some maps of one layer on such images. places, bits: of the masks to keep (`MaskRecorder`)."""

    layer: int
    images: Alike
    masks: Masks
    places: np.ndarray
    bits: np.ndarray


class ParallelTally:
    """Counts of all layers' units, in one table: rows of layer k begin at `first_row[k]`. images: numbers of those counted."""

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
        folder: Path,
        memory_bytes: int,
    ) -> None:
        """geometry, thresholds: of each layer's maps and units, in the order of `layers`. masks: is given the masks to keep.
        fold_of: (n,) fold of each image of the data set (`folds.image_folds`). folder: takes the counts where they need more than
        `memory_bytes`."""
        self.union: UnionRule = union
        self.geometry, self.thresholds, self.masks, self.labels = geometry, thresholds, masks, labels
        self.workers, self.fold_of = max(workers, 1), fold_of
        self.first_row = np.cumsum([0, *(layer.n_units for layer in layers)])
        self.concept_category = category_numbers([concept.category for concept in data.concepts], data.categories)
        self.n_categories = len(data.categories)
        self.images: list[int] = []
        self._tables = CountTables(
            n_folds=int(fold_of.max(initial=0)) + 1, n_units=int(self.first_row[-1]), n_concepts=len(data.concepts),
            n_categories=self.n_categories, folder=folder, memory_bytes=memory_bytes,
        )  # fmt: skip
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="tally")

    def __enter__(self) -> ParallelTally:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def add(self, images: np.ndarray, batch: dict[int, Maps]) -> None:
        """images: (B,) numbers of the images; batch: layer -> those of their maps that pass the thresholds."""
        seen = dict(zip(images.tolist(), self._threads.map(self._labels_of, images.tolist()), strict=True))
        by_shape: dict[tuple[int, int], list[int]] = {}
        for image, (shape, labels) in seen.items():
            annotated = labels.annotated | (self.union == "all-images")
            self._tables.add_labels(int(self.fold_of[image]), shape[0] * shape[1], labels.concept_area, annotated)
            by_shape.setdefault(shape, []).append(image)
        alike = []
        for shape, numbers in by_shape.items():
            labels_of = [seen[number].labels for number in sorted(numbers)]
            fold_of = self.fold_of[sorted(numbers)]
            alike.append(Alike(np.sort(numbers), shape, stack(labels_of, fold_of, self.union)))
        self._count(alike, batch)
        self.images.extend(images.tolist())

    def _count(self, alike: Sequence[Alike], batch: Mapping[int, Maps]) -> None:
        """Count the masks on the images of a batch."""
        pieces = [self._piece(k, maps, images) for images in alike for k, maps in batch.items()]
        list(self._threads.map(lambda job: job(), [job for piece in pieces for job in self._jobs(piece)]))  # raises
        for piece in pieces:
            self.masks.keep(piece.places, piece.images.shape, piece.bits)

    def total(self) -> Counts:
        """The counts of all images so far. With one fold its arrays are those of `folds`."""
        return self._tables.total()

    def folds(self) -> Counts:
        """The counts by fold of the images so far, along the first axis; they may lie in a file."""
        return self._tables.folds()

    def state(self) -> dict[str, np.ndarray]:
        """All there is to save of the images counted so far, between two calls of `add`."""
        return {
            "images": np.array(self.images, np.int64), "counted_with": np.array(self._counted_with()),
            **self._tables.state(), **self.masks.state(),
        }  # fmt: skip

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from what `state` gave. Raises `ValueError` or `KeyError`, and changes nothing, where that is of other
        thresholds, folds or strongest images, or damaged."""
        images, n_images = arrays["images"], len(self.fold_of)
        if str(arrays["counted_with"]) != self._counted_with():
            raise ValueError("it was counted with other thresholds, or another rule")
        if (
            images.ndim != 1
            or images.dtype != np.int64
            or len(np.unique(images[(images >= 0) & (images < n_images)])) != len(images)
        ):
            raise ValueError("its images are others")
        masks = MaskRecorder(self.masks.image, self.masks.peak)
        masks.restore(arrays)
        self._tables.restore(arrays)
        self.masks.restore(arrays)
        self.images = images.tolist()

    def _counted_with(self) -> str:
        """A hash of what decides a count beside the image."""
        digest = hashlib.sha256(f"{self.union} {self.geometry.shapes} {self.geometry.anchors}".encode())
        for array in (*self.thresholds, self.fold_of):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def _labels_of(self, image: int) -> _Seen:
        labels = self.labels[image]
        return _Seen(labels.shape, flatten(labels, self.concept_category, self.n_categories))

    def _piece(self, k: int, maps: Maps, images: Alike) -> _Piece:
        """What there is to count of layer k on these images."""
        place = np.minimum(np.searchsorted(images.numbers, maps.images), len(images.numbers) - 1)
        of_these = images.numbers[place] == maps.images
        unit_rows = maps.units + self.first_row[k]
        places = np.where(of_these, self.masks.places(unit_rows, maps.images), -1)
        wanted = places >= 0
        masks = Masks(
            maps=np.ascontiguousarray(maps.maps),
            image=np.where(of_these, place, -1),
            unit_rows=unit_rows,
            thresholds=self.thresholds[k][maps.units],
            bits_row=np.where(wanted, np.cumsum(wanted) - 1, -1),
        )
        n_bytes = -(-images.shape[0] * images.shape[1] // 8)
        return _Piece(k, images, masks, places[wanted], np.zeros((np.count_nonzero(wanted), n_bytes), np.uint8))

    def _jobs(self, piece: _Piece) -> Iterator[Callable[[], None]]:
        """Each counts a share of the layer's units."""
        n_shares = min(self.workers, -(-len(piece.masks.maps) // LEAST_MAPS))
        first, end = self.first_row[piece.layer : piece.layer + 2]
        rows, columns = self.geometry.axes(piece.layer, piece.images.shape)
        for share in pairwise(np.linspace(first, end, n_shares + 1).astype(int).tolist()):
            yield partial(
                count_masks, piece.masks, *share, rows, columns, piece.images.labels, self.union == "touched", piece.bits,
                self._tables.intersection_area, self._tables.mask_area,
            )  # fmt: skip

"""Masks against labels, a few images at a time, on several threads.

task = TallyTask(
    layers=layers, data=data, union="category", geometry=geometry, thresholds=thresholds, labels=labels, workers=2,
    room=Room(folder, 2**28),
)
with ParallelTally(task, pairing=own_labels(fold_of), masks=masks, areas=areas) as tally:
    tally.add(images, batch)              # {layer: Maps} of these images
tally.total()                             # pooled counts of all images
tally.folds()                             # the same by fold of the images, along a first axis

The threads share one table of counts: each takes units of its own. What is counted so far can be saved, and restored (`state`).
Whose labels the masks of an image meet, and in which fold that is counted, says the `Pairing`: its own, or, as a control, those
of other images (`dissect.null`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from data_prep.formats import LabelledImages
from dissect.candidates import Maps
from dissect.count_tables import CountTables
from dissect.image_areas import ImageAreas
from dissect.images import LabelCache
from dissect.layers import Layer
from dissect.mask_recorder import MaskRecorder
from dissect.room import Room
from dissect.scores import Counts, category_numbers
from dissect.settings import UnionRule
from dissect.tally import FlatLabels, LabelStack, Masks, count_masks, flatten, stack
from dissect.upsample import Geometry

LEAST_MAPS = 256
"""Maps that are worth a thread's while: fewer take less time than to hand them over."""


class Pairing(NamedTuple):
    """Whose labels the masks of each image of the data set are counted against, and in which fold of the counts.

    image, fold: (n, R) int64, for each image R other numbers of images, or its own.
    """

    image: np.ndarray
    fold: np.ndarray


def own_labels(fold_of: np.ndarray) -> Pairing:
    """Each image with its own labels. fold_of: (n,) fold of each image (`folds.image_folds`).

    >>> own_labels(np.array([1, 0])).image.tolist()
    [[0], [1]]
    """
    return Pairing(np.arange(len(fold_of))[:, None], fold_of[:, None])


@dataclass(frozen=True, kw_only=True)
class TallyTask:
    """Units, and the labels that they are counted against: what all tallies of one network have in common.

    geometry, thresholds: of each layer's maps and units, in the order of `layers`. room: for the counts.
    """

    layers: Sequence[Layer]
    data: LabelledImages
    union: UnionRule
    geometry: Geometry
    thresholds: Sequence[np.ndarray]
    labels: LabelCache
    workers: int
    room: Room


class _Seen(NamedTuple):
    """The labels of an image, and (H, W) of its label map."""

    shape: tuple[int, int]
    labels: FlatLabels


class Alike(NamedTuple):
    """Images, by ascending numbers, that meet label maps of one shape: those of the k-th lie in `labels` from `first[k]` to
    before `first[k + 1]`."""

    numbers: np.ndarray
    first: np.ndarray
    shape: tuple[int, int]
    labels: LabelStack


class _Piece(NamedTuple):
    """Some maps of one layer on such images. of_image: (n,) the image of each. places, bits: of the masks to keep
    (`MaskRecorder`)."""

    layer: int
    images: Alike
    masks: Masks
    of_image: np.ndarray
    places: np.ndarray
    bits: np.ndarray


class ParallelTally:
    """Counts of all layers' units, in one table: rows of layer k begin at `first_row[k]`. images: numbers of those counted."""

    def __init__(
        self,
        task: TallyTask,
        *,
        pairing: Pairing,
        masks: MaskRecorder | None = None,
        areas: ImageAreas | None = None,
    ) -> None:
        """masks, areas: are given the masks to keep, and the size of each on each image."""
        self.union: UnionRule = task.union
        self.geometry, self.thresholds, self.labels = task.geometry, task.thresholds, task.labels
        self.workers, self.pairing, self.areas = max(task.workers, 1), pairing, areas
        self.first_row = np.cumsum([0, *(layer.n_units for layer in task.layers)])
        n_units = int(self.first_row[-1])
        self.masks = masks or MaskRecorder.of_nothing(n_units)
        concepts, categories = task.data.concepts, task.data.categories
        self.concept_category = category_numbers([concept.category for concept in concepts], categories)
        self.n_categories = len(categories)
        self.images: list[int] = []
        self._tables = CountTables(
            n_folds=int(pairing.fold.max(initial=0)) + 1, n_units=n_units, n_concepts=len(concepts),
            n_categories=self.n_categories, room=task.room,
        )  # fmt: skip
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="tally")

    def __enter__(self) -> ParallelTally:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def add(self, images: np.ndarray, batch: dict[int, Maps]) -> None:
        """images: (B,) numbers of the images; batch: layer -> those of their maps that pass the thresholds."""
        others = np.unique(self.pairing.image[images]).tolist()
        seen = dict(zip(others, self._threads.map(self._labels_of, others), strict=True))
        by_shape: dict[tuple[int, int], list[tuple[int, int, FlatLabels]]] = {}
        for image in np.sort(images).tolist():
            for other, fold in zip(self.pairing.image[image].tolist(), self.pairing.fold[image].tolist(), strict=True):
                shape, labels = seen[other]
                annotated = labels.annotated | (self.union == "all-images")
                self._tables.add_labels(fold, shape[0] * shape[1], labels.concept_area, annotated)
                by_shape.setdefault(shape, []).append((image, fold, labels))
        if self.areas:
            for image in images.tolist():
                self.areas.add_image(image, seen[image].labels.concept_area)
        alike = []
        for shape, met in by_shape.items():
            numbers, first = np.unique([image for image, _, _ in met], return_index=True)
            labels_of = stack([labels for *_, labels in met], np.array([fold for _, fold, _ in met]), self.union)
            alike.append(Alike(numbers, np.append(first, len(met)), shape, labels_of))
        self._count(alike, batch)
        self.images.extend(images.tolist())

    def _count(self, alike: Sequence[Alike], batch: Mapping[int, Maps]) -> None:
        """Count the masks on the images of a batch."""
        at_home = {k: maps.at_home() for k, maps in batch.items()}
        pieces = [self._piece(k, maps, images) for images in alike for k, maps in at_home.items()]
        list(self._threads.map(lambda job: job(), [job for piece in pieces for job in self._jobs(piece)]))  # raises
        for piece in pieces:
            self.masks.keep(piece.places, piece.images.shape, piece.bits)
            if self.areas:
                met = piece.masks.area > 0
                self.areas.add_masks(piece.of_image[met], piece.masks.unit_rows[met], piece.masks.area[met])

    def total(self) -> Counts:
        """The counts of all images so far. With one fold its arrays are those of `folds`."""
        return self._tables.total()

    def folds(self) -> Counts:
        """The counts by fold of the images so far, along the first axis; they may lie in a file."""
        return self._tables.folds()

    def each_fold(self) -> Iterator[Counts]:
        """The counts of one fold of the images so far after the other."""
        return self._tables.each_fold()

    def state(self) -> dict[str, np.ndarray]:
        """All there is to save of the images counted so far, between two calls of `add`."""
        return {
            "images": np.array(self.images, np.int64), "counted_with": np.array(self._counted_with()),
            **self._tables.state(), **self.masks.state(), **(self.areas.state() if self.areas else {}),
        }  # fmt: skip

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from what `state` gave. Raises `ValueError` or `KeyError`, and changes nothing, where that is of other
        thresholds, folds or strongest images, or damaged."""
        images, n_images = arrays["images"], len(self.pairing.image)
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
        if self.areas:
            self.areas.check(arrays)
        self._tables.restore(arrays)
        if self.areas:
            self.areas.restore(arrays)
        self.masks.restore(arrays)
        self.images = images.tolist()

    def _counted_with(self) -> str:
        """A hash of what decides a count beside the image."""
        digest = hashlib.sha256(f"{self.union} {self.geometry.shapes} {self.geometry.anchors}".encode())
        for array in (*self.thresholds, *self.pairing):
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
            first=images.first[place],
            end=np.where(of_these, images.first[place + 1], images.first[place]),
            unit_rows=unit_rows,
            thresholds=self.thresholds[k][maps.units],
            bits_row=np.where(wanted, np.cumsum(wanted) - 1, -1),
            area=np.zeros(len(place), np.int64),
        )
        n_bytes = -(-images.shape[0] * images.shape[1] // 8)
        bits = np.zeros((np.count_nonzero(wanted), n_bytes), np.uint8)
        return _Piece(k, images, masks, maps.images, places[wanted], bits)

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

"""What `data_prep` hands to the other packages: concepts, the labels of one image, and the set that yields them.

    labels = data_set.read_labels(3)          # an `ImageLabels`
    labels.planes                             # (P, H, W) concept indices, -1 where nothing is labelled

Everything here is plain data: no torch, no files of its own. `dissect`, `mdl` and `reports` import this module and
`data_prep.common`, and nothing else of `data_prep`.
Letters for shapes: `H W` label map, `P` label planes, `K` categories, `C` concepts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from data_prep.common.errors import UserError
from data_prep.common.terminal import Progress

NO_CONCEPT = -1
"""Value of a label-plane pixel that carries no concept (label 0 in the files)."""

DIGEST_BYTES = 16


class BadImageError(UserError):
    """One image, or a label map of one image, cannot be used; the rest of the set can."""


@dataclass(frozen=True, slots=True)
class Concept:
    """A (category, label) pair. `number` is the label's number in `label.csv`; a label that serves two categories
    (`hair` as part and as material) makes two concepts with one number."""

    number: int
    name: str
    category: str


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One row of the index. `name` is the image's path as written there, `path` where it lies; `label_shape` is (H, W).

    image_shape: (H, W) that the index states for the image, None where it states none; it decides whether the image is turned
    by its orientation tag (see `data_prep.common.pictures`).
    """

    name: str
    path: Path
    split: str
    label_shape: tuple[int, int]
    image_shape: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class ImageLabels:
    """Every label of one image, as indices into the set's `concepts`.

    planes: (P, H, W) int32, a concept index or `NO_CONCEPT` at every pixel.
    plane_category: (P,) int32, the category (index into `categories`) of each plane.
    whole_image: (n,) int32, concepts that cover the whole image (scene, texture), each once.
    A pixel may carry the same concept in two planes of a category; whoever counts must count it once.
    """

    planes: np.ndarray
    plane_category: np.ndarray
    whole_image: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the label map."""
        return self.planes.shape[1], self.planes.shape[2]

    def digest(self) -> bytes:
        """`digest_of` all of it."""
        return digest_of(self.planes, self.plane_category, self.whole_image)


class LabelledImages(Protocol):
    """A densely labelled set of images: what `dissect` needs of it, whoever reads the files.

    `concepts` are sorted by label number, then by the order of `categories`; that order settles ties. The names of
    `images` are relative to `image_root`.
    """

    name: str
    image_root: Path

    @property
    def categories(self) -> Sequence[str]: ...

    @property
    def concepts(self) -> Sequence[Concept]: ...

    @property
    def images(self) -> Sequence[ImageRecord]: ...

    def read_labels(self, index: int) -> ImageLabels:
        """The labels of `images[index]`; raises `BadImageError` where a label map cannot be used."""
        ...

    def fingerprint(self) -> str:
        """A hash that changes when the set changes: its tables, its images' and label maps' names and contents."""
        ...


class PackedLabels(Protocol):
    """The labels of a set's images, decoded earlier; both give None where they could not be read, so that the set says why."""

    def digest(self, index: int) -> np.ndarray | None:
        """(16,) uint8, `ImageLabels.digest` of one image, at no cost."""
        ...

    def read(self, index: int) -> ImageLabels | None:
        """The labels of one image, equal to those that the set reads."""
        ...


@runtime_checkable
class PackableImages(Protocol):
    """A `LabelledImages` that can keep its labels packed."""

    def packed(self, progress: Progress = ...) -> PackedLabels | None:
        """The packed labels of the set as it is now, or None where there are none; never those of other files."""
        ...


class ClassifiedImages(Protocol):
    """One split of one visual domain: images with one class each, in the decathlon layout or any other.

    `labels` is (N,) int64, classes 0..n_classes-1 in the order of `class_names`, -1 where the label is withheld (an
    official test set). `image_ids` is (N,) int64, as the annotations number them.
    """

    domain: str
    split: str
    labels: np.ndarray
    image_ids: np.ndarray

    @property
    def class_names(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...

    def read(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB of one image, of its stored size; raises `BadImageError` where it cannot be read."""
        ...

    def fingerprint(self) -> str:
        """A hash that changes when the split changes: names, labels, and sizes of files."""
        ...


def digest_of(*arrays: np.ndarray) -> bytes:
    """A hash of `DIGEST_BYTES` of the arrays' shapes, types and values."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


def decode_label_map(pixels: np.ndarray) -> np.ndarray:
    """`decode_label_map(rgb)` gives label numbers: R + 256 * G, as Broden writes them (Bau et al. 2017).

    pixels: (H, W, 3) uint8. Returns (H, W) int32; 0 means no label.

    >>> decode_label_map(np.array([[[44, 1, 0], [0, 0, 0]]], np.uint8))
    array([[300,   0]], dtype=int32)
    """
    return pixels[..., 0].astype(np.int32) + 256 * pixels[..., 1].astype(np.int32)


def encode_label_map(numbers: np.ndarray) -> np.ndarray:
    """The inverse of `decode_label_map`: (H, W) label numbers below 65,536 to (H, W, 3) uint8; raises `UserError`.

    >>> encode_label_map(np.array([[300, 0]])).tolist()
    [[[44, 1, 0], [0, 0, 0]]]
    """
    if numbers.size and (numbers.min() < 0 or numbers.max() > 0xFFFF):
        raise UserError(
            f"Label numbers must lie in 0..65535 to be written as R + 256 * G; these lie in "
            f"{numbers.min()}..{numbers.max()}: renumber the labels."
        )
    rgb = np.zeros((*numbers.shape, 3), np.uint8)
    rgb[..., 0] = numbers & 0xFF
    rgb[..., 1] = numbers >> 8
    return rgb

"""The images of one split of a decathlon domain: read, decoded, counted.

train = open_decathlon(root).split("dtd", "train")
train.read(0)                             # (H, W, 3) uint8 RGB
mean, std = measure_mean_std(train)       # (3,) each, of pixels in 0..1
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import UnidentifiedImageError

from data_prep.common.errors import UserError
from data_prep.common.files import read_regular
from data_prep.common.pictures import IMAGE_ERRORS, in_threads, open_picture, rgb_picture
from data_prep.decathlon_tables import Table
from data_prep.decathlon_tar import Tar
from data_prep.formats import BadImageError

MODES = ("1", "L", "P", "RGB", "CMYK")
"""Pixel formats that turn into 8-bit RGB without loss of meaning."""

Source = Path | tuple[Tar, int, int]
"""Where an image lies: a file, or (tar, first byte, size)."""


class Split:
    """One split of one domain, a `ClassifiedImages`; `Decathlon.split` makes it. Any thread or forked worker may read.

    Beyond the protocol: `file_names`, `category_ids` (K,) as the official submission wants them, and `shapes` (N, 2),
    (H, W) as the annotations state them.
    """

    def __init__(self, domain: str, split: str, table: Table, sources: Sequence[Source]):
        self.domain = domain
        self.split = split
        self.table_file = table.file
        self.class_names = table.class_names
        self.category_ids = table.category_ids
        self.file_names = table.file_names
        self.labels = table.labels
        self.image_ids = table.image_ids
        self.shapes = table.shapes
        self._sources = sources

    def __len__(self) -> int:
        return len(self.file_names)

    def __repr__(self) -> str:
        return f"<{self.domain} {self.split}: {len(self):,} images, {len(self.class_names):,} classes>"

    def read_bytes(self, index: int) -> bytes:
        """The image file as it is stored; raises `BadImageError` where it is gone."""
        source = self._sources[index]
        if isinstance(source, tuple):
            tar, start, size = source
            return tar.read_at(start, size)
        try:
            return read_regular(source)
        except OSError as error:
            why = error.strerror or error
            raise BadImageError(f"Image {source} cannot be read ({why}): put it there again.") from error

    def read(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB of one image, of its stored size, turned by its orientation tag where the annotations state the
        turned size; grey is repeated. Raises `BadImageError`."""
        return self.decode(index, self.read_bytes(index))

    def decode(self, index: int, data: bytes) -> np.ndarray:
        """The same from the bytes of its file."""
        height, width = self.shapes[index].tolist()
        return decode(data, self.where(index), (height, width))

    def where(self, index: int) -> str:
        """The file of an image in words, for messages."""
        source = self._sources[index]
        return f"{self.file_names[index]} in {source[0].path}" if isinstance(source, tuple) else str(source)

    def fingerprint(self) -> str:
        """sha256 of domain, class names, and each image's id, name, label, stated shape and size of file (-1 where missing)."""
        digest = hashlib.sha256(repr((self.domain, self.split, self.class_names)).encode())
        for index, name in enumerate(self.file_names):
            numbers = self.image_ids[index], self.labels[index], *self.shapes[index], _size(self._sources[index])
            digest.update("\0".join([name, *map(str, numbers)]).encode("utf-8", "surrogatepass") + b"\n")
        return digest.hexdigest()


def decode(data: bytes, where: str, stated: tuple[int, int] | None = None) -> np.ndarray:
    """Bytes of a JPEG or PNG file to (H, W, 3) uint8 RGB, the right way up for its `stated` (H, W) (see `pictures`).

    Raises `BadImageError` that names `where`.
    """
    try:
        with open_picture(data, formats=("JPEG", "PNG")) as picture:
            if picture.mode not in MODES:
                raise ValueError(f"its mode {picture.mode} is none of {', '.join(MODES)}")
            return np.array(rgb_picture(picture, stated))
    except IMAGE_ERRORS as error:
        why = "neither JPEG nor PNG" if isinstance(error, UnidentifiedImageError) else error
        raise BadImageError(f"Image {where} cannot be read ({why}): write it again.") from error


def measure_mean_std(images: Split) -> tuple[np.ndarray, np.ndarray]:
    """Mean and std of each channel over all pixels of all images as stored, (3,) float64, of pixels in 0..1.

    Pixels are counted by value, in integers, so the order of images does not matter.
    """
    counts = np.zeros((3, 256), np.int64)
    for pixels in in_threads(images.read, range(len(images))):
        counts += channel_counts(pixels)
    return mean_std_of(counts)


def channel_counts(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 to (3, 256) int64: how many pixels have each value."""
    return np.stack([np.bincount(pixels[..., c].ravel(), minlength=256) for c in range(3)])


def mean_std_of(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and std, (3,) each, of counted pixel values, as numbers in 0..1.

    >>> black_and_white = channel_counts(np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8))
    >>> [numbers.tolist() for numbers in mean_std_of(black_and_white)]
    [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]
    """
    values = np.arange(256) / 255
    n = counts.sum(1)
    mean = counts @ values / n
    return mean, np.sqrt(np.maximum((counts * (values - mean[:, None]) ** 2).sum(1) / n, 0))


def join(parts: Sequence[Split], split: str) -> Split:
    first, second = parts
    if first.class_names != second.class_names:
        raise UserError(
            f"The classes of {first.domain!r} differ between {first.split} and {second.split}: their annotation files "
            f"must list the same categories."
        )
    shared = np.intersect1d(first.image_ids, second.image_ids)
    if len(shared):
        raise UserError(
            f"Image id {shared[0]} of {first.domain!r} is in {first.split} and in {second.split}: give each its own."
        )
    table = Table(
        file=first.table_file,
        class_names=first.class_names,
        category_ids=first.category_ids,
        file_names=[*first.file_names, *second.file_names],
        image_ids=np.concatenate([first.image_ids, second.image_ids]),
        labels=np.concatenate([first.labels, second.labels]),
        shapes=np.concatenate([first.shapes, second.shapes]),
    )
    return Split(first.domain, split, table, [*first._sources, *second._sources])


def _size(source: Source) -> int:
    if isinstance(source, tuple):
        return source[2]
    try:
        return source.stat().st_size
    except OSError:
        return -1

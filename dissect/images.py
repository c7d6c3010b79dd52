"""Images and their labels, read ahead in threads while the network computes.

    with ImageReader(data, (224, 224), batch_size=32, workers=2, on_bad_image="skip") as reader:
        for numbers, pixels in reader.batches():        # (B,) image numbers, (B, H, W, 3) uint8
            ...
    labels = reader.label_cache[17]                     # what was read with the image, not read again

An image counts only if it and its label maps can be used: both are read, and checked, before the network sees it.
"""

from __future__ import annotations

import contextlib
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL.Image import Resampling

from data_prep.common.errors import UserError
from data_prep.common.pictures import IMAGE_ERRORS, WrongModeError, in_threads, is_turned, open_picture, rgb_picture
from data_prep.common.processes import Group
from data_prep.common.terminal import Progress, silent
from data_prep.formats import (
    DIGEST_BYTES,
    BadImageError,
    ImageLabels,
    ImageRecord,
    LabelledImages,
    PackableImages,
    PackedLabels,
    digest_of,
)

LABEL_CACHE_BYTES = 256 * 2**20


class Position(NamedTuple):
    """A place between two batches: images read or skipped before it, and how many of them were skipped."""

    n_read: int
    n_skipped: int


class ImageReader:
    """Batches of images in data-set order. What is read does not depend on `workers` or `batch_size`.

    size: (H, W) that images are resized to. workers: reading threads. on_bad_image: `skip` leaves an unusable image out and
    lists it in `skipped`, `fail` raises its `BadImageError`. label_cache: of an earlier reader of the same set, whose labels
    need not be read again. share: (k, n), to read only every n-th batch of the set, from batch k; `numbers` are those of its
    images. n_read: images read or skipped so far, of the batches handed out; set it to begin elsewhere.
    digests: (n_images, 16) uint8, a hash of the pixels and labels read of each image, 0 where it was skipped or not read.
    """

    def __init__(
        self,
        data: LabelledImages,
        size: tuple[int, int],
        *,
        batch_size: int,
        workers: int,
        on_bad_image: Literal["skip", "fail"],
        label_cache: LabelCache | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.data, self.size, self.batch_size = data, size, batch_size
        self.on_bad_image = on_bad_image
        self.label_cache = label_cache if label_cache is not None else LabelCache(data)
        # Whole batches are shared out: a convolution library may round otherwise for other images beside one.
        batch_of = np.arange(len(data.images)) // batch_size
        self.numbers = np.flatnonzero(batch_of % share[1] == share[0])
        self.skipped: list[tuple[int, str]] = []
        self.n_read = 0
        self.digests = np.zeros((len(data.images), DIGEST_BYTES), np.uint8)
        self._threads = ThreadPoolExecutor(max(workers, 1), thread_name_prefix="read")
        self._ahead = 2 * batch_size + max(workers, 1)

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Image numbers (B,) int64 and pixels (B, H, W, 3) uint8, starting at image number `n_read`."""
        for coming in self._in_order(self.numbers[self.n_read :], self._read):
            numbers, pixels, skipped = [], [], []
            for number, future in coming:
                try:
                    pixels.append(future.result())
                    numbers.append(number)
                except BadImageError as error:
                    if self.on_bad_image == "fail":
                        raise BadImageError(f"{str(error).rstrip('.')}, or set `on_bad_image` to skip.") from error
                    skipped.append((number, str(error)))
            # Only now, so that what an error in this batch leaves behind is the state before it.
            self.n_read += len(coming)
            self.skipped += skipped
            if numbers:
                yield np.array(numbers), np.stack(pixels)

    def batches_again(self, after: int = -1) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The same batches a second time, from the first that begins behind image number `after`.

        Raises `UserError` where an image or its labels are not what they were the first time.
        """
        start = -(-int(np.searchsorted(self.numbers, after, "right")) // self.batch_size) * self.batch_size
        left_out = {number for number, _ in self.skipped}
        for coming in self._in_order(self.numbers[start:], partial(self._read_again, left_out)):
            read = {number: future.result() for number, future in coming if number not in left_out}
            if read:
                yield np.array(list(read)), np.stack(list(read.values()))

    def _in_order(
        self, numbers: np.ndarray, read: Callable[[int], np.ndarray]
    ) -> Iterator[list[tuple[int, Future[np.ndarray]]]]:
        """The images of each batch, read ahead in threads."""
        waiting = deque(numbers.tolist())
        reading: deque[tuple[int, Future[np.ndarray]]] = deque()
        while waiting or reading:
            while waiting and len(reading) < self._ahead:
                number = waiting.popleft()
                reading.append((number, self._threads.submit(read, number)))
            yield [reading.popleft() for _ in range(min(self.batch_size, len(reading)))]

    @property
    def position(self) -> Position:
        """How far the batches handed out have come."""
        return Position(self.n_read, len(self.skipped))

    def reads_the_same(self, digests: np.ndarray) -> bool:
        """Whether the first images still give what `digests` (n, 16) say; reads them."""
        for start in range(0, len(digests), self._ahead):
            numbers = self.numbers[start : start + self._ahead][: len(digests) - start]
            for result in [self._threads.submit(self._read, number) for number in numbers.tolist()]:
                with contextlib.suppress(BadImageError):
                    result.result()
            if not np.array_equal(self.digests[numbers], digests[start : start + len(numbers)]):
                return False
        return True

    def _read_again(self, left_out: Collection[int], number: int) -> np.ndarray:
        if number in left_out:
            return np.zeros(0, np.uint8)
        before = self.digests[number].copy()
        try:
            pixels = self._read(number)
        except BadImageError as error:
            raise UserError(
                f"{str(error).rstrip('.')}; it could be read before: give the same command again."
            ) from error
        if not np.array_equal(self.digests[number], before):
            raise UserError(
                f"{self.data.images[number].path} or its labels were changed while the run was at work: restore them, and give "
                f"the same command again."
            )
        return pixels

    def _read(self, number: int) -> np.ndarray:
        of_labels = self.label_cache.read(number)
        record = self.data.images[number]
        pixels = read_image(record.path, self.size, record.image_shape)
        self.digests[number] = np.frombuffer(digest_of(pixels, of_labels), np.uint8)
        return pixels


class LabelCache:
    """Labels of images already read, compressed (a label map is a few kilobytes); those beyond the ceiling are read again.

    ceiling: bytes of compressed labels to keep. After `use_packed` the set's packed labels stand in for all that, if it has any.
    """

    def __init__(self, data: LabelledImages, ceiling: int = LABEL_CACHE_BYTES) -> None:
        self.data = data
        self._whole_set: PackedLabels | None = None
        self._asked = False
        self._digests: dict[int, np.ndarray] = {}
        self._packed: dict[int, tuple[bytes, tuple[int, ...], np.ndarray, np.ndarray]] = {}
        self._room = ceiling

    def use_packed(self, group: Group, progress: Progress = silent) -> None:
        """Take the labels from the set's packed ones, which the first process of the group packs where that is to be done."""
        if self._asked or not isinstance(self.data, PackableImages):
            return
        self._asked = True
        if not group.is_first:
            group.wait()
        self._whole_set = self.data.packed(progress)
        if group.is_first:
            group.wait()

    def read(self, number: int) -> np.ndarray:
        """Read and check the labels of one image; a hash of them. Raises `BadImageError`."""
        if self._whole_set is not None and (found := self._whole_set.digest(number)) is not None:
            return found
        if number in self._packed:
            return self._digests[number]
        labels = self.data.read_labels(number)
        digest = np.frombuffer(labels.digest(), np.uint8)
        packed = zlib.compress(labels.planes.astype(np.int32).tobytes(), 1)
        if self._room > len(packed):
            self._room -= len(packed)
            self._digests[number] = digest
            self._packed[number] = (packed, labels.planes.shape, labels.plane_category, labels.whole_image)
        return digest

    def __getitem__(self, number: int) -> ImageLabels:
        if self._whole_set is not None and (found := self._whole_set.read(number)) is not None:
            return found
        if number not in self._packed:
            return self.data.read_labels(number)
        packed, shape, plane_category, whole_image = self._packed[number]
        return ImageLabels(np.frombuffer(zlib.decompress(packed), np.int32).reshape(shape), plane_category, whole_image)


def read_image(path: Path, size: tuple[int, int], stated: tuple[int, int] | None = None) -> np.ndarray:
    """(H, W, 3) uint8 RGB; an image of another size is resized bilinearly to `size` = (H, W), whatever its aspect ratio.

    stated: (H, W) of the image by the index; it decides whether its orientation tag turns it (see `data_prep.common.pictures`).
    Raises `BadImageError` where the file is missing, truncated, or holds no 8-bit picture.
    """
    try:
        with open_picture(path) as picture:
            image = rgb_picture(picture, stated)
            if image.size != (size[1], size[0]):
                image = image.resize((size[1], size[0]), Resampling.BILINEAR)
            return np.asarray(image)
    except FileNotFoundError:
        raise BadImageError(f"{path} is missing: restore it.") from None
    except WrongModeError as error:
        raise BadImageError(f"{path} cannot be used ({error}): convert it.") from None
    except Exception as error:  # Pillow's readers raise a dozen kinds of error for a damaged file
        raise BadImageError(f"{path} cannot be read ({error}): restore it.") from error


def turned_images(records: Sequence[ImageRecord]) -> dict[str, tuple[int, int]]:
    """The images that are turned by their orientation tags, by name, and their (H, W) by the index; opens each, decodes none."""

    def stated(record: ImageRecord) -> tuple[int, int] | None:
        try:
            with open_picture(record.path) as picture:
                return record.image_shape if is_turned(picture, record.image_shape) else None
        except IMAGE_ERRORS:
            return None

    measured = [record for record in records if record.image_shape is not None]
    found = zip(measured, in_threads(stated, measured), strict=True)
    return {record.name: shape for record, shape in found if shape is not None}


def check_usable(n_usable: int, skipped: Sequence[tuple[int, str]]) -> None:
    """Raises `UserError` for a set of which nothing is left."""
    if not n_usable:
        reason = f"; the first: {skipped[0][1]}" if skipped else ""
        raise UserError(
            f"No image of the set can be used ({len(skipped)} skipped{reason}): check it with `data-prep check`."
        )

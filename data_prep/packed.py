"""The labels of a whole set in one file, decoded once: what `dissect` reads in place of thousands of label maps.

    path = packed_file("broden", f"{root} train")
    packed = open_packed(path, data.fingerprint())         # None where there is none, or it is damaged or stale, which is told
    packed = pack(path, data, progress)
    packed.read(3), packed.digest(3)                       # as data.read_labels(3) gives them; None where that raises

When it is used: the fingerprint of a set is a hash of its tables and of what each of its files holds. A file is read again for it
where its size, its times of change or its inode are others, or are of the last seconds (`data_prep.contents`). The packed file
keeps the fingerprint that it was made from and is used only while the set has the same; and it ends with its own sha256, which is
checked whenever it is opened. So neither a changed label map nor a damaged packed file is ever used.

The file, all numbers little-endian: for each image the values + 1 of the runs of equal pixels of all its planes, row by row, the
lengths of these runs, the category of each plane and the concepts of the whole image, as uint16, or uint32 where there are more
concepts; then for each image six int64 (`_COLUMNS`) and 16 bytes, the digest of its labels; the number of images and the bytes of
a number as int64, and the sha256 of the fingerprint. Runs take a tenth of the pixels and half the time of inflating them.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_prep.common.caches import FOLDER_VARIABLE, LABELS, cache_folder, make_room, mark_used
from data_prep.common.errors import UserError
from data_prep.common.files import slug
from data_prep.common.pictures import in_threads
from data_prep.common.sealed import read_sealed, sealed_write
from data_prep.common.terminal import Progress, silent
from data_prep.formats import DIGEST_BYTES, NO_CONCEPT, BadImageError, ImageLabels, LabelledImages

VERSION = 1
"""Raised whenever decoding or the layout changes; it is part of the name of a file."""

ENDING = ".labels"
_COLUMNS = ("first number", "runs", "planes", "height", "width", "concepts of the whole image")
_UNUSABLE = -1  # in place of the number of planes
_FOOTER = 8 + 8 + 32
_LONGEST = 2**15  # pixels of a run, so that its length fits into any number
_TOLD_EVERY = 64  # images

_log = logging.getLogger(__name__)


class Packed:
    """An open packed file, a `PackedLabels`. n_unusable: images whose labels could not be read."""

    def __init__(self, path: Path, content: np.ndarray) -> None:
        self.path = path
        n, width = content[-_FOOTER:-32].view("<i8").tolist()
        digests = len(content) - _FOOTER - DIGEST_BYTES * n
        table = digests - 8 * len(_COLUMNS) * n
        self._numbers = content[:table].view(f"<u{width}")
        self._table = np.frombuffer(content[table:digests].tobytes(), "<i8").reshape(n, len(_COLUMNS))
        self._digests = content[digests:-_FOOTER].reshape(n, DIGEST_BYTES)
        self.n_unusable = int(np.count_nonzero(self._table[:, 2] == _UNUSABLE))

    def __len__(self) -> int:
        return len(self._table)

    def digest(self, index: int) -> np.ndarray | None:
        """(16,) uint8, `ImageLabels.digest` of one image; None where its labels could not be read."""
        return None if self._table[index, 2] == _UNUSABLE else self._digests[index]

    def read(self, index: int) -> ImageLabels | None:
        """The labels of one image; None where they could not be read."""
        first, n_runs, n_planes, height, width, n_whole = self._table[index].tolist()
        if n_planes == _UNUSABLE:
            return None
        numbers = self._numbers[first : first + 2 * n_runs + n_planes + n_whole]
        values = numbers[:n_runs].astype(np.int32)
        values += NO_CONCEPT
        planes = np.repeat(values, numbers[n_runs : 2 * n_runs]).reshape(n_planes, height, width)
        rest = numbers[2 * n_runs :].astype(np.int32)
        return ImageLabels(planes, rest[:n_planes], rest[n_planes:])


def packed_file(name: str, which: str) -> Path:
    """Where the labels of the set called `name` lie, in the cache folder; another `which`, its root and choices, has another."""
    key = hashlib.sha256(f"{VERSION} {which}".encode("utf-8", "surrogateescape")).hexdigest()[:20]
    return cache_folder() / LABELS / f"{slug(name)[:80]}-{key}{ENDING}"


def open_packed(path: Path, fingerprint: str) -> Packed | None:
    """The packed file, if it was made from a set of this fingerprint; a damaged or a stale one is told and not used."""
    try:
        if not path.exists():
            return None
        content = read_sealed(path)
    except OSError as error:
        _log.warning("%s cannot be read (%s): labels are read from their maps.", path, error.strerror or error)
        return None
    if content is None or len(content) < _FOOTER:
        _log.warning("%s is damaged: labels are packed again.", path)
    elif content[-32:].tobytes() != _hash(fingerprint):
        _log.warning("%s is stale, as files of the set have changed: labels are packed again.", path)
    else:
        mark_used(path)
        return Packed(path, content)
    return None


def pack(path: Path, data: LabelledImages, progress: Progress = silent) -> Packed | None:
    """Read the labels of all images, and write them as the file, whole or not at all; None where the set changes meanwhile.

    `progress("packing", done, total)` is called. Deletes older files of the folder beyond the limit (see `make_room`). Raises
    `UserError` where the folder takes none.
    """
    fingerprint, width = data.fingerprint(), 2 if len(data.concepts) < 2**16 else 4
    table: list[tuple[int, ...]] = []
    digests, first = [], 0

    def packed(index: int) -> _Image | None:
        try:
            return _packed(data.read_labels(index), np.dtype(f"<u{width}"))
        except BadImageError:  # whoever wants the image reads the maps, and gets the error
            return None

    with _advice(path.parent), sealed_write(path) as add:
        for n, image in enumerate(in_threads(packed, range(len(data.images)))):
            if image is None:
                table.append((first, 0, _UNUSABLE, 0, 0, 0))
                digests.append(bytes(DIGEST_BYTES))
            else:
                add(image.numbers.tobytes())
                table.append((first, image.n_runs, *image.shape, image.n_whole))
                digests.append(image.digest)
                first += len(image.numbers)
            if not (n + 1) % _TOLD_EVERY or n + 1 == len(data.images):
                progress("packing", n + 1, len(data.images))
        add(bytes(-first * width % 8))  # the table begins at a multiple of its numbers' size
        add(np.array(table, "<i8").tobytes())
        add(b"".join(digests))
        add(np.array([len(table), width], "<i8").tobytes())
        add(_hash(fingerprint))
    if data.fingerprint() != fingerprint:
        path.unlink(missing_ok=True)
        return None
    make_room(path.parent, f"*{ENDING}", keep=path)
    return open_packed(path, fingerprint)


class _Image(NamedTuple):
    numbers: np.ndarray
    n_runs: int
    shape: tuple[int, ...]
    n_whole: int
    digest: bytes


def _packed(labels: ImageLabels, number: np.dtype) -> _Image:
    """One image as it stands in the file."""
    pixels = labels.planes.ravel()
    begins = np.ones(pixels.size, np.bool_)
    begins[1:] = pixels[1:] != pixels[:-1]
    begins[::_LONGEST] = True
    starts = np.flatnonzero(begins)
    parts = pixels[starts] - NO_CONCEPT, np.diff(starts, append=pixels.size), labels.plane_category, labels.whole_image
    numbers = np.concatenate([part.astype(number) for part in parts])
    return _Image(numbers, len(starts), labels.planes.shape, len(labels.whole_image), labels.digest())


@contextmanager
def _advice(folder: Path) -> Iterator[None]:
    """What the disk refuses, as a sentence that says what to do."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder} cannot hold packed labels ({error.strerror or error}): make room for them there, or set "
            f"{FOLDER_VARIABLE} to another folder."
        ) from error


def _hash(fingerprint: str) -> bytes:
    return hashlib.sha256(fingerprint.encode()).digest()

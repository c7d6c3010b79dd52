"""Decoded images of one split in one file, which says when it is no longer what was written.

    path = decoded_file(cache, "dtd-train", f"{fingerprint} {size}")
    found = read_decoded(path, n_images)               # (pixels, sizes), or None where they are to be decoded
    write_decoded(path, images)                        # of an iterable of (H, W, 3) uint8

The file holds the pixels of all images, one after the other; H and W of each, as int32; how many there are, as int64; and the
sha256 of all that. Numbers are little-endian. The hash is checked whenever a file is opened, at about the speed of a disk: other
pixels would train other weights without a word.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from data_prep.common.caches import make_room, mark_used
from data_prep.common.errors import UserError
from data_prep.common.files import atomic_write

DECODED_VERSION = 2
"""Raised whenever decoding or the layout changes; it is part of the name of a file."""

ENDING = ".pixels"
_HASH, _COUNT, _SIZE = 32, 8, 8  # bytes of the hash, of the number of images, and of H and W of one
_BLOCK = 2**22

_log = logging.getLogger(__name__)


def decoded_file(cache: Path, name: str, content: str) -> Path:
    """Where images called `name` lie; another `content` has another file.

    >>> decoded_file(Path("cache"), "dtd-train", "abc 72").name
    'dtd-train-1c3968399718be71f0d9.pixels'
    """
    key = hashlib.sha256(f"{DECODED_VERSION} {content}".encode()).hexdigest()[:20]
    return cache / f"{name}-{key}{ENDING}"


def read_decoded(path: Path, n_images: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(all pixels, mapped from the file; (N, 2) int32 sizes); None where there is no file, or a damaged one, which is told."""
    if not path.exists():
        return None
    if path.is_file() and (found := _whole(path, n_images)):
        mark_used(path)
        return found
    _log.warning("%s is damaged: its images are decoded again.", path)
    return None


def write_decoded(path: Path, images: Iterable[np.ndarray]) -> None:
    """The images as the file, whole or not at all; deletes older files of the folder beyond the limit (see `make_room`).

    Raises `UserError` where the folder takes none.
    """
    sizes, digest = [], hashlib.sha256()
    with _advice(path.parent), atomic_write(path) as file:

        def add(content: bytes) -> None:
            digest.update(content)
            file.write(content)

        for image in images:
            sizes.append(image.shape[:2])
            add(image.tobytes())
        add(np.array(sizes, "<i4").tobytes())
        add(len(sizes).to_bytes(_COUNT, "little"))
        file.write(digest.digest())
    make_room(path.parent, f"*{ENDING}", keep=path)


def _whole(path: Path, n_images: int) -> tuple[np.ndarray, np.ndarray] | None:
    length = path.stat().st_size - _HASH - _COUNT - _SIZE * n_images
    if length <= 0:
        return None
    with path.open("rb") as file:
        digest, left = hashlib.sha256(), path.stat().st_size - _HASH
        while left and (block := file.read(min(left, _BLOCK))):
            digest.update(block)
            left -= len(block)
        if file.read() != digest.digest():
            return None
        file.seek(length)
        sizes = np.frombuffer(file.read(_SIZE * n_images), "<i4").reshape(n_images, 2)
        n_written = int.from_bytes(file.read(_COUNT), "little")
    if n_written != n_images or int((3 * sizes.astype(np.int64).prod(1)).sum()) != length:
        return None
    # A slice of a plain array costs a tenth of one of a memmap.
    return np.memmap(path, np.uint8, "r", shape=(length,)).view(np.ndarray), sizes


@contextmanager
def _advice(cache: Path) -> Iterator[None]:
    """What the disk refuses, as a sentence that names the option."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{cache} cannot hold decoded images ({error.strerror or error}): make room for them there, or give another folder "
            f"as `cache`."
        ) from error

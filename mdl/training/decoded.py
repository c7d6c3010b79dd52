"""Decoded images of one split in one file, which says when it is no longer what was written.

    path = decoded_file(cache, "dtd-train", f"{fingerprint} {size}")
    found = read_decoded(path, n_images)               # (pixels, sizes), or None where they are to be decoded
    write_decoded(path, images)                        # of an iterable of (H, W, 3) uint8

The file holds the pixels of all images, one after the other; H and W of each, as int32; and how many there are, as int64; numbers
are little-endian. It is sealed (`data_prep.common.sealed`): other pixels would train other weights without a word.
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
from data_prep.common.sealed import read_sealed, sealed_write

DECODED_VERSION = 2
"""Raised whenever decoding or the layout changes; it is part of the name of a file."""

ENDING = ".pixels"
_COUNT, _SIZE = 8, 8  # bytes of the number of images, and of H and W of one

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
    sizes = []
    with _advice(path.parent), sealed_write(path) as add:
        for image in images:
            sizes.append(image.shape[:2])
            add(image.tobytes())
        add(np.array(sizes, "<i4").tobytes())
        add(len(sizes).to_bytes(_COUNT, "little"))
    make_room(path.parent, f"*{ENDING}", keep=path)


def _whole(path: Path, n_images: int) -> tuple[np.ndarray, np.ndarray] | None:
    content = read_sealed(path)
    if content is None or (length := len(content) - _COUNT - _SIZE * n_images) <= 0:
        return None
    sizes = np.frombuffer(content[length:-_COUNT].tobytes(), "<i4").reshape(n_images, 2)
    n_written = int.from_bytes(content[-_COUNT:].tobytes(), "little")
    if n_written != n_images or int((3 * sizes.astype(np.int64).prod(1)).sum()) != length:
        return None
    return content[:length], sizes


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

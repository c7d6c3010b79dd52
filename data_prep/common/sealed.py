"""Files that end with the sha256 of what stands before it, so that damage shows when they are opened.

    with sealed_write(path) as add:
        add(b"some bytes")                     # of any number of pieces; the file appears whole, or not at all
    content = read_sealed(path)                # (n,) uint8, mapped from the file; None where it is damaged

The hash is checked whenever a file is opened, at about the speed of a disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from data_prep.common.files import atomic_write

_HASH, _BLOCK = 32, 2**22  # bytes


@contextmanager
def sealed_write(path: Path) -> Iterator[Callable[[bytes], None]]:
    """What adds bytes to a new file, which takes the place of `path` at the end of the `with` block. Raises `OSError`."""
    digest = hashlib.sha256()
    with atomic_write(path) as file:

        def add(content: bytes) -> None:
            digest.update(content)
            file.write(content)

        yield add
        file.write(digest.digest())


def read_sealed(path: Path) -> np.ndarray | None:
    """(n,) uint8: what was added, mapped from the file; None where that is no longer what was written. Raises `OSError`."""
    length = path.stat().st_size - _HASH
    if not path.is_file() or length <= 0:
        return None
    with path.open("rb") as file:
        digest, left = hashlib.sha256(), length
        while left and (block := file.read(min(left, _BLOCK))):
            digest.update(block)
            left -= len(block)
        if file.read() != digest.digest():
            return None
    # A slice of a plain array costs a tenth of one of a memmap.
    return np.memmap(path, np.uint8, "r", shape=(length,)).view(np.ndarray)

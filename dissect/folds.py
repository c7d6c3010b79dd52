"""The images in folds, so that a count can say how much it owes to the choice of images.

    folds = image_folds([image.name for image in data.images], 10, used)      # (n,) fold of each image

Counts are kept by fold (`ParallelTally`); what would have been found without a fold is total minus fold (`unit_tables`), and
the delete-a-group jackknife makes intervals of that (`reports.intervals`). A fold is decided by the names of the images used, so
it does not depend on their order; the names are hashed first, because neighbours in a data set are often alike.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from data_prep.common.errors import UserError


def image_folds(names: Sequence[str], n_folds: int, used: np.ndarray | None = None) -> np.ndarray:
    """(n,) int64 in 0..n_folds - 1; folds differ by one image at most. Raises `UserError` for more folds than images.

    used: (n,) bool, the images among which the folds are even; all if not given.

    >>> image_folds(["cat.jpg", "dog.jpg", "street.jpg", "yard.jpg"], 2).tolist()
    [0, 0, 1, 1]
    """
    if n_folds > max(len(names), 1):
        raise UserError(f"The set has {len(names)} images, fewer than {n_folds} folds: give `folds` a lower number.")
    last = np.zeros(len(names), np.bool_) if used is None else ~used
    hashes = [zlib.crc32(name.encode("utf-8", "surrogateescape")) for name in names]
    order = sorted(range(len(names)), key=lambda n: (last[n], hashes[n], names[n]))
    folds = np.empty(len(names), np.int64)
    folds[order] = np.arange(len(names)) % n_folds
    return folds

"""The images on which each unit fires most.

    strongest = StrongestImages(n_units=512, n_kept=8)
    strongest.add(peaks, images)              # peaks (B, U) of images (B,)
    strongest.image[17]                       # image numbers for unit 17, strongest first; -1 where there are fewer

Ties go to the image that comes first in the data set, so batches, workers and order do not matter:

>>> strongest = StrongestImages(n_units=1, n_kept=2)
>>> strongest.add(np.array([[3.0], [7.0]], np.float32), np.array([5, 6]))
>>> strongest.add(np.array([[7.0], [1.0]], np.float32), np.array([0, 1]))
>>> strongest.image.tolist(), strongest.peak.tolist()
([[0, 6]], [[7.0, 7.0]])
"""

from __future__ import annotations

import numpy as np


class StrongestImages:
    """For each unit the `n_kept` images with the largest activation. Merges by pooling images.

    image: (U, n_kept) int32, numbers in the data set; -1 where fewer were seen. peak: (U, n_kept) float32, the unit's
    largest activation on each; minus infinity there.
    """

    def __init__(self, n_units: int, n_kept: int) -> None:
        self.peak = np.full((n_units, n_kept), -np.inf, np.float32)
        self.image = np.full((n_units, n_kept), -1, np.int32)

    def add(self, peaks: np.ndarray, images: np.ndarray) -> None:
        """peaks: (B, U) float32, the largest activation of every unit on each of the images (B,)."""
        peaks = peaks.T
        changed = np.flatnonzero((peaks >= self.peak[:, -1:]).any(1))
        if len(changed):
            columns = np.broadcast_to(images.astype(np.int32), (len(changed), len(images)))
            self._pool(changed, peaks[changed], columns)

    def merge(self, other: StrongestImages) -> None:
        self._pool(np.arange(len(self.peak)), other.peak, other.image)

    def _pool(self, units: np.ndarray, peaks: np.ndarray, images: np.ndarray) -> None:
        n_kept = self.peak.shape[1]
        peaks = np.concatenate([self.peak[units], peaks], 1)
        images = np.concatenate([self.image[units], images], 1)
        order = np.lexsort((images, -peaks), axis=1)[:, :n_kept]
        self.peak[units] = np.take_along_axis(peaks, order, 1)
        self.image[units] = np.take_along_axis(images, order, 1)

"""The strongest images of every unit with their masks, as strongest/NETWORK.npz of a run folder holds them. No torch.

run.strongest_masks("imagenet12").mask(unit_row, 0)     # (H, W) bool: the unit's mask on its strongest image
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StrongestMasks:
    """The images on which each unit fires most, strongest first, and the unit's mask on each.

    image: (U, N) int32, position in `images.csv`; -1 where a unit has fewer than N images above its threshold.
    peak: (U, N) float32, the unit's largest activation on that image.
    Masks are those that were counted: the map upsampled to the image's label map, strictly above the threshold.
    """

    image: np.ndarray
    peak: np.ndarray
    mask_shape: np.ndarray  # (U, N, 2) int32: H, W
    mask_offset: np.ndarray  # (U, N) int64: first byte of the mask in mask_bits
    mask_bits: np.ndarray  # uint8, every mask's rows packed as one string of bits

    @classmethod
    def none(cls, n_units: int) -> StrongestMasks:
        """Those of units of which no image is kept: N is 0."""
        nothing = np.zeros((n_units, 0), np.int32)
        shape = np.zeros((n_units, 0, 2), np.int32)
        return cls(nothing, nothing.astype(np.float32), shape, nothing.astype(np.int64), np.zeros(0, np.uint8))

    def mask(self, unit_row: int, rank: int) -> np.ndarray:
        """(H, W) bool mask of the unit in row `unit_row` on its strongest image number `rank` (0 = strongest)."""
        height, width = (int(n) for n in self.mask_shape[unit_row, rank])
        start = int(self.mask_offset[unit_row, rank])
        packed = self.mask_bits[start : start + (height * width + 7) // 8]
        return np.unpackbits(packed, count=height * width).reshape(height, width).astype(bool)

"""How often each unit takes which value: its activations, counted in bins that never change.

    histogram = Histogram(n_units=512)
    histogram.add(maps)                       # (B, U, h, w) float32, any batches in any order
    histogram.on_host()                       # (U, N) int64 counts of the bins between `EDGES` (N + 1,)

A bin is a quarter of an octave of one sign. The highest bits of a float32 name it: sign, exponent, two bits of the fraction. So
counting looks at each value once and rounds nothing. All that is nearer to zero than 2^-16 is in the bin in the middle, and
2^16 or more in the last of its sign. A bin holds its edge nearer to zero. Merges by addition. Still it takes half as long as all
that thresholds need, so of a large set some images only are counted (`sampled_images`).

>>> histogram = Histogram(n_units=1)
>>> histogram.add(torch.tensor([0.0, 1.0, 1.2, 1.25, -1.0]).reshape(1, 1, 1, 5))
>>> [(EDGES[k], EDGES[k + 1], n) for k, n in enumerate(histogram.on_host()[0].tolist()) if n]  # doctest: +NORMALIZE_WHITESPACE
[(np.float32(-1.25), np.float32(-1.0), 1), (np.float32(-1.5258789e-05), np.float32(1.5258789e-05), 1),
 (np.float32(1.0), np.float32(1.25), 2), (np.float32(1.25), np.float32(1.5), 1)]
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dissect.compiled import compiled

MOST_IMAGES = 512
"""Images that histograms are of, at most."""

OCTAVES = 16
"""Powers of two either side of 1 that have bins of their own."""

STEPS = 4
"""Bins in an octave."""

N_SIDE = 2 * OCTAVES * STEPS + 1
"""Bins of one sign; the outermost holds all that is larger."""

N_BINS = 2 * N_SIDE + 1

PORTION = 2**23
"""Activations looked at together on a GPU, at most; each takes some 20 bytes meanwhile."""


def _edges() -> np.ndarray:
    octave = np.ldexp(1.0, np.arange(-OCTAVES, OCTAVES))[:, None] * (1 + np.arange(STEPS) / STEPS)
    side = np.array([*octave.ravel(), 2.0**OCTAVES, np.finfo(np.float32).max])
    return np.concatenate([-side[::-1], side]).astype(np.float32)


EDGES = _edges()
"""(N_BINS + 1,) float32; the outermost are the largest numbers that there are."""


def _bin_of_bits() -> np.ndarray:
    """(2048,) int64: the bin of each value of a float32's eleven highest bits."""
    lowest = (np.arange(2048, dtype=np.uint32) << 21).view(np.float32)  # of these values the nearest to zero
    with np.errstate(invalid="ignore"):
        step = np.searchsorted(EDGES[N_SIDE + 1 :], np.abs(lowest), "right").clip(max=N_SIDE)
    return np.where(np.signbit(lowest), N_SIDE - step, N_SIDE + step).astype(np.int64)


BIN_OF_BITS = _bin_of_bits()


def sampled_images(names: Sequence[str]) -> np.ndarray:
    """(n,) bool: the images whose activations are counted, decided by their names, whatever their order: all of a small set.

    >>> sampled_images(["cat.jpg", "dog.jpg"]).tolist()
    [True, True]
    """
    order = sorted(range(len(names)), key=lambda n: (zlib.crc32(names[n].encode("utf-8", "surrogateescape")), names[n]))
    chosen = np.zeros(len(names), np.bool_)
    chosen[order[:MOST_IMAGES]] = True
    return chosen


class Histogram:
    """counts: (U, N_BINS) int64, on the device of the maps."""

    def __init__(self, n_units: int, device: str | torch.device = "cpu") -> None:
        self.counts = torch.zeros((n_units, N_BINS), dtype=torch.int64, device=device)
        self._bin_of_bits = torch.from_numpy(BIN_OF_BITS).to(device)

    def add(self, maps: Tensor) -> None:
        """maps: (B, U, h, w) float32, finite."""
        # One image's position after the other, its units side by side: as a convolution leaves them, mostly.
        values = maps.permute(0, 2, 3, 1).reshape(-1, len(self.counts)).contiguous()
        if values.device.type == "cpu":
            _count(values.numpy().view(np.uint32), BIN_OF_BITS.astype(np.uint64), self.counts.view(-1).numpy())
            return
        first = torch.arange(len(self.counts), device=values.device) * N_BINS
        for some in values.view(torch.int32).split(max(PORTION // len(self.counts), 1)):
            place = self._bin_of_bits[(some >> 21).bitwise_and(2047)] + first
            self.counts.view(-1).index_add_(0, place.flatten(), torch.ones_like(place).flatten())

    def on_host(self) -> np.ndarray:
        """(U, N_BINS) int64; on a CPU the very array that is counted in."""
        return self.counts.cpu().numpy()

    def restore(self, counts: np.ndarray) -> None:
        """Continue with what another of as many units counted."""
        self.counts = torch.tensor(counts, device=self.counts.device)


@compiled
def _count(bits: np.ndarray, bin_of_bits: np.ndarray, counts: np.ndarray) -> None:  # pragma: no cover - compiled
    """bits: (n, U) uint32 of the values. bin_of_bits: uint64, as places that may be negative are looked at twice."""
    for row in bits:
        first = np.uint64(0)
        for value in row:
            counts[first + bin_of_bits[value >> np.uint32(21)]] += 1
            first += np.uint64(N_BINS)

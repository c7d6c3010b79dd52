"""Would the maps that can still pass take too much disk?

    estimate = DiskEstimate(layers, n_images=63_305, allowed=20 * 10**9)
    if estimate.too_much(peaks, tails, n_seen, n_bytes_on_disk):      # after each batch
        ...                                                   # keep no map, and show the network the images again

What a unit must exceed rises while images come in: after n of N images it is about the quantile of the n seen that leaves out
as many values as the final tail has. A sample of the first images tells how many of their maps exceed that quantile, for each n;
summed over all n that is what will be stored. The sum is made once, and what lies on the disk is watched after that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dissect.device_tail import Tail
from dissect.layers import Layer
from dissect.thresholds import UpperTail

SAMPLE = 32
"""Images that the estimate is made from at least; a hundredth of all of them where that is more."""

N_UNITS = 128
"""Units of each layer that it looks at."""


class DiskEstimate:
    """allowed: bytes. Where all maps of all images take no more, nothing is estimated."""

    def __init__(self, layers: Sequence[Layer], n_images: int, allowed: int) -> None:
        self.n_images, self.allowed = n_images, allowed
        self.map_bytes = [layer.n_positions * 4 for layer in layers]
        self.n_units = [layer.n_units for layer in layers]
        everything = n_images * sum(n * size for n, size in zip(self.n_units, self.map_bytes, strict=True))
        self._samples: list[Sequence[np.ndarray]] | None = [] if everything > allowed else None

    def too_much(self, peaks: Sequence[np.ndarray], tails: Sequence[Tail], n_seen: int, n_bytes_on_disk: int) -> int:
        """The bytes that are needed where they are more than allowed, else 0.

        peaks: (B, U) float32 of each layer, the largest values of the last batch's maps. tails: of all `n_seen` images.
        n_bytes_on_disk: what is stored by now.
        """
        if self._samples is not None:
            self._samples.append([of_layer[:, _some(of_layer.shape[1])] for of_layer in peaks])
            if sum(len(batch[0]) for batch in self._samples) >= max(SAMPLE, self.n_images // 100):
                sample = [np.concatenate(of_layer) for of_layer in zip(*self._samples, strict=True)]
                self._samples = None
                if (expected := self.expected(sample, [tail.on_host() for tail in tails], n_seen)) > self.allowed:
                    return expected
        return n_bytes_on_disk if n_bytes_on_disk > self.allowed else 0

    def expected(self, sample: Sequence[np.ndarray], tails: Sequence[UpperTail], n_seen: int) -> int:
        """Bytes of the maps that can still pass when they are seen, of all images.

        sample: (s, some units) peaks of each layer, of some of the `n_seen` images that the tails hold.
        """
        numbers = np.unique(np.geomspace(n_seen, self.n_images, 9).astype(int))
        total = 0.0
        for peaks, tail, n_units, map_bytes in zip(sample, tails, self.n_units, self.map_bytes, strict=True):
            share = [_passing_share(peaks, tail, n_seen / n) for n in numbers]
            total += (n_seen + np.trapezoid(share, numbers)) * n_units * map_bytes
        return int(total)


def _some(n_units: int) -> np.ndarray:
    return np.unique(np.linspace(0, n_units - 1, min(n_units, N_UNITS)).astype(int))


def _passing_share(peaks: np.ndarray, tail: UpperTail, part: float) -> float:
    """The share of the sample that exceeds what its units will have to once the images seen now are `part` of those seen."""
    rank = max(int(tail.keep * part), 1)
    above = 0
    for column, unit in enumerate(_some(len(tail.count))):
        values = tail.values[unit, : tail.count[unit]]
        bound = np.partition(values, len(values) - rank)[len(values) - rank] if rank <= len(values) else -np.inf
        above += int((peaks[:, column] > bound).sum())
    return above / peaks.size

"""The exact threshold of every unit, where the activations are: `thresholds.UpperTail` on a GPU.

    tail = DeviceTail(n_units=512, n_values=400 * 81, level=0.995, device="cuda")
    tail.add(maps, units)                     # tensors on the device
    threshold = tail.quantile(n_values)       # (U,) float32 on the host, the bits of `UpperTail`
    tail.on_host()                            # an `UpperTail` that knows the same: what a checkpoint saves

A run begun on a GPU goes on where there is none, and the other way round: both keep the values above a bound that only rises,
though not at the same moments, so that either can take up what the other has kept.

>>> maps = torch.arange(12, dtype=torch.float32).reshape(3, 2, 2)   # three maps of 2 x 2 of one unit
>>> tail = DeviceTail(n_units=1, n_values=12, level=0.75, device="cpu")
>>> tail.add(maps, units=torch.zeros(3, dtype=torch.int64))
>>> tail.quantile(12).tolist()
[8.25]
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dissect.thresholds import UpperTail, between, checked_tail_size

PORTION = 2**23
"""Activations looked at together; a first batch, which passes whole, takes some 60 bytes for each meanwhile."""


class DeviceTail:
    """The largest activations of every unit of a layer. Merges by pooling values: any split, any order, same bits.

    values (U, keep + slack) float32, count (U,) int64, bound (U,) float32: tensors on the device, those of an `UpperTail`; behind
    the `count` values of a unit stands minus infinity, which is no activation.
    """

    def __init__(self, n_units: int, n_values: int, level: float, device: str | torch.device) -> None:
        like = UpperTail(n_units, n_values, level)
        self.n_values, self.level, self.keep = n_values, level, like.keep
        self.values = torch.full(like.values.shape, -torch.inf, device=device)
        self.count = torch.zeros(n_units, dtype=torch.int64, device=device)
        self.bound = torch.full((n_units,), -torch.inf, device=device)

    def add(self, maps: np.ndarray | Tensor, units: np.ndarray | Tensor) -> None:
        """maps: (n, h, w) float32, one for each of the units (n,). Maps that lie below `bound` may be left out."""
        if not len(maps):
            return
        flat = torch.as_tensor(maps).to(self.bound.device).flatten(1)
        units = torch.as_tensor(units).to(self.bound.device, torch.int64)
        n = max(PORTION // flat.shape[1], 1)
        for some, its_units in zip(flat.split(n), units.split(n), strict=True):
            which, position = torch.nonzero(some > self.bound[its_units, None], as_tuple=True)
            unit, order = its_units[which].sort(stable=True)
            self._push(unit, some[which, position][order])

    def merge(self, other: DeviceTail) -> None:
        """Pool with another tail of the same units, made for the same number of values."""
        if (other.keep, len(other.count)) != (self.keep, len(self.count)):
            raise ValueError(f"Tails of {self.keep} and {other.keep} values cannot be pooled.")
        self.add(other.values[:, None], torch.arange(len(self.count), device=self.count.device))

    def quantile(self, n_values: int) -> np.ndarray:
        """The threshold of every unit over `n_values` activations: (U,) float32, as `numpy.quantile` rounds it."""
        keep = checked_tail_size(self.keep, int(self.count.min()), n_values, self.level)
        # The smallest two of the `keep` largest: the order statistics either side of the position.
        pairs = [
            some.topk(keep, sorted=False).values.topk(min(keep, 2), largest=False).values
            for some in self.values.split(self._n_together)
        ]
        lower_and_upper = torch.cat(pairs).cpu().numpy()
        return between(lower_and_upper[:, 0], lower_and_upper[:, -1], n_values, self.level)

    def on_host(self) -> UpperTail:
        """A tail that knows the same in the memory of the host."""
        tail = UpperTail(len(self.count), self.n_values, self.level)
        tail.restore(*(tensor.cpu().numpy().copy() for tensor in (self.values, self.count, self.bound)))
        return tail

    def restore(self, values: np.ndarray, count: np.ndarray, bound: np.ndarray) -> None:
        """Continue with the arrays of another tail of the same units and sizes, of this kind or an `UpperTail`."""
        filled = np.where(np.arange(values.shape[1]) < count[:, None], values, np.float32("-inf"))
        device = self.values.device
        self.values, self.count, self.bound = (torch.tensor(array, device=device) for array in (filled, count, bound))

    def _push(self, unit: Tensor, value: Tensor) -> None:
        """unit: (n,) int64, ascending; value: (n,) float32, above the bound of its unit."""
        n_units, capacity = self.values.shape
        while len(unit):
            start = torch.searchsorted(unit, torch.arange(n_units + 1, device=unit.device))
            place = self.count[unit] + torch.arange(len(unit), device=unit.device) - start[unit]
            total = self.count + start.diff()
            full = torch.nonzero(total >= capacity).flatten()
            if not len(full):  # nearly always
                self.values[unit, place] = value
                self.count = total
                return
            fits = place < capacity
            self.values[unit[fits], place[fits]] = value[fits]
            self.count = total.clamp(max=capacity)
            self._compact(full)
            left = ~fits & (value > self.bound[unit])
            unit, value = unit[left], value[left]

    def _compact(self, full: Tensor) -> None:
        """Keep the largest of these units' values, the smallest of which is their bound from now on."""
        for units in full.split(self._n_together):
            largest = self.values[units].topk(self.keep, sorted=False).values
            self.values[units] = -torch.inf
            self.values[units, : self.keep] = largest
            self.count[units] = self.keep
            self.bound[units] = largest.amin(1)

    @property
    def _n_together(self) -> int:
        """Units whose tails may be copied at once."""
        return max(PORTION // self.values.shape[1], 1)


Tail = UpperTail | DeviceTail
"""Of the activations of a layer, where they are kept."""

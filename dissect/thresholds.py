"""The exact threshold of every unit, from one pass over its activations.

    tail = UpperTail(n_units=512, n_values=400 * 81, level=0.995)
    tail.add(maps, units)                     # any order, any number of times
    threshold = tail.quantile(n_values)       # == numpy.quantile(all activations of the unit, 0.995), to the last bit

Only the m largest values of each unit can matter, m = n - floor(level * (n - 1)). The m-th largest so far never falls as
values come in, so it is a safe lower bound of the final threshold (`bound`): what does not exceed it can be dropped.

>>> maps = np.arange(12, dtype=np.float32).reshape(3, 2, 2)         # three maps of 2 x 2 of one unit
>>> tail = UpperTail(n_units=1, n_values=12, level=0.75)
>>> tail.add(maps, units=np.zeros(3, np.int32))
>>> tail.quantile(12).tolist(), float(np.quantile(maps, 0.75))
([8.25], 8.25)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from data_prep.common.errors import UserError
from dissect.compiled import compiled

if TYPE_CHECKING:
    from torch import Tensor


def tail_size(n_values: int, level: float) -> int:
    """How many of the largest of `n_values` values decide their `level` quantile (method `linear`).

    >>> tail_size(400 * 81, 0.995)
    163
    """
    return n_values - math.floor((n_values - 1) * level)


class UpperTail:
    """The largest activations of every unit of a layer. Merges by pooling values: any split, any order, same bits.

    n_values: how many activations each unit will show, or more: a number that is too low would lose values.
    """

    def __init__(self, n_units: int, n_values: int, level: float) -> None:
        self.level = level
        self.keep = tail_size(n_values, level)
        slack = max(self.keep // 4, 256)
        self.values = np.empty((n_units, self.keep + slack), np.float32)
        self.count = np.zeros(n_units, np.int64)
        self.bound = np.full(n_units, -np.inf, np.float32)

    @staticmethod
    def bytes_needed(n_units: int, n_values: int, level: float) -> int:
        """Memory that the tail of so many units takes, however few of the values come."""
        keep = tail_size(n_values, level)
        return n_units * (keep + max(keep // 4, 256)) * 4

    def add(self, maps: np.ndarray | Tensor, units: np.ndarray) -> None:
        """maps: (n, h, w) float32, one for each of the units (n,). Maps that lie below `bound` may be left out."""
        maps = np.asarray(maps)
        flat = maps.reshape(len(maps), maps[0].size if len(maps) else 0)
        _push(flat, units, self.values, self.count, self.bound, self.keep)

    def merge(self, other: UpperTail) -> None:
        """Pool with another tail of the same units, made for the same number of values."""
        if (other.keep, len(other.count)) != (self.keep, len(self.count)):
            raise ValueError(f"Tails of {self.keep} and {other.keep} values cannot be pooled.")
        for unit, count in enumerate(other.count):
            self.add(other.values[None, unit, :count], np.array([unit]))

    def quantile(self, n_values: int) -> np.ndarray:
        """The threshold of every unit over `n_values` activations: (U,) float32, as `numpy.quantile` rounds it."""
        keep = checked_tail_size(self.keep, int(self.count.min()), n_values, self.level)
        largest = np.empty((2, len(self.count)), np.float32)  # the order statistics either side of the position
        for unit, count in enumerate(self.count):
            lower, upper = count - keep, min(count - keep + 1, count - 1)
            ordered = np.partition(self.values[unit, :count], (lower, upper))
            largest[:, unit] = ordered[lower], ordered[upper]
        return between(largest[0], largest[1], n_values, self.level)

    def on_host(self) -> UpperTail:
        """This tail: its arrays lie in the memory of the host (of `DeviceTail` a copy does)."""
        return self

    def restore(self, values: np.ndarray, count: np.ndarray, bound: np.ndarray) -> None:
        """Continue with the arrays of another tail of the same units and sizes."""
        self.values, self.count, self.bound = values, count, bound


def checked_tail_size(kept: int, n_filled: int, n_values: int, level: float) -> int:
    """`tail_size`, where a tail that keeps `kept` values, of which each unit has `n_filled` or more, can give the quantile.
    Raises `UserError` where it cannot."""
    keep = tail_size(n_values, level)
    if keep > kept or (n_values and n_filled < keep):
        raise UserError(
            f"A tail of {kept} values with at least {n_filled} filled cannot give the quantile of "
            f"{n_values} activations: it was made for fewer, or not all were added."
        )
    return keep


def between(lower: np.ndarray, upper: np.ndarray, n_values: int, level: float) -> np.ndarray:
    """The quantile of `n_values` values between the order statistics (U,) either side of its position: (U,) float32."""
    # numpy's own interpolation between the two, in float32 and from the nearer end, as numpy >= 2.4 rounds it.
    position = (n_values - 1) * level
    part = position - math.floor(position)
    step = upper - lower
    threshold = lower + step * part if part < 0.5 else upper - step * (1 - part)
    # Adding zero turns -0.0 into 0.0: which of the two equals came first is no part of the result.
    return threshold + np.float32(0)


@compiled
def _push(  # pragma: no cover - compiled
    maps: np.ndarray, units: np.ndarray, values: np.ndarray, count: np.ndarray, bound: np.ndarray, keep: int
) -> None:
    capacity = values.shape[1]
    for n in range(maps.shape[0]):
        unit = units[n]
        for value in maps[n]:
            if value > bound[unit]:
                values[unit, count[unit]] = value
                count[unit] += 1
                if count[unit] == capacity:
                    ordered = np.partition(values[unit], capacity - keep)
                    values[unit, :keep] = ordered[capacity - keep :]
                    count[unit] = keep
                    bound[unit] = ordered[capacity - keep]

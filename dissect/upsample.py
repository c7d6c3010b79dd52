"""Where a label pixel lies on a unit's map, and which pixels lie above a threshold there.

    rows, columns = half_pixel_axis(7, 112), half_pixel_axis(7, 112)
    positions = np.empty(112 * 112, np.int32)
    n = positions_above(unit_map, threshold, rows, columns, positions)     # positions[:n] is the mask

A map is interpolated bilinearly in float64 as `a + w * (b - a)`, along the rows and then along the columns. For float32
maps and the usual power-of-two ratios this is exact arithmetic, so nothing depends on the order of operations; and an
interpolated value never leaves the range of its four neighbours. That bound is what lets whole cells, and whole maps
whose largest value is not above the threshold, be passed over without changing a single count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np


class Axis(NamedTuple):
    """Linear interpolation along one axis of a map with `n` cells.

    start: (n + 1,) int64; the pixels `start[i]` to `start[i + 1] - 1` lie between cell i and the next one.
    weight: (pixels,) float64 in [0, 1), how far each pixel lies towards the next cell.
    """

    start: np.ndarray
    weight: np.ndarray

    @property
    def n_pixels(self) -> int:
        return len(self.weight)


def half_pixel_axis(n_cells: int, n_pixels: int) -> Axis:
    """Half-pixel centres, clamped at the edges: `align_corners=False` (method, part A.1, row 3)."""
    pixel = np.arange(n_pixels, dtype=np.int64)
    # One division of integers, so that dyadic positions come out exact.
    position = ((2 * pixel + 1) * n_cells - n_pixels) / (2 * n_pixels)
    return _axis(position, n_cells)


def receptive_field_axis(n_cells: int, n_pixels: int, n_input: int, centre: float, stride: float) -> Axis:
    """Cells anchored at the centres of their receptive fields, as in Bau et al. 2017, clamped at the edges.

    `centre` is the input pixel (0-based) under the middle of cell 0's receptive field and `stride` the distance from
    one cell's to the next; the label map's `n_pixels` cover the same extent as the `n_input` pixels of the input.
    """
    input_pixel = (np.arange(n_pixels) + 0.5) * n_input / n_pixels - 0.5
    return _axis((input_pixel - centre) / stride, n_cells)


def _axis(position: np.ndarray, n_cells: int) -> Axis:
    position = np.clip(position, 0.0, n_cells - 1.0)
    low = np.floor(position).astype(np.int64)
    return Axis(np.searchsorted(low, np.arange(n_cells + 1)), position - low)


class Geometry:
    """From the maps of each layer to label maps of any size.

    shapes: (h, w) of each layer's maps. anchors: for each layer, (centre, stride) of its cells on the input along rows
    and columns (`receptive_field.receptive_fields`), with the input's (H, W); without them, half-pixel centres.
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, int]],
        anchors: Sequence[Sequence[tuple[float, float]]] | None = None,
        input_size: tuple[int, int] = (0, 0),
    ) -> None:
        self.shapes, self.anchors, self.input_size = shapes, anchors, input_size
        self._axes: dict[tuple[int, tuple[int, int]], tuple[Axis, Axis]] = {}

    def axes(self, layer: int, label_shape: tuple[int, int]) -> tuple[Axis, Axis]:
        """Row axis and column axis for one layer's maps on a label map of (H, W)."""
        key = layer, label_shape
        if key not in self._axes:
            self._axes[key] = (self._axis(layer, 0, label_shape[0]), self._axis(layer, 1, label_shape[1]))
        return self._axes[key]

    def _axis(self, layer: int, axis: int, n_pixels: int) -> Axis:
        n_cells = self.shapes[layer][axis]
        if self.anchors is None:
            return half_pixel_axis(n_cells, n_pixels)
        return receptive_field_axis(n_cells, n_pixels, self.input_size[axis], *self.anchors[layer][axis])


@numba.njit(nogil=True, cache=True)
def positions_above(unit_map, threshold, rows, columns, positions):  # pragma: no cover - compiled
    """Fill `positions` with the flat indices (row-major, H x W) of the pixels strictly above `threshold`; their number.

    unit_map: (h, w) float32. Only cells with a corner above the threshold are interpolated.
    """
    h, w = unit_map.shape
    width = columns.weight.size
    n = 0
    for i in range(h):
        below = min(i + 1, h - 1)
        for j in range(w):
            right = min(j + 1, w - 1)
            a, b = np.float64(unit_map[i, j]), np.float64(unit_map[i, right])
            c, d = np.float64(unit_map[below, j]), np.float64(unit_map[below, right])
            if not (a > threshold or b > threshold or c > threshold or d > threshold):
                continue
            for y in range(rows.start[i], rows.start[i + 1]):
                left_value = a + rows.weight[y] * (c - a)
                right_value = b + rows.weight[y] * (d - b)
                if not (left_value > threshold or right_value > threshold):
                    continue
                for x in range(columns.start[j], columns.start[j + 1]):
                    if left_value + columns.weight[x] * (right_value - left_value) > threshold:
                        positions[n] = y * width + x
                        n += 1
    return n

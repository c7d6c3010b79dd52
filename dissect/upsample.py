"""Where a label pixel lies on a unit's map.

    geometry = Geometry([(7, 7)])
    rows, columns = geometry.axes(0, (112, 112))    # of the first layer's maps on a label map of 112 x 112

An axis holds whole-number weights wherever possible, so that interpolation with them can be exact (`tally.py`). Two cells on
four pixels: the first and the last pixel lie outside the cells' centres, the others a quarter of the way from one or the other:

>>> axis = half_pixel_axis(n_cells=2, n_pixels=4)
>>> (axis.weight / axis.whole).tolist()
[0.0, 0.25, 0.75, 0.0]
>>> axis.start.tolist()
[0, 3, 4]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Axis(NamedTuple):
    """Linear interpolation along one axis of a map with `n` cells.

    start: (n + 1,) int64; the pixels `start[i]` to `start[i + 1] - 1` lie between cell i and the next one.
    weight: (pixels,) float64 in [0, whole), how far each pixel lies towards the next cell, in parts of `whole`.
    """

    start: np.ndarray
    weight: np.ndarray
    whole: float

    @property
    def n_pixels(self) -> int:
        return len(self.weight)


def half_pixel_axis(n_cells: int, n_pixels: int) -> Axis:
    """Half-pixel centres, clamped at the edges: `align_corners=False` (method, part A.1, row 3)."""
    return receptive_field_axis(n_cells, n_pixels, n_input=n_cells, centre=0, stride=1)


def receptive_field_axis(n_cells: int, n_pixels: int, *, n_input: int, centre: float, stride: float) -> Axis:
    """Cells anchored at the centres of their receptive fields, as in Bau et al. 2017, clamped at the edges.

    `centre` is the input pixel (0-based) under the middle of cell 0's receptive field and `stride` the distance from
    one cell's to the next; the label map's `n_pixels` cover the same extent as the `n_input` pixels of the input.

    >>> axis = receptive_field_axis(2, 4, n_input=8, centre=1.5, stride=4)      # cells on input pixels 1.5 and 5.5
    >>> (axis.weight / axis.whole).tolist()
    [0.0, 0.25, 0.75, 0.0]
    """
    # (input pixel - centre) / stride in parts of `whole`: whole numbers, because a centre is a multiple of one half.
    whole = 2.0 * n_pixels * stride
    position = (2.0 * np.arange(n_pixels) + 1) * n_input - n_pixels * (1 + 2 * centre)
    low, weight = np.divmod(np.clip(position, 0, (n_cells - 1) * whole), whole)
    return Axis(np.searchsorted(low, np.arange(n_cells + 1)), weight, whole)


class Geometry:
    """From the maps of each layer to label maps of any size.

    shapes: (h, w) of each layer's maps. anchors: for each layer, (centre, stride) of its cells on the input along rows
    and columns (`receptive_field.receptive_fields`), with the (H, W) of the input; without them, half-pixel centres.
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
        centre, stride = self.anchors[layer][axis]
        return receptive_field_axis(n_cells, n_pixels, n_input=self.input_size[axis], centre=centre, stride=stride)

"""Which label pixels lie above a unit's threshold, where the maps are: what `tally.positions_above` decides, for many maps.

    there = DeviceAxes(rows, columns, device)               # of upsample.Geometry.axes
    for which, position in masks_above(maps, thresholds, there):
        ...                                                 # a map and a pixel (row-major, H x W) that its unit's mask holds

Of each map only the cells with a corner above the threshold are interpolated: their rows first, and of the rows that can still
pass the pixels. Products and sums are those of `positions_above`, in float64 and in the same order, and each is rounded on its
own (PyTorch fuses no two operations), so that both decide alike about every pixel, also where rounding plays a part.

>>> from dissect.upsample import half_pixel_axis
>>> axes = DeviceAxes(half_pixel_axis(1, 1), half_pixel_axis(2, 4), "cpu")
>>> maps, thresholds = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]), torch.tensor([0.5, 0.5])
>>> [(which.tolist(), position.tolist()) for which, position in masks_above(maps, thresholds, axes)]
[([0, 0, 1, 1], [0, 1, 2, 3])]
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dissect.upsample import Axis

PIXELS = 2**23
"""Label pixels looked at together, at most; each may take some 100 bytes meanwhile."""


class DeviceAxis:
    """An `Axis` on a device. start, size: (n,) int64, the first pixel of each cell and how many it has. weight: (pixels,)
    float64. next: (n,) int64, the cell that each is interpolated with."""

    def __init__(self, axis: Axis, device: str | torch.device) -> None:
        start = torch.as_tensor(axis.start, dtype=torch.int64)
        n = len(start) - 1
        self.start, self.size = start[:-1].to(device), start.diff().to(device)
        self.weight, self.whole = torch.as_tensor(axis.weight, dtype=torch.float64).to(device), float(axis.whole)
        self.next = torch.arange(1, n + 1).clamp(max=n - 1).to(device)
        self.n_pixels, self.largest = axis.n_pixels, int(start.diff().max())


class DeviceAxes:
    """Both axes of one layer's maps on label maps of one size."""

    def __init__(self, rows: Axis, columns: Axis, device: str | torch.device) -> None:
        self.rows, self.columns = DeviceAxis(rows, device), DeviceAxis(columns, device)

    @property
    def n_pixels(self) -> int:
        return self.rows.n_pixels * self.columns.n_pixels


def masks_above(maps: Tensor, thresholds: Tensor, axes: DeviceAxes) -> Iterator[tuple[Tensor, Tensor]]:
    """maps: (n, h, w) float32; thresholds: (n,) float32. Yields (which map, position), both (pixels,) int64, maps ascending."""
    rows, columns = axes.rows, axes.columns
    above = maps > thresholds[:, None, None]
    above = above | above[:, rows.next]
    above = above | above[:, :, columns.next]
    cells = torch.nonzero(above)
    for some in cells.split(max(PIXELS // (rows.largest * columns.largest), 1)):
        yield _in_cells(maps, thresholds, axes, some)


def _in_cells(maps: Tensor, thresholds: Tensor, axes: DeviceAxes, cells: Tensor) -> tuple[Tensor, Tensor]:
    """cells: (n, 3) int64, map, row and column of each cell to interpolate."""
    rows, columns = axes.rows, axes.columns
    which, i, j = cells.unbind(1)
    below, right = rows.next[i], columns.next[j]
    corners = [maps[which, y, x].double() for y in (i, below) for x in (j, right)]
    row_limit = thresholds[which].double() * rows.whole
    limit = row_limit * columns.whole

    cell, offset = _repeated(rows.size[i])
    y = rows.start[i][cell] + offset
    lower = rows.weight[y]
    upper = rows.whole - lower
    a, b, c, d = (corner[cell] for corner in corners)
    left_value, right_value = upper * a + lower * c, upper * b + lower * d
    passing = torch.nonzero((left_value > row_limit[cell]) | (right_value > row_limit[cell])).flatten()
    cell, y, left_value, right_value = (each[passing] for each in (cell, y, left_value, right_value))

    row, offset = _repeated(columns.size[j][cell])
    x = columns.start[j][cell][row] + offset
    weight = columns.weight[x]
    value = (columns.whole - weight) * left_value[row] + weight * right_value[row]
    passing = torch.nonzero(value > limit[cell][row]).flatten()
    row = row[passing]
    return which[cell][row], y[row] * columns.n_pixels + x[passing]


def _repeated(sizes: Tensor) -> tuple[Tensor, Tensor]:
    """For each of `sizes` things, as often as its size: its number, and 0, 1, 2 ... within it.

    >>> _repeated(torch.tensor([2, 0, 3]))
    (tensor([0, 0, 2, 2, 2]), tensor([0, 1, 0, 1, 2]))
    """
    ends = sizes.cumsum(0)
    n = int(ends[-1]) if len(ends) else 0
    thing = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes, output_size=n)
    return thing, torch.arange(n, device=sizes.device) - (ends - sizes)[thing]

"""Where a layer's cells sit on the input: centre and stride of their receptive fields.

    rows, columns = receptive_fields(model, "features.3", input_size=(224, 224))
    rows.centre, rows.stride                  # input pixel under cell (0, 0), input pixels from one cell to the next

>>> rows, columns = receptive_fields(nn.Sequential(nn.Conv2d(3, 4, 3, stride=2)), "0", input_size=(16, 16))
>>> rows.centre, rows.stride
(1.0, 2.0)

NaN put on the first rows of the input comes out wherever those rows can have any influence, whatever the weights, so
the edges of a cell's field are found by looking, for any module. Where the image border cuts off every field, a longer
input is looked at: centre and stride do not depend on its length.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dissect.errors import TapError
from dissect.layouts import Layout
from dissect.preprocessing import input_channels
from dissect.taps import tap_layers

_LONGER = (1, 2, 4, 8)

Reached = Callable[[int, int], np.ndarray]
"""(start, stop) of a run of input rows (or columns) -> (cells,) bool: the map's rows (or columns) that it can influence."""


class Anchors(NamedTuple):
    """Along one axis of the input: pixel (0-based) under the middle of cell 0's field, and pixels between two cells."""

    centre: float
    stride: float


def receptive_fields(
    model: nn.Module, layer: str, input_size: tuple[int, int], layout: Layout | None = None
) -> tuple[Anchors, Anchors]:
    """Anchors along the rows and the columns. Runs about a hundred images through the network on its device.

    layout: of the layer's output; (B, U, h, w) if not given. Raises `TapError` where the cells have no centres (global pooling
    or attention on the way) or are not evenly spaced.
    """
    layout = layout or Layout()
    if layout.name in ("tokens", "vector"):
        raise TapError(
            f"Layer {layer!r} gives {'tokens' if layout.name == 'tokens' else 'a vector'}, whose receptive fields are not looked "
            f"for: set `upsample` to half-pixel."
        )
    n_channels = input_channels(model, input_size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the switch for oneDNN warns of settings that it does not change
        # oneDNN and cuDNN may compute tiles of outputs together, which would smear the NaN.
        with (
            torch.backends.mkldnn.flags(enabled=False),
            _without_cudnn(),
            tap_layers(model, [layer], {layer: Layout(layout.name)}) as look,
        ):
            device = next((p.device for p in model.parameters()), torch.device("cpu"))

            def maps(image: Tensor) -> Tensor:
                return look(image[:, :n_channels].to(device))[layer]

            return _along(maps, layer, input_size, 0), _along(maps, layer, input_size, 1)


@contextmanager
def _without_cudnn() -> Iterator[None]:
    # `cudnn.flags` would stumble over a program that sets TF32 by PyTorch's newer names.
    before = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = False
    try:
        yield
    finally:
        torch.backends.cudnn.enabled = before


def _along(maps: Callable[[Tensor], Tensor], layer: str, input_size: tuple[int, int], axis: int) -> Anchors:
    n_cells = 0
    for times in _LONGER:
        size = list(input_size)
        size[axis] *= times

        def reached(start: int, stop: int, size: list[int] = size) -> np.ndarray:
            image = torch.zeros(1, 3, *size)
            image.narrow(2 + axis, start, stop - start).fill_(float("nan"))
            return maps(image)[0].isnan().any(0).any(1 - axis).cpu().numpy()

        found = _anchors(reached, size[axis])
        cells = len(reached(0, 1))
        n_cells = n_cells or cells
        if found is None:
            continue
        # A map that does not grow with the input (adaptive pooling) would have another stride at the true size.
        if abs(found.stride * (cells - n_cells) - (size[axis] - input_size[axis])) <= found.stride:
            return found
        break
    raise TapError(
        f"The receptive fields of layer {layer!r} cover the whole input or are not evenly spaced, so that its cells have "
        f"no centres: set `upsample` to half-pixel."
    )


def _anchors(reached: Reached, n_pixels: int) -> Anchors | None:
    """None where the border cuts off too many fields, or where they are not evenly spaced."""
    on_left = np.flatnonzero(~reached(0, 1))
    on_right = np.flatnonzero(~reached(n_pixels - 1, n_pixels))[::-1]
    if min(len(on_left), len(on_right)) < 2:
        return None

    def first_pixel(cell: int) -> int:
        return bisect_left(range(n_pixels), True, key=lambda pixel: bool(reached(0, pixel + 1)[cell]))

    def last_pixel(cell: int) -> int:
        from_right = bisect_left(range(n_pixels), True, key=lambda n: bool(reached(n_pixels - 1 - n, n_pixels)[cell]))
        return n_pixels - 1 - from_right

    ends = []
    for cells, edge in ((on_left, first_pixel), (on_right, last_pixel)):
        # Seen from the border in question: the farthest cell, the one before it, and one a third of the way out.
        far, before, near = int(cells[-1]), int(cells[-2]), int(cells[(len(cells) - 1) // 3])
        pixel = {cell: edge(cell) for cell in {far, before, near}}
        stride = (pixel[far] - pixel[near]) / (far - near)
        if pixel[far] - pixel[before] != stride * (far - before):
            return None
        ends.append((pixel[far] - stride * far, stride))
    (left, stride), (right, other_stride) = ends
    return Anchors((left + right) / 2, stride) if stride == other_stride > 0 else None

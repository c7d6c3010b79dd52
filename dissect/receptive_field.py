"""Where a layer's cells sit on the input: centre and stride of their receptive fields.

    rows, columns = receptive_fields(model, "features.3", input_size=(224, 224))
    rows.centre, rows.stride                  # input pixel under cell (0, 0), input pixels from one cell to the next

A NaN put on one row of the input comes out wherever that row can have any influence, whatever the weights, so the
extent of every cell's field is found by looking, for any module. Fields that the image border cuts off are continued
from those that it does not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from dissect.observe import TapError, observe


class Anchors(NamedTuple):
    """Along one axis of the input: pixel (0-based) under the middle of cell 0's field, and pixels between two cells."""

    centre: float
    stride: float


def receptive_fields(model: nn.Module, layer: str, input_size: tuple[int, int]) -> tuple[Anchors, Anchors]:
    """Anchors along the rows and the columns. Runs H + W images through the network on its device.

    Raises `TapError` where a cell sees the whole input (global pooling on the way), so that it has no centre.
    """
    return tuple(_anchors(_reached(model, layer, input_size, axis), layer) for axis in (0, 1))


def _reached(model: nn.Module, layer: str, input_size: tuple[int, int], axis: int) -> np.ndarray:
    """(pixels, cells) bool: whether the input's row (or column) can influence the map's row (or column)."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    found = []
    # oneDNN and cuDNN may compute tiles of outputs together, which would smear the NaN.
    with (
        torch.backends.mkldnn.flags(enabled=False),
        torch.backends.cudnn.flags(enabled=False),
        observe(model, [layer]) as look,
    ):
        for pixel in range(input_size[axis]):
            image = torch.zeros(1, 3, *input_size, device=device)
            image.select(2 + axis, pixel).fill_(float("nan"))
            found.append(look(image)[layer].isnan().any(1)[0].any(1 - axis).cpu().numpy())
    return np.stack(found)


def _anchors(reached: np.ndarray, layer: str) -> Anchors:
    n_pixels = len(reached)
    first = reached.argmax(0)
    last = n_pixels - 1 - reached[::-1].argmax(0)
    whole_left, whole_right = np.flatnonzero(first > 0), np.flatnonzero(last < n_pixels - 1)
    if min(len(whole_left), len(whole_right)) < 2:
        raise TapError(
            f"The receptive fields of layer {layer!r} cover the whole input, so they have no centres: "
            f"use --upsample half-pixel, or a larger --image-size."
        )
    stride = float(first[whole_left[-1]] - first[whole_left[-2]])
    left_of_first_cell = first[whole_left[-1]] - stride * whole_left[-1]
    right_of_first_cell = last[whole_right[0]] - stride * whole_right[0]
    return Anchors((left_of_first_cell + right_of_first_cell) / 2, stride)

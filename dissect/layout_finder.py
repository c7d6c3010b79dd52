"""Which axis of each call's output holds the units: found by what the layer says of itself, and by what grows with the image.

    layouts = find_layouts(calls, n_images=2, grown=grown_shapes(model, images[:1]), input_size=(224, 224))
    layouts[3]                                # Layout("channels-last", (96, 56, 56)), or None where the output is no map

Of four axes, (B, U, h, w) or (B, h, w, U), the units' is the one that has as many entries as the module says it gives features
(`out_channels`, `normalized_shape`, ...); failing that, the one that stays when the image grows; failing that, it is as in the
tensor that the module takes; failing that, the map has the image's proportions; and failing all that, the units come first.
Three axes are tokens (B, N, U) where their number is that of the cells of an earlier map, and at most `MOST_LEFT_OUT` more:
class and register tokens, which stand before the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import gcd, prod

import torch
from torch import Tensor, nn

from dissect.call_graph import Call, record_calls
from dissect.layouts import Layout, fault_of
from dissect.settings import LayoutName, LayoutRule

MOST_LEFT_OUT = 16

_LARGER = 64
"""Pixels by which the image grows: a map grows by a cell at least where a cell stands for 64 pixels or fewer."""

_COUNTS = ("out_channels", "out_features", "num_features", "num_channels", "normalized_shape")
"""Attributes in which modules say how many features they give."""

Grown = Mapping[tuple[str, int], torch.Size]
"""Shape that a call gives for a larger image, by module and number of the call."""


def grown_shapes(model: nn.Module, images: Tensor) -> Grown:
    """What calls give for larger images, as far as the network takes them."""
    larger = images.new_zeros(*images.shape[:2], *(side + _LARGER for side in images.shape[2:]))
    calls = record_calls(model, larger, whole=False)
    return {(call.module_name, call.number): call.output.shape for call in calls if call.output is not None}


def find_layouts(
    calls: Sequence[Call], *, n_images: int, grown: Grown, input_size: tuple[int, int], wanted: LayoutRule = "auto"
) -> list[Layout | None]:
    """For each call its layout, None where its output holds no units or not in the layout `wanted`."""
    of_tensor: dict[int, LayoutName] = {}
    grids: list[tuple[int, int]] = []  # of the maps so far
    layouts: list[Layout | None] = []
    for call in calls:
        output, layout = call.output, None
        if output is not None and output.ndim and len(output) == n_images and output.numel() and not fault_of(output):
            shape = tuple(output.shape[1:])
            if wanted != "auto":
                layout = _as_wanted(wanted, call, shape, grids, input_size)
            elif len(shape) == 3:
                known = of_tensor.get(id(output))
                name = known or _channels(
                    call, shape, grown.get((call.module_name, call.number)), of_tensor, input_size
                )
                layout = _map(name, shape)
            elif len(shape) == 2:
                layout = _tokens(call, shape, grids)
            elif len(shape) == 1:
                layout = Layout("vector", (shape[0], 1, 1))
        if layout and layout.shape:
            of_tensor[id(output)] = layout.name
            if len(shape) == 3:
                grids.append(layout.shape[1:])
        layouts.append(layout)
    return layouts


def _map(name: LayoutName, shape: tuple[int, ...]) -> Layout:
    n_units, height, width = shape if name == "channels-first" else (shape[2], shape[0], shape[1])
    return Layout(name, (n_units, height, width))


def _channels(
    call: Call,
    shape: tuple[int, ...],
    grown: torch.Size | None,
    of_tensor: Mapping[int, LayoutName],
    input_size: tuple[int, int],
) -> LayoutName:
    first, last = shape[0], shape[2]
    count = _n_features(call.module)
    if count in (first, last) and first != last:
        return "channels-first" if count == first else "channels-last"
    if grown and len(grown) == 4 and (grown[1] == first) != (grown[3] == last):
        return "channels-first" if grown[1] == first else "channels-last"
    if isinstance(call.module, nn.Linear):
        return "channels-last"
    taken = call.taken[0]
    if isinstance(taken, Tensor) and taken.shape[1:] == shape and id(taken) in of_tensor:
        return of_tensor[id(taken)]
    if not grown:  # the network takes no larger image, so nothing is known but the proportions
        height, width = input_size
        first_fits, last_fits = shape[1] * width == shape[2] * height, shape[0] * width == shape[1] * height
        return "channels-last" if last_fits and not first_fits else "channels-first"
    return "channels-first"


def _tokens(call: Call, shape: tuple[int, ...], grids: Sequence[tuple[int, int]]) -> Layout | None:
    n_tokens, n_units = shape
    if _n_features(call.module) == n_tokens != n_units:
        return None  # (B, U, N), as a one-dimensional convolution gives
    # Class and register tokens are fewer than those of the grid.
    fitting = [grid for grid in grids if 0 <= n_tokens - prod(grid) <= min(MOST_LEFT_OUT, prod(grid))]
    grid = max(reversed(fitting), key=prod, default=None)
    return Layout("tokens", (n_units, *grid), n_tokens - prod(grid)) if grid else None


def _as_wanted(
    wanted: LayoutName,
    call: Call,
    shape: tuple[int, ...],
    grids: Sequence[tuple[int, int]],
    input_size: tuple[int, int],
) -> Layout | None:
    if wanted == "vector":
        return Layout("vector", (shape[0], 1, 1)) if len(shape) == 1 else None
    if wanted != "tokens":
        return _map(wanted, shape) if len(shape) == 3 else None
    if len(shape) != 2:
        return None
    # Where no map tells the grid, it has the image's proportions.
    common = gcd(*input_size)
    step = input_size[0] // common, input_size[1] // common
    alike = [(step[0] * n, step[1] * n) for n in range(1, common + 1)]
    return _tokens(call, shape, grids) or _tokens(call, shape, alike)


def _n_features(module: nn.Module) -> int | None:
    """How many features the module says that it gives."""
    for name in _COUNTS:
        said = getattr(module, name, None)
        said = said[0] if isinstance(said, tuple | torch.Size) and len(said) == 1 else said
        if isinstance(said, int) and not isinstance(said, bool):
            return said
    return None

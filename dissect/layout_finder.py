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
    in_order = True
    layouts: list[Layout | None] = []
    for call in calls:
        output, found = call.output, None
        if output is None or not output.ndim or len(output) != n_images or not output.numel() or fault_of(output):
            layouts.append(None)
            continue
        shape = tuple(output.shape[1:])
        if len(shape) == 3:
            name = of_tensor.get(id(output)) or _channels(call, grown, of_tensor, input_size)
            found = _map(name, shape) if name else None
        elif len(shape) == 2:
            in_order = in_order and not _reorders(call)
            found = _tokens(call, shape, grids) if in_order else None
        elif len(shape) == 1:
            found = Layout("vector", (shape[0], 1, 1))
        if found and found.shape and len(shape) == 3:
            of_tensor[id(output)] = found.name
            if _in_proportion(*found.shape[1:], input_size):
                grids.append(found.shape[1:])
        layouts.append(
            found if wanted == "auto" else _as_wanted(wanted, call, shape, grids=grids, input_size=input_size)
        )
    return layouts


def _map(name: LayoutName, shape: tuple[int, ...]) -> Layout:
    n_units, height, width = shape if name == "channels-first" else (shape[2], shape[0], shape[1])
    return Layout(name, (n_units, height, width))


def _channels(
    call: Call, grown: Grown, of_tensor: Mapping[int, LayoutName], input_size: tuple[int, int]
) -> LayoutName | None:
    assert call.output is not None
    first, second, last = call.output.shape[1:]
    # Windows of a map, (B, n, cells, U), are no map.
    first_fits, last_fits = _in_proportion(second, last, input_size), _in_proportion(first, second, input_size)
    if_last: LayoutName | None = "channels-last" if last_fits else None
    count, larger = _n_features(call.module), grown.get((call.module_name, call.number))
    if count in (first, last) and first != last:
        return "channels-first" if count == first else if_last
    if larger and len(larger) == 4 and (larger[1] == first) != (larger[3] == last):
        return "channels-first" if larger[1] == first else if_last
    if isinstance(call.module, nn.Linear):
        return if_last
    taken = call.taken[0]
    if isinstance(taken, Tensor) and taken.shape == call.output.shape and id(taken) in of_tensor:
        return of_tensor[id(taken)]
    # Of a network that takes no larger image nothing is known but the proportions.
    return "channels-first" if larger or first_fits else if_last


def _in_proportion(height: int, width: int, input_size: tuple[int, int]) -> bool:
    """Whether a map has the image's proportions, give or take a row or a column.

    >>> _in_proportion(7, 14, (112, 224)), _in_proportion(14, 14, (112, 224)), _in_proportion(16, 49, (224, 224))
    (True, False, False)
    """
    return abs(height * input_size[1] - width * input_size[0]) <= max(input_size)


def _tokens(call: Call, shape: tuple[int, ...], grids: Sequence[tuple[int, int]]) -> Layout | None:
    n_tokens, n_units = shape
    if _n_features(call.module) == n_tokens != n_units:
        return None  # (B, U, N), as a one-dimensional convolution gives
    # Class and register tokens are fewer than those of the grid.
    fitting = [grid for grid in grids if 0 <= n_tokens - prod(grid) <= min(MOST_LEFT_OUT, prod(grid))]
    grid = max(reversed(fitting), key=prod, default=None)
    return Layout("tokens", (n_units, *grid), n_tokens - prod(grid)) if grid else None


def _reorders(call: Call) -> bool:
    """Whether the module gives the very tokens that it takes, in another order, as Hiera does to have windows side by side:
    where each of them lies is then known to nobody."""
    taken, output = call.taken[0], call.output
    if not isinstance(taken, Tensor) or output is None or taken.shape != output.shape or taken is output:
        return False
    if torch.equal(taken, output):
        return False
    return torch.equal(taken[0].sort(0).values, output[0].sort(0).values)


def _as_wanted(
    wanted: LayoutName,
    call: Call,
    shape: tuple[int, ...],
    *,
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

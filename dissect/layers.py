"""Which layers a network has, and which of them the user means.

    table = list_layers(model, input_size=(72, 72))
    layers = select_layers(table, ["18", "20", "22"], operators=["depthwise", "pointwise"])

Convolutions are numbered in order of execution; a pointwise convolution that takes up a depthwise one's result shares
its number. A linear layer over the units of a map is a pointwise convolution. For a ResNet-26 this gives the numbers 1 to 25
of method, part A.2; it works for any network. `layer1.0.relu@2` is the second call of a module that fires several times. Beside
numbered convolutions, a module called 12 goes as `[12]`.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from data_prep.common.errors import nearest
from dissect.call_graph import Call, record_calls
from dissect.errors import TapError
from dissect.lanes import one_thread
from dissect.layout_finder import find_layouts, grown_shapes
from dissect.layouts import Layout, fault_of
from dissect.numbering import number_convolutions, operator_of
from dissect.preprocessing import input_channels
from dissect.settings import LayoutRule, TapPoint
from dissect.tap_points import followers


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One call of a module, which can be tapped. `module` is its name; `label` groups a depthwise and a pointwise layer: the
    convolution's number where it is `numbered`, else `module`, in brackets where that could be taken for a number. `layout` says
    how its output holds its units, None where it holds none; `output` is that in words. `followers`: where else it can be
    tapped."""

    module: str
    operator: str
    label: str
    layout: Layout | None
    output: str = ""
    followers: tuple[tuple[TapPoint, str], ...] = ()
    numbered: bool = False

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """(U, h, w) of its maps."""
        return self.layout.shape if self.layout else None

    @property
    def n_units(self) -> int:
        return self.shape[0] if self.shape else 0

    @property
    def n_positions(self) -> int:
        return self.shape[1] * self.shape[2] if self.shape else 0


@one_thread()
def list_layers(model: nn.Module, input_size: tuple[int, int], layout: LayoutRule = "auto") -> list[Layer]:
    """Every call of a module in a forward pass over images of the given (H, W), in order of completion.

    layout: how outputs hold their units, where it is not to be found.

    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3, groups=1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1), nn.ReLU())
    >>> [(layer.label, layer.operator, layer.module, layer.shape) for layer in list_layers(model, (8, 8)) if layer.numbered]
    [('1', 'conv', '0', (8, 6, 6)), ('2', 'depthwise', '1', (8, 4, 4)), ('2', 'pointwise', '2', (4, 4, 4))]
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    # Noise, in which no two places are alike: what puts tokens in another order shows.
    noise = torch.Generator().manual_seed(0)
    images = torch.randn(2, input_channels(model, input_size), *input_size, generator=noise).to(device)
    try:
        calls = record_calls(model, images)
    except TapError:  # a network may take one image at a time
        images = images[:1]
        calls = record_calls(model, images)
    grown = grown_shapes(model, images[:1]) if layout == "auto" else {}
    layouts = find_layouts(calls, n_images=len(images), grown=grown, input_size=input_size, wanted=layout)
    numbers = number_convolutions(calls, layouts)
    return [
        Layer(
            module=call.name,
            operator=operator_of(call.module, its_layout),
            label=number or (f"[{call.name}]" if call.module_name.isdigit() and any(numbers) else call.name),
            layout=its_layout,
            output=_described(call, len(images)),
            followers=followers(call, calls) if number else (),
            numbered=bool(number),
        )
        for call, its_layout, number in zip(calls, layouts, numbers, strict=True)
    ]


def select_layers(
    table: Sequence[Layer], wanted: Sequence[str], operators: Sequence[str] = (), tap: TapPoint = "conv"
) -> list[Layer]:
    """The layers that `wanted` names by number, module name or glob, in the order named, each once; `[12]` is a module called 12.

    operators: keep only layers with these. tap: where numbered convolutions are tapped; one that nothing of the
    kind follows (a depthwise convolution with no BatchNorm, a BatchNorm whose result is first added to a shortcut) is
    tapped at the last point before, and `module` says which that is.
    Raises `TapError`, offering the nearest names.
    """
    if not wanted:
        raise TapError("No layer is chosen: give numbers, module names or globs; `dissect layers` lists them.")
    chosen: list[Layer] = []
    for pattern in wanted:
        matches = [layer for layer in _matching(table, pattern) if not operators or layer.operator in operators]
        if not matches:
            found = sorted({layer.operator for layer in _matching(table, pattern)})
            raise TapError(f"Layer {pattern!r} has no operator {' or '.join(operators)}; it has {', '.join(found)}.")
        chosen += [layer for layer in matches if layer not in chosen]
    tapped = tapped_at(chosen, tap, table)
    places: dict[tuple[str, str], str] = {}
    for layer in tapped:
        other = places.setdefault((layer.label, layer.operator), layer.module)
        if other != layer.module:
            raise TapError(
                f"The modules {other!r} and {layer.module!r} would both be layer {layer.label} {layer.operator} of the tables: "
                f"dissect them in two runs."
            )
        if layer.layout is None:
            raise TapError(
                f"Layer {layer.module!r} gives {layer.output}, which holds no units for each image (a map (B, U, h, w) or "
                f"(B, h, w, U), tokens on a grid, or a vector): tap another layer, of those that `dissect layers` lists, or give "
                f"another `layout`."
            )
    return tapped


def _matching(table: Sequence[Layer], pattern: str) -> list[Layer]:
    if pattern.isdigit():
        numbered = [layer for layer in table if layer.numbered and layer.label.partition("@")[0] == pattern]
        if numbered:
            return numbered
        numbers = [int(layer.label.partition("@")[0]) for layer in table if layer.numbered]
        if numbers:
            named = f"; the module called {pattern} goes as '[{pattern}]'" * any(
                layer.module == pattern for layer in table
            )
            raise TapError(
                f"There is no convolution {pattern}; this network's are numbered 1 to {max(numbers)}{named}."
            )
    name = pattern
    # [12] is a module called 12, and a glob for 1 and 2 where there is none.
    if found := re.fullmatch(r"\[(\d+(@\d+)?)\]", pattern):
        names = {name for layer in table for name in (layer.module, layer.module.rpartition("@")[0])}
        name = found[1] if found[1] in names else pattern
    exact = [layer for layer in table if layer.numbered and layer.label == pattern]
    exact = exact or [layer for layer in table if layer.module == name]
    if exact:
        return exact
    calls = [layer.module for layer in table if layer.module.rpartition("@")[0] == name]
    if calls:
        listed = f"{calls[0]!r} to {calls[-1]!r}" if len(calls) > 2 else f"{calls[0]!r} or {calls[-1]!r}"
        raise TapError(f"Layer {pattern!r} fires {len(calls)} times a forward pass: name the call, {listed}.")
    globbed = [layer for layer in table if fnmatch.fnmatchcase(layer.module, pattern)]
    if globbed:
        return [layer for layer in globbed if layer.layout] or globbed
    hint = nearest(pattern, [layer.module for layer in table], 4) or "; list its layers with `dissect layers`"
    raise TapError(f"No layer of the network is called {pattern!r}, or none fires{hint}.")


def tapped_at(layers: Sequence[Layer], tap: TapPoint, table: Sequence[Layer]) -> list[Layer]:
    """The layers of a table, each where `tap` has it; see `select_layers`."""
    by_name = {layer.module: layer for layer in table}
    tapped = []
    for layer in layers:
        found = dict(layer.followers)
        at = by_name[found.get(tap) or (found.get("bn") if tap == "relu" else None) or layer.module]
        tapped.append(replace(layer, module=at.module, layout=at.layout, output=at.output))
    return tapped


def _described(call: Call, n_images: int) -> str:
    output = call.output
    if output is None:
        return f"a {type(call.given[0]).__name__}"
    return fault_of(output) or f"a tensor of shape {tuple(output.shape)} for {n_images} images"

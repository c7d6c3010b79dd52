"""Which layers a network has, and which of them the user means.

    table = list_layers(model, input_size=(72, 72))
    layers = select_layers(table, ["18", "20", "22"], operators=["depthwise", "pointwise"])

Convolutions are numbered in order of execution; a pointwise convolution that takes up a depthwise one's result shares
its number. For a ResNet-26 this gives the numbers 1 to 25 of method, part A.2; it works for any network.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from dissect.preprocessing import input_channels
from dissect.settings import TapPoint
from dissect.taps import TapError, forward


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One tappable module. `label` groups a depthwise and a pointwise layer: the convolution's number where it is
    `numbered`, else the module's name. `shape` is the (U, h, w) of its output, None where that is no map; `fires` counts
    calls in a forward pass."""

    module: str
    operator: str
    label: str
    shape: tuple[int, int, int] | None
    fires: int
    output: str
    followers: tuple[tuple[TapPoint, str], ...] = ()
    numbered: bool = False

    @property
    def n_units(self) -> int:
        return self.shape[0] if self.shape else 0

    @property
    def n_positions(self) -> int:
        return self.shape[1] * self.shape[2] if self.shape else 0


def list_layers(model: nn.Module, input_size: tuple[int, int]) -> list[Layer]:
    """Every module that fires in a forward pass over one image of the given (H, W), in order of completion.

    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3, groups=1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1), nn.ReLU())
    >>> [(layer.label, layer.operator, layer.module, layer.shape) for layer in list_layers(model, (8, 8)) if layer.numbered]
    [('1', 'conv', '0', (8, 6, 6)), ('2', 'depthwise', '1', (8, 4, 4)), ('2', 'pointwise', '2', (4, 4, 4))]
    """
    calls = _record(model, input_size)
    labels = _number_convolutions(calls)
    fires = Counter(call.name for call in calls)
    layers: dict[str, Layer] = {}
    for call in calls:
        layers.setdefault(
            call.name,
            Layer(
                module=call.name,
                operator=operator_of(call.module),
                label=labels.get(call.name, call.name),
                shape=call.map_shape,
                fires=fires[call.name],
                output=call.described,
                followers=_followers(call, calls) if call.name in labels else (),
                numbered=call.name in labels,
            ),
        )
    return list(layers.values())


def select_layers(
    table: Sequence[Layer], wanted: Sequence[str], operators: Sequence[str] = (), tap: TapPoint = "conv"
) -> list[Layer]:
    """The layers that `wanted` names by number, module name or glob, in the order named, each once.

    operators: keep only these; all if none is given. tap: where numbered convolutions are tapped; one that nothing of the
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
    by_name = {layer.module: layer for layer in table}
    tapped = [_tapped_at(layer, tap, by_name) for layer in chosen]
    for layer in tapped:
        if layer.fires != 1:
            raise TapError(
                f"Layer {layer.module!r} fires {layer.fires} times a forward pass: tap a module inside or around it."
            )
        if layer.shape is None:
            raise TapError(
                f"Layer {layer.module!r} gives {layer.output}, not an activation map (B, U, h, w): "
                f"tap a layer before pooling or flattening; `dissect layers` lists those that fit."
            )
    return tapped


def _matching(table: Sequence[Layer], pattern: str) -> list[Layer]:
    if pattern.isdigit():
        numbered = [layer for layer in table if layer.numbered and layer.label == pattern]
        if numbered:
            return numbered
        numbers = [int(layer.label) for layer in table if layer.numbered]
        if numbers:
            named = f"; the module called {pattern} goes as '[{pattern}]'" * any(
                layer.module == pattern for layer in table
            )
            raise TapError(
                f"There is no convolution {pattern}; this network's are numbered 1 to {max(numbers)}{named}."
            )
    exact = [layer for layer in table if layer.module == pattern]
    if exact:
        return exact
    globbed = [layer for layer in table if fnmatch.fnmatchcase(layer.module, pattern)]
    maps = [layer for layer in globbed if layer.shape is not None and layer.fires == 1]
    if globbed:
        return maps or globbed
    near = difflib.get_close_matches(pattern, [layer.module for layer in table], 4, 0.4)
    hint = f"nearest: {', '.join(near)}" if near else "list its layers with `dissect layers`"
    raise TapError(f"No layer of the network is called {pattern!r}, or none fires; {hint}.")


def _tapped_at(layer: Layer, tap: TapPoint, by_name: dict[str, Layer]) -> Layer:
    followers = dict(layer.followers)
    module = followers.get(tap) or (followers.get("bn") if tap == "relu" else None)
    if module is None:
        return layer
    at = by_name[module]
    return replace(layer, module=module, shape=at.shape, fires=at.fires, output=at.output)


@dataclass(frozen=True)
class _Call:
    name: str
    module: nn.Module
    taken: Tensor | None
    given: object

    @property
    def map_shape(self) -> tuple[int, int, int] | None:
        given = self.given
        if isinstance(given, Tensor) and given.ndim == 4 and given.is_floating_point():
            n_units, height, width = given.shape[1:]
            return n_units, height, width
        return None

    @property
    def described(self) -> str:
        given = self.given
        return f"a tensor of shape {tuple(given.shape)}" if isinstance(given, Tensor) else f"a {type(given).__name__}"


def _record(model: nn.Module, input_size: tuple[int, int]) -> list[_Call]:
    calls: list[_Call] = []

    def hook(name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def record(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            taken = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
            calls.append(_Call(name, module, taken, output))

        return record

    n_channels = input_channels(model, input_size)
    modes = [(module, module.training) for module in model.modules()]
    handles = [module.register_forward_hook(hook(name)) for name, module in model.named_modules() if name]
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    try:
        model.eval()
        forward(model, torch.zeros(1, n_channels, *input_size, device=device))
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    return calls


def operator_of(module: nn.Module) -> str:
    """
    >>> operator_of(nn.Conv2d(8, 8, 3, groups=8)), operator_of(nn.Conv2d(8, 16, 1)), operator_of(nn.Conv2d(8, 16, 3))
    ('depthwise', 'pointwise', 'conv')
    >>> operator_of(nn.MaxPool2d(2))
    'maxpool2d'
    """
    if not isinstance(module, nn.Conv2d):
        return type(module).__name__.lower()
    if module.groups == module.in_channels and (module.groups > 1 or module.out_channels == 1):
        return "depthwise"
    return "pointwise" if module.kernel_size == (1, 1) and module.groups == 1 else "conv"


def _number_convolutions(calls: Sequence[_Call]) -> dict[str, str]:
    labels: dict[str, str] = {}
    number, waiting = 0, None  # `waiting`: the shape of a depthwise result that no pointwise has taken up yet
    for call in calls:
        # A convolution on a 1 x 1 map belongs to a squeeze-and-excitation branch or a head, not to the trunk.
        if not isinstance(call.module, nn.Conv2d) or call.map_shape is None or call.map_shape[1:] == (1, 1):
            continue
        if call.name in labels:
            continue  # a convolution that fires again keeps the number it has
        kind = operator_of(call.module)
        follows = kind == "pointwise" and call.taken is not None and tuple(call.taken.shape[1:]) == waiting
        number += not follows
        labels[call.name] = str(number)
        waiting = call.map_shape if kind == "depthwise" else None
    return labels


def _followers(call: _Call, calls: Sequence[_Call]) -> tuple[tuple[TapPoint, str], ...]:
    """The BatchNorm that takes this very result, and the activation that takes that one's."""
    found: list[tuple[TapPoint, str]] = []
    given = call.given
    kinds: tuple[tuple[TapPoint, tuple[type, ...]], ...] = (
        ("bn", (nn.BatchNorm2d, nn.GroupNorm)),
        ("relu", (nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.LeakyReLU, nn.ELU)),
    )
    for point, types in kinds:
        taker = next((c for c in calls if c.taken is given and isinstance(c.module, types)), None)
        if taker is None:
            continue
        if any(not isinstance(child, nn.Identity) for child in taker.module.children()):
            return (("relu", taker.name),)  # a BatchNorm with its activation inside, as in timm
        found.append((point, taker.name))
        given = taker.given
    return tuple(found)

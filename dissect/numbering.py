"""The numbers of a network's convolutions, in order of execution.

    numbers = number_convolutions(calls, layouts)
    numbers[4]                                 # "3", or "" where the call is no convolution

A pointwise convolution that takes up a depthwise one's result shares its number. A linear layer over the units of a map, or of
tokens on a grid, is a pointwise convolution (method, part A.6).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dissect.call_graph import Call
from dissect.layouts import Layout


def operator_of(module: nn.Module, layout: Layout | None = None) -> str:
    """
    >>> operator_of(nn.Conv2d(8, 8, 3, groups=8)), operator_of(nn.Conv2d(8, 16, 1)), operator_of(nn.Conv2d(8, 16, 3))
    ('depthwise', 'pointwise', 'conv')
    >>> operator_of(nn.MaxPool2d(2)), operator_of(nn.Linear(8, 16))
    ('maxpool2d', 'linear')
    >>> operator_of(nn.Linear(8, 16), Layout("channels-last"))
    'pointwise'
    """
    if isinstance(module, nn.Linear) and layout and layout.name in ("channels-last", "tokens"):
        return "pointwise"
    if not isinstance(module, nn.Conv2d):
        return type(module).__name__.lower()
    if module.groups == module.in_channels and (module.groups > 1 or module.out_channels == 1):
        return "depthwise"
    return "pointwise" if module.kernel_size == (1, 1) and module.groups == 1 else "conv"


def number_convolutions(calls: Sequence[Call], layouts: Sequence[Layout | None]) -> list[str]:
    """For each call its number as text, such as "18", empty where it has none. Calls of a convolution that fires several times
    have the number of the first: "4@1", "4@2"."""
    numbers: list[str] = []
    of_module: dict[str, int] = {}
    number, waiting = 0, None  # `waiting`: the shape of a depthwise result that no pointwise has taken up yet
    for call, layout in zip(calls, layouts, strict=True):
        kind = operator_of(call.module, layout)
        # A convolution on a 1 x 1 map belongs to a squeeze-and-excitation branch or a head, not to the trunk.
        if (
            kind not in ("conv", "depthwise", "pointwise")
            or not (layout and layout.shape)
            or layout.shape[1:] == (1, 1)
        ):
            numbers.append("")
            continue
        if call.module_name not in of_module:
            number += not (kind == "pointwise" and _map_taken(call, layout) == waiting)
            of_module[call.module_name] = number
            waiting = layout.shape if kind == "depthwise" else None
        repeated = f"@{call.number}" if call.times > 1 else ""
        numbers.append(f"{of_module[call.module_name]}{repeated}")
    return numbers


def _map_taken(call: Call, layout: Layout) -> tuple[int, ...] | None:
    """(U, h, w) of what a pointwise convolution takes, which lies as its output does."""
    taken = call.taken[0]
    if not isinstance(taken, Tensor):
        return None
    if isinstance(call.module, nn.Linear) and layout.shape:
        return (taken.shape[-1], *layout.shape[1:])
    return tuple(taken.shape[1:])

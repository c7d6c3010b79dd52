"""What every module of a network takes and gives in one forward pass.

    calls = record_calls(model, images)
    [call.name for call in calls]              # "layer1.0.relu@1", "layer1.0.relu@2": a module called twice

Calls are numbered from 1 where a module is called several times. Two calls are linked where one takes the very tensor that
the other gave, unchanged since: a sum made in place, as in `x += shortcut`, is the same tensor with other values, and tells
itself by the tensor's version.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from dissect.errors import TapError
from dissect.evaluation import evaluating
from dissect.taps import check_hooks_allowed, forward

_Value = tuple[object, int]  # an object and, of a tensor, its version


@dataclass(frozen=True)
class Call:
    """One call of a module. number: from 1, of the module's calls; times: how many there are. taken, given: the first tensor
    that it takes and what it gives, with their versions."""

    module_name: str
    module: nn.Module
    number: int
    taken: _Value
    given: _Value
    times: int = 1

    @property
    def name(self) -> str:
        """The name by which the call is tapped."""
        return self.module_name if self.times == 1 else f"{self.module_name}@{self.number}"

    @property
    def output(self) -> Tensor | None:
        """What it gives, where that is a tensor."""
        return self.given[0] if isinstance(self.given[0], Tensor) else None

    def takes(self, other: Call) -> bool:
        """Whether this call takes what the other gave, unchanged."""
        return self.taken[0] is other.given[0] and self.taken[1] == other.given[1]


def record_calls(model: nn.Module, images: Tensor, *, whole: bool = True) -> list[Call]:
    """The calls of a forward pass in evaluation mode, in order of completion; all their tensors are kept.

    whole: raise `TapError` where the network fails; else give the calls until then.
    """
    calls: list[Call] = []
    times: Counter[str] = Counter()
    under_way: list[tuple[nn.Module, _Value]] = []

    def begin(module: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        tensors = (value for value in (*args, *options.values()) if isinstance(value, Tensor))
        under_way.append((module, _versioned(next(tensors, None))))

    def end(name: str, module: nn.Module, output: object) -> None:
        taken: _Value = (None, 0)
        while under_way:  # a call that failed, and whose error the network caught, was begun and never ends
            begun, taken = under_way.pop()
            if begun is module:
                break
        times[name] += 1
        calls.append(Call(name, module, times[name], taken, _versioned(output)))

    check_hooks_allowed(model)
    handles = []
    try:
        for name, module in model.named_modules():
            if name and not isinstance(module, torch.jit.ScriptModule):
                handles.append(module.register_forward_pre_hook(begin, with_kwargs=True))
                handles.append(module.register_forward_hook(lambda m, _args, output, name=name: end(name, m, output)))
        with evaluating(model), suppress(*(() if whole else (TapError,))):
            forward(model, images, versions=True)
    finally:
        for handle in handles:
            handle.remove()
    return [replace(call, times=times[call.module_name]) for call in calls]


def _versioned(value: object) -> _Value:
    # Tensors made in inference mode, as some networks do inside, keep no version.
    return value, value._version if isinstance(value, Tensor) and not value.is_inference() else 0

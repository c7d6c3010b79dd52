"""Where else a convolution can be observed: after the BatchNorm that follows it, and after the activation after that."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dissect.call_graph import Call
from dissect.settings import TapPoint

_ACTIVATIONS = (
    "relu", "relu6", "silu", "swish", "gelu", "gelutanh", "quickgelu", "hardswish", "hardswishme", "mish", "mishme", "hardmish",
    "leakyrelu", "prelu", "elu", "selu", "celu", "hardtanh", "softplus", "swishme",
)  # fmt: skip
"""Names of classes: libraries write their own beside PyTorch's."""


def followers(call: Call, calls: Sequence[Call]) -> tuple[tuple[TapPoint, str], ...]:
    """The BatchNorm that takes this very result, and the activation that takes that one's (or the result itself, where there is
    no BatchNorm). A result that was added to something first is another one."""
    found: list[tuple[TapPoint, str]] = []
    norm = next((c for c in calls if c.takes(call) and _is_norm(c.module)), None)
    if norm:
        if any(not isinstance(child, nn.Identity) for child in norm.module.children()):
            return (("relu", norm.name),)  # a BatchNorm with its activation inside, as in timm
        found.append(("bn", norm.name))
    activation = next((c for c in calls if c.takes(norm or call) and _is_activation(c.module)), None)
    if activation:
        found.append(("relu", activation.name))
    return tuple(found)


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm | nn.GroupNorm) or type(module).__name__ == "FrozenBatchNorm2d"


def _is_activation(module: nn.Module) -> bool:
    return type(module).__name__.lower() in _ACTIVATIONS

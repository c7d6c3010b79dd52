"""Networks that share modules with a body, and convolutions put in the place of others: what methods are built with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from mdl.networks.resnet26 import ResNet26


class Foldable(Protocol):
    """A convolution whose filters in evaluation do not depend on the image."""

    def effective_weight(self) -> Tensor: ...


def sharing_copy(body: ResNet26, owns: Callable[[str, nn.Module], bool]) -> ResNet26:
    """A copy of `body` that holds the body's own modules wherever `owns(name, module)` is false.

    Only modules with tensors are shared, and as modules: one device, one set of statistics, whoever moves them.
    """
    shared = {
        id(module): module
        for name, module in body.named_modules()
        if name.rpartition(".")[2] and own_tensors(module) and not owns(name, module)
    }
    return copy.deepcopy(body, cast("dict[int, object]", shared))


def own_tensors(module: nn.Module) -> list[Tensor]:
    """The parameters and buffers that lie in this module itself, not in one inside it."""
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


def replace_parts(network: ResNet26, operators: Iterable[str], change: Callable[[nn.Conv2d], nn.Module]) -> None:
    """Put `change(conv)` in the place of each convolution that goes by one of `operators` at a site."""
    for site in network.conv_sites():
        for operator in operators:
            if hasattr(site.module, operator):
                setattr(site.module, operator, change(getattr(site.module, operator)))


def fold_parts(network: ResNet26, special: type[nn.Conv2d]) -> None:
    """Put a plain convolution in the place of every `special` one, whose `effective_weight()` becomes its weight."""
    for name, module in list(network.named_modules()):
        if isinstance(module, special):
            network.set_submodule(name, _plain(module))


def adopt_conv(target: nn.Conv2d, conv: nn.Conv2d) -> None:
    """Initialise `target`, of a subclass of Conv2d, as a convolution that has `conv`'s very weight."""
    like: Any = conv  # whose attributes are typed wider than the arguments that they came from
    nn.Conv2d.__init__(
        target, like.in_channels, like.out_channels, like.kernel_size, like.stride, like.padding,
        groups=like.groups, bias=False, device="meta",
    )  # fmt: skip
    target.weight = conv.weight


def _plain(module: nn.Conv2d) -> nn.Conv2d:
    with torch.no_grad():
        weight = cast("Foldable", module).effective_weight().contiguous()
    conv = nn.utils.skip_init(
        nn.Conv2d, module.in_channels, module.out_channels, module.kernel_size, stride=module.stride,
        padding=module.padding, groups=module.groups, bias=module.bias is not None,
    )  # fmt: skip
    conv.weight, conv.bias = nn.Parameter(weight), module.bias
    return conv.train(module.training)

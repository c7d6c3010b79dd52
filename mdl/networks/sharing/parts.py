"""Networks that share modules with a body, and convolutions put in the place of others: what methods are built with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from data_prep.common.errors import UserError
from mdl.networks.body import Body, BodyPart, own_tensors


def sharing_copy(body: Body, owns: Callable[[BodyPart], bool]) -> Body:
    """A copy of `body` that holds the body's own modules wherever `owns(part)` is false, and its head.

    Modules with tensors are shared as modules: one device, one set of statistics, whoever moves them.
    """
    shared: dict[int, object] = {}
    for part in body.parts():
        if not owns(part):
            # What has others inside is copied, as those may be owned or replaced; its own tensors alone are shared then.
            is_leaf = next(part.module.children(), None) is None
            shared |= {id(one): one for one in ([part.module] if is_leaf else own_tensors(part.module))}
    if body.head is not None:
        shared[id(body.head)] = body.head
    return copy.deepcopy(body, shared)


def replace_convs(network: Body, kinds: Iterable[str], change: Callable[[nn.Conv2d], nn.Conv2d]) -> None:
    """Put `change(conv)` in the place of each convolution of these kinds."""
    for site in list(network.sites()):
        if site.kind in kinds:
            network.set_submodule(site.name, change(site.module))


def fold_convs(network: Body, special: type[Reweighted]) -> None:
    """Put a plain convolution in the place of every `special` one, whose `effective_weight()` becomes its weight."""
    for name, module in list(network.named_modules()):
        if isinstance(module, special):
            network.set_submodule(name, module.folded())


class Reweighted(nn.Conv2d):
    """A convolution in the place of `conv`, with that one's very weight and bias as its own: filters made of them are used.

    A method's class says which, in `effective_weight`, and may have a bias of its own. A convolution that does more than torch's,
    such as padding for itself, goes on doing it.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        like: Any = conv  # whose attributes are typed wider than the arguments that they came from
        super().__init__(
            like.in_channels, like.out_channels, like.kernel_size, like.stride, like.padding, like.dilation, like.groups,
            bias=False, device="meta",
        )  # fmt: skip
        self.weight, self.bias = conv.weight, conv.bias
        # Beside the modules, as it must not be moved, counted or stored: its tensors are those above.
        self.__dict__["original"] = conv

    if TYPE_CHECKING:
        original: nn.Conv2d

    def effective_weight(self) -> Tensor:
        """The filters, which in evaluation do not depend on the image."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.convolved(x, self.effective_weight(), self.bias, groups=self.groups)

    def convolved(self, x: Tensor, weight: Tensor, bias: Tensor | None, *, groups: int) -> Tensor:
        """`x` convolved with these filters in the way of the original."""
        if type(self.original) is nn.Conv2d and self.original.padding_mode == "zeros":
            return conv2d(x, weight, bias, self.stride, self.padding, self.dilation, groups)
        like = copy.copy(self.original)
        like.groups = groups
        like.__dict__["_parameters"] = {"weight": weight, "bias": bias}
        return like(x)

    def folded(self) -> nn.Conv2d:
        """A plain convolution that gives the same bits."""
        conv = copy.deepcopy(self.original)
        with torch.no_grad():
            conv.weight = nn.Parameter(self.effective_weight().contiguous())
        conv.bias = self.bias
        return conv.train(self.training)


def check_wide(method: str, body: Body) -> None:
    """Raises `UserError` for a body without a convolution that an adapter could stand at."""
    if not any(site.is_wide for site in body.sites()):
        raise UserError(
            f"Method {method} does not work on {body.backbone}: the network has no convolution wider than 1 x 1; choose another "
            f"method, such as classifier+bn."
        )

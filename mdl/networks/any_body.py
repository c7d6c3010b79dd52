"""Any network that ends in a Linear layer as a body that domains share.

    body = AnyBody(torchvision.models.resnet50(), "torchvision:resnet50", input_size=(224, 224))
    net = MultiDomainNetwork(body, "parallel-adapters")
    network = body.plain()                     # the network as it was, under its own names, with the head in its place

The network is shown one blank image to see which convolutions run, in which order, and which Linear makes the logits. That
Linear becomes `head`; the rest lies under `net`, its modules and their names as they were. Convolutions on a 1 x 1 map, as in
squeeze-and-excitation, are no sites: they choose channels and see no place. A network's own dropout and stochastic depth stay
as its author made them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from data_prep.common.errors import UserError
from mdl.networks.body import Body, Site, inner_conv, kind_of


class _Call(NamedTuple):
    """A module that ran, by its name, with what it took and gave."""

    name: str
    module: nn.Module
    taken: Tensor
    given: Tensor


class AnyBody(Body):
    """`AnyBody(network, "torchvision:mobilenet_v2")`; it takes the network over.

    backbone: what to call it in results. input_size: (H, W) of the blank image. mean, std: of red, green and blue in 0..1 that
    its images are normalised by; None for those of each domain.
    Raises `UserError`, saying why, for a network that cannot be parted into a body and a head.
    """

    def __init__(
        self,
        network: nn.Module,
        backbone: str,
        *,
        input_size: tuple[int, int] = (224, 224),
        mean: tuple[float, float, float] | None = None,
        std: tuple[float, float, float] | None = None,
    ) -> None:
        super().__init__()
        calls, logits = _calls(network, backbone, input_size)
        linear = next((call for call in reversed(calls) if call.given is logits), None)
        if linear is None or not isinstance(linear.module, nn.Linear) or logits.ndim != 2:
            raise UserError(
                f"The network {backbone} ends in no Linear layer whose (B, classes) it returns, so its head cannot be told from "
                f"what domains may share: give a classifier that returns logits."
            )
        self._backbone, self._head_name, self._places = backbone, linear.name, _places(calls)
        if not self._places:
            raise UserError(
                f"The network {backbone} runs no convolution on a map: there is nothing that the methods know."
            )
        self.input_size, self.mean, self.std = input_size, mean, std
        self.n_features = linear.module.in_features
        network.set_submodule(linear.name, nn.Identity())
        self.net = network
        self.dropout = nn.Dropout(0.0)
        self.head: nn.Linear | None = linear.module
        self.eval()

    @property
    def backbone(self) -> str:
        return self._backbone

    def features(self, images: Tensor) -> Tensor:
        return self.net(images)

    def sites(self) -> Iterator[Site]:
        for n, (number, kind, name) in enumerate(self._places, 1):
            place = f"net.{name}"
            inner, module = inner_conv(self, place)
            is_last = n == len(self._places)
            yield Site(number=number, kind=kind, name=inner, place=place, module=module, is_last=is_last)

    def plain(self) -> nn.Module:
        """A copy of the network as its library builds it, with the head in its place."""
        whole = copy.deepcopy(self)
        if whole.head is not None:
            whole.net.set_submodule(self._head_name, whole.head)
        return whole.net


def _places(calls: list[_Call]) -> tuple[tuple[int, str, str], ...]:
    """(number, kind, name) of every convolution on a map, in order of execution, each once."""
    places: dict[str, tuple[int, str, str]] = {}
    number, waiting = 0, None  # `waiting`: the shape of a depthwise map that no pointwise one has taken up yet
    for name, module, taken, given in calls:
        if not isinstance(module, nn.Conv2d) or given.ndim != 4 or given.shape[2:] == (1, 1) or name in places:
            continue
        kind = kind_of(module)
        number += not (kind == "pointwise" and taken.shape == waiting)
        waiting = given.shape if kind == "depthwise" else None
        places[name] = (number, kind, name)
    return tuple(places.values())


def _calls(network: nn.Module, backbone: str, input_size: tuple[int, int]) -> tuple[list[_Call], Tensor]:
    """Every convolution and Linear that runs, in order, and what the network returns."""
    calls: list[_Call] = []

    def heard(name: str) -> Callable[..., None]:
        def hear(module: nn.Module, taken: Any, given: Tensor) -> None:
            calls.append(_Call(name, module, taken[0], given))

        return hear

    kinds = (nn.Conv2d, nn.Linear)
    hooks = [m.register_forward_hook(heard(name)) for name, m in network.named_modules() if isinstance(m, kinds)]
    network.eval()
    weight = next(network.parameters(), torch.zeros(()))
    try:
        with torch.no_grad():
            given = network(torch.zeros(1, 3, *input_size, device=weight.device, dtype=weight.dtype))
    except Exception as error:
        raise UserError(
            f"The network {backbone} cannot be shown an image of {input_size[0]} x {input_size[1]} pixels "
            f"({type(error).__name__}: {error}): give an `input_size` that it takes."
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(given, Tensor):
        raise UserError(f"The network {backbone} returns a {type(given).__name__}; it must return (B, classes) logits.")
    return calls, given

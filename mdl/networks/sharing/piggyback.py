"""`piggyback`: a domain switches single weights of the shared filters off; one bit for each weight is stored.

Each weight has a real mask m, trained with the gradient of its 0/1 value passed straight through. Binary: a weight is
kept iff m > 5e-3. Ternary: where m < -5e-3 its sign is turned. All m start at 1e-2, which keeps every weight, so a
domain starts as the base network. The paper trains the masks with Adam at 1e-4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from data_prep.common.errors import UserError, choose
from mdl.closed_form import NetworkSize, Part, Split
from mdl.networks.body import OPERATORS, Body, BodyPart
from mdl.networks.sharing.base import SharingMethod
from mdl.networks.sharing.parts import Reweighted, fold_convs, replace_convs

START = 1e-2
THRESHOLD = 5e-3


@dataclass(frozen=True)
class Piggyback(SharingMethod):
    """`MultiDomainNetwork(body, "piggyback", mask="ternary")`: a mask for every convolution, and the head.

    mask: "binary" (0, 1) or "ternary" (-1, 0, 1). train_bn: give the domain its own batch normalisation too.
    A domain file holds the masks as bits, one for each weight (ternary: two); their real values are only in training state.
    """

    name = "piggyback"
    published_on = "plain"
    source = "Mallya, Davis and Lazebnik, ECCV 2018"
    parameter_kinds = ("mask",)
    spelling = MappingProxyType({"mask": "{}"})

    mask: Literal["binary", "ternary"] = "binary"
    train_bn: bool = False

    def __post_init__(self) -> None:
        choose("mask", self.mask, ("binary", "ternary"))
        if not isinstance(self.train_bn, bool):
            raise UserError(f"train_bn {self.train_bn!r} is not usable; give true or false.")

    def owns(self, part: BodyPart) -> bool:
        return self.train_bn and part.kind == "bn"

    def adapt(self, network: Body, generator: torch.Generator) -> None:
        replace_convs(network, OPERATORS, lambda conv: MaskedConv2d(conv, self.mask == "ternary"))

    def fold(self, network: Body) -> None:
        fold_convs(network, MaskedConv2d)

    def optimizer(self, name: str) -> Literal["sgd", "adam"]:
        return "adam" if _is_mask(name) else "sgd"

    def pack(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        packed = {}
        for name, tensor in tensors.items():
            if _is_mask(name):
                planes = [tensor > THRESHOLD, tensor < -THRESHOLD][: self._n_planes]
                bits = np.packbits(torch.stack(planes).cpu().numpy())
                packed[name + _BITS] = torch.from_numpy(bits)
            else:
                packed[name] = tensor
        return packed

    def unpack(self, stored: dict[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        tensors = {}
        for name, tensor in stored.items():
            mask = name.removesuffix(_BITS)
            if mask == name or mask not in like:
                tensors[name] = tensor
                continue
            shape = (self._n_planes, *like[mask].shape)
            n_bits = int(np.prod(shape))
            if tensor.dtype != torch.uint8 or tensor.shape != ((n_bits + 7) // 8,):
                raise UserError(f"{name} holds {tensor.numel()} bytes where {n_bits} bits are needed: save it again.")
            planes = torch.from_numpy(np.unpackbits(tensor.numpy(), count=n_bits).reshape(shape)).float()
            tensors[mask] = START * (planes[0] - planes[1] if self._n_planes == 2 else planes[0])
        return tensors

    def stored_bits(self, name: str) -> int:
        return self._n_planes if _is_mask(name) else 32

    def split(self, size: NetworkSize) -> Split:
        masks = Part("mask", sum(part.count for part in size.filters), self._n_planes)
        if self.train_bn:
            return Split(size.filters, own=(masks, size.part("bn")), of_base=(size.part("bn"),))
        return Split(size.parts, own=(masks,))

    @property
    def _n_planes(self) -> int:
        return 2 if self.mask == "ternary" else 1


class MaskedConv2d(Reweighted):
    """A convolution with masked filters; `weight` is the shared one, `mask` a real number for each weight."""

    def __init__(self, conv: nn.Conv2d, ternary: bool) -> None:
        super().__init__(conv)
        self.mask = nn.Parameter(torch.full(conv.weight.shape, START))
        self.ternary = ternary

    def effective_weight(self) -> Tensor:
        mask = self.mask
        kept = (mask > THRESHOLD).to(mask)
        if self.ternary:
            kept = kept - (mask < -THRESHOLD).to(mask)
        straight_through = mask - mask.detach()  # exactly 0, with the gradient of the identity
        return self.weight * (kept + straight_through)


_BITS = "_bits"


def _is_mask(name: str) -> bool:
    return name.endswith(".mask")

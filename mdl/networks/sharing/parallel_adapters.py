"""`parallel-adapters`: beside each dense 3x3 convolution a domain has a 1x1 one, BN(conv(x) + A(x)).

A has the convolution's stride and channels and starts at exactly 0: the paper plugs adapters into a network that was
pre-trained without them, and at 0 the domain starts as that network, to the bit. A gets a gradient from the first
step on, because that does not pass through A.

On another network A stands beside each convolution wider than 1 x 1 and has its groups: beside a depthwise one it is one number
for each channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from data_prep.common.errors import check_number
from mdl.closed_form import ConvSize, NetworkSize, Part, Split
from mdl.networks.body import Body, BodyPart, beside
from mdl.networks.sharing.base import SharingMethod
from mdl.networks.sharing.parts import check_wide


@dataclass(frozen=True)
class ParallelAdapters(SharingMethod):
    """`MultiDomainNetwork(body, "parallel-adapters", dropout=0.5)`: 25 adapters, batch normalisation and head.

    dropout: probability with which a value of the adapter's input is dropped, in training.
    """

    name = "parallel-adapters"
    published_on = "plain"
    source = "Rebuffi, Bilen and Vedaldi, CVPR 2018"
    refuses = MappingProxyType(
        {"separable": "a 1x1 adapter is as large as the pointwise filter beside it (use depthwise-sharing instead)"}
    )
    parameter_kinds = ("adapter",)

    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_number("Adapter dropout", self.dropout, 0, 1, advice="0 for none")

    def owns(self, part: BodyPart) -> bool:
        return part.kind == "bn"

    def check_body(self, body: Body) -> None:
        super().check_body(body)
        check_wide(self.name, body)

    def adapt(self, network: Body, generator: torch.Generator) -> None:
        for site in list(network.sites()):
            if site.is_wide:
                network.set_submodule(site.place, ParallelAdaptedConv2d(site.module, self.dropout))

    def split(self, size: NetworkSize) -> Split:
        adapters = Part("adapter", sum(conv.n_in * conv.n_out for conv in size.convs))
        return Split(shared=size.parts, own=(adapters, size.part("bn")))

    def added_multiply_adds(self, conv: ConvSize, n_positions: int, n_domains: int) -> int:
        return conv.n_in * conv.n_out * n_positions


class ParallelAdaptedConv2d(nn.Module):
    """(B, C_in, h, w) -> (B, C_out, h / stride, w / stride). The 1x1 filters are the parameter `adapter`."""

    def __init__(self, conv: nn.Conv2d, dropout: float) -> None:
        super().__init__()
        self.conv = conv
        self.dropout = nn.Dropout(dropout)
        self.adapter = nn.Parameter(torch.zeros(conv.out_channels, conv.in_channels // conv.groups, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + beside(self.conv, self.dropout(x), self.adapter)

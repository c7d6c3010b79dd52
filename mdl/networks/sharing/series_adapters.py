"""`series-adapters`: after each dense 3x3 convolution y = conv(x), a domain adds z = y + A(BN(y)).

A is a 1x1 convolution of C x C channels. The body gets such adapters too, so that a base network can be pre-trained
with them, as in the paper; a domain starts from the body's. In a body without them A starts at exactly 0, so that
z = y and a base network pre-trained without adapters keeps its function to the bit; A still gets a gradient,
because that does not pass through A.

On another network A stands after each convolution wider than 1 x 1 and has its groups: after a depthwise one it is one number for
each channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from mdl.closed_form import ConvSize, NetworkSize, Part, Split
from mdl.networks.body import Body, BodyPart
from mdl.networks.sharing.base import SharingMethod
from mdl.networks.sharing.parts import check_wide


@dataclass(frozen=True)
class SeriesAdapters(SharingMethod):
    """`MultiDomainNetwork(body, "series-adapters")`: a domain has 25 adapters, batch normalisation and head."""

    name = "series-adapters"
    published_on = "plain"
    source = "Rebuffi, Bilen and Vedaldi, NIPS 2017"
    refuses = MappingProxyType(
        {"separable": "a 1x1 adapter is as large as the pointwise filter it follows (use depthwise-sharing instead)"}
    )
    base_is_prepared = True
    parameter_kinds = ("adapter",)

    def owns(self, part: BodyPart) -> bool:
        return part.kind == "bn" or isinstance(part.module, SeriesAdaptedConv2d)

    def check_body(self, body: Body) -> None:
        super().check_body(body)
        check_wide(self.name, body)

    @staticmethod
    def prepare(body: Body) -> None:
        for site in list(body.sites()):
            if site.is_wide and not isinstance(body.get_submodule(site.place), SeriesAdaptedConv2d):
                body.set_submodule(site.place, SeriesAdaptedConv2d(site.module))

    @staticmethod
    def is_prepared(body: Body) -> bool:
        return any(isinstance(module, SeriesAdaptedConv2d) for module in body.modules())

    def split(self, size: NetworkSize) -> Split:
        """A BN before each adapter and one after; the base network is trained with adapters of its own."""
        adapters = Part("adapter", sum(conv.n_out**2 for conv in size.convs))
        bn = Part("bn", size.part("bn").count + sum(2 * conv.n_out for conv in size.convs))
        return Split(shared=size.filters, own=(adapters, bn), of_base=(adapters, bn))

    def added_multiply_adds(self, conv: ConvSize, n_positions: int, n_domains: int) -> int:
        return conv.n_out**2 * n_positions


class SeriesAdaptedConv2d(nn.Module):
    """(B, C_in, h, w) -> (B, C_out, h / stride, w / stride). The 1x1 filters are the parameter `adapter`."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        channels, weight = conv.out_channels, conv.weight
        self.conv = conv
        self.bn = nn.BatchNorm2d(channels, device=weight.device, dtype=weight.dtype)
        self.adapter = nn.Parameter(torch.zeros(channels, channels // conv.groups, 1, 1).to(weight))
        self.train(conv.training)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y + conv2d(self.bn(y), self.adapter, groups=self.conv.groups)

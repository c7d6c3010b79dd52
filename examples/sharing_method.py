"""A sharing method of one's own: a gain for each channel.

    mdl decathlon --data data/mine --base mdl:imagenet12 --method examples/sharing_method.py:Gains

A domain multiplies what each convolution gives by a number for each channel and has its own batch normalisation and head; all
filters are shared. Nothing else has to know of the method: its rows in the tables, its files, its parameters and its dissection
follow from this class. It asks for convolutions as sites, so it runs on any network: add `--network torchvision:resnet50`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mdl.closed_form import NetworkSize, Part, Split
from mdl.networks.body import Body, BodyPart
from mdl.networks.sharing import SharingMethod


class GainedConv2d(nn.Module):
    """(B, C_in, h, w) -> (B, C_out, h', w'). The gains are the parameter `gain`; at 1 they change nothing."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv  # a module around a convolution keeps it under this name
        self.gain = nn.Parameter(torch.ones(conv.out_channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.gain


@dataclass(frozen=True)
class Gains(SharingMethod):
    """`mdl.MultiDomainNetwork(body, "examples/sharing_method.py:Gains", wide_only=True)`.

    wide_only: leave convolutions of 1 x 1 without gains.
    """

    name = "gains"
    published_on = "separable"
    source = "an example"
    parameter_kinds = ("gain",)

    wide_only: bool = False

    def owns(self, part: BodyPart) -> bool:
        return part.kind == "bn"

    def adapt(self, network: Body, generator: torch.Generator) -> None:
        for site in list(network.sites()):
            if site.is_wide or not self.wide_only:
                network.set_submodule(site.place, GainedConv2d(site.module))

    def split(self, size: NetworkSize) -> Split:
        """Only for the parameter count of a network that nobody trained."""
        outputs = [conv.n_out for conv in size.convs]
        if size.backbone == "separable":  # the depthwise halves have as many channels as the convolution reads
            wide = [conv.n_in for conv in size.convs]
            outputs = wide if self.wide_only else [*wide, *outputs]
        return Split(shared=size.filters, own=(Part("gain", sum(outputs)), size.part("bn")), of_base=(size.part("bn"),))

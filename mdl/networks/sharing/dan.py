"""`dan`, deep adaptation: a domain's filters are linear combinations of the shared ones, L W.

W is a convolution's C_out filters, each flattened; the controller L is C_out x C_out and, with a bias, the domain's
own. L starts at the identity, so a domain starts as the base network; the paper's noise on the diagonal is an option.

On the separable network the controllers stand at the pointwise filters and must be low-rank or diagonal: a full one
would be at least as large as the filters it combines.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn

from data_prep.common.errors import UserError, check_number, choose
from mdl.closed_form import NetworkSize, Part, Split
from mdl.networks.body import Body, BodyPart
from mdl.networks.sharing.base import SharingMethod
from mdl.networks.sharing.parts import Reweighted, fold_convs, replace_convs

CONTROLLED = ("conv", "pointwise")
"""The kinds of convolutions that have a controller; a depthwise filter has no others to be combined with."""

CONTROLLERS = ("full", "diagonal", "low-rank")


@dataclass(frozen=True)
class DAN(SharingMethod):
    """`MultiDomainNetwork(body, "dan", controller="low-rank", rank=8)`: controllers, biases, BatchNorm and head.

    controller: "full" is any L; "diagonal" scales each filter; "low-rank" is L = I + U V^T, U and V of `rank` columns.
    noise: add N(0, 1) / C_out to the diagonal at the start (full and diagonal).
    """

    name = "dan"
    published_on = "plain"
    source = "Rosenfeld and Tsotsos, Incremental Learning through Deep Adaptation, TPAMI 2018"
    parameter_kinds = ("controller",)
    spelling = MappingProxyType({"controller": "{}", "rank": "{}"})

    controller: Literal["full", "diagonal", "low-rank"] = "full"
    rank: int = 8
    noise: bool = False

    def __post_init__(self) -> None:
        choose("controller", self.controller, CONTROLLERS)
        check_number("Rank", self.rank, 1, 10_000, advice="whole")
        if self.rank != int(self.rank):
            raise UserError(f"Rank {self.rank!r} is not usable; give a whole number, such as 8.")
        if not isinstance(self.noise, bool):
            raise UserError(f"Noise {self.noise!r} is not usable; give true or false.")
        if self.noise and self.controller == "low-rank":
            raise UserError(
                "A low-rank controller has no free diagonal for noise; drop `noise` or use another controller."
            )

    def check_backbone(self, backbone: str) -> None:
        super().check_backbone(backbone)
        if self.controller == "full" and backbone == "separable":
            raise UserError(
                "Method dan with a full controller does not work on the separable ResNet-26: the controller is at "
                "least as large as the pointwise filters it combines; use controller low-rank or diagonal, or the "
                "plain ResNet-26."
            )

    def check_body(self, body: Body) -> None:
        super().check_body(body)
        convs = [site.module for site in body.sites() if site.kind in CONTROLLED]
        n_controllers, n_filters = sum(c.out_channels**2 for c in convs), sum(c.weight.numel() for c in convs)
        if self.controller == "full" and n_controllers >= n_filters:
            raise UserError(
                f"Method dan with a full controller does not work on {body.backbone}: the controllers ({n_controllers:,} "
                f"numbers) are at least as large as the filters that they combine ({n_filters:,}); use controller low-rank or "
                f"diagonal."
            )

    def owns(self, part: BodyPart) -> bool:
        return part.kind == "bn"

    def adapt(self, network: Body, generator: torch.Generator) -> None:
        replace_convs(network, CONTROLLED, lambda conv: ControlledConv2d(conv, self, generator))

    def fold(self, network: Body) -> None:
        fold_convs(network, ControlledConv2d)

    def shows(self, option: str) -> bool:
        return self.controller == "low-rank" if option == "rank" else super().shows(option)

    def split(self, size: NetworkSize) -> Split:
        """A controller and a bias at each convolution, of C_out rows: those of the pointwise ones if it is separable."""
        outputs = [conv.n_out for conv in size.convs]
        per_output = {"full": outputs, "diagonal": [1] * 25, "low-rank": [2 * self.rank] * 25}[self.controller]
        controllers = sum(n * m for n, m in zip(outputs, per_output, strict=True))
        return Split(size.parts, (Part("controller", controllers), Part("bias", sum(outputs)), size.part("bn")))


class ControlledConv2d(Reweighted):
    """A convolution with the filters L W; `weight` is the shared W (C_out, C_in, k, k)."""

    def __init__(self, conv: nn.Conv2d, method: DAN, generator: torch.Generator) -> None:
        super().__init__(conv)
        n = conv.out_channels
        self.bias = nn.Parameter(torch.zeros(n) if conv.bias is None else conv.bias.detach().cpu().clone())
        diagonal = torch.ones(n)
        if method.noise:
            diagonal += torch.randn(n, generator=generator) / n
        if method.controller == "full":
            self.controller = nn.Parameter(torch.diag(diagonal))
        elif method.controller == "diagonal":
            self.controller = nn.Parameter(diagonal)
        else:  # U is 0 so that L is the identity, V is not, so that U gets a gradient
            self.controller_u = nn.Parameter(torch.zeros(n, method.rank))
            self.controller_v = nn.Parameter(torch.randn(n, method.rank, generator=generator) / n**0.5)
        self.kind = method.controller

    def effective_weight(self) -> Tensor:
        filters = self.weight.flatten(1)
        if self.kind == "full":
            combined = self.controller @ filters
        elif self.kind == "diagonal":
            combined = self.controller[:, None] * filters
        else:
            combined = filters + self.controller_u @ (self.controller_v.T @ filters)
        return combined.view_as(self.weight)

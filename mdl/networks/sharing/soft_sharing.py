"""`soft-sharing`: for every image a gate mixes the depthwise filters that all domains have learned.

    sources = MultiDomainNetwork(body, "pointwise-sharing", ...)       # with all its domains trained
    soft = MultiDomainNetwork(body, "soft-sharing", sources=sources, region="late")
    soft.add("dtd", n_classes=47)                                      # one of the sources' domains

Equations 8 and 9: a gate per separable convolution and image, global average pool of its input (C channels), then
Linear(C, C // 4 + 1), ReLU, Linear(., D), softmax; the D shares weigh the D domains' depthwise filters. Because a
convolution is linear in its filter, the filters are mixed, not the D results. All filters stay frozen.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn

from data_prep.common.errors import UserError, choose
from mdl.closed_form import PUBLISHED_WIDTH, ConvSize, NetworkSize, Part, Split, conv_sizes
from mdl.networks.body import Body, BodyPart, Site
from mdl.networks.resnet26 import initialise
from mdl.networks.sharing.base import SharingMethod
from mdl.networks.sharing.parts import Reweighted, sharing_copy
from mdl.networks.sharing.pointwise_sharing import PointwiseSharing, pointwise_split

if TYPE_CHECKING:
    from typing_extensions import Self

    from mdl.networks.multi_domain import MultiDomainNetwork

REGIONS = {"early": range(1, 10), "middle": range(10, 18), "late": range(18, 26), "all": range(1, 26)}
"""Numbers of the gated convolutions: the stem and stage 1, stage 2, stage 3 (our reading of the paper's Figure 2). On another
network: the first, second and last third of its depthwise convolutions."""


@dataclass(frozen=True)
class SoftSharing(SharingMethod):
    """`MultiDomainNetwork(body, "soft-sharing", sources=sources, region="all", train="released")`.

    sources: a `MultiDomainNetwork` over the same body, with method pointwise-sharing and at least two domains. It is
    shared, not copied: do not train it meanwhile, and move both to a device. The method gets it from `with_sources`,
    which a multi-domain network calls: `sharing_method("soft-sharing", region="late")` can be named and counted without.
    region: "early", "middle", "late" or "all". train: "gate" trains the gates alone, as the paper says; "released"
    trains batch normalisation, pointwise 25 and the head with them, as the authors' code does.
    """

    name = "soft-sharing"
    published_on = "separable"
    source = "Guo et al., AAAI 2019, Equations 8 and 9, Table 3"
    refuses = MappingProxyType({"plain": "its dense 3x3 convolutions have no depthwise filters to mix"})
    phase = "soft_sharing"
    made_from = PointwiseSharing.name
    parameter_kinds = ("gate",)
    spelling = MappingProxyType({"region": "{}"})

    region: Literal["early", "middle", "late", "all"] = "late"
    train: Literal["gate", "released"] = "gate"
    sources: MultiDomainNetwork | None = field(repr=False, compare=False, default=None)
    _trained: dict[str, Body] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        choose("region", self.region, REGIONS)
        choose("train", self.train, ("gate", "released"))
        if self.sources is not None:
            self._trained.update({name: self.sources.network(name) for name in self.sources.domains})

    def with_sources(self, sources: MultiDomainNetwork | None) -> Self:
        method = getattr(getattr(sources, "method", None), "name", None)
        if sources is None or method != self.made_from or len(sources.domains) < 2:
            raise UserError(
                f"Soft sharing mixes the filters of trained domains, and got {_described(sources)}; give "
                f"`sources`, a MultiDomainNetwork with method {self.made_from} and at least two domains."
            )
        return replace(self, sources=sources)

    @classmethod
    def option_names(cls) -> list[str]:
        return ["region", "train"]

    def owns(self, part: BodyPart) -> bool:
        return self.train == "released" and (part.is_last or part.kind == "bn")

    def check_body(self, body: Body) -> None:
        super().check_body(body)
        if self.sources is not None and body is not self.sources.body:
            raise UserError("Soft sharing got a body that is not that of its `sources`; give `sources.body`.")

    def shared(self, body: Body) -> Iterable[nn.Module]:
        return (body, *self._trained.values())

    def network(self, body: Body, *, domain: str, n_classes: int, dropout: float, generator: torch.Generator) -> Body:
        choose("domain of the sources", domain, self._trained)
        source = self._trained[domain]
        if n_classes != source.n_classes:
            raise UserError(
                f"Domain {domain!r} has {source.n_classes} classes in the sources, not {n_classes}; "
                f"give their number, since soft sharing keeps the trained head."
            )
        network = sharing_copy(source, self.owns)
        network.dropout = nn.Dropout(dropout)
        if self.train == "released":
            network.head = copy.deepcopy(network.head)
        weight = next(body.parameters())
        sites = [depthwise_sites(trained) for trained in self._trained.values()]
        for n, (site, *of_domains) in enumerate(zip(depthwise_sites(network), *sites, strict=True)):
            if self.region in ("all", region_of(body, site.number, n, len(sites[0]))):
                own, filters = site.module, [other.module for other in of_domains]
                gate = Gate(own.in_channels, len(filters), generator).to(weight.device, weight.dtype)
                network.set_submodule(site.name, GatedDepthwise(own, filters, gate))
        if not any(isinstance(module, Gate) for module in network.modules()):
            raise UserError(
                f"{body.backbone} has no depthwise convolution in its {self.region} third: choose region all."
            )
        return network

    def options(self) -> dict[str, object]:
        made_from = {} if self.sources is None else {"sources": list(self._trained)}
        return {**made_from, "region": self.region, "train": self.train}

    def shows(self, option: str) -> bool:
        return option == "region" or super().shows(option)

    def borrows(self, name: str) -> bool:
        """The filters that a gate mixes stand in the rows of the domains that they are from."""
        return ".of_domains." in name

    def origin(self, net: MultiDomainNetwork) -> MultiDomainNetwork:
        return net if self.sources is None else self.sources

    def split(self, size: NetworkSize) -> Split:
        """As the domains that are mixed; each further one has gates besides."""
        trained = pointwise_split(size)
        gates = Part("gate", gate_parameters(self.region, size.n_domains, size.width))
        return replace(trained, own=(*trained.own, gates))

    def added_multiply_adds(self, conv: ConvSize, n_positions: int, n_domains: int) -> int:
        """The gate, and mixing the filters of all domains for each image; then one convolution runs."""
        if conv.number not in REGIONS[self.region]:
            return 0
        return (conv.n_in + n_domains) * n_hidden(conv.n_in) + 9 * conv.n_in * n_domains


def depthwise_sites(body: Body) -> list[Site]:
    """The depthwise convolutions in order of execution."""
    return [site for site in body.sites() if site.kind == "depthwise"]


def region_of(body: Body, number: int, place: int, n_places: int) -> str:
    """The region of a convolution with this number that is the `place`-th, from 0, of `n_places` depthwise ones."""
    if body.backbone in PUBLISHED_WIDTH:
        return next(region for region, numbers in REGIONS.items() if number in numbers)
    return ("early", "middle", "late")[3 * place // n_places]


def n_hidden(channels: int) -> int:
    """Width of a gate's hidden layer.

    >>> n_hidden(64)
    17
    """
    return channels // 4 + 1


def gate_parameters(region: str = "all", n_domains: int = 10, width: int = 64) -> int:
    """One domain's gates, each of Linear(C, C // 4 + 1), ReLU, Linear(., domains); C is what the convolution reads.

    >>> gate_parameters("all")
    649344
    """
    choose("region", region, REGIONS)
    convs = [conv for conv in conv_sizes(width) if conv.number in REGIONS[region]]
    return sum((conv.n_in + 1) * n_hidden(conv.n_in) + (n_hidden(conv.n_in) + 1) * n_domains for conv in convs)


class Gate(nn.Sequential):
    """(B, C) pooled input -> (B, D) shares that add up to 1."""

    def __init__(self, channels: int, n_domains: int, generator: torch.Generator) -> None:
        squeeze = nn.utils.skip_init(nn.Linear, channels, n_hidden(channels))
        spread = nn.utils.skip_init(nn.Linear, n_hidden(channels), n_domains)
        super().__init__(squeeze, nn.ReLU(), spread, nn.Softmax(dim=1))
        initialise(self, generator)


class GatedDepthwise(Reweighted):
    """A depthwise convolution whose filters are mixed for every image: (B, C, h, w) -> (B, C, h / stride, w / stride).

    own: the domain's own filters, which are among those `of_domains`; they stand as `weight`.
    """

    def __init__(self, own: nn.Conv2d, of_domains: Sequence[nn.Conv2d], gate: Gate) -> None:
        super().__init__(own)
        self.of_domains = nn.ModuleList(of_domains)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        n_images, channels, height, width = x.shape
        filters = torch.stack([cast("Tensor", conv.weight) for conv in self.of_domains])  # (D, C_out, 1, k, k)
        shares = self.gate(x.mean(dim=(2, 3)))
        mixed = (shares @ filters.flatten(1)).view(n_images * self.out_channels, 1, *self.kernel_size)
        images_as_channels = x.reshape(1, n_images * channels, height, width)
        y = self.convolved(images_as_channels, mixed, None, groups=n_images * channels)
        y = y.view(n_images, self.out_channels, *y.shape[2:])
        return y if self.bias is None else y + self.bias[:, None, None]


def _described(sources: Any) -> str:
    method = getattr(getattr(sources, "method", None), "name", None)
    if method is None:
        return "none" if sources is None else f"a {type(sources).__name__}"
    return f"method {method} with {len(sources.domains)} domains"

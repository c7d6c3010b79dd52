"""What a network must show of itself so that domains can share it: a head, and its convolutions as sites.

    for site in body.sites():
        site.number, site.kind, site.name         # 3, "depthwise", "stage1.0.conv2.depthwise"
    body.head, body.dropout, body.n_features

`ResNet26` is such a body; `AnyBody` makes one of any network that ends in a Linear layer. A sharing method asks for sites and
never for the network that they are in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from data_prep.common.errors import UserError

OPERATORS = ("depthwise", "pointwise", "conv")
"""The kinds of convolutions: one filter for each channel, 1 x 1 filters across channels, and all others."""

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
"""Of features and of maps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One convolution. `body.set_submodule(site.name, other)` puts another convolution there.

    number: in order of execution; the two halves of a separable convolution share it. kind: one of `OPERATORS`.
    place: where a module may be put around the convolution; it must keep that as `conv`. is_last: the last convolution before
    the head.
    """

    number: int
    kind: str
    name: str
    place: str
    module: nn.Conv2d
    is_last: bool = False

    @property
    def is_wide(self) -> bool:
        """Whether it looks at more than one position."""
        return max(self.module.kernel_size) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyPart:
    """A module of a body with tensors of its own, which a domain shares or owns. kind: one of `OPERATORS`, "bn", or "other".
    number, is_last: as of the convolution's site; 0 for what is no site."""

    name: str
    module: nn.Module
    kind: str
    number: int = 0
    is_last: bool = False


class Body(nn.Module):
    """A network up to its pooled features, which domains may share, then `dropout`, then `head`.

    head: the Linear, or None for a network that returns features. n_features: what the head reads.
    backbone: its name in results: "separable" or "plain" for a ResNet-26, such as "torchvision:resnet50" for another.
    """

    head: nn.Linear | None
    dropout: nn.Dropout
    n_features: int

    @property
    def backbone(self) -> str:
        raise NotImplementedError

    @property
    def width(self) -> int:
        """The number that says how wide it is beside others of its backbone."""
        return self.n_features

    @property
    def n_classes(self) -> int | None:
        """Outputs of the head; None without one."""
        return None if self.head is None else self.head.out_features

    def sites(self) -> Iterator[Site]:
        """The convolutions in order of execution, whatever stands around them now."""
        raise NotImplementedError

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float images -> (B, n_features)."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, n_classes) logits, or the features of a network without a head."""
        features = self.features(images)
        return features if self.head is None else self.head(self.dropout(features))

    def parts(self) -> Iterator[BodyPart]:
        """Every module with tensors of its own but the head."""
        sites = {site.name: site for site in self.sites()}
        for name, module in self.named_modules():
            if not name or name == "head" or not own_tensors(module):
                continue
            site = sites.get(name)
            kind = "bn" if isinstance(module, BATCH_NORMS) else "other"
            yield BodyPart(
                name=name,
                module=module,
                kind=site.kind if site else kind,
                number=site.number if site else 0,
                is_last=site.is_last if site else False,
            )


def own_tensors(module: nn.Module) -> list[Tensor]:
    """The parameters and buffers that lie in this module itself, not in one inside it."""
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


def kind_of(conv: nn.Conv2d) -> str:
    """
    >>> kind_of(nn.Conv2d(8, 8, 3, groups=8)), kind_of(nn.Conv2d(8, 16, 1)), kind_of(nn.Conv2d(8, 16, 3, groups=2))
    ('depthwise', 'pointwise', 'conv')
    """
    if conv.groups == conv.in_channels and conv.groups > 1:
        return "depthwise"
    return "pointwise" if conv.kernel_size == (1, 1) and conv.groups == 1 else "conv"


def inner_conv(network: nn.Module, place: str) -> tuple[str, nn.Conv2d]:
    """(name, convolution) at a place: the module there, or what it keeps as `conv`. Raises `UserError` where it keeps none."""
    name, module = place, network.get_submodule(place)
    while not isinstance(module, nn.Conv2d):
        inner = getattr(module, "conv", None)
        if not isinstance(inner, nn.Module):
            raise UserError(
                f"The {type(module).__name__} at {name} keeps no convolution as `conv`: what a method puts around one must."
            )
        name, module = f"{name}.conv", inner
    return name, module


def margins(conv: nn.Conv2d) -> tuple[int, int, int, int]:
    """Positions of the map (top, bottom, left, right) that no filter's middle reaches; all 0 where a map's size is kept, below 0
    where the middle of a filter goes beyond the map.

    >>> margins(nn.Conv2d(3, 3, 3, padding=1)), margins(nn.Conv2d(3, 3, 5)), margins(nn.Conv2d(3, 3, 1, padding=1))
    ((0, 0, 0, 0), (2, 2, 2, 2), (-1, -1, -1, -1))
    """
    if conv.padding == "same":
        return 0, 0, 0, 0
    vertical, horizontal = (0, 0) if isinstance(conv.padding, str) else cast("tuple[int, int]", conv.padding)
    padding = (vertical, vertical, horizontal, horizontal)
    own = getattr(conv, "static_padding", None)  # convolutions of efficientnet_lite_pytorch pad for themselves
    if isinstance(own, nn.ZeroPad2d):
        left, right, top, bottom = own.padding
        padding = (top, bottom, left, right)
    reach = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
    sides = [side for r in reach for side in (r // 2, r - r // 2)]
    top, bottom, left, right = (side - p for side, p in zip(sides, padding, strict=True))
    return top, bottom, left, right


def beside(conv: nn.Conv2d, x: Tensor, filters: Tensor) -> Tensor:
    """(B, C_in, h, w) -> the map of 1 x 1 `filters` at the positions that `conv` is centred on, with its stride and groups."""
    if any(margins(conv)):
        top, bottom, left, right = margins(conv)
        x = pad(x, (-left, -right, -top, -bottom))  # cuts off what is above 0, and adds zeros where it is below
    return conv2d(x, filters, stride=conv.stride, groups=conv.groups)

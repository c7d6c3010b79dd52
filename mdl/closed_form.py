"""Parameters and multiply-adds of the two backbones from widths alone: arithmetic, no network and no torch.

>>> sum(body_counts("separable").values()) + head_parameters("separable", 1000)
3169667
>>> backbone_multiply_adds("separable", 1000, size=64)
394379264

It is what a network's own counts are checked against, and what the tables show for networks that nobody trained here.
What a sharing method adds and shares is in the method's own file; `mdl.networks.sharing.arithmetic` puts the two together.
Sources: Guo et al. 2019 (separable); Rebuffi, Bilen and Vedaldi, CVPR 2018 (plain).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from data_prep.common.errors import choose
from mdl.published import OFFICIAL
from mdl.results import ParameterRow

PUBLISHED_WIDTH = {"separable": 64, "plain": 32}
PUBLISHED_CLASSES = {domain.name: domain.n_classes for domain in OFFICIAL}


@dataclass(frozen=True, slots=True)
class ConvSize:
    """One of the 25 convolutions: its number, channels and stride."""

    number: int
    n_in: int
    n_out: int
    stride: int


@dataclass(frozen=True, slots=True)
class Part:
    """`Part("mask", 5_806_944, bits=1)`: parameters of one kind, and the bits that each is stored with."""

    kind: str
    count: int
    bits: float = 32


@dataclass(frozen=True, slots=True)
class Split:
    """How a method divides the parameters of many domains, heads left out.

    shared: kept once. own: kept by each further domain. of_base: what the base domain does not share with them.
    """

    shared: tuple[Part, ...] = ()
    own: tuple[Part, ...] = ()
    of_base: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class NetworkSize:
    """`NetworkSize("separable", width=64, n_domains=10)`: what a method needs to know to count. width: of the stem."""

    backbone: str
    width: int
    n_domains: int

    @property
    def convs(self) -> list[ConvSize]:
        """The 25 convolutions, as `conv_sizes` gives them."""
        return conv_sizes(self.width)

    @property
    def parts(self) -> tuple[Part, ...]:
        """All that the body has: its convolutions' filters, and batch normalisation last."""
        return tuple(Part(kind, count) for kind, count in body_counts(self.backbone, self.width).items())

    @property
    def filters(self) -> tuple[Part, ...]:
        """`parts` without batch normalisation."""
        return tuple(part for part in self.parts if part.kind != "bn")

    def part(self, kind: str) -> Part:
        """One of `parts`: `part("bn")`."""
        return next(part for part in self.parts if part.kind == kind)


class MethodRows(Protocol):
    """Every parameter that all domains need under a system: `mdl.networks.sharing.arithmetic.method_rows`.

    n_classes: by domain; None for the ten official ones.
    """

    def __call__(self, system: str, n_classes: dict[str, int] | None = None, /) -> list[ParameterRow]: ...


class SystemMultiplyAdds(Protocol):
    """Multiply-adds of one image under a system: `mdl.networks.sharing.arithmetic.system_multiply_adds`."""

    def __call__(self, system: str, n_classes: int | None, /) -> int: ...


def conv_sizes(width: int) -> list[ConvSize]:
    """The 25 convolutions of a ResNet-26 whose stem has `width` channels.

    >>> conv_sizes(64)[1]
    ConvSize(number=2, n_in=64, n_out=128, stride=2)
    """
    sizes, channels = [ConvSize(1, 3, width, 1)], width
    for stage in (2, 4, 8):
        for block in range(4):
            stride = 2 if block == 0 else 1
            sizes.append(ConvSize(len(sizes) + 1, channels, stage * width, stride))
            sizes.append(ConvSize(len(sizes) + 1, stage * width, stage * width, 1))
            channels = stage * width
    return sizes


def body_counts(backbone: str, width: int | None = None) -> dict[str, int]:
    """Parameters of a body by kind; batch normalisation last. width: of the stem, None for the published one.

    >>> body_counts("separable")
    {'depthwise': 60507, 'pointwise': 2580672, 'bn': 15488}
    >>> body_counts("plain")
    {'conv': 5806944, 'bn': 7744}
    """
    width = network_width(backbone, width)
    sizes = conv_sizes(width)
    bn = 2 * (sum(size.n_out for size in sizes) + 8 * width)
    if backbone == "plain":
        return {"conv": sum(9 * size.n_in * size.n_out for size in sizes), "bn": bn}
    return {
        "depthwise": sum(9 * size.n_in for size in sizes),
        "pointwise": sum(size.n_in * size.n_out for size in sizes),
        "bn": bn,
    }


def body_parameters(backbone: str, width: int | None = None) -> int:
    """The network without its Linear.

    >>> body_parameters("plain")
    5814688
    """
    return sum(body_counts(backbone, width).values())


def head_parameters(backbone: str, n_classes: int, width: int | None = None) -> int:
    """The last Linear with its bias.

    >>> head_parameters("separable", 1000)
    513000
    """
    return (8 * network_width(backbone, width) + 1) * n_classes


def backbone_multiply_adds(backbone: str, n_classes: int | None, size: int = 64, width: int | None = None) -> int:
    """Multiply-adds of one square image: convolutions and the Linear (None: without), zeros of the padding included."""
    width = network_width(backbone, width)
    total = 0 if n_classes is None else 8 * width * n_classes
    for conv, n_positions in conv_positions(width, size):
        per_position = 9 * conv.n_in * conv.n_out if backbone == "plain" else (9 + conv.n_out) * conv.n_in
        total += per_position * n_positions
    return total


def conv_positions(width: int, size: int) -> Iterator[tuple[ConvSize, int]]:
    """Each convolution with the number of positions (h w) that it computes; a stage halves its map and rounds up."""
    for conv in conv_sizes(width):
        size = math.ceil(size / conv.stride)
        yield conv, size * size


def network_width(backbone: str, width: int | None = None) -> int:
    """`width`, or the published one of the backbone.

    >>> network_width("plain"), network_width("plain", 8)
    (32, 8)
    """
    choose("backbone", backbone, PUBLISHED_WIDTH)
    return PUBLISHED_WIDTH[backbone] if width is None else width

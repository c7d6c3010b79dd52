"""Parameters and multiply-adds of every method from widths alone: arithmetic, no network and no torch.

    rows = method_rows("pointwise-sharing")               # the ten official domains at the published width
    sum(row.count for row in rows if not row.domain)      # 2,318,528 shared: pointwise 1-24
    backbone_multiply_adds("separable", 1000, size=64)    # 394,379,264

It is what a network's own counts are checked against, and what the tables show for networks that nobody trained here.
Definitions of the methods: Guo et al. 2019 and the papers it compares with; see `mdl.networks.sharing`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from data_prep.common.errors import UserError
from mdl.published import BASE, OFFICIAL
from mdl.results import ParameterRow

PUBLISHED_WIDTH = {"separable": 64, "plain": 32}
PUBLISHED_CLASSES = {domain.name: domain.n_classes for domain in OFFICIAL}
REGIONS = {"early": (1, 9), "middle": (10, 17), "late": (18, 25), "all": (1, 25)}
"""First and last of the convolutions that a placement of the gates covers."""


@dataclass(frozen=True, slots=True)
class ConvSize:
    """One of the 25 convolutions: its number, channels and stride."""

    number: int
    n_in: int
    n_out: int
    stride: int


def conv_sizes(width: int) -> list[ConvSize]:
    """`conv_sizes(64)`: the 25 convolutions of a ResNet-26 whose stem has `width` channels."""
    sizes, channels = [ConvSize(1, 3, width, 1)], width
    for stage in (2, 4, 8):
        for block in range(4):
            stride = 2 if block == 0 else 1
            sizes.append(ConvSize(len(sizes) + 1, channels, stage * width, stride))
            sizes.append(ConvSize(len(sizes) + 1, stage * width, stage * width, 1))
            channels = stage * width
    return sizes


def body_counts(backbone: str, width: int | None = None) -> dict[str, int]:
    """`body_counts("separable")`: depthwise 60,507, pointwise 2,580,672, bn 15,488; for "plain" conv and bn."""
    width = _width(backbone, width)
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
    """`body_parameters("plain")` is 5,814,688: the network without its Linear."""
    return sum(body_counts(backbone, width).values())


def head_parameters(backbone: str, n_classes: int, width: int | None = None) -> int:
    """`head_parameters("separable", 1000)` is 513,000: the last Linear with its bias."""
    return (8 * _width(backbone, width) + 1) * n_classes


def gate_parameters(region: str = "all", n_domains: int = 10, width: int = 64) -> int:
    """`gate_parameters("all")` is 649,344: Linear(C, C // 4 + 1), ReLU, Linear(-> domains) at each placement.

    One domain's gates; C is the number of channels that the separable convolution reads.
    """
    if region not in REGIONS:
        raise UserError(f"Region {region!r} is unknown; known: {', '.join(REGIONS)}.")
    first, last = REGIONS[region]
    total = 0
    for size in conv_sizes(width)[first - 1 : last]:
        hidden = size.n_in // 4 + 1
        total += (size.n_in + 1) * hidden + (hidden + 1) * n_domains
    return total


def backbone_multiply_adds(backbone: str, n_classes: int | None, size: int = 64, width: int | None = None) -> int:
    """Multiply-adds of one square image: convolutions and the Linear (None: without), zeros of the padding included."""
    width = _width(backbone, width)
    total = 0 if n_classes is None else 8 * width * n_classes
    for conv, positions in _positions(width, size):
        per_position = 9 * conv.n_in * conv.n_out if backbone == "plain" else (9 + conv.n_out) * conv.n_in
        total += per_position * positions
    return total


def system_multiply_adds(
    system: str, n_classes: int | None, size: int = 64, width: int | None = None, n_domains: int = 10
) -> int:
    """`system_multiply_adds("parallel-adapters", 1000)`: of one image under a method, in evaluation.

    Adapters run beside or after their convolution. Controllers and masks are applied to the filters once, not to each
    image. Soft sharing runs its gates and mixes the filters of `n_domains` domains for each image; then one convolution.
    """
    backbone = backbone_of(system)
    total = backbone_multiply_adds(backbone, n_classes, size, width)
    region = system.removeprefix("soft-sharing-")
    first, last = REGIONS[region] if region != system and region in REGIONS else (0, 0)
    for conv, positions in _positions(_width(backbone, width), size):
        if system == "series-adapters":
            total += conv.n_out**2 * positions
        elif system == "parallel-adapters":
            total += conv.n_in * conv.n_out * positions
        elif first <= conv.number <= last:
            hidden = conv.n_in // 4 + 1
            total += (conv.n_in + n_domains) * hidden + 9 * conv.n_in * n_domains
    return total


def method_rows(
    system: str, n_classes: Mapping[str, int] | None = None, width: int | None = None, base: str = BASE
) -> list[ParameterRow]:
    """`method_rows("dan")`: every parameter that all domains need together under one method, on its paper's backbone.

    system: a method, or one with its variant: `dan-diagonal`, `dan-low-rank-8`, `piggyback-ternary`,
    `soft-sharing-late`. n_classes: by domain, the base among them; None for the ten official ones. The base domain
    uses what is shared and, where the method splits the network, its own part as any other domain.
    Raises `UserError` for an unknown system.
    """
    n_classes = dict(PUBLISHED_CLASSES if n_classes is None else n_classes)
    if base not in n_classes:
        raise UserError(f"The base domain {base!r} is not among {', '.join(n_classes)}: name it, or another base.")
    backbone = backbone_of(system)
    width = _width(backbone, width)
    shared, own, base_too = _split(system, backbone, width, len(n_classes))
    rows = [ParameterRow(f"shared {kind}", kind, count) for kind, count, _ in shared if count]
    for domain, classes in n_classes.items():
        parts = [("linear", head_parameters(backbone, classes, width), 32.0)]
        parts += own if domain != base or base_too else []
        rows += [ParameterRow(f"{domain} {kind}", kind, count, bits, domain) for kind, count, bits in parts if count]
        if domain != base and base_too and system.startswith("soft-sharing"):
            region = system.removeprefix("soft-sharing-")
            gates = gate_parameters(region, len(n_classes), width)
            rows.append(ParameterRow(f"{domain} gate", "gate", gates, 32, domain))
    return rows


def backbone_of(system: str) -> str:
    """`backbone_of("dan")` is "plain": the backbone that a method was published on."""
    plain = ("series-adapters", "parallel-adapters", "dan", "piggyback")
    return "plain" if system.startswith(plain) else "separable"


Part = tuple[str, int, float]


def _split(system: str, backbone: str, width: int, n_domains: int) -> tuple[list[Part], list[Part], bool]:
    """(shared, each domain's own without its head, whether the base domain has such a part too)."""
    body = {kind: (kind, count, 32.0) for kind, count in body_counts(backbone, width).items()}
    sizes = conv_sizes(width)
    everything = list(body.values())
    convs = [part for part in everything if part[0] != "bn"]
    squares = sum(size.n_out**2 for size in sizes)
    outputs = sum(size.n_out for size in sizes)
    last = sizes[-1].n_in * sizes[-1].n_out

    if system == "individual":
        return [], everything, True
    if system == "classifier":
        return everything, [], False
    if system == "classifier+bn":
        return convs, [body["bn"]], True
    if system == "pointwise-sharing" or system.removeprefix("soft-sharing-") in REGIONS:
        kept = [("pointwise", body["pointwise"][1] - last, 32.0)]
        return kept, [body["depthwise"], ("pointwise", last, 32.0), body["bn"]], True
    if system == "depthwise-sharing":
        return [body["depthwise"]], [body["pointwise"], body["bn"]], True
    if system == "series-adapters":  # a BN before each adapter and one after; the base is trained with its adapters
        return convs, [("adapter", squares, 32.0), ("bn", body["bn"][1] + 2 * outputs, 32.0)], True
    if system == "parallel-adapters":
        adapters = sum(size.n_in * size.n_out for size in sizes)
        return everything, [("adapter", adapters, 32.0), body["bn"]], False
    if system.startswith("dan"):
        controllers = _controllers(system, sizes)
        return everything, [("controller", controllers, 32.0), ("bias", outputs, 32.0), body["bn"]], False
    if system in ("piggyback", "piggyback-ternary"):
        return everything, [("mask", body["conv"][1], 2.0 if system.endswith("ternary") else 1.0)], False
    raise UserError(
        f"Nothing is known of the parameters of {system!r}: give a method such as pointwise-sharing or dan."
    )


def _controllers(system: str, sizes: list[ConvSize]) -> int:
    variant = system.removeprefix("dan").removeprefix("-")
    if variant in ("", "full"):
        return sum(size.n_out**2 for size in sizes)
    if variant == "diagonal":
        return sum(size.n_out for size in sizes)
    rank = variant.removeprefix("low-rank-")
    if rank.isdecimal() and variant != rank:
        return sum(2 * size.n_out * int(rank) for size in sizes)
    raise UserError(f"Controller {variant!r} is unknown; known: full, diagonal, low-rank-R with a number R.")


def _positions(width: int, size: int) -> Iterator[tuple[ConvSize, int]]:
    """Each convolution with the number of positions that it computes; a stage halves its map and rounds up."""
    for conv in conv_sizes(width):
        size = math.ceil(size / conv.stride)
        yield conv, size * size


def _width(backbone: str, width: int | None) -> int:
    if backbone not in PUBLISHED_WIDTH:
        raise UserError(f"Backbone {backbone!r} is unknown; known: {', '.join(PUBLISHED_WIDTH)}.")
    return PUBLISHED_WIDTH[backbone] if width is None else width

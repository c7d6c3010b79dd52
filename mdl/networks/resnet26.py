"""ResNet-26, plain and separable, with every convolution at a numbered place.

    network = separable_resnet26(n_classes=100)           # 2,707,967 parameters
    logits = network(images)                           # (B, 3, H, W) -> (B, 100)
    for layer in layer_table(network):                 # depthwise 1, pointwise 1, ... pointwise 25
        print(layer.number, layer.operator, layer.module, layer.channels)

The body is a stem, three stages of four basic blocks and an end (batch normalisation, ReLU, global average pool). Its
25 convolutions are numbered in order of execution: 1 the stem, 2-9, 10-17 and 18-25 the stages. In the separable
network a number names a 3x3 depthwise convolution and the 1x1 pointwise one right after it, with nothing in between.

Inputs of any size work, odd ones and oblong ones too: a stage halves its map and rounds up. Weights come from `seed`
alone; the global random state is neither read nor changed.

Sources: Guo et al., AAAI 2019 (separable); Rebuffi, Bilen and Vedaldi, CVPR 2018 (plain).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from numbers import Integral, Real
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad
from torch.utils.flop_counter import FlopCounterMode

from data_prep.common.errors import UserError
from mdl.networks.body import OPERATORS, Body, Site, inner_conv

Conv = Callable[[int, int, int], nn.Module]
Layer = TypeVar("Layer", bound=nn.Module)


def separable_resnet26(
    n_classes: int | None, width: int = 64, dropout: float = 0.0, seed: int | torch.Generator = 0
) -> ResNet26:
    """`separable_resnet26(1000)` is the network of Guo et al. 2019: 3,169,667 parameters.

    n_classes: outputs of the last layer; None for no such layer, so that the network returns (B, 8 * width) features.
    width: channels of the stem; the stages have 2, 4 and 8 times as many.
    dropout: probability with which a feature is dropped before the last layer, in training.
    seed: a number, or a CPU generator to draw on; equal seeds give equal weights.
    Raises `UserError` for a value outside these.
    """
    return ResNet26(SeparableConv2d, n_classes=n_classes, width=width, dropout=dropout, seed=seed)


def plain_resnet26(
    n_classes: int | None, width: int = 32, dropout: float = 0.0, seed: int | torch.Generator = 0
) -> ResNet26:
    """`plain_resnet26(1000)` is the network of Rebuffi et al. 2018, without adapters: 6,071,688 parameters.

    Arguments as in `separable_resnet26`; the convolutions are dense 3x3.
    """
    return ResNet26(PlainConv2d, n_classes=n_classes, width=width, dropout=dropout, seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvSite:
    """One of the 25 places of a convolution: `network.set_submodule(site.name, other)` puts another module there.

    bn, relu: names of the modules that follow. In a block's second convolution the shortcut is added between the two;
    the stem has no ReLU.
    """

    number: int
    name: str
    module: nn.Module
    bn: str
    relu: str | None

    def part(self, operator: str) -> nn.Conv2d:
        """The convolution that goes by one of `OPERATORS` here, whatever a method put around it: `site.part("depthwise")`."""
        return inner_conv(self.module, operator)[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class TappableLayer:
    """One row of `layer_table`: `network.get_submodule(layer.module)` gives `channels` units.

    number: 1 to 25; operator: one of `OPERATORS`; stride: of this operator alone.
    bn, relu: names of the modules that follow (see `ConvSite`); None after a depthwise convolution, which the pointwise
    one follows directly.
    """

    number: int
    operator: str
    module: str
    channels: int
    stride: int
    bn: str | None
    relu: str | None


class SeparableConv2d(nn.Module):
    """A 3x3 depthwise convolution, then a 1x1 pointwise one: (B, C_in, h, w) -> (B, C_out, h / stride, w / stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = _conv2d(in_channels, in_channels, 3, stride=stride, groups=in_channels)
        self.pointwise = _conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


class PlainConv2d(nn.Module):
    """A dense 3x3 convolution, `conv`: (B, C_in, h, w) -> (B, C_out, h / stride, w / stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = _conv2d(in_channels, out_channels, 3, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class PoolAndPad(nn.Module):
    """The shortcut of a stage's first block: 2x2 average pool, then `new_channels` channels of zeros.

    At the rim of an odd map the mean is over the pixels that exist, so the size is that of a stride-2 convolution.
    """

    def __init__(self, new_channels: int) -> None:
        super().__init__()
        self.new_channels = new_channels

    def forward(self, x: Tensor) -> Tensor:
        pooled = avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
        return pad(pooled, (0, 0, 0, 0, 0, self.new_channels))


class BasicBlock(nn.Module):
    """conv1, bn1, relu1, conv2, bn2, plus the shortcut, relu2."""

    def __init__(self, conv: Conv, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = conv(out_channels, out_channels, 1)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity() if stride == 1 else PoolAndPad(out_channels - in_channels)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet26(Body):
    """The body that both networks share; build it with `separable_resnet26` or `plain_resnet26`.

    Modules: `stem.conv`, `stem.bn`; `stage1` to `stage3`, each of blocks `0` to `3`; `end.bn`, `end.relu`, `end.pool`;
    `dropout`; `head` (Linear, or None). `n_features` is the number of channels that the head reads.
    """

    def __init__(
        self, conv: Conv, *, n_classes: int | None, width: int, dropout: float, seed: int | torch.Generator
    ) -> None:
        super().__init__()
        _check_arguments(n_classes, width, dropout)
        self.n_features = 8 * width
        self.stem = nn.Sequential(OrderedDict(conv=conv(3, width, 1), bn=nn.BatchNorm2d(width)))
        self.stage1 = _stage(conv, width, 2 * width)
        self.stage2 = _stage(conv, 2 * width, 4 * width)
        self.stage3 = _stage(conv, 4 * width, 8 * width)
        self.end = nn.Sequential(
            OrderedDict(
                bn=nn.BatchNorm2d(self.n_features),
                relu=nn.ReLU(),
                pool=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
            )
        )
        self.dropout = nn.Dropout(dropout)
        self.head: nn.Linear | None = (
            None if n_classes is None else _without_init(nn.Linear, self.n_features, n_classes)
        )
        initialise(self, seed)

    @property
    def backbone(self) -> str:
        """`separable` or `plain`."""
        return "separable" if isinstance(self.get_submodule("stem.conv"), SeparableConv2d) else "plain"

    @property
    def width(self) -> int:
        """Channels of the stem."""
        return self.n_features // 8

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float images -> (B, n_features). Raises `UserError` for another shape or type."""
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise UserError(
                f"ResNet-26 got images of shape {tuple(images.shape)} and type {images.dtype}; it takes (B, 3, H, W) "
                f"floats: stack RGB images that are scaled and normalised."
            )
        return self.end(self.stage3(self.stage2(self.stage1(self.stem(images)))))

    def sites(self) -> Iterator[Site]:
        """Its depthwise, pointwise or dense convolutions. A dense one lies in a module of its own, the place of adapters."""
        for site in self.conv_sites():
            for kind in OPERATORS:
                if hasattr(site.module, kind):
                    name, module = inner_conv(self, f"{site.name}.{kind}")
                    yield Site(
                        number=site.number,
                        kind=kind,
                        name=name,
                        place=site.name if kind == "conv" else f"{site.name}.{kind}",
                        module=module,
                        is_last=site.number == 25 and kind != "depthwise",
                    )

    def conv_sites(self) -> Iterator[ConvSite]:
        """The 25 convolutions in order of execution, whatever module stands there now."""
        yield ConvSite(number=1, name="stem.conv", module=self.get_submodule("stem.conv"), bn="stem.bn", relu=None)
        blocks = [f"stage{stage}.{block}" for stage in (1, 2, 3) for block in range(4)]
        for number, (block, i) in enumerate(product(blocks, (1, 2)), start=2):
            name = f"{block}.conv{i}"
            yield ConvSite(
                number=number, name=name, module=self.get_submodule(name), bn=f"{block}.bn{i}", relu=f"{block}.relu{i}"
            )


def layer_table(network: ResNet26) -> list[TappableLayer]:
    """`layer_table(network)` lists every convolution, numbered 1 to 25 in order of execution.

    A number has two rows in the separable network (depthwise, pointwise) and one in the plain network (conv). A module
    put in a convolution's place keeps its rows if its parts keep their names. Raises `UserError` where it has none.
    """
    rows = []
    for site in network.conv_sites():
        parts = [(name, site.part(name)) for name, _ in site.module.named_children() if name in OPERATORS]
        if not parts:
            raise UserError(
                f"Convolution {site.number} ({site.name}) is a {type(site.module).__name__} without a part named "
                f"{', '.join(OPERATORS)}: give the module that replaces it such a part."
            )
        for operator, part in parts:
            bn, relu = (None, None) if operator == "depthwise" else (site.bn, site.relu)
            row = TappableLayer(
                number=site.number,
                operator=operator,
                module=f"{site.name}.{operator}",
                channels=part.out_channels,
                stride=part.stride[0],
                bn=bn,
                relu=relu,
            )
            rows.append(row)
    return rows


def parameter_counts(network: nn.Module) -> dict[str, int]:
    """`parameter_counts(network)["depthwise"]`: parameters by kind, each counted once; running statistics are not counted.

    Kinds: depthwise, pointwise, conv, bn, linear, other. They add up to all parameters.
    """
    counts = dict.fromkeys((*OPERATORS, "bn", "linear", "other"), 0)
    seen: set[int] = set()
    for name, module in network.named_modules():
        kind = _kind(name, module)
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                counts[kind] += parameter.numel()
    return counts


def multiply_adds(network: nn.Module, input_size: int | tuple[int, int] = 64) -> int:
    """Multiply-adds of one image in evaluation, exact.

    >>> multiply_adds(nn.Conv2d(3, 8, 3, padding=1), 10)
    21600

    Counted are all convolutions and matrix products that really run, zeros of the padding included; not counted are
    biases, batch normalisation, ReLU, additions and pooling. input_size: pixels, one number or (H, W).
    """
    size = tuple(input_size) if isinstance(input_size, Sequence) else (input_size, input_size)
    if len(size) != 2 or not all(map(_is_count, size)):
        raise UserError(f"Input size {input_size!r} is no image size: give one or two (H, W) from 1 to 1,000,000.")
    weight = next(network.parameters())
    training = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, *size, device=weight.device, dtype=weight.dtype))
    finally:
        for module, was_training in training.items():
            module.training = was_training
    return counter.get_total_flops() // 2  # one multiply-add is two operations


def initialise(module: nn.Module, seed: int | torch.Generator) -> None:
    """`initialise(network, 0)` draws new weights for every Conv2d and Linear in `module`, in order of the modules.

    Convolutions: normal, standard deviation sqrt(2 / (k * k * out_channels)), which for a depthwise convolution is
    narrower than its nine inputs would ask for (the authors' choice). Linear: torch's own law, uniform within
    1 / sqrt(in_features). Batch normalisation is left alone. Drawn on the CPU, so that every device gets the same.
    """
    generator = _generator(seed)
    with torch.no_grad():
        for part in module.modules():
            if any(parameter.is_meta for parameter in part.parameters(recurse=False)):
                continue  # a shape without values: enough for counting
            if isinstance(part, nn.Conv2d):
                std = math.sqrt(2 / (math.prod(part.kernel_size) * part.out_channels))
                part.weight.copy_(_drawn(part.weight).normal_(0, std, generator=generator))
            elif isinstance(part, nn.Linear):
                bound = 1 / math.sqrt(part.in_features)
                for parameter in part.parameters():
                    parameter.copy_(_drawn(parameter).uniform_(-bound, bound, generator=generator))


def _drawn(parameter: Tensor) -> Tensor:
    return torch.empty(parameter.shape, device="cpu", dtype=torch.float32)


def _generator(seed: int | torch.Generator) -> torch.Generator:
    if isinstance(seed, torch.Generator) and seed.device.type == "cpu":
        return seed
    if isinstance(seed, Integral) and 0 <= int(seed) < 2**63:
        return torch.Generator("cpu").manual_seed(int(seed))
    raise UserError(f"Seed {seed!r} is not usable: give a number from 0 to 2^63 - 1, or a torch.Generator on the CPU.")


def _check_arguments(n_classes: int | None, width: int, dropout: float) -> None:
    if not _is_count(width):
        raise UserError(f"Width {width!r} is no number of channels: give one from 1 to 1,000,000, such as 64.")
    if n_classes is not None and not _is_count(n_classes):
        raise UserError(f"n_classes {n_classes!r} is no number of classes: give one from 1 to 1,000,000, or None.")
    if not isinstance(dropout, Real) or not 0 <= dropout < 1:
        raise UserError(f"Dropout {dropout!r} is no probability below 1: give a number such as 0 (off) or 0.5.")


def _is_count(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and 0 < int(value) <= 1_000_000


def _stage(conv: Conv, in_channels: int, out_channels: int) -> nn.Sequential:
    blocks = [BasicBlock(conv, in_channels, out_channels, stride=2)]
    blocks += [BasicBlock(conv, out_channels, out_channels, stride=1) for _ in range(3)]
    return nn.Sequential(*blocks)


def _conv2d(in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return _without_init(
        nn.Conv2d, in_channels, out_channels, kernel_size,
        stride=stride, padding=kernel_size // 2, groups=groups, bias=False,
    )  # fmt: skip


def _without_init(layer: type[Layer], *args: int, **kwargs: Any) -> Layer:
    """torch's layers draw their first weights from the global random state; these wait for `initialise`."""
    return cast(Layer, nn.utils.skip_init(layer, *args, **kwargs, device=torch.get_default_device()))


def _kind(name: str, module: nn.Module) -> str:
    *above, last = name.split(".")
    if isinstance(module, nn.Conv2d) and last in OPERATORS:
        return (
            above[-1] if last == "conv" and above and above[-1] in OPERATORS else last
        )  # a method's module is around it
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return "bn"
    return "linear" if isinstance(module, nn.Linear) else "other"

"""Equation 7: a batch that mixes images of several domains runs in one forward pass.

    stacked = StackedDomains(net)                              # a copy of the domains' weights, for evaluation
    logits = stacked(images, ["dtd", "svhn", "dtd", ...])      # one domain name for each image

The depthwise filters of all domains are one 4-D tensor per layer, (D, C, 3, 3); so are, in two dimensions, scale and
shift of batch normalisation. An image picks its rows by its domain. Pointwise filters that all domains share run once
over the whole batch; those that they do not share, and the heads, run once for each domain.

Between layers, maps lie as (h, w, B, C): with images and channels side by side, a depthwise convolution of B * C
channels gives every image its own filters at the speed of an ordinary one, which a layout (B, C, h, w) does not.
Results equal those of the single domains up to rounding. `benchmarks/mixed_batch.py` measures the gain.

Source: Guo et al., AAAI 2019, Equation 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, pad

from data_prep.common.errors import UserError, choose
from mdl.networks.body import Body
from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.resnet26 import ResNet26, SeparableConv2d


class StackedDomains(nn.Module):
    """`StackedDomains(net, ["dtd", "svhn"])`: these domains of `net` (all of them, if none are named) in one module.

    net: on a separable body, with a method whose convolutions are plain ones: pointwise-sharing, and also
    depthwise-sharing, classifier, classifier+bn and individual, which gain less, as they run more layers once for each domain.
    The weights are copied: what is done to `net` later does not show. Raises `UserError` for other methods.

    images_at_once: a larger batch passes through in parts of this size, whatever their domains; None for 8 on a CPU,
    whose caches then hold the maps, and for the whole batch elsewhere.
    """

    def __init__(
        self, net: MultiDomainNetwork, domains: Sequence[str] | None = None, images_at_once: int | None = None
    ) -> None:
        super().__init__()
        self.domains = tuple(net.domains if domains is None else domains)
        networks = [_stackable(net.network(name)) for name in self.domains]
        if not networks:
            raise UserError("There is no domain to stack; add one to the network or load one.")
        if len(set(self.domains)) < len(networks):
            raise UserError(f"A domain is named twice in {', '.join(self.domains)}; name each once.")
        if images_at_once is not None and (not isinstance(images_at_once, int) or images_at_once < 1):
            raise UserError(f"images_at_once {images_at_once!r} is not usable; give a number from 1, or None.")
        self.images_at_once = images_at_once
        self.convs = nn.ModuleList(_StackedConv(net.method.name, sites) for sites in _sites(networks))
        self.end = _StackedBatchNorm([cast(nn.BatchNorm2d, network.get_submodule("end.bn")) for network in networks])
        self.heads = nn.ModuleList(_frozen_linear(network) for network in networks)
        self.eval()

    @property
    def n_classes(self) -> tuple[int, ...]:
        """Of each domain."""
        return tuple(cast(nn.Linear, head).out_features for head in self.heads)

    @torch.inference_mode()
    def forward(self, images: Tensor, domains: Sequence[str]) -> Tensor:
        """(B, 3, H, W) images and B domain names -> (B, most classes of a domain); -inf beyond an image's classes."""
        self._check(images, domains)
        numbers = [self.domains.index(name) for name in domains]
        order = sorted(range(len(numbers)), key=numbers.__getitem__)  # fewer runs of one domain
        step = self.images_at_once or (8 if images.device.type == "cpu" else len(order))
        logits = images.new_full((len(order), max(self.n_classes)), -torch.inf)
        for start in range(0, len(order), step):
            rows = order[start : start + step]
            mix = _Mix.of([numbers[row] for row in rows], images.device)
            features = self._features(images[rows], mix)
            for run in mix.runs:
                of_run = self.heads[run.domain](features[run.images])
                logits[rows[run.images], : self.n_classes[run.domain]] = of_run
        return logits

    def _features(self, images: Tensor, mix: _Mix) -> Tensor:
        convs = iter(self.convs)
        x = next(convs)(images.permute(2, 3, 0, 1).contiguous(), mix)
        for conv1, conv2 in zip(convs, convs, strict=True):
            y = conv2(conv1(x, mix).relu_(), mix)
            x = y.add_(x if conv1.stride == 1 else _pool_and_pad(x, y.shape[3])).relu_()
        return self.end(x, mix).relu_().mean(dim=(0, 1))

    def _check(self, images: Tensor, domains: Sequence[str]) -> None:
        dtype = self.end.scale.dtype
        if images.ndim != 4 or images.shape[1] != 3 or images.dtype != dtype:
            raise UserError(f"The images are {images.dtype} {tuple(images.shape)}; give {dtype} of (B, 3, H, W).")
        if isinstance(domains, str) or len(domains) != len(images) or not len(images):
            raise UserError(f"Got {len(images)} images and domains {domains!r}; give one domain name for each image.")
        for name in set(domains):
            choose("domain", name, self.domains)


class _Run(NamedTuple):
    """Neighbouring images of one domain, by the domain's number."""

    domain: int
    images: slice


class _Mix(NamedTuple):
    """domain: (B,) the number of each image's domain, in growing order; runs: the same, as slices."""

    domain: Tensor
    runs: list[_Run]

    @classmethod
    def of(cls, numbers: list[int], device: torch.device) -> _Mix:
        runs, start = [], 0
        for number, group in groupby(numbers):
            stop = start + len(list(group))
            runs.append(_Run(number, slice(start, stop)))
            start = stop
        return cls(torch.tensor(numbers, device=device), runs)


class _StackedConv(nn.Module):
    """One of the 25 separable convolutions and the batch normalisation after it: (h, w, B, C_in) -> (h, w, B, C_out)."""

    depthwise: Tensor  # (D, C_in, 3, 3)
    pointwise: Tensor  # (1 or D, C_out, C_in, 1, 1)

    def __init__(self, method: str, sites: Sequence[tuple[nn.Module, nn.BatchNorm2d]]) -> None:
        super().__init__()
        convs: list[SeparableConv2d] = []
        for conv, _ in sites:
            if not isinstance(conv, SeparableConv2d) or not _is_plain(conv):
                raise UserError(
                    f"Method {method} has convolutions that cannot be stacked; stack a network with pointwise-sharing."
                )
            convs.append(conv)
        self.stride = convs[0].depthwise.stride[0]
        self.register_buffer("depthwise", torch.stack([conv.depthwise.weight.detach()[:, 0] for conv in convs]))
        shared = all(conv.pointwise.weight is convs[0].pointwise.weight for conv in convs)
        filters = [conv.pointwise.weight.detach() for conv in (convs[:1] if shared else convs)]
        self.register_buffer("pointwise", torch.stack(filters))
        self.bn = _StackedBatchNorm([bn for _, bn in sites])

    def forward(self, x: Tensor, mix: _Mix) -> Tensor:
        height, width, n_images, channels = x.shape
        filters = self.depthwise[mix.domain].view(n_images * channels, 1, 3, 3)
        maps = x.view(1, height, width, n_images * channels).permute(0, 3, 1, 2)
        y = conv2d(maps, filters, stride=self.stride, padding=1, groups=n_images * channels)
        y = y.permute(0, 2, 3, 1).reshape(*y.shape[2:], n_images, channels)
        if len(self.pointwise) == 1:
            y = _pointwise(y, self.pointwise[0])
        else:
            runs = [_pointwise(y[:, :, run.images], self.pointwise[run.domain]) for run in mix.runs]
            y = torch.cat(runs, dim=2)
        return self.bn(y, mix)


class _StackedBatchNorm(nn.Module):
    """Batch normalisation in evaluation, of each image's domain: (h, w, B, C) -> the same, scaled and shifted."""

    scale: Tensor  # (D, C)
    shift: Tensor

    def __init__(self, norms: Sequence[nn.BatchNorm2d]) -> None:
        super().__init__()
        scales, shifts = [], []
        for norm in norms:
            assert norm.running_var is not None and norm.running_mean is not None  # those of ResNet-26 keep statistics
            scale = norm.weight.detach() * torch.rsqrt(norm.running_var + norm.eps)
            scales.append(scale)
            shifts.append(norm.bias.detach() - norm.running_mean * scale)
        self.register_buffer("scale", torch.stack(scales))
        self.register_buffer("shift", torch.stack(shifts))

    def forward(self, x: Tensor, mix: _Mix) -> Tensor:
        return torch.addcmul(self.shift[mix.domain], x, self.scale[mix.domain], out=x)


def _is_plain(conv: SeparableConv2d) -> bool:
    """Whether both halves are torch's own, without bias, and padded with zeros as those of ResNet-26 are."""
    depthwise, pointwise = conv.depthwise, conv.pointwise
    if {type(depthwise), type(pointwise)} != {nn.Conv2d}:
        return False
    return repr(conv) == repr(SeparableConv2d(depthwise.in_channels, pointwise.out_channels, depthwise.stride[0]))


def _pointwise(x: Tensor, weight: Tensor) -> Tensor:
    """As a 1x1 convolution, channels last: on CPUs about twice as fast as a matrix product.

    Rows of pixels stand in for the batch, at least 16 of them, because below that PyTorch on one thread falls back to
    the matrix product.
    """
    height, width, n_images, channels = x.shape
    rows = height if height >= 16 else height * width
    maps = x.reshape(rows, -1, n_images, channels).permute(0, 3, 1, 2)
    return conv2d(maps, weight).permute(0, 2, 3, 1).reshape(height, width, n_images, len(weight))


def _pool_and_pad(x: Tensor, n_channels: int) -> Tensor:
    """`PoolAndPad` on (h, w, B, C)."""
    height, width, n_images, channels = x.shape
    maps = x.view(1, height, width, n_images * channels).permute(0, 3, 1, 2)
    pooled = avg_pool2d(maps, 2, ceil_mode=True, count_include_pad=False).permute(0, 2, 3, 1)
    return pad(pooled.reshape(*pooled.shape[1:3], n_images, channels), (0, n_channels - channels))


def _sites(networks: Sequence[ResNet26]) -> list[list[tuple[nn.Module, nn.BatchNorm2d]]]:
    """For each of the 25 convolutions: every network's convolution and the batch normalisation after it."""
    per_network = [
        [(site.module, cast(nn.BatchNorm2d, network.get_submodule(site.bn))) for site in network.conv_sites()]
        for network in networks
    ]
    return [list(sites) for sites in zip(*per_network, strict=True)]


def _stackable(network: Body) -> ResNet26:
    if not isinstance(network, ResNet26):
        raise UserError(
            f"Only domains of a separable ResNet-26 can be stacked, and the body here is {network.backbone}."
        )
    return network


def _frozen_linear(network: ResNet26) -> nn.Linear:
    head = network.head
    assert head is not None  # a domain has one
    copied = nn.utils.skip_init(nn.Linear, head.in_features, head.out_features).to(head.weight)
    copied.load_state_dict(head.state_dict())
    return copied.requires_grad_(False)

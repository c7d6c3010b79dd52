"""What a sharing method is: which modules of the body a domain shares, and what it has of its own.

    class MyMethod(SharingMethod):              # one file in this folder, and one line in `__init__.py`
        name, published_on, source = "my-method", "separable", "who, where, when"

        def owns(self, name, module):           # these modules of the body the domain gets as copies of its own
            return isinstance(module, nn.BatchNorm2d)

A domain's network is a `ResNet26` that holds the body's very modules where it shares and modules of its own elsewhere.
Whatever tensor of it is not the body's is the domain's: that is trained, counted and stored. All own copies start as
the body's values, so a domain starts as the base network with a new head unless its method says otherwise.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from data_prep.common.errors import UserError, nearest
from mdl.networks.resnet26 import ResNet26, SeparableConv2d, initialise

Backbone = Literal["separable", "plain"]


@dataclass(frozen=True)
class SharingMethod:
    """The rules of one method. Its options are dataclass fields; `__post_init__` checks them and raises `UserError`.

    name: as the user writes it. published_on: the backbone of its paper. refuses: backbone -> why it makes no sense.
    """

    name: ClassVar[str]
    published_on: ClassVar[Backbone]
    source: ClassVar[str]
    refuses: ClassVar[Mapping[Backbone, str]] = {}

    def owns(self, name: str, module: nn.Module) -> bool:
        """Whether a domain has its own copy of this module of the body; of the head it always has its own."""
        return False

    def adapt(self, network: ResNet26, generator: torch.Generator) -> None:
        """Put the method's own modules into a domain's network, drawing on `generator` alone."""

    def fold(self, network: ResNet26) -> None:
        """Turn an exported network's special convolutions into plain ones, where that gives the same bits."""

    @staticmethod
    def prepare(body: ResNet26) -> None:
        """Give the body what the method wants pre-trained in it; its function must stay the same, a second call too."""

    @staticmethod
    def is_prepared(body: ResNet26) -> bool:
        """Whether `prepare` has changed this body, so that a checkpoint of it must say so."""
        return False

    def shared(self, body: ResNet26) -> Iterable[nn.Module]:
        """The modules that domains may share. What a domain's network holds besides them is the domain's."""
        return (body,)

    def network(
        self, body: ResNet26, domain: str, n_classes: int, dropout: float, generator: torch.Generator
    ) -> ResNet26:
        """A network for one new domain, with a new head of `n_classes` on the body's device."""
        network = sharing_copy(body, self.owns)
        weight = next(body.parameters())
        head = nn.utils.skip_init(nn.Linear, body.n_features, n_classes)
        initialise(head, generator)
        network.head, network.dropout = head, nn.Dropout(dropout)
        self.adapt(network, generator)
        return network.to(weight.device, weight.dtype)

    def pack(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """A domain's own tensors as its file keeps them."""
        return tensors

    def unpack(self, stored: dict[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The inverse of `pack`: tensors named and shaped as in `like`. Need not give back what no output shows."""
        return stored

    def stored_bits(self, name: str) -> int:
        """Bits that a domain file spends on one value of the parameter called `name`."""
        return 32

    def options(self) -> dict[str, object]:
        """The options as resolved, fit for JSON."""
        return asdict(self)

    @classmethod
    def with_options(cls, options: Mapping[str, object]) -> SharingMethod:
        """The method with these options; raises `UserError` for an unknown one, offering the nearest."""
        known = [field.name for field in fields(cls) if field.init]
        for option in options:
            if option not in known:
                allowed = f"its options are {', '.join(known)}" if known else "it has none"
                raise UserError(f"Method {cls.name} has no option {option!r}; {allowed}{nearest(option, known)}.")
        return cls(**options)

    def check_backbone(self, body: ResNet26) -> None:
        """Raises `UserError`, saying why, where the method makes no sense on this body."""
        kind = backbone(body)
        if kind in self.refuses:
            raise UserError(
                f"Method {self.name} does not work on the {kind} ResNet-26: {self.refuses[kind]}; "
                f"use it on the {self.published_on} one or choose another method."
            )


def backbone(body: ResNet26) -> Backbone:
    """`backbone(body)` is "separable" or "plain"."""
    return "separable" if isinstance(next(body.conv_sites()).module, SeparableConv2d) else "plain"


def sharing_copy(body: ResNet26, owns: Callable[[str, nn.Module], bool]) -> ResNet26:
    """A copy of `body` that holds the body's own modules wherever `owns(name, module)` is false.

    Only modules with tensors are shared, and as modules: one device, one set of statistics, whoever moves them.
    """
    shared = {
        id(module): module
        for name, module in body.named_modules()
        if name.rpartition(".")[2] and own_tensors(module) and not owns(name, module)
    }
    return copy.deepcopy(body, shared)


def own_tensors(module: nn.Module) -> list[Tensor]:
    """The parameters and buffers that lie in this module itself, not in one inside it."""
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


def replace_parts(network: ResNet26, operators: Iterable[str], change: Callable[[nn.Conv2d], nn.Module]) -> None:
    """Put `change(conv)` in the place of each convolution that goes by one of `operators` at a site."""
    for site in network.conv_sites():
        for operator in operators:
            if hasattr(site.module, operator):
                setattr(site.module, operator, change(getattr(site.module, operator)))


def fold_parts(network: ResNet26, special: type[nn.Conv2d]) -> None:
    """Put a plain convolution in the place of every `special` one, whose `effective_weight()` becomes its weight."""
    for name, module in list(network.named_modules()):
        if isinstance(module, special):
            network.set_submodule(name, _plain(module))


def adopt_conv(target: nn.Conv2d, conv: nn.Conv2d) -> None:
    """Initialise `target`, of a subclass of Conv2d, as a convolution that has `conv`'s very weight."""
    nn.Conv2d.__init__(
        target, conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,
        groups=conv.groups, bias=False, device="meta",
    )  # fmt: skip
    target.weight = conv.weight


def _plain(module: nn.Conv2d) -> nn.Conv2d:
    with torch.no_grad():
        weight = module.effective_weight().contiguous()
    conv = nn.utils.skip_init(
        nn.Conv2d, module.in_channels, module.out_channels, module.kernel_size, stride=module.stride,
        padding=module.padding, groups=module.groups, bias=module.bias is not None,
    )  # fmt: skip
    conv.weight, conv.bias = nn.Parameter(weight), module.bias
    return conv.train(module.training)

"""Small networks and the list of sharing methods that the tests of `mdl` run through."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.resnet26 import plain_resnet26, separable_resnet26

BUILDERS = {"separable": separable_resnet26, "plain": plain_resnet26}
BN = r"(stem\.bn|end\.bn|stage\d\.\d\.bn\d)\.(weight|bias)"
SITE = r"(stem\.conv|stage\d\.\d\.conv\d)"


@dataclass(frozen=True)
class Case:
    """`own`: a regular expression for the names of the parameters that a domain has of its own, head aside."""

    method: str
    backbone: str
    own: str
    options: dict = field(default_factory=dict)

    @property
    def label(self) -> str:
        return "-".join([self.method, self.backbone, *map(str, self.options.values())])

    def owns(self, name: str) -> bool:
        return name.startswith("head.") or re.fullmatch(self.own, name) is not None


DAN_EXTRA = rf"{SITE}\.(conv|pointwise)\.(bias|controller)|{BN}"
LOW_RANK_EXTRA = rf"{SITE}\.(conv|pointwise)\.(bias|controller_u|controller_v)|{BN}"

CASES = [
    Case("individual", "separable", ".*"),
    Case("individual", "plain", ".*"),
    Case("classifier", "separable", "-"),
    Case("classifier", "plain", "-"),
    Case("classifier+bn", "separable", BN),
    Case("classifier+bn", "plain", BN),
    Case("pointwise-sharing", "separable", rf"{SITE}\.depthwise\.weight|stage3\.3\.conv2\.pointwise\.weight|{BN}"),
    Case("depthwise-sharing", "separable", rf"{SITE}\.pointwise\.weight|{BN}"),
    Case("series-adapters", "plain", rf"{SITE}\.(adapter|bn\.weight|bn\.bias)|{BN}"),
    Case("parallel-adapters", "plain", rf"{SITE}\.adapter|{BN}"),
    Case("parallel-adapters", "plain", rf"{SITE}\.adapter|{BN}", {"dropout": 0.5}),
    Case("dan", "plain", DAN_EXTRA, {"controller": "full"}),
    Case("dan", "plain", DAN_EXTRA, {"controller": "diagonal"}),
    Case("dan", "plain", LOW_RANK_EXTRA, {"controller": "low-rank", "rank": 2}),
    Case("dan", "separable", DAN_EXTRA, {"controller": "diagonal"}),
    Case("dan", "separable", LOW_RANK_EXTRA, {"controller": "low-rank", "rank": 2}),
    Case("piggyback", "plain", rf"{SITE}\.conv\.mask", {"mask": "binary"}),
    Case("piggyback", "plain", rf"{SITE}\.conv\.mask|{BN}", {"mask": "ternary", "train_bn": True}),
    Case("piggyback", "separable", rf"{SITE}\.(depthwise|pointwise)\.mask", {"mask": "ternary"}),
]
"""Every method that needs nothing but a body; soft sharing, which is made from trained domains, has tests of its own.

A method's case is all that the tests need of it: what its domains own, its arithmetic and its names are tested for each.
"""


@pytest.fixture(autouse=True)
def one_thread():
    """On maps of a few pixels threads only wait for each other, on a busy machine for minutes."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


def body(backbone: str = "separable", n_classes: int | None = 5, width: int = 4, seed: int = 0):
    """A small body whose batch normalisation does something."""
    network = BUILDERS[backbone](n_classes, width=width, seed=seed)
    perturb(network, seed + 1)
    return network.eval()


def perturb(network: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.3, generator=generator)
                module.running_mean.normal_(0, 0.3, generator=generator)


def images(n: int = 3, size: int = 16, seed: int = 7) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def network(case: Case, domains: tuple[str, ...] = ("dtd", "svhn"), base: str | None = "imagenet12"):
    net = MultiDomainNetwork(body(case.backbone), case.method, base_domain=base, **case.options)
    for i, name in enumerate(domains):
        net.add(name, n_classes=4 + i, seed=i)
    return net


def train(net: MultiDomainNetwork, name: str, n_steps: int = 3, lr: float = 0.05, size: int = 16) -> None:
    """A few steps of SGD on noise: enough to move everything that may move."""
    net.train_domain(name)
    optimizer = torch.optim.SGD([parameter for _, parameter in net.domain_parameters(name)], lr, momentum=0.9)
    for step in range(n_steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images(8, size, seed=step)), torch.arange(8) % 4).backward()
        optimizer.step()
    net.eval()


def snapshot(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}

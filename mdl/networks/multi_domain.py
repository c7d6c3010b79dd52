"""Many visual domains over one body: each domain is a network that shares modules with the body.

    net = MultiDomainNetwork(body, "pointwise-sharing")
    net.add("cifar100", n_classes=100)
    net.train_domain("cifar100")                   # only what the method trains, in train mode and with gradients
    logits = net(images)                           # the active domain
    with net.using("dtd"):
        logits = net(images)
    plain = net.export("dtd")                      # an ordinary module without a link to the body

Adding, training or removing a domain leaves every other domain's output as it was, to the bit: nothing that two
domains share is trained, and shared batch normalisation never updates its statistics.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from typing import cast

import torch
from torch import Tensor, nn

from data_prep.common.errors import UserError, check_number, choose
from mdl.networks.body import Body
from mdl.networks.sharing import SharingMethod, sharing_method
from mdl.networks.sharing.parts import sharing_copy


class MultiDomainNetwork(nn.Module):
    """`MultiDomainNetwork(body, "parallel-adapters", dropout=0.5)`: a body, a sharing method with options, and domains.

    body: a `ResNet26`, or any network as an `AnyBody`. The network takes it over: it is frozen, put in evaluation and must not
    be trained meanwhile.
    method: a name of `mdl.networks.sharing.METHODS`, `path/to/file.py:Class`, or a `SharingMethod`.
    base_domain: the name by which the body with its own head is a domain too; it cannot be trained here.
    sources: a multi-domain network over the same body, for a method that is made from trained domains (soft-sharing).
    Raises `UserError` for an unknown method or option, and for a body that the method makes no sense on.
    """

    def __init__(
        self,
        body: Body,
        method: str | SharingMethod,
        base_domain: str | None = None,
        *,
        sources: MultiDomainNetwork | None = None,
        **options: object,
    ) -> None:
        super().__init__()
        if not isinstance(body, Body):
            raise UserError(
                f"The body is a {type(body).__name__}; give a ResNet26, such as separable_resnet26(None), or any network as "
                f"AnyBody(network, name)."
            )
        if isinstance(method, str):
            method = sharing_method(method, **options)
        elif options:
            raise UserError(f"Method {method.name} has its options already: leave {', '.join(options)} out.")
        self.method = method.with_sources(sources)
        self.method.check_body(body)
        self.method.prepare(body)
        self.body = body.requires_grad_(False)
        self._networks = nn.ModuleDict()
        self.active: str | None = None
        if base_domain is not None:
            if body.head is None:
                raise UserError(
                    f"Base domain {base_domain!r} needs a body with a head; this one has none: add a domain."
                )
            self._put(base_domain, sharing_copy(body, lambda part: False))
        self.eval()

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains' names, in the order they were added."""
        return tuple(key.removeprefix(_KEY) for key in self._networks)

    def add(self, name: str, n_classes: int, dropout: float = 0.0, seed: int = 0) -> None:
        """Add a domain: the base network with a new head, and whatever the method gives it. The first becomes active.

        dropout: probability before the head, in training. seed: of the head and of what the method draws.
        """
        self._check_new(name)
        if isinstance(n_classes, bool) or not isinstance(n_classes, Integral) or not 0 < n_classes <= 1_000_000:
            raise UserError(f"n_classes {n_classes!r} is no number of classes: give one from 1 to 1,000,000.")
        check_number("Dropout", dropout, 0, 1, advice="0 for none")
        check_number("Seed", seed, 0, 2**63, advice="whole")
        generator = torch.Generator("cpu").manual_seed(int(seed))
        network = self.method.network(
            self.body, domain=name, n_classes=int(n_classes), dropout=dropout, generator=generator
        )
        self._put(name, network)

    def remove(self, name: str) -> None:
        """Forget a domain; the others stay as they are."""
        self.network(name)
        del self._networks[_KEY + name]
        if self.active == name:
            self.active = None

    def switch(self, name: str) -> None:
        """Make `name` the active domain, which `net(images)` runs."""
        self.network(name)
        self.active = name

    @contextmanager
    def using(self, name: str) -> Iterator[Body]:
        """Make `name` the active domain for a `with` block."""
        before = self.active
        self.switch(name)
        try:
            yield self.network(name)
        finally:
            self.active = before if before in self.domains else None

    def network(self, name: str) -> Body:
        """The network of one domain. It shares modules with the body: do not call `train()` on it."""
        choose("domain", name, self.domains)
        return cast(Body, self._networks[_KEY + name])

    def forward(self, images: Tensor, domain: str | None = None) -> Tensor:
        """(B, 3, H, W) -> (B, n_classes) of `domain`, or of the active one."""
        name = self.active if domain is None else domain
        if name is None:
            raise UserError(f"No domain is active; switch to one of {', '.join(self.domains) or '(none added yet)'}.")
        return self.network(name)(images)

    def domain_state(self, name: str) -> dict[str, Tensor]:
        """The domain's own tensors by their names in its network: parameters and BatchNorm statistics, not copied."""
        state = self.network(name).state_dict(keep_vars=True)
        shared = {id(tensor) for tensor in self._shared_tensors()}
        return {key: tensor for key, tensor in state.items() if id(tensor) not in shared}

    def load_domain_state(self, name: str, state: Mapping[str, Tensor]) -> None:
        """Copy `state` into the domain's own tensors; names and shapes must be those of `domain_state`."""
        own = self.domain_state(name)
        if wrong := sorted(own.keys() ^ state.keys()):
            raise UserError(
                f"The state has {len(state)} tensors where domain {name!r} ({self.method.name}) has {len(own)}; "
                f"the first that only one of them has is {wrong[0]}: give a state of the same method and options."
            )
        for key, tensor in own.items():
            if tensor.shape != state[key].shape:
                raise UserError(
                    f"{key} of domain {name!r} has shape {tuple(tensor.shape)}, the state's has "
                    f"{tuple(state[key].shape)}: give a state of the same width and number of classes."
                )
        with torch.no_grad():
            for key, tensor in own.items():
                tensor.copy_(state[key])

    def domain_parameters(self, name: str) -> list[tuple[str, nn.Parameter]]:
        """Exactly the parameters that the method trains for this domain, by their names in its network."""
        return [(key, tensor) for key, tensor in self.domain_state(name).items() if isinstance(tensor, nn.Parameter)]

    def train_domain(self, name: str) -> None:
        """Switch to `name` and make it, alone, ready for training: gradients and train mode for its own parts only."""
        parameters = self.domain_parameters(name)
        if not parameters:
            raise UserError(f"Domain {name!r} is the shared body itself, which all domains read: pre-train it instead.")
        self.requires_grad_(False)
        for _, parameter in parameters:
            parameter.requires_grad_(True)
        self.switch(name)
        self.train()

    def train(self, mode: bool = True) -> MultiDomainNetwork:
        """Train mode for the active domain's own modules; what domains share, and other domains, stay in evaluation."""
        super().train(False)
        self.training = mode
        if mode and self.active is not None:
            shared = {id(part) for whole in self.method.shared(self.body) for part in whole.modules()}
            for module in self.network(self.active).modules():
                module.training = id(module) not in shared
        return self

    def export(self, name: str) -> Body:
        """An independent copy of one domain's network, in evaluation, that gives the same bits.

        Of a ResNet-26 the convolutions are `nn.Conv2d` modules under the body's names, so that tools number them 1 to 25.
        """
        network = copy.deepcopy(self.network(name))
        self.method.fold(network)
        return network.requires_grad_(True).eval()

    def _put(self, name: str, network: Body) -> None:
        self._check_new(name)
        self._networks[_KEY + name] = network.requires_grad_(False).eval()
        self.active = self.active or name

    def _check_new(self, name: str) -> None:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            raise UserError(f"Domain name {name!r} is not usable; use letters, digits, - and _, as in vgg-flowers.")
        if name in self.domains:
            raise UserError(f"Domain {name!r} is there already; remove it first or choose another name.")

    def _shared_tensors(self) -> Iterator[Tensor]:
        for module in self.method.shared(self.body):
            yield from module.parameters()
            yield from module.buffers()


_KEY = "domain_"
"""Before a domain's name in the module tree, so that a domain called `train` or `items` hides no method."""

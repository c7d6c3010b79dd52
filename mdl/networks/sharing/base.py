"""What a sharing method is: which modules of the body a domain shares, and everything else that is special to it.

    class MyMethod(SharingMethod):              # one file, and one line in `__init__.py`, or `path/to/file.py:MyMethod`
        name, published_on, source = "my-method", "separable", "who, where, when"

        def owns(self, part):                   # these modules of the body the domain gets as copies of its own
            return part.kind == "bn"

A method sees a body as `mdl.networks.body` shows it, by its convolutions and never by its names, so that it works on any
network. A domain's network is a body that holds the body's very modules where it shares and modules of its own elsewhere.
Whatever tensor of it is not the body's is the domain's: that is trained, counted and stored. All own copies start as
the body's values, so a domain starts as the base network with a new head unless its method says otherwise.

A method says itself how it is trained (`phase`, `optimizer`), what it starts from (`made_from`, `base_is_prepared`), what
its rows in the tables are called (`variant`) and what it costs (`split`, `added_multiply_adds`): nobody else asks for its
name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from data_prep.common.errors import UserError, choose, nearest
from mdl.closed_form import PUBLISHED_WIDTH, ConvSize, NetworkSize, Split
from mdl.networks.body import Body, BodyPart
from mdl.networks.resnet26 import initialise
from mdl.networks.sharing.parts import sharing_copy
from mdl.networks.sharing.spelling import Spelling

if TYPE_CHECKING:
    from typing_extensions import Self

    from mdl.networks.multi_domain import MultiDomainNetwork

Backbone = Literal["separable", "plain"]

KIND_WORDS = {
    "depthwise": "depthwise convolutions",
    "pointwise": "pointwise convolutions",
    "conv": "dense convolutions wider than 1 x 1",
    "bn": "batch normalisation",
}


@dataclass(frozen=True)
class SharingMethod:
    """The rules of one method. Its options are dataclass fields; `__post_init__` checks them and raises `UserError`.

    name: as the user writes it. published_on: the backbone of its paper. refuses: backbone -> why it makes no sense, for the
    two ResNet-26. needs: the kinds of parts that a body must have (see `mdl.networks.body.BodyPart`).
    phase: the section of a recipe that a domain is trained by. made_from: the method whose trained domains this one
    mixes, "" for none; it gets them with `with_sources`. base_is_prepared: its paper trains the base network with the
    method's own modules in it. parameter_kinds: what its own parameters are for, as the first word of their names.
    spelling: how an option stands in the name of a row, `{"rank": "{}"}` for its value alone; `option-value` if it is
    not listed. given_as: where the class was loaded from, `path/to/file.py:Class`; "" for the methods that come along.
    code_hash: sha256 of that file, not of what it imports, by which a training is not resumed with other code; "" likewise.
    """

    name: ClassVar[str]
    published_on: ClassVar[Backbone]
    source: ClassVar[str]
    refuses: ClassVar[Mapping[str, str]] = {}
    needs: ClassVar[tuple[str, ...]] = ()
    phase: ClassVar[str] = "train"
    made_from: ClassVar[str] = ""
    base_is_prepared: ClassVar[bool] = False
    parameter_kinds: ClassVar[tuple[str, ...]] = ()
    spelling: ClassVar[Mapping[str, str]] = {}
    given_as: ClassVar[str] = ""
    code_hash: ClassVar[str] = ""

    # What a domain shares and owns

    def owns(self, part: BodyPart) -> bool:
        """Whether a domain has its own copy of this part of the body; of the head it always has its own."""
        return False

    def adapt(self, network: Body, generator: torch.Generator) -> None:
        """Put the method's own modules into a domain's network, drawing on `generator` alone."""

    def fold(self, network: Body) -> None:
        """Turn an exported network's special convolutions into plain ones, where that gives the same bits."""

    @staticmethod
    def prepare(body: Body) -> None:
        """Give the body what the method wants pre-trained in it; its function must stay the same, a second call too."""

    @staticmethod
    def is_prepared(body: Body) -> bool:
        """Whether `prepare` has changed this body, so that a file of it must say so."""
        return False

    def shared(self, body: Body) -> Iterable[nn.Module]:
        """The modules that domains may share. What a domain's network holds besides them is the domain's."""
        return (body,)

    def network(self, body: Body, *, domain: str, n_classes: int, dropout: float, generator: torch.Generator) -> Body:
        """A network for one new domain, with a new head of `n_classes` on the body's device."""
        network = sharing_copy(body, self.owns)
        weight = next(body.parameters())
        head = nn.utils.skip_init(nn.Linear, body.n_features, n_classes)
        initialise(head, generator)
        network.head, network.dropout = head, nn.Dropout(dropout)
        self.adapt(network, generator)
        return network.to(weight.device, weight.dtype)

    # What it is made from

    def with_sources(self, sources: MultiDomainNetwork | None) -> Self:
        """The method over the trained domains of `made_from`. Raises `UserError` where they do not fit."""
        if sources is not None:
            raise UserError(f"Method {self.name} is made from no other domains: leave `sources` out.")
        return self

    def check_backbone(self, backbone: str) -> None:
        """Raises `UserError`, saying why, where the method makes no sense on this backbone."""
        choose("backbone", backbone, PUBLISHED_WIDTH)
        if backbone in self.refuses:
            raise UserError(
                f"Method {self.name} does not work on the {backbone} ResNet-26: {self.refuses[backbone]}; "
                f"use it on the {self.published_on} one or choose another method."
            )

    def check_body(self, body: Body) -> None:
        """Raises `UserError` for a body that the method does not work on; needs no more than its shape."""
        if body.backbone in PUBLISHED_WIDTH:
            self.check_backbone(body.backbone)
            return
        kinds = {part.kind for part in body.parts()}
        for kind in self.needs:
            if kind not in kinds:
                raise UserError(
                    f"Method {self.name} does not work on {body.backbone}: the network has no {KIND_WORDS[kind]}; choose another "
                    f"method, such as parallel-adapters."
                )

    # How it is trained and stored

    def optimizer(self, name: str) -> Literal["sgd", "adam"]:
        """What trains the parameter called `name`: "sgd", or "adam" at the recipe's rate for it and without weight decay."""
        return "sgd"

    def pack(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """A domain's own tensors as its file keeps them."""
        return tensors

    def unpack(self, stored: dict[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The inverse of `pack`: tensors named and shaped as in `like`. Need not give back what no output shows."""
        return stored

    # What it is called

    @classmethod
    def option_names(cls) -> list[str]:
        """What `with_options` takes."""
        return [field.name for field in fields(cls) if field.init]

    @classmethod
    def with_options(cls, options: Mapping[str, object]) -> Self:
        """The method with these options; raises `UserError` for an unknown one, offering the nearest."""
        known = cls.option_names()
        for option in options:
            if option not in known:
                allowed = f"its options are {', '.join(known)}" if known else "it has none"
                raise UserError(f"Method {cls.name} has no option {option!r}; {allowed}{nearest(option, known)}.")
        return cls(**options)

    def options(self) -> dict[str, object]:
        """The options as resolved, fit for JSON."""
        return {option: getattr(self, option) for option in self.option_names()}

    def shows(self, option: str) -> bool:
        """Whether an option stands in the name of a row: where it is not the default."""
        return bool(getattr(self, option) != self._defaults()[option])

    def variant(self) -> str:
        """What the name of a row says after the method: "low-rank-4", "late", "" for the plainest."""
        shown = {option: getattr(self, option) for option in self.option_names() if self.shows(option)}
        return self._spelling().written(shown)

    @classmethod
    def of_variant(cls, variant: str) -> Self:
        """The inverse of `variant`; raises `UserError` for what it never gives."""
        options = cls._spelling().read(variant)
        if options is None:
            known = ", ".join(cls.option_names()) or "none"
            raise UserError(f"Method {cls.name} has no variant {variant!r}; its options are: {known}.")
        method = cls.with_options(options)
        if (written := method.variant()) != variant:
            raise UserError(f"Method {cls.name} has no variant {variant!r}: the row is called {cls.name}-{written}.")
        return method

    # What it costs

    def stored_bits(self, name: str) -> int:
        """Bits that a domain file spends on one value of the parameter called `name`."""
        return 32

    def borrows(self, name: str) -> bool:
        """Whether the parameter called `name` is counted with another domain, whose it is."""
        return False

    def origin(self, net: MultiDomainNetwork) -> MultiDomainNetwork:
        """The network that decides what is shared: `net`, or the one whose domains it is made from."""
        return net

    def split(self, size: NetworkSize) -> Split:
        """How many parameters the domains share and each owns, from widths alone; heads, which all have, left out."""
        raise UserError(f"Method {self.name} does not say how many parameters it needs: define `split` in its class.")

    def added_multiply_adds(self, conv: ConvSize, n_positions: int, n_domains: int) -> int:
        """What one image costs at a convolution besides the convolution itself, which has `n_positions` outputs (h w).

        In evaluation: what changes the filters alone happens once, not for every image.
        """
        return 0

    @classmethod
    def _spelling(cls) -> Spelling:
        defaults = cls._defaults()
        return Spelling({option: (cls.spelling.get(option, f"{option}-{{}}"), defaults[option]) for option in defaults})

    @classmethod
    def _defaults(cls) -> dict[str, object]:
        known = cls.option_names()
        return {field.name: field.default for field in fields(cls) if field.name in known}

"""The trained networks that come with the package: what they are, and the networks themselves.

    shipped_networks()["gtsrb"].accuracy      # facts of every network by name, in a fixed order
    network, facts = load_shipped("cifar100-individual")      # a `ResNet26` in evaluation, an independent copy
    with torch.inference_mode():
        logits = network(images)              # (B, 3, H, W) normalised with facts.mean and facts.std

The folder `weights` beside this module holds `weights.json`, one safetensors file for each network (see
`mdl.networks.weight_files`) and `CARD.md`, which tells data, recipes, accuracies and limits. `mdl.shipped.make` writes it. The
base network stands alone; the file of any other one holds what its domain owns and is read together with the base's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from data_prep.common.errors import UserError, choose
from data_prep.common.files import file_hash

if TYPE_CHECKING:
    from mdl.networks.body import Body
    from mdl.networks.resnet26 import ResNet26

FORMAT_VERSION = 1
WEIGHTS = Path(__file__).with_name("weights")
FACTS_FILE, CARD_FILE = "weights.json", "CARD.md"
BASE_NAME = "imagenet12"
"""The network that the others were trained from."""

FULL_WIDTH = 64
"""Channels of the stem in the paper's network."""


class ShippedError(UserError):
    """A shipped network is missing or damaged."""


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """What is known of one network that comes along. n_correct of n_test images of the split `split` of its domain were right.

    file: its name in the folder; sha256: of the file. n_parameters: of the whole network, head included. n_train: images
    of the split(s) `trained_on`. input_size: (H, W) of a test image. mean, std: of red, green and blue in 0..1.
    recipe: as resolved, see `mdl.training.recipe.Plan`. seconds: of training, on `device`.
    """

    name: str
    file: str
    sha256: str
    domain: str
    method: str
    data: str
    width: int
    n_classes: int
    n_parameters: int
    split: str
    n_test: int
    n_correct: int
    trained_on: str
    n_train: int
    epochs: int
    seconds: float
    device: str
    input_size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    recipe: dict[str, Any]

    @property
    def accuracy(self) -> float:
        """Share of the test images that are right, in [0, 1]."""
        return self.n_correct / self.n_test

    @property
    def note(self) -> str:
        """One sentence for whoever reads a number that was made with the network."""
        width = "" if self.width == FULL_WIDTH else f"has {self.width}/{FULL_WIDTH} of the paper's width and "
        return (
            f"The network {self.name} {width}was trained on {self.n_train:,} small images of {self.domain}; of "
            f"{self.n_test:,} {self.split} images in {self.n_classes} classes it gets {self.accuracy:.1%} right: see "
            f"mdl/shipped/weights/{CARD_FILE}."
        )


def shipped_networks(folder: Path = WEIGHTS) -> dict[str, Shipped]:
    """The facts of every network that comes along by its name, the base first. Imports no torch.

    >>> {name: facts.domain for name, facts in shipped_networks().items() if facts.method == "individual"}
    {'cifar100-individual': 'cifar100'}

    Raises `ShippedError` where they cannot be read.
    """
    path = folder / FACTS_FILE
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        if listed["format"] != FORMAT_VERSION:
            raise ValueError(f"its format is {listed['format']!r}, this version reads {FORMAT_VERSION}")
        found = [_as_facts(values) for values in listed["networks"]]
    except FileNotFoundError:
        raise ShippedError(f"The trained networks are not there, {path} is missing: {_REMEDY}.") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ShippedError(f"{path} cannot be read ({error}): {_REMEDY}.") from error
    return {facts.name: facts for facts in found}


def load_shipped(name: str, folder: Path = WEIGHTS) -> tuple[ResNet26, Shipped]:
    """`load_shipped("gtsrb")`: the network, in evaluation, on the CPU, and its facts.

    Raises `ShippedError` for a file that is missing or not the one that was shipped, `UserError` for an unknown name.
    """
    from mdl.networks.weight_files import load_body

    known = shipped_networks(folder)
    choose("shipped network", name, known)
    choose("shipped network", BASE_NAME, known)
    for needed in {BASE_NAME, name}:
        check_file(folder / known[needed].file, known[needed].sha256)
    facts = known[name]
    body = load_body(folder / known[BASE_NAME].file)
    network = body if name == BASE_NAME else domain_network(body, facts.method, folder / facts.file)
    return cast("ResNet26", network), facts


def base_file(name: str, folder: Path = WEIGHTS) -> Path:
    """`base_file("imagenet12")`: the file of the base network that comes along, checked, for `mdl.train_domain`."""
    known = shipped_networks(folder)
    choose("shipped network", name, known)
    if name != BASE_NAME:
        raise UserError(
            f"mdl:{name} is a network over mdl:{BASE_NAME}, not a base network: give mdl:{BASE_NAME} as `base`."
        )
    path = folder / known[name].file
    check_file(path, known[name].sha256)
    return path


def check_file(path: Path, sha256: str) -> None:
    """Raises `ShippedError` unless the file is there and has this hash."""
    try:
        found = file_hash(path)
    except OSError as error:
        raise ShippedError(f"The weights {path} cannot be read ({error.strerror}): {_REMEDY}.") from error
    if found != sha256:
        raise ShippedError(
            f"The weights {path} have the sha256 {found[:12]}..., those shipped {sha256[:12]}...: {_REMEDY}."
        )


def domain_network(body: Body, method: str, path: Path) -> Body:
    """The network of a domain file over the base that it was trained from; raises `UserError` for another one."""
    from mdl.networks.multi_domain import MultiDomainNetwork
    from mdl.networks.weight_files import load_domain

    net = MultiDomainNetwork(body, method)
    return net.export(load_domain(net, path))


def _as_facts(values: dict[str, Any]) -> Shipped:
    names = {f.name for f in fields(Shipped)}
    if values.keys() != names:
        raise KeyError(f"an entry lacks or has too much of {sorted(values.keys() ^ names)}")
    tuples = {key: tuple(values[key]) for key in ("input_size", "mean", "std")}
    return Shipped(**{**values, **tuples})


_REMEDY = "install the package again, or write its weights again with `python -m mdl.shipped RUNS`"

"""The networks of this package for tools that load networks by name, such as `dissect run mdl:imagenet12`.

    network = build("imagenet12")                          # trained: one of `mdl.shipped_networks()`
    network = build("separable", width=32, classes=10)     # untrained
    network = build("runs/decathlon/mine/pointwise-sharing/my-flowers")      # of a result folder
    network.input_size, network.mean, network.std

It is found through the entry point `mdl` of the group "multidomain_dissection.networks" in `pyproject.toml`, so that neither
package imports the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data_prep.common.errors import UserError, choose
from data_prep.common.files import at_home
from mdl.shipped.reader import load_shipped, shipped_networks

if TYPE_CHECKING:
    from torch import nn

    from mdl.networks.resnet26 import ResNet26

UNTRAINED = ("separable", "plain")


def names() -> list[str]:
    """What `build` takes.

    >>> names()[:4]
    ['separable', 'plain', 'imagenet12', 'cifar100-individual']
    """
    return [*UNTRAINED, *shipped_networks()]


def build(name: str, **arguments: Any) -> nn.Module:
    """`build("gtsrb")`, `build("plain", width=16, classes=10, seed=1)`: a network, and on it as attributes what is known of it.

    A name with a slash is a result folder of `mdl train`; `method` is then one of your own that it was trained with, again as
    path/to/file.py:Class, `network` the factory that its body was made by, and `base` the file of its base network, where that is
    found neither beside it nor where it lay in training.
    arguments: of an untrained network, `width`, `classes`, `dropout` and `seed`; the seed of torch's random state if not given.
    Attributes: `input_size` (H, W); of a trained network `mean` and `std` of RGB in [0, 1] and `weights`, the name of their
    file; `trained`, `domain`, and `note`, a sentence for whoever reads numbers made with the network.
    Raises `UserError` for an unknown name or argument.
    """
    if "/" in name:
        return _finished(name, **arguments)
    choose("network of mdl", name, names())
    if name not in UNTRAINED:
        if arguments:
            raise UserError(
                f"mdl:{name} is trained and takes no arguments; mdl:separable takes width, classes and seed."
            )
        network, facts = load_shipped(name)
        # Images enter as large as those on which the accuracy was counted: 72 x 72 where the recipe has the paper's input.
        known = {key: getattr(facts, key) for key in ("input_size", "mean", "std", "domain", "note")}
        return _with_facts(network, trained=True, weights=facts.file, **known)
    network, seed = _untrained(name, arguments)
    note = (
        f"The network {name} is untrained (random weights from seed {seed}): its detectors show what chance "
        f"gives, not what training learns. Give it trained weights."
    )
    return _with_facts(network, trained=False, input_size=(72, 72), domain="untrained", note=note)


def _finished(folder: str, method: str | None = None, network: str | None = None, base: str | None = None) -> nn.Module:
    """The network of a result folder."""
    from mdl.networks.any_body import AnyBody
    from mdl.scoring.score import wilson
    from mdl.training.finished import file_facts, open_finished
    from mdl.training.one_domain import DOMAIN_FILE

    finished = open_finished(at_home(folder), base=base, method=method, network=network)
    result = finished.result
    low, high = wilson(result.n_correct, result.n_test)
    note = (
        f"The network {result.system} was trained on {result.domain} of {result.data}; of {result.n_test:,} {result.split} "
        f"images in {result.n_classes} classes it gets {result.accuracy:.1%} right (95 %: {low:.1%} to {high:.1%})."
    )
    said = file_facts(finished)
    known = {key: said[key] for key in ("input_size", "mean", "std", "resize", "domain") if key in said}
    whole = finished.network.plain() if isinstance(finished.network, AnyBody) else finished.network
    return _with_facts(whole, trained=True, weights=DOMAIN_FILE, note=note, **known)


def _untrained(name: str, arguments: dict[str, Any]) -> tuple[ResNet26, int]:
    """(the network, the seed of its weights)."""
    import torch

    from mdl.networks.resnet26 import plain_resnet26, separable_resnet26

    seed = arguments.pop("seed", torch.initial_seed())
    try:
        builder = {"separable": separable_resnet26, "plain": plain_resnet26}[name]
        return builder(arguments.pop("classes", 1000), seed=seed, **arguments), seed
    except TypeError as error:
        raise UserError(f"mdl:{name} takes the arguments width, classes and seed ({error}).") from None


def _with_facts(network: nn.Module, **facts: Any) -> nn.Module:
    for key, value in facts.items():
        setattr(network, key, value)
    return network

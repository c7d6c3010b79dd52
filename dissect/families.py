"""Families of networks: the part of a network's name before the colon says who builds it.

    name, model, facts = build("torchvision:squeezenet1_1,num_classes=7")

    torchvision:NAME, timm:NAME         where installed; arguments are handed on, such as those that ask for trained weights:
                                        `torchvision:resnet18,weights=DEFAULT`, `timm:resnet18,pretrained=true`
    efficientnet_lite0                  ImageNet-trained; weights come with the `zoo` extra
    package.module:factory              any callable that returns an nn.Module
    path/to/file.py:factory             the same, from a file
    PREFIX:NAME                         of an installed package that offers the prefix, such as `mdl`

To add a family here, write a function and add a line to `FAMILIES`. A package of its own offers one through the entry point
group "multidomain_dissection.networks": prefix = "module:function", where function(name, **arguments) returns an nn.Module; a
function `names()` beside it lists what there is. That module, like a factory or what it returns, may carry as attributes
the facts of `dissect.facts`: how the network wants its images, and what is known of its weights.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from data_prep.common.errors import nearest
from data_prep.common.user_code import load_file, make_importable
from dissect.errors import ModelError
from dissect.facts import carried
from dissect.libraries import (
    Built,
    call,
    efficientnet_lite0,
    timm_names,
    timm_network,
    torchvision_names,
    torchvision_network,
)

GROUP = "multidomain_dissection.networks"


class Family(NamedTuple):
    """build: (name, **arguments) -> `Built`. names: lists the names there are. prefixed: written PREFIX:NAME."""

    build: Callable[..., Built]
    names: Callable[[], Iterable[str]]
    prefixed: bool = True


def build(spec: str) -> Built:
    """The network that `spec` names, untouched. Raises `ModelError`."""
    body, arguments = parse(spec)
    prefix, _, name = body.rpartition(":")
    families = known_families()
    alone = families.get(body)
    if alone and not alone.prefixed and not arguments:
        return alone.build(body)
    if prefix in families and families[prefix].prefixed:
        return families[prefix].build(name, **arguments)
    if prefix:
        return _from_factory(prefix, name, arguments)
    meant = [f"{prefix}:{body}" for prefix, family in families.items() if family.prefixed and body in family.names()]
    if meant:
        raise ModelError(f"There is no network {spec!r}; did you mean {' or '.join(meant)}?")
    known = [f"{prefix}:NAME" if family.prefixed else prefix for prefix, family in families.items()]
    raise ModelError(
        f"There is no network {spec!r}; name one as {', '.join(known)}, package.module:factory or path/to/file.py:factory."
    )


def is_network(word: str) -> bool:
    """Whether a word names a network rather than a layer: it has a colon, which no module's name has, or is known.

    >>> [is_network(word) for word in ("mdl:imagenet12", "efficientnet_lite0", "18", "features.*")]
    [True, True, False, False]
    """
    family = FAMILIES.get(word)
    return ":" in word or (family is not None and not family.prefixed)


def parse(spec: str) -> tuple[str, dict[str, Any]]:
    """The name and the arguments, which are JSON or else plain text.

    >>> parse("timm:resnet18,pretrained=true,num_classes=7,act=relu")
    ('timm:resnet18', {'pretrained': True, 'num_classes': 7, 'act': 'relu'})
    """
    body, *pairs = spec.split(",")
    arguments = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.isidentifier():
            raise ModelError(f"In the network {spec!r}, {pair!r} is no argument: write name,key=value,key=value.")
        try:
            arguments[key] = json.loads(text)
        except ValueError:
            arguments[key] = text
    return body, arguments


def known_families() -> dict[str, Family]:
    """The families of `FAMILIES`, then those that installed packages offer."""
    offered = {point.name: _offered(point) for point in entry_points(group=GROUP)}
    return {**FAMILIES, **{prefix: family for prefix, family in offered.items() if prefix not in FAMILIES}}


FAMILIES: dict[str, Family] = {
    "efficientnet_lite0": Family(efficientnet_lite0, lambda: ["efficientnet_lite0"], prefixed=False),
    "torchvision": Family(torchvision_network, torchvision_names),
    "timm": Family(timm_network, timm_names),
}


def _offered(point: EntryPoint) -> Family:
    """The family that an installed package offers; its code is imported when it is first needed."""

    def build(name: str, /, **arguments: Any) -> Built:
        spec = f"{point.name}:{name}"
        model = call(spec, call(spec, point.load), name, **arguments)
        # Of a folder the last two parts say which network it is: runs/decathlon/mine/dan/dtd is dan_dtd.
        return Built("_".join(Path(name).parts[-2:]), _checked(spec, model), carried(spec, model))

    def names() -> Iterable[str]:
        return getattr(importlib.import_module(point.module), "names", tuple)()

    return Family(build, names)


def _from_factory(where: str, factory_name: str, arguments: dict[str, Any]) -> Built:
    module: Any
    if where.endswith(".py"):
        path = Path(where)
        if not path.is_file():
            raise ModelError(f"The file {where} does not exist: write the network as path/to/file.py:factory.")
        module = call(where, load_file, path)
    else:
        make_importable(Path.cwd())
        module = call(where, importlib.import_module, where)
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        there = [name for name, value in vars(module).items() if callable(value)]
        raise ModelError(f"{where} has no function {factory_name!r}{nearest(factory_name, there)}.")
    spec = f"{where}:{factory_name}"
    model = _checked(spec, call(spec, factory, **arguments))
    return Built(factory_name, model, carried(spec, factory, model))


def _checked(spec: str, model: object) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise ModelError(f"{spec} returned a {type(model).__name__}; it must return a torch.nn.Module.")
    return model

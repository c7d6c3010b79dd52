"""What is settled before a network sees an image: its memory layout, where label pixels lie on its maps, what work it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data_prep.formats import LabelledImages
from dissect.errors import TapError
from dissect.evaluation import evaluating
from dissect.layers import Layer
from dissect.models import Network
from dissect.network_source import source_hash
from dissect.receptive_field import receptive_fields
from dissect.settings import Settings
from dissect.taps import forward
from dissect.upsample import Geometry


@contextmanager
def placed(network: Network, device: str) -> Iterator[tuple[nn.Module, Callable[[np.ndarray], Tensor]]]:
    """The network on `device`, and what makes its input of (B, H, W, 3) uint8 pixels, for as long as the block lasts.

    Both are in channels-last memory, in which a CPU convolves fastest, but in the usual one where the network fails in that, as
    with `x.view(len(x), -1)`: one image is tried. Afterwards the network is where and as it was.
    """
    model = network.model
    with _put_back(model):
        memory = next((memory for memory in _MEMORY if _works(network, device, memory)), _MEMORY[0])
        _move(model, device, memory)

        def prepare(pixels: np.ndarray) -> Tensor:
            return network.prepare(torch.from_numpy(pixels).to(device)).contiguous(memory_format=memory)

        yield model, prepare


_MEMORY = (torch.channels_last, torch.contiguous_format)


def _move(model: nn.Module, device: str, memory: torch.memory_format) -> None:
    model.to(device)
    with suppress(RuntimeError):  # weights of five dimensions know no channels-last memory
        model.to(memory_format=memory)


def _works(network: Network, device: str, memory: torch.memory_format) -> bool:
    """Whether the network takes one image. What it fails on in either memory is told where it is met."""
    _move(network.model, device, memory)
    image = network.prepare(torch.zeros(1, *network.input_size, 3, dtype=torch.uint8, device=device))
    try:
        with evaluating(network.model):
            forward(network.model, image.contiguous(memory_format=memory))
    except TapError:
        return False
    return True


@contextmanager
def _put_back(model: nn.Module) -> Iterator[None]:
    """After the block the network holds the tensors that it held before it, as they lay in memory, and where."""
    stores: list[dict[str, Any]] = [
        store for module in model.modules() for store in (module._parameters, module._buffers)
    ]
    before = [
        (store, name, value, value.data) for store in stores for name, value in store.items() if value is not None
    ]
    try:
        yield
    finally:
        for store, name, value, data in before:
            now = store.get(name)
            if now is not None and now.shape == data.shape:  # else the network itself has another there now
                value.data = data
                store[name] = value


def fingerprint_of(network: Network, layers: Sequence[Layer], data: LabelledImages, settings: Settings) -> str:
    """A hash of all that decides the result but the images, which `resume` looks at one by one."""
    images = [image.name for image in data.images]
    prepared = (network.input_size, network.mean, network.std)
    code = source_hash(network.spec, network.model)
    labels = (tuple(data.categories), list(data.concepts))
    decides = (network.weights_hash(), code, prepared, list(layers), labels, images, settings)
    return hashlib.sha256(repr(decides).encode()).hexdigest()


def early_notes(network: Network, layers: Sequence[Layer], settings: Settings) -> list[str]:
    """Where convolutions are observed before the point that was asked for, in a sentence."""
    if settings.tap == "conv":
        return []
    early = [layer.module for layer in layers if layer.numbered and settings.tap not in dict(layer.followers)]
    if not early:
        return []
    what = "BatchNorm" if settings.tap == "bn" else "activation such as a ReLU"
    return [
        f"Of the network {network.name}, no {what} that is a module takes up the result at {', '.join(early)} (it may be a "
        f"function, come after a sum, or be inside another module): there these layers were observed."
    ]


def geometry_of(network: Network, layers: Sequence[Layer], settings: Settings) -> Geometry:
    """Where label pixels lie on the maps of each layer, by the run's rule (`upsample`)."""
    shapes = [layer.shape[1:] for layer in layers if layer.shape]  # a chosen layer always has one
    if settings.upsample == "half-pixel":
        return Geometry(shapes)
    anchors = [receptive_fields(network.model, layer.module, network.input_size, layer.layout) for layer in layers]
    return Geometry(shapes, anchors, network.input_size)

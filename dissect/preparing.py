"""What is settled before a network sees an image: its memory layout, where label pixels lie on its maps, what work it is."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence

import torch

from data_prep.formats import LabelledImages
from dissect.layers import Layer
from dissect.models import Network
from dissect.network_source import source_hash
from dissect.receptive_field import receptive_fields
from dissect.settings import Settings
from dissect.upsample import Geometry


def channels_last(model: torch.nn.Module) -> torch.nn.Module:
    """The memory layout in which a CPU convolves fastest, where the network's weights allow it."""
    with contextlib.suppress(RuntimeError):  # weights of five dimensions know no such layout
        model.to(memory_format=torch.channels_last)
    return model


def fingerprint_of(network: Network, layers: Sequence[Layer], data: LabelledImages, settings: Settings) -> str:
    """A hash of all that decides the result but the images, which `resume` looks at one by one."""
    images = [image.name for image in data.images]
    prepared = (network.input_size, network.mean, network.std)
    code = source_hash(network.spec, network.model)
    labels = (tuple(data.categories), list(data.concepts))
    decides = (network.weights_hash(), code, prepared, list(layers), labels, images, settings)
    return hashlib.sha256(repr(decides).encode()).hexdigest()


def geometry_of(network: Network, layers: Sequence[Layer], settings: Settings) -> Geometry:
    """Where label pixels lie on the maps of each layer, by the run's rule (`upsample`)."""
    shapes = [layer.shape[1:] for layer in layers if layer.shape]  # a chosen layer always has one
    if settings.upsample == "half-pixel":
        return Geometry(shapes)
    anchors = [receptive_fields(network.model, layer.module, network.input_size, layer.layout) for layer in layers]
    return Geometry(shapes, anchors, network.input_size)

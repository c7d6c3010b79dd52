"""The engine against the brute force on real photographs, with the activations of a trained EfficientNet-Lite0."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import brute_force
import numpy as np
import pytest
from broden_writer import numbered
from comparing import Chosen, assert_equal, collected, engine
from PIL import Image

from data_prep.broden import open_broden
from dissect.errors import ModelError
from dissect.lanes import one_thread
from dissect.layers import Layer, list_layers, select_layers
from dissect.models import Network, load_network

BATCH_SIZE = 8
"""Of the engine and of the plain forward pass alike: a convolution library may round differently for another one."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


class Photographs(NamedTuple):
    """The first images of the set, a network, its layers, their activations and what the brute force makes of them."""

    data: Chosen
    network: Network
    layers: list[Layer]
    maps: list[np.ndarray]
    reference: brute_force.Reference

    @property
    def names(self) -> list[str]:
        return [layer.module for layer in self.layers]


def photographs(root: Path, n_images: int) -> Photographs:
    try:
        network = load_network("efficientnet_lite0")
    except ModelError as error:
        pytest.skip(str(error))
    table = list_layers(network.model, network.input_size)
    layers = select_layers(table, ["18", "24", "30"], ["depthwise", "pointwise"])
    data, broden = Chosen(open_broden(root), np.arange(n_images)), brute_force.read_broden(root)
    del broden.images[n_images:]
    maps = collected(network, layers, data, BATCH_SIZE)
    return Photographs(data, network, layers, maps, brute_force.brute_force(maps, broden, skip=True))


@pytest.fixture(scope="module")
def some(broden_real: Path) -> Photographs:
    return photographs(broden_real, 60)


def test_depthwise_and_pointwise_layers(some, tmp_path):
    assert [layer.operator for layer in some.layers] == ["depthwise", "pointwise"] * 3
    assert sum(layer.n_units for layer in some.layers) == 2800
    result = engine(some.network, some.data, tmp_path, some.names, batch_size=BATCH_SIZE)
    assert_equal(result, some.reference, some.data)
    assert some.reference.detector().sum() > 100


class Numbered(Chosen):
    """Labels of the photographs, with pictures of their numbers in their place."""

    def __init__(self, data: Chosen, folder: Path) -> None:
        super().__init__(data, np.arange(len(data.images)))
        for i, record in enumerate(self.images):
            Image.fromarray(numbered(i)).save(folder / f"{i}.png")
            self.images[i] = type(record)(f"{i}.png", folder / f"{i}.png", record.split, record.label_shape)


@pytest.mark.parametrize("batch_size", [1, 7])
def test_activations_looked_up(some, tmp_path, batch_size):
    """With the convolution library out of the way, the batch size cannot matter."""
    maps = {f"layer-{n}": layer_maps for n, layer_maps in enumerate(some.maps)}
    result = engine(maps, Numbered(some.data, tmp_path), tmp_path / "scratch", batch_size=batch_size)
    assert_equal(result, some.reference, some.data)


@pytest.mark.slow
def test_a_thousand_photographs(broden_real, tmp_path):
    many = photographs(broden_real, 1000)
    result = engine(many.network, many.data, tmp_path, many.names, batch_size=BATCH_SIZE, memory=0.25)
    assert_equal(result, many.reference, many.data)

"""The engine against the brute force on the embedded set, with the activations of a separable ResNet-26."""

from __future__ import annotations

import brute_force
import numpy as np
import pytest
from comparing import Chosen, assert_equal, collected, engine

from data_prep import mini_broden
from data_prep.broden import open_broden
from dissect.lanes import one_thread
from dissect.layers import list_layers, select_layers
from dissect.models import Network
from dissect.settings import Settings
from mdl.networks.resnet26 import separable_resnet26

BATCH_SIZE = 32
"""Of the engine and of the plain forward pass alike: a convolution library may round differently for another one."""

N_IMAGES = 120
"""Of the set, which holds them in a random order."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def found():
    """The set, the network, its six layers and the brute force over some images. Maps of 9 x 9 on label maps of 112 x 112."""
    root = mini_broden.ensure()
    data, broden = Chosen(open_broden(root), np.arange(N_IMAGES)), brute_force.read_broden(root)
    del broden.images[N_IMAGES:]
    model = separable_resnet26(10, width=16, seed=0)
    network = Network(name="separable", model=model, input_size=(72, 72), trained=False)
    layers = select_layers(list_layers(model, network.input_size), ["18", "20", "22"], ["depthwise", "pointwise"])
    maps = collected(network, layers, data, BATCH_SIZE)
    return data, network, layers, brute_force.brute_force(maps, broden, skip=True)


def test_layers_18_20_22(found, tmp_path):
    data, network, layers, reference = found
    assert [layer.n_units for layer in layers] == [64, 128, 128, 128, 128, 128]
    assert len(data.images) == N_IMAGES
    result = engine(network, data, tmp_path, [layer.module for layer in layers], batch_size=BATCH_SIZE)
    assert_equal(result, reference, data)
    assert reference.detector().any() and np.unique(reference.label()).size > 10


@pytest.mark.parametrize("rule", ["all-images", "touched"])
def test_other_union_rules(found, tmp_path, rule):
    data, network, layers, reference = found
    names = [layer.module for layer in layers]
    result = engine(network, data, tmp_path, names, Settings(union=rule), batch_size=BATCH_SIZE, workers=3)
    assert_equal(result, reference, data, rule)

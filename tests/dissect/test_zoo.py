"""Families of networks as torchvision and timm build them, with random weights: which layers, how many units, in which layout.

`zoo.csv` has a row for each layer: the network's name, the side of its images, how many numbered convolutions it has, the layer's
module, units, layout, the side of its map and how many tokens are left out. Each row was written down from what was found, and is
checked against three things that know nothing of how it was found: what the module itself says it gives, what a hook put by hand
sees, and `numpy.quantile` of that.
"""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from comparing import Chosen
from torch import Tensor, nn

from data_prep import mini_broden
from data_prep.broden import open_broden
from dissect.images import read_image
from dissect.layers import list_layers
from dissect.models import Network, load_network
from dissect.pipeline import run
from dissect.settings import Execution

with Path(__file__).with_name("zoo.csv").open(newline="") as file:
    ROWS = list(csv.DictReader(file))
ZOO = {row["network"]: [r for r in ROWS if r["network"] == row["network"]] for row in ROWS}

QUICK = (
    "torchvision:resnet18",
    "timm:vit_tiny_patch16_224,img_size=64",
    "timm:pvt_v2_b0",
    "timm:mobilenetv3_small_050",
)
"""In `make test`; the others in `make test-all`."""

WITHOUT_TIMM = importlib.util.find_spec("timm") is None

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def eight() -> Chosen:
    """The first eight images of the embedded set."""
    return Chosen(open_broden(mini_broden.ensure()), np.arange(8))


def says(module: nn.Module) -> int | None:
    """How many features a layer of PyTorch's own gives, by its class."""
    if isinstance(module, nn.Conv2d):
        return module.out_channels
    if isinstance(module, nn.Linear):
        return module.out_features
    if isinstance(module, nn.BatchNorm2d):
        return module.num_features
    return module.normalized_shape[-1] if isinstance(module, nn.LayerNorm) else None


def by_hand(network: Network, names: list[str], images: Tensor) -> list[np.ndarray]:
    """What the calls give, seen by plain hooks."""
    seen: dict[str, list[Tensor]] = {name.partition("@")[0]: [] for name in names}
    handles = [
        network.model.get_submodule(name).register_forward_hook(lambda _m, _i, output, to=to: to.append(output.clone()))
        for name, to in seen.items()
    ]
    with torch.inference_mode():
        network.model(network.prepare(images))
    for handle in handles:
        handle.remove()
    calls = [name.partition("@") for name in names]
    return [seen[module][int(number or 1) - 1].numpy() for module, _, number in calls]


def units_by_hand(given: np.ndarray, layout: str, left_out: int) -> np.ndarray:
    """(U, values) of what a call gives."""
    if layout == "channels-first":
        return np.moveaxis(given, 1, 0).reshape(given.shape[1], -1)
    return np.moveaxis(given[:, left_out:], -1, 0).reshape(given.shape[-1], -1)


def marks(spec: str) -> list[pytest.MarkDecorator]:
    slow = [] if spec in QUICK else [pytest.mark.slow]
    absent = spec.startswith("timm:") and WITHOUT_TIMM
    return [*slow, pytest.mark.skipif(absent, reason="the extra `zoo` (timm) is not installed")]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("spec", [pytest.param(spec, marks=marks(spec)) for spec in ZOO])
def test_a_family(spec: str, eight: Chosen, tmp_path: Path) -> None:
    expected = ZOO[spec]
    network = load_network(spec, image_size=int(expected[0]["side"]))
    table = {layer.module: layer for layer in list_layers(network.model, network.input_size)}
    numbers = [int(layer.label.partition("@")[0]) for layer in table.values() if layer.numbered]
    assert max(numbers) == int(expected[0]["numbers"])
    names = [row["module"] for row in expected]
    for row in expected:
        found, n_units, side = table[row["module"]].layout, int(row["units"]), int(row["map"])
        assert (found.name, found.shape) == (row["layout"], (n_units, side, side))
        assert found.left_out == int(row["left_out"])
        assert says(network.model.get_submodule(row["module"].partition("@")[0])) in (None, n_units)

    finished = run(
        network, eight, layers=names, out=tmp_path / "run",
        execution=Execution(device="cpu", batch_size=8, memory=8),
    )  # fmt: skip
    pixels = np.stack([read_image(image.path, network.input_size) for image in eight.images])
    units = finished.units.groupby("module", sort=False)
    assert list(units.groups) == names
    for given, row in zip(by_hand(network, names, torch.from_numpy(pixels)), expected, strict=True):
        values = units_by_hand(given, row["layout"], int(row["left_out"]))
        assert values.shape == (int(row["units"]), 8 * int(row["map"]) ** 2)
        found = units.get_group(row["module"])
        thresholds = np.quantile(values.astype(np.float64), 0.995, axis=1)
        rounding = 1e-5 * np.abs(values).max()
        np.testing.assert_allclose(found["threshold"], thresholds, rtol=0, atol=rounding)
        np.testing.assert_allclose(found["max_activation"], values.max(1), rtol=0, atol=rounding)


@pytest.mark.skipif(WITHOUT_TIMM, reason="the extra `zoo` (timm) is not installed")
def test_tokens_in_an_order_of_the_network_s_own_are_no_map() -> None:
    """Hiera lays the tokens of a window side by side; behind that, nothing tells where on the image a token lies."""
    network = load_network("timm:hiera_tiny_224")
    table = {layer.module: layer.layout for layer in list_layers(network.model, network.input_size)}
    assert table["patch_embed"].name == "tokens"
    assert table["unroll"] is table["blocks.0"] is table["blocks.0.attn.qkv"] is None


@pytest.mark.skipif(WITHOUT_TIMM, reason="the extra `zoo` (timm) is not installed")
def test_windows_of_a_map_are_no_map() -> None:
    """NesT computes on (B, windows, cells, U), which has the axes of a map and is none."""
    network = load_network("timm:nest_tiny")
    table = {layer.module: layer.layout for layer in list_layers(network.model, network.input_size)}
    assert table["levels.0.transformer_encoder.0.mlp.fc1"] is None
    assert table["levels.0"].shape == (96, 56, 56)

"""Units that are not the channels of (B, U, h, w): found, told, given, and counted as a hook put by hand sees them."""

from __future__ import annotations

import importlib.util
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from broden_writer import Picture, write_broden
from comparing import Function
from torch import Tensor, nn

from data_prep.broden import open_broden
from dissect.errors import TapError
from dissect.images import read_image
from dissect.layers import Layer, list_layers, select_layers
from dissect.layouts import Layout
from dissect.models import Network
from dissect.pipeline import run
from dissect.receptive_field import receptive_fields
from dissect.run_store import open_run
from dissect.settings import Execution, Settings
from dissect.taps import tap_layers

TIMM = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="the extra `zoo` (timm) is not installed")

pytestmark = pytest.mark.usefixtures("one_thread")


class Permute(Function):
    def __init__(self, *axes: int) -> None:
        super().__init__(lambda x: x.permute(*axes))


def layouts(model: nn.Module, size: tuple[int, int] = (16, 16), **options: object) -> dict[str, Layout | None]:
    return {layer.module: layer.layout for layer in list_layers(model, size, **options)}


def of_names(table: list[Layer], *wanted: str) -> list[tuple[str, str, str]]:
    return [(layer.label, layer.operator, layer.module) for layer in table if layer.module in wanted]


# Found


@pytest.mark.parametrize("size", [(16, 16), (16, 24)])
def test_the_axis_that_says_its_number_of_features(size: tuple[int, int]) -> None:
    """As many channels as rows: nothing but the layer itself, or a larger image, tells the axes apart."""
    model = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 16, 1), to_last=Permute(0, 2, 3, 1), norm=nn.LayerNorm(16), linear=nn.Linear(16, 5),
            act=nn.GELU(), to_first=Permute(0, 3, 1, 2), last=nn.Conv2d(5, 16, 1),
        )
    )  # fmt: skip
    last = dict.fromkeys(("to_last", "norm", "linear", "act"), "channels-last")
    found = layouts(model, size)
    assert {name: layout.name for name, layout in found.items()} == {
        "conv": "channels-first", **last, "to_first": "channels-first", "last": "channels-first",
    }  # fmt: skip
    assert found["linear"].shape == (5, *size) and found["norm"].shape == (16, *size)


def test_the_axis_that_stays_when_the_image_grows() -> None:
    """A map of one's own, of which no module says anything: 8 rows, 8 columns, 8 units."""
    model = nn.Sequential(
        OrderedDict(pool=nn.AvgPool2d(2), own=Function(lambda x: x[:, :1].repeat(1, 8, 1, 1).movedim(1, 3)))
    )
    assert layouts(model)["own"] == Layout("channels-last", (8, 8, 8))


def test_a_network_that_takes_one_size_only() -> None:
    """Then the map has the image's proportions."""
    fixed = Function(lambda x: x.view(len(x), 3, 16, 24).movedim(1, 3)[:, :, :, [0, 0, 0, 1, 2]])
    assert layouts(nn.Sequential(OrderedDict(fixed=fixed)), (16, 24))["fixed"] == Layout("channels-last", (5, 16, 24))


def test_a_head_of_fixed_size_behind_a_map() -> None:
    """The larger image is followed as far as the network takes it."""
    model = nn.Sequential(
        OrderedDict(own=Function(lambda x: x.movedim(1, 3)), flat=nn.Flatten(), head=nn.Linear(3 * 3 * 3, 2))
    )
    assert layouts(model, (3, 3)) == {
        "own": Layout("channels-last", (3, 3, 3)),
        "flat": Layout("vector", (27, 1, 1)),
        "head": Layout("vector", (2, 1, 1)),
    }


class Tokens(nn.Module):
    """A patch embedding, `n_more` tokens before it, and a linear layer."""

    def __init__(self, n_more: int, transposed: bool = False) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 4, stride=4)
        self.more = nn.Parameter(torch.full((1, n_more, 6), 7.0))
        self.join, self.linear = nn.Identity(), nn.Linear(6, 5)
        self.transposed = Permute(0, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        joined = self.join(torch.cat([self.more.expand(len(x), -1, -1), tokens], 1))
        return self.linear(joined), self.transposed(joined)


@pytest.mark.parametrize("n_more", [0, 1, 5])
def test_tokens_lie_on_the_grid_of_their_patches(n_more: int) -> None:
    model = Tokens(n_more)
    table = list_layers(model, (12, 16))
    found = {layer.module: layer.layout for layer in table}
    assert found["join"] == Layout("tokens", (6, 3, 4), n_more) and found["linear"] == Layout(
        "tokens", (5, 3, 4), n_more
    )
    assert of_names(table, "patches", "linear") == [("1", "conv", "patches"), ("2", "pointwise", "linear")]
    images = torch.randn(2, 3, 12, 16)
    with tap_layers(model, ["join"], {"join": found["join"]}) as look:
        assert torch.equal(look(images)["join"], model.patches(images))  # row by row, without what came before
    assert ("left out" in found["join"].described) == bool(n_more)


def test_tokens_in_another_order_lie_nowhere() -> None:
    """Without an embedding of their places, too, which tells one grey image's tokens apart."""
    mixed = Function(lambda tokens: tokens[:, torch.randperm(12, generator=torch.Generator().manual_seed(1))])
    patches = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.Flatten(2), Permute(0, 2, 1))
    model = nn.Sequential(OrderedDict(patches=patches, mixed=mixed, linear=nn.Linear(6, 5)))
    found = layouts(model, (12, 16))
    assert found["patches.2"] == Layout("tokens", (6, 3, 4)) and found["linear"] is None


def test_more_tokens_than_the_grid_has_are_no_class_tokens() -> None:
    assert layouts(Tokens(13), (12, 16))["join"] is None


@pytest.mark.parametrize(
    "output",
    [
        lambda x: x.flatten(0, 1),  # windows beside images
        lambda x: x[:1],
        lambda x: x.mean(),
        lambda x: x[:, :0],
        lambda x: x[:, :, None],
        lambda x: x.long(),
    ],
)
def test_what_holds_no_units_for_each_image(output: Callable[[Tensor], Tensor]) -> None:
    assert layouts(nn.Sequential(OrderedDict(odd=Function(output)))) == {"odd": None}


# Given


@pytest.mark.parametrize(
    ("given", "shape"),
    [("channels-first", (3, 16, 24)), ("channels-last", (24, 3, 16)), ("tokens", None), ("vector", None)],
)
def test_a_layout_that_is_given(given: str, shape: tuple[int, int, int] | None) -> None:
    model = nn.Sequential(OrderedDict(layer=nn.Identity()))
    found = layouts(model, (16, 24), layout=given)["layer"]
    assert found == (Layout(given, shape) if shape else None)


def test_tokens_whose_grid_no_map_tells() -> None:
    """A linear patch embedding: the grid is that of the image's proportions, where tokens are asked for."""
    patches = Function(lambda x: nn.functional.unfold(x, 4, stride=4).transpose(1, 2))
    model = nn.Sequential(OrderedDict(patches=patches))
    assert layouts(model, (8, 16)) == {"patches": None}
    assert layouts(model, (8, 16), layout="tokens") == {"patches": Layout("tokens", (48, 2, 4))}


def test_a_given_layout_decides_the_units_and_is_recorded(tmp_path: Path) -> None:
    pictures = [Picture(np.full((8, 8, 3), 10 * n, np.uint8), (8, 8), whole=[("scene", 1)]) for n in range(4)]
    data = open_broden(write_broden(tmp_path / "set", {"scene": [1]}, pictures))
    network = Network(name="own", model=nn.Sequential(OrderedDict(layer=nn.Identity())), input_size=(8, 8))
    found = run(
        network, data, layers="layer", out=tmp_path / "run", settings=Settings(layout="channels-last"),
        execution=Execution(device="cpu"),
    )  # fmt: skip
    (layer,) = found.networks[0]["layers"]
    assert (layer["n_units"], layer["map"], layer["layout"], layer["left_out"]) == (8, [3, 8], "channels-last", 0)
    assert found.info["settings"]["layout"] == "channels-last"
    assert "Of the network own, layer gives maps (B, h, w, U)." in found.info["notes"]


# Numbers


def test_a_linear_layer_shares_the_number_of_the_depthwise_convolution_before_it() -> None:
    """A ConvNeXt block; the convolution of its first half takes the shape of the second half's too."""
    table = list_layers(torchvision.models.convnext_tiny(weights=None), (64, 64))
    rows = {layer.module: (layer.label, layer.operator) for layer in table if layer.numbered}
    assert rows["features.0.0"] == ("1", "conv")
    assert rows["features.1.0.block.0"] == ("2", "depthwise")
    assert rows["features.1.0.block.3"] == ("2", "pointwise")
    assert rows["features.1.0.block.5"] == ("3", "pointwise")
    # A stem, three convolutions that halve the map, and two numbers for each of 18 blocks.
    assert max(int(label) for label, _ in rows.values()) == 1 + 3 + 2 * 18
    assert "classifier.2" not in rows


# Real networks against hooks put by hand


def by_hand(model: nn.Module, name: str, images: Tensor) -> Tensor:
    """What the module gives, seen by a plain hook."""
    seen = []
    handle = model.get_submodule(name).register_forward_hook(lambda _m, _i, output: seen.append(output.clone()))
    with torch.no_grad():
        model.eval()(images)
    handle.remove()
    return seen[0]


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Four images of 64 x 64 of noise in colours of their own, with an object on each."""
    rng = np.random.default_rng(0)
    pictures = []
    for n in range(4):
        pixels = rng.integers(0, 256, (64, 64, 3)) // 2 + rng.integers(0, 128, 3)
        labels = np.zeros((32, 32), int)
        labels[8 * n : 8 * n + 8, 4:28] = 1
        pictures.append(Picture(pixels.astype(np.uint8), (32, 32), [("object", labels)]))
    return write_broden(tmp_path / "set", {"object": [1]}, pictures)


def test_swin_s_last_block_has_768_units(photographs: Path, tmp_path: Path) -> None:
    """Thresholds, largest activations and mask areas, worked out from a hook's (4, 2, 2, 768) in numpy alone."""
    torch.manual_seed(0)
    model = torchvision.models.swin_t(weights=None)
    network = Network(name="swin", model=model, input_size=(64, 64))
    data = open_broden(photographs)
    found = run(
        network, data, layers="features.7", out=tmp_path / "run", execution=Execution(device="cpu"),
        settings=Settings(quantile=0.8, union="all-images"),
    )  # fmt: skip
    images = network.prepare(torch.from_numpy(np.stack([read_image(image.path, (64, 64)) for image in data.images])))
    given = by_hand(model, "features.7", images).numpy()
    assert given.shape == (4, 2, 2, 768)
    values = given.reshape(16, 768)
    assert len(found.units) == 768
    thresholds = np.quantile(values, 0.8, axis=0).astype(np.float32)
    np.testing.assert_array_equal(found.units["threshold"].to_numpy(np.float32), thresholds)
    np.testing.assert_array_equal(found.units["max_activation"].to_numpy(np.float32), values.max(0))
    maps = torch.from_numpy(given).permute(0, 3, 1, 2).double()
    larger = nn.functional.interpolate(maps, (32, 32), mode="bilinear", align_corners=False).numpy()
    masks = larger > thresholds.astype(np.float64)[None, :, None, None]
    counted = found.counts("swin")["mask_area"][:, 0]
    assert np.abs(counted - masks.sum((0, 2, 3))).max() <= 1  # interpolation in floats may miss a tie
    (layer,) = found.networks[0]["layers"]
    assert (layer["n_units"], layer["map"], layer["layout"]) == (768, [2, 2], "channels-last")


@TIMM
@pytest.mark.parametrize(
    ("spec", "wanted", "layout", "n_units", "left_out"),
    [
        ("timm:vit_tiny_patch16_224", "blocks.11", "tokens", 192, 1),
        pytest.param(
            "torchvision:vit_b_16", "encoder.layers.encoder_layer_0.mlp.0", "tokens", 3072, 1, marks=pytest.mark.slow
        ),
        ("torchvision:swin_t", "features.7", "channels-last", 768, 0),
        ("torchvision:convnext_tiny", "2", "channels-last", 384, 0),
    ],
)
def test_transformers_and_convnext_work_from_the_command_line(
    dissect, photographs: Path, out: Path, spec: str, wanted: str, layout: str, n_units: int, left_out: int
) -> None:
    size = () if layout == "tokens" else ("--image-size", 64)
    said = dissect("run", spec, "--layers", wanted, "--data", photographs, "--out", out, *size)
    assert said.status == 0, said
    found = open_run(out)
    layer = found.networks[0]["layers"][-1]
    assert (layer["n_units"], layer["layout"], layer["left_out"]) == (n_units, layout, left_out)
    assert layer["map"] == {"torchvision:convnext_tiny": [16, 16], "torchvision:swin_t": [2, 2]}.get(spec, [14, 14])
    assert any(layer["module"] in note for note in found.info["notes"])


@TIMM
def test_a_vision_transformer_s_units_are_its_features() -> None:
    import timm

    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, img_size=64)
    (layer,) = select_layers(list_layers(model, (64, 64)), ["blocks.3"])
    images = torch.randn(2, 3, 64, 64)
    given = by_hand(model, "blocks.3", images)
    assert given.shape == (2, 17, 192)
    with tap_layers(model, ["blocks.3"], {"blocks.3": layer.layout}) as look:
        maps = look(images)["blocks.3"]
    assert maps.shape == (2, 192, 4, 4) and maps.is_contiguous()
    for row in range(4):
        for column in range(4):
            assert torch.equal(maps[:, :, row, column], given[:, 1 + 4 * row + column])


# Where cells sit on the image


def test_receptive_fields_of_channels_last_maps() -> None:
    """A patch of 4 pixels, and what is computed for each cell alone: centre 1.5, stride 4."""
    model = torchvision.models.convnext_tiny(weights=None)
    for name in ("features.0.1", "features.1.0.block.3"):
        (layer,) = select_layers(list_layers(model, (64, 64)), [name])
        rows, columns = receptive_fields(model, name, (64, 64), layer.layout)
        assert rows == columns == (1.5, 4)


@pytest.mark.parametrize(("layout", "what"), [("tokens", "tokens"), ("vector", "a vector")])
def test_tokens_and_vectors_have_no_receptive_fields(layout: str, what: str) -> None:
    with pytest.raises(TapError) as caught:
        receptive_fields(nn.Sequential(nn.Identity()), "0", (8, 8), Layout(layout))
    assert str(caught.value) == (
        f"Layer '0' gives {what}, whose receptive fields are not looked for: set `upsample` to half-pixel."
    )


def test_cells_that_attention_joins_have_no_centres() -> None:
    model = torchvision.models.swin_t(weights=None)
    with pytest.raises(
        TapError, match=r"^The receptive fields of layer 'features.1' cover the whole input or are not evenly"
    ):
        receptive_fields(model, "features.1", (32, 32), Layout("channels-last"))

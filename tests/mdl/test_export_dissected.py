"""From a trained domain to its dissection: an exported network is shown images as its training was, without being told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from sharing_cases import one_thread  # noqa: F401
from tiny_decathlon import run

import dissect
from data_prep import UserError, open_embedded, open_embedded_decathlon
from mdl.cli.options import base_network, base_or_network

FAST = ("--recipe", "mini-fast", "--set", "epochs=1", "width.separable=4")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with dtd.safetensors, exported from one epoch on the embedded decathlon."""
    folder, before = tmp_path_factory.mktemp("export"), Path.cwd()
    os.chdir(folder)
    assert run("pretrain", *FAST, "--out", "base") == 0
    trained = ("--domain", "mini-dtd", "--method", "pointwise-sharing", "--base", "base", "--out", "rows/dtd/mini-dtd")
    assert run("train", *trained, *FAST) == 0
    assert run("export", "rows/dtd/mini-dtd", "--out", "dtd.safetensors") == 0
    yield folder
    os.chdir(before)


def test_the_numbers_are_those_of_the_explicit_options(here: Path) -> None:
    spec, data = "mdl:separable,width=4,classes=10", open_embedded(split="val")
    mean, std = open_embedded_decathlon().mean_std("mini-dtd")
    save_file(load_file("dtd.safetensors"), "silent.safetensors")
    # mini-fast.toml resizes to 36 pixels, and in testing the centre of 36 is shown.
    explicit = {"image_size": 36, "mean": [float(v) for v in mean], "std": [float(v) for v in std]}
    networks = {
        "file": dissect.load_network(spec, weights="dtd.safetensors"),
        "options": dissect.load_network(spec, weights="silent.safetensors", domain="mini-dtd", **explicit),
        "neither": dissect.load_network(spec, weights="silent.safetensors"),
    }
    runs = {name: dissect.run(network, data, layers="22", out=name) for name, network in networks.items()}
    tables = {name: (here / name / "units.csv").read_bytes() for name in runs}
    assert tables["file"] == tables["options"] != tables["neither"]
    assert runs["file"].iou().equals(runs["options"].iou())
    (told,) = runs["file"].networks
    assert (told["input_size"], told["domain"]) == ([36, 36], "mini-dtd")
    assert not any("assumed" in note for note in runs["file"].info["notes"])
    assert "mean and std are assumed" in str(runs["neither"].info["notes"])


def test_a_result_folder_is_a_network_by_name(here: Path) -> None:
    images = torch.randn(2, 3, 36, 36, generator=torch.Generator().manual_seed(0))
    exported = dissect.load_network("mdl:separable,width=4,classes=10", weights="dtd.safetensors")
    network = dissect.load_network("mdl:rows/dtd/mini-dtd")
    assert (network.name, network.trained, network.domain) == ("dtd_mini-dtd", True, "mini-dtd")
    assert (network.input_size, network.mean, network.std) == (exported.input_size, exported.mean, exported.std)
    assert torch.equal(network.model(images), exported.model(images))
    assert "test images in 10 classes it gets" in network.note
    with pytest.raises(UserError, match="rows/none is no result folder"):
        dissect.load_network("mdl:rows/none")


def test_what_base_means(here: Path) -> None:
    assert base_network("mdl:imagenet12").name == "imagenet12.safetensors"
    assert base_network("base") == Path("base/body.safetensors")
    with pytest.raises(UserError, match=r"mdl:gtsrb is a network over mdl:imagenet12, not a base network"):
        base_network("mdl:gtsrb")
    with pytest.raises(UserError, match=r"Unknown shipped network 'imagenet'; .*nearest: imagenet12"):
        base_network("mdl:imagenet")
    with pytest.raises(UserError, match="--base and --network both say what the domains share"):
        base_or_network(here, "base", "efficientnet_lite0", None)
    with pytest.raises(UserError, match="--weights are those of --network"):
        base_or_network(here, None, None, Path("x.pth"))

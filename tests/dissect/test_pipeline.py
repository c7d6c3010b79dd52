"""The library call behind `dissect run`, from the front door."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from command_line import stored
from torch import nn

import dissect
from data_prep.broden import open_broden

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def network(nets: str) -> dissect.Network:
    return dissect.load_network(f"{nets}:small")


def refusal(*args: object, **options: object) -> str:
    with pytest.raises(dissect.UserError) as caught:
        dissect.run(*args, **options)
    return str(caught.value)


def test_the_door_gives_the_opened_run(network: dissect.Network, tiny_broden: Path, out: Path) -> None:
    data = open_broden(tiny_broden)
    finished = dissect.run([network], data, layers=["1", "pointwise"], out=str(out))
    assert isinstance(finished, dissect.Run) and finished.path == out
    assert finished.units["module"].unique().tolist() == ["stem.0", "pointwise"]
    pd.testing.assert_frame_equal(dissect.open_run(out).units, finished.units)
    assert finished.info["networks"][0]["seed"] == 0 and finished.info["command"] == "dissect.run(...)"
    assert finished.info["execution"]["device"] in ("cpu", "cuda")


def test_the_command_and_the_library_store_the_same(run, network, tiny_broden: Path, out: Path, tmp_path: Path) -> None:
    run("--layers", 2, "--ops", "pointwise", "--quantile", 0.9)
    settings = dissect.Settings(quantile=0.9, min_images=1)
    data = open_broden(tiny_broden)
    finished = dissect.run(network, data, layers="2", operators=["pointwise"], settings=settings, out=tmp_path / "mine")
    assert stored(out) == stored(finished.path)
    told = json.loads((out / "run.json").read_text())
    assert told["command"].split()[0] == "dissect" and "seed" not in told
    for field in ("settings", "data", "networks", "execution"):
        assert told[field] == finished.info[field], field


def test_a_finished_run_is_opened_and_overwritten_when_asked(network, tiny_broden: Path, out: Path) -> None:
    data = open_broden(tiny_broden)
    created = [
        dissect.run(network, data, layers="1", out=out, recorded={"created": word}, **wish).info["created"]
        for word, wish in {"first": {}, "second": {}, "third": {"overwrite": True}}.items()
    ]
    assert created == ["first", "first", "third"]
    assert refusal(network, data, layers="2", out=out).endswith("give another folder as `out`, or `overwrite` it.")


def test_wishes_that_cannot_be_met(network, tiny_broden: Path, out: Path) -> None:
    data = open_broden(tiny_broden)
    assert refusal([], data, out=out).startswith("There is no network to dissect")
    assert refusal([network, network], data, out=out) == (
        "Two networks are called 'small'; give each its own name (`name`)."
    )
    assert refusal([nn.ReLU()], data, out=out).startswith("`networks` holds a ReLU: give what `load_network` returns")
    split = dissect.Settings(split="val")
    assert refusal(network, data, layers="1", settings=split, out=out).startswith(
        "`split` is 'val', but the data has images of train too"
    )
    categories = dissect.Settings(categories=("color",))
    assert refusal(network, data, layers="1", settings=categories, out=out).startswith(
        "`categories` are color, but the data has color, part, object, material, scene"
    )
    long = dissect.Network(name="é" * 65, model=network.model, input_size=(16, 16))
    assert "must have at most 128 bytes" in refusal(long, data, layers="1", out=out)
    data.images = [*data.images[:-1], replace(data.images[-1], name="b/\udcff.jpg")]
    assert refusal(network, data, layers="1", out=out).startswith("The name 'b/\\udcff.jpg' is no text in UTF-8")
    assert not out.exists()


def test_a_network_of_one_s_own(tiny_broden: Path, out: Path) -> None:
    mine = dissect.Network(name="mine", model=nn.Sequential(nn.MaxPool2d(2)), input_size=(16, 16))
    settings = dissect.Settings(strongest=10**9)
    finished = dissect.run(mine, open_broden(tiny_broden), layers="0", out=out, settings=settings)
    assert finished.networks[0]["seed"] is None and len(finished.units) == 3
    assert finished.strongest_masks("mine").image.shape == (3, len(finished.images)), "no room for images that are none"


def test_importing_the_door_is_nothing() -> None:
    code = "import dissect, sys; assert 'run' in dir(dissect); print({'torch', 'tyro', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"

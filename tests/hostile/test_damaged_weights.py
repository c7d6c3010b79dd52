"""Damaged files of weights, seeded: each is refused in one sentence, or gives tensors of the right shapes and nothing else."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

from dissect.errors import ModelError
from dissect.weights import load_weights

N_CASES = 60


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Content of whole files by the end of their name."""
    folder, state = tmp_path_factory.mktemp("whole"), network().state_dict()
    torch.save(state, folder / "plain.pth")
    beside = {
        "args": argparse.Namespace(lr=0.1),
        "step": np.float64(3),
        "model": {f"module.{n}": t for n, t in state.items()},
    }
    torch.save(beside, folder / "beside.ckpt")
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
    said = {"input_size": [36, 36], "mean": [0.5] * 3, "std": [0.2] * 3, "domain": "dtd"}
    (folder / "told.safetensors").write_bytes(save(state, {"dissection": json.dumps(said)}))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut off, or with bytes changed, doubled or removed; near the beginning as often as anywhere, where the structure is."""
    n = len(content)
    place = int(rng.integers(0, n if rng.random() < 0.5 else min(n, 2000)))
    length = int(rng.integers(1, 40))
    match rng.integers(0, 5):
        case 0:
            return content[:place]
        case 1:
            return content[:place] + rng.bytes(length) + content[place + length :]
        case 2:
            return content[:place] + content[place + length :]
        case 3:
            return content[:place] + content[place : place + length] * 2 + content[place + length :]
        case _:
            flipped = bytearray(content)
            flipped[place] ^= 1 << int(rng.integers(0, 8))
            return bytes(flipped)


@pytest.mark.parametrize("seed", range(N_CASES))
def test_a_damaged_file(whole: dict[str, bytes], tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    name = sorted(whole)[seed % len(whole)]
    path = tmp_path / name
    path.write_bytes(damaged(whole[name], rng))
    target = network()
    before = {key: tensor.clone() for key, tensor in target.state_dict().items()}
    try:
        load_weights(target, path)
    except ModelError as error:
        words = str(error)
        assert str(path) in words and "\n" not in words and "\x1b" not in words and len(words) < 600
        after = target.state_dict()
        assert all(torch.equal(tensor, after[key]) for key, tensor in before.items()), "half of it was loaded"
    assert {key: t.shape for key, t in target.state_dict().items()} == {key: t.shape for key, t in before.items()}


def test_the_whole_files_load(whole: dict[str, bytes], tmp_path: Path) -> None:
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
        target = network()
        with torch.no_grad():
            for parameter in target.parameters():
                parameter.fill_(7)
        load_weights(target, tmp_path / name)
        assert not any((parameter == 7).all() for parameter in target.parameters()), name

"""Full float32 within, PyTorch's settings as they were outside, in whichever of its two ways they were set."""

from __future__ import annotations

import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from broden_writer import Picture, write_broden
from torch import Tensor, nn

from data_prep.broden import open_broden
from data_prep.common.precision import full_precision
from dissect.models import Network
from dissect.pipeline import run
from dissect.settings import Execution

OLDER = """
torch.set_float32_matmul_precision("medium")
torch.backends.cudnn.allow_tf32 = True
def settings():
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
within = ("highest", False, False)
"""
NEWER = """
torch.backends.cuda.matmul.fp32_precision = "tf32"
torch.backends.cudnn.conv.fp32_precision = "ieee"
def settings():
    rooms = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    return tuple(room.fp32_precision for room in rooms)
within = ("ieee",) * 3
"""
HAS_NEWER = hasattr(torch.backends.cudnn, "conv")


@pytest.mark.parametrize(
    "way", [OLDER, pytest.param(NEWER, marks=pytest.mark.skipif(not HAS_NEWER, reason="this PyTorch has one way only"))]
)
def test_settings_are_put_back(way: str) -> None:
    """In a process of its own: PyTorch refuses to mix the two ways from then on."""
    script = f"""
import torch
from data_prep.common.precision import full_precision
{way}
before = settings()
try:
    with full_precision():
        assert settings() == within, settings()
        raise ZeroDivisionError
except ZeroDivisionError:
    pass
assert settings() == before != within, settings()
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_run_computes_without_tf32_and_says_so(tmp_path: Path) -> None:
    seen: list[tuple[bool, bool]] = []

    class Watching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
            return x

    picture = Picture(np.zeros((8, 8, 3), np.uint8), (8, 8), whole=[("scene", 1)])
    data = open_broden(write_broden(tmp_path / "set", {"scene": [1]}, [picture]))
    network = Network(name="net", model=nn.Sequential(OrderedDict(layer=Watching())), input_size=(8, 8))
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    found = run(network, data, layers="layer", out=tmp_path / "run", execution=Execution(device="cpu"))
    assert seen[-1] == (False, False) and found.info["execution"]["tf32"] is False
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_agrees_with_the_cpu() -> None:
    """TF32 keeps ten bits of each factor, which moves such a convolution by about a thousandth."""
    torch.manual_seed(0)
    layer, images = nn.Conv2d(64, 64, 3).eval(), torch.randn(4, 64, 32, 32)
    exact = layer.double()(images.double()).detach()
    layer = layer.float().cuda()
    with full_precision(), torch.no_grad():
        found = layer(images.cuda()).cpu().double()
    assert float((found - exact).abs().max() / exact.abs().max()) < 1e-5

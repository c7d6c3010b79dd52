"""Networks for the tests of the command."""

import os
import signal
import time
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).parent


class Small(nn.Module):
    """conv 1, then depthwise and pointwise 2, a tuple, one number for each unit, and a module that never fires."""

    input_size = (16, 16)

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.pointwise = nn.Conv2d(4, 6, 1)
        self.pair = Pair()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flat = nn.Flatten()
        self.spare = nn.Conv2d(3, 3, 1)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        self.before(x)
        x = self.pointwise(self.depthwise(self.stem(x)))
        return self.pair(x)[0], self.flat(self.pool(x))

    def before(self, x):
        """Called with every batch; the first comes from listing the layers."""


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def small():
    return Small()


def poisoned(value="nan"):
    model = Small()
    with torch.no_grad():
        model.depthwise.bias[1] = float(value)
    return model


def odd(what="batch"):
    model = Small()
    model.before = lambda x: x.view(1, -1) if what == "batch" else 1 // 0
    return model


class Interrupted(Small):
    """Presses Ctrl-C in its third batch, once."""

    def before(self, x):
        if self.calls == 4 and not (HERE / "pressed").exists():
            (HERE / "pressed").touch()
            os.kill(os.getpid(), signal.SIGINT)


class Slow(Small):
    """Tells the test that batches go through, which are slow until it was interrupted."""

    def before(self, x):
        if not (HERE / "stopped").exists():
            (HERE / "under_way").write_text(str(self.calls))
            time.sleep(0.05)


def interrupted_while_built():
    if not (HERE / "pressed").exists():
        (HERE / "pressed").touch()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    return Small()


def pooled():
    """Nothing that a library could round differently for another batch."""
    model = nn.Sequential(nn.MaxPool2d(2), nn.ReLU())
    model.input_size = (16, 16)
    return model


class Volume(nn.Module):
    """A three-dimensional convolution on the way, which knows no channels-last memory."""

    input_size = (16, 16)

    def __init__(self):
        super().__init__()
        self.deep = nn.Conv3d(3, 4, 3, padding=1)
        self.flat = nn.Conv2d(4, 3, 1)

    def forward(self, x):
        return self.flat(self.deep(x[:, :, None])[:, :, 0])

"""Training computes on one thread unless more are asked for, whatever PyTorch would choose."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fake_domains import make_decathlon
from sharing_cases import one_thread  # noqa: F401
from tiny_decathlon import TINY

from data_prep.common.errors import UserError
from mdl.training.loop import Watch
from mdl.training.one_domain import Setting, pretrain
from mdl.training.recipe import load_recipe


class Threads(Watch):
    """How many there were at each step."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def step(self, epoch: int, epochs: int, done: int, steps: int) -> None:
        self.seen.add(torch.get_num_threads())


def setting(**options) -> Setting:
    return Setting(data=make_decathlon(12), name="made", recipe=load_recipe("mini-fast", TINY), **options)


def test_one_thread_whatever_pytorch_would_choose(tmp_path: Path) -> None:
    torch.set_num_threads(3)
    watch = Threads()
    result = pretrain(setting(watch=watch), tmp_path, "imagenet12", backbone="separable")
    assert watch.seen == {1} and result.cost.device == "cpu, 1 thread"
    assert torch.get_num_threads() == 3


@pytest.mark.slow
def test_more_are_to_be_asked_for(tmp_path: Path) -> None:
    watch = Threads()
    pretrain(setting(watch=watch, threads=2), tmp_path, "imagenet12", backbone="separable")
    assert watch.seen == {2}
    with pytest.raises(UserError, match="`threads` is 0; it must lie in 1"):
        pretrain(setting(threads=0), tmp_path / "none", "imagenet12", backbone="separable")

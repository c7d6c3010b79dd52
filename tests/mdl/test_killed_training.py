"""Training that ends before its time: the same call goes on at the step that was saved, and ends in the same bits."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from sharing_cases import one_thread  # noqa: F401
from test_loop import PLAN, learner, pictures, training

from data_prep.common import interrupts
from data_prep.common.errors import UserError
from mdl.training.loop import Watch
from mdl.training.state import TrainingState

LONG = replace(PLAN, epochs=4, batch_size=4, choose="best")
"""Four epochs of five steps."""


class Steps(Watch):
    """Tells each step; at one of them something happens."""

    def __init__(self, at: tuple[int, int] | None = None, happens: Callable[[], object] = lambda: None) -> None:
        self.at, self.happens, self.seen = at, happens, list[tuple[int, int]]()

    def step(self, epoch: int, epochs: int, done: int, steps: int) -> None:
        self.seen.append((epoch, done))
        if (epoch, done) == self.at:
            self.happens()


def ended(folder: Path, watch: Watch | None = None, every: float = 0) -> tuple[list, dict[str, torch.Tensor]]:
    """The curve and the weights, kept and best, of a run to its end."""
    of = learner()
    state = TrainingState(folder, {})
    history = training(of, LONG, state, watch=watch or Watch(), checkpoint_every=every).fit()
    assert not list(folder.glob(".*"))
    kept = {name: tensor.detach().clone() for name, tensor in of.state.items()}
    return [replace(row, seconds=0) for row in history], kept | load_file(folder / "best.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list, dict[str, torch.Tensor]]:
    """What a run comes to that nothing happens to."""
    torch.set_num_threads(1)
    return ended(tmp_path_factory.mktemp("whole"), every=1000)


def same(one: tuple[list, dict[str, torch.Tensor]], other: tuple[list, dict[str, torch.Tensor]]) -> None:
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    assert [name for name, tensor in one[1].items() if not torch.equal(tensor, other[1][name])] == []


@pytest.fixture
def saved_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "LEAST_WORK", 0)


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def killed(process: subprocess.Popen[str], after_lines: int, seconds: float) -> list[list[int]]:
    """Kills the training so many lines and seconds after its first step; the steps that it told of."""
    assert process.stdout
    told = []
    for line in process.stdout:
        told.append(json.loads(line))
        if len(told) > after_lines:
            break
    time.sleep(seconds)
    process.kill()
    process.communicate()
    return told


def check(moments: list[tuple[int, float]], folder: Path, whole: tuple[list, dict[str, torch.Tensor]]) -> None:
    told = [killed(start(folder), *moment) for moment in moments]
    same(ended(folder), whole)
    firsts = [steps[0] for steps in told if steps]
    assert firsts[0] == [0, 1]
    assert any(done > 1 for _, done in firsts[1:]), f"nothing was resumed within an epoch: {firsts}"


@pytest.mark.slow
@pytest.mark.usefixtures("saved_often")
def test_killed_twice(tmp_path: Path, whole) -> None:
    check([(2, 0.0), (4, 0.0)], tmp_path, whole)


@pytest.mark.slow
@pytest.mark.usefixtures("saved_often")
def test_killed_at_twenty_random_moments(tmp_path: Path, whole) -> None:
    moment = random.Random(0)
    check([(moment.randrange(3), moment.random() / 20) for _ in range(20)], tmp_path, whole)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_ends_it_after_the_step_and_loses_none(tmp_path: Path, whole, name: str) -> None:
    number = signal.Signals[name]
    before = signal.getsignal(number)
    first, then = Steps((1, 2), lambda: os.kill(os.getpid(), number)), Steps()
    with pytest.raises(KeyboardInterrupt):
        ended(tmp_path, first, every=1000)
    assert signal.getsignal(number) == before
    again = ended(tmp_path, then, every=1000)
    assert first.seen[-1] == (1, 2) and then.seen[0] == (1, 3)
    same(again, whole)


def test_a_signal_after_the_last_step_of_an_epoch_does_not_train_it_again(tmp_path: Path, whole) -> None:
    watch, then = Steps((3, 5), lambda: os.kill(os.getpid(), signal.SIGTERM)), Steps()
    with pytest.raises(KeyboardInterrupt):
        ended(tmp_path, watch, every=1000)
    same(ended(tmp_path, then, every=1000), whole)
    assert then.seen == []


@pytest.mark.usefixtures("saved_often")
@pytest.mark.parametrize("call", [1, 4, 9])
def test_a_disk_that_is_full_for_a_while(tmp_path: Path, whole, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Whichever file it is that finds no room."""
    n_calls, fsync = 0, os.fsync

    def full(handle: int) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"cannot be written to \(No space left on device\): make room there, then"):
            ended(tmp_path)
    same(ended(tmp_path), whole)


def test_savings_are_few_where_they_take_long(tmp_path: Path, whole, monkeypatch: pytest.MonkeyPatch) -> None:
    """At first, since nothing is known, and at the end; between them not until fifty times as long has been trained."""
    save, saved = TrainingState.save, []

    def slow(self: TrainingState, which: str, tensors, optimizers, history: list, so_far: dict | None = None) -> None:
        saved.append((which, len(history), so_far and so_far["steps"]))
        time.sleep(0.4 if len(saved) == 1 else 0)
        save(self, which, tensors, optimizers, history, so_far)

    monkeypatch.setattr(TrainingState, "save", slow)
    few = ended(tmp_path)
    assert [each for each in saved if each[0] == "last"] == [("last", 0, 1), ("last", 4, None)]
    same(few, whole)


def main(folder: Path) -> None:
    """What the tests above kill: a training that saves after each step, and tells it slowly."""

    class Tell(Watch):
        def step(self, epoch: int, epochs: int, done: int, steps: int) -> None:
            print(json.dumps([epoch, done]), flush=True)
            time.sleep(0.02)

    torch.set_num_threads(1)
    interrupts.LEAST_WORK = 0
    training(learner(), LONG, TrainingState(folder, {}), pictures=pictures(), watch=Tell(), checkpoint_every=0).fit()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

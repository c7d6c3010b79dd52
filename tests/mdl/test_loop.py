"""The training loop: what it learns, what an interruption changes (nothing), what several processes change."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_domains import make_images
from sharing_cases import one_thread  # noqa: F401
from torch.nn.functional import cross_entropy

from data_prep.common.errors import UserError
from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.resnet26 import separable_resnet26
from mdl.training.curves import EpochRow
from mdl.training.feed import Feed, cut, shuffled_crops, to_input
from mdl.training.loop import (
    ALONE,
    Learner,
    Training,
    TrainingError,
    Watch,
    best_epoch,
    evaluate,
    make_optimizers,
    set_learning_rate,
)
from mdl.training.pictures import DecodedImages, Normalisation, decode
from mdl.training.processes import Processes, processes
from mdl.training.recipe import Plan
from mdl.training.state import TrainingState, TrainingStateError

ROOT = Path(__file__).parents[2]
NORMALISATION = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
PLAN = Plan(
    recipe="test", phase="train", domain="dtd", method="individual", epochs=3, lr=0.05, drops=(2,), batch_size=8,
    weight_decay=1e-3, dropout=0.5, momentum=0.9, mask_lr=1e-2, resize=20, crop=16, flip=True, train_on="train",
    choose="last", precision="float32", seed=5,
)  # fmt: skip


def pictures(n_train: int = 20) -> dict:
    counts = {"train": n_train, "val": 8, "test": 10}
    rules = PLAN.input_rules
    return {split: decode(make_images(n, split=split), rules) for split, n in counts.items()}


def fed(of: DecodedImages) -> Feed:
    return Feed(of, PLAN.input_rules, NORMALISATION, torch.device("cpu"))


def learner(method: str = "individual", seed: int = 0, domain: str = "dtd") -> Learner:
    base = separable_resnet26(4, width=2, seed=1)
    net = MultiDomainNetwork(base, method)
    net.add(domain, 3, dropout=PLAN.dropout, seed=seed)
    return Learner.of_domain(net, domain)


class StopAfter(Watch):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch: int, step: int) -> None:
        self.at = epoch, step

    def step(self, epoch: int, epochs: int, done: int, steps: int) -> None:
        if (epoch, done) == self.at:
            raise KeyboardInterrupt


def weights(of: Learner) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in of.state.items()}


def train(
    of: Learner, folder: Path, plan: Plan = PLAN, watch: Watch | None = None, data: dict | None = None
) -> list[EpochRow]:
    state = TrainingState(folder, {"plan": plan.epochs, "seed": plan.seed})
    return training(of, plan, state, watch=watch or Watch(), pictures=data or pictures()).fit()


def training(of: Learner, plan: Plan, state: TrainingState, **others) -> Training:
    data = others.pop("pictures", None) or pictures()
    return Training(learner=of, pictures=data, normalisation=NORMALISATION, plan=plan, state=state, **others)


def test_evaluation_turns_tf32_off_and_training_leaves_it_as_it_is(tmp_path: Path) -> None:
    seen, before = [], torch.backends.cudnn.allow_tf32
    of = learner("classifier")
    of.network.register_forward_hook(lambda module, *_: seen.append((module.training, torch.backends.cudnn.allow_tf32)))
    train(of, tmp_path, replace(PLAN, epochs=1))
    assert set(seen) == {(True, before), (False, False)} and before
    assert torch.backends.cudnn.allow_tf32


def test_one_step_is_momentum_sgd_by_hand(tmp_path: Path) -> None:
    """Two steps against the rule written out: v = 0.9 v + (g + wd w), w = w - lr v; the gradient is that of the mean."""
    plan = replace(PLAN, epochs=1, dropout=0.0, flip=False)
    data = pictures(16)
    of, other = learner("classifier"), learner("classifier")
    for each in (of, other):
        each.network.dropout.p = 0.0
    train(of, tmp_path, plan, data=data)
    head = other.network.head.requires_grad_(True)
    velocity = {name: torch.zeros_like(p) for name, p in head.named_parameters()}
    crops = shuffled_crops(data["train"], plan.input_rules, batch_size=8, seed=plan.seed, epoch=0)
    for batch in crops.batches():
        labels = torch.from_numpy(data["train"].labels[batch.numbers])
        loss = cross_entropy(other.network(to_input(cut(data["train"], batch), NORMALISATION)), labels)
        grads = torch.autograd.grad(loss, [head.weight, head.bias])
        with torch.no_grad():
            for (name, p), g in zip(head.named_parameters(), grads, strict=True):
                velocity[name] = 0.9 * velocity[name] + g + plan.weight_decay * p
                p -= plan.lr * velocity[name]
    for name, p in head.named_parameters():
        torch.testing.assert_close(of.state[f"head.{name}"], p, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["individual", "piggyback"])
@pytest.mark.parametrize("stop", [(0, 2), (1, 1), (2, 3)])
def test_an_interrupted_run_ends_in_the_same_bits(tmp_path: Path, method: str, stop: tuple[int, int]) -> None:
    whole = learner(method)
    history = train(whole, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(learner(method), tmp_path / "broken", watch=StopAfter(*stop))
    resumed = learner(method, seed=9)  # whatever it starts from, the checkpoint counts, if there is one
    resumed = learner(method) if stop[0] == 0 else resumed
    again = train(resumed, tmp_path / "broken")
    assert [replace(row, seconds=0) for row in again] == [replace(row, seconds=0) for row in history]
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, resumed.state[name]), name


def test_training_leaves_the_global_random_state_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    train(learner(), tmp_path, replace(PLAN, epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_it_learns_and_the_best_epoch_on_val_is_kept(tmp_path: Path) -> None:
    plan = replace(PLAN, epochs=8, drops=(6,), choose="best")
    of, data = learner(), pictures(48)
    of.network.dropout.p = 0.0
    history = train(of, tmp_path, plan, data=data)
    best = best_epoch(history)
    assert history[best - 1].val_accuracy == max(row.val_accuracy for row in history)
    counted = evaluate(of.network, fed(data["val"]))
    assert counted.accuracy == history[best - 1].val_accuracy
    assert counted.accuracy > 0.8
    assert history[-1].lr == pytest.approx(0.005)
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"
    rows = (tmp_path / "curve.csv").read_text().splitlines()
    assert rows[0] == "epoch,lr,train_loss,train_accuracy,val_accuracy,seconds"
    assert len(rows) == 9


def test_best_epoch_is_the_earliest_of_equals() -> None:
    curve = {"lr": 0.1, "train_loss": 1.0, "train_accuracy": 0.5, "seconds": 1.0}
    rows = [EpochRow(epoch=i + 1, val_accuracy=val, **curve) for i, val in enumerate([0.3, 0.6, 0.5, 0.6])]
    assert best_epoch(rows) == 2


def test_evaluation_counts_by_hand_and_leaves_unlabelled_images_out() -> None:
    of, data = learner(), pictures()["test"]
    data.labels[3] = -1
    counted = evaluate(of.network, fed(data))
    images = np.stack([data[i] for i in range(len(data))])
    with torch.no_grad():
        predicted = of.network.eval()(to_input(images, NORMALISATION)).argmax(1).numpy()
    np.testing.assert_array_equal(counted.predicted, predicted)
    assert counted.n_test == 9
    assert counted.n_correct == sum(int(p == t) for p, t in zip(predicted, data.labels, strict=True))


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    train(learner(), tmp_path, replace(PLAN, epochs=1))
    of = learner()
    state = TrainingState(tmp_path, {"plan": 1, "seed": PLAN.seed})
    state.check()
    plan = replace(PLAN, epochs=3, lr=float("1e30"))
    with pytest.raises(
        TrainingError, match=r"The loss on dtd became (nan|inf) at step \d of epoch 2; .*last.safetensors \(epoch 1\)"
    ):
        training(of, plan, state).fit()
    assert len(state.restore(learner().state, {})[0]) == 1  # the good checkpoint is still that of epoch 1


def test_a_folder_with_another_run_is_refused_by_name(tmp_path: Path) -> None:
    train(learner(), tmp_path, replace(PLAN, epochs=1))
    with pytest.raises(TrainingStateError, match=r"holds a run with seed = 5, not 6.*delete that one to start over"):
        TrainingState(tmp_path, {"plan": 1, "seed": 6}).check()


def test_a_cut_off_checkpoint_is_told(tmp_path: Path) -> None:
    train(learner(), tmp_path, replace(PLAN, epochs=1))
    path = tmp_path / "last.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(UserError, match=r"cannot be read.*delete .*last.safetensors and run again"):
        train(learner(), tmp_path, replace(PLAN, epochs=1))


@pytest.mark.parametrize("which", ["last", "best"])
@pytest.mark.parametrize("where", [0.5, 0.9, 0.999])
def test_a_checkpoint_with_one_wrong_bit_is_told(tmp_path: Path, which: str, where: float) -> None:
    plan = replace(PLAN, epochs=2, choose="best")
    with pytest.raises(KeyboardInterrupt):
        train(learner(), tmp_path, plan, StopAfter(1, 1))
    path = tmp_path / f"{which}.safetensors"
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(TrainingStateError, match=rf"{which}.safetensors cannot be read \(it is damaged: its values"):
        train(learner(), tmp_path, plan)


def test_a_curve_that_was_changed_is_told(tmp_path: Path) -> None:
    """Another accuracy on val would let another epoch count as the best."""
    train(learner(), tmp_path, replace(PLAN, epochs=1))
    path = tmp_path / "last.safetensors"
    content = path.read_bytes()
    changed = re.sub(rb"(val_accuracy[^0-9]+0\.)\d", rb"\g<1>9", content)
    assert changed != content
    path.write_bytes(changed)
    with pytest.raises(TrainingStateError, match="it is damaged"):
        train(learner(), tmp_path, replace(PLAN, epochs=2))


def test_a_best_checkpoint_that_is_lost_is_told_before_training_resumes(tmp_path: Path) -> None:
    plan = replace(PLAN, epochs=2, choose="best")
    with pytest.raises(KeyboardInterrupt):
        train(learner(), tmp_path, plan, StopAfter(1, 1))
    (tmp_path / "best.safetensors").unlink()
    before = (tmp_path / "last.safetensors").read_bytes()
    with pytest.raises(UserError, match=r"best.safetensors cannot be read .*delete .*last.safetensors and run again"):
        train(learner(), tmp_path, plan)
    assert (tmp_path / "last.safetensors").read_bytes() == before


def test_weights_that_are_not_finite_are_never_kept(tmp_path: Path) -> None:
    """The last step of an epoch may break what its loss, taken before it, does not show."""
    of = learner()

    class Break(Watch):
        def step(self, epoch: int, epochs: int, done: int, steps: int) -> None:
            if (epoch, done) == (1, steps):
                next(iter(of.parameters.values())).data[0] = float("nan")

    with pytest.raises(TrainingError, match=r"The weights for dtd are not finite after epoch 2; .*\(epoch 1\)"):
        train(of, tmp_path, replace(PLAN, epochs=3), Break())
    kept = learner()
    assert len(TrainingState(tmp_path, {"plan": 3, "seed": PLAN.seed}).restore(kept.state, {})[0]) == 1
    assert all(tensor.isfinite().all() for tensor in kept.state.values())


def test_masks_are_trained_by_adam_and_both_rates_fall() -> None:
    of = learner("piggyback")
    plan = replace(PLAN, drops=(1,))
    optimizers = make_optimizers(of.parameters, plan, of.optimizer)
    masks = [name for name in of.parameters if name.endswith(".mask")]
    assert len(optimizers["adam"].param_groups[0]["params"]) == len(masks) == 50
    assert len(optimizers["sgd"].param_groups[0]["params"]) == 2
    set_learning_rate(optimizers, plan, 1)
    assert optimizers["adam"].param_groups[0]["lr"] == pytest.approx(1e-3)
    assert optimizers["sgd"].param_groups[0]["lr"] == pytest.approx(5e-3)
    assert optimizers["adam"].param_groups[0]["weight_decay"] == 0
    assert not optimizers["sgd"].param_groups[0]["nesterov"]


def test_bfloat16_trains_float32_weights(tmp_path: Path) -> None:
    of, exact = learner(), learner()
    half = train(of, tmp_path / "half", replace(PLAN, epochs=1, precision="bfloat16"))
    full = train(exact, tmp_path / "full", replace(PLAN, epochs=1))
    assert all(tensor.dtype == torch.float32 for tensor in of.parameters.values())
    assert half[0].train_loss != full[0].train_loss  # it did compute in another precision
    assert half[0].train_loss == pytest.approx(full[0].train_loss, rel=0.1)


def test_pretraining_trains_everything(tmp_path: Path) -> None:
    body = separable_resnet26(3, width=2, seed=1)
    before = copy.deepcopy(body.state_dict())
    train(Learner.of_body(body), tmp_path, replace(PLAN, epochs=1))
    assert all(not torch.equal(before[name], tensor) for name, tensor in body.named_parameters())


@pytest.mark.parametrize(("asked", "used"), [("cuda", "cuda:0"), ("cuda:1", "cuda:1")])
def test_a_gpu_has_a_number(monkeypatch: pytest.MonkeyPatch, asked: str, used: str) -> None:
    """Tensors on it say `cuda:0`, and PyTorch takes no other name when it is chosen."""
    chosen: list[torch.device] = []
    monkeypatch.setattr("data_prep.common.processes.usable_device", lambda wanted: wanted)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    with processes(asked) as group:
        assert [group.device] == chosen == [torch.device(used)]


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_loop
from mdl.training.processes import processes
test_loop.torch.set_num_threads(1)
with processes("cpu") as group:
    test_loop.train_both(Path(sys.argv[2]), group)
"""


def train_both(folder: Path, group: Processes) -> None:
    """Train a network with a frozen and one with its own batch normalisation; sums of the weights, and the losses."""
    told = {}
    for method in ("classifier", "pointwise-sharing"):
        of = learner(method)
        of.network.dropout.p = 0.0
        plan = replace(PLAN, epochs=2, batch_size=7)
        state = TrainingState(folder / method, {})
        history = training(of, plan, state, group=group).fit()
        sums = {name: float(tensor.detach().double().sum()) for name, tensor in of.state.items()}
        told[method] = sums, [row.train_loss for row in history], [row.val_accuracy for row in history]
    (folder / f"{group.rank}.json").write_text(json.dumps(told))


@pytest.mark.slow
def test_two_processes(tmp_path: Path) -> None:
    """Both end in the same weights. Where no batch normalisation is trained, they are those of one process."""
    script, alone, both = tmp_path / "script.py", tmp_path / "alone", tmp_path / "both"
    script.write_text(SCRIPT)
    for folder in (alone, both):
        folder.mkdir()
    train_both(alone, ALONE)
    argv = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    argv += [str(script), str(Path(__file__).parent), str(both)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two, other = (json.loads(path.read_text()) for path in (alone / "0.json", both / "0.json", both / "1.json"))
    assert two == other
    for here, there in zip(one["classifier"], two["classifier"], strict=True):
        assert there == pytest.approx(here, rel=1e-4, abs=1e-5)
    assert two["pointwise-sharing"][1] != one["pointwise-sharing"][1]  # each normalises its own part of the batch

"""The training loop: SGD over the images of one domain, epoch by epoch, resumable to the same final weights.

    learner = Learner.of_domain(net, "gtsrb")                  # or Learner.of_body(body), to pre-train
    state = TrainingState(folder, identity)
    training = Training(learner=learner, pictures=pictures, normalisation=normalisation, plan=plan, state=state)
    history = training.fit()
    evaluation = evaluate(learner.network, pictures["test"], plan.input_rules, normalisation)
    evaluation.n_correct, evaluation.n_test

What is promised: the weights after the last epoch are a function of the plan, the data, the starting weights, the
number of processes, and the arithmetic of the device and its number of threads. How often the run was interrupted and
resumed changes no bit of them. Data order, augmentation and dropout are functions of (seed, epoch, image or
step); torch's global random state is left as it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, Adam, Optimizer

from data_prep.common.errors import UserError
from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.resnet26 import ResNet26
from mdl.training.curves import EpochRow, write_picture, write_table
from mdl.training.feed import (
    DecodedImages,
    InputRules,
    Normalisation,
    batch_sizes,
    ordered_batches,
    shuffled_batches,
    to_input,
)
from mdl.training.processes import Processes
from mdl.training.recipe import Plan
from mdl.training.state import TrainingState, Which

TEST_BATCH = 128
LOSS_CHECK = 16
"""Steps between two looks at the loss: each look waits for a GPU to finish."""

REDRAW = 30.0
"""Seconds between two drawings of the curves."""

ALONE = Processes(0, 1, torch.device("cpu"))


class TrainingError(UserError):
    """Training cannot continue; the message names the step and the last good checkpoint."""


@dataclass(frozen=True)
class Learner:
    """What is trained. network: images -> logits. state: every tensor that training changes, parameters and running
    statistics, by name. training: puts the network's own parts in train mode, with gradients, and nothing else."""

    network: nn.Module
    state: Mapping[str, Tensor]
    training: Callable[[], object]
    optimizer: Callable[[str], str] = lambda name: "sgd"

    @classmethod
    def of_body(cls, body: ResNet26) -> Learner:
        """The whole network, head included, for pre-training."""
        return cls(body, body.state_dict(keep_vars=True), lambda: body.requires_grad_(True).train())

    @classmethod
    def of_domain(cls, net: MultiDomainNetwork, domain: str) -> Learner:
        """What the method of `net` trains for `domain`."""
        return cls(
            net.network(domain), net.domain_state(domain), lambda: net.train_domain(domain), net.method.optimizer
        )

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        return {name: tensor for name, tensor in self.state.items() if isinstance(tensor, nn.Parameter)}


@dataclass(frozen=True)
class Evaluation:
    """predicted: (N,) int64, the class given to each image in order. Images without a label (-1) count in no number."""

    predicted: np.ndarray
    n_correct: int
    n_test: int

    @property
    def accuracy(self) -> float:
        return self.n_correct / self.n_test


class Watch:
    """Hears of a run's progress; this one says nothing. `mdl.training.display` has one that speaks."""

    def step(self, epoch: int, epochs: int, done: int, steps: int) -> None: ...

    def epoch(self, row: EpochRow, epochs: int) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Training:
    """One run: `fit()` does it.

    pictures: "train" and, to choose on, "val". state: the run's folder; a run that it holds is resumed.
    """

    learner: Learner
    pictures: Mapping[str, DecodedImages]
    normalisation: Normalisation
    plan: Plan
    state: TrainingState
    group: Processes = ALONE
    watch: Watch = Watch()  # noqa: RUF009  it holds nothing

    def fit(self) -> list[EpochRow]:
        """Train, and leave the network with the weights that the plan keeps; one row for every epoch.

        Raises `TrainingError` where the loss, or a weight after an epoch, is not finite.
        """
        learner, plan, state = self.learner, self.plan, self.state
        keep: Which = "best" if plan.choose == "best" and "val" in self.pictures else "last"
        learner.training()
        optimizers = make_optimizers(learner.parameters, plan, learner.optimizer)
        history = [EpochRow(**row) for row in state.restore(learner.state, optimizers)]
        if history and keep == "best":
            state.check("best")  # what is lost is told now, not after the last epoch
        network, drawn = self.group.wrap(learner.network), time.monotonic()
        for epoch in range(len(history), plan.epochs):
            started = time.perf_counter()
            learner.training()
            loss, accuracy = self._epoch(network, optimizers, epoch)
            if not all(bool(tensor.isfinite().all()) for tensor in learner.state.values()):
                raise self._broken(f"The weights for {plan.domain} are not finite after epoch {epoch + 1}", epoch)
            val = self._evaluate("val").accuracy if "val" in self.pictures else None
            seconds = time.perf_counter() - started
            history.append(
                EpochRow(
                    epoch=epoch + 1,
                    lr=plan.learning_rate(epoch),
                    train_loss=loss,
                    train_accuracy=accuracy,
                    val_accuracy=val,
                    seconds=seconds,
                )
            )
            if self.group.is_first:
                rows = [asdict(row) for row in history]
                if keep == "best" and best_epoch(history) == epoch + 1:
                    state.save("best", learner.state, {}, rows)
                state.save("last", learner.state, optimizers, rows)
                write_table(state.folder, history)
                if time.monotonic() - drawn > REDRAW:
                    write_picture(state.folder, history)
                    drawn = time.monotonic()
                self.watch.epoch(history[-1], plan.epochs)
        if self.group.is_first:
            write_table(state.folder, history)
            write_picture(state.folder, history)
        self.group.wait()
        state.load(keep, learner.state)
        learner.network.eval()
        return history

    def _epoch(self, network: nn.Module, optimizers: Mapping[str, Optimizer], epoch: int) -> tuple[float, float]:
        """One pass over the training images; (mean loss, accuracy), each image as the network was when it saw it."""
        plan, train, group = self.plan, self.pictures["train"], self.group
        set_learning_rate(optimizers, plan, epoch)
        sizes = batch_sizes(len(train), plan.batch_size)
        batches = shuffled_batches(
            train, plan.input_rules, batch_size=plan.batch_size, seed=plan.seed, epoch=epoch, share=group.share
        )
        losses, n_correct = [], torch.zeros((), dtype=torch.int64, device=group.device)
        with random_numbers(plan.seed, epoch, group):
            for step, (pixels, numbers) in enumerate(batches):
                images = to_input(pixels, self.normalisation, group.device)
                labels = torch.from_numpy(train.labels[numbers]).to(group.device)
                # Averaged over processes, the gradient is that of the mean over the whole batch, however it was parted.
                loss, logits = training_step(
                    network, optimizers, images, labels, scale=group.n / sizes[step], precision=plan.precision
                )
                losses.append(loss)
                n_correct += (logits.argmax(1) == labels).sum()
                if len(losses) % LOSS_CHECK == 0 or step + 1 == len(sizes):
                    self._check_loss(losses[-LOSS_CHECK:], epoch, step)
                if group.is_first:
                    self.watch.step(epoch, plan.epochs, step + 1, len(sizes))
        loss_sum, n_right = group.total([float(torch.stack(losses).double().sum()), float(n_correct)])
        return loss_sum / len(train), n_right / len(train)

    def _evaluate(self, split: str) -> Evaluation:
        return evaluate(
            self.learner.network, self.pictures[split], self.plan.input_rules, self.normalisation, group=self.group
        )

    def _check_loss(self, losses: Sequence[Tensor], epoch: int, step: int) -> None:
        wrong = (~torch.isfinite(torch.stack(list(losses)))).nonzero()
        if len(wrong):
            bad, value = step + 2 - len(losses) + int(wrong[0]), float(losses[int(wrong[0])])
            raise self._broken(
                f"The loss on {self.plan.domain} became {value} at step {bad} of epoch {epoch + 1}", epoch
            )

    def _broken(self, what: str, epoch: int) -> TrainingError:
        last = self.state.path("last")
        good, first = "there is no checkpoint yet", ""
        if last.exists():
            good, first = f"the last good checkpoint is {last} (epoch {epoch})", f"delete {self.state.folder} and "
        return TrainingError(
            f"{what} (learning rate {self.plan.learning_rate(epoch):g}); {good}: {first}train again with a "
            f"lower one, `overrides` lr=..."
        )


def training_step(
    network: nn.Module,
    optimizers: Mapping[str, Optimizer],
    images: Tensor,
    labels: Tensor,
    *,
    scale: float,
    precision: str = "float32",
) -> tuple[Tensor, Tensor]:
    """One step down the gradient of `scale` times the summed loss; (that sum, logits), without gradients.

    With precision "bfloat16" the network runs under autocast; loss, weights and optimizer stay float32.
    """
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        logits = network(images)
    loss = cross_entropy(logits.float(), labels, reduction="sum")
    for optimizer in optimizers.values():
        optimizer.zero_grad(set_to_none=True)
    (loss * scale).backward()
    for optimizer in optimizers.values():
        optimizer.step()
    return loss.detach(), logits.detach()


def evaluate(
    network: nn.Module,
    pictures: DecodedImages,
    rules: InputRules,
    normalisation: Normalisation,
    *,
    group: Processes = ALONE,
) -> Evaluation:
    """The class that the network gives each image, in float32; leaves the network in evaluation."""
    network.eval()
    predicted = torch.zeros(len(pictures), dtype=torch.int64)
    with torch.inference_mode():
        for pixels, numbers in ordered_batches(pictures, rules, TEST_BATCH, group.share):
            predicted[torch.from_numpy(numbers)] = (
                network(to_input(pixels, normalisation, group.device)).argmax(1).cpu()
            )
    classes = group.total_of(predicted).numpy()
    return Evaluation(classes, int((classes == pictures.labels).sum()), int((pictures.labels >= 0).sum()))


def make_optimizers(
    parameters: Mapping[str, nn.Parameter], plan: Plan, optimizer: Callable[[str], str] = lambda name: "sgd"
) -> dict[str, Optimizer]:
    """SGD, or Adam without weight decay, for each parameter as `optimizer(name)` says: "sgd" or "adam"."""
    by_kind: dict[str, list[nn.Parameter]] = {"sgd": [], "adam": []}
    for name, tensor in parameters.items():
        by_kind[optimizer(name)].append(tensor)
    optimizers: dict[str, Optimizer] = {}
    if by_kind["sgd"]:
        optimizers["sgd"] = SGD(by_kind["sgd"], plan.lr, momentum=plan.momentum, weight_decay=plan.weight_decay)
    if by_kind["adam"]:
        optimizers["adam"] = Adam(by_kind["adam"], plan.mask_lr)
    return optimizers


def set_learning_rate(optimizers: Mapping[str, Optimizer], plan: Plan, epoch: int) -> None:
    """The rates of an epoch; Adam's falls with the other's."""
    share = plan.learning_rate(epoch) / plan.lr
    for kind, optimizer in optimizers.items():
        for group in optimizer.param_groups:
            group["lr"] = share * (plan.mask_lr if kind == "adam" else plan.lr)


def best_epoch(history: Sequence[EpochRow]) -> int:
    """The epoch, from 1, with the highest accuracy on val; the earliest of equals.

    >>> curve = {"lr": 0.1, "train_loss": 1.0, "train_accuracy": 0.5, "seconds": 2.0}
    >>> best_epoch([EpochRow(epoch=n + 1, val_accuracy=val, **curve) for n, val in enumerate([0.3, 0.6, 0.6])])
    2
    """
    return max(history, key=lambda row: row.val_accuracy if row.val_accuracy is not None else -1.0).epoch


@contextmanager
def random_numbers(seed: int, epoch: int, group: Processes) -> Iterator[None]:
    """Dropout draws on (seed, epoch, process); torch's global state is put back afterwards."""
    devices = [group.device] if group.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(np.random.SeedSequence([seed, epoch, group.rank]).generate_state(1, np.uint64)[0]))
        yield

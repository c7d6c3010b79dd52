"""The training loop: SGD over the images of one domain, epoch by epoch, resumable at any step to the same final weights.

    learner = Learner.of_domain(net, "gtsrb")                  # or Learner.of_body(body), to pre-train
    state = TrainingState(folder, identity)
    training = Training(learner=learner, pictures=pictures, normalisation=normalisation, plan=plan, state=state)
    history = training.fit()
    evaluation = evaluate(learner.network, Feed(pictures["test"], plan.input_rules, normalisation, device))
    evaluation.n_correct, evaluation.n_test

What is promised: the weights after the last epoch are a function of the plan, the data, the starting weights, the
number of processes, and the arithmetic of the device; on a CPU, with its threads (`mdl.training.threads`): one, unless more
are asked for. How often the run was interrupted, at whichever step, and resumed changes no bit of them. Data order, augmentation
and dropout are functions of (seed, epoch, image or step); torch's global random state is left as it was. On CUDA training
computes convolutions as PyTorch does by default, in TF32, which keeps ten bits of each factor; evaluation never does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, Adam, Optimizer

from data_prep.common.errors import UserError
from data_prep.common.interrupts import held_back
from data_prep.common.precision import full_precision
from mdl.networks.body import Body
from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.training.curves import EpochRow
from mdl.training.feed import Feed, batch_sizes
from mdl.training.pictures import DecodedImages, Normalisation
from mdl.training.processes import Processes
from mdl.training.recipe import Plan
from mdl.training.saver import Saver, SoFar, all_finite
from mdl.training.state import TrainingState, Which

TEST_BATCH = 128
LOSS_CHECK = 16
"""Steps between two looks at the loss, where each waits for a GPU to finish; on a CPU none waits, and every step is looked at."""

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
    def of_body(cls, body: Body) -> Learner:
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
    checkpoint_every: seconds, see `mdl.training.saver`.
    """

    learner: Learner
    pictures: Mapping[str, DecodedImages]
    normalisation: Normalisation
    plan: Plan
    state: TrainingState
    group: Processes = ALONE
    checkpoint_every: float = 30.0
    watch: Watch = Watch()  # noqa: RUF009  it holds nothing

    def fit(self) -> list[EpochRow]:
        """Train, and leave the network with the weights that the plan keeps; one row for every epoch.

        Raises `TrainingError` where the loss, or a weight that would be saved, is not finite; `KeyboardInterrupt` where a signal
        ended it, once all that was done is saved.
        """
        learner, plan, state = self.learner, self.plan, self.state
        keep: Which = "best" if plan.choose == "best" and "val" in self.pictures else "last"
        learner.training()
        optimizers = make_optimizers(learner.parameters, plan, learner.optimizer)
        feeds = {split: self._feed(split) for split in ("train", "val") if split in self.pictures}
        with held_back() as asked_to_stop:
            saver = Saver(
                state,
                learner.state,
                optimizers,
                every=self.checkpoint_every,
                group=self.group,
                asked_to_stop=asked_to_stop,
                check=self._check_weights,
            )
            history = saver.history
            if history and keep == "best":
                state.check("best")  # what is lost is told now, not after the last epoch
            network = self.group.wrap(learner.network)
            for epoch in range(len(history), plan.epochs):
                learner.training()
                seen = self._epoch(network, optimizers, epoch, feeds["train"], saver)
                self._check_weights(f"after epoch {epoch + 1}")
                started = time.perf_counter()
                val = evaluate(learner.network, feeds["val"], group=self.group).accuracy if "val" in feeds else None
                loss_sum, n_correct = self.group.total([seen.loss_sum, float(seen.n_correct)])
                history.append(
                    EpochRow(
                        epoch=epoch + 1,
                        lr=plan.learning_rate(epoch),
                        train_loss=float(loss_sum) / len(feeds["train"]),
                        train_accuracy=float(n_correct) / len(feeds["train"]),
                        val_accuracy=val,
                        seconds=seen.seconds + time.perf_counter() - started,
                    )
                )
                is_best = keep == "best" and best_epoch(history) == epoch + 1
                saver.end_epoch(is_best=is_best, is_last=epoch + 1 == plan.epochs)
                if self.group.is_first:
                    self.watch.epoch(history[-1], plan.epochs)
            saver.end()
        state.load(keep, learner.state)
        learner.network.eval()
        return history

    def _epoch(
        self, network: nn.Module, optimizers: Mapping[str, Optimizer], epoch: int, feed: Feed, saver: Saver
    ) -> SoFar:
        """One pass over the training images, or what is left of it; each image counts as the network was when it saw it."""
        plan, group = self.plan, self.group
        set_learning_rate(optimizers, plan, epoch)
        sizes = batch_sizes(len(feed), plan.batch_size)
        look = 1 if group.device.type == "cpu" else LOSS_CHECK
        so_far = saver.begin_epoch()
        n_correct = torch.tensor(so_far.n_correct, device=group.device)
        batches = feed.shuffled(
            batch_size=plan.batch_size, seed=plan.seed, epoch=epoch, share=group.share, first=so_far.steps
        )
        losses: list[Tensor] = []
        started = time.perf_counter() - so_far.seconds
        with random_numbers(plan.seed, epoch, len(sizes), group) as begin:
            for step, batch in enumerate(batches, so_far.steps):
                begin(step)
                # Averaged over processes, the gradient is that of the mean over the whole batch, however it was parted.
                loss, logits = training_step(
                    network,
                    optimizers,
                    batch.images,
                    batch.labels,
                    scale=group.n / sizes[step],
                    precision=plan.precision,
                )
                losses.append(loss)
                n_correct += (logits.argmax(1) == batch.labels).sum()
                if group.is_first:
                    self.watch.step(epoch, plan.epochs, step + 1, len(sizes))
                if len(losses) == look or step + 1 == len(sizes):
                    so_far.loss_sum = self._added(so_far.loss_sum, losses, epoch, step)
                    so_far.steps, so_far.n_correct = step + 1, int(n_correct)
                    so_far.seconds = time.perf_counter() - started
                    losses = []
                    saver.between_steps(so_far)
        return so_far

    def _feed(self, split: str) -> Feed:
        return Feed(self.pictures[split], self.plan.input_rules, self.normalisation, self.group.device)

    def _added(self, total: float, losses: Sequence[Tensor], epoch: int, step: int) -> float:
        """The total with the losses of the last steps, one by one. Raises `TrainingError` for one that is not finite."""
        for number, value in enumerate(torch.stack(list(losses)).tolist(), step + 2 - len(losses)):
            if not math.isfinite(value):
                raise self._broken(
                    f"The loss on {self.plan.domain} became {value} at step {number} of epoch {epoch + 1}"
                )
            total += value
        return total

    def _check_weights(self, when: str) -> None:
        if not all_finite(self.learner.state):
            raise self._broken(f"The weights for {self.plan.domain} are not finite {when}")

    def _broken(self, what: str) -> TrainingError:
        last = self.state.path("last")
        good, first = "there is no checkpoint yet", ""
        if last.exists():
            good = f"the last good checkpoint is {last} (epoch {self.state.n_epochs()})"
            first = f"delete {self.state.folder} and "
        return TrainingError(
            f"{what}; {good}: {first}train again with a learning rate below {self.plan.lr:g}, `overrides` lr=..."
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


def evaluate(network: nn.Module, feed: Feed, *, group: Processes = ALONE) -> Evaluation:
    """The class that the network gives each image, in float32 without TF32; leaves the network in evaluation."""
    network.eval()
    numbers, found = [np.empty(0, np.int64)], [torch.empty(0, dtype=torch.int64, device=group.device)]
    with torch.inference_mode(), full_precision():
        for batch in feed.ordered(TEST_BATCH, group.share):
            numbers.append(batch.numbers)
            found.append(network(batch.images).argmax(1))
    predicted = np.zeros(len(feed), np.int64)
    predicted[np.concatenate(numbers)] = torch.cat(found).cpu().numpy()
    classes = group.total_of(torch.from_numpy(predicted)).numpy()
    labels = feed.pictures.labels
    return Evaluation(classes, int((classes == labels).sum()), int((labels >= 0).sum()))


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
def random_numbers(seed: int, epoch: int, n_steps: int, group: Processes) -> Iterator[Callable[[int], None]]:
    """Dropout draws on (seed, epoch, step, process): the function that is given sets that before each step. torch's global state
    is put back afterwards."""
    states = np.random.SeedSequence([seed, epoch, group.rank]).generate_state(n_steps, np.uint64).tolist()
    on_gpu = group.device.type == "cuda"
    generators = [
        torch.default_generator,
        *([torch.cuda.default_generators[group.device.index or 0]] if on_gpu else []),
    ]

    def begin(step: int) -> None:
        for generator in generators:  # `torch.manual_seed` asks for every kind of device, which takes ten times as long
            generator.manual_seed(states[step])

    with torch.random.fork_rng([group.device] if on_gpu else []):
        yield begin

"""When a training run is saved, and what: at its epochs' ends and within them, so that little is lost however it ends.

    with held_back() as asked_to_stop:
        saver = Saver(state, tensors, optimizers, **others)    # continues what the folder holds
        for epoch in ...:
            so_far = saver.begin_epoch()
            for step in ...:
                saver.between_steps(so_far)         # saves where it is time; stops where a signal asked for it
            saver.history.append(row)
            saver.end_epoch(is_best=False, is_last=False)
        saver.end()

A run is saved every 30 seconds, at the ends of epochs that are shorter, and when a signal ends it; but never so often that
saving takes more than 2 % of the time (`data_prep.common.interrupts`). A process that is killed loses the work since then, and
does it again to the same bits. While images of val are evaluated nothing is saved.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from data_prep.common.interrupts import Pace
from mdl.training.curves import EpochRow, write_picture, write_table
from mdl.training.processes import Processes
from mdl.training.state import TrainingState, written

REDRAW = 30.0
"""Seconds between two drawings of the curves, at least."""


@dataclass
class SoFar:
    """What one process has counted of an epoch. steps: done. loss_sum, n_correct: over its own images. seconds: that it took."""

    steps: int = 0
    loss_sum: float = 0.0
    n_correct: int = 0
    seconds: float = 0.0


class Saver:
    """history: the rows of whole epochs; the training appends to them. check: raises where the weights must not be kept."""

    def __init__(
        self,
        state: TrainingState,
        tensors: Mapping[str, Tensor],
        optimizers: Mapping[str, Optimizer],
        *,
        every: float,
        group: Processes,
        asked_to_stop: threading.Event,
        check: Callable[[str], None],
    ) -> None:
        self.state, self._tensors, self._optimizers, self._group = state, tensors, optimizers, group
        self._asked, self._check = asked_to_stop, check
        self._saving, self._drawing = Pace(every), Pace(REDRAW)
        self._best: tuple[dict[str, Tensor], list[dict]] | None = None
        rows, within = state.restore(tensors, optimizers)
        self.history = [EpochRow(**row) for row in rows]
        self._begun = SoFar()
        if within:
            steps, parts = within["steps"], within["parts"]
            loss_sum, n_correct, seconds = parts[3 * group.rank : 3 * group.rank + 3]
            self._begun = SoFar(steps, loss_sum, int(n_correct), seconds)
        if group.is_first:
            state.tidy()

    def begin_epoch(self) -> SoFar:
        """What the folder held of this epoch; nothing, but for the first that goes on."""
        begun, self._begun = self._begun, SoFar()
        return begun

    def between_steps(self, so_far: SoFar) -> None:
        """Save within an epoch, where it is time. All processes must call it after the same steps.

        Raises `KeyboardInterrupt`, once all is saved, where a signal asked any of them to stop.
        """
        stop, due = self._agreed(self._asked.is_set(), self._group.is_first and self._saving.is_due())
        if stop or due:
            self._check(f"within epoch {len(self.history) + 1}")
            parts = [0.0] * (3 * self._group.n)
            at = 3 * self._group.rank
            parts[at : at + 3] = so_far.loss_sum, float(so_far.n_correct), so_far.seconds
            parts = [float(number) for number in self._group.total(parts)]
            if self._group.is_first:
                self._save({"steps": so_far.steps, "parts": parts})
        if stop:
            self._group.wait()
            raise KeyboardInterrupt

    def end_epoch(self, *, is_best: bool, is_last: bool) -> None:
        """Save at the end of an epoch, unless a saving has just been. is_best: keep these weights, whatever comes after them."""
        if not self._group.is_first:
            return
        if is_best:
            self._best = {name: tensor.detach().clone() for name, tensor in self._tensors.items()}, self._rows()
        if is_last or self._saving.is_due(every=0):
            self._save()
            if self._drawing.is_due():
                with self._drawing.timed(), written(self.state.folder):
                    write_picture(self.state.folder, self.history)

    def end(self) -> None:
        """After the last epoch. Raises `KeyboardInterrupt` where a signal asked for it meanwhile."""
        if self._group.is_first:
            with written(self.state.folder):
                write_table(self.state.folder, self.history)
                write_picture(self.state.folder, self.history)
        if self._agreed(self._asked.is_set())[0]:
            raise KeyboardInterrupt

    def _save(self, within: dict | None = None) -> None:
        with self._saving.timed(), written(self.state.folder):
            if self._best is not None:
                tensors, rows = self._best
                self.state.save("best", tensors, {}, rows)
                self._best = None
            self.state.save("last", self._tensors, self._optimizers, self._rows(), within)
            write_table(self.state.folder, self.history)

    def _rows(self) -> list[dict]:
        return [asdict(row) for row in self.history]

    def _agreed(self, *asked: bool) -> list[bool]:
        """Whether any process says so, for each question."""
        return [bool(n) for n in self._group.total([float(each) for each in asked])]


def all_finite(tensors: Mapping[str, Tensor]) -> bool:
    """Whether every value is finite; asks the device once."""
    return bool(torch.stack([tensor.isfinite().all() for tensor in tensors.values()]).all())

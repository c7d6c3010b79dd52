"""What a training run says on the way: a bar with the time left on a terminal, one line for each epoch anywhere.

with Display("gtsrb, pointwise-sharing") as watch:
    Training(..., watch=watch).fit()
"""

from __future__ import annotations

import sys
import time
from types import TracebackType

from mdl.training.curves import EpochRow
from mdl.training.loop import Watch


class Display(Watch):
    """A `Watch` that writes to standard error. The time left counts from this process's own steps."""

    def __init__(self, title: str = "") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.title = title
        self._started: tuple[float, int] | None = None
        self._left = 0.0
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %, left"),
            TimeRemainingColumn(),
        )
        self._bars = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._bars.add_task("", total=1, visible=False)

    def __enter__(self) -> Display:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def begin(self, title: str) -> None:
        """Another run begins."""
        self.title, self._started = title, None
        self._bars.reset(self._task, visible=False)

    def progress(self, stage: str, done: int, total: int) -> None:
        """A `data_prep.common.terminal.Progress`, such as of the images decoded."""
        self._bars.update(
            self._task, description=f"{self.title}: {stage}", completed=done, total=total, visible=done < total
        )

    def step(self, epoch: int, epochs: int, done: int, steps: int) -> None:
        now, n_done = time.monotonic(), epoch * steps + done
        if self._started is None:
            self._started = now, n_done - 1
            self._bars.reset(self._task, start=True)
        since, first = self._started
        self._left = (now - since) / (n_done - first) * (epochs * steps - n_done)
        self._bars.update(
            self._task,
            description=f"{self.title}: epoch {epoch + 1}/{epochs}",
            completed=n_done,
            total=epochs * steps,
            visible=True,
        )

    def epoch(self, row: EpochRow, epochs: int) -> None:
        val = "" if row.val_accuracy is None else f", val {row.val_accuracy:.2%}"
        line = (
            f"{self.title}: epoch {row.epoch}/{epochs}, loss {row.train_loss:.3f}, train {row.train_accuracy:.2%}{val}, "
            f"{row.seconds:.1f} s, left {_duration(self._left)}"
        )
        if self._bars.disable:
            print(line, file=sys.stderr, flush=True)
        else:
            self._bars.console.print(line, highlight=False, markup=False)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"

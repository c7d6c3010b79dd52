"""The curves of a training run as a table and a small picture.

write_table(folder, history)                # curve.csv
write_picture(folder, history)              # curve.png
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path

from data_prep.common.files import write_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRow:
    """One epoch, counted from 1. Accuracies in [0, 1]; val is None without a val split; seconds: of the whole epoch."""

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    val_accuracy: float | None
    seconds: float


def write_table(folder: Path, history: Sequence[EpochRow]) -> None:
    """`curve.csv`, one row for each epoch."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, [f.name for f in fields(EpochRow)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(row) for row in history)
    write_bytes(folder / "curve.csv", text.getvalue().encode())


def write_picture(folder: Path, history: Sequence[EpochRow]) -> None:
    """`curve.png`: the loss and the accuracies by epoch. Takes a tenth of a second."""
    write_bytes(folder / "curve.png", draw_curves(history))


def draw_curves(history: Sequence[EpochRow]) -> bytes:
    """PNG of the loss and of the accuracies by epoch; draws without touching any global state of matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.8))
    FigureCanvasAgg(figure)
    figure.subplots_adjust(0.08, 0.17, 0.98, 0.95, 0.25)
    loss, accuracy = figure.subplots(1, 2)
    epochs = [row.epoch for row in history]
    loss.plot(epochs, [row.train_loss for row in history], color="#0072B2")
    loss.set(xlabel="epoch", ylabel="training loss")
    accuracy.plot(epochs, [100 * row.train_accuracy for row in history], color="#0072B2", label="train")
    if any(row.val_accuracy is not None for row in history):
        val = [float("nan") if row.val_accuracy is None else 100 * row.val_accuracy for row in history]
        accuracy.plot(epochs, val, color="#D55E00", label="val")
    accuracy.set(xlabel="epoch", ylabel="accuracy (%)")
    accuracy.legend(frameon=False)
    for axis in (loss, accuracy):
        axis.spines[["top", "right"]].set_visible(False)
        for before, after in pairwise(history):
            if after.lr < before.lr:
                axis.axvline(before.epoch + 0.5, color="0.8", linewidth=1, zorder=0)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    return picture.getvalue()

"""Interrupt long work, and resume it later from what was saved.

    with resumable(folder, every=30) as checkpoint:
        checkpoint.begin("tally", work)       # continues what lies in the folder, if it is the same work
        for batch in batches:
            ...
            checkpoint()                      # between two batches: saves now and then, and stops here on Ctrl-C

A signal may arrive in the middle of a batch; it is held back until the batch is done, the state is saved, and only then is
it raised as `KeyboardInterrupt`. A second one is not held back. A process that is killed without a warning loses the work since
the last saving.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from data_prep.common.files import atomic_write
from data_prep.common.interrupts import Pace, held_back
from data_prep.common.processes import LostError
from data_prep.formats import BadImageError
from dissect.run_files import ARRAY_ERRORS

SET_ASIDE = ".set-aside"
"""At the end of the names of files that could not be used; they go when the run is finished."""

_log = logging.getLogger(__name__)


class Work(Protocol):
    """What can be saved between two batches."""

    def state(self) -> dict[str, np.ndarray]: ...

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from what `state` gave. Raises one of `ARRAY_ERRORS`, and changes nothing, where that cannot be used."""


class Checkpoint:
    """`NAME.npz` in `folder` for each stage of the work. every: seconds between two savings, or longer, as `Pace` says."""

    def __init__(self, folder: Path, every: float) -> None:
        self.folder, self._pace = folder, Pace(every)
        self.asked_to_stop = threading.Event()
        self._unsaved: dict[str, Work] = {}

    def begin(self, name: str, work: Work) -> None:
        """Continue `work` from the folder, if it is there. It is saved from now on; a stage before it, once more.

        What cannot be used is set aside, the first stage's with all that lies beside it, and told.
        """
        path = self.folder / f"{name}.npz"
        if path.exists():
            try:
                with np.load(path, allow_pickle=False) as file:
                    work.restore(dict(file))
            except (*ARRAY_ERRORS, TypeError, OverflowError) as error:
                for old in self.folder.glob("*.npz") if not self._unsaved else [path]:
                    old.replace(old.with_name(old.name + SET_ASIDE))
                _log.warning(
                    "%s cannot be used (%s): it is set aside, and the %s begins again.",
                    path,
                    error,
                    name if self._unsaved else "pass over the images",
                )
        self._unsaved[name] = work

    def __call__(self) -> None:
        if self.asked_to_stop.is_set():
            raise KeyboardInterrupt
        if self._pace.is_due():
            self.save()

    def save(self) -> None:
        """Write the last stage, and those before it that were not written since they ended."""
        with self._pace.timed():
            for name, work in self._unsaved.items():
                with atomic_write(self.folder / f"{name}.npz") as file:
                    np.savez(file, **work.state())  # type: ignore[arg-type]  # a dictionary of arrays
            self._unsaved = dict([self._unsaved.popitem()]) if self._unsaved else {}


@contextmanager
def resumable(folder: Path, *, every: float) -> Iterator[Checkpoint]:
    """What is saved in `folder`, and resumed from there. Where the work ends by a signal, by an image that cannot be used, or
    with another process, all that was done is saved."""
    checkpoint = Checkpoint(folder, every)
    with held_back(checkpoint.asked_to_stop):
        try:
            yield checkpoint
            if checkpoint.asked_to_stop.is_set():  # after the last batch
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            if checkpoint.asked_to_stop.is_set():
                checkpoint.save()
            raise
        except (BadImageError, LostError):  # between two batches: what was done is whole
            checkpoint.save()
            raise

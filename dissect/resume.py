"""Interrupt a long pass and go on later.

    with checkpoints(observation, reader, folder, every=120, key=key) as checkpoint:
        for ...:
            ...
            checkpoint()                      # between two batches: saves now and then, and stops here on Ctrl-C

A signal may arrive in the middle of a batch; it is held back until the state is whole, saved, and only then raised as
`KeyboardInterrupt`. A second one is not held back.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from data_prep.common.errors import UserError
from data_prep.common.files import atomic_write
from dissect.collected import Collected
from dissect.images import ImageReader


@contextmanager
def checkpoints(
    observation: Collected, reader: ImageReader, folder: Path, every: float, key: str
) -> Iterator[Callable[[], None]]:
    """Take up the checkpoint in `folder` if there is one; yield the function to call between batches.

    key: a hash of everything that decides the result. Raises `UserError` where the checkpoint has another.
    """
    path = folder / "checkpoint.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays["key"]) != key:
                raise UserError(
                    f"The checkpoint {path} was left by a run on other weights, layers, data or settings: "
                    f"delete it, or give another folder."
                )
            observation.restore(arrays)
            reader.n_read = int(arrays["n_read"])
            reader.skipped = [(int(number), reason) for number, reason in json.loads(str(arrays["skipped"]))]
    saved_at = time.monotonic()
    asked_to_stop = threading.Event()

    def save() -> None:
        nonlocal saved_at
        state = observation.state() | {
            "key": np.array(key),
            "n_read": np.array(reader.n_read), "skipped": np.array(json.dumps(reader.skipped)),
        }  # fmt: skip
        with atomic_write(path) as file:
            np.savez(file, **state)
        saved_at = time.monotonic()

    def checkpoint() -> None:
        if asked_to_stop.is_set():
            raise KeyboardInterrupt
        if time.monotonic() - saved_at > every and observation.n_seen:
            save()

    with _held_back(asked_to_stop):
        try:
            yield checkpoint
            if asked_to_stop.is_set():  # after the last batch
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            if asked_to_stop.is_set():
                save()
            raise


@contextmanager
def _held_back(asked_to_stop: threading.Event) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return

    def note(_signal: int, _frame: object) -> None:
        if asked_to_stop.is_set():
            asked_to_stop.clear()
            raise KeyboardInterrupt
        asked_to_stop.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

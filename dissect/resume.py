"""Interrupt a long pass over the images, and resume it later from its checkpoint.

    with resumable(collected, reader, folder, decides=fingerprint, every=120) as checkpoint:
        for numbers, pixels in reader.batches():
            ...
            checkpoint()                      # between two batches: saves now and then, and stops here on Ctrl-C

A signal may arrive in the middle of a batch; it is held back until the batch is done, the state is saved, and only then is
it raised as `KeyboardInterrupt`. A second one is not held back.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.common.errors import UserError
from data_prep.common.files import atomic_write
from dissect.collected import Collected
from dissect.images import ImageReader


@contextmanager
def resumable(
    collected: Collected, reader: ImageReader, folder: Path, *, decides: str, every: float
) -> Iterator[Callable[[], None]]:
    """Resume from the checkpoint in `folder` if there is one; yield the function to call between batches.

    decides: a hash of everything that decides the result. every: seconds between two savings.
    Raises `UserError` where the checkpoint has another hash.
    """
    path = folder / "checkpoint.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays["decides"]) != decides:
                raise UserError(
                    f"The checkpoint {path} was left by a run on other weights, layers, data or settings: "
                    f"delete it, or give another folder."
                )
            collected.restore(arrays)
            reader.n_read = int(arrays["n_read"])
            reader.skipped = [(int(number), reason) for number, reason in json.loads(str(arrays["skipped"]))]
    saved_at = time.monotonic()
    asked_to_stop = threading.Event()

    def save() -> None:
        nonlocal saved_at
        state: dict[str, Any] = collected.state() | {
            "decides": np.array(decides),
            "n_read": np.array(reader.n_read),
            "skipped": np.array(json.dumps(reader.skipped)),
        }
        with atomic_write(path) as file:
            np.savez(file, **state)
        saved_at = time.monotonic()

    def checkpoint() -> None:
        if asked_to_stop.is_set():
            raise KeyboardInterrupt
        if time.monotonic() - saved_at > every and collected.n_seen:
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

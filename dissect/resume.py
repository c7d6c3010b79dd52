"""Interrupt a long pass over the images, and resume it later from its checkpoint.

    with resumable(collected, reader, folder, decides=key, data=fingerprint, every=120) as checkpoint:
        for numbers, pixels in reader.batches():
            ...
            checkpoint(reader.position)       # between two batches: saves now and then, and stops here on Ctrl-C

A signal may arrive in the middle of a batch; it is held back until the batch is done, the state is saved, and only then is
it raised as `KeyboardInterrupt`. A second one is not held back.
"""

from __future__ import annotations

import json
import logging
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
from data_prep.formats import BadImageError
from dissect.collected import Collected
from dissect.images import ImageReader, Position
from dissect.run_files import ARRAY_ERRORS

SET_ASIDE = ".set-aside"
"""At the end of the names of files that could not be used; they go when the run is finished."""

_log = logging.getLogger(__name__)


@contextmanager
def resumable(
    collected: Collected, reader: ImageReader, folder: Path, *, decides: str, data: str, every: float
) -> Iterator[Callable[[Position], None]]:
    """Resume from the checkpoint in `folder` if there is one; yield the function to call between batches, with the place up to
    which their maps were collected: the reader may be ahead of it.

    decides: a hash of all that decides the result but the images. data: the fingerprint of the label set. every: seconds
    between two savings. Raises `UserError` where the checkpoint is of other work.

    A checkpoint that is damaged is set aside, as is one of another state of the set, unless the images read so far give the
    same pixels and labels as they did then: a run that failed on a damaged image resumes once it was restored.
    """
    path = folder / "checkpoint.npz"
    if path.exists():
        try:
            _restore(collected, reader, path, decides=decides, data=data)
        except (*ARRAY_ERRORS, TypeError, OverflowError) as error:
            for old in [path, *folder.glob("candidates-*.npz")]:
                old.replace(old.with_name(old.name + SET_ASIDE))
            _log.warning(
                "%s cannot be used (%s): it is set aside, and the pass over the images begins again.", path, error
            )
    saved_at, reached = time.monotonic(), reader.position
    asked_to_stop = threading.Event()

    def save() -> None:
        nonlocal saved_at
        state: dict[str, Any] = collected.state() | {
            "decides": np.array(decides),
            "n_read": np.array(reached.n_read),
            "skipped": np.array(json.dumps(reader.skipped[: reached.n_skipped])),
            "data": np.array(data),
            "digests": reader.digests[: reached.n_read],
        }
        with atomic_write(path) as file:
            np.savez(file, **state)
        saved_at = time.monotonic()

    def checkpoint(position: Position) -> None:
        nonlocal reached
        reached = position
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
        except BadImageError:  # between two batches: what was done is whole
            if collected.n_seen:
                save()
            raise


def _restore(collected: Collected, reader: ImageReader, path: Path, *, decides: str, data: str) -> None:
    """Raises one of `ARRAY_ERRORS`, and changes nothing, where the checkpoint cannot be used."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    if str(arrays["decides"]) != decides:
        if str(arrays["data"]) != data:
            raise ValueError("the label set is another")
        raise UserError(
            f"The checkpoint {path} was left by a run on other weights, layers, data or settings: "
            f"delete it, or give another folder."
        )
    skipped = [(int(number), str(reason)) for number, reason in json.loads(str(arrays["skipped"]))]
    n_read, digests = int(arrays["n_read"]), arrays["digests"]
    if not 0 <= n_read <= len(reader.digests) or digests.shape != reader.digests[:n_read].shape:
        raise ValueError("its number of images is another")
    if int(arrays["n_seen"]) != n_read - len(skipped):
        raise ValueError("its images do not add up")
    if str(arrays["data"]) != data and not reader.reads_the_same(digests):
        raise ValueError("images that it has seen were changed since")
    collected.restore(arrays)
    reader.n_read, reader.skipped = n_read, skipped
    reader.digests[:n_read] = digests


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

"""Where sets that are drawn on the spot are kept, and how one appears there whole or not at all.

with new_folder(root) as scratch:         # what is written into `scratch` lies in `root` afterwards
    ...
root = kept("mini-broden-v2", "index.csv", make=make)
"""

from __future__ import annotations

import ctypes
import glob
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from data_prep.common.caches import FOLDER_VARIABLE, cache_folder
from data_prep.common.devices import usable_cpus
from data_prep.common.errors import UserError


def kept(name: str, file: str, make: Callable[[Path], object], cache: Path | None = None) -> Path:
    """The folder `name` in `cache` (see `common.caches`), by `make(root)` if there is none with `file` in it yet.

    Two processes may call this at once: each makes a folder of its own, the first to finish is kept.
    """
    root = (Path(cache) if cache is not None else cache_folder()) / name
    if not (root / file).is_file():
        try:
            make(root)
        except UserError as error:
            if (root / file).is_file():
                return root
            if isinstance(why := error.__cause__, OSError):
                raise UserError(
                    f"{root.parent} cannot keep the embedded set ({why.strerror or why}): set {FOLDER_VARIABLE} to a folder that "
                    f"can be written."
                ) from why
            raise
    return root


@contextmanager
def new_folder(root: Path) -> Iterator[Path]:
    """A folder to write a set into, which becomes the new folder `root` at the end of the `with` block, if all went well.

    Raises `UserError` if `root` is there and not empty or cannot be replaced (a link, a mount point, the folder one is in), or
    cannot be written; before the block wherever that is known.
    """
    if root.is_symlink() or root.is_mount() or (root.exists() and not _is_empty_elsewhere(root)):
        raise UserError(f"{root} is already there; a set is only made in a new folder: name another or remove it.")
    scratch = root.absolute().with_name(f".{root.name}-{uuid.uuid4().hex[:12]}")
    try:
        scratch.mkdir(parents=True)
        _delete_left(root)
        yield scratch
        if root.exists():
            root.rmdir()
        scratch.rename(root)
    except OSError as error:
        file = Path(error.filename) if isinstance(error.filename, str) else scratch
        if file.is_relative_to(scratch) or scratch.is_relative_to(file) or file == root:
            raise UserError(f"{root} could not be written ({error}); name a folder that can be.") from error
        raise UserError(
            f"{file} cannot be used ({error.strerror}), and {root} was not written: see that it is there and can be read."
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _is_empty_elsewhere(root: Path) -> bool:
    return root.is_dir() and not root.samefile(Path()) and not any(root.iterdir())


def _delete_left(root: Path) -> None:
    """What processes that were killed more than a day ago left half written beside `root`."""
    for path in root.absolute().parent.glob(f".{glob.escape(root.name)}-*"):
        with suppress(OSError):  # another process deletes it
            if re.fullmatch(r"-[0-9a-f]{12}", path.name[-13:]) and time.time() - path.stat().st_mtime > 86_400:
                shutil.rmtree(path, ignore_errors=True)


def drawing_pool(workers: int | None = None) -> Executor:
    """Processes where they can be forked safely, else threads: spawned processes would run the caller's script again.

    workers: one for each CPU that may be used if not given.
    """
    workers = workers or usable_cpus()
    if sys.platform == "linux" and workers > 1 and not multiprocessing.current_process().daemon:
        return ProcessPoolExecutor(
            workers, multiprocessing.get_context("fork"), initializer=_end_with, initargs=(os.getpid(),)
        )
    return ThreadPoolExecutor(workers)


def _end_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends, even where that is killed: else it would wait for work for ever.

    prctl(2): PR_SET_PDEATHSIG = 1, Linux.
    """
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that
        os._exit(1)

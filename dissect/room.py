"""Tables of zeros in memory while there is room for them, and past that in files that are mapped into memory.

    room = Room(folder, memory_bytes=2**28)
    table = room.zeros((10, 2816, 1197), np.uint32, "The counts")
    table = room.widened(table, np.int64, "The counts")       # the same numbers; the narrow table must not be used any more

A file has no name and goes with the process. Whoever fills a table does not see where it lies.
"""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import numpy as np

from data_prep.common.errors import UserError


class Room:
    """What is left of `memory_bytes` for the tables of one network; `folder` takes the others."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        self.folder, self.n_bytes_left = folder, max(memory_bytes, 0)

    def zeros(self, shape: tuple[int, ...], dtype: np.dtype, what: str) -> np.ndarray:
        """A table of zeros. what: the tables, as a sentence begins with it. Raises `UserError` where the disk is full."""
        n_bytes = int(np.prod(shape)) * dtype.itemsize
        if n_bytes <= self.n_bytes_left:
            self.n_bytes_left -= n_bytes
            return np.zeros(shape, dtype)
        try:
            return self._mapped(shape, dtype, n_bytes)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise UserError(
                f"{what} take {n_bytes / 2**30:.2f} GiB, and {self.folder} has no room for them: free some disk, or raise "
                f"`memory`."
            ) from error

    def widened(self, table: np.ndarray, dtype: np.dtype, what: str) -> np.ndarray:
        """The table with numbers of another kind, in the place of the old one."""
        if not isinstance(table.base, np.memmap):
            self.n_bytes_left += table.nbytes
        wide = self.zeros(table.shape, dtype, what)
        wide[...] = table
        return wide

    def _mapped(self, shape: tuple[int, ...], dtype: np.dtype, n_bytes: int) -> np.ndarray:
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(prefix=".counts-", dir=self.folder) as file:
            if hasattr(os, "posix_fallocate"):  # a file with holes would end the process where the disk is full
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            else:
                file.truncate(n_bytes)
            return np.asarray(np.memmap(file, dtype, "r+", shape=shape))  # a plain array, for compiled code

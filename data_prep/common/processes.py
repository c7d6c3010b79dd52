"""Several processes that work as one: each takes a share of the images, and what they count adds up.

    with joined("auto") as group:                    # the processes of `torchrun` or `launcher`, or this one alone
        for batch in batches[group.rank :: group.n]:
            ...
        n_images = group.total(n_images)             # the same on every process

Imports torch when it is used, not before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from data_prep.common.devices import usable_device
from data_prep.common.errors import UserError
from data_prep.common.launcher import LOST, follow_parent, in_group

if TYPE_CHECKING:
    import torch

CHUNK_BYTES = 2**26
"""Of an array that is on its way at one time, so that a large one is never there twice."""


class LostError(UserError):
    """Another process of the group has ended."""


@dataclass(frozen=True)
class Group:
    """The processes of a run, as one of them sees it. rank: its number, from 0. n: how many there are. device: the one that it
    computes on. What is given to a method must have the same type everywhere, and its shape but where that is said."""

    rank: int = 0
    n: int = 1
    device: str | torch.device = "cpu"

    @property
    def share(self) -> tuple[int, int]:
        """(rank, n)."""
        return self.rank, self.n

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def total(self, numbers: ArrayLike) -> np.ndarray:
        """The sum over the processes, number by number; integers as integers. The same on every process.

        >>> Group().total([1, 2]).tolist()
        [1, 2]
        """
        summed = np.array(numbers, order="C")
        if self.n > 1:
            import torch.distributed as dist

            with _or_lost():
                for part in self._parts(summed):
                    dist.all_reduce(moved := self._moved(part))
                    part[...] = moved.cpu().numpy()
        return summed

    def add_to_first(self, array: np.ndarray) -> None:
        """Add the others' arrays to the first process's, in place; theirs are of no use any more. It must lie in one piece."""
        if not array.flags.c_contiguous:
            raise ValueError("The array does not lie in one piece.")
        if self.n > 1:
            import torch.distributed as dist

            with _or_lost():
                for part in self._parts(array):
                    dist.reduce(moved := self._moved(part), 0)
                    part[...] = moved.cpu().numpy()

    def broadcast(self, array: np.ndarray) -> np.ndarray:
        """The first process's array, on every process."""
        told = np.array(array, order="C")
        if self.n > 1:
            import torch.distributed as dist

            with _or_lost():
                for part in self._parts(told.reshape(-1).view(np.uint8)):
                    dist.broadcast(moved := self._moved(part), 0)
                    part[...] = moved.cpu().numpy()
        return told

    def gather(self, array: np.ndarray) -> Iterator[np.ndarray]:
        """On the first process each one's array, in the order of their ranks; on the others nothing. The first dimension may
        be of any length on each process. Every process must go through to the end."""
        lengths = np.zeros(self.n, np.int64)
        lengths[self.rank] = len(array)
        lengths = self.total(lengths)
        if self.is_first:
            yield array
        for rank in range(1, self.n):
            if self.is_first:
                yield self._received(np.empty((int(lengths[rank]), *array.shape[1:]), array.dtype), rank)
            elif self.rank == rank:
                self._send(array)

    def wait(self) -> None:
        """Until every process is here."""
        self.total([0])

    def _send(self, array: np.ndarray) -> None:
        import torch.distributed as dist

        with _or_lost():
            for part in self._parts(np.ascontiguousarray(array).reshape(-1).view(np.uint8)):
                dist.send(self._moved(part), 0)

    def _received(self, array: np.ndarray, rank: int) -> np.ndarray:
        import torch.distributed as dist

        with _or_lost():
            for part in self._parts(array.reshape(-1).view(np.uint8)):
                dist.recv(moved := self._moved(part), rank)
                part[...] = moved.cpu().numpy()
        return array

    def _parts(self, array: np.ndarray) -> Iterator[np.ndarray]:
        """Views of a contiguous array, one after the other."""
        flat = array.reshape(-1)
        step = max(CHUNK_BYTES // array.itemsize, 1)
        for start in range(0, flat.size, step):
            yield flat[start : start + step]

    def _moved(self, part: np.ndarray) -> torch.Tensor:
        import torch

        return torch.from_numpy(part).to(self.device)


ALONE = Group()
"""Of a process that works for itself."""


@contextmanager
def joined(device: str = "auto") -> Iterator[Group]:
    """The group that the environment tells of, or this process alone. device: cpu, cuda, cuda:N or auto; of several processes
    on one machine each takes a GPU of its own.

    Raises `UserError` where the machine has fewer GPUs, and `LostError` where another process of the group has ended.
    """
    device = usable_device(device)
    if not in_group():
        yield Group(device=device)
        return
    import torch
    import torch.distributed as dist

    rank, n = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local = int(os.environ.get("LOCAL_RANK", rank))
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        if local >= torch.cuda.device_count():
            raise UserError(
                f"There are {os.environ.get('LOCAL_WORLD_SIZE', n)} processes and {torch.cuda.device_count()} CUDA devices on "
                f"this machine: start one process for each, or use another `device`."
            )
        device = f"cuda:{local}"
        torch.cuda.set_device(device)
    follow_parent()
    try:
        with _or_lost():  # what others do with the group is told in the same way
            # Decoding a large data set for the first time takes one process hours, for which the others wait.
            dist.init_process_group("nccl" if on_gpu else "gloo", timeout=timedelta(hours=12))
            yield Group(rank, n, device)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def _or_lost() -> Iterator[None]:
    """`LostError` for what torch says where another process has ended."""
    import torch.distributed as dist

    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise LostError(LOST) from error
        raise

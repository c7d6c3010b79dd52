"""One or several processes that train together, started by `torchrun`.

    with processes("auto") as group:
        network = group.wrap(network)              # gradients are averaged; alone: the network itself
        n_correct = group.total([n_correct])[0]    # summed over the processes

Each process takes an equal part of every batch and sees the images that one process alone would have seen; gradients
are those of the whole batch. Batch normalisation uses the statistics of a process's own part, so that a network whose
batch normalisation is trained ends in other weights than with one process; process 0's running statistics are kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from data_prep.common.devices import usable_device


@dataclass(frozen=True)
class Processes:
    """rank: of this process, from 0. n: how many there are."""

    rank: int
    n: int
    device: torch.device

    @property
    def share(self) -> tuple[int, int]:
        return self.rank, self.n

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        if self.n == 1:
            return network
        return nn.parallel.DistributedDataParallel(
            network, device_ids=[self.device.index] if self.device.type == "cuda" else None
        )

    def total(self, numbers: Sequence[float]) -> list[float]:
        """Each number summed over the processes, in float64."""
        if self.n == 1:
            return list(numbers)
        return self.total_of(torch.tensor(numbers, dtype=torch.float64)).tolist()

    def total_of(self, tensor: Tensor) -> Tensor:
        if self.n == 1:
            return tensor
        summed = tensor.to(self.device)
        dist.all_reduce(summed)
        return summed.to(tensor.device)

    def wait(self) -> None:
        """Until every process is here."""
        if self.n > 1:
            self.total([0.0])


@contextmanager
def processes(device: str = "auto") -> Iterator[Processes]:
    """The group that `torchrun` set up in the environment, or one process. device: cpu, cuda, cuda:N or auto."""
    n, rank, local = (
        int(os.environ.get(key, default)) for key, default in (("WORLD_SIZE", 1), ("RANK", 0), ("LOCAL_RANK", 0))
    )
    chosen = _device(device, local if n > 1 else None)
    if n == 1:
        yield Processes(0, 1, chosen)
        return
    # Decoding a large data set for the first time takes one process hours, for which the others wait.
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=timedelta(hours=12))
    try:
        yield Processes(rank, n, chosen)
    finally:
        dist.destroy_process_group()


def _device(wanted: str, local_rank: int | None) -> torch.device:
    device = torch.device(usable_device(wanted))
    if device.type == "cuda":
        index = local_rank if local_rank is not None else device.index or 0
        device = torch.device(usable_device(f"cuda:{index}"))
        torch.cuda.set_device(device)
    return device

"""One or several processes that train together, started by `torchrun` or by `--processes`.

    with processes("auto") as group:
        network = group.wrap(network)              # gradients are averaged; alone: the network itself
        n_correct = group.total([n_correct])[0]    # summed over the processes

Each process takes an equal part of every batch and sees the images that one process alone would have seen; gradients
are those of the whole batch. Batch normalisation uses the statistics of a process's own part, so that a network whose
batch normalisation is trained ends in other weights than with one process; process 0's running statistics are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from data_prep.common.processes import Group, joined

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Processes(Group):
    """A group that trains."""

    device: torch.device = CPU

    def wrap(self, network: nn.Module) -> nn.Module:
        if self.n == 1:
            return network
        return nn.parallel.DistributedDataParallel(
            network, device_ids=[self.device.index] if self.device.type == "cuda" else None
        )

    def total_of(self, tensor: Tensor) -> Tensor:
        """The sum over the processes, where the tensor is."""
        return torch.from_numpy(self.total(tensor.cpu().numpy())).to(tensor.device)


@contextmanager
def processes(device: str = "auto") -> Iterator[Processes]:
    """The group that the environment tells of, or one process. device: cpu, cuda, cuda:N or auto."""
    with joined(device) as group:
        chosen = torch.device(group.device)
        if chosen.type == "cuda":
            chosen = torch.device("cuda", chosen.index or 0)  # `set_device` refuses one without a number
            torch.cuda.set_device(chosen)
        yield Processes(group.rank, group.n, chosen)

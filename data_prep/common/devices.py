"""The device that a command computes on, and how many CPUs it may use.

device = usable_device("auto")            # "cuda" or "cpu"
n = usable_cpus()

Imports torch when it is called, not before, so that `--help` need not wait for it.
"""

from __future__ import annotations

import os
from pathlib import Path

from data_prep.common.errors import UserError

CONTROL_GROUPS = Path("/sys/fs/cgroup")
ALLOWED = "cpu, cuda, cuda:N, mps or auto"


def usable_device(wanted: str) -> str:
    """`wanted` where PyTorch can use it; "auto" becomes "cuda" or "cpu", whichever there is. Raises `UserError`."""
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise UserError(f"The device is {wanted!r}; it must be {ALLOWED}.") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise UserError(f"The device is {wanted!r}; it must be {ALLOWED}.")
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        raise UserError(
            f"The device is {wanted!r}, but PyTorch sees {torch.cuda.device_count()} CUDA devices: use cpu, or auto."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"The device is {wanted!r}, but PyTorch sees none here: use cpu, or auto.")
    return wanted


def is_cuda(device: str) -> bool:
    """Whether it is an NVIDIA GPU: other GPUs have no float64.

    >>> is_cuda("cuda:1"), is_cuda("mps"), is_cuda("cpu")
    (True, False, False)
    """
    return device.partition(":")[0] == "cuda"


def free_memory(device: str) -> int:
    """Bytes of a CUDA device's memory that nobody uses."""
    import torch

    return int(torch.cuda.mem_get_info(device)[0])


def usable_cpus() -> int:
    """The CPUs that this process may use: its affinity, the quota of its control group where there is one, and its part of
    these where it works as one of several on this machine."""
    try:
        n = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        n = os.cpu_count() or 1
    return max(1, min(n, *_quotas()) // _together())


def _together() -> int:
    """How many processes work together on this machine, by what `torchrun` and `processes.start_processes` tell each."""
    word = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, int(word)) if word.isdigit() else 1


def _quotas() -> list[int]:
    """Whole CPUs that control groups (version 2 and 1) leave to this process; at least one large number."""
    found = [2**16]
    for of_quota, of_period in (("cpu.max", None), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = (CONTROL_GROUPS / of_quota).read_text().split()
            period = words[1] if of_period is None else (CONTROL_GROUPS / of_period).read_text()
            if words[0] not in ("max", "-1"):
                found.append(max(1, int(words[0]) // int(period)))
        except (OSError, ValueError, IndexError, ZeroDivisionError):
            continue
    return found

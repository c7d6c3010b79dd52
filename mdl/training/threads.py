"""How many threads a process computes with.

    with on_threads(THREADS):
        train()

PyTorch shares every small convolution among all cores by default, and its threads wait for each other at each, spinning. Two
threads on two cores, beside other work, took 9 to 17 times as long as one for steps of a small ResNet-26 (width 16, 64 images of
32 px), and 14 to 22 times the CPU seconds. On one thread results do not depend on the number of cores either. More cores are
better used by several processes, each with one thread.

Imports torch when it is used, not before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from data_prep.common.errors import check_range

THREADS = 1
"""Of each process that trains or evaluates, if no other number is asked for."""


@contextmanager
def on_threads(n: int) -> Iterator[None]:
    """PyTorch computes on `n` threads of the CPU in the `with` block, and on as many as before afterwards."""
    import torch

    check_range("`threads`", n, 1, 2**10)
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)

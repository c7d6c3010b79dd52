"""Do copies of a network keep out of each other's way?

    fault = fault_beside(looks, models, image, threads)     # "" where they do

A copy has what modules hold, but not what they reach: a dict of the user's file, the network itself by way of a lambda. Copies
that share such a thing would mix up their images, and only now and then. So all look at once, every other one at another image,
and wait for each other before and after every module: what one puts into a shared place, another overwrites before it is read.
What is handed on without a module in between, or to a later batch, is not seen.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress

import torch
from torch import Tensor, nn

from data_prep.common.errors import reason
from dissect.taps import Look

_PATIENCE = 10.0
"""Seconds to wait for the others: where a network holds a lock, they would wait forever."""


def fault_beside(looks: Sequence[Look], models: Sequence[nn.Module], image: Tensor, threads: ThreadPoolExecutor) -> str:
    """Why the models cannot be used beside each other, in words; "" where nothing speaks against it.

    looks: of each of the models, the first of which is the network itself. image: (1, C, H, W). threads: one for each.
    """
    shown = (image, image.flip(-1))
    try:
        alone = [looks[0](each) for each in shown]
        with _in_step(models) as barrier:

            def look_in_step(n: int) -> Mapping[str, Tensor]:
                try:
                    return looks[n](shown[n % 2])
                finally:
                    barrier.abort()  # the others need not wait for this one any longer

            futures = [threads.submit(look_in_step, n) for n in range(len(looks))]
            wait(futures)  # all of them, where one fails too: nobody looks any longer afterwards
        beside = [future.result() for future in futures]
    except Exception as error:  # whatever a network of the user's own may raise
        return f"a copy of it fails ({reason(error)})"
    same = all(_same(alone[n % 2], maps) for n, maps in enumerate(beside))
    return "" if same else "copies of it beside each other give other activations"


@contextmanager
def _in_step(models: Sequence[nn.Module]) -> Iterator[threading.Barrier]:
    barrier = threading.Barrier(len(models), timeout=_PATIENCE)

    def meet(*_call: object) -> None:
        with suppress(threading.BrokenBarrierError):
            barrier.wait()

    modules = [m for model in models for m in model.modules() if not isinstance(m, torch.jit.ScriptModule)]
    handles = [module.register_forward_pre_hook(meet) for module in modules]
    handles += [module.register_forward_hook(meet) for module in modules]
    try:
        yield barrier
    finally:
        for handle in handles:
            handle.remove()


def _same(maps: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(maps[layer].nan_to_num(), others[layer].nan_to_num()) for layer in maps)

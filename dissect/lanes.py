"""Lanes: batches are computed beside each other, each on one thread, so that no thread waits for another.

    with look_in_lanes(model, ["layer4"], n_lanes=2) as look_at:
        for batch, maps in look_at(batches, lambda look, batch: look(batch)):    # in the order of the batches
            ...

PyTorch shares one small convolution among all cores by default, and its threads wait for each other at each: on a busy machine,
or one with many cores, most of the time goes into waiting. A lane never waits, and what one thread computes does not depend on
how many there are: maps are the same bits for any number of lanes, on any number of cores.

Each lane has a network of its own that shares the parameters, since a network may keep things in itself during a forward pass.
What it keeps elsewhere, the copies share: a network with hooks, or whose copies get into each other's way (`in_step`), computes
in one lane.
"""

from __future__ import annotations

import copy
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from typing import Protocol, TypeVar

import torch
from torch import nn

from dissect.in_step import fault_beside
from dissect.layouts import Layout
from dissect.steadiness import SteadyLook
from dissect.taps import Look, Passes, tap_layers

Item = TypeVar("Item")
Seen = TypeVar("Seen")


class LookAt(Protocol):
    """`work(look, batch)` for each batch, in their order."""

    def __call__(self, batches: Iterable[Item], work: Callable[[Look, Item], Seen]) -> Iterator[tuple[Item, Seen]]: ...


_log = logging.getLogger(__name__)


@contextmanager
def look_in_lanes(
    model: nn.Module,
    layers: Sequence[str],
    layouts: Mapping[str, Layout] | None = None,
    *,
    n_lanes: int,
    allow_varying: bool = False,
) -> Iterator[tuple[LookAt, SteadyLook]]:
    """Tap `layers` as `taps.tap_layers` does, in `n_lanes` lanes; yields the function above, and what is known of steadiness.

    The first batch is computed alone, and looked at again (`steadiness`, `in_step`). At most twice as many batches as lanes are
    ahead of the one that comes next. An error, of the network or of the batches, is raised at the place of its batch, after those
    before it.
    One lane is the caller's own thread: on a GPU another one would have to plan each convolution again, which takes seconds.
    """
    with ExitStack() as stack:
        models = [model, *_siblings(model, n_lanes - 1)]
        passes = Passes()
        first, *others = (stack.enter_context(tap_layers(one, layers, layouts, passes)) for one in models)
        steady = SteadyLook(first, allow_varying=allow_varying)
        looks: list[Look] = [steady, *others]
        proven = False
        # A lane that is done early goes on with the next batch while the caller is busy with the one before.
        ahead = 2 * len(models)
        threads = stack.enter_context(
            ThreadPoolExecutor(len(models), "lane", initializer=torch.set_num_threads, initargs=(1,))
        )

        def prove() -> None:
            nonlocal proven
            if not proven and len(looks) > 1 and steady.example is not None:
                if fault := fault_beside(looks, models, steady.example, threads):
                    _log.warning("The network computes in one lane: %s.", fault)
                    del looks[1:]
                proven = True

        def look_at(batches: Iterable[Item], work: Callable[[Look, Item], Seen]) -> Iterator[tuple[Item, Seen]]:
            free: SimpleQueue[Look] = SimpleQueue()

            def in_a_lane(batch: Item) -> Seen:
                look = free.get()
                try:
                    return work(look, batch)
                finally:
                    free.put(look)

            coming: deque[tuple[Item, Future[Seen]]] = deque()
            batches, broken = iter(batches), None
            for batch in batches:
                seen = work(steady, batch)
                prove()
                yield batch, seen
                if len(looks) > 1:
                    break  # the others in lanes
            for look in looks:
                free.put(look)
            while True:
                while broken is None and len(coming) < ahead:
                    try:
                        batch = next(batches)
                    except StopIteration:
                        break
                    except Exception as error:
                        broken = error
                        break
                    coming.append((batch, threads.submit(in_a_lane, batch)))
                if not coming:
                    break
                batch, future = coming.popleft()
                yield batch, future.result()
            if broken is not None:
                raise broken

        try:
            yield look_at, steady
        finally:
            threads.shutdown(wait=True, cancel_futures=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch computes on one thread in the `with` block, and on as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _siblings(model: nn.Module, n: int) -> list[nn.Module]:
    """Further networks with the very parameters of this one; none where it cannot be copied, which is told."""
    if n and any(module._forward_hooks or module._forward_pre_hooks for module in model.modules()):
        _log.warning("The network has hooks, which copies of it would share, so it computes in one lane.")
        return []
    try:
        return [copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()}) for _ in range(n)]
    except Exception as error:  # whatever a network of the user's own may raise
        _log.warning("The network cannot be copied (%s), so it computes in one lane.", error)
        return []

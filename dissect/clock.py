"""Seconds by stage.

clock = Clock()
with clock("forward"):
    ...
for batch in clock.iterate("read", batches):        # the time spent waiting for each
    ...
clock.seconds                                       # {"read": 1.2, "forward": 3.4}
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Clock:
    """`seconds`: the time spent in each stage so far, added up over all visits to it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def iterate(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """`items`, with the time spent waiting for each of them counted under `stage`."""
        iterator = iter(items)
        while True:
            with self(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

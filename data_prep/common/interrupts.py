"""Long work that is saved now and then, and stops where what was done can be saved.

pace = Pace(every=30)
with held_back() as asked_to_stop:
    for batch in batches:
        ...
        if pace.is_due() or asked_to_stop.is_set():
            with pace.timed():
                save()
        if asked_to_stop.is_set():
            raise KeyboardInterrupt
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LEAST_WORK = 50
"""Work between two savings, in times of what the last one took: at most 2 % of the time goes into them."""

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name))


class Pace:
    """When to save next: `every` so many seconds, or later where saving takes long (`LEAST_WORK`)."""

    def __init__(self, every: float) -> None:
        self.every = every
        self._ended, self._took = time.monotonic(), 0.0

    def is_due(self, every: float | None = None) -> bool:
        """Whether it is time. every: seconds for this once, such as 0 where work is at a good place to be saved."""
        least = self.every if every is None else every
        return time.monotonic() - self._ended >= max(least, LEAST_WORK * self._took)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Saving happens in the `with` block."""
        started = time.monotonic()
        yield
        self._ended = time.monotonic()
        self._took = self._ended - started


@contextmanager
def held_back(asked_to_stop: threading.Event | None = None) -> Iterator[threading.Event]:
    """A signal that ends work only sets the event, in the `with` block; a second one raises `KeyboardInterrupt` at once.

    A signal that is ignored, as `nohup` has one, stays ignored. Only the main thread may handle signals; in another one nothing
    is held back.
    """
    asked = asked_to_stop or threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(_signal: int, _frame: object) -> None:
        if asked.is_set():
            asked.clear()
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.getsignal(number) for number in SIGNALS}
    heard = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    for number in heard:
        signal.signal(number, note)
    try:
        yield asked
    finally:
        for number in heard:
            signal.signal(number, before[number])

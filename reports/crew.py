"""Other processes that draw figures and read images while this one does the rest of a report.

    with Crew(n_helpers=1) as crew:
        tasks = [crew.submit(render, figure) for figure in figures]
        table = ...                                  # meanwhile the helper draws
        files = [crew.result(task) for task in tasks]

Whoever waits for a result works as well: what no helper has begun is done here, newest first, and so is all of it where there
is no helper, where one dies, or where a task cannot travel. Only the time it takes depends on the helpers.

A helper is a fresh interpreter: neither a copy of a process that has threads, nor one that runs the caller's script again, as
`multiprocessing` would. Functions and arguments travel by name and by value over a socket that only the two have.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Condition, Thread
from typing import Any, Generic, TypeVar

from data_prep.common.devices import usable_cpus

Result = TypeVar("Result")

MAX_HELPERS = 3
WORTH_HELP = 1000
"""Units or images of a report that helpers make faster."""


@dataclass(eq=False)
class Task(Generic[Result]):
    """A call and, once it is `done`, its result."""

    function: Callable[..., Result]
    arguments: tuple[Any, ...]
    may_travel: bool = True
    done: bool = False
    result: Result | None = None


class Crew:
    """Tasks, and the helpers that take them from the front while the caller takes them from the back."""

    def __init__(self, n_helpers: int) -> None:
        self._waiting: deque[Task[Any]] = deque()
        self._changed = Condition()
        self._closed = False
        self._helpers: list[subprocess.Popen[bytes]] = []
        self._threads: list[Thread] = []
        for _ in range(n_helpers if os.name == "posix" and sys.executable else 0):
            self._start()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for helper in self._helpers:
            helper.kill()
        for thread in self._threads:
            thread.join()
        for helper in self._helpers:
            helper.wait()

    def submit(self, function: Callable[..., Result], *arguments: Any, may_travel: bool = True) -> Task[Result]:
        """A task that some helper or the caller will do. may_travel: whether a helper may; see the module."""
        task = Task(function, arguments, may_travel)
        with self._changed:
            self._waiting.append(task)
            self._changed.notify_all()
        return task

    def result(self, task: Task[Result]) -> Result:
        """The result of a task, or the error that it raised. Does other tasks until it is there."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: task.done or self._waiting)
                if task.done:
                    return task.result  # type: ignore[return-value]  # it is there once the task is done
                mine = self._waiting.pop()
            self._finish(mine, mine.function(*mine.arguments))

    def _start(self) -> None:
        ours, theirs = Pipe()
        code = f"import sys; sys.path[:] = {sys.path!r}; from reports.crew import serve; serve({theirs.fileno()})"
        with theirs:
            try:
                helper = subprocess.Popen(
                    [sys.executable, "-c", code],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
            except OSError:
                ours.close()
                return
        self._helpers.append(helper)
        self._threads.append(Thread(target=self._employ, args=(ours,), daemon=True))
        self._threads[-1].start()

    def _employ(self, helper: Connection) -> None:
        """Give one helper tasks, once it is ready, until there are no more or it fails."""
        with helper:
            try:
                helper.recv()
            except (EOFError, OSError):
                return
            while (task := self._next()) is not None:
                try:
                    helper.send((task.function, task.arguments))
                    fit, result = helper.recv()
                except (
                    Exception
                ):  # the helper is gone, or something cannot travel; if more is wrong, doing it here tells
                    self._give_back(task)
                    return
                if fit:
                    self._finish(task, result)
                else:
                    self._give_back(task)

    def _next(self) -> Task[Any] | None:
        with self._changed:
            while not self._closed:
                for task in self._waiting:
                    if task.may_travel:
                        self._waiting.remove(task)
                        return task
                self._changed.wait()
        return None

    def _finish(self, task: Task[Any], result: Any) -> None:
        with self._changed:
            task.result, task.done = result, True
            self._changed.notify_all()

    def _give_back(self, task: Task[Any]) -> None:
        with self._changed:
            task.may_travel = False
            self._waiting.append(task)
            self._changed.notify_all()


def serve(descriptor: int) -> None:
    """The helper's side: do what comes in until the other side is gone."""
    gc.disable()  # as `without_collection` says, and this process is soon over
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the caller decides
    import reports.style  # noqa: F401  # most tasks need it; who is not ready gets none

    with Connection(descriptor) as caller:
        caller.send("ready")
        while True:
            try:
                function, arguments = caller.recv()
            except EOFError:
                return
            except Exception:  # it names something that only the caller has
                caller.send((False, None))
                continue
            try:
                caller.send((True, function(*arguments)))
            except Exception:  # the caller does it again and sees
                caller.send((False, None))


@contextmanager
def without_collection() -> Iterator[None]:
    """No search for garbage meanwhile: a figure is many objects that all stay, and searching them takes a tenth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def helpers_worth_starting(n_units: int, n_images: int) -> int:
    """How many helpers a report of that size should have here and now.

    None where they would hardly be ready before it is done, and none in place of a processor that others use: a helper costs
    a second of computing, which only a processor that is free gives for nothing.
    """
    if max(n_units, n_images) < WORTH_HELP:
        return 0
    return min(MAX_HELPERS, max(0, usable_cpus() - _n_running()))


def _n_running() -> int:
    """How many threads of all processes compute at this moment, this one included; 1 where the system does not say."""
    try:
        return max(1, int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].split("/")[0]))
    except (OSError, ValueError, IndexError):
        return 1

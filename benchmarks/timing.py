"""Time a command as a process of its own: wall and CPU seconds, peak memory, and what it says of itself.

    took = timed(["python", "benchmarks/work.py", "bare", "--lanes", "2"])
    took.cpu                                  # user and system seconds, of the process and of those that it waited for
    with spinning(8) as spinners:             # beside eight processes that only spin
        took = timed(command)
    spinners.cpu                              # what these took meanwhile

CPU seconds count what was computed, whoever else uses the machine: they vary by a few per cent where wall seconds double.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Timed:
    """wall, cpu: seconds from start to end. peak_bytes: of memory. said: the JSON of the last line that it printed."""

    wall: float
    cpu: float
    peak_bytes: int
    said: dict[str, Any]


def timed(command: Sequence[str], environment: Mapping[str, str | None] | None = None) -> Timed:
    """Run the command to its end. environment: variables to set, or with None to unset. Ends this process where it fails."""
    variables = dict(os.environ)
    for name, value in (environment or {}).items():
        variables.pop(name, None)
        variables |= {} if value is None else {name: value}
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    said = json.loads(printed.splitlines()[-1])
    return Timed(wall=wall, cpu=used.ru_utime + used.ru_stime, peak_bytes=used.ru_maxrss * unit, said=said)


@dataclass
class Spinners:
    """cpu: seconds that they took together, once they have ended."""

    n: int
    cpu: float = 0.0


@contextmanager
def spinning(n: int) -> Iterator[Spinners]:
    """`n` processes that spin, in the `with` block."""
    spinners = Spinners(n)
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield spinners
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            spinners.cpu += used.ru_utime + used.ru_stime


def median(values: Sequence[float]) -> float:
    """The median, and for nothing at all nothing.

    >>> median([3, 1, 2]), median([])
    (2, 0.0)
    """
    return statistics.median(values) if values else 0.0


def in_turn(rounds: int, **works: Callable[[], Timed]) -> dict[str, list[Timed]]:
    """Each work once a round, one after the other, so that a machine that drifts favours none."""
    took: dict[str, list[Timed]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            took[name].append(work())
    return took

"""Start a command in several processes that work as one (see `processes`), and say once what went wrong.

    if (status := start_processes(n, "dissect", args)) is not None:
        return status                                # this was the parent, which has waited for them

What `torchrun` does, without its words: each process finds in its environment which it is, of how many. One that ends before its
time ends them all, and one sentence says why.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from data_prep.common.devices import usable_cpus
from data_prep.common.errors import UserError, check_range

MOST_PROCESSES = 256

PATIENCE = 60.0
"""Seconds that the others have to save their work once one process has ended."""

LAUNCHER = "DISSECT_LAUNCHER"
"""The variable that tells a process who started it: the parent's number, and the file for its last words."""

LOST = "Another process of this run has ended, and says itself why: give the same command again, which resumes."
"""The last words of a process that found itself left by another one: they are no cause."""


def in_group() -> bool:
    """Whether `torchrun`, or a parent, started this process as one of several."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", 1)) > 1


def last_words(sentence: str) -> None:
    """Say why this process ends: to the parent that started it, which says it for all, else on standard error."""
    _, _, file = os.environ.get(LAUNCHER, "").partition(" ")
    with suppress(OSError):
        if file:
            Path(file).write_text(f"{sentence}\n", encoding="utf-8")
            return
    print(sentence, file=sys.stderr)


def start_processes(n: int, module: str, args: Sequence[str]) -> int | None:
    """Run `python -m MODULE ARGS` in `n` processes that make a group, and wait for them: the exit status of the command. None
    where this process is to do the work itself: `n` is 1, or it is one of the group.

    The first process has the terminal. Signals are passed on. Where one ends with an error, the others are ended too, and its
    last words are said. Raises `UserError` where one ended without any.
    """
    check_range("`processes`", n, 1, MOST_PROCESSES)
    if in_group():
        if n not in (1, int(os.environ["WORLD_SIZE"])):
            raise UserError(
                f"`processes` is {n}, and {os.environ['WORLD_SIZE']} were started together already: leave it out."
            )
        return None
    if n == 1:
        return None
    with TemporaryDirectory(prefix="processes-") as folder:
        children = _Children(n, [sys.executable, "-m", module, *args], Path(folder))
        with children.hear_signals():
            cause = children.wait()
        return 0 if cause is None else children.tell(cause)


def follow_parent() -> None:
    """Ask this process to end, as Ctrl-C does, when the parent that started it is no more."""
    parent, _, _ = os.environ.get(LAUNCHER, "").partition(" ")
    if not parent:
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


class _Children:
    """Of the process `rank`, the folder takes `words-RANK`, its last words, and `said-RANK`, the standard error of all but the
    first."""

    def __init__(self, n: int, argv: Sequence[str], folder: Path) -> None:
        self.folder, self.signalled = folder, False
        shared = _environment(n)
        self.processes = []
        try:
            for rank in range(n):
                own = {"RANK": rank, "LOCAL_RANK": rank, LAUNCHER: f"{os.getpid()} {folder / f'words-{rank}'}"}
                with (folder / f"said-{rank}").open("wb") as said:
                    self.processes.append(
                        subprocess.Popen(
                            argv,
                            env=shared | {key: str(value) for key, value in own.items()},
                            stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL if rank else None,
                            stderr=said if rank else None,
                            start_new_session=True,  # a terminal's Ctrl-C reaches them once, from here
                        )
                    )
        except BaseException:
            self._signal(signal.SIGKILL)
            raise

    @contextmanager
    def hear_signals(self) -> Iterator[None]:
        """What asks this process to end is passed on to the children, on whom it then waits."""

        def pass_on(number: int, _frame: object) -> None:
            self.signalled = True
            self._signal(number)

        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
        before = {number: signal.getsignal(number) for name in names if (number := getattr(signal, name, None))}
        heard = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
        for number in heard:
            signal.signal(number, pass_on)
        try:
            yield
        finally:
            for number in heard:
                signal.signal(number, before[number])

    def wait(self) -> int | None:
        """Until all have ended; the rank of the one that ended them, None where all did what they should."""
        cause, deadline = None, float("inf")
        while any(process.poll() is None for process in self.processes):
            failed = [rank for rank, process in enumerate(self.processes) if process.poll()]
            if cause is None and failed:
                deadline = min(deadline, time.monotonic() + PATIENCE)
                cause = next((rank for rank in failed if self._words(rank) != LOST), None)
                if cause is not None and not self.signalled:
                    self._signal(signal.SIGTERM)
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
            time.sleep(0.05)
        failed = [rank for rank, process in enumerate(self.processes) if process.returncode]
        if cause is None and failed:
            cause = next((rank for rank in failed if self._words(rank) != LOST), failed[0])
        return cause

    def tell(self, rank: int) -> int:
        """Say why the process of this rank ended, and with it all; the exit status."""
        status = self.processes[rank].returncode
        if words := self._words(rank, whole=True):
            print(words, file=sys.stderr)
            return status if status > 0 else 2
        if self.signalled:
            raise KeyboardInterrupt
        if status > 0:
            said = (self.folder / f"said-{rank}").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            how = f"with status {status} ({said[-1][:300] if said else 'as said above'})"
        else:
            how = f"by {_signal_name(-status)}"
        raise UserError(
            f"Process {rank} of {len(self.processes)} was ended {how}, and the others with it: give the same command again, "
            f"which resumes."
        )

    def _words(self, rank: int, *, whole: bool = False) -> str:
        try:
            words = (self.folder / f"words-{rank}").read_text(encoding="utf-8").strip()
        except OSError:
            return ""
        return words if whole else words.removeprefix("error: ")

    def _signal(self, number: int) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(number)


def _environment(n: int) -> dict[str, str]:
    """What `torchrun` would set on one machine; CPUs are shared out."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(n), "LOCAL_WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    chosen = {"OMP_NUM_THREADS": str(max(usable_cpus() // n, 1))}
    inside = {name for _, name in socket.if_nameindex()} & {"lo", "lo0"}
    if inside:
        chosen["GLOO_SOCKET_IFNAME"] = inside.pop()  # what they tell each other stays on this machine
    return chosen | dict(os.environ) | shared


def _signal_name(number: int) -> str:
    if number == signal.SIGKILL:
        return "SIGKILL, as where memory runs out"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

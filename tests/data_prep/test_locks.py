"""One process at a time in a folder, and a killed one never in the way."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from data_prep.common import locks
from data_prep.common.locks import LOCK_FILE, LockedError, locked

HOLDER = """
import sys, time
from pathlib import Path
from data_prep.common.locks import locked
with locked(Path(sys.argv[1]), "a run"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """A process of its own that holds the lock of `tmp_path / "mine"`."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "mine")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_is_told_who_works_there(holder, tmp_path: Path) -> None:
    host = re.escape(socket.gethostname())
    says = (
        rf"^{re.escape(str(tmp_path))}/mine is in use by process {holder.pid} on {host}, which began a run there at 20\S+: "
        r"wait until it has finished, or give another folder as `out`\.$"
    )
    with pytest.raises(LockedError, match=says), locked(tmp_path / "mine", "a run"):
        pass
    assert (tmp_path / "mine" / LOCK_FILE).exists()


def test_a_killed_owner_is_told_and_taken_over(holder, tmp_path: Path, caplog) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "mine" / LOCK_FILE).exists()
    with locked(tmp_path / "mine", "a recipe"):
        assert json.loads((tmp_path / "mine" / LOCK_FILE).read_text())["pid"] == os.getpid()
    assert f"was left by process {holder.pid}" in caplog.text and "without finishing a run" in caplog.text
    assert not (tmp_path / "mine" / LOCK_FILE).exists()


def test_ends_with_its_block_and_with_its_error(tmp_path: Path, caplog) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), locked(tmp_path, "a run"):
            raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == [] and not caplog.text


def test_two_threads_of_one_process(tmp_path: Path) -> None:
    found: list[BaseException] = []

    def second() -> None:
        try:
            with locked(tmp_path, "a run"):
                pass
        except LockedError as error:
            found.append(error)

    with locked(tmp_path, "a run"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert f"process {os.getpid()} on" in str(found[0])


def _sleep(ready) -> None:
    ready.set()
    threading.Event().wait(60)


@pytest.mark.skipif(sys.platform != "linux", reason="forked processes are used on Linux only")
def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    with locked(tmp_path, "a run"):
        child = context.Process(target=_sleep, args=(ready,), daemon=True)
        child.start()
        assert ready.wait(30)
    try:
        with locked(tmp_path, "a run"):
            pass
    finally:
        child.kill()
        child.join()


@pytest.mark.parametrize(
    ("host", "pid", "may"), [("here", "own", False), ("here", "gone", True), ("other", "gone", False)]
)
def test_without_locks_of_the_file_system_the_owner_s_word_counts(tmp_path: Path, monkeypatch, host, pid, may) -> None:
    def no_locks(*_args: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    monkeypatch.setattr(locks.fcntl, "flock", no_locks)
    owner = {
        "pid": os.getpid() if pid == "own" else gone.pid,
        "host": socket.gethostname() if host == "here" else "elsewhere",
        "started": "2026-01-02T03:04:05+00:00",
        "what": "a run",
    }
    (tmp_path / LOCK_FILE).write_text(json.dumps(owner))
    if may:
        with locked(tmp_path, "a run"):
            pass
    else:
        with (
            pytest.raises(LockedError, match=r"if that process has ended, delete .*/\.lock\)"),
            locked(tmp_path, "a run"),
        ):
            pass

"""Run folders that two want at once, or that were killed in the middle."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import sentence, stored

from data_prep.common.locks import LOCK_FILE, locked
from dissect import claim
from dissect.run_store import RunFolderError, open_run

OPTIONS = ("--layers", 1, 2, "--quantile", 0.9, "--batch-size", 4)


@pytest.fixture
def killed() -> Callable[..., None]:
    """`killed(call)`: the call in a process of its own, which must be killed on the way."""

    def call(function: Callable[[], object]) -> None:
        pid = os.fork()
        if not pid:
            signal.alarm(120)
            try:
                function()
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL

    return call


def die(*_args: object, **_options: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(function: Callable, number: int) -> Callable:
    """`function`, but its process is killed at the `number`-th call."""
    calls = []

    def wrapped(*args: object, **options: object) -> object:
        calls.append(args)
        return die() if len(calls) == number else function(*args, **options)

    return wrapped


# Two at once

WAITING = """

class Waiting(Small):
    def before(self, x):
        while self.calls > 4 and not (HERE / "stopped").exists():
            time.sleep(0.01)
"""


def test_the_second_run_is_told_at_once_and_changes_nothing(run, out: Path, sixty: Path) -> None:
    with locked(out, "a run"):
        words = sentence(run(*OPTIONS, data=sixty))
        assert words.startswith(f"{out} is in use by process {os.getpid()} on ")
        assert words.endswith("wait until it has finished, or give another folder as --out.")
        assert [path.name for path in out.iterdir()] == [LOCK_FILE]
    assert run(*OPTIONS, data=sixty).status == 0
    assert not (out / LOCK_FILE).exists()


def test_two_processes_at_once(run, dissect, nets: str, sixty: Path, out: Path, tmp_path: Path) -> None:
    """The one gives the numbers of a run alone; the other is told."""
    with Path(nets).open("a") as file:
        file.write(WAITING)
    args = [
        "run",
        f"{nets}:Waiting",
        "--data",
        str(sixty),
        "--out",
        str(out),
        "--layers",
        "1",
        "2",
        "--memory",
        "0.0005",
    ]
    command = [sys.executable, "-m", "dissect.cli", *args, "--batch-size"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "7"], **pipes) as first:
        until = time.monotonic() + 240
        while not (out / LOCK_FILE).exists():
            assert first.poll() is None and time.monotonic() < until, first.communicate()
            time.sleep(0.01)
        second = dissect(*args, "--batch-size", 4)
        (tmp_path / "stopped").touch()
        err = first.communicate(timeout=240)[1]
    assert first.returncode == 0, err
    assert second.status == 2 and f"is in use by process {first.pid} on" in second.err
    options = ("--layers", 1, 2, "--batch-size", 5)
    assert run(*options, data=sixty, network="Waiting", out=tmp_path / "alone").status == 0
    assert stored(out) == stored(tmp_path / "alone")


def test_a_finished_run_opens_where_nothing_can_be_written(run, out: Path, monkeypatch) -> None:
    run(*OPTIONS)
    monkeypatch.setattr("dissect.pipeline.locked", lambda *_: 1 // 0)
    assert "already finished" in run(*OPTIONS).out


def test_images_that_come_back_twice_are_told(run, out: Path, sixty: Path, monkeypatch) -> None:
    from dissect.candidates import Candidates

    real = Candidates.batches
    monkeypatch.setattr(Candidates, "batches", lambda self, t, after: [*real(self, t, after), *list(real(self, t))[:1]])
    words = sentence(run(*OPTIONS, data=sixty), out)
    assert "came back twice, so the files of the run were changed while it was at work" in words


# Killed in the middle


@pytest.mark.parametrize(("call", "number"), [*(("unlink", n) for n in range(2, 11)), ("rmtree", 1), ("rmtree", 2)])
def test_killed_while_overwriting(run, out: Path, tmp_path: Path, monkeypatch, killed, call: str, number: int) -> None:
    """Whatever of the old run is gone by then: it is no result, it says whose it is, and the same command repairs it."""
    run(*OPTIONS, out=tmp_path / "whole")
    run("--layers", 1)
    with monkeypatch.context() as patch:
        owner = Path if call == "unlink" else shutil
        patch.setattr(owner, call, at_call(getattr(owner, call), number))
        killed(lambda: run(*OPTIONS, "--overwrite"))
    assert not (out / "DONE").exists() and (out / "run.json").exists()
    with pytest.raises(RunFolderError, match="is not finished"):
        open_run(out)
    assert run(*OPTIONS, "--overwrite").status == 0
    assert stored(out) == stored(tmp_path / "whole")


@pytest.mark.parametrize("number", [1, 2, 4, 6, 9])
def test_killed_while_writing_leaves_nothing_behind(run, out: Path, sixty: Path, tmp_path, monkeypatch, killed, number):
    run(*OPTIONS, data=sixty, out=tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", at_call(os.fsync, number))
        killed(lambda: run(*OPTIONS, "--memory", 0.0005, data=sixty))
    assert list(out.rglob(".*.*")), "a half-written file was to be left"
    assert run(*OPTIONS, "--memory", 0.0005, data=sixty).status == 0
    assert not list(out.rglob(".*")) and stored(out) == stored(tmp_path / "whole")


def test_a_file_of_somebody_else_is_no_leftover(tmp_path: Path) -> None:
    for name in (".git.abcd", ".units.csv.tmp.bak", "units.csv.abcdefgh"):
        (tmp_path / name).touch()
    claim._clean(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3

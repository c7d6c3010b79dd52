"""Ctrl-C at any time: no result, and the same command resumes and ends with the very bytes of a run that nothing interrupted."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from command_line import sentence, stored

from dissect.parallel_tally import ParallelTally
from dissect.resume import resumable

INTERRUPTED = "interrupted: the same command resumes from here.\n"


def press(*_args: object, **_options: object) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def once(function: Callable, action: Callable, call: int) -> Callable:
    """`function`, but the `call`-th call begins with `action`."""
    calls = []

    def wrapped(*args: object, **options: object) -> object:
        calls.append(args)
        if len(calls) == call:
            action()
        return function(*args, **options)

    return wrapped


@pytest.mark.parametrize("stage", ["start-up", "forward", "first tally", "tally", "tables", "report"])
def test_ctrl_c_and_on_again(run, sixty: Path, out: Path, tmp_path: Path, monkeypatch, stage: str) -> None:
    options = ("--layers", 1, 2, "--batch-size", 8)
    factory = {"start-up": "interrupted_while_built", "forward": "Interrupted"}.get(stage, "small")
    assert run(*options, data=sixty, out=tmp_path / "whole").status == 0

    with monkeypatch.context() as patch:
        if stage in ("first tally", "tally"):
            call = 1 if stage == "first tally" else 4
            patch.setattr(ParallelTally, "add", once(ParallelTally.add, press, call))
        elif stage == "tables":
            patch.setattr("dissect.unit_tables.write_tables", press)
        elif stage == "report":
            patch.setattr("reports.page.write_report", press)
        said = run(*options, data=sixty, network=factory)
    assert (said.status, said.err) == (130, INTERRUPTED)
    assert (out / "DONE").exists() == (stage == "report")
    if stage in ("forward", "first tally", "tally"):
        # What was done is kept: the network resumes behind the batches seen.
        assert (out / f"partial/{factory}/checkpoint.npz").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    assert run(*options, data=sixty, network=factory).status == 0
    there, whole = stored(out), stored(tmp_path / "whole")
    if factory != "small":  # the name of the network is in its tables and file names
        there = {k.replace(factory, "small"): v.replace(factory.encode(), b"small") for k, v in there.items()}
    assert there == whole


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT"])
def test_other_signals_save_too(run, sixty: Path, out: Path, tmp_path: Path, monkeypatch, name: str) -> None:
    options = ("--layers", 1, 2, "--batch-size", 8)
    before = signal.getsignal(signal.Signals[name])
    with monkeypatch.context() as patch:
        send = partial(os.kill, os.getpid(), signal.Signals[name])
        patch.setattr(ParallelTally, "add", once(ParallelTally.add, send, 2))
        assert (run(*options, data=sixty).status, (out / "DONE").exists()) == (130, False)
    assert (out / "partial/small/checkpoint.npz").exists() and signal.getsignal(signal.Signals[name]) == before
    assert run(*options, data=sixty).status == run(*options, data=sixty, out=tmp_path / "whole").status == 0
    assert stored(out) == stored(tmp_path / "whole")


@pytest.mark.parametrize("call", [1, 6, 15, 21])
def test_a_disk_that_is_full_for_a_while(run, sixty: Path, out: Path, tmp_path: Path, monkeypatch, call: int) -> None:
    """Whichever file it is that finds no room: candidates, checkpoints, tables."""
    options = ("--layers", 1, 2, "--batch-size", 8, "--memory", 0.0003)
    monkeypatch.setattr("dissect.engine.resumable", lambda folder, every: resumable(folder, every=0))
    monkeypatch.setattr("data_prep.common.interrupts.LEAST_WORK", 0)

    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", once(os.fsync, full, call))
        said = run(*options, data=sixty)
    assert sentence(said, out).startswith(f"The disk of {out} is full: free some space and give the same command again")
    assert run(*options, data=sixty).status == 0
    assert run(*options, data=sixty, out=tmp_path / "whole").status == 0
    assert stored(out) == stored(tmp_path / "whole") and not (out / "partial").exists()


@pytest.mark.parametrize("spill", [0, 1])
def test_batches_of_another_size(run, sixty: Path, out: Path, tmp_path: Path, monkeypatch, caplog, spill: int) -> None:
    """They are as good as those before, but in a second pass, which shows the very batches of the first."""
    options = ("--layers", 1, 2, "--memory", 0.0003, "--spill", spill, "--batch-size")
    with monkeypatch.context() as patch:
        patch.setattr(ParallelTally, "add", once(ParallelTally.add, press, 2))
        assert run(*options, 8, data=sixty).status == 130
    assert run(*options, 4, data=sixty).status == 0
    assert ("its batches have 8 images, not 4" in caplog.text) == (spill == 0)
    assert run(*options, 4, data=sixty, out=tmp_path / "whole").status == 0
    assert stored(out)["images.csv"] == stored(tmp_path / "whole")["images.csv"]
    if spill == 0:
        assert stored(out) == stored(tmp_path / "whole")


def test_a_signal_that_is_ignored_stays_ignored(run, sixty: Path, out: Path, monkeypatch) -> None:
    """As `nohup` has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr(
            ParallelTally, "add", once(ParallelTally.add, partial(os.kill, os.getpid(), signal.SIGHUP), 2)
        )
        assert run("--layers", 1, 2, "--batch-size", 8, data=sixty).status == 0 and (out / "DONE").exists()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
def test_ctrl_c_from_outside(run, nets: str, sixty: Path, out: Path, tmp_path: Path) -> None:
    """The true command in a process of its own, stopped in the middle of a slow network by a true signal."""
    args = ["run", f"{nets}:Slow", "--data", str(sixty), "--out", str(out), "--layers", "1", "2", "--batch-size", "2"]
    args += ["--min-images", "1"]
    command = [sys.executable, "-m", "dissect.cli", *args]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        under_way, patience = tmp_path / "under_way", time.monotonic() + 240
        while not (under_way.exists() and int(under_way.read_text() or 0) > 5):
            assert process.poll() is None and time.monotonic() < patience, process.communicate()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said, err = process.communicate(timeout=240)
    assert (process.returncode, said, err) == (130, "", INTERRUPTED)
    assert not (out / "DONE").exists()
    assert json.loads((out / "run.json").read_text())["command"].startswith("dissect run ")
    with np.load(out / "partial/Slow/checkpoint.npz") as checkpoint:
        assert 0 < checkpoint["n_read"] < 60  # some of the calls looked at layers, or at a batch again

    (tmp_path / "stopped").touch()
    options = ("--layers", 1, 2, "--batch-size", 2)
    assert run(*options, data=sixty, network="Slow").status == 0
    assert run(*options, data=sixty, network="Slow", out=tmp_path / "whole").status == 0
    assert stored(out) == stored(tmp_path / "whole")

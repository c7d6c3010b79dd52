"""Commands started in several processes: who speaks, who is waited for, and what is said when one of them ends too early."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_prep.common.devices import usable_cpus
from data_prep.common.errors import UserError
from data_prep.common.launcher import start_processes

MEMBER = """
import os, signal, sys, time
from pathlib import Path
from data_prep.common.launcher import LOST, follow_parent, last_words

rank, here = os.environ["RANK"], Path(sys.argv[1])
def stop(*_):
    (here / f"saved-{rank}").touch()
    last_words("interrupted: the same command resumes.")
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
follow_parent()
(here / f"environment-{rank}").write_text(" ".join(f"{k}={v}" for k, v in os.environ.items() if " " not in v))
(here / f"pid-{rank}").write_text(str(os.getpid()))
def wait_for(name):
    while not (here / name).exists():
        time.sleep(0.01)
def wait():
    while True:
        time.sleep(0.01)
def wrong(sentence):
    last_words(f"error: {sentence}")
    sys.exit(2)
print("out of", rank)
print("beside of", rank, file=sys.stderr)
sys.stdout.flush()
exec(sys.argv[2 + int(rank)])
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """`start("code of process 0", "code of process 1")`: (status, standard output, standard error)."""
    (tmp_path / "member.py").write_text(MEMBER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def call(*codes: str) -> tuple[int | None, str, str]:
        status = start_processes(len(codes), "member", [str(tmp_path), *codes])
        return status, *capfd.readouterr()

    return call


def test_each_has_its_rank_and_its_cpus_and_the_first_one_speaks(start, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert start("pass", "pass", "pass") == (0, "out of 0\n", "beside of 0\n")
    for rank in range(3):
        told = (tmp_path / f"environment-{rank}").read_text().split()
        assert {f"RANK={rank}", f"LOCAL_RANK={rank}", "WORLD_SIZE=3", "LOCAL_WORLD_SIZE=3"} <= set(told)
        assert f"OMP_NUM_THREADS={max(usable_cpus() // 3, 1)}" in told


def test_cpus_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(9)), raising=False)
    monkeypatch.setattr("data_prep.common.devices._quotas", lambda: [2**16])
    found = []
    for together in ("1", "2", "9", "40", "many"):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", together)
        found.append(usable_cpus())
    assert found == [9, 4, 1, 1, 9]


def test_what_one_could_not_do_is_said_once(start, tmp_path: Path) -> None:
    """The others, which wait for it, save their work; one that lost the other is no cause."""
    status, _, said = start("wait()", "wait_for('pid-0'); wait_for('pid-2'); wrong('the disk is full.')", "wait()")
    assert (status, said) == (2, "beside of 0\nerror: the disk is full.\n")
    assert (tmp_path / "saved-0").exists() and (tmp_path / "saved-2").exists()
    both = "wait_for('pid-1'); wrong('`out` is no folder.')", "wait_for('pid-0'); wrong('`out` is no folder.')"
    assert start(*both)[2].count("error:") == 1
    lost = "wait_for('pid-1'); wrong(LOST)", "wait_for('pid-0'); time.sleep(0.3); wrong('the disk is full.')"
    assert start(*lost)[2] == "beside of 0\nerror: the disk is full.\n"


@pytest.mark.parametrize(
    ("ending", "how"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "by SIGKILL, as where memory runs out"),
        ("1 / 0", "with status 1 (ZeroDivisionError: division by zero)"),
    ],
)
def test_one_that_ends_without_a_word(start, ending: str, how: str) -> None:
    with pytest.raises(UserError) as told:
        start("wait()", f"wait_for('pid-0'); {ending}")
    assert str(told.value) == (
        f"Process 1 of 2 was ended {how}, and the others with it: give the same command again, which resumes."
    )


def parent(tmp_path: Path, *codes: str) -> subprocess.Popen[str]:
    code = (
        "import sys; from data_prep.common.launcher import start_processes as s; sys.exit(s(2, 'member', sys.argv[1:]))"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), *codes], **pipes, text=True)
    patience = time.monotonic() + 60
    while not all((tmp_path / f"pid-{rank}").exists() and (tmp_path / f"pid-{rank}").read_text() for rank in (0, 1)):
        assert started.poll() is None and time.monotonic() < patience
        time.sleep(0.02)
    return started


@pytest.mark.usefixtures("start")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_passed_on_once(tmp_path: Path, number: signal.Signals) -> None:
    with parent(tmp_path, "wait()", "wait()") as started:
        started.send_signal(number)
        said, err = started.communicate(timeout=60)
    assert (started.returncode, said, err) == (
        130,
        "out of 0\n",
        "beside of 0\ninterrupted: the same command resumes.\n",
    )
    assert (tmp_path / "saved-0").exists() and (tmp_path / "saved-1").exists()


@pytest.mark.usefixtures("start")
def test_children_do_not_outlive_their_parent(tmp_path: Path) -> None:
    with parent(tmp_path, "wait()", "wait()") as started:
        started.kill()
    patience = time.monotonic() + 60
    while not ((tmp_path / "saved-0").exists() and (tmp_path / "saved-1").exists()):
        assert time.monotonic() < patience
        time.sleep(0.02)


def test_a_process_that_is_one_of_several_starts_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    assert start_processes(1, "member", []) is None
    with pytest.raises(UserError, match=r"`processes` is 0; it must lie in 1\.\.256\."):
        start_processes(0, "member", [])
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert start_processes(2, "member", []) is None
    with pytest.raises(UserError, match="`processes` is 3, and 2 were started together already"):
        start_processes(3, "member", [])

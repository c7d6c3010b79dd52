"""`kill -9` at any moment: the same call continues, and ends with the bits of a run that nothing happened to."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import stored

import dissect
from data_prep.broden import open_broden
from data_prep.common.terminal import Progress, silent

WAYS = {"memory": (0.5, 1.0), "disk": (0.0003, 1.0), "two passes": (0.0003, 0.0)}
"""GiB of memory and of disk."""


def dissected(way: str, labels: Path, out: Path, nets: str, progress: Progress = silent) -> Path:
    memory, spill = WAYS[way]
    return dissect.run(
        dissect.load_network(f"{nets}:small"), open_broden(labels), out=out, layers=["1", "2"], progress=progress,
        settings=dissect.Settings(quantile=0.9, folds=3, strongest=2),
        execution=dissect.Execution(batch_size=4, memory=memory, spill=spill, checkpoint_every=0.05, workers=2),
    ).path  # fmt: skip


def slowly(stage: str, done: int, total: int) -> None:
    print(stage, done, flush=True)
    time.sleep(0.02)


def start(way: str, labels: Path, out: Path, nets: str) -> subprocess.Popen[str]:
    arguments = [way, *map(str, (labels, out)), nets]
    return subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)


def killed(process: subprocess.Popen[str], after_lines: int, seconds: float) -> list[str]:
    """Kills the run so many lines and seconds after its start; what it said until then."""
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if len(said) > after_lines:
            break
    time.sleep(seconds)
    process.kill()
    process.communicate()
    return said


def check(way: str, moments: list[tuple[int, float]], labels: Path, nets: str, folder: Path) -> None:
    out, reached = folder / "out", []
    for lines, seconds in moments:
        said = killed(start(way, labels, out, nets), lines, seconds)
        reached.append(said[0].split() if said else ["nothing"])
        if (out / "DONE").exists():
            break
    whole = dissected("memory", labels, folder / "whole", nets)
    assert stored(dissected(way, labels, out, nets)) == stored(whole), reached
    assert not (out / "partial").exists()
    assert any(stage != "forward" or int(done) > 4 for stage, done in reached[1:]), f"nothing was resumed: {reached}"


@pytest.mark.usefixtures("one_thread")
def test_killed_twice(sixty: Path, nets: str, tmp_path: Path) -> None:
    check("two passes", [(9, 0.01), (9, 0.01)], sixty, nets, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("way", WAYS)
def test_killed_at_twenty_random_moments(way: str, sixty: Path, nets: str, tmp_path: Path) -> None:
    moment = random.Random(way)
    check(way, [(moment.randrange(7), moment.random() / 20) for _ in range(20)], sixty, nets, tmp_path)


if __name__ == "__main__":
    dissected(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], slowly)

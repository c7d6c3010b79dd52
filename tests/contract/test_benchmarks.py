"""Benchmarks: sets made of others, and the limit on CPU seconds that holds on any machine."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_prep import open_broden

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def scripts_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.parametrize("name", ["timing", "made_sets", "check_cpu_seconds", "scale"])
def test_their_examples_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted and not found.failed


def test_the_page_of_scale_shows_what_its_script_prints() -> None:
    page = (BENCHMARKS.parent / "docs" / "scale.md").read_text(encoding="utf-8")
    assert importlib.import_module("scale").table() in page, (
        "put what `python benchmarks/scale.py` prints into docs/scale.md"
    )


@pytest.mark.parametrize("n_images", [2, 4, 11])
def test_a_made_set_shows_the_images_of_the_other(tiny_broden: Path, tmp_path: Path, n_images: int) -> None:
    made_set = importlib.import_module("made_sets").made_set
    original = open_broden(tiny_broden)
    made = open_broden(made_set(tmp_path / "made", data=tiny_broden, n_images=n_images))
    assert len({image.name for image in made.images}) == n_images and made.concepts == original.concepts
    numbers = [0, 2] if n_images == 2 else [n % 4 for n in range(n_images)]
    for k, n in enumerate(numbers):
        assert made.images[k].path.read_bytes() == original.images[n].path.read_bytes()
        ours, theirs = made.read_labels(k), original.read_labels(n)
        assert np.array_equal(ours.planes, theirs.planes) and np.array_equal(ours.whole_image, theirs.whole_image)


def test_a_command_is_timed_with_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = importlib.import_module("timing").timed
    monkeypatch.setenv("GIVEN", "1")
    script = (
        "import os, time; sum(range(10**7)); time.sleep(0.3); print('{\"given\":', int('GIVEN' in os.environ), '}')"
    )
    took = timed([sys.executable, "-c", script], {"GIVEN": None})
    assert (
        took.said == {"given": 0} and took.wall > took.cpu + 0.2 and took.cpu > 0.05 and 2**20 < took.peak_bytes < 2**30
    )
    with pytest.raises(SystemExit, match="ended with 3"):
        timed([sys.executable, "-c", "raise SystemExit(3)"])


@pytest.mark.slow
def test_a_run_takes_few_cpu_seconds_more_than_a_forward_pass_and_its_share_of_a_busy_machine() -> None:
    command = [sys.executable, BENCHMARKS / "check_cpu_seconds.py", "--n-images", "800"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

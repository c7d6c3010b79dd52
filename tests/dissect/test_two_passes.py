"""Maps kept in memory, kept on disk, or computed a second time: the same bits; what a second look may not find."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import stored
from torch import nn

import dissect
from data_prep.broden import open_broden
from data_prep.common.errors import UserError
from dissect import engine
from dissect.disk_estimate import DiskEstimate
from dissect.layers import Layer
from dissect.layouts import Layout
from dissect.settings import Execution, Settings
from dissect.thresholds import UpperTail

TIGHT = 0.0003
"""GiB of memory: so little that candidates go to files, where these are allowed."""


class Changing(nn.Module):
    """Answers otherwise once it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.more = nn.Conv2d(3, 4, 3, padding=1), 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x + self.more)


def network(model: nn.Module | None = None) -> dissect.Network:
    torch.manual_seed(0)
    model = model or nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 1))
    return dissect.Network(name="net", model=model, input_size=(16, 16))


def run(labels: Path, out: Path, model: nn.Module | None = None, **execution: object) -> dissect.Run:
    return dissect.run(
        network(model), open_broden(labels), out=out, layers="*", settings=Settings(quantile=0.9, folds=3, strongest=2, null=2),
        execution=Execution(batch_size=4, **execution),  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.usefixtures("one_thread")
def test_in_memory_on_disk_and_in_two_passes(sixty: Path, tmp_path: Path, caplog) -> None:
    ways = {
        "memory": run(sixty, tmp_path / "memory"),
        "disk": run(sixty, tmp_path / "disk", memory=TIGHT),
        "two passes": run(sixty, tmp_path / "two", memory=TIGHT, spill=0),
        "two passes, one lane": run(sixty, tmp_path / "one", memory=TIGHT, spill=0, workers=1),
    }
    results = {way: stored(done.path) for way, done in ways.items()}
    assert all(result == results["memory"] for result in results.values())
    assert [way for way, done in ways.items() if "forward again" in done.info["timings"]["net"]] == list(ways)[2:]
    assert caplog.text.count("is shown the images a second time instead") == 2


@pytest.mark.usefixtures("one_thread")
def test_unusable_images_are_left_out_of_both_passes(sixty: Path, tmp_path: Path) -> None:
    labels = Path(shutil.copytree(sixty, tmp_path / "mine"))
    for image in (1, 2, 3, 4, 50):
        (labels / f"images/{image}.png").write_bytes(b"no image")
    once = run(labels, tmp_path / "once", on_bad_image="skip")
    twice = run(labels, tmp_path / "twice", on_bad_image="skip", memory=TIGHT, spill=0)
    assert stored(once.path) == stored(twice.path) and twice.info["data"]["n_skipped"] == 5


def between_passes(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    real = engine.pooled_thresholds
    monkeypatch.setattr(engine, "pooled_thresholds", lambda *collected: (happens(), real(*collected))[1])


@pytest.mark.usefixtures("one_thread")
def test_a_network_that_answers_differently_the_second_time(sixty: Path, tmp_path: Path, monkeypatch) -> None:
    model = Changing()
    between_passes(monkeypatch, lambda: setattr(model, "more", 1.0))
    with pytest.raises(UserError, match=r"answered image 0 \(from 0\) differently when it was shown a second time"):
        run(sixty, tmp_path / "out", model, memory=0.0001, spill=0, workers=1)
    assert not (tmp_path / "out/DONE").exists()


@pytest.mark.parametrize("kind", ["another", "damaged"])
@pytest.mark.usefixtures("one_thread")
def test_an_image_that_changed_between_the_passes(sixty: Path, tmp_path: Path, monkeypatch, kind: str) -> None:
    labels = Path(shutil.copytree(sixty, tmp_path / "mine"))
    late = labels / "images/40.png"
    content = late.read_bytes()

    changed = (labels / "images/5.png").read_bytes() if kind == "another" else b"no image"
    with monkeypatch.context() as patch:
        between_passes(patch, lambda: late.write_bytes(changed))
        with pytest.raises(UserError, match=r"40\.png.*(were changed while the run was at work|could be read before)"):
            run(labels, tmp_path / "out", memory=TIGHT, spill=0)
    late.write_bytes(content)
    again = run(labels, tmp_path / "out", memory=TIGHT, spill=0)
    assert stored(again.path) == stored(run(sixty, tmp_path / "whole").path)


@pytest.mark.usefixtures("one_thread")
def test_disk_that_fills_up_against_the_estimate(sixty: Path, tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(DiskEstimate, "expected", lambda *_: 0)
    with caplog.at_level(logging.WARNING):
        done = run(sixty, tmp_path / "out", memory=TIGHT, spill=0.0004)
    assert "forward again" in done.info["timings"]["net"] and "a second time" in caplog.text
    assert stored(done.path) == stored(run(sixty, tmp_path / "whole").path)


@pytest.mark.parametrize("n_seen", [32, 100])
def test_the_estimate_is_near_what_is_stored(n_seen: int) -> None:
    """On random maps, a quarter of them scaled up so that units have images that they prefer."""
    n_images, n_units, side = 1500, 24, 5
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(n_images, n_units, side, side)).astype(np.float32)
    maps *= 1 + 2 * (rng.random((n_images, n_units, 1, 1)) < 0.25)
    maps = maps.astype(np.float32)
    layer = Layer(module="net", label="1", operator="conv", layout=Layout(shape=(n_units, side, side)))
    tail = UpperTail(n_units, n_images * side**2, 0.99)
    estimate = DiskEstimate([layer], n_images, allowed=0)
    stored_bytes, expected = 0, 0
    for n, image in enumerate(maps):
        peaks = image.max((1, 2))
        passing = np.flatnonzero(peaks > tail.bound).astype(np.int32)
        tail.add(image[passing], passing)
        stored_bytes += len(passing) * side**2 * 4
        if n + 1 == n_seen:
            expected = estimate.expected([maps[:n_seen].max((2, 3))], [tail], n_seen)
    assert abs(expected - stored_bytes) < 0.15 * stored_bytes
    assert expected < 0.7 * maps.nbytes

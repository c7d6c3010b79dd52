"""Batches computed beside each other: the same bits for any number of lanes, errors at their place, networks kept apart."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import dissect
from data_prep.broden import open_broden
from data_prep.common import devices
from data_prep.common.devices import usable_cpus
from dissect.lanes import look_in_lanes, one_thread

BATCHES = [torch.randn(3, 3, 12, 12, generator=torch.Generator().manual_seed(n)) for n in range(9)]


class Remembering(nn.Module):
    """Keeps its input in itself for a while, as networks do that hand features from one method to another."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv2d(3, 4, 3), nn.Identity()
        self.kept = torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        self.kept = self.conv(x)
        time.sleep(0.01)
        return self.out(self.kept)


class Around(nn.Module):
    def __init__(self, out: nn.Module) -> None:
        super().__init__()
        self.out = out

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x)


def looked(model: nn.Module, n_lanes: int, layer: str = "out") -> list[Tensor]:
    with one_thread(), look_in_lanes(model.eval(), [layer], n_lanes=n_lanes) as (look_at, _):
        return [maps[layer] for _, maps in look_at(BATCHES, lambda look, batch: look(batch))]


@pytest.mark.parametrize("n_lanes", [1, 2, 5])
def test_maps_come_in_order_and_a_network_s_own_memory_is_kept_apart(n_lanes: int) -> None:
    torch.manual_seed(0)
    model = Remembering()
    with torch.inference_mode():
        expected = [model.conv(batch) for batch in BATCHES]
    for maps, right in zip(looked(model, n_lanes), expected, strict=True):
        assert torch.equal(maps, right)


def test_as_many_batches_at_once_as_there_are_lanes() -> None:
    together, most = 0, 0
    lock = threading.Lock()

    class Counting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            nonlocal together, most
            with lock:
                together += 1
                most = max(most, together)
            time.sleep(0.03)
            with lock:
                together -= 1
            return x * 2

    looked(Around(Counting()), 3)
    assert most == 3


def test_a_network_that_cannot_be_copied_has_one_lane(caplog: pytest.LogCaptureFixture) -> None:
    model = Remembering()
    model.lock = threading.Lock()  # which nothing can copy
    with caplog.at_level(logging.WARNING):
        maps = looked(model, 4)
    assert len(maps) == len(BATCHES)
    assert "so it computes in one lane" in caplog.text


KEPT: dict[str, Tensor] = {}


class KeptOutside(nn.Module):
    """Adds features that it hands on by way of something that copies of it share, or do not know."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.kept = way, {}
        self.features, self.conv, self.out = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.Identity()
        kept = self.kept
        if way == "hook":
            self.features.register_forward_hook(lambda _module, _images, output: kept.update(features=output))
        if way == "lambda":
            self.keep = lambda output: kept.update(features=output)
        if way == "itself":
            whole = self.add
            self.forward = lambda x: whole(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.add(x)

    def add(self, x: Tensor) -> Tensor:
        features, kept = self.features(x), KEPT if self.way == "global" else self.kept
        if self.way == "lambda":
            self.keep(features)
        elif self.way != "hook":
            kept["features"] = features
        return self.out(self.conv(x) + kept["features"])


@pytest.mark.parametrize("way", ["hook", "lambda", "itself", "global"])
def test_what_copies_would_share_takes_one_lane(way: str, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    model = KeptOutside(way).eval()
    with torch.inference_mode():
        expected = [model.features(batch) + model.conv(batch) for batch in BATCHES]
    for maps, right in zip(looked(model, 3), expected, strict=True):
        assert torch.equal(maps, right)
    assert "in one lane" in caplog.text and ("has hooks" in caplog.text) == (way == "hook")


def test_an_ordinary_network_is_told_nothing(caplog: pytest.LogCaptureFixture) -> None:
    looked(Remembering(), 3)
    assert not caplog.text


@pytest.mark.parametrize("n_lanes", [1, 2, 5])
def test_an_error_comes_at_the_place_of_its_batch(n_lanes: int) -> None:
    def batches() -> Iterator[Tensor]:
        yield from BATCHES[:4]
        raise ValueError("the fifth")

    done: list[Tensor] = []
    with (
        look_in_lanes(Remembering().eval(), ["out"], n_lanes=n_lanes) as (look_at, _),
        pytest.raises(ValueError, match="the fifth"),
    ):
        done.extend(batch for batch, _ in look_at(batches(), lambda look, batch: look(batch)))
    assert [id(batch) for batch in done] == [id(batch) for batch in BATCHES[:4]]


def test_an_error_of_the_network_too() -> None:
    done: list[Tensor] = []
    wrong = [*BATCHES[:3], torch.zeros(1, 5, 12, 12), *BATCHES[3:]]
    with (
        look_in_lanes(Remembering().eval(), ["out"], n_lanes=3) as (look_at, _),
        pytest.raises(dissect.UserError, match="fails on images of shape"),
    ):
        done.extend(batch for batch, _ in look_at(wrong, lambda look, batch: look(batch)))
    assert len(done) == 3


def test_hooks_are_gone_and_threads_are_put_back() -> None:
    model, before = Remembering(), torch.get_num_threads()
    looked(model, 3)
    assert torch.get_num_threads() == before
    assert not model.out._forward_hooks
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lane")]


@pytest.mark.parametrize("workers", [2, 5])
def test_a_run_is_the_same_bits_in_any_number_of_lanes(sixty: Path, tmp_path: Path, workers: int) -> None:
    network = dissect.load_network("torchvision:squeezenet1_1", image_size=(64, 64))
    data = open_broden(sixty)
    runs = [
        dissect.run(
            network, data, layers=["features.3", "features.7.squeeze"], out=tmp_path / str(n),
            execution=dissect.Execution(device="cpu", workers=n),
        )
        for n in (1, workers)
    ]  # fmt: skip
    assert (runs[0].path / "units.csv").read_bytes() == (runs[1].path / "units.csv").read_bytes()
    for name, array in runs[0].counts("squeezenet1_1").items():
        np.testing.assert_array_equal(array, runs[1].counts("squeezenet1_1")[name])


def test_the_number_of_cpus_heeds_affinity_and_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    monkeypatch.setattr(devices, "CONTROL_GROUPS", tmp_path)
    assert usable_cpus() == 6
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_cpus() == 6
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert usable_cpus() == 2
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert usable_cpus() == 1
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("300000\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert usable_cpus() == 3

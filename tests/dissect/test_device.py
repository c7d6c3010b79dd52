"""Thresholds and counts where the activations are: on any device the bits of the compiled code on the CPU.

What runs on a GPU is PyTorch that does not know where it runs, so most is tested on the CPU; on a GPU too, where there is one.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import stored
from test_merge import N_IMAGES, N_UNITS, SIDE, activations, parts, pooled
from torch import nn

import dissect
from data_prep.broden import open_broden
from data_prep.common.errors import UserError
from data_prep.common.terminal import Progress, silent
from data_prep.formats import NO_CONCEPT, Concept, ImageLabels, ImageRecord
from dissect import device_masks, device_tail, engine
from dissect.candidates import Candidates, Maps
from dissect.device_masks import DeviceAxes, masks_above
from dissect.device_tail import DeviceTail
from dissect.device_tally import DeviceTally
from dissect.image_areas import ImageAreas
from dissect.images import LabelCache
from dissect.layers import Layer
from dissect.layouts import Layout
from dissect.mask_recorder import MaskRecorder
from dissect.parallel_tally import ParallelTally, TallyTask, own_labels
from dissect.room import Room
from dissect.strongest import StrongestImages
from dissect.tally import positions_above
from dissect.thresholds import UpperTail
from dissect.upsample import Axis, Geometry, half_pixel_axis, receptive_field_axis

N_VALUES = N_IMAGES * SIDE * SIDE
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU here")),
]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["whole", "in small portions"])
def portions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "whole":
        monkeypatch.setattr(device_tail, "PORTION", 200)
        monkeypatch.setattr(device_masks, "PIXELS", 200)


def tail_of(kind: Any, maps: np.ndarray, images: np.ndarray, level: float, *of_kind: str) -> Any:
    """A tail of some images, added a few at a time."""
    tail = kind(N_UNITS, N_VALUES, level, *of_kind)
    add_to(tail, maps, images)
    return tail


def add_to(tail: Any, maps: np.ndarray, images: np.ndarray) -> None:
    for first in range(0, len(images), 4):
        some = maps[images[first : first + 4]].reshape(-1, SIDE, SIDE)
        units = np.arange(len(some)) % N_UNITS
        if isinstance(tail, UpperTail):
            tail.add(some, units)
        else:
            on = tail.values.device
            tail.add(torch.from_numpy(some).to(on), torch.from_numpy(units).to(on))


@pytest.mark.usefixtures("portions")
@pytest.mark.parametrize("level", [0.3, 0.9, 0.995])
@pytest.mark.parametrize("seed", range(3))
def test_thresholds_are_the_same_bits(seed: int, level: float, device: str) -> None:
    """Ties, saturated and constant units among them; whatever the parts, and however they merge."""
    maps = activations(seed)
    expected = tail_of(UpperTail, maps, np.arange(N_IMAGES), level).quantile(N_VALUES)
    whole = tail_of(DeviceTail, maps, np.arange(N_IMAGES), level, device)
    merged = pooled([tail_of(DeviceTail, maps, images, level, device) for images in parts(seed)], seed)
    assert whole.quantile(N_VALUES).tobytes() == merged.quantile(N_VALUES).tobytes() == expected.tobytes()


@pytest.mark.parametrize("level", [0.3, 0.995])
@pytest.mark.parametrize("first", [0, 3, 31])
def test_a_tail_goes_on_where_another_kind_stopped(first: int, level: float, device: str) -> None:
    maps, images = activations(7), np.arange(N_IMAGES)
    expected = tail_of(UpperTail, maps, images, level).quantile(N_VALUES)
    began = [tail_of(UpperTail, maps, images[:first], level), tail_of(DeviceTail, maps, images[:first], level, device)]
    for tail in began:
        for other in (UpperTail(N_UNITS, N_VALUES, level), DeviceTail(N_UNITS, N_VALUES, level, device)):
            saved = tail.on_host()
            assert saved.values.shape == other.values.shape and saved.count.max() < saved.values.shape[1]
            other.restore(saved.values.copy(), saved.count.copy(), saved.bound.copy())
            add_to(other, maps, images[first:])
            assert other.quantile(N_VALUES).tobytes() == expected.tobytes()


def test_a_tail_on_a_device_refuses_to_guess(device: str) -> None:
    tail = tail_of(DeviceTail, activations(5), np.arange(N_IMAGES), 0.5, device)
    with pytest.raises(UserError, match="made for fewer"):
        tail.quantile(2 * N_VALUES)
    with pytest.raises(ValueError, match="cannot be pooled"):
        tail.merge(DeviceTail(N_UNITS, 10, 0.5, device))


def test_maps_below_the_bound_may_be_left_out(device: str) -> None:
    maps, tail = torch.from_numpy(activations(9)).to(device), DeviceTail(N_UNITS, N_VALUES, 0.9, device)
    for image in maps:
        units = torch.nonzero(image.amax((1, 2)) > tail.bound).flatten()
        tail.add(image[units], units)
    assert (tail.bound > -torch.inf).any()
    expected = tail_of(UpperTail, activations(9), np.arange(N_IMAGES), 0.9)
    assert tail.quantile(N_VALUES).tobytes() == expected.quantile(N_VALUES).tobytes()


def odd_axis(n_cells: int, n_pixels: int) -> Axis:
    """Weights that are no whole numbers, so that sums are rounded."""
    return receptive_field_axis(n_cells, n_pixels, n_input=37, centre=1 / 3, stride=np.pi)


@pytest.mark.usefixtures("portions")
@pytest.mark.parametrize("axis", [half_pixel_axis, odd_axis])
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (7, 5), (14, 14)])
def test_masks_are_the_same_pixels(axis: Any, shape: tuple[int, int], device: str) -> None:
    """Values on a coarse grid, some a thousand million times others: many equal their threshold, and sums are rounded."""
    rng = np.random.default_rng(sum(shape))
    maps = np.rint(3 * rng.standard_normal((60, *shape))) / 3 * rng.choice([1, 1, 1e-9, 1e9], (60, *shape))
    maps, thresholds = maps.astype(np.float32), np.float32(rng.choice([0, 1 / 3, 1 / 3 * 1e9], 60))
    rows, columns = axis(shape[0], 23), axis(shape[1], 31)
    there = torch.from_numpy(maps).to(device), torch.from_numpy(thresholds).to(device)
    chunks = list(masks_above(*there, DeviceAxes(rows, columns, device)))
    which, position = (torch.cat(parts).cpu().numpy() for parts in zip(*chunks, strict=True))
    scratch, n_masks = np.empty(rows.n_pixels * columns.n_pixels, np.int32), 0
    for m in range(len(maps)):
        expected = scratch[: positions_above(maps[m], float(thresholds[m]), rows, columns, scratch)]
        np.testing.assert_array_equal(np.sort(position[which == m]), np.sort(expected))
        n_masks += 0 < len(expected) < scratch.size
    assert n_masks or shape == (1, 1)


SHAPES = [(6, 6), (3, 5), (1, 1)]
UNITS = [5, 7, 3]
LAYERS = [
    Layer(module=str(k), label=str(k), operator="conv", layout=Layout(shape=(n, *shape)))
    for k, (n, shape) in enumerate(zip(UNITS, SHAPES, strict=True))
]


class Drawn:
    """Twenty images whose label maps have two sizes, up to four planes, two of them of one category, and up to two labels of
    the whole image, which a plane may carry too."""

    name, image_root, categories = "drawn", Path(), ("color", "object", "scene")
    concepts = tuple(Concept(n, str(n), name) for n, name in enumerate(["color"] * 6 + ["object"] * 6 + ["scene"] * 2))
    images = tuple(ImageRecord(f"{n}.png", Path(f"{n}.png"), "all", (12, 16)) for n in range(20))

    def read_labels(self, index: int) -> ImageLabels:
        rng = np.random.default_rng(index)
        shape, n_planes = (12, 16) if index % 5 else (9, 7), int(rng.integers(1, 5))
        concepts = [rng.integers(first, last, shape) for first, last in ((0, 6), (6, 12), (6, 12), (12, 14))[:n_planes]]
        planes = np.where(rng.random((n_planes, *shape)) < 0.5, NO_CONCEPT, concepts).astype(np.int32)
        whole = rng.choice(np.array([12, 13], np.int32), int(rng.integers(0, 3)), replace=False)
        return ImageLabels(planes, np.array([0, 1, 1, 2], np.int32)[:n_planes], whole)

    def fingerprint(self) -> str:
        return "drawn"


@pytest.fixture(scope="module")
def seen() -> tuple[list[np.ndarray], list[np.ndarray], list[StrongestImages]]:
    """Maps (20, U, h, w) on a coarse grid, so that many equal a threshold; thresholds; strongest images: of each layer."""
    rng = np.random.default_rng(0)
    maps = [
        np.rint(4 * rng.standard_normal((20, n, *shape))).astype(np.float32) / 4
        for n, shape in zip(UNITS, SHAPES, strict=True)
    ]
    thresholds = [np.float32(np.quantile(m, 0.9, axis=(0, 2, 3))) for m in maps]
    strongest = [StrongestImages(n, 3) for n in UNITS]
    for kept, m in zip(strongest, maps, strict=True):
        kept.add(m.max((2, 3)), np.arange(20))
    return maps, thresholds, strongest


def passing(
    maps: list[np.ndarray], thresholds: list[np.ndarray], images: np.ndarray, device: str | None
) -> dict[int, Maps]:
    """Those of a batch above their thresholds: on a device, or of numpy."""
    batch = {}
    for k, layer in enumerate(maps):
        peaks = layer[images].max((2, 3))
        which, units = np.nonzero(peaks > thresholds[k])
        chosen = layer[images[which], units]
        there = torch.from_numpy(chosen).to(device) if device else chosen
        batch[k] = Maps(images[which].astype(np.int32), units.astype(np.int32), peaks[which, units], there)
    return batch


def tally_of(kind: Any, seen: Any, union: Any, folder: Path, **device: str) -> Any:
    _, thresholds, strongest = seen
    data = Drawn()
    room = Room(folder, 2**20)
    task = TallyTask(
        layers=LAYERS, data=data, union=union, geometry=Geometry(SHAPES), thresholds=thresholds, labels=LabelCache(data),
        workers=2, room=room,
    )  # fmt: skip
    areas = ImageAreas(n_images=20, n_rows=20, n_units=sum(UNITS), room=room)
    masks = MaskRecorder.of(strongest, thresholds)
    return kind(task, pairing=own_labels(np.arange(20) % 3), masks=masks, areas=areas, **device)


def add_batches(tally: Any, seen: Any, sizes: Iterable[int], device: str | None) -> None:
    first = len(tally.images)
    for size in sizes:
        images = np.arange(first, min(first + size, 20))
        tally.add(images, passing(*seen[:2], images, device))
        first += len(images)


def known(tally: Any) -> dict[str, bytes]:
    """All that a tally knows, by fold and in all, but the order in which its masks were drawn."""
    total, _ = tally.total(), tally.folds()
    arrays = tally.state() | tally.masks.arrays()
    arrays |= {f"total {name}": getattr(total, name) for name in ("intersection_area", "mask_area", "concept_area")}
    return {name: array.tobytes() for name, array in arrays.items() if name != "mask_places"}


@pytest.mark.usefixtures("portions")
@pytest.mark.parametrize("union", ["category", "all-images", "touched"])
def test_counts_and_masks_are_the_same(union: str, seen: Any, tmp_path: Path, device: str) -> None:
    with tally_of(ParallelTally, seen, union, tmp_path) as expected:
        add_batches(expected, seen, [20], None)
    assert sum(map(bool, expected.masks.arrays()["mask_bits"])) > 100
    for sizes, of_maps in (([20], device), ([1, 7, 12], None)):
        with tally_of(DeviceTally, seen, union, tmp_path, device=device) as tally:
            add_batches(tally, seen, sizes, of_maps)
        assert known(tally) == known(expected)


def test_a_tally_goes_on_where_another_kind_stopped(seen: Any, tmp_path: Path, device: str) -> None:
    kinds: list[tuple[Any, dict[str, str]]] = [(ParallelTally, {}), (DeviceTally, {"device": device})]
    with tally_of(ParallelTally, seen, "touched", tmp_path) as expected:
        add_batches(expected, seen, [20], None)
    for first, its_device in kinds:
        with tally_of(first, seen, "touched", tmp_path, **its_device) as began:
            add_batches(began, seen, [3, 5], None)
        for second, other_device in kinds:
            with tally_of(second, seen, "touched", tmp_path, **other_device) as tally:
                tally.restore({name: array.copy() for name, array in began.state().items()})
                add_batches(tally, seen, [12], None)
            assert known(tally) == known(expected)


def test_maps_on_a_device_are_kept_and_spilled(seen: Any, tmp_path: Path, device: str) -> None:
    maps, thresholds, _ = seen
    bounds, batches = [t - 1 for t in thresholds], [np.arange(0, 6), np.arange(6, 20)]
    stored = []
    for on, ceiling in ((None, 2**30), (device, 2**30), (device, 2000)):
        candidates = Candidates(tmp_path / f"{on} {ceiling}", ceiling)
        for images in batches:
            candidates.add(images, passing(maps, bounds, images, on), bounds)
        assert bool(candidates.files) == (ceiling == 2000)
        stored.append([
            (images.tolist(), {k: [array.tobytes() for array in m.on_host().values()] for k, m in batch.items()})
            for images, batch in candidates.batches(thresholds)
        ])  # fmt: skip
    assert stored[0] == stored[1] == stored[2]


@pytest.fixture
def run(
    sixty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, one_thread: None
) -> Callable[..., dict[str, bytes]]:
    """`run("name", on_device=True)`: what a whole run leaves, of the same activations wherever they are counted."""

    def call(name: str, *, on_device: bool, progress: Progress = silent, **execution: Any) -> dict[str, bytes]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 1))
        made: list[object] = []
        with monkeypatch.context() as patch:
            patch.setattr(engine, "is_cuda", lambda _: on_device)
            patch.setattr(
                engine, "DeviceTally", lambda *args, **options: made.append(1) or DeviceTally(*args, **options)
            )
            finished = dissect.run(
                dissect.Network(name="net", model=model, input_size=(16, 16)), open_broden(sixty), out=tmp_path / name,
                layers="*", progress=progress,
                settings=dissect.Settings(quantile=0.9, folds=3, strongest=2, null=2, union="touched"),
                execution=dissect.Execution(**{"device": device, "batch_size": 4} | execution),
            )  # fmt: skip
        assert bool(made) == on_device
        return stored(finished.path)

    return call


@pytest.mark.parametrize(
    "execution",
    [{}, {"memory": 0.0003}, {"memory": 0.0003, "spill": 0}, {"batch_size": 60, "checkpoint_every": 0}],
    ids=["in memory", "on disk", "two passes", "all at once"],
)
def test_a_run_that_counts_on_a_device(run: Callable[..., Any], execution: dict[str, Any]) -> None:
    assert run("device", on_device=True, **execution) == run("host", on_device=False, **execution)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["forward", "tally"])
@pytest.mark.parametrize("on_device", [True, False])
def test_a_run_goes_on_where_another_kind_stopped(run: Callable[..., Any], on_device: bool, stage: str) -> None:
    def press(at: str, done: int, _: int) -> None:
        if (at, done) == (stage, 24):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run("out", on_device=on_device, progress=press, checkpoint_every=0)
    assert run("out", on_device=not on_device) == run("whole", on_device=False)

"""What is measured, each in a process of its own; the last line printed is JSON.

    python benchmarks/work.py bare --lanes 2 --batch-size 4           # a bare forward pass over the embedded set
    python benchmarks/work.py run --out runs/one --options --workers 2    # `dissect.run`, as `dissect run` without a report
    python benchmarks/work.py report --run runs/one                   # `reports.write_report`
    python benchmarks/work.py dense --run runs/one --n-images 48      # the tally as one would write it first

`wall` and `cpu` are seconds of the work alone. They begin once the network and the tables of the set are loaded and the first
eight images went the same way, not counted: so libraries are loaded and numba has compiled, which takes a few seconds on either
side of a comparison.
"""

from __future__ import annotations

import copy
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.nn import functional

import data_prep
import dissect
from data_prep.broden import Broden
from dissect.images import read_image
from dissect.lanes import one_thread
from dissect.layers import Layer, list_layers, select_layers
from dissect.models import Network
from dissect.settings import Execution, Settings
from dissect.taps import tap_layers

NETWORK = "efficientnet_lite0"
LAYERS = ("18", "24", "30")
"""Of the network above: depthwise and project convolutions of blocks 8, 11 and 14, 2,800 units."""
OPERATORS = ("depthwise", "pointwise")
N_FIRST = 8
"""Images that go first and are not counted."""


@contextmanager
def measured(said: dict[str, Any]) -> Iterator[None]:
    """Adds `wall` and `cpu`, the seconds of the `with` block, those of processes that ended in it included."""
    wall, cpu = time.perf_counter(), _cpu_seconds()
    yield
    said |= {"wall": time.perf_counter() - wall, "cpu": _cpu_seconds() - cpu}


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def opened(data: Path | None, categories: tuple[str, ...]) -> Broden:
    """The label set, the embedded one if none is given; tables only."""
    return (
        data_prep.open_broden(data, None, categories or None)
        if data
        else data_prep.open_embedded(None, categories or None)
    )


def bare(
    network: str = NETWORK,
    data: Path | None = None,
    image_size: int | None = None,
    batch_size: int = 4,
    lanes: int = 1,
) -> dict[str, Any]:
    """Read every image and show it to the whole network: no labels, no taps, nothing kept.

    Each of the lanes is one thread, which reads its own batch and computes it.
    """
    images = opened(data, ()).images
    loaded = dissect.load_network(network, image_size=image_size)
    model = loaded.model.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def one_batch(start: int) -> None:
        batch = images[start : start + batch_size]
        pixels = np.stack([read_image(image.path, loaded.input_size, image.image_shape) for image in batch])
        model(loaded.prepare(torch.from_numpy(pixels)))

    said: dict[str, Any] = {"n_images": len(images)}
    with (
        one_thread(),
        measured(said),
        ThreadPoolExecutor(lanes, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        list(pool.map(one_batch, range(0, len(images), batch_size)))
    return said


def run(
    network: str = NETWORK,
    layers: tuple[str, ...] = LAYERS,
    data: Path | None = None,
    categories: tuple[str, ...] = (),
    image_size: int | None = None,
    folds: int = 1,
    workers: int | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """The whole of `dissect.run`: reading, labels, forward pass, thresholds, tally, tables; all but the report.

    Of the layers only depthwise and pointwise convolutions are taken. Defaults are those of `dissect run`.
    """
    label_set = opened(data, categories)
    loaded = dissect.load_network(network, image_size=image_size)
    settings, execution = Settings(folds=folds, categories=categories), Execution(workers=workers)
    how: dict[str, Any] = {"layers": layers, "operators": OPERATORS, "settings": settings, "execution": execution}
    said: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        dissect.run(loaded, _first_images(label_set), out=Path(folder) / "first", **how)
        with measured(said):
            finished = dissect.run(loaded, label_set, out=out or Path(folder) / "run", **how)
        return said | {
            "n_images": len(finished.images),
            "n_units": len(finished.units),
            "n_concepts": len(finished.concepts),
            "n_map_values": sum(layer.n_units * layer.n_positions for layer in _layers(loaded, layers)),
            "stages": finished.info["timings"][loaded.name],
        }


def _first_images(label_set: Broden) -> Broden:
    first = copy.copy(label_set)
    first.rows, first.images = label_set.rows[:N_FIRST], label_set.images[:N_FIRST]
    return first


def report(run: Path, out: Path | None = None) -> dict[str, Any]:
    """Write the report of a finished run."""
    from reports import write_report

    said: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        with measured(said):
            written = write_report(run, out=out or Path(folder))
        return said | {"page_bytes": written.stat().st_size}


def dense(
    run: Path, data: Path | None = None, network: str = NETWORK, layers: tuple[str, ...] = LAYERS, n_images: int = 48
) -> dict[str, Any]:
    """Every map upsampled and every pixel compared, on the first images, with the thresholds of a finished run.

    The seconds are those of that alone, on one thread; maps and labels are there before. `same_share`: of the counts that equal
    those of the run, if it saw the very same images; float32 rounds some pixels to the other side of a threshold.
    """
    finished, label_set, loaded = dissect.open_run(run), opened(data, ()), dissect.load_network(network)
    n_images = min(n_images, len(label_set.images))
    chosen = _layers(loaded, layers)
    labels = [label_set.read_labels(number) for number in range(n_images)]
    model = loaded.model.to(memory_format=torch.channels_last)
    thresholds = torch.from_numpy(finished.units["threshold"].to_numpy(np.float32))
    n_concepts, first = len(label_set.concepts), 0
    said: dict[str, Any] = {"n_images": n_images, "wall": 0.0, "cpu": 0.0}
    counted = []
    with one_thread(), torch.inference_mode(), tap_layers(model, [layer.module for layer in chosen]) as look:
        maps = [look(loaded.prepare(_pixels(label_set, loaded, number))) for number in range(n_images)]
        for layer in chosen:
            part: dict[str, Any] = {}
            limits = thresholds[first : first + layer.n_units, None, None]
            with measured(part):
                count = torch.zeros(layer.n_units, n_concepts, dtype=torch.int64)
                for of_image, on_image in zip(labels, maps, strict=True):
                    count += _dense_counts(on_image[layer.module], of_image, limits, n_concepts)
            counted.append(count)
            said = {name: said[name] + part.get(name, 0) for name in said}
            first += layer.n_units
    if len(finished.images) == n_images:
        stored = _counts(finished.path, loaded.name)
        said["same_share"] = float((torch.cat(counted).numpy() == stored).mean())
    return said | {"n_units": first}


def _counts(run: Path, network: str) -> np.ndarray:
    """(U, C) pixels in both mask and concept, as the run counted them."""
    with np.load(run / "counts" / f"{network}.npz", allow_pickle=False) as arrays:
        return arrays["intersection_area"]


def _pixels(label_set: Broden, network: Network, number: int) -> Tensor:
    record = label_set.images[number]
    return torch.from_numpy(np.stack([read_image(record.path, network.input_size, record.image_shape)]))


def _dense_counts(maps: Tensor, labels: data_prep.ImageLabels, limits: Tensor, n_concepts: int) -> Tensor:
    """(U, C) int64 of one image. maps: (1, U, h, w)."""
    masks = functional.interpolate(maps, labels.shape, mode="bilinear", align_corners=False)[0] > limits
    planes = torch.from_numpy(labels.planes.reshape(len(labels.planes), -1)).long()
    shown = torch.zeros(n_concepts + 1, labels.shape[0] * labels.shape[1])
    for plane in planes:
        shown[plane, torch.arange(len(plane))] = 1  # no concept is -1, the last row
    shown[torch.from_numpy(labels.whole_image).long()] = 1
    return (masks.flatten(1).float() @ shown[:-1].T).long()


def _layers(network: Network, layers: tuple[str, ...]) -> list[Layer]:
    return select_layers(list_layers(network.model, network.input_size), layers, OPERATORS)


if __name__ == "__main__":
    works: dict[str, Callable[..., dict[str, Any]]] = {"bare": bare, "run": run, "report": report, "dense": dense}
    print(json.dumps(tyro.extras.subcommand_cli_from_dict(works)))

"""What thresholds and tally cost, in CPU time for each image and unit, apart from any network.

    python benchmarks/tally_speed.py
    python benchmarks/tally_speed.py --folds 10 --workers 2 --memory 0.05

Made-up activations (smooth, sparse, most images weak, as behind a ReLU) of three layers of 128, 256 and 512 units with maps of
28, 14 and 7 cells a side, for 300 images with label maps of 112 x 112 pixels and 70 concepts in six categories. Times, as the
engine calls them, (thresholds) `Collected.add` of each batch, which keeps tails, strongest images, histograms (of all images of
so small a set; a large one has them of 512) and candidates, with the final quantiles, and (tally) the candidates counted against
labels that were read before, up to the total. CPU seconds of all threads, user and system, the median of some rounds after one
that compiles. Labels are unpacked in the tally, as in a run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from data_prep.formats import Concept, ImageLabels, ImageRecord
from dissect.collected import Collected
from dissect.folds import image_folds
from dissect.image_areas import ImageAreas
from dissect.images import LabelCache
from dissect.lanes import one_thread
from dissect.layers import Layer
from dissect.layouts import Layout
from dissect.mask_recorder import MaskRecorder
from dissect.parallel_tally import ParallelTally, TallyTask, own_labels
from dissect.room import Room
from dissect.upsample import Geometry

SHAPES = ((128, 28), (256, 14), (512, 7))
"""Units of each layer, and cells a side of their maps."""
PLANES = {"color": 11, "object": 25, "part": 15, "material": 9}
WHOLE = {"scene": 6, "texture": 4}
BATCH = 4


class MadeUp:
    """Labels in rectangles, one plane for each of four categories, some of them in some images only."""

    def __init__(self, n_images: int, side: int, seed: int = 0) -> None:
        self.name, self.image_root, self.categories = "made up", Path(), [*PLANES, *WHOLE]
        sizes = PLANES | WHOLE
        self.concepts = [Concept(n, f"{name} {n}", name) for name, size in sizes.items() for n in range(size)]
        self.images = [ImageRecord(f"{n}.png", Path(f"{n}.png"), "train", (side, side)) for n in range(n_images)]
        rng, first = (
            np.random.default_rng(seed),
            dict(zip(sizes, np.cumsum([0, *sizes.values()]).tolist(), strict=False)),
        )
        self._labels = [self._made(rng, first, side) for _ in range(n_images)]

    @staticmethod
    def _made(rng: np.random.Generator, first: dict[str, int], side: int) -> ImageLabels:
        planes, of_category = [], []
        for k, (name, size) in enumerate(PLANES.items()):
            if k and rng.random() < 0.3:
                continue
            plane = np.full((side, side), -1, np.int32)
            for _ in range(12):
                top, left = rng.integers(0, side, 2)
                height, width = rng.integers(side // 10, side // 2, 2)
                plane[top : top + height, left : left + width] = first[name] + rng.integers(size)
            planes.append(plane)
            of_category.append(k)
        whole = [first[name] + int(rng.integers(size)) for name, size in WHOLE.items() if rng.random() < 0.5]
        return ImageLabels(np.stack(planes), np.array(of_category, np.int32), np.array(whole, np.int32))

    def read_labels(self, index: int) -> ImageLabels:
        return self._labels[index]

    def fingerprint(self) -> str:
        return "made up"


def made_maps(n_images: int, n_units: int, side: int, seed: int) -> torch.Tensor:
    """(N, U, h, w) float32, the positive part of smooth noise with a strength of its own for each image and unit."""
    rng = np.random.default_rng(seed)
    maps = rng.standard_normal((n_images, n_units, side, side), np.float32)
    for axis in (-1, -2):
        maps += np.roll(maps, 1, axis) + np.roll(maps, -1, axis)
    maps *= rng.exponential(1, (n_images, n_units, 1, 1)).astype(np.float32)
    return torch.from_numpy(np.maximum(maps - 1, 0)).contiguous(memory_format=torch.channels_last)


def timed(
    layers: list[Layer], maps: list[torch.Tensor], data: MadeUp, cache: LabelCache, args: argparse.Namespace
) -> tuple[float, float, int]:
    """CPU seconds of thresholds and of tally, and all that was counted."""
    n_images, memory = len(data.images), int(args.memory * 2**30)
    batches = [np.arange(n_images)[start : start + BATCH] for start in range(0, n_images, BATCH)]
    with tempfile.TemporaryDirectory() as name, one_thread():
        folder = Path(name)
        start = time.process_time()
        collected = Collected(
            layers, n_images=n_images, quantile=0.995, n_strongest=8, folder=folder, memory_bytes=2**30,
            disk_bytes=2**34,
        )  # fmt: skip
        for numbers in batches:
            collected.add(numbers, [of_layer[numbers[0] : numbers[-1] + 1] for of_layer in maps])
        thresholds = [
            tail.quantile(n_images * layer.n_positions) for tail, layer in zip(collected.tails, layers, strict=True)
        ]
        middle = time.process_time()
        room = Room(folder, memory)
        task = TallyTask(
            layers=layers, data=data, union="category", geometry=Geometry([layer.shape[1:] for layer in layers]),
            thresholds=thresholds, labels=cache, workers=args.workers, room=room,
        )  # fmt: skip
        n_units = sum(layer.n_units for layer in layers)
        areas = ImageAreas(n_images=n_images, n_rows=n_images, n_units=n_units, room=room)
        masks = MaskRecorder.of(collected.strongest_images, thresholds)
        own = own_labels(image_folds([image.name for image in data.images], args.folds))
        with ParallelTally(task, pairing=own, masks=masks, areas=areas) as tally:
            for numbers, batch in collected.candidates.batches(thresholds):
                tally.add(numbers, batch)
            total = tally.total()
        end = time.process_time()
    return middle - start, end - middle, int(total.intersection_area.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--side", type=int, default=112, help="pixels a side of the label maps")
    parser.add_argument("--folds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", type=float, default=0.25, help="GiB for the counts; past it they lie on disk")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    data = MadeUp(args.images, args.side)
    cache = LabelCache(data)
    for number in range(args.images):
        cache.read(number)
    layers = [
        Layer(module=f"layer{k}", label=str(k), operator="conv", layout=Layout(shape=(n, side, side)))
        for k, (n, side) in enumerate(SHAPES)
    ]
    maps = [made_maps(args.images, n, side, seed) for seed, (n, side) in enumerate(SHAPES)]
    timed(layers, maps, data, cache, args)
    rounds = [timed(layers, maps, data, cache, args) for _ in range(args.rounds)]
    pairs = args.images * sum(n for n, _ in SHAPES)
    shares = [[part / pairs * 1e6 for part in (a, b, a + b)] for a, b, _ in rounds]
    for name, values in zip(("thresholds", "tally", "together"), zip(*shares, strict=True), strict=True):
        spread = f"({min(values):.2f} to {max(values):.2f})"
        print(f"{name:10}  {statistics.median(values):.2f} us of CPU time an image x unit {spread}")
    print(
        f"{args.images} images x {pairs // args.images} units, {len(data.concepts)} concepts; counted {rounds[0][2]:,} pixels"
    )


if __name__ == "__main__":
    main()

"""What thresholds and tally cost where the activations are, next to the compiled code on the CPU, and whether both agree.

    python benchmarks/device_speed.py --device cuda
    python benchmarks/device_speed.py --device cpu --images 64 --units 70        # the same code without a GPU: slow, but equal
    python benchmarks/device_speed.py --device cuda --profile                    # which kernels, and how many of them an image

Made-up activations (smooth, sparse, most images weak, as behind a ReLU) of three layers with maps of 28, 14 and 7 cells a side,
and the label maps of `tally_speed.py`. Times, as the engine calls them, (thresholds) `Collected.add`
of each batch and the quantiles, (tally) the candidates counted against labels that were read before. Seconds on the clock, until
the device has nothing left to do: the median of some rounds after one to warm up. Ends with 1 where a threshold, a count or a
mask differs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tally_speed import MadeUp
from torch import Tensor

from data_prep.common.devices import usable_cpus
from dissect.collected import Collected
from dissect.device_tally import DeviceTally
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

SHARES = ((1, 28), (2, 14), (4, 7))
"""Sevenths of the units in each layer, and cells a side of their maps."""


def made_maps(n_images: int, n_units: int, side: int, device: str) -> Tensor:
    """(N, U, h, w) float32, the positive part of smooth noise with a strength of its own for each image and unit."""
    torch.manual_seed(side)
    maps = torch.randn(n_images, n_units, side, side, device=device)
    for axis in (-1, -2):
        maps += maps.roll(1, axis) + maps.roll(-1, axis)
    maps *= torch.empty(n_images, n_units, 1, 1, device=device).exponential_()
    return (maps - 1).relu_().contiguous(memory_format=torch.channels_last)


def worked(
    layers: list[Layer], maps: list[Tensor], data: MadeUp, cache: LabelCache, gpu: str | None, args: argparse.Namespace
) -> tuple[float, float, dict[str, bytes]]:
    """Seconds of thresholds and of tally, and all that came of them."""
    n_images, batch_size = len(data.images), args.batch_size if gpu else 4
    batches = np.split(np.arange(n_images), range(batch_size, n_images, batch_size))
    settle = torch.cuda.synchronize if gpu and gpu.startswith("cuda") else lambda: None
    counting = partial(DeviceTally, device=gpu) if gpu else ParallelTally
    with tempfile.TemporaryDirectory() as name, one_thread():
        settle()
        start = time.perf_counter()
        collected = Collected(
            layers, n_images=n_images, quantile=0.995, n_strongest=8, folder=Path(name), memory_bytes=2**35, disk_bytes=2**34,
            gpu=gpu,
        )  # fmt: skip
        for numbers in batches:
            collected.add(numbers, [of_layer[numbers[0] : numbers[-1] + 1] for of_layer in maps])
        thresholds = [
            tail.quantile(n_images * layer.n_positions) for tail, layer in zip(collected.tails, layers, strict=True)
        ]
        settle()
        middle = time.perf_counter()
        fold_of = image_folds([image.name for image in data.images], args.folds)
        masks = MaskRecorder.of(collected.strongest_images, thresholds)
        task = TallyTask(
            layers=layers, data=data, union="category", geometry=Geometry([layer.shape[1:] for layer in layers]),
            thresholds=thresholds, labels=cache, workers=args.workers, room=Room(Path(name), 2**34),
        )  # fmt: skip
        n_units = sum(layer.n_units for layer in layers)
        areas = ImageAreas(n_images=n_images, n_rows=n_images, n_units=n_units, room=task.room)
        with counting(task, pairing=own_labels(fold_of), masks=masks, areas=areas) as tally:
            for numbers, batch in collected.candidates.batches(thresholds):
                tally.add(numbers, batch)
            total = tally.total()
        end = time.perf_counter()
    found = {f"thresholds {k}": threshold.tobytes() for k, threshold in enumerate(thresholds)}
    found |= {name: getattr(total, name).tobytes() for name in ("intersection_area", "mask_area", "concept_area")}
    found |= {
        "areas": areas.mask_area.tobytes(),
        "histograms": b"".join(h.on_host().tobytes() for h in collected.histograms),
    }
    found |= {f"masks: {name}": array.tobytes() for name, array in masks.arrays().items()}
    return middle - start, end - middle, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--units", type=int, default=2800)
    parser.add_argument("--side", type=int, default=112, help="pixels a side of the label maps")
    parser.add_argument(
        "--batch-size", type=int, default=64, help="images at a time on the device; on the host it is 4"
    )
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=usable_cpus())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="one more round on the device, with its kernels")
    args = parser.parse_args()
    data = MadeUp(args.images, args.side)
    cache = LabelCache(data)
    for number in range(args.images):
        cache.read(number)
    layers = [
        Layer(
            module=f"{side} px", label=str(k), operator="conv", layout=Layout(shape=(args.units * n // 7, side, side))
        )
        for k, (n, side) in enumerate(SHARES)
    ]
    maps = [made_maps(args.images, layer.n_units, layer.shape[1], args.device) for layer in layers]
    at_home = [of_layer.cpu() for of_layer in maps]
    found = {}
    for name, of_path, gpu in ((args.device, maps, args.device), ("host", at_home, None)):
        worked(layers, of_path, data, cache, gpu, args)
        rounds = [worked(layers, of_path, data, cache, gpu, args) for _ in range(args.rounds)]
        found[gpu] = rounds[0][2]
        pairs = args.images * sum(layer.n_units for layer in layers)
        for stage, seconds in zip(("thresholds", "tally"), zip(*rounds, strict=True), strict=False):
            median, spread = statistics.median(seconds), f"{min(seconds):.3f} to {max(seconds):.3f} s"
            print(f"{name:6} {stage:10} {median / pairs * 1e6:8.4f} us an image x unit, {1000 * median / args.images:.3f} ms an "
                  f"image ({spread})")  # fmt: skip
    if args.profile:
        profile(partial(worked, layers, maps, data, cache, args.device, args), args.images)
    differing = [name for name, there in found[args.device].items() if there != found[None][name]]
    print(f"{args.images} images x {pairs // args.images} units, {len(data.concepts)} concepts, {args.folds} folds: "
          f"{'all the same' if not differing else 'DIFFERENT: ' + ', '.join(differing)}")  # fmt: skip
    sys.exit(bool(differing))


def profile(work: partial[object], n_images: int) -> None:
    from torch.profiler import ProfilerActivity

    with torch.profiler.profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        work()
    averages = profiler.key_averages()
    launches = sum(event.count for event in averages if "LaunchKernel" in event.key)
    waits = sum(event.count for event in averages if "Synchronize" in event.key)
    order = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    print(averages.table(sort_by=order, row_limit=25, max_name_column_width=60))
    print(f"kernels an image: {launches / n_images:.1f}; waits of the host for the device: {waits / n_images:.2f}")


if __name__ == "__main__":
    main()

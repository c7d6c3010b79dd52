"""What dissection costs on top of a forward pass.

    python benchmarks/whole_run.py --data path/to/broden --pairs 3

Runs, in turn and each in a process of its own, (A) the command `dissect run` from start to report and (B) a bare forward
pass of the whole network over the same images with the same reading threads, no taps, channels-last, at the batch size
that is fastest here. Machines drift, so what counts is the ratio A / B of each pair. Prints the parts of A, its peak
memory, and how much faster the tally is than the dense computation (every map upsampled, every pixel compared).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NETWORK = "efficientnet_lite0"
LAYERS = ("18", "24", "30")
"""Depthwise and project convolutions of blocks 8, 11 and 14: 2,800 units."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a label set in the Broden layout")
    parser.add_argument("--pairs", type=int, default=3, help="how often A and B are run in turn")
    parser.add_argument("--dense-images", type=int, default=48, help="images for the dense tally")
    parser.add_argument("--only", choices=["forward", "dense"], help=argparse.SUPPRESS)
    parser.add_argument("--batch-size", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--images", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only == "forward":
        forward(args.data, args.batch_size, args.images)
    elif args.only == "dense":
        dense(args.data, args.dense_images)
    else:
        compare(args)


def compare(args: argparse.Namespace) -> None:
    itself = [sys.executable, __file__, "--data", str(args.data)]
    print("bare forward pass, 400 images, by batch size:")
    by_size = {}
    for size in (2, 4, 8, 16, 32):
        runs = [_timed([*itself, "--only", "forward", "--batch-size", str(size), "--images", "400"]) for _ in range(2)]
        by_size[size] = min(run["forward"] for run in runs)
        print(f"  {size:3}  {by_size[size] / 400 * 1000:6.1f} ms an image")
    fastest = min(by_size, key=by_size.get)

    ratios = []
    for pair in range(args.pairs):
        bare = _timed([*itself, "--only", "forward", "--batch-size", str(fastest)])
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            whole = _timed(
                [
                    *(sys.executable, "-m", "dissect.cli", "run", NETWORK, "--layers", *LAYERS, "--ops", "depthwise"),
                    *("pointwise", "--data", str(args.data), "--out", str(out), "--batch-size", str(fastest)),
                ]
            )
            parts = json.loads((out / "run.json").read_text())["timings"][NETWORK]
        rest = whole["seconds"] - sum(parts.values())
        ratios.append(whole["seconds"] / bare["seconds"])
        print(
            f"pair {pair + 1}: whole run {whole['seconds']:.1f} s, bare forward {bare['seconds']:.1f} s, "
            f"ratio {ratios[-1]:.2f}; waiting for images {parts['read']:.1f}, forward to the last tapped layer "
            f"{parts['forward']:.1f}, thresholds {parts['thresholds']:.1f}, tally {parts['tally']:.1f}, start-up, tables and "
            f"report {rest:.1f} s; peak memory {whole['peak'] / 2**20:.2f} GiB (bare {bare['peak'] / 2**20:.2f})"
        )
    print(
        f"ratio whole run / bare forward: median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )
    subprocess.run([*itself, "--only", "dense", "--dense-images", str(args.dense_images)], check=True)


def _timed(command: list[str]) -> dict[str, float]:
    """Wall seconds and peak memory (kB) of a process, and what it prints as `seconds=...`."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed")
    found = [line for line in printed.splitlines() if line.startswith("seconds=")]
    forward = {"forward": float(found[0].partition("=")[2])} if found else {}
    return {"seconds": time.perf_counter() - start, "peak": usage.ru_maxrss, **forward}


def forward(data: Path, batch_size: int, n_images: int) -> None:
    """The bare pass: the same reading threads (labels left alone), the whole network, nothing else."""
    import torch

    from data_prep.broden import open_broden
    from dissect.images import ImageReader
    from dissect.models import load_network

    class NoLabels:
        def read(self, number: int) -> None:
            pass

    labelled = open_broden(data)
    labelled.images = labelled.images[: n_images or None]
    network = load_network(NETWORK)
    model = network.model.to(memory_format=torch.channels_last)
    start = time.perf_counter()
    with (
        ImageReader(
            labelled, network.input_size, batch_size=batch_size, workers=2, on_bad_image="fail", label_cache=NoLabels()
        ) as reader,
        torch.inference_mode(),
    ):
        for _, pixels in reader.batches():
            model(network.prepare(torch.from_numpy(pixels)))
    print(f"seconds={time.perf_counter() - start}")


def dense(data: Path, n_images: int) -> None:
    """Upsample every map, compare every pixel, count with one matrix product a label plane; against the tally stage."""
    import numpy as np
    import torch
    from torch.nn import functional

    from data_prep.broden import open_broden
    from dissect.candidates import Maps
    from dissect.images import ImageReader
    from dissect.layers import list_layers, select_layers
    from dissect.mask_recorder import MaskRecorder
    from dissect.models import load_network
    from dissect.parallel_tally import ParallelTally
    from dissect.strongest import StrongestImages
    from dissect.taps import tap_layers
    from dissect.upsample import Geometry

    labelled = open_broden(data)
    labelled.images = labelled.images[:n_images]
    network = load_network(NETWORK)
    layers = select_layers(list_layers(network.model, network.input_size), LAYERS, ["depthwise", "pointwise"])
    reader = ImageReader(labelled, network.input_size, batch_size=n_images, workers=2, on_bad_image="fail")
    with reader, tap_layers(network.model, [layer.module for layer in layers]) as look:
        numbers, pixels = next(reader.batches())
        maps = list(look(network.prepare(torch.from_numpy(pixels))).values())
    thresholds = [m.transpose(0, 1).flatten(1).quantile(0.995, dim=1).numpy() for m in maps]

    start = time.perf_counter()
    n_concepts = len(labelled.concepts)
    counted = [torch.zeros(layer.n_units, n_concepts, dtype=torch.int64) for layer in layers]
    for image in numbers:
        planes = torch.tensor(reader.label_cache[image].planes, dtype=torch.int64).flatten(1)
        one_hot = torch.zeros(n_concepts + 1, planes.shape[1])
        for plane in planes:
            one_hot[plane, torch.arange(planes.shape[1])] = 1
        for k, layer_maps in enumerate(maps):
            up = functional.interpolate(layer_maps[image : image + 1], (112, 112), mode="bilinear", align_corners=False)
            masks = up[0] > torch.from_numpy(thresholds[k])[:, None, None]
            counted[k] += (masks.flatten(1).float() @ one_hot[:-1].T).long()
    dense_seconds = time.perf_counter() - start

    def tally() -> tuple[float, ParallelTally]:
        arrays = [m.numpy() for m in maps]
        peaks = [a.max((2, 3)) for a in arrays]
        batch = {}
        for k in range(len(layers)):
            which, units = (peaks[k] > thresholds[k]).nonzero()
            batch[k] = Maps(
                which.astype("int32"), units.astype("int32"), peaks[k][which, units], arrays[k][which, units]
            )
        strongest = [StrongestImages(layer.n_units, 8) for layer in layers]
        for kept, layer_peaks in zip(strongest, peaks, strict=True):
            kept.add(layer_peaks, numbers)
        masks = MaskRecorder.of(strongest, thresholds)
        geometry = Geometry([layer.shape[1:] for layer in layers])
        start = time.perf_counter()
        one_fold = np.zeros(len(labelled.images), np.int64)
        with ParallelTally(
            layers, labelled, union="category", geometry=geometry, thresholds=thresholds, masks=masks,
            labels=reader.label_cache, workers=2, fold_of=one_fold,
        ) as counting:  # fmt: skip
            counting.add(numbers, batch)
            counting.total()
        return time.perf_counter() - start, counting

    tally()  # compile once
    seconds, counting = tally()
    same = torch.cat(counted).numpy() != counting.total().intersection_area
    whole = [c for c, concept in enumerate(labelled.concepts) if concept.category in ("scene", "texture")]
    same[:, whole] = False  # image-level labels are not in the planes that the dense computation counts
    print(
        f"tally of {n_images} images x {sum(layer.n_units for layer in layers)} units: dense {dense_seconds:.2f} s, ours "
        f"{seconds:.3f} s, {dense_seconds / seconds:.0f} x faster; counts that differ by float32 rounding of the dense "
        f"upsampling: {int(same.sum())} of {same.size}"
    )


if __name__ == "__main__":
    main()

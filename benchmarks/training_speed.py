"""Is reading images ever the bottleneck of training? And which memory layout is the fast one?

    python benchmarks/training_speed.py --data path/to/decathlon --domain imagenet12 --width 16 --crop 32

1. Images a second of the training loop as it is (order, crops, normalisation, labels) beside the very same step on one
   batch that stays in memory, in turn, several times: the median ratio should be 0.9 or more.
2. One step with channels first and channels last, in float32 and bfloat16; and a 3x3 depthwise convolution alone.

Quote ratios, measured in one run on an idle machine; images a second of two runs do not compare.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import tyro
from torch import nn

from data_prep.decathlon import open_decathlon
from data_prep.mini_decathlon import ensure
from mdl.networks.resnet26 import separable_resnet26
from mdl.training.feed import (
    Batch,
    DecodedImages,
    InputRules,
    Normalisation,
    decode,
    input_rules,
    shuffled_batches,
    to_input,
)
from mdl.training.loop import make_optimizers, training_step
from mdl.training.recipe import Plan, load_recipe

NORMALISATION = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def main(
    data: Path | None = None,
    domain: str | None = None,
    width: int = 16,
    resize: int = 36,
    crop: int = 32,
    batch_size: int = 64,
    steps: int = 20,
    rounds: int = 5,
    threads: int | None = None,
) -> None:
    """Measure and print.

    Args:
        data: A decathlon; the embedded miniature if not given.
        domain: The domain to read; the first if not given.
        width: Channels of the stem.
        resize: Shorter side of the decoded images.
        crop: Side of the training crop.
        batch_size: Images a step.
        steps: Steps in each turn.
        rounds: Turns of each kind.
        threads: Threads of the CPU; PyTorch's own choice if not given.
    """
    if threads:
        torch.set_num_threads(threads)
    sets = open_decathlon(data or ensure())
    domain = domain or sets.domains[0]
    rules = input_rules(domain, resize, crop)
    pictures = decode(sets.split(domain, "train"), rules)
    plan = load_recipe("mini", [f"batch_size={batch_size}", f"width.separable={width}"]).plan("train", domain)
    ratios(pictures, rules, plan, width, steps, rounds)
    layouts(width, crop, batch_size, steps)


def ratios(pictures: DecodedImages, rules: InputRules, plan: Plan, width: int, steps: int, rounds: int) -> None:
    """The loop against a fixed batch."""
    step = make_step(width, len(pictures.class_names), plan)
    endless = endless_batches(pictures, rules, plan.batch_size)
    pixels, numbers = next(endless)
    images, labels = to_input(pixels, NORMALISATION), torch.from_numpy(pictures.labels[numbers])

    def fixed() -> int:
        step(images, labels)
        return len(labels)

    def loop() -> int:
        pixels, numbers = next(endless)
        step(to_input(pixels, NORMALISATION), torch.from_numpy(pictures.labels[numbers]))
        return len(numbers)

    fixed(), loop()
    pairs = [(speed(loop, steps), speed(fixed, steps)) for _ in range(rounds)]
    for real, alone in pairs:
        print(f"loop {real:8.0f} images/s   fixed batch {alone:8.0f} images/s   ratio {real / alone:.3f}")
    print(f"median ratio {statistics.median(real / alone for real, alone in pairs):.3f}")


def layouts(width: int, crop: int, batch_size: int, steps: int) -> None:
    """Channels first and last, float32 and bfloat16, for a whole step and for a depthwise convolution alone."""
    plan = load_recipe("mini").plan("train", "dtd")
    labels = torch.zeros(batch_size, dtype=torch.int64)
    for layout in (torch.contiguous_format, torch.channels_last):
        images = torch.randn(batch_size, 3, crop, crop).contiguous(memory_format=layout)
        for precision in ("float32", "bfloat16"):
            step = make_step(width, 10, plan, layout, precision)
            step(images, labels)
            print(
                f"step, {layout}, {precision}: {batch_size / best(lambda s=step, i=images: s(i, labels), steps):.0f} images/s"
            )
    for layout in (torch.contiguous_format, torch.channels_last):
        channels, size = 4 * width, crop // 2
        conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False).to(memory_format=layout)
        x = torch.randn(batch_size, channels, size, size).contiguous(memory_format=layout).requires_grad_(True)
        y = conv(x)
        gradient = torch.ones_like(y)
        forward = best(lambda c=conv, x=x: c(x), steps)
        both = best(lambda c=conv, x=x, g=gradient: c(x).backward(g), steps)
        print(
            f"depthwise {channels} x {size} x {size}, {layout}: forward {forward * 1e3:.2f} ms, with backward {both * 1e3:.2f} ms"
        )


def make_step(
    width: int,
    n_classes: int,
    plan: Plan,
    layout: torch.memory_format = torch.channels_last,
    precision: str = "float32",
) -> Callable[[torch.Tensor, torch.Tensor], None]:
    network = separable_resnet26(n_classes, width=width).to(memory_format=layout).train()
    optimizers = make_optimizers(dict(network.named_parameters()), plan)

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        training_step(network, optimizers, images, labels, scale=1e-3 / len(labels), precision=precision)

    return step


def endless_batches(pictures: DecodedImages, rules: InputRules, batch_size: int) -> Iterator[Batch]:
    epoch = 0
    while True:
        yield from shuffled_batches(pictures, rules, batch_size=batch_size, seed=0, epoch=epoch)
        epoch += 1


def speed(once: Callable[[], int], steps: int) -> float:
    started = time.perf_counter()
    n_images = sum(once() for _ in range(steps))
    return n_images / (time.perf_counter() - started)


def best(once: Callable[[], object], steps: int) -> float:
    """Seconds of the fastest of a few calls: what the machine can do undisturbed."""

    def seconds() -> float:
        started = time.perf_counter()
        once()
        return time.perf_counter() - started

    return min(seconds() for _ in range(steps))


if __name__ == "__main__":
    tyro.cli(main)

"""How much faster one forward over a mixed batch is than a loop over its domains (Equation 7).

    python benchmarks/mixed_batch.py                    # 10 domains, batch of 32, full width, 64 px

Compares, in turns, so that a drifting machine favours none: (A) `StackedDomains`, one forward; (B) the loop, every
domain's images through that domain's network, with maps as PyTorch lays them out; (C) the same loop with maps channels
last; and, to compare, (D) the whole batch through a single domain, channels last. Prints times and the ratio
loop / stacked: of every round, as median and range, and of the best times, which a busy machine disturbs least. The
results of A and B are compared first.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.resnet26 import separable_resnet26
from mdl.networks.stacked import StackedDomains

CLASSES = {
    "imagenet12": 1000, "aircraft": 100, "cifar100": 100, "daimlerpedcls": 2, "dtd": 47, "gtsrb": 43,
    "vgg-flowers": 102, "omniglot": 1623, "svhn": 10, "ucf101": 101,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--size", type=int, default=64, help="pixels of an image's side")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)

    net = network(args.width).to(device)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(args.batch_size, 3, args.size, args.size, generator=generator).to(device)
    numbers = torch.randint(len(CLASSES), (args.batch_size,), generator=generator).tolist()
    domains = [net.domains[number] for number in numbers]
    stacked = StackedDomains(net)
    channels_last = images.contiguous(memory_format=torch.channels_last)

    expected, found = loop(net, images, domains), stacked(images, domains)
    difference = max((row[: len(other)] - other).abs().max().item() for row, other in zip(found, expected, strict=True))
    print(f"{len(set(domains))} domains in a batch of {args.batch_size}, {args.size} px, width {args.width}, "
          f"{device}, {args.threads} threads; largest difference of a logit {difference:.1e}")  # fmt: skip

    ways: dict[str, Callable[[], object]] = {
        "A stacked, one forward": lambda: stacked(images, domains),
        "B loop over domains": lambda: loop(net, images, domains),
        "C loop, channels last": lambda: loop(net, channels_last, domains),
        "D one domain, channels last": lambda: loop(net, channels_last, [domains[0]] * len(domains)),
    }
    times = measure(ways, args.rounds, device)
    for way, seconds in times.items():
        median, best = 1000 * statistics.median(seconds), 1000 * min(seconds)
        print(f"  {way:28} {median:8.1f} ms median {best:8.1f} ms best")
    stacked_times = times[next(iter(ways))]
    for way in list(ways)[1:3]:
        ratios = [other / ours for other, ours in zip(times[way], stacked_times, strict=True)]
        print(
            f"  loop / stacked, {way[0]} / A: {statistics.median(ratios):.2f} "
            f"(rounds {min(ratios):.2f} to {max(ratios):.2f}, best by best {min(times[way]) / min(stacked_times):.2f})"
        )


def network(width: int) -> MultiDomainNetwork:
    """Ten domains that differ in all their own tensors."""
    net = MultiDomainNetwork(separable_resnet26(CLASSES["imagenet12"], width), "pointwise-sharing", "imagenet12")
    generator = torch.Generator().manual_seed(1)
    for seed, (name, n_classes) in enumerate(CLASSES.items()):
        if name != "imagenet12":
            net.add(name, n_classes, seed=seed)
            for _, parameter in net.domain_parameters(name):
                parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    return net


@torch.inference_mode()
def loop(net: MultiDomainNetwork, images: torch.Tensor, domains: list[str]) -> list[torch.Tensor]:
    logits: list[torch.Tensor] = [torch.empty(0)] * len(domains)
    for name in dict.fromkeys(domains):
        rows = [i for i, other in enumerate(domains) if other == name]
        for i, row in zip(rows, net(images[rows], domain=name), strict=True):
            logits[i] = row
    return logits


def measure(ways: dict[str, Callable[[], object]], n_rounds: int, device: torch.device) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {way: [] for way in ways}
    for round_number in range(n_rounds + 2):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if round_number >= 2:  # two rounds to warm up
                times[way].append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    main()

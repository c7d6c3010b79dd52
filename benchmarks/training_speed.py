"""Is reading images ever the bottleneck of training? Which layout and precision are fast? What does a busy machine do to it?

    python benchmarks/training_speed.py --device cpu      # made-up images, a small network
    python benchmarks/training_speed.py --device cuda     # full width, 64 px, batches of 256: about half a minute
    python benchmarks/training_speed.py --device cuda --compile float32 bfloat16      # torch.compile too: minutes
    python benchmarks/training_speed.py --busy 8          # threads and processes beside 8 that spin
    python benchmarks/training_speed.py --data path/to/decathlon --domain imagenet12

1. `Training.fit` as it is (order, crops, flips, labels, losses, savings), an epoch a round, and after each epoch the bare step on
   one batch that stays on the device: ratios of such pairs. Then what the feed alone delivers, each way there is.
2. The bare step with channels first and last, in each precision.
3. With `--busy`: steps of one process with 1 and 2 threads, and of two processes with one each, first alone.

Quote ratios of one run; images a second of two runs do not compare, nor do wall seconds beside others' work: CPU seconds do.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import tyro
from timing import Timed, in_turn, median, spinning, timed
from torch import nn

from data_prep.common.devices import usable_device
from data_prep.decathlon import open_decathlon
from mdl.networks.resnet26 import separable_resnet26
from mdl.training.curves import EpochRow
from mdl.training.feed import Feed
from mdl.training.loop import Learner, Training, Watch, make_optimizers, training_step
from mdl.training.pictures import DecodedImages, InputRules, Normalisation, decode
from mdl.training.processes import Processes, processes
from mdl.training.recipe import Plan, load_recipe
from mdl.training.state import TrainingState
from mdl.training.threads import THREADS, on_threads

NORMALISATION = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure. Sizes that are not given are small on a CPU, and the paper's on a GPU.

    Args:
        data: A decathlon; made-up images if not given.
        domain: The domain to read; the first if not given.
        device: cpu, cuda, cuda:N, or auto.
        width: Channels of the stem.
        resize: Shorter side of the decoded images.
        crop: Side of the training crop.
        batch_size: Images a step.
        images: How many are made up: an epoch.
        steps: Bare steps in each turn.
        rounds: Turns of each kind.
        threads: Threads of the CPU.
        precision: Of the loop and of the step beside it.
        compile: Measure torch.compile too, in these precisions; takes a minute each.
        busy: Measure threads and processes alone and beside so many processes that spin, and nothing else.
        just_steps: Only bare steps, for a parent that takes their time.
    """

    data: Path | None = None
    domain: str | None = None
    device: str = "auto"
    width: int | None = None
    resize: int | None = None
    crop: int | None = None
    batch_size: int | None = None
    images: int | None = None
    steps: int = 20
    rounds: int = 5
    threads: int = THREADS
    precision: Precision = "float32"
    compile: tuple[Precision, ...] = ()
    busy: int = 0
    just_steps: bool = False

    def with_sizes(self) -> Options:
        on_gpu = usable_device(self.device) != "cpu"
        usual = {
            "width": (16, 64),
            "resize": (36, 72),
            "crop": (32, 64),
            "batch_size": (64, 256),
            "images": (1280, 25600),
        }
        given = {name: getattr(self, name) or pair[on_gpu] for name, pair in usual.items()}
        return replace(self, **given)

    def plan(self) -> Plan:
        recipe = load_recipe("mini", [f"batch_size={self.batch_size}", f"precision={self.precision}", "choose=last"])
        made = replace(
            recipe.plan("pretrain", self.domain or "imagenet12"), epochs=self.rounds + 2, flip=True, drops=()
        )
        return replace(made, resize=self.resize, crop=self.crop)


def main(options: Annotated[Options, tyro.conf.arg(name="")]) -> None:
    options = options.with_sizes()
    if options.busy:
        busy(options)
        return
    with on_threads(options.threads), processes(options.device) as group:
        if options.just_steps:
            just_steps(options, group)
            return
        plan, device = options.plan(), group.device
        pictures = opened(options, plan.input_rules)
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {options.threads} thread"
        print(
            f"{name}; width {options.width}, crop {options.crop}, batches of {options.batch_size}, {len(pictures)} images"
        )
        ratios(options, plan, pictures, group)
        feeds(options, plan, pictures, device)
        layouts(options, plan, device)


def opened(options: Options, rules: InputRules) -> DecodedImages:
    if options.data:
        sets = open_decathlon(options.data)
        return decode(sets.split(options.domain or sets.domains[0], "train"), rules)
    rng = np.random.default_rng(0)
    n, side = options.images or 1, options.resize or 1
    sizes = np.stack([np.full(n, side), side + rng.integers(0, side // 2, n)], 1).astype(np.int32)
    lengths = 3 * sizes.astype(np.int64).prod(1)
    return DecodedImages(
        domain="imagenet12",
        split="train",
        class_names=tuple(map(str, range(100))),
        labels=rng.integers(0, 100, n),
        image_ids=np.arange(n),
        fingerprint="",
        pixels=rng.integers(0, 256, lengths.sum(), dtype=np.uint8),
        sizes=sizes,
        starts=np.cumsum(lengths) - lengths,
    )


@dataclass(frozen=True)
class Rate:
    """Seconds at a start, or images for each of them since. cpu: of all threads of this process."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Rate:
        return cls(time.perf_counter(), time.process_time())

    def until_now(self, n_images: int) -> Rate:
        end = Rate.now()
        return Rate(n_images / (end.wall - self.wall), n_images / (end.cpu - self.cpu))


class Bare:
    """Steps on a batch that stays where it is."""

    def __init__(
        self,
        options: Options,
        plan: Plan,
        group: Processes,
        *,
        layout: torch.memory_format = torch.channels_last,
        compiled: bool = False,
    ) -> None:
        network = separable_resnet26(100, width=options.width or 1).to(group.device, memory_format=layout).train()
        self._optimizers = make_optimizers(dict(network.named_parameters()), plan)
        self._network: nn.Module = group.wrap(network)
        if compiled:
            self._network = torch.compile(self._network)  # type: ignore[assignment]  # it is a module
        n, side = (options.batch_size or 1) // group.n, options.crop or 1
        self._images = torch.randn(n, 3, side, side, device=group.device).contiguous(memory_format=layout)
        self._labels = torch.zeros(n, dtype=torch.int64, device=group.device)
        self._precision, self.device, self.n_images = plan.precision, group.device, n * group.n

    def __call__(self, steps: int) -> None:
        for _ in range(steps):
            training_step(
                self._network,
                self._optimizers,
                self._images,
                self._labels,
                scale=1e-3 / self.n_images,
                precision=self._precision,
            )
        finished(self.device)

    def speed(self, steps: int) -> float:
        """Images a second."""
        return steps * self.n_images / seconds(lambda: self(steps))


def ratios(options: Options, plan: Plan, pictures: DecodedImages, group: Processes) -> None:
    """Epochs of the loop, and after each the bare step."""
    bare = Bare(options, plan, group)
    bare(3)

    class Beside(Watch):
        def __init__(self) -> None:
            self.pairs: list[tuple[Rate, Rate]] = []
            self.since = Rate.now()

        def epoch(self, row: EpochRow, epochs: int) -> None:
            loop = self.since.until_now(len(pictures))
            if 1 < row.epoch < epochs:  # the first warms up, the last is saved whatever that takes
                start = Rate.now()
                bare(options.steps)
                self.pairs.append((loop, start.until_now(options.steps * bare.n_images)))
                print(
                    f"images a second: loop {self.pairs[-1][0].wall:.0f}, bare step {self.pairs[-1][1].wall:.0f}",
                    flush=True,
                )
            self.since = Rate.now()

    network = separable_resnet26(len(pictures.class_names), width=options.width or 1)
    learner, watch = Learner.of_body(network.to(group.device, memory_format=torch.channels_last)), Beside()
    with tempfile.TemporaryDirectory() as folder:
        Training(
            learner=learner,
            pictures={"train": pictures},
            normalisation=NORMALISATION,
            plan=plan,
            state=TrainingState(Path(folder), {}),
            group=group,
            watch=watch,
        ).fit()
    print(
        f"loop to bare step, median ratio: {median([loop.wall / alone.wall for loop, alone in watch.pairs]):.3f}",
        end="",
    )
    print(f"; by CPU seconds {median([loop.cpu / alone.cpu for loop, alone in watch.pairs]):.3f}")


def feeds(options: Options, plan: Plan, pictures: DecodedImages, device: torch.device) -> None:
    """Batches without a network."""
    for what, resident in (("images on the device", True), ("cut by threads", False)):
        feed = Feed(pictures, plan.input_rules, NORMALISATION, device, resident=resident)

        def epoch(number: int, feed: Feed = feed) -> None:
            for _ in feed.shuffled(batch_size=plan.batch_size, seed=0, epoch=number):
                pass
            finished(device)

        epoch(0)
        rates = [len(pictures) / seconds(lambda n=number: epoch(n)) for number in range(1, options.rounds + 1)]  # type: ignore[misc]
        print(f"feed alone, {what}: {median(rates):.0f} images/s")


def layouts(options: Options, plan: Plan, device: torch.device) -> None:
    """The bare step, each way."""
    ways: list[tuple[str, str, bool, bool]] = [
        (layout, precision, tf32, False)
        for layout in LAYOUTS
        for precision in ("float32", "bfloat16")
        for tf32 in ((True, False) if device.type == "cuda" and precision == "float32" else (True,))
    ]
    ways += [("channels last", precision, True, True) for precision in options.compile]
    for layout, precision, tf32, compiled in ways:
        with allowed_tf32(tf32):
            own = replace(plan, precision=precision)
            bare = Bare(options, own, Processes(0, 1, device), layout=LAYOUTS[layout], compiled=compiled)
            took = seconds(lambda bare=bare: bare(1))  # type: ignore[misc]
            rates = [bare.speed(max(1, options.steps // 2)) for _ in range(options.rounds)]
        words = f"{layout}, {precision}{'' if tf32 else ' without TF32'}{', compiled' if compiled else ''}"
        print(f"step, {words}: {median(rates):.0f} images/s; the first took {took:.1f} s", flush=True)


def busy(options: Options) -> None:
    """Threads and processes, alone and beside others."""
    own = [
        f"--{name.replace('_', '-')}={getattr(options, name)}"
        for name in ("width", "crop", "batch_size", "steps", "device")
    ]
    steps = [str(Path(__file__)), *own, "--just-steps"]
    group = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    commands = {
        "one_thread": [sys.executable, *steps, "--threads=1"],
        "two_threads": [sys.executable, *steps, "--threads=2"],
        "two_processes": [sys.executable, *group, *steps, "--threads=1"],
    }

    def measured(command: list[str]) -> Callable[[], Timed]:
        return lambda: timed(command, {"OMP_NUM_THREADS": None})

    for n in (0, options.busy):
        with spinning(n):
            took = in_turn(options.rounds, **{name: measured(command) for name, command in commands.items()})
        for name, each in took.items():
            wall, cpu = (median([one.said[what] for one in each]) for what in ("wall", "cpu"))
            print(
                f"beside {n} that spin, {name}: {options.steps} steps in {wall:.2f} s, {cpu:.2f} CPU seconds",
                flush=True,
            )


def just_steps(options: Options, group: Processes) -> None:
    bare = Bare(options, options.plan(), group)
    bare(2)
    cpu = time.process_time()
    wall = seconds(lambda: bare(options.steps))
    cpu = float(group.total([time.process_time() - cpu])[0])
    if group.is_first:
        print(json.dumps({"wall": wall, "cpu": cpu}))


@contextmanager
def allowed_tf32(allowed: bool) -> Iterator[None]:
    """Of convolutions; PyTorch's default is to allow it."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def finished(device: torch.device) -> None:
    """Wait for what was asked of the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main(tyro.cli(Options))

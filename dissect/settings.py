"""The choices of a run: `Settings` decide the result and are recorded with it, `Execution` says how the work is done.

    settings = Settings(quantile=0.99, union="all-images")
    execution = Execution(device="cpu", memory=2)

Defaults stand here and nowhere else; those of `Settings` are the definitions of method, part A.1. The command `dissect run`
takes each field as an option of the same name, and shows the sentence below it as its help. A value out of range is refused
here, once. Imports no torch.

>>> Settings(quantile=0.99).as_json()["quantile"]
0.99
>>> Settings(quantile=2)
Traceback (most recent call last):
...
data_prep.common.errors.UserError: `quantile` is 2; it must lie strictly between 0 and 1: 0.995 keeps the top 0.5 %.
>>> Execution(memory=2).memory_bytes
2147483648
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from tyro.conf import Suppress, arg

from data_prep.common.devices import free_memory, is_cuda, usable_cpus
from data_prep.common.errors import UserError, check_range, choose
from dissect.scores import SCORES, needs_universe

TapPoint = Literal["conv", "bn", "relu"]
"""Where a convolution is tapped: its own output, after the BatchNorm that follows, or after the activation after that."""

UnionRule = Literal["category", "all-images", "touched"]
"""Which images a unit's mask area A counts in, for a concept of category K:
`category` those in which some label of K is annotated (Bau et al. 2017); `all-images` every image;
`touched` those in which the mask meets some label of K."""

UpsampleRule = Literal["half-pixel", "receptive-field"]

LayoutName = Literal["channels-first", "channels-last", "tokens", "vector"]
"""How a layer's output holds its units: see `dissect.layouts`."""

LayoutRule = Literal["auto", "channels-first", "channels-last", "tokens", "vector"]

CPU_BATCH_SIZE, GPU_BATCH_SIZE = 4, 64
"""Images in each forward pass: `batch_size` where it is not given."""

CPU_MEMORY = 0.5
"""GiB: `memory` where it is not given, and nothing is computed on a GPU."""

FOLDS = 10
"""`folds` where it is not given."""

LAYERS = ("18", "20", "22")
"""The convolutions of ResNet-26 that the paper's Figures 5 and 6 show."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides the result, and is recorded with it."""

    quantile: float = 0.995
    """Level of the threshold: 0.995 keeps the top 0.5 % of a unit's activations."""

    iou_cut: float = 0.04
    """A unit is a detector if its best IoU is above this."""

    tap: TapPoint = "conv"
    """Where convolutions are tapped: their output, after the BatchNorm that follows, or after the ReLU after that."""

    layout: LayoutRule = "auto"
    """Which axis of the layers' output holds the units; auto finds it, and dissect layers shows what it found."""

    upsample: UpsampleRule = "half-pixel"
    """Half-pixel centres, or cells anchored at the centres of their receptive fields."""

    union: UnionRule = "category"
    """Images in which a mask's area counts: those with the concept's category, all, or those it touches."""

    split: Annotated[str | None, arg(metavar="NAME")] = None
    """Use only this split of the data, such as val."""

    categories: tuple[str, ...] = ()
    """Use only these label categories; all if none is given."""

    strongest: int = 8
    """Strongest images kept for each unit."""

    rotate: Annotated[int | None, arg(metavar="SEED")] = None
    """Dissect each layer in a basis rotated at random from this seed: the control for whether concepts align with units."""

    folds: int | None = None
    """Keep counts by this many folds of the images too, for intervals, held-out IoU and label sets; 1 for none; ten, or as many
    as there are images, if not given."""

    min_images: int = 10
    """Concepts that fewer of the images show are never a unit's label."""

    score: str = "iou"
    """What labels a unit, the concept with the highest: iou, f1, precision, recall, matthews or npmi."""

    null: int = 0
    """Compare the masks with labels of other images so many times too, for p-values and false-discovery rates; 20 is usual."""

    def __post_init__(self) -> None:
        if not 0 < self.quantile < 1:
            raise UserError(
                f"`quantile` is {self.quantile}; it must lie strictly between 0 and 1: 0.995 keeps the top 0.5 %."
            )
        if not 0 <= self.iou_cut < 1:
            raise UserError(f"`iou_cut` is {self.iou_cut}; it must be at least 0 and below 1: the field uses 0.04.")
        if self.strongest < 1:
            raise UserError(f"`strongest` is {self.strongest}; it must be at least 1, the images kept for each unit.")
        if self.folds is not None and not 1 <= self.folds <= 100:
            raise UserError(f"`folds` is {self.folds}; it must be 1, for none, or 2 to 100: 10 is usual.")
        if self.min_images < 1:
            raise UserError(
                f"`min_images` is {self.min_images}; it must be at least 1, which keeps every concept shown."
            )
        if not 0 <= self.null <= 1000:
            raise UserError(f"`null` is {self.null}; it must be 0, for none, to 1000 rounds: 20 is usual.")
        choose("score", self.score, SCORES)
        if self.union == "touched" and needs_universe(self.score):
            raise UserError(
                f"`score` is {self.score!r}, which needs the pixels that neither mask nor concept covers; `union` 'touched' "
                f"knows no such number, as each unit counts in images of its own: set `union` to 'category' or 'all-images'."
            )
        if self.rotate is not None and not (type(self.rotate) is int and 0 <= self.rotate < 2**63):
            raise UserError(
                f"`rotate` is {self.rotate!r}; it must be a whole number in 0..2^63 - 1, the seed of the rotation, or not be "
                f"given."
            )
        for name, allowed in (
            ("tap", TapPoint),
            ("layout", LayoutRule),
            ("upsample", UpsampleRule),
            ("union", UnionRule),
        ):
            _check_choice(name, getattr(self, name), get_args(allowed))

    @property
    def n_folds(self) -> int:
        """`folds`, once `resolved`."""
        return self.folds or 1

    def resolved(self, n_images: int) -> Settings:
        """The same for a set of so many images, with what was not given chosen for it.

        >>> Settings().resolved(2862).folds, Settings().resolved(4).folds, Settings(folds=2).resolved(4).folds
        (10, 4, 2)
        """
        return self if self.folds is not None else replace(self, folds=min(FOLDS, max(n_images, 1)))

    def as_json(self) -> dict[str, Any]:
        """The fields as `run.json` records them."""
        return asdict(self) | {"categories": list(self.categories) or None}


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How the work is done; none of it decides the result."""

    device: str = "auto"
    """cpu, cuda, cuda:N, or auto."""

    batch_size: int | None = None
    """Images in each forward pass; 64 on a GPU, 4 on a CPU, where a small batch is the fast one, if not given."""

    workers: int | None = None
    """Lanes that compute, threads that read images and count; as many as there are CPUs to use if not given."""

    memory: float | None = None
    """GiB for activations that wait for their threshold, and for counts; past it they go to the run folder's disk.
    Half of what is free on the GPU, 0.5 without one, if not given."""

    spill: float | None = None
    """GiB of disk that these activations may take; where they would take more, the network is shown the images a second time
    instead. A quarter of what is free if not given."""

    on_bad_image: Literal["skip", "fail"] = "fail"
    """What to do with an image or label map that cannot be used."""

    allow_varying: bool = False
    """Dissect a network all the same that answers differently when it is shown the same images again, or fewer at once."""

    checkpoint_every: Annotated[float, Suppress] = 30.0
    """Seconds between two savings of the work done so far, from which an interrupted run resumes; more where saving is slow."""

    def __post_init__(self) -> None:
        check_range("`batch_size`", 1 if self.batch_size is None else self.batch_size, 1, 4096)
        check_range("`workers`", self.n_workers, 1, 256)
        check_range("`memory`", 1 if self.memory is None else self.memory, 1e-6, 2**20)
        check_range("`spill`", 0 if self.spill is None else self.spill, 0, 2**20)
        check_range("`checkpoint_every`", self.checkpoint_every, 0, 2**20)
        _check_choice("on_bad_image", self.on_bad_image, ("skip", "fail"))

    @property
    def n_workers(self) -> int:
        """`workers`, or the CPUs that this process may use."""
        return min(usable_cpus(), 256) if self.workers is None else self.workers

    def n_lanes(self, device: str) -> int:
        """Batches that are computed beside each other: one on a GPU, which is busy with one."""
        return self.n_workers if device == "cpu" else 1

    def on(self, device: str) -> Execution:
        """The same for a device that can be used, with what was not given chosen for it.

        >>> Execution(memory=2).on("cpu").batch_size
        4
        """
        batch_size, memory = self.batch_size, self.memory
        if batch_size is None:
            batch_size = GPU_BATCH_SIZE if is_cuda(device) else CPU_BATCH_SIZE
        if memory is None:
            memory = round(free_memory(device) / 2 / 2**30, 2) if is_cuda(device) else CPU_MEMORY
        return replace(self, device=device, batch_size=batch_size, memory=memory)

    @property
    def n_together(self) -> int:
        """`batch_size`; where it is not given, as it is on a CPU."""
        return CPU_BATCH_SIZE if self.batch_size is None else self.batch_size

    @property
    def memory_bytes(self) -> int:
        """`memory` in bytes; where it is not given, as it is on a CPU."""
        return int((self.memory if self.memory is not None else CPU_MEMORY) * 2**30)

    def disk_bytes(self, folder: Path) -> int:
        """`spill` in bytes, for files in `folder`."""
        return shutil.disk_usage(folder).free // 4 if self.spill is None else int(self.spill * 2**30)


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"`{name}` is {value!r}; it must be one of {', '.join(allowed)}.")

"""Make every number and figure of the study's page, README.md again:

    python studies/depthwise_vs_pointwise/study.py --data DIR --trained RUNS ...

DIR is a label set of real photographs in the Broden layout, RUNS what `mdl decathlon` left for the tables of methods. Without
either, its part of the study stays as it is. Everything that is finished in the folder of the runs is taken from there, so
an interrupted study goes on where it stopped. The tables also lie beside this script, as CSV.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import tables
import tyro

from data_prep.common.errors import UserError
from data_prep.formats import LabelledImages

if TYPE_CHECKING:
    from torch import nn

    from dissect.models import Network

HERE = Path(__file__).parent
PAPER = ("imagenet12", "cifar100-individual")
"""The two networks of the paper's Figures 5 and 6, shipped with the package."""
DOMAINS = ("cifar100", "dtd", "gtsrb", "omniglot", "vgg-flowers")
LAYERS, ALL_LAYERS = ("18", "20", "22"), tuple(str(n) for n in range(1, 26))
LITE0_LAYERS, ALL_LITE0_LAYERS = ("18", "24", "30"), tuple(str(n) for n in range(2, 33, 2))
"""Of efficientnet_lite0: blocks 8, 11 and 14; and every block. A block's depthwise and projection convolution share a number."""
FOLDS, ROTATION, SEED = 10, 1, 0


@dataclass(frozen=True)
class Part:
    """Some networks and layers that are dissected into one run folder."""

    name: str
    networks: tuple[str, ...]
    layers: tuple[str, ...]
    folds: int = FOLDS
    rotate: int | None = None


PARTS = (
    Part("paper", PAPER, LAYERS),
    Part("domains", DOMAINS, LAYERS),
    Part("untrained", ("untrained",), LAYERS),
    Part("rotated", PAPER, LAYERS, rotate=ROTATION),
    Part("lite0", ("lite0", "lite0-untrained"), LITE0_LAYERS),
    Part("lite0-rotated", ("lite0",), LITE0_LAYERS, rotate=ROTATION),
    Part("curve", (*PAPER, "untrained"), ALL_LAYERS, folds=1),
    Part("curve-rotated", PAPER[:1], ALL_LAYERS, folds=1, rotate=ROTATION),
    Part("lite0-curve", ("lite0",), ALL_LITE0_LAYERS, folds=1),
)


def main(
    data: Path | None = None,
    trained: tuple[Path, ...] = (),
    out: Path = Path("runs/study"),
    parts: tuple[str, ...] = (),
) -> None:
    """Run what is missing of the study, then write the tables, the figures and README.md.

    Args:
        data: A set of real photographs in the Broden layout; only the embedded set if not given.
        trained: The result folders of the methods, from `mdl decathlon`; those tables stay as they are if not given.
        out: The folder of the runs.
        parts: Only these parts of the study, leaving tables and figures alone.
    """
    from data_prep.broden import open_broden
    from data_prep.mini_broden import ensure

    embedded = open_broden(ensure())
    embedded.name = "embedded"
    for label_set in [embedded, *([open_broden(data)] if data else [])]:
        for part in PARTS:
            if not parts or part.name in parts:
                dissect_part(part, label_set, out / label_set.name)
    if not parts:
        tables.write(out, HERE, trained)
        write_figures(out / "embedded", HERE)
        print(f"written: {HERE / 'study.md'}")


def dissect_part(part: Part, label_set: LabelledImages, out: Path) -> Path:
    """The finished run folder of a part, made if it is not there."""
    from data_prep.common.terminal import progress_bars
    from dissect.pipeline import run
    from dissect.settings import Execution, Settings

    print(f"{label_set.name}: {part.name}", flush=True)
    settings = Settings(strongest=8 if part.name == "paper" else 1, rotate=part.rotate, folds=part.folds)
    suffix = "-rotated" if part.rotate is not None else ""
    networks = [replace(network(name), name=f"{name}{suffix}") for name in part.networks]
    with progress_bars() as progress:
        return run(
            networks, label_set, part.layers, settings, out / part.name, ("depthwise", "pointwise"),
            Execution(memory=1), progress, SEED, f"python studies/depthwise_vs_pointwise/study.py --parts {part.name}",
        )  # fmt: skip


def network(name: str) -> Network:
    """A network of the study by its name in the tables."""
    from dissect.models import Network, load_network
    from mdl.networks.resnet26 import separable_resnet26
    from mdl.shipped.reader import load_shipped

    if name.startswith("lite0"):
        lite0 = replace(load_network("efficientnet_lite0"), name=name)
        return lite0 if name == "lite0" else replace(lite0, model=_untrained_lite0(), trained=False, weights=None)
    untrained = name == "untrained"
    model, facts = load_shipped(PAPER[0] if untrained else name)
    if untrained:  # shown the same images in the same way as the base network
        model = separable_resnet26(facts.n_classes, facts.width, seed=SEED).eval()
    return Network(
        name, f"mdl:{name}", model, facts.input_size, facts.mean, facts.std, trained=not untrained,
        domain="" if untrained else facts.domain, note="" if untrained else facts.note,
    )  # fmt: skip


def _untrained_lite0() -> nn.Module:
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return EfficientNet.from_name("efficientnet-lite0").eval()


def write_figures(runs: Path, out: Path) -> None:
    """Figures 5 and 6 and the curves over all layers, of the embedded set: no real image is in them."""
    from dissect.run_store import open_run
    from reports.curves import layer_curves
    from reports.page import write_report
    from reports.style import figure_style, write_figure
    from reports.summary import populations

    write_report(runs / "paper")
    for name in ("figure5", "figure6"):
        shutil.copyfile(runs / "paper" / "figures" / f"{name}.png", out / f"{name}.png")
    panels = dict(_panels(populations(open_run(runs / part)) for part in ("curve", "curve-rotated")))
    for measure, stem in (("attributes", "curve-unique"), ("share", "curve-share")):
        with figure_style():
            write_figure(layer_curves(panels, measure), out / stem)
        (out / f"{stem}.svg").unlink()


def _panels(runs: Iterator[Sequence]) -> Iterator[tuple[str, list]]:
    for pops in runs:
        for name in dict.fromkeys(p.network for p in pops):
            yield name, [p for p in pops if p.network == name]


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except UserError as error:
        sys.exit(f"error: {error}")

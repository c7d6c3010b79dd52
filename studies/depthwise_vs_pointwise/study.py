"""Make every number and figure of the study's page, README.md, again:

    python studies/depthwise_vs_pointwise/study.py --data DIR --trained RUNS ...

DIR is a label set of real photographs in the Broden layout, RUNS the result folders of `mdl decathlon`, for the tables of
methods. What is not given stays as it is in the page. Runs that are finished are taken from the folder of the runs, so the
same command resumes an interrupted study. The tables also lie beside this script, as CSV.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import tables
import tyro
from networks import Sources, network

from data_prep.common.errors import UserError
from data_prep.formats import LabelledImages
from dissect.settings import Settings, TapPoint

if TYPE_CHECKING:
    from reports import Population

HERE = Path(__file__).parent
PAPER = ("imagenet12", "cifar100-individual")
"""The two networks of the paper's Figures 5 and 6, shipped with the package."""
DOMAINS = ("cifar100", "dtd", "gtsrb", "omniglot", "vgg-flowers")
LAYERS, ALL_LAYERS = ("18", "20", "22"), tuple(str(n) for n in range(1, 26))
LITE0_LAYERS, ALL_LITE0_LAYERS = ("18", "24", "30"), tuple(str(n) for n in range(2, 33, 2))
"""Of efficientnet_lite0: blocks 8, 11 and 14; and every block. A block's depthwise and projection convolution share a number."""
LITE12_LAYERS = ("24", "32", "40")
"""Of efficientnet_lite1 and lite2, the blocks at the same places: the first with 112 or 120 channels, the first and the last with
192 or 208."""
HALF_WIDTH = tuple(f"{name}-half" for name in (*PAPER, *DOMAINS, "untrained"))
EPOCHS = tuple(f"epoch-{n}" for n in (1, 3, 7, 13, 14, 20))
"""Of a half-width base network whose rate falls after epochs 13 and 18."""
FOLDS, ROUNDS, ROTATION = 10, 20, 1


@dataclass(frozen=True)
class Part:
    """Some networks and layers that are dissected into one run folder.

    null: rounds with the labels of other images, on photographs. rotate: the seed of a random basis, if any.
    photographs: not on the embedded set, which has too few concepts to tell more.
    """

    name: str
    networks: tuple[str, ...]
    layers: tuple[str, ...]
    folds: int = FOLDS
    null: int = 0
    rotate: int | None = None
    tap: TapPoint = Settings.tap
    quantile: float = Settings.quantile
    photographs: bool = False


PARTS = (
    Part("paper", PAPER, LAYERS, null=ROUNDS),
    Part("domains", DOMAINS, LAYERS, null=ROUNDS),
    Part("untrained", ("untrained",), LAYERS, null=ROUNDS),
    Part("rotated", PAPER, LAYERS, null=ROUNDS, rotate=ROTATION),
    Part("lite0", ("lite0", "lite0-untrained"), LITE0_LAYERS, null=ROUNDS),
    Part("lite0-rotated", ("lite0",), LITE0_LAYERS, rotate=ROTATION),
    Part("lite12", ("lite1", "lite1-untrained", "lite2", "lite2-untrained"), LITE12_LAYERS, photographs=True),
    Part("half-width", HALF_WIDTH, LAYERS, photographs=True),
    Part("training", EPOCHS, LAYERS, photographs=True),
    Part("tap-bn", PAPER, LAYERS, tap="bn", photographs=True),
    Part("tap-relu", PAPER, LAYERS, tap="relu", photographs=True),
    Part("level-0.99", PAPER, LAYERS, quantile=0.99, photographs=True),
    Part("level-0.999", PAPER, LAYERS, quantile=0.999, photographs=True),
    Part("lite0-tap-bn", ("lite0",), LITE0_LAYERS, tap="bn", photographs=True),
    Part("lite0-tap-relu", ("lite0",), LITE0_LAYERS, tap="relu", photographs=True),
    Part("lite0-level-0.99", ("lite0",), LITE0_LAYERS, quantile=0.99, photographs=True),
    Part("lite0-level-0.999", ("lite0",), LITE0_LAYERS, quantile=0.999, photographs=True),
    Part("curve", (*PAPER, "untrained"), ALL_LAYERS, folds=1),
    Part("curve-rotated", PAPER[:1], ALL_LAYERS, folds=1, rotate=ROTATION),
    Part("lite0-curve", ("lite0",), ALL_LITE0_LAYERS, folds=1),
)


def main(
    data: Path | None = None,
    trained: tuple[Path, ...] = (),
    half_width: Path | None = None,
    checkpoints: Path | None = None,
    out: Path = Path("runs/study"),
    parts: tuple[str, ...] = (),
    tables_only: bool = False,
) -> None:
    """Run what is missing of the study, then write the tables, the figures and README.md.

    Args:
        data: A set of real photographs in the Broden layout; only the embedded set if not given.
        trained: The result folders of the methods, from `mdl decathlon`, one for each seed; those tables stay if not given.
        half_width: The folder of the networks of half width, from `python -m mdl.shipped`; without it those parts are left out.
        checkpoints: The folder with epoch-1.safetensors and so on, kept while a base network of half width was trained.
        out: The folder of the runs.
        parts: Only these parts of the study, leaving tables and figures alone.
        tables_only: Dissect nothing: write tables, figures and README.md from the runs that are there.
    """
    from data_prep import open_broden, open_embedded

    sources = Sources(half_width, checkpoints)
    for label_set in [] if tables_only else [open_embedded(), *([open_broden(data)] if data else [])]:
        for part in PARTS:
            wanted = part.name in parts if parts else all(map(sources.has, part.networks))
            if wanted and not (part.photographs and label_set.name == "embedded"):
                dissect_part(part, label_set, out / label_set.name, sources)
    if not parts:
        tables.write(out, HERE, trained, checkpoints)
        write_figures(out, HERE)
        print(f"written: {HERE / 'README.md'}")


def dissect_part(part: Part, label_set: LabelledImages, out: Path, sources: Sources) -> Path:
    """The finished run folder of a part, made where it is not there yet."""
    from data_prep.common.terminal import progress_bars
    from dissect import Execution, run

    print(f"{label_set.name}: {part.name}", flush=True)
    settings = Settings(
        strongest=8 if part.name == "paper" else 1,
        rotate=part.rotate,
        folds=part.folds,
        null=0 if label_set.name == "embedded" else part.null,
        tap=part.tap,
        quantile=part.quantile,
    )
    suffix = "-rotated" if part.rotate is not None else ""
    networks = [replace(network(name, sources), name=f"{name}{suffix}") for name in part.networks]
    with progress_bars() as progress:
        finished = run(
            networks, label_set, layers=part.layers, operators=("depthwise", "pointwise"), out=out / part.name,
            settings=settings, execution=Execution(device="cpu", memory=1), progress=progress,
            recorded={"command": f"python studies/depthwise_vs_pointwise/study.py --parts {part.name}"},
        )  # fmt: skip
    return finished.path


def write_figures(runs: Path, out: Path) -> None:
    """The differences, and, of the embedded set, Figures 5 and 6 and the curves over all layers: no real image is in them.

    runs: the folder of all runs.
    """
    from figure import write_differences
    from pages import is_drawn, read_tables

    from dissect import open_run
    from reports import figure_style, layer_curves, populations, write_figure, write_report
    from reports.bars import Measure

    read = read_tables(out)
    differences, width = (table[~table["data"].map(is_drawn)] for table in (read["differences"], read["width"]))
    write_differences(differences, width, out / "differences")
    runs = runs / "embedded"
    write_report(runs / "paper")
    for name in ("figure5", "figure6"):
        shutil.copyfile(runs / "paper" / "figures" / f"{name}.png", out / f"{name}.png")
    panels = dict(_panels(populations(open_run(runs / part)) for part in ("curve", "curve-rotated")))
    stems: dict[Measure, str] = {"attributes": "curve-unique", "share": "curve-share"}
    for measure, stem in stems.items():
        with figure_style():
            write_figure(layer_curves(panels, measure), out / stem)
        (out / f"{stem}.svg").unlink()


def _panels(runs: Iterator[list[Population]]) -> Iterator[tuple[str, list[Population]]]:
    """Title and populations of every network of the runs."""
    for pops in runs:
        for name in dict.fromkeys(p.network for p in pops):
            yield name, [p for p in pops if p.network == name]


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except UserError as error:
        sys.exit(f"error: {error}")

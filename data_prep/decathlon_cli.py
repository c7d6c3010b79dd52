"""The commands `data-prep decathlon check|stats|download|embedded`; `cli.py` hands over to them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from data_prep.common.command import Tool
from data_prep.common.terminal import print_table, progress_bar

EXAMPLES = {
    "check": "data-prep decathlon check data/decathlon --domains dtd svhn",
    "stats": "data-prep decathlon stats data/decathlon",
    "download": "data-prep decathlon download data/decathlon --domains dtd svhn vgg-flowers",
    "embedded": "data-prep decathlon embedded --out data/mini-decathlon",
}
STATS_COLUMNS = ("domain", "classes", "train", "val", "test", "H x W", "grey", "MB", "mean R G B", "std R G B")


def check(root: tyro.conf.Positional[Path], domains: tuple[str, ...] = (), limit: int = 20) -> int:
    """Check a decathlon: read every annotation file, go through every tar, decode every image.

    Exit status: 0 no fault, 1 faults found, 2 there is nothing that could be checked.

    Args:
        root: The folder that holds annotations/ and data/.
        domains: Only these domains; without it all.
        limit: How many faults, and how many warnings, to tell; all are counted.
    """
    from data_prep.decathlon_check import check_decathlon

    with progress_bar("checking images") as progress:
        report = check_decathlon(root, limit, progress, domains or None)
    print(*report.lines(), sep="\n")
    return 1 if report.n_faults else 0


def stats(root: tyro.conf.Positional[Path], domains: tuple[str, ...] = ()) -> int:
    """Tell what is in a decathlon: classes, images, sizes, grey share, and mean and std measured over each train split.

    Args:
        root: The folder that holds annotations/ and data/.
        domains: Only these domains; without it all.
    """
    from data_prep.decathlon_check import measure

    with progress_bar("measuring images") as progress:
        rows = [_stats_row(row) for row in measure(root, progress, domains or None)]
    print_table(STATS_COLUMNS, rows, numbers=range(1, len(STATS_COLUMNS)))
    return 0


def download(
    root: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")],
    domains: tuple[str, ...] = (),
    base_url: str | None = None,
    accept_other_checksum: bool = False,
) -> int:
    """Download the official decathlon (about 430 MB, ImageNet excepted); run it again to go on after a break.

    Args:
        root: Where it goes: annotations/, data/ and downloads/ are made there.
        domains: Official names of domains; without it all ten.
        base_url: Another server's folder with the same two archives.
        accept_other_checksum: Take an archive whose sha256 is not the one known here; its own is written down and said.
    """
    from data_prep.download import BASE_URL
    from data_prep.download import download as steps

    with progress_bar("downloading") as progress:
        for line in steps(root, domains or None, base_url or BASE_URL, accept_other_checksum, progress):
            print(line)
    return 0


def embedded(out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None) -> int:
    """Print where the embedded miniature decathlon lies, and draw it first where it is not there yet.

    Args:
        out: A new folder to draw it into; without it the set is kept in the cache.
    """
    from data_prep import mini_decathlon

    with progress_bar("drawing images") as progress:
        root = mini_decathlon.ensure(progress=progress) if out is None else mini_decathlon.make(out, progress=progress)
    print(root)
    return 0


TOOL = Tool(
    "data-prep decathlon",
    "Check, measure, download or draw a visual decathlon.",
    {"check": check, "stats": stats, "download": download, "embedded": embedded},
    EXAMPLES,
)


def _stats_row(row) -> tuple[str, ...]:
    images = [f"{row.n_images[split]:,}" if split in row.n_images else "-" for split in ("train", "val", "test")]
    if "test" in row.n_images and not row.labelled_test:
        images[2] += " unlabelled"
    sizes = dict.fromkeys("{}x{}".format(*shape) for shape in (row.smallest, row.largest))
    numbers = [" ".join(f"{value:.3f}" for value in values) for values in (row.mean, row.std)]
    grey, megabytes = f"{row.grey_share:.1%}", f"{row.n_bytes / 1e6:.1f}"
    return row.domain, f"{row.n_classes:,}", *images, "..".join(sizes), grey, megabytes, *numbers

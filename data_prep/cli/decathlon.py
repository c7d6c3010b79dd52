"""The commands `data-prep decathlon add|check|stats|download|embedded`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from data_prep.cli.results import draw, show_report
from data_prep.common.command import Tool
from data_prep.common.terminal import Cell, Style, print_rows, printable, progress_bars
from data_prep.findings import LIMIT

if TYPE_CHECKING:
    from data_prep.decathlon_check import DomainRow


def add(
    name: tyro.conf.Positional[str],
    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR|CSV")],
    /,
    *,
    like: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    val_share: float = 0.15,
    test_share: float = 0.2,
    overwrite: bool = False,
) -> int:
    """Make a domain of your own from a folder of images for each class, in the layout of a decathlon.

    The split is drawn by a hash of the pixels, so it is the same everywhere and equal images never part.

    Args:
        name: What to call the domain: letters, digits, - and _.
        source: A folder that holds a folder for each class; or the folders train, val and test of such folders; or a CSV file
            with the columns path, class and, if you like, split.
        like: The decathlon that the domain joins; a new one where the folder is not there.
        val_share: The share of each class that epochs are chosen on, where the source has no val.
        test_share: The share of each class that is counted in the end, where the source has no test.
        overwrite: Replace a domain of this name.
    """
    from data_prep.decathlon_add import add_domain

    with progress_bars() as progress:
        added = add_domain(
            name, source, like, val_share=val_share, test_share=test_share, overwrite=overwrite, progress=progress
        )
    rows: list[list[Cell]] = [
        [name, *(added.n_images[split][name] for split in added.n_images)] for name in added.n_images["train"]
    ]
    rows.append(["all", *(sum(of_class.values()) for of_class in added.n_images.values())])
    print_rows(["class", *added.n_images], rows, style="table", numbers=(1, 2, 3))
    mean, std = (" ".join(f"{value:.3f}" for value in values) for values in (added.mean, added.std))
    print(f"mean {mean}, std {std} of red, green and blue in 0..1")
    for told in (added.left_out, added.duplicates):
        print(*(f"note: {printable(sentence)}" for sentence in told[:LIMIT]), sep="\n", end="\n" * bool(told))
        if len(told) > LIMIT:
            print(f"note: {len(told) - LIMIT:,} more like the last")
    print(f"domain {added.name} of {printable(added.root)}")
    return 0


def check(
    root: tyro.conf.Positional[Path], domains: tuple[str, ...] = (), limit: int = LIMIT, style: Style = "table"
) -> int:
    """Check a decathlon: read every annotation file, go through every tar, decode every image.

    Exit status: 0 no fault, 1 faults found, 2 there is nothing that could be checked.

    Args:
        root: The folder that holds annotations/ and data/.
        domains: Only these domains; without it all.
        limit: How many faults, and how many warnings, to show; all are counted.
        style: A report to read, or the findings alone as CSV or JSON.
    """
    from data_prep.decathlon_check import check_decathlon

    with progress_bars() as progress:
        report = check_decathlon(root, limit, progress, domains or None)
    return show_report(report, style)


def stats(root: tyro.conf.Positional[Path], domains: tuple[str, ...] = (), style: Style = "table") -> int:
    """Show what is in a decathlon: classes, images, sizes, grey share, and mean and std measured over each train split.

    Args:
        root: The folder that holds annotations/ and data/.
        domains: Only these domains; without it all.
        style: A table to read, or plain numbers as CSV or JSON.
    """
    from data_prep.decathlon_check import measure

    with progress_bars() as progress:
        rows = [(_worded if style == "table" else _plain)(row) for row in measure(root, progress, domains or None)]
    columns = list(rows[0])
    print_rows(columns, [list(row.values()) for row in rows], style=style, numbers=range(1, len(columns)))
    return 0


def download(
    root: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")],
    domains: tuple[str, ...] = (),
    base_url: str | None = None,
    accept_other_checksum: bool = False,
) -> int:
    """Download the official decathlon (about 430 MB, ImageNet excepted); run it again to resume after a break.

    Args:
        root: Where it goes: annotations/, data/ and downloads/ are made there.
        domains: Official names of domains; without it all ten.
        base_url: Another server's folder with the same two archives.
        accept_other_checksum: Take an archive whose sha256 is not the one known here; its own is written down and shown.
    """
    from data_prep.download import BASE_URL, download_decathlon

    with progress_bars() as progress:
        steps = download_decathlon(
            root,
            domains or None,
            base_url=base_url or BASE_URL,
            accept_other_checksum=accept_other_checksum,
            progress=progress,
        )
        for line in steps:
            print(line)
    return 0


def embedded(out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None) -> int:
    """Print where the embedded miniature decathlon lies, and draw it first where it is not there yet.

    Args:
        out: A new folder to draw it into; without it the set is kept in the cache.
    """
    from data_prep import mini_decathlon

    return draw(mini_decathlon, out)


TOOL = Tool(
    "data-prep decathlon",
    "Check, measure, download or draw a visual decathlon, or add a domain of your own.",
    {"add": add, "check": check, "stats": stats, "download": download, "embedded": embedded},
    {
        "add": "data-prep decathlon add my-flowers photos --like data/mine",
        "check": "data-prep decathlon check data/decathlon --domains dtd svhn",
        "stats": "data-prep decathlon stats data/decathlon --style csv",
        "download": "data-prep decathlon download data/decathlon --domains dtd svhn vgg-flowers",
        "embedded": "data-prep decathlon embedded --out data/mini-decathlon",
    },
)


def _worded(row: DomainRow) -> dict[str, Cell]:
    """A row of the table, for people."""
    images = {split: f"{row.n_images[split]:,}" if split in row.n_images else "-" for split in ("train", "val", "test")}
    if "test" in row.n_images and not row.labelled_test:
        images["test"] += " unlabelled"
    sizes = dict.fromkeys("{}x{}".format(*shape) for shape in (row.smallest, row.largest))
    mean, std = (" ".join(f"{value:.3f}" for value in values) for values in (row.mean, row.std))
    return {
        "domain": row.domain,
        "classes": f"{row.n_classes:,}",
        **images,
        "H x W": "..".join(sizes),
        "grey": f"{row.grey_share:.1%}",
        "MB": f"{row.n_bytes / 1e6:.1f}",
        "mean R G B": mean,
        "std R G B": std,
    }


def _plain(row: DomainRow) -> dict[str, Cell]:
    """The same with one number in a cell, for programs; None where there is no such split."""
    channels = {
        f"{what}_{channel}": value if row.n_images.get("train") else None
        for what, values in (("mean", row.mean), ("std", row.std))
        for channel, value in zip(("red", "green", "blue"), values.tolist(), strict=True)
    }
    return {
        "domain": row.domain,
        "n_classes": row.n_classes,
        **{f"n_{split}": row.n_images.get(split) for split in ("train", "val", "test")},
        "labelled_test": row.labelled_test,
        **{f"smallest_{side}": n for side, n in zip(("height", "width"), row.smallest, strict=True)},
        **{f"largest_{side}": n for side, n in zip(("height", "width"), row.largest, strict=True)},
        "grey_share": row.grey_share,
        "n_bytes": row.n_bytes,
        **channels,
    }

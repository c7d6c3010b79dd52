"""The commands `data-prep check`, `data-prep pack` and `data-prep embedded`, for label sets in the Broden layout."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import tyro

from data_prep.cli.results import draw, show_report
from data_prep.common.errors import UserError
from data_prep.common.terminal import Style, printable, progress_bars
from data_prep.findings import LIMIT


def check(path: tyro.conf.Positional[Path], limit: int = LIMIT, style: Style = "table") -> int:
    """Check a whole Broden set: read every table, decode every image and label map, count every label.

    Exit status: 0 no fault, 1 faults found, 2 a table as a whole cannot be read.

    Args:
        path: Folder of the set: index.csv, category.csv, label.csv, c_*.csv and images/.
        limit: How many faults, and how many warnings, to show; all are counted.
        style: A report to read, or the findings alone as CSV or JSON.
    """
    from data_prep.broden_check import check_broden

    with progress_bars() as progress:
        report = check_broden(path, limit, progress)
    return show_report(report, style)


def pack(path: tyro.conf.Positional[Path], split: str | None = None, categories: tuple[str, ...] = ()) -> int:
    """Decode the labels of a Broden set once, into one file of the cache that `dissect run` reads in their place.

    `dissect run` does so by itself for 500 images or more; it takes the file as long as no file of the set has changed, and makes
    it again when one has. Results are the same with and without it.

    Args:
        path: Folder of the set: index.csv, category.csv, label.csv, c_*.csv and images/.
        split: Only images of this split, as a run with the same choice needs them; without it all.
        categories: Only these categories, as a run with the same choice needs them; without it all.
    """
    from data_prep.broden import open_broden
    from data_prep.packed import open_packed
    from data_prep.packed import pack as pack_labels

    data = open_broden(path, split, categories or None)
    file, start = data.packed_file(), time.monotonic()
    packed, done = open_packed(file, data.fingerprint()), "were packed before"
    if packed is None:
        with progress_bars() as progress:
            packed = pack_labels(file, data, progress)
        done = f"packed in {time.monotonic() - start:.1f} s"
    if packed is None:
        raise UserError(f"Files in {path} were changed while they were packed: give the same command again.")
    unusable = f", {packed.n_unusable:,} of which cannot be used" if packed.n_unusable else ""
    print(f"{printable(file)}: labels of {len(packed):,} images{unusable}, {file.stat().st_size / 1e6:.1f} MB, {done}")
    return 0


def embedded(out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None) -> int:
    """Print where the embedded miniature Broden set lies, and draw it first where it is not there yet.

    Args:
        out: A new folder to draw the set into; without it the set is kept in the cache.
    """
    from data_prep import mini_broden

    return draw(mini_broden, out)

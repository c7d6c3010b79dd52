"""The commands `data-prep check` and `data-prep embedded`, for label sets in the Broden layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from data_prep.cli.results import draw, show_report
from data_prep.common.terminal import Style, progress_bars
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


def embedded(out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None) -> int:
    """Print where the embedded miniature Broden set lies, and draw it first where it is not there yet.

    Args:
        out: A new folder to draw the set into; without it the set is kept in the cache.
    """
    from data_prep import mini_broden

    return draw(mini_broden, out)

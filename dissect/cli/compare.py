"""`dissect compare`: networks of finished runs beside each other."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import tyro

from data_prep.common.terminal import Cell, Style, print_rows

COLUMNS = (
    "network", "operator", "units", "detectors", "unique", "unique_low", "unique_high", "difference", "difference_low",
    "difference_high",
)  # fmt: skip


def compare(
    folders: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DIR [DIR ...]")],
    /,
    *,
    networks: tuple[str, ...] = (),
    allow_different: bool = False,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    style: Style = "table",
) -> int:
    """Compare the networks of one finished run, or of several, and write a page, figures and tables.

    Counts with 95 % intervals of their differences; concepts gained, lost and kept; unit beside unit where networks share a
    shape; rotated and untrained runs beside their originals. docs/comparing.md tells how to read them.

    Args:
        folders: Run folders; the others are compared with the first network in the short table and in the figures.
        networks: Compare only the networks of these names; all if none is given.
        allow_different: Compare runs of other data, levels or rules all the same; the page then says which differ.
        out: Where page, figures and tables go; compare-NAMES beside the first run if not given.
        style: A table, or CSV or JSON for another program; then all else that is said goes to standard error.
    """
    from reports.compare_page import write_comparison
    from reports.comparison import compare as compared
    from reports.comparison import short_rows

    aside = sys.stdout if style == "table" else sys.stderr
    comparison = compared(folders, networks=networks, allow_different=allow_different)
    page = write_comparison(comparison, out or folders[0].resolve().parent / comparison.file_name)
    for warning in comparison.warnings:
        print(f"note: {warning}", file=aside)
    print(
        f"unique: distinct concepts among detectors; difference: unique detectors minus those of {comparison.titles[0]}; "
        f"low to high: 95 % intervals",
        file=aside,
    )
    rows = [[_cell(row[name], name, style) for name in COLUMNS] for row in short_rows(comparison).to_dict("records")]
    print_rows(COLUMNS, rows, style=style, numbers=tuple(range(2, len(COLUMNS))))
    print(f"page: {page}", file=aside)
    return 0


def _cell(value: object, name: str, style: Style) -> Cell:
    """Whole numbers as they are, ends of intervals to a tenth, nothing where there is none; a table shows signs."""
    if not isinstance(value, float):
        return value if isinstance(value, int) else str(value)
    if math.isnan(value):
        return None
    if style != "table":
        return round(value, 1)
    return f"{value:+.1f}" if name.startswith("difference") else f"{value:.1f}"

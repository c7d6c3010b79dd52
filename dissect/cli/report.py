"""`dissect report`: figures and page of a finished run, and its short table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from data_prep.common.terminal import Style, print_rows

COLUMNS = ("network", "layer", "operator", "units", "detectors", "share", "unique", "dead")


def report(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")],
    /,
    *,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    style: Style = "table",
) -> int:
    """Draw the figures and the report of a finished run folder again, and print its short table.

    Args:
        folder: A run folder.
        out: Where figures and report go; the run folder if not given.
        style: A table, or CSV or JSON for another program; then all else that is said goes to standard error.
    """
    from dissect.run_store import open_run
    from reports.page import write_report
    from reports.summary import populations

    aside = sys.stdout if style == "table" else sys.stderr
    finished = open_run(folder)
    page = write_report(folder, out=out)
    for note in finished.info.get("notes", ()):
        print(f"note: {note}", file=aside)
    cut = finished.info["settings"]["iou_cut"]
    print(f"detectors: best IoU > {cut}; unique: distinct concepts among them", file=aside)
    rows = [
        (
            layer.network, layer.layer, layer.operator, str(layer.n_units), str(layer.n_detectors),
            f"{layer.detector_share:.1%}", str(len(layer.attributes)), str(layer.n_dead),
        )
        for layer in populations(finished)
    ]  # fmt: skip
    print_rows(COLUMNS, rows, style=style)
    print(f"report: {page}", file=aside)
    return 0

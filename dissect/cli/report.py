"""`dissect report`: figures and page of finished runs, and their short table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from data_prep.common.terminal import Style, print_rows

COLUMNS = (
    "network",
    "layer",
    "operator",
    "units",
    "detectors",
    "held out",
    "sure",
    "chance",
    "share",
    "unique",
    "dead",
)


def report(
    folders: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DIR [DIR ...]")],
    /,
    *,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    assets: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    style: Style = "table",
) -> int:
    """Draw the figures and the report of a finished run again, or one report of several runs, and print the short table.

    Args:
        folders: A run folder; several give one report, in which their networks stand beside each other.
        out: Where figures and report go; the run folder if not given. A report of several runs needs it.
        assets: Put the images and masks into this folder instead of into the report: needed for tens of thousands of units.
            The report then shows them only as long as it is kept together with the folder.
        style: A table, or CSV or JSON for another program; then all else that is said goes to standard error.
    """
    from dissect.run_store import open_run
    from reports.page import write_report
    from reports.summary import populations
    from reports.trust import short_columns

    aside = sys.stdout if style == "table" else sys.stderr
    runs = [open_run(folder) for folder in folders]
    page = write_report(folders[0] if len(folders) == 1 else folders, out=out, assets=assets)
    rows = []
    for run in runs:
        for note in run.info.get("notes", ()):
            print(f"note: {note}", file=aside)
        name = f"{run.path.name}: " if len(runs) > 1 else ""
        trust = short_columns(run)
        rows += [
            (
                f"{name}{layer.network}", layer.layer, layer.operator, str(layer.n_units), str(layer.n_detectors),
                *trust[layer.network, layer.layer, layer.operator],
                f"{layer.detector_share:.1%}", str(len(layer.attributes)), str(layer.n_dead),
            )
            for layer in populations(run)
        ]  # fmt: skip
    cuts = dict.fromkeys(str(run.info["settings"]["iou_cut"]) for run in runs)
    print(
        f"detectors: best IoU > {' or '.join(cuts)}; held out: so on images that did not choose the label; sure: and q < 0.05; "
        f"chance: detectors with the labels of other images; unique: distinct concepts among detectors",
        file=aside,
    )
    for score in dict.fromkeys(run.score for run in runs if run.score != "iou"):
        print(f"labels are the concepts with the highest {score}; IoU is theirs", file=aside)
    print_rows(COLUMNS, rows, style=style)
    print(f"report: {page}", file=aside)
    return 0

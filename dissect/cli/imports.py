"""`dissect import`: another tool's results as a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from dissect.settings import Settings


def import_(
    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE [FILE ...]")],
    /,
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    networks: tuple[str, ...] = (),
    layers: tuple[str, ...] = (),
    operators: tuple[str, ...] = (),
    iou_cut: float = Settings.iou_cut,
    overwrite: bool = False,
) -> int:
    """Make a run folder of NetDissect's tally.csv, one file for each layer, so that it can be reported and compared.

    What a tally does not know (thresholds, images, masks, intervals) is left empty.

    Args:
        files: Tallies: CSV files with the columns unit (from 1), category, label, score and, for each category, K-label, K-truth,
            K-activation, K-intersect, K-iou.
        out: The run folder to write.
        networks: The network that each file is of, or one for all; the folder's name if not given.
        layers: The layer that each file is of, or one for all; if not given, what the path says: NETWORK/LAYER-OPERATOR/tally.csv
            as `dissect export` writes it, or LAYER-result.csv.
        operators: The operator of each layer, or one for all; that of the path, or conv, if not given.
        iou_cut: A unit is a detector if its IoU is above this.
        overwrite: Replace a run that is there.
    """
    from dissect.netdissect_import import import_tallies

    run = import_tallies(
        files, out, networks=networks, layers=layers, operators=operators, iou_cut=iou_cut, overwrite=overwrite
    )
    for note in run.info["notes"]:
        print(f"note: {note}")
    units = run.units
    print(f"{len(units)} units, {int(units['detector'].sum())} detectors: {run.path}")
    return 0

"""`dissect export`: the tables of a finished run for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def export(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")],
    /,
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("tally"),
) -> int:
    """Write NetDissect's tally.csv for every layer of a finished run.

    Args:
        folder: A run folder.
        out: Where the files go: DIR/NETWORK/LAYER-OPERATOR/tally.csv.
    """
    from dissect.netdissect_tally import export_tally
    from dissect.run_store import open_run

    for path in export_tally(open_run(folder), out):
        print(path)
    return 0

"""`dissect sanity`: does each score notice when labels are missing, or wrong?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from data_prep.common.terminal import Style, print_rows

COLUMNS = (
    "score", "units", "missing: fell", "missing: left", "extra: fell", "extra: left", "passes",
)  # fmt: skip


def sanity(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")],
    /,
    *,
    seed: int = 0,
    style: Style = "table",
) -> int:
    """Check which scores notice spoilt labels, on the detectors of a finished run: the sanity checks of Oikarinen et al. 2025.

    Half of the label pixels of each detector's concept are taken away at random (missing), or as many are added (extra). A score
    that measures agreement falls both times for nearly all units.

    Args:
        folder: A run folder.
        seed: Which pixels are taken and added.
        style: A table, or CSV or JSON for another program; then all else that is said goes to standard error.
    """
    from dissect.run_store import open_run
    from dissect.sanity import PASSES
    from dissect.sanity import sanity as check

    aside = sys.stdout if style == "table" else sys.stderr
    run = open_run(folder)
    checks = check(run, seed)
    print(
        f"fell: share of the detectors whose score falls; left: median of what is left of it; a score passes where it falls for "
        f"{PASSES:.0%} in both checks. The labels of this run were chosen by {run.score}.",
        file=aside,
    )
    rows = [
        (
            each.score, str(each.n_units), f"{each.missing.fell_share:.1%}", f"{each.missing.median_ratio:.2f}",
            f"{each.extra.fell_share:.1%}", f"{each.extra.median_ratio:.2f}", "yes" if each.passes else "no",
        )
        for each in checks
    ]  # fmt: skip
    print_rows(COLUMNS, rows, style=style)
    return 0

"""`dissect claims`: what Guo et al. 2019 say of depthwise and pointwise units, held against a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from data_prep.common.errors import UserError
from data_prep.common.terminal import Style, print_rows

COLUMNS = ("network", "claim", "verdict", "measured")


def claims(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")],
    /,
    *,
    style: Style = "table",
) -> int:
    """Hold the claims of Guo et al. 2019 about depthwise and pointwise units against a finished run.

    A claim holds where the 95 % interval lies wholly on its side, in every layer that it is about; it is contradicted where the
    interval lies wholly on the other side in one of them; else it is not settled.

    Args:
        folder: A run folder with folds.
        style: A table, or CSV or JSON for another program; then all else that is said goes to standard error.
    """
    from dissect.run_store import open_run
    from reports.claims import CLAIMS, verdicts

    findings = verdicts(open_run(folder))
    if not findings:
        raise UserError(
            f"{folder} has no layer with depthwise and pointwise units, which the claims are about: dissect both halves of a "
            f"separable network."
        )
    for claim, sentence in CLAIMS.items():
        print(f"{claim}: {sentence}", file=sys.stdout if style == "table" else sys.stderr)
    print_rows(COLUMNS, [(f.network, f.claim, f.verdict, f.measured) for f in findings], style=style)
    return 0

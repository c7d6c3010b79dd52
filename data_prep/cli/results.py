"""What the commands for both kinds of sets have in common: showing what a check found, and drawing an embedded set.

return show_report(check_broden(path, limit, progress), "table")
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from data_prep.common.terminal import Style, print_rows, printable, progress_bars
from data_prep.findings import CheckReport

FINDING_COLUMNS = ("kind", "file", "place", "sentence")


def show_report(report: CheckReport, style: Style) -> int:
    """Print what a check found; the exit status of the command: 1 where there are faults."""
    left_out = [line.replace("`limit`", "--limit") for line in report.left_out()]
    if style == "table":
        for kind in ("fault", "warning"):
            lines = [f"{kind}: {finding}" for each, finding in report.findings() if each == kind]
            print(
                *map(printable, lines),
                *(line for line in left_out if line.startswith(kind)),
                sep="\n",
                end="\n" * bool(lines),
            )
        print(printable(report.root))
        counts = report.counts()
        for name, count in counts.items():
            print(f"  {name:{max(map(len, counts))}}  {count:>9,}")
    else:
        rows = [(kind, found.file, found.place, found.sentence) for kind, found in report.findings()]
        print_rows(FINDING_COLUMNS, rows, style=style)
        print(*left_out, sep="\n", end="\n" * bool(left_out), file=sys.stderr)
    return 1 if report.n_faults else 0


def draw(mini: ModuleType, out: Path | None) -> int:
    """Print where the embedded set of `mini` lies, drawn first where it is not there; in a new folder `out` if given."""
    with progress_bars() as progress:
        root = mini.ensure(progress=progress) if out is None else mini.make(out, progress=progress)
    print(root)
    return 0

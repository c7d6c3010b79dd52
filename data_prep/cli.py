"""The command `data-prep`: `check` looks a Broden set through, `embedded` draws a built-in one, `decathlon ...` does the like
for sets of classified images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import tyro

from data_prep import decathlon_cli
from data_prep.common import command
from data_prep.common.command import Tool
from data_prep.common.terminal import progress_bar

EXAMPLES = {
    "check": "data-prep check data/broden --limit 50",
    "embedded": "data-prep embedded --out data/mini-broden",
    "decathlon": "data-prep decathlon --help",
}


def check(path: tyro.conf.Positional[Path], limit: int = 20) -> int:
    """Check a whole Broden set: read every table, decode every image and label map, count every label.

    Exit status: 0 no fault, 1 faults found, 2 a table as a whole cannot be read.

    Args:
        path: Folder of the set: index.csv, category.csv, label.csv, c_*.csv and images/.
        limit: How many faults, and how many warnings, to tell; all are counted.
    """
    from data_prep.broden_check import check_broden

    with progress_bar("checking images") as progress:
        report = check_broden(path, limit, progress)
    print(*report.lines(), sep="\n")
    return 1 if report.n_faults else 0


def embedded(out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None) -> int:
    """Print where the embedded miniature Broden set lies, and draw it first where it is not there yet.

    Args:
        out: A new folder to draw the set into; without it the set is kept in the cache.
    """
    from data_prep import mini_broden

    with progress_bar("drawing images") as progress:
        root = mini_broden.ensure(progress=progress) if out is None else mini_broden.make(out, progress=progress)
    print(root)
    return 0


TOOL = Tool(
    "data-prep",
    "Make labelled images ready for dissection and training, and check them.",
    {"check": check, "embedded": embedded, "decathlon": decathlon_cli.TOOL},
    EXAMPLES,
)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit."""
    command.main(TOOL, args)


if __name__ == "__main__":
    main()

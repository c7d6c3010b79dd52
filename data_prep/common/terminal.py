"""What the commands show: a bar for each stage of the work, and short tables.

with progress_bars() as progress:
    progress("forward", 8, 400)           # stage, done, total
print_table(("layer", "units"), [("18", "512")], numbers=(1,))
print_rows(("layer", "units"), [("18", "512")], style="csv")
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total) as work goes on."""

Style = Literal["table", "csv", "json"]
"""How a listing command prints its rows."""


def silent(stage: str, done: int, total: int) -> None:
    """A `Progress` that shows nothing: the default of library calls."""


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """A line for each stage, with the time left, on standard error; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"),
        TimeRemainingColumn(),
    )  # fmt: skip
    console = Console(stderr=True)
    # No refreshing thread: the embedded set is drawn by forked processes, and a fork beside a thread may hang.
    with Progress(*columns, console=console, auto_refresh=False, disable=not console.is_terminal) as bars:
        tasks = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(f"{stage:<10}", total=total)
            bars.update(tasks[stage], completed=done, total=total, refresh=True)

        yield update


@contextmanager
def progress_bar(stage: str) -> Iterator[Callable[[int, int], None]]:
    """`with progress_bar("checking") as progress: progress(done, total)`: one bar, for work of one stage."""
    with progress_bars() as progress:
        yield lambda done, total: progress(stage, done, total)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> None:
    """Columns as wide as their widest cell, whatever the terminal's width: a name must stay whole to be copied.

    numbers: the columns that are flush right.
    """
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = [f"{cell:{'>' if n in numbers else '<'}{widths[n]}}" for n, cell in enumerate(row)]
        print("  ".join(cells).rstrip())


def print_rows(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, style: Style = "table", numbers: Sequence[int] = ()
) -> None:
    """The rows of a listing as a table for people, as CSV for a spreadsheet, or as JSON, one object a row."""
    if style == "table":
        print_table(header, rows, numbers)
    elif style == "csv":
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([header, *rows])
        sys.stdout.write(text.getvalue())
    else:
        print(json.dumps([dict(zip(header, row, strict=True)) for row in rows], indent=1, ensure_ascii=False))

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
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from data_prep.common.files import UnixLines, escape_cell

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total) as work proceeds."""

Cell = str | int | float | bool | None
"""What stands in one place of a listing; CSV and JSON keep numbers as they are."""

Style = Literal["table", "csv", "json"]
"""How a listing command prints its rows."""


def printable(text: object) -> str:
    r"""The text with what would steer a terminal, such as escape codes in the name of a file, written as in Python.

    >>> printable("a" + chr(27) + "[31mb.jpg"), printable("naïve 犬.jpg")
    ('a\\x1b[31mb.jpg', 'naïve 犬.jpg')
    """
    return "".join(c.encode("unicode_escape").decode() if _steers(c) else c for c in str(text))


def _steers(character: str) -> bool:
    """Whether it is one of Unicode's control characters, those that format (such as right to left), or that break lines."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


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


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> None:
    """Columns as wide as their widest cell, whatever the terminal's width: a name must stay whole to be copied. Cells are
    `printable`.

    numbers: the columns that are flush right.

    >>> print_table(("layer", "units"), [("conv1", "64"), ("conv2", "512")], numbers=(1,))
    layer  units
    conv1     64
    conv2    512
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = [f"{cell:{'>' if n in numbers else '<'}{widths[n]}}" for n, cell in enumerate(row)]
        print("  ".join(cells).rstrip())


def print_rows(
    header: Sequence[str], rows: Sequence[Sequence[Cell]], *, style: Style = "table", numbers: Sequence[int] = ()
) -> None:
    """The rows of a listing as a table for people, as CSV for a spreadsheet, or as JSON, one object for each row.

    In CSV a text that a spreadsheet would take for a formula is escaped (`data_prep.common.files.escape_cell`).

    >>> print_rows(("layer", "units"), [("conv1", "64"), ("a, b", "2")], style="csv")
    layer,units
    conv1,64
    "a, b",2
    """
    if style == "table":
        print_table(header, [["" if cell is None else str(cell) for cell in row] for row in rows], numbers)
    elif style == "csv":
        text = io.StringIO(newline="")
        cells = [[escape_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
        if sys.stdout.isatty():
            cells = [[printable(cell) if isinstance(cell, str) else cell for cell in row] for row in cells]
        csv.writer(UnixLines(text)).writerows([header, *cells])
        sys.stdout.write(text.getvalue())
    else:
        lines = json.dumps([dict(zip(header, row, strict=True)) for row in rows], indent=1, ensure_ascii=False)
        print("".join(json.dumps(c)[1:-1] if c != "\n" and _steers(c) else c for c in lines))

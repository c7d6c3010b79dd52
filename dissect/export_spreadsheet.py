"""A finished run as one spreadsheet, for Excel, LibreOffice and whatever reads .xlsx.

    export_xlsx(run, Path("tables"))          # [tables/run.xlsx]

Sheets: units (units.csv and trust.csv), labels (labels.csv), concepts (concepts.csv), categories (unit_category.csv) and about,
what run.json says of the run. Every text is a text, whatever it begins with: nothing becomes a formula, a link or a number.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from data_prep.common.errors import UserError
from data_prep.common.files import atomic_write
from dissect.export_tables import about, unit_rows
from dissect.run_store import Run

ROWS = 2**20
"""Rows of a sheet, the header included: Excel's limit."""

LETTERS = 2**15 - 1
"""Letters of a cell: Excel's limit."""

WIDEST = 40
"""Letters that a column is wide at most."""

_AS_TEXT = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}


def export_xlsx(run: Run, out: str | Path) -> list[Path]:
    """Write run.xlsx into the folder `out`; returns its path in a list. Raises `UserError` where a table has too many rows."""
    tables = {"units": unit_rows(run), "concepts": run.concepts, "categories": run.unit_category}
    if run.labels is not None:
        tables["labels"] = run.labels
    for name, table in tables.items():
        if len(table) >= ROWS:
            raise UserError(
                f"{run.path} has {len(table)} rows for the sheet {name}, and a sheet holds {ROWS - 1}: export it as csv."
            )
    path = Path(out) / "run.xlsx"
    content = io.BytesIO()  # the writer seeks
    with xlsxwriter.Workbook(content, {"in_memory": False, "constant_memory": True, **_AS_TEXT}) as book:
        bold = book.add_format({"bold": True})
        for name in ("units", "labels", "concepts", "categories"):
            if name in tables:
                _fill(book.add_worksheet(name), tables[name], bold)
        _fill(book.add_worksheet("about"), pd.DataFrame(_lines("", about(run)), columns=["field", "value"]), bold)
    with atomic_write(path) as file:
        file.write(content.getvalue())
    return [path]


def _fill(sheet: Worksheet, table: pd.DataFrame, bold: Any) -> None:
    """The table, its header fixed, with a filter for each column."""
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, len(table), len(table.columns) - 1)
    for k, name in enumerate(table.columns):
        longest = max((len(str(value)) for value in table[name].unique()), default=0)
        sheet.set_column(k, k, min(max(longest, len(str(name))) + 2, WIDEST))
        sheet.write_string(0, k, str(name), bold)
    for n, row in enumerate(table.itertuples(index=False, name=None), 1):
        for k, value in enumerate(row):
            _write(sheet, n, k, value)


def _write(sheet: Worksheet, n: int, k: int, value: Any) -> None:
    if isinstance(value, str):
        if value:
            sheet.write_string(n, k, value[:LETTERS])
    elif isinstance(value, bool | np.bool_):  # a nullable column gives the latter
        sheet.write_boolean(n, k, value)
    elif not pd.isna(value):
        sheet.write_number(n, k, value)


def _lines(field: str, value: Any) -> Iterator[tuple[str, str]]:
    """A line for each field of an object, inner ones as `outer.inner`; a list of plain values is one line.

    >>> list(_lines("", {"a": {"b": 1, "c": [1, 2]}, "d": [{"e": None}]}))
    [('a.b', '1'), ('a.c', '1, 2'), ('d[0].e', '')]
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _lines(f"{field}.{key}" if field else str(key), inner)
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for n, inner in enumerate(value):
            yield from _lines(f"{field}[{n}]", inner)
    elif isinstance(value, list):
        yield field, ", ".join(map(_word, value))
    else:
        yield field, _word(value)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)

"""Read one table of a label set, as spreadsheets and data frames write it.

    rows = read_rows(root / "label.csv", ("number", "name"), told=told, digest=digest)
    rows[0].number, rows[0].fields["name"]             # 2, "cat": rows count as in a spreadsheet, where the header is row 1

The table is CSV in UTF-8, with or without a byte order mark. Where the header has the columns that must be there, separated by
semicolons or tabs, so are the fields. Columns without a name are left out, as are blank rows and empty fields past the header.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from data_prep.common.errors import UserError
from data_prep.common.files import read_regular

OnFinding = Callable[[str, int, str], None]
"""`on_finding(file, row, sentence)`."""


@dataclass(frozen=True, slots=True)
class Told:
    """Who hears what is wrong: `fault` that a row is left out, `warning` what looks wrong but changes no result."""

    fault: OnFinding
    warning: OnFinding


class Digest(Protocol):
    """A hash of `hashlib`."""

    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Row:
    """The fields of one row by the names of their columns."""

    number: int
    fields: dict[str, str]


def read_rows(path: Path, columns: Sequence[str], *, told: Told, digest: Digest) -> tuple[list[str], list[Row]]:
    """The names of the columns, among them `columns`, and the rows; `digest` takes in the file.

    Raises `UserError` where the table is missing, is no such CSV or lacks a column. A row with other fields is a fault.
    """
    try:
        data = read_regular(path)
        text = data.decode("utf-8-sig")
        header, *records = _records(text, columns)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: every Broden set has this table; unpack the set again.") from None
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} is no table that can be read ({error}): save it as CSV in UTF-8.") from error
    digest.update(f"{path.name}\0{len(data)}\0".encode() + data)
    named = [name for name in header if name]
    wrong = [f"lacks the column {column!r}" for column in columns if column not in named]
    wrong += [f"has two columns {column!r}" for column in named if named.count(column) > 1]
    if wrong:
        raise UserError(f"{path} {wrong[0]}: its header must have {','.join(columns)} once each and is {header}.")
    needed = max(header.index(column) for column in columns) + 1
    rows = []
    for number, record in enumerate(records, start=2):
        if not any(field.strip() for field in record):
            continue  # a row of a spreadsheet all the same
        n_fields = max(n for n, field in enumerate(record, start=1) if field or n <= len(header))
        if needed <= n_fields <= len(header):
            filled = record[: len(header)] + [""] * (len(header) - len(record))
            rows.append(Row(number, {name: field for name, field in zip(header, filled, strict=True) if name}))
        else:
            sentence = f"{len(record)} fields under a header of {len(header)}; give each column one field."
            told.fault(path.name, number, sentence)
    return named, rows


def whole_number(text: str) -> int:
    """The number that `text` writes in digits; -1 where it writes none, or one of more than nine digits.

    >>> whole_number("17"), whole_number("17.0"), whole_number("-17"), whole_number("a/one.png")
    (17, 17, -1, -1)
    """
    found = re.fullmatch(r"([0-9]{1,9})(\.0*)?", text.strip())
    return int(found[1]) if found else -1


def _records(text: str, columns: Sequence[str]) -> list[list[str]]:
    """All records, the header first; a column without a name, which pandas calls 'Unnamed: 0' when it reads one, is ''."""
    tried: dict[str, list[list[str]] | csv.Error] = {}
    for separator in ",;\t":
        try:
            # Strict: a quote left open would otherwise swallow the rest of the table in silence.
            records = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
        except csv.Error as error:
            tried[separator] = error
            continue
        header = [re.sub(r"Unnamed: \d+", "", name.strip()) for name in records[0]] if records else []
        tried[separator] = [header, *records[1:]]
        if set(columns) <= set(header):
            return [header, *records[1:]]
    usual = tried[","]
    if isinstance(usual, csv.Error):
        raise usual
    return usual

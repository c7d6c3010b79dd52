"""The files of a run folder: how each is written, hashed, and read back with what is wrong told by file, row and field. No torch.

    write_table(out / "units.csv", table)
    write_arrays(out / "counts" / "net.npz", arrays)
    record_of(out / "units.csv")                         # its size, hash and number of rows, for run.json
    verify(out, info["files"])                           # raises `RunFolderError` where one was changed since

What a table or an array must hold stands in `run_schema`.
"""

from __future__ import annotations

import csv
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pandas as pd

from data_prep.common.errors import UserError
from data_prep.common.files import UnixLines, atomic_write, escape_cell, file_hash, unescape_cell

REMEDY = "restore it, or dissect again with `overwrite`"

ARRAY_ERRORS = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What numpy and zipfile raise for an NPZ file that is damaged, encrypted, or none at all."""


class RunFolderError(UserError):
    """The folder is not what the caller takes it for: unfinished, damaged, or made with other settings."""


def read_info(path: Path) -> dict[str, Any]:
    """`run.json` of a folder, finished or not."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no number that JSON knows")

    try:
        text = (path / "run.json").read_text(encoding="utf-8")
        info = json.loads(text, parse_constant=refuse)
        if not isinstance(info, dict):
            raise ValueError(f"it holds a {type(info).__name__}")
        return info
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(
            f"{path / 'run.json'} cannot be read ({error}): delete the folder and run again."
        ) from error


def read_rows(path: Path, columns: Iterable[str]) -> list[list[str]]:
    """The rows of a CSV file below its header, which must be `columns`; all of them text.

    Raises `RunFolderError`; row 1 of its sentences is the header, as in a spreadsheet.
    """
    columns = list(columns)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = ([unescape_cell(cell) for cell in row] for row in csv.reader(file, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        why = "it is empty" if isinstance(error, ValueError) and "unpack" in str(error) else error
        raise RunFolderError(f"{path} cannot be read ({why}): {REMEDY}.") from error
    if header != columns:
        wrong = [name for name in columns if name not in header]
        what = f"has no column {wrong[0]!r}" if wrong else f"has the columns {', '.join(header)}"
        raise RunFolderError(f"{path} {what}; its columns must be {', '.join(columns)}: {REMEDY}.")
    for n, row in enumerate(rows, 2):
        if len(row) != len(columns):
            raise RunFolderError(f"{path}, row {n} has {len(row)} fields, not {len(columns)}: {REMEDY}.")
    return rows


def read_arrays(path: Path, by_slices: str | None = None) -> dict[str, Any]:
    """The arrays of an NPZ file of a run folder. Raises `RunFolderError` where it is damaged or missing.

    by_slices: what the names of arrays begin with that are to be read a slice at a time, as `Slices`.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            large = [name for name in arrays if by_slices and name.startswith(by_slices)]
            return {name: Slices(path, name) if name in large else arrays[name] for name in arrays}
    except (*ARRAY_ERRORS, TypeError, AttributeError) as error:  # np.load of a bare array is no context manager
        raise RunFolderError(f"{path} cannot be read ({error}): {REMEDY}.") from error


class Slices:
    """An array of an NPZ file, read a slice of its first axis at a time whenever it is looped over.

    Raises `RunFolderError` where the file is damaged or missing.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            with zipfile.ZipFile(self.path) as arrays, arrays.open(f"{self.name}.npy") as file:
                if np.lib.format.read_magic(file) != (1, 0):
                    raise ValueError("it is of another format")
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                for _ in range(shape[0]):
                    content = file.read(int(np.prod(shape[1:])) * dtype.itemsize)
                    yield np.frombuffer(content, dtype).reshape(shape[1:])
        except ARRAY_ERRORS as error:
            raise RunFolderError(f"{self.path} cannot be read ({error}): {REMEDY}.") from error


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Compressed NPZ; same arrays, same bytes."""
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """CSV that is read back to the same floats (shortest exact form) and a spreadsheet opens.

    Texts and names of columns that it would take for formulas are escaped (`escape_cell`); `read_rows` undoes that.
    """
    table = table.rename(columns=escape_cell)
    texts = table.select_dtypes(exclude=["number", "bool"])
    table = table.assign(**{str(name): column.map(_escaped) for name, column in texts.items()})
    with atomic_write(path, "w") as file:
        write_rows(file, table)


def write_rows(file: IO[str], table: pd.DataFrame, *, header: bool = True) -> None:
    """The rows as CSV, with the names of the columns before them."""
    table.to_csv(cast("IO[str]", UnixLines(file)), index=False, header=header, lineterminator="\r\n")


def _escaped(cell: object) -> object:
    return escape_cell(cell) if isinstance(cell, str) else cell


def sha256_of(path: Path) -> str:
    """The hash of a file's content, computed once for each state of the file (size, time of change) in this process."""
    stat = path.stat()
    key = (str(path.absolute()), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    if key not in _hashes:
        _hashes[key] = file_hash(path)
    return _hashes[key]


_hashes: dict[tuple[str, int, int, int, int], str] = {}


def record_of(path: Path) -> dict[str, Any]:
    """What run.json keeps of a file: its size, its hash and, of a table, the number of its rows."""
    record: dict[str, Any] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    return {"rows": _n_rows(path), **record} if path.suffix == ".csv" else record


def is_as_recorded(path: Path, record: Mapping[str, Any]) -> bool:
    """Whether the file is there, and the one that the record was made of."""
    return path.is_file() and path.stat().st_size == record["bytes"] and sha256_of(path) == record["sha256"]


def verify(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises `RunFolderError` at the first file that is missing or no longer what the run wrote."""
    for name, record in files.items():
        path = folder / name
        if not path.is_file():
            raise RunFolderError(f"{path} is missing: {REMEDY}.")
        if not is_as_recorded(path, record):
            rows = _n_rows(path) if "rows" in record else None
            counted = (
                f"it has {rows} rows, not {record['rows']}" if rows != record.get("rows") else "its hash is another"
            )
            raise RunFolderError(f"{path} was changed since the run wrote it ({counted}): {REMEDY}.")


def _n_rows(path: Path) -> int | None:
    """Rows below the header; None where it is no CSV any more."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return max(sum(1 for _ in csv.reader(file)) - 1, 0)
    except (OSError, ValueError, csv.Error):
        return None

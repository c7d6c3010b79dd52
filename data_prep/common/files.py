"""Files that appear under their name whole, or not at all.

    with atomic_write(path) as file:          # binary; `atomic_write(path, "w")` for UTF-8 text
        file.write(content)
    write_bytes(path, content)
    write_json(path, {"n": 1})
    read_regular(path, limit=2**20)           # bytes, of a regular file only
    escape_cell("=1+1")                       # "'=1+1": what a spreadsheet would run as a formula

A process that is killed while it writes leaves the old file, or none, and at worst a temporary one that begins with a dot.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def atomic_write(path: Path, mode: str = "wb", check: Callable[[Path], object] | None = None) -> Iterator[IO[Any]]:
    """A new file that takes the place of `path` at the end of the `with` block, if all went well. Makes its folder.

    check: called with the path of the finished file before it takes that place; what it raises keeps `path` as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        binary = "b" in mode
        with os.fdopen(handle, mode, encoding=None if binary else "utf-8", newline=None if binary else "") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if check:
            check(Path(temporary))
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """`content` as the file `path`."""
    with atomic_write(path) as file:
        file.write(content)


def write_json(path: Path, value: Any) -> None:
    """`value` as JSON, letters as they are; a number that is not finite is refused."""
    write_bytes(path, f"{json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)}\n".encode())


def open_regular(path: Path) -> IO[bytes]:
    """The file, open for reading. Raises `OSError` where it is none, or no regular one: a pipe or a device may never end."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(f"it is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: Path, limit: int | None = None) -> bytes:
    """What a regular file holds. Raises `OSError` where it is none, or holds more than `limit` bytes."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if limit is not None and size > limit:
            raise OSError(f"it has {size:,} bytes, more than the {limit:,} that it can need")
        return file.read()


_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def escape_cell(text: str) -> str:
    """The text as a cell of a CSV file: with an apostrophe before it where a spreadsheet would take it for a formula.

    Numbers are no texts and stay as they are. `unescape_cell` gives back every text.

    >>> escape_cell("=1+1"), escape_cell("dog"), unescape_cell(escape_cell("'=1+1"))
    ("'=1+1", 'dog', "'=1+1")
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unescape_cell(cell: str) -> str:
    """The text that `escape_cell` made the cell of.

    >>> unescape_cell("'=1+1"), unescape_cell("'tis")
    ('=1+1', "'tis")
    """
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell


class UnixLines:
    """Where `csv.writer(UnixLines(file))` and pandas write rows that end in CRLF, so that they quote a carriage return inside a
    cell too; the file's lines end in LF.

    >>> import csv, io
    >>> text = io.StringIO(newline="")
    >>> _ = csv.writer(UnixLines(text)).writerow(["a\\rb", 1])
    >>> text.getvalue()
    '"a\\rb",1\\n'
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, row: str) -> int:
        return self._file.write(row.removesuffix("\r\n") + "\n")


_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""Excel takes the wide signs of East Asian keyboards for formulas too. The apostrophes keep the escaping reversible."""


def file_hash(path: Path) -> str:
    """The sha256 of what a file holds, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def at_home(path: str | Path) -> Path:
    """The path with a `~` or `~user` at its beginning expanded; one of an unknown user is left as it is.

    >>> at_home("~/runs") == Path.home() / "runs", at_home("runs/~")
    (True, PosixPath('runs/~'))
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111  that of Path raises for an unknown user


def slug(text: str) -> str:
    """`text` as a part of a file's name: letters, digits, `.` and `_` stay, the rest becomes `_`.

    >>> slug("layer 4/conv1.weight")
    'layer_4_conv1.weight'
    """
    return "".join(c if c.isalnum() or c in "._" else "_" for c in text)

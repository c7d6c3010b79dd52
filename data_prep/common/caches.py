"""The cache folder: what can be made again at any time, and is kept because that takes long.

    cache_folder()                            # $DISSECT_CACHE, or multidomain-dissection in $XDG_CACHE_HOME, or in ~/.cache
    mark_used(path)                           # it was of use just now
    make_room(folder / "decoded", "*.pixels", keep=path)      # deletes what was of use longest ago, beyond $DISSECT_CACHE_LIMIT
    for entry in cached():
        entry.name, entry.n_bytes, entry.used
    clear(["decoded"])                        # `data-prep cache --clear decoded`

Nothing is deleted there but what has the names of what we keep: the folder may be anybody's.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from data_prep.common.errors import UserError, choose

FOLDER_VARIABLE, LIMIT_VARIABLE = "DISSECT_CACHE", "DISSECT_CACHE_LIMIT"

LIMIT = 50.0
"""GB of decoded images that are kept at most; those of ImageNet, 72 pixels wide, have 25."""

COMPILED, DECODED, HASHES, LABELS = "compiled", "decoded", "hashes", "labels"

KINDS = {
    COMPILED: (r".+\.nb[ci].*", "machine code of dissect's inner loops"),
    DECODED: (r".+\.(pixels|npy).*", "decoded images that mdl trains on"),
    HASHES: (r".+\.json.*", "hashes of the files of label sets"),
    LABELS: (r".+\.labels.*", "labels of label sets, packed"),
    "mini-broden-v[0-9]+": (".*", "the embedded label set"),
    "mini-decathlon-v[0-9]+": (".*", "the embedded decathlon"),
}
"""By the name of a folder: which of its files are ours, and what they are."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One folder of the cache. used: seconds since 1970."""

    name: str
    what: str
    n_files: int
    n_bytes: int
    used: float


def cache_folder() -> Path:
    """`$DISSECT_CACHE`, or `multidomain-dissection` in `$XDG_CACHE_HOME`, or in `~/.cache`. Raises `UserError` without a home."""
    if own := os.environ.get(FOLDER_VARIABLE):
        return Path(own)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "multidomain-dissection"
    except RuntimeError:
        raise UserError(
            f"There is no home folder to keep files in: set {FOLDER_VARIABLE} to a folder that can be written."
        ) from None


def cache_limit() -> int:
    """Bytes of decoded images to keep at most: `$DISSECT_CACHE_LIMIT`, in GB, or `LIMIT`. Raises `UserError`."""
    text = os.environ.get(LIMIT_VARIABLE) or str(LIMIT)
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not 0 <= limit < 1e9:
        raise UserError(
            f"{LIMIT_VARIABLE} is {text!r}; it must be a number of GB, 0 or more: {LIMIT:g} if it is not set."
        )
    return int(limit * 1e9)


def mark_used(path: Path) -> None:
    """Note that the file was of use just now, which its time of access does not tell everywhere."""
    with suppress(OSError):
        os.utime(path)


def make_room(folder: Path, pattern: str, keep: Path) -> None:
    """Delete files of the folder, those first that were of use longest ago, until all but `keep` fit into `cache_limit`.

    A process that has mapped one keeps its contents. What killed processes left half written goes after a day.
    """
    for left in folder.glob(f".{pattern}.*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > 86_400:
                left.unlink()
    found = []
    for path in folder.glob(pattern):
        with suppress(OSError):  # another process deletes it
            found.append((path.stat().st_mtime, path.stat().st_size, path))
    n_bytes, limit = sum(size for _, size, _ in found), cache_limit()
    for _, size, path in sorted(found):
        if n_bytes > limit and path != keep:
            with suppress(OSError):
                path.unlink()
                n_bytes -= size


def cached() -> list[Entry]:
    """What is in the cache folder, by name; nothing where there is none."""
    entries = []
    for name, (what, files) in _contents().items():
        stats = [path.lstat() for path in files]
        n_bytes, used = sum(stat.st_size for stat in stats), max(stat.st_mtime for stat in stats)
        entries.append(Entry(name=name, what=what, n_files=len(files), n_bytes=n_bytes, used=used))
    return entries


def clear(names: Iterable[str]) -> None:
    """Delete parts of the cache by the names of their folders, or "all" of it. Raises `UserError` for an unknown name."""
    names, there = list(names), _contents()
    for name in names:
        choose(
            "part of the cache",
            name,
            dict.fromkeys([*there, COMPILED, DECODED, HASHES, LABELS, "all"]),
            where=cache_folder(),
        )
    for name in there if "all" in names else there.keys() & names:
        folders = {cache_folder() / name}
        for path in there[name][1]:
            folders.update(folder for folder in path.parents if folder.is_relative_to(cache_folder() / name))
            path.unlink(missing_ok=True)
        for folder in sorted(folders, reverse=True):  # the inner ones first
            with suppress(OSError):  # something of somebody else's is in it
                folder.rmdir()


def _contents() -> dict[str, tuple[str, list[Path]]]:
    """By the name of a folder: what is in it, and our files there, one at least."""
    root = cache_folder()
    contents = {}
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        for name, (file, what) in KINDS.items():
            if re.fullmatch(name, folder.name) and folder.is_dir() and not folder.is_symlink():
                files = [path for path in folder.rglob("*") if path.is_file() and re.fullmatch(file, path.name)]
                if files:
                    contents[folder.name] = what, files
    return contents

"""Hashes of what files hold, remembered from run to run for files that did not change since.

    content_hashes(root, ["a.jpg", "b.png"])          # one for each, "" where there is no such regular file

A file is read again where its size, its times of change or its inode are others. One that changed within the last seconds is
read each time: a second change would not show in its times.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from data_prep.common.caches import HASHES, cache_folder
from data_prep.common.errors import UserError
from data_prep.common.files import file_hash, write_bytes

RECENT = 3.0
"""Seconds within which two changes of a file may show the same times, generously (FAT keeps two)."""


def content_hashes(root: Path, names: Iterable[str]) -> list[str]:
    """The sha256 of each of the files below `root`, in the order of `names`; "" where there is none that can be read, or it is
    no regular file. Hashes of earlier calls are kept in the user's cache folder, which need not be writable."""
    folder, names = f"{root.absolute()}{os.sep}", list(names)
    kept = _kept(folder)
    known = _read(kept) if kept else {}
    stamps = {name: _stamp(folder + name) for name in names}
    unknown = [name for name, stamp in stamps.items() if stamp and known.get(name, ("", ""))[0] != stamp]
    with ThreadPoolExecutor(8, thread_name_prefix="hash") as threads:
        fresh = dict(zip(unknown, threads.map(lambda name: _hash(folder + name), unknown), strict=True))
    now = time.time_ns()
    lasting = {
        name: (stamps[name], digest)
        for name, digest in fresh.items()
        if digest and now - max(map(int, stamps[name].split()[1:3])) > RECENT * 1e9
    }
    if lasting and kept:
        with suppress(OSError, ValueError):  # a cache that cannot be written is none
            write_bytes(kept, json.dumps(known | lasting).encode())
    return [fresh[name] if name in fresh else known[name][1] if stamps[name] else "" for name in names]


def _kept(folder: str) -> Path | None:
    """The file that keeps the hashes of a folder; None where there is no home for it."""
    try:
        home = cache_folder()
    except UserError:
        return None
    return home / HASHES / f"{hashlib.sha256(folder.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.json"


def _stamp(path: str) -> str:
    """What changes when the file does; "" where it is no regular file."""
    try:
        found = os.stat(path)  # noqa: PTH116 building a Path would double the time
    except (OSError, ValueError):
        return ""
    regular = stat.S_ISREG(found.st_mode)
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}" if regular else ""


def _hash(path: str) -> str:
    try:
        return file_hash(Path(path))
    except OSError:
        return ""


def _read(kept: Path) -> dict[str, tuple[str, str]]:
    try:
        found = json.loads(kept.read_bytes())
        return {str(name): (str(stamp), str(digest)) for name, (stamp, digest) in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}

"""The published Broden archives: fetched if asked for, unpacked without trust, whole or not at all.

    unpack_broden("broden1_224.zip", "data/broden1_224")
    unpack_broden(f"{PUBLISHED}/broden1_224.zip", "data/broden1_224")

Each is a ZIP file with one folder, which holds index.csv, category.csv, label.csv, c_*.csv and images/. They were published with
Bau et al., "Network Dissection", CVPR 2017, and scripts of github.com/CSAILVision/NetDissect fetch them from `PUBLISHED`.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from data_prep.common.errors import UserError
from data_prep.common.terminal import Progress, silent
from data_prep.decathlon_tables import is_inside
from data_prep.download import UNPACKED, UNPACKED_LEAST
from data_prep.drawn_sets import new_folder
from data_prep.fetch import fetch

PUBLISHED = "http://netdissect.csail.mit.edu/data"
ARCHIVES = ("broden1_224.zip", "broden1_227.zip", "broden1_384.zip")
ADVICE = f"the archives {', '.join(ARCHIVES)} were published at {PUBLISHED}"


def unpack_broden(archive: str | Path, out: str | Path, progress: Progress = silent) -> Path:
    """Unpack an archive, a file or an http address, into the new folder `out`; `progress("unpacking", n_done, n_files)`.

    What is fetched is kept beside `out`, and an attempt that broke off is resumed. Raises `UserError` where there is no file,
    or it is no ZIP file of one Broden set, is damaged, would lead out of the folder or grow beyond what such archives have.
    """
    out = Path(out)
    path = Path(archive)
    if str(archive).startswith(("http://", "https://")):
        path = out.absolute().parent / (PurePosixPath(str(archive)).name or "broden.zip")
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            fetch(str(archive), path, progress)
    if not path.is_file():
        raise UserError(f"{path} is no file: give an archive of Broden, or its address; {ADVICE}.")
    try:
        with zipfile.ZipFile(path) as file:
            members = _members(file, path)
            with new_folder(out) as scratch:
                for done, (name, info) in enumerate(members.items(), 1):
                    target = scratch / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with file.open(info) as source, target.open("wb") as unpacked:
                        shutil.copyfileobj(source, unpacked)
                    progress("unpacking", done, len(members))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path} is no ZIP file that can be unpacked ({error}): get it again; {ADVICE}.") from error
    return out


def _members(file: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """What to unpack, by its path in the set. Raises `UserError` for an archive that is no set, or is not to be trusted."""
    infos = [info for info in file.infolist() if not info.is_dir()]
    for info in infos:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if not is_inside(info.filename) or "\\" in info.filename or kind not in (0, stat.S_IFREG):
            raise UserError(
                f"{path} holds {info.filename!r}, a link or a path out of it: delete it and beware of its source."
            )
    n_bytes, most = sum(info.file_size for info in infos), max(UNPACKED * path.stat().st_size, UNPACKED_LEAST)
    if n_bytes > most:
        raise UserError(
            f"{path} would unpack to {n_bytes:,} bytes, more than the {most:,} that such archives have: delete it."
        )
    roots = {PurePosixPath(info.filename).parent for info in infos if PurePosixPath(info.filename).name == "index.csv"}
    if len(roots) != 1:
        raise UserError(
            f"{path} has index.csv in {len(roots)} folders, and a Broden set has one: take another file; {ADVICE}."
        )
    root = roots.pop()
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        inside = PurePosixPath(info.filename)
        if root in inside.parents and "__MACOSX" not in inside.parts:
            name = str(inside.relative_to(root))
            if name in members:
                raise UserError(f"{path} holds {info.filename!r} twice: it is damaged; get it again.")
            members[name] = info
    return members

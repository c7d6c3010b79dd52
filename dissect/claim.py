"""Whose is a run folder? It is new, or holds the same run, finished or not; anything else is left alone.

    if not is_finished(out, info, overwrite=False):
        with locked(out, "a run"):
            there = claim(out, info, overwrite=False)      # None where the folder holds this very run, finished

Two runs are the same where their settings, data and networks are; a difference is told by the name of the field. The data of
an unfinished run may have changed (an image was restored): then what still holds is used, see `resume`.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_prep.common.errors import short
from data_prep.common.files import write_json
from data_prep.common.locks import LOCK_FILE
from dissect.run_files import is_as_recorded
from dissect.run_info import is_record
from dissect.run_store import RunFolderError, read_info

_log = logging.getLogger(__name__)

RUN_FILES = (
    "run.json", "DONE", "units.csv", "unit_category.csv", "concepts.csv", "images.csv", "replicates.csv", "trust.csv",
    "labels.csv", "counts", "strongest", "responses", "concept_images.npz", "partial", "report.html", "figures",
)  # fmt: skip
"""What a run and its report leave in the folder, all that overwriting may delete."""

_FOLDERS = ("counts", "strongest", "responses", "figures")

_DECIDES = ("settings", "data", "networks")
"""What two runs must agree on to be the same result; the rest of run.json says how and when it was made."""

_TELLS = ("seed", "input_size_from", "mean_from", "std_from", "resize")
"""What says how a network and its preprocessing came about: the hash of its weights, and the values, decide."""


def is_finished(out: Path, info: Mapping[str, Any], *, overwrite: bool) -> bool:
    """Whether `out` holds this very run, finished, and is to be left so. Writes nothing.

    Raises `RunFolderError` where it holds another run that may not be overwritten.
    """
    if overwrite or not (out / "run.json").exists():
        return False
    finished = (out / "DONE").exists()
    _refuse_another(out, read_info(out), info, finished=finished)
    return finished


def claim(out: Path, info: Mapping[str, Any], *, overwrite: bool) -> dict[str, Any] | None:
    """None where `out` holds this very run, finished. Else make it ready for the run, and leave a run.json that says which;
    returns the records of the files of networks that an interrupted one has dissected already.

    info: of this run, for run.json. overwrite: delete what a run that is finished, or had other settings, left there; one
    that was interrupted is resumed all the same. The caller holds the lock of the folder. Raises `RunFolderError` for a
    folder with other things in it.
    """
    files: dict[str, Any] = {}
    if (out / "run.json").exists():
        there = read_info(out)
        finished = (out / "DONE").exists()
        try:
            _refuse_another(out, there, info, finished=finished)
            if finished and not overwrite:
                return None
        except RunFolderError:
            if not overwrite:
                raise
            finished = True
        if finished:
            _delete_run(out)
        else:
            files = _still_true(out, there, info)
    elif any(not _is_leftover(path) for path in out.iterdir()):
        raise RunFolderError(f"{out} is not empty and is no run folder: give another one as `out`.")
    _clean(out)
    write_json(out / "run.json", {**info, "files": files})
    return files


def _refuse_another(out: Path, there: Mapping[str, Any], info: Mapping[str, Any], *, finished: bool) -> None:
    data = {key: value for key, value in info["data"].items() if finished or key != "fingerprint"}
    for part, here in {**{part: info[part] for part in _DECIDES}, "data": data}.items():
        refuse_difference(out, part, there.get(part), here)


def _still_true(out: Path, there: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """The files of finished networks that this run may use: those recorded, unchanged, and made of the same data."""
    recorded = there.get("files")
    found = recorded if isinstance(recorded, dict) else {}
    same_data = there["data"].get("fingerprint") == info["data"]["fingerprint"]
    if not same_data:
        _log.warning("%s: the data changed since this run was interrupted; what depends on it is done again.", out)
    kept = {}
    for name, record in found.items():
        if same_data and is_record(record) and is_as_recorded(out / name, record):
            kept[name] = record
        elif same_data:
            _log.warning("%s is not as the interrupted run left it: its network is dissected again.", out / name)
    return kept


def refuse_difference(out: Path, field: str, there: Any, here: Any) -> None:
    """Raises `RunFolderError` at the first field of `here` that is another one `there`.

    >>> refuse_difference(Path("runs/mine"), "settings", {"quantile": 0.995, "more": 1}, {"quantile": 0.995})
    >>> refuse_difference(Path("runs/mine"), "settings", {"quantile": 0.995}, {"quantile": 0.9})
    Traceback (most recent call last):
    ...
    dissect.run_files.RunFolderError: runs/mine was made with settings.quantile = 0.995, this run has 0.9: ...
    """
    if field.endswith(".source_hash") and there != here:
        raise RunFolderError(f"{out} was made when the code of the network was another ({field} differs): {_REMEDY}.")
    if isinstance(there, dict) and isinstance(here, dict):
        # Only what this run states: a finished run also says how many images it used.
        for key in here:
            if key not in _TELLS:
                refuse_difference(out, f"{field}.{key}", there.get(key), here[key])
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for n, pair in enumerate(zip(there, here, strict=True)):
            refuse_difference(out, f"{field}[{n}]", *pair)
    elif isinstance(there, list) and isinstance(here, list):
        raise RunFolderError(
            f"{out} was made with {field} of {len(there)} entries, this run has {len(here)}: {_REMEDY}."
        )
    elif there != here:
        raise RunFolderError(f"{out} was made with {field} = {short(there)}, this run has {short(here)}: {_REMEDY}.")


_REMEDY = "give another folder as `out`, or `overwrite` it"


def _delete_run(out: Path) -> None:
    """Delete what a run wrote into `out`, which must hold nothing else.

    DONE goes first and run.json last, so that whoever kills this leaves a folder that is no result and still names its run.
    """
    foreign = [path.name for path in out.iterdir() if path.name not in RUN_FILES and not _is_leftover(path)]
    if foreign or "format" not in read_info(out):
        raise RunFolderError(
            f"{out} holds {(foreign or ['a run.json'])[0]}, which no run wrote, so `overwrite` leaves it alone: move that away, "
            f"or give another folder as `out`."
        )
    for name in ("DONE", *(name for name in RUN_FILES if name not in ("DONE", "run.json")), "run.json"):
        path = out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _clean(out: Path) -> None:
    """Delete the files that a killed run left half written, under names that nobody reads."""
    folders = [out, *(out / name for name in _FOLDERS), *out.glob("partial/*"), *out.glob("partial/*/*/*")]
    for folder in folders:
        if folder.is_dir() and not folder.is_symlink():
            for path in [path for path in folder.iterdir() if _is_leftover(path) and path.name != LOCK_FILE]:
                path.unlink(missing_ok=True)


def _is_leftover(path: Path) -> bool:
    """Whether the file is a temporary one of `atomic_write`, or the lock of the folder."""
    if path.name == LOCK_FILE:
        return True
    written = re.fullmatch(r"\.(.+)\.[a-z0-9_]{4,}", path.name)
    if not written or not path.is_file():
        return False
    above = [folder.name for folder in path.parents]
    return written[1] in RUN_FILES or path.parent.name in _FOLDERS or "partial" in (above[1:2] + above[3:4])

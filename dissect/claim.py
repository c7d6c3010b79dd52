"""Whose is a run folder? It is new, or holds the same run, finished or not; anything else is left alone.

    finished = claim(Path("runs/mine"), info, overwrite=False)

Two runs are the same where their settings, data and networks are; a difference is told by the name of the field.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_prep.common.files import write_json
from dissect.run_store import RunFolderError, read_info

RUN_FILES = (
    "run.json", "DONE", "units.csv", "unit_category.csv", "concepts.csv", "images.csv", "replicates.csv", "counts",
    "strongest", "partial", "report.html", "figures",
)  # fmt: skip
"""What a run and its report leave in the folder, all that overwriting may delete."""

_DECIDES = ("settings", "data", "networks")
"""What two runs must agree on to be the same result; the rest of run.json says how and when it was made."""

_TELLS = ("seed",)
"""What says how a network came about: the hash of its weights decides."""


def claim(out: Path, info: Mapping[str, Any], *, overwrite: bool) -> bool:
    """True where `out` holds this very run, finished. Else make it ready for the run, and leave a run.json that says which.

    info: of this run, for run.json. overwrite: delete what a run that is finished, or had other settings, left there; one
    that was interrupted is resumed all the same. Raises `RunFolderError` for a folder with other things in it.
    """
    if (out / "run.json").exists():
        there = read_info(out)
        try:
            for part in _DECIDES:
                refuse_difference(out, part, there.get(part), info[part])
            if (out / "DONE").exists() and not overwrite:
                return True
        except RunFolderError:
            if not overwrite:
                raise
            _delete_run(out)
        if (out / "DONE").exists():
            _delete_run(out)
    elif out.exists() and any(out.iterdir()):
        raise RunFolderError(f"{out} is not empty and is no run folder: give another one as `out`.")
    write_json(out / "run.json", dict(info))
    return False


def refuse_difference(out: Path, field: str, there: Any, here: Any) -> None:
    """Raises `RunFolderError` at the first field of `here` that is another one `there`.

    >>> refuse_difference(Path("runs/mine"), "settings", {"quantile": 0.995, "more": 1}, {"quantile": 0.995})
    >>> refuse_difference(Path("runs/mine"), "settings", {"quantile": 0.995}, {"quantile": 0.9})
    Traceback (most recent call last):
    ...
    dissect.run_store.RunFolderError: runs/mine was made with settings.quantile = 0.995, this run has 0.9: ...
    """
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
        raise RunFolderError(f"{out} was made with {field} = {_short(there)}, this run has {_short(here)}: {_REMEDY}.")


_REMEDY = "give another folder as `out`, or `overwrite` it"


def _delete_run(out: Path) -> None:
    """Delete what a run wrote into `out`, which must hold nothing else."""
    unfinished = tuple(f".{name}." for name in RUN_FILES)  # what a run that was killed left half written
    foreign = [p.name for p in out.iterdir() if p.name not in RUN_FILES and not p.name.startswith(unfinished)]
    if foreign or "format" not in read_info(out):
        raise RunFolderError(
            f"{out} holds {(foreign or ['a run.json'])[0]}, which no run wrote, so `overwrite` leaves it alone: move that away, "
            f"or give another folder as `out`."
        )
    for path in out.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

"""Where the base network of a trained domain lay, and the domains that it is made from, remembered beside the domain's weights.

    remember_base(folder, "elsewhere/body.safetensors")    # writes base.json
    remembered_base(folder)                                # the file, or None where it is no longer there
    remembered_sources(folder)                             # for soft sharing, the domain files that it mixes

It only says where to look: whether a file is the right one, the hash in the domain's file decides. Weights that are passed on
carry no path.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_prep.common.files import write_json

PLACE_FILE = "base.json"


def remember_base(folder: Path, base: str | Path, sources: Sequence[str | Path] = ()) -> None:
    """Write where `base` and `sources` lie, from `folder` and from the root, so that either may move."""
    written: dict[str, Any] = _places(folder, base)
    if sources:
        written["sources"] = [_places(folder, source) for source in sources]
    write_json(folder / PLACE_FILE, written)


def remembered_base(folder: Path) -> Path | None:
    """The base network's file; None where nothing was remembered, or it lies there no longer."""
    return _found(folder, _read(folder))


def remembered_sources(folder: Path) -> list[Path]:
    """The files of the domains that the folder's is made from; none where nothing was remembered, or one lies there no longer."""
    said = _read(folder)
    sources = said.get("sources", []) if isinstance(said, dict) else []
    found = [_found(folder, source) for source in sources] if isinstance(sources, list) else []
    there = [path for path in found if path is not None]
    return there if len(there) == len(found) else []


def _places(folder: Path, file: str | Path) -> dict[str, str]:
    file = Path(file).resolve()
    return {"beside": os.path.relpath(file, folder.resolve()), "file": str(file)}


def _read(folder: Path) -> Any:
    try:
        if (folder / PLACE_FILE).is_file():  # a device never ends
            return json.loads((folder / PLACE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        pass
    return None


def _found(folder: Path, said: Any) -> Path | None:
    try:
        return next((place for place in (folder / said["beside"], Path(said["file"])) if place.is_file()), None)
    except (OSError, ValueError, TypeError, KeyError):
        return None

"""Where the base network of a trained domain lay, remembered beside the domain's weights.

    remember_base(folder, "elsewhere/body.safetensors")    # writes base.json
    remembered_base(folder)                                # the file, or None where it is no longer there

It only says where to look: whether a file is the right one, the hash in the domain's file decides. Weights that are passed on
carry no path.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from data_prep.common.files import write_json

PLACE_FILE = "base.json"


def remember_base(folder: Path, base: str | Path) -> None:
    """Write where `base` lies, from `folder` and from the root, so that either may move."""
    base = Path(base).resolve()
    write_json(folder / PLACE_FILE, {"beside": os.path.relpath(base, folder.resolve()), "file": str(base)})


def remembered_base(folder: Path) -> Path | None:
    """The base network's file; None where nothing was remembered, or it lies there no longer."""
    try:
        if not (folder / PLACE_FILE).is_file():  # a device never ends
            return None
        said = json.loads((folder / PLACE_FILE).read_text(encoding="utf-8"))
        places = [folder / said["beside"], Path(said["file"])]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return next((place for place in places if place.is_file()), None)

"""What run.json of a finished run must hold, checked where it is opened. No torch.

check_info(path, info)                    # raises `RunFolderError`, naming the field
files_of(info)                            # the files that belong to the run
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from data_prep.common.errors import short
from data_prep.common.files import write_json
from dissect.run_files import REMEDY, RunFolderError, record_of
from dissect.run_schema import is_below

FORMAT_VERSION = 3

ARRAYS = ("strongest", "responses", "counts")
"""Folders with a file of arrays for each network."""

CONCEPT_IMAGES = "concept_images.npz"
"""The images that show each concept."""


def is_file_name(name: object) -> bool:
    """Whether a network may have this name, which names files of the run folder.

    >>> [is_file_name(name) for name in ("imagenet12", "010", "a b", "../up", "", ".hidden", "é" * 65)]
    [True, True, True, False, False, False, False]
    """
    return (
        isinstance(name, str)
        and is_text(name)
        and 0 < len(name.encode()) <= 128
        and not re.search(r"^\.|[/\\\x00-\x1f\x7f]", name)
    )


FILE_NAME = "at most 128 bytes (128 plain letters), no slash and no control character, and not begin with a dot"
"""What a network's name must be, in words."""

_OPTIONAL = "?"
"""At the end of the name of a field that need not be there."""


def is_text(value: object) -> bool:
    """Whether a file of text can hold it."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which no file can hold
        return False
    return True


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _share(value: Any) -> bool:
    return _number(value) and 0 <= value <= 1


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _anything(_value: Any) -> bool:
    return True


_SAYS: dict[Any, str] = {
    is_text: "text", _number: "a number", _int: "a whole number, 0 or more", _share: "a number in 0..1", _flag: "true or false",
    is_file_name: f"a name of {FILE_NAME}",
}  # fmt: skip

_RECORD = {"bytes": _int, "sha256": is_text, "rows?": _int}

_INFO: dict[str, Any] = {
    "name": is_text,
    "created": is_text,
    "command": is_text,
    "settings": {
        "iou_cut": _share, "quantile?": _share, "tap?": is_text, "upsample?": is_text, "union?": is_text,
        "split?": _or_none(is_text), "categories?": _or_none(lambda value: isinstance(value, list) and all(map(is_text, value))),
        "strongest?": _int, "folds?": _int, "rotate?": _or_none(_int), "min_images?": _int, "score?": is_text, "null?": _int,
    },
    "source?": {"format": is_text, "files": [{"name": is_text, "sha256": is_text}]},
    "data": {
        "name": is_text, "images": is_text, "fingerprint": is_text, "n_images": _or_none(_int), "categories": [is_text],
        "n_used?": _int, "n_skipped?": _int, "skipped?": [{"name": is_text, "reason": is_text}],
        "turned?": [{"name": is_text, "shape": [_int]}],
    },
    "networks": [
        {
            "name": is_file_name, "domain": is_text, "model": is_text, "trained": _or_none(_flag), "weights": _or_none(is_text),
            "weights_hash": is_text, "seed?": _or_none(_int), "n_parameters": _or_none(_int),
            "input_size": [_int], "mean": [_number], "std": [_number],
            "input_size_from": _or_none(is_text), "mean_from": _or_none(is_text), "std_from": _or_none(is_text),
            "layers": [{"layer": is_text, "operator": is_text, "module": is_text, "n_units": _int, "map": [_int]}],
        }
    ],
    "notes": [is_text],
    "versions": {"*": is_text},
    "execution": {"*": _anything},
    "timings": {"*": {"*": _number}},
    "files": {"*": _RECORD},
}  # fmt: skip


def check_info(path: Path, info: Mapping[str, Any]) -> None:
    """Raises `RunFolderError` unless `info` is what run.json of a finished run must hold; further fields may stand beside.

    path: the run folder.
    """
    if info.get("format") != FORMAT_VERSION:
        raise RunFolderError(
            f"{path} has run-folder format {info.get('format')!r}; this version reads {FORMAT_VERSION}: dissect "
            f"again with `overwrite`."
        )
    _check(path / "run.json", "", info, _INFO)
    names = [network["name"] for network in info["networks"]]
    twice = [name for name in names if names.count(name) > 1]
    if not names or twice:
        what = f"names two networks {twice[0]!r}" if twice else "names no network"
        raise RunFolderError(f"{path / 'run.json'} {what}: {REMEDY}.")
    for name in info["files"]:
        if not is_below(name):
            raise RunFolderError(f"{path / 'run.json'}: files has {short(name)}, outside the folder: {REMEDY}.")
    missing = [name for name in files_of(info) if name not in info["files"]]
    if missing:
        raise RunFolderError(f"{path / 'run.json'}: files has no {missing[0]!r}: {REMEDY}.")


def seal(folder: Path, info: Mapping[str, Any]) -> None:
    """Write run.json with what is known of the run's files, then DONE: from now on the folder is a result."""
    write_json(folder / "run.json", {**info, "files": {name: record_of(folder / name) for name in files_of(info)}})
    (folder / "DONE").touch()


def is_record(value: Any) -> bool:
    """Whether this is what run.json keeps of a file."""
    return isinstance(value, dict) and _int(value.get("bytes")) and is_text(value.get("sha256"))


def files_of(info: Mapping[str, Any]) -> list[str]:
    """The files of a finished run beside run.json, as its settings and networks have it."""
    tables = ["units.csv", "unit_category.csv", "concepts.csv", "images.csv"]
    if "source" in info:  # imported: another tool's tables are all there is
        return tables
    tables += ["replicates.csv", "trust.csv", "labels.csv"] if info["settings"].get("folds", 1) > 1 else []
    arrays = [f"{kind}/{network['name']}.npz" for network in info["networks"] for kind in ARRAYS]
    return [*tables, CONCEPT_IMAGES, *arrays]


def _check(path: Path, field: str, value: Any, wanted: Any) -> None:
    if isinstance(wanted, dict):
        if not isinstance(value, dict):
            raise _wrong(path, field, value, "an object of fields")
        for name, inner in wanted.items():
            key = name.removesuffix(_OPTIONAL)
            if name == "*":
                for each, it in value.items():
                    _check(path, f"{field}.{each}" if field else each, it, inner)
            elif key in value:
                _check(path, f"{field}.{key}" if field else key, value[key], inner)
            elif key == name:
                raise RunFolderError(f"{path} has no field {f'{field}.{key}'.lstrip('.')}: {REMEDY}.")
    elif isinstance(wanted, list):
        if not isinstance(value, list):
            raise _wrong(path, field, value, "a list")
        for n, it in enumerate(value):
            _check(path, f"{field}[{n}]", it, wanted[0])
    elif not wanted(value):
        raise _wrong(path, field, value, _SAYS.get(wanted, "of another kind"))


def _wrong(path: Path, field: str, value: Any, says: str) -> RunFolderError:
    return RunFolderError(f"{path}: {field} is {short(value)}; it must be {says}: {REMEDY}.")

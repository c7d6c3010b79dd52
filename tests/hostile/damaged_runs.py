"""Ways to damage the files of a run folder: each a function of the file and of a random generator that decides where."""

from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dissect.run_store import seal

Rng = np.random.Generator
Damage = Callable[[Path, Rng], object]


def reseal(folder: Path) -> None:
    """As if the run itself had written what lies there: so that what checks the contents is asked, and not the hashes."""
    seal(folder, json.loads((folder / "run.json").read_text(encoding="utf-8")))


# Any file


def _halve(path: Path, rng: Rng) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(rng.integers(1, len(content)))])


def _flip(path: Path, rng: Rng) -> None:
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def _noise(path: Path, rng: Rng) -> None:
    path.write_bytes(rng.bytes(path.stat().st_size))


def _folder(path: Path, _rng: Rng) -> None:
    path.unlink()
    path.mkdir()


OF_BYTES: Mapping[str, Damage] = {
    "missing": lambda path, rng: path.unlink(),
    "empty": lambda path, rng: path.write_bytes(b""),
    "halved": _halve,
    "bit": _flip,
    "noise": _noise,
    "folder": _folder,
    "longer": lambda path, rng: path.write_bytes(path.read_bytes() + b"more"),
}


# Tables


def _edit_rows(change: Callable[[list[list[str]], Rng], object]) -> Damage:
    def damage(path: Path, rng: Rng) -> None:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        change(rows, rng)
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        path.write_text(text.getvalue(), encoding="utf-8", newline="")

    return damage


def _some(rows: list[list[str]], rng: Rng) -> int:
    return int(rng.integers(1, len(rows)))


def _duplicate(rows: list[list[str]], rng: Rng) -> None:
    n = _some(rows, rng)
    rows.insert(n, list(rows[n]))


def _swap_rows(rows: list[list[str]], rng: Rng) -> None:
    n = _some(rows[:-1], rng)
    rows[n], rows[n + 1] = rows[n + 1], rows[n]


def _swap_columns(rows: list[list[str]], rng: Rng) -> None:
    n = int(rng.integers(len(rows[0]) - 1))
    for row in rows:
        row[n], row[n + 1] = row[n + 1], row[n]


def _drop_column(rows: list[list[str]], rng: Rng) -> None:
    n = int(rng.integers(len(rows[0])))
    for row in rows:
        del row[n]


def _rename_column(rows: list[list[str]], rng: Rng) -> None:
    rows[0][rng.integers(len(rows[0]))] += "_"


def put(column: str, value: str) -> Damage:
    """One cell of the column becomes this."""

    def change(rows: list[list[str]], rng: Rng) -> None:
        rows[_some(rows, rng)][rows[0].index(column)] = value

    return _edit_rows(change)


OF_ANY_TABLE: Mapping[str, Damage] = {
    "row gone": _edit_rows(lambda rows, rng: rows.pop(_some(rows, rng))),
    "row twice": _edit_rows(_duplicate),
    "rows swapped": _edit_rows(_swap_rows),
    "columns swapped": _edit_rows(_swap_columns),
    "column gone": _edit_rows(_drop_column),
    "column renamed": _edit_rows(_rename_column),
    "field too many": _edit_rows(lambda rows, rng: rows[_some(rows, rng)].append("1")),
    "field too few": _edit_rows(lambda rows, rng: rows[_some(rows, rng)].pop()),
    "header alone": _edit_rows(lambda rows, rng: rows.__delitem__(slice(1, None))),
    "not UTF-8": lambda path, rng: path.write_bytes(path.read_bytes().replace(b"\n", b"\xff\n", 2)),
    "zero byte": lambda path, rng: path.write_bytes(path.read_bytes().replace(b",", b"\0,", 9)),
    "quote": lambda path, rng: path.write_bytes(path.read_bytes().replace(b"\n", b'\n"', 2)),
    "other separator": lambda path, rng: path.write_bytes(path.read_bytes().replace(b",", b";")),
}

CELLS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "units.csv": {
        "network": ("", "other", "../../evil"), "layer": ("", "9", "../../evil"), "operator": ("conv2", "/"),
        "unit": ("", "-1", "1.5", "99", "x"), "threshold": ("", "nan", "inf", "high"), "iou": ("", "-0.1", "1.5", "nan"),
        "detector": ("", "yes", "1"), "dead": ("maybe",), "label": ("no such label",), "category": ("no such category",),
        "intersection_area": ("-5", "1e3", "9" * 30), "max_activation": ("-inf", "0x10"),
    },
    "unit_category.csv": {"network": ("../up",), "unit": ("7",), "iou": ("2",), "label": ("nothing",), "mask_area": ("-1",)},
    "concepts.csv": {"concept": ("9", "", "-1"), "label": ("renamed",), "category": ("renamed",), "n_images": ("many",)},
    "images.csv": {"image": ("0", "99", ""), "name": ("", "../../../etc/passwd", "/etc/passwd", "a/../../b")},
    "replicates.csv": {"left_out": ("-1", "x", "99"), "unit": ("5",), "detector": ("0",), "iou": ("nan",)},
}  # fmt: skip
"""Values that no run writes, by table and column."""


# Arrays


def _edit_arrays(change: Callable[[dict[str, np.ndarray], Rng], object]) -> Damage:
    def damage(path: Path, rng: Rng) -> None:
        with np.load(path) as file:
            arrays = dict(file)
        change(arrays, rng)
        np.savez(path, **arrays)

    return damage


def _set(name: str, value: Callable[[np.ndarray], Any]) -> Damage:
    return _edit_arrays(lambda arrays, rng: arrays.update({name: value(arrays[name])}))


def _spoil(array: np.ndarray, value: int) -> np.ndarray:
    spoilt = array.copy()
    spoilt.flat[0] = value
    return spoilt


def _pickled(path: Path, _rng: Rng) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    arrays[next(iter(arrays))] = np.array([{"a": 1}], dtype=object)
    np.savez(path, **arrays)


def _bare(path: Path, _rng: Rng) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def _encrypted(path: Path, _rng: Rng) -> None:
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = -1
        while (start := content.find(mark, start + 1)) >= 0:
            content[start + at] |= 1
    path.write_bytes(content)


def _zip_of_text(path: Path, _rng: Rng) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../../evil.npy", b"text")


OF_ANY_ARRAYS: Mapping[str, Damage] = {
    "array gone": _edit_arrays(lambda arrays, rng: arrays.pop(sorted(arrays)[rng.integers(len(arrays))])),
    "array too many": _edit_arrays(lambda arrays, rng: arrays.update(more=np.zeros(2))),
    "pickled": _pickled,
    "bare array": _bare,
    "encrypted": _encrypted,
    "zip of text": _zip_of_text,
}
OF_COUNTS: Mapping[str, Damage] = {
    "intersection of floats": _set("intersection_area", lambda a: a.astype(np.float64)),
    "intersection too short": _set("intersection_area", lambda a: a[:-1]),
    "mask area below 0": _set("mask_area", lambda a: _spoil(a, -1)),
    "concept area of another shape": _set("concept_area", lambda a: a[None]),
    "fold gone": _set("fold_mask_area", lambda a: a[1:]),
    "threshold of text": _set("threshold", lambda a: a.astype(str)),
}
OF_STRONGEST: Mapping[str, Damage] = {
    "image beyond the images": _set("image", lambda a: _spoil(a, 9999)),
    "image below -1": _set("image", lambda a: _spoil(a, -7)),
    "units too few": _set("image", lambda a: a[1:]),
    "bits too few": _set("mask_bits", lambda a: a[:-3]),
    "offset beyond": _set("mask_offset", lambda a: a + 10**6),
    "offset below 0": _set("mask_offset", lambda a: a - 10**6),
    "mask without size": _set("mask_shape", np.zeros_like),
    "mask too large": _set("mask_shape", lambda a: np.full_like(a, 2**31 - 1)),
}


# run.json


def _edit_info(change: Callable[[dict[str, Any]], object]) -> Damage:
    def damage(path: Path, _rng: Rng) -> None:
        info = json.loads(path.read_text(encoding="utf-8"))
        change(info)
        path.write_text(json.dumps(info), encoding="utf-8")

    return damage


def _fields() -> dict[str, list[str]]:
    """Every field of run.json that the readers count on, as a path of keys."""
    facts = (
        "name",
        "domain",
        "model",
        "trained",
        "weights",
        "weights_hash",
        "n_parameters",
        "input_size",
        "mean",
        "std",
        "layers",
    )
    network = [["networks", "0", key] for key in facts]
    inner = [["data", key] for key in ("name", "images", "fingerprint", "n_images", "categories")]
    top = [
        [key]
        for key in ("format", "settings", "data", "networks", "notes", "versions", "execution", "timings", "files")
    ]
    more = [["settings", "iou_cut"], ["files", "units.csv"], ["networks", "0", "layers", "0", "n_units"]]
    return {".".join(keys): keys for keys in (*top, *inner, *network, *more)}


def _at(info: Any, keys: list[str]) -> tuple[Any, Any]:
    for key in keys[:-1]:
        info = info[int(key)] if isinstance(info, list) else info[key]
    return info, keys[-1]


def of_fields() -> dict[str, Damage]:
    """Each field gone, and each of a kind that it never has."""

    def gone(keys: list[str]) -> Damage:
        def change(info: dict[str, Any]) -> None:
            inner, key = _at(info, keys)
            del inner[key]

        return _edit_info(change)

    def other(keys: list[str]) -> Damage:
        def change(info: dict[str, Any]) -> None:
            inner, key = _at(info, keys)
            inner[key] = [[-1.5]] if not isinstance(inner[key], list) else {"a": -1}

        return _edit_info(change)

    fields = _fields()
    return {f"{name} gone": gone(keys) for name, keys in fields.items()} | {
        f"{name} of another kind": other(keys) for name, keys in fields.items()
    }


OF_INFO: Mapping[str, Damage] = {
    "no JSON": lambda path, rng: path.write_text("{"),
    "a list": lambda path, rng: path.write_text("[1]"),
    "a number": lambda path, rng: path.write_text("7"),
    "NaN": lambda path, rng: path.write_text(path.read_text().replace("0.9", "NaN")),
    "deep": lambda path, rng: path.write_text("[" * 100_000),
    "not UTF-8": lambda path, rng: path.write_bytes(b'{"a": "\xff"}'),
    "digits": lambda path, rng: path.write_text('{"format": ' + "9" * 5000 + "}"),
    "another format": _edit_info(lambda info: info.update(format=99)),
    "no network": _edit_info(lambda info: info.update(networks=[])),
    "network twice": _edit_info(lambda info: info["networks"].append(info["networks"][0])),
    "network outside": _edit_info(lambda info: info["networks"][0].update(name="../../evil")),
    "network of a root": _edit_info(lambda info: info["networks"][0].update(name="/etc/passwd")),
    "network of a dot": _edit_info(lambda info: info["networks"][0].update(name=".")),
    "another network": _edit_info(lambda info: info["networks"][0].update(name="other")),
    "unit too many": _edit_info(lambda info: info["networks"][0]["layers"][0].update(n_units=5)),
    "units without end": _edit_info(lambda info: info["networks"][0]["layers"][0].update(n_units=10**18)),
    "layer gone": _edit_info(lambda info: info["networks"][0]["layers"].pop()),
    "layer outside": _edit_info(lambda info: info["networks"][0]["layers"][0].update(layer="../../evil")),
    "category gone": _edit_info(lambda info: info["data"]["categories"].pop()),
    "category too many": _edit_info(lambda info: info["data"]["categories"].append("more")),
    "more folds": _edit_info(lambda info: info["settings"].update(folds=4)),
    "no folds": _edit_info(lambda info: info["settings"].update(folds=1)),
    "half a letter": _edit_info(lambda info: info["data"].update(name="\ud800")),
    "file outside": _edit_info(lambda info: info["files"].update({"../../bystander": info["files"]["units.csv"]})),
    "another hash": _edit_info(lambda info: info["files"]["units.csv"].update(sha256="0" * 64)),
}


def swap(path: Path, other: Path) -> None:
    """The two files change places."""
    aside = path.with_name("aside")
    shutil.move(path, aside)
    shutil.move(other, path)
    shutil.move(aside, other)

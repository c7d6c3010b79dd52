"""What `mdl` hands over: the result folder of one domain, trained with one method. No torch.

    write_result(folder, result)              # results.json, then DONE
    results = read_results("runs/decathlon/mini")    # every finished folder below, in a fixed order

A finished folder `runs/decathlon/<data>/<system>/<domain>/` holds at least

    results.json       one `Result`: integer counts, recipe as resolved, cost, parameters, versions, seed
    predictions.csv    image_id,class: the class, counted from 0, given to every test image; optional
    DONE               written last; a folder without it is not a result. It holds the sha256 of the other two, checked
                       whenever one is read; an empty one, of an older result, says nothing of them

Everything else in it (weights, curves) belongs to the training.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from data_prep.common.errors import UserError
from data_prep.common.files import file_hash, write_bytes, write_json
from data_prep.common.plain_types import wrong_field

FORMAT_VERSION = 1
RESULT_FILE, PREDICTION_FILE, DONE_FILE = "results.json", "predictions.csv", "DONE"


class ResultError(UserError):
    """A result folder is unfinished, damaged, or of another kind than the caller takes it for."""


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """Some parameters of one kind: `count` numbers that are kept with `bits` bits each.

    name: so that the shared rows of several results are seen to be the same. domain: whose they are; "" for those that
    all domains share.
    kind: what they are for. Every network has "depthwise", "pointwise" or "conv" (filters), "bn" and "linear"; some have
    "bias" (of a convolution; a Linear's own is "linear") and "other"; a method adds its own, such as "adapter" or "mask"
    (its `parameter_kinds`). An adapter's batch normalisation is "bn".
    """

    name: str
    kind: str
    count: int
    _: KW_ONLY
    bits: float = 32
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """What the training took: wall-clock seconds, epochs, images shown (each time counted), and on what."""

    seconds: float = 0.0
    epochs: int = 0
    n_images_seen: int = 0
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One domain trained with one method, and how many test images it got right.

    method: the rule by which domains share a body: "dan", "soft-sharing". system: the row of the tables: the method with
    its variant and, where it is not its paper's, its backbone: "dan-diagonal", "soft-sharing-early", "individual-plain".
    A base network has the method "pretrain" and a system that begins with "base". options: of the method, as resolved;
    a system that is made from trained domains, as soft sharing is, lists their names under "sources".
    data: the data set's name; results of different data never share a table. split: what `n_test` images came from.
    trained_on: `train` or `train+val`. parameters: of the shared body and of this domain; heads included.
    multiply_adds: of one test image of `input_size` (H, W). recipe: as resolved.
    base_hash: of the base network that it started from, without its head; of a base network its own. shared_hash: of all that the
    domain reads and does not own, with the trained domains that it is made from. Both are "" in older results.
    """

    domain: str
    system: str
    method: str
    data: str
    split: str
    n_classes: int
    n_test: int
    n_correct: int
    backbone: str
    width: int
    trained_on: str = "train"
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    cost: Cost = Cost()
    parameters: tuple[ParameterRow, ...] = ()
    multiply_adds: int | None = None
    input_size: tuple[int, int] | None = None
    versions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    base_hash: str = ""
    shared_hash: str = ""

    def __post_init__(self) -> None:
        for part in (self, *([self.cost] if isinstance(self.cost, Cost) else ()), *_rows(self.parameters)):
            if wrong := wrong_field(part):
                name, allowed = wrong
                what = {Cost: "cost.", ParameterRow: "a row of parameters with "}.get(type(part), "")
                raise ResultError(
                    f"The result of domain {self.domain!r} has {what}{name} {getattr(part, name)!r}, which must be {allowed}."
                )
        for name, least in {"n_classes": 1, "width": 1, "multiply_adds": 0}.items():
            if (number := getattr(self, name)) is not None and number < least:
                raise ResultError(
                    f"The result of domain {self.domain!r} has {name} {number}, which must be {least} or more."
                )
        if self.n_test < 1 or not 0 <= self.n_correct <= self.n_test:
            raise ResultError(
                f"The result of domain {self.domain!r} says {self.n_correct} correct of {self.n_test} test images; "
                f"there must be at least one image and no more correct ones than images: evaluate again."
            )

    @property
    def accuracy(self) -> float:
        """Share of the test images that are right, in [0, 1]."""
        return self.n_correct / self.n_test


def write_result(folder: str | Path, result: Result) -> None:
    """`write_result(folder, result)`: `results.json` whole or not at all, and `DONE` last, with the predictions' hash.

    A `DONE` of an earlier result goes first, so that no moment shows a finished folder with half a result.
    """
    folder = Path(folder)
    (folder / DONE_FILE).unlink(missing_ok=True)
    write_json(folder / RESULT_FILE, {"format": FORMAT_VERSION, **asdict(result)})
    there = [name for name in (RESULT_FILE, PREDICTION_FILE) if (folder / name).is_file()]
    write_json(folder / DONE_FILE, {name: file_hash(folder / name) for name in there})


def is_done(folder: str | Path) -> bool:
    """Whether the folder holds a finished result."""
    return (Path(folder) / DONE_FILE).is_file() and (Path(folder) / RESULT_FILE).is_file()


def read_result(folder: str | Path) -> Result:
    """The result of one finished folder. Raises `ResultError` where there is none, or none that can be read."""
    folder = Path(folder)
    if not (folder / RESULT_FILE).is_file():
        raise ResultError(f"{folder} is no result folder: it has no {RESULT_FILE}; give one that `mdl train` wrote.")
    if not (folder / DONE_FILE).is_file():
        raise ResultError(
            f"{folder} is not finished: it has no {DONE_FILE}; run the command that made it again, which resumes it."
        )
    advice = f"delete {folder / DONE_FILE} and run the command that made it, which resumes from what lies there."
    try:
        _check_hash(folder, RESULT_FILE)
        values = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ResultError(f"{folder / RESULT_FILE} cannot be read ({error}): {advice}") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT_VERSION:
        found = values.get("format") if isinstance(values, dict) else None
        raise ResultError(f"{folder / RESULT_FILE} has format {found!r}; this version reads {FORMAT_VERSION}: {advice}")
    try:
        return _as_result(values)
    except (TypeError, KeyError, AttributeError, ResultError) as error:
        reason = str(error).rstrip(".")
        raise ResultError(f"{folder / RESULT_FILE} is not what `mdl train` writes ({reason}): {advice}") from error


def read_results(roots: str | Path | Iterable[str | Path]) -> list[Result]:
    """Every finished result below one or several folders, ordered by data, system and domain.

    Folders that are not finished are passed over (see `unfinished`). Raises `ResultError` where there is no result at
    all, where one cannot be read, and where two speak of the same domain of the same system on the same data.
    """
    above = _paths(roots)
    found: dict[tuple[str, str, str], tuple[Path, Result]] = {}
    for folder in _folders(above):
        if not is_done(folder):
            continue
        result = read_result(folder)
        key = (result.data, result.system, result.domain)
        if key in found:
            raise ResultError(
                f"{found[key][0]} and {folder} both hold {result.system} on {result.domain} of {result.data}; "
                f"one row has one result: give one of the two folders."
            )
        found[key] = (folder, result)
    if not found:
        raise ResultError(f"No finished result lies below {', '.join(map(str, above))}: run `mdl decathlon` first.")
    return [found[key][1] for key in sorted(found)]


def unfinished(roots: str | Path | Iterable[str | Path]) -> list[Path]:
    """Folders below that hold a `results.json` and no `DONE`."""
    return [folder for folder in _folders(_paths(roots)) if not is_done(folder)]


def write_predictions(folder: str | Path, image_ids: Sequence[int], classes: Sequence[int], *, n_classes: int) -> None:
    """`write_predictions(folder, ids, classes, n_classes=10)`: the class, from 0, that each test image was given.

    Raises `ResultError`, and writes nothing, for a class that the domain does not have.
    """
    folder = Path(folder)
    check_classes(folder, classes, n_classes)
    lines = [f"{int(i)},{int(c)}\n" for i, c in zip(image_ids, classes, strict=True)]
    write_bytes(folder / PREDICTION_FILE, ("image_id,class\n" + "".join(lines)).encode())
    if hashes := _hashes(folder):
        write_json(folder / DONE_FILE, {**hashes, PREDICTION_FILE: file_hash(folder / PREDICTION_FILE)})


def check_classes(folder: str | Path, classes: Sequence[int], n_classes: int) -> None:
    """Raises `ResultError` for a class that the folder's domain does not have."""
    if wrong := [int(c) for c in classes if not 0 <= c < n_classes]:
        raise ResultError(
            f"{len(wrong)} of {len(classes)} predictions for {folder} are classes beyond its {n_classes}, such as {wrong[0]}: "
            f"the network is of another domain; give the folder's own."
        )


def read_predictions(folder: str | Path, n_classes: int | None = None) -> dict[int, int]:
    """Class, from 0, by image id.

    Raises `ResultError` for a missing or damaged file, an image given twice, or, of `n_classes`, a class that there is not.
    """
    path = Path(folder) / PREDICTION_FILE
    try:
        if not path.is_file():  # a device never ends
            raise FileNotFoundError("there is no such file")
        _check_hash(Path(folder), PREDICTION_FILE)
        header, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
        if header != ["image_id", "class"]:
            raise ValueError(f"its first line is {','.join(header)!r}")
        predictions = {int(image_id): int(label) for image_id, label in rows}
        if wrong := [label for label in predictions.values() if n_classes is not None and not 0 <= label < n_classes]:
            raise ValueError(f"class {wrong[0]} is not in 0..{n_classes - 1 if n_classes else 0}")
    except (OSError, ValueError, csv.Error) as error:
        raise ResultError(
            f"{path} cannot be read as predictions ({error}): run `mdl eval` on {Path(folder)} again."
        ) from error
    if len(predictions) != len(rows):
        raise ResultError(f"{path} names an image twice: run `mdl eval` on {Path(folder)} again.")
    return predictions


def _hashes(folder: Path) -> dict[str, str]:
    """By file, as `DONE` says; {} where it says nothing, or there is none. Raises `ValueError` for one that is damaged."""
    path = folder / DONE_FILE
    if not path.is_file() or not (text := path.read_text(encoding="utf-8")):
        return {}
    said = json.loads(text)
    if not isinstance(said, dict) or RESULT_FILE not in said:
        raise ValueError(f"{DONE_FILE} is damaged")
    return said


def _check_hash(folder: Path, name: str) -> None:
    said = _hashes(folder).get(name)
    if said is not None and said != file_hash(folder / name):
        raise ValueError("it is not what was written")


def _paths(roots: str | Path | Iterable[str | Path]) -> list[Path]:
    return [Path(roots)] if isinstance(roots, str | Path) else [Path(root) for root in roots]


def _folders(roots: Sequence[Path]) -> list[Path]:
    missing = [str(root) for root in roots if not root.is_dir()]
    if missing:
        raise ResultError(
            f"There is no folder {', '.join(missing)}: give folders that `mdl train` wrote, or one above them."
        )
    return sorted({path.parent.resolve() for root in roots for path in root.rglob(RESULT_FILE)})


def _rows(parameters: object) -> list[object]:
    return [row for row in parameters if isinstance(row, ParameterRow)] if isinstance(parameters, tuple) else []


def _as_result(values: Mapping[str, Any]) -> Result:
    known = {f.name for f in fields(Result)}
    unknown = set(values) - known - {"format"}
    if unknown:
        raise KeyError(f"unknown keys {sorted(unknown)}")
    values = {name: values[name] for name in known if name in values}
    # A list becomes a tuple; what is no list stays, and is refused as what it is.
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    if isinstance(rows := values.get("parameters"), tuple):
        values["parameters"] = tuple(ParameterRow(**row) for row in rows)
    values["cost"] = Cost(**values.get("cost", {}))
    return Result(**values)

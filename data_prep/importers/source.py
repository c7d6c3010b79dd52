"""What an importer reads from its format, the same for all of them, and what they share in reading it.

    source = coco.read(Path("annotations/instances_val2017.json"))       # a `Source`: its images, not read yet
    source.images[3].read()                                               # the `Annotation` of one

`H W` is the annotated image's size. A label is what the format calls it; `options` says which concept it becomes.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from data_prep.common.errors import UserError
from data_prep.common.files import read_regular
from data_prep.formats import BadImageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif")
"""What names of pictures end in, in any case."""

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class SourceLabel:
    """A label as its format has it. `kind`: the format's own group of it, such as a supercategory; `category`: where it goes
    unless told otherwise."""

    name: str
    category: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class IndexMap:
    """`codes`: (H, W) whole numbers; those that are not in `labels` carry no label."""

    codes: np.ndarray
    labels: Mapping[int, SourceLabel]


@dataclass(frozen=True, slots=True)
class Region:
    """`mask` gives (H, W) bool, made when it is needed: those of one image together may be large."""

    label: SourceLabel
    mask: Callable[[], np.ndarray]


@dataclass(slots=True)
class Annotation:
    """What one image shows. `whole`: labels of the image as a whole. `notes`: what the user should know, each counted."""

    layers: list[IndexMap | Region] = field(default_factory=list)
    whole: list[SourceLabel] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceImage:
    """file: the picture, or what its file holds. name: its path in the new set. shape: (H, W) that the annotation states, None
    where it states none. read: raises `BadImageError` where the annotation cannot be used."""

    file: Path | bytes
    name: str
    read: Callable[[], Annotation]
    split: str | None = None
    shape: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Everything that is to be imported. labels: those known beforehand. complete: labels that were looked for in every image,
    so that an image without them shows none; such images are counted and told."""

    images: Sequence[SourceImage]
    labels: Sequence[SourceLabel] = ()
    complete: Sequence[SourceLabel] = ()
    notes: Sequence[str] = ()


def pictures_below(folder: Path) -> list[Path]:
    """Every picture in a folder and the folders in it, in the order of their names; what begins with a dot is left out."""
    require_folder(folder)
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def by_stem(folder: Path) -> dict[str, Path]:
    """The pictures of a folder by their path without its ending. Raises `UserError` where two share one."""
    found: dict[str, Path] = {}
    for path in pictures_below(folder):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in found:
            raise UserError(
                f"{found[stem]} and {path} differ in their endings only: rename one, labels are found by name."
            )
        found[stem] = path
    return found


def require_folder(folder: Path, what: str = "give the folder that holds the data") -> Path:
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: {what}.")
    return folder


def require_images(images: Sequence[SourceImage], where: Path, what: str) -> None:
    """Raises `UserError` where nothing is to be imported."""
    if not images:
        raise UserError(f"{where} holds no {what}: check the folder and the format.")


def read_text(path: Path, *, latin: bool = False) -> str:
    """A text file in UTF-8, with or without a byte order mark; or in Latin-1, where a format has that too. Raises `UserError`."""
    try:
        data = read_regular(path)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            if not latin:
                raise
            return data.decode("latin-1")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: put it there.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as text ({error}): save it in UTF-8.") from error


def read_json(path: Path, *, latin: bool = False) -> dict[str, Any]:
    """The object in a JSON file. Raises `UserError`."""
    try:
        value = json.loads(read_text(path, latin=latin))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({error}): export it again.") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} holds {_in_words(value)} where an object belongs: it is another kind of JSON file.")
    return value


def read_pairs(path: Path, header: tuple[str, str]) -> list[tuple[int, str, str]]:
    """(row, first, second) of a CSV table of two columns, blank rows and a first row that is the header left out.

    Raises `UserError`.
    """
    pairs = []
    try:
        rows = list(csv.reader(io.StringIO(read_text(path), newline=""), strict=True))
    except csv.Error as error:
        raise UserError(f"{path} is no table that can be read ({error}): save it as CSV in UTF-8.") from error
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and [cell.lower() for cell in cells] == list(header)):
            continue
        if len(cells) != 2 or not cells[0]:
            raise UserError(
                f"{path}, row {number}: {','.join(row)!r} is not {','.join(header)}, two cells with a comma between."
            )
        pairs.append((number, cells[0], cells[1]))
    return pairs


def value_of(record: object, key: str, kind: type[Kind] | tuple[type[Kind], ...], where: object) -> Kind:
    """`record[key]`, held to its type; raises `BadImageError` that names the place.

    >>> value_of({"id": "7"}, "id", int, "a.json, images[0]")
    Traceback (most recent call last):
    data_prep.formats.BadImageError: a.json, images[0]: 'id' is '7', which is no int; export the annotations again.
    """
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join(each.__name__ for each in kinds)
        shown = repr(value) if len(repr(value)) < 60 else _in_words(value)
        said = (
            f"{key!r} is {shown}, which is no {names}"
            if isinstance(record, dict) and key in record
            else f"lacks {key!r}"
        )
        raise BadImageError(f"{where}: {said}; export the annotations again.")
    return value


def _in_words(value: object) -> str:
    return f"a {type(value).__name__}"


COLOURS = 0xFFFFFF


def read_codes(path: Path) -> tuple[np.ndarray, int]:
    """(H, W) int32 of a label picture, and the largest that its pixels can hold: 255 for grey, palette and black-and-white, 65535
    for 16 bits, as they are stored; `COLOURS` for 65536 * R + 256 * G + B. Raises `BadImageError`.
    """
    from data_prep.common.pictures import IMAGE_ERRORS, open_picture

    try:
        with open_picture(path, formats=("PNG", "BMP", "TIFF", "GIF")) as picture:
            mode = picture.mode
            if mode in ("1", "L", "P") or mode.startswith("I"):
                return np.asarray(picture).astype(np.int32), 0xFFFF if mode.startswith("I") else 0xFF
            if mode in ("RGB", "RGBA"):
                rgb = np.asarray(picture)[..., :3].astype(np.int32)
                return (rgb[..., 0] << 16) + (rgb[..., 1] << 8) + rgb[..., 2], COLOURS
    except FileNotFoundError:
        raise BadImageError(f"Label picture {path} is missing: put it there.") from None
    except IMAGE_ERRORS as error:
        raise BadImageError(f"Label picture {path} cannot be read ({error}): write it again as PNG.") from error
    raise BadImageError(f"Label picture {path} has mode {mode}: save it as PNG with grey, palette or RGB pixels.")


def unknown_codes(codes: np.ndarray, known: Iterable[int]) -> list[int]:
    """The numbers in a label map that are not known."""
    return sorted(set(np.unique(codes).tolist()) - set(known))

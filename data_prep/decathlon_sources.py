"""Which images there are, of which class, in folders or in a table: what becomes a domain of one's own.

    for picture in read_sources(Path("photos")):
        picture.path, picture.class_name, picture.split

    photos/rose/1.jpg                        a folder for each class, with folders inside or not
    photos/train/rose/1.jpg                  the same below train, val and test; val may be called valid or validation
    photos.csv                               path,class[,split], paths from where the table lies

Folders and files whose names begin with a dot are passed over; so are files that are no images by their suffix.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_prep.common.errors import UserError, choose
from data_prep.common.files import read_regular
from data_prep.decathlon_tables import SPLITS

SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif",
)  # fmt: skip
"""Of the formats that `common.pictures` opens."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image file. split: "train", "val" or "test"; None where nobody said."""

    path: Path
    class_name: str
    split: str | None = None


def read_sources(source: Path) -> list[Picture]:
    """The images that a folder or a CSV file names, in the order of their paths. Raises `UserError` where there are none."""
    if source.is_dir():
        found = list(_of_folder(source))
        advice = "put the images of each class into a folder of its own there, named by the class"
    elif source.is_file():
        found = list(_of_table(source))
        advice = "write a line for each image"
    else:
        raise UserError(
            f"There is no {source}: give a folder of images, or a CSV file with the columns path and class."
        )
    if not found:
        raise UserError(f"{source} names no image: {advice}.")
    return sorted(found, key=lambda picture: str(picture.path))


def _of_folder(source: Path) -> Iterator[Picture]:
    folders = _folders(source)
    splits = {folder: SPLIT_NAMES[folder.name.lower()] for folder in folders if folder.name.lower() in SPLIT_NAMES}
    if "train" in splits.values():
        if others := [folder.name for folder in folders if folder not in splits]:
            raise UserError(
                f"{source} has the folder {others[0]} beside train: it must hold either a folder for each class, or train, val "
                f"and test alone."
            )
        for folder, split in splits.items():
            yield from _of_classes(folder, split)
    else:
        yield from _of_classes(source, None)


def _of_classes(source: Path, split: str | None) -> Iterator[Picture]:
    for folder in _folders(source):
        for path in folder.rglob("*"):
            below = path.relative_to(folder).parts
            if path.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in below) and path.is_file():
                yield Picture(path=path, class_name=folder.name, split=split)


def _folders(source: Path) -> list[Path]:
    return sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith("."))


def _of_table(source: Path) -> Iterator[Picture]:
    try:
        rows = list(csv.DictReader(io.StringIO(read_regular(source).decode("utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{source} cannot be read as CSV ({error}): write it again, in UTF-8.") from error
    seen: set[Path] = set()
    for line, row in enumerate(rows, 2):
        where = f"{source}, line {line}"
        name, class_name, split = ((row.get(key) or "").strip() for key in ("path", "class", "split"))
        if not name or not class_name:
            raise UserError(f"{where} has no path or no class: the first line must be path,class or path,class,split.")
        if split:
            choose("split", split, SPLITS, where=where)
        path = source.parent / name
        if path in seen:
            raise UserError(f"{where} names {name!r} again: an image has one class; keep one line.")
        seen.add(path)
        yield Picture(path=path, class_name=class_name, split=split or None)

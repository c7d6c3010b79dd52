"""A folder of images and one of label pictures of the same names: grey, palette, 16-bit or coloured PNGs, with a table of names.

    source = read(Path("mydata"), table=Path("mydata/names.csv"))

The table is CSV with the columns value,name: a value is a number, or a colour as #rrggbb for label pictures in RGB. Every value
that is to be a label stands there, 0 too if it is one. Values that it lacks must be 0 or the largest of their kind (255, 65535,
white), which often mark a border: they carry no label. Any other is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from data_prep.common.errors import UserError
from data_prep.formats import BadImageError
from data_prep.importers import source as sources
from data_prep.importers.source import Annotation, IndexMap, Source, SourceImage, SourceLabel


def read(
    path: Path, *, images: Path | None = None, masks: Path | None = None, table: Path | None = None, ending: str = ""
) -> Source:
    """The set in `path`; its images, label pictures and table are `images/`, `masks/` and `names.csv` there if not given.

    ending: what a label picture's name has behind its image's, such as "_mask" where a_mask.png is that of a.jpg.

    Raises `UserError` where a folder or the table is missing, or nothing fits together.
    """
    sources.require_folder(path)
    images, masks, table = images or path / "images", masks or path / "masks", table or path / "names.csv"
    labels = read_table(table)
    pictures, maps = sources.by_stem(images), sources.by_stem(masks)
    maps = {stem.removesuffix(ending): file for stem, file in maps.items() if stem.endswith(ending)}
    found = [
        SourceImage(
            file=pictures.get(stem, images / f"{stem}.jpg"),
            name=f"{stem}.jpg",
            read=index_map_reader(file, labels, f"{table} does not name"),
        )
        for stem, file in maps.items()
    ]
    sources.require_images(found, masks, "label picture")
    known = tuple(dict.fromkeys(labels.values()))
    label_files = {file.resolve() for file in maps.values()}  # which may lie among the images
    left_out = [file for stem, file in pictures.items() if stem not in maps and file.resolve() not in label_files]
    notes = ["images without a label picture, left out"] * len(left_out)
    return Source(images=found, labels=known, complete=known, notes=notes)


def read_table(path: Path) -> dict[int, SourceLabel]:
    """Value to label; a colour is 65536 * R + 256 * G + B. Raises `UserError` for a row that is no value and name."""
    labels: dict[int, SourceLabel] = {}
    for row, value, name in sources.read_pairs(path, ("value", "name")):
        found = re.fullmatch("([0-9]{1,8})|#([0-9a-fA-F]{6})", value)
        code = (int(found[1]) if found[1] else int(found[2], 16)) if found else -1
        if code < 0 or not name or code in labels:
            wrong = "is there before" if code in labels else f"is no number or #rrggbb with a name ({name!r})"
            raise UserError(f"{path}, row {row}: the value {value!r} {wrong}; correct it.")
        labels[code] = SourceLabel(name, "object")
    if not labels:
        raise UserError(f"{path} names no label: give it the columns value,name and a row for each label.")
    return labels


def index_map_reader(
    file: Path, labels: Mapping[int, SourceLabel], unnamed: str, colours: Mapping[int, SourceLabel] | None = None
) -> Callable[[], Annotation]:
    """Reads a label picture when it is called, one of colours by its own labels where they are given.

    A value that is no label's, 0 or the largest, which often mark no label and borders, is refused as one that `unnamed` says.
    """

    def read_map() -> Annotation:
        codes, largest = sources.read_codes(file)
        known = colours if colours is not None and largest == sources.COLOURS else labels
        if unknown := sources.unknown_codes(codes, (*known, 0, largest)):
            value = f"#{unknown[0]:06x}" if largest == sources.COLOURS else unknown[0]
            raise BadImageError(f"Label picture {file} has {value}, which {unnamed}: add it, or correct that picture.")
        return Annotation([IndexMap(codes, known)])

    return read_map

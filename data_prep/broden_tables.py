"""The tables of a Broden set, read and checked against each other; the label maps stay closed.

    tables = read_tables(Path("data/broden"), on_fault)
    tables.rows[0].maps["object"]             # ("ade20k/a_object_1.png", "ade20k/a_object_2.png")

`category.csv` names the categories, `label.csv` the labels, `c_<category>.csv` the labels of one category. `index.csv`
has a row for each image and a column for each category; a field holds tokens separated by `;`, each a label number that
covers the whole image or the path of a PNG label map below `images/`. An empty field means "not annotated", 0 means "no label".

A row that cannot be used is a fault, a table that cannot be used raises `UserError`: reading stops at the first fault, checking
counts them all, and both run this code. Numbers of images that the tables state are never used: where they are missing or no
numbers, that is a warning.
Source: the layout of Broden (Bau, Zhou, Khosla, Oliva, Torralba, "Network Dissection", CVPR 2017).
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.broden_csv import Row, Told, read_rows, whole_number
from data_prep.common.errors import UserError
from data_prep.formats import ImageRecord

INDEX_COLUMNS = ("image", "split", "ih", "iw", "sh", "sw")
MAX_NUMBER = 0xFFFF  # a label map can hold no number beyond: R + 256 * G
MAX_SIDE = 0xFFFF  # of an image or a label map, in pixels; JPEG goes no further

NO_LABEL_NAMES = ("", "-", "none", "background", "unlabeled", "unlabelled", "void")
"""What label number 0 may be called, in any case: it means "no label" wherever it stands."""


@dataclass(frozen=True, slots=True)
class Label:
    """One row of `label.csv`; `categories` maps each category that it serves to the number of images stated, if it is."""

    name: str
    categories: dict[str, int | None]
    row: int


@dataclass(frozen=True, slots=True)
class CategoryLabel:
    """One row of a `c_<category>.csv`; `frequency` is the number of images stated there, if it is."""

    frequency: int | None
    row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRow:
    """One row of `index.csv`; `numbers` and `maps` hold the tokens of each category."""

    record: ImageRecord
    numbers: dict[str, tuple[int, ...]]
    maps: dict[str, tuple[str, ...]]
    row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Every table of a Broden set; `categories` follow `category.csv`; `digest` is the sha256 of the tables' bytes."""

    root: Path
    labels: dict[int, Label]
    categories: dict[str, dict[int, CategoryLabel]]
    rows: list[IndexRow]
    digest: str


def read_tables(root: Path, told: Told) -> Tables:
    """Read every table of the Broden set in folder `root`.

    Raises `UserError` where a table is missing, is no CSV in UTF-8, lacks a column, or lists nothing usable.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a folder: give the folder of a Broden set, which holds index.csv and images/.")
    digest = hashlib.sha256()

    def rows(file: str, *columns: str) -> list[Row]:
        return read_rows(root / file, columns, told=told, digest=digest)[1]

    names = _category_names(rows("category.csv", "name"), told)
    labels = _labels(rows("label.csv", "number", "name", "category"), told)
    categories = {}
    for name in names:
        file = f"c_{name}.csv"
        categories[name] = _category_labels(file, rows(file, "number", "name"), labels, told)
    columns, index = read_rows(root / "index.csv", (*INDEX_COLUMNS, *names), told=told, digest=digest)
    unknown = [column for column in columns if column not in (*INDEX_COLUMNS, *names)]
    if unknown:
        raise UserError(
            f"{root / 'index.csv'} has the column {unknown[0]!r}, which is no category of category.csv "
            f"({', '.join(names)}): add the category there, or delete the column."
        )
    images = _index_rows(root / "images", index, names, told)
    if not names or not images:
        table, what = ("index.csv", "image") if names else ("category.csv", "category")
        raise UserError(f"{root / table} lists no usable {what}: a Broden set has at least one; unpack the set again.")
    return Tables(root=root, labels=labels, categories=categories, rows=images, digest=digest.hexdigest())


def _category_names(rows: list[Row], told: Told) -> list[str]:
    names: list[str] = []
    for row in rows:
        name = row.fields["name"]
        if name in names or name in INDEX_COLUMNS or not re.fullmatch(r"[^\s/\\;()][^/\\;()\0]*", name):
            rule = r"a name is there once, is no other column of index.csv and has no / \ ; ( )"
            told.fault("category.csv", row.number, f"{name!r} cannot name a category: {rule}.")
        else:
            names.append(name)
    return names


def _labels(rows: list[Row], told: Told) -> dict[int, Label]:
    labels: dict[int, Label] = {}
    uncounted: list[Row] = []
    for row in rows:
        number, name, text = whole_number(row.fields["number"]), row.fields["name"], row.fields["category"]
        parts = [part.strip() for part in text.split(";") if part.strip()]
        served = [re.fullmatch(r"([^()]*[^()\s])\s*(?:\(([0-9. ]*)\))?", part) for part in parts]
        if sentence := _number_fault(row, labels):
            told.fault("label.csv", row.number, sentence)
        elif number == 0:
            continue  # "no label": never a concept
        elif not name:
            told.fault("label.csv", row.number, f"label number {number} has no name; give it one.")
        elif not parts or not all(served):
            sentence = f"category is {text!r}; write it as in 'object(12);part(3)': category(images)."
            told.fault("label.csv", row.number, sentence)
        else:
            counts = {part[1]: _count(part[2]) for part in served if part}
            if None in counts.values() or _count(row.fields.get("frequency")) is None:
                uncounted.append(row)
            labels[number] = Label(name, counts, row.number)
    _tell_uncounted("label.csv", uncounted, told)
    _tell_namesakes(labels, told)
    return labels


def _tell_namesakes(labels: dict[int, Label], told: Told) -> None:
    first: dict[tuple[str, str], int] = {}
    for number, label in labels.items():
        for category in label.categories:
            other = first.setdefault((label.name, category), number)
            if other != number:
                sentence = (
                    f"{label.name!r} of {category} is label number {other} too, in row {labels[other].row}: they count as two "
                    f"concepts, which results cannot tell apart; give one another name."
                )
                told.warning("label.csv", label.row, sentence)


def _category_labels(file: str, rows: list[Row], labels: dict[int, Label], told: Told) -> dict[int, CategoryLabel]:
    members: dict[int, CategoryLabel] = {}
    uncounted: list[Row] = []
    for row in rows:
        number, name = whole_number(row.fields["number"]), row.fields["name"]
        label = labels.get(number)
        if sentence := _number_fault(row, members):
            told.fault(file, row.number, sentence)
        elif number == 0:
            continue
        elif label is None:
            sentence = f"label number {number} ({name!r}) is not in label.csv; add it or delete this row."
            told.fault(file, row.number, sentence)
        elif name != label.name:
            sentence = f"label number {number} is {name!r}, but {label.name!r} in label.csv; correct one."
            told.fault(file, row.number, sentence)
        else:
            members[number] = CategoryLabel(_count(row.fields.get("frequency")), row.number)
            if members[number].frequency is None:
                uncounted.append(row)
    _tell_uncounted(file, uncounted, told)
    return members


def _number_fault(row: Row, seen: dict[int, Label] | dict[int, CategoryLabel]) -> str | None:
    """What is wrong with the number of a row of labels, if anything."""
    number, name = whole_number(row.fields["number"]), row.fields["name"]
    if not 0 <= number <= MAX_NUMBER:
        return f"label number {row.fields['number']!r} is no whole number in 0..{MAX_NUMBER}; correct it."
    if number == 0 and name.strip().lower() not in NO_LABEL_NAMES:
        return (
            f"label number 0 is {name!r}, but 0 means 'no label' in label maps and index.csv: number the labels from 1 in all "
            f"of them, or call this one '-' if it stands for what has no label."
        )
    if number in seen:
        return f"label number {number} is there already, in row {seen[number].row}; give each label one row."
    return None


def _count(text: str | None) -> int | None:
    """A number of images that a table states; None where it states none."""
    number = whole_number(text or "")
    return None if number < 0 else number


def _tell_uncounted(file: str, rows: list[Row], told: Told) -> None:
    if rows:
        labels = "this label states" if len(rows) == 1 else f"{len(rows)} labels, this one first, state"
        told.warning(file, rows[0].number, f"{labels} no number of images; it is never used, so results are the same.")


def _index_rows(images: Path, rows: list[Row], names: Sequence[str], told: Told) -> list[IndexRow]:
    found: list[IndexRow] = []
    seen: dict[str, int] = {}
    unlabelled: list[tuple[int, str]] = []
    for row in rows:
        image = row.fields["image"]
        ih, iw, sh, sw = sizes = [whole_number(row.fields[column]) for column in INDEX_COLUMNS[2:]]
        numbers: dict[str, tuple[int, ...]] = {}
        maps: dict[str, tuple[str, ...]] = {}
        for name in names:
            tokens = [(part.strip(), whole_number(part)) for part in row.fields[name].split(";") if part.strip()]
            if tokens:
                numbers[name] = tuple(number for _, number in tokens if number > 0)
                maps[name] = tuple(token for token, number in tokens if number < 0)
                unlabelled += [(row.number, name) for _, number in tokens if number == 0]
        if sentence := _index_fault(row.fields, sizes, maps, seen):
            told.fault("index.csv", row.number, sentence)
        else:
            seen[posixpath.normpath(image)] = row.number
            record = ImageRecord(image, images / image, row.fields["split"], (sh, sw), (ih, iw))
            found.append(IndexRow(record=record, numbers=numbers, maps=maps, row=row.number))
    if unlabelled:
        first, name = unlabelled[0]
        fields = "1 field has" if len(unlabelled) == 1 else f"{len(unlabelled)} fields, the first in {name!r}, have"
        sentence = (
            f"{fields} label number 0, which means 'no label': if it is a class, number the labels from 1 everywhere."
        )
        told.warning("index.csv", first, sentence)
    return found


def _index_fault(
    fields: dict[str, str], sizes: list[int], maps: dict[str, tuple[str, ...]], seen: dict[str, int]
) -> str | None:
    """What is wrong with a row of the index, if anything; the files that it names stay unread."""
    image = fields["image"]
    if not image:
        return "no image is named; write its path below images/."
    if (there := seen.get(posixpath.normpath(image))) is not None:
        return f"image {image} is there already, in row {there}; give each image one row."
    if not fields["split"]:
        return f"image {image} has no split; write train, val or a name of your own."
    for column, size in zip(INDEX_COLUMNS[2:], sizes, strict=True):
        if not 1 <= size <= MAX_SIDE:
            return f"{column} is {fields[column]!r}; write a size in pixels, a whole number in 1..{MAX_SIDE}."
    for path in (image, *(path for paths in maps.values() for path in paths)):
        if path[0] == "/" or ".." in path.split("/") or re.search(r"\\|\0|^.:", path):
            return f"path {path!r} may lead out of images/; write it relative to images/, without '..' and '\\'."
    for category, paths in maps.items():
        for path in paths:
            if not path.lower().endswith(".png"):
                return f"{category} has {path!r}; write label numbers or paths of PNG label maps, separated by ';'."
    return None

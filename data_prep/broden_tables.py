"""The tables of a Broden set, read and checked against each other; the label maps stay closed.

    tables = read_tables(Path("data/broden"), on_fault)
    tables.rows[0].maps["object"]             # ("ade20k/a_object_1.png", "ade20k/a_object_2.png")

`category.csv` names the categories, `label.csv` the labels, `c_<category>.csv` the labels of one category. `index.csv`
has a row for each image and a column for each category; a field holds tokens separated by `;`, each a label number that
covers the whole image or the path of a PNG label map below `images/`. An empty field means "not annotated", 0 means "no label".

A row that cannot be used is reported to `on_fault`, a table that cannot be used raises `UserError`: reading stops at the
first fault, checking counts them all, and both run this code.
Source: the layout of Broden (Bau, Zhou, Khosla, Oliva, Torralba, "Network Dissection", CVPR 2017).
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.common.errors import UserError
from data_prep.formats import ImageRecord

INDEX_COLUMNS = ("image", "split", "ih", "iw", "sh", "sw")
MAX_NUMBER = 0xFFFF  # a label map can hold no number beyond: R + 256 * G
MAX_SIDE = 0xFFFF  # of an image or a label map, in pixels; JPEG goes no further

OnFault = Callable[[str, int, str], None]
"""`on_fault(file, row, sentence)`: this row is left out. Rows count as in a spreadsheet: the header is row 1."""

CsvRows = list[tuple[int, dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Label:
    """One row of `label.csv`; `categories` maps each category that it serves to the number of images stated."""

    name: str
    categories: dict[str, int]
    row: int


@dataclass(frozen=True, slots=True)
class CategoryLabel:
    """One row of a `c_<category>.csv`; `frequency` is the number of images stated there."""

    frequency: int
    row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRow:
    """One row of `index.csv`; `image_shape` is (ih, iw); `numbers` and `maps` hold the tokens of each category."""

    record: ImageRecord
    image_shape: tuple[int, int]
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


def read_tables(root: Path, on_fault: OnFault) -> Tables:
    """Read every table of the Broden set in folder `root`.

    Raises `UserError` where a table is missing, is no CSV in UTF-8, lacks a column, or lists nothing usable.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a folder: give the folder of a Broden set, which holds index.csv and images/.")
    digest = hashlib.sha256()

    def rows(file: str, *columns: str) -> CsvRows:
        return _read_csv(root / file, columns, digest.update, on_fault)

    names = _category_names(rows("category.csv", "name"), on_fault)
    labels = _labels(rows("label.csv", "number", "name", "category", "frequency"), on_fault)
    categories = {}
    for name in names:
        file = f"c_{name}.csv"
        categories[name] = _category_labels(file, rows(file, "number", "name", "frequency"), labels, on_fault)
    index = rows("index.csv", *INDEX_COLUMNS, *names)
    unknown = [column for column in (index[0][1] if index else ()) if column not in (*INDEX_COLUMNS, *names)]
    if unknown:
        raise UserError(
            f"{root / 'index.csv'} has the column {unknown[0]!r}, which is no category of category.csv "
            f"({', '.join(names)}): add the category there, or delete the column."
        )
    images = _index_rows(root / "images", index, names, on_fault)
    if not names or not images:
        table, what = ("index.csv", "image") if names else ("category.csv", "category")
        raise UserError(f"{root / table} lists no usable {what}: a Broden set has at least one; unpack the set again.")
    return Tables(root=root, labels=labels, categories=categories, rows=images, digest=digest.hexdigest())


def whole_number(text: str) -> int:
    """The number that `text` writes in digits; -1 where it writes none, or one of more than nine digits.

    >>> whole_number("17"), whole_number("-17"), whole_number("a/one.png")
    (17, -1, -1)
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def _read_csv(
    path: Path, columns: Sequence[str], add_to_digest: Callable[[bytes], object], on_fault: OnFault
) -> CsvRows:
    try:
        data = path.read_bytes()
        # Strict: a quote left open would otherwise swallow the rest of the table in silence.
        records = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: every Broden set has this table; unpack the set again.") from None
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} is no table that can be read ({error}): save it as CSV in UTF-8.") from error
    add_to_digest(f"{path.name}\0{len(data)}\0".encode() + data)
    header = records[0] if records else []
    wrong = [f"lacks the column {column!r}" for column in columns if column not in header]
    wrong += [f"has two columns {column!r}" for column in header if header.count(column) > 1]
    if wrong:
        raise UserError(f"{path} {wrong[0]}: its header must have {','.join(columns)} once each and is {header}.")
    rows = []
    for row, fields in enumerate(records[1:], start=2):
        if len(fields) == len(header):
            rows.append((row, dict(zip(header, fields, strict=True))))
        elif fields:  # a blank line is a row in a spreadsheet, but no fault
            on_fault(
                path.name, row, f"{len(fields)} fields under a header of {len(header)}; give each column one field."
            )
    return rows


def _category_names(rows: CsvRows, on_fault: OnFault) -> list[str]:
    names: list[str] = []
    for row, fields in rows:
        name = fields["name"]
        if name in names or name in INDEX_COLUMNS or not re.fullmatch(r"[^\s/\\;()][^/\\;()\0]*", name):
            rule = r"a name is there once, is no other column of index.csv and has no / \ ; ( )"
            on_fault("category.csv", row, f"{name!r} cannot name a category: {rule}.")
        else:
            names.append(name)
    return names


def _labels(rows: CsvRows, on_fault: OnFault) -> dict[int, Label]:
    labels: dict[int, Label] = {}
    for row, fields in rows:
        number, name, text = whole_number(fields["number"]), fields["name"], fields["category"]
        served = [re.fullmatch(r"([^()]+)\(([0-9]{1,9})\)", part) for part in text.split(";")]
        if sentence := _number_fault(fields, labels):
            on_fault("label.csv", row, sentence)
        elif number == 0:
            continue  # "no label": never a concept
        elif not name:
            on_fault("label.csv", row, f"label number {number} has no name; give it one.")
        elif not all(served):
            on_fault("label.csv", row, f"category is {text!r}; write it as in 'object(12);part(3)': category(images).")
        else:
            labels[number] = Label(name, {part[1]: int(part[2]) for part in served if part}, row)
    return labels


def _category_labels(file: str, rows: CsvRows, labels: dict[int, Label], on_fault: OnFault) -> dict[int, CategoryLabel]:
    members: dict[int, CategoryLabel] = {}
    for row, fields in rows:
        number, name = whole_number(fields["number"]), fields["name"]
        label = labels.get(number)
        if sentence := _number_fault(fields, members):
            on_fault(file, row, sentence)
        elif number == 0:
            continue
        elif label is None:
            on_fault(file, row, f"label number {number} ({name!r}) is not in label.csv; add it or delete this row.")
        elif name != label.name:
            on_fault(file, row, f"label number {number} is {name!r}, but {label.name!r} in label.csv; correct one.")
        else:
            members[number] = CategoryLabel(whole_number(fields["frequency"]), row)
    return members


def _number_fault(fields: dict[str, str], seen: dict[int, Label] | dict[int, CategoryLabel]) -> str | None:
    """What is wrong with the numbers of a row of labels, if anything."""
    number = whole_number(fields["number"])
    if not 0 <= number <= MAX_NUMBER:
        return f"label number {fields['number']!r} is no whole number in 0..{MAX_NUMBER}; correct it."
    if whole_number(fields["frequency"]) < 0:
        return f"frequency {fields['frequency']!r} is no whole number; write the number of images with the label."
    if number in seen:
        return f"label number {number} is there already, in row {seen[number].row}; give each label one row."
    return None


def _index_rows(images: Path, rows: CsvRows, names: Sequence[str], on_fault: OnFault) -> list[IndexRow]:
    found: list[IndexRow] = []
    seen: dict[str, int] = {}
    for row, fields in rows:
        image = fields["image"]
        ih, iw, sh, sw = sizes = [whole_number(fields[column]) for column in INDEX_COLUMNS[2:]]
        numbers: dict[str, tuple[int, ...]] = {}
        maps: dict[str, tuple[str, ...]] = {}
        for name in names:
            if fields[name]:
                tokens = [(token, whole_number(token)) for token in fields[name].split(";") if token]
                numbers[name] = tuple(number for _, number in tokens if number > 0)
                maps[name] = tuple(token for token, number in tokens if number < 0)
        if sentence := _index_fault(fields, sizes, maps, seen):
            on_fault("index.csv", row, sentence)
        else:
            seen[image] = row
            record = ImageRecord(image, images / image, fields["split"], (sh, sw))
            found.append(IndexRow(record=record, image_shape=(ih, iw), numbers=numbers, maps=maps, row=row))
    return found


def _index_fault(
    fields: dict[str, str], sizes: list[int], maps: dict[str, tuple[str, ...]], seen: dict[str, int]
) -> str | None:
    """What is wrong with a row of the index, if anything; the files that it names stay unread."""
    image = fields["image"]
    if not image:
        return "no image is named; write its path below images/."
    if image in seen:
        return f"image {image} is there already, in row {seen[image]}; give each image one row."
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

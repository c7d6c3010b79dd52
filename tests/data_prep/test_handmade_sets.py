"""Label sets made by hand, in a spreadsheet or with pandas: what is clear is taken, the rest is told by its cause."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_prep.broden import open_broden
from data_prep.broden_check import check_broden
from data_prep.broden_csv import whole_number
from data_prep.common.errors import UserError
from data_prep.findings import Finding

TABLES = (
    "category.csv",
    "label.csv",
    "c_color.csv",
    "c_part.csv",
    "c_object.csv",
    "c_material.csv",
    "c_scene.csv",
    "index.csv",
)


def edit(root: Path, file: str, old: str, new: str) -> None:
    text = (root / file).read_text(encoding="utf-8")
    assert old in text
    (root / file).write_text(text.replace(old, new, 1), encoding="utf-8")


def contents(root: Path) -> list[object]:
    """All that a reader gives of the set, as plain values."""
    data = open_broden(root)
    read = [data.read_labels(n) for n in range(len(data.images))]
    return [
        data.categories,
        data.concepts,
        [(image.name, image.split, image.label_shape, image.image_shape) for image in data.images],
        [(labels.planes.tolist(), labels.plane_category.tolist(), labels.whole_image.tolist()) for labels in read],
    ]


def rewritten(change: Callable[[str], str]) -> Callable[[Path], None]:
    """Every table changed so."""

    def rewrite(root: Path) -> None:
        for file in TABLES:
            (root / file).write_bytes(change((root / file).read_text(encoding="utf-8")).encode())

    return rewrite


def separated(text: str, separator: str) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=separator).writerows(csv.reader(io.StringIO(text)))
    return out.getvalue()


def lines(text: str, first: str, other: str) -> str:
    header, *rows = text.splitlines()
    return "\n".join([first.format(header), *(other.format(row, n=n) for n, row in enumerate(rows))]) + "\n"


def by_pandas(root: Path) -> None:
    """Read and written without a thought: an index without a name, and 4.0 for 4 where a column has gaps."""
    for file in TABLES:
        table = pd.read_csv(root / file)
        for column in ("number", "ih", "iw", "sh", "sw", "frequency"):
            if column in table:
                table[column] = table[column].astype(float)
        table.to_csv(root / file)
    edit(root, "index.csv", ",6;8", ",6.0;8.0")


def by_pandas_twice(root: Path) -> None:
    by_pandas(root)
    for file in TABLES:
        pd.read_csv(root / file).to_csv(root / file)


ACCEPTED = {
    "an index column without a name": rewritten(lambda text: lines(text, ",{}", "{n},{}")),
    "trailing commas": rewritten(lambda text: lines(text, "{},,", "{},,")),
    "trailing commas below the header": rewritten(lambda text: lines(text, "{}", "{},,")),
    "semicolons": rewritten(lambda text: separated(text, ";")),
    "tabs": rewritten(lambda text: separated(text, "\t")),
    "a byte order mark and CRLF": rewritten(lambda text: "\ufeff" + text.replace("\n", "\r\n")),
    "carriage returns alone": rewritten(lambda text: text.replace("\n", "\r")),
    "blank rows of a spreadsheet": rewritten(lambda text: text + "," * text.split("\n")[0].count(",") + "\n\n , \n"),
    "spaces in the header": rewritten(
        lambda text: lines(text.replace(",", ", ", text.split("\n")[0].count(",")), "{} ", "{}")
    ),
    "pandas": by_pandas,
    "pandas, twice": by_pandas_twice,
}


@pytest.mark.parametrize("way", ACCEPTED)
def test_tables_of_spreadsheets_and_data_frames_say_the_same(tiny_broden, way):
    before = contents(tiny_broden)
    ACCEPTED[way](tiny_broden)
    assert contents(tiny_broden) == before
    assert check_broden(tiny_broden).n_faults == 0


NUMBERS = {"6": 6, " 6 ": 6, "6.": 6, "6.00": 6, "6.5": -1, "6e0": -1, "6,0": -1}


@pytest.mark.parametrize(("text", "number"), NUMBERS.items())
def test_whole_numbers(text, number):
    assert whole_number(text) == number


TOLD = {
    "decimal commas": (
        lambda root: edit(root, "index.csv", "32,32,8,8,a/one_color", '"32,0",32,8,8,a/one_color'),
        "index.csv, row 2: ih is '32,0'; write a size in pixels, a whole number in 1..65535.",
    ),
    "a half": (
        lambda root: edit(root, "c_part.csv", "2,5,wheel", "2,5.5,wheel"),
        "c_part.csv, row 3: label number '5.5' is no whole number in 0..65535; correct it.",
    ),
    "UTF-16": (
        lambda root: (root / "label.csv").write_text((root / "label.csv").read_text(), encoding="utf-16"),
        "label.csv is no table that can be read ('utf-8' codec can't decode byte 0xff in position 0",
    ),
    "a field too many": (
        lambda root: edit(root, "index.csv", ",6;8", ",6,8"),
        "index.csv, row 4: 12 fields under a header of 11; give each column one field.",
    ),
}


@pytest.mark.parametrize("way", TOLD)
def test_what_is_not_clear_is_told_by_its_cause(tiny_broden, way):
    damage, words = TOLD[way]
    damage(tiny_broden)
    with pytest.raises(UserError) as caught:
        open_broden(tiny_broden)
    assert words in str(caught.value)


# What is never used is not needed

UNUSED = {
    "an empty frequency": (lambda root: edit(root, "c_object.csv", "cat,2", "cat,"), "c_object.csv", 2),
    "a frequency in words": (lambda root: edit(root, "c_part.csv", "wheel,1", "wheel,few"), "c_part.csv", 3),
    "a category without a number": (lambda root: edit(root, "label.csv", "object(2)", "object"), "label.csv", 5),
    "an empty frequency of a label": (lambda root: edit(root, "label.csv", "part(1),1", "part(1),"), "label.csv", 6),
}


@pytest.mark.parametrize("way", UNUSED)
def test_a_number_of_images_is_not_needed(tiny_broden, way, caplog):
    before = contents(tiny_broden)
    damage, file, row = UNUSED[way]
    damage(tiny_broden)
    sentence = "this label states no number of images; it is never used, so results are the same."
    report = check_broden(tiny_broden)
    assert (report.faults, report.warnings) == ((), (Finding(file, row, sentence),))
    with caplog.at_level(logging.WARNING, "data_prep"):
        assert contents(tiny_broden) == before
    assert [record.getMessage() for record in caplog.records] == [f"{tiny_broden}: {file}, row {row}: {sentence}"]


def test_tables_of_numbers_and_names_suffice(tiny_broden, caplog):
    before = contents(tiny_broden)
    for file in TABLES[1:-1]:
        table = pd.read_csv(tiny_broden / file)
        if "category" in table:
            table["category"] = table["category"].str.replace(r"\(\d+\)", "", regex=True)
        kept = [column for column in ("number", "name", "category") if column in table]
        table[kept].to_csv(tiny_broden / file, index=False)
    report = check_broden(tiny_broden)
    assert report.n_faults == 0 and [warning.file for warning in report.warnings] == list(TABLES[1:-1])
    assert report.warnings[0].sentence.startswith("8 labels, this one first, state no number of images")
    with caplog.at_level(logging.WARNING, "data_prep"):
        assert contents(tiny_broden) == before
    assert "(6 warnings, this is the first; `data-prep check` shows all)" in caplog.records[0].getMessage()


# Label number 0


def number_from_zero(root: Path) -> None:
    """The cat, label number 4, becomes number 0, in the tables and label maps as a set counted from 0 has it."""
    edit(root, "label.csv", "4,cat", "0,cat")
    edit(root, "c_object.csv", "4,cat", "0,cat")
    edit(root, "index.csv", "png;4", "png;0")
    for path in (root / "images").rglob("*_object*.png"):
        with Image.open(path) as image:
            pixels = np.array(image)
        pixels[pixels[..., 0] == 4] = 0
        Image.fromarray(pixels).save(path)


def test_a_class_numbered_0_is_refused_with_the_way_out(tiny_broden):
    number_from_zero(tiny_broden)
    sentence = (
        "label number 0 is 'cat', but 0 means 'no label' in label maps and index.csv: number the labels from 1 in all of them, "
        "or call this one '-' if it stands for what has no label."
    )
    with pytest.raises(UserError, match=r"label\.csv, row 5: ") as caught:
        open_broden(tiny_broden)
    assert str(caught.value) == f"{tiny_broden / 'label.csv'}, row 5: {sentence}"
    faults = check_broden(tiny_broden).faults
    assert faults == (Finding("label.csv", 5, sentence), Finding("c_object.csv", 2, sentence))


@pytest.mark.parametrize("name", ["-", "", "Background", "unlabeled", "void"])
def test_number_0_may_stand_for_no_label(tiny_broden, name):
    before = contents(tiny_broden)
    with (tiny_broden / "label.csv").open("a") as file:
        file.write(f"0,{name},object(4),4,1,\n")
    with (tiny_broden / "c_object.csv").open("a") as file:
        file.write(f"3,0,{name},4,1\n")
    assert contents(tiny_broden) == before


def test_number_0_in_the_index_is_told(tiny_broden, caplog):
    edit(tiny_broden, "index.csv", ",6;8", ",0;8")
    edit(tiny_broden, "index.csv", ",a/one_material.png,6", ",a/one_material.png,0")
    found = "2 fields, the first in 'scene', have label number 0, which means 'no label': if it is a class, number the labels"
    warnings = [warning for warning in check_broden(tiny_broden).warnings if warning.file == "index.csv"]
    assert len(warnings) == 1 and warnings[0].place == 2 and found in warnings[0].sentence
    with caplog.at_level(logging.WARNING, "data_prep"):
        open_broden(tiny_broden)
    assert found in caplog.text


# Twice the same


@pytest.mark.parametrize("name", ["a/two.jpg", "./a/two.jpg", "a//two.jpg", "a/./two.jpg"])
def test_two_rows_for_one_image_are_a_fault(tiny_broden, name):
    edit(tiny_broden, "index.csv", "b/four.jpg", name)
    sentence = f"image {name} is there already, in row 3; give each image one row."
    assert check_broden(tiny_broden).faults == (Finding("index.csv", 5, sentence),)
    with pytest.raises(UserError, match="is there already, in row 3"):
        open_broden(tiny_broden)


def test_two_labels_of_one_name_are_told(tiny_broden, caplog):
    edit(tiny_broden, "label.csv", "300,lamp", "300,cat")
    edit(tiny_broden, "c_object.csv", "300,lamp", "300,cat")
    report = check_broden(tiny_broden)
    sentence = (
        "'cat' of object is label number 4 too, in row 5: they count as two concepts, which results cannot tell apart; give one "
        "another name."
    )
    assert (report.faults, report.warnings) == ((), (Finding("label.csv", 9, sentence),))
    with caplog.at_level(logging.WARNING, "data_prep"):
        open_broden(tiny_broden)
    assert sentence in caplog.text


def test_one_name_in_two_categories_is_no_fault(tiny_broden):
    edit(tiny_broden, "label.csv", "1,red-c", "1,cat")
    edit(tiny_broden, "c_color.csv", "1,red-c", "1,cat")
    assert check_broden(tiny_broden).warnings == ()

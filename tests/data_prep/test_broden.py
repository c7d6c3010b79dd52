"""Reading a Broden set: what a tiny set made by hand must give, and the words of every refusal."""

from __future__ import annotations

import re
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_prep.broden import open_broden
from data_prep.common.errors import UserError
from data_prep.formats import NO_CONCEPT, BadImageError, Concept

CONCEPTS = [
    Concept(1, "red-c", "color"),
    Concept(2, "green-c", "color"),
    Concept(3, "hair", "part"),
    Concept(3, "hair", "material"),
    Concept(4, "cat", "object"),
    Concept(5, "wheel", "part"),
    Concept(6, "street-s", "scene"),
    Concept(8, "yard, back-s", "scene"),
    Concept(300, "lamp", "object"),
]
ONE, TWO, THREE, FOUR = range(4)


def edit(root: Path, file: str, old: str, new: str) -> None:
    text = (root / file).read_text(encoding="utf-8")
    assert old in text
    (root / file).write_text(text.replace(old, new, 1), encoding="utf-8")


def refusal(error: type[UserError], action, *args) -> str:
    with pytest.raises(error) as caught:
        action(*args)
    return str(caught.value)


# What a sound set gives


def test_concepts_follow_number_then_category(tiny_broden):
    data = open_broden(tiny_broden)
    assert data.categories == ("color", "part", "object", "material", "scene")
    assert data.concepts == CONCEPTS
    assert (data.name, data.root) == ("tiny", tiny_broden)


def test_images_follow_the_index(tiny_broden):
    images = open_broden(tiny_broden).images
    assert [image.name for image in images] == ["a/one.jpg", "a/two.jpg", "b/three.jpg", "b/four.jpg"]
    assert [image.split for image in images] == ["train", "val", "train", "val"]
    assert [image.label_shape for image in images] == [(8, 8), (6, 10), (8, 8), (4, 4)]
    assert all(image.path.is_file() for image in images)


def test_planes_hold_concept_indices_in_category_order(tiny_broden):
    labels = open_broden(tiny_broden).read_labels(ONE)
    assert labels.planes.dtype == np.int32
    assert labels.plane_category.tolist() == [0, 1, 2, 2, 3]
    expected = np.full((5, 8, 8), NO_CONCEPT)
    expected[0, :4], expected[0, 4:] = 0, 1
    expected[1, :2, :4], expected[1, 7, 7] = 2, 5
    expected[2, :4, :4] = 4
    expected[3, :2, :2], expected[3, 6:, 6:] = 4, 8
    expected[4, :2, :4] = 3
    assert np.array_equal(labels.planes, expected)
    assert labels.whole_image.tolist() == [6]


def test_each_image_has_its_own_label_shape(tiny_broden):
    data = open_broden(tiny_broden)
    assert [data.read_labels(i).planes.shape for i in range(4)] == [(5, 8, 8), (1, 6, 10), (0, 8, 8), (1, 4, 4)]
    assert data.read_labels(TWO).whole_image.size == 0
    assert data.read_labels(THREE).shape == (8, 8)


def test_a_field_may_mix_label_maps_and_numbers(tiny_broden):
    labels = open_broden(tiny_broden).read_labels(FOUR)
    assert labels.whole_image.tolist() == [4]
    assert labels.planes[0].tolist() == [[NO_CONCEPT] * 4] * 3 + [[4] * 4]


def test_image_level_labels_count_once_and_0_never(tiny_broden):
    edit(tiny_broden, "index.csv", ",6;8", ",8;0;6;8;")
    assert open_broden(tiny_broden).read_labels(THREE).whole_image.tolist() == [7, 6]


def test_label_0_is_no_concept_even_where_the_tables_list_it(tiny_broden):
    edit(tiny_broden, "label.csv", "1,red-c", "0,-,color(2),2,1.0,\n1,red-c")
    edit(tiny_broden, "c_color.csv", "1,1,red-c", "0,0,-,2,1.0\n1,1,red-c")
    assert open_broden(tiny_broden).concepts == CONCEPTS


def test_choosing_a_split_and_categories(tiny_broden):
    data = open_broden(tiny_broden, split="val", categories=["scene", "object"])
    assert data.categories == ("object", "scene")
    assert [concept.number for concept in data.concepts] == [4, 6, 8, 300]
    assert [image.name for image in data.images] == ["a/two.jpg", "b/four.jpg"]
    assert data.read_labels(0).planes.shape == (0, 6, 10)
    assert (data.read_labels(1).planes[0, 3] == 0).all()
    assert open_broden(tiny_broden, categories="part").categories == ("part",)


def test_a_byte_order_mark_and_blank_lines_are_no_fault(tiny_broden):
    index = tiny_broden / "index.csv"
    index.write_bytes(b"\xef\xbb\xbf" + index.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    assert len(open_broden(str(tiny_broden)).images) == 4


def test_fingerprint_changes_with_the_set_and_the_choice_only(tiny_broden, tmp_path):
    def fingerprint(**choice):
        return open_broden(tiny_broden, **choice).fingerprint()

    first = fingerprint()
    assert fingerprint(categories=["scene", "material", "object", "part", "color"]) == first
    moved = tiny_broden.rename(tmp_path / "moved")
    assert open_broden(moved).fingerprint() == first
    moved.rename(tiny_broden)
    seen = {first, fingerprint(split="train"), fingerprint(categories=["color"])}
    for change in (
        lambda: edit(tiny_broden, "c_scene.csv", "2.0", "2.5"),
        lambda: (tiny_broden / "images/a/one_part.png").write_bytes(b"another size"),
        lambda: (tiny_broden / "images/b/four.jpg").unlink(),
    ):
        change()
        seen.add(fingerprint())
    assert len(seen) == 6


# Faults of the tables


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("index.csv", "image,split", "picture,split", "index.csv lacks the column 'image'"),
        ("index.csv", "material,scene", "material,scent", "index.csv lacks the column 'scene'"),
        ("index.csv", "sh,sw", "sh,sh", "index.csv lacks the column 'sw'"),
        ("label.csv", "name,category", "name,kind", "label.csv lacks the column 'category'"),
        ("c_part.csv", "code,number", "code,code", "c_part.csv lacks the column 'number'"),
        ("c_part.csv", "code,number,name", "name,number,name", "c_part.csv has two columns 'name'"),
        ("category.csv", "scene,6,8,2,3\n", "", "has the column 'scene', which is no category of category.csv (color,"),
        ("category.csv", "scene,6", "stage,6", "c_stage.csv is missing: every Broden set has this table"),
        ("category.csv", "scene,6", "color,6", "category.csv, row 6: 'color' cannot name a category"),
        ("category.csv", "scene,6", "../scene,6", "row 6: '../scene' cannot name a category"),
        ("category.csv", "scene,6", "split,6", "row 6: 'split' cannot name a category"),
        ("label.csv", "4,cat", "four,cat", "label.csv, row 5: label number 'four' is no whole number in 0..65535"),
        ("label.csv", "4,cat", "-4,cat", "row 5: label number '-4' is no whole number"),
        ("label.csv", "4,cat", "65536,cat", "row 5: label number '65536' is no whole number in 0..65535"),
        ("label.csv", "4,cat", "1_4,cat", "row 5: label number '1_4' is no whole number"),
        ("label.csv", "4,cat", "\u0664,cat", "row 5: label number '\u0664' is no whole number"),
        ("label.csv", "4,cat", "9" * 5000 + ",cat", "is no whole number"),
        ("label.csv", "4,cat", "3,cat", "row 5: label number 3 is there already, in row 4; give each label one row"),
        ("label.csv", "4,cat", "4,", "row 5: label number 4 has no name"),
        (
            "label.csv",
            "object(2),2",
            "object(two),2",
            "row 5: category is 'object(two)'; write it as in 'object(12);part(",
        ),
        ("label.csv", ',"lime, light;pea"', ",lime, light", "label.csv, row 3: 7 fields under a header of 6"),
        ("label.csv", '"lime, light;pea"', '"lime, light;pea', "label.csv is no table that can be read"),
        ("c_part.csv", "2,5,wheel", "2,3,wheel", "c_part.csv, row 3: label number 3 is there already, in row 2"),
        ("c_part.csv", "2,5,wheel", "2,9,wheel", "c_part.csv, row 3: label number 9 ('wheel') is not in label.csv"),
        ("c_part.csv", "5,wheel", "5,tyre", "row 3: label number 5 is 'tyre', but 'wheel' in label.csv; correct one"),
        ("index.csv", "32,32,4,4", "32,32,4,four", "index.csv, row 5: sw is 'four'; write a size in pixels"),
        ("index.csv", "32,32,4,4", "32,32,0,4", "row 5: sh is '0'; write a size in pixels"),
        (
            "index.csv",
            "32,32,4,4",
            "32,32,70000,4",
            "row 5: sh is '70000'; write a size in pixels, a whole number in 1..",
        ),
        ("index.csv", "32,32,4,4", "32,,4,4", "row 5: iw is ''; write a size in pixels"),
        ("index.csv", "b/four.jpg", "a/two.jpg", "row 5: image a/two.jpg is there already, in row 3"),
        ("index.csv", "b/four.jpg,val", "b/four.jpg,", "row 5: image b/four.jpg has no split"),
        ("index.csv", "b/four.jpg,val", ",val", "row 5: no image is named"),
        ("index.csv", "b/four.jpg,val", "../four.jpg,val", "row 5: path '../four.jpg' may lead out of images/"),
        ("index.csv", "b/four_object.png", "/b/four.png", "row 5: path '/b/four.png' may lead out of images/"),
        ("index.csv", "b/four_object.png", "b/../../x.png", "row 5: path 'b/../../x.png' may lead out of images/"),
        ("index.csv", "b/four_object.png", "b\\four.png", "may lead out of images/; write it relative to images/"),
        ("index.csv", "b/four_object.png", "C:/four.png", "row 5: path 'C:/four.png' may lead out of images/"),
        ("index.csv", "b/four_object.png;4", "b/four_object.png;-4", "row 5: object has '-4'; write label numbers or"),
        ("index.csv", "b/four_object.png;4", "b/four_object.jpg", "row 5: object has 'b/four_object.jpg'; write label"),
        ("index.csv", ",,,,,6;8", ",,,6;8", "index.csv, row 4: 9 fields under a header of 11"),
    ],
)
def test_a_faulty_table_is_refused(tiny_broden, file, old, new, words):
    edit(tiny_broden, file, old, new)
    message = refusal(UserError, open_broden, tiny_broden)
    assert words in message and str(tiny_broden) in message


@pytest.mark.parametrize("file", ["index.csv", "label.csv", "category.csv", "c_material.csv"])
def test_a_missing_table_is_named(tiny_broden, file):
    (tiny_broden / file).unlink()
    assert f"{tiny_broden / file} is missing" in refusal(UserError, open_broden, tiny_broden)


def test_a_folder_that_is_none_is_named(tiny_broden):
    assert "nowhere is not a folder: give the folder" in refusal(UserError, open_broden, tiny_broden / "nowhere")
    assert "index.csv is not a folder" in refusal(UserError, open_broden, tiny_broden / "index.csv")


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("index.csv", None, "index.csv lists no usable image"),
        ("category.csv", None, "has the column 'color', which is no category"),
        ("label.csv", b"", "label.csv lacks the column 'number'"),
        ("index.csv", b"\xff\xfe\x00", "index.csv is no table that can be read"),
        ("label.csv", b"number,name\0,category,frequency\n", "label.csv"),
    ],
)
def test_an_empty_or_foreign_table_is_refused(tiny_broden, file, content, words):
    path = tiny_broden / file
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0] if content is None else content)
    assert words in refusal(UserError, open_broden, tiny_broden)


def test_an_unknown_split_lists_those_present(tiny_broden):
    message = refusal(UserError, open_broden, tiny_broden, "test")
    assert "Unknown split 'test' in" in message and message.endswith("index.csv; known: train, val.")


def test_an_unknown_category_offers_the_nearest(tiny_broden):
    message = refusal(UserError, open_broden, tiny_broden, None, ["objects"])
    assert "Unknown category 'objects' in" in message and message.endswith("scene; nearest: object.")
    assert "`categories` is empty: name at least one of color, part" in refusal(
        UserError, open_broden, tiny_broden, None, []
    )


# Faults of one image


def with_map(root: Path, image: Image.Image) -> str:
    """The refusal of image four after its label map was replaced; its neighbours must still read."""
    image.save(root / "images/b/four_object.png")
    return refusal_of_four(root)


def refusal_of_four(root: Path) -> str:
    data = open_broden(root)
    message = refusal(BadImageError, data.read_labels, FOUR)
    assert data.read_labels(TWO).planes.shape == (1, 6, 10)
    assert "four" in message
    return message


@pytest.mark.parametrize("mode", ["P", "L", "RGBA", "1", "I;16"])
def test_a_label_map_of_another_mode_is_refused(tiny_broden, mode):
    message = with_map(tiny_broden, Image.new(mode, (4, 4)))
    assert f"four_object.png has mode {mode}" in message and "not RGB of 8 bits per channel" in message


def test_a_label_map_of_16_bits_a_channel_is_refused(tiny_broden):
    """Pillow would open it as RGB and drop the low byte of every label."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    body = zlib.compress((b"\0" + bytes(4 * 6)) * 4)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    (tiny_broden / "images/b/four_object.png").write_bytes(png)
    assert "has mode RGB with 16 bits per channel" in refusal_of_four(tiny_broden)


def test_a_label_map_of_another_size_is_refused(tiny_broden):
    message = with_map(tiny_broden, Image.new("RGB", (6, 4)))
    assert "is 4 high and 6 wide, but index.csv says sh 4, sw 4" in message and "nearest-neighbour" in message


def test_a_label_map_with_blue_is_refused(tiny_broden):
    assert "has blue above 0" in with_map(tiny_broden, Image.new("RGB", (4, 4), (0, 0, 1)))


@pytest.mark.parametrize(
    ("number", "known"),
    [
        (5, "label.csv has it as 'wheel' of part"),
        (3, "label.csv has it as 'hair' of part, material"),
        (7, "label.csv has no such number either"),
        (65_535, "label.csv has no such number either"),
    ],
)
def test_a_label_of_another_category_is_refused(tiny_broden, number, known):
    colour = (number % 256, number // 256, 0)
    message = with_map(tiny_broden, Image.new("RGB", (4, 4), colour))
    assert f"Label number {number} in label map" in message
    assert f"is not in c_object.csv, and {known}: add the number to c_object.csv" in message


@pytest.mark.parametrize("number", [5, 7, 70_000])
def test_an_image_level_label_of_another_category_is_refused(tiny_broden, number):
    edit(tiny_broden, "index.csv", "four_object.png;4", f"four_object.png;{number}")
    message = refusal_of_four(tiny_broden)
    assert f"Label number {number} in {tiny_broden / 'index.csv'}, row 5, image b/four.jpg is not in c_obj" in message


def test_a_missing_label_map_is_refused(tiny_broden):
    (tiny_broden / "images/b/four_object.png").unlink()
    assert "four_object.png is missing: put it there" in refusal_of_four(tiny_broden)


def test_a_jpeg_under_the_name_of_a_png_is_refused(tiny_broden):
    Image.new("RGB", (4, 4)).save(tiny_broden / "images/b/four_object.png", "JPEG")
    assert "four_object.png cannot be read (not a PNG file)" in refusal_of_four(tiny_broden)


def test_a_label_map_cut_short_is_refused_at_every_length(tiny_broden):
    path = tiny_broden / "images/b/four_object.png"
    whole = path.read_bytes()
    data = open_broden(tiny_broden)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert "four_object.png cannot be read" in refusal(BadImageError, data.read_labels, FOUR)


def test_a_flipped_bit_never_passes_as_another_label(tiny_broden):
    path = tiny_broden / "images/b/four_object.png"
    whole = path.read_bytes()
    data = open_broden(tiny_broden)
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(BadImageError, match=re.escape(str(path))):
            data.read_labels(FOUR)


# Real photographs


def test_the_real_set_agrees_with_an_independent_reading(broden_real):
    data = open_broden(broden_real)
    index = pd.read_csv(broden_real / "index.csv", keep_default_na=False)
    assert [image.name for image in data.images] == index["image"].tolist()
    assert len(data.concepts) == 11 + 195 + 43 + 18 + 60 + 10
    keys = [(concept.number, data.categories.index(concept.category)) for concept in data.concepts]
    assert keys == sorted(set(keys))
    for i in range(0, len(index), 97):
        labels = data.read_labels(i)
        planes, whole = iter(zip(labels.planes, labels.plane_category, strict=True)), []
        for category in data.categories:
            for token in filter(None, index.at[i, category].split(";")):
                if token.isdigit():
                    whole.append((int(token), category))
                    continue
                plane, k = next(planes)
                with Image.open(broden_real / "images" / token) as image:
                    red, green, _ = (np.asarray(band, np.int64) for band in image.split())
                numbers = np.array([concept.number for concept in data.concepts] + [0])
                assert np.array_equal(numbers[plane], red + 256 * green)
                found = {data.concepts[c].category for c in np.unique(plane) if c != NO_CONCEPT}
                assert data.categories[k] == category and found <= {category}
        assert next(planes, None) is None
        assert [(data.concepts[c].number, data.concepts[c].category) for c in labels.whole_image] == whole


def test_the_fingerprint_of_the_real_set_is_fast(broden_real):
    data = open_broden(broden_real)
    data.fingerprint()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        data.fingerprint()
        times.append(time.perf_counter() - start)
    assert min(times) < 0.3

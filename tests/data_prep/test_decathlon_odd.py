"""Decathlons with images on their sides, numbers that fit nowhere, and files that are none."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image

from data_prep.common.errors import UserError
from data_prep.decathlon import open_decathlon
from data_prep.decathlon_check import check_decathlon

# Which way up


def test_an_image_is_turned_where_the_annotations_state_the_turned_size(tiny_decathlon):
    scene = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    stored = scene.swapaxes(0, 1)[
        ::-1
    ]  # tag 6: the file's first row is the scene's right side, its first column the top
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tiny_decathlon / "data/dtd/train/0001/a.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    data = open_decathlon(tiny_decathlon)
    split = data.split("dtd", "train")
    np.testing.assert_array_equal(split.read(0), scene)
    assert split.shapes[0].tolist() == [4, 6]
    file = tiny_decathlon / "annotations/dtd_train.json"
    text = json.loads(file.read_text())
    text["images"][0] |= {"width": 4, "height": 6}
    file.write_text(json.dumps(text))
    other = open_decathlon(tiny_decathlon).split("dtd", "train")
    np.testing.assert_array_equal(other.read(0), stored)
    assert other.fingerprint() != split.fingerprint(), "other pixels must not be taken from a cache"


# Numbers that fit nowhere


@pytest.mark.parametrize("number", [2**63, -(2**63), 10**30, 10**400])
@pytest.mark.parametrize(
    ("part", "field", "words"),
    [
        ("images", "id", "image entry 1: it needs an integer id, of 64 bits at most, a file_name, and a width"),
        ("images", "width", "a width and height in 1..65535"),
        ("annotations", "image_id", "annotation entry 1: it needs an integer image_id and category_id, of 64 bits"),
        ("annotations", "category_id", "annotation entry 1: it needs an integer image_id and category_id, of 64 bits"),
        ("categories", "id", "category entry 1: it needs an integer id, of 64 bits at most, and a name; write both"),
    ],
)
def test_a_number_beyond_64_bits_is_told(tiny_decathlon, number, part, field, words):
    file = tiny_decathlon / "annotations/dtd_train.json"
    text = json.loads(file.read_text())
    text[part][0][field] = number
    file.write_text(json.dumps(text))
    with pytest.raises(UserError) as caught:
        open_decathlon(tiny_decathlon).split("dtd", "train")
    assert words in str(caught.value)
    assert check_decathlon(tiny_decathlon).n_faults > 0


def test_a_mean_that_fits_nowhere_is_told(tiny_decathlon):
    (tiny_decathlon / "mean_std.json").write_text(
        json.dumps({"pack": {"dtd": {"mean": [10**400, 1, 1], "std": [1] * 3}}})
    )
    with pytest.raises(UserError, match=r"mean_std\.json cannot be read"):
        open_decathlon(tiny_decathlon).mean_std("dtd")


@pytest.mark.parametrize("file", ["annotations/dtd_train.json", "data/svhn.tar", "mean_std.json"])
def test_only_regular_files_are_read(tiny_decathlon, file):
    path = tiny_decathlon / file
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(UserError, match="it is a pipe, not a file"):
        data = open_decathlon(tiny_decathlon)
        data.mean_std("dtd")
        data.split("svhn", "train")

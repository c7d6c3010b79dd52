"""A domain of one's own: what is read, how it is split, what is written, what is refused."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from data_prep import check_decathlon, open_decathlon
from data_prep.common.errors import UserError
from data_prep.decathlon_add import add_domain
from data_prep.decathlon_tables import SPLITS


def picture(seed: int, height: int = 12, width: int = 16) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def folders(root: Path, classes: dict[str, int], seed: int = 0) -> Path:
    for class_name, n in classes.items():
        (root / class_name).mkdir(parents=True)
        for i in range(n):
            seed += 1
            picture(seed).save(root / class_name / f"{i}.png")
    return root


def images(root: Path, domain: str) -> dict[str, dict[bytes, str]]:
    """By split: class by pixels."""
    data = open_decathlon(root)
    found = {}
    for split in SPLITS:
        part = data.split(domain, split)
        found[split] = {part.read(i).tobytes(): part.class_names[part.labels[i]] for i in range(len(part))}
    return found


def test_folders_become_a_domain(tmp_path):
    source = folders(tmp_path / "photos", {"rosé": 20, "tulip": 10})
    (source / "tulip" / ".hidden.png").write_bytes(b"")
    (source / "tulip" / "notes.txt").write_text("none")
    (source / "tulip" / "broken.jpg").write_bytes(b"no picture")
    added = add_domain("my-flowers", source, tmp_path / "mine")
    assert added.n_images == {
        "train": {"rosé": 13, "tulip": 6}, "val": {"rosé": 3, "tulip": 2}, "test": {"rosé": 4, "tulip": 2},
    }  # fmt: skip
    assert len(added.left_out) == 1 and "broken.jpg is left out: it is none of" in added.left_out[0]
    assert added.duplicates == ()
    found = images(tmp_path / "mine", "my-flowers")
    stored = {pixels: name for split in SPLITS for pixels, name in found[split].items()}
    original = {
        np.asarray(Image.open(path)).tobytes(): path.parent.name
        for path in source.rglob("*.png") if path.name[0] != "."
    }  # fmt: skip
    assert stored == original and sum(map(len, found.values())) == 30
    report = check_decathlon(tmp_path / "mine")
    assert (report.n_faults, report.n_warnings, report.n_images) == (0, 0, 30)
    pixels = np.concatenate([np.frombuffer(p, np.uint8).reshape(-1, 3) for p in found["train"]]) / 255
    mean, std = open_decathlon(tmp_path / "mine").mean_std("my-flowers")
    assert mean == pytest.approx(pixels.mean(0)) and std == pytest.approx(pixels.std(0))
    assert (added.mean.tolist(), added.std.tolist()) == (mean.tolist(), std.tolist())
    assert "my-flowers" in json.loads((tmp_path / "mine" / "mean_std.json").read_text())["pack"]


def test_the_split_is_one_of_pixels_alone(tmp_path):
    source = folders(tmp_path / "photos", {"a": 12, "b": 12})
    other = tmp_path / "renamed"
    for path in source.rglob("*.png"):
        target = other / path.parent.name / "deeper" / f"{9 - int(path.stem) % 10}{path.stem}.bmp"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).save(target)
    add_domain("one", source, tmp_path / "mine")
    add_domain("two", other, tmp_path / "mine")
    assert images(tmp_path / "mine", "one") == images(tmp_path / "mine", "two")
    data = open_decathlon(tmp_path / "mine")
    ids = [set(data.split(name, split).image_ids.tolist()) for name in data.domains for split in SPLITS]
    assert len(set.union(*ids)) == sum(map(len, ids)) == 48, "ids must differ over all domains"


def test_stated_splits_stay_and_equal_images_are_told(tmp_path):
    source = tmp_path / "photos"
    for split, seed in (("train", 0), ("validation", 100), ("test", 200)):
        folders(source / split, {"a": 4, "b": 4}, seed)
    picture(1).save(source / "test" / "a" / "again.png")
    picture(2).save(source / "train" / "b" / "other-class.png")
    added = add_domain("mine", source, tmp_path / "root")
    assert {split: sum(n.values()) for split, n in added.n_images.items()} == {"train": 9, "val": 8, "test": 9}
    assert len(added.duplicates) == 2
    assert any("0.png (train, a)" in told and "again.png (test, a)" in told for told in added.duplicates)
    assert any("1.png (train, a)" in told and "other-class.png (train, b)" in told for told in added.duplicates)


def test_equal_images_of_a_class_never_part(tmp_path):
    source = folders(tmp_path / "photos", {"a": 10, "b": 10})
    for path in list(source.rglob("*.png")):
        Image.open(path).save(path.with_name(f"copy-{path.name}"))
    added = add_domain("mine", source, tmp_path / "root")
    assert added.duplicates == ()
    found = images(tmp_path / "root", "mine")
    assert not (found["train"].keys() & found["test"].keys()) and not (found["train"].keys() & found["val"].keys())
    assert sum(sum(n.values()) for n in added.n_images.values()) == 40


def test_equal_images_of_two_classes_never_part(tmp_path):
    source = folders(tmp_path / "photos", {"a": 10, "b": 10})
    for path in list((source / "a").iterdir())[:6]:
        Image.open(path).save(source / "b" / f"copy-{path.name}")
    added = add_domain("mine", source, tmp_path / "root")
    assert len(added.duplicates) == 6
    found = [split.keys() for split in images(tmp_path / "root", "mine").values()]
    assert (
        not (found[0] & found[1] or found[0] & found[2] or found[1] & found[2])
        and len(set.union(*map(set, found))) == 20
    )
    assert all(n > 0 for of_class in added.n_images.values() for n in of_class.values())


def test_a_table(tmp_path):
    source = folders(tmp_path / "photos", {"x": 14})
    rows = [f"x/{i}.png,{'=cat' if i % 2 else 'dog'}" for i in range(14)]
    (tmp_path / "photos" / "list.csv").write_text("path,class\n" + "\n".join(rows) + "\n", encoding="utf-8-sig")
    added = add_domain("mine", source / "list.csv", tmp_path / "root")
    assert {name for n in added.n_images.values() for name in n} == {"=cat", "dog"}
    assert sum(added.n_images["train"].values()) == 10


def test_pictures_that_no_decathlon_holds(tmp_path):
    source = folders(tmp_path / "photos", {"a": 4, "b": 3})
    lying = picture(50)
    exif = Image.Exif()
    exif[0x0112] = 6
    lying.save(source / "b" / "turned.png", exif=exif)
    picture(51).convert("RGBA").save(source / "b" / "alpha.png")
    picture(52).save(source / "a" / "small.webp", lossless=True)
    Image.fromarray(np.zeros((5, 5), np.uint16)).save(source / "a" / "deep.png")
    added = add_domain("mine", source, tmp_path / "root")
    assert [told.split(" is left out")[0].rpartition("/")[2] for told in added.left_out] == ["deep.png"]
    held = {pixels for of_split in images(tmp_path / "root", "mine").values() for pixels in of_split}
    assert np.rot90(np.asarray(lying), -1).tobytes() in held, "a turned photograph must stand upright"
    assert {np.asarray(picture(51)).tobytes(), np.asarray(picture(52)).tobytes()} <= held
    assert check_decathlon(tmp_path / "root").n_faults == 0


@pytest.mark.parametrize("tag", range(2, 9))
@pytest.mark.parametrize("side", [12, 16])
def test_photographs_stand_upright_whatever_their_tag(tmp_path, tag, side):
    exif = Image.Exif()
    exif[0x0112] = tag
    source = folders(tmp_path / "photos", {"a": 3, "b": 2})
    picture(50, side, 16).save(source / "b" / "tagged.png", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(source / "b" / "tagged.png")))
    add_domain("mine", source, tmp_path / "root")
    held = {pixels for of_split in images(tmp_path / "root", "mine").values() for pixels in of_split}
    assert upright.tobytes() in held and len(held) == 6


def test_a_domain_is_replaced_only_when_asked(tmp_path):
    add_domain("mine", folders(tmp_path / "one", {"a": 5, "b": 5}), tmp_path / "root")
    before = images(tmp_path / "root", "mine")
    other = folders(tmp_path / "two", {"c": 5, "d": 5}, seed=500)
    with pytest.raises(
        UserError, match="has a domain 'mine' already: choose another name, or replace it with `overwrite`"
    ):
        add_domain("mine", other, tmp_path / "root")
    assert images(tmp_path / "root", "mine") == before
    added = add_domain("mine", other, tmp_path / "root", overwrite=True)
    assert list(added.n_images["train"]) == ["c", "d"]
    assert check_decathlon(tmp_path / "root").n_faults == 0


@pytest.mark.parametrize("tar", ["mine.tar", "mine_train.tar"])
def test_a_tar_is_replaced_too(tmp_path, tar):
    data = tmp_path / "root/data"
    source = folders(tmp_path / "one", {"a": 5, "b": 5})
    add_domain("mine", source, tmp_path / "root")
    before = images(tmp_path / "root", "mine")["train"]
    with tarfile.open(data / tar, "w") as file:
        file.add(data / "mine", arcname="data/mine")
    shutil.rmtree(data / "mine")
    for path in (tmp_path / "root/annotations").glob("*.json"):
        path.rename(path.with_suffix(".old"))
    with pytest.raises(UserError, match="has a domain 'mine' already"):
        add_domain("mine", source, tmp_path / "root")
    for path in (tmp_path / "root/annotations").glob("*.old"):
        path.rename(path.with_suffix(".json"))
    other = folders(tmp_path / "two", {"a": 5, "b": 5}, seed=500)
    add_domain("mine", other, tmp_path / "root", overwrite=True)
    assert not images(tmp_path / "root", "mine")["train"].keys() & before.keys()


def test_a_name_may_begin_another(tmp_path):
    source = folders(tmp_path / "photos", {"a": 3, "b": 3})
    for name in ("birds_small", "birds"):
        add_domain(name, source, tmp_path / "root")
    assert open_decathlon(tmp_path / "root").domains == ("birds", "birds_small")


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("dtd", lambda t: folders(t / "p", {"a": 5, "b": 5}), "'dtd' is a domain of the official decathlon"),
        ("../x", lambda t: t, "is not usable; use letters, digits"),
        ("x_train", lambda t: t, "without a split at its end"),
        ("x", lambda t: t / "none", "There is no .*none: give a folder of images, or a CSV file"),
        ("x", lambda t: folders(t / "p", {"a": 5}), "has images of 1 classes, and there must be two"),
        ("x", lambda t: folders(t / "p", {"a": 5, "b": 0}), "has images of 1 classes"),
        ("x", lambda t: folders(t / "p", {}), "There is no"),
        ("x", lambda t: folders(t / "p", {"train": 5, "b": 5}), "has the folder b beside train"),
        ("x", lambda t: t, "names no image: put the images of each class into a folder"),
    ],
)
def test_what_cannot_be_a_domain(tmp_path, name, make, words):
    with pytest.raises(UserError, match=words):
        add_domain(name, make(tmp_path), tmp_path / "root")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,class\na.png,x\n", "list.csv, line 2 has no path or no class"),
        ("path,class,split\na.png,x,tets\n", "Unknown split 'tets' in .*line 2; known: train, val, test"),
        ("path,class\na.png,x\na.png,y\n", "line 3 names 'a.png' again"),
        ("", "names no image: write a line for each image"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, text, words):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        add_domain("x", tmp_path / "list.csv", tmp_path / "root")

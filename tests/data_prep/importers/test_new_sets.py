"""The writer of sets, joined sets, colour names, Broden's archives, the picture sheet, and the commands for them."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as masks
from read_back import box, import_whole, picture, read_back, same
from real_data import real_data

import data_prep
from data_prep import Plane, colours, importers, open_broden, write_broden
from data_prep.broden_check import check_broden
from data_prep.common.errors import UserError
from data_prep.importers.preview import preview

SHAPE = (4, 6)
CAT, DOG = box(SHAPE, 0, 0, 2, 3), box(SHAPE, 1, 2, 4, 6)


def add(writer, name: str, planes=(), whole=(), **more) -> None:
    usual = {"split": "train", "image_shape": SHAPE, "label_shape": SHAPE}
    writer.add(name, planes=planes, whole=whole, image=more.pop("image", png(SHAPE)), **{**usual, **more})


def png(shape: tuple[int, int], colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", shape[::-1], colour).save(file, "PNG")
    return file.getvalue()


def pets(root: Path) -> Path:
    """a.png: a cat and a dog that overlap, furry as a whole; b.png: a dog with hair; c.png: annotated for object, shows none."""
    with write_broden(root, ["object", "part", "texture", "scene"]) as writer:
        names = ["", "cat", "dog"]
        add(writer, "a.png", [Plane("object", CAT * 1, names), Plane("object", DOG * 2, names)], [("texture", "hair")])
        add(writer, "b.png", [Plane("object", DOG, ["", "dog"]), Plane("part", CAT * 1, ["", "hair"])])
        add(writer, "c.png", [Plane("object", CAT * 0, [""])])
    return root


def test_what_is_written_is_read_back_and_counted(tmp_path):
    root = pets(tmp_path / "set")
    back = read_back(root)
    assert same(back["a.png"], {("object", "cat"): CAT, ("object", "dog"): DOG, ("texture", "hair"): CAT | True})
    assert same(back["b.png"], {("object", "dog"): DOG, ("part", "hair"): CAT})
    assert set(back["c.png"]) == {("object", "")}
    assert (check_broden(root).n_faults, check_broden(root).n_warnings) == (0, 0), "frequencies are checked there"
    lines = (root / "label.csv").read_text().splitlines()
    # hair covers 1 + 6 / 24, dog 2 * 12 / 24
    assert lines[1:] == [
        "1,hair,part(1);texture(1),2,1.250000,", "2,dog,object(2),2,1.000000,", "3,cat,object(1),1,0.250000,",
    ]  # fmt: skip
    assert (root / "index.csv").read_text().splitlines()[0] == "image,split,ih,iw,sh,sw,object,part,texture"


def test_the_order_of_images_alone_does_not_change_the_numbers(tmp_path):
    for name, order in (("one", "ab"), ("two", "ba")):
        with write_broden(tmp_path / name, ["object"]) as writer:
            for image in order:
                add(writer, f"{image}.png", [Plane("object", CAT * 1, ["", {"a": "x", "b": "y"}[image]])])
    tables = [(tmp_path / name / "label.csv").read_bytes() for name in ("one", "two")]
    assert tables[0] == tables[1]


def test_no_label_map_takes_the_name_of_an_image(tmp_path):
    with write_broden(tmp_path / "set", ["object"]) as writer:
        for name in ("a.png", "a.jpg", "a_object.png"):
            add(writer, name, [Plane("object", CAT * 1, ["", name])])
    back = read_back(tmp_path / "set")
    assert all(same(back[name], {("object", name): CAT}) for name in ("a.png", "a.jpg", "a_object.png"))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"name": "a.png"}, "Image 'a.png' .* its name is there once"),
        ({"name": "../b.png"}, "cannot be written"),
        ({"split": ""}, "it has a split"),
        ({"label_shape": (4, 0)}, r"sizes lie in 1\.\."),
        ({"label_shape": (4, 5)}, r"has the shape \(4, 6\), but `label_shape` is \(4, 5\)"),
        ({"planes": [Plane("colour", CAT * 1, ["", "x"])]}, "label '' of 'colour'; known: object"),
        ({"planes": [Plane("object", CAT * 2 - 1, ["", "x"])]}, "has the code -1, which is no place in its 2 names"),
        ({"planes": [Plane("object", CAT * 2, ["", "x"])]}, "has the code 2, which is no place in its 2 names"),
        ({"planes": [Plane("object", CAT * 1.0, ["", "x"])]}, "has codes of type float64: give whole numbers"),
        ({"whole": [("object", "")]}, "has the label '' of 'object' in `whole`"),
    ],
)
def test_the_writer_refuses_what_could_not_be_read(tmp_path, more, sentence):
    with pytest.raises(UserError, match=sentence), write_broden(tmp_path / "set", ["object"]) as writer:
        planes = [Plane("object", CAT * 1, ["", "cat"])]
        add(writer, "a.png", planes)
        add(writer, **{"name": "b.png", "planes": planes, **more})
    assert list(tmp_path.iterdir()) == []


def test_numbers_may_be_told(tmp_path):
    labels = {"part": {"leg": 9}, "object": {"cat": 300, "leg": 9, "unseen": 7}}
    with write_broden(tmp_path / "set", ["object", "part"], labels=labels) as writer:
        add(writer, "a.png", [Plane("object", CAT * 1, ["", "cat"])])
    data = open_broden(tmp_path / "set")
    assert [(c.number, c.name, c.category) for c in data.concepts] == [
        (7, "unseen", "object"), (9, "leg", "object"), (9, "leg", "part"), (300, "cat", "object"),
    ]  # fmt: skip
    for wrong in ({"object": {"cat": 1, "dog": 1}}, {"object": {"cat": 1}, "part": {"cat": 2}}, {"object": {"cat": 0}}):
        with (
            pytest.raises(UserError, match="`labels` give"),
            write_broden(tmp_path / "no", list(wrong), labels=wrong) as writer,
        ):
            add(writer, "a.png", [Plane("object", CAT * 1, ["", "cat"])])


def test_joined_sets_share_names_and_keep_categories_apart(tmp_path):
    pets(tmp_path / "one")
    with write_broden(tmp_path / "two", ["texture", "material"]) as writer:
        add(writer, "a.png", [Plane("material", DOG * 1, ["", "hair"])], [("texture", "striped")])
    root = data_prep.join_broden([tmp_path / "one", tmp_path / "two"], tmp_path / "both")
    one, two, both = (read_back(tmp_path / name) for name in ("one", "two", "both"))
    assert both.keys() == {*(f"one/{name}" for name in one), *(f"two/{name}" for name in two)}
    for name, shown in both.items():
        before = (one if name.startswith("one/") else two)[name.partition("/")[2]]
        assert shown.keys() == before.keys() and all((shown[key] == before[key]).all() for key in before)
    data = open_broden(root)
    assert {(c.number, c.category) for c in data.concepts if c.name == "hair"} == {
        (1, c) for c in ("part", "texture", "material")
    }
    assert (check_broden(root).n_faults, check_broden(root).n_warnings) == (0, 0)
    alike = data_prep.join_broden([tmp_path / "one", tmp_path / "one"], tmp_path / "twice")
    assert {image.name.split("/")[0] for image in open_broden(alike).images} == {"one-1", "one-2"}
    with pytest.raises(UserError, match="`roots` has 1 folder: name two"):
        data_prep.join_broden([tmp_path / "one"], tmp_path / "no")


def test_names_that_cannot_be_kept_are_changed_and_numbered(tmp_path):
    for folder in ("my;set", "train", "val/train", "train-1"):
        pets(tmp_path / folder)
    odd = tmp_path / "my;set"
    index = (odd / "index.csv").read_text()
    (odd / "index.csv").write_text(index.replace("a.png", '"a ""x"".png"').replace("b.png", "a _x_.png"))
    (odd / "images/a.png").rename(odd / 'images/a "x".png')
    (odd / "images/b.png").rename(odd / "images/a _x_.png")
    coloured = data_prep.add_colors(odd, tmp_path / "coloured")
    assert sorted(read_back(coloured)) == ["a _x_.png", "a _x__2.png", "c.png"]
    sets = [tmp_path / folder for folder in ("train", "val/train", "train-1", "my;set")]
    both = read_back(data_prep.join_broden(sets, tmp_path / "both"))
    assert {name.split("/")[0] for name in both} == {"train-2", "train-3", "train-1", "my_set"} and len(both) == 12


def test_colours_are_those_of_the_mean_under_each_label_pixel(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (8, 12, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    with write_broden(tmp_path / "set", ["object"]) as writer:
        add(writer, "a.png", [Plane("object", CAT * 1, ["", "cat"])], image=file.getvalue(), image_shape=(8, 12))
    root = data_prep.add_colors(tmp_path / "set", tmp_path / "coloured")
    shown = read_back(root)["a.png"]
    assert (shown["object", "cat"] == CAT).all()
    mean = np.floor(pixels.astype(float).reshape(4, 2, 6, 2, 3).mean((1, 3)) + 0.5).astype(np.uint8)
    codes = colours.colour_codes(mean)
    assert same({k: v for k, v in shown.items() if k[0] == "color"}, {
        ("color", colours.NAMES[n - 1]): codes == n for n in np.unique(codes).tolist()
    })  # fmt: skip
    assert (tmp_path / "set/images/a.png").samefile(root / "images/a.png"), "linked, not copied"
    with pytest.raises(UserError, match="has the category color already"):
        data_prep.add_colors(root, tmp_path / "again")


def test_real_label_maps_come_back_from_coco_and_from_label_pictures(tmp_path):
    """Some of the photographs, their objects written as run lengths of COCO and as 16-bit pictures."""
    whole = open_broden(real_data("broden_real"), categories=["object"])
    chosen = [n for n, image in enumerate(whole.images) if image.name.startswith(("coco/", "ccp/"))][::60]
    names = {concept.number: concept.name for concept in whole.concepts}
    (tmp_path / "names.csv").parent.mkdir(exist_ok=True)
    (tmp_path / "names.csv").write_text("".join(f"{n},{name}\n" for n, name in names.items()), encoding="utf-8")
    content: dict[str, list] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": n, "name": names[n]} for n in names],
    }
    expected = {}
    for n in chosen:
        image, labels = whole.images[n], whole.read_labels(n)
        stem = Path(image.name).stem
        picture(tmp_path / f"images/{stem}.jpg", image.label_shape)
        numbers = np.array([0, *(concept.number for concept in whole.concepts)])[labels.planes + 1]
        first = numbers[0] if len(numbers) else np.zeros(image.label_shape, int)
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(first.astype(np.uint16)).save(tmp_path / f"masks/{stem}.png")
        high, wide = image.label_shape
        content["images"].append({"id": n, "file_name": f"{stem}.jpg", "height": high, "width": wide})
        shown = {k: (numbers == k).any(0) for k in np.unique(numbers[numbers > 0]).tolist()}
        for k, mask in shown.items():
            region = masks.encode(np.asfortranarray(mask.astype(np.uint8)))
            region = {"size": [high, wide], "counts": region["counts"].decode()}
            content["annotations"].append({"image_id": n, "category_id": k, "segmentation": region})
        expected[f"{stem}.jpg"] = first, {("object", names[k]): mask for k, mask in shown.items()}
    (tmp_path / "coco.json").write_text(json.dumps(content))
    regions = read_back(import_whole("coco", tmp_path / "coco.json", tmp_path / "regions"))
    maps = read_back(import_whole("masks", tmp_path, tmp_path / "maps"))
    assert len(regions) == len(maps) == len(chosen) and sum(len(shown) for _, shown in expected.values()) > 20
    for name, (first, shown) in expected.items():
        assert same(regions[name], shown)
        assert same(maps[name], {("object", names[k]): first == k for k in np.unique(first[first > 0]).tolist()})


ARCHIVE = {
    "index.csv": "image,split,ih,iw,sh,sw,color,object,part,material,scene,texture\n"
    "ade20k/a.jpg,train,4,6,2,3,,ade20k/a_object.png,ade20k/a_part_1.png;ade20k/a_part_2.png,,3,\n"
    "dtd/b.jpg,val,4,6,2,3,,,,,,4;5\n",
    "label.csv": "number,name,category,frequency,coverage,syns\n1,wall,object(1),1,0.5,\n2,door,part(1),1,0.1,door;gate\n"
    "3,street-s,scene(1),1,1.0,\n4,banded,texture(1),1,1.0,\n5,lined,texture(1),1,1.0,\n",
    "category.csv": "name,first,last,count,frequency\nobject,1,1,1,1\npart,2,2,1,1\nscene,3,3,1,1\ntexture,4,5,2,1\n"
    "color,0,0,0,0\nmaterial,0,0,0,0\n",
    "c_color.csv": "code,number,name,frequency,coverage\n",
    "c_material.csv": "code,number,name,frequency,coverage\n",
    "c_object.csv": "code,number,name,frequency,coverage\n1,1,wall,1,0.5\n",
    "c_part.csv": "code,number,name,frequency,coverage\n1,2,door,1,0.1\n",
    "c_scene.csv": "code,number,name,frequency,coverage\n1,3,street-s,1,1.0\n",
    "c_texture.csv": "code,number,name,frequency,coverage\n1,4,banded,1,1.0\n2,5,lined,1,1.0\n",
    "README.txt": "Broden",
}
"""Tables as NetDissect's: several planes in a field, numbers of the whole image, categories without any label here."""


def archive(path: Path, root: str = "broden1_224/", **more: bytes | str) -> Path:
    def encoded(pixels: np.ndarray | None, format: str) -> bytes:
        file = io.BytesIO()
        (Image.new("RGB", (6, 4)) if pixels is None else Image.fromarray(pixels)).save(file, format)
        return file.getvalue()

    door = np.zeros((2, 3, 3), np.uint8)
    door[0, 0, 0] = 2
    wall = np.zeros((2, 3, 3), np.uint8)
    wall[1, :, 0] = 1
    maps = {"a_object": wall, "a_part_1": door, "a_part_2": door[::-1]}
    pictures = {"ade20k/a.jpg": encoded(None, "JPEG"), "dtd/b.jpg": encoded(None, "JPEG")}
    pictures |= {f"ade20k/{name}.png": encoded(pixels, "PNG") for name, pixels in maps.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in {**ARCHIVE, **{f"images/{name}": data for name, data in pictures.items()}}.items():
            file.writestr(f"{root}{name}", content)
        for name, content in more.items():
            file.writestr(name, content)
    return path


@pytest.mark.parametrize("root", ["broden1_224/", "", "a/b/"])
def test_an_archive_in_the_published_layout(tmp_path, root):
    out = data_prep.unpack_broden(archive(tmp_path / "broden1_224.zip", root), tmp_path / "out")
    assert check_broden(out).n_faults == 0
    back = read_back(out)
    door = box((2, 3), 0, 0, 2, 1)
    assert same(back["ade20k/a.jpg"], {
        ("object", "wall"): box((2, 3), 1, 0, 2, 3), ("part", "door"): door, ("scene", "street-s"): door | True,
    })  # fmt: skip
    assert same(back["dtd/b.jpg"], {("texture", "banded"): door | True, ("texture", "lined"): door | True})


def hostile(path: Path, name: str, content: bytes = b"x", mode: int = 0) -> Path:
    archive(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        file.writestr(info, content)
    return path


def broken(path: Path) -> Path:
    data = bytearray(archive(path).read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: hostile(path, "../evil.txt"), "holds '../evil.txt', a link or a path out of it"),
        (lambda path: hostile(path, "/etc/evil"), "holds '/etc/evil', a link"),
        (lambda path: hostile(path, "broden1_224/x", b"/etc", stat.S_IFLNK | 0o777), "holds 'broden1_224/x', a link"),
        (lambda path: hostile(path, "broden1_224/label.csv"), "holds 'broden1_224/label.csv' twice"),
        (lambda path: hostile(path, "other/index.csv"), "has index.csv in 2 folders, and a Broden set has one"),
        (lambda path: hostile(path, "broden1_224/big", bytes(2**20)), "would unpack to 1,05.,... bytes, more than"),
        (broken, "is no ZIP file that can be unpacked"),
        (lambda path: path.write_bytes(b"no"), "is no ZIP file that can be unpacked"),
        (lambda path: path, "is no file: give an archive of Broden, or its address; .*http://netdissect.csail.mit.edu/data"),
    ],
)  # fmt: skip
def test_an_archive_that_is_not_to_be_trusted_is_refused_whole(tmp_path, make, sentence, monkeypatch):
    monkeypatch.setattr(importers.archive, "UNPACKED_LEAST", 2**16)
    make(tmp_path / "a.zip")
    with pytest.raises(UserError, match=sentence):
        data_prep.unpack_broden(tmp_path / "a.zip", tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} <= {"a.zip"}


def test_the_sheet_draws_labels_where_they_are(tmp_path):
    sheet = np.asarray(preview(open_broden(pets(tmp_path / "set")))).astype(int)
    assert sheet.shape[1] == 3 * 250 + 10
    plain = np.abs(sheet - (200, 30, 30)).max(-1) < 3
    # Of c.png everything is plain, of a.png what is neither cat nor dog, of b.png what is no dog and no hair.
    expected = 1 + float((~(CAT | DOG)).mean()) * 2
    assert plain.sum() / 240**2 == pytest.approx(expected, abs=0.05)


def test_the_commands(tmp_path, said):
    for n in range(12):
        picture(tmp_path / f"in/cat/{n}.jpg", SHAPE)
    picture(tmp_path / "in/dog/1.jpg", SHAPE)
    status, out, _ = said(
        "import", "classes", tmp_path / "in", "--out", tmp_path / "set", "--category", "object", "--preview"
    )
    assert status == 0 and (tmp_path / "set/preview.png").is_file()
    assert [line.split() for line in out.splitlines() if line.startswith(("category", "object"))] == [
        ["category", "images", "labels", "in", "10", "images", "or", "more", "most", "frequent"],
        ["object", "13", "2", "1", "cat", "12,", "dog", "1"],
    ]
    assert "1 label is in fewer than 10 images" in out and "faults" in out
    status, out, _ = said("colors", tmp_path / "set", "--out", tmp_path / "coloured")
    assert status == 0 and "color" in out
    status, out, _ = said("join", tmp_path / "set", tmp_path / "coloured", "--out", tmp_path / "both")
    assert status == 0 and open_broden(tmp_path / "both").categories == ("object", "color")
    status, _, err = said("import", "classes", tmp_path / "in", "--out", tmp_path / "set")
    assert status == 2 and "is already there" in err
    (tmp_path / "in/cat/3.jpg").write_bytes(b"")
    status, _, err = said("import", "classes", tmp_path / "in", "--out", tmp_path / "new")
    assert status == 2 and "or leave such images out with --skip-bad" in err and not (tmp_path / "new").exists()
    assert said("broden", archive(tmp_path / "a.zip"), "--out", tmp_path / "broden")[0] == 0

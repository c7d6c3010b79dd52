"""VOC, ADE20K and Cityscapes, each in a small folder made after its published layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from read_back import box, import_whole, picture, read_back, same

from data_prep import open_broden
from data_prep.common.errors import UserError
from data_prep.importers import import_labels

SHAPE = (6, 9)
CODES = np.array([[0] * 9, [1] * 9, [15] * 9, [255] * 9, [20, 1, 15] * 3, [0] * 9])
VOC = {1: "aeroplane", 15: "person", 20: "tvmonitor"}
COLOURS = {0: (0, 0, 0), 1: (128, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
"""Of VOC's palette, as its development kit prints it."""


def save(path: Path, codes: np.ndarray, palette: dict[int, tuple[int, int, int]] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(codes.astype(np.uint8), "P" if palette else "L")
    if palette:
        image.putpalette([value for n in range(256) for value in palette.get(n, (n, n, n))])
    image.save(path)


def rgb(codes: np.ndarray, colours: dict[int, tuple[int, int, int]]) -> Image.Image:
    pixels = np.zeros((*codes.shape, 3), np.uint8)
    for code, colour in colours.items():
        pixels[codes == code] = colour
    return Image.fromarray(pixels)


def voc(root: Path) -> Path:
    for name in ("2007_a", "2007 b", "2007_none"):
        picture(root / f"JPEGImages/{name}.jpg", SHAPE)
    save(root / "SegmentationClass/2007_a.png", CODES, COLOURS)
    save(root / "SegmentationClass/2007 b.png", np.zeros(SHAPE), COLOURS)
    for split, name in (("Train", "2007_a"), ("val", '"2007 b"')):
        path = root / f"ImageSets/Segmentation/{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
    return root


def test_voc_by_number_and_by_colour(tmp_path):
    root, expected = voc(tmp_path / "in"), {("object", name): n == CODES for n, name in VOC.items()}
    out = import_whole("voc", root, tmp_path / "out")
    back = read_back(out)
    assert list(back) == ["2007 b.jpg", "2007_a.jpg"] and same(back["2007_a.jpg"], expected)
    assert back["2007 b.jpg"]["object", ""].all()
    assert [image.split for image in open_broden(out).images] == ["val", "train"]
    rgb(CODES, COLOURS).save(root / "SegmentationClass/2007_a.png")
    assert same(read_back(import_whole("voc", root, tmp_path / "colours"))["2007_a.jpg"], expected)


def test_voc_with_names_of_ones_own(tmp_path):
    root = voc(tmp_path / "in")
    (root / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nwing nut:9,0,9::\nbolt:0,9,0::\n"
    )
    codes = np.array([[0, 1, 2]] * 3)
    picture(root / "JPEGImages/2007_a.jpg", (3, 3))
    (root / "SegmentationClass/2007 b.png").unlink()
    expected = {("object", "wing nut"): codes == 1, ("object", "bolt"): codes == 2}
    save(root / "SegmentationClass/2007_a.png", codes)
    assert same(read_back(import_whole("voc", root, tmp_path / "numbers"))["2007_a.jpg"], expected)
    rgb(codes, {1: (9, 0, 9), 2: (0, 9, 0)}).save(root / "SegmentationClass/2007_a.png")
    assert same(read_back(import_whole("voc", root, tmp_path / "colours"))["2007_a.jpg"], expected)
    rgb(codes, {1: (9, 0, 8)}).save(root / "SegmentationClass/2007_a.png")
    with pytest.raises(UserError, match="has #090008, which is the number or colour of no class"):
        import_labels("voc", root, tmp_path / "bad")
    (root / "labelmap.txt").write_text("bolt 0 9 0\n")
    with pytest.raises(UserError, match=r"labelmap.txt, line 1: 'bolt 0 9 0' is not name:red,green,blue"):
        import_labels("voc", root, tmp_path / "bad")


def test_cityscapes(tmp_path):
    ids = np.array([[0, 3, 7, 24], [33, 33, 255, 23]])
    for split in ("train", "test"):
        picture(tmp_path / f"in/leftImg8bit/{split}/ulm/ulm_0_0_leftImg8bit.png", ids.shape)
        save(tmp_path / f"in/gtFine/{split}/ulm/ulm_0_0_gtFine_labelIds.png", ids)
        save(tmp_path / f"in/gtFine/{split}/ulm/ulm_0_0_gtFine_instanceIds.png", ids)
    back = read_back(import_whole("cityscapes", tmp_path / "in", tmp_path / "out", to=("flat/*=material",)))
    assert list(back) == ["train/ulm/ulm_0_0_leftImg8bit.png"]
    assert same(back["train/ulm/ulm_0_0_leftImg8bit.png"], {
        ("material", "road"): ids == 7, ("object", "person"): ids == 24, ("object", "bicycle"): ids == 33,
        ("object", "sky"): ids == 23,
    })  # fmt: skip
    save(tmp_path / "in/gtFine/train/ulm/ulm_0_0_gtFine_labelIds.png", ids + 20)
    with pytest.raises(UserError, match="is the id of no label; take the labelIds pictures, not trainIds"):
        import_labels("cityscapes", tmp_path / "in", tmp_path / "bad")


def test_the_benchmark_of_ade20k(tmp_path):
    root, codes = tmp_path / "in", np.array([[0, 1, 2], [2, 2, 150]])
    picture(root / "images/training/ADE_train_00000001.jpg", codes.shape)
    save(root / "annotations/training/ADE_train_00000001.png", codes)
    (root / "objectInfo150.txt").write_text(
        "Idx\tRatio\tTrain\tVal\tName\n1\t0.1576\t11664\t1172\twall\n2\t0.1072\t6046\t612\tbuilding, edifice\n"
        "150\t0.1\t1\t1\tflag\n"
    )
    (root / "sceneCategories.txt").write_text("ADE_train_00000001 airport_terminal\n")
    out = import_whole("ade20k", root, tmp_path / "out")
    assert same(read_back(out)["training/ADE_train_00000001.jpg"], {
        ("object", "wall"): codes == 1, ("object", "building"): codes == 2, ("object", "flag"): codes == 150,
        ("scene", "airport_terminal-s"): np.ones(codes.shape, bool),
    })  # fmt: skip
    assert open_broden(out).images[0].split == "train"


def colour_coded(classes: np.ndarray, instances: np.ndarray) -> Image.Image:
    """R // 10 * 256 + G is the class; B is spread over the instances, as the release has it."""
    return Image.fromarray(np.stack([classes // 256 * 10, classes % 256, instances * 40], -1).astype(np.uint8))


DOOR, WALL, KNOB, PLATE, PERSON = 774, 2978, 1372, 1900, 1831
OBJECTS = np.array([[WALL, WALL, DOOR, DOOR]] * 4 + [[0, 0, PERSON, PERSON]])
OBJECT_INSTANCES = np.array([[1, 1, 2, 2]] * 4 + [[0, 0, 3, 3]])
PARTS = np.zeros((5, 4), int)
PARTS[1:3, 2:] = KNOB
PARTS_OF_PARTS = np.zeros((5, 4), int)
PARTS_OF_PARTS[2, 3] = PLATE


@pytest.mark.parametrize("release", ["2016", "2021"])
@pytest.mark.parametrize("full", [False, True])
def test_the_full_ade20k_with_levels_of_parts(tmp_path, release, full):
    """full: whether an object covers every pixel, so that no instance is 0."""
    objects, instances = (OBJECTS[:4], OBJECT_INSTANCES[:4]) if full else (OBJECTS, OBJECT_INSTANCES)
    folder = "Validation/h/hallway/indoor" if release == "2016" else "ADE/validation/urban/hallway__indoor"
    stem = tmp_path / "in/images" / folder / "ADE_val_00000007"
    picture(stem.with_suffix(".jpg"), objects.shape)
    colour_coded(objects, instances).save(f"{stem}_seg.png")
    n = len(objects)
    colour_coded(PARTS[:n], (PARTS[:n] > 0) * 1).save(f"{stem}_parts_1.png")
    colour_coded(PARTS_OF_PARTS[:n], (PARTS_OF_PARTS[:n] > 0) * 1).save(f"{stem}_parts_2.png")
    things = [(1, 0, WALL, "wall"), (2, 0, DOOR, "double door, door"), (3, 0, PERSON, "person, individual")]
    things += [(1, 1, KNOB, "knob"), (1, 2, PLATE, "plaque, brass plate")]
    if release == "2016":
        lines = [f'{k:03} # {level} # 0 # {name} # {name} # ""' for k, level, _, name in things]
        Path(f"{stem}_atr.txt").write_text("\n".join(lines) + "\n")
    else:
        entries = [
            {"id": k, "name": name, "name_ndx": number, "parts": {"part_level": level, "hasparts": [], "ispartof": []}}
            for k, (_, level, number, name) in enumerate(things)
        ]
        Path(f"{stem}.json").write_text(json.dumps({"annotation": {"object": entries}}))
    out = import_whole("ade20k", tmp_path / "in", tmp_path / "out")
    shown = read_back(out)[f"images/{folder}/ADE_val_00000007.jpg"]
    scene = "hallway_indoor-s" if release == "2016" else "hallway__indoor-s"
    expected = {
        ("object", "wall"): objects == WALL, ("object", "double door"): objects == DOOR, ("object", "person"): objects == PERSON,
        ("part", "knob"): PARTS[:n] > 0, ("part", "plaque"): PARTS_OF_PARTS[:n] > 0, ("scene", scene): objects >= 0,
    }  # fmt: skip
    assert same(shown, {key: mask for key, mask in expected.items() if mask.any()})
    assert open_broden(out).images[0].split == "val"


def test_an_image_of_the_full_ade20k_without_parts_was_not_annotated_for_them(tmp_path):
    for name, has_parts in (("a", True), ("b", False)):
        stem = tmp_path / f"in/training/s/street/{name}"
        picture(stem.with_suffix(".jpg"), OBJECTS.shape)
        colour_coded(OBJECTS, OBJECT_INSTANCES).save(f"{stem}_seg.png")
        lines = ['1 # 0 # 0 # wall # wall # ""', '2 # 0 # 0 # door # door # ""', '3 # 0 # 0 # person # person # ""']
        if has_parts:
            colour_coded(PARTS, (PARTS > 0) * 1).save(f"{stem}_parts_1.png")
            lines.append('1 # 1 # 0 # knob # knob # ""')
        Path(f"{stem}_atr.txt").write_text("\n".join(lines))
    back = read_back(import_whole("ade20k", tmp_path / "in", tmp_path / "out"))
    assert ("part", "knob") in back["training/s/street/a.jpg"]
    assert "part" not in {category for category, _ in back["training/s/street/b.jpg"]}


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda stem: Path(f"{stem}_atr.txt").unlink(), "_atr.txt and .*json are missing: one of them names what"),
        (lambda stem: Path(f"{stem}_atr.txt").write_text("1 # 0 # 0 # wall # wall # \n"), "has 3 instances, but .* not name 2"),
        (lambda stem: Path(f"{stem}_atr.txt").write_text("wall\n"), "line 1: 'wall' is not instance # level # occluded # class"),
        (lambda stem: save(Path(f"{stem}_seg.png"), OBJECTS), "has no colours"),
        (lambda stem: Path(f"{stem}_seg.png").unlink(), r"holds no annotations/ of the benchmark and no \*_seg.png"),
    ],
)  # fmt: skip
def test_a_damaged_ade20k_ends_in_one_sentence(tmp_path, damage, sentence):
    stem = tmp_path / "in/training/a"
    picture(stem.with_suffix(".jpg"), OBJECTS.shape)
    colour_coded(OBJECTS, OBJECT_INSTANCES).save(f"{stem}_seg.png")
    Path(f"{stem}_atr.txt").write_text("".join(f"{k} # 0 # 0 # thing {k} # x # \n" for k in (1, 2, 3)))
    assert len(read_back(import_whole("ade20k", tmp_path / "in", tmp_path / "good"))) == 1
    damage(stem)
    with pytest.raises(UserError, match=sentence):
        import_labels("ade20k", tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_box_is_a_box() -> None:
    assert box((2, 3), 0, 1, 1, 3).tolist() == [[False, True, True], [False, False, False]]

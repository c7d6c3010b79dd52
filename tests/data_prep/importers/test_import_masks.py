"""Label pictures, classes and concept folders: what is read back equals what was put in, pixel by pixel."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from read_back import box, import_whole, picture, read_back, same

from data_prep import open_broden
from data_prep.broden_check import check_broden
from data_prep.common.errors import UserError
from data_prep.importers import ImportOptions, import_labels
from data_prep.importers.convert import NO_LABEL
from data_prep.importers.summary import summary
from dissect.tally import flatten

SHAPE = (6, 8)
CODES = np.array([[0] * 8, [1] * 8, [2] * 8, [255] * 8, [2, 1] * 4, [0] * 8])


def save_codes(path: Path, codes: np.ndarray, mode: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode == "P":
        image = Image.fromarray(codes.astype(np.uint8), "P")
        image.putpalette([value for n in range(256) for value in (n, 255 - n, n // 2)])
    else:
        image = Image.fromarray(codes.astype({"L": np.uint8, "I;16": np.uint16}[mode]))
    image.save(path)


def source(root: Path, table: str, **pictures: np.ndarray) -> Path:
    for name, codes in pictures.items():
        picture(root / "images" / f"{name}.jpg", codes.shape)
        save_codes(root / "masks" / f"{name}.png", codes, "L")
    (root / "names.csv").write_text(table, encoding="utf-8")
    return root


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_numbers_are_read_as_they_are_stored(tmp_path, mode):
    """Grey, palette and 16-bit; 255 is the border of 8 bits, and 65535 that of 16."""
    codes = np.where(CODES == 255, 65535, CODES) if mode == "I;16" else CODES
    root = source(tmp_path / "in", "value,name\n1,cat\n2,дом 犬\n", a=CODES)
    save_codes(root / "masks/a.png", codes, mode)
    back = read_back(import_whole("masks", root, tmp_path / "out"))
    assert same(back["a.jpg"], {("object", "cat"): codes == 1, ("object", "дом 犬"): codes == 2})


def test_16_bits_hold_numbers_beyond_255_and_255_is_one_of_them(tmp_path):
    codes = np.array([[255, 300], [0, 65535]])
    root = source(tmp_path / "in", "value,name\n300,cat\n", a=codes % 256)
    save_codes(root / "masks/a.png", codes, "I;16")
    with pytest.raises(UserError, match=r"has 255, which .*names.csv does not name"):
        import_whole("masks", root, tmp_path / "out")
    (root / "names.csv").write_text("value,name\n300,cat\n255,dog\n", encoding="utf-8")
    back = read_back(import_whole("masks", root, tmp_path / "out"))
    assert same(back["a.jpg"], {("object", "cat"): codes == 300, ("object", "dog"): codes == 255})


def test_zero_is_a_label_where_the_table_names_it(tmp_path):
    codes = np.array([[0, 0, 1], [1, 0, 0]])
    back = read_back(import_whole("masks", source(tmp_path / "in", "0,road\n1,sky\n", a=codes), tmp_path / "out"))
    assert same(back["a.jpg"], {("object", "road"): codes == 0, ("object", "sky"): codes == 1})


def test_colours(tmp_path):
    """Blue is the number 255, and no border."""
    root = source(tmp_path / "in", "value,name\n#0000ff,sea\n#ff8000,sand\n", a=CODES)
    rgb = np.zeros((4, 4, 3), np.uint8)
    rgb[0], rgb[1], rgb[2] = (0, 0, 255), (255, 128, 0), (255, 255, 255)
    picture(root / "images/a.jpg", (4, 4))
    Image.fromarray(rgb).save(root / "masks/a.png")
    shown = read_back(import_whole("masks", root, tmp_path / "out"))["a.jpg"]
    assert same(shown, {("object", "sea"): box((4, 4), 0, 0, 1, 4), ("object", "sand"): box((4, 4), 1, 0, 2, 4)})
    (root / "names.csv").write_text("#ff8000,sand\n", encoding="utf-8")
    with pytest.raises(UserError, match="has #0000ff, which"):
        import_whole("masks", root, tmp_path / "other")


def test_an_image_without_any_label_was_annotated_all_the_same(tmp_path):
    root = source(tmp_path / "in", "1,cat\n", a=CODES % 2, b=np.zeros((4, 4), int))
    back = read_back(import_whole("masks", root, tmp_path / "out"))
    assert list(back) == ["a.jpg", "b.jpg"] and back["b.jpg"]["object", ""].all()


def test_images_without_any_label_of_a_category_are_told_and_counted_as_dissection_does(tmp_path):
    """a shows 1 and 2, b none, c only 2, which is a part; nothing shows 3, whose category is not in the set."""
    pictures = {"a": CODES % 3, "b": CODES * 0, "c": CODES // 255 * 2}
    root = source(tmp_path / "in", "1,cat\n2,leg\n3,wool\n", **pictures)
    options = ImportOptions(to=("leg=part", "wool=material"))
    report = import_labels("masks", root, tmp_path / "out", options=options)
    assert report.notes == {NO_LABEL.format("object"): 2, NO_LABEL.format("part"): 1}
    data = open_broden(report.root)
    of_concept = np.array([data.categories.index(concept.category) for concept in data.concepts])
    counted = sum(flatten(data.read_labels(n), of_concept, 2).annotated.astype(int) for n in range(3))
    found = summary(data, check_broden(report.root).annotated)
    assert [(row.category, row.annotated) for row in found] == list(zip(data.categories, counted.tolist(), strict=True))
    assert {row.category: row.annotated for row in found} == {"object": 1, "part": 2}


def test_label_pictures_may_be_called_after_their_images(tmp_path):
    root = source(tmp_path / "in", "1,cat\n", a=CODES % 2)
    (root / "masks/a.png").rename(root / "masks/a_mask.png")
    save_codes(root / "masks/a_edges.png", CODES * 0 + 7, "L")
    back = read_back(import_whole("masks", root, tmp_path / "out", {"ending": "_mask"}))
    assert same(back["a.jpg"], {("object", "cat"): CODES % 2 == 1})
    together = shutil.move(root / "masks/a_mask.png", root / "images/a_mask.png")
    report = import_labels("masks", root, tmp_path / "one", masks=together.parent, ending="_mask")
    assert (report.n_images, report.notes) == (1, {}), "a label picture is no image without one"


def test_names_are_mapped_joined_and_left_out_and_go_to_categories(tmp_path):
    codes = np.array([[1, 2, 3, 4]] * 4)
    root = source(tmp_path / "in", "1,tabby\n2,siamese\n3,brick wall\n4,rest\n", a=codes)
    (tmp_path / "names.csv").write_text("source,name\ntabby,cat\nsiamese,cat\nrest,\nlion,cat\n", encoding="utf-8")
    chosen = {"names": tmp_path / "names.csv", "to": ("brick*=material", "tree=part")}
    shown = read_back(import_whole("masks", root, tmp_path / "out", **chosen))["a.jpg"]
    assert same(shown, {("object", "cat"): codes < 3, ("material", "brick wall"): codes == 3})
    report = import_labels("masks", root, tmp_path / "again", options=ImportOptions(**chosen))
    assert len(report.notes) == 2
    assert any("tree=part fits no label" in note for note in report.notes)
    assert any("'lion' in" in note for note in report.notes)


def test_small_areas_are_left_out(tmp_path):
    codes = np.array([[1, 1, 1, 2], [1, 1, 2, 3]])
    root = source(tmp_path / "in", "1,cat\n2,dog\n3,dog house\n", a=codes)
    assert same(read_back(import_whole("masks", root, tmp_path / "two", min_area=2))["a.jpg"], {
        ("object", "cat"): codes == 1, ("object", "dog"): codes == 2,
    })  # fmt: skip
    (tmp_path / "names.csv").write_text("dog house,dog\n", encoding="utf-8")
    together = import_whole("masks", root, tmp_path / "three", min_area=3, names=tmp_path / "names.csv")
    assert same(read_back(together)["a.jpg"], {("object", "cat"): codes == 1, ("object", "dog"): codes > 1})


@pytest.mark.parametrize(("crop", "size"), [("none", 5), ("square", 4), ("4:3", 7), ("none", 20), ("square", "source")])
def test_sampling_is_at_pixel_centres_of_what_is_kept(tmp_path, crop, size):
    """Beside the definition: pixel i of a map of n shows what lies at (i + 0.5) / n of the kept part."""
    rng = np.random.default_rng(0)
    codes = rng.integers(1, 5, (9, 21))
    root = source(tmp_path / "in", "".join(f"{n},label {n}\n" for n in range(1, 5)), a=codes)
    out = import_whole("masks", root, tmp_path / "out", crop=crop, label_size=size)
    kept = {"none": codes, "square": codes[:, 6:15], "4:3": codes[:, 4:16]}[crop]
    high, wide = kept.shape if size == "source" else (size, size)
    rows = [int((i + 0.5) / high * kept.shape[0]) for i in range(high)]
    columns = [int((i + 0.5) / wide * kept.shape[1]) for i in range(wide)]
    expected = kept[rows][:, columns]
    shown = read_back(out)["a.jpg"]
    assert same(shown, {("object", f"label {n}"): expected == n for n in np.unique(expected)})
    with Image.open(out / "images/a.jpg") as image:
        assert image.size == (kept.shape[1], kept.shape[0]), "the image is cropped alike"


def test_a_smaller_label_picture_is_stretched_over_its_image_and_one_of_another_shape_refused(tmp_path):
    root = source(tmp_path / "in", "1,cat\n", a=CODES % 2)
    picture(root / "images/a.jpg", (60, 80))
    record = open_broden(import_whole("masks", root, tmp_path / "out")).images[0]
    assert (record.image_shape, record.label_shape) == ((60, 80), SHAPE)
    picture(root / "images/a.jpg", (60, 60))
    with pytest.raises(UserError, match="is 60 high and 60 wide, but its annotation 6 and 8: put the image there"):
        import_whole("masks", root, tmp_path / "other")


def test_images_are_resized_or_left_as_they_are(tmp_path):
    root = source(tmp_path / "in", "1,cat\n", a=CODES % 2)
    whole = import_whole("masks", root, tmp_path / "whole")
    assert (whole / "images/a.jpg").read_bytes() == (root / "images/a.jpg").read_bytes()
    usual = open_broden(import_labels("masks", root, tmp_path / "usual").root).images[0]
    assert (usual.image_shape, usual.label_shape) == ((224, 224), (112, 112))
    with Image.open(usual.path) as image:
        assert image.size == (224, 224) and np.abs(np.asarray(image).astype(int) - (90, 120, 60)).max() <= 2


@pytest.mark.parametrize("kept", ["source", 224])
def test_an_image_on_its_side_is_turned_as_its_annotation_was(tmp_path, kept):
    """Stored 8 high and 6 wide with a tag that turns it; annotated 6 high and 8 wide."""
    root = source(tmp_path / "in", "1,cat\n", a=CODES % 2)
    stored = Image.new("RGB", (6, 8), "blue")
    stored.paste("red", (0, 0, 6, 4))  # upper half; turned by tag 6 (90 degrees clockwise), the right half
    tag = Image.Exif()
    tag[0x0112] = 6
    stored.save(root / "images/a.jpg", exif=tag, quality=100, subsampling=0)
    out = import_whole_with_warnings(root, tmp_path / "out", kept)
    record = open_broden(out).images[0]
    assert record.image_shape == (SHAPE if kept == "source" else (224, 224))
    with Image.open(record.path) as image:
        pixels = np.asarray(image.transpose(Image.Transpose.ROTATE_270) if kept == "source" else image).astype(int)
    left, right = pixels[:, : pixels.shape[1] // 3], pixels[:, -pixels.shape[1] // 3 :]
    assert (
        left[..., 2].mean() > 200 > 50 > left[..., 0].mean() and right[..., 0].mean() > 200 > 50 > right[..., 2].mean()
    )


@pytest.mark.parametrize("shape", [(6, 9), (100, 101)])
@pytest.mark.parametrize("turned", [False, True])
def test_an_image_with_a_tag_is_turned_where_its_label_picture_is(tmp_path, shape, turned):
    """Stored (H, W) with a tag that turns it; the rounding allowed for smaller label pictures must not hide which it is."""
    labelled = shape[::-1] if turned else shape
    root = source(tmp_path / "in", "1,cat\n", a=np.ones(labelled, int))
    tag = Image.Exif()
    tag[0x0112] = 6
    Image.new("RGB", shape[::-1]).save(root / "images/a.jpg", exif=tag)
    record = open_broden(import_whole_with_warnings(root, tmp_path / "out", "source")).images[0]
    assert record.image_shape == record.label_shape == labelled


def import_whole_with_warnings(root: Path, out: Path, kept: object) -> Path:
    return import_labels("masks", root, out, options=ImportOptions(label_size="source", image_size=kept)).root


def test_splits_names_and_order_are_those_of_a_hash_and_of_the_files(tmp_path):
    pictures = {f"p{n}": CODES % 2 for n in range(40)}
    root = source(tmp_path / "in", "1,cat\n", **pictures)
    report = import_labels("masks", root, tmp_path / "out", options=ImportOptions(label_size=4, image_size="source"))
    assert sum(report.splits.values()) == 40 and 5 <= report.splits["val"] <= 19
    few = ImportOptions(label_size=4, image_size="source", max_images=10)
    chosen = open_broden(import_labels("masks", root, tmp_path / "few", options=few).root)
    every = {image.name: image.split for image in open_broden(tmp_path / "out").images}
    assert len(chosen.images) == 10 and all(every[image.name] == image.split for image in chosen.images)
    assert [image.name for image in chosen.images] == sorted(image.name for image in chosen.images)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda root: (root / "images/a.jpg").unlink(), "1 of 2 images are missing, the first is .*a.jpg: put them there, or"),
        (lambda root: (root / "images/a.jpg").write_bytes(b"no"), "a.jpg cannot be read .*write it again; or leave such"),
        (lambda root: (root / "masks/a.png").write_bytes(b"no"), "Label picture .*a.png cannot be read"),
        (lambda root: (root / "names.csv").write_text("1,cat,x\n"), "names.csv, row 1: '1,cat,x' is not value,name"),
        (lambda root: (root / "names.csv").write_text("one,cat\n"), "row 1: the value 'one' is no number or #rrggbb"),
        (lambda root: (root / "names.csv").write_text("1,cat\n1,dog\n"), "row 2: the value '1' is there before"),
        (lambda root: (root / "names.csv").write_text("1,-\n"), "The new set would have no label"),
        (lambda root: (root / "names.csv").unlink(), "names.csv is missing: put it there"),
        (lambda root: (root / "names.csv").write_bytes(b"1,\xff\n"), "names.csv cannot be read as text"),
        (lambda root: picture(root / "images/a.png"), "a.jpg and .*a.png differ in their endings only"),
    ],
)  # fmt: skip
def test_bad_input_ends_in_one_sentence_and_leaves_no_set(tmp_path, damage, sentence):
    root = source(tmp_path / "in", "1,cat\n", a=CODES % 2, b=CODES % 2)
    damage(root)
    with pytest.raises(UserError, match=sentence):
        import_labels("masks", root, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_bad_images_may_be_left_out(tmp_path):
    root = source(tmp_path / "in", "1,cat\n", a=CODES % 2, b=CODES % 2, c=CODES % 2)
    (root / "images/a.jpg").unlink()
    (root / "masks/b.png").write_bytes(b"no")
    report = import_labels("masks", root, tmp_path / "out", options=ImportOptions(skip_bad=True))
    assert report.n_images == 1 and list(report.notes.values()) == [2]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"label_size": 0}, "`label_size` is 0"),
        ({"val_share": 2}, "`val_share` is 2"),
        ({"min_area": 0}, "`min_area` 0"),
        ({"to": ("wall",)}, "`to` has 'wall': write LABEL=CATEGORY"),
        ({"category": "a/b"}, "'a/b' cannot name a category"),
        ({"category": "thing "}, "'thing ' cannot name a category: .* no space at either end"),
        ({"category": "Unnamed: 3"}, "'Unnamed: 3' cannot name a category"),
    ],
)
def test_options_out_of_range(tmp_path, options, sentence):
    with pytest.raises(UserError, match=sentence):
        chosen = ImportOptions(**options)
        import_labels("masks", source(tmp_path / "in", "1,cat\n", a=CODES % 2), tmp_path / "out", options=chosen)


def test_classes_are_labels_of_the_whole_image(tmp_path):
    for name in ("striped/a.jpg", "striped/b.jpg", "gänse füße/a.jpg"):
        picture(tmp_path / "in" / name)
    back = read_back(import_whole("classes", tmp_path / "in", tmp_path / "out", category="texture"))
    assert {name: [key for key in shown if key[1]] for name, shown in back.items()} == {
        "gänse füße/a.jpg": [("texture", "gänse füße")],
        "striped/a.jpg": [("texture", "striped")],
        "striped/b.jpg": [("texture", "striped")],
    }


def test_splits_of_folders_are_kept_unless_told_otherwise(tmp_path):
    for name in ("train/cat/a.jpg", "valid/cat/b.jpg", "test/dog/c.jpg", "sheet.png", "train/sheet.png"):
        picture(tmp_path / "in" / name)
    left_out = {"images that lie in no class's folder, left out": 2}
    assert import_labels("classes", tmp_path / "in", tmp_path / "usual").notes == left_out
    kept = open_broden(import_whole("classes", tmp_path / "in", tmp_path / "kept"))
    assert {image.name: image.split for image in kept.images} == {
        "train/cat/a.jpg": "train", "valid/cat/b.jpg": "val", "test/dog/c.jpg": "test",
    }  # fmt: skip
    assert [concept.name for concept in kept.concepts] == ["cat", "dog"]
    drawn = open_broden(import_whole("classes", tmp_path / "in", tmp_path / "drawn", split="hash", val_share=1))
    assert {image.split for image in drawn.images} == {"val"}


def test_concept_folders_share_images_and_random_ones_show_none(tmp_path):
    picture(tmp_path / "in/striped/a.png", colour=(1, 2, 3))
    picture(tmp_path / "in/zebra/b.png", colour=(1, 2, 3))
    picture(tmp_path / "in/zebra/c.png", colour=(9, 9, 9))
    picture(tmp_path / "in/random500_0/d.png", colour=(7, 7, 7))
    back = read_back(import_whole("concept-images", tmp_path / "in", tmp_path / "out"))
    names = {name: sorted(key[1] for key in shown if key[1]) for name, shown in back.items()}
    assert names == {"random500_0/d.png": [], "striped/a.png": ["striped", "zebra"], "zebra/c.png": ["zebra"]}
    assert back["random500_0/d.png"]["concept", ""].all(), "it was looked for and is not there"
    report = import_labels("concept-images", tmp_path / "in", tmp_path / "usual")
    assert report.notes[NO_LABEL.format("concept")] == 1

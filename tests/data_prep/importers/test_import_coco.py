"""COCO's three kinds of annotations, written by hand after the published format, with its odd corners."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from read_back import box, import_whole, picture, read_back, same

from data_prep import open_broden
from data_prep.common.errors import UserError
from data_prep.importers import ImportOptions, import_labels
from data_prep.importers.convert import NO_LABEL
from data_prep.importers.regions import polygon_mask, rle_mask

SHAPE = (10, 12)
CAT, DOG, SKY = 0, 18, 157
CATEGORIES = [
    {"id": CAT, "name": "cat", "supercategory": "animal"},
    {"id": DOG, "name": "dog", "supercategory": "animal"},
    {"id": SKY, "name": "sky-other", "supercategory": "sky"},
    {"id": 183, "name": "other", "supercategory": "other"},
]


def square(top: int, left: int, bottom: int, right: int) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


def runs(mask: np.ndarray) -> list[int]:
    """Run lengths down the columns, zeros first; written after the description of the format."""
    values = mask.T.ravel().tolist()
    counts, value = [], False
    while values:
        n = next((k for k, each in enumerate(values) if each != value), len(values))
        counts.append(n)
        values, value = values[n:], not value
    return counts


def compressed(mask: np.ndarray) -> str:
    from pycocotools import mask as masks

    return masks.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()


def write(root: Path, annotations: list[dict], name: str = "instances_val2017.json", **more) -> Path:
    """Two images of `SHAPE`, of which the second has no annotation; 0 is a category's id, and an image's."""
    for image in ("a.jpg", "b.jpg"):
        picture(root / "val2017" / image, SHAPE)
    images = [
        {"id": n, "file_name": f, "height": SHAPE[0], "width": SHAPE[1]} for n, f in enumerate(("a.jpg", "b.jpg"))
    ]
    numbered = [{"id": n, "image_id": 0, "iscrowd": 0, **each} for n, each in enumerate(annotations)]
    path = root / "annotations" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": numbered, "categories": CATEGORIES, **more}))
    return path


@pytest.mark.parametrize("form", ["polygon", "list", "text"])
def test_each_form_of_a_region(tmp_path, form):
    mask = box(SHAPE, 2, 3, 7, 9)
    regions = {
        "polygon": [square(2, 3, 7, 9)],
        "list": {"size": list(SHAPE), "counts": runs(mask)},
        "text": {"size": list(SHAPE), "counts": compressed(mask)},
    }
    write(tmp_path / "in", [{"category_id": CAT, "segmentation": regions[form]}])
    back = read_back(import_whole("coco", tmp_path / "in", tmp_path / "out"))
    assert same(back["a.jpg"], {("object", "cat"): mask})
    assert same(back["b.jpg"], {}) and back["b.jpg"]["object", ""].all(), "annotated, with nothing in it"


@pytest.mark.parametrize("seed", range(5))
def test_run_lengths_of_any_mask_in_both_forms(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((37, 53)) < (0.02, 0.5, 0.98, 0, 1)[seed]
    for counts in (runs(mask), compressed(mask)):
        assert (rle_mask({"size": [37, 53], "counts": counts}, (37, 53), "here") == mask).all()


def test_a_polygon_out_of_bounds_is_cut_off():
    """As it is drawn on a sheet that holds all of it."""
    polygon = [-3.0, 2.5, 6.2, -4.0, 15.0, 5.5, 4.0, 14.0]
    moved = [value + 20 for value in polygon]
    whole = polygon_mask([moved], (50, 55), "here")[20:30, 20:32]
    assert whole.any() and not whole.all()
    assert (polygon_mask([polygon], SHAPE, "here") == whole).all()


def test_a_polygon_covers_the_centres_within_it():
    down, across = np.mgrid[:40, :50] + 0.5
    inside = (across - 8) + (down - 5) > 0
    inside &= (across - 40) - (down - 5) * 0.5 < 0
    inside &= down < 35
    x = lambda y, side: 8 - (y - 5) if side == "left" else 40 + (y - 5) * 0.5  # noqa: E731
    polygon = [x(0, "left"), 0, x(0, "right"), 0, 50, 25, 50, 35, 0, 35, 0, 13]
    drawn = polygon_mask([polygon], (40, 50), "here")
    edge = np.abs((across - 8) + (down - 5)) < 1.5
    edge |= np.abs((across - 40) - (down - 5) * 0.5) < 1.5
    edge |= np.abs(down - 35) < 1
    assert (drawn == inside)[~edge].all() and inside[~edge].any()


def test_what_overlaps_is_kept_crowds_are_regions_and_instances_of_a_label_are_one(tmp_path):
    cat, more_cat, dog, crowd = (box(SHAPE, *b) for b in ((0, 0, 5, 6), (6, 6, 9, 9), (3, 4, 8, 8), (8, 0, 10, 12)))
    path = write(
        tmp_path / "in",
        [
            {"category_id": CAT, "segmentation": [square(0, 0, 5, 6), square(6, 6, 9, 9)]},
            {"category_id": DOG, "segmentation": [square(3, 4, 8, 8)]},
            {"category_id": CAT, "segmentation": {"size": list(SHAPE), "counts": runs(crowd)}, "iscrowd": 1},
            {"category_id": DOG, "segmentation": [], "bbox": [0, 0, 3, 3]},
            {"category_id": DOG, "segmentation": [[0, 0, 3, 3]]},
        ],
    )
    report = import_labels("coco", path, tmp_path / "usual")
    assert report.notes == {
        "crowd regions, imported as regions of their label": 1,
        "annotations without a polygon or run lengths, left out": 2,
        NO_LABEL.format("object"): 1,
    }
    assert report.splits == {"val": 2}
    shown = read_back(import_whole("coco", path, tmp_path / "out"))["a.jpg"]
    assert same(shown, {("object", "cat"): cat | more_cat | crowd, ("object", "dog"): dog})


def test_stuff_marks_what_is_no_stuff_by_a_category_that_is_no_label(tmp_path):
    sky = box(SHAPE, 0, 0, 4, 12)
    write(
        tmp_path / "in",
        [
            {"category_id": SKY, "segmentation": {"size": list(SHAPE), "counts": compressed(sky)}},
            {"category_id": 183, "segmentation": {"size": list(SHAPE), "counts": compressed(~sky)}},
        ],
        "stuff_Validation.json",
    )
    out = import_whole(
        "coco",
        tmp_path / "in",
        tmp_path / "out",
        {"kind": "stuff", "images": tmp_path / "in/val2017"},
        to=("sky/*=material",),
    )
    assert same(read_back(out)["a.jpg"], {("material", "sky-other"): sky})
    assert {image.split for image in open_broden(out).images} == {"val"}, "splits are read in any case"


def panoptic(root: Path, ids: np.ndarray, segments: list[dict]) -> Path:
    path = write(root, [], "panoptic_val2017.json")
    content = json.loads(path.read_text())
    content["annotations"] = [{"image_id": 0, "file_name": "a.png", "segments_info": segments}]
    content["images"] = content["images"][:1]
    path.write_text(json.dumps(content))
    folder = path.with_suffix("")
    folder.mkdir()
    rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1)
    Image.fromarray(rgb.astype(np.uint8)).save(folder / "a.png")
    return path


def test_panoptic_pictures(tmp_path):
    ids = np.zeros(SHAPE, int)
    ids[:5], ids[5:, :6], ids[5:, 8:] = 70_000, 300, 5
    segments = [
        {"id": 70_000, "category_id": CAT},
        {"id": 300, "category_id": SKY},
        {"id": 5, "category_id": CAT, "iscrowd": 1},
    ]
    path = panoptic(tmp_path / "in", ids, segments)
    shown = read_back(import_whole("coco", path, tmp_path / "out"))["a.jpg"]
    assert same(shown, {("object", "cat"): (ids == 70_000) | (ids == 5), ("object", "sky-other"): ids == 300})
    with pytest.raises(UserError, match="has the segment 300, which segments_info lacks"):
        import_labels("coco", panoptic(tmp_path / "bad", ids, segments[:1] + segments[2:]), tmp_path / "other")


REGION = {"category_id": CAT, "segmentation": [square(0, 0, 5, 6)]}


@pytest.mark.parametrize(
    ("annotation", "sentence"),
    [
        ({**REGION, "category_id": 7}, r"annotations\[0\]: category 7 is not among the categories"),
        ({**REGION, "category_id": "x"}, "'category_id' is 'x', which is no int"),
        ({**REGION, "image_id": 9}, "annotations are of image 9, which 'images' lacks"),
        ({"segmentation": [[0, 0, 1, 1, 2]]}, "lacks 'category_id'"),
        ({**REGION, "segmentation": [[0, 0, 1, 1, 2, 2, 3]]}, "a polygon that is no list of three or more x, y"),
        ({**REGION, "segmentation": [[0, 0, 1, 1, 2, 1e9]]}, "a polygon that is no list"),
        ({**REGION, "segmentation": {"size": [9, 9], "counts": [81]}}, r"of size \[9, 9\], but the image is \[10, 12\]"),
        ({**REGION, "segmentation": {"size": [10, 12], "counts": [81]}}, "do not add up to the 120 pixels"),
        ({**REGION, "segmentation": {"size": [10, 12], "counts": "PPPP"}}, "do not add up to the 120 pixels"),
        ({**REGION, "segmentation": {"size": [10, 12], "counts": "\x00oo"}}, "do not add up to the 120 pixels"),
        ({**REGION, "segmentation": "none"}, "'segmentation' is no list of polygons and no run lengths"),
    ],
)  # fmt: skip
def test_a_broken_annotation_ends_in_one_sentence(tmp_path, annotation, sentence):
    with pytest.raises(UserError, match=sentence):
        import_labels("coco", write(tmp_path / "in", [annotation]), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"categories": [*CATEGORIES, CATEGORIES[0]]}, r"categories\[4\]: the id 0 is there twice"),
        ({"categories": 3}, "'categories' is 3, which is no list"),
        (
            {"images": [{"id": 0, "file_name": "../a.jpg", "height": 1, "width": 1}]},
            "'../a.jpg' leads out of its folder",
        ),
        ({"images": [{"id": 0, "file_name": "c.jpg", "height": 1, "width": 1}]}, "1 of 1 images are missing"),
        (
            {"images": [{"id": 0, "file_name": "a.jpg", "height": 12, "width": 10}]},
            "is 10 high and 12 wide, but its annotation 12",
        ),
        ({"images": []}, "annotations are of image 0|holds no image"),
    ],
)
def test_a_broken_file_ends_in_one_sentence(tmp_path, more, sentence):
    regions = [] if "images" in more else [REGION]
    with pytest.raises(UserError, match=sentence):
        import_labels("coco", write(tmp_path / "in", regions, **more), tmp_path / "out")


@pytest.mark.parametrize("size", [(0, 12), (10, 0)])
def test_an_image_of_no_size_is_refused_or_left_out(tmp_path, size):
    images = [
        {"id": n, "file_name": f"{'ab'[n]}.jpg", "height": high, "width": wide}
        for n, (high, wide) in enumerate((SHAPE, size))
    ]
    path = write(tmp_path / "in", [REGION], images=images)
    with pytest.raises(UserError, match="is 10 high and 12 wide, but its annotation"):
        import_labels("coco", path, tmp_path / "out")
    assert import_labels("coco", path, tmp_path / "out", options=ImportOptions(skip_bad=True)).n_images == 1


@pytest.mark.parametrize(("content", "sentence"), [("{", "is no JSON"), ("[]", "holds a list where an object belongs")])
def test_a_file_of_another_kind(tmp_path, content, sentence):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match=sentence):
        import_labels("coco", tmp_path / "a.json", tmp_path / "out")


def test_two_categories_of_one_name_become_one_label(tmp_path):
    twins = [{"id": 1, "name": "cat", "supercategory": "a"}, {"id": 2, "name": " cat ", "supercategory": "b"}]
    regions = [
        {"category_id": 1, "segmentation": [square(0, 0, 2, 2)]},
        {"category_id": 2, "segmentation": [square(4, 4, 6, 6)]},
    ]
    path = write(tmp_path / "in", regions, categories=twins)
    shown = read_back(import_whole("coco", path, tmp_path / "out"))["a.jpg"]
    assert same(shown, {("object", "cat"): box(SHAPE, 0, 0, 2, 2) | box(SHAPE, 4, 4, 6, 6)})

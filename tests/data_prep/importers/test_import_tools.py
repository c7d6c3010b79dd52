"""LabelMe's and CVAT's files, written by hand after what the tools export."""

from __future__ import annotations

import base64
import io
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

SHAPE = (10, 12)


def shape(label: str, kind: str | None, points: list[list[float]], **more) -> dict:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **more}


def png(mask: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def labelme(root: Path, shapes: list[dict], /, **more) -> Path:
    picture(root / "fotos" / "ä b.jpg", SHAPE)
    content = {"version": "5.2.1", "flags": {}, "shapes": shapes, "imagePath": "ä b.jpg", "imageData": None}
    content |= {"imageHeight": SHAPE[0], "imageWidth": SHAPE[1], **more}
    (root / "fotos" / "ä b.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return root


SQUARE = [[2, 1], [7, 1], [7, 5], [2, 5]]


def circle(x: float, y: float, radius: float) -> np.ndarray:
    return np.array(
        [[(j + 0.5 - x) ** 2 + (i + 0.5 - y) ** 2 <= radius**2 for j in range(SHAPE[1])] for i in range(SHAPE[0])]
    )


def test_labelme_has_polygons_rectangles_circles_and_masks(tmp_path):
    part = np.array([[True, False, True], [True, True, False]])
    root = labelme(
        tmp_path / "in",
        [
            shape("Straße", None, SQUARE),
            shape("box", "rectangle", [[11, 9], [4, 4]]),
            shape("corners", "rectangle", SQUARE),
            shape("wheel", "circle", [[3, 6], [3, 8.5]]),
            shape("mask", "mask", [[10, 8], [12, 9]], mask=png(part)),
            shape("way", "linestrip", [[0, 0], [5, 5]]),
            shape("spot", "point", [[1, 1]]),
        ],
    )
    mask = np.zeros(SHAPE, bool)
    mask[8:10, 10:12] = part[:, :2]  # the third column lies outside
    out = import_whole("labelme", root, tmp_path / "out", to=("wheel=part",))
    assert same(read_back(out)["fotos/ä b.jpg"], {
        ("object", "Straße"): box(SHAPE, 1, 2, 5, 7), ("object", "box"): box(SHAPE, 4, 4, 9, 11),
        ("object", "corners"): box(SHAPE, 1, 2, 5, 7), ("part", "wheel"): circle(3, 6, 2.5), ("object", "mask"): mask,
    })  # fmt: skip
    assert import_labels("labelme", root, tmp_path / "again").notes == {
        "points and lines, which have no area, left out": 2
    }


def test_an_image_that_only_labelmes_file_holds(tmp_path):
    file = io.BytesIO()
    Image.new("RGB", SHAPE[::-1], "red").save(file, "JPEG")
    root = labelme(tmp_path / "in", [shape("a", None, SQUARE)], imageData=base64.b64encode(file.getvalue()).decode())
    (root / "fotos/ä b.jpg").unlink()
    out = import_whole("labelme", root, tmp_path / "out")
    assert (out / "images/fotos/ä b.jpg").read_bytes() == file.getvalue()


def test_a_file_of_an_old_labelme_states_no_size_and_windows_writes_backslashes(tmp_path):
    root = labelme(
        tmp_path / "in", [shape("a", None, SQUARE)], imageHeight=None, imageWidth=None, imagePath="..\\fotos\\ä b.jpg"
    )
    out = import_whole("labelme", root, tmp_path / "out")
    assert open_broden(out).images[0].label_shape == SHAPE


@pytest.mark.parametrize("more", [{"imageHeight": None, "imagePath": "none.jpg"}, {"imageHeight": 0}])
def test_a_labelme_file_of_no_size_is_left_out_and_hidden_ones_are_not_read(tmp_path, more):
    root = labelme(tmp_path / "in", [shape("a", None, SQUARE)])
    good = json.loads((root / "fotos/ä b.json").read_text(encoding="utf-8"))
    picture(root / "b.jpg", SHAPE)
    if more["imageHeight"] is None:
        (root / "b.jpg").unlink()
    (root / "b.json").write_text(json.dumps({**good, "imagePath": "b.jpg", **more}))
    for hidden in (".b.json", ".trash/b.json"):
        (root / hidden).parent.mkdir(exist_ok=True)
        (root / hidden).write_text("no JSON")
    with pytest.raises(UserError, match=r"1 of 2 images are missing|but its annotation 0 and 12"):
        import_labels("labelme", root, tmp_path / "out")
    report = import_labels("labelme", root, tmp_path / "out", options=ImportOptions(skip_bad=True))
    assert report.n_images == 1 and list(report.notes.values()) == [1]


@pytest.mark.parametrize(
    ("shapes", "more", "sentence"),
    [
        ([shape("a", None, [[1, 1], [2, 2]])], {}, r"shapes\[0\]: a polygon with 2 points cannot be drawn"),
        ([shape("a", None, [[1, "x"], [2, 2], [3, 3]])], {}, "a polygon with 3 points cannot be drawn"),
        ([shape("a", "blob", SQUARE)], {}, "a blob with 4 points cannot be drawn"),
        ([shape("a", "rectangle", SQUARE[:3])], {}, "a rectangle with 3 points cannot be drawn"),
        ([shape("a", "mask", [[0, 0], [1, 1]], mask="no")], {}, "'mask' is no PNG in base64"),
        ([{"points": SQUARE}], {}, "lacks 'label'"),
        ([], {"shapes": 3}, "'shapes' is 3, which is no list"),
        ([shape("a", None, SQUARE)], {"imageHeight": 9}, "is 10 high and 12 wide, but its annotation 9 and 12"),
    ],
)  # fmt: skip
def test_a_broken_labelme_file_ends_in_one_sentence(tmp_path, shapes, more, sentence):
    with pytest.raises(UserError, match=sentence):
        import_labels("labelme", labelme(tmp_path / "in", shapes, **more), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def cvat(root: Path, shapes: str, head: str = "") -> Path:
    for name in ("a.jpg", "b.jpg"):
        picture(root / "images/deep" / name, SHAPE)
    size = f'width="{SHAPE[1]}" height="{SHAPE[0]}"'
    root.mkdir(exist_ok=True)
    (root / "annotations.xml").write_text(
        f"""<?xml version="1.0" encoding="utf-8"?>{head}
<annotations><version>1.1</version>
<meta><task><labels><label><name>dog</name><type>any</type></label><label><name>night</name><type>tag</type></label></labels></task></meta>
<image id="0" name="deep/a.jpg" subset="Train" {size}>{shapes}</image>
<image id="1" name="deep/b.jpg" {size}></image></annotations>""",
        encoding="utf-8",
    )
    return root


def test_cvat_has_polygons_boxes_ellipses_masks_and_tags(tmp_path):
    root = cvat(
        tmp_path / "in",
        """<polygon label="dog" source="manual" occluded="0" points="2.0,1.0;7.0,1.0;7.0,5.0;2.0,5.0" z_order="0"></polygon>
<box label="katze &amp; maus" occluded="0" xtl="4" ytl="4" xbr="11" ybr="9" z_order="1"><attribute name="x">1</attribute></box>
<box label="turned" xtl="1" ytl="4" xbr="9" ybr="6" rotation="90"></box>
<ellipse label="wheel" cx="3" cy="6" rx="2.5" ry="2.5"></ellipse>
<mask label="rune" rle="1, 2, 1, 2" left="9" top="8" width="3" height="2"></mask>
<polyline label="dog" points="0,0;3,3"></polyline><points label="dog" points="0,0"></points>
<tag label="night"></tag>""",
    )
    runes = np.zeros(SHAPE, bool)
    runes[8, 10:12], runes[9, 10:12] = True, True
    out = import_whole("cvat", root, tmp_path / "out")
    back = read_back(out)
    assert same(back["deep/a.jpg"], {
        ("object", "dog"): box(SHAPE, 1, 2, 5, 7), ("object", "katze & maus"): box(SHAPE, 4, 4, 9, 11),
        ("object", "turned"): box(SHAPE, 1, 4, 9, 6), ("object", "wheel"): circle(3, 6, 2.5), ("object", "rune"): runes,
        ("scene", "night"): np.ones(SHAPE, bool),
    })  # fmt: skip
    assert same(back["deep/b.jpg"], {}) and back["deep/b.jpg"]["object", ""].all()
    assert open_broden(out).images[0].split == "train"
    assert import_labels("cvat", root / "annotations.xml", tmp_path / "again").notes == {
        "points and lines, which have no area, left out": 2, NO_LABEL.format("object"): 1,
    }  # fmt: skip


def test_a_cvat_project_has_a_folder_for_each_subset(tmp_path):
    images = ""
    for n, subset in enumerate(("Train", "Validation")):
        picture(tmp_path / f"in/images/{subset}/a.jpg", (n + 3, 4))
        images += f"<image name='a.jpg' subset='{subset}' width='4' height='{n + 3}'><tag label='x'/></image>"
    (tmp_path / "in/annotations.xml").write_text(f"<annotations>{images}</annotations>")
    found = open_broden(import_whole("cvat", tmp_path / "in", tmp_path / "out")).images
    assert [(image.name, image.split, image.image_shape) for image in found] == [
        ("Train/a.jpg", "train", (3, 4)), ("Validation/a.jpg", "val", (4, 4)),
    ]  # fmt: skip


@pytest.mark.parametrize("width", ["nan", "inf", "x", "0"])
def test_a_cvat_image_of_no_size_is_refused_or_left_out(tmp_path, width):
    root = cvat(tmp_path / "in", '<tag label="night"></tag>')
    text = (root / "annotations.xml").read_text()
    (root / "annotations.xml").write_text(text.replace('b.jpg" width="12"', f'b.jpg" width="{width}"'))
    with pytest.raises(UserError, match=r"b.jpg: 'width' is .*, which is no number|but its annotation 10 and 0"):
        import_labels("cvat", root, tmp_path / "out")
    assert import_labels("cvat", root, tmp_path / "out", options=ImportOptions(skip_bad=True)).n_images == 1


@pytest.mark.parametrize(
    ("shapes", "head", "sentence"),
    [
        ('<polygon label="a" points="1,1;2,x;3,3"/>', "", "deep/a.jpg, polygon 0: its points are no x,y;x,y"),
        ('<polygon label="a" points="1,1;2,2"/>', "", "a polygon that is no list of three or more"),
        ('<box label="a" xtl="1" ytl="1" xbr="2"/>', "", "'ybr' is None, which is no number"),
        ('<mask label="a" rle="1,2" left="0" top="0" width="3" height="2"/>', "", "do not add up to 3 x 2 pixels"),
        ("", '<!DOCTYPE x [<!ENTITY a "b">]>', "declares a document type, which CVAT does not write"),
        ("<polygon", "", "is no XML that can be read"),
        ("</image></annotations><x>", "", "is no XML that can be read"),
    ],
)  # fmt: skip
def test_a_broken_cvat_file_ends_in_one_sentence(tmp_path, shapes, head, sentence):
    with pytest.raises(UserError, match=sentence):
        import_labels("cvat", cvat(tmp_path / "in", shapes, head), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("<annotations><track id='0'/></annotations>", "holds the tracks of a video"),
        ("<html/>", "begins with <html>, not <annotations>"),
        ("<annotations/>", "holds no image"),
        ("<annotations><image name='../a.jpg' width='1' height='1'/></annotations>", "'../a.jpg' is none of a file in"),
    ],
)
def test_another_xml_file(tmp_path, text, sentence):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(UserError, match=sentence):
        import_labels("cvat", tmp_path / "a.xml", tmp_path / "out")

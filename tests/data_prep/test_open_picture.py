"""Which files are opened as images, and which way up: one rule for whoever reads them."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from data_prep.broden import open_broden
from data_prep.broden_check import check_broden
from data_prep.common.errors import UserError
from data_prep.common.files import open_regular, read_regular
from data_prep.common.pictures import FORMATS, IMAGE_ERRORS, is_turned, open_picture, orientation, rgb_picture
from data_prep.formats import BadImageError
from dissect.images import read_image
from reports import overlay

SCENE = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
POSTSCRIPT = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 24\n%%EndComments\nshowpage\n"

# What lies in the file of an upright scene, by the value of the tag, which says which sides of the scene the file's first row and
# first column are (EXIF 2.32, section 4.6.4). Written with numpy, so that Pillow's turning is not compared with itself.
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda scene: scene,  # top, left
    2: lambda scene: scene[:, ::-1],  # top, right
    3: lambda scene: scene[::-1, ::-1],  # bottom, right
    4: lambda scene: scene[::-1],  # bottom, left
    5: lambda scene: scene.swapaxes(0, 1),  # left, top
    6: lambda scene: scene.swapaxes(0, 1)[::-1],  # right, top
    7: lambda scene: scene.swapaxes(0, 1)[::-1, ::-1],  # right, bottom
    8: lambda scene: scene.swapaxes(0, 1)[:, ::-1],  # left, bottom
}


def save(path: Path, pixels: np.ndarray, tag: int | None = None, kind: str = "PNG") -> None:
    exif = Image.Exif()
    if tag is not None:
        exif[0x0112] = tag
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, kind, exif=exif)


@pytest.fixture(autouse=True)
def in_time():
    """A file that never ends must not stop the tests."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it hangs"))
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


# Which files


def test_postscript_called_jpg_starts_no_other_program(tiny_broden, tmp_path, monkeypatch):
    """Pillow hands EPS to Ghostscript, wherever it is found, when it opens the file."""
    called = tmp_path / "called"
    (tmp_path / "bin").mkdir()
    for name in ("gs", "gswin32c", "gswin64c"):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\necho $0 >> {called}\nexit 1\n")
        (tmp_path / "bin" / name).chmod(0o755)
    path = tiny_broden / "images/a/two.jpg"
    path.write_text(POSTSCRIPT)
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from data_prep.broden_check import check_broden\nfrom dissect.images import read_image\n"
        "from reports.overlay import thumbnail_jpeg\n"
        "root, path = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "print(check_broden(root).n_faults, thumbnail_jpeg(path, 20))\n"
        "try: read_image(path, (8, 8))\nexcept Exception as error: print(type(error).__name__)\n"
    )
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_broden), str(path)], capture_output=True, text=True, env=environment
    )
    assert done.stdout.split() == ["1", "None", "BadImageError"], done.stderr
    assert not called.exists()
    wrong = "import sys; from PIL import Image; Image.open(sys.argv[1]).load()"
    subprocess.run([sys.executable, "-c", wrong, str(path)], capture_output=True, env=environment)
    assert called.exists(), "this Pillow starts nothing: the test shows nothing"


def test_no_format_is_open_that_needs_another_program_or_file():
    assert not {"EPS", "PDF", "WMF", "MIC", "FPX", "IM", "GRIB", "BUFR", "HDF5"} & set(FORMATS)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF"])
def test_the_usual_formats_are_read(tmp_path, kind):
    if kind in ("WEBP", "AVIF") and not features.check(kind.lower()):
        pytest.skip(f"this Pillow has no {kind}")
    Image.fromarray(SCENE).save(tmp_path / "a.jpg", kind)
    assert read_image(tmp_path / "a.jpg", (24, 40)).shape == (24, 40, 3)


def make_odd(path: Path, what: str) -> None:
    if path.exists():
        path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")


ODD = {
    "pipe": "it is a pipe, not a file",
    "folder": "it is a folder, not a file",
    "device": "it is a device, not a file",
}


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("file", ["a/two.jpg", "a/two_color.png"])
def test_only_regular_files_are_read(tiny_broden, what, file):
    """A pipe would wait for ever, /dev/zero fill the memory."""
    make_odd(tiny_broden / "images" / file, what)
    (fault,) = check_broden(tiny_broden).faults
    assert fault.place == 3 and f"{file} cannot be read ({ODD[what]})" in fault.sentence
    data = open_broden(tiny_broden)
    with pytest.raises(BadImageError, match=ODD[what]):
        if file.endswith("jpg"):
            read_image(data.images[1].path, (8, 8))
        else:
            data.read_labels(1)
    data.fingerprint()


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("file", ["index.csv", "label.csv", "c_part.csv"])
def test_only_regular_files_are_tables(tiny_broden, what, file):
    make_odd(tiny_broden / file, what)
    with pytest.raises(UserError, match=ODD[what]):
        open_broden(tiny_broden)


def test_links_to_regular_files_are_followed(tiny_broden, tmp_path):
    shutil.move(tiny_broden / "images/a/two_color.png", tmp_path / "elsewhere.png")
    (tiny_broden / "images/a/two_color.png").symlink_to(tmp_path / "elsewhere.png")
    assert check_broden(tiny_broden).n_faults == 0


def test_a_label_map_without_end_is_not_read_into_memory(tiny_broden):
    path = tiny_broden / "images/a/two_color.png"
    os.truncate(path, 2**40)  # a hole: it takes no room on the disk
    (fault,) = check_broden(tiny_broden).faults
    assert (
        "two_color.png cannot be read (it has 1,099,511,627,776 bytes, more than the 16,777,456 that" in fault.sentence
    )


def test_what_is_read_is_what_is_there(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert read_regular(tmp_path / "a", limit=3) == b"abc"
    with pytest.raises(OSError, match="it has 3 bytes, more than the 2"):
        read_regular(tmp_path / "a", limit=2)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "b")


# Which way up


@pytest.mark.parametrize("tag", STORED)
def test_the_stated_size_decides(tmp_path, tag):
    """Only the tags 5 to 8 exchange height and width; of the others no stated size can tell."""
    stored = STORED[tag](SCENE)
    save(tmp_path / "a.png", stored, tag)
    turns = tag >= 5
    for stated in ((24, 40), (40, 24), (12, 20), None):
        expected = SCENE if turns and stated == (24, 40) else stored
        with open_picture(tmp_path / "a.png") as picture:
            assert orientation(picture) == tag
            assert is_turned(picture, stated) == (turns and stated == (24, 40))
            np.testing.assert_array_equal(np.asarray(rgb_picture(picture, stated)), expected)
        np.testing.assert_array_equal(read_image(tmp_path / "a.png", expected.shape[:2], stated), expected)
        np.testing.assert_array_equal(overlay.read_image(tmp_path / "a.png", 64, stated), expected)


@pytest.mark.parametrize("tag", [None, 0, 9])
def test_no_tag_or_a_wrong_one_turns_nothing(tmp_path, tag):
    save(tmp_path / "a.png", SCENE, tag)
    with open_picture(tmp_path / "a.png") as picture:
        assert orientation(picture) == 1 and not is_turned(picture, (40, 24))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Tag data larger")
def test_a_damaged_tag_is_none(tmp_path):
    save(tmp_path / "a.jpg", SCENE, 6, "JPEG")
    data = bytearray((tmp_path / "a.jpg").read_bytes())
    start = data.index(b"Exif\0\0") + 6
    for n in range(40):
        for value in (0, 127, 255):
            damaged = data.copy()
            damaged[start + n % 26] = value
            with open_picture(bytes(damaged)) as picture:
                assert rgb_picture(picture, (40, 24)).size in ((40, 24), (24, 40))


def test_looking_for_a_tag_hides_no_damage(tmp_path):
    """Pillow decodes a PNG to find its tag, and raises only the first time that it decodes."""
    save(tmp_path / "a.png", SCENE)
    data = bytearray((tmp_path / "a.png").read_bytes())
    start = data.index(b"IDAT") + 4
    data[start + 900 : start + 930] = bytes(30)
    (tmp_path / "a.png").write_bytes(data)
    for stated in (None, (24, 40), (40, 24)):
        with pytest.raises(BadImageError, match="cannot be read"):
            read_image(tmp_path / "a.png", (24, 40), stated)
    with open_picture(tmp_path / "a.png") as picture, pytest.raises(IMAGE_ERRORS):
        orientation(picture)


def test_a_square_image_is_used_as_it_is_stored(tmp_path):
    square = SCENE[:, :24]
    save(tmp_path / "a.png", square, 6)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", (24, 24), (24, 24)), square)


def test_tiff_is_turned_by_pillow_and_not_again(tmp_path):
    """Its tag is one of the baseline format, which Pillow obeys whenever it decodes."""
    save(tmp_path / "a.tif", STORED[6](SCENE), 6, "TIFF")
    for stated in ((24, 40), (40, 24), None):
        with open_picture(tmp_path / "a.tif") as picture:
            np.testing.assert_array_equal(np.asarray(rgb_picture(picture, stated)), SCENE)


def test_a_drafted_jpeg_is_turned_too(tmp_path):
    """The report decodes a JPEG at a fraction of its size; whether it is turned depends on the whole size."""
    large = np.kron(SCENE, np.ones((16, 16, 1), np.uint8))
    save(tmp_path / "a.jpg", STORED[8](large), 8, "JPEG")
    small = overlay.read_image(tmp_path / "a.jpg", 40, (384, 640))
    assert small.shape == (24, 40, 3)
    scene = SCENE.astype(int)
    others = (scene, scene[::-1], scene[:, ::-1], scene[::-1, ::-1])
    differences = [np.abs(small - other).mean() for other in others]
    assert differences[0] < 20 and min(differences[1:]) > 60, "JPEG loses a little"
    assert overlay.read_image(tmp_path / "a.jpg", 40).shape == (40, 24, 3)


def test_check_tells_what_is_turned_and_what_is_not(tiny_broden):
    path = tiny_broden / "images/a/two.jpg"
    save(path, STORED[6](SCENE), 6, "JPEG")
    report = check_broden(tiny_broden)
    (warning,) = report.warnings
    assert report.n_faults == 0 and warning.place == 3
    assert (
        warning.sentence
        == f"Image {path} is stored on its side; it is turned by its EXIF tag, as ih 24, iw 40 ask for."
    )
    save(path, SCENE, 3, "JPEG")
    (warning,) = check_broden(tiny_broden).warnings
    assert (
        "has the EXIF orientation 3 and is used as it is stored, 24 high and 40 wide, as index.csv says"
        in warning.sentence
    )
    save(path, SCENE[:20], None, "JPEG")
    (warning,) = check_broden(tiny_broden).warnings
    assert "is 20 high and 40 wide, but index.csv says ih 24, iw 40: it is used as it is stored" in warning.sentence


# One rule for those who check and those who read


def deep(kind: type, fmt: str) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(np.full((24, 40), 300, kind)).save(path, fmt)


def of_mode(mode: str, fmt: str) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(SCENE).convert(mode).save(path, fmt)


def cut(share: float) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def huge(path: Path) -> None:
    """The header of a picture of 40,000 x 40,000 pixels."""
    Image.fromarray(SCENE).save(path, "BMP")
    data = bytearray(path.read_bytes())
    data[18:26] = struct.pack("<ii", 40_000, 40_000)
    path.write_bytes(data)


KINDS = {
    "16 bits of grey": (deep(np.uint16, "PNG"), False), "32 bits": (deep(np.int32, "TIFF"), False),
    "floats": (deep(np.float32, "TIFF"), False), "grey": (of_mode("L", "PNG"), True), "bits": (of_mode("1", "PNG"), True),
    "palette": (of_mode("P", "GIF"), True), "alpha": (of_mode("RGBA", "PNG"), True), "grey alpha": (of_mode("LA", "PNG"), True),
    "CMYK": (of_mode("CMYK", "JPEG"), True), "YCbCr": (of_mode("YCbCr", "JPEG"), True), "Lab": (of_mode("LAB", "TIFF"), True),
    "cut at half": (cut(0.5), False), "cut at nothing": (cut(0), False), "huge": (huge, False),
    "another size": (lambda p: save(p, SCENE[:9, :7]), True),
    "on its side": (lambda p: save(p, SCENE.swapaxes(0, 1)), True),
    "on its side, tagged": (lambda p: save(p, STORED[5](SCENE), 5), True), "a folder": (lambda p: make_odd(p, "folder"), False),
    "postscript": (lambda p: p.write_text(POSTSCRIPT), False), "missing": (lambda p: p.unlink(), False),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_check_has_a_fault_where_a_run_leaves_the_image_out(tiny_broden, kind):
    make, usable = KINDS[kind]
    path = tiny_broden / "images/a/two.jpg"
    make(path)
    report = check_broden(tiny_broden)
    assert report.n_faults == int(not usable), report
    assert all(str(path) in fault.sentence for fault in report.faults)
    record = open_broden(tiny_broden).images[1]
    assert record.path == path and record.image_shape == (24, 40)
    try:
        assert read_image(path, (8, 8), record.image_shape).shape == (8, 8, 3)
    except BadImageError:
        assert not usable
    else:
        assert usable


def test_the_errors_of_pictures_are_known(tmp_path):
    (tmp_path / "a.png").write_text("words")
    with pytest.raises(IMAGE_ERRORS, match=r"it is none of JPEG, PNG"), open_picture(tmp_path / "a.png"):
        pass

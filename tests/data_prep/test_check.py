"""Checking a whole Broden set, and the command `data-prep` around it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, features

from data_prep import mini_broden
from data_prep.broden import open_broden
from data_prep.broden_check import check_broden
from data_prep.common.errors import UserError
from data_prep.findings import Finding


def edit(root: Path, file: str, old: str, new: str) -> None:
    text = (root / file).read_text(encoding="utf-8")
    assert old in text
    (root / file).write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_sound_set_has_neither_fault_nor_warning(tiny_broden):
    steps = []
    report = check_broden(tiny_broden, progress=lambda *step: steps.append(step))
    assert (report.n_faults, report.faults, report.n_warnings, report.warnings) == (0, (), 0, ())
    assert (report.n_images, report.n_label_maps, report.n_concepts, report.n_categories) == (4, 7, 9, 5)
    assert steps == [("checking", n, 4) for n in (1, 2, 3, 4)]


FAULTS = {
    "image missing": (lambda images: (images / "a/two.jpg").unlink(), 3, "a/two.jpg is missing: put it there"),
    "image cut short": (
        lambda images: (images / "a/two.jpg").write_bytes((images / "a/two.jpg").read_bytes()[:-200]),
        3,
        "a/two.jpg cannot be read (image file is truncated",
    ),
    "no image": (
        lambda images: (images / "a/two.jpg").write_text("hello"),
        3,
        "cannot be read (it is none of JPEG, PNG, ",
    ),
    "label map missing": (lambda images: (images / "a/one_part.png").unlink(), 2, "one_part.png is missing"),
    "label map of another mode": (
        lambda images: Image.new("L", (8, 8)).save(images / "a/one_part.png"),
        2,
        "one_part.png has mode L",
    ),
    "label map of another size": (
        lambda images: Image.new("RGB", (4, 4)).save(images / "a/one_part.png"),
        2,
        "one_part.png is 4 high and 4 wide",
    ),
    "label of another category": (
        lambda images: Image.new("RGB", (8, 8), (4, 0, 0)).save(images / "a/one_part.png"),
        2,
        "is not in c_part.csv, and label.csv has it as 'cat' of object",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_an_image_is_told_with_its_row(tiny_broden, name):
    damage, row, words = FAULTS[name]
    damage(tiny_broden / "images")
    report = check_broden(tiny_broden)
    assert report.n_faults == 1 and report.n_warnings == 0
    assert (report.faults[0].file, report.faults[0].place) == ("index.csv", row)
    assert words in report.faults[0].sentence


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_an_avif_that_does_not_decode_is_a_fault_too(tiny_broden):
    """Its decoder raises a RuntimeError, as no other does."""
    path = tiny_broden / "images/a/two.jpg"
    Image.new("RGB", (40, 24), "red").save(path, "AVIF")
    data = path.read_bytes()
    path.write_bytes(data[: (start := data.index(b"mdat") + 4)] + bytes(len(data) - start))
    (fault,) = check_broden(tiny_broden).faults
    assert "a/two.jpg cannot be read (Failed to decode" in fault.sentence


def test_checking_goes_on_after_a_fault_and_counts_them_all(tiny_broden):
    edit(tiny_broden, "index.csv", "32,32,4,4", "32,32,4,four")  # row 5, left out from here on
    edit(tiny_broden, "index.csv", ",6;8", ",6;9;5")  # row 4: two labels that are no scenes
    (tiny_broden / "images/a/one_part.png").unlink()
    (tiny_broden / "images/a/one_color.png").write_bytes(b"")
    (tiny_broden / "images/a/two.jpg").unlink()
    report = check_broden(tiny_broden)
    assert report.n_faults == 6 and report.n_images == 3
    assert [finding.place for finding in report.faults] == [5, 2, 2, 3, 4, 4]
    assert report.n_warnings == 0, "labels that cannot be read must not be told as labels that are not there"
    few = check_broden(tiny_broden, limit=2)
    assert few.n_faults == 6 and few.faults == report.faults[:2]
    with pytest.raises(UserError, match="`limit` is -1: give 0 or the number"):
        check_broden(tiny_broden, limit=-1)


def test_the_same_image_in_two_rows_is_one_fault(tiny_broden):
    index = tiny_broden / "index.csv"
    index.write_text(index.read_text() + "a/two.jpg,train,24,40,6,10,a/two_color.png,,,,\n")
    report = check_broden(tiny_broden)
    sentence = "image a/two.jpg is there already, in row 3; give each image one row."
    assert report.faults == (Finding("index.csv", 6, sentence),)
    assert report.n_images == 4


def test_tables_that_disagree_on_a_label_are_told(tiny_broden):
    """`c_object.csv` alone decides what an object is; whoever reads the set does not look at that column of label.csv."""
    edit(tiny_broden, "label.csv", "part(1);material(1)", "part(1);object(1)")
    report = check_broden(tiny_broden)
    assert report.n_faults == 0 and report.warnings == (
        Finding("label.csv", 4, "label number 3 serves 'object', but c_object.csv does not have it; add it."),
        Finding("c_material.csv", 2, "label number 3 does not serve 'material' in label.csv; add it there."),
    )


def test_frequencies_are_counted_again(tiny_broden):
    edit(tiny_broden, "c_object.csv", "cat,2", "cat,7")
    report = check_broden(tiny_broden)
    assert report.n_faults == 0
    assert report.warnings == (
        Finding("label.csv", 5, "'cat' is stated in 2 images, but c_object.csv states 7."),
        Finding("c_object.csv", 2, "'cat' is stated in 7 images and counted in 2."),
    )


def test_a_label_that_never_appears_is_a_warning(tiny_broden):
    edit(tiny_broden, "index.csv", ",6;8", ",6")
    report = check_broden(tiny_broden)
    assert report.warnings == (Finding("c_scene.csv", 3, "label number 8, 'yard, back-s', is in no image."),)


def test_a_label_of_a_category_that_was_taken_out_is_a_warning(tiny_broden):
    edit(tiny_broden, "category.csv", "material,3,3,1,1\n", "")
    index = (tiny_broden / "index.csv").read_text().replace(",material", "").replace(",a/one_material.png", "")
    (tiny_broden / "index.csv").write_text(
        index.replace(",,,,\n", ",,,\n").replace(",,,,,6", ",,,,6").replace("4,,,", "4,,")
    )
    report = check_broden(tiny_broden)
    sentence = "label number 3 serves 'material', which is not in category.csv."
    assert (report.faults, report.warnings) == ((), (Finding("label.csv", 4, sentence),))


def test_a_table_that_cannot_be_used_stops_the_check(tiny_broden):
    (tiny_broden / "c_part.csv").unlink()
    with pytest.raises(UserError, match=r"c_part\.csv is missing"):
        check_broden(tiny_broden)


@pytest.mark.slow
def test_the_real_set_passes_whole(broden_real):
    report = check_broden(broden_real)
    assert (report.n_images, report.n_label_maps, report.n_concepts) == (2862, 7074, 337)
    assert (report.faults, report.warnings) == ((), ())


# The command


def test_check_ends_0_with_a_short_table(tiny_broden, said):
    code, out, err = said("check", tiny_broden)
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == [str(tiny_broden)]
    assert lines[1:4] == [["images", "4"], ["label", "maps", "7"], ["categories", "5"]]
    assert lines[4:] == [["concepts", "9"], ["faults", "0"], ["warnings", "0"]]


def test_check_ends_1_with_the_first_faults(tiny_broden, said):
    for name in ("color", "part", "material"):
        (tiny_broden / f"images/a/one_{name}.png").unlink()
    code, out, err = said("check", tiny_broden, "--limit", 1)
    assert (code, err) == (1, "")
    first, more, *_ = out.splitlines()
    assert first.startswith("fault: index.csv, row 2: Label map ") and "one_color.png is missing" in first
    assert more == "fault: 2 more, not shown; raise --limit to see them."
    assert out.splitlines()[-2].split() == ["faults", "3"]


def test_findings_as_rows_for_programs(tiny_broden, said):
    (tiny_broden / "images/a/one_part.png").unlink()
    edit(tiny_broden, "index.csv", "32,32,4,4", "32,32,4,four")
    code, out, err = said("check", tiny_broden, "--style", "json", "--limit", 1)
    assert code == 1 and err == "fault: 1 more, not shown; raise --limit to see them.\n"
    (row,) = json.loads(out)
    assert (row["kind"], row["file"], row["place"]) == ("fault", "index.csv", 5)
    _, out, _ = said("check", tiny_broden, "--style", "csv")
    assert [line.split(",")[:3] for line in out.splitlines()] == [
        ["kind", "file", "place"], ["fault", "index.csv", "5"], ["fault", "index.csv", "2"]
    ]  # fmt: skip


def test_check_tells_warnings_and_still_ends_0(tiny_broden, said):
    edit(tiny_broden, "c_object.csv", "lamp,1", "lamp,3")
    code, out, _ = said("check", tiny_broden)
    assert code == 0
    assert "warning: c_object.csv, row 3: 'lamp' is stated in 3 images and counted in 1.\n" in out


@pytest.mark.parametrize("spoil", ["folder", "table", "limit"])
def test_what_cannot_be_read_ends_2_with_one_sentence(tiny_broden, said, spoil):
    if spoil == "table":
        (tiny_broden / "label.csv").unlink()
    args = {"folder": [tiny_broden / "no"], "table": [tiny_broden], "limit": [tiny_broden, "--limit", -1]}[spoil]
    code, out, err = said("check", *args)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize("args", [[], ["chek"], ["check"], ["check", "x", "--limit", "many"], ["embedded", "x"]])
def test_a_wrong_command_line_ends_2(args, said):
    assert said(*args)[0] == 2


@pytest.mark.parametrize("args", [["check", "-h"], ["embedded", "--help"]])
def test_help_ends_with_an_example_that_parses(args, said, monkeypatch):
    code, out, _ = said(*args)
    assert code == 0
    program, *example = out.splitlines()[-1].split()
    assert program == "data-prep"
    called = []
    monkeypatch.setattr("data_prep.broden_check.check_broden", lambda *given: called.append(given[:2]) or _stop())
    monkeypatch.setattr(mini_broden, "make", lambda root, **_: called.append(root) or root)
    said(*example)
    assert called in ([(Path("data/broden"), 50)], [Path("data/mini-broden")])


def _stop():
    raise UserError("checked enough.")


def test_help_imports_nothing_heavy():
    code = (
        "import sys, data_prep.cli as cli\n"
        "try: cli.main(['check', '--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'pandas', 'PIL', 'rich', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_control_c_is_one_line_and_130(tiny_broden, said, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("data_prep.broden_check._check_image", interrupt)
    assert said("check", tiny_broden) == (130, "", "interrupted: the same command resumes from here.\n")


def test_embedded_prints_where_the_set_lies(tmp_path, said, monkeypatch):
    make = mini_broden.make
    monkeypatch.setattr(mini_broden, "make", lambda root, **options: make(root, n_images=3, **options))
    code, out, _ = said("embedded", "--out", tmp_path / "mini")
    assert (code, out) == (0, f"{tmp_path / 'mini'}\n")
    assert len(open_broden(tmp_path / "mini").images) == 3
    code, out, err = said("embedded", "--out", tmp_path / "mini")
    assert (code, out) == (2, "") and err.startswith("error: ") and "already there" in err
    monkeypatch.setattr(mini_broden, "ensure", lambda progress: tmp_path / "cached")
    assert said("embedded") == (0, f"{tmp_path / 'cached'}\n", "")

"""Checking and measuring a decathlon, and the commands around it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.common.errors import UserError
from data_prep.decathlon_check import check_decathlon, measure
from data_prep.findings import Finding


def change(root: Path, file: str, old: str, new: str) -> None:
    path = root / "annotations" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_sound_set_has_neither_fault_nor_warning(tiny_decathlon):
    steps = []
    report = check_decathlon(tiny_decathlon, progress=lambda *step: steps.append(step))
    assert (report.faults, report.warnings) == ((), ())
    assert (report.n_domains, report.n_splits, report.n_classes, report.n_images) == (2, 6, 5, 9)
    assert steps == [("checking", i, n) for n in (4, 5) for i in range(1, n + 1)]


def test_checking_goes_on_after_a_fault_and_counts_them_all(tiny_decathlon):
    (tiny_decathlon / "data/dtd/train/0001/a.png").unlink()
    (tiny_decathlon / "data/dtd/train/0002/b.png").write_text("hello")
    change(tiny_decathlon, "svhn_train.json", '"category_id": 80000003', '"category_id": 80000009')
    (tiny_decathlon / "annotations/dtd_test_stripped.json").write_text("{")
    report = check_decathlon(tiny_decathlon)
    entries = [(finding.file, finding.place) for finding in report.faults]
    assert sorted(entries) == [
        ("dtd_test_stripped.json", "the whole file"),
        ("dtd_train.json", "image 40000001"),
        ("dtd_train.json", "image 40000002"),
        ("svhn_train.json", "annotation of image 80000001"),
        ("svhn_train.json", "image 80000001"),
    ]
    assert report.n_faults == 5 and report.n_images == 6  # b.png was looked at; a.png, f.png and the test set were not
    few = check_decathlon(tiny_decathlon, limit=2)
    assert few.n_faults == 5 and few.faults == report.faults[:2]
    assert check_decathlon(tiny_decathlon, domains=["svhn"]).n_faults == 2


def test_a_corrupt_tar_is_a_fault_of_each_of_its_splits(tiny_decathlon):
    path = tiny_decathlon / "data/svhn.tar"
    path.write_bytes(path.read_bytes()[:3000])
    report = check_decathlon(tiny_decathlon)
    assert [finding.file for finding in report.faults] == ["svhn_train.json", "svhn_val.json", "svhn_test.json"]
    assert all(
        finding.place == "its tar" and "no whole uncompressed tar" in finding.sentence for finding in report.faults
    )


def test_files_that_disagree_are_faults(tiny_decathlon):
    change(tiny_decathlon, "dtd_val.json", '"woven"', '"knitted"')
    change(tiny_decathlon, "svhn_val.json", '"id": 80100003, "width"', '"id": 80000002, "width"')
    change(tiny_decathlon, "svhn_val.json", '"image_id": 80100003', '"image_id": 80000002')
    stripped = json.loads((tiny_decathlon / "annotations/svhn_test.json").read_text())
    stripped.update(annotations=[], images=stripped["images"][:1])
    (tiny_decathlon / "annotations/svhn_test_stripped.json").write_text(json.dumps(stripped))
    found = {(f.file, f.place): f.sentence for f in check_decathlon(tiny_decathlon).faults}
    assert set(found) == {
        ("dtd_val.json", "categories"),
        ("svhn_val.json", "image 80000002"),
        ("svhn_test_stripped.json", "images"),
    }
    assert "its id is also in svhn_train.json" in found["svhn_val.json", "image 80000002"]


def test_what_changes_no_number_is_a_warning(tiny_decathlon):
    (tiny_decathlon / "annotations/dtd_val.json").unlink()
    Image.new("RGB", (7, 3)).save(tiny_decathlon / "data/dtd/train/0001/a.png")
    report = check_decathlon(tiny_decathlon)
    a = tiny_decathlon / "data/dtd/train/0001/a.png"
    assert report.n_faults == 0
    assert report.warnings == (
        Finding("dtd_val.json", "the whole file", "it is not there, so 'dtd' has no val split."),
        Finding("dtd_train.json", "image 40000001", f"{a} is 3 high and 7 wide, stated are 4 and 6."),
    )
    with pytest.raises(UserError, match="`limit` is -1: give 0 or"):
        check_decathlon(tiny_decathlon, limit=-1)


def test_measured_rows(tiny_decathlon):
    Image.fromarray(np.uint8([[[0, 100, 200]]]).repeat(2, 0)).save(tiny_decathlon / "data/dtd/train/0001/a.png")
    dtd, svhn = measure(tiny_decathlon)
    assert (dtd.n_classes, dtd.n_images, dtd.labelled_test) == (2, {"train": 2, "val": 1, "test": 1}, False)
    assert (dtd.smallest, dtd.largest, dtd.grey_share) == ((2, 1), (5, 5), 0.75)
    values = np.array([[0, 100, 200]] * 2 + [[10, 10, 10]] * 25) / 255
    assert np.allclose(dtd.mean, values.mean(0)) and np.allclose(dtd.std, values.std(0))
    assert svhn.labelled_test and svhn.n_bytes > 0


@pytest.mark.slow
def test_the_real_set_passes_whole(decathlon_mini):
    report = check_decathlon(decathlon_mini)
    assert (report.n_domains, report.n_splits, report.n_faults, report.n_warnings) == (6, 18, 0, 0)
    assert report.n_images == 21500 + 8998 + 3430 + 4840 + 2650 + 1184


# The commands


def test_check_ends_with_a_short_table(tiny_decathlon, said):
    code, out, err = said("decathlon", "check", tiny_decathlon)
    assert (code, err) == (0, "")
    counts = ["domains 2", "splits 6", "classes 5", "images 9", "faults 0", "warnings 0"]
    assert [" ".join(line.split()) for line in out.splitlines()] == [str(tiny_decathlon), *counts]


def test_check_ends_1_with_the_first_faults(tiny_decathlon, said):
    for name in ("0001/a.png", "0002/b.png"):
        (tiny_decathlon / "data/dtd/train" / name).unlink()
    code, out, _ = said("decathlon", "check", tiny_decathlon, "--limit", 1, "--domains", "dtd")
    assert code == 1 and out.startswith("fault: dtd_train.json, image 40000001: 'data/dtd/train/0001/a.png' is not in ")
    assert "\nfault: 1 more, not shown; raise --limit to see them.\n" in out


def test_stats_tells_a_table(tiny_decathlon, said):
    code, out, _ = said("decathlon", "stats", tiny_decathlon)
    assert code == 0
    head, dtd, svhn = (line.split() for line in out.splitlines())
    assert head[:5] == ["domain", "classes", "train", "val", "test"]
    assert dtd[:8] == ["dtd", "2", "2", "1", "1", "unlabelled", "4x4..5x5", "100.0%"]
    assert svhn[:7] == ["svhn", "3", "2", "1", "2", "3x3", "100.0%"]


def test_stats_as_numbers_for_programs(tiny_decathlon, said):
    code, out, _ = said("decathlon", "stats", tiny_decathlon, "--style", "json")
    assert code == 0
    dtd, svhn = json.loads(out)
    assert (dtd["domain"], dtd["n_test"], dtd["labelled_test"], dtd["largest_height"]) == ("dtd", 1, False, 5)
    assert svhn["grey_share"] == 1.0 and svhn["mean_red"] == svhn["mean_blue"] == pytest.approx(45 / 255)
    (tiny_decathlon / "annotations/svhn_train.json").unlink()
    _, out, _ = said("decathlon", "stats", tiny_decathlon, "--domains", "svhn", "--style", "csv")
    header, row = (line.split(",") for line in out.splitlines())
    assert dict(zip(header, row, strict=True))["n_train"] == dict(zip(header, row, strict=True))["mean_red"] == ""


@pytest.mark.parametrize("args", [["check", "nowhere"], ["stats", "nowhere"], ["check", "SET", "--domains", "dtdd"]])
def test_what_cannot_be_read_ends_2_with_one_sentence(tiny_decathlon, said, args):
    code, out, err = said("decathlon", *(str(tiny_decathlon) if arg == "SET" else arg for arg in args))
    assert (code, out) == (2, "") and err.startswith("error: ") and err.count("\n") == 1


def test_help_answers_at_once_and_ends_with_an_example():
    code = (
        "import sys; from data_prep import cli\n"
        "try: cli.main(['decathlon', *sys.argv[1:]])\n"
        "finally: print('PIL' in sys.modules)"
    )
    for command in ([], ["download"]):
        argv = [sys.executable, "-c", code, *command, "--help"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "\nexample:\n  data-prep decathlon " in done.stdout and done.stdout.endswith("False\n")

"""Mistakes of the command's user: each ends in one sentence and status 2, leaves no result, and deletes nothing."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import edit, sentence, stored
from PIL import Image

from data_prep.formats import encode_label_map
from dissect.run_store import open_run

# Sets with faults


def save(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(path)


def repeat_last_row(root: Path) -> None:
    text = (root / "index.csv").read_text()
    (root / "index.csv").write_text(text + text.splitlines()[-1] + "\n")


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing image": (lambda root: (root / "images/a/two.jpg").unlink(), "images/a/two.jpg is missing: restore it"),
    "truncated image": (
        lambda root: os.truncate(root / "images/a/two.jpg", 700),
        "images/a/two.jpg cannot be read (image file is truncated",
    ),
    "text for an image": (lambda root: (root / "images/a/two.jpg").write_text("no"), "a/two.jpg cannot be read ("),
    "missing label map": (lambda root: (root / "images/a/two_color.png").unlink(), "a/two_color.png is missing"),
    "label map of wrong size": (
        lambda root: save(root / "images/a/two_color.png", np.zeros((10, 6, 3), np.uint8)),
        "two_color.png is 10 high and 6 wide, but index.csv says sh 6, sw 10",
    ),
    "label map of wrong mode": (
        lambda root: save(root / "images/a/two_color.png", np.zeros((6, 10), np.uint8)),
        "two_color.png has mode L, not RGB",
    ),
    "unknown label number": (
        lambda root: save(root / "images/a/two_color.png", encode_label_map(np.full((6, 10), 77))),
        "Label number 77 in label map",
    ),
    "missing column": (
        lambda root: edit(root / "index.csv", "image,split", "image,slit"),
        "index.csv lacks the column 'split'",
    ),
    "missing table": (lambda root: (root / "c_part.csv").unlink(), "c_part.csv is missing"),
    "empty set": (
        lambda root: (root / "index.csv").write_text((root / "index.csv").read_text().splitlines()[0] + "\n"),
        "index.csv lists no usable image",
    ),
    "duplicated row": (repeat_last_row, "image b/four.jpg is there already, in row 5"),
    "no set at all": (lambda root: root.rename(root.with_name("away")), "is not a folder"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_set(refused, tiny_broden: Path, fault: str) -> None:
    damage, words = FAULTS[fault]
    damage(tiny_broden)
    assert words in refused()


def test_skipped_images_are_counted_and_told(run, refused, tiny_broden: Path, out: Path) -> None:
    (tiny_broden / "images/a/two.jpg").write_bytes(b"no image")
    (tiny_broden / "images/b/four_object.png").unlink()
    said = run("--layers", 1, 2, "--on-bad-image", "skip")
    assert said.status == 0
    assert "note: 2 of 4 images were left out; the first: " in said.out and "a/two.jpg cannot be read" in said.out
    finished = open_run(out)
    data = finished.info["data"]
    assert (data["n_images"], data["n_used"], data["n_skipped"]) == (4, 2, 2)
    assert [one["name"] for one in data["skipped"]] == ["a/two.jpg", "b/four.jpg"]
    assert "b/four_object.png" in data["skipped"][1]["reason"]
    assert finished.images["name"].tolist() == ["a/one.jpg", "b/three.jpg"]
    by_fold = finished.counts("small")["fold_annotated_area"].any(1)
    assert by_fold.tolist() == [True, True, False, False], "folds are laid out over the images used"


def test_a_set_of_which_every_image_is_bad(refused, tiny_broden: Path) -> None:
    for path in (tiny_broden / "images").rglob("*.jpg"):
        path.unlink()
    words = refused("--layers", 1, "--on-bad-image", "skip")
    assert words.startswith("No image of the set can be used (4 skipped; the first: ")


# Wishes that cannot be met


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--quantile", 0], "--quantile is 0.0; it must lie strictly between 0 and 1"),
        (["--quantile", 1], "--quantile is 1.0;"),
        (["--quantile", -1], "--quantile is -1.0;"),
        (["--quantile", "nan"], "--quantile is nan;"),
        (["--iou-cut", 1], "--iou-cut is 1.0; it must be at least 0 and below 1"),
        (["--iou-cut", "nan"], "--iou-cut is nan;"),
        (["--strongest", 0], "--strongest is 0; it must be at least 1"),
        (["--image-size", 0], "--image-size is 0; give one side, or height and width, in pixels: 1 to 8192."),
        (["--image-size", 1, 2, 3], "--image-size is 1 2 3; give one side"),
        (["--image-size", 40000], "--image-size is 40000; give one side, or height and width, in pixels: 1 to 8192."),
        (["--mean", "nan"], "--mean is nan; give three numbers"),
        (["--image-size", -8], "--image-size is -8; give one side"),
        (["--mean", 127], "--mean is 127.0; give three numbers, for red, green and blue, or one for all, in 0..1: divide"),
        (["--std", 1, 1, 0], "--std is 1.0 1.0 0.0; give three numbers"),
        (["--mean", 1, 1, "nan"], "--mean is 1.0 1.0 nan; give three numbers"),
        (["--weights", "a.pth", "b.pth"], "--weights has 2 values for 1 networks: give one for each, in their order."),
        (["--names", "a", "b"], "--names has 2 values for 1 networks"),
        (["--domains", "a", "b"], "--domains has 2 values for 1 networks"),
        (["--folds", 101], "--folds is 101; it must be 1, for none, or 2 to 100"),
        (["--rotate", -1], "--rotate is -1; it must be a whole number"),
        (["--layers", 1, "mdl:dtx"], "Unknown network of mdl 'dtx'"),
        (["--names", "../up"], "The network name '../up' must be made of letters"),
        (["--weights", "nowhere.pth"], "The weights file nowhere.pth does not exist"),
        (["--split", "test"], "Unknown split 'test' in"),
        (["--categories", "colour"], "Unknown category 'colour' in"),
        (["--device", "tpu"], "The device is 'tpu'; it must be cpu, cuda, cuda:N, mps or auto."),
        (["--device", "cuda:99"], "The device is 'cuda:99', but PyTorch sees"),
        (["--batch-size", 0], "--batch-size is 0; it must lie in 1..4096."),
        (["--workers", -1], "--workers is -1; it must lie in 1..256."),
        (["--memory", "nan"], "--memory is nan; it must lie in"),
        (["--memory", "inf"], "--memory is inf; it must lie in"),
        (["--seed", -1], "--seed is -1; it must lie in 0..2^63 - 1."),
        (["--layers", 3], "There is no convolution 3; this network's are numbered 1 to 2."),
        (["--layers", "pointwize"], "No layer of the network is called 'pointwize', or none fires; nearest: pointwise"),
        (["--layers", "spare"], "No layer of the network is called 'spare', or none fires; nearest: "),
        (["--layers", "pair"], "Layer 'pair' gives a tuple, which holds no units for each image"),
        (["--layers", "flat", "--layout", "tokens"], "Layer 'flat' gives a tensor of shape (2, 6) for 2 images, which"),
        (["--layers"], "No layer is chosen"),
        (["--layers", 2, "--ops", "conv"], "Layer '2' has no operator conv; it has depthwise, pointwise."),
    ],
)  # fmt: skip
def test_options_out_of_range(refused, args: list[object], words: str) -> None:
    assert refused(*args, *(() if "--layers" in args else ("--layers", 1, 2))).startswith(words)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("poisoned", "Layer 'depthwise' gives nan for unit 1"),
        ("poisoned,value=inf", "Layer 'depthwise' gives inf for unit 1"),
        ("odd,what=always", "The network fails on images of shape (1, 3, 16, 16) (ZeroDivisionError"),
        ("smal", "has no function 'smal'; nearest: small"),
    ],
)
def test_networks_that_cannot_be_dissected(refused, network: str, words: str) -> None:
    assert words in refused(network=network)


def test_a_network_that_takes_one_image_at_a_time(refused, nets: str) -> None:
    """What listing the layers cannot see: it fails on the first batch."""
    edit(Path(nets), "x.view(1, -1)", "x.expand(1, -1, -1, -1)")
    words = refused(network="odd")
    assert words.startswith("The network fails on images of shape (4, 3, 16, 16) (RuntimeError: ")
    assert "a smaller --batch-size" in words


def test_weights_that_do_not_fit(refused, tmp_path: Path) -> None:
    torch.save({"stem.0.weight": torch.zeros(2)}, tmp_path / "w.pth")
    words = refused("--weights", tmp_path / "w.pth")
    assert words.startswith(f"The weights in {tmp_path / 'w.pth'} do not fit the network: ")
    assert "missing (first: stem.0.bias)" in words and "of another shape (first: stem.0.weight, (2,)" in words


def test_a_network_that_knows_no_channels_last(run) -> None:
    assert run("--layers", 1, network="Volume").status == 0


# Folders


def test_a_folder_that_cannot_be_written(refused, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file/below"):
        words = refused(out=folder)
        assert words.startswith(str(tmp_path / "file")) and "(Not a directory)" in words
    assert (tmp_path / "file").read_text() == "mine"
    assert "(File name too long)" in refused(out=tmp_path / ("x" * 300))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems let no such name be made")
def test_a_folder_whose_name_is_no_text(refused, tiny_broden: Path, tmp_path: Path) -> None:
    words = refused(data=tiny_broden.rename(tmp_path / os.fsdecode(b"r\xff")))
    assert (
        words == "A path has a character that cannot be written (surrogates not allowed): rename that file or folder."
    )


def test_a_folder_of_something_else(refused, out: Path) -> None:
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    for options in ((), ("--overwrite",)):
        words = refused("--layers", 1, *options)
        assert words == f"{out} is not empty and is no run folder: give another one as --out."
        assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_a_folder_made_with_other_settings(run, refused, out: Path, tiny_broden: Path) -> None:
    run("--layers", 1)
    before = stored(out)
    (out / "DONE").rename(out / "DONE.away")  # so that `refused` sees that none is made
    for args, field in {
        ("--layers", 1, "--quantile", 0.9): "settings.quantile = 0.995, this run has 0.9",
        ("--layers", 1, "--union", "touched"): "settings.union = 'category', this run has 'touched'",
        ("--layers", 2): "networks[0].layers",
        ("--layers", 1, "--seed", 1): "networks[0].weights_hash",
        ("--layers", 1, "--domains", "d"): "networks[0].domain = '', this run has 'd'",
        ("--layers", 1, "--split", "val"): "settings.split = None, this run has 'val'",
    }.items():
        words = refused(*args)
        assert words.startswith(f"{out} was made with {field}"), words
        assert words.endswith("give another folder as --out, or --overwrite it.")
    with (tiny_broden / "images/a/one.jpg").open("ab") as file:
        file.write(b"more")
    (out / "DONE.away").rename(out / "DONE")
    assert "data.fingerprint" in run("--layers", 1).err
    assert stored(out) == before


def test_overwrite_replaces_a_run(run, out: Path) -> None:
    run("--layers", 1)
    (out / "report.html").touch()
    (out / ".units.csv.x1y2").write_text("left by a run that was killed")
    said = run("--layers", 2, "--quantile", 0.9, "--overwrite")
    assert said.status == 0 and "already finished" not in said.out
    assert open_run(out).units["layer"].unique().tolist() == ["2"]
    assert not (out / "report.html").exists() and not (out / ".units.csv.x1y2").exists()


@pytest.mark.parametrize("name", ["thesis.txt", "figures-of-mine", "DONE.txt", ".git"])
def test_overwrite_deletes_nothing_where_a_run_shares_its_folder(run, out: Path, name: str) -> None:
    run("--layers", 1)
    before = stored(out)
    (out / name).write_text("mine")
    words = sentence(run("--layers", 2, "--overwrite"))
    assert words.startswith(f"{out} holds {name}, which no run wrote, so --overwrite leaves it alone: move that away")
    assert stored(out) == before and (out / name).read_text() == "mine"


@pytest.mark.parametrize("content", ['{"speed": 3}', "[1]", "not json", ""])
def test_overwrite_deletes_no_folder_with_a_run_json_of_others(refused, out: Path, content: str) -> None:
    out.mkdir()
    (out / "run.json").write_text(content)
    (out / "counts").write_text("mine")
    assert str(out) in refused("--layers", 1, "--overwrite")
    assert ((out / "run.json").read_text(), (out / "counts").read_text()) == (content, "mine")


def test_reports_of_folders_that_are_none(dissect, run, out: Path, tmp_path: Path) -> None:
    assert sentence(dissect("report", tmp_path)).startswith(f"{tmp_path} is no run folder: it has no run.json.")
    run("--layers", 1)
    (out / "DONE").unlink()
    for command in ("report", "export"):
        assert sentence(dissect(command, out)).startswith(f"{out} is not finished: it has no DONE file.")


@pytest.mark.parametrize("n_writes", [0, 1, 2, 3, 5, 7])
def test_a_full_disk(run, out: Path, monkeypatch: pytest.MonkeyPatch, n_writes: int) -> None:
    """A run writes eight files before DONE; whichever finds the disk full, the same command resumes later."""
    real, written = os.fsync, []

    def fsync(handle: int) -> None:
        if len(written) == n_writes:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(handle)
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        words = sentence(run(), out)
    assert words == "The disk of the output folder is full: free some space and give the same command again to resume."
    assert not list(out.rglob(".*")), "half-written files are left"
    assert run().status == 0
    assert open_run(out).units["network"].unique().tolist() == ["small"]

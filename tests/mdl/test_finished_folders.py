"""Finished result folders: whose weights are lost, whose files are another's, and that two want at once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_domains import make_decathlon
from sharing_cases import one_thread  # noqa: F401
from tiny_decathlon import COMMON, ROW, run, write_decathlon

from data_prep.common.errors import UserError
from data_prep.common.locks import LockedError, locked
from data_prep.decathlon import open_decathlon
from mdl.networks import weight_files
from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.weight_files import load_body, load_domain
from mdl.results import ResultError, read_predictions, read_result, write_predictions, write_result
from mdl.training.feed import cut, ordered_crops, to_input
from mdl.training.finished import _row_root, evaluate_finished, open_finished
from mdl.training.loop import Watch
from mdl.training.one_domain import Setting, pretrain
from mdl.training.pictures import Normalisation, decode
from mdl.training.recipe import load_recipe

BASE = ROW / "base-separable/imagenet12"
CELL = ROW / "pointwise-sharing/imagenet12"
SHARED = ROW / "pointwise-sharing/dtd"
TRAIN = ("decathlon", "--method", "pointwise-sharing", "--domains", "dtd", *COMMON)
EVAL = ("--data", "tiny", "--cache", "cache", "--threads", "1")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write_decathlon(folder / "tiny")
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert run(*TRAIN) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy that a test may damage; in none does a lock stay behind."""
    shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    yield tmp_path / "work"
    assert list((tmp_path / "work").rglob(".lock")) == []


def contents() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in ROW.rglob("*") if path.is_file()}


def test_the_right_classes_come_from_the_domains_own_weights(here: Path) -> None:
    """By hand: the body, the domain's file over it, its normalisation; every test image once."""
    net = MultiDomainNetwork(load_body(BASE / "body.safetensors"), "pointwise-sharing", base_domain="imagenet12")
    network = net.network(load_domain(net, SHARED / "domain.safetensors")).eval()
    images = open_decathlon("tiny").split("dtd", "test")
    rules = open_finished(SHARED).plan.input_rules
    pictures = decode(images, rules)
    pixels = cut(pictures, ordered_crops(pictures, rules, 99))
    normalisation = Normalisation.of(*open_decathlon("tiny").mean_std("dtd"))
    with torch.no_grad():
        classes = network(to_input(pixels, normalisation)).argmax(1).numpy()
    assert read_predictions(SHARED) == dict(zip(images.image_ids.tolist(), classes.tolist(), strict=True))


@pytest.mark.parametrize("args", [("eval", str(SHARED), *EVAL), ("export", str(SHARED), "--out", "x.safetensors")])
def test_a_lost_domain_is_not_replaced_by_its_base(
    here: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...]
) -> None:
    """Nothing is counted, written or exported of another network; the command that made it writes the same file again."""
    file = SHARED / "domain.safetensors"
    before = contents()
    file.unlink()
    capsys.readouterr()
    assert run(*args) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err == (
        f"error: {SHARED} has no domain.safetensors, which holds the network of pointwise-sharing on dtd: run the command that "
        f"made it again, which writes it from the checkpoints there, or copy the file back.\n"
    )
    assert contents() == {path: content for path, content in before.items() if path != file}
    assert not Path("x.safetensors").exists()
    assert run(*TRAIN) == 0 and "epoch" not in capsys.readouterr().err
    assert file.read_bytes() == before[file]
    assert run(*args) == 0


def test_a_lost_base_is_told_and_written_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where the folder of another base network stands beside, whose weights would be taken for its own."""
    shutil.copytree(BASE, ROW / "elsewhere/imagenet12")
    file = ROW / "elsewhere/imagenet12/body.safetensors"
    whole = file.read_bytes()
    file.unlink()
    with pytest.raises(
        ResultError, match=r"imagenet12 has no body.safetensors, which holds the network of base-separable"
    ):
        open_finished(file.parent)
    assert run("pretrain", "--out", str(file.parent), *COMMON) == 0 and "epoch" not in capsys.readouterr().err
    assert file.read_bytes() == whole


def test_a_base_that_is_given_and_not_there_is_told(here: Path) -> None:
    with pytest.raises(UserError, match=r"There is no file none.safetensors"):
        open_finished(CELL, base="none.safetensors")
    assert open_finished(CELL).result.method == "pointwise-sharing"


def test_files_of_another_result_are_told(here: Path) -> None:
    other = Path("other")
    assert run("pretrain", "--out", "other", *COMMON, "seed=1") == 0
    with pytest.raises(ResultError, match="are of different trainings"):
        open_finished(CELL, base=other / "body.safetensors")
    write_result(other, read_result(SHARED))
    with pytest.raises(ResultError, match=r"other has no domain.safetensors"):
        open_finished(other)
    shutil.copy(BASE / "body.safetensors", other / "domain.safetensors")
    with pytest.raises(UserError, match="holds a body, not a domain"):
        open_finished(other)
    shutil.copy(SHARED / "domain.safetensors", other / "domain.safetensors")
    write_result(other, read_result(CELL))
    with pytest.raises(ResultError, match=r"body.safetensors and results.json are of different trainings"):
        open_finished(other)


def test_another_recipe_is_refused_where_the_checkpoints_are_gone(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in SHARED.glob("*st.safetensors"):
        path.unlink()
    assert run(*TRAIN) == 0
    assert run(*TRAIN, "train.lr=0.01") == 2
    assert "dtd holds a run with plan.lr = 0.05, not 0.01" in capsys.readouterr().err


def test_other_data_or_another_base_is_refused_where_the_checkpoints_are_gone(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An older file, which does not tell the images that it was trained on, passes."""
    for path in SHARED.glob("*st.safetensors"):
        path.unlink()
    assert run("pretrain", "--out", "other", *COMMON, "seed=1") == 0
    train = ("train", "--domain", "dtd", "--method", "pointwise-sharing", *COMMON)
    assert run(*train[:5], "--base", "other", *COMMON) == 2
    assert "dtd holds a run with network.shared = " in capsys.readouterr().err
    shutil.copy("tiny/data/dtd/test/000000.jpg", "tiny/data/dtd/test/000001.jpg")
    assert run(*train) == 2
    assert "dtd holds a run with data.fingerprints.test = " in capsys.readouterr().err
    header, tensors = weight_files._read(SHARED / "domain.safetensors", "domain")
    assert header["meta"].pop("fingerprints").keys() == {"train", "val", "test"}
    weight_files._write(SHARED / "domain.safetensors", tensors, header)
    result = json.loads((SHARED / "results.json").read_text())
    assert len(result.pop("base_hash")) == len(result.pop("shared_hash")) == 64
    (SHARED / "results.json").write_text(json.dumps(result))
    (SHARED / "DONE").write_text("")
    assert run(*train) == 0
    assert run("eval", str(SHARED), *EVAL) == 0


def test_an_evaluation_leaves_predictions_as_they_are(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of other images none are written, and none of those there changed, whatever the other data are called."""
    file = SHARED / "predictions.csv"
    shutil.copytree("tiny", "other/tiny")
    annotations = Path("other/tiny/annotations/dtd_test.json")
    annotations.write_text(annotations.read_text().replace("40200001", "40200099"))
    elsewhere = ("eval", str(SHARED), "--data", "other/tiny", "--cache", "cache")

    def told(*args: str) -> str:
        capsys.readouterr()
        assert run(*args) == 0
        return capsys.readouterr().out

    before = contents()
    found = told(*elsewhere)
    assert "note: these are not the test images that the training had, of tiny" in found
    assert f"{file} stays as it is, as it is of other images" in found and contents() == before
    file.unlink()
    assert "is not written, as it would be of other images" in told(*elsewhere) and not file.exists()
    assert told("eval", str(SHARED), *EVAL).endswith(f"predictions: {file}\n")
    assert contents() == before
    there = read_predictions(SHARED)
    write_predictions(SHARED, list(there), [(label + 1) % 3 for label in there.values()], n_classes=3)
    changed = contents()
    assert f"{file} stays as it is; 6 of 6 images have another class there" in told("eval", str(SHARED), *EVAL)
    assert contents() == changed


def test_soft_sharing_by_hand_on_a_network_of_ones_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It takes the row beside it that has this network, in the data's order, and is opened wherever it lies."""
    (here / "own.py").write_text(
        "from torch import nn\n\n\ndef small():\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 8, 1), nn.BatchNorm2d(8),\n"
        "                         nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 7))\n"
    )
    own = ("--network", "own.py:small")
    assert run("decathlon", "--method", "pointwise-sharing", *own, *COMMON) == 0
    row = ROW / "pointwise-sharing-own-small"
    soft = ("train", "--domain", "dtd", "--method", "soft-sharing", *own, "--out", "away/from/here")
    capsys.readouterr()
    assert run(*soft, *COMMON) == 2
    assert "own.py:small has no depthwise convolution in its late third: choose region all" in capsys.readouterr().err
    assert run(*soft, "--options", "region=all", *COMMON) == 0
    result = read_result("away/from/here")
    assert result.options["sources"] == ["imagenet12", "dtd", "svhn"] != sorted(path.name for path in row.iterdir())
    assert result.base_hash == read_result(row / "svhn").base_hash and result.shared_hash != result.base_hash
    assert run("eval", "away/from/here", *own, "--data", "tiny", "--cache", "cache") == 0
    (row / "svhn/domain.safetensors").rename(here / "svhn.safetensors")
    capsys.readouterr()
    assert run("eval", "away/from/here", *own, "--data", "tiny", "--cache", "cache") == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_folder_directly_below_the_root_has_a_place_for_its_base() -> None:
    assert _row_root(Path("/dtd")) == Path("/") == _row_root(Path("/"))


def test_a_folder_in_use_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ("train", "--domain", "dtd", "--method", "pointwise-sharing", *COMMON)
    before = contents()
    with locked(SHARED, "the training of dtd"):
        assert run(*train) == 0  # it is finished: nothing is written
        for args in (("eval", str(SHARED), *EVAL), (*train[:5], "--overwrite", *COMMON)):
            assert run(*args) == 2
            words = capsys.readouterr().err
            assert f"error: {SHARED} is in use by process {os.getpid()} on " in words
            assert "which began the training of dtd there at" in words and "give another folder as " in words
    assert contents() == before


def test_the_second_of_two_trainings_is_told_and_the_first_ends_as_if_alone(tmp_path: Path) -> None:
    """The second call comes in the middle of the first one's second epoch."""
    overrides = ("epochs=2", "batch_size=8", "width.separable=2", "input.resize=18", "input.crop=16", "drops=[]")
    data, refused = make_decathlon(), []

    def setting(**more: object) -> Setting:
        return Setting(data=data, name="fake", recipe=load_recipe("mini", overrides), **more)

    class Second(Watch):
        def step(self, epoch: int, epochs: int, done: int, steps: int) -> None:
            if (epoch, done) == (1, 1):
                for overwrite in (False, True):
                    with pytest.raises(LockedError) as told:
                        pretrain(setting(overwrite=overwrite), tmp_path / "both", "dtd", backbone="separable")
                    refused.append(str(told.value))

    both = pretrain(setting(watch=Second()), tmp_path / "both", "dtd", backbone="separable")
    alone = pretrain(setting(), tmp_path / "alone", "dtd", backbone="separable")
    assert len(refused) == 2 and all("which began the training of dtd there" in words for words in refused)
    assert both.n_correct == alone.n_correct
    for name in ("body.safetensors", "predictions.csv"):
        assert (tmp_path / "both" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    assert not (tmp_path / "both/.lock").exists()


def test_classes_of_another_domain_are_never_written(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a network answers: here one that, for dtd's three classes, says 7."""
    finished, images = open_finished(SHARED), open_decathlon("tiny").split("dtd", "test")
    right = evaluate_finished(finished, images)
    before = contents()
    monkeypatch.setattr(torch.Tensor, "argmax", lambda logits, dim: torch.full((len(logits),), 7))
    assert run("eval", str(SHARED), *EVAL) == 2
    assert contents() == before
    np.testing.assert_array_equal(list(read_predictions(SHARED).values()), right.predicted)

"""The command `mdl`: what it prints, leaves, and says to wrong input. Training runs on a few images made here."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sharing_cases import one_thread  # noqa: F401
from tiny_decathlon import CLASSES, COMMON, ROW, run, write_decathlon

from data_prep.common.errors import UserError
from mdl.results import read_result, write_result

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, one whole row of `pointwise-sharing`, and the cache."""
    folder = tmp_path_factory.mktemp("cli")
    write_decathlon(folder / "tiny")
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert run("decathlon", "--method", "pointwise-sharing", *COMMON) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def here(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(work)
    return work


def test_a_row_leaves_results_that_later_commands_read(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ROW / "pointwise-sharing"
    assert {path.name for path in folder.iterdir()} == set(CLASSES)
    result = read_result(folder / "dtd")
    assert (result.n_classes, result.n_test, result.width, result.backbone) == (3, 6, 2, "separable")
    assert (result.recipe["epochs"], result.recipe["batch_size"], result.trained_on) == (1, 8, "train")
    assert result.cost.n_images_seen == 12
    kinds = {(row.kind, row.domain) for row in result.parameters}
    assert kinds == {("depthwise", "dtd"), ("pointwise", "dtd"), ("bn", "dtd"), ("linear", "dtd"), ("pointwise", "")}
    base = read_result(folder / "imagenet12")
    assert base.n_correct == read_result(ROW / "base-separable/imagenet12").n_correct
    assert {path.name for path in (folder / "dtd").iterdir()} == {
        "results.json", "DONE", "domain.safetensors", "last.safetensors", "best.safetensors", "curve.csv", "curve.png",
        "predictions.csv", "base.json",
    }  # fmt: skip
    assert run("table", str(ROW), "--tables", "2") == 0
    assert "pointwise-sharing" in capsys.readouterr().out
    assert run("score", str(ROW), "--write", "submission.json") == 0
    assert "S = " in capsys.readouterr().out
    assert len(json.loads((here / "submission.json").read_text())) == 18


def test_a_base_network_completes_the_row_of_single_trainings(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As after `mdl pretrain` and `mdl train`: in score, table and submission; one that no row started from is in none."""

    def told(*args: str) -> str:
        capsys.readouterr()
        assert run(*args) == 0
        return capsys.readouterr().out

    base, cell = Path("single/base-separable/imagenet12"), Path("single/pointwise-sharing/dtd")
    shutil.copytree(ROW / "base-separable/imagenet12", base)
    shutil.copytree(ROW / "pointwise-sharing/dtd", cell)
    rows = json.loads(told("score", "single", "--style", "json"))
    assert [(row["system"], row["domain"]) for row in rows] == [
        ("pointwise-sharing on tiny", domain) for domain in ("imagenet12", "dtd", "all")
    ]
    assert [row["domain"] for row in json.loads(told("score", "single", "--domains", "dtd", "--style", "json"))] == [
        "dtd",
        "all",
    ]
    told("score", "single", "--write", "single.json")
    whole = {row["image_id"]: row for row in json.loads((here / "single.json").read_text())}
    assert {number // 10**7 for number in whole} == {4, 6} and len(whole) == 12
    table = told("table", "single", "--tables", "2", "--style", "csv")
    ours = [row for row in csv.DictReader(table.splitlines()) if row["from"] == "tiny"]
    assert [(row["system"], row["ImNet"] != "") for row in ours] == [("pointwise-sharing", True)]
    write_result(base, replace(read_result(base), base_hash="0" * 64))
    for args in (("score", "single"), ("table", "single", "--tables", "2")):
        assert "base-separable" not in told(*args)
    assert "imagenet12 " not in told("score", "single").partition("note")[0]


def test_parameters_agree_with_arithmetic(here: Path) -> None:
    from mdl.networks.sharing.arithmetic import method_rows

    expected = {(r.name, r.count) for r in method_rows("pointwise-sharing", CLASSES, width=2)}
    measured = {(r.name, r.count) for d in CLASSES for r in read_result(ROW / "pointwise-sharing" / d).parameters}
    assert measured == expected


def test_the_same_command_skips_what_is_done(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ROW / "pointwise-sharing/dtd/domain.safetensors"
    before = file.stat().st_mtime_ns
    assert run("decathlon", "--method", "pointwise-sharing", *COMMON) == 0
    assert file.stat().st_mtime_ns == before
    assert "epoch" not in capsys.readouterr().err


def test_other_settings_are_refused_and_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ("train", "--domain", "dtd", "--method", "pointwise-sharing", *COMMON)
    assert run(*args, "lr=0.01") == 2
    error = capsys.readouterr().err
    assert "plan.lr = 0.05, not 0.01" in error
    assert "give another folder, or delete that one to start over" in error


def test_advice_is_not_what_was_just_given(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The base network of a row is kept, so that --overwrite does not help where it is another one."""
    before = (ROW / "base-separable/imagenet12/last.safetensors").read_bytes()
    row = ("decathlon", "--method", "pointwise-sharing", "--overwrite")
    assert run(*row, *COMMON, "seed=3") == 2
    error = capsys.readouterr().err
    assert "base-separable/imagenet12 holds a run with plan.seed = 0, not 3" in error and "--overwrite" not in error
    assert (ROW / "base-separable/imagenet12/last.safetensors").read_bytes() == before


def test_eval_counts_the_same_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("pointwise-sharing/dtd", "pointwise-sharing/imagenet12", "base-separable/imagenet12"):
        result = read_result(ROW / name)
        assert run("eval", str(ROW / name), "--data", "tiny", "--cache", "cache", "--threads", "1") == 0
        told = capsys.readouterr().out
        assert f"{result.n_correct} of {result.n_test} right" in told
        assert "note" not in told


def test_export_is_an_ordinary_network(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch
    from safetensors.torch import load_file

    from mdl.networks.resnet26 import separable_resnet26
    from mdl.training.finished import export_finished, open_finished

    assert run("export", str(ROW / "pointwise-sharing/dtd"), "--out", "dtd.safetensors") == 0
    assert capsys.readouterr().out == (
        "dissect run mdl:separable,width=2,classes=3 --weights dtd.safetensors --out runs/pointwise-sharing-dtd\n"
    )
    network = separable_resnet26(3, width=2).eval()
    network.load_state_dict(load_file("dtd.safetensors"))
    images = torch.randn(2, 3, 18, 18)
    finished = open_finished(ROW / "pointwise-sharing/dtd")
    assert torch.equal(network(images), finished.network(images))
    finished.network.set_submodule("end.relu", torch.nn.Identity())  # as a method that does not fold may leave it
    with pytest.raises(
        UserError, match="separable ResNet-26 computes something else with the weights of pointwise-sharing"
    ):
        export_finished(finished, here / "other.safetensors")
    assert not (here / "other.safetensors").exists()


def test_an_export_tells_how_its_network_wants_images(here: Path, tmp_path: Path) -> None:
    """What the training used: the test's size of `COMMON`, and the statistics of the data set."""
    from safetensors import safe_open

    from data_prep import open_decathlon

    assert run("export", str(ROW / "pointwise-sharing/dtd"), "--out", str(tmp_path / "dtd.safetensors")) == 0
    with safe_open(tmp_path / "dtd.safetensors", "pt") as file:
        told = json.loads(file.metadata()["dissection"])
    mean, std = open_decathlon("tiny").mean_std("dtd")
    assert told == {
        "network": "mdl:separable,width=2,classes=3", "backbone": "separable", "width": 2, "n_classes": 3, "domain": "dtd",
        "input_size": [18, 18], "mean": [float(v) for v in mean], "std": [float(v) for v in std],
        "resize": "shorter side to 18 pixels, centre crop 18, bilinear",
    }  # fmt: skip
    from dissect.models import load_network

    network = load_network(told["network"], weights=tmp_path / "dtd.safetensors")
    assert (network.input_size, list(network.mean), list(network.std)) == ((18, 18), told["mean"], told["std"])
    assert [network.source(what) for what in ("input_size", "mean", "std")] == ["file"] * 3
    assert (network.domain, network.resize, network.notes) == ("dtd", told["resize"], [])


def test_the_base_of_a_result_is_remembered(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trained on a base that lies elsewhere, a result is evaluated and exported without naming it again."""
    base, folder = tmp_path / "elsewhere/base.safetensors", tmp_path / "alone/system/dtd"
    base.parent.mkdir()
    base.write_bytes((ROW / "base-separable/imagenet12/body.safetensors").read_bytes())
    trained = ("train", "--domain", "dtd", "--method", "classifier", "--base", str(base), "--out", str(folder), *COMMON)
    assert run(*trained) == 0
    assert run("eval", str(folder), "--data", "tiny") == 0
    assert run("export", str(folder), "--out", str(tmp_path / "one.safetensors")) == 0
    (tmp_path / "alone").rename(tmp_path / "moved")  # the base stays where it was
    moved = str(tmp_path / "moved/system/dtd")
    assert run("export", moved, "--out", str(tmp_path / "two.safetensors")) == 0
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    base.unlink()
    capsys.readouterr()
    assert run("export", moved, "--out", str(tmp_path / "three.safetensors")) == 2
    assert "give its file as --base" in capsys.readouterr().err


def test_domains_lists_rules(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("domains", "--data", "tiny", "--recipe", "paper") == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert rows["dtd"] == ["dtd", "3", "12", "4", "6", "72", "random", "64", "0.002", "0"]
    assert rows["svhn"] == ["svhn", "2", "12", "4", "6", "72", "centre", "72", "0.0003", "0"]


def test_listings_for_other_programs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*args: str, style: str) -> str:
        assert run(*args, "--style", style) == 0
        return capsys.readouterr().out

    params = {row["kind"]: row for row in json.loads(told("params", style="json"))}
    assert params["all parameters"] == {"kind": "all parameters", "separable": 3169667, "plain": 6071688}
    layers = list(csv.DictReader(told("layers", "--backbone", "plain", style="csv").splitlines()))
    assert [row["layer"] for row in layers] == [str(n) for n in range(1, 26)]
    assert {row["operator"] for row in layers} == {"conv"}
    domains = {row["domain"]: row for row in json.loads(told("domains", "--data", "tiny", style="json"))}
    assert (domains["dtd"]["classes"], domains["dtd"]["train"], domains["dtd"]["test"]) == (3, 12, 6)
    *terms, total = json.loads(told("score", str(ROW), style="json"))
    assert [row["domain"] for row in terms] == list(CLASSES)
    assert total["domain"] == "all" and total["points"] == pytest.approx(sum(row["points"] for row in terms))


def test_whoever_reads_may_stop() -> None:
    """`true` is gone before the first line is written."""
    line = f"{sys.executable} -m mdl.cli table | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_train_and_val_together_are_named(here: Path) -> None:
    args = ("--method", "classifier", "--domain", "dtd", "--out", "both", *COMMON, "train_on=train+val")
    assert run("train", *args) == 0
    result = read_result("both")
    assert (result.trained_on, result.recipe["choose"], result.cost.n_images_seen) == ("train+val", "last", 16)
    assert not (here / "both/best.safetensors").exists()


def test_withheld_labels_leave_predictions_and_count_on_val(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_decathlon(here / "withheld")
    (data / "annotations/dtd_test.json").rename(data / "annotations/dtd_test_stripped.json")
    whole = json.loads((data / "annotations/dtd_test_stripped.json").read_text())
    (data / "annotations/dtd_test_stripped.json").write_text(json.dumps({**whole, "annotations": []}))
    args = ("train", "--method", "classifier", "--domain", "dtd", "--base", str(ROW / "base-separable/imagenet12"))
    common = ("--data", "withheld", *COMMON[2:])
    assert run(*args, "--out", "open", *common) == 0
    result = read_result("open")
    assert (result.split, result.n_test) == ("val", 4)
    assert result.notes == ("The labels of test are withheld: the accuracy is that on val, which chose the epoch.",)
    capsys.readouterr()
    assert run("score", "open") == 0
    assert capsys.readouterr().out.startswith("classifier on withheld, split val\n")
    assert run(*args, "--out", "last", *common, "choose=last") == 0
    assert read_result("last").notes == ("The labels of test are withheld: the accuracy is that on val.",)
    capsys.readouterr()
    assert run(*args, "--out", "both_splits", *common, "train_on=train+val") == 2
    assert "nothing would be left to count on: train with --set train_on=train" in capsys.readouterr().err
    assert not (here / "both_splits").exists()
    assert len((here / "open/predictions.csv").read_text().splitlines()) == 7


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--domain", "dtx", "--method", "classifier"), "dtx"),
        (("--domain", "dtd", "--method", "clasifier"), "Unknown method 'clasifier'.*nearest: classifier"),
        (("--domain", "dtd", "--method", "dan"), "There is no base network in .*base-plain.*mdl pretrain"),
        (("--domain", "dtd", "--method", "classifier", "--options", "rank=3"), "has no option 'rank'"),
        (("--domain", "dtd", "--method", "classifier", "--options", "rank"), "write KEY=VALUE"),
        (("--domain", "imagenet12", "--method", "classifier"), "imagenet12 is the domain that .* was pre-trained on"),
        (("--domain", "dtd", "--method", "soft-sharing"), None),
        (
            ("--domain", "dtd", "--method", "classifier", "--base", "none.safetensors"),
            "There is no file none.safetensors",
        ),
        (("--domain", "dtd", "--method", "classifier", "--device", "tpu"), "The device is 'tpu'"),
    ],
)
def test_wrong_input_is_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], words: str | None
) -> None:
    code = run("train", *args, "--out", "wrong" if words else "soft", *COMMON)
    error = capsys.readouterr().err
    if words is None:
        assert code == 0
        return
    assert code == 2
    assert error.startswith("error: ")
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1
    assert re.search(words, error), error


def test_another_width_or_body_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--domain", "dtd", "--method", "classifier", "--out", "w", *COMMON, "width.separable=3") == 2
    assert "has width 2, the recipe mini says 3" in capsys.readouterr().err
    assert run("pretrain", "--out", "other", *COMMON, "seed=1") == 0
    folder = str(ROW / "pointwise-sharing/dtd")
    assert run("eval", folder, "--data", "tiny", "--base", "other/body.safetensors") == 2
    assert "of another body" in capsys.readouterr().err


def test_classes_that_differ_between_splits_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_decathlon(here / "uneven")
    path = data / "annotations/dtd_val.json"
    table = json.loads(path.read_text())
    table["categories"].append({"id": 4 * 10**7 + 4, "name": "c9", "supercategory": "dtd"})
    path.write_text(json.dumps(table))
    base = str(ROW / "base-separable/imagenet12")
    args = (
        "train",
        "--domain",
        "dtd",
        "--method",
        "classifier",
        "--base",
        base,
        "--out",
        "x",
        "--data",
        "uneven",
        *COMMON[2:],
    )
    assert run(*args) == 2
    assert "The split val of dtd has 4 classes and train has 3" in capsys.readouterr().err


def test_interrupt_exits_130_and_the_same_command_resumes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = (
        "train",
        "--domain",
        "svhn",
        "--method",
        "classifier",
        "--out",
        "stopped",
        *COMMON,
        "epochs=40",
        "choose=last",
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "mdl.cli", *args]
    process = subprocess.Popen(argv, cwd=here, stderr=subprocess.PIPE, text=True, env=environment)
    for _ in range(1200):
        if (here / "stopped/curve.csv").exists() or process.poll() is not None:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130, error
    assert "the same command resumes" in error
    assert "Traceback" not in error
    n_done = len((here / "stopped/curve.csv").read_text().splitlines()) - 1
    assert 0 < n_done < 40
    assert not (here / "stopped/DONE").exists()
    assert run(*args) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "epoch" in line]
    assert len(told) == 40 - n_done
    assert read_result("stopped").cost.epochs == 40


def test_help_ends_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        "pretrain",
        "train",
        "decathlon",
        "eval",
        "export",
        "domains",
        "params",
        "layers",
        "score",
        "table",
    ):
        assert run(command, "--help") == 0
        assert capsys.readouterr().out.rstrip().splitlines()[-1].startswith(f"  mdl {command}")


def test_help_imports_no_torch() -> None:
    code = "import sys; import mdl.cli; print('torch' in sys.modules, 'matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["False", "False"]

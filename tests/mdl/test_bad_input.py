"""Wrong data, mixed-up files and damaged ones, through the command: one sentence, status 2, nothing lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sharing_cases import one_thread  # noqa: F401
from tiny_decathlon import COMMON, ROW, run, write_decathlon

BASE = ROW / "base-separable/imagenet12"
SHARED = ROW / "pointwise-sharing/dtd"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny decathlon and one domain trained on its base network."""
    folder = tmp_path_factory.mktemp("bad")
    write_decathlon(folder / "tiny")
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert run("decathlon", "--method", "pointwise-sharing", "--domains", "dtd", *COMMON) == 0
        assert run("pretrain", "--out", "other", *COMMON, "seed=1") == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def refused(capsys: pytest.CaptureFixture[str], words: str, *args: str) -> None:
    capsys.readouterr()
    code = run(*args)
    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert re.fullmatch(rf"error: [^\n]*{words}[^\n]*\n", told.err), told.err


def train(domain: str = "dtd", *more: str) -> tuple[str, ...]:
    return ("train", "--domain", domain, "--method", "classifier", "--base", str(BASE), "--out", "out", *COMMON, *more)


def annotations(change: Callable[[dict], object], split: str = "train") -> None:
    path = Path(f"tiny/annotations/dtd_{split}.json")
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_tar() -> None:
    with tarfile.open("tiny/data/dtd_train.tar", "w") as tar:
        tar.add("tiny/data/dtd/train", "data/dtd/train")
    half(Path("tiny/data/dtd_train.tar"))


FIRST = Path("tiny/data/dtd/train/000000.jpg")
DATA = {
    "annotation without image": (FIRST.unlink, "image 40000001: 'data/dtd/train/000000.jpg' is not in the folder"),
    "annotation without image entry": (
        lambda: annotations(lambda table: table["images"].pop()),
        "annotation of image 40000012: there is no such image in the file",
    ),
    "image without annotation": (
        lambda: annotations(lambda table: table["annotations"].pop()),
        "image 40000012: the image has no usable annotation",
    ),
    "category out of range": (
        lambda: annotations(lambda table: table["annotations"][3].update(category_id=40000009)),
        "annotation of image 40000004: category_id 40000009 is not in 40000001..40000003",
    ),
    "class count mismatch": (
        lambda: annotations(lambda table: table["categories"].append({"id": 40000004, "name": "c9"}), "test"),
        "The split test of dtd has 4 classes and train has 3",
    ),
    "empty split": (
        lambda: annotations(lambda table: (table["images"].clear(), table["annotations"].clear()), "val"),
        "dtd_val.json holds no image: an empty split cannot be used",
    ),
    "split that is not there": (Path("tiny/annotations/dtd_val.json").unlink, "dtd_val.json is missing"),
    "annotations cut off": (lambda: half(Path("tiny/annotations/dtd_train.json")), "cannot be read as JSON"),
    "tar cut off": (cut_tar, "dtd_train.tar is no whole uncompressed tar"),
    "image cut off": (lambda: half(FIRST), "000000.jpg cannot be read"),
}


@pytest.mark.parametrize("name", DATA)
def test_data_that_cannot_be_trained_on(here: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    damage, words = DATA[name]
    damage()
    refused(capsys, words, *train())
    assert not Path("out").exists()


def test_an_unknown_domain(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "Unknown domain 'dtx'; known: imagenet12, dtd, svhn; nearest: dtd", *train("dtx"))
    refused(capsys, "Unknown domain 'dtx'", "decathlon", "--method", "classifier", "--domains", "dtx", *COMMON)
    refused(capsys, "was trained on tiny: give the folder of that decathlon with --data", "eval", str(SHARED))


def test_bodies_and_domains_mixed_up(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other, domain = "other/body.safetensors", str(SHARED / "domain.safetensors")
    refused(capsys, "holds domain 'dtd' of another body", "eval", str(SHARED), "--data", "tiny", "--base", other)
    refused(capsys, "of another body", "export", str(SHARED), "--out", "x.safetensors", "--base", other)
    refused(capsys, "holds a domain, not a body", "eval", str(SHARED), "--data", "tiny", "--base", domain)
    refused(capsys, "holds a domain, not a body", *train()[:6], domain, *train()[7:])
    assert run(*train()) == 0
    refused(capsys, "out holds a run with network.shared = ", *train()[:6], "other", *train()[7:])
    assert not Path("x.safetensors").exists()
    assert run("eval", "out", "--data", "tiny", "--base", str(BASE / "body.safetensors"), "--cache", "cache") == 0


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (SHARED / "domain.safetensors", "domain.safetensors is no whole safetensors file"),
        (BASE / "body.safetensors", "body.safetensors is no whole safetensors file"),
        (SHARED / "results.json", "results.json cannot be read"),
    ],
)
def test_kept_files_cut_off(here: Path, capsys: pytest.CaptureFixture[str], file: Path, words: str) -> None:
    whole = file.read_bytes()
    half(file)
    evaluate = ("eval", str(SHARED), "--data", "tiny", "--cache", "cache")
    refused(capsys, words, *evaluate)
    file.write_bytes(whole)  # nothing else was touched
    assert run(*evaluate) == 0


@pytest.mark.parametrize("which", ["last", "best"])
def test_a_checkpoint_cut_off(here: Path, capsys: pytest.CaptureFixture[str], which: str) -> None:
    assert run(*train()) == 0
    for name in ("DONE", "results.json"):
        Path("out", name).unlink()
    file = Path("out", f"{which}.safetensors")
    whole, others = file.read_bytes(), {path: path.read_bytes() for path in Path("out").iterdir() if path != file}
    half(file)
    refused(
        capsys,
        rf"The checkpoint out/{which}.safetensors cannot be read .*delete out/last.safetensors and run",
        *train(),
    )
    assert {path: path.read_bytes() for path in others} == others
    file.write_bytes(whole)
    assert run(*train()) == 0 and "epoch" not in capsys.readouterr().err  # resumed, not started over
    half(file)
    Path("out/DONE").unlink()
    Path("out/last.safetensors").unlink()
    assert run(*train()) == 0 and "epoch" in capsys.readouterr().err  # the advice helps
    kept = Path("out/domain.safetensors")
    assert kept.read_bytes() == others[kept]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("soft-sharing", "--options", "region=lat"), "Unknown region 'lat'; known: early, middle, late, all"),
        (
            ("soft-sharing", "--options", "sources=3"),
            "Method soft-sharing has no option 'sources'; its options are region, train",
        ),
        (("soft-sharing", "--backbone", "plain"), "does not work on the plain ResNet-26"),
        (("dan", "--backbone", "separable"), "full controller does not work on the separable ResNet-26"),
        (("dan", "--options", "controler=full"), "has no option 'controler'; .*nearest: controller"),
        (("dan", "--options", "rank"), "'rank' is no option: write KEY=VALUE"),
    ],
)
def test_a_row_is_refused_before_its_base_is_trained(
    here: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], words: str
) -> None:
    refused(capsys, words, "decathlon", "--out", "row", "--method", *args, *COMMON)
    assert not Path("row").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("series-adapters",), "series-adapters does not work on the separable ResNet-26"),
        (
            ("dan", "--backbone", "plain"),
            "dan starts from a base network that is prepared for none: leave --prepare-for out",
        ),
    ],
)
def test_a_base_network_that_no_method_starts_from_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], words: str
) -> None:
    refused(capsys, words, "pretrain", "--out", "prepared", "--prepare-for", *args, *COMMON)
    assert not Path("prepared").exists()

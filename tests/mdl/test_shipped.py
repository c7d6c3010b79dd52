"""The networks that come with the package: how they get there, what loading refuses, and those that are there."""

from __future__ import annotations

import fnmatch
import json
import math
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from real_data import real_data
from shipping_runs import N_CLASSES, NORMALISATION, SIZE, a_body, write_run, write_runs

from data_prep.common.errors import UserError
from data_prep.common.files import file_hash
from data_prep.decathlon import open_decathlon
from data_prep.formats import ClassifiedImages
from mdl.networks.resnet26 import layer_table
from mdl.networks.weight_files import read_meta
from mdl.results import read_predictions
from mdl.scoring.score import wilson
from mdl.shipped import make as shipping
from mdl.shipped.family import build
from mdl.shipped.make import RUNS, ship
from mdl.shipped.reader import WEIGHTS, load_shipped, shipped_networks
from mdl.training.feed import Feed
from mdl.training.loop import evaluate
from mdl.training.pictures import Normalisation, decode
from mdl.training.recipe import Plan

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
NAMES = ("imagenet12", "cifar100-individual", "cifar100", "dtd", "gtsrb", "omniglot", "vgg-flowers")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict]:
    """(runs, the folder shipped from them, the networks as they were saved). To be read only."""
    root = tmp_path_factory.mktemp("tiny")
    networks = write_runs(root / "runs")
    ship(root / "runs", root / "weights")
    return root / "runs", root / "weights", networks


@pytest.fixture
def runs(tiny, tmp_path: Path) -> Path:
    """The runs, to be damaged."""
    return Path(shutil.copytree(tiny[0], tmp_path / "runs"))


@pytest.fixture
def weights(tiny, tmp_path: Path) -> Path:
    """The shipped folder, to be damaged."""
    return Path(shutil.copytree(tiny[1], tmp_path / "weights"))


# Shipping


def test_every_network_comes_out_as_it_went_in(tiny) -> None:
    _, folder, networks = tiny
    images = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    outputs = set()
    for name, saved in networks.items():
        network, facts = load_shipped(name, folder)
        assert not network.training and facts.name == name
        with torch.inference_mode():
            logits = network(images)
            assert torch.equal(logits, saved.eval()(images))
        outputs.add(tuple(logits.flatten().tolist()))
    assert len(outputs) == len(NAMES)


def test_a_loaded_network_is_a_copy(tiny) -> None:
    network, _ = load_shipped("dtd", tiny[1])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    again, _ = load_shipped("dtd", tiny[1])
    assert any(parameter.abs().sum() > 0 for parameter in again.parameters())


def test_facts_come_from_the_results(tiny) -> None:
    facts = shipped_networks(tiny[1])
    assert tuple(facts) == NAMES
    one = facts["cifar100-individual"]
    assert (one.domain, one.method, one.file) == ("cifar100", "individual", "cifar100-individual.safetensors")
    assert (one.n_correct, one.n_test, one.split, one.n_train, one.epochs) == (31, 40, "test", 100, 5)
    assert (one.mean, one.std, one.input_size) == (NORMALISATION["mean"], NORMALISATION["std"], SIZE)
    assert one.accuracy == one.n_correct / 40 and one.recipe["weight_decay"] == 5e-4
    assert facts["imagenet12"].method == "pretrain" and facts["dtd"].recipe["weight_decay"] == 2e-3


def test_nothing_written_names_the_machine_and_twice_is_the_same(tiny, tmp_path: Path) -> None:
    runs, folder, _ = tiny
    ship(runs, tmp_path / "again")
    assert {p.name for p in folder.iterdir()} == {f"{n}.safetensors" for n in NAMES} | {"weights.json", "CARD.md"}
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
        assert str(runs.parent).encode() not in path.read_bytes()


def mix_results(runs: Path) -> None:
    path = runs / "pointwise-sharing/dtd/results.json"
    path.write_text(path.read_text().replace('"lr": 0.05', '"lr": 0.07'))
    (path.parent / "DONE").write_bytes(b"")  # a hash in it would tell


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no base": (lambda runs: shutil.rmtree(runs / "base-separable"), "imagenet12 is no result folder: it has no"),
    "no run": (lambda runs: shutil.rmtree(runs / "individual"), "cifar100 is no result folder: it has no results.json"),
    "unfinished": (lambda runs: (runs / "pointwise-sharing/gtsrb/DONE").unlink(), "gtsrb is not finished"),
    "no weights": (lambda runs: (runs / RUNS["dtd"]).unlink(), "There is no file "),
    "another body": (lambda runs: write_run(runs, "dtd", a_body(1)), "holds domain 'dtd' of another body"),
    "another base": (lambda runs: write_run(runs, "imagenet12", a_body(1)), "holds domain 'cifar100' of another body"),
    "another method": (
        lambda runs: shutil.copy(runs / RUNS["cifar100"], runs / RUNS["cifar100-individual"]),
        "holds a domain of method pointwise-sharing, the network has individual",
    ),
    "another training": (mix_results, "and the results beside it are of different trainings"),
    "no number": (lambda runs: write_run(runs, "omniglot", a_body(), math.nan), "holds a number that is not finite"),
    "a path": (lambda runs: write_run(runs, "gtsrb", a_body(), data="/home/me/data"), "holds a path of this machine"),
    "cut off": (lambda runs: os.truncate(runs / RUNS["vgg-flowers"], 999), "is no whole safetensors file"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_runs_that_are_not_shipped(runs: Path, tmp_path: Path, fault: str) -> None:
    damage, words = REFUSED[fault]
    damage(runs)
    with pytest.raises(UserError) as refused:
        ship(runs, tmp_path / "out")
    assert words in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_too_large_is_refused(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "MAX_BYTES", 60_000)
    with pytest.raises(UserError, match=r"The weights take 0\.\d MB, less than 0 MB may be shipped"):
        ship(tiny[0], tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Loading what is not as it was shipped


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def change_facts(folder: Path, **values: object) -> None:
    listed = json.loads((folder / "weights.json").read_text())
    (folder / "weights.json").write_text(json.dumps({**listed, **values}))


DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no facts": (lambda folder: (folder / "weights.json").unlink(), "The trained networks are not there, "),
    "no file": (lambda folder: (folder / "dtd.safetensors").unlink(), "dtd.safetensors cannot be read (No such file"),
    "one bit": (lambda folder: flip_a_bit(folder / "dtd.safetensors"), "dtd.safetensors have the sha256 "),
    "base, one bit": (lambda folder: flip_a_bit(folder / "imagenet12.safetensors"), "imagenet12.safetensors have the "),
    "no JSON": (lambda folder: (folder / "weights.json").write_text("{"), "weights.json cannot be read ("),
    "a list": (lambda folder: (folder / "weights.json").write_text("[]"), "weights.json cannot be read ("),
    "newer": (lambda folder: change_facts(folder, format=2), "its format is 2, this version reads 1"),
    "other facts": (lambda folder: change_facts(folder, networks=[{"name": "dtd"}]), "an entry lacks or has too much"),
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_damaged_folders(weights: Path, fault: str) -> None:
    damage, words = DAMAGED[fault]
    damage(weights)
    with pytest.raises(UserError) as refused:
        load_shipped("dtd", weights)
    sentence = str(refused.value)
    assert words in sentence and "\n" not in sentence
    assert sentence.endswith("or write its weights again with `python -m mdl.shipped RUNS`.")


def test_other_networks_load_beside_a_damaged_one(weights: Path) -> None:
    flip_a_bit(weights / "dtd.safetensors")
    assert load_shipped("gtsrb", weights)[1].n_classes == N_CLASSES


def test_an_unknown_name_offers_the_nearest(weights: Path) -> None:
    with pytest.raises(UserError, match=r"Unknown shipped network 'gtrsb'; known: imagenet12, .*nearest: gtsrb\."):
        load_shipped("gtrsb", weights)


# Those that are shipped


def test_what_is_shipped_is_what_the_facts_say() -> None:
    facts = shipped_networks()
    assert tuple(facts) == NAMES
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 32_000_000
    for one in facts.values():
        path = WEIGHTS / one.file
        assert file_hash(path) == one.sha256
        header = read_meta(path)
        assert header["meta"]["recipe"] == one.recipe
        assert not {"/", "\\"} & set(json.dumps(header)), f"{path.name} names a path"
        assert header["width"] == one.width and one.n_test > 0 and one.input_size[0] == one.input_size[1]


@pytest.mark.parametrize("name", NAMES)
def test_each_shipped_network_loads(name: str) -> None:
    network, facts = load_shipped(name)
    assert not network.training
    assert sum(parameter.numel() for parameter in network.parameters()) == facts.n_parameters
    with torch.inference_mode():
        logits = network(torch.randn(2, 3, *facts.input_size, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, facts.n_classes) and torch.isfinite(logits).all()
    assert not torch.equal(logits[0], logits[1])


def test_domains_share_the_pointwise_filters_and_nothing_else_of_the_convolutions() -> None:
    base, _ = load_shipped("imagenet12")
    for name in NAMES[1:]:
        network, facts = load_shipped(name)
        same = {
            (layer.operator, layer.number)
            for layer in layer_table(base)
            if torch.equal(base.get_submodule(layer.module).weight, network.get_submodule(layer.module).weight)
        }
        shared = {("pointwise", number) for number in range(1, 25)} if facts.method == "pointwise-sharing" else set()
        assert same == shared, name


def test_the_card_has_every_network_with_its_accuracy_interval_and_hash() -> None:
    card = (WEIGHTS / "CARD.md").read_text(encoding="utf-8")
    for one in shipped_networks().values():
        low, high = wilson(one.n_correct, one.n_test)
        accuracy = f"| {one.n_correct:,} | {100 * one.accuracy:.1f} | {100 * low:.1f} to {100 * high:.1f} |"
        row = next(line for line in card.splitlines() if line.startswith(f"| {one.name} | {one.domain} |"))
        assert row.endswith(accuracy)
        assert f"| {one.file} | {(WEIGHTS / one.file).stat().st_size:,} | {one.n_parameters:,} | {one.sha256} |" in card
    for words in ("for research", "### Limits", "### Recipe: what differs", "mdl decathlon --data DIR --recipe"):
        assert words in card


def test_an_installed_wheel_has_the_data_files() -> None:
    """Every file that is no module lies in a package that is installed, and a pattern takes it."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    patterns = [
        f"{package.replace('.', '/')}/{glob}" for package, globs in config["package-data"].items() for glob in globs
    ]
    files = {
        path.relative_to(ROOT).as_posix()
        for package in {name.split(".")[0] for name in config["packages"]}
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert {f"mdl/shipped/weights/{name}" for name in ("weights.json", "CARD.md", "imagenet12.safetensors")} < files
    assert sorted(f for f in files if not any(fnmatch.fnmatchcase(f, pattern) for pattern in patterns)) == []


# As a family of networks


def test_the_family_builds_what_is_shipped_and_says_what_it_is() -> None:
    network, facts = build("gtsrb"), shipped_networks()["gtsrb"]
    assert (network.input_size, network.mean, network.std) == (facts.input_size, facts.mean, facts.std)
    assert (network.trained, network.domain, network.note, network.weights) == (True, "gtsrb", facts.note, facts.file)
    same, _ = load_shipped("gtsrb")
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), same.parameters(), strict=True))


def test_the_family_builds_untrained_networks_from_a_seed() -> None:
    torch.manual_seed(7)
    network, same, other = (build("plain", width=2, classes=3, **more) for more in ({}, {"seed": 7}, {"seed": 8}))
    assert torch.equal(network.stem.conv.conv.weight, same.stem.conv.conv.weight)
    assert not torch.equal(network.stem.conv.conv.weight, other.stem.conv.conv.weight)
    assert (network.trained, network.domain, network.input_size) == (False, "untrained", (72, 72))
    assert "random weights from seed 7" in network.note and not hasattr(network, "weights")


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("gtrsb", {}, "Unknown network of mdl 'gtrsb'; known: separable, plain, imagenet12, .*nearest: gtsrb"),
        ("gtsrb", {"width": 3}, "mdl:gtsrb is trained and takes no arguments"),
        ("plain", {"depth": 3}, "mdl:plain takes the arguments width, classes and seed .*'depth'"),
    ],
)
def test_networks_that_the_family_does_not_have(name: str, arguments: dict[str, int], words: str) -> None:
    with pytest.raises(UserError, match=words):
        build(name, **arguments)


def test_the_family_is_where_the_installed_package_says() -> None:
    """Found without importing it, so that `dissect` needs to know nothing of `mdl`."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert config["project"]["entry-points"]["multidomain_dissection.networks"] == {"mdl": f"{build.__module__}:build"}


# Against the images


def test_each_network_is_of_the_papers_width() -> None:
    assert {facts.width for facts in shipped_networks().values()} == {64}
    assert all("of the paper's width" not in facts.note for facts in shipped_networks().values())


@dataclass(frozen=True)
class Some:
    """Some images of a split, spread over it."""

    whole: ClassifiedImages
    numbers: np.ndarray

    def __getattr__(self, name: str) -> object:
        return getattr(self.whole, name)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def labels(self) -> np.ndarray:
        return self.whole.labels[self.numbers]

    @property
    def image_ids(self) -> np.ndarray:
        return self.whole.image_ids[self.numbers]

    def read(self, index: int) -> np.ndarray:
        return self.whole.read(int(self.numbers[index]))


TIE = 1e-3
"""Two classes whose logits lie this close (of logits up to about 10) are told apart by rounding: another device may choose the
other one. Of the 3,383 images of the small decathlon, which were counted on a GPU, that is one."""


def check_predictions(name: str, data: Path, run: Path, n_images: int | None) -> None:
    """Every class that the network gives to images of its test split is the one recorded when it was trained.

    n_images: so many, spread over the split; None for all that are there.
    """
    network, facts = load_shipped(name)
    plan, whole = Plan.of(facts.recipe), open_decathlon(data).split(facts.domain, facts.split)
    images = Some(whole, np.unique(np.linspace(0, len(whole) - 1, n_images or len(whole)).astype(int)))
    by_number = read_predictions(run)
    recorded = np.array([by_number[int(number)] for number in images.image_ids])
    pictures, normalisation = decode(images, plan.input_rules), Normalisation(facts.mean, facts.std)
    feed = Feed(pictures, plan.input_rules, normalisation, torch.device("cpu"))
    predicted = evaluate(network, feed).predicted
    assert len(predicted) == len(recorded) == len(images)
    tied = np.flatnonzero(predicted != recorded).tolist()
    for batch in feed.ordered(64) if tied else ():
        with torch.inference_mode():
            logits = network(batch.images)
        for row in set(tied) & set(batch.numbers.tolist()):
            of_row = logits[batch.numbers.tolist().index(row)]
            assert float(of_row[predicted[row]] - of_row[recorded[row]]) < TIE, f"image {images.image_ids[row]}"
    if len(images) == facts.n_test:
        assert int((recorded == pictures.labels).sum()) == facts.n_correct


TRAINED = {
    "imagenet12": "base-separable/imagenet12",
    "cifar100-individual": "individual/cifar100",
    **{domain: f"pointwise-sharing/{domain}" for domain in ("cifar100", "dtd", "gtsrb", "omniglot", "vgg-flowers")},
}


def _data_of(name: str) -> Path:
    """The test images: those that were packed with the networks, else those of the small decathlon."""
    packed = name in ("imagenet12", "cifar100", "cifar100-individual")
    return real_data("trained_wide/decathlon") if packed else real_data("decathlon_mini")


@pytest.mark.parametrize("name", TRAINED)
def test_shipped_networks_give_the_recorded_classes(name: str) -> None:
    check_predictions(name, _data_of(name), real_data(f"trained_wide/runs/{TRAINED[name]}"), 24)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_shipped_networks_give_the_recorded_classes_on_every_image(name: str) -> None:
    check_predictions(name, _data_of(name), real_data(f"trained_wide/runs/{TRAINED[name]}"), None)

"""The command with the trained networks that come with the package, on a tiny set."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import sentence

from dissect.run_store import open_run
from mdl.shipped.reader import shipped_networks


@pytest.fixture
def shipped_run(dissect, tiny_broden: Path, out: Path):
    return lambda *args: dissect("run", *args, "--data", tiny_broden, "--out", out)


def test_without_a_network_the_two_of_the_paper_are_taken(shipped_run, out: Path) -> None:
    said = shipped_run("--layers", 18, 22)
    assert said.status == 0, said
    finished = open_run(out)
    assert [(n["name"], n["domain"], n["model"]) for n in finished.networks] == [
        ("imagenet12", "imagenet12", "mdl:imagenet12"),
        ("cifar100-individual", "cifar100", "mdl:cifar100-individual"),
    ]
    for network in finished.networks:
        facts = shipped_networks()[network["name"]]
        assert network["trained"] is True and network["weights"] == facts.file
        assert (network["mean"], network["std"]) == (list(facts.mean), list(facts.std))
        assert network["input_size"] == list(facts.input_size) and network["n_parameters"] == facts.n_parameters
        assert [(layer["layer"], layer["operator"]) for layer in network["layers"]] == [
            ("18", "depthwise"), ("18", "pointwise"), ("22", "depthwise"), ("22", "pointwise"),
        ]  # fmt: skip
        assert facts.note in finished.info["notes"] and f"note: {facts.note}" in said.out


def test_domains_choose_among_the_trained_networks(shipped_run, out: Path) -> None:
    assert shipped_run("--domains", "omniglot", "cifar100", "--layers", 20, "--ops", "depthwise").status == 0
    units = open_run(out).units
    assert units.groupby("network", sort=False)["domain"].unique().map(list).to_dict() == {
        "omniglot": ["omniglot"],
        "cifar100": ["cifar100"],
    }


def test_with_networks_domains_are_labels(shipped_run, out: Path) -> None:
    networks = ("mdl:dtd", "mdl:separable,width=2")
    assert shipped_run(*networks, "--domains", "cloth", "none", "--layers", 3).status == 0
    assert [(n["name"], n["domain"], n["trained"]) for n in open_run(out).networks] == [
        ("dtd", "cloth", True),
        ("separable", "none", False),
    ]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--domains", "gtrsb"], "Unknown name among --domains 'gtrsb'; known: imagenet12, cifar100-individual, "),
        (["--domains", "dtd", "dtd"], "Two networks are called 'dtd'; give each its own name (--names)."),
        (["--names", "a"], "--names has 1 values for 2 networks"),
        (["mdl:dtx"], "Unknown network of mdl 'dtx'; known: separable, plain, imagenet12, "),
        (["mdl:dtd,width=64"], "mdl:dtd is trained and takes no arguments; mdl:separable takes width, classes"),
        (["mdl:separable,depth=3"], "mdl:separable takes the arguments width, classes and seed ("),
    ],
)
def test_wishes_that_cannot_be_met(shipped_run, out: Path, args: list[str], words: str) -> None:
    said = sentence(shipped_run(*args, "--layers", 18), out)
    assert said.startswith(words)
    assert "Unknown" not in words or said.endswith(("nearest: gtsrb.", "nearest: dtd."))


def test_layers_of_the_base_are_listed_where_no_network_is_named(dissect) -> None:
    told = dissect("layers").out.splitlines()
    facts = shipped_networks()["imagenet12"]
    side = str(facts.input_size[0])
    assert told[0] == f"images: {side} x {side} (library)"
    assert told[1] == f"mean: {' '.join(f'{value:.6g}' for value in facts.mean)} (library)"
    assert told[3] == f"note: {facts.note}"
    rows = [line.split() for line in told[4:]]
    assert rows[1] == ["1", "depthwise", "stem.conv.depthwise", "3", side, "x", side, "channels-first"]
    assert len(rows) == 1 + 50 and told == dissect("layers", "mdl:imagenet12").out.splitlines()
    as_csv = dissect("layers", "--style", "csv")
    assert len(as_csv.out.splitlines()) == 1 + 50 and as_csv.err.splitlines() == told[:4]

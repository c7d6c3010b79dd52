"""What the command says of its networks: weights for some of them, folders by name, paths at home."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from command_line import sentence

from data_prep.common.files import at_home
from dissect.models import load_network
from dissect.run_store import open_run


@pytest.fixture
def weights(nets: str, tmp_path: Path) -> Path:
    torch.save(load_network(f"{nets}:small", seed=5).model.state_dict(), tmp_path / "w.pth")
    return tmp_path / "w.pth"


@pytest.mark.parametrize("form", ["in order", "by network", "by name"])
def test_weights_for_one_of_two_networks(
    dissect: Callable, nets: str, tiny_broden: Path, out: Path, weights: Path, form: str
) -> None:
    given = {"in order": ["-", weights], "by network": [f"{nets}:small={weights}"], "by name": [f"two={weights}"]}[form]
    said = dissect(
        "run", "mdl:separable,width=2", f"{nets}:small", "--names", "one", "two", "--layers", 1, "--data", tiny_broden,
        "--out", out, "--weights", *given,
    )  # fmt: skip
    assert said.status == 0, said
    assert [(n["name"], n["weights"], n["trained"]) for n in open_run(out).networks] == [
        ("one", None, False),
        ("two", "w.pth", True),
    ]
    assert open_run(out).networks[1]["weights_hash"] == load_network(f"{nets}:small", seed=5).weights_hash()


def test_weights_by_name_and_in_order_are_not_mixed(dissect, nets: str, out: Path, weights: Path) -> None:
    said = dissect("run", "mdl:plain", f"{nets}:small", "--out", out, "--weights", f"{nets}:small={weights}", weights)
    assert sentence(said, out).startswith("--weights has a file for a network by name and one without, or two for one")


def test_a_long_list_of_layers_still_names_a_folder(
    dissect, nets: str, tiny_broden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    layers = ["stem.0", "depthwise", "pointwise", "1", "2"]
    made = set()
    for n in (40, 41):
        wanted = [*layers, *["[s]tem.0", "stem.[0]", "*epthwise", "d*pthwis?"] * n]
        said = dissect("run", f"{nets}:small", "--data", tiny_broden, "--layers", *wanted)
        assert said.status == 0, said
        made = {path.name for path in (tmp_path / "runs").iterdir()}
    assert len(made) == 2 and all(len(name) <= 120 for name in made)


def test_home_is_one_place(dissect, nets: str, tiny_broden: Path, weights: Path, monkeypatch, tmp_path: Path) -> None:
    """Quoted, `~` reaches the command; the run is written to the place that the report and export read."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    weights.rename(tmp_path / "home/w.pth")
    tiny_broden.rename(tmp_path / "home/set")
    monkeypatch.chdir(tmp_path)
    args = ["run", f"{nets}:small", "--data", "~/set", "--layers", 1, "--weights", "~/w.pth"]
    assert dissect(*args, "--out", "~/x").status == 0
    assert (tmp_path / "home/x/DONE").exists() and not (tmp_path / "~").exists()
    assert dissect("export", "~/x", "--out", "~/tally").status == 0
    assert list((tmp_path / "home/tally").rglob("tally.csv"))


def test_a_home_of_nobody_is_left_alone() -> None:
    assert at_home("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")


def test_layers_tells_what_the_file_says(dissect, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = load_network("mdl:separable,width=2,classes=3").model.state_dict()
    save_file(state, tmp_path / "w.safetensors", {"dissection": '{"input_size": [36, 36], "mean": [0.5]}'})
    told = dissect(
        "layers", "mdl:separable,width=2,classes=3", "--weights", tmp_path / "w.safetensors"
    ).out.splitlines()
    assert told[:3] == ["images: 36 x 36 (file)", "mean: 0.5 0.5 0.5 (file)", "std: 0.229 0.224 0.225 (default)"]
    assert told[3].startswith("note: Nobody said how the trained network separable wants its images: std is assumed")

"""The examples do what their first lines say."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import data_prep
import dissect
from data_prep.common.errors import UserError
from data_prep.common.user_code import load_file
from data_prep.from_factory import is_factory, labels_from_factory
from dissect.cli import main as dissect_command
from mdl.closed_form import NetworkSize
from mdl.networks.any_body import AnyBody
from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.parameter_rows import parameter_rows
from mdl.networks.resnet26 import layer_table, parameter_counts, separable_resnet26
from mdl.networks.sharing import sharing_method
from mdl.scoring.ledger import by_kind

EXAMPLES = Path(__file__).parents[2] / "examples"
METHOD, LABELS = f"{EXAMPLES / 'sharing_method.py'}:Gains", f"{EXAMPLES / 'label_set.py'}:brightness"


def small_network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU(),
        torch.nn.Conv2d(4, 6, 1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(6, 3),
    )  # fmt: skip


@pytest.mark.parametrize(
    "make", [lambda: separable_resnet26(5, 4), lambda: AnyBody(small_network(), "small", input_size=(8, 8))]
)
def test_the_method_leaves_other_domains_as_they_are(make) -> None:
    net = MultiDomainNetwork(make(), METHOD, base_domain="base")
    net.add("cars", 4)
    images = torch.randn(4, 3, 16, 16)
    before = net(images, "base")
    net.train_domain("cars")
    torch.nn.functional.cross_entropy(net(images), torch.arange(4)).backward()
    gradients = [parameter.grad for _, parameter in net.domain_parameters("cars")]
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
    with torch.no_grad():
        for (_, parameter), gradient in zip(net.domain_parameters("cars"), gradients, strict=True):
            parameter -= 0.1 * gradient
    net.eval()
    assert torch.equal(net(images, "base"), before)
    assert torch.equal(net.export("cars")(images), net(images, "cars"))


@pytest.mark.parametrize("wide_only", [False, True])
def test_the_method_counts_what_it_has(wide_only: bool) -> None:
    net = MultiDomainNetwork(separable_resnet26(None, 4), METHOD, wide_only=wide_only)
    net.add("cars", 4)
    split = sharing_method(METHOD, wide_only=wide_only).split(NetworkSize("separable", 4, 2))
    counted = by_kind(row for row in parameter_rows(net, "cars") if row.domain and row.kind != "linear")
    assert counted == {part.kind: part.count for part in split.own}
    shared = by_kind(row for row in parameter_rows(net, "cars") if not row.domain)
    assert shared == {part.kind: part.count for part in split.shared}
    network = net.network("cars")
    assert layer_table(network) == layer_table(net.body)
    kinds = ("depthwise", "pointwise", "conv")
    assert [parameter_counts(network)[kind] for kind in kinds] == [parameter_counts(net.body)[kind] for kind in kinds]


def test_the_label_set_is_what_it_computes() -> None:
    made = labels_from_factory(LABELS, split="val")
    assert len(made.images) == len(data_prep.open_embedded(split="val").images)
    labels = made.read_labels(3)
    height, width = labels.shape
    grey = np.asarray(Image.open(made.images[3].path).convert("L").resize((width, height)))
    for place, concept in enumerate(made.concepts):
        expected = grey < 60 if concept.name == "dark" else grey > 200
        assert np.array_equal(labels.planes[0] == place, expected)


def test_the_label_set_is_dissected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.import_module("dissect.cli.run"), "report", lambda folders: 0)
    asked = ["run", "mdl:separable,width=4", "--layers", "4", "--ops", "depthwise", "--data", LABELS, "--split", "val"]
    with pytest.raises(SystemExit) as ended:
        dissect_command([*asked, "--image-size", "32", "--out", "run"])
    assert ended.value.code == 0
    run = dissect.open_run(tmp_path / "run")
    assert set(run.concepts["label"]) == {"dark", "bright"}
    assert run.info["data"]["name"] == "brightness"


def test_the_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dissect.scores import SCORES

    monkeypatch.setattr("dissect.scores.SCORES", SCORES)
    score = load_file(EXAMPLES / "score.py")
    try:
        run = score.main("mdl:separable,width=4", "4", tmp_path / "run")
        iou, own = run.iou().to_numpy(), run.scores("tversky").to_numpy()
        assert own.shape == iou.shape and np.isfinite(own).all()
        eligible = run.concepts["eligible"].to_numpy()
        best = np.where(eligible, own, 0).max(1)
        labelled = best > 0
        assert run.units["score"].to_numpy()[labelled] == pytest.approx(best[labelled])
    finally:
        SCORES.pop("tversky", None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def make():\n    return 3", r"returned a int without name, image_root"),
        ("def make():\n    raise ValueError('no disk')", r"cannot be used \(ValueError: no disk\)"),
        ("1 / 0", "cannot be used .ZeroDivisionError"),
        ("def mak():\n    pass", "has no function 'make'; nearest: mak"),
    ],
)
def test_factories_that_are_none(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "sets.py").write_text(text)
    with pytest.raises(UserError, match=words):
        labels_from_factory(f"{tmp_path / 'sets.py'}:make")


def test_what_a_factory_is_not_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="takes no `categories`: leave it out"):
        labels_from_factory(LABELS, categories=["light"])
    with pytest.raises(UserError, match=r"does not exist: write the label set as path/to/file\.py:factory"):
        labels_from_factory(f"{tmp_path}/none.py:make")
    assert not is_factory(str(tmp_path)) and not is_factory("C:/data") and "none" not in sys.modules

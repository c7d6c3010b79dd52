"""Networks that answer differently to the same images are told, and rounding is not taken for it."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from broden_writer import Picture, write_broden
from torch import Tensor, nn
from torch.nn import functional

from data_prep.broden import open_broden
from data_prep.formats import LabelledImages
from dissect.errors import TapError
from dissect.models import Network
from dissect.pipeline import run
from dissect.run_store import Run
from dissect.settings import Execution
from dissect.steadiness import TOLERANCE, SteadyLook, largest_difference
from dissect.taps import tap_layers

pytestmark = pytest.mark.usefixtures("one_thread")


class DropoutLeftOn(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.5, training=True)


class BatchStatistics(nn.BatchNorm2d):
    """Normalises by the batch, in evaluation mode too."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.batch_norm(x, None, None, training=True)


class MinusTheMean(nn.Module):
    """Each image against the others of its batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


AGAIN = "when the network is shown the same images again, as with dropout that is left on"
FEWER = "when the network is shown fewer images at once, as with BatchNorm that normalises by the batch"
VARYING = {
    "dropout": (DropoutLeftOn(), AGAIN),
    "statistics": (BatchStatistics(3), FEWER),
    "mean": (MinusTheMean(), FEWER),
}


@pytest.fixture
def data(tmp_path: Path) -> LabelledImages:
    rng = np.random.default_rng(0)
    pictures = [
        Picture(rng.integers(0, 100 + 15 * n, (8, 8, 3)).astype(np.uint8), (8, 8), whole=[("scene", 1)])
        for n in range(10)
    ]
    return open_broden(write_broden(tmp_path / "set", {"scene": [1]}, pictures))


def dissected(layer: nn.Module, data: LabelledImages, out: Path, **execution: object) -> Run:
    network = Network(name="net", model=nn.Sequential(OrderedDict(layer=layer)), input_size=(8, 8), trained=True)
    return run(network, data, layers="layer", out=out, execution=Execution(device="cpu", **execution))


@pytest.mark.parametrize("batch_size", [4, 10])
@pytest.mark.parametrize("kind", VARYING)
def test_a_network_that_varies_is_refused(kind: str, batch_size: int, data: LabelledImages, tmp_path: Path) -> None:
    layer, words = VARYING[kind]
    with pytest.raises(TapError) as caught:
        dissected(layer, data, tmp_path / "run", batch_size=batch_size)
    sentence = str(caught.value)
    assert (
        sentence.startswith("Layer 'layer' differs by up to ")
        and f" of a unit's largest activation {words}: " in sentence
    )
    assert sentence.endswith("correct the network, or allow it (`allow_varying`).")
    assert not (tmp_path / "run" / "DONE").exists()


@pytest.mark.parametrize("kind", VARYING)
def test_or_dissected_with_a_note_where_that_is_allowed(kind: str, data: LabelledImages, tmp_path: Path) -> None:
    layer, words = VARYING[kind]
    found = dissected(layer, data, tmp_path / "run", allow_varying=True)
    (note,) = [note for note in found.info["notes"] if "steadily" in note]
    assert note.startswith("The network net does not answer steadily: Layer 'layer' differs by up to ")
    assert note.endswith(f"{words}.") and found.info["execution"]["allow_varying"]
    steady = dissected(nn.Identity(), data, tmp_path / "steady", allow_varying=True)
    assert not any("steadily" in note for note in steady.info["notes"])


def test_what_a_resumed_run_was_told_is_not_forgotten(data: LabelledImages, tmp_path: Path) -> None:
    """The first network varies, the second fails once: its resumption does not look at the first one again."""

    class FailsOnce(nn.Module):
        fails = True

        def forward(self, x: Tensor) -> Tensor:
            if self.fails and len(x) > 2:  # no listing of layers
                raise ValueError("not yet")
            return x

    networks = [
        Network(name=name, model=nn.Sequential(OrderedDict(layer=layer)), input_size=(8, 8), trained=True)
        for name, layer in (("first", DropoutLeftOn()), ("second", FailsOnce()))
    ]
    execution = Execution(device="cpu", allow_varying=True)
    with pytest.raises(TapError, match="not yet"):
        run(networks, data, layers="layer", out=tmp_path / "run", execution=execution)
    FailsOnce.fails = False
    found = run(networks, data, layers="layer", out=tmp_path / "run", execution=execution)
    assert [note.split(":")[0] for note in found.info["notes"] if "steadily" in note] == [
        "The network first does not answer steadily"
    ]


def test_a_batch_of_one_is_looked_at_twice(data: LabelledImages, tmp_path: Path) -> None:
    with pytest.raises(TapError, match=AGAIN):
        dissected(DropoutLeftOn(), data, tmp_path / "run", batch_size=1)
    dissected(MinusTheMean(), data, tmp_path / "alone", batch_size=1)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "swin_t"])
def test_rounding_is_no_difference(name: str) -> None:
    """Convolutions of another batch size may round differently; it stays far below the tolerance."""
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(weights=None).to(memory_format=torch.channels_last).eval()
    layer, images = list(dict(model.named_modules()))[-1], torch.randn(8, 3, 64, 64)
    with torch.no_grad():
        whole = model(images)
        parts = torch.cat([model(images[:3]), model(images[3:])])
    assert largest_difference(whole, parts) < TOLERANCE / 10
    seen = []
    steady = SteadyLook(lambda images: seen.append(len(images)) or {layer: model(images).detach()}, allow_varying=False)
    first, second = steady(images)[layer], steady(images)[layer]
    assert torch.equal(first, second) and seen == [
        8,
        8,
        4,
        4,
        8,
    ]  # whole, again, two halves; then only what is asked for


def test_values_that_are_not_finite_are_left_to_those_who_name_them() -> None:
    nan = torch.tensor([[1.0, float("nan"), float("inf")]])
    assert largest_difference(nan, nan) == largest_difference(nan[:, 1:], nan[:, 1:]) == 0
    assert largest_difference(torch.zeros(1, 2), torch.zeros(1, 2)) == 0
    assert largest_difference(torch.zeros(1, 2), torch.ones(1, 2)) == float("inf")


def test_a_unit_is_measured_by_itself(data: LabelledImages, tmp_path: Path) -> None:
    """One huge unit hides nothing; one that is a difference of large values may be rounded as they are."""

    class OneHuge(BatchStatistics):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.tensor([3e5, 0, 0])[:, None, None]

    with pytest.raises(TapError, match=FEWER):
        dissected(OneHuge(3), data, tmp_path / "run")
    ordinary = torch.tensor([[2.0, 1.0, 1e-4], [2.0, 1.0, 1e-4]])
    assert largest_difference(ordinary, ordinary + torch.tensor([0, 0, 1e-6])) < TOLERANCE


def test_the_first_maps_are_those_of_the_whole_batch() -> None:
    """What is looked at again is thrown away."""
    model = nn.Sequential(OrderedDict(layer=nn.Conv2d(3, 4, 3)))
    images = torch.randn(11, 3, 8, 8)
    with tap_layers(model, ["layer"]) as look:
        assert torch.equal(SteadyLook(look, allow_varying=False)(images)["layer"], look(images)["layer"])

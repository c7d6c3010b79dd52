"""Networks that break what a network is expected to do: each ends in one sentence, none in a wrong number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from broden_writer import Picture, write_broden
from comparing import Function
from torch import Tensor, nn

from data_prep.broden import open_broden
from data_prep.common.errors import UserError
from data_prep.formats import LabelledImages
from dissect.layers import list_layers
from dissect.models import Network
from dissect.pipeline import run
from dissect.settings import Execution, Settings

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def data(tmp_path: Path) -> LabelledImages:
    """Eight images; the first four are black."""
    pictures = [
        Picture(np.full((8, 8, 3), 40 * max(n - 3, 0), np.uint8), (8, 8), whole=[("scene", 1)]) for n in range(8)
    ]
    return open_broden(write_broden(tmp_path / "set", {"scene": [1]}, pictures))


@pytest.fixture
def refusal(data: LabelledImages, tmp_path: Path) -> Callable[..., str]:
    """The sentence in which a run over the layer `odd` ends."""

    def call(model: nn.Module | Callable[[Tensor], object], **settings: object) -> str:
        if not isinstance(model, nn.Module):
            model = nn.Sequential(OrderedDict(odd=Function(model)))
        network = Network(name="net", model=model, input_size=(8, 8), mean=(0.0,) * 3, std=(1.0,) * 3, trained=True)
        with pytest.raises(UserError) as caught:
            run(
                network, data, layers="odd", out=tmp_path / "run", settings=Settings(**settings),
                execution=Execution(device="cpu"),
            )  # fmt: skip
        assert not (tmp_path / "run" / "DONE").exists()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return call


def bright(x: Tensor) -> bool:
    """Neither the noise that layers are listed with, nor the first batch."""
    return bool((x > 0).any() and (x >= 0).all())


LISTED = "for {n} images, but was listed with {listed} for each: what a layer gives must not depend on the image or on how many"


@pytest.mark.parametrize(
    ("function", "given", "listed"),
    [
        (lambda x: x.repeat(1, 1, 2, 2) if bright(x) else x, (4, 3, 16, 16), (3, 8, 8)),
        (lambda x: x[:, :, :4] if bright(x) else x, (4, 3, 4, 8), (3, 8, 8)),
        (lambda x: x[:, :2] if bright(x) else x, (4, 2, 8, 8), (3, 8, 8)),
        (lambda x: x[1:] if bright(x) else x, (3, 3, 8, 8), (3, 8, 8)),
        (lambda x: x.repeat(2, 1, 1, 1) if bright(x) else x, (8, 3, 8, 8), (3, 8, 8)),
        (lambda x: x[:, :, :0] if bright(x) else x, (4, 3, 0, 8), (3, 8, 8)),
        (lambda x: x.mean((2, 3))[:, :2] if bright(x) else x.mean((2, 3)), (4, 2), (3,)),
    ],
    ids=["larger", "smaller", "fewer units", "fewer images", "more images", "empty", "vector"],
)
@pytest.mark.parametrize("rotate", [None, 1])
def test_maps_of_another_size_than_listed(refusal, function, given, listed, rotate: int | None) -> None:
    """Larger ones were read beyond their end, smaller ones gave thresholds of cells that were never there."""
    words = refusal(function, rotate=rotate)
    assert words.startswith(f"Layer 'odd' gives a tensor of shape {given} " + LISTED.format(n=4, listed=listed))


def test_another_number_of_axes(refusal) -> None:
    words = refusal(lambda x: x.mean((2, 3)) if bright(x) else x)
    assert words.startswith("Layer 'odd' gives a tensor of shape (4, 3), not (B, U, h, w): give another `layout`")


class OddWords(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class NoException(BaseException):
    pass


def raising(error: BaseException) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        if bright(x):
            raise error
        return x

    return forward


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SystemExit(0), "SystemExit: 0"),
        (SystemExit(), "SystemExit: no reason given"),
        (GeneratorExit(), "GeneratorExit: no reason given"),
        (StopIteration("end"), "StopIteration: end"),
        (RecursionError("deep"), "RecursionError: deep"),
        (MemoryError(), "MemoryError: no reason given"),
        (NoException("odd"), "NoException: odd"),
        (OddWords(), "OddWords: no reason given"),
        (ValueError("two\nlines"), "ValueError: two"),
    ],
)
def test_whatever_a_forward_pass_raises_is_told(refusal, error: BaseException, reason: str) -> None:
    assert refusal(raising(error)) == (
        f"The network fails on images of shape (4, 3, 8, 8) ({reason}): try another `image_size`, a smaller `batch_size`, or "
        f"correct the network."
    )


def test_sys_exit_does_not_end_the_command(dissect, tiny_broden: Path, out: Path, tmp_path: Path) -> None:
    (tmp_path / "leaves.py").write_text(
        "import sys\nfrom torch import nn\n\n\nclass Leaves(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.layer = nn.Conv2d(3, 4, 1)\n\n    def forward(self, x):\n        self.layer(x)\n        sys.exit(0)\n"
    )
    for command in (("layers",), ("run", "--layers", "layer", "--data", tiny_broden, "--out", out)):
        said = dissect(command[0], f"{tmp_path / 'leaves.py'}:Leaves", *command[1:])
        assert said.status == 2 and said.err.startswith("error: The network fails on images of shape (1, 3, ")
        assert "(SystemExit: 0)" in said.err and said.err.count("\n") == 1


def test_a_network_that_catches_every_error_is_stopped_all_the_same(data: LabelledImages, tmp_path: Path) -> None:
    """The pass ends at the last tapped layer, and what it catches is not taken for a failure of the network."""

    class Catches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.odd, self.after = nn.Identity(), nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            try:
                x = self.odd(x)
            except Exception:
                x = -x
            return self.after(x)

    network = Network(name="net", model=Catches(), input_size=(8, 8), mean=(0.0,) * 3, std=(1.0,) * 3)
    found = run(network, data, layers="odd", out=tmp_path / "run", execution=Execution(device="cpu"))
    assert np.float32(found.units["max_activation"].max()) == np.float32(160) / np.float32(255)


def test_a_forward_pass_that_is_a_generator(refusal) -> None:
    class Lazy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.odd = nn.Identity()

        def forward(self, x: Tensor) -> Iterator[Tensor]:
            yield self.odd(x)

    assert (
        refusal(Lazy())
        == "No layer of the network is called 'odd', or none fires; list its layers with `dissect layers`."
    )


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x.to("meta"), "a tensor without values (device meta)"),
        (lambda x: x.to_sparse(), "a tensor stored as torch.sparse_coo"),
        (lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.quint8), "torch.quint8 values"),
        (lambda x: x.to(torch.complex64), "torch.complex64 values"),
        (lambda x: x[:, :, :0], "a tensor of shape (2, 3, 0, 8) for 2 images"),
        (lambda x: (y for y in x), "a generator, which holds no units"),
        (lambda x: None, "a NoneType, which holds no units"),
    ],
    ids=["meta", "sparse", "quantised", "complex", "empty", "generator", "nothing"],
)
@pytest.mark.filterwarnings("ignore")
def test_outputs_that_hold_no_activations(refusal, function, words: str) -> None:
    assert refusal(function).startswith(f"Layer 'odd' gives {words}")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x.to("meta"), "a tensor without values (device meta): load weights into the network"),
        (lambda x: x.to_sparse(), "a tensor stored as torch.sparse_coo; activations must be a plain one."),
        (lambda x: x.long(), "torch.int64 values; activations must be floating point."),
        (lambda x: (x, x), "a tuple, not a tensor: tap a module inside it."),
    ],
)
def test_outputs_that_turn_into_such(refusal, function, words: str) -> None:
    """In the second batch; the first, and the listing, are sound."""
    assert refusal(lambda x: function(x) if bright(x) else x).startswith(f"Layer 'odd' gives {words}")


def test_a_network_without_weights(refusal) -> None:
    with torch.device("meta"):
        model = nn.Sequential(OrderedDict(odd=nn.Conv2d(3, 4, 3)))
    assert "meta" in refusal(model)


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.odd, self.after = nn.Conv2d(3, 4, 3), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.odd(x))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["script", "trace"])
def test_torchscript(refusal, kind: str) -> None:
    plain = Plain().eval()
    model = torch.jit.script(plain) if kind == "script" else torch.jit.trace(plain, torch.zeros(1, 3, 8, 8))
    assert refusal(model).startswith("The network is TorchScript (")
    inside = nn.Sequential(OrderedDict(compiled=model, last=nn.Conv2d(4, 2, 1)))
    assert [layer.module for layer in list_layers(inside, (8, 8))] == ["last"]


@pytest.mark.filterwarnings("ignore")
def test_a_network_of_torch_export(refusal) -> None:
    model = torch.export.export(Plain().eval(), (torch.zeros(2, 3, 8, 8),)).module()
    assert refusal(model).startswith("The network cannot be put in evaluation mode (NotImplementedError: ")


class Viewing(nn.Module):
    """As many write it, which takes images in the usual memory only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.odd = nn.Conv2d(3, 4, 3), nn.Linear(4 * 6 * 6, 5)
        self.register_buffer("scale", torch.rand(2, 3, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.odd(self.conv(x).view(len(x), -1))


@pytest.mark.parametrize("layer", ["odd", "conv"])
def test_a_network_that_fails_in_channels_last_memory(layer: str, data: LabelledImages, tmp_path: Path) -> None:
    """It is dissected in the usual one; and every network lies in memory as before."""
    model = Viewing() if layer == "odd" else Plain()
    before = [(id(tensor), tensor.data_ptr(), tensor.stride()) for tensor in model.state_dict(keep_vars=True).values()]
    network = Network(name="net", model=model, input_size=(8, 8), mean=0, std=1)
    found = run(network, data, layers="odd", out=tmp_path / "run", execution=Execution(device="cpu"))
    images = torch.arange(8).sub(3).clamp(min=0)[:, None, None, None].mul(40 / 255).expand(-1, 3, 8, 8).contiguous()
    with torch.no_grad():
        expected = model.odd(model.conv(images).flatten(1)) if layer == "odd" else model.odd(images).amax((2, 3))
    np.testing.assert_allclose(found.units["max_activation"], expected.amax(0), rtol=1e-4, atol=1e-5)
    assert before == [(id(t), t.data_ptr(), t.stride()) for t in model.state_dict(keep_vars=True).values()]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not torch.backends.quantized.supported_engines[1:], reason="this PyTorch does not quantise")
def test_a_quantised_network(refusal) -> None:
    model = nn.Sequential(OrderedDict(in_=torch.ao.nn.quantized.Quantize(0.1, 0, torch.quint8), odd=nn.Identity()))
    assert refusal(model).startswith("Layer 'odd' gives torch.quint8 values; activations must be floating point")


def test_modules_that_are_made_in_the_forward_pass(refusal) -> None:
    class Dynamic(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            self.odd = nn.Identity()
            return self.odd(x)

    words = refusal(Dynamic())
    assert words.startswith(("No layer of the network is called 'odd'", "Layer 'odd' never fires")), words

"""Checkpoints as other people's trainings leave them: everything fits or is refused in a sentence, and nothing is run."""

from __future__ import annotations

import argparse
import json
import os
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from dissect.errors import ModelError
from dissect.models import Network, load_network
from dissect.weights import load_weights


def model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        OrderedDict(conv1=nn.Conv2d(3, 4, 3), bn1=nn.BatchNorm2d(4), features=nn.Sequential(nn.Conv2d(4, 2, 1)))
    )


STATE = model(1).state_dict()


def loaded(content: object, path: Path, target: nn.Module | None = None, expected: dict[str, Tensor] = STATE) -> str:
    """Load it, see every tensor where it belongs, and return what was told."""
    torch.save(content, path)
    target = target or model(2)
    note = load_weights(target, path).note
    own = target.state_dict()
    assert own.keys() == expected.keys() and all(torch.equal(own[name], tensor) for name, tensor in expected.items())
    return note


def refusal(function: Callable[..., object], *args: object, **options: object) -> str:
    with pytest.raises(ModelError) as caught:
        function(*args, **options)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)
    return str(caught.value)


def behind(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in STATE.items()}


# Names


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "net.", "backbone.", "encoder.", "model.module.x."]
)
def test_a_prefix_is_removed_and_told(tmp_path: Path, prefix: str) -> None:
    note = loaded(behind(prefix), tmp_path / "w.pth")
    assert note.startswith("The names of the weights in w.pth were changed to fit the network: ")
    assert all(part in note.split(": ")[1] for part in prefix.split(".") if part)


def test_names_that_fit_are_told_nothing(tmp_path: Path) -> None:
    assert loaded(STATE, tmp_path / "w.pth") == ""


def test_parallel_features_inside(tmp_path: Path) -> None:
    """torchvision's training of AlexNet and VGG wraps the features only."""
    state = torchvision.models.squeezenet1_1(num_classes=3).state_dict()
    stored = {name.replace("features.", "features.module."): tensor for name, tensor in state.items()}
    target = torchvision.models.squeezenet1_1(num_classes=3)
    assert "'module.' removed" in loaded({"state_dict": stored}, tmp_path / "w.pth", target, state)


def test_a_network_that_is_wrapped_itself(tmp_path: Path) -> None:
    wrapped = nn.Module()
    wrapped.add_module("module", model(2))
    assert "removed" not in loaded(STATE, tmp_path / "w.pth", wrapped, behind("module."))


def test_old_names_of_densenet(tmp_path: Path) -> None:
    network = torchvision.models.DenseNet(growth_rate=4, block_config=(1, 1), num_init_features=8, num_classes=2)
    state = {name: torch.rand_like(t) if t.is_floating_point() else t for name, t in network.state_dict().items()}
    stored = {}
    for name, tensor in state.items():
        for part in ("norm1", "norm2", "conv1", "conv2"):
            name = name.replace(f".{part}.", f".{part[:-1]}.{part[-1]}.") if "denselayer" in name else name
        stored[name] = tensor
    assert any(".norm.1." in name for name in stored)
    assert "norm.1 read as norm1" in loaded(stored, tmp_path / "w.pth", network, state)


def test_lightning_with_more_than_the_network(tmp_path: Path) -> None:
    stored = behind("model.") | {"criterion.weight": torch.ones(2), "head.bias": torch.ones(1)}
    content = {"epoch": 3, "state_dict": stored, "hyper_parameters": argparse.Namespace(lr=0.1), "callbacks": {}}
    note = loaded(content, tmp_path / "last.ckpt")
    assert "'model.' removed" in note
    assert "2 tensors in last.ckpt are no part of the network and were left out (first: criterion.weight)." in note


@pytest.mark.parametrize(
    "key", ["net", "model_state_dict", "state_dict_ema", "ema", "model", "state_dict", "my_own_key", "a.b"]
)
def test_a_state_dict_under_any_key(tmp_path: Path, key: str) -> None:
    content: dict[str, Any] = {"epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}}
    outer, _, inner = key.partition(".")
    content[outer] = {inner: STATE} if inner else STATE
    assert loaded(content, tmp_path / "w.pth") == ""


def test_of_two_that_fit_the_first_is_taken_and_told(tmp_path: Path) -> None:
    other = {name: torch.zeros_like(tensor) for name, tensor in STATE.items()}
    note = loaded({"state_dict_ema": other, "state_dict": STATE}, tmp_path / "w.pth")
    assert note == "w.pth holds weights as state_dict_ema too; state_dict were taken."


def test_that_the_first_does_not_fit_is_told(tmp_path: Path) -> None:
    other = {name: torch.zeros(2) for name in STATE}
    note = loaded({"state_dict": other, "ema": STATE}, tmp_path / "w.pth")
    assert note == "From w.pth the weights under ema were taken: those under state_dict do not fit."


def test_two_networks_side_by_side_are_not_guessed(tmp_path: Path) -> None:
    torch.save(behind("encoder_q.") | behind("encoder_k."), tmp_path / "w.pth")
    assert refusal(load_weights, model(), tmp_path / "w.pth") == (
        f"The weights in {tmp_path / 'w.pth'} fit the network with 'encoder_k.' removed and with 'encoder_q.' removed: "
        f"write those that you mean to a file of their own."
    )


def test_names_that_almost_fit_are_not_peeled(tmp_path: Path) -> None:
    stored = behind("model.")
    del stored["model.bn1.bias"]
    torch.save(stored, tmp_path / "w.pth")
    assert "1 missing (first: bn1.bias)" in refusal(load_weights, model(), tmp_path / "w.pth")
    torch.save(behind("") | behind("ema."), tmp_path / "w.pth")
    assert "unexpected (first: ema.conv1.weight)" in refusal(load_weights, model(), tmp_path / "w.pth")


def test_the_run_tells_what_was_changed(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text("from torch import nn\ndef net(): return nn.Sequential(nn.Conv2d(3, 4, 3))\n")
    torch.save({f"net.{n}": t for n, t in nn.Sequential(nn.Conv2d(3, 4, 3)).state_dict().items()}, tmp_path / "w.pth")
    notes = load_network(f"{tmp_path / 'nets.py'}:net", weights=tmp_path / "w.pth").notes
    assert notes[0] == "The names of the weights in w.pth were changed to fit the network: 'net.' removed."
    assert "input of 224 x 224 and mean and std are assumed" in notes[1]


# What lies beside the tensors


class Config(dict):
    """As configurations of other packages: dicts with a state."""

    def __init__(self, **values: object) -> None:
        super().__init__(values)
        self.flags = {"a": 1}


class Runs:
    ran: ClassVar[list[object]] = []

    def __init__(self, what: object = None) -> None:
        Runs.ran.append(what)

    def __setstate__(self, state: object) -> None:
        Runs.ran.append(state)

    def __reduce__(self) -> tuple[object, ...]:
        return Runs, ("a class of the file was run",), {"state": 1}


@pytest.mark.parametrize(
    "beside",
    [
        argparse.Namespace(lr=0.1, nested=argparse.Namespace(a=1)), np.float64(0.5), np.arange(3), np.dtype("float32"),
        Path("somewhere"), Config(a=Config()), Runs(), defaultdict(list, a=[1]), [Runs(), {Runs(): 1}], {1, 2}, slice(3),
        nn.ReLU(), nn.Linear(2, 3), torch.optim.SGD([torch.ones(1, requires_grad=True)], 0.1), complex(1, 2), range(3), print,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_other_objects_are_read_inert(tmp_path: Path, beside: object) -> None:
    Runs.ran.clear()
    assert loaded({"args": beside, "state_dict": STATE}, tmp_path / "w.pth") == ""
    assert not Runs.ran


def test_a_state_dict_in_a_dict_of_another_kind(tmp_path: Path) -> None:
    mine = Config()
    mine.update(STATE)
    assert loaded({"model": mine}, tmp_path / "w.pth") == ""
    assert loaded(defaultdict(list, STATE), tmp_path / "w.pth") == ""


class Shell:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.folder}/run",)


def test_what_reaches_for_the_system_is_named_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"state_dict": STATE, "extra": Shell(tmp_path)}, path)
    words = refusal(load_weights, model(), path)
    assert words.startswith(
        f"The weights file {path} asks for posix.system, which is not run: where you trust the file, "
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore")
def test_nobody_is_told_to_let_a_file_run(tmp_path: Path) -> None:
    """As PyTorch itself tells for TorchScript."""
    torch.jit.save(torch.jit.script(nn.Conv2d(3, 2, 1)), tmp_path / "w.pth")
    words = refusal(load_weights, model(), tmp_path / "w.pth")
    assert "is TorchScript, a network with its code, which is not run" in words and "weights_only" not in words


def test_an_old_file_names_what_it_asks_for(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"args": argparse.Namespace(), "state_dict": STATE}, path, _use_new_zipfile_serialization=False)
    assert "asks for argparse.Namespace, which is not run" in refusal(load_weights, model(), path)
    torch.save({"module": STATE}, path, _use_new_zipfile_serialization=False)
    load_weights(model(), path)


# Values


@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        (torch.int8, "int8"), (torch.int64, "int64"), (torch.bool, "bool"), (torch.complex64, "complex64"),
        (torch.float8_e4m3fn, "float8_e4m3fn"), (torch.uint8, "uint8"),
    ],
)  # fmt: skip
def test_no_kind_of_number_is_cast_in_silence(tmp_path: Path, dtype: torch.dtype, words: str) -> None:
    path = tmp_path / "w.pth"
    torch.save(STATE | {"conv1.weight": STATE["conv1.weight"].to(dtype)}, path)
    assert refusal(load_weights, model(), path) == (
        f"The weights in {path} have 'conv1.weight' as {words}, the network as float32: a cast would change what they mean, "
        f"so give them as float32."
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floating_point_is_loaded_as_floating_point(tmp_path: Path, dtype: torch.dtype) -> None:
    stored = {name: t.to(dtype) if t.is_floating_point() else t for name, t in STATE.items()}
    expected = {name: t.to(STATE[name].dtype) for name, t in stored.items()}
    assert loaded(stored, tmp_path / "w.pth", expected=expected) == ""


def test_counters_kept_as_an_average(tmp_path: Path) -> None:
    stored = {name: tensor.to(torch.float32) for name, tensor in STATE.items()}
    assert loaded(stored, tmp_path / "w.pth") == ""


ODD: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "sparse": (lambda t: t.to_sparse(), "sparse: make it dense"),
    "meta": (lambda t: t.to("meta"), "without values (on the device meta)"),
    "quantised": (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "quantised: give it in floating point"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ODD)
def test_tensors_that_are_no_plain_numbers(tmp_path: Path, kind: str) -> None:
    change, words = ODD[kind]
    path = tmp_path / "w.pth"
    torch.save(STATE | {"conv1.weight": change(STATE["conv1.weight"])}, path)
    assert refusal(load_weights, model(), path).startswith(f"The weights in {path} have 'conv1.weight' {words}")


class Extra(nn.Conv2d):
    """It keeps something beside its tensors."""

    kept: object = "words"

    def get_extra_state(self) -> object:
        return self.kept

    def set_extra_state(self, state: object) -> None:
        raise AssertionError("never called with what a file holds")


def test_extra_state(tmp_path: Path) -> None:
    network = nn.Sequential(Extra(3, 4, 1))
    state = {name: tensor for name, tensor in network.state_dict().items() if isinstance(tensor, Tensor)}
    for content in (network.state_dict(), state):
        torch.save(content, tmp_path / "w.pth")
        note = load_weights(network, tmp_path / "w.pth").note
        assert note == "The network's extra state (0._extra_state) is its own: it was not read from w.pth."
    before = Network(name="a", model=network).weights_hash()
    network[0].kept = {"other": 1}
    assert Network(name="a", model=network).weights_hash() != before


NETS = """
import torch
from torch import nn


def lazy(): return nn.Sequential(nn.LazyConv2d(4, 3))


def meta():
    with torch.device("meta"):
        return nn.Sequential(nn.Conv2d(3, 4, 3))


class Broken(nn.Conv2d):
    def get_extra_state(self): raise ZeroDivisionError("no")


def broken(): return Broken(3, 4, 3)


def quantised():
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(2, 2)), {nn.Linear})


def sparse():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(2, 2))
    model[1].weight = nn.Parameter(model[1].weight.detach().to_sparse())
    return model
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("lazy", "The network has no '0.weight' yet, its module is lazy: let its factory run it once on an image."),
        ("meta", "The network has '0.weight' without values (on the device meta): load or draw them first."),
        ("broken", "The network does not tell its weights (ZeroDivisionError: no): correct its `state_dict` or"),
        ("quantised", "The network keeps a dtype as '1._packed_params.dtype', as quantised modules do: give it before"),
        ("sparse", "The network has '1.weight' sparse: make it dense with `to_dense()`."),
    ],
)
def test_networks_without_plain_weights(tmp_path: Path, factory: str, words: str) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    assert refusal(load_network, f"{tmp_path / 'nets.py'}:{factory}").startswith(words)


def test_weights_fill_a_lazy_network(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    state = nn.Sequential(nn.Conv2d(3, 4, 3)).state_dict()
    torch.save(state, tmp_path / "w.pth")
    network = load_network(f"{tmp_path / 'nets.py'}:lazy", weights=tmp_path / "w.pth")
    assert torch.equal(network.model[0].weight, state["0.weight"])


# What a safetensors file says of itself


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("{", "is no JSON object (Expecting property name"),
        ("[1]", "is no JSON object (it is a list)"),
        (
            '{"mean": [127, 127, 127]}',
            "has mean = (127, 127, 127); it must be a tuple like (0.485, 0.456, 0.406) of red",
        ),
        (
            '{"input_size": [32]}',
            "has input_size = (32,); it must be a tuple like (224, 224): write its metadata again.",
        ),
        ('{"std": "small"}', "has std = 'small'; it must be"),
    ],
)
def test_metadata_that_cannot_be_meant(tmp_path: Path, said: str, words: str) -> None:
    save_file(STATE, tmp_path / "w.safetensors", {"dissection": said})
    assert words in refusal(load_weights, model(), tmp_path / "w.safetensors")


def test_a_file_that_says_what_it_was_made_for(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"x": torch.ones(1)}, path, {"dissection": json.dumps({"network": "mdl:separable,width=16"})})
    assert "it says that it is of mdl:separable,width=16. Give" in refusal(load_weights, model(), path)

"""Weights from files of every form, refused unless every one fits, and the hash that tells them apart."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dissect.errors import ModelError
from dissect.families import FAMILIES, Family
from dissect.libraries import Built
from dissect.models import Network, load_network
from dissect.network_source import source_hash
from dissect.weights import load_weights


def model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def refusal(*args: object) -> str:
    with pytest.raises(ModelError) as caught:
        load_weights(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "form", ["safetensors", "SAFETENSORS", "state dict", "state_dict in it", "model in it", "module. before each"]
)
def test_weights_in_every_form(tmp_path: Path, form: str) -> None:
    state = model(1).state_dict()
    path = tmp_path / (f"weights.{form}" if form.lower() == "safetensors" else "weights.pth")
    if form.lower() == "safetensors":
        save_file(state, path)
    else:
        nested = {"state_dict in it": {"epoch": 3, "state_dict": state}, "model in it": {"model": state, "step": 1}}
        prefixed = {"module. before each": {f"module.{name}": tensor for name, tensor in state.items()}}
        torch.save((nested | prefixed).get(form, state), path)
    target = model(2)
    load_weights(target, path)
    assert all(torch.equal(target.state_dict()[name], tensor) for name, tensor in state.items())


def test_weights_settle_what_the_family_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(model(5).state_dict(), tmp_path / "w.pth")

    def build(name: str, /) -> Built:
        return Built(name, model(1), {"trained": False, "domain": "untrained", "note": "chance"})

    monkeypatch.setitem(FAMILIES, "toy", Family(build, lambda: ["net"]))
    network = load_network("toy:net", weights=tmp_path / "w.pth")
    assert (network.trained, network.domain, network.note, network.seed) == (True, "", "", None)
    assert network.weights == str(tmp_path / "w.pth")
    assert network.weights_hash() == Network(name="a", model=model(5)).weights_hash()
    assert not network.model.training


def test_counters_of_batches_may_be_missing(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in model(1).state_dict().items() if "num_batches" not in name}
    save_file(state, tmp_path / "w.safetensors")
    target = model(2)
    load_weights(target, tmp_path / "w.safetensors")
    assert all(torch.equal(target.state_dict()[name], tensor) for name, tensor in state.items())


def test_weights_that_do_not_fit_name_the_keys(tmp_path: Path) -> None:
    state = model().state_dict()
    state["head.weight"] = state.pop("0.bias")
    state["1.weight"] = torch.zeros(9)
    path = tmp_path / "w.pth"
    torch.save(state, path)
    target = model(3)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    assert refusal(target, path) == (
        f"The weights in {path} do not fit the network: 1 missing (first: 0.bias); 1 unexpected (first: head.weight); "
        f"1 of another shape (first: 1.weight, (9,) for (4,)). Give the file made for this network."
    )
    assert all(torch.equal(before[name], tensor) for name, tensor in target.state_dict().items())


class Harmful:
    def __reduce__(self) -> tuple:
        return (print, ("a pickle was run",))


def test_a_pickled_object_is_never_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = model(1).state_dict()
    torch.save({"state_dict": state, "extra": Harmful()}, tmp_path / "torch.pth")
    target = model(2)
    load_weights(target, tmp_path / "torch.pth")
    assert all(torch.equal(target.state_dict()[name], tensor) for name, tensor in state.items())
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Harmful()))
    sentence = refusal(model(), tmp_path / "plain.pkl")
    assert sentence.startswith(f"The weights file {tmp_path / 'plain.pkl'} cannot be read (")
    assert sentence.endswith("it must be safetensors, or a plain state dict of tensors.")
    torch.save(model(), tmp_path / "module.pth")
    assert refusal(model(), tmp_path / "module.pth") == (
        f"The weights file {tmp_path / 'module.pth'} holds no state dict of tensors, but a whole Sequential: save "
        f"`model.state_dict()`."
    )
    assert "a pickle was run" not in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("n_bytes", [0, 5, 400])
def test_a_truncated_file(tmp_path: Path, suffix: str, n_bytes: int) -> None:
    path = tmp_path / f"w.{suffix}"
    if suffix == "pth":
        torch.save(model().state_dict(), path)
    else:
        save_file(model().state_dict(), path)
    path.write_bytes(path.read_bytes()[:n_bytes])
    assert refusal(model(), path).startswith(f"The weights file {path} cannot be read (")


@pytest.mark.parametrize(
    "content", [[1, 2], {"epoch": 3}, torch.zeros(3), {1: torch.zeros(3)}, {"state_dict": [torch.zeros(3)]}]
)
def test_a_file_without_a_state_dict(tmp_path: Path, content: object) -> None:
    path = tmp_path / "w.pth"
    torch.save(content, path)
    assert refusal(model(), path) == (
        f"The weights file {path} holds no state dict of tensors: save `model.state_dict()`."
    )


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    assert refusal(model(), path).startswith(f"The weights file {path} does not exist: give")
    assert refusal(model(), tmp_path) == (
        f"The weights file {tmp_path} is a folder: give the file in it that holds the weights."
    )


def test_weights_hash() -> None:
    plain = Network(name="a", model=model())
    digest = plain.weights_hash()
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert replace(plain, name="b", model=model()).weights_hash() == digest

    class Turned(nn.Module):
        """The same names in another order."""

        def __init__(self, parts: nn.Sequential) -> None:
            super().__init__()
            self.add_module("1", parts[1])
            self.add_module("0", parts[0])

    assert Network(name="a", model=Turned(model())).weights_hash() == digest
    for change in (
        lambda m: m[0].weight.data.view(-1)[7].add_(1e-6),
        lambda m: m[1].running_mean.add_(1e-6),
        lambda m: setattr(m[0], "weight", nn.Parameter(m[0].weight.data.reshape(4, 3, 9, 1))),
        lambda m: m[0].to(torch.float64),
        lambda m: m.add_module("2", nn.PReLU()),
    ):
        changed = model()
        change(changed)
        assert Network(name="a", model=changed).weights_hash() != digest


@pytest.mark.filterwarnings("ignore")
def test_hooks_are_part_of_a_network_s_code() -> None:
    plain, doubled, halved, again = (model() for _ in range(4))
    doubled[0].register_forward_hook(lambda _module, _images, output: output * 2)
    halved[0].register_forward_hook(lambda _module, _images, output: output / 2)
    again[1].register_forward_hook(lambda _module, _images, output: output / 2)
    hashes = [source_hash("", each) for each in (plain, doubled, halved, again)]
    assert len(set(hashes)) == 4 and hashes[2] == source_hash("", halved)
    nn.utils.weight_norm(plain[0])  # PyTorch's own
    assert source_hash("", plain) == hashes[0]


def test_weights_hash_of_every_kind_of_tensor() -> None:
    odd = nn.Module()
    for name, tensor in {
        "empty": torch.zeros(0, 3), "flags": torch.tensor(True), "brain": torch.ones(2, dtype=torch.bfloat16),
        "turned": torch.arange(6.0).reshape(2, 3).T, "last": torch.ones(1, 2, 2, 2).to(memory_format=torch.channels_last),
    }.items():  # fmt: skip
        odd.register_buffer(name, tensor)
    assert len(Network(name="a", model=odd).weights_hash()) == 64

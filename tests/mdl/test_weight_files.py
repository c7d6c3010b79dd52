"""Files of bodies and domains: what they hold, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from sharing_cases import CASES, body, images, network, one_thread, train  # noqa: F401

from data_prep.common.errors import UserError
from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.weight_files import body_hash, load_body, load_domain, read_meta, save_body, save_domain

POINTWISE = next(case for case in CASES if case.method == "pointwise-sharing")


@pytest.fixture
def net():
    return network(POINTWISE)


@pytest.fixture
def dtd(net, tmp_path):
    train(net, "dtd", n_steps=1)
    return save_domain(net, "dtd", tmp_path / "dtd.safetensors", {"recipe": "paper", "epochs": 3})


def without_domains(method="pointwise-sharing", seed=0, **options):
    return MultiDomainNetwork(body(seed=seed), method, **options)


@pytest.mark.parametrize("backbone", ["separable", "plain"])
@pytest.mark.parametrize("n_classes", [None, 5])
def test_a_body_goes_round(backbone, n_classes, tmp_path):
    base = body(backbone, n_classes)
    base.dropout.p = 0.25
    path = save_body(base, tmp_path / "new" / "body.safetensors", {"trained_on": "imagenet12"})
    loaded = load_body(path)
    assert torch.equal(loaded(images()), base(images())) and loaded.dropout.p == 0.25 and not loaded.training
    assert not any(tensor.is_meta for tensor in loaded.state_dict().values())
    meta = read_meta(path)
    assert meta["kind"] == "body" and meta["meta"] == {"trained_on": "imagenet12"}
    assert (meta["backbone"], meta["width"], meta["n_classes"]) == (backbone, 4, n_classes)
    assert meta["body_hash"] == body_hash(base) == body_hash(loaded)
    assert [file.name for file in path.parent.iterdir()] == ["body.safetensors"]


def test_a_body_with_series_adapters_goes_round(tmp_path):
    net = MultiDomainNetwork(body("plain"), "series-adapters")
    torch.nn.init.normal_(net.body.stage1[0].conv1.adapter)
    path = save_body(net.body, tmp_path / "body.safetensors")
    assert read_meta(path)["prepared_for"] == "series-adapters"
    assert torch.equal(load_body(path)(images()), net.body(images()))


def test_the_body_hash_leaves_the_head_out_and_nothing_else():
    base = body()
    assert body_hash(base) == body_hash(body(n_classes=None)) == body_hash(body(n_classes=7))
    for name, tensor in base.state_dict().items():
        before = body_hash(base)
        tensor.flatten()[:1] += 1
        assert (body_hash(base) == before) == name.startswith("head."), name


def test_a_domain_file_holds_the_domains_own_tensors_alone(net, dtd):
    with safe_open(dtd, "pt") as file:
        assert set(file.keys()) == set(net.domain_state("dtd"))
    meta = read_meta(dtd)
    assert (meta["kind"], meta["domain"], meta["method"], meta["options"]) == ("domain", "dtd", "pointwise-sharing", {})
    assert (meta["n_classes"], meta["meta"]) == (4, {"recipe": "paper", "epochs": 3})


def test_a_domain_loads_to_the_same_bits_beside_others(net, dtd):
    expected = net(images(), domain="dtd")
    other = without_domains()
    other.add("svhn", 5)
    assert load_domain(other, dtd) == "dtd"
    assert torch.equal(other(images(), domain="dtd"), expected) and other.active == "svhn"


def test_saving_again_replaces_the_file_whole(net, dtd):
    net.network("dtd").head.bias.data += 1
    save_domain(net, "dtd", dtd)
    other = without_domains()
    load_domain(other, dtd)
    assert torch.equal(other(images(), domain="dtd"), net(images(), domain="dtd"))


def test_a_write_that_fails_leaves_the_old_file(net, dtd, monkeypatch):
    before = dtd.read_bytes()
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_domain(net, "svhn", dtd)
    assert dtd.read_bytes() == before and [file.name for file in dtd.parent.iterdir()] == [dtd.name]


# What is refused


def refused(net, path, words):
    before = net.domains, net.active
    with pytest.raises(UserError, match=words):
        load_domain(net, path)
    assert (net.domains, net.active) == before


def test_a_domain_of_another_body_is_refused(dtd):
    refused(without_domains(seed=1), dtd, "domain 'dtd' of another body .*load the body that the domain was trained on")
    changed = without_domains()
    changed.body.end.bn.running_mean[0] += 1e-6
    refused(changed, dtd, "of another body")
    refused(MultiDomainNetwork(body(width=8), "pointwise-sharing"), dtd, "of another body")


def test_a_domain_of_another_method_or_options_is_refused(dtd, tmp_path):
    refused(
        without_domains("classifier+bn"), dtd, "of method pointwise-sharing, the network has classifier\\+bn: build"
    )
    piggyback = network(next(case for case in CASES if case.method == "piggyback" and case.backbone == "separable"))
    path = save_domain(piggyback, "dtd", tmp_path / "piggyback.safetensors")
    refused(without_domains("piggyback"), path, "mask='ternary'.*the network has piggyback .*mask='binary'")


def test_a_domain_that_is_there_already_is_refused(net, dtd):
    refused(net, dtd, "Domain 'dtd' is there already")


@pytest.mark.parametrize("keep", [0, 4, 8, 200, 0.3, 0.9, 0.999])
def test_a_file_cut_off_is_refused(dtd, keep):
    content = dtd.read_bytes()
    n_bytes = int(keep * len(content)) if isinstance(keep, float) else keep
    dtd.write_bytes(content[:n_bytes])
    refused(without_domains(), dtd, "is no whole safetensors file")


def test_a_flipped_bit_is_refused(dtd):
    content = bytearray(dtd.read_bytes())
    content[-100] ^= 1
    dtd.write_bytes(content)
    refused(without_domains(), dtd, "is damaged")


def test_other_files_are_refused(net, dtd, tmp_path):
    refused(without_domains(), tmp_path / "none.safetensors", "There is no file .*none.safetensors")
    refused(without_domains(), tmp_path, "There is no file")
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    refused(without_domains(), tmp_path / "foreign.safetensors", "was not written by mdl")
    base = save_body(net.body, tmp_path / "body.safetensors")
    refused(without_domains(), base, "holds a body, not a domain")
    with pytest.raises(UserError, match="holds a domain, not a body"):
        load_body(dtd)


def edited(path, **changes):
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["mdl"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header.pop("header_hash")  # with it, the change itself would be told
    header.update(changes)
    save_file(tensors, path, {"mdl": json.dumps({k: v for k, v in header.items() if v != "drop"})})


def test_a_header_that_was_changed_is_told(dtd):
    """What the weights were trained with is as much part of the file as they are."""
    content = dtd.read_bytes()
    assert content.count(b"paper") == 1
    dtd.write_bytes(content.replace(b"paper", b"qaper"))
    refused(without_domains(), dtd, "is damaged: its metadata are not those that were written")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 99}, "has format 99; this version reads 1"),
        ({"method": "drop"}, "says nothing about 'method'"),
        ({"n_classes": 7}, r"head\.\w+ of domain 'dtd' has shape"),
        ({"n_classes": "many"}, "n_classes 'many' is no number of classes"),
        ({"domain": "../x"}, "Domain name '../x' is not usable"),
    ],
)
def test_a_domain_file_with_a_wrong_header_is_refused(dtd, changes, words):
    edited(dtd, **changes)
    refused(without_domains(), dtd, words)


@pytest.mark.parametrize("changes", [{"width": 8}, {"width": "x"}, {"backbone": "vgg"}, {"width": "drop"}])
def test_a_body_file_with_a_wrong_header_is_refused(changes, tmp_path):
    path = save_body(body(), tmp_path / "body.safetensors")
    edited(path, **changes)
    with pytest.raises(UserError, match="describes no body that this version can build"):
        load_body(path)


def test_wrong_things_to_save(net, tmp_path):
    with pytest.raises(UserError, match="is the shared body itself; store it with save_body"):
        save_domain(net, "imagenet12", tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="is no JSON"):
        save_domain(net, "dtd", tmp_path / "x.safetensors", {"net": net})
    with pytest.raises(UserError, match="Unknown domain"):
        save_domain(net, "cifar", tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())

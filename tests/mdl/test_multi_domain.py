"""The interface of a multi-domain network: add, switch, remove, train and export, by name."""

from __future__ import annotations

import copy

import pytest
import torch
from sharing_cases import CASES, Case, body, images, network, one_thread, snapshot, train  # noqa: F401
from torch import nn

from data_prep.common.errors import UserError
from mdl.networks.multi_domain import MultiDomainNetwork

POINTWISE = next(case for case in CASES if case.method == "pointwise-sharing")


@pytest.fixture
def net():
    return network(POINTWISE)


def test_the_active_domain_answers_and_using_switches_for_a_block_only(net):
    assert net.domains == ("imagenet12", "dtd", "svhn") and net.active == "imagenet12"
    by_name = {name: net(images(), domain=name) for name in net.domains}
    assert [len(rows[0]) for rows in by_name.values()] == [5, 4, 5]
    net.switch("dtd")
    assert torch.equal(net(images()), by_name["dtd"])
    with net.using("svhn") as active:
        assert active is net.network("svhn") and torch.equal(net(images()), by_name["svhn"])
    assert net.active == "dtd"
    with pytest.raises(RuntimeError, match="inside"), net.using("svhn"):
        raise RuntimeError("inside")
    assert net.active == "dtd"


def test_the_base_domain_is_the_body_with_its_head():
    base = body()
    expected = base(images())
    net = MultiDomainNetwork(base, "classifier+bn", base_domain="imagenet12")
    assert torch.equal(net(images()), expected) and net.domain_parameters("imagenet12") == []
    with pytest.raises(UserError, match=r"'imagenet12' is the shared body itself.*pre-train"):
        net.train_domain("imagenet12")


def test_removing_a_domain_leaves_no_trace_of_it(net):
    expected = net(images(), domain="svhn")
    net.switch("dtd")
    net.remove("dtd")
    assert net.domains == ("imagenet12", "svhn") and net.active is None
    assert torch.equal(net(images(), domain="svhn"), expected)
    assert not any("dtd" in name for name in net.state_dict())
    with pytest.raises(UserError, match="No domain is active; switch to one of imagenet12, svhn"):
        net(images())
    net.add("dtd", 4)
    assert torch.equal(net.domain_state("dtd")["head.weight"], network(POINTWISE).domain_state("dtd")["head.weight"])


def test_train_puts_only_the_active_domains_own_parts_in_train_mode(net):
    net.train_domain("dtd")
    assert net.active == "dtd" and net.training
    dtd = net.network("dtd")
    assert all(module.training for module in dtd.modules() if isinstance(module, nn.BatchNorm2d | nn.Dropout))
    assert not any(module.training for name in ("svhn", "imagenet12") for module in net.network(name).modules())
    assert not any(module.training for module in net.body.modules())
    net.eval()
    assert not any(module.training for module in net.modules())
    net.train()
    assert net.training and dtd.end.bn.training and not net.network("svhn").end.bn.training
    net.switch("svhn")
    net.train()
    assert net.network("svhn").end.bn.training and not dtd.end.bn.training


@pytest.mark.parametrize("method", ["classifier", "piggyback"])
def test_shared_batch_normalisation_keeps_its_statistics_whatever_train_is_called(method):
    net = network(Case(method, "separable", ""))
    before = snapshot(net.body)
    net.train_domain("dtd")
    net.train()
    nn.Sequential(net).train()[0](images())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.body.state_dict().items())


def test_dropout_belongs_to_the_domain():
    net = MultiDomainNetwork(body(), "classifier")
    net.add("dtd", 4)
    net.add("gtsrb", 4, dropout=0.5)
    expected = net(images(), domain="gtsrb")
    for name, steady in (("dtd", True), ("gtsrb", False)):
        net.train_domain(name)
        torch.manual_seed(0)
        assert torch.equal(net(images()), net(images())) == steady
    assert torch.equal(net.eval()(images(), domain="gtsrb"), expected)


def test_a_domain_state_goes_round_and_nothing_else_is_in_it(net):
    train(net, "dtd")
    expected, state = net(images(), domain="dtd"), {k: t.clone() for k, t in net.domain_state("dtd").items()}
    n_norms = sum(isinstance(module, nn.BatchNorm2d) for module in net.body.modules())
    assert len(state) == 25 + 1 + 5 * n_norms + 2  # depthwise, pointwise 25, BatchNorm with statistics, head
    train(net, "dtd")
    assert not torch.equal(net(images(), domain="dtd"), expected)
    net.load_domain_state("dtd", state)
    assert torch.equal(net(images(), domain="dtd"), expected)


def test_a_state_that_does_not_fit_changes_nothing(net):
    state, before = {k: t.clone() + 1 for k, t in net.domain_state("dtd").items()}, snapshot(net)
    with pytest.raises(UserError, match=r"only one of them has is head.bias"):
        net.load_domain_state("dtd", {name: tensor for name, tensor in state.items() if name != "head.bias"})
    with pytest.raises(UserError, match=r"head\.\w+ of domain 'svhn' has shape"):
        net.load_domain_state("svhn", state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_sharing_survives_a_copy_and_a_change_of_type(net):
    copied = copy.deepcopy(net).double()
    assert copied.network("dtd").stage1[0].conv1.pointwise is copied.body.stage1[0].conv1.pointwise
    assert set(copied.domain_state("dtd")) == set(net.domain_state("dtd"))
    torch.testing.assert_close(copied(images().double(), "dtd").float(), net(images(), "dtd"), rtol=1e-4, atol=1e-5)
    copied.add("ucf101", 3)
    assert copied(images().double(), "ucf101").dtype == torch.float64


def test_bodies_without_a_head_work_the_same():
    with_head, without = network(POINTWISE), MultiDomainNetwork(body(n_classes=None), "pointwise-sharing")
    without.add("dtd", 4, seed=0)
    assert torch.equal(without(images()), with_head(images(), domain="dtd"))


# Wrong input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("dtd", 4), "Domain 'dtd' is there already; remove it first"),
        (("a.b", 4), "Domain name 'a.b' is not usable"),
        (("", 4), "Domain name '' is not usable"),
        ((3, 4), "Domain name 3 is not usable"),
        (("new", 0), "n_classes 0 is no number of classes"),
        (("new", True), "n_classes True is no number of classes"),
        (("new", "4"), "n_classes '4' is no number of classes"),
        (("new", 4, 1.0), "Dropout 1.0 is not usable"),
        (("new", 4, 0.0, -1), "Seed -1 is not usable"),
    ],
)
def test_a_domain_that_cannot_be_added_changes_nothing(net, arguments, words):
    before = net.domains
    with pytest.raises(UserError, match=words):
        net.add(*arguments)
    assert net.domains == before


@pytest.mark.parametrize("name", ["train", "items", "forward", "body"])
def test_a_domain_may_have_the_name_of_a_method(net, name):
    net.add(name, 3)
    assert net(images(), domain=name).shape == (3, 3) and name in net.domains


@pytest.mark.parametrize(
    "ask",
    [
        lambda net: net.switch("dtdd"),
        lambda net: net.remove("dtdd"),
        lambda net: net.export("dtdd"),
        lambda net: net.train_domain("dtdd"),
        lambda net: net(images(), domain="dtdd"),
        lambda net: net.using("dtdd").__enter__(),
    ],
)
def test_an_unknown_domain_offers_the_nearest(net, ask):
    with pytest.raises(UserError, match="Unknown domain 'dtdd'; known: imagenet12, dtd, svhn; nearest: dtd"):
        ask(net)


def test_wrong_bodies():
    with pytest.raises(UserError, match="The body is a Linear; give a ResNet26"):
        MultiDomainNetwork(nn.Linear(2, 2), "classifier")
    with pytest.raises(UserError, match="Base domain 'imagenet12' needs a body with a head"):
        MultiDomainNetwork(body(n_classes=None), "classifier", base_domain="imagenet12")
    with pytest.raises(UserError, match=r"No domain is active; switch to one of \(none added yet\)"):
        MultiDomainNetwork(body(), "classifier")(images())

"""Soft sharing: the gates' formula and size, what trains, and that the sources stay as they are."""

from __future__ import annotations

import re

import pytest
import torch
from sharing_cases import BN, BUILDERS, body, images, one_thread, perturb, snapshot, train  # noqa: F401
from torch import nn

from data_prep.common.errors import UserError
from dissect.layers import list_layers
from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.resnet26 import layer_table, separable_resnet26
from mdl.networks.weight_files import load_domain, save_domain

NUMBERS = {"early": range(1, 10), "middle": range(10, 18), "late": range(18, 26), "all": range(1, 26)}
GATE = r"(stem\.conv|stage\d\.\d\.conv\d)\.depthwise\.gate\.(0|2)\.(weight|bias)"


@pytest.fixture
def sources():
    net = MultiDomainNetwork(body(), "pointwise-sharing", base_domain="imagenet12")
    for seed, name in enumerate(("dtd", "svhn")):
        net.add(name, 4, seed=seed)
        perturb(net.network(name), 10 + seed)
        for site in net.network(name).conv_sites():
            nn.init.normal_(site.module.depthwise.weight, generator=torch.Generator().manual_seed(site.number + seed))
    return net


def soft_network(sources, *domains, **options):
    net = MultiDomainNetwork(sources.body, "soft-sharing", sources=sources, **options)
    for seed, name in enumerate(domains):
        net.add(name, 4, seed=seed)
    return net


def test_the_gates_of_all_25_placements_have_649_344_parameters_with_ten_domains():
    sources = MultiDomainNetwork(separable_resnet26(2), "pointwise-sharing", base_domain="imagenet12")
    for i in range(9):
        sources.add(f"domain{i}", 2)
    expected = {"early": 0, "middle": 0, "late": 0, "all": 649_344}
    for number, channels in enumerate([3, 64] + 8 * [128] + 8 * [256] + 7 * [512], start=1):
        hidden = channels // 4 + 1
        region = next(name for name in ("early", "middle", "late") if number in NUMBERS[name])
        expected[region] += (channels + 1) * hidden + (hidden + 1) * 10
    assert sum(expected.values()) == 2 * 649_344
    for region, n_parameters in expected.items():
        net = MultiDomainNetwork(sources.body, "soft-sharing", sources=sources, region=region)
        net.add("domain3", 2)
        assert sum(parameter.numel() for _, parameter in net.domain_parameters("domain3")) == n_parameters, region
    released = MultiDomainNetwork(sources.body, "soft-sharing", sources=sources, region="all", train="released")
    released.add("domain3", 2)
    counted = sum(parameter.numel() for _, parameter in released.domain_parameters("domain3"))
    assert counted == 649_344 + 15_488 + 512 * 512 + 2 * 513


@pytest.mark.parametrize("number", [1, 2, 20])
def test_a_gated_convolution_is_the_weighed_sum_of_the_domains_convolutions(sources, number):
    net = soft_network(sources, "dtd", region="all")
    gated = list(net.network("dtd").conv_sites())[number - 1].module.depthwise
    squeeze, _, spread, _ = gated.gate
    nn.init.constant_(squeeze.bias, 1.0)  # so that no ReLU is shut: the stem's gate has one
    x = torch.randn(3, gated.in_channels, 7, 7, generator=torch.Generator().manual_seed(0))
    hidden = (x.mean(dim=(2, 3)) @ squeeze.weight.T + squeeze.bias).clamp(min=0)
    shares = torch.exp(hidden @ spread.weight.T + spread.bias)
    shares = shares / shares.sum(dim=1, keepdim=True)
    expected = 0
    for d, name in enumerate(sources.domains):
        own = list(sources.network(name).conv_sites())[number - 1].module.depthwise
        expected = expected + shares[:, d, None, None, None] * own(x)
    torch.testing.assert_close(gated(x), expected)
    assert shares.std(dim=0).max() > 1e-4  # the gate tells images apart


@pytest.mark.parametrize("region", NUMBERS)
def test_a_region_gates_its_convolutions_and_no_others(sources, region):
    net = soft_network(sources, "dtd", region=region)
    gated = [site.number for site in net.network("dtd").conv_sites() if hasattr(site.module.depthwise, "gate")]
    assert gated == list(NUMBERS[region])


def test_a_gate_that_is_sure_of_its_own_domain_gives_that_domains_output(sources):
    net = soft_network(sources, "svhn", region="all")
    for site in net.network("svhn").conv_sites():
        spread = site.module.depthwise.gate[2]
        with torch.no_grad():
            spread.weight.zero_()
            spread.bias.copy_(torch.tensor([0.0, 0.0, 200.0]))  # the third of the sources' domains
    torch.testing.assert_close(net(images()), sources(images(), domain="svhn"), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("training", ["gate", "released"])
def test_gradients_reach_the_gates_alone_or_what_the_released_code_trains(sources, training):
    net = soft_network(sources, "dtd", "svhn", region="all", train=training)
    others = r"-" if training == "gate" else rf"{BN}|head\..*|stage3\.3\.conv2\.pointwise\.weight"
    expected = {name for name, _ in net.network("dtd").named_parameters() if re.fullmatch(f"{GATE}|{others}", name)}
    assert set(dict(net.domain_parameters("dtd"))) == expected and len(expected) >= 100
    of_sources, of_svhn = snapshot(sources), net.eval()(images(), domain="svhn")
    before = net(images(), domain="dtd")
    train(net, "dtd")
    assert not torch.equal(net(images(), domain="dtd"), before)
    assert torch.equal(net(images(), domain="svhn"), of_svhn)
    assert all(torch.equal(tensor, of_sources[name]) for name, tensor in sources.state_dict().items())
    own = {id(parameter) for _, parameter in net.domain_parameters("dtd")}
    for name, parameter in net.named_parameters():
        assert (parameter.grad is not None) == (id(parameter) in own) == parameter.requires_grad, name
    for name, parameter in net.domain_parameters("dtd"):
        assert parameter.grad.abs().max() > 0 or ".gate." in name, name  # the ReLU of a small gate may be shut


def test_an_export_gives_the_same_bits_is_numbered_and_has_no_link(sources):
    net = soft_network(sources, "dtd", region="late")
    expected, exported = net(images(), domain="dtd"), net.export("dtd")
    numbered = [layer for layer in list_layers(exported, (16, 16)) if layer.label != layer.module]
    rows = layer_table(BUILDERS["separable"](None, width=4))
    assert [(int(layer.label), layer.operator, layer.module) for layer in numbered] == [
        (row.number, row.operator, row.module) for row in rows
    ]
    with torch.no_grad():
        for tensor in [*net.state_dict().values(), *sources.state_dict().values()]:
            tensor.zero_()
    assert torch.equal(exported(images()), expected)


def test_a_file_holds_the_gates_alone_and_asks_for_the_same_sources(sources, tmp_path):
    net = soft_network(sources, "dtd", region="all")
    expected = net(images(), domain="dtd")
    path = save_domain(net, "dtd", tmp_path / "dtd.safetensors")
    assert path.stat().st_size < 4 * sum(parameter.numel() for _, parameter in net.domain_parameters("dtd")) + 15_000
    again = soft_network(sources, region="all")
    load_domain(again, path)
    assert torch.equal(again(images(), domain="dtd"), expected)
    sources.network("svhn").stage3[0].conv1.depthwise.weight.data += 1
    with pytest.raises(UserError, match="of another body"):
        load_domain(soft_network(sources, region="all"), path)
    with pytest.raises(UserError, match=r"region='all'.*the network has soft-sharing .*region='late'"):
        load_domain(soft_network(sources, region="late"), path)


def test_wrong_sources_and_domains_say_what_to_give(sources):
    with pytest.raises(UserError, match=r"Unknown region 'lat'; .*nearest: late"):
        soft_network(sources, region="lat")
    with pytest.raises(UserError, match=r"Unknown train 'gates'; .*nearest: gate"):
        soft_network(sources, train="gates")
    with pytest.raises(UserError, match="got method classifier with 0 domains; give `sources`"):
        soft_network(MultiDomainNetwork(body(), "classifier"))
    with pytest.raises(UserError, match="got method pointwise-sharing with 0 domains"):
        soft_network(MultiDomainNetwork(body(), "pointwise-sharing"))
    with pytest.raises(UserError, match=r"not that of its `sources`; give `sources.body`"):
        MultiDomainNetwork(body(), "soft-sharing", sources=sources)
    with pytest.raises(UserError, match=r"does not work on the plain ResNet-26: .*no depthwise filters to mix"):
        MultiDomainNetwork(body("plain"), "soft-sharing", sources=sources)
    net = soft_network(sources)
    with pytest.raises(UserError, match=r"Unknown domain of the sources 'svnh'; .*nearest: svhn"):
        net.add("svnh", 4)
    with pytest.raises(UserError, match="Domain 'svhn' has 4 classes in the sources, not 5"):
        net.add("svhn", 5)
    assert net.domains == ()

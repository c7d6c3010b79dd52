"""Every sharing method: what it trains, what it leaves alone, how it starts, what it exports, what it costs."""

from __future__ import annotations

import pytest
import torch
from sharing_cases import BUILDERS, CASES, Case, body, images, network, one_thread, snapshot, train  # noqa: F401
from torch import nn

from data_prep.common.errors import UserError
from dissect.layers import list_layers
from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.parameter_rows import parameter_rows
from mdl.networks.resnet26 import layer_table
from mdl.networks.sharing import METHODS, sharing_method
from mdl.networks.sharing.arithmetic import method_rows
from mdl.networks.sharing.systems import read_system, system_name
from mdl.networks.weight_files import load_body, load_domain, save_body, save_domain
from mdl.published import PAPER_ROWS
from mdl.scoring.ledger import by_kind, own_parameters

each_method = pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)


@torch.no_grad()
def outputs(net, domain):
    return net.eval()(images(), domain=domain)


# What every method promises


def test_every_registered_method_has_a_case():
    assert {case.method for case in CASES} == {name for name, method in METHODS.items() if not method.made_from}


@each_method
def test_adding_and_training_a_domain_leaves_the_others_bit_identical(case):
    net = network(case)
    before = {name: outputs(net, name) for name in net.domains}
    state, own = snapshot(net), {id(tensor) for tensor in net.domain_state("dtd").values()}
    train(net, "dtd")
    net.add("ucf101", 4)
    train(net, "ucf101", n_steps=1)
    net.remove("ucf101")
    for name in ("imagenet12", "svhn"):
        assert torch.equal(outputs(net, name), before[name]), name
    assert not torch.equal(outputs(net, "dtd"), before["dtd"])
    for name, tensor in net.state_dict(keep_vars=True).items():
        assert id(tensor) in own or torch.equal(tensor, state[name]), name


@each_method
def test_gradients_reach_exactly_what_the_method_trains(case):
    net = network(case)
    parameters = dict(net.domain_parameters("dtd"))
    expected = {name for name, _ in net.network("dtd").named_parameters() if case.owns(name)}
    assert set(parameters) == expected
    train(net, "dtd", n_steps=2)  # a factor that starts at 0 lets a gradient through from the second step on
    own = {id(parameter) for parameter in parameters.values()}
    for name, parameter in net.named_parameters():
        assert parameter.requires_grad == (id(parameter) in own), name
        assert (parameter.grad is not None) == (id(parameter) in own), name
    for name, parameter in parameters.items():
        assert parameter.grad.abs().max() > 0, name


@each_method
def test_a_domain_starts_as_the_base_network(case):
    base = body(case.backbone)
    with torch.no_grad():
        expected = base.features(images())
        net = network(case, ("dtd",))
        assert torch.equal(net.body.features(images()), expected)
        assert torch.equal(net.network("dtd").features(images()), expected)
        assert torch.equal(outputs(net, "imagenet12"), base(images()))


@each_method
def test_an_export_gives_the_same_bits_and_has_no_link_to_the_body(case):
    net = network(case, ("dtd",))
    train(net, "dtd", n_steps=1)
    expected, exported = outputs(net, "dtd"), net.export("dtd")
    with torch.no_grad():
        assert torch.equal(exported(images()), expected)
        assert not exported.training
        ours = {tensor.data_ptr() for tensor in net.state_dict().values()}
        assert ours.isdisjoint(tensor.data_ptr() for tensor in exported.state_dict().values())
        for tensor in net.state_dict().values():
            tensor.zero_()
        assert torch.equal(exported(images()), expected)


@each_method
def test_an_export_is_numbered_1_to_25_under_the_bodys_names(case):
    exported = network(case, ("dtd",), None).export("dtd")
    numbered = [layer for layer in list_layers(exported, (16, 16)) if layer.label != layer.module]
    rows = layer_table(BUILDERS[case.backbone](None, width=4))
    assert [(int(layer.label), layer.operator, layer.module, layer.n_units) for layer in numbered] == [
        (row.number, row.operator, row.module, row.channels) for row in rows
    ]
    assert layer_table(exported) == rows


@each_method
def test_a_file_gives_the_domain_back_and_holds_nothing_else(case, tmp_path):
    net = network(case, ("svhn",))
    save_body(net.body, tmp_path / "body.safetensors")
    train(net, "svhn", n_steps=1)
    save_domain(net, "svhn", tmp_path / "svhn.safetensors")
    again = MultiDomainNetwork(load_body(tmp_path / "body.safetensors"), case.method, **case.options)
    assert load_domain(again, tmp_path / "svhn.safetensors") == "svhn" and again.domains == ("svhn",)
    assert torch.equal(outputs(again, "svhn"), outputs(net, "svhn"))
    other = MultiDomainNetwork(body(case.backbone, seed=5), case.method, **case.options)
    with pytest.raises(UserError, match="of another body"):
        load_domain(other, tmp_path / "svhn.safetensors")
    assert other.domains == ()


@each_method
def test_the_same_seed_gives_the_same_domain_and_the_global_random_state_has_no_part(case):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first = network(case, ("dtd",), None).domain_state("dtd")
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(4)
    again = network(case, ("a", "dtd"), None)
    again.add("b", n_classes=4, seed=0)
    assert all(torch.equal(first[name], tensor) for name, tensor in again.domain_state("b").items())
    assert not torch.equal(again.domain_state("dtd")["head.weight"][:4], first["head.weight"])  # seed 1


@each_method
def test_a_row_has_a_name_that_leads_back_to_the_method(case):
    method = sharing_method(case.method, **case.options)
    name = system_name(method, case.backbone)
    again, backbone = read_system(name)
    assert backbone == case.backbone and again.variant() == method.variant()
    shown = {option: value for option, value in method.options().items() if method.shows(option)}
    assert {option: again.options()[option] for option in shown} == shown


@each_method
def test_arithmetic_agrees_with_the_network(case):
    """What a domain owns, and the whole set of domains, from widths alone and counted on the very modules."""
    net = network(case)
    classes = {"imagenet12": 5, "dtd": 4, "svhn": 5}
    rows = method_rows(system_name(net.method, case.backbone), classes, 4)
    for domain in ("dtd", "svhn"):
        own = sum(parameter.numel() for _, parameter in net.domain_parameters(domain))
        assert own == own_parameters(rows, domain, heads=True, bn=True)
    everything = {id(p): p.numel() for p in net.parameters()}
    assert sum(everything.values()) == sum(row.count for row in rows)
    of_dtd = {(row.kind, row.bits, row.count) for row in parameter_rows(net, "dtd") if row.domain}
    assert of_dtd == {(row.kind, row.bits, row.count) for row in rows if row.domain == "dtd"}
    assert by_kind(parameter_rows(net, "imagenet12")) == by_kind(r for r in rows if r.domain in ("", "imagenet12"))


@pytest.mark.parametrize(
    ("name", "method", "variant", "backbone"),
    [
        ("dan-low-rank-4", "dan", "low-rank-4", "plain"),
        ("dan-low-rank-8-separable", "dan", "low-rank-8", "separable"),
        ("classifier+bn-plain", "classifier+bn", "", "plain"),
        ("piggyback-ternary-train-bn-True", "piggyback", "ternary-train-bn-True", "plain"),
        ("parallel-adapters-dropout-0.5", "parallel-adapters", "dropout-0.5", "plain"),
        ("soft-sharing-all-train-released", "soft-sharing", "all-train-released", "separable"),
    ],
)
def test_names_of_rows(name, method, variant, backbone):
    found, on = read_system(name)
    assert (found.name, found.variant(), on) == (method, variant, backbone)
    assert system_name(found, on) == name


def test_every_row_of_the_paper_is_a_system():
    assert all(system_name(*read_system(system)) == system for system in PAPER_ROWS)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pointwise", "Nothing is known of a system 'pointwise'.*nearest: pointwise-sharing"),
        ("dan-low-rank", "no variant 'low-rank': the row is called dan-low-rank-8"),
        ("soft-sharing", "no variant '': the row is called soft-sharing-late"),
        ("individual-thin", "no variant 'thin'; its options are: none"),
        ("pointwise-sharing-plain", "does not work on the plain ResNet-26"),
    ],
)
def test_names_that_no_row_has(name, words):
    with pytest.raises(UserError, match=words):
        read_system(name)


# Sizes (method, part B.2)

PLAIN_BN, SEPARABLE_BN = 2 * (32 + 8 * (64 + 128 + 256) + 256), 15_488
SQUARES = 32**2 + 8 * (64**2 + 128**2 + 256**2)  # C_out squared over the plain network's 25 convolutions
OUTPUTS = 32 + 8 * (64 + 128 + 256)


@pytest.mark.parametrize(
    ("case", "n_parameters"),
    [
        (Case("individual", "separable", ""), 2_656_667),
        (Case("individual", "plain", ""), 5_814_688),
        (Case("classifier", "separable", ""), 0),
        (Case("classifier+bn", "separable", ""), SEPARABLE_BN),
        (Case("classifier+bn", "plain", ""), PLAIN_BN),
        (Case("pointwise-sharing", "separable", ""), 322_651 + SEPARABLE_BN),
        (Case("depthwise-sharing", "separable", ""), 2_580_672 + SEPARABLE_BN),
        (Case("series-adapters", "plain", ""), SQUARES + 2 * OUTPUTS + PLAIN_BN),
        (
            Case("parallel-adapters", "plain", ""),
            3 * 32 + sum(c // 2 * c + 7 * c * c for c in (64, 128, 256)) + PLAIN_BN,
        ),
        (Case("dan", "plain", ""), SQUARES + OUTPUTS + PLAIN_BN),
        (Case("dan", "plain", "", {"controller": "diagonal"}), 2 * OUTPUTS + PLAIN_BN),
        (Case("dan", "plain", "", {"controller": "low-rank", "rank": 4}), 9 * OUTPUTS + PLAIN_BN),
        (Case("piggyback", "plain", ""), 5_814_688 - PLAIN_BN),
        (Case("piggyback", "separable", "", {"train_bn": True}), 60_507 + 2_580_672 + SEPARABLE_BN),
    ],
    ids=lambda value: value.label if isinstance(value, Case) else "",
)
def test_parameters_of_a_domain_at_full_width(case, n_parameters):
    net = MultiDomainNetwork(BUILDERS[case.backbone](None), case.method, **case.options)
    net.add("dtd", 47)
    head = 47 * (net.body.n_features + 1)
    assert sum(parameter.numel() for _, parameter in net.domain_parameters("dtd")) == n_parameters + head


# Single methods against their formulas


def one_conv(net, number=2):
    return list(net.network("dtd").conv_sites())[number - 1].module


def test_series_adapters_compute_y_plus_a_of_bn_of_y_and_go_into_a_body_for_pre_training():
    method, base = sharing_method("series-adapters"), body("plain")
    before = base(images())
    method.prepare(base)
    method.prepare(base)
    assert torch.equal(base(images()), before) and sum("adapter" in name for name in base.state_dict()) == 25
    module = base.stage1[0].conv1
    with torch.no_grad():
        module.adapter.normal_()
        module.bn.running_mean.normal_()
    x = torch.randn(2, 4, 6, 6)
    y = nn.functional.conv2d(x, module.conv.weight, stride=2, padding=1)
    bn = (y - module.bn.running_mean[:, None, None]) / (1 + module.bn.eps) ** 0.5
    expected = y + torch.einsum("bchw,oc->bohw", bn, module.adapter[:, :, 0, 0])
    torch.testing.assert_close(module(x), expected)
    net = MultiDomainNetwork(base, "series-adapters")
    net.add("dtd", 4)
    assert torch.equal(one_conv(net).adapter, module.adapter)  # a domain starts from the body's pre-trained adapters
    assert one_conv(net).adapter is not module.adapter and one_conv(net).conv is module.conv


def test_parallel_adapters_compute_conv_plus_a_of_the_input():
    net = network(Case("parallel-adapters", "plain", ""))
    module = one_conv(net)
    nn.init.normal_(module.adapter)
    x = torch.randn(2, 4, 6, 6)
    expected = module.conv(x) + torch.einsum("bchw,oc->bohw", x[:, :, ::2, ::2], module.adapter[:, :, 0, 0])
    torch.testing.assert_close(module(x), expected)


def test_adapter_dropout_acts_on_the_adapters_input_in_training_only():
    net = network(Case("parallel-adapters", "plain", "", {"dropout": 0.5}))
    module = one_conv(net)
    x = torch.randn(2, 4, 6, 6)
    net.train_domain("dtd")
    assert torch.equal(module(x), module.conv(x))  # A = 0: what is dropped cannot show, the convolution loses nothing
    nn.init.normal_(module.adapter)
    assert not torch.equal(module(x), module(x))
    net.eval()
    assert torch.equal(module(x), module(x))


@pytest.mark.parametrize("options", [{"controller": "full"}, {"controller": "diagonal"}, {"controller": "low-rank"}])
def test_dan_combines_the_shared_filters(options):
    net = network(Case("dan", "plain", "", options))
    conv = one_conv(net).conv
    with torch.no_grad():
        for name, parameter in conv.named_parameters():
            if name != "weight":
                parameter.normal_(generator=torch.Generator().manual_seed(1))
        if options["controller"] == "full":
            matrix = conv.controller
        elif options["controller"] == "diagonal":
            matrix = torch.diag(conv.controller)
        else:
            matrix = torch.eye(8) + torch.einsum("ar,br->ab", conv.controller_u, conv.controller_v)
        filters = torch.einsum("ab,bikl->aikl", matrix, net.body.stage1[0].conv1.conv.weight)
        x = torch.randn(2, 4, 6, 6)
        expected = nn.functional.conv2d(x, filters, conv.bias, stride=2, padding=1)
        torch.testing.assert_close(conv(x), expected, rtol=1e-4, atol=1e-5)


def test_dan_noise_is_on_the_diagonal_alone_and_small():
    net = MultiDomainNetwork(body("plain", width=32), "dan", noise=True)
    net.add("dtd", 4)
    controllers = [site.module.conv.controller.detach() for site in net.network("dtd").conv_sites()]
    scaled = torch.cat([(len(matrix) * (matrix.diag() - 1)) for matrix in controllers])
    assert all(torch.equal(matrix, torch.diag(matrix.diag())) for matrix in controllers)
    assert abs(scaled.mean()) < 0.1 and abs(scaled.std() - 1) < 0.05  # N(0, 1) / C_out: 3,616 draws


def test_piggyback_passes_the_gradient_of_the_effective_weight_straight_through():
    net = network(Case("piggyback", "plain", "", {"mask": "ternary"}))
    conv = one_conv(net).conv
    values = torch.tensor([0.01, 0.006, 0.005, 0.0, -0.005, -0.006, -1.0, 2.0])
    signs = torch.tensor([1.0, 1, 0, 0, 0, -1, -1, 1])  # strictly beyond 5e-3, whatever the size
    with torch.no_grad():
        conv.mask.copy_(values.repeat(conv.mask.numel() // 8).view_as(conv.mask))
    effective = (conv.weight * signs.repeat(conv.mask.numel() // 8).view_as(conv.mask)).requires_grad_(True)
    x = torch.randn(2, 4, 6, 6)
    y = nn.functional.conv2d(x, effective, stride=2, padding=1)
    net.train_domain("dtd")
    z = conv(x)
    assert torch.equal(z, y)
    (gradient,) = torch.autograd.grad(y.square().sum(), effective)
    (of_mask,) = torch.autograd.grad(z.square().sum(), conv.mask)
    torch.testing.assert_close(of_mask, gradient * conv.weight)


@pytest.mark.parametrize(("mask", "n_bits"), [("binary", 1), ("ternary", 2)])
def test_piggyback_stores_its_masks_as_bits(mask, n_bits, tmp_path):
    net = MultiDomainNetwork(body("plain", width=8), "piggyback", mask=mask)
    net.add("dtd", 4)
    masks = {name: parameter for name, parameter in net.domain_parameters("dtd") if name.endswith("mask")}
    n_weights = sum(parameter.numel() for parameter in masks.values())
    with torch.no_grad():
        for parameter in masks.values():
            parameter.uniform_(-0.02, 0.02)
    path = save_domain(net, "dtd", tmp_path / "dtd.safetensors")
    assert all(net.method.stored_bits(name) == n_bits for name in masks)
    assert net.method.stored_bits("head.weight") == 32
    packed = net.method.pack(net.domain_state("dtd"))
    n_bytes = sum(tensor.numel() for name, tensor in packed.items() if "mask" in name)
    assert n_weights * n_bits / 8 <= n_bytes < n_weights * n_bits / 8 + len(masks)
    assert path.stat().st_size < n_weights * n_bits / 8 + 4 * 4 * 65 + 10_000  # head, and the file's own tables
    expected = outputs(net, "dtd")
    net.remove("dtd")
    load_domain(net, path)
    assert torch.equal(outputs(net, "dtd"), expected)


# Where a method makes no sense, and wrong words


@pytest.mark.parametrize(
    ("method", "backbone", "reason"),
    [
        ("pointwise-sharing", "plain", "no pointwise filters to share"),
        ("depthwise-sharing", "plain", "no depthwise filters to share"),
        ("series-adapters", "separable", "as large as the pointwise filter"),
        ("parallel-adapters", "separable", "as large as the pointwise filter"),
        ("dan", "separable", "as large as the pointwise filters it combines"),
    ],
)
def test_a_method_says_why_it_makes_no_sense_on_a_backbone(method, backbone, reason):
    with pytest.raises(UserError, match=rf"(?s){method}.*does not work on the {backbone} ResNet-26.*{reason}.*use"):
        MultiDomainNetwork(body(backbone), method)


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("pointwise sharing", {}, "Unknown method 'pointwise sharing'; .*nearest: pointwise-sharing"),
        ("zzz", {}, "Unknown method 'zzz'; known: individual, classifier, .*soft-sharing.$"),
        ("dan", {"controler": "full"}, "Method dan has no option 'controler'; .*nearest: controller"),
        ("classifier", {"rank": 2}, "Method classifier has no option 'rank'; it has none"),
        ("dan", {"controller": "lowrank"}, "Unknown controller 'lowrank'; .*nearest: low-rank"),
        ("dan", {"rank": 0}, "Rank 0 is not usable"),
        ("dan", {"rank": 2.5}, "Rank 2.5 is not usable"),
        ("dan", {"noise": 1}, "Noise 1 is not usable"),
        ("dan", {"noise": True, "controller": "low-rank"}, "no free diagonal"),
        ("piggyback", {"mask": "binray"}, "Unknown mask 'binray'; .*nearest: binary"),
        ("piggyback", {"train_bn": "yes"}, "train_bn 'yes' is not usable"),
        ("parallel-adapters", {"dropout": 1.0}, "Adapter dropout 1.0 is not usable"),
        ("soft-sharing", {"sources": 3}, "Method soft-sharing has no option 'sources'; its options are region, train"),
        ("soft-sharing", {"region": "lat"}, "Unknown region 'lat'; .*nearest: late"),
    ],
)
def test_unknown_methods_and_options_offer_the_nearest(method, options, words):
    with pytest.raises(UserError, match=words):
        sharing_method(method, **options)

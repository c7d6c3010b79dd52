"""ResNet-26: the published numbers, an independent forward pass, the numbering, and the command `mdl`."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from data_prep.common.errors import UserError
from mdl import cli
from mdl.networks.resnet26 import (
    initialise,
    layer_table,
    multiply_adds,
    parameter_counts,
    plain_resnet26,
    separable_resnet26,
)

SEPARABLE_TOTALS = {
    1000: 3_169_667, 100: 2_707_967, 2: 2_657_693, 47: 2_680_778, 43: 2_678_726,
    102: 2_708_993, 1623: 3_489_266, 10: 2_661_797, 101: 2_708_480, None: 2_656_667,
}  # fmt: skip
BUILDERS = (separable_resnet26, plain_resnet26)


def n_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def perturbed(network):
    """Batch normalisation that does something: other scales, shifts and running statistics than 1 and 0."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5, generator=generator)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(0, 0.3, generator=generator)
    return network.eval()


def reference(state, x):
    """The forward pass of method B.1 in evaluation, from the state dict alone; average pool by hand."""

    def conv(x, name, stride):
        if f"{name}.conv.weight" in state:
            return F.conv2d(x, state[f"{name}.conv.weight"], stride=stride, padding=1)
        x = F.conv2d(x, state[f"{name}.depthwise.weight"], stride=stride, padding=1, groups=x.shape[1])
        return torch.einsum("bchw,oc->bohw", x, state[f"{name}.pointwise.weight"][:, :, 0, 0])

    def bn(x, name):
        weight, bias, mean, var = (
            state[f"{name}.{part}"][:, None, None] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def halve(x):
        rows = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        there = F.pad(torch.ones_like(x), (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        total, n = (
            t[..., 0::2, 0::2] + t[..., 0::2, 1::2] + t[..., 1::2, 0::2] + t[..., 1::2, 1::2] for t in (rows, there)
        )
        return torch.cat([total / n, torch.zeros_like(total)], dim=1)  # every stage doubles the channels

    x = bn(conv(x, "stem.conv", 1), "stem.bn")
    for stage in ("stage1", "stage2", "stage3"):
        for block in range(4):
            name, first = f"{stage}.{block}", block == 0
            y = F.relu(bn(conv(x, f"{name}.conv1", 2 if first else 1), f"{name}.bn1"))
            y = bn(conv(y, f"{name}.conv2", 1), f"{name}.bn2")
            x = F.relu(y + (halve(x) if first else x))
    features = F.relu(bn(x, "end.bn")).mean(dim=(2, 3))
    return features @ state["head.weight"].T + state["head.bias"]


# Parameters and multiply-adds


@pytest.mark.parametrize(("n_classes", "total"), SEPARABLE_TOTALS.items())
def test_separable_parameters_are_the_published_ones(n_classes, total):
    network = separable_resnet26(n_classes)
    assert n_parameters(network) == total
    linear = 0 if n_classes is None else 513 * n_classes
    assert parameter_counts(network) == {
        "depthwise": 60_507, "pointwise": 2_580_672, "conv": 0, "bn": 15_488, "linear": linear, "other": 0
    }  # fmt: skip


@pytest.mark.parametrize(("n_classes", "total"), [(1000, 6_071_688), (None, 5_814_688)])
def test_plain_parameters_are_the_published_ones(n_classes, total):
    network = plain_resnet26(n_classes)
    assert n_parameters(network) == total == sum(parameter_counts(network).values())
    assert parameter_counts(network)["bn"] == 2 * (32 + 8 * (64 + 128 + 256) + 256)  # stem, blocks, end


def test_parameter_counts_keeps_what_it_does_not_know_and_counts_a_shared_weight_once():
    network = separable_resnet26(2, width=2)
    before = parameter_counts(network)
    network.stage1[0].conv1.gate = nn.Conv2d(2, 2, 1, bias=False)
    network.stage1[2].conv1.depthwise = network.stage1[1].conv1.depthwise
    assert parameter_counts(network) == before | {"other": 4, "depthwise": before["depthwise"] - 9 * 4}


def test_half_width():
    network = separable_resnet26(10, width=32)
    pointwise = 3 * 32 + sum(c // 2 * c + 7 * c * c for c in (64, 128, 256))
    depthwise = 9 * (3 + sum(c // 2 + 7 * c for c in (64, 128, 256)))
    assert parameter_counts(network)["pointwise"] == pointwise
    assert parameter_counts(network)["depthwise"] == depthwise
    assert network.n_features == 256 and network(torch.zeros(2, 3, 64, 64)).shape == (2, 10)


@pytest.mark.parametrize(("size", "published"), [(64, 394_379_264), (72, None), (75, None)])
def test_multiply_adds(size, published):
    """394 M at 64 px with 1000 classes: every convolution, padding included, and the Linear; nothing else."""
    expected, side, c_in = size * size * (9 * 3 + 3 * 64), size, 64
    for c in (128, 256, 512):
        side = math.ceil(side / 2)
        expected += side * side * (9 * c_in + c_in * c + 7 * (9 * c + c * c))
        c_in = c
    expected += 512 * 1000
    with torch.device("meta"):
        network = separable_resnet26(1000)
    assert multiply_adds(network, size) == expected
    assert published in (None, expected)


def test_multiply_adds_leaves_the_network_as_it_was():
    network = plain_resnet26(2, width=2)
    network.stage2[0].bn1.eval()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert multiply_adds(network, (16, 32)) == 2 * multiply_adds(network, 16) - 2 * 16  # the Linear runs once
    assert network.training and network.stage2[0].conv1.training and not network.stage2[0].bn1.training
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


# Forward


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("size", [(64, 64), (72, 72), (75, 75), (144, 72), (9, 9), (1, 1)])
def test_forward_equals_a_straight_line_reimplementation(build, size):
    network = perturbed(build(7, width=4)).double()
    images = torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = reference(network.state_dict(), images)
    assert expected.std() > 1e-3
    torch.testing.assert_close(network(images), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize(
    ("size", "sides"), [(64, (32, 16, 8)), (72, (36, 18, 9)), (75, (38, 19, 10)), (224, (112, 56, 28))]
)
def test_shapes(build, size, sides):
    with torch.device("meta"):
        network, images = build(5), torch.empty(2, 3, size, size)
    maps = network.stem(images)
    for stage, side, c in zip((network.stage1, network.stage2, network.stage3), sides, (2, 4, 8), strict=True):
        maps = stage(maps)
        assert maps.shape == (2, c * network.n_features // 8, side, side)
    assert network(images).shape == (2, 5) and network.features(images).shape == (2, network.n_features)


def test_without_a_head_the_network_gives_the_features_that_the_head_would_read():
    images = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    body, whole = separable_resnet26(None, width=4).eval(), separable_resnet26(3, width=4).eval()
    assert body.head is None and torch.equal(body(images), whole.features(images))
    assert torch.equal(whole(images), F.linear(body(images), whole.head.weight, whole.head.bias))


def test_dropout_is_before_the_head_and_in_training_only():
    network = separable_resnet26(3, width=4, dropout=0.5)
    seen = []
    network.head.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    network.dropout.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    network(images)
    before, after = seen
    assert torch.equal(after[after != 0], 2 * before[after != 0]) and (after == 0).sum() > (before == 0).sum()
    network.eval()(images)
    assert torch.equal(seen[2], seen[3])


# Weights


@pytest.mark.parametrize("build", BUILDERS)
def test_initial_weights(build):
    network = build(1000)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is None
            std = math.sqrt(2 / (module.kernel_size[0] ** 2 * module.out_channels))
            n = module.weight.numel()
            assert abs(module.weight.std().item() / std - 1) < 5 / math.sqrt(2 * n), name
            assert abs(module.weight.mean().item()) < 5 * std / math.sqrt(n), name
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all() and (module.bias == 0).all()
    bound = 1 / math.sqrt(network.n_features)
    assert 0.999 * bound < network.head.weight.abs().max() <= bound and 0 < network.head.bias.abs().max() <= bound


def test_a_seed_decides_the_weights_and_the_global_random_state_has_no_part_in_it():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = separable_resnet26(4, width=4, seed=3).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    again = separable_resnet26(4, width=4, seed=torch.Generator().manual_seed(3)).state_dict()
    other = separable_resnet26(4, width=4, seed=4).state_dict()
    body = separable_resnet26(None, width=4, seed=3).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(torch.equal(first[name], body[name]) for name in body)
    assert not any(torch.equal(first[name], other[name]) for name in first if name.endswith("wise.weight"))


def test_initialise_draws_the_same_for_every_float_type():
    single, double = nn.Conv2d(4, 8, 3), nn.Conv2d(4, 8, 3).double()
    initialise(single, 9)
    initialise(double, 9)
    assert torch.equal(single.weight.double(), double.weight)


@pytest.mark.parametrize("build", BUILDERS)
def test_state_dict_goes_round(build):
    source, target = perturbed(build(6, width=4, seed=1)), build(6, width=4, seed=2).eval()
    target.load_state_dict(source.state_dict(), strict=True)
    images = torch.randn(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    assert torch.equal(source(images), target(images))


# Numbering


@pytest.mark.parametrize("build", BUILDERS)
def test_layer_numbers_follow_the_order_of_execution(build):
    network, maps = build(None, width=8).eval(), {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.ReLU):
            module.register_forward_hook(lambda module, inputs, output, name=name: maps.update({name: output}))
    network(torch.zeros(1, 3, 32, 32))
    ran = list(maps)
    table = layer_table(network)
    assert [row.module for row in table] == [name for name in ran if name.endswith(("wise", ".conv"))]
    assert [row.number for row in table] == sorted([*range(1, 26)] * (2 if build is separable_resnet26 else 1))
    for row in table:
        assert maps[row.module].shape[1] == row.channels
        assert network.get_submodule(row.module).stride == (row.stride, row.stride)
        followers = ran[ran.index(row.module) + 1 :]
        if row.operator == "depthwise":
            assert row.bn is None and row.relu is None and followers[0].endswith("pointwise")
        elif row.number == 1:
            assert (row.bn, row.relu) == ("stem.bn", None) == (followers[0], row.relu)
        else:
            assert [row.bn, row.relu] == followers[:2]


def test_layers_18_20_22_are_the_first_convolutions_of_the_last_stage():
    table = layer_table(separable_resnet26(None))
    rows = {(row.number, row.operator): row for row in table}
    assert rows[18, "depthwise"].channels == 256 and rows[18, "pointwise"].channels == 512
    assert all(row.channels == 512 for row in table if row.number > 18)
    assert [rows[n, "depthwise"].module for n in (18, 20, 22)] == [f"stage3.{i}.conv1.depthwise" for i in (0, 1, 2)]
    assert [row.number for row in table if row.stride == 2] == [2, 10, 18]


def test_every_site_can_be_wrapped_and_keeps_its_number():
    class Halved(nn.Module):
        def __init__(self, site):
            super().__init__()
            self.conv = site.conv

        def forward(self, x):
            return self.conv(x) / 2

    network = perturbed(plain_resnet26(3, width=4)).double()
    images = torch.randn(1, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    table = layer_table(network)
    for site in network.conv_sites():
        network.set_submodule(site.name, Halved(site.module))
    state = network.state_dict()
    halved = {name: tensor / 2 if name.endswith("conv.weight") else tensor for name, tensor in state.items()}
    assert layer_table(network) == table
    torch.testing.assert_close(network(images), reference(halved, images))
    network.set_submodule("stage1.0.conv2", nn.Identity())
    with pytest.raises(
        UserError, match=r"Convolution 3 \(stage1.0.conv2\) is a Identity without a part named depthwise"
    ):
        layer_table(network)


# Wrong input


@pytest.mark.parametrize("arguments", [
    {"width": 0}, {"width": 2.5}, {"width": True}, {"width": "64"}, {"n_classes": 0}, {"n_classes": -3},
    {"dropout": 1.0}, {"dropout": -0.1}, {"dropout": None}, {"seed": -1}, {"seed": None}, {"seed": 0.5},
])  # fmt: skip
@pytest.mark.parametrize("build", BUILDERS)
def test_wrong_arguments(build, arguments):
    value = next(iter(arguments.values()))
    with pytest.raises(UserError) as caught:
        build(**{"n_classes": 2, "width": 2} | arguments)
    assert repr(value) in str(caught.value) and "give" in str(caught.value)


@pytest.mark.parametrize("images", [
    torch.zeros(3, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(1, 8, 8, 3), torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
])  # fmt: skip
def test_wrong_images(images):
    with pytest.raises(UserError, match="takes \\(B, 3, H, W\\) floats"):
        plain_resnet26(2, width=2)(images)


@pytest.mark.parametrize("size", [0, -4, 1.5, (8,), (8, 0)])
def test_wrong_input_size(size):
    with pytest.raises(UserError, match="is no image size"):
        multiply_adds(plain_resnet26(2, width=2), size)


# The command


def run(args):
    with pytest.raises(SystemExit) as done:
        cli.main(args)
    assert not done.value.code


def test_params_prints_the_published_counts(capsys):
    run(["params"])
    cells = {line[:15].strip(): line[15:].split() for line in capsys.readouterr().out.splitlines()}
    assert cells["all parameters"] == ["3,169,667", "6,071,688"]
    assert cells["multiply-adds"][0] == "394,379,264"
    assert cells["depthwise"] == ["60,507", "0"]


def test_layers_prints_one_line_a_layer(capsys):
    run(["layers", "--width", "32"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:4] == ["layer", "operator", "module", "units"] and len(lines) == 51
    assert ["18", "depthwise", "stage3.0.conv1.depthwise", "128", "2", "-", "-"] in lines


def test_bad_values_end_with_status_2_and_one_line(capsys):
    with pytest.raises(SystemExit) as done:
        cli.main(["params", "--width", "0"])
    assert done.value.code == 2
    assert capsys.readouterr().err.startswith("error: Width 0 is no number of channels")


def test_an_interrupt_ends_with_status_130(monkeypatch):
    def interrupted(network):
        raise KeyboardInterrupt

    monkeypatch.setattr("mdl.networks.resnet26.layer_table", interrupted)
    with pytest.raises(SystemExit) as done:
        cli.main(["layers"])
    assert done.value.code == 130


@pytest.mark.parametrize("command", ["params", "layers"])
def test_help_ends_with_an_example_that_runs_and_loads_no_torch(command, capsys):
    script = f"""
import sys
from mdl import cli
try:
    cli.main([{command!r}, "--help"])
except SystemExit as done:
    sys.exit(done.code or "torch" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    example = result.stdout.splitlines()[-1].split()
    assert example[:2] == ["mdl", command]
    run(example[1:])
    assert len(capsys.readouterr().out.splitlines()) > 5

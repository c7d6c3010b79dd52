"""Equation 7: one forward over a mixed batch equals the domains run one by one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sharing_cases import Case, body, images, network, one_thread, perturb  # noqa: F401

from data_prep.common.errors import UserError
from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.stacked import StackedDomains

NAMES = ("dtd", "svhn", "ucf101")
METHODS = ("pointwise-sharing", "depthwise-sharing", "classifier", "classifier+bn", "individual")


def mixed(method="pointwise-sharing"):
    net = network(Case(method, "separable", ""), NAMES)
    for seed, name in enumerate(NAMES):
        generator = torch.Generator().manual_seed(seed)
        for parameter in dict(net.domain_parameters(name)).values():
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
        if method != "classifier":
            perturb(net.network(name), seed)
    return net


def one_by_one(net, batch, domains):
    with torch.no_grad():
        return [net(image[None], domain=name)[0] for image, name in zip(batch, domains, strict=True)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(16, 16), (25, 18), (1, 1)])
def test_a_mixed_batch_equals_the_domains_run_one_by_one(method, size):
    net = mixed(method)
    domains = ["ucf101", "dtd", "imagenet12", "dtd", "svhn", "ucf101", "dtd"]
    batch = torch.randn(7, 3, *size, generator=torch.Generator().manual_seed(0))
    logits = StackedDomains(net)(batch, domains)
    assert logits.shape == (7, 6)
    for row, expected in zip(logits, one_by_one(net, batch, domains), strict=True):
        assert expected.abs().max() > 1e-2
        torch.testing.assert_close(row[: len(expected)], expected, rtol=1e-4, atol=1e-5)
        assert torch.isneginf(row[len(expected) :]).all()


@pytest.mark.parametrize("images_at_once", [1, 3, 100])
def test_parts_of_any_size_give_the_same(images_at_once):
    net, batch, domains = mixed(), images(9), ["ucf101", "dtd", "svhn"] * 3
    expected = StackedDomains(net)(batch, domains)
    found = StackedDomains(net, images_at_once=images_at_once)(batch, domains)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="images_at_once 0 is not usable"):
        StackedDomains(net, images_at_once=0)


@pytest.mark.parametrize("domains", [["svhn"], ["svhn"] * 3, ["svhn", "dtd"]])
def test_batches_of_one_domain_and_of_one_image(domains):
    net = mixed()
    batch = images(len(domains))
    logits = StackedDomains(net, ["svhn", "dtd"])(batch, domains)
    for row, expected in zip(logits, one_by_one(net, batch, domains), strict=True):
        torch.testing.assert_close(row[: len(expected)], expected, rtol=1e-4, atol=1e-5)


def test_the_depthwise_filters_of_all_domains_are_one_4_d_tensor_a_layer():
    net = mixed()
    stacked = StackedDomains(net)
    assert [conv.depthwise.shape[:2] for conv in stacked.convs][:3] == [(4, 3), (4, 4), (4, 8)]
    for conv, site in zip(stacked.convs, net.network("dtd").conv_sites(), strict=True):
        assert conv.depthwise.ndim == 4 and torch.equal(conv.depthwise[1], site.module.depthwise.weight[:, 0])
        assert len(conv.pointwise) == (4 if site.number == 25 else 1)  # shared but the last


def test_the_stack_is_a_copy_and_leaves_images_and_network_alone():
    net, batch = mixed(), images(2)
    stacked, before = StackedDomains(net), batch.clone()
    expected = stacked(batch, ["dtd", "svhn"])
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.zero_()
    assert torch.equal(stacked(batch, ["dtd", "svhn"]), expected) and torch.equal(batch, before)
    assert not any(parameter.requires_grad for parameter in stacked.parameters())


def test_methods_with_special_convolutions_are_refused():
    with pytest.raises(UserError, match="Method piggyback has convolutions that cannot be stacked"):
        StackedDomains(network(Case("piggyback", "separable", "")))
    with pytest.raises(UserError, match="Method classifier has convolutions that cannot be stacked"):
        StackedDomains(network(Case("classifier", "plain", "")))
    net = mixed()
    net.network("dtd").get_submodule("stage1.0.conv1.depthwise").padding_mode = "circular"
    with pytest.raises(UserError, match="has convolutions that cannot be stacked"):
        StackedDomains(net)


def test_wrong_input():
    net = mixed()
    stacked = StackedDomains(net)
    with pytest.raises(UserError, match="There is no domain to stack"):
        StackedDomains(MultiDomainNetwork(body(), "pointwise-sharing"))
    with pytest.raises(UserError, match="A domain is named twice in dtd, dtd"):
        StackedDomains(net, ["dtd", "dtd"])
    with pytest.raises(UserError, match=r"Unknown domain 'svnh'; .*nearest: svhn"):
        stacked(images(2), ["dtd", "svnh"])
    for domains in (["dtd"], "dtd", []):
        with pytest.raises(UserError, match=r"Got 3 images and domains .*give one domain name for each image"):
            stacked(images(3), domains)
    with pytest.raises(UserError, match=r"are torch.uint8 \(2, 3, 8, 8\); give torch.float32 of \(B, 3, H, W\)"):
        stacked(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), ["dtd", "dtd"])


@pytest.mark.slow
def test_the_benchmark_runs_and_prints_the_ratio():
    script = Path(__file__).parents[2] / "benchmarks" / "mixed_batch.py"
    command = [sys.executable, str(script), "--width", "4", "--size", "16", "--rounds", "1", "--threads", "1"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "largest difference" in printed and "loop / stacked" in printed

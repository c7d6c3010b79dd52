"""Counts against real networks, the paper's numbers, and conventions that include and leave out what they say."""

from __future__ import annotations

import pytest
import torch

from data_prep.common.errors import UserError
from mdl.closed_form import backbone_multiply_adds, body_counts, body_parameters, head_parameters
from mdl.networks.resnet26 import multiply_adds, parameter_counts, plain_resnet26, separable_resnet26
from mdl.networks.sharing.arithmetic import method_rows, system_multiply_adds
from mdl.networks.sharing.soft_sharing import REGIONS, gate_parameters
from mdl.published import OFFICIAL, PAPER_ROWS
from mdl.results import ParameterRow
from mdl.scoring.ledger import (
    BARE,
    NOT_COUNTED_HERE,
    UNITS,
    Convention,
    _size_claim,
    agrees,
    by_kind,
    conventions,
    explain,
    ledger_ratio,
    ledger_size,
    own_parameters,
    paper_claims,
    storage_bytes,
    unit_parameters,
)

BUILD = {"separable": separable_resnet26, "plain": plain_resnet26}


def network(backbone, n_classes, width):
    with torch.device("meta"):
        return BUILD[backbone](n_classes, width)


@pytest.mark.parametrize("backbone", BUILD)
@pytest.mark.parametrize(("width", "n_classes", "size"), [(8, 10, 64), (32, 1000, 72), (64, 1000, 65), (6, 2, 33)])
def test_arithmetic_agrees_with_networks(backbone, width, n_classes, size):
    net = network(backbone, n_classes, width)
    counts = body_counts(backbone, width) | {"linear": head_parameters(backbone, n_classes, width)}
    assert {kind: n for kind, n in parameter_counts(net).items() if n} == counts
    assert backbone_multiply_adds(backbone, n_classes, size, width) == multiply_adds(net, size)


def test_published_counts():
    assert body_counts("separable") == {"depthwise": 60_507, "pointwise": 2_580_672, "bn": 15_488}
    assert body_parameters("separable") == 2_656_667
    totals = {1000: 3_169_667, 100: 2_707_967, 2: 2_657_693, 47: 2_680_778, 43: 2_678_726, 1623: 3_489_266,
              10: 2_661_797, 101: 2_708_480, 102: 2_708_993}  # fmt: skip
    assert {domain.n_classes for domain in OFFICIAL} == set(totals)
    for n_classes, total in totals.items():
        assert body_parameters("separable") + head_parameters("separable", n_classes) == total
    assert body_parameters("plain") == 5_814_688
    assert body_parameters("plain") + head_parameters("plain", 1000) == 6_071_688
    assert round(backbone_multiply_adds("separable", 1000) / 1e6) == 394


def test_gates():
    assert gate_parameters("all", 10) == 649_344
    assert sum(gate_parameters(region) for region in ("early", "middle", "late")) == gate_parameters("all")


def test_pointwise_sharing():
    rows = method_rows("pointwise-sharing")
    assert own_parameters(rows, "dtd") == 60_507 + 512 * 512 == 322_651
    assert own_parameters(rows, "dtd", bn=True) == 322_651 + 15_488
    assert own_parameters(rows, "dtd", bn=True, heads=True) == 322_651 + 15_488 + 513 * 47
    assert sum(row.count for row in rows if not row.domain) == 2_580_672 - 512 * 512


def test_conventions_count_what_they_say():
    rows = [
        ParameterRow("body", "conv", 1000),
        ParameterRow("mask", "mask", 320, bits=1, domain="dtd"),
        ParameterRow("bias", "bias", 7, domain="dtd"),
        ParameterRow("bn", "bn", 30, domain="dtd"),
        ParameterRow("head", "linear", 500, domain="imagenet12"),
        ParameterRow("head", "linear", 90, domain="dtd"),
    ]
    assert ledger_size(rows) == 1000 + 10 + 7 + 30
    assert ledger_size(rows, Convention(stored_bits=False)) == 1000 + 320 + 7 + 30
    assert ledger_size(rows, Convention(bn=False, biases=False)) == 1010
    assert ledger_size(rows, Convention(heads="further")) == 1047 + 90
    assert ledger_size(rows, Convention(heads="in")) == 1047 + 590
    assert ledger_size(rows, Convention(heads="further"), base="dtd") == 1047 + 500
    assert storage_bytes(rows) == (1000 + 7 + 30 + 500 + 90) * 4 + 320 // 8
    assert by_kind(rows) == {"conv": 1000, "mask": 320, "bias": 7, "bn": 30, "linear": 590}


def test_units():
    counts = [unit_parameters(unit) for unit in UNITS]
    assert counts == [5_814_688, 6_071_688, 2_656_667, 3_169_667]
    assert unit_parameters(separable_width=16) == body_parameters("plain", 8)
    with pytest.raises(UserError, match="Unit 'a brick' is unknown"):
        unit_parameters("a brick")
    with pytest.raises(UserError, match="even one"):
        unit_parameters(separable_width=15)


def test_ratios_of_table_2():
    """4.57, 4.48 and 0.98 with the plain network without Linear and no heads; 0.6 only with heads."""
    ratio = {system: ledger_ratio(method_rows(system), BARE) for system in PAPER_ROWS}
    assert ratio["individual"] == pytest.approx(4.57, abs=0.005)
    assert ratio["depthwise-sharing"] == pytest.approx(4.48, abs=0.005)
    assert ratio["pointwise-sharing"] == pytest.approx(0.98, abs=0.005)
    assert ratio["piggyback"] == pytest.approx(1.28, abs=0.005)
    for system in ("series-adapters", "parallel-adapters"):
        assert round(ratio[system]) == 2
    for system in ("classifier", "classifier+bn"):
        found = explain("0.6x", method_rows(system))
        assert found and all(convention.heads == "further" for convention in found)


def test_claims():
    """Each printed number, by the convention that the claim names and by none that it does not."""
    claims = {claim.what: claim for claim in paper_claims(method_rows)}
    assert all(claim.holds and claim.convention != NOT_COUNTED_HERE for claim in claims.values())
    assert claims["parameters of the network"].value == 3_169_667
    assert claims["share of the pointwise convolutions"].value == pytest.approx(100 * 2_580_672 / 3_169_667)
    assert claims["added by a domain"].value == pytest.approx(0.322651)
    assert claims["added by a domain, as a share of the network"].value == pytest.approx(10.179, abs=0.001)
    plain = {
        row.name for row in PAPER_ROWS.values() if row.size and claims[f"#par of {row.name}"].convention == str(BARE)
    }
    assert plain == {"Serial RA", "Parallel RA", "Piggyback", "Individual", "Depthwise Sharing", "Proposed"}
    for name, words in (("DAN", "1 of "), ("Classifier Only", "may be chance")):
        assert words in claims[f"#par of {name}"].remark and "heads in but" in claims[f"#par of {name}"].convention


def test_a_number_that_nothing_explains_is_said_to_be_so():
    claim = _size_claim(method_rows("pointwise-sharing"), "Proposed", "7x")
    assert not claim.holds and claim.convention == NOT_COUNTED_HERE and "0.98x" in claim.remark


def test_explain():
    rows = method_rows("individual")
    assert explain("5x", rows)[0] == BARE
    assert explain("77x", rows) == []
    found = explain("10.00x", rows)
    assert found and all("separable ResNet-26 without Linear" in convention.unit for convention in found)
    assert len(conventions()) == len(set(conventions())) == 4 * 3 * 2 * 2 * 2


def test_printed_digits():
    assert agrees(4.5689, "5x") and not agrees(4.49, "5x")
    assert agrees(2.1651, "2.17×") and not agrees(2.1649, "2.17x")
    assert agrees(10.2, "10 %") and agrees(0.32, "0.3 M") and not agrees(0.36, "0.3 M")


def test_multiply_adds_of_methods():
    base = system_multiply_adds("piggyback", 1000)
    assert base == system_multiply_adds("dan", 1000) == backbone_multiply_adds("plain", 1000)
    assert system_multiply_adds("series-adapters", 1000) > system_multiply_adds("parallel-adapters", 1000) > base
    assert all(
        system_multiply_adds(system, 10) == backbone_multiply_adds("separable", 10)
        for system in ("individual", "classifier")
    )


def test_adapters_multiply_adds_agree_with_networks():
    from mdl.networks.multi_domain import MultiDomainNetwork

    for system in ("series-adapters", "parallel-adapters"):
        net = MultiDomainNetwork(plain_resnet26(None, 8), system)
        net.add("dtd", 5)
        assert system_multiply_adds(system, 5, size=33, width=8) == multiply_adds(net, 33)


@pytest.mark.parametrize("region", REGIONS)
def test_gates_multiply_adds_agree_with_networks(region):
    from mdl.networks.multi_domain import MultiDomainNetwork

    sources = MultiDomainNetwork(separable_resnet26(3, 8), "pointwise-sharing", base_domain="imagenet12")
    for name in ("dtd", "svhn"):
        sources.add(name, 5)
    net = MultiDomainNetwork(sources.body, "soft-sharing", sources=sources, region=region)
    net.add("dtd", 5)
    assert system_multiply_adds(f"soft-sharing-{region}", 5, size=33, width=8, n_domains=3) == multiply_adds(net, 33)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: method_rows("adapters"), "Nothing is known of a system 'adapters'"),
        (lambda: method_rows("dan-thin"), "Unknown controller 'thin'; known: full, diagonal, low-rank"),
        (lambda: method_rows("soft-sharing-upper"), "Unknown region 'upper'"),
        (lambda: method_rows("dan", {"dtd": 47}), "base domain 'imagenet12' is not among dtd"),
        (lambda: gate_parameters("upper"), f"known: {', '.join(REGIONS)}"),
        (lambda: body_counts("vgg"), "Unknown backbone 'vgg'; known: separable, plain"),
    ],
)
def test_wrong_questions(call, words):
    with pytest.raises(UserError, match=words):
        call()

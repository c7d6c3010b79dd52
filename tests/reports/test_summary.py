"""The numbers of the report against the same numbers counted with the csv module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from run_writer import reseal

from dissect.run_store import open_run
from reports.summary import Population, categories_of, lanes, network_title, populations

CATEGORIES = ["color", "object", "part", "material", "scene", "texture"]


def of(units: list[dict[str, str]], p: Population) -> list[dict[str, str]]:
    wanted = (p.network, p.layer, p.operator)
    return [r for r in units if (r["network"], r["layer"], r["operator"]) == wanted]


def test_counts(reported: Path, rows: Callable[..., list[dict[str, str]]]) -> None:
    pops = populations(open_run(reported))
    assert len(pops) == 12
    for p in pops:
        units = of(rows(reported), p)
        found = [(r["category"], r["label"]) for r in units if float(r["iou"]) > 0.04]
        assert p.n_units == len(units) == (12 if p.operator == "depthwise" else 16)
        assert p.n_detectors == len(found) and p.detector_share == len(found) / len(units)
        assert p.attributes == set(found)
        assert p.n_dead == sum(r["dead"] == "True" for r in units)
        assert [p.n_attributes(c) for c in CATEGORIES] == [sum(c == k for k, _ in set(found)) for c in CATEGORIES]
        assert p.detectors_per_concept == {c: found.count(c) for c in found}
        assert float(units[p.best]["iou"]) == max(float(r["iou"]) for r in units)


def test_networks_as_named_and_layers_as_executed(run_folder: Callable[..., Path]) -> None:
    """Whichever way round `--layers` names them; where a layer has no number, only `--layers` tells an order."""
    z = [("22", "pointwise", 2), ("22", "depthwise", 3), ("9", "depthwise", 2), ("9@2", "conv", 2)]
    pops = populations(
        open_run(run_folder(networks={"z": z, "a": [("10", "conv", 2), ("fc", "linear", 1), ("4", "conv", 1)]}))
    )
    assert [(p.network, p.layer, p.n_units) for p in pops] == [
        ("z", "9", 2), ("z", "9@2", 2), ("z", "22", 2), ("z", "22", 3), ("a", "10", 2), ("a", "fc", 1), ("a", "4", 1),
    ]  # fmt: skip
    assert [p.rows.tolist() for p in pops[:3]] == [[5, 6], [7, 8], [0, 1]]


def test_best_of_equals_is_the_first(run_folder: Callable[..., Path]) -> None:
    folder = run_folder(detector_share=0, networks={"n": [("1", "conv", 5)]})
    text = (folder / "units.csv").read_text(encoding="utf-8").splitlines()
    header = text[0].split(",")
    lines = [line.split(",") for line in text[1:]]
    for line in lines:
        line[header.index("iou")] = "0.03"
    (folder / "units.csv").write_text("\n".join([text[0], *map(",".join, lines)]) + "\n", encoding="utf-8")
    assert populations(open_run(reseal(folder)))[0].best == 0


def test_categories_keep_the_data_sets_order_and_add_unknown_ones(run_folder: Callable[..., Path]) -> None:
    run = open_run(run_folder(concepts=[("animal", "cat"), ("color", "red")]))
    assert categories_of(run, populations(run)) == [*CATEGORIES, "animal"]


@pytest.mark.parametrize(
    ("network", "title"),
    [
        ({"name": "separable", "domain": "untrained", "trained": False}, "separable, untrained"),
        ({"name": "resnet", "domain": "", "trained": False}, "resnet, untrained"),
        ({"name": "net", "domain": "cifar100", "trained": True}, "net, cifar100"),
        ({"name": "net-cifar100", "domain": "cifar100", "trained": None}, "net-cifar100"),
        ({"name": 7}, "7"),
    ],
)
def test_network_title(network: dict[str, object], title: str) -> None:
    assert network_title(network) == title


def test_lanes(run_folder: Callable[..., Path]) -> None:
    layers = [("18", "pointwise", 1), ("18", "depthwise", 1), ("a", "conv", 1), ("b", "relu", 1)]
    run = open_run(run_folder(networks={"n": layers}))
    assert {name: [p.layer for p in members] for name, members in lanes(populations(run)).items()} == {
        "depthwise": ["18"],
        "pointwise": ["18"],
        "conv\nrelu": ["a", "b"],
    }
    run = open_run(run_folder("second", networks={"n": [("a", "conv", 1), ("a", "relu", 1)]}))
    assert list(lanes(populations(run))) == ["conv", "relu"]

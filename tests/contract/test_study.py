"""The study's page says what its tables say, and its script can make every part."""

from __future__ import annotations

import doctest
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import torch

STUDY = Path(__file__).parents[2] / "studies" / "depthwise_vs_pointwise"
PAGE = STUDY / "README.md"


@pytest.fixture(scope="module")
def study() -> Iterator[ModuleType]:
    sys.path.insert(0, str(STUDY))
    yield importlib.import_module("study")
    sys.path.remove(str(STUDY))


def test_the_page_is_what_the_tables_make_of_it(study: ModuleType) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert study.tables.filled(text, study.tables.tables(STUDY)) == text


def test_examples_of_the_tables(study: ModuleType) -> None:
    result = doctest.testmod(study.tables)
    assert result.attempted > 0 and result.failed == 0


def test_every_figure_and_link_is_there() -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE.read_text(encoding="utf-8"))
    assert len([target for target in targets if target.endswith(".png")]) == 4
    assert [target for target in targets if not (STUDY / target).exists()] == []


def test_every_part_that_the_script_makes_is_in_the_tables(study: ModuleType) -> None:
    runs = pd.read_csv(STUDY / "runs.csv")
    for data, group in runs.groupby("data"):
        assert group["part"].tolist() == [*study.tables.COUNTED, *study.tables.CURVES], data
    assert runs["data"].nunique() == 2
    assert set(study.tables.COUNTED + study.tables.CURVES) == {part.name for part in study.PARTS}


def test_a_study_of_one_label_set_leaves_the_other(study: ModuleType) -> None:
    claims = pd.read_csv(STUDY / "claims.csv", keep_default_na=False)
    embedded = claims[claims["data"] == "embedded"]
    pd.testing.assert_frame_equal(study.tables.updated(claims, embedded).reset_index(drop=True), claims)
    photographs = claims[claims["data"] != "embedded"].assign(data="others", verdict="holds")
    found = study.tables.updated(claims, photographs)
    assert found["data"].tolist() == ["embedded"] * len(embedded) + ["others"] * len(photographs)


@pytest.mark.parametrize("name", ["imagenet12", "cifar100-individual", "omniglot", "untrained"])
def test_networks_of_the_study(study: ModuleType, name: str) -> None:
    network = study.network(name)
    assert network.trained == (name != "untrained")
    with torch.inference_mode():
        logits = network.model(network.prepare(torch.zeros(1, *network.input_size, 3, dtype=torch.uint8)))
    assert torch.isfinite(logits).all()

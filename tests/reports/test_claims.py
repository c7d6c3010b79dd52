"""The paper's claims on runs of which every verdict is known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest
from run_writer import CONCEPTS, make_run, reseal

from data_prep.common.errors import UserError
from dissect.run_store import REPLICATE_COLUMNS, UNIT_COLUMNS, open_run, read_info, write_table
from reports.claims import CLAIMS, count_table, verdicts
from reports.page import write_report

Detects = Callable[[str, str, int], tuple[str, str] | None]
"""(layer, operator, unit) to the concept that the unit detects."""


def known_run(
    folder: Path, detects: Detects, without: dict[int, Detects] | None = None, named: Sequence[str] = ("18", "20")
) -> Path:
    """A run of layers 18 and 20, 6 depthwise and 12 pointwise units, four folds. without: what is found without a fold. named:
    the layers as they were asked for."""
    layers = [(layer, operator, n) for layer in named for operator, n in (("depthwise", 6), ("pointwise", 12))]
    told = {
        c
        for way in (detects, *(without or {}).values())
        for la, op, n in layers
        for u in range(n)
        if (c := way(la, op, u))
    }
    make_run(folder, {"net": layers}, concepts=sorted({*CONCEPTS, *told}), settings={"iou_cut": 0.04})
    units = open_run(folder).units
    replicates = []
    for left_out in (None, 0, 1, 2, 3):
        table = units.copy()
        found = (without or {}).get(left_out, detects)
        concepts = [found(u.layer, u.operator, u.unit) for u in units.itertuples()]
        table["category"], table["label"] = ([c[k] if c else "" for c in concepts] for k in (0, 1))
        table["detector"] = [c is not None for c in concepts]
        table["iou"], table["dead"] = table["detector"] * 0.1, False
        if left_out is None:
            write_table(folder / "units.csv", table[list(UNIT_COLUMNS)])
        else:
            replicates.append(table.assign(left_out=left_out)[list(REPLICATE_COLUMNS)])
    write_table(folder / "replicates.csv", pd.concat(replicates))
    return reseal(folder, read_info(folder) | {"settings": {"folds": 4, "iou_cut": 0.04}})


def verdict_of(folder: Path) -> dict[str, str]:
    return {finding.claim: finding.verdict for finding in verdicts(open_run(folder))}


def test_a_run_that_agrees_with_the_paper(tmp_path: Path) -> None:
    def detects(layer: str, operator: str, unit: int) -> tuple[str, str] | None:
        if operator == "depthwise":
            return ("part", f"part {unit}")
        return ("texture", "striped") if layer == "20" else None

    assert verdict_of(known_run(tmp_path / "run", detects)) == dict.fromkeys(CLAIMS, "holds")


def test_a_run_that_contradicts_it(tmp_path: Path) -> None:
    def detects(layer: str, operator: str, unit: int) -> tuple[str, str] | None:
        return ("object", f"object {unit}") if operator == "pointwise" else None

    assert verdict_of(known_run(tmp_path / "run", detects)) == dict.fromkeys(CLAIMS, "contradicted")


def test_numbers_of_units_decide(tmp_path: Path) -> None:
    """Twelve pointwise units with eight concepts have more attributes than six depthwise ones with six; six of them have not."""

    def detects(layer: str, operator: str, unit: int) -> tuple[str, str] | None:
        return ("object", f"object {unit}") if operator == "depthwise" or unit < 8 else None

    run = known_run(tmp_path / "run", detects)
    found = verdict_of(run)
    assert (found["more"], found["more-equal"], found["more-together"]) == ("contradicted", "holds", "holds")
    together = next(f for f in verdicts(open_run(run)) if f.claim == "more-together")
    assert together.measured == "+4.0 (+4.0 to +4.0)"  # 6 less 4, in two layers
    table = count_table(open_run(run)).set_index(["layer", "operator"])
    assert table.loc[("18", "pointwise"), "unique"] == 8
    assert table.loc[("18", "pointwise"), "unique_equal"] == pytest.approx(4)  # 8 of 12, each drawn half of the time
    assert table.loc[("18", "depthwise"), "unique_equal"] == 6
    assert table.loc[("18", "pointwise"), "n_equal"] == 6
    assert table.loc[("18", "pointwise"), ["unique_low", "unique_high"]].tolist() == [8, 8]


def test_what_images_decide_is_not_settled(tmp_path: Path) -> None:
    def more(layer: str, operator: str, unit: int) -> tuple[str, str] | None:
        return ("object", f"object {unit}") if operator == "depthwise" and unit < 2 else None

    def fewer(layer: str, operator: str, unit: int) -> tuple[str, str] | None:
        return ("object", f"object {unit}") if operator == "pointwise" else None

    found = verdict_of(known_run(tmp_path / "run", more, {2: fewer}))
    assert found == dict.fromkeys(CLAIMS, "not settled")


@pytest.mark.parametrize(
    ("known", "detected", "wanted", "reason"),
    [
        (["texture"], ("texture", "dotted"), {"parts": "not settled", "textures": "not settled"}, "object or part"),
        (
            ["texture"],
            None,
            {"parts": "not settled", "textures": "not settled", "none": "not settled"},
            "object or part",
        ),
        (["object", "part"], ("part", "wheel"), {"parts": "holds", "textures": "not settled"}, "texture"),
        (["object", "texture"], ("object", "car"), {"parts": "holds", "textures": "contradicted"}, ""),
        (["object", "texture"], None, {"parts": "not settled", "none": "not settled"}, "part"),
        (
            ["object", "part", "texture"],
            None,
            {"parts": "contradicted", "textures": "not settled", "none": "holds"},
            "",
        ),
    ],
)
def test_what_the_label_set_cannot_show_is_not_settled(
    tmp_path: Path, known: list[str], detected: tuple[str, str] | None, wanted: dict[str, str], reason: str
) -> None:
    run = known_run(tmp_path / "run", lambda layer, operator, unit: detected)
    concepts = open_run(run).concepts
    concepts["eligible"] = concepts["category"].isin(known)
    write_table(run / "concepts.csv", concepts)
    found = {finding.claim: finding for finding in verdicts(open_run(reseal(run)))}
    assert {claim: found[claim].verdict for claim in wanted} == wanted
    said = [f.measured for f in found.values() if "no unit could have" in f.measured]
    assert bool(said) == bool(reason) and all(text.endswith(f"a label of the category {reason}") for text in said)


def test_the_first_layer_is_the_first_executed(tmp_path: Path) -> None:
    def detects(layer: str, operator: str, unit: int) -> tuple[str, str] | None:
        return ("texture", "striped") if layer == "20" else None

    run = known_run(tmp_path / "run", detects, named=("20", "18"))
    measured = {finding.claim: finding for finding in verdicts(open_run(run))}["none"]
    assert (measured.verdict, measured.measured) == ("holds", "0 (0.0 to 0.0) detectors of 12 units in layer 18")


def test_a_run_without_folds_is_refused(tmp_path: Path) -> None:
    run = open_run(make_run(tmp_path / "run", n_folds=1))
    with pytest.raises(UserError, match=r"has no folds, so no intervals: dissect again with `folds` 10"):
        verdicts(run)
    assert "unique_low" not in count_table(run).columns


def test_the_report_shows_intervals(tmp_path: Path) -> None:
    def more(layer: str, operator: str, unit: int) -> tuple[str, str] | None:
        return ("object", f"object {unit}") if unit < 4 else None

    def fewer(layer: str, operator: str, unit: int) -> tuple[str, str] | None:
        return ("object", f"object {unit}") if unit < 2 else None

    run = known_run(tmp_path / "run", more, {2: fewer})
    page = write_report(run, figures=()).read_text(encoding="utf-8")
    # Four values 4, 4, 2, 4: standard error sqrt(3/4 x 3) = 1.5, Student's t with 3 degrees of freedom 3.18.
    assert page.count("<b>4</b><small>0–9</small>") == 4
    assert "A jackknife over 4 groups" in page
    without = write_report(make_run(tmp_path / "plain", n_folds=1), figures=()).read_text(encoding="utf-8")
    assert "jackknife" not in without

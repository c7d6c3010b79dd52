"""Tables for other programs: every unit with every concept, JSON, and a spreadsheet that runs nothing."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from command_line import edit, sentence
from openpyxl.utils.escape import unescape

import dissect as toolkit
from data_prep.broden import open_broden
from data_prep.common.files import unescape_cell
from dissect import export_tables
from dissect.export_spreadsheet import export_xlsx
from dissect.export_tables import concept_rows, export_csv, export_json, score_names
from dissect.run_store import Run

pytestmark = pytest.mark.usefixtures("one_thread")

ODD = "=cmd|'/c calc'!A1 \x07_x0041_ <b>猫 & 🐈</b> https://example.org"
"""A label that a spreadsheet could run, with a control character, what looks like an escape of one, and letters of all sorts."""


@pytest.fixture
def finished(nets: str, tiny_broden: Path, out: Path) -> Callable[..., Run]:
    edit(tiny_broden / "label.csv", "300,lamp,", f'300,"{ODD}",')
    edit(tiny_broden / "c_object.csv", "2,300,lamp,", f'2,300,"{ODD}",')

    def make(n_networks: int = 2, **settings: object) -> Run:
        networks = [toolkit.load_network(f"{nets}:small", name=f"net{k}", seed=k) for k in range(n_networks)]
        chosen = toolkit.Settings(**{"min_images": 1, "quantile": 0.9} | settings)
        return toolkit.run(networks, open_broden(tiny_broden), layers=["1", "2"], settings=chosen, out=out)

    return make


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: unescape_cell(cell) for name, cell in row.items()} for row in csv.DictReader(file)]


@pytest.mark.parametrize("block", [1, 10**6])
def test_every_unit_with_every_concept(finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr("dissect.scores.BLOCK", block)  # one unit at a time, or all
    run = finished()
    units, pairs, concepts = export_csv(run, tmp_path / "tables")
    rows = rows_of(pairs)
    assert len(rows) == len(run.units) * len(run.concepts)
    assert list(rows[0]) == [
        "network", "layer", "operator", "unit", "category", "label", "iou", "f1", "precision", "recall", "matthews", "npmi",
        "intersection_area", "union_area", "mask_area", "concept_area", "iou_low", "iou_high",
    ]  # fmt: skip
    for name in score_names(run):
        wanted = run.scores(name)
        assert [float(row[name]) for row in rows] == wanted.to_numpy().ravel().tolist(), name
    assert [(r["network"], r["layer"], r["operator"], int(r["unit"])) for r in rows[:: len(run.concepts)]] == list(
        run.units[export_tables.PLACE].itertuples(index=False, name=None)
    )
    assert {(r["category"], r["label"]) for r in rows} == set(
        zip(run.concepts["category"], run.concepts["label"], strict=True)
    )
    for r in rows:
        i, a, g = (int(r[f"{name}_area"]) for name in ("intersection", "mask", "concept"))
        assert int(r["union_area"]) == a + g - i and float(r["iou"]) == (i / (a + g - i) if a + g else 0)
    known = {(*key, row.category, row.label): row for *key, row in _labels(run)}
    found = {(r["network"], r["layer"], r["operator"], int(r["unit"]), r["category"], r["label"]): r for r in rows}
    assert known and {key for key, r in found.items() if r["iou_low"]} == set(known)
    assert all(float(found[key]["iou_high"]) == row.iou_high for key, row in known.items())
    assert ["held_out_iou" in row for row in rows_of(units)[:1]] == [True] and len(rows_of(concepts)) == len(
        run.concepts
    )


def _labels(run: Run):
    for row in run.labels.itertuples():
        yield row.network, row.layer, row.operator, row.unit, row


def test_a_floor_leaves_out_what_lies_below(finished, tmp_path: Path) -> None:
    run = finished(n_networks=1, folds=1)
    every, some = (pd.concat(concept_rows(run, least)) for least in (0.0, 0.05))
    pd.testing.assert_frame_equal(some.reset_index(drop=True), every[every["iou"] >= 0.05].reset_index(drop=True))
    assert 0 < len(some) < len(every) and every["iou_low"].isna().all()
    with pytest.raises(toolkit.UserError, match=r"`least_iou` is 4; it must lie in 0\.\.1\."):
        export_csv(run, tmp_path, least_iou=4)


def test_scores_that_the_counts_do_not_allow_are_left_out(finished) -> None:
    assert score_names(finished(n_networks=1, union="touched")) == ["iou", "f1", "precision", "recall"]


def test_json_holds_units_and_their_concepts(finished, tmp_path: Path) -> None:
    run = finished()
    (path,) = export_json(run, tmp_path, least_iou=0.05)
    told = json.loads(path.read_text(encoding="utf-8"))
    assert told["run"]["settings"] == run.info["settings"] and "files" not in told["run"]
    assert [unit["label"] for unit in told["units"]] == list(run.units["label"])
    assert [concept["label"] for concept in told["concepts"]] == list(run.concepts["label"])
    iou = run.iou().to_numpy()
    assert [[c["iou"] for c in unit["concepts"]] for unit in told["units"]] == [
        row[row >= 0.05].tolist() for row in iou
    ]
    assert told["units"][0]["q"] is None and told["units"][0]["sure"] is None  # no null was made


def test_a_spreadsheet_of_texts_and_numbers(finished, dissect, tmp_path: Path) -> None:
    run = finished()
    said = dissect("export", run.path, "--format", "xlsx", "--out", tmp_path / "sheets")
    book = openpyxl.load_workbook(said.out.strip())
    assert book.sheetnames == ["units", "labels", "concepts", "categories", "about"]
    assert not {c.data_type for sheet in book for row in sheet.iter_rows() for c in row} & {"f", "e"}
    assert not [c for sheet in book for row in sheet.iter_rows() for c in row if c.hyperlink]
    for name, table in {"units": export_tables.unit_rows(run), "concepts": run.concepts, "labels": run.labels}.items():
        header, *rows = book[name].iter_rows(values_only=True)
        assert list(header) == list(table)
        assert len(rows) == len(table)
        for k, column in enumerate(table):
            wanted = [None if pd.isna(v) or v == "" else v for v in table[column].tolist()]
            found = [unescape(row[k]) if isinstance(row[k], str) else row[k] for row in rows]
            assert list(map(_sixteen, found)) == list(map(_sixteen, wanted)), column
    about = dict(book["about"].iter_rows(values_only=True, min_row=2))
    assert about["settings.quantile"] == "0.9" and about["networks[1].name"] == "net1"


def test_truth_values_are_such_in_a_spreadsheet(finished, tmp_path: Path) -> None:
    run = finished(n_networks=1, null=2)
    (path,) = export_xlsx(run, tmp_path)
    header, *rows = openpyxl.load_workbook(path)["units"].iter_rows(values_only=True)
    for name in ("detector", "dead", "sure"):
        assert {type(row[header.index(name)]) for row in rows} == {bool}, name


def _sixteen(value: object) -> object:
    """What a sheet holds of a number: 16 digits."""
    return float(f"{value:.16g}") if isinstance(value, float) else value


def test_more_rows_than_a_sheet_holds(finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished(n_networks=1)
    monkeypatch.setattr("dissect.export_spreadsheet.ROWS", 10)
    with pytest.raises(
        toolkit.UserError, match=r"has 14 rows for the sheet units, and a sheet holds 9: export it as csv\."
    ):
        export_xlsx(run, tmp_path / "sheets")
    assert not (tmp_path / "sheets").exists()


def test_options_of_another_format_are_refused(finished, dissect) -> None:
    run = finished(n_networks=1)
    assert sentence(dissect("export", run.path, "--format", "xlsx", "--least-iou", 0.1)) == (
        "--least-iou is for the format csv or json, not for xlsx: leave it out."
    )
    assert sentence(dissect("export", run.path, "--units", 3)).startswith("--units is for the format masks")


def test_a_network_of_full_size_comes_in_parts(finished, monkeypatch: pytest.MonkeyPatch) -> None:
    """2,816 units and 1,197 concepts are 3.4 million rows, never more than a million of them at a time."""
    run, n_units, n_concepts = finished(n_networks=1, folds=1), 2816, 1197
    units = pd.concat([run.units.iloc[:1]] * n_units, ignore_index=True).assign(unit=range(n_units))
    concepts = pd.concat([run.concepts.iloc[:1]] * n_concepts, ignore_index=True)
    concepts["label"] = [f"label {k}" for k in range(n_concepts)]
    arrays = {
        "intersection_area": np.arange(n_units * n_concepts).reshape(n_units, n_concepts) % 7,
        "mask_area": np.full((n_units, 5), 50),
        "concept_area": np.full(n_concepts, 90), "n_images": np.full(n_concepts, 9), "annotated_area": np.full(5, 10**6),
    }  # fmt: skip
    large = Run(run.path, run.info)
    vars(large).update(units=units, concepts=concepts)
    monkeypatch.setattr(export_tables, "read_arrays", lambda *_args, **_options: arrays)
    monkeypatch.setattr(export_tables, "score_names", lambda _run: ["iou"])
    first = next(concept_rows(large, least_iou=0.04))
    assert 0 < len(first) <= 2**20 and first["unit"].max() < 2**20 // n_concepts
    assert (first["intersection_area"] == 6).all()  # 6 / (50 + 90 - 6) is above, 5 / 135 below

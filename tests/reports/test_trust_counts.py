"""What the trust of a run comes to, against sums by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_writer import make_run, reseal

from dissect.run_store import Run, RunFolderError, open_run
from reports.trust import chance_detectors, optimism, short_columns, units_with_trust


def test_short_columns_of_a_run(tmp_path: Path) -> None:
    run = open_run(make_run(tmp_path / "run"))
    table = units_with_trust(run)
    assert table["held_out_iou"].tolist() == run.trust["held_out_iou"].tolist()
    alive = table[table["label"] != ""]
    assert np.isclose(optimism(table), (alive["iou"] - alive["held_out_iou"]).sum() / len(alive))
    run.__dict__["null_score"] = lambda network: None
    short = short_columns(run)
    for (network, layer, operator), (held_out, sure, chance) in short.items():
        mine = table[(table["network"] == network) & (table["layer"] == layer) & (table["operator"] == operator)]
        expected = sum(
            (iou > 0.04) and (held > 0.04) for iou, held in zip(mine["iou"], mine["held_out_iou"], strict=True)
        )
        assert held_out == str(expected) and sure == f"{sum(mine['sure']):.0f}" and chance == ""
    assert len(short) == 6


def test_runs_that_do_not_tell(tmp_path: Path) -> None:
    plain = open_run(make_run(tmp_path / "plain", n_folds=1, null=0))
    assert units_with_trust(plain)["held_out_iou"].isna().all() and chance_detectors(plain) is None
    assert set(short_columns(plain).values()) == {("", "", "")}
    folds = open_run(make_run(tmp_path / "folds", null=0))
    assert all(held_out and not sure for held_out, sure, _ in short_columns(folds).values())


def test_detectors_of_chance(tmp_path: Path) -> None:
    run = open_run(make_run(tmp_path / "run"))
    units = run.units.assign(dead=np.arange(len(run.units)) == 0)
    null = np.full((3, len(units)), 0.01)
    null[0, [0, 1, 12]] = 0.5  # the first one is dead; the 13th is of the second layer
    null[1, 1:4] = 0.05
    for score, least, most in (("iou", 1, 3), ("f1", 1, 1)):  # an F1 of 0.05 is an IoU of 0.026
        made = Run(run.path, run.info | {"settings": run.info["settings"] | {"score": score}})
        made.__dict__.update(units=units, null_score=lambda network: null)
        chance = chance_detectors(made)
        assert chance is not None
        first = chance.iloc[0]
        assert (first["layer"], first["operator"]) == ("18", "depthwise")
        assert first["chance"] == np.mean([1, 3 if most == 3 else 0, 0])
        assert (first["chance_low"], first["chance_high"]) == (0, most) and least
        assert chance.iloc[1]["chance"] == 1 / 3 and isinstance(chance, pd.DataFrame)
    made = Run(run.path, run.info | {"settings": run.info["settings"] | {"score": "npmi"}})
    assert chance_detectors(made) is None


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("trust", ",0,", ",9,", r"row 2 is unit 9 .* by run.json it must be unit 0"),
        ("trust", "0.", "7.", r"row 2: held_out_iou is '7\.\d+'; it must be a number in 0\.\.1"),
        ("trust", "True", "Truly", r"sure is 'Truly'; it must be True, False, or empty"),
        (
            "labels",
            "depthwise,0,1,",
            "depthwise,0,0,",
            "unit 0 of layer '18' depthwise of 'separable' with rank 0 is out of order",
        ),
        ("labels", "depthwise,0,0,", "depthwise,99,0,", "row 2 is unit 99 .* which is no row of units.csv"),
        ("labels", "depthwise,0,0,", "depthwise,0,1,", "with rank 1 is out of order"),
    ],
)
def test_tables_that_no_run_writes(tmp_path: Path, name: str, old: str, new: str, says: str) -> None:
    folder = make_run(tmp_path / "run")
    file = folder / f"{name}.csv"
    text = file.read_text()
    header, rows = text.split("\n", 1)
    assert old in rows
    file.write_text(f"{header}\n{rows.replace(old, new, 1)}")
    reseal(folder)
    with pytest.raises(RunFolderError, match=says):
        getattr(open_run(folder), name)

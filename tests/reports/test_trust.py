"""What the trust of a run comes to, against sums by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from run_writer import make_run

from dissect.run_store import Run, open_run
from reports.trust import chance_detectors, optimism, short_columns, units_with_trust


def test_short_columns_of_a_run(tmp_path: Path) -> None:
    run = open_run(make_run(tmp_path / "run"))
    table = units_with_trust(run)
    assert table is not None and len(table) == len(run.units) and "held_out_iou" in table
    alive = table[table["label"] != ""]
    assert np.isclose(optimism(table), (alive["iou"] - alive["held_out_iou"]).sum() / len(alive))
    run.__dict__["null_score"] = lambda network: None
    short = short_columns(run)
    for (network, layer, operator), (held_out, sure, chance) in short.items():
        mine = table[(table["network"] == network) & (table["layer"] == layer) & (table["operator"] == operator)]
        assert held_out == str(sum(mine["held_out_iou"] > 0.04)) and sure == str(sum(mine["sure"])) and chance == ""
    assert len(short) == 6


def test_runs_that_do_not_tell(tmp_path: Path) -> None:
    plain = open_run(make_run(tmp_path / "plain", n_folds=1, null=0))
    assert units_with_trust(plain) is chance_detectors(plain) is None
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

"""The sanity checks of scores, on counts made by hand and on a run."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from command_line import sentence

from data_prep.common.files import write_json
from dissect.run_store import open_run, seal
from dissect.sanity import Areas, areas_of_labels, check_scores, extra_labels, missing_labels
from dissect.scores import SCORES


def test_half_of_the_labels_go_and_as_many_come() -> None:
    n = 400
    areas = Areas(*(np.full(n, value) for value in (600, 900, 1000, 5000)))
    fewer = missing_labels(areas, np.random.default_rng(0))
    assert (fewer.concept == 500).all() and (fewer.mask == 900).all()
    # 500 of 1000 pixels stay, of which 600 were covered: 300 on average, with variance 500 x 0.6 x 0.4 x 500 / 999.
    assert abs(fewer.intersection.mean() - 300) < 4 * np.sqrt(60 / n)
    assert abs(fewer.intersection.var() / 60 - 1) < 0.3
    more = extra_labels(areas, np.random.default_rng(0))
    assert (more.concept == 2000).all() and (more.intersection >= 600).all()
    # 1000 of the 4000 pixels without the label come, 300 of which are covered: 75 on average.
    assert abs(more.intersection.mean() - 675) < 4 * np.sqrt(1000 * 0.075 * 0.925 * 0.75 / n)


def test_labels_are_added_only_where_there_is_room() -> None:
    areas = Areas(*(np.array([value]) for value in (600, 900, 3000, 5000)))
    more = extra_labels(areas, np.random.default_rng(0))
    assert (more.concept.item(), more.intersection.item()) == (5000, 900)


def test_more_pixels_than_numpy_draws_exactly() -> None:
    areas = Areas(*(np.array([value]) for value in (6 * 10**8, 9 * 10**8, 10**9, 4 * 10**9)))
    fewer, more = (spoil(areas, np.random.default_rng(0)) for spoil in (missing_labels, extra_labels))
    assert abs(fewer.intersection.item() / 3e8 - 1) < 1e-3
    assert abs(more.intersection.item() / 7e8 - 1) < 1e-3


def test_agreement_passes_and_half_of_it_fails() -> None:
    random = np.random.default_rng(1)
    concept, mask = random.integers(2000, 50_000, 300), random.integers(5000, 20_000, 300)
    areas = Areas(
        (np.minimum(mask, concept) * random.uniform(0.2, 0.6, 300)).astype(int), mask, concept, np.full(300, 10**6)
    )
    checks = {check.score: check for check in check_scores(areas)}
    assert [name for name, check in checks.items() if check.passes] == ["iou", "f1", "matthews", "npmi"]
    recall, precision = checks["recall"], checks["precision"]
    assert recall.missing.fell_share < 0.6 and recall.extra.fell_share > 0.9
    assert precision.missing.fell_share > 0.9 and precision.extra.fell_share < 0.1
    assert abs(recall.missing.median_ratio - 1) < 0.02 and abs(precision.missing.median_ratio - 0.5) < 0.02
    assert check_scores(areas) == check_scores(areas) != check_scores(areas, seed=1)


def test_the_command(run, dissect, sixty: Path, out: Path) -> None:
    run("--layers", 1, "--quantile", 0.9, "--iou-cut", 0.02, "--union", "all-images", data=sixty)
    finished = open_run(out)
    detectors = finished.units[finished.units["detector"]]
    areas = areas_of_labels(finished)
    assert areas.intersection.tolist() == detectors["intersection_area"].tolist() and len(detectors) > 2
    assert (areas.mask + areas.concept - areas.intersection).tolist() == detectors["union_area"].tolist()
    assert (areas.universe == finished.counts("small")["annotated_area"].max()).all()
    said = dissect("sanity", out)
    assert said.status == 0 and "The labels of this run were chosen by iou." in said.out
    rows = list(csv.DictReader(io.StringIO(dissect("sanity", out, "--style", "csv").out)))
    assert {row["score"]: row["units"] for row in rows} == dict.fromkeys(SCORES, str(len(detectors)))

    for info, says in (({"union": "touched"}, "dissect again with --union 'category'"), ({}, "no label to check")):
        write_json(out / "run.json", finished.info | {"settings": finished.info["settings"] | info})
        if not info:
            finished.units.assign(detector=False).to_csv(out / "units.csv", index=False)
            seal(out, finished.info)
        assert says in sentence(dissect("sanity", out))

"""The table that the page's script draws from."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_writer import reseal

from dissect.run_store import RunFolderError, open_run
from reports.crew import Crew
from reports.pictures import Pictures
from reports.summary import categories_of, populations
from reports.unit_browser import browser_table, choose_size


def table_of(folder: Path, **options: int) -> dict:
    run = open_run(folder)
    pops = populations(run)
    with Crew(0) as crew:
        return browser_table(run, pops, Pictures(run), categories_of(run, pops), crew=crew, **options)


def test_every_unit_is_there_with_its_numbers(reported: Path, rows: Callable[..., list[dict[str, str]]]) -> None:
    table = table_of(reported)
    units = rows(reported)
    assert len(table["unit"]) == len(units) == 168
    for k, r in enumerate(units):
        assert table["populations"][table["population"][k]][1:3] == [f"layer {r['layer']}", r["operator"]]
        assert (table["unit"][k], table["iou"][k]) == (int(r["unit"]), round(float(r["iou"]), 4))
        assert table["threshold"][k] == pytest.approx(float(r["threshold"]), rel=1e-3)
        assert table["detector"][k] == (r["detector"] == "True") and table["dead"][k] == (r["dead"] == "True")
        if r["label"]:
            category, label = table["concepts"][table["concept"][k]]
            assert (table["categories"][category], label) == (r["category"], r["label"])
        else:
            assert table["concept"][k] == -1


def test_each_image_is_held_once_and_named(reported: Path) -> None:
    table = table_of(reported)
    run = open_run(reported)
    strongest = run.strongest_masks("imagenet12").image
    for row, images in enumerate(table["images"][: len(strongest)]):
        wanted = [run.images["name"][i] for i in strongest[row] if i >= 0]
        assert [table["names"][i] for i in images] == wanted
        assert len(table["masks"][row]) == len(table["peaks"][row]) == len(wanted)
    assert len(table["names"]) == len(set(table["names"])) == len(table["thumbnails"]) == 12
    thumbnail = Image.open(io.BytesIO(base64.b64decode(table["thumbnails"][0])))
    assert thumbnail.format == "JPEG" and max(thumbnail.size) <= table["side"] == 112


def test_a_unit_without_a_threshold_is_refused(run_folder: Callable[..., Path]) -> None:
    folder = run_folder(n_images=3)
    lines = (folder / "units.csv").read_text(encoding="utf-8").splitlines()
    at = lines[0].split(",").index("threshold")
    first = lines[1].split(",")
    first[at] = ""
    (folder / "units.csv").write_text("\n".join([lines[0], ",".join(first), *lines[2:]]), encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"units\.csv, row 2: threshold is ''; it must be a finite number"):
        table_of(reseal(folder))


def test_size_shrinks_to_the_budget() -> None:
    image = [np.random.default_rng(0).permutation(4000).reshape(400, 10)]
    assert choose_size(image, budget=10**9) == (8, 112)
    n, side = choose_size(image, budget=6_000_000)
    assert side == 112 and 3 <= n < 8
    assert choose_size(image, budget=3_500_000)[1] == 80
    assert choose_size(image, budget=1000) == (3, 56)
    assert choose_size([np.full((5, 4), -1)], budget=1000) == (4, 112)
    assert choose_size([]) == (0, 112)


def test_small_budget_gives_shorter_strips(reported: Path) -> None:
    assert max(map(len, table_of(reported, budget=12 * 3600 + 168 * 3 * 170)["images"])) == 3

"""Runs on label sets that others made: images on their sides, names that a spreadsheet would run, no home for compiled code."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import dissect
from data_prep.broden import open_broden
from dissect.export_tables import export_csv
from dissect.images import turned_images
from dissect.netdissect_tally import export_tally, read_tally
from reports import overlay
from reports.pictures import Pictures
from reports.summary import populations

SETTINGS = dissect.Settings(quantile=0.9, folds=2)
TABLES = ("units.csv", "unit_category.csv", "concepts.csv", "replicates.csv", "images.csv")


@pytest.mark.usefixtures("one_thread")
def test_an_image_on_its_side_counts_as_the_upright_one(tiny_broden: Path, nets: str, tmp_path: Path) -> None:
    """The index has the upright size; what is stored is turned as a camera does it (EXIF orientation 6 and 8)."""
    path = tiny_broden / "images/a/two.jpg"
    with Image.open(path) as image:
        upright = np.asarray(image.convert("RGB"))
    network = dissect.load_network(f"{nets}:small")
    runs, strips = {}, {}
    for tag, stored in {
        None: upright, 6: upright.swapaxes(0, 1)[::-1], 8: upright.swapaxes(0, 1)[:, ::-1],
    }.items():  # fmt: skip
        exif = Image.Exif()
        if tag:
            exif[0x0112] = tag
        Image.fromarray(np.ascontiguousarray(stored)).save(path, "PNG", exif=exif)
        data = open_broden(tiny_broden)
        runs[tag] = dissect.run(network, data, layers="1", settings=SETTINGS, out=tmp_path / f"run{tag}")
        assert turned_images(data.images) == ({"a/two.jpg": (24, 40)} if tag else {})
        assert runs[tag].info["data"].get("turned") == ([{"name": "a/two.jpg", "shape": [24, 40]}] if tag else None)
        drawn = overlay.read_image(path, 40, (24, 40) if tag else None)
        np.testing.assert_array_equal(drawn, upright)
        pictures, (population, *_) = Pictures(runs[tag]), populations(runs[tag])
        strips[tag] = [pictures.strip(population, n, 4) for n in range(len(population.units))]
    for tag in (6, 8):
        for name in TABLES:
            assert (runs[tag].path / name).read_bytes() == (runs[None].path / name).read_bytes(), name
        assert any(strip is not None for strip in strips[None])
        for mine, plain in zip(strips[tag], strips[None], strict=True):
            np.testing.assert_array_equal(mine, plain)
    Image.fromarray(np.ascontiguousarray(upright.swapaxes(0, 1)[::-1])).save(path, "PNG")
    other = dissect.run(network, open_broden(tiny_broden), layers="1", settings=SETTINGS, out=tmp_path / "lying")
    assert (other.path / "units.csv").read_bytes() != (runs[None].path / "units.csv").read_bytes(), (
        "the test shows nothing"
    )


@pytest.mark.usefixtures("one_thread")
def test_no_cell_of_a_run_is_a_formula_and_none_is_changed(tiny_broden: Path, nets: str, tmp_path: Path) -> None:
    names = {"cat": "=cmd|' /C calc'!A0", "wheel": "@SUM(1)", "street-s": "-street", "red-c": "'+red", "hair": "\tHair"}
    names["lamp"] = "la\rmp"  # which ends a line, but in quotes
    for file in tiny_broden.glob("*.csv"):
        text = file.read_text()
        for old, new in names.items():
            text = text.replace(f",{old},", f',"{new}",')
        file.write_text(text)
    index = tiny_broden / "index.csv"
    index.write_text(index.read_text().replace("a/two.jpg", "=a/two.jpg").replace(",val,", ",+val,"))
    (tiny_broden / "images/=a").mkdir()
    (tiny_broden / "images/a/two.jpg").rename(tiny_broden / "images/=a/two.jpg")
    network = dissect.load_network(f"{nets}:small", domain="=HYPERLINK(0)")
    data = open_broden(tiny_broden)
    run = dissect.run(network, data, layers=["1", "2"], settings=SETTINGS, out=tmp_path / "run")
    (tally, *_), (_, pairs, _) = export_tally(run, tmp_path / "exported"), export_csv(run, tmp_path / "tables")
    with pairs.open(newline="") as file:
        assert "la\rmp" in {row[5] for row in csv.reader(file, strict=True)}
    n_escaped = 0
    for path in (*(run.path / name for name in TABLES), tally):
        with path.open(newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        wrong = [
            cell
            for cell in cells
            if cell[:1] in {*"=+-@\t\r"} and not cell[1:].replace(".", "").replace("e-", "").isdigit()
        ]
        assert wrong == [], path
        n_escaped += sum(cell.startswith("'") for cell in cells)
    assert n_escaped > 10
    assert {*run.concepts["label"]} == {concept.name for concept in data.concepts} >= {*names.values()}
    assert {*run.units["domain"]} == {"=HYPERLINK(0)"}
    assert [*run.images["name"]] == [image.name for image in data.images] and "+val" in {*run.images["split"]}
    first = run.units[(run.units["layer"] == "1")].reset_index(drop=True)
    pd.testing.assert_series_equal(read_tally(tally)["label"], first["label"])


@pytest.mark.slow
@pytest.mark.parametrize("kept", [False, True])
def test_compiled_code_needs_no_home(tmp_path: Path, kept: bool) -> None:
    """A container whose site-packages and home cannot be written: numba found "no locator available"."""
    code = (
        "import os, sys, tempfile\n"
        "real = tempfile.TemporaryFile\n"
        "def refused(*args, dir=None, **options):\n"
        "    if dir and not str(dir).startswith(sys.argv[1]): raise OSError(30, 'Read-only file system')\n"
        "    return real(*args, dir=dir, **options)\n"
        "tempfile.TemporaryFile = refused\n"
        "import numpy as np\n"
        "from numba import njit\n"
        "def f(): return 1\n"
        "try: njit(cache=True)(f); print('numba found a place')\n"
        "except RuntimeError as error: print('numba found none')\n"
        "from dissect.thresholds import UpperTail\n"
        "tail = UpperTail(n_units=1, n_values=12, level=0.75)\n"
        "tail.add(np.arange(12, dtype=np.float32).reshape(3, 2, 2), units=np.zeros(3, np.int32))\n"
        "print(*tail.quantile(12))\n"
    )
    path = tmp_path / "code.py"
    path.write_text(code)
    (tmp_path / "cache").mkdir()
    allowed = tmp_path / "cache" if kept else tmp_path / "nowhere"
    environment = {**os.environ, "DISSECT_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(Path(__file__).parents[2])}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, str(path), str(allowed)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.stdout.splitlines() == ["numba found none", "8.25"], done.stderr
    assert bool([*(tmp_path / "cache").rglob("*.nbc")]) == kept

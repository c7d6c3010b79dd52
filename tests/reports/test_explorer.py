"""The data that the page's scripts draw from."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_writer import reseal

from dissect.run_store import RunFolderError, open_run
from reports.crew import Crew
from reports.explorer import N_BINS, bars, explorer_data
from reports.members import all_categories, gather
from reports.page_pictures import PagePictures, choose_size


def shown(*folders: Path, outside: bool = False, **options: int) -> tuple[dict, PagePictures]:
    members = gather([open_run(folder) for folder in folders])
    pictures = PagePictures(members, outside=outside, **options)
    return explorer_data(members, all_categories(members), pictures), pictures


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_unit_is_there_with_its_numbers(reported: Path) -> None:
    data, _ = shown(reported)
    units = data["units"]
    rows, trust = table(reported, "units.csv"), table(reported, "trust.csv")
    assert len(units["unit"]) == len(rows) == len(trust) == 168
    for k, (row, sure) in enumerate(zip(rows, trust, strict=True)):
        network, layer, operator, module = data["populations"][units["population"][k]]
        assert (data["networks"][network]["name"], layer) == (row["network"], f"layer {row['layer']}")
        assert (operator, module, units["unit"][k]) == (row["operator"], row["module"], int(row["unit"]))
        assert units["iou"][k] == float(row["iou"]) and units["nImages"][k] == int(row["n_images"])
        assert units["threshold"][k] == pytest.approx(float(row["threshold"]), rel=1e-3)
        assert units["detector"][k] == (row["detector"] == "True") and units["dead"][k] == (row["dead"] == "True")
        assert units["held"][k] == float(sure["held_out_iou"]) and units["low"][k] == float(sure["iou_low"])
        assert units["p"][k] == float(sure["p"]) and units["high"][k] == float(sure["iou_high"])
        assert units["keptFolds"][k] == int(sure["kept_folds"]) and units["nSet"][k] == int(sure["n_set"])
        assert units["sure"][k] == (sure["sure"] == "True") and units["q"][k] == float(sure["q"])
        if row["label"]:
            category, label = data["concepts"][units["concept"][k]]
            assert (data["categories"][category], label) == (row["category"], row["label"])
        else:
            assert units["concept"][k] == -1


def test_the_best_concepts_of_a_unit_come_from_its_label_set(reported: Path) -> None:
    data, _ = shown(reported)
    wanted: dict[tuple[str, ...], list[tuple[str, float, bool]]] = {}
    for row in table(reported, "labels.csv"):
        key = (row["network"], row["layer"], row["operator"], row["unit"])
        wanted.setdefault(key, []).append((row["label"], round(float(row["iou"]), 4), row["in_set"] == "True"))
    for k, row in enumerate(table(reported, "units.csv")):
        found = [(data["concepts"][c][1], iou, bool(in_set)) for c, iou, _, _, _, in_set in data["units"]["best"][k]]
        assert found == wanted.get((row["network"], row["layer"], row["operator"], row["unit"]), [])


def test_without_folds_and_without_null_columns_are_none(run_folder: Callable[..., Path]) -> None:
    networks = {"n": [("1", "conv", 4)]}
    plain, _ = shown(run_folder("plain", networks=networks, n_folds=1, null=0))
    assert all(plain["units"][name] is None for name in ("held", "low", "high", "kept", "nSet", "p", "q", "sure"))
    untested, _ = shown(run_folder("untested", networks=networks, null=0))
    assert untested["units"]["held"] and untested["units"]["q"] is None and untested["units"]["sure"] is None


def test_each_image_is_held_once_and_named(reported: Path) -> None:
    data, pictures = shown(reported)
    run = open_run(reported)
    strongest = run.strongest_masks("imagenet12").image
    for row, images in enumerate(data["units"]["images"][: len(strongest)]):
        wanted = [run.images["name"][i] for i in strongest[row] if i >= 0]
        assert [data["imageNames"][i] for i in images] == wanted and len(data["units"]["peaks"][row]) == len(wanted)
    with Crew(0) as crew:
        stored = pictures.make(crew)
    assert len(data["imageNames"]) == len(set(data["imageNames"])) == len(stored.images) == 12
    assert len(stored.masks) == 168 and [k for k, _ in data["units"]["sheet"]] == list(range(168))
    for name, jpeg in zip(data["imageNames"], stored.images, strict=True):
        there = Image.open(io.BytesIO(jpeg)).convert("RGB")
        own = Image.open(run.image_root / name).convert("RGB").resize(there.size)
        assert np.abs(np.asarray(there, float) - np.asarray(own, float)).mean() < 12


def test_images_of_two_runs_are_kept_apart(run_folder: Callable[..., Path]) -> None:
    networks = {"n": [("1", "conv", 12)]}
    a, b = run_folder("a", networks=networks), run_folder("b", networks=networks, seed=1)
    data, pictures = shown(a, b)
    assert data["runs"] == ["a", "b"] and [n["title"] for n in data["networks"]] == [
        "a: n, untrained",
        "b: n, untrained",
    ]
    with Crew(0) as crew:
        stored = pictures.make(crew)
    assert len(stored.images) == len(data["imageNames"]) == 24 > len(set(data["imageNames"])) == 12
    place = data["units"]["images"][12][0]  # the first image of the second run's first unit
    own = Image.open(open_run(b).image_root / data["imageNames"][place]).convert("RGB")
    there = Image.open(io.BytesIO(stored.images[place])).convert("RGB").resize(own.size)
    assert np.abs(np.asarray(there, float) - np.asarray(own, float)).mean() < 12


def test_runs_may_have_concepts_of_their_own(run_folder: Callable[..., Path]) -> None:
    networks = {"n": [("1", "conv", 12)]}
    a = run_folder("a", networks=networks, concepts=[("object", "car"), ("object", "tree")], detector_share=1)
    b = run_folder("b", networks=networks, concepts=[("object", "car"), ("part", "tree")], detector_share=1)
    data, _ = shown(a, b)
    n_images = {
        (data["categories"][c], label): len(data["conceptImages"][k]) for k, (c, label) in enumerate(data["concepts"])
    }
    assert n_images["object", "car"] > max(n_images["object", "tree"], n_images["part", "tree"]) > 0


def test_outside_the_page_pictures_are_as_many_and_as_large_as_can_be(reported: Path) -> None:
    data, pictures = shown(reported, outside=True, budget=1000)
    assert (pictures.n_images, pictures.side) == (4, 224)
    assert data["units"]["sheet"][:26:25] == [[0, 0], [1, 1]]


def test_a_unit_without_a_threshold_is_refused(run_folder: Callable[..., Path]) -> None:
    folder = run_folder(n_images=4, networks={"n": [("1", "conv", 3)]})
    lines = (folder / "units.csv").read_text(encoding="utf-8").splitlines()
    at = lines[0].split(",").index("threshold")
    first = lines[1].split(",")
    first[at] = ""
    (folder / "units.csv").write_text("\n".join([lines[0], ",".join(first), *lines[2:]]), encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"units\.csv, row 2: threshold is ''; it must be a finite number"):
        shown(reseal(folder))


def test_size_shrinks_to_the_budget() -> None:
    image = [np.random.default_rng(0).permutation(4000).reshape(400, 10)]
    assert choose_size(image, budget=10**9) == (10, 224)
    assert choose_size(image, budget=26_000_000) == (10, 160)
    assert choose_size(image, budget=11_000_000) == (10, 80)
    n, side = choose_size(image, budget=6_000_000)
    assert (3 <= n < 10) and side >= 56
    assert choose_size(image, n_more=1000, budget=26_000_000) == (10, 112)
    assert choose_size(image, budget=1000) == (3, 56)
    assert choose_size([np.full((5, 4), -1)], budget=1000) == (4, 224)
    assert choose_size([]) == (0, 224)


def test_bars_hold_the_histogram_of_any_bins() -> None:
    """Values put into uneven bins, and their bars: all are there, the highest where most values are."""
    edges = np.array([-8.0, -4, -2, -1, 0, 1, 2, 4, 8])
    values = np.random.default_rng(0).normal(0.5, 0.3, 10_000)
    found = bars(edges, np.histogram(values, edges)[0])
    assert found is not None
    low, high, heights = found
    assert (low, high) == (-1, 2) and len(heights) == N_BINS
    in_unit = [N_BINS * (v - low) / (high - low) for v in (0, 1)]
    assert set(heights[int(in_unit[0]) + 1 : int(in_unit[1])]) == {"z"} and heights[0] < "z"
    assert bars(edges, np.zeros(8, int)) is None
    one_value = bars(np.array([0.0, 0.0]), np.array([7]))
    assert one_value is not None and one_value[0] < 0 < one_value[1]

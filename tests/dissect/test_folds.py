"""Counts by fold of the images: against the brute force, whoever counted, and in the run folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from broden_writer import random_pictures, write_broden
from brute_force import brute_force, read_broden
from comparing import engine

from data_prep.broden import open_broden
from data_prep.common.errors import UserError
from dissect import scores
from dissect.folds import image_folds
from dissect.run_files import RunFolderError, read_arrays, write_arrays
from dissect.run_store import open_run
from dissect.scores import Counts
from dissect.settings import Settings

N_IMAGES = 23
CATEGORIES = {"scene": [9, 4], "part": [3, 5], "object": [3, 4, 258]}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = random_pictures(np.random.default_rng(5), CATEGORIES, [(12, 16), (9, 7)], N_IMAGES)
    return write_broden(tmp_path_factory.mktemp("sets") / "folds", CATEGORIES, pictures)


@pytest.fixture(scope="module")
def maps() -> np.ndarray:
    return np.random.default_rng(6).standard_normal((N_IMAGES, 9, 4, 6)).astype(np.float32)


def test_folds_are_even_and_go_by_name() -> None:
    names = [f"{n}.png" for n in range(47)]
    folds = dict(zip(names, image_folds(names, 5).tolist(), strict=True))
    assert sorted(np.bincount(list(folds.values())).tolist()) == [9, 9, 9, 10, 10]
    assert dict(zip(names[::-1], image_folds(names[::-1], 5).tolist(), strict=True)) == folds
    assert image_folds(names, 1).tolist() == [0] * 47
    used = np.array([n % 5 != 2 for n in range(47)])
    of_used = [name for name, is_used in zip(names, used, strict=True) if is_used]
    assert image_folds(names, 5, used)[used].tolist() == image_folds(of_used, 5).tolist()
    runs = np.diff(list(folds.values()))
    assert len(set(runs.tolist())) > 4  # neighbours are spread, not dealt out in turn


def test_more_folds_than_images() -> None:
    with pytest.raises(UserError, match=r"3 images, fewer than 10 folds: give `folds` a lower number"):
        image_folds(["a", "b", "c"], 10)
    with pytest.raises(UserError, match=r"`folds` is 0; it must be 1"):
        Settings(folds=0)
    assert Settings().resolved(3).folds == 3 and Settings(folds=10).resolved(3).folds == 10


@pytest.mark.parametrize(
    "execution", [{"workers": 1}, {"workers": 5, "batch_size": 3}, {"workers": 2, "memory": 60_000 / 2**30}]
)
def test_each_fold_is_what_its_images_alone_count(
    root: Path, maps: np.ndarray, tmp_path: Path, execution: dict[str, int]
) -> None:
    data = open_broden(root)
    result = engine({"first": maps}, data, tmp_path, settings=Settings(quantile=0.9, folds=3), **execution)
    folds = image_folds([image.name for image in data.images], 3)
    broden = read_broden(root)
    for number, counts in enumerate(Counts(*arrays) for arrays in zip(*result.folds, strict=True)):
        # The thresholds are those of all images; an image without labels adds nothing to any count.
        images = [
            image if fold == number else replace(image, maps=[], whole=[])
            for image, fold in zip(broden.images, folds, strict=True)
        ]
        alone = brute_force([maps], replace(broden, images=images), 0.9)
        np.testing.assert_array_equal(counts.intersection_area, alone.intersection_area)
        np.testing.assert_array_equal(counts.mask_area, alone.mask_area["category"])
        np.testing.assert_array_equal(counts.concept_area, alone.concept_area)
        np.testing.assert_array_equal(counts.n_images, alone.n_images)
    for total, by_fold in zip(result.counts, result.folds, strict=True):
        np.testing.assert_array_equal(total, sum(by_fold))


def test_replicates_of_a_run(run, sixty: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "BLOCK", 40)  # a few units at a time
    run("--layers", 1, 2, "--folds", 4, "--quantile", 0.9, data=sixty)
    finished = open_run(out)
    replicates, units = finished.replicates, finished.units
    assert len(replicates) == 4 * len(units)
    (network,) = units["network"].unique()
    counts = finished.counts(network)
    names = list(zip(finished.concepts["category"], finished.concepts["label"], strict=True))
    categories = finished.info["data"]["categories"]
    column = np.array([categories.index(category) for category, _ in names])
    for left_out, group in replicates.groupby("left_out"):
        i, a, g = (
            counts[name] - counts["fold_" + name][left_out]
            for name in ("intersection_area", "mask_area", "concept_area")
        )
        for row, unit in enumerate(group.itertuples()):
            iou = [i[row, c] / max(a[row, column[c]] + g[c] - i[row, c], 1) for c in range(len(names))]
            if units["dead"][row]:
                assert (unit.category, unit.iou, unit.detector) == ("", 0, False)
            else:
                assert unit.iou == max(iou)
                assert (unit.category, unit.label) == names[iou.index(max(iou))]
                assert unit.detector == (max(iou) > 0.04)
    assert not pd.isna(replicates).any(axis=None)


def test_counts_by_fold_are_read_one_at_a_time(tmp_path: Path) -> None:
    path, rng = tmp_path / "net.npz", np.random.default_rng(7)
    arrays = {"fold_a": rng.integers(0, 2**40, (3, 4, 50)), "fold_b": rng.integers(0, 9, (3, 2)), "c": np.arange(5)}
    write_arrays(path, arrays)
    stored = read_arrays(path, by_slices="fold_")
    assert stored["c"].tolist() == list(range(5))
    for _ in range(2):
        for name in ("fold_a", "fold_b"):
            np.testing.assert_array_equal(np.stack(list(stored[name])), arrays[name])
    content = bytearray(path.read_bytes())
    content[300] ^= 255
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"net\.npz cannot be read .*dissect again with `overwrite`"):
        list(stored["fold_a"])


def test_without_folds_there_are_no_replicates(run, sixty: Path, out: Path) -> None:
    run("--layers", 1, 2, "--folds", 1, data=sixty)
    finished = open_run(out)
    assert finished.replicates is finished.trust is finished.labels is None
    assert not any(name.startswith("fold_") for name in open_run(out).counts("small"))

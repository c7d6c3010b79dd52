"""Masks against the labels of other images: the scores of a brute force on a set whose labels were dealt out again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from broden_writer import random_pictures, write_broden
from brute_force import Reference, brute_force, read_broden
from comparing import engine

from data_prep.broden import open_broden
from data_prep.common.errors import UserError
from dissect.null import others_labels
from dissect.settings import Settings

N_IMAGES, N_ROUNDS, MIN_IMAGES = 23, 3, 11
CATEGORIES = {"scene": [9, 4], "part": [3, 5], "object": [3, 4, 258]}
NAMES = [f"{n}.png" for n in range(N_IMAGES)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label maps of two sizes."""
    pictures = random_pictures(np.random.default_rng(5), CATEGORIES, [(12, 16), (9, 7)], N_IMAGES)
    return write_broden(tmp_path_factory.mktemp("sets") / "null", CATEGORIES, pictures)


@pytest.fixture(scope="module")
def maps() -> np.ndarray:
    return np.random.default_rng(6).standard_normal((N_IMAGES, 9, 4, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def rounds(root: Path, maps: np.ndarray) -> list[Reference]:
    """For each round the counts of a set in which every image has the labels, and the label map's size, of another."""
    broden, others = read_broden(root), others_labels(NAMES, np.ones(N_IMAGES, bool), N_ROUNDS).image
    dealt = [replace(broden, images=[broden.images[k] for k in of_round]) for of_round in others.T.tolist()]
    return [brute_force([maps], each, 0.9) for each in dealt]


def best(reference: Reference, values: np.ndarray) -> np.ndarray:
    eligible = reference.n_images >= MIN_IMAGES
    assert 0 < eligible.sum() < len(eligible)
    return values[:, eligible].max(1)


def settings(**more: object) -> Settings:
    return Settings(quantile=0.9, null=N_ROUNDS, min_images=MIN_IMAGES, strongest=2, **more)  # type: ignore[arg-type]


def test_every_image_takes_the_labels_of_one_other() -> None:
    used = np.arange(N_IMAGES) % 5 > 0
    numbers = np.flatnonzero(used)
    image, fold = others_labels(NAMES, used, 40)
    assert image.shape == fold.shape == (N_IMAGES, 40)
    for of_round in image.T:
        assert sorted(of_round[numbers]) == numbers.tolist() and (of_round[numbers] != numbers).all()
    assert (fold == np.arange(40)).all()
    # Each image meets many others, all about as often.
    assert min(len(set(row)) for row in image[numbers].tolist()) > 10
    backwards = others_labels(NAMES[::-1], used[::-1], 40).image[::-1]
    np.testing.assert_array_equal(N_IMAGES - 1 - backwards[numbers], image[numbers])


def test_one_image_has_no_other(root: Path, maps: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="`null` compares the masks on an image with the labels of another, and there is only"
    ):
        others_labels(["a", "b"], np.array([True, False]), 2)


@pytest.mark.parametrize("union", ["category", "all-images", "touched"])
def test_null_scores_are_those_of_the_brute_force(
    union: str, root: Path, maps: np.ndarray, rounds: list[Reference], tmp_path: Path
) -> None:
    result = engine({"first": maps}, open_broden(root), tmp_path, settings=settings(union=union), batch_size=5)
    expected = [best(reference, reference.iou(union)) for reference in rounds]
    assert result.null_score is not None and result.null_score.tobytes() == np.stack(expected).tobytes()
    own = brute_force([maps], read_broden(root), 0.9)
    np.testing.assert_array_equal(result.counts.intersection_area, own.intersection_area)  # which the null leaves alone


def test_another_score(root: Path, maps: np.ndarray, rounds: list[Reference], tmp_path: Path) -> None:
    result = engine({"first": maps}, open_broden(root), tmp_path, settings=settings(score="precision"), memory=1e-4)
    area = [reference.mask_area["category"][:, reference.category_of] for reference in rounds]
    expected = [best(each, each.intersection_area / np.maximum(a, 1)) for each, a in zip(rounds, area, strict=True)]
    np.testing.assert_array_equal(result.null_score, expected)


def interrupt_at(stage: str, done: int) -> Callable[[str, int, int], None]:
    def progress(this_stage: str, this_done: int, _total: int) -> None:
        if (this_stage, this_done) == (stage, done):
            os.kill(os.getpid(), signal.SIGINT)

    return progress


@pytest.mark.parametrize("spill", [None, 0], ids=["maps kept", "two passes"])
def test_interrupted_in_the_middle(
    spill: int | None, root: Path, maps: np.ndarray, rounds: list[Reference], tmp_path: Path
) -> None:
    way = {"settings": settings(), "batch_size": 4, "spill": spill, "memory": 2e-5}
    data, seen = open_broden(root), []
    with pytest.raises(KeyboardInterrupt):
        engine({"first": maps}, data, tmp_path, progress=interrupt_at("null", 8), **way)
    result = engine({"first": maps}, data, tmp_path, progress=lambda *at: seen.append(at[:2]), **way)
    assert [done for stage, done in seen if stage == "null"] == [16, 20, 23]
    assert not [stage for stage, _ in seen if stage in ("forward", "tally")]
    np.testing.assert_array_equal(result.null_score, [best(reference, reference.iou()) for reference in rounds])

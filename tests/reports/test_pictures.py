"""Strips show the images that the run names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from dissect.run_store import open_run
from reports.crew import Crew
from reports.overlay import OUTSIDE_SHARE, grey_placeholder
from reports.pictures import TILE, Pictures
from reports.summary import populations


def test_strip_shows_the_named_image_inside_the_mask(run_folder: Callable[..., Path]) -> None:
    folder = run_folder(image_size=(224, 224), label_shape=(TILE, TILE))
    run = open_run(folder)
    population = next(p for p in populations(run) if p.operator == "pointwise" and p.layer == "20")
    pictures = Pictures(run)
    position = next(k for k, dead in enumerate(population.units["dead"]) if not dead)
    strip = pictures.strip(population, position, 2)
    assert strip is not None
    strongest = run.strongest_masks("separable")
    row = population.rows[position]
    image = np.asarray(Image.open(run.image_root / run.images["name"][strongest.image[row, 0]]))
    mask = strongest.mask(row, 0)
    np.testing.assert_array_equal(strip[:, :TILE][mask], image[mask])
    dark = (strip[:, :TILE] == np.floor(image * OUTSIDE_SHARE)).all(-1)
    assert not pictures.missing and dark[~mask].mean() > 0.7


def test_rows_are_those_of_the_strongest_arrays(run_folder: Callable[..., Path]) -> None:
    run = open_run(run_folder(networks={"a": [("1", "conv", 3)], "b": [("1", "conv", 2), ("2", "conv", 4)]}))
    rows = {(p.network, p.layer): p.rows.tolist() for p in populations(run)}
    assert rows == {("a", "1"): [0, 1, 2], ("b", "1"): [0, 1], ("b", "2"): [2, 3, 4, 5]}


def test_vanished_image_becomes_a_grey_square(run_folder: Callable[..., Path]) -> None:
    folder = run_folder(n_images=4, n_strongest=4)
    run = open_run(folder)
    for name in run.images["name"]:
        (run.image_root / name).unlink()
    population = populations(run)[0]
    pictures = Pictures(run)
    position = next(k for k, dead in enumerate(population.units["dead"]) if not dead)
    strip = pictures.strip(population, position, 1)
    np.testing.assert_array_equal(strip, grey_placeholder(TILE))
    assert pictures.thumbnails([0, 3], 32, Crew(0), lambda n, total: None) == [b"", b""]
    assert {run.images["name"][0], run.images["name"][3]} <= pictures.missing

"""The mask that is drawn is the mask that was given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reports.overlay import (
    OUTSIDE_SHARE,
    draw_mask,
    fit_mask,
    grey_placeholder,
    masked_tile,
    outline,
    read_image,
    strip,
    thumbnail_jpeg,
)
from reports.style import CONTOUR


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (30, 40, 3), dtype=np.uint8)


def a_mask(shape: tuple[int, int], seed: int = 1) -> np.ndarray:
    field = Image.fromarray(np.random.default_rng(seed).normal(size=(5, 5)).astype(np.float32))
    return np.asarray(field.resize(shape[::-1], Image.Resampling.BICUBIC)) > 0.4


def near_by_brute_force(mask: np.ndarray, distance: int) -> np.ndarray:
    """Pixels outside the mask within `distance` steps (up, down, left, right) of one inside."""
    inside = np.argwhere(mask)
    result = np.zeros_like(mask)
    for y, x in np.argwhere(~mask):
        result[y, x] = (np.abs(inside - (y, x)).sum(1) <= distance).any()
    return result


@pytest.mark.parametrize("width", [1, 2, 3])
def test_outline_is_what_lies_next_to_the_mask(width: int) -> None:
    mask = a_mask((30, 40))
    np.testing.assert_array_equal(outline(mask, width), near_by_brute_force(mask, width))


def test_inside_is_untouched_outside_is_dark_the_edge_is_bright(image: np.ndarray) -> None:
    mask = a_mask(image.shape[:2])
    before, drawn = image.copy(), draw_mask(image, mask)
    edge = near_by_brute_force(mask, 2)
    np.testing.assert_array_equal(drawn[mask], image[mask])
    assert (drawn[edge] == CONTOUR).all()
    beyond = ~mask & ~edge
    np.testing.assert_array_equal(drawn[beyond], np.floor(image[beyond] * OUTSIDE_SHARE).astype(np.uint8))
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("full", [True, False])
def test_full_and_empty_masks_have_no_edge(image: np.ndarray, full: bool) -> None:
    drawn = draw_mask(image, np.full(image.shape[:2], full))
    assert not (drawn == CONTOUR).all(-1).any()
    assert (drawn == image).all() == full


def test_enlarged_mask_keeps_its_share_and_place() -> None:
    mask = a_mask((36, 48))
    large = fit_mask(mask, (144, 192))
    assert large.mean() == pytest.approx(mask.mean(), abs=0.01)
    assert (large[2::4, 2::4] == mask).mean() > 0.99


def test_tile_keeps_the_whole_image_and_pads_with_white(image: np.ndarray) -> None:
    tile = masked_tile(image, np.ones(image.shape[:2], bool), 80)  # 30 x 40 becomes 60 x 80
    assert tile.shape == (80, 80, 3)
    assert (tile[:10] == 255).all() and (tile[70:] == 255).all()
    assert not (tile[10:70] == 255).all(-1).any()


def test_tiles_stand_side_by_side() -> None:
    tiles = [np.full((20, 20, 3), k, np.uint8) for k in (1, 2, 3)]
    row = strip(tiles)
    assert row.shape == (20, 62, 3)
    assert [int(row[0, x, 0]) for x in (0, 19, 20, 21, 41, 61)] == [1, 1, 255, 2, 255, 3]


def test_images_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), (10, 20, 30)).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:300])
    (tmp_path / "words.jpg").write_text("no image")
    assert [read_image(tmp_path / n, 64) for n in ("cut.jpg", "words.jpg", "gone.jpg")] == [None] * 3
    assert thumbnail_jpeg(tmp_path / "gone.jpg", 64) is None
    assert read_image(tmp_path, 64) is None  # a folder


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_every_kind_of_image_becomes_three_channels(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new("RGB", (90, 30), (250, 10, 10)).convert(mode).save(path)
    pixels = read_image(path, 45)
    assert pixels is not None and pixels.shape == (15, 45, 3) and pixels.dtype == np.uint8


def test_placeholder_is_grey() -> None:
    tile = grey_placeholder(50)
    assert tile.shape == (50, 50, 3) and (tile == tile[..., :1]).all() and len(np.unique(tile)) == 2

"""Masks as pictures: decoded with Pillow alone, they are those of the run."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from dissect.run_store import StrongestMasks, open_run
from reports.mask_strips import LARGEST_SIDE, mask_sheets, square_mask, square_side


def squares(sheet: bytes, side: int) -> np.ndarray:
    """(rows, ranks, side, side) bool: where the picture is opaque."""
    alpha = np.asarray(Image.open(io.BytesIO(sheet)).convert("RGBA"))[:, :, 3] > 0
    return alpha.reshape(alpha.shape[0] // side, side, -1, side).swapaxes(1, 2)


def test_masks_stand_at_their_unit_and_rank(run_folder: Callable[..., Path]) -> None:
    folder = run_folder(networks={"n": [("1", "conv", 25)]}, label_shape=(48, 48))
    source = open_run(folder).strongest_masks("n")
    side = square_side([source])
    assert side == 48
    for n_rows in (1, 7):
        sheets = mask_sheets(source, 3, side, n_rows)
        assert len(sheets) == -(-25 // n_rows)
        n_seen = 0
        for unit, rank in np.argwhere(source.image[:, :3] >= 0).tolist():
            found = squares(sheets[unit // n_rows], side)[unit % n_rows, rank]
            np.testing.assert_array_equal(found, source.mask(unit, rank))
            n_seen += found.any()
        assert n_seen > 40
    dead = [row for row in range(25) if (source.image[row, :3] < 0).all()]
    assert dead and all(mask_sheets(source, 3, side, 1)[row] == b"" for row in dead)


def test_a_mask_of_another_shape_fills_its_square() -> None:
    mask = np.zeros((8, 4), bool)
    mask[:4] = True
    assert square_mask(mask, 8)[:4].all() and not square_mask(mask, 8)[4:].any()


def test_a_large_mask_is_reduced_and_never_vanishes() -> None:
    mask = np.zeros((1000, 1000), bool)
    mask[500, 500] = True
    source = StrongestMasks(
        image=np.zeros((1, 1), np.int32), peak=np.ones((1, 1), np.float32), mask_shape=np.full((1, 1, 2), 1000, np.int32),
        mask_offset=np.zeros((1, 1), np.int64), mask_bits=np.packbits(mask),
    )  # fmt: skip
    side = square_side([source])
    assert side == LARGEST_SIDE
    (sheet,) = mask_sheets(source, 1, side, 1)
    assert 1 <= squares(sheet, side).sum() <= 4

"""Masks travel to the page unchanged."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from dissect.run_store import StrongestMasks
from reports.mask_text import MASK_SIDE, encode_masks
from reports.overlay import fit_mask


def decode(text: str) -> np.ndarray:
    """An independent reading of the format that `reports.mask_text` states."""
    width, height, *rest = base64.b64decode(text)
    runs: list[tuple[int, int]] = []
    values = iter(rest)
    for first in values:
        if first < 64:
            start = (runs[-1][1] if runs else 0) + first * 256 + next(values)
            length = next(values)
            runs.append((start, start + (length if length < 128 else length - 128 + 128 * next(values))))
        else:
            start, end = runs[-(first // 64)]
            runs.append((start + width + first // 8 % 8 - 4, end + width + first % 8 - 4))
    mask = np.zeros(width * height, bool)
    for start, end in runs:
        assert not mask[start:end].any()
        mask[start:end] = True
    return mask.reshape(height, width)


def stored(masks: Sequence[np.ndarray]) -> StrongestMasks:
    """One unit's masks as a run folder holds them."""
    bits = [np.packbits(mask) for mask in masks]
    return StrongestMasks(
        image=np.arange(len(masks), dtype=np.int32)[None],
        peak=np.ones((1, len(masks)), np.float32),
        mask_shape=np.array([[mask.shape for mask in masks]], np.int32),
        mask_offset=np.cumsum([0, *map(len, bits[:-1])])[None],
        mask_bits=np.concatenate(bits),
    )


def through_the_page(*masks: np.ndarray) -> list[np.ndarray]:
    texts = encode_masks(stored(masks), np.zeros(len(masks), int), np.arange(len(masks)))
    return [decode(text) for text in texts]


def smooth(seed: int, shape: tuple[int, int], cells: int = 6) -> np.ndarray:
    field = Image.fromarray(np.random.default_rng(seed).normal(size=(cells, cells)).astype(np.float32))
    return np.asarray(field.resize(shape[::-1], Image.Resampling.BILINEAR)) > 0.7


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (8, 8), (MASK_SIDE, 61), (3, MASK_SIDE), (MASK_SIDE, MASK_SIDE)])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_mask_survives(shape: tuple[int, int], share: float) -> None:
    mask = np.random.default_rng(3).random(shape) < share
    np.testing.assert_array_equal(through_the_page(mask)[0], mask)


def test_masks_of_many_shapes_come_back_in_their_order() -> None:
    shapes = [(112, 112), (37, 91), (112, 112), (9, 128), (37, 91), (1, 3), (112, 112)] * 5
    masks = [smooth(k, shape, 3 + k % 9) for k, shape in enumerate(shapes)]
    assert sum(mask.any() for mask in masks) > 25
    for mask, back in zip(masks, through_the_page(*masks), strict=True):
        np.testing.assert_array_equal(back, mask)


def test_masks_are_taken_from_the_rows_and_ranks_asked_for() -> None:
    masks = [smooth(k, (40, 30)) for k in range(6)]
    one = stored(masks)
    source = StrongestMasks(
        one.image.reshape(2, 3),
        one.peak.reshape(2, 3),
        one.mask_shape.reshape(2, 3, 2),
        one.mask_offset.reshape(2, 3),
        one.mask_bits,
    )
    texts = encode_masks(source, np.array([1, 0, 1]), np.array([2, 1, 0]))
    for text, k in zip(texts, (5, 1, 3), strict=True):
        np.testing.assert_array_equal(decode(text), masks[k])


def test_more_masks_than_are_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.mask_text._CHUNK_BYTES", 300)
    masks = [smooth(k, (40, 30)) for k in range(12)]
    for mask, back in zip(masks, through_the_page(*masks), strict=True):
        np.testing.assert_array_equal(back, mask)


def test_a_run_may_go_on_into_the_next_row_and_to_the_last_pixel() -> None:
    mask = np.zeros((MASK_SIDE, MASK_SIDE), bool)
    mask[1:40, :] = mask[50, 100:] = mask[51, :10] = mask[-1, -3:] = True
    np.testing.assert_array_equal(through_the_page(mask)[0], mask)


def test_smooth_masks_are_short() -> None:
    """About a byte a row and region: less than a plain list of runs, which takes two."""
    masks = [smooth(k, (112, 112)) for k in range(40)]
    n_runs = sum((np.diff(mask.astype(int), axis=1, prepend=0) == 1).sum() for mask in masks)
    n_bytes = sum(len(base64.b64decode(text)) for text in encode_masks(stored(masks), np.zeros(40, int), np.arange(40)))
    assert n_bytes < 1.5 * n_runs


def test_large_mask_is_reduced_and_never_vanishes() -> None:
    mask = np.zeros((300, 200), bool)
    mask[100:180, 50:120] = True
    speck = np.zeros((300, 200), bool)
    speck[150, 100] = True
    reduced, dot = through_the_page(mask, speck)
    assert reduced.shape == (128, 85)
    np.testing.assert_array_equal(reduced, fit_mask(mask, (128, 85)))
    assert dot.sum() == 1

"""Masks as short text for the page: run lengths made from the bits that the run folder stores.

    texts = encode_masks(run.strongest_masks("imagenet12"), unit_rows, ranks)    # one for each pair, in their order

A text is base64 of bytes: width, height, then the mask's runs of inside pixels, in the order of the rows (a run may go on
into the next row). A run is

    0b00gggggg g l, or l l   the gap since the end of the run before, high byte first, then the length: a length below 128 is
                             one byte, a longer one two, the low 7 bits with the top bit set and then the rest
    0bkkssseee               k, 1 to 3: like the run k before it, one row further down, its start s - 4 later, its end e - 4
                             later

Masks of smooth maps change little from row to row, so most runs take one byte. unit_browser.js reads them.
"""

from __future__ import annotations

import base64

import numpy as np
from PIL import Image

from dissect.run_store import StrongestMasks
from reports.overlay import fit_mask

MASK_SIDE = 128
"""Longest side of a mask in the page's small pictures; a larger mask is reduced to it (figures use it as it is)."""
_CHUNK_BYTES = 2_000_000


def encode_masks(source: StrongestMasks, unit_rows: np.ndarray, ranks: np.ndarray) -> list[str]:
    """The mask of each (unit row, rank), two (M,) arrays, as text; a mask larger than `MASK_SIDE` is reduced to it."""
    texts = [""] * len(unit_rows)
    shapes, which = np.unique(source.mask_shape[unit_rows, ranks], axis=0, return_inverse=True)
    for k, (height, width) in enumerate(shapes.tolist()):
        (wanted,) = np.nonzero(which.ravel() == k)
        chunk = max(1, _CHUNK_BYTES * 8 // max(1, height * width))
        for some in np.split(wanted, range(chunk, len(wanted), chunk)):
            bits = _stored_bits(source, unit_rows[some], ranks[some], (height, width))
            for at, text in zip(some.tolist(), _encode(bits, (height, width)), strict=True):
                texts[at] = text
    return texts


def _stored_bits(
    source: StrongestMasks, unit_rows: np.ndarray, ranks: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """(M, bytes) uint8: the packed masks of one shape."""
    first = source.mask_offset[unit_rows, ranks]
    return source.mask_bits[first[:, None] + np.arange((shape[0] * shape[1] + 7) // 8)]


def _encode(bits: np.ndarray, shape: tuple[int, int]) -> list[str]:
    """bits: (M, bytes) uint8, packed masks of that shape."""
    height, width = shape
    if max(shape) > MASK_SIDE:
        masks = np.unpackbits(bits, axis=1, count=height * width).reshape(-1, height, width).astype(bool)
        reduced = [_reduced(mask) for mask in masks]
        height, width = reduced[0].shape
        bits = np.stack([np.packbits(mask) for mask in reduced])
    number, start, length = _runs(bits, height * width)
    header = bytes((width, height))
    content, n_bytes = _run_bytes(number, start, length, width)
    end = np.cumsum(np.bincount(number, weights=n_bytes, minlength=len(bits)).astype(np.int64)).tolist()
    return [base64.b64encode(header + content[a:b]).decode("ascii") for a, b in zip([0, *end[:-1]], end, strict=True)]


def _runs(bits: np.ndarray, n_pixels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each run of inside pixels: the mask it is of, where it starts and how long it is, counted along the rows.

    >>> _runs(np.array([[0b00110100], [0b11100000]], np.uint8), 6)
    (array([0, 0, 1]), array([2, 5, 0]), array([2, 1, 3]))
    """
    closed = np.zeros(
        (len(bits), n_pixels // 8 + 1), np.uint8
    )  # with an outside pixel after the last, to end a run there
    closed[:, : bits.shape[1]] = bits
    closed[:, -1] &= 0xFF00 >> (n_pixels % 8) & 0xFF
    before = closed >> 1
    before[:, 1:] |= closed[:, :-1] << 7
    changes = (closed ^ before).ravel()
    (at,) = np.nonzero(changes)
    which, bit = np.nonzero(np.unpackbits(changes[at].astype(np.uint8)).reshape(-1, 8))
    number, byte = np.divmod(at[which], closed.shape[1])
    position = byte * 8 + bit
    return number[::2], position[::2], position[1::2] - position[::2]


def _run_bytes(number: np.ndarray, start: np.ndarray, length: np.ndarray, width: int) -> tuple[bytes, np.ndarray]:
    """All runs one after the other as the module describes them, and how many bytes each takes."""
    end = start + length
    gap = start - np.where(_earlier(number, 1, -1) == number, _earlier(end, 1, 0), 0)
    long = length > 127
    columns = [gap >> 8, gap & 255, np.where(long, length & 127 | 128, length), length >> 7]
    content = np.stack(columns, axis=1).astype(np.uint8)
    kept = np.ones(content.shape, bool)
    kept[:, 3] = long
    for k in (3, 2, 1):
        starts_later, ends_later = (at - _earlier(at, k, 0) - width + 4 for at in (start, end))
        small = (starts_later >= 0) & (starts_later < 8) & (ends_later >= 0) & (ends_later < 8)
        like = small & (_earlier(number, k, -1) == number)
        content[like, 0] = (k << 6 | starts_later << 3 | ends_later)[like]
        kept[like, 1:] = False
    return content[kept].tobytes(), kept.sum(axis=1)


def _earlier(values: np.ndarray, k: int, fill: int) -> np.ndarray:
    """Each run's k-th predecessor; `fill` where it has none."""
    return np.concatenate([np.full(min(k, len(values)), fill), values[: max(0, len(values) - k)]])


def _reduced(mask: np.ndarray) -> np.ndarray:
    scale = MASK_SIDE / max(mask.shape)
    height, width = (max(1, round(n * scale)) for n in mask.shape)
    reduced = fit_mask(mask, (height, width))
    if mask.any() and not reduced.any():  # too small a region to fill half a pixel is still a region
        coverage = Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BOX)
        return np.asarray(coverage) > 0
    return reduced

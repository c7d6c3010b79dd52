"""The eleven basic colour names, pixel by pixel.

    colour_codes(rgb)          # (H, W, 3) uint8 -> (H, W) uint8, 1 = black-c ... 11 = yellow-c

Every colour gets the name of the nearest prototype in CIELAB (D65), lightness counting half: two pixels of one paint,
one lit and one shaded, should share a name. The prototypes are our own choice of what each word covers.
"""

from __future__ import annotations

from functools import cache

import numpy as np

PROTOTYPES = {
    "black-c": ("000000", "121212", "1e1a18", "14161e"),
    "blue-c": ("1f3f9f", "2f6fd0", "4fa3e0", "86c1ea", "142a66", "24506e", "2f8fa8", "52708f", "a5d0ec", "7c9fc8"),
    "brown-c": ("6b4423", "8b5a2b", "a9713f", "4a2f1a", "5f4a3a", "9a7350", "7a3f22", "332218"),
    "green-c": ("2f7d32", "58a13c", "8fc15a", "1d4a22", "3f8f6a", "6f8f3a", "475a2c", "a3c98a", "2a6b5a", "7f9a6a"),
    "grey-c": ("808080", "a0a0a0", "606060", "b8b8b8", "404040", "909aa0", "9c958c", "50565c"),
    "orange-c": ("ee7f1a", "d9661a", "f5a04a", "c9681f", "f0a870"),
    "pink-c": ("f2a7bf", "e87aa5", "f7cdd6", "d9488c", "e8a0a0", "c97a90"),
    "purple-c": ("6a2f8f", "8f5fbf", "b08fd0", "43205c", "74456f", "5a4a9a"),
    "red-c": ("c81e1e", "e03a32", "8f1616", "a83232", "5c0f14", "d4504a"),
    "white-c": ("ffffff", "f2f2f2", "e4e4e4", "eef2f6", "f6f0e4"),
    "yellow-c": ("f5d90a", "e6c229", "faea7a", "c9aa2a", "f3dd9a", "d8c07a"),
}
NAMES = tuple(PROTOTYPES)


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB in [0, 255] to CIELAB (D65), channels last (IEC 61966-2-1, CIE 15)."""
    c = np.asarray(rgb, float) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / (0.9505, 1.0, 1.089)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def nearest_name(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) colours in [0, 255] to codes 1..11, by the nearest prototype."""
    prototypes = [(code, bytes.fromhex(p)) for code, name in enumerate(NAMES, 1) for p in PROTOTYPES[name]]
    codes = np.array([code for code, _ in prototypes], np.uint8)
    weight = np.array([0.5, 1.0, 1.0])
    points = to_lab(np.array([list(p) for _, p in prototypes])) * weight
    # |x - p|^2 without |x|^2, which is the same for all p: one matrix product instead of all differences.
    gap = (points**2).sum(1) - 2 * (to_lab(rgb) * weight) @ points.T
    return codes[gap.argmin(-1)]


@cache
def _table() -> np.ndarray:
    """`nearest_name` of the middle of each of the 64 x 64 x 64 cells of the RGB cube."""
    middle = np.arange(64) * 4 + 1.5
    green, blue = np.meshgrid(middle, middle, indexing="ij")
    return np.stack([nearest_name(np.stack([np.full_like(green, red), green, blue], -1)) for red in middle])


def colour_codes(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 pixels to (H, W) uint8 codes into `NAMES`, from 1; colours count in steps of 4 levels."""
    cell = rgb >> 2
    return _table()[cell[..., 0], cell[..., 1], cell[..., 2]]

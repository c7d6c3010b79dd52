"""What things are made of: colour fields of wood, brick, fur ... in object units.

    pen.fill(box(0, 0, 40, 20), wood((0.6, 0.4, 0.2), rng), material="wood")

Every function returns a `Surface`: grids x, y (h, w) to colours (h, w, 3). The noise is a fixed tileable set, sampled
at an offset drawn from `rng`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from .shapes import Colour, Surface, as_rgb

TILE = 256
TIMBER = ((0.55, 0.36, 0.20), (0.42, 0.26, 0.15), (0.70, 0.52, 0.33), (0.62, 0.40, 0.24))


@cache
def _tile(slope: float) -> np.ndarray:
    """(256, 256) tileable noise, mean 0, spread 1, amplitude falling as frequency ** -slope."""
    rng = np.random.default_rng(2024)
    spectrum = np.fft.fft2(rng.standard_normal((TILE, TILE)))
    f = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.fftfreq(TILE)[None]) * TILE
    f[0, 0] = np.inf
    tile = np.fft.ifft2(spectrum / f**slope).real
    return (tile / tile.std()).astype(np.float32)


def speckle(x: np.ndarray, y: np.ndarray, slope: float = 0.0) -> np.ndarray:
    """Noise with no smoothing between its samples, about (-2, 2); one sample for each unit."""
    tile = _tile(slope)
    return tile[np.floor(y).astype(np.int32) & 255, np.floor(x).astype(np.int32) & 255]


def clouds(x: np.ndarray, y: np.ndarray, slope: float = 1.6) -> np.ndarray:
    """Smooth noise, about (-2, 2), that repeats every 256 units and has detail down to 1 unit."""
    tile = _tile(slope).ravel()
    fx, fy = np.floor(x), np.floor(y)
    u, v = (x - fx).astype(np.float32), (y - fy).astype(np.float32)
    row, column = fy.astype(np.int32), fx.astype(np.int32) & 255
    here, below = (row & 255) << 8, (row + 1 & 255) << 8
    beside = column + 1 & 255
    top = tile.take(here | column)
    top += (tile.take(here | beside) - top) * u
    foot = tile.take(below | column)
    foot += (tile.take(below | beside) - foot) * u
    return top + (foot - top) * v


def pick(rng: np.random.Generator, colours: Sequence[Colour], spread: float = 0.04) -> np.ndarray:
    """One of the colours, moved a little."""
    chosen = np.array(colours[int(rng.integers(len(colours)))])
    return np.clip(chosen * rng.uniform(0.9, 1.08) + rng.uniform(-spread, spread, 3), 0.02, 0.98)


def mix(a: Colour, b: Colour, t: np.ndarray) -> np.ndarray:
    """Colours between a (t = 0) and b (t = 1)."""
    t = np.clip(t, 0, 1)[..., None].astype(np.float32)
    return as_rgb(a) * (1 - t) + as_rgb(b) * t


def lit(colour: Colour, brightness: np.ndarray) -> np.ndarray:
    """One colour under a brightness (h, w) about 1."""
    return as_rgb(colour) * brightness[..., None].astype(np.float32)


def _offset(rng: np.random.Generator) -> tuple[float, float]:
    x, y = rng.uniform(0, TILE, 2).tolist()
    return x, y


def plain(colour: Colour, rng: np.random.Generator, mottle: float = 0.03) -> Surface:
    """Paint, plaster, skin: one colour, faintly uneven."""
    ox, oy = _offset(rng)
    return lambda x, y: lit(colour, 1 + mottle * clouds(x * 2 + ox, y * 2 + oy))


def vertical(
    top: Colour, bottom: Colour, y0: float, y1: float, *, noise: float = 0.0, rng: np.random.Generator | None = None
) -> Surface:
    """A gradient from `top` at y0 to `bottom` at y1."""
    ox, oy = _offset(rng) if rng is not None else (0.0, 0.0)

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        t = (y - np.float32(y0)) / np.float32(y1 - y0)
        return mix(top, bottom, t + noise * clouds(x + ox, y * 2 + oy) if noise else t)

    return field


def wood(colour: Colour, rng: np.random.Generator, upright: bool = False, plank: float = 0.0) -> Surface:
    """Grain along x (or y), with joints every `plank` units across it if given."""
    ox, oy = _offset(rng)

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = (y, x) if upright else (x, y)
        board = np.floor(v / plank) if plank else np.float32(0)
        grain = clouds(u * 0.35 + ox + board * 37, v * 4 + oy, 1.0)
        rings = np.sin((v * 0.9 + 1.6 * clouds(u * 0.2 + ox + board * 91, v * 0.6 + oy, 2.0)) * 2.2)
        value = 1 + 0.09 * grain + 0.10 * rings
        if plank:
            joint = np.abs(v / plank - np.round(v / plank)) * plank
            value = (value + 0.06 * np.sin(board * 12.9)) * (1 - 0.45 * np.clip(1 - joint / 0.5, 0, 1))
        return lit(colour, value)

    return field


def brick(colour: Colour, rng: np.random.Generator, width: float = 8.0, height: float = 3.6) -> Surface:
    """Courses of bricks in running bond, with light mortar."""
    ox, oy = _offset(rng)

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        row = np.floor(y / height)
        across = x / width + 0.5 * (row % 2)
        hue = speckle(np.floor(across) * 7 + ox, row * 13 + oy)
        into = np.minimum(np.abs(y / height - np.round(y / height)) * height, np.abs(across - np.round(across)) * width)
        body = lit(colour, 1 + 0.13 * hue + 0.06 * speckle(x * 3 + ox, y * 3 + oy))
        mortar = np.clip(1.25 - into / 0.45, 0, 1)
        return body + (as_rgb((0.78, 0.74, 0.69)) - body) * mortar[..., None]

    return field


def stone(colour: Colour, rng: np.random.Generator, size: float = 1.0) -> Surface:
    """Rough rock: broad patches, cracks and grains."""
    ox, oy = _offset(rng)

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        broad = clouds(x * 0.9 / size + ox, y * 0.9 / size + oy, 1.7)
        crack = np.abs(clouds(x * 1.2 / size + oy, y * 1.6 / size + ox, 1.6))
        value = 1 + 0.14 * broad + 0.05 * speckle(x * 2 + ox, y * 2 + oy)
        return lit(colour, value - 0.22 * np.clip(1 - crack / 0.12, 0, 1))

    return field


def metal(colour: Colour, rng: np.random.Generator) -> Surface:
    """Brushed metal: fine streaks and soft bands of reflection."""
    ox, oy = _offset(rng)
    return lambda x, y: lit(
        colour, 1 + 0.05 * clouds(x * 0.3 + ox, y * 4 + oy, 0.8) + 0.14 * np.sin((x * 0.35 + y) * 0.22 + ox)
    )


def glass(colour: Colour, rng: np.random.Generator, slant: float = 0.7) -> Surface:
    """A pane: darker below, with slanting streaks of reflected light."""
    ox, _ = _offset(rng)

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        streak = np.sin((x + slant * y) * 0.42 + ox) + 0.6 * np.sin((x + slant * y) * 0.97 + 2 * ox)
        return lit(colour, 1.0 + 0.16 * np.clip(streak, -0.4, 1.6)) + np.float32(0.05)

    return field


def fabric(colour: Colour, rng: np.random.Generator, folds: float = 0.08, thread: float = 1.3) -> Surface:
    """Woven cloth with soft upright folds."""
    ox, oy = _offset(rng)

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        weave = np.sin(x * 2 * np.pi / thread) * np.sin(y * 2 * np.pi / thread)
        fold = clouds(x * 1.6 + ox, y * 0.3 + oy, 1.8)
        return lit(colour, 1 + 0.05 * weave + folds * fold + 0.02 * speckle(x * 3 + ox, y * 3))

    return field


def fur(colour: Colour, rng: np.random.Generator, tilt: float = 25.0, length: float = 5.0) -> Surface:
    """Short hair lying in one direction (degrees from x)."""
    ox, oy = _offset(rng)
    c, s = np.cos(np.deg2rad(tilt)), np.sin(np.deg2rad(tilt))

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = c * x + s * y, c * y - s * x
        hair = clouds(u * 4 / length + ox, v * 6 + oy, 0.6)
        return lit(colour, 1 + 0.085 * hair + 0.06 * clouds(x * 1.5 + ox, y * 1.5 + oy, 1.7))

    return field


def foliage(colour: Colour, rng: np.random.Generator, leaf: float = 2.2) -> Surface:
    """Leaves: clumps of light and dark dabs, warmer where lit."""
    ox, oy = _offset(rng)

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        clump = clouds(x * 1.6 / leaf + ox, y * 1.6 / leaf + oy, 1.35)
        dab = clouds(x * 5 / leaf + oy, y * 5 / leaf + ox, 0.6)
        value = np.clip(0.26 * clump + 0.18 * dab, -0.55, 0.6)
        return lit(colour, 1 + value) + np.clip(value, 0, 1)[..., None] * as_rgb((0.10, 0.07, -0.03))

    return field


def grass(colour: Colour, rng: np.random.Generator, horizon: float = 0.0, depth: float = 100.0) -> Surface:
    """A meadow seen aslant: blades grow with nearness; `horizon` (y) is paler."""
    ox, oy = _offset(rng)

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        near = np.clip((y - np.float32(horizon)) / np.float32(depth), 0.02, 1.5)
        size = 0.35 + near
        blade = clouds(x * 2.6 / size + ox, y * 0.9 / size + oy, 0.6)
        patch = clouds(x * 0.5 / size + oy, (y - horizon) * 1.6 / size + ox, 1.8)
        value = 1 + (0.06 + 0.09 * np.minimum(near, 1)) * blade + 0.07 * patch
        return mix(as_rgb(colour) * 0.75 + as_rgb((0.22, 0.22, 0.16)), colour, near * 1.6) * value[..., None]

    return field


def grains(colour: Colour, rng: np.random.Generator, strength: float = 0.06, ripple: float = 0.03) -> Surface:
    """Sand, soil, asphalt, snow: grains, with long ripples."""
    ox, oy = _offset(rng)

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        value = 1 + strength * speckle(x * 2 + ox, y * 2 + oy) + 0.03 * clouds(x + ox, y * 2 + oy, 1.5)
        return lit(colour, value + ripple * np.sin(y * 0.7 + 2.2 * clouds(x * 0.35 + ox, y * 0.5 + oy, 2.0)))

    return field


def water(near: Colour, far: Colour, rng: np.random.Generator, horizon: float, *, depth: float = 100.0) -> Surface:
    """Waves that grow with nearness, from `far` at the horizon to `near` at `depth` below it."""
    ox, oy = _offset(rng)

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        t = np.clip((y - np.float32(horizon)) / np.float32(depth), 0, 1.5)
        size = 0.25 + 1.3 * t
        wave = clouds(x * 0.55 / size + ox, y * 2.6 / size + oy, 1.3)
        value = 1 + 0.11 * wave + 0.22 * np.clip(wave - 1.2, 0, 1)
        return mix(far, near, t) * value[..., None]

    return field


def tiles(colour: Colour, rng: np.random.Generator, size: float = 6.0, row: float = 4.0) -> Surface:
    """Overlapping roof tiles: rows with a shaded lower lip."""
    ox, oy = _offset(rng)

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        line = np.floor(y / row)
        down = y / row - line
        across = x / size + 0.5 * (line % 2)
        hue = speckle(np.floor(across) * 5 + ox, line * 11 + oy)
        seam = np.clip(1 - np.abs(across - np.round(across)) * size / 0.6, 0, 1)
        return lit(colour, (1.06 - 0.35 * down**3 + 0.08 * hue) * (1 - 0.25 * seam))

    return field

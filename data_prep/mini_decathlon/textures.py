"""mini-dtd: ten surfaces in any colours, scale and direction. mini-vgg-flowers: twelve rosettes before leaves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from data_prep.mini_decathlon.canvas import CIRCLE, Canvas, any_colour, backdrop, contrasting, hsv, spoil

SIDE = 64
_Y, _X = (np.mgrid[:SIDE, :SIDE].astype(np.float32) - SIDE / 2) / SIDE

Grid = np.ndarray


def _clouds(rng: np.random.Generator, coarse: int) -> Grid:
    """(64, 64) smooth random field of mean 0.5."""
    rough = Image.fromarray((rng.random((coarse, coarse)) * 255).astype(np.uint8))
    return np.asarray(rough.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32) / 255


def _cells(rng: np.random.Generator, n: int) -> tuple[Grid, Grid]:
    """Distance of every pixel to its nearest and second nearest of n random points."""
    x, y = rng.uniform(-0.55, 0.55, (2, n, 1, 1)).astype(np.float32)
    near = np.partition((_X - x) ** 2 + (_Y - y) ** 2, 1, axis=0)[:2]
    return np.sqrt(near[0]), np.sqrt(near[1])


def _wave(u: Grid) -> Grid:
    return 0.5 + 0.5 * np.sin(2 * np.pi * u)


# u, v: coordinates turned at random, in periods of the texture; each gives values in 0..1.
TEXTURES: dict[str, Callable[[Grid, Grid, np.random.Generator], Grid]] = {
    "banded": lambda u, v, rng: _wave(u * 0.7) > 0.5,
    "bubbly": lambda u, v, rng: np.clip(1 - 14 * np.abs(_cells(rng, 26)[0] - 0.06), 0, 1),
    "chequered": lambda u, v, rng: (np.sin(2 * np.pi * u) > 0) ^ (np.sin(2 * np.pi * v) > 0),
    "cracked": lambda u, v, rng: np.clip(np.subtract(*_cells(rng, 30)[::-1]) * 30, 0, 1),
    "grid": lambda u, v, rng: np.maximum(_wave(u), _wave(v)) > 0.93,
    "marbled": lambda u, v, rng: _wave(u * 0.6 + 3 * _clouds(rng, 5)),
    "polka-dotted": lambda u, v, rng: _wave(u) + _wave(v) > 1.45,
    "spiralled": lambda u, v, rng: _wave(np.hypot(u, v) * 0.8 + rng.choice((-1, 1)) * np.arctan2(v, u) / (2 * np.pi)),
    "woven": lambda u, v, rng: np.where((np.floor(u) + np.floor(v)) % 2 == 0, _wave(3 * u), _wave(3 * v)),
    "zigzagged": lambda u, v, rng: _wave(u + 0.9 * np.abs((v * 0.8) % 1 - 0.5)) > 0.5,
}


def draw_texture(name: str, rng: np.random.Generator) -> np.ndarray:
    """(64, 64, 3): the surface, a little bent, in two colours under uneven light."""
    angle, periods = rng.uniform(0, np.pi), rng.uniform(4, 7)
    x, y = _X + 0.06 * (_clouds(rng, 4) - 0.5), _Y + 0.06 * (_clouds(rng, 4) - 0.5)
    c, s = np.cos(angle), np.sin(angle)
    u, v = (c * x + s * y) * periods + rng.uniform(-0.5, 0.5), (c * y - s * x) * periods + rng.uniform(-0.5, 0.5)
    value = TEXTURES[name](u, v, rng).astype(np.float32)[..., None]
    one = any_colour(rng, (0, 0.8), (0.2, 1))
    (two,) = contrasting(rng, 1, one, 150)
    pixels = np.array(one, np.float32) * value + np.array(two, np.float32) * (1 - value)
    return spoil(pixels * (0.7 + 0.5 * _clouds(rng, 3)[..., None]), rng, 9, 0.15)


# petals, rows of petals, length over width, pointed or round, size of the heart, hues that the flower may have
FLOWERS = {
    "Flower1": (5, 1, 1.3, False, 0.25, (0.93, 0.85)),
    "Flower2": (5, 1, 2.2, True, 0.18, (0.75, 0.62)),
    "Flower3": (6, 1, 1.9, True, 0.2, (0.05, 0.13)),
    "Flower4": (8, 1, 2.4, False, 0.38, (0.14, 0.93)),
    "Flower5": (16, 1, 4.5, False, 0.3, (0.14, 0.0)),
    "Flower6": (16, 2, 4.5, True, 0.22, (0.93, 0.8)),
    "Flower7": (12, 3, 2.2, False, 0.12, (0.0, 0.93)),
    "Flower8": (3, 1, 1.2, True, 0.2, (0.75, 0.14)),
    "Flower9": (4, 1, 1.0, False, 0.3, (0.0, 0.08)),
    "Flower10": (22, 1, 7.0, True, 0.55, (0.14, 0.11)),
    "Flower11": (6, 2, 1.6, True, 0.3, (0.8, 0.93)),
    "Flower12": (9, 2, 3.0, False, 0.45, (0.08, 0.75)),
}


def draw_flower(name: str, rng: np.random.Generator) -> np.ndarray:
    """(64, 64..84, 3) or upright: one large rosette, seen a little from the side, before leaves."""
    width, height = (64, int(rng.integers(64, 85)))[:: rng.choice((-1, 1))]
    leaf = hsv(rng.uniform(0.2, 0.4), rng.uniform(0.4, 0.9), rng.uniform(0.15, 0.5))
    canvas = Canvas(rng, width, height, backdrop(rng, width, height, one=leaf, two=hsv(0.3, 0.6, 0.15), coarse=6))
    for _ in range(6):
        canvas.pose(turn=180, size=(0.5, 0.9), shift=1.0)
        canvas.ellipse(
            0, 0, 0.9, 0.18, colour=hsv(rng.uniform(0.22, 0.4), rng.uniform(0.4, 0.9), rng.uniform(0.2, 0.6))
        )
    petals, rows, slender, pointed, heart, hues = FLOWERS[name]
    hue, saturation, value = rng.choice(hues) + rng.normal(0, 0.015), rng.uniform(0.45, 0.95), rng.uniform(0.65, 1)
    canvas.pose(turn=180, size=(0.62, 0.95), shift=0.2, stretch=0.15)
    stand = canvas.matrix
    for row in range(rows):
        reach = 1 - 0.28 * row
        shape = _petal(slender, pointed) * reach
        for i in range(petals):
            angle = 2 * np.pi * (i + 0.5 * row) / petals + rng.normal(0, 0.06)
            turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            canvas.matrix = stand @ turned * rng.uniform(0.9, 1.05)
            canvas.polygon(shape, hsv(hue, saturation, value * rng.uniform(0.75, 1.0) * (1 - 0.12 * row)))
    canvas.matrix = stand
    canvas.ellipse(0, 0, heart, heart, colour=hsv(rng.uniform(0.08, 0.16), 0.8, rng.uniform(0.3, 0.9)))
    return canvas.finish(noise=9, light=0.2)


def _petal(slender: float, pointed: bool) -> np.ndarray:
    """A petal of length 1 along x from the origin."""
    if not pointed:
        return CIRCLE * (0.5, 0.5 / slender) + (0.5, 0)
    t = np.linspace(0, 1, 9)
    edge = np.sin(np.pi * t**0.8) * 0.5 / slender
    return np.concatenate([np.stack([t, edge], 1), np.stack([t[::-1], -edge[::-1]], 1)])

"""mini-svhn: a digit in any colours with its neighbours cut off. mini-omniglot: twenty written characters, white on black."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import ImageFilter

from data_prep.mini_decathlon.canvas import CIRCLE, OVER, Canvas, any_colour, backdrop, contrasting


def _arc(x: float, y: float, rx: float, ry: float, *, start: float, end: float) -> list[tuple[float, float]]:
    """From `start` to `end` degrees, 0 to the right, 90 down."""
    t = np.deg2rad(np.linspace(start, end, 13))
    return list(zip((x + rx * np.cos(t)).tolist(), (y + ry * np.sin(t)).tolist(), strict=True))


DIGITS = {
    "0": [[*map(tuple, (CIRCLE * (0.5, 0.9)).tolist()), (0.5, 0.0)]],
    "1": [[(-0.3, -0.55), (0.05, -0.9), (0.05, 0.9)]],
    "2": [[*_arc(0, -0.42, 0.5, 0.48, start=190, end=400), (-0.5, 0.9), (0.55, 0.9)]],
    "3": [[*_arc(-0.05, -0.45, 0.5, 0.45, start=200, end=450), *_arc(-0.05, 0.45, 0.55, 0.45, start=270, end=520)]],
    "4": [[(0.25, 0.9), (0.25, -0.9), (-0.55, 0.3), (0.6, 0.3)]],
    "5": [[(0.5, -0.9), (-0.4, -0.9), (-0.45, -0.1), *_arc(-0.05, 0.35, 0.55, 0.55, start=230, end=500)]],
    "6": [[(0.35, -0.9), (-0.2, -0.4), (-0.5, 0.3), *_arc(0, 0.4, 0.5, 0.5, start=180, end=540)]],
    "7": [[(-0.5, -0.9), (0.55, -0.9), (-0.1, 0.9)]],
    "8": [_arc(0, -0.45, 0.42, 0.45, start=90, end=450), _arc(0, 0.45, 0.52, 0.45, start=-90, end=270)],
    "9": [[*_arc(0, -0.4, 0.5, 0.5, start=0, end=360), (0.5, -0.3), (0.2, 0.4), (-0.3, 0.9)]],
}
CHARACTERS = {f"Invented/character{n:02d}": n for n in range(1, 21)}


def draw_house_number(name: str, rng: np.random.Generator) -> np.ndarray:
    """(32, 32, 3): the digit in the middle, others cut off to its left and right, sometimes blurred."""
    ground = any_colour(rng, (0, 0.6), (0.15, 0.95))
    r, g, b = (int(np.clip(c + rng.integers(-30, 31), 0, 255)) for c in ground)
    canvas = Canvas(rng, 32, 32, backdrop(rng, 32, 32, one=ground, two=(r, g, b), coarse=3))
    (ink,) = contrasting(rng, 1, ground, 210)
    width = rng.uniform(0.26, 0.4)
    canvas.pose(turn=7, size=(0.74, 0.92), shift=0.06, stretch=0.1)
    middle = canvas.shift.copy()
    for step in (-1, 1, 0):
        digit = name if step == 0 else str(rng.integers(10))
        if step == 0 or rng.random() < 0.5:
            canvas.shift = middle + canvas.matrix @ (step * rng.uniform(1.45, 1.7), 0.0)
            for line in DIGITS[digit]:
                canvas.stroke(line, width, ink)
    if rng.random() < 0.5:
        canvas.image = canvas.image.filter(ImageFilter.BoxBlur(OVER * rng.uniform(0.3, 0.8)))
    return canvas.finish(noise=7, light=0.2)


def draw_character(name: str, rng: np.random.Generator) -> np.ndarray:
    """(48, 48) grey: the character by another hand, its points moved, turned and stretched a little."""
    canvas = Canvas(rng, 48, 48, (0, 0, 0))
    canvas.pose(turn=12, size=(0.66, 0.85), shift=0.12, stretch=0.2)
    width = rng.uniform(0.07, 0.11)
    for knots in _character(CHARACTERS[name]):
        canvas.stroke(_curve(knots + rng.normal(0, 0.1, knots.shape)), width, (255, 255, 255))
    return canvas.finish()[..., 0]


@cache
def _character(number: int) -> tuple[np.ndarray, ...]:
    """Two to four strokes of three or four points each; the same whatever the seed of the set, as alphabets are.

    Numbers 2n - 1 and 2n differ in one stroke only, so that the whole shape must be looked at.
    """
    rng = np.random.default_rng([7, (number + 1) // 2])
    strokes = [rng.uniform(-0.95, 0.95, (rng.integers(3, 5), 2)) for _ in range(rng.integers(2, 5))]
    other = rng.uniform(-0.95, 0.95, (4, 2))
    return (*strokes[:-1], other) if number % 2 == 0 else tuple(strokes)


def _curve(knots: np.ndarray, steps: int = 6) -> np.ndarray:
    """A smooth line through the knots (Catmull-Rom)."""
    p = np.concatenate([knots[:1], knots, knots[-1:]])[:, None]
    a, b, c, d = p[:-3], p[1:-2], p[2:-1], p[3:]
    t = (np.arange(steps) / steps)[:, None]
    line = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.concatenate([line.reshape(-1, 2), knots[-1:]])

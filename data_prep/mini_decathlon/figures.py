"""mini-daimlerpedcls: a walker or none, grey, twice as high as wide. mini-ucf101: eight motions, each blended into one picture.

A dynamic image is a weighted sum of the frames of a video, early ones dark, late ones bright, about mid-grey (Bilen et al.
2016); that is what the official ucf101 domain holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import ImageFilter

from data_prep.mini_decathlon.canvas import OVER, Canvas, Rgb, backdrop, spoil

CROSSING = ("nonped", "ped")
FRAMES = 5

# Each motion: time t in 0..1 to (lean, left arm, right arm, left leg, right leg, rise, travel); angles in degrees from
# straight down, outward positive; rise and travel in units.
MOTIONS: dict[str, Callable[[float], tuple[float, ...]]] = {
    "Bowing": lambda t: (70 * t, 15, -15, 6, -6, 0.0, 0.0),
    "Cheering": lambda t: (0, 30 + 140 * t, -30 - 140 * t, 8, -8, 0.0, 0.0),
    "JumpingJack": lambda t: (0, 20 + 130 * t, -20 - 130 * t, 5 + 35 * t, -5 - 35 * t, 0.12 * t, 0.0),
    "Kicking": lambda t: (-10 * t, -30, 40, -5, 10 + 85 * t, 0.0, 0.0),
    "Leaping": lambda t: (0, 150, -150, 12, -12, 0.55 * t, 0.0),
    "Punching": lambda t: (8, -20, 20 + 75 * t, 18, -18, 0.0, 0.1 * t),
    "Walking": lambda t: (0, 40 - 80 * t, -40 + 80 * t, -35 + 70 * t, 35 - 70 * t, 0.0, 0.7 * t - 0.35),
    "Waving": lambda t: (0, 12, 110 + 60 * t, 6, -6, 0.0, 0.0),
}


def draw_crossing(name: str, rng: np.random.Generator) -> np.ndarray:
    """(72, 36) grey: a street with posts, trees and patches; a walker of low contrast in the middle or not."""
    shade = int(rng.integers(60, 190))
    ground, other = _grey(shade), _grey(shade + rng.integers(-60, 61))
    canvas = Canvas(rng, 36, 72, backdrop(rng, 36, 72, one=ground, two=other, coarse=5))
    for _ in range(rng.integers(2, 6)):
        _draw_clutter(canvas)
    if name == "ped":
        contrast = rng.uniform(45, 100) * rng.choice((-1, 1))
        canvas.pose(turn=3, size=(1.0, 1.25), shift=0.1, stretch=0.08, flip=True)
        swing = rng.uniform(0, 32)
        limbs = (rng.uniform(0, 8), 0.6 * swing, -0.6 * swing, -swing, swing, 0.0, 0.0)
        body, legs, head = (_grey(shade + contrast * k) for k in (1.0, 0.75, 1.25))
        _draw_figure(canvas, limbs, body=body, legs=legs, head=head, stout=rng.uniform(0.9, 1.4))
    else:
        for _ in range(rng.integers(1, 3)):  # as much stuff in the middle, but no walker
            _draw_clutter(canvas, middle=0.25)
    canvas.image = canvas.image.filter(ImageFilter.BoxBlur(OVER * rng.uniform(0.3, 1.0)))
    pixels = canvas.pixels()[..., 0]
    return spoil(pixels, rng, 8, 0.15)


def _draw_clutter(canvas: Canvas, middle: float = 1.0) -> None:
    rng = canvas.rng
    x, y, colour = rng.uniform(-middle, middle), rng.uniform(-1.5, 1.5), _grey(rng.uniform(20, 235))
    canvas.place(np.eye(2), (0, 0))
    kind = rng.integers(4)
    if kind == 0:  # a post
        canvas.stroke(
            [(x, -2 if rng.random() < 0.5 else y), (x + rng.uniform(-0.05, 0.05), 2)], rng.uniform(0.06, 0.3), colour
        )
    elif kind == 1:  # a crown or a head-like blob
        r = rng.uniform(0.15, 0.6)
        canvas.ellipse(x, y, r, r * rng.uniform(0.6, 1.6), colour=colour)
    elif kind == 2:  # a wall, a car, a window
        w, h = rng.uniform(0.2, 0.8), rng.uniform(0.2, 1.0)
        canvas.polygon([(x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)], colour)
    else:  # two slanted posts
        lean = rng.uniform(0.1, 0.7)
        canvas.stroke([(x, y), (x - lean, y + 1)], 0.12, colour)
        canvas.stroke([(x, y), (x + lean, y + 1)], 0.12, colour)


def draw_motion(name: str, rng: np.random.Generator) -> np.ndarray:
    """(56, 56, 3): the figure at five moments, blended about mid-grey; other speed, place and phase each time."""
    start, end = rng.uniform(0, 0.15), rng.uniform(0.85, 1.0)
    stretch, place = rng.uniform(0.5, 0.68) * np.array([[rng.choice((-1, 1)), 0], [0, 1]]), rng.uniform(-0.15, 0.15, 2)
    colour = rng.uniform(-1, 1, 3)
    drift = rng.uniform(-0.06, 0.06, 2)
    blend = np.zeros((56, 56, 3), np.float32)
    for i, weight in enumerate(np.linspace(-1, 1, FRAMES)):
        canvas = Canvas(rng, 56, 56, (0, 0, 0))
        canvas.place(stretch, place + drift * i)
        limbs = np.array(MOTIONS[name](start + (end - start) * i / (FRAMES - 1)), float)
        limbs[:5] += rng.normal(0, 5, 5)
        _draw_figure(canvas, limbs, body=(255, 255, 255), legs=(205, 205, 205), head=(235, 235, 235))
        blend += np.float32(weight) * canvas.pixels()
    pixels = 127.5 + blend * (0.3 + 0.08 * colour.astype(np.float32))
    waves = (
        np.asarray(
            backdrop(rng, 28, 28, one=(105, 105, 105), two=(150, 150, 150), coarse=6).resize((56, 56)), np.float32
        )
        - 127.5
    )
    return spoil(pixels + waves, rng, 9, 0.05)


def _draw_figure(
    canvas: Canvas, limbs: Sequence[float] | np.ndarray, *, body: Rgb, legs: Rgb, head: Rgb, stout: float = 1.0
) -> None:
    """A figure of height 2 about the origin; `limbs` as in `MOTIONS`."""
    lean, left_arm, right_arm, left_leg, right_leg, rise, travel = (float(v) for v in limbs)
    hip = np.array([travel, 0.1 - rise])
    up = _direction(180 + lean)
    neck = hip + 0.62 * up
    for angle in (left_leg, right_leg):
        knee = hip + 0.45 * _direction(angle)
        canvas.stroke([hip, knee, knee + 0.43 * _direction(angle * 0.8)], 0.17 * stout, legs)
    canvas.stroke([hip, neck], 0.32 * stout, body)
    for angle in (left_arm, right_arm):
        elbow = neck + 0.36 * _direction(angle + lean)
        canvas.stroke([neck, elbow, elbow + 0.34 * _direction(angle * 1.1 + lean)], 0.12 * stout, body)
    x, y = neck + 0.24 * up
    canvas.ellipse(x, y, 0.15, 0.18, colour=head)


def _direction(angle: float) -> np.ndarray:
    """Unit vector at `angle` degrees from straight down, positive to the left of the picture."""
    return np.array([-np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))])


def _grey(value: float) -> Rgb:
    level = int(np.clip(value, 0, 255))
    return level, level, level

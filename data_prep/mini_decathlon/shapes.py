"""mini-cifar100: eight shapes with two surfaces, in any colours. mini-gtsrb: twelve traffic signs in any weather."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from data_prep.mini_decathlon.canvas import CIRCLE, OVER, Canvas, any_colour, backdrop, contrasting, hsv
from data_prep.mini_decathlon.strokes import DIGITS


def _star(n: int, inner: float, turn: float = 0.25) -> np.ndarray:
    angle = np.arange(2 * n) * np.pi / n - 2 * np.pi * turn
    return np.stack([np.cos(angle), np.sin(angle)], 1) * np.where(np.arange(2 * n) % 2, inner, 1.0)[:, None]


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, -y], 1) / 16


def _crescent() -> np.ndarray:
    t = np.linspace(0.6, 2 * np.pi - 0.6, 24)
    outer = np.stack([np.cos(t), np.sin(t)], 1)
    inner = np.stack([0.45 + 0.72 * np.cos(t[::-1]), 0.72 * np.sin(t[::-1])], 1)
    return np.concatenate([outer, inner])


SQUARE = np.array([(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)])
CROSS = 0.1 * np.array(
    [(-3, -10), (3, -10), (3, -3), (10, -3), (10, 3), (3, 3), (3, 10), (-3, 10), (-3, 3), (-10, 3), (-10, -3), (-3, -3)]
)
SHAPES = {
    "crescent": _crescent(),
    "cross": CROSS,
    "disc": CIRCLE,
    "heart": _heart(),
    "pentagon": _star(5, np.cos(np.pi / 5)),
    "square": SQUARE,
    "star": _star(5, 0.42),
    "triangle": _star(3, 0.5),
}
SURFACES = ("dotted", "striped")
SURFACED = {f"{surface}_{shape}": (shape, surface) for shape in SHAPES for surface in SURFACES}

RED, BLUE, WHITE, BLACK, YELLOW = (190, 25, 35), (25, 70, 165), (235, 235, 235), (25, 25, 25), (240, 190, 30)
ARROW = np.array([(-0.12, 0.55), (0.12, 0.55), (0.12, 0), (0.4, 0), (0, -0.55), (-0.4, 0), (-0.12, 0)])
# outline, its edge's and its face's colour, what stands on it
SIGNS = {
    "TrafficSign1": ("disc", RED, WHITE, "3"),
    "TrafficSign2": ("disc", RED, WHITE, "5"),
    "TrafficSign3": ("disc", RED, WHITE, "8"),
    "TrafficSign4": ("disc", RED, RED, "bar"),
    "TrafficSign5": ("disc", BLUE, BLUE, "arrow"),
    "TrafficSign6": ("disc", BLUE, BLUE, "arrow left"),
    "TrafficSign7": ("disc", BLUE, BLUE, "arrow right"),
    "TrafficSign8": ("triangle", RED, WHITE, "mark"),
    "TrafficSign9": ("triangle", RED, WHITE, "bend"),
    "TrafficSign10": ("triangle down", RED, WHITE, ""),
    "TrafficSign11": ("octagon", RED, RED, "bar"),
    "TrafficSign12": ("diamond", WHITE, YELLOW, ""),
}
OUTLINES = {
    "disc": CIRCLE,
    "triangle": _star(3, 0.5),
    "triangle down": _star(3, 0.5) * (1, -1),
    "octagon": _star(8, np.cos(np.pi / 8), 1 / 16),
    "diamond": np.array([(0, -1), (1, 0), (0, 1), (-1, 0)]),
}


def draw_surfaced(name: str, rng: np.random.Generator) -> np.ndarray:
    """(32, 32, 3): the shape, filled with stripes or dots of two colours, before soft patches."""
    shape, surface = SURFACED[name]
    ground = any_colour(rng, (0, 0.4), (0.2, 0.9))
    canvas = Canvas(rng, 32, 32, backdrop(rng, 32, 32, one=ground, two=any_colour(rng, (0, 0.4), (0.2, 0.9))))
    one, *_ = contrasting(rng, 1, ground, 220)
    two, *_ = contrasting(rng, 1, one, 200)
    canvas.pose(turn=15, size=(0.78, 0.98), shift=0.1, stretch=0.12, flip=True)
    filling = canvas.image.copy()
    cover = Image.new("L", filling.size)
    outline = SHAPES[shape] @ canvas.matrix.T + canvas.shift
    ImageDraw.Draw(cover).polygon([tuple(p) for p in outline.tolist()], fill=255)
    filling.paste(_filling(rng, filling.size, surface, one=one, two=two))
    canvas.image.paste(filling, (0, 0), cover)
    return canvas.finish(noise=7, light=0.15)


def _filling(rng: np.random.Generator, size: tuple[int, int], surface: str, *, one: tuple, two: tuple) -> Image.Image:
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), OVER * rng.uniform(5.5, 8)
    c, s = np.cos(angle), np.sin(angle)
    turned = np.array([[c, s], [-s, c]]) @ np.stack([x.ravel(), y.ravel()]) * (2 * np.pi / period)
    u, v = turned.reshape(2, *x.shape)
    on = np.cos(u) > 0 if surface == "striped" else np.cos(u) + np.cos(v) > 0.55
    return Image.fromarray(np.where(on[..., None], np.array(one, np.uint8), np.array(two, np.uint8)))


def draw_sign(name: str, rng: np.random.Generator) -> np.ndarray:
    """(24..44, 24..44, 3), not always square: the sign at dusk or noon, sharp or blurred, before trees or walls."""
    side = int(rng.integers(24, 45))
    width, height = side, max(24, side + int(rng.integers(-2, 3)))
    ground = hsv(rng.uniform(0.05, 0.65), rng.uniform(0, 0.5), rng.uniform(0.2, 0.9))
    canvas = Canvas(
        rng,
        width,
        height,
        backdrop(rng, width, height, one=ground, two=any_colour(rng, (0, 0.4), (0.2, 0.9)), coarse=3),
    )
    canvas.pose(turn=8, size=(0.72, 0.92), shift=0.1, stretch=0.08)
    outline, edge, face, symbol = SIGNS[name]
    canvas.polygon(OUTLINES[outline] * 1.06, WHITE)
    canvas.polygon(OUTLINES[outline], edge)
    inner = OUTLINES[outline] * 0.72 if "triangle" not in outline else OUTLINES[outline] * 0.62
    canvas.polygon(inner, face)
    _draw_symbol(canvas, symbol)
    if rng.random() < 0.4:
        canvas.image = canvas.image.filter(ImageFilter.BoxBlur(OVER * rng.uniform(0.5, 1.2)))
    pixels = canvas.pixels() * rng.uniform(0.3, 1.1)
    return np.clip(pixels + rng.standard_normal(pixels.shape, np.float32) * 6, 0, 255).astype(np.uint8)


def _draw_symbol(canvas: Canvas, symbol: str) -> None:
    if symbol in DIGITS:
        for line in DIGITS[symbol]:
            canvas.stroke(np.asarray(line) * 0.42 + (-0.25, 0), 0.13, BLACK)
            canvas.ring(0.25, 0, 0.16, 0.38, width=0.13, colour=BLACK)
    elif symbol == "bar":
        canvas.polygon([(-0.62, -0.16), (0.62, -0.16), (0.62, 0.16), (-0.62, 0.16)], WHITE)
    elif symbol == "mark":
        canvas.stroke([(0, -0.3), (0, 0.08)], 0.14, BLACK)
        canvas.ellipse(0, 0.28, 0.08, 0.08, colour=BLACK)
    elif symbol == "bend":
        canvas.stroke([(-0.2, 0.35), (-0.2, 0.05), (0.15, -0.05), (0.15, -0.3)], 0.14, BLACK)
    elif symbol:
        turned = {"arrow": ARROW, "arrow left": ARROW[:, ::-1], "arrow right": -ARROW[:, ::-1]}[symbol]
        canvas.polygon(turned, WHITE)

"""What the drawings of the miniature decathlon share: a canvas in object units, colours, backdrops, camera faults.

    canvas = Canvas(rng, 64, 64, backdrop(rng, 64, 64, one=(90, 120, 60), two=(140, 150, 110)))
    canvas.pose(turn=20, size=(0.6, 0.9))
    canvas.polygon([(-1, 0), (1, 0), (0, 1)], (200, 30, 30))
    pixels = canvas.finish(noise=8)           # (64, 64, 3) uint8

Object units: the origin lies in the middle, the shorter side spans -1..1, y points down. Drawn at twice the size and
averaged 2 x 2, so that edges are smooth.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

OVER = 2
"""Side of the raster that is drawn on, in samples per pixel."""

Rgb = tuple[int, int, int]
Points = Sequence[Sequence[float] | np.ndarray] | np.ndarray
_TURN = np.linspace(0, 2 * np.pi, 24, endpoint=False)
CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], 1)


class Canvas:
    """A picture in the making. `pose` sets where the following shapes stand; drawing covers what was there."""

    def __init__(self, rng: np.random.Generator, width: int, height: int, ground: Image.Image | Rgb):
        self.rng = rng
        size = (width * OVER, height * OVER)
        self.image = Image.new("RGB", size, ground) if isinstance(ground, tuple) else ground.resize(size)
        self._draw = ImageDraw.Draw(self.image)
        self._middle = np.array(size, float) / 2
        self._unit = min(size) / 2
        self.matrix, self.shift = np.eye(2) * self._unit, self._middle

    def pose(
        self,
        *,
        turn: float = 0.0,
        size: tuple[float, float] = (1.0, 1.0),
        shift: float = 0.0,
        stretch: float = 0.0,
        flip: bool = False,
    ) -> None:
        """Draw a random stand: turned by up to `turn` degrees, of a size in `size`, moved by up to `shift` units, each
        axis stretched by up to the share `stretch`, and mirrored half of the time where `flip`."""
        rng = self.rng
        angle = np.deg2rad(rng.uniform(-turn, turn))
        c, s = np.cos(angle), np.sin(angle)
        axes = 1 + rng.uniform(-stretch, stretch, 2)
        if flip and rng.random() < 0.5:
            axes[0] *= -1
        self.place(np.array([[c, -s], [s, c]]) * axes * rng.uniform(*size), rng.uniform(-shift, shift, 2))

    def place(self, matrix: np.ndarray, centre: Sequence[float] | np.ndarray) -> None:
        """The stand as a 2 x 2 matrix and a centre, in object units."""
        self.matrix = matrix * self._unit
        self.shift = self._middle + np.asarray(centre, float) * self._unit

    def polygon(self, points: Points, colour: Rgb) -> None:
        self._draw.polygon(self._pixels(points), fill=colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, *, colour: Rgb) -> None:
        self.polygon(CIRCLE * (rx, ry) + (x, y), colour)

    def stroke(self, points: Points, width: float, colour: Rgb) -> None:
        """A line along the points, `width` units wide, with round joints and ends."""
        line = self._pixels(points)
        wide = max(1, round(width * float(np.sqrt(abs(np.linalg.det(self.matrix))))))
        self._draw.line(line, fill=colour, width=wide, joint="curve")
        r = wide / 2
        for x, y in (line[0], line[-1]):
            self._draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def ring(self, x: float, y: float, rx: float, ry: float, *, width: float, colour: Rgb) -> None:
        circle = CIRCLE * (rx, ry) + (x, y)
        self.stroke(np.concatenate([circle, circle[:2]]), width, colour)

    def pixels(self) -> np.ndarray:
        """(H, W, 3) float32, 0..255."""
        return np.asarray(self.image.reduce(OVER), np.float32)

    def finish(self, noise: float = 0.0, light: float = 0.0) -> np.ndarray:
        """(H, W, 3) uint8 after `spoil`."""
        return spoil(self.pixels(), self.rng, noise, light)

    def _pixels(self, points: Points) -> list[tuple[float, float]]:
        return [tuple(p) for p in (np.asarray(points, float) @ self.matrix.T + self.shift).tolist()]


def spoil(pixels: np.ndarray, rng: np.random.Generator, noise: float, light: float) -> np.ndarray:
    """What a camera does: exposure off by up to the share `light`, and grain of standard deviation `noise`; to uint8."""
    if light:
        pixels = pixels * (1 + rng.uniform(-light, light)) + 60 * rng.uniform(-light, light)
    if noise:
        pixels = pixels + rng.standard_normal(pixels.shape, np.float32) * np.float32(noise)
    return np.clip(pixels + 0.5, 0, 255).astype(np.uint8)


def hsv(hue: float, saturation: float, value: float) -> Rgb:
    """A colour from hue (turns, any number), saturation and value in 0..1."""
    r, g, b = colorsys.hsv_to_rgb(hue % 1, min(max(saturation, 0), 1), min(max(value, 0), 1))
    return round(255 * r), round(255 * g), round(255 * b)


def any_colour(
    rng: np.random.Generator, saturation: tuple[float, float] = (0.4, 1.0), value: tuple[float, float] = (0.35, 1.0)
) -> Rgb:
    return hsv(rng.random(), rng.uniform(*saturation), rng.uniform(*value))


def between(one: Rgb, other: Rgb) -> Rgb:
    """The colour half way, rounded down.

    >>> between((0, 10, 255), (1, 20, 255))
    (0, 15, 255)
    """
    return (one[0] + other[0]) // 2, (one[1] + other[1]) // 2, (one[2] + other[2]) // 2


def contrasting(rng: np.random.Generator, n: int, other: Rgb, least: float = 110.0) -> list[Rgb]:
    """`n` random colours, each at least `least` from `other` (sum of differences) if twelve tries find one."""
    chosen = []
    for _ in range(n):
        tries = [any_colour(rng) for _ in range(12)]
        far = [c for c in tries if sum(abs(a - b) for a, b in zip(c, other, strict=True)) >= least]
        chosen.append((far or tries)[0])
    return chosen


def backdrop(rng: np.random.Generator, width: int, height: int, *, one: Rgb, two: Rgb, coarse: int = 4) -> Image.Image:
    """Soft patches between two colours, `coarse` of them along each side."""
    mix = rng.random((coarse, coarse, 1), np.float32)
    pixels = np.asarray(one, np.float32) * mix + np.asarray(two, np.float32) * (1 - mix)
    return Image.fromarray(pixels.astype(np.uint8)).resize((width * OVER, height * OVER), Image.Resampling.BICUBIC)

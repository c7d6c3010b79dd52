"""What scenes are put together with: the cast, the sizes, sky and ground.

    stage = Stage(canvas, horizon=100)
    stage.put("dog", x=60, y=190)
    stage.perform()                  # draws from far to near

Outdoors the size of a thing follows from where it stands: at a distance d below the horizon (pixels) a person is d / 1.3
pixels tall, and `SIZES` says how large the units of other things are, compared with the person's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, SupportsIndex

import numpy as np

from . import animals, buildings, furniture, nature, people, vehicles
from .animals import draw_gull
from .nature import add_sky, add_sun, draw_cloud
from .shapes import SIZE, Canvas, Colour, Frame, Surface, as_rgb, blob, box, poly
from .surfaces import foliage, plain, stone

DRAW: dict[str, Callable[..., None]] = {
    name.removeprefix("draw_"): function
    for module in (animals, buildings, furniture, nature, people, vehicles)
    for name, function in vars(module).items()
    if name.startswith("draw_") and function.__module__ == module.__name__
}

SIZES = {
    "person": 1.0, "dog": 0.62, "cat": 0.5, "horse": 1.0, "bird": 0.42, "gull": 0.8, "car": 1.25, "car_front": 1.35, "bus": 1.6,
    "bicycle": 1.0, "house": 1.9, "building": 1.9, "streetlight": 2.0, "traffic_light": 1.5, "fence": 1.7, "bench": 1.2,
    "tree": 2.2, "conifer": 2.2, "palm": 2.1, "bush": 1.3, "flower": 0.8, "cactus": 1.7, "rock": 1.0, "airplane": 3.0,
}  # fmt: skip

SKIES = (
    ((0.22, 0.50, 0.90), (0.74, 0.88, 0.99)), ((0.34, 0.62, 0.94), (0.90, 0.95, 0.96)), ((0.56, 0.67, 0.79), (0.88, 0.90, 0.91)),
    ((0.32, 0.44, 0.80), (1.00, 0.78, 0.58)), ((0.40, 0.62, 0.86), (1.00, 0.91, 0.76)),
)  # fmt: skip
"""The colours of the sky at the zenith and at the horizon."""

Span = float | tuple[float, float]
"""A number, or (low, high) to draw one from."""

LAWNS = ((0.36, 0.56, 0.22), (0.30, 0.50, 0.24), (0.46, 0.58, 0.24))


class Stage:
    """Things that stand on the ground of one scene; `perform` draws them from far to near."""

    def __init__(self, canvas: Canvas, horizon: float, zoom: float = 1.0):
        self.canvas, self.horizon, self.zoom = canvas, horizon, zoom
        self._cast: list[tuple[float, Callable[[], None]]] = []

    def put(
        self, name: str, x: float, y: float, size: float = 1.0, *, flip: bool | None = None, **options: object
    ) -> None:
        """`name` of `DRAW` at pixel (x, y); `options` go to its drawing function."""
        rng = self.canvas.rng
        scale = (y - self.horizon) / 130 * SIZES[name] * size * self.zoom * rng.uniform(0.92, 1.08)
        mirrored = bool(rng.random() < 0.5) if flip is None else flip
        frame = Frame(x, y, max(scale, 0.06), tilt=0, flip=mirrored)
        self._cast.append((y, partial(DRAW[name], self.canvas, frame, **options)))

    def scatter(
        self,
        name: str,
        count: SupportsIndex,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        size: float = 1.0,
        **options: Any,
    ) -> None:
        """`count` of them at random places in the box x, y."""
        for _ in range(count):
            self.put(name, self.canvas.rng.uniform(*x), self.canvas.rng.uniform(*y), size, **options)

    def visit(
        self, chances: dict[str, float], x: tuple[float, float], y: tuple[float, float], size: float = 1.0
    ) -> None:
        """Each of the names appears once, with its chance, somewhere in the box x, y."""
        for name, chance in chances.items():
            if self.canvas.rng.random() < chance:
                self.scatter(name, 1, x, y, size=size)

    def perform(self) -> None:
        for _, draw in sorted(self._cast, key=lambda entry: entry[0]):
            draw()
        self._cast.clear()


def somewhere(rng: np.random.Generator, x: Span, y: Span, scale: Span, *, tilt: float = 0.0) -> Frame:
    """A frame at random: `x`, `y` (pixels) and `scale` are numbers or (low, high), `tilt` is the most either way."""
    at_x, at_y, size = (rng.uniform(*v) if isinstance(v, tuple) else v for v in (x, y, scale))
    return Frame(at_x, at_y, size, tilt=rng.uniform(-tilt, tilt), flip=bool(rng.random() < 0.5))


def sky(c: Canvas, horizon: float, clouds: bool = True, sun: float = 0.4) -> np.ndarray:
    """Sky, sun and clouds; gives the colour of the air at the horizon."""
    rng = c.rng
    top, low = (as_rgb(colour) for colour in SKIES[rng.integers(len(SKIES))])
    add_sky(c, horizon, top, low)
    if rng.random() < sun:
        add_sun(c, rng.uniform(25, 200), rng.uniform(18, horizon * 0.5), rng.uniform(8, 12))
    for _ in range(rng.integers(0, 4) * clouds):
        draw_cloud(c, somewhere(rng, (0, SIZE), (14, horizon * 0.6), (0.45, 1.0)), 0.8 + 0.2 * low)
    return low


def ridge(c: Canvas, base: float, height: float, colour: Colour, *, rough: float = 1.0, snow: bool = False) -> None:
    """A chain of mountains across the image, its foot at `base`, its tops up to `height` above (pixels)."""
    rng = c.rng
    x, top = _skyline(rng, base, height, rough)
    outline = _filled(x, top, base)
    pen = c.pen("mountain")
    pen.fill(outline, stone(colour, rng, 1.4), "", "stone", fade=0.12)
    peaks = [i for i in range(2, 120, 3) if top[i] < min(top[i + 1], top[i - 2])]
    slopes = [(x[i], x[i] + rng.uniform(5, 15), top[i], x[i + 4], top[i + 4]) for i in peaks]
    lee = [poly([(x0, y0), (foot, base), (x0 + 30, base), (x1, y1)]) for x0, foot, y0, x1, y1 in slopes]
    if lee:
        pen.mark(lee, (0.05, 0.07, 0.14), clip=outline, opacity=0.16)
    if snow:
        line = base - height * 0.6 + 5 * np.sin(x * 0.35) + 4 * np.sin(x * 0.13 + 1) + rng.uniform(-3, 3, len(x))
        cap = np.concatenate([np.stack([x, top - 1], 1), np.stack([x, np.maximum(line, top - 1)], 1)[::-1]])
        pen.fill(cap, plain((0.93, 0.95, 0.99), rng, 0.04), "", "snow", clip=outline)


def woods(c: Canvas, base: float, height: float, leaf: Colour, *, rough: float = 1.0) -> None:
    """A wood in the distance, or, with `rough` 0, a chain of soft green hills."""
    x, top = _skyline(c.rng, base, height, rough)
    surface = foliage(as_rgb(leaf), c.rng, 2.4)
    outline = _filled(x, top, base)
    if rough:
        c.pen("tree").fill(outline, surface, "crown", "foliage", relief=3, fade=0.2)
    else:
        c.pen("hill").fill(outline, surface, "", "foliage", fade=0.12)


def _skyline(rng: np.random.Generator, base: float, height: float, rough: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y (pixels) of a line of peaks, or of rolling hills where `rough` is 0."""
    x = np.linspace(-4, SIZE + 4, 129)
    start = rng.uniform(0, 40)
    if not rough:
        rise = 0.55 + 0.3 * np.sin(x / SIZE * 5 + start) + 0.15 * np.sin(x / SIZE * 11 + 2 * start)
        return x, base - height * rise
    octaves = ((2.2, 1), (5.7, 0.42), (15, 0.15 * rough), (37, 0.07 * rough))
    waves: list[np.ndarray] = [
        np.interp((x * f / SIZE + start) % 40, np.arange(41), rng.uniform(0, 1, 41)) * a for f, a in octaves
    ]
    return x, base - height * np.sum(waves, 0) / 1.55


def _filled(x: np.ndarray, top: np.ndarray, base: float) -> np.ndarray:
    return np.concatenate([np.stack([x, top], 1), [(SIZE + 4, base + 3), (-4, base + 3)]])


def ground(c: Canvas, name: str, horizon: float, paint: Surface, *, material: str) -> None:
    """Everything below the horizon."""
    c.pen(name).fill(box(0, horizon, SIZE, SIZE), paint, "", material)


def below(rng: np.random.Generator, y: float, reach: float, n: int = 14) -> np.ndarray:
    """The outline of the part of the image below a wavy line through n points, at most `reach` pixels from y."""
    x = np.linspace(-10, SIZE + 10, n)
    line = blob(np.stack([x, y + rng.uniform(-reach, reach, n)], 1), closed=False)
    return np.concatenate([line, [(SIZE + 10, SIZE), (-10, SIZE)]])


def gulls(c: Canvas, horizon: float, most: int = 4) -> None:
    """A few birds in the sky."""
    for _ in range(c.rng.integers(0, most)):
        draw_gull(c, somewhere(c.rng, (15, 210), (15, horizon - 8), (0.25, 0.7), tilt=12))

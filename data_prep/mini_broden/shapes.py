"""The painter of the miniature data set: every shape lays its colour and its labels in one stroke.

    canvas = Canvas(np.random.default_rng(0))
    pen = canvas.pen("car", Frame(112, 180, scale=1.2))
    pen.fill(ellipse(0, -8, 8), (0.1, 0.1, 0.1), part="wheel", material="rubber")

Units: image pixels, pixel k covers [k, k + 1), y points down; an object is drawn in its own units and a `Frame` carries
them to pixels. **The label rule**: a shape is rasterised once, at four times the image's resolution. Its 4 x 4 means are the
opacity with which its colour covers the image; the same raster, read at the centre of a label pixel (every label
pixel is 2 x 2 image pixels, its centre their common corner, a tie goes to the lower right), says whether the label pixel
belongs to the shape. A later shape replaces every label under it, so what is hidden is not labelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw

SIZE = 224
"""Side of an image, in pixels."""
MAP = 112
"""Side of a label map, in pixels."""
OVER = 4
"""Side of the raster of a shape, in samples per image pixel."""
PLANES = ("object", "object", "part", "part", "material")
"""The category of each label plane a canvas keeps; the second of a pair holds what encloses or covers the first."""

Outline = np.ndarray
Points = str | Sequence[Sequence[float]] | np.ndarray
Colour = Sequence[float] | np.ndarray
Surface = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A surface takes grids x and y, (h, w) each, in object units and gives (h, w, 3) colours in [0, 1]."""
Shapes = Outline | Sequence[Outline]
"""One shape, or several that are painted as one."""


def as_rgb(colour: Colour) -> np.ndarray:
    """(3,) float32.

    >>> as_rgb((1, 0.5, 0)).dtype.name
    'float32'
    """
    return np.asarray(colour, np.float32)


@dataclass(frozen=True)
class Frame:
    """Where an object stands: its origin (x, y) in pixels, its scale, its tilt in degrees (clockwise), mirrored or not."""

    x: float = 0.0
    y: float = 0.0
    scale: float = 1.0
    _: KW_ONLY
    tilt: float = 0.0
    flip: bool = False

    @cached_property
    def _matrix(self) -> np.ndarray:
        c, s = np.cos(np.deg2rad(self.tilt)), np.sin(np.deg2rad(self.tilt))
        mirror = -1.0 if self.flip else 1.0
        return self.scale * np.array([[c * mirror, -s], [s * mirror, c]])

    def __call__(self, points: Outline) -> Outline:
        """Object units (N, 2) to pixels."""
        return np.asarray(points, float) @ self._matrix.T + (self.x, self.y)

    def back(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixel grids to object units."""
        inverse = np.linalg.inv(self._matrix).astype(np.float32)
        dx, dy = x - np.float32(self.x), y - np.float32(self.y)
        return inverse[0, 0] * dx + inverse[0, 1] * dy, inverse[1, 0] * dx + inverse[1, 1] * dy

    def at(self, x: float, y: float, scale: float = 1.0, tilt: float = 0.0) -> Frame:
        """A frame inside this one: origin (x, y) in its units, smaller or larger, tilted further."""
        px, py = self(np.array([[x, y]]))[0]
        return Frame(px, py, self.scale * scale, tilt=self.tilt + (-tilt if self.flip else tilt), flip=self.flip)


def ellipse(
    x: float,
    y: float,
    rx: float,
    ry: float | None = None,
    *,
    tilt: float = 0.0,
    arc: tuple[float, float] = (0.0, 360.0),
) -> Outline:
    """An ellipse about (x, y); `arc` in degrees, 0 to the right, 90 down, gives the segment cut off by its chord."""
    turns = _arc(*arc) * (rx, rx if ry is None else ry)
    if tilt:
        c, s = np.cos(np.deg2rad(tilt)), np.sin(np.deg2rad(tilt))
        turns = turns @ np.array([[c, s], [-s, c]])
    return turns + np.array([x, y])


@lru_cache(maxsize=64)
def _arc(start: float, end: float) -> np.ndarray:
    t = np.deg2rad(np.linspace(start, end, 49))
    return np.stack([np.cos(t), np.sin(t)], 1)


def box(x0: float, y0: float, x1: float, y1: float, *, r: float = 0.0) -> Outline:
    """A rectangle with corners rounded by radius r."""
    r = min(r, abs(x1 - x0) / 2, abs(y1 - y0) / 2)
    if r <= 0:
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)
    corners = (x1 - r, y1 - r, 0), (x0 + r, y1 - r, 90), (x0 + r, y0 + r, 180), (x1 - r, y0 + r, 270)
    return np.concatenate([ellipse(x, y, r, arc=(a, a + 90))[::6] for x, y, a in corners])


def points(given: Points, shift: float = 0.0) -> Outline:
    """`points("0,0 10,-5")`: an (N, 2) array from a list as in SVG's `points`, or from pairs; moved right by `shift`."""
    pairs = [pair.split(",") for pair in given.split()] if isinstance(given, str) else given
    return np.array(pairs, float) + np.array([shift, 0.0])


def poly(given: Points, shift: float = 0.0) -> Outline:
    """A polygon with straight edges."""
    return points(given, shift)


def blob(given: Points, closed: bool = True, steps: int = 8, shift: float = 0.0) -> Outline:
    """A smooth curve through the points (Catmull-Rom), closed unless told otherwise."""
    p = points(given, shift)
    knots = np.concatenate([p[-1:], p, p[:2]] if closed else [p[:1], p, p[-1:]])[:, None]
    a, b, c, d = knots[:-3], knots[1:-2], knots[2:-1], knots[3:]
    t = (np.arange(steps) / steps)[:, None]
    line = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return line.reshape(-1, 2) if closed else np.concatenate([line.reshape(-1, 2), p[-1:]])


def ribbon(given: Points, widths: Sequence[float] | float, smooth: bool = True) -> list[Outline]:
    """A band along the points, as wide as `widths` says (evenly spread along it), with round ends."""
    line = blob(given, closed=False) if smooth else points(given)
    wide = np.atleast_1d(np.asarray(widths, float))
    half = np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(wide)), wide)[:, None] / 2
    along = np.gradient(line, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    outline = np.concatenate([line + across * half, (line - across * half)[::-1]])
    ends = [ellipse(line[i, 0], line[i, 1], half[i, 0]) for i in (0, -1) if half[i, 0] > 0]
    return [outline, *ends]


def ring(x: float, y: float, r: float, width: float) -> list[Outline]:
    """A ring of mean radius r."""
    turns = ellipse(0, 0, 1)
    return [np.concatenate([turns * (r + width / 2) + (x, y), turns[::-1] * (r - width / 2) + (x, y)])]


def blur(a: np.ndarray, radius: float) -> np.ndarray:
    """A smooth blur of (h, w) by about `radius` pixels: two box means along each axis, edges repeated."""
    n = max(1, round(radius))
    for _ in range(2):
        a = _box_mean(_box_mean(a, n).T, n).T
    return a


def _box_mean(a: np.ndarray, n: int) -> np.ndarray:
    """Means over 2 n + 1 rows."""
    h, w = a.shape
    padded = np.empty((h + 2 * n + 1, w), np.float32)
    padded[: n + 1], padded[n + 1 : n + 1 + h], padded[n + 1 + h :] = a[0], a, a[-1]
    total = padded.cumsum(0)
    return (total[2 * n + 1 :] - total[:h]) * np.float32(1 / (2 * n + 1))


@dataclass(frozen=True, slots=True)
class _Raster:
    """A shape on the pixels [y0:y1, x0:x1] of the image: opacity (h, w) in [0, 1], and what label pixels it holds."""

    x0: int
    y0: int
    opacity: np.ndarray
    holds: np.ndarray

    @property
    def pixels(self) -> tuple[slice, slice]:
        h, w = self.opacity.shape
        return slice(self.y0, self.y0 + h), slice(self.x0, self.x0 + w)

    @property
    def label_pixels(self) -> tuple[slice, slice]:
        h, w = self.holds.shape
        return slice(self.y0 // 2, self.y0 // 2 + h), slice(self.x0 // 2, self.x0 // 2 + w)

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        h, w = self.opacity.shape
        x = np.arange(self.x0, self.x0 + w, dtype=np.float32) + np.float32(0.5)
        y = np.arange(self.y0, self.y0 + h, dtype=np.float32) + np.float32(0.5)
        return np.broadcast_to(x, (h, w)), np.broadcast_to(y[:, None], (h, w))


def _rasterise(paths: list[Outline], holes: list[Outline], clip: list[Outline], margin: float = 0.0) -> _Raster | None:
    points = np.concatenate(paths)
    low = np.maximum(np.floor((points.min(0) - margin) / 2).astype(int) * 2, 0)
    high = np.minimum(np.ceil((points.max(0) + margin) / 2).astype(int) * 2, SIZE)
    if (low >= high).any():
        return None
    mask = _draw(paths, low, high, holes)
    if clip:
        mask = ImageChops.darker(mask, _draw(clip, low, high))
    width, height = (high - low).tolist()
    holds = np.asarray(mask.resize((width // 2, height // 2), Image.Resampling.NEAREST)) > 127
    return _Raster(int(low[0]), int(low[1]), np.asarray(mask.reduce(OVER), np.float32) / 255, holds)


def _draw(paths: list[Outline], low: np.ndarray, high: np.ndarray, holes: Sequence[Outline] = ()) -> Image.Image:
    width, height = ((high - low) * OVER).tolist()
    mask = Image.new("L", (width, height))
    pencil = ImageDraw.Draw(mask)
    for ink, group in ((255, paths), (0, holes)):
        for path in group:
            pencil.polygon(((path - low) * OVER - 0.5).ravel().tolist(), fill=ink)
    return mask


class Canvas:
    """An image in the making: `rgb` (224, 224, 3) in [0, 1], `planes` (5, 112, 112) of codes into `names`, 0 = none.

    `ambient` is the colour of the light on all that is painted from now on, `light` the direction it comes from.
    """

    def __init__(self, rng: np.random.Generator, light: tuple[float, float] = (-0.6, -0.8)):
        self.rng = rng
        self.light = light
        self.ambient = np.ones(3, np.float32)
        self.rgb = np.full((SIZE, SIZE, 3), 0.5, np.float32)
        self.planes = np.zeros((len(PLANES), MAP, MAP), np.uint8)
        self.names: list[str] = [""]

    def pen(self, object: str | tuple[str, str] = "", frame: Frame | None = None) -> Pen:
        """A pen that paints one object (or one object over another: finer first) in its own frame."""
        return Pen(self, frame or Frame(), object)

    def code(self, name: str) -> int:
        """The code of a name in `planes`; a new name gets the next one."""
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def haze(self, colour: Colour, amount: float) -> None:
        """Veils all that is painted so far, as distance does; labels stay."""
        self.rgb += (np.asarray(colour, np.float32) * self.ambient - self.rgb) * np.float32(amount)

    def glow(self, x: float, y: float, radius: float, *, colour: Colour, strength: float = 1.0) -> None:
        """Adds light around a point; labels stay."""
        grid = np.arange(SIZE, dtype=np.float32) + np.float32(0.5)
        fall = np.exp(-((grid[None] - x) ** 2 + (grid[:, None] - y) ** 2) / np.float32(2 * radius**2))[..., None]
        self.rgb += fall * np.asarray(colour, np.float32) * np.float32(strength)


@dataclass(frozen=True, slots=True)
class Pen:
    """Paints the shapes of one object. `fill` lays colour and labels, `mark` colour only, `shadow` darkens only."""

    canvas: Canvas
    frame: Frame
    object: str | tuple[str, str] = ""

    def within(
        self, x: float, y: float, scale: float = 1.0, tilt: float = 0.0, *, object: str | tuple[str, str] | None = None
    ) -> Pen:
        """The same pen in a frame inside this one, for a sub-assembly."""
        return Pen(self.canvas, self.frame.at(x, y, scale, tilt), self.object if object is None else object)

    def fill(
        self,
        shape: Shapes,
        paint: Colour | Surface,
        part: str | tuple[str, str] = "",
        material: str = "",
        *,
        holes: Sequence[Outline] = (),
        clip: Shapes | None = None,
        relief: float = 0.0,
        fade: float = 0.0,
        opacity: float = 1.0,
        glowing: bool = False,
    ) -> None:
        """Covers the shape with colour and labels. `relief`: how far (units) the edge is rounded towards the light;
        `fade`: how much darker the foot is than the top; `opacity`: for colour only, labels are always opaque;
        `glowing`: shines by its own light, whatever the canvas's ambient light."""
        raster = self._raster(shape, holes, clip, margin=2 * (relief > 0))
        if raster is None:
            return
        self._colour(raster, paint, relief=relief, fade=fade, opacity=opacity, glowing=glowing)
        both = [(n, "") if isinstance(n, str) else n for n in (self.object, part)]
        names = [*both[0], *both[1], material]
        codes = np.array([self.canvas.code(name) for name in names], np.uint8)
        rows, columns = raster.label_pixels
        self.canvas.planes[:, rows, columns][:, raster.holds] = codes[:, None]

    def mark(
        self,
        shape: Shapes,
        paint: Colour | Surface,
        *,
        holes: Sequence[Outline] = (),
        clip: Shapes | None = None,
        relief: float = 0.0,
        fade: float = 0.0,
        opacity: float = 1.0,
        glowing: bool = False,
    ) -> None:
        """Covers the shape with colour and leaves the labels: creases, reflections, printed lines."""
        raster = self._raster(shape, holes, clip, margin=2 * (relief > 0))
        if raster is not None:
            self._colour(raster, paint, relief=relief, fade=fade, opacity=opacity, glowing=glowing)

    def stand(self, half: float, depth: float = 3.0, strength: float = 0.45) -> None:
        """The soft dark patch on the ground under something `2 * half` units wide."""
        self.shadow(ellipse(half * 0.12, 0, half, depth), softness=depth, strength=strength)

    def shadow(self, shape: Shapes, softness: float = 4.0, strength: float = 0.4, clip: Shapes | None = None) -> None:
        """Darkens the shape, blurred by `softness` units; labels stay."""
        reach = softness * self.frame.scale
        raster = self._raster(shape, (), None, margin=2 * reach + 2)
        if raster is not None:
            dark = blur(raster.opacity, reach)
            if clip is not None:
                dark = dark * _full_opacity(self._placed(clip), raster)
            self.canvas.rgb[raster.pixels] *= 1 - np.float32(strength) * dark[..., None]

    def _placed(self, shape: Shapes | None) -> list[Outline]:
        if shape is None:
            return []
        return [self.frame(path) for path in ([shape] if isinstance(shape, np.ndarray) else shape)]

    def _raster(
        self, shape: Shapes, holes: Sequence[Outline], clip: Shapes | None, margin: float = 0.0
    ) -> _Raster | None:
        return _rasterise(self._placed(shape), self._placed(holes), self._placed(clip), margin)

    def _colour(
        self, raster: _Raster, paint: Colour | Surface, *, relief: float, fade: float, opacity: float, glowing: bool
    ) -> None:
        colour = paint(*self.frame.back(*raster.grid())) if callable(paint) else as_rgb(paint).reshape(1, 1, 3)
        if fade:
            rows = len(raster.opacity)
            colour = colour * np.linspace(1 + fade / 2, 1 - fade / 2, rows, dtype=np.float32)[:, None, None]
        if relief * self.frame.scale > 0.5:
            colour = colour * _modelled(raster.opacity, relief * self.frame.scale, self.canvas.light)[..., None]
        if not glowing:
            colour = colour * self.canvas.ambient
        cover = raster.opacity[..., None] * np.float32(opacity)
        under = self.canvas.rgb[raster.pixels]
        under += (colour - under) * cover


def _full_opacity(paths: list[Outline], raster: _Raster) -> np.ndarray:
    h, w = raster.opacity.shape
    low = np.array([raster.x0, raster.y0])
    return np.asarray(_draw(paths, low, np.array([raster.x0 + w, raster.y0 + h])).reduce(OVER), np.float32) / 255


def _modelled(opacity: np.ndarray, reach: float, light: tuple[float, float]) -> np.ndarray:
    """Brightness factors (h, w) that make a flat shape look swollen: brighter where its edge faces the light."""
    soft = blur(opacity, reach)
    across, down = np.zeros_like(soft), np.zeros_like(soft)
    across[:, 1:-1] = soft[:, 2:] - soft[:, :-2]
    down[1:-1] = soft[2:] - soft[:-2]
    facing = (across * np.float32(light[0]) + down * np.float32(light[1])) * np.float32(-reach / 2)
    return np.float32(1.02) + np.clip(facing, -0.6, 0.5) * np.float32(0.92)

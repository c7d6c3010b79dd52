"""The pictures of the miniature data set: scenes, and single objects before a plain backdrop.

    canvas = draw_scene("harbor", np.random.default_rng(0))
    canvas = draw_object("dog", np.random.default_rng(0))

Both give a finished `Canvas`: its `rgb` is exposed, lit, blurred and grained as a photograph would be, its `planes` hold
the labels.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from . import scenes_built, scenes_indoor, scenes_wild
from .people import draw_person
from .shapes import SIZE, Canvas, as_rgb, box
from .stage import DRAW, somewhere
from .surfaces import pick, vertical

SCENES = {**scenes_built.SCENES, **scenes_wild.SCENES, **scenes_indoor.SCENES}

STUDIO = {
    "car": (1.5, 112, 165), "dog": (2.0, 116, 195), "person": (1.95, 112, 212), "flower": (3.7, 112, 208),
    "bicycle": (1.9, 112, 185), "chair": (2.2, 112, 205), "cat": (2.4, 108, 200), "portrait": (5.6, 112, 112),
    "airplane": (1.3, 112, 110), "house": (1.8, 112, 195), "bird": (3.0, 106, 196), "sofa": (1.45, 112, 180),
    "car_front": (2.7, 112, 190), "horse": (1.75, 116, 205), "tree": (1.75, 112, 212), "table": (1.8, 112, 190),
    "bus": (1.08, 112, 170), "fish": (2.6, 112, 112), "lamp": (1.85, 112, 206), "vase": (3.4, 112, 205),
    "boat": (1.75, 112, 205), "bench": (2.2, 112, 180), "bookcase": (1.9, 112, 210),
}  # fmt: skip
"""Name to (scale, x, y) at which the object fills the image."""

BACKDROPS = (
    (0.86, 0.89, 0.92), (0.90, 0.86, 0.80), (0.62, 0.70, 0.74), (0.80, 0.76, 0.82), (0.52, 0.55, 0.58), (0.78, 0.84, 0.76),
    (0.55, 0.68, 0.84), (0.90, 0.80, 0.62),
)  # fmt: skip


def draw_scene(name: str, rng: np.random.Generator) -> Canvas:
    """One picture of the scene `name` of `SCENES`, finished as a photograph would be."""
    canvas = _new_canvas(rng)
    SCENES[name](canvas)
    return _develop(canvas)


def draw_object(name: str, rng: np.random.Generator) -> Canvas:
    """The object `name` of `STUDIO` before a plain, unlabelled backdrop."""
    canvas = _new_canvas(rng)
    tone = pick(rng, BACKDROPS)
    floor = rng.uniform(140, 175)
    backdrop = canvas.pen()
    backdrop.mark(box(0, 0, SIZE, SIZE), vertical(tone, np.clip(tone * 1.08, 0, 1), 0, floor))
    backdrop.mark(box(0, floor, SIZE, SIZE), vertical(tone * 0.86, tone, floor, SIZE))
    backdrop.shadow(box(-20, floor - 3, SIZE + 20, floor + 3), 9, 0.10)
    scale, x, y = STUDIO[name]
    scale *= rng.uniform(0.72, 1.05)
    frame = somewhere(rng, (x - 12, x + 12), (y - 8, y + 4), scale, tilt=4)
    if name == "portrait":
        draw_person(canvas, frame.at(0, 88), hat=rng.random() < 0.4)
    else:
        DRAW[name](canvas, frame)
    return _develop(canvas)


def _new_canvas(rng: np.random.Generator) -> Canvas:
    return Canvas(rng, light=(float(rng.choice((-1, 1)) * rng.uniform(0.4, 0.75)), -0.75))


def _develop(canvas: Canvas) -> Canvas:
    """Exposure, white balance, uneven light, a little blur and noise."""
    rng = canvas.rng
    warm = rng.uniform(-0.06, 0.06)
    grid = np.linspace(-1, 1, SIZE, dtype=np.float32)
    x, y = grid[None], grid[:, None]
    light = 1 + rng.uniform(-0.10, 0.10) * x + rng.uniform(-0.06, 0.06) * y - rng.uniform(0.01, 0.06) * (x * x + y * y)
    gain = np.float32(rng.uniform(0.92, 1.12)) * as_rgb((1 + warm, 1, 1 - warm))
    rgb = np.clip(canvas.rgb * gain * light[..., None].astype(np.float32), 0, 1)
    if rng.random() < 0.3:
        blur = ImageFilter.GaussianBlur(rng.uniform(0.3, 0.7))
        rgb = np.asarray(Image.fromarray((rgb * 255 + 0.5).astype(np.uint8)).filter(blur), np.float32) / 255
    noise = rng.standard_normal((SIZE, SIZE, 1), np.float32) + 0.5 * rng.standard_normal((SIZE, SIZE, 3), np.float32)
    canvas.rgb = np.clip(rgb + np.float32(rng.uniform(0.003, 0.011)) * noise, 0, 1)
    return canvas

"""Rooms: a living room, a bedroom.

SCENES["bedroom"](canvas)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .people import CLOTHES
from .shapes import SIZE, Canvas, as_rgb, box, poly, ribbon
from .stage import DRAW, somewhere
from .surfaces import TIMBER, fabric, pick, plain, wood


def _room(c: Canvas) -> float:
    """Wall, skirting and floor of a room; gives the height (pixels) of the edge between wall and floor."""
    rng = c.rng
    edge = rng.uniform(146, 160)
    c.ambient = as_rgb(rng.choice(((1.0, 0.98, 0.94), (0.92, 0.88, 0.84), (1.0, 1.0, 1.0), (0.80, 0.74, 0.68))))
    tone = pick(
        rng,
        (
            (0.86, 0.82, 0.74),
            (0.66, 0.74, 0.74),
            (0.80, 0.72, 0.72),
            (0.72, 0.76, 0.66),
            (0.90, 0.86, 0.72),
            (0.62, 0.66, 0.76),
        ),
    )
    c.pen("wall").fill(box(0, 0, SIZE, edge), plain(tone, rng), "", "plaster", fade=-0.08)
    if rng.random() < 0.4:
        c.pen().mark([box(x, 0, x + 7, edge) for x in range(0, SIZE, 16)], np.clip(tone * 1.06, 0, 1), opacity=0.6)
    c.pen("wall").fill(box(0, edge - 6, SIZE, edge), plain((0.93, 0.92, 0.89), rng), "skirting", "wood", relief=1)
    floor = wood(pick(rng, TIMBER), rng, plank=8)
    c.pen("floor").fill(box(0, edge, SIZE, SIZE), lambda x, y: floor(x, (y - edge) * 0.8), "", "wood", fade=-0.12)
    c.pen().shadow(box(-10, edge - 2, SIZE + 10, edge + 2), 3, 0.25)
    return edge


def _rug(c: Canvas, edge: float) -> None:
    rng = c.rng
    colour = pick(rng, CLOTHES)
    y0, y1 = edge + 20, rng.uniform(208, 219)
    rug = poly([(50, y0), (174, y0), (204, y1), (20, y1)])
    pen = c.pen("rug")
    pen.shadow(rug + np.array([0, 1.5]), 2, 0.3)
    pen.fill(rug, fabric(colour, rng, 0.05, 2.4), "", "carpet")
    inner = poly([(58, y0 + 4), (166, y0 + 4), (190, y1 - 6), (34, y1 - 6)])
    pen.mark(ribbon([*inner, inner[0]], 2.2, False), np.clip(colour * 0.5 + 0.45, 0, 1), opacity=0.8)


def _furnish(c: Canvas, side: int, items: Sequence[tuple[str, float, float, float, float]]) -> None:
    """Things in a room, drawn in the order given: name, chance, distance from the middle towards `side`, y, scale."""
    rng = c.rng
    for name, chance, away, y, scale in items:
        if rng.random() < chance:
            x = SIZE / 2 + side * away
            DRAW[name](c, somewhere(rng, (x - 8, x + 8), (y - 2, y + 2), (scale * 0.92, scale * 1.08)))


def _living_room(c: Canvas) -> None:
    rng = c.rng
    edge = _room(c)
    side = int(rng.choice((-1, 1)))
    window = float(rng.random() < 0.5)
    behind = [
        ("curtained_window", window, -42, 70, 1.0),
        ("painting", 1 - window, 0, 58, 1.1),
        ("bookcase", 0.6, 78, edge + 8, 1.15),
        ("lamp", 0.7, -92, edge + 14, 1.05),
    ]
    before = [
        ("sofa", 0.9, -14, edge + 26, 1.12),
        ("chair", 0.5, 80, edge + 44, 0.95),
        ("table", 0.65, 14, 213, 0.85),
        ("cat", 0.5, -72, 212, 0.72),
        ("dog", 0.35, 60, 216, 0.72),
        ("person", 0.35, 62, 212, 1.3),
    ]
    _furnish(c, side, behind)
    if rng.random() < 0.75:
        _rug(c, edge)
    _furnish(c, side, before)


def _bedroom(c: Canvas) -> None:
    rng = c.rng
    edge = _room(c)
    side = int(rng.choice((-1, 1)))
    behind = [
        ("painting", 0.65, 52, 56, 0.85),
        ("curtained_window", 0.8, -44, 68, 1.0),
        ("lamp", 0.7, 92, edge + 10, 1.05),
        ("bookcase", 0.4, -84, edge + 8, 1.0),
    ]
    before = [
        ("bed", 1.0, 8, edge + 36, 1.25),
        ("chair", 0.5, -86, edge + 50, 0.95),
        ("cat", 0.45, -40, 213, 0.72),
        ("dog", 0.3, 52, 216, 0.7),
        ("person", 0.3, -72, 213, 1.3),
    ]
    _furnish(c, side, behind)
    if rng.random() < 0.6:
        _rug(c, edge)
    _furnish(c, side, before)


SCENES: dict[str, Callable[[Canvas], None]] = {"living_room": _living_room, "bedroom": _bedroom}

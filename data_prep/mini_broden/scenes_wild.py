"""Scenes of land and sea, each a function that paints a canvas: forest, beach, mountain, field, desert, snow, sea bed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .people import CLOTHES
from .shapes import SIZE, Canvas, as_rgb, blob, box, ellipse, poly, ribbon
from .stage import DRAW, LAWNS, Stage, below, ground, gulls, ridge, sky, somewhere, woods
from .surfaces import fabric, grains, grass, pick, plain, vertical, water, wood
from .vehicles import draw_boat

UP = np.array([0.0, -2.0])


def _forest(c: Canvas) -> None:
    rng = c.rng
    h = rng.uniform(112, 128)
    air = sky(c, h, clouds=False, sun=0.3)
    autumn, conifers = rng.random() < 0.35, rng.random() < 0.45
    tone = (0.50, 0.42, 0.20) if autumn else (0.28, 0.42, 0.30)
    woods(c, h + 2, 78, tone)
    c.haze(air, 0.5)
    woods(c, h + 3, 52, tone)
    c.haze(air, 0.2)
    ground(c, "grass", h, grass(pick(rng, LAWNS) * (0.85, 0.8, 0.8), rng, h), material="foliage")
    if rng.random() < 0.75:
        x = rng.uniform(70, 150)
        path = poly([(x - 5, h), (x + 4, h), (x + rng.uniform(20, 50), SIZE), (x - rng.uniform(45, 75), SIZE)])
        c.pen("path").fill(path, grains((0.58, 0.46, 0.32), rng, 0.09), "", "soil")
    stage = Stage(c, h - 14)
    left, right, everywhere = (-12, 40), (184, 236), (0, SIZE)
    rows = ((everywhere, 3, 10, 8, 1.0), (everywhere, 12, 26, 5, 1.1), (left, 36, 60, 1, 1.6), (right, 36, 60, 1, 1.6))
    for (x0, x1), near, far, n, size in rows:
        for k in range(n):
            x, y = x0 + (k + rng.uniform(0.1, 0.9)) * (x1 - x0) / n, h + rng.uniform(near, far)
            if conifers or rng.random() < 0.2:
                stage.put("conifer", x, y, size)
            else:
                stage.put("tree", x, y, size, autumn=autumn)
    stage.scatter("bush", rng.integers(2, 5), (0, SIZE), (h + 12, 215), size=0.8, blossom=rng.random() < 0.4)
    stage.scatter("rock", rng.integers(0, 3), (0, SIZE), (h + 20, 212), size=0.7)
    stage.visit({"bird": 0.5}, (40, 180), (190, 212), 1.3)
    stage.visit({"person": 0.4, "dog": 0.25}, (60, 170), (180, 212), 0.9)
    stage.perform()


def _beach(c: Canvas) -> None:
    rng = c.rng
    h = rng.uniform(84, 104)
    sky(c, h, sun=0.6)
    deep, shallow = pick(rng, ((0.12, 0.42, 0.60), (0.16, 0.50, 0.62)), 0.02), (0.48, 0.76, 0.76)
    ground(c, "water", h, water(shallow, deep, rng, h, depth=56), material="water")
    for _ in range(rng.integers(0, 3)):
        draw_boat(c, somewhere(rng, (20, 200), (h + 5, h + 12), (0.18, 0.34)))
    shore = h + rng.uniform(34, 50)
    edge = below(rng, shore, 3.5, 9)
    c.pen("water").fill(edge + 1.7 * UP, plain((0.96, 0.98, 0.98), rng), "", "water")
    c.pen("sand").fill(edge, grains(pick(rng, ((0.90, 0.79, 0.58), (0.93, 0.85, 0.68)), 0.02), rng), "", "sand")
    stage = Stage(c, h - 10)
    for side in rng.permutation([-1, 1])[: rng.integers(1, 3)]:
        stage.put("palm", 112 + side * rng.uniform(72, 100), rng.uniform(shore + 14, 205), 0.95, flip=bool(side > 0))
    stage.scatter("person", rng.integers(1, 4), (40, 190), (shore + 10, 212), hat=rng.random() < 0.6)
    stage.visit({"dog": 0.5}, (50, 170), (shore + 30, 215))
    stage.scatter("rock", rng.integers(0, 3), (0, SIZE), (shore + 8, 214), size=0.6)
    stage.perform()
    if rng.random() < 0.7:
        _draw_parasol(c, rng.uniform(40, 185), rng.uniform(shore + 35, 210))
    gulls(c, h)


def _draw_parasol(c: Canvas, x: float, y: float) -> None:
    rng = c.rng
    pen = c.pen("umbrella", somewhere(rng, x, y, (0.7, 0.95), tilt=10))
    pen.stand(24, 3.5, 0.4)
    pen.fill(ribbon("0,0 0,-64", 2, False), wood((0.80, 0.70, 0.55), rng, True), "pole", "wood")
    cover = blob("-34,-50 -27,-62 -12,-70 0,-72 12,-70 27,-62 34,-50 17,-53 0,-49 -17,-53")
    pen.fill(cover, fabric(pick(rng, CLOTHES), rng, 0.04), "canopy", "fabric", relief=3)
    pen.mark([poly("0,-72 34,-50 17,-50"), poly("0,-72 -34,-50 -17,-50")], (0.95, 0.94, 0.90), clip=cover, opacity=0.9)


def _mountain(c: Canvas) -> None:
    rng = c.rng
    h = rng.uniform(128, 146)
    air = sky(c, h)
    snow = rng.random() < 0.75
    ridge(c, h, rng.uniform(78, 104), pick(rng, ((0.50, 0.54, 0.62), (0.56, 0.50, 0.50))), rough=1.0, snow=snow)
    c.haze(air, 0.32)
    ridge(c, h, rng.uniform(42, 62), pick(rng, ((0.42, 0.45, 0.46), (0.46, 0.40, 0.36))))
    c.haze(air, 0.15)
    woods(c, h + 2, 20, (0.17, 0.32, 0.24))
    ground(c, "grass", h, grass(pick(rng, LAWNS), rng, h), material="foliage")
    if rng.random() < 0.5:
        lake = ellipse(rng.uniform(60, 160), h + rng.uniform(14, 22), rng.uniform(60, 100), rng.uniform(9, 14))
        c.pen("water").fill(lake, water((0.34, 0.55, 0.68), (0.60, 0.74, 0.82), rng, h, depth=40), "", "water")
    stage = Stage(c, h - 18)
    stage.scatter("conifer", rng.integers(3, 8), (-5, SIZE + 5), (h + 6, h + 45), size=0.8)
    stage.scatter("rock", rng.integers(1, 4), (0, SIZE), (h + 12, 215))
    stage.scatter("flower", rng.integers(2, 6), (0, SIZE), (190, 219))
    stage.visit({"house": 0.4}, (40, 185), (h + 16, h + 26), 0.6)
    stage.visit({"horse": 0.5, "person": 0.35}, (50, 175), (190, 212), 0.85)
    stage.perform()


def _field(c: Canvas) -> None:
    rng = c.rng
    h = rng.uniform(98, 118)
    air = sky(c, h)
    woods(c, h + 1, rng.uniform(16, 30), (0.38, 0.50, 0.36), rough=0)
    c.haze(air, 0.35)
    crop = pick(rng, ((0.84, 0.66, 0.26), (0.56, 0.62, 0.24), (0.90, 0.76, 0.36)), 0.02)
    ground(c, "field", h, grass(crop, rng, h), material="crop")
    vanish = rng.uniform(70, 150)
    rows = [ribbon([(vanish, h), (vanish + k * 46, SIZE)], (0.4, 6), False)[0] for k in range(-7, 8)]
    c.pen().mark(rows, crop * 0.72, opacity=0.35)
    lawn = h + rng.uniform(56, 74)
    c.pen("grass").fill(below(rng, lawn, 3, 8), grass(pick(rng, LAWNS), rng, h, 90), "", "foliage")
    stage = Stage(c, h - 16)
    stage.scatter("tree", rng.integers(1, 4), (0, SIZE), (h + 4, h + 14), size=0.95)
    stage.visit({"house": 0.65}, (40, 185), (h + 9, h + 12), 0.9)
    if rng.random() < 0.75:
        stage.put("fence", rng.uniform(-20, 10), lawn + 6, 0.9, flip=False, length=260)
    stage.visit({"horse": 0.7, "dog": 0.3, "person": 0.4}, (45, 180), (lawn + 16, 214), 0.9)
    stage.scatter("flower", rng.integers(2, 7), (0, SIZE), (lawn + 20, 220))
    stage.perform()


def _desert(c: Canvas) -> None:
    rng = c.rng
    h = rng.uniform(104, 122)
    air = sky(c, h, sun=0.8)
    ridge(c, h + 2, rng.uniform(24, 44), pick(rng, ((0.72, 0.44, 0.30), (0.66, 0.46, 0.36))), rough=0.5)
    c.haze(air, 0.3)
    sand = pick(rng, ((0.90, 0.70, 0.44), (0.86, 0.62, 0.38)), 0.02)
    ground(c, "sand", h, grains(sand, rng), material="sand")
    for y, tone in ((h + 14, 1.05), (h + 38, 0.97), (h + 66, 1.03)):
        dune = below(rng, y, 9, 5)
        c.pen().shadow(dune[:-2] + UP, 4, 0.14)
        c.pen("sand").fill(dune, grains(np.clip(sand * tone, 0, 1), rng, 0.05, 0.045), "", "sand", relief=6)
    stage = Stage(c, h - 16)
    stage.scatter("cactus", rng.integers(2, 6), (0, SIZE), (h + 10, 196), size=0.9)
    stage.scatter("rock", rng.integers(2, 5), (0, SIZE), (h + 10, 214), tone=(0.66, 0.44, 0.32))
    stage.visit({"horse": 0.35, "person": 0.35, "car": 0.3, "bird": 0.3}, (45, 180), (h + 50, 210), 0.85)
    stage.perform()


def _snowfield(c: Canvas) -> None:
    rng = c.rng
    h = rng.uniform(108, 126)
    c.ambient = as_rgb((0.93, 0.97, 1.04))
    air = sky(c, h, sun=0.3)
    ridge(c, h + 2, rng.uniform(40, 70), (0.55, 0.60, 0.68), rough=1.0, snow=True)
    c.haze(air, 0.35)
    ground(c, "snow", h, grains((0.90, 0.93, 0.98), rng, 0.02, 0.012), material="snow")
    drift = below(rng, h + 48, 8, 6)
    c.pen().shadow(drift[:-2] + UP, 5, 0.12)
    c.pen("snow").fill(drift, grains((0.93, 0.95, 0.99), rng, 0.02, 0.012), "", "snow", relief=6)
    stage = Stage(c, h - 16)
    stage.scatter("conifer", rng.integers(4, 9), (0, SIZE), (h + 4, h + 60), size=0.85, snow=True)
    stage.visit({"house": 0.5}, (40, 185), (h + 20, h + 24), 0.75)
    if rng.random() < 0.5:
        stage.put("fence", rng.uniform(-10, 60), h + 44, 0.9, flip=False, length=150)
    stage.scatter("rock", rng.integers(0, 3), (0, SIZE), (h + 20, 212), size=0.7)
    stage.scatter("person", rng.integers(0, 3), (40, 185), (h + 56, 214), size=0.95, hat=True)
    stage.visit({"dog": 0.5, "bird": 0.3}, (40, 185), (h + 56, 214))
    stage.perform()


def _underwater(c: Canvas) -> None:
    rng = c.rng
    deep = pick(rng, ((0.05, 0.26, 0.46), (0.06, 0.34, 0.46)), 0.02)
    c.pen("water").fill(
        box(0, 0, SIZE, SIZE), vertical((0.36, 0.74, 0.84), deep, 0, 190, noise=0.05, rng=rng), "", "water"
    )
    for _ in range(6):
        x, w, lean = rng.uniform(-20, 230), rng.uniform(5, 14), rng.uniform(-40, 40)
        beam = poly([(x, -5), (x + w, -5), (x + w * 2.4 + lean, 200), (x - w * 1.2 + lean, 200)])
        c.pen().mark(beam, vertical((0.75, 0.95, 1.0), deep, 0, 200), opacity=0.13)
    c.ambient = as_rgb((0.66, 0.88, 0.98))
    bed = rng.uniform(172, 190)
    c.pen("sand").fill(below(rng, bed, 5, 7), grains((0.86, 0.80, 0.62), rng), "", "sand", relief=5, fade=0.2)
    for name, most, scale in (("seaweed", 5, (0.85, 1.5)), ("coral", 4, (0.65, 1.2)), ("rock", 3, (0.65, 1.1))):
        for _ in range(rng.integers(1, most)):
            DRAW[name](c, somewhere(rng, (5, 219), (bed + 6, bed + 28), scale))
    for scale in ((1.0, 1.6), *[(0.35, 0.8)] * rng.integers(1, 6)):
        DRAW["fish"](c, somewhere(rng, (25, 200), (25, 160), scale, tilt=14))
    for x, y, r in rng.uniform((20, 10, 0.9), (204, 170, 3), (14, 3)):
        c.pen().mark(ellipse(x, y, r), (0.85, 0.97, 1.0), opacity=0.28)
        c.pen().mark(ellipse(x - r * 0.3, y - r * 0.3, r * 0.3), (1, 1, 1), opacity=0.8)


SCENES: dict[str, Callable[[Canvas], None]] = {
    "forest": _forest,
    "beach": _beach,
    "mountain": _mountain,
    "field": _field,
    "desert": _desert,
    "snowfield": _snowfield,
    "underwater": _underwater,
}

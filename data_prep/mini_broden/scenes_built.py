"""Scenes that people have built, each a function that paints a canvas: streets, a park, a harbour, an airfield."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from .buildings import draw_building, draw_house
from .nature import add_sky, add_sun
from .shapes import SIZE, Canvas, Frame, as_rgb, blob, box, ellipse, points, ribbon
from .stage import DRAW, LAWNS, Stage, ground, gulls, ridge, sky, somewhere, woods
from .surfaces import grains, grass, pick, plain, stone, water, wood
from .vehicles import add_wheel, draw_airplane, draw_boat

PAINT = (0.92, 0.91, 0.86)


def _street(c: Canvas, night: bool = False) -> None:
    rng = c.rng
    h = rng.uniform(96, 112)
    if night:
        c.ambient = as_rgb((0.27, 0.30, 0.42)) * np.float32(rng.uniform(0.85, 1.25))
        add_sky(c, h + 30, (0.12, 0.16, 0.42), (0.55, 0.44, 0.62))
        if rng.random() < 0.8:
            add_sun(
                c,
                rng.uniform(30, 190),
                rng.uniform(13, 30),
                rng.uniform(7, 10),
                colour=(0.93, 0.93, 0.86),
                object="moon",
            )
    else:
        sky(c, h + 30)
    kerb = h + 42
    town = rng.random() < 0.6
    (_draw_town if town else _draw_suburb)(c, kerb, night)
    _draw_roadway(c, kerb)
    stage = Stage(c, h)
    for x in (rng.uniform(10, 60), rng.uniform(150, 215)):
        stage.put("streetlight", x, kerb + 9, on=night)
    if town:
        stage.scatter("tree", rng.integers(0, 3), (0, SIZE), (kerb + 3, kerb + 4), size=0.75, autumn=rng.random() < 0.3)
    if rng.random() < 0.6:
        stage.put("traffic_light", rng.uniform(70, 150), kerb + 10, 0.9)
    stage.scatter("person", rng.integers(1, 4), (10, 214), (kerb + 4, kerb + 11), hat=rng.random() < 0.3)
    if rng.random() < 0.3:
        stage.put("bus", rng.uniform(60, 165), kerb + 32, 0.72)
    else:
        stage.put("car", rng.uniform(20, 100), kerb + 31, lights=night)
        if rng.random() < 0.5:
            stage.put("car", rng.uniform(130, 215), kerb + 29, lights=night)
    near = rng.choice(("car_front", "car_front", "bicycle", "car"))
    stage.put(near, rng.uniform(55, 170), rng.uniform(202, 216), **({} if near == "bicycle" else {"lights": night}))
    stage.perform()


def _draw_town(c: Canvas, kerb: float, night: bool) -> None:
    rng = c.rng
    x = rng.uniform(-30, 0)
    while x < SIZE + 20:
        width = rng.uniform(38, 62)
        draw_building(c, Frame(x + width / 2, kerb - 6), width, rng.uniform(85, 150), night=night)
        x += width + rng.choice((0.5, 0.5, 8))


def _draw_suburb(c: Canvas, kerb: float, night: bool) -> None:
    rng = c.rng
    woods(c, kerb - 5, rng.uniform(16, 34), (0.26, 0.42, 0.22))
    c.pen("grass").fill(box(0, kerb - 9, SIZE, kerb), grass(pick(rng, LAWNS), rng, kerb - 40), "", "foliage")
    stage = Stage(c, kerb - 60)
    x = rng.uniform(-30, 0)
    while x < SIZE + 20:
        size = rng.uniform(0.62, 0.8)
        draw_house(c, Frame(x + 52 * size, kerb - 6, size, tilt=0, flip=rng.random() < 0.5), night)
        x += 104 * size + rng.uniform(4, 26)
        stage.put(rng.choice(("tree", "bush", "bush")), x - 8, kerb - 4, rng.uniform(0.6, 0.8))
    stage.perform()


def _draw_roadway(c: Canvas, kerb: float) -> None:
    """Pavement from the kerb's height on, then the road with its broken line."""
    rng = c.rng
    pavement = c.pen("sidewalk")
    pavement.fill(box(0, kerb - 4, SIZE, kerb + 12), stone((0.70, 0.68, 0.65), rng, 0.5), "", "stone")
    pavement.fill(box(0, kerb + 12, SIZE, kerb + 14.5), plain((0.60, 0.59, 0.57), rng), "", "stone")
    road = c.pen("road")
    road.fill(box(0, kerb + 14.5, SIZE, SIZE), grains((0.34, 0.35, 0.37), rng, 0.07, 0.01), "", "asphalt")
    dash = points("0,44 22,44 20,47 -3,47", shift=rng.uniform(-44, 0)) + np.array([0, kerb])
    road.mark([dash + np.array([44 * k, 0]) for k in range(7)], PAINT)


def _park(c: Canvas) -> None:
    rng = c.rng
    h = rng.uniform(92, 108)
    sky(c, h)
    woods(c, h + 4, 30, (0.26, 0.42, 0.22))
    c.haze((0.85, 0.90, 0.92), 0.18)
    ground(c, "grass", h, grass(pick(rng, LAWNS), rng, h), material="foliage")
    x, w = rng.uniform(20, 200), rng.uniform(40, 70)
    bend = (x - 4, h + 1), (x - 18, h + 40), (112 - w, 230), (112 + w, 230), (x + 16, h + 40), (x + 4, h + 1)
    c.pen("path").fill(blob(bend), grains((0.80, 0.70, 0.54), rng, 0.07), "", "sand")
    stage = Stage(c, h - 12)
    stage.scatter("tree", rng.integers(2, 5), (0, SIZE), (h + 12, h + 40), size=0.9, autumn=rng.random() < 0.3)
    stage.scatter("bush", rng.integers(1, 4), (0, SIZE), (h + 10, h + 45), blossom=rng.random() < 0.6)
    stage.put("bench", rng.uniform(45, 180), rng.uniform(h + 44, 190))
    if rng.random() < 0.5:
        stage.put("streetlight", rng.uniform(20, 205), h + 34, 0.8)
    visitors = {"person": 0.8, "dog": 0.55, "bicycle": 0.45, "cat": 0.3, "bird": 0.45}
    stage.visit(visitors, (35, 190), (h + 50, 212))
    stage.visit({"person": 0.4}, (35, 190), (h + 40, 190))
    stage.scatter("flower", rng.integers(2, 8), (0, SIZE), (190, 221))
    stage.perform()


def _harbor(c: Canvas) -> None:
    rng = c.rng
    h = rng.uniform(92, 106)
    air = sky(c, h, sun=0.5)
    ridge(c, h + 2, rng.uniform(24, 40), (0.45, 0.50, 0.50), rough=0.6)
    c.haze(air, 0.4)
    for x in np.arange(rng.uniform(-20, 10), SIZE, 34):
        if rng.random() < 0.75:
            draw_house(c, Frame(x + 12, h + 3, rng.uniform(0.26, 0.34)))
    ground(c, "water", h + 2, water((0.16, 0.40, 0.52), (0.46, 0.64, 0.74), rng, h, depth=110), material="water")
    for y in np.sort(rng.uniform(h + 14, 185, rng.integers(3, 6))):
        draw_boat(c, somewhere(rng, (10, 215), y, (y - h + 22) / 95, tilt=3))
    if rng.random() < 0.65:
        _draw_pier(c, rng.uniform(196, 206))
    gulls(c, h, 5)


def _draw_pier(c: Canvas, y: float) -> None:
    """A wooden pier across the foot of the image, and who stands on it."""
    rng = c.rng
    pier = c.pen("pier")
    posts = [box(x, y, x + 7, SIZE) for x in range(8, SIZE, 48)]
    pier.fill(posts, wood((0.34, 0.25, 0.18), rng, True), "post", "wood", relief=2)
    pier.fill(box(-2, y - 5, SIZE + 2, y + 7), wood((0.52, 0.38, 0.26), rng, True, 9), "deck", "wood")
    pier.fill(box(0, y + 7, SIZE, y + 10), wood((0.40, 0.29, 0.20), rng), "deck", "wood")
    for name, chance, scale in (("person", 0.7, 0.6), ("bird", 0.6, 0.42), ("bird", 0.4, 0.42), ("cat", 0.4, 0.4)):
        if rng.random() < chance:
            DRAW[name](c, somewhere(rng, (20, 200), y, scale))


def _airfield(c: Canvas) -> None:
    rng = c.rng
    h = rng.uniform(112, 128)
    air = sky(c, h)
    woods(c, h + 2, rng.uniform(10, 22), (0.36, 0.46, 0.36), rough=0)
    c.haze(air, 0.4)
    ground(c, "grass", h, grass(pick(rng, LAWNS), rng, h), material="foliage")
    runway = c.pen("runway")
    runway.fill(box(0, h + 26, SIZE, h + 84), grains((0.42, 0.43, 0.45), rng, 0.06, 0.01), "", "asphalt")
    runway.mark([box(0, h + 29, SIZE, h + 30.2), box(0, h + 80, SIZE, h + 82.2)], PAINT)
    dashes = [box(x, h + 52, x + 18, h + 54.5) for x in np.arange(rng.uniform(-20, 0), SIZE, 34)]
    runway.mark(dashes, (0.93, 0.90, 0.70))
    if rng.random() < 0.6:
        draw_building(c, Frame(rng.uniform(25, 200), h + 14, 0.62), 120, 62)
    if rng.random() < 0.6:
        draw_airplane(c, somewhere(rng, (60, 165), (28, 66), (0.4, 0.75), tilt=10))
    _draw_parked_airplane(c, h + rng.uniform(56, 70))
    stage = Stage(c, h - 14)
    stage.visit({"person": 0.6, "car": 0.45, "bus": 0.3}, (35, 190), (h + 76, 215), 0.7)
    stage.visit({"person": 0.4}, (35, 190), (h + 76, 215), 0.7)
    stage.perform()


def _draw_parked_airplane(c: Canvas, y: float) -> None:
    """An airliner on its wheels, which stand at height y."""
    scale = c.rng.uniform(0.9, 1.25)
    plane = c.pen("airplane", somewhere(c.rng, (90, 135), y - 30 * scale, scale))
    plane.shadow(ellipse(4, 30, 70, 4), 5, 0.5)
    for x in (-50, 8, 14):
        strut = ribbon(points("0,8 0,26", shift=x), 1.8, False)
        plane.fill(strut, plain((0.6, 0.61, 0.63), c.rng), "landing gear", "metal")
        add_wheel(plane, x, 26.6, 3.4, spokes=4)
    draw_airplane(c, plane.frame)


SCENES: dict[str, Callable[[Canvas], None]] = {
    "street": _street,
    "park": _park,
    "night_street": partial(_street, night=True),
    "harbor": _harbor,
    "airfield": _airfield,
}

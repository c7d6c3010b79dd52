"""Buildings and what stands beside a street or a path, one function each.

    draw_house(canvas, Frame(112, 200, scale=1.5))

The origin is on the ground, in the middle (the fence: at its left end).
"""

from __future__ import annotations

import numpy as np

from .people import CLOTHES
from .shapes import Canvas, Colour, Frame, Pen, blob, box, ellipse, points, poly, ribbon
from .surfaces import TIMBER, brick, fabric, glass, metal, pick, plain, stone, tiles, vertical, wood

LIT = (1.0, 0.86, 0.52)


def draw_house(canvas: Canvas, frame: Frame, night: bool = False) -> None:
    """A house with a pitched roof, about 100 units wide and 92 tall."""
    rng = canvas.rng
    pen = canvas.pen("house", frame)
    kind = rng.integers(3)
    wall, material = (
        (brick(pick(rng, ((0.66, 0.34, 0.25), (0.74, 0.50, 0.36), (0.56, 0.30, 0.24))), rng, 7, 3.2), "brick"),
        (
            wood(
                pick(rng, ((0.85, 0.82, 0.74), (0.52, 0.62, 0.66), (0.76, 0.62, 0.40), (0.62, 0.28, 0.22))),
                rng,
                plank=4.2,
            ),
            "wood",
        ),
        (plain(pick(rng, ((0.93, 0.88, 0.78), (0.88, 0.76, 0.60), (0.80, 0.84, 0.82))), rng), "plaster"),
    )[kind]
    cover = tiles(
        pick(rng, ((0.56, 0.24, 0.18), (0.34, 0.34, 0.38), (0.44, 0.28, 0.20), (0.30, 0.38, 0.42))), rng, 5, 3.6
    )
    pen.shadow(box(-48, -4, 52, 3), softness=4, strength=0.45)
    high = rng.uniform(-44, -38)
    x = rng.choice((-26.0, 20.0))
    pen.fill(box(x, -82, x + 10, -50), brick((0.55, 0.31, 0.25), rng, 4.5, 2.2), "chimney", "brick", relief=1)
    pen.fill(box(x - 1.2, -84, x + 11.2, -80), plain((0.62, 0.60, 0.57), rng), "chimney", "stone", relief=0.6)
    body = box(-45, high - 2, 45, 0)
    pen.fill(body, wall, "wall", material, fade=0.12)
    pen.fill(box(-46, -4, 46, 0), stone((0.56, 0.54, 0.51), rng, 0.5), "wall", "stone")
    if rng.random() < 0.5:
        roof = poly([(-54, high + 2), (-36, -76), (36, -76), (54, high + 2)])
        pen.shadow(box(-50, high + 1, 50, high + 4), 2.5, 0.5, clip=body)
        pen.fill(roof, cover, "roof", "tile", relief=2)
    else:
        pen.fill(poly([(-46, high), (0, -80), (46, high)]), wall, "wall", material, fade=0.1)
        pen.shadow(
            poly([(-54, high + 5), (0, -80), (54, high + 5), (45, high + 5), (0, -72), (-45, high + 5)]), 2, 0.45
        )
        for side in (-1, 1):
            pen.fill(
                poly([(0, -84), (side * 55, high + 3), (side * 50, high + 6), (0, -75)]),
                cover,
                "roof",
                "tile",
                relief=1.4,
            )
        pen.fill(ellipse(0, -56, 5.4), (0.92, 0.91, 0.88), "window", "wood", relief=0.6)
        pen.fill(
            ellipse(0, -56, 4.2), LIT if night else glass((0.33, 0.45, 0.54), rng), "window", "glass", glowing=night
        )
    _windows(pen, [(-35, high + 9), (22, high + 9)], 14, 15, lit_share=0.8 * night)
    _draw_door(
        pen,
        -1,
        14,
        26,
        colour=pick(rng, ((0.45, 0.16, 0.13), (0.16, 0.34, 0.42), (0.42, 0.27, 0.15), (0.20, 0.40, 0.28))),
    )


def _windows(pen: Pen, corners: list[tuple[float, float]], w: float, h: float, *, lit_share: float = 0.0) -> None:
    """Windows of w by h units with white frames and glazing bars, given their top left corners; some may be lit."""
    rng = pen.canvas.rng
    lit_up = rng.random(len(corners)) < lit_share
    dark = [box(x, y, x + w, y + h) for (x, y), on in zip(corners, lit_up, strict=True) if not on]
    bright = [box(x, y, x + w, y + h) for (x, y), on in zip(corners, lit_up, strict=True) if on]
    frames = [box(x - 1, y - 1, x + w + 1, y + h + 1) for x, y in corners]
    pen.fill(frames, plain((0.93, 0.92, 0.89), rng), "window", "wood", relief=0.6)
    if dark:
        pen.fill(dark, glass((0.33, 0.45, 0.54), rng), "window", "glass")
    if bright:
        pen.fill(bright, plain(LIT, rng, 0.08), "window", "glass", glowing=True)
    bars = [box(x + w / 2 - 0.45, y, x + w / 2 + 0.45, y + h) for x, y in corners]
    bars += [box(x, y + h * 0.45, x + w, y + h * 0.45 + 0.9) for x, y in corners]
    pen.fill(bars, (0.90, 0.89, 0.86), "window", "wood")
    pen.mark([box(x - 1.6, y + h + 0.6, x + w + 1.6, y + h + 2) for x, y in corners], (0.80, 0.78, 0.74))


def _draw_door(pen: Pen, x: float, w: float, h: float, *, colour: Colour) -> None:
    rng = pen.canvas.rng
    pen.fill(
        box(x - w / 2 - 1.2, -h - 1.2, x + w / 2 + 1.2, 0), plain((0.92, 0.90, 0.86), rng), "door", "wood", relief=0.6
    )
    pen.fill(box(x - w / 2, -h, x + w / 2, 0), wood(colour, rng, upright=True), "door", "wood", relief=0.8)
    for y0, y1 in ((-h + 2.5, -h * 0.55), (-h * 0.46, -3)):
        for x0 in (x - w / 2 + 2, x + 1):
            pen.mark(box(x0, y0, x0 + w / 2 - 3, y1), np.asarray(colour) * 0.72, relief=0.7)
    pen.fill(ellipse(x + w / 2 - 2, -h * 0.48, 0.9), (0.88, 0.72, 0.30), ("handle", "door"), "metal", relief=0.5)


def draw_building(canvas: Canvas, frame: Frame, width: float = 50, height: float = 130, *, night: bool = False) -> None:
    """A town building with rows of windows and a door."""
    rng = canvas.rng
    pen = canvas.pen("building", frame)
    kind = rng.integers(3)
    wall, material = (
        (brick(pick(rng, ((0.60, 0.32, 0.25), (0.68, 0.46, 0.34))), rng, 5, 2.4), "brick"),
        (
            plain(pick(rng, ((0.86, 0.78, 0.66), (0.78, 0.68, 0.60), (0.70, 0.76, 0.78), (0.90, 0.84, 0.74))), rng),
            "plaster",
        ),
        (stone(pick(rng, ((0.66, 0.64, 0.60), (0.56, 0.56, 0.58))), rng, 0.8), "stone"),
    )[kind]
    half = width / 2
    pen.fill(box(-half, -height, half, 0), wall, "wall", material, relief=2, fade=0.1)
    pen.fill(
        box(-half - 1.6, -height - 3, half + 1.6, -height + 1),
        plain((0.74, 0.71, 0.67), rng),
        "roof",
        "stone",
        relief=1,
    )
    pen.shadow(box(-half, -height + 1, half, -height + 2.5), 1.5, 0.4)
    columns = max(2, int(width // 14))
    step = width / columns
    rows = np.arange(-height + 9, -34, 19)
    _windows(
        pen,
        [(-half + step * (k + 0.5) - 3.6, y) for y in rows for k in range(columns)],
        7.2,
        10.5,
        lit_share=0.55 * night,
    )
    pen.fill(
        box(-half + 3, -24, half - 16, -4),
        vertical(LIT, (0.9, 0.62, 0.33), -24, -4) if night else glass((0.36, 0.46, 0.52), rng),
        "window",
        "glass",
        glowing=night,
    )
    awning = pick(rng, CLOTHES)
    canopy = blob([(-half + 2, -29), (half - 15, -29), (half - 13, -22), (-half, -22)])
    pen.fill(canopy, fabric(awning, rng), "awning", "fabric", relief=1.5)
    pen.mark([box(x, -31, x + 2.6, -20) for x in np.arange(-half, half - 12, 5.2)], (0.95, 0.93, 0.88), clip=canopy)
    _draw_door(pen, half - 8, 9, 21, colour=pick(rng, ((0.20, 0.30, 0.26), (0.36, 0.22, 0.14), (0.25, 0.26, 0.36))))


def draw_streetlight(canvas: Canvas, frame: Frame, on: bool = False) -> None:
    """A lamp post, about 100 units tall, its arm reaching left."""
    rng = canvas.rng
    pen = canvas.pen("streetlight", frame)
    pen.stand(8, 1.6)
    iron = metal((0.26, 0.29, 0.30), rng)
    pen.fill(ribbon("0,-1 0,-60 -1,-86 -8,-97 -20,-98", (3.6, 2.4, 2.2, 1.9)), iron, "pole", "metal", relief=1)
    pen.fill(box(-3.6, -9, 3.6, 0, r=1.2), iron, "pole", "metal", relief=1)
    pen.fill(blob("-17,-100 -30,-99.4 -33,-96 -18,-95.6"), iron, "lantern", "metal", relief=1)
    pen.fill(
        blob("-19,-96 -31.6,-96.4 -26,-93"),
        (1, 0.95, 0.74) if on else (0.88, 0.88, 0.82),
        ("bulb", "lantern"),
        "glass",
        relief=0.5,
        glowing=on,
    )
    if on:
        px, py = frame(np.array([[-26.0, -93.0]]))[0]
        canvas.glow(px, py, 7 * frame.scale, colour=(1, 0.88, 0.55), strength=0.9)
        canvas.glow(px, py + 24 * frame.scale, 34 * frame.scale, colour=(1, 0.75, 0.40), strength=0.30)


def draw_traffic_light(canvas: Canvas, frame: Frame) -> None:
    """A traffic light on its pole, about 90 units tall."""
    rng = canvas.rng
    pen = canvas.pen("traffic light", frame)
    pen.fill(ribbon("0,0 0,-60", 3.4, False), metal((0.42, 0.44, 0.45), rng), "pole", "metal", relief=1)
    pen.fill(box(-8.5, -92, 8.5, -52, r=4), plain((0.13, 0.14, 0.14), rng), "housing", "metal", relief=2)
    on = rng.integers(3)
    for k, colour in enumerate(((0.95, 0.16, 0.12), (1.0, 0.76, 0.12), (0.16, 0.86, 0.42))):
        y = -85 + 13 * k
        pen.fill(
            ellipse(0, y, 4.8),
            np.asarray(colour) * (1.0 if k == on else 0.28),
            "bulb",
            "glass",
            relief=1.5,
            glowing=k == on,
        )
        if k == on:
            px, py = frame(np.array([[0.0, y]]))[0]
            canvas.glow(px, py, 6 * frame.scale, colour=colour, strength=0.35)


def draw_fence(canvas: Canvas, frame: Frame, length: float = 120) -> None:
    """A picket fence, 24 units tall, beginning at the origin and running right."""
    rng = canvas.rng
    pen = canvas.pen("fence", frame)
    colour = pick(rng, ((0.93, 0.92, 0.88), *TIMBER), 0.02)
    grain = wood(colour, rng, upright=True)
    pen.shadow(box(0, -1, length, 2), 2, 0.35)
    pen.fill([box(0, -17, length, -14.4), box(0, -8, length, -5.4)], wood(colour * 0.82, rng), "", "wood")
    for x in np.arange(0, length, 7.5):
        pen.fill(poly("0,0 0,-21 2.1,-24 4.2,-21 4.2,0", shift=x), grain, "picket", "wood", relief=0.8)


def draw_bench(canvas: Canvas, frame: Frame) -> None:
    """A park bench, about 80 units wide and 36 tall."""
    rng = canvas.rng
    pen = canvas.pen("bench", frame)
    slat = wood(pick(rng, TIMBER), rng)
    pen.stand(40, 3)
    iron = metal((0.22, 0.24, 0.25), rng)
    for x in (-32, 32):
        pen.fill(
            [*ribbon(points("0,0 0,-15", shift=x), 3, False), *ribbon(points("-3,-14 -1,-36", shift=x), 2.6, False)],
            iron,
            "leg",
            "metal",
            relief=0.8,
        )
    pen.fill([box(-40, y, 40, y + 4.6, r=1) for y in (-36, -29.5, -23)], slat, "back", "wood", relief=1)
    pen.fill([box(-41, -16.5, 41, -13.4, r=1), box(-41.5, -13, 41.5, -9.6, r=1)], slat, "seat", "wood", relief=1)

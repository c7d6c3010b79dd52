"""Furniture of the miniature data set, one function each.

    draw_sofa(canvas, Frame(112, 200, scale=1.5))

The origin is on the floor, in the middle; what hangs (`draw_painting`, `draw_curtained_window`) has it in its own middle.
"""

from __future__ import annotations

import numpy as np

from .nature import draw_flower
from .people import CLOTHES
from .shapes import Canvas, Frame, blob, box, ellipse, points, poly, ribbon
from .surfaces import TIMBER, fabric, metal, pick, plain, vertical, wood


def draw_table(canvas: Canvas, frame: Frame) -> None:
    """A wooden table with a vase of flowers on it, about 100 units wide and 48 tall without the vase."""
    rng = canvas.rng
    pen = canvas.pen("table", frame)
    colour = pick(rng, TIMBER)
    pen.stand(48, 4, 0.4)
    for x in (-36, 38):
        pen.fill(poly("-2.4,-44 2.4,-44 1.6,-5 -1.6,-5", shift=x), wood(colour * 0.66, rng, True), "leg", "wood")
    for x in (-44, 44):
        pen.fill(poly("-3,-44 3,-44 2,0 -2,0", shift=x), wood(colour * 0.92, rng, True), "leg", "wood", relief=1)
    pen.fill(box(-45, -44, 45, -38), wood(colour * 0.8, rng), "apron", "wood")
    pen.fill(poly("-42,-52 42,-52 50,-46 -50,-46"), wood(colour * 1.12, rng, plank=3), "top", "wood")
    pen.fill(box(-50, -46.2, 50, -43, r=1), wood(colour * 0.95, rng), "top", "wood", relief=0.8)
    if rng.random() < 0.75:
        draw_vase(canvas, pen.frame.at(rng.uniform(-22, 22), -48.5, 0.85))


def draw_vase(canvas: Canvas, frame: Frame) -> None:
    """A vase of flowers, about 50 units tall."""
    rng = canvas.rng
    pen = canvas.pen("vase", frame)
    pen.shadow(ellipse(2, 0, 10, 2), 1.5, 0.4)
    for x, lean in ((-4, -16), (4, 14), (0, 0)):
        draw_flower(canvas, frame.at(x * 0.6, -16, 0.62, lean))
    glaze = pick(rng, ((0.30, 0.50, 0.62), (0.90, 0.88, 0.84), (0.62, 0.34, 0.24), (0.36, 0.52, 0.42)))
    pen.fill(
        blob("-3.6,-20 3.6,-20 5,-17 9,-10 6,-0.5 -6,-0.5 -9,-10 -5,-17"), plain(glaze, rng), "", "ceramic", relief=4
    )


def draw_chair(canvas: Canvas, frame: Frame) -> None:
    """A wooden chair seen aslant, about 45 units wide and 82 tall."""
    rng = canvas.rng
    pen = canvas.pen("chair", frame)
    colour = pick(rng, TIMBER)
    grain, dark = wood(colour, rng, True), wood(colour * 0.7, rng, True)
    pen.stand(22, 3, 0.4)
    for x, y in ((-10, -4), (21, -5)):
        pen.fill(ribbon([(x, -40), (x, y)], 3, False), dark, "leg", "wood")
    for x in (-10, 21):
        pen.fill(ribbon(points("0,-38 2.6,-82", shift=x), 3.4, False), grain, "back", "wood", relief=1)
    for y in (-79, -68, -57):
        pen.fill(
            blob([(-8, y), (6, y - 2), (22, y), (22, y + 5), (6, y + 3.4), (-8, y + 5)]),
            wood(colour, rng),
            "back",
            "wood",
            relief=1,
        )
    pen.fill(
        blob("-11,-44 22,-44 17,-36 -19,-36", closed=True),
        fabric(pick(rng, CLOTHES), rng),
        "seat",
        "fabric",
        relief=2.5,
    )
    pen.fill(box(-19.5, -38.4, 17.5, -34.5, r=1), wood(colour, rng), "seat", "wood", relief=1)
    for x in (-18, 16):
        pen.fill(ribbon(points("0,-36 0,-1.5", shift=x), 3.4, False), grain, "leg", "wood", relief=1)


def draw_sofa(canvas: Canvas, frame: Frame) -> None:
    """A sofa with cushions, about 130 units wide and 55 tall."""
    rng = canvas.rng
    pen = canvas.pen("sofa", frame)
    colour = pick(
        rng,
        (
            (0.34, 0.46, 0.52),
            (0.70, 0.62, 0.52),
            (0.58, 0.26, 0.24),
            (0.36, 0.44, 0.34),
            (0.46, 0.46, 0.50),
            (0.80, 0.60, 0.30),
        ),
    )
    cloth = fabric(colour, rng, 0.05)
    pen.stand(64, 4)
    for x in (-54, 54):
        pen.fill(poly("-2.4,-8 2.4,-8 1.4,0 -1.4,0", shift=x), wood(TIMBER[1], rng, True), "leg", "wood")
    pen.fill(box(-56, -55, 56, -14, r=8), fabric(colour * 0.92, rng, 0.05), "back", "fabric", relief=5)
    for x in (-50, 0):
        pen.fill(box(x, -52, x + 50, -26, r=7), cloth, ("cushion", "back"), "fabric", relief=5)
    pen.fill(box(-56, -18, 56, -6, r=3), fabric(colour * 0.85, rng, 0.04), "seat", "fabric", relief=2)
    for x in (-50, 0):
        pen.fill(box(x, -29, x + 50, -15, r=5), cloth, ("cushion", "seat"), "fabric", relief=4)
    for x in (-65, 49):
        pen.fill(box(x, -40, x + 16, -5, r=7), cloth, "armrest", "fabric", relief=5)
    for x in rng.choice((-44.0, 26.0), rng.integers(1, 3), replace=False):
        cushion = canvas.pen(("sofa", "pillow"), frame.at(x + 8, -37, 1, rng.uniform(-14, 14)))
        cushion.fill(
            blob("-11,-11 0,-9.6 11,-11 9.6,0 11,11 0,9.6 -11,11 -9.6,0"),
            fabric(pick(rng, CLOTHES), rng, 0.05),
            "",
            "fabric",
            relief=4,
        )


def draw_bed(canvas: Canvas, frame: Frame) -> None:
    """A bed from its foot's side, about 140 units wide and 66 tall."""
    rng = canvas.rng
    pen = canvas.pen("bed", frame)
    colour, quilt = pick(rng, TIMBER), pick(rng, CLOTHES)
    pen.stand(70, 4)
    pen.fill(box(-72, -66, -64, 0, r=2), wood(colour, rng, True), "headboard", "wood", relief=2)
    pen.fill(box(64, -36, 71, 0, r=2), wood(colour, rng, True), "footboard", "wood", relief=2)
    pen.fill(box(-66, -20, 66, -10), wood(colour * 0.85, rng), "side rail", "wood", relief=1)
    pen.fill(box(-64, -33, 64, -16, r=4), fabric((0.93, 0.92, 0.89), rng, 0.04), "mattress", "fabric", relief=3)
    for x, tilt in ((-46, -24), (-38, -14)):
        cushion = canvas.pen(("bed", "pillow"), frame.at(x, -39, 1, tilt))
        cushion.fill(
            blob("-17,-6 0,-8 17,-6 18,5 0,7 -18,5"), fabric((0.95, 0.94, 0.92), rng, 0.05), "", "fabric", relief=4
        )
    cover = blob("-22,-36 10,-37.5 50,-37 66,-33 66.5,-18 58,-9 20,-10 -18,-9 -25,-20")
    cover_pen = canvas.pen(("bed", "quilt"), frame)
    cover_pen.fill(cover, fabric(quilt, rng, 0.10), "", "fabric", relief=6)
    cover_pen.mark(
        [s for x in range(-20, 70, 12) for s in ribbon(points("0,-40 10,-5", shift=x), 0.8, False)],
        quilt * 0.7,
        clip=cover,
        opacity=0.6,
    )


def draw_lamp(canvas: Canvas, frame: Frame, on: bool = True) -> None:
    """A floor lamp, about 100 units tall."""
    rng = canvas.rng
    pen = canvas.pen("lamp", frame)
    shade = pick(rng, ((0.95, 0.86, 0.66), (0.90, 0.60, 0.42), (0.92, 0.92, 0.88), (0.62, 0.72, 0.66)))
    pen.stand(13, 2)
    if on:
        px, py = frame(np.array([[0.0, -84.0]]))[0]
        canvas.glow(px, py, 26 * frame.scale, colour=(1, 0.84, 0.52), strength=0.16)
    brass = metal((0.56, 0.45, 0.26), rng)
    pen.fill(ellipse(0, -2, 12, 3), brass, "base", "metal", relief=1)
    pen.fill(ribbon("0,-2 0,-76", 2.4, False), brass, "pole", "metal", relief=0.8)
    cone = np.concatenate([ellipse(0, -99, 9.5, 1.6, arc=(180, 360)), ellipse(0, -73.5, 18.5, 2.6, arc=(0, 180))])
    bright = np.clip(shade * 1.15 + 0.06, 0, 1)
    pen.fill(
        cone,
        vertical(shade, bright, -100, -72) if on else fabric(shade, rng, 0.03),
        "shade",
        "fabric",
        relief=2.5,
        glowing=on,
    )


def draw_painting(canvas: Canvas, frame: Frame) -> None:
    """A framed landscape, about 60 units wide and 44 tall; the origin is its middle."""
    rng = canvas.rng
    pen = canvas.pen("painting", frame)
    pen.shadow(box(-28, -20, 32, 25), 3, 0.4)
    pen.fill(
        box(-30, -22, 30, 22),
        wood(pick(rng, ((0.62, 0.46, 0.20), (0.22, 0.17, 0.14), (0.84, 0.80, 0.74))), rng),
        "frame",
        "wood",
        relief=2,
    )
    inside = box(-26, -18, 26, 18)
    pen.fill(
        inside,
        vertical(
            pick(rng, ((0.55, 0.72, 0.86), (0.96, 0.76, 0.52), (0.72, 0.66, 0.80))),
            (0.97, 0.92, 0.80),
            -18,
            6,
            noise=0.05,
            rng=rng,
        ),
        "canvas",
        "paper",
    )
    for k, y in enumerate((2, 7, 12)):
        hill = blob(
            [
                (-40, y + rng.uniform(-4, 4)),
                (-12, y - rng.uniform(0, 8)),
                (10, y + rng.uniform(-3, 4)),
                (40, y - rng.uniform(0, 6)),
                (40, 40),
                (-40, 40),
            ]
        )
        pen.mark(
            hill, pick(rng, ((0.36, 0.50, 0.56), (0.40, 0.52, 0.36), (0.70, 0.56, 0.34))) * (1.1 - 0.2 * k), clip=inside
        )
    pen.mark(ellipse(rng.uniform(-16, 16), -9, 3.6), (1, 0.93, 0.72), clip=inside)


def draw_curtained_window(canvas: Canvas, frame: Frame) -> None:
    """A window in a room with curtains, about 90 units wide and 76 tall; the origin is its middle."""
    rng = canvas.rng
    pen = canvas.pen("windowpane", frame)
    pen.fill(box(-34, -34, 34, 32, r=1), plain((0.93, 0.92, 0.89), rng), "frame", "wood", relief=1.4)
    view = box(-31, -31, 31, 29)
    pen.fill(view, vertical((0.55, 0.76, 0.93), (0.90, 0.95, 0.97), -31, 20, noise=0.1, rng=rng), "pane", "glass")
    pen.mark(blob("-40,22 -16,12 4,18 22,10 42,18 42,50 -42,50"), (0.52, 0.68, 0.44), clip=view, opacity=0.85)
    pen.mark(
        [poly("-18,-31 -6,-31 -26,29 -38,29"), poly("6,-31 10,-31 -10,29 -14,29")], (1, 1, 1), clip=view, opacity=0.2
    )
    pen.fill([box(-1.2, -31, 1.2, 29), box(-31, -8, 31, -6)], (0.92, 0.91, 0.88), "frame", "wood", relief=0.6)
    cloth = pick(rng, CLOTHES)
    drape = canvas.pen("curtain", frame)
    for side in (-1, 1):
        hang = blob("20,-38 46,-38 47,0 46,40 30,40 31,6") * (side, 1)
        drape.fill(hang, fabric(cloth, rng, 0.16), "", "fabric", relief=2.5)
        drape.mark(
            [
                s
                for x in (27, 33, 39)
                for s in ribbon([(side * x, -38), (side * (x + 3), 10), (side * (x + 2), 40)], 1.1)
            ],
            cloth * 0.68,
            clip=hang,
            opacity=0.5,
        )
    drape.fill(ribbon("-52,-38.5 52,-38.5", 2.4, False), wood(TIMBER[1], rng), "rod", "wood", relief=0.8)


def draw_bookcase(canvas: Canvas, frame: Frame) -> None:
    """A bookcase full of books, about 60 units wide and 96 tall."""
    rng = canvas.rng
    pen = canvas.pen("bookcase", frame)
    colour = pick(rng, TIMBER)
    pen.stand(30, 3)
    pen.fill(box(-30, -96, 30, 0, r=1), wood(colour, rng, True), "", "wood", relief=1.4)
    books = canvas.pen(("bookcase", "book"), frame)
    for top in (-92, -69, -46, -23):
        pen.fill(box(-27, top, 27, top + 19.4), wood(colour * 0.42, rng), "shelf", "wood")
        x = -26.4
        while x < 23:
            w, h = rng.uniform(2.4, 5), rng.uniform(11, 17.5)
            if rng.random() < 0.9:
                spine = pick(rng, CLOTHES) * 0.88
                books.fill(box(x, top + 19.4 - h, x + w, top + 19.4, r=0.4), plain(spine, rng), "", "paper", relief=0.8)
                books.mark(box(x + 0.5, top + 22 - h, x + w - 0.5, top + 23 - h), (0.93, 0.84, 0.56), opacity=0.8)
            x += w + 0.15

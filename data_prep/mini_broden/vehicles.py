"""Vehicles of the miniature data set, one function each.

    draw_bicycle(canvas, Frame(112, 200, scale=1.6))

The origin is on the ground (boats: on the waterline; airplanes: the middle of the body); profiles face left.
"""

from __future__ import annotations

import numpy as np

from .shapes import Canvas, Colour, Frame, Pen, Surface, blob, box, ellipse, poly, ribbon, ring
from .surfaces import fabric, glass, lit, metal, pick, plain, wood

PAINTS = (
    (0.76, 0.12, 0.12), (0.13, 0.30, 0.62), (0.92, 0.92, 0.93), (0.15, 0.16, 0.18), (0.68, 0.70, 0.73),
    (0.93, 0.70, 0.12), (0.16, 0.45, 0.34), (0.88, 0.44, 0.12), (0.36, 0.62, 0.78), (0.42, 0.18, 0.42),
)  # fmt: skip
TYRE = (0.09, 0.09, 0.10)
CHROME = (0.74, 0.76, 0.78)


def lacquer(colour: Colour, y0: float, y1: float) -> Surface:
    """Car paint: reflects a bright sky above, a dark ground below, with the horizon between."""

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        t = (y - y0) / (y1 - y0)
        value = (
            1.12 - 0.38 * t + 0.22 * np.exp(-(((t - 0.22) / 0.09) ** 2)) - 0.16 * np.exp(-(((t - 0.62) / 0.06) ** 2))
        )
        return lit(colour, value) + np.float32(0.05) * np.exp(-(((t - 0.2) / 0.1) ** 2))[..., None]

    return field


def add_wheel(pen: Pen, x: float, y: float, r: float, *, spokes: int = 5) -> None:
    """A tyre with a metal rim; the whole of it is the part `wheel`."""
    rng = pen.canvas.rng
    pen.fill(ellipse(x, y, r), plain(TYRE, rng), "wheel", "rubber", relief=r * 0.2)
    pen.fill(ellipse(x, y, r * 0.64), metal(CHROME, rng), "wheel", "metal", relief=r * 0.2)
    turn = rng.uniform(0, 360)
    for k in range(spokes):
        a = np.deg2rad(turn + k * 360 / spokes)
        b, c = a + np.pi / spokes * 0.55, a - np.pi / spokes * 0.55
        gap = [(x + q * r * np.cos(t), y + q * r * np.sin(t)) for t, q in ((b, 0.56), (c, 0.56), (a, 0.24))]
        pen.mark(poly(gap), (0.16, 0.16, 0.18), opacity=0.85)
    pen.mark(ellipse(x, y, r * 0.13), (0.35, 0.35, 0.37), relief=1)


def draw_car(canvas: Canvas, frame: Frame, lights: bool = False) -> None:
    """A car in profile, about 130 units long and 44 tall."""
    rng = canvas.rng
    pen = canvas.pen("car", frame)
    paint = pick(rng, PAINTS, 0.03)
    skin = lacquer(paint, -42, -6)
    back = rng.uniform(-4, 10)
    pen.shadow(box(-62, -7, 64, 3, r=4), softness=4, strength=0.55)
    body = blob("-64,-10 -65,-18 -60,-23 -40,-26.5 -26,-29 20,-30 44,-29 58,-27 63.5,-20 63,-9 48,-6.5 -48,-6.5")
    cabin = blob(
        [(-36, -26), (-24, -37), (-12, -42), (14, -43), (30 + back, -38), (48 + back * 0.6, -27), (20, -25), (-10, -24)]
    )
    pen.fill(cabin, skin, "roof", "metal", relief=4)
    pen.fill(body, skin, "", "metal", relief=6)
    pane = glass((0.26, 0.35, 0.42), rng)
    for window in (
        poly("-30,-27.5 -19.5,-36.4 -7,-39.4 -5,-28.4"),
        poly([(-2, -28.5), (-3.5, -39.6), (13, -40), (25 + back * 0.7, -36), (32 + back * 0.6, -28.5)]),
    ):
        pen.fill(window, pane, "window", "glass")
    for door in (poly("-27,-26.7 -4,-27.3 -3.4,-9 -22,-9 -28,-18"), poly("-1.6,-27.4 26,-27.6 27,-20 20,-9 -1.2,-9")):
        pen.fill(door, skin, "door", "metal")
        pen.mark(ribbon([*door, door[0]], 0.55, smooth=False), paint * 0.38, opacity=0.8)
    for x in (-9, 18):
        pen.mark(box(x, -23.6, x + 5, -22.2, r=0.7), CHROME, relief=0.5)
    pen.fill(
        box(-66, -13.5, 66, -8.5, r=2),
        plain(paint * 0.55 if rng.random() < 0.5 else (0.2, 0.2, 0.22), rng),
        "bumper",
        "plastic",
        clip=body,
    )
    for x in (-41, 40):
        pen.fill(ellipse(x, -9, 13.4, arc=(178, 362)), (0.05, 0.05, 0.06), "", "", clip=body)
        add_wheel(pen, x, -9.2, 10.6)
    glow = (1.0, 0.96, 0.78) if lights else (0.93, 0.94, 0.92)
    pen.fill(
        blob("-63.5,-21 -57,-24 -50,-23.4 -52,-19.5 -62,-17.5"), glow, "headlight", "glass", relief=1.5, glowing=lights
    )
    pen.fill(
        blob("62.5,-24.5 57,-26 55.5,-20.5 62.8,-19"),
        (0.78, 0.07, 0.08),
        "taillight",
        "glass",
        relief=1.5,
        glowing=lights,
    )
    pen.fill(blob("-27,-29.5 -32,-30 -31.5,-26.6 -27,-26.5"), skin, "mirror", "metal", relief=1)
    if lights:
        for (x, y), colour, r in (((-60, -21), (1, 0.9, 0.6), 14), ((60, -22), (1, 0.1, 0.05), 8)):
            px, py = frame(np.array([[x, y]]))[0]
            canvas.glow(px, py, r * frame.scale, colour=colour, strength=0.6)


def draw_car_front(canvas: Canvas, frame: Frame, lights: bool = False) -> None:
    """A car seen from the front, about 66 units wide and 50 tall."""
    rng = canvas.rng
    pen = canvas.pen("car", frame)
    paint = pick(rng, PAINTS, 0.03)
    skin = lacquer(paint, -50, -4)
    pen.shadow(box(-33, -5, 34, 3, r=3), softness=4, strength=0.6)
    for x in (-25, 25):
        pen.fill(box(x - 6, -14, x + 6, 0, r=2.5), plain(TYRE, rng), "wheel", "rubber", relief=2)
    pen.fill(blob("-24,-28 -19,-45 -12,-49 0,-50 12,-49 19,-45 24,-28 0,-27"), skin, "roof", "metal", relief=4)
    pen.fill(
        blob("-22,-28.5 -17.5,-43 -10,-45.4 0,-46 10,-45.4 17.5,-43 22,-28.5 0,-27.6"),
        glass((0.30, 0.40, 0.47), rng),
        "window",
        "glass",
        relief=1,
    )
    for side in (-1, 1):
        pen.fill(blob("24,-31 31,-34 32,-29 25,-28") * (side, 1), skin, "mirror", "metal", relief=1.5)
    pen.fill(blob("-31,-8 -33,-20 -28,-28 0,-30.5 28,-28 33,-20 31,-8 0,-6"), skin, "", "metal", relief=6)
    pen.fill(blob("-25,-28 0,-30 25,-28 21,-21.5 0,-20.4 -21,-21.5"), skin, "hood", "metal", relief=3)
    pen.fill(box(-13, -20, 13, -12.5, r=2.5), (0.09, 0.09, 0.10), "grille", "metal")
    pen.mark([box(-12.4, y, 12.4, y + 0.7) for y in (-18.6, -16.9, -15.2, -13.8)], CHROME)
    pen.fill(
        blob("-32,-12 0,-10.6 32,-12 31,-5.4 0,-4.6 -31,-5.4"), plain(paint * 0.62, rng), "bumper", "plastic", relief=2
    )
    pen.fill(box(-9.5, -11, 9.5, -6.4, r=0.8), (0.94, 0.94, 0.90), "license plate", "metal", relief=0.6)
    pen.mark([box(x, -9.9, x + 1.9, -7.5) for x in (-7.4, -4.6, -0.6, 2.2, 5.2)], (0.12, 0.14, 0.25))
    for side in (-1, 1):
        lamp = (1, 0.97, 0.8) if lights else (0.92, 0.93, 0.93)
        pen.fill(
            blob("30.5,-21 24,-23.4 15.6,-19.4 18,-15.4 29,-16") * (side, 1),
            lamp,
            "headlight",
            "glass",
            relief=2.2,
            glowing=lights,
        )
        pen.mark(ellipse(side * 23.5, -19, 2.6), (1, 1, 1), relief=1, glowing=lights)
        if lights:
            px, py = frame(np.array([[side * 23.5, -19.0]]))[0]
            canvas.glow(px, py, 13 * frame.scale, colour=(1, 0.92, 0.65), strength=0.75)


def draw_bus(canvas: Canvas, frame: Frame) -> None:
    """A bus in profile, about 190 units long and 66 tall."""
    rng = canvas.rng
    pen = canvas.pen("bus", frame)
    paint, trim = pick(rng, PAINTS[:1] + PAINTS[5:9], 0.03), pick(rng, ((0.93, 0.92, 0.88), (0.2, 0.22, 0.26)))
    pen.shadow(box(-92, -7, 94, 3, r=4), softness=5, strength=0.55)
    body = box(-95, -66, 95, -8, r=8)
    pen.fill(body, lacquer(paint, -66, -8), "", "metal", relief=5)
    pen.fill(box(-94, -66, 94, -60, r=5), plain(trim, rng), "roof", "metal", clip=body, relief=2)
    pen.mark(box(-95, -29, 95, -25), trim, clip=body)
    pane = glass((0.27, 0.36, 0.43), rng)
    pen.fill(box(-94.6, -56, -84, -28, r=3), pane, "window", "glass", clip=body)
    for k in range(6):
        pen.fill(box(-58 + 25 * k, -56, -36.5 + 25 * k, -34, r=2), pane, "window", "glass")
    pen.fill(box(-80, -56, -63, -11, r=2), lacquer(paint * 0.8, -56, -10), "door", "metal")
    for x in (-78.6, -70.8):
        pen.fill(box(x, -54, x + 6.4, -16, r=1.2), pane, ("window", "door"), "glass")
    for x in (-46, 56):
        pen.fill(ellipse(x, -9, 14, arc=(176, 364)), (0.05, 0.05, 0.06), clip=body)
        add_wheel(pen, x, -10, 11.2, spokes=8)
    pen.fill(box(-95.4, -12, -84, -8, r=2), plain((0.2, 0.2, 0.22), rng), "bumper", "plastic")
    pen.fill(ellipse(-91.6, -19, 2.6, 3.6), (0.97, 0.95, 0.85), "headlight", "glass", relief=1)
    pen.fill(box(92, -24, 95, -16, r=1), (0.76, 0.08, 0.08), "taillight", "glass")


def draw_bicycle(canvas: Canvas, frame: Frame) -> None:
    """A bicycle in profile, about 100 units long and 62 tall."""
    rng = canvas.rng
    pen = canvas.pen("bicycle", frame)
    paint = pick(rng, PAINTS[:3] + PAINTS[5:], 0.03)
    pen.shadow(ellipse(2, 0, 48, 2.2), softness=2.5, strength=0.5)
    for x in (-30, 32):
        spokes = [
            s
            for a in np.deg2rad(np.arange(0, 360, 22.5))
            for s in ribbon([(x, -18.5), (x + 16 * np.cos(a), -18.5 + 16 * np.sin(a))], 0.4, False)
        ]
        pen.mark(spokes, (0.70, 0.71, 0.73))
        pen.fill(ring(x, -18.5, 17, 3), plain(TYRE, rng), "wheel", "rubber", relief=1)
        pen.fill(ring(x, -18.5, 14.9, 1.3), metal(CHROME, rng), "wheel", "metal")
        pen.fill(ellipse(x, -18.5, 2), metal(CHROME, rng), "wheel", "metal", relief=0.8)
    crank, seat, head = (2, -17), (10, -42), (-21, -44)
    tubes = [
        (crank, seat),
        (seat, (-20.5, -42)),
        (crank, (-22.6, -38)),
        (crank, (32, -18.5)),
        ((9, -39), (32, -18.5)),
        (head, (-30, -18.5)),
    ]
    for a, b in tubes:
        pen.fill(ribbon([a, b], 3.1, False), lacquer(paint, -46, -14), "frame", "metal", relief=1.1)
    pen.mark([*ribbon([crank, (32, -17.2)], 0.6, False), *ribbon("2,-21 32,-20", 0.6, False)], (0.25, 0.25, 0.27))
    pen.fill(ring(2, -17, 4.6, 1.7), metal(CHROME, rng), "chain wheel", "metal")
    pen.fill(ribbon([crank, (6, -8)], 1.6, False), metal(CHROME, rng), "pedal", "metal")
    pen.fill(box(2.4, -8.8, 10, -6.4, r=1), TYRE, "pedal", "rubber")
    pen.fill(ribbon([seat, (11.6, -49)], 2, False), metal(CHROME, rng), "frame", "metal")
    pen.fill(
        blob("2,-51.6 12,-53.4 22,-54.4 23,-50.4 14,-48.6 4,-49.6"),
        plain((0.20, 0.14, 0.11), rng),
        "saddle",
        "leather",
        relief=1.5,
    )
    pen.fill(ribbon([head, (-22.5, -53)], 2.2, False), metal(CHROME, rng), "handlebar", "metal")
    pen.fill(ribbon("-22.5,-53 -30,-56 -33,-51.6 -28,-48.6", 2.2), metal(CHROME, rng), "handlebar", "metal", relief=0.8)
    pen.fill(ribbon("-31.5,-50.6 -26.5,-48.2", 3.2), TYRE, "handlebar", "rubber")


def draw_boat(canvas: Canvas, frame: Frame) -> None:
    """A sailing boat in profile, about 90 units long and 112 tall; the origin is on the waterline."""
    rng = canvas.rng
    pen = canvas.pen("boat", frame)
    paint = pick(
        rng, ((0.93, 0.93, 0.92), (0.14, 0.26, 0.46), (0.72, 0.16, 0.15), (0.45, 0.28, 0.16), (0.18, 0.42, 0.40)), 0.02
    )
    sail = pick(
        rng, ((0.96, 0.94, 0.88), (0.98, 0.98, 0.97), (0.85, 0.36, 0.22), (0.93, 0.80, 0.55), (0.36, 0.56, 0.75)), 0.02
    )
    pen.mark(
        [box(-40 + 3 * k, 2 + 3.4 * k, 38 - 4 * k, 3.6 + 3.4 * k, r=0.8) for k in range(6)], paint * 0.75, opacity=0.4
    )
    pen.shadow(ellipse(0, 2, 44, 3), softness=2, strength=0.4)
    pen.fill(
        ribbon("0,-14 0,-110", (2.4, 1.4), False),
        wood((0.52, 0.36, 0.22), rng, upright=True),
        "mast",
        "wood",
        relief=0.8,
    )
    pen.fill(ribbon("0,-19 38,-20", 1.8, False), wood((0.52, 0.36, 0.22), rng), "mast", "wood", relief=0.6)
    cloth = fabric(sail, rng, folds=0.05, thread=3.0)
    main = blob("2,-22 2,-62 2,-106 14,-74 27,-44 37,-23 20,-20.5")
    jib = blob("-3,-24 -3,-58 -3,-96 -16,-64 -30,-36 -38,-20 -20,-21.5")
    for shape in (main, jib):
        pen.fill(shape, cloth, "sail", "fabric", relief=7)
    pen.mark(
        [s for y in (-84, -64, -44) for s in ribbon([(2, y), (60, y + 5)], 0.5, False)],
        sail * 0.72,
        clip=main,
        opacity=0.7,
    )
    hull = blob("-48,-15.5 -36,-3 -24,1.5 28,1.5 38,-2 44,-14.5 20,-12 -20,-12")
    pen.fill(
        hull,
        wood(paint, rng, plank=3.4) if paint[2] < 0.3 else lacquer(paint, -16, 2),
        "hull",
        "wood",
        relief=4,
        fade=0.2,
    )
    pen.mark(box(-50, -4.6, 46, -2.8), np.clip(paint * 0.4 + 0.3 * (paint.mean() < 0.4), 0, 1), clip=hull)
    pen.fill(blob("8,-12 10,-18 30,-18 34,-12"), plain((0.90, 0.88, 0.83), rng), "cabin", "wood", relief=1.5)
    for x in (15, 21, 27):
        pen.fill(ellipse(x, -15.2, 1.6), glass((0.25, 0.35, 0.42), rng), "window", "glass")
    pen.mark([box(-38 + 9 * k, 0.4, -34 + 9 * k, 1.5, r=0.5) for k in range(9)], (0.96, 0.98, 1.0), opacity=0.6)


def draw_airplane(canvas: Canvas, frame: Frame) -> None:
    """An airliner in profile, about 150 units long; the origin is the middle of its body."""
    rng = canvas.rng
    pen = canvas.pen("airplane", frame)
    trim, white = pick(rng, PAINTS[:2] + PAINTS[5:], 0.03), (0.93, 0.94, 0.95)
    body_paint = lacquer(white, -13, 12)
    pen.fill(poly("8,-5 38,-27 45,-27 27,-4"), plain((0.70, 0.72, 0.75), rng), "wing", "metal")
    pen.fill(blob("50,-9 64,-36 75,-38 71,-9"), lacquer(trim, -40, -5), "tail", "metal", relief=2)
    body = blob("-76,1 -70,-6.5 -58,-10.6 -40,-11.8 10,-12 48,-11 70,-7.6 77,-4.5 60,4 36,9 -40,9.6 -62,8.2 -73,5")
    pen.fill(body, body_paint, "body", "metal", relief=6)
    pen.mark(ribbon("-80,3.4 -30,3.4 40,2 80,-5", (3, 2.4, 2)), trim, clip=body)
    pane = glass((0.16, 0.22, 0.28), rng)
    pen.fill(poly("-68.6,-6.6 -63,-9.2 -58.4,-9.2 -60,-5.2 -68,-3.8"), pane, "window", "glass")
    pen.fill([box(x, -5.4, x + 2.6, -1.8, r=1.1) for x in np.arange(-50, 46, 5.4)], pane, "window", "glass")
    for x in (-56, 50):
        pen.fill(box(x, -6, x + 4.4, 3.4, r=1), body_paint, "door", "metal")
        pen.mark(ribbon(box(x, -6, x + 4.4, 3.4, r=1), 0.5, False), (0.45, 0.47, 0.5))
    pen.fill(blob("-4,12 -9,14.5 -8,19 8,19.6 12,15.5 8,12"), lacquer(trim, 11, 20), "engine", "metal", relief=2.5)
    pen.mark(ellipse(-7.6, 16, 1.6, 3), (0.12, 0.12, 0.14))
    pen.fill(poly("-14,4 12,2.6 47,28 39,30 4,11"), metal((0.78, 0.80, 0.83), rng), "wing", "metal", relief=2)
    pen.fill(poly("56,-6 66,-7 84,3 77,4.6"), metal((0.80, 0.82, 0.85), rng), "tail", "metal", relief=1)

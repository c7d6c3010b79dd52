"""Animals of the miniature data set, one function each.

    draw_dog(canvas, Frame(112, 200, scale=1.5))

The origin is on the ground between the feet (for the fish and the gull in the middle of the body), the head looks left.
"""

from __future__ import annotations

import numpy as np

from .people import CLOTHES, add_eye
from .shapes import Canvas, Frame, blob, ellipse, points, poly, ribbon
from .surfaces import fur, pick, plain

COATS = (
    (0.55, 0.34, 0.18),
    (0.80, 0.62, 0.38),
    (0.22, 0.17, 0.15),
    (0.90, 0.85, 0.76),
    (0.66, 0.42, 0.22),
    (0.45, 0.43, 0.42),
)


def draw_dog(canvas: Canvas, frame: Frame) -> None:
    """A standing dog in profile, about 60 units tall and 80 long."""
    rng = canvas.rng
    pen = canvas.pen("dog", frame)
    coat = pick(rng, COATS)
    hair, far = fur(coat, rng, tilt=15), fur(coat * 0.68, rng, tilt=80)
    leg_hair = fur(coat * 0.96, rng, tilt=80)
    pen.stand(38)
    pen.fill(ribbon("27,-42 38,-50 42,-62 38,-69", (7.5, 6, 4.5, 2)), hair, "tail", "fur", relief=2)
    for x in (-14, 24):
        pen.fill(ribbon(points("0,-28 2,-15 -0.5,-3", shift=x), (9, 6, 5)), far, "leg", "fur", relief=1.5)
        pen.fill(blob("-5,-4 2.5,-4.5 2.5,0 -6,0", shift=x), far, ("paw", "leg"), "fur")
    body = blob("-24,-46 -10,-47 8,-45.5 24,-46 31,-38 29,-27 16,-23 4,-23 -10,-19 -22,-22 -27,-33")
    pen.fill(body, hair, "torso", "fur", relief=7, fade=0.15)
    for x, top in ((-21, -29), (24, -33)):
        thigh = (14 if x > 0 else 10.5, 7, 5.2)
        pen.fill(
            ribbon([(x, top), (x + (4 if x > 0 else 0.6), -16), (x, -3)], thigh), leg_hair, "leg", "fur", relief=2.5
        )
        pen.fill(blob("-5.5,-4.4 2.6,-5 3,0 -7,0", shift=x), leg_hair, ("paw", "leg"), "fur", relief=1.2)
    pen.fill(ribbon("-21,-40 -27,-49 -31,-56", (19, 15, 13)), fur(coat, rng, tilt=60), "neck", "fur", relief=1.5)
    pen.mark(ribbon("-33.5,-46.5 -26,-44.5 -19.5,-48", 2.6), pick(rng, CLOTHES))
    head = blob("-30,-69 -38,-69.5 -43,-64 -52,-60.5 -55.5,-57 -53.5,-53.2 -44,-51.5 -35,-49 -28,-52 -25,-61")
    pen.fill(head, fur(coat, rng, tilt=-15), "head", "fur", relief=4.5)
    pale = fur(np.clip(coat * 1.12 + 0.08, 0, 1), rng, tilt=0)
    muzzle = blob("-45,-60.5 -52.4,-60 -55,-57 -53,-53.6 -44,-52.4 -42,-56")
    pen.fill(muzzle, pale, ("muzzle", "head"), "fur", relief=2.5)
    pen.mark(ribbon("-53,-55 -48,-53.8 -43.5,-54.8", 0.7), coat * 0.3)
    pen.fill(ellipse(-54.6, -58.6, 2.3, 2.0), (0.08, 0.07, 0.07), ("nose", "head"), relief=1)
    add_eye(pen, -42, -62.3, 1.5, iris=(0.20, 0.11, 0.05), white=False)
    ear = blob("-32,-69 -27.5,-68 -24.5,-60 -26,-51 -30.5,-50 -33,-57")
    pen.fill(ear, fur(coat * 0.74, rng, tilt=80), ("ear", "head"), "fur", relief=2)


def draw_cat(canvas: Canvas, frame: Frame) -> None:
    """A sitting cat from the front, about 70 units tall."""
    rng = canvas.rng
    pen = canvas.pen("cat", frame)
    coat = pick(rng, (*COATS, (0.86, 0.52, 0.22), (0.55, 0.56, 0.60)))
    hair = fur(coat, rng, tilt=85, length=6)
    pale = fur(np.clip(coat * 0.4 + 0.55, 0, 1), rng, tilt=85)
    dark, iris = coat * 0.55, pick(rng, ((0.55, 0.66, 0.20), (0.85, 0.66, 0.18), (0.35, 0.60, 0.72)), 0)
    pen.stand(24)
    pen.fill(ribbon("14,-6 26,-6 32,-14 29,-26 33,-34", (7, 6.5, 6, 5.5, 4)), hair, "tail", "fur", relief=2.2)
    body = blob("0,-46 -9,-42 -13,-28 -18,-12 -15,-1.5 0,0 15,-1.5 18,-12 13,-28 9,-42")
    pen.fill(body, hair, "torso", "fur", relief=7, fade=0.15)
    pen.fill(blob("0,-42 -6.5,-34 -5,-20 0,-13 5,-20 6.5,-34"), pale, "torso", "fur")
    for side in (-1, 1):
        pen.fill(blob("9,-20 18,-14 18,-2 9,-1") * (side, 1), hair, "leg", "fur", relief=3)
    for side in (-1, 1):
        pen.fill(ribbon(points("5,-28 4.8,-14 4.6,-3") * (side, 1), (8.5, 7, 6.5)), hair, "leg", "fur", relief=2)
        pen.fill(ellipse(side * 5, -2.4, 5, 2.9), pale, ("paw", "leg"), "fur", relief=1.5)
    head = pen.within(0, -50, 1, rng.uniform(-8, 8))
    for side in (-1, 1):
        ear = blob("3.5,-11 9.5,-14 13.4,-23 15.4,-10 13,-2") * (side, 1)
        head.fill(ear, hair, ("ear", "head"), "fur", relief=1.6)
        head.mark(poly("8,-12 12.8,-19 13.6,-8") * (side, 1), (0.86, 0.60, 0.56), opacity=0.8)
    skull = blob("0,-14 -9,-13 -16,-4 -14.5,5 -6,10.4 0,11 6,10.4 14.5,5 16,-4 9,-13")
    head.fill(skull, fur(coat, rng, tilt=90), "head", "fur", relief=5)
    for x in (-4, 0, 4):
        head.mark(ribbon([(x, -13), (x * 0.8, -7)], (1.8, 0.5)), dark, opacity=0.75)
    for side in (-1, 1):
        head.mark(
            [
                *ribbon(points("15,-1 10,0.5") * (side, 1), (1.3, 0.4)),
                *ribbon(points("14,4 9.5,3.6") * (side, 1), (1.3, 0.4)),
            ],
            dark,
            opacity=0.6,
        )
        add_eye(head, side * 6.4, -2, 2.6, iris=iris, white=False)
    head.fill(blob("0,2.6 -5.4,4.6 -5,8.8 0,9.6 5,8.8 5.4,4.6"), pale, ("muzzle", "head"), "fur", relief=1.6)
    head.fill(poly("-1.9,2.8 1.9,2.8 0,5"), (0.82, 0.48, 0.48), ("nose", "head"))
    head.mark([*ribbon("0,5 -1.4,7 -3.4,6.8", 0.5), *ribbon("0,5 1.4,7 3.4,6.8", 0.5)], dark * 0.6)
    for side in (-1, 1):
        whiskers = [
            w
            for dy in (-1.2, 0.8, 2.6)
            for w in ribbon([(side * 4, 5.6 + dy * 0.4), (side * 13, 4.6 + dy), (side * 20, 5.4 + dy * 2)], (0.45, 0.1))
        ]
        head.mark(whiskers, (0.97, 0.97, 0.95), opacity=0.8)


def draw_horse(canvas: Canvas, frame: Frame) -> None:
    """A standing horse in profile, about 100 units tall and 110 long."""
    rng = canvas.rng
    pen = canvas.pen("horse", frame)
    coat = pick(
        rng, ((0.48, 0.27, 0.14), (0.62, 0.37, 0.18), (0.25, 0.18, 0.15), (0.86, 0.83, 0.78), (0.56, 0.52, 0.50)), 0.02
    )
    mane = coat * 0.42 if rng.random() < 0.7 else np.clip(coat * 0.5 + 0.45, 0, 0.95)
    hair, far = fur(coat, rng, tilt=12, length=7), fur(coat * 0.66, rng, tilt=85)
    locks = fur(mane, rng, tilt=75, length=9)
    pen.stand(44, 4)
    for x in (-17, 28):
        pen.fill(ribbon(points("0,-46 1,-25 -1,-5", shift=x), (11, 6, 4.4)), far, "leg", "fur", relief=1.6)
        pen.fill(poly("-3.6,-5.5 1.6,-5.5 2.6,0 -5,0", shift=x), (0.16, 0.13, 0.12), ("hoof", "leg"))
    pen.fill(ribbon("39,-64 47,-58 49,-40 45,-22", (5, 8, 9, 3)), locks, "tail", "hair", relief=2)
    body = blob("-27,-66 -14,-69 4,-66 22,-69 36,-67 41,-56 37,-43 22,-39 4,-38 -14,-39 -26,-43 -31,-54")
    pen.fill(body, hair, "torso", "fur", relief=9, fade=0.15)
    for x, top in ((-23, -48), (33, -53)):
        hip = (17 if x > 0 else 14, 7, 4.8)
        pen.fill(
            ribbon([(x, top), (x + (3 if x > 0 else 0), -26), (x - 0.5, -5)], hip),
            fur(coat * 0.97, rng, tilt=85),
            "leg",
            "fur",
            relief=2.6,
        )
        pen.fill(poly("-3.6,-5.6 2.4,-5.6 3.4,0 -5.4,0", shift=x), (0.20, 0.16, 0.14), ("hoof", "leg"), relief=1)
    neck = blob("-16,-69 -25,-80 -31,-93 -38,-97 -43,-90 -38,-77 -32,-58 -24,-49 -12,-58")
    pen.fill(neck, fur(coat, rng, tilt=55, length=7), "neck", "fur", relief=2.5)
    head = blob("-32,-99 -40,-100 -48,-89 -57,-78 -58,-72 -52,-69.5 -45,-75 -38,-81 -31,-89")
    pen.fill(head, fur(coat, rng, tilt=-50), "head", "fur", relief=4)
    muzzle = blob("-53,-82.5 -58,-76.5 -58,-71.6 -52.4,-69.6 -49,-73")
    pen.fill(muzzle, plain(coat * 0.62, rng), ("muzzle", "head"), "fur", relief=2)
    pen.mark([ellipse(-56, -75.6, 1.1, 0.8, tilt=40)], (0.05, 0.04, 0.04))
    pen.mark(ribbon("-57,-71.4 -53,-72.6", 0.5), coat * 0.25)
    add_eye(pen, -43.2, -90, 1.7, iris=(0.14, 0.08, 0.05), white=False)
    pen.fill(poly("-33,-98 -36.5,-107 -39.6,-98.5"), hair, ("ear", "head"), "fur", relief=1.2)
    strands = blob("-33,-101 -27.5,-99 -20,-86 -9,-71 -12,-63 -20,-70 -27,-82 -32,-92")
    pen.fill(strands, locks, "mane", "hair", relief=2)
    pen.fill(blob("-34,-102 -39,-101 -43.5,-93.6 -38,-96"), locks, ("mane", "head"), "hair", relief=1)


def draw_bird(canvas: Canvas, frame: Frame) -> None:
    """A perching bird in profile, about 50 units tall; the origin is its feet."""
    rng = canvas.rng
    pen = canvas.pen("bird", frame)
    back = pick(
        rng,
        (
            (0.20, 0.42, 0.72),
            (0.80, 0.22, 0.16),
            (0.38, 0.30, 0.24),
            (0.22, 0.52, 0.42),
            (0.93, 0.76, 0.20),
            (0.2, 0.2, 0.24),
        ),
    )
    belly = pick(rng, ((0.95, 0.90, 0.80), (0.93, 0.62, 0.34), (0.90, 0.86, 0.84)))
    plume, soft = fur(back, rng, tilt=35, length=4), fur(belly, rng, tilt=50, length=4)
    for x in (-2, 4):
        pen.fill(ribbon(points("0,-12 -1,-1", shift=x), 1.5), (0.72, 0.48, 0.24), "leg")
        pen.fill(ribbon(points("-4,0 2,-0.4", shift=x), 1.3), (0.72, 0.48, 0.24), "leg")
    pen.fill(poly("15,-24 40,-16 43,-10 38,-8 13,-15"), plume, "tail", "feather", relief=2)
    body = blob("-13,-40 -4,-37 10,-30 19,-21 14,-13 2,-9 -9,-13 -16,-24 -18,-34")
    pen.fill(body, soft, "torso", "feather", relief=6, fade=0.2)
    head = blob("-15,-48 -23,-46 -26,-40 -23,-33 -15,-31 -7,-34 -6,-42")
    pen.fill(head, plume, "head", "feather", relief=4)
    pen.fill(blob("-23,-37 -18,-33 -12,-33 -16,-29"), soft, "torso", "feather")
    wing = blob("-9,-35 2,-34 15,-27 29,-15 22,-14.5 8,-15 -3,-18 -10,-27")
    pen.fill(wing, fur(back * 0.86, rng, tilt=30, length=7), "wing", "feather", relief=3)
    for k in range(4):
        pen.mark(
            ribbon(
                [(-3 + 3 * k, -19.5 + 0.7 * k), (7 + 3.4 * k, -22 + 1.4 * k), (17 + 3 * k, -18.5 + 1.2 * k)],
                (0.3, 1.1, 0.3),
            ),
            back * 0.5,
            clip=wing,
        )
    pen.fill(
        poly("-24.5,-43.5 -34,-39 -24.5,-37.5"),
        pick(rng, ((0.95, 0.66, 0.16), (0.25, 0.22, 0.2))),
        ("beak", "head"),
        relief=1,
    )
    pen.mark(ribbon("-33,-39.1 -25,-40.3", 0.4), (0.2, 0.12, 0.05))
    add_eye(pen, -19.5, -41.5, 1.9, iris=(0.10, 0.07, 0.05), white=False)


def draw_gull(canvas: Canvas, frame: Frame) -> None:
    """A bird in flight, about 60 units from tip to tip; the origin is its body."""
    rng = canvas.rng
    pen = canvas.pen("bird", frame)
    lift = rng.uniform(8, 18)
    white, grey = plain((0.95, 0.95, 0.95), rng), plain((0.62, 0.66, 0.71), rng)
    pen.fill(poly("6,-1 15,-3 16,1 7,3"), white, "tail", "feather")
    far = blob([(-2, -2), (3, -lift * 0.9), (13, -lift * 1.5), (26, -lift * 1.45), (12, -lift * 0.8), (5, 0)])
    pen.fill(far, plain((0.52, 0.56, 0.62), rng), "wing", "feather", relief=1)
    pen.fill(blob("-12,0 -6,-3.2 4,-2.6 9,0.6 2,3.4 -8,3"), white, "torso", "feather", relief=2)
    near = blob(
        [
            (-4, 0),
            (-8, -lift * 0.9),
            (-20, -lift * 1.45),
            (-34, -lift * 1.1),
            (-18, -lift * 0.7),
            (-8, -lift * 0.1),
            (2, 1.5),
        ]
    )
    pen.fill(near, grey, "wing", "feather", relief=1.6)
    pen.mark(blob("-28,-1.35 -34,-1.1 -25,-1") * (1, lift), (0.15, 0.15, 0.17))
    pen.fill(ellipse(-11.5, -1, 3.8, 3.2), white, "head", "feather", relief=1.2)
    pen.fill(poly("-14.6,-2 -19.6,-0.2 -14.8,0.8"), (0.95, 0.70, 0.2), ("beak", "head"))
    pen.fill(ellipse(-12.6, -1.7, 0.8), (0.05, 0.05, 0.05), ("eye", "head"))


def draw_fish(canvas: Canvas, frame: Frame) -> None:
    """A fish in profile, about 70 units long; the origin is the middle of its body."""
    rng = canvas.rng
    pen = canvas.pen("fish", frame)
    hues = (
        (0.95, 0.52, 0.14),
        (0.96, 0.80, 0.22),
        (0.24, 0.50, 0.80),
        (0.82, 0.25, 0.30),
        (0.60, 0.68, 0.74),
        (0.52, 0.34, 0.66),
    )
    main, trim = pick(rng, hues), pick(rng, hues)
    deep = rng.uniform(0.8, 1.2)
    fin = plain(np.clip(trim * 0.95, 0, 1), rng, 0.1)
    pen.fill(blob("24,-2 40,-15 36,0 40,15 24,2") * (1, deep), fin, "tail", relief=2)
    pen.fill(blob("-14,-12 -6,-25 10,-21 20,-8") * (1, deep), fin, "fin", relief=2)
    pen.fill(blob("2,12 8,23 18,16 18,8") * (1, deep), fin, "fin", relief=2)
    body = blob("-33,0 -26,-9 -8,-15 12,-11 27,-3 27,3 12,11 -8,15 -26,9") * (1, deep)

    def scales(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        row = np.floor(y / 2.6)
        d = np.hypot((x / 3.2 + 0.5 * (row % 2)) % 1 - 0.2, (y / 2.6) % 1 - 0.5)
        belly = np.clip((y / (14 * deep) + 0.2), -1, 1)
        pale = np.float32(main) + (np.float32(0.98) - np.float32(main)) * np.clip(belly, 0, 1)[..., None] * 0.7
        return pale * (0.86 + 0.22 * np.clip(d, 0, 1))[..., None] * (1 - 0.15 * np.clip(-belly, 0, 1))[..., None]

    pen.fill(body, scales, "torso", "scales", relief=5)
    if rng.random() < 0.6:
        bands = [s for x in (-8, 5, 17) for s in ribbon(points("0,-20 2.5,0 0,20", shift=x), 4.5)]
        pen.mark(bands, np.clip(trim * 0.5 + 0.45 * (np.mean(main) < 0.6), 0, 1), clip=body, opacity=0.8)
    face = blob("-33,0 -26,-9 -17,-13.4 -14,0 -17,13.4 -26,9") * (1, deep)
    pen.fill(face, plain(np.clip(main * 0.92, 0, 1), rng), "head", "scales", relief=3)
    pen.mark(ribbon(points("-16.5,-10 -13.6,0 -16.5,10") * (1, deep), 0.8), main * 0.45)
    pen.mark(ribbon("-32,2 -28.5,3", 0.8), main * 0.3)
    add_eye(pen, -24, -3.4 * deep, 2.5, iris=(0.12, 0.10, 0.10))
    pen.fill(blob("-9,3 2,4 6,10 -3,9"), fin, "fin", relief=1.5)

"""People of the miniature data set, and what they wear.

    draw_person(canvas, Frame(112, 212, scale=2))

The origin is on the ground between the feet. Colours and pose come from `canvas.rng`.
"""

from __future__ import annotations

import numpy as np

from .shapes import Canvas, Colour, Frame, Pen, Surface, blob, box, ellipse, points, ribbon
from .surfaces import fabric, fur, pick, plain

SKINS = ((0.96, 0.80, 0.69), (0.91, 0.71, 0.57), (0.78, 0.57, 0.42), (0.58, 0.39, 0.27), (0.40, 0.26, 0.18))

HAIRS = (
    (0.13, 0.09, 0.08),
    (0.28, 0.17, 0.10),
    (0.48, 0.30, 0.16),
    (0.85, 0.68, 0.38),
    (0.62, 0.26, 0.12),
    (0.6, 0.6, 0.6),
)

CLOTHES = (
    (0.75, 0.16, 0.17), (0.16, 0.33, 0.62), (0.93, 0.90, 0.84), (0.20, 0.50, 0.36), (0.94, 0.72, 0.18),
    (0.48, 0.25, 0.56), (0.90, 0.49, 0.16), (0.86, 0.48, 0.60), (0.25, 0.60, 0.68), (0.30, 0.31, 0.36),
)  # fmt: skip

TROUSERS = ((0.17, 0.24, 0.42), (0.22, 0.22, 0.25), (0.50, 0.42, 0.32), (0.36, 0.42, 0.52), (0.33, 0.26, 0.22))


def draw_person(canvas: Canvas, frame: Frame, hat: bool = False) -> None:
    """A standing person from the front, about 100 units tall. Clothes are objects of their own, over the person."""
    rng = canvas.rng
    pen = canvas.pen("person", frame)
    skin, hair, shirt, trousers = (
        pick(rng, SKINS, 0.02),
        pick(rng, HAIRS, 0.02),
        pick(rng, CLOTHES),
        pick(rng, TROUSERS),
    )
    skirt = rng.random() < 0.3
    pen.stand(17)
    _draw_legs(pen, plain(skin, rng), fabric(trousers, rng), skirt)
    lean = rng.uniform(-3, 3, 2)
    sleeve = fabric(shirt, rng)
    over = ("person", "shirt")
    for side, bend in zip((-1, 1), lean, strict=True):
        shoulder, elbow = (side * 10.5, -74), (side * (15 + bend), -60 + bend)
        hand = (side * (16.5 + 2 * bend), -45 + bend * 1.5)
        pen.fill(
            ribbon([elbow, ((elbow[0] + hand[0]) / 2, (elbow[1] + hand[1]) / 2), hand], (5, 4.3, 3.4)),
            plain(skin, rng),
            "arm",
            "skin",
            relief=1.6,
        )
        pen.fill([ellipse(hand[0], hand[1] + 1.5, 2.5, 3.4)], plain(skin, rng), ("hand", "arm"), "skin", relief=1.2)
        _as(pen, over).fill(
            ribbon([shoulder, ((shoulder[0] + elbow[0]) / 2 + side, -67), elbow], (8, 7.4, 6.4)),
            sleeve,
            "arm",
            "fabric",
            relief=2,
        )
    head = pen.within(0, -80, 0.98, rng.uniform(-5, 5))
    if skirt or rng.random() < 0.3:
        long = blob("-8,-14 -6,-20 0,-21.5 6,-20 8,-14 9.6,-3 8,6 0,5 -8,6 -9.6,-3")
        head.fill(long, fur(hair * 0.85, rng, tilt=85, length=9), ("hair", "head"), "hair", relief=3)
    pen.fill(ribbon("0,-82 0,-76", (6.5, 8.5)), plain(skin * 0.84, rng), "neck", "skin")
    torso = blob(
        "-5,-78.5 -11.5,-75.5 -10.8,-62 -9.6,-50 -10,-44 0,-43 10,-44 9.6,-50 10.8,-62 11.5,-75.5 5,-78.5 0,-76.6"
    )
    _as(pen, over).fill(torso, sleeve, "torso", "fabric", relief=4, fade=0.1)
    if rng.random() < 0.35:
        stripe = np.clip(np.asarray(shirt) * 0.55 + (0.4 if np.mean(shirt) < 0.5 else 0.0), 0, 1)
        pen.mark([box(-14, y, 14, y + 2.2) for y in np.arange(-74, -44, 5.0)], stripe, clip=torso, opacity=0.75)
    _draw_head(head, skin, hair)
    if hat:
        _draw_hat(pen, pick(rng, CLOTHES))


def _as(pen: Pen, object: str | tuple[str, str]) -> Pen:
    return Pen(pen.canvas, pen.frame, object)


def _draw_legs(pen: Pen, skin: Colour | Surface, cloth: Colour | Surface, skirt: bool) -> None:
    rng = pen.canvas.rng
    stance = rng.uniform(0, 2.5)
    shoe = pick(rng, ((0.15, 0.13, 0.13), (0.45, 0.25, 0.15), (0.85, 0.85, 0.85), (0.7, 0.2, 0.2)))
    for side in (-1, 1):
        x = side * (5.2 + stance)
        leg = ribbon([(side * 5, -48), (side * 5.4 + stance * side * 0.5, -26), (x, -4)], (10.5, 8, 6))
        if skirt:
            pen.fill(leg, skin, "leg", "skin", relief=2)
        else:
            _as(pen, ("person", "trousers")).fill(leg, cloth, "leg", "fabric", relief=2.4)
        _as(pen, ("person", "shoes")).fill(
            blob([(x - 3.4, -4), (x + 3.4, -4), (x + 4 + side, -0.4), (x - 4 + side, -0.4)]),
            shoe,
            "leg",
            "leather",
            relief=1.2,
        )
    if skirt:
        _as(pen, ("person", "skirt")).fill(
            blob("-9,-50 9,-50 12,-36 14,-25 0,-23 -14,-25 -12,-36"), cloth, "", "fabric", relief=3
        )


def _draw_hat(pen: Pen, colour: Colour) -> None:
    hat = _as(pen, ("person", "hat"))
    cloth = fabric(colour, pen.canvas.rng)
    hat.fill(blob("-8,-94 -7,-101 0,-104 7,-101 8,-94 0,-92.5"), cloth, "", "fabric", relief=3)
    hat.fill(blob("-13,-93.5 0,-95.6 13,-93.5 0,-90.6"), cloth, "", "fabric", relief=1.2)


def _draw_head(pen: Pen, skin: Colour, hair: Colour) -> None:
    """A human head, 20 units high, seen from the front; the origin is the chin."""
    rng = pen.canvas.rng
    locks, face = fur(hair, rng, tilt=82, length=9), plain(skin, rng)
    at_hair, at_head = ("hair", "head"), "head"
    for side in (-1, 1):
        pen.fill(ellipse(side * 7.6, -9.2, 1.5, 2.4), face, ("ear", "head"), "skin", relief=1)
    outline = blob("0,0 -3.6,-1 -6.6,-5 -7.6,-11 -6,-17.4 0,-19.6 6,-17.4 7.6,-11 6.6,-5 3.6,-1")
    pen.fill(outline, face, at_head, "skin", relief=3.2, fade=0.1)
    iris = pick(rng, ((0.30, 0.19, 0.11), (0.25, 0.42, 0.55), (0.28, 0.40, 0.24)), 0)
    warm = np.clip(np.asarray(skin) * (1.03, 0.80, 0.78), 0, 1)
    for side in (-1, 1):
        pen.mark(ellipse(side * 4.3, -5.8, 2.0, 1.5), warm, opacity=0.35)
        add_eye(pen, side * 3.1, -9.9, 1.05, iris=iris)
        pen.mark(ribbon(points("1.5,-12.2 3.2,-12.9 4.8,-12.3") * (side, 1), (0.5, 0.9, 0.4)), np.asarray(hair) * 0.7)
        pen.mark(ribbon(points("1.5,-10.4 3.1,-10.9 4.7,-10.2") * (side, 1), 0.6), np.asarray(skin) * 0.45)
    pen.fill(blob("-0.6,-10 -1.4,-6.6 0,-5.9 1.4,-6.6 0.6,-10"), face, ("nose", "head"), "skin", relief=0.8)
    pen.mark(ribbon("-1.3,-6.2 0,-5.7 1.3,-6.2", 0.35), np.asarray(skin) * 0.6, opacity=0.8)
    lips = blob("-2.8,-3.4 -1,-4.1 0,-3.8 1,-4.1 2.8,-3.4 0,-2.1")
    pen.fill(lips, np.asarray(skin) * (0.86, 0.48, 0.48), ("mouth", "head"), "skin", relief=0.6)
    pen.mark(ribbon("-2.6,-3.3 0,-3 2.6,-3.3", 0.25), np.asarray(skin) * 0.35)
    fringe = rng.uniform(-3, 3)
    front = blob(
        [
            (-8, -9.6),
            (-8.4, -15),
            (-5, -20.4),
            (0, -22),
            (5, -20.4),
            (8.4, -15),
            (8, -9.6),
            (6.6, -13.4),
            (fringe + 3, -16),
            (fringe - 2, -15),
            (-6.4, -13),
        ]
    )
    pen.fill(front, locks, at_hair, "hair", relief=2.5)


def add_eye(pen: Pen, x: float, y: float, r: float, *, iris: Colour, white: bool = True) -> None:
    """An eye with lid, iris, pupil and catch light; belongs to the head."""
    part = ("eye", "head")
    if white:
        pen.fill(ellipse(x, y, r * 1.35, r), (0.97, 0.96, 0.94), part)
    pen.fill(ellipse(x, y, r * 0.85, r * 0.92), iris, part)
    pen.mark(ellipse(x, y, r * 0.45), (0.05, 0.04, 0.05))
    pen.mark(ellipse(x - r * 0.28, y - r * 0.32, r * 0.24), (1, 1, 1), opacity=0.9)

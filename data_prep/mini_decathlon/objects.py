"""mini-imagenet12: one of twenty things in any colour before clutter. mini-aircraft: ten types seen from the side."""

from __future__ import annotations

from functools import cache

import numpy as np

from data_prep.mini_decathlon.canvas import Canvas, any_colour, backdrop, between, contrasting, hsv

# A part: its kind (p polygon, e ellipse, l line, r ring) and colour slot; for l and r its width; then pairs x,y.
# An ellipse has centre and radii, a ring too.
THINGS = {
    "balloon": "e0 0,-.3 .55,.6; p1 -.12,.42 .12,.42 0,.25; l2 .06 0,.4 -.12,.65 .08,.95",
    "bird": "e0 0,.05 .6,.32; e0 .55,-.25 .25,.23; p1 .75,-.3 1,-.2 .75,-.1; p1 -.5,0 -1,-.25 -.95,.2; "
    "p2 -.2,-.1 .3,0 -.35,.5; l1 .07 0,.35 .05,.8",
    "boat": "p0 -.9,.3 .9,.3 .6,.75 -.6,.75; l2 .08 0,.3 0,-.9; p1 .06,-.85 .7,.15 .06,.15; p1 -.06,-.6 -.55,.15 -.06,.15",
    "bottle": "p0 -.32,.9 .32,.9 .32,-.1 .12,-.4 .12,-.75 -.12,-.75 -.12,-.4 -.32,-.1; "
    "p1 -.16,-.72 .16,-.72 .16,-.95 -.16,-.95; p2 -.32,.1 .32,.1 .32,.55 -.32,.55",
    "butterfly": "e0 -.48,-.3 .44,.42; e0 .48,-.3 .44,.42; e1 -.36,.42 .32,.32; e1 .36,.42 .32,.32; e2 0,0 .09,.65",
    "car": "p0 -.95,.35 -.95,0 -.5,-.05 -.3,-.45 .35,-.45 .6,-.05 .95,.05 .95,.35; p1 -.38,-.05 -.24,-.35 .28,-.35 .45,-.05; "
    "e2 -.5,.38 .22,.22; e2 .5,.38 .22,.22",
    "chair": "p0 -.5,-.9 -.33,-.9 -.33,.1 -.5,.1; p0 -.5,.05 .5,.05 .5,.24 -.5,.24; l1 .1 -.42,.24 -.42,.9; l1 .1 .42,.24 .42,.9",
    "clock": "e0 0,0 .85,.85; e1 0,0 .66,.66; l2 .1 0,0 0,-.5; l2 .1 0,0 .38,.2",
    "cup": "r0 .14 .5,0 .32,.32; p0 -.55,-.55 .5,-.55 .38,.65 -.43,.65; e1 0,-.55 .52,.13; p2 -.5,-.1 .45,-.1 .43,.18 -.48,.18",
    "fish": "e0 -.15,0 .65,.4; p1 .4,0 .95,-.42 .95,.42; p1 -.25,-.35 .2,-.35 .05,-.7; e2 -.5,-.08 .1,.1",
    "hammer": "l1 .16 0,-.5 0,.9; p0 -.6,-.85 .35,-.85 .65,-.62 .35,-.4 -.6,-.4",
    "house": "p0 -.65,-.1 .65,-.1 .65,.85 -.65,.85; p1 -.9,-.1 0,-.9 .9,-.1; p2 -.15,.3 .15,.3 .15,.85 -.15,.85; "
    "p2 .3,.1 .52,.1 .52,.32 .3,.32",
    "key": "r0 .18 -.55,0 .32,.32; l0 .15 -.2,0 .92,0; l1 .13 .55,0 .55,.35; l1 .13 .82,0 .82,.35",
    "ladder": "l0 .11 -.32,-.9 -.45,.9; l0 .11 .32,-.9 .45,.9; l1 .09 -.35,-.6 .35,-.6; l1 .09 -.37,-.2 .37,-.2; "
    "l1 .09 -.4,.2 .4,.2; l1 .09 -.43,.6 .43,.6",
    "lamp": "l1 .1 0,0 0,.75; e2 0,.8 .45,.13; p0 -.6,.05 -.27,-.75 .27,-.75 .6,.05",
    "mushroom": "p1 -.2,0 .2,0 .28,.85 -.28,.85; p0 -.85,.08 -.72,-.35 -.42,-.65 0,-.75 .42,-.65 .72,-.35 .85,.08; "
    "e2 -.32,-.3 .13,.13; e2 .22,-.42 .12,.12; e2 .45,-.12 .1,.1",
    "rocket": "p2 -.17,.4 .17,.4 0,.95; p1 -.25,-.05 -.62,.6 -.25,.42; p1 .25,-.05 .62,.6 .25,.42; "
    "p0 0,-.98 .26,-.5 .26,.42 -.26,.42 -.26,-.5; e2 0,-.3 .14,.14",
    "table": "l1 .11 -.75,-.1 -.75,.8; l1 .11 .75,-.1 .75,.8; p0 -.95,-.32 .95,-.32 .95,-.1 -.95,-.1; e2 .1,-.45 .22,.14",
    "tree": "p1 -.12,.2 .12,.2 .17,.95 -.17,.95; e0 0,-.42 .5,.5; e0 -.42,-.02 .36,.36; e0 .42,-.02 .36,.36; e2 .1,-.4 .11,.11",
    "umbrella": "l1 .09 0,-.2 0,.72 .1,.85 .26,.8; p0 -.92,.05 -.75,-.42 -.4,-.72 0,-.82 .4,-.72 .75,-.42 .92,.05 .6,-.1 .3,.05 "
    "0,-.1 -.3,.05 -.6,-.1; l2 .06 0,-.82 0,-.1",
}  # fmt: skip

# wing height (-1 above, 1 below), engines under the wing, engines at the tail, propellers, T-tail, length, thickness, extra
AIRCRAFT = {
    "biplane": (1, 0, 0, True, False, 0.62, 0.15, "second wing"),
    "delta": (1, 0, 1, False, False, 0.95, 0.1, "delta"),
    "glider": (-1, 0, 0, False, True, 0.75, 0.07, "long wing"),
    "heavy-lifter": (-1, 2, 0, False, True, 0.9, 0.2, ""),
    "quad-jet": (1, 2, 0, False, False, 0.97, 0.14, ""),
    "quad-jet-upper-deck": (1, 2, 0, False, False, 0.95, 0.16, "deck"),
    "rear-jet": (1, 0, 1, False, True, 0.9, 0.1, ""),
    "tri-jet": (1, 1, 1, False, False, 0.95, 0.14, ""),
    "turboprop": (-1, 1, 0, True, False, 0.8, 0.13, ""),
    "twin-jet": (1, 1, 0, False, False, 0.85, 0.14, ""),
}


def draw_thing(name: str, rng: np.random.Generator) -> np.ndarray:
    """(64, 64, 3): the thing, mostly in a hue that is usual for it, small scraps of other shapes around it, grain."""
    ground, other = any_colour(rng, (0, 0.4), (0.3, 0.9)), any_colour(rng, (0, 0.4), (0.3, 0.9))
    canvas = Canvas(rng, 64, 64, backdrop(rng, 64, 64, one=ground, two=other))
    for _ in range(rng.integers(1, 4)):
        canvas.place(np.eye(2) * rng.uniform(0.08, 0.2), rng.uniform(-1, 1, 2))
        canvas.polygon(rng.uniform(-1, 1, (4, 2)), any_colour(rng))
    colours = contrasting(rng, 3, between(ground, other))
    usual = 0.618 * list(THINGS).index(name)
    colours[0] = hsv(usual + rng.normal(0, 0.08), rng.uniform(0.6, 1), rng.uniform(0.4, 1))
    canvas.pose(turn=12, size=(0.72, 0.98), shift=0.15, stretch=0.12, flip=True)
    for kind, slot, width, points in _parts(name):
        _draw_part(canvas, kind, colour=colours[slot], width=width, points=points)
    return canvas.finish(noise=7, light=0.15)


@cache
def _parts(name: str) -> list[tuple[str, int, float, np.ndarray]]:
    parts = []
    for text in THINGS[name].split(";"):
        head, *numbers = text.split()
        width = float(numbers.pop(0)) if head[0] in "lr" else 0.0
        parts.append((head[0], int(head[1]), width, np.array([pair.split(",") for pair in numbers], float)))
    return parts


def _draw_part(canvas: Canvas, kind: str, *, colour: tuple, width: float, points: np.ndarray) -> None:
    if kind == "p":
        canvas.polygon(points, colour)
    elif kind == "l":
        canvas.stroke(points, width, colour)
    elif kind == "e":
        canvas.ellipse(*points.ravel(), colour=colour)
    else:
        canvas.ring(*points.ravel(), width=width, colour=colour)


def draw_aircraft(name: str, rng: np.random.Generator) -> np.ndarray:
    """(40, 52..72, 3): the aircraft before a sky, nose to the left or right."""
    width = int(rng.integers(52, 73))
    sky, haze = (
        hsv(rng.uniform(0.52, 0.65), rng.uniform(0.3, 0.7), rng.uniform(0.5, 0.85)),
        hsv(0.1, 0.08, rng.uniform(0.5, 0.8)),
    )
    canvas = Canvas(rng, width, 40, backdrop(rng, width, 40, one=sky, two=haze, coarse=3))
    canvas.place(np.eye(2), (0, 0))
    if rng.random() < 0.5:  # a runway
        canvas.polygon([(-3, 0.75), (3, 0.75), (3, 2), (-3, 2)], hsv(rng.uniform(0, 0.3), 0.3, rng.uniform(0.25, 0.6)))
    body = hsv(rng.random(), rng.uniform(0, 0.2), rng.uniform(0.85, 1))
    trim, wing = any_colour(rng, (0.6, 1), (0.25, 0.8)), hsv(0.6, 0.05, rng.uniform(0.15, 0.4))
    canvas.pose(turn=6, size=(1.1, 1.3), shift=0.1, stretch=0.08, flip=True)
    _draw_airframe(canvas, AIRCRAFT[name], body=body, trim=trim, wing=wing)
    return canvas.finish(noise=5, light=0.15)


def _draw_airframe(canvas: Canvas, frame: tuple, *, body: tuple, trim: tuple, wing: tuple) -> None:
    side, under, rear, propellers, t_tail, length, thick, extra = frame
    fin = -thick - 0.38
    canvas.polygon([(length * 0.6, -thick * 0.5), (length * 0.85, fin), (length, fin), (length * 0.95, 0)], trim)
    tail = fin if t_tail else -0.03
    canvas.stroke([(length * 0.7, tail), (length * 1.08, tail)], 0.06, wing)
    canvas.ellipse(0, 0, length, thick, colour=body)
    canvas.polygon([(0, -thick), (length * 0.9, -thick * 0.6), (length, -0.02), (length * 0.3, thick)], body)
    if extra == "deck":
        canvas.ellipse(-length * 0.5, -thick, length * 0.32, thick * 0.45, colour=body)
    canvas.stroke([(-length * 0.8, -0.02), (length * 0.75, -0.02)], 0.04, trim)
    y = side * thick * 0.8
    reach = {"long wing": 0.55, "delta": 0.7}.get(extra, 0.3)
    canvas.polygon(
        [(-reach, y), (reach * 0.6, y), (reach + 0.15, y + 0.1 + 0.1 * side), (reach, y + 0.1 + 0.1 * side)], wing
    )
    if extra == "second wing":
        canvas.polygon(
            [(-reach, -thick * 1.9), (reach, -thick * 1.9), (reach, -thick * 1.4), (-reach, -thick * 1.4)], wing
        )
        canvas.stroke([(-reach * 0.7, -thick * 1.5), (-reach * 0.7, y)], 0.04, wing)
    for i in range(under):
        canvas.ellipse(-0.12 + 0.36 * i, y + 0.12, 0.14, 0.07, colour=trim)
    if rear:
        canvas.ellipse(length * 0.62, -thick * 0.75, 0.16, 0.07, colour=trim)
    if propellers:
        x = -0.26 if under else -length
        canvas.stroke(
            [
                (
                    x,
                    y + 0.12 - 0.28,
                ),
                (x, y + 0.12 + 0.28),
            ]
            if under
            else [(x, -0.3), (x, 0.3)],
            0.04,
            wing,
        )

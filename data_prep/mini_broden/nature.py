"""Plants, rocks, sky and land of the miniature data set, one function each.

    draw_tree(canvas, Frame(112, 200, scale=1.5))

The origin of what grows or stands is on the ground; of what floats, its middle. Land and sky fill a part of the image.
"""

from __future__ import annotations

import numpy as np

from .shapes import SIZE, Canvas, Colour, Frame, Outline, blob, box, ellipse, poly, ribbon
from .surfaces import clouds, foliage, grains, lit, mix, pick, plain, stone, vertical, wood

LEAVES = ((0.24, 0.44, 0.17), (0.33, 0.52, 0.20), (0.18, 0.38, 0.22), (0.42, 0.54, 0.20))
AUTUMN = ((0.78, 0.46, 0.14), (0.70, 0.28, 0.13), (0.82, 0.62, 0.18))
BARK = ((0.36, 0.25, 0.17), (0.42, 0.34, 0.27), (0.30, 0.22, 0.18))
PETALS = (
    (0.90, 0.30, 0.42), (0.96, 0.78, 0.20), (0.95, 0.93, 0.95), (0.62, 0.36, 0.74),
    (0.95, 0.55, 0.20), (0.86, 0.20, 0.20), (0.38, 0.46, 0.86), (0.94, 0.62, 0.74),
)  # fmt: skip


def _ragged(
    rng: np.random.Generator, x: float, y: float, rx: float, *, ry: float, lumps: int = 11, depth: float = 0.16
) -> list[Outline]:
    """A lumpy outline, as of a tree's crown or a cloud."""
    angle = np.linspace(0, 2 * np.pi, lumps, endpoint=False) + rng.uniform(-0.15, 0.15, lumps)
    reach = 1 + rng.uniform(-depth, depth, lumps)
    centre = blob(np.stack([x + rx * reach * np.cos(angle), y + ry * reach * np.sin(angle)], 1))
    middles = np.stack([x + 0.86 * rx * reach * np.cos(angle), y + 0.86 * ry * reach * np.sin(angle)], 1)
    puff = ellipse(0, 0, 0.30 * min(rx, ry))[::3]
    return [centre, *(puff * size + middle for size, middle in zip(rng.uniform(0.8, 1.3, lumps), middles, strict=True))]


def draw_tree(canvas: Canvas, frame: Frame, autumn: bool = False) -> None:
    """A broad-leaved tree, about 110 units tall and 70 wide."""
    rng = canvas.rng
    pen = canvas.pen("tree", frame)
    leaf, bark = pick(rng, AUTUMN if autumn else LEAVES), pick(rng, BARK, 0.02)
    pen.stand(30, 4)
    trunk = wood(bark, rng, upright=True)
    lean = rng.uniform(-4, 4)
    pen.fill(_ragged(rng, lean, -74, 30, ry=28), foliage(leaf * 0.55, rng), "crown", "foliage")
    pen.fill(
        [poly([(-8, 0), (-4.6, -8), (-3.6, -40), (lean - 2, -70), (lean + 2, -70), (4, -40), (5, -8), (9, 0)])],
        trunk,
        "trunk",
        "wood",
        relief=2.5,
    )
    for side, y in ((-1, -46), (1, -52), (-1, -60)):
        pen.fill(
            ribbon([(lean * 0.6, y), (lean + side * 9, y - 10), (lean + side * 17, y - 24)], (3.6, 2.4, 1)),
            trunk,
            "branch",
            "wood",
            relief=1,
        )
    n = 8 if frame.scale > 0.35 else 4
    for k in range(n):
        a = k * 2.4 + rng.uniform(-0.4, 0.4)
        d = 19 * np.sqrt((k + 0.5) / n)
        x, y, r = lean + 1.25 * d * np.cos(a), -78 + d * np.sin(a), rng.uniform(11, 14.5) * (8 / n) ** 0.3
        tone = leaf * (1.14 - 0.012 * (y + 98)) * rng.uniform(0.94, 1.06)
        pen.shadow(ellipse(x + 1, y + 3, r * 0.9), 4, 0.22, clip=[ellipse(lean, -74, 30, 28)])
        pen.fill(
            _ragged(rng, x, y, r, ry=r * 0.86, lumps=9), foliage(np.clip(tone, 0, 1), rng), "crown", "foliage", relief=5
        )


def draw_conifer(canvas: Canvas, frame: Frame, snow: bool = False) -> None:
    """A conifer, about 120 units tall and 54 wide."""
    rng = canvas.rng
    pen = canvas.pen("tree", frame)
    needle = pick(rng, ((0.13, 0.32, 0.22), (0.18, 0.36, 0.20), (0.15, 0.30, 0.27)), 0.02)
    pen.stand(24, 3.5)
    pen.fill(poly("-4.5,0 -3,-30 3,-30 4.5,0"), wood(pick(rng, BARK, 0.02), rng, True), "trunk", "wood", relief=1.5)
    for k in range(6):
        base, top, half = -14 - 16.5 * k, -44 - 15.4 * k, 28 - 4.1 * k
        teeth = [
            (x, base + (3.5 if i % 2 else -2.5) + rng.uniform(-1, 1) - 3 * (1 - abs(x) / half))
            for i, x in enumerate(np.linspace(-half, half, 11))
        ]
        tier = poly([(0, top), *teeth[::-1]])
        pen.shadow(
            poly([(0, top + 12), *[(x, y + 4) for x, y in teeth[::-1]]]),
            3,
            0.25,
            clip=[poly([(0, top + 4), (-half * 1.05, base + 12), (half * 1.05, base + 12)])],
        )
        pen.fill(tier, foliage(needle * (0.86 + 0.07 * k), rng, 1.6), "crown", "foliage", relief=5)
        if snow:
            cap = blob(
                [
                    (0, top + 1),
                    (half * 0.42, base - 11),
                    (half * 0.5, base - 7),
                    (0, base - 10),
                    (-half * 0.62, base - 6),
                    (-half * 0.5, base - 11),
                ]
            )
            pen.fill(cap, plain((0.95, 0.97, 1.0), rng, 0.02), "crown", "snow", relief=2)


def draw_palm(canvas: Canvas, frame: Frame) -> None:
    """A palm, about 110 units tall."""
    rng = canvas.rng
    pen = canvas.pen("palm", frame)
    pen.stand(22, 3)
    bend = rng.uniform(10, 22)
    line = blob([(0, 0), (bend * 0.25, -30), (bend * 0.7, -60), (bend, -86)], closed=False)
    pen.fill(ribbon(line, (9, 6.4, 5.4, 5), False), wood((0.50, 0.39, 0.27), rng), "trunk", "wood", relief=2)
    pen.mark(
        [s for x, y in line[2::3] for s in ribbon([(x - 3.6, y - 1), (x, y + 0.6), (x + 3.6, y - 1)], 0.8)],
        (0.30, 0.22, 0.15),
        opacity=0.6,
    )
    green = pick(rng, ((0.26, 0.48, 0.18), (0.34, 0.52, 0.22)), 0.02)
    for k, rise in enumerate((-12, -12, 14, 14, 48, 48, -38, -38, 72)):
        side, slope, reach = (-1) ** k, np.deg2rad(rise), rng.uniform(34, 42)
        across, up = side * reach * np.cos(slope), reach * np.sin(slope)
        mid, tip = (bend + 0.5 * across, -90 - 0.62 * up), (bend + across, -86 - 0.62 * up + 12 * np.cos(slope))
        spine = blob([(bend, -87), mid, tip], closed=False)
        leaf = foliage(green * (0.78 + 0.05 * k), rng, 1.2)
        pen.fill(ribbon(spine, (2, 8.5, 9, 5, 0.6), False), leaf, "leaf", "foliage", relief=2)
        pen.mark(ribbon(spine, (1.0, 0.3), False), np.clip(green * 1.5 + 0.1, 0, 1), opacity=0.7)
    pen.fill(
        [ellipse(bend + dx, -85 + dy, 2.8) for dx, dy in ((-3, 2), (3, 2.4), (0, 4))],
        wood((0.42, 0.28, 0.16), rng),
        "fruit",
        "",
        relief=1.2,
    )


def draw_bush(canvas: Canvas, frame: Frame, blossom: bool = False) -> None:
    """A bush, about 50 units wide and 30 tall."""
    rng = canvas.rng
    pen = canvas.pen("plant", frame)
    leaf = pick(rng, LEAVES)
    pen.stand(25, 3)
    for k, (x, y, r) in enumerate(((-12, -11, 13), (13, -11, 12.5), (0, -16, 15), (-5, -8, 10), (8, -8, 9.5))):
        pen.fill(
            _ragged(rng, x, y, r, ry=r * 0.85, lumps=9),
            foliage(leaf * (0.8 + 0.08 * k), rng, 1.8),
            "",
            "foliage",
            relief=4,
        )
    if blossom:
        petal = plain(pick(rng, PETALS), rng)
        for x, y in rng.uniform((-20, -26), (20, -4), (14, 2)):
            canvas.pen("flower", frame).fill(
                [ellipse(x + 1.6 * np.cos(a), y + 1.6 * np.sin(a), 1.5) for a in np.arange(5) * 1.2566],
                petal,
                "petal",
                "petal",
                relief=0.6,
            )


def draw_flower(canvas: Canvas, frame: Frame) -> None:
    """A flower on its stem, about 48 units tall."""
    rng = canvas.rng
    pen = canvas.pen("flower", frame)
    colour, green = pick(rng, PETALS), pick(rng, LEAVES) * 1.1
    bend = rng.uniform(-5, 5)
    pen.fill(
        ribbon([(0, 0), (bend * 0.3, -16), (bend, -36)], (1.9, 1.5)), foliage(green, rng), "stem", "foliage", relief=0.6
    )
    for side, y in ((-1, -10), (1, -16)):
        x = bend * 0.3
        pen.fill(
            blob([(x, y), (x + side * 5, y - 6), (x + side * 12, y - 7), (x + side * 7, y - 1.4)]),
            foliage(green, rng, 1.4),
            "leaf",
            "foliage",
            relief=1.2,
        )
    n = int(rng.integers(6, 11))
    turn = rng.uniform(0, 360)
    for k in range(n):
        head = pen.within(bend, -38, 1, turn + 360 * k / n)
        tone = colour * (0.92 + 0.12 * (k % 2))
        head.fill(
            blob("1.6,0 5,-2.9 9.6,-2.2 10.8,0 9.6,2.2 5,2.9"),
            plain(np.clip(tone, 0, 1), rng),
            "petal",
            "petal",
            relief=1.4,
        )
    pen.fill(
        ellipse(bend, -38, 3.4),
        grains((0.84, 0.60, 0.14) if colour[2] > 0.3 or colour[1] < 0.5 else (0.38, 0.22, 0.10), rng, 0.12),
        "pistil",
        "petal",
        relief=1.4,
    )


def draw_cactus(canvas: Canvas, frame: Frame) -> None:
    """A cactus with arms, about 80 units tall."""
    rng = canvas.rng
    pen = canvas.pen("cactus", frame)
    green = pick(rng, ((0.30, 0.47, 0.26), (0.26, 0.44, 0.32)), 0.02)
    pen.stand(16, 3)

    def ribs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return lit(green, 1 + 0.16 * np.sin(x * 2.3) + 0.03 * clouds(x * 4, y * 4, 0.8))

    left, right = rng.uniform(-34, -24), rng.uniform(-44, -34)
    for side, y, h in ((-1, left, 22), (1, right, 24)):
        pen.fill(
            ribbon([(0, y), (side * 10, y - 0.5), (side * 15, y - 6), (side * 15.5, y - h)], 8),
            ribs,
            "branch",
            "foliage",
            relief=3,
        )
    pen.fill(ribbon("0,0 0,-40 0,-74", (12.5, 13.5, 11.5)), ribs, "trunk", "foliage", relief=4)
    thorns = [ellipse(x, y, 0.42) for x in (-4, -1.3, 1.4, 4.1) for y in np.arange(-74, -3, 5.5)]
    pen.mark(thorns, (0.93, 0.90, 0.76), opacity=0.8)


def draw_rock(canvas: Canvas, frame: Frame, tone: Colour = (0.55, 0.52, 0.49), object: str = "rock") -> None:
    """A boulder, about 50 units wide and 32 tall."""
    rng = canvas.rng
    pen = canvas.pen(object, frame)
    pen.stand(26, 3)
    corners = ((-24, 0), (-25, -12), (-15, -24), (0, -31), (13, -27), (22, -15), (25, 0))
    p = [(x + rng.uniform(-3, 3), y + rng.uniform(-3, 3) * (y < 0)) for x, y in corners]
    body = poly(p)
    pen.fill(body, stone(pick(rng, (tone,), 0.03), rng), "", "stone", relief=5, fade=0.2)
    pen.mark(
        poly([p[2], p[3], p[4], (p[4][0] - 6, p[4][1] + 9), (p[2][0] + 8, p[2][1] + 8)]),
        (1, 1, 1),
        clip=body,
        opacity=0.13,
    )
    pen.mark(poly([p[4], p[5], p[6], (p[4][0] - 2, 0), (p[4][0] - 6, p[4][1] + 9)]), (0, 0, 0), clip=body, opacity=0.20)


def draw_cloud(canvas: Canvas, frame: Frame, tint: Colour = (1.0, 1.0, 1.0)) -> None:
    """A cumulus cloud, about 70 units wide; the origin is its middle."""
    rng = canvas.rng
    pen = canvas.pen("cloud", frame)
    base = np.asarray(tint) * (0.86, 0.89, 0.94)
    puffs = [(-22, 2, 11), (22, 3, 10), (-9, -4, 14), (10, -3, 13), (0, 3, 14)]
    shape = [ellipse(x + rng.uniform(-3, 3), y, r * rng.uniform(0.85, 1.15), r * 0.8) for x, y, r in puffs]
    shape.append(box(-31, 2, 31, 12, r=5))

    def body(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return mix(tint, base, (y + 9) / 20 + 0.12 * clouds(x * 1.5, y * 1.5, 1.7))

    pen.fill(shape, body, relief=4)


def add_sun(
    canvas: Canvas, x: float, y: float, r: float = 11, *, colour: Colour = (1.0, 0.93, 0.70), object: str = "sun"
) -> None:
    """The sun or the moon with its halo, in pixels."""
    canvas.glow(x, y, r * 3.2, colour=np.asarray(colour), strength=0.30)
    canvas.pen(object).fill(
        ellipse(x, y, r),
        plain(np.clip(np.asarray(colour) * 1.05, 0, 1), canvas.rng, 0.04 if object == "moon" else 0.0),
        glowing=True,
    )


def add_sky(canvas: Canvas, horizon: float, top: Colour, bottom: Colour) -> None:
    """The sky down to the horizon, in pixels."""
    canvas.pen("sky").fill(box(0, 0, SIZE, horizon + 2), vertical(top, bottom, 0, horizon, noise=0.03, rng=canvas.rng))


def draw_seaweed(canvas: Canvas, frame: Frame) -> None:
    """Ribbons of seaweed, about 60 units tall."""
    rng = canvas.rng
    pen = canvas.pen("seaweed", frame)
    green = pick(rng, ((0.20, 0.45, 0.24), (0.35, 0.46, 0.16), (0.42, 0.30, 0.18)))
    for x in (-10, -3, 4, 11):
        h, sway = rng.uniform(35, 65), rng.uniform(3, 7) * rng.choice((-1, 1))
        path = [(x, 0), (x + sway, -h * 0.33), (x - sway, -h * 0.66), (x + sway * 0.6, -h)]
        pen.fill(
            ribbon(path, (2.5, 5, 4.5, 1)), foliage(green * rng.uniform(0.85, 1.2), rng, 1.2), "", "foliage", relief=1.2
        )


def draw_coral(canvas: Canvas, frame: Frame) -> None:
    """A branching coral, about 45 units tall."""
    rng = canvas.rng
    pen = canvas.pen("coral", frame)
    colour = pick(rng, ((0.90, 0.42, 0.36), (0.93, 0.62, 0.34), (0.78, 0.36, 0.58), (0.90, 0.80, 0.60)))
    rough = grains(colour, rng, 0.10)

    def grow(x: float, y: float, angle: float, length: float, *, width: float) -> None:
        ex, ey = x + length * np.sin(angle), y - length * np.cos(angle)
        pen.fill(ribbon([(x, y), (ex, ey)], (width, width * 0.75), False), rough, "branch", "coral", relief=width * 0.4)
        if length > 8:
            for turn in (-0.5, 0.42):
                grow(
                    ex, ey, angle + turn + rng.uniform(-0.15, 0.15), length * rng.uniform(0.66, 0.8), width=width * 0.74
                )

    for a in (-0.4, 0.05, 0.5):
        grow(0, 0, a, 16, width=6)

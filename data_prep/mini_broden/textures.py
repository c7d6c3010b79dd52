"""Full-frame pictures of the describable textures (names of Cimpoi et al. 2014, DTD).

    draw_texture("chequered", np.random.default_rng(0))       # (224, 224, 3) in [0, 1]

Each texture is a field of plane coordinates; the plane is turned, tilted in depth and gently warped before it is drawn, and it
is lit from one side. Edges are smooth by construction, or drawn at twice the size and reduced.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .shapes import SIZE, as_rgb
from .surfaces import clouds, lit, mix, speckle

Grid = np.ndarray
"""(h, w) coordinates in pixels of the plane, or (h, w, 3) colours."""
Palette = list[np.ndarray]
"""Four colours, (3,) float32 each."""

WHITE = np.ones(3, np.float32)
PALETTES = (
    ("1d3557", "f1faee", "e63946", "a8dadc"),
    ("264653", "e9c46a", "e76f51", "2a9d8f"),
    ("3d2b1f", "e8d8c3", "a0522d", "c9a27e"),
    ("222222", "f4f4f4", "8a8a8a", "c4c4c4"),
    ("5f0f40", "fcefe3", "fb8b24", "9a031e"),
    ("14213d", "fca311", "e5e5e5", "3f5f9f"),
    ("31572c", "ecf39e", "90a955", "4f772d"),
    ("5a189a", "f7e9ff", "c77dff", "e0aaff"),
    ("b5446e", "fdf0d5", "ff9fb2", "7d2e4f"),
    ("0b3c49", "f2efe9", "5ba4b0", "e3b04b"),
)


def draw_texture(name: str, rng: np.random.Generator) -> np.ndarray:
    """The texture `name` of `TEXTURES` as (224, 224, 3) float32 in [0, 1]."""
    fine = 2 if name in _HARD_EDGED else 1
    grid = (np.arange(fine * SIZE, dtype=np.float32) + 0.5) / fine - SIZE / 2
    x, y = np.meshgrid(grid, grid)
    turn = rng.uniform(0, np.pi) if name not in _UPRIGHT else rng.uniform(-0.35, 0.35)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    depth = 1 + (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)).astype(np.float32) * np.float32(0.0012)
    warp = np.float32(rng.uniform(0, 2.0))
    ox, oy = rng.uniform(0, 256, 2)
    u = (c * x + s * y) / depth + warp * clouds(x * 0.12 + ox, y * 0.12 + oy, 2.2)
    v = (c * y - s * x) / depth + warp * clouds(x * 0.12 + oy, y * 0.12 + ox, 2.2)
    palette = [np.array(list(bytes.fromhex(h)), np.float32) / 255 for h in PALETTES[rng.integers(len(PALETTES))]]
    if rng.random() < 0.35:
        palette[:2] = palette[1::-1]
    rgb = TEXTURES[name](u=u, v=v, size=np.float32(rng.uniform(0.75, 1.35)), p=palette, rng=rng)
    rgb = (
        rgb
        * (1 + 0.025 * speckle(x * 1.5 + ox, y * 1.5 + oy) + 0.03 * clouds(x * 0.4 + oy, y * 0.4 + ox, 1.5))[..., None]
    )
    side = rng.uniform(0, 2 * np.pi)
    light = 1 + np.float32(0.0016 * rng.uniform(0.2, 1)) * (np.cos(side) * x + np.sin(side) * y)
    rgb = np.clip(rgb * light[..., None], 0, 1).astype(np.float32)
    return rgb.reshape(SIZE, fine, SIZE, fine, 3).mean((1, 3))


def _step(distance: np.ndarray, soft: float = 0.6) -> np.ndarray:
    """0 where the distance (pixels) is below 0, 1 above, over `soft` pixels."""
    return np.clip(distance / soft + 0.5, 0, 1)


def _cells(
    u: np.ndarray, v: np.ndarray, size: float, rng: np.random.Generator, *, jitter: float = 0.5
) -> tuple[Grid, ...]:
    """Scattered points, one a cell of `size` pixels. Gives the distances to the nearest and to the second nearest, the
    nearest one's id, and the position (right, down) relative to it, all in pixels."""
    seeds = rng.uniform(0.5 - jitter, 0.5 + jitter, (64, 64, 2)).astype(np.float32)
    a, b = u / np.float32(size), v / np.float32(size)
    i, j = np.floor(b).astype(np.int32), np.floor(a).astype(np.int32)
    first = np.full(u.shape, np.inf, np.float32)
    second, right, down = first.copy(), first.copy(), first.copy()
    who = np.zeros(u.shape, np.int32)
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            at = ((i + di) & 63) * 64 + ((j + dj) & 63)
            seed = seeds.reshape(-1, 2)[at]
            x, y = a - (j + dj) - seed[..., 0], b - (i + di) - seed[..., 1]
            d = np.sqrt(x * x + y * y)
            second = np.minimum(second, np.maximum(d, first))
            nearer = d < first
            first = np.minimum(first, d)
            who, right, down = np.where(nearer, at, who), np.where(nearer, x, right), np.where(nearer, y, down)
    return first * size, second * size, who, right * size, down * size


def _hash(n: np.ndarray) -> np.ndarray:
    """A repeatable number in [0, 1) for each integer."""
    return ((n.astype(np.int64) * 2654435761 + 12345) % 4093 / 4093).astype(np.float32)


def _striped(*, u: Grid, v: Grid, size: float, p: Palette, rng: np.random.Generator) -> Grid:
    period = 15 * size
    share = rng.uniform(0.35, 0.6)
    return mix(p[0], p[1], _step((np.abs(v / period - np.round(v / period)) - share / 2) * period, 0.8))


def _chequered(*, u: Grid, v: Grid, size: float, p: Palette, rng: np.random.Generator) -> Grid:
    side = 20 * size
    a, b = np.sin(np.pi * u / side), np.sin(np.pi * v / side)
    return mix(p[0], p[1], _step(np.sign(a * b) * np.minimum(np.abs(a), np.abs(b)) * side / np.pi, 0.8))


def _lattice(u: Grid, v: Grid, side: float) -> tuple[Grid, Grid]:
    """Distance to the middle of the nearest cell of a square lattice, odd rows shifted by half, and that cell's id."""
    row = np.round(v / side)
    shifted = u / side + 0.5 * (row % 2)
    col = np.round(shifted)
    return np.hypot((shifted - col) * side, v - row * side), (row * 61 + col).astype(np.int32)


def _dotted(*, u: Grid, v: Grid, size: float, p: Palette, rng: np.random.Generator) -> Grid:
    d, _, who, _, _ = _cells(u, v, 8.5 * size, rng, jitter=0.36)
    radius = (1.2 + 1.6 * _hash(who)) * size
    dots = np.stack([p[0], p[2], p[0]])[who % 3]
    return dots + (p[1] - dots) * _step(d - radius, 0.8)[..., None]


def _cracked(*, u: Grid, v: Grid, size: float, p: Palette, rng: np.random.Generator) -> Grid:
    rough = 3.0 * clouds(u * 0.8, v * 0.8, 1.4), 3.0 * clouds(v * 0.8 + 90, u * 0.8, 1.4)
    first, second, who, _, _ = _cells(u + rough[0], v + rough[1], 40 * size, rng)
    gap = second - first
    fine_first, fine_second, _, _, _ = _cells(u + rough[1], v + rough[0], 15 * size, rng)
    fine = (fine_second - fine_first) + 1.5 * np.clip(1.3 * clouds(u * 0.2, v * 0.2, 1.8), -0.4, 3)
    dry = mix(p[3], p[1] * 0.9, 0.5 + 0.3 * clouds(u * 0.7, v * 0.7, 1.5)) * (0.9 + 0.2 * _hash(who))[..., None]
    edge = 0.75 + 0.25 * np.clip(gap / 7, 0, 1)
    cover = _step(gap - 2.4 - clouds(u * 0.3, v * 0.3), 1.2) * (0.45 + 0.55 * _step(fine - 0.7, 0.8))
    return mix(p[0] * 0.35, WHITE, cover) * dry * edge[..., None]


def _grid(*, u: Grid, v: Grid, size: float, p: Palette, rng: np.random.Generator) -> Grid:
    side, bar = 21 * size, rng.uniform(1.4, 3.2)
    to_line = np.minimum(np.abs(u / side - np.round(u / side)), np.abs(v / side - np.round(v / side))) * side
    return mix(p[0], p[1], _step(to_line - bar, 0.8))


def _honeycombed(*, u: Grid, v: Grid, size: float, p: Palette, rng: np.random.Generator) -> Grid:
    side = 19 * size
    a, b = np.float32(side), np.float32(side * np.sqrt(3))
    centred = [(u - np.round(u / a + h) * a + h * a, v - np.round(v / b + h) * b + h * b) for h in (0.0, 0.5)]
    nearer = np.hypot(*centred[0]) < np.hypot(*centred[1])
    x, y = (np.where(nearer, m, n) for m, n in zip(*centred, strict=True))
    wall = side / 2 - np.maximum(np.abs(x), np.abs(x) / 2 + np.abs(y) * np.float32(np.sqrt(3) / 2))
    depth = np.clip(wall / (side / 2), 0, 1) ** 0.6
    shade = 1.15 - 0.75 * depth + 0.012 * (x + y) * (19 / side)
    comb = as_rgb((0.93, 0.62, 0.16)) if rng.random() < 0.5 else p[2]
    cell = lit(comb * 0.8, shade)
    return cell + (np.clip(comb * 0.9 + 0.25, 0, 1) - cell) * _step(2.2 - wall, 1.0)[..., None]


def _marbled(*, u: Grid, v: Grid, size: float, p: Palette, rng: np.random.Generator) -> Grid:
    a, b = u * 0.35 / size, v * 0.35 / size
    swirl = clouds(a + 6 * clouds(a * 0.5, b * 0.5, 2.0), b + 6 * clouds(b * 0.5 + 50, a * 0.5, 2.0), 1.7)
    vein = np.abs(np.sin(a * 0.16 + b * 0.10 + 1.9 * swirl))
    thin = np.abs(clouds(a * 1.4 + 30, b * 1.4 + 4 * swirl, 1.7))
    pale, deep = (p[1], p[0]) if p[1].sum() > p[0].sum() else (p[0], p[1])
    ground = mix(pale * 0.97, pale * 0.45 + p[3] * 0.5, 0.45 + 0.35 * swirl)
    ground = mix(deep * 0.5 + p[3] * 0.5, WHITE, vein / 0.16)[..., :] * ground
    return ground * (0.62 + 0.38 * np.clip(thin / 0.06, 0, 1))[..., None]


def _scaly(*, u: Grid, v: Grid, size: float, p: Palette, rng: np.random.Generator) -> Grid:
    side = 20 * size
    best = np.zeros((*u.shape, 3), np.float32)
    row0 = np.floor(v / (side * 0.5)).astype(np.int32)
    for k in (1, 0, -1):
        row = row0 - k + 1
        col = np.round(u / side + 0.5 * (row % 2))
        x, y = (u - (col - 0.5 * (row % 2)) * side), v - (row - 0.5) * side * 0.5
        d = np.hypot(x, y * 0.95) / (side * 0.62)
        hue = _hash((row * 61 + col).astype(np.int32))
        scale = mix(p[2], p[3], hue * 0.6 + 0.2) * (1.15 - 0.55 * d**2 - 0.010 * x)[..., None]
        scale = scale + (p[0] * 0.5 - scale) * np.clip(d * 9 - 8, 0, 1)[..., None]
        best = np.where((d < 1)[..., None], scale, best)
    return best


def _spiralled(*, u: Grid, v: Grid, size: float, p: Palette, rng: np.random.Generator) -> Grid:
    x, y = u - np.float32(rng.uniform(-30, 30)), v - np.float32(rng.uniform(-30, 30))
    r, angle = np.hypot(x, y) + 1e-3, np.arctan2(y, x)
    arms = rng.integers(1, 4)
    if rng.random() < 0.5:
        phase, width = r / (24 * size) * arms**0.5 + arms * angle / (2 * np.pi), 24 * size / arms**0.5
    else:
        phase = 1.6 * np.log(r / 4) + (arms + 1) * angle / (2 * np.pi)
        width = r / 2.2
    distance = (np.abs(phase - np.round(phase)) - 0.24) * width
    return mix(p[0], p[1], _step(distance, 1.0)) * (0.92 + 0.08 * np.cos(2 * np.pi * phase))[..., None]


def _woven(*, u: Grid, v: Grid, size: float, p: Palette, rng: np.random.Generator) -> Grid:
    side = 17 * size
    a, b = u / side, v / side
    over = (np.floor(a) + np.floor(b)) % 2 == 0
    x, y = a - np.floor(a) - 0.5, b - np.floor(b) - 0.5
    across, along = np.where(over, x, y), np.where(over, y, x)
    fibre = np.where(over, clouds(u * 3, v * 0.25, 0.6), clouds(v * 3, u * 0.25, 0.6))
    strand = np.where(over[..., None], p[2], p[3] * 0.6 + p[1] * 0.4)
    value = (1.08 - 1.5 * across**2) * (1.05 - 1.6 * along**2) + 0.07 * fibre
    gap = _step((0.45 - np.abs(across)) * side, 1.0)
    under = np.where(over[..., None], p[3] * 0.6 + p[1] * 0.4, p[2]) * 0.42
    return under + (strand * value[..., None] - under) * gap[..., None]


def _zigzagged(*, u: Grid, v: Grid, size: float, p: Palette, rng: np.random.Generator) -> Grid:
    period, reach = 24 * size, rng.uniform(6, 11) * size
    tooth = np.abs(u / period - np.floor(u / period) - 0.5) * 4 - 1
    place = (v + reach * tooth) / (30 * size)
    k = np.floor(place * 2).astype(np.int32)
    colours = np.stack([p[0], p[1], p[2], p[1]])
    into = (place * 2 - k) * 15 * size * 0.8
    before = colours[(k - 1) % 4]
    return before + (colours[k % 4] - before) * _step(into, 1.0)[..., None]


TEXTURES: dict[str, Callable[..., Grid]] = {
    "chequered": _chequered,
    "cracked": _cracked,
    "dotted": _dotted,
    "grid": _grid,
    "honeycombed": _honeycombed,
    "marbled": _marbled,
    "scaly": _scaly,
    "spiralled": _spiralled,
    "striped": _striped,
    "woven": _woven,
    "zigzagged": _zigzagged,
}
_UPRIGHT = ("scaly",)
_HARD_EDGED = ("scaly", "woven", "spiralled")

"""A sheet of images of a set with their labels drawn over them, to see at a glance whether labels lie where they should.

preview(open_broden("sets/coco")).save("preview.png")
"""

from __future__ import annotations

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data_prep.broden import Broden
from data_prep.broden_writer import hash_share
from data_prep.common.pictures import IMAGE_ERRORS, open_picture, rgb_picture
from data_prep.formats import BadImageError

SIDE, LINES, LINE, COLUMNS, GAP = 240, 7, 15, 4, 10
"""Pixels of an image, lines of its key and pixels of a line, images in a row, pixels between them."""
OVERLAY = 0.5
LEFT_OUT = "color"
"""The category that is not drawn: it covers everything."""


def preview(data: Broden, n_images: int = 12) -> Image.Image:
    """The first images by the hash of their names, each with its labels in colour and their names below, largest first."""
    order = sorted(range(len(data.images)), key=lambda index: hash_share(data.images[index].name, "preview"))[:n_images]
    rows = -(-len(order) // COLUMNS)
    wide, high = SIDE + GAP, SIDE + LINES * LINE + GAP
    sheet = Image.new("RGB", (min(COLUMNS, len(order)) * wide + GAP, rows * high + GAP), "white")
    for place, index in enumerate(order):
        corner = GAP + place % COLUMNS * wide, GAP + place // COLUMNS * high
        sheet.paste(_tile(data, index), corner)
    return sheet


def _colour(place: int) -> tuple[int, int, int]:
    """A bright colour for the first, second, ... label of an image: hues that follow each other are far apart (golden angle)."""
    red, green, blue = colorsys.hsv_to_rgb(place * 0.381966 % 1, 0.9, (0.95, 0.6)[place // 8 % 2])
    return round(red * 255), round(green * 255), round(blue * 255)


def _tile(data: Broden, index: int) -> Image.Image:
    record = data.images[index]
    tile = Image.new("RGB", (SIDE, SIDE + LINES * LINE), "white")
    draw = ImageDraw.Draw(tile)
    try:
        labels = data.read_labels(index)
        with open_picture(record.path) as picture:
            pixels = np.asarray(rgb_picture(picture, record.image_shape).resize((SIDE, SIDE))).astype(float)
    except (BadImageError, *IMAGE_ERRORS) as error:
        draw.text((0, 0), f"{record.name}: {error}"[:200], "black", ImageFont.load_default(11))
        return tile
    rows, columns = (np.arange(SIDE) * side // SIDE for side in labels.shape)
    masks: dict[int, np.ndarray] = {}
    for plane, category in zip(labels.planes, labels.plane_category.tolist(), strict=True):
        for concept in np.unique(plane[plane >= 0]).tolist() if data.categories[category] != LEFT_OUT else ():
            masks[concept] = masks.get(concept, False) | (plane == concept)[rows[:, None], columns]
    drawn = sorted(masks, key=lambda concept: -int(masks[concept].sum()))
    for place, concept in enumerate(drawn):
        pixels[masks[concept]] = (1 - OVERLAY) * pixels[masks[concept]] + OVERLAY * np.array(_colour(place))
    tile.paste(Image.fromarray(pixels.astype(np.uint8)), (0, 0))
    whole = labels.whole_image.tolist()
    key = [
        *((data.concepts[c], (255, 255, 255)) for c in whole),
        *((data.concepts[c], _colour(k)) for k, c in enumerate(drawn)),
    ]
    for line, (concept, colour) in enumerate(key[:LINES]):
        more = f" and {len(key) - LINES} more" if line == LINES - 1 and len(key) > LINES else ""
        top = SIDE + line * LINE
        draw.rectangle((0, top + 3, 9, top + 12), colour, "grey")
        draw.text((14, top), f"{concept.name} ({concept.category}){more}"[:40], "black", ImageFont.load_default(11))
    return tile

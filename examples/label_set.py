"""A label set of one's own code: what is labelled is computed instead of read from files.

    dissect run mdl:imagenet12 --layers 18 22 --data examples/label_set.py:brightness

Every photograph of the embedded set is labelled by its light: a pixel is dark, or bright, or neither. Whatever yields images
and label maps can stand here in its place: an annotation format that nobody imports yet, a renderer, a segmentation network.
`dissect` asks for no more than what `data_prep.LabelledImages` lists.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

import data_prep
from data_prep import Concept, ImageLabels, ImageRecord

DARK, BRIGHT = 60, 200
"""Grey values of 0..255 below and above which a pixel is labelled."""


class Brightness:
    """`Brightness(images, root)`: two concepts of the category `light`."""

    name = "brightness"
    categories = ("light",)
    concepts = (Concept(1, "dark", "light"), Concept(2, "bright", "light"))

    def __init__(self, images: list[ImageRecord], image_root: Path) -> None:
        self.images, self.image_root = images, image_root

    def read_labels(self, index: int) -> ImageLabels:
        """One plane, in which a pixel holds the place of its concept in `concepts`, or -1."""
        height, width = self.images[index].label_shape
        with Image.open(self.images[index].path) as picture:
            grey = np.asarray(picture.convert("L").resize((width, height)))
        plane = np.where(grey < DARK, 0, np.where(grey > BRIGHT, 1, -1)).astype(np.int32)
        category = np.zeros(1, np.int32)  # of each plane
        return ImageLabels(planes=plane[None], plane_category=category, whole_image=np.zeros(0, np.int32))

    def fingerprint(self) -> str:
        """Changes when the set does, so that no run is resumed on other labels."""
        digest = hashlib.sha256(f"{DARK} {BRIGHT}".encode())
        for image in self.images:
            digest.update(image.name.encode() + image.path.read_bytes())
        return digest.hexdigest()


def brightness(split: str | None = None) -> Brightness:
    """The factory. What it has arguments for, `--split` and `--categories` can ask of it."""
    embedded = data_prep.open_embedded(split=split)
    return Brightness(list(embedded.images), embedded.image_root)

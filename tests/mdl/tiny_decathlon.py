"""A decathlon of three domains and 66 images in the official layout, and how the tests run `mdl` on it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mdl.cli import main

TINY = (
    "epochs=1", "batch_size=8", "width.separable=2", "width.plain=2", "input.resize=18", "input.crop=16", "drops=[]",
)  # fmt: skip
CLASSES = {"imagenet12": 4, "dtd": 3, "svhn": 2}
NUMBER = {"imagenet12": 6, "dtd": 4, "svhn": 8}


def write_decathlon(root: Path) -> Path:
    """Three domains in the official layout, a few 20 px images of one colour a class."""
    (root / "annotations").mkdir(parents=True)
    for domain, n_classes in CLASSES.items():
        categories = [
            {"id": NUMBER[domain] * 10**7 + k + 1, "name": f"c{k}", "supercategory": domain} for k in range(n_classes)
        ]
        rng = np.random.default_rng(NUMBER[domain])
        colours = rng.integers(40, 216, (n_classes, 3))
        for number, (split, n) in enumerate({"train": 12, "val": 4, "test": 6}.items()):
            images, annotations = [], []
            for i in range(n):
                image_id = NUMBER[domain] * 10**7 + number * 10**5 + i + 1
                name = f"data/{domain}/{split}/{i:06}.jpg"
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                pixels = np.clip(colours[i % n_classes] + rng.normal(0, 9, (20, 20, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / name)
                images.append({"id": image_id, "width": 20, "height": 20, "file_name": name})
                row = {"id": image_id, "image_id": image_id, "category_id": categories[i % n_classes]["id"]}
                annotations.append({**row, "segmentation": [], "area": 0, "bbox": [], "iscrowd": 0})
            whole = {"info": {}, "images": images, "annotations": annotations, "categories": categories, "licenses": []}
            (root / "annotations" / f"{domain}_{split}.json").write_text(json.dumps(whole))
    return root


COMMON = ("--data", "tiny", "--cache", "cache", "--threads", "1", "--set", *TINY)
ROW = Path("runs/decathlon/tiny")


def run(*args: str) -> int:
    """The exit status of `mdl`."""
    with pytest.raises(SystemExit) as done:
        main(args)
    return done.value.code or 0

"""A Broden set of small drawn images, one object map and one scene each.

root = write_broden(tmp_path / "set", n_images=60)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from data_prep.formats import encode_label_map

LABELS = {"object": {1: "thing", 2: "animal", 3: "cloud"}, "scene": {4: "street", 5: "field"}}


def write_broden(root: Path, n_images: int) -> Path:
    (root / "images").mkdir(parents=True)
    rows = ["number,name,category,frequency,coverage,syns"]
    for category, names in LABELS.items():
        table = ["code,number,name,frequency,coverage", *(f"{n},{n},{name},20,1" for n, name in names.items())]
        (root / f"c_{category}.csv").write_text("\n".join(table) + "\n")
        rows += [f"{n},{name},{category}(20),20,1," for n, name in names.items()]
    (root / "label.csv").write_text("\n".join(rows) + "\n")
    (root / "category.csv").write_text("name,first,last,count,frequency\nobject,1,3,3,60\nscene,4,5,2,60\n")
    rng = np.random.default_rng(0)
    index = ["image,split,ih,iw,sh,sw,object,scene"]
    for n in range(n_images):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(root / f"images/{n}.png")
        numbers = np.kron(rng.integers(0, 4, (2, 2)), np.ones((6, 6), int))
        Image.fromarray(encode_label_map(numbers)).save(root / f"images/{n}_object.png")
        index.append(f"{n}.png,train,16,16,12,12,{n}_object.png,{4 + n % 2}")
    (root / "index.csv").write_text("\n".join(index) + "\n")
    return root

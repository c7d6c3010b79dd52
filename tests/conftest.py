"""Sets of labelled images that tests share: a tiny one made by hand, and real images where they are at hand."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from real_data import real_data

from data_prep.formats import encode_label_map

# Tests that send signals are right only where they are heard; a shell that starts jobs in the background, and nohup, ignore some.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _name in ("SIGHUP", "SIGQUIT"):
    signal.signal(signal.Signals[_name], signal.SIG_DFL)

TABLES = {
    # The order of the categories is neither that of the alphabet nor that of the columns of the index.
    "category.csv": """name,first,last,count,frequency
color,1,2,2,3
part,3,5,2,2
object,4,300,2,3
material,3,3,1,1
scene,6,8,2,3
""",
    "label.csv": """number,name,category,frequency,coverage,syns
1,red-c,color(2),2,1.0,
2,green-c,color(1),1,0.5,"lime, light;pea"
3,hair,part(1);material(1),2,0.5,
4,cat,object(2),2,1.5,
5,wheel,part(1),1,0.1,
6,street-s,scene(2),2,2.0,
8,"yard, back-s",scene(1),1,1.0,
300,lamp,object(1),1,0.25,light
""",
    "c_color.csv": "code,number,name,frequency,coverage\n1,1,red-c,2,1.0\n2,2,green-c,1,0.5\n",
    "c_part.csv": "code,number,name,frequency,coverage\n1,3,hair,1,0.25\n2,5,wheel,1,0.1\n",
    "c_object.csv": "code,number,name,frequency,coverage\n1,4,cat,2,1.5\n2,300,lamp,1,0.25\n",
    "c_material.csv": "code,number,name,frequency,coverage\n1,3,hair,1,0.25\n",
    "c_scene.csv": 'code,number,name,frequency,coverage\n1,6,street-s,2,2.0\n2,8,"yard, back-s",1,1.0\n',
    "index.csv": """image,split,ih,iw,sh,sw,color,object,part,material,scene
a/one.jpg,train,32,32,8,8,a/one_color.png,a/one_object_1.png;a/one_object_2.png,a/one_part.png,a/one_material.png,6
a/two.jpg,val,24,40,6,10,a/two_color.png,,,,
b/three.jpg,train,32,32,8,8,,,,,6;8
b/four.jpg,val,32,32,4,4,,b/four_object.png;4,,,
""",
}


def _label_maps() -> dict[str, np.ndarray]:
    """Label numbers of each map. In `one`, the corner is a cat in both object planes and hair as part and as material."""
    maps = {name: np.zeros((8, 8), int) for name in ("color", "object_1", "object_2", "part", "material")}
    maps["color"][:4], maps["color"][4:] = 1, 2
    maps["object_1"][:4, :4] = 4
    maps["object_2"][:2, :2], maps["object_2"][6:, 6:] = 4, 300
    maps["part"][:2, :4], maps["part"][7, 7] = 3, 5
    maps["material"][:2, :4] = 3
    four = np.zeros((4, 4), int)
    four[3] = 4
    return {f"a/one_{name}": numbers for name, numbers in maps.items()} | {
        "a/two_color": np.ones((6, 10), int),
        "b/four_object": four,
    }


@pytest.fixture
def tiny_broden(tmp_path: Path) -> Path:
    """The folder of a Broden set of four images that a test may damage as it likes.

    one: six label maps of 8 x 8 and a scene; two: one map of 6 x 10; three: two image-level labels and no map;
    four: an object map of 4 x 4 and an image-level object. `hair` serves two categories; `lamp` needs two bytes.
    """
    root = tmp_path / "tiny"
    for folder in ("a", "b"):
        (root / "images" / folder).mkdir(parents=True)
    for file, text in TABLES.items():
        (root / file).write_text(text, encoding="utf-8")
    for name, numbers in _label_maps().items():
        Image.fromarray(encode_label_map(numbers)).save(root / "images" / f"{name}.png")
    rng = np.random.default_rng(0)
    for name, shape in {"a/one": (32, 32), "a/two": (24, 40), "b/three": (32, 32), "b/four": (32, 32)}.items():
        Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(root / "images" / f"{name}.jpg")
    return root


@pytest.fixture(scope="session")
def broden_real() -> Path:
    """Real photographs in the Broden layout; they are no part of the repository."""
    return real_data("broden_real")


@pytest.fixture(scope="session")
def decathlon_mini() -> Path:
    """Six real domains in the official layout; they are no part of the repository."""
    return real_data("decathlon_mini")

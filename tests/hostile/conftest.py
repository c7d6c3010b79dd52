"""What hostile cases share: one small run, finished and interrupted, made once; and a box that nothing may leave.

A case damages something in the box, in a way that its seed decides, and gives it to a command. Each ends in a documented error,
in a counted skip or in the right result: never in a traceback, a file outside the box's own folders, or a changed number.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile_box import N_IMAGES, NETS, SETTINGS, TIGHT, command
from PIL import Image

import dissect
from data_prep.broden import open_broden
from data_prep.formats import encode_label_map
from reports import page


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Reports without figures, and one thread."""
    real = page.write_report
    monkeypatch.setattr(page, "write_report", lambda folder, out=None: real(folder, figures=(), out=out))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Broden set of small images with one object map each, and scenes."""
    root = tmp_path_factory.mktemp("hostile") / "labels"
    (root / "images").mkdir(parents=True)
    members = {"object": {1: "thing", 2: "animal", 3: "cloud"}, "scene": {4: "street", 5: "field"}}
    rows = ["number,name,category,frequency,coverage,syns"]
    for category, names in members.items():
        table = ["code,number,name,frequency,coverage", *(f"{n},{n},{name},9,1" for n, name in names.items())]
        (root / f"c_{category}.csv").write_text("\n".join(table) + "\n")
        rows += [f"{n},{name},{category}(9),9,1," for n, name in names.items()]
    (root / "label.csv").write_text("\n".join(rows) + "\n")
    (root / "category.csv").write_text("name,first,last,count,frequency\nobject,1,3,3,9\nscene,4,5,2,9\n")
    rng = np.random.default_rng(0)
    index = ["image,split,ih,iw,sh,sw,object,scene"]
    for n in range(N_IMAGES):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(root / f"images/{n}.png")
        numbers = np.kron(rng.integers(0, 4, (2, 2)), np.ones((6, 6), int))
        Image.fromarray(encode_label_map(numbers)).save(root / f"images/{n}_object.png")
        index.append(f"{n}.png,train,16,16,12,12,{n}_object.png,{4 + n % 2}")
    (root / "index.csv").write_text("\n".join(index) + "\n")
    return root


@pytest.fixture(scope="session")
def finished(labels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; only copies of it are damaged."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert command("run", f"{NETS}:small", "--data", labels, "--out", folder, *SETTINGS).status == 0
    return folder


@pytest.fixture(scope="session")
def other_run(labels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another finished run of the same network, whose files have the same shapes."""
    folder = tmp_path_factory.mktemp("other") / "run"
    said = command("run", f"{NETS}:small", "--data", labels, "--out", folder, *SETTINGS, "--seed", 1, "--domains", "d")
    assert said.status == 0
    return folder


@pytest.fixture(scope="session")
def interrupted(labels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run with the first of two networks finished, stopped in the middle of the second, with maps in files."""
    folder = tmp_path_factory.mktemp("interrupted") / "run"

    def press(stage: str, done: int, _total: int) -> None:
        if stage.startswith("b: forward") and done == 16:
            signal.raise_signal(signal.SIGINT)

    networks = [dissect.load_network(f"{NETS}:small", name=name) for name in ("a", "b")]
    execution = dissect.Execution(batch_size=4, memory=float(TIGHT[1]))
    with pytest.raises(KeyboardInterrupt):
        dissect.run(
            networks, open_broden(labels), out=folder, layers=["1", "2"], progress=press, execution=execution,
            settings=dissect.Settings(quantile=0.9, folds=3, strongest=2),
        )  # fmt: skip
    assert len(list((folder / "partial/b").glob("candidates-*.npz"))) > 1 and (folder / "counts/a.npz").exists()
    return folder


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Path]:
    """A folder two floors down: what is in it besides `run`, `exported` and `report`, and anything above it, stays as it is."""
    inner = tmp_path / "upper" / "box"
    inner.mkdir(parents=True)
    (tmp_path / "bystander").write_text("mine")
    yield inner
    strays = {
        path.relative_to(tmp_path).as_posix()
        for path in (*tmp_path.iterdir(), *inner.parent.iterdir(), *inner.iterdir())
    }
    own = {"upper", "bystander", "upper/box", *(f"upper/box/{name}" for name in ("run", "exported", "report", "other"))}
    assert strays <= own and (tmp_path / "bystander").read_text() == "mine"


@pytest.fixture
def damaged(box: Path) -> Callable[[Path], Path]:
    """`damaged(finished)`: a copy in the box."""
    return lambda folder: Path(shutil.copytree(folder, box / "run"))

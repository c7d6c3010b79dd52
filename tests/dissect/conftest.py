"""The command on tiny networks and sets, in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Said, sentence
from PIL import Image

from data_prep.formats import encode_label_map
from dissect import cli


@pytest.fixture
def nets(tmp_path: Path) -> str:
    """The file `small_networks.py` in a folder of the test's own."""
    return str(shutil.copy(Path(__file__).with_name("small_networks.py"), tmp_path / "nets.py"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For networks so small that PyTorch's threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def dissect(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> Callable[..., Said]:
    """`dissect("run", ...)`: the command in this process, without drawing the report."""
    monkeypatch.setattr("reports.page.write_report", lambda folder, out=None: Path(out or folder) / "report.html")

    def call(*args: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(arg) for arg in args])
        return Said(ended.value.code, *capsys.readouterr())

    return call


@pytest.fixture
def run(dissect, nets: str, tiny_broden: Path, out: Path) -> Callable[..., Said]:
    """`run("--layers", 1)`: the small network on the tiny set, unless told otherwise; it ends well."""

    def call(*args: object, network: str = "small", **options: object) -> Said:
        options = {"data": tiny_broden, "out": out, **options}
        given = [text for name, value in options.items() for text in (f"--{name}", value)]
        return dissect("run", f"{nets}:{network}", *given, *(args or ("--layers", 1, 2)))

    return call


@pytest.fixture
def refused(run, out: Path) -> Callable[..., str]:
    """`refused("--layers", 9)`: the same, but it must end with one sentence, which is returned, and no result."""

    def call(*args: object, **options: object) -> str:
        return sentence(run(*args, **options), out)

    return call


@pytest.fixture(scope="session")
def sixty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty images with one object map each, and scenes."""
    root = tmp_path_factory.mktemp("sets") / "sixty"
    (root / "images").mkdir(parents=True)
    labels = {"object": {1: "thing", 2: "animal", 3: "cloud"}, "scene": {4: "street", 5: "field"}}
    tables = {name: ["code,number,name,frequency,coverage"] for name in labels}
    rows = ["number,name,category,frequency,coverage,syns"]
    for category, members in labels.items():
        tables[category] += [f"{number},{number},{name},20,1" for number, name in members.items()]
        rows += [f"{number},{name},{category}(20),20,1," for number, name in members.items()]
        (root / f"c_{category}.csv").write_text("\n".join(tables[category]) + "\n")
    (root / "label.csv").write_text("\n".join(rows) + "\n")
    (root / "category.csv").write_text("name,first,last,count,frequency\nobject,1,3,3,60\nscene,4,5,2,60\n")
    rng = np.random.default_rng(0)
    index = ["image,split,ih,iw,sh,sw,object,scene"]
    for n in range(60):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(root / f"images/{n}.png")
        numbers = np.kron(rng.integers(0, 4, (2, 2)), np.ones((6, 6), int))
        Image.fromarray(encode_label_map(numbers)).save(root / f"images/{n}_object.png")
        index.append(f"{n}.png,train,16,16,12,12,{n}_object.png,{4 + n % 2}")
    (root / "index.csv").write_text("\n".join(index) + "\n")
    return root

"""The command as its user meets it: help, one sentence for every mistake, interruptions, and what is never deleted."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from data_prep.formats import encode_label_map
from dissect import cli, comparison
from dissect.run_store import open_run

NETS = '''
"""Networks for the tests of the command."""
import os
import signal
import time
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).parent


class Small(nn.Module):
    """conv 1, then depthwise and pointwise 2, a tuple, a number a unit, and a module that never fires."""

    input_size = (16, 16)

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.pointwise = nn.Conv2d(4, 6, 1)
        self.pair = Pair()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flat = nn.Flatten()
        self.spare = nn.Conv2d(3, 3, 1)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        self.before(x)
        x = self.pointwise(self.depthwise(self.stem(x)))
        return self.pair(x)[0], self.flat(self.pool(x))

    def before(self, x):
        """Called with every batch; the first comes from listing the layers."""


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def small():
    return Small()


def poisoned(value="nan"):
    model = Small()
    with torch.no_grad():
        model.depthwise.bias[1] = float(value)
    return model


def odd(what="batch"):
    model = Small()
    model.before = lambda x: x.view(1, -1) if what == "batch" else 1 // 0
    return model


class Interrupted(Small):
    """Presses Ctrl-C in its third batch, once."""

    def before(self, x):
        if self.calls == 4 and not (HERE / "pressed").exists():
            (HERE / "pressed").touch()
            os.kill(os.getpid(), signal.SIGINT)


class Slow(Small):
    """Tells the test that batches go through, which are slow until it was interrupted."""

    def before(self, x):
        if not (HERE / "stopped").exists():
            (HERE / "under_way").write_text(str(self.calls))
            time.sleep(0.05)


def interrupted_while_built():
    if not (HERE / "pressed").exists():
        (HERE / "pressed").touch()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    return Small()


def pooled():
    """Nothing that a library could round differently for another batch."""
    model = nn.Sequential(nn.MaxPool2d(2), nn.ReLU())
    model.input_size = (16, 16)
    return model


class Volume(nn.Module):
    """A three-dimensional convolution on the way, which knows no channels-last memory."""

    input_size = (16, 16)

    def __init__(self):
        super().__init__()
        self.deep = nn.Conv3d(3, 4, 3, padding=1)
        self.flat = nn.Conv2d(4, 3, 1)

    def forward(self, x):
        return self.flat(self.deep(x[:, :, None])[:, :, 0])
'''

STORED = ("units.csv", "unit_category.csv", "concepts.csv", "images.csv", "counts", "strongest")


class Said(NamedTuple):
    status: int | str | None
    out: str
    err: str


@pytest.fixture
def nets(tmp_path: Path) -> str:
    (tmp_path / "nets.py").write_text(NETS)
    return str(tmp_path / "nets.py")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def dissect(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """`dissect("run", ...)`: the command in this process, without drawing the report."""
    monkeypatch.setattr("reports.page.write_report", lambda folder: Path(folder) / "report.html")

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


@pytest.fixture(scope="module")
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
        save(root / f"images/{n}.png", rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        numbers = np.kron(rng.integers(0, 4, (2, 2)), np.ones((6, 6), int))
        save(root / f"images/{n}_object.png", encode_label_map(numbers))
        index.append(f"{n}.png,train,16,16,12,12,{n}_object.png,{4 + n % 2}")
    (root / "index.csv").write_text("\n".join(index) + "\n")
    return root


def sentence(said: Said, out: Path | None = None) -> str:
    assert said.status == 2, said
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and said.err.endswith("\n"), said.err
    assert "Traceback" not in said.err + said.out
    assert out is None or not (out / "DONE").exists()
    return said.err.removeprefix("error: ").rstrip("\n")


def stored(folder: Path) -> dict[str, bytes]:
    """All that decides what is read from a run folder."""
    files = [path for name in STORED for path in ((folder / name), *(folder / name).glob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


# Help


def test_help_is_light_and_ends_with_an_example() -> None:
    code = """
import contextlib, io, sys
from dissect import cli
for args in ([], ["run"], ["layers"], ["report"], ["export"]):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            cli.main([*args, "--help"])
        except SystemExit as ended:
            assert ended.code == 0
    *_, head, example = said.getvalue().splitlines()
    assert head == "example:" and example.startswith(" ".join(["  dissect", *args])), said.getvalue()
    assert "usage: dissect" in said.getvalue()
heavy = {"torch", "torchvision", "pandas", "matplotlib", "numba", "PIL", "jinja2"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_option_is_explained(dissect) -> None:
    said = dissect("run", "--help")
    text = " ".join(said.out.replace("│", " ").split())
    assert said.status == 0 and not said.err
    for words in ("(default: 0.995)", "lists them", "Replace a run folder", "{half-pixel,receptive-field}"):
        assert words in text


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "Expected one of {run, layers, report, export}; `dissect --help` tells what there is."),
        (["dance"], "Unrecognized options: dance"),
        (["run", "--layer", "18"], "Unrecognized options: --layer, 18; did you mean --layers? `dissect run --help`"),
        (["run", "--union", "either"], "'either' for argument '--union'. Expected one of ('category', 'all-images'"),
        (["run", "--tap", "head"], "Expected one of ('conv', 'bn', 'relu')"),
        (["run", "--ops", "deepwise"], "'depthwise', 'pointwise', 'conv'"),
        (["run", "--on-bad-image", "weep"], "'skip', 'fail'"),
        (["run", "--quantile", "high"], "Error parsing --quantile: could not convert string to float: 'high'"),
        (["run", "--out"], "Missing value for argument '--out'"),
        (["report"], "Missing from dissect report: PATH"),
        (["report", "a", "b"], "Unrecognized options: b"),
    ],
)
def test_command_lines_that_are_not_understood(dissect, args: list[str], words: str) -> None:
    assert words in sentence(dissect(*args))


# A run that ends well


def test_a_run_and_the_same_again(run, dissect, out: Path) -> None:
    said = run("--layers", 1, 2, "--names", "mine", "--domains", "nowhere")
    assert said.status == 0 and said.err == ""
    assert said.out.splitlines()[0] == "detectors: best IoU > 0.04; unique: distinct concepts among them"
    assert [line.split()[:4] for line in said.out.splitlines()[1:5]] == [
        ["network", "layer", "operator", "units"],
        ["mine", "1", "conv", "4"],
        ["mine", "2", "depthwise", "4"],
        ["mine", "2", "pointwise", "6"],
    ]
    assert said.out.splitlines()[-1] == f"report: {out / 'report.html'}"
    finished = open_run(out)
    assert finished.units["network"].unique().tolist() == ["mine"] and len(finished.units) == 14
    assert not (out / "partial").exists()

    before, written = stored(out), (out / "run.json").stat().st_mtime_ns
    again = run("--layers", 1, 2, "--names", "mine", "--domains", "nowhere")
    assert again.out.splitlines()[0] == (f"{out} was already finished with these settings; --overwrite makes it anew.")
    assert (stored(out), (out / "run.json").stat().st_mtime_ns) == (before, written)

    told = dissect("export", out, "--out", out / "tally").out.splitlines()
    assert [Path(line).parent.name for line in told] == ["1-conv", "2-depthwise", "2-pointwise"]
    assert dissect("report", out).status == 0


def test_the_folder_is_named_after_what_is_in_it(dissect, nets: str, tiny_broden: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert dissect("run", f"{nets}:small", "--data", tiny_broden, "--layers", "1", "stem.?").status == 0
    assert (tmp_path / "runs/tiny-small-1-stem._/DONE").exists()


def test_batches_workers_and_memory_do_not_matter(run, sixty: Path, tmp_path: Path) -> None:
    for name, args in {"a": (), "b": ("--batch-size", 1, "--workers", 3, "--memory", 0.001)}.items():
        assert run("--layers", "*", *args, network="pooled", data=sixty, out=tmp_path / name).status == 0
    assert stored(tmp_path / "a") == stored(tmp_path / "b")


def test_random_weights_come_from_the_seed(run, out: Path, tmp_path: Path) -> None:
    random = torch.random.get_rng_state()
    for name, seed in {"a": 1, "b": 1, "c": 2}.items():
        run(out=tmp_path / name, seed=seed)
    assert stored(tmp_path / "a") == stored(tmp_path / "b") != stored(tmp_path / "c")
    assert torch.equal(random, torch.random.get_rng_state())


def test_several_networks_make_one_run(dissect, nets: str, tiny_broden: Path, out: Path) -> None:
    networks = [f"{nets}:small", f"{nets}:Slow"]
    (Path(nets).parent / "stopped").touch()
    options = ["--names", "one", "two", "--domains", "x, y", "</script>", "--layers", 2, "--ops", "pointwise"]
    assert dissect("run", *networks, "--data", tiny_broden, "--out", out, *options).status == 0
    units = open_run(out).units
    assert units.groupby("network", sort=False)["domain"].unique().map(list).to_dict() == {
        "one": ["x, y"],
        "two": ["</script>"],
    }
    assert units["operator"].unique().tolist() == ["pointwise"]


def test_odd_names_and_the_real_report(dissect, nets: str, tiny_broden: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.undo()
    odd = '</script><b>"cat", tabby & Ümlaut'
    for table in ("label.csv", "c_object.csv"):
        edit(tiny_broden / table, "4,cat" if table == "label.csv" else ",cat,", "QUOTED")
        field = '"' + odd.replace('"', '""') + '"'
        edit(tiny_broden / table, "QUOTED", f"4,{field}" if table == "label.csv" else f",{field},")
    data = tiny_broden.rename(tmp_path / "ein Satz, übersetzt")
    folder = tmp_path / "läufe und mehr"
    with pytest.raises(SystemExit) as ended:
        cli.main(
            ["run", f"{nets}:small", "--data", str(data), "--out", str(folder), "--layers", "2", "--quantile", "0.9"]
        )
    assert ended.value.code == 0
    finished = open_run(folder)
    assert odd in set(finished.concepts["label"])
    assert odd in set(finished.unit_category["label"])
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "</script><b>" not in page and "ein Satz, übersetzt" in page


SETS = {
    "one image": ["a/one.jpg,train,32,32,8,8,a/one_color.png,a/one_object_1.png,a/one_part.png,a/one_material.png,6"],
    "no pixel labels": ["b/three.jpg,train,32,32,8,8,,,,,6;8"],
    "no labels": ["b/three.jpg,train,32,32,8,8,,,,,"],
    "one label pixel": ["b/three.jpg,train,32,32,1,1,,4,,,6"],
}


@pytest.mark.parametrize("rows", SETS)
def test_small_sets(run, tiny_broden: Path, out: Path, rows: str) -> None:
    header = (tiny_broden / "index.csv").read_text().splitlines()[0]
    (tiny_broden / "index.csv").write_text("\n".join([header, *SETS[rows]]) + "\n")
    assert run().status == 0
    finished = open_run(out)
    assert len(finished.images) == 1 and len(finished.units) == 14
    if rows == "no labels":
        assert not finished.units["detector"].any() and (finished.concepts["concept_area"] == 0).all()


def test_one_category_and_a_map_larger_than_the_label_maps(run, out: Path) -> None:
    options = ("--categories", "color", "--image-size", 40, 24, "--upsample", "receptive-field", "--union", "touched")
    assert run("--layers", 1, 2, *options).status == 0
    finished = open_run(out)
    assert finished.networks[0]["layers"][0]["map"] == [40, 24]
    assert finished.concepts["category"].unique().tolist() == ["color"]
    assert finished.info["settings"]["categories"] == ["color"]


def test_the_network_s_mean_and_std_can_be_replaced(run, out: Path) -> None:
    assert run("--layers", 1, "--mean", 0, 0, 0, "--std", 1, 1, 1).status == 0
    network = open_run(out).networks[0]
    assert (network["mean"], network["std"]) == ([0, 0, 0], [1, 1, 1])


def test_layers_are_listed_with_the_numbers_that_run_takes(dissect, nets: str) -> None:
    rows = [line.split() for line in dissect("layers", f"{nets}:small").out.splitlines()]
    assert rows == [
        ["number", "operator", "module", "units", "map"],
        ["1", "conv", "stem.0", "4", "16", "x", "16"],
        ["2", "depthwise", "depthwise", "4", "16", "x", "16"],
        ["2", "pointwise", "pointwise", "6", "16", "x", "16"],
    ]
    everything = dissect("layers", f"{nets}:small", "--everything", "--image-size", 8, 10).out
    assert "stem.2" in everything and "none: a tuple" in everything and "8 x 10" in everything
    assert "none: a tensor of shape (1, 6)" in everything and "spare" not in everything


def test_long_names_stay_whole(dissect, nets: str) -> None:
    name = "a_very_long_name_" * 12
    Path(nets).write_text(NETS.replace("self.pointwise", f"self.{name}"))
    assert name in dissect("layers", f"{nets}:small").out


# Sets with faults


def save(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(path)


def repeat_last_row(root: Path) -> None:
    text = (root / "index.csv").read_text()
    (root / "index.csv").write_text(text + text.splitlines()[-1] + "\n")


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing image": (lambda root: (root / "images/a/two.jpg").unlink(), "images/a/two.jpg is missing: restore it"),
    "truncated image": (
        lambda root: os.truncate(root / "images/a/two.jpg", 700),
        "images/a/two.jpg cannot be read (image file is truncated",
    ),
    "text for an image": (lambda root: (root / "images/a/two.jpg").write_text("no"), "a/two.jpg cannot be read ("),
    "missing label map": (lambda root: (root / "images/a/two_color.png").unlink(), "a/two_color.png is missing"),
    "label map of wrong size": (
        lambda root: save(root / "images/a/two_color.png", np.zeros((10, 6, 3), np.uint8)),
        "two_color.png is 10 high and 6 wide, but index.csv says sh 6, sw 10",
    ),
    "label map of wrong mode": (
        lambda root: save(root / "images/a/two_color.png", np.zeros((6, 10), np.uint8)),
        "two_color.png has mode L, not RGB",
    ),
    "unknown label number": (
        lambda root: save(root / "images/a/two_color.png", encode_label_map(np.full((6, 10), 77))),
        "Label number 77 in label map",
    ),
    "missing column": (
        lambda root: edit(root / "index.csv", "image,split", "image,slit"),
        "index.csv lacks the column 'split'",
    ),
    "missing table": (lambda root: (root / "c_part.csv").unlink(), "c_part.csv is missing"),
    "empty set": (
        lambda root: (root / "index.csv").write_text((root / "index.csv").read_text().splitlines()[0] + "\n"),
        "index.csv lists no usable image",
    ),
    "duplicated row": (repeat_last_row, "image b/four.jpg is there already, in row 5"),
    "no set at all": (lambda root: root.rename(root.with_name("away")), "is not a folder"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_set(refused, tiny_broden: Path, fault: str) -> None:
    damage, words = FAULTS[fault]
    damage(tiny_broden)
    assert words in refused()


def test_skipped_images_are_counted_and_told(run, refused, tiny_broden: Path, out: Path) -> None:
    (tiny_broden / "images/a/two.jpg").write_bytes(b"no image")
    (tiny_broden / "images/b/four_object.png").unlink()
    said = run("--layers", 1, 2, "--on-bad-image", "skip")
    assert said.status == 0
    assert "note: 2 of 4 images were left out; the first: " in said.out and "a/two.jpg cannot be read" in said.out
    finished = open_run(out)
    data = finished.info["data"]
    assert (data["n_images"], data["n_used"], data["n_skipped"]) == (4, 2, 2)
    assert [one["name"] for one in data["skipped"]] == ["a/two.jpg", "b/four.jpg"]
    assert "b/four_object.png" in data["skipped"][1]["reason"]
    assert finished.images["name"].tolist() == ["a/one.jpg", "b/three.jpg"]


def test_a_set_of_which_every_image_is_bad(refused, tiny_broden: Path) -> None:
    for path in (tiny_broden / "images").rglob("*.jpg"):
        path.unlink()
    words = refused("--layers", 1, "--on-bad-image", "skip")
    assert words.startswith("No image of the set can be used (4 skipped; the first: ")


# Wishes that cannot be met


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--quantile", 0], "The quantile level is 0.0; it must lie strictly between 0 and 1"),
        (["--quantile", 1], "The quantile level is 1.0;"),
        (["--quantile", -1], "The quantile level is -1.0;"),
        (["--quantile", "nan"], "The quantile level is nan;"),
        (["--iou-cut", 1], "The IoU cut is 1.0; it must be at least 0 and below 1"),
        (["--iou-cut", "nan"], "The IoU cut is nan;"),
        (["--strongest", 0], "The number of strongest images is 0; it must be at least 1"),
        (["--strongest", 10**12], "The memory of this machine does not suffice (Unable to allocate"),
        (["--image-size", 0], "--image-size is 0; give one side, or height and width, in pixels."),
        (["--image-size", 1, 2, 3], "--image-size is 1 2 3; give one side"),
        (["--image-size", -8], "--image-size is -8; give one side"),
        (["--mean", 0.5], "--mean is 0.5; give three numbers"),
        (["--std", 1, 1, 0], "--std is 1.0 1.0 0.0; give three numbers"),
        (["--mean", 1, 1, "nan"], "--mean is 1.0 1.0 nan; give three numbers"),
        (["--weights", "a.pth", "b.pth"], "--weights has 2 values for 1 networks: give one for each, in their order."),
        (["--names", "a", "b"], "--names has 2 values for 1 networks"),
        (["--domains", "a", "b"], "--domains has 2 values for 1 networks"),
        (["--names", "../up"], "The network name '../up' must be made of letters"),
        (["--weights", "nowhere.pth"], "The weights file nowhere.pth does not exist"),
        (["--split", "test"], "There is no split 'test' in"),
        (["--categories", "colour"], "There is no category 'colour' in"),
        (["--device", "tpu"], "--device is 'tpu'; it must be cpu, cuda, cuda:N or auto."),
        (["--device", "cuda:99"], "--device is 'cuda:99', but PyTorch sees"),
        (["--batch-size", 0], "--batch-size is 0; it must lie in 1..4096."),
        (["--workers", -1], "--workers is -1; it must lie in 1..256."),
        (["--memory", "nan"], "--memory is nan; it must lie in"),
        (["--memory", "inf"], "--memory is inf; it must lie in"),
        (["--seed", -1], "The seed is -1; it must lie in 0..2^63 - 1."),
        (["--layers", 3], "There is no convolution 3; this network's are numbered 1 to 2."),
        (["--layers", "pointwize"], "No layer of the network is called 'pointwize', or none fires; nearest: pointwise"),
        (["--layers", "spare"], "No layer of the network is called 'spare', or none fires; nearest: "),
        (["--layers", "pair"], "Layer 'pair' gives a tuple, not an activation map (B, U, h, w)"),
        (["--layers", "flat"], "Layer 'flat' gives a tensor of shape (1, 6), not an activation map"),
        (["--layers"], "No layer is chosen"),
        (["--layers", 2, "--ops", "conv"], "Layer '2' has no operator conv; it has depthwise, pointwise."),
    ],
)  # fmt: skip
def test_options_out_of_range(refused, args: list[object], words: str) -> None:
    assert refused(*args, *(() if "--layers" in args else ("--layers", 1, 2))).startswith(words)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("poisoned", "Layer 'depthwise' gives nan for unit 1"),
        ("poisoned,value=inf", "Layer 'depthwise' gives inf for unit 1"),
        ("odd,what=always", "The network fails on images of shape (1, 3, 16, 16) (ZeroDivisionError"),
        ("smal", "has no function 'smal'; nearest: small"),
    ],
)
def test_networks_that_cannot_be_dissected(refused, network: str, words: str) -> None:
    assert words in refused(network=network)


def test_a_network_that_takes_one_image_at_a_time(refused, nets: str) -> None:
    """What listing the layers cannot see: it fails on the first batch."""
    Path(nets).write_text(NETS.replace("x.view(1, -1)", "x.expand(1, -1, -1, -1)"))
    words = refused(network="odd")
    assert words.startswith("The network fails on images of shape (4, 3, 16, 16) (RuntimeError: ")
    assert "a smaller --batch-size" in words


def test_weights_that_do_not_fit(refused, tmp_path: Path) -> None:
    torch.save({"stem.0.weight": torch.zeros(2)}, tmp_path / "w.pth")
    words = refused("--weights", tmp_path / "w.pth")
    assert words.startswith(f"The weights in {tmp_path / 'w.pth'} do not fit the network: ")
    assert "missing (first: stem.0.bias)" in words and "of another shape (first: stem.0.weight, (2,)" in words


@pytest.mark.xfail(
    reason="engine.dissect moves every network to channels-last memory, which weights of five dimensions refuse"
)
def test_a_network_that_knows_no_channels_last(run) -> None:
    assert run("--layers", 1, network="Volume").status == 0


# Folders


def test_a_folder_that_cannot_be_written(refused, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file/below"):
        words = refused(out=folder)
        assert words.startswith(str(tmp_path / "file")) and "(Not a directory)" in words
    assert (tmp_path / "file").read_text() == "mine"
    assert "(File name too long)" in refused(out=tmp_path / ("x" * 300))


def test_a_folder_of_something_else(refused, out: Path) -> None:
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    for options in ((), ("--overwrite",)):
        words = refused("--layers", 1, *options)
        assert words == f"{out} is not empty and is no run folder: give another one with --out."
        assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_a_folder_made_with_other_settings(run, refused, out: Path, tiny_broden: Path) -> None:
    run("--layers", 1)
    before = stored(out)
    (out / "DONE").rename(out / "DONE.away")  # so that `refused` sees that none is made
    for args, field in {
        ("--layers", 1, "--quantile", 0.9): "settings.quantile = 0.995, this run has 0.9",
        ("--layers", 1, "--union", "touched"): "settings.union = 'category', this run has 'touched'",
        ("--layers", 2): "networks[0].layers",
        ("--layers", 1, "--seed", 1): "networks[0].weights_hash",
        ("--layers", 1, "--domains", "d"): "networks[0].domain = '', this run has 'd'",
        ("--layers", 1, "--split", "val"): "settings.split = None, this run has 'val'",
    }.items():
        words = refused(*args)
        assert words.startswith(f"{out} was made with {field}"), words
        assert words.endswith("give another folder with --out, or --overwrite it.")
    with (tiny_broden / "images/a/one.jpg").open("ab") as file:
        file.write(b"more")
    assert "data.fingerprint" in refused("--layers", 1)
    assert stored(out) == before


def test_overwrite_replaces_a_run(run, out: Path) -> None:
    run("--layers", 1)
    (out / "report.html").touch()
    (out / ".units.csv.x1y2").write_text("left by a run that was killed")
    said = run("--layers", 2, "--quantile", 0.9, "--overwrite")
    assert said.status == 0 and "already finished" not in said.out
    assert open_run(out).units["layer"].unique().tolist() == ["2"]
    assert not (out / "report.html").exists() and not (out / ".units.csv.x1y2").exists()


@pytest.mark.parametrize("name", ["thesis.txt", "figures-of-mine", "DONE.txt", ".git"])
def test_overwrite_deletes_nothing_where_a_run_shares_its_folder(run, out: Path, name: str) -> None:
    run("--layers", 1)
    before = stored(out)
    (out / name).write_text("mine")
    words = sentence(run("--layers", 2, "--overwrite"))
    assert words.startswith(f"{out} holds {name}, which no run wrote, so --overwrite leaves it alone: move that away")
    assert stored(out) == before and (out / name).read_text() == "mine"


@pytest.mark.parametrize("content", ['{"speed": 3}', "[1]", "not json", ""])
def test_overwrite_deletes_no_folder_with_a_run_json_of_others(refused, out: Path, content: str) -> None:
    out.mkdir()
    (out / "run.json").write_text(content)
    (out / "counts").write_text("mine")
    assert str(out) in refused("--layers", 1, "--overwrite")
    assert ((out / "run.json").read_text(), (out / "counts").read_text()) == (content, "mine")


def test_reports_of_folders_that_are_none(dissect, run, out: Path, tmp_path: Path) -> None:
    assert sentence(dissect("report", tmp_path)).startswith(f"{tmp_path} is no run folder: it has no run.json.")
    run("--layers", 1)
    (out / "DONE").unlink()
    for command in ("report", "export"):
        assert sentence(dissect(command, out)).startswith(f"{out} is not finished: it has no DONE file.")


@pytest.mark.parametrize("n_writes", [0, 1, 2, 3, 5, 7])
def test_a_full_disk(run, out: Path, monkeypatch: pytest.MonkeyPatch, n_writes: int) -> None:
    """A run writes eight files before DONE; whichever finds the disk full, the same command goes on later."""
    real, written = os.fsync, []

    def fsync(handle: int) -> None:
        if len(written) == n_writes:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(handle)
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        words = sentence(run(), out)
    assert words == "The disk of the run folder is full: free some space and run the same command again to go on."
    assert not list(out.rglob(".*")), "half-written files are left"
    assert run().status == 0
    assert open_run(out).units["network"].unique().tolist() == ["small"]


# Ctrl-C


INTERRUPTED = "interrupted: the same command goes on from here.\n"


def press(*_args: object, **_options: object) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def once(function: Callable, action: Callable, call: int) -> Callable:
    """`function`, but the `call`-th call begins with `action`."""
    calls = []

    def wrapped(*args: object, **options: object) -> object:
        calls.append(args)
        if len(calls) == call:
            action()
        return function(*args, **options)

    return wrapped


@pytest.mark.parametrize("stage", ["start-up", "forward", "first tally", "tally", "tables", "report"])
def test_ctrl_c_and_on_again(run, sixty: Path, out: Path, tmp_path: Path, monkeypatch, stage: str) -> None:
    options = ("--layers", 1, 2, "--batch-size", 8)
    factory = {"start-up": "interrupted_while_built", "forward": "Interrupted"}.get(stage, "small")
    assert run(*options, data=sixty, out=tmp_path / "whole").status == 0

    with monkeypatch.context() as patch:
        if stage in ("first tally", "tally"):
            call = 1 if stage == "first tally" else 4
            patch.setattr(comparison.Comparison, "add", once(comparison.Comparison.add, press, call))
        elif stage == "tables":
            patch.setattr("dissect.tables.write_tables", press)
        elif stage == "report":
            patch.setattr("reports.page.write_report", press)
        said = run(*options, data=sixty, network=factory)
    assert (said.status, said.err) == (130, INTERRUPTED)
    assert (out / "DONE").exists() == (stage == "report")
    if stage in ("forward", "first tally", "tally"):
        # What was done is kept: the network goes on behind the batches seen.
        assert (out / f"partial/{factory}/checkpoint.npz").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    assert run(*options, data=sixty, network=factory).status == 0
    there, whole = stored(out), stored(tmp_path / "whole")
    if factory != "small":  # the name of the network is in its tables and file names
        there = {k.replace(factory, "small"): v.replace(factory.encode(), b"small") for k, v in there.items()}
    assert there == whole


def test_ctrl_c_from_outside(run, nets: str, sixty: Path, out: Path, tmp_path: Path) -> None:
    """The true command in a process of its own, stopped in the middle of a slow network by a true signal."""
    args = ["run", f"{nets}:Slow", "--data", str(sixty), "--out", str(out), "--layers", "1", "2", "--batch-size", "2"]
    command = [sys.executable, "-m", "dissect.cli", *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        under_way, patience = tmp_path / "under_way", time.monotonic() + 60
        while not (under_way.exists() and int(under_way.read_text() or 0) > 5):
            assert process.poll() is None and time.monotonic() < patience, process.communicate()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said, err = process.communicate(timeout=60)
    assert (process.returncode, said, err) == (130, "", INTERRUPTED)
    assert not (out / "DONE").exists()
    assert json.loads((out / "run.json").read_text())["command"].startswith("dissect run ")
    with np.load(out / "partial/Slow/checkpoint.npz") as checkpoint:
        assert 5 < checkpoint["n_read"] < 60

    (tmp_path / "stopped").touch()
    options = ("--layers", 1, 2, "--batch-size", 2)
    assert run(*options, data=sixty, network="Slow").status == 0
    assert run(*options, data=sixty, network="Slow", out=tmp_path / "whole").status == 0
    assert stored(out) == stored(tmp_path / "whole")

"""The command as its user meets it: help, runs that end well, and what they leave."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from command_line import edit, sentence, stored

from dissect import cli
from dissect.run_store import open_run

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


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    code = "from dissect import cli; cli.TOOL.commands['layers'] = lambda: print('x' * 10**6); cli.main(['layers'])"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait(60)) == ("", 0)


def test_names_that_the_terminal_cannot_show_are_escaped(run, tmp_path: Path, monkeypatch) -> None:
    said = io.BytesIO()
    terminal = io.TextIOWrapper(said, encoding="ascii")
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", terminal)
        assert run("--layers", 1, out=tmp_path / "ü").status == 0
    terminal.flush()
    assert said.getvalue().rstrip().endswith(b"\\xfc/report.html")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "Expected one of {run, layers, report, compare, claims, sanity, export, import}"),
        (["dance"], "Unrecognized options: dance"),
        (["run", "--layer", "18"], "Unrecognized options: --layer, 18; did you mean --layers? `dissect run --help`"),
        (["run", "--union", "either"], "'either' for argument '--union'. Expected one of ('category', 'all-images'"),
        (["run", "--tap", "head"], "Expected one of ('conv', 'bn', 'relu')"),
        (["run", "--ops", "deepwise"], "'depthwise', 'pointwise', 'conv'"),
        (["run", "--on-bad-image", "weep"], "'skip', 'fail'"),
        (["run", "--quantile", "high"], "Error parsing --quantile: could not convert string to float: 'high'"),
        (["run", "--out"], "Missing value for argument '--out'"),
    ],
)
def test_command_lines_that_are_not_understood(dissect, args: list[str], words: str) -> None:
    assert words in sentence(dissect(*args))


# A run that ends well


def test_a_run_and_the_same_again(run, dissect, out: Path) -> None:
    said = run("--layers", 1, 2, "--names", "mine", "--domains", "nowhere")
    assert said.status == 0 and said.err == ""
    note, heading, *_ = said.out.splitlines()
    assert note.startswith("note: Nobody said whether the network mine is trained")
    assert heading.startswith(
        "detectors: best IoU > 0.04; held out: so on images that did not choose the label; sure: "
    )
    assert [line.split()[:4] for line in said.out.splitlines()[2:6]] == [
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
    assert again.out.splitlines()[0] == (f"{out} was already finished with these settings; --overwrite makes it again.")
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
        options = ["--layers", "2", "--quantile", "0.9", "--min-images", "1"]
        cli.main(["run", f"{nets}:small", "--data", str(data), "--out", str(folder), *options])
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
    options = ("--categories", "color", "--image-size", 20, 12, "--upsample", "receptive-field", "--union", "touched")
    assert run("--layers", 1, 2, *options).status == 0
    finished = open_run(out)
    assert finished.networks[0]["layers"][0]["map"] == [20, 12]
    assert finished.concepts["category"].unique().tolist() == ["color"]
    assert finished.info["settings"]["categories"] == ["color"]


def test_the_network_s_mean_and_std_can_be_replaced(run, out: Path) -> None:
    assert run("--layers", 1, "--mean", 0, 0, 0, "--std", 1, 1, 1).status == 0
    network = open_run(out).networks[0]
    assert (network["mean"], network["std"]) == ([0, 0, 0], [1, 1, 1])


def test_layers_are_listed_with_the_numbers_that_run_takes(dissect, nets: str) -> None:
    rows = [line.split() for line in dissect("layers", f"{nets}:small").out.splitlines()[-4:]]
    assert rows == [
        ["number", "operator", "module", "units", "map", "layout"],
        ["1", "conv", "stem.0", "4", "16", "x", "16", "channels-first"],
        ["2", "depthwise", "depthwise", "4", "16", "x", "16", "channels-first"],
        ["2", "pointwise", "pointwise", "6", "16", "x", "16", "channels-first"],
    ]
    everything = dissect("layers", f"{nets}:small", "--everything", "--image-size", 8, 10).out
    assert "stem.2" in everything and "none: a tuple" in everything and "8 x 10" in everything
    assert "vector" in everything and "spare" not in everything


def test_layers_for_another_program(dissect, nets: str) -> None:
    listed = csv.DictReader(dissect("layers", f"{nets}:small", "--style", "csv").out.splitlines())
    rows = [(row["number"], row["module"], row["map"]) for row in listed]
    assert rows == [("1", "stem.0", "16 x 16"), ("2", "depthwise", "16 x 16"), ("2", "pointwise", "16 x 16")]
    listed = json.loads(dissect("layers", f"{nets}:small", "--style", "json").out)
    assert [(row["number"], row["module"], row["map"]) for row in listed] == rows


def test_the_table_of_a_report_for_another_program(run, dissect, out: Path) -> None:
    run("--layers", 1)
    said = dissect("report", out, "--style", "json")
    (row,) = json.loads(said.out)
    assert (row["network"], row["layer"], row["units"]) == ("small", "1", "4")
    assert "detectors: best IoU > 0.04" in said.err and f"report: {out / 'report.html'}" in said.err


def test_networks_may_stand_behind_the_layers(dissect, nets: str, tiny_broden: Path, out: Path) -> None:
    wanted = ("--layers", 1, "stem.?", f"{nets}:small", "--data", tiny_broden, "--out", out)
    assert dissect("run", *wanted).status == 0
    finished = open_run(out)
    assert [network["name"] for network in finished.networks] == ["small"]
    assert finished.units["module"].unique().tolist() == ["stem.0", "stem.1", "stem.2"]


def test_a_forgotten_prefix_is_told(dissect, out: Path) -> None:
    words = sentence(dissect("run", "imagenet12", "--out", out), out)
    assert words == "There is no network 'imagenet12'; did you mean mdl:imagenet12?"


def test_the_version(dissect) -> None:
    assert dissect("--version").out == f"dissect {version('multidomain-dissection')}\n"


def test_long_names_stay_whole(dissect, nets: str) -> None:
    name = "a_very_long_name_" * 12
    edit(Path(nets), "self.pointwise", f"self.{name}")
    assert name in dissect("layers", f"{nets}:small").out

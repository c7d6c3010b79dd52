"""NetDissect's tallies as a run folder: what is known is kept, what is not is empty and said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import sentence

import dissect as toolkit
from data_prep.broden import open_broden
from dissect.netdissect_import import import_tallies
from dissect.netdissect_tally import export_tally, read_tally
from dissect.run_store import RunFolderError, open_run

pytestmark = pytest.mark.usefixtures("one_thread")

HEADER = ["unit", "category", "label", "score"] + [
    f"{category}-{kind}"
    for category in ("object", "color")
    for kind in ("label", "truth", "activation", "intersect", "iou")
]
TALLY = f"""{",".join(HEADER)}
2,object,"cat, =1+1",0.2,"cat, =1+1",100,50,25,0.2,red-c,80,50,1,0.0078
1,,,0,,0,0,0,0,,0,0,0,nan
3,color,red-c,0.03,cat,90,60,2,0.0135,red-c,80.0,60.0,4.0,0.03
"""


@pytest.fixture
def tally(tmp_path: Path) -> Path:
    folder = tmp_path / "dissection" / "alexnet"
    folder.mkdir(parents=True)
    (folder / "conv5-result.csv").write_text(TALLY, encoding="utf-8")
    return folder / "conv5-result.csv"


def test_what_a_tally_knows_is_in_the_run(tally: Path, out: Path) -> None:
    run = import_tallies(tally, out)
    assert open_run(out).info == run.info
    units = run.units
    assert units[["network", "layer", "operator", "unit"]].to_numpy().tolist() == [
        ["alexnet", "conv5", "conv", unit] for unit in range(3)
    ]
    assert units["label"].tolist() == ["", "cat, =1+1", "red-c"] and units["category"].tolist() == [
        "",
        "object",
        "color",
    ]
    assert units["iou"].tolist() == units["score"].tolist() == [0, 0.2, 0.03]
    assert units["detector"].tolist() == [False, True, False] and units["dead"].tolist() == [True, False, False]
    assert units["intersection_area"].tolist() == [0, 25, 4] and units["union_area"].tolist() == [0, 125, 136]
    table = run.unit_category.set_index(["unit", "category"])
    assert table.loc[(2, "object"), ["label", "intersection_area", "mask_area", "concept_area"]].tolist() == [
        "cat",
        2,
        60,
        90,
    ]
    concepts = run.concepts.set_index(["category", "label"])
    assert list(concepts.index) == [("object", "cat"), ("object", "cat, =1+1"), ("color", "red-c")]
    assert concepts["concept_area"].tolist() == [90, 100, 80]


def test_what_it_does_not_know_is_empty_and_said(tally: Path, out: Path) -> None:
    run = import_tallies(tally, out)
    assert run.units[["threshold", "max_activation", "n_images"]].isna().all(axis=None)
    assert run.concepts[["number", "n_images"]].isna().all(axis=None) and len(run.images) == 0
    assert run.trust is None and run.labels is None and run.replicates is None
    assert run.info["source"]["format"] == "netdissect tally" and not run.info["versions"]
    assert run.info["notes"][0].startswith("Imported from NetDissect's tally: thresholds, images, masks")
    assert run.info["notes"][1] == "1 of 3 units have no label in the tally."
    assert run.strongest_masks("alexnet").image.shape == (3, 0)
    for ask in (run.iou, lambda: run.counts("alexnet"), lambda: run.scores("f1")):
        with pytest.raises(
            toolkit.UserError, match=r"was imported from a netdissect tally, .* it has no counts of every unit"
        ):
            ask()


def test_a_unit_has_the_best_concept_of_each_category(tally: Path, out: Path) -> None:
    unit = import_tallies(tally, out).unit("alexnet", "conv5", 2)
    assert unit.facts["label"] == "red-c"
    assert unit.concepts.to_numpy().tolist() == [
        ["color", "red-c", 0.03, 0.03, 4, 136],
        ["object", "cat", 0.0135, 0.0135, 2, 148],
    ]
    assert unit.by_category["category"].tolist() == ["object", "color"]


def test_our_own_export_comes_back(nets: str, tiny_broden: Path, out: Path, tmp_path: Path) -> None:
    network = toolkit.load_network(f"{nets}:small")
    run = toolkit.run(
        network,
        open_broden(tiny_broden),
        layers=["1", "2"],
        out=out,
        settings=toolkit.Settings(quantile=0.9, min_images=1),
    )
    back = import_tallies(export_tally(run, tmp_path / "tally"), tmp_path / "back")
    same = [
        "network",
        "layer",
        "operator",
        "unit",
        "category",
        "label",
        "iou",
        "detector",
        "intersection_area",
        "union_area",
    ]
    pd.testing.assert_frame_equal(back.units[same], run.units[same], check_dtype=False)
    keys = ["network", "layer", "operator", "unit", "category"]
    pd.testing.assert_frame_equal(
        back.unit_category.drop(columns="domain").sort_values(keys, ignore_index=True),
        run.unit_category.drop(columns="domain").sort_values(keys, ignore_index=True),
        check_dtype=False,
    )
    again = export_tally(back, tmp_path / "again")
    assert [path.read_bytes() for path in again] == [
        path.read_bytes() for path in sorted((tmp_path / "tally").rglob("*.csv"))
    ]


def test_names_come_back_that_no_folder_can_have(tmp_path: Path) -> None:
    """Operators of any kind, names that differ in a sign that no folder may have, and calls of one module."""
    names = [("a/b", "pointwise"), ("a b", "pointwise"), ("a_b", "pointwise"), ("a b-conv", "x")]
    names += [("layer1.0.relu@2", "relu"), ("layer4", "sequential"), ("pool", "maxpool2d"), ("../up", "conv")]
    paths = [tmp_path / f"{k}.csv" for k in range(len(names))]
    for path in paths:
        path.write_text("unit,category,label,score\n1,object,cat,0.5\n")
    layers, operators = zip(*names, strict=True)
    run = import_tallies(paths, tmp_path / "run", networks=["net"], layers=layers, operators=operators)
    exported = export_tally(run, tmp_path / "tallies")
    back = import_tallies(exported, tmp_path / "back")
    pd.testing.assert_frame_equal(back.units, run.units)
    assert back.networks == run.networks
    exported[0].with_name("place.json").write_text('{"network": "net", "layer": 3}')
    with pytest.raises(RunFolderError, match=r"place\.json does not name the network, layer and operator of the tally"):
        import_tallies(exported, tmp_path / "no")


def test_an_imported_run_has_a_page(tally: Path, out: Path) -> None:
    from reports import write_report

    run = import_tallies(tally, out)
    assert run.units["detector"].any()
    assert "no intervals and no runner-up concepts" in write_report(out, figures=()).read_text(encoding="utf-8")


def test_a_tally_of_the_best_concepts_alone(tmp_path: Path, out: Path) -> None:
    (tmp_path / "some.csv").write_text("unit,category,label,score\n1,object,cat,0.5\n2,scene,street,0.01\n")
    run = import_tallies(
        tmp_path / "some.csv", out, networks=["net"], layers=["5"], operators=["pointwise"], iou_cut=0.3
    )
    assert run.units["intersection_area"].isna().all() and not run.units["dead"].any()
    assert run.units["detector"].tolist() == [True, False] and run.info["settings"]["iou_cut"] == 0.3
    assert run.unit_category["label"].tolist() == ["cat", "", "", "street"]
    assert (run.units["layer"][0], run.units["operator"][0], run.units["network"][0]) == ("5", "pointwise", "net")
    assert run.unit("net", 5, 0).concepts["label"].tolist() == ["cat"]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("1,object,cat,0.5\n1,object,dog,0.5\n", "has 2 rows, and none of unit 2"),
        ("0,object,cat,0.5\n1,object,dog,0.5\n", "has 2 rows, and none of unit 2"),
        ("", "has 0 rows, and none of unit 1"),
        ("1,object,cat,1.5\n", "is no NetDissect tally (score is 1.5, not in 0..1)"),
        ("1,object,cat,high\n", "is no NetDissect tally (could not convert"),
        ("1,,cat,0.5\n", "is no NetDissect tally (row 2 has a label and no category)"),
        ("1,object,cat,0.5,9,9\n1,object,cat,0.5,9,9,9\n", "is no NetDissect tally (Error tokenizing data."),
    ],
)
def test_what_is_no_tally_is_refused(tmp_path: Path, out: Path, rows: str, says: str) -> None:
    (tmp_path / "net.csv").write_text(f"unit,category,label,score\n{rows}")
    with pytest.raises(RunFolderError) as caught:
        import_tallies(tmp_path / "net.csv", out)
    assert str(caught.value).startswith(f"{tmp_path / 'net.csv'} {says}")
    assert not out.exists()


@pytest.mark.parametrize(
    ("areas", "says"),
    [
        ("-4,9,1", "(object-truth is -4, no whole number of pixels)"),
        ("9.5,9,1", "(object-truth is 9.5, no whole number of pixels)"),
        ("9,inf,1", "(object-activation is inf, no whole number of pixels)"),
        ("9,9,1e30", "(object-intersect is 1e30, no whole number of pixels)"),
        ("9,4,5", "(row 2 has a value of object-intersect above its truth or activation)"),
    ],
)
def test_areas_that_cannot_be_are_refused(tmp_path: Path, areas: str, says: str) -> None:
    columns = ",".join(f"object-{kind}" for kind in ("label", "truth", "activation", "intersect", "iou"))
    path = tmp_path / "net.csv"
    path.write_text(f"unit,category,label,score,{columns}\n1,object,cat,0.5,cat,{areas},0.5\n")
    with pytest.raises(RunFolderError) as caught:
        read_tally(path)
    assert str(caught.value).startswith(f"{path} is no NetDissect tally {says}")


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "page.csv").write_text("unit,category,name\n1,object,cat\n")
    with pytest.raises(RunFolderError, match=r"it has no column 'label'"):
        read_tally(tmp_path / "page.csv")


def test_the_command_imports_and_refuses(tally: Path, dissect, out: Path, tmp_path: Path) -> None:
    said = dissect("import", tally, "--out", out)
    assert said.status == 0 and "note: 1 of 3 units have no label in the tally." in said.out, said
    assert said.out.splitlines()[-1] == f"3 units, 1 detectors: {out}"
    assert sentence(dissect("import", tally, "--out", out)).endswith("give another folder as --out, or --overwrite it.")
    assert dissect("import", tally, "--out", out, "--overwrite", "--iou-cut", 0.01).status == 0
    assert open_run(out).units["detector"].sum() == 2
    assert "it has no counts of every unit" in sentence(dissect("export", out, "--format", "csv"))
    assert "it has no masks" in sentence(dissect("export", out, "--format", "masks"))
    assert dissect("export", out, "--format", "xlsx", "--out", tmp_path / "sheets").status == 0


def test_a_file_that_does_not_tell_its_layer(tally: Path, dissect, tmp_path: Path) -> None:
    bare = tally.rename(tmp_path / "tally.csv")

    def refused(*args: object) -> str:
        return sentence(dissect("import", bare, bare, "--out", tmp_path / "new", *args))

    assert refused().startswith(
        f"{bare} does not tell which layer of which network it is of: give --networks and --layers"
    )
    assert "would both be layer 5 conv of net" in refused("--networks", "net", "--layers", 5)
    assert "--layers has 3 values for 2 files" in refused("--layers", 1, 2, 3)
    assert refused("--networks", "../up", "--layers", 1, 2).startswith("The network name '../up' must have at most 128")
    assert not (tmp_path / "new").exists()


def test_run_json_names_the_files(tally: Path, out: Path) -> None:
    import_tallies(tally, out)
    told = json.loads((out / "run.json").read_text())
    assert [each["name"] for each in told["source"]["files"]] == ["conv5-result.csv"]
    assert str(tally.parent) not in (out / "run.json").read_text()
    assert np.all(np.array(list(told["files"])) == ["units.csv", "unit_category.csv", "concepts.csv", "images.csv"])

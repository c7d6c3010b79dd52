"""NetDissect's tally.csv: what is written, what is read back, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest

from dissect.netdissect_tally import export_tally, read_tally
from dissect.run_store import CONCEPT_COLUMNS, UNIT_CATEGORY_COLUMNS, UNIT_COLUMNS, Run, RunFolderError

UNITS = f"""{",".join(UNIT_COLUMNS)}
a,x,18,depthwise,m.d,0,0.5,object,"cat, tabby",0.25,0.25,3,True,False,5,20,1.5
a,x,18,depthwise,m.d,1,0.5,,,0.0,0.0,0,False,True,0,0,0.5
a,x,18,pointwise,m.p,0,0.5,color,NA,0.125,0.125,3,True,False,1,8,1.5
b,y,2,conv,c,0,0.5,object,null,0.0625,0.0625,3,True,False,1,16,1.5
"""
UNIT_CATEGORY = f"""{",".join(UNIT_CATEGORY_COLUMNS)}
a,x,18,depthwise,0,color,NA,0.1,1,4,7
a,x,18,depthwise,0,object,"cat, tabby",0.25,5,13,12
a,x,18,depthwise,1,color,,0.0,0,0,0
a,x,18,depthwise,1,object,,0.0,0,0,0
a,x,18,pointwise,0,color,NA,0.125,1,2,7
a,x,18,pointwise,0,object,,0.0,0,3,0
b,y,2,conv,0,color,,0.0,0,6,0
b,y,2,conv,0,object,null,0.0625,1,5,12
"""
CONCEPTS = f"""{",".join(CONCEPT_COLUMNS)}
0,1,color,NA,3,7,True
1,2,object,"cat, tabby",3,12,True
2,3,object,null,3,12,True
"""
COLUMNS = ["unit", "category", "label", "score"] + [
    f"{category}-{name}"
    for category in ("color", "object")
    for name in ("label", "truth", "activation", "intersect", "iou")
]


def layer(name: str, operator: str, n_units: int) -> dict[str, object]:
    return {"layer": name, "operator": operator, "n_units": n_units}


def run_of(folder: Path, units: str = UNITS, unit_category: str = UNIT_CATEGORY, first: str = "18") -> Run:
    (folder / "units.csv").write_text(units)
    (folder / "unit_category.csv").write_text(unit_category)
    (folder / "concepts.csv").write_text(CONCEPTS)
    networks = [
        {"name": "a", "layers": [layer(first, "depthwise", 2), layer("18", "pointwise", 1)]},
        {"name": "b", "layers": [layer("2", "conv", 1)]},
    ]
    return Run(folder, {"networks": networks, "data": {"categories": ["color", "object"]}, "settings": {}})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return run_of(tmp_path)


@pytest.mark.parametrize(
    ("name", "lies_in"),
    [
        ("../../evil", ".._.._evil-depthwise"),
        ("/etc", "_etc-depthwise"),
        ("..", "..-depthwise"),
        ("a/b", "a_b-depthwise"),
    ],
)
def test_a_layer_s_name_never_leads_out_of_the_folder(tmp_path: Path, name: str, lies_in: str) -> None:
    (tmp_path / "run").mkdir()
    texts = (text.replace("18,depthwise", f"{name},depthwise") for text in (UNITS, UNIT_CATEGORY))
    before = set(tmp_path.parent.rglob("*"))
    paths = export_tally(run_of(tmp_path / "run", *texts, first=name), tmp_path / "out")
    assert paths[0] == tmp_path / "out/a" / lies_in / "tally.csv"
    new = {path for path in set(tmp_path.parent.rglob("*")) - before if path.name == "tally.csv"}
    assert new == {path.resolve() for path in paths}


def test_one_file_a_layer_of_each_network(run: Run, tmp_path: Path) -> None:
    paths = export_tally(run, tmp_path / "out")
    assert [str(path.relative_to(tmp_path / "out")) for path in paths] == [
        "a/18-depthwise/tally.csv",
        "a/18-pointwise/tally.csv",
        "b/2-conv/tally.csv",
    ]
    assert sorted((tmp_path / "out").rglob("*.csv")) == sorted(paths)


def test_columns_and_numbers(run: Run, tmp_path: Path) -> None:
    with export_tally(run, tmp_path / "out")[0].open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == COLUMNS
    assert rows == [
        ["1", "object", "cat, tabby", "0.25", "NA", "7", "4", "1", "0.1", "cat, tabby", "12", "13", "5", "0.25"],
        ["2", "", "", "0.0", "", "0", "0", "0", "0.0", "", "0", "0", "0", "0.0"],
    ]


def test_read_back_with_units_from_0(run: Run, tmp_path: Path) -> None:
    depthwise, pointwise, conv = map(read_tally, export_tally(run, tmp_path / "out"))
    assert depthwise.attrs["categories"] == ["color", "object"]
    assert depthwise["object-label"].tolist() == ["cat, tabby", ""] and depthwise["color-truth"].tolist() == [7, 0]
    pd.testing.assert_frame_equal(
        depthwise[["unit", "category", "label", "iou"]],
        pd.DataFrame({"unit": [0, 1], "category": ["object", ""], "label": ["cat, tabby", ""], "iou": [0.25, 0.0]}),
        check_dtype=False,
    )
    assert (pointwise["label"][0], conv["label"][0]) == ("NA", "null")


def test_reads_what_netdissect_writes(tmp_path: Path) -> None:
    (tmp_path / "tally.csv").write_text(
        "unit,category,label,score,object-label,object-truth,object-activation,object-intersect,object-iou\n"
        "1,object,airplane,0.31,airplane,100,90,45,0.31\n"
        "2,texture,lined,0,airplane,100,90,0,0\n"
    )
    table = read_tally(tmp_path / "tally.csv")
    kinds = ("label", "truth", "activation", "intersect", "iou")
    assert list(table) == ["unit", "category", "label", "iou", *(f"object-{kind}" for kind in kinds)]
    assert table.to_numpy().tolist() == [
        [0, "object", "airplane", 0.31, "airplane", 100, 90, 45, 0.31],
        [1, "texture", "lined", 0.0, "airplane", 100, 90, 0, 0.0],
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unit,label\n1,a\n",
        "unit,category,label,score\nfirst,a,b,0.1\n",
        "unit,category,label,score\n1,a,b,high\n",
        "unit,category,label,score\n1,a,b\n",
        'unit,category,label,score\n1,"a,b,0.1\n',
        "\x89PNG\r\n",
    ],
)
def test_a_file_that_is_no_tally(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tally.csv"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(RunFolderError) as caught:
        read_tally(path)
    assert str(caught.value).startswith(f"{path} is no NetDissect tally (")
    assert str(caught.value).endswith("it must be a CSV with the columns unit, category, label and score.")


def test_a_missing_tally(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"missing\.csv is no file: give a tally\.csv, one for each layer\."):
        read_tally(tmp_path / "missing.csv")

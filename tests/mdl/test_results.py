"""Result folders: what is written comes back, what is unfinished or damaged does not pass."""

from __future__ import annotations

import json

import pytest

from data_prep.common.files import write_json
from mdl.results import (
    DONE_FILE,
    RESULT_FILE,
    Cost,
    ParameterRow,
    Result,
    ResultError,
    is_done,
    read_predictions,
    read_result,
    read_results,
    unfinished,
    write_predictions,
    write_result,
)


def result(domain="mini-dtd", system="pointwise-sharing", **values):
    values = {
        "domain": domain, "system": system, "method": system, "data": "mini", "split": "test", "n_classes": 5,
        "n_test": 40, "n_correct": 31, "backbone": "separable", "width": 16,
    } | values  # fmt: skip
    return Result(**values)


def full_result():
    return result(
        options={"rank": 4},
        recipe={"epochs": 3, "lr": [0.1, 0.01]},
        cost=Cost(12.5, 3, 600, "cpu"),
        parameters=(
            ParameterRow("stem.conv", "depthwise", 27),
            ParameterRow("head", "linear", 85, bits=1, domain="mini-dtd"),
        ),
        multiply_adds=1234,
        input_size=(144, 72),
        versions={"torch": "2"},
        notes=("a note",),
        seed=7,
    )


def test_round_trip(tmp_path):
    write_result(tmp_path / "a", full_result())
    assert read_result(tmp_path / "a") == full_result()
    assert is_done(tmp_path / "a") and full_result().accuracy == 31 / 40
    assert [path.name for path in sorted((tmp_path / "a").iterdir())] == [DONE_FILE, RESULT_FILE]


def test_a_failed_write_leaves_no_finished_folder(tmp_path):
    write_result(tmp_path, result())
    with pytest.raises(ValueError):
        write_result(tmp_path, result(recipe={"lr": float("nan")}))
    assert not is_done(tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    with pytest.raises(ResultError, match="not finished"):
        read_result(tmp_path)


def test_many(tmp_path):
    for system in ("individual", "dan"):
        for domain in ("mini-svhn", "mini-dtd"):
            write_result(tmp_path / system / domain, result(domain, system))
    write_json(tmp_path / "dan" / "mini-gtsrb" / RESULT_FILE, {})
    found = read_results(tmp_path)
    assert [(r.system, r.domain) for r in found] == [
        ("dan", "mini-dtd"), ("dan", "mini-svhn"), ("individual", "mini-dtd"), ("individual", "mini-svhn"),
    ]  # fmt: skip
    assert read_results([tmp_path / "dan", tmp_path]) == found  # a folder given twice is one folder
    assert [path.name for path in unfinished(tmp_path)] == ["mini-gtsrb"]


def test_two_results_for_one_cell(tmp_path):
    write_result(tmp_path / "a", result())
    write_result(tmp_path / "b", result())
    with pytest.raises(ResultError, match="both hold pointwise-sharing on mini-dtd"):
        read_results(tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(ResultError, match="No finished result"):
        read_results(tmp_path)
    with pytest.raises(ResultError, match="There is no folder"):
        read_results(tmp_path / "none")
    with pytest.raises(ResultError, match="no result folder"):
        read_result(tmp_path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[: len(text) // 2], "cannot be read"),
        (lambda text: "[" * 100_000, "cannot be read"),
        (lambda text: "[]", "format None"),
        (lambda text: text.replace('"format": 1', '"format": 99'), "format 99"),
        (lambda text: text.replace('"n_test"', '"n_tests"'), "unknown keys"),
        (lambda text: text.replace('"n_correct": 31', '"n_correct": 41'), "41 correct of 40"),
        (
            lambda text: text.replace('"n_correct": 31', '"n_correct": 3.5'),
            r"has n_correct 3.5, which must be a whole number",
        ),
        (lambda text: text.replace('"kind": "linear"', '"sort": "linear"'), "not what `mdl train` writes"),
        (lambda text: json.dumps({"format": 1}), "not what `mdl train` writes"),
    ],
)
def test_damaged(tmp_path, damage, words):
    write_result(tmp_path, full_result())
    path = tmp_path / RESULT_FILE
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ResultError, match="it is not what was written"):
        read_results(tmp_path)
    (tmp_path / DONE_FILE).write_bytes(b"")  # as older results have it: without a hash the contents must tell
    with pytest.raises(ResultError, match=words):
        read_results(tmp_path)


WRONG = (None, "x", 3, -1, 0.5, True, [1], {"a": 1}, 2**70, float("nan"))
ALLOWED = {
    "domain": "x", "system": "x", "method": "x", "data": "x", "split": "x", "backbone": "x", "trained_on": "x",
    "n_classes": 3, "n_test": (), "n_correct": 3, "width": 3, "seed": (3, -1), "options": {"a": 1}, "recipe": {"a": 1},
    "cost": (), "parameters": (), "multiply_adds": (None, 3), "input_size": (None,), "versions": (), "notes": (),
}  # fmt: skip


@pytest.mark.parametrize("field", ALLOWED)
def test_every_field_holds_what_it_should(tmp_path, field):
    """Each value that a field may not have is refused by its name; the others come back."""
    write_result(tmp_path, full_result())
    values = json.loads((tmp_path / RESULT_FILE).read_text(encoding="utf-8"))
    (tmp_path / DONE_FILE).write_bytes(b"")
    allowed = ALLOWED[field] if isinstance(ALLOWED[field], tuple) else (ALLOWED[field],)
    for value in WRONG:
        (tmp_path / RESULT_FILE).write_text(json.dumps({**values, field: value}), encoding="utf-8")
        if any(type(one) is type(value) and one == value for one in allowed):
            assert getattr(read_result(tmp_path), field) == value
            continue
        with pytest.raises(ResultError, match=r"results.json is not what `mdl train` writes \(.*delete .*DONE and run"):
            read_result(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("cost", {"seconds": "long"}, "has cost.seconds 'long', which must be a number"),
        ("cost", {"hours": 3}, "hours"),
        ("parameters", [{"name": "a", "kind": "bn", "count": 1.5}], "row of parameters with count 1.5"),
        ("parameters", [["a", "bn", 1]], "must be a mapping"),
        ("input_size", [72], r"has input_size \(72,\), which must be a list of 2"),
        ("notes", ["a", 3], "has notes"),
        ("n_classes", 0, "has n_classes 0, which must be 1 or more"),
    ],
)
def test_what_lies_deeper_is_checked_too(tmp_path, field, value, words):
    write_result(tmp_path, full_result())
    values = json.loads((tmp_path / RESULT_FILE).read_text(encoding="utf-8"))
    (tmp_path / RESULT_FILE).write_text(json.dumps({**values, field: value}), encoding="utf-8")
    (tmp_path / DONE_FILE).write_bytes(b"")
    with pytest.raises(ResultError, match=words):
        read_result(tmp_path)


def test_predictions(tmp_path):
    write_predictions(tmp_path, [40200002, 40200001], [3, 0], n_classes=4)
    assert read_predictions(tmp_path) == read_predictions(tmp_path, 4) == {40200002: 3, 40200001: 0}
    with pytest.raises(ResultError, match=r"class 3 is not in 0\.\.2"):
        read_predictions(tmp_path, 3)
    (tmp_path / "predictions.csv").write_text("image_id,class\n1,2\n1,3\n")
    with pytest.raises(ResultError, match="twice"):
        read_predictions(tmp_path)
    for text in ("", "a,b\n1,2\n", "image_id,class\n1\n", "image_id,class\n1,x\n"):
        (tmp_path / "predictions.csv").write_text(text)
        with pytest.raises(ResultError, match="cannot be read as predictions"):
            read_predictions(tmp_path)


@pytest.mark.parametrize("wrong", [5, -1])
def test_classes_that_a_domain_does_not_have_are_never_written(tmp_path, wrong):
    write_predictions(tmp_path, [1, 2], [4, 0], n_classes=5)
    with pytest.raises(ResultError, match=f"1 of 2 predictions .* classes beyond its 5, such as {wrong}"):
        write_predictions(tmp_path, [1, 2], [0, wrong], n_classes=5)
    assert read_predictions(tmp_path) == {1: 4, 2: 0}


def test_changed_predictions_are_told_until_they_are_written_again(tmp_path):
    write_predictions(tmp_path, [1, 2], [3, 0], n_classes=5)
    write_result(tmp_path, result())
    path = tmp_path / "predictions.csv"
    path.write_text(path.read_text().replace("1,3", "1,2"))
    with pytest.raises(ResultError, match=r"it is not what was written.*run `mdl eval`"):
        read_predictions(tmp_path)
    write_predictions(tmp_path, [1, 2], [1, 1], n_classes=5)
    assert read_predictions(tmp_path) == {1: 1, 2: 1} and read_result(tmp_path) == result()
    (tmp_path / DONE_FILE).write_text("{}")
    with pytest.raises(ResultError, match="DONE is damaged"):
        read_result(tmp_path)

"""Submissions: written, scored against hand counts and the official labels, refused where they are wrong."""

from __future__ import annotations

import json
import zipfile

import pytest
from real_data import real_data

from data_prep.common.errors import UserError
from mdl.published import OFFICIAL
from mdl.scoring import submission
from mdl.scoring.score import points
from mdl.scoring.submission import (
    SubmissionError,
    category_id,
    read_official_labels,
    read_submission,
    score_submission,
    write_submission,
)

LABELS = {"svhn": [0, 1, 2, 9] * 5, "dtd": [0, 46, 3, 3] * 5}
NUMBER = {"svhn": 8, "dtd": 4}
CLASSES = {"svhn": 10, "dtd": 47}


def annotation(domain, labels):
    base = NUMBER[domain] * 10**7
    ids = [base + 200_001 + i for i in range(len(labels))]
    return {
        "images": [{"id": i, "file_name": f"data/{domain}/test/{i}.jpg"} for i in ids],
        "annotations": [
            {"id": i, "image_id": i, "category_id": base + k + 1} for i, k in zip(ids, labels, strict=True)
        ],
        "categories": [{"id": base + k + 1, "name": str(k)} for k in range(CLASSES[domain])],
    }


@pytest.fixture
def label_zip(tmp_path):
    path = tmp_path / "labels.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for domain, labels in LABELS.items():
            archive.writestr(f"some/folder/{domain}_test.json", json.dumps(annotation(domain, labels)))
        archive.writestr("../../outside.json", "{}")
    return path


@pytest.fixture
def predictions():
    return {
        domain: {NUMBER[domain] * 10**7 + 200_001 + i: k for i, k in enumerate(labels)}
        for domain, labels in LABELS.items()
    }


def write(path, entries):
    path.write_text(json.dumps(entries))
    return path


def test_perfect_and_corrupted(tmp_path, label_zip, predictions):
    labels = read_official_labels(label_zip)
    assert list(labels) == ["dtd", "svhn"]
    path = tmp_path / "submission.json"
    write_submission(path, predictions)
    assert score_submission(path, labels).total == 2000
    wrong = dict.fromkeys(list(predictions["svhn"])[:1], 5) | dict.fromkeys(list(predictions["dtd"])[:8], 5)
    for domain in predictions:
        predictions[domain] = {image: wrong.get(image, label) for image, label in predictions[domain].items()}
    write_submission(path, predictions)
    score = score_submission(path, labels)
    assert [(t.domain, t.n_correct, t.n_test) for t in score.terms] == [("dtd", 12, 20), ("svhn", 19, 20)]
    assert score.total == pytest.approx(1000 * (0.8894 - 0.4) ** 2 / 0.8894**2 + 1000 * (0.069 - 0.05) ** 2 / 0.069**2)
    only = tmp_path / "only.json"
    write_submission(only, {"dtd": predictions["dtd"]})
    assert score_submission(only, labels, ["dtd"]).total == pytest.approx(points("dtd", 0.4))


def test_the_file_is_one_list(tmp_path, predictions):
    write_submission(tmp_path / "s.json", predictions)
    entries = json.loads((tmp_path / "s.json").read_text())
    assert len(entries) == 40 and entries[0] == {"image_id": 40200001, "category_id": 40000001}
    assert entries[-1] == {"image_id": 80200020, "category_id": 80000010}


def test_labels_from_a_folder(tmp_path, label_zip):
    for domain, labels in LABELS.items():
        write(tmp_path / f"{domain}_test.json", annotation(domain, labels))
    assert read_official_labels(tmp_path) == read_official_labels(label_zip)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: e[1:], "lacks test images: 1 of dtd"),
        (lambda e: [x for x in e if x["image_id"] < 8 * 10**7], "lacks test images: 20 of svhn .80200001, 80200002"),
        (lambda e: [*e, e[3]], "Image 40200004 has two entries"),
        (lambda e: [*e, {"image_id": 5, "category_id": 40000001}], "1 images that are in no test set of dtd, svhn: 5"),
        (lambda e: [{**e[0], "category_id": 80000001}, *e[1:]], "Image 40200001 of dtd .* belongs to svhn"),
        (lambda e: [{**e[0], "category_id": 40000048}, *e[1:]], "which no domain has: .* 40000001 to 40000047"),
        (lambda e: [{**e[0], "category_id": 3.0}, *e[1:]], "Entry 0 of .* whole"),
        (lambda e: [{**e[0], "category_id": True}, *e[1:]], "Entry 0 of .* whole"),
        (lambda e: [{"image_id": 40200001}, *e[1:]], "Entry 0 of .* whole"),
        (lambda e: [7, *e], "Entry 0 of .* whole"),
        (lambda e: {"predictions": e}, "one JSON list"),
    ],
)
def test_wrong_submissions(tmp_path, label_zip, predictions, change, words):
    write_submission(tmp_path / "s.json", predictions)
    path = write(tmp_path / "wrong.json", change(json.loads((tmp_path / "s.json").read_text())))
    with pytest.raises(SubmissionError, match=words):
        score_submission(path, read_official_labels(label_zip))


def test_unreadable_submissions(tmp_path, monkeypatch):
    with pytest.raises(SubmissionError, match="cannot be read"):
        read_submission(tmp_path / "none.json")
    for text in ('[{"image_id": 1', "", "[" * 100_000, "\x00"):
        (tmp_path / "cut.json").write_text(text)
        with pytest.raises(SubmissionError, match="no JSON"):
            read_submission(tmp_path / "cut.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\xfa[")
    with pytest.raises(SubmissionError, match="no JSON"):
        read_submission(tmp_path / "bytes.json")
    monkeypatch.setattr(submission, "MAX_LABEL_BYTES", 10)
    with pytest.raises(SubmissionError, match="larger than"):
        read_submission(write(tmp_path / "big.json", [1] * 100))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: {**a, "annotations": []}, "stripped file"),
        (lambda a: {**a, "annotations": a["annotations"][1:]}, "exactly one"),
        (lambda a: {**a, "annotations": [*a["annotations"], a["annotations"][0]]}, "exactly one"),
        (lambda a: {**a, "images": a["images"][1:]}, "exactly one"),
        (lambda a: {**a, "categories": a["categories"][:3]}, "does not list"),
        (lambda a: {**a, "images": [{"file_name": "x"}]}, "whole id"),
        (lambda a: {**a, "images": None}, "needs the lists"),
        (lambda a: [], "needs the lists"),
    ],
)
def test_wrong_labels(tmp_path, change, words):
    write(tmp_path / "dtd_test.json", change(annotation("dtd", LABELS["dtd"])))
    with pytest.raises(SubmissionError, match=words):
        read_official_labels(tmp_path)


def test_wrong_zips(tmp_path, label_zip, monkeypatch):
    data = label_zip.read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(SubmissionError, match="cannot be read as a zip"):
        read_official_labels(tmp_path / "cut.zip")
    with pytest.raises(SubmissionError, match=r"There is no .*none\.zip: give a zip or a folder"):
        read_official_labels(tmp_path / "none.zip")
    flipped = bytearray(data)
    flipped[200] ^= 0xFF  # inside the first member's compressed bytes
    (tmp_path / "flipped.zip").write_bytes(flipped)
    with pytest.raises(SubmissionError, match="cannot be read as a zip"):
        read_official_labels(tmp_path / "flipped.zip")
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.writestr("a/dtd_test.json", "{}")
        archive.writestr("b/dtd_test.json", "{}")
    with pytest.raises(SubmissionError, match="2 times"):
        read_official_labels(tmp_path / "twice.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "")
    with pytest.raises(SubmissionError, match="holds no test labels"):
        read_official_labels(tmp_path / "other.zip")
    monkeypatch.setattr(submission, "MAX_LABEL_BYTES", 1000)
    with pytest.raises(SubmissionError, match="larger than"):
        read_official_labels(label_zip)


def test_wrong_predictions(tmp_path, predictions):
    with pytest.raises(UserError, match="'cars' is a domain of your own, and a submission"):
        write_submission(tmp_path / "s.json", {"cars": {}})
    with pytest.raises(SubmissionError, match="Class 10 is none of svhn"):
        write_submission(tmp_path / "s.json", {"svhn": {1: 10}})
    with pytest.raises(SubmissionError, match="Image 1 is in dtd and in svhn"):
        write_submission(tmp_path / "s.json", {"svhn": {1: 0}, "dtd": {1: 0}})
    assert not (tmp_path / "s.json").exists()


def test_domains_that_are_not_there(tmp_path, label_zip, predictions):
    write_submission(tmp_path / "s.json", predictions)
    with pytest.raises(SubmissionError, match="no test labels of 'gtsrb'"):
        score_submission(tmp_path / "s.json", read_official_labels(label_zip), ["gtsrb"])


@pytest.fixture(scope="module")
def official_labels():
    return read_official_labels(real_data("decathlon_mini/official/labels_test.zip"))


def test_official_labels(official_labels):
    assert {name: len(d.category_of) for name, d in official_labels.items()} == {d.name: d.n_test for d in OFFICIAL}
    for domain in OFFICIAL:
        numbers = {category_id(domain.name, k) for k in range(domain.n_classes)}
        assert numbers == official_labels[domain.name].categories


def test_official_perfect_and_corrupted(tmp_path, official_labels):
    perfect = {
        name: {image: (category - 1) % 10**7 for image, category in d.category_of.items()}
        for name, d in official_labels.items()
    }
    write_submission(tmp_path / "perfect.json", perfect)
    score = score_submission(tmp_path / "perfect.json", official_labels)
    assert score.total == 10_000 and score.complete and score.caveat == ""
    n_wrong = {
        "aircraft": 1111,
        "svhn": 500,
        "ucf101": 3783,
        "gtsrb": 624,
    }  # the last two lie beyond or just within E_max
    for name, n in n_wrong.items():
        for image in sorted(perfect[name])[:n]:
            perfect[name][image] = (perfect[name][image] + 1) % next(d.n_classes for d in OFFICIAL if d.name == name)
    write_submission(tmp_path / "corrupted.json", perfect)
    by_hand = 6000.0
    for name, max_error, n_test in (("aircraft", 0.7932, 3333), ("svhn", 0.069, 26032), ("gtsrb", 0.0494, 12630)):
        by_hand += max(0.0, 1 - n_wrong[name] / n_test / max_error) ** 2 * 1000
    assert score_submission(tmp_path / "corrupted.json", official_labels).total == pytest.approx(by_hand, abs=1e-6)

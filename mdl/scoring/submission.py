"""The decathlon's submission file: writing one, and scoring one against the official test labels. No torch.

    write_submission("submission.json", {"svhn": read_predictions(folder)})
    labels = read_official_labels("labels_test.zip")      # the ten annotation files, read in place
    score = score_submission("submission.json", labels)   # a `Score`; a perfect file has 10,000 points

A submission is one JSON list of `{"image_id": ..., "category_id": ...}` over the test images of all domains. A category
id is D * 10^7 + k with D the domain's place in the alphabet and k the class from 1 (Rebuffi, Bilen and Vedaldi 2017).
Labels come as a zip or a folder of `<domain>_test.json`. Of a zip the ten members are looked up by name and read into
memory up to a limit; nothing is unpacked.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.common.errors import UserError
from data_prep.common.files import write_json
from mdl.published import DOMAINS, is_official, official_domain
from mdl.scoring.score import Score, decathlon_score

CATEGORY_STEP = 10_000_000
MAX_LABEL_BYTES = 64 * 2**20
"""Per annotation file; the largest official one has 10 MB."""


class SubmissionError(UserError):
    """A submission or a file of labels cannot be scored as it is."""


@dataclass(frozen=True, slots=True)
class TestLabels:
    """The labels of one domain's test set: category id by image id, and every category id that the domain has."""

    __test__ = False  # pytest: a class of data, not of tests
    domain: str
    category_of: dict[int, int]
    categories: frozenset[int]


def category_id(domain: str, label: int) -> int:
    """The official number of a class counted from 0.

    >>> category_id("cifar100", 0)
    20000001
    """
    if not is_official(domain):
        raise SubmissionError(
            f"{domain!r} is a domain of your own, and a submission holds test images of the official decathlon alone: leave it "
            f"out."
        )
    official = official_domain(domain)
    if not 0 <= label < official.n_classes:
        raise SubmissionError(f"Class {label} is none of {domain}: its classes run from 0 to {official.n_classes - 1}.")
    return (1 + sorted(DOMAINS).index(official.name)) * CATEGORY_STEP + label + 1


def write_submission(path: str | Path, predictions: Mapping[str, Mapping[int, int]]) -> None:
    """`write_submission(path, {domain: {image_id: class}})`, classes from 0; domains in the order of the tables.

    Raises `SubmissionError` for a class that a domain does not have or an image id that two domains share.
    """
    entries: list[dict[str, int]] = []
    owner: dict[int, str] = {}
    for domain in predictions:
        category_id(domain, 0)  # refuses a domain of one's own before anything is written
    for domain in sorted(predictions, key=lambda name: DOMAINS.index(official_domain(name).name)):
        for image, label in sorted(predictions[domain].items()):
            if image in owner:
                raise SubmissionError(
                    f"Image {image} is in {owner[image]} and in {domain}; give predictions of one data set."
                )
            owner[image] = domain
            entries.append({"image_id": int(image), "category_id": category_id(domain, int(label))})
    write_json(Path(path), entries)


def read_submission(path: str | Path) -> dict[int, int]:
    """Category id by image id. Raises `SubmissionError` for anything but a list of entries with one per image."""
    entries = _json(_read_bytes(Path(path)), str(path))
    if not isinstance(entries, list):
        raise SubmissionError(
            f"{path} is no submission: it must be one JSON list of entries; write it with `write_submission`."
        )
    found: dict[int, int] = {}
    for place, entry in enumerate(entries):
        image = _whole(entry, "image_id")
        category = _whole(entry, "category_id")
        if image is None or category is None:
            raise SubmissionError(
                f"Entry {place} of {path} needs a whole image_id and category_id; it is {_short(entry)}."
            )
        if image in found:
            raise SubmissionError(
                f"Image {image} has two entries in {path}, the second at place {place}: leave one of them."
            )
        found[image] = category
    return found


def read_official_labels(path: str | Path) -> dict[str, TestLabels]:
    """Labels of every domain that the zip or the folder holds, in the order of the tables.

    Raises `SubmissionError` where there is none, or one cannot be read or contradicts itself.
    """
    path = Path(path)
    if not path.exists():
        raise SubmissionError(f"There is no {path}: give a zip or a folder with the official test labels.")
    names = {domain: f"{domain}_test.json" for domain in DOMAINS}
    if path.is_dir():
        files = {domain: _read_bytes(path / name) for domain, name in names.items() if (path / name).is_file()}
    else:
        files = _read_zip(path, names)
    if not files:
        raise SubmissionError(
            f"{path} holds no test labels: it needs files named {names[DOMAINS[0]]}, {names[DOMAINS[1]]}, ..."
        )
    return {domain: _labels(domain, _json(data, f"{names[domain]} in {path}"), path) for domain, data in files.items()}


def score_submission(path: str | Path, labels: Mapping[str, TestLabels], domains: Iterable[str] | None = None) -> Score:
    """`score_submission(path, labels)`: the score of a file that gives every test image of `labels` a category.

    domains: only these are asked of the file, and no others may be in it. Raises `SubmissionError` where images are
    missing or unknown, or a category is unknown or of another domain.
    """
    wanted = {name: _of(labels, name) for name in (labels if domains is None else domains)}
    owner = {image: name for name, domain in wanted.items() for image in domain.category_of}
    submitted = read_submission(path)
    unknown = [image for image in submitted if image not in owner]
    if unknown:
        raise SubmissionError(
            f"{path} has {len(unknown):,} images that are in no test set of {', '.join(wanted)}: {_some(unknown)}; "
            f"leave them out."
        )
    missing = {name: [i for i in domain.category_of if i not in submitted] for name, domain in wanted.items()}
    if any(missing.values()):
        told = "; ".join(f"{len(images):,} of {name} ({_some(images)})" for name, images in missing.items() if images)
        raise SubmissionError(f"{path} lacks test images: {told}; give every test image one category.")
    n_correct = dict.fromkeys(wanted, 0)
    for image, category in submitted.items():
        domain = wanted[owner[image]]
        if category not in domain.categories:
            whose = _whose(category, wanted, domain)
            raise SubmissionError(f"Image {image} of {domain.domain} is given category {category}{whose}")
        n_correct[domain.domain] += category == domain.category_of[image]
    return decathlon_score({name: (n_correct[name], len(domain.category_of)) for name, domain in wanted.items()})


def _of(labels: Mapping[str, TestLabels], name: str) -> TestLabels:
    if name not in labels:
        raise SubmissionError(f"There are no test labels of {name!r}; there are those of {', '.join(labels)}.")
    return labels[name]


def _whose(category: int, wanted: Mapping[str, TestLabels], domain: TestLabels) -> str:
    low, high = min(domain.categories), max(domain.categories)
    others = [other.domain for other in wanted.values() if category in other.categories]
    of = f", which belongs to {others[0]}" if others else ", which no domain has"
    return f"{of}: its categories run from {low} to {high}."


def _read_zip(path: Path, names: Mapping[str, str]) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                domain: data for domain, name in names.items() if (data := _member(archive, name, path)) is not None
            }
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
        raise SubmissionError(f"{path} cannot be read as a zip of test labels ({error}): fetch it again.") from error


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes | None:
    """One member's bytes, wherever it lies in the archive; never more than the limit, whatever its header says."""
    found = [info for info in archive.infolist() if info.filename.rpartition("/")[2] == name and not info.is_dir()]
    found = [info for info in found if "__MACOSX" not in info.filename]
    if len(found) > 1:
        raise SubmissionError(f"{path} holds {name} {len(found)} times: leave the one to score against.")
    if not found:
        return None
    with archive.open(found[0]) as file:
        return _limited(file.read(MAX_LABEL_BYTES + 1), f"{name} in {path}")


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _limited(file.read(MAX_LABEL_BYTES + 1), str(path))
    except OSError as error:
        raise SubmissionError(
            f"{path} cannot be read ({error.strerror}): give the path of an existing file."
        ) from error


def _limited(data: bytes, what: str) -> bytes:
    if len(data) > MAX_LABEL_BYTES:
        raise SubmissionError(
            f"{what} is larger than {MAX_LABEL_BYTES // 2**20} MiB, as no decathlon file is: check the path."
        )
    return data


def _json(data: bytes, what: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SubmissionError(f"{what} is no JSON ({error}): it may be cut off; write or fetch it again.") from error


def _labels(domain: str, content: Any, path: Path) -> TestLabels:
    where = f"{domain}_test.json in {path}"
    lists = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in lists):
        raise SubmissionError(f"{where} needs the lists {', '.join(lists)}: give an official annotation file.")
    images, categories = (_ids(content[key], "id", where) for key in ("images", "categories"))
    labelled, given = (_ids(content["annotations"], key, where) for key in ("image_id", "category_id"))
    category_of = dict(zip(labelled, given, strict=True))
    if not labelled:
        raise SubmissionError(
            f"{where} has no annotations: it is a stripped file, without labels; give the one with them."
        )
    if len(category_of) != len(labelled) or len(set(images)) != len(images) or set(images) != set(category_of):
        raise SubmissionError(
            f"{where} has {len(images)} images, {len(set(images))} of them different, and {len(labelled)} annotations of "
            f"{len(category_of)} images: each image needs exactly one."
        )
    if not set(category_of.values()) <= set(categories):
        raise SubmissionError(
            f"{where} gives images categories that it does not list: give an official annotation file."
        )
    return TestLabels(domain, category_of, frozenset(categories))


def _ids(entries: list[Any], key: str, where: str) -> list[int]:
    found = [number for entry in entries if (number := _whole(entry, key)) is not None]
    if len(found) < len(entries):
        raise SubmissionError(f"{where} has an entry without a whole id: give an official annotation file.")
    return found


def _whole(entry: Any, key: str) -> int | None:
    value = entry.get(key) if isinstance(entry, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _some(images: list[int]) -> str:
    return ", ".join(map(str, sorted(images)[:3])) + (", ..." if len(images) > 3 else "")


def _short(entry: Any) -> str:
    text = json.dumps(entry)
    return text if len(text) <= 80 else text[:77] + "..."

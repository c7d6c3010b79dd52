"""Check a whole decathlon before days are spent on it, and measure what is in it.

report = check_decathlon("data/decathlon")
report.n_faults, report.faults            # all of them counted, the first of them kept
for row in measure("data/decathlon"):
    print(row.domain, row.n_classes, row.mean)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from data_prep.common.errors import UserError
from data_prep.common.pictures import in_threads
from data_prep.common.terminal import Progress, silent
from data_prep.decathlon import Decathlon, open_decathlon
from data_prep.decathlon_images import Split, channel_counts, mean_std_of
from data_prep.decathlon_tables import SPLITS, Table, read_table
from data_prep.findings import LIMIT, CheckReport, Findings
from data_prep.formats import BadImageError


@dataclass(frozen=True, kw_only=True)
class DecathlonReport(CheckReport):
    """What was checked and what was found; `faults` and `warnings` hold the first `limit` of each."""

    n_domains: int
    n_splits: int
    n_classes: int
    n_images: int


def check_decathlon(
    root: str | Path, limit: int = LIMIT, progress: Progress = silent, domains: Iterable[str] | None = None
) -> DecathlonReport:
    """Read every annotation file, go through every tar, decode every image of the decathlon in folder `root`.

    Continues after a fault and counts them all; `domains` narrows it. `progress("checking", n_done, n_all)` counts images of
    the domain at hand. Raises `UserError` only where there is no decathlon, or no domain of that name.
    """
    data, faults, warnings = open_decathlon(root), Findings(limit), Findings(limit)
    seen_ids: dict[int, str] = {}
    n_splits = n_classes = n_images = 0
    chosen = _chosen(data, domains)
    for domain in chosen:
        splits = list(_readable_splits(data, domain, faults, warnings))
        n_splits += len(splits)
        n_classes += max((len(split.class_names) for split in splits), default=0)
        _check_ids(splits, seen_ids, faults)
        n_all, n_done = sum(map(len, splits)), 0
        for split in splits:
            for index, (fault, warning) in enumerate(in_threads(partial(_check_image, split), range(len(split)))):
                entry = f"image {split.image_ids[index]}"
                if fault:
                    faults.add(_file_of(split), entry, fault)
                if warning:
                    warnings.add(_file_of(split), entry, warning)
                n_done += 1
                progress("checking", n_done, n_all)
        n_images += n_all
    return DecathlonReport(
        root=data.root,
        n_faults=faults.n,
        faults=tuple(faults.first),
        n_warnings=warnings.n,
        warnings=tuple(warnings.first),
        n_domains=len(chosen),
        n_splits=n_splits,
        n_classes=n_classes,
        n_images=n_images,
    )


def _chosen(data: Decathlon, domains: Iterable[str] | None) -> Sequence[str]:
    if domains is None:
        return data.domains
    chosen = tuple(domains)
    for domain in chosen:
        data.require(domain)
    return chosen


def _readable_splits(data: Decathlon, domain: str, faults: Findings, warnings: Findings) -> Iterator[Split]:
    """Every split of the domain that can be used, without its faulty entries."""
    tables: dict[str, Table] = {}
    for kind, file in data.files[domain].items():
        try:
            tables[kind] = read_table(file, domain, faults.add)
        except UserError as error:
            faults.add(file.name, "the whole file", str(error))
    if tables:
        _check_agreement(domain, tables, faults)
    for split in SPLITS:
        if split not in data.files[domain] and f"{split}_stripped" not in data.files[domain]:
            warnings.add(
                f"{domain}_{split}.json", "the whole file", f"it is not there, so {domain!r} has no {split} split."
            )
        table = tables.get(split, tables.get(f"{split}_stripped"))
        if table is None:
            continue
        if not table.file_names:
            faults.add(table.file.name, "the whole file", "it holds no usable image; write or download it again.")
            continue
        try:
            sources = data.locate(table, domain, split, faults.add)
        except UserError as error:
            faults.add(table.file.name, "its tar", str(error))
            continue
        if sources:
            yield Split(domain, split, table.take(list(sources)), list(sources.values()))


def _check_agreement(domain: str, tables: dict[str, Table], faults: Findings) -> None:
    """All files of a domain must list the same classes, and the stripped test file the images of the other."""
    first, *others = tables.values()
    for table in others:
        if table.class_names != first.class_names:
            sentence = (
                f"they differ from those of {first.file.name}; all files of {domain!r} must list the same classes."
            )
            faults.add(table.file.name, "categories", sentence)
    if "test" in tables and "test_stripped" in tables:
        images = [
            set(zip(t.image_ids.tolist(), t.file_names, strict=True)) for t in (tables["test"], tables["test_stripped"])
        ]
        if images[0] != images[1]:
            sentence = f"they differ from those of {tables['test'].file.name}; both must list the same test set."
            faults.add(tables["test_stripped"].file.name, "images", sentence)


def _check_ids(splits: Sequence[Split], seen: dict[int, str], faults: Findings) -> None:
    for split in splits:
        for number in split.image_ids.tolist():
            if number in seen:
                sentence = f"its id is also in {seen[number]}; every image of the decathlon needs its own."
                faults.add(_file_of(split), f"image {number}", sentence)
            else:
                seen[number] = _file_of(split)


def _file_of(split: Split) -> str:
    return split.table_file.name


def _check_image(split: Split, index: int) -> tuple[str | None, str | None]:
    """A fault and a warning of one image, where there are any."""
    try:
        height, width = split.read(index).shape[:2]
    except BadImageError as error:
        return str(error), None
    stated = tuple(split.shapes[index].tolist())
    if (height, width) != stated:
        return None, f"{split.where(index)} is {height} high and {width} wide, stated are {stated[0]} and {stated[1]}."
    return None, None


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainRow:
    """What one domain holds. `n_images` by split; `smallest` and `largest` are (H, W) by area over all splits, as decoded;
    `grey_share` the share of images with R = G = B everywhere; `mean`, `std` (3,) measured over the train split."""

    domain: str
    n_classes: int
    n_images: dict[str, int]
    labelled_test: bool
    smallest: tuple[int, int]
    largest: tuple[int, int]
    grey_share: float
    n_bytes: int
    mean: np.ndarray
    std: np.ndarray


def measure(root: str | Path, progress: Progress = silent, domains: Iterable[str] | None = None) -> Iterator[DomainRow]:
    """Decodes every image, domain by domain, and yields a row for each. Raises `UserError` on the first fault."""
    data = open_decathlon(root)
    for domain in _chosen(data, domains):
        kinds = data.files[domain]
        splits = [data.split(domain, split) for split in SPLITS if split in kinds or f"{split}_stripped" in kinds]
        yield _measure(domain, splits, progress)


def _measure(domain: str, splits: Sequence[Split], progress: Progress) -> DomainRow:
    counts, shapes = np.zeros((3, 256), np.int64), set()
    n_grey = n_bytes = n_done = 0
    n_all = sum(map(len, splits))
    for split in splits:
        for shape, size, grey, values in in_threads(partial(_measure_image, split), range(len(split))):
            shapes.add(shape)
            n_bytes += size
            n_grey += grey
            if split.split == "train":
                counts += values
            n_done += 1
            progress("measuring", n_done, n_all)
    by_area = sorted(shapes, key=lambda shape: (shape[0] * shape[1], shape))
    mean, std = mean_std_of(counts) if counts.any() else (np.full(3, np.nan), np.full(3, np.nan))
    return DomainRow(
        domain=domain,
        n_classes=len(splits[0].class_names),
        n_images={split.split: len(split) for split in splits},
        labelled_test=any(split.split == "test" and (split.labels >= 0).all() for split in splits),
        smallest=by_area[0],
        largest=by_area[-1],
        grey_share=n_grey / n_all,
        n_bytes=n_bytes,
        mean=mean,
        std=std,
    )


def _measure_image(split: Split, index: int) -> tuple[tuple[int, int], int, bool, np.ndarray]:
    data = split.read_bytes(index)
    pixels = split.decode(index, data)
    grey = bool((pixels[..., :1] == pixels[..., 1:]).all())
    return pixels.shape[:2], len(data), grey, channel_counts(pixels)

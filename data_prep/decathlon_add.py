"""A domain of your own in a decathlon, from ordinary folders of images.

    added = add_domain("flowers", "photos", "data/mine")      # photos/rose/*.jpg, photos/tulip/*.jpg, ...
    added.n_images["train"], added.mean, added.duplicates

What it reads is `data_prep.decathlon_sources`; what it writes is the layout of `data_prep.decathlon`: copies of the images in
`data/NAME/`, one annotation file for each split, mean and std of the train split in `mean_std.json`. Images that no
decathlon holds (WebP, RGBA, those with an orientation tag, which it does not follow, ...) become PNG, upright.

Who decides the split: the pixels. In each class the images are put in the order of a hash of their pixels, and the first go to
test, the next to val. So the split does not depend on files' names, order or machine, each class is in each split, and two
files with the same pixels never lie in two splits, unless the folders say so themselves; then they are reported. Where two
classes hold the same pixels, the first of them by name decides.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_prep.common.errors import UserError, check_range
from data_prep.common.files import read_regular, write_bytes, write_json
from data_prep.common.locks import locked
from data_prep.common.pictures import IMAGE_ERRORS, in_threads, open_picture, orientation, upright_picture
from data_prep.common.terminal import Progress, silent
from data_prep.decathlon import open_decathlon
from data_prep.decathlon_images import MODES
from data_prep.decathlon_sources import Picture, read_sources
from data_prep.decathlon_tables import DOMAIN_NUMBERS, DOMAIN_STEP, MAX_SIDE, SPLITS, domain_number

DOMAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
FIRST_OWN_NUMBER = max(DOMAIN_NUMBERS.values()) + 1


@dataclass(frozen=True, kw_only=True)
class AddedDomain:
    """What was added. n_images: by split, then by class. mean, std: (3,) of RGB in 0..1, over the train split.

    duplicates: sentences about equal images in two splits or two classes. left_out: sentences about files that are no images.
    """

    name: str
    root: Path
    n_images: Mapping[str, Mapping[str, int]]
    mean: np.ndarray
    std: np.ndarray
    duplicates: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Read:
    """An image that can be used. shape: (H, W), upright. pixels: a hash of them. content: what to store; suffix: of its file."""

    picture: Picture
    shape: tuple[int, int]
    pixels: str
    is_copy: bool
    suffix: str


def add_domain(
    name: str,
    source: str | Path,
    like: str | Path,
    *,
    val_share: float = 0.15,
    test_share: float = 0.2,
    overwrite: bool = False,
    progress: Progress = silent,
) -> AddedDomain:
    """`add_domain("flowers", "photos", "data/mine")`: the images below `source` as the domain `flowers` of `data/mine`.

    source: a folder with a folder for each class; one with the folders train, val and test of such folders; or a CSV file with
    the columns path, class and, if you like, split. like: the decathlon that it joins, made where there is none.
    val_share, test_share: of each class, for a split that `source` does not have. Raises `UserError` for a name that is taken,
    for too few images, and for whatever cannot be read or written; files that are no images are left out and told.
    """
    root = Path(like)
    _check_name(name)
    for what, share in (("`val_share`", val_share), ("`test_share`", test_share)):
        check_range(what, share, 0.01, 0.8)
    pictures = read_sources(Path(source))
    read: list[_Read] = []
    left_out: list[str] = []
    for n_done, found in enumerate(in_threads(_read, pictures), 1):
        progress("reading", n_done, len(pictures))
        if isinstance(found, _Read):
            read.append(found)
        else:
            left_out.append(found)
    read = _split(read, val_share, test_share)
    _check_enough(read, Path(source), left_out)
    root.mkdir(parents=True, exist_ok=True)
    with locked(root, "adding a domain"):
        _write(root, name, read, overwrite=overwrite, progress=progress)
        mean, std = open_decathlon(root).mean_std(name)
        _state_mean_std(root, name, {"mean": mean.tolist(), "std": std.tolist()})
    classes = sorted({one.picture.class_name for one in read})
    return AddedDomain(
        name=name,
        root=root,
        n_images={split: {c: _count(read, split, c) for c in classes} for split in SPLITS},
        mean=mean,
        std=std,
        duplicates=tuple(_duplicates(read)),
        left_out=tuple(left_out),
    )


def _check_name(name: str) -> None:
    if not DOMAIN_NAME.fullmatch(name) or name.endswith(tuple(f"_{split}" for split in SPLITS)):
        raise UserError(
            f"The domain name {name!r} is not usable; use letters, digits, - and _, as in my-flowers, without a split at its end."
        )
    if domain_number(name) is not None:
        raise UserError(
            f"{name!r} is a domain of the official decathlon, whose score holds for its own images alone: choose another name, "
            f"such as my-{name}."
        )


def _read(picture: Picture) -> _Read | str:
    """The image, or a sentence that says why it cannot be used."""
    try:
        with open_picture(read_regular(picture.path)) as opened:
            if max(opened.size) > MAX_SIDE:
                raise ValueError(f"a side is longer than {MAX_SIDE} pixels")
            is_copy = opened.format in ("JPEG", "PNG") and opened.mode in MODES and orientation(opened) == 1
            suffix = ".jpg" if is_copy and opened.format == "JPEG" else ".png"
            pixels = upright_picture(opened)
        digest = hashlib.sha256(f"{pixels.size}".encode() + pixels.tobytes()).hexdigest()
    except IMAGE_ERRORS as error:
        return f"{picture.path} is left out: {error}."
    shape = pixels.height, pixels.width
    return _Read(picture=picture, shape=shape, pixels=digest, is_copy=is_copy, suffix=suffix)


def _split(read: Sequence[_Read], val_share: float, test_share: float) -> list[_Read]:
    """Every image with a split: those that have none yet, or whose domain lacks a split, by the hash of their pixels."""
    stated = {one.picture.split for one in read}
    wanted = {split: share for split, share in (("test", test_share), ("val", val_share)) if split not in stated}
    chosen: dict[str, str] = {}
    for class_name in sorted({one.picture.class_name for one in read}):
        of_class = [one for one in read if one.picture.class_name == class_name]
        hashes = sorted({one.pixels for one in of_class if one.picture.split in (None, "train")})
        for split, share in wanted.items():
            n = max(1, round(share * len(hashes))) if len(hashes) > len(wanted) else 0
            n -= sum(chosen.get(pixels) == split for pixels in hashes)  # of classes before, with the same pixels
            chosen |= dict.fromkeys([pixels for pixels in hashes if pixels not in chosen][: max(n, 0)], split)
        chosen = dict.fromkeys(hashes, "train") | chosen

    def placed(one: _Read) -> str:
        return one.picture.split if one.picture.split in ("val", "test") else chosen[one.pixels]

    with_split = [replace(one, picture=replace(one.picture, split=placed(one))) for one in read]
    return sorted(
        with_split, key=lambda one: (SPLITS.index(str(one.picture.split)), one.picture.class_name, one.pixels)
    )


def _check_enough(read: Sequence[_Read], source: Path, left_out: Sequence[str]) -> None:
    more = f"; {len(left_out)} files were left out, the first: {left_out[0]}" if left_out else ""
    classes = {one.picture.class_name for one in read}
    if len(classes) < 2:
        raise UserError(f"{source} has images of {len(classes)} classes, and there must be two at least{more}.")
    for split in SPLITS:
        of_split = {one.picture.class_name for one in read if one.picture.split == split}
        if not of_split or (split == "train" and of_split != classes):
            lacking = sorted(classes - of_split)[0]
            raise UserError(
                f"{source} leaves no image of {lacking!r} for the split {split}: give each class three images or more{more}."
            )


def _duplicates(read: Sequence[_Read]) -> list[str]:
    """Sentences about equal pixels in two splits, which make a test easier than it is, or in two classes."""
    groups: dict[str, list[Picture]] = {}
    for one in read:
        groups.setdefault(one.pixels, []).append(one.picture)
    told = []
    for pictures in groups.values():
        if len({(picture.split, picture.class_name) for picture in pictures}) > 1:
            where = ", ".join(f"{p.path} ({p.split}, {p.class_name})" for p in pictures[:4])
            more = f" and {len(pictures) - 4} more" if len(pictures) > 4 else ""
            told.append(f"The same pixels are in {where}{more}.")
    return told


def _write(root: Path, name: str, read: Sequence[_Read], *, overwrite: bool, progress: Progress) -> None:
    """Images, then annotations, each whole; what an interruption leaves is a folder whose name begins with a dot."""
    folder, annotations = root / "data" / name, root / "annotations"
    old = [annotations / f"{name}_{kind}.json" for kind in (*SPLITS, "test_stripped")]
    # A tar would be read in place of the folder.
    old += [root / "data" / f"{name}{end}.tar" for end in ("", *(f"_{split}" for split in SPLITS))]
    if not overwrite and any(path.exists() for path in (folder, *old)):
        raise UserError(f"{root} has a domain {name!r} already: choose another name, or replace it with `overwrite`.")
    number = _free_number(root, name)
    classes = sorted({one.picture.class_name for one in read})
    fresh = root / "data" / f".{name}.partial"
    shutil.rmtree(fresh, ignore_errors=True)
    tables: dict[str, dict[str, list[dict[str, object]]]] = {
        split: {
            "images": [],
            "annotations": [],
            "categories": [{"id": number * DOMAIN_STEP + k, "name": c} for k, c in enumerate(classes, 1)],
        }
        for split in SPLITS
    }
    for n_done, one in enumerate(read, 1):
        split, k = str(one.picture.split), classes.index(one.picture.class_name) + 1
        image_id = number * DOMAIN_STEP + n_done
        below = f"{split}/{k:04}/{n_done:06}{one.suffix}"
        write_bytes(fresh / below, _stored(one))
        height, width = one.shape
        size: dict[str, object] = {
            "id": image_id,
            "width": width,
            "height": height,
            "file_name": f"data/{name}/{below}",
        }
        tables[split]["images"].append(size)
        label: dict[str, object] = {"id": image_id, "image_id": image_id, "category_id": number * DOMAIN_STEP + k}
        tables[split]["annotations"].append(label)
        progress("copying", n_done, len(read))
    for path in old:
        path.unlink(missing_ok=True)
    _state_mean_std(root, name, None)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    for split, table in tables.items():
        write_json(annotations / f"{name}_{split}.json", table)


def _stored(one: _Read) -> bytes:
    """The file as it is, or upright as PNG where a decathlon cannot hold it."""
    content = read_regular(one.picture.path)
    if one.is_copy:
        return content
    with open_picture(content) as opened, io.BytesIO() as file:
        upright_picture(opened).save(file, "PNG")
        return file.getvalue()


def _free_number(root: Path, name: str) -> int:
    """D of the category ids: the first from 11 on that no other domain of one's own has."""
    taken = set()
    if any((root / "annotations").glob("*_*.json")):
        data = open_decathlon(root)
        for domain in data.domains:
            if domain != name and domain_number(domain) is None:
                split = next(kind for kind in SPLITS if kind in data.files[domain])
                taken.add(int(data.split(domain, split).category_ids[0]) // DOMAIN_STEP)
    return next(number for number in range(FIRST_OWN_NUMBER, FIRST_OWN_NUMBER + len(taken) + 1) if number not in taken)


def _state_mean_std(root: Path, name: str, numbers: Mapping[str, object] | None) -> None:
    """Put the domain's numbers into `mean_std.json`, or take them out."""
    file = root / "mean_std.json"
    try:
        stated = json.loads(read_regular(file)) if file.exists() else {}
        pack = {domain: row for domain, row in stated.get("pack", {}).items() if domain != name}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"{file} cannot be read ({error}): correct or delete it.") from error
    if numbers is not None:
        pack[name] = numbers
    if pack or file.exists():
        write_json(file, {**stated, "pack": pack})


def _count(read: Sequence[_Read], split: str, class_name: str) -> int:
    return sum(one.picture.split == split and one.picture.class_name == class_name for one in read)

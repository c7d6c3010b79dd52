"""Open a visual decathlon: ten (or fewer, or other) image-classification domains in the official layout.

    data = open_decathlon("data/decathlon")
    data.domains                              # ('imagenet12', 'aircraft', ...), as in the papers' tables
    train = data.split("dtd", "train")        # a `ClassifiedImages`; "val", "test" and "train+val" too
    train.read(0), train.labels[0]            # (H, W, 3) uint8 RGB, class number
    mean, std = data.mean_std("dtd")          # three numbers each, RGB in 0..1

    annotations/<domain>_{train,val,test,test_stripped}.json      see `decathlon_tables`
    data/<domain>/...                 the images as files, or
    data/<domain>_<split>.tar         one uncompressed tar for each split, or
    data/<domain>.tar                 one for each domain; read in place, names with or without the leading `data/`
    mean_std.json                     optional: {"pack": {domain: {"mean": [..], "std": [..]}}, "official": {...}}

A tar goes before files of the same name. Source: Rebuffi, Bilen, Vedaldi, "Learning multiple visual domains with residual
adapters", NIPS 2017.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from data_prep.common.errors import UserError, choose
from data_prep.common.files import read_regular
from data_prep.decathlon_images import Source, Split, join, measure_mean_std
from data_prep.decathlon_tables import ANNOTATION_NAME, MINI_PREFIX, OFFICIAL_ORDER, SPLITS, Refuse, Table, read_table
from data_prep.decathlon_tar import Tar

SPLIT_CHOICES = (*SPLITS, "train+val")


class Decathlon:
    """An opened decathlon; `open_decathlon` makes it. Tars are gone through when a split first needs them."""

    def __init__(self, root: Path, files: dict[str, dict[str, Path]]):
        self.root = root
        self.files = files
        self.domains = tuple(files)
        self._tars: dict[Path, Tar] = {}
        self._measured: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def split(self, domain: str, split: str) -> Split:
        """The images of `split` ("train", "val", "test" or "train+val") of `domain`, in the order of the annotations.

        The test set comes with labels where `<domain>_test.json` is there, else with -1 from `<domain>_test_stripped.json`.
        Raises `UserError` on an unknown domain or split, a faulty table or tar, an image that is not there, no image at all.
        """
        self.require(domain)
        choose("split", split, SPLIT_CHOICES)
        parts = [self._split(domain, part) for part in split.split("+")]
        return parts[0] if len(parts) == 1 else join(parts, split)

    def mean_std(self, domain: str) -> tuple[np.ndarray, np.ndarray]:
        """Mean and std of each RGB channel, (3,) float64 each, of pixels in 0..1.

        From `mean_std.json`, table `pack` before `official`; where it has none, measured over all pixels of the train
        split as stored (that decodes it whole, once).
        """
        self.require(domain)
        for table in ("pack", "official"):
            if domain in (known := self._stated_mean_std.get(table, {})):
                return known[domain]
        if domain not in self._measured:
            self._measured[domain] = measure_mean_std(self.split(domain, "train"))
        return self._measured[domain]

    def tar_of(self, path: Path) -> Tar:
        """The indexed tar at `path`, gone through once."""
        if path not in self._tars:
            self._tars[path] = Tar(path)
        return self._tars[path]

    def locate(self, table: Table, domain: str, split: str, refuse: Refuse) -> dict[int, Source]:
        """By row of the table, where its image lies; one that lies nowhere is reported to `refuse` and left out."""
        folder = self.root / "data"
        paths = [path for path in (folder / f"{domain}_{split}.tar", folder / f"{domain}.tar") if path.exists()]
        tars = [self.tar_of(path) for path in paths]
        listed: dict[Path, set[str]] = {}
        sources: dict[int, Source] = {}
        for row, name in enumerate(table.file_names):
            for tar in tars:
                place = tar.members.get(name) or tar.members.get(name.removeprefix("data/"))
                if place:
                    sources[row] = (tar, *place)
                    break
            else:
                path = self.root / name
                if path.parent not in listed:
                    listed[path.parent] = set(_list(path.parent))
                if path.name in listed[path.parent]:
                    sources[row] = path
                else:
                    there = " or ".join(str(tar.path) for tar in tars) or f"the folder {path.parent}"
                    sentence = f"{name!r} is not in {there}; put the image there or delete the entry."
                    refuse(table.file.name, f"image {table.image_ids[row]}", sentence)
        return sources

    def require(self, domain: str) -> None:
        """Raise `UserError`, with the nearest names, where there is no such domain."""
        choose("domain", domain, self.domains, where=self.root)

    def _split(self, domain: str, split: str) -> Split:
        files = self.files[domain]
        kinds = [kind for kind in (split, f"{split}_stripped") if kind in files]
        if not kinds:
            file = self.root / "annotations" / f"{domain}_{split}.json"
            raise UserError(
                f"{file} is missing, but {domain!r} has {', '.join(files)}: put it there or choose another."
            )
        table = read_table(files[kinds[0]], domain, self._raise)
        if not table.file_names:
            raise UserError(f"{table.file} holds no image: an empty split cannot be used; write or download it again.")
        return Split(domain, split, table, list(self.locate(table, domain, split, self._raise).values()))

    def _raise(self, file: str, entry: str, sentence: str) -> None:
        raise UserError(f"{self.root / 'annotations' / file}, {entry}: {sentence}")

    @cached_property
    def _stated_mean_std(self) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
        file = self.root / "mean_std.json"
        if not file.exists():
            return {}
        try:
            stated = {
                table: {domain: (_three(row["mean"]), _three(row["std"])) for domain, row in rows.items()}
                for table, rows in json.loads(read_regular(file)).items()
            }
        except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise UserError(
                f"{file} cannot be read ({error}): it needs a table of domains with three numbers for mean and three above "
                f"0 for std; correct or delete it."
            ) from error
        if any((std <= 0).any() for rows in stated.values() for _, std in rows.values()):
            raise UserError(f"{file} has a std that is not above 0: correct or delete it.")
        return stated


def open_decathlon(root: str | Path) -> Decathlon:
    """Open the decathlon in folder `root`; only the names of its annotation files are read yet.

    Raises `UserError` where there is no `annotations/` with `<domain>_<split>.json` files.
    """
    root = Path(root)
    files: dict[str, dict[str, Path]] = {}
    for path in sorted((root / "annotations").glob("*.json")):
        if found := ANNOTATION_NAME.fullmatch(path.name):
            files.setdefault(found["domain"], {})[found["kind"]] = path
    if not files:
        raise UserError(
            f"{root} is no decathlon, as it has no annotations/<domain>_<split>.json: name the folder that holds "
            f"annotations/ and data/."
        )
    return Decathlon(root, {domain: files[domain] for domain in sorted(files, key=_rank)})


def _rank(domain: str) -> tuple[int, int, str]:
    """Official domains as in the papers' tables, then the miniature ones likewise, then others by name."""
    name = domain.removeprefix(MINI_PREFIX)
    if name not in OFFICIAL_ORDER:
        return 2, 0, domain
    return int(domain != name), OFFICIAL_ORDER.index(name), domain


def _list(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except (OSError, ValueError):  # a name that no file can have
        return []


def _three(numbers: Sequence[float]) -> np.ndarray:
    array = np.array(numbers, np.float64)
    if array.shape != (3,) or not np.isfinite(array).all():
        raise ValueError(f"{numbers} are not three numbers")
    return array

"""Maps that can still pass their unit's final threshold, kept until it is known.

    candidates = Candidates(folder, ceiling=512 * 2**20)
    candidates.add(images, {0: Maps(...)}, bounds)                   # bounds[layer][unit], rising as images come in
    for images, batch in candidates.batches(thresholds):             # {layer: Maps} of a few images, in the order added
        ...

A map whose largest value is not above the threshold has an empty mask and is never stored. Beyond `ceiling` bytes the
maps go to files in `folder`; the counts do not change. Each file carries the `key` of its run and its own number, and is read
back only where they fit. Where the files would take too much disk the store is given up (`give_up`), and the maps are computed a
second time once the thresholds are known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data_prep.common.errors import UserError
from data_prep.common.files import atomic_write
from dissect.run_files import ARRAY_ERRORS, sha256_of


@dataclass(frozen=True, slots=True)
class Maps:
    """Activation maps of some (image, unit) pairs of one layer: image by image, units ascending within an image.

    images, units: (n,) int32. peaks: (n,) float32, the largest value of each map. maps: (n, h, w) float32, of numpy, or a tensor
    on the device that computed them.
    """

    images: np.ndarray
    units: np.ndarray
    peaks: np.ndarray
    maps: np.ndarray | Tensor

    def above(self, bound: np.ndarray) -> Maps:
        """Those whose peak exceeds the bound of their unit; `bound` is (U,)."""
        return self.chosen(self.peaks > bound[self.units])

    def chosen(self, which: np.ndarray) -> Maps:
        """Those where `which` (n,) is true."""
        if which.all():
            return self
        there = which if isinstance(self.maps, np.ndarray) else torch.from_numpy(which)
        return Maps(self.images[which], self.units[which], self.peaks[which], self.maps[there])

    def of_image(self, image: int) -> Maps:
        """Those of one image, without copying."""
        here = np.flatnonzero(self.images == image)
        part = slice(here[0], here[-1] + 1) if len(here) else slice(0, 0)
        return Maps(self.images[part], self.units[part], self.peaks[part], self.maps[part])

    def at_home(self) -> Maps:
        """The same in the memory of the host."""
        return Maps(**self.on_host())

    @property
    def n_bytes(self) -> int:
        return sum(getattr(self, field).nbytes for field in self.__slots__)

    def on_host(self) -> dict[str, np.ndarray]:
        """The fields as arrays of numpy."""
        return {field: torch.as_tensor(getattr(self, field)).cpu().numpy() for field in self.__slots__}


Batch = tuple[np.ndarray, dict[int, Maps]]
"""Numbers (B,) of the images of a batch, and its maps by layer."""


class Candidates:
    """An append-only store of `Maps`, a batch of images at a time. Merges by appending the other store's batches."""

    def __init__(self, folder: Path, ceiling: int, key: str = "") -> None:
        """key: says whose maps these are, such as a hash of what decides them."""
        folder.mkdir(parents=True, exist_ok=True)
        self.key = key
        self.folder = folder
        self.ceiling = ceiling
        self.in_memory: list[Batch] = []
        self.files: list[Path] = []
        self.given_up = False
        self.n_bytes = 0
        self.n_bytes_on_disk = 0
        self._digests: list[str] = []
        self._forgotten: list[Path] = []
        self._prune_at = ceiling // 8

    def add(self, images: np.ndarray, batch: dict[int, Maps], bounds: Sequence[np.ndarray]) -> None:
        """images: (B,) numbers of the next few images; batch: layer -> their maps; bounds: for each layer what its units
        must exceed so far, (U,)."""
        if self.given_up:
            return
        self.in_memory.append((images, batch))
        self.n_bytes += _n_bytes(batch)
        if self.n_bytes > self._prune_at:
            self.drop_below(bounds)
            # Prune again only once the store has doubled, so that pruning costs the same for each map.
            self._prune_at = min(max(2 * self.n_bytes, self.ceiling // 8), self.ceiling)
            if self.n_bytes > self.ceiling // 2:
                self.spill()

    def drop_below(self, bounds: Sequence[np.ndarray]) -> None:
        """Forget the maps in memory that can no longer pass."""
        for n, (images, batch) in enumerate(self.in_memory):  # one at a time: old and new never stand side by side
            self.in_memory[n] = (images, _passing(batch, bounds))
        self.n_bytes = sum(_n_bytes(batch) for _, batch in self.in_memory)

    def spill(self) -> None:
        """Move what is in memory to a file, after those already there."""
        if self.given_up:
            for path in self._forgotten:
                path.unlink(missing_ok=True)
            self._forgotten = sorted(self.folder.glob("candidates-*.npz"))
        if not self.in_memory:
            return
        path = self._file(len(self.files))
        arrays = {
            f"{n}.{layer}.{field}": array
            for n, (_, batch) in enumerate(self.in_memory)
            for layer, maps in batch.items()
            for field, array in maps.on_host().items()
        }
        arrays |= {f"{n}.batch": images for n, (images, _) in enumerate(self.in_memory)}
        arrays |= {"key": np.array(self.key), "number": np.array(len(self.files))}
        with atomic_write(path) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # a dictionary of arrays
        self.files.append(path)
        self.n_bytes_on_disk += path.stat().st_size
        self.in_memory, self.n_bytes, self._prune_at = [], 0, self.ceiling // 8

    def give_up(self) -> None:
        """Forget all maps, and keep none from now on. The files stay until a second `spill`: a run that is killed before the
        checkpoint after the first resumes from one that still needs them."""
        self.in_memory, self.files, self._digests, self.given_up = [], [], [], True
        self.n_bytes = self.n_bytes_on_disk = 0

    def hashes(self) -> list[str]:
        """The sha256 of each file, in their order."""
        self._digests += [sha256_of(path) for path in self.files[len(self._digests) :]]
        return self._digests

    def adopt(self, hashes: Sequence[str], n_images: int) -> None:
        """Continue with the files of these `hashes` that an interrupted store left in the folder. Raises `ValueError` where
        one is missing or another, or where they are not of so many images."""
        files = [self._file(n) for n in range(len(hashes))]
        for path, digest in zip(files, hashes, strict=True):
            if not path.is_file() or sha256_of(path) != digest:
                raise ValueError(f"{path.name} is missing or not as it was left")
        found = sum(map(_n_images, files))
        if found != n_images:
            raise ValueError(f"its files are of {found} images, not {n_images}")
        self.files, self._digests = files, list(hashes)
        self.n_bytes_on_disk = sum(path.stat().st_size for path in files)

    def _file(self, n: int) -> Path:
        return self.folder / f"candidates-{n:05d}.npz"

    def batches(self, thresholds: Sequence[np.ndarray], after: int = -1) -> Iterator[Batch]:
        """Every batch in the order added, only the maps that pass the final thresholds; those up to image number `after` are
        left out."""
        files, in_memory = tuple(self.files), tuple(self.in_memory)  # a spill meanwhile must not show maps twice
        for number, path in enumerate(files):
            for images, batch in self._read(path, number, after):
                yield images, _passing(batch, thresholds)
        for images, batch in in_memory:
            if images[-1] > after:
                yield images, _passing(batch, thresholds)

    def _read(self, path: Path, number: int, after: int) -> Iterator[Batch]:
        """One batch at a time, so that reading back needs no more memory than writing did."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                if (str(arrays["key"]), int(arrays["number"])) != (self.key, number):
                    raise ValueError("it is of another run, or another part of this one")
                keys = [key.split(".") for key in arrays.files if "." in key]
                for n in sorted({int(key[0]) for key in keys}):
                    if (images := arrays[f"{n}.batch"])[-1] <= after:
                        continue
                    layers = [int(key[1]) for key in keys if key[0] == str(n) and key[-1] == "images"]
                    batch = {k: Maps(*(arrays[f"{n}.{k}.{field}"] for field in Maps.__slots__)) for k in layers}
                    yield images, batch
        except ARRAY_ERRORS as error:
            raise UserError(
                f"{path} was changed while the run was at work ({error}): give the same command again, which begins again."
            ) from error


def _passing(batch: dict[int, Maps], bounds: Sequence[np.ndarray]) -> dict[int, Maps]:
    return {layer: maps.above(bounds[layer]) for layer, maps in batch.items()}


def _n_bytes(batch: dict[int, Maps]) -> int:
    return sum(maps.n_bytes for maps in batch.values())


def _n_images(path: Path) -> int:
    with np.load(path, allow_pickle=False) as arrays:
        return sum(len(arrays[key]) for key in arrays.files if key.endswith(".batch"))

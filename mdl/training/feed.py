"""Batches of decoded images on the device that trains: cropped differently each epoch, normalised there.

    feed = Feed(pictures, rules, normalisation, torch.device("cuda"))
    for batch in feed.shuffled(batch_size=128, seed=0, epoch=3):
        network(batch.images), batch.labels         # (B, 3, H, W) float32, channels last; (B,) int64

Which images form a batch, where each is cropped and whether it is flipped are functions of (seed, epoch, number of the
image) alone. Nothing is drawn from an iterator's state, so that training resumed at any step sees the very pixels that it would
have seen without the interruption.

All images of a split lie on a GPU where they fit into `RESIDENT_SHARE` of its free memory, and batches are cut out of them
there; else several threads cut them and send them. On a CPU one thread cuts the next batches meanwhile. The pixels are the same
each way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from data_prep.common.devices import usable_cpus
from mdl.training.pictures import DecodedImages, InputRules, Normalisation

RESIDENT_SHARE = 0.5
"""Of a GPU's free memory that the images of one split may take; the network's own share comes after them."""

READERS = 4
"""Threads that cut batches for a GPU, as many CPUs given; one cuts some 300,000 small images a second from memory."""

UPLOAD_BYTES = 2**26
"""Sent to the device at one time, so that a large file is never in memory as a whole."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batch(NamedTuple):
    """images: (B, 3, H, W) float32 and labels: (B,) int64 on the device. numbers: (B,) of the images, in memory."""

    images: Tensor
    labels: Tensor
    numbers: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Crops:
    """What is cut out of which image, for all batches of an epoch, one after the other.

    numbers: (N,) of the images. corners: (N, 2) int64, top and left. mirrored: (N,) bool. shape: (H, W) of every crop.
    sizes: how many each batch has.
    """

    numbers: np.ndarray
    corners: np.ndarray
    mirrored: np.ndarray
    shape: tuple[int, int]
    sizes: Sequence[int]

    def batches(self, first: int = 0) -> list[Crops]:
        """The batches from the first one on, each by itself."""
        ends = np.cumsum(self.sizes)
        return [self._part(int(end) - size, int(end)) for size, end in zip(self.sizes, ends, strict=True)][first:]

    def _part(self, start: int, end: int) -> Crops:
        return Crops(
            numbers=self.numbers[start:end],
            corners=self.corners[start:end],
            mirrored=self.mirrored[start:end],
            shape=self.shape,
            sizes=[end - start],
        )


class Feed:
    """`Feed(pictures, rules, normalisation, device)`: the images of one split, for one device.

    resident: whether they all lie on the device; decided by its free memory if not given.
    """

    def __init__(
        self,
        pictures: DecodedImages,
        rules: InputRules,
        normalisation: Normalisation,
        device: torch.device,
        *,
        resident: bool | None = None,
    ) -> None:
        self.pictures, self.rules, self.device = pictures, rules, device
        self._scale = _scale(normalisation, device)
        keep = fits(pictures.pixels.nbytes, device) if resident is None else resident
        self._pixels = uploaded(pictures.pixels, device).view(-1, 3) if keep else None

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def n_readers(self) -> int:
        """Threads that cut batches."""
        return 1 if self.device.type == "cpu" else max(1, min(READERS, usable_cpus() - 1))

    def shuffled(
        self, *, batch_size: int, seed: int, epoch: int, share: tuple[int, int] = (0, 1), first: int = 0
    ) -> Iterator[Batch]:
        """The batches of one epoch, as `shuffled_crops` says, from the batch number `first` on."""
        return self._batches(
            shuffled_crops(self.pictures, self.rules, batch_size=batch_size, seed=seed, epoch=epoch, share=share), first
        )

    def ordered(self, batch_size: int, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        """Every image once, in order, as `ordered_crops` says."""
        return self._batches(ordered_crops(self.pictures, self.rules, batch_size, share))

    def _batches(self, crops: Crops, first: int = 0) -> Iterator[Batch]:
        labels = torch.from_numpy(self.pictures.labels[crops.numbers]).to(self.device)
        parts, labels_of = crops.batches(first), labels.split(list(crops.sizes))[first:]
        for pixels, part, own_labels in zip(self._cut(crops, parts, first), parts, labels_of, strict=True):
            yield Batch(_normalised(pixels, self._scale), own_labels, part.numbers)

    def _cut(self, crops: Crops, parts: Sequence[Crops], first: int) -> Iterator[Tensor]:
        """The pixels of each batch, (B, H, W, 3) uint8 on the device."""
        if self._pixels is None:
            # Waiting for a copy would stop the network; the memory that it is sent from is used again when it has ended.
            for pixels in _ahead(self._read, parts, self.n_readers):
                yield pixels.to(self.device, non_blocking=True)
            return
        places = (torch.from_numpy(a).to(self.device) for a in _places(self.pictures, crops))
        for starts, widths, mirrored in list(zip(*(a.split(list(crops.sizes)) for a in places), strict=True))[first:]:
            yield gathered(self._pixels, starts, widths, mirrored, crops.shape)

    def _read(self, crops: Crops) -> Tensor:
        pixels = torch.empty(
            (len(crops.numbers), *crops.shape, 3), dtype=torch.uint8, pin_memory=self.device.type == "cuda"
        )
        cut(self.pictures, crops, pixels.numpy())
        return pixels


def shuffled_crops(
    pictures: DecodedImages,
    rules: InputRules,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    share: tuple[int, int] = (0, 1),
) -> Crops:
    """One epoch in a new order, every image once, in `batch_sizes`, so that no batch is left with a few images.

    share: (rank, processes); a process gets every n-th image of each batch.
    """
    draws = np.random.default_rng([seed, epoch])
    order = draws.permutation(len(pictures))
    place = draws.random((len(pictures), 2)) if rules.random else None
    mirrored = draws.random(len(pictures)) < 0.5 if rules.flip else None
    return _crops(pictures, _shared(order, batch_size, share), rules.train_crop, place, mirrored)


def ordered_crops(
    pictures: DecodedImages, rules: InputRules, batch_size: int, share: tuple[int, int] = (0, 1)
) -> Crops:
    """Every image once, in order, cropped in the centre; `share` as in `shuffled_crops`."""
    mine = _shared(np.arange(len(pictures)), batch_size, share)
    return _crops(pictures, [batch for batch in mine if len(batch)], rules.test_crop)


def batch_sizes(n_images: int, batch_size: int) -> list[int]:
    """As few batches as `batch_size` allows, equal but for one image.

    >>> batch_sizes(10, 4)
    [4, 3, 3]
    """
    n_batches = -(-n_images // batch_size)
    return [n_images // n_batches + (i < n_images % n_batches) for i in range(n_batches)]


def cut(pictures: DecodedImages, crops: Crops, out: np.ndarray | None = None) -> np.ndarray:
    """The pixels of the crops, (N, H, W, 3) uint8, image by image; into `out` if it is given."""
    height, width = crops.shape
    pixels = np.empty((len(crops.numbers), height, width, 3), np.uint8) if out is None else out
    for row, (number, (top, left)) in enumerate(zip(crops.numbers, crops.corners, strict=True)):
        pixels[row] = pictures[number][top : top + height, left : left + width]
        if crops.mirrored[row]:
            pixels[row] = pixels[row, :, ::-1].copy()
    return pixels


def gathered(pixels: Tensor, starts: Tensor, widths: Tensor, mirrored: Tensor, shape: tuple[int, int]) -> Tensor:
    """What `cut` gives, by index, wherever the tensors are: (B, H, W, 3) uint8.

    pixels: (all pixels, 3). starts: (B,) the number of each crop's upper left pixel. widths: (B,) of the images, mirrored: (B,).
    """
    height, width = shape
    columns = torch.arange(width, device=pixels.device)
    columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
    rows = starts[:, None] + widths[:, None] * torch.arange(height, device=pixels.device)
    return pixels[rows[:, :, None] + columns[:, None, :]]


def fits(n_bytes: int, device: torch.device) -> bool:
    """Whether so many bytes may lie on the device: a GPU with that much room."""
    if device.type != "cuda":
        return False
    torch.cuda.empty_cache()  # what earlier images have left counts as free
    return n_bytes <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]


def uploaded(pixels: np.ndarray, device: torch.device) -> Tensor:
    """A flat array on the device, sent in parts: it may be a file larger than the memory."""
    there = torch.empty(len(pixels), dtype=torch.uint8, device=device)
    for start in range(0, len(pixels), UPLOAD_BYTES):
        part = np.array(pixels[start : start + UPLOAD_BYTES])  # a mapped file may not be written to, a tensor may
        there[start : start + len(part)] = torch.from_numpy(part)
    return there


def to_input(pixels: np.ndarray, normalisation: Normalisation) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 with mean 0 and standard deviation 1, channels last in memory."""
    return _normalised(torch.from_numpy(pixels), _scale(normalisation, torch.device("cpu")))


def _normalised(pixels: Tensor, scale: tuple[Tensor, Tensor]) -> Tensor:
    mean, std = scale
    return pixels.permute(0, 3, 1, 2).float().sub_(mean).div_(std)


def _scale(normalisation: Normalisation, device: torch.device) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(v).mul_(255).view(1, 3, 1, 1) for v in (normalisation.mean, normalisation.std))
    return mean.to(device), std.to(device)


def _shared(numbers: np.ndarray, batch_size: int, share: tuple[int, int]) -> list[np.ndarray]:
    """The batches, of each the part of one process."""
    rank, processes = share
    batches = np.split(numbers, np.cumsum(batch_sizes(len(numbers), batch_size))[:-1])
    return [batch[rank::processes] for batch in batches]


def _crops(
    pictures: DecodedImages,
    batches: Sequence[np.ndarray],
    crop: int | None,
    place: np.ndarray | None = None,
    mirrored: np.ndarray | None = None,
) -> Crops:
    """place: (all images, 2) in [0, 1), where the crop of each lies; None for the centre. crop: None for whole images."""
    numbers = np.concatenate([*batches, np.empty(0, np.int64)])
    height, width = (crop, crop) if crop else pictures.sizes[0].tolist()
    free = pictures.sizes[numbers] - (height, width)
    # As torchvision: the centre of an odd margin is rounded to the even neighbour.
    corners = np.round(free / 2) if place is None else np.floor(place[numbers] * (free + 1))
    return Crops(
        numbers=numbers,
        corners=corners.astype(np.int64),
        mirrored=np.zeros(len(numbers), bool) if mirrored is None else mirrored[numbers],
        shape=(height, width),
        sizes=[len(batch) for batch in batches],
    )


def _places(pictures: DecodedImages, crops: Crops) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(starts, widths, mirrored) of all crops, as `gathered` takes them."""
    widths = pictures.sizes[crops.numbers, 1].astype(np.int64)
    starts = pictures.starts[crops.numbers] // 3 + crops.corners[:, 0] * widths + crops.corners[:, 1]
    return starts, widths, crops.mirrored


def _ahead(work: Callable[[Item], Result], items: Sequence[Item], n_threads: int) -> Iterator[Result]:
    """`work` of each item in order, done by threads, each up to two items ahead of whoever reads."""
    with ThreadPoolExecutor(n_threads, thread_name_prefix="batches") as threads:
        waiting = iter(items)
        pending = [threads.submit(work, item) for item in islice(waiting, 2 * n_threads)]
        while pending:
            done = pending.pop(0).result()
            pending += [threads.submit(work, item) for item in islice(waiting, 1)]
            yield done
